"""The frame that both labs share: tracks, parts, saving, and every click as a method.

A lab's view is a `LabView` whose hooks say what its engine computes:

- `variants()`, `parts_of(variant)`: tracks or contexts, and each `session.Part` of one;
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

import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

from servemath_helpers.labs.frame.chrome import CSS, banner, escape, footer
from servemath_helpers.labs.frame.ledger import Ledger, LedgerError
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.frame.part_box import PartBox
from servemath_helpers.labs.frame.session import Part, Session

__all__ = ["LabView", "whoami"]


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
        self._boxes: dict[str, dict[str, PartBox]] = {}
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

    def box(self, part: str) -> PartBox:
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
            self._boxes[variant] = {part.key: PartBox(self, part) for part in session.parts}
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
