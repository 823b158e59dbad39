"""The banners of lab 3: each can be reached by some setting, and left again."""

import re
from html import unescape

import pytest

from servemath_helpers.labs.kv_wall.mission import (
    act1_banner,
    act2_banners,
    chosen_run,
    configuration,
    side_banners,
    verdict,
)
from servemath_helpers.labs.kv_wall.model import Configuration, Goals, Workload, run

from .test_record import answered

#: A setting that breaks each promise, and the banner that says so.
ACT1 = [
    ({"n_gpus": 1}, "Out of memory."),
    ({"model": "Llama-3.1-405B"}, "Out of memory."),
    ({"n_gpus": 2, "seq_tokens": 32_768}, "At the wall: 1 user."),
    ({"n_gpus": 2, "seq_tokens": 32_768, "model": "Llama-3-70B as MHA"}, "Nobody fits."),
]
ACT2 = [
    ("latency", {"a_n_gpus": 1}, "Out of memory."),
    ("latency", {"a_n_gpus": 2, "a_max_batch": 128}, "KV full."),
    ("latency", {"a_max_batch": 4}, "Unstable queue."),
    ("latency", {"a_mode": "static"}, "TTFT bound missed."),
    ("latency", {"prompt_tokens": 8192}, "TPOT bound missed."),
    ("latency", {"a_max_batch": 1}, "Throughput below target."),
    ("throughput", {"a_n_gpus": 1}, "Out of memory."),
    ("throughput", {"a_n_gpus": 2}, "KV full."),
    ("throughput", {"a_mode": "static", "a_max_batch": 8}, "Throughput below target."),
    ("throughput", {"lam_rps": 2}, "Throughput below target."),
]


def said(html):
    """Kind and title of each banner."""
    found = re.findall(r'data-banner="(\w+)"><b><span[^>]*>.</span> (.*?)</b>', html)
    return [(kind, unescape(title)) for kind, title in found]


@pytest.mark.parametrize(("change", "title"), ACT1)
def test_every_banner_of_act_one_can_be_reached_and_left(change, title):
    run = answered("latency", right=True).adjust("act1", **change)
    assert said(act1_banner(run)) == [("fail", title)]
    opened = said(act1_banner(run.reset("act1")))
    assert opened == [("info", "Viable: 106 users."), ("info", "Mission not met yet.")]


@pytest.mark.parametrize(("context", "change", "title"), ACT2)
def test_every_banner_of_act_two_can_be_reached_and_left(context, change, title):
    run = answered(context, right=True).adjust("act2", **change)

    def titles(session):
        return said(side_banners(session, "a", chosen_run(session)))

    assert ("fail", title) in titles(run)
    opened = titles(run.reset("act2"))
    assert opened == [("info", "Every bound kept."), ("info", "Mission not met yet.")]


def test_a_mission_lists_what_it_lacks_until_it_is_met():
    run = answered("latency", right=True)
    passed, figures = verdict(run, "act1")
    assert not passed and figures["missing"] == (
        "contexts of at least 16384 tokens; at least 10% of each GPU kept free"
    )
    run = run.adjust("act1", seq_tokens=16384, reserve="0.1", model="Llama-3-8B", bits=8)
    assert verdict(run, "act1")[1]["missing"] == "the model Llama-3-70B"
    run = run.adjust("act1", model="Llama-3-70B")
    assert verdict(run, "act1")[1]["missing"] == "at least 64 users"
    run = run.adjust("act1", kv_bits=8)
    assert verdict(run, "act1")[0] and ("ok", "Mission met.") in said(act1_banner(run))
    run = run.adjust("act2", design="b", lam_rps=12, b_n_gpus=4)
    assert verdict(run, "act2")[1]["missing"] == "at least 5% of each GPU kept free"


def test_requests_larger_than_the_cache_are_counted_in_the_banner():
    huge = Workload(lam_rps=8, prompt_tokens=9000, mean_output=16, n_requests=50)
    outcome = run(huge, Configuration(n_gpus=2, reserve="0.1"))
    assert "50 are larger than all of it" in act2_banners(outcome, Goals())


def test_either_configuration_can_be_the_design():
    session = answered("latency", right=True).adjust("act2", b_max_batch=16, design="b")
    assert chosen_run(session).configuration == configuration(session, "b").canonical()
