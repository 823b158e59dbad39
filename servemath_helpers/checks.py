"""Checks that tell a learner what was called, what was expected and what came back.

A passed check prints one short line; a failed one raises `AssertionError` with a
message to learn from. What a learner's function returns may be anything, so a
value is first reduced to plain data (None, bool, number, text, dict, list) by its
true type alone: neither its own ``==`` nor its own ``repr`` is ever asked.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from servemath_helpers._validate import finite_non_negative

__all__ = [
    "Credit",
    "answer_agrees",
    "check_calls",
    "check_close",
    "check_equal",
    "check_first",
    "check_forms",
    "check_raises",
    "check_refused",
    "check_true",
    "header",
    "shown",
]

# Theory questions are worked on paper: three significant digits are enough for
# a real number, while a count has to be right to the unit.
_PAPER_REL_TOL = 5e-3

_TEXT_SHOWN = 60
_MESSAGE_SHOWN = 200
_ITEMS_SHOWN = 8
_DEPTH_SHOWN = 3
_BITS_SHOWN = 256
_ARGUMENT_SHOWN = 120
# Past this exponent a Decimal is beyond every float, and its Fraction could fill the memory.
_DECIMAL_EXPONENT_LIMIT = 400

_NUMPY_REALS = frozenset(
    np.dtype(code).type for code in np.typecodes["AllInteger"] + np.typecodes["Float"]
)

# Numbers that differ by less than this share look the same at a glance: then it is said why not.
_A_HAIR = 1e-6

_PACKAGE = str(Path(__file__).parent)

#: The hint of plain values that come before something else.
FIRST = "First a plain value has to be right: this part counts from there on."

#: The hint where arguments were changed.
COPY = "Work on a copy, such as list(x), dict(x) or sorted(x)."

#: Stands in the message of a check whose call came to no answer, before the error's name.
STOPPED = "stopped with"

# The name of a class, read past whatever its metaclass says of it.
_class_name: Callable[[type], str] = vars(type)["__name__"].__get__


class _Plain(NamedTuple):
    """A value reduced to plain data.

    `kind` is none, bool, number, text, dict (data: list of key-value pairs),
    list (data: list), or other (data: the name of the class).
    """

    kind: str
    data: Any


@dataclass(frozen=True)
class _Difference:
    """The first place where two values differ, with both sides as text.

    `near` says by how little two numbers differ, and what is asked for, if one could overlook it.
    """

    place: tuple[str, ...]
    wanted: str
    got: str
    near: str = ""


def _decimal(value: Decimal) -> Fraction | float:
    if value.is_nan():
        return math.nan
    if value.is_infinite() or abs(value.adjusted()) > _DECIMAL_EXPONENT_LIMIT:
        return float(value)
    return Fraction(value)


def _array(value: Any) -> _Plain:
    data: Any = np.ndarray.tolist(value)
    if type(data) is list:
        return _Plain("list", data)
    # An array without dimensions holds one value; one that holds an array could hold itself.
    return _Plain("other", "ndarray") if issubclass(type(data), np.ndarray) else _plain(data)


def _plain(value: Any) -> _Plain:
    """Reduce `value` by its true type; subclasses are read through their built-in parent."""
    kind = type(value)
    if value is None:
        return _Plain("none", None)
    if kind is bool or kind is np.bool_:
        return _Plain("bool", bool(value))
    if issubclass(kind, float):
        return _Plain("number", float.__float__(value))
    if issubclass(kind, int):
        return _Plain("number", int.__int__(value))
    if kind in _NUMPY_REALS:
        return _Plain("number", int(value) if issubclass(kind, np.integer) else float(value))
    if kind is Fraction:
        return _Plain("number", value)
    if kind is Decimal:
        return _Plain("number", _decimal(value))
    if issubclass(kind, str):
        return _Plain("text", str.__str__(value))
    if issubclass(kind, dict):
        return _Plain("dict", list(dict.items(value)))
    if issubclass(kind, list):
        return _Plain("list", list(list.__iter__(value)))
    if issubclass(kind, tuple):
        return _Plain("list", list(tuple.__iter__(value)))
    if issubclass(kind, np.ndarray):
        return _array(value)
    return _Plain("other", _class_name(kind))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _show_number(value: int | float | Fraction, full: bool) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "nan (not a number)"
        return repr(value) if full else f"{value:.12g}"
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _BITS_SHOWN:
        return "a number of very many digits"
    return str(value)


def _show(value: Any, *, full: bool = False, depth: int = 0) -> str:
    """Write plain data as a learner would type it, cut to a sane length."""
    plain = _plain(value)
    if plain.kind == "number":
        return _show_number(plain.data, full)
    if plain.kind == "text":
        return repr(_cut(plain.data, _TEXT_SHOWN))
    if plain.kind == "other":
        return f"<{_cut(plain.data, _TEXT_SHOWN)}>"
    if plain.kind in ("dict", "list"):
        left, right = "{}" if plain.kind == "dict" else "[]"
        shown = "" if depth == _DEPTH_SHOWN else _show_items(plain, full, depth + 1)
        return f"{left}{shown or ('…' if plain.data else '')}{right}"
    return str(plain.data)


def _show_items(plain: _Plain, full: bool, depth: int) -> str:
    head = plain.data[:_ITEMS_SHOWN]
    if plain.kind == "dict":
        texts = [f"{_show(key)}: {_show(item, full=full, depth=depth)}" for key, item in head]
    else:
        texts = [_show(item, full=full, depth=depth) for item in head]
    return ", ".join(texts + ["…"] * (len(plain.data) > _ITEMS_SHOWN))


def _describe(plain: _Plain, value: Any) -> str:
    """Say what came back where another kind of thing was expected."""
    if plain.kind == "other":
        return f"an object of type {_cut(plain.data, _TEXT_SHOWN)}"
    shown = _show(value)
    if plain.kind in ("bool", "number"):
        return f"{shown} (a {plain.kind})"
    return shown if plain.kind == "none" else f"the {plain.kind} {shown}"


def _same_number(actual: Any, expected: Any, rel_tol: float, abs_tol: float) -> bool:
    if actual == expected:
        return True
    # Two exact numbers that differ, such as 10**20 and 10**20 + 1, may be one float.
    if not (rel_tol or abs_tol or isinstance(actual, float) or isinstance(expected, float)):
        return False
    try:
        return math.isclose(actual, expected, rel_tol=rel_tol, abs_tol=abs_tol)
    except OverflowError:  # an int or a Fraction beyond every float, and not equal
        return False


def _keyed(pairs: list[tuple[Any, Any]]) -> tuple[dict[Any, Any], list[str]]:
    """Return the items under plain keys, and the other keys as text."""
    items: dict[Any, Any] = {}
    foreign = []
    for key, item in pairs:
        plain = _plain(key)
        if plain.kind in ("none", "bool", "number", "text"):
            items[plain.data] = item
        else:
            foreign.append(_show(key))
    return items, foreign


@dataclass(frozen=True)
class _Comparison:
    """How two values are compared: numbers within the tolerances, all else exactly."""

    rel_tol: float = 0.0
    abs_tol: float = 0.0

    def difference(
        self, actual: Any, expected: Any, place: tuple[str, ...] = ()
    ) -> _Difference | None:
        """Return the first difference of `actual` from `expected`, or None."""
        got, wanted = _plain(actual), _plain(expected)
        if wanted.kind == "other":
            raise TypeError(f"a check cannot expect an object of type {wanted.data}")
        if got.kind != wanted.kind:
            return _Difference(place, _show(expected), _describe(got, actual))
        if wanted.kind == "dict":
            return self._of_dicts(got.data, wanted.data, place)
        if wanted.kind == "list":
            return self._of_lists(got.data, wanted.data, place)
        if wanted.kind == "number":
            same = _same_number(got.data, wanted.data, self.rel_tol, self.abs_tol)
        else:
            same = bool(got.data == wanted.data)
        if same:
            return None
        texts = _show(expected), _show(actual)
        if texts[0] == texts[1]:
            texts = _show(expected, full=True), _show(actual, full=True)
        near = self._near(got.data, wanted.data) if wanted.kind == "number" else ""
        return _Difference(place, *texts, near)

    def _near(self, actual: Any, expected: Any) -> str:
        """Say how little two numbers differ, and why they count as different all the same."""
        try:
            off = abs(Fraction(actual) - Fraction(expected))
            share = float(off / abs(Fraction(expected)))
        except (ArithmeticError, ValueError):  # 0, or no finite number that a float could hold
            return ""
        if not share < _A_HAIR:
            return ""
        if self.rel_tol:
            asked = "nine digits have to be right, so nothing is rounded on the way."
        else:
            asked = "exactly that one is asked for: does a float round on the way?"
        return f" It is off by {share:.1g} of the right number; {asked}"

    def _of_dicts(
        self,
        actual: list[tuple[Any, Any]],
        expected: list[tuple[Any, Any]],
        place: tuple[str, ...],
    ) -> _Difference | None:
        got, foreign = _keyed(actual)
        wanted, _ = _keyed(expected)
        keys = ", ".join(_show(key) for key in wanted) or "no keys"
        missing = [_show(key) for key in wanted if key not in got]
        if missing:
            return _Difference(
                place, f"a dict with {keys}", f"one without {', '.join(missing[:_ITEMS_SHOWN])}"
            )
        extra = [_show(key) for key in got if key not in wanted] + foreign
        if extra:
            return _Difference(
                place,
                f"a dict with only {keys}" if wanted else "an empty dict",
                f"one that also has {', '.join(extra[:_ITEMS_SHOWN])}",
            )
        for key, item in wanted.items():
            found = self.difference(got[key], item, (*place, f"key {_show(key)}"))
            if found:
                return found
        return None

    def _of_lists(
        self, actual: list[Any], expected: list[Any], place: tuple[str, ...]
    ) -> _Difference | None:
        if len(actual) != len(expected):
            return _Difference(
                place,
                f"{len(expected)} item{'s' * (len(expected) != 1)}",
                f"{len(actual)}: {_show(actual)}",
            )
        for index, (got, wanted) in enumerate(zip(actual, expected, strict=True)):
            found = self.difference(got, wanted, (*place, f"item {index}"))
            if found:
                return found
        return None


# What `check_close` allows unless it is told otherwise.
_CLOSE = _Comparison(rel_tol=1e-9, abs_tol=1e-12)


class Credit(float):
    """Points that a test gives in part: the last value of its cell.

    Parameters
    ----------
    points : float
        At least 0, finite; at most what the cell is worth.

    Notes
    -----
    nbgrader reads a number that stands last in a test cell as its points. Grading here takes
    none but this one, and no learner's code can return it.

    Examples
    --------
    >>> Credit(0.75)
    0.75
    """

    def __new__(cls, points: float) -> Self:
        """Refuse what is no number of points."""
        return super().__new__(cls, finite_non_negative("points", points))


def _fail(sentence: str, hint: str) -> AssertionError:
    error = AssertionError(f"{sentence}\nHint: {hint}" if hint else sentence)
    # IPython asks an exception for what it shows of it: the sentence, no path through the checks.
    error.__dict__["_render_traceback_"] = functools.partial(_rendered, error)
    return error


def _rendered(error: AssertionError) -> list[str]:
    """Return what a notebook shows of a failed check; where a function stopped, the line too."""
    lines = [f"✗ {error}"]
    stopped = error.__cause__.__traceback__ if error.__cause__ else None
    own = [
        frame
        for frame in traceback.extract_tb(stopped)
        if not frame.filename.startswith(_PACKAGE) and frame.line
    ]
    if own:
        lines.append(f"It stopped in line {own[-1].lineno} of its cell: {own[-1].line}")
    return lines


def _sentence(actual: Any, found: _Difference, what: str, none_is_an_answer: bool = False) -> str:
    """Say what a call should have returned, and what it did."""
    if found.place:
        note = " (items count from 0)" if any(p.startswith("item") for p in found.place) else ""
        where = ", ".join(found.place) + note
        return f"{what}: {where} should be {found.wanted}, but it is {found.got}.{found.near}"
    if actual is None and not none_is_an_answer:
        return (
            f"{what} should return {found.wanted}, but it returned None: "
            "is a `return` missing at the end of the function?"
        )
    return f"{what} should return {found.wanted}, but it returned {found.got}.{found.near}"


def _report(actual: Any, found: _Difference | None, what: str, hint: str) -> None:
    """Print the line of a passed check, or raise with the message of a failed one."""
    __tracebackhide__ = True
    if found is not None:
        raise _fail(_sentence(actual, found, what), hint)
    print(f"✓ {what}")


def _message_of(raised: BaseException) -> str:
    """Return ": message" read past the exception's own attributes, or nothing."""
    args: tuple[Any, ...] = BaseException.args.__get__(raised)  # type: ignore[attr-defined]
    plain = _plain(args[0]) if args else _Plain("none", None)
    if plain.kind == "none":
        return ""
    said = plain.data if plain.kind == "text" else _show(args[0])
    return f": {_cut(said, _MESSAGE_SHOWN).rstrip('.')}"


