"""Sizes, numbers and names as the calculator shows them. No Qt."""

from __future__ import annotations

from llmlab.engine.memory.terms import GB, GIB, Term


def gb(size: float) -> str:
    """Powers of ten: 16.06 GB, 24.3 MB."""
    return _scaled(size, (("PB", 10**15), ("TB", 10**12), ("GB", GB), ("MB", 10**6), ("kB", 10**3)))


def gib(size: float) -> str:
    """Powers of two: 14.96 GiB, 23.2 MiB."""
    return _scaled(size, (("PiB", 2**50), ("TiB", 2**40), ("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)))


def both(size: float) -> str:
    """In both: 16.06 GB = 14.96 GiB."""
    return f"{gb(size)} = {gib(size)}"


def in_gb(size: float) -> str:
    """A number of a table whose head says GB; never 0 for something."""
    return _plain(size / GB)


def in_gib(size: float) -> str:
    """A number of a table whose head says GiB; never 0 for something."""
    return _plain(size / GIB)


def count(value: float) -> str:
    """8.03 B parameters and the like: 8.03 B, 124 M, 12,345."""
    for unit, scale in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:,.0f}"


def speed(tokens_per_second: float) -> str:
    """A number of tokens a second."""
    return f"{tokens_per_second:,.0f}" if tokens_per_second >= 100 else f"{tokens_per_second:#.3g}"


def facts(term: Term) -> tuple[tuple[str, str], ...]:
    """What hovering over a component tells."""
    found = [
        ("GB", f"{term.bytes / GB:,.6g}"),
        ("GiB", f"{term.bytes / GIB:,.6g}"),
        ("bytes", f"{term.bytes:,}"),
        ("", term.formula),
        ("", f"= {term.values}"),
    ]
    return tuple([*found, ("", term.note)] if term.note else found)


def _scaled(size: float, units: tuple[tuple[str, int], ...]) -> str:
    for unit, scale in units:
        if abs(size) >= scale:
            return f"{_plain(size / scale)} {unit}"
    return f"{size:,.0f} bytes"


def _plain(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 0.1 or value == 0:
        return f"{value:.2f}"
    return f"{value:.4f}" if abs(value) >= 0.0001 else f"{value:.0e}"
