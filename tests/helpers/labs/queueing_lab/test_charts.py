import math
from xml.etree import ElementTree as ET

import pytest

from servemath_helpers.labs.queueing_lab import charts
from servemath_helpers.labs.queueing_lab.mission import gauge
from servemath_helpers.labs.queueing_lab.model import flow_of, measure
from servemath_helpers.labs.queueing_lab.story import TRACKS, controls

from ..test_all_labs import looked_at as well_drawn

SIMULATED = [(track, part) for track in TRACKS for part in ("part2", "part3")]
#: Settings far from the defaults, some of them failures.
FAR = {
    ("cloud", "part2"): {"lam_rps": 400.0, "B": 3, "policy": "window"},
    ("cloud", "part3"): {"rho": 0.99, "arrivals": "bursty", "replicas": 1},
    ("edge", "part2"): {"sensors": 12},
    ("edge", "part3"): {"sensors": 12, "jitter_ms": 10.0},
    ("mobile", "part2"): {"B": 4, "wait_ms": 15.0},
    ("mobile", "part3"): {"compute_ms": 18.0, "scene": "hectic"},
    ("tiny", "part2"): {"arrivals": "poisson", "lam_rps": 200.0, "S_ms": 12.0},
    ("tiny", "part3"): {"arrivals": "bursty", "slots": 2, "buffer": 2},
}


def settings_of(track, part, far):
    start = {control.key: control.default for control in controls(track, part)}
    return {**start, **(FAR[track, part] if far else {})}


def looked_at(drawn):
    """Check what holds for every picture; return its words and its table's."""
    well_drawn(drawn.svg)
    return " ".join(ET.fromstring(drawn.svg).itertext()), drawn.table()


@pytest.mark.parametrize("far", [False, True], ids=["default", "far"])
@pytest.mark.parametrize(("track", "part"), SIMULATED)
def test_every_picture_is_drawn_inside_its_frame_and_told_in_words(track, part, far):
    settings = settings_of(track, part, far)
    run = measure(track, part, settings)
    words, _ = looked_at(charts.curve_chart(track, part, settings, run))
    assert "you:" in words
    words, numbers = looked_at(charts.waterfall_chart(run, "frames"))
    assert "formation" in numbers and "slowest 1 %" in words
    words, _ = looked_at(charts.histogram_chart(track, part, run))
    assert "promise" in words
    full = charts.best_rps(track, part, run)
    words, _ = looked_at(charts.seesaw_chart(track, part, run, full))
    assert ("✓" in words) != ("✗" in words)


def test_the_histogram_leaves_out_marks_of_what_is_infinite():
    run = measure("cloud", "part2", settings_of("cloud", "part2", True))
    words, _ = looked_at(charts.histogram_chart("cloud", "part2", run))
    assert math.isinf(run.mean_ms) and "mean" not in words and "promise" in words


def test_the_waterfall_adds_up():
    run = measure("edge", "part2", {"sensors": 5, "B": 5})
    _, numbers = looked_at(charts.waterfall_chart(run, "frames"))
    assert "<td>5 ms</td>" in numbers and "<td>2.4 ms</td>" in numbers


@pytest.mark.parametrize(
    ("lam", "W_ms", "verdict"), [(40, 2000, "fits"), (400, 8000, "does not fit")]
)
def test_the_gauge_says_whether_it_fits(lam, W_ms, verdict):
    here = gauge("cloud", {"lam_rps": lam, "W_ms": W_ms})
    words, _ = looked_at(charts.gauge_chart(here, "requests"))
    assert f": {verdict}" in words


def test_the_area_is_drawn_with_its_mean():
    words, numbers = looked_at(charts.area_chart(flow_of(40, 2), "requests"))
    assert "area / time" in words and "λW" in numbers


def test_the_seesaw_measures_against_what_the_mission_asks():
    runs = {key: measure(*key, settings_of(*key, False)) for key in SIMULATED}
    full = {key: charts.best_rps(*key, run) for key, run in runs.items()}
    assert full["cloud", "part2"] == 200 and full["edge", "part2"] == 150
    assert full["mobile", "part3"] == 60
    capacity = runs["tiny", "part2"].lam_rps / runs["tiny", "part2"].rho
    assert full["tiny", "part2"] == pytest.approx(capacity) == pytest.approx(125)
