"""The panel's settings: one frozen dataclass, to and from the settings file. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from llmlab.engine.sampling import GenerationSettings, SamplingSettings

MAX_SEED = 2**31 - 1  # what a number field can hold
MAX_STOPS = 16
MAX_STOP_LENGTH = 200
TABS = ("completion", "branches", "ask")  # below the bars, in this order

# What each setting may be; the sliders end here too, so that the engine never has to refuse one.
LIMITS: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_k": (0, 1000),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.5, 2.0),
    "max_new_tokens": (1, 4000),
    "seed": (0, MAX_SEED),
}


@dataclass(frozen=True, slots=True)
class Params:
    """How the next token is chosen, how long, and how the bars are drawn."""

    do_sample: bool = True
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 100
    seed: int = 0
    stop: tuple[str, ...] = ()
    logarithmic: bool = False
    tab: str = TABS[0]

    @property
    def sampling(self) -> SamplingSettings:
        """What reshapes the distribution."""
        return SamplingSettings(
            do_sample=self.do_sample,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )

    @property
    def generation(self) -> GenerationSettings:
        """What a completion is made with."""
        return GenerationSettings(self.sampling, self.max_new_tokens, self.seed, self.stop)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"stop": list(self.stop)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote. A value that is missing or makes no sense is left at its default."""
        good = {}
        for field in fields(cls):
            value = _checked(field.name, saved.get(field.name), field.default)
            if value is not None:
                good[field.name] = value
        return cls(**good)


def _checked(name: str, value: object, default: object) -> Any:
    """`value` if it can stand for setting `name`, else None."""
    if name == "stop":
        return checked_stops(value) if isinstance(value, (list, tuple)) else None
    if name == "tab":
        return value if value in TABS else None
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    low, high = LIMITS[name]
    if not low <= value <= high:
        return None
    return int(value) if isinstance(default, int) else float(value)


def checked_stops(values: list[Any] | tuple[Any, ...]) -> tuple[str, ...]:
    """The usable stop strings among `values`: text, not empty, each once, not too many."""
    good = [value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_STOP_LENGTH]
    return tuple(dict.fromkeys(good))[:MAX_STOPS]
