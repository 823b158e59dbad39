"""The questions in the theory: an answer is marked, and a miss is told what kind of miss it is.

A cell of the theory holds the name of its question and the learner's answer, nothing else. What
is asked, what is right, what goes wrong in known ways, a hint and the worked answer stand in
``data/questions/<chapter>.json``, which `servemath build` computes from the text of the theory.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from servemath_helpers.checks import answer_agrees, shown
from servemath_helpers.progress import DONE, MISSED, note

__all__ = ["check_yourself"]

#: Names a folder with questions of a course's own chapters.
FOLDER_VARIABLE: Final = "SERVEMATH_QUESTIONS"

#: What a learner writes to be shown the worked answer.
ASKED: Final = "?"

#: Whole powers that lie between units of one kind.
_THOUSANDS: Final = (1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9)
_BINARY: Final = tuple((1024 / 1000) ** (sign * power) for power in (1, 2, 3) for sign in (1, -1))

#: From here on one more or less is a slip of counting; below it may be anything.
_A_LARGE_COUNT: Final = 20

#: More than so many times the right number, or so many times less, is far away.
_FAR: Final = 10

#: Significant digits of an answer that make it no accident: 2 is half of 4, and of much else.
_TELLING_DIGITS: Final = 3

#: Kinds of mistakes in a number: what is said, and the wrong values that the right one gives.
_KINDS: Final[tuple[tuple[str, Callable[[float], tuple[float, ...]]], ...]] = (
    (
        "that is off by a power of a thousand: look at the units",
        lambda right: tuple(right * factor for factor in _THOUSANDS),
    ),
    (
        "that is off by a hundred: a share is not a percentage",
        lambda right: (right * 100, right / 100),
    ),
    ("the sign is wrong", lambda right: (-right,)),
    (
        "powers of 1000 and of 1024 are mixed up",
        lambda right: tuple(right * factor for factor in _BINARY),
    ),
)

#: Kinds that a short number may also be by accident.
_SUBTLE_KINDS: Final[tuple[tuple[str, Callable[[float], tuple[float, ...]]], ...]] = (
    ("that is the reciprocal: look at what is divided by what", lambda right: (1 / right,)),
    ("that is the complement: the share of the others", lambda right: (1 - right,)),
    ("that is off by a factor of two", lambda right: (right * 2, right / 2)),
    ("a square or a root is in the wrong place", lambda right: (right**2, abs(right) ** 0.5)),
)

#: How often an answer to a question has missed in this kernel.
_missed: dict[str, int] = {}


@functools.cache
def _questions() -> dict[str, dict[str, Any]]:
    """Return all questions by name."""
    folders: list[Any] = [resources.files("servemath_helpers") / "data" / "questions"]
    if os.environ.get(FOLDER_VARIABLE):
        folders.append(Path(os.environ[FOLDER_VARIABLE]))
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for file in sorted(folder.iterdir(), key=lambda file: str(file.name)):
            if file.name.endswith(".json"):
                found.update(json.loads(file.read_text(encoding="utf-8")))
    return found


def _kind(answer: object, question: dict[str, Any]) -> str:
    """Say what kind of mistake `answer` plainly is, if it plainly is one."""
    for words, wrong in question["mistakes"]:
        if answer_agrees(answer, wrong):
            return str(words)
    right = question["right"]
    if isinstance(right, bool) or not isinstance(right, int | float):
        return ""
    if isinstance(answer, str):
        return "a number is asked: leave out quotation marks and units"
    # Whole answers are counts, hit or missed by one; beside a small one there are others.
    if (
        isinstance(right, int)
        and abs(right) >= _A_LARGE_COUNT
        and any(answer_agrees(answer, right + step) for step in (1, -1))
    ):
        return "that is one off: look at what is counted, and at how it is rounded"
    if right != 0 and abs(right) != 1:  # near 0 and 1 the kinds cannot be told apart
        kinds = _KINDS + (_SUBTLE_KINDS if _digits(answer) >= _TELLING_DIGITS else ())
        for words, wrongs in kinds:
            if any(answer_agrees(answer, wrong) for wrong in wrongs(float(right))):
                return words
    return ""


def _digits(answer: object) -> int:
    """Return how many significant digits a number has as it was given."""
    return len(shown(answer).partition("e")[0].replace(".", "").replace("-", "").strip("0"))


def _far(answer: object, right: object) -> str:
    """Say on which side of the right number another one lies, and whether far away."""
    if not all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (answer, right)
    ):
        return ""
    one, other = float(answer), float(right)  # type: ignore[arg-type]
    if other <= 0 or not math.isfinite(one):
        return ""
    if one <= 0:
        return "that is not it: look at the sign, and at what can be 0"
    far = "far " if max(one / other, other / one) > _FAR else ""
    return f"that is not it, and {far}too {'large' if one > other else 'small'}"


def check_yourself(name: str, answer: object) -> None:
    """Mark an answer to a question in the theory; nothing is graded and nothing is raised.

    The first miss is told what kind of mistake it is if that is plain, else on which side of the
    right number it lies; the second one gets a hint, whatever was answered, and ``"?"`` is
    answered with the worked answer.

    Parameters
    ----------
    name : str
        The question, by the number of its section.
    answer : number, text, bool, list or dict, or None
        The learner's answer; None (or ``...``) means not answered yet. Three significant digits
        of a number are enough, a count has to be right to the unit; in a text case and outer
        spaces do not count.

    Raises
    ------
    ValueError
        If there is no such question.

    Examples
    --------
    >>> check_yourself("1.1", None)
    … 1.1, mean stay in seconds: not answered yet
    >>> check_yourself("1.1", 2.5)
    ✓ 1.1, mean stay in seconds: right
    >>> check_yourself("1.1", 2500)
    ✗ 1.1, mean stay in seconds: not yet, you answered 2500: that is off by a power of a thousand: look at the units.
    """  # noqa: E501
    question = _questions().get(name)
    if question is None:
        known = ", ".join(_questions())
        raise ValueError(f"name must be a question of the theory, got {name!r}; known: {known}")
    asks = f"{name}, {question['asks']}"
    if answer is None or answer is ...:
        print(f"… {asks}: not answered yet")
    elif isinstance(answer, str) and answer.strip() == ASKED:
        print(f"{asks}: {question['worked']}")
    elif answer_agrees(answer, question["right"]):
        note("questions", name, DONE)
        print(f"✓ {asks}: right")
    else:
        _tell(name, asks, answer, question)


def _tell(name: str, asks: str, answer: object, question: dict[str, Any]) -> None:
    """Say that an answer is not right, and as much more as the learner has tried for."""
    _missed[name] = _missed.get(name, 0) + 1
    kind = _kind(answer, question)
    note("questions", name, f"{MISSED}: {kind}" if kind else MISSED)
    said = kind or _far(answer, question["right"])
    text = f"✗ {asks}: not yet, you answered {shown(answer)}{f': {said}' if said else ''}"
    text += "" if said.endswith("?") else "."
    if _missed[name] > 1:
        text += f' Hint: {question["hint"]} The worked answer: answer = "{ASKED}".'
    elif not kind:
        text += " A second try that misses gets a hint."
    print(text)
