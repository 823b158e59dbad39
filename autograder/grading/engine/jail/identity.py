"""Who learner code is: a user of its own, without any privilege."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from autograder.grading.engine.jail import syscalls
from autograder.grading.engine.jail.spec import step

#: Far above any account, and below 2**31. The pid added to it tells jails apart: limits on
#: processes are counted per uid, and one learner's processes must not use up another's.
_FIRST_UID = 2_000_000_000
#: The only uid and gid in a user namespace of our own.
_SOLE_ID = 1000
#: Ids at the end of a container's range that jails share out where the range ends early.
_SHARED_IDS = 4096


@dataclass(frozen=True)
class Identity:
    """The uid and gid of learner code inside, and how it comes by them."""

    uid: int
    gid: int
    #: Started without the rights of root: a user namespace gives them, inside it only.
    own_users: bool


def choose() -> Identity:
    """Decide who the learner will be, before any namespace is left.

    Root without the right to mount becomes an ordinary user here and now.
    """
    if os.geteuid() != 0:
        return Identity(_SOLE_ID, _SOLE_ID, own_users=True)
    uid, gid = _free_id("uid_map"), _free_id("gid_map")
    if uid is None or gid is None:
        return Identity(_SOLE_ID, _SOLE_ID, own_users=True)
    if _may(syscalls.CAP_SYS_ADMIN):
        return Identity(uid, gid, own_users=False)
    with step("become an ordinary user"):
        _switch(uid, gid)
    return Identity(_SOLE_ID, _SOLE_ID, own_users=True)


def choose_here() -> Identity:
    """Decide who the learner will be where no namespace can be had.

    A container's root can hand out a user to each jail. Whoever else grades is the learner
    as well.
    """
    uid, gid = _free_id("uid_map"), _free_id("gid_map")
    rights = (syscalls.CAP_SETUID, syscalls.CAP_SETGID, syscalls.CAP_CHOWN)
    if os.geteuid() == 0 and uid is not None and gid is not None and all(map(_may, rights)):
        return Identity(uid, gid, own_users=False)
    return Identity(os.geteuid(), os.getegid(), own_users=False)


def _free_id(mapping: str) -> int | None:
    """Return an id that exists here and that no other live jail has, if there are any."""
    wanted = _FIRST_UID + os.getpid()
    best = None
    for line in Path(f"/proc/self/{mapping}").read_text().splitlines():
        start, _, count = map(int, line.split())
        if start <= wanted < start + count:
            return wanted
        if count > _SHARED_IDS:
            best = start + count - 1 - os.getpid() % _SHARED_IDS
    return best


def _may(capability: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def map_sole_user(uid: int, gid: int) -> None:
    """Name the user who came from outside (`uid`, `gid`) in the user namespace just made."""
    # The files below belong to root while a process may not be dumped.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    me = Path("/proc/self")
    with contextlib.suppress(FileNotFoundError):
        (me / "setgroups").write_text("deny")
    (me / "uid_map").write_text(f"{_SOLE_ID} {uid} 1")
    (me / "gid_map").write_text(f"{_SOLE_ID} {gid} 1")


def _switch(uid: int, gid: int) -> None:
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def give_up(identity: Identity, kept: int = 0) -> None:
    """Give up every capability but the bits in `kept`, and the way back to any other.

    A learner's process (nothing kept) takes on `identity` as well.
    """
    with contextlib.suppress(OSError):  # before Linux 4.3 there are none
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last one that this kernel knows
    if not kept and not identity.own_users:
        _switch(identity.uid, identity.gid)
    syscalls.set_capabilities(kept)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
