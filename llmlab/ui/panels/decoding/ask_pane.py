"""The tab where any continuation's exact probability is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QCheckBox, QPlainTextEdit, QSplitter, QVBoxLayout, QWidget

from llmlab.engine.types import ScoredContinuation
from llmlab.ui import theme
from llmlab.ui.panels.decoding.asking import Answers, Asking
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.tokentext import visible

HELP = Help(
    "Ask for a probability",
    "Type one continuation of the prompt on each line, of one token or many. The model reads each of them and tells "
    "how probable every token is after all that precede it; the sum of the logarithms is the exact log-probability of "
    "the whole, also when it is far outside the best ones. No setting acts on it: these are the model's own numbers. "
    "Continuations of different lengths are fairer compared per token. Share is how the probability divides among "
    "these lines alone.",
    "ln p(text | prompt) = Σₜ ln p(tokenₜ | prompt, tokens before t)\nperplexity = exp(−ln p / tokens)",
)
SMALLEST_SHARE = 0.0005  # would be shown as 0.0 %
ANSWERS = (
    Column("continuation", "The text that was asked for, with everything invisible shown", 0, number=False),
    Column("p", "Its probability", 8),
    Column("ln p", "Its log-probability: the sum over its tokens, natural logarithm", 8),
    Column("mean", "Log-probability per token", 7),
    Column("perpl.", "Perplexity: as if each token had been one of so many equally probable ones", 7),
    Column("share", "Its part of the probability of all lines together", 6),
)
TOKENS = (
    Column("token", "A token of the selected continuation", 0, number=False),
    Column("p", "Its probability after the prompt and the tokens before it", 8),
    Column("rank", "Its place among all tokens there: 1 is the most probable one", 6),
    Column("best", "The token that the model finds most probable there", 0, number=False),
)


class AskPane(QWidget):
    """What is asked on the left, the answers beside it, the selected one's tokens on the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Asking | None = None
        self._scored: tuple[ScoredContinuation, ...] = ()
        self.editor = QPlainTextEdit()
        self.editor.setPlaceholderText("Continuations to compare,\none on each line, such as\nplay\nread books\nfly")
        self.editor.setAccessibleName("Continuations")
        self.editor.setTabChangesFocus(True)
        self.editor.setFont(theme.monospace())
        self.editor.setToolTip("One continuation of the prompt on each line; \\n is a line break inside one, \\t a tab")
        self.editor.textChanged.connect(self._typed)
        self.spaced = QCheckBox("Space before each")
        self.spaced.setChecked(True)
        self.spaced.setToolTip("Put a space before every line that has none, as between two words")
        self.spaced.toggled.connect(self._typed)
        self.note = ElidedLabel()
        self.export = menu_button("copy", "Copy the answers", "Copy or export the answers")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the answers", lambda: self._export("copy"))
        self.export.menu().addAction("Export all tokens as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export all tokens as JSON…", lambda: self._export("json"))
        self.answers = RowTable(ANSWERS, "Continuations and their probabilities")
        self.tokens = RowTable(TOKENS, "Tokens of the selected continuation")
        self.answers.picked.connect(self._picked)
        self.answers.copy_asked.connect(lambda: self._export("copy"))
        sides = QSplitter()
        sides.setChildrenCollapsible(False)
        for side, size in ((self.editor, 150), (self.answers, 425), (self.tokens, 275)):
            sides.addWidget(side)
            sides.setStretchFactor(sides.count() - 1, size)
        sides.setSizes([150, 440, 260])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.spaced, self.note, self.export, HelpButton(HELP)), stretch=self.note))
        layout.addWidget(sides, stretch=1)
        self.show_answers(None, "")

    def attach(self, part: Asking) -> None:
        """`part` is told what is typed."""
        self.editor.setPlainText(part.params.asked)
        self.spaced.setChecked(part.params.asked_spaced)
        self._part = part

    def show_answers(self, answers: Answers | None, message: str) -> None:
        """Show scored continuations, or none and why."""
        self._scored = answers.scored if answers is not None else ()
        self.export.setEnabled(bool(self._scored))
        self.note.setText(message or (_summary(answers) if answers else ""))
        best = max((each.total for each in self._scored), default=0.0)
        shares = answers.shares if answers is not None else ()
        self.answers.set_rows([_answer(each, share) for each, share in zip(self._scored, shares, strict=True)])
        selected = self.answers.selected_rows
        if not selected and self._scored:
            totals = [each.total for each in self._scored]
            self.answers.select((totals.index(best),))
        self._picked(self.answers.selected_rows)

    @Slot(object)
    def _picked(self, chosen: Sequence[int]) -> None:
        if chosen and chosen[0] < len(self._scored):
            self.tokens.set_rows(_tokens(self._scored[chosen[0]]))
        else:
            self.tokens.set_rows(())

    @Slot()
    def _typed(self) -> None:
        if self._part is not None:
            self._part.type(self.editor.toPlainText(), spaced=self.spaced.isChecked())

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)


def _summary(answers: Answers) -> str:
    """Which one the model prefers, in words."""
    if len(answers.scored) < 2:
        return ""
    first, second = sorted(answers.scored, key=lambda each: -each.total)[:2]
    odds = first.total - second.total
    times = f"{min(odds, 700):.1f} nats" if odds > 12 else f"{math.exp(odds):,.1f} times"
    return f"“{visible(first.text)}” is {times} more probable than “{visible(second.text)}”"


def _answer(each: ScoredContinuation, share: float) -> Row:
    if each.mean is None or each.perplexity is None:
        return Row((visible(each.text), "1", "0", "", "", f"{share:.1%}"), faint=True)
    cells = (
        visible(each.text),
        numbers.probability(_p(each.total)),
        f"{each.total:.3f}",
        f"{each.mean:.3f}",
        f"{each.perplexity:,.1f}",
        f"{share:.1%}" if share >= SMALLEST_SHARE else "<0.1%",
    )
    exact = (
        f"{visible(each.text)}: {len(each.ids)} token{'s' if len(each.ids) != 1 else ''}\n"
        f"p = {numbers.exact(_p(each.total))}\nln p = {each.total:.6f}\n"
        f"per token {each.mean:.6f}, perplexity {each.perplexity:.6f}"
    )
    return Row(cells, tooltip=exact)


def _tokens(each: ScoredContinuation) -> list[Row]:
    rows = []
    columns = (each.log_probabilities, each.ranks, each.best_log_probabilities)
    for token, best_token, own, rank, best in zip(
        each.tokens, each.best_tokens, *(column.tolist() for column in columns), strict=True
    ):
        shown, instead = visible(token), "itself" if rank == 0 else visible(best_token)
        exact = (
            f"{shown}: p = {numbers.exact(_p(own))}, ln p = {own:.6f}, rank {rank + 1:,}\n"
            f"most probable there: {visible(best_token)}, p = {numbers.exact(_p(best))}"
        )
        rows.append(Row((shown, numbers.probability(_p(own)), f"{rank + 1:,}", instead), tooltip=exact))
    return rows


def _p(log_probability: float) -> float:
    return math.exp(max(log_probability, -700.0))
