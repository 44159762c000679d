"""What the presenter asks the view to show: frozen values, no Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from llmlab.engine.sampling import Cut, SamplingSettings, ShapedDistribution
from llmlab.engine.types import GenerationStep
from llmlab.ui.screen import Fact, Stage


@dataclass(frozen=True, slots=True)
class Place:
    """Which position's distribution is shown, and where one can go from there."""

    title: str = ""
    previous: bool = False
    following: bool = False
    note: str = ""  # what one must know to read the bars


@dataclass(frozen=True, slots=True)
class ShownChange:
    """The first token that the settings of the moment would have drawn differently: its place, itself, the other."""

    at: int
    drawn: str
    other: str


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything but the bars and the tokens: cheap to make, compared as a whole."""

    stage: Stage
    place: Place = Place()
    fill_mask: bool = False  # the model fills masks instead of generating
    greedy: bool = False
    generating: bool = False
    can_generate: bool = False
    generate_reason: str = ""  # why it cannot
    has_run: bool = False
    status: str = ""  # of the completion: tokens, speed, why it ended
    former: str = ""  # the name of the model that made the completion, if it is gone
    use_label: str = ""  # what choosing a token in the bars does
    change: ShownChange | None = None  # where these settings would have made another text
    own_settings: str = ""  # the model's generation_config.json on one line
    graphs: str | None = None  # how CUDA graphs do; None where there can be none


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One distribution. `drawn`: the id of the token that was, or will certainly be, taken."""

    shaped: ShapedDistribution
    text_of: Callable[[int], str]
    reasons: Mapping[Cut, str]
    facts: tuple[Fact, ...]
    drawn: int | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A part of an encoder's text: given, or the most probable token at mask `mask`."""

    text: str
    probability: float | None = None
    mask: int | None = None


def reasons(settings: SamplingSettings) -> dict[Cut, str]:
    """What to call each cut."""
    return {
        Cut.TOP_K: f"top-k {settings.top_k}",
        Cut.TOP_P: f"top-p {settings.top_p:g}",
        Cut.MIN_P: f"min-p {settings.min_p:g}",
        Cut.TEMPERATURE: "temperature 0",
        Cut.IMPOSSIBLE: "the model",
        Cut.NO_REPEAT_NGRAM: f"no-repeat n-gram {settings.no_repeat_ngram_size}",
        Cut.BAD_WORDS: "banned words",
        Cut.MIN_NEW_TOKENS: f"min new tokens {settings.min_new_tokens}",
        Cut.TYPICAL_P: f"typical-p {settings.typical_p:g}",
        Cut.EPSILON: f"epsilon {settings.epsilon_cutoff:g}",
        Cut.ETA: f"eta {settings.eta_cutoff:g}",
    }


def facts(shaped: ShapedDistribution) -> tuple[Fact, ...]:
    """The headline of a whole distribution."""
    return (
        Fact(
            "kept",
            f"{shaped.kept:,} of {len(shaped.ids):,} tokens",
            "How many tokens of the vocabulary can be drawn with these settings. Click to see where the rest is cut.",
        ),
        Fact(
            "mass",
            f"{shaped.kept_mass:.4f}",
            "The probability that the kept tokens had together before the cuts.\n"
            "It is shared out among them, so that they sum to 1 again.",
        ),
        *_openness(shaped.entropy, shaped.raw_entropy),
    )


def _openness(entropy: float, raw_entropy: float | None = None) -> tuple[Fact, Fact]:
    """Entropy and perplexity of what is drawn from, and of the model's own distribution where that is known."""
    rows = [("after the settings", entropy)] + ([] if raw_entropy is None else [("raw", raw_entropy)])
    raw = None if raw_entropy is None else math.exp(raw_entropy)
    values = "\n".join(
        f"{name}: {nats:.6f} nats = {nats / math.log(2):.6f} bits, perplexity {math.exp(nats):.4f}"
        for name, nats in rows
    )
    return (
        Fact(
            "entropy",
            f"{entropy:.2f} nats" + ("" if raw_entropy is None else f" (raw {raw_entropy:.2f})"),
            f"How open the choice is: H = −Σ p·ln p.\n{values}",
        ),
        Fact(
            "perplexity",
            f"{math.exp(entropy):.1f}" + ("" if raw is None else f" (raw {raw:,.1f})"),
            f"The choice is as open as a fair one among so many tokens: e^H.\n{values}",
        ),
    )


def as_generated(step: GenerationStep) -> Picture:
    """The best tokens of a step as it was generated: what is known at once, without asking the model again."""
    best = step.alternatives
    is_cut = best.probabilities <= 0
    order = np.argsort(is_cut, kind="stable")  # the kept ones first
    cut = np.where(is_cut[order], np.uint8(Cut.TOP_K), np.uint8(Cut.KEPT))
    kept = int(np.count_nonzero(~is_cut))
    ids = best.ids[order]
    texts = dict(zip(best.ids.tolist(), best.texts, strict=True))
    shaped = ShapedDistribution(
        ids=ids,
        logits=best.logits[order],
        raw_probabilities=best.raw_probabilities[order],
        probabilities=best.probabilities[order],
        cut=cut,
        kept=kept,
        kept_mass=float(best.raw_probabilities[order][:kept].sum(dtype=np.float64)),
        entropy=step.entropy,
        raw_entropy=0.0,
    )
    names = dict.fromkeys(Cut, "the settings")
    return Picture(shaped, texts.__getitem__, names, _openness(step.entropy), step.token_id)
