"""Trace summaries against counting by hand, with broken, late and failed requests."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import traces

SLO = {"ttft_s": 1.0, "tpot_s": 0.5}
KEYS = {
    *(f"{name}_p{p}_s" for name in ("ttft", "tpot", "e2e") for p in (50, 95, 99)),
    "goodput_rps",
    "error_rate",
    "missing_fields",
}


def record(arrival_s=0.0, start_s=None, first_token_s=1.0, end_s=2.0, n_out=3, status="ok"):
    return {
        "arrival_s": arrival_s,
        "start_s": arrival_s if start_s is None else start_s,
        "first_token_s": first_token_s,
        "end_s": end_s,
        "n_out": n_out,
        "status": status,
    }


def without(full, *fields):
    return {name: value for name, value in full.items() if name not in fields}


FOUR = [
    record(0, 0, 0.5, 2.5, 5),  # TTFT 0.5, TPOT 0.5, E2E 2.5: good
    record(1, 2, 3.0, 4.0, 3),  # TTFT 2.0: late
    record(2, 2, 2.25, 8.0, 2),  # TTFT 0.25, TPOT 5.75: slow
    record(3, 3, 4.0, 10.0, 1, status="error"),
]


def test_four_records_by_hand():
    assert traces.summarize_traces(FOUR, SLO) == {
        "ttft_p50_s": 0.5,
        "ttft_p95_s": 2.0,
        "ttft_p99_s": 2.0,
        "tpot_p50_s": 0.5,
        "tpot_p95_s": 5.75,
        "tpot_p99_s": 5.75,
        "e2e_p50_s": 3.0,
        "e2e_p95_s": 6.0,
        "e2e_p99_s": 6.0,
        "goodput_rps": 0.1,
        "error_rate": 0.25,
        "missing_fields": [],
    }


def test_no_records_give_nothing():
    summary = traces.summarize_traces([], SLO)
    assert set(summary) == KEYS
    assert summary["goodput_rps"] == 0.0
    assert summary["error_rate"] == 0.0
    assert summary["missing_fields"] == []
    assert all(value is None for name, value in summary.items() if name.endswith("_s"))


def test_percentiles_are_nearest_rank_in_any_order():
    records = [record(0, 0, ttft, 200, 1) for ttft in range(1, 101)]
    summary = traces.summarize_traces(records[::-1], SLO)
    assert summary == traces.summarize_traces(records, SLO)
    assert [summary[f"ttft_p{p}_s"] for p in (50, 95, 99)] == [50, 95, 99]


def test_a_request_of_one_token_has_no_time_per_token_but_counts_as_good():
    summary = traces.summarize_traces([record(0, 0, 1, 4, 1)], SLO)
    assert summary["tpot_p50_s"] is None
    assert summary["ttft_p50_s"] == 1.0
    assert summary["goodput_rps"] == 0.25


def test_bounds_that_are_met_exactly_are_met():
    exact = record(0, 0, 1.0, 2.0, 3)  # TTFT 1.0, TPOT 0.5
    assert traces.summarize_traces([exact], SLO)["goodput_rps"] == 0.5
    assert traces.summarize_traces([exact], {"ttft_s": 0.99, "tpot_s": 1})["goodput_rps"] == 0.0
    assert traces.summarize_traces([exact], {"ttft_s": 1, "tpot_s": 0.49})["goodput_rps"] == 0.0


def test_failures_count_as_errors_and_stretch_the_time_but_have_no_latency():
    failed = record(5, 5, 6, 20, 3, status="timeout")
    summary = traces.summarize_traces([record(0, 0, 1, 2, 3), failed], SLO)
    assert summary["e2e_p99_s"] == 2.0
    assert summary["error_rate"] == 0.5
    assert summary["goodput_rps"] == 1 / 20


def test_incomplete_records_give_errors_and_missing_names_only():
    partial = without(record(100, 100, 101, 900, 3, "error"), "first_token_s", "n_out")
    summary = traces.summarize_traces([record(0, 0, 1, 2, 3), partial], SLO)
    assert summary["missing_fields"] == ["first_token_s", "n_out"]
    assert summary["error_rate"] == 0.5
    assert summary["goodput_rps"] == 0.5  # the span of the complete record, 2 s


def test_an_incomplete_ok_record_is_no_error_and_no_sample():
    summary = traces.summarize_traces([without(record(), "start_s")], SLO)
    assert summary["error_rate"] == 0.0
    assert summary["ttft_p50_s"] is None
    assert summary["goodput_rps"] == 0.0
    assert summary["missing_fields"] == ["start_s"]


def test_a_record_without_a_status_is_an_error():
    summary = traces.summarize_traces([without(record(), "status"), record()], SLO)
    assert summary["error_rate"] == 0.5
    assert summary["missing_fields"] == ["status"]


@pytest.mark.parametrize("field", list(traces.TRACE_FIELDS))
def test_a_field_that_is_none_counts_as_absent(field):
    empty = {**record(), field: None}
    assert traces.summarize_traces([empty], SLO) == traces.summarize_traces(
        [without(record(), field)], SLO
    )


def test_missing_names_are_gathered_from_all_records():
    summary = traces.summarize_traces([{}, without(record(), "n_out")], SLO)
    assert summary["missing_fields"] == sorted(traces.TRACE_FIELDS)
    assert summary["error_rate"] == 0.5


def test_fields_that_are_not_required_are_ignored():
    assert traces.summarize_traces([{**record(), "model": None}], SLO) == (
        traces.summarize_traces([record()], SLO)
    )


def test_no_time_between_first_arrival_and_last_end_gives_no_goodput():
    assert traces.summarize_traces([record(3, 3, 3, 3, 1)], SLO)["goodput_rps"] == 0.0


def test_the_records_stay_as_they_were():
    records = copy.deepcopy(FOUR)
    traces.summarize_traces(records, SLO)
    assert records == FOUR


def test_records_may_come_from_a_generator():
    assert traces.summarize_traces(iter(FOUR), SLO) == traces.summarize_traces(FOUR, SLO)


quarter_seconds = st.integers(0, 40).map(lambda quarters: quarters / 4)


@st.composite
def requests_in_order(draw):
    arrival = draw(quarter_seconds)
    start = arrival + draw(quarter_seconds)
    first = start + draw(quarter_seconds)
    end = first + draw(quarter_seconds)
    status = draw(st.sampled_from(["ok", "ok", "error"]))
    return record(arrival, start, first, end, draw(st.integers(0, 9)), status)


@given(
    records=st.lists(requests_in_order(), max_size=30),
    shift=st.integers(0, 1000),
)
def test_summaries_do_not_depend_on_order_or_clock(records, shift):
    summary = traces.summarize_traces(records, SLO)
    moved = [
        {name: value + shift if name.endswith("_s") else value for name, value in full.items()}
        for full in reversed(records)
    ]
    assert traces.summarize_traces(moved, SLO) == summary
    ok = [full for full in records if full["status"] == "ok"]
    late = [full["first_token_s"] - full["arrival_s"] for full in ok]
    if ok:
        assert summary["ttft_p99_s"] == sorted(late)[math.ceil(99 * len(ok) / 100) - 1]
        assert summary["ttft_p50_s"] <= summary["ttft_p95_s"] <= summary["ttft_p99_s"]
    assert summary["error_rate"] == ((len(records) - len(ok)) / len(records) if records else 0.0)


REQUESTS = [
    {"ttft": 0.2, "tpot": 0.05, "status": "ok"},
    {"ttft": 0.1, "tpot": None, "status": "ok"},
    {"ttft": 0.1, "status": "ok"},
    {"ttft": 0.3, "tpot": 0.05, "status": "ok"},
    {"ttft": 0.1, "tpot": 0.06, "status": "ok"},
    {"ttft": 0.1, "tpot": 0.01, "status": "error"},
    {"ttft": None, "tpot": None, "status": "ok"},
    {"ttft": 0.1, "tpot": 0.01},
]


def test_goodput_is_the_share_of_all_requests_within_both_bounds():
    assert traces.goodput(REQUESTS, 0.2, 0.05) == 3 / 8


def test_goodput_of_no_requests_is_zero():
    assert traces.goodput([], 1, 1) == 0.0


def test_goodput_never_falls_when_bounds_loosen():
    shares = [traces.goodput(REQUESTS, bound, bound) for bound in (0, 0.05, 0.1, 0.2, 0.3, 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 5 / 8


def test_the_checklist_has_a_line_for_each_required_field():
    lines = traces.checklist()
    assert len(lines) == 6
    for line, (name, field) in zip(lines, traces.TRACE_FIELDS.items(), strict=True):
        assert line == f"[ ] {name} [{field.unit}]: {field.meaning}"


def test_times_are_in_seconds_and_the_fields_cannot_be_changed():
    assert all(
        (field.unit == "s") == name.endswith("_s") for name, field in traces.TRACE_FIELDS.items()
    )
    with pytest.raises(TypeError):
        traces.TRACE_FIELDS["n_in"] = traces.TraceField("tokens", "prompt")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("records", lambda: traces.summarize_traces(None, SLO)),
        (r"records\[0\]", lambda: traces.summarize_traces(record(), SLO)),
        ("records", lambda: traces.summarize_traces("abc", SLO)),
        (r"records\[1\]", lambda: traces.summarize_traces([record(), 5], SLO)),
        ("slo", lambda: traces.summarize_traces([], [1, 2])),
        ("slo", lambda: traces.summarize_traces([], {"ttft_s": 1})),
        (r"slo\['tpot_s'\]", lambda: traces.summarize_traces([], {"ttft_s": 1, "tpot_s": -1})),
        (r"records\[0\]\['n_out'\]", lambda: traces.summarize_traces([record(n_out=-1)], SLO)),
        (r"records\[0\]\['n_out'\]", lambda: traces.summarize_traces([record(n_out=1.5)], SLO)),
        (
            r"records\[0\]\['arrival_s'\]",
            lambda: traces.summarize_traces([record(arrival_s=-1)], SLO),
        ),
        (r"records\[0\]\['end_s'\]", lambda: traces.summarize_traces([record(end_s="2")], SLO)),
        (r"records\[0\]\['end_s'\]", lambda: traces.summarize_traces([record(end_s=0.5)], SLO)),
        (
            r"records\[0\]\['first_token_s'\]",
            lambda: traces.summarize_traces([record(start_s=1.5)], SLO),
        ),
        (
            r"records\[0\]\['end_s'\]",
            lambda: traces.summarize_traces([{"arrival_s": 2, "end_s": 1}], SLO),
        ),
        ("requests", lambda: traces.goodput(5, 1, 1)),
        (r"requests\[0\]", lambda: traces.goodput([None], 1, 1)),
        (r"requests\[0\]\['ttft'\]", lambda: traces.goodput([{"ttft": -1}], 1, 1)),
        (r"requests\[0\]\['tpot'\]", lambda: traces.goodput([{"tpot": "fast"}], 1, 1)),
        ("ttft_slo", lambda: traces.goodput([], -1, 1)),
        ("tpot_slo", lambda: traces.goodput([], 1, -1)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must "):
        call()
