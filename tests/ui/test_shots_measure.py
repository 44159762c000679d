"""The tab Measure on screen."""

from __future__ import annotations

import numpy as np
from pytestqt.qtbot import QtBot

from llmlab.ui.panels.shots.measure.page import REPORT_CHART, MeasurePage
from llmlab.ui.widgets.chart.plot import Axis, Plot, Series


def test_a_report_has_the_chart_as_wide_as_a_page_in_every_window(qtbot: QtBot) -> None:
    page = MeasurePage()
    qtbot.addWidget(page)
    page.chart.show_plot(Plot(Axis("shots"), Axis("accuracy"), (Series("a", np.arange(3.0), np.arange(3.0)),)))
    drawn = []
    for width in (500, 1100):
        page.chart.resize(width, 250)
        drawn.append(page.svg())
    assert drawn[0] == drawn[1]
    assert f'viewBox="0 0 {REPORT_CHART.width()} {REPORT_CHART.height()}"' in drawn[0]
    assert "accuracy" in drawn[0]
