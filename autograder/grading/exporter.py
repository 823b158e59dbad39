"""One submission in, one outcome out.

nbgrader converts each notebook twice: ``submitted/`` to ``autograded/``
(sanitise), then in place (grade). This exporter watches both passes. It turns
whatever stops one of them into one sentence for the log and the class table,
and keeps the outcome; nbgrader then goes on with the next submission and ends
with exit code 1 if any could not be graded.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbconvert.exporters import Exporter, NotebookExporter
from nbformat import NotebookNode
from nbformat.reader import NotJSONError
from nbformat.validator import NotebookValidationError
from nbgrader.api import MissingEntry
from nbgrader.converters.base import NbGraderException

from autograder.grading.ahead import Ahead
from autograder.grading.engine.jail import JailUnavailable
from autograder.grading.engine.pipeline import Pipeline
from autograder.grading.engine.service import EngineError
from autograder.grading.outcomes import (
    GRADED,
    NOT_GRADED,
    Outcome,
    load_outcome,
    missing_notebooks,
)
from autograder.grading.progress import RunProgress
from autograder.grading.run_gradebook import RunGradebook

if TYPE_CHECKING:
    from autograder.grading.execute import ExecuteGraded

#: Stands at the end of each notebook that was graded, so a part of one lacks it.
STAMP = b'"servemath": {'

#: The outcome of a submission until its grading is done.
UNFINISHED = "grading did not finish"


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


def _key(resources: dict[str, Any] | None) -> tuple[str, ...]:
    """Return whose notebook `resources` belong to."""
    names = (resources or {}).get("nbgrader", {})
    return tuple(names.get(part, "") for part in ("student", "assignment", "notebook"))


def check_file(path: Path) -> None:
    """Refuse a file that is not a notebook, and say what it is instead.

    Raises
    ------
    UngradableSubmission
        If the file is no file, empty, begins with a byte-order mark, or holds
        JSON of another shape.
    """
    if path.is_symlink():
        raise UngradableSubmission(f"{path.name} is a link, not a notebook")
    if not path.is_file():
        raise UngradableSubmission(f"{path.name} is not a file")
    data = path.read_bytes()
    if not data:
        raise UngradableSubmission(f"{path.name} is an empty file")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise UngradableSubmission(
            f"{path.name} begins with a byte-order mark; save it as UTF-8 without one"
        )
    notebook = json.loads(data)
    cells = notebook.get("cells", notebook.get("worksheets")) if isinstance(notebook, dict) else ()
    shaped = isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)
    if not shaped:
        raise UngradableSubmission(f"{path.name} is JSON but not a notebook")


def not_copied(folder: Path) -> list[Path]:
    """Return what in a submission nbgrader must not copy: links, pipes, devices, odd names.

    It follows links, reads pipes, and logs names as they are, escape sequences included.
    """
    return [
        path
        for path in folder.rglob("*")
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or not path.name.isprintable()
    ]


class SubmissionExporter(NotebookExporter):
    """Write notebooks as nbgrader does, and keep the outcome of each submission."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._remarks: dict[tuple[str, str], list[str]] = {}
        self._converted: dict[tuple[str, ...], tuple[NotebookNode, str]] = {}
        if self.parent is not None and hasattr(self.parent, "coursedir"):
            self.gradebook = RunGradebook(self.parent.coursedir)
        self._pipeline: Pipeline | None = None
        self._ahead: Ahead | None = None
        self._progress: RunProgress | None = None
        self._at_end: list[Callable[[], object]] = []
        self._last: Path | None = None
        if getattr(self.parent, "assignments", None):
            with self._told_plainly():
                self._executor().is_jailed()
            coming = self._open_outcomes()
            if coming:
                self._ahead = Ahead(self, coming, self._executor().job)
                self._last = coming[-1]
                _ = self.pipeline  # imports while the first submissions are read
                self._progress = RunProgress(len(coming), self.log)
                self._at_end.append(weakref.finalize(self, self._progress.close))
                # All that is imported by now stays: no looking for garbage in it, over and over.
                gc.freeze()
                self._at_end.append(weakref.finalize(self, gc.unfreeze))

    def _executor(self) -> ExecuteGraded:
        # The plug-in reports to this module, which therefore loads first.
        from autograder.grading.execute import ExecuteGraded

        return ExecuteGraded(parent=self)

    @property
    def pipeline(self) -> Pipeline:
        """What runs the submissions of this run; it ends with the last of them.

        Raises
        ------
        NbGraderException
            If there is no way to run them here; the message says what to do.
        """
        if self._pipeline is None:
            with self._told_plainly():
                self._pipeline = self._executor().make_pipeline()
            self._at_end.append(weakref.finalize(self, self._pipeline.close))
        return self._pipeline

    @contextlib.contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """Make of what the engine lacks an error that nbgrader ends with, in words."""
        try:
            yield
        except (JailUnavailable, EngineError) as reason:
            self.log.error("%s", reason)
            raise NbGraderException(str(reason)) from None

    def _open_outcomes(self) -> list[Path]:
        """Give every submission of this run an outcome; return the notebooks to be graded.

        A folder in which nbgrader saw no notebook is added to its list: it holds
        ``exercises.ipynb.txt``, say, and would be passed over with exit code 0. What
        an interrupted run left half graded is removed, or nbgrader would skip it.
        Until a submission is done its outcome says that grading did not finish.
        """
        assert self.parent is not None
        coursedir = self.parent.coursedir
        pattern = coursedir.format_path(
            coursedir.submitted_directory, coursedir.student_id, coursedir.assignment_id
        )
        whole = coursedir.notebook_id == "*"
        if whole:
            for folder in glob.glob(pattern):  # noqa: PTH207 - the pattern is absolute
                if Path(folder).is_dir():
                    self.parent.assignments.setdefault(folder, [])
        graded = self._graded_notebooks(coursedir.assignment_id)
        excluded = coursedir.student_id_exclude.split(",")
        coming: list[Path] = []
        for folder in map(Path, sorted(self.parent.assignments)):
            student, assignment, root = folder.parent.name, folder.name, Path(coursedir.root)
            if student in excluded:
                continue
            # nbgrader copies what lies beside a notebook: not what a link or a device leads to.
            coursedir.ignore.extend(glob.escape(str(path)) for path in not_copied(folder))
            missing = self._missing(folder, graded)
            if missing:
                self._not_graded(student, assignment, missing_notebooks(missing, folder), root)
                continue
            done = Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))
            kept = load_outcome(root, assignment, student)
            whole_record = kept is not None and kept.status == GRADED
            if whole and done.exists() and not (whole_record and self._is_done(folder, done)):
                self.log.warning("%s was left half graded and is graded again", student)
                shutil.rmtree(done)
            if self.parent.force or not done.exists():
                Outcome(student, assignment, NOT_GRADED, UNFINISHED).save(root)
                coming += [folder / f"{name}.ipynb" for name in graded]
        return coming

    def _is_done(self, submitted: Path, done: Path) -> bool:
        """Tell whether every notebook of a submission was written to its end."""
        return all(
            STAMP in path.read_bytes() if path.is_file() else False
            for name in self.gradebook.originals(submitted.name)
            if (submitted / f"{name}.ipynb").exists()
            for path in [done / f"{name}.ipynb"]
        )

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
        if sanitising:
            self._converted.clear()
            if self._ahead is not None:
                self._ahead.reach(path, self.pipeline)
        graded = self._graded_notebooks(assignment)
        # The remarks of the first pass go with the second: one outcome a submission.
        key = (student, assignment)
        remarks_of(resources).extend([] if sanitising else self._remarks.pop(key, []))
        try:
            self._check_folder(path.parent, graded)
            if names["notebook"] not in graded:
                return self._convert_ungraded(path, resources, **kw)
            check_file(path)
            if sanitising:
                Outcome(student, assignment, NOT_GRADED, UNFINISHED).save(Path.cwd())
            result = super().from_filename(filename, resources=resources, **kw)
        except Exception as error:
            self._not_graded(student, assignment, explain(error, path.name), Path.cwd())
            self._flag_for_a_person(names, graded)
            self._count(names, 0.0, failed=True)
            raise
        remarks = remarks_of(result[1])  # nbconvert works on a copy of what it is given
        if sanitising:
            self._remarks[key] = remarks
        else:
            for remark in remarks:
                self.log.warning("%s: %s", student, remark)
            Outcome(student, assignment, remarks=remarks).save(Path.cwd())
            self._count(names, result[1]["servemath"].get("seconds", 0.0))
        return result

    def _count(self, names: dict[str, str], seconds: float, *, failed: bool = False) -> None:
        if self._progress is not None:
            self._progress.done(names["student"], seconds)
        if self._last is None:
            return
        submission = (names["student"], names["assignment"])
        is_last = self._last.parts[-3:-1] == submission
        if is_last and (failed or self._last.stem == names["notebook"]):
            self._end()

    def _end(self) -> None:
        """Let go of what a run needs; a server, such as formgrader's, goes on after it."""
        self._ahead = self._pipeline = self._last = None
        while self._at_end:
            self._at_end.pop()()

    def from_file(
        self, file_stream: Any, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Convert an open file; what was sanitised a moment ago need not be read back."""
        if _key(resources) not in self._converted:
            return super().from_file(file_stream, resources=resources, **kw)
        notebook, _ = self._converted[_key(resources)]
        return self.from_notebook_node(notebook, resources=resources, **kw)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Convert a notebook into text, as nbformat writes it.

        nbformat would validate it once more, and write again what did not change.
        """
        converted, resources = Exporter.from_notebook_node(self, nb, resources, **kw)
        before, text = self._converted.get(_key(resources), (None, ""))
        if before != converted:
            text = nbformat.v4.writes(converted) + "\n"
        self._converted = {_key(resources): (converted, text)}
        return text, resources

    def _preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run the preprocessors and validate what they made of the notebook.

        nbconvert also copies the notebook, which is a copy already, and validates it
        after each of them: 40 ms a submission.
        """
        for preprocessor in self._preprocessors:
            nb, resources = preprocessor(nb, resources)
        if "executed" in resources.get("servemath", {}):
            nb.metadata["servemath"] = {"graded": True}
        nbformat.validate(nb, relax_add_props=True)
        return nb, resources

    def _convert_ungraded(
        self, path: Path, resources: dict[str, Any], **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Convert a notebook without points; one that cannot be read costs nothing."""
        try:
            check_file(path)
            return super().from_filename(str(path), resources=resources, **kw)
        except Exception as error:
            names = resources["nbgrader"]
            student, assignment = names["student"], names["assignment"]
            remark = f"{path.name} could not be read; it carries no points"
            self.log.warning("%s: %s (%s)", student, remark, explain(error, path.name))
            outcome = load_outcome(Path.cwd(), assignment, student)
            if outcome is not None and remark not in outcome.remarks:
                outcome.remarks.append(remark)
                outcome.save(Path.cwd())
            empty = nbformat.v4.new_notebook()
            return super().from_notebook_node(empty, resources=resources, **kw)

    def _is_submitted(self, path: Path) -> bool:
        assert self.parent is not None
        coursedir = self.parent.coursedir
        submitted = Path(coursedir.root, coursedir.submitted_directory)
        return any(parent.samefile(submitted) for parent in path.absolute().parents)

    def _graded_notebooks(self, assignment: str) -> list[str]:
        originals = self.gradebook.originals(assignment)
        return [name for name, original in originals.items() if original.is_graded]

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

    def _flag_for_a_person(self, names: dict[str, str], graded: list[str]) -> None:
        """Take back automatic scores of an earlier grading and ask for a person's eye."""
        with self.gradebook.open() as gradebook:
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
