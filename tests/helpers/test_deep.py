"""Deep checks: right solutions pass, wrong ideas meet a counter-example, small and in words."""

import re

import nbformat
import pytest

from autograder import bank
from autograder.bank import runner
from autograder.course import HOME, Course
from servemath_helpers import deep

COURSE = Course.at(HOME)
CHECKED = [
    pytest.param(chapter, record, id=record.slug)
    for chapter in COURSE.chapters()
    for record in bank.load(chapter)
    if record.slug in deep.exercises()
]


def secret_lines(chapter):
    """Lines of a solution, or of a hidden test, that learners do not receive."""
    notebook = nbformat.read(COURSE.source / chapter / "exercises.ipynb", as_version=4)
    secret, public = set(), set()
    for cell in notebook.cells:
        inside = False
        for line in cell.source.splitlines():
            if line.startswith(("    ### BEGIN", "### BEGIN")):
                inside = True
            elif line.lstrip().startswith("### END"):
                inside = False
            else:
                (secret if inside else public).add(line.strip())
    for record in bank.load(chapter):
        for one in record.right:
            secret |= {line.strip() for line in one.code.splitlines()}
    return {line for line in secret - public if len(line) > 20}


@pytest.mark.parametrize("chapter", COURSE.chapters())
def test_no_line_of_a_solution_or_of_a_hidden_test_is_shipped(chapter):
    secret = secret_lines(chapter)
    assert len(secret) > 100
    imports = re.compile(r"(from|import) ")
    for path in (HOME / "servemath_helpers" / "deep").glob("*.py"):
        lines = {line.strip() for line in path.read_text("utf-8").splitlines()}
        assert {line for line in lines & secret if not imports.match(line)} == set(), path


@pytest.mark.parametrize(("chapter", "record"), CHECKED)
def test_right_solutions_pass(chapter, record):
    notebook = nbformat.read(COURSE.source / chapter / "exercises.ipynb", as_version=4)
    own = runner.solution_source(notebook, record.slug)
    for code in (own, *(one.code for one in (*record.right, *record.library))):
        finding = runner.deep(record, code)
        assert finding.state == "fine", (code, finding.text)
