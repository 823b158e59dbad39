"""No credit for calling the answer.

The helper package teaches the formulas that exercises ask for. A solution that
merely calls the package's implementation of what is asked earns nothing for that
exercise; using other parts of the package is welcome.

The judgement is made from outside the learner's process, in two steps:

1. From the submitted text: code that imports nothing of the package and uses no
   dynamic feature of Python has no use for the answers. It is run without them, once.
   Most submissions end here.
2. From behaviour: the engine runs the notebook again without the answers
   (`autograder.grading.engine.trials`).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import bank
from autograder.cells import is_test_cell, nbgrader_metadata, parse_grade_id
from autograder.grading.engine.outputs import error_output
from autograder.grading.engine.parsing import parse
from autograder.grading.exporter import remarks_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Names through which code can reach a module without an import statement that names it.
DYNAMIC_NAMES = _words(
    "__import__ attrgetter breakpoint builtins codecs compile delattr dir eval exec gc get_ipython "
    "get_type_hints getattr globals importlib inspect io locals open os pkgutil posix runpy "
    "setattr subprocess sys vars"
)

#: Modules that learners import for their solutions and that lead nowhere else.
PLAIN_MODULES = _words(
    "__future__ abc bisect cmath collections copy dataclasses datetime decimal enum fractions "
    "functools heapq itertools json math matplotlib numbers numpy pprint random re seaborn "
    "statistics textwrap time typing warnings"
)


@functools.lru_cache(maxsize=4096)
def may_reach_package(source: str) -> bool:
    r"""Tell whether code could reach `servemath_helpers` beyond the names it was handed.

    Code that passes is run without the answers, which it then cannot miss; code that
    does not is judged by behaviour, in runs with and without them. So a way to the package
    that is overlooked here earns nothing.

    >>> may_reach_package("def f(x):\n    return x / 2")
    False
    >>> may_reach_package("from servemath_helpers import queueing as q")
    True
    >>> may_reach_package("f = header.__globals__['check_close']")
    True
    """
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return True  # a magic, or too deep for us to read; behaviour will tell
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                if not all(_is_plain(alias.name) for alias in names):
                    return True
            case ast.ImportFrom(module=module, names=names):
                if not _is_plain(module or "") or any(_is_dynamic(alias.name) for alias in names):
                    return True
            case ast.Name(id=name) if name in DYNAMIC_NAMES or name.startswith("__"):
                return True
            case ast.Attribute(attr=name) if _is_dynamic(name):
                return True
            case ast.MatchClass(kwd_attrs=names) if any(map(_is_dynamic, names)):
                return True
    return False


def _is_dynamic(name: str) -> bool:
    return name in DYNAMIC_NAMES or name.startswith("_")


def _is_plain(module: str) -> bool:
    return module.partition(".")[0] in PLAIN_MODULES


def learner_sources(nb: NotebookNode) -> Iterable[str]:
    """Yield the source of each code cell that the learner wrote or could change."""
    for cell in nb.cells:
        if cell.cell_type == "code" and not nbgrader_metadata(cell).get("locked"):
            yield cell.source


class CreditOwnWork(NbGraderPreprocessor):
    """Take the points of exercises that were solved by calling the package's answer."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Act on what the engine found when it ran the notebook without the answers."""
        found = resources["servemath"].get("own_work", {})
        exercises = {
            exercise.slug: exercise for exercise in bank.load(resources["nbgrader"]["assignment"])
        }
        for slug in found.get("relying", ()):
            self._withdraw(nb, exercises[slug])
        for what, slugs in (
            ("no credit for calling the package's answer", found.get("relying")),
            (
                "uses the package, and could not be judged without it: look at",
                found.get("unclear"),
            ),
        ):
            if slugs:
                remarks_of(resources).append(f"{what}: {', '.join(slugs)}")
        return nb, resources

    @staticmethod
    def _withdraw(nb: NotebookNode, exercise: bank.Exercise) -> None:
        message = (
            f"This solution only calls {' or '.join(exercise.withheld)}, which is what the "
            "exercise asks you to write. Write the computation yourself; using other parts "
            "of the package is welcome."
        )
        for cell in nb.cells:
            if not is_test_cell(cell):
                continue
            if parse_grade_id(cell.metadata.nbgrader["grade_id"]).slug == exercise.slug:
                cell.outputs = [nbformat.from_dict(error_output("NoCredit", message))]
