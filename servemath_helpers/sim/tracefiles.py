"""Reading request traces: the Azure LLM inference CSV and the Mooncake JSON lines.

Rows are read one at a time and checked as they come; what is wrong is reported with its
row, counted from 1 as an editor counts lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

from servemath_helpers._validate import finite_non_negative, whole
from servemath_helpers.sim.requests import Requests

__all__ = ["TraceRow", "load_azure", "load_mooncake", "read_azure", "read_mooncake"]

Source = str | PathLike[str] | Iterable[str]

_AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOONCAKE_BLOCK_TOKENS = 512


@dataclass(frozen=True)
class TraceRow:
    """One request of a trace.

    Attributes
    ----------
    arrival_s : float
        When it came, in seconds after the first row (Azure) or after the start of the
        trace (Mooncake).
    prompt_tokens, output_tokens : int
        Tokens of the prompt and of the answer, at least 1.
    block_hashes : tuple of int or None
        Identities of the blocks of its prompt, where the trace has them.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    block_hashes: tuple[int, ...] | None = None


@contextmanager
def _lines(source: Source) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a path, or take lines as they are; number the lines that are not blank."""
    if isinstance(source, (str, PathLike)):
        with Path(source).open(encoding="utf-8-sig") as file:
            yield _numbered(file)
    else:
        yield _numbered(source)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.strip()


def _count(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {text!r}")
    return value


def _instant(name: str, text: str) -> Fraction:
    """Return a time stamp in seconds, exactly: the trace has seven decimals."""
    from datetime import UTC, datetime

    # What follows the dot is split off by hand, since datetime keeps six decimals only.
    head, dot, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + tail[len(digits) :])
        fraction = Fraction(int(digits), 10 ** len(digits)) if dot else Fraction(0)
    except ValueError:
        raise ValueError(
            f"{name} must be a time such as 2023-11-16 18:15:46.6805900, got {text!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) + fraction


def read_azure(source: Source) -> Iterator[TraceRow]:
    """Read the Azure LLM inference trace row by row.

    Parameters
    ----------
    source : path or iterable of str
        A CSV file with the columns ``TIMESTAMP, ContextTokens, GeneratedTokens``, or its
        lines.

    Yields
    ------
    TraceRow
        In the order of the file; arrivals count from the first row.

    Raises
    ------
    ValueError
        If a row is not as it should be or comes before the one above it; the message names
        the row.

    References
    ----------
    Patel et al. (2024), "Splitwise: Efficient Generative LLM Inference Using Phase
    Splitting", ISCA 2024, arXiv:2311.18677; data at github.com/Azure/AzurePublicDataset.

    Examples
    --------
    >>> lines = ["TIMESTAMP,ContextTokens,GeneratedTokens",
    ...          "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109"]
    >>> [row.arrival_s for row in read_azure(lines)]
    [0.0, 4.314579]
    """
    with _lines(source) as lines:
        number, header = next(lines, (1, ""))
        columns = tuple(name.strip() for name in header.split(","))
        if columns != _AZURE_COLUMNS:
            raise ValueError(
                f"source must begin with the columns {','.join(_AZURE_COLUMNS)}, got {header!r}"
            )
        first = before = None
        for number, line in lines:
            cells = line.split(",")
            if len(cells) != len(_AZURE_COLUMNS):
                raise ValueError(f"row {number} must have 3 columns, got {line!r}")
            instant = _instant(f"row {number}: TIMESTAMP", cells[0].strip())
            if before is None or first is None:
                first = before = instant
            if instant < before:
                raise ValueError(
                    f"row {number}: TIMESTAMP must not be before the row above, got {cells[0]!r}"
                )
            before = instant
            yield TraceRow(
                float(instant - first),
                _count(f"row {number}: ContextTokens", cells[1]),
                _count(f"row {number}: GeneratedTokens", cells[2]),
            )


def read_mooncake(source: Source) -> Iterator[TraceRow]:
    """Read a Mooncake trace row by row.

    Parameters
    ----------
    source : path or iterable of str
        A file of JSON lines with ``timestamp`` [ms], ``input_length``, ``output_length`` and
        ``hash_ids`` (one for each 512 tokens of the prompt), or its lines.

    Yields
    ------
    TraceRow
        In the order of the file.

    Raises
    ------
    ValueError
        If a row is not as it should be or comes before the one above it; the message names
        the row.

    References
    ----------
    Qin et al. (2025), "Mooncake: Trading More Storage for Less Computation", FAST 2025,
    arXiv:2407.00079.

    Examples
    --------
    >>> line = '{"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [0, 9]}'
    >>> next(read_mooncake([line]))
    TraceRow(arrival_s=27.482, prompt_tokens=600, output_tokens=52, block_hashes=(0, 9))
    """
    import json

    before = 0.0
    with _lines(source) as lines:
        for number, line in lines:
            try:
                row: Any = json.loads(line)
            except ValueError:
                raise ValueError(f"row {number} must be a JSON object, got {line[:80]!r}") from None
            if not isinstance(row, dict):
                raise ValueError(f"row {number} must be a JSON object, got {line[:80]!r}")
            missing = {"timestamp", "input_length", "output_length", "hash_ids"} - row.keys()
            if missing:
                raise ValueError(f"row {number} lacks {', '.join(sorted(missing))}")
            arrival_ms = finite_non_negative(f"row {number}: timestamp", row["timestamp"])
            if arrival_ms < before:
                raise ValueError(
                    f"row {number}: timestamp must not be before the row above, got {arrival_ms!r}"
                )
            before = arrival_ms
            prompt = whole(f"row {number}: input_length", row["input_length"], 1)
            ids = row["hash_ids"]
            if not isinstance(ids, list) or len(ids) > -(-prompt // _MOONCAKE_BLOCK_TOKENS):
                raise ValueError(
                    f"row {number}: hash_ids must be a list with one number for each "
                    f"{_MOONCAKE_BLOCK_TOKENS} of {prompt} tokens, got {str(ids)[:80]}"
                )
            yield TraceRow(
                arrival_ms / 1000,
                prompt,
                whole(f"row {number}: output_length", row["output_length"], 1),
                tuple(whole(f"row {number}: hash_ids[{i}]", x) for i, x in enumerate(ids)),
            )


def _collect(rows: Iterator[TraceRow], limit: int | None) -> list[TraceRow]:
    from itertools import islice

    taken = list(islice(rows, None if limit is None else whole("limit", limit, 1)))
    if not taken:
        raise ValueError("source must hold at least one row, got none")
    return taken


def load_azure(source: Source, limit: int | None = None) -> Requests:
    """Load the Azure LLM inference trace, or its first rows.

    Parameters
    ----------
    source : path or iterable of str
        As for `read_azure`.
    limit : int, optional
        Rows to read at most, at least 1; the rest of the file is not looked at.

    Returns
    -------
    Requests
        Arrivals from 0 on.

    Raises
    ------
    ValueError
        As for `read_azure`, or if there is no row.

    Examples
    --------
    >>> requests = load_azure(["TIMESTAMP,ContextTokens,GeneratedTokens",
    ...                        "2023-11-16 18:15:46.6805900,374,44"])
    >>> requests.prompt_tokens.tolist(), requests.output_tokens.tolist()
    ([374], [44])
    """
    rows = _collect(read_azure(source), limit)
    return Requests(
        [row.arrival_s for row in rows],
        [row.prompt_tokens for row in rows],
        [row.output_tokens for row in rows],
    )


def load_mooncake(source: Source, limit: int | None = None) -> Requests:
    """Load a Mooncake trace, or its first rows.

    Parameters
    ----------
    source : path or iterable of str
        As for `read_mooncake`.
    limit : int, optional
        Rows to read at most, at least 1; the rest of the file is not looked at.

    Returns
    -------
    Requests
        With block hashes, for a server with a prefix cache.

    Raises
    ------
    ValueError
        As for `read_mooncake`, or if there is no row.

    Examples
    --------
    >>> line = '{"timestamp": 0, "input_length": 600, "output_length": 52, "hash_ids": [0, 9]}'
    >>> load_mooncake([line]).block_hashes
    ((0, 9),)
    """
    rows = _collect(read_mooncake(source), limit)
    return Requests(
        [row.arrival_s for row in rows],
        [row.prompt_tokens for row in rows],
        [row.output_tokens for row in rows],
        block_hashes=[row.block_hashes or () for row in rows],
        hash_block_tokens=_MOONCAKE_BLOCK_TOKENS,
    )
