"""The scratch copy of a course that a regrade works in, and the turn that it takes."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from autograder.course import Course, turns
from autograder.files import Held

#: Under the course root, so that results move into place by renaming.
FOLDER = "regrade"

#: Seconds to wait for a command that is writing to the gradebook.
PATIENCE_S = 10.0


class RegradeError(RuntimeError):
    """A regrade cannot go on; the message says why and what to do. Nothing was changed."""


def workspace(course: Course, assignment: str) -> Path:
    """Return the folder of an assignment's scratch copy."""
    return course.state / FOLDER / assignment


def journal(course: Course, assignment: str) -> Path:
    """Return the file that says what a regrade is about to put into place."""
    return course.state / FOLDER / f"{assignment}.json"


@contextlib.contextmanager
def locked(course: Course) -> Iterator[None]:
    """Have a course for a regrade alone.

    Raises
    ------
    RegradeError
        If another one, a watcher, or a command that grades is at work.
    """
    try:
        with turns.alone(course, "a regrade"):
            yield
    except Held as error:
        raise RegradeError(
            f"{error} is at work in this course; try again when it has ended"
        ) from None


def copy_gradebook(source: Path, target: Path, patience_s: float = PATIENCE_S) -> None:
    """Make the gradebook at `target` a copy of that at `source`, in one transaction.

    SQLite's own backup takes the locks that nbgrader's commands take; if it is
    killed half-way, `target` stays as it was.

    Raises
    ------
    RegradeError
        If a command keeps one of them locked for longer than `patience_s`, in seconds.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s

    def give_up(status: int, _remaining: int, _total: int) -> None:
        # Left alone, Python waits for the lock for ever.
        locked_out = status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if locked_out and time.monotonic() > deadline:
            raise sqlite3.OperationalError("it is locked")

    try:
        with closing(_connect(source)) as one, closing(_connect(target)) as other:
            one.backup(other, progress=give_up)
    except sqlite3.Error as error:
        raise RegradeError(
            f"the gradebook could not be copied to {target.name} ({error}); is a command or "
            "formgrader writing to it?"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # Waiting is ours to do: a step that finds a lock comes back at once.
    return sqlite3.connect(path, timeout=0.1)


def state_of(course: Course, assignment: str) -> str:
    """Return a digest of what a plan depends on: gradebook, texts, submissions."""
    digest = hashlib.sha256(course.database.read_bytes())
    for path in course.texts(assignment):
        digest.update(path.read_bytes())
    for path in sorted(course.submitted.glob(f"*/{assignment}/**/*")):
        entry = path.lstat()
        digest.update(f"{path}\0{entry.st_size}\0{entry.st_mtime_ns}\0".encode(errors="replace"))
    return digest.hexdigest()


def _special(folder: str, names: list[str]) -> list[str]:
    """Return the names that are no file, folder or link: a pipe would never end."""
    modes = {name: Path(folder, name).lstat().st_mode for name in names}
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return [name for name, mode in modes.items() if not any(kind(mode) for kind in kinds)]


def lay_out(course: Course, assignment: str) -> Course:
    """Return a fresh scratch copy of what grading an assignment needs."""
    folder = workspace(course, assignment)
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(course.source / assignment, folder / "source" / assignment)
    # nbgrader_config.py, and plug-ins of the course that it names.
    for path in course.root.glob("*.py"):
        shutil.copy2(path, folder)
    for path in course.submitted.glob(f"*/{assignment}"):
        target = folder / "submitted" / path.parent.name / assignment
        # A link that a learner handed in stays a link: nothing behind it is read.
        if path.is_symlink():
            target.parent.mkdir(parents=True)
            target.symlink_to(path.readlink())
        else:
            shutil.copytree(path, target, symlinks=True, ignore=_special)
    scratch = Course.at(folder)
    copy_gradebook(course.database, scratch.database)
    return scratch
