"""`nbgrader validate`, as a learner runs it: once for all notebooks, since it starts slowly."""

import shutil

import pytest

from autograder import bank
from autograder.course.commands import run_nbgrader

from .conftest import CHAPTERS, COURSE


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return what is said of the solved notebooks, and of the released ones."""
    folder = tmp_path_factory.mktemp("validate")
    copies = [
        shutil.copy(notebooks / chapter / "exercises.ipynb", folder / f"{place}_{chapter}.ipynb")
        for place, notebooks in enumerate((COURSE.source, COURSE.release))
        for chapter in CHAPTERS
    ]
    done = run_nbgrader(folder, "validate", *map(str, copies), timeout_s=500)
    return done.stdout + done.stderr


def test_the_solved_notebooks_validate(said):
    solved, _, others = said.partition("VALIDATION FAILED ON ")
    assert solved.count("Success! Your notebook passes all the tests.") == len(CHAPTERS), said
    assert "Success!" not in others


def test_the_released_notebooks_do_not(said):
    assert "partial" not in said, "a released test cell must not end in a value"
    _, *failed = said.split("VALIDATION FAILED ON ")
    for chapter, told in zip(CHAPTERS, failed, strict=True):
        exercises = len(bank.load(chapter))
        assert told.startswith(f"{exercises} CELL(S)"), chapter
        assert told.count("NotImplementedError") >= exercises, chapter
