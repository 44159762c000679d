"""Texts to try a tokenizer on, from resources/prompts. No Qt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from llmlab.paths import resources


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and what it is."""

    name: str
    text: str


@cache
def samples() -> tuple[Sample, ...]:
    """All of them, in the order of the file."""
    content = json.loads((resources() / "prompts" / "tokens.json").read_text("utf-8"))
    return tuple(Sample(item["name"], item["text"]) for item in content["samples"])


def sample(name: str) -> str:
    """The text called `name`."""
    return next(item.text for item in samples() if item.name == name)
