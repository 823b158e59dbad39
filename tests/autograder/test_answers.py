"""What a question for a withheld answer is told, and what trials conclude; nothing runs."""

import importlib.util
import marshal
import random
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autograder.grading.engine import answers, trials
from autograder.grading.engine.codec import decode, encode
from autograder.grading.engine.judge import TEST
from autograder.grading.engine.service import package_folder
from autograder.grading.engine.trials import grade
from autograder.grading.engine.withheld import PACKAGE, package_without, withhold

MM1_NAME = "servemath_helpers.queueing.mm1"
NAN = float("nan")


#: How a run of a test goes unless told otherwise, and other ways: its points, how long it took,
#: what the call in it gave (None: an error), whether the package's answer to it was off.
AS_BEFORE = {"score": 1.0, "stopped": False, "seconds": 0.1, "result": 1.0, "off": False}
FAILS = {"score": None}
GIVES_UP = {"score": None, "result": None}
FOLLOWS = {"result": 2.0, "off": True}
STOPPED = {"score": None, "stopped": True}
SLOW = {"seconds": 4.0}


def verdict(ways, tests=("x",)):
    """Return what `grade` finds where an exercise's runs go these ways, by mode."""

    def run(job):
        withheld = "without" if job["withheld"] else "with"
        way = ways.get(job.get("answers", {}).get("mode", withheld), {})
        result = {"asked_withheld": True, "questions": way.get("questions", 1)}
        result |= {"cells": {}, "transcripts": {}, "off": way.get("off_elsewhere", 0)}
        for name in tests:
            went = {**AS_BEFORE, **way, **way.get(name, {})}
            cell = {"outputs": [], "stopped": went["stopped"], "seconds": went["seconds"]}
            cell |= {"score": went["score"]}
            if went["score"] is None:
                cell["outputs"] = [{"output_type": "error"}]
            call = {"function": name, "args": ["l"], "kwargs": ["d"], "off": went["off"]}
            if went["result"] is None:
                call["error"] = ["NotImplementedError", "withheld"]
            else:
                call["result"] = went["result"]
            result["cells"][name] = cell
            result["transcripts"][f"a__hidden__{name}"] = {"calls": [call]}
            result["off"] += went["off"]
        return result

    cells = [
        {"id": name, "slug": "a", "kind": TEST, "grade_id": f"a__hidden__{name}", "source": name}
        for name in tests
    ]
    limits = {"notebook_s": 60, "cell_s": 10}
    job = {"cells": cells, "own_work": {"a": ["p.a"]}, "withheld": [], "limits": limits}
    found = grade(job, run)["own_work"]
    return next((word for word, slugs in found.items() if slugs), "own"), found


@pytest.mark.parametrize(
    ("expected", "ways"),
    [
        ("own", {"without": {}}),
        ("own", {}),
        ("own", {"far": {"off": True}}),
        ("own", {"far": FOLLOWS, "with": {"score": 0.0}}),  # there is nothing to lose
        ("relying", {"far": FOLLOWS}),
        ("relying", {"far": {**FOLLOWS, "score": 0.6}}),
        ("relying", {"far": GIVES_UP, "exact": FAILS}),
        ("relying", {"far": FAILS, "exact": {"result": 2.0}}),
        ("relying", {"far": GIVES_UP, "exact": STOPPED}),
        ("unclear", {"far": GIVES_UP, "exact": STOPPED, "with": SLOW}),
        ("relying", {"far": GIVES_UP, "exact": {**STOPPED, "questions": 2000}}),
        ("unclear", {"far": GIVES_UP, "exact": {**STOPPED, "questions": 2001}}),
        ("relying", {"far": STOPPED}),
        ("relying", {"far": STOPPED, "with": SLOW}),  # quick with the exact answers
        ("unclear", {"far": STOPPED, "with": SLOW, "exact": SLOW}),
        ("relying", {"far": {**STOPPED, "questions": 9999}}),  # asks on and on
        ("relying", {"far": {**STOPPED, "questions": 9999}, "exact": {"questions": 2000}}),
        ("unclear", {"far": {**STOPPED, "questions": 9999}, "exact": {"questions": 2001}}),
        ("relying", {"far": GIVES_UP, "aimed": FOLLOWS}),
        ("relying", {"far": GIVES_UP, "aimed": {"result": None}}),
        ("relying", {"far": GIVES_UP, "aimed": STOPPED}),
        ("unclear", {"far": GIVES_UP, "aimed": STOPPED, "with": SLOW, "exact": SLOW}),
        ("unclear", {"far": GIVES_UP, "near": STOPPED, "with": SLOW, "exact": SLOW}),
        ("relying", {"far": GIVES_UP, "near": FOLLOWS}),
        ("own", {"far": GIVES_UP, "aimed": {"off": True}, "near": {"off": True}}),
        ("own", {"far": GIVES_UP, "aimed": {**GIVES_UP, "off": True}, "near": {"off": True}}),
        ("own", {"far": GIVES_UP, "near": {"off_elsewhere": 1}}),
        ("compares", {"far": GIVES_UP, "near": {"off": True}}),
        ("compares", {"far": GIVES_UP, "aimed": {"off": True}, "near": {"off": True, **FAILS}}),
        ("compares", {"far": GIVES_UP, "aimed": {"off": True}, "near": {**GIVES_UP, "off": True}}),
        ("compares", {"far": GIVES_UP}),
        ("compares", {"far": {"result": 2.0}}),
    ],
)
def test_what_trials_show_decides_whose_work_it_is(expected, ways):
    assert verdict({"without": FAILS, **ways})[0] == expected


