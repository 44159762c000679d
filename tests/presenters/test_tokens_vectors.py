"""The embedding tab: its part of the presenter with a small model made of numbers, its sums, and its map."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.errors import InputError, OutOfMemoryError
from llmlab.engine.tokens.types import EmbeddingMap, HiddenPath, Neighbours
from llmlab.engine.types import ModelRequest
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.tokens.arithmetic import Words, last_word, read_sum, terms
from llmlab.ui.panels.tokens.plane import Window, density, nearest, ticks
from llmlab.ui.panels.tokens.presenter import TokensPresenter
from llmlab.ui.panels.tokens.vectors import nice
from llmlab.ui.screen import Kind
from llmlab.workbench import ModelState, Status, Workbench
from tests.presenters.decoding_fakes import FakeNotifier, ManualJobs, model_info, ready, set_model
from tests.presenters.tokens_fakes import BOS, FakeTokenizer, FakeView, Openers

TEXT = "king man woman queen man"
VOCABULARY, HIDDEN, LAYERS = 400, 6, 3


class Model:
    """Vectors from a seed; a token's state after a layer depends on its id, its place and the layer."""

    def __init__(self, tokenizer: FakeTokenizer) -> None:
        self.tokenizer = tokenizer
        self.matrix = np.random.default_rng(0).normal(size=(VOCABULARY, HIDDEN)).astype(np.float32)
        self.fails: Exception | None = None
        self.paths = 0

    def tokenize(self, text: str) -> Any:
        return self.tokenizer.encode(text)

    def embedding(self, ids: list[int]) -> np.ndarray:
        return self.matrix[ids]

    def embedding_map(self) -> EmbeddingMap:
        return EmbeddingMap(self.matrix[:, :2].copy(), np.array([0.5, 0.25], np.float32), 1.0)

    def neighbours(self, to: Any, count: int) -> Neighbours:
        if self.fails is not None:
            raise self.fails
        vector = self.matrix[to] if isinstance(to, int) else to
        cosines = self.matrix @ vector / np.linalg.norm(self.matrix, axis=1) / np.linalg.norm(vector)
        if isinstance(to, int):
            cosines[to] = -2
        best = np.argsort(-cosines)[:count]
        return Neighbours(best.astype(np.int32), cosines[best].astype(np.float32))

    def vector_arithmetic(self, plus: tuple[int, ...], minus: tuple[int, ...], count: int) -> Neighbours:
        return self.neighbours(self.matrix[list(plus)].sum(0) - self.matrix[list(minus)].sum(0), count)

    def hidden_path(self, text: str, token: int) -> HiddenPath:
        self.paths += 1
        if len(text) > 60:
            raise InputError("The text is too long.", "Shorten it.")
        ids = self.tokenizer.encode(text).ids.astype(np.int64)
        states = np.stack(
            [self.matrix[ids] + layer * (1 + np.arange(len(ids)))[:, None] for layer in range(LAYERS + 1)]
        )
        spread = np.sqrt((states**2).mean((1, 2))).astype(np.float32)
        points = states[..., :2].astype(np.float32)
        return HiddenPath(ids, points, np.array([0.4, 0.2], np.float32), spread, token, states[:, token])


class Stand:
    """The presenter on its embedding tab, with everything around it."""

    def __init__(self, text: str = TEXT, spec: str = "bundled:decoder", *, model: bool = True) -> None:
        self.openers = Openers()
        self.model = Model(self.openers("bundled:decoder"))
        self.jobs, self.view, self.notifier = ManualJobs(self.model), FakeView(), FakeNotifier()  # type: ignore[arg-type]
        self.bench = Workbench(self.jobs)  # type: ignore[arg-type]
        self.bench.prompt = text
        self.info = replace(model_info(), layers=LAYERS)
        if model:
            ready(self.bench, self.info)
        saved = {"tab": "embedding", "tokenizer": "" if spec == "bundled:decoder" else spec}
        context = PanelContext(self.bench, self.jobs, self.notifier, saved)  # type: ignore[arg-type]
        self.presenter = TokensPresenter(context, self.view, self.openers)
        self.part = self.presenter.embedding
        self.presenter.activate()
        self.jobs.run_all()

    @property
    def looked(self) -> Any:
        assert self.view.looked is not None
        return self.view.looked

    @property
    def near(self) -> Any:
        assert self.view.near is not None
        return self.view.near

    @property
    def map(self) -> Any:
        assert self.view.map is not None
        return self.view.map

    def token(self, text: str) -> int:
        return self.model.tokenizer.table.texts.index(text)


