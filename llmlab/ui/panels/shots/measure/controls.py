"""The settings of the tab "Measure"."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Slot
from PySide6.QtWidgets import QCheckBox, QLineEdit, QPushButton, QSpinBox, QWidget

from llmlab.engine.shots.choice import Choice as ShotChoice
from llmlab.engine.shots.results import Score
from llmlab.engine.shots.summary import LABEL_METRICS, TEXT_METRICS, Metric
from llmlab.ui.panels.shots.measure.params import MOST_ITEMS, MOST_SEEDS, Comparison, counts_of
from llmlab.ui.panels.shots.measure.presenter import Measuring, Screen
from llmlab.ui.widgets.column import ControlColumn, combo_box, group, labelled
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel

TOOLTIP = Qt.ItemDataRole.ToolTipRole
TESTS = {
    Comparison.SWEEP: ("Number of shots", "Accuracy with 0, 1, 2 … shots, drawn with several seeds"),
    Comparison.ORDER: ("Order of the shots", "Every order of up to four shots; of more, 24 of them"),
    Comparison.LEAVE_ONE_OUT: ("Leave one out", "What each shot changes: all of them against all but that one"),
    Comparison.SWAP: ("Exchange the labels", "Are the shots' labels read, or only their form?"),
    Comparison.VARIANTS: ("Two variants", "Two prompts over the same items, with McNemar's test"),
}
CHOICES = {
    ShotChoice.TICKED: "The ticked examples, in their order",
    ShotChoice.FIRST: "The first examples, ticked or not",
    ShotChoice.RANDOM: "Drawn at random, anew with each seed",
    ShotChoice.BALANCED: "Drawn at random, as many of each label as can be, in turn",
    ShotChoice.NEAREST: "For each item the most similar examples by the model's own hidden states, nearest last",
}
METRICS = {
    Metric.ACCURACY: "The share of items whose most probable label is right; Wilson interval",
    Metric.MACRO_F1: "The mean of every label's F1, so that rare labels count as much; bootstrap interval",
    Metric.EXACT: "The share of answers that are the expected text, white space aside",
    Metric.REGEX: "The share of answers in which the expression finds the expected text",
    Metric.TOKEN_F1: "Words that answer and truth share, as SQuAD counts them",
    Metric.ROUGE_L: "The longest common subsequence of words, as F1",
}
SCORES = {
    Score.SUM: ("Sum", "The log-probability of the whole label"),
    Score.TOKEN: ("Per token", "The sum over the number of the label's tokens"),
    Score.CHARACTER: ("Per char.", "The sum over the number of the label's characters"),
}


class MeasureControls(ControlColumn):
    """What to measure, with how many items, and how answers are read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Measuring | None = None
        self.run = MainButton("Measure")
        self.test = combo_box("What is compared", "What is compared over the same items")
        for name, tip in TESTS.values():
            self.test.addItem(name)
            self.test.setItemData(self.test.count() - 1, tip, TOOLTIP)
        self.counts = QLineEdit()
        self.counts.setAccessibleName("Numbers of shots")
        self.counts.setToolTip("The numbers of shots to compare, such as 0, 1, 2, 4, 8")
        self.seeds = _number("Seeds", 1, MOST_SEEDS, "How often shots are drawn for each number of them")
        self.choice = combo_box("Choice of shots", "Which examples become the shots")
        for choice, tip in CHOICES.items():
            self.choice.addItem(choice.value.capitalize())
            self.choice.setItemData(self.choice.count() - 1, tip, TOOLTIP)
        self.items = _number("Items", 0, MOST_ITEMS, "How many items of the test set are asked, from its beginning")
        self.items.setSpecialValueText("all")
        self.grade = combo_box("Metric", "How right answers are counted")
        self.score = Choice(list(SCORES.values()), "How the labels' scores are read")
        self.calibrate = QCheckBox("Calibrated")
        self.pattern = QLineEdit()
        self.pattern.setAccessibleName("Regular expression")
        self.pattern.setToolTip("What it finds first in the answer, or its first group, is compared with the truth")
        self.keep = QPushButton("Keep the prompt as A")
        self.keep.setToolTip("Put the prompt of the moment aside; what is built afterwards is B")
        self.variant, self.note = MutedLabel(), MutedLabel()
        for label in (self.variant, self.note):
            label.setWordWrap(True)
        self._metrics: tuple[Metric, ...] = ()
        self._shots = group("Shots", labelled("Numbers", self.counts), labelled("Seeds", self.seeds), self.choice)
        self._variants = group("Variant A", self.variant, self.keep)
        self._labels = group("Labels", self.score, self.calibrate)
        self.fill(
            (
                self.run,
                group("Compare", self.test),
                self._shots,
                self._variants,
                group("Test set", labelled("Items", self.items), self.note),
                group("Metric", self.grade, self.pattern),
                self._labels,
            )
        )

    def attach(self, tab: Measuring) -> None:
        """`tab` is told what the user does."""
        self._tab = tab
        self.run.clicked.connect(self._run_or_stop)
        self.test.activated.connect(lambda index: self._change("test", tuple(Comparison)[index]))
        self.counts.editingFinished.connect(self._counts_typed)
        self.seeds.valueChanged.connect(lambda value: self._change("seeds", value))
        self.choice.activated.connect(lambda index: self._change("choice", tuple(CHOICES)[index]))
        self.items.valueChanged.connect(lambda value: self._change("items", value))
        self.grade.activated.connect(lambda index: self._change("metric", self._metrics[index]))
        self.score.chosen.connect(lambda index: self._change("score", tuple(Score)[index]))
        self.calibrate.toggled.connect(lambda on: self._change("calibrate", on))
        self.pattern.editingFinished.connect(lambda: self._change("pattern", self.pattern.text()))
        self.keep.clicked.connect(tab.keep_variant)

    def show_screen(self, screen: Screen) -> None:
        """Show the settings, and what can be done now."""
        params = screen.params
        self.run.setText("Stop" if screen.running else "Go on" if screen.resumes else "Measure")
        words = "Measure what was left over" if screen.resumes else "Ask the model every item"
        self.run.setToolTip(f"{words} (Ctrl+Return)")
        self.run.setEnabled(screen.running or screen.can_run)
        self.test.setCurrentIndex(tuple(Comparison).index(params.test))
        self._shots.setVisible(params.test is Comparison.SWEEP)
        self._variants.setVisible(params.test is Comparison.VARIANTS)
        self.variant.setText(screen.variant or "None yet.")
        self._labels.setVisible(screen.has_labels)
        if not self.counts.hasFocus():
            self.counts.setText(", ".join(map(str, params.counts)))
        for box, value in ((self.seeds, params.seeds), (self.items, params.items)):
            with QSignalBlocker(box):
                box.setValue(value)
        self.seeds.setEnabled(params.choice.drawn)
        self.choice.setCurrentIndex(tuple(CHOICES).index(params.choice))
        self.score.set_chosen(tuple(Score).index(params.score))
        with QSignalBlocker(self.calibrate):
            self.calibrate.setChecked(params.calibrate and screen.can_calibrate)
        self.calibrate.setEnabled(screen.can_calibrate)
        self.calibrate.setToolTip(_calibration(screen))
        self._show_metrics(LABEL_METRICS if screen.has_labels else TEXT_METRICS, params.judge(screen.has_labels).metric)
        if not self.pattern.hasFocus():
            self.pattern.setText(params.pattern)
        self.note.setText(_note(screen))

    def _show_metrics(self, metrics: tuple[Metric, ...], metric: Metric) -> None:
        if metrics != self._metrics:
            self._metrics = metrics
            self.grade.clear()
            for each in metrics:
                self.grade.addItem(each.value[:1].upper() + each.value[1:])
                self.grade.setItemData(self.grade.count() - 1, METRICS[each], TOOLTIP)
        self.grade.setCurrentIndex(metrics.index(metric))
        self.grade.setToolTip(METRICS[metric])
        self.pattern.setVisible(metric is Metric.REGEX)

    def _change(self, name: str, value: Any) -> None:
        if self._tab is not None and getattr(self._tab.params, name) != value:
            self._tab.change({name: value})

    @Slot()
    def _counts_typed(self) -> None:
        if self._tab is not None:
            found = counts_of(self.counts.text()) or self._tab.params.counts
            self.counts.setText(", ".join(map(str, found)))
            self._change("counts", found)

    @Slot()
    def _run_or_stop(self) -> None:
        if self._tab is not None:
            (self._tab.stop if self._tab.busy else self._tab.run)()


def _note(screen: Screen) -> str:
    kind = f"{screen.examples:,} examples" if screen.params.test is Comparison.SWEEP else f"{screen.shots:,} shots"
    words = f"{screen.items:,} items, {kind}."
    if screen.stale:
        words += " The picture is of other settings: measure again."
    elif screen.uncalibrated:
        words += f" {screen.uncalibrated:,} answers are not calibrated yet: go on."
    return words


def _calibration(screen: Screen) -> str:
    if not screen.can_calibrate:
        return "Every item has labels of its own, so that nothing can be asked once for all of them"
    words = "Divide by what the model prefers when the query says nothing (Zhao et al. 2021)"
    if screen.params.test is Comparison.SWEEP and screen.params.choice is ShotChoice.NEAREST:
        words += ". Every item has shots of its own, so each takes up to three more prompts"
    return words


def _number(name: str, low: int, high: int, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setAccessibleName(name)
    box.setToolTip(tooltip)
    box.setKeyboardTracking(False)
    return box
