"""All that a class report says, with learners called by the names it may show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from autograder.course import Course
from autograder.gradebook.record import ClassRecord, Submission
from autograder.report import timings
from autograder.report.held import Findings, find_held
from autograder.report.pseudonyms import pseudonyms, salt
from autograder.report.similarity import Group, near_identical
from autograder.report.snapshots import Comparison, compare, keep, now, snapshot_of
from autograder.report.statistics import (
    ExerciseResult,
    PropertyLoss,
    Spread,
    exercise_results,
    losses,
    spread,
)
from autograder.report.timings import ExerciseTime

#: Learners' own file names may hold their names: said of missing notebooks.
_FOLDER_HOLDS = re.compile(r"; the folder holds .*", re.DOTALL)


@dataclass(frozen=True)
class Learner:
    """One line of the class list; `scores` is None where the submission was not graded."""

    learner: str
    scores: dict[str, float] | None
    total: float | None
    penalty: float
    notes: tuple[str, ...]
    waits_for_person: bool


@dataclass(frozen=True)
class Contents:
    """A class report. `named` says whether learners are called by their names."""

    assignment: str
    made: str
    named: bool
    max_points: dict[str, float]
    titles: dict[str, str]
    learners: tuple[Learner, ...]
    totals: Spread | None
    exercises: tuple[ExerciseResult, ...]
    losses: tuple[PropertyLoss, ...]
    misconceptions: Findings
    times: tuple[ExerciseTime, ...]
    look_at: tuple[Group, ...]
    comparison: Comparison | None

    @property
    def most(self) -> float:
        """The points that all exercises are worth together."""
        return sum(self.max_points.values())

    @property
    def graded(self) -> tuple[Learner, ...]:
        """The learners who have a grade."""
        return tuple(one for one in self.learners if one.scores is not None)

    @property
    def not_graded(self) -> tuple[Learner, ...]:
        """The learners who have none."""
        return tuple(one for one in self.learners if one.scores is None)


def display_name(submission: Submission) -> str:
    """Return how a person is called where names may be shown."""
    return f"{submission.name} ({submission.student})" if submission.name else submission.student


def without_names(text: str, submission: Submission, pseudonym: str) -> str:
    """Return a remark without what it tells of who the learner is.

    Examples
    --------
    >>> who = Submission("s17", "Ada B")
    >>> without_names("x.ipynb is missing; the folder holds Ada B.ipynb", who, "L-AAAAA")
    'x.ipynb is missing; the folder holds other files'
    >>> without_names("s17 is late", who, "L-AAAAA")
    'L-AAAAA is late'
    """
    text = _FOLDER_HOLDS.sub("; the folder holds other files", text)
    for telling in sorted({submission.student, submission.name, *submission.name.split()}, key=len):
        if len(telling) > 1:
            text = re.sub(rf"(?<!\w){re.escape(telling)}(?!\w)", pseudonym, text)
    return text


def _renamed(groups: Iterable[Group], called: dict[str, str]) -> tuple[Group, ...]:
    return tuple(
        Group(
            tuple(sorted(called[learner] for learner in group.learners)),
            tuple(
                replace(pair, first=called[pair.first], second=called[pair.second])
                for pair in group.pairs
            ),
        )
        for group in groups
    )


def _since(
    course: Course, record: ClassRecord, hidden: dict[str, str], called: dict[str, str], made: str
) -> Comparison | None:
    """Keep this run's scores under pseudonyms and compare it with the previous one."""
    snapshot = snapshot_of(record, made, hidden)
    previous = keep(course, record.assignment, snapshot)
    if previous is None:
        return None
    shown = {hidden[student]: name for student, name in called.items()}
    found = compare(previous, snapshot)
    return replace(
        found,
        changed=tuple(
            replace(change, learner=shown.get(change.learner, change.learner))
            for change in found.changed
        ),
        came=tuple(shown.get(learner, learner) for learner in found.came),
        went=tuple(shown.get(learner, learner) for learner in found.went),
    )


def gather(course: Course, record: ClassRecord, names: bool = False) -> Contents:
    """Return what the report of an assignment says.

    Keeps the run's scores for the next report to compare with.

    Parameters
    ----------
    course : Course
        The course folder.
    record : ClassRecord
        What is known of the submissions.
    names : bool
        Call learners by their names and ids instead of pseudonyms.
    """
    made = now()
    hidden = pseudonyms(salt(course), [one.student for one in record.submissions])
    called = {
        one.student: display_name(one) if names else hidden[one.student]
        for one in record.submissions
    }

    def learner(one: Submission) -> Learner:
        notes = one.remarks if one.grades is not None else (one.reason,)
        if not names:
            notes = tuple(without_names(note, one, hidden[one.student]) for note in notes)
        waits = one.grades is not None and one.grades.waiting
        scores = record.by_exercise(one)
        return Learner(called[one.student], scores, one.total, one.penalty, notes, waits)

    known = find_held(course, record)
    held = (replace(one, learners=_called(one.learners, called)) for one in known.held)
    times = timings.exercise_times(course, record)
    return Contents(
        assignment=record.assignment,
        made=made,
        named=names,
        max_points=record.max_points,
        titles=record.titles,
        learners=tuple(sorted(map(learner, record.submissions), key=lambda one: one.learner)),
        totals=spread([one.total or 0.0 for one in record.graded]),
        exercises=tuple(exercise_results(record)),
        losses=tuple(losses(record)),
        misconceptions=replace(known, held=tuple(held)),
        times=tuple(replace(time, slowest=called[time.slowest]) for time in times),
        look_at=_renamed(near_identical(course, record), called),
        comparison=_since(course, record, hidden, called, made),
    )


def _called(students: Iterable[str], called: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(called[student] for student in students))
