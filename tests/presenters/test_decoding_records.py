"""Run records: saved with all that it takes, made again, and judged to the last bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmlab.engine.errors import InputError
from llmlab.engine.types import ModelRequest
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.decoding import recognising, records
from llmlab.ui.panels.decoding.records import Verdict, compare
from llmlab.workbench import ModelState, Status
from tests.presenters.decoding_fakes import set_model
from tests.presenters.test_decoding import Stand, generate, make
from tests.presenters.test_decoding_branches import model_info, ready


@pytest.fixture
def stand() -> Stand:
    made = make(model_info(), "Once")
    made.settle()
    return made


def saved(stand: Stand, path: Path) -> dict[str, Any]:
    stand.view.path = path
    stand.presenter.sharing.export_run("json")
    stand.settle()
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def replayed(stand: Stand, path: Path) -> str:
    stand.view.path = path
    stand.presenter.recording.replay()
    stand.settle()
    return stand.notifier.said[-1]


def test_a_record_has_all_that_it_takes_and_its_replay_is_identical(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 4, temperature=0.7, seed=5, stop=("x",))
    path = tmp_path / "run.json"
    content = saved(stand, path)
    assert content["model"]["weights_sha256"] == "of the fake"
    assert {"llmlab", "python", "torch", "transformers"} <= set(content["versions"])
    assert content["settings"]["seed"] == 5
    assert len(content["steps"][0]["alternatives"]) == 20
    stand.bench.prompt = "Another"
    stand.presenter.change(temperature=1.9, seed=1)
    stand.settle()
    assert replayed(stand, path) == "The replay is bit-identical: 4 tokens with the same probabilities."
    assert stand.engine.generated[-1] == stand.engine.generated[0]
    assert stand.presenter.run is not None
    assert stand.presenter.run.prompt == "Once"


def test_a_branchs_record_gives_its_beginning(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 4)
    stand.presenter.runs.go_on(2, (7,))
    stand.settle()
    path = tmp_path / "branch.json"
    content = saved(stand, path)
    assert len(content["given"]) == 3
    assert "bit-identical" in replayed(stand, path)
    assert stand.engine.generated[-1]["given"] == tuple(content["given"])
    assert stand.engine.generated[-1]["known"] == 0


def test_a_stopped_run_is_made_again_as_far_as_it_came(stand: Stand, tmp_path: Path) -> None:
    stand.engine.between = lambda index: stand.presenter.completions.stop() if index == 3 else None
    generate(stand, 50)
    path = tmp_path / "stopped.json"
    saved(stand, path)
    stand.engine.between = lambda _index: None
    assert replayed(stand, path).startswith("The replay is bit-identical: 3 tokens")


def test_a_difference_is_found_and_said(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 4)
    path = tmp_path / "run.json"
    content = saved(stand, path)
    content["steps"][2]["token_id"] += 1
    path.write_text(json.dumps(content), "utf-8")
    assert replayed(stand, path) == "The replay differs from the record at token 3."
    content["steps"][2]["token_id"] -= 1
    content["steps"][1]["probability"] += 1e-9
    path.write_text(json.dumps(content), "utf-8")
    assert replayed(stand, path) == "The replay has the same 4 tokens, but not the same numbers."


def test_another_models_record_is_not_replayed(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.engine.weights = "of another"
    stand.settle()
    count = len(stand.engine.generated)
    assert "the loaded model has other weights" in replayed(stand, path)
    assert len(stand.engine.generated) == count


def test_the_model_of_a_record_is_opened_when_asked_for(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.engine.weights = "of another"
    stand.settle()
    assert "Open bundled:decoder in float32" in (replayed(stand, path), stand.notifier.hints[-1])[1]
    asked: list[ModelRequest] = []
    stand.bench.open_model = asked.append  # type: ignore[method-assign]
    (label, accept), *_ = stand.notifier.offers
    assert label == "Open and replay"
    accept()
    assert asked == [ModelRequest("bundled:decoder", dtype="float32")]
    stand.engine.weights = "of the fake"
    ready(stand.bench, model_info(), generation=3)
    stand.settle()
    assert "bit-identical" in stand.notifier.said[-1]


def test_a_model_that_has_changed_since_is_not_offered_again(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    stand.engine.weights = "trained further"
    replayed(stand, path)
    stand.bench.open_model = lambda _request: None  # type: ignore[method-assign]
    stand.notifier.offers[-1][1]()
    ready(stand.bench, model_info(), generation=2)
    stand.settle()
    assert "no longer has the weights" in stand.notifier.said[-1]
    assert len(stand.notifier.offers) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_record_waits_for_the_model_that_is_being_opened(stand: Stand, tmp_path: Path, lost: bool) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    said = len(stand.notifier.said)
    set_model(stand.bench, ModelState(Status.LOADING, request=ModelRequest("bundled:decoder")))
    stand.presenter.recording.read(path)
    stand.settle()
    assert len(stand.notifier.said) == said
    if lost:
        set_model(stand.bench, ModelState(error=ErrorInfo.of(InputError("It is gone.", "Open another."))))
    else:
        ready(stand.bench, model_info(), generation=2)
    stand.settle()
    assert [("bit-identical" in words) for words in stand.notifier.said[said:]] == ([] if lost else [True])


def test_without_a_model_the_records_own_is_offered(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    set_model(stand.bench, ModelState())
    assert "no model is open" in replayed(stand, path)
    assert stand.notifier.offers[-1][0] == "Open and replay"


def test_a_broken_record_and_one_of_another_version_are_told_apart(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    whole = path.read_text("utf-8")
    path.write_text(whole[:-100], "utf-8")
    assert recognising.holds_record(path), "it is told by its beginning"
    with pytest.raises(InputError, match="broken"):
        records.read(path)
    path.write_text(whole.replace('"record": 1', '"record": 7'), "utf-8")
    assert recognising.holds_record(path)
    with pytest.raises(InputError, match="in format 7"):
        records.read(path)
    path.write_text('{"record": 1, "text": "an example"}', "utf-8")
    assert not recognising.is_known(path)
    with pytest.raises(InputError, match="is not the record"):
        records.read(path)


def test_replaying_what_was_ended_by_the_user_says_nothing(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 4)
    path = tmp_path / "run.json"
    saved(stand, path)
    stand.engine.between = lambda index: stand.presenter.completions.stop() if index == 1 else None
    said = len(stand.notifier.said)
    stand.presenter.recording.read(path)
    stand.settle()
    assert len(stand.notifier.said) == said


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "no json",
        "[]",
        "[" * 100_000,
        '{"record": 1}',
        '{"record": 2, "model": {}}',
        "\0\1",
    ],
)
def test_what_is_no_record_is_refused_in_words(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    path.write_text(damage, "utf-8")
    with pytest.raises(InputError):
        records.read(path)


def test_wrong_values_in_a_record_are_refused(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 2)
    path = tmp_path / "run.json"
    content = saved(stand, path)
    for keys, value in (
        (("settings", "sampling", "top_p"), 7.0),
        (("settings", "sampling", "top_p"), "much"),
        (("settings", "sampling", "magic"), 1),
        (("settings", "seed"), 1.5),
        (("settings", "seed"), True),
        (("settings", "overflow"), "burst"),
        (("given",), ["a"]),
        (("steps", 0, "probability"), float("nan")),
        (("prompt",), None),
    ):
        damaged = json.loads(json.dumps(content))
        place: Any = damaged
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        path.write_text(json.dumps(damaged), "utf-8")
        with pytest.raises(InputError):
            records.read(path)


def test_given_tokens_are_compared_by_what_the_model_says(stand: Stand, tmp_path: Path) -> None:
    generate(stand, 3)
    path = tmp_path / "run.json"
    saved(stand, path)
    record = records.read(path)
    run = stand.presenter.run
    assert run is not None
    others = [replace(run.steps[0], probability=0.123), *run.steps[1:]]
    assert compare(replace(record, given=run.ids[:1]), others) == Verdict(3, None, 0.0)
    assert not compare(record, others).identical
    assert compare(record, run.steps[:2]).first_difference == 2
