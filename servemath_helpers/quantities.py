"""Units and exact quantities: what 80 GB or a target of 0.7 means, to the last digit.

Money, gigabytes on a datasheet, an availability objective and a target utilisation
are decimal numbers in the real world, and most decimals have no exact binary
floating-point value. Functions that count with such quantities read them through
`exact` and stay in rational arithmetic until the answer.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from decimal import Decimal
    from fractions import Fraction

__all__ = [
    "EB",
    "EIB",
    "GB",
    "GIB",
    "KB",
    "KIB",
    "MB",
    "MIB",
    "PB",
    "PIB",
    "TB",
    "TIB",
    "Exact",
    "bytes_to_gb",
    "bytes_to_gib",
    "exact",
    "exact_at_least",
    "exact_ceil_div",
    "exact_floor_div",
    "exact_probability",
    "format_bytes",
    "gb_to_bytes",
    "gib_to_bytes",
]

#: What an exactly read argument may be. A float is read as it prints.
Exact: TypeAlias = "int | float | str | Decimal | Fraction"

KB, MB, GB, TB, PB, EB = (10 ** (3 * step) for step in range(1, 7))
KIB, MIB, GIB, TIB, PIB, EIB = (2 ** (10 * step) for step in range(1, 7))

# A number with more digits than this is a mistake (or an attack: the exponent of
# "1e999999999" alone would fill the memory when written out).
_MAX_EXPONENT = 1000
_MAX_TEXT = 2000


def _read(value: object) -> Fraction | None:
    """Return the exact value of anything `exact` accepts, None for the rest."""
    # Loaded here, not at import: only exact arithmetic pays for these two modules.
    from decimal import Decimal, InvalidOperation
    from fractions import Fraction

    if isinstance(value, Fraction):
        return value
    if isinstance(value, (bool, np.timedelta64)):
        return None
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, (float, np.floating)):
        value = str(value)
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            return None
        try:
            if "/" in value:
                return Fraction(value)
            value = Decimal(value)
        except (ValueError, ZeroDivisionError, InvalidOperation):
            return None
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= _MAX_EXPONENT:
        return Fraction(value)
    return None


def exact(value: Exact, name: str = "value") -> Fraction:
    """Read a quantity as the exact rational number that its decimal text denotes.

    Parameters
    ----------
    value : int, str, Decimal, Fraction or float
        Text may be a decimal ("0.8", "1e-3") or a ratio ("1/12"). A float is read
        through ``str``, so 0.8 means eight tenths, not the double next to it.
    name : str
        What to call the argument in an error message.

    Returns
    -------
    Fraction
        The exact value.

    Raises
    ------
    ValueError
        For a bool, NaN, an infinity, text that is not a number, or a size beyond
        10**1000 either way.

    Notes
    -----
    The double nearest to 0.8 is slightly above eight tenths, which is why the float
    expression ``32 // 0.8`` is 39 although forty shares of 0.8 make exactly 32.

    Examples
    --------
    >>> exact(0.8)
    Fraction(4, 5)
    >>> exact("0.999") == exact(999) / 1000
    True
    >>> 32 // 0.8, 32 // exact(0.8)
    (39.0, 40)
    """
    result = _read(value)
    if result is None:
        raise ValueError(
            f'{name} must be a finite number or decimal text such as "0.8", got {value!r}'
        )
    return result


def exact_at_least(
    value: Exact, minimum: int, name: str = "value", *, strict: bool = False
) -> Fraction:
    """Read a quantity exactly and require it to reach `minimum`.

    Parameters
    ----------
    value : int, str, Decimal, Fraction or float
        The quantity, read as by `exact`.
    minimum : int
        The smallest accepted value.
    name : str
        What to call the argument in an error message.
    strict : bool
        Whether `minimum` itself is refused.

    Returns
    -------
    Fraction
        The exact value.

    Raises
    ------
    ValueError
        If the value cannot be read or is too small.

    Examples
    --------
    >>> exact_at_least("0.25", 0)
    Fraction(1, 4)
    >>> exact_at_least(0, 0, "kv_gb", strict=True)
    Traceback (most recent call last):
        ...
    ValueError: kv_gb must be greater than 0, got 0
    """
    result = exact(value, name)
    if result < minimum or (strict and result == minimum):
        bound = "greater than" if strict else "at least"
        raise ValueError(f"{name} must be {bound} {minimum}, got {value!r}")
    return result


def exact_probability(
    value: Exact, name: str = "value", *, zero_allowed: bool = True, one_allowed: bool = True
) -> Fraction:
    """Read a probability, a share or an availability exactly.

    Parameters
    ----------
    value : int, str, Decimal, Fraction or float
        The probability, read as by `exact`; a percentage is not divided by 100.
    name : str
        What to call the argument in an error message.
    zero_allowed, one_allowed : bool
        Whether the ends of the unit interval are accepted.

    Returns
    -------
    Fraction
        The exact probability.

    Raises
    ------
    ValueError
        If the value cannot be read or lies outside the interval.

    Examples
    --------
    >>> 1 - exact_probability(0.9999)
    Fraction(1, 10000)
    >>> exact_probability(99.9, "slo")
    Traceback (most recent call last):
        ...
    ValueError: slo must be in [0, 1], got 99.9
    """
    result = exact(value, name)
    inside = 0 < result < 1 or (zero_allowed and result == 0) or (one_allowed and result == 1)
    if not inside:
        left, right = "[" if zero_allowed else "(", "]" if one_allowed else ")"
        raise ValueError(f"{name} must be in {left}0, 1{right}, got {value!r}")
    return result


def exact_floor_div(total: Exact, part: Exact) -> int:
    """Count how many whole parts fit into a total, exactly.

    Parameters
    ----------
    total : int, str, Decimal, Fraction or float
        What is shared out; may be negative, and then the count is too.
    part : int, str, Decimal, Fraction or float
        The size of one part, in the unit of `total`, greater than 0.

    Returns
    -------
    int
        The largest n with ``n * part <= total``.

    Raises
    ------
    ValueError
        If an argument cannot be read or `part` is not above 0.

    Examples
    --------
    >>> exact_floor_div(33, 0.55), exact_floor_div("80", "0.8")
    (60, 100)
    """
    return exact(total, "total") // exact_at_least(part, 0, "part", strict=True)


def exact_ceil_div(total: Exact, part: Exact) -> int:
    """Count how many parts are needed to cover a total, exactly.

    Parameters
    ----------
    total : int, str, Decimal, Fraction or float
        What has to be covered.
    part : int, str, Decimal, Fraction or float
        The size of one part, in the unit of `total`, greater than 0.

    Returns
    -------
    int
        The smallest n with ``n * part >= total``.

    Raises
    ------
    ValueError
        If an argument cannot be read or `part` is not above 0.

    Examples
    --------
    Three machines of 0.1 cover 0.3; the float division says a little more than that.

    >>> exact_ceil_div(0.3, 0.1), exact_ceil_div("0.31", "0.1")
    (3, 4)
    """
    return -(-exact(total, "total") // exact_at_least(part, 0, "part", strict=True))


def _to_bytes(value: Exact, name: str, unit: int) -> int:
    n_bytes = exact_at_least(value, 0, name) * unit
    if n_bytes.denominator != 1:
        raise ValueError(f"{name} must be a whole number of bytes, got {value!r}")
    return n_bytes.numerator


def gb_to_bytes(gb: Exact) -> int:
    """Convert decimal gigabytes (10**9 bytes) to bytes.

    Parameters
    ----------
    gb : int, str, Decimal, Fraction or float
        Size [GB], at least 0.

    Returns
    -------
    int
        Size [bytes].

    Raises
    ------
    ValueError
        If the size is negative, cannot be read, or is no whole number of bytes.

    Examples
    --------
    >>> gb_to_bytes(0.8)
    800000000
    """
    return _to_bytes(gb, "gb", GB)


def gib_to_bytes(gib: Exact) -> int:
    """Convert binary gibibytes (2**30 bytes) to bytes.

    Parameters
    ----------
    gib : int, str, Decimal, Fraction or float
        Size [GiB], at least 0.

    Returns
    -------
    int
        Size [bytes].

    Raises
    ------
    ValueError
        If the size is negative, cannot be read, or is no whole number of bytes.

    Examples
    --------
    >>> gib_to_bytes("1.25")
    1342177280
    """
    return _to_bytes(gib, "gib", GIB)


def bytes_to_gb(n: Exact) -> float:
    """Convert bytes to decimal gigabytes (10**9 bytes).

    Parameters
    ----------
    n : int, str, Decimal, Fraction or float
        Size [bytes], at least 0.

    Returns
    -------
    float
        Size [GB].

    Raises
    ------
    ValueError
        If the size is negative or cannot be read.

    Examples
    --------
    >>> bytes_to_gb(1_342_177_280)
    1.34217728
    """
    return float(exact_at_least(n, 0, "n") / GB)


def bytes_to_gib(n: Exact) -> float:
    """Convert bytes to binary gibibytes (2**30 bytes).

    Parameters
    ----------
    n : int, str, Decimal, Fraction or float
        Size [bytes], at least 0.

    Returns
    -------
    float
        Size [GiB].

    Raises
    ------
    ValueError
        If the size is negative or cannot be read.

    Examples
    --------
    >>> round(bytes_to_gib(80 * GB), 1)
    74.5
    """
    return float(exact_at_least(n, 0, "n") / GIB)


def format_bytes(n: Exact, binary: bool = False) -> str:
    """Write a size with four significant digits and the unit that suits it.

    Parameters
    ----------
    n : int, str, Decimal, Fraction or float
        Size [bytes], at least 0.
    binary : bool
        Whether to use KiB, MiB, GiB (powers of 1024) in place of kB, MB, GB.

    Returns
    -------
    str
        The size and its unit, without trailing zeros.

    Raises
    ------
    ValueError
        If the size is negative or cannot be read.

    Examples
    --------
    >>> format_bytes(1_342_177_280), format_bytes(1_342_177_280, binary=True)
    ('1.342 GB', '1.25 GiB')
    >>> format_bytes(65536, binary=True), format_bytes(1)
    ('64 KiB', '1 B')
    """
    size = float(exact_at_least(n, 0, "n"))
    step, middle = (1024, "i") if binary else (1000, "")
    kilo = "K" if binary else "k"
    units = ["B", *(f"{prefix}{middle}B" for prefix in (kilo, *"MGTPE"))]
    while _four_digits(size) >= step and len(units) > 1:
        size /= step
        del units[0]
    return f"{_four_digits(size):,.10g} {units[0]}"


def _four_digits(size: float) -> float:
    """Round to four significant digits, or to a whole number from 1000 up."""
    # Round before choosing the unit: 999.96 kB is 1 MB once it has four digits.
    return round(size, 3 if size < 9.9995 else 2 if size < 99.995 else 1 if size < 999.95 else 0)
