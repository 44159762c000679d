"""A table of a few rows that are made elsewhere: texts in columns, one row or several selected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QItemSelectionModel, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.tables import FrozenRows, Index, Table


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, what it means, its width in digits, and whether its cells are numbers.

    Columns of width 0 share the room that the others leave.
    """

    name: str
    tooltip: str
    width: int
    number: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """The cells' texts; `faint` rows are for what is there but does not count."""

    cells: tuple[str, ...]
    faint: bool = False
    tooltip: str = ""


class RowModel(FrozenRows[tuple[Row, ...]]):
    """Rows of texts."""

    def __init__(self, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        names = [column.name for column in columns]
        super().__init__(names, right=[column.name for column in columns if column.number], parent=parent)
        self._about = {column.name: column.tooltip for column in columns}
        self._places = {name: place for place, name in enumerate(names)}
        self._titles: dict[str, str] = {}  # of columns that are called otherwise than at first
        self._order = (-1, False)  # the column that the rows are sorted by

    def set_order(self, column: int, *, descending: bool) -> None:
        """Say by which column the rows are sorted, -1 for none."""
        if self._order == (column, descending):
            return
        self._order = (column, descending)
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.columns) - 1)

    def set_titles(self, titles: Mapping[str, tuple[str, str]]) -> None:
        """Call columns otherwise: a name and what it means, by the names that they were made with."""
        names = {column: title for column, (title, _) in titles.items()}
        if names == self._titles:
            return
        self._titles = names
        self._about |= {column: about for column, (_, about) in titles.items()}
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.columns) - 1)

    @property
    def titles(self) -> list[str]:
        """What the columns are called now."""
        return [self._titles.get(column, column) for column in self.columns]

    def title(self, column: str) -> str:
        place, descending = self._order
        called = self._titles.get(column, column)
        return called + (" ↓" if descending else " ↑") if self._places[column] == place else called

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return self.value or ()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show others; what is selected stays where as many rows remain."""
        before, rows = self.rows, tuple(rows)
        if len(rows) != len(before):
            self.show(rows)
            return
        self.value = rows
        for row, column in _changes(before, rows):
            cell = self.index(row, column)
            self.dataChanged.emit(cell, cell)  # of more than one cell Qt paints the whole table

    def size(self, value: tuple[Row, ...]) -> int:
        return len(value)

    def cell(self, value: tuple[Row, ...], row: int, column: str) -> str:
        return value[row].cells[self._places[column]]

    def tip(self, value: tuple[Row, ...], row: int, column: str) -> str | None:
        return value[row].tooltip or self.cell(value, row, column)

    def title_tip(self, column: str) -> str | None:
        return self._about[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.ForegroundRole and index.isValid():
            return theme.current().muted if self.rows[index.row()].faint else None
        return super().data(index, role)


def _changes(before: Sequence[Row], after: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Row and column of what looks different: under a slider that moves, most of a table stays as it is."""
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.faint != new.faint:
            yield from ((row, column) for column in range(len(new.cells)))
        elif old.cells != new.cells:
            both = enumerate(zip(old.cells, new.cells, strict=True))
            yield from ((row, column) for column, (one, other) in both if one != other)


class RowTable(Table):
    """Shows rows; `picked` carries the numbers of the selected ones whenever the user changes them."""

    picked = Signal(object)  # tuple of row numbers, ascending

    def __init__(
        self, columns: Sequence[Column], name: str, *, several: bool = False, parent: QWidget | None = None
    ) -> None:
        self.rows_model = RowModel(columns)
        super().__init__(self.rows_model, name, [column.width for column in columns], parent)
        self.rows_model.setParent(self)
        header = self.horizontalHeader()
        header.setStretchLastSection(not any(column.width == 0 for column in columns))
        for number, column in enumerate(columns):
            if column.width == 0:
                header.setSectionResizeMode(number, QHeaderView.ResizeMode.Stretch)
        if several:
            self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.selectionModel().selectionChanged.connect(lambda *_: self.picked.emit(self.selected_rows))

    @property
    def selected_rows(self) -> tuple[int, ...]:
        """The selected rows' numbers, ascending."""
        return tuple(sorted(index.row() for index in self.selectionModel().selectedRows()))

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show others."""
        self.rows_model.set_rows(rows)

    def select(self, rows: Sequence[int]) -> None:
        """Select rows, without a signal."""
        if tuple(rows) == self.selected_rows:
            return
        selection = self.selectionModel()
        selection.blockSignals(True)
        selection.clear()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for number in rows:
            selection.select(self.rows_model.index(number, 0), flags)
        if rows:
            selection.setCurrentIndex(self.rows_model.index(rows[0], 0), QItemSelectionModel.SelectionFlag.NoUpdate)
        selection.blockSignals(False)
        self.viewport().update()
