"""What no feedback page may show: the hidden tests of an assignment."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nbformat.v4 import new_code_cell
from nbgrader.preprocessors import ClearHiddenTests

#: Shorter lines and texts of a hidden test tell nothing: ``}``, ``else:``, ``"mm1"``.
TELLING = 12

#: Stands where something was left out.
LEFT_OUT = "[left out: it shows part of a hidden test]"

_SPACE = re.compile(r"\s+")
_ESCAPES = (("\\n", "\n"), ("\\t", " "), ("\\'", "'"), ('\\"', '"'), ("\\\\", "\\"))


def squeezed(text: str) -> str:
    r"""Return text with every run of white space as one blank.

    >>> squeezed(" a\n   b ")
    'a b'
    """
    return _SPACE.sub(" ", text).strip()


@dataclass(frozen=True)
class CellSource:
    """The source of a test cell, apart: what learners have, and what stays hidden."""

    released: str
    hidden: str

    @functools.cached_property
    def title(self) -> str:
        """The first line of the docstring, without the word Hidden or Visible before it."""
        try:
            text = ast.get_docstring(ast.parse(self.released)) or ""
        except (SyntaxError, ValueError):
            return ""
        first = next(iter(text.strip().splitlines()), "")
        return re.sub(r"^(hidden|visible)\s*:\s*", "", first, flags=re.IGNORECASE).strip()


def split_source(source: str) -> CellSource:
    """Take the source of a test cell apart, as nbgrader does when it makes a release.

    Parameters
    ----------
    source : str
        The source as the gradebook keeps it.

    Examples
    --------
    >>> source = '''\"\"\"Hidden: zeros.\"\"\"
    ... ### BEGIN HIDDEN TESTS
    ... assert f(0) == 0
    ... ### END HIDDEN TESTS'''
    >>> parts = split_source(source)
    >>> parts.title, parts.hidden
    ('zeros.', 'assert f(0) == 0')
    """
    clear = ClearHiddenTests()
    lines = source.split("\n")
    if not any(clear.begin_test_delimeter in line for line in lines):
        return CellSource(source, "")
    cell = new_code_cell(source)
    try:
        clear._remove_hidden_test_region(cell)
        released = cell.source
    except RuntimeError:  # no end, or a region in a region: all from the first mark is hidden
        first = next(i for i, line in enumerate(lines) if clear.begin_test_delimeter in line)
        released = "\n".join(lines[:first])
    kept = released.split("\n")
    hidden = []
    for line in lines:
        if kept and kept[0] == line:
            kept.pop(0)
        elif clear.begin_test_delimeter not in line and clear.end_test_delimeter not in line:
            hidden.append(line)
    return CellSource(released, "\n".join(hidden))


def literal_texts(source: str) -> set[str]:
    """Return the texts that a piece of Python code holds as literals, parts of f-strings too.

    >>> sorted(literal_texts('check(f"x is {x}", "W = L / lam.")'))
    ['W = L / lam.', 'x is ']
    """
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return set()
    return {
        node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str
    }


class HiddenTests:
    """The hidden tests of a notebook, to keep them out of what learners read.

    Parameters
    ----------
    sources : iterable of CellSource
        Every cell of the notebook that the gradebook keeps: what any of them shows to
        learners is no secret in another.
    sayable : iterable of str
        Sentences of hidden tests that name a property that fell, see `said`.
    """

    def __init__(self, sources: Iterable[CellSource], sayable: Iterable[str] = ()) -> None:
        parts = list(sources)
        public = squeezed("\n".join(part.released for part in parts))
        found: set[str] = set()
        for part in parts:
            found.update(part.hidden.split("\n"))
            found.update(literal_texts(part.hidden))
        self._lines = {squeezed(line) for part in parts for line in part.hidden.split("\n")} - {""}
        self.secrets = tuple(
            sorted(
                secret
                for secret in {squeezed(text) for text in found} - set(sayable)
                if len(secret) >= TELLING and secret not in public
            )
        )

    def shown_in(self, text: str) -> bool:
        """Tell whether a text shows a line, a message or another literal of a hidden test."""
        unescaped = text
        for escape, meaning in _ESCAPES:
            unescaped = unescaped.replace(escape, meaning)
        return any(
            secret in shown
            for shown in {squeezed(text), squeezed(unescaped)}
            for secret in self.secrets
        )

    def keep_out_of(self, text: str) -> str:
        """Return a text, or what stands for it if it shows part of a hidden test."""
        return LEFT_OUT if self.shown_in(text) else text

    def keep_out_of_lines(self, text: str) -> str:
        """Return a text without those of its lines that show part of a hidden test."""
        if not self.shown_in(text):
            return text
        kept: list[str] = []
        for line in text.split("\n"):
            # Beside a telling line a short one may tell as much: an expected value, say.
            hidden = squeezed(line) in self._lines or self.shown_in(line)
            if not hidden:
                kept.append(line)
            elif kept[-1:] != [LEFT_OUT]:
                kept.append(LEFT_OUT)
        return self.keep_out_of("\n".join(kept))
