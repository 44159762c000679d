"""The lines between two columns of tokens: all weights of a map from a floor on. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmlab.engine.attention.types import AttentionMap
from llmlab.engine.types import Bool, Float32, Int32

FLOOR = 0.01  # a smaller weight would be a line that nobody sees; a row has at most a hundred larger ones


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """The weights of one map from FLOOR on, sorted by query. Arrays (edges,).

    `broken` counts weights that are NaN or infinite, `hidden` those below the floor.
    """

    queries: Int32
    keys: Int32
    weights: Float32
    broken: int = 0
    hidden: int = 0

    @classmethod
    def of(cls, found: AttentionMap, first_row: int = 0) -> Edges:
        """Of the rows of `found`, the first of which is row `first_row` of the whole map."""
        values = found.values
        finite = np.isfinite(values)
        queries, keys = np.nonzero(finite & (values >= FLOOR))
        hidden = int(np.count_nonzero(finite & (values > 0) & (values < FLOOR)))
        return cls(
            (queries + first_row).astype(np.int32),
            keys.astype(np.int32),
            values[queries, keys],
            int(values.size - np.count_nonzero(finite)),
            hidden,
        )

    def __len__(self) -> int:
        return len(self.weights)

    def of_query(self, query: int) -> Int32:
        """Which edges start at a query."""
        first, end = np.searchsorted(self.queries, (query, query + 1))
        return np.arange(first, end, dtype=np.int32)

    def of_key(self, key: int) -> Int32:
        """Which edges end at a key."""
        return np.flatnonzero(self.keys == key).astype(np.int32)

    def touching(self, first: int, last: int, threshold: float) -> Int32:
        """Which edges of at least `threshold` have an end among the tokens `first` … `last` of either column."""
        low, high = np.searchsorted(self.queries, (first, last + 1))
        wanted: Bool = (self.keys >= first) & (self.keys <= last)
        wanted[low:high] = True
        wanted &= self.weights >= threshold
        return np.flatnonzero(wanted).astype(np.int32)


def strongest(edges: Edges, which: Int32, limit: int) -> Int32:
    """The `limit` edges with the largest weights among `which`, weakest first: strong lines are painted last."""
    order = np.argsort(edges.weights[which], kind="stable")
    return which[order[-limit:]] if limit else which[:0]
