"""One map to look at: a head or several, in blocks of rows, with what the user asked to be done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from llmlab.engine.attention import masks
from llmlab.engine.attention.choosing import Layers, check_span, chosen
from llmlab.engine.attention.inputs import Sequence
from llmlab.engine.attention.layers import Layer
from llmlab.engine.attention.pooling import factor
from llmlab.engine.attention.types import MASKED, AttentionMap, MapRequest, Reduction
from llmlab.engine.attention.values import value_norms
from llmlab.engine.progress import Control
from llmlab.engine.types import Bool, Float32, Int32


@torch.inference_mode()
def attention_map(
    layers: Layers, sides: tuple[Sequence, Sequence], request: MapRequest, control: Control
) -> AttentionMap:
    """The map that `request` names. Raises InputError for a layer, head or part that is not there."""
    plan = _Plan.of(layers, sides, request)
    values = np.empty((len(plan.rows.cells) - 1, len(plan.columns.cells) - 1), np.float32)
    parts = _parts(plan.rows.cells, max(plan.heads * layers.size[1], 1))
    for number, (first, last) in enumerate(parts):
        control.check()
        control.report("Computing the map", number / len(parts))
        values[first:last] = plan.block(first, last, control)
    return AttentionMap(request, values, plan.rows.cells, plan.columns.cells, plan.rows.pooled or plan.columns.pooled)


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """Where on an axis things begin: `pieces` int32 are tokens or words, `cells` int32 what is drawn, in tokens."""

    pieces: Int32
    cells: Int32
    may: Bool  # (tokens,): of the sentence that is asked for

    @property
    def pooled(self) -> bool:
        """Whether a cell stands for several pieces."""
        return len(self.cells) < len(self.pieces)

    @classmethod
    def of(
        cls, what: str, side: Sequence, part: tuple[int, int] | None, request: MapRequest, segment: int | None
    ) -> _Axis:
        start, stop = part or (0, len(side))
        check_span(what, start, stop, len(side))
        begins = np.flatnonzero(_begins(side.words)) if request.words else np.arange(len(side))
        edges = np.append(begins, len(side))
        first = max(0, int(np.searchsorted(edges, start, "right")) - 1)
        last = max(first, int(np.searchsorted(edges, stop, "left"))) if stop > start else first
        pieces = edges[first : last + 1].astype(np.int32)
        cells = np.append(pieces[: -1 : factor(len(pieces) - 1, request.limit)], pieces[-1])
        may = np.ones(len(side), np.bool_) if segment is None else side.segments == segment
        return cls(pieces, cells.astype(np.int32), may)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What the map is made of, and what is done to a block of its rows."""

    request: MapRequest
    sources: tuple[tuple[Layer, slice], ...]
    norms: tuple[torch.Tensor, ...]  # (heads, keys) for each source, where weights are multiplied by them
    rows: _Axis
    columns: _Axis
    first_key: int

    @classmethod
    def of(cls, layers: Layers, sides: tuple[Sequence, Sequence], request: MapRequest) -> _Plan:
        found = list(layers.kept.values()) if request.layer is None else [layers.at(request.layer)]
        sources = tuple((layer, chosen(layer, request.head)) for layer in found)
        norms = tuple(value_norms(layer)[0][heads] for layer, heads in sources) if request.value_weighted else ()
        segments = request.segments or (None, None)
        return cls(
            request,
            sources,
            norms,
            _Axis.of("rows", sides[0], request.rows, request, segments[0]),
            _Axis.of("columns", sides[1], request.columns, request, segments[1]),
            int(sides[1].real.argmax()),
        )

    @property
    def heads(self) -> int:
        """The most heads that are computed together."""
        return max(len(range(layer.heads)[heads]) for layer, heads in self.sources)

    def block(self, first: int, last: int, control: Control) -> Float32:
        """The cells of the rows `first` to `last`, float32 (last − first, columns)."""
        start, stop = int(self.rows.cells[first]), int(self.rows.cells[last])
        values, visible = (each.cpu().numpy() for each in self._reduced(start, stop, control))
        visible = visible & self.rows.may[start:stop, None] & self.columns.may
        values = np.where(visible, values, np.float32(0))
        if self.request.hide_first:
            visible[:, self.first_key] = False
            values[:, self.first_key] = 0
            sums = values.sum(1, keepdims=True)
            values /= np.where(sums == 0, 1, sums)
        left, right = int(self.columns.pieces[0]), int(self.columns.pieces[-1])
        values, visible = values[:, left:right], visible[:, left:right]
        if self.request.words:
            values, visible = self._in_words(values, visible, start, stop)
        return self._pooled(np.where(visible, values, np.float32(MASKED)), first, last)

    def _reduced(self, start: int, stop: int, control: Control) -> tuple[torch.Tensor, torch.Tensor]:
        """(weights float32, visible bool), both (stop − start, keys), over all heads that are asked for."""
        mean = self.request.reduction is Reduction.MEAN
        result: torch.Tensor | None = None
        seen: torch.Tensor | None = None
        for number, (layer, heads) in enumerate(self.sources):
            control.check()
            band = layer.band(heads, start, stop)
            weights = band.whole(layer.size[1])
            if self.norms:
                weights = weights * self.norms[number][:, None]
            block = weights[0] if len(weights) == 1 else weights.sum(0) if mean else weights.amax(0)
            visible = torch.zeros(block.shape, dtype=torch.bool, device=block.device)
            visible[:, band.first : band.first + band.visible.shape[-1]] = band.visible.any(0)
            if result is None or seen is None:
                result, seen = block, visible
            else:
                block = block.to(result.device)
                result = result + block if mean else torch.maximum(result, block)
                seen |= visible.to(seen.device)
        assert result is not None
        assert seen is not None
        count = sum(len(range(layer.heads)[heads]) for layer, heads in self.sources)
        return (result / count if mean and count > 1 else result), seen

    def _in_words(self, values: Float32, visible: Bool, start: int, stop: int) -> tuple[Float32, Bool]:
        """Subwords merged: keys summed, queries averaged (Clark et al. 2019, section 4.1)."""
        columns = self.columns.pieces[:-1] - self.columns.pieces[0]
        rows = self.rows.pieces[(self.rows.pieces >= start) & (self.rows.pieces < stop)] - start
        counts = np.diff(np.append(rows, stop - start)).astype(np.float32)
        summed: Float32 = np.add.reduceat(np.add.reduceat(values, columns, axis=1), rows, axis=0)
        summed /= counts[:, None]
        seen: Bool = np.logical_or.reduceat(np.logical_or.reduceat(visible, columns, axis=1), rows, axis=0)
        return summed, seen

    def _pooled(self, values: Float32, first: int, last: int) -> Float32:
        if self.columns.pooled:
            values = np.maximum.reduceat(values, np.searchsorted(self.columns.pieces, self.columns.cells[:-1]), axis=1)
        if self.rows.pooled:
            begins = np.searchsorted(self.rows.pieces, self.rows.cells[first:last])
            values = np.maximum.reduceat(values, begins - begins[0], axis=0)
        return values


def _begins(words: Int32) -> Bool:
    """Which tokens begin a word; a special token (-1) is a word of its own."""
    begins = np.ones(len(words), np.bool_)
    begins[1:] = (words[1:] != words[:-1]) | (words[1:] < 0)
    return begins


def _parts(cells: Int32, numbers_per_row: int) -> list[tuple[int, int]]:
    """Ranges of cells whose rows are computed together."""
    tokens = masks.BLOCK_BYTES // (4 * numbers_per_row)
    result, first = [], 0
    while first < len(cells) - 1:
        last = int(np.searchsorted(cells, cells[first] + tokens, "right")) - 1
        last = min(max(last, first + 1), len(cells) - 1)
        result.append((first, last))
        first = last
    return result
