"""Numbers and sentences as people read them. Units are decimal: 1 MB is 10⁶ bytes, 1 GB is 10⁹."""

from __future__ import annotations

import textwrap

TIP_WIDTH = 80  # characters of a line


def count(number: float) -> str:
    """4_103_424 -> "4.1 M"; three digits at most."""
    for limit, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:g}"


def size(number: float) -> str:
    """Bytes: 612_400_000 -> "612 MB"."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit:
            value = number / limit
            return (
                f"{value:.2f} {unit}"
                if value < 10
                else f"{value:.4g} {unit}"
                if value < 1000
                else f"{value:.0f} {unit}"
            )
    return f"{number:.0f} B"


def in_lines(*paragraphs: str) -> str:
    """A tooltip: every paragraph broken into lines, since Qt breaks none of plain text."""
    return "\n".join(textwrap.fill(paragraph, TIP_WIDTH) for paragraph in paragraphs if paragraph)
