"""The widget of the lines: scrolls, isolates a token's lines under the mouse, pins one with a click."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QMenu, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.lines_edges import FLOOR
from llmlab.ui.panels.attention.lines_paint import HEADER, Frame, Painted, paint, token_at
from llmlab.ui.panels.attention.lines_values import Lines
from llmlab.ui.panels.attention.reading import KEYS, QUERIES
from llmlab.ui.widgets.card import Card, CardBar, HoverCard

BARS = 8  # weights on a card


class LinesArea(QAbstractScrollArea):
    """Two columns of tokens. `pinned` carries a row of the queries or None; `hovered` the axis and row, or ("", -1)."""

    pinned = Signal(object)
    hovered = Signal(str, int)
    seen = Signal(int, int)  # first and last row in sight
    painted = Signal(object)
    menu_asked = Signal(QMenu)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._frame: Frame | None = None
        self._threshold = 0.05
        self._card = HoverCard(self)
        self._painted = Painted(0, 0)
        self.setFrameShape(QAbstractScrollArea.Shape.StyledPanel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Lines between two columns of tokens")
        self.viewport().setMouseTracking(True)
        self.verticalScrollBar().valueChanged.connect(self._scrolled)
        theme.changed.connect(self._restyle)

    # --- what is shown --------------------------------------------------------------------------------------

    @property
    def frame_now(self) -> Frame | None:
        """Everything that is on screen."""
        return self._frame

    def set_lines(self, lines: Lines | None) -> None:
        """Show other lines; the place that is looked at stays."""
        before = self._frame
        if lines is None:
            self._frame = None
            self._card.hide()
        else:
            size = self.viewport().size()
            self._frame = Frame(
                lines, theme.monospace(), theme.current(), size.width(), size.height(), threshold=self._threshold
            )
            if before is not None and len(before.lines.query_labels) == len(lines.query_labels):
                self._frame = replace(self._frame, hovered=before.hovered, pinned=before.pinned)
        self._measure()
        self._scrolled()

    def set_threshold(self, threshold: float) -> None:
        """Leave out lines of smaller weights."""
        self._threshold = threshold
        self._change(threshold=threshold)

    def set_pinned(self, rows: tuple[int, ...]) -> None:
        """Show the lines of these queries alone, and bring the first into sight."""
        if self._frame is None or rows == self._frame.pinned:
            return
        self._change(pinned=rows)
        if rows:
            self._show_row(rows[0])
            self.setAccessibleDescription(f"Token {rows[0]}: {self._frame.lines.query_labels[rows[0]]}")

    def _change(self, **changes: Any) -> None:
        if self._frame is not None:
            self._frame = replace(self._frame, **changes)
            self.viewport().update()

    def _show_row(self, row: int) -> None:
        if self._frame is None:
            return
        bar, height = self.verticalScrollBar(), self._frame.row_height
        top, room = row * height, self.viewport().height() - HEADER
        if top < bar.value() or top + height > bar.value() + room:
            bar.setValue(round(top - room / 2))

    @Slot()
    def _restyle(self) -> None:
        self._change(colors=theme.current(), font=theme.monospace())
        self._measure()

    @Slot()
    def _scrolled(self) -> None:
        self._card.hide()
        self._change(scroll=float(self.verticalScrollBar().value()))
        if self._frame is not None:
            self.seen.emit(*self._frame.rows)

    def _measure(self) -> None:
        bar, height = self.verticalScrollBar(), self.viewport().height()
        whole = self._frame.whole_height if self._frame else 0.0
        bar.setRange(0, max(0, round(whole - height)))
        bar.setPageStep(height)
        bar.setSingleStep(24)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._change(width=float(event.size().width()), height=float(event.size().height()))
        self._measure()
        self._scrolled()

    def minimumSizeHint(self) -> QSize:
        return QSize(260, 120)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), theme.current().base)
        if self._frame is not None:
            painted = paint(painter, self._frame)
            if painted != self._painted:
                self._painted = painted
                self.painted.emit(painted)
        painter.end()

    # --- mouse and keyboard ---------------------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover(None, QPoint())
        return super().viewportEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._frame is not None:
            place = event.position()
            self._hover(token_at(self._frame, place.x(), place.y()), event.globalPosition().toPoint())

    def _hover(self, token: tuple[str, int] | None, position: QPoint) -> None:
        if self._frame is None or token == self._frame.hovered:
            return
        self._change(hovered=token)
        self.hovered.emit(*(token or ("", -1)))
        if token is None:
            self._card.hide()
        else:
            self._card.show_at(card_of(self._frame, *token), position)

    @property
    def card(self) -> Card | None:
        """What the hover card says now."""
        return self._card.card if self._card.isVisible() else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or self._frame is None:
            return
        token = token_at(self._frame, event.position().x(), event.position().y())
        if token is None:
            self.pinned.emit(None)
        elif token[0] == QUERIES:
            self.pinned.emit(token[1])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.menu_asked.emit(menu)
        self._card.hide()
        menu.popup(event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        frame, key = self._frame, Qt.Key
        if frame is None:
            return
        last, now = len(frame.lines.query_labels) - 1, frame.pinned[0] if frame.pinned else -1
        target = {
            key.Key_Up: max(0, now - 1),
            key.Key_Down: min(last, now + 1),
            key.Key_Home: 0,
            key.Key_End: last,
        }.get(Qt.Key(event.key()))
        if event.key() == key.Key_Escape and frame.pinned:
            self.pinned.emit(None)
        elif target is None:
            super().keyPressEvent(event)
        elif (target,) != frame.pinned:
            self.pinned.emit(target)


def card_of(frame: Frame, axis: str, row: int) -> Card:
    """The exact weights of a token's strongest lines, or those of a pinned query on it."""
    lines = frame.lines
    label = (lines.query_labels if axis == QUERIES else lines.key_labels)[row]
    title = f"{label}  ·  token {int((lines.query_edges if axis == QUERIES else lines.key_edges)[row])}"
    if axis == QUERIES and not lines.covered[0] <= int(lines.query_edges[row]) < lines.covered[1]:
        return Card(title, (("", "Its lines are on their way."),))
    others = lines.key_labels if axis == QUERIES else lines.query_labels
    found = []
    for head in lines.heads:
        which = head.edges.of_query(row) if axis == QUERIES else head.edges.of_key(row)
        ends = (head.edges.keys if axis == QUERIES else head.edges.queries)[which].tolist()
        name = f"  ({head.head.label})" if len(lines.heads) > 1 else ""
        weights = head.edges.weights[which].tolist()
        found += [(weight, end, name) for end, weight in zip(ends, weights, strict=True)]
    if axis == KEYS and frame.pinned:
        found = [each for each in found if each[1] in frame.pinned]
    found.sort(reverse=True)
    bars = tuple(
        CardBar(f"{others[end]} {end}{head}", min(1.0, weight / lines.top), f"{weight:.4f}")
        for weight, end, head in found[:BARS]
    )
    verb = "looks at" if axis == QUERIES else "is looked at by"
    if not bars:
        return Card(title, (("", f"No weight reaches {FLOOR:g}."),))
    return Card(title, (("", verb),), bars, "Click to pin its lines." if axis == QUERIES else "")
