"""The panel's settings: one frozen dataclass, to and from the settings file. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

TABS = ("table", "pipeline", "merges", "compare", "vocabulary", "embedding", "chat", "tools")
COLOURINGS = ("token", "kind", "count")
MAX_COMPARED = 3  # besides the tokenizer of the strip
MAX_CHUNK = 1_000_000
MAX_RATE = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Params:
    """Which tokenizer, how its tokens are coloured, and what is below the strip."""

    tokenizer: str = ""  # a spec; empty: that of the loaded model
    special: bool = True  # the strip shows the special tokens that the tokenizer puts around the text
    colouring: str = "token"
    tab: str = "table"
    compared: tuple[str, ...] = ("bundled:decoder", "bundled:encoder", "bundled:seq2seq")
    chunk_size: int = 256
    chunk_overlap: int = 32
    generation_prompt: bool = True  # a rendered chat ends where the model's answer begins
    rate: float = 1.0  # currency units per million tokens

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"compared": list(self.compared)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote. A value that is missing or makes no sense is left at its default."""
        good = {}
        for item in fields(cls):
            value = _checked(item.name, saved.get(item.name))
            if value is not None:
                good[item.name] = value
        params = cls(**good)
        return params if params.chunk_overlap < params.chunk_size else cls(**good | {"chunk_overlap": 0})


def _checked(name: str, value: object) -> Any:
    """`value` if it can stand for setting `name`, else None."""
    if name == "compared":
        return _specs(value) if isinstance(value, (list, tuple)) else None
    if name in ("tokenizer", "colouring", "tab"):
        allowed = {"colouring": COLOURINGS, "tab": TABS}.get(name)
        return value if isinstance(value, str) and (allowed is None or value in allowed) else None
    if name in ("generation_prompt", "special"):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if name == "rate":
        return float(value) if 0 <= value <= MAX_RATE else None
    low = 1 if name == "chunk_size" else 0
    return int(value) if low <= value <= MAX_CHUNK else None


def _specs(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and v))[: MAX_COMPARED + 1]
