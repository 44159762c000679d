"""The history of a phase as a plot. No Qt."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from llmlab.engine.memory_measure.types import Measurement, Phase
from llmlab.engine.types import Int64
from llmlab.ui.panels.memory.colors import COLORS
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import size

MOST_POINTS = 1200


def history(found: Measurement | None, phase: int) -> Plot:
    """Stacked areas of what all tensors take after each operation; the dashed line is the predicted peak."""
    if found is None:
        return Plot(Axis(), Axis())
    one = found.phases[phase]
    shown = worst_of_each(np.sum([curve.bytes for curve in one.curves], axis=0), MOST_POINTS)
    every = "" if len(shown) == len(one.operations) else _drawn(len(shown), len(one.operations))
    labels = tuple(f"{number + 1:,}: {one.operations[number]}" for number in shown.tolist())
    series = tuple(
        Series(
            curve.name,
            (shown + 1).astype(np.float64),
            curve.bytes[shown].astype(np.float64),
            Draw.AREA,
            color=_color(curve.name),
            labels=labels,
        )
        for curve in one.curves
    )
    return Plot(
        Axis(f"operation{every}", low=1, high=_end(one)),
        Axis("bytes", label=size),
        series,
        (Level("y", float(one.predicted), "predicted peak"),),
        title=f"{one.name}: tensors of {found.model}",
    )


def _drawn(shown: int, operations: int) -> str:
    return f" ({shown:,} of {operations:,} are drawn, each the worst around it)"


def _color(name: str) -> int | None:
    """Areas have no paler shades: who has one elsewhere takes a colour of its own."""
    color, faint = COLORS.get(name, (0, True))
    return None if faint else color


def worst_of_each(total: Int64, most: int) -> Int64:
    """The numbers of at most `most` operations, evenly spread, each the one with the largest total around it."""
    if len(total) <= most:
        return np.arange(len(total))
    edges = np.linspace(0, len(total), most + 1).astype(np.int64)
    return np.array([start + int(total[start:end].argmax()) for start, end in pairwise(edges.tolist())])


def _end(phase: Phase) -> float:
    return float(max(2, len(phase.operations)))
