"""A vector as a strip of coloured cells: one a dimension, on a symmetric scale whose ends are written beside it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.plane import tick_name
from llmlab.ui.panels.tokens.vectors import Looked
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, HoverCard

NARROWEST = 2  # pixels of a cell; what has no room continues in the next row
ROW = 7  # pixels, the least height of a row
HEIGHT = 36
LEVELS = 256
GRADIENT = 64  # pixels of the scale


def diverging(dark: bool) -> np.ndarray:
    """Blue for negative, the base for 0, orange for positive values: uint8 (256, 3). Safe for colour blindness."""
    colors = theme.DARK if dark else theme.LIGHT
    low, middle, high = colors.bar_kept, colors.base, colors.cut_line
    half = LEVELS // 2
    shades = [theme.mix(low, middle, i / (half - 1)) for i in range(half)]
    shades += [theme.mix(middle, high, i / (half - 1)) for i in range(half)]
    return np.array([theme.channels(color) for color in shades], np.uint8)


class VectorStrip(QWidget):
    """Hover for the exact value; the arrow keys walk from dimension to dimension."""

    copy_asked = Signal()  # Ctrl+C

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._looked: Looked | None = None
        self._image: QImage | None = None
        self._made: tuple[object, int, int, bool] | None = None
        self._card = HoverCard(self)
        self.current = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Values of the vector")
        theme.changed.connect(self.update)

    def set_looked(self, looked: Looked | None) -> None:
        """Show another vector, or none."""
        self._looked, self.current = looked, -1
        self._card.hide()
        name = f"Values of the vector of {looked.name}, {looked.of_layer}" if looked else "Values of the vector"
        self.setAccessibleName(name)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(400, max(HEIGHT, ROW * self._rows(self.width())))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometry()

    # --- places ---------------------------------------------------------------------------------------------

    @property
    def _ends(self) -> tuple[str, str]:
        limit = tick_name(self._looked.limit) if self._looked else "1"
        return f"−{limit}", f"+{limit}"

    def _cells(self) -> QRect:
        """The room of the cells; the scale stands to the right."""
        metrics = QFontMetrics(self.font())
        scale = sum(metrics.horizontalAdvance(end) for end in self._ends) + GRADIENT + 4 * theme.SPACE
        return QRect(0, 0, max(1, self.width() - scale), self.height())

    def _rows(self, width: int) -> int:
        size = len(self._looked.vector) if self._looked else 1
        room = max(1, (width - GRADIENT - 16 * theme.SPACE) // NARROWEST)
        return max(1, -(-size // room))

    def _columns(self) -> int:
        assert self._looked is not None
        return -(-len(self._looked.vector) // self._rows(self.width()))

    def rect_of(self, dimension: int) -> QRect:
        """The cell of a dimension."""
        cells, columns, rows = self._cells(), self._columns(), self._rows(self.width())
        row, column = divmod(dimension, columns)
        left, right = (cells.width() * (column + more) // columns for more in (0, 1))
        top, bottom = (cells.height() * (row + more) // rows for more in (0, 1))
        return QRect(left, top, right - left, bottom - top)

    def dimension_at(self, point: QPoint) -> int:
        """The dimension under `point`, −1 for none."""
        cells = self._cells()
        if self._looked is None or not cells.contains(point):
            return -1
        columns, rows = self._columns(), self._rows(self.width())
        row = ((point.y() + 1) * rows - 1) // cells.height()  # as `rect_of` rounds
        column = ((point.x() + 1) * columns - 1) // cells.width()
        dimension = row * columns + column
        return dimension if dimension < len(self._looked.vector) else -1

    # --- what the user does ---------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point_at(self.dimension_at(event.position().toPoint()), event.globalPosition().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        self._point_at(-1)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._point_at(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, last = Qt.Key, len(self._looked.vector) - 1 if self._looked else -1
        goals = {
            key.Key_Left: self.current - 1,
            key.Key_Right: self.current + 1,
            key.Key_Home: 0,
            key.Key_End: last,
        }
        goal = goals.get(Qt.Key(event.key()))
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_asked.emit()
        elif goal is not None and last >= 0:
            self._point_at(min(max(goal, 0), last))
        elif event.key() == key.Key_Escape and self._card.isVisible():
            self._point_at(-1)
        else:
            super().keyPressEvent(event)

    def _point_at(self, dimension: int, where: QPoint | None = None) -> None:
        self.current = dimension
        self.update()
        if self._looked is None or dimension < 0:
            self._card.hide()
            return
        value = numbers.exact(float(self._looked.vector[dimension]))
        self.setAccessibleDescription(f"Dimension {dimension}: {value}")
        facts = (("value", value), ("of", f"{len(self._looked.vector):,} dimensions"))
        place = where or self.mapToGlobal(self.rect_of(dimension).bottomRight())
        self._card.show_at(Card(f"dimension {dimension}", facts), place)

    # --- painting -------------------------------------------------------------------------------------------

    def _picture(self) -> QImage:
        """One pixel a dimension, in rows."""
        assert self._looked is not None
        columns, rows, dark = self._columns(), self._rows(self.width()), theme.current().dark
        key = (self._looked, columns, rows, dark)
        if self._image is None or self._made != key:
            table = diverging(dark)
            share = np.nan_to_num(self._looked.vector / self._looked.limit, nan=0.0).clip(-1, 1)
            levels = np.round((share + 1) / 2 * (LEVELS - 1)).astype(np.int64)
            empty = np.array(theme.channels(theme.current().window), np.uint8)
            pixels = np.empty((rows * columns, 3), np.uint8)
            pixels[:] = empty
            pixels[: len(levels)] = table[levels]
            data = np.ascontiguousarray(pixels.reshape(rows, columns, 3))
            image = QImage(data.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
            self._image, self._made = image.copy(), key  # the copy owns its bytes
        return self._image

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        if self._looked is not None:
            cells = self._cells()
            painter.drawImage(cells, self._picture())
            painter.setPen(colors.border)
            painter.drawRect(cells.adjusted(0, 0, -1, -1))
            if self.current >= 0:
                painter.setPen(QPen(colors.text, 1))
                painter.drawRect(self.rect_of(self.current).adjusted(0, 0, -1, -1))
            self._paint_scale(painter, cells.right() + 2 * theme.SPACE)
        painter.end()

    def _paint_scale(self, painter: QPainter, left: int) -> None:
        metrics, colors = QFontMetrics(self.font()), theme.current()
        low, high = self._ends
        center = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(colors.muted)
        painter.drawText(QRect(left, 0, 200, self.height()), center, low)
        left += metrics.horizontalAdvance(low) + theme.SPACE // 2
        table, height = diverging(colors.dark), metrics.height()
        top = (self.height() - height) // 2
        for x in range(GRADIENT):
            painter.fillRect(left + x, top, 1, height, QColor(*table[x * (LEVELS - 1) // (GRADIENT - 1)].tolist()))
        painter.drawRect(left - 1, top - 1, GRADIENT + 1, height + 1)
        painter.drawText(QRect(left + GRADIENT + theme.SPACE // 2, 0, 200, self.height()), center, high)
