"""What an author wants to know before a change is shared, in seconds.

Is every notebook what its text gives, is the release what the notebooks give, can
every exercise be solved, and does every known wrong answer lose points.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory

from autograder import bank
from autograder.authoring.build import build_text, from_text, serialise
from autograder.authoring.reference import glossary_page, symbols_page
from autograder.bank import runner
from autograder.cells import points_by_exercise
from autograder.course import Course
from autograder.course.settings import settings
from autograder.findings import Finding
from autograder.wording import few, first_line

#: Pictures are compared as places: their bytes depend on fonts and platform.
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def _without_outputs(notebook: NotebookNode) -> str:
    """Return the notebook's text as if it had never run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return serialise(notebook)


def _is_current(text: Path, execute: bool) -> bool:
    """Tell whether the notebook beside `text` is what the text gives."""
    built = text.with_suffix(".ipynb")
    if execute:
        committed = _PICTURE.sub("PNG", built.read_text(encoding="utf-8"))
        return committed == _PICTURE.sub("PNG", build_text(text))
    return _without_outputs(nbformat.read(built, as_version=4)) == serialise(from_text(text))


def notebooks(course: Course, chapter: str, execute: bool = False) -> Finding:
    """Say whether a chapter's notebooks are what their text gives.

    Parameters
    ----------
    course : Course
        The course folder.
    chapter : str
        The chapter.
    execute : bool
        Run theory again and compare its outputs too; otherwise outputs are not looked at.
    """
    subject = f"notebooks of {chapter}"
    texts = course.texts(chapter)
    advice = f"servemath build {chapter} --only notebooks"
    missing = [text.name for text in texts if not text.with_suffix(".ipynb").is_file()]
    if missing:
        return Finding(subject, "fault", f"not built yet: {few(missing)}", advice)
    try:
        stale = [text.name for text in texts if not _is_current(text, execute)]
    except Exception as error:  # the author's text, numbers in prose, code of theory
        advice = "correct the text: the built notebook cannot be compared with it"
        return Finding(subject, "fault", first_line(error), advice)
    if stale:
        return Finding(subject, "fault", f"not what the text gives: {few(stale)}", advice)
    seen = "outputs included" if execute else "outputs not looked at"
    return Finding(subject, "ok", f"{len(texts)} as the text gives them, {seen}")


def pages(course: Course) -> Finding:
    """Say whether the pages that are made are what they are made from gives."""
    from autograder.authoring.command_page import page, place

    docs = course.root / "docs"
    wanted = {
        docs / "symbols.md": symbols_page(),
        docs / "glossary.md": glossary_page(),
        place(course): page(),
    }
    stale = [str(path.relative_to(course.root)) for path in wanted if _text(path) != wanted[path]]
    if stale:
        found = f"not what they are made from gives: {few(stale)}"
        return Finding("pages", "fault", found, "servemath build --only notebooks")
    return Finding("pages", "ok", "symbols, glossary and command line are up to date")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


