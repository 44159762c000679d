"""Two columns of tokens with lines between them, for one head or several in colours. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.attention.types import MapRequest, Reduction
from llmlab.engine.types import Int32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import snippet
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.lines_edges import FLOOR, Edges
from llmlab.ui.panels.attention.lines_values import Chip, HeadLines, Lines, Shown
from llmlab.ui.panels.attention.reading import QUERIES, Looker, Reading
from llmlab.ui.panels.attention.words import labels_of

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

MAX_HEADS = 8
WHOLE = 2048  # rows: a longer text is looked at in windows around what is visible
WINDOW = 512  # rows of a window


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The lines of one map, and what stands in its rows and columns (see `Lines`)."""

    edges: Edges
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    query_edges: Int32
    key_edges: Int32
    longest: int


_Place = tuple[MapRequest, tuple[int, int]]  # a map and the rows of it that were asked for


class LinesView(Protocol):
    """What is asked of the tab."""

    def show_lines(self, lines: Lines | None) -> None:
        """Show other lines, or nothing yet."""

    def show_chips(self, chips: tuple[Chip, ...], *, full: bool) -> None:
        """The legend: heads that are shown, and those of the layer; `full`: no more can be shown."""

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        """The rows whose lines alone are shown; none: all lines."""

    def show_error(self, error: ErrorInfo) -> None:
        """The lines could not be computed."""

    def write(self) -> Callable[[Path], None] | None:
        """What writes the part that is seen as a picture file, to be called in a worker thread."""

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file."""


class Lining:
    """Keeps the lines in step with the head in focus, the heads that were added to it, and what is in sight."""

    def __init__(self, asking: Asking, looker: Looker, view: LinesView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._added: tuple[Shown, ...] = ()
        self._slots: dict[Shown, int] = {}
        self._window = (0, WINDOW)  # rows that should be known
        self._known: dict[_Place, _Found] = {}
        self._asked: tuple[object, ...] | None = None
        self._shown: tuple[object, ...] | None = None
        self.lines: Lines | None = None

    # --- what is shown --------------------------------------------------------------------------------------

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        before, self._reading = self._reading, reading
        if reading is None or before is None or reading.number != before.number:
            self._known, self._asked, self._shown = {}, None, None
            self._window = (0, WINDOW)
        if reading is None:
            self.lines, self._added, self._slots = None, (), {}
            self._view.show_lines(None)
            return
        if before is not None and before.focus.kind != reading.focus.kind:
            self._added, self._window = (), (0, WINDOW)
        self._drop_impossible(reading)
        self._refresh()

    @property
    def busy(self) -> bool:
        """See `Part`."""
        return self._reading is not None and self._shown != self._wanted

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def heads(self) -> tuple[Shown, ...]:
        """Whose lines are shown: the head in focus and those that were added."""
        assert self._reading is not None
        focus = self._reading.focus
        single = focus.layer is not None and focus.head is not None
        first = Shown(focus.layer, focus.head, Reduction.MEAN if single else focus.reduction)
        return tuple(dict.fromkeys((first, *self._added)))[:MAX_HEADS]

    @property
    def _wanted(self) -> tuple[object, ...]:
        assert self._reading is not None
        return self._reading.number, tuple(self._request(head) for head in self.heads), self._rows

    @property
    def _is_long(self) -> bool:
        assert self._reading is not None
        return len(self._reading.shape.query_tokens) > WHOLE

    @property
    def _rows(self) -> tuple[int, int]:
        """The rows that should be known: all, or a window."""
        assert self._reading is not None
        count = len(self._reading.shape.query_tokens)
        return (self._window[0], min(self._window[1], count)) if self._is_long else (0, count)

    def _request(self, head: Shown) -> MapRequest:
        assert self._reading is not None
        shape = self._reading.shape
        return self._reading.map_request(
            layer=head.layer,
            head=head.head,
            reduction=head.reduction,
            words=self._reading.params.words and not self._is_long,  # a window could cut a word in two
            limit=max(len(shape.query_tokens), len(shape.key_tokens), 1),
        )

    def _drop_impossible(self, reading: Reading) -> None:
        """Heads that this model does not have."""
        shape = reading.shape
        self._added = tuple(
            head for head in self._added if (head.layer or 0) < shape.layers and (head.head or 0) < shape.heads
        )

    def _refresh(self) -> None:
        reading = self._reading
        assert reading is not None
        self._assign_slots()
        self._view.show_chips(self._chips(reading), full=len(self.heads) >= MAX_HEADS)
        if all((self._request(head), self._rows) in self._known for head in self.heads):
            if self.busy:
                self._show(reading)
            assert self.lines is not None
            self._view.show_pinned(tuple(dict.fromkeys(map(self.lines.row_of, reading.focus.queries))))
        else:
            self._ask(reading)

    def _assign_slots(self) -> None:
        """A head keeps its colour as long as it is shown."""
        heads = self.heads
        self._slots = {head: slot for head, slot in self._slots.items() if head in heads}
        for head in heads:
            free = (slot for slot in range(MAX_HEADS) if slot not in self._slots.values())
            self._slots.setdefault(head, next(free, 0))

    def _chips(self, reading: Reading) -> tuple[Chip, ...]:
        """The heads of the layer in their order, so that none moves under the mouse, then the others that are shown."""
        shown, layer = self.heads, reading.focus.layer
        own = () if layer is None else tuple(Shown(layer, head) for head in range(reading.shape.heads))
        several = () if shown[0] in own else shown[:1]
        ordered = dict.fromkeys((*several, *own, *shown))
        return tuple(Chip(head, self._slots.get(head), fixed=head == shown[0]) for head in ordered)

    def _show(self, reading: Reading) -> None:
        found = {head: self._known[self._request(head), self._rows] for head in self.heads}
        heads = tuple(HeadLines(head, self._slots[head], each.edges) for head, each in found.items())
        first = found[self.heads[0]]
        highest = max((float(each.edges.weights.max(initial=0.0)) for each in heads), default=1.0)
        self.lines = Lines(
            first.query_labels,
            first.key_labels,
            first.query_edges,
            first.key_edges,
            heads,
            self._rows,
            max(highest, FLOOR) if reading.params.value_weighted else 1.0,
            first.longest,
        )
        self._shown = self._wanted
        self._view.show_lines(self.lines)

    def _ask(self, reading: Reading) -> None:
        if not reading.readable or self._wanted == self._asked:
            return
        self._asked = wanted = self._wanted
        number, shape, count = reading.number, reading.shape, len(reading.shape.query_tokens)
        rows, is_long = self._rows, self._is_long
        missing = [self._request(head) for head in self.heads if (self._request(head), rows) not in self._known]

        def work(capture: AttentionCapture, control: Control) -> tuple[int, dict[_Place, _Found]]:
            found: dict[_Place, _Found] = {}
            for place, request in enumerate(missing):
                control.report("Lines of the heads", place / len(missing))
                control.check()
                answer = capture.map(replace(request, rows=rows) if is_long else request, control)
                queries = np.arange(count + 1, dtype=np.int32) if is_long else answer.row_edges
                texts = labels_of(shape.query_tokens, queries), labels_of(shape.key_tokens, answer.column_edges)
                longest = max(map(len, texts[0] + texts[1]), default=0)
                edges = Edges.of(answer, rows[0])
                found[request, rows] = _Found(edges, *texts, queries, answer.column_edges, longest)
            return number, found

        self._asking.capture(
            self, "lines", reading.request, work, self._came,
            title="Lines of the heads", failed=lambda error: self._failed(error, wanted),
        )  # fmt: skip

    def _came(self, answer: tuple[int, dict[_Place, _Found]]) -> None:
        number, found = answer
        if self._reading is None or number != self._reading.number:
            return
        wanted = {(self._request(head), self._rows) for head in self.heads}
        kept = {place: lines for place, lines in self._known.items() if place in wanted}
        self._known = kept | found
        self._asked = None
        self._refresh()

    def _failed(self, error: ErrorInfo, wanted: tuple[object, ...]) -> None:
        if wanted == self._asked:
            self._shown = wanted
            self._view.show_error(error)

    # --- what the user does ---------------------------------------------------------------------------------

    def toggle(self, head: Shown) -> None:
        """Show the lines of one head more, or one less; the head in focus stays."""
        if self._reading is None or head == self.heads[0]:
            return
        if head in self._added:
            self._added = tuple(each for each in self._added if each != head)
        elif len(self.heads) < MAX_HEADS:
            self._added = (*self._added, head)
        self._refresh()

    def show_layer(self) -> None:
        """The heads of the layer in focus, as many as there are colours."""
        if self._reading is None or self._reading.focus.layer is None:
            return
        layer, count = self._reading.focus.layer, self._reading.shape.heads
        self._added = tuple(Shown(layer, head) for head in range(min(count, MAX_HEADS)))
        self._refresh()

    def show_one(self) -> None:
        """Only the head in focus."""
        if self._reading is not None:
            self._added = ()
            self._refresh()

    def see(self, first: int, last: int) -> None:
        """Rows `first` … `last` are in sight: of a long text, ask for their lines."""
        if self._reading is None or not self._is_long:
            return
        start, stop = self._window
        count = len(self._reading.shape.query_tokens)
        if first >= start and last < min(stop, count):
            return
        middle = (first + last) // 2
        start = max(0, min(middle - WINDOW // 2, count - WINDOW))
        self._window = (start, start + max(WINDOW, last - first + 1))
        self._refresh()

    def pin(self, row: int | None) -> None:
        """Show the lines of one query alone, or of all again."""
        if self._reading is None or self.lines is None:
            return
        edges = self.lines.query_edges
        tokens = () if row is None else tuple(range(int(edges[row]), int(edges[row + 1])))
        self._looker.look(queries=() if tokens == self._reading.focus.queries else tokens)

    def hover(self, axis: str, row: int | None) -> None:
        """A row of the column "queries" or "keys" is under the mouse."""
        if self.lines is not None and self._reading is not None:
            edges = self.lines.query_edges if axis == QUERIES else self.lines.key_edges
            self._looker.point(axis, None if row is None else int(edges[row]))

    @property
    def python(self) -> str:
        """A script that prints the weights of the head in focus; empty where nothing was read."""
        return "" if self._reading is None else snippet.weights(self._reading)

    def save(self, kind: str) -> None:
        """Write what is seen as a picture: "png", "svg" or "pdf"."""
        write = self._view.write()
        if write is not None:
            self._view.ask_path(f"attention-lines.{kind}", (kind,), lambda path: self._asking.store(path, write))
