"""Stacked bars on screen: pieces that tell what they are, lines to compare with, copies for paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent, QLineF, QPoint, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QFont,
    QFontMetricsF,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QMenu, QWidget

from llmlab import textfile
from llmlab.ui import theme
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.chart.chart import PICTURES
from llmlab.ui.widgets.chart.paint import PAD, SMALL, SWATCH, color_of
from llmlab.ui.widgets.chart.plot import Axis, ticks
from llmlab.ui.widgets.chart.stack import Bar, Mark, Part, Stacks, rows

THICKEST = 30.0  # pixels of a bar
GAP = 0.28  # of the room for a bar that stays free
REACH = 1.6  # lines up to so many times the longest bar are shown


class StackBars(QWidget):
    """Shows `Stacks`. `picked` carries the key of the bar that was clicked; `export_asked` a kind of file."""

    picked = Signal(str)
    export_asked = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stacks = Stacks()
        self._looked_at: tuple[int, int] | None = None  # bar and piece
        self._card = HoverCard(self)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 90)
        theme.changed.connect(self.update)

    def show_stacks(self, stacks: Stacks) -> None:
        """Show these instead."""
        self.stacks = stacks
        if self._looked_at is not None and not self._exists(*self._looked_at):
            self._look(None)
        words = [f"{bar.label}: {stacks.label(bar.total)}" for bar in stacks.bars]
        self.setAccessibleDescription("; ".join(words) or stacks.empty)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(480, 220)

    # --- places ---------------------------------------------------------------------------------------------

    def place_of(self, bar: int, part: int) -> QRectF:
        """Where a piece lies."""
        return _Layout(self.stacks, self.size(), self.font()).piece(bar, part)

    def piece_at(self, point: QPointF) -> tuple[int, int] | None:
        """The piece under a point."""
        layout = _Layout(self.stacks, self.size(), self.font())
        for number, bar in enumerate(self.stacks.bars):
            if not layout.row(number).contains(point):
                continue
            pieces = range(len(bar.parts))
            return next(((number, part) for part in pieces if layout.piece(number, part).contains(point)), None)
        return None

    def card(self, bar: int, part: int) -> Card:
        """What is known of a piece."""
        whole, piece = self.stacks.bars[bar], self.stacks.bars[bar].parts[part]
        share = f"{piece.value / whole.total:.1%}" if whole.total else "–"
        facts = piece.facts or (("value", self.stacks.label(piece.value)),)
        return Card(f"{piece.name} · {whole.label}", (*facts, ("share", share)))

    def _exists(self, bar: int, part: int) -> bool:
        return bar < len(self.stacks.bars) and part < len(self.stacks.bars[bar].parts)

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._draw(painter, 1.0)
        if self.hasFocus():
            painter.setPen(theme.current().accent)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _draw(self, painter: QPainter, _scale: float) -> None:
        painter.fillRect(QRectF(self.rect()), theme.current().base)
        if self.stacks.bars:
            _paint(painter, _Layout(self.stacks, self.size(), self.font()), self._looked_at)
        else:
            painter.setPen(theme.current().muted)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(QRectF(self.rect()), flags, self.stacks.empty)

    # --- mouse and keys -------------------------------------------------------------------------------------

    def _look(self, piece: tuple[int, int] | None, position: QPoint | None = None) -> None:
        if piece != self._looked_at:
            self._looked_at = piece
            self.update()
        if piece is None or position is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*piece), position)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._look(self.piece_at(event.position()), event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        layout = _Layout(self.stacks, self.size(), self.font())
        for number, bar in enumerate(self.stacks.bars):
            if event.button() is Qt.MouseButton.LeftButton and layout.row(number).contains(event.position()):
                self._pick(bar)
                return

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down go from bar to bar, left and right from piece to piece, Enter picks."""
        key = Qt.Key(event.key())
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._looked_at is not None:
            self._pick(self.stacks.bars[self._looked_at[0]])
        elif key in steps and self.stacks.bars:
            bar, part = self._looked_at or (0, -1)
            down, across = steps[key]
            bar = min(max(bar + down, 0), len(self.stacks.bars) - 1)
            part = min(max(part + across, 0), len(self.stacks.bars[bar].parts) - 1)
            if part >= 0:
                self._look((bar, part), self.mapToGlobal(self.place_of(bar, part).center().toPoint()))
        else:
            super().keyPressEvent(event)

    def _pick(self, bar: Bar) -> None:
        if bar.key:
            self.picked.emit(bar.key)

    def leaveEvent(self, event: QEvent) -> None:
        self._look(None)

    def hideEvent(self, event: QHideEvent) -> None:
        self._card.hide()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._look(None)

    # --- copies ---------------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        self.add_actions(menu)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())

    def add_actions(self, menu: QMenu) -> None:
        """What can be done with the picture."""
        menu.addAction("Copy numbers", self.copy_numbers)
        menu.addAction("Copy picture", self.copy_picture)
        menu.addSeparator()
        menu.addAction("Save numbers as CSV…", lambda: self.export_asked.emit("csv"))
        for kind in PICTURES:
            menu.addAction(f"Save picture as {kind.upper()}…", lambda kind=kind: self.export_asked.emit(kind))

    @Slot()
    def copy_numbers(self) -> None:
        """All values, for a spreadsheet."""
        QGuiApplication.clipboard().setText(self.text("\t"))

    @Slot()
    def copy_picture(self) -> None:
        """The picture as it is seen."""
        QGuiApplication.clipboard().setPixmap(self.grab())

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(rows(self.stacks))
        return buffer.getvalue()

    def writer(self, kind: str) -> Callable[[Path], None]:
        """What writes a file of `kind`, in any thread. Raises OSError."""
        if kind == "csv":
            text = self.text()
            return lambda path: textfile.write(path, text)
        if kind == "png":
            return saving.png_writer(self.grab().toImage())
        return saving.drawing_writer(kind, self.size(), self._draw, self.stacks.title or self.accessibleName())


