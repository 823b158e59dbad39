"""What the judge says where learner code asks for an answer that is withheld.

The jail holds no body of a withheld function: its stub asks here, and what is told depends on
what a trial wants to know. Code in the jail cannot tell the modes apart but by working the
answer out itself.

- `EXACT`: the answer. Who fails now had it by another way than asking.
- `FAR`: an answer far off, of the same kind. What follows it is not the learner's.
- `AIMED`: far off where a test's call asks for just what the call was given, else the answer.
  Code that tries the package at points of its own first finds nothing wrong with it.
- `NEAR`: numbers a few parts in ten million off, which a comparison lets pass.
"""

from __future__ import annotations

import importlib
import inspect
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from autograder.grading.engine.codec import NotPlainData, Opaque, decode, encode
from autograder.grading.engine.errors import described

EXACT, FAR, AIMED, NEAR = "exact", "far", "aimed", "near"

#: A near answer is off by a share between these: comparisons allow more, tests less.
NEAR_SHARES = (2e-7, 8e-7)

#: Far answers are off by a share between these.
FAR_SHARES = (0.1, 0.5)

#: Questions of one run; more are refused.
MAX_QUESTIONS = 50_000

#: What a question that gets no answer is told.
REFUSED = {"refused": True}


class Answers:
    """The answers of one run.

    Parameters
    ----------
    withheld : sequence of str
        Dotted names of the functions that may be asked for.
    told : dict
        ``mode``; ``salt``, which decides by how much answers are off; ``texts`` and ``results``,
        answers of the same function to other questions, which make believable wrong ones.
    """

    def __init__(self, withheld: Sequence[str], told: dict[str, Any]) -> None:
        self._withheld = frozenset(withheld)
        self._mode = told["mode"]
        self._salt = told["salt"]
        self._texts: list[str] = told["texts"]
        self._results = [decode(form) for form in told["results"]]
        #: Questions asked, and answers told that were off.
        self.asked = 0
        self.off = 0

    def answer(self, question: Any, call: Sequence[Any] | None) -> dict[str, Any]:
        """Answer a question from the jail.

        Parameters
        ----------
        question : Any
            What the stub said: ``name`` and ``given``, the parameters by name.
        call : sequence, optional
            What the test's call that is under way was given.
        """
        self.asked += 1
        if self.asked > MAX_QUESTIONS or not isinstance(question, dict):
            return REFUSED
        name = question.get("name")
        if not isinstance(name, str) or name not in self._withheld:
            return REFUSED
        try:
            given = decode(question.get("given"))
            function, args, kwargs = _bound(name, given)
        except (NotPlainData, AttributeError, TypeError, ValueError):
            return REFUSED
        chance = random.Random(f"{self._salt} {self._mode} {name} {question.get('given')!r}")
        try:
            value = function(*args, **kwargs)
        except MemoryError:
            return REFUSED
        except Exception as error:
            if not self._is_off(function, given, call):
                return {"error": described(error)}
            self.off += 1
            return {"result": encode(chance.choice(self._results) if self._results else 0.5)}
        if self._mode == NEAR:
            told = _near(value, chance)
        elif self._is_off(function, given, call):
            # An answer that is chosen from what was given is believable as another of these.
            texts = [leaf for leaf in _leaves(given) if isinstance(leaf, str)]
            told = Far(chance, [texts, self._texts]).of(value)
        else:
            told = value
        form = encode(told)
        if form != encode(value):
            self.off += 1
        return {"result": form}

    def _is_off(self, function: Any, given: dict[str, Any], call: Sequence[Any] | None) -> bool:
        if self._mode == FAR:
            return True
        if self._mode != AIMED or call is None:
            return False
        defaults = {
            parameter.name: parameter.default
            for parameter in inspect.signature(function).parameters.values()
        }
        told = {name: value for name, value in given.items() if value is not defaults.get(name)}
        asked = [leaf for leaf in _leaves(told) if leaf not in _meanings(_leaves(defaults))]
        known = _meanings(_leaves(call))
        return bool(asked) and all(_meanings([leaf]) & known for leaf in asked)


