"""The pictures of a sharded run. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.sharding.types import METHODS, MethodResult, ShardingRun
from llmlab.ui.widgets.chart.plot import Axis, Draw, Plot, Series

SHORT = {
    Strategy.DDP: "DDP",
    Strategy.ZERO_1: "ZeRO-1",
    Strategy.SHARD_GRAD_OP: "SHARD_GRAD_OP",
    Strategy.FULL_SHARD: "FULL_SHARD",
}


def losses(results: Sequence[MethodResult], run: ShardingRun | None) -> Plot:
    """The loss of every step: one line for each method, points for one process that has all sequences."""
    series = [
        Series(SHORT[result.method], _steps(result.losses), np.array(result.losses), color=METHODS.index(result.method))
        for result in results
    ]
    if run is not None:
        alone = Series("one process", _steps(run.alone), np.array(run.alone), Draw.POINTS, color=7)
        series.append(alone)
    return Plot(
        Axis("step", low=0.5, high=max((len(result.losses) for result in results), default=1) + 0.5, label=_whole),
        Axis("loss in nats a token"),
        tuple(series),
        title="Losses of every method",
        empty="The losses of each method come here.",
    )


def _steps(values: Sequence[float]) -> np.ndarray:
    return np.arange(1, len(values) + 1, dtype=np.float64)


def _whole(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else ""
