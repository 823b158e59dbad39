"""Reading request traces: Azure's and BurstGPT's CSV, Mooncake's JSON lines.

Rows are read one at a time and checked as they come; what is wrong is reported with its
row, counted from 1 as an editor counts lines. Files may be gzipped, begin with a byte-order
mark, or have been saved again by a spreadsheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from servemath_helpers._validate import finite_non_negative, finite_positive, whole
from servemath_helpers.sim._textfiles import Source, csv_rows, open_text
from servemath_helpers.sim.requests import Requests

__all__ = [
    "TraceRow",
    "load_azure",
    "load_burstgpt",
    "load_mooncake",
    "read_azure",
    "read_burstgpt",
    "read_mooncake",
]


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


def _count(name: str, text: str, minimum: int = 1) -> int:
    """Return a count of tokens; spreadsheets and pandas write 374.0 for 374."""
    try:
        return whole(
            name, float(text) if "." in text or "e" in text.lower() else int(text), minimum
        )
    except ValueError:
        raise ValueError(
            f"{name} must be a whole number of at least {minimum}, got {text!r}"
        ) from None


def _not_before(name: str, value: Any, before: Any, given: object) -> Any:
    if before is not None and value < before:
        raise ValueError(f"{name} must not be before the row above, got {given!r}")
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
        A CSV file with the columns ``TIMESTAMP, ContextTokens, GeneratedTokens`` among
        others, in any order, or its lines.

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
    columns = {name: (name,) for name in ("TIMESTAMP", "ContextTokens", "GeneratedTokens")}
    first = before = None
    for number, cells in csv_rows(source, columns):
        where = f"row {number}"
        text = cells["TIMESTAMP"]
        instant = _instant(f"{where}: TIMESTAMP", text)
        first = instant if first is None else first
        before = _not_before(f"{where}: TIMESTAMP", instant, before, text)
        yield TraceRow(
            float(instant - first),
            _count(f"{where}: ContextTokens", cells["ContextTokens"]),
            _count(f"{where}: GeneratedTokens", cells["GeneratedTokens"]),
        )


def read_burstgpt(source: Source) -> Iterator[TraceRow]:
    """Read a BurstGPT trace row by row.

    Parameters
    ----------
    source : path or iterable of str
        A CSV file with the columns ``Timestamp`` [s], ``Request tokens`` and ``Response
        tokens`` among others, or its lines.

    Yields
    ------
    TraceRow
        In the order of the file; arrivals count from the first row. Requests that failed
        (no response tokens) are left out.

    Raises
    ------
    ValueError
        If a row is not as it should be or comes before the one above it; the message names
        the row.

    References
    ----------
    Wang et al. (2025), "BurstGPT: A Real-World Workload Dataset to Optimize LLM Serving
    Systems", KDD 2025, arXiv:2401.17644; data at github.com/HPMLL/BurstGPT.

    Examples
    --------
    >>> lines = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
    ...          "5,ChatGPT,472,18,490,Conversation log", "45,ChatGPT,1087,0,1087,API log",
    ...          "118,GPT-4,417,276,693,Conversation log"]
    >>> [(row.arrival_s, row.output_tokens) for row in read_burstgpt(lines)]
    [(0.0, 18), (113.0, 276)]
    """
    columns = {name: (name,) for name in ("Timestamp", "Request tokens", "Response tokens")}
    first = before = None
    for number, cells in csv_rows(source, columns):
        where = f"row {number}"
        text = cells["Timestamp"]
        try:
            instant = finite_non_negative(f"{where}: Timestamp", Fraction(text))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"{where}: Timestamp must be a number of seconds of at least 0, got {text!r}"
            ) from None
        first = instant if first is None else first
        before = _not_before(f"{where}: Timestamp", instant, before, text)
        output = _count(f"{where}: Response tokens", cells["Response tokens"], 0)
        prompt = _count(f"{where}: Request tokens", cells["Request tokens"], 1 if output else 0)
        if output:
            yield TraceRow(instant - first, prompt, output)


def read_mooncake(
    source: Source,
    *,
    block_tokens: int = 512,
    output_tokens: int | None = None,
    seconds_per_unit: float = 1e-3,
) -> Iterator[TraceRow]:
    """Read a trace in Mooncake's format row by row.

    Parameters
    ----------
    source : path or iterable of str
        A file of JSON lines with ``timestamp``, ``input_length``, ``output_length`` and
        ``hash_ids`` (one for each block of the prompt), or its lines. ``hash_ids`` may be
        missing; so may ``timestamp``, in all rows: then everything comes at 0.
    block_tokens : int, optional
        Tokens of a block that has a hash, at least 1: 512 in Mooncake's traces, 16 in some
        of other tools.
    output_tokens : int, optional
        Length of an answer where ``output_length`` is missing, at least 1.
    seconds_per_unit : float, optional
        Unit of ``timestamp`` [s], greater than 0: a millisecond in Mooncake's traces.

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

    block = whole("block_tokens", block_tokens, 1)
    unit_s = Fraction(str(finite_positive("seconds_per_unit", seconds_per_unit)))
    usual = None if output_tokens is None else whole("output_tokens", output_tokens, 1)
    before: float | None = None
    timed: bool | None = None
    with open_text(source) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"row {number}"
            try:
                row: Any = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(f"{where} must be a JSON object, got {line.strip()[:80]!r}")
            row = {name: value for name, value in row.items() if value is not None}
            timed = "timestamp" in row if timed is None else timed
            needed = {"input_length"}
            needed |= {"timestamp"} if timed else set()
            needed |= {"output_length"} if usual is None else set()
            if missing := needed - row.keys():
                hint = "; pass output_tokens" if missing == {"output_length"} else ""
                raise ValueError(f"{where} lacks {', '.join(sorted(missing))}{hint}")
            given = row.get("timestamp", 0)
            arrival = finite_non_negative(f"{where}: timestamp", given)
            before = _not_before(f"{where}: timestamp", arrival, before, given)
            prompt = whole(f"{where}: input_length", row["input_length"], 1)
            ids = row.get("hash_ids")
            yield TraceRow(
                float(Fraction(arrival) * unit_s),
                prompt,
                whole(f"{where}: output_length", row.get("output_length", usual), 1),
                None if ids is None else _hashes(where, ids, prompt, block),
            )


