"""Number formats: torch is the oracle for every code of 8 and 16 bits, numpy and bitsandbytes for the rest."""

from __future__ import annotations

import contextlib
import math
import statistics
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.engine.devices import bitsandbytes_module
from llmlab.engine.errors import InputError
from llmlab.engine.numberformats import (
    BFLOAT16,
    E4M3,
    E5M2,
    FLOAT16,
    FLOAT32,
    FLOATS,
    NF4_VALUES,
    TF32,
    Exact,
    FloatFormat,
    Int8,
    Kind,
    Nf4,
    NumberFormat,
    between,
    class_of,
    decimal,
    flip,
    formats,
    of_code,
    overflow_rule,
    parse,
    read,
    spelled,
)

TORCH = {
    "FP32": torch.float32,
    "FP16": torch.float16,
    "BF16": torch.bfloat16,
    "FP8 E4M3": torch.float8_e4m3fn,
    "FP8 E5M2": torch.float8_e5m2,
}
STORED = {8: torch.uint8, 16: torch.uint16, 32: torch.uint32}
SMALL = [FLOAT16, BFLOAT16, E4M3, E5M2]
ALL_CODES = [FLOAT16, pytest.param(BFLOAT16, marks=pytest.mark.slow), E4M3, E5M2]  # 16 bits have 65,536
PI = parse("3.141592")
ALL = formats(parse("4"))


@cache
def all_values(kind: NumberFormat) -> tuple[Fraction, ...]:
    return tuple(sorted({kind.value(code).signed for code in range(2**kind.bits) if kind.value(code).finite}))


def name(kind: object) -> str:
    return getattr(kind, "name", str(kind))


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or (
        left == right and math.copysign(1, left) == math.copysign(1, right)
    )


def torch_value(kind: FloatFormat, code: int) -> float:
    return float(torch.tensor([code], dtype=STORED[kind.bits]).view(TORCH[kind.name]).double())


def torch_code(kind: FloatFormat, value: float) -> int:
    """Of a float32 number; torch rounds to nearest even."""
    cast = torch.tensor([value], dtype=torch.float32).to(TORCH[kind.name])
    return int(cast.view(STORED[kind.bits]).to(torch.int64))


# The course's example


@pytest.mark.parametrize(
    ("kind", "value"),
    [(FLOAT32, "3.1415920257568359375"), (FLOAT16, "3.140625"), (BFLOAT16, "3.140625"), (E4M3, "3.25"), (E5M2, "3")],
    ids=name,
)
def test_the_course_s_example(kind: FloatFormat, value: str) -> None:
    assert decimal(read(PI, kind).value) == value


# Every code


@pytest.mark.parametrize("kind", ALL_CODES, ids=name)
def test_every_code_means_what_torch_says(kind: FloatFormat) -> None:
    codes = torch.arange(2**kind.bits, dtype=torch.int32).to(STORED[kind.bits])
    expected = codes.view(TORCH[kind.name]).double().tolist()
    wrong = [code for code, value in enumerate(expected) if not same(float(kind.value(code)), value)]
    assert not wrong


@pytest.mark.parametrize("kind", ALL_CODES, ids=name)
def test_every_value_keeps_its_code(kind: FloatFormat) -> None:
    for code in range(2**kind.bits):
        value = kind.value(code)
        if value.kind is not Kind.NAN:
            assert kind.encode(value, saturate=False) == code
        else:
            assert kind.value(kind.encode(value)).kind is Kind.NAN


@pytest.mark.parametrize("kind", [E4M3, E5M2], ids=name)
def test_between_every_two_codes_the_even_one_wins(kind: FloatFormat) -> None:
    """Exactly halfway, and a hair to either side, for every pair of neighbours; torch agrees."""
    for low in range(kind.encode(kind.largest)):
        high = low + 1
        middle = (kind.value(low).signed + kind.value(high).signed) / 2
        assert kind.encode(Exact.of(middle)) == low + low % 2 == torch_code(kind, float(middle))
        for code, hair in ((low, -1), (high, 1)):
            aside = middle + Fraction(hair, 2**40)
            assert kind.encode(Exact.of(aside)) == code


def test_bits_of_float32_are_numpy_s() -> None:
    for value in (0.1, -1 / 3, 1e-45, 3.4028235e38, 1e-40, -0.0, 2.0**-149, 65504.0):
        assert FLOAT32.encode(Exact.of(float(np.float32(value)))) == int(np.float32(value).view(np.uint32))


def test_tf32_is_float32_with_thirteen_bits_less() -> None:
    for value in (3.141592, 1e-40, -7.7e37, 1 + 2**-11, 1 + 3 * 2**-11):
        bits = int(np.float32(value).view(np.uint32))
        kept, rest = bits >> 13, bits & 0x1FFF
        kept += rest > 0x1000 or (rest == 0x1000 and kept % 2 == 1)
        assert TF32.encode(Exact.of(float(np.float32(value)))) == kept
        expected = float(np.uint32(kept << 13).view(np.float32))
        assert float(TF32.value(kept)) == expected
    assert TF32.bits == 19


