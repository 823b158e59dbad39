import itertools
import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from servemath_helpers.labs.frame import svg
from servemath_helpers.labs.frame.svg import Axis, Chart, round_up, ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.04), (-7, 12345), (0, 2.5)])
def test_ticks_are_round_evenly_spaced_and_inside(low, high):
    at = ticks(low, high)
    assert 2 <= len(at) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in at)
    gaps = {round((b - a) / (at[1] - at[0]), 6) for a, b in itertools.pairwise(at)}
    assert gaps == {1.0}


@pytest.mark.parametrize("kwargs", [{"low": 1, "high": 1}, {"low": 0, "high": 1, "log": True}])
def test_an_axis_without_length_is_refused(kwargs):
    with pytest.raises(ValueError, match="low must be below high"):
        Axis(**kwargs)


def test_a_logarithmic_axis_spreads_factors_evenly_and_writes_enough_numbers():
    axis = Axis(1, 100, log=True)
    assert axis.place([10], 0, 1) == [pytest.approx(0.5)]
    assert [value for value, _ in axis.shown_ticks()] == [1, 10, 100]
    short = [value for value, _ in Axis(2, 60, log=True).shown_ticks()]
    assert short == [2, 5, 10, 20, 50]


def test_values_outside_stay_on_the_axis():
    axis = Axis(0, 10, ticks=(0, 10), names=("none", "all"))
    assert axis.place([-5, 50], 3, 7) == [3, 7]
    assert axis.shown_ticks() == [(0, "none"), (10, "all")]


def chart(**kwargs):
    return Chart(Axis(0, 10, "x <1>"), Axis(0, 5, "y"), alt='says "this" & that', **kwargs)


def drawn(picture):
    return ET.fromstring(picture.render())


def test_a_chart_is_well_formed_and_says_what_it_shows():
    picture = chart(title="A & B")
    picture.line([0, 10], [0, 5], label="up", marker="o")
    root = drawn(picture)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'says "this" & that'
    words = "".join(root.itertext())
    assert "A & B" in words and "up" in words and "x <1>" in words
    assert "title" not in chart().render().split("polyline")[0].split("sm-title")[0]


def test_a_line_is_interrupted_where_there_is_no_number():
    picture = chart()
    picture.line([0, 1, 2, 3, 4], [1, 2, math.inf, 2, 1], dash="4 2", marker="s")
    lines = [e for e in drawn(picture) if e.tag == "polyline"]
    assert [len(line.get("points").split()) for line in lines] == [2, 2]
    assert all(line.get("stroke-dasharray") == "4 2" for line in lines)
    assert len([e for e in drawn(picture) if e.tag == "path"]) == 4


def test_a_staircase_holds_each_value_until_the_next():
    picture = chart()
    picture.steps([0, 5, 10], [1, 2, 2], fill=True)
    (line,) = [e for e in drawn(picture) if e.tag == "polyline"]
    heights = [float(point.split(",")[1]) for point in line.get("points").split()]
    assert heights[0] == heights[1] > heights[2] == heights[3] == heights[4]
    assert len([e for e in drawn(picture) if e.tag == "polygon"]) == 1
    empty = chart()
    empty.steps([], [], fill=True)
    assert not [e for e in drawn(empty) if e.tag in ("polygon", "polyline")]


def test_bars_and_bands_cover_what_they_say():
    picture = chart()
    picture.bars([0], 5, [2.5], label="half")
    picture.bars([5], 5, [5], bases=[2.5], pattern=True)
    picture.band(1, 2, role="tertiary", label="green zone")
    boxes = [e for e in drawn(picture) if e.tag == "rect"]
    wide, first, second = boxes
    assert float(wide.get("width")) > 2 * float(first.get("width")) - 1
    assert float(first.get("height")) == pytest.approx(float(second.get("height")), abs=0.2)
    assert second.get("fill") == "none" and second.get("stroke-dasharray")


def test_marks_rules_and_notes_write_beside_themselves_and_inside():
    picture = chart(title="t")
    for at in (2, 9):
        picture.rule(at, label=f"x {at}")
        picture.dot(at, 2, label=f"dot {at}", marker="^")
    picture.rule(4.9, up=False, label="high")
    picture.rule(1, up=False, label="low")
    picture.dot(5, 99, label="far above", marker="x")
    picture.note(5, 2.5, "middle")
    texts = {t.text: t for t in drawn(picture) if t.tag == "text" and t.text}
    assert texts["x 2"].get("text-anchor") == "start"
    assert texts["x 9"].get("text-anchor") == "end"
    assert {"dot 2", "dot 9", "high", "low", "far above", "middle"} <= set(texts)
    assert all(0 < float(t.get("y") or 1) < picture.height for t in texts.values())
    quiet = chart()
    quiet.rule(1)
    assert len(re.findall("<text", quiet.render())) == len(re.findall("<text", chart().render()))


@pytest.mark.parametrize(("value", "nice"), [(0.7, 0.75), (1, 1), (31, 50), (0, 1), (math.inf, 1)])
def test_axes_end_at_round_numbers(value, nice):
    assert round_up(value) == nice


def test_numbers_on_an_axis_can_be_short():
    axis = Axis(0.1, 1e6, log=True, ticks=(0.1, 500, 20_000, 1e6), short=True)
    assert [name for _, name in axis.shown_ticks()] == ["0.1", "500", "20k", "1M"]


def test_a_label_goes_where_neither_a_line_nor_another_label_is():
    picture = chart()
    picture.line([0, 10], [2.5, 2.5])
    picture.line([0, 5], [5, 2.5])
    for _ in range(2):
        picture.dot(5, 2.5, label="you: 41.3 ms")
    first, second = (
        (float(t.get("x")), float(t.get("y")))
        for t in drawn(picture)
        if t.tag == "text" and t.text == "you: 41.3 ms"
    )
    boxes = np.array([svg._box("you: 41.3 ms", *at, "start") for at in (first, second)])
    assert first != second and svg._crossings(boxes, np.array(picture._segments)).sum() == 0


@pytest.mark.parametrize(
    ("line", "touches"),
    [
        ((0, 0, 100, 100), True),  # through it
        ((50, 0, 50, 100), True),
        ((0, 0, 100, 5), False),  # above
        ((0, 60, 60, 120), False),  # past its corner
        ((45, 50, 55, 50), True),  # within
    ],
)
def test_a_segment_touches_a_box_or_not(line, touches):
    box = np.array([[40.0, 40.0, 60.0, 60.0]])
    assert bool(svg._crossings(box, np.array([line], dtype=float))[0]) == touches
