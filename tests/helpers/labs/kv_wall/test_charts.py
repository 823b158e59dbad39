"""The pictures of lab 3: well-formed SVG, numbers in the alt text, nothing out of place."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from servemath_helpers.labs.frame.numbers import duration
from servemath_helpers.labs.kv_wall import charts
from servemath_helpers.labs.kv_wall.model import (
    Configuration,
    Goals,
    MemorySetup,
    Workload,
    plan,
    run,
)

CHAT = Workload(lam_rps=8, prompt_tokens=512, mean_output=256, n_requests=300)
SLO, VOLUME = Goals(ttft_slo_s=0.2, tpot_slo_s=0.05), Goals(target_tok_s=1000)
PAIRS = [
    (Configuration(), Configuration(mode="static")),
    (Configuration(), Configuration(n_gpus=1)),
    (Configuration(n_gpus=1), Configuration(n_gpus=2)),
    (Configuration(n_gpus=1), Configuration(n_gpus=1)),
]

#: Prompts for which the cache of its configuration has no room.
TOO_LONG = Workload(lam_rps=8, prompt_tokens=9000, mean_output=16, n_requests=50)


def runs_of(configurations, workload=CHAT):
    return [(which, run(workload, each)) for which, each in zip("AB", configurations, strict=False)]


def picture(svg):
    """Parse it; return the root and all texts."""
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"]
    assert "nan" not in svg and "inf" not in re.sub(r"[a-z]*info", "", svg)
    return root, [element.text or "" for element in root.iter() if element.tag.endswith("text")]


def test_the_users_are_marked_in_the_picture_and_told_in_its_alt_text():
    root, texts = picture(charts.users_chart(plan(MemorySetup())).svg)
    assert "371 users" in texts and "at 4096 tokens 371 users" in root.attrib["aria-label"]
    root, texts = picture(charts.users_chart(plan(MemorySetup(n_gpus=1))).svg)
    assert "the weights do not fit" in texts


def test_a_card_that_is_too_small_says_so():
    alt = picture(charts.memory_chart(plan(MemorySetup(n_gpus=1))).svg)[0].attrib["aria-label"]
    assert alt.endswith("That is more than the card holds.")
    assert "weights 141 GB" in alt


def test_the_page_in_use_is_marked_without_colour():
    texts = picture(charts.paging_chart(plan(MemorySetup(page_tokens=64))).svg)[1]
    assert [text for text in texts if "◀" in text] == ["3 % ◀"]


def test_a_context_as_small_as_a_page_does_not_mark_the_reservation():
    rows = picture(charts.paging_chart(plan(MemorySetup(seq_tokens=512, page_tokens=256))).svg)[1]
    assert sum("◀" in text for text in rows) == 1


@pytest.mark.parametrize("goals", [SLO, VOLUME])
@pytest.mark.parametrize(
    "state",
    [*((both, CHAT) for both in PAIRS), ([Configuration(n_gpus=2, reserve="0.1")], TOO_LONG)],
    ids=[*range(len(PAIRS)), "nobody is served"],
)
def test_act_two_is_drawn_for_every_state(state, goals):
    runs = runs_of(*state)
    for svg in (
        charts.goals_chart(runs, goals),
        charts.ttft_chart(runs, goals),
        charts.occupancy_chart(runs),
        charts.frontier_chart(runs),
    ):
        picture(svg)


def test_raw_numbers_stand_on_the_bars():
    runs = runs_of(PAIRS[0])
    texts = picture(charts.goals_chart(runs, SLO))[1]
    for _, each in runs:
        assert duration(each.ttft_p99_s) in texts and duration(each.tpot_p99_s) in texts
    assert "TTFT P99 (≤)" not in picture(charts.goals_chart(runs, VOLUME))[1]


def test_the_histogram_counts_every_request():
    runs = runs_of(PAIRS[0])
    _, counts = charts._histogram(runs)
    assert {which: sum(bins) for which, bins in counts.items()} == {"A": 300, "B": 300}


def test_the_histogram_of_equal_times_has_a_width():
    lonely = replace(CHAT, n_requests=1)
    edges, counts = charts._histogram([("A", run(lonely, Configuration()))])
    assert edges[0] < edges[-1] and sum(counts["A"]) == 1


def test_the_bound_is_drawn_only_where_it_lies_within_the_picture():
    runs = runs_of(PAIRS[0])
    assert "bound" in picture(charts.ttft_chart(runs, SLO))[1]
    assert "bound" not in picture(charts.ttft_chart(runs, Goals(ttft_slo_s=1e4)))[1]


def test_a_full_cache_is_marked():
    full = [("A", run(replace(CHAT, prompt_tokens=4096), Configuration(n_gpus=2)))]
    assert "full" in picture(charts.occupancy_chart(full))[1]
    assert "full" not in picture(charts.occupancy_chart(runs_of(PAIRS[0])))[1]


def test_a_short_peak_of_the_cache_does_not_vanish():
    one = run(CHAT, Configuration(mode="static", max_batch=4))
    svg = charts.occupancy_chart([("A", one)])
    points = re.findall(r'<polyline [^>]*points="([^"]+)"', svg)[0].split()
    lowest = min(float(point.split(",")[1]) for point in points)
    peak = 100 * one.kv_peak_tokens / one.configuration.kv_tokens
    top, bottom = 30 + 20, 280 - 46  # of the plot, and its axis ends at one percent
    assert lowest == pytest.approx(bottom - (bottom - top) * peak, abs=1)
