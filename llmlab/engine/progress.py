"""How long work reports where it stands and learns that nobody wants it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a piece of work stands. `fraction` is 0…1, or None while the total is unknown."""

    text: str
    fraction: float | None = None


class Control(Protocol):
    """What the engine may ask of whoever started it."""

    def check(self) -> None:
        """Raise `Cancelled` if the work is no longer wanted. Called at every step, layer, tile or block."""

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say where the work stands."""


class Uncontrolled:
    """For scripts: nothing is ever cancelled, and nobody listens."""

    def check(self) -> None:
        """Never raises."""

    def report(self, text: str, fraction: float | None = None) -> None:
        """Goes nowhere."""


UNCONTROLLED = Uncontrolled()
