"""The worker layer: order, coalescing, cancelling, errors, closing. No Qt, no torch."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import Empty, Queue
from typing import Any

import pytest

from llmlab.engine.errors import InputError, OutOfMemoryError
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs, Running

WAIT = 10.0  # seconds after which a test gives up


class Receiver:
    """Stands for the Qt thread: makes the calls that were delivered, when the test says so."""

    def __init__(self) -> None:
        self.calls: Queue[Callable[[], None]] = Queue()
        self.statuses: list[Running | None] = []

    def receive_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            try:
                self.calls.get(timeout=WAIT)()
            except Empty:
                pytest.fail("nothing was delivered in time")

    def receive_what_is_there(self) -> None:
        while not self.calls.empty():
            self.calls.get()()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def jobs(receiver: Receiver) -> Iterator[Jobs]:
    jobs = Jobs(receiver.calls.put, lambda: "session", receiver.statuses.append)
    yield jobs
    assert jobs.close(WAIT)


class Gate:
    """A job that runs until it is let go, or until it is cancelled."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go = threading.Event()

    def __call__(self, _session: object, control: JobControl) -> str:
        self.started.set()
        while not self.go.wait(0.001):
            control.check()
        return "gate"


def submit_value(jobs: Jobs, owner: object, key: str, value: Any, shown: list[Any]) -> None:
    jobs.submit(owner, key, lambda _session, _control: value, done=shown.append)


def test_work_gets_the_session_and_its_result_is_delivered(jobs: Jobs, receiver: Receiver) -> None:
    shown: list[Any] = []
    jobs.submit("owner", "key", lambda session, _: session, done=shown.append)
    receiver.receive_until(lambda: bool(shown))
    assert shown == ["session"]


def test_only_the_last_pending_job_of_a_key_runs_and_it_keeps_the_place(jobs: Jobs, receiver: Receiver) -> None:
    gate, shown = Gate(), []
    jobs.submit("other", "gate", gate, done=shown.append)
    assert gate.started.wait(WAIT)
    for value in range(200):
        submit_value(jobs, "slider", "move", value, shown)
        if value == 0:
            submit_value(jobs, "third", "move", "after the slider", shown)
    gate.go.set()
    receiver.receive_until(lambda: len(shown) == 3)
    assert shown == ["gate", 199, "after the slider"]


def test_a_newer_job_does_not_stop_the_running_one(jobs: Jobs, receiver: Receiver) -> None:
    gate, shown = Gate(), []
    jobs.submit("slider", "move", gate, done=shown.append)
    assert gate.started.wait(WAIT)
    submit_value(jobs, "slider", "move", "newer", shown)
    gate.go.set()
    receiver.receive_until(lambda: len(shown) == 2)
    assert shown == ["gate", "newer"]


def test_replace_running_stops_it_and_nothing_of_it_is_shown(jobs: Jobs, receiver: Receiver) -> None:
    gate, shown = Gate(), []
    jobs.submit("panel", "generate", gate, done=shown.append, stopped=lambda _: shown.append("stopped"))
    assert gate.started.wait(WAIT)
    jobs.submit("panel", "generate", lambda *_: "second", done=shown.append, replace_running=True)
    receiver.receive_until(lambda: bool(shown))
    receiver.receive_what_is_there()
    assert shown == ["second"]


def test_cancel_ends_the_running_job_at_its_next_step(jobs: Jobs, receiver: Receiver) -> None:
    steps, events = [], []
    started = threading.Event()
    resume = threading.Event()

    def work(_session: object, control: JobControl) -> None:
        for step in range(1_000_000):
            control.check()
            steps.append(step)
            started.set()
            resume.wait(WAIT)

    jobs.submit(
        "panel", "generate", work, done=lambda _: events.append("done"), stopped=lambda _: events.append("stopped")
    )
    assert started.wait(WAIT)
    jobs.cancel("panel", "generate")
    resume.set()
    receiver.receive_until(lambda: bool(events))
    assert events == ["stopped"]
    assert steps == [0], "it went on for another step"


