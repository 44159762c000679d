"""The table of GPUs as it is shown: what fits on each, sorted. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmlab.engine.memory.overview import GpuFit
from llmlab.ui.panels.memory import sizes
from llmlab.ui.panels.memory.calculator import words
from llmlab.ui.panels.memory.calculator.params import PRECISIONS
from llmlab.ui.words import both_sizes

OWN = "this machine"  # the kind of this machine's own, which always stand first


@dataclass(frozen=True, slots=True)
class GpuColumn:
    """A column: its cells as text, and what it is sorted by."""

    name: str
    tooltip: str
    width: int  # in digits; 0 takes the room that is left
    text: Callable[[GpuFit], str]
    value: Callable[[GpuFit], Any]
    number: bool = True


def precision_name(found: GpuFit) -> str:
    """The best precision that fits, as the list of precisions has it."""
    if found.precision is None:
        return "–"
    return next((name for name, *how in PRECISIONS.values() if tuple(how) == found.precision), found.precision[0])


def _rank(found: GpuFit) -> int:
    order = [tuple(how) for _, *how in PRECISIONS.values()]
    return order.index(found.precision) if found.precision in order else len(order)


GPU_COLUMNS = (
    GpuColumn("GPU", "Rows that are chosen are the lines of the other pages", 0, lambda f: f.gpu.name,
              lambda f: f.gpu.name.lower(), number=False),
    GpuColumn("GB", "Its memory, 10⁹ bytes", 5, lambda f: sizes.GIGA.cells(f.gpu.memory)[0], lambda f: f.gpu.memory),
    GpuColumn("GiB", "Its memory, 2³⁰ bytes, as its driver reports it where that is known", 5,
              lambda f: sizes.GIGA.cells(f.gpu.memory)[1], lambda f: f.gpu.memory),
    GpuColumn("GB/s", "How fast it reads its memory", 6, lambda f: f"{f.gpu.bandwidth / 1e9:,.0f}",
              lambda f: f.gpu.bandwidth),
    GpuColumn("fits", "Whether what is calculated fits on it", 4, lambda f: "yes" if f.fits else "no",
              lambda f: f.fits, number=False),
    GpuColumn("free GB", "What stays free; below 0, what is missing", 7,
              lambda f: sizes.GIGA.cells(f.headroom)[0].replace("-", "−"), lambda f: f.headroom),
    GpuColumn("context", "The longest context that fits, with the batch as it is", 9,
              lambda f: "–" if f.context is None else f"{f.context:,}", lambda f: f.context or 0),
    GpuColumn("batch", "The largest batch that fits, with the context as it is", 7,
              lambda f: "–" if f.batch is None else f"{f.batch:,}", lambda f: f.batch or 0),
    GpuColumn("best", "The precision that loses least and fits", 11, precision_name, _rank, number=False),
    GpuColumn("tokens/s", "The limit that its bandwidth sets to decoding, all sequences together", 8,
              lambda f: "–" if f.tokens_per_second is None else words.speed(f.tokens_per_second),
              lambda f: f.tokens_per_second or 0.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gpus:
    """The rows in their order, and how they are sorted: `column` is -1 for the table's own order."""

    rows: tuple[GpuFit, ...]
    marked: frozenset[str]
    column: int
    descending: bool
    changed: bool  # the table is not the built-in one
    summary: str


def table(found: Sequence[GpuFit], marked: Sequence[str], column: int, *, descending: bool, changed: bool) -> Gpus:
    """Sorted by a column; this machine's own stay on top."""
    rows = list(found)
    if column >= 0:
        rows.sort(key=GPU_COLUMNS[column].value, reverse=descending)
    rows.sort(key=lambda each: each.gpu.kind != OWN)
    return Gpus(tuple(rows), frozenset(marked), column, descending, changed, summary(found))


def summary(found: Sequence[GpuFit]) -> str:
    """How many of them it fits on, and the smallest of these."""
    fitting = [each for each in found if each.fits]
    if not found:
        return ""
    if not fitting:
        return f"Fits on none of {len(found)}; {both_sizes(found[0].needs)} are needed"
    smallest = min(fitting, key=lambda each: each.gpu.memory)
    return f"Fits on {len(fitting)} of {len(found)}; the smallest is {smallest.gpu.name}"
