"""Plans of fleets: what is refused, what one keeps and costs, which is best, what one scores."""

from fractions import Fraction

import numpy as np
import pytest

from servemath_helpers import fleetplans
from servemath_helpers.checks import Credit
from servemath_helpers.fleetplans import (
    Scenario,
    check_plans,
    example,
    judge_plan,
    offers,
    plan_fleet,
    score_plan,
)
from servemath_helpers.sim import LinearStep, LLMServer, Requests, simulate_fleet, simulate_llm

EXAMPLE = example()


def plan(name, replicas):
    return {"name": name, "replicas": replicas}


def one_second(n=1, *, output=1, share="1", prices=("1",), most=3, kv=100, slo=(1.0, 0.5)):
    """Return n requests at once for replicas that take a second an iteration, one at a time."""
    trace = [{"arrival_s": 0.0, "prompt": 10, "output": output} for _ in range(n)]
    rows = [(f"o{i}", price, most, 1, kv, 1.0, 0, 0, 0) for i, price in enumerate(prices)]
    return Scenario(trace, offers(*rows), {"ttft_s": slo[0], "tpot_s": slo[1], "share": share})


def test_the_example_keeps_what_the_specification_says():
    kept = {
        option["name"]: [
            judge_plan(plan(option["name"], r), *EXAMPLE).good
            for r in range(1, option["max_replicas"] + 1)
        ]
        for option in EXAMPLE.options
    }
    assert kept["small"][:7] == [14, 309, 576, 594, 598, 600, 599]  # one more can hurt
    assert (kept["medium"][0], kept["large"][0]) == (580, 600)
    assert sum(option["max_replicas"] for option in EXAMPLE.options) <= 25


def test_a_judged_plan_is_what_a_fleet_with_round_robin_does():
    option = EXAMPLE.options[0]
    step = LinearStep(**{key: option[key] for key in option if key.endswith("_s")})
    server = LLMServer(step_time=step, max_batch=16, kv_tokens=4000, oversize="reject")
    columns = [[one[key] for one in EXAMPLE.trace] for key in ("arrival_s", "prompt", "output")]
    run = simulate_fleet(Requests(*columns), server, 3)
    judged = judge_plan(
        plan("small", 3), EXAMPLE.trace, [{**option, "kv_tokens": 4000}], EXAMPLE.slo
    )
    assert np.isnan(judged.ttft_s).sum() > 0  # some are too large, and rejected
    np.testing.assert_array_equal(judged.ttft_s, run.ttft_s)
    np.testing.assert_array_equal(judged.tpot_s, run.tpot_s)
    assert judged.good / 600 == run.goodput_share(1.0, 0.03)
    assert (judged.usd_h, judged.share) == (Fraction("3.6"), Fraction("0.95"))


@pytest.mark.parametrize(
    ("no_plan", "said"),
    [
        (None, "or None, got None"),
        ([], "exactly 'name' and 'replicas'"),
        ("medium", "exactly 'name' and 'replicas'"),
        ({"name": "medium"}, "exactly 'name' and 'replicas'"),
        ({**plan("medium", 1), "usd_h": 0}, "exactly 'name' and 'replicas'"),
        (plan("Medium", 1), "one of 'small', 'medium', 'large', got 'Medium'"),
        (plan(["medium"], 1), "name of a plan"),
        (plan(None, 1), "name of a plan"),
        (plan("x" * 10_000, 1), r"x\.\.\."),
        (plan("medium", 0), "int from 1 to max_replicas = 6 of 'medium', got int 0"),
        (plan("medium", -1), "got int -1"),
        (plan("medium", 7), "got int 7"),
        (plan("medium", 10**18), "got int 1000"),
        (plan("medium", 10**5000), "int of very many digits"),
        (plan("medium", 1.0), "got float 1.0"),
        (plan("medium", 1e18), "got float"),
        (plan("medium", float("nan")), "got float nan"),
        (plan("medium", float("inf")), "got float inf"),
        (plan("medium", True), "got bool True"),
        (plan("medium", "1"), "got str '1'"),
        (plan("medium", None), "got NoneType None"),
        (plan("medium", [1]), "got list"),
        (plan("medium", np.array([1, 2])), "got ndarray"),
    ],
)
def test_what_is_no_plan_is_refused(no_plan, said):
    with pytest.raises(ValueError, match=said):
        judge_plan(no_plan, *EXAMPLE)
    if no_plan is not None:
        with pytest.raises(ValueError, match=said):
            score_plan(no_plan, *EXAMPLE)
        with pytest.raises(AssertionError, match="This is no plan: "):
            check_plans(lambda *_: no_plan, EXAMPLE)


