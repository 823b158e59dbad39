"""Capacity plans against an exhaustive search on an independently written tail."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servemath_helpers import planning, queueing

IDLE_P99 = math.log(100)


def tail(t, a, c):
    """Return P(T > t service times) from the states of the queue, one by one."""
    weights = [1.0]
    for n in range(1, c + 1):
        weights.append(weights[-1] * a / n)
    waiting = weights[c] / (1 - a / c)
    share = waiting / (sum(weights[:c]) + waiting)
    # Integrate over the wait of those who wait, density share (c - a) e^(-(c - a) x).
    steps = 20_000
    width = t / steps
    late_service = sum(
        share * (c - a) * math.exp(-(c - a) * x) * math.exp(-(t - x)) * width
        for x in ((k + 0.5) * width for k in range(steps))
    )
    return (1 - share) * math.exp(-t) + late_service + share * math.exp(-(c - a) * t)


def test_a_pool_of_seven():
    plan = planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, "2.50")
    assert list(plan) == ["c", "rho", "p99", "L", "mem_ok", "cost"]
    assert plan["c"] == 7
    assert plan["rho"] == pytest.approx(5 / 7)
    assert plan["p99"] <= 0.3
    assert plan["L"] == pytest.approx(5 + 100 * queueing.mmc_wait(100, 20, 7))
    assert plan["mem_ok"] is True
    assert plan["cost"] == 17.5


@pytest.mark.parametrize(
    ("a", "budget"), [(0.5, 10), (3.2, 10), (3.2, 5), (8, 4.7), (0.9, 4.61), (30, 6)]
)
def test_one_server_fewer_would_break_the_promise(a, budget):
    c = planning.capacity_plan(a, 1, budget, 0, 0, 1)["c"]
    assert tail(budget, a, c) <= 0.01
    assert c - 1 <= a or tail(budget, a, c - 1) > 0.01


def test_one_pool_at_eighty_percent():
    # P99 at rho 0.8 is 6.9 S with four servers and 23 S with one.
    assert planning.capacity_plan(3.2, 1, 10, 0, 0, 1)["c"] == 4
    assert planning.capacity_plan(0.8, 1, 10, 0, 0, 1)["c"] == 2
    assert planning.capacity_plan(0.8, 1, 24, 0, 0, 1)["c"] == 1


@settings(max_examples=40)
@given(st.floats(0.1, 200), st.floats(4.62, 30), st.floats(1.01, 3))
def test_more_load_or_less_time_never_needs_fewer_servers(a, budget, factor):
    base = planning.capacity_plan(a, 1, budget, 0, 0, 1)
    assert planning.capacity_plan(a * factor, 1, budget, 0, 0, 1)["c"] >= base["c"]
    assert planning.capacity_plan(a, 1, budget * factor, 0, 0, 1)["c"] <= base["c"]
    assert base["p99"] <= budget


@given(st.floats(0.01, 100))
def test_a_plan_does_not_depend_on_the_unit_of_time(scale):
    base = planning.capacity_plan(12, 0.3, 2, 1e6, 1e9, 1)
    other = planning.capacity_plan(12 / scale, 0.3 * scale, 2 * scale, 1e6, 1e9, 1)
    assert (other["c"], other["mem_ok"]) == (base["c"], base["mem_ok"])
    assert math.isclose(other["L"], base["L"])
    assert math.isclose(other["p99"], base["p99"] * scale)


def test_memory_is_reported_and_never_buys_servers():
    rich = planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, 2)
    poor = planning.capacity_plan(100, 0.05, 0.3, 4e8, 1e9, 2)
    assert poor == rich | {"mem_ok": False}
    exactly = planning.capacity_plan(100, 0.05, 0.3, 1, rich["L"], 2)
    assert exactly["mem_ok"] is True


@pytest.mark.parametrize("lam", [0, 1, 100])
@pytest.mark.parametrize("budget", [0, 0.1, 0.05 * IDLE_P99])
def test_no_pool_is_faster_than_service_itself(lam, budget):
    assert planning.capacity_plan(lam, 0.05, budget, 1, 1, 1) is None


def test_a_budget_just_above_the_idle_p99_needs_a_large_pool_but_not_an_endless_one():
    plan = planning.capacity_plan(100, 0.05, 0.05 * IDLE_P99 * 1.000001, 1, 100, 1)
    assert 15 < plan["c"] < 30


def test_without_requests_one_idle_server_is_enough():
    assert planning.capacity_plan(0, 2, 10, 5, 0, "1.25") == {
        "c": 1,
        "rho": 0,
        "p99": pytest.approx(2 * IDLE_P99),
        "L": 0,
        "mem_ok": True,
        "cost": 1.25,
    }


def test_a_large_pool_is_found_quickly():
    plan = planning.capacity_plan(1e5, 0.05, 0.25, 1, 1e9, 1)
    assert 5000 < plan["c"] < 5100


@pytest.mark.parametrize("price", ["0.1", 0.1, Decimal("0.1")])
def test_money_is_read_exactly(price):
    # Three times the double 0.1 is 0.30000000000000004.
    plan = planning.capacity_plan(2.2, 1, 30, 0, 0, price)
    assert (plan["c"], plan["cost"]) == (3, 0.3)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("lam", -1),
        ("S", 0),
        ("S", -1),
        ("p99_budget", -1),
        ("bytes_per_req", -1),
        ("ram_bytes", -1),
        ("usd_h", -1),
        ("usd_h", "free"),
        ("lam", math.nan),
    ],
)
def test_a_plan_names_the_argument_it_refuses(name, bad):
    case = {
        "lam": 100,
        "S": 0.05,
        "p99_budget": 0.3,
        "bytes_per_req": 1,
        "ram_bytes": 1,
        "usd_h": 1,
    }
    with pytest.raises(ValueError, match=f"^{name} must be "):
        planning.capacity_plan(**case | {name: bad})