@pytest.mark.parametrize("trials_run", range(5))
def test_where_no_time_is_left_for_a_trial_a_person_looks(monkeypatch, trials_run):
    times = iter([0.0] * (1 + trials_run) + [60.0] * 5)  # one to begin with, one for each trial
    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: next(times)))
    ways = {"without": FAILS, "far": GIVES_UP, "aimed": {"off": True}, "near": {"off": True}}
    assert verdict(ways)[0] == ("own" if trials_run == 4 else "unclear")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"result": 3.0}, {"result": 3.0 + 1e-12}, True),
        ({"result": 3.0}, {"result": 3.1}, False),
        ({"result": ["z", "a"]}, {"result": ["z", "a"]}, True),  # of no known form
        ({"result": ["z", "a"]}, {"result": ["z", "b"]}, False),
        ({"error": ["ValueError", "x"]}, {"error": ["ValueError", "y"]}, True),
        ({"error": ["ValueError", "x"]}, {"error": ["TypeError", "x"]}, False),
        ({"error": ["ValueError", "x"]}, {"result": 3.0}, False),
    ],
)
def test_answers_of_a_trial_are_compared_with_those_of_the_run(one, other, same):
    assert trials._same(one, other) is trials._same(other, one) is same


def test_a_better_score_that_came_of_the_answer_rests_on_it():
    assert verdict({"without": {"score": 0.6}, "far": FOLLOWS})[0] == "relying"


def test_in_a_trial_other_exercises_tests_and_what_was_stopped_do_not_run():
    cells = [
        {"id": name, "slug": slug, "kind": kind, "grade_id": name, "source": "x"}
        for name, slug, kind in (
            ("mine", "a", TEST), ("other", "b", TEST), ("code", "b", "learner"), ("loop", "a", TEST)
        )
    ]  # fmt: skip
    trials_run = []

    def run(job):
        if "answers" in job:
            trials_run.append(job)
        ran = {"outputs": [], "seconds": 0.1, "score": 1.0 if not job["withheld"] else 0.5}
        found = {cell["id"]: {**ran, "stopped": cell["id"] == "loop"} for cell in cells}
        told = {"questions": 1, "off": 0, "transcripts": {}, "asked_withheld": True}
        return {"cells": found, **told}

    limits = {"notebook_s": 60, "cell_s": 10}
    job = {"cells": cells, "own_work": {"a": ["p.a"]}, "withheld": [], "limits": limits}
    grade(job, run)
    sources = {cell["id"]: cell["source"] for cell in trials_run[0]["cells"]}
    assert sources == {"mine": "x", "other": "", "code": "x", "loop": ""}
    assert trials_run[0]["withheld"] == ["p.a"]
    assert 0 < trials_run[0]["limits"]["notebook_s"] <= 60


@pytest.mark.parametrize(
    ("far", "lost"),
    [
        ({"x": FOLLOWS}, ["x"]),
        (FOLLOWS, ["x", "y"]),
        ({"x": FOLLOWS, "y": GIVES_UP}, ["x"]),
    ],
)
def test_a_function_that_did_not_follow_keeps_its_tests(far, lost):
    _, found = verdict({"without": FAILS, "far": far}, tests=("x", "y"))
    assert found["relying"] == {"a": [f"a__hidden__{name}" for name in lost]}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, 1.0 + 1e-10, True),
        (1.0, 1.0 + 1e-8, False),
        (10**400, 1.5, False),
        (1, "1", False),
        ("a", "a", True),
        ("a", "b", False),
        ([1.0, 2], [1.0 + 1e-10, 2], True),
        ([1, 2], [1, 3], False),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], (1, 2), False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-10]), True),
        (np.array([1.0, 2.0]), np.array([1.0, 3.0]), False),
        (np.array([1.0, 2.0]), np.array([[1.0, 2.0]]), False),
    ],
    ids=repr,
)
def test_answers_are_the_same_but_for_rounding(one, other, same):
    one, other = ({"result": encode(value)} for value in (one, other))
    assert trials._same(one, other) is trials._same(other, one) is same
    assert not trials._same(one, {"error": ["ValueError", "m"]})


