"""Who may write what grading writes: submissions' results, gradebook, pages.

A watcher's batch and a regrade have the course for themselves. Commands that a person types,
and formgrader, may work beside each other, as nbgrader's do, but not beside those.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbgrader.converters.base import NbGraderException

from autograder.course.folder import Course
from autograder.files import Held, held

#: Seconds that a command waits for a watcher's batch, which takes seconds, or a regrade.
PATIENCE_S = 120.0


def alone(
    course: Course, who: str, patience_s: float = 0.0
) -> contextlib.AbstractContextManager[None]:
    """Have a course for oneself.

    Raises
    ------
    Held
        If somebody is grading in it for longer than `patience_s`, in seconds.
    """
    return held(_file(course), who, patience_s=patience_s)


def beside_others(converter: Any, who: str, log: logging.Logger) -> Callable[[], None]:
    """Have a course for one of nbgrader's converters, from now on until it has converted.

    Parameters
    ----------
    converter : BaseConverter
        Asks for its exporter, and will then convert.
    who : str
        What command this is.
    log : Logger
        Told if somebody has to be waited for.

    Returns
    -------
    callable
        Lets go before that, if it will not convert.

    Raises
    ------
    NbGraderException
        If a watcher's batch or a regrade goes on for longer than `PATIENCE_S`.
    """
    taken = contextlib.ExitStack()
    try:
        taken.enter_context(
            held(
                _file(Course(Path(converter.coursedir.root))),
                who,
                shared=True,
                patience_s=PATIENCE_S,
                waiting=lambda other: log.warning("Waiting: %s is at work in this course", other),
            )
        )
    except Held as error:
        told = f"{error} is at work in this course: nothing was done; try again when it has ended"
        log.error(told)
        raise NbGraderException(told) from None
    convert = converter.convert_notebooks

    @functools.wraps(convert)
    def convert_notebooks() -> None:
        with taken:
            convert()

    converter.convert_notebooks = convert_notebooks
    return taken.close


def _file(course: Course) -> Path:
    return course.state / "lock"
