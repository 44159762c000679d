"""Choosing the token of one step, and what is told of it, without sorting the vocabulary where that can be spared.

A step needs the chosen token, the best few, and sums over all of them. The best few hundred are found by one
comparison with the maxima of slices of the vocabulary; where the settings keep no more than these, or the draw falls
among them, `sampling.shape` would have found the same, token for token. Only otherwise is everything sorted. Numpy
only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.cuts import BLOCK, LOWEST, at_least, highest_id_first, lowest_id_first, min_p_kept, top_p_kept
from llmlab.engine.sampling import SamplingSettings, ShapedDistribution, draw, draw_from, needs_no_stages, shape
from llmlab.engine.sorted_logits import SCRATCH, SortedLogits, divided
from llmlab.engine.types import Float32, Int32

ALTERNATIVES = 20  # most probable tokens that are told with every step
LARGEST_HEAD = 0.25  # of the vocabulary: with more, sorting everything is as fast
SLICES = 4  # maxima for each token of the head: enough that few others come with it


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chosen token, and the best ones: `ids` int32, the others float32, all (alternatives,), the best first.

    The chosen one is the last of them where it is not among the best. `probability` is after the settings,
    `raw_probability` before; `rank` 0 is the most probable raw token; `entropy` in nats, after the settings.
    """

    token_id: int
    probability: float
    raw_probability: float
    rank: int
    entropy: float
    ids: Int32
    logits: Float32
    raw_probabilities: Float32
    probabilities: Float32


class Best(NamedTuple):
    """The most probable token, and its probability after and before the settings."""

    token_id: int
    probability: float
    raw_probability: float


def takes_the_best(settings: SamplingSettings) -> bool:
    """Whether `best` tells which token `choose` takes."""
    return settings.greedy and needs_no_stages(settings)


def best(position: SortedLogits, settings: SamplingSettings) -> Best | None:
    """The token that `choose` takes with settings that take the best one, at a third of the cost.

    Nothing is told of the other tokens. None where the position is sorted already: then `choose` costs no more.
    """
    logits = position.unsorted
    if logits is None:
        return None
    with np.errstate(over="ignore"):
        scores = _penalised(position, logits, settings.repetition_penalty)
        if scores is logits:
            token = position.best
            probability = raw = 1 / _mass(logits, logits[token])
        else:
            token = int(scores.argmax())  # the first, and so the lowest id, among equals
            probability = 1 / _mass(scores, scores[token])
            highest = logits[position.best]
            raw = math.exp(logits[token] - highest) / _mass(logits, highest)
    return Best(token, 1.0 if settings.do_sample else probability, raw)  # at temperature 0 it has the whole mass


def _mass(scores: Float32, highest: np.float32) -> float:
    """The sum of exp(score − highest), added in pairs: in float32 that is as good as each of the weights is."""
    weights = SCRATCH.floats("mass", len(scores))
    return float(np.add.reduce(np.exp(np.subtract(scores, highest, out=weights), out=weights)))


def choose(
    position: SortedLogits, settings: SamplingSettings, uniform: float | None, given: int | None = None
) -> Choice:
    """The token at `uniform` of the distribution that `settings` make of `position`, or the one that is `given`.

    `uniform` None takes the best one. Raises InputError where the settings rule every token out.
    """
    logits = position.unsorted
    if given is None and logits is not None and needs_no_stages(settings):
        found = _among_the_best(position, logits, settings, uniform)
        if found is not None:
            return found
    shaped = shape(position, settings)
    if given is not None:
        index = int(np.flatnonzero(shaped.ids == given)[0])
    else:
        index = 0 if uniform is None else draw(shaped, uniform)
    return _of_everything(position, shaped, index)


def _of_everything(position: SortedLogits, shaped: ShapedDistribution, index: int) -> Choice:
    told = _told(index, len(shaped.ids))
    return Choice(
        token_id=int(shaped.ids[index]),
        probability=float(shaped.probabilities[index]),
        raw_probability=float(shaped.raw_probabilities[index]),
        rank=int(np.searchsorted(-position.logits, -shaped.logits[index])),
        entropy=shaped.entropy,
        ids=shaped.ids[told],
        logits=shaped.logits[told],
        raw_probabilities=shaped.raw_probabilities[told],
        probabilities=shaped.probabilities[told],
    )


