"""Which jail stands on this machine? Tried, not guessed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from autograder.grading.engine.jail import enter, landlock
from autograder.grading.engine.jail.spec import (
    LANDLOCK,
    NAMESPACES,
    JailSpec,
    JailUnavailable,
    step,
)

_TIMEOUT_S = 20.0


def probe() -> str:
    """Return the first wall that stands here: NAMESPACES, or LANDLOCK where they are refused.

    Each is set up, looked at from inside as a learner's process would, and taken down.

    Raises
    ------
    JailUnavailable
        Neither stands: this machine refuses a step, or a wall is not where it should be.
    """
    try:
        _try(NAMESPACES)
        return NAMESPACES
    except JailUnavailable as error:
        first = error.reason
    if sys.platform != "linux":
        raise JailUnavailable(first)
    try:
        _try(LANDLOCK)
        return LANDLOCK
    except JailUnavailable as error:
        raise JailUnavailable(f"{first} Nor does Landlock do instead: {error.reason}") from None


def describe(wall: str) -> str:
    """Return the name of a wall as a person should read it, with Landlock's version here.

    >>> describe("namespaces")
    'namespaces'
    """
    return f"Landlock (ABI {landlock.abi()})" if wall == LANDLOCK else wall


def why_not() -> str | None:
    """Return why learners' code cannot be jailed on this machine, or None if it can."""
    try:
        probe()
    except JailUnavailable as error:
        return str(error)
    return None


def _try(wall: str) -> None:
    """Raise `JailUnavailable` unless the wall stands."""
    if sys.platform != "linux":
        raise JailUnavailable("jails are made by Linux, and this is another system.")
    hear, tell = os.pipe()
    with step("make a temporary file"):
        stream = tempfile.NamedTemporaryFile(prefix="servemath-probe-")  # noqa: SIM115
    with stream as outside:
        # The learner of the same user might read it, but for the wall.
        outside.write(b"secret")
        outside.flush()
        if (child := os.fork()) == 0:
            try:
                _report(tell, wall, Path(outside.name))
            finally:
                os._exit(0)
        os.close(tell)
        try:
            said = _hear_all(hear)
        finally:
            os.close(hear)
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
    if not said:
        raise JailUnavailable("a jail was made, but its process ended without an answer.")
    if problem := json.loads(said):
        raise JailUnavailable(problem)


def _hear_all(descriptor: int) -> bytes:
    said = b""
    deadline = time.monotonic() + _TIMEOUT_S
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (part := os.read(descriptor, 1 << 16)):
            return said
        said += part
    raise JailUnavailable(f"a jail was begun, but did not stand within {_TIMEOUT_S:g} s.")


def _report(tell: int, wall: str, outside: Path) -> None:
    """In the child: say what is wrong, or nothing at all, in one JSON string."""
    outer = os.getpid(), os.getuid()
    try:
        spec = JailSpec(readable=tuple({sys.prefix, sys.base_prefix}), hidden=())
        enter.enter_jail(spec, keep_fds=[tell], wall=wall)
        if (learner := os.fork()) != 0:
            os.close(tell)
            enter.settle_keeper()
            os.waitpid(learner, 0)
            return
        enter.drop_privileges(spec)
        problem = _open_walls(wall, *outer, outside)
    except JailUnavailable as error:
        problem = error.reason
    except BaseException as error:
        problem = f"{type(error).__name__} while a jail was made: {error}"
    os.write(tell, json.dumps(problem).encode())


def _open_walls(wall: str, outer_pid: int, outer_uid: int, outside: Path) -> str:
    """Return what a learner's process can do here that it should not, or an empty string."""
    processes = {entry.name for entry in _entries("/proc") if entry.name.isdigit()}
    checks = {
        "it can reach the network": _has_network(),
        "it sees processes outside": not processes <= {"1", "2"},
        # The same number may be another process within namespaces, where nobody else is.
        "it can signal processes outside": (
            os.getpid() != 2 if wall == NAMESPACES else _may_signal(outer_pid)
        ),
        "it can read files outside": _may_read(outside),
        "it can change files outside": _may_change(outside) or _may_write(Path("/usr/jail")),
        "it runs as root": outer_uid == 0 and os.getuid() == 0,
        "it cannot read its own Python": not _entries(sys.base_prefix),
        "it cannot write in its own folder": not _may_write(Path("probe")),
        "it cannot start a process": not _may_fork(),
    }
    wrong = [what for what, happens in checks.items() if happens]
    return f"a jail was made, but {' and '.join(wrong)}." if wrong else ""


def _entries(folder: str | Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(Path(folder).iterdir())
    return []


def _may_signal(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _may_fork() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0) == (child, 0)


def _may_read(path: Path) -> bool:
    try:
        return path.read_bytes() != b""
    except OSError:
        return False


def _has_network() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
            # Sends nothing. A network namespace of its own has not even a loopback.
            found.connect(("127.0.0.1", 9))
    except OSError:
        return False
    return True


def _may_change(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


def _may_write(path: Path) -> bool:
    try:
        path.write_text("x")
    except OSError:
        return False
    return True
