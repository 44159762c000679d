"""Masking for the encoder and span corruption for the sequence-to-sequence model, on token ids."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from llmlab.training.draw import Rng
from llmlab.training.tokenizer import END_OF_TEXT, ID, MASK, SENTINELS, SPECIALS

IGNORED = -100
Ids = NDArray[np.int64]


def mask_tokens(rng: Rng, ids: Ids, vocabulary: int, least: float = 0.15, most: float = 0.30) -> tuple[Ids, Ids]:
    """Dynamic masking: (inputs, labels), both int64 (rows, length); labels are -100 where nothing is asked.

    Of the chosen tokens 80 % become the mask, 10 % a random token, 10 % stay (Devlin et al., 2019, section 3.1).
    Each row draws its own rate between ``least`` and ``most``. Special tokens are never chosen.
    """
    rates = rng.uniform(least, most, size=(ids.shape[0], 1))
    chosen = (rng.random(ids.shape) < rates) & (ids >= len(SPECIALS))
    labels = np.where(chosen, ids, IGNORED)
    fate = rng.random(ids.shape)
    inputs = np.where(chosen & (fate < 0.8), ID[MASK], ids)
    noise = rng.integers(len(SPECIALS), vocabulary, size=ids.shape)
    return np.where(chosen & (fate >= 0.8) & (fate < 0.9), noise, inputs), labels


def _composition(rng: Rng, total: int, parts: int) -> list[int]:
    """``total`` as a sum of ``parts`` positive numbers, every such sum equally likely."""
    cuts = np.sort(rng.choice(total - 1, size=parts - 1, replace=False)) + 1
    return [int(part) for part in np.diff(np.concatenate([[0], cuts, [total]]))]


def corrupt_spans(rng: Rng, ids: list[int], share: float = 0.15, mean_span: float = 3.0) -> tuple[list[int], list[int]]:
    """Span corruption (Raffel et al., 2020, section 3.1.4): (input, target), both ending with the end of text.

    input: ``a b <extra_id_0> f g <extra_id_1> …``; target: ``<extra_id_0> c d e <extra_id_1> …`` and one more
    sentinel. Spans hold ``share`` of the tokens and are ``mean_span`` long on average.
    """
    noise = max(1, round(len(ids) * share))
    spans = min(max(1, round(noise / mean_span)), len(SENTINELS) - 1, len(ids) - noise)
    hidden, kept = _composition(rng, noise, spans), _composition(rng, len(ids) - noise, spans)
    source: list[int] = []
    target: list[int] = []
    position = 0
    for index, (keep, hide) in enumerate(zip(kept, hidden, strict=True)):
        sentinel = ID[SENTINELS[index]]
        source += [*ids[position : position + keep], sentinel]
        target += [sentinel, *ids[position + keep : position + keep + hide]]
        position += keep + hide
    return [*source, ID[END_OF_TEXT]], [*target, ID[SENTINELS[spans]], ID[END_OF_TEXT]]


def point_at_spans(rng: Rng, pool: Ids, most: int = 6) -> tuple[list[int], list[int]]:
    """An exercise in finding one's place: (input, target) of random tokens, both ending with the end of text.

    input: ``<extra_id_0> a b <extra_id_1> c …``, its parts in random order; target: the same parts in order of their
    sentinels. Only looking at the right place of the input tells what comes next.
    """
    parts = [
        [ID[SENTINELS[index]], *rng.choice(pool, size=int(rng.integers(1, 5))).tolist()]
        for index in range(int(rng.integers(2, most + 1)))
    ]
    shuffled = [parts[int(index)] for index in rng.permutation(len(parts))]
    last = ID[SENTINELS[len(parts)]]
    return [*chain(*shuffled), ID[END_OF_TEXT]], [*chain(*parts), last, ID[END_OF_TEXT]]


def padded(rows: list[list[int]], value: int) -> Ids:
    """int64 (rows, longest), filled up on the right."""
    table = np.full((len(rows), max(map(len, rows))), value, np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table
