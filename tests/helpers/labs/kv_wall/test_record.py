"""Lab 3 without widgets: questions and their keys, the session, footer and ledger."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from servemath_helpers import __version__, facts, memory, sim, slots
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import mission as texts
from servemath_helpers.labs.kv_wall import questions as asking
from servemath_helpers.labs.kv_wall import record as engine
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.memory import MemorySetup
from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Workload
from servemath_helpers.labs.kv_wall.story import CONTEXTS, context_of, duration

BOTH = sorted(CONTEXTS)
ALL = [
    (context, part.key, asked.key)
    for context in BOTH
    for part in engine.parts(context)
    for asked in (*part.questions, *part.reflections)
]


def find(context, part, key):
    act = {p.key: p for p in engine.parts(context)}[part]
    return {q.key: q for q in (*act.questions, *act.reflections)}[key]


def answered(context, *, right, learner="ada"):
    """A run with all predictions of both acts locked, all right or all wrong."""
    run = engine.start(learner, context)
    for part in run.parts:
        for asked in part.questions:
            choice = next(o.key for o in asked.options if (o.key == asked.answer) == right)
            run = run.predict(part.key, asked.key, choice, 3)
        run = run.lock(part.key)
    return run


# --- questions: the key is computed, again and by another way ----------------------------------


def independent(context, key):
    """What the library says, without the lab."""
    story = CONTEXTS[context]
    model, gpu = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    step = sim.RooflineStep.of(model, gpu, 8)

    def simulate(workload, mode, batch):
        rng = np.random.default_rng(0)
        arrived = sim.arrivals.poisson(workload.n_requests, workload.lam_rps, rng)
        out = rng.geometric(1 / workload.mean_output, workload.n_requests)
        requests = sim.Requests(arrived, workload.prompt_tokens, out)
        server = sim.LLMServer(step_time=step, batching=mode, max_batch=batch)
        return sim.simulate_llm(requests, server)

    asked = story.workload
    if key == "users":
        k = 2 * model.n_layers * model.n_kv_heads * model.head_dim * 2
        weights = 2 * model.n_params
        return memory.max_users(8, 80 * 10**9, weights, k, story.seq_tokens)
    if key == "small_batch":
        return simulate(asked, "continuous", 8).percentile("ttft", "0.99")
    if key == "continuous_gain":
        runs = [simulate(asked, mode, 64).throughput_tok_s() for mode in ("static", "continuous")]
        return runs[1] / runs[0]
    if key == "gets_worse":
        small, large = (simulate(asked, "continuous", batch) for batch in (8, 64))
        worse = [
            m
            for m in ("ttft", "tpot", "queue")
            if large.percentile(m, "0.99") > small.percentile(m, "0.99")
        ]
        worse += ["tok_s"] if large.throughput_tok_s() < small.throughput_tok_s() else []
        (only,) = worse
        return only
    if key == "reason":
        static, continuous = (simulate(asked, mode, 64) for mode in ("static", "continuous"))
        assert continuous.slot_efficiency() > static.slot_efficiency()
        assert np.nanmax(continuous.tpot_s) > np.nanmax(static.tpot_s)
        return "slots"
    raise KeyError(key)


@pytest.mark.parametrize(
    ("context", "part", "key"),
    [row for row in ALL if row[2] not in ("lever", "same_configuration")],
)
def test_exactly_one_option_is_what_the_library_computes(context, part, key):
    truth, asked = independent(context, key), find(context, part, key)
    assert [o.key for o in asked.options if o.value == truth] == [asked.answer]


@pytest.mark.parametrize(("context", "part", "key"), ALL)
def test_options_differ_in_value_and_label_and_each_has_feedback(context, part, key):
    asked = find(context, part, key)
    assert len(asked.options) == 4
    for field in ("value", "label", "feedback"):
        assert len({getattr(option, field) for option in asked.options}) == 4
    assert all(option.feedback for option in asked.options) and asked.why


@pytest.mark.parametrize(
    ("context", "numbers"), [("latency", [46, 185, 371, 743]), ("throughput", [23, 92, 185, 371])]
)
def test_the_options_of_act_one_are_the_usual_slips(context, numbers):
    asked = find(context, "act1", "users")
    assert sorted(option.value for option in asked.options) == numbers
    assert all(str(option.value) in option.label for option in asked.options)


@pytest.mark.parametrize("seed", range(3))
def test_one_configuration_serves_both_goals_for_short_prompts_with_any_draw(seed):

    timed = replace(CONTEXTS["latency"].workload, n_requests=600, seed=seed)
    flood = replace(timed, lam_rps=50.0)
    grid = [Configuration(mode=m, max_batch=b) for m in ("continuous", "chunked") for b in (8, 128)]
    in_time = {c for c in grid if serving.run(timed, c).ttft_p99_s <= 0.2}
    rates = {c: serving.run(flood, c).tok_s for c in grid}
    near = {c for c in grid if rates[c] >= 0.9 * max(rates.values())}
    assert in_time & near
    assert find("latency", "act2", "same_configuration").answer == "one"


@pytest.mark.parametrize("seed", range(3))
def test_no_configuration_keeps_the_bound_for_long_prompts_with_any_draw(seed):
    timed = Workload(lam_rps=0.5, prompt_tokens=4096, mean_output=256, n_requests=600, seed=seed)
    for mode in ("static", "continuous", "chunked"):
        for batch in (8, 32, 128):
            run = serving.run(timed, Configuration(mode=mode, max_batch=batch))
            assert run.ttft_p99_s > 0.2
    assert find("throughput", "act2", "same_configuration").answer == "only_throughput"


def test_a_small_batch_makes_the_queue_grow_and_the_label_says_so():
    asked = find("latency", "act2", "small_batch")
    assert "growing" in asked.right.label and duration(asked.right.value) in asked.right.label
    # A peak that lasts twice as long makes twice the wait.
    longer = replace(CONTEXTS["latency"].workload, n_requests=3000)
    assert serving.run(longer, Configuration(max_batch=8)).ttft_p99_s > 1.8 * asked.right.value


def test_the_bound_from_slots_is_one_of_the_wrong_options():
    asked = find("throughput", "act2", "continuous_gain")
    assert asked.option("slots_only").value == slots.harmonic(64)
    assert 1 < asked.right.value < asked.option("short_prompts").value < slots.harmonic(64)


def test_what_changes_from_request_to_request_is_found_in_the_simulator():
    asked = find("latency", "act1", "lever")
    fields = {option.key: option.value for option in asked.options}
    assert fields.pop(asked.answer) in sim.Requests.__dataclass_fields__
    assert all(field in facts.Model.__dataclass_fields__ for field in fields.values())


def test_a_question_needs_exactly_one_right_answer():
    with pytest.raises(ValueError, match="getting worse must hold of exactly one, got"):
        asking._only(["ttft", "tpot"], "getting worse")


_SYMBOLS = re.compile(r"P99|2N|2·L·H_kv|fp32|H100|Llama-3-70B|act[12]")


def typed(tree):
    """All text below a node that is not a docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if text and id(node) not in docstrings:
            yield _SYMBOLS.sub("", node.value)


