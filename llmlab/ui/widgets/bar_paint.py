"""Draws rows of a distribution: token, numbers and bars."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen

from llmlab.engine.sampling import Cut
from llmlab.ui import theme
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.bar_rows import BarRows, Row
from llmlab.ui.widgets.tokentext import visible

PAD = theme.SPACE
LOWEST_LOG = -6  # the left end of the logarithmic axis, as a power of ten
NARROW, NARROWER = 620, 500  # pixels below which the id, then the logit have no room; the hover card has them
SHORT_NAMES = {
    Cut.TOP_K: "top-k",
    Cut.TOP_P: "top-p",
    Cut.MIN_P: "min-p",
    Cut.TEMPERATURE: "temp.",
    Cut.IMPOSSIBLE: "−∞",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a probability ends on the bars: linear up to `limit`, or by its order of magnitude."""

    limit: float = 1.0
    logarithmic: bool = False

    def share(self, probability: float) -> float:
        """How much of the full length it takes, 0 … 1."""
        if probability <= 0:
            return 0.0
        if self.logarithmic:
            return max(0.0, 1 - math.log10(probability) / LOWEST_LOG)
        return min(1.0, probability / self.limit)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """(share, label) of the marks on the axis."""
        if self.logarithmic:
            powers = range(LOWEST_LOG, 1, 2)
            return tuple((1 - power / LOWEST_LOG, "1" if power == 0 else f"10{_raised(power)}") for power in powers)
        return tuple((share, f"{self.limit * share:g}") for share in (0, 0.5, 1))


@dataclass(frozen=True, slots=True)
class Columns:
    """Horizontal places, in pixels. A `right` is where right-aligned text ends; None: no room for that column."""

    rank_right: int
    token_left: int
    token_width: int
    id_right: int | None
    logit_right: int | None
    bar_left: int
    bar_width: int
    raw_right: int
    p_right: int
    number_width: int

    @classmethod
    def fit(cls, width: int, metrics: QFontMetrics, vocabulary: int) -> Columns:
        """Give each number its room, the token a share, and the bars the rest."""
        digit = metrics.horizontalAdvance("0")
        digits = max(3, len(str(vocabulary)))
        number = 8 * digit
        rank_right = PAD + digits * digit
        token_left = rank_right + 2 * PAD
        token_width = min(max(8 * digit, int(width * 0.17)), 24 * digit)
        right = token_left + token_width
        id_right = logit_right = None
        if width >= NARROW:
            right = id_right = right + PAD + digits * digit
        if width >= NARROWER:
            right = logit_right = right + PAD + number
        p_right = width - PAD
        raw_right = p_right - number - PAD
        bar_left = right + 2 * PAD
        bar_width = max(20, raw_right - number - PAD - bar_left)
        return cls(
            rank_right, token_left, token_width, id_right, logit_right, bar_left, bar_width, raw_right, p_right, number
        )


