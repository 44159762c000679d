"""The bits of one number in every format, as cells that can be turned over."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.formats.screen import FormatRow
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.chart.drawn import Drawn

PAD = float(theme.SPACE)
ROW = 32.0
LARGEST_CELL, SMALLEST_CELL = 19.0, 9.0
GAP = 5.0  # between two fields of bits
MOST_BITS = 32
FIELD_COLORS = {"sign": 3, "exponent": 1, "mantissa": 0, "integer": 2, "place in the table": 5}
OFF, ON = 0.82, 0.35  # of the background in the cell of a 0 and of a 1


class BitTable(Drawn):
    """Rows of bits. `flipped` carries a format and a bit, 0 the least significant; `chosen` a format."""

    flipped = Signal(str, int)
    chosen = Signal(str)
    stepped = Signal(int)  # to the next value, up or down

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Bits of the number in every format", parent)
        self._rows: tuple[FormatRow, ...] = ()
        self._row = 0  # with the keyboard's mark
        self._bit = 0  # from the left
        self._measures: tuple[float, float] | None = None  # until something changes
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(520)

    def show_rows(self, rows: tuple[FormatRow, ...], chosen: str) -> None:
        """Show these bits."""
        self._rows = rows
        self._measures = None
        self._row = next((number for number, each in enumerate(rows) if each.name == chosen), 0)
        if rows:
            self._bit = min(self._bit, len(rows[self._row].bits) - 1)
            each = rows[self._row]
            self.setAccessibleDescription(f"{each.name}: {each.bits} = {each.value}, error {each.error}")
        self.setFixedHeight(self.sizeHint().height())
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(800, round(self._head + len(self._rows) * ROW + PAD))

    # --- places ---------------------------------------------------------------------------------------------

    @property
    def _head(self) -> float:
        return QFontMetricsF(self.font()).height() + 1.5 * PAD

    @property
    def _names(self) -> float:
        """The room for the formats' names."""
        return self._measured()[0]

    @property
    def _cell(self) -> float:
        """The width of a bit."""
        return self._measured()[1]

    def _measured(self) -> tuple[float, float]:
        if self._measures is None:
            bold = theme.monospace()
            bold.setBold(True)
            names = max((QFontMetricsF(bold).horizontalAdvance(each.name) for each in self._rows), default=60.0) + PAD
            advance = QFontMetricsF(theme.monospace()).horizontalAdvance
            beside = advance("0" * 22) + advance("infinity") + 6 * PAD + 2 * GAP  # the values need their room first
            room = self.width() - names - beside
            self._measures = names, max(SMALLEST_CELL, min(LARGEST_CELL, room / MOST_BITS))
        return self._measures

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._measures = None

    def cell_of(self, row: int, bit: int) -> QRectF:
        """Where a bit is, counted from the left."""
        ends = self._field_ends(self._rows[row])
        gaps = sum(bit >= end for end in ends)
        left = PAD + self._names + bit * self._cell + gaps * GAP
        height = min(ROW - 8, self._cell + 5)
        return QRectF(left, self._head + row * ROW + (ROW - height) / 2, self._cell, height)

    def bit_at(self, point: QPointF) -> tuple[int, int] | None:
        """The row and the bit, from the left, under a point."""
        for row, each in enumerate(self._rows):
            for bit in range(len(each.bits)):
                if self.cell_of(row, bit).contains(point):
                    return row, bit
        return None

    @staticmethod
    def _field_ends(row: FormatRow) -> tuple[int, ...]:
        ends, place = [], 0
        for field in row.fields[:-1]:
            place += field.bits
            ends.append(place)
        return tuple(ends)

    @staticmethod
    def _field_of(row: FormatRow, bit: int) -> tuple[str, int]:
        """The name of a bit's field, and the bit's place in it from the right."""
        place = 0
        for field in row.fields:
            place += field.bits
            if bit < place:
                return field.name, place - bit - 1
        raise IndexError(bit)

    # --- painting -------------------------------------------------------------------------------------------

    def _draw(self, painter: QPainter) -> None:
        colors = theme.current()
        painter.fillRect(QRectF(self.rect()), colors.base)
        painter.setFont(self.font())
        painter.setPen(colors.muted)
        values = self._value_left
        line = QFontMetricsF(self.font())
        baseline = PAD / 2 + line.ascent()
        x = PAD + self._names
        for name in ("sign", "exponent", "mantissa"):
            painter.fillRect(QRectF(x, baseline - 9, 10, 10), self._shade(name, one=True))
            painter.drawText(QPointF(x + 14, baseline), name)
            x += 14 + line.horizontalAdvance(name) + 2 * PAD
        painter.drawText(QPointF(values, baseline), "value")
        right = self.width() - PAD - line.horizontalAdvance("error")
        painter.drawText(QPointF(right, baseline), "error")
        for number, each in enumerate(self._rows):
            self._draw_row(painter, number, each)

    @property
    def _value_left(self) -> float:
        return PAD + self._names + MOST_BITS * self._cell + 2 * GAP + 2 * PAD

    def _draw_row(self, painter: QPainter, number: int, each: FormatRow) -> None:
        colors, top = theme.current(), self._head + number * ROW
        if number == self._row:
            painter.fillRect(QRectF(0, top, self.width(), ROW), colors.accent_base)
        mono = theme.monospace()
        metrics = QFontMetricsF(mono)
        middle = top + ROW / 2 + metrics.ascent() / 2 - 1
        mono.setBold(number == self._row)
        painter.setFont(mono)
        painter.setPen(colors.text)
        painter.drawText(QPointF(PAD, middle), each.name)
        mono.setBold(False)
        small = theme.monospace(0.9)
        for bit, digit in enumerate(each.bits):
            box = self.cell_of(number, bit).adjusted(0.5, 0, -0.5, 0)
            field = self._field_of(each, bit)[0]
            painter.fillRect(box, self._shade(field, one=digit == "1"))
            painter.setPen(self._shade(field, one=True))  # a frame: zeros are seen on the chosen row too
            painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
            painter.setFont(small)
            painter.setPen(colors.text)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, digit)
            if self.hasFocus() and (number, bit) == (self._row, self._bit):
                painter.setPen(QPen(colors.accent, 2))
                painter.drawRect(box)
        painter.setFont(mono)
        right = self.width() - PAD - metrics.horizontalAdvance(each.error)
        painter.setPen(colors.warning if each.turned else colors.text)
        room = right - self._value_left - PAD
        value = metrics.elidedText(each.value, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QPointF(self._value_left, middle), value)
        painter.setPen(colors.positive if each.error == "exact" else colors.muted)
        painter.drawText(QPointF(right, middle), each.error)

    @staticmethod
    def _shade(field: str, *, one: bool) -> QColor:
        colors = theme.current()
        return theme.mix(colors.series[FIELD_COLORS[field]], colors.base, ON if one else OFF)

    # --- mouse and keys -------------------------------------------------------------------------------------

    def card(self, row: int, bit: int) -> Card:
        """What a bit means."""
        each = self._rows[row]
        field, place = self._field_of(each, bit)
        number = len(each.bits) - 1 - bit
        meaning = {
            "sign": "1 is negative" if each.name != "INT8" else "stands for −128 steps",
            "exponent": f"{2**place:,} of the stored exponent",
            "mantissa": f"1/{2 ** (each.fields[-1].bits - place):,} of the power of two",
            "integer": f"{2**place} steps of the scale",
        }.get(field, f"{2**place} of the place in the table")
        facts = (("bit", f"{number}"), ("field", field), ("1 means", meaning), ("", "Click to turn it over"))
        return Card(f"{each.name}: {each.value}", facts)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        found = self.bit_at(event.position())
        self.setCursor(Qt.CursorShape.PointingHandCursor if found else Qt.CursorShape.ArrowCursor)
        if found is None:
            self._card.hide()
            row = int((event.position().y() - self._head) // ROW)
            self.setToolTip(self._rows[row].tooltip if 0 <= row < len(self._rows) else "")
        else:
            self.setToolTip("")
            self._card.show_at(self.card(*found), event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        if event.button() is not Qt.MouseButton.LeftButton:
            return
        found = self.bit_at(event.position())
        row = int((event.position().y() - self._head) // ROW)
        if found is not None:
            self._row, self._bit = found
            self._flip()
        elif 0 <= row < len(self._rows):
            self.chosen.emit(self._rows[row].name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows go from bit to bit and from format to format, Space turns over, + and − step to the next value."""
        key, rows = Qt.Key(event.key()), self._rows
        if not rows:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            row = self._row + (1 if key is Qt.Key.Key_Down else -1)
            self.chosen.emit(rows[min(max(row, 0), len(rows) - 1)].name)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            bit = self._bit + (1 if key is Qt.Key.Key_Right else -1)
            self._bit = min(max(bit, 0), len(rows[self._row].bits) - 1)
            self.update()
        elif key in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._flip()
        elif event.text() in ("+", "-"):
            self.stepped.emit(1 if event.text() == "+" else -1)
        else:
            super().keyPressEvent(event)

    def _flip(self) -> None:
        each = self._rows[self._row]
        self.flipped.emit(each.name, len(each.bits) - 1 - self._bit)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def show_card(self, row: int, bit: int) -> None:
        """Explain a bit beside it, for the keyboard and for pictures."""
        place: QPoint = self.mapToGlobal(self.cell_of(row, bit).center().toPoint())
        self._card.show_at(self.card(row, bit), place)

    # --- copies ---------------------------------------------------------------------------------------------

    def text(self, separator: str = ",") -> str:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(self._table())
        return buffer.getvalue()

    def _table(self) -> Iterator[tuple[str, ...]]:
        yield "format", "bits", "value", "error"
        for each in self._rows:
            yield each.name, each.bits, each.value, each.error
