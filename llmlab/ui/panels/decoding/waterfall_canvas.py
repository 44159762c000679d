"""The waterfall as columns: one for each stage, the tokens stacked in it by their probability."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.waterfalling import Falls
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.tokentext import visible

COLUMN = 104  # least width of a column with its gap
FILLED = 0.76  # of it is the column
GAP_ALPHA, DIM_ALPHA = 70, 70
MARGIN = theme.SPACE
SMALLEST = 0.5  # pixels; a thinner segment is not painted


@dataclass(frozen=True, slots=True)
class Segment:
    """A token's part of a column; `token_id` None is all tokens that are not told apart."""

    stage: int
    token_id: int | None
    probability: float
    rect: QRectF


class WaterfallCanvas(QWidget):
    """`followed` carries the token id that was clicked, or None."""

    followed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._falls: Falls | None = None
        self._segments: tuple[Segment, ...] = ()
        self._card = HoverCard(self)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Waterfall")

    def set_falls(self, falls: Falls | None) -> None:
        """Show another waterfall."""
        self._falls = falls
        self.setMinimumWidth(MARGIN + COLUMN * len(falls.fall.stages) if falls else 0)
        self._lay_out()
        self._card.hide()
        described = falls is not None and falls.followed is not None
        self.setAccessibleDescription(falls.story(falls.followed) if described else "")  # type: ignore[union-attr,arg-type]
        self.update()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is painted."""
        return self._segments

    def sizeHint(self) -> QSize:
        return QSize(COLUMN * 6, 200)

    @property
    def _line(self) -> int:
        return QFontMetrics(self.font()).height()

    def _column(self, index: int) -> QRectF:
        """Where the column of a stage stands."""
        assert self._falls is not None
        width = min((self.width() - MARGIN) / len(self._falls.fall.stages), 2.2 * COLUMN)
        top = 2 * self._line + theme.SPACE
        return QRectF(MARGIN + index * width, top, width * FILLED, max(10, self.height() - top - theme.SPACE // 2))

    def _lay_out(self) -> None:
        falls, segments = self._falls, []
        for index, stage in enumerate(falls.fall.stages if falls else ()):
            column = self._column(index)
            y = column.top()
            for token_id, probability in zip(falls.fall.ids.tolist(), stage.probabilities.tolist(), strict=True):  # type: ignore[union-attr]
                rect = QRectF(column.left(), y, column.width(), probability * column.height())
                segments.append(Segment(index, token_id, probability, rect))
                y += rect.height()
            rest = QRectF(column.left(), y, column.width(), max(0.0, column.bottom() - y))
            segments.append(Segment(index, None, rest.height() / column.height(), rest))
        self._segments = tuple(segments)

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), colors.base)
        if self._falls is not None:
            for index in range(len(self._falls.fall.stages)):
                self._paint_head(painter, index)
            self._paint_ribbons(painter)
            for segment in self._segments:
                self._paint_segment(painter, segment)
        painter.end()

    def _paint_head(self, painter: QPainter, index: int) -> None:
        assert self._falls is not None
        column, colors, stage = self._column(index), theme.current(), self._falls.fall.stages[index]
        room = int(column.width() / FILLED) - theme.SPACE
        font = self.font()
        for line, (text, bold) in enumerate(
            ((self._falls.label(index), True), (f"{stage.kept:,} · {stage.entropy:.2f} nats", False))
        ):
            font.setBold(bold)
            painter.setFont(font)
            painter.setPen(colors.text if bold else colors.muted)
            place = QRect(int(column.left()), 2 + line * self._line, room, self._line)
            painter.drawText(
                place,
                Qt.AlignmentFlag.AlignVCenter,
                QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, room),
            )
        painter.setFont(self.font())

    def _color(self, token_id: int | None) -> QColor:
        """Neighbours differ; all but a token that is followed step back."""
        assert self._falls is not None
        colors, followed = theme.current(), self._falls.followed
        if token_id is None:
            color = colors.raised
        elif token_id == followed:
            return colors.accent
        else:
            color = QColor(colors.token[self._falls.fall.ids.tolist().index(token_id) % len(colors.token)])
        if followed is not None:
            color.setAlpha(DIM_ALPHA)
        return color

    def _paint_ribbons(self, painter: QPainter) -> None:
        """What a token becomes from one column to the next."""
        assert self._falls is not None
        per_stage = len(self._falls.fall.ids) + 1
        painter.setPen(Qt.PenStyle.NoPen)
        for place, left in enumerate(self._segments[:-per_stage]):
            right = self._segments[place + per_stage]
            if max(left.rect.height(), right.rect.height()) < SMALLEST:
                continue
            color = self._color(left.token_id)
            color.setAlpha(GAP_ALPHA if color.alpha() == 255 else GAP_ALPHA // 3)
            painter.setBrush(color)
            painter.drawPath(_ribbon(left.rect, right.rect))

    def _paint_segment(self, painter: QPainter, segment: Segment) -> None:
        assert self._falls is not None
        rect, colors = segment.rect, theme.current()
        if rect.height() < SMALLEST:
            return
        painter.fillRect(rect, self._color(segment.token_id))
        if rect.height() >= 3:
            painter.setPen(QPen(colors.base, 1))
            painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        if rect.height() < self._line:
            return
        followed = segment.token_id is not None and segment.token_id == self._falls.followed
        painter.setPen(colors.on_accent if followed else colors.muted if segment.token_id is None else colors.text)
        name = "others" if segment.token_id is None else visible(self._falls.text_of(segment.token_id))
        number = numbers.probability(segment.probability)
        inside = rect.adjusted(4, 0, -4, 0)
        metrics = QFontMetrics(self.font())
        left = int(inside.width()) - metrics.horizontalAdvance(number) - 4
        if left >= metrics.horizontalAdvance(name):
            painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, number)
        else:
            left = int(inside.width())
        painter.drawText(
            inside, Qt.AlignmentFlag.AlignVCenter, metrics.elidedText(name, Qt.TextElideMode.ElideRight, left)
        )

    # --- mouse and keyboard ---------------------------------------------------------------------------------

    def segment_at(self, place: QPointF) -> Segment | None:
        """What is painted at a point."""
        found = (segment for segment in self._segments if segment.rect.height() and segment.rect.contains(place))
        return next(found, None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_out()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        card = self.card_at(event.position())
        if card is None:
            self._card.hide()
        else:
            self._card.show_at(card, event.globalPosition().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        self._card.hide()
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._falls is not None and event.button() == Qt.MouseButton.LeftButton:
            segment = self.segment_at(event.position())
            token = segment.token_id if segment else None
            self.followed.emit(None if token == self._falls.followed else token)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        by = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if self._falls is None or (by is None and event.key() != Qt.Key.Key_Escape):
            super().keyPressEvent(event)
            return
        ids = self._falls.fall.ids.tolist()
        old = ids.index(self._falls.followed) if self._falls.followed in ids else -1 if by == 1 else len(ids)
        self.followed.emit(None if by is None else ids[min(max(0, old + by), len(ids) - 1)])

    def card_at(self, place: QPointF) -> Card | None:
        """What hovering at a point tells."""
        falls, segment = self._falls, self.segment_at(place)
        if falls is None:
            return None
        if segment is not None:
            return self._segment_card(falls, segment)
        index = self._stage_at(place.toPoint())
        return Card(falls.label(index), falls.facts(index)) if index is not None else None

    def _stage_at(self, place: QPoint) -> int | None:
        assert self._falls is not None
        for index in range(len(self._falls.fall.stages)):
            column = self._column(index)
            if column.left() <= place.x() < column.left() + column.width() / FILLED:
                return index
        return None

    @staticmethod
    def _segment_card(falls: Falls, segment: Segment) -> Card:
        stage, token = falls.label(segment.stage), segment.token_id
        if token is None:
            return Card(f"All others after: {stage}", (("probability", numbers.exact(segment.probability)),))
        facts = [(f"after {stage}", numbers.exact(segment.probability))]
        if segment.stage:
            facts.append(("before it", numbers.exact(falls.probability(segment.stage - 1, token))))
        facts += [("raw", numbers.exact(falls.probability(0, token))), ("", falls.fate(token))]
        return Card(visible(falls.text_of(token)), tuple(facts), (), "Click to follow it through the stages")


def _ribbon(left: QRectF, right: QRectF) -> QPainterPath:
    middle = (left.right() + right.left()) / 2
    path = QPainterPath(left.topRight())
    path.cubicTo(QPointF(middle, left.top()), QPointF(middle, right.top()), right.topLeft())
    path.lineTo(right.bottomLeft())
    path.cubicTo(QPointF(middle, right.bottom()), QPointF(middle, left.bottom()), left.bottomRight())
    path.closeSubpath()
    return path
