"""CUDA graphs: a switch where there can be any, what it says, and what a record keeps of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import Architecture, Computed, ModelInfo
from llmlab.ui.panels.decoding import graphs, snippet
from tests.presenters.test_decoding import Stand, generate, make
from tests.presenters.test_decoding_branches import model_info, ready
from tests.presenters.test_decoding_records import replayed, saved

REPLAYED = Computed(replayed=True)
NOTE = "There was not enough memory to record a pass."


def on_cuda(architecture: Architecture = Architecture.DECODER, name: str = "Fake") -> ModelInfo:
    return replace(model_info(architecture, name), device="cuda:0")


def stand_of(info: ModelInfo) -> Stand:
    made = make(info, "Once")
    made.settle()
    return made


@pytest.fixture
def stand() -> Stand:
    return stand_of(on_cuda())


def test_there_is_no_switch_where_there_is_nothing_to_switch() -> None:
    assert stand_of(model_info()).screen.graphs is None
    assert stand_of(on_cuda(Architecture.ENCODER)).screen.graphs is None
    assert graphs.notice(None, None, wanted=True) is None


def test_the_switch_says_how_the_last_step_was_computed(stand: Stand) -> None:
    assert stand.screen.graphs == graphs.UNKNOWN
    stand.engine.computed = REPLAYED
    generate(stand, 3)
    assert stand.screen.graphs == "Steps run as CUDA graphs."
    stand.engine.computed = Computed(note=NOTE)
    generate(stand, 3)
    assert stand.screen.graphs == f"Steps are plain. {NOTE}"
    ready(stand.bench, on_cuda(name="Other"), generation=2)
    stand.settle()
    assert stand.screen.graphs == graphs.UNKNOWN, "of another model nothing is known yet"


def test_switched_off_every_step_is_plain(stand: Stand) -> None:
    stand.engine.computed = REPLAYED
    generate(stand, 3)
    stand.presenter.change(cuda_graphs=False)
    stand.settle()
    assert stand.screen.graphs == graphs.OFF
    assert stand.presenter.params.to_dict()["cuda_graphs"] is False
    generate(stand, 3)
    assert [asked["cuda_graphs"] for asked in stand.engine.generated] == [True, False]
    stand.presenter.runs.regenerate()
    stand.settle()
    assert stand.engine.generated[-1]["cuda_graphs"] is False


def test_a_record_says_how_its_steps_were_computed(stand: Stand, tmp_path: Path) -> None:
    stand.engine.computed = REPLAYED
    generate(stand, 4)
    path = tmp_path / "run.json"
    content = saved(stand, path)
    assert content["computed"] == "static, CUDA graph"
    assert "bit-identical" in replayed(stand, path)
    content["steps"][1]["probability"] += 1e-9
    path.write_text(json.dumps(content), "utf-8")
    stand.engine.computed = Computed(note=NOTE)
    assert "not the same numbers" in replayed(stand, path)
    assert "steps that were static, CUDA graph, now plain" in stand.notifier.hints[-1]


def test_a_record_from_before_is_replayed_plain(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 4)
    path = tmp_path / "run.json"
    content = saved(stand, path)
    assert content["computed"] == "plain"
    del content["computed"], content["settings"]["cuda_graphs"]
    path.write_text(json.dumps(content), "utf-8")
    assert "bit-identical" in replayed(stand, path)
    assert stand.engine.generated[-1]["cuda_graphs"] is False


def test_a_script_leaves_them_off_as_the_window_did() -> None:
    settings = GenerationSettings(SamplingSettings(temperature=0.7), 9, cuda_graphs=False)
    assert "cuda_graphs=False" in snippet.generation(on_cuda(), "Once", settings)
    assert "cuda_graphs" not in snippet.generation(model_info(), "Once", settings)
    assert "cuda_graphs" not in snippet.generation(on_cuda(), "Once", replace(settings, cuda_graphs=True))
