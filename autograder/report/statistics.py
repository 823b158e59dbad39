"""How the points of a class are spread, and how its exercises sort learners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autograder.gradebook.record import ClassRecord

#: Graded submissions below which a correlation says nothing.
LEAST_FOR_CORRELATION = 5


@dataclass(frozen=True)
class Spread:
    """A distribution of points: how many submissions, mean, quartiles, least and most."""

    n: int
    mean: float
    deviation: float
    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise in a class.

    `mean_share` is its mean points as a share of what it is worth, in 0..1;
    `full` and `nothing` count submissions. `discrimination` is the corrected
    item-total correlation in -1..1, or None, and then `undefined` says why.
    """

    slug: str
    title: str
    points: float
    mean_share: float | None
    full: int
    nothing: int
    discrimination: float | None
    undefined: str = ""


@dataclass(frozen=True)
class PropertyLoss:
    """Points that a class lost on one tested property, and by how many submissions."""

    grade_id: str
    slug: str
    role: str
    words: str
    points: float
    lost: float
    losers: int


def spread(values: npt.ArrayLike) -> Spread | None:
    """Return the distribution of `values`, or None if there are none.

    The deviation is that of the class itself (divided by n), not an estimate.

    Examples
    --------
    >>> spread([1.0, 2.0, 3.0, 6.0]).median
    2.5
    >>> spread([]) is None
    True
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        return None
    low, middle, high = np.percentile(data, [25, 50, 75])
    return Spread(
        n=int(data.size),
        mean=float(data.mean()),
        deviation=float(data.std()),
        least=float(data.min()),
        lower_quartile=float(low),
        median=float(middle),
        upper_quartile=float(high),
        most=float(data.max()),
    )


def corrected_item_total(item: npt.ArrayLike, total: npt.ArrayLike) -> tuple[float | None, str]:
    """Return the correlation of an item with the rest of the total, or None and why.

    "Corrected": the item's own points are taken out of the total first, or it would
    correlate with itself.

    Parameters
    ----------
    item : array_like
        Points in one exercise, one entry a submission.
    total : array_like
        Points in all exercises together, of the same submissions.

    Returns
    -------
    (float or None, str)
        Pearson's correlation in -1..1 and "", or None and the reason.

    Examples
    --------
    >>> correlation, reason = corrected_item_total([0, 1, 1, 2, 2], [3, 5, 5, 9, 8])
    >>> round(correlation, 3), reason
    (0.946, '')
    >>> corrected_item_total([1, 1, 1, 1, 1], [3, 4, 5, 6, 7])
    (None, 'all have the same points here')
    """
    points = np.asarray(item, dtype=float)
    rest = np.asarray(total, dtype=float) - points
    if points.size < LEAST_FOR_CORRELATION:
        return None, f"fewer than {LEAST_FOR_CORRELATION} graded"
    # Sums of halves and quarters can differ in the last digit.
    if np.ptp(points) < 1e-9:
        return None, "all have the same points here"
    if np.ptp(rest) < 1e-9:
        return None, "all have the same points elsewhere"
    return float(np.clip(np.corrcoef(points, rest)[0, 1], -1.0, 1.0)), ""


def exercise_results(record: ClassRecord) -> list[ExerciseResult]:
    """Return difficulty and discrimination of each exercise that carries points."""
    scores = [record.by_exercise(submission) or {} for submission in record.graded]
    totals = [submission.total for submission in record.graded]
    results = []
    for slug, points in record.max_points.items():
        if points == 0:
            continue
        own = np.array([score[slug] for score in scores], dtype=float)
        discrimination, undefined = corrected_item_total(own, np.array(totals, dtype=float))
        results.append(
            ExerciseResult(
                slug=slug,
                title=record.titles.get(slug, slug),
                points=points,
                mean_share=float(own.mean() / points) if own.size else None,
                full=int((own >= points - 1e-9).sum()),
                nothing=int((own <= 1e-9).sum()),
                discrimination=discrimination,
                undefined=undefined,
            )
        )
    return results


def losses(record: ClassRecord) -> list[PropertyLoss]:
    """Return the tested properties that lost points, the costliest first."""
    found = []
    for prop in record.properties:
        missed = [
            prop.points - (cells[prop.grade_id].points if prop.grade_id in cells else 0.0)
            for cells in (one.grades.cells for one in record.submissions if one.grades)
        ]
        lost = [points for points in missed if points > 1e-9]
        if lost:
            found.append(
                PropertyLoss(
                    prop.grade_id,
                    prop.slug,
                    prop.role,
                    prop.words,
                    prop.points,
                    sum(lost),
                    len(lost),
                )
            )
    return sorted(found, key=lambda loss: (-loss.lost, -loss.losers))