@pytest.fixture
def stand() -> Stand:
    return Stand()


# --- one token --------------------------------------------------------------------------------------------------


def test_the_first_token_of_the_text_is_looked_at_until_another_one_is_selected(stand: Stand) -> None:
    king = stand.token("king")
    assert stand.presenter.settled
    assert (stand.looked.token_id, stand.looked.name, stand.looked.layer) == (king, "king", 0)
    assert np.array_equal(stand.looked.vector, stand.model.matrix[king])
    facts = {fact.name: float(fact.value) for fact in stand.looked.facts}
    assert facts["norm"] == pytest.approx(np.linalg.norm(stand.model.matrix[king]), rel=1e-3)
    assert (facts["min"], facts["max"]) == pytest.approx(
        (stand.model.matrix[king].min(), stand.model.matrix[king].max()), rel=1e-3
    )
    assert stand.looked.limit == 5.0, "the next of 1, 2, 5 above three times the spread"
    expected = stand.model.neighbours(king, 30)
    assert [token.token_id for token in stand.near.tokens] == expected.ids.tolist()
    assert [token.cosine for token in stand.near.tokens] == pytest.approx(expected.cosines.tolist())
    stand.presenter.select_tokens(3, 3)
    stand.jobs.run_all()
    assert stand.looked.name == "␣woman"


def test_a_neighbour_that_was_clicked_is_looked_at_and_stays_while_the_text_changes(stand: Stand) -> None:
    other = next(token for token in stand.near.tokens if token.token_id > 300)
    stand.part.look_at(other.token_id)
    stand.jobs.run_all()
    assert stand.looked.token_id == other.token_id
    assert stand.looked.name == f"id {other.token_id}", "the model has more embeddings than the tokenizer tokens"
    stand.bench.prompt = "king king"
    stand.jobs.run_all()
    assert stand.looked.token_id == other.token_id
    stand.part.look_at(stand.token("king"))
    stand.jobs.run_all()
    assert stand.presenter.selection == (1, 1), "a token of the text is selected there"
    assert stand.view.tokens_marked[-1] == (1, 1)


def test_the_map_is_of_the_vocabulary_and_names_the_texts_tokens(stand: Stand) -> None:
    assert len(stand.map.points) == VOCABULARY
    assert stand.map.selected == stand.token("king")
    assert stand.map.explained == (0.5, 0.25)
    assert list(zip(stand.map.named.tolist(), stand.map.names, strict=True)) == [
        (stand.token(text), text.replace(" ", "␣")) for text in ("king",)
    ] + [(BOS, "<s>"), *((stand.token(text), text.replace(" ", "␣")) for text in (" man", " woman", " queen"))]
    title, facts = stand.map.describe(stand.token(" man"))
    assert title == "␣man"
    assert dict(facts)["token id"] == str(stand.token(" man"))
    stand.part.pick(stand.token(" queen"))
    stand.jobs.run_all()
    assert stand.looked.name == "␣queen"


# --- layers -----------------------------------------------------------------------------------------------------


def test_after_a_layer_the_token_has_another_vector_and_a_way(stand: Stand) -> None:
    stand.presenter.select_tokens(2, 2)
    stand.part.set_layer(2)
    assert not stand.presenter.settled
    stand.jobs.run_all()
    assert stand.presenter.settled
    state = stand.model.hidden_path(TEXT, 2).vectors
    assert np.array_equal(stand.looked.vector, state[2])
    assert stand.looked.of_layer == "after layer 2 of 3"
    cosine = float(state[0] @ state[2] / np.linalg.norm(state[0]) / np.linalg.norm(state[2]))
    facts = {fact.name: fact.value for fact in stand.looked.facts}
    assert float(facts["cos to layer 0"]) == pytest.approx(cosine, abs=1e-4)
    assert "after layer 2" in stand.near.title
    tokens = 6  # of the text, <s> included
    assert len(stand.map.points) == (LAYERS + 1) * tokens
    assert stand.map.path.tolist() == [2, 8, 14, 20]
    assert stand.map.selected == 14
    assert stand.map.describe(14)[0] == "␣man"


def test_the_slider_moves_the_picture_before_the_model_answers(stand: Stand) -> None:
    stand.part.set_layer(1)
    stand.jobs.run_all()
    paths = stand.model.paths
    stand.part.set_layer(3)
    assert stand.looked.layer == 3, "the way is known: no need to wait"
    assert stand.map.selected == 3 * 6 + 1
    stand.jobs.run_all()
    assert "after layer 3" in stand.near.title
    assert stand.model.paths == paths, "no second forward pass"
    assert stand.view.layer == (3, LAYERS)
    stand.part.set_layer(0)
    stand.jobs.run_all()
    assert len(stand.map.points) == VOCABULARY
    stand.part.set_layer(2)
    assert stand.looked.layer == 2, "the way is still known after a look at the vocabulary"
    stand.jobs.run_all()
    assert stand.model.paths == paths


