"""Commands about this machine: doctor, lab, progress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.frame.exits import NotHere
from autograder.cli.frame.names import course_of


def doctor(
    context: typer.Context,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what this machine lacks.

    And what to do about it. Looks at Python, packages, alembic, gradebook, due dates,
    disk, jail, release and browser. A note stops nothing; a fault does, and ends in exit code 1.
    """
    course = course_of(context)

    from autograder.cli.frame.show import look_and_show
    from autograder.machine.doctor import examinations

    look_and_show("examining", examinations(course), in_json)


def lab(context: typer.Context) -> None:
    """Open JupyterLab as a learner does.

    On a copy of the learners' notebooks, in my_work/.
    """
    course = course_of(context)

    from autograder.machine.lab import open_lab

    try:
        open_lab(course)
    except FileNotFoundError as error:
        raise NotHere("jupyter is not installed here: make setup") from error


def progress(
    file: Annotated[
        Path | None, typer.Argument(help="Another file of progress.", show_default="your own")
    ] = None,
) -> None:
    """Show where a learner stands.

    What is answered and what passes in each chapter, as notebooks kept it on this computer, how
    long the rest takes, and what comes next.
    """
    from servemath_helpers.progress import own_file, progress

    typer.echo(progress(file or own_file()))
