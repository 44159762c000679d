"""The tree of a beam search, painted while it grows: what was kept, what was pruned, where texts ended."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

from llmlab.engine.types import BeamNode, BeamState
from llmlab.ui import theme
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tokentext import visible

STEP = 104  # pixels from one step to the next
GAP = 22  # of them between two columns, for the lines
WORDS = {
    BeamState.KEPT: "kept: the search goes on from here",
    BeamState.PRUNED: "pruned: others were more probable",
    BeamState.FINISHED: "ended: one of the best texts so far",
}


class BeamTree(QAbstractScrollArea):
    """Steps from left to right, in each the candidates from the best down."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: list[list[BeamNode]] = []
        self._rows: dict[int, int] = {}  # of each node, in its step
        self._nodes: Mapping[int, BeamNode] = {}
        self._best: frozenset[int] = frozenset()
        self._font, self._bold = theme.monospace(), theme.monospace()
        self._bold.setBold(True)
        self.setAccessibleName("Tree of the beam search")
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.verticalScrollBar().setSingleStep(self._line)
        self.horizontalScrollBar().setSingleStep(STEP // 2)
        theme.changed.connect(self._repaint)

    def show_tree(self, nodes: Mapping[int, BeamNode], best: tuple[int, ...]) -> None:
        """Show these candidates, the path `best` marked; a view that shows the end goes on showing it."""
        bar = self.horizontalScrollBar()
        follow = bar.value() >= bar.maximum() - 4
        self._nodes, self._best = nodes, frozenset(best)
        steps: dict[int, list[BeamNode]] = {}
        for node in nodes.values():
            steps.setdefault(node.index, []).append(node)
        self._steps = [steps[index] for index in sorted(steps)]
        self._rows = {node.number: row for step in self._steps for row, node in enumerate(step)}
        self.setAccessibleDescription(f"{len(self._steps)} steps, {len(nodes)} candidates")
        self._measure()
        if follow:
            bar.setValue(bar.maximum())
        self.viewport().update()

    @property
    def _line(self) -> int:
        return QFontMetrics(self._font).height() + 5

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 60)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._measure()

    def _measure(self) -> None:
        rows = max(map(len, self._steps), default=0)
        width = len(self._steps) * STEP + theme.SPACE
        height = rows * self._line + 2 * theme.SPACE
        view = self.viewport().size()
        self.horizontalScrollBar().setRange(0, max(0, width - view.width()))
        self.verticalScrollBar().setRange(0, max(0, height - view.height()))
        self.horizontalScrollBar().setPageStep(view.width())
        self.verticalScrollBar().setPageStep(view.height())

    def place_of(self, node: BeamNode) -> QRectF:
        """Where a candidate lies on the viewport."""
        x = node.index * STEP + theme.SPACE - self.horizontalScrollBar().value()
        y = self._rows[node.number] * self._line + theme.SPACE - self.verticalScrollBar().value()
        return QRectF(x, y, STEP - GAP, self._line - 2)

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self.viewport()), theme.current()
        painter.fillRect(event.rect(), colors.base)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._steps:
            painter.setPen(colors.muted)
            inside = self.viewport().rect().adjusted(theme.SPACE, theme.SPACE, -theme.SPACE, -theme.SPACE)
            painter.drawText(inside, Qt.TextFlag.TextWordWrap, "The tree grows here while the beam search runs.")
        shown = self._visible()
        for node in sorted(shown, key=lambda node: node.number in self._best):
            self._paint_line(painter, node)
        for node in shown:
            self._paint_node(painter, node)
        painter.end()

    def _visible(self) -> list[BeamNode]:
        left = self.horizontalScrollBar().value()
        first = max(0, left // STEP - 1)
        last = (left + self.viewport().width()) // STEP + 1
        return [node for step in self._steps[first : last + 1] for node in step]

    def _paint_line(self, painter: QPainter, node: BeamNode) -> None:
        parent = self._nodes.get(node.parent)
        if parent is None:
            return
        colors, best = theme.current(), node.number in self._best
        start, end = self.place_of(parent), self.place_of(node)
        path = QPainterPath(QPointF(start.right(), start.center().y()))
        middle = (start.right() + end.left()) / 2
        path.cubicTo(middle, start.center().y(), middle, end.center().y(), end.left(), end.center().y())
        color = colors.bar_kept if best else colors.border if node.state is BeamState.PRUNED else colors.bar_raw
        painter.setPen(QPen(color, 2.2 if best else 1.2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)

    def _paint_node(self, painter: QPainter, node: BeamNode) -> None:
        place, best = self.place_of(node), node.number in self._best
        fill, ink = _colors(node.state, best=best)
        painter.setPen(Qt.PenStyle.NoPen)
        if fill is not None:
            painter.setBrush(fill)
            painter.drawRoundedRect(place, 3, 3)
        font = QFont(self._bold if best else self._font)
        font.setStrikeOut(node.state is BeamState.PRUNED)
        painter.setFont(font)
        painter.setPen(ink)
        inside = place.adjusted(4, 0, -4, 0)
        text = QFontMetrics(font).elidedText(visible(node.token), Qt.TextElideMode.ElideRight, int(inside.width()))
        painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter, text)

    @Slot()
    def _repaint(self) -> None:
        self.viewport().update()

    # --- hover ----------------------------------------------------------------------------------------------

    def node_at(self, point: QPointF) -> BeamNode | None:
        """The candidate under a point of the viewport."""
        return next((node for node in self._visible() if self.place_of(node).contains(point)), None)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            node = self.node_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self._words(node) if node is not None else "", self)
            return True
        return super().viewportEvent(event)

    @staticmethod
    def _words(node: BeamNode) -> str:
        return (
            f"{visible(node.token)}   token {node.index + 1}\n{WORDS[node.state]}\n"
            f"ln p of the token {node.log_probability:.6f} (p {numbers.probability_of(node.log_probability)})\n"
            f"ln p of the whole text {node.total:.6f}"
        )


def _colors(state: BeamState, *, best: bool) -> tuple[QColor | None, QColor]:
    """Background and text of a candidate."""
    colors = theme.current()
    if state is BeamState.PRUNED:
        return None, colors.muted
    if state is BeamState.FINISHED:
        return colors.kind[5], colors.text
    return (colors.accent_base if best else colors.raised), colors.text
