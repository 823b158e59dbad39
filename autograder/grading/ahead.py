"""Hand submissions to the engine before nbgrader's loop comes to them.

nbgrader takes one submission after another. While it writes one to the gradebook,
the next ones run here already. What is handed in early is made by the same plug-ins
as later, and found again by its content: a difference costs time, never correctness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from traitlets.utils.importstring import import_item

from autograder.grading.engine.pipeline import Pipeline

#: Submissions run ahead, for each slot of the engine.
PER_SLOT = 2


class Ahead:
    """The submissions still to come, in nbgrader's order.

    Parameters
    ----------
    exporter : SubmissionExporter
        Whose run this is.
    paths : iterable of Path
        The graded notebooks, as submitted.
    make_job : callable
        Makes a job of a sanitised notebook and its names: `ExecuteGraded.job`.
    """

    def __init__(
        self,
        exporter: Any,
        paths: Iterable[Path],
        make_job: Callable[[NotebookNode, dict[str, str]], dict[str, Any]],
    ) -> None:
        self._exporter = exporter
        self._coming = deque(paths)
        self._left = set(self._coming)
        self._make_job = make_job
        self._sanitisers = [
            import_item(name)(parent=exporter) for name in exporter.parent.sanitize_preprocessors
        ]

    def reach(self, path: Path, pipeline: Pipeline) -> None:
        """Note that nbgrader's loop has come to `path`; hand in what is next."""
        if path in self._left:
            while self._coming[0] != path:
                self._take()
        most = PER_SLOT * pipeline.slots if self._coming else 0  # a cluster is asked once
        while self._coming and pipeline.ahead < most:
            coming = self._take()
            try:
                pipeline.hand_in(self._job(coming))
            except Exception as error:
                # Its own turn will come, and say what is wrong with it.
                self._exporter.log.debug("not run ahead: %s (%s)", coming, error)

    def _take(self) -> Path:
        path = self._coming.popleft()
        self._left.discard(path)
        return path

    def _job(self, path: Path) -> dict[str, Any]:
        resources = self._exporter.parent.init_single_notebook_resources(str(path))
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        notebook = nbformat.read(path, as_version=4)
        for sanitise in self._sanitisers:
            notebook, resources = sanitise(notebook, resources)
        return self._make_job(notebook, resources["nbgrader"])
