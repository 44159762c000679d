"""The formats: which bits a number has in each of them, and what the bits mean.

IEEE 754-2019 (float32, float16); NVIDIA's TF32 and bfloat16: the same with other widths; FP8: Micikevicius et al.,
arXiv:2209.05433, section 3. INT8 with one scale for the largest magnitude (LLM.int8, arXiv:2208.07339); NF4: the
16 values of QLoRA, arXiv:2305.14314, appendix E.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.numberformats.exact import Exact, Kind, binary_exponent, decimal, power_of_two


@dataclass(frozen=True, slots=True)
class BitField:
    """A run of bits with one meaning: `name` and how many, the most significant field first."""

    name: str
    bits: int


class NumberFormat(Protocol):
    """A finite set of values, each with a code of `bits` bits."""

    @property
    def name(self) -> str:
        """As it is spelled on screen."""

    @property
    def bits(self) -> int:
        """How long a code is."""

    @property
    def fields(self) -> tuple[BitField, ...]:
        """What the bits mean, the most significant first."""

    @property
    def largest(self) -> Exact:
        """The largest finite value."""

    def value(self, code: int) -> Exact:
        """What a code stands for."""

    def encode(self, number: Exact, *, saturate: bool | None = None) -> int:
        """The code of the nearest value; of two equally near ones the even one."""

    def order(self, code: int) -> int | None:
        """Where a finite value stands among all of them; both zeros stand at the same place. None for the others."""

    def at(self, order: int) -> int | None:
        """The code at a place in that order, None beyond the last."""


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """Sign, exponent, mantissa. The bias is 2^(exponent bits − 1) − 1.

    With `infinities` the largest exponent means infinity and NaN, as in IEEE 754; without, only its last code means
    NaN, and the others are numbers (E4M3FN). `storage` is how many bits memory gives it (TF32 lies in 32).
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    storage: int
    infinities: bool = True

    @property
    def bits(self) -> int:
        """Sign, exponent and mantissa."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def fields(self) -> tuple[BitField, ...]:
        """Sign, exponent, mantissa."""
        return BitField("sign", 1), BitField("exponent", self.exponent_bits), BitField("mantissa", self.mantissa_bits)

    @property
    def bias(self) -> int:
        """What is taken off the stored exponent."""
        return int(2 ** (self.exponent_bits - 1)) - 1

    @property
    def lowest_exponent(self) -> int:
        """Of the smallest normal number, and of all subnormal ones."""
        return 1 - self.bias

    @property
    def largest(self) -> Exact:
        """The largest finite value."""
        return self.value(self._last)

    @property
    def smallest_normal(self) -> Exact:
        """The smallest value with the full precision."""
        return Exact(power_of_two(self.lowest_exponent))

    @property
    def smallest(self) -> Exact:
        """The smallest value above 0, a subnormal one."""
        return Exact(power_of_two(self.lowest_exponent - self.mantissa_bits))

    @property
    def epsilon(self) -> Exact:
        """From 1 to the next value."""
        return Exact(power_of_two(-self.mantissa_bits))

    def split(self, code: int) -> tuple[int, int, int]:
        """Sign, stored exponent and stored mantissa of a code."""
        magnitude = code & (self._sign - 1)
        return code >> (self.bits - 1), magnitude >> self.mantissa_bits, magnitude & ((1 << self.mantissa_bits) - 1)

    def value(self, code: int) -> Exact:
        """(−1)^sign · 2^(exponent − bias) · 1.mantissa; with exponent 0: 2^(1 − bias) · 0.mantissa."""
        sign, exponent, mantissa = self.split(code)
        if code & (self._sign - 1) > self._last:
            infinite = self.infinities and not mantissa
            return Exact(negative=bool(sign), kind=Kind.INFINITE if infinite else Kind.NAN)
        whole = mantissa + (1 << self.mantissa_bits if exponent else 0)
        return Exact(whole * power_of_two(max(exponent, 1) - self.bias - self.mantissa_bits), bool(sign))

    def encode(self, number: Exact, *, saturate: bool | None = None) -> int:
        """The nearest value, ties to the even mantissa (IEEE 754, roundTiesToEven).

        What rounds beyond the largest value becomes that value where `saturate` says so, otherwise infinity, or NaN
        where the format has no infinity; None does as torch 2.13 casts: only E4M3 saturates. NaN stays NaN.
        """
        saturate = not self.infinities if saturate is None else saturate
        sign = self._sign if number.negative else 0
        if number.kind is Kind.NAN:
            return sign | self._nan
        if not number.finite:
            return sign | (self._last if saturate else self._overflow)
        if not number.magnitude:
            return sign
        exponent = max(binary_exponent(number.magnitude), self.lowest_exponent)
        steps = round(number.magnitude / power_of_two(exponent - self.mantissa_bits))  # Fraction rounds ties to even
        # a carry out of the mantissa counts the exponent up by itself
        magnitude = ((exponent - self.lowest_exponent) << self.mantissa_bits) + steps
        if magnitude > self._last:
            return sign | (self._last if saturate else self._overflow)
        return sign | magnitude

    def order(self, code: int) -> int | None:
        """Codes count up with the magnitude."""
        magnitude = code & (self._sign - 1)
        if magnitude > self._last:
            return None
        return -magnitude if code & self._sign else magnitude

    def at(self, order: int) -> int | None:
        """The code of the order-th value above zero, or below it."""
        return None if abs(order) > self._last else abs(order) | (self._sign if order < 0 else 0)

    @property
    def _sign(self) -> int:
        return 1 << (self.bits - 1)

    @property
    def _last(self) -> int:
        """The magnitude of the largest finite value."""
        return self._sign - 1 - ((1 << self.mantissa_bits) if self.infinities else 1)

    @property
    def _overflow(self) -> int:
        return self._last + 1  # infinity where there is one, otherwise NaN

    @property
    def _nan(self) -> int:
        return self._last + 1 + ((1 << (self.mantissa_bits - 1)) if self.infinities else 0)  # the quiet one


@dataclass(frozen=True, slots=True)
class Int8:
    """Whole numbers −127…127 times a scale, largest magnitude / 127, kept in float32; two's complement.

    −128 is a code too, though rounding never gives it. A number beyond the largest magnitude is cut to it.
    """

    absmax: Exact
    name: ClassVar[str] = "INT8"
    bits: ClassVar[int] = 8
    fields: ClassVar[tuple[BitField, ...]] = (BitField("sign", 1), BitField("integer", 7))

    def __post_init__(self) -> None:
        """Raise InputError for a scale that cannot be."""
        check_absmax(self.absmax)

    @property
    def scale(self) -> Fraction:
        """The step from one value to the next."""
        scale = FLOAT32.value(FLOAT32.encode(Exact(self.absmax.magnitude / 127))).magnitude
        return scale or FLOAT32.smallest.magnitude

    @property
    def largest(self) -> Exact:
        """127 · scale."""
        return Exact(127 * self.scale)

    def value(self, code: int) -> Exact:
        """The integer times the scale."""
        return Exact.of((code - 256 if code > 127 else code) * self.scale)

    def encode(self, number: Exact, *, saturate: bool | None = None) -> int:
        """round(number / scale), cut to ±127. There is no code for NaN: it is stored as 0."""
        if number.kind is Kind.NAN:
            return 0
        steps = 127 if not number.finite else min(127, round(number.magnitude / self.scale))
        return (-steps if number.negative else steps) & 0xFF

    def order(self, code: int) -> int | None:
        """The integer itself."""
        return code - 256 if code > 127 else code

    def at(self, order: int) -> int | None:
        """The two's complement of the integer."""
        return order & 0xFF if -128 <= order <= 127 else None


