"""Paints two columns of tokens and the lines between them: on the screen, and into a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from llmlab.engine.types import Int32
from llmlab.ui import theme
from llmlab.ui.panels.attention.lines_edges import Edges, strongest
from llmlab.ui.panels.attention.lines_values import HeadLines, Lines
from llmlab.ui.panels.attention.reading import KEYS, QUERIES

LIMIT = 5000  # lines painted at once
FEW = 60  # lines, up to which they are drawn a little wider; beyond a width of 1 Qt paints fifty times slower
OPACITIES = 24  # levels that are told apart
MAX_GAP = 460.0  # pixels between the columns
MAX_LABEL = 0.26  # of the width
PAD = 6.0
HEADER = 22.0
QUERY, KEY = "query: looks", "key: is looked at"
SPREAD = 1.6  # pixels between the lines of two heads from the same token to the same token
BLOCK = 7.0  # pixels of a head's coloured block behind a token, where several heads are shown


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: what, how large, and which part. `scroll` in pixels; `active` is the axis and row of a token whose
    lines alone are shown, or several pinned queries.
    """

    lines: Lines
    font: QFont
    colors: theme.Theme
    width: float
    height: float
    scroll: float = 0.0
    threshold: float = 0.05
    hovered: tuple[str, int] | None = None
    pinned: tuple[int, ...] = ()

    @property
    def row_height(self) -> float:
        """Of a token."""
        return QFontMetricsF(self.font).height() + 4

    @property
    def whole_height(self) -> float:
        """Of both columns with their header."""
        rows = max(len(self.lines.query_labels), len(self.lines.key_labels))
        return HEADER + rows * self.row_height + PAD

    @property
    def rows(self) -> tuple[int, int]:
        """First and last row in sight."""
        last = int((self.scroll + self.height - HEADER) // self.row_height)
        return int(self.scroll // self.row_height), last

    @property
    def active(self) -> tuple[str, tuple[int, ...]] | None:
        """The tokens whose lines alone are shown: under the mouse, or else pinned."""
        if self.hovered is not None:
            return self.hovered[0], (self.hovered[1],)
        return (QUERIES, self.pinned) if self.pinned else None


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns are: `left` and `right` edges of the space between them, and how wide the labels are."""

    left: float
    right: float
    label: float


@dataclass(frozen=True, slots=True)
class Painted:
    """How many lines were painted, of how many that reach the threshold."""

    lines: int
    of: int


def columns(frame: Frame) -> Columns:
    """The columns in the middle of the picture, no further apart than the eye can follow."""
    metrics = QFontMetricsF(frame.font)
    widest = frame.lines.longest * metrics.horizontalAdvance("0") + 2 * PAD + blocks_width(frame)
    number = metrics.horizontalAdvance(" 0.000") if len(frame.lines.heads) == 1 else 0.0
    label = min(max(widest, 50.0), MAX_LABEL * frame.width)
    gap = min(MAX_GAP, max(60.0, frame.width - 2 * (label + number)))
    left = (frame.width - gap) / 2
    return Columns(left, left + gap, label)


def blocks_width(frame: Frame) -> float:
    """Room for the coloured blocks of several heads behind a token."""
    count = len(frame.lines.heads)
    return count * (BLOCK + 1) if count > 1 else 0.0


def row_rect(frame: Frame, place: Columns, axis: str, row: int) -> QRectF:
    """Where a token stands."""
    top = HEADER + row * frame.row_height - frame.scroll
    left = place.left - place.label if axis == QUERIES else place.right
    return QRectF(left, top, place.label, frame.row_height)


def token_at(frame: Frame, x: float, y: float) -> tuple[str, int] | None:
    """The token under a point, with its axis."""
    place = columns(frame)
    if y < HEADER:
        return None
    row = int((y - HEADER + frame.scroll) // frame.row_height)
    for axis, labels in ((QUERIES, frame.lines.query_labels), (KEYS, frame.lines.key_labels)):
        if 0 <= row < len(labels) and row_rect(frame, place, axis, row).contains(x, y):
            return axis, row
    return None


def chosen(frame: Frame, edges: Edges) -> Int32:
    """Which lines of a head are wanted, by what is in sight, the threshold, and the tokens that are isolated."""
    if frame.active is None:
        return edges.touching(*frame.rows, frame.threshold)
    axis, rows = frame.active
    find = edges.of_query if axis == QUERIES else edges.of_key
    found: Int32 = np.concatenate([find(row) for row in rows])
    strong: Int32 = found[edges.weights[found] >= frame.threshold]
    return strong


def paint(painter: QPainter, frame: Frame) -> Painted:
    """The whole picture."""
    place = columns(frame)
    painter.setFont(frame.font)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.save()
    painter.setClipRect(QRectF(0, HEADER, frame.width, frame.height - HEADER))
    wanted = [(head, chosen(frame, head.edges)) for head in frame.lines.heads]
    found = sum(len(which) for _, which in wanted)
    painted = _paint_lines(painter, frame, place, _limited(wanted))
    if frame.active is not None:
        _paint_blocks(painter, frame, place, wanted)
    _paint_labels(painter, frame, place)
    painter.restore()
    _paint_header(painter, frame, place)
    return Painted(painted, found)


def _limited(wanted: list[tuple[HeadLines, Int32]]) -> list[tuple[HeadLines, Int32]]:
    """The strongest lines of all heads together."""
    found = sum(len(which) for _, which in wanted)
    if found > LIMIT:
        weights = np.concatenate([head.edges.weights[which] for head, which in wanted])
        least = np.partition(weights, found - LIMIT)[found - LIMIT]
        wanted = [(head, which[head.edges.weights[which] >= least]) for head, which in wanted]
    return [(head, strongest(head.edges, which, LIMIT)) for head, which in wanted]


def _paint_lines(painter: QPainter, frame: Frame, place: Columns, wanted: list[tuple[HeadLines, Int32]]) -> int:
    offset = HEADER + frame.row_height / 2 - frame.scroll
    count, total = 0, sum(len(which) for _, which in wanted)
    width = 1.5 if total <= FEW else 1.0
    for number, (head, which) in enumerate(wanted):
        edges = head.edges
        beside = (number - (len(wanted) - 1) / 2) * SPREAD  # so that heads that agree do not hide each other
        levels = np.ceil(np.minimum(edges.weights[which] / frame.lines.top, 1.0) * OPACITIES).astype(np.int32)
        starts = (edges.queries[which] * frame.row_height + offset + beside).tolist()
        ends = (edges.keys[which] * frame.row_height + offset + beside).tolist()
        lines = [QLineF(place.left, a, place.right, b) for a, b in zip(starts, ends, strict=True)]
        borders = np.flatnonzero(np.diff(levels, prepend=-1)).tolist()  # weakest first: levels never fall
        for first, last in zip(borders, [*borders[1:], len(lines)], strict=True):
            painter.setPen(QPen(_shade(frame, head.slot, levels[first] / OPACITIES), width))
            painter.drawLines(lines[first:last])
        count += len(lines)
    return count


def _shade(frame: Frame, slot: int, opacity: float) -> QColor:
    color = QColor(frame.colors.series[slot % len(frame.colors.series)])
    color.setAlphaF(float(opacity))
    return color


def _paint_blocks(painter: QPainter, frame: Frame, place: Columns, wanted: list[tuple[HeadLines, Int32]]) -> None:
    """Behind each token that an isolated one is tied to: a block for each head, as strong as the weight."""
    assert frame.active is not None
    axis, rows = frame.active
    other = KEYS if axis == QUERIES else QUERIES
    count = len(wanted)
    for column, (head, which) in enumerate(wanted):
        ends = (head.edges.keys if axis == QUERIES else head.edges.queries)[which].tolist()
        for row, weight in zip(ends, head.edges.weights[which].tolist(), strict=True):
            rect = row_rect(frame, place, other, row)
            if rect.bottom() < HEADER or rect.top() > frame.height:
                continue
            color = _shade(frame, head.slot, min(1.0, weight / frame.lines.top))
            painter.fillRect(_block(rect, other, column, count), color)
            if count == 1 and len(rows) == 1:
                _paint_number(painter, frame, rect, other, weight)


def _block(rect: QRectF, axis: str, column: int, count: int) -> QRectF:
    """One head: a bar at the end of the line. Several: a block each."""
    width = BLOCK if count > 1 else 3.0
    step = column * (width + 1)
    left = rect.left() - 2 + step if axis == KEYS else rect.right() - width + 2 - step
    return QRectF(left, rect.top() + 2, width, rect.height() - 4)


def _paint_number(painter: QPainter, frame: Frame, rect: QRectF, axis: str, weight: float) -> None:
    painter.setPen(frame.colors.muted)
    center = Qt.AlignmentFlag.AlignVCenter
    if axis == KEYS:
        place = QRectF(rect.right(), rect.top(), 60, rect.height())
        painter.drawText(place, center | Qt.AlignmentFlag.AlignLeft, f"{weight:.3f}")
    else:
        place = QRectF(rect.left() - 60, rect.top(), 60, rect.height())
        painter.drawText(place, center | Qt.AlignmentFlag.AlignRight, f"{weight:.3f}")


def _paint_labels(painter: QPainter, frame: Frame, place: Columns) -> None:
    colors, metrics = frame.colors, QFontMetricsF(frame.font)
    active = frame.active
    blocks = 0.0 if active is None else blocks_width(frame)
    first, last = frame.rows
    for axis, labels in ((QUERIES, frame.lines.query_labels), (KEYS, frame.lines.key_labels)):
        shift = blocks if active is not None and axis != active[0] else 0.0
        side = Qt.AlignmentFlag.AlignRight if axis == QUERIES else Qt.AlignmentFlag.AlignLeft
        for row in range(max(0, first), min(last + 1, len(labels))):
            rect = row_rect(frame, place, axis, row)
            is_active = active is not None and axis == active[0] and row in active[1]
            if is_active:
                painter.fillRect(rect, colors.accent_base)
            painter.setPen(colors.text if is_active or active is None or axis != active[0] else colors.muted)
            inside = rect.adjusted(PAD + (shift if axis == KEYS else 0), 0, -PAD - (shift if axis == QUERIES else 0), 0)
            text = metrics.elidedText(labels[row], Qt.TextElideMode.ElideRight, inside.width())
            painter.drawText(inside, side | Qt.AlignmentFlag.AlignVCenter, text)


def _paint_header(painter: QPainter, frame: Frame, place: Columns) -> None:
    colors = frame.colors
    painter.setPen(colors.muted)
    center, advance = Qt.AlignmentFlag.AlignVCenter, QFontMetricsF(frame.font).horizontalAdvance
    between = QRectF(place.left, 0, place.right - place.left, HEADER)
    if advance(f"{QUERY}   {KEY}") <= between.width():
        painter.drawText(between, center | Qt.AlignmentFlag.AlignLeft, QUERY)
        painter.drawText(between, center | Qt.AlignmentFlag.AlignRight, KEY)
    painter.setPen(QPen(colors.border, 1))
    painter.drawLine(QLineF(0, HEADER - 1, frame.width, HEADER - 1))
