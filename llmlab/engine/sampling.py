"""How the settings turn a model's logits into the distribution that is drawn from. Numpy only, no torch.

A vector of logits is sorted once, when it is captured. After that every setting is a cut through the sorted
order and a rescaling, about a millisecond at a vocabulary of 152,000, so a slider can act on a captured position
without asking the model again.

Every knob means what transformers' logits processors mean by it, in their order unless told otherwise. The usual
ones are repetition penalty (Keskar et al. 2019, eq. 2), temperature, top-k (Fan et al. 2018), top-p (Holtzman et al.
2020) and min-p (Nguyen et al. 2024); `processors` has them all, stage by stage, and any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.cuts import BLOCK, LOWEST, at_least, highest_id_first, lowest_id_first, min_p_kept, top_p_kept
from llmlab.engine.knobs import STAGES, Cut, GenerationSettings, Knobs, SamplingSettings
from llmlab.engine.processors import Candidates, run
from llmlab.engine.sorted_logits import SCRATCH, Captured, CapturedPosition, SortedLogits, penalised
from llmlab.engine.types import Float32, Int32

__all__ = [
    "STAGES",
    "Captured",
    "CapturedPosition",
    "Cut",
    "GenerationSettings",
    "Knobs",
    "SamplingSettings",
    "ShapedDistribution",
    "SortedLogits",
    "draw",
    "draw_from",
    "shape",
]

UInt8: TypeAlias = NDArray[np.uint8]

FAST = frozenset(("repetition_penalty", "temperature", "top_k", "top_p", "min_p"))  # what needs no stages


@dataclass(frozen=True, slots=True, eq=False)
class ShapedDistribution:
    """One position's distribution after the settings. All arrays (vocabulary,), most probable first.

    `ids` int32; `logits` float32, the model's own; `raw_probabilities` float32, their softmax; `probabilities`
    float32, what is drawn from, 0 where cut; `cut` uint8, a `Cut` for each token. The `kept` first tokens can be
    drawn; the others follow, the last removed first. The cuts left `kept_mass` of the probability that was there
    before each of them. Entropies in nats.
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
    if not needs_no_stages(settings):
        return _shaped_in_stages(sorted_logits, settings)
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


def needs_no_stages(settings: SamplingSettings) -> bool:
    """Whether these are common settings in the common order."""
    return FAST.issuperset(settings.stages) and settings.standard_order


def _shaped_in_stages(sorted_logits: SortedLogits, settings: SamplingSettings) -> ShapedDistribution:
    """What `shape` answers, by the longer way."""
    candidates = Candidates(sorted_logits)
    possible = candidates.count
    for _ in run(candidates, settings):
        pass
    if not settings.do_sample:
        candidates.lowest_id_first()
    raw = _Softmax.of(candidates.logits, sorted_logits.logits[0], "raw")
    raw_entropy = raw.entropy_of_first(possible, raw.total)
    raw_probabilities = np.divide(raw.weights, np.float32(raw.total), out=raw.weights)
    probabilities = np.zeros_like(raw_probabilities)
    probabilities[: candidates.count] = candidates.probabilities
    return ShapedDistribution(
        ids=candidates.ids,
        logits=candidates.logits,
        raw_probabilities=raw_probabilities,
        probabilities=probabilities,
        cut=candidates.cut,
        kept=candidates.count,
        kept_mass=candidates.kept_mass,
        entropy=candidates.entropy,
        raw_entropy=raw_entropy,
    )


def draw(shaped: ShapedDistribution, uniform: float) -> int:
    """The index of the token at `uniform` (0 ≤ uniform < 1) of the cumulative distribution."""
    return draw_from(shaped.probabilities[: shaped.kept], uniform)


def draw_from(kept: Float32, uniform: float) -> int:
    """The index at `uniform` of the cumulative sum of `kept` float32 (n,), whose own sum may be off 1 by rounding."""
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


def _cuts(
    ids: Int32, scores: Float32, shaped: _Softmax, settings: SamplingSettings
) -> tuple[NDArray[np.intp] | None, list[tuple[Cut, int]]]:
    """How many tokens each setting leaves, in the order they act: [(what cut, tokens left), …].

    `scores` are sorted, so what is left is always the beginning. Also the new order, where equal scores have to
    change places, else None.
    """
    ends = [(Cut.IMPOSSIBLE, at_least(scores, LOWEST))]
    if not settings.do_sample:
        return lowest_id_first(ids, scores), ends
    if settings.temperature == 0:
        return lowest_id_first(ids, scores), [*ends, (Cut.TEMPERATURE, 1)]
    if 0 < settings.top_k < len(scores):
        ends.append((Cut.TOP_K, min(ends[-1][1], at_least(scores, scores[settings.top_k - 1]))))
    order = None
    if settings.top_p < 1:
        candidates = ends[-1][1]
        kept = top_p_kept(shaped.probabilities_of_first(candidates), settings.top_p)
        ends.append((Cut.TOP_P, kept))
        if kept < candidates and scores[kept - 1] == scores[kept]:
            order = highest_id_first(ids, scores, kept)
    if settings.min_p > 0:
        probabilities = shaped.probabilities_of_first(ends[-1][1])
        ends.append((Cut.MIN_P, min_p_kept(probabilities, settings.min_p)))
    return order, ends


def _reasons(size: int, ends: list[tuple[Cut, int]]) -> UInt8:
    """What cut each token: `Cut` as uint8 (vocabulary,)."""
    reasons = np.zeros(size, np.uint8)
    start = size
    for cut, left in ends:
        reasons[left:start] = cut
        start = left
    return reasons