@pytest.mark.parametrize("said", [LAYERS - 1, LAYERS + 2])
def test_an_encoder_has_the_layers_that_its_states_show(said: int) -> None:
    """The model's own number may be that of its decoder."""
    stand = Stand()
    ready(stand.bench, replace(stand.info, layers=said), generation=2)
    stand.jobs.run_all()
    stand.part.set_layer(said)
    stand.jobs.run_all()
    assert stand.looked.layer == min(said, LAYERS)
    assert stand.view.layer == (min(said, LAYERS), LAYERS)
    assert stand.presenter.settled
    stand.part.set_layer(LAYERS)
    stand.jobs.run_all()
    assert stand.looked.of_layer == f"after layer {LAYERS} of {LAYERS}"
    stand.part.set_layer(0)
    stand.jobs.run_all()
    assert stand.view.layer == (0, LAYERS)


def test_a_point_of_another_layer_leads_there(stand: Stand) -> None:
    stand.part.set_layer(1)
    stand.jobs.run_all()
    stand.part.pick(3 * 6 + 4)
    stand.jobs.run_all()
    assert (stand.looked.layer, stand.looked.name) == (3, "␣queen")
    assert stand.presenter.selection == (4, 4)


def test_without_the_special_tokens_the_states_are_still_those_of_the_same_token(stand: Stand) -> None:
    stand.presenter.change(special=False)
    stand.part.set_layer(2)
    stand.jobs.run_all()
    assert stand.looked.name == "king"
    assert np.array_equal(stand.looked.vector, stand.model.hidden_path(TEXT, 1).vectors[2])
    stand.part.pick(2 * 6 + 4)
    stand.jobs.run_all()
    assert stand.looked.name == "␣queen"
    stand.part.pick(2 * 6)
    stand.jobs.run_all()
    assert stand.looked.name == "␣queen", "<s> is not in the strip"


def test_a_token_outside_the_text_says_that_it_has_no_context(stand: Stand) -> None:
    stand.part.set_layer(2)
    stand.part.look_at(399)
    stand.jobs.run_all()
    assert stand.looked.layer == 0
    assert "not in the prompt" in stand.looked.note
    assert stand.map.selected == -1
    assert len(stand.map.path) == 0


def test_a_text_that_is_too_long_for_the_model_leaves_the_input_embeddings() -> None:
    stand = Stand("man " * 40)
    stand.part.set_layer(2)
    stand.jobs.run_all()
    assert stand.looked.layer == 0
    assert stand.near.message == "The text is too long. Shorten it. The input embedding is shown instead."
    assert len(stand.map.points) == VOCABULARY
    assert stand.presenter.settled


# --- states -----------------------------------------------------------------------------------------------------


def test_another_tokenizer_is_no_matter_for_this_model_and_one_click_leads_back() -> None:
    stand = Stand(spec="bundled:encoder")
    stage = stand.view.embedding_stage
    assert stage is not None
    assert stage.kind is Kind.EMPTY
    assert "Name of bundled:encoder" in stage.text
    assert [label for label, _ in stage.actions] == ["Show the tokens of Fake"]
    assert stand.presenter.settled
    stand.presenter.use_own_tokenizer()
    stand.jobs.run_all()
    assert stand.view.embedding_stage is not None
    assert stand.view.embedding_stage.kind is Kind.READY
    assert stand.looked.name == "king"
    assert stand.view.params is not None
    assert stand.view.params.tokenizer == ""


def test_no_model_and_a_model_that_is_loading_are_said_in_words() -> None:
    stand = Stand(spec="bundled:encoder", model=False)
    stage = stand.view.embedding_stage
    assert stage is not None
    assert (stage.kind, stage.actions) == (Kind.EMPTY, ())
    assert "No model" in stage.title
    set_model(stand.bench, ModelState(Status.LOADING, stand.info, ModelRequest("a/b")))
    stage = stand.view.embedding_stage
    assert stage is not None
    assert stage.kind is Kind.LOADING


