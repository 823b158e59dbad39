from dataclasses import replace

import ipywidgets as widgets
import pytest

from servemath_helpers.labs.frame.lock import Option, Question
from servemath_helpers.labs.frame.part_box import PartBox, Picture, Shown, control_widget
from servemath_helpers.labs.frame.session import Control, Part

CONTROLS = {
    Control("lam_rps", "Arrivals", 40.0, low=0, high=200, step=0.25, unit="1/s"): (
        widgets.FloatSlider
    ),
    Control("B", "Batch", 8, low=1, high=64): widgets.IntSlider,
    Control("policy", "Policy", "a", choices=(("a", "a"), ("b", "b"))): widgets.ToggleButtons,
    Control("model", "Model", 0, choices=tuple((str(n), n) for n in range(6))): widgets.Dropdown,
    Control("pipelined", "Pipelined", False): widgets.Checkbox,
}
ASKED = Question("q", "Which?", (Option("a", "A", 1), Option("b", "B", 2)), "b")
PART = Part("p", "Part", (ASKED,), {}, tuple(CONTROLS), (replace(ASKED, key="r"),))
BEFORE = Picture(
    task="<p>do</p>",
    questions={"q": Shown()},
    settings={control.key: control.default for control in CONTROLS},
)
LOCKED = replace(
    BEFORE, locked=True, questions={"q": Shown("a", 4, "No.")}, reflections={"r": Shown()}
)
MOVED = {"lam_rps": 80.25, "B": 2, "policy": "b", "model": 3, "pipelined": True}


@pytest.mark.parametrize(
    ("control", "kind"), CONTROLS.items(), ids=[control.key for control in CONTROLS]
)
def test_every_control_has_its_widget_with_a_label(control, kind):
    widget = control_widget(control)
    assert type(widget) is kind
    assert widget.value == control.default and control.label in widget.description


def test_a_slider_writes_as_many_decimals_as_its_step_has():
    assert control_widget(next(iter(CONTROLS))).readout_format == ".2f"


def test_a_slider_of_whole_numbers_counts_in_whole_numbers():
    slider = control_widget(Control("x", "X", 40.0, low=5.0, high=400.0, step=5.0))
    assert type(slider) is widgets.IntSlider
    assert (slider.value, slider.min, slider.max, slider.step) == (40, 5, 400, 5)


@pytest.fixture
def acts():
    return []


@pytest.fixture
def box(acts):
    return PartBox(PART, lambda step, *what, **settings: acts.append((step, *what, settings)))


def test_what_a_box_draws_it_does_not_take_for_an_answer(box, acts):
    """Code sets the same widgets as a learner does: an echo must not come back as a step."""
    shown = replace(
        LOCKED,
        settings=MOVED,
        tables=True,
        reflections={"r": Shown("b", None, "Yes.")},
        panes="<p>cards</p>",
    )
    for picture in (BEFORE, LOCKED, shown, LOCKED, BEFORE, shown):
        box.draw(picture)
    assert acts == []
    assert {key: widget.value for key, widget in box.controls.items()} == MOVED
    assert (box.questions["q"].options.value, box.questions["q"].confidence.value) == ("a", 4)
    assert box.reflections["r"].options.value == "b" and box.tables.value
    assert box.panes.value == "<p>cards</p>" and box.picture is shown


@pytest.mark.parametrize("picture", [None, BEFORE], ids=["not drawn yet", "not locked"])
def test_a_hidden_control_is_moved_by_nobody(box, acts, picture):
    if picture is not None:
        box.draw(picture)
    for key, value in MOVED.items():
        box.controls[key].value = value
    if picture is None:
        box.tables.value = True
    assert acts == []


def test_a_moved_control_is_one_step_and_its_echo_none(box, acts):
    box.draw(LOCKED)
    for key, value in MOVED.items():
        box.controls[key].value = value
    box.tables.value = True
    assert acts == [
        *(("adjust", {key: value}) for key, value in MOVED.items()),
        ("show_tables", True, {}),
    ]
    box.draw(replace(LOCKED, settings=MOVED, tables=True))
    assert len(acts) == len(MOVED) + 1


def test_an_answer_is_a_step_with_what_is_said_beside_it(box, acts):
    box.draw(BEFORE)
    choice = box.questions["q"]
    choice.confidence.value = 3  # alone no answer
    choice.options.value = "b"
    box.draw(LOCKED)
    box.reflections["r"].options.value = "a"
    box.lock.click()
    box.test.click()
    box.reset.click()
    steps = [("predict", "q", "b", 3, {}), ("reflect", "r", "a", {})]
    assert acts == [*steps, ("lock", {}), ("attempt", {}), ("reset", {})]


def test_what_the_lab_refuses_is_put_back(box, acts):
    box.draw(LOCKED)
    box.controls["B"].value = 3
    box.draw(LOCKED)
    assert box.controls["B"].value == 8 and len(acts) == 1


def test_the_simulator_and_the_lock_take_turns(box):
    for picture, after, lock in ((BEFORE, "none", None), (LOCKED, None, "none")):
        box.draw(picture)
        assert (box.after.layout.display, box.lock.layout.display) == (after, lock)
        assert box.questions["q"].options.disabled == picture.locked
