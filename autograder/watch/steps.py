"""What becomes of attempts, step by step.

Each step leaves the course such that the same step, or the next, can be done again: the
record of an attempt says which steps are behind it. Whoever is killed between two of them
is continued by whoever comes next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol

from autograder.attempts.policy import Attempts
from autograder.attempts.record import FILES, Attempt, Records
from autograder.attempts.rules import counting, verdict
from autograder.course import Course
from autograder.files import write_atomically
from autograder.grading.outcomes import ENGINE
from autograder.late.stamp import NAME as STAMP
from autograder.watch.arrivals import Arrival
from autograder.watch.copying import TooMuch, copy_plain
from autograder.watch.exchange import SECRET
from autograder.watch.grader import Graded, NotNow
from autograder.wording import few

#: How often grading an attempt may fail for the engine's fault before that is its outcome.
MOST_FAILURES = 3

#: Called with what happened to whom; the watcher logs and counts it.
Say = Callable[[Attempt, str], None]


class Grader(Protocol):
    """The steps that are nbgrader's own; `NbGraderCourse` does them."""

    @property
    def policy(self) -> Attempts:
        """How many attempts learners have."""

    @property
    def zone(self) -> tzinfo:
        """The course's own zone."""

    @property
    def most_bytes(self) -> int:
        """Bytes that a submission may have."""

    def place_of(self, assignment: str, student: str) -> Path:
        """Return where grading looks for a submission."""

    def graded_place_of(self, assignment: str, student: str) -> Path:
        """Return where the graded submission lies."""

    def pages_of(self, assignment: str, student: str) -> Path:
        """Return where the feedback pages of a submission lie."""

    def due(self, assignment: str, student: str) -> datetime | None:
        """Return until when a learner can hand in."""

    def grade(self, assignment: str, students: Sequence[str]) -> dict[str, Graded]:
        """Grade what lies where grading looks."""

    def write_pages(self, assignment: str, students: Sequence[str]) -> None:
        """Write feedback pages."""

    def release(self, assignment: str, student: str) -> None:
        """Give a learner's pages back."""

    def refuse(self, attempt: Attempt, folder: Path) -> None:
        """Write the pages that say why an attempt is not graded, and give them back."""


@dataclass(frozen=True)
class Turn:
    """A learner whose attempt is to be dealt with: a new one, or one that is open."""

    student: str
    arrival: Arrival | None = None


