"""What the measurements answer. No torch: the window shows these.

Axis names in the shapes: `labels` the answers that were scored, in the order of the prompt's choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from llmlab.engine.shots.types import Prompt
from llmlab.engine.types import Float64, Int64


class Score(StrEnum):
    """How a label's log-probability becomes its score; the label with the highest one is the model's answer."""

    SUM = "sum"  # over all its tokens: the exact log-probability; lm-evaluation-harness's acc
    TOKEN = "per token"
    CHARACTER = "per character"  # lm-evaluation-harness's acc_norm


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """How probable the model finds each label after one prompt. All arrays (labels,).

    `sums` float64, natural logarithms; `tokens` int64, how many tokens each label takes there; `characters` int64,
    the length of each label's text. Of the cloze form, `sums` add up the tokens' log-probabilities at their masks.
    """

    labels: tuple[str, ...]
    sums: Float64
    tokens: Int64
    characters: Int64

    def scores(self, kind: Score) -> Float64:
        """The sums, or the sums over the length."""
        if kind is Score.SUM:
            return self.sums
        length = self.tokens if kind is Score.TOKEN else self.characters
        return np.asarray(self.sums / np.maximum(length, 1), np.float64)

    def probabilities(self, kind: Score = Score.SUM) -> Float64:
        """The scores' softmax: how probable each label is if the answer is one of them."""
        return softmax(self.scores(kind))

    def best(self, kind: Score = Score.SUM) -> int:
        """The place of the model's answer."""
        return int(self.scores(kind).argmax())

    @property
    def mass(self) -> float:
        """The probability that the model gives to all labels together."""
        return float(np.exp(self.sums).sum())


def softmax(scores: Float64) -> Float64:
    """Probabilities (labels,) from natural logarithms, without overflow; even where all are −inf."""
    highest = scores.max(initial=-np.inf)
    if not np.isfinite(highest):
        return np.full(len(scores), 1 / max(1, len(scores)))
    powers = np.exp(scores - highest)
    return np.asarray(powers / powers.sum(), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one prompt of a measurement came to.

    `condition` is the key of the prompts it belongs to, `item` the place in the test set. `truth` is the right answer
    as it would stand in the prompt, `scores` those of the labels, None for free text, of which `completion` is what
    the model wrote. `tokens` of the prompt; `dropped` shots that found no room.
    """

    condition: str
    item: int
    truth: str
    scores: LabelScores | None
    completion: str
    tokens: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class ContentFree:
    """The label scores of a condition's prompts whose query says nothing; one for each of such queries.

    `item` is the place of the one item that they are for, where every item has shots of its own; else None.
    """

    condition: str
    scores: tuple[LabelScores, ...]
    item: int | None = None

    @property
    def place(self) -> int:
        """What stands for it among the items of what is known: −1, or −2 − item where it is for one item."""
        return -1 if self.item is None else -2 - self.item


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """`scores` of the prompt's labels, None for free text; `free` those of the content-free prompts, for calibration.

    Of labels that only this query has, and of free text, there are no content-free prompts.
    """

    prompt: Prompt
    scores: LabelScores | None
    free: tuple[LabelScores, ...] = ()
