"""Lab 3's footer, and what a run leaves in the ledger."""

import json

import pytest

from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall import record as engine
from servemath_helpers.labs.kv_wall.questions import parts
from servemath_helpers.labs.kv_wall.story import CONTEXTS

BOTH = sorted(CONTEXTS)


def start(context):
    return Session.start(engine.LAB, "ada", context, parts(context))


def answered(context, *, right):
    """A run with all predictions of both acts locked, all right or all wrong."""
    run = start(context)
    for part in run.parts:
        for asked in part.questions:
            choice = next(o.key for o in asked.options if (o.key == asked.answer) == right)
            run = run.predict(part.key, asked.key, choice, 3)
        run = run.lock(part.key)
    return run


FIELDS = [
    "LAB", "CONTEXT", "ACT I", "ACT II PRED", "TTFT P99 (LAT)", "TPS (BATCH)", "KV/USER",
    "MAX USERS", "SLO", "REFLECT", "MISSIONS", "ITERATIONS", "LEDGER",
]  # fmt: skip


def test_the_footer_starts_empty_and_fills():
    run = start("latency")
    shown = dict(engine.hud(run))
    assert list(shown) == FIELDS
    assert (shown["ACT I"], shown["SLO"], shown["TTFT P99 (LAT)"]) == ("–", "–", "–")
    assert (shown["MAX USERS"], shown["KV/USER"], shown["LEDGER"]) == ("–", "–", "NOT SAVED")
    run = answered("latency", right=True).reflect("act1", "lever", "heads")
    shown = dict(engine.hud(run))
    assert (shown["MAX USERS"], shown["KV/USER"]) == ("106", "1.68 GB")
    run = run.attempt("act2", True)
    shown = dict(engine.hud(run))
    assert (shown["ACT I"], shown["ACT II PRED"], shown["REFLECT"]) == ("✓", "✓✓✓", "1/2")
    assert (shown["SLO"], shown["ITERATIONS"]) == ("MET", "1")
    shown = dict(engine.hud(answered("latency", right=False).adjust("act2", a_mode="static")))
    assert (shown["ACT I"], shown["ACT II PRED"], shown["SLO"]) == ("✗", "✗✗✗", "MISSED")


LEDGER_FIELDS = {
    "context", "model", "n_gpus", "units_convention", "frozen_scenario", "act1_prediction",
    "act1_reality", "act1_ratio", "act1_correct", "act1_mistake", "act1_confidence",
    "act1_reflection", "act1_reflection_correct", "act2_prediction", "act2_prediction_correct",
    "act2_reflection", "act2_reflection_correct", "config_a", "config_b", "model_params_b",
    "context_length", "max_batch_size", "kv_cache_gib", "max_users", "ttft_p50_ms", "ttft_p99_ms",
    "tpot_p99_ms", "throughput_tok_s", "goodput_rps", "constraint_hit", "slo_met", "iterations",
    "sim_seed", "library_version", "act2_result", "act2_decision",
}  # fmt: skip


@pytest.mark.parametrize("context", BOTH)
def test_the_ledger_has_every_field_from_the_start_and_is_plain_data(context):
    record = engine.outcome(start(context))
    assert set(record) == LEDGER_FIELDS
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["act1_prediction"] is None and record["slo_met"] is None


@pytest.mark.parametrize("context", BOTH)
def test_nothing_gives_act_one_away_before_its_lock(context):
    run = start(context)
    users = str(parts(context)[0].questions[0].right.value)
    assert users not in dict(engine.hud(run)).values()
    assert run.settings("act1")["seq_tokens"] == CONTEXTS[context].seq_tokens
    assert users not in json.dumps(engine.outcome(run))


def test_a_design_without_memory_is_saved_as_such():
    run = answered("latency", right=True).adjust("act2", a_n_gpus=1).attempt("act2", False)
    record = engine.outcome(run)
    assert record["constraint_hit"] == ["oom"] and record["slo_met"] is False
    assert record["ttft_p99_ms"] is None and record["throughput_tok_s"] == 0
    json.dumps(record, allow_nan=False)


def test_what_is_kept_is_what_was_put_to_the_test_and_not_where_a_slider_stands():
    run = answered("latency", right=True).adjust("act1", n_gpus=2)
    assert engine.outcome(run)["max_users"] is None and engine.outcome(run)["slo_met"] is None
    run = run.attempt("act1", False).adjust("act1", n_gpus=8)
    run = run.adjust("act2", a_max_batch=48).attempt("act2", True).reset("act2")
    record = engine.outcome(run)
    assert (record["n_gpus"], record["max_users"]) == (2, 11)
    assert record["max_batch_size"] == 48 and record["config_a"]["max_batch"] == 48
