"""The timeline against the run it tells of, and the pictures through their artists."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from servemath_helpers.sim import LinearStep, LLMServer, Requests, simulate_llm

STEP = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-4, per_context_token_s=0)
#: Cache for 5 blocks of 8; the second of two sequences must leave when both have grown.
TIGHT = LLMServer(step_time=STEP, kv_tokens=40, kv_policy="paged", block_tokens=8)
RUN = simulate_llm(Requests([0.0, 0.0, 5.0], 10, [20, 20, 3]), TIGHT)


def axes():
    return Figure().subplots()


def test_stays_tell_who_was_thrown_out():
    stays = RUN.timeline.stays
    assert RUN.preemptions.tolist() == [0, 1, 0]
    assert stays.request.tolist() == [1, 0, 1, 2]
    assert stays.finished.tolist() == [False, True, True, True]
    assert (stays.left_s > stays.admitted_s).all()
    assert RUN.token_times_s(1).size == 20


def test_the_batch_is_empty_while_the_server_idles():
    batch = RUN.timeline.batch_size()
    assert batch.max() == 2
    assert batch.at(1.0) == 0
    assert batch.at(5.005) == 1
    assert batch.at(99.0) == 0


def test_the_cache_grows_with_the_tokens_and_never_beyond_its_capacity():
    time_s, tokens = RUN.timeline.kv_occupancy()
    assert (np.diff(time_s) >= -1e-12).all()
    assert tokens.max() == RUN.timeline.kv_peak_tokens() <= 40
    assert tokens.max() > 30


def test_reserved_room_is_counted_as_in_use():
    run = simulate_llm(Requests([0.0], 10, 20), LLMServer(step_time=STEP, kv_tokens=100))
    assert set(run.timeline.kv_occupancy()[1].tolist()) == {30}


def test_gantt_draws_a_bar_for_every_stay_and_a_cross_for_who_was_thrown_out():
    ax = axes()
    RUN.timeline.draw_gantt(ax)
    prompts, decoding = ax.containers
    stays = RUN.timeline.stays
    assert len(prompts) == len(decoding) == 4
    for bar, admitted, left in zip(prompts, stays.admitted_s, stays.decoding_s, strict=True):
        assert bar.get_x() == pytest.approx(admitted)
        assert bar.get_x() + bar.get_width() == pytest.approx(left)
    (cross,) = ax.lines
    assert cross.get_ydata().tolist() == [1]
    assert ax.get_xlabel() == "time [s]"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(labels) == ["decoding", "prompt", "thrown out"]


def test_gantt_of_some_requests_leaves_out_the_others():
    ax = axes()
    RUN.timeline.draw_gantt(ax, first=2, last=3)
    assert len(ax.containers[0]) == 1
    assert not ax.lines
    with pytest.raises(ValueError, match="last must be"):
        RUN.timeline.draw_gantt(ax, first=3, last=3)


def test_a_stay_that_ended_before_its_prompt_was_computed_is_all_prompt():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        server = LLMServer(
            step_time=STEP,
            batching="chunked",
            max_batch=8,
            max_batched_tokens=10,
            kv_tokens=80,
            kv_policy="paged",
            block_tokens=4,
        )
        requests = Requests(np.sort(rng.uniform(0, 1, 20)), rng.integers(5, 40, 20), 30)
        line = simulate_llm(requests, server).timeline
        never = np.isnan(line.stays.decoding_s)
        if never.any():
            break
    assert never.any()
    ax = axes()
    line.draw_gantt(ax)
    widths = np.array([bar.get_width() for bar in ax.containers[1]])
    assert (widths[never] == 0).all()


def test_occupancy_and_batch_are_drawn_with_their_limits():
    ax = axes()
    RUN.timeline.draw_occupancy(ax)
    assert [line.get_label() for line in ax.lines] == ["in use", "capacity"]
    assert ax.lines[1].get_ydata()[0] == 40
    ax = axes()
    RUN.timeline.draw_batch(ax)
    assert [line.get_label() for line in ax.lines] == ["inside", "largest batch"]
    assert max(ax.lines[0].get_ydata()) == 2
    ax = axes()
    unlimited = simulate_llm(Requests([0.0], 10, 20), LLMServer(step_time=STEP))
    unlimited.timeline.draw_occupancy(ax)
    assert [line.get_label() for line in ax.lines] == ["in use"]
