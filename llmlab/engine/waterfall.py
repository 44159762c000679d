"""What each setting does to one position's distribution, from the model's own to the one that is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from llmlab.engine.knobs import SamplingSettings
from llmlab.engine.processors import Candidates, UInt8, run
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import Float32, Int32

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
    first = candidates.count
    size = len(candidates.ids)
    record = _Record(np.zeros(size, np.uint8), np.zeros(size, np.int32), [], [])
    record.removed_at[candidates.ids[first:]] = np.arange(first + 1, size + 1)
    ranked = candidates.ids.copy()  # the raw order
    record.add(RAW, candidates, 1.0, candidates.ids[:0])
    before, mass = ranked[:first], 1.0
    for name in run(candidates, settings):
        record.add(name, candidates, candidates.kept_mass / mass, before)
        before, mass = candidates.ids[: candidates.count].copy(), candidates.kept_mass
    wanted = {*ranked[:shown].tolist(), *candidates.ids[: min(shown, candidates.count)].tolist()}
    wanted |= {token for token in also if 0 <= token < size}
    ids = ranked[np.isin(ranked, np.fromiter(wanted, np.int32))]
    return record.waterfall(ids)


@dataclass(slots=True)
class _Record:
    """The stages so far; `dense` are their probabilities by token id."""

    removed_in: UInt8
    removed_at: Int32
    stages: list[tuple[str, int, float, float]]
    dense: list[Float32]

    def add(self, name: str, candidates: Candidates, mass: float, before: Int32) -> None:
        probabilities = np.zeros(len(self.removed_in), np.float32)
        probabilities[candidates.ids[: candidates.count]] = candidates.probabilities
        self.dense.append(probabilities)
        if candidates.count < len(before):
            there = np.zeros(len(self.removed_in), bool)
            there[candidates.ids[: candidates.count]] = True
            lost = np.flatnonzero(~there[before])
            self.removed_in[before[lost]] = len(self.stages)
            self.removed_at[before[lost]] = lost + 1
        self.stages.append((name, candidates.count, mass, candidates.entropy))

    def waterfall(self, ids: Int32) -> Waterfall:
        told = zip(self.stages, self.dense, strict=True)
        stages = tuple(WaterfallStage(*stage, probabilities[ids]) for stage, probabilities in told)
        return Waterfall(stages, ids, self.removed_in, self.removed_at)
