"""What is kept of each attempt: one folder, with one small file that says how far it is.

``attempts/<assignment>/<student>/<number>/`` holds ``attempt.json``, ``files/`` (what was
handed in) and ``feedback/`` (the pages that were given back). The folder comes into being
whole or not at all, and each change of the file is one rename: whoever reads them after a
crash knows what is left to do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from autograder.course import Course
from autograder.files import write_atomically

RECORD = "attempt.json"
FILES = "files"
PAGES = "feedback"

#: Says which attempt the gradebook holds.
PLACED = "in_gradebook"

#: How the names of folders begin that are not whole yet.
UNFINISHED = ".new-"


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    Parameters
    ----------
    student, assignment : str
        Whose, and at what.
    number : int
        From 1; refused ones have numbers too.
    arrival : str
        What it was called where it came from; no two of a learner are called the same.
    came : str
        When it came, ISO 8601 in UTC.
    refused : str
        Why it is not graded, empty if it is.
    next_at : str
        When the next is possible, of a refused one; empty if that cannot be said.
    graded : bool
        Whether it has been graded.
    reason : str
        Why it could not be graded, empty if it could.
    points, of, penalty : float or None
        Automatic points, those there are, and what being late takes off.
    failed : int
        How often grading it failed for a fault that was not the learner's.
    answered : str
        When its feedback was given back, ISO 8601 in UTC; empty until then.
    remarks : tuple of str
        What a grader should know of how it came.
    returned_as : str
        How names of files begin by which a platform takes feedback back; empty if none does.
    """

    student: str
    assignment: str
    number: int
    arrival: str
    came: str
    refused: str = ""
    next_at: str = ""
    graded: bool = False
    reason: str = ""
    points: float | None = None
    of: float | None = None
    penalty: float = 0.0
    failed: int = 0
    answered: str = ""
    remarks: tuple[str, ...] = field(default=())
    returned_as: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something is left to be done for it."""
        return not self.answered

    @property
    def is_scored(self) -> bool:
        """Whether it was graded and could be."""
        return self.graded and not self.reason

    @property
    def takes_one(self) -> bool:
        """Whether it is one of those that a learner has: graded, or about to be."""
        return not (self.refused or self.reason)

    @property
    def time(self) -> datetime:
        """When it came."""
        return datetime.fromisoformat(self.came)

    @property
    def final(self) -> float:
        """Its automatic points after a late penalty."""
        return max(0.0, (self.points or 0.0) - self.penalty)

    @classmethod
    def read(cls, path: Path) -> Attempt:
        """Return what a file says.

        Raises
        ------
        ValueError
            If it is no record of an attempt.
        """
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**kept, "remarks": tuple(kept.get("remarks", ()))})
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no record of an attempt ({error})") from error


class Records:
    """The attempts of a course."""

    def __init__(self, course: Course) -> None:
        self.course = course

    def folder(self, attempt: Attempt) -> Path:
        """Return the folder of an attempt."""
        return self._of(attempt.assignment, attempt.student) / f"{attempt.number:03d}"

    def files(self, attempt: Attempt) -> Path:
        """Return the folder of what was handed in."""
        return self.folder(attempt) / FILES

    def pages(self, attempt: Attempt) -> Path:
        """Return the folder of the pages that were given back."""
        return self.folder(attempt) / PAGES

    def _of(self, assignment: str, student: str) -> Path:
        return self.course.attempts / assignment / student

    def students(self, assignment: str) -> list[str]:
        """Return who has attempts."""
        return sorted(path.parent.parent.name for path in self._first(assignment))

    def _first(self, assignment: str) -> Iterator[Path]:
        return (self.course.attempts / assignment).glob(f"*/001/{RECORD}")

    def of(self, assignment: str, student: str) -> list[Attempt]:
        """Return a learner's attempts, in order.

        Raises
        ------
        ValueError
            If one of the records is damaged; nothing here writes such a one.
        """
        found = sorted(self._of(assignment, student).glob(f"[0-9]*/{RECORD}"))
        return sorted((Attempt.read(path) for path in found), key=lambda one: one.number)

    def save(self, attempt: Attempt, **changes: object) -> Attempt:
        """Keep an attempt, with changes; return it as kept."""
        changed = replace(attempt, **changes)  # type: ignore[arg-type]  # dataclass checks names
        write_atomically(self.folder(changed) / RECORD, _text(changed))
        return changed

    def place(self, attempt: Attempt) -> None:
        """Note that an attempt is the one that the gradebook is to hold."""
        write_atomically(
            self._of(attempt.assignment, attempt.student) / PLACED, f"{attempt.number}\n"
        )

    def placed(self, assignment: str, student: str) -> Attempt | None:
        """Return the attempt that the gradebook holds, None if nobody said so."""
        try:
            number = int((self._of(assignment, student) / PLACED).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return next((one for one in self.of(assignment, student) if one.number == number), None)

    def begin(self, attempt: Attempt, fill: Callable[[Path], None]) -> Attempt:
        """Keep a new attempt whose files `fill` writes into the folder that it is given.

        Its folder appears with all that belongs into it, or not at all.
        """
        folder = self.folder(attempt)
        unfinished = folder.with_name(f"{UNFINISHED}{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            fill(unfinished / FILES)
            write_atomically(unfinished / RECORD, _text(attempt))
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return attempt


def _text(attempt: Attempt) -> str:
    return json.dumps(asdict(attempt), indent=1, ensure_ascii=False) + "\n"
