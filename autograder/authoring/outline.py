"""What learners' `progress` knows of the course, and how long a notebook takes.

Minutes follow from what is there. Reading: `WORDS_A_MINUTE` of prose, a minute a picture,
`QUESTION_MINUTES` a question. Exercises: `STAR_MINUTES` for each star that a record gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder import bank
from autograder.authoring.exercises import TO_SOLVE
from autograder.cells import grade_id_of
from autograder.course import Course
from autograder.files import write_atomically

WORDS_A_MINUTE = 150
QUESTION_MINUTES = 3
STAR_MINUTES = 10

#: How the line begins that says how long a notebook takes.
_LINE = "**Time on task:**"


def exercise_minutes(records: Iterable[bank.Exercise]) -> int:
    """Return how long exercises take, tries and checks included."""
    return sum(STAR_MINUTES * record.stars for record in records)


def reading_minutes(cells: list[NotebookNode]) -> int:
    """Return how long a theory takes: prose, pictures and questions."""
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    added = (_LINE, TO_SOLVE)
    words = sum(len(line.split()) for line in prose.splitlines() if not line.startswith(added))
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    pictures, questions = (sum(call in text for text in code) for call in ("show(", "yourself("))
    return round(words / WORDS_A_MINUTE + pictures + QUESTION_MINUTES * questions)


def about(minutes: int) -> str:
    """Return minutes as people say them.

    >>> about(47), about(130)
    ('45 minutes', '2 hours 10 minutes')
    """
    hours, rest = divmod(max(5, 5 * round(minutes / 5)), 60)
    said = [f"{hours} hour{'s' if hours > 1 else ''}"] if hours else []
    return " ".join([*said, *([f"{rest} minutes"] if rest else [])])


def tell_time(cells: list[NotebookNode], minutes: int, advice: str) -> None:
    """Say below a notebook's title, where it has one, how long it takes."""
    if not cells[0].source.startswith("# "):
        return
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{_LINE} about {about(minutes)}. {advice}\n{rest}"


def place(course: Course) -> Path:
    """Return where the outline is kept."""
    return course.root / "servemath_helpers" / "data" / "course.json"


def outline(course: Course) -> str:
    """Return the course in the order of its chapters, as it should be kept, as JSON text.

    Parameters
    ----------
    course : Course
        A course whose notebooks are built.
    """
    return json.dumps([_chapter(course, name) for name in course.chapters()], indent=1) + "\n"


def _chapter(course: Course, name: str) -> dict[str, Any]:
    theory, exercises = (
        nbformat.read(course.source / name / f"{stem}.ipynb", as_version=4)
        for stem in ("theory", "exercises")
    )
    title = theory.cells[0].source.partition("\n")[0]
    return {
        "name": name,
        "title": title.partition("·")[2].strip(),
        "minutes": {"theory": reading_minutes(theory.cells)},
        "exercises": [
            {
                "number": record.number,
                "title": record.title,
                "section": record.section,
                "functions": [*record.functions],
                "minutes": exercise_minutes([record]),
                "checks": [
                    cell.id
                    for cell in exercises.cells
                    if (grade_id_of(cell) or "").startswith(f"{record.slug}__visible__")
                ],
            }
            for record in bank.load(name)
        ],
    }


def write_outline(course: Course) -> list[tuple[Path, bool]]:
    """Write the outline where the course has the package beside it."""
    kept = place(course)
    if not kept.parent.is_dir():
        return []
    return [(kept, write_atomically(kept, outline(course)))]
