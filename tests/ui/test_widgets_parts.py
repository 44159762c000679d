"""Numbers, scales, sliders, states and small parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from llmlab.ui.panels.decoding.escapes import escaped, unescaped
from llmlab.ui.panels.decoding.stops import StopStrings
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.help import Help, HelpButton, HelpPage
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MainButton, ShadeLegend
from llmlab.ui.widgets.scale import PLACES, Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.tokentext import visible

TOP_P = Knob("Top-p", Scale(0, 1, 2), 0.95, "Keeps the best.", 0.01, off=1)
TOP_K = Knob("Top-k", Scale(0, 1000, 0, logarithmic=True), 40, "Keeps k.", 1, off=0)
SCALES = [
    Scale(0, 2, 2),
    Scale(0, 1000, 0, True),
    Scale(1, 4000, 0, True),
    Scale(0, 1, 3, True, 0.001),
    Scale(0.5, 2, 2),
]


# --- text and numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", "␣the"),
        ("a b", "a␣b"),
        ("\n\n", "↵↵"),
        ("\t", "⇥"),
        ("\r\n", "␍↵"),
        ("", "∅"),
        ("é😀", "é😀"),
        ("\x1b", "␛"),
        ("\u200b", "⟨U+200B⟩"),
        ("\xa0x", "⟨U+00A0⟩x"),
        ("\u2028", "⟨U+2028⟩"),
    ],
)
def test_what_is_invisible_gets_a_mark(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(max_size=20))
def test_nothing_stays_invisible(text: str) -> None:
    assert visible(text)
    assert "\n" not in visible(text)
    assert " " not in visible(text)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.5000"), (1, "1.0000"), (0, "0"), (1e-4, "0.0001"), (3.14e-7, "3.1e-07")]
)
def test_probabilities_fit_and_are_never_rounded_to_nothing(value: float, shown: str) -> None:
    assert numbers.probability(value) == shown
    assert len(shown) <= 8


@given(st.floats(1e-12, 1))
def test_the_axis_holds_the_largest_bar_and_wastes_little(largest: float) -> None:
    limit = numbers.axis_limit(largest)
    assert largest <= limit * (1 + 1e-5)
    assert limit <= largest * 2.5 * (1 + 1e-5) or limit == 1


# --- scales and sliders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
def test_a_value_survives_its_place(scale: Scale) -> None:
    for place in range(PLACES + 1):
        value = scale.value(place)
        assert scale.minimum <= value <= scale.maximum
        again = scale.value(scale.place(value))
        assert again == pytest.approx(value, rel=0.02, abs=2 * scale.step)
    assert scale.value(0) == scale.minimum
    assert scale.value(PLACES) == scale.maximum
    places = [scale.value(place) for place in range(PLACES + 1)]
    assert places == sorted(places)


@pytest.fixture
def top_p(qtbot: QtBot) -> LabelledSlider:
    slider = LabelledSlider(TOP_P)
    qtbot.addWidget(slider)
    slider.show()
    return slider


@pytest.fixture
def top_k(qtbot: QtBot) -> LabelledSlider:
    slider = LabelledSlider(TOP_K)
    qtbot.addWidget(slider)
    slider.show()
    return slider


def values(slider: LabelledSlider) -> list[Any]:
    seen: list[Any] = []
    slider.changed.connect(seen.append)
    return seen


def test_moving_the_slider_changes_the_number(top_p: LabelledSlider) -> None:
    seen = values(top_p)
    top_p._slider.setValue(500)
    assert seen == [0.5]
    assert top_p._field.text() == top_p._field.locale().toString(0.5, "f", 2)
    top_p._slider.setValue(501)
    assert seen == [0.5], "the same value is no change"


def test_off_is_said_in_words_and_can_be_typed(qtbot: QtBot, top_k: LabelledSlider) -> None:
    seen = values(top_k)
    top_k._slider.setValue(0)
    assert top_k._field.text() == "off"
    for text, expected in (("7", 7), ("off", 0), ("123", 123)):
        top_k._field.selectAll()
        qtbot.keyClicks(top_k._field, text)
        qtbot.keyClick(top_k._field, Qt.Key.Key_Return)
        assert top_k.value == expected
    assert seen == [0, 7, 0, 123]
    assert all(isinstance(value, int) for value in seen)


def test_arrow_keys_move_by_one_step_and_pages_by_ten(qtbot: QtBot, top_k: LabelledSlider) -> None:
    for key, expected in (
        (Qt.Key.Key_Right, 41),
        (Qt.Key.Key_Up, 42),
        (Qt.Key.Key_Left, 41),
        (Qt.Key.Key_PageUp, 51),
        (Qt.Key.Key_PageDown, 41),
    ):
        qtbot.keyClick(top_k._slider, key)
        assert top_k.value == expected


def test_a_double_click_goes_back_to_the_default(qtbot: QtBot, top_p: LabelledSlider) -> None:
    top_p._slider.setValue(100)
    seen = values(top_p)
    qtbot.mouseDClick(top_p._slider, Qt.MouseButton.LeftButton)
    assert seen[-1] == 0.95
    assert top_p.value == 0.95


def test_a_disabled_knob_says_why(top_p: LabelledSlider) -> None:
    top_p.set_available(False, "Greedy ignores it.")
    assert not top_p._slider.isEnabled()
    assert not top_p._field.isEnabled()
    assert top_p._slider.toolTip().startswith("Greedy ignores it.")
    assert "Keeps the best." in top_p.toolTip()
    top_p.set_available(True)
    assert "Greedy" not in top_p.toolTip()
    assert top_p._slider.isEnabled()


def test_setting_a_value_is_silent_and_clamped(top_p: LabelledSlider) -> None:
    seen = values(top_p)
    top_p.set_value(7)
    assert top_p.value == 1
    assert seen == []


def wheel(widget: Any) -> None:
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        widget.mapToGlobal(place),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_scrolling_over_a_knob_does_not_turn_it(top_p: LabelledSlider) -> None:
    for part in (top_p._slider, top_p._field):
        part.clearFocus()
    wheel(top_p._slider)
    wheel(top_p._field)
    assert top_p.value == 0.95


def test_everything_has_an_accessible_name(top_p: LabelledSlider) -> None:
    assert top_p._field.accessibleName() == "Top-p"
    assert top_p._slider.accessibleName()


# --- states, help, small parts ----------------------------------------------------------------------------------


def test_states_say_what_they_are(qtbot: QtBot) -> None:
    state = StateView()
    qtbot.addWidget(state)
    state.show()
    chosen: list[str] = []
    state.example_chosen.connect(chosen.append)
    called: list[int] = []
    state.show_empty("Nothing yet", "Type something", ("Once & upon", "b"), (("Do it", lambda: called.append(1)),))
    assert state.text == "Nothing yet Type something"
    assert len(state.buttons) == 3
    state.buttons[0].click()
    state.buttons[1].click()
    assert (called, chosen) == ([1], ["Once & upon"])
    state.show_loading("Opening", "weights", 0.25)
    assert state.buttons == []
    assert state._bar.value() == 250
    state.show_loading("Opening")
    assert state._bar.maximum() == 0, "no fraction: busy"
    state.show_error("It broke.", "Mend it.")
    assert state.text == "It broke. Mend it."
    assert state._icon.isVisible()
    assert not state._bar.isVisible()


def test_help_opens_and_closes(qtbot: QtBot) -> None:
    button = HelpButton(Help("Bars", "They are bars.", "p = 1"))
    qtbot.addWidget(button)
    button.show()
    button.click()
    page = button.findChild(HelpPage)
    assert [label.text() for label in page.findChildren(QLabel)] == ["Bars", "They are bars.", "p = 1"]
    qtbot.keyClick(page, Qt.Key.Key_Escape)
    assert not page.isVisible()


def test_a_choice_reports_the_users_choice_only(qtbot: QtBot, scheme: str) -> None:
    choice = Choice((("A", "first"), ("B", "second")), "Letters")
    qtbot.addWidget(choice)
    seen: list[int] = []
    choice.chosen.connect(seen.append)
    choice.set_chosen(1)
    assert seen == []
    choice._group.button(0).click()
    assert seen == [0]


def test_an_elided_label_gives_way_and_keeps_its_text(qtbot: QtBot) -> None:
    label = ElidedLabel()
    qtbot.addWidget(label)
    label.setText("x" * 500)
    assert label.minimumSizeHint().width() == 0
    assert label.toolTip() == label.text() == "x" * 500


def test_parts_paint_in_both_schemes(qtbot: QtBot, scheme: str) -> None:
    for widget in (MainButton("Generate"), ShadeLegend()):
        qtbot.addWidget(widget)
        assert not widget.grab().toImage().isNull()


# --- stop strings -----------------------------------------------------------------------------------------------


@given(st.text(max_size=20))
def test_escapes_come_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_an_unknown_escape_stays_as_it_is() -> None:
    assert unescaped("\\d\\") == "\\d\\"


def test_stop_strings_are_added_shown_escaped_and_removed(qtbot: QtBot) -> None:
    stops = StopStrings()
    qtbot.addWidget(stops)
    seen: list[Any] = []
    stops.changed.connect(seen.append)
    for text in ("\\n\\n", "end", "end", ""):
        stops._field.setText(text)
        qtbot.keyClick(stops._field, Qt.Key.Key_Return)
    assert seen == [("\n\n",), ("\n\n", "end")]
    assert stops.values == ("\n\n", "end")
    rows = [stops._rows.itemAt(i).widget() for i in range(2)]
    assert rows[0].findChild(QLabel).text() == "\\n\\n"
    rows[0].findChild(type(stops._add)).click()
    assert seen[-1] == ("end",)


def test_no_more_stop_strings_than_the_limit(qtbot: QtBot) -> None:
    stops = StopStrings()
    qtbot.addWidget(stops)
    stops.set_values(tuple(map(str, range(16))))
    assert not stops._field.isEnabled()


def test_log_is_the_natural_logarithm() -> None:
    assert float(numbers.log_probability(0.25)) == pytest.approx(math.log(0.25), abs=1e-4)
    assert numbers.log_probability(0) == "-∞"
