import numpy as np
import pytest

from servemath_helpers.measure.driving import play
from servemath_helpers.sim import (
    ClosedLoop,
    LLMServer,
    Requests,
    arrivals,
    simulate_fleet,
    simulate_llm,
)
from servemath_helpers.tinyllm.engine import Engine, VirtualClock, WallClock
from servemath_helpers.tinyllm.machine import REFERENCE
from servemath_helpers.tinyllm.transformer import SMALL, TINY, Transformer

MODEL = Transformer(TINY)
STEP = SMALL.roofline(REFERENCE.bw_Bps, REFERENCE.flops)
RNG = np.random.default_rng(5)
SIZES = RNG.integers(1, 30, 40), RNG.integers(1, 12, 40)
OPEN = Requests(arrivals.poisson(40, 4.0, RNG), *SIZES)
CLOSED = ClosedLoop(6, *SIZES, think_s=0.1)


def engine(**asked):
    return Engine(MODEL, **{"step_time": STEP, **asked})


@pytest.mark.parametrize("work", [OPEN, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize(
    "limits",
    [{"max_batch": 8}, {"max_batch": 1}, {"max_batch": 3, "kv_tokens": 60}],
    ids=str,
)
def test_on_a_virtual_clock_it_is_the_simulator(work, limits):
    served = engine(**limits)
    came = sorted(play(work, served), key=lambda one: one.request)
    server = LLMServer(step_time=STEP, **limits)
    if work is OPEN:
        expected, order = simulate_llm(work, server), slice(None)
    else:
        expected = simulate_fleet(work, server)
        order = np.argsort(expected.sent)
    first = [one.token_s[0] for one in came]
    assert first == pytest.approx(expected.first_token_s[order].tolist(), rel=1e-9)
    last = [one.token_s[-1] for one in came]
    assert last == pytest.approx(expected.finish_s[order].tolist(), rel=1e-9)
    assert [len(one.token_s) for one in came] == work.output_tokens.tolist()
    assert not served.busy and max(line.decode for line in served.log) <= limits["max_batch"]


def test_answers_are_those_of_the_model_alone():
    busy, alone = engine(), engine(max_batch=1)
    prompts = [[1, 2, 3], [4, 5], [200]]
    jobs = [busy.submit(prompt, 6) for prompt in prompts]
    while busy.busy:
        busy.step()
    for prompt, job in zip(prompts, jobs, strict=True):
        mine = alone.submit(prompt, 6)
        while alone.busy:
            alone.step()
        assert mine.tokens == job.tokens


def test_the_log_says_what_was_computed():
    served = engine()
    served.submit([1, 2, 3], 3)
    served.submit([4, 5], 2)
    while served.step():
        pass
    assert [line[2:] for line in served.log] == [(0, 0, 5), (2, 4 + 3, 0), (1, 5, 0)]
    spent = sum(line.step_s for line in served.log)
    assert spent == pytest.approx(served.clock.now())


def test_who_gives_up_leaves_at_once_and_frees_its_room():
    served = engine(max_batch=1, kv_tokens=10)
    first, second, third = (served.submit([1, 2], 8) for _ in range(3))
    served.step()
    served.cancel(first)
    served.cancel(second)
    assert served.step() == [third]
    served.cancel(third)
    assert served.step() == [] and not served.busy
    assert (len(first.tokens), len(second.tokens), len(third.tokens)) == (1, 0, 1)


def test_without_a_step_time_it_takes_what_it_takes():
    served = Engine(MODEL)
    job = served.submit([1], 2)
    while served.step():
        pass
    assert isinstance(served.clock, WallClock)
    assert job.arrival_s <= job.start_s < job.token_s[0] < job.token_s[1]
    assert all(line.step_s > 0 for line in served.log)


@pytest.mark.parametrize(
    ("prompt", "n", "said"),
    [
        ([], 1, "at least one token"),
        ([256], 1, "tokens below 256"),
        ([-1], 1, r"prompt\[0\] must be a whole number"),
        ("text", 1, "prompt must be a sequence"),
        ([1], 0, "max_tokens must be a whole number"),
        ([1] * 5, 16, "at most 20 tokens together"),
    ],
)
def test_what_cannot_be_served_is_refused(prompt, n, said):
    with pytest.raises(ValueError, match=said):
        engine(kv_tokens=20).submit(prompt, n)


def test_time_does_not_run_backwards():
    with pytest.raises(ValueError, match="seconds must be a number of at least 0"):
        VirtualClock().advance(-1)
