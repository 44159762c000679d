"""Lays out a growing text without ever laying out again what is settled.

Qt lays out a paragraph as a whole, so a text that grows token by token costs the square of its length. Here a
paragraph's finished lines are frozen in segments, and only the last, open one is laid out again.
Positions are in UTF-16 units, which is what Qt counts in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFont, QTextCharFormat, QTextLayout, QTextOption

from llmlab.ui.widgets.textline import cursor_x

CHUNK = 400  # characters laid out at a time, so that no segment becomes long
OPEN_LINES = 1  # an open segment that has grown beyond this many lines is frozen, all but its last line


@dataclass(slots=True)
class Segment:
    """Some lines of text: where they stand in the text and on the canvas."""

    start: int  # of its first character in the text
    top: float
    layout: QTextLayout
    length: int
    height: float

    @property
    def bottom(self) -> float:
        """Where the next segment begins."""
        return self.top + self.height


def utf16_length(text: str) -> int:
    """Length as Qt counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_split(text: str, position: int) -> tuple[str, str]:
    """`text` cut at a position that Qt has counted."""
    if text.isascii():
        return text[:position], text[position:]
    units = text.encode("utf-16-le", "surrogatepass")
    before, after = units[: 2 * position], units[2 * position :]
    return before.decode("utf-16-le", "surrogatepass"), after.decode("utf-16-le", "surrogatepass")


class Flow:
    """A text in segments. `marks` are formats for ranges of the text: [(start, length, format)], by start."""

    def __init__(self, font: QFont, width: float, leading: float) -> None:
        self._font = font
        self._width = max(20.0, width)
        self._leading = leading  # between lines, in pixels
        self._option = QTextOption()
        self._option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.segments: list[Segment] = []
        self._open_text = ""
        self.marks: list[tuple[int, int, QTextCharFormat]] = []
        self._close(start=0)

    @property
    def height(self) -> float:
        """Of the whole text."""
        return self.segments[-1].bottom

    def append(self, text: str) -> None:
        """Add `text`; a line break ends the paragraph."""
        first, *rest = text.split("\n")
        self._extend(first)
        for line in rest:
            self._close(self.segments[-1].start + self.segments[-1].length + 1)
            self._extend(line)

    @property
    def settled(self) -> int:
        """Characters before this one have found their place."""
        return self.segments[-1].start

    @property
    def settled_height(self) -> float:
        """Where the part begins that may still move."""
        return self.segments[-1].top

    def _extend(self, text: str) -> None:
        for at in range(0, len(text), CHUNK):
            self._extend_a_little(text[at : at + CHUNK])

    def _extend_a_little(self, text: str) -> None:
        self._open_text += text
        segment = self._fit(self.segments[-1], self._open_text)
        if segment.layout.lineCount() > OPEN_LINES:
            last = segment.layout.lineAt(segment.layout.lineCount() - 1).textStart()
            settled, rest = utf16_split(self._open_text, last)
            self._fit(segment, settled)
            self._close(segment.start + last)
            self._open_text = rest
            self._fit(self.segments[-1], rest)

    def _close(self, start: int) -> None:
        """Begin a segment at `start`, below all there is."""
        top = self.segments[-1].bottom if self.segments else 0.0
        self._open_text = ""
        self.segments.append(self._fit(Segment(start, top, QTextLayout(), 0, 0.0), ""))

    def _fit(self, segment: Segment, text: str) -> Segment:
        """Lay out `text` as the whole of `segment`."""
        layout = QTextLayout(text, self._font)
        layout.setTextOption(self._option)
        segment.length = utf16_length(text)
        layout.setFormats(self._formats(segment))
        layout.beginLayout()
        y = 0.0
        while (line := layout.createLine()).isValid():
            line.setLineWidth(self._width)
            line.setPosition(QPointF(0, y))
            y += line.height() + self._leading
        layout.endLayout()
        segment.layout, segment.height = layout, y
        return segment

    def _formats(self, segment: Segment) -> list[QTextLayout.FormatRange]:
        ranges = []
        first = bisect_left(self.marks, segment.start, key=lambda mark: mark[0])
        for start, length, style in self.marks[first:]:
            if start >= segment.start + segment.length:
                break
            item = QTextLayout.FormatRange()
            item.start, item.length, item.format = start - segment.start, length, style
            ranges.append(item)
        return ranges

    def visible(self, top: float, bottom: float) -> Iterator[Segment]:
        """The segments between two heights."""
        first = max(0, bisect_right(self.segments, top, key=lambda segment: segment.top) - 1)
        for segment in self.segments[first:]:
            if segment.top > bottom:
                return
            yield segment

    def position_at(self, point: QPointF) -> int | None:
        """The character under `point`, or None where there is none."""
        for segment in self.visible(point.y(), point.y()):
            for number in range(segment.layout.lineCount()):
                line = segment.layout.lineAt(number)
                top = segment.top + line.y()
                if top <= point.y() < top + line.height() + self._leading:
                    if not 0 <= point.x() <= line.naturalTextWidth():
                        return None
                    at = line.xToCursor(point.x(), line.CursorPosition.CursorOnCharacter)
                    return segment.start + int(at)
        return None

    def rects(self, start: int, end: int) -> Iterator[QRectF]:
        """The places of the characters start … end, one rectangle for each line they touch."""
        first = max(0, bisect_right(self.segments, start, key=lambda segment: segment.start) - 1)
        for segment in self.segments[first:]:
            if segment.start >= end:
                return
            yield from self._rects_in(segment, start - segment.start, end - segment.start)

    @staticmethod
    def _rects_in(segment: Segment, start: int, end: int) -> Iterator[QRectF]:
        for number in range(segment.layout.lineCount()):
            line = segment.layout.lineAt(number)
            low, high = max(start, line.textStart()), min(end, line.textStart() + line.textLength())
            if low < high:
                left, right = sorted((cursor_x(line, low), cursor_x(line, high)))
                yield QRectF(left, segment.top + line.y(), right - left, line.height())
