"""How one word became tokens, step by step. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.tokens.types import LongestMatchTrace, MergeTrace, Trace, UnigramTrace
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.workshop import Workshop
from llmlab.ui.widgets.tokentext import visible

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A trace with readable names for the symbols that are pieces of the vocabulary."""

    spec: str
    word: str
    trace: Trace
    names: Mapping[str, str]

    @classmethod
    def of(cls, spec: str, opened: OpenTokenizer, word: str) -> Traced:
        """Trace `word`. Made in a worker thread."""
        trace, table = opened.trace(word), opened.table
        used = symbols_of(trace)
        names = {piece: text for piece, text in zip(table.pieces, table.texts, strict=True) if piece in used}
        return cls(spec, word, trace, names)

    @property
    def steps(self) -> int:
        """How many steps there are to play."""
        return len(self.trace.steps) if isinstance(self.trace, (MergeTrace, LongestMatchTrace)) else 0

    def name(self, symbol: str) -> str:
        """The symbol as people can read it."""
        return visible(self.names.get(symbol, symbol))


class MergeView(Protocol):
    """What is asked of the tab."""

    def show_word(self, word: str) -> None:
        """The word that is traced."""

    def show_trace(self, traced: Traced | None, step: int) -> None:
        """Show a trace after `step` steps, or none."""


class Merging:
    """The traced word is that of the selected token, the text's longest one at first, or typed."""

    def __init__(self, workshop: Workshop, view: MergeView) -> None:
        self._workshop = workshop
        self._view = view
        self._encoded: Encoded | None = None
        self._typed = False
        self._asked: tuple[str, str] | None = None
        self._trace: Traced | None = None
        self._front = False
        self._word = ""
        self.step = 0
        self.busy = False

    @property
    def steps(self) -> int:
        """How many steps the trace has."""
        return self._trace.steps if self._trace is not None else 0

    def bring(self, encoded: Encoded | None) -> None:
        """Trace a word with the tokenizer of the strip."""
        self._encoded, self._front = encoded, True
        if encoded is not None and (not self._word or (not self._typed and not _is_in(self._word, encoded))):
            self._word = longest_word(encoded)
            self._typed = False
        self._ask()

    def select(self, encoded: Encoded, token: int) -> None:
        """The user points at a token: its word is the one to trace."""
        self._encoded = encoded
        word = word_of(encoded, token) if token >= 0 else ""
        if word:
            self._word, self._typed = word, False
            if self._front:
                self._ask()

    def type_word(self, word: str) -> None:
        """The user has typed a word."""
        self._word, self._typed = word, bool(word)
        self._ask(echo=False)

    def go(self, step: int) -> None:
        """Show the word after so many steps."""
        self.step = min(max(step, 0), self.steps)
        self._view.show_trace(self._trace, self.step)

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _ask(self, *, echo: bool = True) -> None:
        if echo:
            self._view.show_word(self._word)
        if self._encoded is None or not self._word:
            self._asked = self._trace = None
            self.busy = False
            self._view.show_trace(None, 0)
            return
        wanted = (self._encoded.spec, self._word)
        if wanted != self._asked:
            self._asked, self.busy = wanted, True
            self._workshop.ask(
                self, "trace", wanted[0], lambda o: Traced.of(wanted[0], o, wanted[1]), self._came, self._failed
            )

    def _came(self, traced: Traced) -> None:
        if self._asked is None:
            return
        self.busy = (traced.spec, traced.word) != self._asked
        self._trace = traced
        self.step = self.steps
        self._view.show_trace(traced, self.step)

    def _failed(self, error: ErrorInfo) -> None:
        self.busy, self._trace = False, None
        self._view.show_trace(None, 0)
        self._workshop.notifier.error(error)


def symbols_of(trace: Trace) -> set[str]:
    """Every symbol that a trace names."""
    used = set(trace.symbols)
    if isinstance(trace, MergeTrace):
        used.update(trace.initial, *(step.pair for step in trace.steps), (step.result for step in trace.steps))
    elif isinstance(trace, LongestMatchTrace):
        used.update(step.piece for step in trace.steps if step.piece is not None)
    elif isinstance(trace, UnigramTrace):
        used.update(*(segmentation.pieces for segmentation in trace.segmentations))
    return used


def word_of(encoded: Encoded, token: int) -> str:
    """The word that a token belongs to, as it stands in the text."""
    tokens = encoded.tokens
    word = int(tokens.words[token])
    if word < 0:
        return tokens.text[int(tokens.starts[token]) : int(tokens.ends[token])]
    low, high = np.searchsorted(np.maximum.accumulate(tokens.words), (word, word + 1))
    members = np.flatnonzero(tokens.words[low:high] == word) + low
    return tokens.text[int(tokens.starts[members].min()) : int(tokens.ends[members].max())]


def longest_word(encoded: Encoded) -> str:
    """The word of the beginning that takes the most tokens: the one with most to show."""
    words = encoded.tokens.words[:2000]
    real = words[words >= 0]
    if not len(real):
        return ""
    best = int(np.bincount(real).argmax())
    return word_of(encoded, int(np.flatnonzero(words == best)[0]))


def _is_in(word: str, encoded: Encoded) -> bool:
    return word in encoded.tokens.text
