"""Counts and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Proportion:
    """``hits`` of ``trials``."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share of hits, 0..1."""
        return self.hits / self.trials if self.trials else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927)."""
        if not self.trials:
            return (float("nan"), float("nan"))
        z, n, p = 1.96, self.trials, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return (max(0.0, middle - half), min(1.0, middle + half))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.0f} ({100 * low:.0f}–{100 * high:.0f})"
