"""The comparison's part of the presenter: two heads side by side, or two prompts as a difference. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.attention.types import AttentionMap, AttentionShape, HeadAt, MapRequest
from llmlab.engine.types import Float32, Int32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.mapping import LIMIT, Mapped, mapped_of, norm_of
from llmlab.ui.panels.attention.reading import Focus, Looker, Reading
from llmlab.ui.panels.attention.words import focus_title, labels_of, title_of
from llmlab.ui.widgets.heatmap.codes import heat_of
from llmlab.ui.widgets.heatmap.norm import Norm, Scale, nice_limit
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Control
    from llmlab.jobs.job import JobControl

HEADS, PROMPTS = "heads", "prompts"


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two maps of the same text, with the scale that both are shown in."""

    left: Mapped
    right: Mapped
    norm: Norm
    titles: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The second prompt's weights minus the first one's: `picture`, and both maps, float32 (rows, columns)."""

    picture: HeatPicture
    norm: Norm
    first: Float32
    second: Float32
    title: str


@dataclass(frozen=True, slots=True)
class Words:
    """What stands in the maps' place."""

    title: str
    text: str
    is_error: bool = False


class CompareView(Protocol):
    """What is asked of the tab."""

    def show_mode(self, mode: str, held: HeadAt | None, shape: AttentionShape | None) -> None:
        """Show which comparison it is, and the head that is held on the right."""

    def show_compared(self, compared: Pair | Difference | Words | None) -> None:
        """Show maps, or words in their place."""


class Comparing:
    """Keeps the comparison in step with the focus, while it is looked at."""

    def __init__(self, asking: Asking, _looker: Looker, view: CompareView) -> None:
        self._asking, self._view = asking, view
        self._reading: Reading | None = None
        self._asked: object = None
        self.mode = HEADS
        self.held: HeadAt | None = None  # the head on the right
        self.other = ""  # the second prompt
        self.busy = False

    def bring(self, reading: Reading | None) -> None:
        """Compare what is in focus."""
        self._reading = reading
        if reading is None:
            self._asked, self.busy = None, False
            self._view.show_compared(None)
            return
        self.held = _fitting(self.held, reading)
        self._view.show_mode(self.mode, self.held, reading.shape)
        if self.mode == HEADS:
            self._ask_heads(reading, self.held)
        else:
            self._ask_prompts(reading)

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    # --- what the user does ---------------------------------------------------------------------------------

    def choose_mode(self, mode: str) -> None:
        """Compare two heads, or two prompts."""
        self.mode, self._asked = mode, None
        self._compare_again()

    def hold(self, layer: int | None = None, head: int | None = None) -> None:
        """Put another head on the right."""
        held = self.held or HeadAt("self", 0, 0)
        self.held = replace(
            held, layer=held.layer if layer is None else layer, head=held.head if head is None else head
        )
        self._compare_again()

    def hold_focus(self) -> None:
        """Put the head in focus on the right; the grid then changes the left one."""
        if self._reading is not None and self._reading.focus.at is not None:
            self.held = self._reading.focus.at
            self._compare_again()

    def type_other(self, text: str) -> None:
        """The second prompt."""
        self.other = text
        self._compare_again()

    def _compare_again(self) -> None:
        if self._reading is not None:
            self.bring(self._reading)

    # --- two heads ------------------------------------------------------------------------------------------

    def _ask_heads(self, reading: Reading, held: HeadAt) -> None:
        requests = (
            reading.map_request(limit=LIMIT),
            reading.map_request(layer=held.layer, head=held.head, limit=LIMIT),
        )
        by_row = reading.params.scale == Scale.ROW
        wanted = (reading.number, requests, by_row, reading.params.scale)
        if wanted == self._asked:
            return
        self._asked, self.busy = wanted, True
        right = replace(reading.focus, layer=held.layer, head=held.head)

        def work(capture: AttentionCapture, control: Control) -> tuple[object, Pair]:
            left, other = (mapped_of(reading, r, by_row, capture.map(r, control)) for r in requests)
            larger = max((left, other), key=lambda mapped: mapped.largest)
            return wanted, Pair(left, other, norm_of(larger, reading), _titles(reading, right))

        self._ask(lambda engine, control: work(engine.captured(reading.request, control), control))

    # --- two prompts ----------------------------------------------------------------------------------------

    def _ask_prompts(self, reading: Reading) -> None:
        if not self.other:
            self._asked, self.busy = None, False
            words = "Change a word of the prompt and see which weights change. Both need the same number of tokens."
            self._view.show_compared(Words("Type a second prompt", words))
            return
        first, request = reading.request, reading.map_request(limit=LIMIT)
        second = replace(first, text=self.other, continued=())
        wanted = (reading.number, request, second)
        if wanted == self._asked:
            return
        self._asked, self.busy = wanted, True

        def work(engine: Engine, control: Control) -> tuple[object, Difference | Words]:
            one, two = engine.captured(first, control), engine.captured(second, control)
            shapes = one.shape(request.kind), two.shape(request.kind)
            refused = _refused(*shapes)
            if refused:
                return wanted, refused
            return wanted, _difference(request, shapes, one.map(request, control), two.map(request, control), reading)

        self._ask(work)

    # --- answers --------------------------------------------------------------------------------------------

    def _ask(self, work: Callable[[Engine, JobControl], tuple[object, Pair | Difference | Words]]) -> None:
        self._asking.engine(
            self, "compare", work, self._came, title="Comparing", failed=self._failed, stopped=self._stopped
        )

    def _came(self, answer: tuple[object, Pair | Difference | Words]) -> None:
        wanted, compared = answer
        if wanted == self._asked:
            self.busy = False
            self._view.show_compared(compared)

    def _failed(self, error: ErrorInfo) -> None:
        self.busy, self._asked = False, None
        self._view.show_compared(Words(error.message, error.hint, is_error=True))

    def _stopped(self) -> None:
        self._failed(ErrorInfo("Cancelled", "The comparison was cancelled.", "Choose a head to compare again.", ""))


