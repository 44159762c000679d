"""Branches: the tree, going on with another token, editing, undoing, comparing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmlab.engine.knobs import STAGES
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import Architecture
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding import stages
from llmlab.ui.panels.decoding.branches import MOST_RUNS, Branches
from llmlab.ui.panels.decoding.branching import Branching, BranchScreen, compare, settings_words
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.ui.panels.decoding.run import Outcome, Run
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import (
    WORDS,
    FakeEngine,
    FakeNotifier,
    FakeView,
    ManualJobs,
    model_info,
    ready,
    step,
)


class Page:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.screen = BranchScreen()

    def show_branches(self, screen: BranchScreen) -> None:
        self.screen = screen


class Stand:
    """The presenter with the tab in front, and a completion of six tokens."""

    def __init__(self, architecture: Architecture = Architecture.DECODER) -> None:
        self.engine = FakeEngine(model_info(architecture))
        self.jobs, self.view, self.page = ManualJobs(self.engine), FakeView(), Page()
        self.bench = Workbench(self.jobs)  # type: ignore[arg-type]
        self.bench.prompt = "Once"
        ready(self.bench, self.engine.info)
        saved = {"tab": "branches", "max_new_tokens": 6, "do_sample": True, "top_k": 0, "top_p": 1.0}
        context = PanelContext(self.bench, self.jobs, FakeNotifier(), saved)  # type: ignore[arg-type]
        self.presenter = DecodingPresenter(context, self.view, {"branches": self.page})
        part = self.presenter.parts["branches"]
        assert isinstance(part, Branching)
        self.part = part
        self.presenter.activate()
        self.presenter.runs.generate()
        self.settle()

    @property
    def run(self) -> Run:
        assert self.presenter.run is not None
        return self.presenter.run

    @property
    def text(self) -> str:
        return "".join(step.text for step in self.view.steps)

    def settle(self) -> None:
        while self.jobs.pending or self.view.frame_wanted:
            self.jobs.run_all()
            if self.view.frame_wanted:
                self.view.frame_wanted = False
                self.presenter.frame()


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_another_token_makes_a_branch_and_the_former_text_stays(stand: Stand) -> None:
    first = stand.run
    other = (first.ids[2] + 1) % len(WORDS)
    stand.presenter.runs.go_on(2, (other,))
    stand.settle()
    assert stand.run is not first
    assert stand.run.ids[:3] == (*first.ids[:2], other)
    assert stand.run.steps[2].given
    assert len(stand.run.steps) == 2 + 1 + 6, "so many new tokens from there on"
    assert stand.engine.generated[-1]["known"] == 2
    assert stand.engine.generated[-1]["given"] == (*first.ids[:2], other)
    assert stand.text == stand.run.text
    assert [row.depth for row in stand.page.screen.rows] == [0, 1]
    assert stand.page.screen.rows[1].parts_at == 3
    assert stand.page.screen.selected == (1,)
    stand.part.pick((0,))
    stand.settle()
    assert stand.run is first
    assert stand.text == first.text
    assert stand.bench.completion is not None
    assert stand.bench.completion.ids == first.ids


def test_a_branchs_script_gives_its_beginning_along(stand: Stand) -> None:
    first = stand.run
    assert first.given == ()
    stand.presenter.change(do_sample=False)
    stand.presenter.runs.go_on(2, (3, 4))
    stand.settle()
    assert stand.run.given == (*first.ids[:2], 3, 4)
    stand.presenter.sharing.copy_python()
    script = stand.view.copied[-1]
    compile(script, "snippet", "exec")
    assert f"given={[*first.ids[:2], 3, 4]!r}" in script
    assert "do_sample=False" in script


def test_a_bar_at_a_place_of_the_completion_branches_there(stand: Stand) -> None:
    stand.presenter.places.select_step(3)
    assert stand.view.screen is not None
    assert stand.view.screen.use_label == "Go on with this token, in a branch"
    stand.presenter.runs.choose_token(7, WORDS[7])
    pictures = stand.view.pictures
    assert stand.view.picture is not None
    stand.presenter.frame()
    assert stand.view.pictures == pictures, "what was shown stays until the token has come"
    stand.settle()
    assert stand.run.ids[3] == 7
    assert stand.view.selected == 3
    assert stand.view.picture.drawn == 7
    assert stand.bench.prompt == "Once"


def test_regenerating_from_a_place_takes_the_settings_of_now(stand: Stand) -> None:
    stand.presenter.change(temperature=0.0, seed=9)
    stand.presenter.runs.go_on(4)
    stand.settle()
    assert (stand.run.parted, stand.run.settings.seed, stand.run.settings.sampling.temperature) == (4, 9, 0.0)
    stand.presenter.runs.go_on(4, new_seed=True)
    stand.settle()
    assert stand.run.settings.seed == stand.presenter.params.seed != 9
    assert len(stand.presenter.completions.branches.tree.runs) == 3


def test_an_edited_text_goes_on_from_where_it_differs(stand: Stand) -> None:
    first = stand.run
    words = [WORDS[i].strip() for i in first.ids[:2]]
    stand.presenter.runs.edit(" ".join([*words, "word7"]))
    stand.settle()
    assert stand.run.parted == 2
    assert stand.run.ids[:3] == (*first.ids[:2], 7)
    assert stand.run.parent is first
    count = len(stand.engine.generated)
    stand.presenter.runs.edit(stand.run.text)
    assert stand.jobs.pending == [], "nothing was changed"
    assert len(stand.engine.generated) == count


def test_undo_and_redo_go_through_the_tree(stand: Stand) -> None:
    first = stand.run
    stand.presenter.runs.go_on(1, (3,))
    stand.settle()
    branch = stand.run
    stand.part.rename(1, " other ")
    assert stand.page.screen.rows[1].name == "other"
    stand.part.undo()
    assert not stand.page.screen.rows[1].named
    stand.part.undo()
    assert stand.run is first
    assert len(stand.page.screen.rows) == 1
    stand.part.redo()
    stand.part.redo()
    assert stand.run is branch
    assert stand.part.name_of(1) == "other"
    assert not stand.page.screen.can_redo
    stand.presenter.completions.clear()
    assert stand.view.steps == []
    stand.part.undo()
    assert stand.text == branch.text, "a text that was cleared comes back"


def test_pruning_takes_what_parts_from_it_along(stand: Stand) -> None:
    first = stand.run
    stand.presenter.runs.go_on(1, (3,))
    stand.settle()
    stand.presenter.runs.go_on(3, (4,))
    stand.settle()
    assert [row.depth for row in stand.page.screen.rows] == [0, 1, 2]
    stand.part.prune(1)
    stand.settle()
    assert stand.run is first
    assert len(stand.page.screen.rows) == 1
    stand.part.undo()
    assert len(stand.page.screen.rows) == 3


def test_two_branches_are_compared(stand: Stand) -> None:
    stand.presenter.runs.go_on(2, (3,))
    stand.settle()
    stand.part.pick((0, 1))
    left, right = stand.page.screen.sides
    first, second = stand.presenter.completions.branches.tree.runs
    assert "".join(part.text for part in left.parts) == first.text
    assert "".join(part.text for part in right.parts) == second.text
    assert left.parts[0].same
    assert left.parts[0].text == "".join(step.text for step in first.steps[:2])
    assert not left.parts[1].same
    assert stand.page.screen.note.startswith("They part at token 3")


def test_a_branch_begun_while_the_text_is_generated_ends_the_former(stand: Stand) -> None:
    former: list[Run] = []

    def again(index: int) -> None:
        if index == 3 and not former:
            former.append(stand.run)
            stand.presenter.runs.go_on(1, (8,))

    stand.engine.between = again
    stand.presenter.runs.generate()
    stand.settle()
    assert former[0].outcome is Outcome.STOPPED
    assert len(former[0].steps) == 3
    assert stand.run.ids[1] == 8
    assert stand.run.outcome is Outcome.FINISHED
    assert stand.text == stand.run.text


def test_switching_away_stops_what_is_generated(stand: Stand) -> None:
    first = stand.run
    stand.engine.between = lambda index: stand.part.pick((0,)) if index == 2 else None
    stand.presenter.runs.generate()
    stand.settle()
    assert stand.run is first
    assert stand.text == first.text
    assert [run.outcome for run in stand.presenter.completions.branches.tree.runs] == [
        Outcome.FINISHED,
        Outcome.STOPPED,
    ]


def test_another_model_keeps_the_text_on_screen_only(stand: Stand) -> None:
    stand.presenter.runs.go_on(2, (3,))
    stand.settle()
    text = stand.run.text
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.settle()
    tree = stand.presenter.completions.branches.tree
    assert [run.text for run in tree.runs] == [text]
    assert stand.run.former
    stand.presenter.runs.go_on(1, (3,))
    assert stand.jobs.pending == [], "a former model's text cannot go on"
    assert not stand.presenter.completions.branches.can_undo


def test_whole_distributions_are_kept_for_the_newest_only(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmlab.ui.panels.decoding import completions

    monkeypatch.setattr(completions, "KEPT_BYTES", 8 * len(WORDS) * 20)
    first = stand.run
    for _ in range(3):
        stand.presenter.runs.go_on(0, new_seed=True)
        stand.settle()
    assert all(step.sorted is None for step in first.steps)
    assert all(step.sorted is not None for step in stand.run.steps)
    assert first.steps[0].alternatives.texts


def test_the_branches_are_exported(stand: Stand) -> None:
    stand.presenter.runs.go_on(2, (3,))
    stand.settle()
    stand.part.export("copy")
    stand.jobs.run_all()
    lines = stand.view.copied[-1].splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("branch\tdepth\tname")


def run_of(ids: list[int], parent: Run | None = None) -> Run:
    settings = SamplingSettings()
    made: list[Any] = []
    for index, token in enumerate(ids):
        made.append(replace(step(index, "x", settings), token_id=token, text=WORDS[token]))
    return Run("p", GenerationSettings(), model_info(), made, Outcome.FINISHED, parent=parent)


def test_comparing_finds_what_both_have() -> None:
    first, second = run_of([1, 2, 3, 4, 5]), run_of([1, 9, 3, 4, 6])
    left, right = compare(first, second)
    assert [(part.text, part.same) for part in left] == [
        (WORDS[1], True), (WORDS[2], False), (WORDS[3] + WORDS[4], True), (WORDS[5], False),
    ]  # fmt: skip
    assert [part.same for part in right] == [True, False, True, False]
    long = run_of([*range(10)] * 200), run_of([*range(9, -1, -1)] * 200)
    assert [part.same for part in compare(*long)[0]] == [False], "too long to be matched token by token"


def test_the_tree_is_bounded_and_never_loses_what_is_on_screen() -> None:
    branches = Branches()
    root = run_of([1])
    branches.add(root)
    for number in range(MOST_RUNS + 20):
        branches.add(run_of([number % 50], parent=root))
    assert len(branches.tree.runs) == MOST_RUNS
    assert branches.tree.has(root), "branches hang from it"
    assert branches.tree.current is branches.tree.runs[-1]


def test_settings_in_few_words() -> None:
    assert settings_words(GenerationSettings(SamplingSettings(temperature=0.8, top_k=40))) == "T 0.8 · k 40"
    assert settings_words(GenerationSettings(SamplingSettings(do_sample=False, top_k=40))) == "greedy"
    assert settings_words(GenerationSettings()) == "as the model has it"
    words = SamplingSettings(temperature=0, min_p=0.1, bad_words_ids=((1,),), no_repeat_ngram_size=3)
    assert settings_words(GenerationSettings(words)) == "greedy · no-repeat n-gram 3 · banned words"
    other = SamplingSettings(temperature=0.5, sequence_bias=(((1,), 2.0),), order=tuple(reversed(STAGES)))
    assert settings_words(GenerationSettings(other)) == "T 0.5 · biased words · another order"


@pytest.mark.parametrize(("reason", "goes_on"), [("length", True), ("stop", True), ("eos", False), ("context", False)])
def test_what_has_ended_or_fills_the_window_is_not_read_on(reason: str, *, goes_on: bool) -> None:
    run = run_of([1, 2])
    run.steps[-1] = replace(run.steps[-1], finish_reason=reason)
    assert stages.can_go_on(run, running=False) == goes_on
