"""What fits on a GPU: by search over the exact sums, never by a formula of its own. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.training import TrainingSettings, training

# dtype, quantization, double: from no loss to the most. GGUF types by their bits per weight.
PRECISIONS: tuple[tuple[str, str | None, bool], ...] = (
    ("float32", None, False),
    ("bfloat16", None, False),
    ("bfloat16", "Q8_0", False),
    ("bfloat16", "int8", False),
    ("bfloat16", "Q6_K", False),
    ("bfloat16", "Q5_K_M", False),
    ("bfloat16", "Q4_K_M", False),
    ("bfloat16", "nf4", False),
    ("bfloat16", "nf4", True),
    ("bfloat16", "Q3_K_S", False),
    ("bfloat16", "Q2_K", False),
    ("bfloat16", "IQ1_S", False),
)
MOST_TOKENS = 2**30  # an end for the search where nothing else ends it
MOST_SEQUENCES = 2**24


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether something fits: `needs` of `has` bytes."""

    gpu: Gpu
    needs: int
    has: int

    @property
    def fits(self) -> bool:
        """Whether it needs no more than there is."""
        return self.needs <= self.has

    @property
    def headroom(self) -> int:
        """Bytes that stay free; below 0, bytes that are missing."""
        return self.has - self.needs


def fit(needs: int, gpu: Gpu) -> Fit:
    """`needs` bytes on a GPU. Raises InputError."""
    at_least("The memory that is needed", needs, 0)
    return Fit(gpu, needs, gpu.memory)


def fits(needs: int, gpus: Iterable[Gpu]) -> tuple[Fit, ...]:
    """`needs` on each kind of GPU."""
    return tuple(fit(needs, one) for one in gpus)


def longest_context(shape: ModelShape, settings: InferenceSettings, memory: int) -> int | None:
    """The most tokens that fit in `memory` bytes, at most what the architecture reads; None if not even one fits."""
    most = shape.context or MOST_TOKENS
    return _most(lambda tokens: inference(shape, replace(settings, tokens=tokens)).total <= memory, most)


def largest_batch(shape: ModelShape, settings: InferenceSettings, memory: int) -> int | None:
    """The most sequences of `settings.tokens` that fit in `memory` bytes; None if not even one fits."""
    return _most(lambda batch: inference(shape, replace(settings, batch=batch)).total <= memory, MOST_SEQUENCES)


def largest_training_batch(shape: ModelShape, settings: TrainingSettings, memory: int) -> int | None:
    """The most sequences that can be trained on at once in `memory` bytes; None if not even one fits."""
    return _most(lambda batch: training(shape, replace(settings, batch=batch)).total <= memory, MOST_SEQUENCES)


def best_precision(shape: ModelShape, settings: InferenceSettings, memory: int) -> InferenceSettings | None:
    """`settings` with the precision that loses least and fits in `memory` bytes; None if none does."""
    for dtype, quantization, double in PRECISIONS:
        tried = replace(settings, dtype=dtype, quantization=quantization, double=double)
        if inference(shape, tried).total <= memory:
            return tried
    return None


def context_at_batch(
    shape: ModelShape, settings: InferenceSettings, memory: int, batches: Iterable[int]
) -> tuple[tuple[int, int | None], ...]:
    """For every batch the longest context that fits: the line of one GPU in a plot of context over batch."""
    return tuple((batch, longest_context(shape, replace(settings, batch=batch), memory)) for batch in batches)


def _most(fitting: Callable[[int], bool], limit: int) -> int | None:
    """The largest number from 1 to `limit` that fits, where all smaller ones fit as well."""
    if not fitting(1):
        return None
    low, high = 1, 2
    while high <= limit and fitting(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fitting(middle) else (low, middle)
    return low
