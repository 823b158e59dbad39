"""Each check accepts what it should, returns plain Python numbers, and names its argument."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from servemath_helpers import _validate

NOT_NUMBERS = [
    True,
    np.bool_(False),
    "3",
    None,
    math.nan,
    np.nan,
    1 + 2j,
    np.complex128(1),
    np.timedelta64(5),
    np.array(3.0),
    np.array([3.0]),
    Decimal("3"),
    [3],
]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        _validate.number,
        _validate.finite,
        _validate.positive,
        _validate.non_negative,
        _validate.finite_positive,
        _validate.finite_non_negative,
        _validate.probability,
        _validate.whole,
    ],
    ids=lambda check: check.__name__,
)
def test_what_is_not_a_number_is_refused_by_name(check, value):
    with pytest.raises(ValueError, match=r"^speed must be .+, got "):
        check("speed", value)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int8(3), np.uint64(3), Fraction(3)])
@pytest.mark.parametrize("check", [_validate.number, _validate.positive, _validate.probability])
def test_numbers_come_back_as_plain_floats(check, value):
    scaled = type(value)(value) if check is not _validate.probability else value - value
    result = check("x", scaled)
    assert type(result) is float
    assert result == float(scaled)


def test_a_number_too_large_for_a_float_is_a_value_error():
    with pytest.raises(ValueError, match=r"x must be a number below 1.8e308, got 1000"):
        _validate.number("x", 10**400)


def test_infinity_is_a_number_but_not_a_finite_one():
    assert _validate.number("x", math.inf) == math.inf
    assert _validate.positive("x", math.inf) == math.inf
    assert _validate.non_negative("x", math.inf) == math.inf
    with pytest.raises(ValueError, match="x must be a finite number, got -inf"):
        _validate.finite("x", -math.inf)
    with pytest.raises(ValueError, match="x must be a finite number greater than 0, got inf"):
        _validate.finite_positive("x", math.inf)
    with pytest.raises(ValueError, match="x must be a finite number of at least 0, got inf"):
        _validate.finite_non_negative("x", math.inf)
    with pytest.raises(ValueError, match="x must be a whole number of at least 0, got inf"):
        _validate.whole("x", math.inf)


def test_bounds_are_checked_at_the_bound():
    assert _validate.non_negative("x", 0) == 0.0
    assert _validate.finite_non_negative("x", 0) == 0.0
    assert _validate.positive("x", 5e-324) == 5e-324
    with pytest.raises(ValueError, match="x must be a number greater than 0, got 0"):
        _validate.positive("x", 0)
    with pytest.raises(ValueError, match="x must be a number greater than 0, got 0"):
        _validate.finite_positive("x", 0)
    with pytest.raises(ValueError, match="x must be a number of at least 0, got -1"):
        _validate.non_negative("x", -1)
    with pytest.raises(ValueError, match="x must be a number of at least 0, got -1"):
        _validate.finite_non_negative("x", -1)


@pytest.mark.parametrize(
    ("zero", "one", "expected"),
    [
        (True, True, r"\[0, 1\]"),
        (False, True, r"\(0, 1\]"),
        (True, False, r"\[0, 1\)"),
        (False, False, r"\(0, 1\)"),
    ],
)
def test_a_probability_may_have_open_or_closed_ends(zero, one, expected):
    def check(value):
        return _validate.probability("q", value, zero_allowed=zero, one_allowed=one)

    assert check(0.5) == 0.5
    for end, allowed in ((0, zero), (1, one)):
        if allowed:
            assert check(end) == end
        else:
            with pytest.raises(ValueError, match=f"^q must be in {expected}, got {end}$"):
                check(end)
    for outside in (-0.1, 1.1, math.inf):
        with pytest.raises(ValueError, match=f"^q must be in {expected}, got {outside}$"):
            check(outside)


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float64(3.0), Fraction(6, 2)])
def test_a_whole_number_comes_back_as_a_plain_int(value):
    result = _validate.whole("n", value)
    assert type(result) is int
    assert result == 3


def test_a_whole_number_keeps_digits_that_a_float_would_lose():
    assert _validate.whole("n", 2**60 + 1) == 2**60 + 1


@pytest.mark.parametrize("value", [2.5, -1, Fraction(3 * 10**20 + 1, 3)])
def test_what_is_not_a_whole_number_or_too_small_is_refused(value):
    with pytest.raises(ValueError, match="n must be a whole number of at least 0, got "):
        _validate.whole("n", value)


def test_the_minimum_of_a_whole_number_is_named():
    assert _validate.whole("n", 1, minimum=1) == 1
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, got 0"):
        _validate.whole("n", 0, minimum=1)


@pytest.mark.parametrize(
    "values",
    [[1, 2.5], (1, 2.5), np.array([1, 2.5]), iter([1, 2.5]), {1: "a", 2.5: "b"}.keys()],
    ids=["list", "tuple", "array", "iterator", "keys"],
)
def test_any_sequence_of_numbers_becomes_a_list_of_plain_floats(values):
    result = _validate.numbers_in("xs", values)
    assert result == [1.0, 2.5]
    assert all(type(value) is float for value in result)


def test_an_integer_array_becomes_plain_floats_too():
    result = _validate.numbers_in("xs", np.array([1, 2], dtype=np.int8))
    assert result == [1.0, 2.0]
    assert all(type(value) is float for value in result)


@pytest.mark.parametrize("values", ["12", b"12", 12, None, np.array(1.0)], ids=repr)
def test_what_is_no_sequence_of_numbers_is_refused(values):
    with pytest.raises(ValueError, match=r"^xs must be a sequence of numbers, got "):
        _validate.numbers_in("xs", values)


@pytest.mark.parametrize("values", [[1, math.nan], np.array([1, math.nan]), [1, "2"], [1, None]])
def test_the_element_that_is_not_a_number_is_named(values):
    with pytest.raises(ValueError, match=r"^xs\[1\] must be a number, got "):
        _validate.numbers_in("xs", values)


def test_the_elements_of_a_two_dimensional_array_are_refused():
    with pytest.raises(ValueError, match=r"^xs\[0\] must be a number, got array"):
        _validate.numbers_in("xs", np.ones((2, 2)))


def test_the_minimum_of_a_sequence_is_checked_for_each_element():
    assert _validate.numbers_in("xs", [0, 1], minimum=0) == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"^xs\[1\] must be a number of at least 0, got -1"):
        _validate.numbers_in("xs", [0, -1], minimum=0)


def test_an_empty_sequence_is_refused_unless_allowed():
    with pytest.raises(ValueError, match=r"^xs must not be empty$"):
        _validate.numbers_in("xs", [])
    assert _validate.numbers_in("xs", [], empty_allowed=True) == []


def test_a_finite_sequence_names_its_infinite_element():
    assert _validate.finite_numbers_in("xs", [0, 1.5], minimum=0) == [0.0, 1.5]
    assert _validate.finite_numbers_in("xs", (), empty_allowed=True) == []
    with pytest.raises(ValueError, match=r"^xs\[1\] must be a finite number, got inf"):
        _validate.finite_numbers_in("xs", [0, math.inf])


def test_a_sequence_of_anything_becomes_a_list():
    assert _validate.sequence("rules", (1, "a")) == [1, "a"]
    for value in ("text", b"bytes", 5):
        with pytest.raises(ValueError, match=r"^rules must be a sequence, got "):
            _validate.sequence("rules", value)


def test_sequences_of_different_length_are_refused_with_their_lengths():
    _validate.same_length(p=[1], q=[2])
    with pytest.raises(ValueError, match=r"^p and q must have the same length: p has 1, q has 2$"):
        _validate.same_length(p=[1], q=[1, 2])
