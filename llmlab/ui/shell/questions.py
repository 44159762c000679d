"""The two questions a file may raise: in which encoding it is, and whether its beginning is enough."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from llmlab.textfile import Text, Undecided
from llmlab.ui import words

PREVIEW = 3_000  # characters


class FileDialogs:
    """Asks with dialogs that belong to `parent`; they never block the event loop."""

    def __init__(self, parent: QWidget) -> None:
        self._parent = parent

    def ask_encoding(self, file: Undecided, chosen: Callable[[str], None]) -> None:
        """Offer the encodings in which the file can be read, with how its beginning looks in each."""
        combo = QComboBox()
        combo.setAccessibleName("Encoding")
        for encoding, _ in file.candidates:
            combo.addItem(encoding)
        preview = _preview(file.candidates[0][1])
        combo.currentIndexChanged.connect(lambda index: preview.setPlainText(file.candidates[index][1]))
        question = f"{file.path.name} is not Unicode. Choose the encoding in which its beginning reads well:"
        dialog = self._dialog("Which encoding?", question, [combo, preview], "Use as the prompt")
        dialog.accepted.connect(lambda: chosen(combo.currentText()))
        dialog.open()

    def ask_excerpt(self, file: Text, accepted: Callable[[], None]) -> None:
        """Show the beginning of a file that is too long, and offer to use just that."""
        question = (
            f"{file.path.name} has {words.size(file.size)}, far more than a model can read at once. "
            f"Use its first {len(file.text):,} characters?"
        )
        dialog = self._dialog("A long file", question, [_preview(file.text[:PREVIEW])], "Use the beginning")
        dialog.accepted.connect(accepted)
        dialog.open()

    def _dialog(self, title: str, question: str, content: list[QWidget], accept: str) -> QDialog:
        dialog = QDialog(self._parent)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(title)
        dialog.resize(560, 380)
        label = QLabel(question)
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(accept, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(dialog.accept)
        buttons.rejected.connect(dialog.reject)
        layout = QVBoxLayout(dialog)
        for widget in [label, *content, buttons]:
            layout.addWidget(widget)
        return dialog


def _preview(text: str) -> QPlainTextEdit:
    lines = [line[at : at + 500] for line in text.split("\n") for at in range(0, len(line) or 1, 500)]
    preview = QPlainTextEdit("\n".join(lines))
    preview.setReadOnly(True)
    preview.setAccessibleName("Preview")
    return preview
