"""Held-out documents as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmlab.training.corpus import Corpus, is_held_out


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The beginnings of held-out documents of one file, without special tokens.

    ``text`` is exactly what ``documents`` decode to, joined by newlines.
    """

    name: str
    documents: tuple[tuple[int, ...], ...]
    text: str

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(map(len, self.documents))

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the documents, without the newlines between them."""
        return len(self.text.encode()) - max(0, len(self.documents) - 1)


def held_out(
    corpus: Corpus, name: str, tokenizer: Any, most_tokens: int = 20_000, longest: int = 511, shortest: int = 8
) -> HeldOut:
    """Held-out documents of one file, each cut to ``longest`` tokens, ``most_tokens`` in all.

    ``tokenizer`` is the ``tokenizers.Tokenizer``.
    """
    documents: list[tuple[int, ...]] = []
    total = 0
    for document in corpus.documents(name):
        if not is_held_out(document) or total >= most_tokens:
            continue
        ids = tuple(tokenizer.encode(document[: 8 * longest], add_special_tokens=False).ids[:longest])
        if len(ids) >= shortest:
            documents.append(ids)
            total += len(ids)
    return HeldOut(name, tuple(documents), "\n".join(tokenizer.decode(list(ids)) for ids in documents))
