"""Tables that all look alike: rows without a grid, a flat header, room between the columns."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QKeyEvent, QKeySequence, QPainter
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

PAD = 7  # pixels left and right of a cell's text


class _Cells(QStyledItemDelegate):
    """Text only: a million rows scroll smoothly when a cell costs next to nothing."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        colors, rect = theme.current(), QRect(option.rect)  # type: ignore[attr-defined]
        if option.state & QStyle.StateFlag.State_Selected:  # type: ignore[attr-defined]
            painter.fillRect(rect, colors.accent_base)
        text = index.data(Qt.ItemDataRole.DisplayRole)
        if not text:
            return
        inside = rect.adjusted(PAD, 0, -PAD, 0)
        painter.setPen(index.data(Qt.ItemDataRole.ForegroundRole) or colors.text)
        metrics = QFontMetrics(option.font)  # type: ignore[attr-defined]
        text = metrics.elidedText(text[:400], Qt.TextElideMode.ElideRight, inside.width())
        alignment = index.data(Qt.ItemDataRole.TextAlignmentRole) or Qt.AlignmentFlag.AlignVCenter
        painter.setFont(option.font)  # type: ignore[attr-defined]
        painter.drawText(inside, int(alignment), text)


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
        self.setItemDelegate(_Cells(self))
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
        digit = QFontMetrics(font).horizontalAdvance("0")
        for column, digits in enumerate(widths):
            self.setColumnWidth(column, digits * digit + 2 * PAD)
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    @Slot()
    def _paint_colors(self) -> None:
        colors = theme.current()
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
