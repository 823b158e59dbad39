"""JupyterLab on the learners' notebooks, as a learner would work on them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from autograder.course import Course
from autograder.course.commands import environment

#: Where `make lab` works; git ignores it.
FOLDER = "my_work"


def copy_missing(course: Course) -> list[Path]:
    """Copy released notebooks into ``my_work/``, leaving what is there; return the copies."""
    copied = []
    for path in sorted(course.release.glob("*/*.ipynb")):
        target = course.root / FOLDER / path.relative_to(course.release)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            copied.append(target)
    return copied


def open_lab(course: Course) -> None:
    """Become JupyterLab, opened on the copies; ``release/`` itself is never worked in."""
    copy_missing(course)
    os.chdir(course.root)
    command = ["jupyter", "lab", f"--LabApp.default_url=/lab/tree/{FOLDER}"]
    os.execvpe(command[0], command, environment())
