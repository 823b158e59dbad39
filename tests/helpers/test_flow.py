"""Accounting on sample paths against an event-driven simulation and hand-made traces."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import facts, flow

TIMES = st.integers(0, 1000)


def serve_one_at_a_time(arrivals, services):
    """Return FCFS waits by moving through the events of one server, in exact numbers."""
    events = [(Fraction(t), 1, k) for k, t in enumerate(arrivals)]
    heapq.heapify(events)
    queue, waits, busy = [], [None] * len(arrivals), False
    while events:
        now, kind, k = heapq.heappop(events)
        if kind == 1:
            queue.append(k)
        else:
            busy = False
        # Start only when every arrival of this instant has joined the queue.
        if queue and not busy and not (events and events[0][:2] == (now, 1)):
            first = queue.pop(0)
            waits[first], busy = now - Fraction(arrivals[first]), True
            heapq.heappush(events, (now + Fraction(services[first]), 2, first))
    return waits


# --- Little's gauge ---------------------------------------------------------------


def test_eighty_requests_of_a_70b_model_hold_thirty_three_gigabytes():
    each = facts.get_model("Llama-3-70B").kv_bytes_per_token() * 1280
    gauge = flow.littles_gauge(40, 2, each, 499e9)
    assert list(gauge) == ["L", "mem_bytes", "fits", "lam_max"]
    assert gauge["L"] == 80
    assert each == 419_430_400
    assert gauge["mem_bytes"] == pytest.approx(33.55e9, rel=1e-3)
    assert gauge["fits"] is True
    assert gauge["lam_max"] == pytest.approx(594.9, abs=0.05)


def test_twice_the_arrivals_hold_twice_the_memory():
    one, two = flow.littles_gauge(40, 2, 5e8, 50e9), flow.littles_gauge(80, 2, 5e8, 50e9)
    assert (two["L"], two["mem_bytes"]) == (2 * one["L"], 2 * one["mem_bytes"])
    assert (one["fits"], two["fits"]) == (True, False)
    assert one["lam_max"] == two["lam_max"] == 50


def test_memory_that_is_exactly_full_fits():
    assert flow.littles_gauge(50, 2, 5e8, 50e9)["fits"] is True


@pytest.mark.parametrize("held", [{"W": 0}, {"bytes_per_req": 0}, {"W": 0, "ram_bytes": 0}])
def test_any_rate_fits_where_nothing_is_held(held):
    case = {"lam": 3, "W": 2, "bytes_per_req": 5, "ram_bytes": 7} | held
    gauge = flow.littles_gauge(**case)
    assert (gauge["mem_bytes"], gauge["fits"], gauge["lam_max"]) == (0, True, math.inf)


def test_no_memory_admits_no_rate():
    assert flow.littles_gauge(3, 2, 5, 0) == {
        "L": 6,
        "mem_bytes": 30,
        "fits": False,
        "lam_max": 0,
    }
    assert flow.littles_gauge(0, 2, 5, 0)["fits"] is True


@given(st.floats(0.1, 1e3), st.floats(1e-3, 10), st.floats(1, 1e9), st.floats(1, 1e12))
def test_the_largest_rate_fills_the_memory(lam, wait, each, ram):
    largest = flow.littles_gauge(lam, wait, each, ram)["lam_max"]
    assert math.isclose(flow.littles_gauge(largest, wait, each, ram)["mem_bytes"], ram)


@pytest.mark.parametrize("name", ["lam", "W", "bytes_per_req", "ram_bytes"])
@pytest.mark.parametrize("bad", [-1, math.inf, math.nan, "2", True])
def test_the_gauge_names_the_argument_it_refuses(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        flow.littles_gauge(**{"lam": 1, "W": 1, "bytes_per_req": 1, "ram_bytes": 1, name: bad})


# --- Lindley's recursion ----------------------------------------------------------


def test_a_burst_waits_and_a_late_arrival_does_not():
    waits = flow.lindley_waits([0, 1, 2, 10], [3, 3, 3, 1])
    assert waits == [0, 2, 4, 0]
    assert [type(wait) for wait in waits] == [float] * 4


def test_arrivals_at_one_instant_are_served_in_the_order_given():
    assert flow.lindley_waits([5, 5, 5], [1, 2, 4]) == [0, 1, 3]


def test_short_traces():
    assert flow.lindley_waits([], []) == []
    assert flow.lindley_waits([7], [2]) == [0]


@given(st.lists(st.tuples(TIMES, st.integers(0, 50)), max_size=40))
def test_waits_are_those_of_an_event_driven_simulation(jobs):
    arrivals = sorted(time for time, _ in jobs)
    services = [service for _, service in jobs]
    assert flow.lindley_waits(arrivals, services) == serve_one_at_a_time(arrivals, services)


def test_waits_of_arrays_match_the_cumulative_form():
    rng = np.random.default_rng(3)
    gaps, services = rng.exponential(1, 2000), rng.exponential(0.8, 2000)
    arrivals = np.cumsum(gaps)
    walk = np.concatenate([[0], np.cumsum(services[:-1] - np.diff(arrivals))])
    expected = walk - np.minimum.accumulate(walk)
    assert flow.lindley_waits(arrivals, services) == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.parametrize(
    ("arrivals", "services", "message"),
    [
        ([0, 2, 1], [1, 1, 1], "arrivals must be in order, got 1.0 after 2.0 at index 2"),
        ([0, 1], [1], "arrivals and services must have the same length"),
        ([-1, 1], [1, 1], r"arrivals\[0\] must be"),
        ([0, 1], [1, -1], r"services\[1\] must be"),
        ([0, math.inf], [1, 1], r"arrivals\[1\] must be"),
        ([0, 1], [math.nan, 1], r"services\[0\] must be"),
        ("01", [1, 1], "arrivals must be a sequence"),
    ],
)
def test_the_recursion_refuses_what_is_no_trace(arrivals, services, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        flow.lindley_waits(arrivals, services)


# --- Little's law on a trace ------------------------------------------------------


def test_three_overlapping_jobs():
    assert flow.littles_from_trace([0, 1, 2], [4, 3, 8]) == {"lam": 0.375, "W": 4, "L": 1.5}


def test_time_before_the_first_arrival_counts_as_empty():
    late = flow.littles_from_trace([6], [8])
    assert late == {"lam": 1 / 8, "W": 2, "L": 0.25}


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=40))
def test_the_law_holds_on_every_trace(jobs):
    arrivals = [start for start, _ in jobs]
    departures = [start + stay + 1 for start, stay in jobs]
    found = flow.littles_from_trace(arrivals, departures)
    assert math.isclose(found["L"], found["lam"] * found["W"], rel_tol=1e-12)
    # The area also by asking at each whole second who is there.
    counted = sum(
        start <= t < end
        for t in range(max(departures))
        for start, end in zip(arrivals, departures, strict=True)
    )
    assert math.isclose(found["L"], counted / max(departures), rel_tol=1e-12)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=2, max_size=20), st.randoms())
def test_the_order_of_service_changes_neither_l_nor_the_mean_stay(jobs, random):
    arrivals = sorted(start for start, _ in jobs)
    departures = [max(arrivals) + 1 + stay for _, stay in jobs]
    in_order = flow.littles_from_trace(arrivals, departures)
    random.shuffle(departures)
    other = flow.littles_from_trace(arrivals, departures)
    assert all(math.isclose(in_order[key], other[key]) for key in ("lam", "W", "L"))


@pytest.mark.parametrize(
    ("arrivals", "departures", "message"),
    [
        ([], [], "arrivals must not be empty"),
        ([0], [], "departures must not be empty"),
        ([0, 1], [2], "arrivals and departures must have the same length"),
        ([0, 5], [2, 4], r"departures\[1\] must be at least arrivals\[1\] = 5.0, got 4.0"),
        ([-1], [2], r"arrivals\[0\] must be"),
        ([0, 0], [0, 0], "departures must end after time 0"),
        ([0], [math.inf], r"departures\[0\] must be"),
    ],
)
def test_a_trace_that_has_no_averages_is_refused(arrivals, departures, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        flow.littles_from_trace(arrivals, departures)