def test_errors_are_the_same_by_name():
    errors = [{"error": [name, message]} for name in ("KeyError", "ValueError") for message in "ab"]
    assert [trials._same(errors[0], error) for error in errors] == [True, True, False, False]


def test_texts_of_an_answer_are_values_and_no_keys():
    value = {"key": "a", "more": ["b", ("c", 1)], "array": np.array([1.0])}
    assert list(trials._texts(encode(value))) == ["a", "b", "c"]


def test_questions_beyond_the_most_are_refused(monkeypatch):
    monkeypatch.setattr(answers, "MAX_QUESTIONS", 2)
    asked = answers.Answers([MM1_NAME], told_as(answers.EXACT))
    question = {"name": MM1_NAME, "given": encode({"lam": 30, "mu": 50})}
    refused = [asked.answer(question, None) == answers.REFUSED for _ in range(4)]
    assert refused == [False, False, True, True] and asked.asked == 4 and asked.off == 0


def test_a_question_that_raises_is_answered_with_its_error_or_with_a_result():
    for mode, results, off in (
        (answers.EXACT, [], 0),
        (answers.NEAR, [], 0),
        (answers.FAR, [], 1),
        (answers.FAR, [7.0], 1),
    ):
        asked = answers.Answers([MM1_NAME], {**told_as(mode), "results": results})
        question = {"name": MM1_NAME, "given": encode({"lam": -1, "mu": 30})}
        answer = asked.answer(question, None)
        assert asked.off == off
        if off:
            assert answer == {"result": encode((results or [0.5])[0])}
        else:
            assert answer["error"][0] == "ValueError"


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


def test_only_what_is_named_loses_its_body_and_all_of_it():
    kept = "class A:\n    def f(self):\n        return 'mine'\n\n\ndef g():\n    return 'g'\n"
    body = '    """Doc."""\n    secret = 1\n    return secret\n'
    source = f"def f():\n{body}\n\n{kept}\n\ndef h(\n    x=2,\n):\n{body}"
    stripped = withhold(source, ["h", "f"], "module")
    assert kept in stripped and "secret" not in stripped
    assert stripped.count('ask("module.f", _given)') == stripped.count("module.h") == 1
    namespace = {}
    exec(stripped, namespace)
    assert namespace["A"]().f() == "mine" and namespace["g"]() == "g"
    for name in "fh":
        with pytest.raises(NotImplementedError, match="the exercise asks for it"):
            namespace[name]()


def test_the_package_is_copied_without_answers(tmp_path):
    course = package_folder()
    assert package_without([MM1_NAME, "servemath_helpers.cost.utilisation"], tmp_path) == tmp_path
    copied = tmp_path / PACKAGE
    files = {path.relative_to(course) for path in course.rglob("*.py")}
    left = {path.relative_to(copied) for path in copied.rglob("*.py")}
    gone = {path.as_posix() for path in files - left}
    assert gone == {f"deep/{path.name}" for path in course.glob("deep/[a-z]*.py")} != set()
    changed = {
        path.as_posix()
        for path in left
        if (copied / path).read_text() != (course / path).read_text()
    }
    assert changed == {"queueing.py", "cost.py"}
    assert f'ask("{MM1_NAME}", _given)' in (copied / "queueing.py").read_text()


def test_a_function_that_is_not_there_cannot_be_withheld():
    with pytest.raises(ValueError, match="no function named h"):
        withhold("def f():\n    pass\n", ["h"])


def told_as(mode, texts=()):
    return {"mode": mode, "salt": "salt", "texts": list(texts), "results": []}


def told(mode, name, given, call=None, texts=()):
    said = told_as(mode, texts)
    asked = answers.Answers([name], said)
    answer = asked.answer({"name": name, "given": encode(given)}, call)
    value = decode(answer["result"]) if "result" in answer else answer
    return value, asked.off


def test_near_answers_are_off_by_a_few_parts_in_ten_million():
    value, off = told(answers.NEAR, MM1_NAME, {"lam": 30, "mu": 50})
    truth, _ = told(answers.EXACT, MM1_NAME, {"lam": 30, "mu": 50})
    shares = [abs(value[key] / truth[key] - 1) for key in truth]
    assert off == 1 and all(1.9e-7 < share < 8.1e-7 for share in shares)
    assert len(set(shares)) == len(shares)  # nothing to be divided out


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        0.0,
        float("inf"),
        Decimal(0),
        Fraction(0),
        3,
        True,
        None,
        "a",
        [],
        [1, 2],
        (0.5, 1),
        {"a": 1.0, "b": "x"},
    ],
    ids=repr,
)
def test_far_answers_are_others_of_the_same_kind(value):
    for seed in range(20):
        off = answers.Far(random.Random(seed), [[], ["b", "c"]]).of(value)
        assert off != value
        assert value is None or type(off) is type(value)


