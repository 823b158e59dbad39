"""Where a learner stands: what is answered, what passes, and what may come next.

Where somebody works in JupyterLab, VS Code or Colab, questions and deep checks leave what came of
them (in JupyterLab, which names the cell that ran, visible checks too) in a file of their own,
``~/.servemath/progress.json``; the variable ``SERVEMATH_PROGRESS`` names another one, or none if it
is empty. Nothing is kept where notebooks are built, tested or graded, nothing is sent anywhere, and
grading never looks at it. A disk that takes nothing (`OSError`) stops nobody, and a file that
cannot be read is kept aside.

What checks gave belongs to the code that they were given: once a cell with another one runs, or
the function is emptied, the exercise is no longer done.

In a notebook `progress`, in a shell ``python -m servemath_helpers.progress``.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import html
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from servemath_helpers._files import alone, replace_text

__all__ = ["Progress", "Standing", "note", "progress"]

VARIABLE: Final = "SERVEMATH_PROGRESS"

#: What is set where somebody sits in front of a kernel.
_SESSIONS: Final = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")

#: What comes of a question or a check. What is missed says how after a colon.
DONE: Final = "done"
MISSED: Final = "missed"

#: Digits that tell the code of an exercise from another one.
_CODE_LENGTH: Final = 16

#: How many things to do next are named.
_NEXT: Final = 3


def own_file() -> Path:
    """Return the learner's file."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".servemath" / "progress.json")


def _is_kept() -> bool:
    """Tell whether what somebody does here is kept."""
    if VARIABLE in os.environ:
        return bool(os.environ[VARIABLE])
    return any(name in os.environ for name in _SESSIONS)


def note(kind: str, name: str, state: str) -> None:
    """Keep what came of something, if somebody learns here.

    Parameters
    ----------
    kind : str
        ``"questions"``, ``"checks"`` or ``"deep"``.
    name : str
        The question, the cell of checks, or the function.
    state : str
        `DONE`, or `MISSED` and how. A question that was answered stays answered.

    Examples
    --------
    >>> note("questions", "1.1", DONE)
    """
    with _kept() as record:
        kept = record.setdefault(kind, {})
        if kind != "questions" or kept.get(name) != DONE:
            kept.pop(name, None)  # what was touched last stands last
            kept[name] = state


@contextlib.contextmanager
def _kept() -> Iterator[dict[str, dict[str, str]]]:
    """Give what is kept, and keep what becomes of it; nothing where nobody learns."""
    if not _is_kept():
        yield {}
        return
    path, done = own_file(), False
    with contextlib.suppress(OSError):  # no room to write: learning goes on
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            record = _read(path)
            before = json.dumps(record)
            yield record
            done = True
            if json.dumps(record) != before:
                replace_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if not done:
        yield {}


def note_code(source: str) -> None:
    """Take marks from exercises whose functions a cell has written anew, if somebody learns here.

    Parameters
    ----------
    source : str
        The cell. Comments and blank lines do not count.

    Examples
    --------
    >>> note_code("def littles_law(lam=None, W=None, L=None): ...")
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # magics, or what does not run
        return
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    written = [*_written(defined)]
    if not written:
        return
    code = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:_CODE_LENGTH]
    with _kept() as record:
        known = record.setdefault("code", {})
        for exercise in written:
            names = " ".join(sorted(defined & {*exercise["functions"]}))
            if known.get(names, code) != code:
                for kind in ("checks", "deep"):
                    marks = record.get(kind, {})
                    for name in (*exercise["checks"], exercise["functions"][0]):
                        if marks.get(name) == DONE:
                            del marks[name]
            known[names] = code


def _written(defined: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the exercises that ask for functions of a cell.

    Chapters 3 and 4 both ask for a `best_batch`, one alone and one beside another function.
    """
    asking = [
        (defined & {*exercise["functions"]}, len(exercise["functions"]), exercise)
        for chapter in _outline()
        for exercise in chapter["exercises"]
    ]
    for common, count, exercise in asking:
        if common and not any(
            common < others or (common == others and fewer < count) for others, fewer, _ in asking
        ):
            yield exercise


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Return what is kept. A damaged file is put aside, and said."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(state, str) for kept in record.values() for state in kept.values()):
            return dict(record)
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        pass
    aside = next(
        other
        for number in range(1, sys.maxsize)
        if not (other := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")).exists()
    )
    path.replace(aside)
    print(f"The file of your progress cannot be read; it is kept as {aside}, and a new one begins.")
    return {}


def follow() -> None:
    """Note from now on what comes of the cells of an exercise, if somebody learns here.

    A notebook's set-up cell calls it.
    """
    if not _is_kept() or "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and _ran not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _ran)


def _ran(result: Any) -> None:
    """Note what came of a cell: of visible checks, whose id is their name, and of solutions."""
    note_code(str(result.info.raw_cell or ""))
    name = str(getattr(result.info, "cell_id", None) or "")
    if "__visible__" in name:
        error = result.error_in_exec or result.error_before_exec
        if isinstance(error, NotImplementedError):
            return  # not begun
        said = str(error).partition("\n")[0] or type(error).__name__
        note("checks", name, DONE if error is None else f"{MISSED}: {said[:200]}")


@functools.cache
def _outline() -> list[dict[str, Any]]:
    """Return the chapters: titles, minutes, questions and exercises."""
    data = resources.files("servemath_helpers") / "data"
    chapters: list[dict[str, Any]] = json.loads((data / "course.json").read_text("utf-8"))
    for chapter in chapters:
        asked = (data / "questions" / f"{chapter['name']}.json").read_text("utf-8")
        chapter["questions"] = {name: one["asks"] for name, one in json.loads(asked).items()}
    return chapters


@dataclass(frozen=True)
class Standing:
    """Where a learner stands in one chapter.

    Attributes
    ----------
    chapter, title : str
        Its folder, and its title.
    answered, questions : int
        Questions of the theory that are answered, and all.
    passing, exercises : int
        Exercises whose visible checks pass, and all.
    deep : int
        Exercises whose deep check found nothing.
    minutes : int
        What the rest takes, roughly; see the chapter's notebooks.
    """

    chapter: str
    title: str
    answered: int
    questions: int
    passing: int
    exercises: int
    deep: int
    minutes: int

    @property
    def done(self) -> bool:
        """Whether all questions are answered and all exercises pass."""
        return (self.answered, self.passing) == (self.questions, self.exercises)


@dataclass(frozen=True)
class Progress:
    """Where a learner stands in the course: a table, and what may come next.

    Attributes
    ----------
    chapters : tuple of Standing
        One a chapter.
    next : tuple of str
        Sentences: what was missed last first, then what comes next in order.
    """

    chapters: tuple[Standing, ...]
    next: tuple[str, ...]

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield "chapter", "questions", "exercises", "deep checks", "minutes left"
        for number, one in enumerate(self.chapters, start=1):
            yield (
                f"{number} · {one.title}",
                f"{one.answered} of {one.questions}",
                f"{one.passing} of {one.exercises}",
                f"{one.deep} of {one.exercises}",
                "done" if one.done else str(one.minutes),
            )

    def __repr__(self) -> str:
        """Return a table in plain text."""
        rows = [*self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join([*lines, "", *(f"Next: {sentence}" for sentence in self.next)])

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        titles = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(title)}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
            for title, *cells in rows
        )
        steps = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.next)
        return (
            "<table><caption>Where you stand</caption>"
            f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>Next:</p><ol>{steps}</ol>"
        )


