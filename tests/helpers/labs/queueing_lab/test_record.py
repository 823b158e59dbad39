"""What a run of lab 4 leaves in the ledger."""

import pytest

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


def test_a_record_can_be_written_before_anything_is_done():
    kept = outcome(Session.start(LAB, "ada", "cloud", parts("cloud")))
    assert kept["part1"]["prediction"] is None and kept["priority"] is None
    assert not kept["badge"] and kept["constraint_hit"] == []
    for name in ("L", "batch_size", "p99_ms", "slo_met"):
        assert kept[name] is None, "nothing was put to the test"


def test_what_is_kept_is_what_was_put_to_the_test_and_not_where_a_slider_stands():
    run = played("cloud").adjust("part2", lam_rps=400, B=1)
    assert outcome(run)["settings"]["part2"]["B"] == 16 and outcome(run)["constraint_hit"] == []
    # A mission that is met stays met, whatever is tried afterwards.
    assert outcome(run.attempt("part2", False))["settings"]["part2"]["B"] == 16
    run = Session.start(LAB, "ada", "cloud", parts("cloud"))
    for part, asked in (("part1", "double"), ("part2", "u_curve")):
        run = run.predict(part, asked, 1).lock(part)
    run = run.adjust("part2", lam_rps=400, policy="window", window_ms=50).attempt("part2", False)
    kept = outcome(run.reset("part2"))
    assert kept["window_ms"] == 50 and kept["constraint_hit"] == ["slo", "unstable"]


def test_an_eleventh_iteration_costs_the_badge_only():
    run = played("edge")
    for _ in range(FREE_ITERATIONS - run.iterations):
        run = run.attempt("part1", True)
    assert outcome(run)["badge"]
    assert not outcome(run.attempt("part1", True))["badge"]
