"""Dominance against its definition, and the front against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import pareto

# Few distinct values, so that ties and duplicates are common.
POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=14)


def is_beaten(point, other):
    at_least = other[0] <= point[0] and other[1] >= point[1] and other[2] <= point[2]
    return at_least and tuple(other) != tuple(point)


def brute_force(points):
    return [i for i, p in enumerate(points) if not any(is_beaten(p, other) for other in points)]


def test_one_of_five_configurations_is_dominated():
    points = [(20, 50, 4), (35, 120, 4), (60, 200, 4), (70, 180, 4), (30, 90, 2)]
    assert pareto.pareto_front(points) == [0, 1, 2, 4]


@given(POINTS)
def test_the_front_is_that_of_the_definition(points):
    assert pareto.pareto_front(points) == brute_force(points)


def test_the_front_of_many_real_numbers_is_that_of_the_definition():
    points = np.random.default_rng(3).normal(size=(300, 3))
    front = pareto.pareto_front(points)
    assert front == brute_force([tuple(point) for point in points.tolist()])
    assert 5 < len(front) < 100


@given(POINTS.filter(bool), st.tuples(*[st.integers(1, 5)] * 3))
def test_the_least_weighted_sum_lies_on_the_front(points, weights):
    a, b, c = weights
    best = min(
        range(len(points)), key=lambda i: a * points[i][0] - b * points[i][1] + c * points[i][2]
    )
    assert best in pareto.pareto_front(points)


def test_a_point_in_a_dent_is_on_the_front_and_least_for_no_weights():
    points = [(0, 0, 10), (6, 0, 6), (10, 0, 0)]
    assert pareto.pareto_front(points) == [0, 1, 2]
    for weight in np.linspace(0, 1, 101):
        sums = [weight * latency + (1 - weight) * cost for latency, _, cost in points]
        assert sums[1] > min(sums)


@given(POINTS)
def test_dominance_is_the_relation_that_the_front_uses(points):
    for a in points:
        for b in points:
            assert pareto.dominates(a, b) == is_beaten(b, a)


def test_equal_points_all_stay_and_nothing_has_no_front():
    assert pareto.pareto_front([(1, 2, 3)] * 3) == [0, 1, 2]
    assert pareto.pareto_front([]) == []
    assert pareto.pareto_front([(5, 5, 5)]) == [0]


def test_infinite_coordinates_are_compared_like_others():
    points = [(math.inf, 9, 1), (5, 9, 1), (math.inf, 10, math.inf), (math.inf, 10, 1)]
    assert pareto.pareto_front(points) == [1, 3]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(1, 2, math.nan)], r"points\[0\] cost must be a number, got nan"),
        ([(1, 2, 3), (1, 2)], r"points\[1\] must be \(latency, throughput, cost\)"),
        ([(1, True, 3)], r"points\[0\] throughput must be a number"),
        ([3], r"points\[0\] must be \(latency, throughput, cost\)"),
        (5, "points must be a sequence"),
    ],
)
def test_what_is_no_point_is_named(points, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        pareto.pareto_front(points)


def test_dominance_names_the_argument_it_refuses():
    with pytest.raises(ValueError, match=r"^b latency must be a number"):
        pareto.dominates((1, 2, 3), ("fast", 2, 3))
