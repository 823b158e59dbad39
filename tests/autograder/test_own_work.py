"""Whose work a solution is: borrowed answers earn nothing, however they are had; own ones stay.

Each solution of the tables runs in the engine, with the tests of its exercise.
"""

import tomllib
from pathlib import Path

import nbformat
import pytest

from autograder import bank
from autograder.bank import runner
from autograder.cells import grade_id_of, is_test_cell, parse_grade_id
from autograder.course import Course
from autograder.grading.engine.jail import why_not
from autograder.grading.engine.trials import earned
from autograder.grading.execute import ExecuteGraded

CHAPTERS = {
    "ch1_serving_tradeoffs": ("mm1", "replicas_needed", "choose_action", "choose_batch"),
    "ch2_inference_optimization": ("erlang_c", "pareto_front", "release_gate"),
    "ch4_queueing_lab": ("pk_wait",),
}


def chapter_of(slug):
    return next(chapter for chapter, slugs in CHAPTERS.items() if slug in slugs)


@pytest.fixture(scope="module")
def notebooks():
    root = Course.at().source
    return {
        chapter: nbformat.read(root / chapter / "exercises.ipynb", as_version=4)
        for chapter in CHAPTERS
    }


@pytest.fixture(scope="module")
def executor():
    return ExecuteGraded(jail=why_not() is None, allow_unsandboxed=True, workers=1, cache=False)


@pytest.fixture(scope="module")
def pipeline(executor):
    with executor.make_pipeline() as pipeline:
        yield pipeline


@pytest.fixture
def graded(notebooks, executor, pipeline, tmp_path):
    """Grade one exercise: ``(cells that earn, all cells, what was found)``."""

    def graded(slug, code, after="", before="", timeout=10):
        chapter = chapter_of(slug)
        exercises = {exercise.slug: exercise for exercise in bank.load(chapter)}
        cells = []
        for cell in notebooks[chapter].cells:
            name = grade_id_of(cell) or ""
            if name.partition("__")[0] != slug or cell.cell_type != "code":
                continue
            cell = nbformat.from_dict(cell)
            if name.endswith("__solution"):
                cell.source = code
                # How far answers are off follows from the notebook, its ids among the rest.
                cells += [nbformat.v4.new_code_cell(before, id="before"), cell]
                cells.append(nbformat.v4.new_code_cell(after, id="after"))
            else:
                cells.append(cell)
        executor.timeout = timeout
        job = executor.job(nbformat.v4.new_notebook(cells=cells), {"folder": str(tmp_path)})
        job["own_work"] = {one.slug: list(one.withheld) for one in exercises.values()}
        job["functions"] = list(exercises[slug].functions)
        result = pipeline.take(job)
        found = result["own_work"]
        earning = earned(job, result, slug).keys() - set(found["relying"].get(slug, ()))
        tests = {grade_id_of(cell) for cell in cells if is_test_cell(cell)}
        assert set(found["relying"]) <= {slug}
        later = {what: result[what] for what in ("replaced", "overwritten")}
        return earning, tests, {**found, **later}

    return graded


MM1 = bank.load("ch1_serving_tradeoffs")[1].right[0].code
assert "def mm1(lam, mu):" in MM1


def own_mm1(inside, before=""):
    """Return an own mm1 with something more in its wrapper, which sees `mine`."""
    own = MM1.replace("def mm1(", "def own_mm1(")
    return (
        f"import math\nimport numpy as np\nfrom servemath_helpers.queueing import mm1 as ref\n"
        f"{before}\n\n{own}\n\ndef mm1(lam, mu):\n    mine = own_mm1(lam, mu)\n{inside}\n"
        "    return mine\n"
    )


def record(slug):
    return next(one for one in bank.load(chapter_of(slug)) if one.slug == slug)


def right(slug):
    return record(slug).right[0].code


