"""The table of GPUs: memory and bandwidth, each with its source. Imports no torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llmlab.engine.errors import InputError
from llmlab.engine.memory.terms import GIB
from llmlab.paths import resources


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU. `memory` in bytes, as its driver reports it where that is known; `bandwidth` in bytes/s.

    `kind` is "consumer", "workstation", "data centre" or "unified" (main memory that CPU and GPU share). `source` names
    where the figures were read, and says what of them is not confirmed, if anything. `cpu`: no GPU at all, but main
    memory, with a CPU's kernels and no CUDA context in it.
    """

    name: str
    vendor: str
    kind: str
    memory: int
    bandwidth: int
    source: str
    cpu: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for memory or bandwidth that cannot be: rows can be edited by hand."""
        for what, value in (("memory", self.memory), ("bandwidth", self.bandwidth)):
            if not math.isfinite(value) or value <= 0:
                raise InputError(f"The {what} of “{self.name}” is {value}.", "Give a number above 0.")


@cache
def gpus() -> tuple[Gpu, ...]:
    """All GPUs of the built-in table, those with little memory first."""
    table = json.loads(table_path().read_text(encoding="utf-8"))["gpus"]
    return tuple(sorted(map(_gpu, table), key=lambda gpu: (gpu.memory, gpu.bandwidth, gpu.name)))


def gpu(name: str) -> Gpu:
    """The GPU of that name. Raises InputError."""
    found = next((one for one in gpus() if one.name == name), None)
    if found is None:
        raise InputError(f"There is no GPU “{name}” in the table.", "Choose one of the table, or add it.")
    return found


def table_path() -> Path:
    """Where the table lies."""
    return resources() / "hardware" / "gpus.json"


def _gpu(row: dict[str, str | int | float]) -> Gpu:
    reported = row.get("reported_mib")
    memory = int(reported) * 2**20 if reported else int(float(row["memory_gib"]) * GIB)
    return Gpu(
        str(row["name"]),
        str(row["vendor"]),
        str(row["kind"]),
        memory,
        round(float(row["bandwidth_gb_s"]) * 1e9),
        str(row["source"]),
    )
