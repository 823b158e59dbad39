import json

import pytest

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab import mission as engine
from servemath_helpers.labs.queueing_lab.mission import LAB, limits, outcome, verdict
from servemath_helpers.labs.queueing_lab.model import measure
from servemath_helpers.labs.queueing_lab.questions import parts
from servemath_helpers.labs.queueing_lab.story import PARTS, TRACKS, controls

EVERYWHERE = [(track, part) for track in TRACKS for part in PARTS]

#: A setting that breaks each promise, from the defaults.
BREAK = [
    ("cloud", "part1", "ram", {"lam_rps": 400.0, "W_ms": 8000.0}),
    ("edge", "part1", "ram", {"W_ms": 40.0}),
    ("mobile", "part1", "ram", {"lam_rps": 240.0}),
    ("tiny", "part1", "ram", {"lam_rps": 200.0}),
    ("cloud", "part2", "unstable", {"lam_rps": 400.0}),
    ("cloud", "part2", "slo", {"B": 128}),
    ("cloud", "part3", "slo", {"rho": 0.99}),
    ("cloud", "part3", "ram", {"rho": 0.99, "policy": "greedy"}),
    ("cloud", "part3", "budget", {"replicas": 16}),
    ("edge", "part2", "unstable", {"sensors": 12}),
    ("edge", "part2", "slo", {"sensors": 3}),
    ("edge", "part3", "unstable", {"sensors": 12}),
    ("edge", "part3", "slo", {"sensors": 6}),
    ("mobile", "part2", "fps", {"wait_ms": 5.0}),
    ("mobile", "part2", "slo", {"B": 2}),
    ("mobile", "part3", "unstable", {"compute_ms": 18.0}),
    ("mobile", "part3", "fps", {"compute_ms": 16.0, "pipelined": False, "scene": "hectic"}),
    ("mobile", "part3", "slo", {"scene": "hectic"}),
    ("tiny", "part2", "loss", {"arrivals": "poisson"}),
    ("tiny", "part2", "slo", {"S_ms": 12.0}),
    ("tiny", "part2", "energy", {"S_ms": 4.0}),
    ("tiny", "part3", "loss", {"arrivals": "bursty"}),
    ("tiny", "part3", "slo", {"arrivals": "poisson", "buffer": 2}),
    ("tiny", "part3", "energy", {"S_ms": 2.0}),
]

#: A setting that meets each mission.
MEET = [
    ("cloud", "part1", {"lam_rps": 400.0, "W_ms": 2700.0}),
    ("edge", "part1", {"lam_rps": 360.0, "W_ms": 16.0}),
    ("mobile", "part1", {"W_ms": 48.0}),
    ("tiny", "part1", {"W_ms": 9.5}),
    ("cloud", "part2", {"lam_rps": 200.0, "B": 7}),
    ("cloud", "part2", {"lam_rps": 200.0, "B": 32, "policy": "greedy"}),
    ("cloud", "part3", {"rho": 0.8, "replicas": 8, "arrivals": "bursty"}),
    ("cloud", "part3", {"rho": 0.8, "replicas": 1, "arrivals": "bursty", "policy": "greedy"}),
    ("edge", "part2", {"sensors": 5, "B": 5}),
    ("edge", "part3", {"sensors": 6, "jitter_ms": 2.0, "trigger": "staggered"}),
    ("edge", "part3", {"sensors": 6, "jitter_ms": 2.0, "accelerators": 2, "batched": True}),
    ("mobile", "part2", {"wait_ms": 5.0, "pipelined": True}),
    ("mobile", "part3", {"compute_ms": 15.0, "scene": "busy", "cap_ms": 16.0}),
    ("tiny", "part2", {"lam_rps": 100.0, "jitter_ms": 3.0, "S_ms": 7.0}),
    ("tiny", "part3", {"S_ms": 8.0, "jitter_ms": 3.0, "buffer": 1}),
]


def defaults(track, part):
    return {control.key: control.default for control in controls(track, part)}


def broken(track, part, settings):
    return {limit.key for limit in limits(track, part, settings) if limit.broken}


@pytest.mark.parametrize(("track", "part"), EVERYWHERE)
def test_no_default_starts_in_failure_and_none_meets_its_mission(track, part):
    assert broken(track, part, defaults(track, part)) == set()
    assert not verdict(track, part, defaults(track, part))[0]


@pytest.mark.parametrize(("track", "part", "key", "changes"), BREAK)
def test_every_promise_can_be_broken_by_a_control_and_mended(track, part, key, changes):
    start = defaults(track, part)
    known = {control.key: control for control in controls(track, part)}
    accepted = {name: known[name].accept(value) for name, value in changes.items()}
    assert key in broken(track, part, {**start, **accepted})
    assert key not in broken(track, part, start)


def test_every_promise_there_is_has_such_a_setting():
    there = {
        (track, part, limit.key)
        for track, part in EVERYWHERE
        for limit in limits(track, part, defaults(track, part))
    }
    assert there == {(track, part, key) for track, part, key, _ in BREAK}


