"""What a heat map shows. Frozen, made in a job where it is large. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmlab.engine.types import Float32
from llmlab.ui.widgets.heatmap.codes import Heat


@dataclass(frozen=True, slots=True, eq=False)
class HeatPart:
    """A part of the map, from `row` and `column` on: `heat` and `values` with `per` × `per` units in a cell.

    `values` float32 (rows, columns), below 0 where masked; a cell of several units holds their maximum.
    """

    heat: Heat
    values: Float32
    row: int = 0
    column: int = 0
    per: int = 1

    def holds(self, row: int, column: int) -> bool:
        """Whether it covers a unit of the map."""
        rows: int = self.values.shape[0] * self.per
        columns: int = self.values.shape[1] * self.per
        return self.row <= row < self.row + rows and self.column <= column < self.column + columns


@dataclass(frozen=True, slots=True, eq=False)
class HeatPicture:
    """A whole map of `rows` × `columns` units (tokens or words) with a label for each.

    `base` covers all of it; `detail`, where the base is pooled, the part that is looked at, exactly. `row_line`,
    `column_line`: a boundary to draw before this unit, such as where the second sentence begins.
    """

    base: HeatPart
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    row_name: str = "query"
    column_name: str = "key"
    row_line: int | None = None
    column_line: int | None = None
    detail: HeatPart | None = None

    @property
    def rows(self) -> int:
        return len(self.row_labels)

    @property
    def columns(self) -> int:
        return len(self.column_labels)

    def part_at(self, row: int, column: int) -> HeatPart:
        """The most exact part that covers a unit."""
        return self.detail if self.detail is not None and self.detail.holds(row, column) else self.base

    def value_at(self, row: int, column: int) -> float:
        """The weight there, or the maximum of the cell that holds it; below 0 where masked."""
        part = self.part_at(row, column)
        return float(part.values[(row - part.row) // part.per, (column - part.column) // part.per])

    def rank_at(self, row: int, column: int) -> int | None:
        """1 for the largest weight of the row, None where the row is not known whole and exactly."""
        part = self.part_at(row, column)
        whole = part.column == 0 and part.values.shape[1] == self.columns
        if part.per != 1 or not whole:
            return None
        weights = part.values[row - part.row]
        value = weights[column]
        return None if value < 0 or np.isnan(value) else 1 + int(np.count_nonzero(weights > value))
