"""No credit for calling the answer.

The helper package teaches the formulas that exercises ask for. A solution whose answers
are those of the package's implementation of what is asked earns nothing for that
exercise; comparing with it, or using other parts of the package, is welcome. The engine
finds out which is which by running submissions without the answers
(`autograder.grading.engine.trials`).
"""

from __future__ import annotations

from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import bank
from autograder.cells import is_test_cell
from autograder.grading.engine.outputs import error_output
from autograder.grading.outcomes import remarks_of


class CreditOwnWork(NbGraderPreprocessor):
    """Take the points of exercises that were solved by calling the package's answer."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Act on what the engine found when it ran the notebook without the answers."""
        found = resources["servemath"].get("own_work", {})
        exercises = {
            exercise.slug: exercise for exercise in bank.load(resources["nbgrader"]["assignment"])
        }
        for slug, cells in found.get("relying", {}).items():
            self._withdraw(nb, exercises[slug], cells)
        for what, slugs in (
            ("no credit for calling the package's answer:", found.get("relying")),
            (
                "compares with the package's answer, and could not be judged without it: look at",
                found.get("compares"),
            ),
            (
                "uses the package, and could not be judged without it: look at",
                found.get("unclear"),
            ),
            (
                "a later cell imported the package's; graded as the learner wrote it:",
                found.get("replaced"),
            ),
            (
                "a later cell put a value in the place of the function:",
                found.get("overwritten"),
            ),
        ):
            if slugs:
                remarks_of(resources).append(f"{what} {', '.join(slugs)}")
        return nb, resources

    @staticmethod
    def _withdraw(nb: NotebookNode, exercise: bank.Exercise, cells: list[str]) -> None:
        message = (
            f"The answers are those of {' or '.join(exercise.withheld)}: they change when the "
            "package's do. That is what the exercise asks you to write. Write the computation "
            "yourself; comparing with the package, and using other parts of it, is welcome."
        )
        for cell in nb.cells:
            if is_test_cell(cell) and cell.metadata.nbgrader["grade_id"] in cells:
                cell.outputs = [nbformat.from_dict(error_output("NoCredit", message))]
