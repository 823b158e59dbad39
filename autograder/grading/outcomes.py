"""What happened to each submission: kept in small JSON files, read back as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry

from autograder.cells import CellName, parse_grade_id
from autograder.course import Course
from autograder.files import write_atomically
from autograder.grading.submission import missing_notebooks

GRADED = "graded"
NOT_GRADED = "not graded"

#: The reason of a submission until its grading is done.
UNFINISHED = "grading did not finish"


@dataclass
class Outcome:
    """What happened to one submission at its last grading.

    `reason` says why it could not be graded; `remarks` are what a grader should
    know about one that was.
    """

    student: str
    assignment: str
    status: str = GRADED
    reason: str = ""
    remarks: list[str] = field(default_factory=list)

    def path(self, root: Path) -> Path:
        """Return where this outcome is kept in the course at `root`."""
        return outcome_path(root, self.assignment, self.student)

    def save(self, root: Path) -> None:
        """Keep this outcome in the course at `root`."""
        write_atomically(self.path(root), json.dumps(asdict(self), indent=1) + "\n")


def remarks_of(resources: dict[str, Any]) -> list[str]:
    """Return the list, carried by `resources`, of what a grader should know."""
    remarks: list[str] = resources.setdefault("servemath", {}).setdefault("remarks", [])
    return remarks


def outcome_path(root: Path, assignment: str, student: str) -> Path:
    """Return where the outcome of a submission is kept in the course at `root`."""
    return root / "outcomes" / assignment / f"{student}.json"


def load_outcome(root: Path, assignment: str, student: str) -> Outcome | None:
    """Return the outcome kept for a submission, or None if there is none."""
    path = outcome_path(root, assignment, student)
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        return Outcome(student, assignment, NOT_GRADED, f"{path.name} is damaged ({error})")


@dataclass(frozen=True)
class Row:
    """One submission of the class table; scores are None where it could not be graded."""

    student: str
    scores: dict[str, float] | None
    notes: tuple[str, ...]

    @property
    def total(self) -> float | None:
        """The sum over all exercises."""
        return None if self.scores is None else sum(self.scores.values())


@dataclass(frozen=True)
class ClassTable:
    """Scores of a class, per exercise, with what a grader should know."""

    assignment: str
    max_points: dict[str, float]
    rows: tuple[Row, ...]

    @property
    def all_graded(self) -> bool:
        """Whether every submission has a grade."""
        return all(row.scores is not None for row in self.rows)


def _exercise_of(grade_id: str) -> CellName | None:
    try:
        return parse_grade_id(grade_id)
    except ValueError:
        return None


def database_url(course: Course) -> str:
    """Return the address of the course's own SQLite gradebook."""
    return f"sqlite:///{course.database}"


def _auto_scores(gradebook: Gradebook, assignment: str, student: str) -> dict[str, float] | None:
    """Return the score of each exercise, or None if the gradebook has no submission."""
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return None
    scores: dict[str, float] = {}
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            name = _exercise_of(grade.name)
            if name is not None and name.role in ("visible", "hidden"):
                scores[name.slug] = scores.get(name.slug, 0.0) + float(grade.auto_score or 0)
    return scores


def class_table(
    course: Course, assignment: str, slugs: Iterable[str], db_url: str | None = None
) -> ClassTable:
    """Collect the scores and outcomes of all submissions of an assignment.

    Parameters
    ----------
    course : Course
        The course folder.
    assignment : str
        The assignment's name.
    slugs : iterable of str
        The exercises, in the order of the columns.
    db_url : str, optional
        The gradebook, by default the course's own.
    """
    order = list(slugs)
    rows = []
    with Gradebook(db_url or database_url(course)) as gradebook:
        max_points = dict.fromkeys(order, 0.0)
        notebooks = gradebook.find_assignment(assignment).notebooks
        needed = [f"{notebook.name}.ipynb" for notebook in notebooks if notebook.grade_cells]
        for notebook in notebooks:
            for cell in notebook.grade_cells:
                name = _exercise_of(cell.name)
                if name is not None and name.slug in max_points and name.role != "answer":
                    max_points[name.slug] += float(cell.max_score)
        for folder in sorted(course.submitted.glob(f"*/{assignment}")):
            student = folder.parent.name
            outcome = load_outcome(course.root, assignment, student)
            missing = [name for name in needed if not (folder / name).exists()]
            if missing:
                rows.append(Row(student, None, (missing_notebooks(missing, folder),)))
            elif outcome is None:
                rows.append(Row(student, None, ("not graded yet",)))
            elif outcome.status != GRADED:
                rows.append(Row(student, None, (outcome.reason,)))
            else:
                scores = _auto_scores(gradebook, assignment, student)
                if scores is None:
                    rows.append(Row(student, None, ("not in the gradebook; grade again",)))
                    continue
                complete = {slug: scores.get(slug, 0.0) for slug in order}
                rows.append(Row(student, complete, tuple(outcome.remarks)))
    return ClassTable(assignment, max_points, tuple(rows))
