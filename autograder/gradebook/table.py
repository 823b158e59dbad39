"""The class table: for a person in a terminal, for a spreadsheet as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.gradebook.record import ClassRecord

#: Columns that the table needs to be read without wrapping, and its notes' share of them.
TABLE_WIDTH = 152
NOTE_WIDTH = 66


#: Cells that a test gives points to.
_TESTED = ("visible", "hidden")


@dataclass(frozen=True)
class Row:
    """One submission of the class table; scores are None where it could not be graded."""

    student: str
    scores: dict[str, float] | None
    notes: tuple[str, ...]

    @property
    def total(self) -> float | None:
        """The sum over all exercises."""
        return None if self.scores is None else sum(self.scores.values())


@dataclass(frozen=True)
class ClassTable:
    """Automatic scores of a class, per exercise, with what a grader should know."""

    assignment: str
    max_points: dict[str, float]
    rows: tuple[Row, ...]
    due: str = ""

    @property
    def all_graded(self) -> bool:
        """Whether every submission has a grade."""
        return all(row.scores is not None for row in self.rows)


def class_table(record: ClassRecord) -> ClassTable:
    """Return what tests gave to each submission of an assignment, by exercise."""
    tested = [prop for prop in record.properties if prop.role in _TESTED]
    max_points: dict[str, float] = {}
    for prop in tested:
        max_points[prop.slug] = max_points.get(prop.slug, 0.0) + prop.points
    rows = []
    for one in record.submissions:
        if one.grades is None:
            rows.append(Row(one.student, None, (one.reason,)))
            continue
        scores = dict.fromkeys(max_points, 0.0)
        for prop in tested:
            if prop.grade_id in one.grades.cells:
                scores[prop.slug] += one.grades.cells[prop.grade_id].automatic
        rows.append(Row(one.student, scores, one.remarks))
    return ClassTable(record.assignment, max_points, tuple(rows), record.due)


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
    if table.due:
        console.print(f"Due: {table.due}", highlight=False, markup=False)
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
