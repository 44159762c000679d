"""The heat map as a widget: zoom, pan, keyboard, exact values under the mouse."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from llmlab.ui.widgets.heatmap.camera import ZOOM_STEP
from llmlab.ui.widgets.heatmap.canvas import CellAt, HeatCanvas

ONLY, TOGGLE, RANGE = "only", "toggle", "range"
WHEEL_NOTCH = 120


class HeatMap(HeatCanvas):
    """A heat map that one can move in, and whose rows one can choose.

    `hovered` carries a CellAt or None; `row_chosen` a row and how: "only", "toggle", "range", or -1 for none;
    `menu_asked` a QContextMenuEvent.
    """

    hovered = Signal(object)
    row_chosen = Signal(int, str)
    menu_asked = Signal(object)

    def __init__(
        self, name: str = "Heat map", *, rows: bool = True, bar: bool = True, parent: QWidget | None = None
    ) -> None:
        """`rows`, `bar`: whether it has labels of its rows, and a colour bar; see `Chrome`."""
        super().__init__(name, rows=rows, bar=bar, parent=parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._pressed: QPointF | None = None
        self._dragged: QPointF | None = None

    def wheelEvent(self, event: QWheelEvent) -> None:
        notches = event.angleDelta().y() / WHEEL_NOTCH
        if notches and self.picture is not None:
            self.zoom(ZOOM_STEP**notches, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = self._dragged = event.position()
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed is not None and self._dragged is not None:
            moved = event.position() - self._pressed
            if self._is_dragging() or moved.manhattanLength() >= QApplication.startDragDistance():
                self.setCursor(Qt.CursorShape.ClosedHandCursor)
                self.pan(event.position() - self._dragged)
                self._dragged = event.position()
            return
        self._hover(self.cell_at(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or self._pressed is None:
            return
        dragging, self._pressed, self._dragged = self._is_dragging(), None, None
        self.unsetCursor()
        row = None if dragging else self.row_at(event.position())
        if row is not None:
            self.row_chosen.emit(row, _how(event.modifiers()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.fit()
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(None)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self.menu_asked.emit(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, picture = Qt.Key(event.key()), self.picture
        step = {Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1)}
        if picture is None:
            super().keyPressEvent(event)
        elif key in step:
            self._step(*step[key], 10 if event.modifiers() & Qt.KeyboardModifier.ControlModifier else 1)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(ZOOM_STEP)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1 / ZOOM_STEP)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._marks.cursor:
            self.row_chosen.emit(self._marks.cursor[0], _how(event.modifiers()))
        elif key == Qt.Key.Key_Escape and self._marks.pinned:
            self.row_chosen.emit(-1, ONLY)
        else:
            super().keyPressEvent(event)

    def _step(self, down: int, right: int, count: int) -> None:
        picture = self.picture
        assert picture is not None
        first, _, left, _ = self.seen()
        row, column = self._marks.cursor or (first - down * count, left - right * count)
        row = min(max(0, row + down * count), picture.rows - 1)
        column = min(max(0, column + right * count), picture.columns - 1)
        area = self._area()
        camera = self.camera.showing(row, column, area.width(), area.height())
        self._marks = replace(self._marks, cursor=(row, column))
        if camera != self.camera and not self._fitted:
            self.camera = camera
            self._settle()
            self.moved.emit(self.camera)
        self.update()
        self.hovered.emit(CellAt(row, column))

    def _is_dragging(self) -> bool:
        return self.cursor().shape() == Qt.CursorShape.ClosedHandCursor

    def _hover(self, cell: CellAt | None) -> None:
        place = None if cell is None else (cell.row, cell.column)
        if place != self._marks.hovered:
            self._marks = replace(self._marks, hovered=place)
            self.update()
            self.hovered.emit(cell)


def _how(modifiers: Qt.KeyboardModifier) -> str:
    if modifiers & Qt.KeyboardModifier.ShiftModifier:
        return RANGE
    return TOGGLE if modifiers & Qt.KeyboardModifier.ControlModifier else ONLY