def test_a_result_that_comes_in_spite_of_cancel_is_not_shown(jobs: Jobs, receiver: Receiver) -> None:
    started, resume, events = threading.Event(), threading.Event(), []

    def deaf(_session: object, _control: JobControl) -> str:
        started.set()
        resume.wait(WAIT)
        return "too late"

    jobs.submit("panel", "key", deaf, done=events.append, stopped=lambda _: events.append("stopped"))
    assert started.wait(WAIT)
    jobs.cancel("panel")
    resume.set()
    receiver.receive_until(lambda: bool(events))
    assert events == ["stopped"]


def test_cancelling_a_pending_job_says_so_and_never_runs_it(jobs: Jobs, receiver: Receiver) -> None:
    gate, events = Gate(), []
    jobs.submit("other", "gate", gate)
    assert gate.started.wait(WAIT)
    jobs.submit("panel", "key", lambda *_: events.append("ran"), stopped=lambda _: events.append("stopped"))
    jobs.cancel("panel")
    gate.go.set()
    submit_value(jobs, "other", "last", "last", events)
    receiver.receive_until(lambda: "last" in events)
    assert events == ["stopped", "last"]


def test_nothing_is_delivered_to_an_owner_that_has_closed(jobs: Jobs, receiver: Receiver) -> None:
    panel, shown = object(), []
    submit_value(jobs, panel, "delivered but not received", 1, shown)
    gate = Gate()
    jobs.submit(panel, "running", gate, done=shown.append, stopped=shown.append, failed=shown.append)
    submit_value(jobs, panel, "pending", 3, shown)
    assert gate.started.wait(WAIT)
    jobs.forget(panel)
    others: list[Any] = []
    submit_value(jobs, "other", "key", "other", others)
    receiver.receive_until(lambda: bool(others))
    assert shown == []


def test_errors_arrive_as_words_and_the_worker_goes_on(jobs: Jobs, receiver: Receiver) -> None:
    errors: list[ErrorInfo] = []

    def known(_session: object, _control: JobControl) -> None:
        raise InputError("The prompt is too long.", "Shorten it.")

    def unknown(_session: object, _control: JobControl) -> None:
        raise ZeroDivisionError("division by zero")

    jobs.submit("panel", "known", known, failed=errors.append)
    jobs.submit("panel", "unknown", unknown, failed=errors.append)
    receiver.receive_until(lambda: len(errors) == 2)
    assert (errors[0].kind, errors[0].message, errors[0].hint) == (
        "InputError",
        "The prompt is too long.",
        "Shorten it.",
    )
    assert "division by zero" in errors[1].message
    assert "in unknown" in errors[1].details


def test_a_failed_job_does_not_keep_its_tensors(jobs: Jobs, receiver: Receiver) -> None:
    class Tensor:
        pass

    references, errors = [], []

    def work(_session: object, _control: JobControl) -> None:
        tensor = Tensor()
        tensor.cycle = tensor  # type: ignore[attr-defined]  # only the collector can free it
        references.append(weakref.ref(tensor))
        raise OutOfMemoryError("It does not fit.", "Use a smaller model.")

    gc.disable()
    try:
        jobs.submit("panel", "key", work, failed=errors.append)
        receiver.receive_until(lambda: bool(errors))
    finally:
        gc.enable()
    assert errors[0].kind == "OutOfMemoryError"
    assert references[0]() is None, "the exception's traceback pins what the work had made"


def test_a_session_that_cannot_be_made_is_an_error_of_the_job_and_tried_again(receiver: Receiver) -> None:
    attempts: list[int] = []

    def session() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ImportError("libtorch is missing")
        return "session"

    jobs = Jobs(receiver.calls.put, session)
    outcome: list[Any] = []
    jobs.submit("a", "1", lambda s, _: s, done=outcome.append, failed=lambda e: outcome.append(e.message))
    jobs.submit("a", "2", lambda s, _: s, done=outcome.append)
    receiver.receive_until(lambda: len(outcome) == 2)
    assert "libtorch is missing" in outcome[0]
    assert outcome[1] == "session"
    assert jobs.close(WAIT)


