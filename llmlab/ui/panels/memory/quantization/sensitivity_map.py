"""The map of sensitivity: a row for each layer, a column for each kind of matrix, coloured by the damage of each."""

from __future__ import annotations

import csv
import io
import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from llmlab.engine.quantization.parts import ELSEWHERE, PartDamage
from llmlab.ui import theme
from llmlab.ui.panels.memory.quantization.figures import decibels, small
from llmlab.ui.panels.memory.quantization.sensitivity_screen import Grid
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.chart.drawn import Pointed
from llmlab.ui.widgets.parts import ShadeLegend
from llmlab.ui.words import size

GAP = 4.0
TALLEST = 44.0  # pixels of a cell
LONGEST = 110.0  # pixels of a name that stands upright
SMALLER = 0.9  # than the names: the numbers in the cells
_STEPS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


class SensitivityMap(Pointed):
    """Shows a `Grid`; `picked` carries the row and the column of a matrix."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Sensitivity of every matrix", parent)
        self.grid: Grid | None = None
        self.setMinimumSize(220, 120)

    def sizeHint(self) -> QSize:
        return QSize(460, 260)

    def show_grid(self, grid: Grid | None) -> None:
        """Show this instead; what is looked at stays if it is still there."""
        self.grid = grid
        if self._under is not None and (grid is None or self._under not in grid.cells):
            self._look(None)
        self.setAccessibleDescription(_described(grid))
        self.update()

    def rect_of(self, row: int, column: int) -> QRectF:
        """Where a cell is, in the widget's pixels."""
        area = self._area()
        grid = self.grid
        assert grid is not None
        width, height = area.width() / len(grid.kinds), min(TALLEST, area.height() / len(grid.layers))
        return QRectF(area.left() + column * width, area.top() + row * height, width, height)

    def _area(self) -> QRectF:
        """The cells, without the names of rows and columns."""
        metrics = QFontMetricsF(self.font())
        assert self.grid is not None
        left = max(metrics.horizontalAdvance(_row_name(name)) for name in self.grid.layers) + 2 * GAP
        longest = max(metrics.horizontalAdvance(name) for name in self.grid.kinds)
        upright = longest + GAP > (self.width() - left) / len(self.grid.kinds)
        top = (min(longest, LONGEST) if upright else metrics.height()) + GAP
        return QRectF(left, top, max(1.0, self.width() - left - 1), max(1.0, self.height() - top - 1))

    # --- painting -------------------------------------------------------------------------------------------------

    def _draw(self, painter: QPainter) -> None:
        grid, colors = self.grid, theme.current()
        painter.fillRect(QRectF(self.rect()), colors.base)
        if grid is None:
            return
        painter.setFont(self.font())
        self._names(painter, grid)
        smaller = QFont(self.font())
        smaller.setPointSizeF(SMALLER * smaller.pointSizeF())
        painter.setFont(smaller)
        for row, column in grid.cells:
            self._cell(painter, grid, row, column)
        if self._under is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colors.accent, 2))
            painter.drawRect(self.rect_of(*self._under).adjusted(1, 1, -2, -2))

    def _cell(self, painter: QPainter, grid: Grid, row: int, column: int) -> None:
        rect, damage = self.rect_of(row, column), grid.damage(row, column)
        inside = rect.adjusted(0, 0, -1, -1) if min(rect.width(), rect.height()) > 4 else rect
        shade = None if damage is None else theme.probability_color(share_of(grid, damage.divergence))
        painter.fillRect(inside, theme.current().raised if shade is None else shade.background)
        text = "" if damage is None else small(damage.divergence)
        metrics = QFontMetricsF(painter.font())
        if (
            shade is not None
            and metrics.horizontalAdvance(text) + 2 < rect.width()
            and metrics.height() <= rect.height()
        ):
            painter.setPen(shade.text)
            painter.drawText(inside, Qt.AlignmentFlag.AlignCenter, text)

    def _names(self, painter: QPainter, grid: Grid) -> None:
        metrics = QFontMetricsF(painter.font())
        painter.setPen(theme.current().muted)
        every = max(1, math.ceil(metrics.height() / self.rect_of(0, 0).height()))
        for row in range(0, len(grid.layers), every):
            cell = self.rect_of(row, 0)
            place = QRectF(0, cell.center().y() - metrics.height() / 2, cell.left() - GAP, metrics.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignRight, _row_name(grid.layers[row]))
        for column, name in enumerate(grid.kinds):
            self._kind(painter, name, self.rect_of(0, column))

    def _kind(self, painter: QPainter, name: str, cell: QRectF) -> None:
        """The name of a column, upright where it is too long to lie."""
        metrics = QFontMetricsF(painter.font())
        room = cell.top() - GAP
        if room <= metrics.height():
            painter.drawText(QRectF(cell.left(), 0, cell.width(), room), Qt.AlignmentFlag.AlignCenter, name)
            return
        painter.save()
        painter.translate(cell.center().x(), room)
        painter.rotate(-90)
        text = metrics.elidedText(name, Qt.TextElideMode.ElideLeft, room)
        place = QRectF(0, -metrics.height() / 2, room, metrics.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()

    # --- the exact values -----------------------------------------------------------------------------------------

    def mark_at(self, position: QPointF) -> tuple[int, int] | None:
        if self.grid is None:
            return None
        return next((place for place in self.grid.cells if self.rect_of(*place).contains(position)), None)

    def card(self, first: int, second: int) -> Card:
        assert self.grid is not None
        part, damage = self.grid.cells[first, second], self.grid.damage(first, second)
        facts = (("", "not measured yet"),) if damage is None else facts_of(damage)
        return Card(part.name, facts, footer="Click to look into its weights.")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrows go from cell to cell, Enter picks."""
        key, grid = Qt.Key(event.key()), self.grid
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._under is not None:
            self.picked.emit(*self._under)
        elif key in _STEPS and grid is not None:
            place = self._neighbour(grid, *_STEPS[key])
            self._look(place, self.mapToGlobal(self.rect_of(*place).center().toPoint()))
        else:
            super().keyPressEvent(event)

    def _neighbour(self, grid: Grid, down: int, right: int) -> tuple[int, int]:
        """The next cell in a direction; there are not always matrices of every kind in a layer."""
        if self._under is None:
            return min(grid.cells)
        row, column = self._under
        while 0 <= (row := row + down) < len(grid.layers) and 0 <= (column := column + right) < len(grid.kinds):
            if (row, column) in grid.cells:
                return row, column
        return self._under

    # --- copies -----------------------------------------------------------------------------------------------------

    def text(self, separator: str = ",") -> str:
        """The damage of every matrix, layers in rows."""
        buffer, grid = io.StringIO(), self.grid
        writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
        if grid is not None:
            writer.writerow(["layer", *grid.kinds])
            for row, layer in enumerate(grid.layers):
                found = [grid.damage(row, column) for column in range(len(grid.kinds))]
                writer.writerow([layer, *("" if each is None else repr(each.divergence) for each in found)])
        return buffer.getvalue()


class SensitivityLegend(ShadeLegend):
    """Which colour stands for which damage."""

    def __init__(self, parent: QWidget | None = None) -> None:
        tip = "From the least to the largest damage of a single matrix, on a logarithmic scale"
        super().__init__("KL, log scale", tip, parent)

    def show_grid(self, grid: Grid | None) -> None:
        """The scale of what is shown."""
        low, high = grid.ends if grid is not None else (1.0, 1.0)
        self.setVisible(low < high)
        self.show_scale("KL, log scale", small(low), f"{small(high)} nats")


def share_of(grid: Grid, value: float) -> float:
    """Where a damage stands between the least and the largest, 0 to 1, on a logarithmic scale."""
    low, high = grid.ends
    if value <= low or high <= low:
        return float(value >= high)
    return min(1.0, math.log(value / low) / math.log(high / low))


def facts_of(damage: PartDamage) -> tuple[tuple[str, str], ...]:
    """What is known of a part, exactly."""
    return (
        ("KL divergence", f"{numbers.exact(damage.divergence)} nats"),
        ("top-1 agreement", f"{damage.shift.agreement:.2%}"),
        ("perplexity", f"{damage.perplexity_before:.4f} → {damage.shift.perplexity:.4f}"),
        ("SQNR of its weights", f"{decibels(damage.sqnr)} dB"),
        ("bytes", f"{size(damage.bytes_before)} → {size(damage.bytes)}"),
    )


def _row_name(layer: str) -> str:
    return "outside" if layer == ELSEWHERE else f"layer {layer}" if layer.isdigit() else layer


def _described(grid: Grid | None) -> str:
    if grid is None:
        return ""
    known = [damage for place in grid.cells if (damage := grid.damage(*place)) is not None]
    worst = sorted(known, key=lambda each: -each.divergence)[:5]
    return "; ".join(f"{each.part.name}: {small(each.divergence)} nats" for each in worst)
