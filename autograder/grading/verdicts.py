"""What a run means for a grade, before nbgrader reads the outputs as scores.

nbgrader gives a graded cell full points unless it finds an error or any text on
stderr in its outputs, and takes a cell's last value for partial credit. Here a
cell that did not run earns nothing, a warning costs nothing, and no output is a
score: what a learner's function shows while a test runs stands there too. A test
that gives part of its points says so by its value, a `checks.Credit`, which the
judge hands on beside the outputs.
"""

from __future__ import annotations

from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.cells import is_test_cell, points_of
from autograder.grading.engine.outputs import error_output


class SettleVerdicts(NbGraderPreprocessor):
    """Make outputs of graded cells say what happened and nothing else."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], _index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Settle one cell."""
        if not is_test_cell(cell):
            return cell, resources
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.name = "stdout"
            elif output.output_type == "execute_result":
                output.output_type = "display_data"
                output.pop("execution_count", None)
        kept = resources["servemath"]
        score = kept.get("scores", {}).get(cell.id)
        if cell.id not in kept["executed"]:
            cell.outputs = [
                nbformat.from_dict(error_output("NotRun", "this test could not be run"))
            ]
        elif score is not None and score > points_of(cell):
            said = f"the test gives {score:g} of {points_of(cell):g} points"
            cell.outputs.append(nbformat.from_dict(error_output("TestFailed", said)))
        elif score is not None:
            # Behind an error, if there is one: then nbgrader takes no score.
            shown = {"text/plain": repr(score)}
            cell.outputs.append(nbformat.v4.new_output("execute_result", shown))
        return cell, resources
