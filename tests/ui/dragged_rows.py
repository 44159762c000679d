"""Drags rows of the example table with the mouse: `rows row edge` as arguments, again and again.

`rows` "0,1" are selected, the first of them is pressed, and dropped at the "upper" or "lower" edge of `row`. Prints the
order of the rows after each drag as a line of JSON. A program of its own, since a drag is a loop of the platform's:
"offscreen" has none, "minimal" has Qt's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from llmlab.ui.panels.shots.build import editing
from llmlab.ui.panels.shots.build.example_model import FIRST
from llmlab.ui.panels.shots.build.example_table import ExampleTable
from tests.ui.test_shots_build import PROJECT, screen_of

LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


class Dragging(QObject):
    """A table whose rows go where they are dropped, as in the panel."""

    def __init__(self) -> None:
        super().__init__()
        self.project = PROJECT
        self.table = ExampleTable()
        self.table.examples.moved.connect(self._move)
        self.table.show_screen(screen_of(self.project))
        self.table.resize(500, 300)
        self.table.show()
        self.table.viewport().installEventFilter(self)
        self._to = QPoint()

    def _move(self, places: Sequence[int], before: int) -> None:
        rows, _ = editing.moved(self.project.examples, set(places), before)
        self.project = replace(self.project, examples=rows)
        self.table.show_screen(screen_of(self.project))

    def eventFilter(self, _object: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.DragEnter:  # the drag's own loop has begun, and waits for the mouse
            QTimer.singleShot(0, self._drop)
        return False

    def _drop(self) -> None:
        QTest.mouseMove(self.table.windowHandle(), self._to)
        QTest.mouseRelease(self.table.windowHandle(), LEFT, NO_KEY, self._to)

    def _place(self, row: int, down: float) -> QPoint:
        rect = self.table.visualRect(self.table.examples.index(row, FIRST))
        return self.table.viewport().mapTo(
            self.table, QPoint(rect.center().x(), rect.top() + round(down * rect.height()))
        )

    def drag(self, rows: Sequence[int], row: int, edge: str) -> list[str]:
        """The texts of all rows afterwards."""
        self.table.select_rows(rows)
        window, begin = self.table.windowHandle(), self._place(rows[0], 0.5)
        self._to = self._place(row, 0.05 if edge == "upper" else 0.95)
        QTest.mousePress(window, LEFT, NO_KEY, begin)
        for step in (1, 2):  # the first says that the mouse is dragging, the second that it has gone far enough
            QTest.mouseMove(window, begin + QPoint(step * QGuiApplication.styleHints().startDragDistance(), 0))
        return [self.table.examples.index(place, FIRST).data() for place in range(self.table.examples.rowCount())]


def main(arguments: Sequence[str]) -> None:
    """Drag, and say what has come of it."""
    application = QApplication([])
    dragging = Dragging()
    QTest.qWaitForWindowExposed(dragging.table)
    for rows, row, edge in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
        print(json.dumps(dragging.drag([int(one) for one in rows.split(",")], int(row), edge)), flush=True)
    dragging.table.close()
    application.quit()


if __name__ == "__main__":
    main(sys.argv[1:])
