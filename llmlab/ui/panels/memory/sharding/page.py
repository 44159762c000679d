"""The tab of real sharding on screen."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QCheckBox, QProgressBar, QWidget

from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.sharding.types import DEVICES, METHODS, RANKS, MethodResult, ShardingRun
from llmlab.ui import theme
from llmlab.ui.panels.memory.sharding import figures, plots
from llmlab.ui.panels.memory.sharding.params import LIMITS, Params
from llmlab.ui.panels.memory.sharding.presenter import Screen, Sharding
from llmlab.ui.panels.memory.sharding.stacks import bars
from llmlab.ui.tab_page import StagedPage, split
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.chart.stacks import StackedBars
from llmlab.ui.widgets.column import ControlColumn, combo_box, group, labelled
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider
from llmlab.ui.words import size

HELP = Help(
    "Sharding, for real",
    "Every rank is a process of its own on this computer; together they train the bundled decoder in float32 with "
    "AdamW, on random tokens that stay the same. Parameters, gradients and optimizer states are the bytes behind the "
    "tensors that a rank holds in its last step, gathered weights those that are whole for the worst moment. What is "
    "sent is counted at every collective operation, with the cost of a ring, as the formulas have it; the losses must "
    "be those of one process that has all sequences.",
    "DDP 2Ψ(N−1)/N · ZeRO-1, SHARD_GRAD_OP 2Ψ(N−1)/N · FULL_SHARD 3Ψ(N−1)/N\nΨ parameters over N ranks",
)
METHOD_TIPS = {
    Strategy.DDP: "Everything is whole on each rank; gradients are all-reduced",
    Strategy.ZERO_1: "torch's ZeroRedundancyOptimizer: each rank keeps the optimizer states of some of the parameters",
    Strategy.SHARD_GRAD_OP: "torch's fully_shard, weights kept whole between the forward and the backward pass",
    Strategy.FULL_SHARD: "torch's fully_shard, weights gathered layer by layer and freed again",
}
DEVICE_NAMES = {"auto": "GPUs if there are enough", "cpu": "CPU (gloo)", "cuda": "GPUs (NCCL)"}
KNOBS = {
    "steps": Knob("Steps", Scale(*LIMITS["steps"]), 4, "How many training steps each method makes"),
    "batch": Knob("Sequences of a rank", Scale(*LIMITS["batch"]), 2, "Each rank has sequences of its own"),
    "tokens": Knob("Tokens", Scale(*LIMITS["tokens"], logarithmic=True), 64, "How long each sequence is"),
}
TABLE = (
    Column("method", "How the model is shared out", 15, number=False),
    Column("quantity", "What a rank holds, or sends in a step", 0, number=False),
    Column("predicted", "Bytes, by the calculator's formula", 11),
    *(Column(f"rank {rank}", f"Bytes that rank {rank} really held or sent", 11) for rank in range(RANKS[-1])),
    Column("error", "(predicted − measured) / measured, of the rank that is furthest off", 9),
)
FIRST_RANK = 3  # its column
EXPORTS = (
    ("Copy the table", "copy"),
    ("Export as CSV…", "csv"),
    ("Export as JSON…", "json"),
    ("Copy as Python", "python"),
)


class ShardingPage(StagedPage):
    """Bars and losses over the table of all ranks; is the view of `Sharding`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Copy the table of all ranks", EXPORTS, parent)
        self.controls: ShardingControls = ShardingControls()
        self.bars = StackedBars("What one rank holds, predicted and measured", size)
        self.losses = Chart("Loss of every step")
        self.table = RowTable(TABLE, "What every rank holds and sends, predicted and measured")
        self.notes = MutedLabel()
        self.notes.setWordWrap(True)
        self._lay_out()
        self.table.copy_asked.connect(lambda: self._export("copy"))
        self._offer_copies(self.table)

    def _lay_out(self) -> None:
        pictures = split(self.bars, self.losses, (520, 330), upright=False)
        head = (self.headline, self.export, HelpButton(HELP))
        self._fill(head, split(pictures, self.table, (290, 260)), self.notes)

    def attach(self, tab: Sharding, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        self._add_keys(tab.run, tab.stop)
        panel.attach_chart(self.losses, "sharding-losses")
        panel.attach_chart(self.bars, "sharding-bytes")

    # --- what the presenter asks for ------------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        self._show_stage(screen.stage, running=screen.running)
        self.controls.show_screen(screen)

    def show_params(self, params: Params) -> None:
        self.controls.show_params(params)

    def show_results(self, results: tuple[MethodResult, ...], run: ShardingRun | None) -> None:
        ranks = len(results[0].ranks) if results else RANKS[0]
        for rank in RANKS:
            self.table.setColumnHidden(FIRST_RANK + rank - 1, rank > ranks)
        self.table.set_rows(
            [
                Row(
                    figures.cells(plots.SHORT[result.method] if first else "", each, RANKS[-1]),
                    tooltip=figures.tip(each),
                )
                for result in results
                for first, each in zip((True, *(False,) * len(result.compared)), result.compared, strict=False)
            ]
        )
        self.bars.show_stacks(bars(results))
        self.losses.show_plot(plots.losses(results, run))
        self.headline.setText(figures.headline(results, run))
        self.notes.setText(figures.notes(results))


class ShardingControls(ControlColumn):
    """What is run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Sharding | None = None
        self.run = MainButton("Run")
        self.progress = QProgressBar()
        self.progress.setMaximumHeight(theme.SPACE)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("How far the run is")
        self.words = MutedLabel()
        self.words.setWordWrap(True)
        self.methods = {method: QCheckBox(str(method)) for method in METHODS}
        self.ranks = Choice([(str(ranks), f"{ranks} processes that train together") for ranks in RANKS], "Processes")
        self.knobs = {name: LabelledSlider(knob) for name, knob in KNOBS.items()}
        self.device = combo_box("Device", "Where the ranks run: a GPU for each, or the CPU")
        for name in DEVICES:
            self.device.addItem(DEVICE_NAMES[name], name)
        self.fill(
            [
                self.run,
                self.progress,
                self.words,
                group("Methods", *self.methods.values()),
                group("Processes", self.ranks, labelled("Device", self.device)),
                group("Training", *self.knobs.values()),
                _about(),
            ]
        )
        self._connect()

    def _connect(self) -> None:
        for method, box in self.methods.items():
            box.setToolTip(METHOD_TIPS[method])
            box.toggled.connect(lambda _: self._change("methods", self._chosen()))
        for name, knob in self.knobs.items():
            knob.changed.connect(lambda value, name=name: self._change(name, value))
        self.ranks.chosen.connect(lambda index: self._change("ranks", RANKS[index]))
        self.device.currentIndexChanged.connect(lambda _: self._change("device", self.device.currentData()))
        self.run.clicked.connect(self._run_or_stop)

    def attach(self, tab: Sharding) -> None:
        """`tab` is told what the user does."""
        self._tab = tab

    def show_params(self, params: Params) -> None:
        """Show the settings."""
        for method, box in self.methods.items():
            box.blockSignals(True)
            box.setChecked(method in params.methods)
            box.blockSignals(False)
        for name, knob in self.knobs.items():
            knob.set_value(getattr(params, name))
        self.ranks.set_chosen(RANKS.index(params.ranks))
        self.device.blockSignals(True)
        self.device.setCurrentIndex(self.device.findData(params.device))
        self.device.blockSignals(False)

    def show_screen(self, screen: Screen) -> None:
        """What can be done now."""
        self.run.setText("Stop" if screen.running else "Run")
        self.run.setToolTip(
            "End all processes (Escape)"
            if screen.running
            else "Start the processes and train with each method in turn (Ctrl+Return)"
        )
        self.run.setEnabled(screen.running or screen.can_run)
        self.progress.setVisible(screen.running)
        self.progress.setRange(0, 0 if screen.fraction is None else 1000)
        self.progress.setValue(0 if screen.fraction is None else round(1000 * screen.fraction))
        stale = "The settings have changed since this was run." if screen.stale else ""
        chosen = "" if screen.can_run else "Choose at least one method."
        words = screen.progress or chosen or stale
        self.words.setText(words)
        self.words.setVisible(bool(words))

    def _chosen(self) -> tuple[str, ...]:
        return tuple(str(method) for method, box in self.methods.items() if box.isChecked())

    def _change(self, name: str, value: Any) -> None:
        if self._tab is not None:
            self._tab.change({name: value})

    @Slot()
    def _run_or_stop(self) -> None:
        if self._tab is not None:
            (self._tab.stop if self._tab.busy else self._tab.run)()


def _about() -> MutedLabel:
    label = MutedLabel(
        "Runs the bundled decoder, whatever model is open, on random tokens in float32 with AdamW. The processes "
        "speak to each other on this computer only, and end with the run."
    )
    label.setWordWrap(True)
    return label
