"""Build notebooks from py:percent text, byte for byte the same every time."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograder import bank
from autograder.authoring import colab, outline
from autograder.authoring.exercises import (
    anchor,
    cell_id,
    in_words,
    lead_to_exercises,
    name_cell,
    overview,
    statement,
    with_deep_checks,
)
from autograder.authoring.outline import exercise_minutes, reading_minutes, tell_time
from autograder.authoring.prose import render
from autograder.authoring.questions import (
    SECTION,
    is_questions_file,
    questions_file,
    questions_text,
    withhold,
)
from autograder.authoring.reference import DATA, symbol_table
from autograder.cells import grade_id_of, nbgrader_metadata, parse_grade_id, points_by_exercise
from autograder.course import EXECUTED, HOME, Course
from autograder.files import write_atomically
from servemath_helpers.questions import FOLDER_VARIABLE as QUESTIONS

#: Seconds that a kernel may take to start, and a cell of theory to run: on a busy machine too.
TIMEOUT_S = 120

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_BLANK_BEFORE_HIDDEN = re.compile(r"\n+(### BEGIN HIDDEN TESTS)")


def _cell_ids(notebook: NotebookNode) -> None:
    """Give each cell an id that depends on its content alone; links name those of sections."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        grade_id = grade_id_of(cell)
        if grade_id is not None:
            identity = cell_id(grade_id)
        elif section := SECTION.match(cell.source):
            identity = cell_id(f"section-{section[1]}")
        else:
            digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode())
            identity = digest.hexdigest()[:12]
        count = seen[identity] = seen.get(identity, 0) + 1
        cell["id"] = identity if count == 1 else f"{identity}-{count}"


def _check_exercise_cells(notebook: NotebookNode, path: Path) -> None:
    """Refuse `grade_id`s that do not follow the scheme or stand twice."""
    seen: set[str] = set()
    for cell in notebook.cells:
        if not nbgrader_metadata(cell):
            continue
        grade_id = grade_id_of(cell)
        if grade_id is None:
            raise ValueError(f"{path}: a cell with nbgrader metadata has no grade_id")
        parse_grade_id(grade_id)
        if grade_id in seen:
            raise ValueError(f"{path}: grade_id {grade_id!r} stands twice")
        seen.add(grade_id)


def theory_link(theory: Path, section: str) -> str:
    """Return a markdown link to a section of a chapter's theory notebook.

    Raises
    ------
    ValueError
        If `theory` has no heading ``## <section> <title>``.
    """
    text = theory.read_text(encoding="utf-8")
    heading = re.search(rf"^# ## ({re.escape(section)} .+)$", text, re.MULTILINE)
    if heading is None:
        raise ValueError(f"section must be one of {theory.name}, got {section!r}")
    return f"[theory {section}]({theory.stem}.ipynb#{anchor(f'section-{section}')})"


def from_text(path: Path, **more: object) -> NotebookNode:
    """Return the notebook that the py:percent file at `path` describes, not executed.

    Parameters
    ----------
    path : Path
        A file of ``source/<chapter>/``.
    **more
        What else expressions in its prose may name.

    Raises
    ------
    ValueError
        If a `grade_id` is malformed or doubled, or an expression in prose fails.
    """
    parsed = jupytext.read(path, fmt="py:percent")
    notebook = nbformat.v4.new_notebook(cells=parsed.cells)
    notebook.nbformat_minor = 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    )
    records = {record.slug: record for record in bank.load(path.parent.name)}
    withhold(notebook.cells)
    for cell in notebook.cells:
        name_cell(cell, records)
    _check_exercise_cells(notebook, path)
    notebook.cells = with_deep_checks(notebook.cells, records)
    notebook.cells = colab.with_cell(notebook.cells, colab.repository())
    points = points_by_exercise(notebook)
    theory = functools.partial(theory_link, path.with_name("theory.py"))
    context: dict[str, Any] = {
        "count": in_words(len(records)),
        "exercises": records,
        "overview": overview([*records.values()]),
        "points": {**points, "total": sum(points.values())},
        "symbols": symbol_table,
        "theory": theory,
        **more,
    }
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            where = f"{path.name}, cell {grade_id_of(cell) or position}"
            cell.source = render(cell.source, context, where)
            slug, _, role = (grade_id_of(cell) or "").partition("__")
            if role == "statement" and slug in records:
                cell.source = statement(cell.source, records[slug], theory)
        else:
            # What precedes the hidden tests ends the released cell: no blank lines there.
            cell.source = _BLANK_BEFORE_HIDDEN.sub(r"\n\1", cell.source)
            cell.outputs = []
            cell.execution_count = None
    if path.stem == "theory":
        beside = "Beside it stand the [exercises](exercises.ipynb)"
        if path.with_name("lab.py").is_file():
            beside += " and a [lab](lab.ipynb)"
        tell_time(notebook.cells, reading_minutes(notebook.cells), f"{beside}.")
        lead_to_exercises(notebook.cells, records.values())
    elif path.stem == "exercises":
        tell_time(notebook.cells, exercise_minutes(records.values()), "Ten minutes a star.")
    _cell_ids(notebook)
    return notebook


