"""The class table: for a person in a terminal, for a spreadsheet as CSV."""

from __future__ import annotations

import csv
import io

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.grading.outcomes import ClassTable

#: Columns that the table needs to be read without wrapping, and its notes' share of them.
TABLE_WIDTH = 152
NOTE_WIDTH = 66


def one_line(notes: tuple[str, ...]) -> str:
    """Return the notes, cut to what the table has room for; the log has them whole."""
    text = "; ".join(notes)
    return text if len(text) <= NOTE_WIDTH else text[: NOTE_WIDTH - 3].rstrip(" ,;.") + "..."


def show_table(console: Console, table: ClassTable) -> None:
    """Print student, total, each exercise, and what a grader should know."""
    total = sum(table.max_points.values())
    title = f"{table.assignment}: points of {total:g}"
    view = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    view.add_column("student", no_wrap=True)
    view.add_column("total", justify="right", no_wrap=True)
    for number, points in enumerate(table.max_points.values(), start=1):
        view.add_column(f"{number}\n/{points:g}", justify="right", no_wrap=True)
    view.add_column("what a grader should know", no_wrap=True)
    for row in table.rows:
        if row.scores is None:
            cells = ["not graded", *["-"] * len(table.max_points)]
        else:
            cells = [f"{row.total:g}", *[f"{score:g}" for score in row.scores.values()]]
        # File names and messages are text, whatever brackets they hold.
        view.add_row(Text(row.student), *cells, Text(one_line(row.notes)))
    console.print(view)
    legend = ", ".join(f"{number} {slug}" for number, slug in enumerate(table.max_points, start=1))
    console.print(f"Exercises: {legend}", highlight=False, markup=False)


def as_csv(table: ClassTable) -> str:
    """Return the table as CSV; an empty score is a submission that was not graded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["student", "total", *table.max_points, "notes"])
    for row in table.rows:
        if row.scores is None:
            numbers = [""] * (1 + len(table.max_points))
        else:
            numbers = [f"{score:g}" for score in (sum(row.scores.values()), *row.scores.values())]
        writer.writerow([row.student, *numbers, "; ".join(row.notes)])
    return stream.getvalue()
