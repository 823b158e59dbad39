"""The first wall: Linux namespaces, in which nothing of this machine is but what is shown."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from autograder.grading.engine.jail import files, keeper, landlock, limits, seccomp, syscalls
from autograder.grading.engine.jail.hints import explain
from autograder.grading.engine.jail.identity import Identity, choose, give_up, map_sole_user
from autograder.grading.engine.jail.spec import JailSpec, refused, step

_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
#: Init and the process that waits for it.
_KEEPERS = 2


class Namespaces:
    """A jail whose keeper is its init, process 1: with it, the kernel ends everything inside."""

    def __init__(self, spec: JailSpec, kept: set[int]) -> None:
        self.work = spec.work
        keeper.offer_to_oom_killer()
        self._identity = choose()
        with step("make namespaces of its own", explain):
            _leave_namespaces(self._identity)
        keeper.fork_keeper(kept)
        keeper.be_deaf()
        with refused(explain if self._identity.own_users else None):
            found = files.build(spec, self._identity.uid, self._identity.gid)
        self._watch = limits.Watch(*found)
        socket.sethostname("jail")
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)

    def drop_privileges(self, spec: JailSpec) -> None:
        """Become the jail's only user, without privileges, under all limits."""
        with contextlib.suppress(OSError):
            os.close(self._watch.proc)
        with step("drop privileges"):
            give_up(self._identity)
            # Its own children may look at it as anywhere; init stays closed to it.
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
            limits.apply(spec, spec.processes + (_KEEPERS if self._identity.own_users else 0))
        with step("lock it in again"):
            landlock.lock_again(files.WRITABLE)
        with step("filter system calls"):
            seccomp.install()

    def settle(self) -> None:
        """Give up all rights but that of killing."""
        with step("drop init's privileges"):
            give_up(self._identity, kept=1 << syscalls.CAP_KILL)

    def resident_bytes(self) -> int:
        """Return the memory of all processes but init, and of the private files."""
        return self._watch.resident_bytes() + files.private_bytes()

    def outgrown(self, spec: JailSpec) -> bool:
        """Tell whether all memory together is more than allowed."""
        return self.resident_bytes() > spec.memory_bytes


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