@dataclass(frozen=True, slots=True)
class _Legend:
    """A name of the legend and where it stands."""

    place: QPointF
    part: Part


class _Layout:
    """Where everything stands."""

    def __init__(self, stacks: Stacks, size: QSize, font: QFont) -> None:
        self.stacks = stacks
        self.font = QFont(font)
        self.font.setPointSizeF(font.pointSizeF() * SMALL)
        self.metrics = QFontMetricsF(self.font)
        self.line = self.metrics.height()
        advance = self.metrics.horizontalAdvance
        labels = max((advance(bar.label) for bar in stacks.bars), default=0.0)
        notes = max((advance(_behind(stacks, bar)) for bar in stacks.bars), default=0.0)
        self.marks = [mark for mark in stacks.marks if 0 < mark.value <= stacks.largest * REACH]
        self.end = max([stacks.largest, *(mark.value for mark in self.marks)], default=1.0) or 1.0
        self.legend = self._lay_legend(size.width() - 2 * PAD)
        top = self.legend[-1].place.y() + self.line + PAD if self.legend else PAD
        self.mark_lines = self._mark_lines()
        top += self.mark_lines * self.line
        left = PAD + labels + PAD
        right = size.width() - PAD - notes
        bottom = size.height() - PAD - self.line * (2 if stacks.axis else 1)
        self.area = QRectF(QPointF(left, top), QPointF(max(right, left + 40), max(bottom, top + 10)))
        self.marks_of_axis = ticks(Axis(), 0.0, self.end, max(2, int(self.area.width() / 90)))

    def _lay_legend(self, width: float) -> list[_Legend]:
        found, x, y = [], PAD, PAD
        for part in self.stacks.names.values():
            room = SWATCH + PAD / 2 + self.metrics.horizontalAdvance(part.name) + 2 * PAD
            if x > PAD and x + room > width:
                x, y = PAD, y + self.line + 3
            found.append(_Legend(QPointF(x, y), part))
            x += room
        return found

    def _mark_lines(self) -> int:
        """Rows for the labels of the lines, which would run into each other in one."""
        return min(3, len(self.marks))

    def row(self, number: int) -> QRectF:
        """The room of a bar, with its label."""
        height = min(self.area.height() / len(self.stacks.bars), THICKEST * (1 + GAP))
        return QRectF(0, self.area.top() + number * height, self.area.right() + 400, height)

    def x(self, value: float) -> float:
        """Where a value stands."""
        return self.area.left() + self.area.width() * value / self.end

    def piece(self, number: int, part: int) -> QRectF:
        """Where a piece of a bar lies."""
        bar, room = self.stacks.bars[number], self.row(number)
        before = sum(each.value for each in bar.parts[:part])
        left, right = self.x(before), self.x(before + bar.parts[part].value)
        margin = room.height() * GAP / 2
        return QRectF(left, room.top() + margin, right - left, room.height() - 2 * margin)

    def label(self, bar: Bar) -> str:
        """What stands behind a bar."""
        return _behind(self.stacks, bar)


