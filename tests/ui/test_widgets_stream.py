"""The stream of coloured tokens: places, hover, selection, whitespace, thousands of tokens."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFont, QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.widgets import flow
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.flow import Flow, utf16_length, utf16_split
from llmlab.ui.widgets.stream import Piece, StreamedTokens

TOKENS = ("Once", " upon", " a", " time", ",", "\n\n", "The", " 😀", " naïve", "\t", " end", ".\n")


@pytest.fixture
def stream(qtbot: QtBot) -> StreamedTokens:
    widget = StreamedTokens(lambda index: Card(f"token {index}"))
    qtbot.addWidget(widget)
    widget.resize(300, 200)
    widget.show()
    return widget


def fill(stream: StreamedTokens, count: int = len(TOKENS)) -> None:
    stream.append([Piece(TOKENS[i % len(TOKENS)], (i % 10) / 10) for i in range(count)])


# --- layout -----------------------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.integers(0, 30))
def test_utf16_is_split_between_characters(text: str, at: int) -> None:
    text = text.encode("utf-16-le", "ignore").decode("utf-16-le")
    position = utf16_length(text[:at])
    assert utf16_split(text, position) == (text[:at], text[at:])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*TOKENS, "w" * 90, " ", "é", "日本語テキスト"]), max_size=60), st.randoms())
def test_growing_gives_the_layout_of_the_whole(qapp: QApplication, tokens: list[str], rnd: random.Random) -> None:
    """However the text arrives, every character ends in the place it has when the text is laid out at once."""
    text = "".join(tokens)
    grown = Flow(QFont(), 200, 4)
    while tokens:
        count = rnd.randint(1, 9)
        grown.append("".join(tokens[:count]))
        tokens = tokens[count:]
    whole = Flow(QFont(), 200, 4)
    at = 0
    for line in text.split("\n"):
        for character in line:  # one by one: the segments differ, the places must not
            whole.append(character)
            at += 1
        whole.append("\n")
    grown.append("\n")
    assert grown.height == pytest.approx(whole.height)
    positions = range(0, utf16_length(text), 7)
    assert [list(grown.rects(p, p + 1)) for p in positions] == [list(whole.rects(p, p + 1)) for p in positions]


def test_segments_stay_short(qapp: QApplication) -> None:
    layout = Flow(QFont(), 200, 4)
    layout.append("word " * 5000)
    lines = [segment.layout.lineCount() for segment in layout.segments]
    assert max(lines) < 40
    assert sum(lines) > 100
    for before, after in zip(layout.segments, layout.segments[1:], strict=False):
        assert after.top == pytest.approx(before.bottom)


def test_appending_costs_the_same_at_the_end_as_at_the_beginning(
    stream: StreamedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One paragraph of 4,000 tokens: Qt's own text widgets lay out all of it again for each token."""
    laid_out: list[int] = []
    fit = flow.Flow._fit

    def counted(self: Flow, segment: flow.Segment, text: str) -> flow.Segment:
        laid_out.append(len(text))
        return fit(self, segment, text)

    monkeypatch.setattr(flow.Flow, "_fit", counted)
    costs = []
    for _ in range(400):
        laid_out.clear()
        stream.append([Piece(" token", 0.5)] * 10)
        costs.append(sum(laid_out))
    assert max(costs[-50:]) <= 1.5 * max(costs[:50])
    assert len(stream) == 4000
    assert stream.text == " token" * 4000


# --- tokens -----------------------------------------------------------------------------------------------------


def test_the_text_is_exact_while_whitespace_is_shown(stream: StreamedTokens) -> None:
    fill(stream)
    assert stream.text == "".join(TOKENS)
    assert Piece(".\n").shown == ".↵\n"
    assert Piece("\t").shown == "⇥ "
    assert Piece("", name="</s>").shown == "</s>"
    assert Piece("").shown == "◦"


def test_every_token_has_a_place_and_is_found_there(stream: StreamedTokens) -> None:
    fill(stream, 40)
    stream.verticalScrollBar().setValue(0)
    for index in range(40):
        rects = stream.token_rects(index)
        assert rects
        for rect in rects:
            assert stream.token_at(rect.center().toPoint()) == index
    assert stream.token_at(QPoint(-5, -5)) == -1


