"""A measured run: what a benchmark of a real server saw, request by request."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from servemath_helpers._validate import finite, finite_positive, whole
from servemath_helpers.sim._arrays import FloatArray, frozen
from servemath_helpers.sim.requests import Requests

__all__ = ["Measurement"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measured run.

    Parameters
    ----------
    requests : Requests
        When requests came and how long they were.
    ttft_s, e2e_s : array_like
        Measured time to the first and to the last token [s], greater than 0; NaN where it
        is not known. One time at least must be.
    sent : int, optional
        Requests that were sent, with those that failed or that the file does not hold; at
        least as many as there are, and None for just as many.

    Raises
    ------
    ValueError
        If lengths differ, a time is not positive, an E2E is less than its TTFT, or no time
        is known.

    Examples
    --------
    The second request was not streamed, so its first token is not known:

    >>> run = Measurement(Requests([0, 1], 512, 101), [0.5, float("nan")], [2.5, 3.0])
    >>> run.tpot_s.tolist()
    [0.02, nan]
    """

    requests: Requests
    ttft_s: FloatArray
    e2e_s: FloatArray
    sent: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.requests, Requests):
            raise ValueError(f"requests must be Requests, got {self.requests!r}")
        for name in ("ttft_s", "e2e_s"):
            try:
                array = np.array(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError):
                array = np.empty((0, 0))
            if array.ndim != 1:
                raise ValueError(
                    f"{name} must be a one-dimensional sequence of numbers, "
                    f"got {getattr(self, name)!r}"
                )
            if array.size != len(self.requests):
                raise ValueError(
                    f"requests and {name} must have the same length: requests has "
                    f"{len(self.requests)}, {name} has {array.size}"
                )
            bad = ~(np.isnan(array) | ((array > 0) & (array < np.inf)))
            if bad.any():
                i = int(np.argmax(bad))
                raise ValueError(
                    f"{name}[{i}] must be a finite number greater than 0, or NaN where it is "
                    f"not known, got {float(array[i])!r}"
                )
            object.__setattr__(self, name, frozen(array))
        early = self.e2e_s < self.ttft_s
        if early.any():
            i = int(np.argmax(early))
            raise ValueError(
                f"e2e_s[{i}] must be at least ttft_s[{i}] = {float(self.ttft_s[i])!r}, "
                f"got {float(self.e2e_s[i])!r}"
            )
        if np.isnan(self.ttft_s).all() and np.isnan(self.e2e_s).all():
            raise ValueError("ttft_s and e2e_s must hold at least one time that is known, got none")
        n = len(self.requests)
        sent = n if self.sent is None else whole("sent", self.sent, n)
        object.__setattr__(self, "sent", sent)

    @property
    def missing(self) -> str:
        """How many of the requests that were sent have times, if not all; else nothing."""
        timed = int((~np.isnan(self.ttft_s) | ~np.isnan(self.e2e_s)).sum())
        if timed == self.sent:
            return ""
        return (
            f"{timed} of {self.sent} requests have times. The others failed, or are not in the "
            "file; they kept the server busy too, so that what is fitted may be off."
        )

    @property
    def tpot_s(self) -> FloatArray:
        """Mean time per token after the first; NaN for answers of one token, or unknown."""
        later = self.requests.output_tokens - 1
        tpot: FloatArray = (self.e2e_s - self.ttft_s) / np.where(later > 0, later, np.nan)
        return tpot


class Row(NamedTuple):
    """One measured request as a file has it, times [s]; None for what it does not say."""

    where: str
    arrival_s: float | None
    prompt_tokens: float | None
    output_tokens: float | None
    ttft_s: float | None
    e2e_s: float | None


def measurement_of(rows: Iterable[Row], sent: int = 0) -> Measurement:
    """Return the rows as a measurement, sorted by arrival, the first at 0.

    What is wrong is named by its place in the file, not by its place after sorting. Where
    more than a twentieth of those that were sent are not there, a warning says so.
    """
    checked = [_checked(row) for row in rows]
    if not checked:
        raise ValueError("source must hold at least one request that succeeded, got none")
    table = np.array(checked)
    table = table[np.argsort(table[:, 0], kind="stable")]
    arrival, prompt, output, ttft, e2e = table.T
    requests = Requests(arrival - arrival[0], prompt, output)
    found = Measurement(requests, ttft, e2e, max(sent, len(checked)))
    timed = int((~np.isnan(ttft) | ~np.isnan(e2e)).sum())
    if 20 * timed < 19 * max(sent, len(checked)):
        warnings.warn(found.missing, stacklevel=3)
    return found


def _checked(row: Row) -> tuple[float, ...]:
    where = row.where
    sizes = [
        float(whole(f"{where}: {name}", getattr(row, name), 1))
        for name in ("prompt_tokens", "output_tokens")
    ]
    times = []
    for name in ("ttft_s", "e2e_s"):
        value = getattr(row, name)
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        times.append(math.nan if missing else finite_positive(f"{where}: {name}", value))
    ttft, e2e = times
    if e2e < ttft:
        # Sums of gaps are off by a rounding, not by more.
        if e2e < ttft * (1 - 1e-6):
            raise ValueError(f"{where}: e2e_s must be at least ttft_s = {ttft!r}, got {e2e!r}")
        e2e = ttft
    return finite(f"{where}: arrival_s", row.arrival_s), *sizes, ttft, e2e
