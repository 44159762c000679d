"""Where everything of a plot stands: axes, marks, legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QFont, QFontMetricsF

from llmlab.engine.types import Float64
from llmlab.ui import theme
from llmlab.ui.widgets.chart.plot import Axis, Plot, place, tick_labels, ticks

PAD = float(theme.SPACE)
SMALL = 0.9  # of the font: marks and legend
MARK_GAP = 2.2  # heights of a line between two marks of the upright axis
SWATCH = 10.0
FAR = 1e5  # pixels: what lies farther outside is drawn there, since Qt cannot paint at any distance


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where everything stands."""

    plot: Plot
    area: QRectF  # inside the axes
    legend: QRectF
    x: tuple[float, float]
    y: tuple[float, float]
    x_marks: tuple[float, ...]
    y_marks: tuple[float, ...]
    font: QFont

    @classmethod
    def of(cls, plot: Plot, size: QSize, font: QFont) -> Frame:
        """Lay `plot` out in so many pixels."""
        small = QFont(font)
        small.setPointSizeF(font.pointSizeF() * SMALL)
        metrics = QFontMetricsF(small)
        line = metrics.height()
        x, y = plot.limits("x"), plot.limits("y")
        legend = legend_rows(plot, metrics, size.width() - 2 * PAD)
        top = PAD + len(legend) * (line + 3) + (PAD / 2 if legend else 0) + (line if plot.y.title else 0)
        bottom = size.height() - PAD - line - (line + 2 if plot.x.title else 0) - PAD / 2
        y_marks = ticks(plot.y, *y, max(2, int((bottom - top) / (MARK_GAP * line))))
        width = max(map(metrics.horizontalAdvance, tick_labels(plot.y, y_marks)), default=0.0)
        area = QRectF(QPointF(PAD + width + PAD / 2, top), QPointF(size.width() - 1.5 * PAD, bottom))
        x_marks = _across(plot.x, x, area.width(), metrics)
        box = QRectF(PAD, PAD, size.width() - 2 * PAD, len(legend) * (line + 3))
        return cls(plot, area, box, x, y, tuple(x_marks), tuple(y_marks), small)

    def at(self, x: Float64 | float, y: Float64 | float) -> tuple[Float64, Float64]:
        """Pixels of values."""
        across = self.area.left() + place(x, *self.x, log=self.plot.x.log) * self.area.width()
        up = self.area.bottom() - place(y, *self.y, log=self.plot.y.log) * self.area.height()
        return np.clip(across, -FAR, FAR), np.clip(up, -FAR, FAR)

    def points(self, number: int) -> tuple[Float64, Float64]:
        """Pixels of the values of a series."""
        each, stack = self.plot.series[number], self.plot.stacks[number]
        return self.at(each.centers, each.y if stack is None else stack[1])


def _across(axis: Axis, ends: tuple[float, float], width: float, metrics: QFontMetricsF) -> list[float]:
    """As many marks as have room beside each other."""
    for room in range(12, 0, -1):
        marks = ticks(axis, *ends, room)
        widest = max(map(metrics.horizontalAdvance, tick_labels(axis, marks)), default=0.0)
        if len(marks) * (widest + PAD) <= width or room == 1:
            return marks
    return []


def legend_rows(plot: Plot, metrics: QFontMetricsF, width: float) -> list[list[int]]:
    """Which series are named in which line."""
    named = [number for number, each in enumerate(plot.series) if each.name]
    if len(named) < 2:
        return []
    lines = in_lines([plot.series[number].name for number in named], metrics, width)
    return [[named[place] for place in line] for line in lines]


def in_lines(names: Sequence[str], metrics: QFontMetricsF, width: float) -> list[list[int]]:
    """The places of the names that have room beside each other in each line of a legend."""
    lines: list[list[int]] = []
    left = width
    for number, name in enumerate(names):
        room = SWATCH + PAD / 2 + metrics.horizontalAdvance(name) + 2 * PAD
        if not lines or left + room > width:
            lines.append([])
            left = 0.0
        lines[-1].append(number)
        left += room
    return lines
