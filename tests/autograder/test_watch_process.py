"""The watcher as a process: killed, stopped, doubled, with a gradebook that is locked."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory

from autograder import files
from autograder.attempts.record import Records
from autograder.course import Course, turns
from autograder.course.commands import environment
from autograder.files import Held, held
from autograder.gradebook.reader import grades_of
from autograder.regrade import RegradeError, plan
from autograder.watch import run, worker

from . import small_course
from .exchange_folder import NAME, Exchange
from .small_course import RIGHT, WRONG

pytestmark = pytest.mark.timeout(300)

#: Seconds until something has happened, on a machine that does ten other things.
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return small_course.released(tmp_path_factory)


def begin(exchange, *command):
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=exchange.course.root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(exchange):
    return begin(exchange, "autograder", "watch", NAME, "--poll", "0.1")


def until(happened, watcher=None):
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := happened()):
        assert time.monotonic() < deadline, "it never happened"
        assert watcher is None or watcher.poll() is None, watcher.stdout.read()
        time.sleep(0.02)
    return found


def log_of(exchange):
    path = exchange.course.outcomes / "watch.log"
    return path.read_text() if path.is_file() else ""


def test_killed_locked_out_doubled_and_stopped(released, tmp_path):
    exchange = Exchange(released, tmp_path)
    first = exchange.submit("u1", **RIGHT)
    killed = start(exchange)
    until(lambda: "u1  ch9_small  attempt 1: taken" in log_of(exchange), killed)
    family = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()  # while it grades
    killed.wait()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not alive, "what it started outlived it"

    locked = sqlite3.connect(exchange.course.database, isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    watcher = start(exchange)
    try:
        until(lambda: "ERROR" in log_of(exchange), watcher)
        assert "database is locked" in log_of(exchange)
        locked.execute("ROLLBACK")
        page = until(lambda: exchange.fetch(first), watcher)
        assert "<strong>5</strong> of 5 points" in page
        assert len(Records(exchange.course).of(NAME, "u1")) == 1

        second = start(exchange)
        said, _ = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 3
        assert f"one is at work in this course: a watcher, process {watcher.pid} on" in said

        other = exchange.submit("u2", **WRONG)
        until(lambda: exchange.fetch(other), watcher)
        family = psutil.Process(watcher.pid).children(recursive=True)
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.communicate(timeout=PATIENCE_S)
    assert watcher.returncode == 0
    assert log_of(exchange).endswith("stopped; 0 waiting\n")
    assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]


def by_hand(exchange, *arguments):
    return begin(exchange, "nbgrader", *arguments, NAME)


def test_commands_typed_beside_a_watcher_take_turns_with_it(released, tmp_path):
    exchange = Exchange(released, tmp_path, "c.Attempts.pause_minutes = 0")
    names = {f"u{number}": exchange.submit(f"u{number}", **RIGHT) for number in range(3)}
    watcher = start(exchange)
    try:
        until(lambda: exchange.fetch(names["u0"]), watcher)
        typed = [by_hand(exchange, "autograde", "--force"), by_hand(exchange, "generate_feedback")]
        for number in range(3, 9):
            names[f"u{number}"] = exchange.submit(f"u{number}", **(RIGHT if number % 2 else WRONG))
        names["again"] = exchange.submit("u0", **WRONG)
        for command in typed:
            said, _ = command.communicate(timeout=PATIENCE_S)
            assert command.returncode == 0, said
        until(lambda: all(map(exchange.fetch, names.values())), watcher)
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.communicate(timeout=PATIENCE_S)
    records = Records(exchange.course)
    made = {who: [one.points for one in records.of(NAME, who)] for who in names if who != "again"}
    assert made.pop("u0") == [5, 2]
    assert made == {f"u{number}": [5 if number < 3 or number % 2 else 2] for number in range(1, 9)}
    with small_course.gradebook_of(exchange.course) as gradebook:
        points = {who: one.total for who, one in grades_of(gradebook, NAME).items()}
    assert points == {"u0": 2} | {who: of[-1] for who, of in made.items()}


def test_a_command_waits_for_a_batch_and_a_batch_for_a_command(released, tmp_path, monkeypatch):
    exchange = Exchange(released, tmp_path)
    small_course.hand_in(exchange.course, "u1", **RIGHT)
    with turns.alone(exchange.course, "a watcher"):
        typed = by_hand(exchange, "autograde")
        said = ""
        while "Waiting" not in said:
            said = typed.stdout.readline()
            assert said, "it did not wait"
        assert f"Waiting: a watcher, process {os.getpid()} on" in said
        assert not exchange.course.outcome(NAME, "u1").exists()
    typed.communicate(timeout=PATIENCE_S)
    assert typed.returncode == 0

    exchange.submit("u2", **RIGHT)
    monkeypatch.setattr(run, "PATIENCE_S", 0.1)
    monkeypatch.chdir(exchange.course.root)
    with held(exchange.course.state / "lock", "nbgrader autograde", shared=True):
        assert not run.watch(exchange.course, [NAME], once=True)
        with pytest.raises(
            RegradeError, match=r"nbgrader autograde, process .* is at work in this"
        ):
            plan(exchange.course, NAME)
    assert "ERROR nbgrader autograde, process" in log_of(exchange)
    exchange.watch(monkeypatch)
    assert len(Records(exchange.course).of(NAME, "u2")) == 1


def test_a_command_that_waits_too_long_ends_with_one_sentence(tmp_path, monkeypatch, caplog):
    class Converter:
        coursedir = CourseDirectory(root=str(tmp_path))

        def convert_notebooks(self):
            with pytest.raises(Held), turns.alone(course, "a regrade"):
                pass

    course, converter = Course(tmp_path), Converter()
    monkeypatch.setattr(turns, "PATIENCE_S", 0.0)
    with turns.alone(course, "a regrade"), pytest.raises(NbGraderException, match="try again when"):
        # What this process does alone its own steps may do; another process is another matter.
        monkeypatch.setattr(files, "_ours", set())
        turns.beside_others(converter, "nbgrader autograde", logging.getLogger("none"))
    assert "a regrade, process" in caplog.text and "nothing was done" in caplog.text
    monkeypatch.setattr(files, "_ours", set())
    turns.beside_others(converter, "nbgrader autograde", logging.getLogger("none"))
    converter.convert_notebooks()  # while which nobody else may
    with turns.alone(course, "a regrade"):  # and after which others may
        pass


def told(work, tmp_path, timeout_s=60.0):
    heard = []
    worker.run(work, tmp_path / "log", timeout_s=timeout_s, hear=heard.append)
    return heard


def test_a_batch_s_process_says_what_happened_and_how_it_failed(tmp_path):
    def fails(say):
        say("half")
        raise ValueError("no more")

    assert told(lambda say: [say(1), say(2)], tmp_path) == [1, 2]
    with pytest.raises(worker.WorkFailed, match="no more"):
        told(fails, tmp_path)
    assert "ValueError: no more" in (tmp_path / "log").read_text()
    with pytest.raises(worker.WorkFailed, match="signal SIGKILL"):
        told(lambda _say: os.kill(os.getpid(), signal.SIGKILL), tmp_path)
    with pytest.raises(worker.WorkFailed, match="did not end within"):
        told(lambda _say: time.sleep(60), tmp_path, timeout_s=0.5)


def test_a_person_s_points_comments_and_extra_credit_survive_every_attempt(
    released, tmp_path, monkeypatch
):
    from nbgrader.api import Gradebook

    def grade_of(gradebook, name):
        return gradebook.find_grade(name, "exercises", NAME, "u1")

    exchange = Exchange(released, tmp_path, "c.Attempts.pause_minutes = 0")
    exchange.submit("u1", **RIGHT)
    exchange.watch(monkeypatch)
    with Gradebook(exchange.course.database_url) as gradebook:
        grade = grade_of(gradebook, "double__hidden__large")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 1.5, 0.5, False
        grade_of(gradebook, "half__visible__small").manual_score = 0.5
        grade_of(gradebook, "half__visible__small").needs_manual_grade = False
        comment = gradebook.find_comment("double__solution", "exercises", NAME, "u1")
        comment.manual_comment = "Say why."
        gradebook.db.commit()

    name = exchange.submit("u1", double=RIGHT["double"], half=WRONG["half"])
    exchange.watch(monkeypatch)
    with Gradebook(exchange.course.database_url) as gradebook:
        kept = grade_of(gradebook, "double__hidden__large")
        assert (kept.manual_score, kept.extra_credit, kept.score) == (1.5, 0.5, 2.0)
        assert not kept.needs_manual_grade  # the answer is the one that was graded
        other = grade_of(gradebook, "half__visible__small")
        assert (other.manual_score, other.needs_manual_grade) == (0.5, True)
    assert "Say why." in exchange.fetch(name)
