"""Percentiles from counts that add up: a sketch each server keeps, merged afterwards.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from servemath_helpers._validate import finite_positive, non_negative
from servemath_helpers.latency import nearest_rank

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["Sketch"]


class Sketch:
    """Counts of values in buckets whose widths grow in proportion to the values.

    Percentiles of percentiles mean nothing; sums of counts do. Each percentile of a merged
    sketch is within `accuracy` of the true one, as a share of it, and a sketch of a
    thousand values is as large as one of a billion.

    Parameters
    ----------
    accuracy : float, optional
        Largest relative error of a percentile, in (0, 1).
    values : iterable of float, optional
        Values to begin with, each at least 0 and finite.

    References
    ----------
    C. Masson, J. E. Rim and H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch
    with Relative-Error Guarantees", PVLDB 12(12), 2019.

    Examples
    --------
    >>> one, other = Sketch(0.01, range(1, 501)), Sketch(0.01, range(501, 1001))
    >>> both = one.merged(other)
    >>> len(both), abs(both.percentile("0.99") - 990) <= 0.01 * 990
    (1000, True)
    """

    def __init__(self, accuracy: float = 0.01, values: Iterable[float] = ()) -> None:
        self.accuracy = finite_positive("accuracy", accuracy)
        if self.accuracy >= 1:
            raise ValueError(f"accuracy must be below 1, got {accuracy!r}")
        self._log_gamma = math.log1p(self.accuracy) - math.log1p(-self.accuracy)
        self._counts: Counter[int] = Counter()
        self._zeros = 0
        for value in values:
            self.add(value)

    def __len__(self) -> int:
        return self._zeros + self._counts.total()

    def add(self, value: float) -> None:
        """Count one value, at least 0 and finite."""
        value = non_negative("value", value)
        if value == math.inf:
            raise ValueError("value must be finite, got inf")
        if value == 0:
            self._zeros += 1
        else:
            self._counts[math.ceil(math.log(value) / self._log_gamma)] += 1

    def merged(self, other: Sketch) -> Sketch:
        """Return the sketch of the values of both, which must have one accuracy."""
        if not isinstance(other, Sketch) or other.accuracy != self.accuracy:
            raise ValueError(f"other must be a Sketch of accuracy {self.accuracy!r}, got {other!r}")
        both = Sketch(self.accuracy)
        both._counts = self._counts + other._counts
        both._zeros = self._zeros + other._zeros
        return both

    def percentile(self, q: Exact) -> float:
        """Return the nearest-rank percentile of what was counted.

        Parameters
        ----------
        q : int, str, Decimal, Fraction or float
            In (0, 1], for instance "0.99".

        Returns
        -------
        float
            Within `accuracy` of the value at that rank, as a share of it.
        """
        if not len(self):
            raise ValueError("a percentile needs at least one value, got an empty sketch")
        rank = nearest_rank(q, len(self)) - self._zeros
        index = 0
        for index in sorted(self._counts) if rank > 0 else ():
            rank -= self._counts[index]
            if rank <= 0:
                break
        else:
            return 0.0
        # The middle of (gamma^(i-1), gamma^i] in the sense of equal relative errors.
        return math.exp(index * self._log_gamma) * (1 - self.accuracy)
