"""Paints a heat map with its axes: on the screen, and on paper."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QImage, QPainter, QPen

from llmlab.ui import theme
from llmlab.ui.widgets.heatmap import colours
from llmlab.ui.widgets.heatmap.legend import paint_bar, paint_labels, paint_note
from llmlab.ui.widgets.heatmap.norm import nice_limit
from llmlab.ui.widgets.heatmap.picture import HeatPart
from llmlab.ui.widgets.heatmap.scene import Scene, below, cell_rect, extent_of, level_of, row_rect

HATCHING = 8.0  # pixels from one oblique line to the next, where cells are masked
GRID_FROM = 14.0  # pixels of a cell from which on cells have gaps


def paint(painter: QPainter, scene: Scene) -> None:
    """The map, its labels, colour bar, note and profile."""
    painter.setFont(scene.font)
    painter.save()
    painter.setClipRect(extent_of(scene))
    _masked_ground(painter, extent_of(scene))
    for part in (scene.picture.base, scene.picture.detail):
        if part is not None:
            _paint_part(painter, scene, part)
    _paint_marks(painter, scene)
    painter.restore()
    _paint_lines(painter, scene)
    paint_labels(painter, scene)
    paint_bar(painter, scene)
    paint_note(painter, scene)
    if scene.marks.profile is not None:
        _paint_profile(painter, scene)


def _masked_ground(painter: QPainter, area: QRectF) -> None:
    """What shows through where cells are masked. Lines, because a pattern brush is slow on large areas."""
    painter.fillRect(area, colours.masked_color())
    painter.setPen(QPen(theme.current().border, 1))
    first, last = area.left() + area.top(), area.right() + area.bottom()
    start = math.ceil(first / HATCHING) * HATCHING
    lines = []
    for number in range(int((last - start) / HATCHING) + 1):
        total = start + number * HATCHING  # of x and y along the line
        left, right = max(area.left(), total - area.bottom()), min(area.right(), total - area.top())
        lines.append(QLineF(left, total - left, right, total - right))
    painter.drawLines(lines)


def _paint_part(painter: QPainter, scene: Scene, part: HeatPart) -> None:
    """The visible cells of the right level, each drawn as a rectangle of one colour."""
    camera, area = scene.camera, scene.frame.map
    level = level_of(scene, part)
    codes = part.heat.levels[level]
    units = part.per * 2**level
    top, left = (camera.row - part.row) / units, (camera.column - part.column) / units
    rows, columns = codes.shape
    first, last = max(0, math.floor(top)), min(rows, math.ceil(top + area.height() / (camera.height * units)))
    start, stop = max(0, math.floor(left)), min(columns, math.ceil(left + area.width() / (camera.width * units)))
    if first >= last or start >= stop:
        return
    colors = np.take(colours.table(scene.norm), codes[first:last, start:stop])
    target = QRectF(
        area.left() + (start - left) * camera.width * units,
        area.top() + (first - top) * camera.height * units,
        (stop - start) * camera.width * units,
        (last - first) * camera.height * units,
    )
    image = QImage(
        colors.data, stop - start, last - first, 4 * (stop - start), QImage.Format.Format_ARGB32_Premultiplied
    )
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=False)
    painter.drawImage(target, image)
    if min(camera.width, camera.height) * units >= GRID_FROM:
        _paint_grid(painter, target, stop - start, last - first)


def _paint_grid(painter: QPainter, area: QRectF, columns: int, rows: int) -> None:
    painter.setPen(QPen(theme.current().base, 1))
    for column in range(1, columns):
        x = area.left() + column * area.width() / columns
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
    for row in range(1, rows):
        y = area.top() + row * area.height() / rows
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))


def _paint_marks(painter: QPainter, scene: Scene) -> None:
    colors, marks = theme.current(), scene.marks
    for row in marks.pinned:
        rect = row_rect(scene, row)
        painter.setPen(QPen(colors.accent, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(rect.adjusted(0.75, 0, -0.75, 0) if rect.height() > 3 else rect.adjusted(0, -1, 0, 1))
    for cell, width in ((marks.cursor, 2.0), (marks.hovered, 1.5)):
        if cell is not None:
            rect = cell_rect(scene, *cell)
            grow = max(0.0, 4 - min(rect.width(), rect.height()))
            rect = rect.adjusted(-grow, -grow, grow, grow)
            painter.setPen(QPen(colors.base, width + 2))
            painter.drawRect(rect)
            painter.setPen(QPen(colors.text, width))
            painter.drawRect(rect)


def _paint_lines(painter: QPainter, scene: Scene) -> None:
    colors, extent, camera, area = theme.current(), extent_of(scene), scene.camera, scene.frame.map
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(colors.border, 1))
    painter.drawRect(extent)
    painter.setPen(QPen(colors.cut_line, 1.5, Qt.PenStyle.DashLine))
    if scene.picture.row_line is not None:
        y = area.top() + (scene.picture.row_line - camera.row) * camera.height
        if extent.top() < y < extent.bottom():
            painter.drawLine(QPointF(extent.left(), y), QPointF(extent.right(), y))
    if scene.picture.column_line is not None:
        x = area.left() + (scene.picture.column_line - camera.column) * camera.width
        if extent.left() < x < extent.right():
            painter.drawLine(QPointF(x, extent.top()), QPointF(x, extent.bottom()))


def _paint_profile(painter: QPainter, scene: Scene) -> None:
    """The sum of the pinned rows: a bar for each key, under its column."""
    profile, area, camera = scene.marks.profile, scene.frame.profile, scene.camera
    if profile is None or not len(profile):
        return
    colors, extent = theme.current(), extent_of(scene)
    area = QRectF(extent.left(), below(scene), extent.width(), area.height())
    painter.fillRect(area, colors.base)
    pixels = max(1, math.ceil(area.width()))
    finite = np.where(np.isfinite(profile) & (profile > 0), profile, 0)
    high = nice_limit(float(finite.max(initial=0)))
    painter.save()
    painter.setClipRect(area)
    if camera.width >= 2:
        first = max(0, math.floor(camera.column))
        last = min(len(finite), math.ceil(camera.column + area.width() / camera.width))
        for column in range(first, last):
            height = finite[column] / high * (area.height() - 4)
            x = scene.frame.map.left() + (column - camera.column) * camera.width
            painter.fillRect(QRectF(x + 0.5, area.bottom() - height, camera.width - 1, height), colors.bar_kept)
    else:
        edges = np.clip(camera.column + np.arange(pixels + 1) / camera.width, 0, len(finite)).astype(np.intp)
        for x in range(pixels):
            piece = finite[edges[x] : max(edges[x] + 1, edges[x + 1])]
            height = float(piece.max(initial=0)) / high * (area.height() - 4)
            painter.fillRect(QRectF(area.left() + x, area.bottom() - height, 1, height), colors.bar_kept)
    painter.restore()
    painter.setPen(QPen(colors.border, 1))
    painter.drawRect(area)
    painter.setPen(colors.muted)
    count = len(scene.marks.pinned)
    right = QRectF(area.right() + 5, area.top() - 2, 60, 16)
    painter.drawText(right, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, f"{high:.3g}")
    label = "pinned row" if count == 1 else f"sum of {count}"
    rect = QRectF(0, area.top(), max(0.0, scene.frame.rows.width()), area.height())
    painter.drawText(rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)
