"""Symmetric integer quantisation: a scale, codes, and what rounding may cost.

A value x is stored as the whole number nearest to x / s. One scale s serves a group of
values (a tensor, a row, a block), and the largest of them decides it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from servemath_helpers._validate import finite_numbers_in, finite_positive, numbers_in, whole

__all__ = ["dequantise", "largest_code", "quantise", "rounding_bound", "symmetric_scale"]


def largest_code(bits: int = 8) -> int:
    """Return the largest code of a symmetric integer format.

    Parameters
    ----------
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    int
        2^(bits - 1) - 1: 127 for 8 bits, 7 for 4. The code below -largest is not used,
        so that x and -x have codes of one size.

    Examples
    --------
    >>> largest_code(8), largest_code(4)
    (127, 7)
    """
    bits = whole("bits", bits, minimum=2)
    if bits > 32:
        raise ValueError(f"bits must be at most 32, got {bits!r}")
    return int(2 ** (bits - 1) - 1)


def symmetric_scale(values: Iterable[float], bits: int = 8) -> float:
    """Return the scale that maps the largest magnitude to the largest code.

    Parameters
    ----------
    values : iterable of float
        Finite values of the group, at least one.
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    float
        max(abs(x)) / (2^(bits - 1) - 1) [unit of the values]; 1.0 if all values are 0, where
        any scale serves.

    Raises
    ------
    ValueError
        If a value is not finite, there is none, the magnitudes are too small for a scale,
        or bits is out of range.

    References
    ----------
    T. Dettmers et al. (2022), "LLM.int8(): 8-bit Matrix Multiplication for Transformers
    at Scale", arXiv:2208.07339, section 2 (absmax quantisation).

    Examples
    --------
    >>> symmetric_scale([0.5, -1.27, 0.02])
    0.01
    """
    largest = max(abs(value) for value in finite_numbers_in("values", values))
    scale = largest / largest_code(bits)
    if scale == 0 and largest > 0:
        raise ValueError(f"values must be large enough for a scale above 0, got {largest!r}")
    return scale if largest > 0 else 1.0


def quantise(values: Iterable[float], scale: float, bits: int = 8) -> list[int]:
    """Return the codes of values: the nearest whole number of scales, kept in range.

    Parameters
    ----------
    values : iterable of float
        Finite values.
    scale : float
        Greater than 0 [unit of the values].
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    list of int
        round(x / scale), ties to the even code, clipped to the largest code of either
        sign.

    Examples
    --------
    >>> quantise([0.5, -1.27, 0.02, 9], scale=0.01)
    [50, -127, 2, 127]
    """
    numbers = np.asarray(finite_numbers_in("values", values, empty_allowed=True))
    limit = largest_code(bits)
    with np.errstate(over="ignore"):  # beyond the range of a float is beyond that of a code
        codes = np.rint(numbers / finite_positive("scale", scale))
    return [int(code) for code in np.clip(codes, -limit, limit)]


def dequantise(codes: Iterable[int], scale: float) -> list[float]:
    """Return the values that codes stand for.

    Parameters
    ----------
    codes : iterable of int
        Codes of `quantise`.
    scale : float
        The scale they were made with, greater than 0.

    Returns
    -------
    list of float
        code times scale [unit of the scale].

    Examples
    --------
    >>> dequantise([50, -127], scale=0.01)
    [0.5, -1.27]
    """
    scale = finite_positive("scale", scale)
    return [code * scale for code in numbers_in("codes", codes, empty_allowed=True)]


def rounding_bound(scale: float) -> float:
    """Return the largest error that rounding can make within the range of the codes.

    Parameters
    ----------
    scale : float
        Greater than 0 [unit of the values].

    Returns
    -------
    float
        scale / 2 [unit of the values].

    Notes
    -----
    No whole number is farther than 1/2 from x / s. With the scale of `symmetric_scale`
    nothing is clipped, so the bound holds for every value of the group: it is a bound on
    each weight, not on the quality of the model.

    Examples
    --------
    >>> rounding_bound(0.01)
    0.005
    """
    return finite_positive("scale", scale) / 2
