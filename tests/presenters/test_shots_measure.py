"""The tab "Measure" without a window."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.errors import Cancelled
from llmlab.engine.shots import plans
from llmlab.engine.shots.choice import Choice
from llmlab.engine.shots.results import LabelScores, Outcome, Score
from llmlab.engine.shots.summary import Judge, Metric
from llmlab.ui.panels.shots.measure import found as finding
from llmlab.ui.panels.shots.measure import plots
from llmlab.ui.panels.shots.measure.params import Comparison, Params, counts_of
from llmlab.ui.panels.shots.measure.presenter import Measuring
from llmlab.ui.panels.shots.measure.report import outcomes
from llmlab.ui.panels.shots.measure.run import Request, Run
from llmlab.ui.screen import Kind
from llmlab.ui.widgets.chart.plot import Draw
from tests.presenters.shots_fakes import ITEMS, POOL, PROJECT, SPEC, Bed

SWEEP = {"counts": [0, 1, 2], "seeds": 2}


def measured(test: Comparison = Comparison.SWEEP, saved: dict[str, Any] | None = None) -> Bed:
    bed = Bed(Measuring, {**SWEEP, "test": test.value, **(saved or {})})
    bed.open()
    if test is Comparison.VARIANTS:
        bed.tab.keep_variant()
        bed.panel.built.project = replace(PROJECT, shots=1)
    bed.tab.run()
    bed.jobs.run_all()
    return bed


def test_nothing_is_measured_until_it_is_asked_for() -> None:
    bed = Bed(Measuring)
    bed.tab.bring()
    assert bed.screen.stage.kind is Kind.EMPTY
    bed.open(replace(PROJECT, test=()))
    assert "test set" in bed.screen.stage.title
    assert not bed.screen.can_run
    bed.open()
    assert bed.screen.can_run
    assert "4 items" in bed.screen.stage.text
    assert not bed.jobs.pending


@pytest.mark.parametrize("test", list(Comparison))
def test_every_measurement_comes_to_a_picture(test: Comparison) -> None:
    bed = measured(test)
    assert bed.screen.stage.kind is Kind.READY
    assert not bed.screen.stale
    shown = bed.tab.found
    assert shown.test is test
    assert shown.count == shown.total == len(shown.conditions) * len(ITEMS)
    assert len(shown.items) == len(ITEMS)
    assert shown.labels == SPEC.labels
    assert shown.confusion is not None
    assert sum(map(sum, shown.confusion.counts)) == len(ITEMS)
    drawn = plots.plot(shown)
    assert len(drawn.series[0].y) == (3 if test is Comparison.SWEEP else len(shown.bars))
    assert drawn.series[0].draw is (Draw.LINE if test is Comparison.SWEEP else Draw.BARS)
    bed.tab.choose(shown.conditions[0][0])
    assert bed.tab.found.chosen == shown.conditions[0][0]


def test_two_variants_are_told_apart_item_by_item() -> None:
    bed = measured(Comparison.VARIANTS)
    first = {line.item: line for line in bed.tab.found.items}
    bed.tab.choose("B")
    for line in bed.tab.found.items:
        assert line.other == (first[line.item].answer, first[line.item].value)
        assert first[line.item].other == (line.answer, line.value)
    wins = sum(line.value > line.other[1] for line in bed.tab.found.items)
    assert wins == bed.tab.found.mcnemar.wins


def test_outcomes_are_read_anew_without_the_model() -> None:
    bed = measured()
    before = bed.tab.found
    bed.tab.change({"metric": Metric.MACRO_F1, "score": Score.TOKEN, "calibrate": True})
    assert not bed.jobs.pending
    assert bed.tab.found.metric is Metric.MACRO_F1
    assert bed.tab.found.items[0].probabilities != before.items[0].probabilities
    bed.tab.change({"metric": Metric.ROUGE_L})  # not for labels: the first that fits
    assert bed.tab.found.metric is Metric.ACCURACY


def test_nearest_shots_are_calibrated_when_that_is_asked_for() -> None:
    bed = Bed(Measuring, {**SWEEP, "counts": [0, 2], "choice": "nearest to the query"})
    bed.open()
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.tab.is_measured
    assert (bed.screen.uncalibrated, bed.screen.resumes) == (0, False)
    before = bed.tab.found.items
    bed.tab.change({"calibrate": True})
    assert (bed.screen.uncalibrated, bed.screen.resumes) == (len(ITEMS), True)
    assert not bed.tab.is_measured
    bed.tab.export("json")
    run = bed.tab.runs[Comparison.SWEEP]
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.tab.runs[Comparison.SWEEP] is run, "only what is missing was asked"
    assert (bed.screen.uncalibrated, bed.screen.resumes) == (0, False)
    assert [line.probabilities for line in bed.tab.found.items] != [line.probabilities for line in before]
    assert bed.tab.is_measured
    bed.tab.export("python")
    assert "items, calibrate=True" in bed.page.copied[-1]


def test_labels_of_the_items_own_cannot_be_calibrated() -> None:
    bed = Bed(Measuring, {**SWEEP, "calibrate": True})
    bed.open(replace(PROJECT, test=tuple(replace(item, choices=("time", "model")) for item in ITEMS)))
    assert not bed.screen.can_calibrate
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.tab.is_measured
    assert bed.screen.uncalibrated == 0


def test_a_stopped_measurement_goes_on_where_it_was() -> None:
    bed = Bed(Measuring, SWEEP)
    bed.open()
    bed.tab.run()
    job = bed.jobs.pending[0]
    work = job.work

    def half(session: Any, control: Any) -> Any:
        count = iter(range(10_000))

        def emit(part: Any) -> None:
            if next(count) > 6:
                raise Cancelled
            type(control).emit(control, part)

        return work(session, _With(control, emit))

    job.work = half
    bed.jobs.run_all()
    assert not bed.tab.busy
    part = bed.tab.found.count
    assert 0 < part < bed.tab.found.total
    assert bed.screen.resumes
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.tab.found.count == bed.tab.found.total
    assert not bed.screen.resumes
    run = bed.tab.runs[Comparison.SWEEP]
    bed.tab.run()  # complete: measured anew
    bed.jobs.run_all()
    assert bed.tab.runs[Comparison.SWEEP] is not run


class _With:
    def __init__(self, control: Any, emit: Any) -> None:
        self._control, self.emit = control, emit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)


def test_other_settings_make_the_picture_stale_and_other_items_drop_it() -> None:
    bed = measured()
    bed.tab.change({"seeds": 5})
    assert bed.screen.stale
    assert bed.tab.found is not None
    bed.tab.change({"seeds": 2})
    assert not bed.screen.stale
    bed.panel.built.project = replace(PROJECT, test=ITEMS[:2])
    assert bed.tab.found is None
    assert bed.screen.stage.kind is Kind.EMPTY
    bed.panel.built.project = PROJECT
    assert bed.tab.found is not None
    bed.open(generation=2)
    assert bed.tab.found is None


def test_what_cannot_be_measured_is_said() -> None:
    bed = Bed(Measuring, {"test": "two variants"})
    bed.open()
    assert bed.screen.stage.actions == (("Keep as A", "keep"),)
    bed.tab.act("keep")
    assert bed.screen.variant == "Tiny, 3 shots"
    bed.panel.built.project = replace(PROJECT, spec=replace(SPEC, labels=("time", "model", "once")))
    bed.tab.variant = replace(bed.tab.variant, spec=replace(SPEC, labels=("once", "upon")))
    bed.tab.run()
    bed.jobs.run_all()
    assert "none of the labels" in bed.screen.stage.title
    bed = Bed(Measuring, {"test": "order"})
    bed.open(replace(PROJECT, shots=1))
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.ERROR
    bed.panel.built.project = PROJECT
    bed.tab.act("run")
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.READY


def test_free_text_has_metrics_of_its_own_and_a_wrong_expression_is_said() -> None:
    bed = Bed(Measuring, {"counts": [0, 1], "seeds": 1, "metric": "regex match", "pattern": "("})
    bed.open(replace(PROJECT, spec=replace(SPEC, labels=())))
    assert not bed.screen.has_labels
    bed.tab.run()
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.ERROR
    bed.tab.change({"pattern": r"\w+"})
    assert bed.screen.stage.kind is Kind.READY
    assert bed.tab.found.metric is Metric.REGEX
    assert bed.tab.found.confusion is None
    assert plots.plot(bed.tab.found).levels == ()


def test_all_that_was_measured_goes_along(tmp_path: Path) -> None:
    bed = measured()
    bed.page.path = tmp_path
    for kind in ("copy", "csv", "json", "md", "html"):
        bed.tab.export(kind)
    bed.jobs.run_all()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "shots-sweep.csv").read_text("utf-8"))))
    told = list(outcomes(bed.tab.runs[Comparison.SWEEP], Judge()))
    assert len(rows) == len(told) == bed.tab.found.total
    assert [float(row["log p(time)"]) for row in rows] == [one["log-probabilities"][0] for one in told]
    data = json.loads((tmp_path / "shots-sweep.json").read_text("utf-8"))
    assert data["complete"]
    assert len(data["outcomes"]) == len(rows)
    assert [entry["name"] for entry in data["summary"]][:2] == ["0 shots", "1 shot"]
    assert bed.page.copied[0].count("\n") == len(rows) + 1
    page = (tmp_path / "shots-sweep.html").read_text("utf-8")
    assert "<svg></svg>" in page
    report = (tmp_path / "shots-sweep.md").read_text("utf-8")
    assert "data:image/svg+xml;base64," in report
    assert report.count("|") > 40


@pytest.mark.parametrize("test", list(Comparison))
def test_the_copied_script_measures_the_same(test: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    bed = measured(test)
    bed.tab.export("python")
    from llmlab.engine import Engine

    monkeypatch.setattr(Engine, "open", lambda *_, **__: bed.engine)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(bed.page.copied[-1], {})
    run, judge = bed.tab.runs[test], Judge()
    want = [run.results.interval(condition.key, judge).value for condition in run.conditions]
    lines = printed.getvalue().splitlines()
    assert [float(line.split("  95 %")[0].split()[-1]) for line in lines] == pytest.approx(want, abs=1e-4)


def test_settings_are_found_again() -> None:
    params = Params(Comparison.ORDER, (0, 3), 7, Choice.NEAREST, 5, Metric.ROUGE_L, Score.CHARACTER, True, "a+")
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert Params().to_dict() == {}
    odd = {"test": "no", "counts": ["x"], "seeds": 0, "choice": 3, "items": True, "calibrate": 1, "pattern": None}
    assert Params.from_dict(odd) == Params()
    assert counts_of("8, 0 2,2") == (0, 2, 8)
    assert counts_of("a") == counts_of("") == counts_of("-1") == ()


def swapped(follow: int, right: int) -> str:
    """The verdict where so many of 20 answers follow the exchanged labels, and so many are still right."""
    items = ITEMS * 5
    run = Run(Request(Comparison.SWAP, SPEC, POOL, items, ()), plans.label_swap(SPEC, POOL))
    for condition in run.conditions:
        for place, item in enumerate(items):
            other = next(label for label in SPEC.labels if label != item.output)
            answer = other if condition.key == plans.SWAPPED and place < follow else item.output
            assert right == 20 - follow
            sums = np.array([0.0 if label == answer else -3.0 for label in SPEC.labels])
            scores = LabelScores(SPEC.labels, sums, np.ones(2, np.int64), np.ones(2, np.int64))
            run.add(Outcome(condition.key, place, item.output, scores, "", 9, 0))
    shown = finding.found(run, Judge(), "")
    assert shown is not None
    return shown.headline


def test_the_verdict_on_exchanged_labels() -> None:
    assert "labels are read" in swapped(19, 1)
    assert "Only the form" in swapped(1, 19)
    assert "50.0 %" not in swapped(10, 10).replace("50 %", "")
    assert finding.percent(-0.031, signed=True) == "−3.1 %"
    assert finding.percent(1.0) == "100 %"