def test_another_model_begins_anew(stand: Stand) -> None:
    stand.part.look_at(399)
    stand.jobs.run_all()
    stand.model.matrix = stand.model.matrix[::-1].copy()
    ready(stand.bench, stand.info, generation=2)
    assert stand.view.looked is None
    stand.jobs.run_all()
    assert stand.looked.name == "king"
    assert np.array_equal(stand.looked.vector, stand.model.matrix[stand.token("king")])
    assert stand.map.points[0].tolist() == stand.model.matrix[0, :2].tolist()


def test_memory_that_ran_out_is_said_in_the_tab_and_can_be_tried_again(stand: Stand) -> None:
    stand.model.fails = OutOfMemoryError("There was not enough memory.", "Use a shorter text.")
    stand.presenter.select_tokens(2, 2)
    stand.jobs.run_all()
    stage = stand.view.embedding_stage
    assert stage is not None
    assert (stage.kind, stage.title) == (Kind.ERROR, "There was not enough memory.")
    stand.model.fails = None
    stand.presenter.change(tab="table")
    stand.presenter.change(tab="embedding")
    stand.jobs.run_all()
    assert stand.looked.name == "␣man"
    assert stand.view.embedding_stage is not None
    assert stand.view.embedding_stage.kind is Kind.READY


def test_other_tabs_ask_the_model_for_nothing() -> None:
    stand = Stand()
    stand.presenter.change(tab="table")
    stand.jobs.run_all()
    stand.presenter.select_tokens(3, 3)
    assert stand.jobs.titles() == []
    ready(stand.bench, stand.info, generation=2)
    assert "look" not in stand.jobs.titles()


# --- sums -------------------------------------------------------------------------------------------------------


def test_a_sum_of_words(stand: Stand) -> None:
    stand.part.sums.reckon("king − man + woman")
    stand.jobs.run_all()
    text, near = stand.view.sum
    assert text == "king − man + woman"
    assert near is not None
    assert near.title == "king + ␣woman − ␣man ≈"
    ids = [stand.token("king"), stand.token(" woman"), stand.token(" man")]
    expected = stand.model.vector_arithmetic((ids[0], ids[1]), (ids[2],), 30)
    assert [token.token_id for token in near.tokens] == expected.ids.tolist()


def test_a_word_of_several_tokens_is_refused_with_its_pieces(stand: Stand) -> None:
    stand.part.sums.reckon("king − 🐱")
    stand.jobs.run_all()
    _, near = stand.view.sum
    assert near is not None
    assert near.message.startswith("“🐱” is 5 tokens here: ␣ <0xF0> <0x9F>")
    assert near.tokens == ()


def test_an_unfinished_sum_asks_nothing_and_a_late_answer_is_dropped(stand: Stand) -> None:
    stand.part.sums.reckon("king − ")
    assert stand.jobs.titles() == []
    stand.part.sums.reckon("king")
    stand.part.sums.reckon("")
    stand.jobs.run_all()
    assert stand.view.sum == ("", None)


def test_words_are_completed(stand: Stand) -> None:
    assert stand.part.sums.complete("wo") == ("woman",)
    assert stand.part.sums.complete("") == ()
    assert stand.part.sums.complete("zz") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("king - man + woman", [("king", False), ("man", True), ("woman", False)]),
        ("−man + king", [("man", True), ("king", False)]),
        ("merry-go-round", [("merry-go-round", False)]),
        ("a – b", [("a", False), ("b", True)]),
        ("king + ", []),
        ("king - - man", []),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[tuple[str, bool]]) -> None:
    assert [(term.word, term.minus) for term in terms(text)] == expected


def test_what_is_completed_is_the_last_word() -> None:
    assert last_word("king − ma") == ("king − ", "ma")
    assert last_word("ki") == ("", "ki")
    assert last_word("king − ") == ("king − ", "")


def test_a_word_is_the_token_with_a_space_before_it_where_there_is_one() -> None:
    tokenizer = FakeTokenizer("x")
    tokenizer.encode("man man only")
    words = Words.of(tokenizer.table)
    assert tokenizer.table.texts[words.find("man") or -1] == " man"
    assert tokenizer.table.texts[words.find("␣man") or -1] == " man"
    assert words.find("absent") is None
    assert words.find("<s>") is None, "special tokens are no words"
    assert read_sum(tokenizer, Words({}, ()), "man").plus == (tokenizer.table.texts.index(" man"),), (  # type: ignore[arg-type]
        "what the tokenizer itself makes one token of is a word too"
    )
    found = read_sum(tokenizer, words, "man+only")  # type: ignore[arg-type]
    assert found.problem.endswith("Write spaces around + and −.")


