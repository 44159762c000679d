"""The table of GPUs as its user keeps it: rows added, changed or taken away. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.engine.memory.hardware import Gpu, gpus

OWN_ROW = "Entered by hand"
MOST_NAME = 60


@dataclass(frozen=True, slots=True)
class GpuTable:
    """What differs from the built-in table: `rows` replace those of the same name or are new, `removed` are gone."""

    rows: tuple[Gpu, ...] = ()
    removed: tuple[str, ...] = ()

    def all(self, machine: Iterable[Gpu] = ()) -> tuple[Gpu, ...]:
        """The whole table: this machine's own first, the others by memory and bandwidth."""
        own = {row.name: row for row in self.rows}
        built_in = [own.pop(gpu.name, gpu) for gpu in gpus() if gpu.name not in self.removed]
        others = sorted([*built_in, *own.values()], key=lambda gpu: (gpu.memory, gpu.bandwidth, gpu.name))
        return (*machine, *others)

    def with_row(self, gpu: Gpu, former: str | None = None) -> GpuTable:
        """The table with `gpu` in place of the row `former`, or as a new one. Raises InputError."""
        if former != gpu.name and any(gpu.name == other.name for other in self.all()):
            raise InputError(f"There is a GPU “{gpu.name}” already.", "Give it another name, or change that row.")
        table = self if former in (None, gpu.name) else self.without(str(former))
        rows = tuple(row for row in table.rows if row.name != gpu.name)
        return GpuTable((*rows, gpu), tuple(name for name in table.removed if name != gpu.name))

    def without(self, name: str) -> GpuTable:
        """The table less one row."""
        rows = tuple(row for row in self.rows if row.name != name)
        built_in = any(gpu.name == name for gpu in gpus())
        return GpuTable(rows, (*self.removed, name) if built_in and name not in self.removed else self.removed)

    @property
    def changed(self) -> bool:
        """Whether it differs from the built-in table."""
        return bool(self.rows or self.removed)


def checked_row(name: str, memory: float, bandwidth: float, former: Gpu | None = None) -> Gpu:
    """A row typed by hand: `memory` in GiB, `bandwidth` in GB/s. Raises InputError."""
    name = " ".join(name.split())
    if not name:
        raise InputError("The GPU has no name.", "Give it one, such as “RTX 4090 in the corner”.")
    if len(name) > MOST_NAME:
        raise InputError(f"A name of {len(name):,} characters is too long.", f"Give one of at most {MOST_NAME}.")
    for what, value, most in (("memory", memory, 2**20), ("bandwidth", bandwidth, 10**7)):
        if not math.isfinite(value) or not 0 < value <= most:
            unit = "GiB" if what == "memory" else "GB/s"
            raise InputError(f"The {what} of “{name}” is {value:g} {unit}.", f"Give a number above 0, up to {most:,}.")
    values = Gpu(name, "", "own", round(memory * 2**30), round(bandwidth * 1e9), OWN_ROW)
    return values if former is None else replace(values, vendor=former.vendor, kind=former.kind)


def to_values(table: GpuTable) -> dict[str, Any]:
    """The table as values for a JSON file."""
    rows = [
        {
            "name": row.name,
            "vendor": row.vendor,
            "kind": row.kind,
            "memory": row.memory,
            "bandwidth": row.bandwidth,
            "source": row.source,
        }
        for row in table.rows
    ]
    return {"rows": rows, "removed": list(table.removed)}


def from_values(values: Any) -> GpuTable:
    """The table from a JSON file's values; what makes no sense in it is left out."""
    if not isinstance(values, Mapping):
        return GpuTable()
    rows, removed = values.get("rows"), values.get("removed")
    found = [_row(row) for row in rows] if isinstance(rows, list) else []
    named = {row.name: row for row in found if row is not None}
    gone = [name for name in removed if isinstance(name, str)] if isinstance(removed, list) else []
    return GpuTable(tuple(named.values()), tuple(gone))


def _row(values: Any) -> Gpu | None:
    if not isinstance(values, Mapping):
        return None
    texts = [values.get(name) for name in ("name", "vendor", "kind", "source")]
    numbers = [values.get(name) for name in ("memory", "bandwidth")]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        return None
    name, vendor, kind, source = map(str, texts)
    memory, bandwidth = (int(number) for number in numbers if number is not None)
    if not name or len(name) > MOST_NAME or min(memory, bandwidth) <= 0:
        return None
    return Gpu(name, vendor, kind, memory, bandwidth, source)
