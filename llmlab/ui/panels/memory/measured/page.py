"""The tab of measurements on screen."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from llmlab.engine.memory_measure.types import Measurement
from llmlab.ui import theme
from llmlab.ui.panels.memory.measured import figures, plots
from llmlab.ui.panels.memory.measured.params import LIMITS, PHASES, Params
from llmlab.ui.panels.memory.measured.presenter import Measuring, Screen
from llmlab.ui.tab_page import StagedPage, split
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.column import ControlColumn, FactList, group
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel, heading
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider

HELP = Help(
    "Measured beside predicted",
    "Every tensor is followed from the operation that makes it to the moment it is freed, to the byte; the areas are "
    "what all of them take after each operation, and the dashed line is the peak that the calculator predicts. Each "
    "row of the table is one component of the calculator beside what was really held; hover it for its formula. The "
    "training step runs on a copy, so that the model in use stays as it is, and its second step is shown, when the "
    "optimizer has its states. Small working memory inside a kernel has no tensor; a GPU's allocator counts it.",
    "error = (predicted − measured) / measured",
)
TOOLTIPS = (
    "All tokens are read at once",
    "Tokens are written one by one, with the cache",
    "Forward, backward and AdamW on a copy of the model",
)
KNOBS = {
    "tokens": Knob(
        "Tokens", Scale(*LIMITS["tokens"], logarithmic=True), 256, "How many tokens each sequence has when it is read"
    ),
    "steps": Knob("Tokens to write", Scale(*LIMITS["steps"]), 8, "How many tokens are written after them, one by one"),
    "batch": Knob("Sequences", Scale(*LIMITS["batch"]), 1, "How many sequences are read side by side: the batch"),
}
PARTS = (
    Column("component", "A part of the calculator's sum", 0, number=False),
    Column("predicted", "By the calculator's formula", 14),
    Column("measured", "What was really held", 14),
    Column("error", "(predicted − measured) / measured", 9),
)
ALIVE = (
    Column("bytes", "The memory behind the tensor", 11),
    Column("shape", "Its dimensions", 11, number=False),
    Column("made by", "The operation that made it", 0, number=False),
)
EXPORTS = (
    ("Copy the table", "copy"),
    ("Export as CSV…", "csv"),
    ("Export as JSON…", "json"),
    ("Copy as Python", "python"),
)


class MeasuredPage(StagedPage):
    """The table of components over the history; is the view of `Measuring`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Copy the table of all phases", EXPORTS, parent)
        self.controls: MeasuredControls = MeasuredControls()
        self.phases = Choice(list(zip(PHASES, TOOLTIPS, strict=True)), "Phase")
        self.table = RowTable(PARTS, "Components, predicted and measured")
        self.alive = RowTable(ALIVE, "Largest tensors at the peak, beside the weights")
        self.chart = Chart("Memory after each operation")
        self.notes = MutedLabel()
        self.notes.setWordWrap(True)
        self._lay_out()
        self.phases.chosen.connect(lambda index: self._tab and self._tab.choose_phase(PHASES[index]))
        for table in (self.table, self.alive):
            table.copy_asked.connect(lambda: self._export("copy"))
            self._offer_copies(table)

    def _lay_out(self) -> None:
        components = _titled("Components, in bytes", self.table)
        alive = _titled("Largest tensors at the peak, beside the weights", self.alive)
        tables = split(components, alive, (515, 335), upright=False)
        head = (self.phases, self.headline, self.export, HelpButton(HELP))
        self._fill(head, split(tables, self.chart, (230, 300)), self.notes)

    def attach(self, tab: Measuring, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        self._add_keys(tab.run, tab.stop)
        panel.attach_chart(self.chart, "memory-history")

    # --- what the presenter asks for ------------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        self._show_stage(screen.stage, running=screen.running)
        self.controls.show_screen(screen)

    def show_params(self, params: Params) -> None:
        self.controls.show_params(params)

    def show_measurement(self, found: Measurement | None, phase: int) -> None:
        self.chart.show_plot(plots.history(found, phase))
        if found is None:
            return
        one = found.phases[phase]
        names = [each.name for each in found.phases]
        self.phases.set_chosen(PHASES.index(one.name))
        self.phases.set_offered([name in names for name in PHASES])
        self.headline.setText(figures.headline(one))
        rows = [Row(figures.cells(each), tooltip=figures.tip(each)) for each in one.components]
        self.table.set_rows([*rows, Row(figures.peak_cells(one), tooltip=figures.peak_tip(one))])
        self.alive.set_rows([Row(figures.alive_cells(each), tooltip=figures.alive_tip(each)) for each in one.alive])
        self.notes.setText(figures.notes(found))
        self.notes.setVisible(bool(found.warnings))


class MeasuredControls(ControlColumn):
    """What is measured."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Measuring | None = None
        self.run = MainButton("Measure")
        self.knobs = {name: LabelledSlider(knob) for name, knob in KNOBS.items()}
        self.train = QCheckBox("Training step on a copy")
        self.stale = MutedLabel("The settings have changed since this was measured.")
        self.stale.setWordWrap(True)
        self.facts = FactList()
        self._facts = group("Memory of the program", self.facts)
        self.fill(
            [self.run, self.stale, group("What is run", *self.knobs.values(), self.train), self._facts],
        )
        for name, knob in self.knobs.items():
            knob.changed.connect(lambda value, name=name: self._change(name, value))
        self.train.toggled.connect(lambda on: self._change("train", on))
        self.run.clicked.connect(self._run_or_stop)

    def attach(self, tab: Measuring) -> None:
        """`tab` is told what the user does."""
        self._tab = tab

    def show_params(self, params: Params) -> None:
        """Show the settings."""
        for name, knob in self.knobs.items():
            knob.set_value(getattr(params, name))
        self.train.blockSignals(True)
        self.train.setChecked(params.train)
        self.train.blockSignals(False)

    def show_screen(self, screen: Screen) -> None:
        """What can be done now."""
        self.run.setText("Stop" if screen.running else "Measure")
        self.run.setToolTip(
            "End the measurement (Escape)" if screen.running else "Run the model and follow every tensor (Ctrl+Return)"
        )
        self.run.setEnabled(screen.running or screen.can_run)
        self.stale.setVisible(screen.stale and not screen.running)
        self.train.setEnabled(screen.can_train)
        self.train.setToolTip(
            screen.why_not or "Two steps of AdamW on a copy of the model, which takes about five times its memory"
        )
        self._facts.setVisible(bool(screen.facts))
        self.facts.show_facts(screen.facts)

    def _change(self, name: str, value: Any) -> None:
        if self._tab is not None:
            self._tab.change({name: value})

    @Slot()
    def _run_or_stop(self) -> None:
        if self._tab is not None:
            (self._tab.stop if self._tab.busy else self._tab.run)()


def _titled(title: str, widget: QWidget) -> QWidget:
    box = QWidget()
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE // 2)
    layout.addWidget(heading(title))
    layout.addWidget(widget, stretch=1)
    return box
