"""What a run of lab 5 shows at its foot, and what it leaves in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from servemath_helpers import __version__
from servemath_helpers.labs.accelerator.mission import fleet_of
from servemath_helpers.labs.accelerator.model import promises
from servemath_helpers.labs.accelerator.story import PARTS, record_of
from servemath_helpers.labs.frame.numbers import number_text
from servemath_helpers.labs.frame.session import Session

__all__ = ["LAB", "RECORD_VERSION", "hud", "outcome"]

LAB: Final = "lab5"
#: Layout of what the ledger keeps of this lab.
RECORD_VERSION: Final = "5.1"


def hud(session: Session) -> Iterator[tuple[str, str]]:
    """Return the footer's fields: nothing of them tells what is still to be predicted."""
    record = record_of(session)
    right = {
        part: "".join(["✓" if locked.correct else "✗" for locked in session.predictions(part)])
        for part in PARTS
    }
    thoughts = [
        session.reflection(part.key, asked.key)
        for part in session.parts
        for asked in part.reflections
    ]
    yield "LAB", "5"
    yield "MACHINE", session.variant.upper()
    yield "BW", f"{number_text(record.machine.bw_Bps / 1e9)} GB/s"
    yield "ARITHMETIC", f"{number_text(record.machine.flops / 1e9)} GFLOP/s"
    for number, part in enumerate(PARTS, start=1):
        yield f"PART {number}", right[part] or "–"
    yield "REFLECT", f"{len(thoughts) - thoughts.count(None)}/{len(thoughts)}"
    yield "MISSIONS", session.missions
    yield "ITERATIONS", str(session.iterations)
    yield "LEDGER", "SAVED" if session.saved_at else "NOT SAVED"


def outcome(session: Session) -> dict[str, Any]:
    """Return what the ledger keeps of a run; what the learner has not done yet is None.

    The plan is the fleet that was put to the test, wherever the sliders stand since.
    """
    record = record_of(session)
    kept: dict[str, Any] = {
        "machine": record.machine.name,
        "cores": record.cores,
        "clock": record.clock,
        "bw_Bps": record.machine.bw_Bps,
        "flops": record.machine.flops,
        "predictions": {
            part: {
                locked.question: [locked.chosen, locked.correct, locked.confidence]
                for locked in session.predictions(part)
            }
            or None
            for part in PARTS
        },
        **dict.fromkeys(("fit", "errors", "runs", "plan")),
        "iterations": session.iterations,
        "seed": record.seed,
        "library_version": __version__,
    }
    if session.is_locked("part2"):
        kept["runs"] = [
            {
                "kind": run.kind,
                "level": run.level,
                "requests_per_s": run.summary.throughput_rps,
                "ttft_p99_s": run.summary.quantile("ttft", "0.99"),
                "e2e_p99_s": run.summary.quantile("e2e", "0.99"),
            }
            for run in record.runs
        ]
    if session.is_locked("part3"):
        kept["fit"] = {name: float(value) for name, value in record.step.__dict__.items()}
        kept["errors"] = {
            "fit_held_out": record.fit["held_out_error"],
            "roofline": record.roofline_error,
        }
    if session.attempts("part3"):
        settings = session.as_attempted().settings("part3")
        plan = fleet_of(record, settings)
        kept["plan"] = {
            **settings,
            "kept_share": plan.share,
            "feasible": plan.judged.feasible,
            **promises(record),
        }
    return kept
