"""Questions of the theory: written beside their section, kept apart from what learners receive.

In the text of a theory a question says all there is to it::

    answer = None
    check_yourself(
        answer,
        lambda: queueing.littles_law(lam=18, L=45),
        "mean stay in seconds",
        "Solve L = lam W for W.",
        mistakes={"that is lam times L": 18 * 45},
        worked="W = L / lam = 45 / 18 = {right} s.",
    )

The built notebook holds ``check_yourself("1.1", answer)``; the rest is computed here and goes
into ``servemath_helpers/data/questions/<chapter>.json``.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
from nbformat import NotebookNode

from autograder.authoring.prose import num
from autograder.course import HOME
from servemath_helpers.checks import answer_agrees

#: Where a chapter's questions are kept, relative to a course folder.
FOLDER = Path("servemath_helpers", "data", "questions")

SECTION = re.compile(r"^## (\d+\.\d+) ", re.MULTILINE)
_CALL = "check_yourself"


class QuestionError(ValueError):
    """A question is not one that can be put to a learner."""


def _call(source: str) -> ast.Call | None:
    """Return the call by which a cell puts a question in full, if it does."""
    if _CALL not in source:
        return None
    last = ast.parse(source).body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    whole = len(call.args) + len(call.keywords) > 2
    return call if whole and call.func.id == _CALL else None


def named(cells: list[NotebookNode]) -> Iterator[tuple[str, int]]:
    """Yield the name of each question, and the place of its cell."""
    section = ""
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            section = [section, *SECTION.findall(cell.source)][-1]
        elif cell.cell_type == "code" and _call(cell.source):
            yield section, place


def withhold(cells: list[NotebookNode]) -> None:
    """Leave of each question its name and the learner's answer."""
    for name, place in named(cells):
        cells[place].source = f'answer = None\n{_CALL}("{name}", answer)'


def _names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Return the names that code reads, and those that it gives a meaning."""
    read: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.arg):
            made.add(node.arg)
    return read, made


def _needed(cells: list[NotebookNode], place: int) -> list[str]:
    """Return the sources of the earlier cells that give a cell's names their meaning."""
    wanted = _names(ast.parse(cells[place].source))[0] - set(dir(builtins))
    found: list[str] = []
    for cell in reversed(cells[:place]):
        if cell.cell_type == "code" and wanted and not _call(cell.source):
            read, made = _names(ast.parse(cell.source))
            if made & wanted:
                wanted = (wanted - made) | (read - made - set(dir(builtins)))
                found.append(cell.source)
    return found[::-1]


def _plain(value: Any) -> Any:
    """Return a value as JSON keeps it, a number to ten digits: the same on every machine."""
    value = value() if callable(value) else value
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return float(f"{float(value):.10g}")


def _shown(value: Any) -> str:
    return num(value) if isinstance(value, float) else str(value)


def _question(
    answer: object,
    right: Any,
    asks: str,
    hint: str,
    mistakes: Mapping[str, Any] | None = None,
    worked: Any = "",
) -> dict[str, Any]:
    """Return a question as it is kept: the authored call, computed."""
    right = _plain(right)
    wrong = [[words, _plain(value)] for words, value in (mistakes or {}).items()]
    text = str(worked() if callable(worked) else worked)
    if answer is not None:
        raise QuestionError("answer must be None: the learner's is to come")
    if "{right}" not in text:
        raise QuestionError("worked must lead to {right}")
    for words, value in wrong:
        if answer_agrees(value, right):
            raise QuestionError(f"the mistake {words!r} gives the right answer")
    text = text.replace("{right}", _shown(right))
    return {"asks": asks, "right": right, "mistakes": wrong, "hint": hint, "worked": text}


def questions_of(text: Path) -> dict[str, dict[str, Any]]:
    """Compute the questions of a theory.

    Each is run after the cells that give its names their meaning, and after no others.

    Parameters
    ----------
    text : Path
        The authored text.

    Raises
    ------
    QuestionError
        If a question cannot be computed, or cannot be put to a learner.
    """
    cells = jupytext.read(text, fmt="py:percent").cells
    found: dict[str, dict[str, Any]] = {}
    for name, place in named(cells):
        if name in found:
            raise QuestionError(f"{text.name}: section {name} puts two questions")
        kept: list[dict[str, Any]] = []
        scope: dict[str, Any] = {}
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                for source in _needed(cells, place):
                    exec(compile(source, f"{text.name}, for {name}", "exec"), scope)
            scope[_CALL] = lambda *args, kept=kept, **options: kept.append(
                _question(*args, **options)
            )
            exec(compile(cells[place].source, f"{text.name}, {name}", "exec"), scope)
        except Exception as error:
            raise QuestionError(
                f"{text.name}, question {name}: {type(error).__name__}: {error}"
            ) from error
        found[name] = kept[0]
    return found


def questions_file(text: Path) -> Path | None:
    """Return where the questions of a theory are kept; None in a course without the package."""
    root = text.parents[2]
    package = root / FOLDER.parts[0]
    return root / FOLDER / f"{text.parent.name}.json" if package.is_dir() else None


def questions_text(text: Path) -> str:
    """Return the file of a theory's questions as it should be."""
    return _computed(text, text.read_bytes())


@functools.lru_cache(maxsize=8)
def _computed(text: Path, _content: bytes) -> str:
    return json.dumps(questions_of(text), indent=1, ensure_ascii=False) + "\n"


def is_questions_file(path: Path) -> bool:
    """Tell whether a file of the package is made of the text of a theory."""
    return path.parent == HOME / FOLDER
