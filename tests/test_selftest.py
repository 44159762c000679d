"""--self-test says what works, and what does not. That an installation passes it: packaging/test_wheel.py."""

from __future__ import annotations

import os

import pytest

from llmlab import cli, selftest
from llmlab.engine.errors import EngineError
from llmlab.engine.types import ModelRequest


def broken() -> str:
    raise EngineError("The library is gone.", "Install the program anew.")


def test_what_is_broken_is_named_and_the_rest_still_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "_checks", lambda requests: [("first", broken), ("second", lambda: "fine")])
    assert selftest.run([]) == 1
    first, second, verdict = capsys.readouterr().out.splitlines()
    assert first.startswith("FAILED  first: EngineError: The library is gone.")
    assert second.startswith("ok      second: fine (")
    assert verdict == "FAILED: first"


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(selftest, "_checks", lambda requests: [(each.spec, lambda: "fine") for each in requests])
    assert selftest.run([ModelRequest("a/b")]) == 0
    assert capsys.readouterr().out.endswith("everything works\n")


def test_models_are_named_like_elsewhere() -> None:
    arguments = cli.parser().parse_args(["--self-test", "--model", "a/b", "--device", "cpu", "--offline", "folder"])
    assert cli.models_to_try(arguments) == [
        ModelRequest("a/b", device="cpu", offline=True),
        ModelRequest("folder", device="cpu", offline=True),
    ]


def test_the_users_hub_is_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with selftest._hub_at("http://127.0.0.1:9"):
        assert os.environ["HF_ENDPOINT"] == "http://127.0.0.1:9"
        assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_ENDPOINT"] == "http://mirror.example"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_download_that_works_where_nobody_answers_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlab.engine.hub.fetch", lambda repo: None)
    with pytest.raises(EngineError, match="did not fail"):
        selftest._downloads()
