"""Budgets and burn rates are exact; alerts need both windows; degradation follows its order."""

from __future__ import annotations

import copy
import itertools
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import reliability

PAGE = ("page", 1, "1/12", 14.4)
SLOW = ("slow", 6, 0.5, 6)
TICKET = ("ticket", 72, 6, 1)


@pytest.mark.parametrize(
    ("n", "slo", "budget"),
    [
        (1_000_000, "0.999", 1000),
        (10_000_000, "0.999", 10_000),
        (1_000_000, "0.9999", 100),
        (1_000_000, 0.9999, 100),
        (1_000_000, "0.9995", 500),
        (1500, "0.999", 1),
        (999, "0.999", 0),
        (0, "0.999", 0),
        (1000, 1, 0),
        (1000, 0, 1000),
        ("1000", Decimal("0.99"), 10),
    ],
)
def test_error_budget_of_known_objectives(n, slo, budget):
    result = reliability.error_budget(n, slo)
    assert result == budget
    assert type(result) is int


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_error_budget_is_the_largest_count_within_the_objective(n, allowed_ppm):
    slo = 1 - Fraction(allowed_ppm, 10**6)
    budget = reliability.error_budget(n, slo)
    assert Fraction(budget) <= (1 - slo) * n < budget + 1


@pytest.mark.parametrize(
    ("bad", "n", "slo", "burn"),
    [
        (1440, 100_000, "0.999", 14.4),
        (1, 1000, 0.999, 1.0),
        (0, 1000, "0.999", 0.0),
        (0, 0, "0.999", 0.0),
        (0, 0, 1, 0.0),
        (0, 10, 1, 0.0),
        (1, 10, 1, math.inf),
        (5, 10, 0, 0.5),
    ],
)
def test_burn_rate_of_known_windows(bad, n, slo, burn):
    result = reliability.burn_rate(bad, n, slo)
    assert result == burn
    assert type(result) is float


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_spending_exactly_the_budget_burns_at_one(n, allowed_ppm):
    allowed = Fraction(allowed_ppm, 10**6)
    assert reliability.burn_rate(n * allowed, n, 1 - allowed) == 1.0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: reliability.error_budget(-1, "0.9"), "n"),
        (lambda: reliability.error_budget(10, 99.9), "slo"),
        (lambda: reliability.burn_rate(-1, 10, "0.9"), "bad"),
        (lambda: reliability.burn_rate(1, -10, "0.9"), "n"),
        (lambda: reliability.burn_rate(1, 10, "1.1"), "slo"),
        (lambda: reliability.budget_spent(-1, 1, 720), "burn"),
        (lambda: reliability.budget_spent(1, -1, 720), "window_h"),
        (lambda: reliability.budget_spent(1, 1, 0), "period_h"),
        (lambda: reliability.downtime_minutes("0.9", 0), "period_days"),
        (lambda: reliability.downtime_minutes(2, 30), "slo"),
        (lambda: reliability.availability_series([]), "values"),
        (lambda: reliability.availability_series(0.9), "values"),
        (lambda: reliability.availability_series("0.999"), "values"),
        (lambda: reliability.availability_parallel([0.9, 1.1]), r"values\[1\]"),
    ],
)
def test_the_argument_refused_is_named(call, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        call()


@pytest.mark.parametrize(
    ("burn", "window_h", "share"), [(14.4, 1, 0.02), (6, 6, 0.05), (1, 72, 0.1), (1, 720, 1)]
)
def test_a_burn_rate_spends_its_share_of_thirty_days(burn, window_h, share):
    assert reliability.budget_spent(burn, window_h, 720) == pytest.approx(share, rel=1e-12)


def test_no_window_spends_nothing_and_no_budget_is_spent_at_once():
    assert reliability.budget_spent(math.inf, 0, 720) == 0
    assert reliability.budget_spent(math.inf, 1, 720) == math.inf


# --- Alerts -----------------------------------------------------------------------


def test_a_burn_exactly_at_the_factor_fires():
    errors, totals = [144] * 60, [10_000] * 60
    assert reliability.burn_alert(errors, totals, "0.999", 720, [PAGE]) == ["page"]
    errors[0] -= 1
    assert reliability.burn_alert(errors, totals, "0.999", 720, [PAGE]) == []


def test_a_spike_too_short_for_the_long_window_does_not_fire():
    errors, totals = [0] * 58 + [200] * 2, [10_000] * 60
    assert reliability.burn_alert(errors, totals, "0.999", 720, [PAGE]) == []


def test_an_outage_that_is_over_does_not_fire():
    errors, totals = [400] * 55 + [0] * 5, [10_000] * 60
    assert reliability.burn_alert(errors, totals, "0.999", 720, [PAGE]) == []


def test_the_newest_minutes_are_last():
    errors, totals = [0] * 55 + [4000] * 5, [10_000] * 60
    assert reliability.burn_alert(errors, totals, "0.999", 720, [PAGE]) == ["page"]
    assert reliability.burn_alert(errors[::-1], totals, "0.999", 720, [PAGE]) == []


def test_names_come_in_the_order_of_the_rules():
    errors, totals = [1000] * 600, [10_000] * 600
    for rules in itertools.permutations([PAGE, SLOW, TICKET]):
        fired = reliability.burn_alert(errors, totals, "0.999", 720, rules)
        assert fired == [rule[0] for rule in rules]


def test_a_window_longer_than_the_data_uses_what_exists():
    assert reliability.burn_alert([10], [1000], "0.999", 720, [TICKET]) == ["ticket"]
    assert reliability.burn_alert([], [], "0.999", 720, [TICKET]) == []


def test_no_traffic_burns_nothing_even_without_a_budget():
    assert reliability.burn_alert([0] * 60, [0] * 60, "0.999", 720, [PAGE]) == []
    assert reliability.burn_alert([0] * 60, [0] * 60, 1, 720, [PAGE]) == []
    assert reliability.burn_alert([0] * 60, [0] * 60, "0.999", 720, [("always", 1, 1, 0)]) == [
        "always"
    ]


def test_without_a_budget_any_failure_fires():
    assert reliability.burn_alert([0] * 59 + [1], [10] * 60, 1, 720, [PAGE]) == ["page"]


def test_traffic_weighs_the_minutes():
    # The busy minute is fine; a mean of the minutes' ratios would burn at 50.
    errors, totals = [1, 0], [10, 10_000]
    assert reliability.burn_alert(errors, totals, "0.999", 720, [("r", 1, 1, 14.4)]) == []


@pytest.mark.parametrize("period_h", [1, 720, "2160", 0.5])
def test_the_period_does_not_change_the_verdict(period_h):
    errors, totals = [144] * 60, [10_000] * 60
    assert reliability.burn_alert(errors, totals, "0.999", period_h, [PAGE]) == ["page"]


@pytest.mark.parametrize("five_minutes", ["1/12", 5 / 60, 0.0833, Fraction(1, 12)])
def test_windows_are_whole_minutes(five_minutes):
    rules = [("r", five_minutes, five_minutes, 1)]
    assert reliability.burn_alert([9, 0, 0, 0, 0, 1], [100] * 6, "0.998", 720, rules) == ["r"]
    assert reliability.burn_alert([9, 0, 0, 0, 0, 0], [100] * 6, "0.998", 720, rules) == []


def test_a_window_is_at_least_one_minute():
    rules = [("r", 0.001, 0.001, 1)]
    assert reliability.burn_alert([0, 5], [100, 100], "0.999", 720, rules) == ["r"]
    assert reliability.burn_alert([5, 0], [100, 100], "0.999", 720, rules) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=200),
    st.integers(1, 180),
    st.integers(1, 180),
    st.integers(1, 50),
)
def test_a_rule_fires_iff_both_windows_burn_fast_enough(minutes, long_min, short_min, factor):
    errors, totals = [e for e, _ in minutes], [t for _, t in minutes]
    rules = [("r", Fraction(long_min, 60), Fraction(short_min, 60), factor)]
    burns = [
        reliability.burn_rate(sum(errors[-w:]), sum(totals[-w:]), "0.99")
        for w in (long_min, short_min)
    ]
    fired = reliability.burn_alert(errors, totals, "0.99", 720, rules)
    assert fired == (["r"] if min(burns) >= factor else [])


