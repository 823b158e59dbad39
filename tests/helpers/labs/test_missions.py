"""Missions have to be won: no opening does, no change of one or two controls, some setting does."""

from dataclasses import replace
from itertools import combinations, product

import pytest

from servemath_helpers.labs.accelerator import mission as machine
from servemath_helpers.labs.accelerator.model import least_replicas
from servemath_helpers.labs.accelerator.story import record_of
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall import mission as node
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab import mission as queue
from servemath_helpers.labs.queueing_lab.view import QueueingLab

from .queueing_lab.test_mission import MEET
from .test_all_labs import PARTS, name

#: It judges thousands of settings; shorter tests cover the lines.
pytestmark = pytest.mark.no_cover

#: Values of a slider that are tried: its ends, and so many between them.
MOST = 20


def asked(lab, session, part):
    """Whether the settings are what the mission asks for, whatever comes of them."""
    if lab is KVWallLab:
        return all(want.met for want in node.wants(session, part))
    settings = session.settings(part)
    if lab is QueueingLab:
        return all(goal.met for goal in queue.wants(session.variant, part, settings))
    return all(want.is_met(settings) for want in machine.wants(record_of(session), part))


def values(control):
    if control.choices:
        found = [value for _, value in control.choices]
    elif isinstance(control.default, bool):
        found = [False, True]
    else:
        steps = round((control.high - control.low) / (control.step or 1))
        places = {round(steps * k / MOST) for k in range(MOST + 1)}
        found = [control.accept(control.low + k * (control.step or 1)) for k in sorted(places)]
    return [value for value in found if value != control.default]


def opening(lab, variant, part):
    """Return the opening, and a function that gives it with some settings changed."""
    session = Session.start("", "ada", variant, lab.engine.parts(variant))
    start = session.settings(part.key)

    def changed(**settings):
        return replace(session, _settings={**session._settings, part.key: {**start, **settings}})

    return changed


def won(lab, session, part):
    return lab.engine.verdict(session, part)[0]


@pytest.mark.parametrize(("lab", "variant", "part"), PARTS, ids=name)
def test_no_mission_is_won_by_changing_fewer_than_three_controls(lab, variant, part):
    changed = opening(lab, variant, part)
    assert not won(lab, changed(), part.key)
    wins = []
    for n in (1, 2):
        for controls in combinations(part.controls, n):
            keys = [control.key for control in controls]
            for settings in product(*map(values, controls)):
                session = changed(**dict(zip(keys, settings, strict=True)))
                if asked(lab, session, part.key) and won(lab, session, part.key):
                    wins.append(dict(zip(keys, settings, strict=True)))
    assert wins == []


def win(lab, variant, part):
    """Return the controls to change, as one who has thought about it would."""
    if lab is QueueingLab:
        return next(changes for track, key, changes in MEET if (track, key) == (variant, part.key))
    if lab is KVWallLab:
        return {
            ("latency", "act1"): {"seq_tokens": 16384, "reserve": "0.1", "kv_bits": 8, "bits": 8},
            ("throughput", "act1"): {
                **{"seq_tokens": 20480, "reserve": "0.05", "kv_bits": 8, "bits": 8, "n_gpus": 4},
            },
            ("latency", "act2"): {
                **{"lam_rps": 12.0, "a_n_gpus": 4, "a_reserve": "0.05"},
                **{"a_mode": "chunked", "a_max_batch": 128},
            },
            ("throughput", "act2"): {
                **{"design": "b", "b_n_gpus": 4, "b_reserve": "0.05"},
                **{"b_mode": "speculative", "b_max_batch": 64},
            },
        }[variant, part.key]
    record = part.scenario["record"]
    now = machine.measured(record)
    fast = {key: machine.UPGRADE * now[key] for key in ("bw_gbs", "gflops")}
    return {
        "part1": {"context": 1024, "batch": 27, **fast},
        "part2": {"loop": "closed", "users": 8, "client_ms": 100, "kv_tokens": 896},
        "part3": {"load": 2.5, "replicas": least_replicas(record), "max_batch": 8},
    }[part.key]


@pytest.mark.parametrize(("lab", "variant", "part"), PARTS, ids=name)
def test_every_mission_can_be_won(lab, variant, part):
    needed = win(lab, variant, part)
    assert won(lab, opening(lab, variant, part)(**needed), part.key) and len(needed) >= 3
