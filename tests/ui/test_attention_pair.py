"""The neuron tab's widgets: nothing is cut off, every number can be reached with mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontMetrics, QGuiApplication
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.panels.attention.pair_dimensions import signed_color
from llmlab.ui.panels.attention.pair_pane import PairPane
from llmlab.ui.panels.attention.pair_part import Pairing
from tests.presenters.attention_tabs import Stand, stand

Make = Callable[..., tuple[PairPane, Stand]]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    def start(**focus: object) -> tuple[PairPane, Stand]:
        around, pane = stand(**focus), PairPane()
        qtbot.addWidget(pane)
        pane.resize(560, 430)
        part = around.part = Pairing(around.asking, around, pane)
        pane.attach(part)
        part.bring(around.reading)
        around.run()
        pane.show()
        return pane, around

    return start


def test_the_chain_wraps_and_is_never_cut(make: Make) -> None:
    pane, _ = make()
    assert [text.split()[0] for text in pane.chain.texts] == ["q", "scaled", "score", "weight"]
    for width in (600, 300, 180):
        places = pane.chain._places(width)
        assert all(box.left() - before >= 0 and box.right() <= width for before, box in places)
        assert pane.chain.heightForWidth(width) >= places[-1][1].bottom()
    for link, (_, box) in zip(pane.chain._links, pane.chain._places(300), strict=True):
        assert QFontMetrics(pane.chain._font).horizontalAdvance(link.shown) <= box.width()


def test_a_dimension_tells_its_numbers_to_mouse_and_keyboard(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    pair = around.part.pair
    assert pair is not None
    area = pane.dimensions._area
    qtbot.mouseMove(pane.dimensions, QPoint(round(area.left() + area.width() * 2.5 / 8), 60))
    qtbot.waitUntil(lambda: pane.dimensions.card is not None)
    card = pane.dimensions.card
    assert card is not None
    assert card.title == "dimension 2"
    assert dict(card.facts)["q·k"] == f"{pair.view.products[2]:.6f}".replace("-", "−")
    qtbot.keyClick(pane.dimensions, Qt.Key.Key_Right)
    assert pane.dimensions.card is not None
    assert pane.dimensions.card.title == "dimension 3"
    for _ in range(9):
        qtbot.keyClick(pane.dimensions, Qt.Key.Key_Right)
    last = pane.dimensions.card
    assert dict(last.facts)["sum so far"] == f"{pair.view.dot:.6f}".replace("-", "−")


def test_sorting_moves_the_bars(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    assert pane.dimensions.order == list(range(8))
    before = pane.dimensions.grab().toImage()
    pane.orders.chosen.emit(1)
    products = around.part.pair.view.products
    shown = [products[index] for index in pane.dimensions.order]
    assert shown == sorted(shown, reverse=True)
    assert pane.dimensions.grab().toImage() != before


def test_the_list_and_the_fields_choose_query_and_key(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    keys = [row.key for row in around.part.pair.row]
    qtbot.mouseClick(pane.keys, Qt.MouseButton.LeftButton, pos=QPoint(20, pane.keys.line * 2 + 4))
    around.run()
    assert pane.key.value() == keys[2]
    qtbot.keyClick(pane.keys, Qt.Key.Key_Up)
    around.run()
    assert pane.key.value() == keys[1]
    pane.query.setValue(2)
    around.run()
    assert around.reading.focus.queries == (2,)
    assert pane.key.value() == int(around.capture.weights(1, 2)[2].argmax())
    pane.key.setValue(0)
    around.run()
    assert around.part.pair.view.key_index == 0
    assert pane.key.maximum() == 5


def test_copying_puts_the_table_on_the_clipboard(make: Make) -> None:
    pane, around = make()
    pane._copy.click()
    assert QGuiApplication.clipboard().text() == around.part.table()
    assert "dimension\tquery\tkey\tproduct" in around.part.table()


def test_without_a_single_head_the_page_says_what_to_do(make: Make) -> None:
    pane, around = make(head=None)
    assert pane.state.isVisible()
    assert "Choose a single head" in pane.state.text
    around.look(head=1)
    around.run()
    assert pane.dimensions.isVisible()


def test_signs_have_colours_that_differ_without_red_and_green(scheme: str) -> None:
    colors = theme.current()
    assert signed_color(0.0) == colors.base
    assert signed_color(2.0) == colors.bar_kept
    assert signed_color(-1.0) == colors.cut_line
    assert signed_color(float("nan")) == colors.error_base
