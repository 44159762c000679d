"""A text in parts of at most so many tokens."""

from __future__ import annotations

import numpy as np

from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.tokens.types import Chunk, TokenKind, Tokens


def chunks(tokens: Tokens, size: int, overlap: int = 0) -> tuple[Chunk, ...]:
    """Parts of `size` tokens, each beginning with the last `overlap` tokens of the one before.

    Without overlap the parts put together are the text. Tokens that share a character are never torn apart. Encoded
    on its own, a part may have other tokens at its ends. Raises InputError for sizes that make no sense, and
    UnsupportedFeatureError for a tokenizer that cannot tell where its tokens are.
    """
    if size < 1 or not 0 <= overlap < size:
        raise InputError(
            f"Chunks of {size:,} tokens with an overlap of {overlap:,} cannot be made.",
            "Take at least one token per chunk, and an overlap smaller than that.",
        )
    if not tokens.has_offsets:
        raise UnsupportedFeatureError(
            "This slow tokenizer does not tell where its tokens are in the text, so it cannot be cut there.",
            "Choose a fast tokenizer.",
        )
    own = ~((tokens.kinds == TokenKind.SPECIAL) & (tokens.starts == tokens.ends))
    ids, groups = tokens.ids[own], tokens.groups[own]
    if not len(ids):
        return ()
    places = np.concatenate([[0], np.maximum.accumulate(tokens.ends[own])])
    places[-1] = len(tokens.text)
    torn = np.flatnonzero((groups[1:] == groups[:-1]) & (groups[1:] >= 0)) + 1
    allowed = np.ones(len(ids) + 1, np.bool_)
    allowed[torn] = False
    cuts = np.flatnonzero(allowed)
    parts = []
    begin = 0
    while True:
        end = int(cuts[np.searchsorted(cuts, begin + size, "right") - 1])
        if end <= begin:
            raise InputError(f"{size:,} tokens are fewer than one character of this text takes.", "Take larger chunks.")
        parts.append(Chunk(int(places[begin]), int(places[end]), ids[begin:end]))
        if end == len(ids):
            return tuple(parts)
        again = int(cuts[np.searchsorted(cuts, end - overlap, "right") - 1])
        begin = again if begin < again else end
