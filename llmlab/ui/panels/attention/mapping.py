"""The heat map's part of the presenter: one head, or several in one, weight by weight. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.attention.types import AttentionMap, MapRequest
from llmlab.engine.types import Float32, Int32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk
from llmlab.ui.panels.attention import exports, snippet
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.reading import QUERIES, Looker, Reading
from llmlab.ui.panels.attention.words import labels_of, title_of
from llmlab.ui.widgets.heatmap.codes import heat_of
from llmlab.ui.widgets.heatmap.norm import Norm, Scale, nice_limit
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

LIMIT = 4096  # cells of the map that are kept; longer texts are pooled
DETAIL = 2048  # tokens, in each direction, that are shown exactly when zoomed in
PINNED = 64  # rows that can be summed


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """One map, ready to be painted. `row_edges`, `column_edges`: the tokens of each unit (see `AttentionMap`)."""

    number: int
    request: MapRequest
    by_row: bool
    picture: HeatPicture
    row_edges: Int32
    column_edges: Int32
    largest: float

    def unit(self, axis: str, token: int) -> int:
        """The row (axis "queries") or column that a token belongs to."""
        edges = self.row_edges if axis == QUERIES else self.column_edges
        return min(max(0, int(np.searchsorted(edges, token, side="right")) - 1), len(edges) - 2)

    def tokens(self, axis: str, unit: int) -> range:
        """The tokens of a row or column."""
        edges = self.row_edges if axis == QUERIES else self.column_edges
        return range(int(edges[unit]), int(edges[unit + 1]))


class MapView(Desk, Protocol):
    """What is asked of the tab."""

    def show_map(self, mapped: Mapped | None, norm: Norm, title: str) -> None:
        """Show a map, or none."""

    def show_detail(self, detail: HeatPart | None) -> None:
        """Show a part of the pooled map exactly."""

    def show_pinned(self, rows: tuple[int, ...], profile: Float32 | None) -> None:
        """Mark rows, and show their sum."""

    def show_problem(self, error: ErrorInfo) -> None:
        """Say in the map's place why there is none."""


