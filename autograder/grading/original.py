"""A notebook as the course wrote it: what the gradebook keeps of its cells."""

from __future__ import annotations

import json
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Notebook
from nbgrader.preprocessors import ClearHiddenTests


class Original:
    """The cells of a notebook as the gradebook keeps them, in the course's order."""

    def __init__(self, notebook: Notebook, order: list[str]) -> None:
        # Rows stay readable after their connection is closed: all their columns are loaded.
        self.sources = {cell.name: cell for cell in notebook.source_cells}
        self.kernelspec = json.loads(notebook.kernelspec) if notebook.kernelspec else None
        self._points = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
        self._points |= {cell.name: float(cell.max_score) for cell in notebook.task_cells}
        self._grade = {cell.name for cell in notebook.grade_cells}
        self._task = {cell.name for cell in notebook.task_cells}
        self._solution = {cell.name for cell in notebook.solution_cells}
        self._released: dict[str, str] = {}
        known = [name for name in order if name in self.sources]
        self.order = known + [name for name in sorted(self.sources) if name not in known]

    @property
    def is_graded(self) -> bool:
        """Whether running the notebook can earn points."""
        return bool(self._grade)

    def metadata(self, name: str) -> NotebookNode:
        """Return the nbgrader metadata that the cell `name` must have."""
        cell = self.sources[name]
        metadata: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "checksum": cell.checksum,
            "grade": name in self._grade,
            "grade_id": name,
            "locked": cell.locked,
            "schema_version": 3,
            "solution": name in self._solution,
            "task": name in self._task,
        }
        if name in self._points:
            metadata["points"] = self._points[name]
        return nbformat.from_dict(metadata)

    def is_owed(self, name: str) -> bool:
        """Tell whether grading needs the cell even if the learner deleted it."""
        return name in self._grade or name in self._task

    def cell(self, name: str) -> NotebookNode:
        """Return a fresh copy of the cell `name`."""
        original = self.sources[name]
        make = (
            nbformat.v4.new_code_cell
            if original.cell_type == "code"
            else nbformat.v4.new_markdown_cell
        )
        return make(source=original.source, metadata={"nbgrader": self.metadata(name)})

    def released_source(self, name: str) -> str:
        """Return the source of the cell `name` as learners received it: no hidden tests."""
        if name not in self._released:
            cell, _ = ClearHiddenTests().preprocess_cell(self.cell(name), {}, 0)
            self._released[name] = str(cell.source)
        return self._released[name]
