"""The tab "Answer" on screen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QSignalBlocker, Slot
from PySide6.QtGui import QColor, QFont, QKeySequence, QShortcut, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QCheckBox,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.shots.results import Score
from llmlab.ui import theme
from llmlab.ui.panels.shots.answer.params import Params
from llmlab.ui.panels.shots.answer.picture import Picture, Screen, cells
from llmlab.ui.panels.shots.answer.presenter import Answering
from llmlab.ui.screen import Fact
from llmlab.ui.tab_page import StagedPage, split
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.chart.plot import Axis, Draw, Plot, Series
from llmlab.ui.widgets.column import ControlColumn, FactList, group, labelled
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel, heading, icon_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable

HELP = Help(
    "The answer",
    "The bars are the probability of each label after the prompt, if the answer is one of them: the exact "
    "log-probability of all its tokens, then softmax over the labels. Longer labels have lower sums; per token or per "
    "character makes them comparable. Calibration asks the same prompt with a query that says nothing (N/A, empty, "
    "[MASK]) and divides by what the model prefers then. The line shows the same query with none, one, two … of the "
    "shots.",
    "score(label) = Σ log p(token | prompt, tokens before)\n"
    "calibrated = diag(p_cf)⁻¹ p, renormalised (Zhao et al. 2021)",
)
SCORES = {
    Score.SUM: ("Sum", "The log-probability of the whole label: lm-evaluation-harness's acc"),
    Score.TOKEN: ("Per token", "The sum over the number of the label's tokens"),
    Score.CHARACTER: ("Per char.", "The sum over the number of the label's characters: acc_norm"),
}
COLUMNS = (
    Column("label", "The answer to choose from; ✓ the right one, where it is known", 0, number=False),
    Column("tokens", "How many tokens it takes after this prompt", 7),
    Column("log p", "Sum of its tokens' log-probabilities, natural logarithm", 10),
    Column("per token", "The sum over its tokens", 10),
    Column("per char.", "The sum over its characters", 10),
    Column("p", "Its share of the labels' probability, as the scores are read", 10),
    Column("calibrated", "The same after contextual calibration", 10),
)
EXPORTS = (
    ("Copy the table", "copy"),
    ("Copy the prompt", "prompt"),
    ("Copy as Python", "python"),
    ("Export as CSV…", "csv"),
    ("Export as JSON…", "json"),
)


class AnswerPage(StagedPage):
    """Bars and numbers of the labels, the line over the shots, the completion; is the view of `Answering`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Copy the labels' numbers", EXPORTS, parent)
        self.controls: AnswerControls = AnswerControls()
        self.bars, self.line = Chart("Probability of each label"), Chart("With every shot")
        self.table = RowTable(COLUMNS, "Labels and their scores")
        self.completion = PromptText()
        self._lay_out()
        self.table.copy_asked.connect(lambda: self._export("copy"))

    def _lay_out(self) -> None:
        charts = split(self.bars, self.line, (400, 500), upright=False)
        self._labels = split(charts, self.table, (300, 120))
        self._text = QWidget()
        below = QVBoxLayout(self._text)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(theme.SPACE // 2)
        self._text_title = heading("Prompt and completion")
        below.addWidget(self._text_title)
        below.addWidget(self.completion, stretch=1)
        self._fill((self.headline, self.export, HelpButton(HELP)), split(self._labels, self._text, (410, 160)))

    def attach(self, tab: Answering, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        self._add_keys(tab.complete, tab.stop)
        for keys, by in (("Alt+Left", -1), ("Alt+Right", 1)):
            QShortcut(QKeySequence(keys), self).activated.connect(lambda by=by: tab.step_item(by))
        panel.attach_chart(self.bars, "labels")
        panel.attach_chart(self.line, "labels-with-every-shot")

    # --- what the presenter asks for ------------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        self._show_stage(screen.stage, running=screen.completing)
        self._labels.setVisible(screen.has_labels)
        self._text_title.setText("Prompt and completion" if screen.completes else "Prompt")
        self.controls.show_screen(screen)

    def show_params(self, params: Params) -> None:
        self.controls.show_params(params)

    def show_picture(self, shown: Picture) -> None:
        self.bars.show_plot(bars(shown))
        self.line.show_plot(line(shown))
        self.table.set_rows([Row(cells(each), tooltip=each.label) for each in shown.lines])
        self.table.select(tuple(place for place, each in enumerate(shown.lines) if each.chosen))
        self.headline.setText(shown.headline)

    def begin_completion(self, prompt: str) -> None:
        self.completion.begin(prompt)

    def add_completion(self, text: str) -> None:
        self.completion.add(text)


class PromptText(QPlainTextEdit):
    """The prompt, faint, and what the model writes after it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._prompt, self._written = "", ""
        self.setReadOnly(True)
        self.setFont(theme.monospace())
        self.setAccessibleName("Prompt and completion")
        self.setToolTip("The prompt, faint, and what the model writes after it")
        self.setMinimumHeight(70)
        theme.changed.connect(self._write)

    def begin(self, prompt: str) -> None:
        """Another prompt; nothing written yet."""
        self._prompt, self._written = prompt, ""
        self._write()

    def add(self, text: str) -> None:
        """It goes on."""
        self._written += text
        self._append(text, theme.current().text, bold=True)

    @Slot()
    def _write(self) -> None:
        self.clear()
        self._append(self._prompt, theme.current().muted)
        self._append(self._written, theme.current().text, bold=True)

    def _append(self, text: str, color: QColor, *, bold: bool = False) -> None:
        form = QTextCharFormat()
        form.setForeground(color)
        form.setFontWeight(QFont.Weight.Bold if bold else QFont.Weight.Normal)
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.insertText(text, form)
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())


class AnswerControls(ControlColumn):
    """Which query, how many shots, how scores are read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Answering | None = None
        self.complete = MainButton("Complete")
        self.complete.setToolTip(
            "Write what the model says after the prompt, the most probable token each time (Ctrl+Return)"
        )
        self.shots = QSpinBox()
        self.shots.setAccessibleName("Shots in the prompt")
        self.shots.setToolTip("How many of the ticked examples stand in the prompt: 0 is zero-shot")
        self.shots.setKeyboardTracking(False)
        self.before = icon_button("previous", "Ask the item before (Alt+Left)")
        self.after = icon_button("next", "Ask the next item of the test set (Alt+Right)")
        self.which, self.query = MutedLabel(), MutedLabel()
        self.query.setWordWrap(True)
        self.score = Choice(list(SCORES.values()), "How the scores are read")
        self.calibrate = QCheckBox("Show calibrated")
        self.calibrate.setToolTip("Divide by what the model prefers when the query says nothing (Zhao et al. 2021)")
        self.facts = FactList()
        self.send = QPushButton("Use in the other panels")
        self.send.setToolTip("Make this prompt the one that Tokens, Attention and Decoding show")
        self.fill(
            (
                self.complete,
                group("Shots", labelled("In the prompt", self.shots)),
                group("Query", row((self.before, self.which, self.after), stretch=self.which), self.query),
                group("Scores", self.score, self.calibrate),
                group("Prompt", self.facts, self.send),
            )
        )

    def attach(self, tab: Answering) -> None:
        """`tab` is told what the user does."""
        self._tab = tab
        self.complete.clicked.connect(self._complete_or_stop)
        self.shots.valueChanged.connect(tab.set_shots)
        self.before.clicked.connect(lambda: tab.step_item(-1))
        self.after.clicked.connect(lambda: tab.step_item(1))
        self.score.chosen.connect(lambda index: tab.change({"score": tuple(Score)[index]}))
        self.calibrate.toggled.connect(lambda on: tab.change({"calibrate": on}))
        self.send.clicked.connect(tab.send)

    def show_screen(self, screen: Screen) -> None:
        """What can be done now."""
        self.complete.setText("Stop" if screen.completing else "Complete")
        self.complete.setEnabled(screen.completing or screen.can_complete)
        self.complete.setVisible(screen.completes)
        with QSignalBlocker(self.shots):
            self.shots.setRange(0, screen.ticked)
            self.shots.setSuffix(f" of {screen.ticked}")
            self.shots.setValue(screen.shots)
        self.which.setText("The query" if screen.item is None else f"Item {screen.item + 1:,} of {screen.items:,}")
        self.query.setText(screen.query if len(screen.query) <= 200 else screen.query[:200] + "…")
        self.query.setToolTip(screen.query)
        self.before.setEnabled(screen.item is not None)
        self.after.setEnabled(screen.items > 0 and screen.item != screen.items - 1)
        self.send.setEnabled(screen.can_send)
        self.score.setEnabled(screen.has_labels)
        self.calibrate.setEnabled(screen.has_labels)
        self.facts.show_facts([Fact(*each) for each in screen.facts])

    def show_params(self, params: Params) -> None:
        """How scores are read."""
        self.score.set_chosen(tuple(Score).index(params.score))
        with QSignalBlocker(self.calibrate):
            self.calibrate.setChecked(params.calibrate)

    @Slot()
    def _complete_or_stop(self) -> None:
        if self._tab is not None:
            (self._tab.stop if self._tab.completing else self._tab.complete)()


def bars(shown: Picture) -> Plot:
    """Each label's probability, and the calibrated one beside it."""
    names = tuple(line.label + (" ✓" if line.right else "") for line in shown.lines)
    x = np.arange(len(names), dtype=np.float64)
    series = [Series("p", x, _values([line.probability for line in shown.lines]), Draw.BARS, labels=names)]
    after = [line.calibrated for line in shown.lines if line.calibrated is not None]
    if after:
        series.append(Series("calibrated", x, _values(after), Draw.BARS, labels=names))
    return Plot(
        Axis("", names=names),
        Axis("probability", low=0.0, high=1.0),
        tuple(series) if names else (),
        title="Probability of each label",
        empty="No labels",
    )


def line(shown: Picture) -> Plot:
    """Each label's probability with the first k shots."""
    x = _values([float(count) for count, _ in shown.every])
    series = tuple(
        Series(label.label, x, _values([values[place] for _, values in shown.every]))
        for place, label in enumerate(shown.lines)
    )
    counts = tuple(str(count) for count, _ in shown.every)
    return Plot(
        Axis("shots in the prompt", names=counts),
        Axis("probability", low=0.0, high=1.0),
        series if shown.every else (),
        title="With every shot",
        empty="Every number of shots is being scored" if shown.waiting else "No shots in the prompt",
    )


def _values(numbers: Sequence[float]) -> np.ndarray:
    return np.array(numbers, np.float64)
