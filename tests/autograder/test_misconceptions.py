"""Answers that a known wrong solution gives are recognised, and no others."""

import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from autograder import bank
from autograder.course import Course
from autograder.feedback import answers
from autograder.feedback.answers import same_value
from autograder.feedback.misconceptions import load_transcript, match
from autograder.grading.engine import codec


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let no busy machine decide what matches."""
    monkeypatch.setattr(answers, "CALL_LIMIT_S", 300.0)


def names(exercise, asked):
    return {found.name for found in match(exercise, asked)}


def exercise(right, *wrong, functions=("f",)):
    return bank.Exercise(
        slug="f",
        number=1,
        title="F",
        stars=1,
        points={"visible": 0.5, "hidden": 1.5},
        section="1.1",
        functions=functions,
        withheld=(),
        right=tuple(bank.Right(f"right_{n}", code) for n, code in enumerate(right)),
        wrong=tuple(
            bank.Wrong(f"wrong_{n}", code, f"Belief {n}.", f"Hint {n}.", "1.2")
            for n, code in enumerate(wrong)
        ),
        library=(),
    )


def call(answer, *args, function="f", **kwargs):
    asked = {"function": function, "args": codec.encode(list(args)), "kwargs": codec.encode(kwargs)}
    if isinstance(answer, type):
        return {**asked, "error": [answer.__name__, "said so"]}
    return {**asked, "result": codec.encode(answer)}


def recorded(*calls, grade_id="f__hidden__x"):
    return json.loads(json.dumps({grade_id: {"seconds": 0.1, "calls": list(calls)}}))


DOUBLE = exercise(
    ["def f(x): return 2 * x"],
    "def f(x): return x + 2",
    "def f(x): return x ** 2",
    "def f(x): raise KeyError(x)",
    "def f(x): return -2 * x if x < 0 else x + 2",
)


def test_a_match_carries_the_banks_words():
    (found,) = match(DOUBLE, recorded(call(9, 3), call(4, 2)))
    assert (found.name, found.exercise, found.section) == ("wrong_1", "f", "1.2")
    assert (found.misconception, found.hint) == ("Belief 1.", "Hint 1.")
    assert found.title == "Wrong 1" and found.evidence == 1


def test_every_answer_has_to_agree():
    assert names(DOUBLE, recorded(call(9, 3), call(16, 4))) == {"wrong_1"}
    assert names(DOUBLE, recorded(call(9, 3), call(15, 4))) == set()


def test_answers_that_are_right_say_nothing():
    """With 2 all agree, so nobody can be told apart."""
    assert names(DOUBLE, recorded(call(4, 2))) == set()
    assert names(DOUBLE, recorded(call(6, 3), call(4, 2))) == set()


def test_those_that_agree_everywhere_are_named_together_and_never_more_than_two():
    assert names(DOUBLE, recorded(call(5, 3))) == {"wrong_0", "wrong_3"}
    many = exercise(["def f(x): return 0"], *(f"def f(x): return x + {0 * n}" for n in range(5)))
    assert [found.name for found in match(many, recorded(call(7, 7)))] == ["wrong_0", "wrong_1"]


def test_exceptions_agree_by_their_type():
    assert names(DOUBLE, recorded(call(KeyError, 3))) == {"wrong_2"}
    assert names(DOUBLE, recorded(call(ValueError, 3))) == set()


def test_a_right_answer_that_changes_its_argument_is_recognised_by_that():
    lowest = exercise(
        ["def f(x): return min(x)"],
        "def f(x):\n    x.sort()\n    return x[0]",
        "def f(x): return x[0]",
        "def f(x):\n    x.append(f)\n    return min(x[:-1])",
    )
    spoilt = {**call(1, [2, 1]), "changed": True}
    assert names(lowest, recorded(call(1, [1, 2]), spoilt)) == {"wrong_0"}
    assert names(lowest, recorded(call(1, [1, 2]), call(1, [2, 1]))) == set()
    assert names(lowest, recorded(call(2, [2, 1]))) == {"wrong_1"}


def test_any_of_the_right_solutions_will_do():
    either = exercise(
        ["def f(x): return [x]", "def f(x): return None"], "def f(x): return None if x else 1"
    )
    assert names(either, recorded(call(None, 3), call([0], 0))) == set()
    assert names(either, recorded(call(None, 3), call(1, 0))) == {"wrong_0"}


def test_other_exercises_and_helper_functions_do_not_count():
    right_here = recorded(call(6, 3))
    elsewhere = {**right_here, **recorded(call(9, 3), grade_id="g__hidden__x")}
    assert names(DOUBLE, elsewhere) == set()
    helper = recorded(call(9, 3), call(1, function="helper"))
    assert names(DOUBLE, helper) == {"wrong_1"}


def test_arguments_by_name_and_each_call_with_its_own():
    pops = exercise(["def f(items): return len(items)"], "def f(items): return items.pop()")
    asked = recorded(
        *({**call(items[-1], items=items), "changed": True} for items in ([1, 7], [1, 7, 1]))
    )
    assert names(pops, asked) == {"wrong_0"}
    assert names(pops, asked) == {"wrong_0"}  # what is remembered is not what was changed


def test_a_solution_that_does_not_end_is_no_match_and_does_not_hold_up(monkeypatch):
    monkeypatch.setattr(answers, "CALL_LIMIT_S", 0.2)
    loops = exercise(
        ["def f(x): return 0"], "def f(x):\n    while True: pass", "def f(x): return x"
    )
    assert names(loops, recorded(call(3, 3))) == {"wrong_1"}


def test_it_works_off_the_main_thread_as_in_formgraders_server():
    import threading

    found = []
    work = threading.Thread(target=lambda: found.append(names(DOUBLE, recorded(call(9, 3)))))
    work.start()
    work.join(20)
    assert found == [{"wrong_1"}]


def test_what_solutions_print_goes_nowhere(capsys):
    chatty = exercise(["def f(x): return 0"], "def f(x):\n    print('!')\n    return x")
    assert names(chatty, recorded(call(3, 3))) == {"wrong_0"}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "entry",
    [
        None,
        3,
        [],
        {},
        {"function": "f"},
        {"function": "f", "result": ["no such tag", 1]},
        {"function": "f", "args": {}, "error": []},
        {"function": "f", "error": None},
        {"function": "f", "args": {}, "result": 1},
        {"function": "f", "args": 3, "result": 1},
    ],
)
def test_damaged_entries_are_left_out(entry):
    assert names(DOUBLE, recorded(entry, call(9, 3))) == {"wrong_1"}
    assert names(DOUBLE, {"f__hidden__x": entry, "?": entry}) == set()
    assert names(DOUBLE, {"f__hidden__x": {"calls": entry}}) == set()


def test_no_transcript_no_word(tmp_path):
    assert match(DOUBLE, {}) == []
    assert load_transcript(Course(tmp_path), "ch1", "nobody") == {}
    path = tmp_path / "transcripts" / "ch1" / "somebody.json"
    path.parent.mkdir(parents=True)
    for damaged in ("", "{", "[1]", "[" * 100_000, '"text"'):
        path.write_text(damaged)
        assert load_transcript(Course(tmp_path), "ch1", "somebody") == {}
    path.write_text(json.dumps(recorded(call(9, 3))))
    assert names(DOUBLE, load_transcript(Course(tmp_path), "ch1", "somebody")) == {"wrong_1"}


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0), (0.3, 0.1 + 0.2), (Fraction(1, 3), 1 / 3), (Decimal("0.5"), 0.5),
        (np.float64(2), 2), (np.array([1, 2]), [1, 2.0]), ((1, 2), [1, 2]), (range(2), [0, 1]),
        ({"a": (1,)}, {"a": [1.0]}), (NAN, NAN), ([NAN], [np.nan]), (INF, INF), (None, None),
        (True, np.True_), ("a", np.str_("a")), ({1, 2}, frozenset({2, 1})), (1 + 0j, 1),
        (10**400, 10**400), (complex(NAN, 0), complex(NAN, 1)), (b"x", b"x"), ([], ()),
        (3, 3.0 + 1e-15),
    ],
)  # fmt: skip
def test_same_answers(one, other):
    assert same_value(one, other) and same_value(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True), (0, None), (1, "1"), (1.0, 1.0 + 1e-7), (NAN, 0.0), (INF, -INF), ([1], [1, 1]),
        ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 1, "b": 2}), ([[1]], [1]), (10**400, 1.0),
        (1j, -1j), (Decimal("NaN"), 1), (0, []), ("a", b"a"), (10**400, 10**400 + 1),
        (10**17, 10**17 + 1),
    ],
)  # fmt: skip
def test_different_answers(one, other):
    assert not same_value(one, other) and not same_value(other, one)


def test_opaque_values_agree_by_the_name_of_their_type():
    assert same_value(codec.Opaque("Thing"), codec.Opaque("Thing"))
    assert not same_value(codec.Opaque("Thing"), codec.Opaque("Other"))
