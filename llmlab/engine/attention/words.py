"""Which tokens make up a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmlab.engine.types import Int32

SPECIAL = -1  # the word of a token that the tokenizer added


def words_of(encoding: Any, texts: Sequence[str]) -> Int32:
    """The word of each token of a fast tokenizer's encoding, int32 (tokens,), SPECIAL for tokens that were added.

    The tokenizer's own words; where it does not split a text before its model reads it (SentencePiece without a
    pre-tokenizer), words begin where `continued_words` sees one begin.
    """
    own = np.array([SPECIAL if word is None else word for word in encoding.word_ids], np.int32)
    second = np.array([each == 1 for each in encoding.sequence_ids], np.bool_)
    own[second & (own >= 0)] += own[~second].max(initial=SPECIAL) + 1
    if own.max(initial=SPECIAL) > 0 or not any(text[:1].isspace() for text in texts[1:]):
        return own
    return np.where(own == SPECIAL, SPECIAL, continued_words(texts, SPECIAL)).astype(np.int32)


def continued_words(texts: Sequence[str], last_word: int, last_text: str = "") -> Int32:
    """The word of each token by its text alone, counted on from `last_word`, whose last token is `last_text`.

    A word begins with white space, and where letters or digits and other characters meet.
    """
    words = np.empty(len(texts), np.int32)
    word, before = last_word, last_text
    for place, text in enumerate(texts):
        if not before or text[:1].isspace() or before[-1:].isalnum() != text[:1].isalnum():
            word += 1
        words[place] = word
        before = text or before
    return words
