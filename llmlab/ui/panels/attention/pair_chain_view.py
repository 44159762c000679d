"""The numbers from q·k to the weight, as a row of boxes."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QLineF, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.pair_chain import Link

PAD = theme.SPACE
GAP = 6


class ChainView(QWidget):
    """The numbers from q·k to the weight, as boxes with what was done between them, in as many rows as they need."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._links: tuple[Link, ...] = ()
        self._font, self._small = theme.monospace(1.1), theme.monospace(0.85)
        self._font.setBold(True)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("How the weight came about")
        theme.changed.connect(self.update)

    def set_links(self, links: tuple[Link, ...]) -> None:
        """Show these numbers."""
        self._links = links
        self.setAccessibleDescription(
            "; ".join(f"{link.operation} {link.name}: {link.shown}".strip() for link in links)
        )
        self.updateGeometry()
        self.update()

    @property
    def texts(self) -> list[str]:
        """Names and numbers, in order."""
        return [f"{link.name} {link.shown}" for link in self._links]

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        places = self._places(width)
        return (places[-1][1].bottom() if places else self._height) + 2

    def sizeHint(self) -> QSize:
        return QSize(400, self.heightForWidth(max(self.width(), 400)))

    @property
    def _height(self) -> int:
        return QFontMetrics(self._font).height() + QFontMetrics(self._small).height() + 10

    def _places(self, width: int) -> list[tuple[int, QRect]]:
        """Of each link: the width of the operation before it, and its box."""
        large, small = QFontMetrics(self._font).horizontalAdvance, QFontMetrics(self._small).horizontalAdvance
        places = []
        x = y = 0
        for link in self._links:
            before = small(link.operation) + 22 if link.operation else 0
            needed = max(large(link.shown), small(link.name)) + 2 * PAD
            if x and x + before + needed > width:
                x, y = 0, y + self._height + GAP
            places.append((before, QRect(x + before, y, needed, self._height)))
            x += before + needed
        return places

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        small = QFontMetrics(self._small).height()
        for link, (before, box) in zip(self._links, self._places(self.width()), strict=True):
            if before:
                painter.setFont(self._small)
                painter.setPen(colors.muted)
                place = QRect(box.left() - before, box.top(), before, box.height())
                painter.drawText(place.adjusted(0, 0, 0, -12), Qt.AlignmentFlag.AlignCenter, link.operation)
                _arrow(painter, QRectF(place.adjusted(6, box.height() // 2 + 2, -6, 0)))
            last = link is self._links[-1]
            painter.setPen(QPen(colors.accent if last else colors.border, 1.5 if last else 1))
            painter.setBrush(colors.accent_base if last else colors.base)
            painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
            painter.setPen(colors.muted)
            painter.setFont(self._small)
            painter.drawText(box.adjusted(0, 4, 0, 0), Qt.AlignmentFlag.AlignHCenter, link.name)
            painter.setPen(colors.text)
            painter.setFont(self._font)
            painter.drawText(box.adjusted(0, small, 0, 0), Qt.AlignmentFlag.AlignCenter, link.shown)
        painter.end()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            at = event.pos()
            places = zip(self._links, self._places(self.width()), strict=True)
            said = [link.explanation for link, (before, box) in places if box.adjusted(-before, 0, 0, 0).contains(at)]
            QToolTip.showText(event.globalPos(), said[0] if said else "", self)
            return True
        return super().event(event)


def _arrow(painter: QPainter, rect: QRectF) -> None:
    """From left to right along the top of `rect`."""
    end = rect.topRight()
    painter.drawLine(QLineF(rect.topLeft(), end))
    painter.drawLine(QLineF(end, end + QPointF(-4, -3)))
    painter.drawLine(QLineF(end, end + QPointF(-4, 3)))
