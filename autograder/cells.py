"""How an exercise is spelled in a notebook: `grade_id`s and the roles they name.

A graded exercise is a run of cells whose `grade_id`s share one slug::

    littles_law__statement
    littles_law__solution
    littles_law__visible__finds_the_missing_quantity
    littles_law__hidden__values
    littles_law__hidden__edges
    littles_law__hidden__refused

The slug is the name of the (first) function asked for. Everything that has to
know which exercise a cell belongs to reads it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

ROLES = ("statement", "solution", "visible", "hidden", "answer")

#: What hidden cells of an exercise test, each in a cell of its own, and how it is said.
PARTS = {"values": "Values", "edges": "Edges", "refused": "Refused input"}


#: In the statement of what a person grades: the line above the list of what counts.
RUBRIC = "**What a reader looks for**"


@dataclass(frozen=True)
class CellName:
    """The parts of a `grade_id`: exercise slug, role, tested property."""

    slug: str
    role: str
    prop: str = ""

    @property
    def property_in_words(self) -> str:
        """The tested property as a person would say it."""
        return self.prop.replace("_", " ")


def parse_grade_id(grade_id: str) -> CellName:
    """Split a `grade_id` into its parts; refuse one that does not follow the scheme."""
    slug, _, rest = grade_id.partition("__")
    role, _, prop = rest.partition("__")
    if not slug or role not in ROLES:
        raise ValueError(
            f"grade_id must look like <function>__<role>[__<property>] with a role of "
            f"{', '.join(ROLES)}; got {grade_id!r}"
        )
    return CellName(slug, role, prop)


def nbgrader_metadata(cell: NotebookNode) -> dict[str, Any]:
    """Return the cell's nbgrader metadata, or an empty dict where it is missing or malformed."""
    metadata = cell.get("metadata", {}).get("nbgrader")
    return metadata if isinstance(metadata, dict) else {}


def grade_id_of(cell: NotebookNode) -> str | None:
    """Return the cell's `grade_id`, or None."""
    grade_id = nbgrader_metadata(cell).get("grade_id")
    return grade_id if isinstance(grade_id, str) and grade_id else None


def is_test_cell(cell: NotebookNode) -> bool:
    """Tell whether the cell is a code cell graded by running it."""
    metadata = nbgrader_metadata(cell)
    return bool(cell.cell_type == "code" and metadata.get("grade") and not metadata.get("solution"))


def iter_test_cells(notebook: NotebookNode) -> Iterator[tuple[CellName, NotebookNode]]:
    """Yield each graded code cell with its parsed name, in order."""
    for cell in notebook.cells:
        if is_test_cell(cell):
            yield parse_grade_id(cell.metadata.nbgrader["grade_id"]), cell


def points_of(cell: NotebookNode) -> float:
    """Return the points a graded cell is worth, 0 for any other cell."""
    metadata = nbgrader_metadata(cell)
    return float(metadata.get("points", 0)) if metadata.get("grade") else 0.0


def points_by_exercise(notebook: NotebookNode) -> dict[str, float]:
    """Return the points of each exercise in order of appearance, tests only."""
    points: dict[str, float] = {}
    for name, cell in iter_test_cells(notebook):
        points[name.slug] = points.get(name.slug, 0.0) + points_of(cell)
    return points


def is_graded_by_hand(cell: NotebookNode) -> bool:
    """Tell whether a learner writes in the cell and a person grades it."""
    metadata = nbgrader_metadata(cell)
    return bool(metadata.get("grade") and metadata.get("solution"))


def rubric_of(notebook: NotebookNode, slug: str) -> tuple[str, ...]:
    r"""Return what counts where a person grades the answer to `slug`, as its statement lists it.

    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> cell = new_markdown_cell(f"Why?\n\n{RUBRIC}\n\n- a reason\n- a number,\n  with its unit")
    >>> cell.metadata.nbgrader = {"grade_id": "reflection__statement"}
    >>> rubric_of(new_notebook(cells=[cell]), "reflection")
    ('a reason', 'a number, with its unit')
    """
    wanted = f"{slug}__statement"
    text = next((str(c.source) for c in notebook.cells if grade_id_of(c) == wanted), "")
    items: list[str] = []
    for line in text.partition(RUBRIC)[2].strip().splitlines():
        if line.startswith("- "):
            items.append(line.removeprefix("- ").strip())
        elif line.startswith("  ") and items:
            items[-1] += f" {line.strip()}"
        else:
            break
    return tuple(items)
