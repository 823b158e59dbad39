import ast
import inspect
import math
import re

import pytest

from servemath_helpers import queueing
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab import questions as module
from servemath_helpers.labs.queueing_lab.mission import LAB
from servemath_helpers.labs.queueing_lab.model import measure
from servemath_helpers.labs.queueing_lab.questions import (
    SCENARIOS,
    cause,
    curve_shape,
    first_miss,
    parts,
)
from servemath_helpers.labs.queueing_lab.story import PARTS, TRACKS, controls

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
    story, s = TRACKS[track], SCENARIOS[track, part.key]
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


@pytest.mark.parametrize(("track", "part", "asked"), ASKED, ids=name)
def test_every_wrong_option_or_the_reason_explains_itself(track, part, asked):
    assert asked.why
    for option in asked.options:
        if option.key != asked.answer and asked.key not in ("cause",):
            assert option.feedback, option.key


@pytest.mark.parametrize("track", TRACKS)
def test_scenarios_are_complete_settings_of_their_part(track):
    for part in PARTS:
        known = {control.key: control for control in controls(track, part)}
        scenario = SCENARIOS[track, part]
        assert set(scenario) == set(known)
        for key, value in scenario.items():
            assert known[key].accept(value) == value


def test_no_result_is_typed_into_a_text():
    """Digits in texts belong to formulas; every number is rendered from the engine."""
    formulas = ("1/s", "a/(1 + a)", "S/(1 − ρ)", "ρ/(1 − ρ)", "c_s²/2", "1 − ρ", "the 2 under",
                "S(1)", "(B − 1)", "P99")  # fmt: skip
    code = ast.parse(inspect.getsource(module))
    docstrings = {
        node.body[0].value
        for node in ast.walk(code)
        if isinstance(node, ast.Module | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    typed = []
    for node in ast.walk(code):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
        ):
            text = node.value
            for formula in formulas:
                text = text.replace(formula, "")
            is_format = re.fullmatch(r"\.\d+[a-z%]", text) or " " not in text
            if re.search(r"\d", text) and not is_format:
                typed.append(node.value)
    assert typed == []


def test_the_order_of_options_is_the_learners_own():
    orders = set()
    for n in range(40):
        run = Session.start(LAB, f"learner {n}", "edge", parts("edge"))
        orders.add(tuple(option.key for option in run.part("part2").questions[0].options))
    assert len(orders) > 10


@pytest.mark.parametrize("track", TRACKS)
def test_reality_is_that_of_the_frozen_scenario_whatever_the_sliders_say(track):
    run = Session.start(LAB, "ada", track, parts(track))
    for part in run.parts:
        for asked in part.questions:
            run = run.predict(part.key, asked.key, asked.options[0].key)
        run = run.lock(part.key)
        before = run.predictions(part.key)
        control = part.controls[0]
        run = run.adjust(part.key, **{control.key: control.low})
        assert run.predictions(part.key) == before
        assert dict(before[0].scenario) == dict(SCENARIOS[track, part.key])
        with pytest.raises(LabError):
            run.lock(part.key)


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
    assert curve_shape(module.u_curve(10.0, "fixed", 0.0, tuple(range(1, 65)))) == "rises"


@pytest.mark.parametrize(
    ("alpha", "beta", "limit", "n"), [(2, 1.5, 10, 6), (2, 2, 10, 5), (9, 9, 1, 1)]
)
def test_a_deadline_that_is_met_exactly_is_met(alpha, beta, limit, n):
    assert first_miss(alpha, beta, limit) == n


def test_each_cause_can_be_the_one():
    causes = {cause(measure(track, "part2", SCENARIOS[track, "part2"])) for track in TRACKS}
    assert causes == {"formation", "queue", "lost"}
