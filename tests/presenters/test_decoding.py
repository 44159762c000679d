"""The decoding panel's presenter, with a view that writes down and jobs that run when the test says so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.errors import InputError
from llmlab.engine.progress import Progress
from llmlab.engine.sampling import Cut, SamplingSettings, shape
from llmlab.engine.types import Architecture, ModelInfo, ModelRequest
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding import completions
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.picture import Picture, Screen
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.ui.screen import Kind
from llmlab.workbench import Completion, ModelState, Status, Workbench
from tests.presenters.decoding_fakes import (
    MASK,
    WORDS,
    FakeEngine,
    FakeNotifier,
    FakeView,
    ManualJobs,
    logits_of,
    model_info,
    ready,
    set_model,
)


@dataclass
class Stand:
    """The presenter with everything around it."""

    presenter: DecodingPresenter
    view: FakeView
    jobs: ManualJobs
    engine: FakeEngine
    bench: Workbench
    notifier: FakeNotifier

    @property
    def screen(self) -> Screen:
        assert self.view.screen is not None
        return self.view.screen

    @property
    def picture(self) -> Picture:
        assert self.view.picture is not None
        return self.view.picture

    def settle(self) -> None:
        """Run all jobs, and the frames they ask for."""
        while self.jobs.pending or self.view.frame_wanted:
            self.jobs.run_all()
            self.frame()

    def frame(self) -> None:
        if self.view.frame_wanted:
            self.view.frame_wanted = False
            self.presenter.frame()


def make(info: ModelInfo | None, prompt: str = "", saved: dict[str, Any] | None = None) -> Stand:
    engine = FakeEngine(info or model_info())
    jobs, view, notifier = ManualJobs(engine), FakeView(), FakeNotifier()
    bench = Workbench(jobs)  # type: ignore[arg-type]
    bench.prompt = prompt
    if info is not None:
        ready(bench, info)
    context = PanelContext(bench, jobs, notifier, saved or {})  # type: ignore[arg-type]
    presenter = DecodingPresenter(context, view)
    presenter.activate()
    return Stand(presenter, view, jobs, engine, bench, notifier)


@pytest.fixture
def stand() -> Stand:
    made = make(model_info(), "Once")
    made.settle()
    return made


@pytest.fixture
def encoder() -> Stand:
    made = make(model_info(Architecture.ENCODER), f"The {MASK} sat on the {MASK}.")
    made.settle()
    return made


# --- the distribution -------------------------------------------------------------------------------------------


def test_the_prompts_distribution_is_shaped_with_the_settings(stand: Stand) -> None:
    expected = shape(logits_of("Once"), stand.presenter.params.sampling)
    np.testing.assert_array_equal(stand.picture.shaped.probabilities, expected.probabilities)
    assert stand.screen.stage.kind is Kind.READY
    assert stand.screen.place.title == "Next token after the prompt"
    assert stand.picture.text_of(49) == WORDS[49], "the whole vocabulary is named"
    assert stand.presenter.settled


def test_until_the_vocabulary_has_come_the_best_tokens_are_named() -> None:
    stand = make(model_info(), "Once")
    stand.jobs.run_next()
    stand.frame()
    best = int(stand.picture.shaped.ids[0])
    assert stand.picture.text_of(best) == WORDS[best]
    assert stand.picture.text_of(int(logits_of("Once").ids[-1])).startswith("#")
    assert not stand.presenter.settled


def test_typing_leaves_one_waiting_job_and_shows_the_last_prompt(stand: Stand) -> None:
    stand.engine.read.clear()
    for end in range(1, 30):
        stand.bench.prompt = "Once upon a time there was a girl"[:end]
    assert stand.jobs.titles() == ["prompt"]
    stand.settle()
    assert stand.engine.read == ["Once upon a time there was a "]


def test_a_result_for_an_older_prompt_is_shown_while_the_newer_one_waits(stand: Stand) -> None:
    """Cancelling on every key would freeze the picture while someone types."""
    stand.bench.prompt = "Once upon"
    job = stand.jobs.pending.pop()
    stand.bench.prompt = "Once upon a time"
    stand.jobs.pending.insert(0, job)
    stand.jobs.run_next()
    stand.frame()
    np.testing.assert_array_equal(stand.picture.shaped.ids[:1], logits_of("Once upon").ids[:1])
    assert not stand.presenter.settled
    stand.settle()
    np.testing.assert_array_equal(stand.picture.shaped.ids[:1], logits_of("Once upon a time").ids[:1])


def test_a_knob_needs_no_job_and_many_moves_make_one_picture(stand: Stand) -> None:
    pictures = stand.view.pictures
    for i in range(1000):
        stand.presenter.change(temperature=0.5 + i / 1000)
    assert stand.jobs.pending == []
    stand.frame()
    assert stand.view.pictures == pictures + 1
    expected = shape(logits_of("Once"), stand.presenter.params.sampling)
    assert stand.picture.shaped.entropy == expected.entropy
    assert stand.presenter.params.temperature == pytest.approx(1.499)


def test_the_cut_reasons_name_the_settings(stand: Stand) -> None:
    stand.presenter.change(top_k=7, top_p=1.0)
    stand.frame()
    assert stand.picture.reasons[Cut.TOP_K] == "top-k 7"
    assert stand.picture.shaped.kept == 7


def test_greedy_marks_the_token_that_will_be_taken(stand: Stand) -> None:
    assert stand.picture.drawn is None
    stand.presenter.change(do_sample=False)
    stand.frame()
    assert stand.screen.greedy
    assert stand.picture.drawn == int(logits_of("Once").ids[0])


def test_an_empty_prompt_offers_examples_and_one_click_uses_it() -> None:
    stand = make(model_info())
    assert stand.screen.stage.kind is Kind.EMPTY
    assert not stand.screen.can_generate
    assert stand.screen.generate_reason == "The prompt is empty."
    stand.presenter.use_example(stand.screen.stage.examples[0])
    stand.settle()
    assert stand.screen.stage.kind is Kind.READY
    stand.bench.prompt = ""
    assert stand.screen.stage.kind is Kind.EMPTY
    stand.settle()
    assert stand.view.picture is None


def test_a_result_that_comes_after_the_prompt_was_emptied_is_not_shown(stand: Stand) -> None:
    stand.bench.prompt = "Once upon"
    stand.bench.prompt = ""
    stand.settle()
    assert stand.view.picture is None
    assert stand.screen.stage.kind is Kind.EMPTY


def test_a_failure_stands_in_the_pictures_place_until_the_prompt_is_mended(stand: Stand) -> None:
    stand.engine.fails = InputError("The prompt is too long.", "Shorten it.")
    stand.bench.prompt = "too long"
    stand.settle()
    assert stand.screen.stage.kind is Kind.ERROR
    assert (stand.screen.stage.title, stand.screen.stage.text) == ("The prompt is too long.", "Shorten it.")
    assert stand.view.picture is None
    stand.bench.prompt = "good"
    stand.settle()
    assert stand.screen.stage.kind is Kind.READY


def test_a_panel_in_the_background_asks_for_nothing(stand: Stand) -> None:
    stand.presenter.deactivate()
    stand.bench.prompt = "unseen"
    assert stand.jobs.pending == []
    stand.presenter.activate()
    stand.settle()
    assert stand.engine.read[-1] == "unseen"
    stand.presenter.activate()
    assert stand.jobs.pending == [], "nothing has changed since"


def test_a_closed_panel_hears_nothing(stand: Stand) -> None:
    stand.bench.prompt = "last words"
    stand.presenter.close()
    assert stand.jobs.pending == []
    shown = stand.screen
    stand.bench.prompt = "more"
    ready(stand.bench, model_info(), generation=9)
    assert stand.screen is shown


# --- completions ------------------------------------------------------------------------------------------------


def generate(stand: Stand, tokens: int = 5, **changes: Any) -> None:
    stand.presenter.change(max_new_tokens=tokens, **changes)
    stand.presenter.runs.generate()
    stand.settle()


def test_a_completion_uses_exactly_the_settings(stand: Stand) -> None:
    generate(stand, 3, temperature=0.7, top_k=9, top_p=0.8, min_p=0.01, repetition_penalty=1.2, seed=5, stop=("x",))
    asked = stand.engine.generated[-1]
    defaults = {name: getattr(SamplingSettings(), name) for name in SamplingSettings.__dataclass_fields__}
    assert asked == defaults | {
        "text": "Once",
        "max_new_tokens": 3,
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 9,
        "top_p": 0.8,
        "min_p": 0.01,
        "repetition_penalty": 1.2,
        "seed": 5,
        "stop": ("x",),
        "overflow": "stop",
        "cuda_graphs": True,
        "given": (),
        "known": 0,
        "capture": True,
        "keep_cache": True,
    }
    assert [step.index for step in stand.view.steps] == [0, 1, 2]
    assert stand.screen.status == "3 tokens · 10.0 tokens/s · first after 0.50 s · reached the limit of new tokens"
    assert not stand.screen.generating
    assert stand.jobs.reports[0].startswith("Generating 1 of 3")


def test_stop_ends_it_within_one_step_and_keeps_what_is_there(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.presenter.completions.stop() if index == 4 else None
    generate(stand, 50)
    assert len(stand.view.steps) == 4
    assert stand.screen.status.endswith("stopped by you")
    assert stand.screen.has_run
    assert not stand.screen.generating


def test_stopping_before_it_began_leaves_a_clear_state(stand: Stand) -> None:
    stand.presenter.runs.generate()
    assert stand.screen.generating
    assert stand.screen.status == "Reading the prompt…"
    stand.presenter.completions.stop()
    assert not stand.screen.generating
    assert stand.screen.status == "Stopped by you"


def test_generating_again_replaces_the_running_completion(stand: Stand) -> None:
    def again(index: int) -> None:
        if index == 2 and len(stand.engine.generated) == 1:
            stand.presenter.change(seed=9)
            stand.presenter.runs.generate()

    stand.engine.between = again
    generate(stand, 4)
    assert [step.index for step in stand.view.steps] == [0, 1, 2, 3]
    assert stand.engine.generated[-1]["seed"] == 9
    assert stand.screen.status.endswith("reached the limit of new tokens")


def test_a_prompt_typed_meanwhile_waits_and_the_picture_says_so(stand: Stand) -> None:
    notes: list[str] = []

    def between(index: int) -> None:
        if index == 2:
            stand.bench.prompt = "Another"
            notes.append(stand.screen.place.note)

    stand.engine.between = between
    generate(stand, 4)
    assert notes == ["of the former prompt; the new one is read when the completion has ended"]
    assert stand.screen.place.note == ""
    np.testing.assert_array_equal(stand.picture.shaped.ids[:1], logits_of("Another").ids[:1])


def test_regenerate_repeats_the_runs_settings_not_the_sliders(stand: Stand) -> None:
    generate(stand, 3, seed=4)
    first = stand.presenter.run
    stand.presenter.change(temperature=1.9, max_new_tokens=2)
    stand.presenter.runs.regenerate()
    stand.settle()
    assert stand.engine.generated[-1] == stand.engine.generated[0]
    assert first is not None
    assert stand.presenter.run is not None
    assert stand.presenter.run.text == first.text
    stand.presenter.runs.regenerate(new_seed=True)
    stand.settle()
    assert stand.engine.generated[-1]["temperature"] == stand.engine.generated[0]["temperature"]
    assert stand.engine.generated[-1]["seed"] == stand.presenter.params.seed != 4
    assert stand.view.params == stand.presenter.params, "the new seed is shown"


def test_a_failure_keeps_the_text_and_tells_the_window(stand: Stand) -> None:
    def fail(index: int) -> None:
        if index == 2:
            stand.engine.fails = MemoryError("no memory")

    stand.engine.between = fail
    generate(stand, 5)
    assert len(stand.view.steps) == 2
    assert stand.screen.status.endswith("ended by an error")
    assert "no memory" in stand.notifier.errors[0].message


def test_clear_removes_the_completion(stand: Stand) -> None:
    generate(stand)
    stand.presenter.completions.clear()
    assert stand.view.steps == []
    assert stand.presenter.run is None
    assert not stand.screen.has_run
    assert not stand.screen.place.following


def test_the_completion_is_there_for_other_panels_until_it_is_cleared(stand: Stand) -> None:
    seen: list[Completion | None] = []
    stand.bench.completion_changed.connect(seen.append)
    generate(stand, 3)
    run = stand.presenter.run
    assert run is not None
    assert seen[-1] == stand.bench.completion == Completion("Once", run.ids, run.text)
    assert len(run.ids) == 3
    stand.presenter.completions.clear()
    assert seen[-1] is None


def test_clear_while_it_runs_shows_no_later_token(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.presenter.completions.clear() if index == 2 else None
    generate(stand, 9)
    assert stand.view.steps == []
    assert stand.screen.status == ""


# --- places -----------------------------------------------------------------------------------------------------


def test_a_clicked_token_shows_what_it_was_drawn_from_without_a_job(stand: Stand) -> None:
    generate(stand, 4)
    stand.presenter.places.select_step(2)
    assert stand.jobs.pending == []
    stand.frame()
    before = "Once" + "".join(step.text for step in stand.view.steps[:2])
    expected = shape(logits_of(before), stand.presenter.params.sampling)
    np.testing.assert_array_equal(stand.picture.shaped.ids, expected.ids)
    assert stand.picture.drawn == stand.view.steps[2].token_id
    assert stand.screen.place.title == "Token 3 of the completion"
    assert stand.view.selected == 2
    stand.presenter.change(temperature=1.7)
    stand.frame()
    assert stand.picture.shaped.entropy == shape(logits_of(before), stand.presenter.params.sampling).entropy


def test_the_place_after_the_completion_reads_the_whole_text(stand: Stand) -> None:
    generate(stand, 3)
    for _ in range(9):
        stand.presenter.places.go(1)
    stand.settle()
    assert stand.screen.place.title == "Next token after the completion"
    assert not stand.screen.place.following
    assert stand.engine.read[-1] == "Once" + "".join(step.text for step in stand.view.steps)
    assert stand.picture.drawn is None
    assert stand.view.selected == -1
    stand.presenter.places.go(-1)
    stand.frame()
    assert stand.screen.place.title == "Token 3 of the completion"
    stand.presenter.places.go(0)
    stand.frame()
    assert stand.screen.place.title == "Next token after the prompt"


def test_another_prompt_leads_back_to_it_and_the_completion_keeps_its_own(stand: Stand) -> None:
    generate(stand, 3)
    stand.presenter.places.select_step(1)
    stand.bench.prompt = "Another"
    stand.settle()
    assert stand.screen.place.title == "Next token after the prompt"
    assert stand.view.selected == -1
    assert stand.picture.drawn is None, "the first token was drawn after another prompt"
    stand.presenter.places.select_step(1)
    stand.frame()
    assert stand.picture.drawn == stand.view.steps[1].token_id


def test_steps_beyond_the_memory_limit_show_their_best_tokens_as_generated(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "KEPT_BYTES", 2 * 8 * len(WORDS))
    generate(stand, 4, top_k=3, top_p=1.0)
    assert [step.sorted is not None for step in stand.view.steps] == [True, True, False, False]
    stand.presenter.places.select_step(3)
    stand.frame()
    assert len(stand.picture.shaped.ids) == 20
    assert stand.picture.shaped.kept == 3
    assert stand.picture.drawn == stand.view.steps[3].token_id
    assert "as generated" in stand.screen.place.note
    assert stand.picture.text_of(stand.view.steps[3].token_id) == stand.view.steps[3].token


# --- another model ----------------------------------------------------------------------------------------------


def test_another_model_makes_everything_stale_but_keeps_the_text(stand: Stand) -> None:
    generate(stand, 3)
    stand.presenter.places.select_step(2)
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.screen.former == "Fake"
    assert len(stand.view.steps) == 3
    assert stand.screen.place.title == "Next token after the prompt"
    stand.presenter.places.select_step(1)
    assert stand.screen.place.title == "Next token after the prompt", "its distributions are gone"
    stand.settle()
    assert stand.screen.stage.kind is Kind.READY
    stand.presenter.runs.generate()
    assert stand.screen.former == ""


def test_a_result_of_the_former_model_is_never_shown(stand: Stand) -> None:
    stand.bench.prompt = "Once upon"
    late = stand.jobs.pending.pop()
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.jobs.pending.insert(0, late)
    stand.jobs.run_next()
    stand.frame()
    assert stand.view.picture is None
    assert stand.screen.stage.kind is Kind.LOADING
    stand.settle()
    assert stand.view.picture is not None


def test_opening_another_model_stops_the_completion(stand: Stand) -> None:
    def open_other(index: int) -> None:
        if index == 2:
            set_model(
                stand.bench,
                ModelState(Status.LOADING, model_info(), ModelRequest("x"), Progress("Preparing"), generation=1),
            )

    stand.engine.between = open_other
    generate(stand, 50)
    assert len(stand.view.steps) == 2
    assert stand.screen.generate_reason == "No model is ready yet."


def test_the_picture_waits_for_the_first_model() -> None:
    stand = make(None, "Once")
    assert stand.screen.stage.kind is Kind.EMPTY
    progress = Progress("Reading weights", 0.4)
    set_model(stand.bench, ModelState(Status.LOADING, None, ModelRequest("x"), progress))
    assert (stand.screen.stage.kind, stand.screen.stage.fraction) == (Kind.LOADING, 0.4)
    ready(stand.bench, model_info())
    stand.settle()
    assert stand.screen.stage.kind is Kind.READY


# --- encoders ---------------------------------------------------------------------------------------------------


def test_an_encoder_shows_one_place_for_each_mask(encoder: Stand) -> None:
    assert encoder.screen.fill_mask
    assert encoder.screen.place.title == "Mask 1 of 2"
    encoder.presenter.places.go(1)
    encoder.frame()
    assert encoder.screen.place.title == "Mask 2 of 2"
    assert "around 1" in encoder.screen.place.note
    assert encoder.view.current_mask == 1
    expected = shape(logits_of(encoder.bench.prompt + "1"), encoder.presenter.params.sampling)
    np.testing.assert_array_equal(encoder.picture.shaped.ids, expected.ids)
    encoder.presenter.places.select_mask(0)
    encoder.frame()
    assert encoder.screen.place.title == "Mask 1 of 2"


def test_an_encoders_text_is_shown_with_its_masks_filled(encoder: Stand) -> None:
    texts = [part.text for part in encoder.view.filled]
    best = [WORDS[int(logits_of(encoder.bench.prompt + str(i)).ids[0])].strip() for i in range(2)]
    assert "".join(texts) == f"The {best[0]} sat on the {best[1]}."
    assert [part.mask for part in encoder.view.filled if part.probability] == [0, 1]
    encoder.presenter.sharing.copy_text()
    assert encoder.view.copied == ["".join(texts)]


def test_a_chosen_token_takes_the_masks_place(encoder: Stand) -> None:
    encoder.presenter.places.go(1)
    encoder.presenter.runs.choose_token(3, " mat")
    assert encoder.bench.prompt == f"The {MASK} sat on the mat."
    encoder.settle()
    assert encoder.screen.place.title == "Mask 1 of 1"


def test_without_a_mask_one_can_be_put_in(encoder: Stand) -> None:
    encoder.bench.prompt = "The cat."
    encoder.settle()
    assert encoder.screen.stage.kind is Kind.EMPTY
    assert [label for label, _ in encoder.screen.stage.actions] == ["Insert mask"]
    assert all(MASK in example for example in encoder.screen.stage.examples)
    encoder.presenter.runs.generate()  # Ctrl+Return
    assert encoder.bench.prompt == f"The cat {MASK}."
    assert encoder.engine.generated == []


def test_a_chosen_token_joins_a_decoders_prompt_but_not_an_encoder_decoders(stand: Stand) -> None:
    stand.presenter.runs.choose_token(3, " upon")
    assert stand.bench.prompt == "Once upon"
    other = make(model_info(Architecture.ENCODER_DECODER), "Once")
    other.settle()
    assert other.screen.use_label == ""
    other.presenter.runs.choose_token(3, " upon")
    assert other.bench.prompt == "Once"


# --- settings and copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "saved",
    [
        {"temperature": "hot", "top_k": 3.7e300, "seed": -1, "stop": 5},
        {"temperature": float("nan"), "top_p": 1.5, "do_sample": "yes", "stop": ["", 3, "x" * 999]},
        {"max_new_tokens": True, "min_p": None, "repetition_penalty": 0, "logarithmic": 1},
    ],
)
def test_corrupt_settings_fall_back_to_defaults(saved: dict[str, Any]) -> None:
    assert Params.from_dict(saved) == Params()


def test_settings_come_back() -> None:
    params = Params(False, 0.3, 7, 0.5, 0.1, 1.3, 33, 12, ("\n\n", "end"), True)
    again = Params.from_dict(json.loads(json.dumps(params.to_dict())))
    assert again == params
    stand = make(model_info(), saved=params.to_dict())
    assert stand.view.params == params
    assert stand.presenter.save() == params.to_dict()
    params.generation.validated()


def test_the_run_is_exported_whole(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    stand.view.path = tmp_path / "run.csv"
    stand.presenter.sharing.export_run("csv")
    stand.settle()
    rows = list(csv.DictReader(io.StringIO(stand.view.path.read_text("utf-8"))))
    assert [row["token"] for row in rows] == [step.token for step in stand.view.steps]
    assert float(rows[0]["probability"]) == stand.view.steps[0].probability
    stand.view.path = tmp_path / "run.json"
    stand.presenter.sharing.export_run("json")
    stand.settle()
    run = json.loads(stand.view.path.read_text("utf-8"))
    assert run["completion"] == "".join(step.text for step in stand.view.steps)
    assert run["settings"]["max_new_tokens"] == 3
    assert len(run["steps"][0]["alternatives"]) == 20
    assert stand.view.asked == ["completion.csv", "completion.json"]
    assert stand.notifier.said == ["Saved as run.csv.", "Saved as run.json."]


def test_the_distribution_is_exported_with_every_token(stand: Stand, tmp_path: Path) -> None:
    stand.presenter.change(top_k=5, top_p=1.0)
    stand.frame()
    stand.presenter.sharing.export_distribution("copy")
    stand.settle()
    lines = stand.view.copied[-1].splitlines()
    assert len(lines) == 1 + len(WORDS)
    assert lines[6].endswith("\ttop-k 5")
    stand.view.path = tmp_path / "all.json"
    stand.presenter.sharing.export_distribution("json")
    stand.settle()
    data = json.loads(stand.view.path.read_text("utf-8"))
    assert data["kept"] == 5
    assert sum(token["probability"] for token in data["tokens"]) == pytest.approx(1, abs=1e-6)
    assert data["tokens"][0]["token"] == WORDS[data["tokens"][0]["token_id"]]


def test_a_file_that_cannot_be_written_is_told(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 2)
    stand.view.path = tmp_path / "missing" / "run.csv"
    stand.presenter.sharing.export_run("csv")
    stand.settle()
    assert len(stand.notifier.errors) == 1


def test_text_and_python_are_copied(stand: Stand) -> None:
    generate(stand, 3)
    stand.presenter.sharing.copy_text()
    assert stand.view.copied[-1] == "".join(step.text for step in stand.view.steps)
    stand.presenter.sharing.copy_python()
    assert "seed=0" in stand.view.copied[-1]
    stand.presenter.change(do_sample=False)
    stand.presenter.runs.generate()
    stand.settle()
    stand.presenter.sharing.copy_python()
    assert "do_sample=False" in stand.view.copied[-1]


@pytest.mark.parametrize("architecture", list(Architecture))
def test_every_snippet_is_python(architecture: Architecture) -> None:
    prompt = 'A "quoted" \\ prompt\nwith ' + MASK
    stand = make(model_info(architecture), prompt)
    for changes in ({"do_sample": True}, {"do_sample": False, "stop": ("\n", '"'), "repetition_penalty": 1.5}):
        stand.presenter.change(**changes)
        stand.presenter.sharing.copy_python()
        compile(stand.view.copied[-1], "snippet", "exec")


def test_cheap_means_cheap(stand: Stand) -> None:
    """Turning a knob must not call the engine, nor shape before the frame."""
    calls: list[str] = []
    stand.engine.distribution = lambda *_a, **_k: calls.append("read")  # type: ignore[method-assign]
    shapes: Callable[..., Any] = stand.presenter.frame
    stand.presenter.frame = lambda: (calls.append("frame"), shapes())  # type: ignore[method-assign]
    for value in np.linspace(0, 1, 200):
        stand.presenter.change(top_p=float(value))
    stand.jobs.run_all()
    assert calls == []
    stand.frame()
    assert calls == ["frame"]


def test_after_a_window_that_has_slid_there_is_no_next_token_to_ask_for() -> None:
    for tokens, following in ((64, True), (65, False)):  # the context window holds 64
        stand = make(model_info(), "Once", {"max_new_tokens": tokens, "overflow": "slide"})
        stand.jobs.run_all()
        stand.presenter.runs.generate()
        stand.jobs.run_all()
        stand.presenter.places.select_step(tokens - 1)
        stand.presenter.frame()
        assert stand.screen.place.following is following
        stand.presenter.places.go(1)
        stand.jobs.run_all()
        assert len(stand.engine.read) == (2 if following else 1)
        assert not stand.notifier.errors
