"""The upper part of the picture: the text with its tokens in place, and their numbers."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QMenu, QStackedLayout, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.cards import token_card
from llmlab.ui.panels.tokens.colours import Legend, color_of
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.screen import Screen
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.facts import FactLabel, FactRow
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, heading, menu_button, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.strip import TokenStrip

FACTS = ("tokens", "different", "characters/token", "tokens/word", "bytes/token")
HELP = Help(
    "Tokens",
    "A model does not read characters or words but tokens: pieces from a fixed vocabulary, each with a number, its id. "
    "Every colour is one token; a dot is a space, ↵ a line break. Purple names are special tokens that stand for no "
    "text. A purple frame ties tokens together that are parts of one character: its UTF-8 bytes, written in hex, are "
    "spread over several tokens. Hover over a token for all that is known of it; click or drag to select it here, in "
    "the table and in the prompt.",
    "text → ids t₁ … tₙ,  each t < size of the vocabulary\ntokens/word = n / words between white space",
)


class StripPane(QWidget):
    """Numbers, the strip, or the words that stand in its place."""

    example_chosen = Signal(str)
    copy_asked = Signal(str)  # "text", "ids" or "python"
    export_asked = Signal(str)  # "csv" or "json"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._encoded: Encoded | None = None
        self._stage: Stage | None = None
        self.strip = TokenStrip(self._card)
        self.strip.copy_asked.connect(lambda: self.copy_asked.emit("text"))
        self.strip.menu_asked.connect(self._fill_menu)
        self.state = StateView()
        self.state.example_chosen.connect(self.example_chosen)
        self.legend = Legend()
        self.note = ElidedLabel()
        self._facts = {name: FactLabel(name) for name in FACTS}
        self._numbers = FactRow(tuple(self._facts.values()))
        self._copy = menu_button("copy", "Copy the selected tokens' text, or all of it", "Copy")
        self._copy.clicked.connect(lambda: self.copy_asked.emit("text"))
        self._fill_menu(self._copy.menu())
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        self._stack = QStackedLayout(frame)
        self._stack.setContentsMargins(1, 1, 1, 1)
        self._stack.addWidget(self.strip)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        head = (heading("Tokens"), self.note, self.legend, self._copy, HelpButton(HELP))
        layout.addWidget(row(head, stretch=self.note))
        layout.addWidget(self._numbers)
        layout.addWidget(frame, stretch=1)

    def _fill_menu(self, menu: QMenu) -> None:
        menu.addAction("Copy text", lambda: self.copy_asked.emit("text"))
        menu.addAction("Copy ids", lambda: self.copy_asked.emit("ids"))
        menu.addAction("Copy as Python", lambda: self.copy_asked.emit("python"))
        menu.addSeparator()
        menu.addAction("Export the tokens as CSV…", lambda: self.export_asked.emit("csv"))
        menu.addAction("Export the tokens as JSON…", lambda: self.export_asked.emit("json"))

    def show_encoded(self, encoded: Encoded | None, colouring: str) -> None:
        """Other tokens."""
        self._encoded = encoded
        self.strip.set_source(encoded.source if encoded else None)
        self.strip.set_limit(encoded.info.context if encoded else None)
        self.set_colouring(colouring)

    def set_colouring(self, colouring: str) -> None:
        """Other colours."""
        if self._encoded is not None:
            self.strip.set_colors(color_of(self._encoded, colouring))
        self.legend.show_legend(self._encoded, colouring)

    def show_screen(self, screen: Screen) -> None:
        """Numbers, notes, and whether there is a strip."""
        ready = screen.stage.kind is Kind.READY
        self.note.setText("  ".join(screen.notes))
        self._numbers.setVisible(ready)
        self._copy.setEnabled(ready)
        for fact in screen.facts:
            self._facts[fact.name].set_fact(fact)
        self._numbers.set_wanted({self._facts[fact.name] for fact in screen.facts})
        if screen.stage != self._stage:
            self._stage = screen.stage
            self._show_stage(screen.stage)

    def _show_stage(self, stage: Stage) -> None:
        self.state.show_stage(stage)
        self._stack.setCurrentWidget(self.strip if stage.kind is Kind.READY else self.state)

    def _card(self, index: int) -> Card | None:
        return token_card(self._encoded, index)
