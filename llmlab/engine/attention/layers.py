"""One layer's attention, kept as queries and keys: memory grows with the tokens, not with their square.

The weights of any head, or of a block of its rows, are softmax(q·kᵀ·scale + bias + mask) (Vaswani et al. 2017, eq. 1)
and are computed when they are asked for, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

BLOCK_BYTES = 2**25  # of scores computed at a time


class Rows(Protocol):
    """Something with a row for each query: a mask or a bias."""

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop`: (1 or heads, rows, keys), boolean where True means attended to, else additive."""


@dataclass(frozen=True, slots=True, eq=False)
class Causal:
    """Every query sees the keys up to its own place."""

    keys: int
    device: torch.device

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        queries = torch.arange(start, stop, device=self.device)
        return (torch.arange(self.keys, device=self.device) <= queries[:, None])[None]


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


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """What has no shorter form: (1 or heads, queries, keys)."""

    values: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Rows`."""
        return self.values[:, start:stop]


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


@dataclass(frozen=True, slots=True, eq=False)
class AttentionLayer:
    """Queries (heads, queries, head_dim) and keys (key-value heads, keys, head_dim), rotated to their positions.

    `softcap` bounds the scores (Gemma 2), `sinks` (heads,) are logits that take weight from every row (gpt-oss).
    """

    query: torch.Tensor
    key: torch.Tensor
    scaling: float
    mask: Rows | None = None
    bias: Rows | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None
    window: int | None = None

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.query.shape[0]

    @property
    def key_value_heads(self) -> int:
        """Heads of the keys; fewer than `heads` in grouped-query attention."""
        return self.key.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(queries, keys)."""
        return self.query.shape[1], self.key.shape[1]

    def rows(self, heads: slice, start: int, stop: int) -> torch.Tensor:
        """Weights float32 (heads, stop − start, keys), each row summing to 1."""
        groups = self.heads // self.key_value_heads
        chosen = torch.arange(self.heads, device=self.key.device)[heads]
        query = self.query[heads, start:stop].float()
        scores = query @ self.key[chosen // groups].float().transpose(1, 2) * self.scaling  # (heads, rows, keys)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.bias is not None:
            scores = scores + _of_heads(self.bias.rows(start, stop), heads).float()
        if self.mask is not None:
            scores = _masked(scores, _of_heads(self.mask.rows(start, stop), heads))
        if self.sinks is not None:
            sinks = self.sinks.float()[heads, None, None].expand(-1, scores.shape[1], 1)
            return torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]
        return scores.softmax(-1).nan_to_num(0.0)  # a row that sees nothing has no weights


@dataclass(frozen=True, slots=True, eq=False)
class MaterialisedLayer:
    """A layer of an architecture that hands out finished weights (heads, queries, keys) only."""

    weights: torch.Tensor
    window: int | None = None

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.weights.shape[0]

    @property
    def key_value_heads(self) -> int:
        """As many as `heads`, as far as one can tell."""
        return self.weights.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(queries, keys)."""
        return self.weights.shape[1], self.weights.shape[2]

    def rows(self, heads: slice, start: int, stop: int) -> torch.Tensor:
        """Weights float32 (heads, stop − start, keys)."""
        return self.weights[heads, start:stop].float()


Layer = AttentionLayer | MaterialisedLayer


def attend(layer: AttentionLayer, value: torch.Tensor) -> torch.Tensor:
    """The layer's output (queries, heads, head_dim) from `value` (key-value heads, keys, head_dim), block by block.

    For what `scaled_dot_product_attention` does not know: soft caps and sinks.
    """
    groups = layer.heads // layer.key_value_heads
    value = value.repeat_interleave(groups, dim=0)
    parts = [
        layer.rows(slice(None), start, stop).to(value.dtype) @ value
        for start, stop in blocks(layer.size[0], layer.heads * layer.size[1])
    ]
    return torch.cat(parts, dim=1).transpose(0, 1)


def blocks(rows: int, numbers_per_row: int) -> list[tuple[int, int]]:
    """Row blocks of at most about BLOCK_BYTES of float32."""
    step = max(1, BLOCK_BYTES // (4 * max(1, numbers_per_row)))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def _of_heads(rows: torch.Tensor, heads: slice) -> torch.Tensor:
    return rows if rows.shape[0] == 1 else rows[heads]


def _masked(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, -torch.inf)
    return scores + mask.float()
