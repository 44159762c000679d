"""What the model says about a text: asked for in the model thread, dropped when it has become stale. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmlab.engine.sorted_logits import CapturedPosition
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs

if TYPE_CHECKING:
    from llmlab.engine.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The positions of one text at which the model expects a token: one, or one for each mask."""

    text: str
    positions: tuple[CapturedPosition, ...]


class Readings:
    """Asks for distributions and the vocabulary's texts; calls `changed` when one has come.

    A text that is asked for while an earlier one is read takes the place of what waits, not of what runs: while
    someone types, every result is shown that is newer than the last. `forget_model` makes all of it stale.
    """

    def __init__(self, jobs: Jobs, changed: Callable[[], None], failed: Callable[[ErrorInfo], None]) -> None:
        self._jobs = jobs
        self._changed = changed
        self._failed = failed
        self._model = 0  # grows with every model
        self.prompt: Reading | None = None
        self.error: ErrorInfo | None = None  # of the last prompt
        self.whole: Reading | None = None  # of the prompt with its completion
        self.texts: Sequence[str] | None = None  # of all tokens of the vocabulary
        self._asked: dict[str, str] = {}  # job key -> the last text asked for, while its answer is missing
        self._naming = False

    @property
    def busy(self) -> bool:
        """Whether an answer is missing."""
        return bool(self._asked) or self._naming

    def forget_model(self) -> None:
        """Another model: nothing that the former one has said holds."""
        self._model += 1
        self.prompt = self.whole = self.texts = self.error = None
        self._asked, self._naming = {}, False

    def forget_prompt(self) -> None:
        """There is no text to read."""
        self.prompt = self.error = None
        self._asked.pop("prompt", None)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def read_prompt(self, text: str) -> None:
        """Ask what comes after `text`, or behind its masks."""

        def failed(error: ErrorInfo) -> None:
            self.prompt, self.error = None, error
            self._changed()

        self._read("prompt", text, self._has_prompt, failed)

    def read_whole(self, text: str) -> None:
        """Ask what comes after prompt and completion, read anew as one text."""

        def show(reading: Reading) -> None:
            self.whole = reading

        if self._asked.get("whole") != text and (self.whole is None or self.whole.text != text):
            self._read("whole", text, show, self._failed)

    def _has_prompt(self, reading: Reading) -> None:
        self.prompt, self.error = reading, None
        if self.texts is None and not self._naming:
            self._read_vocabulary()

    def _read(self, key: str, text: str, show: Callable[[Reading], None], failed: Callable[[ErrorInfo], None]) -> None:
        def work(session: Session, control: JobControl) -> Reading:
            return Reading(text, session.engine.distribution(text, control=control).positions)

        def done(reading: Reading) -> None:
            show(reading)
            self._changed()

        def answered(then: Callable[[Any], None]) -> Callable[[Any], None]:
            def take(value: Any) -> None:
                if key in self._asked:  # else nobody waits for it any more
                    if self._asked[key] == text:
                        del self._asked[key]
                    then(value)

            return self._current(take)

        self._asked[key] = text
        self._jobs.submit(
            self,
            key,
            work,
            title="Computing the distribution",
            done=answered(done),
            failed=answered(failed),
            stopped=answered(lambda _: self._changed()),
        )

    def _read_vocabulary(self) -> None:
        def work(session: Session, _control: JobControl) -> Sequence[str]:
            return session.engine.vocabulary_texts()

        def ended(texts: Sequence[str] | None) -> None:
            self._naming, self.texts = False, texts
            self._changed()

        def failed(error: ErrorInfo) -> None:
            ended(None)
            self._failed(error)

        self._naming = True
        self._jobs.submit(
            self,
            "vocabulary",
            work,
            title="Reading the vocabulary",
            done=self._current(ended),
            failed=self._current(failed),
            stopped=self._current(lambda _: ended(None)),
        )

    def _current(self, call: Callable[[Any], object]) -> Callable[[Any], None]:
        """`call`, unless the model has changed by then."""
        model = self._model

        def checked(value: Any) -> None:
            if model == self._model:
                call(value)

        return checked
