"""The Linux system calls that a jail needs and Python 3.11 does not offer.

Each function raises `OSError` with the errno of the call. Nothing is looked up in the C
library before the first call, so that the module imports anywhere.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_CHOWN = 0
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_ADMIN = 21

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
# The same numbers on every architecture.
_NR_MOUNT_SETATTR = 442
_NR_LANDLOCK_CREATE_RULESET = 444
_NR_LANDLOCK_ADD_RULE = 445
_NR_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1

_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _numbered(number: int, *arguments: Any) -> int:
    return _checked(_libc().syscall(ctypes.c_long(number), *arguments))


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`, see unshare(2)."""
    _checked(_libc().unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount, bind or remount, see mount(2)."""
    _checked(
        _libc().mount(
            ctypes.c_char_p(os.fsencode(source)),
            ctypes.c_char_p(os.fsencode(target)),
            ctypes.c_char_p(kind.encode()),
            ctypes.c_ulong(flags),
            ctypes.c_char_p(data.encode()),
        )
    )


def unmount(target: str, flags: int = 0) -> None:
    """Unmount, see umount2(2)."""
    _checked(_libc().umount2(ctypes.c_char_p(os.fsencode(target)), ctypes.c_int(flags)))


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace, see pivot_root(2)."""
    _checked(
        _libc().pivot_root(
            ctypes.c_char_p(os.fsencode(new_root)), ctypes.c_char_p(os.fsencode(put_old))
        )
    )


def restrict_mounts(target: str, flags: int) -> None:
    """Add `flags` to the mount at `target` and all below it, by mount_setattr(2) (Linux 5.12).

    The four flags read-only, nosuid, nodev and noexec have the same values there as for
    mount(2).
    """
    attributes = _MountAttr(attr_set=flags)
    _numbered(
        _NR_MOUNT_SETATTR,
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """Set an attribute of the calling process, see prctl(2)."""
    zero = ctypes.c_ulong(0)
    _checked(
        _libc().prctl(
            ctypes.c_int(option), ctypes.c_ulong(second), ctypes.c_ulong(third), zero, zero
        )
    )


def set_capabilities(kept: int) -> None:
    """Reduce this process's effective and permitted capabilities to the bits in `kept`."""
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = (_CapData * 2)(_CapData(low, low, 0), _CapData(high, high, 0))
    _checked(_libc().capset(ctypes.byref(header), ctypes.byref(data)))


def landlock_abi() -> int:
    """Return the version of Landlock that this kernel speaks, from 1 on."""
    flags = ctypes.c_uint(_LANDLOCK_CREATE_RULESET_VERSION)
    return _numbered(_NR_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), flags)


def landlock_ruleset(rights: int, scopes: int) -> int:
    """Return a descriptor of a new set of rules: all `rights` are refused until granted.

    A kernel that knows nothing of a later field takes it for padding while it is 0.
    """
    attributes = _RulesetAttr(handled_access_fs=rights, scoped=scopes)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    return _numbered(_NR_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint(0))


def landlock_grant(ruleset: int, rights: int, descriptor: int) -> None:
    """Grant `rights` on what `descriptor` stands for, and on all below it."""
    attributes = _PathBeneathAttr(allowed_access=rights, parent_fd=descriptor)
    _numbered(
        _NR_LANDLOCK_ADD_RULE,
        ctypes.c_int(ruleset),
        ctypes.c_int(_LANDLOCK_RULE_PATH_BENEATH),
        ctypes.byref(attributes),
        ctypes.c_uint(0),
    )


def landlock_restrict(ruleset: int, flags: int) -> None:
    """Bind this thread and all it starts to a set of rules."""
    _numbered(_NR_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(flags))


def seccomp_filter(code: bytes) -> None:
    """Bind this thread and all it starts to a filter of 8-byte BPF instructions."""
    program = _SockFprog(len(code) // 8, code)
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))
