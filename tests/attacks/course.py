"""A throw-away course for attacks: short limits, one more exercise, a phrase to look for.

The course's own checks read values past every disguise, even in the learner's
process. Instructors also write plain `assert`s, which do not: an exercise of such
tests is added, one cell a way of comparing.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.authoring.release import release, scratch_course
from autograder.cells import grade_id_of
from autograder.course import Course
from autograder.demo.sample_class import EXERCISES

CHAPTER = "ch1_serving_tradeoffs"

PLAIN = "squares"

PLAIN_SOLUTION = "def squares(n):\n    return [i * i for i in range(n)]\n"

PLAIN_TESTS = {
    "visible__equal": "assert squares(3) == [0, 1, 4]",
    "visible__expected_first": "assert [0, 1, 4] == squares(3)",
    "visible__not_different": "assert not squares(2) != [0, 1]",
    "visible__allclose": "import numpy as np\n\nassert np.allclose(squares(5), [0, 1, 4, 9, 16])",
    "visible__testing": (
        "import numpy as np\n\nnp.testing.assert_allclose(squares(5), [0, 1, 4, 9, 16])"
    ),
    "visible__isclose": "import math\n\nassert math.isclose(squares(4)[3], 9)",
    "hidden__difference": "assert abs(squares(4)[-1] - 9) < 1e-9",
    "hidden__size_and_sum": "assert len(squares(4)) == 4 and sum(squares(4)) == 14",
    "hidden__sorted_and_typed": (
        "assert isinstance(squares(4), list) and sorted(squares(4)) == [0, 1, 4, 9]"
    ),
    "hidden__every_size": "assert all(map(lambda n: len(squares(n)) == n, range(1, 6)))",
    "hidden__kept": "first = squares(3)\nsquares(4)\nassert first == [0, 1, 4]",
    "hidden__loop": "for n in range(6):\n    assert squares(n) == [i * i for i in range(n)]",
}

SETTINGS = """
# An attack that is to be stopped is to be stopped soon.
c.ExecuteGraded.timeout = 2
c.ExecuteGraded.notebook_timeout_s = 60
# Some attacks only wait: more of them at a time than there are cores.
c.ExecuteGraded.workers = 3
"""


def _cell(name: str, source: str, **marks: object) -> NotebookNode:
    metadata = {"grade": False, "locked": False, "solution": False, "task": False, **marks}
    metadata |= {"grade_id": f"{PLAIN}__{name}", "schema_version": 3}
    cell = nbformat.v4.new_code_cell(source, metadata={"nbgrader": metadata})
    cell.id = f"{PLAIN}-{name}".replace("_", "-")[:64]
    return cell


def plain_exercise() -> list[NotebookNode]:
    """Return the cells of an exercise that is tested by plain assertions."""
    stub = f"### BEGIN SOLUTION\n{PLAIN_SOLUTION}### END SOLUTION\n"
    cells = [_cell("solution", stub, solution=True)]
    for name, test in PLAIN_TESTS.items():
        if name.startswith("hidden"):
            test = f"### BEGIN HIDDEN TESTS\n{test}\n### END HIDDEN TESTS"
        cells.append(_cell(name, test, grade=True, locked=True, points=1))
    return cells


def throw_away(folder: Path, phrase: str) -> Course:
    """Return a released course whose hidden tests hold `phrase`."""
    course = scratch_course(folder, [CHAPTER])
    path = course.source / CHAPTER / EXERCISES
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if (grade_id_of(cell) or "").startswith("littles_law__hidden"):
            start = "def hidden_tests():\n"
            assert start in cell.source
            cell.source = cell.source.replace(start, f"{start}    told = {phrase!r}\n\n", 1)
    notebook.cells += plain_exercise()
    nbformat.write(notebook, path)
    with (folder / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write(SETTINGS)
    release(course, CHAPTER)
    return course
