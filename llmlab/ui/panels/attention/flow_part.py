"""Attention rollout and attention flow: the whole model in one map (Abnar and Zuidema 2020). No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from llmlab.engine.progress import Control, Progress
from llmlab.engine.types import Float32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import exports, snippet, text_rows
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.flow_roll import WHOLE_TOKENS, Rolled, masked, obstacle, rolled, rows_of
from llmlab.ui.panels.attention.reading import QUERIES, Looker, Reading
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.heatmap.picture import HeatPicture

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture

FLOW_TOKENS = 48  # for a longer text the flow would take minutes
MOST_ROWS = 64  # that are summed
_Place: TypeAlias = tuple[int, str, bool]  # all that a rollout depends on: reading, kind, without the first token


class Mode(StrEnum):
    """What is shown."""

    MAP = "map"  # the rollout of all tokens
    TEXT = "text"  # the rollout of the chosen tokens, in the text
    FLOW = "flow"  # the maximum flow from one token


@dataclass(frozen=True, slots=True)
class FlowOffer:
    """What the button of the flow says. `reason`: why it cannot be computed; `fraction` while it is, else None."""

    token: str = ""
    reason: str = ""
    running: bool = False
    fraction: float | None = None


class FlowView(Protocol):
    """What is asked of the tab."""

    def show_mode(self, mode: Mode) -> None:
        """Which of the three pictures is in front."""

    def show_texts(self, texts: Texts | None) -> None:
        """Show another text, or none yet."""

    def show_map(self, picture: HeatPicture | None, norm: Norm) -> None:
        """Show the map of all tokens, or none."""

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        """Mark rows of the map."""

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        """Shade the text, or show it plain."""

    def show_offer(self, offer: FlowOffer) -> None:
        """What can be computed of the flow."""

    def show_nothing(self, title: str, text: str) -> None:
        """Say why there is no picture."""

    def show_error(self, error: ErrorInfo) -> None:
        """It could not be computed."""

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file."""


