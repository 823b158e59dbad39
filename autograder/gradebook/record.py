"""What is known of an assignment's submissions, from gradebook and outcomes."""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
from nbgrader.api import Notebook

from autograder import bank
from autograder.cells import CellName, parse_grade_id, points_by_exercise
from autograder.course import Course
from autograder.course.names import composed
from autograder.course.settings import zone_of
from autograder.gradebook.reader import Grades, assignment_of, grades_of, opened
from autograder.grading.outcomes import GRADED, load_outcome
from autograder.grading.submission import missing_notebooks
from autograder.late.times import shown
from autograder.wording import first_line

#: How the docstring of a test cell says who sees it, before it says what is tested.
_PREFIXES = ("Visible:", "Hidden:")


@dataclass(frozen=True)
class Property:
    """A graded cell: its `grade_id`, exercise, what it tests in words, its points."""

    grade_id: str
    slug: str
    role: str
    words: str
    points: float


@dataclass(frozen=True)
class Submission:
    """One submission; `grades` is None if it was not graded, and `reason` says why.

    `remarks` are what a grader should know.
    """

    student: str
    name: str = ""
    grades: Grades | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def total(self) -> float | None:
        """All points, before a late penalty; None if it was not graded."""
        return None if self.grades is None else self.grades.total

    @property
    def penalty(self) -> float:
        """What was taken off for being late, in points."""
        return 0.0 if self.grades is None else self.grades.penalty


@dataclass(frozen=True)
class ClassRecord:
    """An assignment: its tested properties in order, its exercises, its submissions.

    `due` says when it was due, empty if it never was.
    """

    assignment: str
    properties: tuple[Property, ...]
    titles: dict[str, str] = field(default_factory=dict)
    submissions: tuple[Submission, ...] = ()
    due: str = ""

    @property
    def max_points(self) -> dict[str, float]:
        """The points of each exercise, in order."""
        points: dict[str, float] = {}
        for prop in self.properties:
            points[prop.slug] = points.get(prop.slug, 0.0) + prop.points
        return points

    @property
    def graded(self) -> tuple[Submission, ...]:
        """The submissions that have a grade."""
        return tuple(one for one in self.submissions if one.grades is not None)

    def by_exercise(self, submission: Submission) -> dict[str, float] | None:
        """Return the points of a submission by exercise, None if it was not graded."""
        if submission.grades is None:
            return None
        points = dict.fromkeys(self.max_points, 0.0)
        for prop in self.properties:
            if prop.grade_id in submission.grades.cells:
                points[prop.slug] += submission.grades.cells[prop.grade_id].points
        return points


def property_in_words(source: str, name: CellName) -> str:
    """Return what a test cell tests: its docstring's first line, else its `grade_id`.

    Examples
    --------
    >>> name = parse_grade_id("mm1__hidden__idle_and_full")
    >>> property_in_words("'Hidden: no traffic, no room.'", name)
    'No traffic, no room'
    >>> property_in_words("assert mm1(1, 2)", name)
    'Idle and full'
    """
    try:
        docstring = ast.get_docstring(ast.parse(source)) or ""
    except (SyntaxError, ValueError):
        docstring = ""
    words = first_line(docstring)
    for prefix in _PREFIXES:
        words = words.removeprefix(prefix)
    words = words.strip().rstrip(".") or name.property_in_words or name.role
    return words[:1].upper() + words[1:]


def _name_of(grade_id: str) -> CellName:
    """Return the parts of a `grade_id`; one of another scheme is an exercise of its own."""
    try:
        return parse_grade_id(grade_id)
    except ValueError:
        return CellName(grade_id, "other")


def _order(course: Course, assignment: str) -> list[str]:
    """Return the exercises in the order of the notebook, or of the bank where there is none."""
    built = course.source / assignment / "exercises.ipynb"
    if built.is_file():
        return list(points_by_exercise(nbformat.read(built, as_version=4)))
    return [exercise.slug for exercise in bank.load(assignment)]


def _properties(notebooks: Iterable[Notebook], slugs: list[str]) -> list[Property]:
    """Return the graded cells, exercises in the order given first."""
    found = []
    for notebook in notebooks:
        sources = {cell.name: cell.source or "" for cell in notebook.source_cells}
        for cell in notebook.grade_cells:
            name = _name_of(cell.name)
            words = property_in_words(sources.get(cell.name, ""), name)
            found.append(Property(cell.name, name.slug, name.role, words, float(cell.max_score)))
    order = {slug: number for number, slug in enumerate(slugs)}
    # Stable: cells of one exercise keep the notebook's order, visible before hidden.
    return sorted(
        found, key=lambda prop: (order.get(prop.slug, len(order)), prop.role != "visible")
    )


def _why_not_graded(course: Course, folder: Path, needed: list[str]) -> tuple[str, list[str]]:
    """Return why the submission in `folder` has no grade, empty if it has; else its remarks."""
    missing = [file for file in needed if not os.path.lexists(folder / file)]
    if missing and not folder.is_symlink():
        return missing_notebooks(missing, folder), []
    outcome = load_outcome(course.root, folder.name, folder.parent.name)
    if outcome is None:
        return "not graded yet", []
    return ("", outcome.remarks) if outcome.status == GRADED else (outcome.reason, [])


def collect(course: Course, assignment: str) -> ClassRecord:
    """Return all that is known of an assignment's submissions.

    Raises
    ------
    NoGradebook
        If there is no gradebook, or it does not know the assignment.
    """
    with opened(course) as gradebook:
        entry = assignment_of(gradebook, assignment)
        notebooks = entry.notebooks
        due = shown(entry.duedate, zone_of(course)) if entry.duedate else ""
        needed = [f"{notebook.name}.ipynb" for notebook in notebooks if notebook.grade_cells]
        properties = _properties(notebooks, _order(course, assignment))
        grades = grades_of(gradebook, assignment)
        names = {
            student.id: " ".join(filter(None, (student.first_name, student.last_name)))
            for student in gradebook.students
        }
    submissions = []
    for folder in sorted(course.submitted.glob(f"*/{assignment}")):
        if not folder.is_dir():
            continue
        student = folder.parent.name
        reason, remarks = _why_not_graded(course, folder, needed)
        if not reason and student not in grades:
            reason = "not in the gradebook; grade again"
        submissions.append(
            Submission(
                student,
                names.get(student, ""),
                grades=None if reason else grades[student],
                reason=reason,
                remarks=tuple(remarks),
            )
        )
    forms = Counter(composed(one.student) for one in submissions)
    twice = "another folder has this name, in another form of Unicode: one of them is too many"
    submissions = [
        replace(one, remarks=(*one.remarks, twice)) if forms[composed(one.student)] > 1 else one
        for one in submissions
    ]
    titles = {exercise.slug: exercise.title for exercise in bank.load(assignment)}
    return ClassRecord(assignment, tuple(properties), titles, tuple(submissions), due)
