"""Has all heads looked through, once for each kind of attention of what was read. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmlab.engine.attention.types import Survey
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.tiles import Tiles, tiles_of

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

QUICK = 1024 * 1024  # weights of a head up to which nobody waits for a survey


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """The heads of one kind, and their thumbnails."""

    survey: Survey
    tiles: Tiles


class Surveying:
    """Remembers the surveys of one reading; `came` is called when there is a new one."""

    def __init__(self, asking: Asking, came: Callable[[], None]) -> None:
        self._asking = asking
        self._came = came
        self._number = -1
        self._surveys: dict[str, Surveyed] = {}
        self._failed: set[str] = set()
        self._asked: str | None = None
        self._turn = 0

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        return self._asked is not None

    def of(self, number: int, kind: str) -> Surveyed | None:
        """The heads of `kind` in reading `number`."""
        return self._surveys.get(kind) if number == self._number else None

    def ask(self, reading: Reading) -> None:
        """Have the heads of the reading's kind looked through, unless that was done, or only some layers were kept."""
        number, kind = reading.number, reading.focus.kind
        if number != self._number:
            self._number, self._surveys, self._failed, self._asked = number, {}, set(), None
        layers = reading.shape.captured
        partial = bool(layers) and len(layers) < reading.shape.layers
        if partial or kind in self._surveys or kind in self._failed or kind == self._asked:
            return
        self._asked = kind
        self._turn += 1
        turn = self._turn

        def work(capture: AttentionCapture, control: Control) -> tuple[int, str, Surveyed]:
            survey = capture.survey(kind, control)
            return number, kind, Surveyed(survey, tiles_of(survey))

        def failed(error: ErrorInfo) -> None:
            self._end(turn, kind)
            self._asking.notifier.error(error)

        self._asking.capture(
            self,
            "survey",
            reading.request,
            work,
            self._has_come,
            title="Looking through all heads",
            failed=failed,
            stopped=lambda: self._end(turn, kind),
        )

    def give_way(self, reading: Reading) -> None:
        """The user waits for something else: stop a survey that takes long. `ask` begins it anew, behind that."""
        cells = len(reading.shape.query_tokens) * len(reading.shape.key_tokens)
        if self._asked is not None and cells > QUICK:
            self._asked = None
            self._turn += 1
            self._asking.cancel(self, "survey")

    def forget(self) -> None:
        """The model is gone."""
        self._number, self._surveys, self._asked = -1, {}, None

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def _has_come(self, answer: tuple[int, str, Surveyed]) -> None:
        number, kind, surveyed = answer
        if number != self._number:
            return
        self._surveys[kind] = surveyed
        if self._asked == kind:
            self._asked = None
        self._came()

    def _end(self, turn: int, kind: str) -> None:
        if turn == self._turn:
            self._failed.add(kind)
            self._asked = None
