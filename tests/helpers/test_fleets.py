"""Which replica, and how many nodes: against other ways to count, and neighbouring answers."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import fleets

NODE = {
    "prefill_s": 0.151598,
    "n_out": 256,
    "base_s": 5.2652e-3,
    "per_seq_s": 51.646e-6,
    "ttft_s": 0.5,
    "tpot_s": 0.01,
}


@pytest.mark.parametrize(
    ("arguments", "share"),
    [
        ((0.9, 2, 4), 0.205891),
        ((0.9, 3, 4), 0.014781),
        ((0.9, 1, 4), 0.6561),
        ((0.7, 2, 2), 0.343),
        ((0.9, 3, 700), 0),
        ((0.5, 1, 10**30), 0),
        ((0, 2, 0), 1),
        ((0, 2, 1), 0),
    ],
)
def test_share_of_servers_with_so_many(arguments, share):
    assert fleets.two_choices_tail(*arguments) == pytest.approx(share, abs=1e-6)


@given(st.floats(0, 0.999), st.integers(1, 5), st.integers(0, 6))
def test_the_next_is_had_by_the_share_to_the_power_of_choices(rho, d, k):
    """s_(k+1) = rho s_k^d, the fixed point of Mitzenmacher's equations."""
    after = rho * fleets.two_choices_tail(rho, d, k) ** d
    assert fleets.two_choices_tail(rho, d, k + 1) == pytest.approx(after, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("loads", "hits", "weight", "replica"),
    [
        ([20, 4, 6, 2], [0.9, 0, 0, 0], 0.39, 0),
        ([20, 4, 6, 2], [0.9, 0, 0, 0], 0.41, 3),
        ([0, 0, 0], [0, 0.5, 0.5], 1, 1),  # all idle: the first of the best hits
        ([4, 0], [1, 0], 0.5, 1),  # of equals the less loaded
        ([3, 1, 1], [0.2, 0.2, 0.2], 0, 1),
        ([0.5, 0.25], [0, 0.2], 0.8, 1),  # a mean below 1 is no small load
        ([9], [0], 3, 0),
    ],
)
def test_route(loads, hits, weight, replica):
    assert fleets.route(loads, hits, weight) == replica


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), min_size=1, max_size=6),
    st.integers(0, 8),
)
def test_route_is_the_best_score_in_exact_numbers(replicas, quarters):
    loads, hits = [load for load, _ in replicas], [share / 4 for _, share in replicas]
    mean, weight = Fraction(sum(loads), len(loads)), Fraction(quarters, 4)
    score = [
        Fraction(hit) - weight * (load - mean) / max(1, mean)
        for load, hit in zip(loads, hits, strict=True)
    ]
    chosen = fleets.route(loads, hits, quarters / 4)
    assert score[chosen] == pytest.approx(float(max(score)), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "nodes"),
    [
        ({"lam": 10}, (2, 1)),
        ({"lam": 20}, (4, 1)),
        ({"lam": 40}, (8, 2)),
        ({"lam": 10, "ttft_s": 0.3}, (3, 1)),
        ({"lam": 0}, (1, 1)),
        ({"lam": 10, "n_out": 1}, (2, 0)),
        ({"lam": 0, "ttft_s": 0.151598}, (1, 1)),
        # A load of exactly 1 is none that is kept up with.
        ({"lam": 8, "prefill_s": 0.125, "ttft_s": 100}, (2, 1)),
        ({"lam": 8, "prefill_s": 0.25, "ttft_s": 0.375}, (4, 1)),
        # Met exactly, where the solved bound rounds to just above 2.
        ({"lam": 1, "prefill_s": 0.1, "ttft_s": 0.1 + 0.05 * 0.1 / (2 * 0.95)}, (2, 1)),
        ({"lam": 10, "base_s": 0, "per_seq_s": 0.001, "n_out": 101}, (2, 2)),
        ({"lam": 10, "base_s": 0.005, "per_seq_s": 0, "n_out": 201, "b_max": 2}, (2, 5)),
        ({"lam": 10, "prefill_s": 0}, (1, 1)),
    ],
)
def test_fewest_nodes(change, nodes):
    found = fleets.pd_split(**{**NODE, **change})
    assert (found["prefill"], found["decode"]) == nodes


