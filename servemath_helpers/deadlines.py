"""Real time: what fits into a frame or a control period, in the worst case.

A promise about every single frame is about the worst case, not about a mean or a
percentile: work that ends after the deadline counts as late by a whole period.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    whole,
)

__all__ = ["achieved_fps", "edge_batch_ok"]

#: Periods by which work may exceed a whole number and still count as that number:
#: 1000 / 60 has no finite binary form, so a frame of exactly one period would miss it.
_ROUNDING_PERIODS = 1e-9


def achieved_fps(refresh_hz: float, compute_ms: float, wait_ms: float, pipelined: bool) -> float:
    """Return the frame rate of a display that shows a frame only at its next refresh.

    Parameters
    ----------
    refresh_hz : float
        Refresh rate of the display [Hz], greater than 0.
    compute_ms : float
        Time to compute a frame [ms], at least 0.
    wait_ms : float
        Time that a frame waits before it is computed [ms], at least 0.
    pipelined : bool
        Whether one frame waits while another is computed, so that only `compute_ms`
        limits the rate; otherwise each frame takes both.

    Returns
    -------
    float
        Frames per second.

    Notes
    -----
    refresh_hz / ceil(t / period) with t = compute_ms if pipelined, else compute_ms +
    wait_ms, and at least one period: rates are whole fractions of the refresh rate.
    Pipelining raises the rate; each frame is still compute_ms + wait_ms old when it is
    shown. Work within 1e-9 periods of a whole number counts as that number.

    Examples
    --------
    >>> achieved_fps(60, 15, 5, pipelined=False), achieved_fps(60, 15, 5, pipelined=True)
    (30.0, 60.0)
    >>> [achieved_fps(60, ms, 0, False) for ms in (16, 17, 34)]
    [60.0, 30.0, 20.0]
    """
    refresh_hz = finite_positive("refresh_hz", refresh_hz)
    compute_ms = finite_non_negative("compute_ms", compute_ms)
    wait_ms = finite_non_negative("wait_ms", wait_ms)
    busy_ms = compute_ms if pipelined else compute_ms + wait_ms
    periods = busy_ms * refresh_hz / 1000
    nearest = round(periods)
    whole_periods = nearest if abs(periods - nearest) <= _ROUNDING_PERIODS else math.ceil(periods)
    return refresh_hz / max(1, whole_periods)


def edge_batch_ok(n: int, alpha: float, beta: float, deadline: float) -> bool:
    """Tell whether a batch of n inputs that arrive together meets a deadline.

    Parameters
    ----------
    n : int
        Inputs in the batch, at least 1.
    alpha : float
        Time per batch, at least 0.
    beta : float
        Time per input in the batch [same unit], at least 0.
    deadline : float
        Time allowed [same unit], at least 0.

    Returns
    -------
    bool
        Whether alpha + beta n <= deadline.

    Examples
    --------
    Six cameras against a loop of 10 ms.

    >>> edge_batch_ok(5, 2, 1.5, 10), edge_batch_ok(6, 2, 1.5, 10)
    (True, False)
    """
    n = whole("n", n, minimum=1)
    needed = finite_non_negative("alpha", alpha) + finite_non_negative("beta", beta) * n
    return needed <= finite_non_negative("deadline", deadline)
