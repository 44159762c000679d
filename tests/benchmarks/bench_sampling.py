"""What a slider move costs: shaping a captured position at a vocabulary of 152,000."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch

from llmlab.engine.context import Context
from llmlab.engine.logits import sort
from llmlab.engine.sampling import SamplingSettings, draw, shape
from llmlab.engine.waterfall import waterfall
from tests.benchmarks.measure import Row, seconds

VOCABULARY = 152_000
REPEATS = 101
FRAME = 16.7  # ms


def run() -> list[Row]:
    """Medians in milliseconds, on one thread."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(0, 3, VOCABULARY).astype(np.float32))
    captured = sort(logits, Context.of(generator.integers(0, VOCABULARY, 500)))
    cuts = SamplingSettings(temperature=0.8, top_k=2_000, top_p=0.95, min_p=0.01)
    penalty = SamplingSettings(temperature=0.8, top_p=0.95, repetition_penalty=1.2)
    typical = SamplingSettings(temperature=0.8, typical_p=0.9)
    words = SamplingSettings(
        temperature=0.8, top_p=0.95, sequence_bias=(((5,), 1.0),), bad_words_ids=((7,),), no_repeat_ngram_size=3
    )
    shaped = shape(captured, cuts)
    budget = 2.0
    return [
        _row("shape, temperature, top-k, top-p, min-p, 152k", lambda: shape(captured, cuts), budget),
        _row("shape, with a repetition penalty on 500 tokens, 152k", lambda: shape(captured, penalty), budget * 2),
        _row("shape, with typical-p, 152k", lambda: shape(captured, typical), budget * 4),
        _row("shape, with banned and biased words and n-grams, 152k", lambda: shape(captured, words), budget * 4),
        _row("waterfall of these, 152k", lambda: waterfall(captured, words), FRAME),
        _row("draw a token, 152k", lambda: draw(shaped, 0.5), None),
        _row("sort the logits once, 152k", lambda: sort(logits), None),
    ]


def _row(name: str, work: Callable[[], object], budget: float | None) -> Row:
    milliseconds = 1e3 * statistics.median(seconds(work) for _ in range(REPEATS))
    if budget is None:
        return Row(name, milliseconds, "ms", "", None)
    return Row(name, milliseconds, "ms", f"at most {budget:g} ms", milliseconds <= budget)
