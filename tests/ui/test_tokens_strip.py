"""The strip: what it shows of any text, and that it stays quick with a million tokens."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from llmlab.engine.tokens.types import TokenKind, Tokens
from llmlab.ui import theme
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.flow import utf16_length
from llmlab.ui.widgets.strip import TokenStrip
from llmlab.ui.widgets.strip_text import BREAKABLE, LINE_BREAK, LONGEST, StripText
from tests.presenters.tokens_fakes import FakeTokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200) | st.text(
    "ab \n\t🐱é\u0301\u200d", max_size=3000
)


def source_of(text: str) -> StripText:
    tokenizer = FakeTokenizer("fake")
    tokens = tokenizer.encode(text)
    table = tokenizer.table
    return StripText.of(tokens, table.texts.__getitem__, lambda i: int(table.kinds[i]) == TokenKind.SPECIAL)


def many(count: int) -> StripText:
    """`count` tokens of the text “ab ab ab …”, sixteen to a line."""
    text = "".join("ab\n" if i % 16 == 15 else "ab " for i in range(count))
    starts = np.arange(count, dtype=np.int32) * 3
    nothing = np.full(count, -1, np.int32)
    tokens = Tokens(
        text, np.zeros(count, np.int32), starts, starts + 3, nothing, np.zeros(count, np.uint8), nothing, nothing
    )
    return StripText.of(tokens, lambda _: "ab", lambda _: False)


def make(qtbot: QtBot, source: StripText | None, width: int = 400, height: int = 120) -> TokenStrip:
    strip = TokenStrip(lambda index: Card(f"token {index}"))
    qtbot.addWidget(strip)
    strip.resize(width, height)
    strip.set_source(source)
    strip.show()
    return strip


@given(ANY_TEXT)
def test_every_token_has_a_place_in_its_block_in_order(text: str) -> None:
    source = source_of(text)
    assert source.first[0] == 0
    assert source.first[-1] == len(source.tokens.ids)
    assert (np.diff(source.first) > 0).all()
    for block in range(len(source)):
        composed = source.compose(block)
        assert len(composed.spans) == source.first[block + 1] - source.first[block]
        ends = [0]
        for start, end in composed.spans:
            assert ends[-1] <= start <= end <= utf16_length(composed.text)
            ends.append(end)
        composed.text.encode("utf-8")  # nothing that is no character is drawn


@given(ANY_TEXT)
def test_no_invisible_character_reaches_the_screen(text: str) -> None:
    source = source_of(text)
    shown = "".join(source.compose(block).text for block in range(len(source)))
    allowed = {LINE_BREAK, BREAKABLE, "\u2060", "\u200e", " "}
    hidden = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}}
    assert hidden <= allowed


def test_whitespace_special_tokens_and_bytes_are_visible() -> None:
    source = source_of("a b\t\n🐱\u200b")
    shown = source.compose(0).text.replace(BREAKABLE, "")
    assert shown.startswith("<s>a·b⇥")
    assert "↵" + LINE_BREAK in shown
    assert "🐱" in shown
    assert "⟨ZWSP⟩" in shown
    composed = source.compose(0)
    assert len(composed.ties) == 2
    data = [composed.text.encode("utf-16-le")[2 * a : 2 * (a + n)].decode("utf-16-le") for a, n in composed.data]
    assert [item for item in data if item.isalnum()] == ["F0", "9F", "90", "B1", "E2", "80", "8B"]


def test_a_block_never_cuts_a_character_in_two() -> None:
    source = source_of("🐱" * 3000)
    groups = source.tokens.groups
    borders = source.first[1:-1]
    assert len(borders) > 1
    assert (groups[borders] != groups[borders - 1]).all()


def test_a_million_tokens_are_laid_out_only_where_one_looks(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(1_000_000)
    composed: list[int] = []
    compose = StripText.compose
    monkeypatch.setattr(StripText, "compose", lambda self, block: composed.append(block) or compose(self, block))
    strip = make(qtbot, source)
    strip.viewport().grab()
    bar = strip.verticalScrollBar()
    assert bar.maximum() > 60_000 * 15, "sixty thousand lines"
    bar.setValue(bar.maximum() // 2)
    strip.viewport().grab()
    assert len(composed) < 20
    assert max(composed) > len(source) // 3
    strip.select(999_999, 999_999)
    assert strip.token_rects(999_999)[0].bottom() <= strip.viewport().height() + 1
    assert max(np.diff(source.places)) <= LONGEST + 3


def test_a_click_a_drag_and_the_keys_select(qtbot: QtBot) -> None:
    strip = make(qtbot, source_of("the cat saw the dog\nand ran"))
    seen: list[tuple[int, int]] = []
    strip.selected.connect(lambda first, last: seen.append((first, last)))

    def centre(token: int) -> QPoint:
        return strip.token_rects(token)[0].center().toPoint()

    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=centre(2))
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, centre(4))
    qtbot.keyClick(strip, Qt.Key.Key_Home)
    qtbot.keyClick(strip, Qt.Key.Key_Right)
    qtbot.keyClick(strip, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(strip, Qt.Key.Key_Down)
    assert seen[:5] == [(2, 2), (2, 4), (0, 0), (1, 1), (1, 2)]
    assert strip.token_rects(seen[5][0])[0].top() > strip.token_rects(1)[0].bottom()
    qtbot.keyClick(strip, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert seen[-1] == (0, len(strip.source.tokens.ids) - 1) if strip.source else False
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(strip.width() - 20, strip.height() - 4))
    assert seen[-1] == (-1, -1)


def test_ctrl_click_leaves_the_selection_and_says_which_token(qtbot: QtBot) -> None:
    strip = make(qtbot, source_of("the cat saw the dog"))
    strip.select(1, 1)
    strip.set_marked(frozenset((3,)))
    seen: list[int] = []
    strip.toggled.connect(seen.append)
    place = strip.token_rects(4)[0].center().toPoint()
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, place)
    assert seen == [4]
    assert strip.selection == (1, 1)
    edge = strip.token_rects(3)[0].topLeft().toPoint() + QPoint(4, -2)
    accent = strip.viewport().grab().toImage().pixelColor(edge)
    strip.set_marked(frozenset())
    assert strip.viewport().grab().toImage().pixelColor(edge) != accent, "a marked token has a frame"


def test_hovering_shows_the_card_of_the_token_under_the_mouse(qtbot: QtBot) -> None:
    strip = make(qtbot, source_of("the cat"))
    qtbot.mouseMove(strip.viewport(), strip.token_rects(2)[0].center().toPoint())
    qtbot.waitUntil(lambda: strip.card is not None)
    assert strip.card == Card("token 2")
    strip.set_source(None)
    assert strip.card is None


def test_arabic_tokens_lie_where_their_letters_are(qtbot: QtBot) -> None:
    text = "abc שלום def"
    starts = np.array([0, 4, 6, 9], np.int32)
    ends = np.array([4, 6, 9, 12], np.int32)
    nothing = np.full(4, -1, np.int32)
    tokens = Tokens(text, np.zeros(4, np.int32), starts, ends, nothing, np.zeros(4, np.uint8), nothing, nothing)
    strip = make(qtbot, StripText.of(tokens, lambda _: "", lambda _: False))
    first, second = strip.token_rects(1)[0], strip.token_rects(2)[0]
    assert first.left() >= second.left() + 5, "Hebrew is read from the right"
    assert strip.token_rects(0)[0].right() <= second.right()
    assert not first.intersected(second).width() > 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_tokens_are_painted_and_text_is_readable_on_them(qtbot: QtBot, scheme: theme.Scheme) -> None:
    theme.set_scheme(scheme)
    try:
        strip = make(qtbot, source_of("the cat"))
        rect = strip.token_rects(2)[0]
        seen = QColor(strip.viewport().grab().toImage().pixel(round(rect.left()) + 3, round(rect.top())))
        colors = theme.current()
        assert seen.rgb() == colors.token[2].rgb()
        for background in (*colors.token, *colors.kind):
            assert theme.contrast(colors.text, background) >= 4.5
            assert theme.contrast(colors.token_special, background) >= 3
    finally:
        theme.set_scheme("system")


def test_what_is_beyond_the_limit_is_pale_and_flags_are_marked(qtbot: QtBot) -> None:
    strip = make(qtbot, source_of("the cat saw"))
    rect = strip.token_rects(3)[0]
    place = (round(rect.left()) + 4, round(rect.top()))
    before = strip.viewport().grab().toImage().pixel(*place)
    strip.set_limit(2)
    assert strip.viewport().grab().toImage().pixel(*place) != before
    strip.set_flags(np.array([False, False, True, False]))
    left = strip.token_rects(2)[0]
    image = strip.viewport().grab().toImage()
    marks = {QColor(image.pixel(round(left.left()) + dx, round(left.center().y()))).name() for dx in (-1, 0, 1)}
    assert theme.current().cut_line.name() in marks
