"""The map of effects: every head coloured by what removing it does; a click switches it off."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetrics,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QMenu, QScrollArea, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.effect_layout import Layout, lay_out
from llmlab.ui.panels.attention.effect_part import EffectScreen
from llmlab.ui.panels.attention.effect_values import Effects, Measure, Place, signed
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.heatmap import colours
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.parts import ShadeLegend


def shade(norm: Norm, value: float) -> theme.Shade:
    """The colour of an effect, and one that can be read on it."""
    if norm.scale is Scale.DIFFERENCE:
        ground = colours.color_at(norm, value)
        light, dark = QColor("#ffffff"), QColor("#000000")
        return theme.Shade(ground, max((light, dark), key=lambda text: theme.contrast(ground, text)))
    place = float(norm.places(np.array([value], np.float32))[0])
    return theme.probability_color(place)


def value_text(value: float, measure: Measure) -> str:
    """An effect in a cell, rounded to three decimals."""
    if abs(value) < 0.0005:
        return "0"
    return f"{value:+.3f}".replace("-", "−") if measure is Measure.DELTA else f"{value:.3f}"


SIDES = {
    "left": Qt.AlignmentFlag.AlignLeft, "center": Qt.AlignmentFlag.AlignHCenter, "right": Qt.AlignmentFlag.AlignRight
}  # fmt: skip


class EffectMap(QScrollArea):
    """`toggled` carries a Place whose heads are to be switched off, or on; `looked` one to be looked at."""

    toggled = Signal(object)
    looked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.cells = _Cells()
        self.cells.toggled.connect(self.toggled)
        self.cells.looked.connect(self.looked)
        self.setWidget(self.cells)
        self.setFocusProxy(self.cells)
        self.viewport().setAutoFillBackground(False)
        self.cells.setAutoFillBackground(False)

    def show_screen(self, screen: EffectScreen | None) -> None:
        """Show these effects, or none."""
        self.cells.show_screen(screen)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.cells.fit(self.viewport().size())


class _Cells(QWidget):
    toggled = Signal(object)
    looked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Effect of removing each head")
        self.screen_: EffectScreen | None = None
        self._room = QSize(400, 200)
        self._layout: Layout | None = None
        self._norm = Norm()
        self._hovered: Place | None = None
        self._current: Place | None = None  # of the keyboard
        self._card = HoverCard(self)
        self._small = self.font()
        self._small.setPointSizeF(self._small.pointSizeF() * 0.86)
        theme.changed.connect(self.update)

    def show_screen(self, screen: EffectScreen | None) -> None:
        """See `EffectMap`."""
        self.screen_ = screen
        if screen is not None:
            self._norm = screen.effects.norm(screen.choices.measure, logarithmic=screen.choices.logarithmic)
        self._fit()
        self._describe()

    def fit(self, room: QSize) -> None:
        """Make the cells as large as there is room for."""
        self._room = room
        self._fit()

    def _fit(self) -> None:
        screen = self.screen_
        if screen is None:
            self._layout = None
            self.update()
            return
        metrics = QFontMetrics(self._small)
        choices = screen.choices
        self._layout = lay_out(
            screen.effects,
            choices.order,
            choices.measure,
            self._room.width(),
            self._room.height(),
            metrics.height() + 2,
            metrics.horizontalAdvance,
        )
        right = max((left + width for _, (left, _, width, _) in self._layout.cells), default=0)
        self.setMinimumSize(right + 4, self._layout.height + 4)
        self.update()

    def rect_of(self, place: Place) -> QRect:
        """Where a head is."""
        box = self._layout.box(place) if self._layout else None
        return QRect(*box).translated(2, 2) if box else QRect()

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, screen, layout = QPainter(self), self.screen_, self._layout
        if screen is not None and layout is not None:
            painter.setFont(self._small)
            painter.translate(2, 2)
            painter.setPen(theme.current().muted)
            for label in layout.labels:
                painter.drawText(QRect(*label.box), SIDES[label.side] | Qt.AlignmentFlag.AlignVCenter, label.text)
            for place, box in layout.cells:
                rect = QRect(*box)
                if rect.translated(2, 2).intersects(event.rect()):
                    self._cell(painter, screen, place, rect, named=layout.named)
            self._frames(painter, screen, layout)
        painter.end()

    def _cell(self, painter: QPainter, screen: EffectScreen, place: Place, rect: QRect, *, named: bool) -> None:
        colors, measure = theme.current(), screen.choices.measure
        value = screen.effects.value(place, measure)
        ground, ink = (colors.raised, colors.muted) if value is None else shade(self._norm, value)
        painter.fillRect(rect, ground)
        text = "" if value is None else value_text(value, measure)
        if named:
            upper, lower = rect.adjusted(0, 2, 0, -rect.height() // 2), rect.adjusted(0, rect.height() // 2, 0, -2)
            painter.setPen(ink)
            painter.drawText(upper, Qt.AlignmentFlag.AlignCenter, place.short)
            painter.drawText(lower, Qt.AlignmentFlag.AlignCenter, text)
        elif QFontMetrics(self._small).horizontalAdvance(text) + 4 <= rect.width():
            painter.setPen(ink)
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
        if screen.effects.heads_of(place) <= screen.off:
            self._off(painter, rect, ink)

    def _off(self, painter: QPainter, rect: QRect, ink: QColor) -> None:
        """A head that is off is crossed out."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(rect)
        painter.fillRect(rect, _with_alpha(theme.current().window, 0.55))
        painter.setPen(QPen(theme.current().error, 2))
        painter.drawLine(rect.bottomLeft(), rect.topRight())
        painter.restore()

    def _frames(self, painter: QPainter, screen: EffectScreen, layout: Layout) -> None:
        colors = theme.current()
        keyed = self._current if self.hasFocus() else None
        for place, pen in (
            (self._hovered, QPen(colors.muted, 1.5)),
            (screen.focused, QPen(colors.accent, 2)),
            (keyed, QPen(colors.text, 2, Qt.PenStyle.DotLine)),
        ):
            box = layout.box(place) if place is not None else None
            if box is not None:
                painter.setPen(pen)
                painter.drawRect(QRect(*box).adjusted(-1, -1, 0, 0))

    def _describe(self) -> None:
        screen = self.screen_
        if screen is None:
            self.setAccessibleDescription("")
            return
        best = screen.effects.ranked(screen.choices.measure)[:5]
        self.setAccessibleDescription(
            "; ".join(f"{place.name}: {_facts(screen.effects, place)[0][1]}" for place in best)
        )

    # --- events ---------------------------------------------------------------------------------------------

    def _place_at(self, point: QPoint) -> Place | None:
        return self._layout.at(point.x() - 2, point.y() - 2) if self._layout else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = self._place_at(event.position().toPoint())
        if place != self._hovered:
            self._hovered = place
            self.update()
        card = self.card(place) if place is not None else None
        if card is None:
            self._card.hide()
        else:
            self._card.show_at(card, event.globalPosition().toPoint())

    def card(self, place: Place) -> Card | None:
        """What is known of a head, exactly."""
        if self.screen_ is None:
            return None
        effects, off = self.screen_.effects, self.screen_.off
        is_off = effects.heads_of(place) <= off
        footer = "Click to switch it on again." if is_off else "Click to switch it off."
        name = place.name[0].upper() + place.name[1:]
        return Card(name, _facts(effects, place), footer=footer)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hovered = None
        self._card.hide()
        self.update()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._card.hide()  # a window of its own

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = self._place_at(event.position().toPoint())
        if place is not None and event.button() == Qt.MouseButton.LeftButton:
            self._card.hide()
            self._current = place
            self.toggled.emit(place)
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        place = self._place_at(event.pos()) or self._current
        if place is None:
            return
        self._card.hide()
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Switch on or off", lambda: self.toggled.emit(place))
        menu.addAction("Look at it in the other tabs", lambda: self.looked.emit(place))
        menu.popup(event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)
        }  # fmt: skip
        key, layout, screen = Qt.Key(event.key()), self._layout, self.screen_
        if layout is None or screen is None or not layout.cells:
            super().keyPressEvent(event)
        elif key in steps:
            start = self._current or screen.focused or layout.cells[0][0]
            self._current = layout.neighbour(start, *steps[key])
            self.setAccessibleDescription(f"{self._current.name}: {_facts(screen.effects, self._current)}")
            self.update()
        elif key in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._current is not None:
            self.toggled.emit(self._current)
        else:
            super().keyPressEvent(event)


