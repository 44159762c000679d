"""Text that arrives token by token, each token on a background that tells its probability."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import (
    QGuiApplication,
    QPainter,
    QPaintEvent,
    QPen,
    QTextCharFormat,
)
from PySide6.QtWidgets import QMenu, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.flow import Flow, utf16_length
from llmlab.ui.widgets.tokenarea import MARGIN, TokenArea
from llmlab.ui.widgets.tokentext import MARK_CHARACTERS, MARKS, NEWLINE, TAB

LEADING = 5.0  # pixels between lines, so that the backgrounds of two lines do not touch
NO_TEXT = "◦"  # stands for a token that has added no character yet


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of the text. `probability` None: it was given, not drawn. `name` is shown where it has no text."""

    text: str
    probability: float | None = None
    name: str = ""

    @property
    def shown(self) -> str:
        """Its text with line breaks and tabs visible; its name if it has no text."""
        if not self.text:
            return self.name or NO_TEXT
        return self.text.replace("\n", NEWLINE + "\n").replace("\t", TAB + " ").replace("\r", MARKS["\r"])


class StreamedTokens(TokenArea):
    """Tokens in a flow of text that grows at its end."""

    leading = LEADING
    line_step = 20

    def __init__(self, card_of: Callable[[int], Card | None], parent: QWidget | None = None) -> None:
        super().__init__(card_of, "Tokens", parent)
        self._pieces: list[Piece] = []
        self._ends: list[int] = []  # where each token's shown text ends in the flow
        self._stops: list[int] = []  # where its background ends: a closing line break has none
        self._settled: dict[int, list[QRectF]] = {}  # places that will not change until the width does
        self._placeholder = ""
        self._former = False
        self._mark = -1
        self._flow = self._new_flow()
        self.menu_asked.connect(self._add_copy)

    # --- the text -------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """No tokens."""
        self._pieces, self._former = [], False
        self._select(-1, -1)
        self._rebuild()

    def append(self, pieces: Sequence[Piece]) -> None:
        """Add tokens; a view that shows the end goes on showing it."""
        bar = self.verticalScrollBar()
        follow = bar.value() >= bar.maximum() - 4
        top = int(self._flow.settled_height) if self._pieces else -MARGIN  # the placeholder goes
        self._pieces.extend(pieces)
        self._add(pieces)
        self._measure()
        if follow:
            bar.setValue(bar.maximum())
        area = self.viewport().rect()
        area.setTop(max(0, top + MARGIN - bar.value() - int(LEADING)))
        self.viewport().update(area)

    def set_former(self, former: bool) -> None:
        """Whether the text is of a model that is gone: it is kept, without the colours' claim."""
        if former != self._former:
            self._former = former
            self.viewport().update()

    def set_mark(self, index: int) -> None:
        """Draw a line before a token, as where something ends; -1 for none."""
        if index != self._mark:
            self._mark = index
            self.viewport().update()

    def set_placeholder(self, text: str) -> None:
        """What to say while there are no tokens."""
        if text != self._placeholder:
            self._placeholder = text
            self.viewport().update()

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def text(self) -> str:
        """All of it, exactly as generated."""
        return "".join(piece.text for piece in self._pieces)

    def _new_flow(self) -> Flow:
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 1.1)
        return Flow(font, self.viewport().width() - 2 * MARGIN, LEADING)

    def _lay_out(self) -> None:
        self._flow, self._ends, self._stops, self._settled = self._new_flow(), [], [], {}
        self._add(self._pieces)

    def _add(self, pieces: Sequence[Piece]) -> None:
        colors = theme.current()
        marks, names = QTextCharFormat(), QTextCharFormat()
        marks.setForeground(colors.muted)
        names.setFontItalic(True)
        start = self._ends[-1] if self._ends else 0
        parts = []
        for piece in pieces:
            shown = piece.shown
            parts.append(shown)
            length = utf16_length(shown)
            if not piece.text:
                self._flow.marks.append((start, length, names if piece.name else marks))
            elif not MARK_CHARACTERS.isdisjoint(shown):
                self._flow.marks.extend((start + i, 1, marks) for i in _marks(shown))
            self._ends.append(start + length)
            self._stops.append(start + length - shown.endswith("\n"))
            start += length
        self._flow.append("".join(parts))

    def _height(self) -> float:
        return self._flow.height

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 80)

    # --- places ---------------------------------------------------------------------------------------------

    def token_at(self, position: QPoint) -> int:
        y = position.y() + self.verticalScrollBar().value() - MARGIN
        at = self._flow.position_at(QPointF(position.x() - MARGIN, y))
        if at is None:
            return -1
        index = bisect_right(self._ends, at)
        return index if index < len(self._ends) else -1

    def token_rects(self, index: int) -> list[QRectF]:
        offset = QPointF(MARGIN, MARGIN - self.verticalScrollBar().value())
        return [rect.translated(offset) for rect in self._places(index)] if 0 <= index < len(self) else []

    def _places(self, index: int) -> list[QRectF]:
        """Where token `index` lies in the flow."""
        if index not in self._settled:
            start = self._ends[index - 1] if index else 0
            places = list(self._flow.rects(start, self._stops[index]))
            if self._ends[index] > self._flow.settled:
                return places
            self._settled[index] = places
        return self._settled[index]

    # --- painting -------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self.viewport()), theme.current()
        painter.fillRect(event.rect(), colors.base)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scrolled = self.verticalScrollBar().value()
        top, bottom = event.rect().top() + scrolled - MARGIN, event.rect().bottom() + scrolled - MARGIN
        segments = list(self._flow.visible(top, bottom))
        if self._pieces and segments:
            first = bisect_right(self._ends, segments[0].start)
            last = bisect_left(self._ends, segments[-1].start + segments[-1].length + 1)
            self._paint_backgrounds(painter, first, min(last, len(self._pieces) - 1))
        painter.setPen(colors.muted if self._former or not self._pieces else colors.text)
        if not self._pieces:
            inside = self.viewport().rect().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
            painter.drawText(inside, Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap, self._placeholder)
        for segment in segments:
            segment.layout.draw(painter, QPointF(MARGIN, segment.top + MARGIN - scrolled))
        painter.end()

    def _paint_backgrounds(self, painter: QPainter, first: int, last: int) -> None:
        offset = QPointF(MARGIN, MARGIN - self.verticalScrollBar().value())
        painter.setPen(Qt.PenStyle.NoPen)
        shades = theme.probability_shades()
        for index in range(first, last + 1) if not self._former else ():
            probability = self._pieces[index].probability
            if probability is not None:
                painter.setBrush(shades[theme.probability_level(probability)].background)
                for rect in self._places(index):
                    painter.drawRoundedRect(rect.translated(offset).adjusted(0.5, -1, -0.5, 1), 3, 3)
        self._paint_mark(painter)
        low, high = self.selection
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme.current().muted, 1))
        self._outline(painter, self._hovered, self._hovered)
        painter.setPen(QPen(theme.current().accent, 1.6))
        if low == high:
            self._outline(painter, low, high)
        else:
            self._underline(painter, max(low, first), min(high, last))

    def _paint_mark(self, painter: QPainter) -> None:
        places = self.token_rects(self._mark) if 0 <= self._mark < len(self._pieces) else []
        if places:
            left = places[0].adjusted(0, -LEADING / 2, 0, LEADING / 2)
            painter.setPen(QPen(theme.current().cut_line, 2.4))
            painter.drawLine(left.topLeft(), left.bottomLeft())
            for rect in places:
                painter.drawLine(
                    rect.adjusted(0, 2.2, 0, 2.2).bottomLeft(), rect.adjusted(0, 2.2, 0, 2.2).bottomRight()
                )

    def _outline(self, painter: QPainter, first: int, last: int) -> None:
        for index in range(max(0, first), min(last, len(self._pieces) - 1) + 1):
            for rect in self.token_rects(index):
                painter.drawRoundedRect(rect.adjusted(0, -1.5, 0, 1.5), 3, 3)

    def _underline(self, painter: QPainter, first: int, last: int) -> None:
        """Several selected tokens: one line below them all is calmer than a frame around each."""
        for index in range(first, last + 1):
            for rect in self.token_rects(index):
                line = rect.adjusted(0, 2.2, 0, 2.2)
                painter.drawLine(line.bottomLeft(), line.bottomRight())

    # --- selection ------------------------------------------------------------------------------------------

    def _add_copy(self, menu: QMenu) -> None:
        if self._head >= 0:
            menu.addAction("Copy the selected tokens' text", self.copy)

    @Slot()
    def copy(self) -> None:
        """The selected tokens' text, or all of it, to the clipboard."""
        low, high = self.selection
        pieces = self._pieces[low : high + 1] if low >= 0 else self._pieces
        QGuiApplication.clipboard().setText("".join(piece.text for piece in pieces))

    def _describe(self, index: int) -> str:
        piece = self._pieces[index]
        odds = "" if piece.probability is None else f", probability {piece.probability:.4f}"
        return f"{super()._describe(index)}: {piece.shown}{odds}"


def _marks(shown: str) -> list[int]:
    """Where the marks stand in `shown`, in UTF-16 units."""
    return [utf16_length(shown[:i]) for i, character in enumerate(shown) if character in MARK_CHARACTERS]
