"""How much learner code may use: limits the kernel keeps, and a measure for init to watch."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass

from autograder.grading.engine.jail.spec import JailSpec

_PRIVATE_FILES = ("/tmp", "/dev/shm")


def apply(spec: JailSpec, keepers: int) -> None:
    """Set this process's resource limits, hard and soft, to those of `spec`.

    `keepers` is how many processes besides the learner's count as the same user's.
    """
    limits = {
        "RLIMIT_AS": spec.memory_bytes,
        "RLIMIT_CPU": spec.cpu_s,
        "RLIMIT_NPROC": spec.processes + keepers,
        "RLIMIT_FSIZE": spec.file_bytes,
        "RLIMIT_NOFILE": spec.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 64 * 1024,
        "RLIMIT_MSGQUEUE": 64 * 1024,
        "RLIMIT_SIGPENDING": 1024,
        "RLIMIT_NICE": 0,
        "RLIMIT_RTPRIO": 0,
    }
    for name, value in limits.items():
        which = getattr(resource, name)
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(which, (value, value))


@dataclass(frozen=True)
class Watch:
    """Where init sees the processes of its jail.

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
        """Return the memory of all processes but init, and of all private files."""
        pages = sum(map(self._resident_pages, self._processes()))
        files = sum(map(_used_bytes, _PRIVATE_FILES))
        return pages * resource.getpagesize() + files

    def _processes(self) -> Iterator[str]:
        if self.fresh:
            names = os.listdir(self.proc)  # noqa: PTH208  (a descriptor, not a path)
            return (name for name in names if name.isdigit() and name != "1")
        return self._descendants(os.readlink("self", dir_fd=self.proc))

    def _descendants(self, process: str) -> Iterator[str]:
        for thread in self._list(f"{process}/task"):
            for child in self._read(f"{process}/task/{thread}/children").split():
                yield child
                yield from self._descendants(child)

    def _resident_pages(self, process: str) -> int:
        fields = self._read(f"{process}/statm").split()
        return int(fields[1]) if len(fields) > 1 else 0

    def _list(self, folder: str) -> list[str]:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.proc)
            try:
                return os.listdir(descriptor)  # noqa: PTH208
            finally:
                os.close(descriptor)
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


def _used_bytes(folder: str) -> int:
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize
