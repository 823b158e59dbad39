"""What is known of an assignment's submissions, from gradebook and outcomes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment

from autograder import bank
from autograder.cells import CellName, parse_grade_id
from autograder.course import Course
from autograder.course.settings import CONFIG, gradebook_url
from autograder.grading.outcomes import GRADED, database_url, load_outcome
from autograder.grading.submission import missing_notebooks

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
    """One submission; `cells` maps each `grade_id` to points, None if it was not graded.

    `penalty` is what was taken off for being late, in points; `reason` says why it
    could not be graded; `remarks` are what a grader should know.
    """

    student: str
    name: str = ""
    cells: dict[str, float] | None = None
    penalty: float = 0.0
    reason: str = ""
    remarks: tuple[str, ...] = ()
    waits_for_person: bool = False

    @property
    def total(self) -> float | None:
        """All points, before a late penalty; None if it was not graded."""
        return None if self.cells is None else sum(self.cells.values())


@dataclass(frozen=True)
class ClassRecord:
    """An assignment: its tested properties in order, its exercises, its submissions."""

    assignment: str
    properties: tuple[Property, ...]
    titles: dict[str, str] = field(default_factory=dict)
    submissions: tuple[Submission, ...] = ()

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
        return tuple(one for one in self.submissions if one.cells is not None)

    def by_exercise(self, submission: Submission) -> dict[str, float]:
        """Return the points of a graded submission by exercise."""
        points = dict.fromkeys(self.max_points, 0.0)
        for prop in self.properties:
            points[prop.slug] += (submission.cells or {}).get(prop.grade_id, 0.0)
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
    words = (docstring.strip().splitlines() or [""])[0]
    for prefix in _PREFIXES:
        words = words.removeprefix(prefix)
    words = words.strip().rstrip(".") or name.property_in_words or name.role
    return words[:1].upper() + words[1:]


def _properties(gradebook: Gradebook, assignment: str, slugs: list[str]) -> list[Property]:
    """Return the graded cells, exercises of the bank first and in its order."""
    found = []
    for notebook in gradebook.find_assignment(assignment).notebooks:
        sources = {cell.name: cell.source or "" for cell in notebook.source_cells}
        for cell in notebook.grade_cells:
            try:
                name = parse_grade_id(cell.name)
            except ValueError:
                name = CellName(cell.name, "other")
            words = property_in_words(sources.get(cell.name, ""), name)
            found.append(Property(cell.name, name.slug, name.role, words, float(cell.max_score)))
    order = {slug: number for number, slug in enumerate(slugs)}
    # Stable: cells of one exercise keep the notebook's order, visible before hidden.
    return sorted(
        found, key=lambda prop: (order.get(prop.slug, len(order)), prop.role != "visible")
    )


def _graded(submission: SubmittedAssignment) -> dict[str, float]:
    return {
        grade.name: float(grade.score or 0.0)
        for notebook in submission.notebooks
        for grade in notebook.grades
    }


def _full_name(gradebook: Gradebook, student: str) -> str:
    try:
        entry = gradebook.find_student(student)
    except MissingEntry:
        return ""
    return " ".join(part for part in (entry.first_name, entry.last_name) if part)


def _submission(
    gradebook: Gradebook, course: Course, assignment: str, folder: Path, needed: list[str]
) -> Submission:
    """Return what is known of the submission in `folder`."""
    student = folder.parent.name
    name = _full_name(gradebook, student)
    outcome = load_outcome(course.root, assignment, student)
    missing = [file for file in needed if not (folder / file).exists()]
    if missing:
        return Submission(student, name, reason=missing_notebooks(missing, folder))
    if outcome is None:
        return Submission(student, name, reason="not graded yet")
    if outcome.status != GRADED:
        return Submission(student, name, reason=outcome.reason)
    try:
        entry = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return Submission(student, name, reason="not in the gradebook; grade again")
    return Submission(
        student,
        name,
        cells=_graded(entry),
        penalty=float(entry.late_submission_penalty or 0.0),
        remarks=tuple(outcome.remarks),
        waits_for_person=bool(entry.needs_manual_grade),
    )


def configured_url(course: Course) -> str:
    """Return the address of the gradebook that nbgrader's commands use in the course folder."""
    if not (course.root / CONFIG).is_file():
        return database_url(course)
    url = gradebook_url(course)
    name = url.removeprefix("sqlite:///")
    # A relative path is one in the course folder, where the commands run.
    return url if name == url else f"sqlite:///{course.root / name}"


def collect(course: Course, assignment: str, db_url: str | None = None) -> ClassRecord:
    """Return all that is known of an assignment's submissions.

    Scores are those that count: a person's where one was given, else the
    automatic one, plus extra credit.

    Parameters
    ----------
    course : Course
        The course folder.
    assignment : str
        The assignment's name.
    db_url : str, optional
        The gradebook, by default the one that ``nbgrader_config.py`` names, or the
        course's own.

    Raises
    ------
    ValueError
        If there is no gradebook, or it does not know the assignment.
    """
    exercises = bank.load(assignment)
    slugs = [exercise.slug for exercise in exercises]
    url = db_url or configured_url(course)
    if url == database_url(course) and not course.database.is_file():
        raise ValueError(f"course has no gradebook at {course.database}; release and grade first")
    with Gradebook(url) as gradebook:
        try:
            notebooks = gradebook.find_assignment(assignment).notebooks
        except MissingEntry:
            known = ", ".join(entry.name for entry in gradebook.assignments) or "none"
            raise ValueError(
                f"assignment must be one that the gradebook knows ({known}), got {assignment!r}"
            ) from None
        needed = [f"{notebook.name}.ipynb" for notebook in notebooks if notebook.grade_cells]
        submissions = [
            _submission(gradebook, course, assignment, folder, needed)
            for folder in sorted(course.submitted.glob(f"*/{assignment}"))
            if folder.is_dir()
        ]
        properties = _properties(gradebook, assignment, slugs)
    titles = {exercise.slug: exercise.title for exercise in exercises}
    return ClassRecord(assignment, tuple(properties), titles, tuple(submissions))
