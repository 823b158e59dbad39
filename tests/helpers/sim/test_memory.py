"""The block counters against counting blocks, and the prefix cache against a plain list."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers.sim._memory import BlockPool, PrefixCache


@given(seed=st.integers(0, 2**32))
def test_counters_agree_with_counting_the_blocks_of_every_sequence(seed):
    rng = np.random.default_rng(seed)
    block, g = int(rng.integers(1, 20)), int(rng.integers(0, 1000))
    held = rng.integers(1, 100, int(rng.integers(1, 12))).tolist()
    pool = BlockPool(int(rng.integers(1, 3000)), block)
    for tokens in held:
        pool.join(tokens, g)
    pool.join(7, g)
    pool.leave(7, g)
    pool.fixed = int(rng.integers(0, 5))

    def blocks(later):
        return pool.fixed + sum(-(-(tokens + later) // block) for tokens in held)

    for later in (0, 1, 5, block, 3 * block + 1):
        assert pool.used(g + later, sum(held) + later * len(held)) == blocks(later)
    most = int(rng.integers(1, 200))
    steps = 0
    while steps < most and blocks(steps) <= pool.blocks:
        steps += 1
    assert pool.possible_steps(g, sum(held), len(held), most) == steps
    need = int(rng.integers(1, 100))
    fits = blocks(0) + -(-need // block) <= pool.blocks
    assert pool.fits(need, g, sum(held), len(held)) == fits


def test_a_prefix_is_hit_as_far_as_it_is_kept_and_never_whole():
    cache = PrefixCache([(1, 2, 3), (1, 2, 9), (4, 2, 3), (1, 2, 3)], 10, None)
    assert cache.hit(0, 30) == 0
    cache.keep(0)
    assert [cache.hit(i, 30) for i in range(4)] == [29, 20, 0, 29]


def test_the_least_recently_finished_block_goes_first_and_beginnings_stay_longest():
    cache = PrefixCache([(1, 2, 3), (4, 5), (1, 9)], 10, 39)  # three blocks
    cache.keep(0)
    cache.keep(1)  # 1 is the only block of the first prompt that is left
    assert list(cache.kept) == [1, 5, 4]
    assert cache.hit(0, 30) == 10
    cache.keep(2)
    assert list(cache.kept) == [4, 9, 1]
