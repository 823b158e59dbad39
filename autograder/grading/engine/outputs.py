"""The outputs of one cell, as Jupyter would show them, within limits.

What a learner's process says is checked field by field: only the keys that
nbformat knows are kept, each of the type it must have.
"""

from __future__ import annotations

import math
import re
from typing import Any

#: What an output costs besides its text, so that many empty ones count too.
OUTPUT_BYTES = 64

_CUT = "... output cut ...\n"

#: JSON in rich output that is nested deeper than this is left out.
MAX_DEPTH = 50

#: Kinds of rich output that hold JSON; every other kind holds text.
_JSON_KIND = re.compile(r"application/json|[a-zA-Z0-9]+/[a-zA-Z0-9.+-]+\+json")


def error_output(name: str, message: str) -> dict[str, Any]:
    """Return an error output that nbgrader scores 0 and shows in the feedback."""
    return {
        "output_type": "error",
        "ename": name,
        "evalue": message,
        "traceback": [f"{name}: {message}"],
    }


def clean(value: Any) -> Any:
    """Return JSON data whose text can be written as UTF-8: half surrogate pairs become "?"."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [clean(part) for part in value]
    if isinstance(value, dict):
        return {clean(key): clean(part) for key, part in value.items()}
    return value


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


def _too_deep(value: Any) -> bool:
    """Tell whether JSON data is nested deeper than `MAX_DEPTH`, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for part in level
            if isinstance(part, (list, dict))
            for inner in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return False
    return True


def _finite(value: Any) -> Any:
    """Return JSON data in which NaN and infinities, which JSON has not, are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return value


def _bundle(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or _too_deep(value):
        return {}
    return {key: part for key, part in _finite(clean(value)).items() if key and part is not None}


def _mime(value: Any) -> dict[str, Any]:
    """Return a MIME bundle: kinds of JSON as they are, everything else as text."""
    kept = {}
    for kind, part in _bundle(value).items():
        if _JSON_KIND.fullmatch(kind) or isinstance(part, str):
            kept[kind] = part
        elif isinstance(part, list) and all(isinstance(line, str) for line in part):
            kept[kind] = "".join(part)
    return kept


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _size(part) for key, part in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return 8


def _within(lines: list[str], limit: int) -> list[str]:
    """Return lines of at most `limit` characters together; what is over is cut from the middle."""
    if sum(map(len, lines)) <= limit:
        return lines
    kept = "\n".join(lines)
    return [kept[: limit // 2], _CUT, kept[-limit // 2 :]]


class Outputs:
    """Collects a cell's outputs.

    Parameters
    ----------
    keep_bytes : int
        Output beyond this is cut.
    flood_bytes : int
        Beyond this the cell should be stopped; see `flooded`.
    """

    def __init__(self, keep_bytes: int, flood_bytes: int) -> None:
        self.items: list[dict[str, Any]] = []
        self._keep_bytes = keep_bytes
        self._flood_bytes = flood_bytes
        self._bytes = 0
        self._clear_first = False
        self._displays: dict[str, list[dict[str, Any]]] = {}

    @property
    def has_error(self) -> bool:
        """Whether an error stands among the outputs."""
        return any(output["output_type"] == "error" for output in self.items)

    @property
    def kept(self) -> int:
        """Bytes kept, at most."""
        return min(self._bytes, self._keep_bytes)

    @property
    def flooded(self) -> bool:
        """Whether more came than any cell should put out."""
        return self._bytes > self._flood_bytes

    def take(self, said: Any) -> None:
        """Keep one output if it is one and within the limits."""
        if not isinstance(said, dict):
            return
        if _too_deep(said):
            said = {"type": "stream", "name": "stdout", "text": _CUT}
        before = self._bytes
        self._bytes += OUTPUT_BYTES + _size(said)
        if self._bytes > self._keep_bytes and said.get("type") != "error":
            if before <= self._keep_bytes:
                self._add({"output_type": "stream", "name": "stdout", "text": _CUT})
            return
        match said.get("type"):
            case "stream":
                self._stream("stderr" if said.get("name") == "stderr" else "stdout", said)
            case "error":
                self._error(said)
            case "display_data" | "execute_result":
                self._display(said)
            case "update_display_data":
                for shown in self._displays.get(_text(said.get("display_id")), []):
                    shown["data"] = _mime(said.get("data"))
                    shown["metadata"] = _bundle(said.get("metadata"))
            case "clear_output":
                self._clear_first = True
                if not said.get("wait"):
                    self._clear()

    def _clear(self) -> None:
        self.items.clear()
        self._clear_first = False

    def _add(self, output: dict[str, Any]) -> None:
        if self._clear_first:
            self._clear()
        self.items.append(output)

    def _stream(self, name: str, said: dict[str, Any]) -> None:
        text = _text(said.get("text"))
        last = self.items[-1] if self.items and not self._clear_first else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += text
        elif text:
            self._add({"output_type": "stream", "name": name, "text": text})

    def _error(self, said: dict[str, Any]) -> None:
        traceback = said.get("traceback")
        lines = [_text(line) for line in traceback[:200]] if isinstance(traceback, list) else []
        self._add(
            {
                "output_type": "error",
                "ename": _text(said.get("ename"))[:200],
                "evalue": _text(said.get("evalue"))[: self._keep_bytes],
                "traceback": _within(lines, self._keep_bytes),
            }
        )

    def _display(self, said: dict[str, Any]) -> None:
        output = {
            "output_type": said["type"],
            "data": _mime(said.get("data")),
            "metadata": _bundle(said.get("metadata")),
        }
        if said["type"] == "execute_result":
            count = said.get("count")
            output["execution_count"] = count if type(count) is int and count >= 0 else None
        display_id = said.get("display_id")
        if isinstance(display_id, str):
            self._displays.setdefault(display_id, []).append(output)
        self._add(output)
