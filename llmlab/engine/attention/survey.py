"""All heads of one kind at a glance: one pass over every weight, in blocks of rows, that keeps tiles and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from llmlab.engine.attention.choosing import Layers
from llmlab.engine.attention.inputs import Sequence
from llmlab.engine.attention.layers import ALL, Band, Layer, Sight
from llmlab.engine.attention.pooling import edges, factor, pooled
from llmlab.engine.attention.row_scores import NAMES, Axes, Targets, row_scores
from llmlab.engine.attention.scores import SCORES
from llmlab.engine.attention.types import MASKED, Survey
from llmlab.engine.progress import Control
from llmlab.engine.types import Float32

SIZE = 48  # rows and columns of a tile, at most
_BLOCK = 2**20  # weights of a layer looked at together: about what fits a processor's cache


@torch.inference_mode()
def survey(kind: str, layers: Layers, sides: tuple[Sequence, Sequence], control: Control, size: int = SIZE) -> Survey:
    """Tiles of at most `size` rows and columns, and scores, of all heads of this kind."""
    tally = _Tally.of(layers, sides, size)
    queries, keys = layers.size
    blocks = _blocks(queries, tally.heads * keys, tally.rows)
    for number, (start, stop) in enumerate(blocks):
        control.check()
        control.report("Looking at all heads", number / len(blocks))
        _look(tally, layers, start, stop, control)
    return tally.survey(kind, queries, keys)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """What layers with the same mask have in common in a block of rows."""

    sight: Sight
    targets: Targets
    cells: torch.Tensor  # bool (rows of cells, columns of cells): something may be seen there


def _look(tally: _Tally, layers: Layers, start: int, stop: int, control: Control) -> None:
    shared: dict[int, _Block] = {}
    keys, device = layers.size[1], tally.axes.query_ids.device
    total = torch.zeros(tally.heads, stop - start, keys, device=device)
    seen = torch.zeros(-(-(stop - start) // tally.rows), tally.tiles.shape[-1], dtype=torch.bool)
    for index, layer in layers.kept.items():
        control.check()
        if id(layer.mask) not in shared:
            shared[id(layer.mask)] = tally.block(layer, start, stop)
        block = shared[id(layer.mask)]
        band = layer.band(ALL, start, stop, block.sight)
        tally.add(index, band, block, start)
        heads, _, width = band.weights.shape
        total[:heads, :, band.first : band.first + width] += band.weights.to(device)
        seen |= block.cells
    tally.add_layers(total / len(layers.kept), seen, start)


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """What is kept of the weights that were looked at; torch tensors of the survey's shapes."""

    axes: Axes
    heads: int
    rows: int  # tokens that one row of a tile stands for
    columns: int
    tiles: torch.Tensor
    heads_mean: torch.Tensor
    layers_mean: torch.Tensor
    mean: torch.Tensor
    sums: torch.Tensor  # float64 (layers, heads, names)
    counts: torch.Tensor  # float64 (layers, names)
    broken: torch.Tensor

    @classmethod
    def of(cls, layers: Layers, sides: tuple[Sequence, Sequence], size: int) -> _Tally:
        heads, count = layers.heads, layers.count
        queries, keys = layers.size
        rows, columns = factor(queries, size), factor(keys, size)
        cells = -(-queries // rows), -(-keys // columns)
        return cls(
            axes=_axes(*sides, layers.any),
            heads=heads,
            rows=rows,
            columns=columns,
            tiles=torch.full((count, heads, *cells), MASKED),
            heads_mean=torch.full((count, *cells), MASKED),
            layers_mean=torch.full((heads, *cells), MASKED),
            mean=torch.full(cells, MASKED),
            sums=torch.zeros(count, heads, len(NAMES), dtype=torch.float64),
            counts=torch.zeros(count, len(NAMES), dtype=torch.float64),
            broken=torch.zeros(count, heads, dtype=torch.bool),
        )

    def block(self, layer: Layer, start: int, stop: int) -> _Block:
        """What `layer` has in common with all others of the same mask."""
        sight = layer.sight(ALL, start, stop)
        visible = sight.visible.any(0)
        targets = Targets.of(self.axes, start, sight.first, visible)
        cells = pooled(visible.float(), self.rows, self.columns, sight.first, layer.size[1]) > 0
        return _Block(sight, targets, cells.cpu())

    def add(self, index: int, band: Band, block: _Block, start: int) -> None:
        """One layer's rows."""
        heads = band.weights.shape[0]
        place = slice(start // self.rows, start // self.rows + block.cells.shape[0])
        self.tiles[index, :heads, place] = self._pooled(band.weights, band.first, block.cells)
        self.heads_mean[index, place] = self._pooled(band.weights.mean(0), band.first, block.cells)
        sums, broken = row_scores(band, block.targets)
        self.sums[index, :heads] += sums.cpu()
        self.counts[index] += block.targets.defined.double().sum(1).cpu()
        self.broken[index, :heads] |= broken.cpu()

    def add_layers(self, weights: torch.Tensor, cells: torch.Tensor, start: int) -> None:
        """The same rows as the mean of all layers: `weights` (heads, rows, keys)."""
        place = slice(start // self.rows, start // self.rows + cells.shape[0])
        self.layers_mean[:, place] = self._pooled(weights, 0, cells)
        self.mean[place] = self._pooled(weights.mean(0), 0, cells)

    def survey(self, kind: str, queries: int, keys: int) -> Survey:
        """All of it, as arrays."""
        known = self.counts[:, None] > 0
        scores = torch.where(known, self.sums / self.counts[:, None].clamp(min=1), torch.nan).float().numpy()
        names = [name for name in NAMES if kind in SCORES[name].kinds]
        tiles: Float32 = self.tiles.numpy()
        return Survey(
            kind=kind,
            tiles=tiles,
            heads_mean=self.heads_mean.numpy(),
            heads_max=tiles.max(1),
            layers_mean=self.layers_mean.numpy(),
            layers_max=tiles.max(0),
            mean=self.mean.numpy(),
            max=tiles.max((0, 1)),
            row_edges=edges(0, queries, self.rows),
            column_edges=edges(0, keys, self.columns),
            scores={name: np.ascontiguousarray(scores[..., NAMES.index(name)]) for name in names},
            broken=self.broken.numpy(),
        )

    def _pooled(self, weights: torch.Tensor, first: int, seen: torch.Tensor) -> torch.Tensor:
        """(…, rows of cells, columns of cells), MASKED where nothing is `seen`."""
        cells = pooled(weights, self.rows, self.columns, first, len(self.axes.key_ids)).cpu()
        return torch.where(seen, cells, MASKED)


def _axes(queries: Sequence, keys: Sequence, layer: Layer) -> Axes:
    """The tokens of both axes where the weights of `layer` are."""
    device = layer.device
    return Axes(
        query_ids=torch.from_numpy(queries.ids).to(device),
        key_ids=torch.from_numpy(keys.ids).to(device),
        real_queries=torch.from_numpy(queries.real).to(device),
        real_keys=torch.from_numpy(keys.real).to(device),
        same=queries is keys,
    )


def _blocks(queries: int, numbers_per_row: int, rows: int) -> list[tuple[int, int]]:
    """Blocks of whole rows of cells."""
    step = max(1, _BLOCK // max(1, numbers_per_row * rows)) * rows
    return [(start, min(start + step, queries)) for start in range(0, queries, step)]
