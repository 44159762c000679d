"""The values of a JSON or YAML file: text, lists and mappings, whatever a number or a `Yes` would mean elsewhere.

Labels stay text: YAML's `Yes` is not true, `1.0` is not 1, and a number of 5,000 digits is just long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeAlias

Value: TypeAlias = "str | list[Value] | Record"


class Record(dict[str, "Value"]):
    """A mapping, and the line it begins in (from 1; None where that is unknown)."""

    __slots__ = ("line",)

    def __init__(self, line: int | None = None) -> None:
        super().__init__()
        self.line = line


class Foreign(str):
    """A scalar under a tag that would need code, such as `!function`: it is shown and never run."""

    __slots__ = ()


NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "yes", "on"})


def is_nothing(value: Value) -> bool:
    """Whether YAML would take the value for none at all."""
    return isinstance(value, str) and value in NOTHING


def text_of(value: Value) -> str:
    """A value as one text: lists and mappings as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_true(value: Value) -> bool:
    """Whether a setting is on, in the spellings of YAML."""
    return isinstance(value, str) and value.lower() in _TRUE


def scalar(record: Record, name: str, default: str = "") -> str:
    """The text of a setting that is one text; `default` where it is missing, empty by YAML's meaning, or no text."""
    value = record.get(name, default)
    return value if isinstance(value, str) and value not in NOTHING - {""} else default


def record_lists(value: Value, path: str = "", depth: int = 0) -> Iterator[tuple[str, list[Value]]]:
    """Every list of mappings or texts in `value`, with its path of keys, as in `data.examples`; outermost first."""
    if isinstance(value, list):
        if value:
            yield path, value
    elif isinstance(value, Record) and depth < 4:
        for key, inner in value.items():
            yield from record_lists(inner, f"{path}.{key}" if path else key, depth + 1)
