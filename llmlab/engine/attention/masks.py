"""Masks and position biases in a short form: a row for each query, made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

BLOCK_BYTES = 2**25  # of scores computed at a time


class Rows(Protocol):
    """Something with a row for each query: a mask or a bias."""

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop`: (1 or heads, rows, keys), boolean where True means attended to, else additive."""

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """From which key on, and up to which, not included, any of these queries may see something."""


@dataclass(frozen=True, slots=True, eq=False)
class Causal:
    """Every query sees the keys up to its own place."""

    keys: int
    device: torch.device

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        queries = torch.arange(start, stop, device=self.device)
        return (torch.arange(self.keys, device=self.device) <= queries[:, None])[None]

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """See `Rows`."""
        return 0, min(stop, self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Every query sees the keys from `first` up to, but not including, `end`; both (queries,)."""

    keys: int
    first: torch.Tensor
    end: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        keys = torch.arange(self.keys, device=self.first.device)
        return ((keys >= self.first[start:stop, None]) & (keys < self.end[start:stop, None]))[None]

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """See `Rows`."""
        return (int(self.first[start:stop].min()), int(self.end[start:stop].max())) if stop > start else (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class ByDistance:
    """A bias that depends only on key − query (T5): `table` (heads, distances), from 1 − queries to keys − 1."""

    queries: int
    keys: int
    table: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        device = self.table.device
        queries = torch.arange(start, stop, device=device)
        distances = torch.arange(self.keys, device=device) - queries[:, None]
        return self.table[:, distances + self.queries - 1]

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """See `Rows`."""
        return 0, self.keys


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """What has no shorter form: (1 or heads, queries, keys)."""

    values: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        return self.values[:, start:stop]

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """See `Rows`."""
        return 0, int(self.values.shape[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Unpadded:
    """What `inside` shows, without the keys that are padding: `real` bool (keys,), False there."""

    inside: Rows | None
    real: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        real = self.real.expand(1, stop - start, -1)
        return real if self.inside is None else self.inside.rows(start, stop) & real

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """See `Rows`."""
        return (0, len(self.real)) if self.inside is None else self.inside.reach(start, stop)


def compact_mask(mask: torch.Tensor) -> Rows:
    """A short form of `mask` (1 or heads, queries, keys) where there is one: causal and sliding masks are spans."""
    if mask.dtype != torch.bool or mask.shape[0] != 1:
        return Dense(mask)
    queries, keys = mask.shape[1:]
    first = torch.zeros(queries, dtype=torch.long, device=mask.device)
    end = torch.zeros_like(first)
    step = max(1, BLOCK_BYTES // max(1, keys))
    for start in range(0, queries, step):
        part = mask[0, start : start + step].to(torch.uint8)
        attended = part.sum(-1, dtype=torch.long)
        begin = part.argmax(-1)
        last = keys - part.flip(-1).argmax(-1)
        if bool(((last - begin != attended) & (attended > 0)).any()):
            return Dense(mask)
        first[start : start + step] = begin
        end[start : start + step] = begin + attended
    return Spans(keys, first, end)


def compact_bias(bias: torch.Tensor) -> Rows:
    """A short form of `bias` (heads, queries, keys) where it depends on the distance alone."""
    queries, keys = bias.shape[1:]
    table = torch.cat([bias[:, 1:, 0].flip(1), bias[:, 0]], dim=1)
    short = ByDistance(queries, keys, table.clone())
    probes = {queries // 2, queries - 1}
    if all(torch.equal(short.rows(row, row + 1), bias[:, row : row + 1]) for row in probes):
        return short
    return Dense(bias)


def is_causal(mask: Rows | None, queries: int) -> bool:
    """Whether `mask` shows no query a key that comes after it."""
    if isinstance(mask, Causal):
        return True
    if isinstance(mask, Unpadded):
        return is_causal(mask.inside, queries)
    if isinstance(mask, Spans):
        return bool((mask.end <= torch.arange(1, queries + 1, device=mask.end.device)).all())
    return False
