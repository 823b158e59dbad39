"""Measured runs as benchmark tools save them, and what each tool means by its numbers.

Every loader returns a `Measurement`. Requests that failed are left out, and counted: where
more than a twentieth of those that were sent are not there, a warning says so. What is wrong
is reported with its place in the file, and a file of another kind with what can read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from servemath_helpers._validate import finite_non_negative, finite_positive, sequence, whole
from servemath_helpers.sim._textfiles import AIPERF_SUMMARY, Source, csv_rows, json_values
from servemath_helpers.sim.measurement import Measurement, Row, measurement_of

__all__ = [
    "TPOT_DEFINITIONS",
    "load_aiperf",
    "load_guidellm",
    "load_inference_perf",
    "load_measurement_csv",
    "load_vllm_bench",
    "tpot_from",
]

TpotDefinition = Literal["after_first", "all_tokens", "after_first_over_all"]

#: What tools call a time per token, and which of the three quotients it is.
TPOT_DEFINITIONS: Mapping[str, TpotDefinition] = {
    "vllm tpot": "after_first",
    "sglang tpot": "after_first",
    "inference-perf time_per_output_token": "after_first",
    "inference-perf normalized_time_per_output_token": "all_tokens",
    "guidellm inter_token_latency_ms": "after_first",
    "guidellm time_per_output_token_ms": "all_tokens",
    "guidellm<0.4 time_per_output_token_ms": "after_first_over_all",
    "aiperf inter_token_latency": "after_first",
    "llmperf inter_token_latency_s": "all_tokens",
}


def tpot_from(value: float, definition: str, *, ttft: float, output_tokens: int) -> float:
    """Convert a tool's time per token to TPOT as this course defines it.

    Parameters
    ----------
    value : float
        What the tool reports for one request, at least 0, in any unit of time.
    definition : str
        ``"after_first"``: (last token - first token) / (n - 1), which is TPOT.
        ``"all_tokens"``: (last token - start) / n, the first token and its wait included.
        ``"after_first_over_all"``: (last token - first token) / n. Or a key of
        `TPOT_DEFINITIONS`, such as ``"guidellm time_per_output_token_ms"``.
    ttft : float
        The request's time to first token, at least 0, in the unit of `value`.
    output_tokens : int
        Tokens of its answer (n), at least 2.

    Returns
    -------
    float
        ``(E2E - TTFT) / (n - 1)`` in the unit of `value`.

    Raises
    ------
    ValueError
        If the definition is not known or a value is out of range.

    Examples
    --------
    A request of 101 tokens, the first after 500 ms, the others 20 ms apart, has a
    "time per output token" of (500 + 100 * 20) / 101 = 24.75 ms in GuideLLM:

    >>> round(tpot_from(2500 / 101, "guidellm time_per_output_token_ms", ttft=500,
    ...                 output_tokens=101), 9)
    20.0
    """
    kind = TPOT_DEFINITIONS.get(definition, definition)
    value = finite_non_negative("value", value)
    first = finite_non_negative("ttft", ttft)
    n = whole("output_tokens", output_tokens, 2)
    if kind == "after_first":
        return value
    if kind == "after_first_over_all":
        return value * n / (n - 1)
    if kind != "all_tokens":
        raise ValueError(
            "definition must be 'after_first', 'all_tokens', 'after_first_over_all' or one of "
            f"{', '.join(map(repr, TPOT_DEFINITIONS))}, got {definition!r}"
        )
    if value * n < first:
        raise ValueError(
            f"value must be at least ttft / output_tokens = {first / n!r}, got {value!r}"
        )
    return (value * n - first) / (n - 1)


# CSV ------------------------------------------------------------------------------------

_MISSING = {"", "-", "na", "n/a", "nan", "none", "null"}
_TIMES = ("ttft", "e2e", "tpot", "arrival", "first_token", "last_token")


def _in_units(name: str) -> tuple[str, ...]:
    return (f"{name}_s", f"{name}_ms")


def load_measurement_csv(source: Source) -> Measurement:
    """Load a measured run from a CSV with one request a row.

    Parameters
    ----------
    source : path or iterable of str
        A file (gzipped or not), or its lines, with the columns ``arrival_s, prompt_tokens,
        output_tokens``, then ``ttft_s`` or ``first_token_s``, and ``e2e_s``, ``tpot_s`` or
        ``last_token_s``, in any order; other columns are ignored. A time may be in ``_ms``
        instead. ``first_token_s`` and ``last_token_s`` are instants on the clock of
        ``arrival_s``. An empty cell, ``nan`` or ``null`` is a time that is not known. Rows with
        anything in a column ``error`` are requests that failed, and left out.

    Returns
    -------
    Measurement
        Sorted by arrival, the first at 0.

    Raises
    ------
    ValueError
        If a column is missing or a cell is no number; the message names the row.

    Examples
    --------
    >>> run = load_measurement_csv(["arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_ms",
    ...                             "12.0,512,101,0.08,20"])
    >>> run.e2e_s.tolist()
    [2.08]
    """
    columns = {"prompt_tokens": ("prompt_tokens",), "output_tokens": ("output_tokens",)}
    columns |= {unit: (unit,) for name in _TIMES for unit in _in_units(name)}
    columns["error"] = ("error",)
    optional = ["error", *(unit for name in _TIMES for unit in _in_units(name))]
    rows: list[Row] = []
    failed = 0
    for number, cells in csv_rows(source, columns, optional):
        if not rows:
            _expect_times(cells)
        if cells.pop("error", "").casefold() not in _MISSING:
            failed += 1
            continue
        where = f"row {number}"
        values = {name: _cell(f"{where}: {name}", text) for name, text in cells.items()}

        def seconds(name: str, values: Mapping[str, float | None] = values) -> float | None:
            if (value := values.get(f"{name}_s")) is not None:
                return value
            value = values.get(f"{name}_ms")
            return None if value is None else value / 1000

        arrival, ttft, e2e = seconds("arrival"), seconds("ttft"), seconds("e2e")
        if arrival is None:
            raise ValueError(f"{where}: arrival_s must be a number, got nothing")
        output = values["output_tokens"]
        if ttft is None and (first := seconds("first_token")) is not None:
            ttft = first - arrival
        if e2e is None and (last := seconds("last_token")) is not None:
            e2e = last - arrival
        if e2e is None and (tpot := seconds("tpot")) is not None and ttft is not None:
            e2e = ttft + (whole(f"{where}: output_tokens", output, 1) - 1) * tpot
        rows.append(Row(where, arrival, values["prompt_tokens"], output, ttft, e2e))
    if not rows and not failed:
        raise ValueError("source must hold at least one row, got none")
    return measurement_of(rows, len(rows) + failed)


def _expect_times(cells: Mapping[str, str]) -> None:
    present = {name.rpartition("_")[0] for name in cells}
    wanted = (("arrival",), ("ttft", "first_token"), ("e2e", "tpot", "last_token"))
    missing = [
        " or ".join(f"{name}_s" for name in names) for names in wanted if not present & set(names)
    ]
    if missing:
        raise ValueError(
            f"source must have the columns {', '.join(missing)}, got {', '.join(cells)}"
        )


def _cell(name: str, text: str) -> float | None:
    if text.casefold() in _MISSING:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


# JSON -----------------------------------------------------------------------------------


#: Fields by which other files are known, and what they are.
_FORMS: tuple[tuple[set[str], str], ...] = (
    ({"benchmarks"}, "GuideLLM's report, which load_guidellm reads"),
    (
        {"start_time", "end_time", "info"},
        "inference-perf's per_request_lifecycle_metrics.json, which load_inference_perf reads",
    ),
    (
        {"load_summary", "successes"},
        "inference-perf's summary; load_inference_perf reads per_request_lifecycle_metrics.json "
        "(report, request_lifecycle, per_request)",
    ),
    (
        {"ttft_s", "end_to_end_latency_s"},
        "LLMPerf's individual_responses, which does not say when requests were sent, so that "
        "nothing can be fitted to it",
    ),
    (
        {"experiments"},
        "GenAI-Perf's profile_export.json, which does not say how many tokens there were; "
        "load_aiperf reads profile_export.jsonl of AIPerf, its successor",
    ),
    ({"metadata", "metrics"}, "AIPerf's profile_export.jsonl, which load_aiperf reads"),
    *(({field}, AIPERF_SUMMARY) for field in ("input_config", "aiperf_version")),
    (
        {"benchmark", "metric"},
        "vLLM's figures for PyTorch; load_vllm_bench reads the .json beside it",
    ),
    (
        {"completed", "request_throughput"},
        "a result of vllm bench serve or SGLang's bench_serving, which load_vllm_bench reads if "
        "it is detailed",
    ),
)


def _what(value: Any) -> str:
    """Return what a file is in the words of its kind, or its beginning."""
    first = value[0] if isinstance(value, list) and value else value
    for names, kind in _FORMS:
        if isinstance(first, dict) and names <= first.keys():
            return kind
    return str(value)[:80]


def _one_of(values: Sequence[Any], index: int | None, what: str) -> Any:
    if index is None:
        if len(values) > 1:
            raise ValueError(
                f"source holds {len(values)} {what}; choose one with index = 0 to {len(values) - 1}"
            )
        index = 0
    if whole("index", index) >= len(values):
        raise ValueError(f"index must be below the {len(values)} {what} of source, got {index!r}")
    return values[index]


def _fields(where: str, found: Any, names: Sequence[str], hint: str = "") -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be a JSON object, got {_what(found)}")
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{where} must have the fields {', '.join(missing)}{hint}, got {_what(found)}"
        )
    return found


def load_vllm_bench(source: Source, index: int | None = None) -> Measurement:
    """Load a measured run of vLLM, or of SGLang's client.

    ``vllm bench serve --save-result --save-detailed``, or SGLang's
    ``bench_serving --output-details``.

    Parameters
    ----------
    source : path or iterable of str
        The JSON file, with ``start_times`` [s], ``input_lens``, ``output_lens``, ``ttfts``
        [s] and ``itls`` (lists of gaps [s]). Without ``start_times``, as SGLang writes it,
        and vLLM before 0.11, only a run at an infinite rate without a limit of concurrency
        can be read: all of it was sent at once.
    index : int, optional
        Which result, from 0, if the file holds several (``--append-result``; SGLang
        always appends).

    Returns
    -------
    Measurement
        Sorted by arrival, the first at 0. Requests that failed (an entry in ``errors``, or
        no output) are left out; a TTFT of 0 is not known.

    Raises
    ------
    ValueError
        If the file is no such JSON, holds several results, a field is missing, lengths
        differ, or no request is left.

    Examples
    --------
    >>> import json
    >>> detailed = dict(start_times=[7.5], input_lens=[512], output_lens=[3], ttfts=[0.25],
    ...                 itls=[[0.5, 0.25]], errors=[""])
    >>> load_vllm_bench([json.dumps(detailed)]).e2e_s.tolist()
    [1.0]
    """
    result = _one_of([value for _, value in json_values(source)], index, "results")
    names = ("input_lens", "output_lens", "ttfts", "itls")
    found = _fields("source", result, names, " (--save-detailed, SGLang's --output-details)")
    columns = {name: sequence(name, found[name]) for name in names}
    n = len(columns["ttfts"])
    if "start_times" in found:
        columns["start_times"] = sequence("start_times", found["start_times"])
    elif str(found.get("request_rate")) == "inf" and found.get("max_concurrency") is None:
        columns["start_times"] = [0.0] * n
    else:
        raise ValueError(
            "source must have the field start_times: without it nobody knows when requests of "
            f"a run at request_rate {found.get('request_rate')!r} and max_concurrency "
            f"{found.get('max_concurrency')!r} were sent (vLLM 0.11 and later write it, SGLang "
            "does not)"
        )
    columns["errors"] = sequence("errors", found.get("errors") or [""] * n)
    for name, values in columns.items():
        if len(values) != n:
            raise ValueError(f"{name} must have one entry for each of {n} ttfts, got {len(values)}")
    counts = [found.get(name) or 0 for name in ("completed", "failed", "num_prompts")]
    said = [whole("completed, failed and num_prompts", count) for count in counts]
    return measurement_of(_vllm_rows(columns, n), max(n, said[0] + said[1], said[2]))


def _vllm_rows(columns: Mapping[str, list[Any]], n: int) -> Iterator[Row]:
    for i in range(n):
        output, ttft = columns["output_lens"][i], columns["ttfts"][i]
        if columns["errors"][i] or not output:
            continue
        gaps = [
            finite_non_negative(f"itls[{i}][{j}]", gap)
            for j, gap in enumerate(sequence(f"itls[{i}]", columns["itls"][i]))
        ]
        known = bool(ttft)
        # Gaps without a first token are those of a server that did not stream.
        e2e = ttft + math.fsum(gaps) if known and (gaps or output == 1) else None
        yield Row(
            f"request {i}",
            columns["start_times"][i],
            columns["input_lens"][i],
            output,
            ttft if known else None,
            e2e,
        )


def _first(found: Mapping[str, Any], *paths: str) -> Any:
    """Return the first value that is there and not null, of dotted paths."""
    for path in paths:
        value: Any = found
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def load_guidellm(source: Source, index: int | None = None) -> Measurement:
    """Load a measured run from GuideLLM's JSON report.

    Parameters
    ----------
    source : path or iterable of str
        The file that ``guidellm benchmark`` writes as ``benchmarks.json``, of versions 0.2
        and later.
    index : int, optional
        Which benchmark, from 0, if the file holds several (a sweep).

    Returns
    -------
    Measurement
        Its successful requests. E2E ends with the last token; GuideLLM's
        ``request_latency`` ends when the connection does.

    Raises
    ------
    ValueError
        If the file is no such JSON, holds several benchmarks, or a request lacks a field;
        the message names the request.

    Examples
    --------
    >>> import json
    >>> request = {"request_start_time": 5.0, "prompt_tokens": 512, "output_tokens": 101,
    ...            "time_to_first_token_ms": 80.0, "inter_token_latency_ms": 20.0}
    >>> report = {"benchmarks": [{"requests": {"successful": [request]}}]}
    >>> load_guidellm([json.dumps(report)]).e2e_s.tolist()
    [2.08]
    """
    report = _fields("source", json_values(source)[0][1], ("benchmarks",))
    run = _one_of(sequence("benchmarks", report["benchmarks"]), index, "benchmarks")
    requests = _first(run if isinstance(run, dict) else {}, "requests.successful", "requests")
    if not isinstance(requests, list):
        raise ValueError("source must have benchmarks with requests.successful (a full report)")
    others = [_first(run, f"requests.{kind}") or () for kind in ("errored", "incomplete")]
    # Of a long run the report may hold a sample.
    said = _first(run, "metrics.request_totals.total", "request_totals.total") or 0
    sent = max(len(requests) + sum(map(len, others)), whole("request_totals.total", said))
    return measurement_of((_guidellm_row(i, row) for i, row in enumerate(requests)), sent)


def _guidellm_row(i: int, request: Any) -> Row:
    where = f"request {i}"
    found = _fields(where, request, ())
    timings = _first(found, "info.timings", "scheduler_info.request_timings") or {}
    start = _first(found, "request_start_time", "start_time")
    start = start if start is not None else _first(timings, "request_start")
    prompt = _first(found, "prompt_tokens", "input_metrics.text_tokens")
    output = _first(found, "output_tokens", "output_metrics.text_tokens")
    if start is None or prompt is None or output is None:
        raise ValueError(
            f"{where} must have a start time, prompt_tokens and output_tokens, "
            f"got {', '.join(map(str, found)) or repr(request)}"
        )
    ttft = _first(found, "time_to_first_token_ms")
    gap = _first(found, "inter_token_latency_ms")
    last = _first(found, "last_token_time")
    last = last if last is not None else _first(timings, "last_token_iteration", "last_iteration")
    if last is not None:
        e2e = last - start
    elif ttft and gap is not None:
        e2e = (ttft + gap * (output - 1)) / 1000
    else:
        e2e = _first(found, "request_latency")
    return Row(where, start, prompt, output, ttft / 1000 if ttft else None, e2e)


def load_inference_perf(source: Source) -> Measurement:
    """Load a measured run from inference-perf's ``per_request_lifecycle_metrics.json``.

    Parameters
    ----------
    source : path or iterable of str
        The file: a list of requests with ``start_time``, ``end_time`` [s] and ``info``.

    Returns
    -------
    Measurement
        Requests without an ``error``. TTFT and E2E come from ``output_token_times``; of a
        request that was not streamed only E2E is known.

    Raises
    ------
    ValueError
        If the file is no such JSON or a request lacks a field; the message names it.

    Examples
    --------
    >>> import json
    >>> request = {"start_time": 5.0, "end_time": 5.7, "error": None,
    ...            "info": {"input_tokens": 9, "output_tokens": 3,
    ...                     "output_token_times": [5.25, 5.5, 5.625]}}
    >>> load_inference_perf([json.dumps([request])]).e2e_s.tolist()
    [0.625]
    """
    requests = json_values(source)[0][1]
    if not isinstance(requests, list):
        raise ValueError(f"source must be a list of requests, got {_what(requests)}")
    rows = (
        _inference_perf_row(i, request)
        for i, request in enumerate(requests)
        if not (isinstance(request, dict) and request.get("error"))
    )
    return measurement_of(rows, len(requests))


def _inference_perf_row(i: int, request: Any) -> Row:
    where = f"request {i}"
    found = _fields(where, request, ("start_time", "end_time", "info"))
    prompt = _first(found, "info.input_tokens", "info.request_metrics.text.input_tokens")
    output = _first(
        found,
        "info.response_metrics.server_usage.completion_tokens",
        "info.response_metrics.server_usage.output_tokens",
        "info.output_tokens",
        "info.response_metrics.output_tokens",
    )
    if prompt is None or output is None:
        raise ValueError(f"{where} must have info.input_tokens and info.output_tokens")
    start = found["start_time"]
    instants = sequence(
        f"{where}: output_token_times",
        _first(found, "info.output_token_times", "info.response_metrics.output_token_times") or [],
    )
    if len(instants) > 1 or (instants and output == 1):
        return Row(where, start, prompt, output, instants[0] - start, instants[-1] - start)
    return Row(where, start, prompt, output, None, found["end_time"] - start)


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}


def load_aiperf(source: Source) -> Measurement:
    """Load a measured run from AIPerf's ``profile_export.jsonl``.

    Parameters
    ----------
    source : path or iterable of str
        The file: one record a line with ``metadata`` and ``metrics``.

    Returns
    -------
    Measurement
        Records of the profiling phase without an ``error``. The answer's length is
        ``output_sequence_length``, which counts reasoning tokens.

    Raises
    ------
    ValueError
        If a line is no such record or lacks a field; the message names the row.

    Examples
    --------
    >>> import json
    >>> record = {"metadata": {"request_start_ns": 5_000_000_000,
    ...                        "benchmark_phase": "profiling"},
    ...           "metrics": {"input_sequence_length": {"value": 512, "unit": "tokens"},
    ...                       "output_sequence_length": {"value": 101, "unit": "tokens"},
    ...                       "time_to_first_token": {"value": 80.0, "unit": "ms"},
    ...                       "request_latency": {"value": 2080.0, "unit": "ms"}},
    ...           "error": None}
    >>> load_aiperf([json.dumps(record)]).e2e_s.tolist()
    [2.08]
    """
    records = [
        (number, _fields(f"row {number}", record, ("metadata", "metrics")))
        for number, record in json_values(source)
    ]
    # Nanoseconds since 1970 do not fit a float: they are subtracted as whole numbers.
    rows: list[Row] = []
    origin_ns: int | None = None
    records = [(number, record) for number, record in records if _profiled(record)]
    for number, record in records:
        if not _failed(record):
            start_ns = _start_ns(number, record)
            origin_ns = start_ns if origin_ns is None else origin_ns
            rows.append(_aiperf_row(number, record, (start_ns - origin_ns) / 1e9))
    return measurement_of(rows, len(records))


def _profiled(record: Mapping[str, Any]) -> bool:
    phase = _first(record, "metadata.benchmark_phase", "metadata.credit_phase")
    return phase in (None, "profiling")


def _failed(record: Mapping[str, Any]) -> bool:
    return bool(_first(record, "error", "metadata.error", "metadata.was_cancelled"))


def _start_ns(number: int, record: Mapping[str, Any]) -> int:
    start = _first(record, "metadata.request_start_ns", "metadata.timestamp_ns")
    return whole(f"row {number}: metadata.request_start_ns", start)


def _aiperf_row(number: int, record: Mapping[str, Any], arrival_s: float) -> Row:
    where = f"row {number}"
    sizes = [
        _first(record, f"metrics.{name}.value", f"metrics.{name}")
        for name in ("input_sequence_length", "output_sequence_length")
    ]
    times: list[float | None] = []
    for name, old in (("time_to_first_token", "ttft"), ("request_latency", "request_latency")):
        metric = _first(record, f"metrics.{name}", f"metrics.{old}")
        value = _first({"metric": metric}, "metric.value")
        unit = str(_first({"metric": metric}, "metric.unit") or "ms")
        if unit not in _UNITS_S:
            raise ValueError(f"{where}: {name} must have a unit of time, got {unit!r}")
        times.append(
            None if value is None else finite_positive(f"{where}: {name}", value) * _UNITS_S[unit]
        )
    return Row(where, arrival_s, sizes[0], sizes[1], *times)
