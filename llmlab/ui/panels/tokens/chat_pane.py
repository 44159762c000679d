"""Messages on the left, what the model reads on the right."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QPlainTextEdit, QSplitter, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.cards import token_card
from llmlab.ui.panels.tokens.chatting import EXAMPLE
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, MutedLabel, icon_button, row
from llmlab.ui.widgets.strip import TokenStrip

HELP = Help(
    "Chat templates",
    "A chat model reads a conversation as one text, in which special tokens mark who speaks. The template that turns "
    "messages into that text comes with the tokenizer. It is a small program written by somebody else: it runs in a "
    "process of its own without access to files, and for two seconds at most. Begin a line with system:, user:, "
    "assistant: or tool: to begin a message.",
    'tokenizer.apply_chat_template([{"role": "user", "content": …}, …], tokenize=False)',
)


class ChatPane(QWidget):
    """What was typed, and its tokens."""

    typed = Signal(str)
    generation_prompt = Signal(bool)
    copy_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._encoded: Encoded | None = None
        self.editor = QPlainTextEdit(EXAMPLE)
        self.editor.setAccessibleName("Messages")
        self.editor.setTabChangesFocus(True)
        self.editor.setToolTip("One message after another: begin a line with system:, user:, assistant: or tool:")
        self.editor.textChanged.connect(lambda: self.typed.emit(self.editor.toPlainText()))
        self.strip = TokenStrip(lambda index: token_card(self._encoded, index))
        self.strip.setAccessibleName("Rendered messages")
        self.prompt = QCheckBox("Begin the answer")
        self.prompt.setToolTip("End with the tokens that make the model answer (add_generation_prompt)")
        self.prompt.toggled.connect(self.generation_prompt)
        self.note = ElidedLabel()
        self.message = MutedLabel()
        self.message.setWordWrap(True)
        copy = icon_button("copy", "Copy the rendered text", "Copy the rendered text")
        copy.clicked.connect(self._copy)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.strip)
        sides = QSplitter()
        sides.setChildrenCollapsible(False)
        sides.addWidget(self.editor)
        sides.addWidget(frame)
        sides.setSizes([300, 500])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.prompt, self.note, copy, HelpButton(HELP)), stretch=self.note))
        layout.addWidget(self.message)
        layout.addWidget(sides, stretch=1)

    def show_chat(self, encoded: Encoded | None, message: str) -> None:
        """Show the rendered messages, or none and why."""
        self._encoded = encoded
        self.strip.set_source(encoded.source if encoded else None)
        self.note.setText(f"{len(encoded):,} tokens" if encoded else "")
        self.message.setText(message)
        self.message.setVisible(bool(message))

    def show_generation_prompt(self, wanted: bool) -> None:
        """Set the box, without a signal."""
        self.prompt.blockSignals(True)
        self.prompt.setChecked(wanted)
        self.prompt.blockSignals(False)

    def _copy(self) -> None:
        if self._encoded is not None:
            self.copy_asked.emit(self._encoded.tokens.text)
