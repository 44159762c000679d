"""Models that were trained, and accelerators with their peak: the built-in tables, each row with its source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.engine.scaling.laws import PER_TOKEN
from llmlab.paths import resources


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A trained model. `parameters` in all, `active` those that a token goes through: the same but for experts.

    `source` says what of it is not confirmed, if anything.
    """

    name: str
    maker: str
    year: int
    parameters: float
    active: float
    tokens: float
    source: str

    @property
    def operations(self) -> float:
        """C = 6 · active parameters · tokens."""
        return PER_TOKEN * self.active * self.tokens

    @property
    def tokens_per_parameter(self) -> float:
        """D / active parameters."""
        return self.tokens / self.active


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`peak` operations a second with 16-bit tensors and 32-bit sums, without sparsity, as the data sheet has it."""

    name: str
    peak: float
    source: str


@dataclass(frozen=True, slots=True)
class KnownUtilization:
    """The share of the peak that a published run reached."""

    run: str
    share: float
    source: str


@cache
def known_models() -> tuple[KnownModel, ...]:
    """All of the table, those with little compute first."""
    rows = [
        KnownModel(
            row["name"],
            row["maker"],
            row["year"],
            float(row["parameters"]),
            float(row.get("active", row["parameters"])),
            float(row["tokens"]),
            row["source"],
        )
        for row in _table("models")["models"]
    ]
    return tuple(sorted(rows, key=lambda model: model.operations))


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """All of the table, slow ones first."""
    rows = [Accelerator(row["name"], row["peak"], row["source"]) for row in _table("accelerators")["accelerators"]]
    return tuple(sorted(rows, key=lambda each: each.peak))


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name. Raises InputError."""
    found = next((each for each in accelerators() if each.name == name), None)
    if found is None:
        raise InputError(
            f"There is no accelerator “{name}” in the table.", "Choose one of the table, or give its peak."
        )
    return found


@cache
def utilizations() -> tuple[KnownUtilization, ...]:
    """Published utilizations, low ones first."""
    rows = [KnownUtilization(**row) for row in _table("accelerators")["utilizations"]]
    return tuple(sorted(rows, key=lambda each: each.share))


def _table(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(table_path(name).read_text(encoding="utf-8"))
    return content


def table_path(name: str) -> Path:
    """Where a table lies."""
    return resources() / "scaling" / f"{name}.json"
