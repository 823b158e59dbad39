"""The report's numbers for a spreadsheet and for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from autograder.exports.spreadsheet import plain_text
from autograder.report.contents import Contents


def as_csv(contents: Contents) -> str:
    """Return one line a learner; empty scores are those of a submission not graded.

    Text that a spreadsheet would take for a formula is marked as text.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["learner", "total", "late penalty", *contents.max_points, "notes"])
    for one in contents.learners:
        if one.scores is None:
            numbers = [""] * (2 + len(contents.max_points))
        else:
            values = (one.total or 0.0, one.penalty, *one.scores.values())
            numbers = [f"{value:.10g}" for value in values]
        writer.writerow([plain_text(one.learner), *numbers, plain_text("; ".join(one.notes))])
    return stream.getvalue()


def as_json(contents: Contents) -> str:
    """Return all that the report says, as JSON; names are those of the page."""
    return json.dumps(asdict(contents), indent=1, allow_nan=False) + "\n"
