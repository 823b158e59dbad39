"""Checks of whole arrays, in a few vectorised passes, with the index of the first culprit.

`servemath_helpers._validate` checks element by element, which a million customers would
feel. The wording of the errors is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "SAME_INSTANT_S",
    "FloatArray",
    "IntArray",
    "frozen",
    "generator",
    "sorted_times",
    "times",
    "tokens",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Instants closer than this [s] count as the same instant: without it the rounding of
#: ``k * 0.008`` would decide whether a frame finds the server free.
SAME_INSTANT_S = 1e-9


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array, made read-only."""
    array.flags.writeable = False
    return array


def generator(rng: object) -> np.random.Generator:
    """Return `rng` if it is a NumPy generator; refuse anything else."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator, got {rng!r}")
    return rng


def _reject_at(name: str, bad: npt.NDArray[np.bool_], values: npt.NDArray[Any], what: str) -> None:
    index = int(np.argmax(bad))
    raise ValueError(f"{name}[{index}] must be {what}, got {values[index].item()!r}")


def _one_dimensional(name: str, values: object) -> npt.NDArray[Any]:
    if isinstance(values, Iterable) and not hasattr(values, "__len__"):
        values = list(values)  # a generator, which can be read only once
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((), dtype=object)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError(f"{name} must be a one-dimensional sequence of numbers, got {values!r}")
    return array


def times(name: str, values: object, *, empty_allowed: bool = False) -> FloatArray:
    """Return a fresh array of finite seconds of at least 0."""
    array = np.array(_one_dimensional(name, values), dtype=np.float64)
    if not array.size:
        if empty_allowed:
            return array
        raise ValueError(f"{name} must not be empty")
    # min and max carry NaN along, so two reductions find everything that is wrong.
    low, high = array.min(), array.max()
    if not (low >= 0 and high < np.inf):
        bad = ~(np.isfinite(array) & (array >= 0))
        _reject_at(name, bad, array, "a finite number of at least 0")
    return array


def sorted_times(name: str, values: object, *, empty_allowed: bool = False) -> FloatArray:
    """Return a fresh array of finite seconds of at least 0 that never decrease."""
    array = times(name, values, empty_allowed=empty_allowed)
    back = array[1:] < array[:-1]
    if back.any():
        index = int(np.argmax(back)) + 1
        raise ValueError(
            f"{name} must be sorted: {name}[{index}] = {array[index].item()!r} comes "
            f"before {array[index - 1].item()!r}"
        )
    return array


def tokens(name: str, values: object, *, minimum: int) -> IntArray:
    """Return a fresh array of whole numbers of at least `minimum`."""
    array = _one_dimensional(name, values)
    if not array.size:
        raise ValueError(f"{name} must not be empty")
    bad = ~(np.isfinite(array) & (array >= minimum) & (array < 2**53) & (array == np.floor(array)))
    if bad.any():
        _reject_at(name, bad, array, f"a whole number of at least {minimum}")
    return array.astype(np.int64)
