"""The tab of real sharding without a window: what is asked for, what is shown, what is taken along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmlab.engine import sharding
from llmlab.engine.errors import EngineError
from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.sharding.types import METHODS, Compared, MethodResult, RankResult, ShardingRequest, ShardingRun
from llmlab.ui.panels.memory.sharding import figures
from llmlab.ui.panels.memory.sharding.params import Params
from llmlab.ui.panels.memory.sharding.plots import losses
from llmlab.ui.panels.memory.sharding.presenter import Screen, Sharding
from llmlab.ui.panels.memory.sharding.stacks import bars
from llmlab.ui.screen import Kind
from tests.presenters.memory_stand import FakeDesk, Stand


def result(method: Strategy, ranks: int = 2) -> MethodResult:
    parts = tuple(RankResult(rank, 100, 0, 100, 200 + rank, (), (2.0, 1.0)) for rank in range(ranks))
    zero = method is Strategy.ZERO_1
    rows = (
        Compared("Parameters", 100, "Ψ · 4 = 25 · 4", (100.0,) * ranks),
        Compared("Optimizer states", 200, "Ψ · 8 = 25 · 8", tuple(200.0 + rank for rank in range(ranks))),
        Compared("Sent in a step", 100, "2Ψ", (150.0 if zero else 100.0,) * ranks, not zero, "Odd." if zero else ""),
    )
    return MethodResult(method, parts, rows, 1.0, 1.5 if zero else 1.0)


def whole(request: ShardingRequest) -> ShardingRun:
    return ShardingRun(
        request, "llama", 25, "cpu", (2.0, 1.0), tuple(result(m, request.ranks) for m in request.methods)
    )


class FakePage(FakeDesk):
    def __init__(self) -> None:
        super().__init__()
        self.screens: list[Screen] = []
        self.params: Params | None = None
        self.shown: list[tuple[tuple[MethodResult, ...], ShardingRun | None]] = []

    def show_screen(self, screen: Screen) -> None:
        self.screens.append(screen)

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_results(self, results: tuple[MethodResult, ...], run: ShardingRun | None) -> None:
        self.shown.append((results, run))


class Bench(Stand):
    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        super().__init__(Sharding, FakePage(), saved)
        self.tab.bring()

    @property
    def screen(self) -> Screen:
        return self.page.screens[-1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    def run(request: ShardingRequest, control: Any, told: Any) -> ShardingRun:
        control.report("Starting 2 processes")
        found = whole(request)
        for number, each in enumerate(found.results):
            control.report(f"{each.method}: step 1 of 1", (number + 1) / len(found.results))
            told(each)
        return found

    monkeypatch.setitem(vars(sharding), "run", run)
    return Bench()


def test_no_model_is_needed_and_each_method_is_shown_when_it_is_done(bench: Bench) -> None:
    assert bench.screen.stage.kind is Kind.EMPTY
    bench.tab.act("run")
    assert bench.tab.busy
    assert bench.screen.stage.kind is Kind.LOADING
    bench.jobs.run_all()
    assert [len(results) for results, _ in bench.page.shown] == [1, 2, 3, 4, 4]
    assert bench.page.shown[0][1] is None
    assert bench.page.shown[-1][1] == bench.tab.found
    assert any(screen.running and screen.stage.kind is Kind.READY and screen.progress for screen in bench.page.screens)
    assert not bench.tab.busy
    assert bench.screen.progress == ""


def test_without_a_method_nothing_runs(bench: Bench) -> None:
    bench.tab.change({"methods": ()})
    assert not bench.screen.can_run
    bench.tab.run()
    assert not bench.jobs.pending


def test_what_is_run_are_the_settings(bench: Bench) -> None:
    bench.tab.change({"methods": ("FSDP FULL_SHARD", "DDP")})
    bench.tab.change({"ranks": 3})
    bench.tab.run()
    bench.jobs.run_all()
    assert bench.tab.found.request == ShardingRequest((Strategy.DDP, Strategy.FULL_SHARD), ranks=3)
    assert not bench.screen.stale
    bench.tab.change({"steps": 9})
    assert bench.screen.stale


def test_what_was_stopped_says_nothing_more(bench: Bench) -> None:
    bench.tab.run()
    job = bench.jobs.pending[0]
    bench.tab.stop()
    assert not bench.tab.busy
    assert not bench.jobs.pending
    assert bench.screen.stage.kind is Kind.EMPTY
    job.done(whole(ShardingRequest()))  # its answer was on the way
    assert bench.tab.found is None


def test_a_failure_says_what_to_do_and_can_be_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    works = sharding.run

    def fails(*_: object) -> None:
        raise EngineError("Rank 1 was killed.", "Run it again.")

    monkeypatch.setitem(vars(sharding), "run", fails)
    bench.tab.run()
    bench.jobs.run_all()
    stage = bench.screen.stage
    assert (stage.kind, stage.title, stage.text) == (Kind.ERROR, "Rank 1 was killed.", "Run it again.")
    monkeypatch.setitem(vars(sharding), "run", works)
    bench.tab.act(stage.actions[0][1])
    bench.jobs.run_all()
    assert bench.screen.stage.kind is Kind.READY


def test_closing_ends_the_processes(bench: Bench) -> None:
    bench.tab.run()
    bench.tab.close()
    assert not bench.jobs.pending


def test_what_is_taken_along(bench: Bench, tmp_path: Path) -> None:
    bench.tab.export("copy")
    assert not bench.page.copied
    bench.tab.export("python")
    compile(bench.page.copied[-1], "snippet", "exec")
    assert "Strategy.DDP, Strategy.ZERO_1, Strategy.SHARD_GRAD_OP, Strategy.FULL_SHARD" in bench.page.copied[-1]
    bench.tab.run()
    bench.jobs.run_all()
    bench.tab.export("copy")
    assert bench.page.copied[-1].splitlines()[1].split("\t")[:5] == ["DDP", "Parameters", "100", "0", "100.0"]
    bench.page.folder = tmp_path
    for kind in ("csv", "json"):
        bench.tab.export(kind)
        bench.jobs.run_all()
    assert (tmp_path / "sharding.csv").read_text(encoding="utf-8").count("\n") == 1 + 4 * 3 * 2
    found = json.loads((tmp_path / "sharding.json").read_text(encoding="utf-8"))
    assert found["results"][1]["method"] == "ZeRO-1"
    assert found["alone"] == [2.0, 1.0]


@pytest.mark.parametrize(
    "saved", [{"ranks": 9, "steps": "x", "batch": 0, "tokens": True, "device": "tpu", "methods": 3}, {}]
)
def test_settings_that_make_no_sense_are_left_at_their_defaults(saved: Mapping[str, Any]) -> None:
    assert Params.from_dict(saved) == Params()


def test_settings_are_found_again() -> None:
    params = Params(("ZeRO-1",), 4, 9, 1, 100, "cpu")
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params


# In words and pictures


def test_words_and_bars() -> None:
    results = tuple(map(result, METHODS))
    found = figures.notes(results)
    assert "ZeRO-1 1.5× (1×)" in found
    assert "ZeRO-1: Odd." in found
    assert figures.cells("DDP", results[0].compared[1], 4) == (
        "DDP", "Optimizer states", "200", "200", "201", "", "", "−0.50 %",
    )  # fmt: skip
    stacks = bars(results)
    assert len(stacks) == 8
    assert (stacks[0].total, stacks[1].name, stacks[1].total) == (300, "rank 1, measured", 301)


def test_losses_of_all_and_of_one_process() -> None:
    request = ShardingRequest()
    plot = losses(tuple(map(result, METHODS)), whole(request))
    assert [series.name for series in plot.series][-1] == "one process"
    assert all(series.y.tolist() == [2.0, 1.0] for series in plot.series)
    assert not losses((), None).series
