"""Exact quantities agree with rational arithmetic, whatever type they arrive as."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import quantities


def test_decimal_units_are_powers_of_a_thousand_and_binary_of_1024():
    assert [quantities.KB, quantities.MB, quantities.GB] == [1_000, 1_000_000, 1_000_000_000]
    assert [quantities.TB, quantities.PB, quantities.EB] == [10**12, 10**15, 10**18]
    assert [quantities.KIB, quantities.MIB, quantities.GIB] == [1 << 10, 1 << 20, 1 << 30]
    assert [quantities.TIB, quantities.PIB, quantities.EIB] == [1 << 40, 1 << 50, 1 << 60]


@pytest.mark.parametrize(
    "value",
    [0.8, "0.8", " 0.8 ", "4/5", "8e-1", Decimal("0.8"), Fraction(4, 5), np.float64(0.8)],
    ids=repr,
)
def test_eight_tenths_is_eight_tenths_in_every_spelling(value):
    assert quantities.exact(value) == Fraction(4, 5)


def test_a_short_numpy_float_is_read_as_it_prints():
    assert quantities.exact(np.float32(0.8)) == Fraction(4, 5)


@pytest.mark.parametrize("value", [np.int64(7), np.uint8(7), 7, "7", 7.0])
def test_a_whole_number_is_exact_and_made_of_plain_ints(value):
    result = quantities.exact(value)
    assert result == 7
    assert type(result.numerator) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.bool_(True),
        None,
        math.nan,
        math.inf,
        np.float64("nan"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        "",
        "eight",
        "nan",
        "inf",
        "1/0",
        "1/x",
        "0.8 GB",
        [1],
        1j,
        np.timedelta64(1),
    ],
    ids=repr,
)
def test_what_denotes_no_finite_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^kv_gb must be a finite number or decimal text"):
        quantities.exact(value, "kv_gb")


@pytest.mark.parametrize(
    "value", ["1e999999999", "1e-999999999", Decimal("1e999999999"), "9" * 5000, "1/" + "9" * 5000]
)
def test_a_monstrous_number_is_refused_at_once(value):
    with pytest.raises(ValueError, match="finite number"):
        quantities.exact(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_the_way_through_its_text(value):
    assert float(quantities.exact(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_text_and_decimal_agree(value):
    assert quantities.exact(str(value)) == quantities.exact(value) == Fraction(value)


@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(0, 4))
def test_exact_multiples_of_a_decimal_are_counted_exactly(count, digits, places):
    part = Decimal(digits).scaleb(-places)
    total = part * count
    assert quantities.exact_floor_div(str(total), str(part)) == count
    assert quantities.exact_ceil_div(str(total), str(part)) == count


@given(st.fractions(), st.fractions(min_value=Fraction(1, 10**6)))
def test_floor_and_ceiling_enclose_the_quotient(total, part):
    low, high = quantities.exact_floor_div(total, part), quantities.exact_ceil_div(total, part)
    assert low * part <= total <= high * part
    assert high - low == (0 if (total / part).denominator == 1 else 1)
    assert type(low) is int and type(high) is int


def test_floats_that_defeat_floor_division_are_counted_right():
    # What a float calculation says beside what is true.
    assert (32 // 0.8, quantities.exact_floor_div(32, 0.8)) == (39, 40)
    assert (44 // 0.55, quantities.exact_floor_div(44, 0.55)) == (79, 80)
    assert (math.floor(33 / 0.55), quantities.exact_floor_div(33, 0.55)) == (59, 60)
    assert (math.ceil(36 / (0.6 * 12)), quantities.exact_ceil_div(36, "7.2")) == (6, 5)


def test_a_negative_total_gives_a_negative_floor():
    assert quantities.exact_floor_div(-2, "0.8") == -3


@pytest.mark.parametrize("divide", [quantities.exact_floor_div, quantities.exact_ceil_div])
def test_division_refuses_a_part_of_zero_and_names_what_it_cannot_read(divide):
    for part in (0, "-0.8"):
        with pytest.raises(ValueError, match=r"^part must be greater than 0, got "):
            divide(32, part)
    with pytest.raises(ValueError, match=r"^total must be a finite number"):
        divide("much", 1)


def test_a_minimum_may_be_strict():
    assert quantities.exact_at_least("0", 0) == 0
    with pytest.raises(ValueError, match=r"^lam must be at least 0, got '-0.1'$"):
        quantities.exact_at_least("-0.1", 0, "lam")
    with pytest.raises(ValueError, match=r"^lam must be greater than 0, got 0$"):
        quantities.exact_at_least(0, 0, "lam", strict=True)


def test_a_probability_is_exact_and_inside_its_interval():
    assert 1 - quantities.exact_probability(0.9999) == Fraction(1, 10_000)
    assert quantities.exact_probability(0) == 0
    assert quantities.exact_probability(1) == 1
    with pytest.raises(ValueError, match=r"^slo must be in \[0, 1\], got 99.9$"):
        quantities.exact_probability(99.9, "slo")
    with pytest.raises(ValueError, match=r"^q must be in \(0, 1\], got 0$"):
        quantities.exact_probability(0, "q", zero_allowed=False)
    with pytest.raises(ValueError, match=r"^q must be in \[0, 1\), got 1$"):
        quantities.exact_probability(1, "q", one_allowed=False)


@given(st.integers(0, 2**63))
def test_bytes_survive_both_conversions_and_back(n):
    assert quantities.gb_to_bytes(Fraction(n, 10**9)) == n
    assert quantities.gib_to_bytes(Fraction(n, 2**30)) == n


def test_eighty_gb_is_not_eighty_gib():
    assert quantities.gb_to_bytes(80) == 80_000_000_000
    assert quantities.gib_to_bytes(80) == 85_899_345_920
    assert quantities.bytes_to_gb(80_000_000_000) == 80.0
    assert round(quantities.bytes_to_gib(80_000_000_000), 4) == 74.5058


@pytest.mark.parametrize(
    ("convert", "name"), [(quantities.gb_to_bytes, "gb"), (quantities.gib_to_bytes, "gib")]
)
def test_sizes_must_be_whole_bytes_and_not_negative(convert, name):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number of bytes, got '1e-11'$"):
        convert("1e-11")
    with pytest.raises(ValueError, match=f"^{name} must be at least 0, got -1$"):
        convert(-1)


@pytest.mark.parametrize(
    "call", [quantities.bytes_to_gb, quantities.bytes_to_gib, quantities.format_bytes]
)
def test_a_negative_number_of_bytes_is_refused(call):
    with pytest.raises(ValueError, match=r"^n must be at least 0, got -1$"):
        call(-1)


@pytest.mark.parametrize(
    ("n", "decimal", "binary"),
    [
        (0, "0 B", "0 B"),
        (1, "1 B", "1 B"),
        (999, "999 B", "999 B"),
        (1000, "1 kB", "1,000 B"),
        (1023, "1.023 kB", "1,023 B"),
        (1024, "1.024 kB", "1 KiB"),
        (999_949, "999.9 kB", "976.5 KiB"),
        (999_960, "1 MB", "976.5 KiB"),
        (1_048_570, "1.049 MB", "1 MiB"),
        (5 * 2**20, "5.243 MB", "5 MiB"),
        (1_342_177_280, "1.342 GB", "1.25 GiB"),
        (33_554_432_000, "33.55 GB", "31.25 GiB"),
        (141_107_412_992, "141.1 GB", "131.4 GiB"),
        (2**50, "1.126 PB", "1 PiB"),
        (10**22, "10,000 EB", "8,674 EiB"),
        (0.5, "0.5 B", "0.5 B"),
    ],
)
def test_sizes_are_written_with_four_digits_and_their_unit(n, decimal, binary):
    assert quantities.format_bytes(n) == decimal
    assert quantities.format_bytes(n, binary=True) == binary
