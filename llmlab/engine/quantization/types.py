"""What the quantization laboratory answers. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.types import Bool, Float64, Int32, Int64

MOST_NEW_TOKENS = 512


def decibels(signal: float, noise: float) -> float:
    """10·log₁₀(signal / noise); infinite where there is no noise."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class MatrixDamage:
    """What a scheme does to one weight matrix (outputs, inputs).

    `bytes_before` as it is in memory now, `bytes` as the scheme stores it, scales and codebooks included.
    `signal` is Σ w², `noise` Σ (w − ŵ)², both in float64; `largest` is max |w|, `max_error` max |w − ŵ|.
    """

    name: str
    outputs: int
    inputs: int
    bytes_before: int
    bytes: int
    signal: float
    noise: float
    largest: float
    max_error: float

    @property
    def elements(self) -> int:
        """Weights of the matrix."""
        return self.outputs * self.inputs

    @property
    def sqnr(self) -> float:
        """Signal-to-quantization-noise ratio in dB: 10·log₁₀(Σ w² / Σ (w − ŵ)²); infinite where nothing is lost."""
        return decibels(self.signal, self.noise)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per weight, scales and codebooks included."""
        return 8 * self.bytes / self.elements


@dataclass(frozen=True, slots=True)
class Kept:
    """Parameters that the scheme leaves as they are, and why, as a clause: “the output layer”."""

    reason: str
    names: tuple[str, ...]
    elements: int


@dataclass(frozen=True, slots=True)
class WeightDamage:
    """What a scheme does to all weights. `bytes_before` and `bytes` are of the whole model, buffers included."""

    scheme: Scheme
    matrices: tuple[MatrixDamage, ...]
    kept: tuple[Kept, ...]
    bytes_before: int
    bytes: int

    @property
    def sqnr(self) -> float:
        """Of all quantized matrices together, in dB."""
        return decibels(sum(m.signal for m in self.matrices), sum(m.noise for m in self.matrices))

    @property
    def max_error(self) -> float:
        """The largest error of any weight."""
        return max((m.max_error for m in self.matrices), default=0.0)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per quantized weight, scales and codebooks included."""
        elements = sum(m.elements for m in self.matrices)
        return 8 * sum(m.bytes for m in self.matrices) / elements if elements else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MatrixDetail:
    """One matrix under a scheme, as histograms.

    `edges` float64 (bins + 1,) and `counts` int64 (bins,) of the weights; where the scheme has `levels`, weights are
    divided by the largest of those that share their scale, so that all lie in −1…1, and `levels` float64 (levels,) are
    the values left in that unit, ascending, with `level_counts` int64 (levels,) how many weights each one takes.
    `error_edges` and `error_counts` are those of ŵ − w, in the weights' own unit.
    """

    damage: MatrixDamage
    scheme: Scheme
    edges: Float64
    counts: Int64
    levels: Float64
    level_counts: Int64
    error_edges: Float64
    error_counts: Int64

    @property
    def is_scaled(self) -> bool:
        """Whether the weights' histogram is in units of their scale."""
        return len(self.levels) > 0

    @property
    def entropy(self) -> float:
        """Bits of information in the levels taken: −Σ p·log₂ p; at most the bits they are stored in."""
        shares = self.level_counts[self.level_counts > 0] / max(1, int(self.level_counts.sum()))
        return float(-(shares * np.log2(shares)).sum()) if len(shares) else 0.0


@dataclass(frozen=True, slots=True)
class CopyCost:
    """What a second copy of the model would take. `bytes` beside the one in use, `available` where it would lie."""

    bytes: int
    available: int
    device: str

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.bytes <= self.available


@dataclass(frozen=True, slots=True, eq=False)
class TextDamage:
    """How the next-token distributions of two models differ over a text. Arrays (positions,), one per predicted token.

    `ids` int32 are the tokens predicted, `tokens` as text; `before` is what precedes the first of them.
    `divergence` float64 is KL(reference ‖ candidate) = Σ p·(log p − log q) over the whole vocabulary, in nats;
    `log_probabilities…` float64 the log-probability that each gives the token that stands there; `best…` the token each
    finds most probable. `read…` are tokens read per second, the two models in turn.
    """

    before: tuple[str, ...]
    ids: Int32
    tokens: tuple[str, ...]
    divergence: Float64
    log_probabilities: Float64
    log_probabilities_after: Float64
    best: tuple[str, ...]
    best_after: tuple[str, ...]
    agrees: Bool
    windows: int
    window: int
    how: str
    read_per_second: float
    read_per_second_after: float

    @property
    def mean_divergence(self) -> float:
        """Mean KL divergence in nats."""
        return float(self.divergence.mean())

    @property
    def agreement(self) -> float:
        """Share of positions at which both find the same token most probable."""
        return float(self.agrees.mean())

    @property
    def perplexity(self) -> float:
        """exp(−mean log-probability) of the reference; a pseudo-perplexity where tokens are masked one by one."""
        return math.exp(min(700.0, -float(self.log_probabilities.mean())))

    @property
    def perplexity_after(self) -> float:
        """That of the candidate."""
        return math.exp(min(700.0, -float(self.log_probabilities_after.mean())))


@dataclass(frozen=True, slots=True)
class Written:
    """A greedy completion, token by token: ids, what each adds to the text, and its readable name.

    A special token adds nothing, nor does one that leaves a character incomplete. `finish_reason` is "eos", "length" or
    "context".
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    names: tuple[str, ...]
    finish_reason: str

    @property
    def text(self) -> str:
        """The completion."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The greedy completions of both, and the number of the first token that differs; None where none does.

    `per_second…` are decoded tokens per second, the median over steps in which the two took turns; None where there
    were too few.
    """

    prompt: str
    reference: Written
    candidate: Written
    first_difference: int | None
    per_second: float | None
    per_second_after: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a scheme did to the model in use. `bytes` of all tensors of the copy, `bytes_before` of the model in use.

    Of a scheme that is only simulated `bytes` is what it would store, and there is no speed to speak of.
    `side_by_side` is None where the architecture writes no texts.
    """

    scheme: Scheme
    bytes_before: int
    bytes: int
    text: TextDamage
    side_by_side: SideBySide | None


@dataclass(frozen=True, slots=True)
class Question:
    """What both models are asked: `text` to compare distributions over, `prompt` to go on from, how far.

    Of an encoder-decoder model the answer to `text` is what the model in use writes. Raises InputError.
    """

    text: str
    prompt: str
    max_new_tokens: int = 48

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not self.text.strip():
            raise InputError(
                "There is no text to compare the models over.", "Type a prompt, or choose the sample text."
            )
        if not 1 <= self.max_new_tokens <= MOST_NEW_TOKENS:
            raise InputError(
                f"{self.max_new_tokens:,} new tokens are not possible here.",
                f"Choose from 1 to {MOST_NEW_TOKENS} tokens.",
            )
