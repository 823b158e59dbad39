"""A sketch against the sorted values, alone and merged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers.latency import percentile
from servemath_helpers.sketches import Sketch

VALUES = st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=1, max_size=40)


@given(VALUES, VALUES, st.sampled_from(["0.01", "0.5", "0.9", "0.99", "1"]))
def test_a_percentile_of_merged_sketches_is_near_that_of_all_values(one, other, q):
    merged = Sketch(0.02, one).merged(Sketch(0.02, other))
    assert len(merged) == len(one) + len(other)
    exact = percentile(one + other, q)
    assert abs(merged.percentile(q) - exact) <= 0.02 * exact * (1 + 1e-9)


def test_merging_changes_neither_and_size_does_not_grow_with_the_count():
    one, other = Sketch(0.01, [1.0]), Sketch(0.01, [2.0, 0.0])
    one.merged(other)
    assert (len(one), len(other)) == (1, 2)
    few, many = (Sketch(0.01, (1 + i % 1000 for i in range(n))) for n in (1000, 20_000))
    assert len(few._counts) == len(many._counts) < 500


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Sketch(0), "accuracy must be"),
        (lambda: Sketch(1), "accuracy must be below 1"),
        (lambda: Sketch().add(-1), "value must be"),
        (lambda: Sketch().add(math.inf), "value must be finite"),
        (lambda: Sketch().merged(Sketch(0.02)), "other must be a Sketch of accuracy 0.01"),
        (lambda: Sketch().merged([1]), r"other must be a Sketch of accuracy 0.01, got \[1\]"),
        (lambda: Sketch().percentile("0.5"), "a percentile needs at least one value"),
        (lambda: Sketch(values=[1]).percentile(0), "q must be"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
