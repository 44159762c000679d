"""The same text in several tokenizers. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.tokens.types import ComparedTokenizer
from llmlab.engine.types import Bool
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.workshop import Workshop

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class ComparedColumn:
    """One tokenizer's reading. `flags` bool (tokens,): whose left edge not all tokenizers cut."""

    encoded: Encoded
    compared: ComparedTokenizer
    flags: Bool


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """All columns, and how many places not all agree on."""

    specs: tuple[str, ...]
    text: str
    columns: tuple[ComparedColumn, ...]
    differing: int


class CompareView(Protocol):
    """What is asked of the tab."""

    def show_compared(self, compared: Compared | None) -> None:
        """Show a comparison, or none."""

    def show_compare_error(self, error: ErrorInfo) -> None:
        """One of the tokenizers could not be opened."""


class Comparing:
    """Keeps the comparison in step with the strip and the chosen tokenizers, while it is looked at."""

    def __init__(self, workshop: Workshop, view: CompareView, specs: Callable[[], tuple[str, ...]]) -> None:
        self._workshop = workshop
        self._view = view
        self._specs = specs
        self._asked: tuple[tuple[str, ...], str] | None = None
        self.busy = False

    def bring(self, encoded: Encoded | None) -> None:
        """Compare on the strip's text."""
        if encoded is None:
            self._asked, self.busy = None, False
            self._view.show_compared(None)
            return
        wanted = (self._specs(), encoded.given)
        if wanted != self._asked:
            self._asked, self.busy = wanted, True
            opener = self._workshop.opener

            def work(control: JobControl) -> Compared:
                opened = []
                for spec in wanted[0]:
                    control.check()
                    opened.append(opener(spec))
                from llmlab.engine.tokens.comparing import compare

                comparison = compare(opened, wanted[1], control)
                columns = [
                    _column(spec, item, column, wanted[1])
                    for spec, item, column in zip(wanted[0], opened, comparison.columns, strict=True)
                ]
                return Compared(*wanted, tuple(columns), len(comparison.differing))

            self._workshop.beside(self, "compare", work, self._came, self._failed)

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _came(self, compared: Compared) -> None:
        if self._asked is not None:
            self.busy = (compared.specs, compared.text) != self._asked
            self._view.show_compared(compared)

    def _failed(self, error: ErrorInfo) -> None:
        self.busy = False
        self._view.show_compare_error(error)


def _column(spec: str, opened: OpenTokenizer, column: ComparedTokenizer, text: str) -> ComparedColumn:
    tokens = column.tokens
    flags = np.isin(tokens.starts, column.differing) & (tokens.ends > tokens.starts)
    flags[1:] &= tokens.starts[1:] > tokens.starts[:-1]  # a character's further bytes begin at the same place
    return ComparedColumn(Encoded.of(spec, opened, text, tokens), column, flags)
