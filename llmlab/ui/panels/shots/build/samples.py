"""The sample sets that come with the program. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmlab.engine.datasets.project import SUFFIX
from llmlab.paths import resources

FIRST = "invented-labels"
# In the order of the menu: (file, name, what it shows).
_SAMPLES = (
    (FIRST, "Invented labels", "Only the shots tell what the labels mean"),
    ("sentiment", "Sentiment", "The labels say what they mean: no shot is needed"),
    ("topic", "Topic", "Animal or food"),
    ("question-type", "Question type", "Never trained, and not learned from shots"),
    ("number-words", "Sums in words", "Two fields and a free answer"),
    ("lookup", "Code words", "The answer stands among the shots and is looked up"),
    ("summary", "Summary", "For the sequence-to-sequence model"),
    ("girl-or-boy", "Girl or boy?", "A gap to fill, for the encoder-only model"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A project file, its name, and what it shows."""

    path: Path
    name: str
    tooltip: str


def samples() -> tuple[Sample, ...]:
    """All of them."""
    folder = resources() / "shots"
    return tuple(Sample(folder / f"{file}{SUFFIX}", name, tooltip) for file, name, tooltip in _SAMPLES)


def sample(name: str) -> Path:
    """The file of one of them."""
    return resources() / "shots" / f"{name}{SUFFIX}"