# --- the plane --------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 15)), max_size=40))
def test_every_point_covers_the_pixels_around_it(places: list[tuple[float, float]]) -> None:
    width, height = 20, 10
    found = density(np.array(places, np.float32).reshape(-1, 2), width, height)
    expected = np.zeros((height, width), np.int64)
    for x, y in np.floor(np.array(places, np.float32)).astype(int).reshape(-1, 2):
        for row, column in ((y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)):
            if 0 <= row < height and 0 <= column < width and -1 <= x < width and -1 <= y < height:
                expected[row, column] += 1
    assert np.array_equal(found, np.minimum(expected, 12))


def test_a_window_zooms_around_a_place_and_never_beyond_the_whole() -> None:
    points = np.array([[0, 0], [10, 5], [5, 1]], np.float32)
    whole = Window.around(points)
    assert whole.left < 0 < 10 < whole.right
    assert whole.zoomed(2.0).within(whole) == whole
    closer = whole.zoomed(0.5, 0.25, 0.75)
    before, after = (window.pixels(points, 100, 80) for window in (whole, closer))
    assert before.shape == after.shape == (3, 2)
    fixed = np.array([[whole.left + 0.25 * whole.width, whole.bottom + 0.75 * whole.height]], np.float32)
    assert np.allclose(whole.pixels(fixed, 100, 80), closer.pixels(fixed, 100, 80), atol=1e-3)
    assert np.allclose(whole.pixels(fixed, 100, 80), [[25, 20]], atol=1e-3)
    tiny = whole
    for _ in range(200):
        tiny = tiny.zoomed(0.5).within(whole)
    assert tiny.width == pytest.approx(1e-4 * whole.width, rel=1e-6)
    assert Window.around(np.zeros((0, 2), np.float32)).width > 0
    assert Window.around(np.ones((1, 2), np.float32)).width > 0


def test_the_nearest_point_within_reach() -> None:
    pixels = np.array([[0, 0], [10, 10]], np.float32)
    assert nearest(pixels, 8, 9, 5) == 1
    assert nearest(pixels, 5, 5, 5) == -1
    assert nearest(np.zeros((0, 2), np.float32), 0, 0, 5) == -1


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_numbers_inside(low: float, extent: float) -> None:
    if low + extent == low or extent < abs(low) * 1e-9:
        return
    found = ticks(low, low + extent)
    assert 1 <= len(found) <= 8
    slack = 1e-9 * max(abs(low), extent)
    assert all(low - slack <= value <= low + extent + slack for value in found)


def test_limits_are_one_two_or_five() -> None:
    assert [nice(value) for value in (0.3, 0.5, 0.51, 1.0, 1500, 0.0)] == pytest.approx([0.5, 0.5, 1, 1, 2000, 1])


# --- copies -----------------------------------------------------------------------------------------------------


def test_values_neighbours_and_maps_leave_as_text_and_files(stand: Stand, tmp_path: Path) -> None:
    stand.part.copy("values")
    assert np.array_equal(np.array(json.loads(stand.view.copied[-1]), np.float32), stand.looked.vector)
    stand.part.copy("near")
    rows = list(csv.DictReader(io.StringIO(stand.view.copied[-1], newline=""), delimiter="\t"))
    assert [int(row["token_id"]) for row in rows] == [token.token_id for token in stand.near.tokens]

    def saved(what: str) -> list[dict[str, str]]:
        stand.view.path = tmp_path / f"{what}.csv"
        stand.part.save(what)
        stand.jobs.run_all()
        return list(csv.DictReader(io.StringIO(stand.view.path.read_text("utf-8"), newline="")))

    assert [float(row["value"]) for row in saved("vector")] == pytest.approx(stand.looked.vector.tolist())
    assert len(saved("near")) == len(stand.near.tokens)
    whole = saved("map")
    assert len(whole) == VOCABULARY
    assert sum(int(row["in_prompt"]) for row in whole) == 5
    stand.part.set_layer(1)
    stand.jobs.run_all()
    assert len(saved("map")) == (LAYERS + 1) * 6


def test_python_names_the_layer_and_the_place_in_what_the_model_reads(stand: Stand) -> None:
    stand.part.copy("python")
    script = stand.view.copied[-1]
    compile(script, "script", "exec")
    assert f"weight[{stand.token('king')}]" in script
    stand.presenter.select_tokens(2, 2)
    stand.part.set_layer(3)
    stand.jobs.run_all()
    stand.part.copy("python")
    compile(stand.view.copied[-1], "script", "exec")
    assert "states[3][0, 2]" in stand.view.copied[-1]
