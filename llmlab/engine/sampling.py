"""How the settings turn a model's logits into the distribution that is drawn from. Numpy only, no torch.

A vector of logits is sorted once, when it is captured. After that every setting is a cut through the sorted
order and a rescaling, about a millisecond at a vocabulary of 152,000, so a slider can act on a captured position
without asking the model again.

Every knob means what transformers' logits processors mean by it, in their order: repetition penalty (Keskar et
al. 2019, eq. 2), temperature, top-k (Fan et al. 2018), top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024).
"""

from __future__ import annotations

import bisect
import math
import operator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.errors import InputError
from llmlab.engine.sorted_logits import SCRATCH, Captured, CapturedPosition, SortedLogits, penalised
from llmlab.engine.types import Float32, Int32

__all__ = [
    "Captured",
    "CapturedPosition",
    "Cut",
    "GenerationSettings",
    "SamplingSettings",
    "ShapedDistribution",
    "SortedLogits",
    "draw",
    "shape",
]

UInt8: TypeAlias = NDArray[np.uint8]

SMALLEST_TEMPERATURE = 1e-6  # below it logits / temperature leaves float32; 0 itself means greedy
LOWEST = np.finfo(np.float32).min
BLOCK = 512  # tokens summed at a time while looking for the place where top-p cuts


