"""What formgrader shows of a submission, made harmless: its pages have a grader's log-in.

`nbgrader_config.py` switches on nbconvert's own `sanitize_html`: scripts and widgets are left
out, HTML of outputs is filtered. It keeps neither headings nor paragraphs, and knows nothing of
formgrader's template, which writes markdown as it is; so the filters are ours. Nor does it know
of metadata, which templates put into attributes as it is: that is taken out here.
"""

from __future__ import annotations

import re
from typing import Any

from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from traitlets import Bool

_NAME = re.compile(r"[\w.-]{1,200}")


class Harmless(Preprocessor):
    """Take out of a notebook's metadata what a page would take for its own."""

    enabled = Bool(True).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Leave out what learners' programs can write anything into."""
        nb.metadata.pop("widgets", None)  # templates stop at one that lacks its state
        shown: tuple[NotebookNode, dict[str, Any]] = super().preprocess(nb, resources)
        return shown

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Keep of a cell's metadata what grading needs, and nothing of its outputs'."""
        kept = cell.metadata.get("nbgrader")
        cell.metadata = NotebookNode()
        if isinstance(kept, dict) and _NAME.fullmatch(str(kept.get("grade_id", ""))):
            cell.metadata["nbgrader"] = kept
        for output in cell.get("outputs", []):
            for name in ("metadata", "svg_filename"):
                output.pop(name, None)
            if output.output_type in ("display_data", "execute_result"):
                output["metadata"] = NotebookNode()
        return cell, resources
