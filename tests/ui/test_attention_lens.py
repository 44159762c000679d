"""The logit lens tab's widgets: a table that paints what is seen, and the course of a position."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from llmlab.engine.attention.types import AttentionRequest
from llmlab.engine.errors import UnsupportedFeatureError
from llmlab.ui import theme
from llmlab.ui.panels.attention import lens_part
from llmlab.ui.panels.attention.lens_pane import MEASURES, LensPane
from llmlab.ui.panels.attention.lens_part import Lensing
from llmlab.ui.panels.attention.lens_values import LensMeasure
from tests.presenters.attention_cause import ROWS, CauseEngine
from tests.presenters.attention_tabs import TOKENS, Stand, shape_of
from tests.ui.attention_panes import cause_maker

Made = tuple[LensPane, Stand, CauseEngine]
Make = Callable[..., Made]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    return cause_maker(qtbot, LensPane, Lensing)


def test_a_loading_state_and_then_the_table(make: Make) -> None:
    pane, around, _ = make(run=False)
    assert pane.state.isVisible()
    assert "Reading the hidden states" in pane.state.text
    around.run()
    assert pane.table.isVisible()
    assert pane.chart.shown is not None
    assert "Position 5 “␣dog”" in pane.caption.text()


def test_a_click_shows_the_course_of_a_position(make: Make, qtbot: QtBot) -> None:
    pane, around, engine = make()
    cell = pane.table.cell_rect(3, 2).center()
    assert pane.table.cell_at(cell) == (3, 2)
    qtbot.mouseClick(pane.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    around.run()
    assert engine.followed[-1] == 2
    assert "Position 2" in pane.caption.text()


def test_hovering_tells_the_best_tokens_and_marks_the_prompt(make: Make, qtbot: QtBot) -> None:
    pane, around, _ = make()
    card = pane.table.card(0, 1)
    assert "“the”, position 1, embedding" in card.title
    assert len(card.bars) == 3
    assert card.bars[0].text == "↵"
    qtbot.mouseMove(pane.table.viewport(), pane.table.cell_rect(2, 3).center())
    qtbot.waitUntil(pane.table._card.isVisible)
    assert around.pointed[-1] == ("queries", 3)
    pane.hide()


def test_the_keyboard_walks_through_the_table(make: Make, qtbot: QtBot) -> None:
    pane, around, engine = make()
    pane.table.setFocus()
    qtbot.keyClick(pane.table, Qt.Key.Key_Up)
    assert "after the attention of layer 2" in pane.table.accessibleDescription()
    qtbot.keyClick(pane.table, Qt.Key.Key_Left)
    around.run()
    assert engine.followed[-1] == len(TOKENS) - 2
    for _ in range(20):
        qtbot.keyClick(pane.table, Qt.Key.Key_Left)
        qtbot.keyClick(pane.table, Qt.Key.Key_Up)
    around.run()
    assert engine.followed[-1] == 0
    assert "embedding" in pane.table.accessibleDescription()


def test_measures_colour_the_cells(make: Make) -> None:
    pane, _, _ = make()
    pictures = []
    for index in range(len(MEASURES)):
        pane.measure.chosen.emit(index)
        pictures.append(pane.table.grab().toImage())
        assert pane.legend.accessibleName().startswith("Colours")
    assert all(first != second for first, second in itertools.pairwise(pictures))
    pane.measure.chosen.emit(MEASURES.index(LensMeasure.RANK))
    assert pane.chart.shown is not None
    assert pane.chart.shown.ranks
    assert "rank of every token" in pane.caption.text()


def test_rows_after_attention_can_be_hidden(make: Make) -> None:
    pane, _, _ = make()
    whole = pane.table.verticalScrollBar().maximum() + pane.table.verticalScrollBar().pageStep()
    pane.attention.click()
    assert pane.chart.shown is not None
    assert len(pane.chart.shown.rows) == 4
    assert pane.table.cell_at(pane.table.cell_rect(len(ROWS) - 1, 5).center()) is None
    pane.attention.click()
    assert len(pane.chart.shown.rows) == len(ROWS)
    assert whole > 0


def test_without_rows_after_attention_the_switch_is_off(make: Make) -> None:
    pane, around, engine = make(run=False)
    engine.attention = False
    around.run()
    assert not pane.attention.isEnabled()
    assert not pane.attention.isChecked()
    assert "no rows after attention" in pane.note.text()


def test_long_texts_have_pages(make: Make, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> None:
    monkeypatch.setattr(lens_part, "WINDOW", 4)
    pane, around, engine = make()
    assert "Tokens 2 to 5 of 6." in pane.note.text()
    assert not pane.later.isEnabled()
    qtbot.mouseClick(pane.earlier, Qt.MouseButton.LeftButton)
    around.run()
    assert engine.read[-1][1] == (0, 4)
    assert not pane.earlier.isEnabled()
    assert "Position 5" in pane.caption.text()  # its course stays, though it is not among the columns


def test_a_wide_table_begins_at_its_end_and_scrolls(make: Make) -> None:
    tokens = tuple(f" t{i}" for i in range(300))
    pane, _, _ = make(shape_of("self", tokens))
    bar = pane.table.horizontalScrollBar()
    assert bar.value() == bar.maximum() > 0
    area = pane.table.viewport().rect()
    assert area.contains(pane.table.cell_rect(0, 299).center())
    last = pane.table.viewport().grab().toImage()
    bar.setValue(0)
    assert pane.table.cell_at(pane.table.cell_rect(1, 0).center()) == (1, 0)
    assert pane.table.viewport().grab().toImage() != last


def test_a_new_text_is_loaded_before_it_is_shown(make: Make) -> None:
    pane, around, _ = make()
    around.show(replace(around.reading, number=2, request=AttentionRequest("another")))
    assert pane.state.isVisible()
    around.run()
    assert not pane.state.isVisible()
    around.part.bring(None)
    assert pane.chart.shown is None


def test_what_cannot_be_read_says_why(make: Make) -> None:
    pane, around, engine = make(run=False)
    engine.fails = UnsupportedFeatureError("Its layers cannot be read one by one.", "Open another model.")
    around.run()
    assert pane.state.isVisible()
    assert "Open another model." in pane.state.text


def test_the_chart_names_every_token_of_a_place(make: Make, qtbot: QtBot) -> None:
    pane, _, _ = make()
    card = pane.chart.card(0)
    assert card.title == "Embedding"
    assert card.bars[0].number == "0.9900  rank 1"
    plot = pane.chart._plot()
    assert pane.chart.row_at(QPoint(int(plot.left()), int(plot.center().y()))) == 0
    assert pane.chart.row_at(QPoint(int(plot.right()), int(plot.center().y()))) == len(ROWS) - 1
    assert pane.chart.row_at(QPoint(1, 1)) == -1
    qtbot.mouseMove(pane.chart, plot.center().toPoint())
    qtbot.waitUntil(pane.chart._card.isVisible)
    pane.hide()


def test_the_table_can_be_copied(make: Make) -> None:
    pane, around, _ = make()
    pane._copy()
    around.run()
    assert QGuiApplication.clipboard().text().startswith("place,layer,position,token")


def test_colours_follow_the_scheme(make: Make) -> None:
    pane, _, _ = make()
    try:
        theme.set_scheme("light")
        light = pane.grab().toImage()
        theme.set_scheme("dark")
        assert pane.grab().toImage() != light
    finally:
        theme.set_scheme("system")
