"""The steps that are nbgrader's own, for some learners at a time, in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.apps.baseapp import NbGrader
from nbgrader.auth import Authenticator
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.exchange import ExchangeError, ExchangeFactory

from autograder.attempts.policy import Attempts
from autograder.attempts.record import Attempt, Records
from autograder.attempts.rules import standing
from autograder.course import EXECUTED, Course
from autograder.course.settings import zone_in
from autograder.feedback import render
from autograder.feedback.facts import Submission
from autograder.files import write_atomically
from autograder.gradebook.reader import due_of, graded_notebooks, grades_of
from autograder.grading.outcomes import GRADED, MACHINE, load_outcome
from autograder.watch.exchange import SECRET, ExchangeFolder
from autograder.watch.reviews import recall, remember
from autograder.watch.uploads import UploadsFolder


class NotNow(RuntimeError):
    """A step cannot be done now and may be later: the message says what is in the way."""


@dataclass(frozen=True)
class Graded:
    """What grading gave: automatic points, or the reason why there are none.

    `fault` says whose fault it is where it is not the submission's.
    """

    points: float = 0.0
    of: float = 0.0
    penalty: float = 0.0
    reason: str = ""
    fault: str = ""


class NbGraderCourse:
    """What nbgrader makes of a course folder and the configuration it finds.

    Makes the course folder the current one: nbgrader looks for its configuration there.

    Parameters
    ----------
    course : Course
        The course.
    """

    def __init__(self, course: Course) -> None:
        os.chdir(course.root)
        self.course = course
        self._app = NbGrader()
        self._app.initialize([])
        self.coursedir = self._app.coursedir
        self._authenticator = Authenticator(parent=self._app)
        self._exchange = ExchangeFactory(parent=self._app)

    @property
    def log(self) -> logging.Logger:
        """Nbgrader's log."""
        log: logging.Logger = self._app.log
        return log

    @property
    def policy(self) -> Attempts:
        """How many attempts learners have."""
        return Attempts(parent=self._app)

    @property
    def zone(self) -> tzinfo:
        """The course's own zone."""
        return zone_in(self._app.config)

    def exchange_folder(self, assignments: Sequence[str]) -> ExchangeFolder:
        """Return the folder into which learners submit.

        Raises
        ------
        NotNow
            If submissions of this course do not come through a folder.
        """
        collect = self._exchange.Collect(
            coursedir=self.coursedir, authenticator=self._authenticator, parent=self._app
        )
        root = getattr(collect, "root", "")
        if not root:
            raise NotNow(f"{type(collect).__name__} keeps submissions in no folder to be watched")
        inbound = Path(root) / self.coursedir.course_id / "inbound"
        return ExchangeFolder(
            inbound, assignments, self.zone, check_owner=bool(collect.check_owner)
        )

    def uploads_folder(self, folder: Path, assignment: str) -> UploadsFolder:
        """Return a folder into which somebody puts what a platform lets graders download."""
        notebooks = (self.course.source / assignment).glob("*.ipynb")
        graded_first = sorted(notebooks, key=lambda path: (path.stem in EXECUTED, path))
        mapping = self._app.config.PlatformExtractor.get("mapping", "students.csv")
        return UploadsFolder(
            folder,
            assignment,
            [path.name for path in graded_first],
            self.course.root / mapping,
        )

    @property
    def most_bytes(self) -> int:
        """Bytes that a submission may have, by nbgrader's own option."""
        return 1000 * int(self.coursedir.max_dir_size)

    def place_of(self, assignment: str, student: str) -> Path:
        """Return where grading looks for a submission."""
        coursedir = self.coursedir
        return Path(coursedir.format_path(coursedir.submitted_directory, student, assignment))

    def graded_place_of(self, assignment: str, student: str) -> Path:
        """Return where the graded submission lies."""
        coursedir = self.coursedir
        return Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))

    def pages_of(self, assignment: str, student: str) -> Path:
        """Return where the feedback pages of a submission lie."""
        coursedir = self.coursedir
        return Path(coursedir.format_path(coursedir.feedback_directory, student, assignment))

    @contextlib.contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """Open the gradebook."""
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            yield gradebook

    def due(self, assignment: str, student: str) -> datetime | None:
        """Return until when a learner can hand in, extension included; None without a date."""
        with self.gradebook() as gradebook:
            return due_of(gradebook, assignment, student)

    def grade(self, assignment: str, students: Sequence[str]) -> dict[str, Graded]:
        """Grade what lies in ``submitted/`` of some learners, as ``nbgrader autograde`` does."""
        self._convert(_SomeAutograde, assignment, students)
        with self.gradebook() as gradebook:
            for student in students:
                recall(*self._about(gradebook, assignment, student))
            return {student: self._graded(gradebook, assignment, student) for student in students}

    def remember_reviews(self, assignment: str, student: str) -> None:
        """Note what a person has graded of what lies there, before it is replaced."""
        with self.gradebook() as gradebook:
            remember(*self._about(gradebook, assignment, student))

    def _about(
        self, gradebook: Gradebook, assignment: str, student: str
    ) -> tuple[Gradebook, str, str, Path, Path]:
        graded = self.graded_place_of(assignment, student)
        return gradebook, assignment, student, graded, self.course.attempts / assignment / student

    def _graded(self, gradebook: Gradebook, assignment: str, student: str) -> Graded:
        outcome = load_outcome(self.course.root, assignment, student)
        if outcome is None:
            return Graded(reason="it was not come to", fault=MACHINE)
        if outcome.status != GRADED:
            return Graded(reason=outcome.reason, fault=outcome.fault)
        found = grades_of(gradebook, assignment, student=student).get(student)
        if found is None:
            return Graded(reason="the gradebook holds no grades for it", fault=MACHINE)
        cells = found.cells.values()
        return Graded(
            points=sum(cell.automatic for cell in cells),
            of=sum(cell.of for cell in cells),
            penalty=found.penalty,
        )

    def write_pages(self, assignment: str, students: Sequence[str]) -> None:
        """Write the feedback pages of some learners, as ``nbgrader generate_feedback`` does."""
        self._convert(_SomeFeedback, assignment, students)

    def _convert(self, kind: type[Any], assignment: str, students: Sequence[str]) -> None:
        coursedir = self.coursedir
        before = coursedir.assignment_id, coursedir.student_id_exclude, list(coursedir.ignore)
        course = self.course
        everybody = {path.parent.name for path in course.submitted.glob(f"*/{assignment}")}
        everybody |= {path.stem for path in (course.outcomes / assignment).glob("*.json")}
        coursedir.assignment_id = assignment
        coursedir.student_id_exclude = ",".join(sorted(everybody - set(students)))
        try:
            converter = kind(coursedir=coursedir, parent=self._app)
            converter.students = tuple(students)
            with contextlib.suppress(NbGraderException):  # the outcomes say what became of each
                converter.start()
        finally:
            coursedir.assignment_id, coursedir.student_id_exclude, coursedir.ignore = before

    def release(self, attempt: Attempt, folder: Path) -> None:
        """Give pages back, as ``nbgrader release_feedback`` does, or for a platform to take.

        Parameters
        ----------
        attempt : Attempt
            Whose, and on what.
        folder : Path
            Where the pages lie.

        Raises
        ------
        NotNow
            If the exchange does not take them.
        """
        if attempt.returned_as:
            for page in folder.glob("*.html"):
                name = f"{attempt.returned_as}{page.name}"
                write_atomically(
                    self.course.returned / attempt.assignment / name, page.read_bytes()
                )
            return
        if not (folder / SECRET).is_file():
            return  # it did not come through an exchange
        answers = self.course.state / "watch" / "answers"
        shutil.rmtree(answers, ignore_errors=True)
        shutil.copytree(folder, answers / attempt.student / attempt.assignment)
        coursedir = self.coursedir
        before = coursedir.assignment_id, coursedir.student_id, coursedir.feedback_directory
        coursedir.assignment_id, coursedir.student_id = attempt.assignment, attempt.student
        coursedir.feedback_directory = answers.relative_to(self.course.root).as_posix()
        try:
            self._exchange.ReleaseFeedback(
                coursedir=coursedir, authenticator=self._authenticator, parent=self._app
            ).start()
        except ExchangeError as error:
            raise NotNow(f"the exchange does not take feedback: {error}") from error
        finally:
            coursedir.assignment_id, coursedir.student_id, coursedir.feedback_directory = before

    def refuse(self, attempt: Attempt, folder: Path) -> None:
        """Write the pages that say why an attempt is not graded."""
        assignment, student = attempt.assignment, attempt.student
        made = Records(self.course).of(assignment, student)
        due = self.due(assignment, student)
        said = standing(self.policy, made, attempt, self.zone, due)
        why = f"{attempt.refused[:1].upper()}{attempt.refused[1:]}."
        for notebook in self.graded_notebooks(assignment):
            facts = Submission(student, assignment, notebook, refused=why, standing=tuple(said))
            write_atomically(folder / f"{notebook}.html", render.page(facts))

    def graded_notebooks(self, assignment: str) -> list[str]:
        """Return the notebooks of an assignment that carry points."""
        with self.gradebook() as gradebook:
            return graded_notebooks(gradebook, assignment)


class _Some:
    """A converter that takes some learners' submissions, whether notebooks lie there or not."""

    students: tuple[str, ...] = ()

    def init_notebooks(self) -> None:
        """List what is to be converted."""
        self.assignments: dict[str, list[str]] = {}
        self.notebooks: list[str] = []
        for student in self.students:
            folder = Path(self._format_source(self.coursedir.assignment_id, student))  # type: ignore[attr-defined]
            found = sorted(map(str, folder.glob("*.ipynb")))
            self.assignments[str(folder)] = found


class _SomeAutograde(_Some, Autograde):
    """`nbgrader autograde` for some learners."""


class _SomeFeedback(_Some, GenerateFeedback):
    """`nbgrader generate_feedback` for some learners."""