class Cut(IntEnum):
    """Why a token cannot be drawn."""

    KEPT = 0
    TOP_K = 1
    TOP_P = 2
    MIN_P = 3
    TEMPERATURE = 4  # temperature 0 leaves all the mass on the most probable token
    IMPOSSIBLE = 5  # the model, or its generation_config.json, gives it a logit of minus infinity


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """The knobs, under transformers' names; the defaults change nothing.

    With `do_sample=False` (greedy) only the repetition penalty acts, as in transformers. `temperature=0` is greedy
    too: the limit of small temperatures, with the whole mass on the most probable token. `top_k=0`, `top_p=1`,
    `min_p=0` and `repetition_penalty=1` switch those off.
    """

    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return not self.do_sample or self.temperature == 0

    def validated(self) -> SamplingSettings:
        """Itself. Raises InputError, in words, if a setting is outside what it can mean."""
        temperature = _number("temperature", self.temperature)
        if temperature < 0 or 0 < temperature < SMALLEST_TEMPERATURE:
            raise InputError(
                f"The temperature cannot be {temperature:g}.",
                f"Use 0 to always take the most probable token, or a value of at least {SMALLEST_TEMPERATURE:g}.",
            )
        if type(self.top_k) is not int or self.top_k < 0:
            raise InputError(
                f"top_k cannot be {self.top_k!r}.", "Use a whole number of tokens to keep, or 0 to keep all."
            )
        if not 0 <= _number("top_p", self.top_p) <= 1:
            raise InputError(
                f"top_p cannot be {self.top_p:g}.",
                "It is a probability: use a value from 0 to 1, where 1 keeps every token.",
            )
        if not 0 <= _number("min_p", self.min_p) <= 1:
            raise InputError(
                f"min_p cannot be {self.min_p:g}.",
                "It is a share of the best token's probability: use a value from 0 to 1, where 0 keeps every token.",
            )
        if not SMALLEST_TEMPERATURE <= _number("repetition_penalty", self.repetition_penalty) <= 1e6:
            raise InputError(
                f"The repetition penalty cannot be {self.repetition_penalty:g}.",
                "Use a value above 0; 1 changes nothing, values above 1 make repetition less likely.",
            )
        return self


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How a completion is made: how each token is chosen, and when to stop.

    `stop` are strings that end the completion; they are not part of it.
    """

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    max_new_tokens: int = 50
    seed: int = 0
    stop: tuple[str, ...] = ()

    def validated(self) -> GenerationSettings:
        """Itself. Raises InputError, in words, if a setting is outside what it can mean."""
        self.sampling.validated()
        if self.max_new_tokens < 1:
            raise InputError(
                f"The number of new tokens cannot be {self.max_new_tokens}.", "Ask for at least one token."
            )
        if not 0 <= self.seed < 2**63:
            raise InputError(f"The seed cannot be {self.seed}.", "Use a whole number from 0 to 9223372036854775807.")
        if any(not text for text in self.stop):
            raise InputError("A stop string is empty.", "Remove it, or type the text that should end the completion.")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class ShapedDistribution:
    """One position's distribution after the settings. All arrays (vocabulary,), most probable first.

    `ids` int32; `logits` float32, the model's own; `raw_probabilities` float32, their softmax; `probabilities`
    float32, what is drawn from, 0 where cut; `cut` uint8, a `Cut` for each token. The `kept` first tokens can be
    drawn; they held `kept_mass` of the probability after penalty and temperature. Entropies in nats.
    """

    ids: Int32
    logits: Float32
    raw_probabilities: Float32
    probabilities: Float32
    cut: UInt8
    kept: int
    kept_mass: float
    entropy: float
    raw_entropy: float


def shape(sorted_logits: SortedLogits, settings: SamplingSettings) -> ShapedDistribution:
    """What `settings` make of a captured position. Raises InputError if a setting makes no sense."""
    settings.validated()
    with np.errstate(over="ignore"):
        ids, logits, scores = penalised(sorted_logits, settings.repetition_penalty)
        if settings.do_sample and settings.temperature not in (0.0, 1.0):
            scores = np.divide(scores, np.float32(settings.temperature), out=SCRATCH.floats("scores", len(ids)))
        shaped = _Softmax.of(scores, scores[0], "shaped")
        raw = shaped if scores is logits else _Softmax.of(logits, sorted_logits.logits[0], "raw")
    order, ends = _cuts(ids, scores, shaped, settings)
    possible, kept = ends[0][1], ends[-1][1]
    kept_total = shaped.sum_of_first(kept)
    entropy = shaped.entropy_of_first(kept, kept_total)
    unchanged = shaped is raw and kept == possible
    raw_entropy = entropy if unchanged else raw.entropy_of_first(possible, raw.total)
    probabilities = None
    if not unchanged:
        probabilities = np.zeros_like(logits)
        np.divide(shaped.weights[:kept], np.float32(kept_total), out=probabilities[:kept])
    raw_probabilities = np.divide(raw.weights, np.float32(raw.total), out=raw.weights)
    if order is not None:
        ids, logits, raw_probabilities = ids[order], logits[order], raw_probabilities[order]
    return ShapedDistribution(
        ids=ids,
        logits=logits,
        raw_probabilities=raw_probabilities,
        probabilities=raw_probabilities if probabilities is None else probabilities,
        cut=_reasons(len(ids), ends),
        kept=kept,
        kept_mass=1.0 if settings.temperature == 0 else kept_total / shaped.total,
        entropy=entropy,
        raw_entropy=raw_entropy,
    )


def draw(shaped: ShapedDistribution, uniform: float) -> int:
    """The index of the token at `uniform` (0 ≤ uniform < 1) of the cumulative distribution."""
    kept = shaped.probabilities[: shaped.kept]
    start, below, total = _block_at(kept, uniform) if len(kept) > BLOCK else (0, 0.0, None)
    cumulative = np.cumsum(kept[start : start + BLOCK], dtype=np.float64)
    target = uniform * (cumulative[-1] if total is None else total) - below
    index = start + min(int(np.searchsorted(cumulative, target, side="right")), len(cumulative) - 1)
    while kept[index] == 0:  # rounding may step over the last token that has any mass
        index -= 1
    return index


def _block_at(kept: Float32, uniform: float) -> tuple[int, float, float]:
    """Where the block begins that holds `uniform`'s token, the sum before it, and the sum of all."""
    sums = np.cumsum(np.add.reduceat(kept, np.arange(0, len(kept), BLOCK), dtype=np.float64))
    block = min(int(np.searchsorted(sums, uniform * sums[-1], side="right")), len(sums) - 1)
    return block * BLOCK, float(sums[block - 1]) if block else 0.0, float(sums[-1])


@dataclass(slots=True)
class _Softmax:
    """exp(x − highest) and its sum, kept apart so that a cut needs no second exp."""

    weights: Float32
    distances: Float32  # x − highest, in an array that the next call overwrites
    total: float

    @classmethod
    def of(cls, scores: Float32, highest: np.float32, name: str) -> _Softmax:
        distances = np.subtract(scores, highest, out=SCRATCH.floats(name, len(scores)))
        weights = np.exp(distances)
        return cls(weights, distances, float(weights.sum(dtype=np.float64)))

    def sum_of_first(self, count: int) -> float:
        if count == len(self.weights):
            return self.total
        return float(self.weights[:count].sum(dtype=np.float64))

    def entropy_of_first(self, count: int, total: float) -> float:
        """H = log Σw − Σ w·log w / Σw, in nats, over the first `count` tokens, none of them impossible."""
        products = np.multiply(self.weights[:count], self.distances[:count], out=SCRATCH.floats("products", count))
        return max(0.0, math.log(total) - float(products.sum(dtype=np.float64)) / total)

    def probabilities_of_first(self, count: int) -> Float32:
        """In an array that the next call overwrites."""
        total = np.float32(self.sum_of_first(count))
        return np.divide(self.weights[:count], total, out=SCRATCH.floats("probabilities", count))


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InputError(f"The setting {name} is {value!r}, which is not a number.", "Use a finite number.")
    return float(value)


