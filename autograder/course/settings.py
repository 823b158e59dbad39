"""What a course's own `nbgrader_config.py` says."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from traitlets.config.loader import Config, PyFileConfigLoader

from autograder.course.folder import Course
from autograder.late.times import TimeNotUnderstood, zone_named

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
    """Return the address of the gradebook that nbgrader's commands use in the course folder.

    A relative file is one in the course folder, where the commands run.

    Raises
    ------
    SettingsError
        If the configuration cannot be read, or names no address.
    """
    there = (course.root / CONFIG).is_file()
    configured = settings(course).CourseDirectory.get("db_url") if there else None
    if not configured:
        return course.database_url
    try:
        url = make_url(str(configured))
    except ArgumentError as error:
        raise SettingsError(f"{CONFIG}: c.CourseDirectory.db_url: {error}") from error
    file = _sqlite_file(url)
    if file is not None:
        url = url.set(database=str(course.root / file))
    return url.render_as_string(hide_password=False)


def gradebook_file(url: str) -> Path | None:
    """Return the file that an address names, None for one of a database server."""
    return _sqlite_file(make_url(url))


def _sqlite_file(url: URL) -> Path | None:
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name in ("", ":memory:") or name.startswith("file:"):
        return None
    return Path(name)


def zone_in(config: Config) -> tzinfo:
    """Return the course's zone, as the configuration names it for nbgrader; else UTC."""
    name = config.Exchange.get("timezone") or config.NbGraderAPI.get("timezone")
    try:
        return zone_named(str(name)) if name else UTC
    except TimeNotUnderstood:
        return UTC  # servemath doctor tells


def zone_of(course: Course) -> tzinfo:
    """Return the course's zone; UTC where no configuration names one."""
    return zone_in(settings(course)) if (course.root / CONFIG).is_file() else UTC


def needs_jail(course: Course) -> bool:
    """Tell whether grading here takes a jail on this machine.

    It does not where the course allows to go on without one, and where other machines
    run the submissions.
    """
    execute = settings(course).ExecuteGraded
    elsewhere = execute.get("dask_scheduler") or os.environ.get("SERVEMATH_DASK_SCHEDULER")
    return not (execute.get("allow_unsandboxed") or elsewhere)