def check_true(condition: object, what: str, hint: str = "") -> None:
    """Check that a property holds.

    Parameters
    ----------
    condition : bool
        Outcome of the test; anything that is not a bool or a NumPy bool fails.
    what : str
        The property in words, such as ``"at lam = 0 nobody waits"``.
    hint : str, optional
        The likely mistake.

    Raises
    ------
    AssertionError
        If the property does not hold.

    Examples
    --------
    >>> check_true(0 < 0.6 < 1, "a stable server is busy less than all the time")
    ✓ a stable server is busy less than all the time
    >>> check_true(1.2 < 1, "a stable server is busy less than all the time")
    Traceback (most recent call last):
    AssertionError: This does not hold yet: a stable server is busy less than all the time.
    """
    __tracebackhide__ = True
    plain = _plain(condition)
    if plain.kind != "bool":
        seen = _describe(plain, condition)
        raise _fail(f"{what}: this should be True or False, but it is {seen}.", hint)
    if not plain.data:
        raise _fail(f"This does not hold yet: {what}.", hint)
    print(f"✓ {what}")


def check_close(
    actual: object,
    expected: object,
    what: str,
    hint: str = "",
    *,
    rel_tol: float = 1e-9,
    abs_tol: float = 1e-12,
) -> None:
    """Check that numbers agree within a tolerance, also inside lists and dicts.

    Parameters
    ----------
    actual : object
        What the learner's function returned.
    expected : number, None, text, bool, or a dict, list, tuple or array of them
        What it should return. Lists, tuples and arrays count alike, and so do
        Python and NumPy numbers; a bool is no number, and NaN equals nothing.
    what : str
        The call as a learner would type it.
    hint : str, optional
        The likely mistake.
    rel_tol, abs_tol : float, optional
        Two numbers agree when they differ by at most `rel_tol` of the larger one, or by `abs_tol`.

    Raises
    ------
    AssertionError
        If the values differ; the message names the first place where they do.

    Examples
    --------
    >>> check_close(12 * 2.0, 24, "littles_law(lam=12, W=2)")
    ✓ littles_law(lam=12, W=2)
    >>> check_close({"W": 0.5}, {"W": 0.05}, "mm1(lam=30, mu=50)", "W is 1 / (mu - lam).")
    Traceback (most recent call last):
    AssertionError: mm1(lam=30, mu=50): key 'W' should be 0.05, but it is 0.5.
    Hint: W is 1 / (mu - lam).
    """
    __tracebackhide__ = True
    found = _Comparison(rel_tol, abs_tol).difference(actual, expected)
    _report(actual, found, what, hint)