class Flowing:
    """Rollout of the kind in focus, and the flow from a token when the user asks for it."""

    def __init__(self, asking: Asking, looker: Looker, view: FlowView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._asked: tuple[object, ...] | None = None
        self._hovered: int | None = None
        self._rolled: Rolled | None = None
        self._rows: tuple[tuple[int, ...], Float32] | None = None  # of a long text: chosen tokens and their sum
        self._flows: dict[int, Float32] = {}  # by query
        self._offer = FlowOffer()
        self._stuck = False  # there is nothing to show, and words say why
        self.shading: Shading | None = None
        self.mode = Mode.MAP

    # --- what is shown --------------------------------------------------------------------------------------

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        before, self._reading = self._reading, reading
        if reading is None or before is None or _place(reading) != _place(before):
            self._rolled, self._rows, self._flows, self._hovered = None, None, {}, None
            self._asked, self.shading = None, None
            self._asking.cancel(self, "flow")
            self._offer = FlowOffer()
        self._view.show_mode(self.mode)
        if reading is None:
            self._view.show_texts(None)
            self._view.show_map(None, Norm())
            return
        self._refresh()

    @property
    def busy(self) -> bool:
        """See `Part`."""
        if self._reading is None or self._stuck:
            return False
        waits = self.mode is Mode.TEXT and (self.shading is None or self.shading.chosen != self.chosen)
        return self._rolled is None or self._offer.running or waits

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def chosen(self) -> tuple[int, ...]:
        """The pinned tokens, the one under the mouse, or the last one; of the flow only one."""
        assert self._reading is not None
        chosen = self._reading.focus.queries
        if not chosen:
            last = len(self._reading.shape.query_tokens) - 1
            chosen = (last if self._hovered is None or self.mode is Mode.FLOW else self._hovered,)
        return chosen[:1] if self.mode is Mode.FLOW else chosen[:MOST_ROWS]

    def _refresh(self) -> None:
        reading = self._reading
        assert reading is not None
        why = obstacle(reading)
        self._stuck = bool(why)
        if why:
            self._view.show_nothing(*why)
        elif self._rolled is None:
            self._ask(reading)
        else:
            self._show(reading, self._rolled)

    def _ask(self, reading: Reading) -> None:
        asked = _place(reading)
        if asked == self._asked:
            return
        self._asked = asked
        shape = reading.shape

        def work(capture: AttentionCapture, control: Control) -> tuple[_Place, Rolled]:
            return asked, rolled(capture, shape, control, hide_first=asked[2])

        self._asking.capture(
            self, "rollout", reading.request, work, self._came,
            title="Attention rollout", failed=self._failed, stopped=self._stopped,
        )  # fmt: skip

    def _came(self, answer: tuple[_Place, Rolled]) -> None:
        place, found = answer
        if self._reading is None or place != _place(self._reading):
            return
        self._asked, self._rolled = None, found
        self._refresh()

    def _failed(self, error: ErrorInfo) -> None:
        self._stuck, self._asked = True, None
        self._view.show_error(error)

    def _stopped(self) -> None:
        self._failed(ErrorInfo("Cancelled", "The rollout was cancelled.", "Choose a token to compute it again.", ""))

    def _show(self, reading: Reading, found: Rolled) -> None:
        scale = Scale(reading.params.scale)
        self._view.show_mode(self.mode)
        self._view.show_texts(found.texts)
        self._view.show_map(found.by_row if scale is Scale.ROW else found.picture, Norm(scale))
        if self.mode is Mode.MAP and found.matrix is None:
            self._view.show_nothing(
                "The text is too long for a whole map",
                f"The rollout of all tokens is made for at most {WHOLE_TOKENS:,} of them. "
                "Choose “In the text” for the rollout of single tokens, at any length.",
            )
            return
        self._view.show_pinned(reading.focus.queries)
        if self.mode is Mode.TEXT:
            self._show_text(reading, found)
        elif self.mode is Mode.FLOW:
            self._show_flow(reading)

    def _show_text(self, reading: Reading, found: Rolled) -> None:
        chosen = self.chosen
        if found.matrix is not None:
            self._shade(reading, chosen, text_rows.summed(found.matrix[list(chosen)]))
        elif self._rows is not None and self._rows[0] == chosen:
            self._shade(reading, *self._rows)
        else:
            self._ask_rows(reading, chosen)

    def _ask_rows(self, reading: Reading, chosen: tuple[int, ...]) -> None:
        shape, place = reading.shape, _place(reading)

        def work(capture: AttentionCapture, control: Control) -> tuple[_Place, tuple[int, ...], Float32]:
            return place, chosen, rows_of(capture, shape, chosen, control, hide_first=place[2])

        def came(answer: tuple[_Place, tuple[int, ...], Float32]) -> None:
            where, tokens, weights = answer
            if self._reading is not None and where == _place(self._reading):
                self._rows = (tokens, weights)
                if self.mode is Mode.TEXT:
                    self._shade(self._reading, tokens, weights)

        self._asking.capture(self, "rows", reading.request, work, came, title="Attention rollout", failed=self._failed)

    def _shade(self, reading: Reading, chosen: tuple[int, ...], weights: Float32) -> None:
        self.shading = text_rows.shading(reading, QUERIES, chosen, weights)
        self._view.show_shading(self.shading, pinned=bool(reading.focus.queries))

    # --- the flow -------------------------------------------------------------------------------------------

    def _show_flow(self, reading: Reading) -> None:
        (query,) = self.chosen
        flow, shape = self._flows.get(query), reading.shape
        reason = ""
        if len(shape.query_tokens) > FLOW_TOKENS:
            reason = f"The text has {len(shape.query_tokens):,} tokens; the flow is computed for at most {FLOW_TOKENS}."
        if not self._offer.running:
            self._offer = FlowOffer("" if flow is not None else shape.query_tokens[query], reason)
        self._view.show_offer(self._offer)
        if flow is None:
            self.shading = None
            self._view.show_shading(None, pinned=True)
            return
        highest = float(flow.max(initial=0.0)) or 1.0
        self.shading = Shading(QUERIES, (query,), flow, reading.params.scale, highest)
        self._view.show_shading(self.shading, pinned=True)

    def compute_flow(self) -> None:
        """The user wants the flow from the chosen token."""
        reading = self._reading
        if reading is None or self._stuck or self._offer.running or len(reading.shape.query_tokens) > FLOW_TOKENS:
            return
        (query,), kind, place = self.chosen, reading.focus.kind, _place(reading)
        shape = reading.shape

        def work(capture: AttentionCapture, control: Control) -> tuple[_Place, int, Float32]:
            flow = np.array(capture.flow(query, kind, control), np.float32)
            return place, query, masked(flow[None], query, shape, hide_first=place[2])[0]

        def came(answer: tuple[_Place, int, Float32]) -> None:
            where, token, flow = answer
            if self._reading is not None and where == _place(self._reading):
                self._flows[token] = flow
                self._finish_flow()

        self._offer = FlowOffer(reading.shape.query_tokens[query], running=True)
        self._view.show_offer(self._offer)
        self._asking.capture(
            self, "flow", reading.request, work, came, title="Attention flow",
            progress=self._flow_progressed, stopped=self._finish_flow, failed=self._flow_failed,
        )  # fmt: skip

    def cancel_flow(self) -> None:
        """The user has waited long enough."""
        self._asking.cancel(self, "flow")

    def _flow_progressed(self, progress: Progress) -> None:
        if self._offer.running:
            self._offer = replace(self._offer, fraction=progress.fraction)
            self._view.show_offer(self._offer)

    def _finish_flow(self) -> None:
        self._offer = FlowOffer()
        if self._reading is not None:
            self._refresh()

    def _flow_failed(self, error: ErrorInfo) -> None:
        self._finish_flow()
        self._asking.notifier.error(error)

    # --- what the user does ---------------------------------------------------------------------------------

    def switch(self, mode: Mode) -> None:
        """Show another of the three pictures."""
        self.mode = mode
        self.shading = None
        self._view.show_mode(mode)
        if self._reading is not None:
            self._refresh()

    def choose(self, tokens: tuple[int, ...]) -> None:
        """Pin these tokens, or none."""
        reading = self._reading
        if reading is None:
            return
        chosen = tuple(sorted(set(tokens)))
        if chosen != reading.focus.queries:
            self._looker.look(queries=chosen)

    def toggle(self, token: int) -> None:
        """Pin one token more, or one less."""
        if self._reading is not None:
            before = self._reading.focus.queries
            self.choose((*before, token) if token not in before else tuple(each for each in before if each != token))

    def hover(self, token: int | None) -> None:
        """The mouse is over a token, or over none."""
        reading = self._reading
        if reading is None or token == self._hovered:
            return
        self._hovered = token
        self._looker.point(QUERIES, token)
        if self.mode is Mode.TEXT and not reading.focus.queries:
            self._refresh()

    @property
    def python(self) -> str:
        """A script that makes the same rollout; empty where there is none."""
        return "" if self._reading is None or self._stuck else snippet.rollout(self._reading)

    def save_csv(self) -> None:
        """The whole map as a CSV file."""
        picture = self._rolled.picture if self._rolled else None
        if picture is not None:
            size = picture.rows, picture.columns
            self._view.ask_path(
                "attention-rollout.csv",
                ("csv",),
                lambda path: self._asking.write(
                    path, lambda: exports.csv_text(picture, None, (0, size[0]), (0, size[1]))
                ),
            )

    def save_picture(self, kind: str, write: Callable[[Path], None]) -> None:
        """What is seen as "png", "svg" or "pdf"."""
        self._view.ask_path(
            f"attention-rollout.{kind}",
            (kind,),
            lambda path: self._asking.store(path, write),
        )


def _place(reading: Reading) -> _Place:
    return reading.number, reading.focus.kind, reading.params.hide_first
