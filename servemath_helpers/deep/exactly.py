"""Exact numbers for oracles, and where rounding would decide: there nothing can be asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from servemath_helpers.deep.engine import Unasked

__all__ = [
    "above",
    "apart",
    "asked",
    "even",
    "few_bits",
    "from_",
    "held",
    "read",
    "share",
    "two_to_the",
]

#: Numbers that differ by less than this share of them may come out equal, or the other way round.
_NEAR = Fraction(1, 10**8)
_BITS = 2**24

_PLAIN = (int, float, str, Decimal, Fraction, type(None))

Function = Callable[..., Any]


def read(value: Any) -> Fraction:
    """Return the number that one reads: 0.1 is a tenth, as a float too."""
    return Fraction(str(value))


def from_(low: int) -> Callable[[Fraction], bool]:
    """Return the condition that a number is `low` or more."""
    return lambda value: value >= low


def above(low: int) -> Callable[[Fraction], bool]:
    """Return the condition that a number is more than `low`."""
    return lambda value: value > low


def share(value: Fraction) -> bool:
    """Tell whether a number lies in [0, 1)."""
    return 0 <= value < 1


def asked(**conditions: Callable[[Fraction], bool]) -> Callable[[Function], Function]:
    """Let an oracle speak only where its arguments meet conditions, by name; None meets all.

    A counter-example is made small by trying simpler ones, and these know no bounds. Where all
    arguments are numbers or texts, the oracle, which is slow, answers once.
    """

    def limit(oracle: Function) -> Function:
        def limited(**arguments: Any) -> Any:
            for name, holds in conditions.items():
                value = arguments.get(name)
                if value is not None and not holds(read(value)):
                    raise Unasked
            return oracle(**arguments)

        remembered = functools.lru_cache(maxsize=2**14, typed=True)(limited)

        @functools.wraps(oracle)
        def within(**arguments: Any) -> Any:
            plain = all(isinstance(value, _PLAIN) for value in arguments.values())
            return (remembered if plain else limited)(**arguments)

        return within

    return limit


def few_bits(*values: Any) -> bool:
    """Tell whether floats hold these numbers, and sums and products of a few, without rounding."""
    return all(
        abs(Fraction(value)) <= _BITS and _BITS % Fraction(value).denominator == 0
        for value in values
    )


def two_to_the(*values: Any) -> bool:
    """Tell whether all are powers of two, by which floats divide without rounding."""
    return all(math.frexp(value)[0] == 0.5 for value in values)


def held(*values: Fraction) -> bool:
    """Tell whether floats hold these numbers without rounding."""
    return all(Fraction(float(value)) == value for value in values)


def apart(one: Any, others: Iterable[Any], exact: bool = False) -> None:
    """Raise `Unasked` where rounding decides whether a number is above, equal to or below others.

    `exact` says that floats do not round here, so that equal is equal.
    """
    for other in others:
        equal = one == other
        near = abs(one - other) <= _NEAR * max(abs(one), abs(other))
        if near and not (equal and exact):
            raise Unasked


def even(excess: Callable[[Fraction], Fraction]) -> Fraction:
    """Return where a balance that is linear in its unknown is even, from its values at 0 and 1."""
    at_0, at_1 = excess(Fraction(0)), excess(Fraction(1))
    return at_0 / (at_0 - at_1)
