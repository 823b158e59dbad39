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
    """One exercise: its points, and its wrong solutions by what catches them first.

    That is the visible checks, the deep check that learners have, or hidden tests alone.
    """

    chapter: str
    exercise: bank.Exercise
    points: float
    caught: dict[str, list[bank.Wrong]]


def coverage(course: Course, chapter: str) -> list[Coverage]:
    """Run every wrong solution of a chapter against the notebook's tests and the deep check."""
    notebook = nbformat.read(course.source / chapter / "exercises.ipynb", as_version=4)
    points = points_by_exercise(notebook)
    found = []
    for exercise in bank.load(chapter):
        caught: dict[str, list[bank.Wrong]] = {"visible": [], "deep": [], "hidden": []}
        for wrong in exercise.wrong:
            trial = runner.run(notebook, exercise.slug, wrong.code)
            caught[runner.caught_by(trial, exercise, wrong.code)].append(wrong)
        found.append(Coverage(chapter, exercise, points[exercise.slug], caught))
    return found


def show(course: Course, chapters: list[str]) -> None:
    """Print the table, then what only hidden tests catch, and why."""
    console = Console(width=max(110, Console().width))
    view = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_footer=True)
    rows = [row for chapter in chapters for row in coverage(course, chapter)]
    counts = [
        [len(row.exercise.right), len(row.exercise.wrong), *map(len, row.caught.values())]
        for row in rows
    ]
    sums = [sum(column) for column in zip(*counts, strict=True)]
    view.add_column("chapter", footer="together")
    view.add_column("#", justify="right")
    view.add_column("exercise")
    view.add_column("points", justify="right", footer=f"{sum(row.points for row in rows):g}")
    titles = ("right", "wrong", "visible checks catch", "deep check", "only hidden tests")
    for title, total in zip(titles, sums, strict=True):
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
        for wrong in row.caught["hidden"]:
            why = wrong.only_hidden or "no reason given"
            console.print(f"{row.exercise.slug}: {wrong.name}: {why}", highlight=False)
