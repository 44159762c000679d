"""Which colour a token stands on: by its turn, its kind, or how often it occurs."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from llmlab.engine.tokens.types import TokenKind
from llmlab.ui import theme
from llmlab.ui.panels.tokens.encoded import KIND_NAMES, Encoded


def color_of(encoded: Encoded, colouring: str) -> Callable[[int], QColor]:
    """The background of each token."""
    if colouring == "kind":
        kinds, colors = encoded.tokens.kinds, _both("kind")
        return lambda index: colors()[int(kinds[index])]
    if colouring == "count":
        counts = encoded.tokens.counts
        most = math.log(max(2, int(counts.max(initial=1))))
        return lambda index: theme.probability_color(math.log(max(1, int(counts[index]))) / most).background
    colors = _both("token")
    return lambda index: colors()[index % len(theme.LIGHT.token)]


def _both(name: str) -> Callable[[], tuple[QColor, ...]]:
    """The palette of the moment, without asking the theme for a copy of every colour."""
    light, dark = getattr(theme.LIGHT, name), getattr(theme.DARK, name)
    return lambda: dark if theme.current().dark else light


class Legend(QWidget):
    """What the colours mean."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._encoded: Encoded | None = None
        self._colouring = "token"

    def show_legend(self, encoded: Encoded | None, colouring: str) -> None:
        """Of these tokens, coloured so."""
        self._encoded, self._colouring = encoded, colouring
        self.setVisible(bool(self._entries()))
        self.updateGeometry()
        self.update()

    def _entries(self) -> list[tuple[str, QColor]]:
        encoded = self._encoded
        if encoded is None or self._colouring == "token":
            return []
        if self._colouring == "kind":
            colors = theme.current().kind
            present = sorted(set(encoded.tokens.kinds.tolist()))
            return [(KIND_NAMES[TokenKind(kind)], colors[kind]) for kind in present]
        most = int(encoded.tokens.counts.max(initial=1))
        steps = sorted({1, max(1, round(math.sqrt(most))), most})
        scale = math.log(max(2, most))
        return [(f"{n:,}×", theme.probability_color(math.log(n) / scale).background) for n in steps]

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        width = sum(metrics.horizontalAdvance(name) + 3 * theme.SPACE for name, _ in self._entries())
        return QSize(width, metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, metrics, x = QPainter(self), QFontMetrics(self.font()), 0
        side = metrics.ascent()
        for name, color in self._entries():
            painter.setPen(theme.current().border)
            painter.setBrush(color)
            painter.drawRoundedRect(x, (self.height() - side) // 2, side, side, 3, 3)
            painter.setPen(theme.current().muted)
            x += side + theme.SPACE // 2
            width = metrics.horizontalAdvance(name)
            painter.drawText(x, 0, width + 2, self.height(), Qt.AlignmentFlag.AlignVCenter, name)
            x += width + theme.SPACE
        painter.end()
