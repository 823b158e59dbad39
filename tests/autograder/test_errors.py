"""An exception that crossed the wall looks to a test like the one that was raised."""

import decimal
import json

import numpy as np
import pytest

from autograder.grading.engine import errors
from autograder.grading.engine.errors import described, raised


class TooHot(ValueError, LookupError):
    def __init__(self, degrees):
        super().__init__(degrees)
        self.degrees = degrees

    def __str__(self):
        return f"{self.degrees} degrees"


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no")


def across(error):
    return raised(json.loads(json.dumps(described(error))))


def decoding_error():
    try:
        b"\xff".decode("ascii")
    except UnicodeDecodeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        ValueError(),
        KeyError("lam"),
        FileNotFoundError(2, "No such file", "data.csv"),
        decimal.DivisionByZero("x"),
        np.linalg.LinAlgError("singular"),
        json.JSONDecodeError("Expecting value", "[", 1),
        decoding_error(),
        RecursionError("maximum recursion depth exceeded"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_known_one_is_of_its_own_class_and_says_the_same(error):
    came = across(error)
    assert isinstance(came, type(error)) and type(came).__name__ == type(error).__name__
    assert str(came) == str(error)
    for name in ("args", "filename", "name", "lineno"):
        assert getattr(came, name, None) == getattr(error, name, None)


def test_a_learners_own_keeps_its_name_its_bases_and_what_it_carries():
    came = across(TooHot(99))
    assert type(came).__name__ == "TooHot" and type(came) is not TooHot
    assert isinstance(came, ValueError) and isinstance(came, LookupError)
    assert not isinstance(came, KeyError)
    assert (str(came), came.degrees, came.args) == ("99 degrees", 99, (99,))


@pytest.mark.parametrize(
    ("name", "bases", "kinds", "args"),
    [
        ("IndexError", ["IndexError", "OSError"], [IndexError, OSError], ["l", "m"]),
        ("OSError", ["IndexError", "OSError"], [IndexError, OSError], ["l", "m"]),
        # Python cannot make one class of these two.
        ("E", ["SyntaxError", "OSError"], [SyntaxError], ["l", "m"]),
        ("E", ["UnicodeError", "UnicodeDecodeError"], [UnicodeDecodeError], ["l", 1, 2, 3, 4, 5]),
    ],
)
def test_bases_are_kept_together_as_far_as_they_go_together(name, bases, kinds, args):
    came = raised([name, [["builtins", base] for base in bases], "m", args, None, None])
    assert type(came).__name__ == name and type(came).__module__ == "__main__"
    assert str(came) == "m" and all(isinstance(came, kind) for kind in kinds)
    assert len(type(came).__bases__) == len(kinds)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unprintable(), "(an exception whose message cannot be shown)"),
        (ValueError("x" * 5000), "x" * 4000),
        (ValueError(object), str(object)),
    ],
    ids=["unprintable", "long", "no plain data"],
)
def test_what_cannot_cross_leaves_a_message(error, said):
    assert str(across(error)) == said


def depth(value, inner):
    """Return how many stand one in another."""
    number = 0
    while value is not None:
        number, value = number + 1, inner(value)
    return number


def test_causes_cross_and_not_without_end():
    error, said = None, None
    for number in range(8):
        cause, error = error, ValueError(number)
        error.__cause__ = cause
        said = ["ValueError", [["builtins", "ValueError"]], str(number), None, None, said]
    assert depth(described(error), lambda told: told[5]) == 5
    for came in (across(error), raised(said)):  # the jail may say more than we would
        assert depth(came, lambda error: error.__cause__) == 5
        assert [str(came), str(came.__cause__)] == ["7", "6"]


def test_where_there_is_no_room_to_encode_the_message_is_all(monkeypatch):
    def encode(_value):
        raise RecursionError  # the learner set another limit

    monkeypatch.setattr(errors, "encode", encode)
    assert described(ValueError("a"))[2:] == ["a", None, None, None]


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        (["builtins", "IndexError"], IndexError),
        (["builtins", "SystemExit"], RuntimeError),
        (["builtins", "StopIteration"], RuntimeError),
        (["builtins", "StopAsyncIteration"], RuntimeError),
        (["builtins", "print"], RuntimeError),
        (["builtins", "unheard_of"], RuntimeError),
        (["os", "error"], RuntimeError),
        ("builtins", RuntimeError),
    ],
    ids=str,
)
def test_only_what_a_test_may_ask_for_becomes_a_class(base, kind):
    came = raised(["IndexError", [base], "said", None, None, None])
    assert type(came) is kind
    assert "said" in str(came)


@pytest.mark.parametrize(
    "said", [None, [], ["E", [], "m"], [7, [], "m", None, None, None]], ids=str
)
def test_what_describes_no_exception_is_no_answer(said):
    came = raised(said)
    assert (type(came), str(came)) == (RuntimeError, "the call gave no answer")


def test_the_insides_of_an_exception_are_not_for_the_taking():
    given = ["d", ["__notes__", ["l", "a"]], ["__suppress_context__", True], ["note", 3]]
    given += [["__class__", 2], ["args", 4]]
    came = raised(["ValueError", [["builtins", "ValueError"]], "m", ["l", "m"], given, None])
    assert type(came) is ValueError
    assert not hasattr(came, "__notes__") and not came.__suppress_context__
    assert came.note == 3 and came.args == ("m",)
