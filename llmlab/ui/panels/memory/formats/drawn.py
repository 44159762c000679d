"""What the pictures of this tab share: they can be taken along as numbers and as drawings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QWidget

from llmlab import textfile
from llmlab.ui import theme
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.chart.chart import PICTURES


class Drawn(QWidget):
    """Paints itself by `_draw`; `export_asked` carries a kind of file."""

    export_asked = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        theme.changed.connect(self.update)

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        raise NotImplementedError

    def _draw(self, painter: QPainter) -> None:
        raise NotImplementedError

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._draw(painter)
        if self.hasFocus():
            painter.setPen(theme.current().accent)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

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
        return saving.drawing_writer(kind, self.size(), lambda painter, _: self._draw(painter), self.accessibleName())
