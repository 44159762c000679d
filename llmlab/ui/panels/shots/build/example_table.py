"""The examples, or the test set, as a table to edit: tick, type, drag rows, in the colours of the prompt."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QFontMetrics, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QMenu, QWidget

from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.example_cells import ExampleCells
from llmlab.ui.panels.shots.build.example_model import FIRST, NUMBER, TICK, ExampleModel
from llmlab.ui.panels.shots.build.screen import Screen
from llmlab.ui.widgets.tables import Table

OUTPUT_DIGITS = 14


class ExampleTable(Table):
    """The table. Keys: Space ticks, F2 or Return edits, Delete removes, Alt+Up and Alt+Down move, Ctrl+D duplicates."""

    delete_asked = Signal(object)
    duplicate_asked = Signal(object)
    shift_asked = Signal(object, bool)
    query_asked = Signal(int)
    paste_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        self.examples = ExampleModel()
        super().__init__(self.examples, "Examples", (2, 3), parent)
        self.examples.setParent(self)
        self.setItemDelegate(ExampleCells(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        self.setDropIndicatorShown(True)
        self.setMinimumHeight(110)
        self.clicked.connect(self._clicked)
        self.setToolTip("")

    def show_screen(self, screen: Screen) -> None:
        """Show the rows of a project."""
        columns = self.examples.columns
        self.examples.show(screen)
        self.setAccessibleName("Examples" if screen.listed is Listed.EXAMPLES else "Test set")
        self.setColumnHidden(TICK, screen.listed is Listed.TEST)
        if columns != screen.columns:
            self._share_width()

    @property
    def places(self) -> list[int]:
        """The selected rows."""
        return sorted({index.row() for index in self.selectionModel().selectedRows()})

    def select_rows(self, places: Collection[int]) -> None:
        """Select others, and bring the first into sight."""
        model, flag = self.selectionModel(), QItemSelectionModel.SelectionFlag
        model.clearSelection()
        for place in places:
            model.select(self.examples.index(place, 0), flag.Select | flag.Rows)
        if places:
            first = self.examples.index(min(places), FIRST)
            model.setCurrentIndex(first, flag.NoUpdate)
            self.scrollTo(first)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._share_width()

    def _share_width(self) -> None:
        """The output gets a little, the fields share the rest."""
        count = len(self.examples.columns)
        if not count:
            return
        digit = QFontMetrics(self.font()).horizontalAdvance("0")
        output = OUTPUT_DIGITS * digit
        rest = self.viewport().width() - self.columnWidth(TICK) - self.columnWidth(NUMBER) - output
        for column in range(count):
            self.setColumnWidth(FIRST + column, max(8 * digit, rest // count))
        self.setColumnWidth(FIRST + count, output - 4)  # it is stretched to what is left

    @Slot(QModelIndex)
    def _clicked(self, index: QModelIndex) -> None:
        if index.column() == TICK and index.row() < len(self.examples.rows):
            self.examples.ticked.emit([index.row()], not self.examples.rows[index.row()].included)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, places = event.key(), self.places
        alt = event.modifiers() == Qt.KeyboardModifier.AltModifier
        if event.matches(QKeySequence.StandardKey.Paste):
            self.paste_asked.emit()
        elif key == Qt.Key.Key_Space and places and self.examples.listed is Listed.EXAMPLES:
            self.examples.ticked.emit(places, not all(self.examples.rows[place].included for place in places))
        elif key in {Qt.Key.Key_Delete, Qt.Key.Key_Backspace} and places:
            self.delete_asked.emit(places)
        elif key == Qt.Key.Key_D and event.modifiers() == Qt.KeyboardModifier.ControlModifier and places:
            self.duplicate_asked.emit(places)
        elif alt and key in {Qt.Key.Key_Up, Qt.Key.Key_Down}:
            self.shift_asked.emit(places, key == Qt.Key.Key_Down)
        elif key in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and self.currentIndex().column() >= FIRST:
            self.edit(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu, places = QMenu(self), self.places
        for text, call, needs in (
            ("Edit", lambda: self.edit(self.currentIndex()), self.currentIndex().column() >= FIRST),
            ("Ask with this row", lambda: self.query_asked.emit(places[0]), len(places) == 1),
            ("Duplicate", lambda: self.duplicate_asked.emit(places), bool(places)),
            ("Delete", lambda: self.delete_asked.emit(places), bool(places)),
            ("Copy as tab-separated text", self.copy_asked.emit, bool(places)),
            ("Paste rows…", self.paste_asked.emit, True),
        ):
            menu.addAction(text, call).setEnabled(needs)
        menu.exec(event.globalPos())
        menu.deleteLater()

    def selected_text(self) -> str:
        """The selected rows, fields with tabs between them, under their names."""
        names = [*self.examples.columns, "output"]
        lines = ["\t".join(names)]
        for place in self.places or range(len(self.examples.rows)):
            row = self.examples.rows[place]
            cells = [*(row.values.get(name, "") for name in self.examples.columns), row.output]
            lines.append("\t".join(_cell(cell) for cell in cells))
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A value as spreadsheets read it from the clipboard."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '\t\n"') else text
