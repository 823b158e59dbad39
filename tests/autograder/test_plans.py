"""The capstone: plans that learners hand in, in the engine and on the feedback page.

What a plan may be and what it is worth is tested in ``tests/helpers/test_fleetplans.py``.
"""

import copy
import re
from fractions import Fraction

import nbformat
import numpy as np
import pytest
from markupsafe import Markup

from autograder import bank
from autograder.cells import grade_id_of, iter_test_cells, parse_grade_id
from autograder.check.transcripts import transcript
from autograder.course import Course
from autograder.feedback import played as playing
from autograder.feedback.played import played
from autograder.grading.engine.jail import why_not
from autograder.grading.engine.trials import earned
from autograder.grading.execute import ExecuteGraded
from servemath_helpers.fleetplans import Judged

CHAPTER, SLUG = "ch5_fleets_and_measurement", "plan_fleet"
SLO = {"ttft_s": 1.0}

(RECORD,) = (record for record in bank.load(CHAPTER) if record.slug == SLUG)
RIGHT, WRONG = ({one.name: one.code for one in kind} for kind in (RECORD.right, RECORD.wrong))
EVIL = """
class Money(str):
    __eq__ = __ge__ = __le__ = __lt__ = lambda *_: True
    __hash__ = str.__hash__

class Many(int):
    __le__ = __ge__ = __lt__ = __gt__ = lambda *_: True

class Plan(dict):
    __getitem__ = lambda self, key: "medium" if key == "name" else 1
    keys = lambda self: ["name", "replicas"]
"""
CHEAPEST = RIGHT["simulated_fleet"].replace("def plan_fleet", "def honest")

#: What somebody hands in, and what the visible test and the four hidden ones give.
HANDED_IN = {
    "right": (RIGHT["as_stated"], [1, 1, 1, 1, 1]),
    "not the cheapest": (WRONG["cheapest_option"], [0.97, 0.91, 0.85, 0.97, 0.96]),
    "hard-coded": (
        "def plan_fleet(*_):\n    return {'name': 'medium', 'replicas': 1}",
        [1, 0, 0, 0, 0],
    ),
    "always none": ("def plan_fleet(*_):\n    return None", [0] * 5),
    "no plain data": ("def plan_fleet(*_):\n    return object()", [0] * 5),
    "itself": ("def plan_fleet(*_):\n    x = []\n    x.append(x)\n    return x", [0] * 5),
    "a plan without end": (
        "def plan_fleet(*_):\n    return {'name': 'small', 'replicas': 10**18}",
        [0] * 5,
    ),
    "a dict that lies": (EVIL + "def plan_fleet(*_):\n    return Plan()", [0] * 5),
    "a number that lies": (
        EVIL + "def plan_fleet(*_):\n    return {'name': 'small', 'replicas': Many(10**9)}",
        [0] * 5,
    ),
    "a name that lies": (
        EVIL + "def plan_fleet(*_):\n    return {'name': Money('large'), 'replicas': 1}",
        [0] * 5,
    ),
    "by the count of calls": (
        CHEAPEST
        + "calls = []\n"
        + "def plan_fleet(*given):\n"
        + "    calls.append(1)\n"
        + "    return honest(*given) if len(calls) < 4 else {'name': 'lean', 'replicas': 1}",
        [1, 0, 0, 0, 0],  # three long-prompt traces follow the visible one: the last is lost
    ),
    "makes what it pays for": (
        "def plan_fleet(trace, options, slo):\n"
        "    del trace[1:]\n"
        "    options[0].update(usd_h='0')\n"
        "    return {'name': options[0]['name'], 'replicas': 1}",
        [0] * 5,
    ),
    "says what it earns": (
        "from servemath_helpers import checks, fleetplans\n"
        "fleetplans.check_plans = lambda *_: checks.Credit(1)\n"
        "fleetplans.score_plan = lambda *_: 1\n"
        "def plan_fleet(*_):\n"
        "    print(1)\n"
        "    display(checks.Credit(1))\n"
        "    get_ipython().displayhook(checks.Credit(1))\n"
        "    return checks.Credit(1)",
        [0] * 5,
    ),
    "ends its process": ("import os\ndef plan_fleet(*_):\n    os._exit(0)", [0] * 5),
    "never ends": ("def plan_fleet(*_):\n    while True: pass", [0] * 5),
}


@pytest.fixture(scope="module")
def built():
    """Return the chapter's exercises with the capstone's cells alone."""
    path = Course.at().source / CHAPTER / "exercises.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells if (grade_id_of(cell) or "").startswith(f"{SLUG}__")
    ]
    return notebook


@pytest.fixture(scope="module")
def executor():
    return ExecuteGraded(jail=why_not() is None, allow_unsandboxed=True, workers=2)


@pytest.fixture(scope="module")
def graded(built, executor, tmp_path_factory):
    """Return a function that grades one solution of the capstone."""
    names = {"folder": str(tmp_path_factory.mktemp("empty")), "assignment": CHAPTER}
    with executor.make_pipeline() as pipeline:

        def graded(code, seconds=None):
            notebook = copy.deepcopy(built)
            for cell in notebook.cells:
                if grade_id_of(cell) == f"{SLUG}__solution":
                    cell.source = code
            job = executor.job(notebook, names)
            for cell in job["cells"]:
                if seconds and "seconds" in cell:
                    cell["seconds"] = seconds
            result = pipeline.take(job)
            got = earned(job, result, SLUG)
            tests = [cell.metadata.nbgrader["grade_id"] for _, cell in iter_test_cells(notebook)]
            return [got.get(grade_id, 0) for grade_id in tests], result

        yield graded


