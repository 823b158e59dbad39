"""Whether this machine can build, grade and give feedback, and what to do if it cannot."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from autograder.course import Course
from autograder.course.commands import environment
from autograder.course.settings import (
    SettingsError,
    gradebook_file,
    gradebook_url,
    needs_jail,
    settings,
    zone_of,
)
from autograder.findings import Finding
from autograder.gradebook.reader import opened
from autograder.late.times import TimeNotUnderstood, shown, zone_named
from autograder.machine.setup_venv import NEWEST, OLDEST
from autograder.wording import few, first_line

LOCK = "requirements.lock"

#: Free bytes that a class's executed notebooks, feedback and gradebook want at least, and how
#: many times the size of what was handed in they grow to.
DISK_BYTES = 2**30
DISK_TIMES_SUBMITTED = 4

#: Free bytes that one submission's private files want where temporary files go.
TEMPORARY_BYTES = 2**28

#: Names under which Chromium is installed.
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def python() -> Finding:
    """Say whether this Python is one that the pinned packages support."""
    have = sys.version_info[:2]
    found = f"{have[0]}.{have[1]} ({sys.executable})"
    if OLDEST <= have <= NEWEST:
        return Finding("Python", "ok", found)
    lowest, highest = ("{}.{}".format(*bound) for bound in (OLDEST, NEWEST))
    advice = f"make PYTHON=/path/to/python{highest} setup (any of {lowest} to {highest})"
    return Finding("Python", "fault", f"{found} is not {lowest} to {highest}", advice)


def _pins(lock: Path) -> Iterator[Requirement]:
    """Yield the exact versions that the lock asks for on this platform."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(InvalidRequirement):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate():
                yield pin


def _difference(pin: Requirement) -> str:
    """Return how the installed version differs from its pin, empty if it does not."""
    try:
        have = version(pin.name)
    except PackageNotFoundError:
        return f"{pin.name} is not installed"
    wanted = str(pin.specifier).removeprefix("==")
    return "" if pin.specifier.contains(have) else f"{pin.name} is {have}, not {wanted}"


def packages(course: Course) -> Finding:
    """Say whether the installed packages are those of the lock file."""
    lock = course.root / LOCK
    if not lock.is_file():
        return Finding("packages", "note", f"there is no {LOCK} to compare with")
    pins = list(_pins(lock))
    different = [told for told in map(_difference, pins) if told]
    if not different:
        return Finding("packages", "ok", f"{len(pins)}, all as pinned in {LOCK}")
    return Finding("packages", "fault", few(different, 3), f"make setup, or: pip install -r {LOCK}")


def alembic() -> Finding:
    """Say whether nbgrader finds alembic, without which it cannot create a gradebook."""
    named = shutil.which("alembic")
    if named:
        return Finding("alembic", "ok", named)
    beside = shutil.which("alembic", path=environment()["PATH"])
    activate = "activate the environment: source .venv/bin/activate"
    if beside:
        found = f"{beside}, not on PATH: servemath finds it, plain nbgrader does not"
        return Finding("alembic", "note", found, activate)
    return Finding("alembic", "fault", "not on PATH", f"{activate}; if it is not there: make setup")


def _write_lock(file: Path) -> None:
    """Take SQLite's write lock and give it back; raises sqlite3.Error if it cannot be had."""
    address = f"{file.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, timeout=1, uri=True, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE servemath_doctor (x)")
        connection.execute("ROLLBACK")


