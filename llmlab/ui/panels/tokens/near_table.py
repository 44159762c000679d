"""Near tokens as a table: token, a bar for its cosine, the number, the id."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.vectors import Near
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tables import PAD, Table

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
COLUMNS = ("token", "cosine", "", "id")
WIDTHS = (13, 7, 7, 4)
BAR = 2
RIGHT = (1, 3)


class NearModel(QAbstractTableModel):
    """Rows of a frozen `Near`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.near: Near | None = None

    def set_near(self, near: Near | None) -> None:
        """Show others."""
        self.beginResetModel()
        self.near = near
        self.endResetModel()

    def rowCount(self, parent: Index = ROOT) -> int:
        return len(self.near.tokens) if self.near is not None and not parent.isValid() else 0

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.near is None or not index.isValid():
            return None
        token, column = self.near.tokens[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return (token.text, f"{token.cosine:.4f}", "", str(token.token_id))[column]
        if role == Qt.ItemDataRole.UserRole:
            return token.cosine
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{token.text}, id {token.token_id}: cosine {numbers.exact(token.cosine)}. Click to look at it."
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ForegroundRole and COLUMNS[column] == "id":
            return theme.current().muted
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in RIGHT else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


class _Bars(QStyledItemDelegate):
    """A bar from 0 to the cosine, of 1; to the left of its foot where it is negative."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors = theme.current()
        room = QRectF(option.rect).adjusted(PAD, 5, -PAD, -5)  # type: ignore[attr-defined]
        value = float(index.data(Qt.ItemDataRole.UserRole))
        painter.fillRect(room, colors.raised)
        bar = QRectF(room)
        bar.setWidth(room.width() * min(1.0, abs(value)))
        painter.fillRect(bar, colors.bar_kept if value >= 0 else colors.cut_line)


class NearTable(Table):
    """`chosen` carries the id of the token that was clicked, or entered."""

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        self.rows = NearModel()
        super().__init__(self.rows, name, WIDTHS, parent)
        self.rows.setParent(self)
        self.setItemDelegateForColumn(BAR, _Bars(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.clicked.connect(self._choose)

    def set_near(self, near: Near | None) -> None:
        """Show others."""
        self.rows.set_near(near)
        self.scrollToTop()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.currentIndex().isValid():
            self._choose(self.currentIndex())
        else:
            super().keyPressEvent(event)

    @Slot(QModelIndex)
    def _choose(self, index: QModelIndex) -> None:
        if self.rows.near is not None:
            self.chosen.emit(self.rows.near.tokens[index.row()].token_id)
