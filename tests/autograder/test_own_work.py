import os
import subprocess
import sys

import nbformat
import pytest

from autograder import bank
from autograder.cells import iter_test_cells
from autograder.course import Course
from autograder.grading.engine.withheld import package_without, withhold
from autograder.grading.own_work import may_reach_package

CHAPTERS = [chapter for chapter in Course.at().chapters() if bank.load(chapter)]


@pytest.mark.parametrize(
    "source",
    [
        "import servemath_helpers.queueing",
        "from servemath_helpers import *",
        "import helper_of_mine",
        "__import__('serve' + 'math_helpers')",
        "import importlib as i",
        "import sys; sys.modules",
        "eval('1')",
        "f = check_close.__globals__",
        "getattr(x, 'y')",
        "%run other.ipynb",
        "!cat file",
        "import pickle",
        "this does not parse",
        "%time f(1)",
        "def f():\n    from servemath_helpers.queueing import mm1\n    return mm1",
    ],
)
def test_code_that_could_reach_the_package_is_looked_at_twice(source):
    assert may_reach_package(source)


@pytest.mark.parametrize(
    "source",
    [
        "import math\nfrom fractions import Fraction\n\ndef f(x):\n    return math.pi",
        "import numpy as np\nnp.floor(3)",
        "x = 'servemath_helpers in a string'",
    ],
)
def test_plain_code_is_not(source):
    assert not may_reach_package(source)


def reaching_solutions():
    return [
        pytest.param(chapter, exercise, right, id=f"{exercise.slug}/{right.name}")
        for chapter in CHAPTERS
        for exercise in bank.load(chapter)
        for right in exercise.right
        if may_reach_package(right.code)
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


@pytest.mark.parametrize(
    "source",
    [
        "from typing import sys as s",
        "import collections\ncollections._sys.modules",
        "match f:\n    case object(__globals__=g):\n        pass",
        "import string\nstring.Formatter().get_field('0.__globals__', (f,), {})",
        "import json\njson.codecs.builtins",
        "-" * 100_000 + "1",
    ],
    ids=["typing", "underscore", "pattern", "formatter", "codecs", "too deep to read"],
)
def test_a_roundabout_way_is_looked_at_twice_too(source):
    assert may_reach_package(source)
