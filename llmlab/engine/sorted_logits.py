"""A position's logits, sorted once, and the repetition penalty, which moves only a few of them. Numpy only."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.context import NOTHING, Context
from llmlab.engine.errors import InputError
from llmlab.engine.types import Bool, Float32, Int32, Int64


class SortedLogits:
    """One position's logits, sorted once: at once, or when somebody first looks at them.

    `ids` int32 (vocabulary,) and `logits` float32 (vocabulary,), highest first, the higher id first among equals:
    the reverse of the stable ascending sort from which transformers' top-p decides which of two equals goes.
    `context` is what stands before the position.
    """

    __slots__ = ("_best", "_order", "_sorted", "_unsorted", "context", "size")

    def __init__(self, ids: Int32, logits: Float32, context: Context = NOTHING) -> None:
        self._sorted: tuple[Int32, Float32] | None = (ids, logits)
        self._unsorted: Float32 | None = None
        self._order: Callable[[Float32], Int32] = descending
        self._best: int | None = None
        self.context = context
        self.size = len(ids)

    @classmethod
    def from_logits(cls, logits: Float32, context: Context | Iterable[int] = NOTHING) -> SortedLogits:
        """Sort `logits` float32 (vocabulary,), which follow the tokens `context`.

        Raises InputError where no token can be told from them.
        """
        logits = np.asarray(logits, np.float32)
        ids = descending(logits)
        return cls.checked(ids, logits[ids], context if isinstance(context, Context) else Context.of(context))

    @classmethod
    def checked(cls, ids: Int32, logits: Float32, context: Context) -> SortedLogits:
        """From logits that are sorted already, NaN outermost. Raises InputError as `from_logits` does."""
        check_usable(len(logits) > 0 and math.isfinite(logits[0]) and not math.isnan(logits[-1]))
        return cls(ids, logits, context)

    @classmethod
    def later(cls, logits: Float32, context: Context, order: Callable[[Float32], Int32] | None = None) -> SortedLogits:
        """Of `logits` float32 (vocabulary,) in the order of the ids, which nobody changes any more.

        `order` finds the ids in sorted order when they are wanted. Raises InputError as `from_logits` does.
        """
        best = int(logits.argmax()) if len(logits) else None
        check_usable(best is not None and math.isfinite(logits[best]))  # NaN is everybody's maximum
        position = cls(_EMPTY, logits, context)
        position._best = best
        position._sorted, position._unsorted, position.size = None, logits, len(logits)
        position._order = order or descending
        return position

    @property
    def ids(self) -> Int32:
        """Highest logit first."""
        return self._now()[0]

    @property
    def logits(self) -> Float32:
        """Highest first."""
        return self._now()[1]

    @property
    def best(self) -> int:
        """The most probable token, the lowest id among equals."""
        if self._best is None:
            ids, logits = self._now()
            self._best = int(ids[: np.count_nonzero(logits == logits[0])].min())
        return self._best

    @property
    def unsorted(self) -> Float32 | None:
        """The logits in the order of the ids, as long as nobody has looked at them in the other."""
        return self._unsorted

    def _now(self) -> tuple[Int32, Float32]:
        logits, found = self._unsorted, self._sorted  # two threads may come at once: both sort, and find the same
        if found is None:
            assert logits is not None
            ids = self._order(logits)
            found = self._sorted = (ids, logits[ids])
            self._unsorted = None
        return found

    @property
    def context_ids(self) -> Int32:
        """The tokens before the position that can be written, ascending, each once: what a penalty acts on.

        Some models read tokens that they cannot write: there is nothing to penalise then.
        """
        return self.writable(self.context.unique)

    def writable(self, ids: Int32) -> Int32:
        """Those of the ascending `ids` that have a logit."""
        return ids[: np.searchsorted(ids, self.size)]


_EMPTY = np.empty(0, np.int32)


def check_usable(usable: bool) -> None:
    """Raise InputError where logits are not."""
    if not usable:
        raise InputError(
            "The model's logits hold no usable number: they are NaN, infinite, or rule out every token.",
            "Its weights may be damaged, or overflow at this precision; open the model in float32.",
        )


def descending(logits: Float32) -> Int32:
    """The ids in the order of `SortedLogits`. Integers that order as (logit, id) do sort faster than floats."""
    keys = sort_keys(logits, np.arange(len(logits)))
    keys.sort()
    return keys[::-1].astype(np.int32)  # the lower half of a key is the id


@dataclass(frozen=True, slots=True, eq=False)
class CapturedPosition:
    """One position whose distribution can be shaped again and again.

    `label` is "next", or the words around a mask. `texts` are what the first of `sorted.ids` stand for; the engine's
    `vocabulary_texts()` names the others.
    """

    label: str
    sorted: SortedLogits
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """The positions of a text at which the model expects a token: one, or one for each mask."""

    positions: tuple[CapturedPosition, ...]


class Scratch(threading.local):
    """Arrays that are written again on every call: fresh pages for them would cost more than the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, Float32] = {}

    def floats(self, name: str, size: int) -> Float32:
        """An array of `size` that keeps its values until this thread asks for `name` again."""
        array = self._arrays.get(name)
        if array is None or len(array) < size:
            array = self._arrays[name] = np.empty(size, np.float32)
        return array[:size]


