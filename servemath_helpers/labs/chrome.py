"""The widgets that both labs share: cards, banners, option lists, a lab's frame and footer.

A lab's view is a `LabView` whose hooks say what its engine computes:

- `variants()`, `parts_of(variant)`: tracks or contexts, and their `session.Part`s;
- `story(session)`, `task(session, part)`, `reality(session, part)`, `peek(session, part)`:
  HTML texts;
- `instruments(session, part)`: pane name -> HTML (cards, banners, SVG, an ``<img>`` from
  `picture`), drawn anew whenever a control moves;
- `verdict(session, part)`: (passed, figures) when the learner puts a setting to the test;
- `hud(session)`: the footer's fields; `outcome(session)`: what the ledger keeps.

Everything a learner can click is a method too (`choose_variant`, `predict`, `lock`, `adjust`,
`reset`, `attempt`, `reflect`, `write`, `save`, `resume`), so that a lab works from code and
with a screen reader. A slider that is dragged sends its newest value only when the picture of
the last one is finished: ipywidgets holds one message in flight, so nothing queues up as long
as handlers draw before they return, which they do here.
"""

from __future__ import annotations

import base64
import getpass
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

from servemath_helpers.labs.ledger import Ledger, LedgerError
from servemath_helpers.labs.lock import LabError, Question
from servemath_helpers.labs.session import Control, Part, Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CSS",
    "LabView",
    "attempts_table",
    "banner",
    "cards",
    "control_widget",
    "escape",
    "footer",
    "peek",
    "picture",
    "table",
    "whoami",
]