@pytest.mark.parametrize(
    ("value", "others"), [(3, {2, 4, 5, 6}), (1, {2, 3}), (0, {1, 2}), (None, {1, 2, 3})]
)
def test_far_numbers_are_all_about_the_right_one(value, others):
    assert {answers.Far(random.Random(n), []).of(value) for n in range(100)} == others


@pytest.mark.parametrize(
    ("texts", "others"),
    [
        ([], {"not b"}),
        ([["b"]], {"not b"}),
        ([[], ["b", "c"]], {"c"}),
        ([["b", "c", "d"], ["e"]], {"c", "d"}),
        ([["b"], ["e"]], {"e"}),
    ],
)
def test_far_texts_are_others_of_the_nearest_that_there_are(texts, others):
    assert {answers.Far(random.Random(n), texts).of("b") for n in range(20)} == others


@pytest.mark.parametrize(
    ("value", "low", "high", "gap"),
    [(2.0, 1.0, 3.0, 0.2), (0.0, 0.25, 1.25, 0.0), (float("inf"), 0.25, 1.25, 0.0)],
)
def test_far_numbers_are_off_by_a_share_up_or_down(value, low, high, gap):
    seen = [answers.Far(random.Random(n), []).of(value) for n in range(100)]
    middle = (low + high) / 2
    assert low <= min(seen) < middle < max(seen) <= high
    assert all(abs(number - value) >= gap for number in seen)


@pytest.mark.parametrize("values", [np.zeros(3), np.arange(3), np.array([0.5, 2.0])])
def test_far_arrays_are_off_everywhere(values):
    for seed in range(20):
        off = answers.Far(random.Random(seed), []).of(values)
        assert off.shape == values.shape and (abs(off - values) > 0.1).all()


def test_aimed_answers_are_off_only_where_the_call_asked():
    given = {"lam": 30, "mu": 50}
    assert told(answers.AIMED, MM1_NAME, given, [[30, 50], {}])[1] == 1
    assert told(answers.AIMED, MM1_NAME, given, [[], {"lam": 30.0, "mu": "50"}])[1] == 1
    assert told(answers.AIMED, MM1_NAME, given, [[3, 5], {}])[1] == 0
    assert told(answers.AIMED, MM1_NAME, given, None)[1] == 0


@pytest.mark.parametrize(
    "question",
    [
        None,
        {},
        {"name": "os.system", "given": ["d", ["command", "true"]]},
        {"name": MM1_NAME, "given": ["d", ["lam", 1]]},
        {"name": MM1_NAME, "given": ["l", 1]},
        {"name": MM1_NAME, "given": ["d", ["lam", ["?", "x"]], ["mu", 1]]},
        {"name": MM1_NAME, "given": "x"},
        {"name": [MM1_NAME], "given": ["d"]},
    ],
    ids=repr,
)
def test_a_question_that_is_none_is_refused(question):
    asked = answers.Answers([MM1_NAME], told_as(answers.EXACT))
    assert asked.answer(question, None) == answers.REFUSED


def test_bytecode_that_comes_with_a_copy_is_that_of_its_source(tmp_path):
    """Jails write none: without it each notebook would compile the package anew."""
    copied = package_without(["servemath_helpers.queueing.mm1"], tmp_path) / "servemath_helpers"
    modules = {*copied.rglob("*.py")}
    for path in modules:
        bytecode = Path(importlib.util.cache_from_source(str(path))).read_bytes()
        assert marshal.loads(bytecode[16:]) == compile(path.read_bytes(), "", "exec"), path
    assert len({*copied.rglob("*.pyc")}) == len(modules) > 100
    assert "withheld_was_asked" in (copied / "queueing.py").read_text(encoding="utf-8")


def test_a_copy_is_run_from_its_bytecode(tmp_path):
    copied = package_without([], tmp_path)
    asked = "import servemath_helpers.queueing as it; print(it.mm1.__code__.co_filename)"
    (copied / "servemath_helpers/queueing.py").write_text("mm1 = None", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=copied, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(copied / "servemath_helpers/queueing.py")


def test_bytecode_is_kept_where_python_is_told_to_keep_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "kept"))
    copied = package_without([], tmp_path / "copy") / "servemath_helpers"
    assert Path(importlib.util.cache_from_source(str(copied / "queueing.py"))).is_file()
    assert [*(tmp_path / "kept").rglob("*.pyc")] and not [*copied.rglob("*.pyc")]
