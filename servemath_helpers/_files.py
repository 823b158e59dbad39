"""Writing files so that a reader never sees half of one, and two writers lose nothing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["alone", "replace_bytes", "replace_text"]

#: Whoever holds a file longer is gone: a write takes milliseconds.
STALE_S = 10.0


def replace_text(path: Path, text: str) -> None:
    """Replace a file's content in one step: either the old one is there or the new one."""
    replace_bytes(path, text.encode("utf-8"))


def replace_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Do the same for bytes; `mode` says who may read the file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a file: two notebooks that read it, change it and write it must not lose a change."""
    lock = path.with_suffix(path.suffix + ".lock")
    deadline = time.monotonic() + STALE_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                lock.unlink(missing_ok=True)
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
