"""The strongest keys of a row, to go from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.pair_chain import number
from llmlab.ui.panels.attention.pair_part import Neighbour

PAD = theme.SPACE


class KeyList(QWidget):
    """The strongest keys of the row with their weights. `chosen` carries a key."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: Sequence[Neighbour] = ()
        self._current = -1
        self._font = theme.monospace(0.92)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Strongest keys of the row")
        theme.changed.connect(self.update)

    def show_rows(self, rows: Sequence[Neighbour], current: int) -> None:
        """Show keys; `current` is the one that is looked into."""
        self._rows, self._current = rows, current
        self.setMinimumHeight(len(rows) * self.line + 4)
        self.setAccessibleDescription("; ".join(f"{row.text} {row.weight:.4f}" for row in rows[:10]))
        self.update()

    @property
    def line(self) -> int:
        """Pixels of a row."""
        return QFontMetrics(self._font).height() + 5

    def sizeHint(self) -> QSize:
        return QSize(180, max(self.minimumHeight(), self.line))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, metrics = QPainter(self), theme.current(), QFontMetrics(self._font)
        painter.fillRect(event.rect(), colors.base)
        painter.setFont(self._font)
        center = Qt.AlignmentFlag.AlignVCenter
        numbers = max((metrics.horizontalAdvance(number(row.weight)) for row in self._rows), default=0) + PAD
        largest = max((row.weight for row in self._rows), default=1.0)
        for place, row in enumerate(self._rows):
            rect = QRect(0, place * self.line, self.width(), self.line)
            if row.key == self._current:
                painter.fillRect(rect, colors.accent_base)
            length = (rect.width() - 4) * row.weight / largest
            if length >= 1:
                painter.fillRect(QRectF(rect.left() + 2, rect.bottom() - 2, length, 2), colors.bar_kept)
            painter.setPen(colors.text)
            room = rect.adjusted(4, 0, -numbers - 4, 0)
            label = metrics.elidedText(f"{row.key} {row.text}", Qt.TextElideMode.ElideRight, room.width())
            painter.drawText(room, center, label)
            painter.setPen(colors.muted)
            painter.drawText(rect.adjusted(0, 0, -4, 0), center | Qt.AlignmentFlag.AlignRight, number(row.weight))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = int(event.position().y()) // self.line
        if event.button() == Qt.MouseButton.LeftButton and 0 <= place < len(self._rows):
            self.chosen.emit(self._rows[place].key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        keys = [row.key for row in self._rows]
        if step is None or not keys:
            super().keyPressEvent(event)
            return
        place = keys.index(self._current) + step if self._current in keys else 0
        if 0 <= place < len(keys):
            self.chosen.emit(keys[place])
