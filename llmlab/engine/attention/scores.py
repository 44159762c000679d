"""What a head does, in one number each: names, meanings and formulas. No torch: the window shows these.

w_ij is the weight of query i on key j; each score is the mean over the queries for which it is defined, padding left
out, and NaN where there is none. `SCORES` are measured on the text that was read, `REPEAT_SCORES` on random tokens that
are read twice, which tells what a head does whatever the text.
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

PREVIOUS_ON_REPEATS, INDUCTION_ON_REPEATS = "previous on repeats", "induction on repeats"
REPEAT_SCORES: Mapping[str, Score] = {
    PREVIOUS_ON_REPEATS: Score(
        PREVIOUS_ON_REPEATS,
        "Previous on repeats",
        "How much a token looks at the one just before it in random tokens that are read twice.",
        "mean over i > 0 of wᵢ,ᵢ₋₁ over 16 sequences of 50 random tokens, twice",
        ("self",),
    ),
    INDUCTION_ON_REPEATS: Score(
        INDUCTION_ON_REPEATS,
        "Induction on repeats",
        "How much a token of the second time looks at what followed it the first time. With random tokens there is no "
        "other way to know it: this is the standard test for induction heads.",
        "mean over the second 50 of wᵢ,ᵢ₋₄₉ over 16 sequences of 50 random tokens, twice (Olsson et al. 2022)",
        ("self",),
    ),
}
ALL_SCORES: Mapping[str, Score] = {**SCORES, **REPEAT_SCORES}
