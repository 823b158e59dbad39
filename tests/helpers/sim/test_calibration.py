"""Calibration: coefficients come back, errors are those of requests the fit never saw."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servemath_helpers.sim import (
    LinearStep,
    LLMServer,
    Measurement,
    Requests,
    Speculation,
    calibrate,
    calibration,
    load_measurement_csv,
    load_vllm_bench,
    simulate_llm,
    synthetic_azure,
)

TRUTH = LinearStep(
    base_s=0.012, per_decode_s=1e-4, per_prefill_token_s=6e-5, per_context_token_s=4e-8
)
CONTINUOUS = LLMServer(step_time=TRUTH, max_batch=64, max_batched_tokens=8192)
CHUNKED = LLMServer(step_time=TRUTH, max_batch=64, batching="chunked", max_batched_tokens=1024)
CSV = "arrival_s,prompt_tokens,output_tokens,ttft_s,e2e_s"


def measured(server, noise=0.0, n=600, speedup=1.0, seed=1):
    rng = np.random.default_rng(seed)
    requests = synthetic_azure("conv", n, rng, speedup=speedup)
    run = simulate_llm(requests, server)
    factor = np.exp(noise * rng.standard_normal(n))
    return Measurement(requests, run.ttft_s * factor, run.e2e_s * factor)


@pytest.mark.parametrize("server", [CONTINUOUS, CHUNKED], ids=["continuous", "chunked"])
@pytest.mark.parametrize("speedup", [0.3, 1.0])
def test_an_exact_run_is_predicted_within_two_percent(server, speedup):
    fit = calibrate(measured(server, speedup=speedup), server)
    assert fit.held_out.n == 180
    assert 250 < fit.train.n <= 420  # less those who are still there at the split
    assert fit.held_out.e2e_median < 0.02
    assert fit.held_out.tpot_median < 0.02
    assert fit.held_out.ttft_median < 0.06
    assert abs(fit.held_out.e2e_bias) < 0.02
    assert fit.step.per_prefill_token_s == pytest.approx(6e-5, rel=0.05)
    assert fit.step.base_s == pytest.approx(0.012, rel=0.1)


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
    assert fit.held_out.e2e_median < 0.1


def test_a_noisy_run_is_predicted_within_its_noise():
    fit = calibrate(measured(CONTINUOUS, noise=0.05), CONTINUOUS)
    # The median of |noise| is 0.67 * 5 %.
    assert fit.held_out.e2e_median < 0.05
    assert fit.held_out.ttft_median < 0.07
    assert fit.held_out.e2e_p90 < 0.15


def test_a_wrong_model_is_reported_as_wrong():
    # Measured in chunks, fitted as if prompts were computed whole, under load.
    run = measured(CHUNKED, speedup=3)
    wrong = calibrate(run, LLMServer(step_time=TRUTH, max_batch=4))
    right = calibrate(run, CHUNKED)
    assert wrong.held_out.ttft_median > 5 * right.held_out.ttft_median


def test_answers_of_one_token_are_calibrated_without_a_tpot():
    rng = np.random.default_rng(2)
    requests = Requests(np.cumsum(rng.exponential(1, 60)), rng.integers(100, 2000, 60), 1)
    run = simulate_llm(requests, CONTINUOUS)
    fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), CONTINUOUS)
    assert np.isnan(fit.held_out.tpot_median)
    assert fit.held_out.ttft_median < 0.01
    assert fit.step.per_decode_s == 0.0


def test_correcting_by_simulation_improves_on_the_regression(monkeypatch):
    run = measured(CHUNKED)
    losses = []
    for rounds in (0, 1, 10):
        monkeypatch.setattr(calibration, "_MOST_ROUNDS", rounds)
        fit = calibrate(run, CHUNKED)
        losses.append(fit.train.ttft_median + fit.train.e2e_median)
    assert losses[2] < losses[0]
    assert losses[1] < losses[0]


def test_the_fit_does_not_look_at_the_held_out_part():
    run = measured(CONTINUOUS, n=200)
    spoilt = Measurement(
        run.requests,
        np.concatenate((run.ttft_s[:140], run.ttft_s[140:] * 3)),
        np.concatenate((run.e2e_s[:140], run.e2e_s[140:] * 3)),
    )
    honest, fooled = calibrate(run, CONTINUOUS), calibrate(spoilt, CONTINUOUS)
    assert fooled.step == honest.step
    assert fooled.train == honest.train
    assert fooled.held_out.e2e_median > 0.5


def test_csv_rows_are_sorted_and_moved_to_zero(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text(f"{CSV},note\n12,100,11,0.2,1.2,late\n10,50,1,0.1,0.1,early\n")
    run = load_measurement_csv(path)
    assert run.requests.arrival_s.tolist() == [0.0, 2.0]
    assert run.requests.prompt_tokens.tolist() == [50, 100]
    assert run.e2e_s.tolist() == [0.1, 1.2]
    assert run.tpot_s[1] == pytest.approx(0.1)
    assert np.isnan(run.tpot_s[0])
    with_tpot = load_measurement_csv(iter([CSV.replace("e2e_s", "tpot_s"), "0,9,11,0.2,0.1"]))
    assert with_tpot.e2e_s.tolist() == pytest.approx([1.2])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "source must have the columns arrival_s, prompt_tokens, output_tokens, ttft_s, e2e_s"),
        (["arrival_s,ttft_s,e2e_s"], "columns prompt_tokens, output_tokens, got"),
        ([CSV], "source must hold at least one row"),
        ([CSV, "0,1,1,0.1,0.2", "1,1,1,x,0.2"], "row 3: ttft_s must be a number, got 'x'"),
        ([CSV, "0,1,1,0.1"], "row 2: e2e_s must be a number, got None"),
        ([CSV, "0,1,1,0.2,0.1"], "e2e_s[0] must be at least ttft_s[0] = 0.2, got 0.1"),
        ([CSV, "0,1,1,0,0.1"], "ttft_s[0] must be a number greater than 0"),
        ([CSV, "0,1.5,1,0.1,0.1"], "prompt_tokens[0] must be a whole"),
    ],
)
def test_bad_csv_is_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_measurement_csv(lines)
    assert message in str(error.value)


def vllm(tmp_path, **changes):
    result = {
        "date": "20260102-030405",
        "completed": 2,
        "input_lens": [100, 200, 7],
        "output_lens": [3, 2, 0],
        "ttfts": [0.1, 0.2, 0.0],
        "itls": [[0.05, 0.07], [0.1], []],
        "start_times": [11.5, 10.0, 12.0],
        "errors": ["", "", "timeout"],
    }
    result.update(changes)
    path = tmp_path / "result.json"
    path.write_text(json.dumps({k: v for k, v in result.items() if v is not None}))
    return path


def test_vllm_results_are_read_without_those_that_failed(tmp_path):
    for errors in (["", "", "timeout"], None):
        run = load_vllm_bench(vllm(tmp_path, errors=errors))
        assert run.requests.arrival_s.tolist() == [0.0, 1.5]
        assert run.requests.prompt_tokens.tolist() == [200, 100]
        assert run.ttft_s.tolist() == [0.2, 0.1]
        assert run.e2e_s.tolist() == pytest.approx([0.3, 0.22])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"itls": None, "ttfts": None}, "source must have the fields ttfts, itls (--save-detailed"),
        ({"itls": [[0.1]]}, "itls has 1"),
        ({"errors": [""]}, "errors has 1"),
        ({"itls": [1, 2, 3]}, "itls[0] must be a sequence"),
        ({"output_lens": [0, 0, 0]}, "source must hold at least one request that succeeded"),
    ],
)
def test_bad_vllm_results_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError) as error:
        load_vllm_bench(vllm(tmp_path, **changes))
    assert message in str(error.value)


def test_what_is_no_json_is_said_to_be_none(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="source must be a JSON file"):
        load_vllm_bench(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="source must have the fields start_times"):
        load_vllm_bench(str(path))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibrate(None, CONTINUOUS), "measurement must be a Measurement"),
        (lambda: calibrate(measured(CONTINUOUS, n=19), CONTINUOUS), "at least 20 requests, got 19"),
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
            lambda: calibrate(
                Measurement(Requests(np.zeros(30), 10, 10), np.full(30, 1.0), np.full(30, 2.0)),
                CONTINUOUS,
            ),
            "at least 10 requests that end before the held-out part begins, got 0",
        ),
        (
            lambda: calibrate(measured(CONTINUOUS, n=20), CONTINUOUS, train_share=1),
            "train_share must be",
        ),
        (lambda: Measurement([1], [1], [1]), "requests must be Requests"),
        (lambda: Measurement(Requests([0], 1, 1), [1, 2], [1]), "requests has 1, ttft_s has 2"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
