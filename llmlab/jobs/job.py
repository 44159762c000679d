"""One piece of work: what it is, what it may say while it runs, and what becomes of its result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmlab.engine.errors import Cancelled, EngineError
from llmlab.engine.progress import Progress

STREAM_INTERVAL = 1 / 30  # seconds between two deliveries of streamed parts


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An exception as plain text. The exception itself stays in the worker: its traceback pins tensors."""

    kind: str  # the exception's class name
    message: str
    hint: str
    details: str  # the traceback, for the log and "Copy details"

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        """The words to show for `error`; an error nobody foresaw says so and keeps its own text."""
        details = "".join(traceback.format_exception(error))
        if isinstance(error, EngineError):
            return cls(type(error).__name__, error.message, error.hint, details)
        text = str(error) or type(error).__name__
        return cls(
            type(error).__name__,
            f"Something unforeseen went wrong: {text}",
            "Nothing was lost. Copy the details if you want to report it.",
            details,
        )


Callback = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call that the receiving thread makes, unless the job was abandoned in the meantime."""

    job: Job
    callback: Callback
    value: Any

    def __call__(self) -> None:
        """Make the call."""
        if not self.job.abandoned:
            self.callback(self.value)


class Job:
    """A callable over the lane's resource, with an owner, a key and the calls to make with its results.

    `abandoned` and `cancelled` are written by the receiving thread and read by the worker; a bool needs no lock.
    """

    def __init__(
        self,
        owner: object,
        key: str,
        work: Callable[[Any, JobControl], Any],
        *,
        title: str = "",
        done: Callback | None = None,
        failed: Callable[[ErrorInfo], None] | None = None,
        stopped: Callback | None = None,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        self.owner = owner
        self.key = key
        self.work = work
        self.title = title
        self.done = done
        self.failed = failed
        self.stopped = stopped
        self.progress = progress
        self.partial = partial
        self.cancelled = False  # asked to stop; only `stopped` is still delivered
        self.abandoned = False  # nothing is delivered any more

    def matches(self, owner: object, key: str | None) -> bool:
        """Whether this is `owner`'s job `key`, or any of its jobs where key is None."""
        return self.owner is owner and key in (None, self.key)


class JobControl:
    """What a running job holds in its hand: the engine's `Control`, and a stream for partial results."""

    def __init__(self, job: Job, deliver: Callable[[Delivery], None], status: Callable[[Progress], None]) -> None:
        self._job = job
        self._deliver = deliver
        self._status = status
        self._parts: list[Any] = []
        self._last_flush = 0.0

    def check(self) -> None:
        """Raise `Cancelled` if the job is no longer wanted."""
        if self._job.cancelled:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say where the work stands."""
        progress = Progress(text, fraction)
        self._status(progress)
        if self._job.progress:
            self._deliver(Delivery(self._job, self._job.progress, progress))

    def emit(self, part: Any) -> None:
        """Stream one partial result; parts travel in batches of about 30 a second."""
        self._parts.append(part)
        if time.monotonic() - self._last_flush >= STREAM_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Deliver the parts that wait."""
        if self._parts and self._job.partial:
            self._deliver(Delivery(self._job, self._job.partial, tuple(self._parts)))
        self._parts = []
        self._last_flush = time.monotonic()
