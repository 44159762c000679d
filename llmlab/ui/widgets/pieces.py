"""Short texts in coloured boxes, one after another, in as many lines as they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.ui import theme

PAD, GAP = 5, 4  # pixels inside a box, and between two
SHOWN = 300  # boxes; what is beyond is counted


@dataclass(frozen=True, slots=True)
class Box:
    """One text. `color` counts through the palette of tokens, None: no background; `strong` has a frame."""

    text: str
    color: int | None = None
    strong: bool = False
    caption: str = ""  # small, behind the text


class Boxes(QWidget):
    """Grows in height as its width asks for."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._boxes: tuple[Box, ...] = ()
        self._more = ""
        self._font, self._small = theme.monospace(), theme.monospace(0.8)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(name)
        theme.changed.connect(self.update)

    def set_boxes(self, boxes: Sequence[Box]) -> None:
        """Show these."""
        self._boxes = tuple(boxes[:SHOWN])
        self._more = f"… {len(boxes) - SHOWN:,} more" if len(boxes) > SHOWN else ""
        self.setAccessibleName(f"{self._name}: {' '.join(box.text for box in boxes[:20])}")
        self.updateGeometry()
        self.update()

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands in the boxes."""
        return tuple(box.text for box in self._boxes)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        bottom = max((rect.bottom() for _, rect in self._places(width)), default=0)
        return max(bottom + 3, self._line + 2)

    def sizeHint(self) -> QSize:
        return QSize(300, self.heightForWidth(max(self.width(), 200)))

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self._line + 2)

    @property
    def _line(self) -> int:
        return QFontMetrics(self._font).height() + 4

    def _places(self, width: int) -> Iterator[tuple[Box, QRect]]:
        metrics, small = QFontMetrics(self._font), QFontMetrics(self._small)
        x, y, line = 1, 1, self._line
        more = (Box(self._more),) if self._more else ()
        for box in (*self._boxes, *more):
            needed = metrics.horizontalAdvance(box.text) + 2 * PAD + 2  # fonts advance by fractions
            if box.caption:
                needed += small.horizontalAdvance(box.caption) + PAD
            needed = min(needed, max(40, width - 2))
            if x > 1 and x + needed > width:
                x, y = 1, y + line + GAP
            yield box, QRect(x, y, needed, line)
            x += needed + GAP

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics, palette = QFontMetrics(self._font), colors.token
        for box, rect in self._places(self.width()):
            painter.setPen(QPen(colors.cut_line, 2) if box.strong else Qt.PenStyle.NoPen)
            painter.setBrush(palette[box.color % len(palette)] if box.color is not None else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect, 3, 3)
            inside = rect.adjusted(PAD, 0, -PAD, 0)
            painter.setFont(self._font)
            painter.setPen(colors.text if box.color is not None else colors.muted)
            text = metrics.elidedText(box.text, Qt.TextElideMode.ElideRight, inside.width())
            painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
            if box.caption:
                painter.setFont(self._small)
                painter.setPen(colors.muted)
                painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, box.caption)
        painter.end()
