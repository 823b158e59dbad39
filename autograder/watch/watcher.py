"""The loop: look, take turns, have a batch worked on, say how it went."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from autograder.attempts.record import Attempt, Records
from autograder.course import Course
from autograder.watch.arrivals import Arrival, Source, moment_of
from autograder.watch.status import Status
from autograder.watch.steps import Turn
from autograder.watch.worker import WorkFailed

#: Learners whose attempts are dealt with together.
BATCH = 8

#: Seconds that a batch may take: the engine's own limits end each submission long before.
BATCH_TIMEOUT_S = 1800.0

#: Seconds after which what does not change any more has come, whether it says so or not.
SETTLE_S = 10.0

#: Seconds between two looks after a failure: the first, and the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

#: Seconds between two writings of the status where nothing happened.
STATUS_EVERY_S = 10.0

#: Called with an assignment, turns, how to hear what happened, and what to do meanwhile.
Work = Callable[
    [str, Sequence[Turn], Callable[[tuple[dict[str, Any], str]], None], Callable[[], None]], None
]


class Watcher:
    """Watches for submissions and has them dealt with.

    Parameters
    ----------
    course : Course
        The course.
    assignments : sequence of str
        What is watched.
    sources : sequence of Source
        Where submissions come from.
    work : callable
        Deals with a batch; raises `WorkFailed` if something is in the way.
    log : Logger
        For people.
    poll_s : float
        Seconds between two looks.
    now, monotonic : callable
        The time of day, in UTC, which may jump, and seconds, which do not.
    """

    def __init__(
        self,
        course: Course,
        assignments: Sequence[str],
        sources: Sequence[Source],
        work: Work,
        log: logging.Logger,
        *,
        poll_s: float = 2.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._course, self._assignments, self._sources = course, list(assignments), sources
        self._work, self._log, self._poll_s = work, log, poll_s
        self._now, self._monotonic = now, monotonic
        self._records = Records(course)
        self._stop = threading.Event()
        self._known: dict[tuple[str, str], set[str]] = {}
        self._open: set[tuple[str, str]] = set()
        self._coming: dict[tuple[str, str, str], Arrival] = {}
        self._still: dict[tuple[str, str, str], tuple[object, float]] = {}
        self._ready: set[tuple[str, str, str]] = set()
        self._pause_s, self._not_before = 0.0, 0.0
        self._saved = -STATUS_EVERY_S
        before = Status.load(course)
        self._looked = _time_of(before.looked) if before is not None else None
        self.status = Status(self._assignments, started=now().isoformat())
        if before is not None:
            self.status.errors = before.errors
        for assignment in self._assignments:
            for student in self._records.students(assignment):
                self._learn(assignment, student)

    def stop(self) -> None:
        """Have the loop end after the batch that is being worked on."""
        self._stop.set()

    def _learn(self, assignment: str, student: str) -> None:
        """Read what is known of a learner's attempts."""
        kept = self._records.of(assignment, student)
        self._known[assignment, student] = {one.arrival for one in kept}
        if any(one.is_open for one in kept):
            self._open.add((assignment, student))
        else:
            self._open.discard((assignment, student))

    def run(self, *, once: bool = False) -> bool:
        """Watch until `stop` is called, or once until nothing is left; return whether all is done.

        With `once` it gives up at the first failure.
        """
        self._log.info("watching %s", ", ".join(self._assignments))
        while not self._stop.is_set():
            self.look()
            batch = self._batch() if self._monotonic() >= self._not_before else None
            if batch is not None:
                done = self._deal(*batch)
                if once and not done:
                    break
                continue
            self._show()
            if once and not self._coming:
                break
            self._stop.wait(self._poll_s if not once else min(self._poll_s, 0.2))
        self._show(always=True)
        self._log.info("stopped; %d waiting", len(self._waiting()))
        return not self._waiting()

    def look(self) -> None:
        """See what has come."""
        seen, looked = self._now(), self._looked
        found: dict[tuple[str, str, str], tuple[Source, Arrival]] = {}
        for source in self._sources:
            try:
                arrivals = source.arrivals()
            except OSError as error:
                self._trouble(f"cannot look: {error}")
                return
            for one in arrivals:
                if one.name not in self._known.get((one.assignment, one.student), ()):
                    found[one.assignment, one.student, one.name] = source, one
        for key, (source, one) in found.items():
            if key not in self._coming:
                came, remark = moment_of(one.said, looked, seen)
                told = "; ".join(filter(None, [one.remark, remark]))
                self._coming[key] = replace(one, came=came, remark=told)
            if key not in self._ready and self._has_come(source, one, key):
                self._ready.add(key)
        for key in self._coming.keys() - found.keys():
            del self._coming[key]
            self._ready.discard(key)
            self._still.pop(key, None)
        self._looked = seen
        self.status.looked = seen.isoformat()

    def _has_come(self, source: Source, arrival: Arrival, key: tuple[str, str, str]) -> bool:
        """Tell whether nothing more comes: it says so, or has not changed for a while."""
        if source.is_whole(arrival):
            return True
        try:
            signature = source.signature(arrival)
        except OSError:
            return False
        before = self._still.get(key)
        if before is None or before[0] != signature:
            self._still[key] = signature, self._monotonic()
            return False
        return self._monotonic() - before[1] >= SETTLE_S

    def _batch(self) -> tuple[str, list[Turn]] | None:
        """Return whose turn it is: of one assignment, one attempt a learner, the oldest first."""
        first: dict[tuple[str, str], Arrival] = {}
        for key in sorted(self._ready, key=lambda key: _order(self._coming[key])):
            first.setdefault(key[:2], self._coming[key])
        waiting = sorted(first, key=lambda who: _order(first[who]))
        whose = [*sorted(self._open), *(who for who in waiting if who not in self._open)]
        if not whose:
            return None
        assignment = whose[0][0]
        turns = [
            Turn(student, None if (found, student) in self._open else first[found, student])
            for found, student in whose
            if found == assignment
        ]
        return assignment, turns[:BATCH]

    def _deal(self, assignment: str, turns: Sequence[Turn]) -> bool:
        """Have a batch dealt with; return whether nothing was in the way."""
        self._show(always=True)
        try:
            self._work(assignment, turns, self._hear, self._meanwhile)
        except WorkFailed as error:
            self._trouble(str(error))
            done = False
        else:
            self._pause_s = self._not_before = 0.0
            done = True
        for turn in turns:
            try:
                self._learn(assignment, turn.student)
            except (OSError, ValueError) as error:
                self._trouble(str(error))
                done = False
        self._show(always=True)
        return done

    def _meanwhile(self) -> None:
        self.look()
        self._show()

    def _trouble(self, said: str) -> None:
        """Note an error, and wait longer before the next try."""
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._not_before = self._monotonic() + self._pause_s
        if not self.status.errors or self.status.errors[-1]["said"] != said:
            self._log.error("ERROR %s; the next try in %g s", said, self._pause_s)
            self.status.errors.append({"time": self._now().isoformat(), "said": said})
        else:
            self.status.errors[-1]["time"] = self._now().isoformat()

    def _hear(self, event: tuple[dict[str, Any], str]) -> None:
        """Note what happened to an attempt."""
        kept, what = event
        attempt = Attempt(**kept)
        told = f"{attempt.student}  {attempt.assignment}  attempt {attempt.number}: "
        if what == "answered":
            seconds = (self._now() - attempt.time).total_seconds()
            self.status.answered += 1
            self.status.answers.append([self._now().isoformat(), round(max(seconds, 0.0), 2)])
            told += f"feedback after {seconds:.1f} s"
        elif what == "graded":
            told += f"{attempt.points:g} of {attempt.of:g} points"
        else:
            told += what
        self._log.info("%s", told)

    def _waiting(self) -> list[dict[str, str]]:
        """Return what came and is not answered."""
        coming = [
            {"student": one.student, "assignment": one.assignment, "came": _order(one)[0]}
            for one in self._coming.values()
        ]
        for assignment, student in sorted(self._open):
            for one in self._records.of(assignment, student):
                if one.is_open:
                    coming.append({"student": student, "assignment": assignment, "came": one.came})
        return sorted(coming, key=lambda one: one["came"])

    def _show(self, *, always: bool = False) -> None:
        """Write the status; a full disk stops nothing."""
        if not always and self._monotonic() - self._saved < STATUS_EVERY_S:
            return
        self._saved = self._monotonic()
        with contextlib.suppress(OSError):
            self.status.waiting = self._waiting()
            self.status.not_taken = {
                name: why
                for source in self._sources
                for name, why in getattr(source, "refused", {}).items()
            }
            self.status.save(self._course)


def _order(arrival: Arrival) -> tuple[str, str]:
    return (arrival.came.isoformat() if arrival.came else "", arrival.name)


def _time_of(iso: str) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
