"""Watching how far a command of nbgrader is, by the files that it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autograder.course import Course
from autograder.grading.outcomes import UNFINISHED, load_outcome


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

    return Watched(course.outcome(assignment, student), is_final)


def news_of(watched: dict[str, Watched], on_done: Callable[[str], None]) -> Callable[[], bool]:
    """Return a look at what was written: calls `on_done` with each name once; True if any was."""
    waiting = dict(watched)

    def look() -> bool:
        done = [name for name, watch in waiting.items() if watch.is_done()]
        for name in done:
            del waiting[name]
            on_done(name)
        return bool(done)

    return look