class Steps:
    """The steps of some attempts at one assignment, of as many learners.

    Parameters
    ----------
    course : Course
        The course.
    grader : Grader
        What grades.
    say : callable
        Called when something is done.
    now : callable
        Returns the time.
    reach : callable
        Called before each step with its name: tests stop there.
    """

    def __init__(
        self,
        course: Course,
        grader: Grader,
        say: Say = lambda _attempt, _what: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reach: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._records = Records(course)
        self._course, self._grader = course, grader
        self._say, self._now, self._reach = say, now, reach

    def run(self, assignment: str, turns: Iterable[Turn]) -> None:
        """Deal with one attempt of each learner.

        Raises
        ------
        NotNow
            If something that is not the learners' fault is in the way; what was done is
            kept.
        OSError
            If files cannot be read or written.
        """
        attempts = [
            attempt
            for turn in turns
            if (attempt := self._taken(assignment, turn)) is not None and attempt.is_open
        ]
        accepted = [one for one in attempts if not one.refused]
        for one in attempts:
            if one.refused:
                self._refuse(one)
        trouble = self._grade([one for one in accepted if not one.graded])
        graded = [one for one in map(self._as_kept, accepted) if one.graded]
        if graded:
            self._answer(assignment, graded)
        if trouble:
            raise NotNow(trouble)

    def _as_kept(self, attempt: Attempt) -> Attempt:
        return self._records.of(attempt.assignment, attempt.student)[attempt.number - 1]

    def _taken(self, assignment: str, turn: Turn) -> Attempt | None:
        """Return the learner's open attempt; else take the new one, or refuse it."""
        kept = self._records.of(assignment, turn.student)
        for attempt in kept:
            if attempt.is_open:
                return attempt
        arrival = turn.arrival
        if arrival is None or any(one.arrival == arrival.name for one in kept):
            return None
        came = arrival.came or self._now()
        grader = self._grader
        found = verdict(
            grader.policy, kept, came, grader.due(assignment, turn.student), grader.zone
        )
        attempt = Attempt(
            student=turn.student,
            assignment=assignment,
            number=len(kept) + 1,
            arrival=arrival.name,
            came=came.isoformat(),
            refused=found.refused,
            next_at="" if found.next_at is None else found.next_at.isoformat(),
            remarks=tuple(filter(None, [arrival.remark])),
        )
        self._reach("take")
        return self._take(attempt, arrival)

    def _take(self, attempt: Attempt, arrival: Arrival) -> Attempt:
        """Keep an attempt: with its files, unless it is refused."""
        left_out: list[str] = []

        def fill(folder: Path) -> None:
            left_out.extend(
                copy_plain(
                    arrival.path,
                    folder,
                    most_bytes=self._grader.most_bytes,
                    only=(STAMP, SECRET) if attempt.refused else (),
                )
            )
            if not attempt.refused and arrival.said != attempt.time:
                (folder / STAMP).unlink(missing_ok=True)
                write_atomically(folder / STAMP, f"{attempt.time:%Y-%m-%d %H:%M:%S.%f} UTC\n")

        try:
            self._records.begin(attempt, fill)
        except TooMuch as error:
            attempt = replace(attempt, refused=str(error), next_at="")
            self._records.begin(attempt, lambda folder: folder.mkdir())
        if left_out:
            told = f"left out of what was handed in: {few(left_out)}"
            attempt = self._records.save(attempt, remarks=(*attempt.remarks, told))
        self._say(attempt, f"refused: {attempt.refused}" if attempt.refused else "taken")
        return attempt

    def _refuse(self, attempt: Attempt) -> None:
        """Give back a page that says why an attempt is not graded."""
        self._reach("refuse")
        self._grader.refuse(attempt, self._records.pages(attempt))
        self._reach("refused")
        self._records.save(attempt, answered=self._now().isoformat())

    def _grade(self, attempts: Sequence[Attempt]) -> str:
        """Grade attempts; return what was in the way that may pass, empty if nothing was."""
        if not attempts:
            return ""
        assignment = attempts[0].assignment
        for one in attempts:
            self._place(one)
        self._reach("grade")
        results = self._grader.grade(assignment, [one.student for one in attempts])
        self._reach("graded")
        trouble = ""
        for one in attempts:
            found = results[one.student]
            if found.fault and not (found.fault == ENGINE and one.failed + 1 >= MOST_FAILURES):
                trouble = f"{one.student}: {found.reason}"
                if found.fault == ENGINE:
                    self._records.save(one, failed=one.failed + 1)
                continue
            scored = not found.reason
            kept = self._records.save(
                one,
                graded=True,
                reason=found.reason,
                points=found.points if scored else None,
                of=found.of if scored else None,
                penalty=found.penalty,
            )
            self._reach("noted")
            self._say(kept, "graded" if scored else f"could not be graded: {found.reason}")
        return trouble

    def _place(self, attempt: Attempt) -> None:
        """Put what was handed in where grading looks for it, whole or not at all."""
        grader, assignment, student = self._grader, attempt.assignment, attempt.student
        self._reach("place")
        self._records.place(attempt)
        _put(self._records.files(attempt), grader.place_of(assignment, student), self._course)
        self._reach("placed")
        shutil.rmtree(grader.graded_place_of(assignment, student), ignore_errors=True)

    def _answer(self, assignment: str, attempts: Sequence[Attempt]) -> None:
        """Write pages, give them back, and leave the attempt that counts in the gradebook."""
        self._reach("write pages")
        self._grader.write_pages(assignment, [one.student for one in attempts])
        for one in attempts:
            self._reach("keep pages")
            pages = self._grader.pages_of(assignment, one.student)
            if not any(pages.glob("*.html")):
                raise NotNow(f"{one.student}: no feedback page was written; the log says why")
            _put(pages, self._records.pages(one), self._course)
            self._reach("release")
            self._grader.release(assignment, one.student)
            self._reach("released")
            self._settle(one)
            self._reach("settled")
            done = self._records.save(one, answered=self._now().isoformat())
            self._say(done, "answered")

    def _settle(self, latest: Attempt) -> None:
        """Put back the attempt that counts, if that is another than the latest."""
        made = self._records.of(latest.assignment, latest.student)
        best = counting(self._grader.policy, made)
        if best is None or best.number == latest.number:
            return
        self._place(best)
        self._reach("put back")
        self._grader.grade(best.assignment, [best.student])
        self._grader.write_pages(best.assignment, [best.student])


def _put(source: Path, target: Path, course: Course) -> None:
    """Replace a folder by a copy of another one.

    What is at `target` is whole before and after; a crash between its two renames leaves
    nothing there, and the step is done again.
    """
    scratch = course.state / "watch" / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copytree(source, scratch / FILES)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        target.rename(scratch / "old")
    (scratch / FILES).rename(target)
    shutil.rmtree(scratch, ignore_errors=True)
