"""Schedules against a step-by-step machine, bounds for any lengths, 1/H_B against chance."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import slots

TEN = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]
LENGTHS = st.lists(st.integers(0, 12), max_size=20)
SLOTS = st.integers(1, 6)


def machine(lengths, n_slots, *, refill):
    """Count steps with a machine that knows only what is in its slots now."""
    waiting, running, steps = list(lengths), [], 0
    while waiting or running:
        if refill or not running:
            while waiting and len(running) < n_slots:
                running.append(waiting.pop(0))
                if refill and running[-1] == 0:
                    running.pop()  # done at once: its slot is still free
        if any(running):
            steps += 1
        running = [left - 1 for left in running if left > 1]
    return steps


@given(LENGTHS, SLOTS)
def test_steps_are_those_of_a_machine_that_counts_tokens(lengths, n_slots):
    assert slots.static_steps(lengths, n_slots) == machine(lengths, n_slots, refill=False)
    assert slots.continuous_steps(lengths, n_slots) == machine(lengths, n_slots, refill=True)


@given(LENGTHS, SLOTS)
def test_continuous_never_takes_longer_and_never_beats_its_bounds(lengths, n_slots):
    steps = slots.continuous_steps(lengths, n_slots)
    assert steps <= slots.static_steps(lengths, n_slots)
    assert steps >= max(lengths, default=0)
    assert steps >= math.ceil(Fraction(sum(lengths), n_slots))


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(6, 9))
def test_a_single_batch_gains_nothing(lengths, n_slots):
    longest = max(lengths, default=0)
    assert slots.continuous_steps(lengths, n_slots) == longest
    assert slots.static_steps(lengths, n_slots) == longest


def test_the_ten_lengths_of_the_course():
    assert slots.static_steps(TEN, 10) == slots.continuous_steps(TEN, 10) == 400
    assert slots.static_steps(TEN * 10, 10) == 4000
    assert slots.continuous_steps(TEN * 10, 10) == 2075
    assert slots.padding_waste(TEN) == 0.54375


@pytest.mark.no_cover
@pytest.mark.parametrize("schedule", [slots.static_schedule, slots.continuous_schedule])
@given(LENGTHS, SLOTS)
def test_spans_have_their_lengths_and_never_share_a_slot(schedule, lengths, n_slots):
    spans = schedule(lengths, n_slots)
    assert [span.request for span in spans] == list(range(len(lengths)))
    assert [span.end - span.start for span in spans] == lengths
    assert all(0 <= span.slot < n_slots for span in spans)
    taken = [(span.slot, step) for span in spans for step in range(span.start, span.end)]
    assert len(taken) == len(set(taken))
    starts = [span.start for span in spans]
    assert starts == sorted(starts)


def test_a_million_slots_for_a_few_requests_are_no_burden():
    assert slots.continuous_steps([3, 2], 10**9) == 3


def test_whole_floats_and_arrays_are_lengths_too():
    assert slots.static_steps(np.array([3.0, 1.0]), np.int64(1)) == 4


def test_harmonic_numbers_of_small_and_large_n():
    assert slots.harmonic(0) == 0
    for n in (1, 2, 10, 50):
        assert slots.harmonic(n) == float(sum(Fraction(1, k) for k in range(1, n + 1)))
    euler = 0.5772156649015329
    assert slots.harmonic(10**5) == pytest.approx(math.log(10**5) + euler + 5e-6, abs=1e-10)


@pytest.mark.parametrize("n_slots", [2, 8, 64])
def test_slot_efficiency_is_that_of_simulated_batches(n_slots):
    rng = np.random.default_rng(5)
    exponential = rng.exponential(1, (200_000 // n_slots, n_slots))
    share = exponential.mean() / exponential.max(axis=1).mean()
    assert slots.slot_efficiency(n_slots) == pytest.approx(share, rel=0.02)
    geometric = rng.geometric(1 / 500, 200 * n_slots)
    served = geometric.sum() / (n_slots * slots.static_steps(geometric, n_slots))
    assert slots.slot_efficiency(n_slots) == pytest.approx(served, rel=0.1)


def test_padding_waste_is_the_share_that_is_not_used():
    assert slots.padding_waste([5]) == 0
    assert slots.padding_waste([0, 0]) == 0
    assert slots.padding_waste([0, 10]) == 0.5
    assert slots.padding_waste([1.5, 3]) == 0.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: slots.static_steps([1, -1], 2), r"lengths\[1\] must be a whole number"),
        (lambda: slots.continuous_steps([1.5], 2), r"lengths\[0\] must be a whole number"),
        (lambda: slots.continuous_steps([1], 0), "slots must be a whole number of at least 1"),
        (lambda: slots.static_steps([], 0), "slots must be a whole number of at least 1"),
        (lambda: slots.static_steps(4, 1), "lengths must be a sequence"),
        (lambda: slots.harmonic(-1), "n must be a whole number"),
        (lambda: slots.slot_efficiency(0), "slots must be a whole number of at least 1"),
        (lambda: slots.padding_waste([]), "lengths must not be empty"),
        (lambda: slots.padding_waste([3, -1]), r"lengths\[1\] must be a number of at least 0"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
