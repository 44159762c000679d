"""The text tab without its widgets: which weights shade the text, and that nobody is asked twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.attention.types import MASKED, AttentionMap, MapRequest
from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import text_rows
from llmlab.ui.panels.attention.reading import KEYS, QUERIES
from llmlab.ui.panels.attention.text_part import Texting
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.widgets.joined import Joined
from tests.presenters.attention_tabs import TARGET, TOKENS, Stand, answered, shape_of, stand


class FakeTextView:
    def __init__(self) -> None:
        self.texts: Texts | None = None
        self.shading: Shading | None = None
        self.pinned = False
        self.axis = ""
        self.errors: list[ErrorInfo] = []

    def show_texts(self, texts: Texts | None) -> None:
        self.texts = texts

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        self.shading, self.pinned = shading, pinned

    def show_axis(self, axis: str) -> None:
        self.axis = axis

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)


class Tab:
    """A text tab in its stand."""

    def __init__(self, *shapes: Any, **focus: Any) -> None:
        self.stand: Stand = stand(*shapes, **focus)
        self.view = FakeTextView()
        self.part = self.stand.part = Texting(self.stand.asking, self.stand, self.view)
        self.part.bring(self.stand.reading)

    @property
    def shading(self) -> Shading:
        assert self.view.shading is not None
        return self.view.shading

    def weights(self, head: int = 2) -> np.ndarray:
        return self.stand.capture.weights(1, head)


@pytest.fixture
def tab() -> Tab:
    return answered(Tab())


def test_without_a_choice_the_last_token_is_shown(tab: Tab) -> None:
    assert tab.shading.chosen == (5,)
    assert not tab.view.pinned
    np.testing.assert_array_equal(tab.shading.weights, tab.weights()[5])


def test_hovering_asks_nobody_and_points_into_the_prompt(tab: Tab) -> None:
    tab.part.hover(QUERIES, 3)
    assert not tab.stand.jobs.pending
    assert tab.shading.chosen == (3,)
    np.testing.assert_array_equal(tab.shading.weights, tab.weights()[3])
    assert tab.shading.weights[4] == MASKED
    assert tab.shading.level(4) is None
    tab.part.hover(QUERIES, -1)
    assert tab.shading.chosen == (5,)
    assert tab.stand.pointed == [(QUERIES, 3), (QUERIES, None)]
    assert len(tab.stand.capture.maps) == 1


def test_pinned_tokens_are_summed_and_the_mouse_leaves_them(tab: Tab) -> None:
    tab.part.choose(QUERIES, (2,))
    tab.part.toggle(QUERIES, 4)
    assert tab.stand.reading.focus.queries == (2, 4), "the other tabs see them too"
    weights = np.maximum(tab.weights(), 0)
    np.testing.assert_allclose(tab.shading.weights[:5], weights[2, :5] + weights[4, :5], rtol=1e-6)
    assert tab.shading.weights[5] == MASKED, "neither may look there"
    tab.part.hover(QUERIES, 1)
    assert tab.shading.chosen == (2, 4)
    tab.part.toggle(QUERIES, 2)
    tab.part.toggle(QUERIES, 4)
    assert not tab.view.pinned
    assert tab.shading.chosen == (1,), "again the token under the mouse"


def test_the_question_can_be_turned_round(tab: Tab) -> None:
    tab.part.turn(KEYS)
    tab.part.choose(QUERIES, (1,))
    assert tab.view.axis == KEYS
    np.testing.assert_array_equal(tab.shading.weights, tab.weights()[:, 1])
    assert tab.shading.level(0) is None, "an earlier token may not look at a later one"


def test_another_head_is_asked_for_and_an_old_answer_does_not_replace_it(tab: Tab) -> None:
    tab.stand.look(head=0)
    assert tab.part.busy
    tab.stand.look(head=3)
    assert len(tab.stand.jobs.pending) == 1
    tab.stand.run()
    np.testing.assert_array_equal(tab.shading.weights, tab.weights(3)[5])
    assert not tab.part.busy


def test_options_of_the_panel_reach_the_engine(tab: Tab) -> None:
    tab.stand.change(hide_first=True, value_weighted=True)
    tab.stand.run()
    asked = tab.stand.capture.maps[-1]
    assert (asked.hide_first, asked.value_weighted, asked.layer, asked.head) == (True, True, 1, 2)


def test_the_scale_needs_no_job(tab: Tab) -> None:
    assert tab.shading.top == 1.0
    tab.stand.change(scale="row")
    assert not tab.stand.jobs.pending
    assert tab.shading.top == tab.shading.weights.max()
    assert tab.shading.level(int(tab.shading.weights.argmax())) == 1.0
    tab.stand.change(scale="log")
    levels = [tab.shading.level(token) for token in range(6)]
    assert all(level is not None and 0 <= level <= 1 for level in levels)


def test_words_have_one_weight() -> None:
    words = np.array([-1, 0, 0, 1, 1, 2], np.int32)
    shape = replace(shape_of(), query_words=words, key_words=words)
    tab = Tab(shape)
    tab.stand.change(words=True)
    tab.stand.run()
    tab.part.choose(QUERIES, (3, 4))
    shown = tab.shading.weights
    assert shown[1] == shown[2]
    weights = np.maximum(tab.weights(), 0)
    assert shown[1] == pytest.approx(weights[3:5, 1:3].sum() / 2), "keys summed, queries averaged, the word once"


@pytest.mark.parametrize("axis", [QUERIES, KEYS])
@pytest.mark.parametrize("words", [False, True])
def test_of_a_long_text_only_the_chosen_rows_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, axis: str, words: bool
) -> None:
    small = Tab()
    small.stand.change(words=words)
    small.part.turn(axis)
    small.stand.run()
    monkeypatch.setattr(text_rows, "WHOLE", 10)
    large = Tab()
    large.stand.change(words=words)
    large.part.turn(axis)
    large.stand.run()
    for chosen in ((3,), (1, 4)):
        small.part.choose(QUERIES, chosen)
        large.part.choose(QUERIES, chosen)
        assert large.part.busy
        large.stand.run()
        assert large.shading.chosen == chosen
        np.testing.assert_allclose(large.shading.weights, small.shading.weights, rtol=1e-6)
    assert all(asked.rows or asked.columns for asked in large.stand.capture.maps)


def test_in_a_long_text_an_answer_for_where_the_mouse_was_is_shown_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "WHOLE", 10)
    tab = Tab()
    tab.stand.run()
    tab.part.hover(QUERIES, 2)
    job = tab.stand.jobs.pending.pop()
    tab.part.hover(QUERIES, 3)
    tab.stand.jobs.pending.insert(0, job)
    tab.stand.jobs.run_next()
    assert tab.shading.chosen == (2,)
    assert tab.part.busy
    tab.stand.run()
    assert tab.shading.chosen == (3,)


def test_between_two_texts_one_looks_from_the_one_that_is_clicked() -> None:
    tab = Tab(shape_of("cross", TARGET, TOKENS))
    tab.stand.run()
    assert tab.view.texts is not None
    assert tab.view.texts.two
    weights = tab.stand.capture.weights(1, 2, "cross")
    tab.part.hover(KEYS, 4)
    np.testing.assert_array_equal(tab.shading.weights, weights[:, 4])
    tab.part.choose(KEYS, (1, 2))
    np.testing.assert_allclose(tab.shading.weights, weights[:, 1] + weights[:, 2], rtol=1e-6)
    assert tab.stand.reading.focus.queries == ()
    tab.part.choose(QUERIES, (2,))
    np.testing.assert_array_equal(tab.shading.weights, weights[2])


def test_a_failure_is_shown_in_place(tab: Tab) -> None:
    tab.stand.engine.fails = InputError("The map does not fit.", "Shorten the text.")
    tab.stand.look(head=1)
    tab.stand.run()
    assert tab.view.errors[-1].message == "The map does not fit."
    assert not tab.part.busy
    tab.stand.look(head=0)
    tab.stand.run()
    np.testing.assert_array_equal(tab.shading.weights, tab.weights(0)[5])


def test_broken_weights_are_no_numbers_and_have_no_rank(tab: Tab) -> None:
    tab.stand.capture.broken = True
    tab.stand.look(head=1)
    tab.stand.run()
    tab.part.choose(QUERIES, (1,))
    level = tab.shading.level(0)
    assert level is not None
    assert np.isnan(level)
    assert tab.shading.strongest(3) == ()
    assert tab.shading.top == 1.0


def test_a_layer_that_was_not_kept_is_waited_for() -> None:
    tab = Tab(replace(shape_of(), captured=(1,)))
    tab.stand.run()
    tab.stand.look(layer=2)
    assert not tab.stand.jobs.pending
    assert tab.part.busy


def test_nothing_is_left_of_a_model_that_is_gone(tab: Tab) -> None:
    tab.part.bring(None)
    assert tab.view.texts is None
    assert not tab.part.busy
    tab.part.hover(QUERIES, 1)
    tab.part.choose(QUERIES, (1,))
    assert not tab.stand.jobs.pending


@given(st.lists(st.text(max_size=6), min_size=1, max_size=30))
def test_every_token_stands_where_it_says(tokens: list[str]) -> None:
    joined = Joined.of(tuple(tokens))
    for token, start, end in zip(tokens, joined.starts, joined.ends, strict=True):
        assert joined.text[start:end] == token
    assert (np.diff(joined.starts) >= 0).all()


def test_word_pieces_are_set_apart_where_a_word_begins() -> None:
    assert Joined.of(("[CLS]", "the", "cat", "##s", ".")).text == "[CLS] the cat##s ."
    assert Joined.of(("the", " cat", "s")).text == "the cats"


def test_where_generated_text_or_a_second_sentence_begins() -> None:
    assert np.flatnonzero(Texts.of(shape_of(generated=4)).begins).tolist() == [4]
    segments = np.array([0, 0, 0, 1, 1, -1], np.int32)
    assert np.flatnonzero(Texts.of(shape_of(query_segments=segments)).begins).tolist() == [3]
    assert not Texts.of(shape_of()).begins.any()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_sums_are_masked_only_where_all_are(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((rows, columns)).astype(np.float32)
    values[rng.random((rows, columns)) < 0.4] = MASKED
    total = text_rows.summed(values)
    for column in range(columns):
        seen = values[:, column][values[:, column] != MASKED]
        assert total[column] == (pytest.approx(seen.sum(dtype=np.float64), rel=1e-5) if len(seen) else MASKED)


def test_a_rank_counts_only_what_may_be_seen() -> None:
    found = AttentionMap(
        MapRequest(), np.array([[0.2, 0.5, 0.3, MASKED]], np.float32), np.arange(2), np.arange(5), False
    )  # fmt: skip
    weights = text_rows.of_map(found, QUERIES, (0,))
    shading = Shading(QUERIES, (0,), weights, "linear", 1.0)
    assert [shading.rank(token) for token in range(3)] == [(3, 3), (1, 3), (2, 3)]
    assert shading.strongest(2) == (1, 2)
