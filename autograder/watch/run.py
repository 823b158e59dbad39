"""A watcher of a course, put together."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

# Loaded here once, for all batches.
import autograder.feedback.generate
import autograder.grading.exporter  # noqa: F401
from autograder.attempts.record import Attempt
from autograder.course import Course
from autograder.regrade.workspace import RegradeError, locked
from autograder.watch import worker
from autograder.watch.grader import NbGraderCourse, NotNow
from autograder.watch.status import alone, log_of, opened_log
from autograder.watch.steps import Steps, Turn
from autograder.watch.watcher import BATCH_TIMEOUT_S, Watcher

#: Seconds to wait for a watcher that is about to end.
PATIENCE_S = 5.0


def watch(
    course: Course, assignments: Sequence[str], *, once: bool = False, poll_s: float = 1.0
) -> bool:
    """Watch a course's exchange until a signal ends it; return whether nothing is left.

    Parameters
    ----------
    course : Course
        The course.
    assignments : sequence of str
        What is watched.
    once : bool
        Deal with what is there, and end.
    poll_s : float
        Seconds between two looks.

    Raises
    ------
    OneIsAtWork
        If another watcher of the course is at work.
    NotNow
        If submissions do not come through a folder.
    """
    with alone(course, PATIENCE_S), opened_log(course) as log:
        source = NbGraderCourse(course).exchange_folder(assignments)

        def work(
            assignment: str,
            turns: Sequence[Turn],
            hear: Callable[[tuple[dict[str, Any], str]], None],
            meanwhile: Callable[[], None],
        ) -> None:
            worker.run(
                lambda say: _deal(course, assignment, turns, say),
                log_of(course).with_suffix(".nbgrader.log"),
                timeout_s=BATCH_TIMEOUT_S,
                hear=hear,
                meanwhile=meanwhile,
            )

        watcher = Watcher(course, assignments, [source], work, log, poll_s=poll_s)
        with _stopped_by_signals(watcher.stop):
            return watcher.run(once=once)


def _deal(
    course: Course, assignment: str, turns: Sequence[Turn], say: Callable[[Any], None]
) -> None:
    """Deal with a batch, in a process of its own."""

    def said(attempt: Attempt, what: str) -> None:
        say((asdict(attempt), what))

    try:
        with locked(course):  # a regrade puts another gradebook into place
            Steps(course, NbGraderCourse(course), said).run(assignment, turns)
    except RegradeError as error:
        raise NotNow(str(error)) from error


@contextlib.contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda *_: stop()) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