@pytest.mark.parametrize(
    "change",
    [
        {"ttft_s": 0.15},
        {"ttft_s": 0.151598},
        {"transfer_s": 1.342},
        {"tpot_s": 0.0053},
        {"prefill_s": 1},
    ],
)
def test_bounds_that_no_number_of_nodes_keeps(change):
    assert fleets.pd_split(**{"lam": 10, **NODE, **change}) is None


@given(
    lam=st.floats(0.01, 100),
    prefill_s=st.floats(0.001, 0.5),
    n_out=st.integers(2, 400),
    base_s=st.floats(0, 0.01),
    per_seq_s=st.floats(0, 1e-3),
    slack=st.floats(1.01, 4),
    transfer_s=st.floats(0, 0.1),
    b_max=st.integers(1, 64),
)
def test_one_node_fewer_breaks_a_bound(
    lam, prefill_s, n_out, base_s, per_seq_s, slack, transfer_s, b_max
):
    gaps = n_out - 1
    least = base_s + per_seq_s + transfer_s / gaps
    bounds = prefill_s * slack, least * slack
    found = fleets.pd_split(
        lam, prefill_s, n_out, base_s, per_seq_s, *bounds, transfer_s=transfer_s, b_max=b_max
    )

    def kept(prefill, decode):
        rho, x = lam * prefill_s / prefill, lam * gaps / decode
        if rho >= 1 or x * per_seq_s >= 1:
            return rho < 1, x * per_seq_s < 1
        B = x * base_s / (1 - x * per_seq_s)
        ttft = prefill_s + rho * prefill_s / (2 * (1 - rho))
        tpot = base_s + per_seq_s * max(B, 1) + transfer_s / gaps
        return ttft <= bounds[0], tpot <= bounds[1] and b_max >= B

    assert kept(found["prefill"], found["decode"]) == (True, True)
    if found["prefill"] > 1:
        assert not kept(found["prefill"] - 1, found["decode"])[0]
    if found["decode"] > 1:
        assert not kept(found["prefill"], found["decode"] - 1)[1]


def test_transfer_delays_tokens_after_the_first_only():
    with_transfer = fleets.pd_split(10, **NODE, transfer_s=0.0268)
    without = fleets.pd_split(10, **NODE)
    assert with_transfer["ttft"] == without["ttft"] == pytest.approx(0.389, abs=5e-4)
    assert with_transfer["tpot"] - without["tpot"] == pytest.approx(0.0268 / 255)
    assert with_transfer["batch"] == pytest.approx(15.46, abs=5e-3)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("rho", lambda: fleets.two_choices_tail(1, 2, 3)),
        ("d", lambda: fleets.two_choices_tail(0.5, 0, 3)),
        ("k", lambda: fleets.two_choices_tail(0.5, 2, -1)),
        ("loads", lambda: fleets.route([], [], 1)),
        ("loads and hits", lambda: fleets.route([1], [0, 0], 1)),
        (r"hits\[0\]", lambda: fleets.route([1], [1.5], 1)),
        (r"loads\[0\]", lambda: fleets.route([-1], [0], 1)),
        ("weight", lambda: fleets.route([1], [0], -1)),
        *(
            (name, lambda name=name: fleets.pd_split(**{"lam": 1, **NODE, name: -1}))
            for name in ("lam", "transfer_s", *NODE)
        ),
        ("n_out", lambda: fleets.pd_split(**{"lam": 1, **NODE, "n_out": 0})),
        ("b_max", lambda: fleets.pd_split(**{"lam": 1, **NODE, "b_max": 0})),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must "):
        call()


def test_more_choices_mean_shorter_queues():
    tails = [fleets.two_choices_tail(0.95, d, 5) for d in range(1, 6)]
    assert all(more < fewer for fewer, more in itertools.pairwise(tails))
