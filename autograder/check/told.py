"""How specific feedback is: what a learner reads whose code is a wrong solution of the bank.

A sentence is specific if it says which property or value fell, in the statement's words. That an
exception came, that a test failed or which part of the points is lost is not. The bank knows its
own wrong solutions, so what it says of those is left out here: this is what reads somebody whose
mistake nobody has foreseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from autograder import bank
from autograder.cells import grade_id_of, iter_test_cells, points_of
from autograder.check.chapter import Chapter
from autograder.course import Course
from autograder.feedback.facts import Played, Result
from autograder.feedback.played import played
from autograder.feedback.results import result_of
from autograder.feedback.said import read_cells
from autograder.gradebook.reader import CellGrade
from servemath_helpers.checks import COPY, FIRST

#: The share of wrong solutions of a chapter of which feedback says something specific, at least.
LEAST_TOLD = 0.9

#: How many words a sentence has in common with the statement, at least.
COMMON_WORDS = 2

#: What a check of ours says when a visible test fails.
_CHECKED = re.compile(r"should (?:return|be|raise|leave)\b|^This does not hold yet: ")

_WORD = re.compile(r"[a-z_]{3,}|\d+(?:\.\d+)?")
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "the and not are for all any one its that this with has have from than then them they what "
        "which was were will would but can does each every here there where when who whose test "
        "tests function answer error statement points value values right wrong stopped",
    )
)


def words_of(text: str) -> set[str]:
    """Return the words that carry meaning, without their endings, and the numbers of a text.

    >>> sorted(words_of("Nothing is divided by 0, whatever waits."))
    ['0', 'divi', 'noth', 'wait', 'what']
    """
    return {word[:4] for word in _WORD.findall(text.lower()) if word not in _SMALL}


def is_specific(result: Result, statement: str) -> bool:
    """Tell whether what is said of a test that lost points says what fell.

    Parameters
    ----------
    result : Result
        What a learner reads.
    statement : str
        The statement of its exercise.
    """
    if result.played is not None:
        return len(words_of(result.played.said) & words_of(statement)) >= COMMON_WORDS
    if not result.hidden:
        return bool(_CHECKED.search(result.message))
    if result.fell in (FIRST, COPY):
        return result.fell == COPY  # that no argument is changed holds for all statements
    return len(words_of(result.fell) & words_of(statement)) >= COMMON_WORDS


@dataclass(frozen=True)
class Told:
    """A wrong solution, and what a learner reads of each test that took points."""

    slug: str
    wrong: bank.Wrong
    specific: bool
    lost: tuple[Result, ...]


def told(chapter: Chapter) -> Iterator[Told]:
    """Yield what feedback says of each wrong solution, its name in the bank left out."""
    page = _Page(chapter)
    for record in chapter.records:
        statement = chapter.statement(record.slug)
        for wrong in record.wrong:
            lost = tuple(page.lost(record, wrong.code))
            specific = any(is_specific(result, statement) for result in lost)
            yield Told(record.slug, wrong, specific, lost)


class _Page:
    """Says of code what a feedback page says of it as a solution, misconceptions aside."""

    def __init__(self, chapter: Chapter) -> None:
        self._chapter = chapter
        self._cells = read_cells(
            tuple(
                (grade_id, cell.source)
                for cell in chapter.exercises.cells
                if (grade_id := grade_id_of(cell)) and cell.metadata.nbgrader["locked"]
            )
        )

    def lost(self, record: bank.Exercise, code: str) -> Iterator[Result]:
        """Yield what is said of each test that took points."""
        trial = self._chapter.trial(record.slug, code)
        plans: dict[str, Played] = {}
        if record.scenarios:
            plans = played(record, self._chapter.transcript(record.slug, code))
        for _, cell in iter_test_cells(self._chapter.exercises):
            grade_id = str(grade_id_of(cell))
            if grade_id in trial.failures:
                result = result_of(
                    grade_id,
                    CellGrade(trial.points[grade_id], points_of(cell)),
                    self._cells.sources,
                    {grade_id: trial.error(grade_id)},
                    self._cells.hidden,
                    self._cells.sayable.get(grade_id, ()),
                )
                yield replace(result, played=plans.get(grade_id))


def specific(chapter: Chapter) -> Iterator[str]:
    """Feedback says of nine wrong solutions in ten what fell, in the statement's words."""
    found = list(told(chapter))
    silent = [f"{one.slug}: {one.wrong.name}" for one in found if not one.specific]
    if len(silent) > (1 - LEAST_TOLD) * len(found):
        yield (
            f"feedback says nothing specific of {len(silent)} of {len(found)} wrong solutions: "
            f"{'; '.join(silent)}: give the checks that they fail a hint in the statement's words"
        )


def show_rates(course: Course, chapters: Sequence[str]) -> None:
    """Print for each chapter, and for all, of how many wrong solutions feedback says what fell."""
    console, counts = Console(), []
    for name in chapters:
        found = list(told(Chapter(course, name)))
        counts.append((sum(one.specific for one in found), len(found)))
        _show_rate(console, name, *counts[-1])
    if len(counts) > 1:
        _show_rate(console, "together", *map(sum, zip(*counts, strict=True)))


def _show_rate(console: Console, name: str, specific: int, of: int) -> None:
    share = f"{specific / of:.1%}" if of else "none known"
    console.print(f"{name}: feedback says what fell of {specific} of {of} wrong, {share}")


RULES = (specific,)
