"""Asks tokenizers in the background, beside the model. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from llmlab.jobs.worker import Jobs
from llmlab.ui.asking import Asking
from llmlab.ui.panel import Notifier
from llmlab.ui.tokenizers import Opener, open_on_shelf

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer
    from llmlab.jobs.job import ErrorInfo

T = TypeVar("T")


class Workshop(Asking):
    """Where the parts of the panel have their work done, with any tokenizer or with the loaded model."""

    def __init__(self, jobs: Jobs, notifier: Notifier, opener: Opener = open_on_shelf) -> None:
        super().__init__(jobs, notifier)
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
        self.beside(owner, key, lambda _: work(self.opener(spec)), done, failed)
