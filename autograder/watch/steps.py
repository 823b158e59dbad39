"""What becomes of attempts, step by step.

Each step leaves the course such that the same step, or the next, can be done again: the
record of an attempt says which steps are behind it. Whoever is killed between two of them
is continued by whoever comes next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from autograder.attempts.policy import Attempts
from autograder.attempts.record import FILES, Attempt, Records
from autograder.attempts.rules import Verdict, counting, passed_over, verdict
from autograder.course import Course
from autograder.files import write_atomically
from autograder.grading.outcomes import ENGINE
from autograder.late.stamp import NAME as STAMP
from autograder.watch.arrivals import Arrival
from autograder.watch.copying import TooMuch
from autograder.watch.exchange import SECRET
from autograder.watch.grader import Graded, NotNow
from autograder.wording import few, first_line

#: How often grading an attempt may fail for the engine's fault before that is its outcome.
MOST_FAILURES = 3

#: Why a submission is not graded where a later one stands for it.
REPLACED = "another one, handed in before this one was graded, is graded in its place"

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

    def remember_reviews(self, assignment: str, student: str) -> None:
        """Note what a person has graded of what lies there, before it is replaced."""

    def release(self, attempt: Attempt, folder: Path) -> None:
        """Give the pages in a folder back to the learner."""

    def refuse(self, attempt: Attempt, folder: Path) -> None:
        """Write the pages that say why an attempt is not graded."""


@dataclass(frozen=True)
class Turn:
    """A learner, with what waits of them in the order in which it came."""

    student: str
    arrivals: tuple[Arrival, ...] = ()


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
        self._trouble: list[str] = []

    def run(self, assignment: str, turns: Iterable[Turn]) -> None:
        """Deal with one attempt of each learner, and refuse what is to be refused.

        What stops one learner's attempt does not stop another's.

        Raises
        ------
        NotNow
            If something that is not the learners' fault is in the way of some; what was
            done is kept, and what was not can be tried again.
        """
        self._trouble = []
        begun = []
        for turn in turns:
            with self._noted(turn.student):
                begun += self._begun(assignment, turn)
        for one in begun:
            if one.refused:
                with self._noted(one.student):
                    self._refuse(one)
        accepted = [one for one in begun if not one.refused]
        graded = [one for one in accepted if one.graded]
        graded += self._grade([one for one in accepted if not one.graded])
        self._answer(assignment, graded)
        if self._trouble:
            raise NotNow(few(self._trouble, 3))

    @contextlib.contextmanager
    def _noted(self, student: str) -> Iterator[None]:
        """Note what stops one learner's attempt, and go on with the others."""
        try:
            yield
        except (NotNow, OSError, ValueError, SQLAlchemyError) as error:
            traceback.print_exc()
            self._trouble.append(f"{student}: {first_line(error)}")

    def _begun(self, assignment: str, turn: Turn) -> list[Attempt]:
        """Return the learner's open attempts; where there is none, begin one."""
        kept = self._records.of(assignment, turn.student)
        begun = [one for one in kept if one.is_open]
        if any(not one.refused for one in begun):
            return begun
        known = {one.arrival for one in kept}
        waiting = [one for one in turn.arrivals if one.name not in known]
        if not waiting:
            return begun
        grader = self._grader
        policy = grader.policy
        due = _due(waiting, grader.due(assignment, turn.student))
        found = [verdict(policy, kept, _came(one), due, grader.zone) for one in waiting]
        allowed = [one for one, how in zip(waiting, found, strict=True) if not how.refused]
        over = passed_over(policy, [_came(one) for one in allowed], due)
        replaced = {one.name for one, is_over in zip(allowed, over, strict=True) if is_over}
        for arrival, how in zip(waiting, found, strict=True):
            if arrival.name in replaced:
                how = Verdict(REPLACED)
            attempt = self._take(assignment, arrival, how, number=1 + _last_number(kept))
            kept.append(attempt)
            begun.append(attempt)
            if not attempt.refused:
                break  # what came after it is judged when this one is graded
        return begun

    def _take(self, assignment: str, arrival: Arrival, how: Verdict, number: int) -> Attempt:
        """Keep an attempt: with its files, unless it is refused."""
        came = _came(arrival)
        attempt = Attempt(
            student=arrival.student,
            assignment=assignment,
            number=number,
            arrival=arrival.name,
            came=came.isoformat(),
            refused=how.refused,
            next_at="" if how.next_at is None else how.next_at.isoformat(),
            remarks=tuple(filter(None, [arrival.remark])),
            returned_as=arrival.returned_as,
        )
        left_out: list[str] = []

        def fill(folder: Path) -> None:
            self._reach("copy")
            left_out.extend(
                arrival.copy_to(
                    folder,
                    most_bytes=self._grader.most_bytes,
                    only=(STAMP, SECRET) if attempt.refused else (),
                )
            )
            if not attempt.refused and arrival.late is None and arrival.said != came:
                (folder / STAMP).unlink(missing_ok=True)
                write_atomically(folder / STAMP, f"{came:%Y-%m-%d %H:%M:%S.%f} UTC\n")
            self._reach("copied")

        self._reach("take")
        try:
            self._records.begin(attempt, fill)
        except TooMuch as error:
            attempt = replace(attempt, refused=str(error), next_at="")
            self._records.begin(attempt, fill)
        self._reach("taken")
        if left_out:
            told = f"left out of what was handed in: {few(left_out)}"
            attempt = self._records.save(attempt, remarks=(*attempt.remarks, told))
        self._say(attempt, f"not graded: {attempt.refused}" if attempt.refused else "taken")
        return attempt

    def _refuse(self, attempt: Attempt) -> None:
        """Give back a page that says why an attempt is not graded."""
        self._reach("refuse")
        pages = self._records.pages(attempt)
        self._grader.refuse(attempt, pages)
        for name in (STAMP, SECRET):
            kept = self._records.files(attempt) / name
            if kept.is_file():
                shutil.copy(kept, pages / name)
        self._give_back(attempt, "refusal given")

    def _give_back(self, attempt: Attempt, what: str) -> None:
        self._reach("release")
        self._grader.release(attempt, self._records.pages(attempt))
        self._reach("released")
        if not attempt.refused:
            self._settle(attempt)
        done = self._records.save(attempt, answered=self._now().isoformat())
        self._reach("answered")
        self._say(done, what)

    def _grade(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Grade attempts; return those that are graded now."""
        placed, graded = [], []
        for one in attempts:
            with self._noted(one.student):
                self._place(one)
                placed.append(one)
        if not placed:
            return []
        self._reach("grade")
        with self._noted(few([one.student for one in placed], 3)):
            results = self._grader.grade(placed[0].assignment, [one.student for one in placed])
            self._reach("graded")
            for one in placed:
                with self._noted(one.student):
                    graded.append(self._note(one, results[one.student]))
        return graded

    def _note(self, attempt: Attempt, found: Graded) -> Attempt:
        """Keep what grading gave."""
        if found.fault == ENGINE and attempt.failed + 1 < MOST_FAILURES:
            self._records.save(attempt, failed=attempt.failed + 1)
        if found.fault and not (found.fault == ENGINE and attempt.failed + 1 >= MOST_FAILURES):
            raise NotNow(found.reason)
        scored = not found.reason
        kept = self._records.save(
            attempt,
            graded=True,
            reason=found.reason,
            points=found.points if scored else None,
            of=found.of if scored else None,
            penalty=found.penalty,
        )
        self._reach("noted")
        self._say(kept, "graded" if scored else f"could not be graded: {found.reason}")
        return kept

    def _place(self, attempt: Attempt) -> None:
        """Put what was handed in where grading looks for it, whole or not at all."""
        grader, assignment, student = self._grader, attempt.assignment, attempt.student
        self._reach("place")
        self._records.place(attempt)
        grader.remember_reviews(assignment, student)
        _put(self._records.files(attempt), grader.place_of(assignment, student), self._course)
        self._reach("placed")
        graded = grader.graded_place_of(assignment, student)
        if graded.exists():
            shutil.rmtree(graded)

    def _answer(self, assignment: str, attempts: Sequence[Attempt]) -> None:
        """Write pages, give them back, and leave the attempt that counts in the gradebook."""
        records = self._records
        # Pages that are kept stay: the graded notebook may be another attempt's by now.
        without = [one for one in attempts if not records.pages(one).exists()]
        if without:
            self._reach("write pages")
            with self._noted(few([one.student for one in without], 3)):
                self._grader.write_pages(assignment, [one.student for one in without])
        for one in attempts:
            with self._noted(one.student):
                if not records.pages(one).exists():
                    self._keep_pages(one)
                self._give_back(one, "answered")

    def _keep_pages(self, attempt: Attempt) -> None:
        pages = self._grader.pages_of(attempt.assignment, attempt.student)
        if not any(pages.glob("*.html")):
            raise NotNow("no feedback page was written; the log of nbgrader says why")
        self._reach("keep pages")
        _put(pages, self._records.pages(attempt), self._course)
        self._reach("pages kept")

    def _settle(self, latest: Attempt) -> None:
        """Put back the attempt that counts, if that is another than the latest."""
        made = self._records.of(latest.assignment, latest.student)
        best = counting(self._grader.policy, made)
        if best is None or best.number == latest.number:
            return
        self._place(best)
        self._reach("put back")
        found = self._grader.grade(best.assignment, [best.student])[best.student]
        if found.fault:
            raise NotNow(found.reason)
        self._reach("put back graded")
        self._grader.write_pages(best.assignment, [best.student])


def _last_number(attempts: Sequence[Attempt]) -> int:
    return max((one.number for one in attempts), default=0)


def _came(arrival: Arrival) -> datetime:
    if arrival.came is None:
        raise ValueError(f"nobody has seen when {arrival.name} came")
    return arrival.came


def _due(waiting: Sequence[Arrival], due: datetime | None) -> datetime | None:
    """Return until when what waits could come in time; what a platform says of that stands."""
    if all(one.late is None for one in waiting):
        return due
    late = [_came(one) for one in waiting if one.late]
    return min(late) - timedelta.resolution if late else None


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
