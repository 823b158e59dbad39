"""Figures of others: what is shipped is what the measured files say, and has a source."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median

import pytest

from servemath_helpers import achieved, closedloop, facts, published
from servemath_helpers.deployment import Deployment

FIGURES = Path(__file__).parents[2] / "benchmarks" / "measured_data"
LOOPS = [
    ("Llama-3.1-70B", "H200-SXM", "fp8", "meta-llama/Llama-3.1-70B,h200_sxm,vllm,,fp8,fp8,fp8", 4),
    ("Llama-3.1-70B", "B200-SXM", "fp8", "meta-llama/Llama-3.1-70B,b200_sxm,vllm,,fp8,fp8,fp8", 1),
    (
        "Llama-3.1-70B",
        "B200-SXM",
        "nvfp4",
        "meta-llama/Llama-3.1-70B,b200_sxm,vllm,,fp4,nvfp4,nvfp4",
        1,
    ),
    (
        "DeepSeek-R1",
        "H200-SXM",
        "fp8",
        "deepseek-ai/DeepSeek-R1,h200_sxm,sglang,0.5.9,fp8,fp8,fp8_block",
        8,
    ),
]


def rows(name):
    with (FIGURES / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_single_batches_are_the_medians_of_the_repeats():
    settings = {}
    for row in rows("splitwise_a100.csv"):
        if row["model"] == "llama2-70b":
            names = ("tp", "prompt_tokens", "batch", "output_tokens")
            settings.setdefault(tuple(int(row[n]) for n in names), []).append(row)
    shipped = {
        (tp, b.prompt_tokens, b.batch, b.output_tokens): b
        for tp in (2, 4, 8)
        for b in published.single_batches(tp)
    }
    assert set(shipped) == set(settings)
    for key, repeats in settings.items():
        prefill, step, power = (
            median(float(row[name]) for row in repeats)
            for name in ("prefill_ms", "step_ms", "average_power_share_of_tdp")
        )
        assert shipped[key].prefill_s == pytest.approx(prefill / 1e3)
        assert shipped[key].step_s == pytest.approx(step / 1e3)
        assert shipped[key].power_share_of_tdp == (pytest.approx(power) if power else None)


@pytest.mark.parametrize(("model", "chip", "weights", "key", "gpus"), LOOPS)
def test_closed_loops_are_the_measured_rows(model, chip, weights, key, gpus):
    names = ("model", "system", "engine", "engine_version", "precision", "gemm", "moe")
    run = published.closed_loop_run(model, chip, weights)
    lengths = ("1024", "1024", str(gpus))
    measured = {
        (int(r["concurrency"]), float(r["ttft_ms"]), float(r["tpot_ms"]))
        for r in rows("closed_loop.csv")
        if ",".join(r[n] for n in names) == key
        and (r["prompt_tokens"], r["output_tokens"], r["tp"]) == lengths
    }
    shipped = {
        (p.concurrency, round(p.ttft_s * 1e3, 6), round(p.tpot_s * 1e3, 6)) for p in run.points
    }
    assert shipped == measured
    assert (run.n_gpus, run.prompt_tokens, run.output_tokens) == (gpus, 1024, 1024)
    # Names lead to a prediction, for an engine that was fitted there.
    node = Deployment(
        model=facts.get_model(model),
        accelerator=facts.get_accelerator(chip),
        tensor_parallel=gpus,
        weight_format=weights,
    )
    assert closedloop.closed_loop(node, 1024, 1024, 4, engine=run.engine).fitted
    assert achieved.was_fitted(model, chip, run.engine)


def test_the_server_run_is_the_measured_one():
    run = published.server_run()
    measured = rows("vllm_rtx4090_llama-3.1-8b.csv")
    requests = run.measurement.requests
    assert len(requests) == len(measured)
    for i, row in enumerate(measured):
        arrival = float(row["arrival_s"])
        assert requests.arrival_s[i] == pytest.approx(arrival, abs=1e-3)
        assert requests.output_tokens[i] == int(row["output_tokens"])
        assert run.measurement.ttft_s[i] == pytest.approx(
            float(row["first_token_s"]) - arrival, abs=2e-3
        )
        assert run.measurement.e2e_s[i] == pytest.approx(
            float(row["last_token_s"]) - arrival, abs=2e-3
        )


def test_counts_of_acceptance_agree_with_one_another():
    run = published.acceptance()
    assert run.drafted == run.gamma * run.rounds
    assert len(run.accepted_by_position) == run.gamma
    # Shares are printed to two decimals.
    half_digit = 0.005 * run.gamma
    assert sum(run.accepted_by_position) == pytest.approx(run.accepted / run.rounds, abs=half_digit)
    assert run.conditional[1] == pytest.approx(0.54 / 0.74)


def test_a_larger_cache_finds_more_and_never_more_than_was_there_before():
    reuse = published.prefix_reuse()
    hits = list(reuse.hit_blocks.values())
    assert hits == sorted(hits)
    assert hits[-1] == reuse.blocks - reuse.distinct_blocks


@pytest.mark.parametrize(
    "kind", ["single_batches", "closed_loops", "server_run", "acceptance", "prefix_reuse"]
)
def test_every_kind_has_a_source(kind):
    assert len(published.source(kind)) > 20


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: published.source("about"), "kind must be one of single_batches, "),
        (lambda: published.single_batches(3), "tensor_parallel must be one of 2, 4, 8, got 3"),
        (
            lambda: published.closed_loop_run("Llama-3.1-70B", "A100", "fp8"),
            "model, accelerator, weight_format must be one of Llama-3.1-70B, H200-SXM, fp8; ",
        ),
    ],
)
def test_what_was_not_measured_is_refused(call, named):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(named)
