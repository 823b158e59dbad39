"""The seccomp filter of a jail: system calls that no exercise needs are refused.

The filter is a classic BPF program. Everything is allowed but what is listed here: calls
that reach other processes' memory, mounts, namespaces, kernel keys and modules, devices'
back doors, and memory that belongs to no process, so that nothing could count it. Where a
jail shares the machine's processes, files and user (`landlock`), more is refused: see
`SHARED_DENIED` and what follows it.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from autograder.grading.engine.jail import syscalls

#: Refused whatever the arguments, with EPERM: number on x86_64, number on aarch64.
DENIED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}

#: Answered with ENOSYS, as an older kernel would: libraries then take another way. The
#: arguments of clone3 lie in memory, where a filter cannot see new namespaces; the others
#: hold memory outside of every process and of every file system that is watched.
ABSENT = {
    "clone3": (435, 435),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
}

#: Looked at by argument: see `conditions`.
CONDITIONAL = {
    "clone": (56, 220),
    "socket": (41, 198),
    "ioctl": (16, 29),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
}

#: Refused as well where files, users and System V objects are not the jail's own. No socket
#: but a connected pair is to be had, since paths and names of sockets lead outside; no message
#: may carry descriptors, as what is on the way belongs to no process.
SHARED_DENIED = {
    "socket": CONDITIONAL["socket"],
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}

#: Answered as if done: modes and times of files, which Landlock does not guard and honest
#: programs set in passing (`shutil.copy`).
SHARED_PRETENDED = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}

#: Its flags lie in memory, where a filter cannot see them.
SHARED_ABSENT = {"openat2": (437, 437)}

SHARED_CONDITIONAL = {
    "socketpair": (53, 199),
    "open": (2, None),
    "openat": (257, 56),
    "fcntl": (72, 25),
    "prctl": (157, 167),
}

#: Before the third version of Landlock's interface nothing of its own guards this.
TRUNCATE = {"truncate": (76, 45)}

#: Before the sixth version nothing of its own guards other processes from signals.
SIGNALS = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_CALLS = 0x40000000

_NEW_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWCGROUP
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
)
#: Put characters into a terminal's input.
_IOCTLS = (0x5412, 0x541C)
#: FIOSETOWN, SIOCSPGRP, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR: signals for others, files' flags.
_SHARED_IOCTLS = (0x8901, 0x8902, 0x40086602, 0x401C5820)
#: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY: signals for others, locks on files.
_SHARED_FCNTLS = (8, 10, 15, 1024, 1026)
_PRIO_USER = 2
_IOPRIO_WHO_USER = 3

# Classic BPF: load a word, mask it, compare, return.
_LOAD = 0x20
_MASK = 0x54
_EQUAL = 0x15
_AT_LEAST = 0x35
_ANY_BIT = 0x45
_RETURN = 0x06

_OFFSET_CALL = 0
_OFFSET_ARCHITECTURE = 4
_OFFSET_ARGUMENTS = 16

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

#: operation, steps to skip when true, steps to skip when false, operand
Instruction = tuple[int, int, int, int]


#: Number on x86_64, number on aarch64, by name.
Calls = Mapping[str, tuple[int | None, int | None]]


def _refuse(code: int = errno.EPERM) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


_PASS = (_RETURN, 0, 0, _ALLOW)


def _argument(index: int) -> Instruction:
    # The low half; the kernel takes every argument that is looked at here as 32 bits.
    return (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * index)


def _allow_only(index: int, value: int) -> list[Instruction]:
    return [_argument(index), (_EQUAL, 1, 0, value), _refuse(), _PASS]


def _refuse_any(index: int, values: Iterable[int]) -> list[Instruction]:
    refusals = [line for value in values for line in ((_EQUAL, 0, 1, value), _refuse())]
    return [_argument(index), *refusals, _PASS]


def _own_priority(who: int, everybody: int) -> list[Instruction]:
    """Allow to change one's own priority, not that of all processes of the user."""
    return [*_refuse_any(0, [everybody])[:-1], *_allow_only(1, who)]


def conditions() -> dict[str, list[Instruction]]:
    """Return what is done with the calls in `CONDITIONAL`, by name."""
    return {
        "clone": [_argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(), _PASS],
        "socket": _allow_only(0, int(socket.AF_UNIX)),
        "ioctl": _refuse_any(1, _IOCTLS),
        # Only for oneself: init, which watches, has the same uid where no other can be had.
        "prlimit64": _allow_only(0, 0),
        "setpriority": _own_priority(0, _PRIO_USER),
        "sched_setparam": _allow_only(0, 0),
        "sched_setscheduler": _allow_only(0, 0),
        "sched_setaffinity": _allow_only(0, 0),
        "sched_setattr": _allow_only(0, 0),
        "ioprio_set": _own_priority(0, _IOPRIO_WHO_USER),
    }


