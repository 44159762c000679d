"""The threads that do the work. No Qt here: results leave through `deliver`, which the bridge provides.

A *lane* is a queue with its daemon threads. The model lane has exactly one thread, which owns every torch object;
the files lane has a few and no resource. Daemon threads, because a thread that is deep inside a matrix product
must never keep the process from ending.
"""

from __future__ import annotations

import functools
import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmlab.engine.errors import Cancelled, OutOfMemoryError
from llmlab.engine.progress import Progress
from llmlab.jobs.job import Callback, Delivery, ErrorInfo, Job, JobControl


@dataclass(frozen=True, slots=True)
class Running:
    """What the status line shows of the job that runs."""

    job: Job
    progress: Progress


Deliver = Callable[[Callable[[], None]], None]


class Lane:
    """A queue of jobs and the threads that take from it.

    `resource` is called once in each thread, before its first job, and given to every job it runs;
    `on_status` is called (through `deliver`) with a `Running` when there is news, and with None when idle.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        *,
        resource: Callable[[], Any] = lambda: None,
        threads: int = 1,
        on_status: Callable[[Running | None], None] | None = None,
    ) -> None:
        self._deliver = deliver
        self._resource = resource
        self._on_status = on_status
        self._pending: deque[Job] = deque()
        self._running: list[Job] = []
        self._known: weakref.WeakSet[Job] = weakref.WeakSet()  # also those whose result is on its way
        self._closing = False
        self._changed = threading.Condition()
        self._local = threading.local()
        self._threads = [
            threading.Thread(target=self._loop, name=f"{name}-{index}", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, *, replace_running: bool = False) -> Job:
        """Queue `job`. A pending job with the same owner and key gives up its place in the queue to it.

        A running one goes on, and its result is still shown (live feedback would freeze otherwise), unless a newer
        one overtakes it in another thread, or `replace_running` says that it has become pointless (a generation that
        is started anew).
        """
        with self._changed:
            self._known.add(job)
            if replace_running:
                for running in self._running:
                    if running.matches(job.owner, job.key):
                        running.cancelled = running.abandoned = True
            for place, waiting in enumerate(self._pending):
                if waiting.matches(job.owner, job.key):
                    waiting.abandoned = True
                    self._pending[place] = job
                    break
            else:
                self._pending.append(job)
            self._changed.notify()
        return job

    def cancel(self, owner: object, key: str | None = None) -> None:
        """Stop `owner`'s jobs: pending ones never run, a running one ends at its next check point."""
        with self._changed:
            waiting = [job for job in self._pending if job.matches(owner, key)]
            self._pending = deque(job for job in self._pending if job not in waiting)
            for job in [*waiting, *self._running]:
                if job.matches(owner, key):
                    job.cancelled = True
        for job in waiting:
            self._finish(job, job.stopped, None)

    def forget(self, owner: object) -> None:
        """Cancel `owner`'s jobs and deliver nothing of them any more: the owner has closed."""
        with self._changed:
            for job in self._known:
                if job.owner is owner:
                    job.cancelled = job.abandoned = True
            self._pending = deque(job for job in self._pending if job.owner is not owner)

    def close(self, timeout: float) -> bool:
        """Cancel everything and wait at most `timeout` seconds; True if all threads ended."""
        with self._changed:
            self._closing = True
            for job in [*self._pending, *self._running]:
                job.cancelled = job.abandoned = True
            self._pending.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _loop(self) -> None:
        while (job := self._next()) is not None:
            control = JobControl(job, self._deliver, functools.partial(self._say_progress, job))
            self._say(Running(job, Progress(job.title)))
            outcome = self._run(job, control)
            self._outdate(job)
            control.flush()
            self._finish(job, *outcome)
            self._leave(job)
            del job, control, outcome  # the loop waits now, and must not keep a result alive
        close = getattr(getattr(self._local, "resource", None), "close", None)
        if close:
            close()

    def _next(self) -> Job | None:
        """The next job, or None when the lane closes. Says "idle" before it waits."""
        with self._changed:
            if not self._pending and not self._closing:
                self._say(None)
            self._changed.wait_for(lambda: self._pending or self._closing)
            if self._closing:
                return None
            job = self._pending.popleft()
            self._running.append(job)
            return job

    def _outdate(self, job: Job) -> None:
        """Of what is asked for again and again, nothing older is shown after something newer.

        An older job stays among the running ones until its result has been handed over, so one that has ended but
        was not yet heard of is found here too.
        """
        with self._changed:
            for older in self._running[: self._running.index(job)]:  # in the order in which they were asked for
                if older.matches(job.owner, job.key):
                    older.cancelled = older.abandoned = True

    def _leave(self, job: Job) -> None:
        with self._changed:
            self._running.remove(job)

    def _run(self, job: Job, control: JobControl) -> tuple[Callback | None, Any]:
        """Do the work; the call to make with what came of it. No exception object survives this frame."""
        out_of_memory = False
        try:
            if not hasattr(self._local, "resource"):
                self._local.resource = self._resource()
            control.check()
            return job.done, job.work(self._local.resource, control)
        except Cancelled:
            return job.stopped, None
        except Exception as error:  # noqa: BLE001 - whatever the work raises becomes words
            out_of_memory = isinstance(error, OutOfMemoryError)
            return job.failed, ErrorInfo.of(error)
        finally:
            if out_of_memory:
                gc.collect()

    def _finish(self, job: Job, callback: Callback | None, value: Any) -> None:
        # A result that came in spite of a cancel request is not shown: the user has said stop.
        if job.cancelled and callback is not job.stopped:
            callback, value = job.stopped, None
        if callback:
            self._deliver(Delivery(job, callback, value))

    def _say_progress(self, job: Job, progress: Progress) -> None:
        self._say(Running(job, progress))

    def _say(self, status: Running | None) -> None:
        if self._on_status and not self._closing:
            callback = self._on_status
            self._deliver(lambda: callback(status))


class Jobs:
    """What presenters call: `jobs.submit(owner, key, work, …)`.

    `work` receives the lane's resource and a `JobControl`. On the model lane the resource is the
    `llmlab.engine.session.Session`, whose `.engine` is the loaded model.
    """

    def __init__(
        self,
        deliver: Deliver,
        session: Callable[[], Any],
        on_status: Callable[[Running | None], None] | None = None,
    ) -> None:
        self._model = Lane("model", deliver, resource=session, on_status=on_status)
        self._files = Lane("files", deliver, threads=2)

    def submit(
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
        replace_running: bool = False,
        needs_model: bool = True,
    ) -> Job:
        """Queue work; see `Lane.submit`. `needs_model=False` runs it beside the model, without the session."""
        job = Job(
            owner,
            key,
            work,
            title=title,
            done=done,
            failed=failed,
            stopped=stopped,
            progress=progress,
            partial=partial,
        )
        lane = self._model if needs_model else self._files
        return lane.submit(job, replace_running=replace_running)

    def cancel(self, owner: object, key: str | None = None) -> None:
        """Stop the owner's jobs on both lanes."""
        self._model.cancel(owner, key)
        self._files.cancel(owner, key)

    def forget(self, owner: object) -> None:
        """The owner has closed: cancel its jobs and deliver nothing more."""
        self._model.forget(owner)
        self._files.forget(owner)

    def close(self, timeout: float = 3.0) -> bool:
        """Stop both lanes; True if every thread ended in time."""
        return all([self._model.close(timeout), self._files.close(timeout)])
