"""Loaders of measured runs: numbers to the digit, what is wrong by its place in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servemath_helpers.sim import (
    TPOT_DEFINITIONS,
    LinearStep,
    LLMServer,
    Measurement,
    Requests,
    calibrate,
    load_aiperf,
    load_azure,
    load_burstgpt,
    load_guidellm,
    load_inference_perf,
    load_measurement_csv,
    load_mooncake,
    load_vllm_bench,
    tpot_from,
)

pytestmark = pytest.mark.filterwarnings("ignore:.* requests have times")
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


# What is missing, and files of other kinds ------------------------------------------------

#: Requests that succeeded and that failed, in the form of each tool: of three, two are there.
OF_THREE = {
    "vllm": (
        load_vllm_bench,
        {
            "completed": 2, "failed": 1, "num_prompts": 3, "request_rate": 4.0,
            "max_concurrency": None, "input_lens": [8, 8, 8], "output_lens": [2, 2, 0],
            "ttfts": [0.25, 0.25, 0.0], "itls": [[0.5], [0.5], []], "latencies": [0.75, 0.75, 0],
            "start_times": [1.0, 2.0, 3.0], "queue_times": [0.0, 0.0, 0.0],
            "errors": ["", "", "Service Unavailable"],
        },
    ),
    "vllm, fewer than were asked for": (
        load_vllm_bench,
        {
            "completed": 2, "num_prompts": 3, "input_lens": [8, 8], "output_lens": [2, 2],
            "ttfts": [0.25, 0.25], "itls": [[0.5], [0.5]], "start_times": [1.0, 2.0],
        },
    ),
    "vllm, more completed than there are": (
        load_vllm_bench,
        {
            "completed": 3, "failed": 0, "input_lens": [8, 8], "output_lens": [2, 2],
            "ttfts": [0.25, 0.25], "itls": [[0.5], [0.5]], "start_times": [1.0, 2.0],
        },
    ),
    "vllm, latencies of zero": (
        load_vllm_bench,
        {
            "input_lens": [8, 8, 8], "output_lens": [2, 2, 2], "ttfts": [0.25, 0.25, 0],
            "itls": [[0.5], [0.5], []], "start_times": [1.0, 2.0, 3.0],
        },
    ),
    "sglang": (
        load_vllm_bench,
        {
            "tag": None, "backend": "sglang", "request_rate": float("inf"), "max_concurrency": None,
            "completed": 2, "request_throughput": 1.5, "input_lens": [8, 8, 8],
            "output_lens": [2, 2, 0], "ttfts": [0.25, 0.25, 0.0], "itls": [[0.5], [0.5], []],
            "errors": ["", "", "HTTP 503"], "cached_tokens": [0, 0, 0],
        },
    ),
    "guidellm, a request that failed": (
        load_guidellm,
        {"benchmarks": [{"requests": {
            "successful": [
                {"request_start_time": t, "prompt_tokens": 8, "output_tokens": 2,
                 "time_to_first_token_ms": 250.0, "inter_token_latency_ms": 500.0}
                for t in (1.0, 2.0)
            ],
            "errored": [{"request_start_time": 3.0}], "incomplete": [],
        }}]},
    ),
    "guidellm, a sample": (
        load_guidellm,
        {"benchmarks": [{
            "metrics": {"request_totals":
                        {"successful": 3, "errored": 0, "incomplete": 0, "total": 3}},
            "requests": {"successful": [
                {"type_": "generative_request_stats", "request_start_time": t,
                 "prompt_tokens": 8, "output_tokens": 2, "time_to_first_token_ms": 250.0,
                 "info": {"timings": {"request_start": t, "last_token_iteration": t + 0.75}}}
                for t in (1.0, 2.0)
            ], "errored": [], "incomplete": []},
        }]},
    ),
    "inference-perf": (
        load_inference_perf,
        [
            *(
                {"scheduled_time": t, "start_time": t, "end_time": t + 0.8, "error": None, "info": {
                    "request_metrics": {"text": {"input_tokens": 8}}, "retries_attempted": 0,
                    "response_metrics": {"output_tokens": 3, "server_usage": {"output_tokens": 2},
                                         "output_token_times": [t + 0.25, t + 0.75]}}}
                for t in (1.0, 2.0)
            ),
            {"start_time": 3.0, "end_time": 3.0, "info": {},
             "error": {"error_type": "HTTP Error 503", "error_msg": ""}},
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_THREE)
def test_a_third_that_is_missing_is_said(case):
    load, written = OF_THREE[case]
    with pytest.warns(UserWarning, match=r"^2 of 3 requests have times. The others failed, or"):
        run = load([json.dumps(written)])
    assert run.sent == 3
    assert run.missing.startswith("2 of 3 requests have times.")
    timed = ~np.isnan(run.e2e_s)
    np.testing.assert_allclose(run.ttft_s[timed], [0.25, 0.25])
    np.testing.assert_allclose(run.e2e_s[timed], [0.75, 0.75])
    assert run.requests.output_tokens[0] == 2


def aiperf_record(start_ns, *, ttft="time_to_first_token", phase="benchmark_phase", **more):
    record = {
        "metadata": {"request_start_ns": start_ns, phase: "profiling"},
        "metrics": {
            "input_sequence_length": {"value": 8, "unit": "tokens"},
            "output_sequence_length": {"value": 2, "unit": "tokens"},
            ttft: {"value": 250.0, "unit": "ms"},
            "request_latency": {"value": 750.0, "unit": "ms"},
        },
        "error": None,
    }
    return json.dumps({**record, **more})


def test_aiperf_records_of_old_and_new_are_read_and_what_was_cancelled_is_counted():
    warmup = {"request_start_ns": 1, "benchmark_phase": "warmup"}
    cancelled = {"request_start_ns": 7, "benchmark_phase": "profiling", "was_cancelled": True}
    lines = [
        aiperf_record(1, metadata=warmup),
        aiperf_record(5, ttft="ttft", phase="credit_phase"),  # as it was before 0.2
        aiperf_record(6),
        aiperf_record(7, metadata=cancelled),
    ]
    with pytest.warns(UserWarning, match=r"^2 of 3 requests have times"):
        run = load_aiperf(lines)
    assert run.ttft_s.tolist() == [0.25, 0.25]


def test_one_in_thirty_is_not_worth_a_warning_but_is_said_by_the_fit(recwarn):
    lines = [f"{i},100,20,0.05,{0.05 + 19 * 0.01},{'timeout' if i == 7 else ''}" for i in range(30)]
    run = load_measurement_csv([f"{CSV},error", *lines])
    assert not recwarn
    assert run.sent == 30
    step = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=0, per_context_token_s=0)
    fit = calibrate(run, LLMServer(step_time=step, max_batch=8))
    assert fit.remarks[0] == run.missing
    assert fit.remarks[0].startswith("29 of 30 requests have times.")
    whole_run = load_measurement_csv([f"{CSV},error", *lines[:7], *lines[8:]])
    assert not whole_run.missing


def test_fewer_than_there_are_cannot_have_been_sent():
    with pytest.raises(ValueError, match="sent must be a whole number of at least 2, got 1"):
        Measurement(Requests([0, 1], 8, 2), [0.1, 0.1], [0.2, 0.2], 1)


SUMMARIES = {
    "LLMPerf's individual_responses, which does not say when": [
        {"error_code": None, "ttft_s": 0.2, "end_to_end_latency_s": 1.0,
         "inter_token_latency_s": 0.1, "number_input_tokens": 8, "number_output_tokens": 10}
    ],
    "GenAI-Perf's profile_export.json, which does not say": {
        "service_kind": "openai", "endpoint": "v1/completions", "experiments": []
    },
    "a summary of AIPerf or GenAI-Perf; load_aiperf reads": {
        "request_throughput": {"unit": "requests/sec", "avg": 1.0}, "input_config": {}
    },
    "inference-perf's summary; load_inference_perf reads": {
        "load_summary": {"count": 3}, "successes": {"count": 3}, "failures": {"count": 0}
    },
    "vLLM's figures for PyTorch; load_vllm_bench reads": [
        {"benchmark": {"name": "vLLM benchmark"}, "model": {}, "metric": {"name": "mean_ttft_ms"}}
    ],
    "GuideLLM's report, which load_guidellm reads": {"metadata": {}, "args": {}, "benchmarks": []},
    "a result of vllm bench serve or SGLang's bench_serving": {
        "completed": 3, "failed": 0, "request_throughput": 1.0, "mean_ttft_ms": 20.0
    },
    "AIPerf's profile_export.jsonl, which load_aiperf reads": {"metadata": {}, "metrics": {}},
    "inference-perf's per_request_lifecycle_metrics.json": [
        {"start_time": 1, "end_time": 2, "info": {}}
    ],
}  # fmt: skip


#: What each loader reads is no other kind to it.
OWN = {
    load_vllm_bench: "",
    load_guidellm: "GuideLLM's report",
    load_aiperf: "AIPerf's profile_export.jsonl",
    load_inference_perf: "inference-perf's per_request",
}
FOREIGN = [(load, kind) for load in OWN for kind in SUMMARIES
           if not OWN[load] or not kind.startswith(OWN[load])]  # fmt: skip


@pytest.mark.parametrize(("load", "kind"), FOREIGN)
def test_a_file_of_another_kind_is_named(load, kind):
    with pytest.raises(ValueError) as error:
        load([json.dumps(SUMMARIES[kind])])
    assert f", got {kind}" in str(error.value)


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        ("version https://git-lfs.github.com/spec/v1\nsize 5228\n", "the pointer that Git keeps"),
        ("\ufeff<!DOCTYPE html>\n<html lang='en'>\n", "a web page"),
        (" <html>\n", "a web page"),
        ("Metric,avg,min\nRequest Latency (ms),9059.65,1.0\n", "a summary of AIPerf"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "load", [load_azure, load_burstgpt, load_mooncake, load_measurement_csv, *OWN]
)
def test_what_is_downloaded_in_place_of_a_file_is_named(load, beginning, kind, tmp_path):
    path = tmp_path / "run.csv"
    path.write_text(beginning, encoding="utf-8")
    for source in (path, beginning.splitlines(keepends=True)):
        with pytest.raises(ValueError, match=f"one request a row or record, got {kind}"):
            load(source)
