import math

import pytest

from servemath_helpers import queueing
from servemath_helpers.labs.queueing_lab.model import measure, u_curve
from servemath_helpers.labs.queueing_lab.questions import (
    cause,
    curve_shape,
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
        return "falls then rises"
    if key == "miss":
        return next(n for n in range(1, 99) if 2 + 1.5 * n > 10)
    if key == "pairs":
        ages = [measure("mobile", "part2", {**s, "pipelined": p}).worst_ms for p in (True, False)]
        return "no" if min(ages) > 20 else "yes"
    if key == "loss":
        return close(0.8 / 1.8)
    if key == "cause":
        return cause(run)
    if key == "full":
        return math.inf
    if key == "busy":
        return "fine"
    if key == "worst":
        return close(run.worst_ms)
    if key == "implied":
        rho = 0.9
        return close(math.sqrt(2 * 5 * (1 - rho) / (rho * 15)))
    if key == "slots":
        return close(queueing.erlang_b(2, 0.8))
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


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ((1.0, 1.0), "flat"),
        ((1.0, 2.0, 2.0, 3.0), "rises"),
        ((math.inf, math.inf, 3.0), "falls"),
        ((3.0, 1.0, 2.0), "falls then rises"),
        ((1.0, 3.0, 2.0), "other"),
    ],
)
def test_a_curves_shape_is_read_from_its_signs(values, shape):
    assert curve_shape(values) == shape


def test_the_curve_rises_where_hardly_anybody_comes():
    """The question's answer depends on the load: at 10 per second batches only cost."""
    assert curve_shape(u_curve(10.0, "fixed", 0.0, tuple(range(1, 65)))) == "rises"


@pytest.mark.parametrize(
    ("alpha", "beta", "limit", "n"), [(2, 1.5, 10, 6), (2, 2, 10, 5), (9, 9, 1, 1)]
)
def test_a_deadline_that_is_met_exactly_is_met(alpha, beta, limit, n):
    assert first_miss(alpha, beta, limit) == n


def test_each_cause_can_be_the_one():
    causes = {cause(measure(track, "part2", scenario(track, "part2"))) for track in TRACKS}
    assert causes == {"formation", "queue", "lost"}
