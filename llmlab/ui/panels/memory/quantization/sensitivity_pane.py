"""The parts of the model on screen: the map, layers and kinds, the proxy; and which matrices to keep in 16 bits."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Slot
from PySide6.QtWidgets import QGridLayout, QPushButton, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.quantization.params import Sight
from llmlab.ui.panels.memory.quantization.sensitivity_map import SensitivityLegend, SensitivityMap
from llmlab.ui.panels.memory.quantization.sensitivity_screen import SensitivityScreen
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.column import combo_box
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, heading, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Sensitivity",
    "One part of the model is quantized, everything else stays as it is, and the whole model reads the text: what "
    "becomes of its predictions is that part's sensitivity. Layers, kinds of matrices and every single matrix are "
    "measured. The noise in the weights (SQNR) is known without reading anything; the points show whether it tells "
    "which matrices matter, and the bars whether damages add up. Mixed precision keeps the matrices in 16 bits that do "
    "most damage for the bytes they save. Weights alone are rounded: what 8-bit activations add in LLM.int8 is not "
    "part of it. A pass begins at the layer that changes; what lies before it is not computed again.",
    "sensitivity of m = 1/T · Σ KL(p ‖ p with m quantized)   over T predicted tokens, in nats\n"
    "kept first: the largest sensitivity / (bytes in 16 bits − bytes quantized)",
)
PROXY = (
    "Spearman's rank correlation of SQNR and damage over all matrices. At −1 the noise in the weights alone would tell "
    "which matrices matter; at 0 it tells nothing."
)
SIGHTS = (
    ("Parts", "What each layer, kind and matrix costs when it alone is quantized"),
    ("Mixed precision", "Which matrices to keep in 16 bits, and what that saves"),
)
COLUMNS = (
    Column("kept", "How many matrices are kept in 16 bits: this one and all above it", 5),
    Column("matrix", "The matrix that is kept next: layer and kind", 0, number=False),
    Column("KL alone", "What it costs to quantize this matrix and nothing else, in nats a token", 9),
    Column("bytes", "What keeping it in 16 bits takes more", 10),
    Column("KL / MB", "Damage saved for each MB (10⁶ bytes) that it takes more: the order of the list", 8),
    Column("model", "Bytes of the whole model then", 9),
    Column("sum", "The single damages of what is still quantized, summed: a prediction", 9),
    Column("measured", "The damage as measured, in nats a token", 10),
)


class SensitivityPane(QWidget):
    """`attach` is given the tab's part of the presenter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Any = None
        self._kept = -1  # the row of the list that was last brought into sight
        self.scheme = combo_box("Scheme", "How the parts are quantized")
        self.sight = Choice(SIGHTS, "What is shown of the parts")
        self.caption = ElidedLabel()
        self.export = menu_button("export", "Copy every part", "Copy or export")
        self.map, self.legend = SensitivityMap(), SensitivityLegend()
        self.layers, self.kinds = Chart("Damage of every layer"), Chart("Damage of every kind of matrix")
        self.proxy, self.proxy_title = Chart("SQNR against KL"), heading("")
        self.proxy_title.setToolTip(PROXY)
        self.curve, self.table = Chart("Bytes against KL of mixed precision"), RowTable(COLUMNS, "Matrices to keep")
        self.mix = QPushButton("Measure the curve")
        self.mix.setToolTip(
            "Measure what is predicted, with 0, 1, 2, 4, 8 … matrices kept, and as many as selected (Ctrl+Return)"
        )
        self.mixed_words = ElidedLabel()
        self.state = StateView()
        self._sights = QStackedWidget()
        self._stack = QStackedWidget()
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self._sights.addWidget(self._parts_page())
        self._sights.addWidget(self._mixed_page())
        self._stack.addWidget(self._sights)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        gap = QWidget()
        layout.addWidget(row((self.scheme, self.sight, gap, self.export, HelpButton(HELP)), stretch=gap))
        layout.addWidget(self.caption)
        layout.addWidget(self._stack, stretch=1)
        self._fill_menu()

    def _parts_page(self) -> QWidget:
        page = QWidget()
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(theme.SPACE // 2)
        gap = QWidget()
        grid.addWidget(row((heading("Every matrix"), self.legend, gap), stretch=gap), 0, 0)
        grid.addWidget(heading("Every layer"), 0, 1)
        grid.addWidget(self.map, 1, 0)
        grid.addWidget(self.layers, 1, 1)
        grid.addWidget(heading("Every kind"), 2, 0)
        grid.addWidget(self.proxy_title, 2, 1)
        grid.addWidget(self.kinds, 3, 0)
        grid.addWidget(self.proxy, 3, 1)
        for line, share in ((1, 6), (3, 5)):
            grid.setRowStretch(line, share)
        for column, share in ((0, 3), (1, 2)):
            grid.setColumnStretch(column, share)
        return page

    def _mixed_page(self) -> QWidget:
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(self.curve)
        both.addWidget(self.table)
        both.setStretchFactor(0, 1)
        both.setStretchFactor(1, 1)
        page = QWidget()
        self._mixed = QVBoxLayout(page)
        self._mixed.setContentsMargins(0, 0, 0, 0)
        self._mixed.setSpacing(theme.SPACE // 2)
        self._mixed.addWidget(row((self.mixed_words, self.mix), stretch=self.mixed_words))
        self._mixed.addWidget(both, stretch=1)
        return page

    def _fill_menu(self) -> None:
        menu = self.export.menu()
        menu.addAction("Copy every part", lambda: self._take("parts", "copy"))
        menu.addAction("Copy the list of matrices to keep", lambda: self._take("mixed", "copy"))
        menu.addSeparator()
        menu.addAction("Copy the measurement as Python", lambda: self._script("parts"))
        menu.addAction("Copy the mixed model as Python", lambda: self._script("mixed"))
        menu.addSeparator()
        for what, name in (("parts", "every part"), ("mixed", "the list of matrices to keep")):
            for kind in ("csv", "json"):
                label = f"Export {name} as {kind.upper()}…"
                menu.addAction(label).triggered.connect(partial(self._take, what, kind))

    def _connect(self) -> None:
        self.export.clicked.connect(lambda: self._take("parts", "copy"))
        self.scheme.activated.connect(lambda index: self._tab and self._tab.select(1 + index))
        self.sight.chosen.connect(lambda index: self._tab and self._tab.change(sight=tuple(Sight)[index]))
        self.mix.clicked.connect(lambda: self._tab and self._tab.sensitivity.measure_mixed())
        self.map.picked.connect(self._picked)
        self.proxy.picked.connect(self._point_picked)
        self.curve.picked.connect(self._curve_picked)
        self.table.picked.connect(self._row_picked)
        self.table.copy_asked.connect(lambda: self._take("mixed", "copy"))

    def attach(self, tab: Any, panel: PanelView) -> None:
        """`tab` is told what the user does; `panel` writes the pictures to files."""
        self._tab = tab
        for chart, name in (
            (self.map, "map"), (self.layers, "layers"), (self.kinds, "kinds"), (self.proxy, "proxy"),
            (self.curve, "mixed"),
        ):  # fmt: skip
            panel.attach_chart(chart, f"sensitivity-{name}")

    # --- what the part asks ---------------------------------------------------------------------------------------

    def show_sensitivity(self, screen: SensitivityScreen | None, why_not: str) -> None:
        """All of it, or why there is nothing."""
        for widget in (self.scheme, self.sight, self.export):
            widget.setEnabled(screen is not None)
        if screen is None:
            self.caption.setText("")
            self._stack.setCurrentIndex(1)
            self.state.show_empty("Nothing to measure", why_not)
            return
        self._show_head(screen)
        if screen.grid is None:
            self._stack.setCurrentIndex(1)
            if screen.problem:
                self.state.show_error("The parts cannot be measured", screen.problem)
            else:
                self.state.show_empty("Not measured yet", screen.hint)
            return
        self._stack.setCurrentIndex(0)
        self._show_parts(screen)
        self._show_mixed(screen)

    def _show_head(self, screen: SensitivityScreen) -> None:
        with QSignalBlocker(self.scheme):
            if tuple(self.scheme.itemText(i) for i in range(self.scheme.count())) != screen.schemes:
                self.scheme.clear()
                self.scheme.addItems(screen.schemes)
            self.scheme.setCurrentIndex(screen.selected)
        index = tuple(Sight).index(screen.sight)
        self.sight.set_chosen(index)
        self._sights.setCurrentIndex(index)
        self.caption.setText(screen.caption)

    def _show_parts(self, screen: SensitivityScreen) -> None:
        self.map.show_grid(screen.grid)
        self.legend.show_grid(screen.grid)
        self.layers.show_plot(screen.layers)
        self.kinds.show_plot(screen.kinds)
        self.proxy.show_plot(screen.proxy)
        self.proxy_title.setText(screen.proxy_words)

    def _show_mixed(self, screen: SensitivityScreen) -> None:
        self.curve.show_plot(screen.curve)
        self.mixed_words.setText(screen.mixed_words)
        self.mix.setEnabled(screen.can_mix)
        self.table.set_rows([Row(each.cells, faint=not each.kept) for each in screen.rows])
        self.table.select((screen.kept,) if screen.rows else ())
        if screen.rows and screen.kept != self._kept and self.table.isVisible():
            self._kept = screen.kept
            self._mixed.activate()  # before it is laid out, the table does not know how many rows it shows
            self.table.scrollTo(self.table.rows_model.index(screen.kept, 0))

    # --- what the user does ---------------------------------------------------------------------------------------

    @Slot(int, int)
    def _picked(self, line: int, column: int) -> None:
        if self._tab is not None and self.map.grid is not None:
            self._tab.look_into(self.map.grid.cells[line, column].matrices[0])

    @Slot(int, int)
    def _point_picked(self, _series: int, point: int) -> None:
        grid = self.map.grid
        if self._tab is not None and grid is not None:
            name = self.proxy.plot.series[0].labels[point]
            self._tab.look_into(next(part for part in grid.cells.values() if part.name == name).matrices[0])

    @Slot(int, int)
    def _curve_picked(self, series: int, point: int) -> None:
        if self._tab is not None:
            self._tab.sensitivity.keep(int(self.curve.plot.series[series].labels[point].split()[0]))

    @Slot(object)
    def _row_picked(self, rows: tuple[int, ...]) -> None:
        if self._tab is not None and rows:
            self._tab.sensitivity.keep(rows[0])

    def _take(self, what: str, kind: str, _checked: bool = False) -> None:
        if self._tab is not None:
            self._tab.sensitivity.export(what, kind)

    def _script(self, what: str) -> None:
        if self._tab is not None:
            self._tab.sensitivity.copy_script(what)
