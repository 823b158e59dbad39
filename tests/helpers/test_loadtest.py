"""Times of tokens and the correction of omission, against single answers and a replay."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import loadtest, sim


@pytest.mark.parametrize(
    ("tool", "tpot", "of_one"),
    [
        ("vllm", 0.125, None),
        ("inference-perf", 0.125, None),
        ("mlperf", 0.125, ValueError),
        ("guidellm", 0.18, 0.5),
    ],
)
def test_times_of_an_answer_by_tool(tool, tpot, of_one):
    times = loadtest.token_times(10, [10.40, 10.45, 10.50, 10.55, 10.90], tool)
    assert times == pytest.approx({"ttft": 0.4, "tpot": tpot, "e2e": 0.9})
    if of_one is ValueError:
        with pytest.raises(ValueError, match="two tokens or more"):
            loadtest.token_times(10, [10.5], tool)
    else:
        assert loadtest.token_times(10, [10.5], tool) == {"ttft": 0.5, "tpot": of_one, "e2e": 0.5}


@given(st.lists(st.floats(0, 50), min_size=2, max_size=20))
def test_what_a_tool_reports_converts_to_the_others_definition(times):
    times = sorted(times)
    ours = loadtest.token_times(0, times, "vllm")
    theirs = loadtest.token_times(0, times, "guidellm")
    tool = "guidellm time_per_output_token_ms"
    converted = sim.tpot_from(
        theirs["tpot"] * (1 + 1e-12), tool, ttft=ours["ttft"], output_tokens=len(times)
    )
    assert converted == pytest.approx(ours["tpot"], abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, [], "vllm"), "token_s must not be empty"),
        ((0, [2, 1], "vllm"), "token_s must be in order"),
        ((3, [2, 4], "vllm"), "from arrival_s = 3.0 on"),
        ((-1, [2], "vllm"), "arrival_s must be"),
        ((0, [2], "tgi"), "tool must be one of 'vllm'"),
    ],
)
def test_answers_that_cannot_be(arguments, words):
    with pytest.raises(ValueError, match=words):
        loadtest.token_times(*arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (([1, 1, 1, 1, 1.05, 3.5], 1, "0.75"), (8, 1.05, 1.5)),
        (([0.3], 0.1, 1), (3, 0.3, 0.3)),  # in floats .3 - .1 - .1 is below .1
        (([0.19, 0.2], "0.1", "0.5"), (3, 0.19, 0.19)),
        (([5], 5, "0.01"), (1, 5, 5)),
        (([0, 0], 7), (2, 0, 0)),
    ],
)
def test_omission_corrected(arguments, expected):
    n, raw, corrected = expected
    assert loadtest.correct_omission(*arguments) == {"n": n, "raw": raw, "corrected": corrected}


def test_correction_is_what_a_client_on_schedule_would_have_measured():
    """Requests are due each 0.1 s; the server stands still for 100 s in front of the last."""
    interval, stall = Fraction(1, 10), 100
    closed = [Fraction(2, 100)] * 1000 + [Fraction(stall)]
    replay = [Fraction(2, 100)] * 1000 + [stall - j * interval for j in range(1000)]
    for q in ("0.5", "0.75", "0.99", "1"):
        found = loadtest.correct_omission(closed, interval, q)
        assert found["n"] == len(replay) == 2000
        assert found["corrected"] == float(sorted(replay)[math.ceil(2000 * Fraction(q)) - 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], 1), "latencies must not be empty"),
        (([1, -1], 1), r"latencies\[1\] must be at least 0"),
        (([1], 0), "interval must be greater than 0"),
        (([1], 1, 0), "q must be in"),
        (([1], 1, "1.01"), "q must be in"),
    ],
)
def test_what_cannot_be_corrected(arguments, words):
    with pytest.raises(ValueError, match=words):
        loadtest.correct_omission(*arguments)


@pytest.mark.parametrize(("rho", "least", "most"), [(0.7, 0, 8), (1.0, 30, 70), (1.1, 97, 100)])
def test_a_growing_queue_shows_in_the_slope(rho, least, most):
    flagged = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        run = sim.simulate_gg1(
            sim.arrivals.poisson(3000, rho, rng), sim.services.exponential(3000, 1.0, rng)
        )
        flagged += loadtest.slope_interval(run.sojourn_s.tolist())[0] > 0
    assert least <= flagged <= most


def test_the_slope_is_that_of_a_textbook_line():
    from scipy import stats

    values = np.random.default_rng(1).random(47).tolist()
    means = np.reshape(values[7:], (10, 4)).mean(axis=1)
    line = stats.linregress(4 * np.arange(10), means)
    half = stats.t.ppf(0.975, 8) * line.stderr
    assert loadtest.slope_interval(values) == pytest.approx((line.slope - half, line.slope + half))
    with pytest.raises(ValueError, match="at least 20, got 19"):
        loadtest.slope_interval([1.0] * 19)