def check_equal(actual: object, expected: object, what: str, hint: str = "") -> None:
    """Check that a count, a text or a whole structure is exactly right.

    Parameters
    ----------
    actual : object
        What the learner's function returned.
    expected : number, None, text, bool, or a dict, list, tuple or array of them
        What it should return; values are compared, not types: 40.0 equals 40.
    what : str
        The call as a learner would type it.
    hint : str, optional
        The likely mistake.

    Raises
    ------
    AssertionError
        If the values differ; the message names the first place where they do.

    Examples
    --------
    >>> check_equal((2, 3), [2, 3], "pareto_front(points)")
    ✓ pareto_front(points)
    >>> check_equal(None, 40, "max_concurrent(32, 0, 0, '0.8')")
    Traceback (most recent call last):
    AssertionError: max_concurrent(32, 0, 0, '0.8') should return 40, but it returned None: \
is a `return` missing at the end of the function?
    """
    __tracebackhide__ = True
    _report(actual, _Comparison().difference(actual, expected), what, hint)


def check_raises(
    call: Callable[[], object], error: type[BaseException], what: str, hint: str = ""
) -> None:
    """Check that a call is refused with the right kind of error.

    Parameters
    ----------
    call : callable
        The call, wrapped so that nothing happens before the check:
        ``lambda: littles_law(lam=-1, W=2)``.
    error : exception class
        The expected class; a subclass is fine.
    what : str
        The call as a learner would type it.
    hint : str, optional
        The likely mistake.

    Raises
    ------
    AssertionError
        If the call returns, or raises something else.
    NotImplementedError
        If the function has not been written yet.

    Examples
    --------
    >>> check_raises(lambda: int("many"), ValueError, "int('many')")
    ✓ int('many') raises ValueError
    >>> check_raises(lambda: -24, ValueError, "littles_law(lam=-12, W=2)")
    Traceback (most recent call last):
    AssertionError: littles_law(lam=-12, W=2) should raise ValueError, but it returned -24.
    """
    __tracebackhide__ = True
    _refused(call, error, what, hint)
    print(f"✓ {what} raises {error.__name__}")