def _cuts(
    ids: Int32, scores: Float32, shaped: _Softmax, settings: SamplingSettings
) -> tuple[NDArray[np.intp] | None, list[tuple[Cut, int]]]:
    """How many tokens each setting leaves, in the order they act: [(what cut, tokens left), …].

    `scores` are sorted, so what is left is always the beginning. Also the new order, where equal scores have to
    change places, else None.
    """
    ends = [(Cut.IMPOSSIBLE, _at_least(scores, LOWEST))]
    if not settings.do_sample:
        return _lowest_id_first(ids, scores), ends
    if settings.temperature == 0:
        return _lowest_id_first(ids, scores), [*ends, (Cut.TEMPERATURE, 1)]
    if 0 < settings.top_k < len(scores):
        ends.append((Cut.TOP_K, min(ends[-1][1], _at_least(scores, scores[settings.top_k - 1]))))
    order = None
    if settings.top_p < 1:
        candidates = ends[-1][1]
        kept = _top_p(shaped.probabilities_of_first(candidates), settings.top_p)
        ends.append((Cut.TOP_P, kept))
        if kept < candidates and scores[kept - 1] == scores[kept]:
            order = _highest_id_first(ids, scores, kept)
    if settings.min_p > 0:
        probabilities = shaped.probabilities_of_first(ends[-1][1])
        ends.append((Cut.MIN_P, _at_least(probabilities, np.float32(settings.min_p) * probabilities[0])))
    return order, ends


def _top_p(probabilities: Float32, top_p: float) -> int:
    """How many of the descending `probabilities` top-p keeps.

    Those whose sum with all less probable ones is above 1 − top_p, but at least one. As in transformers, both
    sides are rounded to float32 before they meet.
    """
    limit = np.float32(1 - top_p)
    start, rest = _last_block_above(probabilities, limit) if len(probabilities) > BLOCK else (0, 0.0)
    sums = rest + np.cumsum(probabilities[start : start + BLOCK][::-1], dtype=np.float64)
    return start + max(1, int(np.count_nonzero(sums.astype(np.float32) > limit)))


def _last_block_above(probabilities: Float32, limit: np.float32) -> tuple[int, float]:
    """Where the last block begins whose sum with all that follow is above `limit`, and the sum of what follows it."""
    blocks = np.add.reduceat(probabilities, np.arange(0, len(probabilities), BLOCK), dtype=np.float64)
    tails = np.append(np.cumsum(blocks[::-1])[::-1], 0.0)  # a block's sum with all that follow
    above = max(1, int(np.count_nonzero(tails[:-1].astype(np.float32) > limit)))
    return (above - 1) * BLOCK, float(tails[above])


def _at_least(descending: Float32, threshold: np.float32) -> int:
    """How many of `descending` are not below `threshold`."""
    return bisect.bisect_right(descending, -threshold, key=operator.neg)


def _reasons(size: int, ends: list[tuple[Cut, int]]) -> UInt8:
    """What cut each token: `Cut` as uint8 (vocabulary,)."""
    reasons = np.zeros(size, np.uint8)
    start = size
    for cut, left in ends:
        reasons[left:start] = cut
        start = left
    return reasons


def _highest_id_first(ids: Int32, scores: Float32, index: int) -> NDArray[np.intp] | None:
    """The order in which top-p sees the tokens that equal `scores[index]`.

    Dividing by the temperature can make logits equal that were not.
    """
    run = _equals(scores, index)
    return _reordered(len(ids), run, -ids[run])


def _lowest_id_first(ids: Int32, scores: Float32) -> NDArray[np.intp] | None:
    """The order in which the first of the most probable tokens is the one that argmax takes."""
    run = _equals(scores, 0)
    return _reordered(len(ids), run, ids[run])


def _equals(scores: Float32, index: int) -> slice:
    """The run of scores that equal `scores[index]`."""
    start = bisect.bisect_left(scores, -scores[index], key=operator.neg)
    return slice(start, _at_least(scores, scores[index]))


def _reordered(size: int, run: slice, by: Int32) -> NDArray[np.intp] | None:
    inside = np.argsort(by)
    if len(inside) == 1 or bool((inside[1:] > inside[:-1]).all()):
        return None
    order = np.arange(size)
    order[run] = run.start + inside
    return order
