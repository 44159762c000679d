"""Numbers with their names, beside each other above a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.parts import MutedLabel


class FactLike(Protocol):
    """A number with its name and an explanation."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def tooltip(self) -> str: ...


class FactLabel(QWidget):
    """A number with its name; one that can be clicked says so when the mouse is over it."""

    clicked = Signal()

    def __init__(self, name: str, *, clickable: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = QLabel()
        self._clickable = clickable
        self._value.setFont(theme.monospace())
        self._value.setTextFormat(Qt.TextFormat.PlainText)
        if clickable:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(MutedLabel(name))
        layout.addWidget(self._value)

    def set_fact(self, fact: FactLike) -> None:
        """Show the number."""
        self._value.setText(fact.value)
        if fact.tooltip != self.toolTip():
            self.setToolTip(fact.tooltip)
        self.setAccessibleName(f"{fact.name}: {fact.value}")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()
        if self._clickable and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()


class FactRow(QWidget):
    """Numbers beside each other; those that find no room at the end of the row are left out."""

    def __init__(self, labels: Sequence[FactLabel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._labels = tuple(labels)
        self._wanted = set(labels)
        for label in labels:
            label.setParent(self)
        self.setFixedHeight(max(label.sizeHint().height() for label in labels))

    def set_wanted(self, labels: set[FactLabel]) -> None:
        """Which of the numbers there are."""
        self._wanted = labels
        self._place()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        x = 0
        for label in self._labels:
            width = label.sizeHint().width()
            shown = label in self._wanted and x + width <= self.width()
            label.setVisible(shown)
            if shown:
                label.setGeometry(x, 0, width, self.height())
                x += width + 2 * theme.SPACE
