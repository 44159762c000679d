"""From code to colour: one table of 65,536 colours for each scale."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor

from llmlab.ui import theme
from llmlab.ui.widgets.heatmap.codes import CODES, INFINITY, MASKED, NAN, values_of
from llmlab.ui.widgets.heatmap.norm import Norm, Scale

STEPS = 256
NAN_COLOR = QColor("#ff2fa0")  # in no part of the heat colours
INFINITY_COLOR = QColor("#ff7a1a")


def table(norm: Norm, *, opaque: bool = False) -> NDArray[np.uint32]:
    """ARGB (65536,) of every code, in the scheme in force. Masked is transparent, or, if `opaque`, a flat colour."""
    masked = masked_color().rgba() if opaque else 0
    return _table(norm, masked, theme.current().dark if norm.scale is Scale.DIFFERENCE else False)


@lru_cache(maxsize=16)
def _table(norm: Norm, masked: int, dark: bool) -> NDArray[np.uint32]:
    signed = norm.scale is Scale.DIFFERENCE
    shades = diverging(dark) if signed else heat()
    places = np.rint(norm.places(values_of(signed=signed)) * (STEPS - 1)).astype(np.intp)
    colors = shades[places]
    assert colors.shape == (CODES,)
    if not signed:
        colors[INFINITY], colors[NAN] = INFINITY_COLOR.rgba(), NAN_COLOR.rgba()
    colors[MASKED] = masked
    colors.flags.writeable = False
    return colors


@lru_cache(maxsize=1)
def heat() -> NDArray[np.uint32]:
    """The sequential colours, ARGB (256,)."""
    return _packed(theme.heat_table())


@lru_cache(maxsize=2)
def diverging(dark: bool) -> NDArray[np.uint32]:
    """Colours of differences, ARGB (256,): blue, the scheme's ground, orange; safe for common colour blindness."""
    ground = theme.DARK.base if dark else theme.LIGHT.base
    ends = (QColor("#3b82f6"), QColor("#f59e0b")) if dark else (QColor("#1d4ed8"), QColor("#c2410c"))
    half = STEPS // 2
    below = [theme.mix(ground, ends[0], (half - i) / half) for i in range(half)]
    above = [theme.mix(ground, ends[1], (i - half + 1) / half) for i in range(half, STEPS)]
    return np.array([color.rgba() for color in (*below, *above)], np.uint32)


def masked_color() -> QColor:
    """The ground under masked cells."""
    return theme.current().raised


def color_at(norm: Norm, value: float) -> QColor:
    """The colour of one weight."""
    shades = diverging(theme.current().dark) if norm.scale is Scale.DIFFERENCE else heat()
    place = norm.places(np.array([value], np.float32))[0]
    return QColor.fromRgba(int(shades[round(place * (STEPS - 1))]))


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    parts = colors.astype(np.uint32)
    return np.uint32(0xFF000000) | parts[:, 0] << np.uint32(16) | parts[:, 1] << np.uint32(8) | parts[:, 2]
