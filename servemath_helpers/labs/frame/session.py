"""The state of one learner's run through a lab: predict, lock, adjust, reflect, save.

A `Session` never changes; each step returns a new one. An engine supplies each `Part`
(questions, frozen scenario, controls, reflections) and the views only call these steps,
so that a lab can be driven from code:

>>> from servemath_helpers.labs.frame.lock import Option, Question
>>> asked = Question("busier", "Twice the arrivals?",
...                  (Option("same", "80", 80), Option("more", "160", 160)), "more")
>>> part = Part("part1", "Requests in flight", questions=(asked,), scenario={"lam_rps": 40},
...             controls=(Control("lam_rps", "Arrivals", 40.0, low=0.0, high=200.0),))
>>> run = Session.start("demo", "ada", "cloud", [part])
>>> run.adjust("part1", lam_rps=80)
Traceback (most recent call last):
    ...
servemath_helpers.labs.frame.lock.LabError: lock your prediction of "Requests in flight" first
>>> run = run.predict("part1", "busier", "more", confidence=4).lock("part1")
>>> run.adjust("part1", lam_rps=80).settings("part1")["lam_rps"]
80.0
>>> run.prediction("part1", "busier").correct
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from servemath_helpers._validate import finite
from servemath_helpers.labs.frame.lock import LabError, Prediction, Question, freeze, lock_in, thaw

__all__ = ["Attempt", "Control", "Part", "Session"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True)
class Control:
    """A setting that the learner may change, and where it begins.

    `default` is a number, a bool, or a value of `choices` (label and value of each); an int
    means whole numbers. `help` is one line for those who hover or listen.
    """

    key: str
    label: str
    default: Any
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[tuple[str, Any], ...] = ()
    unit: str = ""
    help: str = ""

    def __post_init__(self) -> None:
        self.accept(self.default)

    def accept(self, value: Any) -> Any:
        """Return `value` as this control keeps it; LabError if it is out of range."""
        if self.choices:
            for _, allowed in self.choices:
                if value == allowed and isinstance(value, bool) == isinstance(allowed, bool):
                    return allowed
            known = ", ".join(repr(allowed) for _, allowed in self.choices)
            raise LabError(f"{self.key} must be one of {known}, got {value!r}")
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise LabError(f"{self.key} must be True or False, got {value!r}")
            return value
        try:
            amount = finite(self.key, value)
        except ValueError as error:
            raise LabError(str(error)) from None
        if (self.low is not None and amount < self.low) or (
            self.high is not None and amount > self.high
        ):
            raise LabError(f"{self.key} must be from {self.low} to {self.high}, got {value!r}")
        if isinstance(self.default, int):
            if amount != int(amount):
                raise LabError(f"{self.key} must be a whole number, got {value!r}")
            return int(amount)
        # Steps of a twentieth add up to 0.15000000000000002 in a browser.
        return float(f"{amount:.12g}")


@dataclass(frozen=True)
class Part:
    """One part (or act) of a lab, as the engine defines it.

    All `questions` must be answered and locked before `controls` may be touched, and before those
    of the next part can be: what a part shows tells of the parts before it. `scenario`, a mapping
    or dataclass, is what they are about, and predictions keep a copy. `reflections` are asked at
    the end; answering again replaces the answer.
    """

    key: str
    title: str
    questions: tuple[Question, ...]
    scenario: Any
    controls: tuple[Control, ...] = ()
    reflections: tuple[Question, ...] = ()

    def control(self, key: str) -> Control:
        """Return the control with this key; LabError if there is none."""
        for control in self.controls:
            if control.key == key:
                return control
        known = ", ".join(control.key for control in self.controls)
        raise LabError(f"{self.key} has no setting {key!r}; it has {known}")

    def defaults(self) -> dict[str, Any]:
        """Return every control's default."""
        return {control.key: control.accept(control.default) for control in self.controls}


@dataclass(frozen=True)
class Attempt:
    """One configuration put to the test, and what the engine measured: kept, never changed."""

    settings: Mapping[str, Any]
    passed: bool
    figures: Mapping[str, Any] = field(default_factory=_nothing)


def _with(mapping: Mapping[str, Any], **changes: Any) -> Mapping[str, Any]:
    return MappingProxyType({**mapping, **changes})