@pytest.mark.parametrize("name", HANDED_IN)
def test_a_plan_earns_what_it_does_and_nothing_else(graded, name):
    code, points = HANDED_IN[name]
    got, result = graded(code, seconds=3 if name == "never ends" else None)
    assert got == points
    assert not any(result["own_work"].values())


@pytest.mark.parametrize("library", RECORD.library, ids=lambda one: one.name)
def test_the_packages_own_judge_and_plan_are_no_work_of_ones_own(graded, library):
    got, result = graded(library.code)
    assert got == [1] * 5 and [*result["own_work"]["relying"]] == [SLUG]


def test_all_tests_together_have_the_time_that_the_statement_says(built, executor):
    job = executor.job(built, {"folder": "/nowhere", "assignment": CHAPTER})
    limits = {cell["seconds"] for cell in job["cells"] if cell["slug"] == SLUG}
    assert limits == {RECORD.seconds} == {60}


#: Solutions, what is said of the visible trace, and of the four hidden ones.
SAID = {
    RIGHT["as_stated"]: ["at the least cost"] * 4 + ["no plan keeps this promise"],
    WRONG["means"]: ["Promise broken"] * 5,
    WRONG["cheapest_option"]: ["97 %", "91 %", "85 %", "97 %", "96 %"],
    WRONG["every_request"]: ["50 %", "more than twice", "88 %", "66 %", "None came back"],
    "def plan_fleet(*_):\n    return '<b>'": ["What came back is no plan"] * 5,
    "def plan_fleet(*_):\n    return 1 / 0": ["stopped with an error"] * 5,
    "def plan_fleet(*_):\n    raise NotImplementedError": ["No plan came back."] * 5,
}


@pytest.mark.parametrize("code", SAID)
def test_what_a_page_says_of_plans(built, code):
    found = played(RECORD, transcript(built, {SLUG: code}))
    assert len(found) == 5
    for (grade_id, one), said in zip(found.items(), SAID[code], strict=True):
        assert said in one.said, grade_id
        if parse_grade_id(grade_id).role == "hidden":
            assert (one.drawing, one.legend, one.rows) == (Markup(), (), ())
            # The one number is the share that the points say as well.
            assert re.findall(r"\d+", one.said) == re.findall(r"\d+", said)


def test_the_picture_has_a_mark_for_each_request_and_says_so(built):
    found = played(RECORD, transcript(built, {SLUG: WRONG["means"]}))
    (shown,) = (one for one in found.values() if one.drawing)
    rows = dict(shown.rows)
    assert (rows["Your plan"], rows["Requests kept"]) == ("small × 2", "309 of 600: 51.5 %")
    assert (rows["Cost"], rows["Cheapest plan that keeps the promise"]) == ("2.40 $/h", "3.50 $/h")
    fates = {
        fate: found[1].count("M")
        for fate in ("kept", "late", "slow", "lost")
        if (found := re.search(rf'<path class="{fate}" d="([^"]*)"', shown.drawing))
    }
    assert fates == {"kept": 309, "late": 239, "slow": 52} and sum(fates.values()) == 600
    assert [fate for _, fate, _ in shown.legend] == list(fates)
    (about,) = re.findall(r'role="img" aria-label="([^"]*)"', shown.drawing)
    ticks = re.findall(r">(\d+ m?s)<", shown.drawing)
    assert ticks == ["10 ms", "100 ms", "1 s", "10 s", "100 s"]
    assert "600 requests" in about and "Kept, 309; First token late, 239" in about
    assert not re.search(r"style=|<script|href|nan|inf", shown.drawing)


def test_what_has_no_time_stands_above_the_axis():
    ttft_s, kept = np.array([0.1, np.nan, 10.0]), np.array([True, False, False])
    judged = Judged("small", 1, Fraction(1), Fraction(1), np.arange(3.0), ttft_s, ttft_s, kept)
    shown = playing._drawing(judged, playing._fates(judged, SLO), SLO)
    marks = re.findall(r'<path class="(\w+)" d="M[\d.]+,([\d.]+)m', shown)
    grid = [float(y) for y in re.findall(r'<path class="grid" d="M44,([\d.]+)H', shown)]
    heights = {fate: float(y) for fate, y in marks}
    # From 100 ms to 100 s, upwards; the drawing begins at 0.
    assert heights["kept"] == grid[0] and heights["late"] == grid[2]
    assert 0 < heights["lost"] < grid[3]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"calls": None},
        {"calls": [None]},
        {"calls": [{"function": SLUG}]},
        {"calls": [{"function": SLUG, "args": ["l"], "result": None}]},
        {"calls": [{"function": SLUG, "args": ["l", ["l", 1], ["l"], ["d"]], "result": None}]},
        {"calls": [{"function": SLUG, "args": "x", "result": None}]},
        {"calls": [{"function": "other", "args": ["l"], "result": None}]},
    ],
)
def test_a_damaged_transcript_plays_nothing(entry):
    assert played(RECORD, {f"{SLUG}__visible__x": entry, "x": entry}) == {}


def test_where_no_plan_is_asked_for_nothing_is_played(built):
    calls = transcript(built, {SLUG: RIGHT["as_stated"]})
    assert played(bank.load("ch4_queueing_lab")[0], calls) == {}
