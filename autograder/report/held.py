"""Which misconceptions a class holds, from what tests asked of learners' functions."""

from __future__ import annotations

from dataclasses import dataclass

from autograder import bank
from autograder.course import Course
from autograder.gradebook.record import ClassRecord


@dataclass(frozen=True)
class Held:
    """A misconception: exercise, name, what it is, where to read, who holds it."""

    slug: str
    name: str
    misconception: str
    section: str
    learners: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """Misconceptions, the most frequent first, and of how many graded submissions we know.

    `transcripts` counts the graded submissions whose questions and answers were kept.
    """

    held: tuple[Held, ...]
    transcripts: int


def find_held(course: Course, record: ClassRecord) -> Findings:
    """Return the misconceptions of an assignment's graded submissions.

    An answer that two misconceptions explain equally well counts for both.
    """
    # The engine's codec comes with it: a course without transcripts needs neither.
    from autograder.feedback.misconceptions import load_transcript, match

    exercises = bank.load(record.assignment)
    learners: dict[tuple[str, str], list[str]] = {}
    about: dict[tuple[str, str], tuple[str, str]] = {}
    transcripts = 0
    for submission in record.graded:
        transcript = load_transcript(course, record.assignment, submission.student)
        if not transcript:
            continue
        transcripts += 1
        for exercise in exercises:
            for found in match(exercise, transcript):
                key = (exercise.slug, found.name)
                about[key] = (found.misconception, found.section)
                learners.setdefault(key, []).append(submission.student)
    held = [Held(*key, *about[key], tuple(who)) for key, who in learners.items()]
    order = {exercise.slug: number for number, exercise in enumerate(exercises)}
    held.sort(key=lambda one: (-len(one.learners), order[one.slug], one.name))
    return Findings(tuple(held), transcripts)
