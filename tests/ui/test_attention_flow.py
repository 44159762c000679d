"""The rollout tab's widgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.panels.attention.flow_pane import FlowPane
from llmlab.ui.panels.attention.flow_part import Flowing
from llmlab.ui.widgets.heatmap.view import CellAt
from tests.presenters.attention_tabs import Stand, shape_of, stand

Make = Callable[..., tuple[FlowPane, Stand]]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    def start(*shapes: Any, **focus: Any) -> tuple[FlowPane, Stand]:
        around, pane = stand(*shapes, **focus), FlowPane()
        qtbot.addWidget(pane)
        pane.resize(560, 430)
        part = around.part = Flowing(around.asking, around, pane)
        pane.attach(part)
        part.bring(around.reading)
        around.run()
        pane.show()
        return pane, around

    return start


def test_rows_of_the_map_are_pinned_one_by_one(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    assert pane.map.isVisible()
    ctrl = Qt.KeyboardModifier.ControlModifier
    for row, modifier in ((3, Qt.KeyboardModifier.NoModifier), (5, ctrl)):
        place = pane.map.rect_of(CellAt(row, 1)).center().toPoint()
        qtbot.mouseClick(pane.map, Qt.MouseButton.LeftButton, modifier, place)
    assert around.reading.focus.queries == (3, 5)
    assert pane.map_pinned == (3, 5)


def test_the_text_shows_what_reaches_a_token(qtbot: QtBot, make: Make, scheme: str) -> None:
    pane, around = make()
    around.change(scale="row")
    pane.modes.chosen.emit(1)
    assert pane.strip.isVisible()
    rect = pane.strip.token_rects(4)[0].center().toPoint()
    qtbot.mouseClick(pane.strip.viewport(), Qt.MouseButton.LeftButton, pos=rect)
    assert around.reading.focus.queries == (4,)
    weights = around.capture.rollout("self", slice(4, 5), None)[0]
    assert "␣the (4)" in pane.caption.text()
    corner = pane.strip.token_rects(1)[0].topLeft().toPoint() + QPoint(4, 0)
    shade = theme.probability_color(weights[1] / weights.max()).background
    assert pane.strip.viewport().grab().toImage().pixelColor(corner) == shade


def test_the_flow_has_a_button_progress_and_cancel(make: Make) -> None:
    pane, around = make()
    pane.modes.chosen.emit(2)
    assert pane.compute.text() == "Compute the flow from ␣dog"
    assert not pane.bar.isVisible()
    pane.compute.click()
    assert pane.bar.isVisible()
    assert not pane.compute.isEnabled()
    pane.cancel.click()
    assert pane.compute.isEnabled()
    pane.compute.click()
    around.run()
    assert not pane.bar.isVisible()
    assert "Computed" in pane.compute.text()
    assert pane.caption.text() == "what reaches ␣dog (5)"


def test_too_many_tokens_for_the_flow(make: Make) -> None:
    pane, _ = make(shape_of("self", tuple(f" t{i}" for i in range(60))))
    pane.modes.chosen.emit(2)
    assert not pane.compute.isEnabled()
    assert "at most 48" in pane.reason.text()


def test_words_stand_where_there_can_be_no_map(make: Make) -> None:
    pane, _ = make(shape_of("cross", ("a",), ("b", "c")))
    assert pane.state.isVisible()
    assert "one text" in pane.state.text


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_map_is_saved(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    pane, around = make()
    monkeypatch.setattr(pane, "ask_path", lambda name, kinds, then: then(tmp_path / name))
    action = next(each for each in pane._export.menu().actions() if each.text() == f"{kind.upper()}…")
    action.trigger()
    around.run()
    path = tmp_path / f"attention-rollout.{kind}"
    assert path.stat().st_size > 500
    if kind == "png":
        assert QImage(str(path)).width() == pane.map.width() * 3


def test_what_the_summary_leaves_out_is_said_on_screen(make: Make) -> None:
    pane, _ = make()
    labels = [label.text() for label in pane.findChildren(type(pane.caption).__mro__[1])]
    assert any("no measure of cause" in text for text in labels)
