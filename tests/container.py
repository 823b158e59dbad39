"""As in an ordinary container: ``container.py [--root] [--show P]... [--own P]... -- COMMAND``.

No namespaces, no mounts, none of the calls that Docker's default profile keeps from a process
without capabilities; Landlock's three are allowed, as there. The account is an ordinary user,
who owns what `--own` names; with `--root` it is root as containers have it. Started by root,
paths that are closed to other users are shown to them where they lie: a checkout, an
environment or a test's folder may be anywhere.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from autograder.grading.engine.jail import seccomp, syscalls

ORDINARY_UID = 54321

#: Of what a jail refuses, what a container lets anybody do.
ALLOWED = {
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_mrelease", "modify_ldt"),
    *("name_to_handle_at", "adjtimex", "clock_adjtime", "fanotify_mark"),
}

#: Number on x86_64, number on aarch64.
REFUSED = {name: call for name, call in seccomp.DENIED.items() if name not in ALLOWED} | {
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
}

#: What Docker leaves its root: chown, past modes, kill, uids, binding, raw sockets, chroot,
#: device files, audit, file capabilities.
ROOT_RIGHTS = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)


def enter(*, root: bool = False, shown: Iterable[str] = (), own: Iterable[str] = ()) -> None:
    """Be in a container from now on."""
    if os.geteuid() == 0:
        show([*shown, *own])
        for right in range(64):
            if not (root and right in ROOT_RIGHTS) and not _drop(right):
                break
        if root:
            syscalls.set_capabilities(sum(1 << right for right in ROOT_RIGHTS))
        else:
            _give(own)
            become_ordinary()
    forbid_namespaces(chroot=root)


def _drop(right: int) -> bool:
    try:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, right)
    except OSError:  # past the last one that this kernel knows
        return False
    return True


def _give(folders: Iterable[str]) -> None:
    for folder in map(Path, folders):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, ORDINARY_UID, ORDINARY_UID, follow_symlinks=False)


def become_ordinary() -> None:
    """Be an ordinary user from now on."""
    os.setgroups([])
    os.setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
    os.setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)


def forbid_namespaces(*, chroot: bool = False) -> None:
    """From now on be answered as by Docker's default profile."""
    calls = {name: call for name, call in REFUSED.items() if not (chroot and name == "chroot")}
    calls |= {"clone": seccomp.CONDITIONAL["clone"], "clone3": seccomp.ABSENT["clone3"]}
    lines = seccomp.assembled(platform.machine(), calls, seccomp.conditions())
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.seccomp_filter(seccomp.packed(lines))


def show(paths: Iterable[str]) -> None:
    """Let every user reach `paths` where they are, in mounts of this process's own."""
    wanted = {Path(path).resolve() for path in paths}
    covers = {cover for path in wanted if (cover := _closed(path))}
    if not covers:
        return
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    # A closed folder is shown by what is in it.
    held = {
        part: os.open(part, os.O_PATH)
        for path in wanted
        if any(cover == path or cover in path.parents for cover in covers)
        for part in (path.iterdir() if not _open_to_all(path) and path.is_dir() else [path])
    }
    for cover in covers:
        syscalls.mount("tmpfs", str(cover), "tmpfs", data="mode=755")
    for path, descriptor in sorted(held.items()):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        flags = syscalls.MS_BIND | syscalls.MS_REC
        syscalls.mount(f"/proc/self/fd/{descriptor}", str(path), flags=flags)
        os.close(descriptor)
    os.chdir(Path.cwd())  # by its name, as whoever comes later


def _closed(path: Path) -> Path | None:
    """Return the topmost folder on the way to `path` that is closed to other users."""
    folders = [*reversed(path.parents), path]
    return next((folder for folder in folders if not _open_to_all(folder)), None)


def _open_to_all(path: Path) -> bool:
    mode = path.stat().st_mode
    return mode & 0o5 == 0o5 if path.is_dir() else mode & 0o4 == 0o4


def main() -> None:
    """Enter a container and become the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", action="store_true")
    parser.add_argument("--show", action="append", default=[])
    parser.add_argument("--own", action="append", default=[])
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    enter(root=asked.root, shown=asked.show, own=asked.own)
    os.execvp(asked.command[0], asked.command)


if __name__ == "__main__":
    main()
