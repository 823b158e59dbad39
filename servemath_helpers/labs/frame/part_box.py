"""One part of a lab as widgets: questions, lock, controls, instruments, reflection, derivation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

from servemath_helpers.labs.frame.chrome import banner, escape, table
from servemath_helpers.labs.frame.lock import Question
from servemath_helpers.labs.frame.session import Control, Part, Session

if TYPE_CHECKING:
    from servemath_helpers.labs.frame.view import LabView

__all__ = ["PartBox", "attempts_table", "control_widget"]


def control_widget(control: Control) -> Any:
    """Return the widget for a control: slider, toggle buttons, dropdown or checkbox.

    Parameters
    ----------
    control : Control
        Its kind follows from its default and choices.

    Returns
    -------
    ipywidgets.Widget
        With `value` at the default.

    Examples
    --------
    >>> control_widget(Control("B", "Batch", 8, low=1, high=64)).value
    8
    """
    label = f"{control.label} ({control.unit})" if control.unit else control.label
    common: dict[str, Any] = {
        "description": label,
        "tooltip": control.help or label,
        "style": {"description_width": "165px"},
    }
    if control.choices:
        if len(control.choices) <= 4:
            return widgets.ToggleButtons(
                options=list(control.choices), value=control.default, **common
            )
        return widgets.Dropdown(options=list(control.choices), value=control.default, **common)
    if isinstance(control.default, bool):
        return widgets.Checkbox(value=control.default, indent=False, **common)
    step = control.step or 1
    kind, written = widgets.IntSlider, {}
    if any(value % 1 for value in (control.default, control.low or 0, control.high or 0, step)):
        # As many decimals as the step has: 0.25 needs two. Whole numbers are better kept whole:
        # a browser counts 145.00000000000003 in steps of 5.0, and a screen reader says so.
        kind = widgets.FloatSlider
        written = {"readout_format": f".{len(f'{step:g}'.partition('.')[2])}f"}
    return kind(
        value=control.default,
        min=control.low,
        max=control.high,
        step=step,
        continuous_update=True,
        **written,
        **common,
    )


def attempts_table(session: Session, part: str) -> str:
    """Return the configurations put to the test in a part, the newest first.

    Parameters
    ----------
    session : Session
        The run.
    part : str
        Key of the part.

    Returns
    -------
    str
        HTML, empty before the first attempt.

    Examples
    --------
    >>> attempts_table(Session.start("demo", "ada", "x", [Part("p", "P", (), {})]), "p")
    ''
    """
    tried = session.attempts(part)
    if not tried:
        return ""
    columns: dict[str, list[Any]] = {"no.": [], "verdict": []}
    for name in tried[0].figures:
        columns[name] = []
    for number, attempt in reversed(list(enumerate(tried, start=1))):
        columns["no."].append(number)
        columns["verdict"].append("✓ passed" if attempt.passed else "✗ missed")
        for name in tried[0].figures:
            columns[name].append(attempt.figures.get(name, "–"))
    return table("Your attempts", columns)


class _Choice:
    """One question as radio buttons, with an optional confidence and room for feedback."""

    def __init__(
        self,
        asked: Question,
        on_pick: Callable[[str, int | None], None],
        *,
        confidence: bool,
    ) -> None:
        self._on_pick, self._quiet = on_pick, False
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
        shown = [widgets.HTML(f"<p><b>{escape(asked.prompt)}</b></p>"), self.options]
        if confidence:
            shown.append(self.confidence)
        self.widget = widgets.VBox([*shown, self.feedback])
        for control in (self.options, self.confidence):
            control.observe(self._picked, names="value")

    def _picked(self, _: Any) -> None:
        if not self._quiet and self.options.value is not None:
            self._on_pick(self.options.value, self.confidence.value)

    def show(
        self, chosen: str | None, confidence: int | None, *, fixed: bool, feedback: str
    ) -> None:
        """Bring the widgets in line with the session, without answering for the learner."""
        self._quiet = True
        self.options.value, self.confidence.value = chosen, confidence
        self.options.disabled = self.confidence.disabled = fixed
        self.feedback.value = feedback
        self._quiet = False


class PartBox:
    """One part: question, lock, instruments, test, reflection, derivation."""

    def __init__(self, view: LabView, part: Part) -> None:
        self._view, self.part, self._quiet = view, part, False
        self._variant = view.session.variant
        self.task = widgets.HTML()
        self.questions = {
            asked.key: _Choice(
                asked,
                partial(view.predict, part.key, asked.key),
                confidence=True,
            )
            for asked in part.questions
        }
        self.lock = widgets.Button(
            description="Lock my prediction", button_style="primary", icon="lock"
        )
        self.lock.layout.width = "auto"
        self.lock.layout.align_self = "flex-start"
        self.lock.on_click(lambda _: view.lock(part.key))
        self.reality = widgets.HTML()
        self.controls = {control.key: control_widget(control) for control in part.controls}
        for key, widget in self.controls.items():
            widget.observe(partial(self._moved, key), names="value")
        self.reset = widgets.Button(description="Reset", icon="undo")
        self.reset.on_click(lambda _: view.reset(part.key))
        self.test = widgets.Button(
            description="Test this setting", button_style="info", icon="flag-checkered"
        )
        self.test.layout.width = self.reset.layout.width = "auto"
        self.test.on_click(lambda _: view.attempt(part.key))
        # A checkbox, not a <details>: what is open must stay open when the pane is redrawn.
        self.tables = widgets.Checkbox(description="Show numbers as tables", indent=False)
        self.tables.observe(lambda _: self.draw_instruments(), names="value")
        self.panes = widgets.HTML()
        self.attempts = widgets.HTML()
        self.reflections = {
            asked.key: _Choice(
                asked,
                partial(self._reflected, asked.key),
                confidence=False,
            )
            for asked in part.reflections
        }
        self.peek = widgets.HTMLMath()

        predict = [choice.widget for choice in self.questions.values()]
        board = widgets.VBox(list(self.controls.values()))
        board.add_class("sm-controls")
        buttons = widgets.HBox([self.test, self.reset, self.tables])
        buttons.layout.flex_flow, buttons.layout.align_items = "row wrap", "center"
        reflect = [choice.widget for choice in self.reflections.values()]
        head = [widgets.HTML("<h4>Reflect</h4>")] if reflect else []
        self.after = widgets.VBox(
            [
                self.reality,
                widgets.HTML("<h4>Simulate</h4>"),
                board,
                buttons,
                self.panes,
                self.attempts,
                *head,
                *reflect,
                self.peek,
            ]
        )
        self.widget = widgets.VBox(
            [self.task, widgets.HTML("<h4>Predict</h4>"), *predict, self.lock, self.after]
        )

    def _moved(self, key: str, change: Any) -> None:
        if self._heard():
            self._view.adjust(self.part.key, **{key: change["new"]})

    def _reflected(self, key: str, option: str, _: int | None) -> None:
        self._view.reflect(self.part.key, key, option)

    def _heard(self) -> bool:
        """Whether a moved control is the learner's doing: browsers echo what code sets."""
        session = self._view.session
        here = session.variant == self._variant
        return here and not self._quiet and session.is_locked(self.part.key)

    def draw(self) -> None:
        """Bring every widget in line with the session."""
        session, key = self._view.session, self.part.key
        locked = session.is_locked(key)
        self.task.value = self._view.task(session, key)
        for name, choice in self.questions.items():
            chosen, sure = session.chosen(key, name)
            feedback = _feedback(session.prediction(key, name)) if locked else ""
            choice.show(chosen, sure, fixed=locked, feedback=feedback)
        self.lock.layout.display = "none" if locked else None
        self.after.layout.display = None if locked else "none"
        if not locked:
            return
        self._quiet = True
        for name, value in session.settings(key).items():
            self.controls[name].value = value
        self._quiet = False
        self.draw_instruments()
        self.reality.value = self._view.reality(session, key)
        self.attempts.value = attempts_table(session, key)
        for name, choice in self.reflections.items():
            answer = session.reflection(key, name)
            choice.show(
                answer.chosen if answer else None,
                None,
                fixed=False,
                feedback=_feedback(answer) if answer else "",
            )
        self.peek.value = self._view.peek(session, key)

    def follow(self, settings: Mapping[str, Any]) -> None:
        """Draw after controls moved, by hand or from code."""
        self._quiet = True
        for name in settings:
            self.controls[name].value = self._view.session.settings(self.part.key)[name]
        self._quiet = False
        self.draw_instruments()

    def draw_instruments(self) -> None:
        """Draw what follows the controls, and nothing else: this is what a slider waits for."""
        panes = self._view.instruments(
            self._view.session, self.part.key, tables=bool(self.tables.value)
        )
        wide = [pane for name, pane in panes.items() if not name.startswith("chart")]
        charts = [pane for name, pane in panes.items() if name.startswith("chart")]
        grid = "".join(f"<div>{pane}</div>" for pane in charts)
        self.panes.value = f'{"".join(wide)}<div class="sm-panes">{grid}</div>'


def _feedback(answer: Any) -> str:
    """Return what a learner reads about a locked or reflected answer."""
    if answer.correct is None:
        return banner("info", "Noted.", f"{answer.feedback} {answer.why}".strip())
    if answer.correct:
        return banner("ok", "Right.", " ".join(filter(None, (answer.feedback, answer.why))))
    told = f"Right is: {answer.right_label}. {answer.why}".strip()
    return banner("fail", "Not so.", f"{answer.feedback} {told}".strip())