def _facts(effects: Effects, place: Place) -> tuple[tuple[str, str], ...]:
    kl, delta = effects.value(place, Measure.KL), effects.value(place, Measure.DELTA)
    if kl is None or delta is None:
        return (("", "Its effect has not been measured yet."),)
    return (
        ("KL divergence without it", f"{numbers.exact(kl)} nats"),
        ("change of the first token's p", signed(delta)),
    )


def _with_alpha(color: QColor, alpha: float) -> QColor:
    color.setAlphaF(alpha)
    return color


class EffectLegend(ShadeLegend):
    """Which colour stands for which effect."""

    def __init__(self, parent: QWidget | None = None) -> None:
        tip = "The scale fits the single heads; whole layers can lie beyond its end. Numbers in the cells are rounded."
        super().__init__("KL in nats", tip, parent)

    def show_screen(self, screen: EffectScreen) -> None:
        """The scale of what is shown."""
        measure = screen.choices.measure
        norm = screen.effects.norm(measure, logarithmic=screen.choices.logarithmic)
        low = f"{norm.low:.0e}" if norm.scale is Scale.LOG else f"{norm.low:g}".replace("-", "−")

        def around_nothing(share: float) -> QColor:
            return colours.color_at(norm, norm.low + share * 2 * norm.high)

        name = "KL in nats" if measure is Measure.KL else "change of p"
        self.show_scale(name, low, f"{norm.high:g}", around_nothing if norm.scale is Scale.DIFFERENCE else None)
