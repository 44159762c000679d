"""How a weight becomes a place on the colour scale. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

DECADES = 4  # of the logarithmic scale


class Scale(StrEnum):
    """How a weight becomes a colour."""

    LINEAR = "linear"
    LOG = "log"
    ROW = "row"  # by the largest weight of its row
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Norm:
    """A scale that ends at `high`. A logarithmic one begins DECADES below, a difference at −`high`."""

    scale: Scale = Scale.LINEAR
    high: float = 1.0

    @property
    def low(self) -> float:
        """Where the scale begins."""
        if self.scale is Scale.DIFFERENCE:
            return -self.high
        return self.high * 10.0**-DECADES if self.scale is Scale.LOG else 0.0

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Numbers beside the colour bar: (place from 0 to 1, text)."""
        if self.scale is Scale.LOG:
            return tuple((i / DECADES, _short(self.high * 10.0 ** (i - DECADES))) for i in range(DECADES + 1))
        places = (0.0, 0.25, 0.5, 0.75, 1.0)
        return tuple((place, _short(self.low + place * (self.high - self.low))) for place in places)

    def places(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Where each weight stands on the scale, 0 to 1."""
        numbers = values.astype(np.float64)
        if self.scale is Scale.LOG:
            with np.errstate(divide="ignore", invalid="ignore"):
                numbers = np.log10(np.maximum(numbers, 0) / self.low) / DECADES
        else:
            numbers = (numbers - self.low) / (self.high - self.low)
        return np.clip(np.nan_to_num(numbers, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)


def nice_limit(largest: float) -> float:
    """The end of a scale that `largest` fits under: the next of 1, 2, 5 × 10ⁿ."""
    if not math.isfinite(largest) or largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * step for step in (1, 2, 5, 10) if largest <= power * step * (1 + 1e-6))


def _short(value: float) -> str:
    return f"{value:.3g}"
