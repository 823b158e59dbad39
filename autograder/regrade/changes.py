"""What a regrade would change, as one record between its rehearsal and its promotion."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.report.snapshots import Comparison, Snapshot


@dataclass(frozen=True)
class Changes:
    """What a regrade would change; learners stand under their ids.

    `tests` are the graded cells whose text changed, by `grade_id`; `not_graded` says of
    whom there would be no grade and why. `state` and `token` let `apply` tell whether
    the course or the scratch copy changed since.
    """

    assignment: str
    before: Snapshot
    after: Snapshot
    comparison: Comparison
    tests: tuple[str, ...]
    not_graded: dict[str, str]
    state: str
    token: str

    @property
    def any(self) -> bool:
        """Whether somebody's points, or what exercises are worth, would change."""
        found = self.comparison
        return bool(found.changed or found.max_points_changed or found.came or found.went)
