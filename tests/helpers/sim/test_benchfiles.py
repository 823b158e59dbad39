"""Loaders of measured runs: numbers to the digit, what is wrong by its place in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servemath_helpers.sim import (
    TPOT_DEFINITIONS,
    load_aiperf,
    load_guidellm,
    load_inference_perf,
    load_measurement_csv,
    load_vllm_bench,
    tpot_from,
)

CSV = "arrival_s,prompt_tokens,output_tokens,ttft_s,e2e_s"


def test_csv_rows_are_sorted_and_moved_to_zero(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text(f"{CSV},note\n12,100,11,0.2,1.2,late\n10,50,1,0.1,0.1,early\n")
    run = load_measurement_csv(path)
    assert run.requests.arrival_s.tolist() == [0.0, 2.0]
    assert run.requests.prompt_tokens.tolist() == [50, 100]
    assert run.e2e_s.tolist() == [0.1, 1.2]
    assert run.tpot_s[1] == pytest.approx(0.1)
    assert np.isnan(run.tpot_s[0])
    with_tpot = load_measurement_csv(iter([CSV.replace("e2e_s", "tpot_s"), "0,9,11,0.2,0.1"]))
    assert with_tpot.e2e_s.tolist() == pytest.approx([1.2])


def test_a_sum_of_gaps_may_be_a_rounding_short_of_its_ttft():
    run = load_measurement_csv([CSV, "0,1,1,0.3,0.29999999999999998"])
    assert run.e2e_s.tolist() == run.ttft_s.tolist()
    run = load_measurement_csv([CSV, "0,1,1,0.3,0.29999999"])
    assert run.e2e_s.tolist() == [0.3]


def test_times_may_be_instants_milliseconds_or_missing():
    run = load_measurement_csv(
        [
            " arrival_ms ;prompt_tokens;output_tokens;first_token_s;last_token_s",
            "1000;100;11;1.25;2.5",
            "0;100;11;;NaN",
            "",
            "500;100;11;null;1.5",
        ]
    )
    assert run.requests.arrival_s.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(run.ttft_s, [np.nan, np.nan, 0.25])
    np.testing.assert_array_equal(run.e2e_s, [np.nan, 1.0, 1.5])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "source must have the columns prompt_tokens, output_tokens, got ''"),
        (["prompt_tokens,output_tokens", "1,1"], "columns arrival_s, ttft_s or first_token_s, e2e"),
        ([CSV], "source must hold at least one row"),
        ([CSV, "0,1,1,0.1,0.2", "1,1,1,x,0.2"], "row 3: ttft_s must be a number, got 'x'"),
        ([CSV, "0,1,1,0.1"], "row 2 must have 5 columns as the first row has, got 4"),
        ([CSV, "5,1,1,0.1,0.1", "0,1,1,0.2,0.1"], "row 3: e2e_s must be at least ttft_s = 0.2"),
        ([CSV, "0,1,1,0,0.1"], "row 2: ttft_s must be a number greater than 0"),
        ([CSV, "0,1,1,-1,0.1"], "row 2: ttft_s must be a number greater than 0"),
        ([CSV, "0,1.5,1,0.1,0.1"], "row 2: prompt_tokens must be a whole"),
        ([CSV, "0,1,0,0.1,0.1"], "row 2: output_tokens must be a whole number of at least 1"),
        ([CSV, "0,,1,0.1,0.1"], "row 2: prompt_tokens must be a whole number"),
        ([CSV, "-,1,1,0.1,0.1"], "row 2: arrival_s must be a number, got nothing"),
        ([CSV, "0,1,-,0.1,0.1"], "row 2: output_tokens must be a whole"),
        ([CSV, "0,1,1,,"], "at least one time that is known"),
        ([CSV, "nan,1,1,1,1"], "row 2: arrival_s must be a number, got nothing"),
    ],
)
def test_bad_csv_is_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_measurement_csv(lines)
    assert message in str(error.value)


def vllm(tmp_path, **changes):
    result = {
        "date": "20260102-030405",
        "completed": 2,
        "input_lens": [100, 200, 7],
        "output_lens": [3, 2, 0],
        "ttfts": [0.1, 0.2, 0.0],
        "itls": [[0.05, 0.07], [0.1], []],
        "start_times": [11.5, 10.0, 12.0],
        "request_rate": "inf",
        "max_concurrency": None,
        "errors": ["", "", "timeout"],
    }
    result.update(changes)
    path = tmp_path / "result.json"
    path.write_text(json.dumps({k: v for k, v in result.items() if v is not None}))
    return path


def test_vllm_results_are_read_without_those_that_failed(tmp_path):
    for errors in (["", "", "timeout"], None):
        run = load_vllm_bench(vllm(tmp_path, errors=errors))
        assert run.requests.arrival_s.tolist() == [0.0, 1.5]
        assert run.requests.prompt_tokens.tolist() == [200, 100]
        assert run.ttft_s.tolist() == [0.2, 0.1]
        assert run.e2e_s.tolist() == pytest.approx([0.3, 0.22])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"itls": None, "ttfts": None}, "source must have the fields ttfts, itls (--save-detailed"),
        ({"itls": [[0.1]]}, "itls must have one entry for each of 3 ttfts, got 1"),
        ({"errors": [""]}, "errors must have one entry for each of 3 ttfts, got 1"),
        ({"itls": [[0.1, -1], [0.1], []]}, "itls[0][1] must be a number of at least 0"),
        ({"input_lens": [0, 200, 7]}, "request 0: prompt_tokens must be"),
        ({"start_times": None, "request_rate": 4.0}, "must have the field start_times: without it"),
        ({"start_times": None, "max_concurrency": 8}, "max_concurrency 8 were sent"),
        ({"itls": [1, 2, 3]}, "itls[0] must be a sequence"),
        ({"output_lens": [0, 0, 0]}, "source must hold at least one request that succeeded"),
    ],
)
def test_bad_vllm_results_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError) as error:
        load_vllm_bench(vllm(tmp_path, **changes))
    assert message in str(error.value)


def test_a_vllm_burst_of_old_versions_has_no_start_times(tmp_path):
    run = load_vllm_bench(vllm(tmp_path, start_times=None))
    assert run.requests.arrival_s.tolist() == [0.0, 0.0]


def test_vllm_requests_that_were_not_streamed_have_no_times(tmp_path):
    run = load_vllm_bench(vllm(tmp_path, ttfts=[0.1, 0.2, 0.0], itls=[[], [0.1], []]))
    np.testing.assert_array_equal(run.ttft_s, [0.2, 0.1])
    np.testing.assert_allclose(run.e2e_s, [0.3, np.nan])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_appended_vllm_results_are_chosen_by_number(tmp_path, encoding):
    one = vllm(tmp_path).read_text()
    path = tmp_path / "appended.json"
    path.write_bytes(f"{one}\n{one.replace('0.2', '0.25')}\n".encode(encoding))
    assert load_vllm_bench(path, index=1).ttft_s.tolist() == [0.25, 0.1]
    for index, message in (
        (None, "source holds 2 results; choose one with index = 0 to 1"),
        (2, "index must be below the 2 results of source, got 2"),
        (-1, "index must be a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            load_vllm_bench(path, index=index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "source must be JSON, or one JSON value a line; row 1 is not"),
        ("{}\n\n{", "row 3 is not"),
        (" \n", "source must be JSON, got nothing"),
        ("[1]", "source must be a JSON object, got"),
        ("{}", "source must have the fields input_lens, output_lens, ttfts, itls"),
    ],
)
def test_what_is_no_result_is_said_to_be_none(text, message):
    with pytest.raises(ValueError) as error:
        load_vllm_bench(text.splitlines(keepends=True))
    assert message in str(error.value)


def guidellm(*requests, benchmarks=1):
    report = {"benchmarks": [{"requests": {"successful": list(requests)}}] * benchmarks}
    return [json.dumps(report, indent=1)]


NEW = {
    "info": {"timings": {"request_start": 5.0, "last_token_iteration": 7.0}},
    "input_metrics": {"text_tokens": 512},
    "output_metrics": {"text_tokens": 101},
    "time_to_first_token_ms": 80.0,
    "request_latency": 9.0,
}
OLD = {
    "start_time": 5.0,
    "last_token_time": 7.0,
    "prompt_tokens": 512,
    "output_tokens": 101,
    "time_to_first_token_ms": 80.0,
}
GAPS = {
    "request_start_time": 5.0,
    "prompt_tokens": 512,
    "output_tokens": 101,
    "time_to_first_token_ms": 80.0,
    "inter_token_latency_ms": 19.2,
}
UNSTREAMED = {
    "request_start_time": 5.0,
    "prompt_tokens": 512,
    "output_tokens": 101,
    "time_to_first_token_ms": None,
    "request_latency": 2.0,
}


@pytest.mark.parametrize(
    ("request_", "ttft"),
    [(NEW, 0.08), (OLD, 0.08), (GAPS, 0.08), (UNSTREAMED, np.nan)],
    ids=["new", "old", "gaps", "unstreamed"],
)
def test_guidellm_reports_of_every_version_are_read(request_, ttft):
    run = load_guidellm(guidellm(request_))
    np.testing.assert_array_equal(run.ttft_s, [ttft])
    assert run.e2e_s.tolist() == [2.0]
    assert run.requests.prompt_tokens.tolist() == [512]
    assert len(load_guidellm(guidellm(request_, benchmarks=3), index=2).e2e_s) == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (guidellm(NEW, benchmarks=2), "source holds 2 benchmarks; choose one with index"),
        (guidellm(), "at least one request that succeeded"),
        (guidellm({}), "request 0 must have a start time, prompt_tokens and output_tokens"),
        (guidellm(1), "request 0 must be a JSON object, got 1"),
        (guidellm(OLD, {**OLD, "output_tokens": 0}), "request 1: output_tokens must be"),
        (['{"benchmarks": [1]}'], "must have benchmarks with requests.successful"),
        (['{"benchmark": []}'], "source must have the fields benchmarks"),
        (['{"benchmarks": []}'], "index must be below the 0 benchmarks"),
    ],
)
def test_bad_guidellm_reports_are_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_guidellm(lines)
    assert message in str(error.value)


def lifecycle(**changes):
    info = {"input_tokens": 9, "output_tokens": 3, "output_token_times": [5.25, 5.5, 5.625]}
    request = {"start_time": 5.0, "end_time": 5.75, "error": None, "info": info}
    return request | changes


def test_inference_perf_requests_are_read_without_those_that_failed():
    nested = {
        "request_metrics": {"text": {"input_tokens": 9}},
        "response_metrics": {"output_tokens": 4, "output_token_times": [6.5, 6.75],
                             "server_usage": {"completion_tokens": 3}},
    }  # fmt: skip
    unstreamed = {"input_tokens": 9, "output_tokens": 3, "output_token_times": []}
    requests = [
        lifecycle(),
        lifecycle(error={"error_type": "timeout"}, info=None),
        lifecycle(start_time=6.0, info=nested),
        lifecycle(start_time=7.0, end_time=8.5, info=unstreamed),
    ]
    run = load_inference_perf([json.dumps(requests)])
    np.testing.assert_array_equal(run.ttft_s, [0.25, 0.5, np.nan])
    assert run.e2e_s.tolist() == [0.625, 0.75, 1.5]
    assert run.requests.output_tokens.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "source must be a list of requests"),
        ([], "at least one request that succeeded"),
        ([1], "request 0 must be a JSON object"),
        ([lifecycle(), {"start_time": 1}], "request 1 must have the fields end_time, info"),
        ([lifecycle(info={})], "request 0 must have info.input_tokens and info.output_tokens"),
    ],
)
def test_bad_inference_perf_files_are_named(found, message):
    with pytest.raises(ValueError) as error:
        load_inference_perf([json.dumps(found)])
    assert message in str(error.value)


def record(start_ns=1759813207532900363, phase="profiling", error=None, **metrics):
    values = {
        "input_sequence_length": (550, "tokens"),
        "output_sequence_length": (9, "tokens"),
        "time_to_first_token": (255.0, "ms"),
        "request_latency": (0.3, "s"),
    } | metrics
    found = {name: {"value": value, "unit": unit} for name, (value, unit) in values.items()}
    metadata = {"request_start_ns": start_ns, "benchmark_phase": phase}
    return json.dumps({"metadata": metadata, "metrics": found, "error": error}) + "\n"


def test_aiperf_records_are_read_to_the_nanosecond():
    first = 1759813207532900363
    run = load_aiperf(
        [
            record(first - 10**9, phase="warmup"),
            record(first),
            record(first + 1),
            record(first + 2, error={"code": 499}),
            record(first - 500_000_000, time_to_first_token=(None, "ms")),
        ]
    )
    assert run.requests.arrival_s.tolist() == [0.0, 0.5, 0.500000001]
    np.testing.assert_array_equal(run.ttft_s, [np.nan, 0.255, 0.255])
    assert run.e2e_s.tolist() == [0.3, 0.3, 0.3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([record(error="x")], "at least one request that succeeded"),
        ([record(), "{}\n"], "row 2 must have the fields metadata, metrics"),
        ([record(None)], "row 1: metadata.request_start_ns must be"),
        (
            [record(request_latency=(1, "parsec"))],
            "row 1: request_latency must have a unit of time",
        ),
        ([record(request_latency=(-1, "ms"))], "row 1: request_latency must be a number greater"),
        ([record(input_sequence_length=(None, ""))], "row 1: prompt_tokens must be"),
    ],
)
def test_bad_aiperf_records_are_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_aiperf(lines)
    assert message in str(error.value)


# One request: first token after 0.5 s, 101 tokens, the last after 2.5 s.
@pytest.mark.parametrize(
    ("kind", "value"),
    [("after_first", 0.02), ("all_tokens", 2.5 / 101), ("after_first_over_all", 2 / 101)],
)
def test_every_tools_time_per_token_becomes_tpot(kind, value):
    names = [kind, *(name for name, of in TPOT_DEFINITIONS.items() if of == kind)]
    assert len(names) > 1
    for name in names:
        assert tpot_from(value, name, ttft=0.5, output_tokens=101) == pytest.approx(0.02, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, "after_first", 1, 2), "value must be"),
        ((1, "itl", 1, 2), "definition must be 'after_first', 'all_tokens'"),
        ((1, "after_first", -1, 2), "ttft must be"),
        ((1, "after_first", 1, 1), "output_tokens must be"),
        ((0.1, "all_tokens", 1, 2), "value must be at least ttft / output_tokens = 0.5"),
    ],
)
def test_what_is_no_time_per_token_is_named(arguments, message):
    value, definition, ttft, tokens = arguments
    with pytest.raises(ValueError, match=message):
        tpot_from(value, definition, ttft=ttft, output_tokens=tokens)