def _refused(call: Callable[[], object], error: type[BaseException], what: str, hint: str) -> None:
    __tracebackhide__ = True
    try:
        returned = call()
    except Exception as caught:
        raised: Exception = caught
    else:
        plain = _plain(returned)
        seen = _show(returned) if plain.kind == "number" else _describe(plain, returned)
        raise _fail(f"{what} should raise {error.__name__}, but it returned {seen}.", hint)
    kind = type(raised)
    # A starter cell raises NotImplementedError, a RuntimeError: never a pass by accident.
    if issubclass(kind, NotImplementedError) and error is not NotImplementedError:
        raise raised
    if not issubclass(kind, error):
        raise _fail(
            f"{what} should raise {error.__name__}, but it raised {_class_name(kind)}"
            f"{_message_of(raised)}.",
            hint,
        )


#: The arguments of a call: a tuple of them, or a mapping for a call by name.
_Call = Sequence[Any] | Mapping[str, Any]

#: Makes the calls of a table with less ado than one by one, where a function runs in another
#: process than its check: given the function, the arguments of each call by place and by name, and
#: whether all should be refused, it returns what makes each call in its turn. A check stops at the
#: first call that comes to another end. Set by whoever runs the check.
together: (
    Callable[
        [Callable[..., object], list[tuple[tuple[Any, ...], dict[str, Any]]], bool],
        list[Callable[[], object]],
    ]
    | None
) = None

