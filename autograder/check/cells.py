"""Rules on the cells of an exercise: what stands where, and what it says."""

from __future__ import annotations

import re
import symtable
from collections.abc import Iterator

from nbformat import NotebookNode

from autograder.authoring.exercises import overview
from autograder.cells import (
    PARTS,
    RUBRIC,
    grade_id_of,
    is_graded_by_hand,
    is_test_cell,
    iter_test_cells,
    nbgrader_metadata,
    parse_grade_id,
    points_of,
    rubric_of,
)
from autograder.check.chapter import Chapter
from servemath_helpers.deep import exercises

#: The cells of an exercise, in order.
RHYTHM = ("statement", "solution", "try-it", "visible", "deep check", "hidden")


def rhythm(chapter: Chapter) -> Iterator[str]:
    """The cells of an exercise stand together, in one order."""
    for record in chapter.records:
        found = _roles(chapter, record.slug)
        checked = record.slug in exercises()
        wanted = tuple(role for role in RHYTHM if checked or role != "deep check")
        wanted += RHYTHM[-1:] * (record.hidden_cells - 1)
        if found != wanted:
            yield (
                f"{record.slug}: its cells are {', '.join(found) or 'none'}; they must be "
                f"{', '.join(wanted)}, in this order"
            )


def _roles(chapter: Chapter, slug: str) -> tuple[str, ...]:
    """Return the roles of an exercise's cells, from its first to its last."""
    cells = chapter.exercises.cells
    slugs = [(grade_id_of(cell) or "").partition("__")[0] for cell in cells]
    own = [place for place, found in enumerate(slugs) if found == slug]
    return tuple(_role(cell, slug) for cell in cells[own[0] : own[-1] + 1]) if own else ()


def _role(cell: NotebookNode, slug: str) -> str:
    grade_id = grade_id_of(cell)
    if grade_id is None:
        return "deep check" if "\ndeep_check(" in cell.source else "try-it"
    name = parse_grade_id(grade_id)
    return name.role if name.slug == slug else f"{name.slug}'s"


def parts(chapter: Chapter) -> Iterator[str]:
    """Each part of the hidden points has its cell, which says its name in words."""
    for record in chapter.records:
        hidden = [
            (name.prop, cell)
            for name, cell in iter_test_cells(chapter.blank)
            if (name.slug, name.role) == (record.slug, "hidden")
        ]
        found = tuple(part for part, _ in hidden)
        if record.parts and found != record.parts:
            yield (
                f"{record.slug}: its hidden cells are {', '.join(found)}; its points say "
                f"{', '.join(record.parts)}"
            )
        for part, cell in hidden if record.parts else ():
            if part in PARTS and not cell.source.startswith(f'"""{PARTS[part]}: '):
                yield f'{grade_id_of(cell)}: it must begin with """{PARTS[part]}: and what they are'


def front(chapter: Chapter) -> Iterator[str]:
    """The first cell shows all exercises, and what they are worth together."""
    first = chapter.exercises.cells[0].source
    total = sum(chapter.points.values())
    if overview(chapter.records) not in first:
        yield "the first cell of exercises.py lacks the table of all exercises: << overview >>"
    if not re.search(rf"\b{total:g}\s+points", first):
        yield "the first cell of exercises.py does not say << num(points.total) >> points"


def statements(chapter: Chapter) -> Iterator[str]:
    """A statement names every function, and leaves its heading to the record."""
    for record in chapter.records:
        heading, _, text = chapter.statement(record.slug).partition("\n")
        for function in record.functions:
            if f"{function}(" not in text:
                yield f"{record.slug}: its statement does not say how to write {function}(...)"
        own = re.search(r"^#+ .*", text, re.MULTILINE)
        if own:
            yield (
                f"{record.slug}: its statement has a heading of its own, {own[0]!r}, below "
                f"{heading!r}, which comes from its record: remove it, or correct the title there"
            )
        for left in ("<<", "\\$"):
            if left in text:
                yield f"{record.slug}: its statement shows {left} as it stands"


def purposes(chapter: Chapter) -> Iterator[str]:
    """Every test cell says what it tests where learners can read it."""
    for _, cell in iter_test_cells(chapter.blank):
        if not re.match(r'"""[A-Z].{10,}', cell.source):
            yield (
                f"{grade_id_of(cell)}: it must begin with a docstring that says what it tests, "
                f"above the marks of hidden tests"
            )


def names(chapter: Chapter) -> Iterator[str]:
    """No test binds a name that an exercise asks for: it would be tested on itself."""
    asked = {name for record in chapter.records for name in record.functions}
    for _, cell in iter_test_cells(chapter.exercises):
        top = symtable.symtable(cell.source, "<test>", "exec")
        bound = {
            symbol.get_name()
            for symbol in top.get_symbols()
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
        }
        for name in sorted(bound & asked):
            yield f"{grade_id_of(cell)}: it binds {name}, which an exercise asks for"


def reflection(chapter: Chapter) -> Iterator[str]:
    """There is a reflection, optional and without points, that a person reads."""
    by_hand = [
        cell
        for cell in chapter.exercises.cells
        if nbgrader_metadata(cell).get("grade")
        and not is_test_cell(cell)
        and grade_id_of(cell) == "reflection__answer"
    ]
    if not by_hand or points_of(by_hand[0]) or by_hand[0].cell_type != "markdown":
        yield "exercises.py lacks a cell `# %% [markdown] reflection__answer`, without points"
    if "optional" not in chapter.statement("reflection").lower():
        yield "exercises.py lacks a reflection__statement that says it is optional"


def rubrics(chapter: Chapter) -> Iterator[str]:
    """Where a person grades, the statement lists what counts."""
    for cell in filter(is_graded_by_hand, chapter.exercises.cells):
        slug = parse_grade_id(str(grade_id_of(cell))).slug
        if len(rubric_of(chapter.exercises, slug)) < 2:
            yield (
                f"{slug}: a person grades it, so its statement must end in {RUBRIC!r} and a list "
                "of two or more things that count"
            )


RULES = (rhythm, parts, front, statements, purposes, names, reflection, rubrics)
