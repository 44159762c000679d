"""The numbers behind the head scores, for a block of rows of one layer at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from llmlab.engine.attention.layers import Band
from llmlab.engine.attention.scores import SCORES

NAMES = tuple(SCORES)
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """The tokens on both axes: ids int64 and whether they are real, not padding, bool; on the layers' device.

    `same`: both axes are the same text.
    """

    query_ids: torch.Tensor
    key_ids: torch.Tensor
    real_queries: torch.Tensor
    real_keys: torch.Tensor
    same: bool


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Which keys each row of a block is asked about; layers with the same mask share it.

    `weighted` float32 (rows, keys, 4): ones, distance, earlier same token, token after an earlier same one;
    `visible` bool (rows, keys), `spread` float32 (rows,): ln of the number of visible keys.
    """

    start: int
    first: int
    first_key: int
    visible: torch.Tensor
    weighted: torch.Tensor
    spread: torch.Tensor
    defined: torch.Tensor  # float32 (names, rows)

    @classmethod
    def of(cls, axes: Axes, start: int, first: int, visible: torch.Tensor) -> Targets:
        """For the rows from `start` on and the keys from `first` on, of which `visible` (rows, keys) may be seen."""
        rows, width = visible.shape
        queries = torch.arange(start, start + rows, device=visible.device)
        keys = torch.arange(first, first + width, device=visible.device)
        seen = visible & axes.real_keys[first : first + width]
        first_key = int(axes.real_keys.int().argmax())
        weighted = torch.ones(rows, width, 4 if axes.same else 1, device=visible.device)
        real = axes.real_queries[start : start + rows]
        spread = visible.sum(-1).float().log()
        blank = torch.zeros(rows, dtype=torch.bool, device=visible.device)
        sees_first = real & _column(seen, first_key - first, blank)
        defined = {"entropy": real & (spread > 0), "max": real & visible.any(-1), "first": sees_first}
        if axes.same:
            later = queries > first_key
            distances = (keys - queries[:, None]).float()
            same, after = _repeated(axes, queries, first, width)
            weighted[..., 1], weighted[..., 2], weighted[..., 3] = distances.abs(), same, after
            defined |= {
                "distance": real & visible.any(-1),
                "first": sees_first & later,
                "itself": real & later & _diagonal(seen, start - first, blank),
                "previous": real & later & _diagonal(seen, start - first - 1, blank),
                "duplicate": real & (same & seen).any(-1),
                "induction": real & (after & seen).any(-1),
            }
        table = torch.stack([defined.get(name, blank) for name in NAMES]).float()
        return cls(start, first, first_key, visible, weighted, spread, table)


def row_scores(band: Band, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    """(sums, broken): each score over the rows for which it is defined, float64 (heads, names); bool (heads,)."""
    weights = band.weights
    sums = torch.bmm(weights.transpose(0, 1), targets.weighted).transpose(0, 1)  # (heads, rows, 1 or 4)
    blank = weights.new_zeros(weights.shape[:2])
    values = {
        "entropy": _entropy(weights) / targets.spread.clamp(min=_TINY),
        "max": weights.amax(-1) if weights.shape[-1] else blank,
        "first": _column(weights, targets.first_key - targets.first, blank),
    }
    if targets.weighted.shape[-1] > 1:
        offset = targets.start - targets.first
        values |= {
            "distance": sums[..., 1],
            "itself": _diagonal(weights, offset, blank),
            "previous": _diagonal(weights, offset - 1, blank),
            "duplicate": sums[..., 2],
            "induction": sums[..., 3],
        }
    table = torch.stack([values.get(name, blank) for name in NAMES], dim=-1)  # (heads, rows, names)
    chosen = torch.where(targets.defined.T > 0, table, 0.0)
    return chosen.double().sum(1), ~sums[..., 0].isfinite().all(-1)


def _repeated(axes: Axes, queries: torch.Tensor, first: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which keys are an earlier occurrence of the query's token, and which follow one: bool (rows, keys) each."""
    ids = axes.query_ids[queries[0] : queries[-1] + 1, None]
    keys = torch.arange(first, first + width, device=ids.device)
    earlier = keys < queries[:, None]
    before = torch.roll(axes.key_ids, 1)[first : first + width]
    real_before = torch.roll(axes.real_keys, 1)[first : first + width] & (keys > 0)
    return (axes.key_ids[first : first + width] == ids) & earlier, (before == ids) & earlier & real_before


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    logs = weights.clamp(min=_TINY).log_()
    return -logs.mul_(weights).sum(-1)


def _column(values: torch.Tensor, index: int, blank: torch.Tensor) -> torch.Tensor:
    """Column `index` of the last axis, or `blank` where it is not there."""
    return values[..., index] if 0 <= index < values.shape[-1] else blank


def _diagonal(values: torch.Tensor, offset: int, blank: torch.Tensor) -> torch.Tensor:
    """The entry (row, row + offset) of each row, or `blank`'s where it is not there."""
    rows, width = values.shape[-2:]
    if not width:
        return blank
    places = torch.arange(rows, device=values.device) + offset
    inside = (places >= 0) & (places < width)
    found = values.gather(-1, places.clamp(0, width - 1).expand(*values.shape[:-2], rows)[..., None])[..., 0]
    return torch.where(inside, found, blank)
