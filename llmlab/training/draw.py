"""Drawing from word lists with a ``numpy`` generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rng = np.random.Generator


def pick(rng: Rng, items: Sequence[str]) -> str:
    """One item, each equally likely."""
    return items[int(rng.integers(len(items)))]


def several(rng: Rng, items: Sequence[str], count: int) -> list[str]:
    """``count`` different items."""
    return [items[int(i)] for i in rng.choice(len(items), size=min(count, len(items)), replace=False)]


def article(word: str) -> str:
    """The word with "a" or "an"."""
    return ("an " if word[0].lower() in "aeiou" else "a ") + word
