"""What the presenter asks the view to show besides the tabs: frozen values, no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llmlab.ui.screen import Fact, Stage


class Act(StrEnum):
    """What a button in the picture's place does."""

    KEEP_BEGINNING = "keep the beginning"
    KEEP_END = "keep the end"
    READ_ALL = "read all layers"
    READ_ONE = "read one layer"
    RETRY = "try again"


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be chosen for this model and text."""

    kinds: tuple[str, ...] = ()
    pair: bool = False  # an encoder reads two sentences
    target: bool = False  # a decoder reads a text of its own
    completion: bool = False  # something was generated from this prompt
    padding: bool = False
    repeats: bool = False  # heads can be tested on random tokens that repeat


@dataclass(frozen=True, slots=True)
class Steps:
    """The tokens that were generated. `first`: the query row from which the first of `count` came; `current`: which
    one's row is pinned, None for none or several; `token`: which it is; `text`: what that means.
    """

    first: int
    count: int
    current: int | None = None
    token: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything but the tabs: cheap to make, compared as a whole."""

    stage: Stage
    offer: Offer = Offer()
    notes: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()  # of the head in focus: its scores
    title: str = ""  # of the head in focus
    kind: str = "self"  # of the attention in focus
    steps: Steps | None = None
