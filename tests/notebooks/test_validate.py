"""`nbgrader validate`, as a learner runs it: once for all chapters, since it starts slowly."""

import shutil

from autograder import bank
from autograder.course.commands import run_nbgrader

from .conftest import CHAPTERS, COURSE


def validate(notebooks, folder):
    copies = [
        shutil.copy(notebooks / chapter / "exercises.ipynb", folder / f"{chapter}.ipynb")
        for chapter in CHAPTERS
    ]
    done = run_nbgrader(folder, "validate", *map(str, copies), timeout_s=300)
    return done.stdout + done.stderr


def test_the_solved_notebooks_validate(tmp_path):
    said = validate(COURSE.source, tmp_path)
    assert said.count("Success! Your notebook passes all the tests.") == len(CHAPTERS), said


def test_the_released_notebooks_do_not(tmp_path):
    said = validate(COURSE.release, tmp_path)
    assert "partial" not in said, "a released test cell must not end in a value"
    assert "Success!" not in said
    _, *failed = said.split("VALIDATION FAILED ON ")
    for chapter, told in zip(CHAPTERS, failed, strict=True):
        exercises = len(bank.load(chapter))
        assert told.startswith(f"{exercises} CELL(S)"), chapter
        assert told.count("NotImplementedError") >= exercises, chapter
