"""The logit lens of the text: a table of what every layer would predict, and the course of one position. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.attention.types import AttentionRequest, Lens, LensPosition
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import snippet
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.lens_values import LensMeasure, LensTable, csv_text, json_text
from llmlab.ui.panels.attention.reading import QUERIES, Looker, Reading

if TYPE_CHECKING:
    from llmlab.engine.progress import Progress

WINDOW = 512  # positions that are read at a time


@dataclass(frozen=True, slots=True)
class LensChoices:
    """What colours the cells, whether the rows after attention are shown, and whether the courses are ranks."""

    measure: LensMeasure = LensMeasure.PROBABILITY
    attention: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LensScreen:
    """All that the tab shows.

    `table` is None while the first answer is on its way. `window`: (first position, the one after the last) of `total`
    tokens. `position`: the one whose course is shown in `course`, None until that is there. `note`: what one must know.
    """

    table: LensTable | None
    choices: LensChoices
    window: tuple[int, int]
    total: int
    position: int
    course: LensPosition | None
    note: str = ""
    fraction: float | None = None  # of the table that is being computed


class LensView(Protocol):
    """What is asked of the tab."""

    def show_lens(self, screen: LensScreen | None) -> None:
        """Show this, or that nothing has been read."""

    def show_error(self, error: ErrorInfo) -> None:
        """The layers of this model cannot be read, or that failed."""


class Lensing:
    """Keeps the table in step with the text, and the course with the position that is looked at."""

    def __init__(self, asking: Asking, looker: Looker, view: LensView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._request: AttentionRequest | None = None
        self._choices = LensChoices()
        self._lens: Lens | None = None
        self._table: LensTable | None = None
        self._window = (0, 0)
        self._position = 0
        self._course: LensPosition | None = None
        self._waiting: set[str] = set()
        self._fraction: float | None = None
        self._error: ErrorInfo | None = None

    # --- as a part ------------------------------------------------------------------------------------------

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        former, self._reading = self._reading, reading
        if reading is None:
            self._forget()
            self._view.show_lens(None)
            return
        request = replace(reading.request, layers=None)
        if former is None or request != self._request or former.info != reading.info:
            self._forget()
            self._request = request
            total = self._total
            self._position = self._first_position
            first = min(max(0, self._position - WINDOW // 2), max(0, total - WINDOW))
            self._window = (first, min(first + WINDOW, total))
            self._ask_table()
            self._ask_course()
        self._show()

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """See `Part`."""
        return bool(self._waiting)

    # --- what the user does ---------------------------------------------------------------------------------

    def choose(self, **changes: Any) -> None:
        """Other `LensChoices`."""
        self._choices = replace(self._choices, **changes)
        self._make_table()
        self._show()

    def pick(self, position: int) -> None:
        """Show the course of this position."""
        if position == self._position and self._course is not None:
            return
        self._position = position
        self._ask_course()
        self._show()

    def hover(self, position: int | None) -> None:
        """A position is under the mouse: mark its token in the prompt."""
        if self._reading is not None and self._is_looked_at:
            self._looker.point(QUERIES, position)

    def turn(self, pages: int) -> None:
        """Read other positions of a long text: so many windows later, or earlier where negative."""
        total = self._total
        first = min(max(self._window[0] + pages * WINDOW, 0), max(0, total - WINDOW))
        if first != self._window[0]:
            self._window = (first, min(first + WINDOW, total))
            self._ask_table()
            self._show()

    def copy(self, take: Callable[[str], None]) -> None:
        """Make the table a text, which takes a moment for a long one, and give it to `take`."""
        lens = self._lens
        if lens is not None:
            self._asking.beside(self, "copy", lambda _: csv_text(lens), take)

    def script(self) -> str:
        """Python that does the same."""
        assert self._reading is not None
        return snippet.lens(self._reading, self._window)

    def save(self, path: Path) -> None:
        """Write the table to a file, as its suffix says."""
        lens = self._lens
        if lens is not None:
            write = json_text if path.suffix.lower() == ".json" else csv_text
            self._asking.write(path, lambda: write(lens))

    # --- asking ---------------------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        """The maps whose rows are the positions that predict."""
        assert self._reading is not None
        return "decoder" if "decoder" in self._reading.shapes else "self"

    @property
    def _total(self) -> int:
        assert self._reading is not None
        return len(self._reading.shapes[self._kind].query_tokens)

    @property
    def _first_position(self) -> int:
        """What is looked at first: the first mask of an encoder, or the end of the text."""
        assert self._reading is not None
        tokens, mask = self._reading.shapes[self._kind].query_tokens, self._reading.info.mask_token
        return tokens.index(mask) if mask in tokens else len(tokens) - 1

    @property
    def _is_looked_at(self) -> bool:
        """Whether the panel looks at maps whose rows are the same tokens."""
        assert self._reading is not None
        return self._reading.focus.kind in (self._kind, "cross")

    def _forget(self) -> None:
        self._request, self._lens, self._table, self._course, self._error = None, None, None, None, None
        self._waiting, self._fraction = set(), None

    def _ask_table(self) -> None:
        request, window = self._request, self._window
        assert request is not None

        def came(lens: Lens) -> None:
            if window == self._window:
                self._lens = lens
                self._make_table()
                self._answered("lens")

        self._ask("lens", lambda engine, control: engine.logit_lens(request, window, control=control), came)

    def _ask_course(self) -> None:
        request, position = self._request, self._position
        assert request is not None

        def came(course: LensPosition) -> None:
            if position == self._position:
                self._course = course
                self._answered("course")

        self._ask("course", lambda engine, control: engine.lens_position(request, position, control), came)

    def _ask(self, key: str, work: Callable[[Any, Any], Any], came: Callable[[Any], None]) -> None:
        request = self._request
        self._waiting.add(key)

        def if_still(then: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda value: then(value) if request == self._request else None

        self._asking.engine(
            self,
            key,
            work,
            if_still(came),
            title="Reading the hidden states",
            failed=if_still(self._failed),
            stopped=lambda: if_still(lambda _: self._answered(key))(None),
            progress=if_still(self._progressed) if key == "lens" else None,
        )

    def _answered(self, key: str) -> None:
        self._waiting.discard(key)
        self._show()

    def _progressed(self, progress: Progress) -> None:
        self._fraction = progress.fraction
        if self._table is None:
            self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._error = error
        self._waiting = set()
        self._show()

    def _make_table(self) -> None:
        if self._lens is not None:
            self._table = LensTable.of(self._lens, attention=self._choices.attention)

    # --- showing --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._reading is None:
            return
        if self._error is not None:
            self._view.show_error(self._error)
            return
        note = self._lens.without_attention if self._lens is not None else ""
        self._view.show_lens(
            LensScreen(
                self._table,
                self._choices,
                self._window,
                self._total,
                self._position,
                self._course,
                note,
                self._fraction,
            )
        )
