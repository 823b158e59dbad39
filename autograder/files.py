"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path

from servemath_helpers._files import replace_bytes


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
