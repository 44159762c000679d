"""What pictures that paint themselves share: exact values on hover, numbers and drawings to take along."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, Signal, Slot
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QGuiApplication,
    QHideEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QMenu, QWidget

from llmlab import textfile
from llmlab.ui import theme
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.card import Card, HoverCard

PICTURES = ("png", "svg", "pdf")


class Drawn(QWidget):
    """Paints itself by `_draw`; `export_asked` carries a kind of file."""

    export_asked = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card = HoverCard(self)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        theme.changed.connect(self.update)

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        raise NotImplementedError

    def _draw(self, painter: QPainter) -> None:
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What a file of it is called inside."""
        return self.accessibleName()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._draw(painter)
        if self.hasFocus():
            painter.setPen(theme.current().accent)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def leaveEvent(self, event: QEvent) -> None:
        self._card.hide()

    def hideEvent(self, event: QHideEvent) -> None:
        self._card.hide()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        self.add_actions(menu)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())

    def add_actions(self, menu: QMenu) -> None:
        """What can be done with the picture."""
        menu.addAction("Copy numbers", self.copy_numbers)
        menu.addAction("Copy picture", self.copy_picture)
        menu.addSeparator()
        menu.addAction("Save numbers as CSV…", lambda: self.export_asked.emit("csv"))
        for kind in PICTURES:
            menu.addAction(f"Save picture as {kind.upper()}…").triggered.connect(partial(self._ask_export, kind))

    def _ask_export(self, kind: str, _checked: bool = False) -> None:
        self.export_asked.emit(kind)

    @Slot()
    def copy_numbers(self) -> None:
        """All values, for a spreadsheet."""
        QGuiApplication.clipboard().setText(self.text("\t"))

    @Slot()
    def copy_picture(self) -> None:
        """The picture as it is seen."""
        QGuiApplication.clipboard().setPixmap(self.grab())

    def writer(self, kind: str) -> Callable[[Path], None]:
        """What writes a file of `kind`, in any thread. Raises OSError."""
        if kind == "csv":
            text = self.text()
            return lambda path: textfile.write(path, text)
        if kind == "png":
            return saving.png_writer(self.grab().toImage())
        return saving.drawing_writer(kind, self.size(), lambda painter, _: self._draw(painter), self.title)

    def svg(self) -> str:
        """The picture as a drawing, to be part of a page."""
        return saving.drawing_bytes("svg", self.size(), lambda painter, _: self._draw(painter), self.title).decode()


class Pointed(Drawn):
    """Made of marks that have two numbers, such as series and point. `picked` carries the mark that was clicked."""

    picked = Signal(int, int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._under: tuple[int, int] | None = None  # the mark that is looked at

    def mark_at(self, position: QPointF) -> tuple[int, int] | None:
        """The mark that a place means."""
        raise NotImplementedError

    def card(self, first: int, second: int) -> Card:
        """What is known of a mark."""
        raise NotImplementedError

    def _look(self, under: tuple[int, int] | None, position: QPoint | None = None) -> None:
        if under != self._under:
            self._under = under
            self.update()
        if under is None or position is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*under), position)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._look(self.mark_at(event.position()), event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        found = self.mark_at(event.position())
        if event.button() is Qt.MouseButton.LeftButton and found is not None:
            self.picked.emit(*found)

    def leaveEvent(self, event: QEvent) -> None:
        self._look(None)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._look(None)
