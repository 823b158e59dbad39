"""What learners would receive now, without a release: for checks and for the bundle."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory

from autograder.course import Course
from autograder.course.settings import settings


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


def fresh_release(course: Course, chapter: str) -> dict[str, str]:
    """Return what learners would receive now, by file name; nothing of the course is touched.

    nbgrader's own conversion, in this process and without a gradebook: a tenth of a
    second where the command takes two.

    Parameters
    ----------
    course : Course
        The course folder.
    chapter : str
        The chapter; its notebooks must have been built.

    Raises
    ------
    ValueError
        If nbgrader refuses the notebooks.
    """
    with tempfile.TemporaryDirectory(prefix="servemath-") as name:
        folder = Path(name)
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