def parsed(module):
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def test_no_number_is_typed_in_questions_options_and_feedback():
    assert [text for text in typed(parsed(asking)) if re.search(r"\d", text)] == []


def test_no_number_is_typed_in_banners():
    banners = [
        node
        for node in ast.walk(parsed(texts))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Message"
    ]
    assert len(banners) == 11
    for node in banners:
        assert [text for text in typed(node) if re.search(r"\d", text)] == []


# --- searches and verdicts ---------------------------------------------------------------------


def test_the_verdict_of_a_search_follows_from_what_it_found():
    a, b = Configuration(max_batch=8), Configuration(max_batch=128)
    search = asking._Search
    assert search(frozenset([a]), frozenset([b]), 1.0).verdict == "two"
    assert search(frozenset([a, b]), frozenset([b]), 1.0).verdict == "one"
    assert search(frozenset(), frozenset([b]), 1.0).verdict == "only_throughput"


# --- session -----------------------------------------------------------------------------------


@pytest.mark.parametrize("context", BOTH)
@pytest.mark.parametrize("part", ["act1", "act2"])
def test_sliders_are_locked_until_the_prediction_is(context, part):
    with pytest.raises(LabError, match=f"lock your prediction of {part} first"):
        engine.start("ada", context).adjust(
            part, **{"seq_tokens": 512} if part == "act1" else {"lam_rps": 2}
        )


def test_option_order_depends_on_the_learner_and_the_key_does_not():
    orders, keys = set(), set()
    for name in ("ada", "bo", "cy", "dee", "eve", "fay"):
        asked = engine.start(name, "latency").part("act1").questions[0]
        orders.add(tuple(option.key for option in asked.options))
        keys.add(asked.answer)
    assert len(orders) > 2 and keys == {"right"}


