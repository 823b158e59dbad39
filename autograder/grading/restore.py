"""Give a submission the course's own cells back before it is graded.

What the learner may write is theirs; what the course wrote is put back from the
gradebook, whatever became of it: edited, deleted, duplicated, moved to another
cell type, or stripped of its metadata. Each repair is a remark for the grader.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.cells import grade_id_of
from autograder.grading.original import Original
from autograder.grading.outcomes import remarks_of
from autograder.grading.reading import SKIP_TAG
from autograder.grading.run_gradebook import gradebook_of_run


def _counted(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


class RestoreCourseCells(NbGraderPreprocessor):
    """Put the course's cells and kernel back.

    It stands for `DeduplicateIds`, `OverwriteCells` and `OverwriteKernelspec`, and for
    `CheckCellMetadata`, which costs 15 ms a notebook: nbgrader's metadata is written
    anew here, so that there is none left to check.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Repair the notebook in place."""
        names = resources["nbgrader"]
        original = gradebook_of_run(self).originals(names["assignment"])[names["notebook"]]
        if original.kernelspec:
            nb.metadata["kernelspec"] = copy.deepcopy(original.kernelspec)
        remarks_of(resources).extend(self._repair(nb, original))
        return nb, resources

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
