"""What was handed in: which files are taken as they are, and why one cannot be graded."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nbformat import ValidationError
from nbgrader.api import InvalidEntry
from nbgrader.converters.base import NbGraderException
from sqlalchemy.exc import SQLAlchemyError

from autograder.course import Course
from autograder.grading.engine.codec import printable
from autograder.grading.engine.service import EngineError, JobTooLong
from autograder.grading.engine.withheld import PACKAGE
from autograder.grading.outcomes import ENGINE, MACHINE
from autograder.grading.reading import UnreadableNotebook
from autograder.wording import few, first_line

#: Files of a submission that are handed to its code: bytes and number together, length of a path.
MAX_FILES_BYTES = 100_000_000
MAX_FILES = 8000
MAX_PATH_BYTES = 1000

#: What programs keep for themselves; nobody misses it.
_CACHES = frozenset({"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".git", "__MACOSX"})

#: A file of this machine: its device and number there.
Inode = tuple[int, int]


class UngradableSubmission(NbGraderException):
    """A submission that cannot be graded, with the reason as a person would say it."""


def explain(error: BaseException, name: str) -> str:
    """Return one sentence that says why the notebook `name` could not be graded."""
    if isinstance(error, UngradableSubmission):
        return str(error)
    if isinstance(error, UnreadableNotebook):
        return f"{name} {error}"
    if isinstance(error, ValidationError):
        place = "/".join(map(str, error.absolute_path)) or "the notebook"
        return printable(f"{name} is not a valid notebook: {place}: {error.message}", 200)
    if isinstance(error, JobTooLong):
        return f"{name}: the run went on beyond all limits ({error}): look at the notebook"
    if isinstance(error, EngineError):
        return (
            f"{name}: the engine failed twice ({printable(first_line(error), 120)}): look at the "
            "notebook, grade again with more memory or fewer workers"
        )
    if isinstance(error, OSError):
        file = f" {error.filename}" if error.filename else ""
        return printable(
            f"{name}: {error.strerror or error}{file}: see to the disk and the files' permissions, "
            "grade again",
            200,
        )
    return printable(f"{name}: {type(error).__name__}: {first_line(error)}", 200)


def fault_of(error: BaseException) -> str:
    """Return whose fault an error is, as outcomes keep it; empty for the submission's own.

    >>> fault_of(OSError(28, "No space left on device")), fault_of(UngradableSubmission("a link"))
    ('machine', '')
    """
    if isinstance(error, EngineError):
        return "" if isinstance(error, JobTooLong) else ENGINE
    if isinstance(error, InvalidEntry):  # nbgrader's own word for a database's error
        error = error.__context__ or error
    machine = isinstance(error, OSError | MemoryError | SQLAlchemyError)
    return MACHINE if machine else ""


def check_file(path: Path) -> None:
    """Refuse what is no file of its own.

    Raises
    ------
    UngradableSubmission
        If it is a link or no file.
    """
    if path.is_symlink():
        raise UngradableSubmission(f"{path.name} is a link, not a notebook")
    if not path.is_file():
        raise UngradableSubmission(f"{path.name} is not a file")


def missing_from(folder: Path, graded: list[str]) -> list[str]:
    """Return the files of the notebooks `graded` that a submission lacks."""
    return [f"{name}.ipynb" for name in graded if not os.path.lexists(folder / f"{name}.ipynb")]


def missing_notebooks(missing: list[str], folder: Path) -> str:
    """Say which notebooks a submission lacks and what it holds instead."""
    names = sorted(printable(path.name, 80) for path in folder.iterdir())
    found = ", ".join(names[:20]) or "nothing"
    return f"{', '.join(missing)} is missing; the folder holds {found}"


def refusal(folder: Path, graded: list[str], owners: Callable[[], Owners]) -> str:
    """Say why what lies in a submission's folder is not graded; empty if it is.

    A notebook that is missing nbgrader would score 0 in silence; through a link it would
    grade somebody else's work.

    Parameters
    ----------
    folder : Path
        ``submitted/<student>/<assignment>``.
    graded : list of str
        The notebooks that carry points.
    owners : callable
        Returns whose the course's files are; asked only where a file has several names.
    """
    for part in (folder.parent, folder):
        if part.is_symlink():
            leads_to = printable(part.readlink(), 80)
            return (
                f"{part.name} is a link (to {leads_to}), not a folder: put the files that were "
                "handed in there, grade again"
            )
    missing = missing_from(folder, graded)
    if missing:
        return missing_notebooks(missing, folder)
    for name in graded:
        path = folder / f"{name}.ipynb"
        about = path.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_nlink > 1:
            other = owners().of((about.st_dev, about.st_ino), folder)
            if other is not None:
                return (
                    f"{path.name} is the same file as {other} (a hard link): put the file that "
                    "was handed in there, grade again"
                )
    return ""


class Owners:
    """Which of a course's files are one and the same, by hard links.

    Parameters
    ----------
    root : Path
        The course's folder.
    submitted : Path
        Where ``<student>/<assignment>`` lie.
    others : iterable of Path
        Files and folders that are nobody's submission: sources, the gradebook.
    """

    def __init__(self, root: Path, submitted: Path, others: Collection[Path]) -> None:
        self._root = root
        self._places: dict[Inode, list[tuple[Path, Path | None]]] = {}
        for other in others:
            for path in [other] if other.is_file() else sorted(other.rglob("*")):
                self._add(path, None)
        for folder in submitted.glob("*/*"):
            if folder.is_dir() and not (folder.is_symlink() or folder.parent.is_symlink()):
                for path in folder.rglob("*"):
                    self._add(path, folder)

    @classmethod
    def of_course(cls, coursedir: Any) -> Owners:
        """Return those of the course that nbgrader's `coursedir` stands for."""
        course = Course(Path(coursedir.root))
        submitted = Path(coursedir.root, coursedir.submitted_directory)
        source = Path(coursedir.root, coursedir.source_directory)
        return cls(course.root, submitted, [source, course.database])

    def _add(self, path: Path, folder: Path | None) -> None:
        about = path.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_nlink > 1:
            self._places.setdefault((about.st_dev, about.st_ino), []).append((path, folder))

    def of(self, inode: Inode, folder: Path) -> str | None:
        """Return where else in the course a file of the submission `folder` is, if not its own.

        It belongs to the submission whose folder was changed last before the others' were:
        making a link changes the folder that it is made in. Where that does not tell, it is
        nobody's.
        """
        here = folder.resolve()
        elsewhere = [
            (path, whose)
            for path, whose in self._places.get(inode, ())
            if whose is None or whose.resolve() != here
        ]
        mine = folder.stat().st_mtime_ns
        for path, whose in elsewhere:
            if whose is None or whose.stat().st_mtime_ns <= mine:
                return printable(path.relative_to(self._root), 100)
        return None


