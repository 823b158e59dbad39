"""Whose machine lab 5 is about, and what can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from servemath_helpers.labs.accelerator.model import (
    MOST_REPLICAS,
    ROOM,
    Record,
    recorded,
    virtual_record,
)
from servemath_helpers.labs.frame.session import Control, Session
from servemath_helpers.labs.frame.words import Words

__all__ = ["PARTS", "VARIANTS", "WORDS", "YOURS", "controls", "record_of", "record_of_variant"]

WORDS: Final = Words.of(__package__)
PARTS: Final = ("part1", "part2", "part3")
#: Machines that are there without measuring, and the one that is not.
VARIANTS: Final = ("recorded", "reference")
YOURS: Final = "yours"


def record_of_variant(variant: str) -> Record:
    """Return the record that comes with the course, or that of the reference machine."""
    return recorded() if variant == "recorded" else virtual_record()


def record_of(session: Session) -> Record:
    """Return the record that a session is about: it is frozen with its questions."""
    record: Record = session.parts[0].scenario["record"]
    return record


def _rounded(value: float, control: Mapping[str, int]) -> int:
    """Return the whole number within a control's range that is nearest."""
    return min(max(round(value), control["low"]), control["high"])


def controls(record: Record, part: str) -> tuple[Control, ...]:
    """Return what can be changed in a part; it begins with the machine as measured."""
    rows = {row["key"]: row for row in WORDS.get(f"{part}.controls")}
    defaults: dict[str, Any] = {}
    if part == "part1":
        defaults = {
            "bw_gbs": _rounded(record.machine.bw_Bps / 1e9, rows["bw_gbs"]),
            "gflops": _rounded(record.machine.flops / 1e9, rows["gflops"]),
        }
    elif part == "part2":
        defaults = {"kv_tokens": 8 * ROOM}
    else:
        defaults = {"replicas": MOST_REPLICAS}
    return WORDS.controls(f"{part}.controls", defaults=defaults)