#: How a lab looks. Colours come from the JupyterLab theme, so that both themes read well.
CSS = """<style>
.sm-lab{--sm-ink:var(--jp-ui-font-color1,#1a1a1a);--sm-soft:var(--jp-ui-font-color2,#555);
--sm-line:var(--jp-border-color1,#bbb);--sm-card:var(--jp-layout-color2,#f2f2f2);
--sm-paper:var(--jp-layout-color1,#fff);color:var(--sm-ink);max-width:1180px;
font-size:var(--jp-ui-font-size1,13px);line-height:1.45}
.sm-lab .widget-html,.sm-lab .widget-htmlmath,.sm-lab .jupyter-widgets.widget-html-content
{height:auto;overflow:visible}
.sm-lab .widget-html-content{line-height:1.45;font-size:14px;overflow-wrap:anywhere;
white-space:normal}
.sm-lab h2,.sm-lab h3,.sm-lab h4{margin:.5em 0 .3em;line-height:1.25;color:var(--sm-ink)}
.sm-lab h2{font-size:22px}.sm-lab h3{font-size:18px}.sm-lab h4{font-size:15px}
.sm-lab p{margin:.35em 0;max-width:78ch}
.sm-badge{display:inline-block;border:1px solid var(--sm-line);border-radius:10px;
padding:1px 9px;margin:0 6px 4px 0;font-size:12.5px;color:var(--sm-ink)}
.sm-cards{display:flex;flex-wrap:wrap;gap:8px;margin:6px 0}
.sm-card{flex:1 1 112px;min-width:104px;background:var(--sm-card);border-radius:6px;
padding:7px 10px;border-left:4px solid var(--sm-line)}
.sm-card b{display:block;font-size:19px;line-height:1.25;font-variant-numeric:tabular-nums}
.sm-card span,.sm-card small{display:block;color:var(--sm-soft);font-size:12.5px}
.sm-good{border-left-color:#029e73}.sm-bad{border-left-color:#d55e00}
.sm-banner{border:1px solid var(--sm-line);border-left-width:6px;border-radius:5px;
padding:7px 12px;margin:6px 0;background:var(--sm-paper);color:var(--sm-ink)}
.sm-banner b{margin-right:.4em}
.sm-fail{border-left-color:#d55e00;background:rgba(213,94,0,.12)}
.sm-ok{border-left-color:#029e73;background:rgba(2,158,115,.10)}
.sm-info{border-left-color:#0173b2;background:rgba(1,115,178,.09)}
.sm-chart{width:100%;height:auto;display:block;max-width:640px;color:var(--sm-ink)}
.sm-chart text{fill:currentColor;font:12px var(--jp-ui-font-family,sans-serif)}
.sm-chart .sm-title{font-size:13.5px;font-weight:600}
.sm-chart .sm-halo{paint-order:stroke;stroke:var(--sm-paper);stroke-width:3px;
stroke-linejoin:round}
.sm-grid{stroke:currentColor;stroke-opacity:.13}.sm-axis{stroke:currentColor;stroke-opacity:.6}
.sm-mark{stroke:var(--sm-paper);stroke-width:1}path.sm-mark{stroke-width:1.6}
.sm-panes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));
gap:8px 14px}
.sm-lab img{max-width:100%;height:auto;background:#fff;border-radius:5px}
.sm-lab table.sm-table{border-collapse:collapse;margin:6px 0;font-size:13px;
font-variant-numeric:tabular-nums}
.sm-table caption{text-align:left;font-weight:600;padding:2px 0}
.sm-table th,.sm-table td{overflow-wrap:normal;
border:1px solid var(--sm-line);padding:2px 9px;text-align:right;
color:var(--sm-ink)}
.sm-table th{background:var(--sm-card)}
.sm-scroll{overflow-x:auto}
.sm-hud{display:flex;flex-wrap:wrap;gap:4px 0;background:#12222e;color:#fff;border-radius:6px;
padding:7px 6px;margin-top:8px;font-size:12.5px}
.sm-hud div{padding:0 10px;border-right:1px solid #50606c;white-space:nowrap}
.sm-hud div:last-child{border-right:0}
.sm-hud span{color:#b9c7d1;margin-right:5px}.sm-hud b{font-variant-numeric:tabular-nums}
.sm-peek summary{cursor:pointer;font-weight:600;padding:4px 0}
.sm-peek summary:focus-visible{outline:2px solid #0173b2}
.sm-lab .widget-radio{width:auto;max-width:100%;height:auto}
.sm-lab .widget-radio-box{max-width:860px;margin:0}
.sm-lab .widget-radio-box label{display:flex;flex-direction:row-reverse;
justify-content:flex-end;align-items:flex-start;gap:8px;height:auto;
line-height:1.35;white-space:normal;padding:3px 0;font-size:14px;color:var(--sm-ink);margin:0}
.sm-lab .widget-radio-box label input{position:static;flex:none;float:none;margin:1px 0 0 2px;
width:16px;height:16px}
.sm-lab .widget-toggle-buttons .widget-toggle-button{width:auto;min-width:0;padding:0 12px}
.sm-lab .widget-toggle-buttons{width:auto;height:auto;display:flex;flex-wrap:nowrap;
align-items:center}
.sm-lab .widget-toggle-buttons>div{display:flex;flex-wrap:wrap}
.sm-lab .widget-toggle-buttons>.widget-label{padding-right:8px;flex:none}
.sm-controls .widget-toggle-buttons>.widget-label{text-align:right}
.sm-inbar{fill:#fff!important;paint-order:stroke;stroke:rgba(0,0,0,.7);stroke-width:3px}
.sm-lab .widget-slider,.sm-lab .widget-dropdown{width:100%;max-width:520px}
.sm-lab .widget-label{color:var(--sm-ink)}
.sm-lab .widget-textarea{width:100%;max-width:860px}
.sm-lab .jupyter-button{height:auto;min-height:30px;line-height:1.3;padding:4px 14px}
.sm-lab .jupyter-button:focus-visible{outline:2px solid #0173b2;outline-offset:1px}
.sm-controls{display:grid!important;
grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:0 18px}
</style>"""


