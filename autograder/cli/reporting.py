"""The command that shows where a class stands: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.frame.exits import Mistake
from autograder.cli.frame.names import Assignment, course_of, meant, shown, students_of
from autograder.cli.grading import need_gradebook

#: What the file of a report may end in.
SUFFIXES = (".html", ".htm")


def report(
    context: typer.Context,
    assignment: Assignment,
    names: Annotated[
        bool, typer.Option("--names", help="Show who is who; by default pseudonyms stand there.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page to write, or a folder for it; CSV and JSON go beside it.",
            show_default="reports/<assignment>/",
        ),
    ] = None,
) -> None:
    """Write the class report.

    One HTML page, with CSV and JSON beside it. Looks at what the last grading left; grade first.
    """
    if out is not None and not out.is_dir() and out.suffix.lower() not in SUFFIXES:
        raise Mistake(f"--out must be a folder that exists or end in .html, got {out}")
    course = course_of(context)
    assignment = meant(assignment, course.chapters(), "assignment")
    if not students_of(course, assignment):
        raise Mistake(f"nothing was handed in for {assignment}")
    need_gradebook(course, assignment)

    from autograder.report import write_report

    typer.echo(f"report  {shown(write_report(course, assignment, names=names, out=out))}")
