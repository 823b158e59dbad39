"""Moving or recomputing a cache, against the arithmetic written out."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from servemath_helpers import roofline, transfer

K_70B = 327_680
PREFILL_4096_S = 0.15159849306922174


def prefill_70b_s(tokens):
    return roofline.prefill_time_s(70_553_706_496, tokens, 80, 8192, 8, 989.4e12)


def test_a_conversation_of_the_70b_over_a_fast_network():
    assert transfer.kv_transfer_s(4096, K_70B, 50e9) == pytest.approx(0.02684354560)
    assert transfer.kv_transfer_s(4096, K_70B, 50e9, latency_s=0.01) == pytest.approx(0.0368435456)
    assert transfer.kv_transfer_s(0, K_70B, 50e9, latency_s=0.01) == 0.01
    assert transfer.kv_transfer_s(4096, 0, 50e9) == 0.0


def test_the_break_even_link_of_the_70b():
    link = transfer.break_even_link_Bps(4096, K_70B, PREFILL_4096_S)
    assert link / 1e9 == pytest.approx(8.8535, abs=1e-4)


@given(
    tokens=st.integers(1, 10**6),
    k=st.integers(1, 10**7),
    prefill_s=st.floats(0.001, 100),
    share=st.floats(0, 0.99),
)
def test_at_the_break_even_link_both_ways_take_as_long(tokens, k, prefill_s, share):
    latency_s = share * prefill_s
    link = transfer.break_even_link_Bps(tokens, k, prefill_s, latency_s)
    assert transfer.kv_transfer_s(tokens, k, link, latency_s) == pytest.approx(prefill_s)


@pytest.mark.parametrize(("prefill_s", "latency_s"), [(0.1, 0.1), (0.1, 0.2), (0, 0)])
def test_no_link_breaks_even_where_latency_alone_takes_as_long(prefill_s, latency_s):
    assert transfer.break_even_link_Bps(10, 100, prefill_s, latency_s) == math.inf


@pytest.mark.parametrize(
    ("link", "host", "latency_s", "expected"),
    [
        (50e9, 25e9, 0, ("transfer", 0.0268435456)),
        (12.5e9, None, 0, ("transfer", 0.1073741824)),
        (1e9, None, 0, ("recompute", PREFILL_4096_S)),
        (1e9, 64e9, 0, ("host", 0.02097152)),
        (None, 64e9, 0, ("host", 0.02097152)),
        (None, None, 0, ("recompute", PREFILL_4096_S)),
        (50e9, 25e9, 1, ("recompute", PREFILL_4096_S)),
    ],
)
def test_the_soonest_way_is_taken(link, host, latency_s, expected):
    choice, seconds = transfer.resume_plan(4096, K_70B, link, host, PREFILL_4096_S, latency_s)
    assert choice == expected[0]
    assert seconds == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("link", "host", "prefill_s", "expected"),
    [
        (8, 8, 1, "transfer"),
        (8, None, 1, "transfer"),
        (4, 8, 1, "host"),
        (None, 8, 1, "host"),
        (8, 8, 0.5, "recompute"),
    ],
)
def test_ties_go_to_transfer_then_host(link, host, prefill_s, expected):
    choice, seconds = transfer.resume_plan(2, 4, link, host, prefill_s, 0)
    assert (choice, seconds) == (expected, min(1, prefill_s))


def test_nothing_to_resume_still_pays_the_latency_of_a_path():
    assert transfer.resume_plan(0, K_70B, 50e9, None, 0.0, 0.0) == ("transfer", 0.0)
    assert transfer.resume_plan(0, K_70B, 50e9, None, 0.0, 0.001) == ("recompute", 0.0)


@given(
    tokens=st.integers(0, 10**5),
    link=st.none() | st.floats(1e6, 1e12),
    host=st.none() | st.floats(1e6, 1e12),
    prefill_s=st.floats(0, 10),
    latency_s=st.floats(0, 1),
)
def test_no_other_way_is_sooner(tokens, link, host, prefill_s, latency_s):
    _, seconds = transfer.resume_plan(tokens, K_70B, link, host, prefill_s, latency_s)
    ways = [prefill_s]
    ways += [latency_s + tokens * K_70B / path for path in (link, host) if path is not None]
    assert seconds == min(ways)


def test_the_crossover_of_the_70b_is_where_the_choice_changes():
    shortest = transfer.crossover_tokens(prefill_70b_s, K_70B, 50e9, 0.005, 131_072)
    for tokens, choice in ((shortest - 1, "recompute"), (shortest, "transfer")):
        plan = transfer.resume_plan(tokens, K_70B, 50e9, None, prefill_70b_s(tokens), 0.005)
        assert plan[0] == choice


@given(
    linear=st.integers(0, 50),
    quadratic=st.integers(0, 5),
    per_token=st.integers(0, 60),
    latency=st.integers(0, 500),
    longest=st.integers(1, 200),
)
def test_the_crossover_is_the_first_of_a_full_scan(linear, quadratic, per_token, latency, longest):
    def prefill_s(tokens):
        return linear * tokens + quadratic * tokens**2

    wins = [n for n in range(1, longest + 1) if latency + n * per_token <= prefill_s(n)]
    found = transfer.crossover_tokens(prefill_s, per_token, 1, latency, longest)
    assume(not (latency == 0 and linear > per_token) or wins)
    assert found == (wins[0] if wins else None)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: transfer.kv_transfer_s(-1, 1, 1), "tokens"),
        (lambda: transfer.kv_transfer_s(1, -1, 1), "k must"),
        (lambda: transfer.kv_transfer_s(1, 1, 0), "link_Bps"),
        (lambda: transfer.kv_transfer_s(1, 1, 1, -1), "latency_s"),
        (lambda: transfer.break_even_link_Bps(1, 1, -1), "prefill_s"),
        (lambda: transfer.break_even_link_Bps(1, 1, 1, -1), "latency_s"),
        (lambda: transfer.break_even_link_Bps(-1, 1, 1), "tokens"),
        (lambda: transfer.resume_plan(1, 1, 0, 1, 1, 0), "link_Bps"),
        (lambda: transfer.resume_plan(1, 1, 1, 0, 1, 0), "host_Bps"),
        (lambda: transfer.resume_plan(-1, 1, None, None, 1, 0), "tokens"),
        (lambda: transfer.resume_plan(1, -1, None, None, 1, 0), "k must"),
        (lambda: transfer.resume_plan(1, 1, None, None, 1, -1), "latency_s"),
        (lambda: transfer.resume_plan(1, 1, None, None, -1, 0), "prefill_s"),
        (lambda: transfer.crossover_tokens(float, 1, 1, 0, 0), "max_tokens"),
        (lambda: transfer.crossover_tokens(float, 1, 0, 0, 5), "link_Bps"),
        (lambda: transfer.crossover_tokens(lambda n: -n, 1, 1, 0, 5), "prefill_s"),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}"):
        call()
