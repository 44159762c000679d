"""The built-in list of well-known architectures: their config.json, no weights. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.paths import resources


@dataclass(frozen=True, slots=True)
class KnownArchitecture:
    """One model of the list. `config` as `describe` takes it; `parameters` as published, and as counted on `config`.

    `source` names both, and says what of them is not confirmed, if anything.
    """

    name: str
    config: dict[str, Any]
    parameters: int
    source: str


@cache
def architectures() -> tuple[KnownArchitecture, ...]:
    """All of the list, in its order: by family, small ones first."""
    rows = json.loads(list_path().read_text(encoding="utf-8"))["architectures"]
    return tuple(KnownArchitecture(row["name"], row["config"], row["parameters"], row["source"]) for row in rows)


def architecture(name: str) -> KnownArchitecture:
    """The architecture of that name. Raises InputError."""
    found = next((one for one in architectures() if one.name == name), None)
    if found is None:
        raise InputError(f"There is no architecture “{name}” in the list.", "Choose one of the list.")
    return found


def list_path() -> Path:
    """Where the list lies."""
    return resources() / "architectures" / "architectures.json"
