"""The attention panel on screen: thin, everything that decides is in the presenter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.attention.compare_pane import ComparePane
from llmlab.ui.panels.attention.controls import Controls
from llmlab.ui.panels.attention.effect_pane import EffectPane
from llmlab.ui.panels.attention.flow_pane import FlowPane
from llmlab.ui.panels.attention.grid import HeadGrid
from llmlab.ui.panels.attention.heads import Heads, Place
from llmlab.ui.panels.attention.lens_pane import LensPane
from llmlab.ui.panels.attention.lines_pane import LinesPane
from llmlab.ui.panels.attention.map_pane import MapPane
from llmlab.ui.panels.attention.pair_pane import PairPane
from llmlab.ui.panels.attention.params import TABS, Params
from llmlab.ui.panels.attention.presenter import AttentionPresenter
from llmlab.ui.panels.attention.screen import Act, Screen
from llmlab.ui.panels.attention.step_bar import StepBar
from llmlab.ui.panels.attention.text_pane import TextPane
from llmlab.ui.screen import Kind
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.parts import Choice
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.wrapping import wrapping_row

# One entry for each tab: its label, its tooltip, and its widget, which is also the view of its part. After both are
# made, `widget.attach(part)` connects them.
PAGES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "map": ("Map", "Every weight of a head, as a heat map", MapPane),
    "compare": ("Compare", "Two heads side by side, or the difference between two prompts", ComparePane),
    "text": ("Text", "The text, shaded by where a token looks or who looks at it", TextPane),
    "lines": ("Lines", "Two columns of tokens with a line for every weight, of one head or several", LinesPane),
    "pair": ("Neuron", "How one weight came about, from query and key, dimension by dimension", PairPane),
    "flow": ("Rollout", "A summary of the whole model: attention rollout and flow", FlowPane),
    "effect": ("Effect", "What the prediction loses without a head, or without several", EffectPane),
    "lens": ("Logit lens", "What the model would predict if it ended after each layer", LensPane),
}


class AttentionPanel(PanelView):
    """Eight ways to look at the attention of a text, beside the grid of all heads."""

    controls: Controls
    presenter: AttentionPresenter

    def __init__(self, context: PanelContext) -> None:
        self.names = [name for name in TABS if name in PAGES]
        self.pages: dict[str, Any] = {name: PAGES[name][2]() for name in self.names}
        self.tabs = Choice([PAGES[name][:2] for name in self.names], "What is shown of the attention")
        self.grid, self.steps, self.state = HeadGrid(), StepBar(), StateView()
        self._pages = QStackedWidget()
        for page in self.pages.values():
            self._pages.addWidget(page)
        self._screen: Screen | None = None
        self._params = Params()
        self.controls = Controls()
        self.picture: QWidget = self._lay_out()
        self.presenter = AttentionPresenter(context, self, self.pages)
        for name, page in self.pages.items():
            page.attach(self.presenter.parts[name])
        self._connect(self.presenter)

    def _connect(self, presenter: AttentionPresenter) -> None:
        self.tabs.chosen.connect(self._choose_tab)
        self.state.example_chosen.connect(presenter.use_example)
        self.state.acted.connect(lambda name: presenter.act(Act(name)))
        self.grid.chosen.connect(self._choose_head)
        for words, call in (("Copy scores", presenter.copy_scores), ("Save scores as CSV…", presenter.save_scores)):
            action = QAction(words, self.grid)
            action.triggered.connect(call)
            self.grid.addAction(action)
        self.grid.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.steps.stepped.connect(presenter.step_to)
        self.controls.changed.connect(self._change)
        self.controls.kind_chosen.connect(lambda kind: presenter.look(kind=kind))

    def _lay_out(self) -> QWidget:
        self.steps.setContentsMargins(theme.SPACE, 0, 0, 0)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setObjectName("attention")
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(self.grid)
        self._splitter.addWidget(self._pages)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([270, 580])
        self.grid.setMinimumWidth(160)
        ready = QWidget()
        layout = QVBoxLayout(ready)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(wrapping_row((self.tabs, self.steps), stretch=self.steps))
        layout.addWidget(self._splitter, stretch=1)
        self._stack = QStackedWidget()
        self._stack.addWidget(ready)
        self._stack.addWidget(self.state)
        return self._stack

    @Slot(int)
    def _choose_tab(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        self.controls.show_tab(self.names[index])
        self.presenter.change(tab=self.names[index])

    @Slot(object)
    def _choose_head(self, place: Place) -> None:
        self.presenter.look(layer=place[0], head=place[1])

    @Slot(object)
    def _change(self, changes: dict[str, Any]) -> None:
        self.presenter.change(**changes)
        self._params = self.presenter.params
        self.controls.show_params(self._params)

    # --- to the presenter -----------------------------------------------------------------------------------

    def show(self, screen: Screen) -> None:
        if screen == self._screen:
            return
        self._screen = screen
        self.controls.show_screen(screen)
        self.steps.show_steps(screen.steps)
        stage = screen.stage
        self._stack.setCurrentIndex(0 if stage.kind is Kind.READY else 1)
        self.state.show_stage(stage)

    def show_params(self, params: Params) -> None:
        self._params = params
        self.controls.show_params(params)
        if params.tab in self.names:
            self.tabs.set_chosen(self.names.index(params.tab))
            self._pages.setCurrentIndex(self.names.index(params.tab))

    def show_heads(self, heads: Heads | None) -> None:
        self.grid.show_heads(heads, Norm(Scale.LOG if self._params.scale == "log" else Scale.LINEAR))