def _writable_folder(folder: Path) -> None:
    """Write a file into `folder` and remove it; raises OSError if that fails."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"servemath")
        stream.flush()


def gradebook(course: Course) -> Finding:
    """Say whether the gradebook, or the folder it will be created in, can be written."""
    try:
        address = gradebook_url(course)
    except SettingsError as error:
        return Finding("gradebook", "fault", str(error), "correct nbgrader_config.py")
    file = gradebook_file(address)
    if file is None:
        return _server(make_url(address))
    try:
        # SQLite keeps its journal beside the database: the folder must be writable too.
        _writable_folder(file.parent)
        if file.is_file():
            _write_lock(file)
            return Finding("gradebook", "ok", f"{file.name} can be written")
    except OSError as error:
        advice = "give this account the right to write there, or grade in another checkout"
        return Finding("gradebook", "fault", f"{file.parent}: {error.strerror or error}", advice)
    except sqlite3.Error as error:
        advice = (
            "end other programs that use it (formgrader, nbgrader); "
            "if it is damaged, put back a copy of it"
        )
        return Finding("gradebook", "fault", f"{file.name}: {error}", advice)
    return Finding("gradebook", "note", "there is none yet", "servemath release makes it")


def _server(address: URL) -> Finding:
    """Say whether a database server answers."""
    shown = address.render_as_string(hide_password=True)
    try:
        with contextlib.closing(create_engine(address).connect()):
            return Finding("gradebook", "ok", f"{shown} answers")
    except (SQLAlchemyError, ImportError) as error:
        advice = "start it, or correct c.CourseDirectory.db_url in nbgrader_config.py"
        return Finding("gradebook", "fault", f"{shown}: {first_line(error)}", advice)


def due_dates(course: Course) -> Finding:
    """Say when assignments are due, as the gradebook has it and in the course's zone."""
    try:
        named = settings(course).Exchange.get("timezone")
        if named:
            zone_named(str(named))
        with opened(course) as gradebook:
            due = {entry.name: entry.duedate for entry in gradebook.assignments if entry.duedate}
    except TimeNotUnderstood as error:
        return Finding("due dates", "fault", str(error), "correct c.Exchange.timezone")
    except (ValueError, SQLAlchemyError):
        return Finding("due dates", "note", "not known without a gradebook")
    if not due:
        return Finding("due dates", "ok", "none, so nothing is late")
    zone = zone_of(course)
    told = "; ".join(f"{name}: {shown(time, zone)}" for name, time in due.items())
    if zone is UTC:
        advice = 'c.Exchange.timezone = "Europe/Berlin", say, shows them in the course\'s zone too'
        return Finding("due dates", "note", told, advice)
    return Finding("due dates", "ok", told)


def _size(folder: Path) -> int:
    """Return how many bytes the files in `folder` hold."""
    sizes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                sizes += os.lstat(Path(parent, name)).st_size
    return sizes


def disk(course: Course) -> Finding:
    """Say whether there is room for a class's executed notebooks and feedback."""
    wanted = max(DISK_BYTES, DISK_TIMES_SUBMITTED * _size(course.submitted))
    temporary = Path(tempfile.gettempdir())
    tight = [
        f"{place}: {_gib(free)} free, {_gib(needed)} wanted"
        for place, needed in ((course.root, wanted), (temporary, TEMPORARY_BYTES))
        if (free := shutil.disk_usage(place).free) < needed
    ]
    if tight:
        return Finding("disk", "fault", "; ".join(tight), "make room there")
    return Finding("disk", "ok", f"{_gib(shutil.disk_usage(course.root).free)} free")


def _gib(size: int) -> str:
    """Return a number of bytes in GiB.

    >>> _gib(3 * 2**29)
    '1.5 GiB'
    """
    return f"{size / 2**30:.1f} GiB"


def jail(course: Course) -> Finding:
    """Say whether learners' code can be jailed here."""
    from autograder.grading.engine.jail import JailUnavailable, describe, probe

    try:
        return Finding("jail", "ok", f"learners' code can be shut in by {describe(probe())}")
    except JailUnavailable as error:
        reason = str(error)
    try:
        needed = needs_jail(course)
    except SettingsError:
        needed = True
    return Finding("jail", "fault" if needed else "note", reason)


def release(course: Course) -> Finding:
    """Say whether ``release/`` is what the built notebooks give."""
    from autograder.check import looks
    from autograder.check.chapter import Chapter

    findings = [looks.release(Chapter(course, name)) for name in course.chapters()]
    faults = [finding for finding in findings if finding.state == "fault"]
    if faults:
        found = "; ".join(f"{finding.subject} is {finding.found}" for finding in faults)
        return Finding("release", "fault", found, "servemath release")
    return Finding("release", "ok", f"{len(findings)} chapters as their notebooks give them")


def browser() -> Finding:
    """Say whether the browser tests can run; nothing else needs a browser."""
    named = os.environ.get("CHROMIUM")
    names = [named] if named else CHROMIUM_NAMES
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        advice = "on Debian: apt install chromium; elsewhere: CHROMIUM=/path/to/chromium"
        return Finding("browser", "note", "no Chromium; only make test-browser needs it", advice)
    if importlib.util.find_spec("playwright") is None:
        found = f"{path}; Playwright comes with make test-browser"
        return Finding("browser", "note", found)
    return Finding("browser", "ok", path)


def examinations(course: Course) -> list[tuple[str, Callable[[], Finding]]]:
    """Return what there is to look at, as pairs of a name and the look itself."""
    return [
        ("Python", python),
        ("packages", partial(packages, course)),
        ("alembic", alembic),
        ("gradebook", partial(gradebook, course)),
        ("due dates", partial(due_dates, course)),
        ("disk", partial(disk, course)),
        ("jail", partial(jail, course)),
        ("release", partial(release, course)),
        ("browser", browser),
    ]
