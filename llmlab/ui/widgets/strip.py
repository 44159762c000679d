"""A text with its tokens in place, each on a colour of its own. Paints only what is looked at, whatever the length."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QWidget

from llmlab.engine.types import Bool
from llmlab.ui import theme
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.strip_layout import Known, LaidOut, StripLayout
from llmlab.ui.widgets.strip_text import StripText
from llmlab.ui.widgets.tokenarea import MARGIN, TokenArea

LEADING = 6.0  # pixels between lines, so that the colours of two lines do not touch
RADIUS = 3.0

ColorOf = Callable[[int], QColor]


class TokenStrip(TokenArea):
    """Tokens in their text; `copy_asked` says that the selected ones are wanted on the clipboard."""

    copy_asked = Signal()

    def __init__(self, card_of: Callable[[int], Card | None], parent: QWidget | None = None) -> None:
        super().__init__(card_of, "Tokens in their text", parent)
        self._source: StripText | None = None
        self._layout: StripLayout | None = None
        self._known: Known = OrderedDict()
        self._color_of: ColorOf = lambda index: theme.current().token[index % len(theme.current().token)]
        self._flags: Bool | None = None
        self._marked: frozenset[int] = frozenset()
        self._limit: int | None = None
        self._font = theme.monospace(1.08)

    # --- what is shown --------------------------------------------------------------------------------------

    def set_source(self, source: StripText | None) -> None:
        """Show another text; a selection that still fits stays."""
        self._source, self._flags = source, None
        if max(self._anchor, self._head) >= len(self):
            self._anchor = self._head = -1
        self._hovered = -1
        self._card.hide()
        self._refresh()

    def set_colors(self, color_of: ColorOf) -> None:
        """How the background of token i is chosen."""
        self._color_of = color_of
        self.viewport().update()

    def set_flags(self, flags: Bool | None) -> None:
        """Tokens, bool (tokens,), whose left edge gets a strong mark."""
        self._flags = flags
        self.viewport().update()

    def set_marked(self, tokens: frozenset[int]) -> None:
        """Tokens with the frame of selected ones, besides those that are selected."""
        if tokens != self._marked:
            self._marked = tokens
            self.viewport().update()

    def set_limit(self, limit: int | None) -> None:
        """Tokens from number `limit` on do not fit and are shown pale."""
        self._limit = limit
        self.viewport().update()

    @property
    def source(self) -> StripText | None:
        """What is shown."""
        return self._source

    def __len__(self) -> int:
        return len(self._source.tokens.ids) if self._source else 0

    def copy(self) -> None:
        self.copy_asked.emit()

    def _lay_out(self) -> None:
        self._known.clear()
        self._place()

    def _refresh(self) -> None:
        """Another text, of which some lines may be known."""
        self._place()
        self._measure()
        self.viewport().update()

    def _place(self) -> None:
        source, width = self._source, self.viewport().width() - 2 * MARGIN
        self._layout = StripLayout(source, self._font, width, LEADING, self._known) if source else None

    def _height(self) -> float:
        return self._layout.height if self._layout else 0.0

    def sizeHint(self) -> QSize:
        return QSize(400, 160)

    # --- places ---------------------------------------------------------------------------------------------

    def token_at(self, position: QPoint) -> int:
        if self._layout is None or self._source is None:
            return -1
        y = position.y() + self.verticalScrollBar().value() - MARGIN
        block = self._layout.block_at(y)
        point = QPointF(position.x() - MARGIN, y - self._layout.top(block))
        for number, rects in enumerate(self._layout.block(block).places):
            if any(rect.adjusted(0, -LEADING / 2, 0, LEADING / 2).contains(point) for rect in rects):
                return int(self._source.first[block]) + number
        return -1

    def token_rects(self, index: int) -> list[QRectF]:
        if self._layout is None or self._source is None or index < 0:
            return []
        block = self._source.block_of(index)
        places = self._layout.block(block).places[index - int(self._source.first[block])]
        offset = QPointF(MARGIN, MARGIN - self.verticalScrollBar().value() + self._layout.top(block))
        return [rect.translated(offset) for rect in places]

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self.viewport()), theme.current()
        painter.fillRect(event.rect(), colors.base)
        if self._layout is not None and self._source is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            scrolled, before = self.verticalScrollBar().value(), self._layout.height
            area = event.rect()
            for block, top, laid_out in self._layout.visible(
                area.top() + scrolled - MARGIN, area.bottom() + scrolled - MARGIN
            ):
                painter.save()
                painter.translate(MARGIN, MARGIN + top - scrolled)
                self._paint_block(painter, int(self._source.first[block]), laid_out)
                painter.restore()
            if self._layout.height != before:
                self._measure()
        painter.end()

    def _paint_block(self, painter: QPainter, first: int, block: LaidOut) -> None:
        colors = theme.current()
        painter.setPen(Qt.PenStyle.NoPen)
        for number, rects in enumerate(block.places):
            index = first + number
            color = self._color_of(index)
            if self._limit is not None and index >= self._limit:
                color = theme.mix(color, colors.base, 0.8)
            painter.setBrush(color)
            for rect in rects:
                painter.drawRoundedRect(rect.adjusted(0.5, -1.5, -0.5, 1.5), RADIUS, RADIUS)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colors.token_special, 1))
        for rect in block.ties:
            painter.drawRoundedRect(rect.adjusted(0.5, -2.5, -1, 2.5), RADIUS, RADIUS)
        painter.setPen(colors.text)
        block.layout.draw(painter, QPointF(0, 0))
        self._paint_marks(painter, first, block)

    def _paint_marks(self, painter: QPainter, first: int, block: LaidOut) -> None:
        colors, (low, high) = theme.current(), self.selection
        last = first + len(block.places) - 1
        if self._flags is not None:
            for number in np.flatnonzero(self._flags[first : last + 1]).tolist():
                for rect in block.places[number][:1]:
                    painter.fillRect(QRectF(rect.left() - 0.5, rect.top() - 2, 2, rect.height() + 4), colors.cut_line)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if first <= self._hovered <= last:
            painter.setPen(QPen(colors.muted, 1.2))
            self._outline(painter, block.places[self._hovered - first])
        painter.setPen(QPen(colors.accent, 1.8))
        chosen = set(range(max(low, first), min(high, last) + 1)) if low >= 0 else set()
        for index in chosen.union(index for index in self._marked if first <= index <= last):
            self._outline(painter, block.places[index - first])

    @staticmethod
    def _outline(painter: QPainter, rects: list[QRectF]) -> None:
        for rect in rects:
            painter.drawRoundedRect(rect.adjusted(0, -2, 0, 2), RADIUS, RADIUS)
