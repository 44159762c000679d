"""The lines tab without its widgets: which heads, which lines, and what a long text asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.attention.types import MASKED, AttentionMap, MapRequest, Reduction
from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import lines_part
from llmlab.ui.panels.attention.lines_edges import FLOOR, Edges, strongest
from llmlab.ui.panels.attention.lines_part import MAX_HEADS, Lining
from llmlab.ui.panels.attention.lines_values import Chip, Lines, Shown
from tests.presenters.attention_tabs import TARGET, TOKENS, Stand, answered, shape_of, stand


class FakeLinesView:
    def __init__(self) -> None:
        self.lines: Lines | None = None
        self.chips: tuple[Chip, ...] = ()
        self.full = False
        self.pinned: tuple[int, ...] = ()
        self.errors: list[ErrorInfo] = []
        self.written: list[Path] = []
        self.path = Path("lines.svg")
        self.asked: list[str] = []

    def show_lines(self, lines: Lines | None) -> None:
        self.lines = lines

    def show_chips(self, chips: tuple[Chip, ...], *, full: bool) -> None:
        self.chips, self.full = chips, full

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        self.pinned = rows

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def write(self) -> Callable[[Path], None] | None:
        return self.written.append

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        then(self.path)


class Tab:
    """A lines tab in its stand."""

    def __init__(self, *shapes: Any, **focus: Any) -> None:
        self.stand: Stand = stand(*shapes, **focus)
        self.view = FakeLinesView()
        self.part = self.stand.part = Lining(self.stand.asking, self.stand, self.view)
        self.part.bring(self.stand.reading)

    @property
    def lines(self) -> Lines:
        assert self.view.lines is not None
        return self.view.lines

    @property
    def shown(self) -> list[str]:
        return [head.head.label for head in self.lines.heads]


@pytest.fixture
def tab() -> Tab:
    return answered(Tab())


def dense(edges: Edges, size: tuple[int, int]) -> np.ndarray:
    made = np.zeros(size, np.float32)
    made[edges.queries, edges.keys] = edges.weights
    return made


def test_the_lines_are_the_weights_from_the_floor_on(tab: Tab) -> None:
    weights = tab.stand.capture.weights(1, 2)
    expected = np.where(weights >= FLOOR, weights, 0)
    np.testing.assert_array_equal(dense(tab.lines.heads[0].edges, weights.shape), expected)
    assert tab.lines.query_labels[2] == "␣cat"
    assert tab.lines.covered == (0, len(TOKENS))


def test_heads_are_added_and_keep_their_colours(tab: Tab) -> None:
    assert [chip.head.label for chip in tab.view.chips] == ["1.0", "1.1", "1.2", "1.3"]
    assert [chip.fixed for chip in tab.view.chips] == [False, False, True, False]
    tab.part.toggle(Shown(1, 0))
    tab.part.toggle(Shown(1, 3))
    tab.stand.run()
    assert tab.shown == ["1.2", "1.0", "1.3"]
    assert [head.slot for head in tab.lines.heads] == [0, 1, 2]
    assert len(tab.stand.capture.maps) == 3, "a head that is there is not asked for again"
    tab.part.toggle(Shown(1, 0))
    assert not tab.stand.jobs.pending
    assert [head.slot for head in tab.lines.heads] == [0, 2]
    tab.part.toggle(Shown(1, 2))
    assert tab.shown == ["1.2", "1.3"], "the head in focus stays"


def test_heads_of_other_layers_stay_when_one_goes_on(tab: Tab) -> None:
    tab.part.toggle(Shown(1, 0))
    tab.stand.look(layer=2, head=1)
    tab.stand.run()
    assert tab.shown == ["2.1", "1.0"]
    assert [chip.head.label for chip in tab.view.chips] == ["2.0", "2.1", "2.2", "2.3", "1.0"]
    tab.part.show_one()
    assert tab.shown == ["2.1"]


def test_all_heads_of_a_layer_as_far_as_there_are_colours() -> None:
    tab = Tab(replace(shape_of(), heads=12))
    tab.part.show_layer()
    tab.stand.run()
    assert len(tab.lines.heads) == MAX_HEADS
    assert sorted(head.slot for head in tab.lines.heads) == list(range(MAX_HEADS))
    assert tab.view.full
    tab.part.toggle(Shown(1, 11))
    assert not tab.stand.jobs.pending


def test_a_mean_over_heads_has_lines_too() -> None:
    tab = Tab(head=None, reduction=Reduction.MAX)
    tab.stand.run()
    assert tab.shown == ["max of layer 1"]
    assert tab.stand.capture.maps[0].reduction is Reduction.MAX
    tab.stand.look(layer=None)
    tab.stand.run()
    assert tab.shown == ["max of all"]
    assert len(tab.view.chips) == 1


def test_a_pinned_query_is_pinned_for_all_tabs_and_let_go_by_a_second_click(tab: Tab) -> None:
    tab.part.pin(3)
    assert tab.stand.reading.focus.queries == (3,)
    assert tab.view.pinned == (3,)
    tab.part.pin(3)
    assert tab.view.pinned == ()
    tab.part.hover("keys", 2)
    assert tab.stand.pointed == [("keys", 2)]


def test_words_are_rows_and_a_pinned_word_is_its_tokens() -> None:
    words = np.array([-1, 0, 0, 1, 1, 2], np.int32)
    tab = Tab(replace(shape_of(), query_words=words, key_words=words))
    tab.stand.change(words=True)
    tab.stand.run()
    assert tab.lines.query_labels == ("<s>", "the␣cat", "␣saw␣the", "␣dog")
    tab.part.pin(1)
    assert tab.stand.reading.focus.queries == (1, 2)
    assert tab.view.pinned == (1,)


def test_other_columns_where_one_text_looks_at_another() -> None:
    tab = Tab(shape_of("cross", TARGET, TOKENS))
    tab.stand.run()
    assert tab.lines.query_labels == ("<pad>", "le", "␣chat")
    assert len(tab.lines.key_labels) == len(TOKENS)


def test_value_weighted_lines_are_opaque_at_the_largest(tab: Tab) -> None:
    assert tab.lines.top == 1.0
    tab.stand.change(value_weighted=True)
    tab.stand.run()
    assert tab.lines.top == tab.lines.heads[0].edges.weights.max()


def test_of_a_long_text_only_what_is_in_sight_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_part, "WHOLE", 50)
    monkeypatch.setattr(lines_part, "WINDOW", 20)
    tokens = tuple(f" t{i}" for i in range(100))
    tab = Tab(shape_of("self", tokens))
    tab.stand.run()
    assert tab.lines.covered == (0, 20)
    tab.part.see(3, 12)
    assert not tab.stand.jobs.pending
    tab.part.see(60, 70)
    assert tab.part.busy
    tab.stand.run()
    assert tab.lines.covered == (55, 75)
    weights = tab.stand.capture.weights(1, 2)
    lines = dense(tab.lines.heads[0].edges, weights.shape)
    np.testing.assert_array_equal(lines[55:75], np.where(weights >= FLOOR, weights, 0)[55:75])
    assert not lines[:55].any()
    tab.part.see(95, 99)
    tab.stand.run()
    assert tab.lines.covered == (80, 100)
    tab.part.see(95, 102)
    assert not tab.stand.jobs.pending, "there is nothing below the last row"


def test_an_answer_for_another_text_is_dropped(tab: Tab) -> None:
    tab.part.toggle(Shown(1, 0))
    job = tab.stand.jobs.pending[0]
    tab.stand.show(replace(tab.stand.reading, number=2))
    tab.stand.jobs.pending.insert(0, job)
    tab.stand.jobs.run_next()
    assert tab.part.busy
    tab.stand.run()
    assert tab.shown == ["1.2", "1.0"]


def test_heads_that_another_model_does_not_have_are_forgotten(tab: Tab) -> None:
    tab.part.toggle(Shown(1, 3))
    tab.stand.run()
    small = replace(shape_of(), heads=2)
    tab.stand.capture.shapes = {"self": small}
    reading = replace(tab.stand.reading, number=2, shapes={"self": small})
    tab.stand.show(replace(reading, focus=replace(reading.focus, head=0)))
    tab.stand.run()
    assert tab.shown == ["1.0"]
    tab.part.bring(None)
    assert tab.view.lines is None
    assert not tab.part.busy


def test_a_failure_is_shown_in_place(tab: Tab) -> None:
    tab.stand.engine.fails = InputError("The map does not fit.", "Shorten the text.")
    tab.stand.look(head=1)
    tab.stand.run()
    assert tab.view.errors[-1].hint == "Shorten the text."
    assert not tab.part.busy


def test_the_picture_is_written_beside_the_window(tab: Tab) -> None:
    tab.part.save("svg")
    assert tab.view.asked == ["attention-lines.svg"]
    assert not tab.view.written
    tab.stand.run()
    assert tab.view.written == [Path("lines.svg")]
    assert tab.stand.notifier.said == ["Saved as lines.svg."]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_edges_are_found_from_either_end(queries: int, keys: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((queries, keys)).astype(np.float32) ** 3
    values[rng.random((queries, keys)) < 0.2] = MASKED
    values[rng.random((queries, keys)) < 0.05] = np.nan
    found = AttentionMap(
        MapRequest(), values, np.arange(queries + 1, dtype=np.int32), np.arange(keys + 1, dtype=np.int32), False
    )
    edges = Edges.of(found)
    seen = np.where(np.isfinite(values) & (values >= FLOOR), values, 0)
    np.testing.assert_array_equal(dense(edges, values.shape), seen)
    assert edges.broken == np.isnan(values).sum()
    assert len(edges) + edges.hidden == (np.nan_to_num(values, nan=MASKED) > 0).sum()
    for query in range(queries):
        np.testing.assert_array_equal(edges.keys[edges.of_query(query)], np.flatnonzero(seen[query]))
    for key in range(keys):
        np.testing.assert_array_equal(edges.queries[edges.of_key(key)], np.flatnonzero(seen[:, key]))
    first, last, threshold = queries // 3, queries // 2, 0.2
    inside = np.zeros_like(seen, dtype=bool)
    inside[first : last + 1] = True
    inside[:, first : last + 1] = True
    which = edges.touching(first, last, threshold)
    assert len(which) == (inside & (seen >= threshold)).sum()
    best = strongest(edges, which, 3)
    assert list(edges.weights[best]) == sorted(edges.weights[which])[-3:]
