"""The card that hovering shows: exact values, and small bars for alternatives."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QGuiApplication, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme

PAD = theme.SPACE
BAR_WIDTH = 90
OFFSET = QPoint(14, 18)  # from the mouse, so that the card does not lie under it


@dataclass(frozen=True, slots=True)
class CardBar:
    """One alternative: its text, how long its bar is (0 … 1), and the number at its end."""

    text: str
    share: float
    number: str
    strong: bool = False  # the one that was taken
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A title, names with values, and alternatives. A fact without a name is a sentence of its own."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    bars: tuple[CardBar, ...] = ()
    footer: str = ""


class HoverCard(QWidget):
    """A tooltip that can draw. One per view, shown and moved."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.ToolTip)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._card = Card("")
        self._font, self._bold = theme.monospace(), theme.monospace()
        self._bold.setBold(True)

    @property
    def card(self) -> Card:
        """What it says."""
        return self._card

    def show_at(self, card: Card, position: QPoint) -> None:
        """Show `card` beside a point of the screen, inside the screen."""
        self._card = card
        size = self.sizeHint()
        screen = QGuiApplication.screenAt(position) or self.screen()
        area = screen.availableGeometry()
        place = position + OFFSET
        if place.x() + size.width() > area.right():
            place.setX(max(area.left(), area.right() - size.width()))
        if place.y() + size.height() > area.bottom():
            place.setY(max(area.top(), position.y() - size.height() - PAD))
        self.setGeometry(QRect(place, size))
        self.update()
        self.show()

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self._font)
        advance = metrics.horizontalAdvance
        names, values, texts, ends = self._widths(metrics)
        sentences = [advance(value) for name, value in self._card.facts if not name] + [advance(self._card.footer)]
        title = min(420, QFontMetrics(self._bold).horizontalAdvance(self._card.title))
        width = max(title, names + 2 * PAD + values, texts + BAR_WIDTH + 2 * PAD + ends if texts else 0, *sentences)
        lines = 1 + len(self._card.facts) + len(self._card.bars) + bool(self._card.footer)
        gaps = PAD * (bool(self._card.facts) + bool(self._card.bars))
        return QSize(width + 2 * PAD + 4, lines * self._line + gaps + 2 * PAD)

    @property
    def _line(self) -> int:
        return QFontMetrics(self._font).height() + 3

    def _widths(self, metrics: QFontMetrics) -> tuple[int, int, int, int]:
        """Of the columns: names, values, alternatives, their numbers."""
        advance, bold = metrics.horizontalAdvance, QFontMetrics(self._bold).horizontalAdvance
        facts, bars = self._card.facts, self._card.bars
        return (
            max((advance(name) for name, _ in facts), default=0),
            max((advance(value) for name, value in facts if name), default=0),
            min(200, max((bold(bar.text) + 4 for bar in bars), default=0)),
            max((bold(bar.number) for bar in bars), default=0),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.fillRect(self.rect(), colors.base)
        painter.setPen(QPen(colors.border, 1))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        y = self._text(painter, PAD, self._card.title, self._bold)
        metrics = QFontMetrics(self._font)
        names, _, texts, _ = self._widths(metrics)
        y += PAD if self._card.facts else 0
        for name, value in self._card.facts:
            y = self._fact(painter, y, name, value, names)
        y += PAD if self._card.bars else 0
        for bar in self._card.bars:
            y = self._bar(painter, y, bar, texts)
        if self._card.footer:
            self._fact(painter, y, "", self._card.footer, 0)
        painter.end()

    def _text(self, painter: QPainter, y: int, text: str, font: QFont) -> int:
        painter.setFont(font)
        painter.setPen(theme.current().text)
        text = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, self.width() - 2 * PAD)
        painter.drawText(QRect(PAD, y, self.width(), self._line), Qt.AlignmentFlag.AlignVCenter, text)
        painter.setFont(self._font)
        return y + self._line

    def _fact(self, painter: QPainter, y: int, name: str, value: str, names: int) -> int:
        colors = theme.current()
        painter.setPen(colors.muted)
        center = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(PAD, y, self.width(), self._line), center, name or value)
        if name:
            painter.setPen(colors.text)
            place = QRect(PAD + names + PAD, y, self.width() - names - 3 * PAD, self._line)
            painter.drawText(place, center | Qt.AlignmentFlag.AlignRight, value)
        return y + self._line

    def _bar(self, painter: QPainter, y: int, bar: CardBar, texts: int) -> int:
        colors, center = theme.current(), Qt.AlignmentFlag.AlignVCenter
        painter.setFont(self._bold if bar.strong else self._font)
        painter.setPen(colors.muted if bar.cut else colors.text)
        text = QFontMetrics(painter.font()).elidedText(bar.text, Qt.TextElideMode.ElideRight, texts)
        painter.drawText(QRect(PAD, y, texts + 2, self._line), center, text)
        left = PAD + texts + PAD
        length = max(1.0, bar.share * BAR_WIDTH)
        color = colors.bar_cut if bar.cut else colors.bar_kept
        painter.fillRect(QRectF(left, y + 3, length, self._line - 6), color)
        place = QRect(left + BAR_WIDTH, y, self.width() - left - BAR_WIDTH - PAD, self._line)
        painter.drawText(place, center | Qt.AlignmentFlag.AlignRight, bar.number)
        painter.setFont(self._font)
        return y + self._line
