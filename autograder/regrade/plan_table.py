"""A planned regrade, for a person in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.regrade.changes import Changes
from autograder.report.snapshots import LearnerChange


def _points(total: float | None) -> str:
    return "not graded" if total is None else f"{total:g}"


def _gain(gain: float) -> str:
    return f"{gain:+.10g}"


def _line(change: LearnerChange) -> list[str | Text]:
    gain = "" if change.difference is None else _gain(change.difference)
    where = ", ".join(f"{slug} {_gain(points)}" for slug, points in change.exercises.items())
    # Ids and slugs are text, whatever brackets they hold.
    return [Text(change.learner), _points(change.before), _points(change.after), gain, Text(where)]


def show(changes: Changes, console: Console | None = None) -> None:
    """Print who would change, by how much and in which exercise.

    Parameters
    ----------
    changes : Changes
        What `plan` returned.
    console : rich.console.Console, optional
        Where to, by default the terminal.
    """
    console = console or Console()
    found = changes.comparison
    tests = ", ".join(changes.tests) or "none"
    console.print(Text(f"Tests that changed: {tests}"))
    for slug, (old, new) in found.max_points_changed.items():
        console.print(Text(f"{slug} is worth {new:g} points, was {old:g}"))
    if found.changed:
        view = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        view.add_column("student", no_wrap=True)
        for title in ("before", "after", "change"):
            view.add_column(title, justify="right", no_wrap=True)
        view.add_column("where")
        for change in found.changed:
            view.add_row(*_line(change))
        console.print(view)
    gains = [change.difference or 0.0 for change in found.changed]
    count = (
        f"{len(found.changed)} of {len(changes.after.scores)} change: "
        f"{sum(gain > 0 for gain in gains)} gain, {sum(gain < 0 for gain in gains)} lose; "
        f"{found.unchanged} stay."
    )
    console.print(Text(count))
    for student, reason in changes.not_graded.items():
        console.print(Text(f"not graded: {student}: {reason}"))
