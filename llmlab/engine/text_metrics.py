"""How many words a text has; on token ids, how repetitive a text is, and how alike several are. No torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

BLEU_ORDER = 4
_LAST_SPACE = 0x3000
_IS_SPACE = np.array([chr(code).isspace() for code in range(_LAST_SPACE + 1)] + [False])


def word_count(text: str) -> int:
    """Runs of characters between white space, as many as `text.split()` has items, in a tenth of its time."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_space = _IS_SPACE[np.minimum(codes, _LAST_SPACE + 1)]
    return int(np.count_nonzero(is_space[:-1] & ~is_space[1:])) + int(len(codes) > 0 and not is_space[0])


def ngrams(ids: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All stretches of `n` tokens, in order."""
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def distinct_n(ids: Sequence[int], n: int) -> float | None:
    """Different n-grams over all n-grams (Li et al. 2016, section 5.1); None for a text without one."""
    found = ngrams(ids, n)
    return len(set(found)) / len(found) if found else None


def repeated(ids: Sequence[int], n: int) -> tuple[bool, ...]:
    """Of each token whether it is part of an n-gram that has occurred before in the text."""
    marks, seen = [False] * len(ids), set()
    for start, gram in enumerate(ngrams(ids, n)):
        if gram in seen:
            marks[start : start + n] = [True] * n
        seen.add(gram)
    return tuple(marks)


def bleu(candidate: Sequence[int], references: Sequence[Sequence[int]]) -> float:
    """BLEU of one text against others (Papineni et al. 2002, section 2.3), without smoothing.

    Up to 4-grams; of shorter texts only up to their length.
    """
    order = min(BLEU_ORDER, len(candidate))
    if not order or not references:
        return 0.0
    total = 0.0
    for n in range(1, order + 1):
        precision = _precision(candidate, references, n)
        if precision == 0:
            return 0.0
        total += math.log(precision)
    closest = min((len(each) for each in references), key=lambda length: (abs(length - len(candidate)), length))
    brevity = min(0.0, 1 - closest / len(candidate))
    return math.exp(brevity + total / order)


def self_bleu(texts: Sequence[Sequence[int]]) -> float | None:
    """The mean BLEU of each text against all others (Zhu et al. 2018): 1 for texts that are all the same.

    None for fewer than two texts.
    """
    if len(texts) < 2:
        return None
    return math.fsum(bleu(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts)) / len(texts)


def _precision(candidate: Sequence[int], references: Sequence[Sequence[int]], n: int) -> float:
    """The share of n-grams that a reference has too, none counted more often than in any one of them."""
    counts = Counter(ngrams(candidate, n))
    most: Counter[tuple[int, ...]] = Counter()
    for reference in references:
        most |= Counter(ngrams(reference, n))
    return sum((counts & most).values()) / sum(counts.values())
