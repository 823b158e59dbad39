"""What nbgrader gets wrong and has no plug-in place for; `nbgrader_config.py` calls `mend`.

Each mend replaces one thing in the process that reads the configuration, which is any of
nbgrader's commands in the course folder, formgrader included:

- times: nbgrader takes ``+0100`` for 100 seconds and drops names of zones without a word;
- patterns: the names of folders are patterns to it, so brackets in one match something else;
- addresses: it does not escape the gradebook's path, nor braces in the path of downloads;
- programs: it looks up ``alembic`` on PATH, where no one put it who calls nbgrader by its path;
  and starts it, for a second, to learn what number a new gradebook's tables have.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traitlets.config import Config

from autograder.course.commands import environment
from autograder.course.folder import Course
from autograder.course.settings import zone_in
from autograder.late.stamp import read_stamp
from autograder.late.times import TimeNotUnderstood, utc_of

_ROOTS: set[str] = set()
_CONFIG = Config()


def mend(config: Config, file: str) -> None:
    """Mend nbgrader in this process.

    Parameters
    ----------
    config : Config
        The course's configuration; it may be added to afterwards.
    file : str
        The configuration file, in the course folder.
    """
    global _CONFIG
    _CONFIG = config
    course = Course(Path(file).absolute().parent)
    _ROOTS.update({str(course.root), str(course.root.resolve())})
    _mend_addresses(config, course)
    _mend_modules()
    if not shutil.which("alembic"):
        os.environ["PATH"] = environment()["PATH"]


def _modules() -> Iterator[types.ModuleType]:
    return (module for name, module in list(sys.modules.items()) if name.startswith("nbgrader."))


def _mend_modules() -> None:
    import nbgrader.api
    import nbgrader.coursedir
    import nbgrader.utils

    nbgrader.api.get_alembic_version = newest_tables
    nbgrader.utils.parse_utc = naive_utc
    for module in _modules():
        if "parse_utc" in vars(module):
            module.parse_utc = naive_utc  # type: ignore[attr-defined]
        if vars(module).get("glob") is glob:
            module.glob = types.SimpleNamespace(glob=matches)  # type: ignore[attr-defined]
        if vars(module).get("NbGraderAPI"):
            module.NbGraderAPI.get_submitted_timestamp = _submitted_time
    nbgrader.coursedir.CourseDirectory.get_existing_timestamp = _existing_time
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _in_one_line


def _in_one_line(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Tell a refused time as a sentence; anything else as Python does."""
    if isinstance(error, TimeNotUnderstood):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def newest_tables() -> str:
    """Return the number of the tables that nbgrader makes, as ``alembic heads`` says."""
    from alembic.script import ScriptDirectory
    from nbgrader.dbutil import ALEMBIC_DIR

    return str(ScriptDirectory(ALEMBIC_DIR).get_current_head())


def naive_utc(time: datetime | str | None) -> datetime | None:
    """Return a moment as the gradebook keeps it: in UTC, without saying so.

    Raises
    ------
    TimeNotUnderstood
        If a text names no moment, or could name more than one.
    """
    if isinstance(time, str):
        time = utc_of(time, zone_in(_CONFIG))
    if time is None or time.tzinfo is None:
        return time
    return time.astimezone(UTC).replace(tzinfo=None)


def _existing_time(_coursedir: Any, folder: str) -> datetime | None:
    """Return when the submission in `folder` came; one that cannot be read is none."""
    return naive_utc(read_stamp(Path(folder), zone_in(_CONFIG)).time)


def _submitted_time(api: Any, assignment: str, student: str) -> datetime | None:
    coursedir = api.coursedir
    folder = coursedir.format_path(coursedir.submitted_directory, student, assignment)
    return _existing_time(coursedir, folder)


def matches(pattern: str) -> list[str]:
    """Return the paths that match an absolute pattern.

    The path of a course is no pattern, whatever it holds. A name that is there just as it is
    written is meant, and no other: ``s[1]`` is ``s1`` only where there is no ``s[1]``.
    """
    root = max((root for root in _ROOTS if pattern.startswith(f"{root}/")), key=len, default="")
    parts, path = [glob.escape(root)], root
    for part in pattern[len(root) :].split("/")[1:]:
        path += f"/{part}"
        meant = part.strip("*") and glob.has_magic(part) and os.path.lexists(path)
        parts.append(glob.escape(part) if meant else part)
    return sorted(glob.glob("/".join(parts)))  # noqa: PTH207


def _mend_addresses(config: Config, course: Course) -> None:
    root = str(course.root)
    if set("%?") & set(root) and "db_url" not in config.CourseDirectory:
        config.CourseDirectory.db_url = course.database_url
    if set("{}") & set(root):
        literal = root.replace("{", "{{").replace("}", "}}")
        config.ZipCollectApp.collect_directory_structure = (
            literal + "/{downloaded}/{assignment_id}/{collect_step}"
        )
