"""Rules on what the bank's records hold."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator

import servemath_helpers
from autograder import bank
from autograder.check.chapter import Chapter
from autograder.check.theory import sections_of_course

#: Stars to points of visible and of hidden tests: the hidden part is the larger.
POINTS = {1: (0.5, 1.5), 2: (1, 2), 3: (2, 3)}

#: Hidden points come in steps of this size, so that sums of them are exact.
STEP = 0.25

#: The share of hidden points that values have at least, and that refused input has at most:
#: right values without any validation earn most points.
LEAST_FOR_VALUES, MOST_FOR_REFUSED = 0.5, 0.25

#: How many solutions a record holds at least.
LEAST = {"right": 3, "wrong": 5}

#: Characters of words that explain something, at least.
LEAST_WORDS = {"hint": 40, "misconception": 15}


def numbers(chapter: Chapter) -> Iterator[str]:
    """Exercises are numbered from 1 on, as they stand in the notebook; plans to play come last."""
    given = [record.number for record in chapter.records if not record.scenarios]
    if given != list(range(1, len(given) + 1)):
        listed = ", ".join(map(str, given))
        yield f"numbers are {listed}: they must run from 1 to {len(given)}, each once"
    elif list(chapter.points) != [record.slug for record in chapter.records]:
        yield f"exercises.py has them in the order {', '.join(chapter.points)}, numbers say other"


def titles(chapter: Chapter) -> Iterator[str]:
    """Each title is there, and stands for one exercise."""
    for title, times in Counter(record.title.strip() for record in chapter.records).items():
        if times > 1 or not title:
            yield f"{times} exercises have the title {title!r}: each needs one of its own"


def points(chapter: Chapter) -> Iterator[str]:
    """Points follow the stars, or are one a scenario, in the record and in the notebook."""
    for record in chapter.records:
        visible, hidden = POINTS[record.stars]
        if record.scenarios:
            visible, hidden = 1, record.scenarios
        if (record.points["visible"], record.hidden_points) != (visible, hidden):
            yield (
                f"{record.slug}: points must be {visible:g} visible and {hidden:g} hidden, "
                f"because stars = {record.stars}, or one a scenario"
            )
        elif chapter.points[record.slug] != visible + hidden:
            yield (
                f"{record.slug}: its cells are worth {chapter.points[record.slug]:g} points, its "
                f"record {visible + hidden:g}: one visible cell, and one hidden one for each part"
            )


def shares(chapter: Chapter) -> Iterator[str]:
    """Right values earn most of the hidden points, refused input few."""
    for record in chapter.records:
        if not record.parts:
            if not record.scenarios:
                yield f"{record.slug}: hidden points must be split: values, edges, refused"
            continue
        hidden = record.hidden_points
        if any(record.points[part] % STEP or not record.points[part] for part in record.parts):
            yield f"{record.slug}: hidden points must come in steps of {STEP:g}, and not be 0"
        if record.points["values"] < LEAST_FOR_VALUES * hidden:
            yield f"{record.slug}: values must have half of the {hidden:g} hidden points or more"
        if record.points.get("refused", 0) > MOST_FOR_REFUSED * hidden:
            yield f"{record.slug}: refused must have a quarter of {hidden:g} hidden points or less"


def enough(chapter: Chapter) -> Iterator[str]:
    """A record holds enough solutions, and none twice."""
    for record in chapter.records:
        if record.functions[0] != record.slug:
            yield f"{record.slug}: functions must begin with {record.slug}, as the file is named"
        for kind, least in LEAST.items():
            solutions = getattr(record, kind)
            if len(solutions) < least:
                yield f"{record.slug}: {len(solutions)} {kind} solutions, at least {least} needed"
            for part in ("name", "code"):
                seen = Counter(getattr(one, part) for one in solutions)
                names = [one.name for one in solutions if seen[getattr(one, part)] > 1]
                if names:
                    yield f"{record.slug}: {kind} {', '.join(names)} have the same {part}"


def words(chapter: Chapter) -> Iterator[str]:
    """A wrong solution says what was misunderstood, and what helps."""
    for record in chapter.records:
        for wrong in record.wrong:
            for part, least in LEAST_WORDS.items():
                if len(getattr(wrong, part)) <= least:
                    yield (
                        f"{record.slug}: wrong {wrong.name}: its {part} says too little, "
                        f"write more than {least} characters"
                    )


def sections(chapter: Chapter) -> Iterator[str]:
    """Every section that a record names stands in theory, its own in this chapter's."""
    known = sections_of_course(chapter.course)
    everywhere = {section for found in known.values() for section in found}
    for record in chapter.records:
        for section in record.sections:
            if section not in known.get(chapter.name, {}):
                yield f"{record.slug}: theory.py of {chapter.name} has no section {section}"
        for wrong in record.wrong:
            if wrong.section not in everywhere:
                yield f"{record.slug}: wrong {wrong.name}: no theory has a section {wrong.section}"


def withheld(chapter: Chapter) -> Iterator[str]:
    """What the package computes is withheld, with code that merely calls it."""
    for record in chapter.records:
        if bool(record.withheld) != bool(record.library):
            yield (
                f"{record.slug}: withheld (the package's answers) and [[library]] (code that "
                f"only calls them) come together, or both are empty"
            )
        unnamed = sorted(_of_that_name(record) - set(record.withheld))
        if unnamed:
            yield f"{record.slug}: the package has {', '.join(unnamed)}: name it in withheld"


def _of_that_name(record: bank.Exercise) -> set[str]:
    """Return the package's public functions that are called like one that is asked for."""
    return {
        f"{module}.{function}"
        for module, names in _public().items()
        for function in record.functions
        if function in names
    }


def _public() -> dict[str, list[str]]:
    """Return the public names of each module of the package, where they are defined."""
    prefix = f"{servemath_helpers.__name__}."
    found = {}
    for info in pkgutil.iter_modules(servemath_helpers.__path__, prefix):
        module = importlib.import_module(info.name)
        found[info.name] = list(getattr(module, "__all__", ()))
    return found


RULES = (numbers, titles, points, shares, enough, words, sections, withheld)
