"""A course of one small assignment: two exercises, graded in seconds."""

import functools
import json
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from nbgrader.api import Gradebook

from autograder.authoring.build import build_text
from autograder.authoring.release import release
from autograder.course import HOME, Course
from autograder.course.mends import newest_tables
from autograder.files import write_atomically
from autograder.grading.outcomes import GRADED, NOT_GRADED, Outcome

from ..shared import made_once

NAME = "ch9_small"

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two exercises
"""

SOLUTION = """
# %% {slug}__solution
def {slug}(x):
    ### BEGIN SOLUTION
    return {answer}
    ### END SOLUTION

"""

VISIBLE = '''
# %% {slug}__visible__{prop} points={points}
"""Visible: {about}."""
{check}

'''

HIDDEN = '''
# %% {slug}__hidden__{prop} points={points}
"""Hidden: {about}."""

pass


### BEGIN HIDDEN TESTS
{check}
### END HIDDEN TESTS

'''

#: grade_id -> points
POINTS = {
    "double__visible__small": 1.0,
    "double__hidden__large": 2.0,
    "half__visible__small": 1.0,
    "half__hidden__negative": 1.0,
}


def text_of(large="assert double(1000) == 2000", points=2, extra=""):
    """Return the assignment as py:percent, with a hidden test to change."""
    cells = [
        (SOLUTION, "double", {"answer": "2 * x"}),
        (VISIBLE, "double", _test("small", "a small number", "assert double(2) == 4")),
        (HIDDEN, "double", _test("large", "large numbers", large, points)),
        (SOLUTION, "half", {"answer": "x / 2"}),
        (VISIBLE, "half", _test("small", "a small number", "assert half(4) == 2")),
        (HIDDEN, "half", _test("negative", "negative numbers", "assert half(-4) == -2")),
    ]
    return HEADER + "".join(text.format(slug=slug, **parts) for text, slug, parts in cells) + extra


def _test(prop, about, check, points=1):
    return {"prop": prop, "about": about, "check": check, "points": points}


RIGHT = {
    "double": "def double(x):\n    return x + x\n",
    "half": "def half(x):\n    return x * 0.5\n",
}
WRONG = {
    "double": "def double(x):\n    return x ** 2\n",
    "half": "def half(x):\n    return abs(x) / 2\n",
}


def make(folder):
    """Lay out the course: text, built notebook, configuration."""
    text = folder / "source" / NAME / "exercises.py"
    write_atomically(text, text_of())
    write_atomically(text.with_suffix(".ipynb"), build_text(text))
    shutil.copy(HOME / "nbgrader_config.py", folder)
    return Course.at(folder)


def released(tmp_path_factory):
    """Return the course as `servemath release` leaves it; not to be changed."""
    folder = made_once(tmp_path_factory, NAME, lambda folder: release(make(folder), NAME))
    return Course.at(folder)


def hand_in(course, student, timestamp=None, **solutions):
    """Put a notebook with these solutions where nbgrader looks for it."""
    notebook = nbformat.read(course.source / NAME / "exercises.ipynb", as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        slug, _, role = grade_id.partition("__")
        if role == "solution":
            cell.source = solutions.get(slug, f"def {slug}(x):\n    raise NotImplementedError()\n")
    folder = course.submitted / student / NAME
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / "exercises.ipynb")
    if timestamp:
        (folder / "timestamp.txt").write_text(timestamp)


def gradebook_of(course):
    return Gradebook(course.database_url)


@functools.cache
def _empty_gradebook():
    """Return the bytes of a gradebook without entries: making one takes a while."""
    mended = mock.patch("nbgrader.api.get_alembic_version", newest_tables)
    with tempfile.TemporaryDirectory() as folder, mended:
        path = Path(folder) / "gradebook.db"
        with Gradebook(f"sqlite:///{path}"):
            pass
        return path.read_bytes()


def fill_gradebook(course, assignment=NAME, points=None):
    """Record the assignment in the gradebook, without nbgrader's commands."""
    points = points or POINTS
    if not course.database.exists():
        course.database.write_bytes(_empty_gradebook())
    with gradebook_of(course) as gradebook:
        gradebook.add_assignment(assignment)
        gradebook.add_notebook("exercises", assignment)
        for name, worth in points.items():
            gradebook.add_grade_cell(
                name, "exercises", assignment, max_score=worth, cell_type="code"
            )
            role = name.split("__")[1]
            gradebook.add_source_cell(
                name,
                "exercises",
                assignment,
                cell_type="code",
                locked=True,
                source=f'"""{role.title()}: about {name}."""',
            )


def record(course, student, shares, assignment=NAME, penalty=None, remarks=(), **who):
    """Record a graded submission: `shares` of each cell's points, one for all or by cell."""
    with gradebook_of(course) as gradebook:
        gradebook.update_or_create_student(student, **who)
        submission = gradebook.add_submission(assignment, student)
        for notebook in submission.notebooks:
            notebook.late_submission_penalty = penalty
            for grade in notebook.grades:
                share = shares.get(grade.name, 0) if isinstance(shares, dict) else shares
                grade.auto_score = None if share is None else share * grade.max_score
                grade.needs_manual_grade = share is None
        gradebook.db.commit()
    Outcome(student, assignment, GRADED, remarks=list(remarks)).save(course.root)


def not_graded(course, student, reason, assignment=NAME):
    Outcome(student, assignment, NOT_GRADED, reason).save(course.root)


def keep_transcript(course, student, calls, assignment=NAME):
    path = course.root / "transcripts" / assignment / f"{student}.json"
    write_atomically(path, json.dumps(calls))
