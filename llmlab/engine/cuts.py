"""Where each setting cuts a distribution, to the float32 rounding of transformers' logits processors. Numpy only.

`scores` and `probabilities` are sorted, highest first, throughout.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.types import Float32, Int32

LOWEST = np.finfo(np.float32).min
BLOCK = 512  # tokens summed at a time while looking for the place where top-p cuts


def at_least(descending: Float32, threshold: np.float32) -> int:
    """How many of `descending` are not below `threshold`."""
    return bisect.bisect_right(descending, -threshold, key=operator.neg)


def equals(scores: Float32, index: int) -> slice:
    """The run of scores that equal `scores[index]`."""
    start = bisect.bisect_left(scores, -scores[index], key=operator.neg)
    return slice(start, at_least(scores, scores[index]))


def highest_id_first(ids: Int32, scores: Float32, index: int) -> NDArray[np.intp] | None:
    """The order in which top-p sees the tokens that equal `scores[index]`; None where it is the one they have.

    Dividing by the temperature can make logits equal that were not.
    """
    run = equals(scores, index)
    return _reordered(len(ids), run, -ids[run])


def lowest_id_first(ids: Int32, scores: Float32) -> NDArray[np.intp] | None:
    """The order in which the first of the most probable tokens is the one that argmax takes."""
    run = equals(scores, 0)
    return _reordered(len(ids), run, ids[run])


def _reordered(size: int, run: slice, by: Int32) -> NDArray[np.intp] | None:
    inside = np.argsort(by)
    if len(inside) == 1 or bool((inside[1:] > inside[:-1]).all()):
        return None
    order = np.arange(size)
    order[run] = run.start + inside
    return order


def top_p_kept(probabilities: Float32, top_p: float, beyond: float = 0.0) -> int:
    """How many tokens top-p keeps (Holtzman et al. 2020); `beyond` is the sum of those that are not given.

    Those whose sum with all less probable ones is above 1 − top_p, but at least one. As in transformers, both
    sides are rounded to float32 before they meet.
    """
    limit = np.float32(1 - top_p)
    start, rest = _last_block_above(probabilities, limit, beyond) if len(probabilities) > BLOCK else (0, beyond)
    sums = rest + np.cumsum(probabilities[start : start + BLOCK][::-1], dtype=np.float64)
    return start + max(1, int(np.count_nonzero(sums.astype(np.float32) > limit)))


def min_p_kept(probabilities: Float32, min_p: float) -> int:
    """How many tokens have at least `min_p` of the best one's probability (Nguyen et al. 2024)."""
    return at_least(probabilities, np.float32(min_p) * probabilities[0])


def epsilon_kept(probabilities: Float32, epsilon: float) -> int:
    """How many tokens have at least the probability `epsilon`, or equal the best one (Hewitt et al. 2022)."""
    return max(at_least(probabilities, np.float32(epsilon)), at_least(probabilities, probabilities[0]))


def eta_kept(probabilities: Float32, entropy: float, eta: float) -> int:
    """As `epsilon_kept`, with the threshold min(η, √η·e^−H): lower where the choice is open (Hewitt et al. 2022)."""
    return epsilon_kept(probabilities, min(eta, math.sqrt(eta) * math.exp(-entropy)))


def typical_kept(scores: Float32, typical_p: float, least: int = 1) -> slice:
    """The tokens kept by locally typical sampling (Meister et al. 2022).

    Those whose information −ln p is nearest to the entropy, until they together have at least `typical_p` and are
    `least`; among sorted tokens they are neighbours. In float64: tokens on either side of the entropy are often
    nearly as far from it.
    """
    information = scores.astype(np.float64)
    information -= scores[0]
    weights = np.exp(information)
    sums = np.cumsum(weights)
    total = float(sums[-1])
    # H + ln p, falling: what is constant is gone. Not with @, of which the threads take longer to wake than to add.
    information -= float(np.einsum("i,i", weights, information)) / total
    split = len(scores) - bisect.bisect_right(information[::-1], 0.0)  # the tokens before it have more than e^−H
    above, below = information[:split], information[split:]

    def within(distance: float) -> slice:
        """The tokens at most so far from the entropy."""
        start = bisect.bisect_left(above, -distance, key=operator.neg)
        return slice(start, split + bisect.bisect_right(below, distance, key=operator.neg))

    def enough(distance: float) -> bool:
        kept = within(distance)
        first = float(sums[kept.start - 1]) if kept.start else 0.0
        return kept.stop - kept.start >= least and (float(sums[kept.stop - 1]) - first) / total >= typical_p

    def nearest(count: int, distance_at: Callable[[int], float]) -> float:
        """The smallest of `count` rising distances that is enough; infinity, and with it all tokens, if none is."""
        place = bisect.bisect_left(range(count), True, key=lambda index: enough(distance_at(index)))
        return distance_at(place) if place < count else math.inf

    return within(
        min(
            nearest(split, lambda index: float(above[split - 1 - index])),
            nearest(len(below), lambda index: -float(below[index])),
        )
    )


def _last_block_above(probabilities: Float32, limit: np.float32, beyond: float) -> tuple[int, float]:
    """Where the last block begins whose sum with all that follow is above `limit`, and the sum of what follows it."""
    blocks = np.add.reduceat(probabilities, np.arange(0, len(probabilities), BLOCK), dtype=np.float64)
    tails = np.append(np.cumsum(blocks[::-1])[::-1], 0.0) + beyond  # a block's sum with all that follow
    above = max(1, int(np.count_nonzero(tails[:-1].astype(np.float32) > limit)))
    return (above - 1) * BLOCK, float(tails[above])
