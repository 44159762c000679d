"""Strategies side by side: what is planned, how columns grow, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from llmlab.engine.errors import EngineError, UnsupportedModelError
from llmlab.engine.types import (
    Architecture,
    BeamNode,
    BeamState,
    BeamStep,
    DraftedToken,
    DraftStep,
    Hypothesis,
    ModelInfo,
    ModelRequest,
)
from llmlab.ui.panels.decoding.comparing import Comparing, ComparisonScreen, planned
from llmlab.ui.panels.decoding.params import WAYS, Params
from llmlab.ui.panels.decoding.strategies import Column, Mark, Plan, State, Strategy
from tests.presenters.decoding_fakes import FakeEngine, TabStand, model_info, ready


def node(number: int, parent: int, index: int, text: str, state: BeamState = BeamState.KEPT) -> BeamNode:
    return BeamNode(number, parent, index, number, text, -1.0, -float(index + 1), state)


class Engine(FakeEngine):
    """Two steps of beams, and a lookup that guesses one token right and one wrong."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.searched: list[dict[str, Any]] = []
        self.drafted: list[dict[str, Any]] = []
        self.fails_to_draft: EngineError | None = None

    def beam_search(self, _text: str, *, control: Any, **settings: Any) -> Iterator[BeamStep]:
        self.searched.append(settings)
        control.check()
        yield BeamStep(0, (node(0, -1, 0, " a"), node(1, -1, 0, " b", BeamState.PRUNED)), 0.1)
        self.between(100)
        control.check()
        end = node(2, 0, 1, " c", BeamState.FINISHED)
        yield BeamStep(1, (end,), 0.2, (Hypothesis(2, (0, 2), " a c", -2.0, -1.0),))

    def assisted(self, _text: str, *, control: Any, **settings: Any) -> Iterator[DraftStep]:
        self.drafted.append({name: settings[name] for name in ("draft", "num_tokens", "seed", "do_sample", "top_k")})
        if self.fails_to_draft:
            raise self.fails_to_draft
        return self.prompt_lookup("", control=control)

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


class Stand(TabStand):
    part: Comparing
    engine: Engine

    def __init__(self, info: ModelInfo | None = None) -> None:
        super().__init__("strategies", Page(), Engine(info or model_info()), max_new_tokens=4, seed=5, top_k=9)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_every_strategy_has_its_column(stand: Stand) -> None:
    assert stand.page.screen.can_run
    stand.part.change(samples=2, beams=3, ways=WAYS)
    stand.part.run()
    assert stand.page.screen.running
    assert not stand.presenter.settled
    stand.jobs.run_all()
    greedy, first, second, beams, sampled, lookup, assisted = stand.page.columns
    assert [column.state for column in stand.page.columns] == [State.FINISHED] * 7
    assert [column.plan.title for column in stand.page.columns] == [
        "Greedy",
        "Sample, seed 5",
        "Sample, seed 6",
        "Beam search, 3 beams",
        "Beam sample, 3 beams",
        "Prompt lookup",
        "Assisted, seed 5",
    ]
    assert [asked["do_sample"] for asked in stand.engine.generated] == [False, True, True]
    assert [asked["seed"] for asked in stand.engine.generated] == [0, 5, 6]
    assert all(asked["top_k"] == 9 for asked in stand.engine.generated)
    assert len(greedy.tokens) == len(first.tokens) == 4
    assert greedy.tokens_per_second == pytest.approx(10.0)
    assert beams.text == sampled.text == " a c"
    assert lookup.text == assisted.text == " x y z"
    assert [call["num_beams"] for call in stand.engine.searched] == [3, 3]
    assert "do_sample" not in stand.engine.searched[0]
    assert (stand.engine.searched[1]["do_sample"], stand.engine.searched[1]["seed"]) == (True, 5)
    assert stand.engine.drafted == [
        {"draft": "bundled:draft", "num_tokens": 5, "seed": 5, "do_sample": True, "top_k": 9},
    ]
    assert "self-BLEU 1.000 of the 2 samples" in stand.page.screen.note
    assert not stand.page.screen.running
    assert second.perplexity is not None


@pytest.mark.parametrize(
    ("spec", "drafter", "said"),
    [
        ("bundled:decoder", "bundled:draft", "bundled:draft"),
        ("bundled:draft", None, "this model itself"),
        ("some/decoder", None, "this model itself"),
    ],
)
def test_a_bundled_model_has_its_draft_and_any_other_guesses_for_itself(
    spec: str, drafter: str | None, said: str
) -> None:
    stand = Stand(replace(model_info(), request=ModelRequest(spec)))
    assert stand.page.screen.drafter == said
    stand.part.change(ways=("assisted",))
    stand.part.run()
    stand.jobs.run_all()
    assert [call["draft"] for call in stand.engine.drafted] == [drafter]


def test_only_the_chosen_ways_are_gone(stand: Stand) -> None:
    stand.part.change(ways=("greedy", "assisted"), draft="some/draft", guesses=3)
    stand.presenter.change(do_sample=False)
    stand.part.run()
    stand.jobs.run_all()
    assert [column.plan.title for column in stand.page.columns] == ["Greedy", "Assisted, greedy"]
    assert stand.engine.drafted[0]["draft"] == "some/draft"
    assert not stand.engine.drafted[0]["do_sample"]
    again = TabStand("strategies", Page(), Engine(model_info()), **stand.presenter.save())
    assert again.part.params.ways == ("greedy", "assisted")
    assert (again.part.params.draft, again.part.params.guesses) == ("some/draft", 3)


def test_a_draft_model_that_cannot_be_used_spares_the_other_columns(stand: Stand) -> None:
    stand.engine.fails_to_draft = UnsupportedModelError("They do not have the same tokens.", "Choose another one.")
    stand.part.change(ways=("assisted", "greedy", "prompt lookup"))
    stand.part.run()
    stand.jobs.run_all()
    assert [column.state for column in stand.page.columns] == [State.FINISHED, State.FINISHED, State.FAILED]
    assert "same tokens" in stand.page.columns[2].problem
    assert not stand.notifier.errors


def test_a_column_is_copied_as_text_and_as_python(stand: Stand) -> None:
    stand.part.run()
    stand.jobs.run_all()
    titles = [column.plan.strategy for column in stand.page.columns]
    stand.part.copy_text(titles.index(Strategy.BEAMS))
    assert stand.view.copied[-1] == " a c"
    stand.part.copy_python(titles.index(Strategy.BEAMS))
    assert "num_beams=4" in stand.view.copied[-1]


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
    column = Column(Plan(Strategy.BEAMS, beams=2))
    first, last = Engine(model_info()).beam_search("", control=_Free())
    column.add(first)
    assert (column.text, column.best) == (" a", (0,))
    column.add(last)
    assert (column.text, column.best, column.score) == (" a c", (0, 2), -1.0)
    assert column.perplexity == pytest.approx(math.exp(1))


def test_a_hypothesis_spelled_otherwise_keeps_its_tokens() -> None:
    column = Column(Plan(Strategy.BEAMS, beams=2))
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
    plans = [plan.strategy for plan in planned(Params(temperature=0.0, samples=5))]
    assert plans.count(Strategy.SAMPLE) == 1
    assert Strategy.BEAM_SAMPLE not in plans


def test_stopping_keeps_what_is_there(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.part.stop() if index == 100 else None
    stand.part.run()
    stand.jobs.run_all()
    states = [column.state for column in stand.page.columns]
    assert states == [State.FINISHED] * 4 + [State.STOPPED] * 3
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
