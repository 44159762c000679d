"""The scaling laws without a window: every change is a new plan, at once."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.scaling.known import known_models
from llmlab.engine.scaling.laws import APPROACH_1, APPROACH_3_PRINTED, KAPLAN, LAWS, REPLICATION
from llmlab.engine.scaling.planning import plan
from llmlab.ui.panels.memory.scaling import presenter
from llmlab.ui.panels.memory.scaling.params import Params, View
from llmlab.ui.panels.memory.scaling.presenter import Scaling, ScalingScreen
from llmlab.ui.widgets.chart.plot import Draw, Plot
from tests.presenters.decoding_fakes import model_info, ready
from tests.presenters.memory_stand import FakeDesk, Stand


class FakePage(FakeDesk):
    def __init__(self) -> None:
        super().__init__()
        self.screens: list[ScalingScreen] = []

    def show_screen(self, screen: ScalingScreen) -> None:
        self.screens.append(screen)


class Desk(Stand):
    """The tab in front."""

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        super().__init__(Scaling, FakePage(), saved)
        self.tab.bring()

    @property
    def screen(self) -> ScalingScreen:
        return self.page.screens[-1]

    @property
    def plot(self) -> Plot:
        return self.screen.plot

    def names(self) -> list[str]:
        return [series.name for series in self.plot.series if series.name]


def test_it_works_without_a_model_and_without_a_job() -> None:
    desk = Desk()
    assert not desk.jobs.pending
    assert not desk.tab.busy
    expected = plan(desk.tab.params.budget, REPLICATION)
    assert desk.screen.headline.startswith(f"{expected.parameters / 1e9:.3g} B parameters")
    assert [row[0] for row in desk.screen.rows] == [figure.name for figure in expected.figures]
    assert len(desk.screen.notes) == len(desk.screen.rows)
    assert {fact.name for fact in desk.screen.facts} == {"Formula", "Source", "Note"}


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("law", [law.name for law in LAWS])
@pytest.mark.parametrize("own", [False, True])
def test_every_picture_of_every_law(view: View, law: str, own: bool) -> None:
    desk = Desk()
    ready(desk.bench, replace(model_info(), parameters=4_394_240))
    desk.tab.change(view=view, law=law, own=own)
    assert desk.plot.series
    for series in desk.plot.series:
        assert series.x.dtype == series.y.dtype == np.float64
        assert np.isfinite(series.y).any()
        assert not series.labels or len(series.labels) == len(series.y)
    assert [level.value for level in desk.plot.levels] == [4_394_240]
    if view is not View.LOSS:
        assert law in desk.names()


def test_the_run_lies_on_the_line_of_the_chosen_law() -> None:
    desk = Desk()
    for law in (REPLICATION, APPROACH_1, KAPLAN):
        desk.tab.change(law=law.name)
        run = desk.plot.series[0]
        assert run.name == "your run"
        line = next(series for series in desk.plot.series if series.name == law.name)
        tokens = np.exp(np.interp(np.log(run.x[0]), np.log(line.x), np.log(line.y)))
        assert tokens == pytest.approx(run.y[0], rel=1e-6)
        solid = [s.name for s in desk.plot.series if s.draw is Draw.LINE and not s.dashed]
        assert solid == [law.name]


def test_what_the_paper_printed_is_drawn_only_where_it_is_chosen() -> None:
    desk = Desk()
    assert APPROACH_3_PRINTED.name not in desk.names()
    desk.tab.change(law=APPROACH_3_PRINTED.name)
    assert APPROACH_3_PRINTED.name in desk.names()


def test_a_contour_has_its_loss_everywhere() -> None:
    desk = Desk()
    contours = [series for series in desk.plot.series if series.labels and series.labels[0].startswith("loss")]
    assert len(contours) == 5
    for contour in contours:
        there = np.isfinite(contour.y)
        found = REPLICATION.loss(contour.x[there], contour.y[there])
        assert np.allclose(found, float(contour.labels[0].removeprefix("loss ")), atol=6e-4)


def test_trained_models_can_be_left_out() -> None:
    desk = Desk()
    points = next(series for series in desk.plot.series if series.name == "trained models")
    assert points.labels == tuple(model.name for model in known_models())
    assert points.notes == tuple(model.source for model in known_models())
    desk.tab.change(known=False)
    assert "trained models" not in desk.names()


def test_an_accelerator_brings_its_peak_and_a_peak_of_ones_own_leaves_it() -> None:
    desk = Desk()
    desk.tab.change(accelerator="A100")
    assert desk.tab.params.peak == 312
    desk.tab.change(peak=100.0)
    assert desk.tab.params.accelerator == ""
    assert desk.tab.params.peak == 100
    desk.tab.change(accelerator="")
    assert desk.tab.params.peak == 100


def test_a_size_of_ones_own() -> None:
    desk = Desk()
    desk.tab.change(own=True, size=1.0)
    assert "1 B parameters" in desk.screen.headline
    assert "Beside the optimum" in [row[0] for row in desk.screen.rows]


def test_a_budget_that_makes_no_sense_keeps_the_former_plan() -> None:
    desk = Desk()
    before = desk.screen.rows
    desk.tab.change(gpus=0)
    assert "number of GPUs is 0" in desk.screen.problem
    assert desk.screen.rows == before
    desk.tab.change(gpus=1)
    assert desk.screen.problem == ""


def test_exports(tmp_path: Path) -> None:
    desk = Desk()
    desk.tab.export("copy")
    rows = list(csv.DictReader(io.StringIO(desk.page.copied[-1]), delimiter="\t"))
    assert [row["name"] for row in rows] == [row[0] for row in desk.screen.rows]
    assert float(rows[0]["value"]) == desk.tab.params.budget.operations
    desk.page.folder = tmp_path
    desk.tab.export("json")
    desk.jobs.run_all()
    assert json.loads((tmp_path / desk.page.asked[-1]).read_text(encoding="utf-8"))[0]["unit"] == "FLOP"


def test_the_script_gives_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    desk.tab.change(own=True, size=3.0, law=APPROACH_1.name, days=12.5)
    desk.tab.copy_script()
    exec(compile(desk.page.copied[-1], "script", "exec"), {})
    printed = capsys.readouterr().out
    assert f"{plan(desk.tab.params.budget, APPROACH_1, 3e9).tokens:.6g}" in printed
    assert len(printed.splitlines()) == len(desk.screen.rows)


def test_numbers_as_a_table_shows_them() -> None:
    figures = plan(Params().budget).figures
    shown = {(figure.name, figure.unit): presenter.value_text(figure) for figure in figures}
    assert shown["Compute", "FLOP"] == "8.207e+21"
    assert shown["Compute", "petaFLOP/s-days"] == "95"
    assert shown["GPU hours", "h"] == "5,760"
    assert shown["Predicted loss", "nats/token"].count(".") == 1


def test_settings_are_found_again() -> None:
    params = Params(View.LOSS, KAPLAN.name, "", 100.0, 64, 12.5, 0.35, 0.0, True, 13.0, False)
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert Params().to_dict() == {}
    desk = Desk(params.to_dict())
    assert desk.tab.save() == params.to_dict()


@pytest.mark.parametrize(
    "saved",
    [
        {"gpus": 0, "days": "long", "peak": float("nan"), "utilization": 2, "price": -1, "size": 1e9},
        {"law": "Moore", "accelerator": "abacus", "view": 3, "own": 1, "known": "yes", "gpus": 2.5},
        {"gpus": True, "days": True},
    ],
)
def test_settings_that_make_no_sense_are_left_out(saved: dict[str, Any]) -> None:
    assert Params.from_dict(saved) == Params()
