"""Amounts of memory as the panel shows them: alone in a unit that suits, in a table all of a column in one. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmlab.ui.words import BINARY, DECIMAL, both_sizes

POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
LEAST = 0.001  # of a unit: what is smaller is hardly read in it
MOST = 10_000  # of a unit: as far as a column goes to keep its small amounts readable


@dataclass(frozen=True, slots=True)
class Units:
    """The units of two columns that show the same amounts: 10^(3·rank) and 2^(10·rank) bytes."""

    rank: int

    @property
    def names(self) -> tuple[str, str]:
        """MB and MiB."""
        return DECIMAL[self.rank], BINARY[self.rank]

    @property
    def meanings(self) -> tuple[str, str]:
        """10⁶ bytes and 2²⁰ bytes."""
        return f"10{_raised(3 * self.rank)} bytes", f"2{_raised(10 * self.rank)} bytes"

    def cells(self, size: float) -> tuple[str, str]:
        """`size` bytes in both units, without their names; never 0 for something."""
        return _number(size / 1000**self.rank), _number(size / 1024**self.rank)


GIGA = Units(3)  # of GPUs, which are bought by it


def units(sizes: Iterable[float]) -> Units:
    """The units for amounts that are compared: those of the largest one, smaller ones where it would hide the rest."""
    some = [abs(size) for size in sizes if size]
    if not some:
        return Units(2)
    rank = max(1, sum(max(some) >= 1000**power for power in range(1, len(DECIMAL))))
    if rank > 1 and min(some) < LEAST * 1000**rank and max(some) < MOST * 1000 ** (rank - 1):
        rank -= 1
    return Units(rank)


def exact(size: float) -> str:
    """To the last byte, and in the units that people use: 17,576,960 bytes = 17.58 MB = 16.76 MiB."""
    whole = f"{size:,.0f} bytes"
    return f"{whole} = {both_sizes(size)}" if abs(size) >= 1000 else whole


def facts(size: float) -> tuple[tuple[str, str], ...]:
    """What hovering over an amount tells: in both units with six digits, and the bytes."""
    found = units((size,))
    decimal, binary = found.names
    amounts = ((decimal, f"{size / 1000**found.rank:,.6g}"), (binary, f"{size / 1024**found.rank:,.6g}"))
    return (*(amounts if abs(size) >= 1000 else ()), ("bytes", f"{size:,.0f}"))


def _raised(power: int) -> str:
    return "".join(POWERS[int(digit)] for digit in str(power))


def _number(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    if magnitude >= 10:
        return f"{value:.1f}"
    if magnitude >= 0.1 or value == 0:
        return f"{value:.2f}"
    if magnitude >= 0.0001:
        return f"{value:.4f}"
    return "< 0.0001" if value > 0 else "> -0.0001"
