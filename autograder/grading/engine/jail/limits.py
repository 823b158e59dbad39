"""How much learner code may use: limits the kernel keeps, and measures to watch."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.grading.engine.jail.spec import JailSpec

#: What `st_blocks` counts.
_BLOCK_BYTES = 512

#: How many times over a jail may exceed its processes and threads until that is seen.
_BURST = 4

#: Files and folders that a jail may have.
ENTRIES = 16384


#: What the kernel may hold for a process: locked memory, and messages in queues.
_KERNEL_BYTES = 65_536


class Uncounted(Exception):
    """Files cannot be counted: too many, or out of sight."""


def apply(spec: JailSpec, processes: int | None) -> None:
    """Set this process's resource limits, hard and soft, to those of `spec`.

    `processes` is how many its user may have, on the whole machine; None sets no limit.
    """
    limits = {
        "RLIMIT_AS": spec.memory_bytes,
        "RLIMIT_CPU": spec.cpu_s,
        "RLIMIT_FSIZE": spec.file_bytes,
        "RLIMIT_NOFILE": spec.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": _KERNEL_BYTES,
        "RLIMIT_MSGQUEUE": _KERNEL_BYTES,
        "RLIMIT_SIGPENDING": 1024,
        "RLIMIT_NICE": 0,
        "RLIMIT_RTPRIO": 0,
    }
    if processes is not None:
        limits["RLIMIT_NPROC"] = processes
    for name, value in limits.items():
        which = getattr(resource, name)
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(which, (value, value))


def of_a_shared_user(processes: int) -> int:
    """Return a limit for a user who has other processes as well, on all of the machine.

    The kernel counts those of other containers too. Which number it has come to is found by
    trying; whoever may have `processes` of them is watched, this only bounds a burst.
    """
    most = processes
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    try:
        while not _suffices(most, hard):
            most *= 2
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    return most + _BURST * processes


def _suffices(processes: int, hard: int) -> bool:
    if hard != resource.RLIM_INFINITY and processes >= hard:
        return True
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, hard))
    try:
        _thread.start_new_thread(int, ())
    except RuntimeError:
        return False
    return True


@dataclass(frozen=True)
class Watch:
    """Where a keeper sees the processes of its jail.

    Attributes
    ----------
    proc
        Descriptor of a mounted /proc.
    fresh
        Whether that /proc is the jail's own. If not, processes are found as descendants.
    """

    proc: int
    fresh: bool

    def resident_bytes(self) -> int:
        """Return the memory of all processes but the keeper."""
        return sum(map(self._resident_pages, self.processes())) * resource.getpagesize()

    def tasks(self) -> int:
        """Return the number of all processes and threads but the keeper's."""
        return sum(len(self._list(f"{process}/task")) for process in self.processes())

    def file_bytes(self, folder: Path) -> int:
        """Return how much the files in `folder` take, and deleted ones that are still open.

        Raises
        ------
        Uncounted
            There are more than `ENTRIES` of them, or one cannot be looked at.
        """
        found: dict[tuple[int, int], int] = {}
        for number, state in enumerate(itertools.chain(_below(folder), self._deleted())):
            if number > ENTRIES:
                raise Uncounted
            found[state.st_dev, state.st_ino] = state.st_blocks * _BLOCK_BYTES
        return sum(found.values())

    def _deleted(self) -> Iterator[os.stat_result]:
        for process in self.processes():
            for thread in self._list(f"{process}/task"):
                try:
                    yield from self._deleted_of(f"{process}/task/{thread}")
                except PermissionError:
                    # Whoever ends is root's, and without memory: it waits to be asked how.
                    if self._read(f"{process}/task/{thread}/statm").split()[:1] not in ([], ["0"]):
                        raise Uncounted from None

    def _deleted_of(self, task: str) -> Iterator[os.stat_result]:
        for descriptor in self._list(f"{task}/fd", told=True):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state = os.stat(f"{task}/fd/{descriptor}", dir_fd=self.proc)
                if stat.S_ISREG(state.st_mode) and state.st_nlink == 0:
                    yield state

    def processes(self) -> Iterator[str]:
        """Yield all processes but the keeper; of descendants, each before its children are read."""
        if self.fresh:
            names = os.listdir(self.proc)  # noqa: PTH208  (a descriptor, not a path)
            yield from (name for name in names if name.isdigit() and name != "1")
            return
        waiting = [os.readlink("self", dir_fd=self.proc)]
        while waiting:
            process = waiting.pop()
            for thread in self._list(f"{process}/task"):
                for child in self._read(f"{process}/task/{thread}/children").split():
                    yield child
                    waiting.append(child)

    def sees_children(self) -> bool:
        """Tell whether this kernel lists a process's children."""
        with contextlib.suppress(OSError):
            own = os.readlink("self", dir_fd=self.proc)
            os.stat(f"{own}/task/{own}/children", dir_fd=self.proc)
            return True
        return False

    def _resident_pages(self, process: str) -> int:
        fields = self._read(f"{process}/statm").split()
        return int(fields[1]) if len(fields) > 1 else 0

    def _list(self, folder: str, told: bool = False) -> list[str]:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.proc)
            try:
                return os.listdir(descriptor)  # noqa: PTH208
            finally:
                os.close(descriptor)
        except PermissionError:
            if told:
                raise
        except OSError:
            pass  # it ended meanwhile
        return []

    def _read(self, name: str) -> str:
        # A process may end at any time between being listed and being read.
        with contextlib.suppress(OSError):
            descriptor = os.open(name, os.O_RDONLY, dir_fd=self.proc)
            try:
                return os.read(descriptor, 1 << 16).decode()
            finally:
                os.close(descriptor)
        return ""


def _below(folder: Path) -> Iterator[os.stat_result]:
    """Yield what lies in a folder, however deep; links are not followed."""
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone, or replaced, meanwhile
        except OSError:  # closed to its owner, or too deep to be named
            raise Uncounted from None
