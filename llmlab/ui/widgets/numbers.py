"""Exact numbers in as little room as they need. No Qt."""

from __future__ import annotations

import math

SMALLEST_FIXED = 1e-4  # below it four decimals would show nothing


def probability(value: float) -> str:
    """0.1234, or 3.1e-07 where four decimals would not tell it from nothing."""
    if value == 0:
        return "0"
    return f"{value:.4f}" if value >= SMALLEST_FIXED else f"{value:.1e}"


def exact(value: float) -> str:
    """All digits that a float32 holds."""
    return f"{value:.9g}"


def log_probability(value: float) -> str:
    """Its natural logarithm, -∞ for 0."""
    return f"{math.log(value):.4f}" if value > 0 else "-∞"


def probability_of(log_probability: float) -> str:
    """The probability whose natural logarithm is given, as `probability` shows it."""
    return probability(math.exp(max(log_probability, -700.0)))


def axis_limit(largest: float) -> float:
    """The end of a probability axis: the next of 1, 2, 5 × 10ⁿ that `largest` fits under, at most 1."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return min(1.0, next(power * step for step in (1, 2, 5, 10) if largest <= power * step * (1 + 1e-6)))
