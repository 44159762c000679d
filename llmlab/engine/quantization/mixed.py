"""Mixed precision: which matrices to keep in 16 bits, and what that saves in damage. Imports no torch.

Greedy: the matrices whose damage, measured one by one, is largest for the bytes that keeping them takes come first.
The sum of the single damages is a prediction; it is exact only where errors neither add up nor cancel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.quantization.parts import Part, PartDamage, Shift
from llmlab.engine.types import Float64

_SIXTEEN = 2  # bytes of a weight in 16 bits


@dataclass(frozen=True, slots=True)
class Ranked:
    """A matrix, what it costs when it alone is quantized, and the bytes that keeping it in 16 bits takes more."""

    part: Part
    divergence: float
    extra_bytes: int

    @property
    def gain(self) -> float:
        """Nats a token saved for each MB (10⁶ bytes)."""
        return self.divergence / self.extra_bytes * 1e6


@dataclass(frozen=True, slots=True)
class Mixed:
    """A model whose first `kept` matrices stay in 16 bits, the others quantized: `bytes` of it all, and its damage."""

    kept: int
    bytes: int
    shift: Shift


def sixteen_bits(dtype: str) -> str:
    """The format of what is kept: the model's own where that has 16 bits, else bfloat16."""
    return dtype if dtype in ("float16", "bfloat16") else "bfloat16"


def ranked(damages: Iterable[PartDamage]) -> tuple[Ranked, ...]:
    """Matrices in the order in which they are worth keeping. Raises InputError where the scheme saves nothing."""
    found = [Ranked(each.part, each.divergence, _SIXTEEN * each.elements - each.bytes) for each in damages]
    if any(each.extra_bytes <= 0 for each in found):
        raise InputError(
            "This scheme takes no less than 16 bits a weight, so there is nothing to keep in 16 bits.",
            "Choose one with 8 bits or fewer.",
        )
    return tuple(sorted(found, key=lambda each: -each.gain))


def predicted(order: Sequence[Ranked]) -> Float64:
    """The sum of the single damages of what is still quantized when 0, 1, 2 … matrices are kept; (matrices + 1,)."""
    rest = np.cumsum([each.divergence for each in reversed(order)])[::-1] if order else np.empty(0)
    return np.append(rest, 0.0)


def bytes_kept(order: Sequence[Ranked], start: int) -> Float64:
    """Bytes of the model when 0, 1, 2 … matrices are kept, of `start` when none is; (matrices + 1,)."""
    return start + np.append(0.0, np.cumsum([each.extra_bytes for each in order]))


def some_counts(matrices: int) -> tuple[int, ...]:
    """0, 1, 2, 4, 8 … and all: how many to keep for a curve of a few points."""
    powers = [2**power for power in range(matrices.bit_length()) if 2**power < matrices]
    return tuple(sorted({0, *powers, matrices}))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's ρ: Pearson's correlation of the ranks, of equal values the mean rank; None where one is constant."""
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (first, second)]
    centred = [values - values.mean() for values in ranks if len(values)]
    lengths = [float(np.sqrt((values**2).sum())) for values in centred]
    if len(centred) < 2 or min(lengths) == 0:
        return None
    return float(np.clip((centred[0] * centred[1]).sum() / (lengths[0] * lengths[1]), -1.0, 1.0))


def _ranks(values: Float64) -> Float64:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group], np.float64)
