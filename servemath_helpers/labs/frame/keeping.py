"""What one record of the ledger holds: a learner's runs of a lab, one for each variant.

At the top of a record stands the fullest of them, in the form that earlier versions had, which
kept no other; `present` is the variant that was worked on last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.frame.session import Session

__all__ = ["FullerRun", "present", "runs_of", "with_run"]

#: What the ledger adds to a record, and what is kept once for all runs.
_OF_ALL = {"course", "lab", "learner", "record_version", "saved_at", "by_variant", "present"}


class FullerRun(LabError):
    """The ledger holds more than the run that would replace it."""


def runs_of(record: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the runs of a record by variant; LabError if it is none of a lab.

    >>> runs_of(None)
    {}
    """
    if record is None:
        return {}
    try:
        runs = record.get("by_variant")
        if runs is None:
            own = {name: value for name, value in record.items() if name not in _OF_ALL}
            runs = {own["session"]["variant"]: own}
        for run in runs.values():
            Session.fullness(run["session"])
    except (LookupError, TypeError, AttributeError) as error:
        raise LabError(f"the ledger's record of this lab is damaged ({error!r})") from error
    return dict(runs)


def present(record: Mapping[str, Any]) -> str:
    """Return the variant that was worked on last."""
    return str(record.get("present") or record["session"]["variant"])


def with_run(
    record: Mapping[str, Any] | None, run: Session, outcome: Mapping[str, Any], *, replace: bool
) -> dict[str, Any]:
    """Return the record with a run in it, beside those of other variants.

    Raises FullerRun if something of the same variant would be lost by it, unless `replace` says
    that it may be.
    """
    try:
        runs = runs_of(record)
    except LabError as error:
        if not replace:
            raise FullerRun(str(error)) from error
        runs = {}
    kept = runs.get(run.variant)
    if kept is not None and not replace and not run.holds(kept["session"]):
        raise FullerRun("the ledger holds a run of yours with answers or tests that this one lacks")
    runs[run.variant] = run.record(outcome)
    fullest = max(
        runs, key=lambda key: (Session.fullness(runs[key]["session"]), key == run.variant)
    )
    return {**runs[fullest], "by_variant": runs, "present": run.variant}
