"""Service-level agreements: what a broken promise costs.

An SLI is measured, an SLO is aimed at, an SLA is signed: it names a credit for each
level that availability falls below.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from servemath_helpers._validate import finite_non_negative, sequence
from servemath_helpers.quantities import exact_at_least

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["sla_credit"]


def sla_credit(availability: Exact, table: Iterable[Sequence[Exact]]) -> float:
    """Return the service credit that an agreement owes for an availability.

    Parameters
    ----------
    availability : int, str, Decimal, Fraction or float
        Measured availability, at least 0, in the unit of the table's thresholds (share
        or percent).
    table : iterable of (threshold, credit)
        In any order; each threshold at least 0, each credit a number of at least 0 in
        any unit, such as percent of the monthly bill.

    Returns
    -------
    float
        The credit of the lowest threshold that the availability is strictly below; 0.0
        if it is below none. Of equal thresholds the one with the larger credit counts.

    Raises
    ------
    ValueError
        If a row is not made of two parts.

    Notes
    -----
    A step function: at the threshold itself the promise is kept. Comparisons are exact,
    so 0.999 meets "0.999".

    Examples
    --------
    >>> table = [("0.999", 10), ("0.99", 25), ("0.95", 100)]
    >>> [sla_credit(a, table) for a in (0.9995, 0.999, 0.998, 0.97, 0.9)]
    [0.0, 0.0, 10.0, 25.0, 100.0]
    """
    measured = exact_at_least(availability, 0, "availability")
    owed = []
    for index, row in enumerate(sequence("table", table)):
        parts = sequence(f"table[{index}]", row, "(threshold, credit)")
        if len(parts) != 2:
            raise ValueError(f"table[{index}] must be (threshold, credit), got {row!r}")
        threshold = exact_at_least(parts[0], 0, f"table[{index}] threshold")
        credit = finite_non_negative(f"table[{index}] credit", parts[1])
        if measured < threshold:
            owed.append((threshold, -credit))
    return -min(owed)[1] if owed else 0.0
