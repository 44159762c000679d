"""What stands around the cells of a heat map: tokens on the axes, the colour bar, the note below."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QFontMetricsF, QImage, QPainter, QPen

from llmlab.ui import theme
from llmlab.ui.widgets.heatmap import colours
from llmlab.ui.widgets.heatmap.axes import GAP, visible_labels
from llmlab.ui.widgets.heatmap.codes import NAN
from llmlab.ui.widgets.heatmap.norm import Scale
from llmlab.ui.widgets.heatmap.scene import Scene, below, extent_of, pooled

SHORTEST_BAR = 110.0  # pixels, so that its numbers have room
NAMES = {
    Scale.LINEAR: "weight",
    Scale.LOG: "weight, log scale",
    Scale.ROW: "share of the row's largest",
    Scale.DIFFERENCE: "difference",
}


def paint_labels(painter: QPainter, scene: Scene) -> None:
    """The tokens on both axes."""
    picture, camera, frame = scene.picture, scene.camera, scene.frame
    metrics = QFontMetricsF(scene.font)
    line = metrics.height()
    strong = {scene.marks.hovered[0]} if scene.marks.hovered else set()
    extent = extent_of(scene)
    rows = picture.row_labels if frame.rows.isValid() else ()
    for unit, middle, text in visible_labels(rows, camera.row, camera.height, frame.map.height(), line):
        if unit not in strong:
            _row_label(painter, scene, middle, text, pinned=unit in scene.marks.pinned)
    hovered = scene.marks.hovered
    for unit, middle, text in visible_labels(
        picture.column_labels, camera.column, camera.width, frame.map.width(), line
    ):
        if hovered is None or unit != hovered[1]:
            _column_label(painter, scene, middle, text)
    if hovered is not None:
        row, column = hovered
        y, x = (row + 0.5 - camera.row) * camera.height, (column + 0.5 - camera.column) * camera.width
        if rows and 0 <= y <= extent.height():
            _row_label(painter, scene, y, picture.row_labels[row], hovered=True)
        if 0 <= x <= extent.width():
            _column_label(painter, scene, x, picture.column_labels[column], hovered=True)
    _axis_titles(painter, scene)


def _row_label(
    painter: QPainter, scene: Scene, middle: float, text: str, *, pinned: bool = False, hovered: bool = False
) -> None:
    colors, area = theme.current(), scene.frame.rows
    metrics = QFontMetricsF(scene.font)
    rect = QRectF(area.left() + 14, area.top() + middle - metrics.height() / 2, area.width() - 14, metrics.height())
    if hovered:
        painter.fillRect(rect, colors.accent_base)
    painter.setPen(colors.text if hovered else colors.accent if pinned else colors.muted)
    text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)


def _column_label(painter: QPainter, scene: Scene, middle: float, text: str, *, hovered: bool = False) -> None:
    """Turned, so that it reads upwards from the map."""
    colors, area = theme.current(), scene.frame.columns
    metrics = QFontMetricsF(scene.font)
    length, line = area.height() - 14, metrics.height()
    painter.save()
    painter.translate(area.left() + middle, area.bottom())
    painter.rotate(-90)
    rect = QRectF(0, -line / 2, length, line)
    if hovered:
        painter.fillRect(rect, colors.accent_base)
    painter.setPen(colors.text if hovered else colors.muted)
    text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, length)
    painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
    painter.restore()


def _axis_titles(painter: QPainter, scene: Scene) -> None:
    painter.setPen(theme.current().muted)
    rows = scene.frame.rows
    center = Qt.AlignmentFlag.AlignCenter
    extent = extent_of(scene)
    painter.drawText(QRectF(extent.center().x() - 150, 0, 300, 14), center, f"{scene.picture.column_name} →")
    if rows.isEmpty():
        return
    painter.save()
    painter.translate(rows.left() + 6, extent.center().y())
    painter.rotate(-90)
    painter.drawText(QRectF(-150, -7, 300, 14), center, f"← {scene.picture.row_name}")
    painter.restore()


def paint_bar(painter: QPainter, scene: Scene) -> None:
    """Which colour stands for which number."""
    colors, bar, norm = theme.current(), QRectF(scene.frame.bar), scene.norm
    if bar.isEmpty():
        return
    extent = extent_of(scene)
    bar.moveLeft(extent.right() + 2 * GAP)
    bar.setHeight(min(bar.height(), max(SHORTEST_BAR, extent.height())))
    shades = colours.diverging(colors.dark) if norm.scale is Scale.DIFFERENCE else colours.heat()
    column = np.ascontiguousarray(shades[::-1]).reshape(-1, 1)
    image = QImage(column.data, 1, len(column), 4, QImage.Format.Format_RGB32)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=False)
    painter.drawImage(bar, image)
    painter.setPen(QPen(colors.border, 1))
    painter.drawRect(bar)
    painter.setPen(colors.muted)
    for place, text in norm.ticks():
        y = bar.bottom() - place * bar.height()
        painter.drawLine(QPointF(bar.right(), y), QPointF(bar.right() + 3, y))
        painter.drawText(
            QRectF(bar.right() + 5, y - 8, 50, 16), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text
        )


def paint_note(painter: QPainter, scene: Scene) -> None:
    """What the colours mean, and whether cells are maxima."""
    colors, area = theme.current(), QRectF(scene.frame.note)
    area.moveTop(below(scene) + (scene.frame.profile.height() + GAP if scene.marks.profile is not None else 0))
    metrics = QFontMetricsF(scene.font)
    x = scene.frame.map.left()
    parts: list[tuple[object, str]] = [(None, scene.name or NAMES[scene.norm.scale])]
    count = pooled(scene)
    if count > 1:
        parts.append((None, f"max-pooled {count} × {count}: zoom in for single weights"))
    parts.extend(_strange(scene))
    for swatch, text in parts:
        width = metrics.horizontalAdvance(text) + (18 if swatch is not None else 0)
        if x + width > area.right():
            return
        if swatch is not None:
            box = QRectF(x, area.center().y() - 5, 12, 10)
            painter.fillRect(box, colours.masked_color() if swatch == "masked" else swatch)
            if swatch == "masked":
                painter.fillRect(box, QBrush(colors.border, Qt.BrushStyle.BDiagPattern))
            painter.setPen(QPen(colors.border, 1))
            painter.drawRect(box)
        painter.setPen(colors.muted)
        left = x + (18 if swatch is not None else 0)
        painter.drawText(QRectF(left, area.top(), width, area.height()), Qt.AlignmentFlag.AlignVCenter, text)
        x += width + 3 * GAP


def _strange(scene: Scene) -> list[tuple[object, str]]:
    """Swatches of what occurs somewhere in the map and is no weight."""
    top = int(scene.picture.base.heat.levels[-1].max())
    parts: list[tuple[object, str]] = []
    if scene.picture.base.heat.masked:
        parts.append(("masked", "cannot be compared" if scene.norm.scale is Scale.DIFFERENCE else "masked"))
    if scene.norm.scale is not Scale.DIFFERENCE:
        if top >= NAN:
            parts.append((colours.NAN_COLOR, "NaN"))
        if scene.picture.base.heat.infinite:
            parts.append((colours.INFINITY_COLOR, "infinity"))
    return parts
