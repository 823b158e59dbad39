"""Right and wrong solutions as data: one TOML file an exercise.

Each exercise keeps solutions that deserve full marks, written differently, and
named wrong ones: a misconception, the hint a learner should read, and the theory
section the hint points to. An entry gives its code whole, or as changes to that of a
right one: ``of = "loop"``, ``change = [["x + 1", "x"]]``.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Right:
    """A solution that deserves full marks."""

    name: str
    code: str
    note: str = ""


@dataclass(frozen=True)
class Wrong:
    """A misconception as code, with what a learner who holds it should read."""

    name: str
    code: str
    misconception: str
    hint: str
    section: str


@dataclass(frozen=True)
class Exercise:
    """All that is known of one exercise; the `slug` is its file's name.

    `points` are those of visible and of hidden tests. Theory `section` teaches what is
    asked, sections in `also` help with it. `withheld` names the package's own
    implementations of what is asked; `library` holds code that merely calls them and so
    deserves nothing.
    """

    slug: str
    number: int
    title: str
    stars: int
    points: dict[str, float]
    section: str
    functions: tuple[str, ...]
    withheld: tuple[str, ...]
    right: tuple[Right, ...]
    wrong: tuple[Wrong, ...]
    library: tuple[Right, ...]
    also: tuple[str, ...] = ()

    @property
    def sections(self) -> list[str]:
        """The sections of theory that help, in their order."""
        named = (self.section, *self.also)
        return sorted(named, key=lambda section: [int(part) for part in section.split(".")])


def _solutions(kind: type[Any], data: dict[str, Any], label: str) -> tuple[Any, ...]:
    """Return the entries under `label`, those that are changes with their whole code."""
    found = []
    for entry in data[label]:
        try:
            fields = {key: value for key, value in entry.items() if key not in ("of", "change")}
            code = _code(entry, data["right"]).strip("\n") + "\n"
            found.append(kind(**{**fields, "code": code}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{label} {entry.get('name', '(no name)')}: {error}") from error
    return tuple(found)


def _code(entry: dict[str, Any], right: list[dict[str, Any]]) -> str:
    given = sorted(entry.keys() & {"code", "of", "change"})
    if given == ["code"]:
        return str(entry["code"])
    if given != ["change", "of"]:
        raise ValueError(f"an entry has code, or of and change; this one has {given}")
    whole = {one["name"]: one["code"] for one in right if "code" in one}
    if entry["of"] not in whole:
        raise ValueError(f"of must name a right solution with code, got {entry['of']!r}")
    code: str = whole[entry["of"]]
    for pair in entry["change"]:
        match pair:
            case [str(old), str(new)] if old:
                times = code.count(old)
            case _:
                raise ValueError(f"change must be pairs [old, new] of texts, got {pair!r}")
        if times != 1:
            raise ValueError(f"{old!r} must occur once in {entry['of']}, found {times} times")
        code = code.replace(old, new)
    return code


def _read(path: Path) -> Exercise:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Exercise(
            slug=path.stem,
            number=data["number"],
            title=data["title"],
            stars=data["stars"],
            points=data["points"],
            section=data["section"],
            also=tuple(data.get("also", ())),
            functions=tuple(data["functions"]),
            withheld=tuple(data["withheld"]),
            right=_solutions(Right, data, "right"),
            wrong=_solutions(Wrong, data, "wrong"),
            library=_solutions(Right, data, "library"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a bank file: {error}") from error


@functools.cache
def load(chapter: str) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter in their order; empty if the bank has none."""
    exercises = [_read(path) for path in (_FOLDER / chapter).glob("*.toml")]
    return tuple(sorted(exercises, key=lambda exercise: exercise.number))
