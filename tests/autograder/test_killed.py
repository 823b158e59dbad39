"""Killed at any moment, a run that is started again ends in the same gradebook."""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from autograder.course import Course, commands
from autograder.course.commands import environment
from autograder.demo.honest_class import lay_out_honest

from ..shared import copy_of, made_once, released

pytestmark = pytest.mark.timeout(900)

FIRST = Course.at().chapters()[0]
SIZE = 6

#: What people and reports read of a gradebook; ids of rows are nbgrader's own affair.
GRADES = """
SELECT submitted_assignment.student_id, notebook.name, base_cell.name, grade.auto_score,
       grade.manual_score, grade.extra_credit, grade.needs_manual_grade
FROM grade
JOIN base_cell ON grade.cell_id = base_cell.id
JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
JOIN notebook ON submitted_notebook.notebook_id = notebook.id
JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
ORDER BY 1, 2, 3
"""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A released course with a class that nobody graded."""

    def make(folder):
        lay_out_honest(copy_of(released(tmp_path_factory, FIRST), folder), FIRST, SIZE, seed=7)

    return Course(made_once(tmp_path_factory, "pristine", make))


def start(course, nbgrader=(sys.executable, "-m", "nbgrader")):
    return subprocess.Popen(
        [*nbgrader, "autograde", FIRST],
        cwd=course.root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def state_of(course):
    """Return all that a run leaves and that must not depend on how often it was killed."""
    with sqlite3.connect(course.database) as database:
        grades = database.execute(GRADES).fetchall()
    return grades, *files_of(course)


def files_of(course):
    """Return outcomes, and which cells of graded notebooks show an error."""
    outcomes = {
        path.name: path.read_text() for path in (course.root / "outcomes" / FIRST).glob("*.json")
    }
    verdicts = {}
    for path in sorted(course.autograded.glob(f"*/{FIRST}/*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        verdicts[path.relative_to(course.autograded).as_posix()] = [
            any(output.output_type == "error" for output in cell.outputs)
            for cell in notebook.cells
            if cell.cell_type == "code"
        ]
    return outcomes, verdicts


@pytest.fixture(scope="module")
def uninterrupted(pristine, tmp_path_factory):
    """What a run leaves that nobody kills, and the seconds it takes."""

    def make(folder):
        course = copy_of(pristine, folder / "course")
        started = time.monotonic()
        assert start(course).wait(300) == 0
        found = [state_of(course), time.monotonic() - started]
        (folder / "found.json").write_text(json.dumps(found))

    made = made_once(tmp_path_factory, "uninterrupted", make)
    (rows, *files), seconds = json.loads((made / "found.json").read_text())
    state = ([tuple(row) for row in rows], *files)
    assert len({row[0] for row in state[0]}) == SIZE
    return state, seconds, Course(made / "course")


def engine_of(command):
    """Return the zygote and everything else that a command started."""
    try:
        return psutil.Process(command.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def interrupt(course, moment, victim):
    """Start grading, wait, kill -9 the command or one process of its engine."""
    command = start(course)
    time.sleep(moment)
    workers = engine_of(command)
    if victim == "command" or not workers:
        command.kill()
    else:
        random.Random(moment).choice(workers).send_signal(signal.SIGKILL)
    command.wait(300)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "the engine outlived its command"


def check(pristine, uninterrupted, folder, seed):
    whole, seconds, _ = uninterrupted
    draw = random.Random(seed)
    course = copy_of(pristine, folder / "course")
    for victim in ("command", draw.choice(["command", "worker"])):
        interrupt(course, draw.uniform(0.1, 1.0) * seconds, victim)
    done = start(course, commands.nbgrader()).wait(300)
    assert (done, state_of(course)) == (0, whole)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_is_completed_by_the_next(pristine, uninterrupted, tmp_path, seed):
    check(pristine, uninterrupted, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_killed_runs_are_completed_by_the_next(pristine, uninterrupted, tmp_path, seed):
    check(pristine, uninterrupted, tmp_path, seed)


def test_a_second_run_does_nothing_and_force_reuses_what_did_not_change(uninterrupted):
    whole, _, course = uninterrupted  # where it was: a result is known by its course, too
    kept = sorted((course.root / ".servemath" / "results").rglob("*.json.gz"))
    assert len(kept) == SIZE
    times = [path.stat().st_mtime_ns for path in kept]
    shutil.rmtree(course.autograded)
    assert start(course, commands.nbgrader()).wait(300) == 0
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert state_of(course) == whole
