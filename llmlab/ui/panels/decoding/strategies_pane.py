"""The tab of strategies side by side: a column for each, or the tree of the beam search."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QStackedWidget,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.panels.decoding.beam_tree import BeamTree
from llmlab.ui.panels.decoding.comparing import MOST_BEAMS, MOST_SAMPLES, Comparing, ComparisonScreen
from llmlab.ui.panels.decoding.strategies import Column, Mark, State, Strategy
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, heading, menu_button, row
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Strategies side by side",
    "The same prompt, decoded in several ways. Greedy takes the most probable token each time and easily repeats "
    "itself; sampling draws with the settings on the right, once for each seed; beam search keeps the most probable "
    "texts of several tokens, whatever the settings; prompt lookup writes greedy's text, but lets the model check "
    "several tokens at once that stood in the text before: green were right, struck-out ones were not. Log-probability "
    "and perplexity are the model's own. Underlined is what repeats three tokens in a row.",
    "distinct-n = different n-grams / n-grams\nrep. = tokens of threes that came before / tokens\n"
    "self-BLEU = mean BLEU of each sample against the others",
)
COLUMN_WIDTH = 166  # five of them fit beside each other in a window of 1280 pixels
STATES = {State.WAITING: "waits", State.RUNNING: "…", State.FINISHED: "", State.STOPPED: "stopped"}
VIEWS = (("Texts", "The texts side by side"), ("Beam tree", "All candidates that the beam search looked at"))
TITLE = "Decode the prompt in several ways"
TEXT = "Greedy, samples with different seeds, beam search and prompt lookup, each with its speed and its measures."


class StrategiesPane(QWidget):
    """Head with the numbers of samples and beams, columns below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Comparing | None = None
        self.columns: list[_ColumnView] = []
        self.view = Choice(VIEWS, "What is shown")
        self.view.set_chosen(0)
        self.samples = _number("Samples", 1, MOST_SAMPLES, 3, "How many texts are drawn, each with the next seed")
        self.beams = _number("Beams", 2, MOST_BEAMS, 4, "How many texts the beam search keeps")
        self.run = QPushButton("Compare")
        self.run.setToolTip("Decode the prompt in every way")
        self.note = ElidedLabel()
        self.export = menu_button("copy", "Copy the table of all columns", "Copy or export the columns")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the table", lambda: self._export("copy"))
        self.export.menu().addAction("Export as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export as JSON…", lambda: self._export("json"))
        self.state = StateView()
        self.tree = BeamTree()
        self._columns = QHBoxLayout()
        self._columns.setContentsMargins(0, 0, 0, 0)
        self._columns.setSpacing(theme.SPACE // 2)
        inside = QWidget()
        inside.setLayout(self._columns)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(inside)
        self.stack = QStackedWidget()
        for page in (self.state, self._scroll, self.tree):
            self.stack.addWidget(page)
        head = (self.view, MutedLabel("samples"), self.samples, MutedLabel("beams"), self.beams, self.run)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((*head, self.note, self.export, HelpButton(HELP)), stretch=self.note))
        layout.addWidget(self.stack, stretch=1)
        self.view.chosen.connect(self._choose)
        self._chosen = 0
        self.show_comparison(ComparisonScreen())

    def attach(self, part: Comparing) -> None:
        """`part` is told what the user does."""
        self._part = part
        self.run.clicked.connect(self._run_or_stop)
        self.samples.valueChanged.connect(lambda value: part.change(samples=value))
        self.beams.valueChanged.connect(lambda value: part.change(beams=value))

    def show_comparison(self, screen: ComparisonScreen) -> None:
        """Show the head."""
        self.run.setText("Stop" if screen.running else "Compare")
        self.run.setEnabled(screen.running or screen.can_run)
        self.note.setText(screen.note)
        self.export.setEnabled(screen.has_columns and not screen.running)
        for number in (self.samples, self.beams):
            number.setEnabled(not screen.running)
        if not self.columns:
            actions = (("Compare", self._run_or_stop),) if screen.can_run else ()
            self.state.show_empty(TITLE, screen.reason or TEXT, (), actions)

    def show_columns(self, columns: tuple[Column, ...]) -> None:
        """Other columns, empty still."""
        for old in self.columns:
            self._columns.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.columns = [_ColumnView(column) for column in columns]
        for shown in self.columns:
            self._columns.addWidget(shown, stretch=1)
        self.tree.show_tree({}, ())
        self._choose(self._chosen)

    def update_column(self, index: int, column: Column) -> None:
        """A column has grown or ended."""
        self.columns[index].show_column(column)
        if column.plan.strategy is Strategy.BEAMS:
            self.tree.show_tree(column.nodes, column.best)

    @Slot(int)
    def _choose(self, index: int) -> None:
        self._chosen = index
        page = self.tree if index else self._scroll
        self.stack.setCurrentWidget(page if self.columns else self.state)

    @Slot()
    def _run_or_stop(self) -> None:
        if self._part is not None:
            (self._part.stop if self._part.busy else self._part.run)()

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)


class _ColumnView(QWidget):
    """One strategy: its name, its numbers, its text."""

    def __init__(self, column: Column, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = column
        self.setMinimumWidth(COLUMN_WIDTH)
        self.title = heading(column.plan.title)
        self.facts = [ElidedLabel() for _ in range(3)]
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName(f"Text of {column.plan.title}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(self.title)
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
        self._write()
        if column.state is State.FINISHED:
            self.text.verticalScrollBar().setValue(0)

    @Slot()
    def _write(self) -> None:
        bar = self.text.verticalScrollBar()
        follow = bar.value() >= bar.maximum() - 4 and self._column.state is State.RUNNING
        place = bar.value()
        self.text.clear()
        cursor, marks = QTextCursor(self.text.document()), iter(self._column.repeated)
        for token in self._column.told:
            again = token.mark is not Mark.REJECTED and next(marks, False)
            cursor.insertText(token.text, _format(token.mark, again=again))
        bar.setValue(bar.maximum() if follow else place)


def _facts(column: Column) -> tuple[str, str, str]:
    if not column.told:
        return STATES[column.state], "", ""
    speed = f" · {column.tokens_per_second:.0f} tokens/s" if column.tokens_per_second is not None else ""
    accepted = f" · {column.accepted_share:.0%} accepted" if column.accepted_share is not None else ""
    perplexity = f" · perplexity {column.perplexity:.2f}" if column.perplexity is not None else ""
    distinct = f"distinct-2 {column.distinct(2):.2f} · " if column.distinct(2) is not None else ""
    return (
        f"{len(column.tokens)} tokens{speed} {STATES[column.state]}".strip() + accepted,
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


def _number(name: str, least: int, most: int, value: int, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setToolTip(tooltip)
    box.setAccessibleName(name)
    return box
