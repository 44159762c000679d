"""Paints a plot: grid and marks, the series, the levels, the legend."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPaintEngine, QPainter, QPainterPath, QPen, QPolygonF

from llmlab.engine.types import Float64
from llmlab.ui import theme
from llmlab.ui.widgets.chart.frame import PAD, SWATCH, Frame, legend_rows
from llmlab.ui.widgets.chart.plot import Draw, Plot, Series, tick_labels

DOT = 3.5
BAR_SHARE = 0.8  # of the room between two x that bars take
HALO = 3.0  # of the background around a word that may lie on a line
# Where a word is written in the background first, to have that rim.
AROUND = tuple(
    QPointF(HALO / 2 * math.cos(turn * math.pi / 4), HALO / 2 * math.sin(turn * math.pi / 4)) for turn in range(8)
)


def color_of(number: int) -> QColor:
    """The colour of the series with this place."""
    series = theme.current().series
    return QColor(series[number % len(series)])


def paint(painter: QPainter, plot: Plot, frame: Frame, guide: tuple[int, int] | None) -> None:
    """Everything. `guide`: the series and the point that are looked at."""
    painter.fillRect(QRectF(painter.window()), theme.current().base)
    painter.setFont(frame.font)
    if not any(len(each.y) for each in plot.series):
        painter.setPen(theme.current().muted)
        painter.drawText(frame.area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, plot.empty)
        return
    _grid(painter, frame)
    painter.save()
    painter.setClipRect(frame.area.adjusted(-1, -1, 1, 1))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if guide is not None:
        _guide(painter, frame, guide)
    colors = plot.colors()
    for number in reversed(range(len(plot.series))):  # the first one on top
        _series(painter, frame, number, color_of(colors[number]))
    painter.restore()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    _levels(painter, frame)
    _point_names(painter, frame)
    _legend(painter, frame)


def _grid(painter: QPainter, frame: Frame) -> None:
    colors, area, metrics, plot = theme.current(), frame.area, QFontMetricsF(frame.font), frame.plot
    for value, label in zip(frame.y_marks, tick_labels(plot.y, frame.y_marks), strict=True):
        y = round(float(frame.at(frame.x[0], value)[1]))
        painter.setPen(QPen(colors.raised, 1))
        painter.drawLine(QLineF(area.left(), y, area.right(), y))
        painter.setPen(colors.muted)
        left = area.left() - PAD / 2 - metrics.horizontalAdvance(label)
        painter.drawText(QPointF(left, y + metrics.ascent() / 2 - 1), label)
    for value, label in zip(frame.x_marks, tick_labels(plot.x, frame.x_marks), strict=True):
        x = round(float(frame.at(value, frame.y[1])[0]))
        painter.setPen(QPen(colors.raised, 1))
        painter.drawLine(QLineF(x, area.top(), x, area.bottom()))
        painter.setPen(colors.muted)
        width = metrics.horizontalAdvance(label)
        left = min(max(x - width / 2, 0.0), area.right() + 1.5 * PAD - width)
        painter.drawText(QPointF(left, area.bottom() + PAD / 2 + metrics.ascent()), label)
    painter.setPen(QPen(colors.border, 1))
    painter.drawRect(area)
    painter.setPen(colors.muted)
    if plot.y.title:
        painter.drawText(QPointF(PAD, area.top() - metrics.descent() - PAD / 2), plot.y.title)
    if plot.x.title:
        width = metrics.horizontalAdvance(plot.x.title)
        below = area.bottom() + PAD / 2 + metrics.height() + 2 + metrics.ascent()
        painter.drawText(QPointF(area.center().x() - width / 2, below), plot.x.title)


def _guide(painter: QPainter, frame: Frame, guide: tuple[int, int]) -> None:
    number, index = guide
    xs, ys = frame.points(number)
    colors = theme.current()
    painter.setPen(QPen(colors.muted, 1, Qt.PenStyle.DotLine))
    painter.drawLine(QLineF(xs[index], frame.area.top(), xs[index], frame.area.bottom()))
    if np.isfinite(ys[index]):
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colors.text, 1.5))
        painter.drawEllipse(QPointF(xs[index], ys[index]), DOT + 3, DOT + 3)


def _series(painter: QPainter, frame: Frame, number: int, color: QColor) -> None:
    each = frame.plot.series[number]
    if each.draw is Draw.AREA:
        _area(painter, frame, number, color)
    elif each.draw is Draw.STEPS:
        _steps(painter, frame, each, color)
    elif each.draw is Draw.BARS:
        _bars(painter, frame, number, color)
    else:
        _interval(painter, frame, each, color)
        if each.draw is Draw.LINE:
            _line(painter, frame, each, color)
        if each.draw is Draw.POINTS or len(each.y) <= 24:
            _dots(painter, frame, each, color)


def _faint(color: QColor, share: float) -> QColor:
    faint = QColor(color)
    faint.setAlphaF(share)
    return faint


def _polygon(xs: Float64, ys: Float64) -> QPolygonF:
    return QPolygonF([QPointF(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)])


def _runs(xs: Float64, ys: Float64) -> list[slice]:
    """The parts of a line between values that are missing."""
    good = np.concatenate([[False], np.isfinite(xs) & np.isfinite(ys), [False]])
    edges = np.flatnonzero(good[1:] != good[:-1])
    return [slice(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _line(painter: QPainter, frame: Frame, each: Series, color: QColor) -> None:
    xs, ys = frame.at(each.x, each.y)
    style = Qt.PenStyle.DashLine if each.dashed else Qt.PenStyle.SolidLine
    painter.setPen(QPen(color, 1.8, style, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for run in _runs(xs, ys):
        painter.drawPolyline(_polygon(xs[run], ys[run]))


def _dots(painter: QPainter, frame: Frame, each: Series, color: QColor) -> None:
    xs, ys = frame.at(each.x, each.y)
    painter.save()
    painter.setClipping(False)  # a point on the edge is a whole one
    painter.setPen(QPen(theme.current().base, 1))
    painter.setBrush(color)
    radius = DOT if each.draw is Draw.POINTS else DOT - 1
    inside = frame.area.adjusted(-1, -1, 1, 1)
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if np.isfinite(x) and np.isfinite(y) and inside.contains(x, y):
            painter.drawEllipse(QPointF(x, y), radius, radius)
    painter.restore()


def _interval(painter: QPainter, frame: Frame, each: Series, color: QColor) -> None:
    if each.low is None or each.high is None:
        return
    xs, low = frame.at(each.x, each.low)
    _, high = frame.at(each.x, each.high)
    if each.draw is Draw.LINE and len(xs) > 1:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_faint(color, 0.18))
        for run in _runs(xs, low + high):
            painter.drawPolygon(_polygon(np.append(xs[run], xs[run][::-1]), np.append(low[run], high[run][::-1])))
        return
    painter.setPen(QPen(color, 1.2))
    for x, bottom, top in zip(xs.tolist(), low.tolist(), high.tolist(), strict=True):
        if np.isfinite(bottom + top):
            painter.drawLine(QLineF(x, bottom, x, top))
            for end in (bottom, top):
                painter.drawLine(QLineF(x - 3, end, x + 3, end))


def _area(painter: QPainter, frame: Frame, number: int, color: QColor) -> None:
    stack = frame.plot.stacks[number]
    assert stack is not None
    floor = frame.y[0]
    xs, top = frame.at(frame.plot.series[number].x, np.maximum(stack[1], floor))
    _, bottom = frame.at(frame.plot.series[number].x, np.maximum(stack[0], floor))
    outline = _polygon(np.append(xs, xs[::-1]), np.append(top, bottom[::-1]))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.mix(theme.current().base, color, 0.55))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)  # its rough edges lie under the lines
    painter.drawPolygon(outline)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(color, 1.2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPolygon(outline)


def _steps(painter: QPainter, frame: Frame, each: Series, color: QColor) -> None:
    heights = np.maximum(np.repeat(each.y, 2), frame.y[0])
    edges = np.repeat(each.x, 2)[1:-1]
    xs, ys = frame.at(edges, heights)
    base = frame.area.bottom()
    painter.setPen(QPen(color, 1.2))
    painter.setBrush(_faint(color, 0.3))
    ys = np.where(np.isfinite(ys), ys, base)
    painter.drawPolygon(_polygon(np.concatenate([xs[:1], xs, xs[-1:]]), np.concatenate([[base], ys, [base]])))


def _bars(painter: QPainter, frame: Frame, number: int, color: QColor) -> None:
    series = [place for place, each in enumerate(frame.plot.series) if each.draw is Draw.BARS]
    each = frame.plot.series[number]
    xs, ys = frame.at(each.x, each.y)
    gaps = np.diff(np.sort(xs))
    room = float(gaps.min()) if len(gaps) else frame.area.width() / 3
    width = max(1.0, room * BAR_SHARE / len(series))
    base = float(frame.at(frame.x[0], max(0.0, frame.y[0]))[1]) if not frame.plot.y.log else frame.area.bottom()
    first = -width * len(series) / 2 + series.index(number) * width
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    for index, (x, y) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)):
        if np.isfinite(y):
            painter.drawRect(QRectF(QPointF(x + first, y), QPointF(x + first + max(1.0, width - 1), base)))
            if each.low is not None and each.high is not None:
                _whisker(painter, frame, x + first + width / 2, float(each.low[index]), float(each.high[index]))
    painter.setBrush(Qt.BrushStyle.NoBrush)


def _whisker(painter: QPainter, frame: Frame, x: float, low: float, high: float) -> None:
    bottom, top = (float(frame.at(frame.x[0], value)[1]) for value in (low, high))
    painter.save()
    painter.setPen(QPen(theme.current().text, 1.2))
    painter.drawLine(QLineF(x, bottom, x, top))
    painter.restore()


def _levels(painter: QPainter, frame: Frame) -> None:
    colors, area, metrics = theme.current(), frame.area, QFontMetricsF(frame.font)
    for level in frame.plot.levels:
        x, y = frame.at(level.value, frame.y[0])[0], frame.at(frame.x[0], level.value)[1]
        painter.setPen(QPen(colors.cut_line, 1.2, Qt.PenStyle.DashLine))
        if level.axis == "x" and area.left() <= x <= area.right():
            painter.drawLine(QLineF(float(x), area.top(), float(x), area.bottom()))
            spot = QPointF(float(x) + 4, area.top() + metrics.ascent() + 2)
            if spot.x() + metrics.horizontalAdvance(level.label) > area.right():
                spot.setX(float(x) - 4 - metrics.horizontalAdvance(level.label))
        elif level.axis == "y" and area.top() <= y <= area.bottom():
            painter.drawLine(QLineF(area.left(), float(y), area.right(), float(y)))
            above = float(y) - 4 if float(y) - metrics.height() > area.top() else float(y) + metrics.ascent() + 2
            spot = QPointF(area.right() - 4 - metrics.horizontalAdvance(level.label), above)
        else:
            continue
        _word(painter, frame.font, spot, level.label, colors.cut_line)


def _point_names(painter: QPainter, frame: Frame) -> None:
    """Beside their points, where they do not run into each other, onto another point or out of the picture."""
    metrics = QFontMetricsF(frame.font)
    named = [(each, *frame.at(each.x, each.y)) for each in frame.plot.series if each.names_shown]
    spots = [(x, y) for _, xs, ys in named for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
    taken = [QRectF(x - DOT, y - DOT, 2 * DOT, 2 * DOT) for x, y in spots]
    for each, xs, ys in named:
        for label, x, y in zip(each.labels, xs.tolist(), ys.tolist(), strict=False):
            width, height = metrics.horizontalAdvance(label), metrics.height()
            beside = ((x + DOT + 3, y - height / 2), (x - DOT - 3 - width, y - height / 2))
            across = ((x - width / 2, y - DOT - 2 - height), (x - width / 2, y + DOT + 2))
            askew = ((x + DOT + 3, y + height / 2 + 1), (x + DOT + 3, y - 1.5 * height - 1))
            boxes = (QRectF(left, top, width, height) for left, top in (*beside, *across, *askew))
            free = (b for b in boxes if frame.area.contains(b) and not any(b.intersects(other) for other in taken))
            box = next(free, None)
            if box is not None:
                taken.append(box)
                spot = QPointF(box.left(), box.bottom() - metrics.descent())
                _word(painter, frame.font, spot, label, theme.current().text)


def _word(painter: QPainter, font: QFont, spot: QPointF, word: str, color: QColor) -> None:
    """Text that stays readable on whatever lines and areas cross it.

    In a file its outline is stroked. That takes 5 ms on screen, where it is written around itself instead.
    """
    ground = theme.current().base
    if painter.paintEngine().type() is QPaintEngine.Type.Raster:
        painter.setPen(ground)
        for aside in AROUND:
            painter.drawText(spot + aside, word)
    else:
        outline = QPainterPath()
        outline.addText(spot, font, word)
        rim = QPen(ground, HALO, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.strokePath(outline, rim)
        painter.restore()
    painter.setPen(color)
    painter.drawText(spot, word)


def _legend(painter: QPainter, frame: Frame) -> None:
    metrics, colors = QFontMetricsF(frame.font), frame.plot.colors()
    y = frame.legend.top()
    for row in legend_rows(frame.plot, metrics, frame.legend.width()):
        x = frame.legend.left()
        for number in row:
            each = frame.plot.series[number]
            swatch = QRectF(x, y + metrics.height() / 2 - SWATCH / 2, SWATCH, SWATCH)
            if each.draw is Draw.LINE:
                swatch = QRectF(x, y + metrics.height() / 2 - 1.5, SWATCH, 3)
            painter.fillRect(swatch, color_of(colors[number]))
            painter.setPen(theme.current().text)
            painter.drawText(QPointF(x + SWATCH + PAD / 2, y + metrics.ascent()), each.name)
            x += SWATCH + PAD / 2 + metrics.horizontalAdvance(each.name) + 2 * PAD
        y += metrics.height() + 3
