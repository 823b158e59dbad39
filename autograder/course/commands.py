"""Calling nbgrader's own commands as a person in the course folder would."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

#: Seconds without news after which a command that grades a class is taken for hung.
TIMEOUT_S = 3600.0

#: Seconds between two looks at how far a command is.
LOOK_S = 0.2

#: Seconds that a command gets to end by itself after it was asked to.
GRACE_S = 5.0


def environment() -> dict[str, str]:
    """Return the environment with this interpreter's programs first on PATH.

    nbgrader looks up ``alembic`` there when it creates a gradebook.
    """
    programs = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")])}


def nbgrader() -> list[str]:
    """Return what starts nbgrader, with this interpreter."""
    return [sys.executable, "-m", "nbgrader"]


def run_nbgrader(
    root: Path,
    *arguments: str,
    timeout_s: float | None = None,
    log: Path | None = None,
    news: Callable[[], bool] = lambda: False,
) -> subprocess.CompletedProcess[str]:
    """Run ``nbgrader <arguments>`` in the course folder `root` and return how it ended.

    Output goes through files, so that no process a submission left behind can
    keep the command from ending by holding a pipe open.

    Parameters
    ----------
    root : Path
        The course folder.
    *arguments : str
        What follows ``nbgrader``.
    timeout_s : float, optional
        Seconds without news after which the command is ended, an hour by default.
    log : Path, optional
        Where all output goes, and stays; it is returned as `stderr` too.
    news : callable
        Called now and then, the last time when the command has ended; tells whether
        something happened since it was called last.

    Raises
    ------
    TimeoutError
        If there was no news for too long.
    """
    patience_s = TIMEOUT_S if timeout_s is None else timeout_s
    with _streams(log) as (out, err), _started(root, arguments, out, err) as process:
        last_news = time.monotonic()
        while True:
            ended = _ended(process)  # asked first: what it did before is then all it did
            if news():
                last_news = time.monotonic()
            if ended:
                break
            if time.monotonic() - last_news > patience_s:
                raise TimeoutError(f"nbgrader {arguments[0]} did nothing for {patience_s:g} s")
        said = [_read(out) if out is not err else "", _read(err)]
        return subprocess.CompletedProcess(process.args, process.returncode, *said)


@contextlib.contextmanager
def _streams(log: Path | None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open the files that take what a command says on its two streams."""
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w+b") as stream:
            yield stream, stream
    else:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            yield out, err


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _ended(process: subprocess.Popen[Any]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LOOK_S)
    return process.returncode is not None


@contextlib.contextmanager
def _started(
    root: Path, arguments: tuple[str, ...], out: IO[bytes], err: IO[bytes]
) -> Iterator[subprocess.Popen[Any]]:
    """Start nbgrader; whatever happens, it has ended when the block is left."""
    process = subprocess.Popen(
        [*nbgrader(), *arguments],
        cwd=root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            process.kill()
            process.wait()
