"""Scores of each run, kept under pseudonyms, and what changed between two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from autograder.course import Course
from autograder.files import write_atomically
from autograder.gradebook.record import ClassRecord

#: Runs that are kept of an assignment; older ones are removed.
KEPT_RUNS = 20

#: How a run's time is written: as text that sorts, and that a file name can hold.
TIME_FORMAT = "%Y-%m-%dT%H%M%SZ"


@dataclass(frozen=True)
class Snapshot:
    """The scores of one run: learner -> exercise -> points, None where not graded."""

    taken: str
    max_points: dict[str, float]
    scores: dict[str, dict[str, float] | None]

    def same_scores(self, other: Snapshot) -> bool:
        """Tell whether two runs gave the same points."""
        return self.scores == other.scores and self.max_points == other.max_points


@dataclass(frozen=True)
class LearnerChange:
    """How one learner's points changed; a total is None where there was no grade."""

    learner: str
    before: float | None
    after: float | None
    exercises: dict[str, float] = field(default_factory=dict)

    @property
    def difference(self) -> float | None:
        """Points gained, or None if one of the two runs has no grade."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """What changed since a previous run.

    `came` and `went` are learners of only one of the two runs; `exercises` are mean
    points gained by exercise, over learners who were graded in both.
    """

    previous: str
    changed: tuple[LearnerChange, ...]
    unchanged: int
    came: tuple[str, ...]
    went: tuple[str, ...]
    exercises: dict[str, float]
    max_points_changed: dict[str, tuple[float, float]]


def snapshot_of(
    record: ClassRecord, taken: str, called: Mapping[str, str] | None = None
) -> Snapshot:
    """Return the scores of an assignment, learners under their ids or as they are `called`."""
    scores = {
        (called or {}).get(one.student, one.student): record.by_exercise(one)
        for one in record.submissions
    }
    return Snapshot(taken, record.max_points, scores)


def _total(scores: dict[str, float] | None) -> float | None:
    return None if scores is None else sum(scores.values())


def _differences(
    before: dict[str, float] | None, after: dict[str, float] | None
) -> dict[str, float]:
    if before is None or after is None:
        return {}
    gains = {
        slug: after.get(slug, 0.0) - before.get(slug, 0.0)
        for slug in dict.fromkeys([*before, *after])
    }
    return {slug: gain for slug, gain in gains.items() if abs(gain) > 1e-9}


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Return what changed from one run to another.

    Examples
    --------
    >>> old = Snapshot("Monday", {"mm1": 2.0}, {"a": {"mm1": 1.0}, "b": {"mm1": 2.0}})
    >>> new = Snapshot("Tuesday", {"mm1": 2.0}, {"a": {"mm1": 2.0}, "b": {"mm1": 2.0}})
    >>> change = compare(old, new).changed[0]
    >>> change.learner, change.before, change.after
    ('a', 1.0, 2.0)
    """
    both = [learner for learner in after.scores if learner in before.scores]
    changed, gains, graded = [], dict.fromkeys(after.max_points, 0.0), 0
    for learner in both:
        old, new = before.scores[learner], after.scores[learner]
        exercises = _differences(old, new)
        graded += old is not None and new is not None
        for slug, gain in exercises.items():
            gains[slug] = gains.get(slug, 0.0) + gain
        if exercises or (old is None) != (new is None):
            changed.append(LearnerChange(learner, _total(old), _total(new), exercises))
    changed.sort(key=lambda change: (-abs(change.difference or 0.0), change.learner))
    slugs = dict.fromkeys([*before.max_points, *after.max_points])
    worth = {
        slug: (before.max_points.get(slug, 0.0), after.max_points.get(slug, 0.0)) for slug in slugs
    }
    return Comparison(
        previous=before.taken,
        changed=tuple(changed),
        unchanged=len(both) - len(changed),
        came=tuple(sorted(set(after.scores) - set(before.scores))),
        went=tuple(sorted(set(before.scores) - set(after.scores))),
        exercises={slug: gain / graded for slug, gain in gains.items() if abs(gain) > 1e-9},
        max_points_changed={slug: pair for slug, pair in worth.items() if pair[0] != pair[1]},
    )


def now() -> str:
    """Return the time as text that sorts, in UTC."""
    return datetime.now(UTC).strftime(TIME_FORMAT)


def _load(path: Path) -> Snapshot | None:
    try:
        run = Snapshot(**json.loads(path.read_text(encoding="utf-8")))
        datetime.strptime(run.taken, TIME_FORMAT)
        return run
    except (ValueError, TypeError):
        return None  # damaged or of another version: not worth a report's failing


def keep(course: Course, assignment: str, snapshot: Snapshot) -> Snapshot | None:
    """Keep a run's scores and return the previous run that differs from it, or None.

    A run with the scores of the latest kept one is not kept again, so that writing a
    report twice still compares with the run before. Runs beyond `KEPT_RUNS` are removed.
    """
    folder = course.reports / assignment / "runs"
    kept = [(path, _load(path)) for path in sorted(folder.glob("*.json"))]
    known = [(path, run) for path, run in kept if run is not None]
    if not known or not known[-1][1].same_scores(snapshot):
        # Runs of one second are numbered on, whatever was removed: their names must sort.
        same = [path.stem.rpartition("-")[2] for path in folder.glob(f"{snapshot.taken}-*.json")]
        number = 1 + max([int(part) for part in same if part.isdigit()], default=-1)
        path = folder / f"{snapshot.taken}-{number:03d}.json"
        write_atomically(path, json.dumps(asdict(snapshot), indent=1) + "\n")
        known.append((path, snapshot))
    for path, _ in known[:-KEPT_RUNS]:
        path.unlink(missing_ok=True)
    earlier = [run for _, run in known[:-1] if not run.same_scores(snapshot)]
    return earlier[-1] if earlier else None
