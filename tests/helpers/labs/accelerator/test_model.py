"""The engine of lab 5: a record, what follows from it, and how it is measured."""

import dataclasses

import numpy as np
import pytest

from servemath_helpers.labs.accelerator import model
from servemath_helpers.labs.accelerator.model import (
    BATCHES,
    MAX_BATCH,
    SHARES,
    Record,
    Run,
    measure_record,
    played,
    recorded,
    virtual_record,
)
from servemath_helpers.sim import ClosedLoop
from servemath_helpers.tinyllm.machine import REFERENCE, Machine
from servemath_helpers.tinyllm.transformer import TINY

REFERENCE_RECORD = virtual_record()
ALL = [REFERENCE_RECORD, recorded()]


def name(record):
    return record.clock if isinstance(record, Record) else str(record)


def test_the_reference_machine_gives_the_numbers_of_the_specification():
    record = REFERENCE_RECORD
    assert record.decode_s(1) == pytest.approx(0.0382, abs=5e-5)
    assert 1 / record.decode_s(1) == pytest.approx(26.2, abs=0.05)
    assert MAX_BATCH / record.decode_s(MAX_BATCH) == pytest.approx(194.6, abs=0.05)
    assert record.batch_gain == pytest.approx(7.4, abs=0.05)
    assert record.critical_batch == 20
    # A virtual machine is its own roofline, and its fit finds it.
    assert record.ratios == pytest.approx(dict.fromkeys(BATCHES, 1.0))
    assert record.roofline_error < 1e-12
    assert record.fit["base_s"] == pytest.approx(record.weights_s, rel=0.02)
    assert record.fit["held_out_error"] < 0.01


def test_a_virtual_record_is_the_same_each_time():
    virtual_record.cache_clear()
    again = virtual_record(REFERENCE, 0)
    assert again.to_json() == REFERENCE_RECORD.to_json()
    assert virtual_record(REFERENCE, 1).to_json() != again.to_json()


@pytest.mark.parametrize("record", ALL, ids=name)
def test_a_record_is_a_file_and_back(record):
    again = Record.of_json(record.to_json())
    assert again.to_json() == record.to_json()
    assert again.machine == record.machine and again.seed == record.seed
    loads = [("closed", n) for n in BATCHES] + [("open", share) for share in SHARES]
    assert [(run.kind, run.level) for run in again.runs] == loads
    for run in again.runs:
        before = record.run(run.kind, run.level)
        assert len(run.answers) == len(before.answers)
        times = run.summary.times("ttft")
        assert times == pytest.approx(before.summary.times("ttft"), abs=2e-4)


def test_the_recorded_run_names_nobody_and_has_been_measured():
    record = recorded()
    assert record.clock == "wall" and set(record.ratios) == set(BATCHES)
    assert record.machine.name.startswith("Linux on ")
    assert len(record.machine.bw_runs) == len(record.machine.flops_runs) == 5
    assert all(one.ok for run in record.runs for one in run.answers)


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"machine": "m"}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError):
        Record.of_json(text)


def test_a_batch_that_never_was_is_left_out():
    some = [row for row in REFERENCE_RECORD.steps if row[0] != 4]
    record = Record(REFERENCE, 1, "virtual", some, REFERENCE_RECORD.runs, 0)
    assert set(record.ratios) == {1, 2, 8}


def test_a_long_log_is_thinned_and_keeps_every_kind(monkeypatch):
    monkeypatch.setattr(model, "_MOST_ROWS", 100)
    virtual_record.cache_clear()
    record = virtual_record(REFERENCE, 3)
    assert 50 < len(record.steps) <= 100
    assert {row[2] > 0 for row in record.steps[::2]} == {True, False}
    assert {row[2] > 0 for row in record.steps[1::2]} == {True, False}


# --- measuring ---------------------------------------------------------------------------------

FAST = Machine(name="m", bw_runs=(1e9,), flops_runs=(1e10,))


@pytest.mark.timeout(120)
def test_measuring_drives_a_server_at_all_loads_and_tells_no_result(monkeypatch):
    monkeypatch.setattr(model, "_OUTPUTS", (3, 5))
    said = []
    record = measure_record(said.append, shape=TINY, machine=FAST)
    assert record.clock == "wall" and record.machine == FAST and record.cores >= 1
    assert [(run.kind, run.level) for run in record.runs] == [
        (run.kind, run.level) for run in REFERENCE_RECORD.runs
    ]
    assert all(one.ok for run in record.runs for one in run.answers)
    assert {row[2] > 0 for row in record.steps} == {True, False}
    assert said[0].startswith("a copy and a matrix product") and len(said) == 2 + 7
    numbers = [float(word) for text in said for word in text.split() if word[0].isdigit()]
    assert numbers == [*BATCHES, *SHARES], "loads, and nothing that was measured"


