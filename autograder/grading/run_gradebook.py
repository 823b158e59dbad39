"""The gradebook as one run of ``nbgrader autograde`` uses it: few openings, course cells read once.

nbgrader opens a gradebook for each question it asks, and each opening builds an
engine that compiles every SQL statement again: that takes far longer than the
question itself. Here one engine serves the whole run. Between uses it holds no
connection, so that other graders, a database that restarts and forked processes
meet nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from autograder.cells import grade_id_of
from autograder.grading.original import Original


class RunGradebook:
    """The gradebook of a course, and what it says of assignments, for the time of one run."""

    def __init__(self, coursedir: CourseDirectory) -> None:
        self.coursedir = coursedir
        self._gradebook: Gradebook | None = None
        self._originals: dict[str, dict[str, Original]] = {}

    def open(self) -> Gradebook:
        """Return the gradebook, for one ``with`` statement; its end closes the connection."""
        if self._gradebook is None:
            self._gradebook = Gradebook(self.coursedir.db_url, self.coursedir.course_id)
        return self._gradebook

    @contextlib.contextmanager
    def lent_to(self, module: ModuleType) -> Iterator[None]:
        """Answer meanwhile whoever opens a gradebook by the name that a module of nbgrader has.

        It is the same one each time, and closed at the end: what was read once is not read again.
        """
        own = vars(module)["Gradebook"]
        with self.open() as gradebook:
            vars(module)["Gradebook"] = lambda *_address: contextlib.nullcontext(gradebook)
            try:
                yield
            finally:
                vars(module)["Gradebook"] = own

    def originals(self, assignment: str) -> dict[str, Original]:
        """Return the notebooks of an assignment by name; empty if it is not in the gradebook.

        Read once: an assignment does not change while it is graded.
        """
        if assignment not in self._originals:
            with self.open() as gradebook:
                try:
                    notebooks = gradebook.find_assignment(assignment).notebooks
                except MissingEntry:
                    return {}
                self._originals[assignment] = {
                    notebook.name: Original(notebook, self._order(assignment, notebook.name))
                    for notebook in notebooks
                }
        return self._originals[assignment]

    def _order(self, assignment: str, notebook: str) -> list[str]:
        """Return the `grade_id`s in the order of the source notebook, if it is at hand."""
        folder = self.coursedir.format_path(self.coursedir.source_directory, ".", assignment)
        path = Path(folder) / f"{notebook}.ipynb"
        if not path.is_file():
            return []
        source = nbformat.read(path, as_version=4)
        return [name for cell in source.cells if (name := grade_id_of(cell))]


def gradebook_of_run(plugin: Any) -> RunGradebook:
    """Return the gradebook of the run that a preprocessor belongs to.

    Under an exporter that keeps none, such as nbgrader's own, it is one for this use.
    """
    run = getattr(plugin.parent, "run", None)
    return run.gradebook if run is not None else RunGradebook(plugin.parent.parent.coursedir)
