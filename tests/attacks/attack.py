"""The corpus of attacks: TOML files, one a family, and how an entry becomes a submission.

An entry says in one sentence what it tries, and then what it puts into a submission:

- `first`, `last`: cells before and after everything else;
- `cells`: solutions, by exercise, in the place of honest ones; `solves` names the
  exercises that are solved honestly, by default some of the others, not the same ones in
  each attack: what would lose points of honest work shows there, what would earn points
  everywhere shows in those that nobody solved;
- `files`, `links`, `fifos`, `sizes` (empty files of so many bytes): what lies in the
  folder beside the notebook.

With `walls = true`, for one entry or for all of a family, it runs against what the two jails do
each in their own way: it is graded in both of them, the others within namespaces alone (in both
when soaking).

What it deserves is never typed in. An honestly solved exercise deserves what its
solution earns; an attacked one what `worth` earns there, the part of the attack that
is an honest try, by default nothing. `<<name>>` stands for what only a run knows.
"""

from __future__ import annotations

import itertools
import json
import os
import tomllib
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.bank import runner
from autograder.demo.sample_class import EXERCISES, Chapter, solution_cell
from autograder.grading.engine.jail import LANDLOCK, NAMESPACES

from .course import PLAIN, PLAIN_SOLUTION

CORPUS = Path(__file__).parent / "corpus"

#: Stops an attack that harms the machine, unless it runs in a jail. By Landlock paths and
#: processes are there, but folders cannot be listed nor other processes signalled.
ONLY_IN_JAIL = {
    NAMESPACES: """
import os as jail_os
if jail_os.path.exists("<<root>>") or jail_os.getpid() > 400:
    raise RuntimeError("not in a jail: this attack is not tried")
""",
    LANDLOCK: """
import os as jail_os
for jail_open in (
    lambda: jail_os.listdir("<<root>>"), lambda: jail_os.kill(jail_os.getppid(), 0)
):
    try:
        jail_open()
    except PermissionError:
        continue
    raise RuntimeError("not in a jail: this attack is not tried")
""",
}


#: Exercises that an attacker solves honestly, if the attack does not name them.
SOLVED = 3


@dataclass(frozen=True)
class Attack:
    """One hostile submission.

    `dies` says that the cell at fault may be stopped before it can print that it
    got where it wanted; `fools` that it earns points where tests share the
    learner's kernel; `harmless_page` that its feedback page is looked at; `walls` that it is
    graded in either jail.
    """

    name: str
    tries: str
    first: str = ""
    last: str = ""
    cells: dict[str, str] = field(default_factory=dict)
    worth: dict[str, str] = field(default_factory=dict)
    solves: list[str] | None = None
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    fifos: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    repeats: int = 1
    notebook: bool = True
    notebook_metadata: str = ""
    first_metadata: dict[str, Any] = field(default_factory=dict)
    outcome: str = "graded"
    dies: bool = False
    fools: bool = False
    harmless_page: bool = False
    walls: bool = False

    @property
    def arrives(self) -> bool:
        """Whether the attack prints a word when it got where it wanted."""
        return "<<arrived>>" in "".join([self.first, self.last, *self.cells.values()])


def load() -> list[Attack]:
    """Return all attacks; families take turns, so that those that only wait are spread out."""
    families = []
    for path in sorted(CORPUS.glob("*.toml")):
        family = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = family.pop("attack")
        families.append([Attack(**{**family, **entry}) for entry in entries])
    rounds = itertools.zip_longest(*families)
    return [attack for taken in rounds for attack in taken if attack is not None]


def backwards(word: str) -> str:
    """Return an expression for a word that does not stand in the source that holds it."""
    return f'"{word[::-1]}"[::-1]'


def generated() -> dict[str, str]:
    """Return texts that are too long to be written down."""
    return {
        "deep_json": '{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "many_magics": "!true\n" * 700,
        "stalling_cell": "!true\n" * 480 + "x = 1\n" * 30_000,
        "minuses": "-" * 200_000,
    }


class Hall:
    """The material that submissions are made of, and what a run alone knows."""

    def __init__(self, chapter: Chapter, known: dict[str, str]) -> None:
        self.chapter = chapter
        self.known = {**generated(), **known}
        self.right = {exercise.slug: exercise.right for exercise in chapter.exercises}
        self._earned: dict[tuple[str, str], float] = {}

    def fill(self, text: str) -> str:
        """Return the text with every `<<name>>` replaced."""
        for _ in range(2):  # what is filled in may hold names
            for name, value in self.known.items():
                text = text.replace(f"<<{name}>>", value)
        return text

    def solution(self, slug: str, pick: int = 0) -> str:
        """Return a right solution."""
        if slug == PLAIN:
            return PLAIN_SOLUTION
        return self.right[slug][pick % len(self.right[slug])].code

    def earns(self, slug: str, code: str) -> float:
        """Return the points that a solution of ours earns, in a process of ours."""
        if (slug, code) not in self._earned:
            self._earned[slug, code] = runner.run(self.chapter.built, slug, code).total
        return self._earned[slug, code]

    def deserved(self, codes: dict[str, str]) -> dict[str, float]:
        """Return what honest solutions deserve, exercise by exercise."""
        return {slug: self.earns(slug, codes.get(slug, "")) for slug in self.chapter.points}

    def honest_codes(self, attack: Attack) -> dict[str, str]:
        """Return the honest part of an attack."""
        others = [slug for slug in self.chapter.points if slug not in attack.cells]
        start = zlib.crc32(attack.name.encode()) % len(others)
        solved = (others[start:] + others[:start])[:SOLVED]
        if attack.solves is not None:
            solved = [slug for slug in attack.solves if slug not in attack.cells]
        return {**{slug: self.solution(slug) for slug in solved}, **attack.worth}

    def notebook(self, attack: Attack, blank: NotebookNode) -> NotebookNode:
        """Return the attack's notebook, made from one that is still to be solved."""
        written = {slug: self.fill(code) for slug, code in attack.cells.items()}
        for slug, code in {**self.honest_codes(attack), **written}.items():
            solution_cell(blank, slug).source = code
        if attack.first:
            cell = nbformat.v4.new_code_cell(self.fill(attack.first), id="first")
            if attack.first_metadata:
                cell.metadata["nbgrader"] = dict(attack.first_metadata)
            blank.cells.insert(0, cell)
        for number in range(attack.repeats if attack.last else 0):
            last = nbformat.v4.new_code_cell(self.fill(attack.last), id=f"last-{number}")
            blank.cells.append(last)
        return blank

    def lay_out(self, attack: Attack, folder: Path) -> None:
        """Write the attack's submission into a folder."""
        folder.mkdir(parents=True)
        for name, text in attack.files.items():
            path = folder / self.fill(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.fill(text), encoding="utf-8")
        for name, target in attack.links.items():
            (folder / name).symlink_to(self.fill(target))
        for name, size in attack.sizes.items():
            (folder / name).touch()
            os.truncate(folder / name, size)
        for name in attack.fifos:
            os.mkfifo(folder / name)
        if attack.notebook:
            notebook = self.notebook(attack, self.chapter.blank())
            text = json.dumps(notebook)
            if attack.notebook_metadata:
                extra = f'{{"metadata": {{"deep": {"[" * 900}{"]" * 900}, '
                text = text.replace('{"metadata": {', extra, 1)
            (folder / EXERCISES).write_text(text, encoding="utf-8")
