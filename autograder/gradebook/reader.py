"""Asking the gradebook: one query for the grades of a class, a submission or a notebook."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
)

from autograder.course import Course
from autograder.course.settings import gradebook_file, gradebook_url


class NoGradebook(ValueError):
    """There is no gradebook yet, or it does not know the assignment; the message says so."""


@dataclass(frozen=True)
class CellGrade:
    """The grade of one cell.

    `points` are those that count: a person's where given, else the automatic ones, and
    extra credit. `waiting` says that a person is asked to look, `ungraded` that neither
    a test nor a person gave points to a cell that is worth some.
    """

    points: float
    of: float = 0.0
    automatic: float = 0.0
    by_hand: bool = False
    waiting: bool = False
    ungraded: bool = False


@dataclass
class Grades:
    """What the gradebook says of a submission, or of one notebook of it."""

    cells: dict[str, CellGrade] = field(default_factory=dict)
    penalty: float = 0.0

    @property
    def total(self) -> float:
        """All points, before a late penalty."""
        return sum(cell.points for cell in self.cells.values())

    @property
    def final(self) -> float:
        """The points that remain after a late penalty, at least none."""
        return max(0.0, self.total - self.penalty)

    @property
    def waiting(self) -> bool:
        """Whether a person is asked to look at a cell."""
        return any(cell.waiting for cell in self.cells.values())

    @property
    def ungraded(self) -> bool:
        """Whether a cell has no grade yet."""
        return any(cell.ungraded for cell in self.cells.values())


@contextlib.contextmanager
def opened(course: Course) -> Iterator[Gradebook]:
    """Open the course's gradebook; asked for one that is not there, nbgrader would make it.

    Raises
    ------
    NoGradebook
        If there is none yet.
    """
    url = gradebook_url(course)
    file = gradebook_file(url)
    if file is not None and not file.is_file():
        raise NoGradebook("there is no gradebook yet")
    with Gradebook(url) as gradebook:
        yield gradebook


def assignment_of(gradebook: Gradebook, name: str) -> Assignment:
    """Return an assignment of the gradebook.

    Raises
    ------
    NoGradebook
        If it does not know the assignment.
    """
    try:
        return gradebook.find_assignment(name)
    except MissingEntry:
        raise NoGradebook(f"the gradebook does not know {name}") from None


def grades_of(
    gradebook: Gradebook, assignment: str, *, student: str = "", notebook: str = ""
) -> dict[str, Grades]:
    """Return the grades of an assignment by student, of one student or notebook if named."""
    query = (
        gradebook.db.query(
            SubmittedAssignment.student_id,
            SubmittedNotebook.id,
            SubmittedNotebook.late_submission_penalty,
            BaseCell.name,
            Grade.score,
            Grade.max_score,
            Grade.auto_score,
            Grade.manual_score,
            Grade.needs_manual_grade,
        )
        .select_from(SubmittedAssignment)
        .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .outerjoin(Grade, Grade.notebook_id == SubmittedNotebook.id)
        .outerjoin(BaseCell, BaseCell.id == Grade.cell_id)
        .filter(Assignment.name == assignment)
    )
    if student:
        query = query.filter(SubmittedAssignment.student_id == student)
    if notebook:
        query = query.filter(Notebook.name == notebook)
    found: dict[str, Grades] = {}
    counted = set()
    for who, submitted, penalty, cell, score, most, automatic, manual, waiting in query:
        grades = found.setdefault(who, Grades())
        if submitted not in counted:
            counted.add(submitted)
            grades.penalty += float(penalty or 0)
        if cell is not None:
            grades.cells[cell] = CellGrade(
                points=float(score or 0),
                of=float(most or 0),
                automatic=float(automatic or 0),
                by_hand=manual is not None,
                waiting=bool(waiting),
                ungraded=(most or 0) > 0 and automatic is None and manual is None,
            )
    return found


def due_of(gradebook: Gradebook, assignment: str, student: str) -> datetime | None:
    """Return until when a learner can hand in, extension included; None without a date."""
    try:
        due = gradebook.find_assignment(assignment).duedate
    except MissingEntry:
        return None
    with contextlib.suppress(MissingEntry):
        due = gradebook.find_submission(assignment, student).duedate or due
    return due.replace(tzinfo=UTC) if due is not None else None


#: What nbgrader notes where a learner left a cell as it was.
NO_ANSWER = "No response."


def comments_of(
    gradebook: Gradebook, assignment: str, student: str, notebook: str
) -> dict[str, str]:
    """Return what graders wrote to a learner, by `grade_id`; where there is no answer, that.

    nbgrader's own comment on an answer is for graders: the rubric.
    """
    query = (
        gradebook.db.query(BaseCell.name, Comment.manual_comment, Comment.auto_comment)
        .select_from(Comment)
        .join(BaseCell, BaseCell.id == Comment.cell_id)
        .join(SubmittedNotebook, SubmittedNotebook.id == Comment.notebook_id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
        .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
        .filter(
            Assignment.name == assignment,
            SubmittedAssignment.student_id == student,
            Notebook.name == notebook,
        )
    )
    return {
        name: str(comment)
        for name, manual, auto in query
        if (comment := auto if manual is None and auto == NO_ANSWER else manual)
    }


def sources_of(gradebook: Gradebook, assignment: str, notebook: str) -> dict[str, str]:
    """Return the course's cells of a notebook, as the gradebook keeps them, by `grade_id`."""
    try:
        cells = gradebook.find_notebook(notebook, assignment).source_cells
    except MissingEntry:
        return {}
    return {cell.name: str(cell.source or "") for cell in cells}


def graded_notebooks(gradebook: Gradebook, assignment: str) -> list[str]:
    """Return the notebooks of an assignment that carry points, none if it is not known."""
    try:
        notebooks = gradebook.find_assignment(assignment).notebooks
    except MissingEntry:
        return []
    return [notebook.name for notebook in notebooks if notebook.grade_cells]
