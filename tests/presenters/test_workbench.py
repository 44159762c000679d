"""The shared model's states, with jobs that end as the test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmlab.engine.progress import Progress
from llmlab.engine.types import ModelRequest
from llmlab.jobs.job import ErrorInfo
from llmlab.workbench import Completion, ModelState, Status, Workbench


class HeldJobs:
    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}
        self.cancelled: list[tuple[object, str]] = []

    def submit(self, owner: object, key: str, work: Any, **callbacks: Any) -> None:
        self.callbacks = callbacks

    def cancel(self, owner: object, key: str) -> None:
        self.cancelled.append((owner, key))


@pytest.fixture
def jobs() -> HeldJobs:
    return HeldJobs()


@pytest.fixture
def bench(jobs: HeldJobs) -> Workbench:
    return Workbench(jobs)  # type: ignore[arg-type]


FIRST: Any = SimpleNamespace(name="first")


def test_a_model_becomes_ready_and_counts_as_a_new_generation(bench: Workbench, jobs: HeldJobs) -> None:
    seen: list[ModelState] = []
    bench.model_changed.connect(seen.append)
    bench.open_model(ModelRequest("x"))
    jobs.callbacks["progress"](Progress("Reading", 0.5))
    jobs.callbacks["done"](FIRST)
    assert [state.status for state in seen] == [Status.LOADING, Status.LOADING, Status.READY]
    assert seen[1].progress == Progress("Reading", 0.5)
    assert (bench.model.info, bench.model.generation, bench.model.request) == (FIRST, 1, None)


@pytest.mark.parametrize("kind", ["ModelFileError", None])
def test_after_a_failure_or_a_cancel_the_former_model_is_still_ready(
    bench: Workbench, jobs: HeldJobs, kind: str | None
) -> None:
    bench.open_model(ModelRequest("x"))
    jobs.callbacks["done"](FIRST)
    bench.open_model(ModelRequest("y"))
    bench.cancel_open()
    assert jobs.cancelled == [(bench, "open")]
    if kind:
        jobs.callbacks["failed"](ErrorInfo(kind, "damaged", "", ""))
    else:
        jobs.callbacks["stopped"](None)
    assert bench.model.ready
    assert (bench.model.info, bench.model.generation) == (FIRST, 1)
    assert (bench.model.error is None) == (kind is None)


def test_a_former_model_that_is_lost_is_not_shown_as_open(bench: Workbench, jobs: HeldJobs) -> None:
    bench.open_model(ModelRequest("x"))
    jobs.callbacks["done"](FIRST)
    bench.open_model(ModelRequest("y"))
    jobs.callbacks["failed"](ErrorInfo("ModelLostError", "both gone", "", ""))
    assert (bench.model.status, bench.model.info) == (Status.EMPTY, None)


def test_without_any_model_a_failure_leaves_none(bench: Workbench, jobs: HeldJobs) -> None:
    bench.open_model(ModelRequest("x"))
    jobs.callbacks["failed"](ErrorInfo("AccessError", "no network", "", ""))
    assert bench.model.status is Status.EMPTY


def test_the_prompt_is_told_only_when_it_changes(bench: Workbench) -> None:
    seen: list[str] = []
    disconnect = bench.prompt_changed.connect(seen.append)
    bench.prompt = "a"
    bench.prompt = "a"
    disconnect()
    bench.prompt = "b"
    assert seen == ["a"]


@pytest.mark.parametrize("how_it_goes", ["another model", "lost"])
def test_a_completion_goes_with_its_model(bench: Workbench, jobs: HeldJobs, how_it_goes: str) -> None:
    bench.open_model(ModelRequest("x"))
    jobs.callbacks["done"](FIRST)
    seen: list[Completion | None] = []
    bench.completion_changed.connect(seen.append)
    bench.completion = made = Completion("a", (1,), " b")
    bench.completion = made
    bench.open_model(ModelRequest("y"))
    assert bench.completion == made
    if how_it_goes == "lost":
        jobs.callbacks["failed"](ErrorInfo("ModelLostError", "both gone", "", ""))
    else:
        jobs.callbacks["done"](FIRST)
    assert seen == [made, None]
