"""The main job on the sample class, from authored text to feedback pages."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nbgrader.api import Gradebook
from rich.console import Console

from autograder.authoring.build import build
from autograder.authoring.release import ReleaseError, release
from autograder.course import Course
from autograder.course.commands import run_nbgrader
from autograder.demo.sample_class import PREFIX, Chapter, lay_out
from autograder.files import write_atomically
from autograder.gradebook.record import collect
from autograder.gradebook.table import TABLE_WIDTH, ClassTable, class_table, show_table
from autograder.wording import few

T = TypeVar("T")


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def refuse_a_real_class(course: Course) -> None:
    """Stop if the course holds submissions that are not the demo's own."""
    real = sorted(
        path.name for path in course.submitted.glob("*") if not path.name.startswith(PREFIX)
    )
    if real:
        raise DemoError(
            f"{course.submitted} holds submissions of a real class ({few(real, 3)}); the demo "
            "grades only its own sample class. Run it in another checkout."
        )


def grade(course: Course, chapter: str) -> int:
    """Run ``nbgrader autograde`` as a TA would and return its exit code.

    Its log goes to ``outcomes/<chapter>.log``; the terminal gets a line a submission.
    """
    arguments = ("autograde", chapter, "--force")
    return run_nbgrader(course.root, *arguments, log=course.log(chapter)).returncode


def generate_feedback(course: Course, chapter: str) -> list[Path]:
    """Run ``nbgrader generate_feedback`` and return the pages."""
    done = run_nbgrader(course.root, "generate_feedback", chapter, "--force")
    if done.returncode != 0:
        raise DemoError(f"nbgrader generate_feedback failed:\n{done.stderr[-2000:]}")
    return sorted(course.feedback.glob(f"*/{chapter}/exercises.html"))


def _shown(path: Path) -> str:
    """Return a path as one would type it here, so that a terminal can open it."""
    return os.path.relpath(path)


def remove(course: Course) -> int:
    """Take the sample class out of the course: folders and gradebook; return how many."""
    students = sorted({path.name for path in course.submitted.glob(f"{PREFIX}*")})
    for folder in (course.submitted, course.autograded, course.feedback):
        for path in folder.glob(f"{PREFIX}*"):
            shutil.rmtree(path)
    for folder in (course.outcomes, course.transcripts):
        for path in folder.glob(f"*/{PREFIX}*.json"):
            path.unlink()
    for path in course.timings.glob("*.csv"):
        kept = [
            line for line in path.read_text("utf-8").splitlines() if line[: len(PREFIX)] != PREFIX
        ]
        write_atomically(path, "\n".join(kept) + "\n")
    for path in course.reports.glob("*"):
        if not any(course.submitted.glob(f"*/{path.name}")):  # of the sample class alone
            shutil.rmtree(path)
    if course.database.is_file():
        with Gradebook(course.database_url) as gradebook:
            for student in [s.id for s in gradebook.students if s.id.startswith(PREFIX)]:
                gradebook.remove_student(student)
    return len(students)


def run(course: Course, chapters: list[str]) -> list[ClassTable]:
    """Do the whole job for each chapter and print the results.

    Parameters
    ----------
    course : Course
        The course folder.
    chapters : list of str
        The chapters. The first gets every kind of submission; the others, the kinds
        that differ from chapter to chapter.

    Raises
    ------
    DemoError
        If the course holds a real class, or a step fails.
    """
    console = Console(width=max(TABLE_WIDTH, Console().width), soft_wrap=False)
    refuse_a_real_class(course)
    return [
        _run_chapter(console, course, chapter, thorough=chapter == chapters[0])
        for chapter in chapters
    ]


def _run_chapter(console: Console, course: Course, chapter: str, thorough: bool) -> ClassTable:
    def step(label: str, work: Callable[[], T]) -> T:
        start = time.monotonic()
        console.print(f"{label} ...", end=" ", highlight=False)
        result = work()
        console.print(f"{time.monotonic() - start:.1f} s", highlight=False)
        return result

    console.rule(chapter, align="left")
    step("building notebooks from text", lambda: build(course, chapter, only_stale=True))
    try:
        step("making the release and filling the gradebook", lambda: release(course, chapter))
    except ReleaseError as error:
        raise DemoError(
            f"{error}\nIf exercises changed since the last demo, remove {course.database.name} "
            "and submitted/ and run it again."
        ) from error
    material = Chapter(course, chapter)
    cases = step("laying out the sample class", lambda: lay_out(course, material, thorough))
    code = step(
        f"nbgrader autograde {chapter} ({len(cases)} submissions)",
        lambda: grade(course, chapter),
    )
    pages = step(
        f"nbgrader generate_feedback {chapter}", lambda: generate_feedback(course, chapter)
    )
    table = class_table(collect(course, chapter))
    show_table(console, table)
    verdict = "all were graded" if code == 0 else "not all could be graded"
    console.print(f"\nnbgrader autograde ended with exit code {code}: {verdict}.")
    console.print(f"Log: {_shown(course.log(chapter))}", highlight=False)
    console.print(f"Feedback pages ({len(pages)}):", highlight=False)
    for page in pages:
        console.print(f"  {_shown(page)}", highlight=False)
    return table
