"""A row of controls that goes on in the next line where the window is narrow."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QSizePolicy, QWidget

from llmlab.ui import theme

Line = list[QLayoutItem]


class WrappingLayout(QLayout):
    """Items beside each other, as in a row, and below each other where they do not fit.

    `stretch` takes the room that is left in its line, and counts with no more than it needs at least.
    """

    def __init__(self, parent: QWidget, stretch: QWidget | None, spacing: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._stretch = stretch
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(spacing)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation.Horizontal

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        heights = [self._height(line) for line in self._lines(width)]
        return sum(heights) + self.spacing() * max(0, len(heights) - 1)

    def sizeHint(self) -> QSize:
        shown = self._shown()
        width = sum(item.sizeHint().width() for item in shown) + self.spacing() * max(0, len(shown) - 1)
        return QSize(width, self._height(shown))

    def minimumSize(self) -> QSize:
        shown = self._shown()
        return QSize(max((item.minimumSize().width() for item in shown), default=0), self._height(shown))

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        y = rect.top()
        for line in self._lines(rect.width()):
            height = self._height(line)
            self._place(line, QRect(rect.left(), y, rect.width(), height))
            y += height + self.spacing()

    def _shown(self) -> Line:
        return [item for item in self._items if not item.isEmpty()]

    def _needs(self, item: QLayoutItem) -> int:
        """The width without which an item goes to the next line."""
        return (item.minimumSize() if item.widget() is self._stretch else item.sizeHint()).width()

    def _lines(self, width: int) -> list[Line]:
        lines: list[Line] = []
        taken = 0
        for item in self._shown():
            needed = self._needs(item)
            if lines and (taken + needed <= width or not needed):  # what needs nothing begins no line
                lines[-1].append(item)
                taken += needed + self.spacing()
            else:
                lines.append([item])
                taken = needed + self.spacing()
        return lines

    def _place(self, line: Line, rect: QRect) -> None:
        """In the middle of the line's height; what is left of its width goes to the item that stretches."""
        spare = rect.width() - sum(map(self._needs, line)) - self.spacing() * (len(line) - 1)
        x = rect.left()
        for item in line:
            width = min(self._needs(item), rect.width())
            if item.widget() is self._stretch:
                width += max(0, spare)
            grows = bool(item.expandingDirections() & Qt.Orientation.Vertical)
            height = rect.height() if grows else min(item.sizeHint().height(), rect.height())
            item.setGeometry(QRect(x, rect.top() + (rect.height() - height) // 2, width, height))
            x += width + self.spacing()

    @staticmethod
    def _height(line: Line) -> int:
        return max((item.sizeHint().height() for item in line), default=0)


def wrapping_row(widgets: tuple[QWidget, ...], *, stretch: QWidget | None = None) -> QWidget:
    """Widgets beside each other; those that find no room stand in the next line. `stretch` takes what is left."""
    box = QWidget()
    layout = WrappingLayout(box, stretch, theme.SPACE // 2)
    for widget in widgets:
        layout.addWidget(widget)
    policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    box.setSizePolicy(policy)
    return box