def test_hovering_shows_the_tokens_card(qtbot: QtBot, stream: StreamedTokens) -> None:
    fill(stream)
    qtbot.mouseMove(stream.viewport(), stream.token_rects(3)[0].center().toPoint())
    assert stream.card == Card("token 3")
    qtbot.mouseMove(stream.viewport(), stream.token_rects(1)[0].center().toPoint())
    assert stream.card == Card("token 1")
    qtbot.mouseMove(stream.viewport(), QPoint(290, 190))
    assert stream.card is None


def test_a_click_selects_and_a_drag_selects_several(qtbot: QtBot, stream: StreamedTokens) -> None:
    fill(stream)
    seen: list[tuple[int, int]] = []
    stream.selected.connect(lambda first, last: seen.append((first, last)))
    one, four = (stream.token_rects(i)[0].center().toPoint() for i in (1, 4))
    qtbot.mouseClick(stream.viewport(), Qt.MouseButton.LeftButton, pos=one)
    assert seen == [(1, 1)]
    qtbot.mouseClick(stream.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, pos=four)
    assert seen[-1] == (1, 4)
    qtbot.keyClick(stream, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "".join(TOKENS[1:5])


def test_the_keyboard_walks_through_the_tokens(qtbot: QtBot, stream: StreamedTokens) -> None:
    fill(stream, 30)
    for key, modifier, expected in (
        (Qt.Key.Key_Home, Qt.KeyboardModifier.NoModifier, (0, 0)),
        (Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier, (1, 1)),
        (Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier, (1, 2)),
        (Qt.Key.Key_End, Qt.KeyboardModifier.NoModifier, (29, 29)),
        (Qt.Key.Key_Left, Qt.KeyboardModifier.NoModifier, (28, 28)),
        (Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier, (0, 29)),
    ):
        qtbot.keyClick(stream, key, modifier)
        assert stream.selection == expected
    qtbot.keyClick(stream, Qt.Key.Key_Home)
    assert "Token 1 of 30: Once, probability 0.0000" in stream.accessibleDescription()
    below = stream.selection
    qtbot.keyClick(stream, Qt.Key.Key_Down)
    assert stream.selection > below


def test_the_end_stays_in_sight_unless_one_has_scrolled_away(stream: StreamedTokens) -> None:
    bar = stream.verticalScrollBar()
    fill(stream, 300)
    assert bar.value() == bar.maximum() > 0
    bar.setValue(10)
    fill(stream, 100)
    assert bar.value() == 10


def test_backgrounds_are_the_probabilities_colours(stream: StreamedTokens, scheme: str) -> None:
    stream.append([Piece("mmmm", p) for p in (0.0, 0.5, 1.0)])
    image = stream.viewport().grab().toImage()
    for index, p in enumerate((0.0, 0.5, 1.0)):
        rect = stream.token_rects(index)[0]
        point = QPoint(round(rect.center().x()), round(rect.top()) + 1)
        assert image.pixelColor(point) == theme.probability_color(p).background


def test_given_text_and_a_former_models_text_have_no_colour(stream: StreamedTokens, scheme: str) -> None:
    base = theme.current().base
    stream.append([Piece("mmmm")])
    place = stream.token_rects(0)[0].toRect().topLeft() + QPoint(6, 1)
    assert stream.viewport().grab().toImage().pixelColor(place) == base
    stream.append([Piece("mmmm", 1.0)])
    stream.set_former(True)
    place = stream.token_rects(1)[0].toRect().topLeft() + QPoint(6, 1)
    assert stream.viewport().grab().toImage().pixelColor(place) == base
    stream.clear()
    assert len(stream) == 0


def test_another_width_moves_the_tokens_and_loses_none(stream: StreamedTokens) -> None:
    fill(stream, 60)
    before = [stream.token_rects(index) for index in range(60)]
    height = stream._flow.height
    stream.resize(120, 200)
    QApplication.processEvents()
    assert stream._flow.height > height
    stream.resize(300, 200)
    QApplication.processEvents()
    assert [stream.token_rects(index) for index in range(60)] == before
    assert stream.token_at(stream.token_rects(59)[0].center().toPoint()) in (59, -1)


def test_clearing_forgets_selection_and_hover(qtbot: QtBot, stream: StreamedTokens) -> None:
    fill(stream)
    stream.select(5)
    stream.clear()
    assert stream.selection == (-1, -1)
    stream.set_placeholder("Nothing yet")
    stream.grab()
    qtbot.keyClick(stream, Qt.Key.Key_Right)
    assert stream.selection == (-1, -1)
