"""The tab where a model is talked to: the conversation, and one click away what the model reads of it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFont, QKeyEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QPushButton, QStackedWidget, QTextEdit, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.conversing import ChatScreen, Conversing, Turn
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, icon_button, menu_button, row
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Chat",
    "A chat model reads the whole conversation as one text, in which special tokens mark who speaks, and continues it "
    "with its answer: no more than that. The template that makes the text comes with the model. The settings on the "
    "right act here as everywhere, and each answer begins with the seed that is set. Rendered prompt shows exactly "
    "what is read; it can become the prompt of all panels.",
    "P(answer) = Π P(token | rendered conversation, tokens before)",
)
VIEWS = (
    ("Conversation", "Who said what"),
    ("Rendered prompt", "The text that the model reads, special tokens and all"),
)
NAMES = {"user": "You", "assistant": "Model"}
LINES = 2  # of what is typed that are in sight
USE = "Make the rendered text the prompt of all panels, token by token the same"
NO_USE = "As a prompt it would be other tokens: the tokenizer adds special ones to every prompt that are not in it"
TITLE = "Talk to the model"
TEXT = "Type below what you want to say. What the model reads of it is one click away."


class ChatPane(QWidget):
    """Head, the conversation or what is read of it, and below it where the user types."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Conversing | None = None
        self._screen = ChatScreen()
        self._chosen = 0  # of the views
        self._written: tuple[Turn, ...] = ()
        self.view = Choice(VIEWS, "What is shown of the conversation")
        self.view.set_chosen(0)
        self.status = ElidedLabel()
        self.retry = icon_button("regenerate", "Another answer, with the next seed", "Another answer")
        self.take_back = icon_button("edit", "Write the last words otherwise; the answer goes", "Edit the last words")
        self.clear = icon_button("clear", "Begin a new conversation", "New conversation")
        self.copy = menu_button("copy", "Copy the conversation", "Copy the conversation or what is read")
        self.copy.clicked.connect(lambda: self._copy("conversation"))
        self.copy.menu().addAction("Copy the conversation", lambda: self._copy("conversation"))
        self._copy_rendered = self.copy.menu().addAction("Copy the rendered prompt", lambda: self._copy("rendered"))
        self.use = QPushButton("Use as the prompt")
        self.state = StateView()
        self.turns = QTextEdit()
        self.turns.setReadOnly(True)
        self.turns.setAccessibleName("Conversation")
        self.rendered = QPlainTextEdit()
        self.rendered.setReadOnly(True)
        self.rendered.setFont(theme.monospace())
        self.rendered.setAccessibleName("Rendered prompt")
        self.rendered.setPlaceholderText("Say something first: then the text that the model reads is shown here.")
        self.stack = QStackedWidget()
        for page in (self.state, self.turns, self.rendered):
            self.stack.addWidget(page)
        self.system = QLineEdit()
        self.system.setPlaceholderText("What the model is told before the conversation, if anything")
        self.system.setAccessibleName("System message")
        self.system.setToolTip("The system message; it holds from the next answer on")
        self.typed = _Typed()
        self.send = QPushButton("Send")
        self._lay_out()
        theme.changed.connect(self._rewrite)
        self.show_chat(ChatScreen())

    def _lay_out(self) -> None:
        self._system_row = row((MutedLabel("system"), self.system), stretch=self.system)
        self._typed_row = row((self.typed, self.send), stretch=self.typed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        head = (self.view, self.status, self.use, self.retry, self.take_back, self.clear, self.copy, HelpButton(HELP))
        layout.addWidget(row(head, stretch=self.status))
        layout.addWidget(self._system_row)
        layout.addWidget(self.stack, stretch=1)
        layout.addWidget(self._typed_row)

    def attach(self, part: Conversing) -> None:
        """`part` is told what the user does."""
        self._part = part
        self.system.setText(part.system)
        self.system.editingFinished.connect(self._set_system)
        self.send.clicked.connect(self._send_or_stop)
        self.typed.sent.connect(self._send)
        self.view.chosen.connect(self._choose)
        self.use.clicked.connect(part.use)
        self.retry.clicked.connect(part.retry)
        self.take_back.clicked.connect(part.take_back)
        self.clear.clicked.connect(part.clear)

    def show_chat(self, screen: ChatScreen) -> None:
        """Show the conversation."""
        self._screen = screen
        self.status.setText(f"{screen.tokens:,} tokens read" if self._reads and screen.tokens else screen.status)
        self.send.setText("Stop" if screen.answering else "Send")
        self.send.setToolTip("End the answer; what is there stays" if screen.answering else "Say this (Return)")
        self.send.setEnabled(not screen.reason)
        for part in (self._system_row, self._typed_row, self.view):
            part.setEnabled(not screen.reason)
        self.retry.setEnabled(screen.can_retry)
        self.take_back.setEnabled(screen.can_retry)
        self.clear.setEnabled(bool(screen.turns))
        self.copy.setEnabled(bool(screen.turns))
        self._copy_rendered.setEnabled(bool(screen.rendered))
        self.use.setVisible(self._reads)
        self.use.setEnabled(screen.can_use)
        self.use.setToolTip(USE if screen.can_use or not screen.rendered else NO_USE)
        if self.rendered.toPlainText() != screen.rendered:
            self.rendered.setPlainText(screen.rendered)
        self._write(screen.turns)
        self._show_page()

    def show_typed(self, text: str) -> None:
        """Put `text` where the user types."""
        self.typed.setPlainText(text)
        self.typed.moveCursor(QTextCursor.MoveOperation.End)
        self.typed.setFocus()

    @property
    def _reads(self) -> bool:
        """Whether what the model reads is shown."""
        return self._chosen == 1 and not self._screen.reason

    def _show_page(self) -> None:
        screen = self._screen
        if screen.reason:
            self.state.show_empty("No conversation with this model", screen.reason)
        elif not screen.turns:
            self.state.show_empty(TITLE, TEXT)
        empty = bool(screen.reason) or not (screen.turns or self._reads)
        self.stack.setCurrentWidget(self.state if empty else self.rendered if self._reads else self.turns)

    @Slot(int)
    def _choose(self, index: int) -> None:
        self._chosen = index
        if self._reads and self._part is not None:
            self._part.render()
        self.show_chat(self._screen)

    def _write(self, turns: tuple[Turn, ...]) -> None:
        """What only grows is not written again."""
        old, bar = self._written, self.turns.verticalScrollBar()
        if turns == old:
            return
        follow = bar.value() >= bar.maximum() - 4
        grown = bool(old) and turns[: len(old) - 1] == old[:-1] and len(turns) >= len(old)
        grown = grown and turns[len(old) - 1].role == old[-1].role and turns[len(old) - 1].text.startswith(old[-1].text)
        cursor = QTextCursor(self.turns.document())
        if grown:
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(turns[len(old) - 1].text[len(old[-1].text) :], _plain())
        else:
            self.turns.clear()
        for turn in turns[len(old) if grown else 0 :]:
            begin = "" if cursor.atStart() else "\n\n"
            cursor.insertText(f"{begin}{NAMES[turn.role]}\n", _name())
            cursor.insertText(turn.text, _plain())
        self._written = turns
        if follow:
            bar.setValue(bar.maximum())

    @Slot()
    def _rewrite(self) -> None:
        turns, self._written = self._written, ()
        self.turns.clear()
        self._write(turns)

    @Slot()
    def _set_system(self) -> None:
        if self._part is not None:
            self._part.set_system(self.system.text())
            if self._reads:
                self._part.render()

    @Slot()
    def _send_or_stop(self) -> None:
        if self._screen.answering and self._part is not None:
            self._part.stop()
        else:
            self._send()

    @Slot()
    def _send(self) -> None:
        text = self.typed.toPlainText()
        if self._part is not None and text.strip() and not self._screen.answering and not self._screen.reason:
            self._set_system()
            self.typed.clear()
            self._part.send(text)

    def _copy(self, what: str) -> None:
        if self._part is not None:
            self._part.copy(what)


class _Typed(QPlainTextEdit):
    """Return sends, Shift+Return begins a line."""

    sent = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText("Say something. Return sends it, Shift+Return begins a new line.")
        self.setAccessibleName("Your words")
        self.setToolTip("Return sends it, Shift+Return begins a new line")
        self.setTabChangesFocus(True)
        self.setFixedHeight(LINES * self.fontMetrics().lineSpacing() + 2 * theme.SPACE)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            self.sent.emit()
        else:
            super().keyPressEvent(event)


def _name() -> QTextCharFormat:
    shape = QTextCharFormat()
    shape.setForeground(theme.current().muted)
    shape.setFontWeight(QFont.Weight.DemiBold)
    return shape


def _plain() -> QTextCharFormat:
    shape = QTextCharFormat()
    shape.setForeground(theme.current().text)
    return shape
