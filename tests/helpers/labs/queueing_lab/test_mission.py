import re

import pytest

from servemath_helpers.labs.queueing_lab import mission as engine
from servemath_helpers.labs.queueing_lab.mission import judge
from servemath_helpers.labs.queueing_lab.model import measure
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
    ("cloud", "part1", {"lam_rps": 320.0, "W_ms": 6000.0, "size": 60}),
    ("edge", "part1", {"lam_rps": 360.0, "W_ms": 20.0, "size": 80}),
    ("mobile", "part1", {"lam_rps": 120.0, "W_ms": 40.0, "size": 60}),
    ("tiny", "part1", {"lam_rps": 160.0, "W_ms": 9.0, "size": 65}),
    ("cloud", "part2", {"lam_rps": 350.0, "B": 16, "policy": "greedy"}),
    ("cloud", "part2", {"lam_rps": 350.0, "B": 32, "policy": "window"}),
    ("cloud", "part3", {"rho": 0.8, "replicas": 8, "arrivals": "bursty"}),
    (
        "cloud",
        "part3",
        {"rho": 0.8, "replicas": 1, "arrivals": "bursty", "policy": "greedy", "prefix_hit": 0.2},
    ),
    ("edge", "part2", {"sensors": 8, "B": 4, "accelerators": 2}),
    ("edge", "part3", {"sensors": 6, "jitter_ms": 2.0, "trigger": "staggered"}),
    ("edge", "part3", {"sensors": 6, "jitter_ms": 2.0, "accelerators": 2, "batched": True}),
    ("mobile", "part2", {"wait_ms": 7.0, "pixels": 60, "pipelined": True}),
    ("mobile", "part3", {"compute_ms": 15.0, "scene": "busy", "cap_ms": 16.0}),
    ("tiny", "part2", {"lam_rps": 100.0, "jitter_ms": 3.0, "S_ms": 7.0}),
    ("tiny", "part3", {"S_ms": 8.0, "jitter_ms": 3.0, "buffer": 1}),
]


def defaults(track, part):
    return {control.key: control.default for control in controls(track, part)}


def broken(track, part, settings):
    return {limit.key for limit in judge(track, part, settings).broken}


@pytest.mark.parametrize(("track", "part"), EVERYWHERE)
def test_no_default_meets_its_mission(track, part):
    assert judge(track, part, defaults(track, part)).unmet


@pytest.mark.parametrize(("track", "part", "key", "changes"), BREAK)
def test_every_promise_can_be_broken_by_a_control_and_mended(track, part, key, changes):
    start = defaults(track, part)
    assert key not in broken(track, part, start)
    known = {control.key: control for control in controls(track, part)}
    accepted = {name: known[name].accept(value) for name, value in changes.items()}
    (limit,) = (x for x in judge(track, part, {**start, **accepted}).broken if x.key == key)
    assert limit.title.endswith(".") and re.search(r"[\d∞]", limit.text)


def test_every_promise_there_is_has_such_a_setting():
    there = {
        (track, part, limit.key)
        for track, part in EVERYWHERE
        for limit in judge(track, part, defaults(track, part)).limits
    }
    assert there == {(track, part, key) for track, part, key, _ in BREAK}


@pytest.mark.parametrize(("track", "part", "changes"), MEET)
def test_every_mission_can_be_met(track, part, changes):
    seen = judge(track, part, {**defaults(track, part), **changes})
    assert (seen.broken, seen.unmet) == ([], [])


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
