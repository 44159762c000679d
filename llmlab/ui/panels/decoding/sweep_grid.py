"""A grid over two settings: which texts are wanted, what came of them, and the measures of each cell. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.text_metrics import distinct_n, repeated, self_bleu
from llmlab.engine.types import GenerationStep

MOST_VALUES = 8
MOST_SEEDS = 16
MOST_TEXTS = 512
REPEATED = 3
SMALLEST = 1e-300
WHOLE = frozenset(("top_k", "no_repeat_ngram_size", "min_new_tokens"))

# The knobs that can be an axis: label, and the values that are offered.
AXES: dict[str, tuple[str, tuple[float, ...]]] = {
    "temperature": ("Temperature", (0.3, 0.7, 1.0, 1.5)),
    "top_p": ("Top-p", (0.5, 0.8, 0.95, 1.0)),
    "top_k": ("Top-k", (5, 20, 100, 0)),
    "min_p": ("Min-p", (0.0, 0.02, 0.1, 0.3)),
    "typical_p": ("Typical-p", (0.2, 0.5, 0.9, 1.0)),
    "repetition_penalty": ("Repetition penalty", (1.0, 1.1, 1.3, 1.6)),
    "no_repeat_ngram_size": ("No-repeat n-gram", (0, 2, 3, 4)),
    "presence_penalty": ("Presence penalty", (0.0, 0.5, 1.0, 2.0)),
    "frequency_penalty": ("Frequency penalty", (0.0, 0.5, 1.0, 2.0)),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """A knob with the values it takes."""

    knob: str
    values: tuple[float, ...]

    @property
    def label(self) -> str:
        """Its name on screen."""
        return AXES[self.knob][0]

    def words(self, index: int) -> str:
        """One of its values."""
        return f"{self.values[index]:g}"


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns × rows × seeds."""

    columns: Axis
    rows: Axis
    seeds: int

    @property
    def cells(self) -> int:
        """How many cells."""
        return len(self.columns.values) * len(self.rows.values)

    def settings(self, base: GenerationSettings) -> list[GenerationSettings]:
        """The settings of every text, cell after cell, row after row; seeds count up from the base's."""
        return [
            replace(
                base, sampling=replace(base.sampling, do_sample=True, **self._knobs(row, column)), seed=base.seed + i
            )
            for row in self.rows.values
            for column in self.columns.values
            for i in range(self.seeds)
        ]

    def _knobs(self, row: float, column: float) -> dict[str, Any]:
        pairs = ((self.columns.knob, column), (self.rows.knob, row))
        return {knob: int(value) if knob in WHOLE else float(value) for knob, value in pairs}


@dataclass(slots=True, eq=False)
class SweptText:
    """One text of a cell."""

    seed: int
    ids: list[int] = field(default_factory=list)
    text: str = ""
    log_probability: float = 0.0  # the model's own
    entropy: float = 0.0  # the sum over its places, after the settings
    finish_reason: str | None = None

    def add(self, step: GenerationStep) -> None:
        """One more token."""
        self.ids.append(step.token_id)
        self.text += step.text
        self.log_probability += math.log(max(step.raw_probability, SMALLEST))
        self.entropy += step.entropy
        self.finish_reason = step.finish_reason


Texts = Sequence[SweptText]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _distinct(texts: Texts) -> float | None:
    return _mean([share for text in texts if (share := distinct_n(text.ids, 2)) is not None])


def _repeated(texts: Texts) -> float | None:
    return _mean([sum(repeated(text.ids, REPEATED)) / len(text.ids) for text in texts if text.ids])


# What a cell can be coloured by: label, how it is written, what it tells, and how it comes from the cell's texts.
METRICS: dict[str, tuple[str, str, str, Callable[[Texts], float | None]]] = {
    "distinct_2": (
        "distinct-2",
        "{:.2f}",
        "Different pairs of tokens over all pairs, the mean of the texts",
        _distinct,
    ),
    "self_bleu": (
        "self-BLEU",
        "{:.2f}",
        "How alike the texts of a cell are: 1 where all are the same. Needs two seeds",
        lambda texts: self_bleu([text.ids for text in texts]),
    ),
    "log_probability": (
        "mean ln p",
        "{:.2f}",
        "The model's own log-probability per token, before all settings",
        lambda texts: _mean([text.log_probability / len(text.ids) for text in texts if text.ids]),
    ),
    "entropy": (
        "entropy",
        "{:.2f}",
        "How open the choice was on the way, after the settings: nats per token",
        lambda texts: _mean([text.entropy / len(text.ids) for text in texts if text.ids]),
    ),
    "repetition": ("repetition", "{:.0%}", "Tokens that are part of three in a row which came before", _repeated),
    "length": ("length", "{:.0f}", "Tokens of a text", lambda texts: _mean([float(len(text.ids)) for text in texts])),
}


@dataclass(slots=True, eq=False)
class Swept:
    """All texts of a grid, as far as they have come."""

    grid: Grid
    prompt: str
    base: GenerationSettings
    texts: list[SweptText] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.texts = [SweptText(settings.seed) for settings in self.grid.settings(self.base)]

    def cell(self, row: int, column: int) -> list[SweptText]:
        """The texts of one cell."""
        first = (row * len(self.grid.columns.values) + column) * self.grid.seeds
        return self.texts[first : first + self.grid.seeds]

    def finished(self, row: int, column: int) -> bool:
        """Whether all texts of a cell have come to their end."""
        return all(text.finish_reason is not None for text in self.cell(row, column))

    def value(self, metric: str, row: int, column: int) -> float | None:
        """A measure of a cell; None while it is made, or where it has none."""
        return METRICS[metric][3](self.cell(row, column)) if self.finished(row, column) else None


def values_of(text: str, knob: str) -> tuple[float, ...] | None:
    """The numbers that were typed, each once; None where they are no values of `knob`."""
    try:
        numbers = tuple(dict.fromkeys(float(word) for word in text.replace(",", " ").split()))
    except ValueError:
        return None
    whole = knob not in WHOLE or all(number.is_integer() for number in numbers if math.isfinite(number))
    good = 1 <= len(numbers) <= MOST_VALUES and all(map(math.isfinite, numbers)) and whole
    return numbers if good else None
