"""The tab "Measure" on screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.shots.measure import plots
from llmlab.ui.panels.shots.measure.confusion_view import ConfusionView
from llmlab.ui.panels.shots.measure.controls import MeasureControls
from llmlab.ui.panels.shots.measure.found import Found
from llmlab.ui.panels.shots.measure.item_table import ItemTable
from llmlab.ui.panels.shots.measure.params import Comparison
from llmlab.ui.panels.shots.measure.presenter import Measuring, Screen
from llmlab.ui.screen import Kind
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "Measured over a test set",
    "Every item is asked under every condition; the answer is the label with the highest score, or what the model "
    "writes. Bands and whiskers are 95 % intervals: Wilson's for shares, bootstrap for the rest; with several seeds "
    "every item counts once. Click a point or a bar to list its items below. With exchanged labels, a model that reads "
    "the shots follows the exchange; one that only takes their form does not. A run that was stopped goes on where it "
    "was.",
    "McNemar: exact p = 2 · P(X ≤ min(wins, losses)), X ~ Binomial(wins + losses, ½)\n"
    "influence of a shot = mean over items of log p(truth | all) − log p(truth | all but it)",
)


class MeasurePage(QWidget):
    """The chart over the items and the confusion matrix; is the view of `Measuring`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Measuring | None = None
        self._panel: PanelView | None = None
        self._shown: Found | None = None
        self._escape: QShortcut | None = None
        self.controls = MeasureControls()
        self.state = StateView()
        self.headline = ElidedLabel()
        self.export = menu_button("export", "Copy every outcome", "Copy or export")
        self.chart = Chart("Measurement")
        self.items = ItemTable()
        self.confusion = ConfusionView()
        self._stack = QStackedWidget()
        self._lay_out()
        self.state.acted.connect(lambda name: self._tab and self._tab.act(name))
        self.items.chosen.connect(lambda key: self._tab and self._tab.choose(key))
        self.chart.picked.connect(self._picked)
        self.export.clicked.connect(lambda: self._export("copy"))
        for label, kind in (
            ("Copy every outcome", "copy"),
            ("Copy as Python", "python"),
            ("Export as CSV…", "csv"),
            ("Export as JSON…", "json"),
            ("Report as Markdown…", "md"),
            ("Report as a web page…", "html"),
        ):
            self.export.menu().addAction(label, lambda kind=kind: self._export(kind))

    def _lay_out(self) -> None:
        below = QSplitter(Qt.Orientation.Horizontal)
        below.setChildrenCollapsible(False)
        below.addWidget(self.items)
        below.addWidget(self.confusion)
        below.setStretchFactor(0, 1)
        below.setSizes([610, 230])
        halves = QSplitter(Qt.Orientation.Vertical)
        halves.setChildrenCollapsible(False)
        halves.addWidget(self.chart)
        halves.addWidget(below)
        halves.setSizes([320, 270])
        picture = QWidget()
        inside = QVBoxLayout(picture)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(theme.SPACE // 2)
        inside.addWidget(row((self.headline, self.export, HelpButton(HELP)), stretch=self.headline))
        inside.addWidget(halves, stretch=1)
        self._stack.addWidget(self.state)
        self._stack.addWidget(picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)

    def attach(self, tab: Measuring, panel: PanelView) -> None:
        """`tab` is told what the user does; `panel` has the clipboard and the dialogs."""
        self._tab, self._panel = tab, panel
        self.controls.attach(tab)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self).activated.connect(tab.run)
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.activated.connect(tab.stop)
        self._escape.setEnabled(False)
        panel.attach_chart(self.chart, "shots")

    # --- what the presenter asks for ------------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        self._stack.setCurrentIndex(int(screen.stage.kind is Kind.READY))
        self.state.show_stage(screen.stage)
        self.controls.show_screen(screen)
        if self._escape is not None:
            self._escape.setEnabled(screen.running)

    def show_found(self, shown: Found | None) -> None:
        self._shown = shown
        self.chart.show_plot(plots.plot(shown))
        self.items.show_found(shown)
        self.confusion.show_confusion(shown.confusion if shown else None)
        self.confusion.setVisible(shown is not None and shown.confusion is not None)
        if shown is not None:
            part = "" if shown.count == shown.total else f" · {shown.count:,} of {shown.total:,} prompts"
            cut = f" · {shown.cut:,} prompts had no room for all shots" if shown.cut else ""
            self.headline.setText(shown.headline + part + cut)

    def svg(self) -> str:
        return self.chart.svg()

    def copy(self, text: str) -> None:
        if self._panel is not None:
            self._panel.copy(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        if self._panel is not None:
            self._panel.ask_path(name, kinds, then)

    # --- what the user does ---------------------------------------------------------------------------------------

    def _picked(self, series: int, point: int) -> None:
        if self._tab is None or self._shown is None:
            return
        if self._shown.test is not Comparison.SWEEP:
            self._tab.choose(self._shown.bars[point].key)
            return
        found = self._shown.curve[point]
        seeds = [seed for seed, _ in found.seeds]
        seed = seeds[min(max(series - 1, 0), len(seeds) - 1)]
        self._tab.choose(f"k={found.count} seed={seed}")

    def _export(self, kind: str) -> None:
        if self._tab is not None:
            self._tab.export(kind)
