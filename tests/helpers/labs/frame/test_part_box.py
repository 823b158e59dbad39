import ipywidgets as widgets
import pytest

from servemath_helpers.labs.frame.part_box import control_widget
from servemath_helpers.labs.frame.session import Control

CONTROLS = (
    Control("lam_rps", "Arrivals", 40.0, low=0, high=200, step=0.25, unit="1/s"),
    Control("B", "Batch", 8, low=1, high=64),
    Control("policy", "Policy", "a", choices=(("a", "a"), ("b", "b"))),
    Control("model", "Model", 0, choices=tuple((str(n), n) for n in range(6))),
    Control("pipelined", "Pipelined", False),
)


@pytest.mark.parametrize(
    ("control", "kind"),
    list(
        zip(
            CONTROLS,
            (
                widgets.FloatSlider,
                widgets.IntSlider,
                widgets.ToggleButtons,
                widgets.Dropdown,
                widgets.Checkbox,
            ),
            strict=True,
        )
    ),
    ids=lambda value: getattr(value, "key", ""),
)
def test_every_control_has_its_widget_with_a_label(control, kind):
    widget = control_widget(control)
    assert type(widget) is kind
    assert widget.value == control.default and control.label in widget.description


def test_a_slider_writes_as_many_decimals_as_its_step_has():
    assert control_widget(CONTROLS[0]).readout_format == ".2f"


def test_a_slider_of_whole_numbers_counts_in_whole_numbers():
    slider = control_widget(Control("x", "X", 40.0, low=5.0, high=400.0, step=5.0))
    assert type(slider) is widgets.IntSlider
    assert (slider.value, slider.min, slider.max, slider.step) == (40, 5, 400, 5)
