"""Run notebooks: a zygote, and as many judges at once as there are slots.

The same code serves in the command and on a Dask worker: a job goes in and a
result comes out, both plain JSON data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autograder.grading.engine.channel import (
    MAX_TRUSTED_MESSAGE,
    Channel,
    ChannelClosed,
    ChannelGarbage,
    ChannelTimeout,
)
from autograder.grading.engine.jail import NAMESPACES, JailSpec, describe
from autograder.grading.engine.withheld import PACKAGE, package_without

#: Imported before forking, so that no submission pays for them.
PRELOAD = (
    "collections", "copy", "dataclasses", "decimal", "fractions", "functools", "heapq",
    "itertools", "math", "random", "statistics", "typing", "warnings",
    "numpy", "numpy.linalg", "numpy.random",
    "matplotlib.pyplot",
    # Of the course's package only what holds no answer: answers may be withheld from a jail.
    f"{PACKAGE}.notebook", f"{PACKAGE}.checks",
)  # fmt: skip

#: Seconds for a zygote to import what it preloads.
START_S = 120.0

#: Seconds for a zygote to end, with every jail: more than it gives them.
END_S = 90.0

#: Beyond a job's own limits, before a judge is given up.
MARGIN_S = 60.0


class EngineError(Exception):
    """The engine itself failed; the submission is not to blame, or beyond all limits."""


class EngineGone(EngineError):
    """The engine ended before the job came to it."""


class JobTooLong(EngineError):
    """A job went on beyond all its limits; another try would not end sooner."""


def clean_environment() -> dict[str, str]:
    """Return the environment that learner code may see: nothing of the grader's own."""
    kept = {name: os.environ[name] for name in ("TZ", "PYTHONPATH") if name in os.environ}
    places = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        **kept,
        "PATH": os.pathsep.join(places),
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/tmp",
        "NBGRADER_EXECUTION": "autograde",
        "PYTHONDONTWRITEBYTECODE": "1",
        # One thread each: the parent must have none to be forked, and cores are shared.
        **dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
            ),
            "1",
        ),
    }


def package_folder() -> Path:
    """Return where the course's package is installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EngineError(f"the package {PACKAGE} is not installed here")
    return Path(spec.origin).parent


class ZygoteProcess:
    """A running zygote; see `autograder.grading.engine.zygote`."""

    def __init__(self, spec: JailSpec, *, wall: str, preload: Iterable[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="servemath-engine-")
        self._control, theirs = socket.socketpair()
        self._log = Path(self._folder.name, "log")
        settings = {
            "preload": list(preload),
            "wall": wall,
            "spec": dataclasses.asdict(spec),
            "profile": str(Path(self._folder.name, "profile")),
            "temporary": tempfile.gettempdir(),
        }
        command = [sys.executable, "-P", "-m", "autograder.grading.engine.zygote"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                env=clean_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        with contextlib.suppress(ChannelClosed):  # why it ended is told to whoever needs it
            Channel(self._control, MAX_TRUSTED_MESSAGE).send(settings)
        self._lock = threading.Lock()
        self._ready = False

    def _wait_until_ready(self) -> None:
        """Wait until it has imported everything; the caller holds the lock."""
        if self._ready:
            return
        try:
            self._control.settimeout(START_S)
            self._ready = self._control.recv(1) == b"R"
            self._control.settimeout(None)
        except OSError:  # it did not say so in time, or was closed meanwhile
            self._ready = False
        if not self._ready:
            said = []
            with contextlib.suppress(OSError):
                said = self._log.read_text("utf-8", "replace").strip().splitlines()
            raise EngineError(f"the grading engine did not start: {(said or ['no reason'])[-1]}")

    def start_judge(self) -> socket.socket:
        """Return this side's end of a new judge's channel."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            self._wait_until_ready()
            try:
                socket.send_fds(self._control, [b"J"], [theirs.fileno()])
            except OSError:
                raise EngineGone("the grading engine is gone") from None
        return ours

    def close(self) -> None:
        """End it and everything it started."""
        self._control.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)
        self._folder.cleanup()


