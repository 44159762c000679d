"""The completion's text while the user rewrites it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.parts import ElidedLabel, row


class TextEditor(QWidget):
    """A text, and buttons to go on from it or to leave it."""

    done = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QPlainTextEdit()
        self.text.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.text.setAccessibleName("Text of the completion")
        self.go_on = QPushButton("Go on from this text")
        self.go_on.setToolTip("The model continues the text as it stands here, in a branch (Ctrl+Return)")
        self.leave = QPushButton("Leave")
        self.leave.setToolTip("Back to the completion as it was (Esc)")
        note = ElidedLabel("Change the text anywhere, or cut it off. The model goes on at its end.")
        self.go_on.clicked.connect(self._finish)
        self.leave.clicked.connect(self.left)
        for key, call in (("Ctrl+Return", self._finish), ("Ctrl+Enter", self._finish), ("Esc", self.left.emit)):
            shortcut = QShortcut(QKeySequence(key), self.text)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(call)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(theme.SPACE // 2,) * 4)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.text, stretch=1)
        layout.addWidget(row((note, self.leave, self.go_on), stretch=note))

    def begin(self, text: str) -> None:
        """Show `text`, the cursor at its end."""
        self.text.setPlainText(text)
        self.text.moveCursor(self.text.textCursor().MoveOperation.End)
        self.text.setFocus()

    @Slot()
    def _finish(self) -> None:
        self.done.emit(self.text.toPlainText())
