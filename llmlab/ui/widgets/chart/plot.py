"""What a chart shows, and where its marks stand. No Qt."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from llmlab.engine.types import Float64
from llmlab.ui.words import count

DECADE_STEPS = (1, 2, 5)  # marks within a decade of a logarithmic axis that has few of them
MARGIN = 0.04  # of a linear axis beyond its values, on either side
HEADROOM = 0.07  # of it above a level, where its name stands
NUMBER = re.compile(r"([+−-]?[\d,]+)(?:\.(\d+))?(\D*)")  # whole, decimals, unit


def short(value: float) -> str:
    """1,234 or 0.0123 or 1.23 M or 1.2e-07: what fits beside a mark."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    if 1e-3 <= size < 999_999.5:
        return f"{value:,.6g}"
    if 1e6 <= size < 1e15:
        return ("-" if value < 0 else "") + count(size)
    return f"{value:.3g}"


class Draw(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    POINTS = "points"
    AREA = "area"  # filled down to the series before it: the areas of a plot are stacked
    STEPS = "steps"  # a histogram: `x` are the edges, one more than values
    BARS = "bars"  # around each x; several series of bars stand side by side


@dataclass(frozen=True, slots=True)
class Axis:
    """A direction. `names` stand at 0, 1, 2 … instead of numbers; limits that are None are those of the values."""

    title: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    label: Callable[[float], str] = short
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Numbers that belong together. All arrays (points,); not a number: nothing is drawn there."""

    name: str
    x: Float64  # (points + 1,) for STEPS
    y: Float64
    draw: Draw = Draw.LINE
    color: int | None = None  # in the theme's series; its place in the plot if None
    low: Float64 | None = None  # an interval around y: a band behind a line, a whisker at a point
    high: Float64 | None = None
    labels: tuple[str, ...] = ()  # the name of each point
    notes: tuple[str, ...] = ()  # a sentence about each point, on hover and in the table
    dashed: bool = False
    names_shown: bool = False  # the labels are written beside the points, not only on hover

    @property
    def centers(self) -> Float64:
        """Where the values stand, (points,)."""
        return (self.x[1:] + self.x[:-1]) / 2 if self.draw is Draw.STEPS else self.x


@dataclass(frozen=True, slots=True)
class Level:
    """A line across the whole plot, at a value of the "x" or the "y" axis."""

    axis: str
    value: float
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """Everything that a chart shows."""

    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    levels: tuple[Level, ...] = ()
    title: str = ""  # for assistive technology and the names of files
    empty: str = ""  # what to say while there are no values
    stacks: tuple[tuple[Float64, Float64] | None, ...] = field(init=False)  # of each area: its lower and upper edge

    def __post_init__(self) -> None:
        object.__setattr__(self, "stacks", tuple(_stacked(self.series)))

    def colors(self) -> tuple[int, ...]:
        """Of each series its place among the theme's colours."""
        return tuple(place if each.color is None else each.color for place, each in enumerate(self.series))

    def limits(self, axis: str) -> tuple[float, float]:
        """Where an axis, "x" or "y", begins and ends."""
        ends = self.x if axis == "x" else self.y
        if ends.names:
            return -0.5, len(ends.names) - 0.5
        values = np.concatenate([np.empty(0), *self._values(axis)])
        values = values[np.isfinite(values) & ((values > 0) if ends.log else np.isfinite(values))]
        low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 10.0)
        named = [level.value for level in self._levels_of("y") if level.label and axis == "y" and not ends.log]
        if named:
            high = max(high, max(named) + HEADROOM * (high - (0.0 if self._from_zero else low)))
        low, high = _widened(low, high, log=ends.log, from_zero=axis == "y" and self._from_zero)
        return (low if ends.low is None else ends.low), (high if ends.high is None else ends.high)

    @property
    def _from_zero(self) -> bool:
        return any(each.draw in (Draw.AREA, Draw.STEPS, Draw.BARS) for each in self.series)

    def _values(self, axis: str) -> Iterator[Float64]:
        for each, stack in zip(self.series, self.stacks, strict=True):
            if axis == "x":
                yield each.x
            else:
                yield from (part for part in (each.y, each.low, each.high) if part is not None)
                if stack is not None:
                    yield stack[1]
        yield np.array([level.value for level in self._levels_of(axis)], np.float64)

    def _levels_of(self, axis: str) -> list[Level]:
        return [level for level in self.levels if level.axis == axis]


