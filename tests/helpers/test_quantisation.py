"""Round trips within half a scale, codes in range, and the least error that a scale allows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import quantisation as qz

VALUES = st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1)
BITS = st.integers(2, 16)


@pytest.mark.parametrize(("bits", "largest"), [(2, 1), (4, 7), (8, 127), (16, 32767)])
def test_the_largest_code_leaves_room_for_the_sign(bits, largest):
    assert qz.largest_code(bits) == largest


@given(VALUES, BITS)
def test_nothing_is_off_by_more_than_half_a_scale(values, bits):
    scale = qz.symmetric_scale(values, bits)
    codes = qz.quantise(values, scale, bits)
    back = qz.dequantise(codes, scale)
    worst = max(abs(x - y) for x, y in zip(values, back, strict=True))
    assert worst <= qz.rounding_bound(scale) * (1 + 1e-9)
    assert max(abs(code) for code in codes) <= qz.largest_code(bits)


@given(VALUES.filter(any), BITS)
def test_the_largest_magnitude_gets_the_largest_code_and_signs_are_treated_alike(values, bits):
    scale = qz.symmetric_scale(values, bits)
    codes = qz.quantise(values, scale, bits)
    assert max(map(abs, codes)) == qz.largest_code(bits)
    assert qz.quantise([-x for x in values], scale, bits) == [-code for code in codes]


@given(st.lists(st.integers(-127, 127), min_size=1), st.integers(-20, 20))
def test_codes_survive_a_round_trip(codes, exponent):
    scale = 2.0**exponent
    assert qz.quantise(qz.dequantise(codes, scale), scale) == codes


def test_one_bit_fewer_doubles_the_scale_and_one_outlier_decides_for_all():
    values = np.random.default_rng(1).normal(size=1000)
    coarse, fine = (qz.symmetric_scale(values, bits) for bits in (4, 8))
    assert coarse / fine == pytest.approx(127 / 7)
    with_outlier = np.append(values, 100.0)
    assert qz.symmetric_scale(with_outlier) == 100 / 127
    assert qz.quantise(with_outlier, 100 / 127)[:-1] != qz.quantise(values, fine)


def test_rounding_errors_are_spread_evenly_so_their_rms_is_scale_over_root_twelve():
    values = np.random.default_rng(2).normal(size=100_000)
    scale = qz.symmetric_scale(values)
    error = values - np.array(qz.dequantise(qz.quantise(values, scale), scale))
    assert np.sqrt(np.mean(error**2)) == pytest.approx(scale / math.sqrt(12), rel=0.01)


def test_ties_go_to_the_even_code_and_what_is_beyond_is_clipped():
    assert qz.quantise([0.5, 1.5, 2.5, -0.5], 1) == [0, 2, 2, 0]
    assert qz.quantise([1e308, -1e308, 127.4], 1e-10 * 1e10) == [127, -127, 127]
    assert qz.quantise([1e308], 1e-300) == [127]


def test_zeros_are_kept_and_nothing_is_nothing():
    assert qz.symmetric_scale([0, 0.0]) == 1
    assert qz.quantise([0], 1.0) == [0]
    assert qz.quantise([], 1) == []
    assert qz.dequantise([], 1) == []


def test_results_are_plain_numbers():
    assert type(qz.quantise(np.array([1.0]), np.float64(1))[0]) is int
    assert type(qz.dequantise(np.array([1]), np.float64(1))[0]) is float


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qz.largest_code(1), "bits must be a whole number of at least 2"),
        (lambda: qz.largest_code(33), "bits must be at most 32"),
        (lambda: qz.symmetric_scale([]), "values must not be empty"),
        (lambda: qz.symmetric_scale([1, math.inf]), r"values\[1\] must be a finite number"),
        (lambda: qz.symmetric_scale([5e-324]), "values must be large enough"),
        (lambda: qz.quantise([1], 0), "scale must be"),
        (lambda: qz.quantise([math.nan], 1), r"values\[0\] must be a number"),
        (lambda: qz.dequantise(["a"], 1), r"codes\[0\] must be a number"),
        (lambda: qz.dequantise([1], -1), "scale must be"),
        (lambda: qz.rounding_bound(math.inf), "scale must be"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("fmt", "n", "expected"),
    [
        ("fp32", 5, 20),
        ("bf16", 5, 10),
        ("fp16", 5, 10),
        ("fp8", 1000, 1004),
        ("int8", 1000, 1004),
        ("mxfp8", 33, 66),
        ("mxfp4", 33, 34),
        ("mxfp4", 32, 17),
        ("nvfp4", 1000, 571),
        ("int4_g128", 129, 132),
        ("int4_g128_zero", 128, 67),  # 66.5 bytes, rounded up
        ("int4_g32", 64, 36),
        ("fp8_block", 16_385, 16_385 + 8),
        ("mxfp4", 10**17 + 1, 17 * (10**17 // 32 + 1)),
    ],
)
def test_stored_bytes_are_exact(fmt, n, expected):
    assert qz.stored_bytes(n, fmt) == expected
    assert type(qz.stored_bytes(n, fmt)) is int


@given(st.sampled_from(list(qz.FORMATS)), st.integers(0, 10**12))
def test_a_large_tensor_takes_its_bits_per_weight(fmt, n):
    entry = qz.number_format(fmt)
    stored = qz.stored_bytes(n, fmt)
    least = n * entry.bits / 8
    most = (n + entry.block) * entry.bits_per_weight / 8 + entry.tensor_bytes + 8
    assert least <= stored <= most
    assert qz.stored_bytes(0, fmt) == 0


@pytest.mark.parametrize("fmt", ["fp5", "", None, ["fp8"]])
def test_an_unknown_format_is_refused(fmt):
    with pytest.raises(ValueError, match=r"^format must be one of fp32, bf16"):
        qz.stored_bytes(1, fmt)


@pytest.mark.parametrize("n", [-1, 0.5, "1"])
def test_a_number_of_weights_is_whole(n):
    with pytest.raises(ValueError, match=r"^n_weights must"):
        qz.stored_bytes(n, "fp8")
