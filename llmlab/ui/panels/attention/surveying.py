"""Has all heads looked through, once for each kind of attention of what was read. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmlab.engine.attention.scores import INDUCTION_ON_REPEATS, PREVIOUS_ON_REPEATS, REPEAT_SCORES
from llmlab.engine.attention.types import Survey
from llmlab.engine.types import Architecture, Float32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.tiles import Tiles, tiles_of

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Control

QUICK = 1024 * 1024  # weights of a head up to which nobody waits for a survey


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """The heads of one kind, and their thumbnails."""

    survey: Survey
    tiles: Tiles


class Surveying:
    """Remembers the surveys of one reading, and how the model's heads did on random repeats.

    `came` is called when there is something new. A model's heads are tested once, when a score of that test is chosen.
    """

    def __init__(self, asking: Asking, came: Callable[[], None]) -> None:
        self._asking = asking
        self._came = came
        self._number = -1
        self._surveys: dict[str, Surveyed] = {}
        self._failed: set[str] = set()
        self._asked: str | None = None
        self._turn = 0
        self._repeats: dict[str, Float32] | None = None
        self._testing = False

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        return self._asked is not None or self._testing

    def of(self, number: int, kind: str) -> Surveyed | None:
        """The heads of `kind` in reading `number`."""
        surveyed = self._surveys.get(kind) if number == self._number else None
        if surveyed is None or not self._repeats:
            return surveyed
        scores = {**surveyed.survey.scores, **self._repeats}
        return Surveyed(replace(surveyed.survey, scores=scores), surveyed.tiles)

    def ask(self, reading: Reading) -> None:
        """Have the heads of the reading's kind looked through, unless that was done, or only some layers were kept."""
        number, kind = reading.number, reading.focus.kind
        if number != self._number:
            self._number, self._surveys, self._failed, self._asked = number, {}, set(), None
        layers = reading.shape.captured
        partial = bool(layers) and len(layers) < reading.shape.layers
        if reading.info.architecture is Architecture.DECODER and {reading.params.score, reading.params.sort} & {
            *REPEAT_SCORES
        }:
            self._test()
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
        self._repeats, self._testing = None, False
        self._asking.cancel(self, "repeats")

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def _test(self) -> None:
        """Test the heads on random tokens that come twice, unless that was done, or given up."""
        if self._testing or self._repeats is not None:
            return
        self._testing = True

        def work(engine: Engine, control: Control) -> dict[str, Float32]:
            previous, induction = engine.head_scores_on_repeats(control)
            return {PREVIOUS_ON_REPEATS: previous, INDUCTION_ON_REPEATS: induction}

        def failed(error: ErrorInfo) -> None:
            self._tested({})
            self._asking.notifier.error(error)

        self._asking.engine(
            self,
            "repeats",
            work,
            self._tested,
            title="Testing the heads on random repeats",
            failed=failed,
            stopped=lambda: self._tested({}),
        )

    def _tested(self, scores: dict[str, Float32]) -> None:
        self._testing, self._repeats = False, scores
        self._came()

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
