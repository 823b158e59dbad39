"""What happened to each submission, kept in small JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.files import write_atomically

GRADED = "graded"
NOT_GRADED = "not graded"

#: The reason of a submission until its grading is done.
UNFINISHED = "grading did not finish"

#: Whose fault it is where it is not the submission's: grading again may help.
ENGINE = "engine"
MACHINE = "machine"


@dataclass
class Outcome:
    """What happened to one submission at its last grading.

    `reason` says why it could not be graded; `remarks` are what a grader should
    know about one that was, and `wall` is what stood around its code. `fault` says whose
    fault it is where it is not the submission's: ``engine`` or ``machine`` (a full disk, a
    gradebook out of reach).
    """

    student: str
    assignment: str
    status: str = GRADED
    reason: str = ""
    remarks: list[str] = field(default_factory=list)
    wall: str = ""
    fault: str = ""

    def save(self, root: Path) -> None:
        """Keep this outcome in the course at `root`."""
        path = Course(root).outcome(self.assignment, self.student)
        write_atomically(path, json.dumps(asdict(self), indent=1) + "\n")


def remarks_of(resources: dict[str, Any]) -> list[str]:
    """Return the list, carried by `resources`, of what a grader should know."""
    remarks: list[str] = resources.setdefault("servemath", {}).setdefault("remarks", [])
    return remarks


def load_outcome(root: Path, assignment: str, student: str) -> Outcome | None:
    """Return the outcome kept for a submission, or None if there is none."""
    path = Course(root).outcome(assignment, student)
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        return Outcome(student, assignment, NOT_GRADED, f"{path.name} is damaged ({error})")
