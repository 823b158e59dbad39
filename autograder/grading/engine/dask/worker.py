"""What a Dask worker does: say whether it is fit, and run jobs; see `runner`.

What a command wants of its workers travels as JSON text, so that a worker of another
version can still read it and say what differs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.grading.engine import trials
from autograder.grading.engine.fingerprint import fingerprint, versions
from autograder.grading.engine.jail import NO_WALL, JailSpec
from autograder.grading.engine.service import EngineError, Service

#: The limits of a jail that the command sets; what it sees is the worker's own affair.
LIMITS = ("memory_bytes", "cpu_s", "processes", "file_bytes", "open_files")

#: Seconds for trying whether a jail stands here.
PROBE_S = 60.0

#: Characters of a fingerprint that are shown.
_SHOWN = 12

_PROBE = """
import json
from autograder.grading.engine.jail import JailUnavailable, probe
try:
    print(json.dumps([probe(), None]))
except JailUnavailable as error:
    print(json.dumps([None, str(error)]))
"""


class WorkerUnfit(EngineError):
    """A worker cannot be used; the message says why."""


def wanted(spec: JailSpec, *, jailed: bool, allow_unsandboxed: bool) -> str:
    """Return what a command wants of its workers, as JSON text.

    Parameters
    ----------
    spec : JailSpec
        Limits of each jail, in bytes, seconds and counts.
    jailed : bool
        Whether learner code is to run in a jail.
    allow_unsandboxed : bool
        Whether a worker that cannot make a jail may go without.

    Examples
    --------
    >>> import json
    >>> told = json.loads(wanted(JailSpec(readable=()), jailed=True, allow_unsandboxed=False))
    >>> told["limits"]["processes"]
    64
    """
    return json.dumps(
        {
            "fingerprint": fingerprint(),
            "versions": versions(),
            "limits": {name: getattr(spec, name) for name in LIMITS},
            "jailed": jailed,
            "allow_unsandboxed": allow_unsandboxed,
        }
    )


def why_unfit(want: str) -> str | None:
    """Return why this worker cannot do what a command wants, or None if it can."""
    told = json.loads(want)
    if told["fingerprint"] != fingerprint():
        return _difference(told)
    if told["jailed"] and not told["allow_unsandboxed"]:
        return wall_here()[1]
    return None


def _difference(told: dict[str, Any]) -> str:
    ours, theirs = versions(), told["versions"]
    parts = [
        f"{name} {ours.get(name, 'none')} there, {theirs.get(name, 'none')} here"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    what = "; ".join(parts) or "the course's own packages differ"
    return (
        f"its environment is not that of this command: fingerprint {fingerprint()[:_SHOWN]} "
        f"there, {told['fingerprint'][:_SHOWN]} here ({what}). Install the same on both, and "
        "start the worker again."
    )


@functools.cache
def wall_here() -> tuple[str | None, str | None]:
    """Return which wall stands on this worker, or None and why there is none; tried once.

    In a process of its own: the trial forks, and a worker has many threads.
    """
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROBE_S,
        check=False,
    )
    try:
        wall, reason = json.loads(tried.stdout)
    except ValueError:
        last = (tried.stderr.strip().splitlines() or ["no reason"])[-1]
        return None, f"whether learner code can be jailed could not be tried: {last}"
    return wall, reason


def run_job(job: bytes, want: str) -> bytes:
    """Run one job, given and returned as JSON.

    Raises
    ------
    WorkerUnfit
        If this worker cannot do what the command wants.
    EngineError
        If the engine failed at this job.
    """
    reason = why_unfit(want)
    if reason is not None:
        raise WorkerUnfit(f"a worker on {os.uname().nodename} cannot be used: {reason}")
    with _SERVICES.use(want) as service:
        return json.dumps(trials.grade(json.loads(job), service.run)).encode()


class Services:
    """The engines of this worker, one for each set of limits, kept from job to job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Service] = {}
        self._users: Counter[str] = Counter()

    @contextlib.contextmanager
    def use(self, want: str) -> Iterator[Service]:
        """Lend the engine for what a command wants; one that nobody uses gives way to it."""
        told = json.loads(want)
        wall = (wall_here()[0] if told["jailed"] else None) or NO_WALL
        key = json.dumps([told["limits"], wall], sort_keys=True)
        with self._lock:
            if key not in self._kept:
                for other in [other for other in self._kept if not self._users[other]]:
                    self._kept.pop(other).close()
                self._kept[key] = Service(_spec(told["limits"]), wall=wall)
            service = self._kept[key]
            self._users[key] += 1
        try:
            yield service
        finally:
            with self._lock:
                self._users[key] -= 1

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()


def _spec(limits: dict[str, Any]) -> JailSpec:
    home = Path.home()
    # Not seen anyway, unless it lies within an installation that is.
    hidden = ("/usr/src", *([str(home)] if len(home.parts) > 1 else []))
    return JailSpec(readable=(), hidden=hidden, **limits)


_SERVICES = Services()
