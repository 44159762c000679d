"""Places to type in: templates with their fields, and short texts whose spaces and line breaks can be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFocusEvent, QFont, QKeyEvent, QSyntaxHighlighter, QTextCharFormat, QTextDocument
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QToolButton, QVBoxLayout, QWidget

from llmlab.engine.shots.types import Syntax
from llmlab.ui import theme
from llmlab.ui.widgets.column import TYPING, TextField
from llmlab.ui.widgets.parts import heading

VISIBLE = str.maketrans({"\n": "↵", "\t": "⇥"})
SPACES = str.maketrans({"\n": "↵", "\t": "⇥", " ": "·"})
_BACK = str.maketrans({"↵": "\n", "⇥": "\t"})
_BACK_SPACES = str.maketrans({"↵": "\n", "⇥": "\t", "·": " "})
_FIELDS = {Syntax.FIELDS: re.compile(r"\{\{|\}\}|\{[^{}]*\}"), Syntax.JINJA: re.compile(r"\{\{.*?\}\}|\{%.*?%\}")}
MOST_TYPED, MOST_LINE = 30_000, 10_000  # characters of a text, and of a line in it, that can be typed in
EXCERPT = 2_000  # characters that are shown of a longer one
CHIP_CHARACTERS = 36  # of all the names that are buttons; the others are in a menu


def editable(text: str) -> bool:
    """Whether Qt can lay out a text while it is typed in; more would hold up the window."""
    return len(text) <= MOST_TYPED and max(map(len, text.split("\n"))) <= MOST_LINE


class VisibleField(QLineEdit):
    """One line in which a line break is ↵ and a tab ⇥; with `spaces`, a space is ·. Return types a line break.

    `typed` carries the text itself when the typing pauses.
    """

    typed = Signal(str)

    def __init__(self, name: str, tooltip: str, *, spaces: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._there, self._back = (SPACES, _BACK_SPACES) if spaces else (VISIBLE, _BACK)
        self.setAccessibleName(name)
        self.setToolTip(tooltip)
        self.setFont(theme.monospace())
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TYPING)
        self._timer.timeout.connect(lambda: self.typed.emit(self.plain))
        self.textEdited.connect(self._edited)

    @property
    def plain(self) -> str:
        """The text itself."""
        return self.text().translate(self._back)

    def set_plain(self, text: str) -> None:
        """Show `text`, without a signal; what is being typed stays."""
        whole = editable(text)
        shown = (text if whole else f"{text[:EXCERPT]}…").translate(self._there)
        if shown != self.text() and not self._timer.isActive():
            self.setText(shown)
        self.setReadOnly(not whole)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and not self.isReadOnly():
            self.insert("↵")
            self._edited()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if self._timer.isActive():  # what is done next is done to the text as it stands
            self._timer.stop()
            self.typed.emit(self.plain)
        super().focusOutEvent(event)

    @Slot()
    def _edited(self) -> None:
        shown = self.text().translate(self._there)
        if shown != self.text():
            place = self.cursorPosition()
            self.setText(shown)
            self.setCursorPosition(place)
        self._timer.start()


class _FieldColors(QSyntaxHighlighter):
    """Fields stand out from the text around them."""

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)
        self.syntax = Syntax.FIELDS

    def highlightBlock(self, text: str) -> None:
        field, literal = QTextCharFormat(), QTextCharFormat()
        field.setForeground(theme.current().accent)
        field.setFontWeight(QFont.Weight.DemiBold)
        literal.setForeground(theme.current().muted)
        for found in _FIELDS[self.syntax].finditer(text):
            escaped = self.syntax is Syntax.FIELDS and found[0] in {"{{", "}}"}
            self.setFormat(found.start(), len(found[0]), literal if escaped else field)


class TemplateField(QWidget):
    """A template under its name, with a button for every field that can stand in it. `typed` carries the text."""

    typed = Signal(str)

    def __init__(self, title: str, tooltip: str, lines: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields: tuple[str, ...] = ()
        self._syntax = Syntax.FIELDS
        self.editor = TextField(title)
        self.editor.setToolTip(tooltip)
        self.editor.setPlaceholderText("")
        self.editor.setFont(theme.monospace())
        self.editor.setFixedHeight(self.editor.fontMetrics().lineSpacing() * lines + 2 * theme.SPACE)
        self._colors = _FieldColors(self.editor.document())
        name = heading(title)
        name.setToolTip(tooltip)
        name.setBuddy(self.editor)
        self._chips = QWidget()
        self._flow = QHBoxLayout(self._chips)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setSpacing(theme.SPACE // 2)
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE)
        head.addWidget(name, alignment=Qt.AlignmentFlag.AlignTop)
        head.addWidget(self._chips, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addLayout(head)
        layout.addWidget(self.editor)
        self.editor.typed.connect(self.typed)
        theme.changed.connect(self._colors.rehighlight)

    def show_text(self, text: str) -> None:
        """Show `text`, without a signal; of one that is too long to be typed in, the beginning."""
        whole = editable(text)
        self.editor.set_text(text if whole else f"{text[:EXCERPT]}…")
        self.editor.setReadOnly(not whole)
        self._chips.setEnabled(whole)

    def show_fields(self, names: Sequence[str], syntax: Syntax) -> None:
        """Offer these fields."""
        if (tuple(names), syntax) == (self._fields, self._syntax):
            return
        self._fields, self._syntax = tuple(names), syntax
        while self._flow.count():
            item = self._flow.takeAt(0)
            chip = None if item is None else item.widget()
            if chip is not None:
                chip.hide()
                chip.deleteLater()
        shown = _fitting(names)
        for name in shown:
            self._flow.addWidget(self._chip(name))
        if len(shown) < len(names):
            self._flow.addWidget(self._more(names[len(shown) :]))
        self._flow.addStretch(1)
        if self._colors.syntax is not syntax:
            self._colors.syntax = syntax
            self._colors.rehighlight()

    def _more(self, names: Sequence[str]) -> QToolButton:
        button = QToolButton()
        button.setText("…")
        button.setToolTip(f"{len(names)} more fields")
        button.setAccessibleName("More fields to insert")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        for name in names:
            menu.addAction(name.replace("&", "&&"), partial(self._insert, self._spelled(name)))
        button.setMenu(menu)
        return button

    def _spelled(self, name: str) -> str:
        return f"{{{name}}}" if self._syntax is Syntax.FIELDS else f"{{{{ {name} }}}}"

    def _chip(self, name: str) -> QToolButton:
        text = self._spelled(name)
        chip = QToolButton()
        chip.setText(text if len(text) <= 24 else f"{text[:23]}…")
        chip.setToolTip(f"Put {text} where the cursor is")
        chip.setAccessibleName(f"Insert the field {name}")
        chip.setFont(theme.monospace(0.9))
        chip.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        chip.clicked.connect(lambda: self._insert(text))
        return chip

    def _insert(self, text: str) -> None:
        self.editor.insertPlainText(text)
        self.editor.setFocus()


def _fitting(names: Sequence[str]) -> Sequence[str]:
    """The first names that have room beside the title."""
    taken = 0
    for number, name in enumerate(names):
        taken += min(24, len(name) + 3)
        if taken > CHIP_CHARACTERS:
            return names[:number]
    return names
