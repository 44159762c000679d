"""Words as the loaded model's tokens, asked for once a word and model. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from llmlab.engine.knobs import Tokens
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs

if TYPE_CHECKING:
    from llmlab.engine.session import Session


class Spelling:
    """Knows the tokens of words; `changed` is called with all that is known when more is."""

    def __init__(
        self,
        jobs: Jobs,
        changed: Callable[[Mapping[str, tuple[Tokens, ...]]], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        self._jobs = jobs
        self._changed = changed
        self._failed = failed
        self._model = 0
        self._known: dict[str, tuple[Tokens, ...]] = {}
        self._asked: tuple[str, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether an answer is missing."""
        return bool(self._asked)

    def forget_model(self) -> None:
        """Another model spells in its own way."""
        self._model += 1
        self._known, self._asked = {}, ()
        self._changed({})

    def want(self, words: tuple[str, ...]) -> None:
        """Ask for the tokens of those `words` that are not known."""
        missing = tuple(word for word in words if word not in self._known)
        if not missing or missing == self._asked:
            return
        model, self._asked = self._model, missing

        def work(session: Session, _control: JobControl) -> tuple[tuple[Tokens, ...], ...]:
            return session.engine.word_ids(missing)

        def done(spelled: tuple[tuple[Tokens, ...], ...]) -> None:
            if model == self._model:
                self._asked = ()
                self._known.update(zip(missing, spelled, strict=True))
                self._changed(dict(self._known))

        def failed(error: ErrorInfo) -> None:
            if model == self._model:
                self._known.update(dict.fromkeys(missing, ()))  # not asked for again and again
                self._asked = ()
                self._failed(error)

        self._jobs.submit(self, "words", work, title="Reading the words", done=done, failed=failed)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)
