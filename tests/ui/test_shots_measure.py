"""The tab Measure on screen."""

from __future__ import annotations

import numpy as np
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.panels.shots.measure.page import REPORT_CHART, MeasurePage
from llmlab.ui.widgets.chart.plot import Axis, Plot, Series


def test_a_report_has_the_chart_as_wide_as_a_page_in_every_window(qtbot: QtBot, scheme: str) -> None:
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
    assert theme.LIGHT.base.name() in drawn[0], "on white, in either scheme"
    assert theme.DARK.base.name() not in drawn[0]


def test_what_is_drawn_for_paper_is_light_and_the_window_is_not(qtbot: QtBot, scheme: str) -> None:
    before = theme.current()
    with theme.on_paper():
        assert theme.current() is theme.LIGHT
    assert theme.current() is before
    assert before.dark == (scheme == "dark")