class MapPart:
    """Keeps the map in step with the focus, while it is looked at."""

    def __init__(self, asking: Asking, looker: Looker, view: MapView) -> None:
        self._asking, self._looker, self._view = asking, looker, view
        self._reading: Reading | None = None
        self._wanted: tuple[int, MapRequest, bool] | None = None
        self._detail: tuple[int, int, int, int] | None = None  # what was asked for: rows and columns
        self._rows: tuple[int, ...] = ()  # whose exact weights were asked for
        self._anchor = 0
        self.mapped: Mapped | None = None
        self.busy = False

    def bring(self, reading: Reading | None) -> None:
        """Show the map of the focus."""
        self._reading = reading
        if reading is None:
            self.mapped, self._wanted, self.busy = None, None, False
            self._view.show_map(None, Norm(), "")
            return
        by_row = reading.params.scale == Scale.ROW
        wanted = (reading.number, reading.map_request(limit=LIMIT), by_row)
        if wanted == self._wanted:
            self._show()
            return
        self._wanted, self._detail, self.busy = wanted, None, True

        def work(capture: AttentionCapture, control: Control) -> Mapped:
            return mapped_of(reading, wanted[1], by_row, capture.map(wanted[1], control))

        self._asking.capture(
            self, "map", reading.request, work, self._came, title="Computing the map", failed=self._failed,
            stopped=self._stopped,
        )  # fmt: skip

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    # --- what the user does ---------------------------------------------------------------------------------

    def choose_row(self, row: int, how: str) -> None:
        """Pin a row of the map ("only"), add or remove it ("toggle"), or pin all from the last one on ("range").

        A row below 0 unpins all.
        """
        mapped, reading = self.mapped, self._reading
        if mapped is None or reading is None:
            return
        queries = set(reading.focus.queries)
        if row < 0:
            self._looker.look(queries=())
            return
        tokens = set(mapped.tokens(QUERIES, row))
        if how == "range":
            first, last = sorted((self._anchor, row))
            units = range(first, min(last + 1, first + PINNED))
            queries = {token for unit in units for token in mapped.tokens(QUERIES, unit)}
        elif how == "toggle":
            queries = queries - tokens if tokens <= queries else queries | tokens
        else:
            queries = set() if queries == tokens else tokens
        if how != "range":
            self._anchor = row
        self._looker.look(queries=tuple(sorted(queries))[: PINNED * 16])

    def hover(self, row: int | None, column: int | None) -> None:
        """The mouse is over a cell: mark its query token in the prompt."""
        if self.mapped is not None and row is not None:
            self._looker.point(QUERIES, self.mapped.tokens(QUERIES, row)[0])

    def see(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """These units are on screen: where they are pooled and few enough, have them computed exactly."""
        mapped, reading = self.mapped, self._reading
        if mapped is None or reading is None or mapped.picture.base.per == 1 or not self._is_current(mapped):
            return
        if max(rows[1] - rows[0], columns[1] - columns[0]) > DETAIL:
            return
        if self._detail and _inside(rows, self._detail[:2]) and _inside(columns, self._detail[2:]):
            return
        rows = _around(rows, mapped.picture.rows)
        columns = _around(columns, mapped.picture.columns)
        self._detail = (*rows, *columns)
        request = reading.map_request(rows=rows, columns=columns, limit=2 * DETAIL)
        by_row, wanted = mapped.by_row, self._wanted

        def work(capture: AttentionCapture, control: Control) -> HeatPart:
            values = capture.map(request, control).values
            scale = _largest_of_rows(mapped, rows) if by_row else None
            return HeatPart(heat_of(values if scale is None else values / scale), values, rows[0], columns[0])

        def came(part: HeatPart) -> None:
            if self._wanted == wanted:
                self._view.show_detail(part)

        self._asking.capture(self, "detail", reading.request, work, came, title="Computing single weights")

    # --- copies ---------------------------------------------------------------------------------------------

    def save_csv(self, rows: tuple[int, int], columns: tuple[int, int], detail: HeatPart | None) -> None:
        """The weights that are seen as a CSV file."""
        mapped = self.mapped
        if mapped is not None:
            picture = mapped.picture
            self._view.ask_path(
                "attention.csv",
                ("csv",),
                lambda path: self._asking.write(path, lambda: exports.csv_text(picture, detail, rows, columns)),
            )

    def save_everything(self) -> None:
        """All weights of all layers and heads as a NumPy archive."""
        reading = self._reading
        if reading is not None:
            self._view.ask_path("attention.npz", ("npz",), lambda path: self._save_npz(reading, path))

    def _save_npz(self, reading: Reading, path: Path) -> None:
        def work(capture: AttentionCapture, control: Control) -> Path:
            capture.save(path, control)
            return path

        self._asking.capture(
            self, f"save {path}", reading.request, work, self._asking.saved, title="Saving all weights"
        )

    def save_picture(self, kind: str, write: Callable[[Path], None]) -> None:
        """What is seen as "png", "svg" or "pdf"; `write` makes the file, away from the window's thread."""
        self._view.ask_path(
            f"attention.{kind}",
            (kind,),
            lambda path: self._asking.store(path, write),
        )

    def copy_python(self) -> None:
        """A script that gives the same weights with transformers alone."""
        if self._reading is not None:
            self._view.copy(snippet.weights(self._reading))

    # --- answers --------------------------------------------------------------------------------------------

    def _is_current(self, mapped: Mapped) -> bool:
        return self._wanted == (mapped.number, mapped.request, mapped.by_row)

    def _came(self, mapped: Mapped) -> None:
        if self._reading is None or mapped.number != self._reading.number:
            return
        self.mapped, self._detail, self._rows = mapped, None, ()
        self.busy = not self._is_current(mapped)
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self.busy, self._wanted = False, None
        self._view.show_problem(error)

    def _stopped(self) -> None:
        self._failed(ErrorInfo("Cancelled", "The map was cancelled.", "Choose a head to compute it again.", ""))

    def _show(self) -> None:
        mapped, reading = self.mapped, self._reading
        if mapped is None or reading is None:
            return
        self._view.show_map(mapped, norm_of(mapped, reading), title_of(reading))
        rows = sorted({mapped.unit(QUERIES, query) for query in reading.focus.queries})[:PINNED]
        self._show_rows(mapped, reading, tuple(rows))

    def _show_rows(self, mapped: Mapped, reading: Reading, rows: tuple[int, ...]) -> None:
        """The pinned rows and their sum, which a pooled map does not know."""
        if mapped.picture.base.per == 1:
            self._view.show_pinned(rows, _sum(mapped.picture.base.values[list(rows)]) if rows else None)
            return
        self._view.show_pinned(rows, None)
        if not rows or rows == self._rows:
            return
        self._rows, number = rows, mapped.number
        requests = [reading.map_request(rows=(row, row + 1), limit=10**9) for row in rows]

        def work(capture: AttentionCapture, control: Control) -> Float32:
            return _sum(np.concatenate([capture.map(request, control).values for request in requests]))

        def came(profile: Float32) -> None:
            if self.mapped is not None and self.mapped.number == number and self._rows == rows:
                self._rows = ()
                self._view.show_pinned(rows, profile)

        self._asking.capture(self, "rows", reading.request, work, came, title="Adding up rows")


def mapped_of(reading: Reading, request: MapRequest, by_row: bool, made: AttentionMap) -> Mapped:
    """A map with its labels, ready to be painted."""
    shape = reading.shapes[request.kind]
    per = int(made.row_edges[1] - made.row_edges[0]) if made.pooled else 1
    row_edges, column_edges = made.row_edges, made.column_edges
    if made.pooled:  # units are tokens all the same
        row_edges = np.arange(len(shape.query_tokens) + 1, dtype=np.int32)
        column_edges = np.arange(len(shape.key_tokens) + 1, dtype=np.int32)
    base = HeatPart(heat_of(made.values, by_row=by_row), made.values, per=per)
    finite = made.values[np.isfinite(made.values)]
    picture = HeatPicture(
        base,
        labels_of(shape.query_tokens, row_edges),
        labels_of(shape.key_tokens, column_edges),
        row_name="query: looks",
        column_name="key: is looked at",
        row_line=_boundary(shape.query_segments, row_edges, shape.generated),
        column_line=_boundary(shape.key_segments, column_edges, shape.generated),
    )
    largest = float(finite.max(initial=0.0))
    return Mapped(reading.number, request, by_row, picture, row_edges, column_edges, largest)


def _boundary(segments: Int32 | None, edges: Int32, generated: int | None) -> int | None:
    """Before which unit the second sentence, or the generated text, begins."""
    first = generated
    if first is None and segments is not None and (segments == 1).any():
        first = int(np.argmax(segments == 1))
    return None if first is None else int(np.searchsorted(edges, first))


def norm_of(mapped: Mapped, reading: Reading) -> Norm:
    """The colour scale of a map."""
    scale = Scale(reading.params.scale)
    if scale is Scale.ROW or not mapped.request.value_weighted:
        return Norm(scale)
    return Norm(scale, nice_limit(mapped.largest))  # lengths have no end of their own


def _sum(rows: Float32) -> Float32:
    total: Float32 = np.where(rows < 0, np.float32(0), rows).sum(axis=0, dtype=np.float32)
    return total


def _largest_of_rows(mapped: Mapped, rows: tuple[int, int]) -> Float32:
    """The largest weight that the pooled map has for each of these rows, (rows, 1)."""
    values = mapped.picture.base.values[np.arange(*rows) // mapped.picture.base.per]
    largest = np.where(np.isfinite(values), values, 0).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def _inside(part: tuple[int, int], whole: tuple[int, ...]) -> bool:
    return whole[0] <= part[0] and part[1] <= whole[1]


def _around(part: tuple[int, int], count: int) -> tuple[int, int]:
    """Half as much again on each side, so that a little panning asks for nothing."""
    margin = (part[1] - part[0]) // 2
    return max(0, part[0] - margin), min(count, part[1] + margin)
