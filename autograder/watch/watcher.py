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
from autograder.grading.engine.codec import printable
from autograder.watch.arrivals import SETTLE_S, Arrival, Source, moment_of
from autograder.watch.status import Status
from autograder.watch.steps import Turn
from autograder.watch.worker import WorkFailed

#: Learners whose attempts are dealt with together.
BATCH = 8

#: Seconds that a batch may take: the engine's own limits end each submission long before.
BATCH_TIMEOUT_S = 1800.0

#: Seconds between two looks after a failure: the first, and the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

#: Failures after which somebody's turn waits, whatever succeeds meanwhile.
STUBBORN = 3

#: Seconds between two writings of the status where nothing happened.
STATUS_EVERY_S = 10.0

#: An assignment and a learner; the same and the name of what arrived.
_Who = tuple[str, str]
_Key = tuple[str, str, str]

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
        poll_s: float = 1.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._course, self._assignments, self._sources = course, list(assignments), sources
        self._work, self._log, self._poll_s = work, log, poll_s
        self._now, self._monotonic = now, monotonic
        self._records = Records(course)
        self._stop = threading.Event()
        self._known: dict[_Who, set[str]] = {}
        self._open: dict[_Who, str] = {}
        self._coming: dict[_Key, Arrival] = {}
        self._still: dict[_Key, tuple[object, float]] = {}
        self._ready: set[_Key] = set()
        self._failures = _Pauses(monotonic)
        self._told: dict[str, str] = {}
        self._saved = -STATUS_EVERY_S
        self.status = Status(self._assignments, started=now().isoformat())
        before = Status.load(course)
        self._looked = None if before is None else _time_of(before.looked)
        #: What was seen before an earlier watcher ended: when it came is known.
        self._seen: dict[str, datetime] = {}
        if before is not None:
            self.status.errors, self.status.answers = before.errors, before.answers
            self._seen = {
                one["arrival"]: moment
                for one in before.waiting
                if (moment := _time_of(one["came"])) is not None
            }
        for assignment in self._assignments:
            for student in self._records.students(assignment):
                self._learn(assignment, student)

    def stop(self) -> None:
        """Have the loop end after the batch that is being worked on."""
        self._stop.set()

    def _learn(self, assignment: str, student: str) -> None:
        """Read what is known of a learner's attempts."""
        who = assignment, student
        try:
            kept = self._records.of(*who)
        except (OSError, ValueError) as error:
            self._trouble(str(error), [who])
            return
        self._known[who] = {one.arrival for one in kept}
        self._open.pop(who, None)
        for one in kept:
            if one.is_open:
                self._open.setdefault(who, one.came)

    def run(self, *, once: bool = False) -> bool:
        """Watch until `stop` is called, or once until nothing is left; return whether all is done.

        What is not taken is not done.

        With `once` it gives up at the first failure.
        """
        self._log.info("watching %s", ", ".join(self._assignments))
        while not self._stop.is_set():
            self.look()
            batch = self._batch()
            if batch is not None:
                done = self._deal(*batch)
                if once and not done:
                    break
                continue
            self._show()
            if once and not self._coming and not any(one.may_get_better for one in self._sources):
                break
            self._stop.wait(self._poll_s if not once else min(self._poll_s, 0.2))
        self._show(always=True)
        self._log.info("stopped; %d waiting", len(self._waiting()))
        return not self._waiting() and not self._not_taken()

    def look(self) -> None:
        """See what has come."""
        seen, looked = self._now(), self._looked
        found: dict[_Key, tuple[Source, Arrival]] = {}
        for source in self._sources:
            try:
                arrivals = source.arrivals()
            except OSError as error:
                self._trouble(f"cannot look: {error}", [])
                return
            for one in arrivals:
                if one.name not in self._known.get((one.assignment, one.student), ()):
                    found[one.assignment, one.student, one.name] = source, one
        for key, (source, one) in found.items():
            if key not in self._coming:
                came, remark = seen, ""
                if one.late is None:
                    came, remark = moment_of(one.said, looked, seen)
                if one.name in self._seen:
                    came, remark = self._seen[one.name], ""
                told = "; ".join(filter(None, [one.remark, remark]))
                self._coming[key] = replace(one, came=came, remark=told)
            if key not in self._ready and self._has_come(source, one, key):
                self._ready.add(key)
        for key in self._coming.keys() - found.keys():
            del self._coming[key]
            self._ready.discard(key)
            self._still.pop(key, None)
        for name, why in self._not_taken().items():
            if self._told.get(name) != why:
                self._log.warning("NOT TAKEN %s: %s", name, why)
        self._told = self._not_taken()
        self._looked = seen
        self.status.looked = seen.isoformat()

    def _not_taken(self) -> dict[str, str]:
        """Return what lies there and is not taken, and why; names are learners' own."""
        return {
            printable(name, 300): printable(why, 500)
            for source in self._sources
            for name, why in source.refused.items()
        }

    def _has_come(self, source: Source, arrival: Arrival, key: _Key) -> bool:
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
        """Return whose turn it is: of one assignment, those who wait longest.

        Whose turn failed before has it alone, so that nobody else fails with them.
        """
        waiting: dict[_Who, list[Arrival]] = {}
        for key in sorted(self._ready, key=lambda key: _order(self._coming[key])):
            waiting.setdefault(key[:2], []).append(self._coming[key])
        since = {who: _order(found[0])[0] for who, found in waiting.items()} | self._open
        free = sorted(filter(self._failures.may, since), key=lambda who: (since[who], who))
        if not free:
            return None
        whose = [who for who in free if not self._failures.of(who)] or free[:1]
        assignment = whose[0][0]
        turns = [
            Turn(student, tuple(waiting.get((found, student), ())))
            for found, student in whose
            if found == assignment
        ]
        return assignment, turns[:BATCH]

    def _deal(self, assignment: str, turns: Sequence[Turn]) -> bool:
        """Have a batch dealt with; return whether nothing was in the way."""
        self._show(always=True)
        whose = [(assignment, turn.student) for turn in turns]
        failed = ""
        try:
            self._work(assignment, turns, self._hear, self._meanwhile)
        except WorkFailed as error:
            failed = str(error)
        for who in whose:
            self._learn(*who)
        self._coming = {
            key: one for key, one in self._coming.items() if one.name not in self._known_of(key)
        }
        self._ready &= self._coming.keys()
        if failed:
            left = [who for who in whose if who in self._open or who not in self._known]
            self._trouble(failed, left or whose)
        else:
            self._failures.succeeded(whose)
        self._show(always=True)
        return not failed

    def _known_of(self, key: _Key) -> set[str]:
        return self._known.get(key[:2], set())

    def _meanwhile(self) -> None:
        self.look()
        self._show()

    def _trouble(self, said: str, whose: Sequence[_Who]) -> None:
        """Note an error, and wait before the next try: longer each time."""
        pause_s = self._failures.add(whose)
        errors = self.status.errors
        if not errors or errors[-1]["said"] != said:
            self._log.error("ERROR %s; the next try in %g s", said, pause_s)
            errors.append({"time": "", "said": said})
        errors[-1]["time"] = self._now().isoformat()

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
        found = [
            {
                "student": one.student,
                "assignment": one.assignment,
                "came": _order(one)[0],
                "arrival": one.name,
            }
            for one in self._coming.values()
        ]
        found += [
            {"student": student, "assignment": assignment, "came": came, "arrival": ""}
            for (assignment, student), came in self._open.items()
        ]
        return sorted(found, key=lambda one: one["came"])

    def _show(self, *, always: bool = False) -> None:
        """Write the status; a full disk stops nothing."""
        if not always and self._monotonic() - self._saved < STATUS_EVERY_S:
            return
        self._saved = self._monotonic()
        with contextlib.suppress(OSError):
            self.status.waiting = self._waiting()
            self.status.not_taken = self._not_taken()
            self.status.save(self._course)