def _bound(name: str, given: Any) -> tuple[Any, list[Any], dict[str, Any]]:
    """Return the function, and its arguments as they were given to its stub."""
    if not isinstance(given, dict) or any(isinstance(leaf, Opaque) for leaf in _leaves(given)):
        raise TypeError("the parameters of a question are plain data")
    module, _, function_name = name.rpartition(".")
    function = getattr(importlib.import_module(module), function_name)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in given:
            raise TypeError(f"no {parameter.name}")
        value = given[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= value
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[parameter.name] = value
        else:
            args.append(value)
    return function, args, kwargs


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, np.ndarray):
        yield from _leaves(value.tolist())
    else:
        yield value


def _meanings(leaves: Iterable[Any]) -> set[Any]:
    """Return what code may have made of values: a price as text, as a float, as a fraction."""
    found: set[Any] = set()
    for leaf in leaves:
        with suppress(TypeError):
            found.add(leaf)
        if isinstance(leaf, (str, int, float, Decimal)):
            with suppress(ValueError, OverflowError):
                found.add(Fraction(str(leaf)))
    return found


def _near(value: Any, chance: random.Random) -> Any:
    def off(number: Any) -> Any:
        return number * (1 + chance.choice((-1, 1)) * chance.uniform(*NEAR_SHARES))

    def leaf(value: Any) -> Any:
        if type(value) is float or isinstance(value, np.floating):
            return off(value)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return off(value)
        return value

    return _mapped(value, leaf)


class Far:
    """Makes wrong answers of the same kind as a right one."""

    def __init__(self, chance: random.Random, texts: Sequence[Sequence[str]]) -> None:
        self._chance = chance
        self._texts = texts

    def of(self, value: Any) -> Any:
        """Return `value` with one of its parts far off.

        Code that looks whether some parts of an answer are right finds most of them right.
        """
        parts = 0

        def count(part: Any) -> Any:
            nonlocal parts
            parts += 1
            return part

        _mapped(value, count)
        chosen, number = self._chance.randrange(parts), -1

        def change(part: Any) -> Any:
            nonlocal number
            number += 1
            return self._leaf(part) if number == chosen else part

        return _mapped(value, change)

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, (bool, np.bool_)):
            return not value
        if isinstance(value, (int, np.integer)):
            return value + self._chance.choice((1, 2, 3, -1) if value > 1 else (1, 2))
        if isinstance(value, str):
            return self._other_text(value)
        if value is None:
            return self._chance.choice((1, 2, 3))
        if isinstance(value, (float, np.floating)):
            if not math.isfinite(value) or value == 0:
                return 0.25 + self._chance.random()
            return value * self._share()
        if isinstance(value, Decimal):
            return value * Decimal(str(self._share())) + Decimal(1)
        if isinstance(value, Fraction):
            return value * Fraction(str(self._share())) + 1
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
            return value * self._share() + 1
        if isinstance(value, list):  # an empty one
            return [self._other_text("")] if any(self._texts) else [0]
        return value

    def _other_text(self, value: str) -> str:
        for texts in self._texts:
            others = [text for text in texts if text != value]
            if others:
                return self._chance.choice(others)
        return f"not {value}"

    def _share(self) -> float:
        return 1 + self._chance.choice((-1, 1)) * self._chance.uniform(*FAR_SHARES)


def _mapped(value: Any, leaf: Any) -> Any:
    """Return a value with `leaf` applied to its parts; an empty container is one itself."""
    if isinstance(value, dict) and value:
        return {key: _mapped(part, leaf) for key, part in value.items()}
    if isinstance(value, list) and value:
        return [_mapped(part, leaf) for part in value]
    if isinstance(value, tuple) and value:
        parts = [_mapped(part, leaf) for part in value]
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return leaf(value)
