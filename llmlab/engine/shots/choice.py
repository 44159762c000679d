"""Which examples become the shots, and in which order. No torch: nearness comes as a ranking."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from itertools import chain, zip_longest

from llmlab.engine.shots.types import Example
from llmlab.engine.types import Int64


class Choice(StrEnum):
    """How shots are chosen from the examples."""

    TICKED = "as ticked"  # the ticked ones, in their order
    FIRST = "first"
    RANDOM = "random"
    BALANCED = "balanced by label"  # as many of each label as can be, in random order
    NEAREST = "nearest to the query"  # by the model's own hidden states, the nearest one last (Liu et al. 2022)

    @property
    def drawn(self) -> bool:
        """Whether a seed makes a difference."""
        return self in (Choice.RANDOM, Choice.BALANCED)


def choose(pool: Sequence[Example], count: int, how: Choice, seed: int = 0) -> tuple[int, ...]:
    """The places in `pool` of up to `count` shots. Not for NEAREST, which differs from query to query.

    With the same seed fewer shots are the beginning of more, so that only what is added makes the difference.
    """
    if how is Choice.TICKED:
        return tuple(place for place, example in enumerate(pool) if example.included)[:count]
    if how is Choice.FIRST:
        return tuple(range(min(count, len(pool))))
    places = list(range(len(pool)))
    random.Random(seed).shuffle(places)
    if how is Choice.BALANCED:
        places = _in_turns(pool, places)
    return tuple(places[:count])


def nearest(ranking: Int64, count: int) -> tuple[int, ...]:
    """Of one query, the `count` nearest, nearest last; `ranking` int64 (pool,) names them nearest first."""
    return tuple(int(place) for place in reversed(ranking[:count].tolist()))


def _in_turns(pool: Sequence[Example], places: Sequence[int]) -> list[int]:
    """One of each label in turn, as far as there are some."""
    by_label: dict[str, list[int]] = {}
    for place in places:
        by_label.setdefault(pool[place].output, []).append(place)
    return [place for place in chain.from_iterable(zip_longest(*by_label.values())) if place is not None]
