"""How a slider's places stand for values: linear or logarithmic, with a place for "off". No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

PLACES = 1000  # positions of a slider, 0 … PLACES


@dataclass(frozen=True, slots=True)
class Scale:
    """The values `minimum` … `maximum`, rounded to `decimals`.

    A logarithmic scale whose minimum is 0 has 0 as its own first place and starts the logarithm at `first`.
    """

    minimum: float
    maximum: float
    decimals: int = 0
    logarithmic: bool = False
    first: float = 1.0

    def clamp(self, value: float) -> float:
        """The nearest value that the scale has."""
        return round(min(max(value, self.minimum), self.maximum), self.decimals)

    def value(self, place: int) -> float:
        """What `place` (0 … PLACES) stands for."""
        if not self.logarithmic:
            return self.clamp(self.minimum + (self.maximum - self.minimum) * place / PLACES)
        if place <= 0:
            return self.minimum
        low = math.log(self._lowest)
        return self.clamp(math.exp(low + (math.log(self.maximum) - low) * place / PLACES))

    def place(self, value: float) -> int:
        """The place nearest to `value`."""
        value = self.clamp(value)
        if not self.logarithmic:
            return round(PLACES * (value - self.minimum) / (self.maximum - self.minimum))
        if value <= self.minimum:
            return 0
        low = math.log(self._lowest)
        return max(1, round(PLACES * (math.log(value) - low) / (math.log(self.maximum) - low)))

    @property
    def step(self) -> float:
        """The smallest difference of two values."""
        return float(10**-self.decimals)

    @property
    def _lowest(self) -> float:
        return self.minimum if self.minimum > 0 else self.first
