"""Commands for trying the course: demo, clean-demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from autograder.cli.frame.exits import Exit, Mistake, told_as
from autograder.cli.frame.names import ChapterOrAll, chapters_of, course_of, shown
from autograder.course import Course

if TYPE_CHECKING:
    from autograder.gradebook.table import ClassTable


def demo(context: typer.Context, chapter: ChapterOrAll = None) -> None:
    """Grade a sample class, text to report.

    The class holds every kind of submission that graders meet, some of which nobody can
    grade. Exit code 0 means that each got the score it deserves, 1 that one did not.
    Refuses a course that holds submissions of a real class.
    """
    course = course_of(context)
    chapters = chapters_of(course, chapter)

    from autograder.authoring.release import ReleaseError
    from autograder.demo.run import DemoError, run
    from autograder.report import write_report

    with told_as(Mistake, DemoError, ReleaseError):
        tables = run(course, chapters)
    surprises = []
    for table in tables:
        surprises += _surprises(course, table, thorough=table is tables[0])
        typer.echo(f"Class report: {shown(write_report(course, table.assignment))}")
    count = sum(len(table.rows) for table in tables)
    typer.echo(f"Scores as they should be: {count - len(surprises)} of {count} submissions")
    if surprises:
        typer.echo(f"Not so: {', '.join(surprises)}")
        raise typer.Exit(Exit.NEEDS_A_LOOK)


def _surprises(course: Course, table: ClassTable, thorough: bool) -> list[str]:
    """Return the submissions whose scores are not those that they deserve."""
    from autograder.demo.sample_class import Chapter, cases

    made = cases(Chapter(course, table.assignment), thorough)
    deserved = {case.student: case.scores for case, _ in made}
    return [
        f"{row.student} ({table.assignment})"
        for row in table.rows
        if row.student in deserved and row.scores != deserved[row.student]
    ]


def clean_demo(context: typer.Context) -> None:
    """Take the sample class out again.

    Its folders, its outcomes, and what the gradebook has of it.
    """
    course = course_of(context)

    from autograder.demo.run import remove

    typer.echo(f"removed {remove(course)} sample students")
