"""The scaling laws on screen: the picture, the figures of your run below it."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.scaling.controls import ScalingColumn
from llmlab.ui.panels.memory.scaling.params import View
from llmlab.ui.panels.memory.scaling.presenter import Scaling, ScalingScreen
from llmlab.ui.tab_page import TabPage, split
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, heading, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable

HELP = Help(
    "Scaling laws",
    "Training costs about six operations for every parameter and token. For a given budget there is a size that "
    "reaches the lowest loss: larger models see too few tokens, smaller ones cannot use what they see. The lines are "
    "what published fits say this size is, each with its own constants; the dots are models that were trained, many of "
    "them on far more tokens than is best for training, because a smaller model costs less to use. Losses are of each "
    "law's own data and do not compare between laws.",
    "C = 6 · N · D\nL(N, D) = E + A / N^α + B / D^β\nN_opt = G · (C/6)^(β/(α+β)),  G = (αA / βB)^(1/(α+β))\n"
    "1 petaFLOP/s-day = 8.64 · 10¹⁹ FLOP",
)
VIEWS = (
    ("Size and tokens", "Parameters against tokens, with lines of equal loss and of your compute"),
    ("Size and compute", "The best size for every budget, by every law"),
    ("Loss", "The loss of every size that your compute can be spent on"),
)
COLUMNS = (
    Column("", "What it is", 19, number=False),
    Column("Value", "The number", 20),
    Column("Formula", "How it comes about", 38, number=False),
    Column("With numbers", "The formula with the numbers put in", 0, number=False),
)


class ScalingPage(TabPage):
    """The picture above, the figures below; settings in `controls`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: ScalingColumn = ScalingColumn()
        self.view = Choice(VIEWS, "The picture")
        self.chart = Chart("Scaling laws")
        self.headline, self.problem = heading(""), ElidedLabel()
        self.table = RowTable(COLUMNS, "Your run in figures")
        self.table.copy_asked.connect(lambda: self._export("copy"))
        self.view.chosen.connect(lambda index: self._tab and self._tab.change(view=tuple(View)[index]))
        self._lay_out()

    def _lay_out(self) -> None:
        export = menu_button("export", "Copy the figures", "Copy or export")
        export.clicked.connect(lambda: self._export("copy"))
        menu = export.menu()
        menu.addAction("Copy the figures", lambda: self._export("copy"))
        menu.addAction("Copy as Python", lambda: self._tab and self._tab.copy_script())
        menu.addSeparator()
        menu.addAction("Export the figures as CSV…", lambda: self._export("csv"))
        menu.addAction("Export the figures as JSON…", lambda: self._export("json"))
        lower = QWidget()
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(theme.SPACE // 2)
        below.addWidget(self.headline)
        below.addWidget(self.table, stretch=1)
        splitter = split(self.chart, lower, (370, 270))
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(row((self.view, self.problem, export, HelpButton(HELP)), stretch=self.problem))
        layout.addWidget(splitter, stretch=1)

    def attach(self, tab: Scaling, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        panel.attach_chart(self.chart, "scaling")

    def show_screen(self, screen: ScalingScreen) -> None:
        """Everything."""
        self.controls.show_screen(screen)
        self.view.set_chosen(tuple(View).index(screen.params.view))
        self.problem.setText(screen.problem)
        self.chart.show_plot(screen.plot)
        self.headline.setText(f"Your run: {screen.headline}")
        self.table.set_rows([Row(cells, tooltip=note) for cells, note in zip(screen.rows, screen.notes, strict=True)])
