"""One strategy on screen: its name, its numbers, its text."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QMenu, QTextEdit, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.strategies import Column, Mark, State
from llmlab.ui.widgets.parts import ElidedLabel, heading, icon_button, row

COLUMN_WIDTH = 166  # five of them fit beside each other in a window of 1280 pixels
STATES = {
    State.WAITING: "waits", State.RUNNING: "…", State.FINISHED: "", State.STOPPED: "stopped", State.FAILED: "failed",
}  # fmt: skip

Copies = tuple[tuple[str, Callable[[], None]], ...]  # what can be copied: label and call, the usual one first


class StrategyColumn(QWidget):
    """One strategy: its name, its numbers, its text."""

    def __init__(self, column: Column, copies: Copies, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = column
        self.setMinimumWidth(COLUMN_WIDTH)
        self.title = heading(column.plan.title)
        self.title.setToolTip(column.plan.title)
        self.facts = [ElidedLabel() for _ in range(3)]
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName(f"Text of {column.plan.title}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        self.copy = icon_button("copy", "Copy this text, or a script that writes it", f"Copy {column.plan.title}")
        self._menu = QMenu(self)
        for label, call in copies:
            self._menu.addAction(label, call)
        self.copy.clicked.connect(lambda: self._menu.popup(self.copy.mapToGlobal(self.copy.rect().bottomLeft())))
        gap = QWidget()
        layout.addWidget(row((self.title, gap, self.copy), stretch=gap))
        for fact in self.facts:
            layout.addWidget(fact)
        layout.addWidget(self.text, stretch=1)
        theme.changed.connect(self._write)
        self.show_column(column)

    def show_column(self, column: Column) -> None:
        """Show it as far as it has come; a text that is complete is shown from its beginning."""
        self._column = column
        for label, words in zip(self.facts, _facts(column), strict=True):
            label.setText(words)
        self.copy.setEnabled(bool(column.told))
        self._write()
        if column.state is State.FINISHED:
            self.text.verticalScrollBar().setValue(0)

    @Slot()
    def _write(self) -> None:
        bar = self.text.verticalScrollBar()
        follow = bar.value() >= bar.maximum() - 4 and self._column.state is State.RUNNING
        place = bar.value()
        self.text.clear()
        if self._column.problem:
            self.text.setPlainText(self._column.problem)
            return
        cursor, marks = QTextCursor(self.text.document()), iter(self._column.repeated)
        for token in self._column.told:
            again = token.mark is not Mark.REJECTED and next(marks, False)
            cursor.insertText(token.text, _format(token.mark, again=again))
        bar.setValue(bar.maximum() if follow else place)


def _facts(column: Column) -> tuple[str, str, str]:
    if not column.told:
        return STATES[column.state], "", ""
    speed = f" · {column.tokens_per_second:.0f} tokens/s" if column.tokens_per_second is not None else ""
    perplexity = f" · perplexity {column.perplexity:.2f}" if column.perplexity is not None else ""
    distinct = f"distinct-2 {column.distinct(2):.2f} · " if column.distinct(2) is not None else ""
    if column.accepted_share is not None:  # distinct-2 is that of the text without guesses
        distinct = f"{column.accepted_share:.0%} accepted · "
    return (
        f"{len(column.tokens)} tokens{speed} {STATES[column.state]}".strip(),
        f"ln p {column.log_probability:.2f}{perplexity}",
        f"{distinct}rep. {column.repeated_share:.0%}",
    )


def _format(mark: Mark, *, again: bool) -> QTextCharFormat:
    colors, shape = theme.current(), QTextCharFormat()
    shape.setForeground(colors.text)
    if mark is Mark.ACCEPTED:
        shape.setBackground(colors.kind[5])
    elif mark is Mark.REJECTED:
        shape.setForeground(colors.muted)
        shape.setFontStrikeOut(True)
    if again:
        shape.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        shape.setUnderlineColor(colors.cut_line)
    return shape
