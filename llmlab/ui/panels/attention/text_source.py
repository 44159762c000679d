"""Tokens of an attention map as a text that a strip can lay out. No Qt; made in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from llmlab.engine.attention.types import AttentionShape
from llmlab.engine.types import Int32
from llmlab.ui.widgets.strip_text import StripText
from llmlab.ui.widgets.tokentext import NOTHING

CONTINUES = "##"  # how WordPiece marks a token that goes on with a word


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Tokens one after the other. Arrays int32 (tokens,); a token's id is its place, `groups` are all -1."""

    text: str
    ids: Int32
    starts: Int32
    ends: Int32
    groups: Int32

    @classmethod
    def of(cls, tokens: tuple[str, ...]) -> Joined:
        """A vocabulary that writes no spaces (WordPiece) gets one before each token that begins a word."""
        spaced = not any(token.startswith((" ", "\n")) for token in tokens)
        gaps = [int(spaced and not after.startswith(CONTINUES)) for _, after in pairwise(tokens)]
        lengths = [len(token) for token in tokens]
        steps = [0, *(length + gap for length, gap in zip(lengths, gaps, strict=False))]
        starts = np.fromiter(accumulate(steps), np.int32, len(steps))[: len(tokens)]
        text = "".join(" " * gap + token for gap, token in zip((0, *gaps), tokens, strict=False))
        count = len(tokens)
        ends = (starts + np.array(lengths, np.int32)).astype(np.int32)
        return cls(text, np.arange(count, dtype=np.int32), starts, ends, np.full(count, -1, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """The tokens on both axes of a map; one and the same text where a text looks at itself."""

    queries: StripText
    keys: StripText

    @classmethod
    def of(cls, shape: AttentionShape) -> Texts:
        """Find the places of all tokens."""
        queries = _source(shape.query_tokens, shape.query_words)
        alone = shape.query_tokens == shape.key_tokens and shape.kind != "cross"
        return cls(queries, queries if alone else _source(shape.key_tokens, shape.key_words))

    @property
    def two(self) -> bool:
        """Whether one text looks at another."""
        return self.queries is not self.keys


def _source(tokens: tuple[str, ...], words: Int32 | None) -> StripText:
    named = np.array([not token for token in tokens], np.bool_)
    named |= False if words is None else words < 0
    return StripText.of(Joined.of(tokens), lambda index: tokens[index] or NOTHING, lambda index: bool(named[index]))
