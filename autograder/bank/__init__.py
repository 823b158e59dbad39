"""Right and wrong solutions as data: one TOML file an exercise.

Each exercise keeps solutions that deserve full marks, written differently, and
named wrong ones: a misconception, the hint a learner should read, and the theory
section the hint points to.
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
    """All the bank knows of one exercise.

    `withheld` names the package's own implementations of what is asked; `library`
    holds code that merely calls them and so deserves nothing.
    """

    slug: str
    number: int
    title: str
    stars: int
    section: str
    functions: tuple[str, ...]
    withheld: tuple[str, ...]
    right: tuple[Right, ...]
    wrong: tuple[Wrong, ...]
    library: tuple[Right, ...]


def _solution(kind: type[Any], entry: dict[str, Any]) -> Any:
    return kind(**{**entry, "code": entry["code"].strip("\n") + "\n"})


def _read(path: Path) -> Exercise:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Exercise(
            slug=data["slug"],
            number=data["number"],
            title=data["title"],
            stars=data["stars"],
            section=data["section"],
            functions=tuple(data["functions"]),
            withheld=tuple(data["withheld"]),
            right=tuple(_solution(Right, entry) for entry in data["right"]),
            wrong=tuple(_solution(Wrong, entry) for entry in data["wrong"]),
            library=tuple(_solution(Right, entry) for entry in data["library"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a bank file: {error}") from error


@functools.cache
def load(chapter: str) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter in their order; empty if the bank has none."""
    exercises = [_read(path) for path in (_FOLDER / chapter).glob("*.toml")]
    return tuple(sorted(exercises, key=lambda exercise: exercise.number))