def _told(index: int, size: int) -> NDArray[np.intp]:
    """The places of the best tokens, and of the chosen one at the end where it is not among them."""
    best = np.arange(min(ALTERNATIVES, size))
    return best if index < len(best) else np.append(best, index)


class _Head(NamedTuple):
    """The best tokens, sorted as `SortedLogits` are, with their scores after the settings that move scores."""

    ids: Int32
    scores: Float32

    def reordered(self, order: NDArray[np.intp] | None) -> _Head:
        return self if order is None else _Head(self.ids[order], self.scores[order])


class _Whole:
    """Sums over the whole vocabulary, in the order of the ids, of weights exp(score − highest)."""

    def __init__(self, scores: Float32, highest: np.float32, name: str) -> None:
        distances = np.subtract(scores, highest, out=SCRATCH.floats(name, len(scores)))
        self.weights = np.exp(distances, out=SCRATCH.floats(f"{name} weights", len(scores)))
        self.total = _sum(self.weights)
        self._distances = distances

    def probabilities(self, ids: Int32) -> Float32:
        found: Float32 = self.weights[ids]
        found /= np.float32(self.total)
        return found

    @property
    def probability_sum(self) -> float:
        """Of the probabilities as they are, rounded to float32."""
        name = "probabilities of all"
        rounded = np.divide(self.weights, np.float32(self.total), out=SCRATCH.floats(name, len(self.weights)))
        return _sum(rounded)

    @property
    def entropy(self) -> float:
        """H = log Σw − Σ w·log w / Σw; what is impossible adds nothing."""
        products = np.multiply(self._distances, self.weights, out=SCRATCH.floats("products", len(self.weights)))
        total = _sum(products)
        if math.isnan(total):  # −∞ · 0
            total = _sum(np.nan_to_num(products, copy=False))
        return max(0.0, math.log(self.total) - total / self.total)


def _sum(values: Float32) -> float:
    """In float64. The ufunc itself: ndarray.sum() goes through Python, which costs as much as a small sum."""
    return float(np.add.reduce(values, dtype=np.float64))


class _Drawn(NamedTuple):
    """What stands at `place` of the head was drawn; its first `probabilities` are those that can be, of `entropy`."""

    head: _Head
    place: int
    probabilities: Float32
    entropy: float


def _among_the_best(
    position: SortedLogits, logits: Float32, settings: SamplingSettings, uniform: float | None
) -> Choice | None:
    """What `choose` answers, or None where the best tokens do not tell."""
    count = 1 + _wanted(settings, len(logits))
    if count > LARGEST_HEAD * len(logits):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scores = _penalised(position, logits, settings.repetition_penalty)
        ids = _best(scores, count)
        raw = _Whole(logits, logits[ids[0]] if scores is logits else logits.max(), "whole raw")
        if uniform is None:
            drawn = _taken(ids, scores, logits, raw, settings)
        else:
            drawn = _drawn(ids, scores, logits, raw, settings, uniform)
    # What is at least as probable as anything in the head is in the head too, unless a penalty moved it.
    return None if drawn is None else _of_the_head(drawn, logits, raw, logits[ids] if scores is logits else logits)


def _of_the_head(drawn: _Drawn, logits: Float32, raw: _Whole, rivals: Float32) -> Choice:
    """`rivals` are logits, among them all that are higher than any of the head."""
    place, head = drawn.place, drawn.head.ids
    ids, told = head[:ALTERNATIVES].copy(), drawn.probabilities[:ALTERNATIVES]
    if place >= len(ids):
        ids, told = np.append(ids, head[place]), np.append(told, drawn.probabilities[place])
        place = len(ids) - 1
    raw_probabilities = raw.probabilities(ids)
    probabilities = np.zeros(len(ids), np.float32)
    probabilities[: len(told)] = told
    own = logits[ids]
    return Choice(
        token_id=int(ids[place]),
        probability=float(probabilities[place]),
        raw_probability=float(raw_probabilities[place]),
        rank=int(np.count_nonzero(rivals > own[place])),
        entropy=drawn.entropy,
        ids=ids,
        logits=own,
        raw_probabilities=raw_probabilities,
        probabilities=probabilities,
    )


