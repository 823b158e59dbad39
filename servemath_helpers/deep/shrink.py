"""Simpler inputs: what a counter-example is tried with before it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["alike", "plain", "shrink"]

#: Trials for one counter-example.
_TRIALS = 400

Arguments = Mapping[str, Any]


def shrink(arguments: Arguments, fails: Callable[[Arguments], bool]) -> Arguments:
    """Return simpler arguments that still fail, as far as some hundred trials lead.

    Whole lists and dicts lose elements, lists of the same length the same ones; numbers come
    nearer to 0, lose digits, or become plain ones. Keys of a dict and texts that are no numbers
    stay.
    """
    trials = 0
    while True:
        size = _size(arguments)
        for simpler in _simpler_arguments(arguments):
            if _size(simpler) >= size:
                continue
            trials += 1
            if trials > _TRIALS:
                return arguments
            if fails(simpler):
                arguments = simpler
                break
        else:
            return arguments


def _size(value: Any) -> tuple[int, int, float]:
    """Return how much there is to read: elements, characters, and how far from 0."""
    if isinstance(value, Mapping):
        return _sum(value.values())
    if isinstance(value, (list, tuple, np.ndarray)):
        count, length, far = _sum(list(value))
        return count, length + len(type(value).__name__), far
    # Plain numbers, by far the most common, need not be read as texts are.
    finite = type(value) is int or (type(value) is float and math.isfinite(value))
    number = value if finite else _number(value)
    # A text as long as the number that it holds takes more to read.
    return 1, len(repr(value)), float(min(abs(number), 1e30)) if number is not None else 0.0


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values have the same elements but for numbers of the same sign.

    Then what is wrong with one for a sign, or for nothing else, is wrong with the other.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    sequences = list, tuple, np.ndarray
    if isinstance(one, sequences) and isinstance(other, sequences):
        return len(one) == len(other) and all(map(alike, list(one), list(other)))
    numbers = _number(one), _number(other)
    if None in numbers:
        return repr(one) == repr(other)
    a, b = (Fraction(number or 0) for number in numbers)
    # A share does not grow to more than it was: it might be more than a whole.
    return (a > 0) == (b > 0) and (a < 0) == (b < 0) and abs(b) <= abs(a)


def plain(value: Any) -> Any:
    """Return a value with numbers as int or float, and sequences as lists, where that is the same.

    A number of more digits than a float has stays in its form.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    number = None if isinstance(value, (int, float)) else _number(value)
    if number is None:
        return value
    if number.denominator == 1:
        return int(number)
    return float(number) if Fraction(str(float(number))) == number else value


def _sum(values: Any) -> tuple[int, int, float]:
    sizes = [_size(value) for value in values]
    count, length, far = zip(*sizes, strict=True) if sizes else ((), (), ())
    return 1 + sum(count), 2 + sum(length), sum(far)


def _number(value: Any) -> Fraction | None:
    """Return a finite number, also one that is a text, exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal, Fraction)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        return Fraction(str(value))
    except ValueError:
        return None


def _simpler_arguments(arguments: Arguments) -> Iterator[Arguments]:
    lengths = {
        len(value) for value in arguments.values() if isinstance(value, (list, tuple, np.ndarray))
    }
    for length in sorted(lengths, reverse=True):
        for kept in _kept(length):
            yield {
                name: _only(value, kept)
                if isinstance(value, (list, tuple, np.ndarray)) and len(value) == length
                else value
                for name, value in arguments.items()
            }
    for name, value in arguments.items():
        if isinstance(value, (tuple, np.ndarray)):
            yield {**arguments, name: list(value) if isinstance(value, tuple) else value.tolist()}
        elif _number(value) is not None:
            yield {**arguments, name: plain(value)}
        for simpler in _simpler(value):
            yield {**arguments, name: simpler}


def _kept(length: int) -> Iterator[list[int]]:
    """Yield places that are left when a half, or one element, is dropped."""
    places = list(range(length))
    if length > 1:
        yield places[: length // 2]
        yield places[length // 2 :]
    for place in reversed(places):
        yield places[:place] + places[place + 1 :]


def _only(values: Any, kept: list[int]) -> Any:
    if isinstance(values, np.ndarray):
        return values[kept]
    return type(values)(values[place] for place in kept)


def _simpler(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            for simpler in _simpler(item):
                yield {**value, key: simpler}
    elif isinstance(value, (list, tuple)):
        for kept in _kept(len(value)) if isinstance(value, list) else ():  # a tuple is a record
            yield _only(value, kept)
        for place, item in enumerate(value):
            for simpler in _simpler(item):
                yield type(value)([*value[:place], simpler, *value[place + 1 :]])
    else:
        number = _number(value)
        if number is not None:
            yield from _simpler_numbers(value, number)


def _simpler_numbers(value: Any, number: Fraction) -> Iterator[Any]:
    """Yield numbers with fewer digits or nearer to 0, of the same kind, and whole ones as int."""
    whole = round(number)
    near = [*_nearer(whole), whole]
    if type(value) is int:
        yield from near
        return
    short = [round(number, places) for places in range(1, 7)]
    for one in [*map(Fraction, near), Fraction(1, 2), *short]:
        if isinstance(value, str):
            yield _as_text(one)
        elif one.denominator == 1:
            yield int(one)
        elif isinstance(value, Decimal):
            yield Decimal(_as_text(one))
        else:
            yield type(value)(one)


def _nearer(whole: int) -> list[int]:
    """Return whole numbers between 0 and one, the nearest to 0 first."""
    sign = -1 if whole < 0 else 1
    steps = (0, 1, 2, 3, abs(whole) // 2, abs(whole) - 1)
    return [sign * step for step in steps if 0 <= step < abs(whole)]


def _as_text(number: Fraction) -> str:
    return f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
