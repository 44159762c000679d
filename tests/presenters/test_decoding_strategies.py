"""Strategies side by side: what is planned, how columns grow, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import (
    Architecture,
    BeamNode,
    BeamState,
    BeamStep,
    DraftedToken,
    DraftStep,
    Hypothesis,
    ModelInfo,
)
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.comparing import Comparing, ComparisonScreen, planned
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.ui.panels.decoding.strategies import Column, Mark, Plan, State, Strategy
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, FakeView, ManualJobs, model_info, ready


def node(number: int, parent: int, index: int, text: str, state: BeamState = BeamState.KEPT) -> BeamNode:
    return BeamNode(number, parent, index, number, text, -1.0, -float(index + 1), state)


class Engine(FakeEngine):
    """Two steps of beams, and a lookup that guesses one token right and one wrong."""

    def beam_search(self, _text: str, *, control: Any, **_settings: Any) -> Iterator[BeamStep]:
        control.check()
        yield BeamStep(0, (node(0, -1, 0, " a"), node(1, -1, 0, " b", BeamState.PRUNED)), 0.1)
        self.between(100)
        control.check()
        end = node(2, 0, 1, " c", BeamState.FINISHED)
        yield BeamStep(1, (end,), 0.2, (Hypothesis(2, (0, 2), " a c", -2.0, -1.0),))

    def prompt_lookup(self, _text: str, *, control: Any, **_settings: Any) -> Iterator[DraftStep]:
        control.check()
        yield DraftStep((DraftedToken(1, " x", " x", -0.5, accepted=False),), (), 0.1)
        tokens = (DraftedToken(2, " y", " y", -0.5, accepted=True), DraftedToken(3, " z", " z", -0.5, accepted=False))
        yield DraftStep(tokens, (" q",), 0.3, finish_reason="length")


class Page:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.screen = ComparisonScreen()
        self.columns: tuple[Column, ...] = ()
        self.updates: list[int] = []

    def show_comparison(self, screen: ComparisonScreen) -> None:
        self.screen = screen

    def show_columns(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns

    def update_column(self, index: int, column: Column) -> None:
        assert self.columns[index] is column
        self.updates.append(index)


class Stand:
    def __init__(self, info: ModelInfo | None = None) -> None:
        self.engine = Engine(info or model_info())
        self.jobs, self.view, self.page = ManualJobs(self.engine), FakeView(), Page()
        self.notifier = FakeNotifier()
        self.bench = Workbench(self.jobs)  # type: ignore[arg-type]
        self.bench.prompt = "Once"
        ready(self.bench, self.engine.info)
        saved = {"tab": "strategies", "max_new_tokens": 4, "seed": 5, "top_k": 9}
        context = PanelContext(self.bench, self.jobs, self.notifier, saved)  # type: ignore[arg-type]
        self.presenter = DecodingPresenter(context, self.view, {"strategies": self.page})
        part = self.presenter.parts["strategies"]
        assert isinstance(part, Comparing)
        self.part = part
        self.presenter.activate()
        self.jobs.run_all()


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_every_strategy_has_its_column(stand: Stand) -> None:
    assert stand.page.screen.can_run
    stand.part.change(samples=2, beams=3)
    stand.part.run()
    assert stand.page.screen.running
    assert not stand.presenter.settled
    stand.jobs.run_all()
    greedy, first, second, beams, lookup = stand.page.columns
    assert [column.state for column in stand.page.columns] == [State.FINISHED] * 5
    assert [column.plan.title for column in stand.page.columns] == [
        "Greedy",
        "Sample, seed 5",
        "Sample, seed 6",
        "Beam search, 3 beams",
        "Prompt lookup",
    ]
    assert [asked["do_sample"] for asked in stand.engine.generated] == [False, True, True]
    assert [asked["seed"] for asked in stand.engine.generated] == [0, 5, 6]
    assert all(asked["top_k"] == 9 for asked in stand.engine.generated)
    assert len(greedy.tokens) == len(first.tokens) == 4
    assert greedy.tokens_per_second == pytest.approx(10.0)
    assert beams.text == " a c"
    assert lookup.text == " x y z"
    assert "self-BLEU of the 2 samples 1.000" in stand.page.screen.note
    assert not stand.page.screen.running
    assert second.perplexity is not None


def test_a_drafts_tokens_are_marked_and_rejected_ones_are_no_text() -> None:
    column = Column(Plan(Strategy.LOOKUP))
    for step in Engine(model_info()).prompt_lookup("", control=_Free()):
        column.add(step)
    assert [(token.text, token.mark) for token in column.told] == [
        (" x", Mark.PLAIN), (" y", Mark.ACCEPTED), (" q", Mark.REJECTED), (" z", Mark.PLAIN),
    ]  # fmt: skip
    assert column.accepted_share == 0.5
    assert column.log_probability == pytest.approx(-1.5)
    assert column.tokens_per_second == pytest.approx(2 / 0.2)


def test_beams_show_the_best_path_and_their_numbers() -> None:
    column = Column(Plan(Strategy.BEAMS, 2))
    first, last = Engine(model_info()).beam_search("", control=_Free())
    column.add(first)
    assert (column.text, column.best) == (" a", (0,))
    column.add(last)
    assert (column.text, column.best, column.score) == (" a c", (0, 2), -1.0)
    assert column.perplexity == pytest.approx(math.exp(1))


def test_a_hypothesis_spelled_otherwise_keeps_its_tokens() -> None:
    column = Column(Plan(Strategy.BEAMS, 2))
    column.add(BeamStep(0, (node(0, -1, 0, "<0xC3>"),), 0.1))
    end = node(1, 0, 1, "<0xA9>", BeamState.FINISHED)
    column.add(BeamStep(1, (end,), 0.2, (Hypothesis(1, (0, 1), "é", -2.0, -1.0),)))
    assert column.text == "é"
    assert len(column.tokens) == 2


def test_repetition_is_measured_on_tokens() -> None:
    column = Column(Plan(Strategy.GREEDY))
    for step in (DraftStep((DraftedToken(i, "w", "w", -1.0, accepted=False),), (), 0.1) for i in (1, 2, 3, 1, 2, 3)):
        column.add(step)
    assert column.repeated == (False, False, False, True, True, True)
    assert column.repeated_share == 0.5
    assert column.distinct(1) == 0.5


class _Free:
    def check(self) -> None: ...


def test_nothing_to_draw_means_one_sample() -> None:
    cold = GenerationSettings(SamplingSettings(temperature=0.0), seed=3)
    assert [plan.strategy for plan in planned(cold, 5, 4)].count(Strategy.SAMPLE) == 1


def test_stopping_keeps_what_is_there(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.part.stop() if index == 100 else None
    stand.part.run()
    stand.jobs.run_all()
    states = [column.state for column in stand.page.columns]
    assert states == [State.FINISHED] * 4 + [State.STOPPED] * 2
    assert not stand.part.busy
    assert stand.page.columns[4].text == " a"


def test_a_failure_ends_it_and_is_told(stand: Stand) -> None:
    def fail(index: int) -> None:
        if index == 2:
            stand.engine.fails = MemoryError("no memory")

    stand.engine.between = fail
    stand.part.run()
    stand.jobs.run_all()
    assert not stand.page.screen.running
    assert "no memory" in stand.notifier.errors[0].message


def test_another_prompt_is_said_and_another_model_clears(stand: Stand) -> None:
    stand.part.run()
    stand.jobs.run_all()
    stand.bench.prompt = "Other"
    stand.jobs.run_all()
    assert stand.page.screen.note.startswith("of another prompt")
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.page.columns == ()


def test_what_cannot_be_decoded_says_so() -> None:
    stand = Stand(model_info(Architecture.ENCODER))
    assert not stand.page.screen.can_run
    assert "fills masks" in stand.page.screen.reason
    stand.part.run()
    assert stand.page.columns == ()


def test_the_columns_are_exported(stand: Stand) -> None:
    stand.part.export("copy")
    assert stand.jobs.pending == []
    stand.part.run()
    stand.jobs.run_all()
    stand.part.export("copy")
    stand.jobs.run_all()
    lines = stand.view.copied[-1].splitlines()
    assert lines[0].startswith("strategy\ttokens")
    assert len(lines) == 1 + len(stand.page.columns)
