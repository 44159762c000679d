"""Lays out a strip's blocks one by one, only those that are looked at, and remembers them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFont, QFontMetricsF, QTextCharFormat, QTextLayout, QTextLine, QTextOption

from llmlab.ui import theme
from llmlab.ui.widgets.strip_text import Composed, StripText
from llmlab.ui.widgets.textline import cursor_x

REMEMBERED = 64  # laid out blocks: several screens
DATA_SIZE = 0.72  # of the text: bytes in hex
EXACT = 6  # blocks: a text this short is laid out whole, so that the scroll bar is exact


@dataclass(slots=True, eq=False)
class LaidOut:
    """A block on a canvas of its own, from y = 0. `places` are each token's rectangles."""

    layout: QTextLayout
    height: float
    places: list[list[QRectF]]
    ties: list[QRectF]


Known: TypeAlias = OrderedDict[Composed, LaidOut]


class StripLayout:
    """Where the blocks of `source` lie on one long canvas of `width` pixels.

    Heights are estimates until a block has been laid out. `known` are blocks laid out before with the same font,
    width and colours: after a keystroke most of them come back.
    """

    def __init__(self, source: StripText, font: QFont, width: float, leading: float, known: Known) -> None:
        self._source = source
        self._composed = known
        self._font = font
        self._width = max(40.0, width)
        self._leading = leading
        self._known: OrderedDict[int, LaidOut] = OrderedDict()
        self._line = QFontMetricsF(font).height() + leading
        self._heights = self._estimate(QFontMetricsF(font).averageCharWidth())
        self._measured = np.zeros(len(source), np.bool_)
        self._tops = self._sum()
        if len(source) <= EXACT:
            for block in range(len(source)):
                self.block(block)

    def _estimate(self, advance: float) -> np.ndarray:
        characters = np.diff(self._source.places)
        return (self._source.lines + np.ceil(characters * advance / self._width)) * self._line

    def _sum(self) -> np.ndarray:
        return np.concatenate(([0.0], np.cumsum(self._heights)))

    @property
    def height(self) -> float:
        """Of the whole canvas."""
        return float(self._tops[-1])

    def top(self, block: int) -> float:
        """Where a block begins."""
        return float(self._tops[block])

    def block_at(self, y: float) -> int:
        """The block at a height of the canvas."""
        return min(max(int(np.searchsorted(self._tops, y, "right")) - 1, 0), len(self._source) - 1)

    def block(self, index: int) -> LaidOut:
        """The laid out block, made now if it is not remembered."""
        found = self._known.get(index)
        if found is None:
            found = self._known[index] = self._lay_out(self._source.compose(index))
            if not self._measured[index] or self._heights[index] != found.height:
                self._measured[index] = True
                self._heights[index] = found.height
                self._tops = self._sum()
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(index)
        return found

    def _lay_out(self, composed: Composed) -> LaidOut:
        found = self._composed.get(composed)
        if found is None:
            found = self._composed[composed] = _lay_out(composed, self._font, self._width, self._leading)
            if len(self._composed) > REMEMBERED:
                self._composed.popitem(last=False)
        return found

    def visible(self, top: float, bottom: float) -> list[tuple[int, float, LaidOut]]:
        """Blocks between two heights: (block, its top, what it looks like)."""
        block, shown = self.block_at(top), []
        while block < len(self._source) and self.top(block) <= bottom:
            laid_out = self.block(block)
            shown.append((block, self.top(block), laid_out))
            block += 1
        return shown


def _lay_out(composed: Composed, font: QFont, width: float, leading: float) -> LaidOut:
    layout = QTextLayout(composed.text, font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    layout.setFormats(_formats(composed, font.pointSizeF()))
    layout.beginLayout()
    y, lines = 0.0, []
    while (line := layout.createLine()).isValid():
        line.setLineWidth(width)
        line.setPosition(QPointF(0, y + leading / 2))
        lines.append((line.textStart(), line.textStart() + line.textLength(), line))
        y += line.height() + leading
    layout.endLayout()
    if len(lines) > 1 and lines[-1][0] == lines[-1][1]:  # an empty line after a closing line break
        y -= lines[-1][2].height() + leading
    exact = composed.text.isascii() or all(ord(c) < 0x590 or 0x2000 <= ord(c) <= 0xD7FF for c in composed.text)
    places = _places(composed.spans, lines, simple=exact)
    ties = [rect for tie in _places(composed.ties, lines, simple=exact) for rect in tie]
    return LaidOut(layout, y, places, ties)


def _formats(composed: Composed, size: float) -> list[QTextLayout.FormatRange]:
    colors = theme.current()
    marks, names, data = QTextCharFormat(), QTextCharFormat(), QTextCharFormat()
    marks.setForeground(colors.token_space)
    data.setFontPointSize(DATA_SIZE * size)
    names.setForeground(colors.token_special)
    ranges = []
    for places, style in ((composed.marks, marks), (composed.names, names), (composed.data, data)):
        for start, length in places:
            item = QTextLayout.FormatRange()
            item.start, item.length, item.format = start, length, style
            ranges.append(item)
    return ranges


def _places(
    spans: tuple[tuple[int, int], ...], lines: list[tuple[int, int, QTextLine]], *, simple: bool
) -> list[list[QRectF]]:
    """The rectangles of each span, one for each line it touches."""
    found: list[list[QRectF]] = []
    current = 0
    for start, end in spans:
        while current < len(lines) - 1 and lines[current][1] <= start:
            current += 1
        rects: list[QRectF] = []
        number = current
        while number < len(lines) and lines[number][0] < end:
            first, last, line = lines[number]
            low, high = max(start, first), min(end, last)
            if low < high:
                extents = (_extent(line, low, high),) if simple else _visual_extents(line, low, high)
                rects.extend(QRectF(left, line.y(), right - left, line.height()) for left, right in extents)
            number += 1
        found.append(rects)
    return found


def _extent(line: QTextLine, low: int, high: int) -> tuple[float, float]:
    """Left and right end of characters that stand one after another."""
    return cursor_x(line, low), cursor_x(line, high)


def _visual_extents(line: QTextLine, low: int, high: int) -> list[tuple[float, float]]:
    """Left and right ends of characters in text that may run both ways: of every run that they are part of.

    A cursor's place is ambiguous where the direction changes; glyphs are not. A part of a ligature has none of its own.
    """
    found: list[tuple[float, float]] = []
    bounds = [run.boundingRect() for run in line.glyphRuns(low, high - low)]
    for left, right in sorted((rect.left(), rect.right()) for rect in bounds):
        if found and left <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(right, found[-1][1]))
        else:
            found.append((left, right))
    if not found:
        left, right = sorted(_extent(line, low, high))
        found = [(left, right)]
    return found
