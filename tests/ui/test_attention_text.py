"""The text tab's widgets: what is shaded and framed, and what the cards say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from llmlab.engine.errors import InputError
from llmlab.ui import theme
from llmlab.ui.panels.attention.text_pane import TextPane
from llmlab.ui.panels.attention.text_part import Texting
from llmlab.ui.widgets.strip import TokenStrip
from tests.presenters.attention_tabs import TARGET, TOKENS, Stand, shape_of, stand

Made = tuple[TextPane, Stand]
Make = Callable[..., Made]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    def start(*shapes: object, **focus: object) -> Made:
        around, pane = stand(*shapes, **focus), TextPane()  # type: ignore[arg-type]
        qtbot.addWidget(pane)
        pane.resize(620, 300)
        part = around.part = Texting(around.asking, around, pane)
        pane.attach(part)
        part.bring(around.reading)
        around.run()
        pane.show()
        return pane, around

    return start


def centre(strip: TokenStrip, token: int) -> QPoint:
    return strip.token_rects(token)[0].center().toPoint()


def background(strip: TokenStrip, token: int) -> QColor:
    """A pixel of the token's colour beside its letters."""
    rect = strip.token_rects(token)[0]
    return strip.viewport().grab().toImage().pixelColor(int(rect.left() + 3), int(rect.top() - 0))


def test_the_text_is_shaded_by_the_weights(make: Make, scheme: str) -> None:
    pane, around = make()
    around.change(scale="row")
    pane.queries.clearFocus()
    weights = around.capture.weights(1, 2)[5]
    for token in range(len(TOKENS) - 1):
        expected = theme.probability_color(weights[token] / weights.max()).background
        assert background(pane.queries, token) == expected
    assert pane.legend.texts == ("0", f"{weights.max():.3g}")


def test_a_click_pins_ctrl_adds_and_an_empty_place_lets_go(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    view = pane.queries.viewport()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=centre(pane.queries, 2))
    assert around.reading.focus.queries == (2,)
    assert pane.queries.selection == (2, 2)
    ctrl = Qt.KeyboardModifier.ControlModifier
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, ctrl, centre(pane.queries, 5))
    assert around.reading.focus.queries == (2, 5)
    assert pane.queries.selection == (-1, -1)
    assert "look, summed" in pane.caption.text()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, ctrl, centre(pane.queries, 2))
    assert around.reading.focus.queries == (5,)
    qtbot.keyClick(pane.queries, Qt.Key.Key_Escape)
    assert around.reading.focus.queries == ()
    around.look(queries=(1,))
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(view.width() - 4, view.height() - 4))
    assert around.reading.focus.queries == ()


def test_cards_tell_the_strongest_or_the_exact_weight(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    weights = around.capture.weights(1, 2)
    qtbot.mouseMove(pane.queries.viewport(), centre(pane.queries, 3))
    qtbot.waitUntil(lambda: pane.queries.card is not None)
    card = pane.queries.card
    assert card is not None
    best = int(weights[3].argmax())
    assert card.bars[0].number == f"{weights[3, best]:.4f}"
    assert len(card.bars) == 4, "only what may be seen"
    around.look(queries=(4,))
    qtbot.mouseMove(pane.queries.viewport(), centre(pane.queries, 2))
    qtbot.waitUntil(lambda: pane.queries.card is not None and "␣cat" in pane.queries.card.title)
    card = pane.queries.card
    assert card is not None
    assert (f"{weights[4, 2]:.6f}") in [value for _, value in card.facts]
    qtbot.mouseMove(pane.queries.viewport(), centre(pane.queries, 5))
    qtbot.waitUntil(lambda: pane.queries.card is not None and "dog" in pane.queries.card.title)
    assert pane.queries.card is not None
    assert "may not look" in pane.queries.card.facts[0][1]


def test_a_generated_token_is_named_beside_the_row_it_came_from(make: Make) -> None:
    pane, around = make(shape_of(generated=4))
    around.look(queries=(3,))
    assert pane.caption.text() == "where ␣saw (3) looks; ␣the was generated from this row"
    for query in (2, 5):
        around.look(queries=(query,))
        assert "generated" not in pane.caption.text()


def test_two_texts_for_cross_attention(qtbot: QtBot, make: Make) -> None:
    pane, around = make(shape_of("cross", TARGET, TOKENS))
    assert pane.keys.isVisible()
    assert not pane.axis.isVisible()
    weights = around.capture.weights(1, 2, "cross")
    qtbot.mouseClick(pane.keys.viewport(), Qt.MouseButton.LeftButton, pos=centre(pane.keys, 1))
    assert "who looks at" in pane.caption.text()
    expected = theme.probability_color(weights[2, 1] / weights[:, 1].max()).background
    assert background(pane.queries, 2) == expected
    assert background(pane.keys, 3) == theme.current().base


def test_weights_are_copied_for_a_table(make: Make) -> None:
    pane, around = make()
    around.look(queries=(1,))
    menu = QMenu()
    pane.queries.menu_asked.emit(menu)
    menu.actions()[0].trigger()
    lines = QGuiApplication.clipboard().text().split("\n")
    weights = around.capture.weights(1, 2)
    assert len(lines) == 1 + len(TOKENS)
    number, text, weight = lines[2].split("\t")
    assert (number, text) == ("1", "the")
    assert np.float32(weight) == weights[1, 1]
    assert lines[3].endswith("\t"), "masked: no number"
    menu.deleteLater()


def test_an_error_stands_in_the_texts_place_until_there_is_another(make: Make) -> None:
    pane, around = make()
    around.engine.fails = InputError("The map does not fit.", "Shorten the text.")
    around.look(head=1)
    around.run()
    assert pane.state.isVisible()
    assert "does not fit" in pane.state.text
    around.look(head=0)
    around.run()
    assert pane.queries.isVisible()
    around.part.bring(None)
    assert len(pane.queries) == 0
