"""A class graded by the workers of a Dask cluster: real processes, nothing shared but sockets."""

import contextlib
import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from distributed import Client

from autograder.course import commands
from autograder.course.commands import environment
from autograder.grading.engine import fingerprint
from autograder.grading.engine.dask import runner as dask_runner
from autograder.grading.engine.dask import worker as dask_worker
from autograder.grading.engine.dask.runner import DaskRunner
from autograder.grading.engine.jail import JailSpec
from autograder.grading.engine.service import EngineError
from autograder.grading.execute import ExecuteGraded

from ..shared import copy_of
from . import small_course
from .conftest import code_cell, notebook_of
from .test_killed import FIRST, SIZE, pristine, state_of, uninterrupted

__all__ = ["pristine", "uninterrupted"]  # fixtures

pytestmark = pytest.mark.timeout(900)

#: Seconds that a process may take to start, on a machine that does other things as well.
PATIENCE_S = 120


def until(what, found):
    """Wait until `found` returns something true, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


class Cluster:
    """A scheduler and workers, each a process of its own in an empty folder."""

    def __init__(self, folder):
        self.folder = folder
        self._started = []
        contact = folder / "scheduler.json"
        self.workers = {}
        self.scheduler = self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show", "--no-jupyter",
            "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(contact),
        )  # fmt: skip
        try:
            self.address = until("scheduler", lambda: self._address(contact))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _address(contact):
        with contextlib.suppress(OSError, ValueError):  # not there yet, or being written
            return json.loads(contact.read_text())["address"]

    def start(self, program, *arguments):
        folder = self.folder / f"{len(self._started)}-{program}"
        folder.mkdir()
        with (self.folder / f"{folder.name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
                cwd=folder,
                env={**environment(), "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def add_worker(self, name):
        self.workers[name] = self.start(
            "dask_worker", self.address, "--nthreads", "2", "--no-nanny", "--name", name,
            "--host", "127.0.0.1", "--no-dashboard",
        )  # fmt: skip

    def close(self):
        # The scheduler last: a worker that finds none waits for one before it ends.
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.add_worker("one")
        cluster.add_worker("two")
        with Client(cluster.address, set_as_default=False) as cluster.client:
            cluster.client.wait_for_workers(2, timeout=PATIENCE_S)
            yield cluster
    finally:
        engines = [
            process
            for worker in cluster.workers.values()
            if worker.poll() is None
            for process in psutil.Process(worker.pid).children(recursive=True)
        ]
        cluster.close()
        _, alive = psutil.wait_procs(engines, timeout=20)
    assert not alive, "the engine outlived its worker"


def autograde(course, address):
    return subprocess.Popen(
        [*commands.nbgrader(), "autograde", FIRST],
        cwd=course.root,
        env={**environment(), "SERVEMATH_DASK_SCHEDULER": address},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def held_by(client, name):
    """Return the jobs that a worker holds, as the scheduler knows it."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    held = client.processing()
    return [
        key for at, worker in workers.items() if worker["name"] == name for key in held.get(at, ())
    ]


def stop_while_it_holds_work(client, worker, name):
    """Halt a worker at a moment at which it has a job whose result nobody got."""

    def stopped():
        if not held_by(client, name):
            return []
        worker.send_signal(signal.SIGSTOP)
        held_by(client, name)  # what it had sent before is there by now
        held = held_by(client, name)
        if not held:
            worker.send_signal(signal.SIGCONT)
        return held

    return until(f"work for {name}", stopped)


def test_a_cluster_gives_the_gradebook_of_one_machine(cluster, pristine, uninterrupted, tmp_path):
    course = copy_of(pristine, tmp_path / "course")
    assert autograde(course, cluster.address).wait(300) == 0
    assert state_of(course) == uninterrupted[0]
    transcripts = (course.root / "transcripts" / FIRST).glob("*.json")
    assert len(list(transcripts)) == SIZE
    # They worked: each has an engine. And they found no course, nor left anything.
    for worker in cluster.workers.values():
        started = psutil.Process(worker.pid).children(recursive=True)
        assert any("autograder.grading.engine.zygote" in process.cmdline() for process in started)
    left = [path.name for path in cluster.folder.rglob("*") if path.suffix == ".ipynb"]
    assert left == []


