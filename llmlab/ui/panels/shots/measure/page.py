"""The tab "Measure" on screen."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.shots.measure import plots
from llmlab.ui.panels.shots.measure.confusion_view import ConfusionView
from llmlab.ui.panels.shots.measure.controls import MeasureControls
from llmlab.ui.panels.shots.measure.found import Found
from llmlab.ui.panels.shots.measure.item_table import ItemTable
from llmlab.ui.panels.shots.measure.params import Comparison
from llmlab.ui.panels.shots.measure.presenter import Measuring, Screen
from llmlab.ui.tab_page import StagedPage, split
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.help import Help, HelpButton

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
EXPORTS = (
    ("Copy every outcome", "copy"),
    ("Copy as Python", "python"),
    ("Export as CSV…", "csv"),
    ("Export as JSON…", "json"),
    ("Report as Markdown…", "md"),
    ("Report as a web page…", "html"),
)
REPORT_CHART = QSize(720, 300)  # pixels: on A4 its letters are about as large as the text's


class MeasurePage(StagedPage):
    """The chart over the items and the confusion matrix; is the view of `Measuring`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Copy every outcome", EXPORTS, parent)
        self._shown: Found | None = None
        self.controls: MeasureControls = MeasureControls()
        self.chart = Chart("Measurement")
        self.items = ItemTable()
        self.confusion = ConfusionView()
        self._lay_out()
        self.items.chosen.connect(lambda key: self._tab and self._tab.choose(key))
        self.chart.picked.connect(self._picked)

    def _lay_out(self) -> None:
        below = split(self.items, self.confusion, (610, 230), upright=False, stretch=0)
        self._fill((self.headline, self.export, HelpButton(HELP)), split(self.chart, below, (320, 270)))

    def attach(self, tab: Measuring, panel: PanelView) -> None:
        super().attach(tab, panel)
        self.controls.attach(tab)
        self._add_keys(tab.run, tab.stop)
        panel.attach_chart(self.chart, "shots")

    # --- what the presenter asks for ------------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        self._show_stage(screen.stage, running=screen.running)
        self.controls.show_screen(screen)

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
        """As wide as a page and on white, so that it can be read on paper, however large and dark the window is."""
        drawn = Chart(self.chart.accessibleName())
        drawn.resize(REPORT_CHART)
        drawn.show_plot(self.chart.plot)
        with theme.on_paper():
            svg = drawn.svg()
        drawn.deleteLater()
        return svg

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