@pytest.mark.timeout(120)
def test_a_server_that_fails_is_told(monkeypatch):
    def fail(*asked, **more):
        raise RuntimeError("no")

    monkeypatch.setattr(model, "_all_runs", fail)
    with pytest.raises(RuntimeError, match="no"):
        measure_record(lambda text: None, shape=TINY, machine=FAST)


def test_without_a_port_the_clock_is_virtual_and_it_says_so(monkeypatch):
    def refuse(*asked):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("servemath_helpers.tinyllm.http.Server", refuse)
    monkeypatch.setattr(model, "measure_machine", lambda: FAST)
    said = []
    record = measure_record(said.append, shape=TINY)
    assert record.clock == "virtual" and record.machine == FAST
    assert said[-1] == "no port can be had (Operation not permitted): on a virtual clock instead"


# --- simulating --------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ALL, ids=name)
@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, []),
        ({"share": 1.3}, ["unstable"]),
        ({"kv_tokens": 128}, ["kv_full", "unstable"]),
        ({"loop": "closed", "kv_tokens": 256}, ["kv_full"]),
        ({"client_ms": 150.0}, ["late"]),
        ({"loop": "closed", "client_ms": 150.0}, []),
        ({"loop": "closed", "noise": 0.15}, []),
        ({"noise": 0.5}, ["noisy"]),
        ({"loop": "closed", "users": 16}, []),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_load_test(record, settings, wrong):
    run = played(record, **settings)
    found = {kind for kind in ("unstable", "kv_full", "late", "noisy") if getattr(run, kind)}
    assert found == {*wrong}


@pytest.mark.parametrize("record", ALL, ids=name)
def test_twice_the_test_doubles_the_wait_above_capacity_and_nothing_below(record):
    short, long = (
        np.mean(played(record, share=1.2, n=n).summary.times("ttft")) for n in (2000, 4000)
    )
    assert 1.6 < long / short < 2.4
    assert model.fluid_wait_s(1.2, 120) == pytest.approx(12)
    assert model.fluid_wait_s(0.8, 60) == 0


def test_a_client_that_works_for_each_request_sends_them_one_after_the_other():
    run = played(REFERENCE_RECORD, client_ms=400.0)
    sent = [one.sent_s for one in run.run.answers]
    assert min(np.diff(sent)) == pytest.approx(0.4)
    assert all(one.lag_s > -1e-9 for one in run.run.answers)
    assert run.run.answers[0].sent_s == pytest.approx(run.run.answers[0].scheduled_s)


def test_a_closed_loop_did_not_ask_in_its_stalls():
    *answers, last = played(REFERENCE_RECORD, loop="closed", users=1).run.answers
    stall = dataclasses.replace(last, token_s=(*last.token_s, last.sent_s + 100))
    run = model.Played(Run("closed", 1, (*answers, stall)), None, False, 0.0)
    raw, corrected = run.corrected_p99_s()
    assert raw < 2 and 90 < corrected < 100
    opened = played(REFERENCE_RECORD)
    assert opened.corrected_p99_s()[0] == opened.corrected_p99_s()[1]


def test_one_at_a_time_is_what_mva_gives():
    record = REFERENCE_RECORD
    alone = model.alone_s(record)
    assert model.mva_s(record, (1, 2, 8)) == pytest.approx([alone, 2 * alone, 8 * alone])


@pytest.mark.parametrize("record", ALL, ids=name)
def test_a_fleet_is_judged_by_its_replay(record):
    least = model.least_replicas(record)
    assert 1 < least < model.MOST_REPLICAS
    for replicas in range(1, least):
        assert not model.fleet(record, replicas).judged.feasible
    assert model.fleet(record, least).judged.feasible
    assert model.fleet(record, 1).growing and not model.fleet(record, model.MOST_REPLICAS).growing
    assert model.fleet(record, 1).ttft_p99_s > model.fleet(record, least).ttft_p99_s
    assert model.fleet(record, least).tpot_p99_s > 0


def test_a_promise_that_no_fleet_keeps_has_no_least(monkeypatch):
    monkeypatch.setattr(model, "MOST_REPLICAS", 2)
    model.fleet.cache_clear()
    assert model.least_replicas(REFERENCE_RECORD) is None
    model.fleet.cache_clear()


def test_loads_are_those_of_the_seed():
    first, again, other = (
        model.calibration_load("open", 0.5, 2.0, seed).arrival_s.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
    loop = model.calibration_load("closed", 4, 0, 0)
    assert isinstance(loop, ClosedLoop) and (loop.users, len(loop)) == (4, 10)
