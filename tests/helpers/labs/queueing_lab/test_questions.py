import math

import pytest

from servemath_helpers import queueing
from servemath_helpers.labs.queueing_lab.model import measure, u_curve
from servemath_helpers.labs.queueing_lab.questions import (
    cause,
    first_miss,
    parts,
)
from servemath_helpers.labs.queueing_lab.story import PARTS, TRACKS, controls, scenario

ASKED = [
    (track, part, asked)
    for track in TRACKS
    for part in parts(track)
    for asked in (*part.questions, *part.reflections)
]


def close(value):
    return pytest.approx(value, rel=1e-6)


def truth(track, part, key):
    """What the model computes for the frozen scenario, on another way than the questions."""
    story, s = TRACKS[track], scenario(track, part.key)
    if key == "double":
        return close(2 * story.lam_rps * story.W_ms / 1e3)
    if key == "sizing":
        return close(story.lam_rps * story.W_ms / 1e3 * story.bytes_each)
    run = measure(track, part.key, s) if part.key != "part1" else None
    if key == "u_curve":
        means = u_curve(s["lam_rps"], "fixed", 0.0, tuple(range(1, 65)))
        return 1 + means.index(min(means))
    if key == "miss":
        return next(n for n in range(1, 99) if 2.4 + n > 10)
    if key == "pairs":
        ages = [measure("mobile", "part2", {**s, "pipelined": p}).worst_ms for p in (True, False)]
        return "no" if min(ages) > 20 else "yes"
    if key == "loss":
        return close(0.65 / 1.65)
    if key == "cause":
        return cause(run)
    if key == "full":
        return math.inf
    if key == "busy":
        return "fine"
    if key == "worst":
        return close(run.worst_ms)
    if key == "implied":
        rho = 0.87
        return close(math.sqrt(2 * 4.4 * (1 - rho) / (rho * 14.5)))
    if key == "slots":
        return close(queueing.erlang_b(2, 0.65))
    assert key == "little"
    return close(run.throughput_rps * run.mean_ms / 1e3)


def name(value):
    return value if isinstance(value, str) else getattr(value, "key", "")


@pytest.mark.parametrize(("track", "part", "asked"), ASKED, ids=name)
def test_exactly_one_option_is_what_the_model_computes(track, part, asked):
    values = [option.value for option in asked.options]
    assert len(set(values)) == len(values)
    if asked.answer is None:
        assert asked.key == "priority"
        return
    expected = truth(track, part, asked.key)
    matching = [option.key for option in asked.options if option.value == expected]
    assert matching == [asked.answer]


@pytest.mark.parametrize("track", TRACKS)
def test_scenarios_are_complete_settings_of_their_part(track):
    for part in PARTS:
        known = {control.key: control for control in controls(track, part)}
        asked = scenario(track, part)
        assert set(asked) == set(known)
        for key, value in asked.items():
            assert known[key].accept(value) == value


def test_the_best_batch_depends_on_the_load():
    """At 10 per second batches only cost; the question asks where they are needed."""
    few = u_curve(10.0, "fixed", 0.0, tuple(range(1, 65)))
    assert few == tuple(sorted(few))


@pytest.mark.parametrize(
    ("alpha", "beta", "limit", "n"), [(2, 1.5, 10, 6), (2, 2, 10, 5), (9, 9, 1, 1)]
)
def test_a_deadline_that_is_met_exactly_is_met(alpha, beta, limit, n):
    assert first_miss(alpha, beta, limit) == n


def test_each_cause_can_be_the_one():
    causes = {cause(measure(track, "part2", scenario(track, "part2"))) for track in TRACKS}
    assert causes == {"formation", "queue", "lost"}
