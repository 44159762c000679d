"""A matrix of weights as 16-bit codes, in a pyramid of ever coarser maxima. No Qt; made in a job.

A code is the weight's bfloat16 bits plus one, so codes are ordered as weights are: the largest code of several is the
code of their largest weight, and one table of 65,536 colours paints any map in any scale. Masked is 0; infinity and
NaN, which stand above all weights, are never pooled away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.types import Float32

UInt16 = NDArray[np.uint16]

MASKED = 0
ZERO = 1  # the code of weight 0; the smallest one that is not masked
INFINITY = 0x7F80 + ZERO
NAN = INFINITY + 1
MIDDLE = 0x8000  # the code of difference 0; those below are negative
CODES = 65_536
BLOCK = 256  # rows that are encoded at a time


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """`levels[i]` uint16 (rows, columns): cells of 2^i × 2^i cells of the matrix.

    `signed`: differences. `masked`, `infinite`: whether there are such cells.
    """

    levels: tuple[UInt16, ...]
    signed: bool = False
    masked: bool = False
    infinite: bool = False

    @property
    def rows(self) -> int:
        """Of the matrix."""
        return int(self.levels[0].shape[0])

    @property
    def columns(self) -> int:
        """Of the matrix."""
        return int(self.levels[0].shape[1])

    def level_for(self, pixels: float) -> int:
        """The level to paint where a cell of the matrix takes `pixels`: the finest whose cells have a pixel each."""
        level = 0
        while level + 1 < len(self.levels) and pixels * 2**level < 1:
            level += 1
        return level


def heat_of(values: Float32, *, by_row: bool = False, signed: bool = False) -> Heat:
    """The codes of `values` float32 (rows, columns), negative ones masked; NaN and infinity keep codes of their own.

    `by_row`: each row divided by its largest finite weight. `signed`: `values` are differences, from minus to plus
    infinity, and NaN stands for what cannot be compared, which is masked.
    """
    rows, columns = values.shape
    codes = np.empty((rows, columns), np.uint16)
    for start in range(0, rows, BLOCK):
        block = values[start : start + BLOCK]
        if signed:
            codes[start : start + BLOCK] = _signed(block)
        else:
            codes[start : start + BLOCK] = encoded(_by_row(block) if by_row else block)
    infinite = not signed and bool((codes == INFINITY).any())
    return Heat(_pyramid(codes, signed=signed), signed, bool((codes == MASKED).any()), infinite)


def values_of(*, signed: bool = False) -> Float32:
    """The weight that each code stands for, float32 (65536,); NaN where it stands for none."""
    numbers = np.full(CODES, np.nan, np.float32)
    count = INFINITY - ZERO + 1
    magnitudes = (np.arange(count, dtype=np.uint32) << 16).view(np.float32)
    if not signed:
        numbers[ZERO : ZERO + count] = magnitudes
        return numbers
    numbers[MIDDLE : MIDDLE + count] = magnitudes
    numbers[MIDDLE - count + 1 : MIDDLE + 1] = -magnitudes[::-1]
    numbers[MIDDLE] = 0
    return numbers


def _bits(values: Float32) -> NDArray[np.uint32]:
    """The bfloat16 bits of finite or infinite values, rounded to nearest."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x8000)) >> np.uint32(16)
    # rounding must not make infinity of a number, nor something else of infinity
    return np.where(np.isinf(values), bits >> np.uint32(16), np.minimum(rounded, np.uint32(0x7F7F)))


def encoded(values: Float32) -> UInt16:
    """The codes of weights, of any shape; negative ones are masked."""
    strange = np.isnan(values)
    masked = values < 0
    codes = _bits(np.where(strange | masked, np.float32(0), values)) + np.uint32(ZERO)
    codes[strange] = NAN
    codes[masked] = MASKED
    return codes.astype(np.uint16)


def _signed(values: Float32) -> UInt16:
    strange = np.isnan(values)
    magnitudes = _bits(np.where(strange, np.float32(0), np.abs(values))).astype(np.int64)
    codes = np.where(values < 0, MIDDLE - magnitudes, MIDDLE + magnitudes)
    codes[strange] = MASKED
    return codes.astype(np.uint16)


def _by_row(values: Float32) -> Float32:
    usable = np.isfinite(values) & (values > 0)
    largest = np.where(usable, values, 0).max(axis=1, keepdims=True, initial=0)
    divided = values / np.where(largest > 0, largest, np.float32(1))
    return np.where(values < 0, values, divided).astype(np.float32)


def _pyramid(codes: UInt16, *, signed: bool) -> tuple[UInt16, ...]:
    levels = [codes]
    while max(levels[-1].shape) > 1:
        levels.append(_halved(levels[-1], signed=signed))
    return tuple(levels)


def _halved(codes: UInt16, *, signed: bool) -> UInt16:
    """Each 2 × 2 cells as one: the largest code or, of differences, the one farthest from 0."""
    choose = _farther if signed else np.maximum
    for axis in (0, 1):
        length = codes.shape[axis]
        even, odd = (codes[0::2], codes[1::2]) if axis == 0 else (codes[:, 0::2], codes[:, 1::2])
        if length % 2:
            pair = choose(even[:-1], odd) if axis == 0 else choose(even[:, :-1], odd)
            codes = np.concatenate((pair, even[-1:] if axis == 0 else even[:, -1:]), axis=axis)
        else:
            codes = choose(even, odd)
    return np.ascontiguousarray(codes)


def _farther(first: UInt16, second: UInt16) -> UInt16:
    distances = [np.where(c == MASKED, -1, np.abs(c.astype(np.int32) - MIDDLE)) for c in (first, second)]
    return np.where(distances[0] >= distances[1], first, second)
