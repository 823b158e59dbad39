"""What a run of lab 4 leaves in the ledger."""

import pytest

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab.mission import verdict
from servemath_helpers.labs.queueing_lab.questions import parts
from servemath_helpers.labs.queueing_lab.record import (
    FREE_ITERATIONS,
    LAB,
    outcome,
)
from servemath_helpers.labs.queueing_lab.story import TRACKS

from .test_mission import MEET


def played(track):
    run = Session.start(LAB, "ada", track, parts(track))
    for part in run.parts:
        for asked in part.questions:
            run = run.predict(part.key, asked.key, asked.answer, 5)
        run = run.lock(part.key)
        changes = next(c for t, p, c in MEET if (t, p) == (track, part.key))
        run = run.adjust(part.key, **changes)
        run = run.attempt(part.key, *verdict(run, part.key))
        for asked in part.reflections:
            run = run.reflect(part.key, asked.key, asked.answer or asked.options[0].key)
    return run.write("Because.")


@pytest.mark.parametrize("track", TRACKS)
def test_a_mission_met_in_every_part_earns_the_badge(track):
    kept = outcome(played(track))
    assert (kept["iterations"], kept["badge"], kept["slo_met"]) == (3, True, True)
    assert kept["constraint_hit"] == [] and kept["part3"]["confidence"] == 5
    assert all(kept[part]["correct"] for part in ("part1", "part2", "part3"))


def test_a_record_can_be_written_before_anything_is_done_and_in_failure(tmp_path):
    run = Session.start(LAB, "ada", "cloud", parts("cloud"))
    kept = outcome(run)
    assert kept["part1"]["prediction"] is None and kept["priority"] is None
    assert not kept["badge"]
    run = run.predict("part2", "u_curve", "u").lock("part2")
    run = run.adjust("part2", lam_rps=400, policy="window", window_ms=50)
    kept = outcome(run)
    assert kept["window_ms"] == 50 and kept["constraint_hit"] == ["slo", "unstable"]
    run.save(Ledger(tmp_path / "ledger.json"), kept)


def test_an_eleventh_iteration_costs_the_badge_only():
    run = played("edge")
    for _ in range(FREE_ITERATIONS - run.iterations):
        run = run.attempt("part1", True)
    assert outcome(run)["badge"]
    assert not outcome(run.attempt("part1", True))["badge"]
