"""Right and wrong solutions as data: one TOML file an exercise.

Each exercise keeps solutions that deserve full marks, written differently, and
named wrong ones: a misconception, the hint a learner should read, and the theory
section the hint points to. An entry gives its code whole, or as changes to that of a
right one: ``of = "loop"``, ``change = [["x + 1", "x"]]``.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Set
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from autograder.cells import PARTS, CellName

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Right:
    """A solution that deserves full marks."""

    name: str
    code: str
    note: str = ""


@dataclass(frozen=True)
class Wrong:
    """A misconception as code, with what a learner who holds it should read.

    Where neither the visible checks nor the deep check catch it, `only_hidden` says why.
    """

    name: str
    code: str
    misconception: str
    hint: str
    section: str
    only_hidden: str = ""


@dataclass(frozen=True)
class Exercise:
    """All that is known of one exercise; the `slug` is its file's name.

    `points` are those of visible tests and of hidden ones: ``values``, ``edges`` and
    ``refused``, each a cell of its own, or ``hidden`` for all that is hidden. Theory `section`
    teaches what is asked, sections in `also` help with it. `withheld` names the package's own
    implementations of what is asked; `library` holds code that merely calls them and so
    deserves nothing.

    Where a plan is asked for that the tests play, `scenarios` counts the hidden cells, which
    share their points evenly; all tests together may then take so many `seconds`.
    """

    slug: str
    number: int
    title: str
    stars: int
    points: dict[str, float]
    section: str
    functions: tuple[str, ...]
    right: tuple[Right, ...]
    wrong: tuple[Wrong, ...]
    withheld: tuple[str, ...] = ()
    library: tuple[Right, ...] = ()
    also: tuple[str, ...] = ()
    scenarios: int = 0
    seconds: int = 0

    def worth(self, name: CellName) -> float:
        """Return the points of a test cell of that name.

        Raises
        ------
        ValueError
            If the points are split, and none are for this cell.
        """
        if name.role == "hidden" and self.parts:
            if name.prop not in self.parts:
                raise ValueError(
                    f"a hidden cell of {self.slug} must be one of {', '.join(self.parts)}, as its "
                    f"points say, got {name.prop!r}"
                )
            return self.points[name.prop]
        points = self.points[name.role]
        return points / self.scenarios if name.role == "hidden" and self.scenarios else points

    @property
    def parts(self) -> tuple[str, ...]:
        """What its hidden cells test, in their order; empty where points are not split."""
        return tuple(part for part in PARTS if part in self.points)

    @property
    def hidden_points(self) -> float:
        """The points of all its hidden cells."""
        return sum(self.points.values()) - self.points["visible"]

    @property
    def hidden_cells(self) -> int:
        """How many hidden cells it has."""
        return len(self.parts) or self.scenarios or 1

    @property
    def sections(self) -> list[str]:
        """The sections of theory that help, in their order."""
        named = (self.section, *self.also)
        return sorted(named, key=lambda section: [int(part) for part in section.split(".")])


#: What a value of a record must be, and how to say so.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "number": (lambda it: type(it) is int and it > 0, "a whole number from 1 on"),
    "scenarios": (lambda it: type(it) is int and it > 1, "a whole number from 2 on"),
    "seconds": (lambda it: type(it) is int and it > 0, "a whole number from 1 on"),
    "title": (lambda it: isinstance(it, str) and bool(it.strip()), "a text"),
    "stars": (lambda it: it in (1, 2, 3), "1, 2 or 3"),
    "points": (
        lambda it: (
            isinstance(it, dict)
            and (it.keys() == {"visible", "hidden"} or _is_split(it.keys()))
            and all(type(worth) in (int, float) and worth >= 0 for worth in it.values())
        ),
        "{ visible = ..., values = ..., edges = ..., refused = ... }, edges and refused where "
        "there are any, or { visible = ..., hidden = ... }",
    ),
    "section": (lambda it: _is_section(it), 'a section of theory such as "1.4"'),
    "also": (lambda it: all(map(_is_section, it)), 'sections of theory such as ["1.4"]'),
    "functions": (
        lambda it: isinstance(it, list) and bool(it) and all(map(str.isidentifier, it)),
        "the names of the functions to write",
    ),
}


def _is_split(names: Set[str]) -> bool:
    return {"visible", "values"} <= names <= {"visible", *PARTS} and len(names) > 2


def _is_section(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value) is not None


def _fit(kind: type[Any], given: Mapping[str, Any]) -> None:
    """Refuse what `kind` does not know, what it needs and lacks, and values of another kind."""
    known = {field.name: field.default is MISSING for field in fields(kind)}
    lacks = [name for name, needed in known.items() if needed and name not in given]
    if lacks:
        raise ValueError(f"it lacks {', '.join(lacks)}")
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"it knows no {', '.join(unknown)}")
    for name, (holds, meant) in _VALUES.items():
        if name in given and not holds(given[name]):
            raise ValueError(f"{name} must be {meant}, got {given[name]!r}")


def _solutions(kind: type[Any], data: dict[str, Any], label: str) -> tuple[Any, ...]:
    """Return the entries under `label`, those that are changes with their whole code."""
    found = []
    for entry in data.get(label, ()):
        try:
            given = {key: value for key, value in entry.items() if key not in ("of", "change")}
            given["code"] = _code(entry, data["right"]).strip("\n") + "\n"
            _fit(kind, given)
            found.append(kind(**given))
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
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        if "slug" in data:
            raise ValueError("the file's name is its slug: leave slug out")
        _fit(Exercise, {**data, "slug": path.stem})
        solutions = {
            label: _solutions(kind, data, label)
            for label, kind in {"right": Right, "wrong": Wrong, "library": Right}.items()
        }
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return Exercise(**{**data, **lists, **solutions, "slug": path.stem})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a bank file: {error}") from error


@functools.cache
def load(chapter: str) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter in their order; empty if the bank has none."""
    exercises = [_read(path) for path in (_FOLDER / chapter).glob("*.toml")]
    return tuple(sorted(exercises, key=lambda exercise: exercise.number))
