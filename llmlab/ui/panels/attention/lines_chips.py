"""The legend of the lines: which heads are shown in which colour, and which could be."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.lines_values import Chip, Shown


class HeadChips(QWidget):
    """The legend: heads as small boxes in as many lines as they need. `clicked` carries the head."""

    clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chips: tuple[Chip, ...] = ()
        self._full = False
        self._cursor = 0
        self._font = theme.monospace(0.92)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Heads whose lines are shown")
        theme.changed.connect(self.update)

    def show_chips(self, chips: tuple[Chip, ...], *, full: bool) -> None:
        """Other heads."""
        self._chips, self._full = chips, full
        self._cursor = min(self._cursor, max(0, len(chips) - 1))
        shown = ", ".join(chip.head.name for chip in chips if chip.slot is not None)
        self.setAccessibleDescription(f"Shown: {shown}")
        self.updateGeometry()
        self.update()

    @property
    def chips(self) -> tuple[Chip, ...]:
        """What it shows."""
        return self._chips

    def chip_rect(self, head: Shown) -> QRect:
        """Where a head's box is."""
        return next(rect for chip, rect in self._places(self.width()) if chip.head == head)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return max((rect.bottom() for _, rect in self._places(width)), default=self._line) + 2

    def sizeHint(self) -> QSize:
        return QSize(300, self.heightForWidth(max(self.width(), 300)))

    @property
    def _line(self) -> int:
        return QFontMetrics(self._font).height() + 6

    def _places(self, width: int) -> list[tuple[Chip, QRect]]:
        metrics, places = QFontMetrics(self._font), []
        x, y, line = 0, 0, self._line
        for chip in self._chips:
            needed = metrics.horizontalAdvance(chip.head.label) + 25
            if x and x + needed > width:
                x, y = 0, y + line + 4
            places.append((chip, QRect(x, y, needed, line)))
            x += needed + 4
        return places

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._font)
        for place, (chip, rect) in enumerate(self._places(self.width())):
            color = None if chip.slot is None else colors.series[chip.slot]
            if place == self._cursor and self.hasFocus():
                painter.fillRect(rect, colors.accent_base)
            painter.setPen(QPen(color or colors.border, 1.4 if color else 1))
            painter.setBrush(colors.base if color else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), 4, 4)
            if color:
                painter.fillRect(QRect(rect.left() + 6, rect.center().y() - 4, 9, 9), color)
            painter.setPen(colors.text if color else colors.disabled if self._full else colors.muted)
            inside = rect.adjusted(20 if color else 6, 0, -5, 0)
            side = Qt.AlignmentFlag.AlignLeft if color else Qt.AlignmentFlag.AlignHCenter
            painter.drawText(inside, side | Qt.AlignmentFlag.AlignVCenter, chip.head.label)
        painter.end()

    def _chip_at(self, event: QMouseEvent) -> Chip | None:
        point = event.position().toPoint()
        return next((chip for chip, rect in self._places(self.width()) if rect.contains(point)), None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        chip = self._chip_at(event)
        if chip is None:
            self.setToolTip("")
        elif chip.fixed:
            self.setToolTip(f"{chip.head.name}: the one that is open; choose another in the grid")
        elif chip.slot is not None:
            self.setToolTip(f"Hide the lines of {chip.head.name}")
        else:
            self.setToolTip("No more colours: hide another head first" if self._full else f"Show {chip.head.name} too")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        chip = self._chip_at(event)
        if chip is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(chip.head)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key
        step = {key.Key_Left: -1, key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is not None and 0 <= self._cursor + step < len(self._chips):
            self._cursor += step
            self.setAccessibleDescription(self._chips[self._cursor].head.name)
            self.update()
        elif event.key() in (key.Key_Space, key.Key_Return) and self._chips:
            self.clicked.emit(self._chips[self._cursor].head)
        else:
            super().keyPressEvent(event)
