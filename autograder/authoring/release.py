"""What learners receive: released notebooks, made by nbgrader from the built ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from autograder.course import HOME, Course
from autograder.course.commands import run_nbgrader
from autograder.wording import last_lines


class ReleaseError(RuntimeError):
    """nbgrader refused to make a release; the message is the end of its log."""


def release(course: Course, chapter: str) -> list[Path]:
    """Write ``release/<chapter>/`` and record the graded cells in the gradebook.

    Raises
    ------
    ReleaseError
        If nbgrader refuses, for instance because graded cells were added or
        removed while the gradebook already holds submissions.
    """
    course.texts(chapter)  # names the chapters there are, if this is none of them
    done = run_nbgrader(course.root, "generate_assignment", chapter, "--create", "--force")
    if done.returncode != 0:
        raise ReleaseError(
            f"nbgrader generate_assignment {chapter} failed:\n{last_lines(done.stderr)}"
        )
    return sorted((course.release / chapter).glob("*.ipynb"))


def scratch_course(folder: Path, chapters: list[str] | None = None) -> Course:
    """Return a fresh course in `folder` with this course's sources and configuration.

    It has a gradebook of its own, so that trying something never touches a real class.
    """
    original = Course.at(HOME)
    for chapter in chapters or original.chapters():
        shutil.copytree(original.source / chapter, folder / "source" / chapter)
    shutil.copy(HOME / "nbgrader_config.py", folder)
    return Course.at(folder)
