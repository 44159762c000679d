"""Horizontal bars made of parts: what a whole consists of, and whether it stays under a limit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.chart.drawn import Pointed
from llmlab.ui.widgets.chart.frame import in_lines
from llmlab.ui.widgets.chart.paint import color_of
from llmlab.ui.widgets.chart.plot import Axis, short, tick_labels, ticks

PAD = float(theme.SPACE)
BAR = 20.0  # the most that a bar is high
FAINT = 0.5  # of the background in a paler colour
NEAR = 1.6  # times the longest bar: how far away a mark may be
MARK_ROWS = 3
TICK_ROOM = 90.0  # pixels between two values of the scale, at least
NAMED = 1.25  # a part's name is written into it where it has so many times its width


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar. `color`: its place among the theme's series, paler if `faint`; `facts` are shown on hover."""

    name: str
    value: float
    color: int
    facts: tuple[tuple[str, str], ...] = ()
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar: its name, its parts from left to right, and a mark that it should stay under.

    `note` stands behind its total; the `chosen` one of several is set off.
    """

    name: str
    segments: tuple[Segment, ...]
    limit: float | None = None
    limit_name: str = ""
    note: str = ""
    chosen: bool = False

    @property
    def total(self) -> float:
        """The length of the bar."""
        return sum(segment.value for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across all bars; left out where it is so far away that the bars would be short."""

    value: float
    name: str


