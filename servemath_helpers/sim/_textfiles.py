"""Opening what other programs wrote: byte-order marks, UTF-16, gzip, any order of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ["AIPERF_SUMMARY", "Source", "csv_rows", "json_values", "open_text"]

#: A path, or lines.
Source = str | PathLike[str] | Iterable[str]

AIPERF_SUMMARY = "a summary of AIPerf or GenAI-Perf; load_aiperf reads profile_export.jsonl"

#: How files begin that are downloaded in place of those that are meant, and what they are.
_OTHERS: tuple[tuple[str | tuple[str, ...], str], ...] = (
    (
        "version https://git-lfs",
        "the pointer that Git keeps of a large file (git lfs pull fetches the file itself)",
    ),
    ("metric,avg", AIPERF_SUMMARY),
    (("<!doctype", "<html"), "a web page (download the raw file)"),
)

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def _encoding(beginning: bytes) -> str:
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    # ASCII characters in UTF-16 without a mark.
    if len(beginning) > 1 and 0 in beginning[:2] and beginning[:2] != b"\0\0":
        return "utf-16-be" if beginning[0] == 0 else "utf-16-le"
    return "utf-8"


@contextmanager
def open_text(source: Source) -> Iterator[Iterator[str]]:
    """Open a path, gzipped or not, or take lines as they are."""
    import gzip
    import io
    import zlib

    if not isinstance(source, (str, PathLike)):
        yield _recognised(iter(source))
        return
    path = Path(source)
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            beginning = file.peek(4)[:4]
            with io.TextIOWrapper(file, _encoding(beginning), newline="") as text:
                yield _recognised(text)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(
                f"source must be text in UTF-8 or UTF-16, gzipped or not, got {str(path)!r} "
                f"with the byte 0x{byte:02x}"
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"source must be a whole gzip file, got {str(path)!r}: {error}"
            ) from None


def _recognised(lines: Iterator[str]) -> Iterator[str]:
    """Return lines without a byte-order mark, unless the first is that of another kind of file."""
    first = next(lines, "").removeprefix("\ufeff")
    for beginning, kind in _OTHERS:
        if first.lstrip().casefold().startswith(beginning):
            raise ValueError(f"source must hold one request a row or record, got {kind}")
    return chain([first], lines)


def _plain(name: str) -> str:
    return "".join(name.replace("_", " ").split()).casefold()


def csv_rows(
    source: Source, columns: Mapping[str, tuple[str, ...]], optional: Iterable[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table by the names of its columns, in any order and quoting, more or not.

    Parameters
    ----------
    source
        A path or lines; cells are separated by commas, semicolons or tabs.
    columns
        For each column that is wanted, the names that it may have; case, blanks and
        underscores do not matter.
    optional
        Those that may be absent.

    Yields
    ------
    row, cells
        The number of the row as an editor counts lines (the last of a row that goes over
        several), and its cells by the wanted names, stripped; an absent one is missing.
    """
    import csv

    with open_text(source) as lines:
        header, skipped = "", 0
        for header in lines:
            if header.strip():
                break
            skipped += 1
        delimiter = max(",;\t", key=header.count)
        names = [_plain(name) for name in next(csv.reader([header], delimiter=delimiter), [])]
        places: dict[str, int] = {}
        for wanted, aliases in columns.items():
            found = [names.index(_plain(name)) for name in aliases if _plain(name) in names]
            if found:
                places[wanted] = found[0]
        missing = [
            " or ".join(columns[name])
            for name in columns
            if name not in places and name not in optional
        ]
        if missing:
            raise ValueError(
                f"source must have the columns {', '.join(missing)}, got {header.strip()[:200]!r}"
            )
        reader = csv.reader(lines, delimiter=delimiter)
        for cells in reader:
            number = reader.line_num + skipped + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise ValueError(
                    f"row {number} must have {len(names)} columns as the first row has, "
                    f"got {len(cells)}"
                )
            yield number, {name: cells[place].strip() for name, place in places.items()}


def json_values(source: Source) -> list[tuple[int, Any]]:
    """Read one JSON value, or one a line, each with the row at which it begins."""
    import json

    with open_text(source) as lines:
        kept = list(lines)
    try:
        return [(1, json.loads("".join(kept)))]
    except ValueError:
        pass
    values = []
    for number, line in enumerate(kept, start=1):
        if line.strip():
            try:
                values.append((number, json.loads(line)))
            except ValueError as error:
                raise ValueError(
                    f"source must be JSON, or one JSON value a line; row {number} is not: {error}"
                ) from None
    if not values:
        raise ValueError("source must be JSON, got nothing")
    return values
