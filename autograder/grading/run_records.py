"""What a run leaves for later: what tests asked and got back, and how long it took."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.files import write_atomically

TIMING_COLUMNS = ("student", "exercise", "seconds")


def seconds_by_exercise(job: dict[str, Any], result: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each exercise's cells together, and of all cells as ``""``."""
    seconds: dict[str, float] = {}
    for cell in job["cells"]:
        ran = result["cells"].get(cell["id"])
        if ran is None:
            continue
        for name in {cell["slug"], ""}:
            seconds[name] = seconds.get(name, 0.0) + ran["seconds"]
    return seconds


def save_run(
    root: Path, assignment: str, student: str, job: dict[str, Any], result: dict[str, Any]
) -> None:
    """Keep the transcript, and add the timings; a later line of a student's counts."""
    write_atomically(
        Course(root).transcript(assignment, student),
        json.dumps(result["transcripts"], separators=(",", ":")) + "\n",
    )
    path = Course(root).timing(assignment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if stream.tell() == 0:
            writer.writerow(TIMING_COLUMNS)
        for exercise, seconds in sorted(seconds_by_exercise(job, result).items()):
            writer.writerow([student, exercise, f"{seconds:.4f}"])