@pytest.mark.parametrize(("track", "part", "changes"), MEET)
def test_every_mission_can_be_met(track, part, changes):
    passed, figures = verdict(track, part, {**defaults(track, part), **changes})
    assert passed, figures
    assert figures["missing"] == "–"


@pytest.mark.parametrize(("track", "part"), EVERYWHERE)
def test_a_failure_says_what_happened_in_words_and_numbers(track, part):
    changes = [c for t, p, _, c in BREAK if (t, p) == (track, part)]
    for change in changes:
        for limit in limits(track, part, {**defaults(track, part), **change}):
            if limit.broken:
                assert limit.title.endswith(".") and any(
                    c.isdigit() or c == "∞" for c in limit.text
                )


def test_hold_eighty_percent_fails_with_one_replica_and_passes_with_four():
    pool = {**defaults("cloud", "part3"), "rho": 0.8}
    assert "slo" in broken("cloud", "part3", {**pool, "replicas": 1})
    assert "slo" not in broken("cloud", "part3", {**pool, "replicas": 4})


def test_prefix_hits_save_memory_and_large_blocks_waste_it():
    pool = {**defaults("cloud", "part3"), "rho": 0.99, "policy": "greedy"}
    run = measure("cloud", "part3", pool)
    used = [
        engine.held({**pool, **change}, run).used_bytes
        for change in ({"prefix_hit": 0.5}, {"block": 1}, {}, {"block": 256})
    ]
    assert used == sorted(used) and len(set(used)) == 4
    assert "ram" not in broken("cloud", "part3", {**pool, "prefix_hit": 0.5})


@pytest.mark.parametrize("track", TRACKS)
def test_the_gauge_is_littles_law_on_the_tracks_own_room(track):
    story = TRACKS[track]
    here = engine.gauge(track, {"lam_rps": story.lam_rps, "W_ms": story.W_ms})
    in_flight = here.L
    assert in_flight == pytest.approx(story.lam_rps * story.W_ms / 1e3)
    assert here.used_bytes == pytest.approx(here.L * story.bytes_each)
    full = engine.gauge(track, {"lam_rps": here.lam_max_rps, "W_ms": story.W_ms})
    assert full.used_bytes == pytest.approx(story.room_bytes)


def test_settings_are_written_with_their_names():
    assert engine.setting_text({"B": 4, "policy": "fixed", "batched": False, "jitter_ms": 0.5}) == (
        "B 4, policy fixed, batched no, jitter 0.5 ms"
    )


def test_times_change_their_unit_at_one_second():
    assert [engine.ms_text(x) for x in (0, 999, 1000, float("inf"))] == [
        "0 ms",
        "999 ms",
        "1 s",
        "∞",
    ]


def played(track):
    run = Session.start(LAB, "ada", track, parts(track))
    for part in run.parts:
        for asked in part.questions:
            run = run.predict(part.key, asked.key, asked.answer, 5)
        run = run.lock(part.key)
        changes = next(c for t, p, c in MEET if (t, p) == (track, part.key))
        run = run.adjust(part.key, **changes)
        run = run.attempt(part.key, *verdict(track, part.key, run.settings(part.key)))
        for asked in part.reflections:
            run = run.reflect(part.key, asked.key, asked.answer or asked.options[0].key)
    return run.write("Because.")


FIELDS = {
    *("track", "part1", "part2", "part3", "lam_rps", "W_s", "L", "mem_fraction"),
    *("batch_policy", "batch_size", "window_ms", "throughput_rps", "mean_ms", "p99_ms"),
    *("replicas", "rho", "ca2", "cs2", "utilization_target", "slo_ms", "slo_met"),
    *("iterations", "priority", "defence_text", "constraint_hit", "sim_seed"),
}


@pytest.mark.parametrize("track", TRACKS)
def test_the_record_of_a_full_run_has_every_field(track, tmp_path):
    run = played(track)
    ledger = Ledger(tmp_path / "ledger.json")
    run.save(ledger, outcome(run), engine.RECORD_VERSION)
    kept = json.loads(ledger.path.read_text())["records"]["servemath/lab4/ada"]
    assert set(kept) >= FIELDS and kept["record_version"] == "1.13" and kept["saved_at"]
    assert kept["part1"]["correct"] and kept["part3"]["confidence"] == 5
    assert kept["part2"]["reflections"]["cause"]["correct"]
    assert (kept["iterations"], kept["badge"], kept["slo_met"]) == (3, True, True)
    assert kept["constraint_hit"] == [] and kept["defence_text"] == "Because."
    assert kept["priority"] in ("throughput", "responsiveness")
    in_flight = kept["L"]
    assert in_flight == pytest.approx(kept["lam_rps"] * kept["W_s"])
    again = Session.start(LAB, "ada", track, parts(track)).restore(kept["session"])
    assert again == run


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
    for _ in range(engine.FREE_ITERATIONS - run.iterations):
        run = run.attempt("part1", True)
    assert outcome(run)["badge"]
    assert not outcome(run.attempt("part1", True))["badge"]
