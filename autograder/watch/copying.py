"""Taking files that somebody else can still change: nothing behind a link is read.

nbgrader's own collecting follows links, with the rights of the one who collects.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Collection
from pathlib import Path

from autograder.grading.engine.codec import printable

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Bytes read at a time.
CHUNK = 1 << 20

#: Files that one submission may have.
MOST_FILES = 5000


class TooMuch(ValueError):
    """A submission is larger than the course takes; the message says by how much."""


def copy_plain(
    source: Path,
    target: Path,
    *,
    most_bytes: int,
    ignore: Collection[str] = (),
    only: Collection[str] = (),
) -> list[str]:
    """Copy the regular files below a folder; return what was left out, and why.

    Left out are links, devices, files of another owner than the folder's (a hard link to
    somebody else's work is one), and what `ignore` names.

    Parameters
    ----------
    source, target : Path
        From where, and to which new folder.
    most_bytes : int
        Bytes that all files together may have.
    ignore : collection of str
        Patterns of names of files and folders.
    only : collection of str
        Names of files directly in the folder, where nothing else is wanted.

    Raises
    ------
    TooMuch
        If there are too many bytes or files.
    OSError
        If the folder cannot be read, or the copy not be written.
    """
    left_out: list[str] = []
    total = count = 0
    target.mkdir(parents=True)
    owner = source.lstat().st_uid
    top = os.open(source, _OPEN | os.O_DIRECTORY)
    try:
        for place, folders, names, here in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            inside = target / place
            if only:
                folders.clear()
                names = [name for name in names if name in only]
            for name in sorted(folders):
                if _is_named(name, ignore) or not name.isprintable():
                    folders.remove(name)
                elif _is_link(name, here):
                    folders.remove(name)
                    left_out.append(f"{_shown(place, name)} (a link)")
                else:
                    (inside / name).mkdir()
            for name in sorted(names):
                if _is_named(name, ignore):
                    continue
                why, size = _copy_file(name, here, inside / name, owner, most_bytes - total)
                total, count = total + size, count + 1
                if count > MOST_FILES:
                    raise TooMuch(f"more than {MOST_FILES:,} files were handed in")
                if why:
                    left_out.append(f"{_shown(place, name)} ({why})")
    finally:
        os.close(top)
    return left_out


def _is_named(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_link(name: str, here: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)


def _shown(place: str, name: str) -> str:
    return printable(os.path.normpath(os.path.join(place, name)), 60)  # noqa: PTH118


def _copy_file(name: str, here: int, target: Path, owner: int, room: int) -> tuple[str, int]:
    """Copy one file; return why it is left out, if it is, and its size in bytes."""
    if not name.isprintable():
        return "an odd name", 0
    try:
        descriptor = os.open(name, _OPEN, dir_fd=here)
    except OSError as error:
        return ("a link" if _is_link(name, here) else error.strerror or "not readable"), 0
    with os.fdopen(descriptor, "rb") as stream:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return "no file", 0
        if about.st_uid != owner:
            return "somebody else's file", 0
        size = 0
        with target.open("xb") as copy:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > room:
                    raise TooMuch("more bytes were handed in than the course takes")
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
    return "", size
