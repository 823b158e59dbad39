"""Landlock: what a process may do with files, chosen by itself, without any privilege.

A kernel says which version of the interface (ABI) it speaks: files from 1 on (Linux 5.13),
moving between folders 2 (5.19), truncating 3 (6.2), TCP 4 (6.7), devices 5 (6.10), signals
and abstract sockets 6 (6.12), quiet refusals 7 (6.15). What an older one does not guard, the
filter on system calls refuses (`seccomp`). Landlock guards contents and names in listings;
whether a path exists, its size and its times anybody may ask.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from autograder.grading.engine.jail import files, syscalls
from autograder.grading.engine.jail.spec import JailSpec, JailUnavailable

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_MAKE_SOCKET = 1 << 9
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15

_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
_SCOPE_SIGNAL = 1 << 1

_QUIET = 1 << 0

_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: What may be granted on something that is no folder.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_DEVICES = {"null": _WRITE_FILE, "zero": 0, "full": _WRITE_FILE, "random": 0, "urandom": 0}

#: Path and rights.
Grants = Mapping[Path, int]


def abi() -> int:
    """Return the version of Landlock's interface, from 1 on.

    Raises
    ------
    JailUnavailable
        There is no Landlock here.
    """
    try:
        return syscalls.landlock_abi()
    except OSError as error:
        reasons = {
            errno.ENOSYS: "this kernel has no Landlock; Linux has it from 5.13 on",
            errno.EOPNOTSUPP: "Landlock is off: add landlock to the kernel's lsm= setting",
            errno.EPERM: "a filter around this process refuses Landlock; containers' own "
            "filters have allowed it since 2022",
        }
        raise JailUnavailable(f"{reasons.get(error.errno or 0, error.strerror)}.") from error


def _all_rights(version: int) -> int:
    newest = {1: 13, 2: 14, 3: 15, 4: 15}
    return (1 << newest.get(version, 16)) - 1


def scopes(version: int) -> int:
    """Return what Landlock keeps within the jail besides files."""
    return _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= 6 else 0


def shut_in(spec: JailSpec, private: Path) -> None:
    """Bind this process to `spec`, with all but programs allowed in the folder `private`.

    Raises
    ------
    ValueError
        A path to show does not exist.
    OSError
        The kernel refuses.
    """
    version = abi()
    every = _all_rights(version)
    grants = dict(_shown(spec))
    grants[private] = every & ~(_EXECUTE | _MAKE_DEVICES | _MAKE_SOCKET | _IOCTL_DEV)
    grants |= {Path("/dev", name): _READ_FILE | more for name, more in _DEVICES.items()}
    _restrict(version, every, grants)


def lock_again(writable: Iterable[str]) -> None:
    """Within namespaces: refuse once more what their walls refuse, where that costs nothing.

    Before the sixth version it would cost: only then do signals stay inside as well.
    """
    with contextlib.suppress(JailUnavailable):
        if (version := abi()) >= 6:
            changes = _all_rights(version) & ~(_READ | _IOCTL_DEV)
            _restrict(version, changes, dict.fromkeys(map(Path, writable), changes))


def _restrict(version: int, handled: int, grants: Grants) -> None:
    ruleset = syscalls.landlock_ruleset(handled, scopes(version))
    try:
        for path, rights in grants.items():
            with contextlib.suppress(FileNotFoundError):
                _grant(ruleset, path, rights & handled)
        syscalls.landlock_restrict(ruleset, _QUIET if version >= 7 else 0)
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except PermissionError as error:
        raise JailUnavailable(f"its user may not read {path}.") from error
    try:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        syscalls.landlock_grant(ruleset, rights if folder else rights & _OF_FILES, descriptor)
    finally:
        os.close(descriptor)


def _shown(spec: JailSpec) -> Iterator[tuple[Path, int]]:
    """Yield what together shows what is to be seen, and nothing that is to be hidden.

    A grant holds for all below it: beside something hidden, each neighbour gets its own.
    """
    sources = {files.existing("readable", name) for name in spec.readable}
    hidden = {Path(name).resolve() for name in spec.hidden} - sources
    hidden |= {Path(inside).resolve() for _, inside in spec.overlays}
    sources |= {Path(name).resolve() for name in files.SYSTEM if Path(name).exists()}
    for path in sources:
        yield from _without(path, hidden)
    for outer, _ in spec.overlays:
        yield files.existing("overlays", outer), _READ


def _without(path: Path, hidden: set[Path]) -> Iterator[tuple[Path, int]]:
    if path in hidden:
        return
    if not any(path in other.parents for other in hidden):
        yield path, _READ
        return
    if str(path) in sys.path:  # an import begins by listing
        yield path, _READ_DIR
    for child in path.iterdir():
        if not child.is_symlink():
            yield from _without(child, hidden)
