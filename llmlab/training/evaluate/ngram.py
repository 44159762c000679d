"""An interpolated Kneser-Ney n-gram model (Kneser & Ney, 1995; Chen & Goodman, 1999, equation 4.35) on token ids.

An n-gram is packed into one 64-bit key, so that counting is sorting and looking up is binary search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Order:
    """Counts of one order: sorted n-gram keys with counts, sorted context keys with totals and numbers of types."""

    grams: Keys
    counts: Floats
    contexts: Keys
    totals: Floats
    types: Floats
    discount: float


def _find(keys: Keys, wanted: Keys, values: Floats) -> Floats:
    """The value of each wanted key, 0 where it is absent."""
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[at] == wanted, values[at], 0.0)


class KneserNey:
    """Trained on a stream of ids below ``2 ** bits``."""

    def __init__(self, ids: NDArray[np.integer], vocabulary: int, order: int = 5) -> None:
        self._bits = np.uint64(max(1, (vocabulary - 1).bit_length()))
        if order * int(self._bits) > 64:
            raise ValueError("the vocabulary is too large for this order")
        self._vocabulary, self._order = vocabulary, order
        self._orders = self._count(ids.astype(np.uint64))

    def _pack(self, ids: Keys, length: int) -> Keys:
        """Key of the n-gram that ends at each position from ``length - 1`` on."""
        keys = np.zeros(ids.size - length + 1, np.uint64)
        for offset in range(length):
            keys = (keys << self._bits) | ids[offset : offset + keys.size]
        return keys

    def _count(self, ids: Keys) -> list[_Order]:
        grams, counts = np.unique(self._pack(ids, self._order), return_counts=True)
        orders = [self._one(grams, counts.astype(np.float64))]
        for length in range(self._order - 1, 0, -1):  # lower orders count in how many contexts a gram stands
            mask = np.uint64((1 << (length * int(self._bits))) - 1)
            grams, counts = np.unique(grams & mask, return_counts=True)
            orders.append(self._one(grams, counts.astype(np.float64)))
        return orders[::-1]

    def _one(self, grams: Keys, counts: Floats) -> _Order:
        contexts, first, types = np.unique(grams >> self._bits, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        once, twice = float((counts == 1).sum()), float((counts == 2).sum())
        discount = once / (once + 2 * twice) if once else 0.5
        return _Order(grams, counts, contexts, totals, types.astype(np.float64), discount)

    def probabilities(self, ids: NDArray[np.integer]) -> Floats:
        """float64 (ids - order + 1,): the probability of each id from position ``order - 1`` on."""
        stream = ids.astype(np.uint64)
        size = stream.size - self._order + 1
        result = np.full(size, 1.0 / self._vocabulary)
        for length, order in enumerate(self._orders, start=1):
            keys = self._pack(stream, length)[-size:]
            counts = _find(order.grams, keys, order.counts)
            contexts = keys >> self._bits
            totals = _find(order.contexts, contexts, order.totals)
            types = _find(order.contexts, contexts, order.types)
            seen = totals > 0
            safe = np.where(seen, totals, 1.0)
            mixed = np.maximum(counts - order.discount, 0.0) / safe + order.discount * types / safe * result
            result = np.where(seen, mixed, result)
        return result