# The quantiles of the normal distribution that QLoRA publishes, as float32 (arXiv:2305.14314, appendix E).
NF4_VALUES: tuple[float, ...] = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
_NF4 = tuple(Fraction(float(np.float32(value))) for value in NF4_VALUES)
_NF4_BETWEEN = tuple((low + high) / 2 for low, high in pairwise(_NF4))


@dataclass(frozen=True, slots=True)
class Nf4:
    """One of 16 values times the largest magnitude of its block (64 numbers in QLoRA), kept in float32.

    The bits are a place in the table; none of them is a sign or an exponent.
    """

    absmax: Exact
    name: ClassVar[str] = "NF4"
    bits: ClassVar[int] = 4
    fields: ClassVar[tuple[BitField, ...]] = (BitField("place in the table", 4),)

    def __post_init__(self) -> None:
        """Raise InputError for a scale that cannot be."""
        check_absmax(self.absmax)

    @property
    def scale(self) -> Fraction:
        """The largest magnitude as float32 has it."""
        scale = FLOAT32.value(FLOAT32.encode(self.absmax)).magnitude
        return scale or FLOAT32.smallest.magnitude

    @property
    def largest(self) -> Exact:
        """1 · scale."""
        return Exact(self.scale)

    def value(self, code: int) -> Exact:
        """table[code] · scale."""
        return Exact.of(_NF4[code] * self.scale)

    def encode(self, number: Exact, *, saturate: bool | None = None) -> int:
        """The nearest of the 16 values, exactly between two the lower one; 0 for NaN, which has no code."""
        if number.kind is Kind.NAN:
            return 7
        if not number.finite:
            return 0 if number.negative else 15
        return bisect_left(_NF4_BETWEEN, number.signed / self.scale)

    def order(self, code: int) -> int | None:
        """The table goes up."""
        return code

    def at(self, order: int) -> int | None:
        """The table goes up."""
        return order if 0 <= order < 16 else None


def check_absmax(absmax: Exact) -> None:
    """Raise InputError for a largest magnitude that no block can have."""
    if not absmax.finite or absmax.negative or not absmax.magnitude:
        raise InputError(
            f"The largest magnitude of the block is {decimal(absmax, places=6)}.", "Give a finite number above 0."
        )
    if absmax.magnitude > FLOAT32.largest.magnitude:
        raise InputError(
            f"The largest magnitude of the block, {decimal(absmax, places=6)}, is more than a float32 can hold.",
            "Give a number below 3.4e38.",
        )


FLOAT32 = FloatFormat("FP32", 8, 23, 32)
TF32 = FloatFormat("TF32", 8, 10, 32)
FLOAT16 = FloatFormat("FP16", 5, 10, 16)
BFLOAT16 = FloatFormat("BF16", 8, 7, 16)
E4M3 = FloatFormat("FP8 E4M3", 4, 3, 8, infinities=False)
E5M2 = FloatFormat("FP8 E5M2", 5, 2, 8)
FLOATS = (FLOAT32, TF32, FLOAT16, BFLOAT16, E4M3, E5M2)


def formats(absmax: Exact) -> tuple[NumberFormat, ...]:
    """All formats, those with a scale for a block whose largest magnitude is `absmax`. Raises InputError."""
    return (*FLOATS, Int8(absmax), Nf4(absmax))
