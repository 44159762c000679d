"""The tab of strategies side by side: a column for each, or the tree of the beams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.panels.decoding.beam_tree import BeamTree
from llmlab.ui.panels.decoding.comparing import ITSELF, Comparing, ComparisonScreen
from llmlab.ui.panels.decoding.params import LIMITS, WAYS, Params
from llmlab.ui.panels.decoding.strategies import Column, Strategy
from llmlab.ui.panels.decoding.strategy_column import Copies, StrategyColumn
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, icon_button, menu_button, row
from llmlab.ui.widgets.saving import ask_folder
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Strategies side by side",
    "The same prompt, decoded in several ways. Greedy takes the most probable token each time and easily repeats "
    "itself; sampling draws with the settings on the right, once for each seed; beam search keeps the most probable "
    "texts of several tokens, whatever the settings, and beam sample draws its candidates with them. Prompt lookup and "
    "assisted decoding let the model check several tokens in one pass, which stood in the text before or which a "
    "smaller draft model has guessed: green were accepted, struck-out ones were not. The text is the model's own all "
    "the same. Log-probability and perplexity are the model's, without settings. Underlined is what repeats three "
    "tokens in a row.",
    "P(guess x accepted) = min(1, p(x) / q(x)), q the draft's probability\n"
    "distinct-n = different n-grams / n-grams\nrep. = tokens of threes that came before / tokens\n"
    "self-BLEU = mean BLEU of each sample against the others",
)
VIEWS = (
    ("Texts", "The texts side by side"),
    ("Beam tree", "All candidates that the beam search looked at"),
    ("Sampled beams", "All candidates that beam sampling drew"),
)
TREES = (Strategy.BEAMS, Strategy.BEAM_SAMPLE)  # of the views after the first
ABOUT = {
    Strategy.GREEDY: "Always the most probable token",
    Strategy.SAMPLE: "Each token drawn with the settings, once for every seed",
    Strategy.BEAMS: "The most probable whole text among several that are kept at a time",
    Strategy.BEAM_SAMPLE: "Beams whose candidates are drawn with the settings",
    Strategy.LOOKUP: "Greedy; several tokens at once where the text repeats itself",
    Strategy.ASSISTED: "A draft model guesses several tokens, the model checks them; drawn where Sample is on",
}
TITLE = "Decode the prompt in several ways"
TEXT = "Greedy, samples, beams, prompt lookup and a draft model, each with its speed and its measures."
DRAFT_TIP = (
    "A smaller model with the same tokenizer: a folder, a hub id, or a bundled model. Where none is named, "
    "bundled:draft guesses for bundled:decoder, and any other model for itself: then all guesses are accepted."
)


class StrategiesPane(QWidget):
    """Head with the numbers of samples and beams, columns below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Comparing | None = None
        self._screen = ComparisonScreen()
        self.columns: list[StrategyColumn] = []
        self.view = Choice(VIEWS, "What is shown")
        self.view.set_chosen(0)
        self.samples = _number("samples", "How many texts are drawn, each with the next seed")
        self.beams = _number("beams", "How many texts beam search and beam sample keep")
        self.guesses = _number("guesses", "How many tokens the draft model guesses before the model checks them")
        self.draft = QLineEdit()
        self.draft.setPlaceholderText(ITSELF)
        self.draft.setAccessibleName("Draft model")
        self.draft.setToolTip(DRAFT_TIP)
        self.draft.setMinimumWidth(12 * theme.SPACE)
        self.browse = icon_button("open", "Choose the folder of a draft model", "Choose a draft model")
        self.browse.clicked.connect(self._browse)
        self.ways = QPushButton("Columns")
        self.ways.setToolTip("Which ways of decoding are compared")
        self._ways = self._make_ways()
        self.run = QPushButton("Compare")
        self.run.setToolTip("Decode the prompt in every way")
        self.note = ElidedLabel()
        self.export = menu_button("copy", "Copy the table of all columns", "Copy or export the columns")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the table", lambda: self._export("copy"))
        self.export.menu().addAction("Export as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export as JSON…", lambda: self._export("json"))
        self.state = StateView()
        self.trees = {strategy: BeamTree() for strategy in TREES}
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
        for page in (self.state, self._scroll, *self.trees.values()):
            self.stack.addWidget(page)
        head = (self.view, self.note, self.run, self.export, HelpButton(HELP))
        drafting = (MutedLabel("draft"), self.draft, self.browse, *_named("guesses", self.guesses))
        self._drafting = row(drafting, stretch=self.draft)
        numbers = (*_named("samples", self.samples), *_named("beams", self.beams))
        asked = row((self.ways, *numbers, self._drafting))
        room = asked.layout()
        assert isinstance(room, QHBoxLayout)
        room.setStretchFactor(self._drafting, 1)
        room.addStretch(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row(head, stretch=self.note))
        layout.addWidget(asked)
        layout.addWidget(self.stack, stretch=1)
        self.view.chosen.connect(self._choose)
        self._chosen = 0
        self.show_comparison(ComparisonScreen())

    def attach(self, part: Comparing) -> None:
        """`part` is told what the user does."""
        self._part = part
        self.show_set(part.params)
        self.run.clicked.connect(self._run_or_stop)
        for name in ("samples", "beams", "guesses"):
            number: QSpinBox = getattr(self, name)
            number.valueChanged.connect(lambda value, name=name: part.change(**{name: value}))
        self.draft.editingFinished.connect(lambda: part.change(draft=self.draft.text().strip()))
        for action in self._ways.values():
            action.toggled.connect(self._choose_ways)

    def show_set(self, params: Params) -> None:
        """Set the controls of the head, without a signal."""
        for number, value in (
            (self.samples, params.samples),
            (self.beams, params.beams),
            (self.guesses, params.guesses),
        ):
            number.blockSignals(True)
            number.setValue(value)
            number.blockSignals(False)
        self.draft.setText(params.draft)
        for way, action in self._ways.items():
            action.blockSignals(True)
            action.setChecked(way in params.ways)
            action.blockSignals(False)
        self._show_used(params.ways)

    def _show_used(self, ways: Sequence[str]) -> None:
        """Only what the chosen columns need."""
        self._drafting.setVisible(Strategy.ASSISTED in ways)

    def show_comparison(self, screen: ComparisonScreen) -> None:
        """Show the head."""
        self._screen = screen
        self.run.setText("Stop" if screen.running else "Compare")
        self.run.setEnabled(screen.running or screen.can_run)
        self.note.setText(screen.note)
        self.draft.setPlaceholderText(screen.drafter)
        self.export.setEnabled(screen.has_columns and not screen.running)
        for control in (self.samples, self.beams, self.guesses, self.draft, self.browse, self.ways):
            control.setEnabled(not screen.running)
        if not self.columns:
            actions = (("Compare", self._run_or_stop),) if screen.can_run else ()
            self.state.show_empty(TITLE, screen.reason or TEXT, (), actions)

    def show_columns(self, columns: tuple[Column, ...]) -> None:
        """Other columns, empty still."""
        for old in self.columns:
            self._columns.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.columns = [StrategyColumn(column, self._copies(index)) for index, column in enumerate(columns)]
        for shown in self.columns:
            self._columns.addWidget(shown, stretch=1)
        for tree in self.trees.values():
            tree.show_tree({}, ())
        self._choose(self._chosen)

    def update_column(self, index: int, column: Column) -> None:
        """A column has grown or ended."""
        self.columns[index].show_column(column)
        if column.plan.strategy in self.trees:
            self.trees[column.plan.strategy].show_tree(column.nodes, column.best)

    @Slot(int)
    def _choose(self, index: int) -> None:
        self._chosen = index
        page: QWidget = self.trees[TREES[index - 1]] if index else self._scroll
        self.stack.setCurrentWidget(page if self.columns else self.state)

    @Slot()
    def _run_or_stop(self) -> None:
        if self._part is not None:
            (self._part.stop if self._part.busy else self._part.run)()

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)

    def _copies(self, index: int) -> Copies:
        part = self._part
        if part is None:
            return ()
        return (
            ("Copy the text", lambda: part.copy_text(index)),
            ("Copy as Python", lambda: part.copy_python(index)),
        )

    def _make_ways(self) -> dict[str, QAction]:
        menu = QMenu(self.ways)
        menu.setToolTipsVisible(True)
        actions = {}
        for way in WAYS:
            action = menu.addAction(Strategy(way).value.capitalize())
            action.setCheckable(True)
            action.setToolTip(ABOUT[Strategy(way)])
            actions[way] = action
        self.ways.setMenu(menu)
        return actions

    @Slot()
    def _choose_ways(self) -> None:
        """One column at least is left."""
        ways = tuple(way for way, action in self._ways.items() if action.isChecked())
        if self._part is None:
            return
        if ways:
            self._part.change(ways=ways)
        self.show_set(self._part.params)

    @Slot()
    def _browse(self) -> None:
        def then(folder: Path) -> None:
            self.draft.setText(str(folder))
            if self._part is not None:
                self._part.change(draft=str(folder))

        ask_folder(self, "Choose a draft model", then)


def _number(name: str, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    least, most = LIMITS[name]
    box.setRange(int(least), int(most))
    box.setToolTip(tooltip)
    box.setAccessibleName(name.capitalize())
    return box


def _named(name: str, number: QSpinBox) -> tuple[QWidget, QWidget]:
    return MutedLabel(name), number
