"""Which known misconception answers as a learner's code did.

While a submission is graded, each question of a test to the learner's functions is
recorded with its answer. A wrong solution of the bank matches if it gives the same
answer to every one of them, and on at least one an answer that no right solution
gives. Nothing is claimed of a learner who answers as a right solution does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autograder import bank
from autograder.cells import parse_grade_id
from autograder.course import Course
from autograder.feedback.answers import Answer, Call, answer_of
from autograder.grading.engine import codec

#: More than this many equally good explanations are no help.
MOST = 2


@dataclass(frozen=True)
class Misconception:
    """A wrong solution of the bank whose answers are the learner's.

    `misconception`, `hint` and `section` are the bank's words for learners; `evidence`
    is the number of recorded answers that no right solution gives.
    """

    exercise: str
    name: str
    misconception: str
    hint: str
    section: str
    evidence: int

    @property
    def title(self) -> str:
        """The name as a person would say it."""
        words = self.name.replace("_", " ")
        return words[:1].upper() + words[1:]


def recorded_calls(exercise: bank.Exercise, transcript: Mapping[str, Any]) -> list[Call]:
    """Return what the tests of an exercise asked of the functions it asks for.

    Parameters
    ----------
    exercise : Exercise
        The bank's exercise.
    transcript : mapping
        The transcript of a submission: `grade_id` of a test cell to what it asked.

    Returns
    -------
    list of Call
        In the order of asking. What cannot be read is left out.
    """
    calls = []
    for grade_id, cell in transcript.items():
        if not _belongs(grade_id, exercise.slug) or not isinstance(cell, Mapping):
            continue
        entries = cell.get("calls")
        for entry in entries if isinstance(entries, list) else ():
            call = _call(entry)
            if call is not None and call.function in exercise.functions:
                calls.append(call)
    return calls


def _belongs(grade_id: str, slug: str) -> bool:
    try:
        return parse_grade_id(grade_id).slug == slug
    except ValueError:
        return False


def _call(entry: Any) -> Call | None:
    try:
        asked = [entry.get("args", ["l"]), entry.get("kwargs", ["d"])]
        if [type(codec.decode(part)) for part in asked] not in ([list, dict], [tuple, dict]):
            return None
        changed = entry.get("changed") is True
        if "error" in entry:
            answer = Answer(error=str(entry["error"][0]), changed=changed)
        else:
            answer = Answer(codec.decode(entry["result"]), changed=changed)
        return Call(str(entry["function"]), json.dumps(asked), answer)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None


def match(exercise: bank.Exercise, transcript: Mapping[str, Any]) -> list[Misconception]:
    """Return the misconceptions that explain every recorded answer of an exercise.

    Parameters
    ----------
    exercise : Exercise
        The bank's exercise, with its right and wrong solutions.
    transcript : mapping
        The transcript of a submission, all exercises together.

    Returns
    -------
    list of Misconception
        At most two, in the order of the bank; empty if none explains all answers, if
        nothing was recorded, or if a right solution answers as the learner did.

    Examples
    --------
    >>> (exercise,) = [e for e in bank.load("ch1_serving_tradeoffs") if e.slug == "littles_law"]
    >>> asked = {"function": "littles_law", "args": ["l"], "kwargs": ["d", ["lam", 8], ["L", 20]]}
    >>> transcript = {"littles_law__hidden__x": {"calls": [{**asked, "result": 8 / 20}]}}
    >>> [found.name for found in match(exercise, transcript)]
    ['inverse_ratio']
    """
    calls = recorded_calls(exercise, transcript)
    rightly = [_is_right(exercise, call) for call in calls]
    telling = rightly.count(False)
    if not telling:
        return []
    # Wrong answers first: they rule out most explanations at once.
    order = [call for _, call in sorted(zip(rightly, calls, strict=True), key=lambda pair: pair[0])]
    matching = [
        wrong
        for wrong in exercise.wrong
        if all(answer_of(wrong.code, call).same_as(call.answer) for call in order)
    ]
    return [
        Misconception(
            exercise=exercise.slug,
            name=wrong.name,
            misconception=wrong.misconception,
            hint=wrong.hint,
            section=wrong.section,
            evidence=telling,
        )
        for wrong in matching[:MOST]
    ]


def _is_right(exercise: bank.Exercise, call: Call) -> bool:
    return any(answer_of(right.code, call).same_as(call.answer) for right in exercise.right)


def load_transcript(course: Course, assignment: str, student: str) -> dict[str, Any]:
    """Return what the tests asked of a submission, or nothing if that was not kept."""
    try:
        transcript = json.loads(course.transcript(assignment, student).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return transcript if isinstance(transcript, dict) else {}
