"""The chart on screen: axes, series, a legend, the exact values under the mouse, and copies for paper."""

from __future__ import annotations

import csv
import io
import math
import textwrap

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.chart.drawn import Pointed
from llmlab.ui.widgets.chart.frame import Frame
from llmlab.ui.widgets.chart.paint import paint
from llmlab.ui.widgets.chart.plot import Axis, Draw, Plot, Series, rows, tick_label

REACH = 14.0  # pixels from the mouse to a point that it means
MAX_FACTS = 14  # lines of the card
NOTE_WIDTH = 60  # characters of a line that a point's sentence is broken into


class Chart(Pointed):
    """Shows a `Plot`. `picked` carries the series and the point that were clicked; `export_asked` a kind of file."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self.plot = Plot(Axis(), Axis())
        self.setMinimumSize(160, 110)

    def show_plot(self, plot: Plot) -> None:
        """Show this instead; what is looked at stays if it is still there."""
        self.plot = plot
        if self._under is not None and not self._exists(*self._under):
            self._look(None)
        self.setAccessibleDescription(_described(plot))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(420, 240)

    def _draw(self, painter: QPainter) -> None:
        painter.fillRect(QRectF(self.rect()), theme.current().base)
        paint(painter, self.plot, self._frame(), self._under)

    @property
    def title(self) -> str:
        return self.plot.title or self.accessibleName()

    def _frame(self) -> Frame:
        return Frame.of(self.plot, self.size(), self.font())

    # --- the exact values ---------------------------------------------------------------------------------------

    def mark_at(self, position: QPointF) -> tuple[int, int] | None:
        inside = self._frame().area.adjusted(-REACH, -REACH, REACH, REACH).contains(position)
        return self.nearest(position) if inside else None

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
            across = (plot.x.title or "x", plot.x.label(x))
            return Card(label or each.name, (across, *self._fact(each, index), *_note(each, index)))
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

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from value to value, up and down from series to series, Enter picks."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (1, 0), Qt.Key.Key_Down: (-1, 0)}
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._under is not None:
            self.picked.emit(*self._under)
        elif key in steps and any(len(each.y) for each in self.plot.series):
            number, index = self._under or (0, -1)
            other, by = steps[key]
            number = (number + other) % len(self.plot.series)
            index = min(max(index + by, 0), len(self.plot.series[number].y) - 1)
            if index >= 0:
                xs, ys = self._frame().points(number)
                self._look((number, index), self.mapToGlobal(QPointF(xs[index], ys[index]).toPoint()))
        else:
            super().keyPressEvent(event)

    # --- copies ---------------------------------------------------------------------------------------------------

    def text(self, separator: str = ",") -> str:
        """All values as a table."""
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(rows(self.plot))
        return buffer.getvalue()


def _note(series: Series, index: int) -> tuple[tuple[str, str], ...]:
    """The sentence about a point, in lines."""
    note = series.notes[index] if index < len(series.notes) else ""
    return tuple(("", line) for line in textwrap.wrap(note, NOTE_WIDTH))


def _described(plot: Plot) -> str:
    """The series in words: where each begins and ends."""
    words = []
    for each in plot.series:
        values = each.y[np.isfinite(each.y)]
        if len(values):
            words.append(f"{each.name or plot.y.title}: {plot.y.label(values[0])} to {plot.y.label(values[-1])}")
    return "; ".join(words) or plot.empty
