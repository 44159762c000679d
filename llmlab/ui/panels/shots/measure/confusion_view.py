"""The confusion matrix on screen."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetrics,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QMenu, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.shots.measure.found import Confusion
from llmlab.ui.widgets.card import Card, HoverCard

LARGEST = 76.0  # pixels of a cell
LONGEST = 12  # characters of a label at the side


class ConfusionView(QWidget):
    """Truths from top to bottom, answers from left to right; a cell's colour is its share of its row."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Confusion | None = None
        self._cell: tuple[int, int] | None = None
        self._card = HoverCard(self)
        self.setAccessibleName("Confusion matrix")
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(200, 150)
        theme.changed.connect(self.update)

    def show_confusion(self, shown: Confusion | None) -> None:
        """Show another one."""
        self._shown, self._cell = shown, None
        self._card.hide()
        if shown is not None:
            rows = zip(shown.labels, shown.counts, strict=True)
            self.setAccessibleDescription("; ".join(f"{truth}: {', '.join(map(str, row))}" for truth, row in rows))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, 240)

    @property
    def text(self) -> str:
        """The counts, for a spreadsheet."""
        if self._shown is None:
            return ""
        head = "truth \\ answer\t" + "\t".join(self._shown.labels)
        rows = zip(self._shown.labels, self._shown.counts, strict=True)
        return "\n".join([head, *(f"{truth}\t" + "\t".join(map(str, row)) for truth, row in rows)]) + "\n"

    # --- painting -------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.fillRect(self.rect(), colors.base)
        if self._shown is not None:
            self._paint_labels(painter)
            for row, counts in enumerate(self._shown.counts):
                for column, count in enumerate(counts):
                    self._paint_cell(painter, row, column, count, sum(counts))
        if self.hasFocus():
            painter.setPen(colors.accent)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _paint_cell(self, painter: QPainter, row: int, column: int, count: int, whole: int) -> None:
        colors, rect = theme.current(), self.cell_rect(row, column)
        shade = theme.probability_color(count / whole if whole else 0.0)
        painter.fillRect(rect.adjusted(1, 1, -1, -1), shade.background)
        if self._cell == (row, column):
            painter.setPen(QPen(colors.text, 2))
            painter.drawRect(rect.adjusted(1, 1, -1, -1))
        painter.setPen(shade.text)
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, f"{count:,}")

    def _paint_labels(self, painter: QPainter) -> None:
        assert self._shown is not None
        metrics = QFontMetrics(self.font())
        origin, side = self._frame()
        painter.setPen(theme.current().muted)
        corner = QRectF(theme.SPACE, theme.SPACE / 2, self.width() - 2 * theme.SPACE, metrics.height())
        painter.drawText(corner, Qt.AlignmentFlag.AlignLeft, "truth ↓   answer →")
        for place, label in enumerate(self._shown.labels):
            short = metrics.elidedText(label, Qt.TextElideMode.ElideRight, int(origin.x() - 2 * theme.SPACE))
            at_side = QRectF(theme.SPACE, origin.y() + place * side, origin.x() - 2 * theme.SPACE, side)
            painter.drawText(at_side, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, short)
            above = QRectF(origin.x() + place * side, origin.y() - metrics.height() - 4, side, metrics.height() + 4)
            short = metrics.elidedText(label, Qt.TextElideMode.ElideRight, int(side) - 2)
            painter.drawText(above, Qt.AlignmentFlag.AlignCenter, short)

    def _frame(self) -> tuple[QPointF, float]:
        """Where the first cell begins, and how large each is."""
        assert self._shown is not None
        metrics = QFontMetrics(self.font())
        longest = max(metrics.horizontalAdvance(label[:LONGEST]) for label in self._shown.labels)
        left, top = longest + 2 * theme.SPACE + 4, 2 * metrics.height() + theme.SPACE + 4
        count = len(self._shown.labels)
        side = min(LARGEST, (self.width() - left - theme.SPACE) / count, (self.height() - top - theme.SPACE) / count)
        return QPointF(left, top), max(side, 1.0)

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Where a cell lies."""
        origin, side = self._frame()
        return QRectF(origin.x() + column * side, origin.y() + row * side, side, side)

    # --- mouse and keys -------------------------------------------------------------------------------------------

    def card(self, row: int, column: int) -> Card:
        """What is known of a cell."""
        assert self._shown is not None
        labels, counts = self._shown.labels, self._shown.counts
        whole, count = sum(counts[row]), counts[row][column]
        share = f"{count / whole:.1%}" if whole else "–"
        facts = (("truth", labels[row]), ("answer", labels[column]), ("items", f"{count:,}"), ("of this truth", share))
        return Card("right" if row == column else "wrong", facts)

    def _look(self, cell: tuple[int, int] | None) -> None:
        if cell != self._cell:
            self._cell = cell
            self.update()
        if cell is None:
            self._card.hide()
        else:
            self._card.show_at(self.card(*cell), self.mapToGlobal(self.cell_rect(*cell).center().toPoint()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._shown is None:
            return
        origin, side = self._frame()
        place = (event.position() - origin) / side
        row, column = int(place.y() // 1), int(place.x() // 1)
        count = len(self._shown.labels)
        self._look((row, column) if 0 <= row < count and 0 <= column < count else None)

    def leaveEvent(self, event: QEvent) -> None:
        self._look(None)

    def hideEvent(self, event: QHideEvent) -> None:
        self._card.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrows go from cell to cell."""
        steps = {
            Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0),
        }  # fmt: skip
        step = steps.get(Qt.Key(event.key()))
        if step is None or self._shown is None:
            super().keyPressEvent(event)
            return
        last = len(self._shown.labels) - 1
        row, column = self._cell or (0, 0)
        moved = step if self._cell is not None else (0, 0)
        self._look((min(max(row + moved[0], 0), last), min(max(column + moved[1], 0), last)))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.addAction("Copy counts", lambda: QGuiApplication.clipboard().setText(self.text))
        menu.addAction("Copy picture", lambda: QGuiApplication.clipboard().setPixmap(self.grab()))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())
