"""The chart on screen: axes, series, a legend, the exact values under the mouse, and copies for paper."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QMenu, QWidget

from llmlab import textfile
from llmlab.ui import theme
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.chart.paint import Frame, paint
from llmlab.ui.widgets.chart.plot import Axis, Draw, Plot, Series, rows, tick_label

REACH = 14.0  # pixels from the mouse to a point that it means
MAX_FACTS = 14  # lines of the card
PICTURES = ("png", "svg", "pdf")


class Chart(QWidget):
    """Shows a `Plot`. `picked` carries the series and the point that were clicked; `export_asked` a kind of file."""

    picked = Signal(int, int)
    export_asked = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = Plot(Axis(), Axis())
        self._guide: tuple[int, int] | None = None  # the series and the point that are looked at
        self._card = HoverCard(self)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 110)
        theme.changed.connect(self.update)

    def show_plot(self, plot: Plot) -> None:
        """Show this instead; what is looked at stays if it is still there."""
        self.plot = plot
        if self._guide is not None and not self._exists(*self._guide):
            self._look(None)
        self.setAccessibleDescription(_described(plot))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(420, 240)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint(painter, self.plot, self._frame(), self._guide)
        if self.hasFocus():
            painter.setPen(theme.current().accent)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _frame(self) -> Frame:
        return Frame.of(self.plot, self.size(), self.font())

    # --- the exact values ---------------------------------------------------------------------------------------

    def nearest(self, position: QPointF) -> tuple[int, int] | None:
        """The series and the point that a place means: a point nearby, else what stands above or below the place."""
        frame = self._frame()
        best, found = math.inf, None
        for number, each in enumerate(self.plot.series):
            xs, ys = frame.points(number)
            if not len(xs):
                continue
            across = np.abs(xs - position.x())
            apart = np.hypot(across, ys - position.y())
            is_point = each.draw is Draw.POINTS
            reached = np.where(apart <= REACH, apart - 1000, np.inf if is_point else across + 1e-3 * apart)
            index = int(np.argmin(np.where(np.isfinite(reached), reached, np.inf)))
            if reached[index] < best:
                best, found = float(reached[index]), (number, index)
        return found

    def card(self, number: int, index: int) -> Card:
        """What is known of a point, and of the other series at the same place."""
        each, plot = self.plot.series[number], self.plot
        x = float(each.centers[index])
        label = each.labels[index] if index < len(each.labels) else ""
        where = f"{plot.x.title}: {tick_label(plot.x, x)}" if plot.x.title else tick_label(plot.x, x)
        if each.draw is Draw.POINTS:
            return Card(label or each.name, ((plot.x.title or "x", plot.x.label(x)), *self._fact(each, index)))
        facts = [fact for other in plot.series for fact in self._at(other, x)]
        footer = f"and {len(facts) - MAX_FACTS} more" if len(facts) > MAX_FACTS else ""
        return Card(label or where, tuple(facts[:MAX_FACTS]), footer=footer)

    def _at(self, series: Series, x: float) -> tuple[tuple[str, str], ...]:
        """The values of a series at x, if it has any there."""
        if series.draw is Draw.POINTS:
            return ()
        same = np.flatnonzero(np.isclose(series.centers, x, rtol=1e-9, atol=1e-300))
        return self._fact(series, int(same[0])) if len(same) else ()

    def _fact(self, series: Series, index: int) -> tuple[tuple[str, str], ...]:
        label = self.plot.y.label
        facts = [(series.name or self.plot.y.title or "y", label(float(series.y[index])))]
        if series.low is not None and series.high is not None:
            facts.append(("", f"   {label(float(series.low[index]))} … {label(float(series.high[index]))}"))
        return tuple(facts)

    def _exists(self, number: int, index: int) -> bool:
        return number < len(self.plot.series) and index < len(self.plot.series[number].y)

    def _look(self, guide: tuple[int, int] | None, position: QPoint | None = None) -> None:
        if guide != self._guide:
            self._guide = guide
            self.update()
        if guide is None or position is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*guide), position)

    # --- mouse and keys -------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        inside = self._frame().area.adjusted(-REACH, -REACH, REACH, REACH).contains(event.position())
        self._look(self.nearest(event.position()) if inside else None, event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        found = self.nearest(event.position())
        if event.button() is Qt.MouseButton.LeftButton and found is not None:
            self.picked.emit(*found)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from value to value, up and down from series to series, Enter picks."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (1, 0), Qt.Key.Key_Down: (-1, 0)}
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._guide is not None:
            self.picked.emit(*self._guide)
        elif key in steps and any(len(each.y) for each in self.plot.series):
            number, index = self._guide or (0, -1)
            other, by = steps[key]
            number = (number + other) % len(self.plot.series)
            index = min(max(index + by, 0), len(self.plot.series[number].y) - 1)
            if index >= 0:
                xs, ys = self._frame().points(number)
                self._look((number, index), self.mapToGlobal(QPointF(xs[index], ys[index]).toPoint()))
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._look(None)

    def hideEvent(self, event: QHideEvent) -> None:
        self._card.hide()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._look(None)

    # --- copies ---------------------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        self.add_actions(menu)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())

    def add_actions(self, menu: QMenu) -> None:
        """What can be done with the picture."""
        menu.addAction("Copy numbers", self.copy_numbers)
        menu.addAction("Copy picture", self.copy_picture)
        menu.addSeparator()
        menu.addAction("Save numbers as CSV…", lambda: self.export_asked.emit("csv"))
        for kind in PICTURES:
            menu.addAction(f"Save picture as {kind.upper()}…", lambda kind=kind: self.export_asked.emit(kind))

    @Slot()
    def copy_numbers(self) -> None:
        """All values, for a spreadsheet."""
        QGuiApplication.clipboard().setText(self.text("\t"))

    @Slot()
    def copy_picture(self) -> None:
        """The picture as it is seen."""
        QGuiApplication.clipboard().setPixmap(self.grab())

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(rows(self.plot))
        return buffer.getvalue()

    def writer(self, kind: str) -> Callable[[Path], None]:
        """What writes a file of `kind`, in any thread. Raises OSError."""
        if kind == "csv":
            text = self.text()
            return lambda path: textfile.write(path, text)
        if kind == "png":
            return saving.png_writer(self.grab().toImage())
        return saving.drawing_writer(kind, self.size(), self._draw, self.plot.title or self.accessibleName())

    def svg(self) -> str:
        """The picture as a drawing, to be part of a page."""
        title = self.plot.title or self.accessibleName()
        return saving.drawing_bytes("svg", self.size(), self._draw, title).decode()

    def _draw(self, painter: QPainter, _scale: float) -> None:
        painter.fillRect(QRectF(self.rect()), theme.current().base)
        paint(painter, self.plot, self._frame(), None)


def _described(plot: Plot) -> str:
    """The series in words: where each begins and ends."""
    words = []
    for each in plot.series:
        values = each.y[np.isfinite(each.y)]
        if len(values):
            words.append(f"{each.name or plot.y.title}: {plot.y.label(values[0])} to {plot.y.label(values[-1])}")
    return "; ".join(words) or plot.empty
