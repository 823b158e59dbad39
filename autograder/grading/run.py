"""One run of ``nbgrader autograde``: what its submissions share, from the first to the last."""

from __future__ import annotations

import contextlib
import functools
import gc
import glob
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry
from nbgrader.converters import autograde
from nbgrader.converters.base import NbGraderException

from autograder.course.mends import matches
from autograder.course.turns import beside_others
from autograder.grading.ahead import Ahead
from autograder.grading.engine.jail import JailUnavailable
from autograder.grading.engine.pipeline import Pipeline
from autograder.grading.engine.service import EngineError
from autograder.grading.execute import ExecuteGraded
from autograder.grading.outcomes import (
    GRADED,
    MACHINE,
    NOT_GRADED,
    UNFINISHED,
    Outcome,
    load_outcome,
)
from autograder.grading.run_gradebook import RunGradebook
from autograder.grading.run_progress import RunProgress
from autograder.grading.submission import Owners, explain, fault_of, not_copied, refusal
from autograder.wording import first_line

#: Stands at the end of each notebook that was graded, so a part of one lacks it.
STAMP = b'"servemath": {'


class GradingRun:
    """The submissions to be graded, what runs them, and how far it is.

    Parameters
    ----------
    exporter : SubmissionExporter
        Whose run this is; its parent is nbgrader's converter.

    Raises
    ------
    NbGraderException
        If there is no way to run submissions here, or somebody else has the course; the
        message says what to do.
    """

    def __init__(self, exporter: Any) -> None:
        self._converter = exporter.parent
        self._coursedir = self._converter.coursedir
        self._log = exporter.log
        self.gradebook = RunGradebook(self._coursedir)
        self._executor = ExecuteGraded(parent=exporter)
        self._pipeline: Pipeline | None = None
        self._progress: RunProgress | None = None
        self._at_end: list[Callable[[], object]] = []
        self._last: Path | None = None
        self._opened: list[tuple[str, str]] = []
        self._owners = functools.cache(lambda: Owners.of_course(self._coursedir))
        self.ahead = Ahead(exporter, self._executor.job)
        if self._converter.assignments:
            let_go = beside_others(self._converter, "nbgrader autograde", self._log)
            try:
                self._begin()
            except BaseException:
                let_go()
                raise

    def _begin(self) -> None:
        self._ask_for_a_release()
        with self._told_plainly():
            _ = self._executor.wall
        coming = self._open_outcomes()
        self._lend_gradebook()
        self._watch_steps()
        if coming:
            self.ahead.expect(coming)
            self._last = coming[-1]
            try:
                _ = self.pipeline  # imports while the first submissions are read
            except NbGraderException as error:
                self._settle_unfinished(f"grading could not begin: {error}")
                raise
            self._progress = RunProgress(len(coming), self._log)
            self._at_end.append(weakref.finalize(self, self._progress.close))
            # All that is imported by now stays: no looking for garbage in it, over and over.
            gc.freeze()
            self._at_end.append(weakref.finalize(self, gc.unfreeze))

    def _ask_for_a_release(self) -> None:
        """End, in words, a command for a chapter that the gradebook does not know."""
        chapter = self._coursedir.assignment_id
        if not self.gradebook.originals(chapter):
            reason = (
                f"the gradebook holds no notebook of {chapter}: servemath release {chapter} "
                "makes the release that submissions are graded by; then grade again"
            )
            self._log.error("%s", reason)
            raise NbGraderException(reason)

    @property
    def pipeline(self) -> Pipeline:
        """What runs the submissions; it ends with the last of them.

        Raises
        ------
        NbGraderException
            If there is no way to run them here; the message says what to do.
        """
        if self._pipeline is None:
            with self._told_plainly():
                self._pipeline = self._executor.make_pipeline()
            self._at_end.append(weakref.finalize(self, self._pipeline.close))
        return self._pipeline

    @contextlib.contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """Make of what the engine lacks an error that nbgrader ends with, in words."""
        try:
            yield
        except (JailUnavailable, EngineError) as reason:
            self._log.error("%s", reason)
            raise NbGraderException(str(reason)) from None

    def graded_notebooks(self, assignment: str) -> list[str]:
        """Return the names of an assignment's notebooks that carry points."""
        originals = self.gradebook.originals(assignment)
        return [name for name, original in originals.items() if original.is_graded]

    def refusal(self, folder: Path) -> str:
        """Say why what lies in a submission's folder is not graded; empty if it is."""
        return refusal(folder, self.graded_notebooks(folder.name), self._owners)

    def _lend_gradebook(self) -> None:
        """Let nbgrader ask the run's own gradebook about a submission: it opens one five times."""
        begin = self._converter.init_assignment

        @functools.wraps(begin)
        def init_assignment(*names: str) -> None:
            with self.gradebook.lent_to(autograde):
                begin(*names)

        self._converter.init_assignment = init_assignment

    def _watch_steps(self) -> None:
        """Have a reason kept for whatever stops a submission, or the run, in nbgrader's hands.

        It gives files and gradebook to a submission before its notebook comes to the
        exporter. Only a command that was killed leaves an outcome that says no more than
        that grading did not finish.
        """
        converter = self._converter

        def watch(name: str) -> None:
            step = getattr(converter, name)

            @functools.wraps(step)
            def watched(*names: str) -> Any:
                try:
                    return step(*names)
                except Exception as error:
                    # A notebook goes by its path; all else by assignment and student.
                    assignment, student = names if len(names) == 2 else Path(*names).parts[-2:-4:-1]
                    self._stopped_outside(student, assignment, error)
                    raise

            setattr(converter, name, watched)

        for name in (
            *("init_destination", "init_assignment"),
            *("convert_single_notebook", "set_permissions"),
        ):
            watch(name)
        convert = converter.convert_notebooks

        @functools.wraps(convert)
        def convert_notebooks() -> None:
            said = "nbgrader passed it over; the log says why"
            try:
                convert()
            except Exception as error:
                said = f"the command stopped before it: {first_line(error)}"[:200]
                raise
            finally:
                if not isinstance(sys.exception(), (KeyboardInterrupt, SystemExit)):
                    self._settle_unfinished(said)

        converter.convert_notebooks = convert_notebooks

    def _stopped_outside(self, student: str, assignment: str, error: Exception) -> None:
        """Keep why nbgrader failed at a submission, unless a better reason is kept already."""
        root = Path(self._coursedir.root)
        kept = load_outcome(root, assignment, student)
        if kept is None or kept.status == GRADED or kept.reason == UNFINISHED:
            reason = explain(error, "outside its notebook")
            self.not_graded(student, assignment, reason, root, fault_of(error))

    def _settle_unfinished(self, reason: str) -> None:
        """Give each submission that this run did not come to the reason for it."""
        root = Path(self._coursedir.root)
        for student, assignment in self._opened:
            outcome = load_outcome(root, assignment, student)
            if outcome is not None and outcome.reason == UNFINISHED:
                self.not_graded(student, assignment, reason, root, MACHINE)

    def is_submitted(self, path: Path) -> bool:
        """Tell whether a file lies in what was handed in, not in what became of it."""
        submitted = Path(self._coursedir.root, self._coursedir.submitted_directory)
        return any(parent.samefile(submitted) for parent in path.absolute().parents)

    def _open_outcomes(self) -> list[Path]:
        """Give every submission of this run an outcome; return the notebooks to be graded.

        A folder in which nbgrader saw no notebook is added to its list: it holds
        ``exercises.ipynb.txt``, say, and would be passed over with exit code 0. What
        an interrupted run left half graded is removed, or nbgrader would skip it.
        Until a submission is done its outcome says that grading did not finish.
        """
        coursedir, assignments = self._coursedir, self._converter.assignments
        pattern = coursedir.format_path(
            coursedir.submitted_directory, coursedir.student_id, coursedir.assignment_id
        )
        whole = coursedir.notebook_id == "*"
        if whole:
            for found in matches(pattern):
                if Path(found).is_dir():
                    assignments.setdefault(found, [])
        graded = self.graded_notebooks(coursedir.assignment_id)
        excluded = coursedir.student_id_exclude.split(",")
        coming: list[Path] = []
        for folder in map(Path, sorted(assignments)):
            student, assignment, root = folder.parent.name, folder.name, Path(coursedir.root)
            if student in excluded:
                continue
            # nbgrader copies what lies beside a notebook: not what a link or a device leads to.
            coursedir.ignore.extend(glob.escape(str(path)) for path in not_copied(folder))
            reason = self.refusal(folder)
            if reason:
                self.not_graded(student, assignment, reason, root)
                continue
            done = Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))
            kept = load_outcome(root, assignment, student)
            whole_record = kept is not None and kept.status == GRADED
            if whole and done.exists() and not (whole_record and self._is_done(folder, done)):
                self._log.warning("%s was left half graded and is graded again", student)
                shutil.rmtree(done)
            if self._converter.force or not done.exists():
                Outcome(student, assignment, NOT_GRADED, UNFINISHED).save(root)
                self._opened.append((student, assignment))
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

    def not_graded(
        self, student: str, assignment: str, reason: str, root: Path, fault: str = ""
    ) -> None:
        """Say in the log, and keep, why a submission could not be graded."""
        self._log.error("%s could not be graded: %s", student, reason)
        Outcome(student, assignment, NOT_GRADED, reason, fault=fault).save(root)

    def flag_for_a_person(self, names: dict[str, str]) -> None:
        """Take back automatic scores of an earlier grading and ask for a person's eye."""
        with self.gradebook.open() as gradebook:
            for notebook in self.graded_notebooks(names["assignment"]):
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

    def count(self, names: dict[str, str], seconds: float, *, failed: bool = False) -> None:
        """Count a notebook that was graded, or could not be."""
        if self._progress is not None:
            self._progress.done(names["student"], seconds)
        if self._last is None:
            return
        submission = (names["student"], names["assignment"])
        is_last = self._last.parts[-3:-1] == submission
        if is_last and (failed or self._last.stem == names["notebook"]):
            self._end()

    def _end(self) -> None:
        """Let go of what the run needs; a server, such as formgrader's, goes on after it."""
        self._pipeline = self._last = None
        self.ahead.expect(())
        while self._at_end:
            self._at_end.pop()()