def _shared_conditional(abi: int, pid: int) -> dict[str, list[Instruction]]:
    kind = ~(socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) & 0xFFFFFFFF
    return {
        # A pair of datagram sockets could be pointed elsewhere.
        "socketpair": [
            *[_argument(0), (_EQUAL, 1, 0, int(socket.AF_UNIX)), _refuse()],
            *[_argument(1), (_MASK, 0, 0, kind), (_EQUAL, 1, 0, int(socket.SOCK_STREAM))],
            *[_refuse(), _PASS],
        ],
        "open": _opens(1, abi),
        "openat": _opens(2, abi),
        "ioctl": _refuse_any(1, (*_IOCTLS, *_SHARED_IOCTLS)),
        "fcntl": _refuse_any(1, _SHARED_FCNTLS),
        # The keeper looks into the jail's processes: none may close itself to it.
        "prctl": _refuse_any(0, (syscalls.PR_SET_DUMPABLE,)),
        **{name: _allow_only(0, pid) for name in SIGNALS},
        "pidfd_send_signal": [_refuse()],
    }


def _opens(flags: int, abi: int) -> list[Instruction]:
    """Refuse to open neither for reading nor for writing, which Landlock does not look at.

    Before its third version, nor does it look at what truncates without writing.
    """
    access = [(_MASK, 0, 0, os.O_ACCMODE), (_EQUAL, 0, 1, os.O_ACCMODE), _refuse(), _PASS]
    if abi >= 3:
        return [_argument(flags), *access]
    truncates = [_argument(flags), (_MASK, 0, 0, os.O_TRUNC | os.O_ACCMODE)]
    return [*truncates, (_EQUAL, 0, 1, os.O_TRUNC | os.O_RDONLY), _refuse(), *access]


def _guarded(number: int, block: list[Instruction]) -> Iterator[Instruction]:
    yield (_EQUAL, 0, len(block), number)
    yield from block


def _refusals(name: str) -> list[Instruction]:
    if name in SHARED_PRETENDED:
        return [_refuse(0)]
    return [_refuse(errno.ENOSYS if name in ABSENT or name in SHARED_ABSENT else errno.EPERM)]


def assembled(
    machine: str, calls: Calls, blocks: Mapping[str, list[Instruction]]
) -> list[Instruction]:
    """Return a filter that does `blocks` with some of `calls` and refuses the others."""
    if machine not in _ARCHITECTURES:
        return []
    architecture, column = _ARCHITECTURES[machine]
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        _refuse(),
        (_LOAD, 0, 0, _OFFSET_CALL),
    ]
    if machine == "x86_64":
        lines += [(_AT_LEAST, 0, 1, _X32_CALLS), _refuse()]
    for name, numbers in calls.items():
        number = numbers[column]
        if number is not None:
            lines += _guarded(number, blocks.get(name) or _refusals(name))
    return [*lines, _PASS]


def program(machine: str, *, abi: int = 0, pid: int = 0) -> list[Instruction]:
    """Return the filter for `machine`; an empty list where no filter is known.

    Parameters
    ----------
    machine
        Its architecture, as `platform.machine` says it.
    abi
        Version of Landlock that the jail relies on; 0 for one of namespaces.
    pid
        The process to be filtered, which may send signals to itself where Landlock does not
        guard others from them.

    Examples
    --------
    >>> len(program("x86_64")) > len(program("aarch64")) > 100
    True
    >>> program("riscv64")
    []
    """
    calls, blocks = DENIED | ABSENT | CONDITIONAL, conditions()
    if abi:
        calls = calls | SHARED_DENIED | SHARED_PRETENDED | SHARED_ABSENT | SHARED_CONDITIONAL
        blocks = blocks | _shared_conditional(abi, pid)
        del blocks["socket"]
        if abi < 3:
            calls |= TRUNCATE
        if abi < 6:
            calls |= SIGNALS
    return assembled(machine, calls, blocks)


def is_known() -> bool:
    """Tell whether there is a filter for this machine."""
    return platform.machine() in _ARCHITECTURES


def install(*, abi: int = 0) -> bool:
    """Bind this process and all it starts to the filter; return whether there is one.

    The process must have no_new_privs set.

    Raises
    ------
    OSError
        The kernel takes no filters.
    """
    if is_known():
        lines = program(platform.machine(), abi=abi, pid=os.getpid())
        syscalls.seccomp_filter(packed(lines))
    return is_known()


def packed(lines: list[Instruction]) -> bytes:
    """Return a filter as the kernel takes it."""
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
