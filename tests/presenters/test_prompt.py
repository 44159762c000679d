"""The shared prompt's presenter, with a mock view and jobs that run when the test says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.shell.prompt import PromptPresenter, utf16_positions
from llmlab.workbench import ModelState, Status, Workbench


@given(st.text(max_size=60))
def test_positions_in_utf16_point_at_the_same_characters(text: str) -> None:
    positions = np.arange(len(text) + 1)
    expected = [len(text[:end].encode("utf-16-le", "surrogatepass")) // 2 for end in positions]
    assert utf16_positions(text, positions).tolist() == expected


class HeldJobs:
    """Keeps what is submitted; `run` does it."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    def submit(self, owner: object, key: str, work: Any, **callbacks: Any) -> None:
        self.submitted.append((work, callbacks))

    def forget(self, owner: object) -> None:
        self.submitted.clear()

    def run(self) -> None:
        for work, callbacks in self.submitted:
            assert callbacks["needs_model"] is False, "the count must not wait for a model that is busy"
            try:
                result = work(None, None)
            except InputError as error:
                callbacks["failed"](ErrorInfo.of(error))
            else:
                callbacks["done"](result)
        self.submitted.clear()


class View:
    def __init__(self) -> None:
        self.text, self.words = "", ""
        self.tokens: tuple[list[int], int, int | None] | None = None

    def set_text(self, text: str) -> None:
        self.text = text

    def set_tokens(self, boundaries: Any, count: int, context: int | None) -> None:
        self.tokens = (boundaries.tolist(), count, context)

    def clear_tokens(self, words: str) -> None:
        self.words = words


def encode(text: str) -> Any:
    """One token a character, after one special token."""
    starts = np.arange(-1, len(text)).clip(0).astype(np.int32)
    ends = np.arange(len(text) + 1).astype(np.int32)
    return SimpleNamespace(ids=np.zeros(len(text) + 1, np.int32), starts=starts, ends=ends)


def opener(spec: str) -> Any:
    """The only tokenizer there is."""
    assert spec == "a/b"
    return SimpleNamespace(encode=encode)


@pytest.fixture
def jobs() -> HeldJobs:
    return HeldJobs()


@pytest.fixture
def bench(jobs: HeldJobs) -> Workbench:
    return Workbench(jobs)  # type: ignore[arg-type]


def make_ready(bench: Workbench, generation: int = 1) -> None:
    info = SimpleNamespace(context=512, request=SimpleNamespace(spec="a/b"))
    bench._model = ModelState(Status.READY, info, generation=generation)  # type: ignore[arg-type]
    bench.model_changed.emit(bench.model)


def test_typing_reaches_the_workbench_and_the_count_comes_back(bench: Workbench, jobs: HeldJobs) -> None:
    view = View()
    presenter = PromptPresenter(bench, jobs, view, opener)  # type: ignore[arg-type]
    make_ready(bench)
    presenter.edited("a😀b")
    assert bench.prompt == "a😀b"
    jobs.run()
    assert view.tokens == ([0, 1, 3], 4, 512)


def test_a_count_of_a_former_text_is_not_shown(bench: Workbench, jobs: HeldJobs) -> None:
    view = View()
    presenter = PromptPresenter(bench, jobs, view, opener)  # type: ignore[arg-type]
    make_ready(bench)
    presenter.edited("old")
    stale = list(jobs.submitted)
    presenter.edited("new text")
    jobs.submitted = stale
    jobs.run()
    assert view.tokens is None


def test_without_a_model_nothing_is_asked_and_a_new_model_counts_anew(bench: Workbench, jobs: HeldJobs) -> None:
    view = View()
    presenter = PromptPresenter(bench, jobs, view, opener)  # type: ignore[arg-type]
    presenter.edited("text")
    assert not jobs.submitted
    make_ready(bench, 1)
    assert len(jobs.submitted) == 1
    jobs.submitted.clear()
    bench.model_changed.emit(bench.model)
    assert not jobs.submitted, "news of the same model are no reason to tokenize again"
    make_ready(bench, 2)
    assert len(jobs.submitted) == 1
    presenter.close()
    bench.prompt = "after closing"
    assert view.text != "after closing"


def test_half_a_character_is_refused_in_words_and_the_next_text_counts_again(bench: Workbench, jobs: HeldJobs) -> None:
    view = View()
    presenter = PromptPresenter(bench, jobs, view, opener)  # type: ignore[arg-type]
    make_ready(bench)
    presenter.edited("ab\ud800")
    jobs.run()
    assert view.tokens is None
    assert "half of a surrogate pair" in view.words
    presenter.edited("ab")
    jobs.run()
    assert view.tokens == ([0, 1], 3, 512)


def test_a_count_of_a_former_model_is_not_shown(bench: Workbench, jobs: HeldJobs) -> None:
    view = View()
    presenter = PromptPresenter(bench, jobs, view, opener)  # type: ignore[arg-type]
    presenter.edited("text")
    make_ready(bench, 1)
    stale = list(jobs.submitted)
    make_ready(bench, 2)
    jobs.submitted = stale
    jobs.run()
    assert view.tokens is None
