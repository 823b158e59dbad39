"""Commands for graders: grade, table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli.frame.bar import progress
from autograder.cli.frame.exits import Exit, Mistake, NotHere, told_as
from autograder.cli.frame.names import (
    Assignment,
    AssignmentOrAll,
    chapters_of,
    complete_student,
    course_of,
    meant,
    shown,
    students_of,
)
from autograder.course import Course
from autograder.wording import few, first_line, last_lines

if TYPE_CHECKING:
    from autograder.gradebook.table import ClassTable


def grade(
    context: typer.Context,
    assignment: Assignment,
    student: Annotated[
        str | None,
        typer.Option(
            help="Grade this student alone.",
            autocompletion=complete_student,
            show_default="the whole class",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Grade again what is graded already.")
    ] = False,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Write feedback pages afterwards.")
    ] = False,
) -> None:
    """Grade a class and show its table.

    Runs nbgrader autograde; its log is kept in outcomes/. Exit code 1 means that a
    submission could not be graded; the table says why, and all others are graded.
    """
    course = course_of(context)
    assignment = meant(assignment, course.chapters(), "assignment")
    students = _to_grade(course, assignment, student)
    need_gradebook(course, assignment)
    need_jail(course)
    done = _autograde(course, assignment, students, single=student is not None, force=force)
    table = _class_table(course, assignment)
    _show(table)
    failed = [row.student for row in table.rows if row.scores is None and row.student in students]
    typer.echo(f"\n{_summary(students, done, failed)}")
    typer.echo(f"Log: {shown(course.log(assignment))}")
    if feedback:
        failed += _feedback(course, assignment, students, single=student is not None)
    if failed:
        raise typer.Exit(Exit.NEEDS_A_LOOK)


def _summary(students: list[str], done: list[str], failed: list[str]) -> str:
    """Return how many were graded, how many were already, and who could not be.

    >>> print(_summary(["u1", "u2", "u3"], ["u2", "u3"], ["u3"]))
    Graded now: 1
    Graded before: 1 (--force grades them again)
    Could not be graded: 1 (u3)
    """
    before = len(set(students) - set(done) - set(failed))
    lines = [f"Graded now: {len(set(done) - set(failed))}"]
    if before:
        lines.append(f"Graded before: {before} (--force grades them again)")
    if failed:
        lines.append(f"Could not be graded: {len(failed)} ({few(failed)})")
    return "\n".join(lines)


def _to_grade(course: Course, assignment: str, student: str | None) -> list[str]:
    """Return whose submissions are meant; a mistake if there is none."""
    students = students_of(course, assignment)
    if not students:
        raise Mistake(
            f"nothing was handed in for {assignment}: a submission lies in "
            f"{shown(course.submitted)}/<student>/{assignment}/"
        )
    if student is None:
        return students
    return [meant(student, students, f"student who handed in {assignment}", begun=False)]


def need_gradebook(course: Course, assignment: str) -> None:
    """Refuse an assignment that the gradebook does not know."""
    from autograder.gradebook.reader import assignment_of, opened

    with _gradebook_trouble(assignment), opened(course) as gradebook:
        assignment_of(gradebook, assignment)


def need_jail(course: Course) -> None:
    """Refuse to begin where grading would refuse every submission."""
    from autograder.course.settings import SettingsError, needs_jail
    from autograder.grading.engine.jail import why_not

    with told_as(Mistake, SettingsError):
        reason = why_not() if needs_jail(course) else None
    if reason is not None:
        raise NotHere(reason)


@contextlib.contextmanager
def _gradebook_trouble(assignment: str) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    from autograder.course.settings import SettingsError
    from autograder.gradebook.reader import NoGradebook

    try:
        with told_as(Mistake, SettingsError):
            yield
    except NoGradebook as error:
        raise Mistake(f"{error}. The release tells it: servemath release {assignment}") from error
    except SQLAlchemyError as error:
        reason = first_line(getattr(error, "orig", None) or error)
        raise NotHere(f"the gradebook: {reason}. servemath doctor says more") from error


def _autograde(
    course: Course, assignment: str, students: list[str], *, single: bool, force: bool
) -> list[str]:
    """Run nbgrader autograde; return whose submissions it dealt with."""
    from autograder.cli.frame.watch import news_of, outcome_watch
    from autograder.course.commands import run_nbgrader

    arguments = ["autograde", assignment]
    arguments += ["--student", students[0]] if single else []
    arguments += ["--force"] if force else []
    watched = {name: outcome_watch(course, assignment, name) for name in students}
    done: list[str] = []
    log = course.log(assignment)
    with progress(f"grading {assignment}", len(students)) as advance:

        def on_done(name: str) -> None:
            done.append(name)
            advance(name)

        with told_as(NotHere, TimeoutError):
            ended = run_nbgrader(course.root, *arguments, log=log, news=news_of(watched, on_done))
    if ended.returncode != 0 and not done:
        raise NotHere(
            f"nbgrader autograde stopped before it had graded anything. "
            f"The end of {shown(log)}:\n{last_lines(ended.stderr)}"
        )
    return done


def _feedback(course: Course, assignment: str, students: list[str], *, single: bool) -> list[str]:
    """Write feedback pages; return the students who got none."""
    from autograder.cli.frame.watch import Watched, news_of
    from autograder.course.commands import run_nbgrader

    pages = {name: course.feedback / name / assignment / "exercises.html" for name in students}
    watched = {name: Watched(page) for name, page in pages.items()}
    arguments = ["generate_feedback", assignment, "--force"]
    arguments += ["--student", students[0]] if single else []
    log = course.log(assignment, "feedback")
    with progress("writing feedback", len(pages)) as advance, told_as(NotHere, TimeoutError):
        ended = run_nbgrader(course.root, *arguments, log=log, news=news_of(watched, advance))
    without = [name for name, page in pages.items() if not page.is_file()]
    typer.echo(f"Feedback pages ({len(pages) - len(without)}): {shown(course.feedback)}/")
    if without:
        typer.echo(f"No feedback page: {len(without)} ({few(without)}). Log: {shown(log)}")
    elif ended.returncode != 0:
        raise NotHere(f"nbgrader generate_feedback failed:\n{last_lines(ended.stderr)}")
    return without


def _class_table(course: Course, assignment: str) -> ClassTable:
    from autograder.gradebook.record import collect
    from autograder.gradebook.table import class_table

    with _gradebook_trouble(assignment):
        return class_table(collect(course, assignment))


def _show(table: ClassTable) -> None:
    from rich.console import Console

    from autograder.gradebook.table import TABLE_WIDTH, show_table

    show_table(Console(width=max(TABLE_WIDTH, Console().width)), table)


def table(
    context: typer.Context,
    assignment: AssignmentOrAll = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
) -> None:
    """Show the scores of a class, with notes.

    Automatic scores by exercise, and what a grader should know. With no assignment named:
    of every one that somebody handed in.
    """
    course = course_of(context)
    named = chapters_of(course, assignment)
    handed_in = [name for name in named if students_of(course, name)]
    if not handed_in:
        raise Mistake(f"nothing was handed in for {', '.join(named)}")

    from autograder.gradebook.table import as_csv

    for name in handed_in:
        found = _class_table(course, name)
        if csv:
            typer.echo(as_csv(found), nl=False)
        else:
            _show(found)
