"""Contextual calibration (Zhao et al. 2021, “Calibrate Before Use”, section 5). No torch.

A prompt whose query says nothing should find all labels equally probable. How far it does not is p_cf; with
W = diag(p_cf)⁻¹ and b = 0 the calibrated probabilities are W p + b, brought back to a sum of 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmlab.engine.shots.results import LabelScores, Score
from llmlab.engine.shots.types import Example
from llmlab.engine.types import Float64

CONTENT_FREE = ("N/A", "", "[MASK]")  # the paper's own; their probabilities are averaged
_TINY = 1e-300


def content_free(query: Example) -> tuple[Example, ...]:
    """The query three times, with every field replaced by a text that says nothing."""
    return tuple(
        Example(tuple((name, text) for name, _ in query.fields), query.output, choices=query.choices)
        for text in CONTENT_FREE
    )


def content_free_probabilities(scores: Sequence[LabelScores], kind: Score = Score.SUM) -> Float64:
    """p_cf, float64 (labels,): the mean of what the content-free prompts say, each renormalised over the labels."""
    return np.asarray(np.mean([each.probabilities(kind) for each in scores], axis=0), np.float64)


def calibrated(probabilities: Float64, p_cf: Float64) -> Float64:
    """diag(p_cf)⁻¹ p, renormalised; both float64 (..., labels)."""
    weighted = probabilities / np.maximum(p_cf, _TINY)
    return np.asarray(weighted / weighted.sum(-1, keepdims=True), np.float64)
