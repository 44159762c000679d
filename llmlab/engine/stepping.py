"""The loop that everything goes through which comes step by step out of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from llmlab.engine.errors import InputError
from llmlab.engine.progress import Control
from llmlab.engine.reading import guarded

Step = TypeVar("Step")
Made = TypeVar("Made", covariant=True)


class Stepwise(Protocol[Made]):
    """Something that comes in steps."""

    def begin(self, control: Control) -> None:
        """What comes before the first step."""

    def step(self) -> Made:
        """The next step."""

    def end(self) -> None:
        """Nobody wants another step."""

    def drop(self) -> None:
        """Let go of every tensor: there was not enough memory."""


def stepwise(work: Stepwise[Step], last: Callable[[Step], object], control: Control) -> Iterator[Step]:
    """The steps of `work`, until one is the `last`. Raises OutOfMemoryError, and Cancelled between two of them."""
    # Inference mode belongs to the thread: it must not stay on while the caller has the step in hand.
    guarded(lambda: work.begin(control), work.drop)
    try:
        while True:
            control.check()
            step = guarded(work.step, work.drop)
            yield step
            if last(step):
                return
    finally:
        work.end()


class Choosing:
    """Says with an InputError which token of the completion it kept from being chosen.

    A class because it is entered for every token: a generator's context manager takes several times as long.
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            raise InputError(f"Token {self._index + 1:,} cannot be chosen. {error.message}", error.hint) from None
