"""The tab of measurements without a window: what is asked for, what is shown, what is taken along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine import memory_measure
from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.memory_measure.types import Alive, Component, Curve, Measurement, MeasureSettings, Phase
from llmlab.ui.panels.memory.measured import figures
from llmlab.ui.panels.memory.measured.params import Params
from llmlab.ui.panels.memory.measured.plots import history, worst_of_each
from llmlab.ui.panels.memory.measured.presenter import Measuring, Screen
from llmlab.ui.screen import Kind
from llmlab.workbench import ModelState, Status
from tests.presenters.decoding_fakes import model_info, ready, set_model
from tests.presenters.memory_stand import FakeDesk, Stand


def phase(name: str, operations: int = 4) -> Phase:
    weights = np.full(operations, 1000, np.int64)
    working = np.arange(operations, dtype=np.int64) * 10
    return Phase(
        name,
        (
            Component("Weights", 1000, "parameters · 4", "250 · 4", 1000),
            Component("Activations", 36, "batch · tokens", "4 · 9", 30, "An estimate."),
        ),
        1036,
        "All components together.",
        (Curve("Weights", weights), Curve("Working memory", working)),
        (Alive("mm", "Working memory", (2, 5), "float32", 40),),
        tuple(f"op{i}" for i in range(operations)),
        1000 + 10 * (operations - 1),
        operations - 1,
        5000,
    )


PLAIN = MeasureSettings()


def measurement(settings: MeasureSettings = PLAIN, phases: tuple[str, ...] = ("Prefill", "Decoding")) -> Measurement:
    return Measurement(
        settings, "Fake", "cpu", "float32", None, tuple(map(phase, phases)), ("It hides something.",), 4000
    )


class FakePage(FakeDesk):
    def __init__(self) -> None:
        super().__init__()
        self.screen: Screen | None = None
        self.params: Params | None = None
        self.shown: list[tuple[Measurement | None, int]] = []

    def show_screen(self, screen: Screen) -> None:
        self.screen = screen

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_measurement(self, found: Measurement | None, index: int) -> None:
        self.shown.append((found, index))


class Bench(Stand):
    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        super().__init__(Measuring, FakePage(), saved)
        self.jobs.session.engine.loaded = object()

    @property
    def screen(self) -> Screen:
        assert self.page.screen is not None
        return self.page.screen


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    def measure(_loaded: object, settings: MeasureSettings, control: Any) -> Measurement:
        control.report("Reading the tokens", 0.5)
        names = ("Prefill", "Decoding", *(("Training step",) if settings.train else ()))
        return measurement(settings, names)

    monkeypatch.setitem(vars(memory_measure), "measure", measure)
    made = Bench()
    ready(made.bench, model_info())
    made.tab.bring()
    return made


def test_nothing_is_measured_until_it_is_asked_for(bench: Bench) -> None:
    assert bench.screen.stage.kind is Kind.EMPTY
    assert bench.screen.stage.actions == (("Measure", "measure"),)
    assert bench.screen.can_run
    assert not bench.jobs.pending
    bench.tab.act("measure")
    assert bench.screen.stage.kind is Kind.LOADING
    assert bench.screen.running
    assert bench.tab.busy
    bench.jobs.run_all()
    assert bench.screen.stage.kind is Kind.READY
    assert not bench.screen.running
    assert bench.page.shown[-1] == (bench.tab.found, 0)
    assert {fact.name for fact in bench.screen.facts} == {"Weights", "Process before", "Process at most"}


def test_without_a_model_there_is_nothing_to_measure(bench: Bench) -> None:
    bench.tab.run()
    bench.jobs.run_all()
    set_model(bench.bench, ModelState(Status.EMPTY, None, generation=2))
    bench.tab.bring()
    assert bench.page.shown[-1] == (None, 0)
    assert bench.screen.stage.title == "No model is open"
    assert not bench.screen.can_run
    bench.tab.run()
    assert not bench.jobs.pending


def test_another_model_forgets_what_was_measured(bench: Bench) -> None:
    bench.tab.run()
    ready(bench.bench, model_info(name="Other"), generation=2)
    bench.tab.bring()
    assert not bench.jobs.pending
    assert not bench.tab.busy
    assert bench.screen.stage.kind is Kind.EMPTY


def test_other_settings_are_said_to_be_others(bench: Bench) -> None:
    bench.tab.run()
    bench.jobs.run_all()
    assert not bench.screen.stale
    bench.tab.change({"tokens": 100})
    assert bench.screen.stale
    assert not bench.jobs.pending
    bench.tab.run()
    bench.jobs.run_all()
    assert not bench.screen.stale
    assert bench.tab.found.settings.tokens == 100


def test_the_phase_that_is_wanted_is_shown_where_there_is_one(bench: Bench) -> None:
    bench.tab.change({"train": True})
    bench.tab.run()
    bench.jobs.run_all()
    bench.tab.choose_phase("Training step")
    assert bench.page.shown[-1][1] == 2
    bench.tab.change({"train": False})
    bench.tab.run()
    bench.jobs.run_all()
    assert bench.page.shown[-1][1] == 0
    assert bench.tab.save() == {"phase": "Training step"}


def test_quantized_weights_are_not_trained(bench: Bench) -> None:
    ready(bench.bench, replace(model_info(), quantization="nf4"), generation=2)
    bench.tab.change({"train": True})
    bench.tab.bring()
    assert not bench.screen.can_train
    assert "cannot be trained" in bench.screen.why_not
    bench.tab.run()
    bench.jobs.run_all()
    assert not bench.tab.found.settings.train
    assert not bench.screen.stale


def test_a_failure_says_what_to_do_and_can_be_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    works = memory_measure.measure

    def fails(*_: object) -> None:
        raise OutOfMemoryError("This would take 9 GB.", "Choose fewer tokens.")

    monkeypatch.setitem(vars(memory_measure), "measure", fails)
    bench.tab.run()
    bench.jobs.run_all()
    stage = bench.screen.stage
    assert (stage.kind, stage.title, stage.text) == (Kind.ERROR, "This would take 9 GB.", "Choose fewer tokens.")
    monkeypatch.setitem(vars(memory_measure), "measure", works)
    bench.tab.act(stage.actions[0][1])
    bench.jobs.run_all()
    assert bench.screen.stage.kind is Kind.READY


def test_stopping_leaves_what_was_there(bench: Bench) -> None:
    bench.tab.run()
    bench.jobs.run_all()
    found = bench.tab.found
    bench.tab.run()
    bench.tab.stop()
    assert bench.tab.found is found
    assert bench.screen.stage.kind is Kind.READY
    assert not bench.tab.busy


def test_what_is_taken_along(bench: Bench, tmp_path: Path) -> None:
    bench.tab.export("copy")  # nothing yet
    assert not bench.page.copied
    bench.tab.run()
    bench.jobs.run_all()
    bench.tab.export("copy")
    lines = bench.page.copied[-1].splitlines()
    assert lines[0].split("\t") == list(figures.COLUMNS)
    assert lines[2].startswith("Prefill\tActivations\t36\t30\t0.2")
    assert lines[3].startswith("Prefill\tPeak\t1036\t1030")
    bench.tab.export("python")
    compile(bench.page.copied[-1], "snippet", "exec")
    assert "measure(engine.loaded, MeasureSettings(tokens=256, steps=8, batch=1, train=False))" in bench.page.copied[-1]
    bench.page.folder = tmp_path
    for kind in ("csv", "json"):
        bench.tab.export(kind)
        bench.jobs.run_all()
    assert (tmp_path / "memory-measured.csv").read_text(encoding="utf-8").count("\n") == 7
    whole = json.loads((tmp_path / "memory-measured.json").read_text(encoding="utf-8"))
    assert whole["phases"][0]["components"][0]["measured_bytes"] == 1000


@pytest.mark.parametrize(
    "saved", [{"tokens": "many", "steps": -1, "batch": True, "train": 1, "phase": 7}, {"tokens": 10**9}, {}]
)
def test_settings_that_make_no_sense_are_left_at_their_defaults(saved: Mapping[str, Any]) -> None:
    assert Params.from_dict(saved) == Params()
    assert Params.from_dict(Params().to_dict()) == Params()


def test_settings_are_found_again() -> None:
    params = Params(tokens=100, steps=0, batch=3, train=True, phase="Decoding")
    assert Params.from_dict(params.to_dict()) == params


# In words and pictures


def test_errors_in_words() -> None:
    assert [figures.percent(error) for error in (None, 0.0, 1e-6, -0.0318, 0.5)] == [
        "–", "0", "≈ 0", "−3.18 %", "+50.00 %",
    ]  # fmt: skip
    assert "4 · 9" in figures.tip(phase("Prefill").components[1])
    assert "An estimate." in figures.tip(phase("Prefill").components[1])
    assert figures.peak_cells(phase("Prefill")) == ("Peak", "1,036", "1,030", "+0.58 %")


def test_the_history_keeps_its_peak_however_long_it_is() -> None:
    total = np.random.default_rng(0).integers(0, 10**6, 50_000)
    shown = worst_of_each(total, 1200)
    assert len(shown) == 1200
    assert (np.diff(shown) > 0).all()
    assert total[shown].max() == total.max()
    assert worst_of_each(total[:100], 1200).tolist() == list(range(100))


def test_the_history_is_stacked_under_the_prediction() -> None:
    plot = history(measurement(), 0)
    assert [series.name for series in plot.series] == ["Weights", "Working memory"]
    assert plot.stacks[1][1].tolist() == [1000, 1010, 1020, 1030]
    assert plot.levels[0].value == 1036
    assert plot.series[0].labels[3] == "4: op3"
    assert not history(None, 0).series
