import pytest

from servemath_helpers.measure.answers import Answer
from servemath_helpers.measure.summary import Summary

from .test_answers import FAILED, answer

#: The answers of theory 5.1: tokens at .40 .45 .50 .55 .90, and one of a single token.
LONG = answer(0, 0.0, 0.40, 0.45, 0.50, 0.55, 0.90)
ONE = answer(1, 1.0, 1.30)


def test_each_tool_has_its_own_time_per_token():
    found = Summary([LONG, ONE])
    assert found.tpot_s("vllm") == pytest.approx(0.125)
    assert found.tpot_s("mlperf") == pytest.approx(0.125)
    assert found.tpot_s("guidellm") == pytest.approx((0.18 + 0.30) / 2)
    assert found.pooled_gap_s == pytest.approx(0.125)
    assert Summary([ONE]).tpot_s("vllm") is Summary([ONE]).pooled_gap_s is None
    assert Summary([ONE]).quantile("tpot", "0.5") is None
    assert found.quantile("ttft", "0.5") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("promise", "good"),
    [
        ({}, 2),
        ({"ttft_slo_s": 0.35}, 1),
        ({"tpot_slo_s": 0.1}, 1),
        ({"ttft_slo_s": 0.45, "tpot_slo_s": 0.2}, 2),
        ({"ttft_slo_s": 0.2, "tpot_slo_s": 0.2}, 0),
    ],
)
def test_a_promise_counts_for_all_who_asked(promise, good):
    found = Summary([LONG, ONE, FAILED], **promise)
    assert found.good == good and found.attainment == good / 3
    assert found.goodput_rps == pytest.approx(good / 1.3)
    assert ("goodput" in found.text()) is bool(promise)


def run(n, growth=0.0, lag=0.0):
    return [
        answer(i, i + lag, i + lag + 0.5 + growth * i + 0.01 * (i % 3), i + lag + 99.0,
               scheduled_s=float(i))
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "interval", "said"),
    [
        (run(40), 1.0, []),
        (run(40, growth=0.1), 1.0, ["UNSTABLE"]),
        (run(40, growth=0.1), None, []),
        (run(40, lag=0.2), 1.0, ["VOID"]),
        (run(40, lag=0.2), None, []),
        (run(10), 1.0, ["Fewer than 20"]),
        ([*run(40), FAILED], 1.0, ["CAUTION: 1 requests failed"]),
    ],
)
def test_what_must_not_be_believed_is_said(answers, interval, said):
    text = Summary(answers, interval_s=interval).text()
    words = ("UNSTABLE", "VOID", "Fewer than 20", "CAUTION: 1 requests failed")
    assert [word for word in words if word in text] == said


def test_pieces_are_not_tokens():
    whole = answer(0, 0.0, 0.5, 1.0, output_tokens=6)
    found = Summary([whole])
    assert found.tpot_s("vllm") == pytest.approx(0.1) and found.pooled_gap_s == 0.5
    assert "6 tokens came in 2 pieces" in found.text()


def test_a_closed_loop_did_not_ask_in_the_stall():
    stall = [answer(i, float(i), i + 0.02) for i in range(1000)]
    stall.append(answer(1000, 1000.0, 1100.0))
    assert Summary(stall).corrected_p99_s(0.1) == (pytest.approx(0.02), pytest.approx(98.0))


def test_where_all_failed_there_is_nothing_but_the_reasons():
    text = Summary([FAILED, FAILED]).text()
    assert text.splitlines() == [
        "0 of 2 requests answered in full",
        "  2 x timeout: no answer, at all",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"answers": []}, "at least one"), ({"answers": [ONE], "tpot_slo_s": 0}, "tpot_slo_s")],
)
def test_what_has_no_meaning_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Summary(**given)


def test_throughput_counts_to_the_last_token():
    found = Summary([LONG, ONE])
    assert found.throughput_rps == pytest.approx(2 / 1.3)
    assert found.throughput_tok_s == pytest.approx(6 / 1.3)
    assert isinstance(found.ok[0], Answer)
