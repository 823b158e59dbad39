"""A learner's attempts as a table, for who grades."""

from __future__ import annotations

import os

from rich.table import Table

from autograder.attempts.record import Attempt, Records


def attempts_table(records: Records, assignment: str, student: str) -> Table:
    """Return a learner's attempts, in order: when, points, what became of them, their folders.

    Parameters
    ----------
    records : Records
        The attempts of the course.
    assignment, student : str
        Whose, and at what.
    """
    placed = records.placed(assignment, student)
    table = Table(title=f"{student}, {assignment}: * is in the gradebook", box=None)
    for heading in ("", "came (UTC)", "points", "late", "what became of it", "folder"):
        table.add_column(heading, justify="right" if heading in ("points", "late") else "left")
    for one in records.of(assignment, student):
        mark = "*" if placed is not None and placed.number == one.number else ""
        table.add_row(
            f"{one.number}{mark}",
            f"{one.time:%Y-%m-%d %H:%M:%S}",
            f"{one.points:g} of {one.of:g}" if one.points is not None else "",
            f"-{one.penalty:g}" if one.penalty else "",
            "; ".join([_fate(one), *one.remarks]),
            os.path.relpath(records.folder(one)),
        )
    return table


def _fate(attempt: Attempt) -> str:
    if attempt.refused:
        return f"not graded: {attempt.refused}"
    if attempt.reason:
        return f"could not be graded: {attempt.reason}"
    return "waits" if attempt.is_open else "graded"
