"""A heat map on the screen: what it shows, which part, how large. What the mouse and the keys do is in `view`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.engine.types import Float32
from llmlab.ui import theme
from llmlab.ui.widgets.heatmap import axes
from llmlab.ui.widgets.heatmap.camera import Camera
from llmlab.ui.widgets.heatmap.norm import Norm
from llmlab.ui.widgets.heatmap.paint import paint
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture
from llmlab.ui.widgets.heatmap.scene import Marks, Scene, cell_rect, pooled


@dataclass(frozen=True, slots=True)
class CellAt:
    """A unit of the map under the mouse or the cursor, and where on the screen."""

    row: int
    column: int


class HeatCanvas(QWidget):
    """Shows a part of a `HeatPicture`; `moved` carries the Camera after the user has zoomed or panned."""

    moved = Signal(object)

    def __init__(
        self, name: str = "Heat map", *, rows: bool = True, bar: bool = True, parent: QWidget | None = None
    ) -> None:
        """`rows`, `bar`: whether it has labels of its rows, and a colour bar; see `Chrome`."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(name)
        self.norm = Norm()
        self.camera = Camera()
        self.picture: HeatPicture | None = None
        self.name = ""  # of the numbers, beside the scale
        self._marks = Marks()
        self._chrome = axes.Chrome(rows=rows, bar=bar)
        self._font = axes.label_font()
        self._fitted = True  # follows the widget's size until the user zooms
        theme.changed.connect(self.update)

    # --- what is shown --------------------------------------------------------------------------------------

    def set_picture(self, picture: HeatPicture | None) -> None:
        """Show another map; the place that is looked at stays where the map has the same size."""
        former, self.picture = self.picture, picture
        if picture is None:
            self._marks = Marks()
        elif former is None or (former.rows, former.columns) != (picture.rows, picture.columns):
            self._marks, self._fitted = Marks(), True
        if picture is not None:
            if former is None or (former.row_labels, former.column_labels) != (
                picture.row_labels,
                picture.column_labels,
            ):
                left, top = axes.label_room(picture, self._font)
                self._chrome = replace(self._chrome, left=left, top=top)
            self._settle()
        self.update()

    def set_norm(self, norm: Norm, name: str = "") -> None:
        """Colour the same codes by another scale."""
        self.norm, self.name = norm, name
        self.update()

    def set_detail(self, detail: HeatPart | None) -> None:
        """Show a part exactly, over the pooled map."""
        if self.picture is not None:
            self.picture = replace(self.picture, detail=detail)
            self.update()

    def set_pinned(self, rows: tuple[int, ...], profile: Float32 | None = None) -> None:
        """Mark rows, and show their sum below the map."""
        self._marks = replace(self._marks, pinned=rows, profile=profile)
        self._settle()
        self.update()

    def set_camera(self, camera: Camera) -> None:
        """Look at another part, without a signal."""
        self._fitted = False
        self.camera = camera
        self._settle()
        self.update()

    def point_at(self, cell: CellAt | None) -> None:
        """Mark a cell as the mouse would, without a signal."""
        self._marks = replace(self._marks, hovered=None if cell is None else (cell.row, cell.column))
        self.update()

    @property
    def cursor_cell(self) -> CellAt | None:
        """Where the arrow keys are."""
        return CellAt(*self._marks.cursor) if self._marks.cursor else None

    @property
    def pooled(self) -> int:
        """How many units, in each direction, a painted cell is the maximum of."""
        scene = self.scene()
        return pooled(scene) if scene else 1

    def scene(self, pixels: float | None = None) -> Scene | None:
        """Everything that painting needs; `pixels` device pixels in one of the widget's."""
        if self.picture is None:
            return None
        profile = self._marks.profile is not None
        frame = axes.frame(self.width(), self.height(), replace(self._chrome, profile=profile))
        return Scene(
            self.picture,
            self.camera,
            self.norm,
            frame,
            self._font,
            self.name,
            self._marks,
            pixels or self.devicePixelRatioF(),
        )

    def render_on(self, painter: QPainter, scale: float) -> None:
        """Paint what is seen, without the mouse's marks; `scale` device pixels in one of the widget's."""
        scene = self.scene(scale)
        if scene is not None:
            paint(painter, replace(scene, marks=replace(self._marks, hovered=None, cursor=None)))

    def image(self, scale: float = 1.0) -> QImage:
        """What is seen as a picture of `scale` times the widget's pixels."""
        image = QImage(self.size() * scale, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        image.fill(theme.current().base)
        painter = QPainter(image)
        self.render_on(painter, scale)
        painter.end()
        return image

    # --- the place that is looked at ------------------------------------------------------------------------

    def fit(self) -> None:
        """The whole map."""
        self._fitted = True
        self._settle()
        self._has_moved()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Larger or smaller cells around a point of the widget, the middle where None."""
        scene = self.scene()
        if scene is None:
            return
        area = scene.frame.map
        point = (at or area.center()) - area.topLeft()
        self._fitted = False
        self.camera = self.camera.zoomed(factor, point.x(), point.y())
        self._settle()
        self._has_moved()

    def pan(self, delta: QPointF) -> None:
        """Move the map by pixels."""
        self._fitted = False
        self.camera = self.camera.panned(delta.x(), delta.y())
        self._settle()
        self._has_moved()

    def _settle(self) -> None:
        """Keep the camera inside the map, or at the whole of it."""
        picture, area = self.picture, self._area()
        if picture is None:
            return
        size = (area.width(), area.height())
        if self._fitted:
            self.camera = Camera.fit(picture.rows, picture.columns, *size)
        else:
            self.camera = self.camera.bounded(picture.rows, picture.columns, *size)

    def _has_moved(self) -> None:
        self.moved.emit(self.camera)
        self.update()

    def _area(self) -> QRectF:
        scene = self.scene()
        return scene.frame.map if scene else QRectF()

    def seen(self) -> tuple[int, int, int, int]:
        """The units that are seen: first row, row after the last, first column, column after the last."""
        scene = self.scene()
        return axes.seen(scene.picture, scene.camera, scene.frame.map) if scene else (0, 0, 0, 0)

    def cell_at(self, point: QPointF) -> CellAt | None:
        """The unit at a point of the widget."""
        picture, area = self.picture, self._area()
        if picture is None or not area.contains(point):
            return None
        row = int(self.camera.row + (point.y() - area.top()) / self.camera.height)
        column = int(self.camera.column + (point.x() - area.left()) / self.camera.width)
        return CellAt(row, column) if row < picture.rows and column < picture.columns else None

    def rect_of(self, cell: CellAt) -> QRectF:
        """Where a unit is, in the widget's pixels; its part of the map may not be seen."""
        scene = self.scene()
        return cell_rect(scene, cell.row, cell.column) if scene else QRectF()

    def row_at(self, point: QPointF) -> int | None:
        """The row at a point of the widget, of the map or of the labels beside it."""
        area = self._area()
        inside = QPointF(max(point.x(), area.left()), point.y())
        cell = self.cell_at(inside)
        return None if cell is None else cell.row

    # --- painting ---------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(520, 440)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 180)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._settle()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._font = axes.label_font()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), theme.current().base)
        scene = self.scene()
        if scene is not None:
            paint(painter, scene)
        if self.hasFocus():
            painter.setPen(theme.current().accent)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()