# Rounding of arbitrary numbers


@pytest.mark.parametrize("kind", [FLOAT32, *SMALL], ids=name)
@hypothesis_settings(deadline=None)
@given(value=st.floats(width=32))
def test_casts_are_torch_s(kind: FloatFormat, value: float) -> None:
    found, expected = kind.encode(Exact.of(value)), torch_code(kind, value)
    if math.isnan(value):
        assert kind.value(found).kind is Kind.NAN
    else:
        assert found == expected


@hypothesis_settings(deadline=None)
@given(value=st.floats())
def test_float64_is_rounded_once(value: float) -> None:
    """numpy rounds from float64 directly; by way of float32 some would come out otherwise."""
    with np.errstate(over="ignore"):
        expected = int(np.float64(value).astype(np.float16).view(np.uint16))
    if not math.isnan(value):
        assert FLOAT16.encode(Exact.of(value)) == expected


@pytest.mark.parametrize("kind", ALL, ids=name)
@hypothesis_settings(max_examples=60, deadline=None)
@given(value=st.fractions(min_value=-500, max_value=500))
def test_no_value_is_nearer(kind: NumberFormat, value: Fraction) -> None:
    found = read(Exact.of(value), kind)
    assert found.error is not None
    for neighbour in (found.below, found.above):
        never = isinstance(kind, Int8) and neighbour == kind.value(0x80)  # rounding does not give −128
        if neighbour is not None and not never:
            assert abs(found.error) <= abs(neighbour.signed - value)


@pytest.mark.parametrize("kind", FLOATS, ids=name)
@hypothesis_settings(max_examples=60, deadline=None)
@given(value=st.floats(min_value=-400, max_value=400))
def test_the_error_is_half_an_ulp_at_most(kind: FloatFormat, value: float) -> None:
    found = read(Exact.of(value), kind)
    assert found.ulps is not None
    assert 0 <= found.ulps <= 0.5
    assert found.error == found.value.signed - Fraction(value)
    if abs(value) >= float(kind.smallest_normal):
        assert found.relative is not None
        assert found.relative <= 2.0 ** -(kind.mantissa_bits + 1)


def test_in_ulps_beyond_the_range_too() -> None:
    found = read(parse("480"), E4M3)
    assert decimal(found.value) == "448"
    assert found.ulps == 1.0  # 448 − 416 is the last step
    assert read(parse("0"), E4M3).ulps == 0
    assert read(parse("-448"), E4M3).ulps == 0


# Overflow


def test_overflow_as_torch_casts_it() -> None:
    for value in (1e9, math.inf, 464.0, 465.0, -1e9, 61439.0, 61440.0, 65520.0, 65519.0):
        for kind in (E4M3, E5M2, FLOAT16):
            assert kind.encode(Exact.of(value)) == torch_code(kind, value), (kind.name, value)


def test_overflow_as_one_asks() -> None:
    huge = parse("1e999")
    assert class_of(read(huge, FLOAT32)) == "infinity"
    assert class_of(read(huge, E4M3, saturate=False)) == "NaN"
    assert read(parse("464"), E4M3, saturate=False).value == E4M3.largest  # halfway to a code that is no number
    for kind in FLOATS:
        assert read(huge, kind, saturate=True).value == kind.largest
        assert class_of(read(parse("nan"), kind, saturate=True)) == "NaN"
    assert "infinity" in overflow_rule(FLOAT16)
    assert "NaN" in overflow_rule(E4M3, saturate=False)
    assert "saturation" in overflow_rule(E4M3)
    assert "saturation" in overflow_rule(FLOAT16, saturate=True)
    assert "cut" in overflow_rule(ALL[-1])


@pytest.mark.parametrize("kind", [FLOAT32, *SMALL], ids=name)
def test_the_range_is_torch_s(kind: FloatFormat) -> None:
    info = torch.finfo(TORCH[kind.name])
    assert float(kind.largest) == info.max
    assert float(kind.smallest_normal) == info.tiny
    assert float(kind.epsilon) == info.eps
    assert float(kind.smallest) == torch_value(kind, 1)
    assert kind.storage == info.bits


# Bits


@pytest.mark.parametrize("kind", ALL, ids=name)
@hypothesis_settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_flipping_a_bit_twice_changes_nothing(kind: NumberFormat, data: st.DataObject) -> None:
    code = data.draw(st.integers(0, 2**kind.bits - 1))
    bit = data.draw(st.integers(0, kind.bits - 1))
    before = of_code(code, kind, PI)
    once = flip(before, bit)
    assert once.bits != before.bits
    assert flip(once, bit) == before
    assert int(once.bits, 2) == once.code == int(once.hexadecimal, 16)
    assert sum(field.bits for field in kind.fields) == kind.bits == len(once.bits)
    assert spelled(once)


