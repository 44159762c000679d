"""What the window shows while something is dragged over it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme


class DropOverlay(QWidget):
    """A veil over the window with the words of what a drop would do."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._covered = parent
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._words = ""
        self._usable = True
        self.hide()

    @property
    def words(self) -> str:
        """What it says; empty when hidden."""
        return "" if self.isHidden() else self._words

    def promise(self, usable: bool, words: str) -> None:
        """Cover the window and say `words`."""
        self._usable, self._words = usable, words
        self.setGeometry(self._covered.rect())
        self.setAccessibleName(words)
        self.raise_()
        self.show()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        colours = theme.current()
        edge = colours.accent if self._usable else colours.error
        veil = theme.mix(colours.base, edge, 0.08)
        veil.setAlpha(225)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), veil)
        painter.setPen(QPen(edge, 2, Qt.PenStyle.DashLine))
        frame = QRectF(self.rect()).adjusted(16, 16, -16, -16)
        painter.drawRoundedRect(frame, 10, 10)
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        painter.setFont(font)
        painter.setPen(colours.text)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(frame.adjusted(24, 24, -24, -24), flags, self._words)
        painter.end()
