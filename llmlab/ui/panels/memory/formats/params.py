"""The settings of the tab, to and from the settings file. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llmlab.engine.numberformats import FLOATS

NAMES = (*(kind.name for kind in FLOATS), "INT8", "NF4")
MOST_CHARACTERS = 2000
# What becomes of numbers beyond the range: `saturate` of the engine's functions.
OVERFLOW: Mapping[str, bool | None] = {"torch": None, "infinity": False, "saturate": True}


@dataclass(frozen=True, slots=True)
class Params:
    """The number and the others of its block as they were typed, and the format that is looked at closely."""

    number: str = "3.141592"
    block: str = "0.5 -1.2 2.4 4"
    overflow: str = "torch"
    chosen: str = "FP16"

    @property
    def saturate(self) -> bool | None:
        """As the engine's functions take it."""
        return OVERFLOW[self.overflow]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        choices = {"overflow": tuple(OVERFLOW), "chosen": NAMES}
        good = {
            name: value
            for name in ("number", "block", "overflow", "chosen")
            if isinstance(value := saved.get(name), str)
            and len(value) <= MOST_CHARACTERS
            and value in choices.get(name, (value,))
        }
        return cls(**good)
