"""Inputs that make no sense, said in words."""

from __future__ import annotations

import math

from llmlab.engine.errors import InputError

MOST = 10**18  # parameters, tokens, bytes: beyond that it is a slip of the keyboard


def at_least(what: str, value: int, least: int) -> None:
    """Raise InputError for a number below `least`, or one too large to mean anything."""
    if value < least:
        raise InputError(f"{what} is {value:,}, which is not possible.", f"Give a number from {least:,} up.")
    if value > MOST:
        raise InputError(f"{what} is {value:.3g}, which no computer holds.", "Give a smaller number.")


def share(what: str, value: float) -> None:
    """Raise InputError for what is no share between 0 and 1."""
    if not (math.isfinite(value) and 0 < value <= 1):
        raise InputError(f"{what} is {value}, which is no share.", "Give a number above 0 and up to 1, such as 0.9.")