# Values of these types cannot be changed by whoever receives them.
_UNCHANGING = frozenset({type(None), bool, int, float, complex, str, bytes, Fraction, Decimal})


class _Asked:
    """One call of a table, the text of it, and its arguments as they were."""

    def __init__(self, function: Callable[..., object], call: _Call) -> None:
        named: dict[str, Any] = dict(call) if isinstance(call, Mapping) else {}
        given: tuple[Any, ...] = () if isinstance(call, Mapping) else tuple(call)
        self.arguments = given, named
        self.answer: Callable[[], object] = lambda: function(*given, **named)
        placed: list[tuple[int | str, Any]] = [*enumerate(given, start=1), *named.items()]
        self._before = [
            (place, copy.deepcopy(value), value)
            for place, value in placed
            if type(value) not in _UNCHANGING
        ]
        parts = [*map(_typed, given), *(f"{k}={_typed(v)}" for k, v in named.items())]
        self.text = f"{_name_of(function)}({', '.join(parts)})"

    def answer_expected(self, wanted: Callable[[], str], hint: str) -> object:
        """Return the answer; where the call stops instead, say so with the hint."""
        __tracebackhide__ = True
        try:
            return self.answer()
        except NotImplementedError:  # not written yet
            raise
        except Exception as raised:
            stopped = f"{_class_name(type(raised))}{_message_of(raised)}"
            said = f"{self.text} should return {wanted()}, but it {STOPPED} {stopped}."
            raise _fail(said, hint) from raised

    def check_untouched(self, when: str = "") -> None:
        """Raise unless every argument is what it was before the call."""
        __tracebackhide__ = True
        changed = [
            f"argument {place}" if isinstance(place, int) else f"argument {place!r}"
            for place, before, now in self._before
            if not _untouched(before, now)
        ]
        if changed:
            raise _fail(
                f"{self.text} should leave its arguments as they are, but it changed "
                f"{', '.join(changed)}{when}.",
                COPY,
            )


