"""Write what a notebook earned into the gradebook at once.

nbgrader's own preprocessors decide what is written. They ask the gradebook for each
cell and commit after each; here their questions are answered from two queries for
the whole notebook, and what they wrote becomes one transaction.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from nbformat import NotebookNode
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
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades

from autograder.cells import grade_id_of, is_graded_by_hand, rubric_of
from autograder.course.settings import zone_in
from autograder.grading.outcomes import remarks_of
from autograder.grading.run_gradebook import gradebook_of_run
from autograder.late.stamp import read_stamp


class Submitted(NamedTuple):
    """The columns of a submitted notebook that matter here.

    Asking for nbgrader's own object adds up every score of the class on the way.
    """

    id: str
    notebook_id: str
    penalty: float | None
    timestamp: Any
    duedate: Any

    @classmethod
    def find(cls, gradebook: Gradebook, names: dict[str, str]) -> Submitted:
        """Return the submitted notebook that `names` tell."""
        found = (
            gradebook.db.query(
                SubmittedNotebook.id,
                SubmittedNotebook.notebook_id,
                SubmittedNotebook.late_submission_penalty,
                SubmittedAssignment.timestamp,
                Assignment.duedate,
            )
            .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
            .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
            .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
            .filter(
                Notebook.name == names["notebook"],
                Assignment.name == names["assignment"],
                SubmittedAssignment.student_id == names["student"],
            )
            .one()
        )
        return cls(*found)


class NotebookRows:
    """The grades and comments of one submitted notebook, as nbgrader asks a gradebook for them."""

    def __init__(self, gradebook: Gradebook, names: dict[str, str]) -> None:
        submitted = Submitted.find(gradebook, names)
        self._grades = self._by_cell(gradebook, Grade, submitted)
        self._comments = self._by_cell(gradebook, Comment, submitted)
        # nbgrader commits through its gradebook's session.
        self.db = self

    @staticmethod
    def _by_cell(gradebook: Gradebook, kind: type[Any], submitted: Submitted) -> dict[str, Any]:
        # Through the notebook's cells, for which there is an index: not all rows of the class.
        rows = (
            gradebook.db.query(BaseCell.name, kind)
            .join(kind, kind.cell_id == BaseCell.id)
            .filter(BaseCell.notebook_id == submitted.notebook_id)
            .filter(kind.notebook_id == submitted.id)
        )
        return dict(rows.all())

    def find_grade(self, cell: str, *_names: str) -> Grade:
        """Return the grade of a cell."""
        return self._found(self._grades, cell)

    def find_comment(self, cell: str, *_names: str) -> Comment:
        """Return the comment on a cell."""
        return self._found(self._comments, cell)

    @staticmethod
    def _found(rows: dict[str, Any], cell: str) -> Any:
        if cell not in rows:
            raise MissingEntry(f"the gradebook keeps nothing for the cell {cell!r}")
        return rows[cell]

    def commit(self) -> None:
        """Wait: the whole notebook is committed at its end."""


class SaveGrades(SaveAutoGrades):
    """`SaveAutoGrades` in one transaction a notebook.

    Where a person grades, the comment that nbgrader keeps for itself is the rubric: formgrader
    shows it in the empty comment box. Feedback never does.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Save scores and comments of all cells, or of none."""
        if not any(map(grade_id_of, nb.cells)):
            return nb, resources
        names = resources["nbgrader"]
        self.notebook_id, self.assignment_id = names["notebook"], names["assignment"]
        self.student_id = names["student"]
        with gradebook_of_run(self).open() as gradebook:
            self.gradebook = NotebookRows(gradebook, names)
            for index, cell in enumerate(nb.cells):
                self.preprocess_cell(cell, resources, index)
                if is_graded_by_hand(cell):
                    self._add_rubric(nb, str(grade_id_of(cell)))
            gradebook.db.commit()
        return nb, resources

    def _add_rubric(self, nb: NotebookNode, grade_id: str) -> None:
        """Put the rubric where an answer waits for a comment."""
        comment = self.gradebook.find_comment(grade_id)
        rubric = rubric_of(nb, grade_id.partition("__")[0])
        if comment.auto_comment is None and rubric:
            comment.auto_comment = "\n".join(["Rubric:", *(f"- {item}" for item in rubric)])


class AssignPenalties(AssignLatePenalties):
    """`AssignLatePenalties`, by what ``timestamp.txt`` says now.

    nbgrader keeps the time of an earlier grading where a submission tells none any more.
    Left out where there is no penalty to assign or to take back.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Assign the penalty of a late submission."""
        names = resources["nbgrader"]
        kept = gradebook_of_run(self)
        folder = kept.coursedir.format_path(
            kept.coursedir.submitted_directory, names["student"], names["assignment"]
        )
        stamp = read_stamp(Path(folder), zone_in(self.config))
        if stamp.remark:
            remarks_of(resources).append(stamp.remark)
        with kept.open() as gradebook:
            found = Submitted.find(gradebook, names)
            if stamp.time is None and found.timestamp is not None:
                gradebook.find_submission(names["assignment"], names["student"]).timestamp = None
                gradebook.db.commit()
        may_be_late = stamp.time is not None and found.duedate is not None
        if may_be_late or found.penalty is not None:
            return super().preprocess(nb, resources)
        return nb, resources
