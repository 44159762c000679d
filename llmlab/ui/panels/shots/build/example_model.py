"""The examples, or the test set, as a model for a table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QMimeData, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import QWidget

from llmlab.engine.shots.types import Example
from llmlab.ui.panels.shots.build.editing import Listed, rows_of
from llmlab.ui.panels.shots.build.fields import editable
from llmlab.ui.panels.shots.build.screen import Screen

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
MIME = "application/x-llmlab-rows"
TICK, NUMBER = 0, 1
FIRST = 2  # the first column that holds a field


class ExampleModel(QAbstractTableModel):
    """Rows of the project. `edited(row, column or None, text)`, `ticked(rows, on)`, `moved(rows, before)`."""

    edited = Signal(int, object, str)
    ticked = Signal(object, bool)
    moved = Signal(object, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[Example, ...] = ()
        self.columns: tuple[str, ...] = ()
        self._values: list[dict[str, str]] = []
        self.in_prompt: dict[int, int] = {}
        self.dropped: frozenset[int] = frozenset()  # shots that have no room in the window
        self.listed = Listed.EXAMPLES

    def set_dropped(self, shots: Collection[int]) -> None:
        """Mark shots that were left out."""
        if frozenset(shots) != self.dropped:
            self.dropped = frozenset(shots)
            if self.rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, NUMBER))

    def show(self, screen: Screen) -> None:
        """Show another state; rows stay selected while their number is the same."""
        rows = rows_of(screen.project, screen.listed)
        same = (len(rows), screen.columns, screen.listed) == (len(self.rows), self.columns, self.listed)
        if not same:
            self.beginResetModel()
        if rows is not self.rows:
            self._values = [row.values for row in rows]
        self.rows, self.columns, self.listed = rows, screen.columns, screen.listed
        self.in_prompt = screen.in_prompt if screen.listed is Listed.EXAMPLES else {}
        if not same:
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, self.columnCount() - 1))

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else FIRST + len(self.columns) + 1

    def name(self, column: int) -> str | None:
        """The field of a column, None for the output."""
        return self.columns[column - FIRST] if column - FIRST < len(self.columns) else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole}:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == TICK and self.listed is Listed.EXAMPLES:
            return Qt.CheckState.Checked if self.rows[row].included else Qt.CheckState.Unchecked
        return None

    def _text(self, row: int, column: int) -> str:
        if column == TICK:
            return ""
        if column == NUMBER:
            return str(row + 1)
        name = self.name(column)
        return self.rows[row].output if name is None else self._values[row].get(name, "")

    def _tip(self, row: int, column: int) -> str:
        if column == TICK:
            return "Ticked examples can stand in the prompt (Space)" if self.listed is Listed.EXAMPLES else ""
        if column == NUMBER:
            shot = self.in_prompt.get(row)
            if self.listed is Listed.TEST:
                return f"Item {row + 1} of the test set"
            if shot in self.dropped:
                return f"Shot {shot + 1} was left out, because the context window is full"
            return f"Shot {shot + 1} of the prompt" if shot is not None else "Does not stand in the prompt now"
        return self._text(row, column)[:2000]

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role == Qt.ItemDataRole.EditRole and index.column() >= FIRST and value != self.data(index, role):
            self.edited.emit(index.row(), self.name(index.column()), str(value))
            return True
        return False

    def flags(self, index: Index) -> Qt.ItemFlag:
        flag = Qt.ItemFlag
        if not index.isValid():
            return flag.ItemIsDropEnabled
        flags = flag.ItemIsSelectable | flag.ItemIsEnabled | flag.ItemIsDragEnabled
        can = index.column() >= FIRST and editable(self._text(index.row(), index.column()))
        return flags | flag.ItemIsEditable if can else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or section >= self.columnCount():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return {TICK: "", NUMBER: "#"}.get(section) if section < FIRST else self.name(section) or "output"
        if role == Qt.ItemDataRole.ToolTipRole and section >= FIRST:
            name = self.name(section)
            return "The right answer" if name is None else f"The field {name}, for templates: {{{name}}}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    # --- dragging ---------------------------------------------------------------------------------------------

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Any) -> QMimeData:
        data = QMimeData()
        rows = sorted({index.row() for index in indexes})
        data.setData(MIME, ",".join(map(str, rows)).encode())
        return data

    def dropMimeData(self, data: QMimeData, _action: Qt.DropAction, row: int, _column: int, parent: Index) -> bool:
        if not data.hasFormat(MIME):
            return False
        before = row if row >= 0 else parent.row() if parent.isValid() else len(self.rows)
        places = [int(one) for one in bytes(data.data(MIME).data()).decode().split(",") if one]
        self.moved.emit(places, before)
        return False  # the project has the new order already: nothing is left to be removed
