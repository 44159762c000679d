"""The life that the presenters of all panels share. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from llmlab.ui.asking import Asking
from llmlab.ui.panel import PanelContext


class Params(Protocol):
    """A panel's settings."""

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""


class Closing(Protocol):
    """Part of a presenter."""

    def close(self) -> None:
        """Deliver nothing more."""


class PanelPresenter:
    """Comes to the front and goes, keeps its settings, and lets go of everything at the end.

    While another panel is in front (`_active` is False) no new work is started.
    """

    params: Params

    def __init__(self, context: PanelContext, asking: Asking | None = None) -> None:
        """`asking`: what has the panel's work done, if it is more than the usual one."""
        self._workbench = bench = context.workbench
        self.asking = asking or Asking(context.jobs, context.notifier, lambda: bench.model.generation)
        self._active = False
        self._disconnect: tuple[Callable[[], None], ...] = ()  # from the workbench

    @property
    def in_front(self) -> bool:
        """Whether the panel is the one that is seen."""
        return self._active

    def activate(self) -> None:
        """The panel is in front: find out what has changed meanwhile."""
        self._active = True
        self._catch_up()

    def deactivate(self) -> None:
        """Another panel is in front: start no new work."""
        self._active = False

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Stop all work, deliver nothing more."""
        for owner in (self, self.asking):
            self.asking.forget(owner)
        for part in self._own_parts():
            part.close()
        for disconnect in self._disconnect:
            disconnect()

    def use_example(self, text: str) -> None:
        """Make a sample the prompt."""
        self._workbench.prompt = text

    def _catch_up(self) -> None:
        """Ask for what is wanted and not there."""

    def _own_parts(self) -> Iterable[Closing]:
        """What ends with the panel."""
        return ()
