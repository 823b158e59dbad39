"""The file system of a jail: a small read-only tree that shows only what was asked for."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from autograder.grading.engine.jail import syscalls
from autograder.grading.engine.jail.limits import ENTRIES
from autograder.grading.engine.jail.spec import JailSpec, step

#: The system's programs, libraries and the few settings that libraries read.
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/fonts",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
#: Where the new root is mounted before it becomes the root.
_BASE = "/tmp"
#: Where this machine's files stand while the new root is furnished.
_OLD = "/.old"

_PLAIN = syscalls.MS_NOSUID | syscalls.MS_NODEV
_LOCKED = _PLAIN | syscalls.MS_RDONLY
#: Private file systems; with /dev, what may be written to at all.
_PRIVATE = ("/tmp", "/dev/shm")
WRITABLE = ("/tmp", "/dev")

_MOUNT_OPTIONS = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": 1 << 10,
    "nodiratime": 1 << 11,
    "relatime": 1 << 21,
}


def build(spec: JailSpec, uid: int, gid: int) -> tuple[int, bool]:
    """Make the jail's tree the root of this mount namespace; the old root is gone after.

    Parameters
    ----------
    spec
        What is visible.
    uid, gid
        Whom the working folder belongs to.

    Returns
    -------
    descriptor
        A folder with processes to watch, as /proc.
    fresh
        Whether it shows the jail's own processes by their own numbers. If not, /proc could
        not be mounted here, the jail's /proc is empty, and this is the outer one.

    Raises
    ------
    ValueError
        A path to show does not exist.
    JailUnavailable
        This machine refuses one of the mounts.
    """
    links, shown = _plan(spec)
    overlays = [(existing("overlays", outer), Path(inside)) for outer, inside in spec.overlays]
    outer_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with step("make mounts private"):
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    with step("mount a new root"):
        _mount_private(_BASE, 2**20, mode="755")
        os.chdir(_BASE)
        Path(_OLD.strip("/")).mkdir()
    with step("change to the new root"):
        syscalls.pivot_root(".", _OLD.strip("/"))
        os.chdir("/")
    for link, leads_to in links.items():
        link.symlink_to(leads_to)
    # First, because something to be shown may lie below /tmp itself.
    with step("make /tmp and /dev"):
        _furnish_tmp(spec, uid, gid)
        _furnish_dev(spec.file_bytes)
    masks = _show(shown)
    for source, path in overlays:
        with step(f"mount a folder over {path}"):
            _bind(source, path)
    watch = _mount_proc()
    with step("make /etc"):
        _furnish_etc(uid, gid)
    with step("let go of the old root"):
        syscalls.unmount(_OLD, syscalls.MNT_DETACH)
        Path(_OLD).rmdir()
    with step("make the new root read-only"):
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | _LOCKED
        for folder in ("/", *masks):
            syscalls.mount("none", folder, flags=flags)
    os.chdir(spec.work)
    if watch is None:
        return outer_proc, False
    os.close(outer_proc)
    return watch, True


def _plan(spec: JailSpec) -> tuple[dict[Path, str], dict[Path, Path | None]]:
    """Return links to make, and what to show where: a resolved source, or None for nothing."""
    links: dict[Path, str] = {}
    shown: dict[Path, Path | None] = {}
    for path in map(Path, SYSTEM):
        if path.is_symlink() and path.is_dir():
            links[path] = str(path.readlink())
        elif path.exists():
            shown[path] = path.resolve()
    shown.update(dict.fromkeys(map(Path, spec.hidden)))
    for name in spec.readable:
        source = existing("readable", name)
        shown[Path(name)] = source
        shown[source] = source
    return links, shown


def existing(argument: str, name: str) -> Path:
    """Return a path without links; raise ValueError, naming the argument, if it is not there."""
    try:
        return Path(name).resolve(strict=True)
    except OSError as error:
        raise ValueError(f"{argument}: {name!r} cannot be read: {error.strerror}") from error


def _show(shown: dict[Path, Path | None]) -> list[str]:
    """Bind what is to be seen, the more specific path later; return the folders masked."""
    done: dict[Path, Path | None] = {}
    masks = []
    for path, source in sorted(shown.items(), key=lambda item: len(item[0].parts)):
        above = next((parent for parent in path.parents if parent in done), None)
        there = done[above] if above is not None else None
        if source is None:
            if not path.is_dir():
                continue
            with step(f"hide {path}"):
                _mount_private(str(path), 2**20, mode="755")
            masks.append(str(path))
        elif above is None or there is None or there / path.relative_to(above) != source:
            with step(f"show {path}"):
                _bind(source, path)
        done[path] = source
    return masks


def _bind(source: Path, target: Path) -> None:
    old = f"{_OLD}{source}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(old).is_dir():
            target.mkdir()
        else:
            target.touch()
    syscalls.mount(old, str(target), flags=syscalls.MS_BIND | syscalls.MS_REC)
    try:
        syscalls.restrict_mounts(str(target), _LOCKED)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        for point, flags in _mounts_at(str(target)):
            flags |= syscalls.MS_REMOUNT | syscalls.MS_BIND | _LOCKED
            syscalls.mount("none", point, flags=flags)


def _mounts_at(target: str) -> Iterator[tuple[str, int]]:
    """Yield each mount at `target` or below, with its flags, which a remount must repeat."""
    for line in Path(f"{_OLD}/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        if point == target or point.startswith(f"{target}/"):
            options = fields[5].split(",")
            yield point, sum(_MOUNT_OPTIONS.get(option, 0) for option in options)


def _mount_private(target: str, size_bytes: int, mode: str) -> None:
    options = f"mode={mode},size={size_bytes},nr_inodes={ENTRIES}"
    syscalls.mount("tmpfs", target, "tmpfs", _PLAIN, options)


def _furnish_dev(size_bytes: int) -> None:
    dev = Path("/dev")
    dev.mkdir()
    for name in _DEVICES:
        if Path(f"{_OLD}/dev/{name}").exists():
            (dev / name).touch()
            flags = syscalls.MS_BIND
            syscalls.mount(f"{_OLD}/dev/{name}", str(dev / name), flags=flags)
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "shm").mkdir()
    _mount_private("/dev/shm", size_bytes, mode="1777")
    (dev / "pts").mkdir()
    try:
        options = "newinstance,ptmxmode=0666,mode=600"
        syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID, options)
    except OSError:
        # Only shell escapes (!ls) want a terminal of their own.
        (dev / "pts").rmdir()


def _mount_proc() -> int | None:
    """Mount /proc twice: one to watch from, and over it one that hides init from learners.

    A container that covers parts of its own /proc lets nobody in a user namespace mount
    another; the jail's /proc then stays empty, which costs learners nothing they need.
    """
    Path("/proc").mkdir()
    flags = _PLAIN | syscalls.MS_NOEXEC
    try:
        syscalls.mount("proc", "/proc", "proc", flags)
    except OSError:
        return None
    watch = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # init is only closed to learners then, not hidden
        syscalls.mount("proc", "/proc", "proc", flags, "hidepid=2")
    return watch


def _furnish_etc(uid: int, gid: int) -> None:
    etc = Path("/etc")
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"learner:x:{uid}:{gid}:learner:/tmp:/bin/sh\n")
    (etc / "group").write_text(f"learner:x:{gid}:\n")
    (etc / "hostname").write_text("jail\n")


def _furnish_tmp(spec: JailSpec, uid: int, gid: int) -> None:
    tmp, work = Path("/tmp"), Path(spec.work)
    tmp.mkdir()
    _mount_private("/tmp", 2 * spec.file_bytes, mode="1777")
    work.mkdir(parents=True)
    for folder in {work, *work.parents} - {tmp, *tmp.parents}:
        os.chown(folder, uid, gid)


def private_bytes() -> int:
    """Return how much memory the private files take, in bytes."""
    states = map(os.statvfs, _PRIVATE)
    return sum((state.f_blocks - state.f_bfree) * state.f_frsize for state in states)
