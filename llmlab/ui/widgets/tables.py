"""Tables that all look alike: rows without a grid, a flat header, room between the columns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QFontMetricsF, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from llmlab.ui import theme

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
Value = TypeVar("Value")  # what a model shows
PAD = 7  # pixels left and right of a cell's text
_MIDDLE = int(Qt.AlignmentFlag.AlignVCenter)


class FrozenRows(QAbstractTableModel, Generic[Value]):
    """Rows of a frozen value, which becomes words where it is looked at. `right` and `faint` columns by their names."""

    def __init__(
        self,
        columns: Sequence[str],
        right: Collection[str] = (),
        faint: Collection[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._faint = frozenset(faint)
        self._set_columns(columns, right)
        self.value: Value | None = None

    def _set_columns(self, columns: Sequence[str], right: Collection[str] = ()) -> None:
        """Have these columns from now on; whoever calls it resets the model."""
        self.columns = tuple(columns)
        self._alignments = {column: _alignment(column in right) for column in columns}

    def show(self, value: Value | None) -> None:
        """Show another value, or none."""
        self.beginResetModel()
        self.value = value
        self.endResetModel()

    @abstractmethod
    def size(self, value: Value) -> int:
        """The number of rows of `value`."""

    @abstractmethod
    def cell(self, value: Value, row: int, column: str) -> str:
        """What stands in a cell."""

    def tip(self, value: Value, row: int, column: str) -> str | None:
        """What is said of a cell."""

    def title(self, column: str) -> str:
        """What stands above a column."""
        return column

    def title_tip(self, column: str) -> str | None:
        """What is said of a column."""

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if self.value is None or parent.isValid() else self.size(self.value)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.value is None or not index.isValid():
            return None
        row, column = index.row(), self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cell(self.value, row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.tip(self.value, row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignments[column]
        if role == Qt.ItemDataRole.ForegroundRole and column in self._faint:
            return theme.current().muted
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return self.title(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.title_tip(column)
        return self._alignments[column] if role == Qt.ItemDataRole.TextAlignmentRole else None


def _alignment(right: bool) -> int:
    """As a number, which a cell that is painted takes as it is."""
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


class _Cells(QStyledItemDelegate):
    """Text only: a million rows scroll smoothly when a cell costs next to nothing.

    The model is asked directly: through its index, which is Qt's, every answer takes the way to C++ and back.
    """

    def __init__(self, parent: Table, digit: float) -> None:
        super().__init__(parent)
        self._digit = digit  # pixels
        self.set_colors()

    def set_colors(self) -> None:
        """Take over those in force."""
        colors = theme.current()
        self._text, self._chosen = colors.text, colors.accent_base

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        rect: QRect = option.rect
        data = index.model().data
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, self._chosen)
        text = data(index, Qt.ItemDataRole.DisplayRole)
        if not text:
            return
        inside = rect.adjusted(PAD, 0, -PAD, 0)
        font = option.font
        if len(text) * self._digit > inside.width() or not text.isascii():
            text = QFontMetrics(font).elidedText(text[:400], Qt.TextElideMode.ElideRight, inside.width())
        painter.setPen(data(index, Qt.ItemDataRole.ForegroundRole) or self._text)
        painter.setFont(font)
        painter.drawText(inside, int(data(index, Qt.ItemDataRole.TextAlignmentRole) or _MIDDLE), text)


class Table(QTableView):
    """A view of `model`; `widths` of the columns are in digits, the last one takes the rest."""

    copy_asked = Signal()  # Ctrl+C

    def __init__(
        self, model: QAbstractTableModel, name: str, widths: Sequence[int], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        font = theme.monospace()
        self.setModel(model)
        self.setFont(font)
        self.setAccessibleName(name)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(QFontMetrics(font).height() + 6)
        header.setHighlightSections(False)
        header.setStretchLastSection(True)
        header.setMinimumSectionSize(4 * PAD)
        digit = QFontMetricsF(font).horizontalAdvance("0")
        self._cells = _Cells(self, digit)
        self.setItemDelegate(self._cells)
        for column, digits in enumerate(widths):
            self.setColumnWidth(column, math.ceil(digits * digit) + 2 * PAD)
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    @Slot()
    def _paint_colors(self) -> None:
        colors = theme.current()
        self._cells.set_colors()
        self.horizontalHeader().setStyleSheet(
            f"QHeaderView {{ background: {colors.base.name()}; }}"
            f"QHeaderView::section {{ background: {colors.base.name()}; color: {colors.muted.name()}; border: none;"
            f" border-bottom: 1px solid {colors.border.name()}; padding: 3px {PAD}px; }}"
            f"QHeaderView::section:hover {{ background: {colors.raised.name()}; }}"
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_asked.emit()
        else:
            super().keyPressEvent(event)
