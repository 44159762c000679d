"""Numbers without rounding: read from text, written out in full. Every format's values are compared with these."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from llmlab.engine.errors import InputError

MOST_CHARACTERS = 400
MOST_EXPONENT = 5000  # of ten; float32 ends at 38, and 10^5000 is written out in a moment
_DECIMAL = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:e([+-]?\d+))?", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(r"([+-]?)0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p([+-]?\d+))?", re.IGNORECASE | re.ASCII)
_QUOTIENT = re.compile(r"([+-]?)(\d+)\s*/\s*(\d+)", re.ASCII)
_SPECIAL = re.compile(r"([+-]?)(inf|infinity|∞|nan)", re.IGNORECASE)
_FORMS = "Write it as 3.141592, 1e-7, 1/3, 0x1.8p-3, inf or nan."


class Kind(StrEnum):
    """What sort of value a number is."""

    FINITE = "finite"
    INFINITE = "infinity"
    NAN = "not a number"


@dataclass(frozen=True, slots=True)
class Exact:
    """A number as it is. `magnitude` is 0 or more and 0 where it is not finite; zero has a sign too."""

    magnitude: Fraction = Fraction(0)
    negative: bool = False
    kind: Kind = Kind.FINITE

    @property
    def finite(self) -> bool:
        """Whether it is a number on the line."""
        return self.kind is Kind.FINITE

    @property
    def signed(self) -> Fraction:
        """The value with its sign; only of finite numbers."""
        return -self.magnitude if self.negative else self.magnitude

    @classmethod
    def of(cls, value: Fraction | float) -> Exact:
        """A fraction or a float, whose every bit counts."""
        if isinstance(value, Fraction):
            return cls(abs(value), value < 0)
        negative = math.copysign(1, value) < 0
        if math.isnan(value):
            return cls(negative=negative, kind=Kind.NAN)
        if math.isinf(value):
            return cls(negative=negative, kind=Kind.INFINITE)
        return cls(abs(Fraction(value)), negative)

    def __float__(self) -> float:
        """The nearest Python float; beyond its range infinite."""
        if not self.finite:
            return math.copysign(math.nan if self.kind is Kind.NAN else math.inf, -1 if self.negative else 1)
        try:
            return math.copysign(float(self.magnitude), -1 if self.negative else 1)
        except OverflowError:
            return -math.inf if self.negative else math.inf


def parse(text: str) -> Exact:
    """The number that `text` spells, exactly: decimal, hexadecimal, a quotient, inf or nan. Raises InputError."""
    plain = text.strip().replace("−", "-").replace("_", "")
    if len(plain) > MOST_CHARACTERS:
        raise InputError(
            f"A number of {len(plain):,} characters is longer than the {MOST_CHARACTERS} that are read here.",
            "Leave digits out: float32 has nine that matter.",
        )
    for pattern, read in ((_DECIMAL, _decimal), (_HEXADECIMAL, _hexadecimal), (_QUOTIENT, _quotient)):
        if found := pattern.fullmatch(plain):
            return Exact(read(found[2], found[3]), found[1] == "-")
    if found := _SPECIAL.fullmatch(plain):
        return Exact(negative=found[1] == "-", kind=Kind.NAN if found[2].lower() == "nan" else Kind.INFINITE)
    if re.fullmatch(r"[+-]?\d+,\d+", plain):
        raise InputError(f"“{plain}” has a comma.", f"Write the decimals after a point: {plain.replace(',', '.')}.")
    raise InputError(f"“{plain[:40]}” is not a number." if plain else "There is no number.", _FORMS)


def decimal(value: Exact, *, places: int | None = None) -> str:
    """The number written out: every digit of it, or rounded to `places` significant ones.

    Every value of a binary format ends after finitely many digits; what does not end (1/3) is rounded to 40 places.
    """
    sign = "−" if value.negative else ""
    if not value.finite:
        return "NaN" if value.kind is Kind.NAN else f"{sign}∞"
    if places is not None:
        return sign + _rounded(value.magnitude, places)
    digits = _ending_digits(value.magnitude.denominator)
    if digits is None:
        return f"{sign}{_rounded(value.magnitude, 40)}…"
    scaled = str(value.magnitude.numerator * (10**digits // value.magnitude.denominator)).rjust(digits + 1, "0")
    return sign + (f"{scaled[:-digits]}.{scaled[-digits:]}" if digits else scaled)


def binary_exponent(magnitude: Fraction) -> int:
    """floor(log2) of a number above 0, exactly."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if magnitude >= power_of_two(guess) else guess - 1


def power_of_two(exponent: int) -> Fraction:
    """2 to the power of a whole number."""
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def _decimal(digits: str, exponent: str | None) -> Fraction:
    whole, _, part = digits.partition(".")
    return Fraction(int(whole + part or "0")) * Fraction(10) ** (_bounded(exponent) - len(part))


def _hexadecimal(digits: str, exponent: str | None) -> Fraction:
    whole, _, part = digits.partition(".")
    return Fraction(int(whole + part, 16)) * power_of_two(_bounded(exponent) - 4 * len(part))


def _quotient(upper: str, lower: str) -> Fraction:
    if not int(lower):
        raise InputError(f"“{upper}/{lower}” divides by zero.", "Write inf or nan for what is no number.")
    return Fraction(int(upper), int(lower))


def _bounded(exponent: str | None) -> int:
    value = int(exponent or 0)
    if abs(value) > MOST_EXPONENT:
        raise InputError(
            f"An exponent of {value:.3g} is beyond what is read here.",
            f"Give one from −{MOST_EXPONENT:,} to {MOST_EXPONENT:,}; float32 ends at 38 already.",
        )
    return value


def _ending_digits(denominator: int) -> int | None:
    """How many decimals a fraction in lowest terms has; None where they never end."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _rounded(magnitude: Fraction, places: int) -> str:
    """`places` significant digits, ties to even; in scientific notation where it would be long otherwise."""
    if not magnitude:
        return "0"
    exponent = _decimal_exponent(magnitude)
    shifted = round(magnitude * Fraction(10) ** (places - 1 - exponent))
    if shifted == 10**places:
        shifted, exponent = shifted // 10, exponent + 1
    digits = str(shifted).rstrip("0") or "0"
    if -5 <= exponent < max(places, 7):
        if exponent < 0:
            return "0." + "0" * (-exponent - 1) + digits
        whole = digits[: exponent + 1].ljust(exponent + 1, "0")
        return whole + ("." + digits[exponent + 1 :] if len(digits) > exponent + 1 else "")
    return digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{exponent:+d}".replace("-", "−")


def _decimal_exponent(magnitude: Fraction) -> int:
    guess = math.floor(binary_exponent(magnitude) * math.log10(2))
    while Fraction(10) ** (guess + 1) <= magnitude:
        guess += 1
    while Fraction(10) ** guess > magnitude:
        guess -= 1
    return guess
