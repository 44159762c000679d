"""The quantization laboratory on screen: the table of schemes, and below it what one of them does."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QSplitter, QStackedLayout, QStackedWidget, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.quantization.controls import LabColumn
from llmlab.ui.panels.memory.quantization.figures import SchemeRow
from llmlab.ui.panels.memory.quantization.params import View
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.quantization.screen import LabScreen, Pictures
from llmlab.ui.panels.memory.quantization.sensitivity_pane import SensitivityPane
from llmlab.ui.panels.memory.quantization.sensitivity_screen import SensitivityScreen
from llmlab.ui.panels.memory.quantization.texts import CompletionsPane, DamagedText
from llmlab.ui.screen import Kind
from llmlab.ui.tab_page import TabPage
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Quantization",
    "Every weight matrix of a linear layer is stored with fewer bits and read back; the noise that this adds is "
    "measured against the weights themselves (SQNR: about 6 dB more for every bit). What it does to the model is "
    "another question: “Measure” loads a second copy in each format, lets both read the same text, and compares their "
    "next-token distributions (KL divergence, top-1 agreement, perplexity) and what they write. The model in use stays "
    "as it is; embeddings, norms and the output layer are not quantized, as in bitsandbytes. Absmax is our own, to "
    "show the principle: its weights are rounded, the arithmetic stays the model's, so it has no speed.",
    "absmax: ŵ = s · round(w / s),  s = max |w| / (2^(bits−1) − 1)\n"
    "SQNR = 10 · log₁₀(Σ w² / Σ (w − ŵ)²) dB\n"
    "KL = Σ p · (log p − log q), p of the model in use",
)
SPEED = (
    "Written tokens per second, of an encoder read ones, and beside those of the model in use: the two take turns, "
    "because speeds of different moments do not compare"
)
COLUMNS = (
    Column("Scheme", "How the weight matrices are stored", 0, number=False),
    Column("bits", "Stored bits per quantized weight, scales and codebooks included", 6),
    Column("model", "Bytes of the whole model; what is not quantized keeps its format", 9),
    Column("SQNR", "Signal to quantization noise of all quantized weights together, in dB", 7),
    Column("max err", "The largest error of any weight", 9),
    Column("KL", "Mean KL divergence of the next-token distributions from the model in use, in nats", 9),
    Column("top-1", "How often both find the same token most probable", 7),
    Column("perplexity", "exp(−mean log-probability) of the text; of an encoder a pseudo-perplexity", 10),
    Column("tokens/s", SPEED, 12),
)
VIEWS = (
    ("Weights", "SQNR of every matrix; one of them with the levels that are left"),
    ("Bytes and damage", "What each scheme saves, and what it costs"),
    ("Text", "The text, coloured by how much the predictions change"),
    ("Completions", "What both write, and where the texts part"),
    ("Sensitivity", "Which part of the model pays: one layer, kind or matrix quantized at a time"),
)


class QuantizationPage(TabPage):
    """The table, and below it four views of the selected scheme; or, over all of it, the parts of the model."""

    controls: LabColumn

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measured: Any = None
        self.controls = LabColumn()
        self.view = Choice(VIEWS, "What is shown of the selected scheme")
        self.note = ElidedLabel()
        self.table = RowTable(COLUMNS, "Schemes")
        self.matrices, self.weights = Chart("SQNR of every matrix"), Chart("Weights and levels")
        self.errors, self.damage = Chart("Errors"), Chart("Bytes against damage")
        self.caption = ElidedLabel()
        self.text, self.completions = DamagedText(), CompletionsPane()
        self.sensitivity = SensitivityPane()
        self.state = StateView()
        self._pages = QStackedWidget()
        for page in (self._weights_page(), self.damage, self.text, self.completions, self.sensitivity):
            self._pages.addWidget(page)
        self._lay_out()
        self.table.picked.connect(self._row_picked)
        self.table.copy_asked.connect(lambda: self._take("schemes", "copy"))
        self.matrices.picked.connect(self._matrix_picked)
        self.view.chosen.connect(lambda index: self._tab and self._tab.change(view=tuple(View)[index]))
        self.state.acted.connect(lambda _: self._tab and self._tab.start())

    def _weights_page(self) -> QWidget:
        below = QSplitter(Qt.Orientation.Horizontal)
        below.setChildrenCollapsible(False)
        for chart, share in ((self.weights, 3), (self.errors, 2)):
            below.addWidget(chart)
            below.setStretchFactor(below.count() - 1, share)
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.matrices, stretch=4)
        layout.addWidget(self.caption)
        layout.addWidget(below, stretch=5)
        return box

    def _lay_out(self) -> None:
        export = menu_button("export", "Copy the table", "Copy or export")
        export.clicked.connect(lambda: self._take("schemes", "copy"))
        menu = export.menu()
        menu.addAction("Copy the table", lambda: self._take("schemes", "copy"))
        menu.addAction("Copy as Python", lambda: self._tab and self._tab.copy_script())
        menu.addSeparator()
        for what, name in (("schemes", "the schemes"), ("matrices", "every matrix"), ("tokens", "every token")):
            for kind in ("csv", "json"):
                label = f"Export {name} as {kind.upper()}…"
                menu.addAction(label).triggered.connect(partial(self._take, what, kind))
        gap = QWidget()
        gap.setFixedWidth(theme.SPACE)
        self._takes = row((export, HelpButton(HELP)))  # of the table; the parts have their own
        head = row((self.view, gap, self.note, self._takes), stretch=self.note)
        metrics = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(metrics * 9 + self.table.horizontalHeader().sizeHint().height() + 4)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(head)
        layout.addWidget(self.table)
        layout.addWidget(self._pages, stretch=1)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(content)
        self._stack.addWidget(self.state)

    def attach(self, tab: Quantization, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        self._add_keys(tab.run, tab.stop)
        for chart, name in (
            (self.matrices, "sqnr"), (self.weights, "weights"), (self.errors, "errors"), (self.damage, "damage"),
        ):  # fmt: skip
            panel.attach_chart(chart, f"quantization-{name}")
        self.sensitivity.attach(tab, panel)

    # --- what the part asks ---------------------------------------------------------------------------------------

    def show_screen(self, screen: LabScreen) -> None:
        """The settings, and whether there is a picture."""
        self.controls.show_screen(screen)
        self.note.setText(screen.note)
        index = tuple(View).index(screen.params.view)
        self.view.set_chosen(index)
        self._pages.setCurrentIndex(index)
        for widget in (self.table, self._takes):
            widget.setVisible(screen.params.view is not View.SENSITIVITY)
        self.text.set_hint(self._hint(screen))
        self.completions.set_hint(self._hint(screen))
        self._stack.setCurrentIndex(0 if screen.stage.kind is Kind.READY else 1)
        self.state.show_stage(screen.stage)
        self._let_stop(screen.running)

    @staticmethod
    def _hint(screen: LabScreen) -> str:
        if screen.running:
            return "The copies are being measured, one after the other."
        return "Press “Measure” at the right: a second copy in each format reads the text and writes."

    def show_rows(self, rows: tuple[SchemeRow, ...], selected: int) -> None:
        """The table."""
        shown = [Row(each.cells, faint=bool(each.problem), tooltip=each.problem) for each in rows]
        self.table.set_rows(shown)
        self.table.select((selected,))

    def show_pictures(self, pictures: Pictures) -> None:
        """What is below the table."""
        self.matrices.show_plot(pictures.matrices)
        self.weights.show_plot(pictures.weights)
        self.errors.show_plot(pictures.errors)
        self.damage.show_plot(pictures.damage)
        self.caption.setText(pictures.caption)
        if pictures.measured is not self._measured or pictures.measured is None:
            self._measured = pictures.measured
            self.text.show_damage(pictures.measured, pictures.problem)
            self.completions.show_completions(pictures.measured, pictures.problem)

    def show_sensitivity(self, screen: SensitivityScreen | None, why_not: str) -> None:
        """The parts of the model, or why there are none."""
        self.sensitivity.show_sensitivity(screen, why_not)

    # --- what the user does ---------------------------------------------------------------------------------------

    @Slot(int, int)
    def _matrix_picked(self, series: int, point: int) -> None:
        if self._tab is not None:
            self._tab.pick(series, point)

    @Slot(object)
    def _row_picked(self, rows: tuple[int, ...]) -> None:
        if self._tab is not None and rows:
            self._tab.select(rows[0])

    def _take(self, what: str, kind: str, _checked: bool = False) -> None:
        if self._tab is not None:
            self._tab.export(what, kind)
