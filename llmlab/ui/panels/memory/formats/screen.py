"""What the tab shows: a row for each format, the chosen one in all detail, the line of numbers. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from llmlab.engine.numberformats import (
    BitField,
    Exact,
    FloatFormat,
    Int8,
    NumberFormat,
    Reading,
    between,
    class_of,
    decimal,
    overflow_rule,
    spelled,
)
from llmlab.ui.screen import Fact

MOST_TICKS = 300  # values of a format that are drawn one by one
LONGEST = 24  # digits of a value in a row


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One format: its bits, most significant first, what they mean, and what is left of the number."""

    name: str
    bits: str
    fields: tuple[BitField, ...]
    value: str
    error: str
    turned: bool  # bits were turned over by hand
    tooltip: str


@dataclass(frozen=True, slots=True)
class Ticks:
    """The values of one format on a part of the line; none where there are too many, `spacing` tells of these."""

    name: str
    count: int
    values: tuple[float, ...]
    value: float | None  # what the format makes of the number, where it is in sight


@dataclass(frozen=True, slots=True)
class Line:
    """A part of the line of numbers. `number` is None where it is not finite."""

    low: float
    high: float
    number: float | None
    rows: tuple[Ticks, ...]


@dataclass(frozen=True, slots=True)
class FormatsScreen:
    """Everything. `problem` and `block_problem` say what is wrong with what was typed."""

    rows: tuple[FormatRow, ...]
    chosen: str
    facts: tuple[Fact, ...]
    line: Line | None
    problem: str = ""
    block_problem: str = ""
    absmax: str = ""
    any_turned: bool = False


def row(reading: Reading, *, turned: bool) -> FormatRow:
    """A format's row."""
    return FormatRow(
        reading.format.name,
        reading.bits,
        reading.format.fields,
        short(reading.value),
        error_words(reading),
        turned,
        f"{decimal(reading.value)}\n= {spelled(reading)}",
    )


def short(value: Exact) -> str:
    """Every digit where there are few of them, otherwise rounded, and marked so."""
    whole = decimal(value)
    if len(whole) <= LONGEST:
        return whole
    return f"≈ {decimal(value, places=12)}"


def error_words(reading: Reading) -> str:
    """The error as a share of the number; what stands for it where there is none."""
    if reading.error is None:
        return class_of(reading) if not reading.value.finite else "–"
    if not reading.error:
        return "exact"
    return (
        "–"
        if reading.relative is None
        else f"{reading.relative:.2%}"
        if reading.relative >= 1e-4
        else (f"{reading.relative:.1e}")
    )


def facts(reading: Reading, saturate: bool | None) -> tuple[Fact, ...]:
    """All there is to say of one reading."""
    kind = reading.format
    found = [
        Fact("value", decimal(reading.value), "Exactly: every value of a binary format ends"),
        Fact("formula", spelled(reading), "What the bits mean, with the numbers put in"),
        Fact(
            "code", f"{reading.hexadecimal} · {class_of(reading)}", "The bits as a hexadecimal number, and their kind"
        ),
    ]
    if reading.error is not None:
        relative = "" if reading.relative is None else f" · {reading.relative:.3g} of the number"
        ulps = "" if reading.ulps is None else f" · {reading.ulps:.3g} ulp"
        error = decimal(Exact.of(reading.error), places=6)
        tip = "Value less number; its share of the number; its share of the step between the values around the number"
        found.append(Fact("error", f"{error}{relative}{ulps}", tip))
    ends = [("below", reading.below), ("above", reading.above)]
    tip = "The next value of this format"
    found += [Fact(name, short(value), tip) for name, value in ends if value is not None]
    return (*found, *_range(kind), Fact("beyond", overflow_rule(kind, saturate=saturate), "What overflow does"))


def _range(kind: NumberFormat) -> tuple[Fact, ...]:
    largest = Fact("largest", decimal(kind.largest, places=9), "The largest finite value")
    if isinstance(kind, FloatFormat):
        layout = f"{kind.exponent_bits} exponent, {kind.mantissa_bits} mantissa, bias {kind.bias}"
        return (
            largest,
            Fact("normal", decimal(kind.smallest_normal, places=9), "The smallest value with full precision"),
            Fact("subnormal", decimal(kind.smallest, places=9), "The smallest value above 0"),
            Fact("epsilon", decimal(kind.epsilon, places=9), "From 1 to the next value"),
            Fact("layout", f"{layout}; {kind.storage} bits in memory", "How the bits are shared out"),
        )
    step = "step" if isinstance(kind, Int8) else "scale"
    scale = getattr(kind, "scale", Fraction(0))
    tip = "INT8: largest magnitude / 127, kept in float32. NF4: the largest magnitude of the block."
    return largest, Fact(step, decimal(Exact(scale), places=9), tip)


def line(readings: Sequence[Reading], number: Exact, half: float) -> Line | None:
    """The part of the line within `half` of the number; None where the number is not on it."""
    center = float(number)
    if not number.finite or not math.isfinite(center) or not math.isfinite(half):
        return None
    low, high = center - half, center + half
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return None
    return Line(low, high, center, tuple(_ticks(reading, low, high) for reading in readings))


def _ticks(reading: Reading, low: float, high: float) -> Ticks:
    count, values = between(reading.format, Fraction(low), Fraction(high), MOST_TICKS)
    value = float(reading.value)
    seen = value if reading.value.finite and low <= value <= high else None
    return Ticks(reading.format.name, count, tuple(float(each) for each in values), seen)
