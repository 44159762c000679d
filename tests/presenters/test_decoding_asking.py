"""The tab where a continuation's exact probability is asked for."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from llmlab.engine.errors import InputError
from llmlab.engine.types import Architecture, Feature, ModelInfo, ScoredContinuation
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.asking import Answers, Asking
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, FakeView, ManualJobs, model_info, ready


class Page:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.answers: Answers | None = None
        self.message = ""

    def show_answers(self, answers: Answers | None, message: str) -> None:
        self.answers, self.message = answers, message


class Scorer(FakeEngine):
    """Finds a continuation the less probable, the longer it is: −1 for each character."""

    def score_tokens(
        self, text: str, continuations: tuple[str, ...], _control: object
    ) -> tuple[ScoredContinuation, ...]:
        self.read.append(text)
        self._fail()
        return tuple(map(scored, continuations))


def scored(text: str) -> ScoredContinuation:
    count = len(text)
    ids, ones = np.arange(count, dtype=np.int32), np.ones(count)
    return ScoredContinuation(text, ids, tuple(text), -ones, ids.astype(np.int64), ids, tuple(text), -0.5 * ones)


class Stand:
    def __init__(self, info: ModelInfo | None, prompt: str) -> None:
        self.engine = Scorer(info or model_info())
        self.jobs, self.view, self.page = ManualJobs(self.engine), FakeView(), Page()
        self.bench = Workbench(self.jobs)  # type: ignore[arg-type]
        self.bench.prompt = prompt
        if info is not None:
            ready(self.bench, info)
        context = PanelContext(self.bench, self.jobs, FakeNotifier(), {"tab": "ask"})  # type: ignore[arg-type]
        self.presenter = DecodingPresenter(context, self.view, {"ask": self.page})
        part = self.presenter.parts["ask"]
        assert isinstance(part, Asking)
        self.part = part
        self.presenter.activate()
        self.jobs.run_all()


def scorer(architecture: Architecture = Architecture.DECODER) -> ModelInfo:
    info = model_info(architecture)
    from dataclasses import replace

    return replace(info, features=info.features | {Feature.SCORE})


@pytest.fixture
def stand() -> Stand:
    return Stand(scorer(), "Once")


def test_each_line_is_a_continuation_and_words_begin_with_a_space(stand: Stand) -> None:
    stand.part.type("a\n\nlong\\n\n a\n", spaced=True)
    stand.jobs.run_all()
    assert stand.page.answers is not None
    assert [each.text for each in stand.page.answers.scored] == [" a", " long\n"], "no empty line, nothing twice"
    stand.part.type("a", spaced=False)
    stand.jobs.run_all()
    assert [each.text for each in stand.page.answers.scored] == ["a"]
    assert not stand.part.busy


def test_shares_are_the_probabilities_of_the_lines_among_themselves(stand: Stand) -> None:
    stand.part.type("a\nabc", spaced=False)
    stand.jobs.run_all()
    assert stand.page.answers is not None
    assert stand.page.answers.shares == pytest.approx((1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))))
    assert [row[0] for row in stand.page.answers.answer_rows()] == ["a", "abc"]
    assert len(list(stand.page.answers.token_rows())) == 4


def test_an_encoder_decoders_answer_begins_as_it_is_typed() -> None:
    stand = Stand(scorer(Architecture.ENCODER_DECODER), "Once")
    stand.part.type("a", spaced=True)
    stand.jobs.run_all()
    assert stand.page.answers is not None
    assert stand.page.answers.scored[0].text == "a"


def test_another_prompt_asks_again_and_the_same_does_not(stand: Stand) -> None:
    stand.part.type("a", spaced=True)
    stand.jobs.run_all()
    stand.engine.read.clear()
    stand.part.bring()
    assert stand.jobs.pending == []
    stand.bench.prompt = "Once upon"
    assert stand.part.busy
    assert not stand.presenter.settled
    stand.jobs.run_all()
    assert stand.engine.read.count("Once upon") == 2, "the distribution, and the answers"
    assert stand.page.answers is not None
    assert stand.page.answers.question.prompt == "Once upon"


def test_what_cannot_be_asked_is_said_in_place(stand: Stand) -> None:
    stand.part.type("a", spaced=True)
    stand.engine.fails = InputError("It is too long.", "Shorten it.")
    stand.jobs.run_all()
    assert (stand.page.answers, stand.page.message) == (None, "It is too long. Shorten it.")
    stand.bench.prompt = ""
    assert stand.page.message.startswith("The prompt is empty")
    mask = Stand(model_info(Architecture.ENCODER), "A [MASK]")
    mask.part.type("a", spaced=True)
    assert "fills masks" in mask.page.message
    assert not mask.part.busy


def test_nothing_typed_asks_nothing_and_forgets_late_answers(stand: Stand) -> None:
    stand.part.type("a", spaced=True)
    stand.part.type("", spaced=True)
    stand.jobs.run_all()
    assert stand.page.answers is None
    assert not stand.part.busy


def test_answers_are_copied_and_their_tokens_exported(stand: Stand, tmp_path) -> None:  # type: ignore[no-untyped-def]
    stand.part.export("copy")
    assert stand.jobs.pending == []
    stand.part.type("a\nabc", spaced=False)
    stand.jobs.run_all()
    stand.part.export("copy")
    stand.jobs.run_all()
    lines = stand.view.copied[-1].splitlines()
    assert lines[0].startswith("continuation\ttokens\tlog_probability")
    assert lines[2].startswith("abc\t3\t-3.0\t-1.0\t")
    stand.view.path = tmp_path / "answers.csv"
    stand.part.export("csv")
    stand.jobs.run_all()
    rows = list(csv.DictReader(io.StringIO(stand.view.path.read_text("utf-8"))))
    assert len(rows) == 4
    assert rows[2]["rank"] == "2"


def test_another_tab_in_front_asks_nothing(stand: Stand) -> None:
    stand.presenter.change(tab="completion")
    stand.bench.prompt = "Once upon a"
    assert stand.jobs.titles() == ["prompt"]
    stand.presenter.close()


def test_what_was_typed_is_found_again(stand: Stand) -> None:
    stand.part.type("one\ntwo", spaced=False)
    saved = stand.presenter.save()
    assert (saved["asked"], saved["asked_spaced"]) == ("one\ntwo", False)
    assert Params.from_dict(saved).asked == "one\ntwo"
    assert Params.from_dict({"asked": "x" * 30_000, "asked_spaced": "no"}).asked_spaced
