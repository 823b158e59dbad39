"""Run a bank solution against a notebook's own test cells, without a kernel.

For solutions that we wrote. Submissions go through `autograder.grading`.
"""

from __future__ import annotations

import contextlib
import io
import traceback
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from autograder.cells import grade_id_of, iter_test_cells, parse_grade_id, points_of


@dataclass(frozen=True)
class Trial:
    """What a solution earned: points and failure messages by `grade_id`."""

    points: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All points together."""
        return sum(self.points.values())

    def failed_roles(self) -> set[str]:
        """Return which of ``visible`` and ``hidden`` lost points."""
        return {parse_grade_id(grade_id).role for grade_id in self.failures}


def solution_source(notebook: NotebookNode, slug: str) -> str:
    """Return the source of an exercise's solution cell."""
    for cell in notebook.cells:
        if grade_id_of(cell) == f"{slug}__solution":
            return str(cell.source)
    raise ValueError(f"slug must name an exercise of the notebook, got {slug!r}")


def run(notebook: NotebookNode, slug: str, code: str) -> Trial:
    """Run `code` as the solution of exercise `slug`, then each of its test cells.

    Parameters
    ----------
    notebook : NotebookNode
        The built notebook, hidden tests included.
    slug : str
        The exercise.
    code : str
        Source for the solution cell.
    """
    trial = Trial()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(Exception):
            exec(compile(code, f"<{slug}>", "exec"), namespace)
        for name, cell in iter_test_cells(notebook):
            if name.slug != slug:
                continue
            grade_id = cell.metadata.nbgrader["grade_id"]
            try:
                exec(compile(cell.source, f"<{grade_id}>", "exec"), namespace)
            except Exception as error:
                trial.points[grade_id] = 0.0
                last = traceback.format_exception_only(error)[-1].strip()
                trial.failures[grade_id] = last
            else:
                trial.points[grade_id] = points_of(cell)
    return trial
