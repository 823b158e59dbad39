"""What lab 5 asks: right by the model for any machine, wrong by a named mistake, far apart."""

from functools import partial

import pytest

from servemath_helpers.labs.accelerator import questions
from servemath_helpers.labs.accelerator.model import Record, recorded, virtual_record
from servemath_helpers.labs.accelerator.questions import APART, apart, parts_of
from servemath_helpers.tinyllm.machine import REFERENCE, Machine


def machine(bw, flops):
    return Machine(name="m", bw_runs=(bw,), flops_runs=(flops,))


#: Slow and fast, starved and rich; at the last two, mistakes come near the truth.
MACHINES = [(10e9, 100e9), (3e9, 5e12), (400e9, 50e9), (20e9, 20e9), (40e9, 20e9)]


def measured(factors, base=1.0):
    """The reference machine, its steps longer by a factor for each batch."""
    log = virtual_record()
    steps = [(d, c, p, s * factors.get(d, base)) for d, c, p, s in log.steps]
    return Record(REFERENCE, 4, "wall", steps, log.runs, 0)


#: How each is made: half a second of model server, when a test asks.
RECORDS = {
    "recorded": recorded,
    **{f"{m[0]:g} {m[1]:g}": partial(virtual_record, machine(*m)) for m in MACHINES},
    "worst at 1": partial(measured, {1: 3.0, 2: 2.0, 4: 2.05, 8: 1.0}),
    "slow base": partial(measured, {}, base=2.0),
    "fast base": partial(measured, {1: 0.5, 2: 0.6, 4: 0.7, 8: 0.8}, base=0.5),
}


def asked(record):
    return {one.key: one for part in parts_of(record) for one in part.questions}


@pytest.mark.parametrize("name", RECORDS)
def test_options_are_apart_and_one_is_the_models(name):
    record = RECORDS[name]()
    found = asked(record)
    assert len(found) == 8
    for one in found.values():
        values = [option.value for option in one.options]
        assert len(values) >= 2 and one.right is not None
        if all(isinstance(value, float) for value in values):
            for i, a in enumerate(values):
                for b in values[:i]:
                    assert abs(a - b) > APART * max(a, b), one.key
    assert found["step"].right.value == record.decode_s(1)
    assert found["gain"].right.value == record.batch_gain
    assert found["critical"].right.value == 4 * record.machine.flops / (2 * record.machine.bw_Bps)
    assert found["double"].right.value == 2
    assert found["loop"].answer == "closed"


@pytest.mark.parametrize(
    ("name", "batch", "base"),
    [
        ("1e+10 1e+11", "same", "equal"),
        ("worst at 1", "b1", None),
        ("slow base", "same", "over"),
        ("fast base", "b8", "under"),
    ],
)
def test_the_log_decides(name, batch, base):
    found = asked(RECORDS[name]())
    assert found["batch"].answer == batch
    if name == "worst at 1":  # two of them are as good as one another
        assert {one.key for one in found["batch"].options} == {"same", "b1", "b2", "b8"}
    if base is not None:
        assert found["base"].answer == base


def test_equal_tails_are_equal(monkeypatch):
    same = questions.played(virtual_record(), loop="closed", users=4)
    monkeypatch.setattr(questions, "played", lambda record, **settings: same)
    assert questions._loop_question(virtual_record()).answer == "same"


def test_a_promise_that_cannot_be_kept_asks_for_one_more_than_there_are(monkeypatch):
    monkeypatch.setattr(questions, "least_replicas", lambda record, fitted=True: None)
    assert questions._replicas_question(virtual_record()).right.value == 13


def test_what_is_near_another_is_left_out_but_never_the_truth():
    claims = {"a": 1.0, "b": 1.04, "c": 1.06, "d": 2.0, "e": 2.05}
    assert apart(claims, "b") == {"b": 1.04, "d": 2.0}
    assert apart(claims, "c") == {"a": 1.0, "c": 1.06, "d": 2.0}
    assert apart(claims, "e") == {"a": 1.0, "e": 2.05, "c": 1.06}
