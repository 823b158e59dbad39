"""A learner's own cells: code, text, what they showed when handed in, what stopped them.

Outputs are those of the notebook that was handed in, not those of the graded run. The
learner made them before any hidden test was near, so none can show one, in whatever
disguise; and they are what the learner saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from nbformat import NotebookNode

from autograder.cells import grade_id_of, is_test_cell
from autograder.feedback import safe
from autograder.feedback.hidden import HiddenTests

#: Cells of one exercise, and characters of all outputs of a page, that are shown.
MOST_CELLS = 30
MOST_OUTPUT = 12_000_000

_PICTURES = ("image/png", "image/jpeg", "image/gif")
_NOT_SHOWN = Markup("<p>[an output of type {} is not shown here; open your notebook to see it]</p>")
_TOO_LARGE = Markup("<p>[left out: the outputs of this notebook are too large for a page]</p>")


@dataclass(frozen=True)
class Piece:
    """One cell of a learner, ready for the page.

    `code` is empty for text, `text` for code. `trouble` says what stopped the cell when
    the notebook was graded.
    """

    label: str
    code: str = ""
    text: Markup = field(default_factory=Markup)
    outputs: tuple[Markup, ...] = ()
    trouble: str = ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _preformatted(text: str) -> Markup:
    return Markup("<pre>{}</pre>").format(text)


def shown(output: Any) -> Markup | None:
    """Return an output of a code cell as harmless HTML, or None if there is nothing to see.

    Parameters
    ----------
    output : mapping
        The output as a notebook keeps it; of a damaged one nothing is shown.
    """
    output = _mapping(output)
    kind = output.get("output_type")
    if kind == "stream":
        text = safe.clean_text(output.get("text") or "")
        return _preformatted(text) if text.strip() else None
    if kind == "error":
        name, value = (safe.line_of_text(output.get(key) or "") for key in ("ename", "evalue"))
        return _preformatted(f"{name}: {value}")
    return _shown_bundle(_mapping(output.get("data")))


def _shown_bundle(data: Mapping[str, Any]) -> Markup | None:
    """Return the richest form of an output that can be made harmless."""
    plain = safe.clean_text(data["text/plain"]) if data.get("text/plain") else ""
    if data.get("text/html"):
        html = safe.clean_html(data["text/html"])
        if not safe.is_empty(html):
            return html
    if data.get("image/svg+xml"):
        url = safe.drawing_url(data["image/svg+xml"])
        alt = safe.drawing_alt(data["image/svg+xml"]) or safe.line_of_text(plain)
        if url:
            return safe.picture(url, alt or "A drawing without a description")
    for mime in _PICTURES:
        url = safe.picture_url(mime, data[mime]) if data.get(mime) else None
        if url:
            return safe.picture(url, safe.line_of_text(plain) or safe.NO_ALT)
    if data.get("text/markdown"):
        return safe.clean_markdown(safe.clean_text(data["text/markdown"]))
    for mime in ("text/latex", "text/plain"):
        if data.get(mime):
            return _preformatted(safe.clean_text(data[mime]))
    return _NOT_SHOWN.format(safe.line_of_text(next(iter(data)), 80)) if data else None


class HandedIn:
    """The outputs of a notebook as handed in, found by the code that made them.

    Parameters
    ----------
    notebook : object
        What its file holds, of whatever form: nobody has checked it.
    """

    def __init__(self, notebook: object) -> None:
        self._outputs: dict[str, list[Any]] = defaultdict(list)
        self._room = MOST_OUTPUT
        cells = _mapping(notebook).get("cells")
        for cell in map(_mapping, cells if isinstance(cells, list) else ()):
            if cell.get("cell_type") == "code":
                self._outputs[_source(cell)].append(cell.get("outputs"))

    def of(self, cell: NotebookNode) -> tuple[Markup, ...]:
        """Return what a code cell showed; of cells with equal code, each one's own in turn."""
        found = self._outputs.get(_source(cell))
        outputs = found.pop(0) if found else None
        if not isinstance(outputs, list):
            return ()
        return tuple(self._within_room(markup) for output in outputs if (markup := shown(output)))

    def _within_room(self, markup: Markup) -> Markup:
        if len(markup) > self._room:
            return _TOO_LARGE
        self._room -= len(markup)
        return markup


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source")
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")


def last_error(cell: NotebookNode) -> tuple[str, str]:
    """Return name and message of the error that ended a cell in the graded run, or nothing."""
    for output in reversed(cell.get("outputs") or []):
        if output.get("output_type") == "error":
            return safe.line_of_text(output.get("ename") or "", 80), str(output.get("evalue") or "")
    return "", ""


def _trouble(cell: NotebookNode, hidden: HiddenTests) -> str:
    name, message = last_error(cell)
    if not name or name == "NotImplementedError":  # not begun, which the tests say as well
        return ""
    said = hidden.keep_out_of(safe.line_of_text(message))
    return f"{name}: {said}" if said else name


def pieces(
    cells: Iterable[NotebookNode],
    handed_in: HandedIn,
    hidden: HiddenTests,
    of_the_course: frozenset[str],
) -> Iterator[Piece]:
    """Yield the learner's own cells among the cells of one exercise.

    Parameters
    ----------
    cells : iterable of NotebookNode
        Cells of the graded notebook, from the exercise's statement to the next one.
    handed_in : HandedIn
        What the cells showed when the notebook was handed in.
    hidden : HiddenTests
        What must not be shown.
    of_the_course : frozenset of str
        Sources of the course's cells without a `grade_id`. Of those a learner sees what
        came of them, if anything.
    """
    found = 0
    for cell in cells:
        solution = bool(_mapping(cell.metadata.get("nbgrader")).get("solution"))
        if is_test_cell(cell) or (grade_id_of(cell) and not solution):
            continue
        piece = _piece(cell, solution, handed_in, hidden, of_the_course)
        if piece is None:
            continue
        found += 1
        if found > MOST_CELLS:
            yield Piece("More of your cells", text=Markup("<p>[left out: too many cells]</p>"))
            return
        yield piece


def _piece(
    cell: NotebookNode,
    solution: bool,
    handed_in: HandedIn,
    hidden: HiddenTests,
    of_the_course: frozenset[str],
) -> Piece | None:
    source = _source(cell)
    if cell.cell_type == "code":
        outputs, trouble = handed_in.of(cell), _trouble(cell, hidden)
        if not source.strip() or not (solution or outputs or trouble):
            return None
        label = "Your solution" if solution else "A cell beside it"
        return Piece(label, safe.clean_text(source), outputs=outputs, trouble=trouble)
    if not source.strip() or (not solution and source in of_the_course):
        return None
    text = safe.clean_markdown(source, cell.get("attachments"))
    return Piece("Your answer" if solution else "Your text", text=text)