def test_numpy_counts_as_whole_numbers_do():
    assert judge_plan(plan("medium", np.int64(1)), *EXAMPLE).replicas == 1


@pytest.mark.parametrize(
    ("trace", "option", "slo", "said"),
    [
        ([], {}, {}, "arrival_s"),
        ([{"prompt": 1, "output": 1}], {}, {}, r"trace\[0\] must be a dict with 'arrival_s'"),
        ([1], {}, {}, r"trace\[0\] must be a dict"),
        (None, {"usd_h": "-1"}, {}, "usd_h of o0"),
        (None, {"max_replicas": 0}, {}, "max_replicas of o0"),
        (None, {"max_batch": 0}, {}, "max_batch of o0"),
        (None, {"kv_tokens": 1.5}, {}, "kv_tokens of o0"),
        (None, {"base_s": -1}, {}, "base_s"),
        (None, {}, {"ttft_s": -1}, "ttft_s"),
        (None, {}, {"share": "1.1"}, "share"),
    ],
)
def test_records_out_of_range_are_named(trace, option, slo, said):
    scenario = one_second()
    with pytest.raises(ValueError, match=said):
        plan_fleet(
            scenario.trace if trace is None else trace,
            [{**scenario.options[0], **option}],
            {**scenario.slo, **slo},
        )


def test_an_option_may_be_a_whole_server_and_the_trace_requests():
    option = EXAMPLE.options[0]
    step = LinearStep(**{key: option[key] for key in option if key.endswith("_s")})
    server = LLMServer(step_time=step, max_batch=option["max_batch"], kv_tokens=option["kv_tokens"])
    own = {"name": "small", "usd_h": option["usd_h"], "max_replicas": 9, "server": server}
    columns = [[one[key] for one in EXAMPLE.trace] for key in ("arrival_s", "prompt", "output")]
    judged = judge_plan(plan("small", 3), Requests(*columns), [own], EXAMPLE.slo)
    assert str(judged) == str(judge_plan(plan("small", 3), *EXAMPLE))
    with pytest.raises(ValueError, match="server of small must be an LLMServer, got 5"):
        judge_plan(plan("small", 3), EXAMPLE.trace, [{**own, "server": 5}], EXAMPLE.slo)


def test_two_options_of_one_name_are_refused():
    trace, options, slo = one_second()
    with pytest.raises(ValueError, match="a name each"):
        plan_fleet(trace, options * 2, slo)


@pytest.mark.parametrize(
    ("scenario", "best"),
    [
        (EXAMPLE, plan("medium", 1)),
        (one_second(2), plan("o0", 2)),
        (one_second(4), None),  # three replicas: somebody waits
        (one_second(4, share="0.75"), plan("o0", 3)),  # a share met exactly is met
        (one_second(4, share=Fraction(751, 1000)), None),
        (one_second(2, prices=("2", "1")), plan("o1", 2)),
        (one_second(2, prices=("1", "1")), plan("o0", 2)),  # of equal ones the first
        (one_second(output=2), None),  # a second a token is too slow
        (one_second(kv=10), None),  # prompt and answer need 11
        (one_second(kv=10, share="0"), plan("o0", 1)),
        (one_second(most=1)._replace(options=[]), None),
    ],
)
def test_the_cheapest_plan_that_keeps_the_promise(scenario, best):
    assert plan_fleet(*scenario) == best


def test_without_requests_there_is_nothing_to_plan():
    for options in (EXAMPLE.options, []):
        with pytest.raises(ValueError, match="arrival_s"):
            plan_fleet([], options, EXAMPLE.slo)


FREE = one_second(2, prices=("0", "1"))

