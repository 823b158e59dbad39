"""Difficulty, discrimination, distribution, points lost: against independent computations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autograder.cells import parse_grade_id
from autograder.gradebook.reader import CellGrade, Grades
from autograder.gradebook.record import (
    ClassRecord,
    Property,
    Submission,
    property_in_words,
)
from autograder.report.figures import bin_counts
from autograder.report.statistics import (
    LEAST_FOR_CORRELATION,
    corrected_item_total,
    exercise_results,
    losses,
    spread,
)

PROPERTIES = (
    Property("a__visible__x", "a", "visible", "X", 1.0),
    Property("a__hidden__y", "a", "hidden", "Y", 1.0),
    Property("b__hidden__z", "b", "hidden", "Z", 3.0),
)


def class_of(*rows):
    """Return a class; each row is the points of the three properties, or None."""
    submissions = [
        Submission(
            f"s{number}",
            grades=None
            if row is None
            else Grades(
                {p.grade_id: CellGrade(points) for p, points in zip(PROPERTIES, row, strict=True)}
            ),
        )
        for number, row in enumerate(rows)
    ]
    return ClassRecord("ch", PROPERTIES, {"a": "A", "b": "B"}, tuple(submissions))


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.5, 1, 2]), st.sampled_from([0, 1, 3, 5.5])),
        min_size=LEAST_FOR_CORRELATION,
        max_size=40,
    )
)
def test_discrimination_is_pearson_s_correlation_with_the_rest(pairs):
    item, rest = np.array(pairs, dtype=float).T
    found, why = corrected_item_total(item, item + rest)
    if np.ptp(item) == 0:
        assert (found, why) == (None, "all have the same points here")
    elif np.ptp(rest) == 0:
        assert (found, why) == (None, "all have the same points elsewhere")
    else:
        assert found == pytest.approx(stats.pearsonr(item, rest).statistic, abs=1e-9)
        assert why == ""


def test_an_exercise_that_alone_makes_the_total_would_correlate_with_itself():
    """What the correction is for: noise elsewhere must not count as agreement."""
    item, rest = [0, 3, 0, 3, 0, 3], [1, 1, 0, 0, 1, 1]
    corrected, _ = corrected_item_total(item, np.add(item, rest))
    raw = stats.pearsonr(item, np.add(item, rest)).statistic
    assert corrected == pytest.approx(0, abs=1e-9) and raw > 0.9


def test_few_submissions_have_no_correlation():
    assert corrected_item_total([0, 1, 2, 3], [1, 2, 3, 9]) == (None, "fewer than 5 graded")
    assert corrected_item_total([], []) == (None, "fewer than 5 graded")


def test_rounding_is_no_variance():
    tenths = [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]
    assert corrected_item_total(tenths, [1, 2, 3, 4, 5])[0] is None


def test_difficulty_counts_graded_submissions_only():
    record = class_of([1, 1, 3], [1, 0, 0], None, [0, 0, 0])
    a, b = exercise_results(record)
    assert a.mean_share == pytest.approx((1 + 0.5 + 0) / 3)
    assert (a.full, a.nothing, b.full, b.nothing) == (1, 1, 1, 2)
    assert b.mean_share == pytest.approx(1 / 3)
    assert record.max_points == {"a": 2.0, "b": 3.0}


def test_an_empty_class_has_no_figures_and_no_error():
    record = class_of()
    assert [one.mean_share for one in exercise_results(record)] == [None, None]
    assert losses(record) == [] and spread([]) is None


def test_points_lost_by_property_the_costliest_first():
    record = class_of([1, 0, 3], [1, 0, 1.5], None, [0, 1, 3])
    found = [(loss.grade_id, loss.lost, loss.losers) for loss in losses(record)]
    assert found == [("a__hidden__y", 2.0, 2), ("b__hidden__z", 1.5, 1), ("a__visible__x", 1.0, 1)]


def test_nobody_lost_a_point():
    assert losses(class_of([1, 1, 3], [1, 1, 3])) == []


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_spread_agrees_with_the_standard_library(values):
    import statistics

    found = spread(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.median == pytest.approx(statistics.median(values))
    assert found.deviation == pytest.approx(statistics.pstdev(values), abs=1e-6)
    assert (found.n, found.least, found.most) == (len(values), min(values), max(values))


@given(st.lists(st.floats(-1, 40), max_size=50))
def test_every_total_is_in_one_bin(totals):
    assert sum(bin_counts(totals, 27)) == len(totals)


def test_a_total_on_an_edge_is_in_the_bin_above():
    for k in range(10):
        counts = bin_counts([27 * k / 10], 27)
        assert counts.index(1) == k
    assert bin_counts([27], 27)[9] == 1 and math.isclose(27 * 3 / 10, 8.1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"""Hidden: refused calls, zeros.\n\nMore."""\nx = 1', "Refused calls, zeros"),
        ('"""visible checks"""', "Visible checks"),
        ("%matplotlib inline\nx", "Idle and full"),
        ("", "Idle and full"),
        ("x = 1", "Idle and full"),
    ],
)
def test_a_property_in_words_is_the_test_s_docstring(source, words):
    assert property_in_words(source, parse_grade_id("mm1__hidden__idle_and_full")) == words
