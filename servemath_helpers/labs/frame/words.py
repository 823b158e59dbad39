"""The words of a lab: a TOML file beside its code, in which every number is computed.

`<<name>>` in a text is a value that the engine gives. The unit at the end of the name says how
it is written; a format behind a colon says it better:

>>> fill("<<busy:.0%>> busy, <<wait_ms>> a request, <<pool_bytes>>",
...      busy=0.8, wait_ms=1500.0, pool_bytes=42e9)
'80% busy, 1.5 s a request, 42 GB'
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from servemath_helpers.labs.frame.lock import Option, Question, question
from servemath_helpers.labs.frame.numbers import duration, ms_text, number_text, share
from servemath_helpers.labs.frame.session import Control
from servemath_helpers.quantities import format_bytes

__all__ = ["Words", "fill"]


#: How a value is written, by the unit at the end of its name.
_UNITS: Final[Mapping[str, Callable[[Any], str]]] = {
    "_tok_s": lambda value: number_text(value, 4),
    "_ms": ms_text,
    "_s": duration,
    "_bytes": format_bytes,
    "_share": share,
    "_times": lambda value: f"{number_text(value, 2)}×",
}
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_SLOT: Final = re.compile(r"<<(\w+)(?::([^<>]+))?>>")


def _written(name: str, value: Any, form: str | None) -> str:
    if form:
        return format(value, form)
    if isinstance(value, str):
        return value
    for unit, write in _UNITS.items():
        if name.endswith(unit):
            return write(value)
    return number_text(value) if isinstance(value, float) else str(value)


def fill(text: str, /, **values: Any) -> str:
    """Return a text with each `<<name>>` written; ValueError for one that has no value."""

    def one(slot: re.Match[str]) -> str:
        name, form = slot.groups()
        if name not in values:
            raise ValueError(f"<<{name}>> has no value in {text!r}, given: {sorted(values)}")
        return _written(name, values[name], form)

    return _SLOT.sub(one, text)


def _joined(value: Any) -> Any:
    """Return texts with their lines joined: where a line ends in the file means nothing."""
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_joined(item) for item in value]
    return re.sub(r"[ \n]+", " ", value).strip() if isinstance(value, str) else value


class Words:
    """What TOML text says, by dotted path."""

    def __init__(self, text: str) -> None:
        self._found: dict[str, Any] = _joined(tomllib.loads(text))

    @classmethod
    def of(cls, package: str) -> Words:
        """Return what ``lab.toml`` of a lab's package says."""
        return cls(files(package).joinpath("lab.toml").read_text(encoding="utf-8"))

    def get(self, path: str) -> Any:
        """Return what stands there, as TOML has it; ValueError if nothing does."""
        found: Any = self._found
        for name in path.split("."):
            if not isinstance(found, dict) or name not in found:
                raise ValueError(f"the lab's words have no {path!r}")
            found = found[name]
        return found

    def say(self, path: str, /, **values: Any) -> str:
        """Return a text with its numbers."""
        return fill(self.get(path), **values)

    def paragraphs(self, path: str, /, **values: Any) -> str:
        """Return a list of texts as HTML paragraphs."""
        return "".join([f"<p>{escape(fill(text, **values))}</p>" for text in self.get(path)])

    def ask(
        self,
        path: str,
        truth: Any,
        claims: Mapping[str, Any] | None = None,
        each: Callable[[Any], Mapping[str, Any]] | None = None,
        /,
        **values: Any,
    ) -> Question:
        """Return a question whose right option is the one that claims `truth`.

        An option is [label, feedback], or its feedback alone where the question has a `label`
        for all. It claims its own key unless `claims` says what, and leaves out those that claim
        nothing; <<claim>>, and what `each` makes of it, can stand in its texts. With `truth`
        None no option is wrong.
        """
        said, key = self.get(path), path.rpartition(".")[2]
        options = []
        for name, texts in said["options"].items():
            if claims is not None and name not in claims:
                continue
            claim = name if claims is None else claims[name]
            own = {**values, "claim": claim, **(each(claim) if each else {})}
            label, feedback = (said["label"], texts) if isinstance(texts, str) else texts
            options.append(Option(name, fill(label, **own), claim, fill(feedback, **own)))
        prompt, why = fill(said["prompt"], **values), fill(said["why"], **values)
        if truth is None:
            return Question(key, prompt, tuple(options), None, why)
        return question(key, prompt, options, truth, why)

    def controls(
        self, path: str, prefix: str = "", defaults: Mapping[str, Any] = _NOTHING, **values: Any
    ) -> tuple[Control, ...]:
        """Return the controls of a list; `defaults` are for rows that have none of their own."""
        made = []
        for row in self.get(path):
            said = {**row, "label": fill(row["label"], **values)}
            choices = (
                tuple(item) if isinstance(item, list) else (str(item), item)
                for item in said.pop("choices", ())
            )
            key = said.pop("key")
            default = said.pop("default") if "default" in said else defaults[key]
            made.append(Control(prefix + key, default=default, choices=tuple(choices), **said))
        return tuple(made)
