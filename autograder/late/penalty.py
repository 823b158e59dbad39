"""A penalty for late work that grows by the day."""

from __future__ import annotations

import math

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float, TraitError, validate
from traitlets.utils.bunch import Bunch

_DAY_S = 24 * 3600


class DailyPenalty(LateSubmissionPlugin):
    """Take a share of the earned points for each day that has begun since the due date.

    Nothing is taken within the grace time, and never more than `most`. Days are
    counted from the due date, grace or not.
    """

    grace_minutes = Float(15.0, help="minutes after the due date that cost nothing").tag(
        config=True
    )
    per_day = Float(0.10, help="share of the earned points that a day costs, 0 to 1").tag(
        config=True
    )
    most = Float(0.50, help="share of the earned points that is taken at most, 0 to 1").tag(
        config=True
    )

    @validate("per_day", "most")
    def _share(self, proposal: Bunch) -> float:
        value = float(proposal["value"])
        if not 0 <= value <= 1:
            raise TraitError(f"{proposal['trait'].name} must be a share in 0..1, got {value:g}")
        return value

    @validate("grace_minutes")
    def _minutes(self, proposal: Bunch) -> float:
        value = float(proposal["value"])
        if not (value >= 0 and math.isfinite(value)):
            raise TraitError(f"grace_minutes must be at least 0, got {value:g}")
        return value

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float | None:
        """Return the points to take off a notebook, or None for none.

        Parameters
        ----------
        student_id : str
            Whose; all are treated alike.
        score : float
            Points that the notebook earned.
        total_seconds_late : float
            Seconds after the due date, extensions included.

        Examples
        --------
        >>> policy = DailyPenalty()
        >>> policy.late_submission_penalty("s", 20.0, 15 * 60) is None
        True
        >>> [policy.late_submission_penalty("s", 20.0, h * 3600) for h in (1, 24, 25, 1000)]
        [2.0, 2.0, 4.0, 10.0]
        """
        if total_seconds_late <= 60 * self.grace_minutes:
            return None
        days = math.ceil(total_seconds_late / _DAY_S)
        # Points have few decimals: a tenth of them should not show a float's last digits.
        return round(score * min(days * self.per_day, self.most), 9)