def _fitting(held: HeadAt | None, reading: Reading) -> HeadAt:
    """The head on the right where there are other layers and heads; at first the one after that in focus."""
    shape, focus = reading.shape, reading.focus
    layers = shape.captured or tuple(range(shape.layers))
    if held is None:
        return HeadAt(focus.kind, focus.layer if focus.layer in layers else layers[0],
                      ((focus.head or 0) + 1) % shape.heads)  # fmt: skip
    layer = held.layer if held.layer in layers else layers[-1]
    return HeadAt(focus.kind, layer, min(held.head, shape.heads - 1))


def _titles(reading: Reading, right: Focus) -> tuple[str, str]:
    return title_of(reading), focus_title(right, several=len(reading.shapes) > 1)


def _refused(one: AttentionShape, two: AttentionShape) -> Words | None:
    """Why there is no difference of these."""
    for name, first, second in (
        ("", len(one.query_tokens), len(two.query_tokens)),
        (" in the encoder", len(one.key_tokens), len(two.key_tokens)),
    ):
        if first != second:
            return Words(
                "The prompts have different numbers of tokens",
                f"The first has {first:,} tokens{name}, the second {second:,}, so that their weights cannot be "
                "subtracted cell by cell. Choose words that take as many tokens; the Tokens panel shows how many.",
            )
    return None


def _difference(
    request: MapRequest,
    shapes: tuple[AttentionShape, AttentionShape],
    one: AttentionMap,
    two: AttentionMap,
    reading: Reading,
) -> Difference | Words:
    if one.values.shape != two.values.shape:
        return Words("The prompts have different numbers of words", "Switch “Whole words” off to compare their tokens.")
    masked = (one.values < 0) | (two.values < 0)
    values = np.where(masked, np.float32(np.nan), two.values - one.values).astype(np.float32)
    per = int(one.row_edges[1] - one.row_edges[0]) if one.pooled else 1
    picture = HeatPicture(
        HeatPart(heat_of(values, signed=True), values, per=per),
        _both(*(_labels(s.query_tokens, m.row_edges, m) for s, m in zip(shapes, (one, two), strict=True))),
        _both(*(_labels(s.key_tokens, m.column_edges, m) for s, m in zip(shapes, (one, two), strict=True))),
    )
    finite = np.abs(values[np.isfinite(values)])
    norm = Norm(Scale.DIFFERENCE, nice_limit(float(finite.max(initial=0.0))))
    return Difference(picture, norm, one.values, two.values, title_of(reading))


def _labels(tokens: tuple[str, ...], edges: Int32, made: AttentionMap) -> tuple[str, ...]:
    """Of every unit: where the map is pooled, units are tokens all the same."""
    return labels_of(tokens, np.arange(len(tokens) + 1, dtype=np.int32) if made.pooled else edges)


def _both(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """One label where the prompts agree, both where they do not."""
    return tuple(a if a == b else f"{a} | {b}" for a, b in zip(first, second, strict=True))
