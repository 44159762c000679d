"""The calculator on screen: figures on top, and one of its pictures."""

from __future__ import annotations

import functools
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QPushButton, QStackedWidget, QVBoxLayout, QWidget

from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.shape import ModelShape
from llmlab.ui import theme
from llmlab.ui.panels.memory.calculator import help_texts
from llmlab.ui.panels.memory.calculator.controls import Controls
from llmlab.ui.panels.memory.calculator.gpu_dialog import GpuDialog
from llmlab.ui.panels.memory.calculator.gpu_pane import GpuPane
from llmlab.ui.panels.memory.calculator.gpurows import Gpus
from llmlab.ui.panels.memory.calculator.panes import PartsPane, RulesPane, SharingPane, SpeedPane
from llmlab.ui.panels.memory.calculator.params import PAGES, Params
from llmlab.ui.panels.memory.calculator.phases import Phases
from llmlab.ui.panels.memory.calculator.phases_pane import PhasesPane
from llmlab.ui.panels.memory.calculator.pictures import Parts, Rules, Sharing
from llmlab.ui.panels.memory.calculator.presenter import Calculator
from llmlab.ui.panels.memory.calculator.screen import Picture, Source
from llmlab.ui.screen import Fact, Kind, Stage
from llmlab.ui.tab_page import TabPage
from llmlab.ui.view import PanelView
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.chart.plot import Plot
from llmlab.ui.widgets.facts import FactLabel, FactRow
from llmlab.ui.widgets.help import HelpButton
from llmlab.ui.widgets.parts import Choice, MutedLabel, menu_button, row
from llmlab.ui.widgets.states import StateView

LABELS = {
    "parts": ("Parts", "What the memory is made of, beside other precisions or strategies"),
    "phases": ("Phases", "A training step from moment to moment: what is there when, and the peak"),
    "gpus": ("GPUs", "What fits on which GPU, and the most that would"),
    "contour": ("Context × batch", "How long a context and how large a batch each GPU holds"),
    "sharing": ("Many GPUs", "Training over 1 to 1024 GPUs: what each holds, and what they send"),
    "rules": ("Rules", "Bytes per parameter: the rules in circulation, and what each counts"),
    "speed": ("Decode limit", "How fast decoding can be at best, and how fast the loaded model is"),
}
FACTS = ("parameters", "needs", "each GPU", "peak", "main memory", "reads")


