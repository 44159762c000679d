"""The vocabulary's part of the presenter: search and filters. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmlab.engine.tokens.types import Neighbours, TokenDetails, TokenKind, VocabularyTable
from llmlab.engine.types import Int32, Int64
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.workshop import Workshop

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

NEIGHBOURS = 12
LONGEST = 24  # characters: the histogram's last bar holds all longer ones


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `kind` is a TokenKind, -1 for all; `script` empty for all; lengths in characters."""

    text: str = ""
    mode: str = "text"
    kind: int = -1
    script: str = ""
    min_length: int = 0
    max_length: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The tokens that were found: `ids` int32 (n,). `lengths` int64 (LONGEST + 1,) counts them by characters."""

    spec: str
    query: Query
    table: VocabularyTable
    ids: Int32
    lengths: Int64
    scripts: tuple[str, ...]  # of the whole vocabulary, most frequent first

    @property
    def vocabulary(self) -> int:
        """How many tokens there are to search in."""
        return sum(map(bool, self.table.pieces))


class VocabularyView(Protocol):
    """What is asked of the tab."""

    def show_found(self, found: Found | None) -> None:
        """Show tokens, or none."""

    def show_search_error(self, error: ErrorInfo) -> None:
        """The query makes no sense: an open bracket in a regular expression, say."""

    def show_details(self, details: TokenDetails | None) -> None:
        """Show all about one token."""

    def show_neighbours(self, neighbours: tuple[tuple[str, float], ...]) -> None:
        """Show the tokens that lie nearest in the embedding space: (text, cosine)."""


class Searching:
    """Searches in the background, the last query wins."""

    def __init__(self, workshop: Workshop, view: VocabularyView, loaded: Callable[[], str | None]) -> None:
        """`loaded` gives the spec of the model that can be asked for embeddings, None where there is none."""
        self._workshop = workshop
        self._view = view
        self._loaded = loaded
        self._table: VocabularyTable | None = None
        self._token = -1
        self._spec: str | None = None
        self._asked: tuple[str, Query] | None = None
        self.query = Query()
        self.busy = False

    def bring(self, encoded: Encoded | None) -> None:
        """Search in the vocabulary of the strip's tokenizer."""
        if encoded is not None:
            self._spec = encoded.spec
            self._search()

    def change(self, **changes: Any) -> None:
        """Another query."""
        self.query = replace(self.query, **changes)
        self._search()

    def look_at(self, token_id: int) -> None:
        """The user wants to know all about a token."""
        self._token = token_id
        self._view.show_neighbours(())
        if self._spec is None:
            return
        self._workshop.ask(self, "details", self._spec, lambda o: o.details(token_id), self._view.show_details)
        if self._loaded() == self._spec:
            self._workshop.engine(
                self,
                "neighbours",
                lambda engine, _: (token_id, engine.neighbours(token_id, NEIGHBOURS)),
                self._near,
            )

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _search(self) -> None:
        if self._spec is None or (self._spec, self.query) == self._asked:
            return
        self._asked = (spec, query) = (self._spec, self.query)
        self.busy = True
        self._workshop.ask(self, "search", spec, lambda o: _find(o, spec, query), self._came, self._failed)

    def _near(self, result: tuple[int, Neighbours]) -> None:
        token_id, near = result
        if self._table is not None and token_id == self._token:
            texts, size = self._table.texts, len(self._table)
            pairs = zip(near.ids.tolist(), near.cosines.tolist(), strict=True)
            self._view.show_neighbours(tuple((texts[i] if i < size else f"id {i}", cosine) for i, cosine in pairs))

    def _came(self, found: Found) -> None:
        self.busy = (found.spec, found.query) != self._asked
        self._table, self._token = found.table, -1
        self._view.show_found(found)

    def _failed(self, error: ErrorInfo) -> None:
        self.busy = False
        self._view.show_search_error(error)


def _find(opened: OpenTokenizer, spec: str, query: Query) -> Found:
    kinds = (TokenKind(query.kind),) if query.kind >= 0 else None
    ids = opened.search(
        query.text,
        query.mode,
        kinds=kinds,
        script=query.script or None,
        min_length=query.min_length,
        max_length=query.max_length,
    )
    texts = opened.table.texts
    lengths = np.minimum(np.array([len(texts[i]) for i in ids.tolist()], np.int64), LONGEST)
    return Found(spec, query, opened.table, ids, np.bincount(lengths, minlength=LONGEST + 1), opened.scripts())
