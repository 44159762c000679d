"""What is measured. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from llmlab.engine.memory_measure.types import MeasureSettings

PHASES = ("Prefill", "Decoding", "Training step")
LIMITS = {"tokens": (2, 4096), "steps": (0, 64), "batch": (1, 32)}  # of the sliders


@dataclass(frozen=True, slots=True)
class Params:
    """`phase`: which of `PHASES` is shown."""

    tokens: int = 256
    steps: int = 8
    batch: int = 1
    train: bool = False
    phase: str = PHASES[0]

    @property
    def settings(self) -> MeasureSettings:
        """What the engine is asked for."""
        return MeasureSettings(self.tokens, self.steps, self.batch, self.train)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        default = asdict(Params())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        good: dict[str, Any] = {}
        for name, (low, high) in LIMITS.items():
            value = saved.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
                good[name] = value
        params = cls(**good)
        phase = saved.get("phase")
        return replace(params, train=saved.get("train") is True, phase=phase if phase in PHASES else params.phase)
