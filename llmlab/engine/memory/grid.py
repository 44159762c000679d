"""Totals over many contexts and batches at once, for contour plots and tables. Imports no torch.

The same sums as `inference` and `training`, over arrays; tests hold the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from llmlab.engine.memory.fit import MOST_SEQUENCES, MOST_TOKENS
from llmlab.engine.memory.formats import bits, cache_format
from llmlab.engine.memory.inference import PAGE, InferenceSettings, check_inference, weight_terms, working_of
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import ShardingSettings, Strategy, sharded_step
from llmlab.engine.memory.training import TrainingSettings
from llmlab.engine.types import Float64

Totals = Callable[[Float64, Float64], Float64]  # tokens, batch -> bytes, whatever their common shape


def inference_grid(
    shape: ModelShape, settings: InferenceSettings, tokens: Sequence[int], batches: Sequence[int]
) -> Float64:
    """Bytes of `inference`, float64 (batches, tokens), exact below 2⁵³. Raises InputError."""
    return _over(inference_totals(shape, settings), tokens, batches)


def training_grid(
    shape: ModelShape, settings: TrainingSettings, tokens: Sequence[int], batches: Sequence[int]
) -> Float64:
    """Bytes of `training`, float64 (batches, tokens), exact below 2⁵³. Raises InputError."""
    return _over(training_totals(shape, settings), tokens, batches)


def contours(
    shape: ModelShape,
    settings: InferenceSettings | TrainingSettings,
    memories: Sequence[int],
    batches: Sequence[int],
    most: int = MOST_TOKENS,
) -> Float64:
    """For each size of memory and each batch the most tokens that fit, whatever the architecture reads, up to `most`.

    float64 (memories, batches), 0 where not one fits: the lines of a plot of context over batch. Raises InputError.
    """
    totals = totals_of(shape, settings)
    sizes = np.asarray(batches, np.float64)[None, :]
    room = np.asarray(memories, np.float64)[:, None] + np.zeros_like(sizes)
    return _most(lambda tokens: totals(tokens, sizes), room, most)


def longest_contexts(shape: ModelShape, settings: InferenceSettings, memories: Sequence[int]) -> tuple[int | None, ...]:
    """`longest_context` for many sizes of memory at once. Raises InputError."""
    totals = inference_totals(shape, settings)
    batch = np.asarray(settings.batch, np.float64)
    found = _most(lambda tokens: totals(tokens, batch), np.asarray(memories, np.float64), shape.context or MOST_TOKENS)
    return _numbers(found)


def largest_batches(shape: ModelShape, settings: InferenceSettings, memories: Sequence[int]) -> tuple[int | None, ...]:
    """`largest_batch` for many sizes of memory at once. Raises InputError."""
    totals = inference_totals(shape, settings)
    tokens = np.asarray(settings.tokens, np.float64)
    return _numbers(_most(lambda batch: totals(tokens, batch), np.asarray(memories, np.float64), MOST_SEQUENCES))


def largest_training_batches(
    shape: ModelShape, settings: TrainingSettings, memories: Sequence[int], plan: ShardingSettings | None = None
) -> tuple[int | None, ...]:
    """`largest_training_batch` for many sizes of memory at once, also over many GPUs. Raises InputError."""
    totals = training_totals(shape, settings, plan)
    tokens = np.asarray(settings.tokens, np.float64)
    return _numbers(_most(lambda batch: totals(tokens, batch), np.asarray(memories, np.float64), MOST_SEQUENCES))


def inference_totals(shape: ModelShape, settings: InferenceSettings) -> Totals:
    """`inference(…).total` as a function of tokens and batch that takes arrays. Raises InputError."""
    check_inference(settings)
    weights = sum(
        term.bytes for term in weight_terms(shape, settings.dtype, settings.quantization, double=settings.double)
    )
    windows: dict[int | None, int] = {}
    for own, elements in shape.windows.items():
        window = None if settings.convention == "paged" else own
        windows[window] = windows.get(window, 0) + elements
    source = settings.source_tokens if shape.encodes_first else 0
    working = working_of(shape, settings)
    crossed = sum(shape.windows.values()) if source else 0

    def totals(tokens: Float64, batch: Float64) -> Float64:
        paged = np.ceil(tokens / PAGE) * PAGE if settings.convention == "paged" else tokens
        held: Float64 = np.full(np.broadcast(tokens, batch).shape, float(weights))
        for window, elements in windows.items():
            kept = paged if window is None else np.minimum(tokens, max(window - 1, 0))
            held = held + _stored(elements, kept, batch, settings.cache_dtype)
        if crossed:
            held = held + _stored(crossed, np.asarray(source, np.float64), batch, settings.cache_dtype)
        read = np.maximum(np.maximum(tokens, source), 1)
        if settings.prefill is not None:
            read = np.minimum(read, settings.prefill)
        seen = np.maximum(source or tokens, read)
        held = held + np.maximum(working.in_mlp(batch, read, seen), working.in_attention(batch, read, seen))
        held = held + working.always(read, seen)
        held = held + batch * (read if settings.all_logits else 1) * shape.vocabulary * _logit_width(settings.dtype)
        return np.asarray(held + settings.cuda_context + np.rint(held * settings.margin))

    return totals


def totals_of(shape: ModelShape, settings: InferenceSettings | TrainingSettings) -> Totals:
    """The total of a run or of a training step, whichever `settings` are about. Raises InputError."""
    if isinstance(settings, InferenceSettings):
        return inference_totals(shape, settings)
    return training_totals(shape, settings)


def training_totals(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings | None = None) -> Totals:
    """`training(…).total`, or `sharded_training(…).total`, as a function of arrays. Raises InputError."""
    step = sharded_step(shape, settings, plan or ShardingSettings(1, Strategy.DDP))

    def totals(tokens: Float64, batch: Float64) -> Float64:
        held = step.held(batch, tokens)
        return np.asarray(held + settings.cuda_context + np.rint(held * settings.margin))

    return totals


def _over(totals: Totals, tokens: Sequence[int], batches: Sequence[int]) -> Float64:
    return totals(np.asarray(tokens, np.float64)[None, :], np.asarray(batches, np.float64)[:, None])


def _logit_width(dtype: str) -> int:
    width = max(2, bits(dtype) // 8)
    return width + 4 if width < 4 else 4


def _stored(elements: int, tokens: Float64, batch: Float64, cache_dtype: str) -> Float64:
    kind = cache_format(cache_dtype)
    recent = np.minimum(tokens, kind.recent)
    return np.asarray(np.ceil(batch * elements * ((tokens - recent) * kind.bits + recent * 16) / 8), np.float64)


def _numbers(found: Float64) -> tuple[int | None, ...]:
    return tuple(int(value) or None for value in found)


def _most(total: Callable[[Float64], Float64], room: Float64, limit: int) -> Float64:
    """For each memory the largest number from 1 to `limit` whose total fits, else 0, by bisection of all at once."""
    low, high = np.zeros(room.shape), np.full(room.shape, limit + 1.0)
    for _ in range(math.ceil(math.log2(limit + 1)) + 1):
        middle = np.floor((low + high) / 2)
        fits = (total(np.maximum(middle, 1)) <= room) & (middle >= 1)
        low = np.where(fits, np.maximum(middle, low), low)
        high = np.where(fits, high, np.minimum(high, np.maximum(middle, 1)))
    return low
