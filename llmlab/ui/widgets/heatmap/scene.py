"""One painting of a heat map: what, where, how large; and where its cells lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6.QtCore import QRectF
from PySide6.QtGui import QFont

from llmlab.engine.types import Float32
from llmlab.ui.widgets.heatmap.axes import GAP, Frame, seen
from llmlab.ui.widgets.heatmap.camera import Camera
from llmlab.ui.widgets.heatmap.norm import Norm
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What is pointed at. `profile` float32 (columns,): the sum of the pinned rows."""

    hovered: tuple[int, int] | None = None
    cursor: tuple[int, int] | None = None
    pinned: tuple[int, ...] = ()
    profile: Float32 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything that one painting needs."""

    picture: HeatPicture
    camera: Camera
    norm: Norm
    frame: Frame
    font: QFont
    name: str = ""  # of the numbers; the scale's own where empty
    marks: Marks = field(default_factory=Marks)
    pixels: float = 1.0  # device pixels in one of the frame's


def extent_of(scene: Scene) -> QRectF:
    """The map's edges as far as they are seen."""
    camera, area, picture = scene.camera, scene.frame.map, scene.picture
    whole = QRectF(
        area.left() - camera.column * camera.width,
        area.top() - camera.row * camera.height,
        picture.columns * camera.width,
        picture.rows * camera.height,
    )
    return whole & area


def below(scene: Scene) -> float:
    """Where what stands under the map begins: close to it, however much room there is."""
    return extent_of(scene).bottom() + GAP


def row_rect(scene: Scene, row: int) -> QRectF:
    """Where a row of the map is on screen."""
    camera, extent = scene.camera, extent_of(scene)
    y = scene.frame.map.top() + (row - camera.row) * camera.height
    return QRectF(extent.left(), y, extent.width(), camera.height)


def cell_rect(scene: Scene, row: int, column: int) -> QRectF:
    """Where a unit is on screen."""
    camera, area = scene.camera, scene.frame.map
    return QRectF(
        area.left() + (column - camera.column) * camera.width,
        area.top() + (row - camera.row) * camera.height,
        camera.width,
        camera.height,
    )


def level_of(scene: Scene, part: HeatPart) -> int:
    """Which level of the part's pyramid is painted."""
    pixels = min(scene.camera.width, scene.camera.height) * scene.pixels * part.per
    return part.heat.level_for(pixels)


def pooled(scene: Scene) -> int:
    """How many units, in each direction, the cells in the middle of what is seen are the maximum of."""
    first, last, left, right = seen(scene.picture, scene.camera, scene.frame.map)
    part = scene.picture.part_at((first + max(first, last - 1)) // 2, (left + max(left, right - 1)) // 2)
    return int(part.per * 2 ** level_of(scene, part))
