"""Query and key, dimension by dimension: what speaks for a weight and what against it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QLineF, QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.engine.types import Float32
from llmlab.ui import theme
from llmlab.ui.panels.attention.pair_part import Order, Pair
from llmlab.ui.widgets.card import Card, HoverCard

PAD = theme.SPACE
LABELS = 56  # pixels before the strips
STRIP = 22
GAP = 6


class Dimensions(QWidget):
    """Query and key as colours, their products as bars, and the sum so far, dimension by dimension."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pair: Pair | None = None
        self._order = np.zeros(0, np.int32)
        self._cursor = -1  # a place in the order
        self._font = theme.monospace(0.92)
        self._card = HoverCard(self)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Products of query and key, dimension by dimension")
        theme.changed.connect(self.update)

    def show_pair(self, pair: Pair | None, order: Order) -> None:
        """Other vectors, or another order."""
        self._pair = pair
        self._order = pair.ordered(order) if pair else np.zeros(0, np.int32)
        self._cursor = -1
        self._card.hide()
        self.update()

    @property
    def order(self) -> list[int]:
        """The dimensions from left to right."""
        return [int(index) for index in self._order]

    def sizeHint(self) -> QSize:
        return QSize(420, 220)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 170)

    # --- places ---------------------------------------------------------------------------------------------

    @property
    def _area(self) -> QRectF:
        return QRectF(LABELS, PAD, max(1, self.width() - LABELS - PAD), self.height() - 2 * PAD)

    @property
    def _bands(self) -> tuple[QRectF, QRectF, QRectF, QRectF]:
        """Query, key, products, sum so far."""
        area = self._area
        query = QRectF(area.left(), area.top(), area.width(), STRIP)
        key = query.translated(0, STRIP + GAP)
        rest = area.bottom() - key.bottom() - 3 * GAP
        products = QRectF(area.left(), key.bottom() + GAP, area.width(), rest * 0.58)
        return query, key, products, QRectF(area.left(), products.bottom() + 2 * GAP, area.width(), rest * 0.42)

    def place_of(self, x: float) -> int:
        """The place in the order under a point, -1 for none."""
        area, count = self._area, len(self._order)
        place = int((x - area.left()) // (area.width() / count)) if count else -1
        return place if 0 <= place < count else -1

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self._font)
        painter.fillRect(event.rect(), theme.current().base)
        if self._pair is not None and len(self._order):
            view = self._pair.view
            query, key, products, total = self._bands
            for band, values, name in ((query, view.query, "q"), (key, view.key, "k")):
                self._paint_strip(painter, band, values[self._order], name)
            self._paint_bars(painter, products, view.products[self._order])
            self._paint_sum(painter, total, np.cumsum(view.products[self._order], dtype=np.float64))
            self._paint_cursor(painter)
        painter.end()

    def _label(self, painter: QPainter, band: QRectF, *lines: str) -> None:
        painter.setPen(theme.current().muted)
        place = QRectF(0, band.top(), LABELS - PAD, band.height())
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(place, int(side), "\n".join(lines))

    def _paint_strip(self, painter: QPainter, band: QRectF, values: Float32, name: str) -> None:
        self._label(painter, band, name)
        largest = float(np.max(np.abs(values), initial=0.0)) or 1.0
        step = band.width() / len(values)
        for place, value in enumerate(values.tolist()):
            cell = QRectF(band.left() + place * step, band.top(), max(step - (step > 4), 1.0), band.height())
            painter.fillRect(cell, signed_color(value / largest))

    def _paint_bars(self, painter: QPainter, band: QRectF, values: Float32) -> None:
        colors = theme.current()
        high, low = max(float(values.max()), 0.0), min(float(values.min()), 0.0)
        span = (high - low) or 1.0
        zero = band.top() + band.height() * high / span
        step = band.width() / len(values)
        for place, value in enumerate(values.tolist()):
            length = band.height() * value / span
            bar = QRectF(band.left() + place * step, zero - max(length, 0), max(step - (step > 3), 1.0), abs(length))
            painter.fillRect(bar, colors.bar_kept if value > 0 else colors.cut_line)
        painter.setPen(QPen(colors.border, 1))
        painter.drawLine(QLineF(band.left(), zero, band.right(), zero))
        self._label(painter, band, "q·k")
        self._ticks(painter, band, high, low, zero)

    def _ticks(self, painter: QPainter, band: QRectF, high: float, low: float, zero: float) -> None:
        """Numbers at the ends of an axis, where they do not touch its name."""
        painter.setPen(theme.current().muted)
        side, line = Qt.AlignmentFlag.AlignRight, QFontMetrics(self._font).height()
        if high > 0:
            painter.drawText(QRectF(0, band.top() - 2, LABELS - PAD, line), side, _short(high))
        if low < 0:
            painter.drawText(QRectF(0, band.bottom() - line + 2, LABELS - PAD, line), side, _short(low))

    def _paint_sum(self, painter: QPainter, band: QRectF, sums: np.ndarray) -> None:
        colors = theme.current()
        high, low = max(float(sums.max()), 0.0), min(float(sums.min()), 0.0)
        span = (high - low) or 1.0
        step = band.width() / len(sums)
        heights = (band.top() + band.height() * (high - sums) / span).tolist()
        zero = band.top() + band.height() * high / span
        painter.setPen(QPen(colors.border, 1))
        painter.drawLine(QLineF(band.left(), zero, band.right(), zero))
        painter.setPen(QPen(colors.text, 1.6))
        before = zero
        for place, height in enumerate(heights):
            x = band.left() + place * step
            painter.drawLine(QLineF(x, before, x, height))
            painter.drawLine(QLineF(x, height, x + step, height))
            before = height
        self._label(painter, band, "sum")
        self._ticks(painter, band, high, low, zero)

    def _paint_cursor(self, painter: QPainter) -> None:
        if self._cursor >= 0:
            area, step = self._area, self._area.width() / len(self._order)
            painter.setPen(QPen(theme.current().accent, 1.4))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(area.left() + self._cursor * step - 1, area.top() - 2, step + 1, area.height() + 4))

    # --- mouse and keyboard ---------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._go(self.place_of(event.position().x()), event.globalPosition().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        self._go(-1, QPoint())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None or not len(self._order):
            super().keyPressEvent(event)
            return
        place = min(max(self._cursor + step, 0), len(self._order) - 1)
        x = self._area.left() + (place + 0.5) * self._area.width() / len(self._order)
        self._go(place, self.mapToGlobal(QPoint(round(x), self.height() // 2)))

    def _go(self, place: int, position: QPoint) -> None:
        if place == self._cursor:
            return
        self._cursor = place
        if place < 0 or self._pair is None:
            self._card.hide()
        else:
            self._card.show_at(self.card_of(place), position)
        self.update()

    @property
    def card(self) -> Card | None:
        """What the hover card says now."""
        return self._card.card if self._card.isVisible() else None

    def card_of(self, place: int) -> Card:
        """The exact numbers of a dimension."""
        assert self._pair is not None
        view, index = self._pair.view, int(self._order[place])
        sums = float(view.products[self._order[: place + 1]].sum(dtype=np.float64))
        facts = (
            ("q", f"{view.query[index]:.6f}"),
            ("k", f"{view.key[index]:.6f}"),
            ("q·k", f"{view.products[index]:.6f}"),
            ("sum so far", f"{sums:.6f}"),
        )
        return Card(f"dimension {index}", tuple((name, value.replace("-", "−")) for name, value in facts))


def signed_color(share: float) -> QColor:
    """Blue for positive, orange for negative, the base for 0; `share` −1 … 1. NaN has the colour of errors."""
    colors = theme.current()
    if share != share:
        return colors.error_base
    return theme.mix(colors.base, colors.bar_kept if share > 0 else colors.cut_line, min(abs(share), 1.0))


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
