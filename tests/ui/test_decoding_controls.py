"""The column of knobs: groups that fold, words, and the order in which the settings act."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QLabel, QToolButton
from pytestqt.qtbot import QtBot

from llmlab.engine.knobs import STAGES
from llmlab.ui.panels.decoding.controls import Controls
from llmlab.ui.panels.decoding.knob_specs import KNOBS, STAGE_NAMES
from llmlab.ui.panels.decoding.order_list import OTHER, STANDARD, OrderList
from llmlab.ui.panels.decoding.params import GROUPS, LIMITS, Params
from llmlab.ui.panels.decoding.stops import StopStrings
from llmlab.ui.panels.decoding.text_list import SHORT
from llmlab.ui.panels.decoding.word_list import WordList
from llmlab.ui.panels.decoding.words import TokenWord
from llmlab.ui.widgets.parts import MutedLabel


@pytest.fixture
def order(qtbot: QtBot) -> OrderList:
    made = OrderList()
    qtbot.addWidget(made)
    made.show()
    return made


def test_every_setting_has_a_name_and_every_slider_its_limits() -> None:
    assert set(STAGE_NAMES) >= set(STAGES)
    for name, knob in KNOBS.items():
        assert (knob.scale.minimum, knob.scale.maximum) == LIMITS[name]
        assert knob.default == getattr(Params(), name)


def test_the_order_is_moved_with_the_keyboard(qtbot: QtBot, order: OrderList) -> None:
    orders: list[tuple[str, ...]] = []
    order.changed.connect(orders.append)
    assert order.order == STAGES
    assert order._note.text() == STANDARD
    order.list.setCurrentRow(1)
    qtbot.keyClick(order.list, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    moved = (STAGES[0], STAGES[2], STAGES[1], *STAGES[3:])
    assert orders == [moved]
    assert order._note.text() == OTHER
    qtbot.keyClick(order.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert orders[-1] == (), "transformers' own order is no order of one's own"
    order.list.setCurrentRow(0)
    qtbot.keyClick(order.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert len(orders) == 2, "the first one stays"


def test_the_order_can_be_reset_and_says_which_settings_act(order: OrderList) -> None:
    orders: list[tuple[str, ...]] = []
    order.changed.connect(orders.append)
    order.set_order(tuple(reversed(STAGES)))
    order.set_acting(("top_p",))
    order._reset.click()
    assert orders == [()]
    assert not order._reset.isEnabled()
    bold = [order.list.item(row).text() for row in range(order.list.count()) if order.list.item(row).font().bold()]
    assert bold == ["Top-p"]


def test_words_are_added_weighed_and_removed(qtbot: QtBot) -> None:
    words = WordList("Biased words", "tip", biased=True)
    qtbot.addWidget(words)
    values: list[object] = []
    words.changed.connect(values.append)
    words._field.setText("cat")
    qtbot.keyClick(words._field, Qt.Key.Key_Return)
    words._field.setText("a\\nb")
    words._add.click()
    assert words.values == (("cat", 2.0), ("a\nb", 2.0))
    number = words._shown[0].findChildren(QDoubleSpinBox)[0]
    number.setValue(-3.5)
    assert values[-1] == (("cat", -3.5), ("a\nb", 2.0))
    words._field.setText("cat")
    words._add.click()
    assert len(values) == 3, "already there"
    words._change({"a\nb": 2.0})
    assert words.values == (("a\nb", 2.0),)


def test_words_by_ids_show_their_tokens_and_are_muted_under_another_tokenizer(qtbot: QtBot) -> None:
    words = WordList("Biased words", "tip", biased=True)
    qtbot.addWidget(words)
    cat = TokenWord((7, 5), (" the", " cat"))
    words.set_values((("cat", 1.0), (cat, -2.125)))
    label = words._shown[1].findChildren(QLabel)[0]
    assert label.text() == "␣the|␣cat"
    assert label.toolTip() == "Exactly these tokens, in no other spelling: 7 ␣the, 5 ␣cat"
    number = words._shown[1].findChildren(QDoubleSpinBox)[0]
    assert number.text() == f"{words.locale().toString(-2.125, 'g', 7)}", "not rounded"
    assert not isinstance(label, MutedLabel)
    words.set_inactive((cat,))
    muted = words._shown[1].findChildren(QLabel)[0]
    assert isinstance(muted, MutedLabel)
    assert "another tokenizer" in muted.toolTip()
    values: list[object] = []
    words.changed.connect(values.append)
    words._shown[1].findChildren(QToolButton)[0].click()
    assert values == [(("cat", 1.0),)]


def test_of_a_long_list_the_first_are_shown_and_all_can_be_removed_at_once(qtbot: QtBot) -> None:
    stops = StopStrings()
    qtbot.addWidget(stops)
    stops.show()
    stops.set_values(tuple(f"s{index}" for index in range(SHORT)))
    assert not stops._long.isVisible()
    stops.set_values(tuple(f"s{index}" for index in range(SHORT + 4)))
    assert (len(stops._shown), stops._all.text()) == (SHORT, f"Show all {SHORT + 4}")
    stops._all.click()
    assert (len(stops._shown), stops._all.text()) == (SHORT + 4, "Show fewer")
    values: list[object] = []
    stops.changed.connect(values.append)
    stops._none.click()
    assert values == [()]
    assert not stops._long.isVisible()


def test_groups_fold_and_say_how_much_is_in_use(controls: Controls) -> None:
    changes: list[dict[str, object]] = []
    controls.changed.connect(changes.append)
    groups = controls.groups
    assert tuple(groups) == GROUPS
    assert not controls.sliders["presence_penalty"].isVisible()
    groups["Penalties"]._button.click()
    assert controls.sliders["presence_penalty"].isVisible()
    assert changes[-1] == {"folded": ("Words", "Order")}
    controls.show_use(Params(presence_penalty=1.0, top_k=0, typical_p=0.5, banned=("x",)))
    notes = {name: group._note.text() for name, group in groups.items()}
    assert notes == {
        "Shape": "", "Cut-offs": "2 on", "Penalties": "1 on", "Words": "1 on", "Length": "", "Order": ""
    }  # fmt: skip


def test_another_order_is_said_where_one_looks(controls: Controls) -> None:
    assert not controls._order_note.isVisible()
    controls.show_params(Params(order=tuple(reversed(STAGES))))
    QApplication.processEvents()
    assert controls._order_note.isVisible()
    controls.show_params(Params(top_k=0, top_p=1.0, order=tuple(reversed(STAGES))))
    assert not controls._order_note.isVisible(), "with one setting there is no order"


def test_reset_puts_everything_back_that_decides_how_a_token_is_chosen(controls: Controls) -> None:
    changed = Params(
        typical_p=0.4, banned=("a",), biases=(("b", 1.0),), order=tuple(reversed(STAGES)), max_new_tokens=7
    )
    controls.show_params(changed)
    changes: list[dict[str, object]] = []
    controls.changed.connect(changes.append)
    controls.reset.click()
    after = Params(**{**changed.to_dict(), **changes[0]})
    assert after.sampling == Params().sampling
    assert after.max_new_tokens == 7
    assert controls.banned.values == controls.biases.values == ()
    assert controls.sliders["typical_p"].value == 1.0
