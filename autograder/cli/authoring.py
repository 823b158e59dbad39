"""Commands for authors: build, check, release, bank, bundle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli.frame.bar import progress
from autograder.cli.frame.exits import Mistake, told_as
from autograder.cli.frame.names import ChapterOrAll, chapters_of, course_of, shown
from autograder.course import Course
from autograder.wording import first_line

if TYPE_CHECKING:
    from nbclient.exceptions import CellExecutionError


class Part(StrEnum):
    """What `build` can be held to."""

    NOTEBOOKS = "notebooks"
    RELEASE = "release"


def build(
    context: typer.Context,
    chapter: ChapterOrAll = None,
    only: Annotated[
        Part | None, typer.Option(help="Do only this part.", show_default="both")
    ] = None,
    stale: Annotated[
        bool,
        typer.Option(
            "--stale", help="Leave out notebooks newer than all that they are built from."
        ),
    ] = False,
) -> None:
    """Build notebooks, then make the release.

    Notebooks come from their text; theory is executed. The release is what learners
    receive; making it also tells the gradebook which cells are graded.
    """
    course = course_of(context)
    chapters = chapters_of(course, chapter)
    if only is not Part.RELEASE:
        _notebooks(course, chapters, stale)
    if only is not Part.NOTEBOOKS:
        _release(course, chapters)


def _notebooks(course: Course, chapters: list[str], stale: bool) -> None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    from autograder.authoring.build import build, build_guides
    from autograder.authoring.colab import readme, repository
    from autograder.authoring.command_page import write_page
    from autograder.authoring.outline import write_outline
    from autograder.authoring.reference import write_pages
    from autograder.files import write_atomically

    with progress("building notebooks", len(chapters)) as advance:
        results = [*write_pages(course), write_page(course)]
        results += build_guides(course, only_stale=True)
        front = course.root / "README.md"
        if front.is_file():
            results.append((front, write_atomically(front, readme(course, repository()))))
        for name in chapters:
            # A slip in the text, or in the code of theory, is the author's to mend.
            try:
                results += build(course, name, only_stale=stale)
            except CellExecutionError as error:
                raise Mistake(f"{name}: {_stopped_cell(error)}") from error
            except (ValueError, CellTimeoutError) as error:
                raise Mistake(f"{name}: {first_line(error)}") from error
            advance(name)
        results += write_outline(course)
    for path, changed in results:
        typer.echo(f"{'built' if changed else 'unchanged'}  {shown(path)}")


def _stopped_cell(error: CellExecutionError) -> str:
    """Return which cell of theory stopped, and how."""
    code = [line for line in str(error).splitlines()[1:] if line.strip("- ")]
    begins = f" (it begins: {code[0]})" if code else ""
    return f"a cell of theory stops with {error.ename}: {error.evalue}{begins}"


def _release(course: Course, chapters: list[str]) -> None:
    from autograder.authoring.learner_lab import write_companions
    from autograder.authoring.release import ReleaseError, release

    released = []
    with progress("making the release", len(chapters)) as advance:
        for name in chapters:
            with told_as(Mistake, ReleaseError):
                released += release(course, name)
            advance(name)
    released += [path for path, _ in write_companions(course)]
    for path in released:
        typer.echo(f"released  {shown(path)}")


def release(context: typer.Context, chapter: ChapterOrAll = None) -> None:
    """Make the release from built notebooks.

    It also tells the gradebook which cells are graded. The same as
    `servemath build --only release`.
    """
    course = course_of(context)
    _release(course, chapters_of(course, chapter))


def check(
    context: typer.Context,
    chapter: ChapterOrAll = None,
    execute: Annotated[
        bool,
        typer.Option(
            "--execute", help="Run theory again and compare its outputs too; takes longer."
        ),
    ] = False,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look whether a change is ready to share.

    Changes nothing and takes seconds. Notebooks are what their text gives, the release
    is what the notebooks give, and records, exercises and theory keep the rules that
    tests hold them to.
    """
    course = course_of(context)
    chapters = chapters_of(course, chapter)

    from autograder.check.looks import everything
    from autograder.cli.frame.show import look_and_show

    look_and_show("checking", everything(course, chapters, execute), in_json)


def bank(context: typer.Context, chapter: ChapterOrAll = None) -> None:
    """Show the exercises and their solutions.

    For each: points, how many right and wrong solutions the bank knows, and what catches the
    wrong ones: visible checks, the deep check, or hidden tests alone, and then why. Then how
    specific feedback is: of how many wrong solutions it says what fell, were they not known.
    """
    course = course_of(context)
    chapters = chapters_of(course, chapter)

    from autograder.bank.report import show
    from autograder.check.told import show_rates

    with told_as(Mistake, FileNotFoundError):
        show(course, chapters)
        show_rates(course, chapters)


def bundle(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write to.", show_default="dist/", file_okay=False),
    ] = None,
) -> None:
    """Zip what learners receive.

    Release, helper package, environment files; no solution and no hidden test.
    """
    course = course_of(context)

    from autograder.authoring.bundle import bundle as write_bundle

    with told_as(Mistake, ValueError, FileNotFoundError):
        typer.echo(f"bundled  {shown(write_bundle(course, out or course.root / 'dist'))}")
