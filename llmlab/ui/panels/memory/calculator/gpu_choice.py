"""The GPUs that are compared: this machine's own and the table's, which its user edits and sorts. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmlab.engine.errors import EngineError
from llmlab.engine.memory.edited import GpuTable, checked_row, from_values, to_values
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.overview import inference_fits, training_fits
from llmlab.engine.memory.shape import ModelShape
from llmlab.ui.panels.memory.calculator import gpurows
from llmlab.ui.panels.memory.calculator.params import MOST_MARKED, Params


class GpuChoice:
    """Keeps the table and its order. `machine` are this machine's own, None until its devices are known."""

    def __init__(self, saved: Any) -> None:
        self._table: GpuTable = from_values(saved)
        self._order = (-1, False)  # the column that the table is sorted by, and whether downwards
        self.machine: tuple[Gpu, ...] | None = None

    def save(self) -> dict[str, Any] | None:
        """What was changed in the table, None for nothing."""
        return to_values(self._table) if self._table.changed else None

    @property
    def all(self) -> tuple[Gpu, ...]:
        """This machine's own first, then the table's."""
        return self._table.all(self.machine or ())

    def named(self, names: Sequence[str]) -> tuple[Gpu, ...]:
        """Those of these names, as many as the plots compare, this machine's first."""
        return tuple(gpu for gpu in self.all if gpu.name in names)[:MOST_MARKED]

    def device(self, device: str) -> Gpu | None:
        """The row of this machine for one of torch's devices: GPUs in their order, the main memory last."""
        machine = self.machine or ()
        kind, _, index = device.partition(":")
        if kind == "cpu":
            return machine[-1] if machine else None
        place = int(index or 0)
        return machine[place] if place < len(machine) - 1 else None

    def keep(self, name: str, memory: float, bandwidth: float, former: Gpu | None) -> str:
        """Add a row, or change `former`; returns what is wrong with it, or nothing."""
        try:
            row = checked_row(name, memory, bandwidth, former)
            self._table = self._table.with_row(row, former.name if former else None)
        except EngineError as error:
            return f"{error.message} {error.hint}"
        return ""

    def remove(self, names: Sequence[str]) -> None:
        """Take rows out of the table."""
        for name in names:
            self._table = self._table.without(name)

    def restore(self) -> None:
        """The built-in table again."""
        self._table = GpuTable()

    def sort(self, column: int) -> None:
        """By this column of the table; a second click turns the order around, a third is the table's own again."""
        before, descending = self._order
        if before != column:
            self._order = (column, False)
        else:
            self._order = (column, True) if not descending else (-1, False)

    def rows(self, shape: ModelShape, params: Params) -> gpurows.Gpus:
        """What fits on each of them. Raises InputError."""
        if params.training:
            found = training_fits(shape, params.training_settings(shape), params.plan, self.all)
        else:
            found = inference_fits(shape, params.inference_settings, self.all)
        column, descending = self._order
        changed = self._table.changed
        return gpurows.table(found, params.marked, column, descending=descending, changed=changed)