def test_workers_of_another_version_are_refused_by_name(cluster, monkeypatch):
    monkeypatch.setattr(dask_worker, "fingerprint", lambda: "f00dcafe" * 8)
    monkeypatch.setattr(dask_worker, "versions", lambda: {**fingerprint.versions(), "numpy": "0.1"})
    with pytest.raises(EngineError) as refused:
        DaskRunner(cluster.address, JailSpec(readable=()), jailed=True)
    told = str(refused.value)
    assert "2 of 2 Dask workers" in told
    assert f"fingerprint {fingerprint.fingerprint()[:12]} there, f00dcafef00d here" in told
    assert f"numpy {fingerprint.versions()['numpy']} there, 0.1 here" in told


def test_a_job_at_which_the_engine_fails_says_why_and_the_next_one_runs(cluster, tmp_path):
    runner = DaskRunner(cluster.address, JailSpec(readable=()), jailed=True)
    with contextlib.closing(runner):
        assert runner.slots == 4
        cells = notebook_of(code_cell("def f(): return 1"), code_cell("f()", "f__visible__x"))
        job = ExecuteGraded().job(cells, {"folder": str(tmp_path)})
        with pytest.raises(EngineError, match=r"^TypeError"):
            runner.submit({**job, "limits": {**job["limits"], "cell_s": "?"}}).result()
        assert [cell["outputs"] for cell in runner.submit(job).result()["cells"].values()] == [
            [], [{"output_type": "execute_result", "metadata": {}, "execution_count": 2,
                  "data": {"text/plain": "1"}}],
        ]  # fmt: skip


def test_a_lost_workers_submissions_are_graded_by_another(
    cluster, pristine, uninterrupted, tmp_path
):
    course = copy_of(pristine, tmp_path / "course")
    command = autograde(course, cluster.address)
    try:
        lost = cluster.workers["one"]
        held = stop_while_it_holds_work(cluster.client, lost, "one")
        engine = psutil.Process(lost.pid).children(recursive=True)
        lost.kill()
        assert held and lost.wait(30) == -signal.SIGKILL
        assert command.wait(300) == 0
    finally:
        command.kill()
        command.wait(30)
    assert state_of(course) == uninterrupted[0]
    _, alive = psutil.wait_procs(engine, timeout=20)
    assert not alive, "the engine outlived its worker"
    assert held_by(cluster.client, "one") == []


def test_a_lost_scheduler_is_said_and_the_command_need_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_runner, "CONNECT_S", 2)
    monkeypatch.setattr(dask_runner, "LOOK_S", 1)
    cluster = Cluster(tmp_path)
    with contextlib.closing(cluster):
        cluster.add_worker("only")
        runner = DaskRunner(cluster.address, JailSpec(readable=()), jailed=True)
        cells = notebook_of(
            code_cell("import time; time.sleep(1000)"), code_cell("1", "a__visible__x")
        )
        job = ExecuteGraded(timeout=60).job(cells, {"folder": str(tmp_path)})
        with contextlib.closing(runner):
            running = runner.submit(job)
            cluster.scheduler.kill()
            with pytest.raises(EngineError, match="connection to the Dask scheduler was lost"):
                running.result()
            assert runner.slots == 0
            with pytest.raises(EngineError, match="connection to the Dask scheduler was lost"):
                runner.submit(job).result()


def test_one_machine_needs_no_dask(tmp_path):
    course = small_course.make(tmp_path)
    small_course.fill_gradebook(course)
    small_course.hand_in(course, "alone", **small_course.RIGHT)
    code = (
        "import sys\n"
        "from nbgrader.apps import NbGraderApp\n"
        f"sys.argv[1:] = ['autograde', {small_course.NAME!r}]\n"
        "NbGraderApp.launch_instance()\n"
        "print(sorted({'dask', 'distributed'} & {name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=course.root, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    outcome = json.loads((course.root / "outcomes" / small_course.NAME / "alone.json").read_text())
    assert outcome["status"] == "graded"
