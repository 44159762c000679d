"""What each setting does to one position's distribution, from the model's own to the one that is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.knobs import SamplingSettings
from llmlab.engine.processors import Candidates, UInt8, run
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import Bool, Float32, Int32

SHOWN = 12  # best tokens before the first and after the last stage
RAW = "raw"


@dataclass(frozen=True, slots=True, eq=False)
class WaterfallStage:
    """The distribution after one stage.

    `name` is "raw" or that of a setting. `kept` tokens can be drawn; `mass` is the probability that they had before
    this stage cut the others off, 1 where it cut nothing. `probabilities` float32 are those of the shown tokens, 0
    where removed. `entropy` in nats.
    """

    name: str
    kept: int
    mass: float
    entropy: float
    probabilities: Float32

    @property
    def perplexity(self) -> float:
        """e^H: the choice is as open as a fair one among so many tokens."""
        return math.exp(self.entropy)


@dataclass(frozen=True, slots=True, eq=False)
class Waterfall:
    """One position, stage by stage.

    `ids` int32 (shown,) are the tokens whose probabilities are told, by falling raw probability. `removed_in` uint8
    and `removed_at` int32, both (vocabulary,) by token id: the number of the stage that removed a token (0 for none)
    and its rank just before, 1 being the most probable. `impossible` tokens were ruled out by the model itself.
    """

    stages: tuple[WaterfallStage, ...]
    ids: Int32
    removed_in: UInt8
    removed_at: Int32

    def fate(self, token_id: int) -> tuple[str, int] | None:
        """The stage that removed a token, and the rank at which it stood then; None while it can be drawn.

        A token that the model itself rules out is removed by "raw".
        """
        rank = int(self.removed_at[token_id])
        return (self.stages[int(self.removed_in[token_id])].name, rank) if rank else None


def waterfall(
    sorted_logits: SortedLogits, settings: SamplingSettings, shown: int = SHOWN, also: Iterable[int] = ()
) -> Waterfall:
    """How `settings` act on a captured position, one after the other.

    Tells the probabilities of the `shown` best tokens before all and after all of them, and of the tokens `also`.
    Raises InputError if a setting makes no sense.
    """
    settings.validated()
    candidates = Candidates(sorted_logits)
    first, size = candidates.count, len(candidates.ids)
    record = _Record(np.zeros(size, np.uint8), np.zeros(size, np.int32), [], [])
    record.removed_at[candidates.ids[first:]] = np.arange(first + 1, size + 1)
    record.add(RAW, candidates, 1.0)
    mass = 1.0
    for name in run(candidates, settings):
        record.add(name, candidates, candidates.kept_mass / mass)
        mass = candidates.kept_mass
    wanted = np.zeros(size, bool)
    wanted[sorted_logits.ids[:shown]] = wanted[candidates.ids[: min(shown, candidates.count)]] = True
    wanted[[token for token in also if 0 <= token < size]] = True
    return record.waterfall(sorted_logits.ids[wanted[sorted_logits.ids]], wanted)


@dataclass(slots=True)
class _Record:
    """The stages so far. Of each the tokens it left, whether in another order than before, their weights and the sum
    of these.
    """

    removed_in: UInt8
    removed_at: Int32
    stages: list[tuple[str, int, float, float]]
    left: list[tuple[Int32, bool, Float32, float]]

    def add(self, name: str, candidates: Candidates, mass: float) -> None:
        now = candidates.ids[: candidates.count]
        before = self.left[-1][0] if self.left else now.copy()
        ids = before[: len(now)]
        cut_off = bool(np.array_equal(ids, now))  # as most settings do: the order stays, and the end goes
        if not cut_off:
            ids = now.copy()
        if len(ids) < len(before):
            lost = np.arange(len(ids), len(before)) if cut_off else self._lost(before, ids)
            gone = before[lost[0] :] if cut_off else before[lost]
            self.removed_in[gone] = len(self.stages)
            self.removed_at[gone] = lost + 1
        self.left.append((ids, not cut_off, candidates.weights, candidates.total))
        self.stages.append((name, candidates.count, mass, candidates.entropy))

    def _lost(self, before: Int32, after: Int32) -> NDArray[np.intp]:
        """The places of what is gone."""
        gone = np.ones(len(self.removed_in), bool)
        gone[after] = False
        return np.flatnonzero(gone[before])

    def waterfall(self, ids: Int32, wanted: Bool) -> Waterfall:
        """With the probabilities of `ids`; `wanted` bool (vocabulary,) marks the same."""
        order = np.argsort(ids)
        stages, found = [], np.flatnonzero(wanted[self.left[0][0]])
        for stage, (left, reordered, weights, total) in zip(self.stages, self.left, strict=True):
            found = np.flatnonzero(wanted[left]) if reordered else found[: np.searchsorted(found, len(left))]
            told = np.zeros(len(ids), np.float32)
            told[order[np.searchsorted(ids, left[found], sorter=order)]] = weights[found] / np.float32(total)
            stages.append(WaterfallStage(*stage, told))
        return Waterfall(tuple(stages), ids, self.removed_in, self.removed_at)
