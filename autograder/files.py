"""Files that several programs use at once: read whole, written whole, held by one."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from servemath_helpers._files import replace_bytes

#: Seconds between two tries at what somebody else holds: shorter than the time for which a
#: watcher lets go between two batches.
TRY_EVERY_S = 0.02

#: What this process holds: a step of its work may ask for it again, shared.
_ours: set[str] = set()


def write_atomically(path: Path, text: str | bytes) -> bool:
    """Write `text` to `path` through a temporary file; return whether it changed.

    A file that already holds `text` is left untouched, time stamp included.
    """
    data = text.encode("utf-8") if isinstance(text, str) else text
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, data, 0o644)
    return True


class Held(RuntimeError):
    """Somebody else holds a file; the message says who."""


@contextlib.contextmanager
def held(
    path: Path,
    who: str,
    *,
    shared: bool = False,
    patience_s: float = 0.0,
    waiting: Callable[[str], None] = lambda _other: None,
) -> Iterator[None]:
    """Hold a file that stands for something, which the kernel lets go when this process ends.

    Not for what learners write at home: notebooks on any system hold files with
    `servemath_helpers._files.alone`.

    Parameters
    ----------
    path : Path
        The file; it is made if it is not there.
    who : str
        Who this is; process and machine are added.
    shared : bool
        Whether others may hold it that ask for it shared too.
    patience_s : float
        Seconds to wait for somebody else.
    waiting : callable
        Called once with who that is, if it comes to that.

    Raises
    ------
    Held
        If somebody else has it for longer.
    """
    import fcntl  # not on Windows, where people author but do not grade

    name = os.path.realpath(path)
    if shared and name in _ours:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline, told = time.monotonic() + patience_s, False
    with path.open("a+", encoding="utf-8", errors="replace") as stream:
        while True:
            try:
                fcntl.flock(stream, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Held(_holder(stream)) from None
                if not told:
                    waiting(_holder(stream))
                    told = True
                time.sleep(TRY_EVERY_S)
        with contextlib.suppress(OSError):  # a full disk: nobody is told who
            stream.truncate(0)
            stream.write(f"{who}, process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
        _ours.add(name)
        try:
            yield
        finally:
            _ours.discard(name)


def _holder(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read().strip() or "somebody"


def is_held(path: Path) -> bool:
    """Tell whether somebody holds a file alone."""
    import fcntl

    try:
        with path.open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
