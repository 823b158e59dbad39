"""A watcher of a course, put together."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Loaded here once, for all batches.
import autograder.feedback.generate
import autograder.grading.exporter  # noqa: F401
from autograder.attempts.record import Attempt
from autograder.course import Course, turns
from autograder.files import Held
from autograder.watch import worker
from autograder.watch.arrivals import Source
from autograder.watch.grader import NbGraderCourse, NotNow
from autograder.watch.status import alone, log_of, opened_log
from autograder.watch.steps import Steps, Turn
from autograder.watch.watcher import BATCH_TIMEOUT_S, Watcher

#: Seconds to wait for a watcher, or a command, that is about to end.
PATIENCE_S = 5.0


def watch(
    course: Course,
    assignments: Sequence[str],
    *,
    uploads: Path | None = None,
    once: bool = False,
    poll_s: float = 1.0,
) -> bool:
    """Watch a course's exchange until a signal ends it; return whether nothing is left.

    Parameters
    ----------
    course : Course
        The course.
    assignments : sequence of str
        What is watched.
    uploads : Path, optional
        A folder of a platform's downloads, watched in the exchange's place; of several
        assignments, with a folder for each in it.
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
        uploads = None if uploads is None else uploads.absolute()
        nbgrader = NbGraderCourse(course)  # makes the course folder the current one
        sources: list[Source] = []
        if uploads is None:
            sources.append(nbgrader.exchange_folder(assignments))
        else:
            for one in assignments:
                folder = uploads / one if len(assignments) > 1 else uploads
                sources.append(nbgrader.uploads_folder(folder, one))

        def work(
            assignment: str,
            whose: Sequence[Turn],
            hear: Callable[[tuple[dict[str, Any], str]], None],
            meanwhile: Callable[[], None],
        ) -> None:
            worker.run(
                lambda say: _deal(course, assignment, whose, say),
                log_of(course).with_suffix(".nbgrader.log"),
                timeout_s=BATCH_TIMEOUT_S,
                hear=hear,
                meanwhile=meanwhile,
            )

        watcher = Watcher(course, assignments, sources, work, log, poll_s=poll_s)
        with _stopped_by_signals(watcher.stop):
            return watcher.run(once=once)


def _deal(
    course: Course, assignment: str, whose: Sequence[Turn], say: Callable[[Any], None]
) -> None:
    """Deal with a batch, in a process of its own."""

    def said(attempt: Attempt, what: str) -> None:
        say((asdict(attempt), what))

    try:
        with turns.alone(course, "a watcher", PATIENCE_S):
            Steps(course, NbGraderCourse(course), said).run(assignment, whose)
    except Held as error:
        raise NotNow(f"{error} is at work in this course") from error


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