def test_streamed_parts_are_batched_complete_and_before_the_result(jobs: Jobs, receiver: Receiver) -> None:
    events: list[Any] = []

    def work(_session: object, control: JobControl) -> str:
        for number in range(10_000):
            control.emit(number)
        return "end"

    jobs.submit("panel", "key", work, partial=events.append, done=events.append)
    receiver.receive_until(lambda: events[-1:] == ["end"])
    batches = events[:-1]
    assert [number for batch in batches for number in batch] == list(range(10_000))
    assert len(batches) < 1_000


def test_progress_and_status_are_reported_and_end_with_idle(jobs: Jobs, receiver: Receiver) -> None:
    progress, finished = [], []

    def work(_session: object, control: JobControl) -> None:
        control.report("half", 0.5)

    jobs.submit("panel", "key", work, title="Working", progress=progress.append, done=finished.append)
    receiver.receive_until(lambda: bool(finished) and receiver.statuses[-1:] == [None] and len(receiver.statuses) > 2)
    assert [p.fraction for p in progress] == [0.5]
    texts = [status.progress.text for status in receiver.statuses if status]
    assert texts == ["Working", "half"]


def test_close_stops_a_running_generation_in_time_and_delivers_nothing_more(receiver: Receiver) -> None:
    closed: list[str] = []

    class Session:
        def close(self) -> None:
            closed.append("session")

    jobs = Jobs(receiver.calls.put, Session)
    gate, shown = Gate(), []
    jobs.submit("panel", "generate", gate, done=shown.append, stopped=shown.append)
    assert gate.started.wait(WAIT)
    assert jobs.close(WAIT)
    receiver.receive_what_is_there()
    assert shown == []
    assert closed == ["session"]


def test_close_does_not_wait_for_ever(receiver: Receiver) -> None:
    resume = threading.Event()
    started = threading.Event()

    def deaf(_session: object, _control: JobControl) -> None:
        started.set()
        resume.wait(WAIT)

    jobs = Jobs(receiver.calls.put, lambda: None)
    jobs.submit("panel", "key", deaf)
    assert started.wait(WAIT)
    assert not jobs.close(0.05)
    resume.set()
    assert jobs.close(WAIT)


def test_files_are_read_while_the_model_works(jobs: Jobs, receiver: Receiver) -> None:
    gate, shown = Gate(), []
    jobs.submit("panel", "generate", gate, done=shown.append)
    assert gate.started.wait(WAIT)
    jobs.submit("panel", "read", lambda *_: "file", done=shown.append, needs_model=False)
    receiver.receive_until(lambda: bool(shown))
    assert shown == ["file"]
    gate.go.set()
    receiver.receive_until(lambda: len(shown) == 2)


def test_a_newer_job_that_overtakes_an_older_one_has_the_last_word(jobs: Jobs, receiver: Receiver) -> None:
    slow, shown, owner = Gate(), [], object()
    jobs.submit(owner, "look", slow, done=shown.append, needs_model=False)
    other = jobs.submit(owner, "another key", lambda *_: None, needs_model=False)
    assert slow.started.wait(WAIT)
    jobs.submit(owner, "look", lambda *_: "newer", done=shown.append, needs_model=False)
    receiver.receive_until(lambda: shown == ["newer"])
    slow.go.set()
    done: list[str] = []
    jobs.submit(owner, "look", lambda *_: "newest", done=done.append, needs_model=False)
    receiver.receive_until(lambda: done == ["newest"])
    assert jobs.close(WAIT)
    receiver.receive_what_is_there()
    assert shown == ["newer"]
    assert not other.abandoned


def test_an_older_result_that_is_handed_over_late_is_not_shown_after_a_newer_one() -> None:
    receiver, handing, go = Receiver(), threading.Event(), threading.Event()

    def deliver(call: Callable[[], None]) -> None:
        if getattr(call, "value", None) == "older":  # its thread is stopped between the end of the work and the queue
            handing.set()
            go.wait(WAIT)
        receiver.calls.put(call)

    jobs, shown, owner = Jobs(deliver, lambda: None), [], object()
    submit = partial(jobs.submit, owner, "look", done=shown.append, needs_model=False)
    submit(lambda *_: "older")
    assert handing.wait(WAIT)
    submit(lambda *_: "newer")
    receiver.receive_until(lambda: bool(shown))
    go.set()
    assert jobs.close(WAIT)
    receiver.receive_what_is_there()
    assert shown == ["newer"]
