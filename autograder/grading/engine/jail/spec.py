"""What a jail is asked for, and how it says that it cannot be had."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

#: The walls, in the order in which they are tried, and the name for going without.
NAMESPACES, LANDLOCK, NO_WALL = "namespaces", "Landlock", "none"

#: How to grade without a jail, knowingly.
GO_ON = (
    "To grade without a jail, knowing that learners' code can then read and change what you "
    "can, set c.ExecuteGraded.allow_unsandboxed = True in nbgrader_config.py."
)


class JailUnavailable(Exception):
    """A jail cannot be set up here; the message says what is missing and how to go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Learners' code cannot be jailed on this machine: {reason} {GO_ON}")
        self.reason = reason


@dataclass(frozen=True)
class JailSpec:
    """What is visible and allowed in a jail.

    Attributes
    ----------
    readable
        Paths of this machine that are visible read-only under the same name, besides the
        system's programs and libraries: the environment, its base Python, the helper package.
    overlays
        Pairs (folder of this machine, path inside): the folder is mounted read-only over the
        path, and hides what was there.
    memory_bytes
        Address space of one process; also what init should hold `resident_bytes_inside` to.
    cpu_s
        Processor seconds of one process.
    processes
        Processes and threads at any one time.
    file_bytes
        Largest file; /tmp holds twice as much, /dev/shm as much.
    open_files
        Descriptors of one process.
    work
        The current folder inside, empty at first, under /tmp.
    hidden
        Folders that stay empty though they lie in something visible. The more specific path
        wins: a readable folder within a hidden one is visible.

    Raises
    ------
    ValueError
        A limit is not a positive whole number, or a path is not absolute.

    Examples
    --------
    >>> JailSpec(readable=("/opt/course/.venv",)).processes
    64
    >>> JailSpec(readable=("course",))
    Traceback (most recent call last):
    ...
    ValueError: readable: expected absolute paths below /, got 'course'
    """

    readable: tuple[str, ...]
    overlays: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 2 * 2**30
    cpu_s: int = 180
    processes: int = 64
    file_bytes: int = 64 * 2**20
    open_files: int = 256
    work: str = "/tmp/work"
    hidden: tuple[str, ...] = ("/usr/src",)

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "cpu_s", "processes", "file_bytes", "open_files"):
            value = getattr(self, name)
            if type(value) is not int or value <= 0:
                raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
        _expect_absolute("readable", self.readable)
        _expect_absolute("hidden", self.hidden)
        _expect_absolute("overlays", [path for pair in self.overlays for path in pair])
        _expect_absolute("work", [self.work])
        if PurePosixPath("/tmp") not in PurePosixPath(self.work).parents:
            raise ValueError(f"work: expected a folder below /tmp, got {self.work!r}")


def _expect_absolute(name: str, paths: tuple[str, ...] | list[str]) -> None:
    for path in paths:
        pure = PurePosixPath(path)
        if not pure.is_absolute() or len(pure.parts) < 2 or ".." in pure.parts:
            raise ValueError(f"{name}: expected absolute paths below /, got {path!r}")


@contextlib.contextmanager
def step(what: str, explain: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn an `OSError` in the block into a `JailUnavailable` that names the step.

    `explain` finds out, once it failed, why this machine may refuse.
    """
    with refused(explain):
        try:
            yield
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "unknown errno")
            reason = f"cannot {what}: {error.strerror or error} ({code})."
            raise JailUnavailable(reason) from error


@contextlib.contextmanager
def refused(explain: Callable[[], str] | None) -> Iterator[None]:
    """Add what `explain` says to a `JailUnavailable` from the block."""
    try:
        yield
    except JailUnavailable as error:
        if explain is None:
            raise
        raise JailUnavailable(f"{error.reason} {explain()}") from error