def _hashes(where: str, ids: Any, prompt: int, block: int) -> tuple[int, ...]:
    blocks = -(-prompt // block)
    if not isinstance(ids, list) or len(ids) > blocks:
        got = str(ids)[:80]
        if isinstance(ids, list):
            fitting = [
                size for size in (16, 32, 64, 128, 256, 512) if -(-prompt // size) == len(ids)
            ]
            got = f"{len(ids)} of them"
            got += f"; block_tokens={fitting[0]} would fit" if fitting else ""
        raise ValueError(
            f"{where}: hash_ids must be a list with one number for each {block} of {prompt} "
            f"tokens, at most {blocks}, got {got}"
        )
    return tuple(whole(f"{where}: hash_ids[{i}]", x) for i, x in enumerate(ids))


def _collect(rows: Iterator[TraceRow], limit: int | None) -> list[TraceRow]:
    from itertools import islice

    taken = list(islice(rows, None if limit is None else whole("limit", limit, 1)))
    if not taken:
        raise ValueError("source must hold at least one row, got none")
    return taken


def _requests(rows: list[TraceRow], **more: Any) -> Requests:
    return Requests(
        [row.arrival_s for row in rows],
        [row.prompt_tokens for row in rows],
        [row.output_tokens for row in rows],
        **more,
    )


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
    return _requests(_collect(read_azure(source), limit))


def load_burstgpt(source: Source, limit: int | None = None) -> Requests:
    """Load a BurstGPT trace, or its first rows.

    Parameters
    ----------
    source : path or iterable of str
        As for `read_burstgpt`.
    limit : int, optional
        Requests to read at most, as for `load_azure`.

    Returns
    -------
    Requests
        Arrivals from 0 on, without requests that failed.

    Raises
    ------
    ValueError
        As for `read_burstgpt`, or if there is no request.

    Examples
    --------
    >>> lines = ["Timestamp,Request tokens,Response tokens", "5,472,18", "45.5,1087,230"]
    >>> load_burstgpt(lines).arrival_s.tolist()
    [0.0, 40.5]
    """
    return _requests(_collect(read_burstgpt(source), limit))


def load_mooncake(
    source: Source,
    limit: int | None = None,
    *,
    block_tokens: int = 512,
    output_tokens: int | None = None,
    seconds_per_unit: float = 1e-3,
) -> Requests:
    """Load a trace in Mooncake's format, or its first rows.

    Parameters
    ----------
    source : path or iterable of str
        As for `read_mooncake`.
    limit : int, optional
        Rows to read at most, at least 1; the rest of the file is not looked at.
    block_tokens, output_tokens, seconds_per_unit
        As for `read_mooncake`.

    Returns
    -------
    Requests
        With block hashes, for a server with a prefix cache, if any row has them.

    Raises
    ------
    ValueError
        As for `read_mooncake`, or if there is no row.

    Examples
    --------
    >>> line = '{"timestamp": 0, "input_length": 600, "output_length": 52, "hash_ids": [0, 9]}'
    >>> load_mooncake([line]).block_hashes
    ((0, 9),)
    >>> load_mooncake(['{"input_length": 600, "output_length": 52}']).block_hashes is None
    True
    """
    rows = _collect(
        read_mooncake(
            source,
            block_tokens=block_tokens,
            output_tokens=output_tokens,
            seconds_per_unit=seconds_per_unit,
        ),
        limit,
    )
    if all(row.block_hashes is None for row in rows):
        return _requests(rows)
    return _requests(
        rows,
        block_hashes=[row.block_hashes or () for row in rows],
        hash_block_tokens=block_tokens,
    )