def _wanted(settings: SamplingSettings, size: int) -> int:
    """How many of the best tokens are enough, most of the time."""
    if settings.greedy:
        return ALTERNATIVES
    return max(ALTERNATIVES, settings.top_k) if 0 < settings.top_k < size else BLOCK


def _penalised(position: SortedLogits, logits: Float32, penalty: float) -> Float32:
    if penalty == 1 or not len(position.context_ids):
        return logits
    scores = SCRATCH.floats("whole penalised", len(logits))
    scores[:] = logits
    scores[position.context_ids] = divided(logits[position.context_ids], penalty)
    return scores


def _best(scores: Float32, count: int) -> Int32:
    """At least the `count` best ids in the order of `SortedLogits`.

    No score below the count-th largest maximum of the slices can be among the count best.
    """
    rows = max(1, len(scores) // (SLICES * count))
    columns = len(scores) // rows
    maxima = np.maximum.reduce(scores[: rows * columns].reshape(rows, columns))
    maxima.partition(columns - count)
    found = (scores >= maxima[columns - count]).nonzero()[0]
    ids: Int32 = found[scores[found].argsort(kind="stable")[::-1]].astype(np.int32)  # `found` ascends
    return ids


def _taken(ids: Int32, scores: Float32, logits: Float32, raw: _Whole, settings: SamplingSettings) -> _Drawn | None:
    """The most probable token, the lowest id among equals."""
    head = _Head(ids, scores[ids])
    if head.scores[1] == head.scores[0]:
        if head.scores[-1] == head.scores[0]:
            return None
        head = head.reordered(lowest_id_first(*head))
    if settings.do_sample:  # temperature 0
        return _Drawn(head, 0, np.ones(1, np.float32), 0.0)
    whole = raw if scores is logits else _Whole(scores, head.scores[0], "whole")
    return _Drawn(head, 0, whole.probabilities(head.ids), whole.entropy)


def _drawn(
    ids: Int32, scores: Float32, logits: Float32, raw: _Whole, settings: SamplingSettings, uniform: float
) -> _Drawn | None:
    """The token at `uniform`, step by step as `sampling.shape` and `draw` go."""
    survivors = _Survivors(ids, scores, settings)
    if 0 < settings.top_k < len(scores):
        told = survivors.top_k(settings.top_k)
    else:
        told = survivors.sum_up(scores, raw if scores is logits else None, settings)
    if told and settings.top_p < 1:
        told = survivors.top_p(settings.top_p)
    if told and settings.min_p > 0:
        told = survivors.min_p(settings.min_p)
    return survivors.draw(uniform) if told else None


class _Survivors:
    """The tokens of the head that can still be drawn, by their weights float32 (n,).

    `closed` once nothing outside the head can be drawn. A cut answers False where the head does not tell its place.
    """

    def __init__(self, ids: Int32, scores: Float32, settings: SamplingSettings) -> None:
        found = scores[ids]
        if settings.temperature != 1:
            found /= np.float32(settings.temperature)
        self._head = _Head(ids, found)
        self._left = at_least(found, LOWEST)
        self._closed = self._left < len(ids)
        self._whole: _Whole | None = None

    def sum_up(self, scores: Float32, whole: _Whole | None, settings: SamplingSettings) -> bool:
        """Everything survives so far; `whole` are the sums of the scores before the temperature, where known."""
        if settings.temperature != 1:
            name = "whole scaled"
            scores = np.divide(scores, np.float32(settings.temperature), out=SCRATCH.floats(name, len(scores)))
            whole = None
        self._whole = whole or _Whole(scores, self._head.scores[0], "whole")
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

    def draw(self, uniform: float) -> _Drawn | None:
        """As `sampling.draw`; None where the token stands outside the head."""
        if self._closed or self._whole is None:
            index, probabilities = draw_from(self._probabilities, uniform), self._probabilities
            return _Drawn(self._head, index, probabilities, self._entropy)
        probabilities = self._whole.probabilities(self._head.ids)
        cumulative = np.cumsum(probabilities[:BLOCK], dtype=np.float64)
        index = int(np.searchsorted(cumulative, uniform * self._whole.probability_sum, side="right"))
        return _Drawn(self._head, index, probabilities, self._whole.entropy) if index < len(cumulative) else None

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
