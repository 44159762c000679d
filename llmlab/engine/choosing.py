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

from llmlab.engine.cuts import BLOCK
from llmlab.engine.head import Drawn, Whole, draw_at, take_best
from llmlab.engine.sampling import SamplingSettings, ShapedDistribution, draw, needs_no_stages, shape
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


def _among_the_best(
    position: SortedLogits, logits: Float32, settings: SamplingSettings, uniform: float | None
) -> Choice | None:
    """What `choose` answers, or None where the best tokens do not tell."""
    count = 1 + _wanted(settings, len(logits))
    if count > LARGEST_HEAD * len(logits):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scores = _penalised(position, logits, settings.repetition_penalty)
        ids = _best_ids(scores, count)
        raw = Whole(logits, logits[ids[0]] if scores is logits else logits.max(), "whole raw")
        if uniform is None:
            drawn = take_best(ids, scores, logits, raw, settings)
        else:
            drawn = draw_at(ids, scores, logits, raw, settings, uniform)
    # What is at least as probable as anything in the head is in the head too, unless a penalty moved it.
    return None if drawn is None else _of_the_head(drawn, logits, raw, logits[ids] if scores is logits else logits)


def _of_the_head(drawn: Drawn, logits: Float32, raw: Whole, rivals: Float32) -> Choice:
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


def _best_ids(scores: Float32, count: int) -> Int32:
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
