"""One number in one format, with everything there is to say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from llmlab.engine.errors import InputError
from llmlab.engine.numberformats.exact import Exact, Kind, decimal
from llmlab.engine.numberformats.formats import FloatFormat, Int8, Nf4, NumberFormat


@dataclass(frozen=True, slots=True)
class Reading:
    """A number as a format keeps it.

    `code` are its bits, `value` what they stand for. `error` is value − number, None where one of them is not finite
    or there is no number to compare with; `relative` its share of the number, `ulps` its share of the distance between
    the two values around the number. `below` and `above` are the values next to `value`, None at the ends.
    """

    format: NumberFormat
    number: Exact | None
    code: int
    value: Exact
    below: Exact | None
    above: Exact | None
    error: Fraction | None
    relative: float | None
    ulps: float | None

    @property
    def bits(self) -> str:
        """The code as ones and zeros, the most significant first."""
        return format(self.code, f"0{self.format.bits}b")

    @property
    def hexadecimal(self) -> str:
        """The code as hexadecimal digits."""
        return f"0x{self.code:0{math.ceil(self.format.bits / 4)}X}"


def read(number: Exact, format: NumberFormat, *, saturate: bool | None = None) -> Reading:  # noqa: A002
    """What becomes of `number` in `format`."""
    return of_code(format.encode(number, saturate=saturate), format, number)


def of_code(code: int, format: NumberFormat, number: Exact | None = None) -> Reading:  # noqa: A002
    """What `code` stands for, compared with `number` where there is one. Raises InputError."""
    if not 0 <= code < 1 << format.bits:
        raise InputError(f"{format.name} has {format.bits} bits; {code} needs more.", "Give a code that fits.")
    value = format.value(code)
    below, above = _neighbour(format, code, -1), _neighbour(format, code, 1)
    error = value.signed - number.signed if number and number.finite and value.finite else None
    relative = None
    if error is not None and number and number.magnitude:
        relative = _float(abs(error) / number.magnitude)
    ulps = None if error is None or number is None else _ulps(format, number, error)
    return Reading(format, number, code, value, below, above, error, relative, ulps)


def flip(reading: Reading, bit: int) -> Reading:
    """The same number with one bit of its code turned over, 0 the least significant. Raises InputError."""
    if not 0 <= bit < reading.format.bits:
        raise InputError(f"{reading.format.name} has no bit {bit}.", f"Choose one from 0 to {reading.format.bits - 1}.")
    return of_code(reading.code ^ (1 << bit), reading.format, reading.number)


def between(format: NumberFormat, low: Fraction, high: Fraction, most: int) -> tuple[int, tuple[Exact, ...]]:  # noqa: A002
    """How many values of `format` lie in low…high, and these values where there are at most `most`, otherwise none."""
    first = _order(format, Exact.of(low))
    last = _order(format, Exact.of(high))
    while (code := format.at(first - 1)) is not None and format.value(code).signed >= low:
        first -= 1  # INT8's −128, which rounding never gives
    while (code := format.at(first)) is None or format.value(code).signed < low:
        first += 1
        if first > last:
            return 0, ()
    while (code := format.at(last)) is None or format.value(code).signed > high:
        last -= 1
        if first > last:
            return 0, ()
    count = last - first + 1
    if count > most:
        return count, ()
    codes: Iterable[int | None] = (format.at(place) for place in range(first, last + 1))
    return count, tuple(format.value(code) for code in codes if code is not None)


def spelled(reading: Reading) -> str:
    """The value's formula with the numbers put in: (−1)^0 · 2^(16 − 15) · (1 + 146/1024)."""
    kind, code = reading.format, reading.code
    if isinstance(kind, Int8):
        return f"{kind.order(code)} · {decimal(Exact(kind.scale), places=7)}".replace("-", "−")
    if isinstance(kind, Nf4):
        unit = decimal(Exact.of(reading.value.signed / kind.scale), places=7)
        return f"table[{code}] · absmax = {unit} · {decimal(Exact(kind.scale), places=7)}"
    if not isinstance(kind, FloatFormat):
        return ""
    sign, exponent, mantissa = kind.split(code)
    if not reading.value.finite:
        return f"exponent {exponent}, mantissa {mantissa}: {'NaN' if reading.value.kind is Kind.NAN else 'infinity'}"
    lead, power = ("1", f"({exponent} − {kind.bias})") if exponent else ("0", f"(1 − {kind.bias})")
    return f"(−1)^{sign} · 2^{power} · ({lead} + {mantissa}/{1 << kind.mantissa_bits})"


def class_of(reading: Reading) -> str:
    """normal, subnormal, zero, infinity or NaN; integer and table entry for the formats with a scale."""
    value = reading.value
    if value.kind is Kind.NAN:
        return "NaN"
    if not value.finite:
        return "infinity"
    if not value.magnitude:
        return "zero"
    if not isinstance(reading.format, FloatFormat):
        return "integer · scale" if isinstance(reading.format, Int8) else "table entry · scale"
    return "normal" if value.magnitude >= reading.format.smallest_normal.magnitude else "subnormal"


def overflow_rule(format: NumberFormat, *, saturate: bool | None = None) -> str:  # noqa: A002
    """What happens beyond the largest value, as a sentence."""
    if not isinstance(format, FloatFormat):
        return "Numbers beyond the block's largest magnitude are cut to it; there is no infinity and no NaN."
    if format.infinities and not saturate:
        return "Numbers that round beyond the largest value become infinity."
    if saturate is False:
        return "There is no infinity: numbers that round beyond the largest value become NaN."
    habit = " Torch casts do so, infinity included." if saturate is None else ""
    return f"Numbers beyond the largest value become the largest value (saturation).{habit}"


def _neighbour(format: NumberFormat, code: int, step: int) -> Exact | None:  # noqa: A002
    order = format.order(code)
    if order is None:
        return None
    neighbour = format.at(order + step)
    return None if neighbour is None else format.value(neighbour)


def _order(format: NumberFormat, number: Exact) -> int:  # noqa: A002
    order = format.order(format.encode(number, saturate=True))
    assert order is not None, "saturated values are finite"
    return order


def _ulps(format: NumberFormat, number: Exact, error: Fraction) -> float | None:  # noqa: A002
    """The error over the distance of the two values that stand around the number."""
    order = _order(format, number)
    code = format.at(order)
    assert code is not None, "it is one of the format's places"
    nearest = format.value(code).signed
    towards = 1 if number.signed > nearest or (number.signed == nearest and not number.negative) else -1
    other = format.at(order + towards)
    other = format.at(order - towards) if other is None else other  # at the end of the range: the last step
    if other is None:
        return None
    step = abs(format.value(other).signed - nearest)
    return _float(abs(error) / step)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
