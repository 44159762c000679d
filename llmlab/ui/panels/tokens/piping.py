"""The pipeline's part of the presenter: every stage from text to tokens and back. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llmlab.engine.tokens.types import RoundTrip, Stage
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.workshop import Workshop

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

LIMIT = 20_000  # characters that the stages are shown for


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All stages of one text. `cut`: only the first LIMIT characters of the text went through them."""

    text: str
    stages: tuple[Stage, ...]
    round_trip: RoundTrip
    cut: bool


class PipelineView(Protocol):
    """What is asked of the tab."""

    def show_pipeline(self, pipeline: Pipeline | None) -> None:
        """Show the stages, or none."""


class Piping:
    """Keeps the stages in step with the strip, while they are looked at."""

    def __init__(self, workshop: Workshop, view: PipelineView) -> None:
        self._workshop = workshop
        self._view = view
        self._of: Encoded | None = None
        self.busy = False

    def bring(self, encoded: Encoded | None) -> None:
        """Show the stages of the strip's text."""
        if encoded is self._of and encoded is not None:
            return
        self._of = encoded
        if encoded is None:
            self.busy = False
            self._view.show_pipeline(None)
            return
        text = encoded.tokens.text

        def work(opened: OpenTokenizer) -> Pipeline:
            return Pipeline(text, opened.stages(text, LIMIT), opened.round_trip(text), len(text) > LIMIT)

        self.busy = True
        self._workshop.ask(self, "stages", encoded.spec, work, self._came)

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _came(self, pipeline: Pipeline) -> None:
        if self._of is not None:
            self.busy = self._of.tokens.text != pipeline.text
            self._view.show_pipeline(pipeline)
