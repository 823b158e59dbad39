"""Going into a jail, and giving up everything that is not needed there."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from autograder.grading.engine.jail import files, limits, seccomp, syscalls
from autograder.grading.engine.jail.hints import explain
from autograder.grading.engine.jail.identity import Identity, choose, give_up, map_sole_user
from autograder.grading.engine.jail.spec import (
    JailSpec,
    JailUnavailable,
    refused,
    step,
)

_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
#: Out of memory, the kernel ends jails before anything that somebody needs.
_OOM_SCORE_ADJ = "900"
#: Init and the process that waits for it.
_KEEPERS = 2


@dataclass(frozen=True)
class _Inside:
    identity: Identity
    watch: limits.Watch


#: Set in init when the jail stands, inherited by the learner's process.
_inside: _Inside | None = None


def enter_jail(spec: JailSpec, *, keep_fds: Iterable[int]) -> None:
    """Move this process into a new jail, as its init (process 1).

    To be called in a freshly forked process with one thread. It returns in a child, which is
    init: still able to set things up, and trusted. The caller's own process only waits for
    init and then ends with its status (128 + signal number if a signal ended it), so that
    whoever waits for it knows that everything inside is gone. Should it be killed, init is
    killed as well, and init's end is the end of every process inside. To end a jail from
    outside, send SIGTERM to the caller's process: it kills init and waits for it. After
    SIGKILL the same happens, but a moment later than its own end.

    Init has no signal handlers: whatever learner code sends it has no effect. It must not
    install any.

    Parameters
    ----------
    spec
        What is visible and allowed.
    keep_fds
        Descriptors that stay open in init besides 0, 1 and 2.

    Raises
    ------
    ValueError
        A path in `spec` does not exist on this machine.
    JailUnavailable
        This machine refuses a step. Raised in init if it had been forked already, else in
        the calling process.
    """
    global _inside
    if sys.platform != "linux":
        raise JailUnavailable("jails are made of Linux namespaces, and this is not Linux.")
    os.umask(0o022)
    with contextlib.suppress(PermissionError):  # it leads a group already; init will not
        os.setsid()
    kept = {0, 1, 2, *keep_fds}
    _close_all_but(kept)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)
    identity = choose()
    with step("make namespaces of its own", explain):
        _leave_namespaces(identity)
    parent_lives, parent_holds = os.pipe()
    if (init := os.fork()) != 0:
        _wait_for(init, {*kept, parent_lives})
    os.close(parent_holds)
    _die_with_parent(parent_lives)
    _be_deaf()
    with refused(explain if identity.own_users else None):
        watch = limits.Watch(*files.build(spec, identity.uid, identity.gid))
    socket.sethostname("jail")
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    _inside = _Inside(identity, watch)


def drop_privileges(spec: JailSpec) -> None:
    """Make this process a learner's: another user without privileges, under all limits.

    To be called in a child of init before any learner code runs. Started as root, the
    process gets a uid that no other jail has at the same time, because the number of
    processes is limited per uid; started by an ordinary user, it keeps that user's uid as
    seen from outside, in a user namespace where nobody else exists.

    Raises
    ------
    JailUnavailable
        The kernel refuses one of the steps.
    RuntimeError
        This process is not inside a jail.
    """
    inside = _where()
    with contextlib.suppress(OSError):
        os.close(inside.watch.proc)
    with step("drop privileges"):
        give_up(inside.identity)
        # Its own children may look at it as anywhere; init stays closed to it.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        limits.apply(spec, _KEEPERS if inside.identity.own_users else 0)
    with step("filter system calls"):
        seccomp.install()


def settle_init() -> None:
    """Let init give up all rights but that of killing, once the learner's process is forked.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    with step("drop init's privileges"):
        give_up(_where().identity, kept=1 << syscalls.CAP_KILL)


def resident_bytes_inside() -> int:
    """Return the memory, in bytes, of every process but init and of the private files.

    Memory that several processes share counts once for each. Called in init.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    return _where().watch.resident_bytes()


def _where() -> _Inside:
    if _inside is None:
        raise RuntimeError("enter_jail has not been called in this process or a parent of it")
    return _inside


def _close_all_but(kept: set[int]) -> None:
    for entry in list(Path("/proc/self/fd").iterdir()):
        if (descriptor := int(entry.name)) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.close(descriptor)


def _leave_namespaces(identity: Identity) -> None:
    uid, gid = os.geteuid(), os.getegid()
    flags = _NAMESPACES | (syscalls.CLONE_NEWUSER if identity.own_users else 0)
    try:
        syscalls.unshare(flags | syscalls.CLONE_NEWCGROUP)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.unshare(flags)
    if identity.own_users:
        map_sole_user(uid, gid)


def _wait_for(init: int, descriptors: set[int]) -> NoReturn:
    """End as `init` ends, with `descriptors` closed meanwhile."""

    def end_init(*_: object) -> None:
        os.kill(init, signal.SIGKILL)

    status = 1
    try:
        signal.signal(signal.SIGTERM, end_init)
        signal.signal(signal.SIGHUP, end_init)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
        status = code if code >= 0 else 128 - code
    finally:
        os._exit(status)


def _die_with_parent(lives: int) -> None:
    """Be killed when the parent ends, whose end of the pipe `lives` stays open until then."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before the line above.
    ended, _, _ = select.select([lives], [], [], 0)
    os.close(lives)
    if ended:
        os._exit(1)


def _be_deaf() -> None:
    """Give up every signal handler: the kernel keeps from init what it does not handle."""
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.setsid()
