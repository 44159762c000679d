"""The map on screen: all points in the background, names where they have room, drag to pan, wheel to zoom.

Painted here and not by a plotting library: importing one takes 0.3 s of the window's thread, and a scatter plot paints
a vocabulary of 150,000 points anew with every move of the mouse. Here the background is one picture, counted from the
points with numpy for the part of the plane that is shown.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFontMetrics,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.engine.types import Float32
from llmlab.ui import theme
from llmlab.ui.panels.tokens.plane import (
    DARKEST,
    MapPicture,
    Window,
    density,
    nearest,
    tick_name,
    ticks,
)
from llmlab.ui.widgets.card import Card, HoverCard

REACH = 9  # pixels from the mouse in which a point is found
RADIUS = 3.5  # of a point with a name
STEP = 1.25  # of one zoom
PAN = 0.1  # of the width, with one arrow key
MOST_NAMES = 400  # that room is looked for
FACES = ((1, 0), (-1, 0), (0, -1), (0, 1))  # where a name may stand beside its point: right, left, above, below


class MapCanvas(QWidget):
    """Signals: `picked` carries the index of a point."""

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture: MapPicture | None = None
        self._whole = self._window = Window(-1, 1, -1, 1)
        self._background: tuple[tuple[object, ...], QImage] | None = None
        self._placed: tuple[tuple[object, ...], Float32] | None = None  # all points on screen, for the mouse
        self._pressed: QPointF | None = None
        self._dragged = False
        self._card = HoverCard(self)
        self.hovered = -1
        self.named = 0  # how many names found room
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 120)
        self.setAccessibleName("Map of vectors")
        theme.changed.connect(self.update)

    @property
    def window_shown(self) -> Window:
        """The part of the plane that is on screen."""
        return self._window

    def sizeHint(self) -> QSize:
        return QSize(480, 260)

    def set_picture(self, picture: MapPicture | None) -> None:
        """Show another map, or none; the same points stay where they were zoomed to."""
        former, self._picture = self._picture, picture
        self.hovered = -1
        self._card.hide()
        if picture is not None and (former is None or former.points is not picture.points):
            self._whole = self._window = Window.around(picture.points)
            self._background = self._placed = None
        if picture is not None:
            self.setAccessibleName(f"Map: {picture.title}")
            self.setAccessibleDescription(", ".join(picture.names[:30]))
        self.update()

    def reset(self) -> None:
        """Show all points."""
        self._show_window(self._whole)

    # --- places ---------------------------------------------------------------------------------------------

    def plot_rect(self) -> QRect:
        """The room of the points, between the axes' numbers."""
        metrics = QFontMetrics(self.font())
        left = metrics.horizontalAdvance("−00.0") + metrics.height() + theme.SPACE
        below = 2 * metrics.height() + theme.SPACE // 2
        return self.rect().adjusted(left, 1, -1, -below)

    def place_of(self, index: int) -> QPointF:
        """Where a point is on screen."""
        assert self._picture is not None
        x, y = self._pixels(self._picture.points[index : index + 1])[0].tolist()
        return QPointF(x, y)

    def _pixels(self, points: Float32) -> Float32:
        plot = self.plot_rect()
        corner = np.array([plot.left(), plot.top()], np.float32)
        placed: Float32 = self._window.pixels(points, plot.width(), plot.height()) + corner
        return placed

    def index_at(self, point: QPointF) -> int:
        """The point under the mouse, one with a name first; −1 for none."""
        picture = self._picture
        if picture is None or not self.plot_rect().contains(point.toPoint()):
            return -1
        place = nearest(self._pixels(picture.points[picture.named]), point.x(), point.y(), REACH)
        if place >= 0:
            return int(picture.named[place])
        plot = self.plot_rect()
        key = (self._window, plot.width(), plot.height())
        if self._placed is None or self._placed[0] != key:  # the mouse moves more often than the map
            self._placed = (key, self._window.pixels(picture.points, plot.width(), plot.height()))
        return nearest(self._placed[1], point.x() - plot.left(), point.y() - plot.top(), REACH)

    # --- what the user does ---------------------------------------------------------------------------------

    def _show_window(self, window: Window) -> None:
        self._window = window.within(self._whole)
        self._card.hide()
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        plot, place = self.plot_rect(), event.position()
        x = (place.x() - plot.left()) / plot.width()
        y = 1 - (place.y() - plot.top()) / plot.height()
        self._show_window(self._window.zoomed(STEP ** (-event.angleDelta().y() / 120), x, y))
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton:
            self._pressed, self._dragged = event.position(), False
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = event.position()
        if self._pressed is None:
            self._hover(self.index_at(place), event.globalPosition().toPoint())
            return
        moved, plot = place - self._pressed, self.plot_rect()
        if self._dragged or moved.manhattanLength() > 3:
            self._dragged, self._pressed = True, place
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
            self._show_window(self._window.moved(-moved.x() / plot.width(), moved.y() / plot.height()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        was_click = self._pressed is not None and not self._dragged
        self._pressed = None
        self.unsetCursor()
        index = self.index_at(event.position())
        if was_click and index >= 0:
            self.picked.emit(index)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.index_at(event.position()) < 0:
            self.reset()

    def leaveEvent(self, event: QEvent) -> None:
        self._hover(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key
        window = self._window
        goals = {
            key.Key_Left: window.moved(-PAN, 0),
            key.Key_Right: window.moved(PAN, 0),
            key.Key_Up: window.moved(0, PAN),
            key.Key_Down: window.moved(0, -PAN),
            key.Key_Plus: window.zoomed(1 / STEP),
            key.Key_Equal: window.zoomed(1 / STEP),
            key.Key_Minus: window.zoomed(STEP),
            key.Key_0: self._whole,
            key.Key_Home: self._whole,
        }
        goal = goals.get(Qt.Key(event.key()))
        if goal is None:
            super().keyPressEvent(event)
        else:
            self._show_window(goal)

    def _hover(self, index: int, where: QPoint | None = None) -> None:
        if index != self.hovered:
            self.hovered = index
            self.update()
        if index < 0 or where is None or self._picture is None:
            self._card.hide()
        else:
            title, facts = self._picture.describe(index)
            self._card.show_at(Card(title, facts), where)

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        plot = self.plot_rect()
        painter.fillRect(self.rect(), colors.base)
        if self._picture is not None and plot.width() > 0 and plot.height() > 0:
            self._paint_axes(painter, plot, self._picture)
            painter.setClipRect(plot)
            painter.drawImage(plot, self._density(plot, self._picture))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_marks(painter, plot, self._picture)
            painter.setClipping(False)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
            painter.setPen(colors.border)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(plot.adjusted(0, 0, -1, -1))
        painter.end()

    def _density(self, plot: QRect, picture: MapPicture) -> QImage:
        """The background, counted anew only where something of it has changed."""
        colors, ratio = theme.current(), self.devicePixelRatioF()
        width, height = max(1, round(plot.width() * ratio)), max(1, round(plot.height() * ratio))
        key = (self._window, width, height, colors.dark)
        if self._background is None or self._background[0] != key:
            counts = density(self._window.pixels(picture.points, width, height), width, height)
            tint = colors.muted
            alphas = np.linspace(0.42, 1.0, DARKEST) * (0.62 if colors.dark else 0.55)
            shades = [0] + [_premultiplied(theme.channels(tint), alpha) for alpha in alphas.tolist()]
            data = np.array(shades, np.uint32)[counts]
            image = QImage(data.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
            self._background = (key, image.copy())
        return self._background[1]

    def _paint_axes(self, painter: QPainter, plot: QRect, picture: MapPicture) -> None:
        metrics, colors, window = QFontMetrics(self.font()), theme.current(), self._window
        line = metrics.height()
        grid, center = QPen(colors.raised, 1), Qt.AlignmentFlag.AlignHCenter
        for value in ticks(window.left, window.right, max(2, plot.width() // 70)):
            x = round(plot.left() + (value - window.left) / window.width * plot.width())
            painter.setPen(grid)
            painter.drawLine(x, plot.top(), x, plot.bottom())
            painter.setPen(colors.muted)
            painter.drawText(QRect(x - 40, plot.bottom() + 2, 80, line), center, tick_name(value))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in ticks(window.bottom, window.top, max(2, plot.height() // 40)):
            y = round(plot.top() + (window.top - value) / window.height * plot.height())
            painter.setPen(grid)
            painter.drawLine(plot.left(), y, plot.right(), y)
            painter.setPen(colors.muted)
            painter.drawText(QRect(0, y - line // 2, plot.left() - 4, line), right, tick_name(value))
        first, second = (f"PC {n + 1}: {share:.1%} of the variance" for n, share in enumerate(picture.explained))
        painter.drawText(QRect(plot.left(), plot.bottom() + line, plot.width(), line + 4), center, first)
        painter.save()
        painter.translate(0, plot.center().y())
        painter.rotate(-90)
        painter.drawText(QRect(-plot.height() // 2, 0, plot.height(), line), center, second)
        painter.restore()

    def _paint_marks(self, painter: QPainter, plot: QRect, picture: MapPicture) -> None:
        colors = theme.current()
        painter.setFont(theme.monospace(0.95))
        way = [QPointF(x, y) for x, y in self._pixels(picture.points[picture.path]).tolist()]
        if way:
            painter.setPen(QPen(colors.cut_line, 1.6))
            painter.drawPolyline(way)
        places = [QPointF(x, y) for x, y in self._pixels(picture.points[picture.named]).tolist()]
        painter.setPen(QPen(colors.base, 1))
        painter.setBrush(colors.bar_kept)
        for place, index in zip(places, picture.named.tolist(), strict=True):
            if index != picture.selected and plot.contains(place.toPoint()):
                painter.drawEllipse(place, RADIUS, RADIUS)
        painter.setBrush(colors.cut_line)
        for place in way:
            painter.drawEllipse(place, RADIUS - 0.5, RADIUS - 0.5)
        if picture.selected >= 0:
            painter.setPen(QPen(colors.text, 1.4))
            painter.drawEllipse(self.place_of(picture.selected), RADIUS + 2, RADIUS + 2)
        if self.hovered >= 0:
            painter.setPen(QPen(colors.text, 1.4))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(self.place_of(self.hovered), RADIUS + 4, RADIUS + 4)
        self._paint_names(painter, plot, picture, places, way)

    def _paint_names(
        self,
        painter: QPainter,
        plot: QRect,
        picture: MapPicture,
        places: list[QPointF],
        way: list[QPointF],
    ) -> None:
        """Names in the order of their importance, then the path's layers; one without room is left out."""
        colors = theme.current()
        inside = QRectF(plot)
        taken = [_around(place) for place in places[:MOST_NAMES] if inside.contains(place)]
        self.named = 0
        for place, name, index in zip(places[:MOST_NAMES], picture.names, picture.named.tolist(), strict=False):
            painter.setPen(colors.text if index == picture.selected else colors.accent)
            if inside.contains(place):
                in_way = taken if index != picture.selected else []  # that one has its name in any case
                written = _write(painter, inside, place, name[:24], in_way)
                self.named += written is not None
                taken += [written] if written is not None else []
        painter.setPen(colors.cut_line)
        for layer, place in enumerate(way):
            if inside.contains(place):
                written = _write(painter, inside, place, str(layer), taken)
                taken += [written] if written is not None else []


def _write(painter: QPainter, inside: QRectF, place: QPointF, text: str, taken: list[QRectF]) -> QRectF | None:
    """Write `text` beside its point where it lies over nothing that is `taken`; the room it took, None for none."""
    metrics = painter.fontMetrics()
    width, height = metrics.horizontalAdvance(text) + 4, metrics.height() - 2
    gap = RADIUS + 3
    for x, y in FACES:
        left = place.x() + x * gap - (width / 2 if x == 0 else width if x < 0 else 0)
        top = place.y() + y * (gap + height / 2) - height / 2
        room = QRectF(left, top, width, height)
        own = _around(place)
        if inside.contains(room) and not any(room.intersects(other) for other in taken if other != own):
            background = theme.current().base
            background.setAlphaF(0.75)
            painter.fillRect(room, background)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)
            return room
    return None


def _around(place: QPointF) -> QRectF:
    """The room of a point."""
    return QRectF(place.x() - RADIUS, place.y() - RADIUS, 2 * RADIUS, 2 * RADIUS)


def _premultiplied(rgb: tuple[int, ...], alpha: float) -> int:
    red, green, blue = (round(channel * alpha) for channel in rgb)
    return round(255 * alpha) << 24 | red << 16 | green << 8 | blue
