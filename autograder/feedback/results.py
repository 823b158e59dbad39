"""What a graded cell's points and outputs mean to a learner, in words."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import replace

from autograder.cells import CellName, parse_grade_id
from autograder.feedback import safe
from autograder.feedback.facts import Result
from autograder.feedback.hidden import CellSource, HiddenTests
from autograder.feedback.said import kind_of, property_of
from autograder.gradebook.reader import CellGrade

#: What became of a test, in our own words: an exception's text may hold anything.
WORDS = {
    "AssertionError": "The test ran, and an answer was not what the statement asks for.",
    "NotImplementedError": "The function is not written yet.",
    "NotRun": "This test could not be run.",
    "NoCredit": "The answers are the package's own: they change when the package's do. "
    "Write the computation yourself; other parts of the package are welcome.",
    "CellTimeoutError": "It took too long and was stopped.",
    "DeadKernelError": "The code ended the program that ran it.",
    "OutputFlood": "It printed so much that it was stopped.",
    "": "It lost points.",
    "NotPlainData": "It returned more than a test can look at, or something that contains itself.",
}


def name_of(grade_id: str) -> CellName:
    """Return the parts of a `grade_id`; one of another scheme is an exercise of its own."""
    try:
        return parse_grade_id(grade_id)
    except ValueError:
        return CellName(grade_id, "visible")


def why_lost(name: str) -> str:
    """Say in our own words why a test lost points, given the name of the exception.

    >>> why_lost("ZeroDivisionError")
    'It stopped with ZeroDivisionError.'
    >>> why_lost("Expected42")
    'It stopped with an error.'
    """
    if name in WORDS:
        return WORDS[name]
    known = getattr(builtins, name, None) if name.isidentifier() else None
    if isinstance(known, type) and issubclass(known, BaseException):
        return f"It stopped with {name}."
    return "It stopped with an error."


def _why_hidden(test: Result, error: str, said: str, allowed: Iterable[str]) -> Result:
    """Say of a hidden test what came, and which property fell, if that may be said."""
    fell = property_of(said, allowed)
    kind, stopped = kind_of(said) if error == "AssertionError" else ("", error)
    if kind:
        why = f"{kind}."
    elif stopped and stopped not in WORDS:
        why = why_lost(stopped).removesuffix(".")
        # The name of an error alone is no help: what was tested goes with it.
        why += "." if fell else f" while this was tested: {test.title}"
    else:
        why = why_lost(error)
    return replace(test, why=why, fell=fell)


def result_of(
    grade_id: str,
    score: CellGrade,
    sources: Mapping[str, CellSource],
    errors: Mapping[str, tuple[str, str]],
    hidden: HiddenTests,
    allowed: Iterable[str] = (),
) -> Result:
    """Return what a learner reads about one graded cell.

    Parameters
    ----------
    grade_id : str
        The cell.
    score : CellGrade
        Its points.
    sources : mapping
        The course's cells, by `grade_id`.
    errors : mapping
        Name and message of the error that ended each test cell, if one did.
    hidden : HiddenTests
        What no message may show.
    allowed : iterable of str
        The properties that a failed hidden test may name, see `said`.
    """
    name = name_of(grade_id)
    source = sources.get(grade_id, CellSource("", ""))
    # A cell is taken for hidden unless it is known to hide nothing.
    secret = name.role == "hidden" or bool(source.hidden) or grade_id not in sources
    title = source.title or name.property_in_words.capitalize() or "Graded by a person"
    if title.partition(" ")[0].rstrip(",:").isalpha():  # a word, no name of a function
        title = title[0].upper() + title[1:]
    test = Result(title, secret, score.points, score.of, score.by_hand, score.waiting)
    if test.passed or test.waiting or test.by_hand:
        return test
    error, said = errors.get(grade_id, ("", ""))
    if secret:
        return _why_hidden(test, error, said, allowed)
    if not said.strip():
        return replace(test, why=why_lost(error))
    if error != "AssertionError" and error in WORDS:
        return replace(test, why=WORDS[error])
    message = safe.clean_text(said, 3000)
    prefix = "" if error == "AssertionError" else f"{error}: "
    return replace(test, message=hidden.keep_out_of(prefix + message))
