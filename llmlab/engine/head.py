"""The best tokens of a position, which usually are all that can be drawn, with sums over the whole vocabulary.

Step by step as `sampling.shape` and `sampling.draw` go, and with their answers. Numpy only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.cuts import BLOCK, LOWEST, at_least, highest_id_first, lowest_id_first, min_p_kept, top_p_kept
from llmlab.engine.sampling import SamplingSettings, draw_from
from llmlab.engine.sorted_logits import SCRATCH
from llmlab.engine.types import Float32, Int32


class Head(NamedTuple):
    """The best tokens, sorted as `SortedLogits` are, with their scores after the settings that move scores."""

    ids: Int32
    scores: Float32

    def reordered(self, order: NDArray[np.intp] | None) -> Head:
        """In another order; None is the one it has."""
        return self if order is None else Head(self.ids[order], self.scores[order])


class Whole:
    """Sums over the whole vocabulary, in the order of the ids, of weights exp(score − highest)."""

    def __init__(self, scores: Float32, highest: np.float32, name: str) -> None:
        distances = np.subtract(scores, highest, out=SCRATCH.floats(name, len(scores)))
        self.weights = np.exp(distances, out=SCRATCH.floats(f"{name} weights", len(scores)))
        self.total = _total(self.weights)
        self._distances = distances

    def probabilities(self, ids: Int32) -> Float32:
        """Of these tokens, float32 (ids,)."""
        found: Float32 = self.weights[ids]
        found /= np.float32(self.total)
        return found

    @property
    def probability_sum(self) -> float:
        """Of the probabilities as they are, rounded to float32."""
        name = "probabilities of all"
        rounded = np.divide(self.weights, np.float32(self.total), out=SCRATCH.floats(name, len(self.weights)))
        return _total(rounded)

    @property
    def entropy(self) -> float:
        """H = log Σw − Σ w·log w / Σw; what is impossible adds nothing."""
        products = np.multiply(self._distances, self.weights, out=SCRATCH.floats("products", len(self.weights)))
        total = _total(products)
        if math.isnan(total):  # −∞ · 0
            total = _total(np.nan_to_num(products, copy=False))
        return max(0.0, math.log(self.total) - total / self.total)


def _total(values: Float32) -> float:
    """In float64. The ufunc itself: ndarray.sum() goes through Python, which costs as much as a small sum."""
    return float(np.add.reduce(values, dtype=np.float64))


class Drawn(NamedTuple):
    """What stands at `place` of the head was drawn; its first `probabilities` are those that can be, of `entropy`."""

    head: Head
    place: int
    probabilities: Float32
    entropy: float


def take_best(ids: Int32, scores: Float32, logits: Float32, raw: Whole, settings: SamplingSettings) -> Drawn | None:
    """The most probable token, the lowest id among equals."""
    head = Head(ids, scores[ids])
    if head.scores[1] == head.scores[0]:
        if head.scores[-1] == head.scores[0]:
            return None
        head = head.reordered(lowest_id_first(*head))
    if settings.do_sample:  # temperature 0
        return Drawn(head, 0, np.ones(1, np.float32), 0.0)
    whole = raw if scores is logits else Whole(scores, head.scores[0], "whole")
    return Drawn(head, 0, whole.probabilities(head.ids), whole.entropy)


def draw_at(
    ids: Int32, scores: Float32, logits: Float32, raw: Whole, settings: SamplingSettings, uniform: float
) -> Drawn | None:
    """The token at `uniform`, step by step as `sampling.shape` and `draw` go."""
    survivors = Survivors(ids, scores, settings)
    if 0 < settings.top_k < len(scores):
        told = survivors.top_k(settings.top_k)
    else:
        told = survivors.sum_up(scores, raw if scores is logits else None, settings)
    if told and settings.top_p < 1:
        told = survivors.top_p(settings.top_p)
    if told and settings.min_p > 0:
        told = survivors.min_p(settings.min_p)
    return survivors.draw(uniform) if told else None


class Survivors:
    """The tokens of the head that can still be drawn, by their weights float32 (n,).

    `closed` once nothing outside the head can be drawn. A cut answers False where the head does not tell its place.
    """

    def __init__(self, ids: Int32, scores: Float32, settings: SamplingSettings) -> None:
        found = scores[ids]
        if settings.temperature != 1:
            found /= np.float32(settings.temperature)
        self._head = Head(ids, found)
        self._left = at_least(found, LOWEST)
        self._closed = self._left < len(ids)
        self._whole: Whole | None = None

    def sum_up(self, scores: Float32, whole: Whole | None, settings: SamplingSettings) -> bool:
        """Everything survives so far; `whole` are the sums of the scores before the temperature, where known."""
        if settings.temperature != 1:
            name = "whole scaled"
            scores = np.divide(scores, np.float32(settings.temperature), out=SCRATCH.floats(name, len(scores)))
            whole = None
        self._whole = whole or Whole(scores, self._head.scores[0], "whole")
        self._weights = self._whole.weights[self._head.ids[: self._left]]
        self._total = self._whole.total
        return True

    def top_k(self, count: int) -> bool:
        """The best `count`, and what equals the last of them."""
        scores = self._head.scores
        left = min(self._left, at_least(scores, scores[count - 1]))
        self._keep(np.exp(scores[:left] - scores[0]))
        return left < len(scores)

    def top_p(self, share: float) -> bool:
        """The nucleus. Equals at its edge change places as transformers sees them."""
        probabilities, beyond = self._probabilities, 0.0
        if not self._closed and self._whole is not None:
            beyond = max(0.0, self._whole.probability_sum - float(probabilities.sum(dtype=np.float64)))
        kept = top_p_kept(probabilities, share, beyond)
        scores = self._head.scores
        if not self._closed and (kept == self._left or scores[kept] == scores[-1]):
            return False
        if kept < self._left and scores[kept - 1] == scores[kept]:
            self._head = self._head.reordered(highest_id_first(*self._head, kept))
        self._keep(self._weights[:kept])
        return True

    def min_p(self, share: float) -> bool:
        """What has at least `share` of the best one's probability."""
        kept = min_p_kept(self._probabilities, share)
        if not self._closed and kept == self._left:
            return False
        self._keep(self._weights[:kept])
        return True

    def draw(self, uniform: float) -> Drawn | None:
        """As `sampling.draw`; None where the token stands outside the head."""
        if self._closed or self._whole is None:
            index, probabilities = draw_from(self._probabilities, uniform), self._probabilities
            return Drawn(self._head, index, probabilities, self._entropy)
        probabilities = self._whole.probabilities(self._head.ids)
        cumulative = np.cumsum(probabilities[:BLOCK], dtype=np.float64)
        index = int(np.searchsorted(cumulative, uniform * self._whole.probability_sum, side="right"))
        return Drawn(self._head, index, probabilities, self._whole.entropy) if index < len(cumulative) else None

    @property
    def _probabilities(self) -> Float32:
        return np.divide(self._weights, np.float32(self._total), dtype=np.float32)

    @property
    def _entropy(self) -> float:
        products = self._head.scores[: self._left] - self._head.scores[0]
        products *= self._weights
        return max(0.0, math.log(self._total) - float(products.sum(dtype=np.float64)) / self._total)

    def _keep(self, weights: Float32) -> None:
        self._weights, self._left, self._closed = weights, len(weights), True
        self._total = float(weights.sum(dtype=np.float64))
