"""JupyterLab on the learners' notebooks, as a learner would work on them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from autograder.authoring import learner_lab
from autograder.course import Course
from autograder.course.commands import environment
from autograder.files import write_atomically

#: Where `make lab` works; git ignores it.
FOLDER = "my_work"

#: Where its JupyterLab, and no other, finds a learner's configuration.
CONFIGURATION = ".jupyter"


def copy_missing(course: Course) -> list[Path]:
    """Copy what learners receive into ``my_work/``, leaving what is there; return the copies."""
    copied = []
    for path in sorted(course.release.rglob("*.ipynb")):
        target = course.root / FOLDER / path.relative_to(course.release)
        if not target.exists() and not path.parent.name.startswith("."):  # no checkpoints
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            copied.append(target)
    return copied


def open_lab(course: Course) -> None:
    """Become JupyterLab, opened on the copies; ``release/`` itself is never worked in."""
    copy_missing(course)
    for name, text in learner_lab.settings(CONFIGURATION).items():
        write_atomically(course.root / FOLDER / name, text)
    start = f"/{learner_lab.START}" if (course.release / learner_lab.START).is_file() else ""
    os.chdir(course.root)
    here = environment()
    folders = [str(course.root / FOLDER / CONFIGURATION), here.get("JUPYTER_CONFIG_PATH")]
    here["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, folders))
    command = ["jupyter", "lab", f"--LabApp.default_url=/lab/tree/{FOLDER}{start}"]
    os.execvpe(command[0], command, here)
