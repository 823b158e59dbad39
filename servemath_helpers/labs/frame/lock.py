"""Questions with computed answers, and predictions that cannot be changed afterwards.

An engine builds each `Question` from its frozen scenario: every option holds the number
or the word that one idea gives, and the right one is found by comparing with the model.
`lock_in` turns a choice into a `Prediction`: an immutable copy of the answer and of the
scenario that it was about.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from servemath_helpers._validate import whole

__all__ = ["LabError", "Option", "Prediction", "Question", "freeze", "lock_in", "question", "thaw"]


class LabError(ValueError):
    """Something a learner asked of a lab that it cannot do yet; the text says what to do."""


def freeze(value: Any) -> Any:
    """Return a deep, read-only copy of plain data: mappings for dataclasses, tuples for lists.

    >>> scenario = {"lam_rps": 40, "sizes": [1, 2]}
    >>> frozen = freeze(scenario)
    >>> scenario["sizes"].append(3)
    >>> frozen["sizes"]
    (1, 2)
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return freeze({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """Return a copy of frozen data made of plain dicts and lists, ready for JSON.

    Numbers that JSON does not have (infinite ones, NaN) become None.

    >>> thaw(freeze({"sizes": (1, 2)}))
    {'sizes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Option:
    """One answer that a learner can choose.

    `value` is what it claims, to be compared with what the model computes; `feedback` is read
    after choosing it and tells the idea behind a wrong one.
    """

    key: str
    label: str
    value: Any
    feedback: str = ""


@dataclass(frozen=True)
class Question:
    """A question with one right option, or with none: a choice to be defended.

    `answer` is the key of the right option, None where none is wrong; `why` is read after the
    answer, whatever it was.
    """

    key: str
    prompt: str
    options: tuple[Option, ...]
    answer: str | None
    why: str = ""

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(f"options must hold at least two, got {len(self.options)}")
        for name in ("key", "label"):
            shown = [getattr(option, name) for option in self.options]
            if len(set(shown)) < len(shown):
                raise ValueError(f"options must differ in their {name}, got {shown!r}")
        if self.answer is not None and self.answer not in {option.key for option in self.options}:
            raise ValueError(f"answer must be the key of an option, got {self.answer!r}")

    def option(self, key: str | int) -> Option:
        """Return the option with this key or place, counted from 1; LabError if there is none."""
        for place, option in enumerate(self.options, 1):
            if key == option.key or (type(key) is int and key == place):
                return option
        # Keys are no names for a learner: they say which option is right, and what the others miss.
        raise LabError(f"{self.key} has no option {key!r}; it has 1 to {len(self.options)}")

    @property
    def right(self) -> Option | None:
        """The right option, if there is one."""
        return None if self.answer is None else self.option(self.answer)

    def shuffled(self, learner: str) -> Question:
        """Return the question with its options in this learner's own order."""

        def rank(option: Option) -> bytes:
            return hashlib.sha256(f"{learner}\n{self.key}\n{option.key}".encode()).digest()

        return dataclasses.replace(self, options=tuple(sorted(self.options, key=rank)))


def question(
    key: str, prompt: str, options: Iterable[Option], truth: Any, why: str = ""
) -> Question:
    """Build a question whose right option is the one that claims what the model computes.

    ValueError unless exactly one does, and all differ.

    >>> asked = question("busier", "Twice the arrivals?",
    ...                  [Option("same", "80 in flight", 80), Option("more", "160", 160)],
    ...                  truth=2 * 80)
    >>> asked.answer
    'more'
    """
    options = tuple(options)
    values = [option.value for option in options]
    matching = [option.key for option in options if option.value == truth]
    if len(matching) != 1 or any(values.count(value) > 1 for value in values):
        raise ValueError(
            f"options of {key} must differ, and one must equal {truth!r}, got {values!r}"
        )
    return Question(key, prompt, options, matching[0], why)


@dataclass(frozen=True)
class Prediction:
    """A locked answer: what was chosen, about which scenario, and whether it was right.

    `correct` is None where no option is wrong; `confidence` is 1 (a guess) to 5 (certain), None
    if not said; `scenario` is a read-only copy of that moment.
    """

    question: str
    chosen: str
    label: str
    correct: bool | None
    right_label: str
    feedback: str = ""
    why: str = ""
    confidence: int | None = None
    scenario: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """Return what a ledger keeps: plain data."""
        return {
            "question": self.question,
            "prediction": self.chosen,
            "label": self.label,
            "correct": self.correct,
            "confidence": self.confidence,
            "scenario": thaw(self.scenario),
        }


def lock_in(
    asked: Question, chosen: str | int, confidence: int | None = None, scenario: Any = None
) -> Prediction:
    """Return a prediction that nothing can change any more.

    LabError if there is no such option, or the confidence is not 1 to 5.

    >>> asked = Question("q", "?", (Option("a", "1", 1), Option("b", "2", 2)), answer="b")
    >>> lock_in(asked, "b", confidence=4, scenario={"lam_rps": 40}).correct
    True
    """
    option = asked.option(chosen)
    if confidence is not None:
        try:
            confidence = whole("confidence", confidence, 1)
        except ValueError as error:
            raise LabError(str(error)) from None
        if confidence > 5:
            raise LabError(f"confidence must be 1 (a guess) to 5 (certain), got {confidence}")
    return Prediction(
        question=asked.key,
        chosen=option.key,
        label=option.label,
        correct=None if asked.right is None else option == asked.right,
        right_label="" if asked.right is None else asked.right.label,
        feedback=option.feedback,
        why=asked.why,
        confidence=confidence,
        scenario=freeze({} if scenario is None else scenario),
    )