SCORES = [
    (EXAMPLE, plan("medium", 1), 1, "medium x 1 keeps 580 of 600"),
    (EXAMPLE, plan("small", 3), Fraction(35, 36), "small x 3 keeps 576 of 600"),
    (EXAMPLE, plan("medium", 2), Fraction(1, 2), "medium x 2"),  # just half the money's worth
    (EXAMPLE, plan("small", 6), 0, "more than twice"),
    (EXAMPLE, plan("small", 2), 0, "Promises come first"),
    (EXAMPLE, None, 0, "one that does"),
    (one_second(4), None, 1, "no plan keeps the promise"),
    (one_second(4), plan("o0", 3), 0, "Promises come first"),
    (FREE, plan("o0", 3), 1, "o0 x 3"),
    (FREE, plan("o1", 2), 0, "more than twice"),
]


@pytest.mark.parametrize(("scenario", "made", "score", "said"), SCORES)
def test_what_plans_score_and_what_a_test_says(scenario, made, score, said, capsys):
    assert score_plan(made, *scenario) == score
    if score:
        credit = check_plans(lambda *_: made, scenario)
        assert type(credit) is Credit and said in capsys.readouterr().out
        assert Fraction(str(credit)) <= score < Fraction(str(credit)) + Fraction(1, 100)
    else:
        with pytest.raises(AssertionError, match=said):
            check_plans(lambda *_: made, scenario)


def test_the_worst_plan_counts_and_nothing_lasts_between_calls():
    given = []

    def learner(trace, options, slo):
        given.append((trace, options, slo))
        return plan("small", 3) if len(given) == 1 else plan("medium", 1)

    assert check_plans(learner, EXAMPLE, EXAMPLE) == Credit(0.97)
    assert given[0] == given[1] == EXAMPLE and given[0][0] is not given[1][0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda trace, options, slo: trace.clear(),
        lambda trace, options, slo: options[0].update(usd_h="0"),
        lambda trace, options, slo: options.append(options[0] | {"name": "mine", "usd_h": 0}),
        lambda trace, options, slo: slo.update(share="0"),
    ],
)
def test_what_a_learner_changes_is_seen_and_changes_nothing(spoil):
    def learner(*given):
        spoil(*given)
        return plan("medium", 1)

    with pytest.raises(AssertionError, match="leave its arguments"):
        check_plans(learner, EXAMPLE)
    assert example() == EXAMPLE


def test_a_learners_own_error_goes_through():
    with pytest.raises(ZeroDivisionError):
        check_plans(lambda *_: 1 / 0, EXAMPLE)


def test_traffic_is_drawn_within_its_bounds():
    rng = np.random.default_rng(3)
    trace = fleetplans.traffic(np.arange(500.0), rng, prompt=(6, 3, 900), output=(5, 9))
    prompts, outputs = ({one[key] for one in trace} for key in ("prompt", "output"))
    assert (min(prompts), max(prompts)) == (16, 900)
    assert outputs == set(range(1, 10))
    assert all(type(one["prompt"]) is int and type(one["arrival_s"]) is float for one in trace)


@pytest.mark.parametrize("points", [-0.1, float("nan"), float("inf"), "1", True])
def test_points_are_a_finite_number_of_at_least_zero(points):
    with pytest.raises(ValueError, match="points"):
        Credit(points)


def test_a_plan_is_played_once_on_a_trace(monkeypatch):
    played = []

    def counted(requests, server):
        played.append(len(requests))
        return simulate_llm(requests, server)

    monkeypatch.setattr(fleetplans, "simulate_llm", counted)
    three, four = (one_second(n=n, output=3, most=2, kv=91) for n in (3, 4))
    for _ in range(2):
        assert judge_plan(plan("o0", 2), *three).kept.size == 3
        assert judge_plan(plan("o0", 2), *four).kept.size == 4
    assert played == [2, 1, 2, 2]
    step = LinearStep(base_s=1, per_decode_s=0, per_prefill_token_s=0, per_context_token_s=0)
    own = {**three.options[0], "server": LLMServer(step_time=step, max_batch=1)}
    for _ in range(2):  # the step time of an own server may be anybody's function
        judge_plan(plan("o0", 1), three.trace, [own], three.slo)
    assert played[4:] == [3, 3]
