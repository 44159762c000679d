"""The text, shaded by where chosen tokens look, or by who looks at them. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llmlab.engine.attention.types import AttentionMap, MapRequest
from llmlab.engine.types import Float32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import snippet, text_rows
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.reading import KEYS, QUERIES, Looker, Reading
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control


class TextView(Protocol):
    """What is asked of the tab."""

    def show_texts(self, texts: Texts | None) -> None:
        """Show other tokens, or none yet."""

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        """Shade the tokens; `pinned`: the chosen ones stay chosen when the mouse moves on."""

    def show_axis(self, axis: str) -> None:
        """Which way one looks: from "queries" or to "keys"."""

    def show_error(self, error: ErrorInfo) -> None:
        """The map could not be computed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What one job has found: for which map, its texts if they were wanted, the map or a few rows of it."""

    number: int
    wanted: MapRequest
    texts: Texts | None
    map: AttentionMap | None
    rows: tuple[str, tuple[int, ...], Float32] | None


class Texting:
    """Keeps the shading in step with the head, the pinned tokens and the mouse.

    Of a small map all weights are kept; of a large one the rows of the chosen tokens are asked for.
    """

    def __init__(self, asking: Asking, looker: Looker, view: TextView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._axis = QUERIES
        self._keys: tuple[int, ...] = ()  # chosen where one text looks at another
        self._hovered: tuple[str, int] | None = None
        self._texts: tuple[int, str, Texts] | None = None  # of which reading and kind
        self._map: tuple[int, MapRequest, AttentionMap] | None = None
        self._asked: tuple[object, ...] | None = None
        self._shown: tuple[object, ...] | None = None
        self.shading: Shading | None = None

    # --- what is shown --------------------------------------------------------------------------------------

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        before, self._reading = self._reading, reading
        if reading is None or before is None or reading.number != before.number or _kind(reading) != _kind(before):
            self._hovered, self._keys, self._shown = None, (), None
        if reading is None:
            self._asked = self._map = self._texts = self.shading = None
            self._view.show_texts(None)
            return
        self._refresh()

    @property
    def busy(self) -> bool:
        """See `Part`."""
        return self._reading is not None and self._shown != self._wanted

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def pinned(self) -> tuple[int, ...]:
        """The tokens that stay chosen."""
        assert self._reading is not None
        return self._keys if self._is_two and self._axis == KEYS else self._reading.focus.queries

    @property
    def _is_two(self) -> bool:
        """Whether one text looks at another."""
        return self._reading is not None and _kind(self._reading) == "cross"

    @property
    def _chosen(self) -> tuple[str, tuple[int, ...]]:
        """Axis and numbers of the tokens to shade for: pinned, under the mouse, or else the last one."""
        assert self._reading is not None
        if self.pinned:
            return self._axis, self.pinned
        if self._hovered is not None:
            axis, token = self._hovered
            return (axis if self._is_two else self._axis), (token,)
        shape = self._reading.shape
        tokens = shape.query_tokens if self._axis == QUERIES else shape.key_tokens
        return self._axis, (len(tokens) - 1,)

    @property
    def _wanted(self) -> tuple[object, ...]:
        """All that decides on the picture."""
        assert self._reading is not None
        reading = self._reading
        return reading.number, text_rows.whole(reading), reading.params.scale, *self._chosen

    def _refresh(self) -> None:
        """Show what is wanted, or ask for what is missing."""
        reading = self._reading
        assert reading is not None
        self._view.show_axis(self._axis)
        if self._texts is None or self._texts[:2] != (reading.number, _kind(reading)):
            self._ask(reading)
        elif self._map is not None and self._map[:2] == (reading.number, text_rows.whole(reading)):
            axis, chosen = self._chosen
            self._shade(reading, axis, chosen, text_rows.of_map(self._map[2], axis, chosen))
        else:
            self._ask(reading)

    def _shade(self, reading: Reading, axis: str, chosen: tuple[int, ...], weights: Float32) -> None:
        self.shading = text_rows.shading(reading, axis, chosen, weights)
        self._shown = (reading.number, text_rows.whole(reading), reading.params.scale, axis, chosen)
        self._view.show_shading(self.shading, pinned=bool(self.pinned))

    def _ask(self, reading: Reading) -> None:
        if not reading.readable:
            return  # the layer is being read
        number, shape, wanted = reading.number, reading.shape, text_rows.whole(reading)
        needs_texts = self._texts is None or self._texts[:2] != (number, shape.kind)
        small = text_rows.fits(shape)
        axis, chosen = self._chosen
        asked = (number, wanted, needs_texts) if small else (number, wanted, needs_texts, axis, chosen)
        if asked == self._asked:
            return
        self._asked = asked

        def work(capture: AttentionCapture, control: Control) -> _Found:
            texts = Texts.of(shape) if needs_texts else None
            found = capture.map(wanted, control) if small else None
            rows = None if small else (axis, chosen, text_rows.ask(capture, wanted, shape, axis, chosen, control))
            return _Found(number, wanted, texts, found, rows)

        self._asking.capture(
            self, "weights", reading.request, work, self._came, title="Attention of a head", failed=self._failed
        )

    def _came(self, found: _Found) -> None:
        reading = self._reading
        if reading is None or found.number != reading.number:
            return
        self._asked = None
        if found.texts is not None and found.wanted.kind == _kind(reading):
            self._texts = (found.number, found.wanted.kind, found.texts)
            self._view.show_texts(found.texts)
        if found.map is not None:
            self._map = (found.number, found.wanted, found.map)
        elif found.rows is not None and found.wanted == text_rows.whole(reading):
            self._shade(reading, *found.rows)  # perhaps of where the mouse was: better than nothing
        if self.busy:
            self._refresh()

    def _failed(self, error: ErrorInfo) -> None:
        if self._reading is not None:
            self._shown = self._wanted
        self._view.show_error(error)

    # --- choosing -------------------------------------------------------------------------------------------

    def hover(self, axis: str, token: int) -> None:
        """The mouse is over a token of the text on `axis`; -1 for none."""
        reading = self._reading
        if reading is None:
            return
        self._hovered = (axis, token) if token >= 0 else None
        self._looker.point(axis, token if token >= 0 else None)
        if not self.pinned:
            self._refresh()

    def choose(self, axis: str, tokens: Sequence[int]) -> None:
        """Pin these tokens of the text on `axis`, or none: several are summed."""
        if self._reading is None:
            return
        if self._is_two:
            self._axis = axis
        chosen = tuple(sorted(set(tokens)))
        if self._is_two and axis == KEYS:
            self._keys = chosen
            self._refresh()
        elif chosen != self._reading.focus.queries:
            self._looker.look(queries=chosen)
        else:
            self._refresh()

    def toggle(self, axis: str, token: int) -> None:
        """Pin one token more, or one less."""
        if self._reading is None:
            return
        own = axis == self._axis or not self._is_two
        before = self.pinned if own else ()
        self.choose(axis, [*before, token] if token not in before else [each for each in before if each != token])

    @property
    def python(self) -> str:
        """A script that prints the weights of the head in focus; empty where nothing was read."""
        return "" if self._reading is None else snippet.weights(self._reading)

    def turn(self, axis: str) -> None:
        """Look the other way: "queries" for where the tokens look, "keys" for who looks at them."""
        self._axis = axis
        if self._reading is not None:
            self._refresh()


def _kind(reading: Reading) -> str:
    return reading.focus.kind
