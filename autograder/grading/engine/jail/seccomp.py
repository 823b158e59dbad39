"""The seccomp filter of a jail: system calls that no exercise needs are refused.

The filter is a classic BPF program. Everything is allowed but what is listed here: calls
that reach other processes' memory, mounts, namespaces, kernel keys and modules, devices'
back doors, and memory that belongs to no process, so that nothing could count it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
from collections.abc import Iterator

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

#: Looked at by argument: see `_conditional`.
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
_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C

# Classic BPF: load a word, compare, return.
_LOAD = 0x20
_EQUAL = 0x15
_AT_LEAST = 0x35
_ANY_BIT = 0x45
_RETURN = 0x06

_OFFSET_CALL = 0
_OFFSET_ARCHITECTURE = 4
_OFFSET_ARGUMENTS = 16

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_SECCOMP_MODE_FILTER = 2

#: operation, steps to skip when true, steps to skip when false, operand
Instruction = tuple[int, int, int, int]


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _refuse(code: int = errno.EPERM) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


def _argument(index: int) -> Instruction:
    # The low half; the kernel takes every argument that is looked at here as 32 bits.
    return (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * index)


def _allow_only(index: int, value: int) -> list[Instruction]:
    return [_argument(index), (_EQUAL, 1, 0, value), _refuse(), (_RETURN, 0, 0, _ALLOW)]


def _conditional() -> dict[str, list[Instruction]]:
    allow = (_RETURN, 0, 0, _ALLOW)
    return {
        "clone": [_argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(), allow],
        "socket": _allow_only(0, int(socket.AF_UNIX)),
        # Both put characters into a terminal's input.
        "ioctl": [
            _argument(1),
            (_EQUAL, 1, 0, _TIOCSTI),
            (_EQUAL, 0, 1, _TIOCLINUX),
            _refuse(),
            allow,
        ],
        # Only for oneself: init, which watches, has the same uid where no other can be had.
        "prlimit64": _allow_only(0, 0),
        "setpriority": _allow_only(1, 0),
        "sched_setparam": _allow_only(0, 0),
        "sched_setscheduler": _allow_only(0, 0),
        "sched_setaffinity": _allow_only(0, 0),
        "sched_setattr": _allow_only(0, 0),
        "ioprio_set": _allow_only(1, 0),
    }


def _guarded(number: int, block: list[Instruction]) -> Iterator[Instruction]:
    yield (_EQUAL, 0, len(block), number)
    yield from block


def program(machine: str) -> list[Instruction]:
    """Return the filter for `machine`; an empty list where no filter is known.

    Examples
    --------
    >>> len(program("x86_64")) > len(program("aarch64")) > 100
    True
    >>> program("riscv64")
    []
    """
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
    blocks = _conditional()
    for name, numbers in (DENIED | ABSENT | CONDITIONAL).items():
        number = numbers[column]
        if number is not None:
            plain = [_refuse(errno.ENOSYS if name in ABSENT else errno.EPERM)]
            lines += _guarded(number, blocks.get(name, plain))
    lines.append((_RETURN, 0, 0, _ALLOW))
    return lines


def install() -> bool:
    """Bind this process and all it starts to the filter; return whether there is one.

    The process must have no_new_privs set.

    Raises
    ------
    OSError
        The kernel takes no filters.
    """
    lines = program(platform.machine())
    if not lines:
        return False
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    whole = _SockFprog(len(lines), code)
    syscalls.prctl(syscalls.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(whole))
    return True
