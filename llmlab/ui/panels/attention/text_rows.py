"""Where a few tokens look, or who looks at them: sums of rows or columns of one map. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.attention.types import MASKED, AttentionMap, AttentionShape, MapRequest
from llmlab.engine.types import Float32, Int32
from llmlab.ui.panels.attention.reading import KEYS, QUERIES, Reading

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

WHOLE = 2**20  # weights: a map of so many is kept, so that hovering asks nobody
LOWEST = 1e-4  # the weight with the first shade of the logarithmic scale


@dataclass(frozen=True, slots=True, eq=False)
class Shading:
    """What the tokens `chosen` on `axis` look at, or, on the axis of the keys, who looks at them.

    `weights` float32 (tokens of the other axis,): sums over the chosen tokens, MASKED where none of them may look.
    `top` is the weight with the last shade of the colours.
    """

    axis: str
    chosen: tuple[int, ...]
    weights: Float32
    scale: str
    top: float

    def level(self, token: int) -> float | None:
        """How strong the colour of `token` is, 0 … 1; None where nobody may look, NaN for a broken weight."""
        weight = float(self.weights[token])
        if weight == MASKED:
            return None
        if self.scale == "log" and weight == weight:
            lowest = float(np.log(LOWEST * self.top))
            return (float(np.log(max(weight, LOWEST * self.top))) - lowest) / (float(np.log(self.top)) - lowest)
        return weight / self.top

    def rank(self, token: int) -> tuple[int, int]:
        """The place of `token` among all that may be seen, from 1, and how many those are."""
        seen = self.weights[self.weights != MASKED]
        return 1 + int(np.count_nonzero(seen > self.weights[token])), len(seen)

    def strongest(self, count: int) -> tuple[int, ...]:
        """The tokens with the largest weights, largest first."""
        ranked = np.nan_to_num(self.weights, nan=MASKED)
        best = np.argsort(-ranked, kind="stable")[:count]
        return tuple(best[ranked[best] > 0].tolist())


def fits(shape: AttentionShape) -> bool:
    """Whether the whole map is small enough to be kept."""
    return len(shape.query_tokens) * len(shape.key_tokens) <= WHOLE


def whole(reading: Reading) -> MapRequest:
    """The map of the focus, every weight of it."""
    shape = reading.shape
    return reading.map_request(limit=max(len(shape.query_tokens), len(shape.key_tokens), 1))


def shading(reading: Reading, axis: str, chosen: tuple[int, ...], weights: Float32) -> Shading:
    """`weights` with the colours of the panel's scale."""
    scale = reading.params.scale
    highest = float(np.max(weights, initial=0.0, where=np.isfinite(weights)))
    fixed = scale != "row" and not reading.params.value_weighted and axis == QUERIES and len(chosen) == 1
    return Shading(axis, chosen, weights, scale, 1.0 if fixed else highest or 1.0)


def of_map(found: AttentionMap, axis: str, chosen: tuple[int, ...]) -> Float32:
    """The summed rows or columns of the tokens `chosen`, one weight for each token of the other axis.

    In a map of words every token has the weight of its word.
    """
    own, other = found.row_edges, found.column_edges
    values = found.values
    if axis == KEYS:
        own, other, values = other, own, values.T
    places = np.unique(np.searchsorted(own, np.array(chosen, np.int64), "right") - 1)
    return np.repeat(summed(values[places]), np.diff(other))


def summed(rows: Float32) -> Float32:
    """The sum over `rows` (chosen, tokens) without what is masked; MASKED where all are."""
    masked = rows == MASKED
    total: Float32 = np.where(masked, np.float32(0), rows).sum(axis=0, dtype=np.float32)
    total[masked.all(axis=0)] = MASKED
    return total


def ask(
    capture: AttentionCapture, wanted: MapRequest, shape: AttentionShape, axis: str, chosen: tuple[int, ...],
    control: Control,
) -> Float32:  # fmt: skip
    """What `of_map` gives, computed from single rows or columns of a map that is too large to keep."""
    words = shape.query_words if axis == QUERIES else shape.key_words
    ranges = dict.fromkeys(_range(token, words if wanted.words else None) for token in chosen)
    parts = []
    for first, last in ranges:
        control.check()
        rows = replace(wanted, rows=(first, last)) if axis == QUERIES else replace(wanted, columns=(first, last))
        part = capture.map(rows, control)
        values, other = (part.values, part.column_edges) if axis == QUERIES else (part.values.T, part.row_edges)
        parts.append(np.repeat(values[0], np.diff(other)))
    return summed(np.stack(parts))


def _range(token: int, words: Int32 | None) -> tuple[int, int]:
    """The tokens of the word that `token` is in, as (start, stop); itself where words do not count."""
    if words is None or words[token] < 0:
        return token, token + 1
    first = last = token
    while first > 0 and words[first - 1] == words[token]:
        first -= 1
    while last + 1 < len(words) and words[last + 1] == words[token]:
        last += 1
    return first, last + 1