def wrapped(slug, inside, imports):
    """Return a right solution in a wrapper that does more: it sees `args` and `mine`."""
    name = record(slug).functions[0]
    return (
        f"{imports}\n\n{right(slug)}\n\nown = {name}\n\n\n"
        f"def {name}(*args, **kwargs):\n    mine = own(*args, **kwargs)\n{inside}\n"
        "    return mine\n"
    )


#: Computes by itself, and nothing need be asked of a person: slug, code, cell after it.
OWN = {
    "compares_closely": (
        "mm1",
        own_mm1("    assert math.isclose(ref(lam, mu)['W'], mine['W'], rel_tol=1e-6)"),
    ),
    "compares_with_numpy": (
        "mm1",
        own_mm1(
            "    there = ref(lam, mu)\n"
            "    assert np.allclose(list(there.values()), list(mine.values()), rtol=1e-5)"
        ),
    ),
    "compares_all_with_tolerance": (
        "mm1",
        own_mm1(
            "    for key, value in ref(lam=lam, mu=mu).items():\n"
            "        if math.isfinite(value) and abs(value - mine[key]) > 1e-6 * abs(value):\n"
            "            raise RuntimeError('differs')"
        ),
    ),
    "only_looks": ("mm1", own_mm1("    reference = ref(lam, mu)")),
    "prints_a_difference": (
        "mm1",
        own_mm1("    if ref(lam, mu) != mine:\n        print('not the same as the package')"),
    ),
    "keeps_a_log": ("mm1", own_mm1("    log.append((lam, mu, ref(lam, mu)))", "log = []")),
    "falls_back": (
        "mm1",
        own_mm1("    return mine") + "\n\ntry:\n    mm1(1, 2)\nexcept NameError:\n    mm1 = ref\n",
    ),
    "lets_the_package_refuse_first": (
        "mm1",
        MM1.replace(
            "def mm1(lam, mu):",
            "def mm1(lam, mu):\n    from servemath_helpers import queueing\n\n"
            "    queueing.mm1(lam, mu)",
        ),
    ),
    "compares_at_points_of_its_own": (
        "mm1",
        MM1 + "\n\nfrom servemath_helpers import queueing\n\n"
        "for lam in (1, 2, 3):\n    assert mm1(lam, 5) == queueing.mm1(lam, 5)\n",
    ),
    "integers_looked_at": (
        "replicas_needed",
        wrapped(
            "replicas_needed",
            "    if ref(*args, **kwargs) != mine:\n        print('?')",
            "from servemath_helpers.capacity import replicas_needed as ref",
        ),
    ),
    "uses_another_exercises_answer": (
        "pk_wait",
        next(one.code for one in record("pk_wait").right if "kingman_wait" in one.code),
    ),
}

#: Replaced by a cell after it.
REPLACED = {
    "star": "from servemath_helpers.queueing import *\nprint(mm1(9, 12))",
    "name": "from servemath_helpers.queueing import mm1\nprint(mm1(9, 12))",
    "alias": "from servemath_helpers import queueing\nmm1 = queueing.mm1",
}

#: Computes by itself and stops where the package differs: a person is asked to look.
COMPARES = {
    "to_eight_digits": (
        "mm1",
        own_mm1(
            "    for key, value in ref(lam, mu).items():\n"
            "        assert math.isclose(value, mine[key], rel_tol=1e-8)"
        ),
    ),
    "integers": (
        "replicas_needed",
        wrapped(
            "replicas_needed",
            "    assert ref(*args, **kwargs) == mine",
            "from servemath_helpers.capacity import replicas_needed as ref",
        ),
    ),
    "texts": (
        "choose_action",
        wrapped(
            "choose_action",
            "    assert ref(*args, **kwargs) == mine",
            "from servemath_helpers.reliability import choose_action as ref",
        ),
    ),
    "lists": (
        "pareto_front",
        wrapped(
            "pareto_front",
            "    assert list(ref(*args, **kwargs)) == list(mine)",
            "from servemath_helpers.pareto import pareto_front as ref",
        ),
    ),
    "or_gives_none": (
        "choose_batch",
        wrapped(
            "choose_batch",
            "    if mine is not None and ref(*args, **kwargs) != mine:\n        return None",
            "from servemath_helpers.batching import choose_batch as ref",
        ),
    ),
}

