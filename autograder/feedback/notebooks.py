"""Reading notebooks that may be damaged, links, or beyond all size."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.cells import grade_id_of

#: A notebook beyond this many bytes is not read again for its outputs.
MOST_BYTES = 50_000_000


def read_json(path: Path) -> object:
    """Return what a file holds as JSON; None if it is missing, damaged, a link, or too large."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_notebook(path: Path) -> NotebookNode | None:
    """Return a notebook of our own, or None if it is missing or damaged."""
    if not isinstance(read_json(path), dict):
        return None
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception:  # whatever a damaged file makes of nbformat
        return None
    return notebook


def cells_without_id(path: Path) -> frozenset[str]:
    """Return the sources of a notebook's cells that have no `grade_id`."""
    return _cells_without_id(path, stamp(path))


def stamp(path: Path) -> int:
    """Return a file's time, so that what was read of it is not kept beyond a change."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=100)
def _cells_without_id(path: Path, _stamp: int) -> frozenset[str]:
    notebook = read_notebook(path)
    cells = notebook.cells if notebook else []
    return frozenset(cell.source for cell in cells if not grade_id_of(cell))
