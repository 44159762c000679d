"""Where the parts of a heat map lie, and which labels have room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF
from PySide6.QtGui import QFont, QFontMetricsF

from llmlab.ui import theme
from llmlab.ui.widgets.heatmap.camera import Camera
from llmlab.ui.widgets.heatmap.picture import HeatPicture

LARGEST_SHARE = 0.3  # of the widget that labels may take
LONGEST_LABEL = 92.0  # pixels; longer ones end in an ellipsis
SAMPLED = 2000  # labels that are measured for the margins
BAR = 12.0  # width of the colour bar
BAR_ROOM = 70.0  # bar, numbers and gaps
NOTE = 20.0  # the line below the map
PROFILE = 64.0  # the bars of the pinned rows
AXIS_TITLE = 15.0
GAP = 6.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The parts of the widget, in its pixels; those that there are not are empty."""

    map: QRectF
    rows: QRectF  # labels left of the map
    columns: QRectF  # labels above it
    bar: QRectF
    profile: QRectF
    note: QRectF


@dataclass(frozen=True, slots=True)
class Chrome:
    """What stands around the map. Beside each other, two maps share the labels of the left and the bar of the right.

    `left`, `top`: room for the labels, from `label_room`.
    """

    left: float = 0.0
    top: float = 0.0
    rows: bool = True  # labels of the rows
    bar: bool = True  # the colour bar
    profile: bool = False  # bars of the pinned rows, below the map


def frame(width: float, height: float, chrome: Chrome) -> Frame:
    """Lay out a widget of this size."""
    labels, top = min(chrome.left, LARGEST_SHARE * width), min(chrome.top, LARGEST_SHARE * height)
    left, right = labels, BAR_ROOM
    if not (chrome.rows and chrome.bar):  # one of two whose maps shall be equally wide
        wide = max(labels, BAR_ROOM)
        left, right = (wide, GAP) if chrome.rows else (GAP, wide)
    bottom = GAP + NOTE + (PROFILE + GAP if chrome.profile else 0)
    area = QRectF(left, top, max(1.0, width - left - right), max(1.0, height - top - bottom))
    strip = QRectF(area.left(), area.bottom() + GAP, area.width(), PROFILE) if chrome.profile else QRectF()
    return Frame(
        map=area,
        rows=QRectF(0, area.top(), left - GAP, area.height()) if chrome.rows else QRectF(),
        columns=QRectF(area.left(), 0, area.width(), top - GAP),
        bar=QRectF(area.right() + 2 * GAP, area.top(), BAR, min(area.height(), 260.0)) if chrome.bar else QRectF(),
        profile=strip,
        note=QRectF(0, height - NOTE, width, NOTE),
    )


def label_room(picture: HeatPicture, font: QFont) -> tuple[float, float]:
    """The width of the margin on the left and the height of that on top: what the longest labels need."""
    metrics = QFontMetricsF(font)
    sizes = []
    for labels in (picture.row_labels, picture.column_labels):
        step = max(1, len(labels) // SAMPLED)
        number = metrics.horizontalAdvance(f"{len(labels)} ") if len(labels) > 40 else 0.0
        widest = max((metrics.horizontalAdvance(label) for label in labels[::step]), default=0.0)
        sizes.append(math.ceil(min(LONGEST_LABEL, widest) + number) + 2 * GAP + AXIS_TITLE)
    return sizes[0], sizes[1]


def label_step(pixels: float, line: float) -> int:
    """Which labels have room where a cell takes `pixels` and a line of text `line`: all, every 2nd, 5th, 10th, 20th."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step * pixels >= line:
                return step
        power *= 10


def visible_labels(
    labels: Sequence[str], start: float, pixels: float, room: float, line: float
) -> Iterator[tuple[int, float, str]]:
    """The labels that are shown: (unit, middle in pixels from the map's edge, text). They never overlap.

    Where not every unit has room for its label, the number of the unit stands before it.
    """
    step = label_step(pixels, line)
    first = max(0, math.ceil((start - 0.5) / step) * step)
    for unit in range(first, len(labels), step):
        middle = (unit + 0.5 - start) * pixels
        if middle > room - min(line, pixels) / 4:
            return
        if middle >= min(line, pixels) / 4:
            yield unit, middle, labels[unit] if step == 1 else f"{unit} {labels[unit]}"


def seen(picture: HeatPicture, camera: Camera, area: QRectF) -> tuple[int, int, int, int]:
    """The units that are seen at least in part: (first row, row after the last, first column, column after)."""
    return (
        max(0, math.floor(camera.row)),
        min(picture.rows, math.ceil(camera.row + area.height() / camera.height)),
        max(0, math.floor(camera.column)),
        min(picture.columns, math.ceil(camera.column + area.width() / camera.width)),
    )


def label_font() -> QFont:
    """Of the tokens on the axes."""
    return theme.monospace(0.82)
