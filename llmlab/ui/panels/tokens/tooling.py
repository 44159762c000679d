"""The tools: chunks of N tokens, and what a text costs. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from llmlab.engine.tokens.types import Chunk
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk
from llmlab.ui.panels.tokens import export
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.params import Params
from llmlab.ui.panels.tokens.workshop import Workshop


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """A text in parts of at most `size` tokens, neighbours sharing `overlap` of them."""

    encoded: Encoded
    size: int
    overlap: int
    parts: tuple[Chunk, ...]

    @property
    def total(self) -> int:
        """Tokens of all parts together."""
        return sum(len(part.ids) for part in self.parts)


class ToolsView(Desk, Protocol):
    """What is asked of the tab."""

    def show_chunks(self, chunks: Chunks | None) -> None:
        """Show the parts, or none."""

    def show_chunk_error(self, error: ErrorInfo) -> None:
        """The text cannot be split so."""

    def show_price(self, tokens: int, price: float) -> None:
        """What so many tokens cost."""


class Tooling:
    """Keeps chunks and price in step with the strip, while they are looked at."""

    def __init__(self, workshop: Workshop, view: ToolsView, params: Callable[[], Params]) -> None:
        self._workshop = workshop
        self._view = view
        self._params = params
        self._asked: tuple[Encoded, int, int] | None = None
        self._chunks: Chunks | None = None
        self.busy = False

    def bring(self, encoded: Encoded | None) -> None:
        """Split the strip's text."""
        params = self._params()
        if encoded is None:
            self._asked = self._chunks = None
            self.busy = False
            self._view.show_chunks(None)
            self._view.show_price(0, 0.0)
            return
        self._view.show_price(len(encoded), price(len(encoded), params.rate))
        wanted = (encoded, params.chunk_size, min(params.chunk_overlap, params.chunk_size - 1))
        if wanted != self._asked:
            self._asked, self.busy = wanted, True
            self._workshop.ask(
                self,
                "chunks",
                encoded.spec,
                lambda o: Chunks(*wanted, tuple(o.chunks(encoded.tokens.text, wanted[1], wanted[2]))),
                self._came,
                self._failed,
            )

    def save(self, kind: str) -> None:
        """The chunks as "csv" or "json" to a file."""
        chunks = self._chunks
        if chunks is not None:
            text = partial(export.chunks_text, chunks.encoded, chunks.parts, kind)
            self._view.ask_path(f"chunks.{kind}", (kind,), lambda path: self._workshop.write(path, text))

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _came(self, chunks: Chunks) -> None:
        if self._asked is not None:
            self.busy = (chunks.encoded, chunks.size, chunks.overlap) != self._asked
            self._chunks = chunks
            self._view.show_chunks(chunks)

    def _failed(self, error: ErrorInfo) -> None:
        self.busy = False
        self._chunks = None
        self._view.show_chunk_error(error)


def price(tokens: int, rate: float) -> float:
    """What `tokens` cost at `rate` per million."""
    return tokens * rate / 1e6
