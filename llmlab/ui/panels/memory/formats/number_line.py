"""The line of numbers around one number: which values each format has there."""

from __future__ import annotations

import csv
import io
import math

from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPen, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.formats.screen import Line, Ticks
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.chart.drawn import Drawn
from llmlab.ui.widgets.chart.plot import Axis, ticks

PAD = float(theme.SPACE)
REACH = 8.0  # pixels from the mouse to a value that it means
CLOSER, WIDER = 1 / 1.5, 1.5
EMPTY = "The number is not on the line."


class NumberLine(Drawn):
    """A row of values for each format. `zoomed` carries a factor; `picked` a value, spelled exactly."""

    zoomed = Signal(float)
    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Values of every format around the number", parent)
        self._line: Line | None = None
        self._placed: QRectF | None = None  # where the values are, until something changes
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(300, 180)

    def show_line(self, line: Line | None) -> None:
        """Show another part of it."""
        self._line = line
        self._placed = None
        words = [f"{row.name}: {row.count:,} values" for row in line.rows] if line else [EMPTY]
        self.setAccessibleDescription("; ".join(words))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(800, 260)

    # --- places ---------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._placed = None

    def _area(self) -> QRectF:
        if self._placed is None:
            self._placed = self._place()
        return self._placed

    def _place(self) -> QRectF:
        metrics = QFontMetricsF(theme.monospace())
        rows = self._line.rows if self._line else ()
        counts = max((metrics.horizontalAdvance(f"{row.count:,}") for row in rows), default=0.0)
        names = max((metrics.horizontalAdvance(row.name) for row in rows), default=0.0)
        left = PAD + names + PAD
        bottom = QFontMetricsF(self.font()).height() + PAD
        top = QFontMetricsF(self.font()).height() + PAD
        return QRectF(
            left, top, max(40.0, self.width() - left - counts - 2 * PAD), max(40.0, self.height() - bottom - top)
        )

    def x_of(self, value: float) -> float:
        """Where a value stands."""
        assert self._line is not None
        area = self._area()
        return area.left() + (value - self._line.low) / (self._line.high - self._line.low) * area.width()

    def row_of(self, number: int) -> QRectF:
        """The room of a format."""
        assert self._line is not None
        area = self._area()
        height = area.height() / len(self._line.rows)
        return QRectF(area.left(), area.top() + number * height, area.width(), height)

    def value_at(self, point: QPointF) -> tuple[Ticks, float] | None:
        """The format and the value near a point."""
        if self._line is None:
            return None
        for number, row in enumerate(self._line.rows):
            if self.row_of(number).contains(point) and row.values:
                value = min(row.values, key=lambda each: abs(self.x_of(each) - point.x()))
                return (row, value) if abs(self.x_of(value) - point.x()) <= REACH else None
        return None

    # --- painting -------------------------------------------------------------------------------------------

    def _draw(self, painter: QPainter) -> None:
        colors, line = theme.current(), self._line
        painter.fillRect(QRectF(self.rect()), colors.base)
        painter.setFont(self.font())
        if line is None:
            painter.setPen(colors.muted)
            painter.drawText(QRectF(self.rect()), Qt.AlignmentFlag.AlignCenter, EMPTY)
            return
        self._draw_axis(painter, line)
        for number, row in enumerate(line.rows):
            self._draw_row(painter, number, row)
        if line.number is not None:
            area, x = self._area(), self.x_of(line.number)
            painter.setPen(QPen(colors.cut_line, 1.4, Qt.PenStyle.DashLine))
            painter.drawLine(QLineF(x, area.top() - 3, x, area.bottom()))
            label = f"the number, {line.number:.9g}".replace("-", "−")
            width = QFontMetricsF(self.font()).horizontalAdvance(label)
            painter.setFont(self.font())
            painter.setPen(colors.cut_line)
            painter.drawText(QPointF(min(x - width / 2, self.width() - PAD - width), area.top() - 5), label)

    def _draw_axis(self, painter: QPainter, line: Line) -> None:
        colors, area, metrics = theme.current(), self._area(), QFontMetricsF(self.font())
        marks = ticks(Axis(), line.low, line.high, max(2, int(area.width() / 110)))
        step = marks[1] - marks[0] if len(marks) > 1 else line.high - line.low
        digits = max(3, math.ceil(math.log10(max(abs(line.low), abs(line.high), step) / step)) + 1) if step > 0 else 3
        for value in marks:
            x = round(self.x_of(value))
            painter.setPen(QPen(colors.raised, 1))
            painter.drawLine(QLineF(x, area.top(), x, area.bottom()))
            label = f"{value:.{min(digits, 17)}g}".replace("-", "−")
            painter.setPen(colors.muted)
            painter.drawText(
                QPointF(x - metrics.horizontalAdvance(label) / 2, area.bottom() + metrics.ascent() + 3), label
            )

    def _draw_row(self, painter: QPainter, number: int, row: Ticks) -> None:
        colors, room = theme.current(), self.row_of(number)
        mono, middle = theme.monospace(), room.center().y()
        metrics = QFontMetricsF(mono)
        painter.setFont(mono)
        painter.setPen(colors.text)
        baseline = middle + metrics.ascent() / 2 - 1
        painter.drawText(QPointF(room.left() - PAD - metrics.horizontalAdvance(row.name), baseline), row.name)
        painter.setPen(QPen(colors.border, 1))
        painter.drawLine(QLineF(room.left(), middle, room.right(), middle))
        color, half = colors.series[0], min(8.0, room.height() / 2 - 2)
        if row.count and not row.values:  # a line beside the other: more than pixels
            painter.fillRect(
                QRectF(room.left(), middle - half, room.width(), 2 * half), theme.mix(color, colors.base, 0.5)
            )
        painter.setPen(QPen(color, 1.2))
        for value in row.values:
            x = self.x_of(value)
            painter.drawLine(QLineF(x, middle - half, x, middle + half))
        if row.value is not None:
            painter.setBrush(colors.series[1])
            painter.setPen(QPen(colors.base, 1))
            painter.drawEllipse(QPointF(self.x_of(row.value), middle), 4.5, 4.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(colors.muted)
        count = f"{row.count:,}"
        painter.drawText(QPointF(self.width() - PAD - metrics.horizontalAdvance(count), baseline), count)

    # --- mouse and keys -------------------------------------------------------------------------------------

    def card(self, row: Ticks, value: float) -> Card:
        """What is known of a value."""
        facts = [("value", f"{value!r}")]
        place = row.values.index(value)
        if place + 1 < len(row.values):
            facts.append(("to the next", f"{row.values[place + 1] - value:.6g}"))
        if value == row.value:
            facts.append(("", "The number is rounded to it" if self._line and value != self._line.number else "Exact"))
        return Card(row.name, (*facts, ("", "Click to make it the number")))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        found = self.value_at(event.position())
        if found is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*found), event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        found = self.value_at(event.position())
        if event.button() is Qt.MouseButton.LeftButton and found is not None:
            self.picked.emit(repr(found[1]))

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoomed.emit(CLOSER if event.angleDelta().y() > 0 else WIDER)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """+ and − see less or more of the line."""
        if event.text() in ("+", "-"):
            self.zoomed.emit(CLOSER if event.text() == "+" else WIDER)
        else:
            super().keyPressEvent(event)

    def text(self, separator: str = ",") -> str:
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
        writer.writerow(("format", "value"))
        for row in self._line.rows if self._line else ():
            writer.writerows((row.name, repr(value)) for value in row.values)
        return buffer.getvalue()
