"""What all presenters ask their views to show: what stands in a picture's place, and numbers with names. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llmlab.workbench import ModelState, Status


class Kind(StrEnum):
    """What fills the picture."""

    READY = "ready"
    EMPTY = "empty"
    LOADING = "loading"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Stage:
    """The picture, or the words that stand in its place, with what one can do."""

    kind: Kind
    title: str = ""
    text: str = ""
    examples: tuple[str, ...] = ()  # texts that can be clicked and become the prompt
    actions: tuple[tuple[str, str], ...] = ()  # buttons: label, and the name of what it does
    fraction: float | None = None  # of the work that is being waited for


def without_model(model: ModelState, follows: str = "", hint: str = "Open one above.") -> Stage:
    """What stands there while no model is open. `follows`: what its loading brings; else how far it is."""
    if model.status is Status.LOADING:
        progress = model.progress
        words, fraction = (progress.text, progress.fraction) if progress else ("", None)
        return Stage(Kind.LOADING, "The model is being opened", follows or words, fraction=fraction)
    if model.error is not None:
        return Stage(Kind.ERROR, model.error.message, model.error.hint)
    return Stage(Kind.EMPTY, "No model is open", hint)


@dataclass(frozen=True, slots=True)
class Fact:
    """A number with its name and an explanation."""

    name: str
    value: str
    tooltip: str
