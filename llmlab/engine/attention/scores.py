"""What a head does, in one number each: names, meanings and formulas. No torch: the window shows these.

w_ij is the weight of query i on key j; each score is the mean over the queries for which it is defined, padding left
out, and NaN where there is none. They are measured on the text that was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SELF = ("self", "encoder", "decoder")
EVERY = (*SELF, "cross")


@dataclass(frozen=True, slots=True)
class Score:
    """One score: what it is called, what it means, how it is computed, and for which kinds of attention."""

    name: str
    title: str
    meaning: str
    formula: str
    kinds: tuple[str, ...]


_ALL = (
    Score(
        "distance",
        "Mean distance",
        "How many tokens away a head looks on average.",
        "mean over i of Σⱼ wᵢⱼ · |i − j|",
        SELF,
    ),
    Score(
        "entropy",
        "Entropy",
        "How evenly a head spreads its weight: 0 on a single token, 1 evenly over all that it may see.",
        "mean over i of −Σⱼ wᵢⱼ ln wᵢⱼ ÷ ln(tokens that i may see)",
        EVERY,
    ),
    Score(
        "max",
        "Largest weight",
        "How sure a head is: the weight of the token that it looks at most.",
        "mean over i of maxⱼ wᵢⱼ",
        EVERY,
    ),
    Score(
        "first",
        "First token (sink)",
        "How much weight rests on the very first token, where heads look that find nothing.",
        "mean over i > 0 of wᵢ₀; all i for cross-attention",
        EVERY,
    ),
    Score(
        "itself",
        "Itself",
        "How much a token looks at itself.",
        "mean over i > 0 of wᵢᵢ",
        SELF,
    ),
    Score(
        "previous",
        "Previous token",
        "How much a token looks at the one just before it.",
        "mean over i > 0 of wᵢ,ᵢ₋₁",
        SELF,
    ),
    Score(
        "duplicate",
        "Duplicate token",
        "How much a token looks at earlier places of the same token.",
        "mean over i of Σ wᵢⱼ, j < i with tⱼ = tᵢ; only i that have such a j",
        SELF,
    ),
    Score(
        "induction",
        "Induction",
        "How much a token looks at what followed it when it occurred before: the way a model continues a repetition.",
        "mean over i of Σ wᵢⱼ, j < i with tⱼ₋₁ = tᵢ; only i that have such a j (Olsson et al. 2022)",
        SELF,
    ),
)
SCORES: Mapping[str, Score] = {score.name: score for score in _ALL}
