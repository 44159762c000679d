"""The chart of a measurement. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmlab.engine.shots.metrics import Interval
from llmlab.ui.panels.shots.measure.found import Found, percent
from llmlab.ui.panels.shots.measure.params import Comparison
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series, short

TITLES = {
    Comparison.SWEEP: "shots in the prompt",
    Comparison.ORDER: "order of the shots",
    Comparison.LEAVE_ONE_OUT: "shot",
    Comparison.SWAP: "",
    Comparison.VARIANTS: "",
}
EMPTY = Plot(Axis(), Axis(), empty="Nothing measured yet")


def plot(shown: Found | None) -> Plot:
    """The points of a sweep as a line with its interval, anything else as bars."""
    if shown is None:
        return EMPTY
    return _sweep(shown) if shown.test is Comparison.SWEEP else _bars(shown)


def _sweep(shown: Found) -> Plot:
    names = tuple(str(point.count) for point in shown.curve)
    x = np.arange(len(names), dtype=np.float64)
    mean = _series("all seeds", x, [point.all for point in shown.curve], Draw.LINE)
    seeds = sorted({seed for point in shown.curve for seed, _ in point.seeds})
    series = [mean]
    if len(seeds) > 1:
        for number, seed in enumerate(seeds):
            by_point = [dict(point.seeds).get(seed) for point in shown.curve]
            found = [each.value if each is not None else np.nan for each in by_point]
            some = [f"seed {seed}, {name} shots" for name in names]
            series.append(
                Series(f"seed {seed}", x, np.array(found), Draw.POINTS, color=1 + number % 7, labels=tuple(some))
            )
    levels = (Level("y", 1 / len(shown.labels), "chance"),) if len(shown.labels) > 1 else ()
    return Plot(
        Axis(TITLES[shown.test], names=names),
        Axis(shown.unit, low=0.0, high=1.0, label=percent),
        tuple(series),
        levels,
        title=f"{shown.unit} by number of shots",
    )


def _bars(shown: Found) -> Plot:
    x = np.arange(len(shown.bars), dtype=np.float64)
    change = shown.test is Comparison.LEAVE_ONE_OUT
    labels = tuple(f"{bar.name}: {bar.tip}" if bar.tip else bar.name for bar in shown.bars)
    series = [_series(shown.unit, x, [bar.value for bar in shown.bars], Draw.BARS, labels)]
    others = [bar.other for bar in shown.bars if bar.other is not None]
    if others and not change:  # of the influence, the other value has another unit
        series.append(_series(shown.second, x, others, Draw.BARS, labels))
    y = Axis(shown.unit, label=_signed) if change else Axis(shown.unit, low=0.0, high=1.0, label=percent)
    title = f"{shown.unit}, {shown.test.value}"
    names = tuple(bar.name for bar in shown.bars)
    levels = (Level("y", 0.0),) if change else ()
    return Plot(Axis(TITLES[shown.test], names=names), y, tuple(series), levels, title=title)


def _signed(value: float) -> str:
    return short(value).replace("-", "−") if value <= 0 else f"+{short(value)}"


def _series(name: str, x: np.ndarray, found: Sequence[Interval], draw: Draw, labels: tuple[str, ...] = ()) -> Series:
    y, low, high = (np.array([getattr(each, end) for each in found]) for end in ("value", "low", "high"))
    return Series(name, x, y, draw, low=low, high=high, labels=labels)
