"""Tokens of which only the texts are known, one after the other, as a strip takes them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from llmlab.engine.types import Int32

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