def _passes(exercise: dict[str, Any], record: dict[str, dict[str, str]]) -> bool:
    """Tell whether visible checks pass or, where no cell of them is known, the deep check."""
    known = [record["checks"].get(cell) for cell in exercise["checks"]]
    if not any(known):
        known = [record["deep"].get(name) for name in exercise["functions"][:1]]
    return all(state == DONE for state in known)


def _standing(chapter: dict[str, Any], record: dict[str, dict[str, str]]) -> Standing:
    answered = sum(record["questions"].get(name) == DONE for name in chapter["questions"])
    passing = [_passes(exercise, record) for exercise in chapter["exercises"]]
    share = answered / len(chapter["questions"])
    left = (1 - share) * chapter["minutes"]["theory"] + sum(
        exercise["minutes"]
        for exercise, passes in zip(chapter["exercises"], passing, strict=True)
        if not passes
    )
    return Standing(
        chapter["name"],
        chapter["title"],
        answered,
        len(chapter["questions"]),
        sum(passing),
        len(passing),
        sum(
            record["deep"].get(exercise["functions"][0]) == DONE
            for exercise in chapter["exercises"]
        ),
        5 * math.ceil(left / 5),
    )


def _missed(record: dict[str, dict[str, str]]) -> Iterator[str]:
    """Yield what to look at again, an exercise once: what was missed last first, of each kind."""
    asked = {
        name: f"{name}, {asks}" for one in _outline() for name, asks in one["questions"].items()
    }
    exercises = [
        (f"chapter {number}, exercise {exercise['number']}, {exercise['title']}", exercise)
        for number, chapter in enumerate(_outline(), start=1)
        for exercise in chapter["exercises"]
    ]
    of_cell = {cell: (said, one) for said, one in exercises for cell in one["checks"]}
    of_name = {name: (said, one) for said, one in exercises for name in one["functions"]}
    told = set()
    for kind, about in (("checks", of_cell), ("deep", of_name)):
        for name, state in reversed(record[kind].items()):
            if name in about and state.startswith(MISSED):
                said, exercise = about[name]
                if said in told:
                    continue
                told.add(said)
                why = state.removeprefix(MISSED).removeprefix(": ")
                yield f"{said}: {why or 'a check fails'} Theory {exercise['section']} helps."
    for name, state in reversed(record["questions"].items()):
        if name in asked and state.startswith(MISSED):
            why = state.removeprefix(MISSED).removeprefix(": ")
            yield f"question {asked[name]}: {why or 'not right yet'}. Read section {name} again."


def _in_order(chapters: Iterable[Standing]) -> Iterator[str]:
    """Yield what comes next of what is not done."""
    for number, one in enumerate(chapters, start=1):
        if one.answered < one.questions:
            yield f"the theory of chapter {number}, {one.title}."
        if one.passing < one.exercises:
            yield f"the exercises of chapter {number}, {one.title}."


def progress(file: Path | None = None) -> Progress:
    """Return where you stand, as it was kept on this computer.

    Parameters
    ----------
    file : Path, optional
        Another file than your own.

    Examples
    --------
    >>> len(progress().chapters)
    5
    """
    record: dict[str, dict[str, str]] = {"questions": {}, "checks": {}, "deep": {}}
    if file is not None or _is_kept():
        record |= _read(file or own_file())
    chapters = tuple(_standing(chapter, record) for chapter in _outline())
    steps = [*_missed(record), *_in_order(chapters)] or ["nothing: all of it is done."]
    return Progress(chapters, tuple(steps[:_NEXT]))


if __name__ == "__main__":
    print(progress(own_file()))
