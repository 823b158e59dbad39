"""Frames and control periods against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import deadlines


@pytest.mark.parametrize(
    ("compute_ms", "wait_ms", "pipelined", "fps"),
    [
        (15, 5, False, 30),
        (15, 5, True, 60),
        (11, 5, False, 60),
        (20, 0, True, 30),
        (0, 0, False, 60),
        (0, 20, True, 60),
        (50, 0, False, 20),
        (50.1, 0, False, 15),
    ],
)
def test_frame_rates_of_a_display_of_sixty_hertz(compute_ms, wait_ms, pipelined, fps):
    assert deadlines.achieved_fps(60, compute_ms, wait_ms, pipelined) == fps


@pytest.mark.parametrize("refresh_hz", [24, 30, 48, 60, 72, 90, 120, 144])
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_work_of_exactly_whole_periods_takes_that_many(refresh_hz, frames):
    exactly = frames * 1000 / refresh_hz
    assert deadlines.achieved_fps(refresh_hz, exactly, 0, False) == refresh_hz / frames
    assert deadlines.achieved_fps(refresh_hz, exactly * 0.7, exactly * 0.3, False) == (
        refresh_hz / frames
    )


def test_rounding_is_forgiven_and_a_real_excess_costs_a_whole_period():
    period = 1000 / 60
    assert deadlines.achieved_fps(60, period * (1 + 1e-10), 0, True) == 60
    assert deadlines.achieved_fps(60, period * (1 + 1e-8), 0, True) == 30


@given(st.integers(1, 240), st.integers(0, 10_000), st.integers(0, 10_000))
def test_frame_rates_agree_with_exact_arithmetic(refresh_hz, compute_us, wait_us):
    periods = Fraction((compute_us + wait_us) * refresh_hz, 10**6)
    fps = deadlines.achieved_fps(refresh_hz, compute_us / 1000, wait_us / 1000, False)
    assert fps == refresh_hz / max(1, math.ceil(periods))
    assert deadlines.achieved_fps(refresh_hz, compute_us / 1000, wait_us / 1000, True) >= fps


@pytest.mark.parametrize(
    ("name", "bad"),
    [("refresh_hz", 0), ("refresh_hz", -60), ("compute_ms", -1), ("wait_ms", -0.1)],
)
def test_the_frame_rate_names_the_argument_it_refuses(name, bad):
    case = {"refresh_hz": 60, "compute_ms": 15, "wait_ms": 5, "pipelined": False, name: bad}
    with pytest.raises(ValueError, match=f"^{name} must be "):
        deadlines.achieved_fps(**case)


def test_five_cameras_meet_ten_milliseconds_and_six_do_not():
    met = [n for n in range(1, 9) if deadlines.edge_batch_ok(n, 2, 1.5, 10)]
    assert met == [1, 2, 3, 4, 5]


def test_a_deadline_met_exactly_is_met():
    assert deadlines.edge_batch_ok(6, 2, 1.5, 11) is True
    assert deadlines.edge_batch_ok(6, 2, 1.5, math.nextafter(11, 0)) is False


@pytest.mark.parametrize(
    ("name", "bad"), [("n", 0), ("n", 1.5), ("alpha", -1), ("beta", -1), ("deadline", -1)]
)
def test_the_edge_batch_names_the_argument_it_refuses(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        deadlines.edge_batch_ok(**{"n": 5, "alpha": 2, "beta": 1.5, "deadline": 10, name: bad})
