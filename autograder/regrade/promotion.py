"""Making a rehearsed regrade the course's state: the old one or the new one, never a mix.

The gradebook is what counts. It is replaced in one SQLite transaction, and a number
in its header (`user_version`, which nothing else uses) tells which regrade wrote it.
Before that, a journal names the folders to put into place; after it, they are renamed
one by one. Whoever comes next and finds a journal reads that number: if the
gradebook is the new one the renaming is finished, if not the journal is dropped.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from autograder.course import EXECUTED, Course
from autograder.files import write_atomically
from autograder.regrade.changes import Changes
from autograder.regrade.workspace import (
    RegradeError,
    copy_gradebook,
    journal,
    locked,
    state_of,
    workspace,
)
from autograder.report.snapshots import now


def _version(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _mark(database: Path, version: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


def _to_replace(scratch: Course, assignment: str) -> list[str]:
    """Return what grading made, relative to the course root."""
    texts = scratch.texts(assignment)
    made = [
        scratch.release / assignment,
        scratch.outcomes / assignment,
        scratch.transcripts / assignment,
        scratch.timing(assignment),
        *(text.with_suffix(".ipynb") for text in texts if text.stem not in EXECUTED),
        *scratch.autograded.glob(f"*/{assignment}"),
    ]
    return [str(path.relative_to(scratch.root)) for path in made if path.exists()]


def _replace(new: Path, target: Path, aside: Path) -> None:
    """Put `new` where `target` is; doing it again after any interruption ends the same."""
    if not new.exists():
        return  # done before the interruption
    if target.is_dir() and not target.is_symlink():
        # A folder cannot be renamed over one that is not empty.
        aside.mkdir(parents=True, exist_ok=True)
        target.rename(aside / secrets.token_hex(8))
    target.parent.mkdir(parents=True, exist_ok=True)
    new.replace(target)


def _put_into_place(course: Course, assignment: str, names: list[str]) -> None:
    scratch = workspace(course, assignment)
    for name in names:
        _replace(scratch / name, course.root / name, scratch / "replaced")


def _place_for_previous(course: Course, changes: Changes) -> Path:
    parent = course.reports / changes.assignment / "regrades"
    folder, number = parent / changes.before.taken, 1
    while folder.exists():
        number += 1
        folder = parent / f"{changes.before.taken}-{number}"
    return folder


def _keep_previous(course: Course, changes: Changes, folder: Path) -> None:
    """Keep the scores of before and after, and the whole gradebook of before."""
    folder.mkdir(parents=True)
    folder.chmod(0o700)  # real ids, and the whole class's grades
    copy_gradebook(course.database, folder / "gradebook.db")
    shutil.copy(workspace(course, changes.assignment) / "regrade.log", folder)
    kept = {"regraded": now(), "tests": changes.tests, "not_graded": changes.not_graded}
    kept |= {"before": asdict(changes.before), "after": asdict(changes.after)}
    write_atomically(folder / "scores.json", json.dumps(kept, indent=1) + "\n")


def _refuse_if_stale(course: Course, changes: Changes) -> None:
    token = workspace(course, changes.assignment) / "token"
    if not token.is_file() or token.read_text(encoding="ascii") != changes.token:
        raise RegradeError("another regrade was planned since; plan this one again")
    if state_of(course, changes.assignment) != changes.state:
        raise RegradeError(
            "the gradebook, the exercises or a submission changed since the regrade was planned "
            "(somebody graded by hand, say); nothing was written, plan it again"
        )


def apply(course: Course, changes: Changes) -> Path:
    """Make what `plan` found the course's state; return where the previous scores are kept.

    Scores and comments that a person gave, and extra credit, are as they were.
    Feedback pages are left alone: generate them again.

    Parameters
    ----------
    course : Course
        The course folder that `changes` was planned for.
    changes : Changes
        What `plan` returned.

    Returns
    -------
    Path
        A folder with ``gradebook.db`` as it was, and ``scores.json`` with the scores
        before and after.

    Raises
    ------
    RegradeError
        If the course changed since the plan was made; nothing is written then.
    """
    with locked(course):
        finish_or_take_back(course, changes.assignment)
        _refuse_if_stale(course, changes)
        scratch = Course.at(workspace(course, changes.assignment))
        previous = _place_for_previous(course, changes)
        version = secrets.randbelow(2**31 - 1) + 1
        intent = {
            "version": version,
            "names": _to_replace(scratch, changes.assignment),
            "previous": str(previous.relative_to(course.root)),
        }
        write_atomically(journal(course, changes.assignment), json.dumps(intent) + "\n")
        try:
            _keep_previous(course, changes, previous)
            _mark(scratch.database, version)
            copy_gradebook(scratch.database, course.database)
        finally:
            finish_or_take_back(course, changes.assignment)
    return previous


def finish_or_take_back(course: Course, assignment: str) -> bool:
    """Finish a regrade that reached the gradebook, drop one that did not.

    The caller holds the lock. Return whether one was finished.
    """
    path = journal(course, assignment)
    if not path.is_file():
        return False
    intent = json.loads(path.read_text(encoding="utf-8"))
    reached = course.database.is_file() and _version(course.database) == intent["version"]
    if reached:
        _put_into_place(course, assignment, intent["names"])
        shutil.rmtree(workspace(course, assignment), ignore_errors=True)
    else:
        # What it kept is of a regrade that never was.
        shutil.rmtree(course.root / intent["previous"], ignore_errors=True)
    path.unlink()
    return bool(reached)


def recover(course: Course, assignment: str) -> bool:
    """Finish or take back a regrade that was killed; return whether one was finished.

    `plan` and `apply` do this by themselves.
    """
    with locked(course):
        return finish_or_take_back(course, assignment)
