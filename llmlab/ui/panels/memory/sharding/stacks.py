"""What a rank holds as bars: predicted over measured, for each method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmlab.engine.sharding.types import Compared, MethodResult
from llmlab.ui.panels.memory.colors import COLORS
from llmlab.ui.panels.memory.sharding.plots import SHORT
from llmlab.ui.panels.memory.sizes import exact
from llmlab.ui.widgets.chart.stacks import Segment, Stack


def bars(results: Sequence[MethodResult]) -> tuple[Stack, ...]:
    """Two bars for each method; of the measured ones the rank that holds most."""
    return tuple(stack for result in results for stack in _of(result))


def _of(result: MethodResult) -> Iterator[Stack]:
    rows = [row for row in result.compared if row.name in COLORS]
    most = max(range(len(result.ranks)), key=lambda rank: sum(row.measured[rank] for row in rows))
    yield Stack(f"{SHORT[result.method]}, predicted", tuple(_segment(row, row.predicted) for row in rows))
    yield Stack(f"rank {most}, measured", tuple(_segment(row, row.measured[most]) for row in rows))


def _segment(row: Compared, value: float) -> Segment:
    color, faint = COLORS[row.name]
    return Segment(row.name, value, color, (("exactly", exact(value)),), faint)