#: Borrows, by one way or another.
BORROWS = tomllib.loads(Path(__file__).with_name("borrowed.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", OWN)
def test_an_own_computation_keeps_its_points_without_a_word(graded, name):
    slug, code = OWN[name]
    earning, tests, found = graded(slug, code)
    assert found == {key: type(value)() for key, value in found.items()}
    assert earning == tests


@pytest.mark.parametrize("name", REPLACED)
def test_a_function_that_a_later_import_replaced_is_graded_as_written(graded, name):
    earning, tests, found = graded("mm1", MM1, after=REPLACED[name])
    assert (earning, found["relying"], found["replaced"]) == (tests, {}, ["mm1"])
    wrong = bank.load("ch1_serving_tradeoffs")[1].wrong[0].code
    earning, tests, found = graded("mm1", wrong, after=REPLACED[name])
    assert earning != tests


def test_a_value_in_the_place_of_a_function_is_told(graded):
    earning, _, found = graded("mm1", MM1, after="mm1 = mm1(9, 12)")
    assert (earning, found["overwritten"], found["replaced"]) == (frozenset(), ["mm1"], [])


def test_an_import_at_the_end_of_the_same_cell_replaces_nothing_either(graded):
    code = f"{MM1}\n\nfrom servemath_helpers.queueing import *\n"
    earning, tests, found = graded("mm1", code)
    assert (earning, found["relying"], found["replaced"]) == (tests, {}, ["mm1"])


def test_a_name_imported_before_the_function_is_written_replaces_nothing(graded):
    earning, tests, found = graded("mm1", MM1, before="from servemath_helpers.queueing import *")
    assert (earning, found["relying"], found["replaced"]) == (tests, {}, [])


@pytest.mark.parametrize("name", COMPARES)
def test_where_it_cannot_be_told_points_stand_and_a_person_looks(graded, name):
    slug, code = COMPARES[name]
    earning, tests, found = graded(slug, code)
    assert (found["relying"], found["unclear"]) == ({}, [])
    assert (earning, found["compares"]) == (tests, [slug])


def test_an_exact_comparison_of_one_part_costs_nothing(graded):
    """Whether the part is off that it looks at is chance, and with it whether a person looks."""
    check = "    from servemath_helpers.queueing import mm1 as ref\n    "
    check += "assert ref(lam, mu)['rho'] == lam / mu\n    rho = "
    earning, tests, found = graded("mm1", MM1.replace("    rho = ", check, 1))
    assert (earning, found["relying"], found["unclear"]) == (tests, {}, [])


@pytest.mark.parametrize("name", BORROWS)
def test_a_borrowed_answer_earns_nothing(graded, name):
    earning, _, found = graded(**BORROWS[name], timeout=2)
    assert (earning, found["compares"], found["unclear"]) == (frozenset(), [], [])


def test_of_two_functions_the_own_one_keeps_its_points(graded):
    own = right("erlang_c")
    borrowed = f"{own}\n\nfrom servemath_helpers import queueing\n\n\n"
    borrowed += "def mmc_wait(lam, mu, c):\n    return queueing.mmc_wait(lam, mu, c)\n"
    earning, tests, found = graded("erlang_c", borrowed)
    assert found["compares"] == found["unclear"] == []
    lost = set(found["relying"]["erlang_c"])
    assert lost and earning == tests - lost
    calls = {name for name in tests if "wait" in name}
    assert lost >= calls


def test_the_bank_agrees_on_what_is_right(notebooks):
    for name, (slug, code) in {**OWN, **COMPARES}.items():
        trial = runner.run(notebooks[chapter_of(slug)], slug, code)
        assert trial.failures == {}, name
    assert parse_grade_id("mm1__solution").slug == "mm1"
