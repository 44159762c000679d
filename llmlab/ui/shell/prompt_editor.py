"""The editor of the shared prompt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QPainter, QPaintEvent, QPen, QTextBlock, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QProgressBar, QPushButton, QVBoxLayout, QWidget

from llmlab.engine.types import Int64
from llmlab.ui import theme
from llmlab.ui.widgets.textline import cursor_x

# Beyond these Qt's layout takes seconds, and the window would stand still.
MAX_CHARACTERS = 200_000
MAX_LINE = 20_000
EXCERPT = 4_000
TAB = 4  # letters; Qt's 80 pixels tear code apart
NO_BOUNDARIES: Int64 = np.zeros(0, np.int64)


def too_long(text: str) -> bool:
    """Whether `text` must be kept out of the editor widget."""
    return len(text) > MAX_CHARACTERS or (len(text) > MAX_LINE and max(map(len, text.split("\n"))) > MAX_LINE)


class _Editor(QPlainTextEdit):
    """Draws a faint line at every token boundary, and leaves files to the window's drop handling."""

    pasted_long = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._boundaries = NO_BOUNDARIES
        self.setTabChangesFocus(True)
        self.setPlaceholderText("Type a prompt, or drop a text file here")
        self.setAccessibleName("Prompt")
        self._set_tabs()
        self.document().contentsChange.connect(self._forget_boundaries_after)

    def set_boundaries(self, boundaries: Int64) -> None:
        self._boundaries = boundaries
        self.viewport().update()

    @Slot(int, int, int)
    def _forget_boundaries_after(self, position: int, _removed: int, _added: int) -> None:
        self._boundaries = self._boundaries[: np.searchsorted(self._boundaries, position)]

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._set_tabs()

    def _set_tabs(self) -> None:
        self.setTabStopDistance(TAB * self.fontMetrics().averageCharWidth())

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not len(self._boundaries):
            return
        painter = QPainter(self.viewport())
        painter.setPen(QPen(theme.mix(theme.current().accent, theme.current().base, 0.5), 1.0))
        block, bottom = self.firstVisibleBlock(), self.viewport().height()
        while block.isValid():
            top = self.blockBoundingGeometry(block).translated(self.contentOffset()).topLeft()
            if top.y() > bottom:
                break
            self._paint_block(painter, block, top)
            block = block.next()
        painter.end()

    def _paint_block(self, painter: QPainter, block: QTextBlock, top: QPointF) -> None:
        first = block.position()
        start, end = np.searchsorted(self._boundaries, (first + 1, first + block.length()))
        layout = block.layout()
        for boundary in self._boundaries[start:end].tolist():
            line = layout.lineForTextPosition(boundary - first)
            if line.isValid():
                x = top.x() + cursor_x(line, boundary - first)
                y = top.y() + line.y()
                painter.drawLine(QPointF(x, y + 2), QPointF(x, y + line.height() - 2))

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return not source.hasUrls() and super().canInsertFromMimeData(source)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.ignore()  # files are the window's business
        else:
            super().dragEnterEvent(event)

    def insertFromMimeData(self, source: QMimeData) -> None:
        text = source.text()
        if too_long(text):
            self.pasted_long.emit(text)
        else:
            self.insertPlainText(text)


