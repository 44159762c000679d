"""How small the window may be made: every panel says so by itself, with real content on screen."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from llmlab import snapshots
from llmlab.app import PANELS
from llmlab.ui.widgets.wrapping import wrapping_row
from tests.ui.journey import OpenLab, open_lab

__all__ = ["open_lab"]

# Pixels, with the fonts of a Debian without a desktop; with others a few more or less.
WIDEST = 1000
HIGHEST = 640  # what a screen of 768 lines leaves below a title and above a task bar


@pytest.mark.parametrize("name", [spec.name for spec in PANELS])
def test_the_window_can_be_made_small(open_lab: OpenLab, name: str) -> None:
    lab = open_lab()
    index = [spec.name for spec in PANELS].index(name)
    lab.window.show_panel(index)
    assert snapshots._stage(lab, PANELS[index].scenes[0], index) is None
    around = lab.window.minimumSizeHint() - lab.window._pictures.minimumSizeHint()
    least = around + lab.panels[index].picture.minimumSizeHint()
    assert least.width() <= WIDEST
    assert least.height() <= HIGHEST


@pytest.fixture
def page(qtbot: QtBot) -> QWidget:
    """Three buttons of 100 pixels, the last two behind a gap, over a large picture."""
    made, gap = QWidget(), QWidget()
    widgets = [QPushButton(word) for word in ("one", "two", "three")]
    for button in widgets:
        button.setFixedSize(100, 20)
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(wrapping_row((widgets[0], gap, *widgets[1:]), stretch=gap))
    layout.addWidget(QWidget(), stretch=1)
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def places(page: QWidget) -> list[tuple[int, int]]:
    return [button.mapTo(page, QPoint()).toTuple() for button in page.findChildren(QPushButton)]


def test_a_wide_row_is_one_line_and_the_gap_takes_what_is_left(page: QWidget) -> None:
    page.resize(500, 300)
    assert places(page) == [(0, 0), (296, 0), (400, 0)]


def test_a_narrow_row_goes_on_in_the_next_line_and_nothing_is_cut(page: QWidget) -> None:
    page.resize(250, 300)
    assert places(page) == [(0, 0), (150, 0), (0, 24)]
    assert page.minimumSizeHint().width() == 100
    page.resize(100, 300)
    assert places(page) == [(0, 0), (0, 24), (0, 48)]


def test_what_is_hidden_takes_no_room(qtbot: QtBot, page: QWidget) -> None:
    page.resize(250, 300)
    page.findChildren(QPushButton)[1].hide()
    qtbot.waitUntil(lambda: [places(page)[which] for which in (0, 2)] == [(0, 0), (150, 0)])
