"""What stands before a position: the tokens that penalties, bans and minimum lengths look at. Numpy only."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from llmlab.engine.types import Int32


def _none() -> Int32:
    return np.empty(0, np.int32)


@dataclass(frozen=True, eq=False)
class Context:
    """The tokens before a position.

    `ids` int32 (tokens,) are those the model has read, or its decoder where it has an encoder, in order; the first
    `given` of them were not generated. `source` int32 (n,), ascending, each once: what the encoder has read, or the
    prompt where there is no encoder. `ends` end a text.
    """

    ids: Int32 = field(default_factory=_none)
    given: int = 0
    source: Int32 = field(default_factory=_none)
    ends: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        ids: Iterable[int],
        given: int | None = None,
        source: Iterable[int] | None = None,
        ends: Iterable[int] = (),
    ) -> Context:
        """Of `ids` in order, all of them given unless `given` says how many; `source` is the given ones if None."""
        tokens = np.fromiter(ids, np.int32)
        given = len(tokens) if given is None else given
        read = unique(tokens[:given].tolist() if source is None else source)
        return cls(tokens, given, read, tuple(sorted(ends)))

    def with_id(self, new: int) -> Context:
        """With one more token, which was generated."""
        ids = np.empty(len(self.ids) + 1, np.int32)
        ids[:-1], ids[-1] = self.ids, new
        return Context(ids, self.given, self.source, self.ends)

    @functools.cached_property
    def unique(self) -> Int32:
        """`ids`, ascending, each once."""
        return np.unique(self.ids)

    @property
    def generated(self) -> Int32:
        """The generated tokens in order, int32 (n,)."""
        return self.ids[self.given :]


NOTHING = Context()


def unique(ids: Iterable[int]) -> Int32:
    """Each id once, ascending."""
    return np.unique(np.fromiter(ids, np.int32))
