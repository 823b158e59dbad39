"""What came, from whom, and when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from autograder.watch.copying import copy_plain

#: How far what a submission says of its time may lie before the last look that did not see
#: it: copying takes time, and clocks of two machines differ.
TOLERANCE = timedelta(seconds=60)

#: Seconds after which what does not change any more has come, whether it says so or not.
SETTLE_S = 10.0


@dataclass(frozen=True)
class Arrival:
    """Something that was handed in.

    Parameters
    ----------
    student, assignment : str
        Whose, and at what.
    name : str
        What it is known by; no two of a learner are called the same.
    path : Path
        The folder with its files.
    said : datetime or None
        When it came, as it says itself, in UTC.
    came : datetime or None
        When it came, as far as that is known here, in UTC.
    remark : str
        What a grader should know of how it came.
    late : bool or None
        Whether it is late, where a platform says so; None if its time tells.
    returned_as : str
        How names of files begin by which a platform takes feedback back, empty if none does.
    """

    student: str
    assignment: str
    name: str
    path: Path
    said: datetime | None = None
    came: datetime | None = None
    remark: str = ""
    late: bool | None = None
    returned_as: str = ""

    def copy_to(self, target: Path, *, most_bytes: int, only: Collection[str] = ()) -> list[str]:
        """Copy its files, or those `only` names, to a new folder; return what was left out.

        Raises
        ------
        TooMuch
            If it has more than `most_bytes` bytes.
        OSError
            If it cannot be read, or the copy not be written.
        """
        return copy_plain(self.path, target, most_bytes=most_bytes, only=only)


class Source(Protocol):
    """Where submissions come from; `refused` says what of them is not taken, and why."""

    refused: dict[str, str]

    @property
    def may_get_better(self) -> bool:
        """Whether something cannot be read that may still be on its way."""

    def arrivals(self) -> list[Arrival]:
        """Return what is there, known or not.

        Raises
        ------
        OSError
            If one cannot look.
        """

    def is_whole(self, arrival: Arrival) -> bool:
        """Tell whether all of it has come."""

    def signature(self, arrival: Arrival) -> object:
        """Return something that stays the same once nothing more comes."""


def moment_of(
    said: datetime | None, before: datetime | None, seen: datetime
) -> tuple[datetime, str]:
    """Return when something came, and a remark where it says otherwise.

    What it says is believed if it lies between the last look that did not see it and the
    first one that did. Learners write it, and could write anything.

    Parameters
    ----------
    said : datetime or None
        When it came, as it says itself.
    before : datetime or None
        The last look that did not see it, None if there was none.
    seen : datetime
        The first look that did.

    Examples
    --------
    >>> at = lambda minute: datetime(2026, 12, 1, 12, minute, tzinfo=UTC)
    >>> moment_of(at(3), at(2), at(4))[0] == at(3)
    True
    >>> print(*moment_of(at(3), at(20), at(21)), sep="; ")
    2026-12-01 12:20:00+00:00; it says that it came at 2026-12-01 12:03:00 UTC, but was not there \
at 2026-12-01 12:20:00 UTC
    """
    if said is None:
        return seen, "it does not say when it came: taken is when it was seen"
    if said > seen:
        far = said - seen > TOLERANCE
        return seen, f"it says that it came at {_plain(said)}, which is yet to come" * far
    if before is not None and before <= seen and said < before - TOLERANCE:
        told = f"it says that it came at {_plain(said)}, but was not there at {_plain(before)}"
        return before, told
    return said, ""


def _plain(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
