"""The sweep: which texts are made, how the cells are measured, and what is said of what cannot be."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import Architecture, GenerationStep, ModelInfo
from llmlab.ui.panels.decoding.sweep_grid import AXES, METRICS, Axis, Grid, Swept, values_of
from llmlab.ui.panels.decoding.sweeping import Sweeping, SweepScreen
from tests.presenters.decoding_fakes import FakeEngine, TabStand, model_info, ready, step

COLUMNS, ROWS = ("temperature", "0.5 1"), ("top_k", "3 0")


class Engine(FakeEngine):
    """Writes three tokens in each row, one row after the other in every step."""

    def sweep(
        self, text: str, settings: Sequence[GenerationSettings], control: Any
    ) -> Iterator[tuple[int, GenerationStep]]:
        self.swept = list(settings)
        for index in range(3):
            self.between(index)
            control.check()
            self._fail()
            for number, each in enumerate(settings):
                yield number, step(index, text + "x" * number * index, each.sampling, "length" if index == 2 else None)


class Page:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.screen = SweepScreen()
        self.swept: Swept | None = None
        self.shown = 0

    def show_sweep(self, screen: SweepScreen) -> None:
        self.screen = screen

    def show_swept(self, swept: Swept | None, *, changed: bool) -> None:
        assert changed == (swept is not None and swept is self.swept)
        self.swept = swept
        self.shown += 1


class Stand(TabStand):
    part: Sweeping
    engine: Engine

    def __init__(self, info: ModelInfo | None = None) -> None:
        super().__init__(
            "sweep", Page(), Engine(info or model_info()), max_new_tokens=3, seed=5, min_p=0.1, do_sample=False
        )


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_every_cell_has_its_settings_and_seeds(stand: Stand) -> None:
    stand.part.run(COLUMNS, ROWS, 2)
    assert stand.page.screen.running
    assert not stand.presenter.settled
    stand.jobs.run_all()
    got = [(each.sampling.temperature, each.sampling.top_k, each.seed) for each in stand.engine.swept]
    assert got == [(t, k, seed) for k in (3, 0) for t in (0.5, 1.0) for seed in (5, 6)]
    assert all(each.sampling.do_sample and each.sampling.min_p == 0.1 for each in stand.engine.swept)
    assert all(isinstance(each.sampling.top_k, int) for each in stand.engine.swept)
    swept = stand.page.swept
    assert swept is not None
    assert [text.seed for text in swept.cell(1, 0)] == [5, 6]
    assert all(swept.finished(row, column) for row in (0, 1) for column in (0, 1))
    assert not stand.page.screen.running
    assert stand.page.screen.has_texts


def test_a_cell_is_measured_on_its_texts(stand: Stand) -> None:
    stand.part.run(COLUMNS, ROWS, 2)
    stand.jobs.run_all()
    swept = stand.page.swept
    assert swept is not None
    texts = swept.cell(0, 1)
    assert swept.value("length", 0, 1) == 3
    mean = math.fsum(text.log_probability / 3 for text in texts) / 2
    assert swept.value("log_probability", 0, 1) == pytest.approx(mean)
    assert all(swept.value(metric, 0, 1) is not None for metric in METRICS)
    single = Swept(Grid(Axis("temperature", (1.0,)), Axis("top_k", (0.0,)), 1), "p", GenerationSettings())
    assert single.value("length", 0, 0) is None, "not written yet"


def test_cells_are_shown_while_others_are_made_and_stopping_keeps_them(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.part.stop() if index == 1 else None
    stand.part.run(COLUMNS, ROWS, 1)
    stand.jobs.run_all()
    assert not stand.part.busy
    assert stand.page.swept is not None
    assert all(len(text.ids) == 1 for text in stand.page.swept.texts)
    assert stand.page.swept.value("length", 0, 0) is None


def test_what_makes_no_grid_is_said(stand: Stand) -> None:
    for columns, rows, seeds, words in (
        (COLUMNS, COLUMNS, 1, "two different"),
        (("temperature", "warm"), ROWS, 1, "no values of temperature"),
        (("top_k", "1.5"), ("temperature", "1"), 1, "no values of top_k"),
        (("top_p", "0.5 1.5"), ROWS, 1, "top_p cannot be 1.5"),
        (("temperature", "1 2 3 4 5 6 7 8"), ("top_k", "1 2 3 4 5 6 7 8"), 9, "576 texts"),
    ):
        stand.part.run(columns, rows, seeds)
        assert words in stand.page.screen.note
        assert stand.jobs.pending == []
    stand.part.run(COLUMNS, ROWS, 1)
    assert stand.page.screen.note == ""


def test_typed_values() -> None:
    assert values_of("0.5, 1 1  2e-1", "temperature") == (0.5, 1.0, 0.2)
    assert values_of("", "temperature") is None
    assert values_of("nan", "temperature") is None
    assert values_of("inf", "top_k") is None
    assert values_of(" ".join(map(str, range(9))), "top_k") is None


def test_every_offered_axis_is_a_knob_with_values_that_it_can_have() -> None:
    for knob, (_, values) in AXES.items():
        grid = Grid(Axis(knob, values), Axis("temperature" if knob != "temperature" else "top_p", (1.0,)), 1)
        for settings in grid.settings(GenerationSettings(SamplingSettings())):
            settings.validated()


def test_another_model_clears_and_an_encoder_cannot(stand: Stand) -> None:
    stand.part.run(COLUMNS, ROWS, 1)
    stand.jobs.run_all()
    stand.bench.prompt = "Other"
    assert stand.page.screen.note == "of another prompt"
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.page.swept is None
    assert not Stand(model_info(Architecture.ENCODER)).page.screen.can_run


def test_a_failure_ends_it_and_is_told(stand: Stand) -> None:
    stand.engine.fails = MemoryError("no memory")
    stand.part.run(COLUMNS, ROWS, 1)
    stand.jobs.run_all()
    assert not stand.page.screen.running
    assert "no memory" in stand.notifier.errors[0].message


def test_every_text_is_exported_with_its_cells_measures(stand: Stand, tmp_path: Path) -> None:
    stand.part.export("copy")
    assert stand.jobs.pending == []
    stand.part.run(COLUMNS, ROWS, 2)
    stand.jobs.run_all()
    stand.view.path = tmp_path / "sweep.csv"
    stand.part.export("csv")
    stand.jobs.run_all()
    rows = list(csv.DictReader(io.StringIO(stand.view.path.read_text("utf-8"))))
    assert len(rows) == 8
    assert (rows[2]["temperature"], rows[2]["top_k"], rows[2]["seed"]) == ("1.0", "3.0", "5")
    assert float(rows[0]["cell_length"]) == 3


def test_the_grid_is_found_again(stand: Stand) -> None:
    stand.part.change(COLUMNS, ROWS, 2)
    again = TabStand("sweep", Page(), Engine(model_info()), **stand.presenter.save())
    params = again.part.params
    assert (params.sweep_columns, params.sweep_rows, params.sweep_seeds) == (COLUMNS, ROWS, 2)
    broken = TabStand("sweep", Page(), Engine(model_info()), sweep_columns=["top_k", 3], sweep_seeds=99)
    assert (broken.part.params.sweep_columns, broken.part.params.sweep_seeds) == ((), 3)
