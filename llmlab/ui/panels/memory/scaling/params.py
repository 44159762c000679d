"""The settings of the scaling laws. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from llmlab.engine.scaling.known import accelerators
from llmlab.engine.scaling.laws import LAWS, REPLICATION, Law
from llmlab.engine.scaling.planning import Budget

MOST_GPUS = 10_000_000
LEAST_DAYS, MOST_DAYS = 0.01, 3_650.0
LEAST_PEAK, MOST_PEAK = 0.1, 100_000.0  # teraFLOP/s
MOST_PRICE = 10_000.0
LEAST_SIZE, MOST_SIZE = 0.001, 10_000.0  # billions of parameters


class View(StrEnum):
    """The picture."""

    SIZE = "size"
    COMPUTE = "compute"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Params:
    """`accelerator` is empty where `peak`, in teraFLOP/s, is the user's own; `size` is in billions of parameters."""

    view: View = View.SIZE
    law: str = REPLICATION.name
    accelerator: str = "H100 SXM"
    peak: float = 989.5
    gpus: int = 8
    days: float = 30.0
    utilization: float = 0.4
    price: float = 2.5
    own: bool = False
    size: float = 7.0
    known: bool = True

    @property
    def chosen_law(self) -> Law:
        """The law by its name."""
        return next(law for law in LAWS if law.name == self.law)

    @property
    def budget(self) -> Budget:
        """What there is to train with. Raises InputError."""
        return Budget(self.gpus, self.peak * 1e12, self.days, self.utilization, self.price)

    @property
    def parameters(self) -> float | None:
        """The size of one's own, or None for the law's."""
        return self.size * 1e9 if self.own else None

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        default = asdict(Params())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        names = [field.name for field in fields(cls) if field.name in saved]
        good: dict[str, Any] = {name: saved[name] for name in names if _is_valid(name, saved[name])}
        if "view" in good:
            good["view"] = View(good["view"])
        return cls(**good)


_RANGES = {
    "peak": (LEAST_PEAK, MOST_PEAK),
    "gpus": (1, MOST_GPUS),
    "days": (LEAST_DAYS, MOST_DAYS),
    "utilization": (0.01, 1.0),
    "price": (0.0, MOST_PRICE),
    "size": (LEAST_SIZE, MOST_SIZE),
}


def _is_valid(name: str, value: Any) -> bool:
    if name in _RANGES:
        low, high = _RANGES[name]
        number = isinstance(value, int) if name == "gpus" else isinstance(value, (int, float))
        return number and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
    if name in ("own", "known"):
        return isinstance(value, bool)
    choices: dict[str, list[str]] = {
        "view": [str(view) for view in View],
        "law": [law.name for law in LAWS],
        "accelerator": ["", *(each.name for each in accelerators())],
    }
    return isinstance(value, str) and value in choices[name]
