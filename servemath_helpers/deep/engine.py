"""What a chapter says of its exercises, and the search for an input that breaks it.

A chapter's file (`ch1.py` shows all of it) has one function an exercise, which declares what
holds. Its first argument, a `Deep`, takes each promise with a way to draw arguments::

    @exercise("mean_gap")
    def _(deep: Deep) -> None:
        def draw(dice: Dice) -> Arguments:
            return {"span_s": dice.number(0, 100), "n": dice.whole(1, 20)}

        deep.agrees(draw, counted_gap, "the gaps fill the span", edges=[{"span_s": 0, "n": 1}])
        deep.holds(
            draw,
            lambda gap, span_s, n: close(gap(2 * span_s, n), 2 * gap(span_s, n)),
            "twice the span, twice the gaps",
        )
        deep.refuses({"span_s": 6, "n": 3}, {"span_s": [-4], "n": [0, -2]}, "n is at least 1")

- Simpler inputs than were drawn are tried to make a counter-example small: `where` says which of
  them the promise is about, if not all.
- `agrees` compares with an oracle: slow and plain (a simulation step by step, an enumeration,
  bisection, fractions), never the solution again. Where the oracle raises `ValueError` the
  function must; where it raises `Unasked` nothing is asked.
- `holds` is for a property (conservation, symmetry, monotony, a limit): the check gets the
  learner's function and the arguments, and answers True or False.
- `refuses` tries bad values one by one, and negative ones in pairs, in a call that is fine.

Words are those of the statement: they are shown with a counter-example. Where an answer has
parts, `parts` says of each, by key or place, what holds; `edges_say` lists conditions on the
arguments and what holds there: the first that is met by the small counter-example is shown. A
property that looks at several things returns the words of the one that fell. Draw small inputs,
and few: a right solution is done in a tenth of a second. Arguments are left unchanged by every
call, or that is the counter-example. Nothing here may hold a line of a solution or of a hidden
test: `tests/helpers/test_deep.py` compares, and tries the bank's solutions.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from servemath_helpers.checks import (
    _CLOSE,
    _Asked,
    _Comparison,
    _negative,
    _sentence,
    _show,
    check_close,
    check_raises,
    shown,
)
from servemath_helpers.deep.limit import Spent, TooLong, Watch
from servemath_helpers.deep.shrink import Arguments, alike, plain, shrink

__all__ = [
    "BROKEN",
    "EXERCISES",
    "FINE",
    "SLOW",
    "UNSOLVED",
    "Arguments",
    "Deep",
    "Dice",
    "Exercise",
    "Finding",
    "Unasked",
    "close",
    "examine",
    "exercise",
    "root",
]

#: Seconds that one call may take, and all of a check.
CALL_S, ALL_S = 2.0, 10.0

#: Numbers below it fit into a float.
_LARGE = 10**300

#: What a bad argument may take of a line.
_HERE_SHOWN = 60

#: What can come of a check.
FINE, BROKEN, UNSOLVED, SLOW = "fine", "broken", "unsolved", "slow"

#: What holds for arguments that meet a condition.
Edges = Sequence[tuple[Callable[..., object], str]]

Function = Callable[..., Any]
Draw = Callable[["Dice"], Arguments]


class Unasked(Exception):
    """These arguments lie outside of what the statement speaks of."""


class _Broken(Exception):
    """A promise is broken: what kind of failure, how to say it, and what should hold instead."""

    def __init__(self, kind: str, told: str, words: str = "") -> None:
        super().__init__(told)
        self.kind, self.told, self.words = kind, told, words


class Dice(random.Random):
    """Random draws that like ends, whole numbers and short decimals."""

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, often an end."""
        return self.choice((low, high)) if self.random() < 0.2 else self.randint(low, high)

    def number(self, low: float, high: float) -> float:
        """Return a number from `low` to `high`: an end, a short decimal, or any."""
        kind = self.random()
        if kind < 0.15:
            return self.choice((low, high))
        value = self.uniform(low, high)
        return min(high, max(low, round(value, 1))) if kind < 0.6 else value

    def decimal(self, low: float, high: float, places: int = 2) -> str:
        """Return the text of a decimal between `low` and `high`."""
        steps = 10**places
        return str(Decimal(self.randint(math.ceil(low * steps), math.floor(high * steps))) / steps)

    def form(self, text: str) -> int | float | str | Decimal | Fraction:
        """Return a number in one of the forms that it may take."""
        exact = Fraction(text)
        forms: list[Any] = [text, Decimal(text), exact]
        if Fraction(str(float(text))) == exact:
            forms.append(float(text))
        if exact.denominator == 1:
            forms.append(int(exact))
        chosen: int | float | str | Decimal | Fraction = self.choice(forms)
        return chosen

    def sequence(self, values: Sequence[Any]) -> Any:
        """Return values as a list, a tuple or an array."""
        kind: Callable[[Sequence[Any]], Any] = self.choice((list, list, tuple, np.array))
        return kind(list(values))