def _all_asked(
    function: Callable[..., object], calls: Iterable[_Call], *, refused: bool = False
) -> list[_Asked]:
    """Return the calls of a table, to be made in their order."""
    table = [_Asked(function, call) for call in calls]
    if together is not None:
        made = together(function, [asked.arguments for asked in table], refused)
        for asked, answer in zip(table, made, strict=True):
            asked.answer = answer
    return table


def _name_of(function: Callable[..., object]) -> str:
    name = _plain(getattr(function, "__name__", None))
    return _cut(name.data, _TEXT_SHOWN) if name.kind == "text" else "the function"


def _typed(value: Any) -> str:
    """Write an argument, which is a test's own, as one would type it."""
    return _cut(repr(value), _ARGUMENT_SHOWN)


def _negative(value: Any) -> bool:
    """Tell whether an argument of a test is a negative number, or the text of one."""
    if isinstance(value, str):
        return value.startswith("-")
    return isinstance(value, (int, float, Fraction, Decimal)) and value < 0


def _untouched(before: Any, now: Any) -> bool:
    """Tell whether a test's own data are still the same, type by type."""
    if type(before) is not type(now):
        return False
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_untouched(before[k], now[k]) for k in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(now) and all(map(_untouched, before, now))
    if isinstance(before, np.ndarray):
        same_shape = before.dtype == now.dtype and before.shape == now.shape
        return same_shape and all(map(_untouched, before.ravel().tolist(), now.ravel().tolist()))
    return bool(before == now) or (before != before and now != now)


def check_calls(
    function: Callable[..., object],
    *rows: Sequence[Any],
    hint: str = "",
    what: str = "",
    exact: bool = False,
    abs_tol: float = 1e-12,
) -> None:
    """Check a table of calls: what each returns, and that none changes its arguments.

    Parameters
    ----------
    function : callable
        The learner's function.
    *rows : (call, expected) or (call, expected, hint)
        A call is a tuple of arguments, or a dict for a call by name. Random draws with
        the answers of an oracle are rows too.
    hint : str, optional
        The likely mistake, for rows that name none.
    what : str, optional
        The whole table in words, said once instead of a line for each call.
    exact : bool, optional
        Compare like `check_equal`; otherwise numbers may differ like in `check_close`.
    abs_tol : float, optional
        By how much numbers may differ, however small they are, unless `exact`.

    Raises
    ------
    AssertionError
        If a call returns something else or stops with an error, or an argument of it is
        changed, be it by a later call.
    NotImplementedError
        If the function has not been written yet.

    Examples
    --------
    >>> def largest(values, at_most=100):
    ...     return max(value for value in values if value <= at_most)
    >>> check_calls(
    ...     largest,
    ...     (([3, 1, 2],), 3),
    ...     ({"values": [3, 1, 2], "at_most": 2}, 2, "A bound is within."),
    ... )
    ✓ largest([3, 1, 2])
    ✓ largest(values=[3, 1, 2], at_most=2)
    >>> check_calls(largest, *((([n, 5],), max(n, 5)) for n in range(9)), what="pairs")
    ✓ largest: pairs
    >>> def hasty(values):
    ...     values.sort()
    ...     return values[-1]
    >>> check_calls(hasty, (([3, 1, 2],), 3))
    Traceback (most recent call last):
    AssertionError: hasty([3, 1, 2]) should leave its arguments as they are, but it changed \
argument 1.
    Hint: Work on a copy, such as list(x), dict(x) or sorted(x).
    """
    __tracebackhide__ = True
    comparison = _Comparison() if exact else replace(_CLOSE, abs_tol=abs_tol)
    table = _all_asked(function, (row[0] for row in rows))
    for asked, (_, expected, *own) in zip(table, rows, strict=True):
        said = own[0] if own else hint
        answer = asked.answer_expected(functools.partial(_show, expected), said)
        found = comparison.difference(answer, expected)
        if found or not what:
            _report(answer, found, asked.text, said)
        asked.check_untouched()
    for asked in table:
        asked.check_untouched(" in a later call")
    if what:
        print(f"✓ {_name_of(function)}: {what}")