class PromptEditor(QWidget):
    """The prompt, its token count, and how full the context window is. Is a `PromptView`.

    A text that the editor widget could not lay out in time is *held*: its beginning is shown read-only, and the
    whole of it is the prompt.
    """

    selected = Signal(int, int)  # the user has selected characters, in UTF-16 units

    def __init__(self, edited: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edited = edited
        self._held: str | None = None
        self._editor = _Editor()
        self._count = QLabel()
        self._fill = QProgressBar()
        self._note = QLabel()
        self._release = QPushButton("Clear")
        self._release.setToolTip("Remove the long text and start with an empty prompt")
        self._release.clicked.connect(lambda: self._edited(""))
        self._fill.setTextVisible(False)
        self._fill.setFixedSize(120, 6)
        self._fill.setRange(0, 1000)
        self._fill.setAccessibleName("Share of the context window that the prompt takes")
        title = QLabel("Prompt")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addWidget(self._note)
        head.addWidget(self._release)
        head.addStretch(1)
        head.addWidget(self._fill)
        head.addWidget(self._count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addWidget(self._editor)
        self._editor.textChanged.connect(self._text_changed)
        self._editor.selectionChanged.connect(self._selection_changed)
        self._editor.pasted_long.connect(edited)
        self._show_held()
        self.clear_tokens("")
        self.setFocusProxy(self._editor)

    @property
    def text(self) -> str:
        """The prompt."""
        return self._editor.toPlainText() if self._held is None else self._held

    def set_text(self, text: str) -> None:
        """Show `text` if it is not what is shown already; typing can be undone across it."""
        if text == self.text:
            return
        self._held = text if too_long(text) else None
        shown = text if self._held is None else _excerpt(text)
        self._editor.blockSignals(True)
        cursor = QTextCursor(self._editor.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(shown)
        self._editor.blockSignals(False)
        self._editor.set_boundaries(NO_BOUNDARIES)
        self._show_held()

    def set_tokens(self, boundaries: Int64, count: int, context: int | None) -> None:
        """Mark the token starts and the place taken in the context window."""
        self._editor.set_boundaries(boundaries if self._held is None else NO_BOUNDARIES)
        words = f"{count:,} token" + ("s" if count != 1 else "")
        if context:
            words += f" of {context:,}"
            self._fill.setValue(min(1000, round(1000 * count / context)))
            left = context - count
            self._count.setToolTip(
                f"{left:,} tokens of the context window are left for the completion"
                if left > 0
                else f"The prompt is {-left:,} tokens too long for the model: shorten it"
            )
        self._fill.setVisible(bool(context))
        self._count.setText(words)
        over = context is not None and count > context
        self._count.setStyleSheet(f"color: {theme.current().error.name()}; font-weight: bold" if over else "")

    def clear_tokens(self, words: str) -> None:
        """No count is known."""
        self._editor.set_boundaries(NO_BOUNDARIES)
        self._fill.hide()
        self._count.setText(words)
        self._count.setStyleSheet("")

    def set_selection(self, start: int, end: int) -> None:
        """Select from `start` to `end`, in UTF-16 units; of a held text nothing is selected."""
        if self._held is not None:
            return
        cursor = self._editor.textCursor()
        last = self._editor.document().characterCount() - 1
        cursor.setPosition(min(start, last))
        cursor.setPosition(min(end, last), QTextCursor.MoveMode.KeepAnchor)
        self._editor.blockSignals(True)
        self._editor.setTextCursor(cursor)
        self._editor.blockSignals(False)
        self._editor.viewport().update()

    @Slot()
    def _selection_changed(self) -> None:
        cursor = self._editor.textCursor()
        if self._held is None and self._editor.hasFocus():
            self.selected.emit(cursor.selectionStart(), cursor.selectionEnd())

    def select_all(self) -> None:
        """Select the whole prompt."""
        self._editor.selectAll()

    @Slot()
    def _text_changed(self) -> None:
        if self._held is None:
            self._edited(self._editor.toPlainText())

    def _show_held(self) -> None:
        held = self._held is not None
        self._editor.setReadOnly(held)
        self._note.setVisible(held)
        self._release.setVisible(held)
        if self._held is not None:
            self._note.setText(
                f"long text: the beginning of {len(self._held):,} characters, all of them are the prompt"
            )
        self._editor.setCursorWidth(1)
        self._editor.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            if held
            else Qt.TextInteractionFlag.TextEditorInteraction
        )


def _excerpt(text: str) -> str:
    beginning = text[:EXCERPT]
    lines = [line[at : at + 200] for line in beginning.split("\n") for at in range(0, len(line) or 1, 200)]
    return "\n".join(lines) + "\n…"
