"""A jail's keeper, its first process, and the one that waits for it: what every wall needs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from autograder.grading.engine.jail import syscalls

#: Out of memory, the kernel ends jails before anything that somebody needs.
_OOM_SCORE_ADJ = "900"
#: What tells a process to end.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def prepare(kept: set[int]) -> None:
    """Keep nothing of whoever forked this process but the descriptors `kept`."""
    # Whoever is told to end while its handler is not there yet is told when it is.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    os.umask(0o022)
    with contextlib.suppress(PermissionError):  # it leads a group already; the keeper will not
        os.setsid()
    for entry in list(Path("/proc/self/fd").iterdir()):
        if (descriptor := int(entry.name)) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.close(descriptor)


def offer_to_oom_killer() -> None:
    """Let the kernel end this process, and what it forks, before others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)


def _nothing() -> None:
    """Leave the rest to the kernel."""


def fork_keeper(
    kept: set[int], *, clean: Callable[[], None] = _nothing, alone: Callable[[], None] = _nothing
) -> None:
    """Return in a child, the keeper; this process waits for it, cleans up and ends as it ended.

    If this process ends first, the keeper is killed; given `alone`, it calls that instead.
    """
    parent_lives, parent_holds = os.pipe()
    if (child := os.fork()) != 0:
        _wait_for(child, {*kept, parent_lives}, clean)
    os.close(parent_holds)
    if alone is not _nothing:
        signal.signal(signal.SIGTERM, lambda *_: end_alone(alone))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    follow_parent(alone)
    # It may have ended before the line above.
    ended, _, _ = select.select([parent_lives], [], [], 0)
    os.close(parent_lives)
    if ended:
        end_alone(alone)
    os.setsid()


def follow_parent(alone: Callable[[], None]) -> None:
    """Ask for the signal that says that the parent has ended; a change of user forgets it."""
    told = signal.SIGKILL if alone is _nothing else signal.SIGTERM
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, told)


def end_alone(alone: Callable[[], None]) -> NoReturn:
    """Do what the parent would have done, had it lived, and end."""
    try:
        alone()
    finally:
        os._exit(1)


def be_deaf() -> None:
    """Give up every signal handler: the kernel keeps from process 1 what it does not handle."""
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _wait_for(child: int, descriptors: set[int], clean: Callable[[], None]) -> NoReturn:
    """End as `child` ends, with `descriptors` closed meanwhile."""

    def end_it(*_: object) -> None:
        os.kill(child, signal.SIGKILL)

    status = 1
    try:
        signal.signal(signal.SIGTERM, end_it)
        signal.signal(signal.SIGHUP, end_it)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        # Not reaped yet: whoever is told to end just now still finds it.
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        status = code if code >= 0 else 128 - code
        clean()
    finally:
        os._exit(status)
