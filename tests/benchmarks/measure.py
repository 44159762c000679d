"""How the benchmarks measure: side by side, in one process, in turns, so that a busy machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ok` is None where there is no budget, only a number worth knowing."""

    name: str
    value: float
    unit: str
    budget: str
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Median seconds of two pieces of work that took turns, and the median of first ÷ second."""

    first: float
    second: float
    ratio: float


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(first: Callable[[], object], second: Callable[[], object], repeats: int = 7) -> Comparison:
    """Both run in turns, `repeats` times after one run each that does not count; who begins changes every time."""
    first()
    second()
    pairs = []
    for turn in range(repeats):
        if turn % 2:
            later = seconds(second)
            pairs.append((seconds(first), later))
        else:
            pairs.append((seconds(first), seconds(second)))
    return Comparison(
        first=statistics.median(a for a, _ in pairs),
        second=statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
    )


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed: 0.99 for the 99th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
