"""What rules look at: a chapter's records, its notebooks as built, what learners would get."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder import bank
from autograder.authoring.fresh import fresh_release
from autograder.bank import runner
from autograder.cells import grade_id_of, points_by_exercise
from autograder.check.transcripts import transcript
from autograder.course import Course

EXERCISES, THEORY = "exercises", "theory"


class Chapter:
    """A chapter's material, each part read or made when it is first asked for."""

    def __init__(self, course: Course, name: str) -> None:
        self.course, self.name = course, name

    @functools.cached_property
    def records(self) -> tuple[bank.Exercise, ...]:
        """The exercises as the bank has them."""
        return bank.load(self.name)

    @functools.cached_property
    def notebooks(self) -> dict[str, NotebookNode]:
        """The built notebooks by name."""
        paths = sorted((self.course.source / self.name).glob("*.ipynb"))
        return {path.stem: nbformat.read(path, as_version=4) for path in paths}

    @property
    def has_lab(self) -> bool:
        """Whether the chapter has a lab."""
        return (self.course.source / self.name / "lab.py").is_file()

    @property
    def exercises(self) -> NotebookNode:
        """The built exercises, hidden tests included."""
        return self.notebooks[EXERCISES]

    @functools.cached_property
    def points(self) -> dict[str, float]:
        """What each exercise of the notebook is worth, in the order of the notebook."""
        return points_by_exercise(self.exercises)

    @functools.cached_property
    def released(self) -> dict[str, str]:
        """What learners would receive now, by file name."""
        return fresh_release(self.course, self.name)

    @functools.cached_property
    def blank(self) -> NotebookNode:
        """The exercises as learners would receive them now."""
        return nbformat.reads(self.released[f"{EXERCISES}.ipynb"], as_version=4)

    @functools.cache  # noqa: B019 - a chapter lives as long as one check
    def trial(self, slug: str, code: str) -> runner.Trial:
        """Return what `code` earns as the solution of exercise `slug`."""
        return runner.run(self.exercises, slug, code)

    @functools.cache  # noqa: B019 - a chapter lives as long as one check
    def transcript(self, slug: str, code: str) -> dict[str, Any]:
        """Return what the tests ask of `code` as the solution of exercise `slug`."""
        return transcript(self.exercises, {slug: code})

    def statement(self, slug: str) -> str:
        """Return the statement of exercise `slug` as built, empty if there is none."""
        wanted = f"{slug}__statement"
        return next((c.source for c in self.exercises.cells if grade_id_of(c) == wanted), "")


#: Yields what breaks the rule, each as a line that says where, and what it should be.
Rule = Callable[[Chapter], Iterator[str]]
