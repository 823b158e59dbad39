"""One submission in, one outcome out.

nbgrader converts each notebook twice: ``submitted/`` to ``autograded/``
(sanitise), then in place (grade). This exporter watches both passes. It turns
whatever stops one of them into one sentence for the log and the class table,
and keeps the outcome; nbgrader then goes on with the next submission and ends
with exit code 1 if any could not be graded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import Exporter, NotebookExporter
from nbformat import NotebookNode

from autograder.grading.outcomes import NOT_GRADED, UNFINISHED, Outcome, load_outcome, remarks_of
from autograder.grading.run import GradingRun
from autograder.grading.submission import UngradableSubmission, explain, fault_of


def _key(resources: dict[str, Any] | None) -> tuple[str, ...]:
    """Return whose notebook `resources` belong to."""
    names = (resources or {}).get("nbgrader", {})
    return tuple(names.get(part, "") for part in ("student", "assignment", "notebook"))


class SubmissionExporter(NotebookExporter):
    """Write notebooks as nbgrader does, and keep the outcome of each submission."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: What a grader should know of the submission that nbgrader is at.
        self._remarks: list[str] = []
        self._submission = ("", "")
        self._sanitised: dict[tuple[str, ...], NotebookNode] = {}
        if self.parent is not None and hasattr(self.parent, "coursedir"):
            self.run = GradingRun(self)

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Convert one notebook, keeping what happened."""
        if resources is None or "nbgrader" not in resources:
            return super().from_filename(filename, resources=resources, **kw)
        path, names = Path(filename), resources["nbgrader"]
        submission = names["student"], names["assignment"]
        if submission != self._submission:
            self._submission, self._remarks = submission, []
        convert = self._sanitise if self.run.is_submitted(path) else super().from_filename
        try:
            graded = self.run.graded_notebooks(names["assignment"])
            reason = self.run.refusal(path.parent) if convert == self._sanitise else ""
            if reason:
                raise UngradableSubmission(reason)
            if names["notebook"] not in graded:
                return self._convert_ungraded(path, resources, convert)
            if convert == self._sanitise:
                self.run.ahead.reach(path, self.run.pipeline)
                Outcome(*submission, NOT_GRADED, UNFINISHED).save(Path.cwd())
            text, resources = convert(str(path), resources)
        except Exception as error:
            reason, fault = explain(error, path.name), fault_of(error)
            self.run.not_graded(*submission, reason, Path.cwd(), fault)
            self.run.flag_for_a_person(names)
            self.run.count(names, 0.0, failed=True)
            raise
        self._remarks += remarks_of(resources)
        if convert != self._sanitise:
            for remark in self._remarks:
                self.log.warning("%s: %s", names["student"], remark)
            kept = resources["servemath"]
            outcome = Outcome(*submission, remarks=self._remarks, wall=kept.get("wall", ""))
            outcome.save(Path.cwd())
            self.run.count(names, kept.get("seconds", 0.0))
        return text, resources

    def _sanitise(self, filename: str, resources: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Convert what was handed in to a notebook that can be run.

        Its text is soon written over, and nobody reads it: no time is spent on its looks.
        """
        notebook, resources = self.run.ahead.take(Path(filename))
        resources = self._init_resources(resources)
        self._sanitised = {_key(resources): notebook}
        return json.dumps(notebook), resources

    def from_file(
        self, file_stream: Any, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Convert an open file; what was sanitised a moment ago need not be read back."""
        if _key(resources) not in self._sanitised:
            return super().from_file(file_stream, resources=resources, **kw)
        notebook = self._sanitised.pop(_key(resources))
        return self.from_notebook_node(notebook, resources=resources, **kw)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Convert a notebook into text, as nbformat writes it.

        nbformat would validate it once more.
        """
        converted, resources = Exporter.from_notebook_node(self, nb, resources, **kw)
        return nbformat.v4.writes(converted) + "\n", resources

    def _preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run the preprocessors and validate what they made of the notebook.

        nbconvert also copies the notebook, which is a copy already, and validates it
        after each of them: 40 ms a submission.
        """
        for preprocessor in self._preprocessors:
            nb, resources = preprocessor(nb, resources)
        if "executed" in resources.get("servemath", {}):
            nb.metadata["servemath"] = {"graded": True}
        nbformat.validate(nb, relax_add_props=True)
        return nb, resources

    def _convert_ungraded(
        self, path: Path, resources: dict[str, Any], convert: Callable[..., Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Convert a notebook without points; one that cannot be read costs nothing."""
        try:
            text, resources = convert(str(path), resources)
        except Exception as error:
            names = resources["nbgrader"]
            student, assignment = names["student"], names["assignment"]
            remark = f"{path.name} could not be read; it carries no points"
            self.log.warning("%s: %s (%s)", student, remark, explain(error, path.name))
            outcome = load_outcome(Path.cwd(), assignment, student)
            if outcome is not None and remark not in outcome.remarks:
                outcome.remarks.append(remark)
                outcome.save(Path.cwd())
            empty = nbformat.v4.new_notebook()
            return super().from_notebook_node(empty, resources=resources)
        return text, resources
