"""One submission in, one outcome out.

nbgrader converts each notebook twice: ``submitted/`` to ``autograded/``
(sanitise), then in place (grade). This exporter watches both passes. It turns
whatever stops one of them into one sentence for the log and the class table,
and keeps the outcome; nbgrader then goes on with the next submission and ends
with exit code 1 if any could not be graded.
"""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.reader import NotJSONError
from nbformat.validator import NotebookValidationError
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters.base import NbGraderException

from autograder.grading.outcomes import NOT_GRADED, Outcome, missing_notebooks


class UngradableSubmission(NbGraderException):
    """A submission that cannot be graded, with the reason as a person would say it."""


def remarks_of(resources: dict[str, Any]) -> list[str]:
    """Return the list, carried by `resources`, of what a grader should know."""
    remarks: list[str] = resources.setdefault("servemath", {}).setdefault("remarks", [])
    return remarks


def explain(error: BaseException, name: str) -> str:
    """Return one sentence that says why the notebook `name` could not be graded."""
    if isinstance(error, UngradableSubmission):
        return str(error)
    if isinstance(error, (NotJSONError, json.JSONDecodeError)):
        return f"{name} is not valid JSON (damaged or cut short)"
    if isinstance(error, UnicodeDecodeError):
        return f"{name} is not UTF-8 text, so it is not a notebook"
    if isinstance(error, NotebookValidationError):
        return f"{name} is JSON but not a valid notebook"
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{name}: {type(error).__name__}: {first_line}"[:200]


class SubmissionExporter(NotebookExporter):
    """Write notebooks as nbgrader does, and keep the outcome of each submission."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._remarks: dict[tuple[str, str], list[str]] = {}
        if getattr(self.parent, "assignments", None):
            self._add_folders_without_notebooks()

    def _add_folders_without_notebooks(self) -> None:
        """Have nbgrader count submissions in which it saw no notebook at all.

        It passes over a folder that holds only ``exercises.ipynb.txt``, say, and
        would end with exit code 0 as if everybody had been graded.
        """
        assert self.parent is not None
        coursedir = self.parent.coursedir
        pattern = coursedir.format_path(
            coursedir.submitted_directory, coursedir.student_id, coursedir.assignment_id
        )
        if coursedir.notebook_id == "*":
            for folder in glob.glob(pattern):  # noqa: PTH207 - the pattern is absolute
                if Path(folder).is_dir():
                    self.parent.assignments.setdefault(folder, [])
        graded = self._graded_notebooks(coursedir.db_url, coursedir.assignment_id)
        for folder in map(Path, self.parent.assignments):
            missing = self._missing(folder, graded)
            if missing:
                student = folder.parent.name
                reason = missing_notebooks(missing, folder)
                self._not_graded(student, coursedir.assignment_id, reason, coursedir.root)

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Convert one notebook, keeping what happened."""
        if resources is None or "nbgrader" not in resources:
            return super().from_filename(filename, resources=resources, **kw)
        path = Path(filename)
        names = resources["nbgrader"]
        student, assignment = names["student"], names["assignment"]
        sanitising = self._is_submitted(path)
        graded = self._graded_notebooks(names["db_url"], assignment)
        # The remarks of the first pass go with the second: one outcome a submission.
        key = (student, assignment)
        remarks_of(resources).extend([] if sanitising else self._remarks.pop(key, []))
        try:
            self._check_folder(path.parent, graded)
            self._check_size(path)
            result = super().from_filename(filename, resources=resources, **kw)
        except Exception as error:
            self._not_graded(student, assignment, explain(error, path.name), Path.cwd())
            self._flag_for_a_person(names, graded)
            raise
        if names["notebook"] in graded:
            remarks = remarks_of(result[1])  # nbconvert works on a copy of what it is given
            if sanitising:
                self._remarks[key] = remarks
            else:
                for remark in remarks:
                    self.log.warning("%s: %s", student, remark)
                Outcome(student, assignment, remarks=remarks).save(Path.cwd())
        return result

    def _is_submitted(self, path: Path) -> bool:
        assert self.parent is not None
        coursedir = self.parent.coursedir
        submitted = Path(coursedir.root, coursedir.submitted_directory)
        return any(parent.samefile(submitted) for parent in path.absolute().parents)

    @staticmethod
    def _graded_notebooks(db_url: str, assignment: str) -> list[str]:
        with Gradebook(db_url) as gradebook:
            try:
                notebooks = gradebook.find_assignment(assignment).notebooks
            except MissingEntry:
                return []
            return [notebook.name for notebook in notebooks if notebook.grade_cells]

    def _not_graded(self, student: str, assignment: str, reason: str, root: Path | str) -> None:
        self.log.error("%s could not be graded: %s", student, reason)
        Outcome(student, assignment, NOT_GRADED, reason).save(Path(root))

    @staticmethod
    def _missing(folder: Path, graded: list[str]) -> list[str]:
        return [f"{name}.ipynb" for name in graded if not (folder / f"{name}.ipynb").exists()]

    @classmethod
    def _check_folder(cls, folder: Path, graded: list[str]) -> None:
        """Refuse a submission without a notebook that carries points.

        nbgrader would score the missing notebook 0 in silence.
        """
        missing = cls._missing(folder, graded)
        if missing:
            raise UngradableSubmission(missing_notebooks(missing, folder))

    @staticmethod
    def _check_size(path: Path) -> None:
        if path.stat().st_size == 0:
            raise UngradableSubmission(f"{path.name} is an empty file")

    @staticmethod
    def _flag_for_a_person(names: dict[str, str], graded: list[str]) -> None:
        """Take back automatic scores of an earlier grading and ask for a person's eye."""
        with Gradebook(names["db_url"]) as gradebook:
            for notebook in graded:
                try:
                    submission = gradebook.find_submission_notebook(
                        notebook, names["assignment"], names["student"]
                    )
                except MissingEntry:
                    continue
                for grade in submission.grades:
                    grade.auto_score = None
                    grade.needs_manual_grade = True
            gradebook.db.commit()
