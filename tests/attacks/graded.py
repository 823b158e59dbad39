"""A class of attackers and honest learners, graded by one plain `nbgrader autograde`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

import servemath_helpers
from autograder.cells import is_test_cell
from autograder.course import HOME
from autograder.course.commands import environment
from autograder.demo.sample_class import EXERCISES, Chapter, solution_cell
from autograder.gradebook.record import collect
from autograder.gradebook.table import class_table
from autograder.grading.engine.jail import LANDLOCK

from .. import container
from .attack import ONLY_IN_JAIL, Attack, Hall, backwards
from .course import CHAPTER, PLAIN, throw_away
from .listeners import Listeners

SECRET = "SERVEMATH_SECRET"

#: An honest learner sits behind every so many attackers.
SPACING = 12


@dataclass(frozen=True)
class Words:
    """Words that exist in one run alone, so that wherever they turn up is a fact."""

    mark: str
    arrived: str
    breach: str
    glimpse: str
    needle: str
    tail: str
    secret: str
    forged: str

    @classmethod
    def new(cls) -> Words:
        """Return fresh words; a process can carry the mark in its name (15 characters)."""
        rest = [uuid.uuid4().hex for _ in range(7)]
        return cls(f"sm{uuid.uuid4().hex[:10]}", *rest)


def digest(folder: Path) -> dict[str, str]:
    """Return a digest of every file below a folder; links are not followed."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.is_symlink() for part in (path, *path.parents))
    }