def close(one: Any, other: Any, rel_tol: float = 1e-9, abs_tol: float = 1e-12) -> bool:
    """Tell whether two answers are equal but for rounding, inside lists and dicts too."""
    try:
        check_close(one, other, "", rel_tol=rel_tol, abs_tol=abs_tol)
    except AssertionError:
        return False
    return True


def root(crosses: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function crosses 0 between two numbers, by halving until floats end."""
    above = crosses(low) > 0
    while True:
        between = (low + high) / 2
        if between in (low, high):
            return between
        if (crosses(between) > 0) == above:
            low = between
        else:
            high = between


def _anywhere(**_: object) -> bool:
    return True


@dataclass(frozen=True)
class _Promise:
    """One thing that holds: of which function, for which arguments, and what to show."""

    of: str
    words: str
    cases: Callable[[Dice], Iterator[Arguments]]
    check: Callable[[_Calls, Arguments], None]


@dataclass
class _Calls:
    """The learner's function, with what it was asked and what it said."""

    function: Function
    watch: Watch
    said: list[str | tuple[str, Any]] = field(default_factory=list)
    text: str = ""
    always_none: bool = True

    def ask(self, asked: _Asked) -> Any:
        self.text = asked.text
        with self.watch.one_call():
            answer = asked.answer()
        self.always_none &= answer is None
        return answer

    def told(self) -> str:
        """Return what was said: a call and its answer a line, to as many digits as they differ."""
        answers = [line[1] for line in self.said if not isinstance(line, str)]
        short, long = ({_show(a, full=full) for a in answers} for full in (False, True))
        return "\n".join(
            line
            if isinstance(line, str)
            else f"{line[0]} returned {_show(line[1], full=len(short) < len(long))}"
            for line in self.said
        )

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call it as a property does, in order or by name: an error is a counter-example."""
        asked = _call(self.function, named or given)
        try:
            answer = self.ask(asked)
        except NotImplementedError:
            raise
        except Exception as error:
            raise _Broken(*_raised(asked.text, "an answer", error)) from None
        _check_untouched(asked)
        self.said.append((asked.text, answer))
        return answer


def _call(function: Function, arguments: Arguments | tuple[Any, ...]) -> _Asked:
    """Return a call with arguments of its own, shown whole: somebody wants to try it."""
    asked = _Asked(function, copy.deepcopy(arguments))
    named = arguments.items() if isinstance(arguments, Mapping) else (("", v) for v in arguments)
    parts = [f"{name}={value!r}".lstrip("=") for name, value in named]
    asked.text = f"{asked.text.partition('(')[0]}({', '.join(parts)})"
    return asked


def _raised(text: str, wanted: str, error: Exception) -> tuple[str, str]:
    kind = type(error).__name__
    return f"raised {kind}", f"{text} should return {wanted}, but it raised {kind}: {error}"


def _check_untouched(asked: _Asked) -> None:
    try:
        asked.check_untouched()
    except AssertionError as error:
        raise _Broken("changed", str(error), "no function changes its arguments") from None


def _readable(value: Any) -> Any:
    """Return an oracle's answer with fractions as numbers that one reads."""
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    if isinstance(value, Fraction) and (value.denominator == 1 or abs(value) < _LARGE):
        return int(value) if value.denominator == 1 else float(value)
    return value


class Deep:
    """Takes what an exercise promises; see the module's description."""

    def __init__(self, functions: Sequence[str]) -> None:
        self._functions = functions
        self.promises: list[_Promise] = []

    def _add(
        self,
        check: Callable[[_Calls, Arguments], None],
        cases: Callable[[Dice], Iterator[Arguments]],
        words: str,
        of: str,
    ) -> None:
        self.promises.append(_Promise(of or self._functions[0], words, cases, check))

    def agrees(
        self,
        draw: Draw,
        oracle: Function,
        words: str,
        *,
        of: str = "",
        where: Callable[..., bool] = _anywhere,
        edges: Sequence[Arguments] = (),
        cases: int = 60,
        rel_tol: float = _CLOSE.rel_tol,
        abs_tol: float = _CLOSE.abs_tol,
        parts: Mapping[str, str] | Mapping[int, str] | None = None,
        edges_say: Edges = (),
    ) -> None:
        """Promise the answers of an oracle, which gets the arguments by name."""
        comparison = _Comparison(rel_tol, abs_tol)
        words_of = {
            f"item {part}" if isinstance(part, int) else f"key {part!r}": said
            for part, said in (parts or {}).items()
        }

        def at_an_edge(arguments: Arguments) -> str:
            return next((said for meets, said in edges_say if meets(**arguments)), "")

        def check(calls: _Calls, arguments: Arguments) -> None:
            asked = _call(calls.function, arguments)
            try:
                expected = _readable(oracle(**copy.deepcopy(dict(arguments))))
            except ValueError as error:
                _check_refused(calls, asked, str(error).rstrip("."))
                return
            try:
                answer = calls.ask(asked)
            except NotImplementedError:
                raise
            except Exception as error:
                said = _raised(asked.text, shown(expected), error)
                raise _Broken(*said, at_an_edge(arguments)) from None
            calls.always_none &= expected is not None  # it may be the answer
            found = comparison.difference(answer, expected)
            if found:
                if not found.place and isinstance(answer, list) and isinstance(expected, list):
                    found = replace(found, wanted=shown(expected), got=shown(answer))
                told = _sentence(answer, found, asked.text, not calls.always_none)
                own = words_of.get(found.place[0], "") if found.place else ""
                raise _Broken("answer", told, at_an_edge(arguments) or own)
            _check_untouched(asked)

        self._add(_asked(check, where), _drawn(draw, edges, cases), words, of)

    def holds(
        self,
        draw: Draw,
        check: Callable[..., object],
        words: str,
        *,
        of: str = "",
        where: Callable[..., bool] = _anywhere,
        edges: Sequence[Arguments] = (),
        cases: int = 60,
    ) -> None:
        """Promise a property: `check` gets the function, then the arguments by name.

        It returns whether the property holds, or, as a text, what does not.
        """

        def look(calls: _Calls, arguments: Arguments) -> None:
            calls.said.clear()
            try:
                holds = check(calls, **copy.deepcopy(dict(arguments)))
                fell = holds if isinstance(holds, str) else ""
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
                holds = fell = ""  # what came back cannot be looked at as the statement has it
            if fell or not holds:
                raise _Broken("property", calls.told(), fell)

        self._add(_asked(look, where), _drawn(draw, edges, cases), words, of)

    def refuses(
        self,
        good: Arguments,
        bad: Mapping[str, Iterable[Any]],
        words: str,
        *,
        of: str = "",
    ) -> None:
        """Promise `ValueError` where an argument of a good call takes a bad value."""
        values = {name: list(some) for name, some in bad.items()}
        changes = [{name: value} for name, some in values.items() for value in some]
        negative = {name: v for name, some in values.items() for v in some if _negative(v)}
        changes += [dict(pair) for pair in itertools.combinations(negative.items(), 2)]
        for change in changes:
            self._refuses_one(good, change, words, of)

    def _refuses_one(self, good: Arguments, change: Arguments, words: str, of: str) -> None:
        """Promise `ValueError` for one call, and for simpler ones if nothing beside it matters.

        That is so for a sign, a 0, None, and for more than 1 in place of a share.
        """
        call = {**good, **change}
        large = {name for name, value in change.items() if _above_1(value, good.get(name))}
        for_itself = all(
            name in large or value is None or _below_0(value) or str(value) in ("0", "0.0")
            for name, value in change.items()
        )

        def check(calls: _Calls, arguments: Arguments) -> None:
            same = all(repr(arguments[name]) == repr(call[name]) for name in large)
            if arguments != call and not (for_itself and same and alike(call, arguments)):
                raise Unasked
            here = " and ".join(f"{name} is {arguments[name]!r}" for name in change)
            here = f"{words}; here {here}" if len(here) < _HERE_SHOWN else words
            _check_refused(calls, _call(calls.function, arguments), "", here)

        self._add(check, lambda _: iter([call]), words, of)


def _asked(
    check: Callable[[_Calls, Arguments], None], where: Callable[..., bool]
) -> Callable[[_Calls, Arguments], None]:
    def asked(calls: _Calls, arguments: Arguments) -> None:
        if not where(**arguments):
            raise Unasked
        check(calls, arguments)

    return asked


def _drawn(
    draw: Draw, edges: Sequence[Arguments], cases: int
) -> Callable[[Dice], Iterator[Arguments]]:
    def drawn(dice: Dice) -> Iterator[Arguments]:
        yield from copy.deepcopy(edges)
        for _ in range(cases):
            yield draw(dice)

    return drawn


def _below_0(value: Any) -> bool:
    """Tell whether a number, or one of a sequence or a dict, is negative."""
    if isinstance(value, Mapping):
        return any(map(_below_0, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_below_0, value))
    return _negative(value)


def _above_1(value: Any, good: Any) -> bool:
    """Tell whether a number is 1 or more where a share is asked for."""
    try:
        return 0 < Fraction(str(good)) <= 1 <= Fraction(str(value)) != Fraction(str(good))
    except ValueError:
        return False


def _check_refused(calls: _Calls, asked: _Asked, why: str, words: str = "") -> None:
    try:
        check_raises(lambda: calls.ask(asked), ValueError, asked.text)
    except AssertionError as error:
        raise _Broken("refusal", str(error), words or why) from None
    _check_untouched(asked)


@dataclass(frozen=True)
class Exercise:
    """An exercise's functions, and what declares their promises."""

    functions: tuple[str, ...]
    declare: Callable[[Deep], None]

    @functools.cached_property
    def promises(self) -> tuple[_Promise, ...]:
        """What it declares: once, so that an oracle may remember what it has answered."""
        deep = Deep(self.functions)
        self.declare(deep)
        return tuple(deep.promises)


#: By the name of the first function that each asks for.
EXERCISES: dict[str, Exercise] = {}


def exercise(*functions: str) -> Callable[[Callable[[Deep], None]], Callable[[Deep], None]]:
    """Mark what declares the promises of an exercise's functions, its first name first."""

    def mark(declare: Callable[[Deep], None]) -> Callable[[Deep], None]:
        EXERCISES[functions[0]] = Exercise(functions, declare)
        return declare

    return mark


@dataclass(frozen=True)
class Finding:
    """What came of a check: fine, broken, unsolved or slow, and a text that says so."""

    state: str
    text: str


def asked_of(functions: Mapping[str, Function]) -> Exercise:
    """Return the exercise that asks for these functions.

    Chapters 3 and 4 both ask for a `best_batch`, one alone and one beside another function.
    """
    fitting = [one for one in EXERCISES.values() if functions.keys() <= {*one.functions}]
    return min(fitting, key=lambda one: len(one.functions))


def examine(
    functions: Mapping[str, Function], call_s: float = CALL_S, all_s: float = ALL_S
) -> Finding:
    """Look for an input that breaks what an exercise promises of these functions."""
    first = next(iter(functions))
    asked = asked_of(functions)
    promises = [one for one in asked.promises if one.of in functions]
    with contextlib.ExitStack() as quiet:
        quiet.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for redirected in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            quiet.enter_context(redirected(io.StringIO()))
        watch = quiet.enter_context(Watch(call_s))
        tried, spent = 0, Spent()

        def over() -> bool:
            return spent.seconds() >= all_s

        for place, promise in enumerate(promises):
            calls = _Calls(functions[promise.of], watch)
            try:
                for arguments in promise.cases(Dice(f"{promise.of} {place}")):
                    if over():
                        return Finding(SLOW, _too_slow(first, tried, all_s))
                    broken = _broken(promise, calls, arguments)
                    tried += 1
                    if broken is not None:
                        return Finding(BROKEN, _shown(promise, calls, arguments, broken, over))
            except NotImplementedError:
                return Finding(UNSOLVED, f"{promise.of} is not solved yet: come back then.")
            except TooLong:
                return Finding(BROKEN, _endless(promise.of, calls.text, call_s))
    name = ", ".join(functions)
    return Finding(FINE, f"✓ {name}: no counter-example in {tried} random and edge cases")


def _broken(promise: _Promise, calls: _Calls, arguments: Arguments) -> _Broken | None:
    try:
        promise.check(calls, arguments)
    except Unasked:
        return None
    except _Broken as broken:
        return broken
    return None


def _shown(
    promise: _Promise,
    calls: _Calls,
    arguments: Arguments,
    broken: _Broken,
    over: Callable[[], bool],
) -> str:
    """Make a counter-example small, and say what it shows."""

    def fails(simpler: Arguments) -> bool:
        nonlocal broken
        if over():
            return False
        try:
            found = _broken(promise, calls, simpler)
        except Exception:  # simpler than the oracle or the property knows
            return False
        if found is None or found.kind != broken.kind:
            return False
        broken = found
        return True

    words, form = "", ""
    with contextlib.suppress(TooLong):  # then it stays as it is
        arguments = shrink(arguments, fails)
        words = broken.words  # of the smallest
        form = _form_matters(promise, calls, arguments, over)
    lines = "\n".join(f"  {line}" for line in broken.told.splitlines())
    words = words or broken.words or promise.words
    if form:
        words = "an argument may come in each of the forms that the statement allows"
    return f"✗ {promise.of}: a counter-example.\n{lines}{form}\nWhat should hold: {words}."


def _form_matters(
    promise: _Promise, calls: _Calls, arguments: Arguments, over: Callable[[], bool]
) -> str:
    """Say that the same numbers in another form are fine, if they are."""
    simpler = plain(arguments)
    if repr(simpler) == repr(arguments) or over():
        return ""
    try:
        promise.check(calls, simpler)
    except Exception:
        return ""
    return f"\n  For {calls.text} it is right."


def _too_slow(name: str, tried: int, all_s: float) -> str:
    return (
        f"{name} is slow: {tried} cases in {all_s:g} s. None was a counter-example, the others "
        "were left out."
    )


def _endless(name: str, text: str, call_s: float) -> str:
    return (
        f"✗ {name}: a counter-example.\n  {text} had not returned after {call_s:g} s.\n"
        "Does a loop never end, or does the number of its steps grow with a rate or a time?"
    )
