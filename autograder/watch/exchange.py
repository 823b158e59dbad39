"""Submissions in nbgrader's exchange folder, as ``nbgrader submit`` leaves them."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from autograder.late.times import TimeNotUnderstood, utc_of
from autograder.watch.arrivals import Arrival

#: What ``nbgrader submit`` writes last but one, before it opens the folder to the instructor.
SECRET = "submission_secret.txt"

_OPEN_TO_ALL = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO


class ExchangeFolder:
    """The folder into which learners submit.

    Parameters
    ----------
    inbound : Path
        ``<exchange>/<course>/inbound``.
    assignments : sequence of str
        What is looked for.
    zone : tzinfo
        The course's own, for short names of zones.
    check_owner : bool
        Whether a submission must belong to the account that it names.
    """

    def __init__(
        self,
        inbound: Path,
        assignments: Sequence[str],
        zone: tzinfo = UTC,
        *,
        check_owner: bool = True,
    ) -> None:
        self._inbound, self._assignments = inbound, assignments
        self._zone, self._check_owner = zone, check_owner
        self._read: dict[str, Arrival | None] = {}
        #: Folders that are not taken, and why.
        self.refused: dict[str, str] = {}

    def arrivals(self) -> list[Arrival]:
        """Return what is there, known or not."""
        with os.scandir(self._inbound) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        read = {
            name: self._read[name] if name in self._read else self._arrival(name) for name in names
        }
        self._read = read
        self.refused = {name: why for name, why in self.refused.items() if name in read}
        return [found for found in read.values() if found is not None]

    def _arrival(self, name: str) -> Arrival | None:
        for assignment in self._assignments:
            student, found, rest = name.partition(f"+{assignment}+")
            if not found:
                continue
            why = self._why_not(student, name)
            if why:
                self.refused[name] = why
                return None
            said = _time_in(rest, self._zone)
            return Arrival(student, assignment, name, self._inbound / name, said)
        return None

    def _why_not(self, student: str, name: str) -> str:
        if not is_plain_name(student):
            return "it names nobody whose name can be a folder's"
        return not_theirs(student, self._inbound / name) if self._check_owner else ""

    @property
    def may_get_better(self) -> bool:
        """Whether something cannot be read that may still be on its way."""
        return False

    def is_whole(self, arrival: Arrival) -> bool:
        """Tell whether nbgrader has written all of it: it opens the folder to all at its end."""
        try:
            mode = arrival.path.lstat().st_mode
            return mode & _OPEN_TO_ALL == _OPEN_TO_ALL and (arrival.path / SECRET).is_file()
        except OSError:
            return False

    def signature(self, arrival: Arrival) -> object:
        """Return sizes and times of its files."""
        found = []
        for place, _, names in os.walk(arrival.path):
            for name in names:
                about = os.lstat(os.path.join(place, name))  # noqa: PTH118
                found.append((place, name, about.st_size, about.st_mtime_ns))
        return sorted(found)


def not_theirs(student: str, folder: Path) -> str:
    """Say why a submission is not the learner's whom its name names; empty if it is.

    Everybody may make a folder of any name in the exchange; nobody can give it to somebody else.
    """
    try:
        owner = pwd.getpwuid(folder.lstat().st_uid).pw_name
    except (KeyError, OSError):
        owner = "nobody known here"
    if owner == student:
        return ""
    return (
        f"it says that it is {student}'s and belongs to {owner}; where accounts and "
        "names of learners differ, set c.ExchangeCollect.check_owner = False"
    )


def is_plain_name(student: str) -> bool:
    """Tell whether a learner's name can be one folder's, and one of a list with commas.

    >>> [is_plain_name(name) for name in ("u123", "a+b", "..", "a/b", "", "a,b", ".x")]
    [True, True, False, False, False, False, False]
    """
    return (
        student.isprintable()
        and not any(sign in student for sign in ",/\\")
        and student not in ("", "*")
        and not student.startswith(".")
        and len(student.encode()) < 200
    )


def _time_in(rest: str, zone: tzinfo) -> datetime | None:
    """Return the time in what follows learner and assignment; a random text may end it."""
    for text in (rest, rest.rpartition("+")[0]):
        try:
            return utc_of(text, zone)
        except TimeNotUnderstood:
            continue
    return None
