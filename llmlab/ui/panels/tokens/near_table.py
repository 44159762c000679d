"""Near tokens as a table: token, a bar for its cosine, the number, the id."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QModelIndex, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.vectors import Near
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tables import PAD, FrozenRows, Index, Table

COLUMNS = ("token", "cosine", "", "id")
WIDTHS = (13, 7, 7, 4)
BAR = 2


class NearModel(FrozenRows[Near]):
    """One row for each of the tokens of `Near`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, right=("cosine", "id"), faint=("id",), parent=parent)

    def size(self, value: Near) -> int:
        return len(value.tokens)

    def cell(self, value: Near, row: int, column: str) -> str:
        token = value.tokens[row]
        return {"token": token.text, "cosine": f"{token.cosine:.4f}", "id": str(token.token_id)}.get(column, "")

    def tip(self, value: Near, row: int, column: str) -> str:
        token = value.tokens[row]
        return f"{token.text}, id {token.token_id}: cosine {numbers.exact(token.cosine)}. Click to look at it."

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.UserRole and self.value is not None and index.isValid():
            return self.value.tokens[index.row()].cosine  # for the bar
        return super().data(index, role)


class _Bars(QStyledItemDelegate):
    """A bar from 0 to the cosine, of 1; to the left of its foot where it is negative."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors = theme.current()
        room = QRectF(option.rect).adjusted(PAD, 5, -PAD, -5)
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
        self.rows.show(near)
        self.scrollToTop()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.currentIndex().isValid():
            self._choose(self.currentIndex())
        else:
            super().keyPressEvent(event)

    @Slot(QModelIndex)
    def _choose(self, index: QModelIndex) -> None:
        if self.rows.value is not None:
            self.chosen.emit(self.rows.value.tokens[index.row()].token_id)
