"""Run a bank solution against a notebook's own test cells, without a kernel.

For solutions that we wrote. Submissions go through `autograder.grading`.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

from nbformat import NotebookNode

from autograder.bank import Exercise
from autograder.cells import grade_id_of, iter_test_cells, parse_grade_id, points_of
from servemath_helpers.deep import exercises
from servemath_helpers.deep.engine import BROKEN, Finding, examine


@dataclass(frozen=True)
class Trial:
    """What a solution earned: points and failure messages by `grade_id`."""

    points: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def error(self, grade_id: str) -> tuple[str, str]:
        """Return name and message of what ended a test, both empty if nothing did."""
        if grade_id not in self.failures:
            return "", ""
        name, _, message = self.failures[grade_id].partition(": ")
        return (name, message) if name.isidentifier() else ("", "")

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


@functools.lru_cache(maxsize=1_000)
def _compiled(source: str, label: str) -> tuple[CodeType, CodeType | None]:
    """Return the code of a test cell, and of the value that it ends with: it runs many times."""
    tree = ast.parse(source)
    value = None
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        value = compile(ast.Expression(last.value), label, "eval")
        tree.body.pop()
    return compile(tree, label, "exec"), value


def run_test(cell: NotebookNode, namespace: dict[str, Any]) -> float:
    """Run a test cell, and return the points that nbgrader gives for what it shows.

    Parameters
    ----------
    cell : NotebookNode
        The cell. A number that stands last in it is its points.
    namespace : dict
        The names that it finds, and those that it leaves.

    Raises
    ------
    Exception
        Whatever ends the test.
    """
    worth = points_of(cell)
    body, last = _compiled(cell.source, f"<{grade_id_of(cell)}>")
    exec(body, namespace)
    if last is None:
        return worth
    value = eval(last, namespace)
    try:
        score = float(repr(value))
    except ValueError:
        return worth
    if not 0 <= score <= worth:
        raise ValueError(f"{grade_id_of(cell)} gives {score:g} of {worth:g} points")
    return score


#: Returns the context in which a solution runs, its functions too when tests call them.
Place = Callable[[], contextlib.AbstractContextManager[object]]


def _placed(function: Callable[..., Any], place: Place) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with place():
            return function(*args, **kwargs)

    return call


def run(notebook: NotebookNode, slug: str, code: str, place: Place | None = None) -> Trial:
    """Run `code` as the solution of exercise `slug`, then each of its test cells.

    Parameters
    ----------
    notebook : NotebookNode
        The built notebook, hidden tests included.
    slug : str
        The exercise.
    code : str
        Source for the solution cell.
    place : callable, optional
        Returns a context for what the solution does; tests run outside it.
    """
    trial = Trial()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(Exception), place() if place else contextlib.nullcontext():
            exec(compile(code, f"<{slug}>", "exec"), namespace)
        if place:  # for the tests; the solution's own names stay what they are
            namespace = {
                name: _placed(value, place) if isinstance(value, FunctionType) else value
                for name, value in namespace.items()
            }
        for name, cell in iter_test_cells(notebook):
            if name.slug != slug:
                continue
            grade_id = cell.metadata.nbgrader["grade_id"]
            try:
                trial.points[grade_id] = run_test(cell, namespace)
            except Exception as error:
                trial.points[grade_id] = 0.0
                last = traceback.format_exception_only(error)[-1].strip()
                trial.failures[grade_id] = last
            else:
                if trial.points[grade_id] < points_of(cell):
                    trial.failures[grade_id] = "it earned a part of its points"
    return trial


def deep(exercise: Exercise, code: str) -> Finding:
    """Return what the deep check, as learners have it, says of a solution.

    Parameters
    ----------
    exercise : Exercise
        The exercise, one that the deep check knows.
    code : str
        Source for the solution cell.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, f"<{exercise.slug}>", "exec"), namespace)
    exercises()
    return examine({name: namespace[name] for name in exercise.functions})


def caught_by(trial: Trial, exercise: Exercise, code: str) -> str:
    """Return what catches a wrong solution first: visible, deep or hidden.

    Parameters
    ----------
    trial : Trial
        What the solution earned.
    exercise : Exercise
        The exercise.
    code : str
        The solution.
    """
    if "visible" in trial.failed_roles():
        return "visible"
    known = exercise.slug in exercises()
    return "deep" if known and deep(exercise, code).state == BROKEN else "hidden"
