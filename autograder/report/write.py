"""Writing a class report: a page, and its numbers as CSV and JSON beside it."""

from __future__ import annotations

from pathlib import Path

from autograder.course import Course
from autograder.files import write_atomically
from autograder.gradebook.record import collect
from autograder.report.contents import gather
from autograder.report.page import render
from autograder.report.tables import as_csv, as_json


def write_report(
    course: Course, assignment: str, *, names: bool = False, out: Path | None = None
) -> Path:
    """Write the class report of an assignment and return the path of its page.

    A CSV and a JSON file with the same name stand beside it. Learners have
    pseudonyms that are the same in every report of the course.

    Parameters
    ----------
    course : Course
        The course folder.
    assignment : str
        The assignment's name.
    names : bool
        Call learners by their names and ids; the files are then readable by their
        owner alone.
    out : Path, optional
        The page, ending in ``.html``, or a folder for it. By default
        ``reports/<assignment>/report.html`` in the course, or ``report_with_names.html``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    NoGradebook
        If there is no gradebook, or it does not know the assignment.
    ValueError
        If `out` is no place for a page.
    """
    path = _place(course, assignment, names, out)
    contents = gather(course, collect(course, assignment), names)
    written = {".html": render(contents), ".csv": as_csv(contents), ".json": as_json(contents)}
    for suffix, text in written.items():
        target = path.with_suffix(suffix)
        write_atomically(target, text)
        if names:
            target.chmod(0o600)
    return path


def _place(course: Course, assignment: str, names: bool, out: Path | None) -> Path:
    name = "report_with_names.html" if names else "report.html"
    if out is None:
        return course.reports / assignment / name
    if out.is_dir():
        return out / name
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out must be a folder or end in .html, got {str(out)!r}")
    return out
