"""The context window as a bar: what the instruction, every shot and the query take, and what is left."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QContextMenuEvent, QGuiApplication, QHideEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QSizePolicy, QWidget

from llmlab.engine.shots.types import PartKind
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.screen import Segment
from llmlab.ui.widgets.card import Card, HoverCard

HEIGHT = 18
LEAST = 3.0  # pixels of a segment, so that none disappears
LEAST_ROOM = 0.3  # of the width: the share that the prompt gets at least, however large the window is


def part_color(kind: PartKind | None, shot: int | None) -> QColor:
    """The background of a part: the same in the bar, in the prompt and beside the example."""
    colors = theme.current()
    if shot is not None:
        return colors.token[0] if shot % 2 == 0 else colors.token[4]
    return {
        PartKind.INSTRUCTION: colors.token[1],
        PartKind.QUERY: colors.token[2],
        PartKind.FRAME: colors.raised,
        PartKind.SPECIAL: colors.raised,
    }.get(kind or PartKind.SHOT, colors.base)


class BudgetBar(QWidget):
    """Segments in proportion to their tokens; the prompt keeps a share that can be seen, and the bar says so then."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segments: tuple[Segment, ...] = ()
        self._over = False
        self._card = HoverCard(self)
        self.setMouseTracking(True)
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Context window")
        theme.changed.connect(self.update)

    def show_segments(self, segments: Sequence[Segment], *, over: bool) -> None:
        """Show these; `over`: the prompt is too long."""
        self._segments, self._over = tuple(segments), over
        self.setAccessibleDescription(", ".join(f"{one.name}: {one.tokens:,} tokens" for one in segments))
        self._card.hide()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    @property
    def enlarged(self) -> bool:
        """Whether the prompt is drawn larger than its share of the window."""
        used, room = self._tokens()
        return room > 0 and used / (used + room) < LEAST_ROOM

    def rects(self) -> list[QRectF]:
        """Where each segment lies."""
        used, room = self._tokens()
        total = used + room
        if not total:
            return []
        share = max(LEAST_ROOM, used / total) if room else 1.0
        rects, x = [], 0.0
        for segment in self._segments:
            part = share * segment.tokens / max(used, 1) if segment.kind is not None else 1 - share
            width = max(LEAST, part * self.width())
            rects.append(QRectF(x, 0, width, HEIGHT))
            x += width
        scale = self.width() / max(x, 1.0)
        return [QRectF(rect.x() * scale, 0, rect.width() * scale, HEIGHT) for rect in rects]

    def segment_at(self, x: float) -> Segment | None:
        """The segment under a place of the bar."""
        places = zip(self._segments, self.rects(), strict=False)
        return next((segment for segment, rect in places if rect.left() <= x < rect.right()), None)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        for segment, rect in zip(self._segments, self.rects(), strict=False):
            if segment.kind is None:
                painter.fillRect(rect, colors.base)
                painter.setPen(colors.muted)
                painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, f"{segment.tokens:,} left")
            else:
                painter.fillRect(rect, part_color(segment.kind, segment.shot))
                painter.setPen(theme.mix(colors.base, colors.border, 0.5))
                painter.drawLine(rect.topRight(), rect.bottomRight())
                text = f"{segment.tokens:,}"
                if rect.width() > painter.fontMetrics().horizontalAdvance(text) + 4:
                    painter.setPen(colors.text)
                    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
        painter.setPen(colors.error if self._over else colors.border)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        segment = self.segment_at(event.position().x())
        if segment is None:
            self._card.hide()
            return
        used, room = self._tokens()
        facts = [("tokens", f"{segment.tokens:,}")]
        if room:
            facts.append(("of the window", f"{100 * segment.tokens / (used + room):.1f} %"))
        if segment.kind is not None:
            facts.append(("of the prompt", f"{100 * segment.tokens / used:.1f} %"))
        footer = "The prompt is drawn larger than its share." if self.enlarged else ""
        self._card.show_at(Card(segment.name, tuple(facts), footer=footer), event.globalPosition().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        self._card.hide()
        super().leaveEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._card.hide()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.addAction("Copy the numbers", lambda: QGuiApplication.clipboard().setText(self.table()))
        menu.exec(event.globalPos())
        menu.deleteLater()

    def table(self) -> str:
        """Parts and tokens, with a tab between them."""
        return "part\ttokens\n" + "".join(f"{one.name}\t{one.tokens}\n" for one in self._segments)

    def center_of(self, number: int) -> QPoint:
        """The middle of a segment, for tests."""
        return self.rects()[number].center().toPoint()

    def _tokens(self) -> tuple[int, int]:
        room = sum(one.tokens for one in self._segments if one.kind is None)
        return sum(one.tokens for one in self._segments) - room, room