class StackedBars(Pointed):
    """One bar below the other, all on one scale. `picked` carries bar and part; `export_asked` a kind of file."""

    def __init__(
        self,
        name: str,
        label: Callable[[float], str] = short,
        empty: str = "",
        parent: QWidget | None = None,
        *,
        axis: bool = False,
    ) -> None:
        """`label` writes a value, with its unit; `axis`: a scale stands below the bars."""
        super().__init__(name, parent)
        self.stacks: tuple[Stack, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._axis = axis
        self._placed: QRectF | None = None  # where the bars are, until something changes
        self._end = 1.0  # of the scale
        self._label = label
        self._empty = empty

    def show_stacks(self, stacks: Sequence[Stack], marks: Sequence[Mark] = ()) -> None:
        """Show these instead."""
        if len(stacks) != len(self.stacks):  # else the window would be laid out anew with every move of a slider
            self.updateGeometry()
        self.stacks = tuple(stacks)
        self._marks = tuple(marks)
        self._placed = None
        self._end = self._scale_end()
        self._look(None)
        words = (f"{each.name}: {self._label(each.total)}" for each in self.stacks)
        self.setAccessibleDescription("; ".join(words) or self._empty)
        self.update()

    def sizeHint(self) -> QSize:
        rows = max(1, len(self.stacks))
        return QSize(420, round(rows * (BAR + 2 * PAD) + self._line * 2 + 2 * PAD))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, round(max(1, len(self.stacks)) * (self._line + PAD) + self._line + 2 * PAD))

    # --- where everything stands ------------------------------------------------------------------------------

    @property
    def _line(self) -> float:
        return QFontMetricsF(self.font()).height()

    def _scale_end(self) -> float:
        ends = [each.total for each in self.stacks] + [each.limit for each in self.stacks if each.limit is not None]
        return max([*ends, *(mark.value for mark in self.marks)], default=1.0) or 1.0

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The lines that are shown, from left to right."""
        longest = max((each.total for each in self.stacks), default=0.0)
        near = (mark for mark in self._marks if mark.value <= NEAR * longest)
        return tuple(sorted(near, key=lambda mark: mark.value))

    @property
    def _mark_rows(self) -> int:
        """Lines of text for the names of the marks, which would run into each other in one."""
        return min(MARK_ROWS, len(self.marks))

    def _behind(self, stack: Stack) -> str:
        return self._label(stack.total) + (f"   {stack.note}" if stack.note else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._placed = None

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self._placed = None  # the font, perhaps

    def _area(self) -> QRectF:
        """Of the bars, between their names and their totals."""
        if self._placed is None:
            self._placed = self._place()
        return self._placed

    def _place(self) -> QRectF:
        advance = QFontMetricsF(self.font()).horizontalAdvance
        names = max((advance(each.name) for each in self.stacks), default=0.0)
        totals = max((advance(self._behind(each)) for each in self.stacks), default=0.0)
        top = PAD + self._legend_height() + self._mark_rows * self._line
        left = PAD + names + (PAD if names else 0)
        width = max(20.0, self.width() - left - totals - 2 * PAD)
        limits = any(each.limit is not None and each.limit_name for each in self.stacks)
        below = self._line if limits or self._axis else 0
        return QRectF(left, top, width, max(10.0, self.height() - top - PAD - below))

    def box(self, row: int, part: int) -> QRectF:
        """Where a part is drawn."""
        area, stack = self._area(), self.stacks[row]
        pitch = self._pitch(area)
        height = min(BAR, pitch - 2)
        scale = area.width() / self._end
        left = area.left() + sum(each.value for each in stack.segments[:part]) * scale
        top = area.top() + row * pitch + (pitch - height) / 2
        return QRectF(left, top, stack.segments[part].value * scale, height)

    def _pitch(self, area: QRectF) -> float:
        return min(area.height() / max(1, len(self.stacks)), BAR + 2 * PAD)

    def _named(self) -> dict[str, Segment]:
        """A part of each name, as the legend shows them."""
        return {part.name: part for each in self.stacks for part in each.segments if part.value > 0}

    def _legend_rows(self) -> list[list[str]]:
        names = list(self._named())
        lines = in_lines(names, QFontMetricsF(self.font()), self.width() - 2 * PAD)
        return [[names[place] for place in line] for line in lines]

    def _legend_height(self) -> float:
        rows = len(self._legend_rows())
        return rows * (self._line + 2) + (PAD if rows else 0)

    # --- painting -----------------------------------------------------------------------------------------------

    def _draw(self, painter: QPainter) -> None:
        colors = theme.current()
        painter.setFont(self.font())
        painter.fillRect(QRectF(self.rect()), colors.base)
        if not self.stacks:
            painter.setPen(colors.muted)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._empty)
            return
        self._paint_legend(painter)
        if self._axis:
            self._paint_axis(painter)
        for row in range(len(self.stacks)):
            self._paint_row(painter, row)
        self._paint_marks(painter)

    def _paint_legend(self, painter: QPainter) -> None:
        metrics, parts = QFontMetricsF(self.font()), self._named()
        y = PAD
        for names in self._legend_rows():
            x = PAD
            for name in names:
                painter.fillRect(QRectF(x, y + metrics.height() / 2 - 5, 10, 10), _shade(parts[name]))
                painter.setPen(theme.current().text)
                painter.drawText(QPointF(x + 14, y + metrics.ascent()), name)
                x += 14 + metrics.horizontalAdvance(name) + 2 * PAD
            y += metrics.height() + 2

    def _paint_row(self, painter: QPainter, row: int) -> None:
        colors, stack, area = theme.current(), self.stacks[row], self._area()
        metrics = QFontMetricsF(self.font())
        pitch = self._pitch(area)
        top = area.top() + row * pitch
        middle = top + pitch / 2 + metrics.ascent() / 2 - 1
        if stack.chosen:
            painter.fillRect(QRectF(1, top, self.width() - 2, pitch), colors.accent_base)
        painter.setPen(colors.text)
        painter.drawText(QPointF(area.left() - PAD - metrics.horizontalAdvance(stack.name), middle), stack.name)
        end = area.left() + stack.total / self._end * area.width()
        painter.drawText(QPointF(end + PAD / 2, middle), self._behind(stack))
        for part, segment in enumerate(stack.segments):
            box, color = self.box(row, part), _shade(segment)
            painter.fillRect(box, color)
            if self._under == (row, part):
                painter.setPen(QPen(colors.text, 1.5))
                painter.drawRect(box)
            if metrics.horizontalAdvance(segment.name) * NAMED < box.width():
                painter.setPen(_readable(color))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, segment.name)
        if stack.limit is not None:
            self._paint_limit(painter, row, stack.limit, stack.limit_name)

    def _paint_limit(self, painter: QPainter, row: int, limit: float, name: str) -> None:
        area, box, metrics = self._area(), self.box(row, 0), QFontMetricsF(self.font())
        x = area.left() + limit / self._end * area.width()
        painter.setPen(QPen(theme.current().cut_line, 2))
        painter.drawLine(QPointF(x, box.top() - 3), QPointF(x, box.bottom() + 3))
        if name and (row + 1 == len(self.stacks) or self.stacks[row + 1].limit_name != name):
            width = metrics.horizontalAdvance(name)
            left = min(max(x - width / 2, PAD), self.width() - PAD - width)
            painter.drawText(QPointF(left, box.bottom() + 3 + metrics.ascent()), name)

    def _paint_axis(self, painter: QPainter) -> None:
        colors, area, metrics = theme.current(), self._area(), QFontMetricsF(self.font())
        bottom = area.top() + len(self.stacks) * self._pitch(area)
        scale = Axis(label=self._label)
        marks = ticks(scale, 0.0, self._end, max(2, int(area.width() / TICK_ROOM)))
        for value, label in zip(marks, tick_labels(scale, marks), strict=True):
            x = round(area.left() + value / self._end * area.width())
            painter.setPen(QPen(colors.raised, 1))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, bottom))
            painter.setPen(colors.muted)
            painter.drawText(QPointF(x - metrics.horizontalAdvance(label) / 2, bottom + metrics.ascent()), label)

    def _paint_marks(self, painter: QPainter) -> None:
        """Each with its name above, in turn in one of the lines for them."""
        area, metrics = self._area(), QFontMetricsF(self.font())
        bottom = area.top() + len(self.stacks) * self._pitch(area)
        for place, mark in enumerate(self.marks):
            x = area.left() + mark.value / self._end * area.width()
            below = area.top() - self._line * (self._mark_rows - 1 - place % self._mark_rows)
            painter.setPen(QPen(theme.current().cut_line, 1.2, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x, below - self._line + 2), QPointF(x, bottom))
            width = metrics.horizontalAdvance(mark.name)
            left = x + 4 if x + 4 + width < self.width() - PAD else x - 4 - width
            painter.drawText(QPointF(left, below - metrics.descent()), mark.name)

    # --- the exact values ---------------------------------------------------------------------------------------

    def mark_at(self, position: QPointF) -> tuple[int, int] | None:
        """The bar and the part at a place."""
        for row, stack in enumerate(self.stacks):
            for part, segment in enumerate(stack.segments):
                if segment.value > 0 and self.box(row, part).adjusted(-1, -2, 1, 2).contains(position):
                    return row, part
        return None

    def card(self, row: int, part: int) -> Card:
        """What is known of a part."""
        stack, segment = self.stacks[row], self.stacks[row].segments[part]
        share = segment.value / stack.total if stack.total else 0.0
        facts = (("value", self._label(segment.value)), ("share", f"{share:.1%} of {self._label(stack.total)}"))
        title = f"{stack.name}: {segment.name}" if stack.name else segment.name
        return Card(title, (*facts, *segment.facts))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrow keys go through the parts, Enter picks."""
        parts = [
            (row, part)
            for row, stack in enumerate(self.stacks)
            for part, segment in enumerate(stack.segments)
            if segment.value > 0
        ]
        key = Qt.Key(event.key())
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._under is not None:
            self.picked.emit(*self._under)
        elif key in steps and parts:
            place = parts.index(self._under) + steps[key] if self._under in parts else 0
            found = parts[min(max(place, 0), len(parts) - 1)]
            self._look(found, self.mapToGlobal(self.box(*found).center().toPoint()))
        else:
            super().keyPressEvent(event)

    # --- copies ---------------------------------------------------------------------------------------------------

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
        writer.writerow(("bar", "part", "value"))
        writer.writerows((each.name, part.name, repr(part.value)) for each in self.stacks for part in each.segments)
        return buffer.getvalue()


def _shade(segment: Segment) -> QColor:
    color = color_of(segment.color)
    return theme.mix(color, theme.current().base, FAINT) if segment.faint else color


def _readable(background: QColor) -> QColor:
    """Black or white, whichever can be read on it."""
    black, white = QColor("#101418"), QColor("#ffffff")
    return max((black, white), key=lambda color: theme.contrast(color, background))
