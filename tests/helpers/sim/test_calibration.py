"""Calibration: coefficients come back, errors are those of requests the fit never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from servemath_helpers.sim import (
    ClosedLoop,
    LinearStep,
    LLMServer,
    Measurement,
    Requests,
    Speculation,
    calibrate,
    calibration,
    simulate_fleet,
    simulate_llm,
    synthetic_azure,
)

TRUTH = LinearStep(
    base_s=0.012, per_decode_s=1e-4, per_prefill_token_s=6e-5, per_context_token_s=4e-8
)
CONTINUOUS = LLMServer(step_time=TRUTH, max_batch=64, max_batched_tokens=8192)
CHUNKED = LLMServer(step_time=TRUTH, max_batch=64, batching="chunked", max_batched_tokens=1024)
PAGED = replace(CHUNKED, kv_policy="paged", kv_tokens=20_000)


def measured(server, noise=0.0, n=150, speedup=1.0, seed=1):
    rng = np.random.default_rng(seed)
    requests = synthetic_azure("conv", n, rng, speedup=speedup)
    run = simulate_llm(requests, server)
    factor = np.exp(noise * rng.standard_normal(n))
    return Measurement(requests, run.ttft_s * factor, run.e2e_s * factor)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("server", "speedup"),
    [(CONTINUOUS, 0.3), (CONTINUOUS, 1.0), (CHUNKED, 1.0), (CHUNKED, 1e4), (PAGED, 20)],
    ids=["idle", "moderate", "chunked", "burst", "preempting"],
)
def test_an_exact_run_is_predicted_within_two_percent(server, speedup):
    fit = calibrate(measured(server, speedup=speedup), server, blocks=3)
    for error in (fit.in_sample, fit.held_out):
        for metric in (error.ttft, error.tpot, error.e2e):
            # In which iteration a request comes in moves its TTFT by one.
            assert metric.median < (0.1 if metric is error.ttft else 0.03)
            assert abs(metric.bias) < (0.07 if metric is error.ttft else 0.03)
            assert metric.bias_interval[0] <= metric.bias <= metric.bias_interval[1]
            assert metric.median <= metric.p90
        assert (error.e2e.n, error.ttft.n) == (150, 150)
    assert fit.step.per_prefill_token_s == pytest.approx(6e-5, rel=0.05)
    assert fit.step.base_s == pytest.approx(0.012, rel=0.1)


@pytest.mark.no_cover
@pytest.mark.parametrize("pause", [0.0, 0.004])
def test_a_closed_loop_is_predicted(pause):
    rng = np.random.default_rng(8)
    loop = ClosedLoop(8, rng.integers(200, 900, 96), rng.integers(20, 200, 96), pause)
    run = simulate_fleet(loop, CHUNKED)
    measurement = Measurement(run.requests, run.ttft_s, run.e2e_s)
    fit = calibrate(measurement, CHUNKED, users=8, blocks=3)
    for metric, most in ((fit.held_out.e2e, 0.02), (fit.held_out.ttft, 0.1)):
        assert abs(metric.bias) < most
        assert metric.median < most
    # Sent when they were sent, E2E is right all the same.
    assert abs(calibrate(measurement, CHUNKED, blocks=2).held_out.e2e.bias) < 0.03
    # More users than requests are a burst.
    assert calibrate(measurement, CHUNKED, users=99, blocks=2).held_out.e2e.n == 96


@pytest.mark.no_cover
def test_a_burst_of_equal_requests_cannot_tell_batch_from_context():
    requests = Requests(np.sort(np.random.default_rng(1).uniform(0, 0.05, 200)), 1024, 128)
    run = simulate_llm(requests, replace(CONTINUOUS, max_batch=256))
    fit = calibrate(
        Measurement(requests, run.ttft_s, run.e2e_s), replace(CONTINUOUS, max_batch=256)
    )
    assert fit.held_out.e2e.median < 0.01
    assert len(fit.remarks) == 1
    assert "cannot tell per_decode_s and per_context_token_s apart" in fit.remarks[0]
    # A context that varies while the batch does not tells them apart.
    rng = np.random.default_rng(2)
    prompts, answers = rng.integers(50, 8000, 100), rng.integers(20, 60, 100)
    varied = Requests(np.arange(100) * 30.0, prompts, answers)
    run = simulate_llm(varied, CONTINUOUS)
    alone = calibrate(Measurement(varied, run.ttft_s, run.e2e_s), CONTINUOUS, blocks=2)
    assert not any("per_context_token_s" in remark for remark in alone.remarks)
    assert alone.step.per_context_token_s == pytest.approx(4e-8, rel=0.05)


@pytest.mark.no_cover
def test_missing_times_are_not_compared_and_not_needed():
    run = measured(CHUNKED, speedup=2)
    ttft, e2e = run.ttft_s.copy(), run.e2e_s.copy()
    ttft[::3], e2e[1::3] = np.nan, np.nan
    fit = calibrate(Measurement(run.requests, ttft, e2e), CHUNKED, blocks=2)
    assert (fit.held_out.ttft.n, fit.held_out.e2e.n) == (100, 100)
    assert fit.held_out.e2e.median < 0.06
    # A server that does not stream: E2E alone, or one of the two for each request.
    alone = calibrate(Measurement(run.requests, np.full(150, np.nan), run.e2e_s), CHUNKED, blocks=2)
    assert alone.held_out.ttft.n == 0
    assert np.isnan(alone.held_out.ttft.bias)
    assert abs(alone.held_out.e2e.bias) < 0.05


def test_few_requests_are_enough():
    few = calibrate(measured(CONTINUOUS, n=5, noise=0.05), CONTINUOUS)
    assert few.held_out.e2e.n == 5
    assert few.held_out.e2e.median < 0.2


def test_few_requests_of_few_users_are_enough():
    few = calibrate(measured(CONTINUOUS, n=6), CONTINUOUS, users=2, blocks=2)
    assert few.held_out.e2e.n == 6
    assert few.held_out.e2e.median < 0.2


def test_one_request_has_an_error_and_no_interval():
    run = measured(CONTINUOUS, n=20)
    ttft = np.where(np.arange(20) == 3, run.ttft_s, np.nan)
    fit = calibrate(Measurement(run.requests, ttft, run.e2e_s), CONTINUOUS, blocks=2)
    assert (fit.held_out.ttft.n, fit.held_out.ttft.median < 1) == (1, True)
    assert np.isnan(fit.held_out.ttft.bias_interval).all()


def test_a_burst_of_one_token_answers_has_prompts_to_go_by():
    requests = Requests(np.zeros(20), np.arange(100, 2100, 100), 1)
    run = simulate_llm(requests, CONTINUOUS)
    fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), CONTINUOUS, blocks=2)
    assert fit.in_sample.ttft.median < 0.02


def test_the_error_is_described():
    text = calibrate(measured(CONTINUOUS, n=20), CONTINUOUS).describe()
    assert "base_s" in text
    assert text.count("held-out") == 3


@pytest.mark.no_cover
def test_priorities_and_shared_prefixes_are_taken_into_the_fit():
    rng = np.random.default_rng(5)
    n = 200
    hashes = [[int(rng.integers(0, 3))] for _ in range(n)]
    requests = Requests(
        np.cumsum(rng.exponential(0.3, n)),
        rng.integers(600, 2000, n),
        rng.geometric(1 / 100, n),
        rng.integers(0, 2, n),
        hashes,
        512,
    )
    server = LLMServer(step_time=TRUTH, max_batch=4, order="priority", prefix_cache_tokens=None)
    run = simulate_llm(requests, server)
    fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), server)
    assert fit.held_out.e2e.median < 0.1


@pytest.mark.no_cover
def test_a_noisy_run_is_predicted_within_its_noise():
    fit = calibrate(measured(CONTINUOUS, noise=0.05), CONTINUOUS)
    # The median of |noise| is 0.67 * 5 %.
    assert fit.held_out.e2e.median < 0.05
    assert fit.held_out.ttft.median < 0.08
    assert fit.held_out.e2e.p90 < 0.15


@pytest.mark.no_cover
def test_a_wrong_model_is_reported_as_wrong():
    # Measured in chunks, fitted as if prompts were computed whole, under load.
    run = measured(CHUNKED, speedup=3, n=100)
    wrong = calibrate(run, LLMServer(step_time=TRUTH, max_batch=4), blocks=2)
    right = calibrate(run, CHUNKED, blocks=2)
    assert wrong.held_out.ttft.median > 5 * right.held_out.ttft.median


def test_answers_of_one_token_are_calibrated_without_a_tpot():
    rng = np.random.default_rng(2)
    requests = Requests(np.cumsum(rng.exponential(1, 60)), rng.integers(100, 2000, 60), 1)
    run = simulate_llm(requests, CONTINUOUS)
    fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), CONTINUOUS)
    assert np.isnan(fit.held_out.tpot.median)
    assert fit.held_out.ttft.median < 0.01
    assert fit.step.per_decode_s == 0.0


@pytest.mark.no_cover
def test_correcting_by_simulation_improves_on_the_regression(monkeypatch):
    run = measured(CHUNKED)
    losses = []
    for rounds in (0, 1, 10):
        monkeypatch.setattr(calibration, "_MOST_ROUNDS", rounds)
        fit = calibrate(run, CHUNKED)
        losses.append(fit.in_sample.ttft.median + fit.in_sample.e2e.median)
    assert losses[2] < losses[0]
    assert losses[1] < losses[0]


@pytest.mark.no_cover
def test_what_is_held_out_is_not_looked_at():
    run = measured(CONTINUOUS, n=200)
    block = np.arange(200) * 20 // 200 % 5 == 2
    spoilt = Measurement(
        run.requests,
        np.where(block, run.ttft_s * 3, run.ttft_s),
        np.where(block, run.e2e_s * 3, run.e2e_s),
    )
    honest, fooled = (
        calibration._fit(measurement, CONTINUOUS, ~block, quick=True)[0]
        for measurement in (run, spoilt)
    )
    assert fooled.tolist() == honest.tolist()
    # And the error says that a fifth of the requests took three times as long.
    fit = calibrate(spoilt, CONTINUOUS)
    assert fit.held_out.e2e.p90 > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibrate(None, CONTINUOUS), "measurement must be a Measurement"),
        (lambda: calibrate(measured(CONTINUOUS, n=4), CONTINUOUS), "at least 5 requests, got 4"),
        (
            lambda: calibrate(
                measured(CONTINUOUS, n=20),
                LLMServer(
                    step_time=TRUTH, speculation=Speculation(alpha=0.5, gamma=2, cost_ratio=0.1)
                ),
            ),
            "server must not decode speculatively",
        ),
        (
            lambda: calibrate(
                measured(CONTINUOUS, n=20), LLMServer(step_time=TRUTH, batching="static")
            ),
            "server must batch continuously or in chunks",
        ),
        (
            lambda: calibrate(measured(CONTINUOUS, n=20), CONTINUOUS, blocks=1),
            "blocks must be a whole number of at least 2",
        ),
        (
            lambda: calibrate(measured(CONTINUOUS, n=20), CONTINUOUS, users=0),
            "users must be a whole number of at least 1",
        ),
        (
            lambda: calibrate(
                measured(CONTINUOUS, n=20), replace(PAGED, kv_tokens=64, oversize="reject")
            ),
            "must be at most the 64 tokens",
        ),
        (
            lambda: calibrate(
                Measurement(Requests([0] * 5, 1, 2), [1, *[np.nan] * 4], np.full(5, np.nan)),
                CONTINUOUS,
            ),
            "known times outside each block",
        ),
        (lambda: Measurement([1], [1], [1]), "requests must be Requests"),
        (lambda: Measurement(Requests([0], 1, 1), [1, 2], [1]), "requests has 1, ttft_s has 2"),
        (lambda: Measurement(Requests([0], 1, 1), ["x"], [1]), "ttft_s must be a one-dim"),
        (lambda: Measurement(Requests([0], 1, 1), [0], [1]), "ttft_s[0] must be a finite number"),
        (lambda: Measurement(Requests([0], 1, 1), [2], [1]), "e2e_s[0] must be at least ttft_s[0]"),
        (lambda: Measurement(Requests([0], 1, 1), [np.nan], [np.nan]), "at least one time that"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
