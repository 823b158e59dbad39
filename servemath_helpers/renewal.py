"""The GI/M/1 queue: independent gaps of any distribution, exponential service, one server.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from servemath_helpers._validate import finite_non_negative, finite_positive, number
from servemath_helpers.quantities import exact_probability

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["gamma_gaps", "gim1_sigma", "gim1_wait", "gim1_wait_quantile_s"]

_HALVINGS = 200


def gamma_gaps(lam: float, ca2: float) -> Callable[[float], float]:
    """Return the Laplace transform of gamma-distributed gaps, from a clock to bursts.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], greater than 0.
    ca2 : float
        Squared coefficient of variation of the gaps, at least 0; 0 is a clock, 1 Poisson.

    Returns
    -------
    callable
        E[exp(-s A)] of a gap A, for `gim1_sigma`.

    Examples
    --------
    >>> round(gamma_gaps(lam=2, ca2=1)(3.0), 3)  # lam / (lam + s)
    0.4
    """
    mean_s = 1 / finite_positive("lam", lam)
    ca2 = finite_non_negative("ca2", ca2)
    if ca2 == 0:
        return lambda s: math.exp(-s * mean_s)
    return lambda s: math.exp(-math.log1p(s * mean_s * ca2) / ca2)


def gim1_sigma(lam: float, mu: float, transform: Callable[[float], float]) -> float:
    """Return the share of arrivals that have to wait.

    Parameters
    ----------
    lam : float
        Arrival rate, 1 over the mean gap [1/s], greater than 0 and below `mu`.
    mu : float
        Service rate, exponential [1/s], greater than 0.
    transform : callable
        E[exp(-s A)] of a gap A for s at least 0: `gamma_gaps`, or your own.

    Returns
    -------
    float
        The root sigma of ``sigma = transform(mu (1 - sigma))`` below 1.

    Notes
    -----
    An arrival finds n inside with probability (1 - sigma) sigma^n: geometric whatever the
    gaps. Poisson gaps give sigma = rho.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, chapter 6.

    Examples
    --------
    >>> round(gim1_sigma(8, 10, gamma_gaps(8, 1)), 4), round(gim1_sigma(8, 10, gamma_gaps(8, 0)), 4)
    (0.8, 0.6286)
    """
    lam, mu = finite_positive("lam", lam), finite_positive("mu", mu)
    if lam >= mu:
        raise ValueError(
            f"lam must be below mu = {mu!r}, or the queue grows without end, got {lam!r}"
        )
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):  # above the line left of the root, below it right of the root
        middle = (low + high) / 2
        if number("transform", transform(mu * (1 - middle))) > middle:
            low = middle
        else:
            high = middle
    return low


def gim1_wait(sigma: float, mu: float) -> float:
    """Return the mean wait in the queue.

    Parameters
    ----------
    sigma : float
        Share of arrivals that wait, in [0, 1), of `gim1_sigma`.
    mu : float
        Service rate [1/s], greater than 0.

    Returns
    -------
    float
        sigma / (mu (1 - sigma)) [s].

    Examples
    --------
    >>> round(gim1_wait(0.8, 10), 3)
    0.4
    """
    sigma, mu = _share(sigma), finite_positive("mu", mu)
    return sigma / (mu * (1 - sigma))


def gim1_wait_quantile_s(q: Exact, sigma: float, mu: float) -> float:
    """Return the quantile of the wait in the queue.

    Parameters
    ----------
    q : int, str, Decimal, Fraction or float
        Quantile in (0, 1), for instance "0.99".
    sigma : float
        Share of arrivals that wait, in [0, 1), of `gim1_sigma`.
    mu : float
        Service rate [1/s], greater than 0.

    Returns
    -------
    float
        Wait that a share q does not exceed [s]; 0.0 if as many do not wait at all.

    Notes
    -----
    P(wait > t) = sigma exp(-mu (1 - sigma) t). The time in the system has the same tail
    without the factor sigma: its P99 over its mean is ln 100 for any gaps.

    Examples
    --------
    >>> round(gim1_wait_quantile_s("0.99", 0.8, 10), 2), gim1_wait_quantile_s("0.1", 0.8, 10)
    (2.19, 0.0)
    """
    late = float(1 - exact_probability(q, "q", zero_allowed=False, one_allowed=False))
    sigma, mu = _share(sigma), finite_positive("mu", mu)
    return math.log(sigma / late) / (mu * (1 - sigma)) if sigma > late else 0.0


def _share(sigma: float) -> float:
    value = finite_non_negative("sigma", sigma)
    if value >= 1:
        raise ValueError(f"sigma must be below 1, got {sigma!r}")
    return value