def test_the_sign_bit_turns_the_sign() -> None:
    for kind in FLOATS:
        turned = flip(read(PI, kind), kind.bits - 1)
        assert turned.value.signed == -read(PI, kind).value.signed
    assert float(flip(of_code(0, FLOAT16), 15).value) == 0
    assert decimal(flip(of_code(0, FLOAT16), 15).value) == "−0"


def test_formulas_give_the_value() -> None:
    for kind in FLOATS:
        found = read(PI, kind)
        formula = spelled(found).replace("−", "-").replace("·", "*").replace("^", "**")
        assert eval(formula) == float(found.value)
    assert spelled(of_code(1, E5M2)) == "(−1)^0 · 2^(1 − 15) · (0 + 1/4)"
    assert "NaN" in spelled(of_code(0x7F, E4M3))
    assert spelled(read(PI, ALL[-2])) == "100 · 0.03149606"
    assert spelled(read(PI, ALL[-1])).startswith("table[14]")


def test_kinds_of_values() -> None:
    assert class_of(read(parse("1e-7"), FLOAT16)) == "subnormal"
    assert class_of(read(parse("1e-9"), FLOAT16)) == "zero"
    assert class_of(read(parse("-inf"), BFLOAT16)) == "infinity"
    assert class_of(read(PI, ALL[-2])) == "integer · scale"
    assert class_of(read(PI, ALL[-1])) == "table entry · scale"


def test_neighbours_end_where_the_format_ends() -> None:
    top = read(parse("448"), E4M3)
    assert top.above is None
    assert top.below is not None
    assert decimal(top.below) == "416"
    assert read(parse("inf"), FLOAT16).below is None
    around_zero = read(parse("0"), FLOAT16)
    assert around_zero.above is not None
    assert around_zero.below is not None
    assert around_zero.above.signed == -around_zero.below.signed == Fraction(1, 2**24)


def test_codes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="needs more"):
        of_code(256, E4M3)
    with pytest.raises(InputError, match="no bit 8"):
        flip(of_code(0, E4M3), 8)


# With a scale


@hypothesis_settings(deadline=None)
@given(value=st.floats(-8, 8, width=32), absmax=st.floats(0.015625, 8, width=32))
def test_int8_is_torch_s_fake_quantization(value: float, absmax: float) -> None:
    kind = Int8(Exact.of(absmax))
    scale = float(kind.scale)
    found = read(Exact.of(value), kind)
    expected = torch.fake_quantize_per_tensor_affine(torch.tensor([value]), scale, 0, -127, 127)
    quotient = abs(value / scale)
    if abs(quotient % 1 - 0.5) > 1e-4:  # torch multiplies by 1/scale: near a tie it may go the other way
        assert float(np.float32(float(found.value))) == float(expected)


def test_int8_is_two_s_complement() -> None:
    kind = Int8(parse("127"))
    assert kind.scale == 1
    for code in range(256):
        assert kind.value(code).signed == int(np.uint8(code).view(np.int8))
    assert kind.encode(parse("-1e9")) == 0x81
    assert kind.encode(parse("nan")) == 0
    assert kind.encode(parse("inf")) == 127
    assert kind.encode(parse("2.5")) == 2  # ties to even


def test_nf4_s_table_is_bitsandbytes_s() -> None:
    functional = bitsandbytes_module().functional
    table = functional.get_4bit_type("nf4", device="cpu").tolist()
    assert [float(np.float32(value)) for value in NF4_VALUES] == table


