"""A table of a few rows that are made elsewhere: texts in columns, one row or several selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.tables import Table

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()


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


class RowModel(QAbstractTableModel):
    """Rows of texts."""

    def __init__(self, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.rows: tuple[Row, ...] = ()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show others; what is selected stays where as many rows remain."""
        rows = tuple(rows)
        if len(rows) == len(self.rows):
            self.rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(self.columns) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.cells[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.tooltip or row.cells[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(column) | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and row.faint:
            return theme.current().muted
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tooltip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(column) | Qt.AlignmentFlag.AlignVCenter
        return None


def _side(column: Column) -> Qt.AlignmentFlag:
    return Qt.AlignmentFlag.AlignRight if column.number else Qt.AlignmentFlag.AlignLeft


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
