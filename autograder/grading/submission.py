"""What was handed in: which files are taken as they are, and why one cannot be graded."""

from __future__ import annotations

import json
from pathlib import Path

from nbformat.reader import NotJSONError
from nbformat.validator import NotebookValidationError
from nbgrader.converters.base import NbGraderException

from autograder.grading.engine.codec import printable
from autograder.wording import first_line


class UngradableSubmission(NbGraderException):
    """A submission that cannot be graded, with the reason as a person would say it."""


def explain(error: BaseException, name: str) -> str:
    """Return one sentence that says why the notebook `name` could not be graded."""
    if isinstance(error, UngradableSubmission):
        return str(error)
    if isinstance(error, (NotJSONError, json.JSONDecodeError)):
        return f"{name} is not valid JSON (damaged or cut short)"
    if isinstance(error, UnicodeDecodeError):
        return f"{name} is not UTF-8 text, so it is not a notebook"
    if isinstance(error, NotebookValidationError):
        return f"{name} is JSON but not a valid notebook"
    return f"{name}: {type(error).__name__}: {first_line(error)}"[:200]


def check_file(path: Path) -> None:
    """Refuse a file that is not a notebook, and say what it is instead.

    Raises
    ------
    UngradableSubmission
        If the file is no file, empty, begins with a byte-order mark, or holds
        JSON of another shape.
    """
    if path.is_symlink():
        raise UngradableSubmission(f"{path.name} is a link, not a notebook")
    if not path.is_file():
        raise UngradableSubmission(f"{path.name} is not a file")
    data = path.read_bytes()
    if not data:
        raise UngradableSubmission(f"{path.name} is an empty file")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise UngradableSubmission(
            f"{path.name} begins with a byte-order mark; save it as UTF-8 without one"
        )
    notebook = json.loads(data)
    cells = notebook.get("cells", notebook.get("worksheets")) if isinstance(notebook, dict) else ()
    shaped = isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)
    if not shaped:
        raise UngradableSubmission(f"{path.name} is JSON but not a notebook")


def missing_from(folder: Path, graded: list[str]) -> list[str]:
    """Return the files of the notebooks `graded` that a submission lacks."""
    return [f"{name}.ipynb" for name in graded if not (folder / f"{name}.ipynb").exists()]


def missing_notebooks(missing: list[str], folder: Path) -> str:
    """Say which notebooks a submission lacks and what it holds instead."""
    names = sorted(printable(path.name, 80) for path in folder.iterdir())
    found = ", ".join(names[:20]) or "nothing"
    return f"{', '.join(missing)} is missing; the folder holds {found}"


def check_folder(folder: Path, graded: list[str]) -> None:
    """Refuse a submission without a notebook that carries points.

    nbgrader would score the missing notebook 0 in silence.
    """
    missing = missing_from(folder, graded)
    if missing:
        raise UngradableSubmission(missing_notebooks(missing, folder))


def not_copied(folder: Path) -> list[Path]:
    """Return what in a submission nbgrader must not copy: links, pipes, devices, odd names.

    It follows links, reads pipes, and logs names as they are, escape sequences included.
    """
    return [
        path
        for path in folder.rglob("*")
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or not path.name.isprintable()
    ]
