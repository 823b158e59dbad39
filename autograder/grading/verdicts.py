"""What a run means for a grade, before nbgrader reads the outputs as scores.

nbgrader gives a graded cell full points unless it finds an error or any text on
stderr in its outputs, and takes a cell's last value for partial credit. Here a
cell that did not run earns nothing, a warning costs nothing, and no printed
value is a score.
"""

from __future__ import annotations

from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.cells import is_test_cell
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
        if cell.id not in resources["servemath"]["executed"]:
            cell.outputs = [
                nbformat.from_dict(error_output("NotRun", "this test could not be run"))
            ]
        return cell, resources