class BarPainter:
    """Paints one row, one cut band or the header at a time, with the colours of the moment."""

    def __init__(self, painter: QPainter, columns: Columns, axis: Axis, font: QFont, small: QFont) -> None:
        self._painter = painter
        self._columns = columns
        self._axis = axis
        self._theme = theme.current()
        self._metrics = QFontMetrics(font)
        self._font = font
        self._small = small
        self._text, self._muted = self._theme.text, self._theme.muted
        self._base = self._theme.base
        self._kept, self._raw, self._cut = self._theme.bar_kept, self._theme.bar_raw, self._theme.bar_cut
        painter.setFont(font)

    def grid(self, height: int) -> None:
        """The faint verticals of the axis."""
        self._painter.setPen(QPen(self._theme.raised, 1))
        for share, _ in self._axis.ticks:
            x = round(self._columns.bar_left + share * self._columns.bar_width)
            self._painter.drawLine(x, 0, x, height)

    def row(self, rect: QRect, row: Row, *, current: bool, hovered: bool, drawn: bool) -> None:
        """One token: numbers, the raw bar as an outline, the bar after the settings filled."""
        if current or hovered:
            self._painter.fillRect(rect, self._theme.accent_base if current else self._theme.raised)
        kept = row.cut is Cut.KEPT
        columns, color = self._columns, self._text if kept else self._muted
        self._right(columns.rank_right, rect, str(row.rank), self._muted)
        if drawn:
            self._drawn_mark(rect)
        self._token(rect, row, color)
        if columns.id_right is not None:
            self._right(columns.id_right, rect, str(row.token_id), self._muted)
        if columns.logit_right is not None:
            self._right(columns.logit_right, rect, f"{row.logit:.2f}", self._muted)
        self._bars(rect, row, kept)
        self._right(columns.raw_right, rect, numbers.probability(row.raw_probability), self._muted)
        shown = numbers.probability(row.probability) if kept else SHORT_NAMES[row.cut]
        self._right(columns.p_right, rect, shown, color)

    def band(self, rect: QRect, text: str) -> None:
        """A cut line with its name."""
        painter, color = self._painter, self._theme.cut_line
        y = rect.center().y() + 0.5
        painter.setFont(self._small)
        metrics = QFontMetrics(self._small)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width() - 8 * PAD)
        left, width = self._columns.token_left, metrics.horizontalAdvance(text)
        painter.setPen(QPen(color, 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(rect.left() + PAD, y), QPointF(left - PAD / 2, y))
        painter.drawLine(QPointF(left + width + PAD / 2, y), QPointF(rect.right() - PAD, y))
        painter.setPen(color)
        painter.drawText(QRect(left, rect.top(), width + 2, rect.height()), Qt.AlignmentFlag.AlignVCenter, text)
        painter.setFont(self._font)

    def header(self, rect: QRect) -> None:
        """Names of the columns, numbers of the axis."""
        columns = self._columns
        self._painter.setFont(self._small)
        self._right(columns.rank_right, rect, "#", self._muted)
        left = QRect(columns.token_left, rect.top(), columns.token_width, rect.height())
        self._painter.drawText(left, Qt.AlignmentFlag.AlignVCenter, "token")
        if columns.id_right is not None:
            self._right(columns.id_right, rect, "id", self._muted)
        if columns.logit_right is not None:
            self._right(columns.logit_right, rect, "logit", self._muted)
        metrics = QFontMetrics(self._small)
        self._right(columns.raw_right, rect, "raw p", self._muted)
        self._right(columns.p_right, rect, "p", self._text)
        swatch = metrics.ascent() - 2
        top = rect.center().y() - swatch // 2
        self._painter.fillRect(
            columns.p_right - metrics.horizontalAdvance("p ") - swatch, top, swatch, swatch, self._kept
        )
        self._painter.setPen(QPen(self._raw, 1))
        raw_left = columns.raw_right - metrics.horizontalAdvance("raw p ") - swatch
        self._painter.drawRect(raw_left, top, swatch - 1, swatch - 1)
        for share, label in self._axis.ticks:
            width = metrics.horizontalAdvance(label)
            x = columns.bar_left + share * columns.bar_width - width * share
            self._painter.setPen(self._muted)
            self._painter.drawText(QPointF(x, rect.center().y() + metrics.ascent() / 2 - 1), label)

    def _token(self, rect: QRect, row: Row, color: QColor) -> None:
        columns = self._columns
        text = self._metrics.elidedText(visible(row.text), Qt.TextElideMode.ElideRight, columns.token_width)
        self._painter.setPen(color)
        place = QRect(columns.token_left, rect.top(), columns.token_width, rect.height())
        self._painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)

    def _bars(self, rect: QRect, row: Row, kept: bool) -> None:
        columns, axis = self._columns, self._axis
        top, height = rect.top() + 4, rect.height() - 8
        raw_width = max(1.0, axis.share(row.raw_probability) * columns.bar_width)
        raw = QRectF(columns.bar_left, top, raw_width, height)
        if not kept:
            self._painter.fillRect(raw, self._cut)
            return
        width = max(1.0, axis.share(row.probability) * columns.bar_width)
        self._painter.fillRect(QRectF(columns.bar_left, top, width, height), self._kept)
        if raw_width > width:  # the outline shows what the settings took away
            self._painter.setPen(QPen(self._raw, 1))
            self._painter.drawRect(raw.adjusted(0.5, 0.5, -0.5, -0.5))
        elif raw_width < width - 1:  # the notch shows where the bar would have ended
            self._painter.fillRect(QRectF(raw.right() - 1, top, 2, height), self._base)

    def _drawn_mark(self, rect: QRect) -> None:
        """A small arrow between rank and token: this is the token that was drawn here."""
        x, y = self._columns.rank_right + PAD * 0.6, rect.center().y() + 0.5
        self._painter.setPen(Qt.PenStyle.NoPen)
        self._painter.setBrush(self._theme.cut_line)
        self._painter.drawPolygon([QPointF(x, y - 4), QPointF(x + 6, y), QPointF(x, y + 4)])
        self._painter.setBrush(Qt.BrushStyle.NoBrush)

    def _right(self, right: int, rect: QRect, text: str, color: QColor) -> None:
        """Text that ends at `right`."""
        self._painter.setPen(color)
        place = QRect(right - 400, rect.top(), 400, rect.height())
        self._painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)


def band_text(rows: BarRows, row: int, cut: Cut) -> str:
    """What stands on the cut line before `row`."""
    tokens = f"{row:,} of {len(rows):,} tokens"
    if cut is Cut.IMPOSSIBLE:
        return f"The model itself rules out all but {tokens}"
    words = f"{rows.reason(cut)} cuts here · leaves {tokens}"
    return f"{words}, {rows.shaped.kept_mass:.4f} of the mass" if row == rows.shaped.kept else words


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
