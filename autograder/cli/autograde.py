"""Running ``nbgrader autograde`` and ``generate_feedback``, and watching how far they are."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from autograder.course import Course
from autograder.course.commands import TIMEOUT_S, environment
from autograder.grading.outcomes import UNFINISHED, load_outcome, outcome_path

#: Seconds between two looks at how far a command is.
LOOK_S = 0.2

#: Seconds that a command gets to end by itself after it was asked to.
GRACE_S = 5.0

#: How many lines of a log tell why a command failed.
TAIL = 5


class Watched:
    """A file that a command writes for each submission when it is done with it."""

    def __init__(self, path: Path, is_final: Callable[[], bool] = lambda: True) -> None:
        self._path = path
        self._is_final = is_final
        self._before = self._stamp()

    def _stamp(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def is_done(self) -> bool:
        """Tell whether the file was written since this watch began, and for good."""
        return self._stamp() not in (0, self._before) and self._is_final()


def outcome_watch(course: Course, assignment: str, student: str) -> Watched:
    """Watch for the outcome of one submission; the one that says "not finished" is none."""

    def is_final() -> bool:
        outcome = load_outcome(course.root, assignment, student)
        return outcome is not None and outcome.reason != UNFINISHED

    return Watched(outcome_path(course.root, assignment, student), is_final)


def log_file(course: Course, assignment: str) -> Path:
    """Return where the log of the last command about an assignment is kept."""
    return course.outcomes / f"{assignment}.log"


def tail(log: Path) -> str:
    """Return the last lines of a log that say something."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-TAIL:])


def run_watched(
    course: Course,
    arguments: list[str],
    log: Path,
    watched: dict[str, Watched],
    on_done: Callable[[str], None],
) -> int:
    """Run ``nbgrader <arguments>`` in the course folder and return its exit code.

    Parameters
    ----------
    course : Course
        The course folder.
    arguments : list of str
        What follows ``nbgrader``.
    log : Path
        Where its output goes.
    watched : dict of str to Watched
        What it writes, by the name to report.
    on_done : callable
        Called with the name of each that was written, once.

    Raises
    ------
    TimeoutError
        If nothing was written for an hour; the command is ended.
    """
    waiting = dict(watched)
    log.parent.mkdir(parents=True, exist_ok=True)
    last_news = time.monotonic()
    with log.open("w", encoding="utf-8") as stream, _started(course, arguments, stream) as process:
        while True:
            ended = _ended(process)  # asked first: what it wrote before is then all it wrote
            done = [name for name, watch in waiting.items() if watch.is_done()]
            for name in done:
                del waiting[name]
                on_done(name)
                last_news = time.monotonic()
            if ended:
                return int(process.returncode)
            if time.monotonic() - last_news > TIMEOUT_S:
                raise TimeoutError(f"nbgrader {arguments[0]} did nothing for {TIMEOUT_S:g} s")


def _ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LOOK_S)
    return process.returncode is not None


@contextlib.contextmanager
def _started(
    course: Course, arguments: list[str], stream: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Start nbgrader; whatever happens, it has ended when the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course.root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=stream,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            process.kill()
            process.wait()
