"""Times of tokens and the correction of omission, against single answers and a replay."""

from __future__ import annotations

import math
from fractions import Fraction

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
