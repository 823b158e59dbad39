"""Argument checks shared by every public function: one wording for one mistake.

Each check returns the value it accepted as a plain Python number, so that NumPy
scalars never leak into results, and raises `ValueError` naming the argument,
what was expected, and what was given.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import numpy.typing as npt


def _reject(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"{name} must be {expected}, got {value!r}")


def number(name: str, value: Any, expected: str = "a number") -> float:
    """Return `value` as a float; refuse bools, text, arrays, durations and NaN."""
    # np.timedelta64 calls itself an integer, yet a duration is no bare number.
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, numbers.Real):
        raise _reject(name, expected, value)
    try:
        result = float(value)
    except OverflowError:
        raise _reject(name, expected + " below 1.8e308", value) from None
    if math.isnan(result):
        raise _reject(name, expected, value)
    return result


def finite(name: str, value: Any, expected: str = "a finite number") -> float:
    """Return `value` as a float that is neither NaN nor infinite."""
    result = number(name, value, expected)
    if math.isinf(result):
        raise _reject(name, expected, value)
    return result


def positive(name: str, value: Any) -> float:
    """Return `value` as a float greater than zero."""
    result = number(name, value, "a number greater than 0")
    if result <= 0:
        raise _reject(name, "a number greater than 0", value)
    return result


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a float that is zero or more."""
    result = number(name, value, "a number of at least 0")
    if result < 0:
        raise _reject(name, "a number of at least 0", value)
    return result


def finite_positive(name: str, value: Any) -> float:
    """Return `value` as a finite float greater than zero."""
    return finite(name, positive(name, value), "a finite number greater than 0")


def finite_non_negative(name: str, value: Any) -> float:
    """Return `value` as a finite float that is zero or more."""
    return finite(name, non_negative(name, value), "a finite number of at least 0")


def probability(
    name: str, value: Any, *, zero_allowed: bool = True, one_allowed: bool = True
) -> float:
    """Return `value` as a float in the unit interval, its ends open or closed."""
    left, right = "[" if zero_allowed else "(", "]" if one_allowed else ")"
    expected = f"in {left}0, 1{right}"
    result = number(name, value, expected)
    inside = 0 < result < 1 or (zero_allowed and result == 0) or (one_allowed and result == 1)
    if not inside:
        raise _reject(name, expected, value)
    return result


def whole(name: str, value: Any, minimum: int = 0) -> int:
    """Return `value` as an int of at least `minimum`; a float such as 3.0 is accepted."""
    expected = f"a whole number of at least {minimum}"
    if not math.isfinite(number(name, value, expected)):
        raise _reject(name, expected, value)
    result = int(value)
    if result != value or result < minimum:
        raise _reject(name, expected, value)
    return result


def sequence(name: str, values: Any, expected: str = "a sequence") -> list[Any]:
    """Return the elements of `values` as a list; refuse text and what has no elements."""
    try:
        if isinstance(values, (str, bytes)):
            raise _reject(name, expected, values)
        return list(values)
    except TypeError:
        raise _reject(name, expected, values) from None


def plain_array(values: Any) -> npt.NDArray[np.float64] | None:
    """Return a row of plain numbers, none of them NaN, as floats; None for anything else.

    A million samples are then looked at in one step, not one by one.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "fiu":
        return None
    floats = values.astype(np.float64)
    return None if np.isnan(floats).any() else floats


def numbers_in(
    name: str, values: Iterable[Any], *, minimum: float | None = None, empty_allowed: bool = False
) -> list[float]:
    """Return `values` as a list of floats, each checked and named by its index."""
    if (plain := plain_array(values)) is not None:
        checked: list[float] = plain.tolist()
    else:
        if isinstance(values, np.ndarray) and values.ndim == 1:
            items = values.tolist()
        else:
            items = sequence(name, values, "a sequence of numbers")
        checked = [
            # Plain floats, by far the most common, skip the careful path unless NaN.
            value if type(value) is float and value == value else number(f"{name}[{index}]", value)
            for index, value in enumerate(items)
        ]
    if not checked and not empty_allowed:
        raise ValueError(f"{name} must not be empty")
    if minimum is not None:
        for index, value in enumerate(checked):
            if value < minimum:
                raise _reject(f"{name}[{index}]", f"a number of at least {minimum:g}", value)
    return checked


def finite_numbers_in(
    name: str, values: Iterable[Any], *, minimum: float | None = None, empty_allowed: bool = False
) -> list[float]:
    """Return `values` as a list of finite floats, each checked and named by its index."""
    checked = numbers_in(name, values, minimum=minimum, empty_allowed=empty_allowed)
    return [finite(f"{name}[{i}]", x) if math.isinf(x) else x for i, x in enumerate(checked)]


def same_length(**named: Sized) -> None:
    """Refuse sequences of different lengths, naming each."""
    if len({len(values) for values in named.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in named.items())
        raise ValueError(f"{' and '.join(named)} must have the same length: {lengths}")
