"""Vector arithmetic's part of the presenter: a sum of words, and what lies near its end. No Qt."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from llmlab.engine.tokens.types import Neighbours, VocabularyTable
from llmlab.ui.panels.tokens import arithmetic, vectors
from llmlab.ui.panels.tokens.arithmetic import Sum, Words
from llmlab.ui.panels.tokens.asking import NEIGHBOURS, guarded
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.vectors import Near, near_of
from llmlab.ui.panels.tokens.workshop import Workshop


class SumView(Protocol):
    """What is asked of the view."""

    def show_sum(self, text: str, near: Near | None) -> None:
        """Show a sum and what lies near its end, or none."""


class Summing:
    """Reads the words with the strip's tokenizer, adds the vectors of the loaded model."""

    def __init__(self, workshop: Workshop, view: SumView) -> None:
        self._workshop = workshop
        self._view = view
        self._encoded: Encoded | None = None
        self._words: tuple[VocabularyTable, Words] | None = None
        self._text = ""

    def bring(self, encoded: Encoded) -> None:
        """The loaded model can be asked, and `encoded` is by its tokenizer."""
        self._encoded, table = encoded, encoded.table
        if self._words is None or self._words[0] is not table:
            self._workshop.beside(self, "words", lambda _: (table, Words.of(table)), self._learned)

    def forget(self) -> None:
        """Another model."""
        self._encoded, self._text = None, ""
        self._view.show_sum("", None)

    def reckon(self, text: str) -> None:
        """The user has typed a sum."""
        encoded, self._text = self._encoded, text
        if encoded is None or not arithmetic.terms(text):
            self._view.show_sum(text, None)
            return
        table = encoded.table
        known = self._words[1] if self._words is not None and self._words[0] is table else None
        self._workshop.ask(
            self,
            "sum",
            encoded.spec,
            lambda opened: arithmetic.read_sum(opened, known or Words.of(opened.table), text),
            partial(self._read, encoded),
        )

    def complete(self, beginning: str) -> tuple[str, ...]:
        """Words of one token that begin so; none until the vocabulary is sorted."""
        return self._words[1].complete(beginning) if self._words is not None else ()

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _learned(self, words: tuple[VocabularyTable, Words]) -> None:
        self._words = words

    def _read(self, encoded: Encoded, found: Sum) -> None:
        if not self._is_wanted(encoded, found):
            return
        if found.problem:
            self._view.show_sum(found.text, Near("", message=found.problem))
            return
        self._workshop.engine(
            self,
            "add",
            lambda engine, _: (found, *guarded(lambda: engine.vector_arithmetic(found.plus, found.minus, NEIGHBOURS))),
            partial(self._added, encoded),
        )

    def _added(self, encoded: Encoded, result: tuple[Sum, Neighbours | None, str]) -> None:
        found, near, problem = result
        if self._is_wanted(encoded, found):
            title = vectors.equation(encoded.table.texts, found)
            self._view.show_sum(found.text, near_of(encoded.table.texts, title, near, problem))

    def _is_wanted(self, encoded: Encoded, found: Sum) -> bool:
        return found.text == self._text and self._encoded is not None and self._encoded.spec == encoded.spec
