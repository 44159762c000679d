"""Tokens of an attention map as a text that a strip can lay out. No Qt; made in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from llmlab.engine.attention.types import AttentionShape
from llmlab.engine.types import Bool, Int32
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
    """The tokens on both axes of a map; one and the same text where a text looks at itself.

    `begins` bool (queries,): where the generated text, or the second sentence, begins. `generated`: the first query
    that was generated, or None.
    """

    queries: StripText
    keys: StripText
    begins: Bool
    generated: int | None

    @classmethod
    def of(cls, shape: AttentionShape) -> Texts:
        """Find the places of all tokens."""
        queries = _source(shape.query_tokens, shape.query_words)
        alone = shape.query_tokens == shape.key_tokens and shape.kind != "cross"
        keys = queries if alone else _source(shape.key_tokens, shape.key_words)
        return cls(queries, keys, _begins(shape), shape.generated)

    def chosen_after(self, query: int) -> int | None:
        """The generated token that came from the row of `query`, which the model had read last then."""
        is_one = self.generated is not None and self.generated <= query + 1 < len(self.queries.tokens.ids)
        return query + 1 if is_one else None

    @property
    def two(self) -> bool:
        """Whether one text looks at another."""
        return self.queries is not self.keys


def _source(tokens: tuple[str, ...], words: Int32 | None) -> StripText:
    named = np.array([not token for token in tokens], np.bool_)
    named |= False if words is None else words < 0
    return StripText.of(Joined.of(tokens), lambda index: tokens[index] or NOTHING, lambda index: bool(named[index]))


def _begins(shape: AttentionShape) -> Bool:
    made = np.zeros(len(shape.query_tokens), np.bool_)
    if shape.generated is not None:
        made[shape.generated : shape.generated + 1] = True
    elif shape.query_segments is not None and (shape.query_segments == 1).any():
        made[int(np.argmax(shape.query_segments == 1))] = True
    return made