class GradedAttacks:
    """The course after the command: scores, outputs, what is left, what was heard."""

    def __init__(self, folder: Path, attacks: list[Attack], wall: str) -> None:
        self.wall = wall
        self.words = Words.new()
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "secret.txt").write_text(self.words.secret, encoding="utf-8")
        self.course = throw_away(folder / "course", f"{self.words.needle}:{self.words.tail}")
        self.chapter = Chapter(self.course, CHAPTER)
        self.attacks = {attack.name: attack for attack in attacks}
        with Listeners(self.words.mark) as listeners:
            self.hall = Hall(self.chapter, self._known(listeners))
            self.students: dict[str, str] = {}
            self.deserved: dict[str, dict[str, float] | None] = {}
            self._lay_out()
            self.before = self._untouchable()
            self.log, self.report = self._grade(folder)
            self.received = list(listeners.received)
        self.table = class_table(collect(self.course, CHAPTER))
        self.rows = {row.student: row for row in self.table.rows}

    def _known(self, listeners: Listeners) -> dict[str, str]:
        words = self.words
        return {
            "mark": words.mark,
            "arrived": backwards(words.arrived),
            "breach": backwards(words.breach),
            "glimpse": backwards(words.glimpse),
            "only_in_jail": ONLY_IN_JAIL[self.wall],
            "needle": backwards(words.needle),
            "reversed_needle": words.needle[::-1],
            "forged": words.forged,
            "root": str(self.course.root),
            "home": str(self.home),
            "repository": str(HOME),
            "package": str(Path(servemath_helpers.__file__).parent),
            "tcp": str(listeners.port("tcp")),
            "udp": str(listeners.port("udp")),
            "abstract": words.mark,
            "socket": listeners.path,
            "neighbour": "s000_all_right_1",
        }

    def honest(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield honest learners and their solutions, right, wrong and missing."""
        exercises = self.chapter.exercises
        plain = {PLAIN: self.hall.solution(PLAIN)}
        for pick in range(3):
            right = {exercise.slug: exercise.right[pick].code for exercise in exercises}
            yield f"all_right_{pick + 1}", {**plain, **right}
        for pick in range(2):
            yield f"misconceptions_{pick + 1}", {e.slug: e.wrong[pick].code for e in exercises}
        yield "half_done", {e.slug: e.right[0].code for e in exercises[:5]}
        yield "untouched", {}
        yield "borrows", {**plain, exercises[0].slug: exercises[0].library[0].code}

    def _lay_out(self) -> None:
        """Write all submissions, honest ones among the others."""
        honest = list(self.honest())
        queue = list(self.attacks.values())
        number = 0
        while queue or honest:
            if honest:
                name, codes = honest.pop(0)
                self._write_honest(f"s{number:03d}_{name}", codes)
                number += 1
            for attack in queue[:SPACING]:
                student = self.students[attack.name] = f"s{number:03d}_{attack.name}"
                self.hall.lay_out(attack, self._folder(student))
                graded = attack.outcome == "graded"
                codes = self.hall.honest_codes(attack)
                self.deserved[student] = self.hall.deserved(codes) if graded else None
                number += 1
            queue = queue[SPACING:]

    def _folder(self, student: str) -> Path:
        return self.course.submitted / student / CHAPTER

    def _write_honest(self, student: str, codes: dict[str, str]) -> None:
        notebook = self.chapter.blank()
        for slug, code in codes.items():
            solution_cell(notebook, slug).source = code
        self._folder(student).mkdir(parents=True)
        nbformat.write(notebook, self._folder(student) / EXERCISES)
        worth = dict(codes)
        if student.endswith("borrows"):
            worth.pop(self.chapter.exercises[0].slug)
        self.deserved[student] = self.hall.deserved(worth)

    def _untouchable(self) -> dict[str, dict[str, str]]:
        """Return digests of all that grading reads and never writes."""
        folders = (self.course.source, self.course.release, self.course.submitted, self.home)
        return {folder.name: digest(folder) for folder in folders}

    def after(self) -> dict[str, dict[str, str]]:
        """Return the same digests now."""
        return self._untouchable()

    def _grade(self, folder: Path) -> tuple[str, dict[str, object]]:
        report = folder / "report.json"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        secrets = {SECRET: self.words.secret, "HOME": str(self.home), "TMPDIR": str(self.scratch)}
        command = [sys.executable, Path(__file__).with_name("contain.py"), report]
        if self.wall == LANDLOCK:
            command += [sys.executable, container.__file__]
            shown = (sys.prefix, sys.base_prefix, HOME)
            command += [word for path in shown for word in ("--show", path)]
            owned = (self.course.root, self.home, self.scratch)
            command += [word for path in owned for word in ("--own", path)]
            command.append("--")
        with tempfile.TemporaryFile("w+b") as log:
            subprocess.run(
                [*command, sys.executable, "-m", "nbgrader", "autograde", CHAPTER],
                cwd=self.course.root,
                env={**environment(), **secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
            log.seek(0)
            text = log.read().decode("utf-8", "backslashreplace")
        return text, json.loads(report.read_text(encoding="utf-8"))

    def outputs(self, student: str) -> str:
        """Return all text that a submission put out, in its cells and in tests.

        Not the errors of tests: they show lines of the test that failed.
        """
        path = self.course.autograded / student / CHAPTER / EXERCISES
        if not path.is_file():
            return ""
        shown = []
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if not (is_test_cell(cell) and output.output_type == "error"):
                    shown.append(json.dumps(output, ensure_ascii=False))
        return "\n".join(shown)

    def everything_written(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file that grading made, and the log."""
        made = (self.course.autograded, self.course.outcomes, self.course.root / "transcripts")
        for folder in made:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    yield str(path.relative_to(self.course.root)), path.read_bytes()
        yield "gradebook.db", self.course.database.read_bytes()
        yield "the log", self.log.encode("utf-8", "replace")

    def gradebook_facts(self) -> tuple[list[str], dict[str, float]]:
        """Return the students and the maximum scores that the gradebook holds."""
        with Gradebook(self.course.database_url) as gradebook:
            cells = [
                cell
                for notebook in gradebook.find_assignment(CHAPTER).notebooks
                for cell in notebook.grade_cells
            ]
            students = [student.id for student in gradebook.students]
            return sorted(students), {cell.name: float(cell.max_score) for cell in cells}

    def left_in(self, folder: Path) -> list[Path]:
        """Return what carries the mark in a folder that attacks could have written to."""
        return sorted(folder.glob(f"*{self.words.mark}*"))
