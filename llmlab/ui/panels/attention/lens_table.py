"""The table of the logit lens: the best token of every layer at every position. Only what is seen is painted."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.lens_values import LensMeasure, LensTable, row_name, row_short
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, CardBar, HoverCard
from llmlab.ui.widgets.tokentext import visible

PAD = 5
DIGITS = 9  # of a cell's width


class LensGrid(QAbstractScrollArea):
    """Rows are places in the model, the last one on the bottom; columns are positions.

    `picked` carries the position that was clicked, `hovered` the one under the mouse or None.
    """

    picked = Signal(int)
    hovered = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: LensTable | None = None
        self._measure = LensMeasure.PROBABILITY
        self._position = -1
        self._levels: list[list[int]] = []
        self._under: tuple[int, int] | None = None
        self._row = -1  # of the keyboard's cell; its column is that of the position
        self._font, self._small = theme.monospace(0.95), theme.monospace(0.85)
        metrics = QFontMetrics(self._font)
        self._height = metrics.height() + 6
        self._width = DIGITS * metrics.horizontalAdvance("0") + 2 * PAD
        self._card = HoverCard(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("Logit lens: the best token of each layer at each position")
        self.verticalScrollBar().valueChanged.connect(self._card.hide)
        self.horizontalScrollBar().valueChanged.connect(self._card.hide)
        theme.changed.connect(self.viewport().update)

    # --- what is shown --------------------------------------------------------------------------------------

    def show_table(self, table: LensTable | None, measure: LensMeasure, position: int) -> None:
        """Show these cells; `position` is framed. Of a new text the cells of the position are brought into sight."""
        before, self._table, self._measure, self._position = self._table, table, measure, position
        self._levels = []
        if table is not None:
            self._levels = np.rint(table.shares(measure) * (theme.SHADES - 1)).astype(int).tolist()
        self._measure_bars()
        if table is not None and (before is None or before.lens is not table.lens):
            self._row = len(table.rows) - 1
            column = min(max(position - int(table.lens.positions[0]), 0), table.columns - 1)
            self._show_cell(0, column)
        self._describe()
        self.viewport().update()

    @property
    def _head(self) -> int:
        """The height of the tokens and their numbers above the cells."""
        return 2 * (QFontMetrics(self._small).height() + 2)

    @property
    def _left(self) -> int:
        """The width of the rows' names."""
        names = [row_short(row) for row in self._table.lens.rows] if self._table else []
        return max((QFontMetrics(self._small).horizontalAdvance(name) for name in names), default=0) + 2 * PAD

    def sizeHint(self) -> QSize:
        return QSize(560, 260)

    def cell_rect(self, row: int, column: int) -> QRect:
        """Where a cell is in the viewport."""
        x = self._left + column * self._width - self.horizontalScrollBar().value()
        y = self._head + row * self._height - self.verticalScrollBar().value()
        return QRect(x, y, self._width, self._height)

    def cell_at(self, point: QPoint) -> tuple[int, int] | None:
        """The cell under a point of the viewport."""
        table = self._table
        if table is None or point.x() < self._left or point.y() < self._head:
            return None
        row = (point.y() - self._head + self.verticalScrollBar().value()) // self._height
        column = (point.x() - self._left + self.horizontalScrollBar().value()) // self._width
        return (row, column) if row < len(table.rows) and column < table.columns else None

    def _measure_bars(self) -> None:
        table, room = self._table, self.viewport().size()
        wide = self._left + table.columns * self._width if table else 0
        tall = self._head + len(table.rows) * self._height if table else 0
        for bar, need, there, step in (
            (self.horizontalScrollBar(), wide, room.width(), self._width),
            (self.verticalScrollBar(), tall, room.height(), self._height),
        ):
            bar.setRange(0, max(0, need - there))
            bar.setPageStep(there)
            bar.setSingleStep(step)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        bar = self.horizontalScrollBar()
        at_end = bar.value() == bar.maximum() > 0
        self._measure_bars()
        if at_end:
            bar.setValue(bar.maximum())

    def _describe(self) -> None:
        table = self._table
        if table is None:
            self.setAccessibleDescription("")
            return
        column = min(max(self._position - int(table.lens.positions[0]), 0), table.columns - 1)
        row = min(max(self._row, 0), len(table.rows) - 1)
        card = self.card(row, column)
        self.setAccessibleDescription(f"{card.title}: " + ", ".join(f"{bar.text} {bar.number}" for bar in card.bars))

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, table = QPainter(self.viewport()), theme.current(), self._table
        painter.fillRect(event.rect(), colors.base)
        if table is not None:
            area = self.viewport().rect()
            first, last = self._seen(self.horizontalScrollBar().value(), area.width() - self._left, self._width)
            last = min(last, table.columns)
            top, bottom = self._seen(self.verticalScrollBar().value(), area.height() - self._head, self._height)
            bottom = min(bottom, len(table.rows))
            painter.setClipRect(area.adjusted(self._left, self._head, 0, 0))
            self._cells(painter, table, range(top, bottom), range(first, last))
            self._frame(painter, table)
            painter.setClipRect(area.adjusted(self._left, 0, 0, 0))
            self._heads(painter, table, range(first, last))
            painter.setClipRect(area.adjusted(0, self._head, 0, 0))
            self._names(painter, table, range(top, bottom))
        painter.end()

    @staticmethod
    def _seen(offset: int, room: int, size: int) -> tuple[int, int]:
        return offset // size, (offset + max(room, 0)) // size + 1

    def _cells(self, painter: QPainter, table: LensTable, rows: range, columns: range) -> None:
        shades, metrics = theme.probability_shades(), QFontMetrics(self._font)
        painter.setFont(self._font)
        bold = theme.monospace(0.95)
        bold.setBold(True)
        for row in rows:
            for column in columns:
                rect = self.cell_rect(row, column).adjusted(0, 0, -1, -1)
                shade = shades[self._levels[row][column]]
                painter.fillRect(rect, shade.background)
                painter.setPen(shade.text)
                painter.setFont(bold if table.is_final(row, column) else self._font)
                text = metrics.elidedText(
                    table.text(row, column), Qt.TextElideMode.ElideRight, rect.width() - 2 * PAD + 2
                )
                painter.drawText(rect.adjusted(PAD, 0, -PAD + 2, 0), Qt.AlignmentFlag.AlignVCenter, text)

    def _frame(self, painter: QPainter, table: LensTable) -> None:
        """The position whose course is shown, the cell under the mouse, and that of the keyboard."""
        colors = theme.current()
        column = self._position - int(table.lens.positions[0])
        if 0 <= column < table.columns:
            top, bottom = self.cell_rect(0, column), self.cell_rect(len(table.rows) - 1, column)
            painter.setPen(QPen(colors.accent, 2))
            painter.drawRect(top.united(bottom).adjusted(0, 0, -2, -2))
            if self.hasFocus() and self._row >= 0:
                painter.setPen(QPen(colors.text, 2, Qt.PenStyle.DotLine))
                painter.drawRect(self.cell_rect(self._row, column).adjusted(1, 1, -3, -3))
        if self._under is not None:
            painter.setPen(QPen(colors.text, 1))
            painter.drawRect(self.cell_rect(*self._under).adjusted(0, 0, -2, -2))

    def _heads(self, painter: QPainter, table: LensTable, columns: range) -> None:
        """The tokens that were read, with their numbers."""
        colors, line = theme.current(), self._head // 2
        painter.fillRect(QRect(self._left, 0, self.viewport().width(), self._head), colors.base)
        metrics = QFontMetrics(self._small)
        painter.setFont(self._small)
        for column in columns:
            rect = self.cell_rect(0, column)
            place = QRect(rect.left() + PAD, 0, rect.width() - 2 * PAD, line)
            painter.setPen(colors.muted)
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, str(int(table.lens.positions[column])))
            painter.setPen(colors.text)
            text = metrics.elidedText(
                visible(table.lens.tokens[column]), Qt.TextElideMode.ElideRight, place.width() + 2
            )
            painter.drawText(place.translated(0, line).adjusted(0, 0, 2, 0), Qt.AlignmentFlag.AlignVCenter, text)

    def _names(self, painter: QPainter, table: LensTable, rows: range) -> None:
        painter.setFont(self._small)
        painter.setPen(theme.current().muted)
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for row in rows:
            rect = self.cell_rect(row, 0)
            place = QRect(0, rect.top(), self._left - PAD, rect.height())
            painter.drawText(place, side, row_short(table.lens.rows[table.rows[row]]))

    # --- events ---------------------------------------------------------------------------------------------

    def card(self, row: int, column: int) -> Card:
        """Everything about one cell, exactly."""
        table = self._table
        assert table is not None
        name = row_name(table.lens.rows[table.rows[row]])
        token = f"“{visible(table.lens.tokens[column])}”, position {int(table.lens.positions[column])}"
        best = table.best(row, column)
        highest = max(best[0][1], 1e-12)
        bars = tuple(
            CardBar(text, probability / highest, numbers.probability(probability), strong=n == 0)
            for n, (text, probability) in enumerate(best)
        )
        return Card(f"{token}, {name}", table.facts(row, column), bars, "Click for its course through the layers.")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        cell = self.cell_at(event.position().toPoint())
        if cell != self._under:
            self._under = cell
            self.hovered.emit(None if cell is None or self._table is None else int(self._table.lens.positions[cell[1]]))
            self.viewport().update()
        if cell is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*cell), event.globalPosition().toPoint())

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Leave:
            self._card.hide()
            if self._under is not None:
                self._under = None
                self.hovered.emit(None)
                self.viewport().update()
        return super().viewportEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._card.hide()  # a window of its own

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        cell = self.cell_at(event.position().toPoint())
        if cell is not None and self._table is not None and event.button() == Qt.MouseButton.LeftButton:
            self._row = cell[0]
            self.picked.emit(int(self._table.lens.positions[cell[1]]))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)
        }  # fmt: skip
        table, key = self._table, Qt.Key(event.key())
        if table is None or key not in steps:
            super().keyPressEvent(event)
            return
        down, across = steps[key]
        self._row = min(max(self._row + down, 0), len(table.rows) - 1)
        first = int(table.lens.positions[0])
        column = min(max(self._position - first + across, 0), table.columns - 1)
        if across:
            self.picked.emit(first + column)
        self._show_cell(self._row, column)
        self._describe()
        self.viewport().update()

    def _show_cell(self, row: int, column: int) -> None:
        """Scroll it into sight."""
        rect, area = self.cell_rect(row, column), self.viewport().rect().adjusted(self._left, self._head, 0, 0)
        for bar, low, high, first, last in (
            (self.horizontalScrollBar(), rect.left(), rect.right(), area.left(), area.right()),
            (self.verticalScrollBar(), rect.top(), rect.bottom(), area.top(), area.bottom()),
        ):
            if low < first:
                bar.setValue(bar.value() - (first - low))
            elif high > last:
                bar.setValue(bar.value() + (high - last))
