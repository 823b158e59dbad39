"""Give a submission the course's own cells back before it is graded.

What the learner may write is theirs; what the course wrote is put back from the
gradebook, whatever became of it: edited, deleted, duplicated, moved to another
cell type, or stripped of its metadata. Each repair is a remark for the grader.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, Notebook
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor

from autograder.cells import grade_id_of
from autograder.grading.exporter import remarks_of

#: nbclient leaves a cell with this tag out; nbgrader would then award its points.
SKIP_TAG = "skip-execution"


def _counted(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


class Original:
    """The cells of a notebook as the gradebook keeps them, in the course's order."""

    def __init__(self, notebook: Notebook, order: list[str]) -> None:
        self.sources = {cell.name: cell for cell in notebook.source_cells}
        self._points = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
        self._points |= {cell.name: float(cell.max_score) for cell in notebook.task_cells}
        self._grade = {cell.name for cell in notebook.grade_cells}
        self._task = {cell.name for cell in notebook.task_cells}
        self._solution = {cell.name for cell in notebook.solution_cells}
        known = [name for name in order if name in self.sources]
        self.order = known + [name for name in sorted(self.sources) if name not in known]

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
        cell, _ = ClearHiddenTests().preprocess_cell(self.cell(name), {}, 0)
        return str(cell.source)


class RestoreCourseCells(NbGraderPreprocessor):
    """Put the course's cells back; stands for `DeduplicateIds` and `OverwriteCells`."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Repair the notebook in place."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            notebook = gradebook.find_notebook(names["notebook"], names["assignment"])
            original = Original(notebook, self._order(names))
            remarks_of(resources).extend(self._repair(nb, original))
        return nb, resources

    def _order(self, names: dict[str, str]) -> list[str]:
        """Return the `grade_id`s in the order of the source notebook, if it is at hand."""
        coursedir = self.parent.parent.coursedir
        folder = coursedir.format_path(coursedir.source_directory, ".", names["assignment"])
        path = Path(folder) / f"{names['notebook']}.ipynb"
        if not path.is_file():
            return []
        source = nbformat.read(path, as_version=4)
        return [name for cell in source.cells if (name := grade_id_of(cell))]

    def _repair(self, nb: NotebookNode, original: Original) -> list[str]:
        done: Counter[str] = Counter()
        kept: set[str] = set()
        # From the end: of a duplicated cell the last one counts, as in a live session.
        for cell in reversed(nb.cells):
            self._settle(cell, original, kept, done)
        self._add_missing(nb, original, kept, done)
        nb.nbformat_minor = max(nb.nbformat_minor, 5)
        self._unique_ids(nb)
        wording = {
            "duplicate": ("duplicated cell set aside", "duplicated cells set aside"),
            "edited": ("edited course cell restored", "edited course cells restored"),
            "missing": ("deleted graded cell put back", "deleted graded cells put back"),
            "skipped": ("cell marked to be skipped is run", "cells marked to be skipped are run"),
        }
        return [_counted(done[what], *words) for what, words in wording.items() if done[what]]

    def _settle(
        self, cell: NotebookNode, original: Original, kept: set[str], done: Counter[str]
    ) -> None:
        name = grade_id_of(cell)
        tags = cell.metadata.get("tags", [])
        cell.metadata.pop("nbgrader", None)
        if SKIP_TAG in tags:
            cell.metadata["tags"] = [tag for tag in tags if tag != SKIP_TAG]
            done["skipped"] += 1
        if name is None or name not in original.sources:
            return
        if name in kept:
            done["duplicate"] += 1
            return
        kept.add(name)
        source = original.sources[name]
        if cell.cell_type != source.cell_type:
            fresh = original.cell(name)
            fresh.source = cell.source
            cell.clear()
            cell.update(fresh)
            done["edited"] += 1
        cell.metadata["nbgrader"] = original.metadata(name)
        if source.locked and cell.source != source.source:
            if cell.source.replace("\r\n", "\n") != original.released_source(name):
                done["edited"] += 1
            cell.source = source.source

    @staticmethod
    def _add_missing(
        nb: NotebookNode, original: Original, kept: set[str], done: Counter[str]
    ) -> None:
        """Insert each missing graded cell behind the nearest cell that precedes it."""
        for position, name in enumerate(original.order):
            if name in kept or not original.is_owed(name):
                continue
            before = set(original.order[:position])
            places = [
                index for index, cell in enumerate(nb.cells) if (grade_id_of(cell) or "") in before
            ]
            nb.cells.insert(places[-1] + 1 if places else len(nb.cells), original.cell(name))
            kept.add(name)
            done["missing"] += 1

    @staticmethod
    def _unique_ids(nb: NotebookNode) -> None:
        """Give every cell an id of its own; old formats have none, copies share one."""
        taken = {cell.get("id") for cell in nb.cells}
        seen: set[str] = set()
        fresh = (f"cell-{number}" for number in itertools.count())
        for cell in nb.cells:
            if not cell.get("id") or cell["id"] in seen:
                cell["id"] = next(identity for identity in fresh if identity not in taken)
            seen.add(cell["id"])