@pytest.mark.parametrize("context", BOTH)
def test_reality_comes_from_the_frozen_scenario_not_from_the_sliders(context):
    run = answered(context, right=True)
    before = engine.act1_reality(run), engine.act2_reality(run)
    moved = run.adjust("act1", n_gpus=1, seq_tokens=512).adjust("act2", lam_rps=1, a_max_batch=1)
    assert (engine.act1_reality(moved), engine.act2_reality(moved)) == before
    with pytest.raises(TypeError):
        run.prediction("act1", "users").scenario["n_gpus"] = 1


@pytest.mark.parametrize("idea", ["query_heads", "fp32", "keys_only", "right"])
def test_the_mistake_behind_a_number_is_named(idea):
    run = engine.start("ada", "latency").predict("act1", "users", idea).lock("act1")
    found = engine.act1_reality(run)
    assert found.mistake == (None if idea == "right" else idea)
    assert found.predicted == find("latency", "act1", "users").option(idea).value
    assert found.users == 371 and found.ratio == found.predicted / 371
    assert "320 KiB" in found.text


def test_an_unknown_context_is_refused():
    for call in (engine.parts, context_of):
        with pytest.raises(ValueError, match="context must be one of"):
            call("cloud")


@pytest.mark.parametrize("context", BOTH)
def test_no_default_starts_in_failure(context):
    run = answered(context, right=False)
    assert texts.act1_message(room.plan(engine.memory_setup(run))).kind == "ok"
    for which in "ab":
        outcome = serving.run(engine.workload(run), engine.configuration(run, which))
        assert [m.kind for m in texts.act2_messages(outcome, engine.goals(run))] == ["ok"]


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"n_gpus": 1}, "Out of memory."),
        ({"model": "Llama-3.1-405B"}, "Out of memory."),
        ({"n_gpus": 2, "seq_tokens": 32_768}, "At the wall: 1 user."),
        ({"n_gpus": 2, "seq_tokens": 32_768, "model": "Llama-3-70B as MHA"}, "Nobody fits."),
    ],
)
def test_every_banner_of_act_one_can_be_reached_and_left(change, title):
    run = answered("latency", right=True).adjust("act1", **change)
    said = texts.act1_message(room.plan(engine.memory_setup(run)))
    assert (said.kind, said.title) == ("fail", title)
    back = run.reset("act1")
    assert texts.act1_message(room.plan(engine.memory_setup(back))).kind == "ok"


@pytest.mark.parametrize(
    ("context", "change", "title"),
    [
        ("latency", {"a_n_gpus": 1}, "Out of memory."),
        ("latency", {"a_n_gpus": 2, "a_max_batch": 128}, "KV full."),
        ("latency", {"a_max_batch": 4}, "Unstable queue."),
        ("latency", {"a_mode": "static"}, "TTFT bound missed."),
        ("latency", {"prompt_tokens": 8192}, "TPOT bound missed."),
        ("latency", {"a_max_batch": 1}, "Throughput below target."),
        ("throughput", {"a_n_gpus": 1}, "Out of memory."),
        ("throughput", {"a_n_gpus": 2}, "KV full."),
        ("throughput", {"a_mode": "static"}, "Throughput below target."),
        ("throughput", {"lam_rps": 2}, "Throughput below target."),
    ],
)
def test_every_banner_of_act_two_can_be_reached_and_left(context, change, title):
    run = answered(context, right=True).adjust("act2", **change)

    def titles(session):
        return [
            m.title for m in texts.act2_messages(engine.chosen_run(session), engine.goals(session))
        ]

    assert title in titles(run)
    assert titles(run.reset("act2")) == ["All goals met."]


def test_requests_larger_than_the_cache_are_counted_in_the_banner():
    huge = Workload(lam_rps=8, prompt_tokens=9000, mean_output=16, n_requests=50)
    outcome = serving.run(huge, Configuration(n_gpus=2, reserve="0.1"))
    assert "50 are larger than all of it" in texts.act2_messages(outcome, Goals())[0].text


def test_either_configuration_can_be_the_design():
    run = answered("latency", right=True).adjust("act2", b_max_batch=16, design="b")
    assert engine.chosen_run(run).configuration == engine.configuration(run, "b").canonical()


# --- derivations -------------------------------------------------------------------------------


