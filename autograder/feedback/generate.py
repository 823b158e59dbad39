"""What `nbgrader generate_feedback` calls: one page for each notebook of a submission.

Beyond nbgrader's own pages:

- the page is made of facts (points, titles, the learner's own cells), never of a test cell;
- a submission that could not be graded gets a page that says why;
- every run writes every page anew, so none is older than a grade or a comment;
- nothing else of the submission is copied beside the pages.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from pathlib import Path
from typing import Any

from nbconvert.exporters import Exporter
from nbconvert.exporters.exporter import ResourcesDict
from nbgrader.api import Gradebook
from traitlets import Unicode

from autograder.attempts.policy import Attempts
from autograder.course import Course
from autograder.course.settings import zone_in
from autograder.course.turns import beside_others
from autograder.feedback import render
from autograder.feedback.collect import Collector, Places
from autograder.feedback.facts import Submission
from autograder.feedback.notebooks import read_notebook
from autograder.files import write_atomically
from autograder.gradebook.reader import graded_notebooks
from autograder.grading.outcomes import NOT_GRADED, UNFINISHED, Outcome, load_outcome

#: What nbgrader's exchange needs beside the pages, and what it writes there.
EXCHANGE_FILES = {
    "timestamp.txt": re.compile(r"[0-9A-Za-z :.+-]{1,80}\s*"),
    "submission_secret.txt": re.compile(r"[0-9A-Za-z]{16,256}\s*"),
}


class FeedbackExporter(Exporter):
    """Write the feedback page of a notebook."""

    file_extension = ".html"
    output_mimetype = "text/html"

    theory_url = Unicode(
        "../../../{assignment}/theory.ipynb#{anchor}",
        help="Where pages link to for theory; {anchor}, {assignment} and {section} are filled "
        "in. The default is right where nbgrader's exchange puts a fetched page. Empty: no links.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._graded: dict[str, list[str]] = {}
        if getattr(self.parent, "assignments", None):
            let_go = beside_others(self.parent, "nbgrader generate_feedback", self.log)
            try:
                self._clear()
                self._pages_of_the_ungraded()
            except BaseException:
                let_go()
                raise

    def from_filename(  # type: ignore[override]  # a page, where the base class has a notebook
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the page of one graded notebook.

        Raises
        ------
        ValueError
            If `resources` do not come from nbgrader: a page needs a gradebook.
        """
        if resources is None or "nbgrader" not in resources:
            raise ValueError("resources must come from nbgrader generate_feedback")
        names = resources["nbgrader"]
        student, assignment, notebook = names["student"], names["assignment"], names["notebook"]
        self._drop_what_is_no_page(self._folder(student, assignment))
        graded = self._graded_notebooks(assignment)
        if notebook in graded:
            collector = Collector(self._places(), student, assignment, notebook)
            submission = collector.collect(read_notebook(Path(filename)))
        else:
            submission = Submission(student, assignment, notebook, other_pages=tuple(graded))
        made = ResourcesDict(None, {**resources, "output_extension": self.file_extension})
        return render.page(submission), made

    @property
    def _coursedir(self) -> Any:
        assert self.parent is not None
        return self.parent.coursedir

    def _graded_notebooks(self, assignment: str) -> list[str]:
        if assignment not in self._graded:
            with Gradebook(self._coursedir.db_url) as gradebook:
                self._graded[assignment] = graded_notebooks(gradebook, assignment)
        return self._graded[assignment]

    def _places(self) -> Places:
        coursedir = self._coursedir
        root = Path(coursedir.root)
        return Places(
            root=root,
            db_url=coursedir.db_url,
            source=root / coursedir.source_directory,
            submitted=root / coursedir.submitted_directory,
            theory_url=self.theory_url,
            policy=Attempts(parent=self),
            zone=zone_in(self.config),
        )

    def _folder(self, student: str, assignment: str) -> Path:
        coursedir = self._coursedir
        path = coursedir.format_path(coursedir.feedback_directory, student, assignment)
        return Path(coursedir.root, path)

    def _clear(self) -> None:
        """Remove the pages that this run will write; nbgrader would keep outdated ones."""
        assert self.parent is not None
        for folder in map(Path, self.parent.assignments):
            student, assignment = folder.parent.name, folder.name
            if self._is_asked_for(student):
                pages = self._folder(student, assignment)
                if self._coursedir.notebook_id == "*":
                    shutil.rmtree(pages, ignore_errors=True)
                else:
                    (pages / f"{self._coursedir.notebook_id}.html").unlink(missing_ok=True)

    def _is_asked_for(self, student: str) -> bool:
        excluded = self._coursedir.student_id_exclude.split(",")
        asked = self._coursedir.student_id
        return student not in excluded and (student == asked or fnmatch.fnmatchcase(student, asked))

    def _pages_of_the_ungraded(self) -> None:
        """Write a page for each submission that nbgrader does not see: it was not graded."""
        coursedir = self._coursedir
        assignment, root = coursedir.assignment_id, Path(coursedir.root)
        for path in sorted((Course(root).outcomes / assignment).glob("*.json")):
            outcome = load_outcome(root, assignment, path.stem)
            if outcome is None or outcome.status != NOT_GRADED or outcome.reason == UNFINISHED:
                continue
            student = path.stem
            submitted = root / coursedir.submitted_directory / student / assignment
            autograded = root / coursedir.autograded_directory / student / assignment
            if self._is_asked_for(student) and submitted.is_dir() and not autograded.exists():
                self._write_reason(outcome, submitted)

    def _write_reason(self, outcome: Outcome, submitted: Path) -> None:
        assert self.parent is not None
        folder = self._folder(outcome.student, outcome.assignment)
        shutil.rmtree(folder, ignore_errors=True)
        for notebook in self._graded_notebooks(outcome.assignment):
            collector = Collector(self._places(), outcome.student, outcome.assignment, notebook)
            page = folder / f"{notebook}.html"
            write_atomically(page, render.page(collector.not_graded(outcome.reason)))
            page.chmod(int(str(self.parent.permissions), 8))
            self.log.warning("%s could not be graded; its page says why", outcome.student)
        for name in EXCHANGE_FILES:
            if _is_plain(submitted / name):
                shutil.copy(submitted / name, folder / name)

    def _drop_what_is_no_page(self, folder: Path) -> None:
        """Remove what nbgrader copied from the submission: a page needs none of it.

        Such a file may be a copy of anything that a link in the submission led to.
        """
        assert self.parent is not None
        ours = {f"{Path(name).stem}.html" for name in self.parent.notebooks}
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in ours and not (path.name in EXCHANGE_FILES and _is_plain(path)):
                path.unlink()


def _is_plain(path: Path) -> bool:
    """Tell whether a file of the exchange is no link and holds what the exchange writes."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 1000:
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return EXCHANGE_FILES[path.name].fullmatch(text) is not None
