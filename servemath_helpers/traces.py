"""What a trace of requests must hold, and what it says about a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from servemath_helpers._validate import finite_non_negative, sequence, whole
from servemath_helpers.latency import percentile

__all__ = ["TRACE_FIELDS", "TraceField", "checklist", "goodput", "summarize_traces"]


@dataclass(frozen=True)
class TraceField:
    """A field of a trace record: its unit and what it means."""

    unit: str
    meaning: str


#: The fields without which a record cannot be summarised, in the order of a request's life.
TRACE_FIELDS: Final[Mapping[str, TraceField]] = MappingProxyType(
    {
        "arrival_s": TraceField("s", "when the request reached the service"),
        "start_s": TraceField("s", "when it left the queue and prefill began"),
        "first_token_s": TraceField("s", "when its first output token was sent"),
        "end_s": TraceField("s", "when its last byte was sent, or when it failed"),
        "n_out": TraceField("tokens", "how many output tokens it was sent"),
        "status": TraceField("text", '"ok", or what went wrong'),
    }
)

_QUANTILES: Final = ("0.50", "0.95", "0.99")


def checklist() -> tuple[str, ...]:
    """Return what to check before trusting a trace, one line a required field.

    Returns
    -------
    tuple of str
        Lines of the form ``[ ] name [unit]: meaning``.

    Examples
    --------
    >>> print(checklist()[0])
    [ ] arrival_s [s]: when the request reached the service
    """
    return tuple(
        f"[ ] {name} [{field.unit}]: {field.meaning}" for name, field in TRACE_FIELDS.items()
    )


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a dict, got {value!r}")
    return value


def _mappings(name: str, values: object) -> list[Mapping[str, Any]]:
    items = sequence(name, values, "a list of dicts")
    return [_mapping(f"{name}[{index}]", value) for index, value in enumerate(items)]


def _bound(slo: Mapping[str, Any], key: str) -> float:
    if key not in slo:
        raise ValueError(f"slo must have the keys ttft_s and tpot_s; missing: {key}")
    return finite_non_negative(f"slo[{key!r}]", slo[key])


@dataclass(frozen=True)
class _Timing:
    """The checked numbers of one complete record."""

    arrival_s: float
    end_s: float
    ttft_s: float
    tpot_s: float | None
    ok: bool

    @property
    def e2e_s(self) -> float:
        return self.end_s - self.arrival_s

    def within(self, ttft_bound_s: float, tpot_bound_s: float) -> bool:
        return self.ttft_s <= ttft_bound_s and (self.tpot_s is None or self.tpot_s <= tpot_bound_s)


def _checked(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the required fields that a record has, refusing values that cannot be."""
    present = {field: record[field] for field in TRACE_FIELDS if record.get(field) is not None}
    for field, value in present.items():
        if field == "n_out":
            present[field] = whole(f"{name}[{field!r}]", value)
        elif field != "status":
            present[field] = finite_non_negative(f"{name}[{field!r}]", value)
    times = [field for field in TRACE_FIELDS if field.endswith("_s") and field in present]
    for before, after in pairwise(times):
        if present[after] < present[before]:
            raise ValueError(
                f"{name}[{after!r}] must be at least {before} = {present[before]!r}, "
                f"got {present[after]!r}"
            )
    return present


def _timing(record: Mapping[str, Any]) -> _Timing:
    """Derive the latencies of a complete, checked record."""
    first_s, end_s, n_out = record["first_token_s"], record["end_s"], record["n_out"]
    return _Timing(
        arrival_s=record["arrival_s"],
        end_s=end_s,
        ttft_s=first_s - record["arrival_s"],
        tpot_s=(end_s - first_s) / (n_out - 1) if n_out >= 2 else None,
        ok=record["status"] == "ok",
    )


