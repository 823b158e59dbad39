"""What a course's own `nbgrader_config.py` says."""

from __future__ import annotations

import os

from traitlets.config.loader import Config, PyFileConfigLoader

from autograder.course import Course

CONFIG = "nbgrader_config.py"


class SettingsError(ValueError):
    """`nbgrader_config.py` cannot be read; the message says why."""


def settings(course: Course) -> Config:
    """Return the configuration that nbgrader's commands read in the course folder.

    Raises
    ------
    SettingsError
        If the file is missing or stops with an error.
    """
    loader = PyFileConfigLoader(CONFIG, path=str(course.root))
    try:
        return loader.load_config()
    except Exception as error:
        raise SettingsError(f"{CONFIG}: {type(error).__name__}: {error}") from error


def gradebook_url(course: Course) -> str:
    """Return the address of the gradebook: the configured one, else the course's own file."""
    configured = settings(course).CourseDirectory.get("db_url")
    return str(configured) if configured else f"sqlite:///{course.database}"


def needs_jail(course: Course) -> bool:
    """Tell whether grading here takes a jail on this machine.

    It does not where the course allows to go on without one, and where other machines
    run the submissions.
    """
    execute = settings(course).ExecuteGraded
    elsewhere = execute.get("dask_scheduler") or os.environ.get("SERVEMATH_DASK_SCHEDULER")
    return not (execute.get("allow_unsandboxed") or elsewhere)
