"""Open and closed loops against a socket: who asked when, in which order, and how many."""

import asyncio

import pytest

from servemath_helpers.measure.driving import drive, play, prompt_of
from servemath_helpers.measure.endpoint import Endpoint
from servemath_helpers.sim import ClosedLoop, Requests
from servemath_helpers.tinyllm.engine import Engine
from servemath_helpers.tinyllm.transformer import TINY, Transformer

from .servers import GOOD, error, server

pytestmark = pytest.mark.timeout(60)


def driven(work, url, **more):
    return asyncio.run(drive(work, Endpoint(url=url, model="m", timeout_s=20), **more))


def test_an_open_loop_keeps_to_its_schedule_whatever_comes():
    told, kept = [], []
    work = Requests([0.0, 0.0, 0.2], [3, 4, 5], 1)
    with server(error(500, "no"), GOOD) as (url, asked):
        came = driven(work, url, answers=kept, progress=told.append)
    assert came is kept and came == told and len(asked) == 3
    assert sorted(one.request for one in came) == [0, 1, 2]
    assert sum(one.error.startswith("busy: HTTP 500") for one in came) == 1
    assert all(one.sent_s >= one.scheduled_s for one in came)
    by_request = {one.request: one for one in came}
    assert by_request[2].scheduled_s == 0.2 and by_request[2].prompt_tokens == 5
    assert all(one.token_s[0] > one.sent_s and one.output_tokens == 1 for one in came if one.ok)


def test_users_of_a_closed_loop_wait_for_their_answers():
    with server(GOOD) as (url, asked):
        came = driven(ClosedLoop(2, [2] * 7, 1, think_s=0.01), url)
    assert [one.request for one in sorted(came, key=lambda one: one.sent_s)] == list(range(7))
    assert len(asked) == 7
    for one in came:
        others = [o for o in came if o.sent_s <= one.sent_s < o.token_s[-1]]
        assert len(others) <= 2


def test_prompts_differ_and_are_those_of_the_seed():
    prompts = [prompt_of(i, 20, seed) for i in range(5) for seed in (0, 1)]
    assert len(set(prompts)) == 10 and {len(p.split()) for p in prompts} == {20}
    assert prompt_of(3, 20) == prompts[6]


def test_only_a_virtual_clock_can_be_played():
    with pytest.raises(ValueError, match="engine must have a step_time"):
        play(Requests([0], 1, 1), Engine(Transformer(TINY)))
