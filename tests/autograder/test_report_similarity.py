"""Alike code: what counts as alike, what chance explains, what is worth a look."""

import json
import random
import re
from types import SimpleNamespace

import nbformat
import pytest

from autograder import bank
from autograder.gradebook.record import ClassRecord, Submission
from autograder.report import similarity
from autograder.report.forms import tokens
from autograder.report.similarity import _solutions, look_at, near_identical

CHAPTER = "ch1_serving_tradeoffs"
EXERCISES = bank.load(CHAPTER)

LOOP = '''
def mean(values):
    """Return the mean."""
    total = 0
    for value in values:  # add up
        total += value
    if not values:
        raise ValueError("no values")
    return total / len(values)
'''


def form(code, handed=("mean",)):
    return tokens(code, handed)


@pytest.mark.parametrize(
    "same",
    [
        LOOP.replace("total", "acc").replace("value ", "v ").replace("value\n", "v\n"),
        re.sub(r"#.*", "", LOOP),
        LOOP.replace('"""Return the mean."""', '"""Durchschnitt."""'),
        LOOP.replace("no values", "leer"),
        LOOP.replace("    ", "\t"),
        LOOP.replace("def mean(values)", "def mean(values: list) -> float"),
        LOOP.replace("total / len(values)", "(total / (len(values)))"),
    ],
    ids=["names", "comments", "docstring", "message", "layout", "annotations", "brackets"],
)
def test_what_a_learner_can_change_without_changing_the_computation_goes(same):
    assert same != LOOP
    assert form(same) == form(LOOP)


@pytest.mark.parametrize(
    "other",
    [
        LOOP.replace("total / len", "total * len"),
        LOOP.replace("total = 0", "total = 1"),
        LOOP.replace("if not values", "if values"),
        LOOP.replace("ValueError", "TypeError"),
    ],
)
def test_what_changes_the_computation_stays(other):
    assert form(other) != form(LOOP)


def test_headers_of_helpers_are_the_learner_s_own():
    assert form("def half(x):\n    return x / 2") != form("def mean(x):\n    return x / 2")


@pytest.mark.parametrize("code", ["def mean(:\n  retrun", "'''", "", "\x00", "(" * 5000, "é = 1 +"])
def test_code_that_does_not_parse_has_a_form_all_the_same(code):
    assert isinstance(form(code), tuple)


def picks(seed, people=30):
    """Return a class in which everybody solves each exercise in one of the bank's ways."""
    dice = random.Random(seed)
    return {
        f"s{number:02d}": {
            exercise.slug: dice.choice([*exercise.right, *exercise.wrong]).code
            for exercise in EXERCISES
        }
        for number in range(people)
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_class_that_works_independently_gives_nothing_to_look_at(seed):
    assert look_at(EXERCISES, picks(seed)) == []


@pytest.mark.parametrize(("replaced", "alike"), [(10, True), (11, False)])
def test_forms_are_alike_if_nine_of_ten_tokens_agree(monkeypatch, replaced, alike):
    monkeypatch.setattr(similarity, "tokens", lambda code, _: tuple(code.split()))
    one = [f"t{number}" for number in range(100)]
    other = [f"u{number}" for number in range(replaced)] + one[replaced:]
    exercise = SimpleNamespace(functions=(), right=[SimpleNamespace(code=" ".join(one))], wrong=[])
    compared = similarity._compare(exercise, {"a": " ".join(one), "b": " ".join(other)}, "")
    assert compared.alike.tolist() == [[True, alike], [alike, True]]
    assert compared.like_bank.tolist() == [[True], [alike]]


def own_way(code):
    """Return code with some steps that nobody else writes."""
    extra = "\n    seen = {}\n    for k in range(3):\n        seen[k] = k ** 2\n    seen.clear()\n"
    return re.sub(r"\n(    return [^\n]*\n)$", lambda found: f"{extra}{found[1]}", code)


def renamed(code):
    return code.replace("seen", "zwischen").replace("    # ", "    #").replace(" k ", " i ")


def test_a_copy_with_other_names_is_found_and_nobody_else():
    people = picks(1)
    people["s03"] = {slug: own_way(code) for slug, code in people["s03"].items()}
    assert sum(own_way(code) == code for code in picks(1)["s03"].values()) <= 5
    people["s17"] = {slug: renamed(code) for slug, code in people["s03"].items()}
    (group,) = look_at(EXERCISES, people)
    assert group.learners == ("s03", "s17")
    assert len(group.exercises) >= 8 and group.pairs[0].compared == len(EXERCISES)


def test_a_clique_is_one_group():
    people = picks(2)
    for student in ("s01", "s02", "s03", "s04"):
        people[student] = dict(people["s00"])
    (group,) = look_at(EXERCISES, people)
    assert group.learners == ("s00", "s01", "s02", "s03", "s04")
    assert len(group.pairs) == 10


def test_one_short_exercise_that_all_solve_alike_says_nothing():
    (exercise,) = [one for one in EXERCISES if one.slug == "littles_law"]
    people = {f"s{k}": {"littles_law": exercise.right[0].code} for k in range(20)}
    assert look_at([exercise], people) == []


def test_work_as_released_is_not_alike():
    stubs = {
        exercise.slug: f"def {exercise.functions[0]}():\n    raise NotImplementedError()"
        for exercise in EXERCISES
    }
    people = {f"s{k}": dict(stubs) for k in range(10)}
    assert look_at(EXERCISES, people, stubs) == []


@pytest.mark.parametrize("people", [{}, {"s1": {}}, {"s1": {"mm1": "x"}}, {"s1": {}, "s2": {}}])
def test_small_and_empty_classes(people):
    assert look_at(EXERCISES, people) == []


def test_two_learners_alone_can_be_alike():
    code = {slug: own_way(source) for slug, source in picks(5)["s00"].items()}
    (group,) = look_at(EXERCISES, {"s1": code, "s2": dict(code)})
    assert group.learners == ("s1", "s2")


def test_submissions_are_read_from_the_course_whatever_a_file_holds(tmp_path):
    from autograder.course import Course

    (tmp_path / "source").mkdir()
    course = Course.at(tmp_path)
    code = {slug: own_way(source) for slug, source in picks(5)["s00"].items()}
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"grade_id": f"{slug}__solution"}})
        for slug, source in code.items()
    ]
    raw = json.dumps(nbformat.v4.new_notebook(cells=cells)).encode()
    damaged = {"s3": raw[: len(raw) // 2], "s4": b"", "s5": b"[]", "s6": b'{"cells": [1]}'}
    for student, data in {"s1": raw, "s2": raw, **damaged}.items():
        path = course.submitted / student / CHAPTER / "exercises.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    people = tuple(Submission(student) for student in ("s1", "s2", *damaged, "s7"))
    (group,) = near_identical(course, ClassRecord(CHAPTER, (), {}, people))
    assert group.learners == ("s1", "s2")


def test_solution_cells_may_hold_their_source_as_lines(tmp_path):
    cell = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "mm1__solution"}}}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{**cell, "source": ["a\n", "b"]}]}))
    assert _solutions(path) == {"mm1": "a\nb"}
