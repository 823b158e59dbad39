"""Finding and ending every process that a submission started.

Processes are recognised by a mark in the environment they inherit, so that one
that left its process group, or outlived its parent, is found as well. One that was
started with an environment of its own is not.
"""

from __future__ import annotations

import contextlib
import uuid

import psutil

MARK = "SERVEMATH_GRADING_RUN"

#: Seconds that ended processes get to disappear before they are given up on.
GRACE_S = 2.0


def new_mark() -> str:
    """Return a value for `MARK` that no other run has."""
    return uuid.uuid4().hex


def end_marked(mark: str) -> int:
    """Kill every process that carries `mark`; return how many there were."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=GRACE_S)
    return len(found)
