"""The bars: rows, cut lines, keyboard, copies, at a vocabulary of 152,000."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontMetrics, QGuiApplication
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from llmlab.engine.sampling import Cut, SamplingSettings, SortedLogits, shape
from llmlab.ui import theme
from llmlab.ui.widgets import bars as bars_module
from llmlab.ui.widgets.bar_paint import NARROW, NARROWER, Axis, Columns, band_text
from llmlab.ui.widgets.bar_rows import BarRows, Canvas
from llmlab.ui.widgets.bars import ProbabilityBars

SETTINGS = SamplingSettings(temperature=0.7, top_k=20, top_p=0.97, min_p=0.15)
REASONS = {Cut.TOP_K: "top-k 20", Cut.TOP_P: "top-p 0.97", Cut.MIN_P: "min-p 0.15"}


def text_of(token_id: int) -> str:
    return f" tok{token_id}"


@pytest.fixture
def bars(qtbot: QtBot, big: SortedLogits) -> ProbabilityBars:
    widget = ProbabilityBars()
    qtbot.addWidget(widget)
    widget.resize(800, 400)
    widget.set_distribution(shape(big, SETTINGS), text_of, REASONS)
    widget.set_use_label("Append")
    widget.show()
    return widget


@pytest.fixture
def rows(big: SortedLogits) -> BarRows:
    return BarRows.of(shape(big, SETTINGS), text_of, REASONS)


# --- rows and places --------------------------------------------------------------------------------------------


def test_cut_lines_stand_where_the_reason_changes(rows: BarRows) -> None:
    expected = [i for i in range(1, 60) if rows.shaped.cut[i] != rows.shaped.cut[i - 1]]
    assert [row for row, _ in rows.cuts] == expected
    assert rows.cuts[0][0] == rows.shaped.kept
    assert rows.cuts[-1] == (20, Cut.TOP_K)
    first = band_text(rows, *rows.cuts[0])
    assert first.startswith("min-p 0.15 cuts here")
    assert f"leaves {rows.shaped.kept} of 152,000 tokens" in first
    assert f"{rows.shaped.kept_mass:.4f} of the mass" in first
    assert "mass" not in band_text(rows, *rows.cuts[-1])


def test_tokens_the_model_rules_out_have_a_line_of_their_own() -> None:
    logits = np.array([3.0, -np.inf, 1.0, -np.inf], np.float32)
    rows = BarRows.of(shape(SortedLogits.from_logits(logits), SamplingSettings()), text_of, {})
    assert rows.cuts == ((2, Cut.IMPOSSIBLE),)
    assert "rules out" in band_text(rows, 2, Cut.IMPOSSIBLE)


def test_nothing_is_cut_without_settings(big: SortedLogits) -> None:
    rows = BarRows.of(shape(big, SamplingSettings()), text_of, {})
    assert rows.cuts == ()


@given(st.integers(1, 300), st.lists(st.integers(1, 299), max_size=5, unique=True))
def test_every_row_is_found_where_it_lies(count: int, cuts: list[int]) -> None:
    canvas = Canvas(count, 22, 17, tuple(sorted(cut for cut in cuts if cut < count)))
    bottom = 0
    for row in range(count):
        top = canvas.top(row)
        assert top in (bottom, bottom + 17)
        assert canvas.row_at(top) == canvas.row_at(top + 21) == row
        if row in canvas.cuts:
            assert canvas.row_at(top - 1) == row, "the band belongs to the row below it"
        bottom = top + 22
    assert canvas.height == bottom


def test_a_row_knows_everything_exactly(rows: BarRows) -> None:
    row = rows.row(0)
    assert row.token_id == rows.shaped.ids[0]
    facts = dict(rows.facts(0))
    assert facts["logit"] == "16"
    assert float(facts["raw probability"]) == pytest.approx(float(rows.shaped.raw_probabilities[0]), rel=1e-8)
    assert np.float32(facts["after settings"]) == rows.shaped.probabilities[0], "no digit is lost"
    assert dict(rows.facts(30))[""] == "cut by top-k 20"
    assert row.line.split("\t")[:3] == ["1", f"␣tok{row.token_id}", str(row.token_id)]


def test_columns_give_way_but_never_overlap(bars: ProbabilityBars) -> None:
    metrics = QFontMetrics(theme.monospace())
    for width in range(380, 2000, 40):
        columns = Columns.fit(width, metrics, 152_000)
        assert (columns.id_right is None) == (width < NARROW)
        assert (columns.logit_right is None) == (width < NARROWER)
        assert columns.rank_right < columns.token_left
        assert columns.token_left + columns.token_width < columns.bar_left
        assert columns.bar_left + columns.bar_width <= columns.raw_right - columns.number_width
        assert columns.raw_right < columns.p_right - columns.number_width
        assert columns.p_right < width


@given(st.floats(0, 1), st.floats(0.001, 1))
def test_bars_are_as_long_as_the_axis_says(probability: float, limit: float) -> None:
    assert Axis(limit).share(probability) == pytest.approx(min(1, probability / limit))
    assert 0 <= Axis(limit, True).share(probability) <= 1


def test_the_logarithmic_axis_has_equal_decades() -> None:
    axis = Axis(1, logarithmic=True)
    shares = [axis.share(10.0**-k) for k in range(7)]
    assert np.diff(shares) == pytest.approx([-1 / 6] * 6)
    assert axis.ticks[-1] == (1, "1")
    assert axis.ticks[0] == (0, "10⁻⁶")


# --- the widget -------------------------------------------------------------------------------------------------


def test_only_rows_in_sight_are_looked_up(qtbot: QtBot, big: SortedLogits) -> None:
    asked: list[int] = []
    widget = ProbabilityBars()
    qtbot.addWidget(widget)
    widget.resize(700, 300)
    widget.set_distribution(shape(big, SETTINGS), lambda i: (asked.append(i), "x")[1], REASONS)
    widget.show()
    widget.grab()
    assert 5 < len(set(asked)) < 20
    asked.clear()
    widget.set_current_row(151_999)
    widget.grab()
    assert len(set(asked)) < 20
    assert int(widget.rows.shaped.ids[-1]) in asked  # type: ignore[union-attr]


def test_the_last_row_ends_at_the_bottom(bars: ProbabilityBars) -> None:
    bars.set_current_row(10**9)
    assert bars.current_row == 151_999
    assert bars.row_rect(151_999).bottom() == bars.viewport().rect().bottom()


def test_the_keyboard_reaches_every_row(qtbot: QtBot, bars: ProbabilityBars) -> None:
    bars.setFocus()
    for key, expected in (
        (Qt.Key.Key_Down, 0),
        (Qt.Key.Key_Down, 1),
        (Qt.Key.Key_Up, 0),
        (Qt.Key.Key_Up, 0),
        (Qt.Key.Key_End, 151_999),
        (Qt.Key.Key_Home, 0),
    ):
        qtbot.keyClick(bars, key)
        assert bars.current_row == expected
    qtbot.keyClick(bars, Qt.Key.Key_PageDown)
    page = bars.current_row
    assert 5 < page < 25
    qtbot.keyClick(bars, Qt.Key.Key_PageUp)
    assert bars.current_row == 0
    qtbot.keyClick(bars, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert bars.rows is not None
    assert QGuiApplication.clipboard().text() == bars.rows.row(0).line
    assert "Rank 1, token ␣tok17, probability" in bars.accessibleDescription()


def test_a_click_makes_current_and_a_double_click_chooses(qtbot: QtBot, bars: ProbabilityBars) -> None:
    chosen: list[tuple[int, str]] = []
    bars.chosen.connect(lambda token_id, text: chosen.append((token_id, text)))
    place = bars.row_rect(3).center()
    qtbot.mouseClick(bars.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert bars.current_row == 3
    qtbot.mouseDClick(bars.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert bars.rows is not None
    token = bars.rows.row(3)
    assert chosen == [(token.token_id, token.text)]
    bars.set_use_label("")
    qtbot.keyClick(bars, Qt.Key.Key_Return)
    assert len(chosen) == 1, "nothing to choose for"


def test_hovering_tells_the_exact_values(bars: ProbabilityBars) -> None:
    assert bars.rows is not None
    card = bars.card(2)
    assert card.title == f"␣tok{bars.rows.row(2).token_id}"
    assert np.float32(dict(card.facts)["after settings"]) == bars.rows.shaped.probabilities[2]
    bars._show_card(bars.row_rect(2).center(), bars.mapToGlobal(QPoint(50, 50)))
    assert bars._card.isVisible()
    assert bars._card.card == card
    bars.verticalScrollBar().setValue(500)
    assert not bars._card.isVisible(), "the row under the mouse is another one now"


def test_the_menu_copies_every_value_and_asks_for_exports(bars: ProbabilityBars) -> None:
    asked: list[str] = []
    bars.export_asked.connect(asked.append)
    bars.set_current_row(1)
    assert bars.rows is not None
    row = bars.rows.row(1)
    menu: QMenu = bars.menu()
    actions = {action.text(): action for action in menu.actions() if action.text()}
    for name, expected in (
        ("Copy token text", row.text),
        ("Copy token id", str(row.token_id)),
        ("Copy logit", "15"),
        ("Copy row", row.line),
    ):
        actions[name].trigger()
        assert QGuiApplication.clipboard().text() == expected
    for name in ("Copy all rows", "Export as CSV…", "Export as JSON…"):
        actions[name].trigger()
    assert asked == ["copy", "csv", "json"]
    assert "Append" in actions
    menu.close()


def search(qtbot: QtBot, bars: ProbabilityBars, text: str) -> bool:
    with qtbot.waitSignal(bars.searched) as blocker:
        bars.find_text(text)
    return bool(blocker.args[0])


def test_a_token_anywhere_in_the_vocabulary_is_found(qtbot: QtBot, bars: ProbabilityBars) -> None:
    assert bars.rows is not None
    last = int(bars.rows.shaped.ids[-1])
    assert search(qtbot, bars, f"tok{last}")
    assert text_of(last) in text_of(int(bars.rows.shaped.ids[bars.current_row]))
    assert search(qtbot, bars, "␣tok17"), "marks can be typed as well"
    first = bars.current_row
    assert search(qtbot, bars, "␣tok17")
    assert bars.current_row > first, "the next one"
    assert not search(qtbot, bars, "no such token")
    assert not search(qtbot, bars, "")


def test_a_search_ends_when_the_distribution_changes(qtbot: QtBot, bars: ProbabilityBars, big: SortedLogits) -> None:
    bars.find_text("no such token")
    with qtbot.waitSignal(bars.searched) as blocker:
        bars.set_distribution(shape(big, SamplingSettings()), text_of, {})
    assert blocker.args == [False]


def test_reshaping_keeps_the_place_and_the_current_token(bars: ProbabilityBars, big: SortedLogits) -> None:
    bars.set_current_row(40)
    assert bars.rows is not None
    token = int(bars.rows.shaped.ids[40])
    place = bars.verticalScrollBar().value()
    bars.set_distribution(shape(big, SamplingSettings(repetition_penalty=1.9, top_k=20)), text_of, REASONS)
    assert bars.verticalScrollBar().value() == place
    assert int(bars.rows.shaped.ids[bars.current_row]) == token


def test_the_cut_line_can_be_brought_into_sight(bars: ProbabilityBars, big: SortedLogits) -> None:
    bars.set_distribution(shape(big, SamplingSettings(top_k=1000)), text_of, {Cut.TOP_K: "top-k 1000"})
    bars.show_cut()
    assert bars.viewport().rect().contains(bars.row_rect(1000).topLeft())
    assert bars.viewport().rect().contains(bars.row_rect(999).topLeft())


def pixels(bars: ProbabilityBars, row: int) -> list[str]:
    image = bars.viewport().grab(bars.row_rect(row)).toImage()
    return [image.pixelColor(x, image.height() // 2).name() for x in range(image.width())]


def test_kept_bars_are_filled_and_cut_bars_are_not(bars: ProbabilityBars, scheme: str, big: SortedLogits) -> None:
    colors = theme.current()
    bars.set_distribution(shape(big, SamplingSettings(top_k=2)), text_of, {Cut.TOP_K: "top-k 2"})
    shaped = bars.rows.shaped  # type: ignore[union-attr]
    columns = bars._columns()
    for row in (0, 1):
        length = pixels(bars, row).count(colors.bar_kept.name())
        expected = columns.bar_width * float(shaped.probabilities[row]) / bars._axis.limit
        assert length == pytest.approx(expected, abs=4), "the bar's length is the probability"
    cut = pixels(bars, 2)
    assert colors.bar_kept.name() not in cut
    assert cut.count(colors.bar_cut.name()) == pytest.approx(
        columns.bar_width * float(shaped.raw_probabilities[2]) / bars._axis.limit, abs=2
    )


def test_an_empty_view_paints_and_takes_keys(qtbot: QtBot) -> None:
    widget = ProbabilityBars()
    qtbot.addWidget(widget)
    widget.show()
    widget.grab()
    qtbot.keyClick(widget, Qt.Key.Key_Down)
    assert widget.current_row == -1
    widget.show_cut()
    widget.clear()
    assert widget.menu().actions() == []


def test_a_smaller_distribution_after_a_larger_one(bars: ProbabilityBars) -> None:
    bars.set_current_row(151_999)
    small = SortedLogits.from_logits(np.arange(5, dtype=np.float32))
    bars.set_distribution(shape(small, SamplingSettings()), text_of, {})
    bars.grab()
    assert bars.verticalScrollBar().maximum() == 0
    assert bars.current_row < 5
    assert bars_module.COLUMNS
