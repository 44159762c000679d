"""The cells of a sweep as a heat map with its numbers written in."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.sweep_grid import METRICS, Swept

PAD = theme.SPACE // 2
EMPTY = "Sweep writes texts with every pair of these values. Each pair becomes a cell here, coloured by its measure."


class SweepMap(QWidget):
    """A cell for each pair of values. `chosen` carries row and column; arrow keys go from cell to cell."""

    chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._swept: Swept | None = None
        self._metric = next(iter(METRICS))
        self.selected = (0, 0)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Heat map of the sweep")
        theme.changed.connect(self.update)

    def show_swept(self, swept: Swept | None, metric: str) -> None:
        """Show these cells, coloured by `metric`."""
        if swept is not self._swept:
            self.selected = (0, 0)
        self._swept, self._metric = swept, metric
        self.setAccessibleDescription(self._words(*self.selected) if swept is not None else EMPTY)
        self.update()

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 110)

    def sizeHint(self) -> QSize:
        return QSize(380, 180)

    # --- places ---------------------------------------------------------------------------------------------

    def place_of(self, row: int, column: int) -> QRectF:
        """Where a cell lies."""
        area, (rows, columns) = self._area(), self._shape
        width, height = area.width() / max(1, columns), area.height() / max(1, rows)
        return QRectF(area.left() + column * width, area.top() + row * height, width, height)

    def cell_at(self, point: QPointF) -> tuple[int, int] | None:
        """The cell under a point."""
        rows, columns = self._shape
        cells = ((row, column) for row in range(rows) for column in range(columns))
        return next((cell for cell in cells if self.place_of(*cell).contains(point)), None)

    @property
    def _shape(self) -> tuple[int, int]:
        if self._swept is None:
            return 0, 0
        return len(self._swept.grid.rows.values), len(self._swept.grid.columns.values)

    def _area(self) -> QRectF:
        """Where the cells are: the rest is the axes'."""
        metrics = QFontMetrics(self.font())
        left = metrics.height() + 2 * PAD + metrics.horizontalAdvance("00.00")
        bottom = 2 * metrics.height() + 2 * PAD
        return QRectF(left, PAD, max(1, self.width() - left - PAD), max(1, self.height() - bottom - PAD))

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, swept = QPainter(self), theme.current(), self._swept
        painter.fillRect(event.rect(), colors.base)
        if swept is None:
            room = self.rect().adjusted(2 * theme.SPACE, PAD, -2 * theme.SPACE, -PAD)
            painter.setPen(colors.muted)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, EMPTY)
            painter.end()
            return
        rows, columns = self._shape
        values = {
            (row, column): swept.value(self._metric, row, column) for row in range(rows) for column in range(columns)
        }
        known = [value for value in values.values() if value is not None]
        low, high = min(known, default=0.0), max(known, default=0.0)
        for cell, value in values.items():
            self._paint_cell(painter, cell, value, low, high)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colors.accent, 2))
        painter.drawRect(self.place_of(*self.selected).adjusted(2, 2, -2, -2))
        self._paint_axes(painter, swept)
        painter.end()

    def _paint_cell(
        self, painter: QPainter, cell: tuple[int, int], value: float | None, low: float, high: float
    ) -> None:
        colors, place = theme.current(), self.place_of(*cell).adjusted(1, 1, -1, -1)
        if value is None:
            painter.fillRect(place, colors.raised)
            painter.setPen(colors.muted)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, "…" if not self._finished(cell) else "–")
            return
        share = (value - low) / (high - low) if high > low else 0.5
        shade = theme.probability_color(share)
        painter.fillRect(place, shade.background)
        painter.setPen(shade.text)
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, METRICS[self._metric][1].format(value))

    def _finished(self, cell: tuple[int, int]) -> bool:
        return self._swept is not None and self._swept.finished(*cell)

    def _paint_axes(self, painter: QPainter, swept: Swept) -> None:
        colors, metrics, area = theme.current(), QFontMetrics(self.font()), self._area()
        rows, columns = self._shape
        line = metrics.height()
        painter.setPen(colors.muted)
        for row in range(rows):
            place = self.place_of(row, 0)
            box = QRectF(line + PAD, place.top(), area.left() - line - 2 * PAD, place.height())
            painter.drawText(
                box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, swept.grid.rows.words(row)
            )
        for column in range(columns):
            place = self.place_of(0, column)
            box = QRectF(place.left(), area.bottom() + 1, place.width(), line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, swept.grid.columns.words(column))
        painter.setPen(colors.text)
        below = QRectF(area.left(), area.bottom() + line + 2, area.width(), line)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, swept.grid.columns.label)
        painter.save()
        painter.translate(0, area.bottom())
        painter.rotate(-90)
        painter.drawText(QRectF(0, 0, area.height(), line + PAD), Qt.AlignmentFlag.AlignCenter, swept.grid.rows.label)
        painter.restore()

    # --- choosing -------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        cell = self.cell_at(event.position())
        if cell is not None and event.button() == Qt.MouseButton.LeftButton:
            self._choose(*cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, (rows, columns), (row, column) = Qt.Key, self._shape, self.selected
        by = {key.Key_Left: (0, -1), key.Key_Right: (0, 1), key.Key_Up: (-1, 0), key.Key_Down: (1, 0)}
        step = by.get(Qt.Key(event.key()))
        if step is None or not rows:
            super().keyPressEvent(event)
            return
        self._choose(min(max(0, row + step[0]), rows - 1), min(max(0, column + step[1]), columns - 1))

    def _choose(self, row: int, column: int) -> None:
        self.selected = (row, column)
        self.setAccessibleDescription(self._words(row, column))
        self.update()
        self.chosen.emit(row, column)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            cell = self.cell_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self._words(*cell) if cell is not None else "", self)
            return True
        return super().event(event)

    def _words(self, row: int, column: int) -> str:
        """All measures of a cell, exactly."""
        swept = self._swept
        if swept is None:
            return ""
        grid = swept.grid
        head = f"{grid.columns.label} {grid.columns.words(column)}, {grid.rows.label} {grid.rows.words(row)}"
        lines = [head]
        for metric, (label, _, _, _) in METRICS.items():
            value = swept.value(metric, row, column)
            lines.append(f"{label} {value:.6f}" if value is not None else f"{label} –")
        return "\n".join(lines)
