"""What a learner wrote, out of whatever file holds it.

nbformat refuses a whole notebook for a field that nothing depends on. Here the text of the
cells is what has to be readable, with their types and `grade_id`s; all else (metadata, ids,
outputs, kernel, format numbers) is the course's to write anew, or nobody's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.grading.engine.codec import printable

#: nbclient leaves a cell with this tag out; nbgrader would then award its points.
SKIP_TAG = "skip-execution"


class UnreadableNotebook(ValueError):
    """A file holds no notebook that can be read; the message says why, the file not named."""


#: How files of other kinds begin that are handed in under a notebook's name.
_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"<", "a web page"),
)

_CONFLICT = re.compile(r"^(<{7}|>{7})(?: .*)?$", re.MULTILINE)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[\]}])', re.DOTALL)
_DAMAGE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

#: Digits of a whole number that is read; no field that matters holds one.
_MOST_DIGITS = 300

#: What older formats, and other tools, call a cell of text.
_TEXT_TYPES = ("heading", "html", "text", "md", "rst")


def read_notebook(path: Path) -> tuple[NotebookNode, list[str]]:
    """Read a notebook that was handed in.

    Returns
    -------
    notebook
        Format 4.5: the cells' text, types, `grade_id`s and attachments, without outputs.
    remarks
        What was changed in what the learner wrote, if anything.

    Raises
    ------
    UnreadableNotebook
        If what the learner wrote cannot be read; the message says what stands in the way.
    """
    return _Reader().read(path.read_bytes())


class _Reader:
    def __init__(self) -> None:
        self._replaced = 0
        self._remarks: list[str] = []

    def read(self, data: bytes) -> tuple[NotebookNode, list[str]]:
        text = self._decoded(data).strip("\ufeff\0 \t\r\n")
        if not text:
            raise UnreadableNotebook("is an empty file")
        for start, kind in _OTHER_KINDS:
            if data.lstrip().startswith(start):
                raise UnreadableNotebook(f"is {kind}, not a notebook")
        cells = self._cells(self._parsed(text))
        notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
        notebook.nbformat_minor = 5
        notebook.cells = [
            self._cell(raw, number) for number, raw in enumerate(cells, start=1) if raw is not None
        ]
        if self._replaced:
            self._remarks.append(f"{self._replaced} characters that are no valid text replaced")
        return notebook, self._remarks

    def _decoded(self, data: bytes) -> str:
        encoding = json.detect_encoding(data)
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            text = data.decode(encoding, "replace")
            self._replaced += text.count("\ufffd")
            return text

    # ------------------------------------------------------------------ the JSON

    def _parsed(self, text: str) -> Any:
        try:
            return _loads(text)
        except json.JSONDecodeError as error:
            conflict = _CONFLICT.search(text)
            if conflict:
                line = text.count("\n", 0, conflict.start()) + 1
                raise UnreadableNotebook(
                    f"holds the marks of a merge conflict (line {line}): settle it, save it as a "
                    "notebook, hand it in again"
                ) from None
            mended = _STRING_OR_COMMA.sub(lambda found: found[0].strip(","), text)
            if mended != text:
                try:
                    value = _loads(mended)
                except json.JSONDecodeError:
                    pass
                else:
                    self._remarks.append("commas before closing brackets left out")
                    return value
            raise UnreadableNotebook(_why_no_json(text, error)) from None

    @staticmethod
    def _cells(value: Any) -> list[Any]:
        """Return the cells of a notebook of any format, or of one wrapped in another value."""
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = _loads(value)  # saved as text of text
            except json.JSONDecodeError:
                value = None
        if not isinstance(value, dict):
            raise UnreadableNotebook("is JSON but not a notebook")
        if "cells" not in value and isinstance(value.get("content"), dict):
            value = value["content"]  # as Jupyter's server sends it
        if "cells" in value:
            cells = value["cells"]
            if not isinstance(cells, list):
                raise UnreadableNotebook(f"has {_kind(cells)} in its field cells, not a list")
            return cells
        sheets = value.get("worksheets")  # before format 4
        if not isinstance(sheets, list) or not all(isinstance(one, dict) for one in sheets):
            raise UnreadableNotebook("is JSON but not a notebook")
        found: list[Any] = []
        for sheet in sheets:
            cells = sheet.get("cells", [])
            if not isinstance(cells, list):
                raise UnreadableNotebook(f"has {_kind(cells)} in its field cells, not a list")
            found += cells
        return found

    # ----------------------------------------------------------------- the cells

    def _cell(self, raw: Any, number: int) -> NotebookNode:
        if not isinstance(raw, dict):
            raise UnreadableNotebook(f"has {_kind(raw)} in the place of cell {number}")
        kind = _cell_type(raw)
        metadata = raw.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        cell = nbformat.from_dict({"cell_type": kind, "metadata": {}, "source": ""})
        course = metadata.get("nbgrader")
        course = course if isinstance(course, dict) else {}
        name = course.get("grade_id")
        if isinstance(name, str):
            cell.metadata["nbgrader"] = nbformat.from_dict({"grade_id": name})
        tags = metadata.get("tags")
        if isinstance(tags, (list, str)) and SKIP_TAG in tags:
            cell.metadata["tags"] = [SKIP_TAG]
        # What the course wrote is put back anyway, whatever stands there.
        ours = isinstance(name, str) and course.get("locked") and not course.get("solution")
        cell.source = self._source(raw, number, name, needed=not ours)
        if isinstance(raw.get("id"), str) and _ID.fullmatch(raw["id"]):
            cell["id"] = raw["id"]
        if kind == "code":
            cell.update(outputs=[], execution_count=None)
        elif raw.get("attachments"):
            self._attach(cell, raw["attachments"], number)
        return cell

    def _source(self, raw: dict[str, Any], number: int, name: Any, *, needed: bool) -> str:
        field = "source" if "source" in raw or "input" not in raw else "input"
        source = raw.get(field)
        if source is None:
            return ""
        parts = source if isinstance(source, list) else [source]
        strange = [part for part in parts if part is not None and not isinstance(part, str)]
        if strange and needed:
            told = f" ({printable(name, 60)})" if isinstance(name, str) else ""
            within = " among its lines" if isinstance(source, list) else ""
            raise UnreadableNotebook(
                f"has {_kind(strange[0])}{within} in the field {field} of cell {number}{told}, "
                "where its text should be"
            )
        text = "".join(part for part in parts if isinstance(part, str))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if raw.get("cell_type") == "heading":
            level = next((n for n in range(1, 7) if n == raw.get("level")), 1)
            text = f"{'#' * level} {text}"
        return self._valid(text)

    def _valid(self, text: str) -> str:
        """Join the halves of surrogate pairs; replace those that have lost their other half."""
        if text.isascii():
            return text
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._replaced += whole.count("\ufffd") - text.count("\ufffd")
        return whole

    def _attach(self, cell: NotebookNode, attachments: Any, number: int) -> None:
        try:
            cell["attachments"] = nbformat.from_dict(
                {
                    self._valid(file): {kind: _data(part) for kind, part in bundle.items()}
                    for file, bundle in attachments.items()
                }
            )
        except (AttributeError, TypeError):
            self._remarks.append(f"attachments of cell {number} cannot be read: left out")


def _loads(text: str) -> Any:
    try:
        # Line ends and tabs within texts some tools write; other control characters are damage.
        return json.loads(text, strict=_DAMAGE.search(text) is not None, parse_int=_int)
    except RecursionError:
        raise UnreadableNotebook("is nested too deeply to be read") from None


def _int(digits: str) -> int:
    return int(digits) if len(digits) <= _MOST_DIGITS else 0


def _why_no_json(text: str, error: json.JSONDecodeError) -> str:
    if not text.startswith(("{", "[")):
        return "is text, not a notebook"
    if error.msg == "Extra data":
        return (
            f"goes on where the notebook ends (line {error.lineno}): it holds more than one, or "
            "one JSON value a line; save it from Jupyter and hand it in again"
        )
    return f"is not valid JSON (damaged or cut short; line {error.lineno})"


def _kind(value: Any) -> str:
    """Name the kind of a JSON value.

    >>> _kind(None), _kind(True), _kind(1.5), _kind([])
    ('null', 'true or false', 'a number', 'a list')
    """
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _cell_type(raw: dict[str, Any]) -> str:
    said = raw.get("cell_type")
    said = said.strip().lower() if isinstance(said, str) else ""
    if said in ("code", "markdown", "raw"):
        return said
    # Of what is neither, an error costs nothing, and code left out could.
    return "markdown" if said in _TEXT_TYPES else "code"


def _data(part: Any) -> Any:
    if isinstance(part, str):
        return part
    if isinstance(part, list) and all(isinstance(line, str) for line in part):
        return "".join(part)
    raise TypeError("an attachment holds text")
