"""One position through the model: the probability, or the rank, of every token that was ever first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QHideEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from llmlab.engine.attention.types import LensPosition
from llmlab.ui import theme
from llmlab.ui.panels.attention.lens_values import RANK_DECADES, row_name, row_short
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, CardBar, HoverCard
from llmlab.ui.widgets.tokentext import visible

PAD = theme.SPACE
LEGEND = 14  # digits of a token in the legend
DOT = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class CourseView:
    """A course as it is drawn: which of its rows, and ranks or probabilities."""

    course: LensPosition
    rows: tuple[int, ...]
    ranks: bool

    def share(self, row: int, token: int) -> float:
        """How high a token stands in a row, 0 to 1."""
        at = self.rows[row], token
        if self.ranks:
            return max(0.0, 1 - math.log10(int(self.course.ranks[at]) + 1) / RANK_DECADES)
        return float(self.course.probabilities[at]) / self._limit

    @property
    def _limit(self) -> float:
        """Where the axis of probabilities ends."""
        return numbers.axis_limit(float(self.course.probabilities.max()))

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """(share, label) of the marks on the axis."""
        if self.ranks:
            return tuple((1 - power / RANK_DECADES, f"{10**power:,}") for power in range(RANK_DECADES + 1))
        return tuple((share, f"{share * self._limit:g}") for share in (0.0, 0.5, 1.0))


class CourseChart(QWidget):
    """Lines over the places of the model, a colour for each token; the whole model's first token is the thick one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown: CourseView | None = None
        self._under = -1
        self._small = theme.monospace(0.88)
        self._card = HoverCard(self)
        self.setMouseTracking(True)
        self.setMinimumHeight(110)
        self.setAccessibleName("Course of a position's tokens through the model")
        theme.changed.connect(self.update)

    def show_course(self, shown: CourseView | None) -> None:
        """Draw this, or nothing."""
        self.shown, self._under = shown, -1
        self._card.hide()
        if shown is not None:
            last = shown.course.probabilities[-1].tolist()
            tokens = zip(shown.course.texts, last, strict=True)
            self.setAccessibleDescription(
                "; ".join(f"{visible(t)} ends at {numbers.probability(p)}" for t, p in tokens)
            )
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(420, 180)

    def _plot(self) -> QRectF:
        metrics = QFontMetrics(self._small)
        left = metrics.horizontalAdvance("10,000") + PAD
        legend = LEGEND * metrics.horizontalAdvance("0") + 3 * PAD
        return QRectF(
            left, PAD, max(40, self.width() - left - legend), max(20, self.height() - metrics.height() - 2 * PAD)
        )

    def _x(self, row: int) -> float:
        assert self.shown is not None
        plot, last = self._plot(), max(1, len(self.shown.rows) - 1)
        return plot.left() + row / last * plot.width()

    def color_of(self, token: int) -> QColor:
        """The line's colour; there are as many as there are easily told apart, all others are grey."""
        series = theme.current().series
        return QColor(series[token]) if token < len(series) else theme.current().bar_cut

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, shown = QPainter(self), theme.current(), self.shown
        painter.fillRect(self.rect(), colors.base)
        if shown is not None:
            painter.setFont(self._small)
            self._axes(painter, shown)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for token in reversed(range(len(shown.course.ids))):  # the final one on top
                self._line(painter, shown, token)
            self._legend(painter, shown)
        painter.end()

    def _axes(self, painter: QPainter, shown: CourseView) -> None:
        colors, plot, metrics = theme.current(), self._plot(), QFontMetrics(self._small)
        for share, label in shown.ticks:
            y = round(plot.bottom() - share * plot.height())
            painter.setPen(QPen(colors.raised, 1))
            painter.drawLine(round(plot.left()), y, round(plot.right()), y)
            painter.setPen(colors.muted)
            place = QRect(0, y - metrics.height() // 2, round(plot.left()) - PAD // 2, metrics.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)
        end = -math.inf
        for row, number in enumerate(shown.rows):
            text = row_short(shown.course.rows[number])
            width = metrics.horizontalAdvance(text)
            left = self._x(row) - width / 2
            if left > end + PAD:
                painter.drawText(QPointF(left, plot.bottom() + metrics.ascent() + PAD / 2), text)
                end = left + width
        if self._under >= 0:
            painter.setPen(QPen(colors.border, 1))
            x = round(self._x(self._under))
            painter.drawLine(x, round(plot.top()), x, round(plot.bottom()))

    def _line(self, painter: QPainter, shown: CourseView, token: int) -> None:
        plot, color = self._plot(), self.color_of(token)
        points = [
            QPointF(self._x(row), plot.bottom() - shown.share(row, token) * plot.height())
            for row in range(len(shown.rows))
        ]
        painter.setPen(QPen(color, 2.5 if token == 0 else 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(color)
        painter.setPen(Qt.PenStyle.NoPen)
        for point in points:
            painter.drawEllipse(point, DOT, DOT)

    def _legend(self, painter: QPainter, shown: CourseView) -> None:
        colors, plot, metrics = theme.current(), self._plot(), QFontMetrics(self._small)
        line = metrics.height() + 2
        left = round(plot.right()) + 2 * PAD
        room = max(1, int((self.height() - PAD) // line))
        count = len(shown.course.ids)
        named = count if count <= room else room - 1
        for token in range(named):
            y = PAD // 2 + token * line
            painter.fillRect(QRectF(left, y + line / 2 - 1.5, 10, 3), self.color_of(token))
            painter.setPen(colors.text)
            place = QRect(left + 14, y, self.width() - left - 14, line)
            text = metrics.elidedText(visible(shown.course.texts[token]), Qt.TextElideMode.ElideRight, place.width())
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)
        if named < count:
            painter.setPen(colors.muted)
            place = QRect(left, PAD // 2 + named * line, self.width() - left, line)
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, f"and {count - named} more")

    def row_at(self, point: QPoint) -> int:
        """The nearest place of the model, -1 where there is none."""
        shown, plot = self.shown, self._plot()
        if shown is None or not plot.adjusted(-PAD, 0, PAD, PAD).contains(QPointF(point)):
            return -1
        share = (point.x() - plot.left()) / plot.width()
        return min(max(round(share * (len(shown.rows) - 1)), 0), len(shown.rows) - 1)

    def card(self, row: int) -> Card:
        """All tokens in one place of the model, exactly."""
        shown = self.shown
        assert shown is not None
        course, at = shown.course, shown.rows[row]
        order = sorted(range(len(course.ids)), key=lambda token: -float(course.probabilities[at, token]))[:12]
        bars = tuple(self._bar(course, at, token) for token in order)
        name = row_name(course.rows[at])
        return Card(f"{name[0].upper()}{name[1:]}", (), bars)

    @staticmethod
    def _bar(course: LensPosition, row: int, token: int) -> CardBar:
        p, rank = float(course.probabilities[row, token]), int(course.ranks[row, token]) + 1
        text = f"{numbers.probability(p)}  rank {rank:,}"
        return CardBar(visible(course.texts[token]), p, text, strong=token == 0)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        row = self.row_at(event.position().toPoint())
        if row != self._under:
            self._under = row
            self.update()
        if row < 0:
            self._card.hide()
        else:
            self._card.show_at(self.card(row), event.globalPosition().toPoint())

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._card.hide()  # a window of its own

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._under = -1
        self._card.hide()
        self.update()
