"""A class of honest submissions, graded by `nbgrader autograde` in a fresh course folder."""

from __future__ import annotations

import compileall
import itertools
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from autograder.authoring.release import release, scratch_course
from autograder.course import HOME, Course
from autograder.course.commands import environment
from autograder.demo.honest_class import lay_out_honest
from autograder.grading.outcomes import GRADED, UNFINISHED, load_outcome

CHAPTER = "ch1_serving_tradeoffs"

#: The last line that nbgrader logs for a submission.
SUBMISSION_DONE = "Setting destination file permissions"

#: Seconds between two looks at the command's memory.
LOOK_S = 0.05

GRADES = """
    SELECT submitted_assignment.student_id, base_cell.name, grade.auto_score,
           grade.manual_score, grade.needs_manual_grade
    FROM grade
    JOIN base_cell ON base_cell.id = grade.cell_id
    JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id
    JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
"""


@dataclass(frozen=True)
class Run:
    """One `nbgrader autograde`: its times, memory and grades.

    `cpu_s` is of all its processes; `submissions_s` is from one submission to the next;
    `outcomes` say of each student why there is no grade, nothing where there is one.
    """

    wall_s: float
    cpu_s: float
    submissions_s: tuple[float, ...]
    peak_rss_mb: float
    grades: frozenset[tuple[object, ...]]
    outcomes: dict[str, str]


@contextmanager
def released_class(size: int) -> Iterator[Course]:
    """Yield a course with `size` submissions that nothing has graded yet.

    What Python compiles of ours at a command's first run is there, as what came with the
    environment is.
    """
    for package in ("autograder", "servemath_helpers"):
        compileall.compile_dir(HOME / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="servemath-bench-") as folder:
        course = scratch_course(Path(folder), [CHAPTER])
        release(course, CHAPTER)
        lay_out_honest(course, CHAPTER, size)
        # Stock nbgrader would run the theory notebook too, for no points: seconds a submission.
        for theory in course.submitted.glob(f"*/{CHAPTER}/theory.ipynb"):
            theory.unlink()
        yield course


def grade(
    released: Course,
    *arguments: str,
    config: str | None = None,
    within: tuple[str, ...] = (),
    code: int = 0,
) -> Run:
    """Grade a copy of the class, so that no run finds what an earlier one left.

    Parameters
    ----------
    released : Course
        What `released_class` made; it stays as it is.
    *arguments : str
        Further arguments of ``nbgrader autograde``.
    config : str, optional
        Text of ``nbgrader_config.py``, by default the course's own.
    within : tuple of str, optional
        A command that runs the command after it in surroundings of its own.
    code : int, optional
        What the command ends with: 1 where a submission cannot be graded.
    """
    with tempfile.TemporaryDirectory(prefix="servemath-bench-") as folder:
        root = Path(folder, "course")
        shutil.copytree(released.root, root, symlinks=True)
        if config is not None:
            (root / "nbgrader_config.py").write_text(config, encoding="utf-8")
        used = _cpu_seconds()
        wall, ends, peak = _timed_command(root, ["autograde", CHAPTER, *arguments], within, code)
        used = _cpu_seconds() - used
        steps = tuple(after - before for before, after in itertools.pairwise(ends))
        return Run(wall, used, steps, peak, _grades(root / "gradebook.db"), _outcomes(root))


def start_seconds() -> float:
    """Return the seconds in which nbgrader starts and does nothing."""
    return _timed_command(Path.cwd(), ["--version"])[0]


def _cpu_seconds() -> float:
    """Return the processor time of all processes that ended and were waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _timed_command(
    root: Path, arguments: list[str], within: tuple[str, ...] = (), code: int = 0
) -> tuple[float, list[float], float]:
    """Return wall seconds, when each submission was done, and the peak memory in MB."""
    start = time.perf_counter()
    command = subprocess.Popen(
        [*within, sys.executable, "-m", "nbgrader", *arguments],
        cwd=root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    ends: list[float] = []
    log: list[str] = []

    def read() -> None:
        assert command.stderr is not None
        for line in command.stderr:
            log.append(line)
            if SUBMISSION_DONE in line:
                ends.append(time.perf_counter() - start)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    peak = 0
    process = psutil.Process(command.pid)
    while True:
        try:
            peak = max(peak, process.memory_info().rss)
            command.wait(LOOK_S)
            break
        except subprocess.TimeoutExpired:
            continue
        except psutil.Error:
            command.wait()
            break
    wall = time.perf_counter() - start
    reader.join(timeout=10)
    if command.returncode != code:
        raise RuntimeError(f"nbgrader {arguments[0]} failed:\n{''.join(log)[-3000:]}")
    return wall, ends, peak / 1e6


def _outcomes(root: Path) -> dict[str, str]:
    course = Course(root)
    kept = {
        student: load_outcome(root, CHAPTER, student)
        for student in (folder.name for folder in course.submitted.iterdir())
    }
    return {
        student: ""
        if one is not None and one.status == GRADED
        else one.reason
        if one
        else UNFINISHED
        for student, one in kept.items()
    }


def _grades(database: Path) -> frozenset[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return frozenset(connection.execute(GRADES).fetchall())
    finally:
        connection.close()
