"""The command that grades what learners hand in as it comes: watch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.frame.exits import Exit, Mistake, NotHere, told_as
from autograder.cli.frame.names import complete_chapter, course_of, meant, shown
from autograder.cli.grading import need_gradebook, need_jail
from autograder.course import Course


def watch(
    context: typer.Context,
    assignments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ASSIGNMENT...",
            help="Chapters, or as much of their names as tells them from the others.",
            autocompletion=complete_chapter,
            show_default=False,
        ),
    ] = None,
    uploads: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Watch a folder of downloads from Canvas or Moodle in the exchange's place; "
            "of several chapters, with a folder for each in it.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Deal with what is there now, and end.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show how the watcher of this course stands.")
    ] = False,
    attempts: Annotated[
        str | None,
        typer.Option(metavar="STUDENT", help="Show a learner's attempts.", show_default=False),
    ] = None,
    poll: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks at what came.")
    ] = 1.0,
) -> None:
    """Grade what learners submit as it comes.

    Watches nbgrader's exchange, or a folder of uploads, until it is stopped. How many attempts
    learners have, the options of `Attempts` in nbgrader_config.py say. Its log is
    outcomes/watch.log.
    """
    course = course_of(context)
    if status:
        _show_status(course)
        return
    if not assignments:
        raise Mistake("name what is to be watched: servemath watch <chapter>")
    named = [meant(one, course.chapters(), "assignment") for one in assignments]
    if attempts is not None:
        _show_attempts(course, named, attempts)
        return
    for one in named:
        # One that cannot be reached now is waited for.
        with contextlib.suppress(NotHere):
            need_gradebook(course, one)
    need_jail(course)

    from autograder.watch.grader import NotNow
    from autograder.watch.run import watch as run
    from autograder.watch.status import OneIsAtWork, log_of

    if uploads is not None and not uploads.is_dir():
        raise Mistake(f"there is no folder {uploads}")
    typer.echo(f"Watching {', '.join(named)}; log: {shown(log_of(course))}")
    if uploads is not None:
        typer.echo(
            f"Pages to upload: {shown(course.returned)}/<chapter>/; points to upload: nbgrader "
            "export --exporter=autograder.exports.CanvasExporter (or MoodleExporter)"
        )
    with told_as(NotHere, OneIsAtWork, NotNow):
        done = run(course, named, uploads=uploads, once=once, poll_s=poll)
    if once and not done:
        _show_status(course)
        raise typer.Exit(Exit.NEEDS_A_LOOK)


def _show_status(course: Course) -> None:
    from autograder.watch.status import Status, is_at_work

    found = Status.load(course)
    if found is None:
        raise Mistake("no watcher has been at work in this course")
    typer.echo("\n".join(found.lines(is_at_work(course))))


def _show_attempts(course: Course, assignments: list[str], student: str) -> None:
    from rich.console import Console

    from autograder.attempts.record import Records
    from autograder.attempts.table import attempts_table
    from autograder.gradebook.table import TABLE_WIDTH

    records = Records(course)
    for assignment in assignments:
        student = meant(student, records.students(assignment), "student with attempts", begun=False)
        console = Console(width=max(TABLE_WIDTH, Console().width))
        console.print(attempts_table(records, assignment, student))
