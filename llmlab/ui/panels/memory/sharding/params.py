"""What is run over several processes. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from llmlab.engine.sharding.types import DEVICES, METHODS, MOST_SEQUENCES, MOST_STEPS, RANKS, ShardingRequest

LIMITS = {"steps": (1, MOST_STEPS), "batch": (1, MOST_SEQUENCES), "tokens": (2, 512)}  # of the sliders


@dataclass(frozen=True, slots=True)
class Params:
    """`methods` by their names, in the order of `METHODS`."""

    methods: tuple[str, ...] = tuple(METHODS)
    ranks: int = 2
    steps: int = 4
    batch: int = 2
    tokens: int = 64
    device: str = "auto"

    @property
    def request(self) -> ShardingRequest:
        """What the engine is asked for."""
        methods = tuple(method for method in METHODS if method in self.methods)
        return ShardingRequest(methods, self.ranks, self.steps, self.batch, self.tokens, self.device)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        default = asdict(Params())
        changed = {name: value for name, value in asdict(self).items() if value != default[name]}
        if "methods" in changed:
            changed["methods"] = list(self.methods)
        return changed

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        good: dict[str, Any] = {}
        for name, (low, high) in {**LIMITS, "ranks": (RANKS[0], RANKS[-1])}.items():
            value = saved.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
                good[name] = value
        params = cls(**good)
        methods, device = saved.get("methods"), saved.get("device")
        if isinstance(methods, list):
            params = replace(params, methods=tuple(str(method) for method in METHODS if method in methods))
        return replace(params, device=device) if device in DEVICES else params