def _behind(stacks: Stacks, bar: Bar) -> str:
    return f"  {stacks.label(bar.total)}" + (f"  {bar.note}" if bar.note else "")


def _shade(part: Part) -> QColor:
    color = color_of(part.color)
    return theme.mix(color, theme.current().base, 0.55) if part.faint else color


def _paint(painter: QPainter, layout: _Layout, looked_at: tuple[int, int] | None) -> None:
    painter.setFont(layout.font)
    _paint_axis(painter, layout)
    for number, bar in enumerate(layout.stacks.bars):
        _paint_bar(painter, layout, number, bar)
    if looked_at is not None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme.current().text, 1.5))
        painter.drawRect(layout.piece(*looked_at))
    _paint_marks(painter, layout)
    for entry in layout.legend:
        swatch = QRectF(entry.place.x(), entry.place.y() + (layout.line - SWATCH) / 2, SWATCH, SWATCH)
        painter.fillRect(swatch, _shade(entry.part))
        painter.setPen(theme.current().text)
        text = QPointF(swatch.right() + PAD / 2, entry.place.y() + layout.metrics.ascent())
        painter.drawText(text, entry.part.name)


def _paint_bar(painter: QPainter, layout: _Layout, number: int, bar: Bar) -> None:
    colors, room = theme.current(), layout.row(number)
    if bar.chosen:
        painter.fillRect(QRectF(0, room.top() + 1, room.width(), room.height() - 2), colors.accent_base)
    for part, each in enumerate(bar.parts):
        place = layout.piece(number, part)
        if place.width() > 0:
            painter.fillRect(place, _shade(each))
            if place.width() > 3:
                painter.fillRect(QRectF(place.right() - 1, place.top(), 1, place.height()), colors.base)
    baseline = room.center().y() + layout.metrics.ascent() / 2 - 1
    painter.setPen(colors.text)
    painter.drawText(
        QPointF(layout.area.left() - PAD - layout.metrics.horizontalAdvance(bar.label), baseline), bar.label
    )
    painter.setPen(colors.muted if not bar.chosen else colors.text)
    painter.drawText(QPointF(layout.x(bar.total), baseline), layout.label(bar))


def _paint_axis(painter: QPainter, layout: _Layout) -> None:
    colors, area = theme.current(), layout.area
    bottom = layout.row(len(layout.stacks.bars) - 1).bottom()
    for value in layout.marks_of_axis:
        x = round(layout.x(value))
        painter.setPen(QPen(colors.raised, 1))
        painter.drawLine(QLineF(x, area.top(), x, bottom))
        label = layout.stacks.label(value) if value else "0"
        width = layout.metrics.horizontalAdvance(label)
        painter.setPen(colors.muted)
        painter.drawText(QPointF(x - width / 2, bottom + 2 + layout.metrics.ascent()), label)
    if layout.stacks.axis:
        width = layout.metrics.horizontalAdvance(layout.stacks.axis)
        below = bottom + 2 + layout.line + layout.metrics.ascent()
        painter.drawText(QPointF(area.center().x() - width / 2, below), layout.stacks.axis)


def _paint_marks(painter: QPainter, layout: _Layout) -> None:
    """Each with its name above, in turn in one of the rows for them."""
    colors = theme.current()
    bottom = layout.row(len(layout.stacks.bars) - 1).bottom()
    for number, mark in enumerate(sorted(layout.marks, key=lambda each: each.value)):
        x = layout.x(mark.value)
        baseline = layout.area.top() - layout.line * (layout.mark_lines - 1 - number % max(1, layout.mark_lines))
        painter.setPen(QPen(colors.cut_line, 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QLineF(x, baseline - layout.line, x, bottom))
        painter.setPen(colors.cut_line)
        _paint_mark_name(painter, layout, mark, x, baseline)


def _paint_mark_name(painter: QPainter, layout: _Layout, mark: Mark, x: float, baseline: float) -> None:
    width = layout.metrics.horizontalAdvance(mark.label)
    left = x + 4 if x + 4 + width < layout.area.right() + 60 else x - 4 - width
    painter.drawText(QPointF(left, baseline - layout.metrics.descent()), mark.label)
