"""No credit for calling the answer.

The helper package teaches the formulas that exercises ask for. A solution that
merely calls the package's implementation of what is asked earns nothing for that
exercise; using other parts of the package is welcome. The engine finds out which is
which by running submissions without the answers (`autograder.grading.engine.trials`).
"""

from __future__ import annotations

from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import bank
from autograder.cells import is_test_cell, parse_grade_id
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
        for slug in found.get("relying", ()):
            self._withdraw(nb, exercises[slug])
        for what, slugs in (
            ("no credit for calling the package's answer", found.get("relying")),
            (
                "uses the package, and could not be judged without it: look at",
                found.get("unclear"),
            ),
        ):
            if slugs:
                remarks_of(resources).append(f"{what}: {', '.join(slugs)}")
        return nb, resources

    @staticmethod
    def _withdraw(nb: NotebookNode, exercise: bank.Exercise) -> None:
        message = (
            f"This solution only calls {' or '.join(exercise.withheld)}, which is what the "
            "exercise asks you to write. Write the computation yourself; using other parts "
            "of the package is welcome."
        )
        for cell in nb.cells:
            if not is_test_cell(cell):
                continue
            if parse_grade_id(cell.metadata.nbgrader["grade_id"]).slug == exercise.slug:
                cell.outputs = [nbformat.from_dict(error_output("NoCredit", message))]
