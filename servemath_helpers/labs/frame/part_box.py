"""One part of a lab as widgets: questions, lock, controls, instruments, reflection, derivation.

A box knows no session and no view: it draws a `Picture`, and acts through one callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from types import MappingProxyType
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

from servemath_helpers.labs.frame.lock import Question
from servemath_helpers.labs.frame.session import Control, Part

__all__ = ["PartBox", "Picture", "Shown", "control_widget"]


@dataclass(frozen=True)
class Shown:
    """A question as it stands: what is chosen, how sure, and what is said to it."""

    chosen: str | None = None
    confidence: int | None = None
    feedback: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All that a part's box shows; what is behind the lock is empty before it. Texts are HTML.

    A `closed` part shows its task alone: another must be locked first.
    """

    task: str
    questions: Mapping[str, Shown]
    settings: Mapping[str, Any]
    locked: bool = False
    closed: bool = False
    tables: bool = False
    panes: str = ""
    reality: str = ""
    attempts: str = ""
    reflections: Mapping[str, Shown] = field(default_factory=lambda: MappingProxyType({}))
    peek: str = ""


def control_widget(control: Control) -> Any:
    """Return the widget for a control: slider, toggle buttons, dropdown or checkbox."""
    label = f"{control.label} ({control.unit})" if control.unit else control.label
    common: dict[str, Any] = {
        "value": control.default,
        "description": label,
        "tooltip": control.help or label,
        "style": {"description_width": "165px"},
    }
    if control.choices:
        kind = widgets.ToggleButtons if len(control.choices) <= 4 else widgets.Dropdown
        return kind(options=list(control.choices), **common)
    if isinstance(control.default, bool):
        return widgets.Checkbox(indent=False, **common)
    step = control.step or 1
    kind, written = widgets.IntSlider, {}
    if any(value % 1 for value in (control.default, control.low or 0, control.high or 0, step)):
        # As many decimals as the step has: 0.25 needs two. Whole numbers are better kept whole:
        # a browser counts 145.00000000000003 in steps of 5.0, and a screen reader says so.
        kind = widgets.FloatSlider
        written = {"readout_format": f".{len(f'{step:g}'.partition('.')[2])}f"}
    return kind(min=control.low, max=control.high, step=step, **written, **common)


class _Choice:
    """One question as radio buttons, with an optional confidence and room for feedback."""

    def __init__(
        self, asked: Question, pick: Callable[[str, int | None], None], *, confidence: bool
    ) -> None:
        self._pick, self._shown = pick, Shown()
        options = [(option.label, option.key) for option in asked.options]
        self.options = widgets.RadioButtons(options=options, value=None)
        self.options.layout.width = "auto"
        self.options.tooltip = asked.prompt
        levels = [("1 a guess", 1), ("2", 2), ("3", 3), ("4", 4), ("5 certain", 5)]
        self.confidence = widgets.ToggleButtons(
            options=levels,
            value=None,
            description="How sure are you?",
            style={"description_width": "initial"},
        )
        self.feedback = widgets.HTML()
        prompt = widgets.HTML(f"<p><b>{escape(asked.prompt)}</b></p>")
        sure = [self.confidence] if confidence else []
        self.widget = widgets.VBox([prompt, self.options, *sure, self.feedback])
        self.options.observe(partial(self._picked, "chosen"), names="value")
        self.confidence.observe(partial(self._picked, "confidence"), names="value")

    def _picked(self, what: str, change: Any) -> None:
        # What is shown already was set by code, and is nobody's answer.
        if change["new"] != getattr(self._shown, what) and self.options.value is not None:
            self._pick(self.options.value, self.confidence.value)

    def draw(self, shown: Shown, *, fixed: bool = False) -> None:
        """Show how the question stands."""
        self._shown = shown
        self.options.value, self.confidence.value = shown.chosen, shown.confidence
        self.options.disabled = self.confidence.disabled = fixed
        self.feedback.value = shown.feedback


class PartBox:
    """The widgets of one part. `act` takes the name of a step and what it needs."""

    def __init__(self, part: Part, act: Callable[..., None]) -> None:
        self._act = act
        self.picture: Picture | None = None
        self.task, self.reality, self.panes, self.attempts = (widgets.HTML() for _ in range(4))
        self.peek = widgets.HTMLMath()
        self.questions = {
            asked.key: _Choice(asked, partial(act, "predict", asked.key), confidence=True)
            for asked in part.questions
        }
        self.reflections = {
            asked.key: _Choice(asked, partial(self._reflected, asked.key), confidence=False)
            for asked in part.reflections
        }
        self.controls = {control.key: control_widget(control) for control in part.controls}
        for key, widget in self.controls.items():
            widget.observe(partial(self._moved, key), names="value")
        self.lock = self._button("lock", "Lock my prediction", "primary", "lock")
        self.lock.layout.align_self = "flex-start"
        self.test = self._button("attempt", "Test this setting", "info", "flag-checkered")
        self.reset = self._button("reset", "Reset", "", "undo")
        # A checkbox, not a <details>: what is open must stay open when the pane is redrawn.
        self.tables = widgets.Checkbox(description="Show numbers as tables", indent=False)
        self.tables.observe(self._tabled, names="value")

        predict = [choice.widget for choice in self.questions.values()]
        board = widgets.VBox(list(self.controls.values()))
        board.add_class("sm-controls")
        buttons = widgets.HBox([self.test, self.reset, self.tables])
        buttons.layout.flex_flow, buttons.layout.align_items = "row wrap", "center"
        reflect = [choice.widget for choice in self.reflections.values()]
        head = [widgets.HTML("<h4>Reflect</h4>")] if reflect else []
        simulate = [widgets.HTML("<h4>Simulate</h4>"), board, buttons, self.panes, self.attempts]
        self.after = widgets.VBox([self.reality, *simulate, *head, *reflect, self.peek])
        self.predict = widgets.VBox([widgets.HTML("<h4>Predict</h4>"), *predict, self.lock])
        self.widget = widgets.VBox([self.task, self.predict, self.after])

    def _button(self, step: str, label: str, style: str, icon: str) -> Any:
        button = widgets.Button(description=label, button_style=style, icon=icon)
        button.layout.width = "auto"
        button.on_click(lambda _: self._act(step))
        return button

    def _reflected(self, key: str, option: str, _: int | None) -> None:
        self._act("reflect", key, option)

    def _moved(self, key: str, change: Any) -> None:
        shown = self.picture
        # A browser echoes what code sets, hidden controls too: only what differs is a move.
        if shown is not None and shown.locked and change["new"] != shown.settings[key]:
            self._act("adjust", **{key: change["new"]})

    def _tabled(self, change: Any) -> None:
        if self.picture is not None and change["new"] != self.picture.tables:
            self._act("show_tables", change["new"])

    def draw(self, picture: Picture) -> None:
        """Show a picture; widgets that show it already send nothing."""
        self.picture = picture
        self.task.value = picture.task
        for key, shown in picture.questions.items():
            self.questions[key].draw(shown, fixed=picture.locked)
        self.lock.layout.display = "none" if picture.locked else None
        self.after.layout.display = None if picture.locked else "none"
        self.predict.layout.display = "none" if picture.closed else None
        for key, value in picture.settings.items():
            self.controls[key].value = value
        self.tables.value = picture.tables
        self.panes.value, self.reality.value = picture.panes, picture.reality
        self.attempts.value, self.peek.value = picture.attempts, picture.peek
        for key, shown in picture.reflections.items():
            self.reflections[key].draw(shown)
