"""Credits against a walk down the table, and promises met to the digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import agreements

TABLE = [("0.999", 10), ("0.99", 25), ("0.95", 100)]


@pytest.mark.parametrize(
    ("availability", "credit"),
    [(1, 0), (0.9995, 0), (0.999, 0), (0.9989, 10), (0.99, 10), (0.9899, 25), (0.95, 25), (0, 100)],
)
def test_the_credit_is_a_step_function_open_at_the_threshold(availability, credit):
    assert agreements.sla_credit(availability, TABLE) == credit
    assert agreements.sla_credit(availability, TABLE[::-1]) == credit


def test_thresholds_and_availability_may_be_percentages():
    assert agreements.sla_credit(99.5, [(99.9, 10), (99.0, 25)]) == 10


@given(
    st.integers(0, 1000),
    st.dictionaries(st.integers(0, 1000), st.integers(0, 100), max_size=5),
)
def test_the_lowest_threshold_above_the_availability_decides(measured, rows):
    expected = 0
    for threshold in sorted(rows, reverse=True):
        if measured < threshold:
            expected = rows[threshold]
    table = [(Decimal(threshold) / 1000, credit) for threshold, credit in rows.items()]
    assert agreements.sla_credit(Fraction(measured, 1000), table) == expected


def test_an_empty_table_owes_nothing_and_a_doubled_threshold_the_larger_credit():
    assert agreements.sla_credit(0, []) == 0
    assert agreements.sla_credit(0.9, [(0.95, 10), (0.95, 30), (0.95, 20)]) == 30


def test_a_promise_kept_exactly_is_kept_whatever_the_double_says():
    share = 1 - 0.1 - 0.1 - 0.1  # 0.7000000000000001 as a double
    assert agreements.sla_credit(share, [("0.7", 5)]) == 0
    assert agreements.sla_credit("0.7", [(0.7, 5)]) == 0
    assert agreements.sla_credit("0.6999999999999999999", [("0.7", 5)]) == 5


@pytest.mark.parametrize(
    ("availability", "table", "message"),
    [
        (-0.1, TABLE, "availability must be"),
        (0.5, [("0.9",)], r"table\[0\] must be \(threshold, credit\), got"),
        (0.5, [0.9], r"table\[0\] must be \(threshold, credit\), got"),
        (0.5, [TABLE[0], (-1, 2)], r"table\[1\] threshold must be"),
        (0.5, [("0.9", -2)], r"table\[0\] credit must be"),
        (0.5, 7, "table must be a sequence"),
    ],
)
def test_what_is_refused_is_named(availability, table, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        agreements.sla_credit(availability, table)