@dataclass(frozen=True)
class Session:
    """A learner's run through one lab. Build it with `Session.start`.

    `variant` is which track or context, `text` the free text of the last reflection, and
    `saved_at` when this very state was written to a ledger, None if it was not.
    """

    lab: str
    learner: str
    variant: str
    parts: tuple[Part, ...]
    text: str = ""
    saved_at: str | None = None
    _chosen: Mapping[str, tuple[str, int | None]] = field(default_factory=_nothing)
    _locked: Mapping[str, tuple[Prediction, ...]] = field(default_factory=_nothing)
    _settings: Mapping[str, Mapping[str, Any]] = field(default_factory=_nothing)
    _reflected: Mapping[str, Prediction] = field(default_factory=_nothing)
    _attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=_nothing)

    @classmethod
    def start(cls, lab: str, learner: str, variant: str, parts: Iterable[Part]) -> Session:
        """Return a fresh run; options stand in an order that depends on the learner."""
        parts = tuple(
            replace(
                part,
                questions=tuple(asked.shuffled(learner) for asked in part.questions),
                reflections=tuple(asked.shuffled(learner) for asked in part.reflections),
                scenario=freeze(part.scenario),
            )
            for part in parts
        )
        settings = {part.key: freeze(part.defaults()) for part in parts}
        return cls(lab, learner, variant, parts, _settings=MappingProxyType(settings))

    # --- looking -------------------------------------------------------------------------

    def part(self, key: str) -> Part:
        """Return the part with this key; LabError if there is none."""
        for part in self.parts:
            if part.key == key:
                return part
        raise LabError(f"{self.lab} has no part {key!r}; it has {[p.key for p in self.parts]}")

    def _question(self, part: str, key: str, kind: str = "questions") -> Question:
        asked: tuple[Question, ...] = getattr(self.part(part), kind)
        for candidate in asked:
            if candidate.key == key:
                return candidate
        raise LabError(f"{part} has no question {key!r}; it has {[q.key for q in asked]}")

    def chosen(self, part: str, question: str) -> tuple[str | None, int | None]:
        """Return the option and the confidence chosen so far, None where nothing is."""
        self._question(part, question)
        return self._chosen.get(f"{part}/{question}", (None, None))

    def is_locked(self, part: str) -> bool:
        """Return whether the predictions of this part are locked."""
        self.part(part)
        return part in self._locked

    def prediction(self, part: str, question: str) -> Prediction:
        """Return a locked prediction; LabError before it is locked."""
        self._question(part, question)
        for locked in self._locked.get(part, ()):
            if locked.question == question:
                return locked
        raise self._unlocked(part)

    def predictions(self, part: str) -> tuple[Prediction, ...]:
        """Return the locked predictions of a part, none before it is locked."""
        self.part(part)
        return self._locked.get(part, ())

    def settings(self, part: str) -> Mapping[str, Any]:
        """Return the settings of a part as they are now, read-only."""
        self.part(part)
        return self._settings[part]

    def reflection(self, part: str, question: str) -> Prediction | None:
        """Return the answer to a reflection, None before there is one."""
        self._question(part, question, "reflections")
        return self._reflected.get(f"{part}/{question}")

    def attempts(self, part: str) -> tuple[Attempt, ...]:
        """Return the configurations that were put to the test in this part."""
        self.part(part)
        return self._attempts.get(part, ())

    def attempted(self, part: str) -> Attempt | None:
        """Return the attempt that stands for this part: the last that passed, else the last."""
        tried = self.attempts(part)
        return next((one for one in reversed(tried) if one.passed), tried[-1] if tried else None)

    def as_attempted(self) -> Session:
        """Return this run with the settings that were put to the test, not where sliders stand.

        Parts of which nothing was put to the test keep their defaults.
        """
        settings = {part.key: part.defaults() for part in self.parts}
        for key, mine in settings.items():
            if (tried := self.attempted(key)) is not None:
                mine.update(tried.settings)
        return replace(self, _settings=freeze(settings))

    def is_met(self, part: str) -> bool:
        """Return whether some attempt has met the mission of this part."""
        return any(one.passed for one in self.attempts(part))

    @property
    def missions(self) -> str:
        """How many of the missions are met, for a footer."""
        return f"{sum(self.is_met(part.key) for part in self.parts)}/{len(self.parts)}"

    @property
    def iterations(self) -> int:
        """Configurations put to the test in the whole lab."""
        return sum(len(tried) for tried in self._attempts.values())

    def is_done(self, part: str) -> bool:
        """Return whether a part is locked and all its reflections are answered."""
        return self.is_locked(part) and all(
            f"{part}/{asked.key}" in self._reflected for asked in self.part(part).reflections
        )

    def waits_for(self, part: str) -> Part | None:
        """Return the part whose predictions must be locked before this one's, if there is one."""
        place = self.parts.index(self.part(part))
        return next((one for one in self.parts[:place] if one.key not in self._locked), None)

    # --- steps ---------------------------------------------------------------------------

    def _next(self, **changes: Any) -> Session:
        return replace(self, **{"saved_at": None, **changes})

    def predict(
        self, part: str, question: str, option: str | int, confidence: int | None = None
    ) -> Session:
        """Choose an option by key or place; it can be changed until the part is locked."""
        self._in_order(part)
        return self._choose(part, question, option, confidence)

    def _in_order(self, part: str) -> None:
        if not self.is_locked(part) and (before := self.waits_for(part)) is not None:
            raise self._unlocked(before.key)

    def _unlocked(self, part: str) -> LabError:
        return LabError(f'lock your prediction of "{self.part(part).title}" first')

    def _locked_already(self, part: str) -> LabError:
        return LabError(f'the prediction of "{self.part(part).title}" is locked')

    def _choose(
        self, part: str, question: str, option: str | int, confidence: int | None
    ) -> Session:
        asked = self._question(part, question)
        if self.is_locked(part):
            raise self._locked_already(part)
        key = lock_in(asked, option, confidence).chosen  # refuses what could not be locked
        chosen = {f"{part}/{question}": (key, confidence)}
        return self._next(_chosen=MappingProxyType({**self._chosen, **chosen}))

    def lock(self, part: str) -> Session:
        """Lock every prediction of a part, with a copy of its scenario."""
        self._in_order(part)
        return self._close(part)

    def _close(self, part: str) -> Session:
        here = self.part(part)
        if self.is_locked(part):
            raise self._locked_already(part)
        n = len(here.questions)
        open_ = [
            str(place)
            for place, asked in enumerate(here.questions, 1)
            if f"{part}/{asked.key}" not in self._chosen
        ]
        if n == 1 and open_:
            raise LabError("answer the question first")
        if open_:
            raise LabError(f"of {n} questions, answer first: {', '.join(open_)}")
        locked = tuple(
            lock_in(asked, *self._chosen[f"{part}/{asked.key}"], scenario=here.scenario)
            for asked in here.questions
        )
        return self._next(_locked=_with(self._locked, **{part: locked}))

    def _needs_lock(self, part: str) -> Part:
        if not self.is_locked(part):
            raise self._unlocked(part)
        return self.part(part)

    def adjust(self, part: str, **settings: Any) -> Session:
        """Change settings of a part whose predictions are locked."""
        here = self._needs_lock(part)
        accepted = {key: here.control(key).accept(value) for key, value in settings.items()}
        new = _with(self._settings[part], **accepted)
        if new == self._settings[part]:
            return self
        return self._next(_settings=_with(self._settings, **{part: new}))

    def reset(self, part: str) -> Session:
        """Put the settings of a part back to their defaults."""
        return self.adjust(part, **self.part(part).defaults())

    def attempt(self, part: str, passed: bool, figures: Mapping[str, Any] = _NOTHING) -> Session:
        """Count the present settings as one configuration put to the test."""
        self._needs_lock(part)
        tried = Attempt(self._settings[part], bool(passed), freeze(figures))
        attempts = (*self._attempts.get(part, ()), tried)
        return self._next(_attempts=_with(self._attempts, **{part: attempts}))

    def reflect(self, part: str, question: str, option: str | int) -> Session:
        """Answer a reflection; answering again replaces the answer."""
        self._needs_lock(part)
        asked = self._question(part, question, "reflections")
        answer = lock_in(asked, option, scenario=self._settings[part])
        return self._next(_reflected=_with(self._reflected, **{f"{part}/{question}": answer}))

    def write(self, text: str) -> Session:
        """Set the free text of the reflection."""
        if not isinstance(text, str):
            raise LabError(f"text must be text, got {text!r}")
        return self if text == self.text else self._next(text=text)

    # --- keeping -------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain data, enough for `restore`.

        What is not locked yet is kept by its place: keys say which option is right.
        """
        return {
            "variant": self.variant,
            "chosen": {
                key: [option if self.is_locked(part) else self._place(part, asked, option), sure]
                for key, (option, sure) in self._chosen.items()
                for part, asked in [key.split("/", 1)]
            },
            "locked": [part.key for part in self.parts if part.key in self._locked],
            "settings": thaw(self._settings),
            "reflected": {key: answer.chosen for key, answer in self._reflected.items()},
            "attempts": {
                part: [
                    {"settings": thaw(a.settings), "passed": a.passed, "figures": thaw(a.figures)}
                    for a in tried
                ]
                for part, tried in self._attempts.items()
            },
            "text": self.text,
        }

    def _place(self, part: str, question: str, option: str) -> int:
        keys = [known.key for known in self._question(part, question).options]
        return 1 + keys.index(option)

    def restore(self, state: Mapping[str, Any]) -> Session:
        """Return this fresh run taken to the state that `to_dict` gave.

        Every step is taken again, so that what no longer fits (an option that a later
        version of the lab does not have) raises LabError instead of being believed. Earlier
        versions let parts be locked in any order: theirs is kept.
        """
        run = self
        if state["variant"] != self.variant:
            raise LabError(f"that run was of {state['variant']!r}, this is {self.variant!r}")
        for key, (option, confidence) in state["chosen"].items():
            part, asked = key.split("/", 1)
            run = run._choose(part, asked, option, confidence)
        for part in state["locked"]:
            run = run._close(part)
            for tried in state["attempts"].get(part, []):
                run = run.adjust(part, **tried["settings"])
                run = run.attempt(part, tried["passed"], tried["figures"])
            run = run.adjust(part, **state["settings"][part])
        for key, option in state["reflected"].items():
            part, asked = key.split("/", 1)
            run = run.reflect(part, asked, option)
        return run.write(state["text"])

    def holds(self, state: Mapping[str, Any]) -> bool:
        """Return whether nothing that `to_dict` gave of another run is lost if this one is kept.

        Every answer of that run was given here too, locked ones alike, as many settings were put
        to the test, and there is a text if it had one.
        """
        mine, locked = self.to_dict(), set(state["locked"])
        tried, text = state["attempts"], state["text"]
        return (
            locked <= set(mine["locked"])
            and set(state["reflected"]) <= set(mine["reflected"])
            and all(
                key in mine["chosen"]
                and (key.split("/", 1)[0] not in locked or mine["chosen"][key] == list(answer))
                for key, answer in state["chosen"].items()
            )
            and all(
                len(rows) <= len(mine["attempts"].get(part, ())) for part, rows in tried.items()
            )
            and bool(self.text or not text)
        )

    @staticmethod
    def fullness(state: Mapping[str, Any]) -> int:
        """Return how much was done in a run that `to_dict` gave: answers, attempts, text."""
        tried = sum(map(len, state["attempts"].values()))
        done = len(state["chosen"]) + len(state["locked"]) + len(state["reflected"])
        return done + tried + bool(state["text"])

    def record(self, outcome: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
        """Return what the ledger keeps: the engine's `outcome`, missions, state, and journey."""
        return {
            **thaw(outcome),
            "missions": {part.key: self.is_met(part.key) for part in self.parts},
            "session": self.to_dict(),
            "journey": self._journey(),
        }

    def _journey(self) -> list[dict[str, Any]]:
        """Return every answer given, in order, as rows that all labs share."""
        rows = []
        for part in self.parts:
            answers = [("prediction", answer) for answer in self.predictions(part.key)]
            for asked in part.reflections:
                if (answer := self.reflection(part.key, asked.key)) is not None:
                    answers.append(("reflection", answer))
            for kind, answer in answers:
                rows.append(
                    {
                        "part": part.title,
                        "kind": kind,
                        "question": answer.question,
                        "label": answer.label,
                        "correct": answer.correct,
                        "confidence": answer.confidence,
                    }
                )
        return rows
