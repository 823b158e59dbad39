"""``python -m autograder``: what the make targets call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from autograder.course import Course


def _chapters(course: Course, chapter: str | None) -> list[str]:
    return [chapter] if chapter else course.chapters()


def _notebooks(course: Course, options: argparse.Namespace) -> None:
    from autograder.authoring.build import build
    from autograder.authoring.reference import write_pages

    for path, changed in write_pages(course):
        print(f"{'built' if changed else 'unchanged'}  {path.relative_to(course.root)}")
    for chapter in _chapters(course, options.chapter):
        for path, changed in build(course, chapter):
            print(f"{'built' if changed else 'unchanged'}  {path.relative_to(course.root)}")


def _release(course: Course, options: argparse.Namespace) -> None:
    from autograder.authoring.release import release

    for chapter in _chapters(course, options.chapter):
        for path in release(course, chapter):
            print(f"released  {path.relative_to(course.root)}")


def _bundle(course: Course, options: argparse.Namespace) -> None:
    from autograder.authoring.bundle import bundle

    path = bundle(course, course.root / "dist")
    print(f"bundled  {path.relative_to(course.root)}")


def _demo(course: Course, options: argparse.Namespace) -> None:
    from autograder.demo.run import remove, run

    if options.remove:
        print(f"removed {remove(course)} sample students")
    else:
        run(course, _chapters(course, options.chapter))


def _lab(course: Course, options: argparse.Namespace) -> None:
    from autograder.lab import open_lab

    open_lab(course)


def _table(course: Course, options: argparse.Namespace) -> None:
    from rich.console import Console

    from autograder import bank
    from autograder.grading.outcomes import class_table
    from autograder.grading.table import TABLE_WIDTH, as_csv, show_table

    for chapter in _chapters(course, options.chapter):
        if not any(course.submitted.glob(f"*/{chapter}")):
            continue
        table = class_table(course, chapter, [exercise.slug for exercise in bank.load(chapter)])
        if options.csv:
            print(as_csv(table), end="")
        else:
            show_table(Console(width=max(TABLE_WIDTH, Console().width)), table)


def _bank(course: Course, options: argparse.Namespace) -> None:
    from autograder.bank.report import show

    show(course, _chapters(course, options.chapter))


COMMANDS = {
    "notebooks": (_notebooks, "build notebooks from text"),
    "release": (_release, "make learners' notebooks and fill the gradebook"),
    "bundle": (_bundle, "zip what learners receive"),
    "bank": (_bank, "what the solution bank holds and what only hidden tests catch"),
    "lab": (_lab, "JupyterLab on a copy of the learners' notebooks"),
    "demo": (_demo, "grade a sample class from text to feedback"),
    "table": (_table, "automatic scores and what a grader should know"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's ends in one clear line and exit code 2."""
    from autograder.authoring.prose import ProseError
    from autograder.authoring.release import ReleaseError
    from autograder.demo.run import DemoError

    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    parser.add_argument("--root", type=Path, help="the course folder (default: this checkout)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        command.add_argument("chapter", nargs="?", help="one chapter (default: all that apply)")
        if name == "demo":
            command.add_argument("--remove", action="store_true", help="remove the sample class")
        if name == "table":
            command.add_argument("--csv", action="store_true", help="print CSV")
    options = parser.parse_args(arguments)
    try:
        COMMANDS[options.command][0](Course.at(options.root), options)
    except (DemoError, ProseError, ReleaseError, ValueError) as error:
        print(f"servemath: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
