"""A machine of the tests' own: ``python -m tests.hub.machine COMMAND...`` runs a command in it.

It looks like the one it runs on and shares nothing that is written: accounts, services, installed
programs. What is written anywhere goes to a folder that goes away, and all processes end with the
command. Folders under `$SERVEMATH_PICTURES` alone are the outer machine's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from autograder.grading.engine.jail import syscalls

#: Said to what runs inside.
INSIDE = "SERVEMATH_OWN_MACHINE"
PICTURES = "SERVEMATH_PICTURES"

#: The outer machine's programs that a hub for a course takes, and what brings them.
PROGRAMS = {
    "unshare": "util-linux",
    "pivot_root": "util-linux",
    "runuser": "util-linux",
    "useradd": "passwd",
    "make": "make",
    "npm": "npm",
    "pg_createcluster": "postgresql",
}

_ENTER = r"""
set -eu
[ "$4" = disk ] || mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
cd root
mkdir -p .outer
mount -t proc proc proc
for shared in dev sys $2; do mount --rbind "/$shared" "./$shared"; done
pivot_root . .outer
umount -l /.outer
rmdir /.outer
cd "$3"
shift 4
exec "$@"
"""


def missing() -> list[str]:
    """Return what keeps a hub from running here."""
    if os.getuid() != 0:
        return ["only root can make a machine of its own with accounts in it"]
    return [
        f"no {program} here; on Debian: apt install {package}"
        for program, package in PROGRAMS.items()
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    ]


def run(command: list[str]) -> int:
    """Run a command in a machine of its own; return its exit code."""
    folder = Path(tempfile.mkdtemp(prefix="servemath-machine-", dir="/var/tmp"))
    try:
        # What is written is 2 GB: kept in memory where there is plenty, it is quick and soon gone.
        where = "memory" if psutil.virtual_memory().available > 8e9 else "disk"
        return subprocess.run(
            ["unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER,
             "sh", str(folder), " ".join(_shared()), str(Path.cwd()), where, *command],
            env={**os.environ, INSIDE: "yes"},
            check=False,
        ).returncode  # fmt: skip
    finally:
        shutil.rmtree(folder)


def _shared() -> list[str]:
    """Return what the machine shares: where pictures go, mounts that programs and course lie on."""
    needed = [Path.cwd(), Path(sys.prefix), Path(sys.base_prefix)]
    mounts = [
        Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    shared = {mount for mount in mounts for path in needed if mount in path.parents} - {Path("/")}
    if PICTURES in os.environ:
        pictures = Path(os.environ[PICTURES]).absolute()
        pictures.mkdir(parents=True, exist_ok=True)
        shared.add(pictures)
    return [str(path).removeprefix("/") for path in sorted(shared)]


def leave_the_network() -> None:
    """Be from now on in a network of one machine, where every port is free."""
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with socket.socket() as anything:
        up = struct.pack("16sh14x", b"lo", 1 | 64)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(anything, 0x8914, up)  # SIOCSIFFLAGS


def main() -> int:
    """Run what the command line names, or say why not."""
    lacking = missing()
    if lacking:
        print(f"servemath: hub tests SKIPPED: {'; '.join(lacking)}")
        return 0
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
