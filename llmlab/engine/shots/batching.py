"""Work in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from llmlab.engine.devices import is_out_of_memory, release_memory
from llmlab.engine.progress import Control
from llmlab.engine.reading import guarded

BATCH_ROWS = 64
BATCH_TOKENS = 4096  # read at once, beyond what is shared
CACHE_BYTES = 1_000_000_000  # of key-value cache at once
LEAST_SHARED = 8  # tokens: for fewer, copying the cache costs more than reading them


def in_batches(
    work: Callable[[list[int]], list[list[float]]], sizes: Sequence[int], control: Control, most: int = BATCH_ROWS
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """`work` on batches of similar size, longest first: what does not fit fails at once. Halved when memory is out."""
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    rows, begin = most, 0
    while begin < len(order):
        control.check()
        count = max(1, min(rows, BATCH_TOKENS // max(1, sizes[order[begin]])))
        places = order[begin : begin + count]
        done = _unless_full(work, places)
        if done is None:
            rows = len(places) // 2
            continue
        yield places, done
        begin += len(places)


def _unless_full(work: Callable[[list[int]], list[list[float]]], places: list[int]) -> list[list[float]] | None:
    """The results, or None where memory ran out and fewer at once may fit."""
    if len(places) == 1:
        return guarded(lambda: work(places))
    try:
        return work(places)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    release_memory()  # outside of the handler: the error's frames hold the tensors
    return None


def padded(rows: Sequence[Sequence[int]], padding: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask), int64 (rows, longest): the rows filled up on the right, or the left, and 1 where a token is real."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), padding, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        begin = longest - len(row) if left else 0
        ids[number, begin : begin + len(row)] = torch.tensor(row)
        mask[number, begin : begin + len(row)] = 1
    return ids, mask
