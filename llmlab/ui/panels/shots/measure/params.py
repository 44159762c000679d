"""What is measured, and how it is read. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from llmlab.engine.shots.choice import Choice
from llmlab.engine.shots.plans import COUNTS
from llmlab.engine.shots.results import Score
from llmlab.engine.shots.summary import LABEL_METRICS, TEXT_METRICS, Judge, Metric

PATTERN = Judge().pattern
MOST_SEEDS = 20
MOST_ITEMS = 100_000
MOST_SHOTS = 1000


class Comparison(StrEnum):
    """What is compared over the same items."""

    SWEEP = "shots"
    ORDER = "order"
    LEAVE_ONE_OUT = "leave one out"
    SWAP = "labels exchanged"
    VARIANTS = "two variants"


@dataclass(frozen=True, slots=True)
class Params:
    """`counts`, `seeds` and `choice` are the sweep's; `items` 0: all of the test set."""

    test: Comparison = Comparison.SWEEP
    counts: tuple[int, ...] = COUNTS[:5]
    seeds: int = 3
    choice: Choice = Choice.BALANCED
    items: int = 0
    metric: Metric = Metric.ACCURACY
    score: Score = Score.SUM
    calibrate: bool = False
    pattern: str = PATTERN

    def judge(self, has_labels: bool) -> Judge:
        """How outcomes are read; a metric of the other kind gives way to the first that fits."""
        fitting = LABEL_METRICS if has_labels else TEXT_METRICS
        metric = self.metric if self.metric in fitting else fitting[0]
        return Judge(metric, self.score, self.calibrate and has_labels, self.pattern)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        default = asdict(Params())
        values = asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != default[name]
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        found: dict[str, Any] = {}
        kinds = (("test", Comparison), ("choice", Choice), ("metric", Metric), ("score", Score))
        for name, kind in kinds:
            if saved.get(name) in tuple(kind):
                found[name] = kind(saved[name])
        for name, low, high in (("seeds", 1, MOST_SEEDS), ("items", 0, MOST_ITEMS)):
            value = saved.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
                found[name] = value
        counts = saved.get("counts")
        if isinstance(counts, list) and (some := counts_of(" ".join(map(str, counts)))):
            found["counts"] = some
        if isinstance(saved.get("calibrate"), bool):
            found["calibrate"] = saved["calibrate"]
        if isinstance(saved.get("pattern"), str):
            found["pattern"] = saved["pattern"]
        return replace(cls(), **found)


def counts_of(text: str) -> tuple[int, ...]:
    """The numbers of shots in "0, 1, 2 4"; empty where something else stands there."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and len(word) < 6 and int(word) <= MOST_SHOTS for word in words):
        return ()
    return tuple(sorted({int(word) for word in words}))
