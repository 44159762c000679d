"""A map of vectors: points in the plane, which of them have names, and what is under the mouse. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.types import Float32, Int32

MARGIN = 0.06  # of the points' extent, left free on every side
CLOSEST = 1e-4  # of the whole extent: zooming in ends there
DOT = ((0, 0), (0, 1), (1, 0), (1, 1))  # the pixels of a background point
DARKEST = 12  # points on one pixel from which on it gets no darker

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class MapPicture:
    """`points` float32 (n, 2) lie in the background; some have names, one is selected, a path joins others.

    `named` int32 (m,): the points with names, the most important first; `path` int32 (p,): points to join, p may be 0.
    `explained`: the share of the variance on each axis. `describe` gives the title and the facts of a point.
    Two pictures with the same `points` array are the same map: it stays where it was zoomed to.
    """

    title: str
    points: Float32
    explained: tuple[float, float]
    named: Int32
    names: tuple[str, ...]
    selected: int
    path: Int32
    describe: Callable[[int], tuple[str, Facts]]


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plane that is shown."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, points: Float32) -> Window:
        """All of them, with a margin; one point, or none, is in the middle."""
        if not len(points):
            return cls(-1.0, 1.0, -1.0, 1.0)
        (left, bottom), (right, top) = points.min(0).tolist(), points.max(0).tolist()
        x, y = _room(right - left), _room(top - bottom)
        return cls(left - x, right + x, bottom - y, top + y)

    @property
    def width(self) -> float:
        """Of the shown part."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Of the shown part."""
        return self.top - self.bottom

    def moved(self, x: float, y: float) -> Window:
        """By shares of its width and height."""
        dx, dy = x * self.width, y * self.height
        return Window(self.left + dx, self.right + dx, self.bottom + dy, self.top + dy)

    def zoomed(self, factor: float, x: float = 0.5, y: float = 0.5) -> Window:
        """`factor` times as large; the place at the shares `x`, `y` of width and height stays where it is."""
        left = self.left + x * self.width * (1 - factor)
        bottom = self.bottom + y * self.height * (1 - factor)
        return Window(left, left + self.width * factor, bottom, bottom + self.height * factor)

    def within(self, whole: Window) -> Window:
        """Itself, or `whole` where it has become larger, or the closest one where it has become too small."""
        if self.width >= whole.width or self.height >= whole.height:
            return whole
        factor = max(1.0, CLOSEST * whole.width / self.width)
        return self.zoomed(factor) if factor > 1 else self

    def pixels(self, points: Float32, width: int, height: int) -> Float32:
        """Where points (n, 2) lie in a picture of this size, its origin at the top left: float32 (n, 2)."""
        placed = np.empty((2, len(points)), np.float32)  # each coordinate in one piece, which is what is asked for
        placed[0] = (points[:, 0] - np.float32(self.left)) * np.float32(width / self.width)
        placed[1] = (np.float32(self.top) - points[:, 1]) * np.float32(height / self.height)
        return placed.T


def density(pixels: Float32, width: int, height: int) -> NDArray[np.uint8]:
    """How many points cover each pixel, uint8 (height, width), at most `DARKEST`; a point is a small square.

    The cost hardly grows with the points: 150,000 of them take some milliseconds, at any zoom.
    """
    counts = np.zeros((height + 2) * (width + 2), np.int64)
    columns, rows = np.floor(pixels[:, 0]), np.floor(pixels[:, 1])
    inside = (columns >= -1) & (columns < width) & (rows >= -1) & (rows < height)
    flat = (rows[inside].astype(np.int64) + 1) * (width + 2) + columns[inside].astype(np.int64) + 1
    counts += np.bincount(flat, minlength=len(counts))
    framed = counts.reshape(height + 2, width + 2)
    covered = sum(framed[1 - down : height + 1 - down, 1 - right : width + 1 - right] for down, right in DOT)
    return np.minimum(covered, DARKEST).astype(np.uint8)


def nearest(pixels: Float32, x: float, y: float, within: float) -> int:
    """The point nearest to (x, y), −1 where none is near enough."""
    near = np.flatnonzero(np.abs(pixels[:, 0] - np.float32(x)) <= within)
    if not len(near):
        return -1
    distances = (pixels[near, 0] - x) ** 2 + (pixels[near, 1] - y) ** 2
    best = int(np.argmin(distances))
    return int(near[best]) if distances[best] <= within**2 else -1


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between `low` and `high`, at most about `most` of them."""
    if not high > low:
        return []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if raw <= power * factor * (1 + 1e-9))
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def tick_name(value: float) -> str:
    """As short as it can be."""
    return f"{value:g}".replace("-", "−")


def _room(extent: float) -> float:
    return MARGIN * extent if extent > 0 else 1.0
