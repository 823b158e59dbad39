"""What a look at the course or at this machine found, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: `note` is worth knowing and stops nothing; `fault` needs somebody.
State = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `found` says what is there; `advice` what to do, empty if there is nothing to do.
    """

    subject: str
    state: State
    found: str
    advice: str = ""


def all_well(findings: Iterable[Finding]) -> bool:
    """Tell whether none of the findings is a fault.

    >>> all_well([Finding("disk", "ok", "9 GB free"), Finding("browser", "note", "none")])
    True
    >>> all_well([Finding("disk", "fault", "0 GB free", "make room")])
    False
    """
    return all(finding.state != "fault" for finding in findings)
