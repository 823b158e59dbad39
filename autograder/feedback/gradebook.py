"""What the gradebook says of one notebook of a submission."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbgrader.api import Gradebook, MissingEntry

from autograder.feedback.hidden import CellSource, split_source


@dataclass(frozen=True)
class Score:
    """What the gradebook says of one graded cell."""

    points: float
    of: float
    by_hand: bool
    waiting: bool


@dataclass
class Graded:
    """What the gradebook says of one notebook of a submission."""

    scores: dict[str, Score] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    late_penalty: float = 0.0


def read_gradebook(db_url: str, student: str, assignment: str, notebook: str) -> Graded:
    """Return what the gradebook says of one notebook of a submission.

    Raises
    ------
    MissingEntry
        If the gradebook has no such submission.
    """
    graded = Graded()
    with Gradebook(db_url) as gradebook:
        found = gradebook.find_submission_notebook(notebook, assignment, student)
        for grade in found.grades:
            graded.scores[grade.name] = Score(
                points=float(grade.score or 0),
                of=float(grade.max_score or 0),
                by_hand=grade.manual_score is not None,
                waiting=bool(grade.needs_manual_grade),
            )
        for comment in found.comments:
            if comment.comment:
                graded.comments[comment.name] = str(comment.comment)
        graded.late_penalty = float(found.late_submission_penalty or 0)
    return graded


def read_sources(db_url: str, assignment: str, notebook: str) -> dict[str, CellSource]:
    """Return the course's cells of a notebook, as the gradebook keeps them, by `grade_id`."""
    with Gradebook(db_url) as gradebook:
        try:
            cells = gradebook.find_notebook(notebook, assignment).source_cells
        except MissingEntry:
            return {}
        return {cell.name: split_source(str(cell.source or "")) for cell in cells}


def graded_notebooks(db_url: str, assignment: str) -> list[str]:
    """Return the notebooks of an assignment that carry points."""
    with Gradebook(db_url) as gradebook:
        try:
            notebooks = gradebook.find_assignment(assignment).notebooks
        except MissingEntry:
            return []
        return [notebook.name for notebook in notebooks if notebook.grade_cells]
