"""The head grid: a thumbnail of every head of every layer; click one to look at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.heads import Heads, Place
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.heatmap import colours
from llmlab.ui.widgets.heatmap.norm import Norm

SMALLEST_TILE, LARGEST_TILE = 20, 84
GAP = 3
APART = 2 * GAP  # between the heads and their means
BAR = 3  # the score, below the tile
HEAD_ROOM = 18  # the numbers above and beside the tiles
PALE = 0.72  # how far a head that the filter leaves out gives way to the ground


@dataclass(frozen=True, slots=True)
class _Layout:
    """Tiles of `tile` pixels in `columns` columns; `wrapped`: in the order of a score, not one row a layer."""

    tile: int
    columns: int
    rows: int
    left: int
    wrapped: bool

    @property
    def step(self) -> QSize:
        return QSize(self.tile + GAP, self.tile + GAP + BAR + (HEAD_ROOM - 4 if self.wrapped else 0))


class HeadGrid(QScrollArea):
    """`chosen` carries a Place."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.tiles = _Tiles()
        self.tiles.chosen.connect(self.chosen)
        self.setWidget(self.tiles)
        self.setFocusProxy(self.tiles)
        self.viewport().setAutoFillBackground(False)
        self.tiles.setAutoFillBackground(False)

    def show_heads(self, heads: Heads | None, norm: Norm) -> None:
        """Show the heads of a survey, or none."""
        former = self.tiles.heads.focus if self.tiles.heads else None
        self.tiles.show_heads(heads, norm)
        if heads is not None and heads.focus != former:
            place = self.tiles.rect_of(heads.focus)
            self.ensureVisible(place.center().x(), place.center().y(), place.width(), place.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.tiles.fit(self.viewport().size())


class _Tiles(QWidget):
    """The tiles themselves. They are painted once and kept; what changes with the mouse is painted over them."""

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Heads of all layers")
        self.heads: Heads | None = None
        self._norm = Norm()
        self._room = QSize(280, 400)
        self._hovered: Place | None = None
        self._picture: QPixmap | None = None
        self._card = HoverCard(self)
        theme.changed.connect(self._forget)

    def show_heads(self, heads: Heads | None, norm: Norm) -> None:
        same = heads is not None and self.heads is not None and heads.looks_like(self.heads) and norm == self._norm
        self.heads, self._norm = heads, norm
        if not same:
            self._forget()
            self.fit(self._room)
        self.setAccessibleDescription(heads.describe(heads.focus) if heads else "")
        self.update()

    def fit(self, room: QSize) -> None:
        """Make the tiles as large as there is room for."""
        self._room = room
        layout = self._layout()
        if layout is not None:
            step = layout.step
            self.setMinimumSize(
                layout.left + layout.columns * step.width() + (0 if layout.wrapped else APART),
                (0 if layout.wrapped else HEAD_ROOM) + layout.rows * step.height() + APART + HEAD_ROOM,
            )
        self._forget()

    def _forget(self) -> None:
        self._picture = None
        self.update()

    # --- where the tiles are --------------------------------------------------------------------------------

    def _layout(self) -> _Layout | None:
        heads = self.heads
        if heads is None:
            return None
        wrapped = heads.order is not None
        left = GAP if wrapped else QFontMetrics(self.font()).horizontalAdvance("mean ") + GAP
        across = heads.heads + 1
        rows = heads.layers + 1
        width, height = self._room.width() - left - APART - 1, self._room.height() - 2 * HEAD_ROOM - APART
        tile = min(width // across - GAP, height // rows - GAP - BAR)
        tile = min(max(SMALLEST_TILE, tile), LARGEST_TILE)
        if wrapped:
            tile = max(tile, 40)
            columns = max(1, width // (tile + GAP))
            return _Layout(tile, columns, -(-len(heads.places) // columns), left, wrapped=True)
        return _Layout(tile, across, rows, left, wrapped=False)

    def rect_of(self, place: Place) -> QRect:
        """The tile of a head, without its bar."""
        heads, layout = self.heads, self._layout()
        if heads is None or layout is None or place not in heads.index:
            return QRect()
        if layout.wrapped:
            row, column = divmod(heads.index[place], layout.columns)
            top = HEAD_ROOM - 4
        else:
            layer, head = place
            row, column = (heads.layers if layer is None else layer), (heads.heads if head is None else head)
            top = HEAD_ROOM
        extra = 0 if layout.wrapped else APART
        x = layout.left + column * layout.step.width() + (extra if place[1] is None else 0)
        y = top + row * layout.step.height() + (extra if place[0] is None else 0)
        return QRect(x, y, layout.tile, layout.tile)

    def place_at(self, point: QPoint) -> Place | None:
        """The head under a point."""
        if self.heads is None:
            return None
        near = (place for place in self.heads.places if self.rect_of(place).adjusted(0, 0, 1, BAR + 1).contains(point))
        return next(near, None)

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, heads = QPainter(self), theme.current(), self.heads
        if heads is not None:
            if self._picture is None:
                self._picture = self._render(heads)
            painter.drawPixmap(0, 0, self._picture)
            for place, color, width in (
                (self._hovered, colors.muted, 1.5),
                (heads.focus, colors.accent, 3.0 if self.hasFocus() else 2.5),
            ):
                if place is not None and place in heads.index:
                    painter.setPen(QPen(color, width))
                    painter.drawRect(self.rect_of(place).adjusted(-2, -2, 1, 1))
        painter.end()

    def _render(self, heads: Heads) -> QPixmap:
        scale = self.devicePixelRatioF()
        picture = QPixmap(self.size() * scale)
        picture.setDevicePixelRatio(scale)
        picture.fill(Qt.GlobalColor.transparent)
        layout = self._layout()
        assert layout is not None
        painter = QPainter(picture)
        codes = heads.tiles.level(heads.reduction, layout.tile * scale) if heads.tiles is not None else None
        table = colours.table(self._norm, opaque=True)
        for place in heads.places:
            rect = self.rect_of(place)
            if codes is None or place not in heads.known:
                painter.fillRect(rect, theme.current().raised)
            else:
                colors = np.ascontiguousarray(table[codes[heads.tile_index(place)]])
                rows, columns = colors.shape
                painter.drawImage(rect, QImage(colors.data, columns, rows, 4 * columns, QImage.Format.Format_RGB32))
            self._mark(painter, heads, place, rect)
        self._name(painter, heads, layout)
        painter.setPen(theme.current().muted)
        bottom = layout.rows * layout.step.height() + (HEAD_ROOM - 4 if layout.wrapped else HEAD_ROOM + APART)
        room = QRect(layout.left, bottom, self.width() - layout.left, HEAD_ROOM)
        caption = QFontMetrics(painter.font()).elidedText(heads.caption, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, caption)
        painter.end()
        return picture

    def _mark(self, painter: QPainter, heads: Heads, place: Place, rect: QRect) -> None:
        """The score below the tile; broken heads in a frame of their own; pale where the filter leaves it out."""
        colors = theme.current()
        if heads.is_filtered(place):
            ground = QColor(colors.window)
            ground.setAlphaF(PALE)
            painter.fillRect(rect, ground)
        share = heads.share(place)
        if share is not None:
            painter.fillRect(QRect(rect.left(), rect.bottom() + 2, rect.width(), BAR - 1), colors.raised)
            width = round(rect.width() * min(max(share, 0.0), 1.0))
            painter.fillRect(QRect(rect.left(), rect.bottom() + 2, width, BAR - 1), colors.bar_kept)
        if heads.is_broken(place):
            painter.setPen(QPen(colours.NAN_COLOR, 2))
            painter.drawRect(rect.adjusted(1, 1, -2, -2))

    def _name(self, painter: QPainter, heads: Heads, layout: _Layout) -> None:
        """Numbers of heads above, of layers beside; in the order of a score above each tile."""
        painter.setPen(theme.current().muted)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.86)
        painter.setFont(font)
        center = Qt.AlignmentFlag.AlignCenter
        if layout.wrapped:
            for place in heads.places:
                rect = self.rect_of(place)
                painter.drawText(QRect(rect.left() - GAP, rect.top() - 14, rect.width() + 2 * GAP, 14), center,
                                 heads.short_name(place))  # fmt: skip
            return
        for head in (*range(heads.heads), None):
            rect = self.rect_of((0, head))
            painter.drawText(QRect(rect.left() - 4, 0, rect.width() + 8, HEAD_ROOM), center, heads.head_name(head))
        for layer in (*range(heads.layers), None):
            rect = self.rect_of((layer, 0))
            painter.drawText(
                QRect(0, rect.top(), layout.left - GAP, rect.height()),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                heads.layer_name(layer),
            )
        self._groups(painter, heads)

    def _groups(self, painter: QPainter, heads: Heads) -> None:
        """A line over the heads that share keys and values."""
        painter.setPen(QPen(theme.current().accent, 2))
        for first, last in heads.groups:
            left, right = self.rect_of((0, first)).left() + 1, self.rect_of((0, last)).right() - 1
            painter.drawLine(left, HEAD_ROOM - 2, right, HEAD_ROOM - 2)

    # --- events ---------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = self.place_at(event.position().toPoint())
        if place != self._hovered:
            self._hovered = place
            self.update()
        if place is None or self.heads is None:
            self._card.hide()
        else:
            card = Card(self.heads.describe(place), self.heads.facts(place))
            self._card.show_at(card, event.globalPosition().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hovered = None
        self._card.hide()
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self.place_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and place is not None:
            self.chosen.emit(place)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        heads, layout = self.heads, self._layout()
        step = {
            Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)
        }.get(Qt.Key(event.key()))  # fmt: skip
        if heads is None or layout is None or step is None:
            super().keyPressEvent(event)
            return
        columns = layout.columns
        place = heads.places[heads.index[heads.focus]] if heads.focus in heads.index else heads.places[0]
        row, column = divmod(heads.index[place], columns)
        row, column = row + step[0], column + step[1]
        index = row * columns + column
        if 0 <= column < columns and row >= 0 and index < len(heads.places):
            self.chosen.emit(heads.places[index])
