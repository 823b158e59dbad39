"""No credit for calling the answer.

The helper package teaches the formulas that exercises ask for. A solution that
merely calls the package's implementation of what is asked earns nothing for that
exercise; using other parts of the package is welcome.

The judgement is made from outside the learner's process, in two steps:

1. From the submitted text: code that imports nothing of the package and uses no
   dynamic feature of Python cannot reach it. Most submissions end here.
2. From behaviour: the notebook is run again with a copy of the package in which
   the asked functions have no body. A test that passes with the package and
   fails without the answer was passed by the answer.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import bank
from autograder.cells import grade_id_of, is_test_cell, nbgrader_metadata, parse_grade_id
from autograder.grading.execute import ExecuteGraded, error_output
from autograder.grading.exporter import remarks_of

PACKAGE = "servemath_helpers"


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


def may_reach_package(source: str) -> bool:
    r"""Tell whether code could reach `servemath_helpers` beyond the names it was handed.

    Meant to be sound rather than sharp: code that passes is taken to have no way to
    the package, code that does not is judged by behaviour.

    >>> may_reach_package("def f(x):\n    return x / 2")
    False
    >>> may_reach_package("from servemath_helpers import queueing as q")
    True
    >>> may_reach_package("f = header.__globals__['check_close']")
    True
    """
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return False  # a cell that does not compile does not run
    except (ValueError, MemoryError, RecursionError):
        return True  # too deep for us to read; behaviour will tell
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


def withhold(source: str, functions: Iterable[str]) -> str:
    """Return module source in which the named functions have lost their bodies."""
    wanted = set(functions)
    lines = source.splitlines()
    definitions = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    missing = wanted - {node.name for node in definitions}
    if missing:
        raise ValueError(f"no function named {', '.join(sorted(missing))} to withhold")
    for node in sorted(definitions, key=lambda node: node.lineno, reverse=True):
        first, last = node.body[0].lineno - 1, node.end_lineno
        lines[first:last] = ['    raise NotImplementedError("withheld: the exercise asks for it")']
    return "\n".join(lines) + "\n"


def package_without(answers: Iterable[str], folder: Path) -> Path:
    """Copy the package into `folder` without the named answers; return `folder`.

    Parameters
    ----------
    answers : iterable of str
        Dotted names such as ``servemath_helpers.queueing.mm1``.
    folder : Path
        Where the copy goes; put it on ``PYTHONPATH`` to use it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    copied = folder / PACKAGE
    shutil.copytree(Path(spec.origin).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    by_module: dict[str, set[str]] = {}
    for answer in answers:
        module, _, function = answer.removeprefix(f"{PACKAGE}.").rpartition(".")
        by_module.setdefault(module, set()).add(function)
    for module, functions in by_module.items():
        path = copied.joinpath(*module.split(".")).with_suffix(".py")
        path.write_text(withhold(path.read_text("utf-8"), functions), "utf-8")
    return folder


class ExecuteWithout(ExecuteGraded):
    """Run a notebook against a package from which answers are withheld."""

    package_folder = ""

    def kernel_environment(self) -> dict[str, str]:
        """Put the copied package before the installed one."""
        return {"PYTHONPATH": self.package_folder, "PYTHONDONTWRITEBYTECODE": "1"}


def passed(nb: NotebookNode, slug: str) -> frozenset[str]:
    """Return the `grade_id`s of an exercise's test cells that ran without an error."""
    return frozenset(
        cell.metadata.nbgrader["grade_id"]
        for cell in nb.cells
        if is_test_cell(cell)
        and _slug(cell) == slug
        and not any(output.output_type == "error" for output in cell.outputs)
    )


def _slug(cell: NotebookNode) -> str:
    return parse_grade_id(cell.metadata.nbgrader["grade_id"]).slug


@dataclass(frozen=True)
class Judgement:
    """Which exercises rest on their own answer, and which could not be judged."""

    relying: tuple[bank.Exercise, ...] = ()
    unclear: tuple[bank.Exercise, ...] = ()


class CreditOwnWork(NbGraderPreprocessor):
    """Take the points of exercises that were solved by calling the package's answer."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Judge each exercise that the notebook passes."""
        exercises = [
            exercise
            for exercise in bank.load(resources["nbgrader"]["assignment"])
            if passed(nb, exercise.slug)
        ]
        if not exercises or not any(map(may_reach_package, learner_sources(nb))):
            return nb, resources
        judgement = self._judge(nb, resources, exercises)
        for exercise in judgement.relying:
            self._withdraw(nb, exercise)
        for what, found in (
            ("no credit for calling the package's answer", judgement.relying),
            ("uses the package, and could not be judged without it: look at", judgement.unclear),
        ):
            if found:
                names = ", ".join(exercise.slug for exercise in found)
                remarks_of(resources).append(f"{what}: {names}")
        return nb, resources

    def _judge(
        self, nb: NotebookNode, resources: dict[str, Any], exercises: list[bank.Exercise]
    ) -> Judgement:
        """Find the exercises whose tests pass only while their own answer is there.

        All answers are withheld at once first; an exercise that then fails may only
        have used another exercise's answer, which is welcome, so it is tried alone.
        All trials together have the time of one notebook. Who cannot be judged keeps
        the points: a limit that was hit proves nothing, a person should look.
        """
        self._deadline = time.monotonic() + ExecuteGraded(parent=self.parent).notebook_timeout_s
        suspects, unclear = self._failing_without(nb, resources, exercises)
        relying = []
        for exercise in suspects:
            failing, stopped = self._failing_without(nb, resources, [exercise])
            relying += failing
            unclear += stopped
        return Judgement(tuple(relying), tuple(unclear))

    def _failing_without(
        self, nb: NotebookNode, resources: dict[str, Any], withheld: list[bank.Exercise]
    ) -> tuple[list[bank.Exercise], list[bank.Exercise]]:
        """Return the exercises that lose a test without their answers, and those not judged."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return [], withheld
        slugs = {exercise.slug for exercise in withheld}
        trial = copy.deepcopy(nb)
        for cell in trial.cells:
            # What was stopped once would be stopped again; other exercises' tests say nothing.
            unwatched = is_test_cell(cell) and _slug(cell) not in slugs
            if unwatched or cell.id in resources["servemath"].get("stopped", ()):
                cell.source = ""
        seen: dict[str, Any] = {**copy.deepcopy(dict(resources)), "servemath": {}}
        with tempfile.TemporaryDirectory(prefix="servemath-") as folder:
            answers = [answer for exercise in withheld for answer in exercise.withheld]
            runner = ExecuteWithout(parent=self.parent)
            runner.notebook_timeout_s = left
            runner.package_folder = str(package_without(answers, Path(folder)))
            runner.preprocess(trial, seen)
        run = seen["servemath"]["executed"] - seen["servemath"]["stopped"]
        failing, unclear = [], []
        for exercise in withheld:
            lost = passed(nb, exercise.slug) - passed(trial, exercise.slug)
            ran = {grade_id_of(cell) for cell in trial.cells if cell.id in run}
            if lost & ran:
                failing.append(exercise)
            elif lost or not passed(nb, exercise.slug) <= ran:
                unclear.append(exercise)
        return failing, unclear

    @staticmethod
    def _withdraw(nb: NotebookNode, exercise: bank.Exercise) -> None:
        message = (
            f"This solution only calls {' or '.join(exercise.withheld)}, which is what the "
            "exercise asks you to write. Write the computation yourself; using other parts "
            "of the package is welcome."
        )
        for cell in nb.cells:
            if is_test_cell(cell) and _slug(cell) == exercise.slug:
                cell.outputs = [error_output("NoCredit", message)]