class Service:
    """Runs jobs; safe to call from several threads at once.

    Parameters
    ----------
    spec : JailSpec
        Limits of each jail; what it may read is filled in here.
    wall : str
        What stands around learner code, as `jail.probe` answers, or `jail.NO_WALL`.
    """

    def __init__(self, spec: JailSpec, *, wall: str) -> None:
        self._wall = wall
        self._described = describe(wall)
        self._package = package_folder()
        readable = [sys.prefix, sys.base_prefix, str(self._package)]
        user_site = site.getusersitepackages()
        if user_site in sys.path:
            readable.append(user_site)
        # Where everything is installed in one place, the bank lies among what is readable.
        staff = str(Path(__file__).resolve().parents[2])
        self._spec = dataclasses.replace(
            spec, readable=(*spec.readable, *readable), hidden=(*spec.hidden, staff)
        )
        self._zygote: ZygoteProcess | None = None
        self._copies: dict[frozenset[str], Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="servemath-withheld-")
        Path(self._folder.name).chmod(0o755)  # a jail may have another user
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start importing now, so that the first job need not wait for it."""
        self._running()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            if self._zygote is not None:
                self._zygote.close()
                self._zygote = None
        self._folder.cleanup()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _see_open(self) -> None:
        if self._closed:  # a job that still ran must not start another
            raise EngineError("the grading engine was closed")

    def _running(self) -> ZygoteProcess:
        with self._lock:
            self._see_open()
            if self._zygote is None:
                self._zygote = ZygoteProcess(self._spec, wall=self._wall, preload=PRELOAD)
            return self._zygote

    def _drop(self, zygote: ZygoteProcess) -> None:
        """Let go of a zygote that failed; the next job starts a new one."""
        with self._lock:
            if self._zygote is zygote:
                self._zygote = None
        zygote.close()

    def _copy_without(self, answers: Iterable[str]) -> Path:
        key = frozenset(answers)
        with self._lock:
            self._see_open()
            if key not in self._copies:
                folder = Path(tempfile.mkdtemp(dir=self._folder.name))
                folder.chmod(0o755)
                self._copies[key] = package_without(key, folder) / PACKAGE
            return self._copies[key]

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one job; return the judge's result, and which wall stood.

        Raises
        ------
        EngineError
            If the engine failed twice at this job.
        """
        try:
            return self._run(job)
        except JobTooLong:
            raise
        except EngineError:
            return self._run(job)

    def _start_judge(self) -> socket.socket:
        while True:
            zygote = self._running()
            try:
                return zygote.start_judge()
            except EngineGone:  # it was killed: another one serves as well
                self._drop(zygote)
            except EngineError:
                self._drop(zygote)
                raise

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        copy = str(self._copy_without(job["withheld"]))
        # An installation behind a link is seen under both names.
        places = {str(self._package), str(self._package.resolve())}
        overlays = [(copy, place) for place in sorted(places)]
        path = [""]
        if self._wall != NAMESPACES:  # nothing can be mounted over the package
            path = ["", str(Path(copy).parent)]
        limits = job["limits"]
        seconds = limits["notebook_s"] + MARGIN_S + 5 * limits["max_restarts"]
        deadline = time.monotonic() + seconds
        channel = Channel(self._start_judge(), MAX_TRUSTED_MESSAGE)
        # A judge whose channel is closed is ended by the zygote.
        with contextlib.closing(channel):
            try:
                channel.send({**job, "overlays": overlays, "path": path}, deadline)
                result: dict[str, Any] = channel.receive(deadline)
            except (ChannelClosed, ChannelGarbage):
                raise EngineError("the process that judges it ended early") from None
            except ChannelTimeout:
                raise JobTooLong(f"not done after {seconds:.0f} s") from None
        if "crash" in result:
            raise EngineError(result["crash"].strip().splitlines()[-1])
        return {**result, "wall": self._described}