class _Pauses:
    """How long to wait after failures, of whom and of all."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: dict[_Who, tuple[int, float]] = {}
        self._all: tuple[int, float] = (0, 0.0)

    def of(self, who: _Who) -> int:
        """Return how often somebody's turn has failed since one succeeded."""
        return self._failures.get(who, (0, 0.0))[0]

    def may(self, who: _Who) -> bool:
        """Tell whether somebody may have a turn now."""
        until = self._failures[who][1] if who in self._failures else self._all[1]
        return self._monotonic() >= until

    def add(self, whose: Sequence[_Who]) -> float:
        """Note a failure of some; return the seconds until the next try.

        Who never failed waits for the others only if they had not failed either: one turn
        that always fails does not hold up the rest.
        """
        now = self._monotonic()
        fresh = [who for who in whose if not self.of(who)]
        if fresh or not whose:
            count = self._all[0] + 1
            self._all = count, now + _pause_s(count)
        longest = _pause_s(self._all[0]) if fresh or not whose else 0.0
        for who in whose:
            count = max(self.of(who) + 1, self._all[0] if who in fresh else 0)
            self._failures[who] = count, now + _pause_s(count)
            longest = max(longest, _pause_s(count))
        return longest

    def succeeded(self, whose: Sequence[_Who]) -> None:
        """Note that the turn of some succeeded: others who failed seldom may try at once."""
        self._all = 0, 0.0
        self._failures = {
            who: (count, 0.0 if count < STUBBORN else until)
            for who, (count, until) in self._failures.items()
            if who not in whose
        }


def _pause_s(count: int) -> float:
    return float(min(FIRST_PAUSE_S * 2 ** (count - 1), LONGEST_PAUSE_S))


def _order(arrival: Arrival) -> tuple[str, str, str]:
    came, said = (at.isoformat() if at else "" for at in (arrival.came, arrival.said))
    return came, said, arrival.name


def _time_of(iso: str) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
