"""Sizes and lists as messages say them. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence


def size_text(size: float) -> str:
    """Bytes in powers of ten, as storage and memory are sold: 12 MB, 16.1 GB."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            value = size / scale
            return f"{value:,.1f} {unit}" if value < 100 and unit == "GB" else f"{value:,.0f} {unit}"
    return f"{size:,.0f} bytes"


def one_of(choices: Sequence[str]) -> str:
    """The choices in a sentence: “a, b or c”."""
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]


def some_of(names: Sequence[str], limit: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: BaseException, limit: int = 300) -> str:
    """What an exception of another library says, short enough to stand in a sentence, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:limit].rstrip(". ")
