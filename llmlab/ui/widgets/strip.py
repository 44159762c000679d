"""A text with its tokens in place, each on a colour of its own. Paints only what is looked at, whatever the length."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QMenu, QWidget

from llmlab.engine.types import Bool
from llmlab.ui import theme
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.strip_layout import Known, LaidOut, StripLayout
from llmlab.ui.widgets.strip_text import StripText

MARGIN = theme.SPACE
LEADING = 6.0  # pixels between lines, so that the colours of two lines do not touch
RADIUS = 3.0

ColorOf = Callable[[int], QColor]


class TokenStrip(QAbstractScrollArea):
    """Tokens in their text. A click selects one; dragging or Shift with an arrow key selects several.

    `selected(first, last)` are the tokens' numbers, (-1, -1) for none. `card_of(i)` makes the hover card of token i.
    """

    selected = Signal(int, int)
    copy_asked = Signal()
    menu_asked = Signal(QMenu)  # a context menu is about to open: add to it

    def __init__(self, card_of: Callable[[int], Card | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card_of = card_of
        self._source: StripText | None = None
        self._layout: StripLayout | None = None
        self._known: Known = OrderedDict()
        self._color_of: ColorOf = lambda index: theme.current().token[index % len(theme.current().token)]
        self._flags: Bool | None = None
        self._limit: int | None = None
        self._anchor = self._head = self._hovered = -1
        self._card = HoverCard(self)
        self._font = theme.monospace(1.08)
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self.setAccessibleName("Tokens in their text")
        self.verticalScrollBar().valueChanged.connect(self._card.hide)
        theme.changed.connect(self._rebuild)

    # --- what is shown --------------------------------------------------------------------------------------

    def set_source(self, source: StripText | None) -> None:
        """Show another text; a selection that still fits stays."""
        self._source, self._flags = source, None
        count = len(source.tokens.ids) if source else 0
        if max(self._anchor, self._head) >= count:
            self._anchor = self._head = -1
        self._hovered = -1
        self._card.hide()
        self._lay_out()

    def set_colors(self, color_of: ColorOf) -> None:
        """How the background of token i is chosen."""
        self._color_of = color_of
        self.viewport().update()

    def set_flags(self, flags: Bool | None) -> None:
        """Tokens, bool (tokens,), whose left edge gets a strong mark."""
        self._flags = flags
        self.viewport().update()

    def set_limit(self, limit: int | None) -> None:
        """Tokens from number `limit` on do not fit and are shown pale."""
        self._limit = limit
        self.viewport().update()

    @property
    def source(self) -> StripText | None:
        """What is shown."""
        return self._source

    @property
    def selection(self) -> tuple[int, int]:
        """First and last selected token, (-1, -1) for none."""
        return min(self._anchor, self._head), max(self._anchor, self._head)

    def select(self, first: int, last: int, *, scroll: bool = True) -> None:
        """Select tokens without a signal, and bring them into sight; -1 selects none."""
        self._anchor, self._head = first, last
        if scroll:
            self._show_token(first)
        self.viewport().update()

    @Slot()
    def _rebuild(self) -> None:
        """Forget the layout: another width or scheme."""
        self._known.clear()
        self._lay_out()

    def _lay_out(self) -> None:
        source, width = self._source, self.viewport().width() - 2 * MARGIN
        self._layout = StripLayout(source, self._font, width, LEADING, self._known) if source else None
        self._measure()
        self.viewport().update()

    def _measure(self) -> None:
        height, bar = self.viewport().height(), self.verticalScrollBar()
        whole = round(self._layout.height) if self._layout else 0
        bar.setRange(0, max(0, whole + 2 * MARGIN - height))
        bar.setPageStep(height)
        bar.setSingleStep(24)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._rebuild()
        else:
            self._measure()

    def sizeHint(self) -> QSize:
        return QSize(400, 160)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 60)

    # --- places ---------------------------------------------------------------------------------------------

    def token_at(self, position: QPoint) -> int:
        """The token under a point of the viewport, -1 for none."""
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
        """Where token `index` lies on the viewport."""
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
        if low >= 0:
            painter.setPen(QPen(colors.accent, 1.8))
            for index in range(max(low, first), min(high, last) + 1):
                self._outline(painter, block.places[index - first])

    @staticmethod
    def _outline(painter: QPainter, rects: list[QRectF]) -> None:
        for rect in rects:
            painter.drawRoundedRect(rect.adjusted(0, -2, 0, 2), RADIUS, RADIUS)

    # --- mouse ----------------------------------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover(-1, QPoint())
        return super().viewportEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        index = self.token_at(event.position().toPoint())
        if event.buttons() & Qt.MouseButton.LeftButton and index >= 0 and self._anchor >= 0:
            self._select(self._anchor, index)
        self._hover(index, event.globalPosition().toPoint())

    def _hover(self, index: int, position: QPoint) -> None:
        if index == self._hovered:
            return
        self._hovered = index
        card = self._card_of(index) if index >= 0 else None
        if card:
            self._card.show_at(card, position)
        else:
            self._card.hide()
        self.viewport().update()

    @property
    def card(self) -> Card | None:
        """What the hover card says now."""
        return self._card.card if self._card.isVisible() else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            index = self.token_at(event.position().toPoint())
            extend = event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0
            self._select(self._anchor if extend and index >= 0 else index, index)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.menu_asked.emit(menu)
        self._card.hide()
        if menu.actions():
            menu.popup(event.globalPos())

    # --- keyboard -------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = QKeySequence.StandardKey
        count = len(self._source.tokens.ids) if self._source else 0
        if event.matches(keys.Copy):
            self.copy_asked.emit()
        elif event.matches(keys.SelectAll) and count:
            self._select(0, count - 1)
        elif not self._move(event, count - 1):
            super().keyPressEvent(event)

    def _move(self, event: QKeyEvent, last: int) -> bool:
        key = Qt.Key
        target = {
            key.Key_Left: max(0, self._head - 1),
            key.Key_Right: min(last, self._head + 1),
            key.Key_Up: self._beside(-1),
            key.Key_Down: self._beside(1),
            key.Key_Home: 0,
            key.Key_End: last,
        }.get(Qt.Key(event.key()))
        if target is None or last < 0:
            return False
        extend = event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0
        self._select(self._anchor if extend else target, target)
        self._show_token(target)
        return True

    def _beside(self, lines: int) -> int:
        """The token one line above or below the head."""
        rects = self.token_rects(self._head)
        if not rects:
            return max(0, self._head)
        place = QPointF(rects[0].left() + 2, rects[0].center().y() + lines * (rects[0].height() + LEADING))
        found = self.token_at(place.toPoint())
        return found if found >= 0 else self._head

    def _select(self, anchor: int, head: int) -> None:
        if (anchor, head) != (self._anchor, self._head):
            self._anchor, self._head = anchor, head
            self.viewport().update()
            self.selected.emit(*self.selection)

    def _show_token(self, index: int) -> None:
        for rect in self.token_rects(index)[:1]:
            self._measure()  # finding the place may have laid out a block
            bar, height = self.verticalScrollBar(), self.viewport().height()
            if rect.top() < 0:
                bar.setValue(round(bar.value() + rect.top()) - MARGIN)
            elif rect.bottom() > height:
                bar.setValue(round(bar.value() + rect.bottom() - height) + MARGIN)