def check_first(
    function: Callable[..., object], *rows: Sequence[Any], abs_tol: float = 1e-12
) -> None:
    """Check plain values before a table that a wrong function could pass.

    Where only edges or refusals are tested, a function whose values are wrong would earn what
    it did not show.

    Parameters
    ----------
    function : callable
        The learner's function.
    *rows : (call, expected)
        As for `check_calls`.
    abs_tol : float, optional
        As for `check_calls`.

    Raises
    ------
    AssertionError
        If a call returns something else, with the hint `FIRST`.

    Examples
    --------
    >>> check_first(divmod, ((7, 2), (3, 1)))
    ✓ divmod: plain values
    """
    __tracebackhide__ = True
    check_calls(
        function, *(row[:2] for row in rows), hint=FIRST, what="plain values", abs_tol=abs_tol
    )


def check_refused(
    function: Callable[..., object],
    good: Mapping[str, Any],
    broken: Mapping[str, Iterable[Any]],
    hint: str = "",
    *,
    pairs: bool = True,
) -> None:
    """Check that a good call is refused with `ValueError` once an argument of it is not.

    Parameters
    ----------
    function : callable
        The learner's function.
    good : dict
        The arguments of a call that is fine, by name.
    broken : dict
        By name of an argument, the values of it that must be refused. Each is tried alone, a
        text that reads as a number in every form that it may take (see `check_forms`).
    hint : str, optional
        What may be asked of the arguments.
    pairs : bool, optional
        Try the last negative value of each argument also beside that of each other one, since
        two wrong signs may cancel. Once is enough where several good calls are broken.

    Raises
    ------
    AssertionError
        If a call returns, raises something else, or changes an argument.
    NotImplementedError
        If the function has not been written yet.

    Examples
    --------
    >>> def mean_gap(span_s, n):
    ...     if n < 1 or span_s / n < 0:
    ...         raise ValueError("span_s must not be negative, n must be at least 1")
    ...     return span_s / n
    >>> check_refused(mean_gap, {"span_s": 6, "n": 3}, {"span_s": [-1], "n": [0, -3]})
    ✓ mean_gap refuses span_s = -1; n = 0, -3
    >>> check_refused(lambda x, y: (x / y) ** 0.5, {"x": 1, "y": 2}, {"y": [0]})
    Traceback (most recent call last):
    AssertionError: <lambda>(x=1, y=0) should raise ValueError, but it raised ZeroDivisionError: \
division by zero.
    """
    __tracebackhide__ = True
    _Asked(function, good).answer_expected(lambda: "an answer", hint)
    values = {name: list(refused) for name, refused in broken.items()}
    changes = [
        {name: formed}
        for name, refused in values.items()
        for value in refused
        for formed in _forms_of_text(value)
    ]
    negative = {name: v for name, refused in values.items() for v in refused if _negative(v)}
    if pairs:
        changes += [dict(pair) for pair in itertools.combinations(negative.items(), 2)]
    for asked in _all_asked(function, ({**good, **change} for change in changes), refused=True):
        _refused(asked.answer, ValueError, asked.text, hint)
        asked.check_untouched()
    said = (f"{name} = {', '.join(map(_typed, refused))}" for name, refused in values.items())
    print(f"✓ {_name_of(function)} refuses {'; '.join(said)}")


