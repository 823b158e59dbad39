"""The frame around every lab: variants, parts, saving, and every click as a method.

What a lab computes and says is a `Lab`; its view is a `LabView` with that in `engine`.
Everything a learner can click is a method too (`choose_variant`, `predict`, `lock`, `adjust`,
`reset`, `attempt`, `reflect`, `write`, `save`, `resume`), so that a lab works from code and
with a screen reader. Each step is kept in the ledger, and a lab made anew takes up what is there.
A slider that is dragged sends its newest value only when the picture of the last one is finished:
ipywidgets holds one message in flight, so nothing queues up as long as handlers draw before they
return, which they do here.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

from servemath_helpers.labs.frame.chrome import CSS, SLIDERS, banner, footer, table
from servemath_helpers.labs.frame.keeping import FullerRun, present, runs_of, with_run
from servemath_helpers.labs.frame.ledger import Ledger, LedgerError, Saved
from servemath_helpers.labs.frame.lock import LabError, Prediction
from servemath_helpers.labs.frame.part_box import PartBox, Picture, Shown
from servemath_helpers.labs.frame.session import Attempt, Part, Session
from servemath_helpers.labs.frame.words import Words

__all__ = ["Lab", "LabView", "whoami"]

#: Controls that rest so long are kept: a drag is a hundred moves, and one write [s].
_REST_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What a lab computes and says. Texts are HTML.

    Attributes
    ----------
    key, record_version : str
        Its name in the ledger, and the version of what it keeps there.
    words : Words
        With `title`, `badges`, `variant_label` (what a track or context is called) and `defence`
        (what stands in the field for it while it is empty).
    variants : mapping
        Key and label of each.
    parts : callable
        From a variant to its parts.
    story, task, reality, peek : callable
        Of a session (and a part's key): who asks, what for, what the frozen scenario gave, and
        the derivation.
    panes : callable
        Of a session, a part's key, and whether tables are wanted: what follows the controls, by
        name; panes named "chart..." stand side by side.
    verdict : callable
        Of a session and a part's key: whether the settings meet the mission, and figures for
        the list of attempts.
    hud, outcome : callable
        Of a session: the fields of the footer, and what the ledger keeps.
    """

    key: str
    record_version: str
    words: Words
    variants: Mapping[str, str]
    parts: Callable[[str], Iterable[Part]]
    story: Callable[[Session], str]
    task: Callable[[Session, str], str]
    reality: Callable[[Session, str], str]
    peek: Callable[[Session, str], str]
    panes: Callable[[Session, str, bool], Mapping[str, str]]
    verdict: Callable[[Session, str], tuple[bool, Mapping[str, Any]]]
    hud: Callable[[Session], Iterable[tuple[str, str]]]
    outcome: Callable[[Session], Mapping[str, Any]]


