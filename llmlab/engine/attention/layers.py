"""One layer's attention, kept as queries and keys: memory grows with the tokens, not with their square.

The weights of any head, or of a block of its rows, are softmax(q·kᵀ·scale + bias + mask) (Vaswani et al. 2017, eq. 1)
and are computed when they are asked for, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import Module

from llmlab.engine.attention import masks
from llmlab.engine.attention.masks import Dense, Rows

ALL = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What some rows may see: none of them any key before `first`; `visible` bool (1 or heads, rows, keys from there).

    `blind` bool (1 or heads, rows, 1): rows that see nothing, or None where every row sees something.
    """

    first: int
    visible: torch.Tensor
    blind: torch.Tensor | None

    @classmethod
    def of(cls, first: int, visible: torch.Tensor) -> Sight:
        """From what is visible."""
        blind = ~visible.any(-1, keepdim=True)
        return cls(first, visible, blind if blind.any() else None)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Some rows of a layer's weights, cut to the keys that any of them may see; the others have no weight.

    `weights` float32 (heads, rows, keys from `first` on), 0 where nothing may be seen, unless a whole row is NaN;
    `visible` bool (1 or heads, rows, the same keys).
    """

    first: int
    weights: torch.Tensor
    visible: torch.Tensor

    def whole(self, keys: int) -> torch.Tensor:
        """The weights (heads, rows, keys) of all keys."""
        heads, rows, width = self.weights.shape
        if width == keys:
            return self.weights
        result = self.weights.new_zeros(heads, rows, keys)
        result[..., self.first : self.first + width] = self.weights
        return result


@dataclass(frozen=True, slots=True, eq=False)
class AttentionLayer:
    """Queries (heads, queries, head_dim) and keys (key-value heads, keys, head_dim), rotated to their positions.

    `softcap` bounds the scores (Gemma 2), `sinks` (heads,) are logits that take weight from every row (gpt-oss).
    `value` (key-value heads, keys, value_dim) is what the weights carry; `module` the model's own attention
    module, and `after` the one beside it that projects what comes out, in BERT's family.
    """

    query: torch.Tensor
    key: torch.Tensor
    scaling: float
    mask: Rows | None = None
    bias: Rows | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None
    window: int | None = None
    value: torch.Tensor | None = None
    module: Module | None = None
    after: Module | None = None

    @property
    def device(self) -> torch.device:
        """Where the layer is."""
        return self.key.device

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.query.shape[0]

    @property
    def key_value_heads(self) -> int:
        """Heads of the keys; fewer than `heads` in grouped-query attention."""
        return self.key.shape[0]

    @property
    def groups(self) -> int:
        """Query heads that share a key-value head."""
        return self.heads // self.key_value_heads

    @property
    def size(self) -> tuple[int, int]:
        """(queries, keys)."""
        return self.query.shape[1], self.key.shape[1]

    def rows(self, heads: slice, start: int, stop: int) -> torch.Tensor:
        """Weights float32 (heads, stop − start, keys), each row summing to 1; 0 in a row that may see nothing."""
        return self.band(heads, start, stop).whole(self.size[1])

    def band(self, heads: slice, start: int, stop: int, sight: Sight | None = None) -> Band:
        """The weights of rows `start` to `stop`; `sight`: what these rows may see, where that is known already."""
        sight = sight or self.sight(heads, start, stop)
        scores = self.scores(heads, start, stop, sight.first, sight.first + sight.visible.shape[-1])
        if self.mask is not None:
            scores.masked_fill_(~sight.visible, -torch.inf)
        weights = self._softmax(scores, heads)
        if sight.blind is not None:  # softmax makes NaN of a row without any key; the model makes nothing of it
            weights.masked_fill_(sight.blind, 0.0)
        return Band(sight.first, weights, sight.visible)

    def scores(self, heads: slice, start: int, stop: int, first: int, end: int) -> torch.Tensor:
        """What enters the softmax, of the keys `first` to `end`, masked or not: float32 (heads, rows, end − first)."""
        query = self.query[heads, start:stop].float() * self.scaling
        scores = self._products(query, self.key[:, first:end].float(), heads)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.bias is not None:
            scores += of_heads(self.bias.rows(start, stop), heads)[..., first:end].float()
        if isinstance(self.mask, Dense) and self.mask.values.dtype != torch.bool:
            scores += of_heads(self.mask.rows(start, stop), heads)[..., first:end].float()
        return scores

    def sight(self, heads: slice, start: int, stop: int) -> Sight:
        """What the rows `start` to `stop` may see."""
        if self.mask is None:
            everything = torch.ones(1, 1, 1, dtype=torch.bool, device=self.key.device)
            return Sight(0, everything.expand(1, stop - start, self.size[1]), None)
        first, end = self.mask.reach(start, stop)
        rows = of_heads(self.mask.rows(start, stop), heads)[..., first:end]
        return Sight.of(first, rows if rows.dtype == torch.bool else rows > torch.finfo(rows.dtype).min / 2)

    def _products(self, query: torch.Tensor, key: torch.Tensor, heads: slice) -> torch.Tensor:
        count, rows, width = query.shape
        if count == self.heads:  # queries of a group side by side, so that no key is copied
            grouped = query.reshape(self.key_value_heads, self.groups * rows, width) @ key.transpose(1, 2)
            return grouped.view(count, rows, key.shape[1])
        chosen = torch.arange(self.heads, device=key.device)[heads]
        return query @ key[chosen // self.groups].transpose(1, 2)

    def _softmax(self, scores: torch.Tensor, heads: slice) -> torch.Tensor:
        if self.sinks is None:
            return scores.softmax(-1) if scores.shape[-1] else scores
        sinks = self.sinks.float()[heads, None, None].expand(-1, scores.shape[1], 1)
        return torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]


@dataclass(frozen=True, slots=True, eq=False)
class MaterialisedLayer:
    """A layer of an architecture that hands out finished weights (heads, queries, keys) only.

    `mask` tells, in so far as it is known, which of them stand where nothing may be seen.
    """

    weights: torch.Tensor
    mask: Rows | None = None
    window: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the layer is."""
        return self.weights.device

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.weights.shape[0]

    @property
    def key_value_heads(self) -> int:
        """As many as `heads`, as far as one can tell."""
        return self.weights.shape[0]

    @property
    def groups(self) -> int:
        """Every head has its own keys."""
        return 1

    @property
    def size(self) -> tuple[int, int]:
        """(queries, keys)."""
        return self.weights.shape[1], self.weights.shape[2]

    def rows(self, heads: slice, start: int, stop: int) -> torch.Tensor:
        """Weights float32 (heads, stop − start, keys)."""
        return self.weights[heads, start:stop].float()

    def band(self, heads: slice, start: int, stop: int, sight: Sight | None = None) -> Band:
        """The weights of rows `start` to `stop`."""
        return Band(0, self.rows(heads, start, stop), (sight or self.sight(heads, start, stop)).visible)

    def sight(self, heads: slice, start: int, stop: int) -> Sight:
        """What the rows `start` to `stop` may see."""
        if self.mask is not None:
            return Sight.of(0, self.mask.rows(start, stop))
        everything = torch.ones(1, 1, 1, dtype=torch.bool, device=self.weights.device)
        return Sight(0, everything.expand(1, stop - start, self.size[1]), None)


Layer = AttentionLayer | MaterialisedLayer


def attend(layer: AttentionLayer, value: torch.Tensor) -> torch.Tensor:
    """The layer's output (queries, heads, head_dim) from `value` (key-value heads, keys, head_dim), block by block.

    For what `scaled_dot_product_attention` does not know: soft caps and sinks.
    """
    value = value.repeat_interleave(layer.groups, dim=0)
    parts = [
        layer.rows(ALL, start, stop).to(value.dtype) @ value
        for start, stop in blocks(layer.size[0], layer.heads * layer.size[1])
    ]
    return torch.cat(parts, dim=1).transpose(0, 1)


def blocks(rows: int, numbers_per_row: int) -> list[tuple[int, int]]:
    """Row blocks of at most about BLOCK_BYTES of float32."""
    step = max(1, masks.BLOCK_BYTES // (4 * max(1, numbers_per_row)))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def of_heads(rows: torch.Tensor, heads: slice) -> torch.Tensor:
    """`rows` (1 or all heads, …) of the chosen heads, or the one that stands for all."""
    return rows if rows.shape[0] == 1 else rows[heads]
