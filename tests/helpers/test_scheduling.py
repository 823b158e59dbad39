"""Orders of service against all permutations, priorities against a simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import queueing, scheduling


def test_a_long_job_in_front_makes_everybody_wait():
    assert scheduling.fcfs_mean_sojourn([10, 1]) == 10.5
    assert scheduling.fcfs_mean_sojourn([1, 10]) == 6
    assert scheduling.srpt_mean_sojourn([10, 1]) == 6


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_fcfs_is_the_mean_of_the_completion_times(sizes):
    expected = np.mean(np.cumsum(sizes))
    assert scheduling.fcfs_mean_sojourn(sizes) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_no_order_beats_shortest_first(sizes):
    best = min(scheduling.fcfs_mean_sojourn(order) for order in itertools.permutations(sizes))
    assert scheduling.srpt_mean_sojourn(sizes) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("mean", [scheduling.fcfs_mean_sojourn, scheduling.srpt_mean_sojourn])
def test_job_sizes_are_checked_by_index(mean):
    with pytest.raises(ValueError, match=r"^sizes must not be empty"):
        mean([])
    with pytest.raises(ValueError, match=r"^sizes\[1\] must be a number of at least 0"):
        mean([5, -1])
    with pytest.raises(ValueError, match=r"^sizes\[0\] must be a finite number"):
        mean([math.inf, 1])


def test_one_class_is_the_pollaczek_khinchine_queue():
    (wait,) = scheduling.priority_waits([8], [0.1], [0.02])
    assert wait == pytest.approx(queueing.pk_wait(8, 0.1, 1), rel=1e-12)


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.5, 2)), min_size=1, max_size=5))
def test_priorities_only_redistribute_the_waiting(classes):
    # Kleinrock's conservation law: sum rho_i W_i is that of first come, first served.
    total = sum(rate * mean for rate, mean in classes)
    rates = [0.9 * rate / total for rate, _ in classes]
    means = [mean for _, mean in classes]
    squares = [2 * mean**2 for mean in means]
    waits = scheduling.priority_waits(rates, means, squares)
    loads = [rate * mean for rate, mean in zip(rates, means, strict=True)]
    residual = sum(r * s for r, s in zip(rates, squares, strict=True)) / 2
    weighted = sum(load * wait for load, wait in zip(loads, waits, strict=True))
    assert weighted == pytest.approx(0.9 * residual / 0.1, rel=1e-9)
    assert waits == sorted(waits)


def simulate_priorities(rates, means, n, seed):
    """Return the mean wait of each class, exponential service, one server."""
    rng = np.random.default_rng(seed)
    queues = [list(np.cumsum(rng.exponential(1 / rate, n))) for rate in rates]
    heads, now, waits = [0] * len(rates), 0.0, [[] for _ in rates]
    while all(head < n for head in heads):
        waiting = [k for k, head in enumerate(heads) if queues[k][head] <= now]
        if not waiting:
            now = min(queues[k][head] for k, head in enumerate(heads))
            continue
        k = waiting[0]
        waits[k].append(now - queues[k][heads[k]])
        heads[k] += 1
        now += rng.exponential(means[k])
    return [float(np.mean(wait)) for wait in waits]


def test_priority_waits_agree_with_a_simulation():
    rates, means = [2.0, 3.0], [0.1, 0.2]
    simulated = simulate_priorities(rates, means, 60_000, seed=3)
    waits = scheduling.priority_waits(rates, means, [2 * mean**2 for mean in means])
    assert waits == pytest.approx(simulated, rel=0.05)


def test_under_overload_the_urgent_class_still_agrees_with_a_simulation():
    rates, means = [3.0, 8.0], [0.1, 0.2]
    simulated = simulate_priorities(rates, means, 60_000, seed=5)
    waits = scheduling.priority_waits(rates, means, [2 * mean**2 for mean in means])
    assert waits[0] == pytest.approx(simulated[0], rel=0.05)
    assert waits[1] == math.inf


def test_from_the_first_starved_class_on_every_wait_is_infinite():
    waits = scheduling.priority_waits([5, 5, 5], [0.1, 0.1, 0.1], [0.01] * 3)
    # Classes 1 and 2 fill the server exactly: 2 and, though without effect, 3 starve.
    assert waits == [pytest.approx(0.05 / 0.5), math.inf, math.inf]
    assert scheduling.priority_waits([20], [0.1], [0.01]) == [math.inf]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (([], [], []), "lams"),
        (([-1], [1], [1]), r"lams\[0\]"),
        (([1], [-1], [1]), r"ES\[0\]"),
        (([1], [1], [-1]), r"ES2\[0\]"),
        (([1], [1], [0.9]), r"ES2\[0\]"),
        (([1, math.inf], [1, 1], [1, 1]), r"lams\[1\]"),
        (([1], [1, 2], [1]), "lams and ES and ES2"),
    ],
)
def test_priority_waits_name_the_argument_they_refuse(values, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        scheduling.priority_waits(*values)


def test_retries_amplify_load_without_bound():
    assert scheduling.retry_amplification(0) == 1
    assert scheduling.retry_amplification(0.75) == 4
    assert scheduling.retry_amplification(1) == math.inf
    with pytest.raises(ValueError, match=r"^r must be in \[0, 1\], got 1.5"):
        scheduling.retry_amplification(1.5)


@given(st.floats(0, 0.99))
def test_retry_amplification_is_the_sum_of_all_attempts(r):
    attempts = math.fsum(r**k for k in range(5000))
    assert scheduling.retry_amplification(r) == pytest.approx(attempts, rel=1e-9)


# --- Token bucket -----------------------------------------------------------------


def test_a_full_bucket_lets_a_burst_through_and_then_the_rate():
    bucket = scheduling.TokenBucket(rate=2, burst=3)
    assert [bucket.allow(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.allow(10 + k / 2) for k in range(1, 4)] == [True, True, True]
    assert not bucket.allow(11.6)


def test_idle_time_fills_the_bucket_to_the_brim_and_no_further():
    bucket = scheduling.TokenBucket(rate=1, burst=2)
    assert bucket.tokens == 2
    bucket.allow(0, cost=2)
    assert bucket.tokens == 0
    bucket.allow(1000, cost=0)
    assert bucket.tokens == 2


def test_a_refused_request_takes_nothing():
    bucket = scheduling.TokenBucket(rate=0, burst=2)
    assert bucket.allow(0)
    assert not bucket.allow(1, cost=2)
    assert bucket.allow(2)
    assert not bucket.allow(1e9)
    assert not scheduling.TokenBucket(rate=1, burst=2).allow(0, cost=3)


def test_requests_exactly_at_the_rate_all_pass_in_spite_of_rounding():
    bucket = scheduling.TokenBucket(rate=10, burst=1)
    assert all(bucket.allow(0.1 * k) for k in range(1000))


@given(
    st.floats(0, 10),
    st.floats(0.5, 20),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 5)), max_size=60),
)
def test_no_span_grants_more_than_burst_plus_rate(rate, burst, calls):
    bucket = scheduling.TokenBucket(rate, burst)
    now, granted = 0.0, [(0.0, 0.0)]
    for gap, cost in calls:
        now += gap
        granted.append((now, cost if bucket.allow(now, cost) else 0.0))
        assert 0 <= bucket.tokens <= burst
    for start in range(len(granted)):
        spent = sum(cost for _, cost in granted[start:])
        assert spent <= burst + rate * (now - granted[start][0]) + 1e-6


def test_time_does_not_go_back():
    bucket = scheduling.TokenBucket(rate=1, burst=1)
    bucket.allow(5)
    with pytest.raises(ValueError, match=r"^t_s must not go back before 5.0, got 4.0"):
        bucket.allow(4)
    assert bucket.allow(6)


def test_the_bucket_names_the_argument_it_refuses_and_shows_itself():
    with pytest.raises(ValueError, match=r"^rate must be "):
        scheduling.TokenBucket(-1, 1)
    with pytest.raises(ValueError, match=r"^burst must be "):
        scheduling.TokenBucket(1, 0)
    bucket = scheduling.TokenBucket(1, 2.5)
    with pytest.raises(ValueError, match=r"^t_s must be "):
        bucket.allow(math.inf)
    with pytest.raises(ValueError, match=r"^cost must be "):
        bucket.allow(0, cost=-1)
    assert repr(bucket) == "TokenBucket(rate=1, burst=2.5)"
