"""What the bank holds and what its tests catch, as a table."""

from __future__ import annotations

from dataclasses import dataclass

import nbformat
from rich import box
from rich.console import Console
from rich.table import Table

from autograder import bank
from autograder.bank import runner
from autograder.cells import points_by_exercise
from autograder.course import Course


@dataclass(frozen=True)
class Coverage:
    """One exercise: its points, its solutions, and the wrong ones only hidden tests catch."""

    chapter: str
    exercise: bank.Exercise
    points: float
    hidden_only: tuple[str, ...]


def coverage(course: Course, chapter: str) -> list[Coverage]:
    """Run every wrong solution of a chapter against the notebook's tests."""
    notebook = nbformat.read(course.source / chapter / "exercises.ipynb", as_version=4)
    points = points_by_exercise(notebook)
    found = []
    for exercise in bank.load(chapter):
        hidden_only = tuple(
            wrong.name
            for wrong in exercise.wrong
            if runner.run(notebook, exercise.slug, wrong.code).failed_roles() == {"hidden"}
        )
        found.append(Coverage(chapter, exercise, points[exercise.slug], hidden_only))
    return found


def show(course: Course, chapters: list[str]) -> None:
    """Print the table, then the names that only hidden tests catch."""
    console = Console(width=max(110, Console().width))
    view = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_footer=True)
    rows = [row for chapter in chapters for row in coverage(course, chapter)]
    counts = [
        [len(row.exercise.right), len(row.exercise.wrong), len(row.hidden_only)] for row in rows
    ]
    sums = [sum(column) for column in zip(*counts, strict=True)]
    view.add_column("chapter", footer="together")
    view.add_column("#", justify="right")
    view.add_column("exercise")
    view.add_column("points", justify="right", footer=f"{sum(row.points for row in rows):g}")
    for title, total in zip(("right", "wrong", "only hidden tests catch"), sums, strict=True):
        view.add_column(title, justify="right", footer=str(total))
    for row, numbers in zip(rows, counts, strict=True):
        view.add_row(
            row.chapter.partition("_")[0],
            str(row.exercise.number),
            row.exercise.slug,
            f"{row.points:g}",
            *map(str, numbers),
        )
    console.print(view)
    for row in rows:
        console.print(f"{row.exercise.slug}: {', '.join(row.hidden_only)}", highlight=False)
