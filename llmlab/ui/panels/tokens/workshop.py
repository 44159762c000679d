"""Asks tokenizers in the background, beside the model. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmlab import textfile
from llmlab.jobs.worker import Jobs
from llmlab.ui.panel import Notifier
from llmlab.ui.tokenizers import Opener, open_on_shelf

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.session import Session
    from llmlab.engine.tokens.opened import OpenTokenizer
    from llmlab.jobs.job import ErrorInfo, JobControl

T = TypeVar("T")


class Workshop:
    """Where the parts of the panel have their work done: one job for each owner and key, the newest wins."""

    def __init__(self, jobs: Jobs, notifier: Notifier, opener: Opener = open_on_shelf) -> None:
        self._jobs = jobs
        self.notifier = notifier
        self.opener = opener

    def ask(
        self,
        owner: object,
        key: str,
        spec: str,
        work: Callable[[OpenTokenizer], T],
        done: Callable[[T], None],
        failed: Callable[[ErrorInfo], None] | None = None,
    ) -> None:
        """Do `work` with the tokenizer of `spec`."""
        self.do(owner, key, lambda _: work(self.opener(spec)), done, failed)

    def do(
        self,
        owner: object,
        key: str,
        work: Callable[[JobControl], T],
        done: Callable[[T], None],
        failed: Callable[[ErrorInfo], None] | None = None,
    ) -> None:
        """Do `work`, which needs no model."""

        def call(_resource: object, control: Any) -> T:
            return work(control)

        self._jobs.submit(owner, key, call, done=done, failed=failed or self.notifier.error, needs_model=False)

    def write(self, path: Path, text: Callable[[], str]) -> None:
        """Make a text and write it to a file, then say so."""

        def call(_resource: object, _control: object) -> None:
            textfile.write(path, text())

        def said(_nothing: object) -> None:
            self.notifier.say(f"Saved as {path.name}.", str(path))

        self._jobs.submit(self, str(path), call, done=said, failed=self.notifier.error, needs_model=False)

    def ask_model(
        self,
        owner: object,
        key: str,
        title: str,
        work: Callable[[Engine], T],
        done: Callable[[T], None],
        failed: Callable[[ErrorInfo], None] | None = None,
    ) -> None:
        """Do `work` with the loaded model, in its own thread."""

        def call(session: Session, _control: object) -> T:
            return work(session.engine)

        self._jobs.submit(owner, key, call, title=title, done=done, failed=failed or self.notifier.error)

    def forget(self, owner: object) -> None:
        """Deliver nothing more to `owner`."""
        self._jobs.forget(owner)
