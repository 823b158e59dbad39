"""Run a command, and say which of its descendants outlived it: ``contain.py <report> <command>``.

A process whose parent ended becomes a child of the nearest subreaper. This program is
one, so that no descendant can hide: neither in a session of its own, nor behind a new
environment or name. Whatever is left is killed, also if the command takes too long.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36

TIMEOUT_S = 1200.0

#: What the kernel gets to take away processes that were killed at the very end, and a keeper to
#: remove hundreds of thousands of files on a busy machine.
GRACE_S = 600.0

#: A copy of an endless file ends here, whatever copies it.
FILE_BYTES = 256 * 2**20

MEMORY_BYTES = 6 * 2**30


def left_over() -> list[psutil.Process]:
    """Return descendants that still run; those that ended are reaped."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def describe(process: psutil.Process) -> str:
    """Return how a process is called, whatever it calls itself."""
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.name()} {' '.join(process.cmdline())}"
    return ""


def main(report: Path, command: list[str]) -> None:
    """Run the command and write the report."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    # A hole costs the command its memory, not the machine: jails have less.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        status: int | None = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        status = None
    seconds = time.monotonic() - began
    deadline = time.monotonic() + (GRACE_S if status is not None else 0.0)
    while left_over() and time.monotonic() < deadline:
        time.sleep(0.05)
    left = left_over()
    told = {"status": status, "seconds": seconds, "left": [describe(one) for one in left]}
    while left := left_over():
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=1)
    report.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
