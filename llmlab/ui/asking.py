"""Has work done in the background, with the loaded model or beside it. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmlab import textfile
from llmlab.jobs.worker import Jobs
from llmlab.ui.panel import Notifier

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Progress
    from llmlab.engine.session import Session
    from llmlab.jobs.job import ErrorInfo, JobControl

T = TypeVar("T")


class Asking:
    """Where the parts of a panel have their work done: one job for each owner and key, the newest wins.

    `generation` tells the model of the moment; an answer of another model, or a failure, is dropped: whoever asked
    asks anew when the model changes.
    """

    def __init__(self, jobs: Jobs, notifier: Notifier, generation: Callable[[], int] = lambda: 0) -> None:
        self._jobs = jobs
        self._generation = generation
        self.notifier = notifier

    def engine(
        self,
        owner: object,
        key: str,
        work: Callable[[Engine, JobControl], T],
        done: Callable[[T], None],
        *,
        title: str = "Working",
        failed: Callable[[ErrorInfo], None] | None = None,
        stopped: Callable[[], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[tuple[Any, ...]], None] | None = None,
        replace_running: bool = False,
    ) -> None:
        """Do `work` with the loaded model. `stopped`: the user has cancelled it in the status line."""
        generation = self._generation()

        def call(session: Session, control: JobControl) -> T:
            return work(session.engine, control)

        def if_current(answer: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda value: answer(value) if generation == self._generation() else None

        self._jobs.submit(
            owner,
            key,
            call,
            title=title,
            done=if_current(done),
            failed=if_current(failed or self.notifier.error),
            stopped=if_current(lambda _: stopped()) if stopped else None,
            progress=if_current(progress) if progress else None,
            partial=if_current(partial) if partial else None,
            replace_running=replace_running,
        )

    def beside(
        self,
        owner: object,
        key: str,
        work: Callable[[JobControl], T],
        done: Callable[[T], None],
        failed: Callable[[ErrorInfo], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[tuple[Any, ...]], None] | None = None,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        """Do `work`, which needs no model. `stopped`: it was cancelled."""

        def call(_resource: object, control: JobControl) -> T:
            return work(control)

        failed = failed or self.notifier.error
        self._jobs.submit(
            owner,
            key,
            call,
            done=done,
            failed=failed,
            stopped=(lambda _: stopped()) if stopped else None,
            progress=progress,
            partial=partial,
            needs_model=False,
        )

    def write(self, path: Path, text: Callable[[], str]) -> None:
        """Make a text and write it to a file, then say so."""
        self.store(path, lambda path: textfile.write(path, text()))

    def store(self, path: Path, write: Callable[[Path], None]) -> None:
        """Write a file, then say so."""
        self.beside(self, str(path), lambda _: write(path), lambda _: self.saved(path))

    def saved(self, path: Path) -> None:
        """Say that a file is there."""
        self.notifier.say(f"Saved as {path.name}.", str(path))

    def cancel(self, owner: object, key: str | None = None) -> None:
        """Stop a job, or all of the owner's."""
        self._jobs.cancel(owner, key)

    def forget(self, owner: object) -> None:
        """Deliver nothing more to `owner`."""
        self._jobs.forget(owner)