SCRATCH = Scratch()


def penalised(sorted_logits: SortedLogits, penalty: float) -> tuple[Int32, Float32, Float32]:
    """ids, logits and penalised scores in the order of the scores."""
    ids, logits, context = sorted_logits.ids, sorted_logits.logits, sorted_logits.context_ids
    if penalty == 1 or not len(context):
        return ids, logits, logits
    moved = places_of(context, ids)
    return merged(ids, logits, logits, moved, divided(logits[moved], penalty))


def divided(scores: Float32, penalty: float) -> Float32:
    """A repetition penalty above 1 makes every score lower, whatever its sign (Keskar et al. 2019, eq. 2)."""
    return np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))


def merged(
    ids: Int32, logits: Float32, scores: Float32, moved: NDArray[np.intp], after: Float32
) -> tuple[Int32, Float32, Float32]:
    """ids, logits and scores in the order of the scores, those at the places `moved` (ascending) being `after` now.

    The few that are moved are taken out and merged back at their new places; nothing else is sorted again. The
    scores are in an array that the next call overwrites.
    """
    best_first = np.argsort(sort_keys(after, ids[moved]))[::-1]
    places = _ranks(ids, scores, after[best_first], ids[moved][best_first])
    # Those ranks count the moved tokens at their old places too: they leave, and each makes room for the next.
    places += np.arange(len(moved)) - np.searchsorted(moved, places)
    stays, goes_on = ~_marked(moved, len(ids)), ~_marked(places, len(ids))
    new_ids, new_logits = np.empty_like(ids), np.empty_like(logits)
    new_ids[goes_on], new_logits[goes_on] = ids[stays], logits[stays]
    new_ids[places], new_logits[places] = ids[moved[best_first]], logits[moved[best_first]]
    new_scores = SCRATCH.floats("penalised", len(ids))
    if scores is logits:
        new_scores[:] = new_logits
    else:
        new_scores[goes_on] = scores[stays]
    new_scores[places] = after[best_first]
    return new_ids, new_logits, new_scores


def _marked(places: NDArray[np.intp] | Int32, size: int) -> Bool:
    marks = np.zeros(size, bool)
    marks[places] = True
    return marks


def places_of(wanted: Int32, ids: Int32, size: int | None = None) -> NDArray[np.intp]:
    """Where the `wanted` ids stand in `ids`, ascending; `size` is that of the vocabulary, where `ids` are not all."""
    return np.flatnonzero(_marked(wanted, size or len(ids))[ids])


def _ranks(ids: Int32, scores: Float32, wanted: Float32, wanted_ids: Int32) -> NDArray[np.intp]:
    """How many of the sorted (score, id) stand before each of those wanted: a binary search for all at once."""
    low = np.zeros(len(wanted), np.intp)
    high = np.full(len(wanted), len(ids), np.intp)
    for _ in range(len(ids).bit_length()):
        middle = np.minimum((low + high) // 2, len(ids) - 1)
        found = scores[middle]
        before = (found > wanted) | ((found == wanted) & (ids[middle] > wanted_ids))
        searching = low < high
        low = np.where(searching & before, middle + 1, low)
        high = np.where(searching & ~before, middle, high)
    return low


def sort_keys(scores: Float32, ids: Int32 | Int64) -> Int64:
    """int64 numbers that sort as (score, id) do."""
    keys = order_preserving(scores).astype(np.int64)
    keys <<= 32
    keys |= ids
    return keys


def order_preserving(scores: Float32) -> Int32:
    """float32 as integers that sort as the numbers do, NaN outermost: IEEE 754's bits, those of negatives flipped."""
    bits = (scores + np.float32(0)).view(np.int32)  # −0.0 becomes 0.0, its equal
    flips = bits >> 31
    flips &= np.int32(0x7FFFFFFF)
    bits ^= flips
    return bits