def escape(text: Any) -> str:
    """Return text that is safe inside HTML.

    Parameters
    ----------
    text : any
        Written as text.

    Returns
    -------
    str
        With <, >, & and quotes replaced.

    Examples
    --------
    >>> escape("rho < 1")
    'rho &lt; 1'
    """
    return html.escape(str(text))


def whoami() -> str:
    """Return the name under which this computer knows the learner.

    Returns
    -------
    str
        The login name, or "learner" where there is none.

    Examples
    --------
    >>> whoami() != ""
    True
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "learner"


def cards(items: Iterable[tuple[str, str, str] | tuple[str, str, str, bool | None]]) -> str:
    """Return a row of cards, each with a name, a value and a note.

    Parameters
    ----------
    items : iterable of tuple
        Name, value, note, and optionally True (good, ✓), False (bad, ✗) or None.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<b>80 ✓</b>" in cards([("In flight", "80", "requests", True)])
    True
    """
    shown = []
    for name, value, note, *rest in items:
        good = rest[0] if rest else None
        mark = {True: " ✓", False: " ✗", None: ""}[good]
        kind = {True: " sm-good", False: " sm-bad", None: ""}[good]
        shown.append(
            f'<div class="sm-card{kind}"><span>{escape(name)}</span>'
            f"<b>{escape(value)}{mark}</b><small>{escape(note)}</small></div>"
        )
    return f'<div class="sm-cards">{"".join(shown)}</div>'


def banner(kind: str, title: str, text: str = "") -> str:
    """Return a banner: a failure, a success or a piece of news.

    Parameters
    ----------
    kind : {"fail", "ok", "info"}
        What it says; shown by a sign as well as by a colour.
    title, text : str
        Headline and explanation, plain text.

    Returns
    -------
    str
        HTML that screen readers announce.

    Examples
    --------
    >>> 'data-banner="fail"' in banner("fail", "Unstable", "More arrives than leaves.")
    True
    """
    sign = {"fail": "✗", "ok": "✓", "info": "→"}[kind]
    role = "alert" if kind == "fail" else "status"
    return (
        f'<div class="sm-banner sm-{kind}" role="{role}" data-banner="{kind}">'
        f'<b><span aria-hidden="true">{sign}</span> {escape(title)}</b>{escape(text)}</div>'
    )


def table(caption: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """Return a table that stands in for a picture.

    Parameters
    ----------
    caption : str
        What it shows.
    columns : mapping of str to sequence
        Heading to cells, all of one length.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<td>7</td>" in table("Batches", {"B": [7]})
    True
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return (
        f'<div class="sm-scroll"><table class="sm-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def peek(title: str, body: str) -> str:
    """Return a derivation that the reader opens on demand.

    Parameters
    ----------
    title : str
        What it derives.
    body : str
        HTML; mathematics between dollar signs.

    Returns
    -------
    str
        HTML for `widgets.HTMLMath`.

    Examples
    --------
    >>> peek("Why?", "Because $L = λW$.").startswith("<details")
    True
    """
    return f'<details class="sm-peek"><summary>MathPeek · {escape(title)}</summary>{body}</details>'


def footer(fields: Iterable[tuple[str, str]]) -> str:
    """Return the line of a lab's state that stands at its foot.

    Parameters
    ----------
    fields : iterable of (str, str)
        Name and value.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<b>80</b>" in footer([("L", "80")])
    True
    """
    shown = "".join(
        f'<div data-hud="{escape(name)}"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in fields
    )
    return f'<div class="sm-hud" role="group" aria-label="State of the lab">{shown}</div>'


def picture(fig: Figure, alt: str, dpi: int = 90) -> str:
    """Return a matplotlib figure as an ``<img>`` with alt text, for a pane.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        Make it once with ``matplotlib.figure.Figure``, update its artists, and call this
        again: that is twice as fast as a new figure.
    alt : str
        What it shows.
    dpi : int, optional
        Dots per inch.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> picture(Figure(figsize=(1, 1)), "An empty figure").startswith('<img alt="An empty')
    True
    """
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


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
    if not isinstance(control.default, int):
        # As many decimals as the step has: 0.25 needs two.
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


class _PartBox:
    """One part: question, lock, instruments, test, reflection, derivation."""

    def __init__(self, view: LabView, part: Part) -> None:
        self._view, self.part, self._quiet = view, part, False
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
        self.test.layout.width = "auto"
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
        buttons.layout.flex_flow = "row wrap"
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
        if not self._quiet:
            self._view.adjust(self.part.key, **{key: change["new"]})

    def _reflected(self, key: str, option: str, _: int | None) -> None:
        self._view.reflect(self.part.key, key, option)

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


class LabView:
    """A lab as widgets over a session. Subclasses say what their engine computes.

    Parameters
    ----------
    learner : str, optional
        Who; the login name if not given. Decides the order of options, and the ledger's key.
    variant : str, optional
        Track or context to begin with.
    ledger : Ledger, optional
        Where runs are kept.
    """

    lab: ClassVar[str]
    title: ClassVar[str]
    variant_label: ClassVar[str] = "Track"
    record_version: ClassVar[str] = "1"

    def __init__(
        self,
        learner: str | None = None,
        variant: str | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.learner = (learner or "").strip().replace("/", "-") or whoami()
        self.ledger = ledger if ledger is not None else Ledger()
        self._sessions: dict[str, Session] = {}
        self._boxes: dict[str, dict[str, _PartBox]] = {}
        self._widget: Any = None
        self._notice = ""
        self._quiet = False
        self._variant = ""
        self._switch(self.variants()[0][1] if variant is None else variant)

    # --- hooks ---------------------------------------------------------------------------

    def variants(self) -> Sequence[tuple[str, str]]:
        """Return (label, key) of each track or context."""
        raise NotImplementedError

    def parts_of(self, variant: str) -> Iterable[Part]:
        """Return the parts of a track or context."""
        raise NotImplementedError

    def head(self) -> str:
        """Return HTML below the title: badges, recommended reading."""
        return ""

    def story(self, session: Session) -> str:
        """Return HTML that sets the scene of this variant."""
        return ""

    def task(self, session: Session, part: str) -> str:
        """Return HTML that sets a part's task."""
        return ""

    def reality(self, session: Session, part: str) -> str:
        """Return HTML that holds the prediction against the frozen scenario's result."""
        return ""

    def instruments(
        self, session: Session, part: str, *, tables: bool = False
    ) -> Mapping[str, str]:
        """Return HTML by pane; panes named "chart..." stand side by side."""
        raise NotImplementedError

    def peek(self, session: Session, part: str) -> str:
        """Return a part's derivation."""
        return ""

    def verdict(self, session: Session, part: str) -> tuple[bool, Mapping[str, Any]]:
        """Return whether the present settings meet the mission, and figures for the log."""
        raise NotImplementedError

    def hud(self, session: Session) -> Iterable[tuple[str, str]]:
        """Return name and value of each field of the footer."""
        raise NotImplementedError

    def outcome(self, session: Session) -> Mapping[str, Any]:
        """Return what the ledger keeps of a run."""
        raise NotImplementedError

    # --- state ---------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The present run."""
        return self._sessions[self._variant]

    @property
    def notice(self) -> str:
        """What the lab said last, as plain text."""
        return self._notice

    def _known(self, variant: str) -> None:
        known = [key for _, key in self.variants()]
        if variant not in known:
            raise LabError(f"{self.variant_label.lower()} must be one of {known}, got {variant!r}")

    def _switch(self, variant: str) -> None:
        self._known(variant)
        self._variant = variant
        if variant not in self._sessions:
            self._sessions[variant] = Session.start(
                self.lab, self.learner, variant, self.parts_of(variant)
            )

    def _step(self, step: Callable[[Session], Session], part: str | None = None) -> None:
        """Take a step; what the lab refuses is said on the page when there is one, else raised."""
        try:
            new = step(self.session)
        except LabError as error:
            self._say("info", "Not yet.", str(error))
            if self._widget is None:
                raise
            self._draw(part)
            return
        if new is not self.session:
            self._sessions[self._variant] = new
            self._say()
            self._draw(part)

    def _say(self, kind: str = "", title: str = "", text: str = "") -> None:
        self._notice = f"{title} {text}".strip()
        if self._widget is not None:
            self._notes.value = banner(kind, title, text) if kind else ""

    # --- what a learner does -----------------------------------------------------------------

    def choose_variant(self, variant: str) -> None:
        """Go to another track or context; runs already begun are kept."""
        self._switch(variant)
        self._say()
        if self._widget is not None:
            self._lay_out()

    def predict(self, part: str, question: str, option: str, confidence: int | None = None) -> None:
        """Choose an option."""
        self._step(lambda run: run.predict(part, question, option, confidence), part)

    def lock(self, part: str) -> None:
        """Lock a part's predictions; its simulator appears."""
        self._step(lambda run: run.lock(part), part)

    def adjust(self, part: str, **settings: Any) -> None:
        """Move controls."""
        try:
            new = self.session.adjust(part, **settings)
        except LabError:
            self._step(lambda run: run.adjust(part, **settings), part)
            return
        if new is not self.session:
            self._sessions[self._variant] = new
            self._draw_moving(part, settings)

    def reset(self, part: str) -> None:
        """Put a part's controls back."""
        self._step(lambda run: run.reset(part), part)

    def attempt(self, part: str) -> None:
        """Put the present setting to the test; this counts as an iteration."""

        def step(run: Session) -> Session:
            run.prediction(part, run.part(part).questions[0].key)  # refuses before the lock
            return run.attempt(part, *self.verdict(run, part))

        self._step(step, part)

    def reflect(self, part: str, question: str, option: str) -> None:
        """Answer a reflection."""
        self._step(lambda run: run.reflect(part, question, option), part)

    def write(self, text: str) -> None:
        """Write the free text."""
        self._step(lambda run: run.write(text))

    def save(self) -> bool:
        """Write the run to the ledger; return whether that worked."""
        try:
            run, saved = self.session.save(
                self.ledger, self.outcome(self.session), version=self.record_version
            )
        except LedgerError as error:
            self._say("fail", "Not saved.", str(error))
            self._draw_foot()
            return False
        self._sessions[self._variant] = run
        self._say("ok", "Saved", f"as {saved.key} in {saved.path}. {' '.join(saved.messages)}")
        self._draw_foot()
        return True

    def resume(self) -> bool:
        """Take up the run that the ledger holds; return whether there was one that fits."""
        try:
            record = self.ledger.load(self.lab, self.learner)
            if record is None:
                self._say("info", "Nothing to take up:", "the ledger holds no run of yours.")
                return False
            state = record["session"]
            variant = state["variant"]
            self._known(variant)
            fresh = Session.start(self.lab, self.learner, variant, self.parts_of(variant))
            # Restored, it is what the ledger holds: saved, until something changes.
            run = replace(fresh.restore(state), saved_at=record["saved_at"])
        except (LedgerError, LabError, LookupError, TypeError) as error:
            self._say("fail", "The saved run cannot be taken up:", str(error))
            return False
        self._sessions[variant] = run
        self._switch(variant)
        if self._widget is not None:
            self._lay_out()
        self._say("ok", "Taken up:", f"your run saved at {record['saved_at']}.")
        return True

    # --- widgets ---------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The whole lab as one widget, built when first asked for."""
        if self._widget is None:
            self._build()
        return self._widget

    def show(self) -> None:
        """Display the lab."""
        from IPython.display import display

        display(self.widget)  # type: ignore[no-untyped-call, unused-ignore]

    def box(self, part: str) -> _PartBox:
        """Return the widgets of a part; for tests and for those who want to rearrange them."""
        self.widget  # noqa: B018 - builds them
        return self._boxes[self._variant][part]

    def _build(self) -> None:
        self._notes = widgets.HTML()
        self._story = widgets.HTML()
        self._foot = widgets.HTML()
        labels = list(self.variants())
        self._variants = widgets.ToggleButtons(
            options=labels,
            value=self._variant,
            description=self.variant_label,
            style={"description_width": "initial"},
        )
        self._variants.observe(lambda change: self._chose(change["new"]), names="value")
        self._where = widgets.ToggleButtons(description="Go to")
        self._where.style.description_width = "initial"
        self._where.observe(lambda _: self._turn(), names="value")
        self._stage = widgets.VBox()
        self._text = widgets.Textarea(
            description="Your defence",
            placeholder="Throughput or responsiveness, and how did you size it? (optional)",
            tooltip="Your defence, in your own words",
            style={"description_width": "initial"},
            continuous_update=False,
            rows=4,
        )
        self._text.observe(lambda change: self.write(change["new"]), names="value")
        self._save = widgets.Button(
            description="Save to ledger", button_style="success", icon="save"
        )
        self._save.on_click(lambda _: self.save())
        self._resume = widgets.Button(description="Take up my saved run", icon="folder-open")
        self._resume.on_click(lambda _: self.resume())
        for button in (self._save, self._resume):
            button.layout.width = "auto"
        frame = widgets.VBox(
            [
                widgets.HTML(f"{CSS}<h2>{escape(self.title)}</h2>{self.head()}"),
                self._variants,
                self._story,
                self._where,
                self._stage,
                self._text,
                widgets.HBox([self._save, self._resume]),
                self._notes,
                self._foot,
            ]
        )
        frame.add_class("sm-lab")
        self._widget = frame
        self._lay_out()

    def _chose(self, variant: str) -> None:
        if variant != self._variant:
            self.choose_variant(variant)

    def _lay_out(self) -> None:
        """Show the present variant: its story and parts."""
        variant, session = self._variant, self.session
        self._variants.value = variant
        if variant not in self._boxes:
            self._boxes[variant] = {part.key: _PartBox(self, part) for part in session.parts}
        self._story.value = self.story(session)
        self._write_headings()
        self._text.value = session.text
        self._turn()

    def _write_headings(self) -> None:
        """Name the parts, those that are done with a mark, and stay where the learner is."""
        session, at = self.session, self._where.value
        keys = [part.key for part in session.parts]
        marks = {key: " ✓" if session.is_done(key) else "" for key in keys}
        headings = [(f"{part.title}{marks[part.key]}", part.key) for part in session.parts]
        if list(self._where.options) != headings:
            self._quiet = True  # new options move the choice to the first
            self._where.options = headings
            self._where.value = at if at in keys else keys[0]
            self._quiet = False

    def _turn(self) -> None:
        """Show the chosen part."""
        if self._quiet:
            return
        key = self._where.value
        box = self._boxes[self._variant][key]
        box.draw()
        if tuple(self._stage.children) != (box.widget,):
            self._stage.children = (box.widget,)
        self._draw_foot()

    def _draw(self, part: str | None) -> None:
        if self._widget is None:
            return
        if part is not None:
            self._boxes[self._variant][part].draw()
            self._write_headings()
        self._draw_foot()

    def _draw_moving(self, part: str, settings: Mapping[str, Any]) -> None:
        """Draw after a control moved: only what depends on it."""
        if self._widget is None:
            return
        box = self._boxes[self._variant][part]
        box.follow(settings)
        self._draw_foot()

    def _draw_foot(self) -> None:
        if self._widget is not None:
            self._foot.value = footer(self.hud(self.session))
