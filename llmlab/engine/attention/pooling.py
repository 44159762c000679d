"""Max-pooling: a cell shows the largest of the weights it stands for, so that no single strong one is lost."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from llmlab.engine.attention.types import MASKED
from llmlab.engine.types import Int32


def factor(length: int, limit: int) -> int:
    """How many tokens a cell must stand for so that `length` of them take at most `limit` cells."""
    return max(1, -(-length // max(1, limit)))


def edges(start: int, stop: int, step: int) -> Int32:
    """Where cells of `step` tokens begin, and where the last one ends: int32 (cells + 1,)."""
    return np.append(np.arange(start, stop, step), stop).astype(np.int32)


def pooled(values: torch.Tensor, rows: int, columns: int, first: int = 0, width: int | None = None) -> torch.Tensor:
    """`values` (…, rows, keys from `first` on), max-pooled `rows` × `columns` to cells of a map `width` keys wide.

    What lies outside of `values` is MASKED; NaN stays.
    """
    if rows > 1:
        values = _pool_rows(values, rows)
    keys = values.shape[-1]
    width = first + keys if width is None else width
    left = first % columns
    if columns > 1 and keys:
        values = functional.pad(values, (left, -(left + keys) % columns), value=MASKED)
        values = values.reshape(*values.shape[:-1], -1, columns).amax(-1)
    cells, before = -(-width // columns), first // columns
    return functional.pad(values, (before, cells - before - values.shape[-1]), value=MASKED)


def _pool_rows(values: torch.Tensor, rows: int) -> torch.Tensor:
    whole = values.shape[-2] // rows * rows
    grouped = values[..., :whole, :].reshape(*values.shape[:-2], -1, rows, values.shape[-1])
    parts = [grouped.amax(-2)] if whole else []
    if whole < values.shape[-2]:
        parts.append(values[..., whole:, :].amax(-2, keepdim=True))
    return torch.cat(parts, dim=-2)