def summarize_traces(
    records: Iterable[Mapping[str, Any]], slo: Mapping[str, float]
) -> dict[str, Any]:
    """Percentiles, goodput and errors of a trace.

    Parameters
    ----------
    records : iterable of dict
        One dict a request, in any order, with the fields of `TRACE_FIELDS`; other fields
        are ignored. A field that is None counts as absent.
    slo : dict
        Bounds ``ttft_s`` and ``tpot_s`` in seconds, at least 0; a bound met exactly is met.

    Returns
    -------
    dict
        ``ttft_p50_s``, ``ttft_p95_s``, ``ttft_p99_s`` and the same for ``tpot`` and ``e2e``:
        nearest-rank percentiles over the complete records with status "ok" (for TPOT those
        with at least two tokens), None where there are none.
        ``goodput_rps``: "ok" requests within both bounds per second, the time running from
        the first arrival to the last end of complete records; 0.0 if that is no time.
        ``error_rate``: share of all records whose status is not "ok" or absent; 0.0 if there
        are no records.
        ``missing_fields``: sorted names of required fields that some record lacks.

    Raises
    ------
    ValueError
        If a record is no dict, a time is negative or earlier than the one before it, `n_out`
        is no whole number of at least 0, or `slo` lacks a bound.

    Notes
    -----
    TTFT is ``first_token_s - arrival_s``, so it includes the queue; TPOT is
    ``(end_s - first_token_s) / (n_out - 1)``; E2E is ``end_s - arrival_s``. A request with
    fewer than two tokens has no TPOT and is within that bound. Failures have no latency
    but count as errors and not as goodput: dropping them would flatter the service.

    Examples
    --------
    >>> records = [
    ...     dict(arrival_s=0, start_s=0, first_token_s=0.5, end_s=2.5, n_out=5, status="ok"),
    ...     dict(arrival_s=1, start_s=2, first_token_s=3, end_s=4, n_out=3, status="ok"),
    ...     dict(arrival_s=1, start_s=3, status="timeout"),
    ... ]
    >>> summary = summarize_traces(records, slo=dict(ttft_s=1, tpot_s=0.5))
    >>> summary["ttft_p50_s"], summary["tpot_p99_s"], summary["goodput_rps"]
    (0.5, 0.5, 0.25)
    >>> round(summary["error_rate"], 3), summary["missing_fields"]
    (0.333, ['end_s', 'first_token_s', 'n_out'])
    """
    slo = _mapping("slo", slo)
    ttft_bound_s, tpot_bound_s = _bound(slo, "ttft_s"), _bound(slo, "tpot_s")
    checked = [
        _checked(f"records[{index}]", record)
        for index, record in enumerate(_mappings("records", records))
    ]
    complete = [_timing(record) for record in checked if len(record) == len(TRACE_FIELDS)]
    answered = [timing for timing in complete if timing.ok]

    summary: dict[str, Any] = {}
    samples = {
        "ttft": [timing.ttft_s for timing in answered],
        "tpot": [timing.tpot_s for timing in answered if timing.tpot_s is not None],
        "e2e": [timing.e2e_s for timing in answered],
    }
    for name, values in samples.items():
        for q in _QUANTILES:
            summary[f"{name}_p{q[2:]}_s"] = percentile(values, q) if values else None

    span_s = 0.0
    if complete:
        span_s = max(timing.end_s for timing in complete) - min(
            timing.arrival_s for timing in complete
        )
    good = sum(timing.within(ttft_bound_s, tpot_bound_s) for timing in answered)
    failed = sum(record.get("status") != "ok" for record in checked)
    summary["goodput_rps"] = good / span_s if span_s else 0.0
    summary["error_rate"] = failed / len(checked) if checked else 0.0
    summary["missing_fields"] = sorted(
        {field for record in checked for field in TRACE_FIELDS if field not in record}
    )
    return summary


def goodput(requests: Iterable[Mapping[str, Any]], ttft_slo: float, tpot_slo: float) -> float:
    """Share of requests that were answered within both bounds.

    Parameters
    ----------
    requests : iterable of dict
        Dicts with ``ttft``, ``tpot`` (None for fewer than two tokens) and ``status``, times in
        any one unit.
    ttft_slo, tpot_slo : float
        Bounds in that unit, at least 0; a bound met exactly is met.

    Returns
    -------
    float
        Share of all requests, in [0, 1]; 0.0 if there are none.

    Raises
    ------
    ValueError
        If a request is no dict, or a time or a bound is negative.

    Notes
    -----
    A request counts if its status is "ok", it has a TTFT within `ttft_slo`, and its TPOT is
    None or within `tpot_slo`. Failed requests stay in the denominator.

    References
    ----------
    Zhong et al. (2024), "DistServe: Disaggregating Prefill and Decoding for
    Goodput-optimized Large Language Model Serving", OSDI 2024, arXiv:2401.09670.

    Examples
    --------
    >>> requests = [
    ...     dict(ttft=0.2, tpot=0.05, status="ok"),
    ...     dict(ttft=0.2, tpot=None, status="ok"),
    ...     dict(ttft=0.9, tpot=0.05, status="ok"),
    ...     dict(ttft=0.1, tpot=0.05, status="error"),
    ... ]
    >>> goodput(requests, ttft_slo=0.2, tpot_slo=0.05)
    0.5
    """
    ttft_bound = finite_non_negative("ttft_slo", ttft_slo)
    tpot_bound = finite_non_negative("tpot_slo", tpot_slo)
    verdicts = []
    for index, request in enumerate(_mappings("requests", requests)):
        times = {
            field: finite_non_negative(f"requests[{index}][{field!r}]", request[field])
            for field in ("ttft", "tpot")
            if request.get(field) is not None
        }
        verdicts.append(
            request.get("status") == "ok"
            and "ttft" in times
            and times["ttft"] <= ttft_bound
            and times.get("tpot", 0.0) <= tpot_bound
        )
    return sum(verdicts) / len(verdicts) if verdicts else 0.0
