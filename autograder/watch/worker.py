"""A process for each batch: forked from one that has everything loaded, gone when it is done.

Starting nbgrader takes longer than grading a submission. The watcher imports it once and
opens nothing; a fork of it opens the gradebook, works, and leaves nothing behind, whatever
it ran into.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.grading.engine.jail import syscalls
from autograder.wording import first_line

#: Called in the process with how to say something to the one that waits.
Work = Callable[[Callable[[Any], None]], None]

#: Seconds between two looks at the process.
LOOK_S = 0.2

#: Seconds that it gets to end by itself after it was asked to.
GRACE_S = 5.0


class WorkFailed(RuntimeError):
    """A process did not end well; the message says why in one line."""


def run(
    work: Work,
    log: Path,
    *,
    timeout_s: float,
    hear: Callable[[Any], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Do some work in a process of its own and wait for it.

    Parameters
    ----------
    work : callable
        What is to be done there.
    log : Path
        Takes what it prints.
    timeout_s : float
        Seconds after which it is ended.
    hear : callable
        Called here with what it says.
    meanwhile : callable
        Called now and then while it runs.

    Raises
    ------
    WorkFailed
        If it fails, takes too long, or is ended by somebody else.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, log, theirs, os.getpid()))
    process.start()
    theirs.close()
    failed: list[str] = []
    left_s = timeout_s
    try:
        while not _drained(ours, hear, failed):
            left_s -= LOOK_S
            if left_s <= 0:
                raise WorkFailed(f"it did not end within {timeout_s:g} s")
            meanwhile()
        process.join(GRACE_S)
    finally:
        _end(process)
        ours.close()
    if failed:
        raise WorkFailed(failed[0])
    if process.exitcode != 0:
        raise WorkFailed(f"its process ended with {_told(process.exitcode)}")


def _drained(ours: Any, hear: Callable[[Any], None], failed: list[str]) -> bool:
    """Hear what there is to hear; return whether the process has closed its end."""
    if not ours.poll(LOOK_S):
        return False
    with contextlib.suppress(EOFError, OSError):
        while ours.poll(0):
            kind, said = ours.recv()
            if kind == "failed":
                failed.append(said)
            else:
                hear(said)
        return False
    return True


def _end(process: Any) -> None:
    for stop in (process.terminate, process.kill):
        if process.is_alive():
            stop()
            process.join(GRACE_S)


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _run(work: Work, log: Path, pipe: Any, parent: int) -> None:
    """Work, in the process."""
    code = 1
    try:
        with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _print_to(log)
        work(lambda said: pipe.send(("said", said)))
        code = 0
    except BaseException as error:
        traceback.print_exc()
        with contextlib.suppress(OSError):
            pipe.send(("failed", f"{first_line(error)}"))
    finally:
        pipe.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _print_to(log: Path) -> None:
    """Send what this process and its children print to a file; on a full disk, nowhere."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
