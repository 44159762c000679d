"""Vector arithmetic on screen: a sum of words, examples, and what lies near its end."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QStringListModel, Qt, Signal, Slot
from PySide6.QtWidgets import QCompleter, QGridLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.arithmetic import EXAMPLES, last_word
from llmlab.ui.panels.tokens.near_table import NearTable
from llmlab.ui.panels.tokens.vectors import Near
from llmlab.ui.widgets.parts import MutedLabel
from llmlab.ui.widgets.tables import Index

NOTHING = "Type words of one token with + and − between them, or try one of these."
HONEST = "Its own words are left out. A small model has learned few such relations."


class LastWordCompleter(QCompleter):
    """Completes the word that is being typed, and leaves what comes before it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.words = QStringListModel(self)
        self.setModel(self.words)
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseSensitive)
        self._before = ""

    def splitPath(self, path: str) -> list[str]:
        self._before, word = last_word(path)
        return [word]

    def pathFromIndex(self, index: Index) -> str:
        return self._before + super().pathFromIndex(index)


class SumPane(QWidget):
    """`summed` carries the sum as it was typed."""

    summed = Signal(str)

    def __init__(self, complete: Callable[[str], tuple[str, ...]], parent: QWidget | None = None) -> None:
        """`complete` gives the words that begin so."""
        super().__init__(parent)
        self._complete = complete
        self.line = QLineEdit()
        self.line.setPlaceholderText(EXAMPLES[0])
        self.line.setAccessibleName("Sum of tokens")
        self.line.setToolTip("Words of one token each, with spaces around + and −: king − man + woman")
        self.line.setFont(theme.monospace())
        self.line.setClearButtonEnabled(True)
        self.completer = LastWordCompleter(self)
        self.line.setCompleter(self.completer)
        self.line.textEdited.connect(self._edited)
        self.line.textChanged.connect(self.summed)
        self.examples = [self._chip(text) for text in EXAMPLES]
        self._chips = QWidget()
        self.note = MutedLabel(NOTHING)
        self.note.setWordWrap(True)
        self.table = NearTable("Tokens nearest to the sum")
        chips = QGridLayout(self._chips)
        chips.setContentsMargins(0, 0, 0, 0)
        chips.setSpacing(theme.SPACE // 2)
        for number, chip in enumerate(self.examples):
            chips.addWidget(chip, number // 2, number % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.line)
        layout.addWidget(self.note)
        layout.addWidget(self._chips)
        layout.addWidget(self.table, stretch=1)
        layout.addStretch()
        self.show_sum("", None)

    def show_sum(self, text: str, near: Near | None) -> None:
        """What lies near the end of `text`, or why there is nothing."""
        if text != self.line.text():
            self.line.blockSignals(True)
            self.line.setText(text)
            self.line.blockSignals(False)
        self.table.set_near(near)
        found = near is not None and bool(near.tokens)
        self.table.setVisible(found)
        self._chips.setVisible(not found)  # the list needs the room; an empty line brings them back
        if near is None:
            self.note.setText(NOTHING)
        else:
            self.note.setText(near.message or f"{near.title} {HONEST}")

    def _chip(self, text: str) -> QPushButton:
        chip = QPushButton(text)
        chip.setToolTip(f"Try {text}")
        chip.setAccessibleName(f"Example: {text}")
        chip.setCursor(Qt.CursorShape.PointingHandCursor)
        chip.setStyleSheet("QPushButton { padding: 2px 6px; }")
        chip.clicked.connect(lambda _checked=False: self.line.setText(text))
        return chip

    @Slot(str)
    def _edited(self, text: str) -> None:
        self.completer.words.setStringList(list(self._complete(last_word(text)[1])))
