"""The same text in several tokenizers, aligned by characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmlab.engine.distinct import distinct
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.text_metrics import word_count
from llmlab.engine.tokens.opened import OpenTokenizer
from llmlab.engine.tokens.types import ComparedTokenizer, Comparison, TextStats, TokenizerInfo, TokenKind, Tokens
from llmlab.engine.types import Bool, Int32

_SPACES = np.array(
    [code for code in range(0x3001) if chr(code).isspace()],  # U+3000 is the last one
    np.uint32,
)


def compare(tokenizers: Sequence[OpenTokenizer], text: str, control: Control = UNCONTROLLED) -> Comparison:
    """Encode `text` with each of `tokenizers`. Raises Cancelled between them."""
    encoded = []
    for tokenizer in tokenizers:
        control.check()
        encoded.append(tokenizer.encode(text, control))
    differing = _differing(encoded)
    columns = tuple(
        ComparedTokenizer(tokenizer.info, tokens, stats(tokenizer.info, tokens), places)
        for tokenizer, tokens, places in zip(tokenizers, encoded, differing, strict=True)
    )
    together = distinct(np.concatenate(differing or [np.empty(0, np.int32)])).astype(np.int32)
    return Comparison(text, columns, together)


def stats(info: TokenizerInfo, tokens: Tokens) -> TextStats:
    """Ratios of one encoded text."""
    text = tokens.text
    added = (tokens.kinds == TokenKind.SPECIAL) & (tokens.starts == tokens.ends)
    own = max(len(tokens) - int(np.count_nonzero(added)), 0)
    words = word_count(text)
    return TextStats(
        tokens=len(tokens),
        characters_per_token=len(text) / own if own else 0.0,
        tokens_per_word=own / words if words else 0.0,
        bytes_per_token=len(text.encode()) / own if own else 0.0,
        unknown=int(np.count_nonzero(tokens.kinds == TokenKind.UNKNOWN)),
        context_share=len(tokens) / info.context if info.context else None,
    )


def _differing(encoded: Sequence[Tokens]) -> list[Int32]:
    """For each tokenizer, where those of its tokens start that another one does not begin there."""
    nothing = np.empty(0, np.int32)
    telling = [tokens for tokens in encoded if tokens.has_offsets]
    if len(telling) < 2:
        return [nothing for _ in encoded]
    next_visible = _next_visible(telling[0].text)
    cuts = {id(tokens): _cuts(tokens, next_visible) for tokens in telling}
    shared = np.logical_and.reduce(list(cuts.values()))
    found = []
    for tokens in encoded:
        if not tokens.has_offsets:
            found.append(nothing)
            continue
        starts = tokens.starts[_begins(tokens)]
        found.append(distinct(starts[~shared[next_visible[starts]]]).astype(np.int32))
    return found


def _begins(tokens: Tokens) -> Bool:
    """Which tokens begin a new place: not those without one, nor the further bytes of a character."""
    real = tokens.ends > tokens.starts
    real[1:] &= (tokens.starts[1:] > tokens.starts[:-1]) | ~real[:-1]
    return real


def _cuts(tokens: Tokens, next_visible: Int32) -> Bool:
    """Whether a token begins at each place of the text; the end counts as a place."""
    cuts = np.zeros(len(next_visible), np.bool_)
    cuts[next_visible[tokens.starts[_begins(tokens)]]] = True
    return cuts


def _next_visible(text: str) -> Int32:
    """For each place, the first one from there that is no white space: int32 (characters + 1,)."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    places = np.arange(len(codes) + 1, dtype=np.int32)
    places[:-1][np.isin(codes, _SPACES)] = len(codes)
    following: Int32 = np.minimum.accumulate(places[::-1])[::-1]
    return following
