import os
import subprocess
import sys

import nbformat
import pytest

from autograder import bank
from autograder.cells import iter_test_cells
from autograder.course import Course
from autograder.grading.engine.judge import TEST
from autograder.grading.engine.trials import grade
from autograder.grading.engine.withheld import package_without, withhold

CHAPTERS = [chapter for chapter in Course.at().chapters() if bank.load(chapter)]


def reaching_solutions():
    return [
        pytest.param(chapter, exercise, right, id=f"{exercise.slug}/{right.name}")
        for chapter in CHAPTERS
        for exercise in bank.load(chapter)
        for right in exercise.right
        if "servemath_helpers" in right.code
    ]


def test_some_right_solutions_use_other_parts_of_the_package():
    assert reaching_solutions()


@pytest.mark.parametrize(("chapter", "exercise", "right"), reaching_solutions())
def test_using_other_parts_of_the_package_is_welcome(chapter, exercise, right, tmp_path):
    """The solution passes its exercise's tests with that exercise's answers withheld."""
    folder = package_without(exercise.withheld, tmp_path)
    notebook = nbformat.read(Course.at().source / chapter / "exercises.ipynb", as_version=4)
    cells = [right.code] + [
        cell.source for name, cell in iter_test_cells(notebook) if name.slug == exercise.slug
    ]
    script = tmp_path / "solution.py"
    script.write_text("\n\n".join(cells))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_library_solution_fails_without_its_answer(chapter, tmp_path):
    """Else the answer would be reachable under another name."""
    answers = [answer for exercise in bank.load(chapter) for answer in exercise.withheld]
    package_without(answers, tmp_path)
    notebook = nbformat.read(Course.at().source / chapter / "exercises.ipynb", as_version=4)
    for exercise in bank.load(chapter):
        for library in exercise.library:
            tests = [c.source for n, c in iter_test_cells(notebook) if n.slug == exercise.slug]
            script = tmp_path / f"{exercise.slug}.py"
            script.write_text("\n\n".join([library.code, *tests]))
            done = subprocess.run(
                [sys.executable, str(script)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert "withheld" in done.stderr, exercise.slug


def test_a_withheld_function_keeps_its_name_and_loses_its_body():
    source = 'def f(x):\n    """Doc."""\n    return x\n\n\ndef g(x):\n    return f(x)\n'
    stripped = withhold(source, ["f"])
    assert "return x\n" not in stripped.partition("def g")[0]
    namespace = {}
    exec(stripped, namespace)
    with pytest.raises(NotImplementedError, match="withheld"):
        namespace["f"](1)
    with pytest.raises(NotImplementedError):
        namespace["g"](1)


def test_a_function_that_is_not_there_cannot_be_withheld():
    with pytest.raises(ValueError, match="no function named h"):
        withhold("def f():\n    pass\n", ["h"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_withheld_name_exists_and_is_gone_from_the_copy(chapter, tmp_path):
    answers = [answer for exercise in bank.load(chapter) for answer in exercise.withheld]
    folder = package_without(answers, tmp_path)
    calls = "\n".join(
        f"import {answer.rpartition('.')[0]}\n"
        f"try:\n    {answer}()\n"
        f"except TypeError:\n    pass\n"
        f"except NotImplementedError:\n    pass\n"
        for answer in answers
    )
    check = (
        f"import servemath_helpers\nassert {str(folder)!r} in servemath_helpers.__file__\n{calls}"
    )
    subprocess.run(
        [sys.executable, "-c", check],
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        timeout=60,
    )
    for answer in answers:
        module, _, function = answer.rpartition(".")
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        assert f"def {function}(" in path.read_text()


class Runs:
    """Stands for the engine: says which tests pass with which answers withheld."""

    def __init__(self, needs, asks=True):
        self.needs, self.asks, self.withheld = needs, asks, []

    def __call__(self, job):
        self.withheld.append(job["withheld"])
        gone = set(job["withheld"])
        error = [{"output_type": "error"}]
        cells = {
            cell["id"]: {
                "outputs": error if gone & set(self.needs[cell["slug"]]) else [],
                "stopped": False,
                "seconds": 0.01,
            }
            for cell in job["cells"]
        }
        return {"cells": cells, "asked_withheld": bool(self.asks and gone)}


def job_of(answers):
    cells = [
        {"id": slug, "slug": slug, "kind": TEST, "grade_id": f"{slug}__hidden__x", "source": "x"}
        for slug in answers
    ]
    limits = {"notebook_s": 60, "cell_s": 10}
    return {"cells": cells, "own_work": answers, "withheld": [], "limits": limits}


ANSWERS = {"a": ["p.a"], "b": ["p.b"], "c": ["p.c"]}


def test_a_submission_that_asks_for_no_answer_is_run_once_and_without_them():
    runs = Runs({"a": [], "b": [], "c": []}, asks=False)
    assert grade(job_of(ANSWERS), runs)["own_work"] == {"relying": [], "unclear": []}
    assert runs.withheld == [["p.a", "p.b", "p.c"]]


def test_an_own_answer_is_told_from_another_exercises():
    runs = Runs({"a": ["p.a"], "b": ["p.a"], "c": []})
    result = grade(job_of(ANSWERS), runs)
    assert result["own_work"] == {"relying": ["a"], "unclear": []}
    assert all(not cell["outputs"] for cell in result["cells"].values())  # of the run with all
    assert runs.withheld == [["p.a", "p.b", "p.c"], [], ["p.a"], ["p.b"]]