class _Kept(logging.Handler):
    """Keeps messages, so that nbgrader's log is shown only where it explains something."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self._messages.append(record.getMessage().strip())

    def reason(self) -> str:
        """Return the error that came first, without the way it took."""
        traces = [text for text in self._messages if text.startswith("Traceback")]
        lines = "\n".join(traces[:1] or self._messages).splitlines()
        return lines[-1] if lines else "it does not say why"


def fresh_release(course: Course, chapter: str, folder: Path) -> dict[str, str]:
    """Return what learners would receive now, by file name; nothing of the course is touched.

    nbgrader's own conversion, in this process and without a gradebook: a tenth of a
    second where the command takes two.

    Parameters
    ----------
    course : Course
        The course folder.
    chapter : str
        The chapter; its notebooks must have been built.
    folder : Path
        An empty folder to work in.

    Raises
    ------
    ValueError
        If nbgrader refuses the notebooks.
    """
    shutil.copytree(course.source / chapter, folder / "source" / chapter)
    config = settings(course)
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.assignment_id = chapter
    config.SaveCells.enabled = False
    log, kept = logging.Logger("servemath.check"), _Kept()
    log.addHandler(kept)
    arguments: dict[str, Any] = {"config": config, "log": log}
    converter = GenerateAssignment(
        coursedir=CourseDirectory(**arguments),
        no_database=True,
        create_assignment=True,
        force=True,
        **arguments,
    )
    try:
        converter.start()
    except NbGraderException as error:
        raise ValueError(kept.reason()) from error
    released = sorted((folder / "release" / chapter).glob("*.ipynb"))
    return {path.name: path.read_text(encoding="utf-8") for path in released}


def release(course: Course, chapter: str) -> Finding:
    """Say whether ``release/<chapter>`` is what the built notebooks give."""
    subject = f"release of {chapter}"
    committed = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((course.release / chapter).glob("*.ipynb"))
    }
    advice = f"servemath release {chapter}"
    if not committed:
        return Finding(subject, "fault", f"release/{chapter} holds no notebook", advice)
    with tempfile.TemporaryDirectory(prefix="servemath-") as folder:
        try:
            fresh = fresh_release(course, chapter, Path(folder))
        except ValueError as error:
            return Finding(
                subject,
                "fault",
                f"nbgrader refuses: {first_line(error)}",
                advice,
            )
    names = sorted(committed.keys() | fresh.keys())
    different = [name for name in names if committed.get(name) != fresh.get(name)]
    if different:
        found = f"not what the notebooks give: {few(different)}"
        return Finding(subject, "fault", found, advice)
    return Finding(subject, "ok", f"{len(fresh)} as the notebooks give them")


def _misjudged(
    notebook: NotebookNode, exercise: bank.Exercise, points: float
) -> Iterator[tuple[str, str]]:
    """Yield what the tests get wrong: a solution, and what happened to it."""
    own = runner.solution_source(notebook, exercise.slug)
    right = [("the solution in the text", own), *((s.name, s.code) for s in exercise.right)]
    for name, code in right:
        trial = runner.run(notebook, exercise.slug, code)
        if trial.total < points:
            yield name, f"right, and earns {trial.total:g} of {points:g}"
    for wrong in exercise.wrong:
        if runner.run(notebook, exercise.slug, wrong.code).total >= points:
            yield wrong.name, f"wrong, and earns all {points:g}"


def exercises(course: Course, chapter: str) -> Finding:
    """Say whether a chapter's tests judge its known solutions rightly.

    The solution in the text and the right ones of the bank must earn every point, the
    wrong ones must lose some.
    """
    subject = f"exercises of {chapter}"
    built = course.source / chapter / "exercises.ipynb"
    if not built.is_file():
        return Finding(subject, "fault", "not built yet", f"servemath build {chapter}")
    try:
        notebook, known = nbformat.read(built, as_version=4), bank.load(chapter)
        points = points_by_exercise(notebook)
    except ValueError as error:
        return Finding(
            subject,
            "fault",
            first_line(error),
            "correct the file that it names",
        )
    unknown = sorted(points.keys() ^ {exercise.slug for exercise in known})
    if unknown:
        found = f"in the notebook or in the bank, and not in both: {few(unknown)}"
        return Finding(subject, "fault", found, f"add or remove autograder/bank/{chapter}/*.toml")
    misjudged = [
        f"{exercise.slug}: {name} ({what})"
        for exercise in known
        for name, what in _misjudged(notebook, exercise, points[exercise.slug])
    ]
    if misjudged:
        advice = "correct the tests in exercises.py, or the bank"
        return Finding(subject, "fault", "; ".join(misjudged), advice)
    right = sum(1 + len(exercise.right) for exercise in known)
    wrong = sum(len(exercise.wrong) for exercise in known)
    found = f"{right} right solutions earn all points, {wrong} wrong ones lose some"
    return Finding(subject, "ok", found)


def everything(
    course: Course, chapters: list[str], execute: bool = False
) -> list[tuple[str, Callable[[], Finding]]]:
    """Return what there is to look at, as pairs of a name and the look itself.

    Parameters
    ----------
    course : Course
        The course folder.
    chapters : list of str
        The chapters.
    execute : bool
        Run theory again and compare its outputs too.
    """
    looks: list[tuple[str, Callable[[], Finding]]] = [("pages", partial(pages, course))]
    for chapter in chapters:
        looks += [
            (f"notebooks of {chapter}", partial(notebooks, course, chapter, execute)),
            (f"release of {chapter}", partial(release, course, chapter)),
            (f"exercises of {chapter}", partial(exercises, course, chapter)),
        ]
    return looks
