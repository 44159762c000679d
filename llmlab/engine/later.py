"""What is worked out when somebody first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Later(Generic[Found]):
    """The result of `work`, which is done once, in the thread that first asks. Two that ask at once find the same."""

    __slots__ = ("_found", "_work")

    _found: Found

    def __init__(self, work: Callable[[], Found]) -> None:
        self._work: Callable[[], Found] | None = work

    @classmethod
    def known(cls, found: Found) -> Later[Found]:
        """What needs no work any more."""
        later = cls(lambda: found)
        later()
        return later

    def __call__(self) -> Found:
        """The result. What `work` raises is raised, and it is tried again when asked again."""
        work = self._work
        if work is not None:
            self._found = work()
            self._work = None  # with all that it holds
        return self._found
