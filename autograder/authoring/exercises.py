"""What `build` makes of an exercise's record in the bank: headings, points, nbgrader's metadata.

In the text a marker's title is the `grade_id`, and that is all a cell says of itself::

    # %% [markdown] littles_law__statement
    # %% littles_law__solution
    # %% littles_law__visible__finds_the_missing_quantity
    # %% littles_law__hidden__values

The role in it says what nbgrader makes of the cell; number, title, stars, sections and points
come from the record. A cell without a record, such as an answer that a person grades, gives
its own: ``# %% [markdown] reflection__answer points=3``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell

from autograder.authoring.prose import num
from autograder.authoring.questions import SECTION
from autograder.bank import Exercise
from autograder.cells import CellName, grade_id_of, parse_grade_id
from servemath_helpers.deep import exercises

_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)

#: Roles that a learner writes into, and roles that are worth points.
_WRITTEN, _GRADED = ("solution", "answer"), ("visible", "hidden", "answer")

#: How the line begins that leads from a section to its exercises.
TO_SOLVE = "To solve:"

_NOT_IN_CELL_ID = re.compile(r"[^A-Za-z0-9_-]")

_DEEP_CHECK = """\
# Many random and edge cases, not graded: worth a run once the visible checks pass.
from servemath_helpers.notebook import deep_check

deep_check({names})"""


def in_words(count: int) -> str:
    """Return a small number as prose writes it.

    >>> in_words(10), in_words(40)
    ('ten', '40')
    """
    return _WORDS[count] if count < len(_WORDS) else str(count)


def _points(name: CellName, grade_id: str, given: object, record: Exercise | None) -> object:
    """Return what a graded cell is worth, from its record or from its marker."""
    if record is None or name.role == "answer":
        if given is None and name.role != "answer":
            raise ValueError(f"the bank has no record for {grade_id!r}, and it gives no points")
        return given or 0
    if given is not None:
        raise ValueError(f"{grade_id!r} gives points, which its record in the bank does")
    return record.worth(name)


def name_cell(cell: NotebookNode, records: Mapping[str, Exercise]) -> None:
    """Put nbgrader's metadata in the place of a marker's title.

    Raises
    ------
    ValueError
        If the title is no `grade_id`, or points stand nowhere or twice.
    """
    grade_id, given = cell.metadata.pop("title", None), cell.metadata.pop("points", None)
    if grade_id is None:
        return
    name = parse_grade_id(grade_id)
    metadata = {
        "grade": name.role in _GRADED,
        "grade_id": grade_id,
        "locked": name.role not in _WRITTEN,
        "schema_version": 3,
        "solution": name.role in _WRITTEN,
        "task": False,
    }
    if name.role in _GRADED:
        metadata["points"] = _points(name, grade_id, given, records.get(name.slug))
    cell.metadata["nbgrader"] = from_dict(metadata)


def with_deep_checks(
    cells: Sequence[NotebookNode], records: Mapping[str, Exercise]
) -> list[NotebookNode]:
    """Return the cells with a deep check above the first hidden test of each exercise.

    It belongs to the learner: it is not graded, and nothing happens in it where work is.
    """
    found: list[NotebookNode] = []
    open_ones = {slug: record for slug, record in records.items() if slug in exercises()}
    for cell in cells:
        slug, _, role = (grade_id_of(cell) or "").partition("__")
        if role.startswith("hidden") and (record := open_ones.pop(slug, None)):
            names = ", ".join(record.functions)
            found.append(new_code_cell(_DEEP_CHECK.format(names=names)))
        found.append(cell)
    return found


def statement(text: str, record: Exercise, link: Callable[[str], str]) -> str:
    """Return a statement between its heading and the sections of theory that help."""
    links = " and ".join(link(section) for section in record.sections)
    return f"## {_title(record)}\n\n{text}\n\nHelp: {links}."


def _title(record: Exercise) -> str:
    worth = num(sum(record.points.values()))
    return f"{record.number} · {record.title} {'★' * record.stars} ({worth} points)"


def cell_id(name: str) -> str:
    """Return the id of a cell that is known by a name: its `grade_id`, or its section.

    >>> cell_id("section-4.3")
    'section-4-3'
    """
    return _NOT_IN_CELL_ID.sub("-", name)[:56]


def anchor(name: str) -> str:
    """Return the fragment that leads to a cell.

    JupyterLab finds a cell by its id before anything of a notebook is drawn, a heading by its
    text only afterwards; pages that nbconvert makes give their cells the same names.

    >>> anchor("section-4.3")
    'cell-id=section-4-3'
    """
    return f"cell-id={cell_id(name)}"


def lead_to_exercises(cells: Sequence[NotebookNode], records: Iterable[Exercise]) -> None:
    """Say below the text of a section of theory which exercises are about it."""
    about: dict[str, list[str]] = {}
    for record in records:
        place = anchor(f"{record.slug}__statement")
        link = f"[{record.number} · {record.title}](exercises.ipynb#{place})"
        about.setdefault(record.section, []).append(link)
    for cell in cells:
        for section in SECTION.findall(cell.source) if cell.cell_type == "markdown" else ():
            if links := about.get(section):
                cell.source += f"\n\n{TO_SOLVE} exercise {' and '.join(links)}."


def overview(records: Sequence[Exercise]) -> str:
    """Return a chapter's exercises as a markdown table."""
    rows = ["| # | exercise | theory | difficulty | points |", "|--:|:--|:--|:--|--:|"]
    for record in records:
        functions = ", ".join(f"`{name}`" for name in record.functions)
        worth = num(sum(record.points.values()))
        rows.append(
            f"| {record.number} | {record.title}: {functions} | {record.section} "
            f"| {'★' * record.stars} | {worth} |"
        )
    return "\n".join(rows)
