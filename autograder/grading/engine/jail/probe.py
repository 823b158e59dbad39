"""Does a jail stand on this machine? Tried, not guessed."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from autograder.grading.engine.jail import enter
from autograder.grading.engine.jail.spec import JailSpec, JailUnavailable

_TIMEOUT_S = 20.0


def probe() -> None:
    """Set up a jail, look around in it as a learner's process would, and take it down.

    Raises
    ------
    JailUnavailable
        This machine refuses a step, or a wall is not where it should be.
    """
    if sys.platform != "linux":
        raise JailUnavailable("jails are made of Linux namespaces, and this is not Linux.")
    hear, tell = os.pipe()
    if (child := os.fork()) == 0:
        try:
            _report(tell)
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
    problem = json.loads(said)
    if problem:
        raise JailUnavailable(problem)


def why_not() -> str | None:
    """Return why learners' code cannot be jailed on this machine, or None if it can."""
    try:
        probe()
    except JailUnavailable as error:
        return str(error)
    return None


def _hear_all(descriptor: int) -> bytes:
    said = b""
    deadline = time.monotonic() + _TIMEOUT_S
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (part := os.read(descriptor, 1 << 16)):
            return said
        said += part
    raise JailUnavailable(f"a jail was begun, but did not stand within {_TIMEOUT_S:g} s.")


def _report(tell: int) -> None:
    """In the child: say what is wrong, or nothing at all, in one JSON string."""
    outside = os.getuid(), str(Path("~").expanduser())
    try:
        spec = JailSpec(readable=(), hidden=())
        enter.enter_jail(spec, keep_fds=[tell])
        if (learner := os.fork()) != 0:
            os.close(tell)
            os.waitpid(learner, 0)
            return
        enter.drop_privileges(spec)
        problem = _open_walls(*outside)
    except JailUnavailable as error:
        problem = error.reason
    except BaseException as error:
        problem = f"{type(error).__name__} while a jail was made: {error}"
    os.write(tell, json.dumps(problem).encode())


def _open_walls(outer_uid: int, home: str) -> str:
    """Return what a learner's process can do here that it should not, or an empty string."""
    processes = {entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    checks = {
        "it can reach the network": _has_network(),
        "it sees processes outside": not processes <= {"1", "2"} or os.getpid() != 2,
        "it sees the home folder": home != "/" and Path(home).exists(),
        "it runs as root": outer_uid == 0 and os.getuid() == 0,
        "it can write outside of /tmp": _may_write("/etc/jail") or _may_write("/usr/jail"),
        "it cannot write in its own folder": not _may_write("probe"),
    }
    wrong = [what for what, happens in checks.items() if happens]
    return f"a jail was made, but {' and '.join(wrong)}." if wrong else ""


def _has_network() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
            # Sends nothing. A network namespace of its own has not even a loopback.
            found.connect(("127.0.0.1", 9))
    except OSError:
        return False
    return True


def _may_write(name: str) -> bool:
    try:
        with Path(name).open("w") as stream:
            stream.write("x")
    except OSError:
        return False
    return True
