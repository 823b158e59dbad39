"""`nbgrader validate`, as a learner runs it."""

import shutil

from autograder import bank
from autograder.course.commands import run_nbgrader

from .conftest import COURSE


def validate(path, folder):
    copy = shutil.copy(path, folder)
    done = run_nbgrader(folder, "validate", copy, timeout_s=300)
    return done.stdout + done.stderr


def test_the_solved_notebook_validates(chapter, tmp_path):
    said = validate(COURSE.source / chapter / "exercises.ipynb", tmp_path)
    assert "Success! Your notebook passes all the tests." in said


def test_the_released_notebook_does_not(chapter, tmp_path):
    said = validate(COURSE.release / chapter / "exercises.ipynb", tmp_path)
    exercises = len(bank.load(chapter))
    assert f"VALIDATION FAILED ON {exercises} CELL(S)" in said
    assert said.count("NotImplementedError") >= exercises
    assert "partial" not in said, "a released test cell must not end in a value"
