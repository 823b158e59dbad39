"""The runner's and the worker's own parts, without a cluster."""

import contextlib
import json
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed.comm.core import CommClosedError

from autograder.grading.engine.dask import runner as dask_runner
from autograder.grading.engine.dask import worker as dask_worker
from autograder.grading.engine.dask.runner import DaskRunner
from autograder.grading.engine.jail import JailSpec
from autograder.grading.engine.service import EngineError
from autograder.grading.execute import ExecuteGraded

from .conftest import code_cell, notebook_of


def test_a_scheduler_that_is_not_there_ends_the_run_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_runner, "CONNECT_S", 1)
    with pytest.raises(EngineError, match=r"^no Dask scheduler at tcp://127"):
        DaskRunner("tcp://127.0.0.1:9", JailSpec(readable=()), jailed=True)


class Failing:
    """Stands for a job's future, seen from a client whose scheduler may be gone."""

    def __init__(self, status, error):
        self.status, self._error = status, error

    def result(self, timeout):
        raise self._error

    def done(self):
        return self.status != "pending"


LOST = "the connection to the Dask scheduler was lost"


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        ("cancelled", CancelledError("scheduler-connection-lost"), LOST),
        ("pending", CommClosedError("ConnectionPool closing."), LOST),
        ("finished", OSError("Timed out trying to connect to tcp://127.0.0.1:9"), LOST),
        ("finished", TimeoutError(), LOST),
        ("pending", RuntimeError("IOLoop is closed"), LOST),
        ("error", TimeoutError("of the job's own"), "the cluster could not run it: of the job's"),
        ("error", KeyError("x"), "the cluster could not run it: 'x'"),
        ("error", EngineError("the engine's word"), "the engine's word"),
    ],
)
def test_a_lost_scheduler_is_one_thing_and_a_job_that_cannot_run_another(status, error, told):
    with pytest.raises(EngineError, match=f"^{told}"):
        dask_runner.RemoteResult(None, Failing(status, error)).result()


def test_a_cluster_may_be_without_workers_for_a_while_but_not_for_long(monkeypatch):
    looks = [{}] * 23 + [{"one": 2}] + [{}] * 24
    client = SimpleNamespace(nthreads=lambda: looks.pop(0))
    running = dask_runner.RemoteResult(client, Failing("pending", TimeoutError()))
    with pytest.raises(EngineError, match=r"^the cluster has had no workers for 120 s"):
        running.result()
    assert looks == []


class Cluster:
    """Stands for a client: what its workers answer, None if none ever comes."""

    def __init__(self, answers):
        self.answers = answers
        self.closed = False

    def wait_for_workers(self, number, timeout):
        assert (number, timeout) == (1, 120)
        if self.answers is None:
            raise TimeoutError

    def run(self, function, want, on_error):
        assert function is dask_worker.why_unfit and json.loads(want)["jailed"]
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def nthreads(self):
        return dict.fromkeys(self.answers, 2)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (None, "the Dask scheduler at tcp://x:1 has had no workers for 120 s"),
        ({"a": None, "b": "odd", "c": None}, "1 of 3 Dask workers cannot be used, such as b: odd"),
        (CommClosedError("gone"), LOST),
        ({"a": None, "b": None}, None),
    ],
)
def test_a_cluster_that_cannot_grade_is_let_go(answers, told, monkeypatch):
    cluster = Cluster(answers)
    monkeypatch.setattr(dask_runner, "Client", lambda *_, **__: cluster)
    refusing = pytest.raises(EngineError, match=f"^{told}") if told else contextlib.nullcontext()
    with refusing:
        runner = DaskRunner("tcp://x:1", JailSpec(readable=()), jailed=True)
        assert runner.slots == 4
        cluster.answers = None  # the connection is lost
        assert runner.slots == 0
    assert cluster.closed is bool(told)


# -- a worker ----------------------------------------------------------------------


@pytest.fixture
def no_jail(monkeypatch):
    monkeypatch.setattr(dask_worker, "wall_here", lambda: (None, "no user namespaces here"))


def want(processes=64, **asked):
    return dask_worker.wanted(JailSpec(readable=(), processes=processes), **asked)


def test_a_worker_without_a_jail_refuses_unless_allowed(no_jail):
    strict = want(jailed=True, allow_unsandboxed=False)
    assert dask_worker.why_unfit(strict) == "no user namespaces here"
    with pytest.raises(dask_worker.WorkerUnfit, match="no user namespaces here"):
        dask_worker.run_job(b"{}", strict)
    assert dask_worker.why_unfit(want(jailed=True, allow_unsandboxed=True)) is None
    assert dask_worker.why_unfit(want(jailed=False, allow_unsandboxed=True)) is None


def test_a_worker_uses_the_commands_limits_and_keeps_one_engine(no_jail, tmp_path):
    cells = notebook_of(
        code_cell("import os; print(os.getppid())"), code_cell("1", "a__visible__x")
    )
    job = ExecuteGraded().job(cells, {"folder": str(tmp_path)})
    services = dask_worker.Services()
    asked = want(jailed=True, allow_unsandboxed=True)
    other = want(jailed=True, allow_unsandboxed=True, processes=7)
    with contextlib.closing(services):
        with services.use(asked) as first, services.use(asked) as again:
            assert first is again
            assert first.run(job)["cells"]
            with services.use(other) as second:
                assert second is not first
            assert first.run(job)["cells"]  # in use: it stays
        with services.use(want(jailed=False, allow_unsandboxed=True)) as third:
            assert third is first  # neither has a jail
        with services.use(want(jailed=True, allow_unsandboxed=True, processes=9)):
            for idle in (first, second):  # made room
                with pytest.raises(EngineError, match="closed"):
                    idle.run(job)
        assert len(services._kept) == 1
    assert services._kept == {}


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({}, "(the course's own packages differ)"),
        (
            {"numpy": "0.1", "x": "9"},
            "(numpy {numpy} there, 0.1 here; x none there, 9 here)",
        ),
    ],
)
def test_what_a_worker_has_that_the_command_has_not_is_named(versions, told):
    ours = dask_worker.versions()
    asked = json.loads(want(jailed=False, allow_unsandboxed=False))
    other = {**asked, "fingerprint": "f00dcafe" * 8, "versions": {**ours, **versions}}
    said = dask_worker.why_unfit(json.dumps(other))
    assert f"fingerprint {asked['fingerprint'][:12]} there, f00dcafef00d here" in said
    assert told.format(**ours) in said


@pytest.mark.parametrize(
    ("program", "wall", "why"),
    [
        ("print('[\"Landlock\", null]')", "Landlock", None),
        ("print('[null, \"forbidden\"]')", None, "forbidden"),
        ("import sys; sys.exit('one\\ntwo')", None, "could not be tried: two"),
        ("", None, "could not be tried: no reason"),
    ],
)
def test_a_worker_tries_its_jail_in_another_process(program, wall, why, monkeypatch):
    monkeypatch.setattr(dask_worker, "_PROBE", program)
    found, reason = dask_worker.wall_here.__wrapped__()
    assert found == wall and (reason is None if why is None else reason.endswith(why))


@pytest.mark.parametrize(("home", "hidden"), [("/h/x", ["/usr/src", "/h/x"]), ("/", ["/usr/src"])])
def test_a_worker_hides_its_home_unless_that_is_everything(home, hidden, monkeypatch):
    monkeypatch.setattr(dask_worker.Path, "home", lambda: Path(home))
    spec = dask_worker._spec({"processes": 7})
    assert [*spec.hidden] == hidden and spec.processes == 7
