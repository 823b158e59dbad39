"""The command that grades a class again after its tests changed: regrade."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli.frame.bar import Advance, progress
from autograder.cli.frame.exits import Exit, Mistake, told_as
from autograder.cli.frame.names import Assignment, course_of, meant, shown, students_of
from autograder.cli.grading import need_gradebook, need_jail
from autograder.course import Course

if TYPE_CHECKING:
    from autograder.regrade import Changes


def regrade(
    context: typer.Context,
    assignment: Assignment,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show who would change, and write nothing.")
    ] = False,
) -> None:
    """Grade again after tests changed.

    Shows who would change, and by how much, before it writes. Everything is graded in a
    scratch copy; nothing of the course changes before you say yes, and the previous
    scores and gradebook are kept.
    """
    course = course_of(context)
    assignment = meant(assignment, course.chapters(), "assignment")
    need_gradebook(course, assignment)
    need_jail(course)

    from autograder.regrade import RegradeError, discard, show

    with told_as(Mistake, RegradeError):
        changes = _plan(course, assignment)
        show(changes)
        if not (changes.any or changes.tests):
            typer.echo("Nothing to write.")
        elif not dry_run and (yes or _confirmed(course, changes)):
            _apply(course, changes)
            return
        else:
            typer.echo("Nothing was written.")
        discard(course, changes)
    if changes.not_graded:
        raise typer.Exit(Exit.NEEDS_A_LOOK)


def _confirmed(course: Course, changes: Changes) -> bool:
    from autograder.regrade import discard

    try:
        return typer.confirm("Write this to the gradebook?")
    except typer.Abort:
        discard(course, changes)
        raise


def _apply(course: Course, changes: Changes) -> None:
    from autograder.regrade import apply

    previous = apply(course, changes)
    typer.echo(f"Written. The previous scores and gradebook: {shown(previous)}")
    typer.echo(f"Feedback is as it was: nbgrader generate_feedback {changes.assignment} --force")
    if changes.not_graded:
        raise typer.Exit(Exit.NEEDS_A_LOOK)


def _plan(course: Course, assignment: str) -> Changes:
    """Plan the regrade, and show how far its grading is."""
    from autograder.regrade import plan

    students = students_of(course, assignment)
    with (
        progress(f"grading a copy of {assignment}", len(students)) as advance,
        _watching(course, assignment, students, advance),
    ):
        return plan(course, assignment)


@contextlib.contextmanager
def _watching(
    course: Course, assignment: str, students: list[str], advance: Advance
) -> Iterator[None]:
    """Meanwhile, call `advance` for each submission that the scratch copy has an outcome of."""
    from autograder.cli.frame.watch import news_of, outcome_watch
    from autograder.course.commands import LOOK_S
    from autograder.regrade.workspace import workspace

    scratch = Course(workspace(course, assignment))
    watched = {name: outcome_watch(scratch, assignment, name) for name in students}
    look = news_of(watched, advance)
    ended = threading.Event()

    def keep_looking() -> None:
        last = False
        while not last:
            last = ended.wait(LOOK_S)
            look()

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