def check_forms(
    function: Callable[..., object],
    call: _Call,
    expected: object,
    hint: str = "",
    *,
    exact: bool = False,
    pairs: bool = False,
) -> None:
    """Check a call with each argument in every form that it may take.

    Parameters
    ----------
    function : callable
        The learner's function.
    call : tuple or dict
        Arguments in order or by name. A text that reads as a number is also given as `float`,
        `Decimal`, `Fraction` and, if whole, `int`; a list of numbers also as tuple and array,
        both inside other lists, tuples and dicts too. Anything else stays as it is.
    expected : object
        What all of them return.
    hint : str, optional
        The likely mistake.
    exact : bool, optional
        Compare like `check_equal`; otherwise numbers may differ like in `check_close`.
    pairs : bool, optional
        Let any two of up to six arguments meet in every pair of forms, in 25 calls instead of
        five, to find what goes wrong only for a float beside a text.

    Raises
    ------
    AssertionError
        If a form makes a difference, or an argument is changed.

    Examples
    --------
    >>> from fractions import Fraction
    >>> def times(x, y):
    ...     return Fraction(str(x)) * Fraction(str(y))
    >>> check_forms(times, ("0.1", "3"), Fraction(3, 10), exact=True)
    ✓ times: '0.1', '3' in every form
    >>> check_forms(lambda x: Fraction(x), ("0.1",), Fraction(1, 10), exact=True)
    Traceback (most recent call last):
    AssertionError: <lambda>(0.1) should return 1/10, but it returned \
3602879701896397/36028797018963968. It is off by 6e-17 of the right number; exactly that one is \
asked for: does a float round on the way?
    """
    __tracebackhide__ = True
    values = list(call.values() if isinstance(call, Mapping) else call)
    calls: dict[str, _Call] = {}
    # Slot j takes form first + step j: as the number of forms is prime, any two slots meet
    # in all their pairs once step takes all values.
    for step, first in itertools.product(range(_FORMS) if pairs else (1,), range(_FORMS)):
        formed = [_formed(value, (first + step * j) % _FORMS) for j, value in enumerate(values)]
        asked = dict(zip(call, formed, strict=True)) if isinstance(call, Mapping) else formed
        calls.setdefault(repr(asked), asked)
    rows = ((asked, expected) for asked in calls.values())
    said = f"{', '.join(map(_typed, values))} in every form"
    check_calls(function, *rows, hint=hint, what=said, exact=exact)


# Text, float, Decimal, Fraction, int; list, tuple, array.
_FORMS = 5


def _formed(value: Any, form: int) -> Any:
    """Return a value of a test in one of the forms that it may take."""
    if isinstance(value, str):
        return _number_formed(value, form)
    if isinstance(value, list) and all(type(item) in (int, float) for item in value):
        return (value, tuple(value), np.array(value))[form % 3]
    if isinstance(value, (list, tuple)):
        return type(value)(_formed(item, form) for item in value)
    if isinstance(value, dict):
        return {key: _formed(item, form) for key, item in value.items()}
    return value


def _forms_of_text(value: Any) -> list[Any]:
    forms = (
        [_number_formed(value, form) for form in range(_FORMS)] if isinstance(value, str) else []
    )
    return list({repr(formed): formed for formed in forms or [value]}.values())


def _number_formed(text: str, form: int) -> Any:
    try:
        decimal = Decimal(text)
        exact = Fraction(decimal)
    except (InvalidOperation, ValueError, OverflowError):  # a text that is no finite number
        return text
    # A float of more digits than it holds reads as another number.
    short = float(text) if Decimal(str(float(text))) == decimal else text
    whole = exact.numerator if exact.denominator == 1 else text
    return (text, short, decimal, exact, whole)[form]


def answer_agrees(answer: object, right: object) -> bool:
    """Tell whether an answer worked out on paper is the right one.

    Parameters
    ----------
    answer : number, text, bool, list or dict
        The learner's answer. In a text case and outer spaces do not count.
    right : number, text, bool, list or dict
        The right answer. A whole number (int) must be hit exactly, any other number within
        half a percent.

    Examples
    --------
    >>> answer_agrees(230, 230.26), answer_agrees(" B", "b"), answer_agrees(371, 372)
    (True, True, False)
    """
    tolerance = 0.0 if isinstance(_plain(right).data, int) else _PAPER_REL_TOL
    compared = _Comparison(tolerance, tolerance * 1e-9)
    return compared.difference(_folded(answer), _folded(right)) is None


def shown(value: object) -> str:
    """Write a value as a learner would type it, cut to a sane length.

    Parameters
    ----------
    value : object
        Anything; its own ``repr`` is never asked.

    Examples
    --------
    >>> shown(0.25), shown("memory")
    ('0.25', "'memory'")
    """
    return _show(value)


def _folded(value: Any) -> Any:
    plain = _plain(value)
    return plain.data.strip().casefold() if plain.kind == "text" else value


def header(title: str, subtitle: str = "") -> None:
    """Print a title over what a cell shows, underlined so that plain text reads well.

    Parameters
    ----------
    title : str
        The title.
    subtitle : str, optional
        One line under it.

    Examples
    --------
    >>> header("Little's law", "requests in the system")
    Little's law
    ============
    requests in the system
    """
    print(title)
    print("=" * len(title))
    if subtitle:
        print(subtitle)
