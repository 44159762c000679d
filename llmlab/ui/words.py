"""Numbers and sentences as people read them. Units are decimal, 1 MB is 10⁶ bytes, unless they say MiB: 2²⁰."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

TIP_WIDTH = 80  # characters of a line
DECIMAL = ("bytes", "kB", "MB", "GB", "TB", "PB")
BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def count(number: float) -> str:
    """4_103_424 -> "4.1 M"; three digits at most."""
    for limit, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:g}"


def size(number: float) -> str:
    """Bytes in powers of ten: 612_400_000 -> "612.4 MB"."""
    return _in_units(number, 1000, DECIMAL)


def binary_size(number: float) -> str:
    """Bytes in powers of two: 612_400_000 -> "584 MiB"."""
    return _in_units(number, 1024, BINARY)


def both_sizes(number: float) -> str:
    """Bytes in both: 612_400_000 -> "612.4 MB = 584 MiB"."""
    return f"{size(number)} = {binary_size(number)}" if abs(number) >= 1000 else size(number)


def _in_units(number: float, base: int, units: Sequence[str]) -> str:
    """In the largest unit of which there is one; two decimals below 10, else four digits."""
    place = sum(abs(number) >= base**power for power in range(1, len(units)))
    value = number / base**place
    if place == 0:
        return f"{value:.0f} {units[0]}"
    return f"{value:.2f} {units[place]}" if abs(value) < 10 else f"{value:.4g} {units[place]}"


def in_lines(*paragraphs: str) -> str:
    """A tooltip: every paragraph broken into lines, since Qt breaks none of plain text."""
    return "\n".join(textwrap.fill(paragraph, TIP_WIDTH) for paragraph in paragraphs if paragraph)
