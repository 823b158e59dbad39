"""How long exercises took to execute, as far as the grading engine kept it."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

from autograder.course import Course
from autograder.gradebook.record import ClassRecord
from autograder.report.statistics import Spread, spread


@dataclass(frozen=True)
class ExerciseTime:
    """Execution seconds of one exercise over a class, and whose was the longest."""

    slug: str
    seconds: Spread
    slowest: str


def read(course: Course, assignment: str) -> dict[str, dict[str, float]]:
    """Return the seconds of each student's exercises; empty if none were kept.

    The exercise "" stands for the whole submission. Lines that make no sense are left out.
    """
    path = course.timing(assignment)
    seconds: dict[str, dict[str, float]] = {}
    if not path.is_file():
        return seconds
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                student, exercise, value = row["student"], row["exercise"], float(row["seconds"])
            except (KeyError, TypeError, ValueError):
                continue
            if student and exercise is not None and math.isfinite(value) and value >= 0:
                seconds.setdefault(student, {})[exercise] = value
    return seconds


def exercise_times(course: Course, record: ClassRecord) -> list[ExerciseTime]:
    """Return the execution time of each exercise over the graded submissions."""
    kept = read(course, record.assignment)
    times = []
    for slug in record.max_points:
        own = {
            submission.student: kept[submission.student][slug]
            for submission in record.graded
            if slug in kept.get(submission.student, {})
        }
        summary = spread(list(own.values()))
        if summary is not None:
            times.append(ExerciseTime(slug, summary, max(own, key=own.__getitem__)))
    return times
