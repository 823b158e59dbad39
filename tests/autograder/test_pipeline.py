"""Which results are kept, and what they are known by. Runs stand for the engine's."""

import gzip
import threading
from concurrent.futures import Future

import pytest

from autograder.grading.engine import fingerprint, pipeline
from autograder.grading.engine.jail import JailSpec

JOB = {"cells": [{"id": "a", "source": "1"}], "limits": {"cell_s": 10}}


class Runner:
    """Answers each job with the next of `results`; None stands for one that was given up."""

    slots = 1

    def __init__(self, results):
        self.results = iter(results)

    def submit(self, job):
        future, result = Future(), next(self.results)
        if result is None:
            future.cancel()
        else:
            future.set_result(result)
        return future

    def close(self):
        self.results = iter(())


def result(number=1, incidents=(), unclear=()):
    ran = {"a": {"count": number}}
    own_work = {"relying": [], "unclear": list(unclear)}
    return {"cells": ran, "incidents": {what: ["a"] for what in incidents}, "own_work": own_work}


@pytest.fixture
def of(tmp_path, monkeypatch):
    """Return a pipeline of a course whose engine gives these results."""

    def of(*results, wall="namespaces", **limits):
        monkeypatch.setattr(pipeline, "LocalRunner", lambda *_, **__: Runner(results))
        spec = JailSpec(readable=(), **limits)
        return pipeline.Pipeline(spec, wall=wall, slots=1, store=tmp_path)

    return of


@pytest.mark.parametrize(
    ("first", "kept"),
    [
        (result(), True),
        (result(incidents=["stopped after 10 s"]), False),
        (result(unclear=["mm1"]), False),
    ],
    ids=["clear", "stopped", "unclear"],
)
def test_a_result_is_kept_unless_time_or_luck_had_a_part_in_it(of, first, kept):
    assert of(first).take(JOB) == first
    assert of(result(2)).take(JOB) == (first if kept else result(2))


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"no archive", lambda data: data[:-9], lambda data: gzip.compress(b"{")],
    ids=["of another kind", "cut short", "no JSON"],
)
def test_a_kept_result_that_was_damaged_is_had_anew(of, tmp_path, damage):
    of(result()).take(JOB)
    (kept,) = tmp_path.rglob("*.json.gz")
    kept.write_bytes(damage(kept.read_bytes()))
    assert of(result(2)).take(JOB) == of().take(JOB) == result(2)


def test_a_result_that_is_kept_is_not_run_for_again_when_it_is_handed_in(of):
    of(result()).take(JOB)
    again = of()  # it would have nothing to give
    again.hand_in(JOB)
    assert again.ahead == 0 and again.take(JOB) == result()


def test_what_was_run_ahead_is_taken_once_and_what_was_given_up_is_run_now(of):
    ahead = of(result(1), result(2), None, result(3))
    ahead.hand_in(JOB)
    ahead.hand_in(JOB)
    assert (ahead.ahead, ahead.take(JOB), ahead.ahead) == (1, result(1), 0)
    other = {**JOB, "limits": {"cell_s": 9}}
    assert ahead.take(other) == result(2)
    third = {**JOB, "limits": {"cell_s": 8}}
    ahead.hand_in(third)
    assert ahead.take(third) == result(3)


@pytest.mark.parametrize("name", ["Python", "machine", "ipython", "matplotlib", "numpy"])
def test_another_version_of_what_runs_cells_is_another_environment(monkeypatch, name):
    mine = fingerprint.fingerprint.__wrapped__()
    assert mine == fingerprint.fingerprint()
    other = {**fingerprint.versions(), name: "0.1"}
    assert other.keys() == fingerprint.versions().keys()
    monkeypatch.setattr(fingerprint, "versions", lambda: other)
    assert fingerprint.fingerprint.__wrapped__() != mine


@pytest.mark.parametrize("where", ["package", "engine"])
def test_another_line_of_the_package_or_the_engine_is_another_environment(
    monkeypatch, tmp_path, where
):
    for folder in ("package", "engine"):
        (tmp_path / folder / "inner").mkdir(parents=True)
        (tmp_path / folder / "inner" / "code.py").write_text("1")
    monkeypatch.setattr(fingerprint, "package_folder", lambda: tmp_path / "package")
    monkeypatch.setattr(fingerprint, "__file__", str(tmp_path / "engine" / "fingerprint.py"))
    told = [fingerprint.fingerprint.__wrapped__()]
    inner = tmp_path / where / "inner"
    (inner / "read-me.txt").write_text("makes no difference")
    assert fingerprint.fingerprint.__wrapped__() == told[0]
    (inner / "code.py").write_text("2")
    told.append(fingerprint.fingerprint.__wrapped__())
    (inner / "facts.json").write_text("{}")
    told.append(fingerprint.fingerprint.__wrapped__())
    (inner / "facts.json").rename(inner / "others.json")
    told.append(fingerprint.fingerprint.__wrapped__())
    assert len({*told}) == 4


def test_a_result_is_known_by_all_it_depends_on(of, monkeypatch):
    known = {of().key(JOB), of().key({**JOB, "limits": {"cell_s": 9}})}
    known |= {of(wall="Landlock").key(JOB), of(processes=9).key(JOB)}
    monkeypatch.setattr(pipeline, "fingerprint", lambda: "another environment")
    known.add(of().key(JOB))
    assert len(known) == 5
    assert of().key(dict(reversed(JOB.items()))) in known  # whatever the order


def test_what_waits_is_given_up_in_the_end(of):
    waiting = Future()
    with of() as ahead:
        assert ahead.slots == 1
        ahead._waiting["a job"] = waiting
    assert waiting.cancelled() and ahead.ahead == 0


class Waiting:
    """An engine whose job goes on until it is closed."""

    def __init__(self, *_, **__):
        self.began, self.closed = threading.Event(), threading.Event()

    def start(self):
        self.closed.clear()

    def run(self, _job):
        self.began.set()
        assert self.closed.wait(20)

    def close(self):
        self.closed.set()


def test_what_has_no_slot_when_the_engine_is_closed_never_runs(monkeypatch):
    monkeypatch.setattr(pipeline, "Service", Waiting)
    monkeypatch.setattr(pipeline.trials, "grade", lambda job, run: run(job))
    runner = pipeline.LocalRunner(JailSpec(readable=()), wall="namespaces", slots=1)
    running, waiting = runner.submit(JOB), runner.submit(JOB)
    assert runner._service.began.wait(20)
    runner.close()
    assert running.done() and not running.cancelled() and waiting.cancelled()
