"""What a failed hidden test may say: which property fell, in words that show none of its inputs.

A check ends its message with a hint, the property in the statement's words. Of the message
learners read that hint alone, and only if it is a sentence of the test's own source that names no
number which the exercise does not show anyway.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autograder.feedback.hidden import CellSource, HiddenTests, split_source, squeezed
from servemath_helpers.checks import COPY, FIRST, STOPPED

#: Numbers that show nothing of an input.
_COMMON = frozenset({"0", "1"})

_HINT = "\nHint: "
_NUMBER = re.compile(r"\d+(?:[._]\d+)*(?:e[+-]?\d+)?")
_LEAST_WORDS = 3

#: How a check's message says what came, and what that is for a learner.
_KINDS = (
    (re.compile(r"should raise \w+, but it returned"), "A call that must be refused got an answer"),
    (re.compile(r"should raise \w+, but it raised"), "A call must be refused with another error"),
    (re.compile(r"should leave its arguments"), "A call changed its arguments"),
)
_STOPPED = re.compile(rf"but it {STOPPED} (\w+)")


def numbers_in(text: str) -> set[str]:
    """Return the numbers of a text as they are written.

    >>> sorted(numbers_in("8 requests/s for 1.5 s, P99."))
    ['1.5', '8', '99']
    """
    return set(_NUMBER.findall(text))


def sentences(source: str) -> set[str]:
    """Return the sentences that a test holds as literals, docstrings aside.

    >>> sentences('check_equal(f(0), "idle", "f(0)", "0 is a value.")')
    {'0 is a value.'}
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = {
        squeezed(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) is str and id(node) not in docstrings
    }
    return {text for text in found if text[-1:] in ".?!" and len(text.split()) >= _LEAST_WORDS}


def unsaid(source: CellSource, shown: str) -> set[str]:
    """Return the sentences of a hidden test with numbers that `shown` does not have.

    Parameters
    ----------
    source : CellSource
        The test cell.
    shown : str
        What learners have of the exercise.
    """
    known = numbers_in(shown) | _COMMON
    return {text for text in sentences(source.hidden) if not numbers_in(text) <= known}


def sayable(sources: Mapping[str, CellSource]) -> dict[str, frozenset[str]]:
    """Return by `grade_id` the sentences that a failed test of it may say.

    Parameters
    ----------
    sources : mapping
        The course's cells by `grade_id`.
    """
    shown: dict[str, list[str]] = {}
    for grade_id, source in sources.items():
        shown.setdefault(_slug(grade_id), []).append(source.released)
    return {
        grade_id: frozenset(
            {FIRST, COPY}
            | sentences(source.hidden) - unsaid(source, "\n".join(shown[_slug(grade_id)]))
        )
        for grade_id, source in sources.items()
        if source.hidden
    }


def _slug(grade_id: str) -> str:
    return grade_id.partition("__")[0]


@dataclass(frozen=True)
class CourseCells:
    """A notebook's own cells: each apart, what a failed one may say, and what no page may show."""

    sources: Mapping[str, CellSource]
    sayable: Mapping[str, frozenset[str]]
    hidden: HiddenTests


@functools.lru_cache(maxsize=16)
def read_cells(cells: tuple[tuple[str, str], ...]) -> CourseCells:
    """Take a notebook's own cells apart, once for a whole class.

    Parameters
    ----------
    cells : tuple of (str, str)
        `grade_id` and source of each cell that the course holds to.
    """
    sources = {grade_id: split_source(source) for grade_id, source in cells}
    may_say = sayable(sources)
    said = {text for texts in may_say.values() for text in texts}
    return CourseCells(sources, may_say, HiddenTests(sources.values(), said))


def property_of(message: str, allowed: Iterable[str]) -> str:
    r"""Return the property that a check's message ends with, if it may be said.

    >>> property_of("f(0) should return 0.\nHint: 0 is a value.", {"0 is a value."})
    '0 is a value.'
    >>> property_of("f(7) should return 14.\nHint: I saw 7.", {"0 is a value."})
    ''
    """
    hint = squeezed(message.rpartition(_HINT)[2]) if _HINT in message else ""
    return hint if hint in allowed else ""


def kind_of(message: str) -> tuple[str, str]:
    """Say what came of the call that failed, and the name of the error that stopped it.

    Examples
    --------
    >>> kind_of("f(0) should return 0, but it stopped with TypeError: no.")
    ('', 'TypeError')
    >>> kind_of("f(-1) should raise ValueError, but it returned 2.")
    ('A call that must be refused got an answer', '')
    """
    first = message.partition("\n")[0]
    stopped = _STOPPED.search(first)
    if stopped:
        return "", stopped[1]
    return next((said for pattern, said in _KINDS if pattern.search(first)), ""), ""
