"""What every text made of tokens can do: hover, select with mouse and keyboard, scroll. How it paints is its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QMenu, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.card import Card, HoverCard

MARGIN = theme.SPACE


class TokenArea(QAbstractScrollArea):
    """Tokens numbered from 0. A click selects one; dragging or Shift with an arrow key selects several.

    `selected(first, last)` are the tokens' numbers, (-1, -1) for none. `card_of(i)` makes the hover card of token i.
    A click with Ctrl leaves the selection as it is and says `toggled`, for views that mark tokens here and there.
    """

    selected = Signal(int, int)
    toggled = Signal(int)
    hovered = Signal(int)  # -1 for none; before the card is asked for
    menu_asked = Signal(QMenu)  # a context menu is about to open: add to it
    leading = 6.0  # pixels between lines, so that the colours of two lines do not touch
    line_step = 24  # pixels of one step of the scroll bar

    def __init__(self, card_of: Callable[[int], Card | None], name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card_of = card_of
        self._anchor = self._head = self._hovered = -1
        self._card = HoverCard(self)
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self.setAccessibleName(name)
        self.verticalScrollBar().valueChanged.connect(self._card.hide)
        theme.changed.connect(self._rebuild)

    # --- what a text of tokens must tell ----------------------------------------------------------------------

    @abstractmethod
    def __len__(self) -> int:
        """How many tokens there are."""

    @abstractmethod
    def token_at(self, position: QPoint) -> int:
        """The token under a point of the viewport, -1 for none."""

    @abstractmethod
    def token_rects(self, index: int) -> list[QRectF]:
        """Where token `index` lies on the viewport; nothing for a token that there is not."""

    @abstractmethod
    def copy(self) -> None:
        """The selected tokens' text, or all of it, to the clipboard."""

    @abstractmethod
    def _lay_out(self) -> None:
        """Lay out everything anew: another width, or other colours."""

    @abstractmethod
    def _height(self) -> float:
        """Pixels from the first line to the last, without margins, as far as is known."""

    def _describe(self, index: int) -> str:
        """What a screen reader says of the token that the keyboard has gone to."""
        return f"Token {index + 1} of {len(self)}"

    # --- size -------------------------------------------------------------------------------------------------

    @Slot()
    def _rebuild(self) -> None:
        self._lay_out()
        self._measure()
        self.viewport().update()

    def _measure(self) -> None:
        bar, height = self.verticalScrollBar(), self.viewport().height()
        whole = round(self._height()) + 2 * MARGIN if len(self) else 0
        bar.setRange(0, max(0, whole - height))
        bar.setPageStep(height)
        bar.setSingleStep(self.line_step)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._rebuild()
        else:
            self._measure()

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 60)

    # --- selection --------------------------------------------------------------------------------------------

    @property
    def selection(self) -> tuple[int, int]:
        """First and last selected token, (-1, -1) for none."""
        return min(self._anchor, self._head), max(self._anchor, self._head)

    def select(self, first: int, last: int | None = None, *, scroll: bool = True) -> None:
        """Select tokens without a signal, and bring them into sight; -1 selects none."""
        self._anchor, self._head = first, first if last is None else last
        if scroll:
            self._show_token(first)
        self.viewport().update()

    def _select(self, anchor: int, head: int) -> None:
        if (anchor, head) != (self._anchor, self._head):
            self._anchor, self._head = anchor, head
            self.viewport().update()
            self.selected.emit(*self.selection)

    def _show_token(self, index: int) -> None:
        if not 0 <= index < len(self):
            return
        self.setAccessibleDescription(self._describe(index))
        for rect in self.token_rects(index)[:1]:
            self._measure()  # finding the place may have laid out more of the text
            bar, height = self.verticalScrollBar(), self.viewport().height()
            if rect.top() < 0:
                bar.setValue(round(bar.value() + rect.top()) - MARGIN)
            elif rect.bottom() > height:
                bar.setValue(round(bar.value() + rect.bottom() - height) + MARGIN)

    # --- mouse ------------------------------------------------------------------------------------------------

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
        self.hovered.emit(index)
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
            if event.modifiers() & Qt.KeyboardModifier.ControlModifier and index >= 0:
                self.toggled.emit(index)
                return
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

    # --- keyboard ---------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = QKeySequence.StandardKey
        if event.matches(keys.Copy):
            self.copy()
        elif event.matches(keys.SelectAll) and len(self):
            self._select(0, len(self) - 1)
        elif not self._move(event):
            super().keyPressEvent(event)

    def _move(self, event: QKeyEvent) -> bool:
        key, last = Qt.Key, len(self) - 1
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
        rects = self.token_rects(self._head) if self._head >= 0 else []
        if not rects:
            return max(0, self._head)
        place = QPointF(rects[0].left() + 2, rects[0].center().y() + lines * (rects[0].height() + self.leading))
        found = self.token_at(place.toPoint())
        return found if found >= 0 else self._head
