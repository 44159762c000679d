"""The decoding panel on screen: thin, everything that decides is in the presenter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from llmlab.engine.types import GenerationStep
from llmlab.ui import theme
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.ask_pane import AskPane
from llmlab.ui.panels.decoding.branches_pane import BranchesPane
from llmlab.ui.panels.decoding.chat_pane import ChatPane
from llmlab.ui.panels.decoding.completion_pane import CompletionPane
from llmlab.ui.panels.decoding.controls import Controls
from llmlab.ui.panels.decoding.distribution_pane import DistributionPane
from llmlab.ui.panels.decoding.params import TABS, Params
from llmlab.ui.panels.decoding.picture import Filled, Picture, Screen
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.ui.panels.decoding.strategies_pane import StrategiesPane
from llmlab.ui.panels.decoding.sweep_pane import SweepPane
from llmlab.ui.panels.decoding.waterfall_pane import WaterfallPane
from llmlab.ui.screen import Kind
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.parts import Choice, icon_button, row

# Of each tab: label, tooltip and, besides the completion, its widget. A page's `attach` is given its part.
LABELS = {
    "completion": ("Completion", "The text as it is generated, token by token"),
    "waterfall": ("Waterfall", "What each setting does to this distribution, one after the other"),
    "branches": ("Branches", "All completions and what parts from them: switch, compare, undo"),
    "strategies": ("Strategies", "Greedy, samples, beam search and prompt lookup side by side"),
    "sweep": ("Sweep", "A grid over two settings and several seeds, measured and compared"),
    "ask": ("Ask", "How probable exactly this continuation is"),
    "chat": ("Chat", "Talk to a model with a chat template, and see what it reads"),
}
ENLARGE = "Ctrl+B"
PAGES: dict[str, Callable[[], Any]] = {
    "waterfall": WaterfallPane,
    "branches": BranchesPane,
    "strategies": StrategiesPane,
    "sweep": SweepPane,
    "ask": AskPane,
    "chat": ChatPane,
}


class DecodingPanel(PanelView):
    """The next token's distribution, and below it the completion and all that can be tried with it."""

    controls: Controls
    presenter: DecodingPresenter

    def __init__(self, context: PanelContext) -> None:
        self.distribution = DistributionPane()
        self.completion = CompletionPane()
        self.controls = Controls()
        self.pages: dict[str, Any] = {name: PAGES[name]() for name in TABS if name in PAGES}
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("decoding")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.distribution)
        splitter.addWidget(self._make_lower())
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setSizes([290, 230])
        self.picture: QWidget = splitter
        self._screen: Screen | None = None
        self._frame = QTimer(splitter)
        self._frame.setSingleShot(True)
        self._frame.setInterval(0)
        self.presenter = DecodingPresenter(context, self, self.pages)
        self._frame.timeout.connect(self.presenter.frame)
        self._connect(self.presenter)

    def _make_lower(self) -> QWidget:
        """The tabs and, below them, the page of the one in front."""
        self.tabs = Choice([LABELS[name] for name in TABS], "What is below the bars")
        self._stack = QStackedWidget()
        for name in TABS:
            self._stack.addWidget(self.pages.get(name, self.completion))
        self.enlarge = icon_button("enlarge", "", "Give the tab the room of the bars")
        self.enlarge.setCheckable(True)
        self.enlarge.setShortcut(QKeySequence(ENLARGE))
        head = row((self.tabs, self.enlarge))
        head_layout = head.layout()
        assert isinstance(head_layout, QHBoxLayout)
        head_layout.insertStretch(1, 1)
        lower = QWidget()
        layout = QVBoxLayout(lower)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(head)
        layout.addWidget(self._stack, stretch=1)
        return lower

    @Slot(int)
    def _choose_tab(self, index: int) -> None:
        self._stack.setCurrentIndex(index)
        self.presenter.change(tab=TABS[index])

    def _connect(self, presenter: DecodingPresenter) -> None:
        controls, distribution, completion = self.controls, self.distribution, self.completion
        controls.changed.connect(lambda changes: presenter.change(**changes))
        controls.generate.connect(presenter.runs.generate)
        controls.stop.connect(presenter.completions.stop)
        controls.new_seed.connect(presenter.runs.new_seed)
        controls.own_settings.connect(presenter.presets.use_own)
        controls.open_preset.connect(presenter.presets.open)
        controls.save_preset.connect(lambda: presenter.presets.save(presenter.params))
        distribution.went.connect(presenter.places.go)
        distribution.logarithmic.connect(lambda on: presenter.change(logarithmic=on))
        distribution.logarithmic.connect(distribution.bars.set_logarithmic)
        distribution.example_chosen.connect(presenter.use_example)
        distribution.state.acted.connect(lambda _: presenter.runs.insert_mask())  # the only button there is
        distribution.bars.chosen.connect(presenter.runs.choose_token)
        distribution.bars.export_asked.connect(presenter.sharing.export_distribution)
        completion.selected.connect(self._selected)
        completion.regenerate.connect(lambda new_seed: presenter.runs.regenerate(new_seed=new_seed))
        completion.clear_asked.connect(presenter.completions.clear)
        completion.change_taken.connect(presenter.runs.take_change)
        completion.branch_asked.connect(lambda at, given, new: presenter.runs.go_on(at, given, new_seed=new))
        completion.edited.connect(presenter.runs.edit)
        completion.export_asked.connect(presenter.sharing.export_run)
        completion.replay_asked.connect(presenter.recording.replay)
        completion.copy_asked.connect(
            lambda what: presenter.sharing.copy_python() if what == "python" else presenter.sharing.copy_text()
        )
        self.tabs.chosen.connect(self._choose_tab)
        self.enlarge.toggled.connect(lambda on: presenter.change(enlarged=on))
        self.enlarge.toggled.connect(lambda _: self._share_room())
        for name, page in self.pages.items():
            page.attach(presenter.parts[name])
        for key in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(key), self.picture).activated.connect(presenter.runs.generate)
        self._escape = QShortcut(QKeySequence("Esc"), self.picture)
        self._escape.activated.connect(presenter.completions.stop)
        self._escape.setEnabled(False)

    def _share_room(self) -> None:
        """An enlarged tab takes the bars' room, unless there are words in their place that have to be read."""
        on = self.enlarge.isChecked()
        told = self._screen is not None and self._screen.stage.kind in {Kind.EMPTY, Kind.ERROR}
        self.distribution.setVisible(told or not on)
        self.enlarge.setToolTip(f"{'Show the bars again' if on else 'Give the tab the room of the bars'} ({ENLARGE})")

    @Slot(int)
    def _selected(self, index: int) -> None:
        if self._screen is not None and self._screen.fill_mask:
            self.presenter.places.select_mask(index)
        else:
            self.presenter.places.select_step(index)

    # --- to the window --------------------------------------------------------------------------------------

    def close(self) -> None:
        self._frame.stop()
        super().close()

    # --- to the presenter -----------------------------------------------------------------------------------

    def show(self, screen: Screen) -> None:
        if screen != self._screen:
            self._screen = screen
            self.distribution.show_screen(screen)
            self.completion.show_screen(screen)
            self.controls.show_screen(screen)
            self._share_room()
            if hasattr(self, "_escape"):
                self._escape.setEnabled(screen.generating)

    def show_params(self, params: Params) -> None:
        self.controls.show_params(params)
        self.distribution.log.blockSignals(True)
        self.distribution.log.setChecked(params.logarithmic)
        self.distribution.log.blockSignals(False)
        self.distribution.bars.set_logarithmic(params.logarithmic)
        self.enlarge.blockSignals(True)
        self.enlarge.setChecked(params.enlarged)
        self.enlarge.blockSignals(False)
        self._share_room()
        self.tabs.set_chosen(TABS.index(params.tab))
        self._stack.setCurrentIndex(TABS.index(params.tab))

    def show_picture(self, picture: Picture | None) -> None:
        self.controls.show_use(self.presenter.params)
        self.distribution.show_picture(picture)

    def add_steps(self, steps: Sequence[GenerationStep]) -> None:
        self.completion.add_steps(steps)

    def clear_steps(self) -> None:
        self.completion.clear_steps()

    def select_step(self, index: int) -> None:
        self.completion.select_step(index)

    def show_filled(self, parts: Sequence[Filled], current: int) -> None:
        self.completion.show_filled(parts, current)

    def request_frame(self) -> None:
        self._frame.start()

    def ask_preset(self, then: Callable[[Path], None]) -> None:
        self.ask_file("Open a preset or generation_config.json", ("yaml", "json"), then)

    def ask_record(self, then: Callable[[Path], None]) -> None:
        self.ask_file("Replay a run", ("json",), then)