def whoami() -> str:
    """Return the login name of the learner, "learner" where there is none."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # ImportError: no pwd, on Windows
        return "learner"


class LabView:
    """A lab as widgets over a session. Subclasses say which, in `engine`.

    Parameters
    ----------
    learner : str, optional
        Who; the login name if not given. Decides the order of options, and the ledger's key.
    variant : str, optional
        Track or context to begin with; where the learner was last if not given.
    ledger : Ledger, optional
        Where runs are kept, and taken up from.
    """

    engine: ClassVar[Lab]

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
        self._said = ("", "", "")
        self._quiet = False
        self._timer: asyncio.TimerHandle | None = None
        self._fuller = False
        self._switch(next(iter(self.engine.variants)) if variant is None else variant)
        self._take_up(variant, quiet=True)

    # --- state ---------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The present run."""
        return self._sessions[self._variant]

    @property
    def notice(self) -> str:
        """What the lab said last, as plain text."""
        return f"{self._said[1]} {self._said[2]}".strip()

    def _start(self, variant: str) -> Session:
        known = list(self.engine.variants)
        if variant not in known:
            label = self.engine.words.say("variant_label").lower()
            raise LabError(f"{label} must be one of {known}, got {variant!r}")
        return Session.start(self.engine.key, self.learner, variant, self.engine.parts(variant))

    def _switch(self, variant: str) -> None:
        if variant not in self._sessions:
            self._sessions[variant] = self._start(variant)
        self._variant = variant

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
            self._keep()
            self._draw(part)

    def _say(self, kind: str = "", title: str = "", text: str = "") -> None:
        self._said = (kind, title, text)
        if self._widget is not None:
            self._notes.value = banner(kind, title, text) if kind else ""
            self._replace.layout.display = None if self._fuller else "none"

    # --- what a learner does -----------------------------------------------------------------

    def choose_variant(self, variant: str) -> None:
        """Go to another track or context; runs already begun are kept."""
        if variant != self._variant:  # what code chooses, the buttons choose again
            self._switch(variant)
            self._say()
            if Session.fullness(self.session.to_dict()):
                self._keep()  # so that the lab comes back to it
            self._lay_out()

    def list_questions(self, variant: str | None = None) -> None:
        """Print what is asked and the places of the options, going to no other variant for it.

        A part is listed when its questions are open: they tell of the parts before it.
        """
        name = self._variant if variant is None else variant
        run = self._sessions.get(name) or self._start(name)
        for part in run.parts:
            if (before := run.waits_for(part.key)) is not None:
                print(f'{part.key} opens when the prediction of "{before.title}" is locked')
                continue
            for asked in part.questions:
                print(f"{part.key} {asked.key}: {asked.prompt}")
                for place, option in enumerate(asked.options, 1):
                    print(f"    {place}: {option.label}")

    def predict(
        self, part: str, question: str, option: str | int, confidence: int | None = None
    ) -> None:
        """Choose an option by its place in the list, counted from 1, or by its key."""
        self._step(lambda run: run.predict(part, question, option, confidence), part)

    def lock(self, part: str) -> None:
        """Lock a part's predictions; its simulator appears."""
        self._step(lambda run: run.lock(part), part)

    def adjust(self, part: str, **settings: Any) -> None:
        """Move controls."""
        try:
            run = self.session.adjust(part, **settings)
        except LabError:
            self._step(lambda run: run.adjust(part, **settings), part)
            return
        if run is not self.session:
            self._sessions[self._variant] = run
            self._soon()
            self._follow(part)

    def reset(self, part: str) -> None:
        """Put a part's controls back."""
        self._step(lambda run: run.reset(part), part)

    def attempt(self, part: str) -> None:
        """Put the present setting to the test; this counts as an iteration."""

        def step(run: Session) -> Session:
            run.prediction(part, run.part(part).questions[0].key)  # refuses before the lock
            return run.attempt(part, *self.engine.verdict(run, part))

        self._step(step, part)

    def show_tables(self, part: str, wanted: bool) -> None:
        """Write the numbers of a part's pictures as tables too, or no more."""
        self._follow(part, wanted)

    def reflect(self, part: str, question: str, option: str | int) -> None:
        """Answer a reflection, by place or key."""
        self._step(lambda run: run.reflect(part, question, option), part)

    def write(self, text: str) -> None:
        """Write the free text."""
        self._step(lambda run: run.write(text))

    def save(self, *, replace: bool = False) -> bool:
        """Write the run to the ledger; return whether that worked.

        A fuller run there stays, unless `replace` says that this one may take its place.
        """
        saved = self._keep(replace=replace)
        if saved is not None:
            self._say("ok", "Saved", f"as {saved.key} in {saved.path}. {' '.join(saved.messages)}")
        self._draw(None)
        return saved is not None

    def resume(self) -> bool:
        """Take up what the ledger holds, for what was done here; return whether there was a run."""
        return self._take_up(None)

    # --- keeping -----------------------------------------------------------------------------

    def _soon(self) -> None:
        """Keep the run when its controls have rested; in a script, with the next step."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(_REST_S, self._keep_now)

    def _keep_now(self) -> None:
        self._keep()
        self._draw(None)

    def _keep(self, *, replace: bool = False) -> Saved | None:
        """Write the run to the ledger, or say why that cannot be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        run, engine = self.session, self.engine

        def change(record: Mapping[str, Any] | None) -> dict[str, Any]:
            return with_run(record, run, engine.outcome(run), replace=replace)

        try:
            saved = self.ledger.update(engine.key, self.learner, change, engine.record_version)
        except FullerRun as error:
            self._fuller = True
            text = f"{error}. Take that one up, or put this one in its place."
            self._say("fail", "Not saved:", text)
            return None
        except LedgerError as error:
            self._say("fail", "Not saved.", str(error))
            return None
        self._fuller = False
        self._sessions[run.variant] = _at(run, saved.saved_at)
        if saved.messages:
            self._say("info", "Saved.", " ".join(saved.messages))
        return saved

    def _refuses(self, variant: str, kept: Mapping[str, Any]) -> str:
        """Return why a run that fits the questions cannot be taken up all the same."""
        return ""

    def _take_up(self, variant: str | None, *, quiet: bool = False) -> bool:
        """Take up every run that the ledger holds, and go to the variant, or to the last one."""
        taken, failed = {}, []
        try:
            record = self.ledger.load(self.engine.key, self.learner)
            kept = runs_of(record)
        except (LedgerError, LabError) as error:
            self._say("fail", "The saved run cannot be taken up:", str(error))
            return False
        if record is None:
            if not quiet:
                self._say("info", "Nothing to take up:", "the ledger holds no run of yours.")
            return False
        for name, run in kept.items():
            try:
                if reason := self._refuses(name, run):
                    raise LabError(reason)
                # Restored, it is what the ledger holds: saved, until something changes.
                taken[name] = _at(self._start(name).restore(run["session"]), record["saved_at"])
            except (LabError, LookupError, TypeError) as error:
                failed.append(str(error))
        self._fuller = False
        self._sessions.update(taken)
        last = variant or present(record)
        if last in taken:
            self._switch(last)
        self._lay_out()
        if failed:
            self._say("fail", "A saved run cannot be taken up:", "; ".join(failed))
        else:
            earlier = record["record_version"] != self.engine.record_version
            more = " Numbers of some questions have changed since." if earlier else ""
            text = f"your run saved at {record['saved_at']}. What is locked stays locked.{more}"
            self._say("ok", "Taken up:", text)
        return not failed

    # --- widgets ---------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The whole lab as one widget, built when first asked for."""
        if self._widget is None:
            self._build()
        return self._widget

    def show(self) -> None:
        """Display the lab, and give its sliders the names that screen readers need."""
        from IPython.display import HTML, display

        page = self.widget, HTML(SLIDERS)  # type: ignore[no-untyped-call, unused-ignore]
        display(*page)  # type: ignore[no-untyped-call, unused-ignore]

    def box(self, part: str) -> PartBox:
        """Return the widgets of a part; for tests and for those who want to rearrange them."""
        self.widget  # noqa: B018 - builds them
        return self._boxes[self._variant][part]

    def _build(self) -> None:
        words = self.engine.words
        wide = {"description_width": "initial"}
        self._notes, self._story, self._foot = (widgets.HTML() for _ in range(3))
        self._variants = widgets.ToggleButtons(
            options=[(label, key) for key, label in self.engine.variants.items()],
            value=self._variant,
            description=words.say("variant_label"),
            style=wide,
        )
        self._variants.observe(lambda change: self.choose_variant(change["new"]), names="value")
        self._where = widgets.ToggleButtons(description="Go to", style=wide)
        self._where.observe(lambda _: self._turn(), names="value")
        self._stage = widgets.VBox()
        self._text = widgets.Textarea(
            description="Your defence",
            placeholder=self.engine.words.say("defence"),
            tooltip="Your defence, in your own words",
            style=wide,
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
        self._replace = widgets.Button(
            description="Replace the saved run by this one", button_style="danger", icon="warning"
        )
        self._replace.on_click(lambda _: self.save(replace=True))
        for button in (self._save, self._resume, self._replace):
            button.layout.width = "auto"
        badges = [f'<span class="sm-badge">{escape(text)}</span>' for text in words.get("badges")]
        head = f"{CSS}<h2>{escape(words.say('title'))}</h2>{''.join(badges)}"
        keep = widgets.HBox([self._save, self._resume, self._replace])
        keep.layout.flex_flow = "row wrap"
        self._widget = widgets.VBox(
            [
                *(widgets.HTML(head), self._variants, self._story, self._where, self._stage),
                *(self._text, keep, self._notes, self._foot),
            ]
        )
        self._widget.add_class("sm-lab")
        self._lay_out()
        self._say(*self._said)

    def _act(self, where: tuple[str, str], step: str, *what: Any, **settings: Any) -> None:
        """Take the step that a box asks for, unless its variant is not the one shown."""
        variant, part = where
        if variant == self._variant:
            getattr(self, step)(part, *what, **settings)

    def _lay_out(self) -> None:
        """Show the present variant, if there is a page: its story and parts."""
        if self._widget is None:
            return
        variant, session = self._variant, self.session
        self._variants.value = variant
        if variant not in self._boxes:
            self._boxes[variant] = {
                part.key: PartBox(part, partial(self._act, (variant, part.key)))
                for part in session.parts
            }
        self._story.value = self.engine.story(session)
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
        box = self.box(self._where.value)
        box.draw(self._picture(self._where.value))
        self._stage.children = (box.widget,)
        self._draw(None)

    # --- drawing -----------------------------------------------------------------------------

    def _draw(self, part: str | None) -> None:
        """Draw a part anew, if there is a page, and the footer in any case."""
        if self._widget is None:
            return
        if part is not None:
            self.box(part).draw(self._picture(part))
            self._write_headings()
        self._foot.value = footer(self.engine.hud(self.session))

    def _follow(self, part: str, tables: bool | None = None) -> None:
        """Draw what follows a part's controls, and nothing else: a slider waits for this."""
        if self._widget is None:
            return
        box = self.box(part)
        if box.picture is not None:
            tables = box.picture.tables if tables is None else tables
            settings, panes = self.session.settings(part), self._panes(part, tables)
            box.draw(replace(box.picture, settings=settings, tables=tables, panes=panes))
        self._draw(None)

    def _panes(self, part: str, tables: bool) -> str:
        panes = self.engine.panes(self.session, part, tables)
        wide = [pane for name, pane in panes.items() if not name.startswith("chart")]
        charts = [f"<div>{pane}</div>" for name, pane in panes.items() if name.startswith("chart")]
        return f'{"".join(wide)}<div class="sm-panes">{"".join(charts)}</div>'

    def _picture(self, part: str) -> Picture:
        """Return what there is to show of a part."""
        run, engine, before = self.session, self.engine, self.box(part).picture
        here, locked = run.part(part), run.is_locked(part)
        if not locked and (first := run.waits_for(part)) is not None:
            text = f'Lock your prediction of "{first.title}" first: what follows tells of it.'
            closed = {asked.key: Shown() for asked in here.questions}
            return Picture(
                task=banner("info", "Not open yet.", text),
                questions=closed,
                settings=run.settings(part),
                closed=True,
            )
        answers = {
            asked.key: Shown(
                *run.chosen(part, asked.key),
                _feedback(run.prediction(part, asked.key)) if locked else "",
            )
            for asked in here.questions
        }
        picture = Picture(
            task=engine.task(run, part), questions=answers, settings=run.settings(part)
        )
        if not locked:
            return picture
        tables = before is not None and before.tables
        thoughts = {asked.key: run.reflection(part, asked.key) for asked in here.reflections}
        return replace(
            picture,
            locked=True,
            tables=tables,
            panes=self._panes(part, tables),
            reality=engine.reality(run, part),
            attempts=_attempts(run.attempts(part)),
            reflections={
                key: Shown(answer.chosen, None, _feedback(answer)) if answer else Shown()
                for key, answer in thoughts.items()
            },
            peek=engine.peek(run, part),
        )


def _at(run: Session, saved_at: str) -> Session:
    """Return a run that is in the ledger as it is."""
    return replace(run, saved_at=saved_at)


def _feedback(answer: Prediction) -> str:
    """Return what a learner reads about a locked or reflected answer."""
    said = " ".join(filter(None, (answer.feedback, answer.why)))
    if answer.correct is None:
        return banner("info", "Noted.", said)
    if answer.correct:
        return banner("ok", "Right.", said)
    told = f"{answer.feedback} Right is: {answer.right_label}. {answer.why}"
    return banner("fail", "Not so.", told.strip())


def _attempts(tried: Sequence[Attempt]) -> str:
    """Return the configurations put to the test, the newest first."""
    if not tried:
        return ""
    newest = list(enumerate(tried, start=1))[::-1]
    columns: dict[str, list[Any]] = {
        "no.": [number for number, _ in newest],
        "verdict": ["✓ passed" if one.passed else "✗ missed" for _, one in newest],
    }
    for name in tried[0].figures:
        columns[name] = [one.figures.get(name, "–") for _, one in newest]
    return table("Your attempts", columns)