def test_alerting_modifies_no_argument_and_accepts_arrays():
    errors, totals, rules = [144] * 90, [10_000] * 90, [list(PAGE), list(TICKET)]
    before = copy.deepcopy((errors, totals, rules))
    as_lists = reliability.burn_alert(errors, totals, "0.999", 720, rules)
    assert (errors, totals, rules) == before
    arrays = np.array(errors), np.array(totals)
    assert reliability.burn_alert(*arrays, "0.999", 720, rules) == as_lists


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([-1], [1], "0.9", 720, []), r"errors\[0\] must be a whole number"),
        (([1], [1.5], "0.9", 720, []), r"totals\[0\] must be a whole number"),
        (([1], [None], "0.9", 720, []), r"totals\[0\] must be a whole number"),
        (([1], [1, 2], "0.9", 720, []), "errors and totals must have the same length"),
        ((5, [1], "0.9", 720, []), "errors must be a sequence"),
        (([1], 5, "0.9", 720, []), "totals must be a sequence"),
        (([1], [1], "1.5", 720, []), "slo must be in"),
        (([1], [1], "0.9", 0, []), "period_h must be greater than 0"),
        (([1], [1], "0.9", 720, 5), "rules must be a sequence"),
        (([1], [1], "0.9", 720, ["page"]), r"rules\[0\] must be \(name, long_h"),
        (([1], [1], "0.9", 720, [("page", 1, 1)]), r"rules\[0\] must be \(name, long_h"),
        (([1], [1], "0.9", 720, [("p", 0, 1, 1)]), r"rules\[0\] long_h must be greater than 0"),
        (([1], [1], "0.9", 720, [("p", 1, -1, 1)]), r"rules\[0\] short_h must be greater than 0"),
        (([1], [1], "0.9", 720, [("p", 1, 1, -1)]), r"rules\[0\] burn must be at least 0"),
    ],
)
def test_alerting_names_the_argument_it_refuses(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        reliability.burn_alert(*values)


# --- Availability -----------------------------------------------------------------


def test_five_parts_in_series_of_three_nines():
    assert reliability.availability_series([0.999] * 5) == pytest.approx(0.99501, abs=5e-6)
    assert reliability.availability_series(["0.999"]) == 0.999


def test_redundant_parts_multiply_their_unavailability():
    assert reliability.availability_parallel([0.99, 0.99]) == 0.9999
    assert reliability.availability_parallel(["0.9", 0.5, 0]) == 0.95


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_chain_is_no_better_than_its_weakest_part_nor_redundancy_worse_than_its_best(values):
    assert reliability.availability_series(values) <= min(values)
    assert reliability.availability_parallel(values) >= max(values)


def test_three_nines_allow_43_minutes_in_thirty_days():
    assert reliability.downtime_minutes("0.999", 30) == 43.2
    assert reliability.downtime_minutes(1, 30) == 0
    assert reliability.downtime_minutes(0, 1) == 1440


# --- Degradation ------------------------------------------------------------------


def action(name, p99_ms, quality, cost):
    return {"name": name, "p99_ms": p99_ms, "quality": quality, "cost": cost}


def test_the_best_quality_within_the_objective_wins():
    actions = [
        action("full answer", 2600, 1.0, 3),
        action("lower retrieval k", 1500, 0.97, 2),
        action("small model", 900, 0.9, 1),
    ]
    assert reliability.choose_action(actions, 1800) == "lower retrieval k"
    assert reliability.choose_action(actions, 1500) == "lower retrieval k"
    assert reliability.choose_action(actions, 1499.9) == "small model"
    assert reliability.choose_action(actions, 899) == "shed"
    assert reliability.choose_action([], 1000) == "shed"


def test_ties_go_to_lower_cost_then_lower_latency_then_order():
    fast_dear = action("fast and dear", 100, 0.9, 5)
    slow_cheap = action("slow and cheap", 900, 0.9, 1)
    mid_cheap = action("mid and cheap", 500, 0.9, 1)
    again = action("mid and cheap again", 500, 0.9, 1)
    for actions in itertools.permutations([fast_dear, slow_cheap, mid_cheap]):
        assert reliability.choose_action(actions, 1000) == "mid and cheap"
    assert reliability.choose_action([again, mid_cheap], 1000) == "mid and cheap again"


def test_choosing_an_action_modifies_nothing():
    actions = [action("a", 100, 0.5, 1), action("b", 200, 0.9, 1)]
    before = copy.deepcopy(actions)
    reliability.choose_action(actions, 150)
    assert actions == before


@pytest.mark.parametrize(
    ("actions", "slo_ms", "message"),
    [
        ([], -1, "slo_ms must be"),
        (5, 100, "actions must be a sequence"),
        (["shed"], 100, r"actions\[0\] must be a dict"),
        ([{"name": "a"}], 100, r"actions\[0\] must have .* lacks \['p99_ms', 'quality', 'cost'\]"),
        ([action("a", -1, 1, 1)], 100, r"actions\[0\] p99_ms must be"),
        ([action("a", 1, math.nan, 1)], 100, r"actions\[0\] quality must be"),
        ([action("a", 1, 1, -1)], 100, r"actions\[0\] cost must be"),
    ],
)
def test_choosing_an_action_names_what_it_refuses(actions, slo_ms, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        reliability.choose_action(actions, slo_ms)
