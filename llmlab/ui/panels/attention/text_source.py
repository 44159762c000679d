"""Tokens of an attention map as a text that a strip can lay out. No Qt; made in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmlab.engine.attention.types import AttentionShape
from llmlab.engine.types import Bool, Int32
from llmlab.ui.widgets.joined import Joined
from llmlab.ui.widgets.strip_text import StripText
from llmlab.ui.widgets.tokentext import NOTHING


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
