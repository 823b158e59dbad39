"""What a solution of the bank answers to a call, and when two answers are the same."""

from __future__ import annotations

import cmath
import ctypes
import functools
import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from autograder.grading.engine import codec

#: Seconds that a bank solution may take for one answer before it is given up.
CALL_LIMIT_S = 10.0

#: Two numbers are the same answer when they agree to nine digits, as in the checks.
REL_TOL, ABS_TOL = 1e-9, 1e-12


@dataclass(frozen=True)
class Answer:
    """What a function made of one call: a value, or the name of an exception's type.

    `changed` says whether it changed an argument.
    """

    value: Any = None
    error: str = ""
    changed: bool = False

    def same_as(self, other: Answer) -> bool:
        """Tell whether both are the same answer."""
        if self.changed != other.changed:
            return False
        if self.error or other.error:
            return self.error == other.error
        return same_value(self.value, other.value)


@dataclass(frozen=True)
class Call:
    """One recorded question to a learner's function, and the answer.

    `arguments` is JSON, so that a call can be a key and each run gets fresh values.
    """

    function: str
    arguments: str
    answer: Answer


#: A bank solution that ran out of time or holds no such function: no answer at all.
NO_ANSWER = Answer(error="(no answer)")


def same_value(one: Any, other: Any) -> bool:
    """Tell whether two values are the same answer: floats to nine digits, all else exactly.

    Lists, tuples, ranges and arrays count alike, as do Python and NumPy numbers; a bool
    is no number, and NaN is the same answer as NaN.

    Examples
    --------
    >>> same_value([0.1 + 0.2, None], (0.3, None)), same_value(1, True)
    (True, False)
    """
    one, other = _plain(one), _plain(other)
    if _is_number(one) and _is_number(other):
        return _same_number(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, codec.Opaque) and isinstance(other, codec.Opaque):
        return one.type_name == other.type_name
    return type(one) is type(other) and bool(one == other)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | range):
        return list(value)
    return frozenset(value) if isinstance(value, set) else value


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | complex | Decimal | Fraction)
    return number and not isinstance(value, bool)


def _same_number(one: Any, other: Any) -> bool:
    try:
        if isinstance(one, complex) or isinstance(other, complex):
            one, other = complex(one), complex(other)
            close = cmath.isclose(one, other, rel_tol=REL_TOL, abs_tol=ABS_TOL)
            return close or (cmath.isnan(one) and cmath.isnan(other))
        if isinstance(one, int) and isinstance(other, int):
            return one == other
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=REL_TOL, abs_tol=ABS_TOL)
    except (OverflowError, ValueError):  # beyond every float, or a signalling NaN
        return bool(one == other)


def answer_of(code: str, call: Call) -> Answer:
    """Return what a bank solution answers to a recorded call, within `CALL_LIMIT_S`."""
    return _answer(code, call.function, call.arguments)


@functools.lru_cache(maxsize=20_000)
def _answer(code: str, function: str, arguments: str) -> Answer:
    implementation = _names_of(code).get(function)
    if not callable(implementation):
        return NO_ANSWER
    args, kwargs = map(codec.decode, json.loads(arguments))
    answer = _in_time(lambda: implementation(*args, **kwargs))
    if answer is NO_ANSWER:
        return answer
    try:
        now = json.dumps([codec.encode(args), codec.encode(kwargs)])
    except codec.NotPlainData:
        return answer
    return replace(answer, changed=now != arguments)


@functools.lru_cache(maxsize=1_000)
def _names_of(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "bank_solution", "print": _say_nothing}
    exec(compile(code, "<bank>", "exec"), names)
    return names


def _say_nothing(*_args: Any, **_kwargs: Any) -> None:
    """Stand in for ``print``: what a bank solution prints is no part of its answer."""


class _OutOfTime(BaseException):
    """Raised in a thread whose time is over."""


def _in_time(call: Callable[[], Any]) -> Answer:
    """Return the answer of a call, or none if it takes too long.

    In a thread of its own, because formgrader calls from a server and alarms reach
    the main thread alone.
    """
    answers: list[Answer] = []

    def work() -> None:
        try:
            answers.append(Answer(call()))
        except _OutOfTime:
            pass
        except BaseException as error:
            answers.append(Answer(error=type(error).__name__))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(CALL_LIMIT_S)
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(_OutOfTime)
        )
        return NO_ANSWER
    return answers[0] if answers else NO_ANSWER