def not_copied(folder: Path) -> list[Path]:
    """Return what in a submission nbgrader must not copy: links, pipes, devices, odd names.

    It follows links, reads pipes, and logs names as they are, escape sequences included.
    """
    return [
        path
        for path in folder.rglob("*")
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or not path.name.isprintable()
    ]


class Beside(NamedTuple):
    """What lies beside a notebook: base64 by relative path, and what was left out, with why.

    Folders, which may be empty, stand there with a slash at their end.
    """

    files: dict[str, str]
    left_out: list[str]

    @property
    def remark(self) -> str:
        """What a grader should know, empty if nothing was left out."""
        if not self.left_out:
            return ""
        return f"not there when its code ran: {few(self.left_out)}"


def beside(
    folder: Path,
    *,
    without: Collection[str] = (),
    file_bytes: int = MAX_FILES_BYTES,
    is_foreign: Callable[[Path, Inode], bool] = lambda *_: False,
) -> Beside:
    """Return the files of a submission that are there when its code runs.

    Parameters
    ----------
    folder : Path
        What was handed in.
    without : collection of str
        Names in it that are left out without a word.
    file_bytes : int
        The largest file that may be in a jail.
    is_foreign : callable
        Tells of a file with several names whether one of them is somebody else's.
    """
    files: dict[str, str] = {}
    left_out: dict[str, str] = {}
    total = 0
    # Small ones first: what is too much is then the fewest.
    for size, name, path, why in sorted(_files_in(folder, file_bytes, is_foreign)):
        if name in without:
            continue
        if not why and (total + size > MAX_FILES_BYTES or len(files) >= MAX_FILES):
            why = f"beyond {MAX_FILES_BYTES:,} bytes or {MAX_FILES:,} files together"
        if not why:
            try:
                data = b"" if name.endswith("/") else path.read_bytes()
            except OSError as error:
                why = f"cannot be read: {error.strerror}"
        if why:
            left_out[name] = why
        else:
            total += len(data)
            files[name] = base64.b64encode(data).decode("ascii")
    told = [f"{printable(name, 60)} ({left_out[name]})" for name in sorted(left_out)]
    return Beside(dict(sorted(files.items())), told)


def _files_in(
    folder: Path, file_bytes: int, is_foreign: Callable[[Path, Inode], bool]
) -> Iterator[tuple[int, str, Path, str]]:
    """Yield size, relative name and path of each file, and why it is left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _CACHES)
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in [*names, *links]:
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            about = path.lstat()
            why = _why_left_out(inside, about, file_bytes)
            if not why and about.st_nlink > 1 and is_foreign(path, (about.st_dev, about.st_ino)):
                why = "a hard link to a file of somebody else's"
            yield about.st_size, inside, path, why
        ours = [name for name in folders if name == PACKAGE]
        for name in ours:
            yield 0, Path(place, name).relative_to(folder).as_posix(), Path(place), _OURS
        folders[:] = [name for name in folders if name not in {*links, *ours}]
        if Path(place) != folder:
            yield 0, f"{Path(place).relative_to(folder).as_posix()}/", Path(place), ""


_OURS = "the course's own package is used"


def _why_left_out(name: str, about: os.stat_result, file_bytes: int) -> str:
    if stat.S_ISLNK(about.st_mode):
        return "a link"
    if not stat.S_ISREG(about.st_mode):
        return "no file"
    if about.st_size > file_bytes:
        return f"larger than {file_bytes:,} bytes"
    if Path(name).name.partition(".")[0] == PACKAGE:
        return _OURS
    try:
        if len(name.encode("utf-8")) <= MAX_PATH_BYTES:
            return ""
    except UnicodeEncodeError:
        return "a name that is no text"
    return "too long a name"
