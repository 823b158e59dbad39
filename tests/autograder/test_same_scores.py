"""Every solution of the bank scores in the engine what it scores in one plain namespace.

`bank.runner` runs a solution and the tests side by side, as a stock kernel does. The
benchmark `benchmarks/autograde.py` compares with stock nbgrader itself.
"""

import functools
import tomllib
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder import bank
from autograder.bank.runner import run
from autograder.cells import grade_id_of, iter_test_cells, points_of
from autograder.course import Course
from autograder.grading.engine.jail import why_not
from autograder.grading.engine.trials import earned
from autograder.grading.execute import ExecuteGraded

from ..shared import run_once
from .conftest import code_cell, notebook_of

CHAPTERS = [chapter for chapter in Course.at().chapters() if bank.load(chapter)]


@pytest.fixture(scope="module")
def executor():
    return ExecuteGraded(jail=why_not() is None, allow_unsandboxed=True, workers=2, timeout=30)


@pytest.fixture(scope="module")
def pipeline(executor):
    with executor.make_pipeline() as pipeline:
        yield pipeline


def solutions(exercise):
    return [solution.code for solution in (*exercise.right, *exercise.wrong)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_right_and_wrong_solutions_earn_the_same_points(
    chapter, executor, pipeline, tmp_path, tmp_path_factory
):
    notebook = nbformat.read(Course.at().source / chapter / "exercises.ipynb", as_version=4)
    exercises = bank.load(chapter)
    plainly = functools.partial(run_once(tmp_path_factory), notebook)
    jobs = []
    for number in range(max(len(solutions(exercise)) for exercise in exercises)):
        chosen = {
            f"{exercise.slug}__solution": solutions(exercise)[number]
            for exercise in exercises
            if number < len(solutions(exercise))
        }
        over = {exercise.slug for exercise in exercises if number >= len(solutions(exercise))}
        handed_in = nbformat.from_dict(notebook)
        handed_in.cells = [
            cell
            for cell in handed_in.cells
            if (grade_id_of(cell) or "").partition("__")[0] not in over
        ]
        for cell in handed_in.cells:
            cell.source = chosen.get(grade_id_of(cell), cell.source)
        job = executor.job(handed_in, {"folder": str(tmp_path)})
        pipeline.hand_in(job)
        jobs.append((job, chosen))
    for job, chosen in jobs:
        result = pipeline.take(job)
        for exercise in exercises:
            if f"{exercise.slug}__solution" not in chosen:
                continue
            plain = plainly(exercise.slug, chosen[f"{exercise.slug}__solution"])
            got = earned(job, result, exercise.slug)
            points = {
                grade_id_of(cell): min(got.get(grade_id_of(cell), 0), points_of(cell))
                for name, cell in iter_test_cells(notebook)
                if name.slug == exercise.slug
            }
            assert points == plain.points, (
                exercise.slug,
                chosen[f"{exercise.slug}__solution"],
            )


#: What may be called in a solution's place. `f` is the function as it was written.
CALLED = {
    "as it is": "return f",
    "decorated": """
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs)
        return wrapper""",
    "a lambda": "return lambda *args, **kwargs: f(*args, **kwargs)",
    "a partial": "return functools.partial(f)",
    "a callable object": """
        class Solution:
            def __call__(self, *args, **kwargs):
                return f(*args, **kwargs)
        return Solution()""",
    "a bound method": """
        class Solution:
            def solve(self, *args, **kwargs):
                return f(*args, **kwargs)
        return Solution().solve""",
    "one more keyword": """
        def wrapper(*args, verbose=False, **kwargs):
            return f(*args, **kwargs)
        return wrapper""",
    "prints and warns": """
        def wrapper(*args, **kwargs):
            print("called with", len(args))
            warnings.warn("careful")
            return f(*args, **kwargs)
        return wrapper""",
    "remembers": """
        calls = []
        def wrapper(*args, **kwargs):
            calls.append((args, kwargs))
            return f(*args, **kwargs)
        return wrapper""",
}

#: What an answer may be made into. `v` is the answer as it was.
ANSWERED = {
    "as it is": "return v",
    "a tuple for a list": "return tuple(v) if type(v) is list else v",
    "a list for a tuple": "return list(v) if isinstance(v, tuple) else v",
    "an array for a list": "return np.array(v) if type(v) is list else v",
    "a generator for a list": "return (x for x in v) if type(v) is list else v",
    "numpy numbers": """
        if type(v) is bool:
            return np.bool_(v)
        if type(v) is int and abs(v) < 2**62:
            return np.int64(v)
        return np.float64(v) if type(v) is float else v""",
    "numpy numbers within": """
        if type(v) is dict:
            return {k: np.float64(x) if type(x) is float else x for k, x in v.items()}
        return v""",
    "exact numbers": """
        if type(v) is float and math.isfinite(v):
            return fractions.Fraction(v)
        return decimal.Decimal(v) if type(v) is int else v""",
    "other dicts": "return collections.OrderedDict(v) if type(v) is dict else v",
    "dicts with a default": "return collections.defaultdict(float, v) if type(v) is dict else v",
    "named tuples": """
        if type(v) is tuple and v:
            return collections.namedtuple("Answer", [f"p{n}" for n in range(len(v))])(*v)
        return v""",
    "texts of a class": """
        class Text(str):
            pass
        return Text(v) if type(v) is str else v""",
    "numbers of a class": """
        class Number(float):
            pass
        return Number(v) if type(v) is float else v""",
    "negative zero": "return -0.0 if type(v) is float and v == 0 else v",
    "an array without dimensions": "return np.array(v) if type(v) is float else v",
}

#: What a refusal may be made into. `e` is the exception as it was.
REFUSED = {
    "as it is": "raise e",
    "of two classes": """
        class Refused(type(e), KeyError):
            pass
        raise Refused(*e.args)""",
    "with more arguments": "raise type(e)(*e.args, 5, {'argument': 'lam'})",
    "with attributes": "e.argument = 'lam'; raise e",
    "with a text of its own": """
        class Refused(type(e)):
            def __str__(self):
                return "refused"
        raise Refused(*e.args)""",
    "with a constructor of its own": """
        class Refused(type(e)):
            def __init__(self, argument, said):
                super().__init__(f"{argument}: {said}")
                self.argument = argument
        raise Refused("lam", str(e))""",
    "from another": "raise type(e)(*e.args) from KeyError('lam')",
    "without a text": "raise type(e)",
}

VARIANT = """

import collections, decimal, fractions, functools, math, warnings
import numpy as np


def variant_of(function):
    def answer(v):
{answered}

    def refuse(e):
{refused}

    def f(*args, **kwargs):
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            refuse(error)
        return answer(value)

{called}


{functions}
"""


def indented(code, depth):
    lines = [line.strip("\n") for line in code.strip("\n").splitlines()]
    least = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(" " * depth + line[least:] for line in lines)


def varied(exercise, pick, called, answered, refused):
    """Return a right solution that is called, answers and refuses in another way."""
    code = exercise.right[pick % len(exercise.right)].code
    assigned = "\n".join(f"{name} = variant_of({name})" for name in exercise.functions)
    return code + VARIANT.format(
        called=indented(CALLED[called], 4),
        answered=indented(ANSWERED[answered], 8),
        refused=indented(REFUSED[refused], 8),
        functions=assigned,
    )


WAYS = st.tuples(
    st.integers(0, 4),
    st.sampled_from(sorted(CALLED)),
    st.sampled_from(sorted(ANSWERED)),
    st.sampled_from(sorted(REFUSED)),
)


@pytest.mark.filterwarnings("ignore:careful")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_variant_of_a_right_solution_earns_less(chapter, executor, pipeline, tmp_path):
    notebook = nbformat.read(Course.at().source / chapter / "exercises.ipynb", as_version=4)
    exercises = bank.load(chapter)

    @settings(
        max_examples=4,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(WAYS, min_size=len(exercises), max_size=len(exercises)))
    def compare(ways):
        codes = {
            exercise.slug: varied(exercise, *way)
            for exercise, way in zip(exercises, ways, strict=True)
        }
        handed_in = nbformat.from_dict(notebook)
        for cell in handed_in.cells:
            slug, _, role = (grade_id_of(cell) or "").partition("__")
            if role == "solution" and slug in codes:
                cell.source = codes[slug]
        job = executor.job(handed_in, {"folder": str(tmp_path)})
        result = pipeline.take(job)
        for exercise, way in zip(exercises, ways, strict=True):
            plain = run(notebook, exercise.slug, codes[exercise.slug])
            got = earned(job, result, exercise.slug)
            for grade_id, points in plain.points.items():
                assert min(got.get(grade_id, 0), points) == points, (exercise.slug, way, grade_id)

    compare()


#: What a learner's cell defines, and a test that holds in one process.
SEEN = tomllib.loads(Path(__file__).with_name("across_the_wall.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def seen(pipeline, executor, tmp_path_factory):
    """Return what each test of the table above ended with, in the engine."""
    cells = []
    for name, one in SEEN.items():
        cells += [code_cell(one["code"]), code_cell(one["test"], f"{name}__visible__x")]
    job = executor.job(notebook_of(*cells), {"folder": str(tmp_path_factory.mktemp("seen"))})
    result = pipeline.take(job)
    tests = [cell for cell in job["cells"] if cell["grade_id"]]
    outputs = [result["cells"][cell["id"]]["outputs"] for cell in tests]
    return dict(zip(SEEN, outputs, strict=True))


@pytest.mark.parametrize("name", SEEN)
def test_a_test_sees_across_the_wall_what_it_sees_in_one_process(seen, name):
    names = {"__name__": "__main__"}
    exec(SEEN[name]["code"], names)
    exec(SEEN[name]["test"], names)
    errors = [output for output in seen[name] if output["output_type"] == "error"]
    assert [(error["ename"], error["evalue"]) for error in errors] == []
