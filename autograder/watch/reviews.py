"""What a person has graded stays graded where the learner did not change it.

nbgrader keeps a person's points, comments and extra credit when it grades again, and asks
for another look at each cell with such points. With every attempt that would be the whole
class: here the look is asked for where the answer is another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from nbgrader.api import Grade, Gradebook

from autograder.cells import grade_id_of
from autograder.feedback.notebooks import read_notebook
from autograder.files import write_atomically

#: Beside a learner's attempts: which answers a person graded, and with how many points.
REVIEWED = "reviewed.json"


def remember(gradebook: Gradebook, assignment: str, student: str, graded: Path, kept: Path) -> None:
    """Note which answers in a graded submission a person has graded.

    Parameters
    ----------
    gradebook : Gradebook
        The gradebook, open.
    assignment, student : str
        Whose, and what.
    graded : Path
        Folder of the graded submission.
    kept : Path
        Folder in which the notes are kept.
    """
    known = _load(kept)
    before = json.dumps(known, sort_keys=True)
    for grade, digest in _by_hand(gradebook, assignment, student, graded):
        if not grade.needs_manual_grade:
            known.setdefault(grade.name, {})[digest] = float(grade.manual_score)
    if json.dumps(known, sort_keys=True) != before:
        write_atomically(kept / REVIEWED, json.dumps(known, indent=1, sort_keys=True) + "\n")


def recall(gradebook: Gradebook, assignment: str, student: str, graded: Path, kept: Path) -> None:
    """Take back the call for another look at answers that a person has graded as they are."""
    known = _load(kept)
    for grade, digest in _by_hand(gradebook, assignment, student, graded) if known else ():
        if known.get(grade.name, {}).get(digest) == float(grade.manual_score):
            grade.needs_manual_grade = False
    gradebook.db.commit()


def _load(kept: Path) -> dict[str, dict[str, float]]:
    try:
        found: dict[str, dict[str, float]] = json.loads((kept / REVIEWED).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _by_hand(
    gradebook: Gradebook, assignment: str, student: str, graded: Path
) -> Iterator[tuple[Grade, str]]:
    """Yield grades with a person's points, and a digest of the answer that they are for."""
    rows = [
        (notebook.name, grade)
        for submission in gradebook.student_submissions(student)
        if submission.name == assignment
        for notebook in submission.notebooks
        for grade in notebook.grades
        if grade.manual_score is not None
    ]
    digests: dict[str, dict[str, str]] = {}
    for name, grade in rows:
        if name not in digests:
            digests[name] = _answers(graded / f"{name}.ipynb")
        digest = digests[name].get(grade.name.partition("__")[0])
        if digest is not None:
            yield grade, digest


def _answers(path: Path) -> dict[str, str]:
    """Return a digest of all that stands in each exercise of a notebook."""
    notebook = read_notebook(path)
    texts: dict[str, list[str]] = {}
    for cell in notebook.cells if notebook is not None else ():
        name = grade_id_of(cell)
        if name:
            texts.setdefault(name.partition("__")[0], []).append(str(cell.source))
    return {
        slug: hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        for slug, parts in texts.items()
    }