def test_nf4_s_table_are_quantiles_of_the_normal_distribution() -> None:
    """arXiv:2305.14314, section 3: eight quantiles above zero, seven below, zero itself, over their largest."""
    normal = statistics.NormalDist()
    offset = 0.5 * (1 / 32 + 1 / 30)
    above = [normal.inv_cdf(p) for p in np.linspace(1 - offset, 0.5, 9)[:-1]]
    below = [-normal.inv_cdf(p) for p in np.linspace(1 - offset, 0.5, 8)[:-1]]
    table = sorted([*above, 0.0, *below])
    assert [value / table[-1] for value in table] == pytest.approx(NF4_VALUES, abs=2e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_nf4_is_bitsandbytes_s_rounding(seed: int) -> None:
    functional = bitsandbytes_module().functional
    block = torch.randn(64, generator=torch.Generator().manual_seed(seed))
    packed, state = functional.quantize_4bit(block, blocksize=64, quant_type="nf4")
    back = functional.dequantize_4bit(packed, state).flatten().tolist()
    kind = Nf4(Exact.of(float(block.abs().max())))
    found = [float(np.float32(float(read(Exact.of(value), kind).value))) for value in block.tolist()]
    assert found == pytest.approx(back, rel=1e-6, abs=1e-12)


def test_scales_that_cannot_be() -> None:
    for absmax in ("0", "-1", "inf", "nan", "1e39"):
        with pytest.raises(InputError, match="largest magnitude"):
            Int8(parse(absmax))
        with pytest.raises(InputError, match="largest magnitude"):
            Nf4(parse(absmax))
    assert Nf4(parse("1e-60")).scale == FLOAT32.smallest.magnitude  # below float32: the smallest scale there is
    assert Int8(parse("1e-60")).scale == FLOAT32.smallest.magnitude


# Between


def test_values_between() -> None:
    count, values = between(E4M3, Fraction(3), Fraction(4), 20)
    assert count == 5
    assert [decimal(value) for value in values] == ["3", "3.25", "3.5", "3.75", "4"]
    assert between(FLOAT32, Fraction(1), Fraction(2), 20) == (2**23 + 1, ())
    assert between(E4M3, Fraction(49, 16), Fraction(50, 16), 20) == (0, ())
    assert between(E4M3, Fraction(1000), Fraction(2000), 20) == (0, ())
    assert between(E4M3, Fraction(-2000), Fraction(2000), 999)[0] == 253  # 256 less two NaN and one zero
    assert len(between(ALL[-1], Fraction(-4), Fraction(4), 20)[1]) == 16


@pytest.mark.parametrize("kind", [E4M3, E5M2, ALL[-2], ALL[-1]], ids=name)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(low=st.fractions(-600, 600), width=st.fractions(0, 100))
def test_values_between_are_all_of_them(kind: NumberFormat, low: Fraction, width: Fraction) -> None:
    high = low + width
    expected = [value for value in all_values(kind) if low <= value <= high]
    count, values = between(kind, low, high, 1000)
    assert [value.signed for value in values] == expected
    assert count == len(expected)


# Text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.5", Fraction(7, 2)),
        (" +1e-3 ", Fraction(1, 1000)),
        ("−2", Fraction(-2)),
        (".5", Fraction(1, 2)),
        ("1_000", Fraction(1000)),
        ("0x1p-3", Fraction(1, 8)),
        ("0x1.8", Fraction(3, 2)),
        ("-0xFF", Fraction(-255)),
        ("1/3", Fraction(1, 3)),
        ("1e999", Fraction(10) ** 999),
        ("5e-324", Fraction(5) / Fraction(10) ** 324),
    ],
)
def test_texts_are_read_exactly(text: str, value: Fraction) -> None:
    assert parse(text).signed == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no number"),
        ("three", "not a number"),
        ("1,5", "1.5"),
        ("1/0", "divides by zero"),
        ("1e99999", "exponent"),
        ("0x1p-99999", "exponent"),
        ("9" * 5000, "5,000 characters"),
        ("1e1e1", "not a number"),
        ("0x", "not a number"),
        ("١٢", "not a number"),
        ("\x00", "not a number"),
    ],
)
def test_texts_that_are_no_number(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(text)
    assert caught.value.hint


def test_nan_and_infinity_have_a_sign() -> None:
    assert parse("nan").kind is Kind.NAN
    assert parse("-Infinity") == Exact(negative=True, kind=Kind.INFINITE)
    assert decimal(parse("-inf")) == "−∞"
    assert decimal(parse("nan")) == "NaN"
    assert math.isnan(float(parse("nan")))
    assert float(parse("-inf")) == -math.inf
    assert math.copysign(1, float(parse("-0"))) == -1
    assert float(parse("-1e999")) == -math.inf


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_an_error_in_words(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse(text), Exact)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_digit_is_written(value: float) -> None:
    assert float(decimal(Exact.of(value)).replace("−", "-")) == value
    assert parse(decimal(Exact.of(value))).signed == Fraction(value)


@given(st.fractions().filter(bool), st.integers(2, 12))
def test_rounded_digits_are_near(value: Fraction, places: int) -> None:
    found = parse(decimal(Exact.of(value), places=places)).signed
    assert abs(found - value) <= abs(value) * Fraction(10) ** (1 - places)


def test_numbers_written_out() -> None:
    assert decimal(parse("1/3")) == "0.3333333333333333333333333333333333333333…"
    assert decimal(parse("1/3"), places=3) == "0.333"
    assert decimal(parse("99999"), places=3) == "100000"
    assert decimal(parse("1e-9"), places=3) == "1e−9"
    assert decimal(parse("123456789"), places=3) == "1.23e+8"
    assert decimal(parse("0"), places=3) == "0"
    assert decimal(parse("12.5"), places=6) == "12.5"
