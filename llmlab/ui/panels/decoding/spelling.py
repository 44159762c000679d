"""Words as the loaded model's tokens, asked for once a word and model. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from llmlab.engine.knobs import Tokens
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs
from llmlab.ui.panels.decoding.words import TokenWord, Word

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.session import Session


class Spelling:
    """Knows the tokens of words; `changed` is called with all that is known when more is."""

    def __init__(
        self,
        jobs: Jobs,
        changed: Callable[[Mapping[Word, tuple[Tokens, ...]]], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        self._jobs = jobs
        self._changed = changed
        self._failed = failed
        self._model = 0
        self._known: dict[Word, tuple[Tokens, ...]] = {}
        self._asked: tuple[Word, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether an answer is missing."""
        return bool(self._asked)

    def forget_model(self) -> None:
        """Another model spells in its own way."""
        self._model += 1
        self._known, self._asked = {}, ()
        self._changed({})

    def want(self, words: tuple[Word, ...]) -> None:
        """Ask for the tokens of those `words` that are not known."""
        missing = tuple(word for word in words if word not in self._known)
        if not missing or missing == self._asked:
            return
        model, self._asked = self._model, missing

        def work(session: Session, _control: JobControl) -> dict[Word, tuple[Tokens, ...]]:
            return _spelled(session.engine, missing)

        def done(spelled: dict[Word, tuple[Tokens, ...]]) -> None:
            if model == self._model:
                self._asked = ()
                self._known.update(spelled)
                self._changed(dict(self._known))

        def failed(error: ErrorInfo) -> None:
            if model == self._model:
                typed = tuple(word for word in missing if not isinstance(word, TokenWord))
                self._known.update(dict.fromkeys(typed or missing, ()))  # not asked for again and again
                self._asked = ()
                self._failed(error)
                self.want(missing)  # what is named by ids is not what could not be read

        self._jobs.submit(self, "words", work, title="Reading the words", done=done, failed=failed)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)


def _spelled(engine: Engine, words: tuple[Word, ...]) -> dict[Word, tuple[Tokens, ...]]:
    """What is typed may be spelled in several ways; what is named by ids as they say, or not at all."""
    typed = tuple(word for word in words if not isinstance(word, TokenWord))
    exact = (word for word in words if isinstance(word, TokenWord))
    known: dict[Word, tuple[Tokens, ...]] = dict(zip(typed, engine.word_ids(typed), strict=True))
    return known | {word: word.spelled(engine.info.vocabulary, engine.token_texts) for word in exact}
