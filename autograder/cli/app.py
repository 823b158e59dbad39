"""The commands of ``servemath``, in the order in which their help lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from autograder import NAME
from autograder.cli import authoring, grading, machine, regrading, reporting, sample, watching
from autograder.cli.frame.program import Program, Session

AUTHORS, GRADERS, TRYING = "For authors", "For graders", "This machine, and trying things out"

#: In `--help` and in docs/reference/command-line.md.
ABOUT = """\
Build, check and grade the course on the maths of LLM serving.

Works on the course folder that you are in, or on the one named by `--course`. A chapter can
be named by as much of it as tells it from the others: `ch1`.

**Exit codes**

- 0: done
- 1: done, and something needs a look (a submission could not be graded, a check failed)
- 2: wrong usage, or something that was named is not there
- 3: this machine lacks something, or refuses it: `servemath doctor`
- 70: a mistake of ours; `servemath --debug ...` shows where
- 130: stopped by Ctrl-C
"""

EXAMPLES = """\
**Examples**

- `servemath doctor`: can this machine do the work?

- `servemath build`: notebooks from text, and the release

- `servemath check`: ready to push?

- `servemath grade ch1 --feedback`: grade a class, then write its feedback

- `servemath report ch1`: where the class stands

- `servemath --install-completion`: complete commands and names in this shell
"""

app = typer.Typer(
    name=NAME,
    cls=Program,
    help=ABOUT,
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit


@app.callback()
def before(
    context: typer.Context,
    course: Annotated[
        Path | None,
        typer.Option(
            "--course", "-C", help="The course folder.", show_default="here or above here"
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Keep what is said before the command."""
    session = context.ensure_object(Session)
    session.course, session.debug = course, debug


def _examples(**examples: str) -> str:
    """Return an epilog that lists commands and what they do."""
    lines = [f"- `{NAME} {command}`: {what}" for command, what in examples.items()]
    return "\n\n".join(["**Examples**", *lines])


def _add(function: Callable[..., Any], panel: str, name: str = "", **examples: str) -> None:
    command = name or function.__name__
    shown = {" ".join(filter(None, (command, more))): what for more, what in examples.items()}
    app.command(name=command, rich_help_panel=panel, epilog=_examples(**shown))(function)


_add(
    authoring.build,
    AUTHORS,
    **{
        "": "every notebook and the release",
        "ch2": "one chapter",
        "--only notebooks --stale": "only notebooks, only those that are out of date",
    },
)
_add(authoring.release, AUTHORS, **{"": "every chapter", "ch2": "one chapter"})
_add(
    authoring.check,
    AUTHORS,
    **{
        "": "every chapter, in seconds",
        "ch2 --execute": "one chapter, outputs of theory included",
        "--json": "for a program",
    },
)
_add(authoring.bank, AUTHORS, **{"": "every exercise", "ch2": "one chapter"})
_add(
    authoring.bundle,
    AUTHORS,
    **{"": "dist/servemath-learner.zip", "--out /tmp/handout": "into another folder"},
)
_add(
    grading.grade,
    GRADERS,
    **{
        "ch1": "what is not graded yet",
        "ch1 --force --feedback": "all of it again, then feedback",
        "ch1 --student u123 --force": "one new submission",
    },
)
_add(
    grading.table,
    GRADERS,
    **{"ch1": "one assignment", "ch1 --csv > ch1.csv": "for a spreadsheet"},
)
_add(
    watching.watch,
    GRADERS,
    **{
        "ch1": "until it is stopped",
        "ch1 --once": "what is there now",
        "ch1 --uploads ~/Downloads/ch1": "what Canvas or Moodle let you download",
        "--status": "how it stands",
        "ch1 --attempts u123": "what a learner has tried",
    },
)
_add(
    regrading.regrade,
    GRADERS,
    **{
        "ch1 --dry-run": "who would change?",
        "ch1": "the same, then ask whether to write it",
        "ch1 --yes": "without asking",
    },
)
_add(
    reporting.report,
    GRADERS,
    **{"ch1": "pseudonyms instead of names", "ch1 --names --out ch1.html": "with names"},
)
_add(
    machine.doctor,
    TRYING,
    **{"": "what is missing, and what to do", "--json": "for a program"},
)
_add(sample.demo, TRYING, **{"ch1": "one chapter", "": "all chapters"})
_add(sample.clean_demo, TRYING, "clean-demo", **{"": "before a real class comes"})
_add(machine.lab, TRYING, **{"": "as a learner works"})
_add(machine.progress, TRYING, **{"": "where you stand, and what comes next"})
