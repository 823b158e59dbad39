"""Sanitise submissions and hand them to the engine before nbgrader's loop comes to them.

nbgrader takes one submission after another. While it writes one to the gradebook,
the next ones run here already. A result is found again by the content of its job, so
what changed meanwhile costs time, never correctness.
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
from autograder.grading.outcomes import remarks_of
from autograder.grading.reading import read_notebook
from autograder.grading.submission import check_file

#: Submissions sanitised and run ahead, for each slot of the engine.
PER_SLOT = 2

#: A notebook with the course's own cells back in it, and what else is known of it.
Sanitised = tuple[NotebookNode, dict[str, Any]]


class Ahead:
    """The submissions still to come, in nbgrader's order.

    Parameters
    ----------
    exporter : SubmissionExporter
        Whose run this is.
    make_job : callable
        Makes a job of a sanitised notebook and its names: `ExecuteGraded.job`.
    """

    def __init__(
        self,
        exporter: Any,
        make_job: Callable[[NotebookNode, dict[str, str]], dict[str, Any]],
    ) -> None:
        self._exporter = exporter
        self._coming: deque[Path] = deque()
        self._sanitised: dict[Path, Sanitised] = {}
        self._make_job = make_job
        plugins = exporter.parent.sanitize_preprocessors
        self._sanitisers = [
            (import_item(one) if isinstance(one, str) else one)(parent=exporter) for one in plugins
        ]

    def expect(self, paths: Iterable[Path]) -> None:
        """Note the graded notebooks that are to come, as submitted, in nbgrader's order."""
        self._coming = deque(paths)

    def reach(self, path: Path, pipeline: Pipeline) -> None:
        """Note that nbgrader's loop has come to `path`; hand in what is next."""
        # What nbgrader passed over will not be asked for.
        if path in self._sanitised:
            while (first := next(iter(self._sanitised))) != path:
                del self._sanitised[first]
        elif path in self._coming:
            self._sanitised.clear()
            while self._coming[0] != path:
                self._coming.popleft()
        most = PER_SLOT * pipeline.slots if self._coming else 0  # a cluster is asked once
        while self._coming and len(self._sanitised) < most:
            coming = self._coming.popleft()
            try:
                notebook, resources = self._sanitised[coming] = self.sanitise(coming)
                pipeline.hand_in(self._make_job(notebook, resources["nbgrader"]))
            except Exception as error:
                # Its own turn will come, and say what is wrong with it.
                self._exporter.log.debug("not run ahead: %s (%s)", coming, error)

    def take(self, path: Path) -> Sanitised:
        """Return a submitted notebook sanitised: ahead, or now."""
        return self._sanitised.pop(path, None) or self.sanitise(path)

    def sanitise(self, path: Path) -> Sanitised:
        """Read a submitted notebook and give it the course's own cells back."""
        resources = self._exporter.parent.init_single_notebook_resources(str(path))
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        check_file(path)
        notebook, remarks = read_notebook(path)
        remarks_of(resources).extend(remarks)
        for sanitise in self._sanitisers:
            notebook, resources = sanitise(notebook, resources)
        nbformat.validate(notebook, relax_add_props=True)
        return notebook, resources
