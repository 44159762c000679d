"""The thumbnails of the head grid: every map of a survey as codes, in a few sizes. No Qt; made in a job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmlab.engine.attention.types import Survey
from llmlab.engine.types import Float32
from llmlab.ui.widgets.heatmap.codes import UInt16, encoded

SMALLEST = 6  # cells of the coarsest tile


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """`levels[i]` uint16 (layers + 1, heads + 1, rows, columns), each half as fine as the one before.

    The last layer and the last head stand for all of them; there are two sets, of means and of maxima.
    """

    means: tuple[UInt16, ...]
    maxima: tuple[UInt16, ...]

    def level(self, reduction: str, cells: float) -> UInt16:
        """The finest set whose tiles have no more than `cells` rows and columns, or the coarsest."""
        levels = self.means if reduction == "mean" else self.maxima
        fitting = (level for level in levels if max(level.shape[2:]) <= cells)
        return next(fitting, levels[-1])


def tiles_of(survey: Survey) -> Tiles:
    """All thumbnails of a survey."""
    return Tiles(
        _levels(_joined(survey.tiles, survey.heads_mean, survey.layers_mean, survey.mean)),
        _levels(_joined(survey.tiles, survey.heads_max, survey.layers_max, survey.max)),
    )


def _joined(tiles: Float32, of_layers: Float32, of_heads: Float32, whole: Float32) -> Float32:
    layers, heads, rows, columns = tiles.shape
    joined = np.empty((layers + 1, heads + 1, rows, columns), np.float32)
    joined[:-1, :-1] = tiles
    joined[:-1, -1] = of_layers
    joined[-1, :-1] = of_heads
    joined[-1, -1] = whole
    return joined


def _levels(tiles: Float32) -> tuple[UInt16, ...]:
    levels = [encoded(tiles)]
    while max(levels[-1].shape[2:]) > SMALLEST:
        levels.append(_halved(levels[-1]))
    return tuple(levels)


def _halved(codes: UInt16) -> UInt16:
    """The maxima of 2 × 2 cells; a row or column that is left over stays as it is."""
    for axis in (2, 3):
        starts = np.arange(0, codes.shape[axis], 2)
        codes = np.maximum.reduceat(codes, starts, axis=axis)
    return codes