def execute(notebook: NotebookNode, text: Path) -> None:
    """Run all cells in place, in a fresh kernel, and drop what differs from run to run."""
    with tempfile.TemporaryDirectory(prefix="servemath-") as questions:
        Path(questions, f"{text.parent.name}.json").write_text(questions_text(text), "utf-8")
        _execute(notebook, text.parent, {**os.environ, QUESTIONS: questions})


def _execute(notebook: NotebookNode, folder: Path, environment: dict[str, str]) -> None:
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        startup_timeout=TIMEOUT_S,
        kernel_name=_KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    # What the kernel says outside its cells belongs to no cell.
    client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("widgets", None)


def serialise(notebook: NotebookNode) -> str:
    """Return the notebook as JSON text with sorted keys and one final newline."""
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    return text.rstrip("\n") + "\n"


def build_text(path: Path, outputs: bool | None = None) -> str:
    """Return the JSON text of the notebook built from `path`.

    Parameters
    ----------
    path : Path
        The authored text.
    outputs : bool, optional
        Whether to execute it and keep the outputs; by default only theory is.
    """
    notebook = from_text(path)
    if outputs if outputs is not None else path.stem in EXECUTED:
        execute(notebook, path)
    return serialise(notebook)


def build_guides(course: Course, only_stale: bool = False) -> list[tuple[Path, bool]]:
    """Build the notebooks that belong to no chapter, executed, beside their text.

    They are shipped as they are built: nothing in them is graded.

    Parameters
    ----------
    course : Course
        The course folder.
    only_stale : bool
        As for `build`.

    Returns
    -------
    list of (Path, bool)
        Each notebook, and whether its content changed.
    """
    built = []
    for text in course.guides():
        target = text.with_suffix(".ipynb")
        if not (only_stale and is_current(text)):
            built.append((target, write_atomically(target, build_text(text, outputs=True))))
            target.touch()
    return built


def _is_source(path: Path) -> bool:
    made = is_questions_file(path) or path == outline.place(Course(HOME))
    return path.is_file() and path.suffix != ".pyc" and not made


def is_current(text: Path) -> bool:
    """Tell whether the notebook beside `text` is newer than all it is built from."""
    notebook = text.with_suffix(".ipynb")
    if not notebook.is_file():
        return False
    parts = ("servemath_helpers", "autograder/authoring", f"autograder/bank/{text.parent.name}")
    packages = [path for part in parts for path in (HOME / part).rglob("*.*")]
    sources = [text, text.with_name("theory.py"), DATA, *packages]  # links name theory's sections
    built = notebook.stat().st_mtime
    return all(path.stat().st_mtime <= built for path in sources if _is_source(path))


def build(course: Course, chapter: str, only_stale: bool = False) -> list[tuple[Path, bool]]:
    """Build a chapter's notebooks beside their text.

    Parameters
    ----------
    course : Course
        The course folder.
    chapter : str
        The chapter.
    only_stale : bool
        Leave out notebooks that are newer than what they are built from.

    Returns
    -------
    list of (Path, bool)
        Each notebook and file of questions, and whether its content changed.
    """
    built = []
    for text in course.texts(chapter):
        target = text.with_suffix(".ipynb")
        if not (only_stale and is_current(text)):
            if text.stem in EXECUTED and (asked := questions_file(text)):
                # Before the notebook, which puts them.
                built.append((asked, write_atomically(asked, questions_text(text))))
            changed = write_atomically(target, build_text(text))
            target.touch()
            built.append((target, changed))
    return built
