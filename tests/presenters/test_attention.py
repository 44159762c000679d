"""The attention panel's presenter and its map, with views that write down and jobs that run when the test says so."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.attention.types import MASKED, Reduction, Truncation
from llmlab.engine.errors import InputError
from llmlab.engine.types import Architecture, Feature
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.attention import mapping, surveying
from llmlab.ui.panels.attention.comparing import Difference, Pair, Words
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.presenter import AttentionPresenter
from llmlab.ui.panels.attention.screen import Act, Screen
from llmlab.ui.screen import Kind
from llmlab.ui.widgets.heatmap.norm import Scale
from llmlab.workbench import Completion, ModelState, Selection, Status, Workbench
from tests.presenters.attention_fakes import (
    CONTEXT,
    FakeComparePane,
    FakeMapPane,
    FakePanelView,
    PanelCapture,
    PanelEngine,
    attention_info,
)
from tests.presenters.attention_tabs import HEADS, LAYERS
from tests.presenters.decoding_fakes import FakeNotifier, ManualJobs, ready, set_model

TEXT = "the cat saw the dog"


@dataclass
class Stand:
    """The presenter with everything around it."""

    presenter: AttentionPresenter
    view: FakePanelView
    map: FakeMapPane
    compare: FakeComparePane
    jobs: ManualJobs
    engine: PanelEngine
    bench: Workbench
    notifier: FakeNotifier

    @property
    def screen(self) -> Screen:
        assert self.view.screen is not None
        return self.view.screen

    @property
    def capture(self) -> PanelCapture:
        assert self.presenter.reading is not None
        return self.engine.captures[self.presenter.reading.request]

    def run(self) -> None:
        self.jobs.run_all()


def make(
    prompt: str = TEXT, saved: dict[str, Any] | None = None, architecture: Architecture = Architecture.DECODER
) -> Stand:
    engine = PanelEngine(attention_info(architecture))
    jobs, view, notifier = ManualJobs(engine), FakePanelView(), FakeNotifier()  # type: ignore[arg-type]
    bench = Workbench(jobs)  # type: ignore[arg-type]
    bench.prompt = prompt
    ready(bench, engine.info)
    context = PanelContext(bench, jobs, notifier, saved or {})  # type: ignore[arg-type]
    tabs = {"map": FakeMapPane(), "compare": FakeComparePane()}
    presenter = AttentionPresenter(context, view, tabs)
    presenter.activate()
    return Stand(presenter, view, tabs["map"], tabs["compare"], jobs, engine, bench, notifier)  # type: ignore[arg-type]


@pytest.fixture
def stand() -> Stand:
    made = make()
    made.run()
    return made


# --- reading ----------------------------------------------------------------------------------------------------


def test_the_prompt_is_read_and_every_head_is_looked_through(stand: Stand) -> None:
    assert stand.presenter.settled
    assert stand.screen.stage.kind is Kind.READY
    assert [request.text for request in stand.engine.read] == [TEXT]
    assert stand.capture.surveyed == ["self"]
    heads = stand.view.heads
    assert heads is not None
    assert heads.tiles is not None
    assert len(heads.places) == (LAYERS + 1) * (HEADS + 1)
    assert stand.map.mapped is not None
    assert stand.map.mapped.picture.row_labels == ("<s>", "the", "␣cat", "␣saw", "␣the", "␣dog")
    assert np.array_equal(stand.map.mapped.picture.base.values, stand.capture.weights(0, 0))


def test_typing_leaves_one_waiting_job_and_reads_the_last_prompt(stand: Stand) -> None:
    stand.engine.read.clear()
    for end in range(5, len(TEXT)):
        stand.bench.prompt = TEXT[:end]
    assert stand.jobs.titles() == ["read"]
    assert not stand.presenter.settled
    assert any("new text" in note for note in stand.screen.notes)
    stand.run()
    assert [request.text for request in stand.engine.read] == [TEXT[: len(TEXT) - 1]]
    assert stand.presenter.settled
    assert not stand.screen.notes


def test_nothing_is_read_while_another_panel_is_in_front(stand: Stand) -> None:
    stand.presenter.deactivate()
    stand.bench.prompt = "something else"
    assert not stand.jobs.pending
    stand.presenter.activate()
    stand.run()
    assert stand.engine.read[-1].text == "something else"


def test_going_back_to_what_is_shown_asks_for_nothing(stand: Stand) -> None:
    stand.bench.prompt = "something else"
    stand.jobs.pending.clear()
    stand.bench.prompt = TEXT
    assert not stand.jobs.pending
    assert stand.presenter.settled


def test_empty_loading_and_error_are_said_in_words() -> None:
    stand = make(prompt="")
    assert stand.screen.stage.kind is Kind.EMPTY
    stand.presenter.use_example(stand.screen.stage.examples[0])
    assert stand.screen.stage.kind is Kind.LOADING
    stand.engine.fails = InputError("This cannot be read.", "Shorten it.")
    stand.run()
    assert stand.screen.stage.kind is Kind.ERROR
    assert stand.screen.stage.title == "This cannot be read."
    stand.presenter.act(stand.screen.stage.actions[0][1])
    stand.run()
    assert stand.screen.stage.kind is Kind.READY
    set_model(stand.bench, ModelState(Status.EMPTY))
    assert stand.screen.stage.kind is Kind.EMPTY
    assert stand.map.mapped is None


def test_a_model_without_attention_gets_a_plain_explanation(stand: Stand) -> None:
    info = replace(attention_info(), features=frozenset((Feature.TOKENIZE,)), model_type="mamba", name="Snake")
    ready(stand.bench, info, generation=2)
    assert stand.screen.stage.kind is Kind.EMPTY
    assert "Snake" in stand.screen.stage.title
    assert "mamba" in stand.screen.stage.text
    assert not stand.jobs.pending


def test_an_answer_of_the_former_model_is_dropped(stand: Stand) -> None:
    stand.bench.prompt = "a new text"
    ready(stand.bench, attention_info(name="Other"), generation=2)
    assert stand.presenter.reading is None
    stand.run()
    assert stand.presenter.reading is not None
    assert stand.presenter.reading.info.name == "Other"
    assert stand.presenter.settled


def test_a_text_that_is_too_long_says_so_and_offers_what_to_keep() -> None:
    text = " ".join(f"w{i}" for i in range(100))
    stand = make(prompt=text)
    stand.run()
    assert not stand.engine.read
    assert stand.screen.stage.kind is Kind.EMPTY
    assert "101 tokens, 37 more" in stand.screen.stage.text
    acts = {act for _, act in stand.screen.stage.actions}
    assert acts == {Act.KEEP_BEGINNING, Act.KEEP_END}
    stand.presenter.act(Act.KEEP_END)
    stand.run()
    assert stand.engine.read[-1].truncation is Truncation.KEEP_END
    assert stand.presenter.reading is not None
    assert len(stand.presenter.reading.shape.query_tokens) == CONTEXT
    assert any("only its end is read, without the first 37 tokens" in note for note in stand.screen.notes)
    spans = stand.presenter.reading.spans["self", "queries"]
    assert text[slice(*spans[-1])] == " w99"
    assert spans[0].tolist() == [-1, -1]


def test_a_short_text_after_a_cut_one_is_read_without_a_word() -> None:
    stand = make(prompt=" ".join(f"w{i}" for i in range(100)))
    stand.run()
    stand.presenter.act(Act.KEEP_BEGINNING)
    stand.run()
    stand.bench.prompt = TEXT
    assert stand.screen.notes
    stand.run()
    assert stand.presenter.settled
    assert not stand.screen.notes


def test_a_large_capture_is_asked_for_first_and_a_single_layer_is_offered() -> None:
    stand = make()
    stand.engine.bytes_of_a_token = 10**9
    stand.bench.prompt = "four words are here"
    stand.run()
    assert not stand.engine.read[1:]
    stage = stand.screen.stage
    assert "15.0 GB" in stage.text
    assert "10.0 GB are free" in stage.text
    assert [act for _, act in stage.actions] == [Act.READ_ONE]
    stand.engine.available = 10**11
    stand.bench.prompt = "four other words are"
    stand.run()
    assert [act for _, act in stand.screen.stage.actions] == [Act.READ_ALL, Act.READ_ONE]
    stand.presenter.act(Act.READ_ONE)
    stand.run()
    assert stand.engine.read[-1].layers == (0,)
    assert stand.presenter.settled
    assert not stand.capture.surveyed
    assert stand.view.heads is not None
    stand.presenter.look(layer=2, head=1)
    assert stand.presenter.reading is not None
    assert stand.presenter.reading.focus.layer == 0, "the layer that is there stays on screen until the other is"
    stand.run()
    assert stand.engine.read[-1].layers == (2,)
    assert (stand.presenter.reading.focus.layer, stand.presenter.reading.focus.head) == (2, 1)


# --- focus ------------------------------------------------------------------------------------------------------


def test_a_head_a_layer_and_everything_can_be_in_focus(stand: Stand) -> None:
    for place, title in (
        ((2, 3), "Layer 2 · head 3"),
        ((1, None), "Layer 1 · mean over its heads"),
        ((None, 2), "Head 2 · mean over all layers"),
        ((None, None), "All layers · mean over all heads"),
    ):
        stand.presenter.look(layer=place[0], head=place[1])
        stand.run()
        assert stand.screen.title == stand.map.title == title
        request = stand.capture.maps[-1]
        assert (request.layer, request.head) == place
    stand.presenter.change(reduction="max")
    stand.run()
    assert stand.capture.maps[-1].reduction is Reduction.MAX
    assert "maximum" in stand.screen.title


def test_heads_are_tested_on_repeats_once_and_only_when_that_is_chosen(stand: Stand) -> None:
    assert stand.engine.tests == 0
    stand.presenter.change(sort="induction on repeats", score="induction on repeats")
    assert not stand.presenter.settled
    stand.run()
    heads = stand.view.heads
    assert heads is not None
    assert heads.places[0] == (0, 0)  # the fake's best
    assert heads.share((0, 0)) == 1.0
    stand.presenter.change(sort="previous on repeats")
    stand.run()
    assert stand.view.heads is not None
    assert stand.view.heads.places[0] == (LAYERS - 1, HEADS - 1)
    stand.bench.prompt = "another text"
    stand.run()
    assert "Induction on repeats" in {fact.name for fact in stand.screen.facts}
    assert stand.engine.tests == 1


def test_scores_of_the_head_in_focus_are_told(stand: Stand) -> None:
    stand.presenter.look(layer=1, head=1)
    facts = {fact.name: fact.value for fact in stand.screen.facts}
    assert facts["Induction"] == f"{5 / 20:.4f}"
    assert facts["Duplicate token"] == "not defined"
    assert facts["Keys and values"] == "group 0 of 2"
    stand.presenter.look(layer=0, head=0)
    assert "Broken" in {fact.name for fact in stand.screen.facts}


def test_the_grid_follows_a_score_and_its_filter(stand: Stand) -> None:
    stand.presenter.change(sort="induction")
    heads = stand.view.heads
    assert heads is not None
    assert heads.places[0] == (LAYERS - 1, HEADS - 1)
    assert len(heads.places) == LAYERS * HEADS
    stand.presenter.change(sort="layer", threshold=0.3)
    heads = stand.view.heads
    assert heads is not None
    assert heads.is_filtered((0, 1))
    assert not heads.is_filtered((LAYERS - 1, 0))
    assert not heads.is_filtered((None, 0))
    assert heads.is_broken((0, 0))
    assert heads.groups == ((0, 1), (2, 3))


def test_scores_are_copied_and_saved(stand: Stand, tmp_path: Path) -> None:
    stand.presenter.copy_scores()
    rows = [line.split("\t") for line in stand.view.copied[-1].splitlines()]
    assert rows[0] == ["kind", "layer", "head", "induction", "duplicate", "broken"]
    assert rows[6] == ["self", "1", "1", "0.25", "", "0"]
    assert len(rows) == 1 + LAYERS * HEADS
    stand.view.path = tmp_path / "heads.csv"
    stand.presenter.save_scores()
    stand.run()
    saved = list(csv.reader(io.StringIO((tmp_path / "heads.csv").read_text("utf-8"))))
    assert saved == rows


def test_pointing_at_a_token_marks_it_in_the_prompt(stand: Stand) -> None:
    marked: list[Selection] = []
    stand.bench.selection_changed.connect(marked.append)
    stand.presenter.parts["map"].hover(2, 1)  # type: ignore[attr-defined]
    stand.presenter.parts["map"].hover(0, 0)  # type: ignore[attr-defined]
    assert [TEXT[mark.start : mark.end] for mark in marked] == [" cat"], "the beginning of the text is not in it"


def test_what_is_looked_at_before_it_is_there_is_in_focus_once_it_is() -> None:
    stand = make(prompt="x")
    stand.jobs.run_next()
    stand.bench.prompt = "y"
    running = stand.jobs.pending.pop()
    stand.bench.prompt = TEXT
    stand.presenter.look(layer=2, head=1, queries=(4, 5))
    stand.jobs.pending.insert(0, running)
    stand.run()
    assert stand.presenter.reading is not None
    assert stand.presenter.reading.focus.queries == (4, 5)
    assert stand.map.rows == (4, 5)
    stand.bench.prompt = TEXT + " again"
    stand.presenter.look(queries=())
    stand.run()
    assert stand.map.rows == ()


def test_what_is_looked_at_comes_before_the_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "QUICK", 0)
    stand = make()
    stand.jobs.run_next()
    assert stand.jobs.titles() == ["map", "survey"]
    stand.jobs.run_next()
    running = stand.jobs.pending[0]
    stand.jobs.pending.clear()
    stand.jobs.running = running
    stand.presenter.look(layer=2)
    assert running.cancelled
    assert stand.jobs.titles() == ["map", "survey"]
    stand.jobs.running = None
    stand.jobs._call(running, running.stopped, None)
    assert not stand.presenter.settled
    stand.run()
    assert stand.presenter.settled
    assert stand.capture.surveyed == ["self"]


# --- the map ----------------------------------------------------------------------------------------------------


def test_a_scale_needs_no_new_map_but_by_row_does(stand: Stand) -> None:
    count = len(stand.capture.maps)
    stand.presenter.change(scale="log")
    assert stand.map.norm.scale is Scale.LOG
    assert not stand.jobs.pending
    stand.presenter.change(scale="row")
    stand.run()
    assert stand.map.norm.scale is Scale.ROW
    assert len(stand.capture.maps) == count + 1


def test_rows_are_pinned_toggled_and_summed(stand: Stand) -> None:
    part: Any = stand.presenter.parts["map"]
    weights = np.maximum(stand.capture.weights(0, 0), 0)
    part.choose_row(2, "only")
    assert stand.map.rows == (2,)
    assert np.allclose(stand.map.profile, weights[2])
    part.choose_row(4, "toggle")
    assert stand.map.rows == (2, 4)
    assert np.allclose(stand.map.profile, weights[2] + weights[4])
    part.choose_row(5, "range")
    assert stand.map.rows == (4, 5)
    part.choose_row(4, "toggle")
    assert stand.map.rows == (5,)
    part.choose_row(5, "only")
    assert stand.map.rows == ()
    part.choose_row(1, "only")
    part.choose_row(-1, "only")
    assert stand.map.rows == ()


def test_words_are_merged_and_their_rows_pin_all_their_tokens(stand: Stand) -> None:
    stand.presenter.change(words=True, hide_first=True, value_weighted=True)
    stand.run()
    request = stand.capture.maps[-1]
    assert (request.words, request.hide_first, request.value_weighted) == (True, True, True)
    mapped = stand.map.mapped
    assert mapped is not None
    part: Any = stand.presenter.parts["map"]
    part.choose_row(1, "only")
    assert stand.presenter.reading is not None
    assert stand.presenter.reading.focus.queries == tuple(mapped.tokens("queries", 1))
    assert stand.map.norm.high == mapping.nice_limit(mapped.largest)


def test_a_pooled_map_gets_exact_weights_where_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "DETAIL", 8)
    stand = make(prompt=" ".join(f"w{i}" for i in range(31)))
    capture_map = PanelCapture.map

    def pooled(self: PanelCapture, request: Any, control: Any = None) -> Any:
        made = capture_map(self, request, control)
        if request.rows is not None:
            return made
        values = made.values.reshape(8, 4, 8, 4).max(axis=(1, 3))
        edges = np.arange(0, 33, 4, dtype=np.int32)
        return replace(made, values=values, row_edges=edges, column_edges=edges, pooled=True)

    monkeypatch.setattr(PanelCapture, "map", pooled)
    stand.run()
    mapped = stand.map.mapped
    assert mapped is not None
    assert mapped.picture.base.per == 4
    assert (mapped.picture.rows, mapped.picture.columns) == (32, 32)
    part: Any = stand.presenter.parts["map"]
    part.see((0, 32), (0, 32))
    assert not stand.jobs.pending, "too much to be exact"
    part.see((8, 14), (4, 10))
    stand.run()
    detail = stand.map.detail
    assert detail is not None
    assert detail.holds(8, 4)
    assert detail.holds(13, 9)
    assert detail.values[13 - detail.row, 9 - detail.column] == stand.capture.weights(0, 0)[13, 9]
    part.see((8, 14), (4, 11))
    assert not stand.jobs.pending, "a little panning is covered"
    part.choose_row(20, "only")
    stand.run()
    assert np.allclose(stand.map.profile, np.maximum(stand.capture.weights(0, 0)[20], 0))


def test_a_failed_map_says_so_in_its_place(stand: Stand) -> None:
    stand.engine.fails = InputError("The map is broken.", "Choose another.")
    stand.presenter.look(layer=2)
    stand.run()
    assert [problem.message for problem in stand.map.problems] == ["The map is broken."]
    stand.presenter.look(layer=1)
    stand.run()
    assert stand.map.mapped is not None
    assert stand.map.mapped.request.layer == 1


def test_what_is_seen_is_saved_as_csv_and_everything_as_an_archive(stand: Stand, tmp_path: Path) -> None:
    part: Any = stand.presenter.parts["map"]
    stand.map.path = tmp_path / "map.csv"
    part.save_csv((1, 4), (0, 3), None)
    stand.run()
    rows = list(csv.reader(io.StringIO((tmp_path / "map.csv").read_text("utf-8"))))
    weights = stand.capture.weights(0, 0)
    assert rows[0][2:] == ["<s>", "the", "␣cat"]
    assert [row[:2] for row in rows[2:]] == [["the", "1"], ["␣cat", "2"], ["␣saw", "3"]]
    for row, cells in zip(range(1, 4), rows[2:], strict=True):
        for column, cell in enumerate(cells[2:]):
            value = weights[row, column]
            assert cell == ("" if value == MASKED else f"{value:.9g}")
    stand.map.path = tmp_path / "all.npz"
    part.save_everything()
    stand.run()
    assert stand.capture.saved == [tmp_path / "all.npz"]
    assert len(stand.notifier.said) == 2


# --- what else can be read --------------------------------------------------------------------------------------


def test_a_completion_can_be_followed_token_by_token(stand: Stand) -> None:
    assert not stand.screen.offer.completion
    stand.bench.completion = Completion(TEXT, (7, 8, 9), " made7 made8 made9")
    assert stand.screen.offer.completion
    assert stand.screen.steps is None
    stand.presenter.change(read="completion")
    stand.run()
    assert stand.engine.read[-1].continued == (7, 8, 9)
    steps = stand.screen.steps
    assert steps is not None
    assert (steps.first, steps.count, steps.current) == (5, 3, None)
    for step, words in ((0, "“␣made7” came from the row of “␣dog”"), (2, "“␣made9” came from the row of “␣made8”")):
        stand.presenter.step_to(step)
        assert stand.map.rows == (5 + step,)
        assert stand.screen.steps is not None
        assert (stand.screen.steps.current, stand.screen.steps.text) == (step, words)
    stand.presenter.step_to(3)
    assert stand.map.rows == (7,)
    stand.bench.prompt = "another prompt"
    stand.run()
    assert stand.engine.read[-1].text == TEXT
    assert any("own prompt is read" in note for note in stand.screen.notes)


def test_a_growing_completion_leaves_one_waiting_job(stand: Stand) -> None:
    stand.presenter.change(read="completion")
    for count in range(1, 6):
        stand.bench.completion = Completion(TEXT, tuple(range(count)), "…")
    assert stand.jobs.titles() == ["read"]
    stand.run()
    assert len(stand.engine.read[-1].continued) == 5


def test_an_encoder_reads_two_sentences_and_can_show_one_direction() -> None:
    stand = make(architecture=Architecture.ENCODER)
    stand.run()
    assert stand.screen.offer.pair
    stand.presenter.change(pair="it ran away")
    stand.run()
    assert stand.engine.read[-1].pair == "it ran away"
    mapped = stand.map.mapped
    assert mapped is not None
    assert mapped.picture.row_line == mapped.picture.column_line == 6
    stand.presenter.change(segments="A→B")
    stand.run()
    assert stand.capture.maps[-1].segments == (0, 1)


def test_an_encoder_decoder_has_three_kinds_of_attention() -> None:
    stand = make(architecture=Architecture.ENCODER_DECODER, saved={"target": "le chat"})
    stand.run()
    assert stand.screen.offer.kinds == ("encoder", "decoder", "cross")
    assert stand.screen.offer.target
    assert stand.presenter.reading is not None
    assert stand.presenter.reading.focus.kind == "encoder"
    stand.presenter.look(queries=(3,))
    stand.presenter.look(kind="cross")
    stand.run()
    assert stand.presenter.settled
    assert stand.presenter.reading.focus.queries == (), "the tokens of the other side are others"
    assert stand.map.mapped is not None
    assert stand.map.mapped.picture.row_labels == ("<pad>", "le", "␣chat")
    assert stand.capture.surveyed == ["encoder", "cross"]
    assert stand.screen.title == "Cross · Layer 0 · head 0"
    marked: list[Selection] = []
    stand.bench.selection_changed.connect(marked.append)
    stand.presenter.point("queries", 1)
    stand.presenter.point("keys", 1)
    assert [TEXT[mark.start : mark.end] for mark in marked] == ["the"]
    stand.presenter.look(kind="encoder")
    stand.run()
    assert stand.capture.surveyed == ["encoder", "cross"], "a survey is made once"


def test_padding_is_read_and_moves_the_places_in_the_prompt(stand: Stand) -> None:
    stand.presenter.change(padding=-2)
    stand.run()
    assert stand.engine.read[-1].padding == -2
    assert stand.presenter.reading is not None
    spans = stand.presenter.reading.spans["self", "keys"]
    assert spans[:3].tolist() == [[-1, -1]] * 3
    assert TEXT[slice(*spans[4])] == " cat"


# --- comparing --------------------------------------------------------------------------------------------------


def test_two_heads_side_by_side(stand: Stand) -> None:
    stand.presenter.change(tab="compare")
    stand.run()
    part: Any = stand.presenter.parts["compare"]
    part.hold(layer=2, head=3)
    stand.run()
    compared = stand.compare.compared
    assert isinstance(compared, Pair)
    assert compared.titles == ("Layer 0 · head 0", "Layer 2 · head 3")
    assert np.array_equal(compared.left.picture.base.values, stand.capture.weights(0, 0))
    assert np.array_equal(compared.right.picture.base.values, stand.capture.weights(2, 3))
    stand.presenter.look(layer=1, head=1)
    part.hold_focus()
    stand.run()
    assert stand.compare.held is not None
    assert (stand.compare.held.layer, stand.compare.held.head) == (1, 1)
    assert stand.presenter.settled


def test_two_prompts_as_a_difference_or_the_reason_why_not(stand: Stand) -> None:
    stand.presenter.change(tab="compare")
    part: Any = stand.presenter.parts["compare"]
    part.choose_mode("prompts")
    stand.run()
    assert isinstance(stand.compare.compared, Words)
    part.type_other("the cow saw the dog")
    stand.run()
    compared = stand.compare.compared
    assert isinstance(compared, Difference)
    assert compared.picture.row_labels[2] == "␣cat | ␣cow"
    expected = np.where(compared.first < 0, np.nan, compared.second - compared.first)
    assert np.array_equal(compared.picture.base.values, expected, equal_nan=True)
    assert compared.norm.scale is Scale.DIFFERENCE
    part.type_other("the cow saw")
    stand.run()
    words = stand.compare.compared
    assert isinstance(words, Words)
    assert "6 tokens" in words.text
    assert "4" in words.text


# --- life -------------------------------------------------------------------------------------------------------


def test_cancelling_says_so_and_can_be_taken_back() -> None:
    stand = make()
    stand.jobs.cancel(stand.presenter, "read")
    assert stand.screen.stage.kind is Kind.ERROR
    stand.presenter.act(Act.RETRY)
    stand.run()
    assert stand.presenter.settled


def test_a_closed_panel_hears_nothing_more(stand: Stand) -> None:
    stand.bench.prompt = "one more"
    stand.presenter.close()
    assert not stand.jobs.pending
    stand.bench.prompt = "and another"
    stand.bench.completion = None
    assert not stand.jobs.pending


def test_settings_survive_and_nonsense_does_not() -> None:
    params = Params(tab="compare", scale="log", words=True, pair="x", padding=-3, threshold=0.25, sort="entropy")
    assert Params.from_dict(params.to_dict()) == params
    bad = {"tab": 7, "scale": "loud", "words": "yes", "padding": 10**9, "threshold": float("nan"), "pair": None}
    assert Params.from_dict(bad) == Params()
    stand = make(saved={"tab": "lens"})
    assert stand.presenter.params.tab == "map", "a tab that is not there"
