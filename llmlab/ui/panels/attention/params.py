"""The panel's settings: one frozen dataclass, to and from the settings file. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

TABS = ("map", "text", "lines", "pair", "flow", "effect", "lens", "compare")
SCALES = ("linear", "log", "row")
READ = ("prompt", "completion")
REDUCTIONS = ("mean", "max")
SEGMENTS: Mapping[str, tuple[int, int] | None] = {
    "all": None, "A→A": (0, 0), "A→B": (0, 1), "B→A": (1, 0), "B→B": (1, 1)
}  # fmt: skip
BY_LAYER = "layer"  # the order of the grid that follows no score
MAX_PADDING = 64
MAX_TEXT = 20_000  # characters of a second text that are kept in the settings file


@dataclass(frozen=True, slots=True)
class Params:
    """What is read, how its weights are shown, and which tab is in front."""

    tab: str = "map"
    read: str = "prompt"
    target: str = ""  # what the decoder of an encoder-decoder model reads
    pair: str = ""  # the second sentence, of an encoder
    segments: str = "all"
    padding: int = 0  # tokens after the text, or before it where negative
    scale: str = "linear"
    reduction: str = "mean"
    hide_first: bool = False
    words: bool = False
    value_weighted: bool = False
    sort: str = BY_LAYER  # or the name of a score
    score: str = "induction"  # the score that the grid shows and filters by
    threshold: float = 0.0  # heads with a smaller score are pale

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        kept = {"target": self.target[:MAX_TEXT], "pair": self.pair[:MAX_TEXT]}
        return asdict(self) | kept

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote. A value that is missing or makes no sense is left at its default."""
        good = {}
        for item in fields(cls):
            value = _checked(item.name, saved.get(item.name))
            if value is not None:
                good[item.name] = value
        return cls(**good)


ALLOWED: Mapping[str, tuple[str, ...]] = {
    "tab": TABS, "read": READ, "scale": SCALES, "reduction": REDUCTIONS, "segments": tuple(SEGMENTS)
}  # fmt: skip
FREE = ("target", "pair", "sort", "score")
SWITCHES = ("hide_first", "words", "value_weighted")


def _checked(name: str, value: object) -> Any:
    """`value` if it can stand for setting `name`, else None."""
    if name in ALLOWED:
        return value if value in ALLOWED[name] else None
    if name in FREE:
        return value if isinstance(value, str) else None
    if name in SWITCHES:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if name == "padding":
        return int(value) if abs(value) <= MAX_PADDING else None
    return float(value) if 0 <= value <= 1 else None