class CalculatorPage(TabPage):
    """Is the `Page` of its `Calculator`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: Controls = Controls()
        self.pages = Choice([LABELS[name] for name in PAGES], "Picture of the calculator")
        self.pages.chosen.connect(lambda index: self._change({"page": PAGES[index]}))
        self.facts = {name: FactLabel(name) for name in FACTS}
        self.fact_row = FactRow(tuple(self.facts.values()))
        self.notes = MutedLabel()
        self.notes.setWordWrap(True)
        self.state = StateView()
        self.state.acted.connect(self._read_again)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Do not wait for this model any longer")
        self.cancel.clicked.connect(lambda _checked: self._tab.cancel())
        self.parts, self.gpus, self.sharing = PartsPane(), GpuPane(), SharingPane()
        self.rules, self.speed, self.phases = RulesPane(), SpeedPane(), PhasesPane()
        self.contour = Chart("Context over batch, a line for each GPU")
        self._helps = {name: HelpButton(help_texts.HELP[name]) for name in PAGES}
        self._lay_out()

    def _lay_out(self) -> None:
        self._stack = QStackedWidget()
        panes = (self.parts, self.phases, self.gpus, self.contour, self.sharing, self.rules, self.speed)
        self._panes = dict(zip(PAGES, panes, strict=True))
        self._waiting = QWidget()
        waiting = QVBoxLayout(self._waiting)
        waiting.setContentsMargins(0, 0, 0, 0)
        waiting.addWidget(self.state, stretch=1)
        waiting.addWidget(self.cancel, alignment=Qt.AlignmentFlag.AlignHCenter)
        for pane in (self._waiting, *self._panes.values()):
            self._stack.addWidget(pane)
        self.export = menu_button("export", "Copy the components as a table", "Copy or export the calculation")
        self.export.clicked.connect(functools.partial(self._export, "copy"))
        for label, what in (
            ("Copy the components", "copy"),
            ("Export the components as CSV…", "csv"),
            ("Export the calculation as JSON…", "json"),
            ("Copy as Python", "python"),
        ):
            self.export.menu().addAction(label).triggered.connect(functools.partial(self._export, what))
        gap = QWidget()
        head = row((self.pages, gap, self.export, *self._helps.values()), stretch=gap)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(head)
        layout.addWidget(self.fact_row)
        layout.addWidget(self.notes)
        layout.addWidget(self._stack, stretch=1)

    def attach(self, tab: Calculator, panel: PanelView) -> None:
        """`tab` is told what the user does."""
        super().attach(tab, panel)
        self.controls.changed.connect(self._change)
        self.controls.opened.connect(tab.open)
        self.controls.file_asked.connect(self._ask_file)
        self.controls.folder_asked.connect(self._ask_folder)
        self.parts.picked.connect(tab.pick_bar)
        self.sharing.picked.connect(tab.pick_bar)
        self.contour.picked.connect(self._pick_place)
        self.gpus.sorted.connect(tab.sort)
        self.gpus.marked.connect(tab.mark)
        self.gpus.export_asked.connect(tab.export)
        self.gpus.edit_asked.connect(self._edit)
        self.gpus.remove_asked.connect(tab.remove_gpus)
        self.gpus.restore_asked.connect(tab.restore_table)
        self.speed.measure_asked.connect(tab.measure)
        self.parts.export_asked.connect(tab.export)
        panel.attach_chart(self.parts.bars, "memory")
        panel.attach_chart(self.phases.chart, "training-step")
        panel.attach_chart(self.contour, "context-batch")
        panel.attach_chart(self.sharing.chart, "gpus")
        panel.attach_chart(self.rules.bars, "rules")
        panel.attach_chart(self.speed.chart, "decode-limit")

    @Slot(object)
    def _change(self, changes: dict[str, Any]) -> None:
        self._tab.change(**changes)
        self.show_params(self._tab.params, self._tab.shape)

    @Slot(int, int)
    def _pick_place(self, series: int, point: int) -> None:
        each = self.contour.plot.series[series]
        if each.y[point] > 0:
            self._tab.pick_place(int(each.x[point]), int(each.y[point]))

    def _export(self, what: str, _checked: bool = False) -> None:
        self._tab.export(what)

    @Slot(str)
    def _read_again(self, _action: str) -> None:
        self._tab.read_again()  # the only button there is

    def _ask_file(self) -> None:
        assert self._panel is not None
        self._panel.ask_file("Open a config.json", ("json",), lambda path: self._tab.open(str(path)))

    def _ask_folder(self) -> None:
        saving.ask_folder(self, "Open a model's folder", lambda path: self._tab.open(str(path)))

    @Slot(object)
    def _edit(self, gpu: Gpu | None) -> None:
        def keep(name: str, memory: float, bandwidth: float) -> str:
            return str(self._tab.keep_gpu(name, memory, bandwidth, gpu))

        GpuDialog(keep, gpu, self).open()

    # --- to the presenter -----------------------------------------------------------------------------------

    def show_stage(self, stage: Stage) -> None:
        ready = stage.kind is Kind.READY
        self.export.setEnabled(ready)
        if not ready:
            self.cancel.setVisible(stage.kind is Kind.LOADING and bool(stage.actions))
            self.state.show_stage(stage)
            self._stack.setCurrentWidget(self._waiting)

    def show_params(self, params: Params, shape: ModelShape | None) -> None:
        self.controls.show_params(params, shape)
        self.pages.set_chosen(PAGES.index(params.page))
        for name, button in self._helps.items():
            button.setVisible(name == params.page)

    def show_sources(self, sources: tuple[Source, ...], chosen: str) -> None:
        self.controls.show_sources(sources, chosen)

    def show_facts(self, facts: tuple[Fact, ...], groups: tuple[Fact, ...], notes: tuple[str, ...]) -> None:
        for fact in facts:
            self.facts[fact.name].set_fact(fact)
        self.fact_row.set_wanted({self.facts[fact.name] for fact in facts})
        self.controls.groups.show_facts(groups)
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))

    def show_picture(self, picture: Picture) -> None:
        if isinstance(picture, Parts):
            self.parts.show_parts(picture)
        elif isinstance(picture, Phases):
            self.phases.show_phases(picture)
        elif isinstance(picture, Gpus):
            self.gpus.show_gpus(picture)
        elif isinstance(picture, Plot):
            self.contour.show_plot(picture)
        elif isinstance(picture, Sharing):
            self.sharing.show_sharing(picture)
        elif isinstance(picture, Rules):
            self.rules.show_rules(picture)
        else:
            self.speed.show_speed(picture)
        self._stack.setCurrentWidget(self._panes[self._tab.params.page])
