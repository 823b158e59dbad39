"""Caches: hit rates, break-even and Zipf's law."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import caching


@pytest.mark.parametrize(
    ("hit_rate", "expected"), [(0.4, 482.0), (0, 800.0), (1, 5.0), (0.5, 402.5)]
)
def test_mean_latency_lies_between_hit_and_miss(hit_rate, expected):
    assert caching.hit_rate_latency(hit_rate, hit_ms=5, miss_ms=800) == expected


def test_break_even_of_a_ten_millisecond_lookup():
    assert caching.cache_break_even(lookup_ms=10, miss_ms=800) == 0.0125


@given(lookup=st.integers(0, 500), miss=st.integers(500, 5000))
def test_at_the_break_even_the_cache_changes_nothing(lookup, miss):
    rate = caching.cache_break_even(lookup, miss)
    with_cache = caching.hit_rate_latency(rate, hit_ms=lookup, miss_ms=lookup + miss)
    assert math.isclose(with_cache, miss, rel_tol=1e-12)


def test_a_lookup_slower_than_the_work_never_pays():
    assert caching.cache_break_even(lookup_ms=20, miss_ms=10) == 2.0


def test_a_tenth_of_a_thousand_items_gets_69_percent_of_the_requests():
    assert round(caching.zipf_hit_share(1000, 100), 4) == 0.693


@given(n_items=st.integers(1, 300), data=st.data())
def test_zipf_share_matches_exact_harmonic_numbers(n_items, data):
    top = data.draw(st.integers(0, n_items))
    share = sum(Fraction(1, i) for i in range(1, top + 1)) / sum(
        Fraction(1, i) for i in range(1, n_items + 1)
    )
    assert math.isclose(caching.zipf_hit_share(n_items, top), share, rel_tol=1e-12)


def test_without_skew_the_share_is_that_of_the_items():
    assert caching.zipf_hit_share(200, 50, s=0) == 0.25


def test_more_skew_sends_more_requests_to_the_top():
    shares = [caching.zipf_hit_share(1000, 10, s) for s in (0, 0.5, 1, 1.5, 2)]
    assert shares == sorted(shares)
    assert len(set(shares)) == 5


def test_caching_nothing_or_everything():
    assert caching.zipf_hit_share(10, 0) == 0.0
    assert caching.zipf_hit_share(10, 10) == 1.0


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("hit_rate", lambda: caching.hit_rate_latency(1.1, 1, 1)),
        ("hit_ms", lambda: caching.hit_rate_latency(0.5, -1, 1)),
        ("miss_ms", lambda: caching.hit_rate_latency(0.5, 1, -1)),
        ("lookup_ms", lambda: caching.cache_break_even(-1, 1)),
        ("miss_ms", lambda: caching.cache_break_even(1, 0)),
        ("n_items", lambda: caching.zipf_hit_share(0, 0)),
        ("top", lambda: caching.zipf_hit_share(5, -1)),
        ("top", lambda: caching.zipf_hit_share(5, 6)),
        ("s", lambda: caching.zipf_hit_share(5, 5, s=-1)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        call()


@pytest.mark.parametrize(("size", "expected"), [(10, 0.209), (100, 0.577), (300, 0.771)])
def test_lru_share_is_that_of_a_simulated_cache(size, expected):
    weights = [1 / i for i in range(1, 1001)]
    share = caching.lru_hit_share(weights, size)
    assert share == pytest.approx(expected, abs=5e-4)
    asked = random.Random(3).choices(range(1000), weights, k=60_000)
    held, hits = OrderedDict(), 0
    for item in asked:
        hits += item in held
        held.pop(item, None)
        held[item] = True
        if len(held) > size:
            held.popitem(last=False)
    assert hits / len(asked) == pytest.approx(share, abs=0.01)
    assert share < caching.zipf_hit_share(1000, size)


def test_lru_without_skew_finds_the_share_that_it_holds():
    assert caching.lru_hit_share([1] * 40, 10) == pytest.approx(0.25, abs=1e-12)


def test_lru_of_nothing_or_everything_that_is_asked_for():
    assert caching.lru_hit_share([3, 1], 0) == 0.0
    assert caching.lru_hit_share([3, 1, 0], 2) == 1.0


@pytest.mark.parametrize(
    ("named", "weights", "size"),
    [("weights", [], 1), ("weights", [1, -1], 1), ("weights", [0, 0], 1), ("size", [1], -1)],
)
def test_lru_names_bad_arguments(named, weights, size):
    with pytest.raises(ValueError, match=f"^{named} must "):
        caching.lru_hit_share(weights, size)


@pytest.mark.parametrize(
    ("requests", "capacity", "found"),
    [
        ([[1, 2, 3], [1, 2, 4], [9, 2, 3], [1, 2, 3]], 100, [0, 2, 0, 3]),
        ([[1, 2, 3]] * 2, 2, [0, 2]),
        ([[1, 2, 3], [1, 2, 4], [5, 6], [1, 2, 3]], 4, [0, 2, 0, 2]),
        ([["a", "b"], [], ("a", "b")], 0, [0, 0, 0]),
        ([], 3, []),
    ],
)
def test_leading_blocks_that_a_prefix_cache_has(requests, capacity, found):
    assert caching.prefix_hits(requests, capacity) == found


@given(
    st.lists(st.lists(st.integers(0, 6), unique=True, max_size=5), max_size=12), st.integers(0, 8)
)
def test_a_prefix_cache_keeps_what_was_used_last(requests, capacity):
    """A block is there if fewer than `capacity` others were used after it."""
    used = []  # in order of use; the first block of a prompt is used last
    for blocks, hits in zip(requests, caching.prefix_hits(requests, capacity), strict=True):
        kept = list(dict.fromkeys(reversed(used)))[:capacity]
        there = [block in kept for block in blocks]
        assert hits == (there.index(False) if False in there else len(blocks))
        used += reversed(blocks)


def test_what_is_no_prompt_or_cache_is_refused():
    with pytest.raises(ValueError, match=r"^requests\[1\] must not have a block twice"):
        caching.prefix_hits([[1], [2, 3, 2]], 5)
    with pytest.raises(ValueError, match=r"^capacity must be"):
        caching.prefix_hits([[1]], -1)
