"""docs/reference/command-line.md, made from the program's own help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autograder import NAME
from autograder.course import Course
from autograder.files import write_atomically

TITLE = "The command line"

NOTE = f"<!-- Made from the help of {NAME} by `{NAME} build`; edit autograder/cli/. -->"

#: Seconds that the help may take to write.
TIMEOUT_S = 60.0


def page() -> str:
    """Return the page: typer's own description of the program, in Markdown."""
    command = [sys.executable, "-m", "typer", "autograder.cli.app", "utils", "docs"]
    told = subprocess.run(
        [*command, "--name", NAME, "--title", TITLE],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    ).stdout
    heading, _, rest = told.partition("\n")
    # Usage lines are not commands to be typed.
    rest = rest.replace("```console\n$ ", "```text\n")
    return f"{heading}\n\n{NOTE}\n\n{rest.strip()}\n"


def place(course: Course) -> Path:
    """Return where the page stands in a course."""
    return course.root / "docs" / "reference" / "command-line.md"


def write_page(course: Course) -> tuple[Path, bool]:
    """Write the page; return its path and whether it changed."""
    path = place(course)
    return path, write_atomically(path, page())
