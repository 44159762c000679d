"""The settings of the quantization laboratory. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from llmlab.engine.quantization.schemes import (
    ABSMAX,
    GRANULARITIES,
    GROUPS,
    LEAST_BITS,
    MOST_BITS,
    STANDARD,
    Scheme,
)

LEAST_TOKENS, MOST_TOKENS = 8, 256
LONGEST_TEXT = 20_000  # characters that are kept in the settings
SAMPLE = (
    "Once upon a time there was a little girl named Lily. She loved to play in the park with her friend Tom. One day "
    'they saw a big red ball under a tree. "Look!" said Lily. "Let us play with the ball." But the ball was not '
    'theirs. A small dog came and looked sad. "Is this your ball?" asked Tom. The dog wagged its tail. They gave the '
    "ball back to the dog, and the dog was very happy. From that day on, they all played together."
)


class View(StrEnum):
    """What is below the table."""

    WEIGHTS = "weights"
    DAMAGE = "damage"
    TEXT = "text"
    COMPLETIONS = "completions"
    SENSITIVITY = "sensitivity"  # in the place of the table as well


class Sight(StrEnum):
    """What is seen of the sensitivity."""

    PARTS = "parts"
    MIXED = "mixed"


class Source(StrEnum):
    """Which text the models are compared over."""

    SAMPLE = "sample"
    PROMPT = "prompt"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Params:
    """`chosen`: which of `STANDARD` are compared, by their names; the rest is absmax's settings and the text's."""

    view: View = View.WEIGHTS
    chosen: tuple[str, ...] = tuple(scheme.name for scheme in STANDARD)
    bits: int = 4
    granularity: str = "group"
    group_size: int = 64
    source: Source = Source.SAMPLE
    own: str = ""
    new_tokens: int = 48
    sight: Sight = Sight.PARTS

    @property
    def absmax(self) -> Scheme:
        """The scheme of one's own."""
        return Scheme(ABSMAX, bits=self.bits, granularity=self.granularity, group_size=self.group_size)

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """What is compared, in the table's order."""
        return (*(scheme for scheme in STANDARD if scheme.name in self.chosen), self.absmax)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        default = asdict(Params())
        changed = {name: value for name, value in asdict(self).items() if value != default[name]}
        if "chosen" in changed:
            changed["chosen"] = list(self.chosen)
        return changed

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        params = cls()
        for field in fields(cls):
            if field.name in saved:
                value = _valid(field.name, saved[field.name])
                params = params if value is None else replace(params, **{field.name: value})
        return params


_KINDS: dict[str, type[StrEnum]] = {"view": View, "source": Source, "sight": Sight}


def _valid(name: str, value: Any) -> Any:
    """A saved value as the setting has it, or None."""
    if name == "chosen":
        known = [scheme.name for scheme in STANDARD]
        return tuple(each for each in known if each in value) if isinstance(value, list) else None
    if name in _KINDS:
        return _KINDS[name](value) if value in list(_KINDS[name]) else None
    if name == "own":
        return value[:LONGEST_TEXT] if isinstance(value, str) else None
    if name == "granularity":
        return value if value in GRANULARITIES else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if name == "group_size":
        return value if value in GROUPS else None
    low, high = (LEAST_BITS, MOST_BITS) if name == "bits" else (LEAST_TOKENS, MOST_TOKENS)
    return value if low <= value <= high else None
