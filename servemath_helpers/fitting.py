"""Fit the time of a step to a log of steps, and say how far off it is where it was not fitted.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import finite_non_negative, finite_positive, sequence

__all__ = ["FittedStep", "fit_step", "non_negative_least_squares"]

_FEWEST_ROWS = 8


class FittedStep(TypedDict):
    """Coefficients of a step time, with median relative errors."""

    base_s: float
    per_decode_s: float
    per_prefill_s: float
    per_context_s: float
    train_error: float
    held_out_error: float


def non_negative_least_squares(
    rows: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return coefficients of at least 0 with the least relative squared errors.

    Parameters
    ----------
    rows : numpy.ndarray
        A row for each time, a column for each coefficient; few columns.
    seconds : numpy.ndarray
        What each row should give, above 0.

    Returns
    -------
    numpy.ndarray
        The c of at least 0 with the least ``sum((rows @ c / seconds - 1)^2)``; 0.0 for what a
        smaller set of columns fits as well without.

    Notes
    -----
    Tries which coefficients are 0: the best one is the plain least-squares answer of its own
    columns, so none is overlooked.

    Examples
    --------
    Fitted freely, the second coefficient would be below 0:

    >>> import numpy as np
    >>> rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> np.round(non_negative_least_squares(rows, np.array([3.0, 3.0, 2.0])), 3).tolist()
    [2.471, 0.0]
    """
    # Relative errors count: a row is divided by what it should give.
    rows = rows / seconds[:, None]
    best, least = np.zeros(rows.shape[1]), float(seconds.size)
    for count in range(1, rows.shape[1] + 1):
        for chosen in combinations(range(rows.shape[1]), count):
            some = rows[:, chosen]
            scale = np.maximum(np.abs(some).max(axis=0), 1e-300)
            answer = np.linalg.lstsq(some / scale, np.ones(seconds.size), rcond=None)[0] / scale
            loss = float(((some @ answer - 1) ** 2).sum())
            if (answer >= 0).all() and loss < least:
                best, least = np.zeros(rows.shape[1]), loss
                best[list(chosen)] = answer
    return best


def fit_step(rows: Sequence[Mapping[str, float]]) -> FittedStep:
    """Fit ``t0 + a D + p P + b ctx`` to every second step of a log, and test it on the others.

    Parameters
    ----------
    rows : sequence of dict
        At least eight steps: ``decode`` sequences D, ``prefill`` tokens P and ``context``
        tokens ctx, at least 0, and ``step_s`` [s], above 0.

    Returns
    -------
    dict
        ``base_s``, ``per_decode_s``, ``per_prefill_s``, ``per_context_s`` [s], at least 0, of
        the rows 0, 2, 4, ...; ``train_error`` and ``held_out_error``, the medians of
        ``abs(fitted / measured - 1)`` over those rows and over the others. A column of zeros
        has the coefficient 0.0.

    Raises
    ------
    ValueError
        If there are too few rows, or one lacks a field or has one out of range.

    Examples
    --------
    >>> log = [{"decode": n, "prefill": 100 * (n % 3), "context": 500 * n,
    ...         "step_s": 0.01 + 2e-4 * n + 1e-5 * 100 * (n % 3)} for n in range(1, 11)]
    >>> fit = fit_step(log)
    >>> round(fit["base_s"], 6), round(fit["per_prefill_s"], 9), fit["held_out_error"] < 1e-9
    (0.01, 1e-05, True)
    """
    log = sequence("rows", rows)
    if len(log) < _FEWEST_ROWS:
        raise ValueError(f"rows must be at least {_FEWEST_ROWS}, got {len(log)}")
    table, times = [], []
    for i, row in enumerate(log):
        fields = ("decode", "prefill", "context", "step_s")
        if not isinstance(row, Mapping) or any(name not in row for name in fields):
            raise ValueError(f"rows[{i}] must have the fields {', '.join(fields)}, got {row!r}")
        counts = [finite_non_negative(f"rows[{i}] {name}", row[name]) for name in fields[:3]]
        table.append([1.0, *counts])
        times.append(finite_positive(f"rows[{i}] step_s", row["step_s"]))
    columns, seconds = np.array(table), np.array(times)
    found = non_negative_least_squares(columns[::2], seconds[::2])
    off = np.abs(columns @ found / seconds - 1)
    base_s, per_decode_s, per_prefill_s, per_context_s = found.tolist()
    return {
        "base_s": base_s,
        "per_decode_s": per_decode_s,
        "per_prefill_s": per_prefill_s,
        "per_context_s": per_context_s,
        "train_error": float(np.median(off[::2])),
        "held_out_error": float(np.median(off[1::2])),
    }