def test_the_derivation_shows_gqa_and_what_it_saves():
    text = "\n".join(texts.act1_peek(MemorySetup()))
    for shown in (
        r"2 \cdot 80 \cdot 8 \cdot 128 \cdot 2 = 327680",
        "1.25$ GiB",
        "10 GiB",
        "5$ MiB",
        "= 371",
    ):
        assert shown in text
    # Where every head has its own, there is nothing to compare with.
    plain = texts.act1_peek(MemorySetup(model="Llama-2-7B"))
    assert len(plain) == len(texts.act1_peek(MemorySetup())) - 1


def test_the_second_derivation_prints_the_numbers_of_the_run():
    text = "\n".join(texts.act2_peek(serving.run(CONTEXTS["latency"].workload, Configuration())))
    assert "18.3 ms" in text and "bound by memory" in text and "3.36" in text


# --- footer and ledger -------------------------------------------------------------------------

FIELDS = [
    "LAB", "CONTEXT", "ACT I", "ACT II PRED", "TTFT P99 (LAT)", "TPS (BATCH)", "KV/USER",
    "MAX USERS", "SLO", "REFLECT", "ITERATIONS", "LEDGER",
]  # fmt: skip


def test_the_footer_starts_empty_and_fills():
    run = engine.start("ada", "latency")
    shown = dict(engine.hud(run))
    assert list(shown) == FIELDS
    assert (shown["ACT I"], shown["SLO"], shown["TTFT P99 (LAT)"]) == ("–", "–", "–")
    assert (shown["MAX USERS"], shown["KV/USER"], shown["LEDGER"]) == ("–", "–", "NOT SAVED")
    run = answered("latency", right=True).reflect("act1", "lever", "heads")
    shown = dict(engine.hud(run))
    assert (shown["MAX USERS"], shown["KV/USER"]) == ("371", "1.34 GB")
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
    record = engine.outcome(engine.start("ada", context))
    assert set(record) == LEDGER_FIELDS
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["act1_prediction"] is None and record["slo_met"] is None


@pytest.mark.parametrize("context", BOTH)
def test_nothing_gives_act_one_away_before_its_lock(context):
    run = engine.start("ada", context)
    users = str(find(context, "act1", "users").right.value)
    assert users not in dict(engine.hud(run)).values()
    assert run.settings("act1")["seq_tokens"] == CONTEXTS[context].seq_tokens
    assert users not in json.dumps(engine.outcome(run))


@pytest.mark.parametrize("context", BOTH)
def test_a_finished_run_is_saved_and_taken_up_again(context, tmp_path):
    run = answered(context, right=False)
    run = run.adjust("act2", a_max_batch=48).attempt("act2", True, {"tok/s": "1"})
    run = run.reflect("act1", "lever", "tokens_in_flight").reflect("act2", "reason", "steps")
    ledger = Ledger(tmp_path / "ledger.json", clock=lambda: "2030-01-01T00:00:00+00:00")
    saved, _ = run.save(ledger, engine.outcome(run), version=engine.RECORD_VERSION)
    assert dict(engine.hud(saved))["LEDGER"] == "SAVED"
    record = ledger.load(engine.LAB, "ada")
    assert record["record_version"] == "3.10" and record["library_version"] == __version__
    assert record["act1_correct"] is False and record["act1_confidence"] == 3
    assert record["act1_ratio"] == record["act1_prediction"] / record["act1_reality"]
    assert record["frozen_scenario"]["seq_tokens"] == CONTEXTS[context].seq_tokens
    assert record["act1_reflection_correct"] is True and record["act2_reflection_correct"] is False
    assert len(record["act2_prediction"]) == 3 and record["config_a"]["max_batch"] == 48
    assert record["max_batch_size"] == 48 and record["iterations"] == 1
    assert record["slo_met"] is True and record["constraint_hit"] == []
    assert record["act2_result"] == record["ttft_p99_ms"] > 0
    again = engine.start("ada", context).restore(record["session"])
    assert engine.outcome(again) == engine.outcome(run)


def test_a_design_without_memory_is_saved_as_such():
    run = answered("latency", right=True).adjust("act2", a_n_gpus=1)
    record = engine.outcome(run)
    assert record["constraint_hit"] == ["oom"] and record["slo_met"] is False
    assert record["ttft_p99_ms"] is None and record["throughput_tok_s"] == 0
    json.dumps(record, allow_nan=False)


def test_the_session_is_the_shared_one():
    assert isinstance(engine.start("ada"), Session)


def test_the_engine_loads_no_widgets_and_no_plotting_library():
    code = (
        "import sys, servemath_helpers.labs.kv_wall.record, servemath_helpers.labs.kv_wall.charts\n"
        "print([m for m in ('ipywidgets', 'matplotlib', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
