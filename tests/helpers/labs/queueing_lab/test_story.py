import pytest

from servemath_helpers import facts
from servemath_helpers.labs.queueing_lab.story import PARTS, TRACKS, controls, slo_ms


def test_the_cloud_pool_comes_from_the_facts():
    cloud = TRACKS["cloud"]
    model, gpu = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    assert cloud.bytes_each == model.kv_bytes_per_token() * 1280 == 419_430_400
    assert cloud.room_bytes == 8 * gpu.memory_bytes - model.weight_bytes()
    assert cloud.slots == cloud.room_bytes / cloud.bytes_each


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("part", PARTS)
def test_every_control_starts_on_its_own_grid(track, part):
    for control in controls(track, part):
        if control.step:
            steps = (control.default - control.low) / control.step
            assert steps == pytest.approx(round(steps)), control.key


@pytest.mark.parametrize("track", TRACKS)
def test_the_gauge_starts_where_the_story_does(track):
    story = TRACKS[track]
    assert [control.default for control in controls(track, "part1")] == [
        *(story.lam_rps, story.W_ms, 100)
    ]


def test_the_pools_promise_is_ten_service_times():
    assert slo_ms("cloud", "part3") == 210
    assert slo_ms("mobile", "part3") == 20
