"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["replace_bytes", "replace_text"]


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
