"""Colours of weights behind text, their legend, and the strip that shows them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.reading import QUERIES
from llmlab.ui.panels.attention.text_rows import LOWEST, Shading
from llmlab.ui.widgets.card import Card, CardBar

BARS = 6  # alternatives on a card
STEPS = 72  # pixels of the legend's colours


def color_of(shading: Shading | None) -> Callable[[int], QColor]:
    """The background of each token; what may not be seen has none."""
    colors, shades = theme.current(), theme.probability_shades()
    base, broken = colors.base, colors.error_base
    if shading is None:
        return lambda _: base

    def color(token: int) -> QColor:
        level = shading.level(token)
        if level is None:
            return base
        if level != level:  # NaN
            return broken
        return shades[theme.probability_level(level)].background

    return color


def weight_card(shading: Shading, token: int, name: Callable[[int], str], chosen: str, what: str = "weight") -> Card:
    """The exact weight of a token, for the pinned ones; `what` it is called."""
    weight = float(shading.weights[token])
    title = f"{name(token)}  ·  token {token}"
    level = shading.level(token)
    if level is None:
        barred = f"{chosen} may not look here" if shading.axis == QUERIES else f"may not look at {chosen}"
        return Card(title, (("", barred),))
    if level != level:
        return Card(title, (("", "The weight is no number (NaN)."),))
    place, count = shading.rank(token)
    direction = f"{what} from {chosen}" if shading.axis == QUERIES else f"{what} on {chosen}"
    return Card(title, ((direction, f"{weight:.6f}"), ("rank", f"{place} of {count}")))


def row_card(shading: Shading, title: str, name: Callable[[int], str], verb: str = "looks at") -> Card:
    """The strongest weights of the token under the mouse."""
    best = [(token, float(shading.weights[token])) for token in shading.strongest(BARS)]
    highest = max((weight for _, weight in best), default=1.0)
    bars = tuple(CardBar(f"{name(token)} {token}", weight / highest, f"{weight:.4f}") for token, weight in best)
    verb = verb if shading.axis == QUERIES else "is looked at by"
    return Card(title, (("", verb),), bars, "Click to keep it chosen.")


class ShadeLegend(QWidget):
    """Which colour stands for which weight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high, self._scale, self._name = "0", "1", "linear", "weight"
        self.setToolTip("The background of a token tells its weight; a token without one may not be looked at")

    def show_shading(self, shading: Shading | None, name: str = "weight") -> None:
        """The range of the colours, and what they stand for."""
        self._name = name
        if shading is not None:
            low = LOWEST * shading.top if shading.scale == "log" else 0.0
            self._low, self._high, self._scale = f"{low:.0e}" if low else "0", f"{shading.top:.3g}", shading.scale
        self.setAccessibleName(f"Colours from {name} {self._low} to {self._high}")
        self.updateGeometry()
        self.update()

    @property
    def texts(self) -> tuple[str, str]:
        """The numbers at both ends."""
        return self._low, self._high

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        width = metrics.horizontalAdvance(self._low + self._high + self._word) + STEPS + 2 * theme.SPACE
        return QSize(width, metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    @property
    def _word(self) -> str:
        return f"{self._name} (log) " if self._scale == "log" else f"{self._name} "

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, metrics, center = QPainter(self), QFontMetrics(self.font()), Qt.AlignmentFlag.AlignVCenter
        painter.setPen(theme.current().muted)
        left = metrics.horizontalAdvance(self._word + self._low) + theme.SPACE // 2
        painter.drawText(self.rect(), center, self._word + self._low)
        for x in range(STEPS):
            painter.fillRect(left + x, 3, 1, self.height() - 6, theme.probability_color(x / (STEPS - 1)).background)
        painter.drawText(self.rect().adjusted(left + STEPS + theme.SPACE // 2, 0, 0, 0), center, self._high)
        painter.end()