def _stacked(series: tuple[Series, ...]) -> Iterator[tuple[Float64, Float64] | None]:
    below: Float64 | None = None
    for each in series:
        if each.draw is not Draw.AREA:
            yield None
            continue
        start = np.zeros_like(each.y) if below is None else below
        below = start + np.nan_to_num(each.y, nan=0.0, posinf=0.0, neginf=0.0)
        yield start, below


def _widened(low: float, high: float, *, log: bool, from_zero: bool) -> tuple[float, float]:
    """A little more than the values need, so that none lies on the frame."""
    if log:
        ratio = max(high / low, 1.01) ** MARGIN if high > low else 2.0
        return low / ratio, high * ratio
    if from_zero and low >= 0:
        return 0.0, high * (1 + MARGIN) or 1.0
    room = (high - low) * MARGIN or abs(high) * 0.1 or 1.0
    return low - room, high + room


def place(value: float | Float64, low: float, high: float, *, log: bool) -> Float64:
    """Where on the axis values stand, 0 at its beginning and 1 at its end; not a number where they cannot."""
    values = np.asarray(value, np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(values > 0, np.log10(np.where(values > 0, values, 1.0)), np.nan)
        return (logs - math.log10(low)) / (math.log10(high) - math.log10(low))
    return (values - low) / (high - low)


def ticks(axis: Axis, low: float, high: float, room: int) -> list[float]:
    """The values that get a mark, at most about `room` of them."""
    if axis.names:
        step = max(1, math.ceil(len(axis.names) / max(room, 1)))
        return [float(index) for index in range(0, len(axis.names), step)]
    if axis.log:
        return _decades(low, high, room)
    gap = _round_step((high - low) / max(room, 1))
    first = math.ceil(low / gap - 1e-9)
    return [index * gap for index in range(first, math.floor(high / gap + 1e-9) + 1)]


def _round_step(least: float) -> float:
    """The next of 1, 2, 5 × 10ⁿ."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in (1, 2, 5, 10) if least <= power * step * (1 + 1e-9))


def _decades(low: float, high: float, room: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1)
    inside = [10.0**power for power in decades if low <= 10.0**power <= high]
    if len(inside) > room:
        every = math.ceil(len(inside) / max(room, 1))
        return inside[::every]
    fine = [10.0**power * step for power in decades for step in DECADE_STEPS]
    fine = [value for value in fine if low <= value <= high]
    return fine if len(fine) <= room or len(inside) < 2 else inside


def tick_label(axis: Axis, value: float) -> str:
    """What stands at a mark."""
    if axis.names:
        index = round(value)
        return axis.names[index] if 0 <= index < len(axis.names) else ""
    return axis.label(value)


def tick_labels(axis: Axis, marks: Sequence[float]) -> list[str]:
    """What stands at the marks; on a linear axis those of a unit have as many decimals as one of them needs.

    9.0, 9.5, 10.0 and not 9, 9.5, 10; 500 MB, 1.0 GB, 1.5 GB.
    """
    texts = [tick_label(axis, mark) for mark in marks]
    numbers = [match for text in texts if (match := NUMBER.fullmatch(text))]
    if axis.names or axis.log or len(numbers) < len(texts):
        return texts
    decimals: dict[str, int] = {}
    for _, fraction, unit in (match.groups(default="") for match in numbers):
        decimals[unit] = max(decimals.get(unit, 0), len(fraction.rstrip("0")))
    return [
        _with_decimals(match[1], match[2] or "", decimals[match[3]]) + match[3] if mark else "0"
        for mark, match in zip(marks, numbers, strict=True)
    ]


def _with_decimals(whole: str, fraction: str, count: int) -> str:
    return f"{whole}.{fraction[:count].ljust(count, '0')}" if count else whole


def rows(plot: Plot) -> Iterator[tuple[str, ...]]:
    """All numbers as a table, the names of its columns first; with sentences about points a column for them."""
    noted = any(each.notes for each in plot.series)
    yield "series", "point", plot.x.title or "x", plot.y.title or "y", "low", "high", *(("note",) if noted else ())
    for each in plot.series:
        for index, (x, y) in enumerate(zip(each.centers.tolist(), each.y.tolist(), strict=True)):
            label = each.labels[index] if index < len(each.labels) else ""
            ends = (repr(float(part[index])) if part is not None else "" for part in (each.low, each.high))
            note = (each.notes[index] if index < len(each.notes) else "",) if noted else ()
            yield each.name, label, tick_label(plot.x, x) if plot.x.names else repr(x), repr(y), *ends, *note
