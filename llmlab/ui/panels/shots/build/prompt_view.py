"""The prompt as the model will read it, its parts in colours."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from PySide6.QtCore import QEvent, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QFont, QHelpEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QTextEdit, QToolTip, QWidget

from llmlab.engine.shots.types import Part
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.budget_bar import part_color
from llmlab.ui.panels.shots.build.screen import Shown
from llmlab.ui.panels.shots.build.words import part_name

MOST_CHARACTERS, MOST_LINE = 60_000, 10_000  # that are laid out, in all and in one line; the prompt itself stays whole


class PromptView(QPlainTextEdit):
    """Read-only. Hovering tells the part and its tokens."""

    copy_asked = Signal()
    python_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = Shown()
        self._starts: list[int] = []  # of the parts, in UTF-16 units
        self.setReadOnly(True)
        self.setFont(theme.monospace())
        self.setAccessibleName("The prompt as the model reads it")
        self.setTabChangesFocus(True)
        theme.changed.connect(self._paint_parts)

    def show_prompt(self, shown: Shown) -> None:
        """Show another prompt."""
        former, self._shown = self._shown.rendered, shown
        rendered = shown.rendered
        if rendered is None:
            self.clear()
            self.setExtraSelections([])
            return
        if former is None or former.text != rendered.text:
            place = self.verticalScrollBar().value()
            self.setPlainText(rendered.text[: visible(rendered.text)])
            self.verticalScrollBar().setValue(place)
        self._paint_parts()

    @Slot()
    def _paint_parts(self) -> None:
        rendered = self._shown.rendered
        if rendered is None:
            return
        units = _units(rendered.text)
        marks = []
        for part in rendered.parts:
            marks.append(self._mark(units[part.start], units[part.end], part))
            if part.answer is not None:
                marks.append(self._answer(units[part.answer[0]], units[part.answer[1]]))
        if rendered.mask is not None:
            marks.append(self._answer(units[rendered.mask[0]], units[rendered.mask[1]]))
        self._starts = [units[part.start] for part in rendered.parts]
        self.setExtraSelections(marks)

    def _mark(self, start: int, end: int, part: Part) -> QTextEdit.ExtraSelection:
        form = QTextCharFormat()
        form.setBackground(part_color(part.kind, part.shot))
        form.setForeground(theme.current().text)
        return self._selection(start, end, form)

    def _answer(self, start: int, end: int) -> QTextEdit.ExtraSelection:
        form = QTextCharFormat()
        form.setFontWeight(QFont.Weight.Bold)
        form.setFontUnderline(True)
        return self._selection(start, end, form)

    def _selection(self, start: int, end: int, form: QTextCharFormat) -> QTextEdit.ExtraSelection:
        most = max(0, self.document().characterCount() - 1)
        cursor = QTextCursor(self.document())
        cursor.setPosition(min(start, most))
        cursor.setPosition(min(end, most), QTextCursor.MoveMode.KeepAnchor)
        mark = QTextEdit.ExtraSelection()
        mark.cursor, mark.format = cursor, form
        return mark

    def words_at(self, position: int) -> str:
        """What is said of the part at a position of the document."""
        rendered, budget = self._shown.rendered, self._shown.budget
        number = bisect_right(self._starts, position) - 1
        if rendered is None or not 0 <= number < len(rendered.parts):
            return ""
        part = rendered.parts[number]
        name = part_name(part.kind, part.shot)
        if budget is None:
            return f"{name}: {part.end - part.start:,} characters"
        tokens = next((each.tokens for each in budget.parts if each.part == part), 0)
        return f"{name}: {tokens:,} token{'s' * (tokens != 1)}, {part.end - part.start:,} characters"

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            point = self.viewport().mapFrom(self, event.pos())
            QToolTip.showText(event.globalPos(), self.words_at(self.cursorForPosition(point).position()), self)
            return True
        return super().event(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.createStandardContextMenu()
        menu.addSeparator()
        menu.addAction("Copy the whole prompt", self.copy_asked.emit)
        menu.addAction("Copy as Python", self.python_asked.emit)
        menu.exec(event.globalPos())
        menu.deleteLater()


def visible(text: str) -> int:
    """How many characters of a prompt are shown: Qt would take seconds for a very long line."""
    place = 0
    for line in text[:MOST_CHARACTERS].split("\n"):
        if len(line) > MOST_LINE:
            return place + MOST_LINE
        place += len(line) + 1
    return min(len(text), MOST_CHARACTERS)


def _units(text: str) -> list[int]:
    """Where each code point begins in UTF-16, as Qt counts; one more entry for the end."""
    if text.isascii():
        return list(range(len(text) + 1))
    return [0, *accumulate(2 if character > "\uffff" else 1 for character in text)]
