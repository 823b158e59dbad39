"""The synthetic trace against the published statistics that it is fitted to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from servemath_helpers.sim import azure_statistics, fit_modulation, synthetic_azure
from servemath_helpers.sim.synthetic import LengthFit

SERVICES = ["conv", "code"]
LONG = {
    service: synthetic_azure(service, 400_000, np.random.default_rng(11)) for service in SERVICES
}


def statistics_of_modulation(fit, window_s):
    (r1, r2), (d1, d2) = fit.rates_rps, fit.dwell_s
    switching = 1 / d1 + 1 / d2
    share = d1 / (d1 + d2)
    rate = share * r1 + (1 - share) * r2
    variance = share * (1 - share) * (r1 - r2) ** 2
    x = switching * window_s
    dispersion = 1 + 2 * variance / (rate * switching) * (1 - (1 - math.exp(-x)) / x)
    return rate, 1 + 2 * variance / (r1 * r2 + switching * rate), dispersion


@pytest.mark.parametrize("service", SERVICES)
def test_rate_and_burstiness_are_those_of_the_trace(service):
    facts, requests = azure_statistics()[service], LONG[service]
    gaps = np.diff(requests.arrival_s)
    assert requests.rate_rps == pytest.approx(facts["mean_rate"], rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(facts["interarrival_cv"], rel=0.05)
    counts = np.bincount((requests.arrival_s // 60).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(facts["index_of_dispersion_60s"], rel=0.1)


@pytest.mark.parametrize("service", SERVICES)
def test_the_peak_of_an_hour_is_as_high_as_it_was_in_the_trace(service):
    # Not fitted: the busiest minute of an hour, over the mean.
    facts, requests = azure_statistics()[service], LONG[service]
    counts = np.bincount((requests.arrival_s // 60).astype(int))[:-1]
    hours = counts[: counts.size // 58 * 58].reshape(-1, 58)
    peaks = hours.max(axis=1) / hours.mean(axis=1)
    low, high = np.quantile(peaks, [0.05, 0.95])
    assert low < facts["peak_over_mean_60s"] < high


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["prompt", "output"])
def test_lengths_have_the_mean_and_the_quantiles_of_the_trace(service, kind):
    facts = azure_statistics()[service][kind]
    lengths = getattr(LONG[service], f"{kind}_tokens")
    assert lengths.mean() == pytest.approx(facts["mean"], rel=0.01)
    for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        assert np.quantile(lengths, q) == pytest.approx(facts[name], rel=0.03, abs=1)
    assert lengths.max() <= facts["max"]
    assert lengths.min() >= 1


@pytest.mark.parametrize("service", SERVICES)
def test_prompt_and_answer_are_as_weakly_tied_as_in_the_trace(service):
    requests = LONG[service]
    measured = np.corrcoef(requests.prompt_tokens, requests.output_tokens)[0, 1]
    wanted = min(0.0, azure_statistics()[service]["corr_prompt_output"])
    assert measured == pytest.approx(wanted, abs=0.01)


def test_speedup_shortens_every_interval_and_nothing_else():
    slow = synthetic_azure("conv", 100, np.random.default_rng(1))
    fast = synthetic_azure("conv", 100, np.random.default_rng(1), speedup=4)
    np.testing.assert_allclose(fast.arrival_s * 4, slow.arrival_s)
    assert fast.prompt_tokens.tolist() == slow.prompt_tokens.tolist()


@settings(max_examples=200)
@given(
    rate=st.floats(0.01, 1000),
    ca2=st.floats(1.01, 500),
    dispersion=st.floats(1.01, 500),
    window=st.floats(0.1, 1000),
    share=st.floats(0.01, 0.99),
)
def test_fitted_phases_have_the_statistics_they_were_fitted_to(
    rate, ca2, dispersion, window, share
):
    try:
        fit = fit_modulation(rate, ca2, dispersion, window, busy_share=share)
    except ValueError:
        assume(False)
    assert min(fit.rates_rps) >= 0
    assert fit.rates_rps[0] > fit.rates_rps[1]
    found = statistics_of_modulation(fit, window)
    assert found == pytest.approx((rate, ca2, dispersion), rel=1e-3)


def test_linear_quantiles_bend_by_one():
    fit = LengthFit.of({"mean": 50.5, "p50": 50.5, "p90": 90.1, "p99": 99.01, "max": 100})
    levels = np.array([0.0, 0.25, 0.5, 0.95, 0.999])
    np.testing.assert_allclose(fit.lengths(levels), 1 + 99 * levels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthetic_azure("chat", 9, np.random.default_rng(1)), "service must be"),
        (lambda: synthetic_azure("conv", 0, np.random.default_rng(1)), "n must be"),
        (lambda: synthetic_azure("conv", 9, 1), "rng must be"),
        (
            lambda: synthetic_azure("conv", 9, np.random.default_rng(1), speedup=-1),
            "speedup must be",
        ),
        (lambda: fit_modulation(0, 2, 2, 60), "rate_rps must be"),
        (lambda: fit_modulation(1, 1, 2, 60), "ca2 must be above 1, got 1"),
        (lambda: fit_modulation(1, 2, 0.5, 60), "dispersion must be above 1, got 0.5"),
        (lambda: fit_modulation(1, 2, 2, 0), "window_s must be"),
        (lambda: fit_modulation(1, 1.1, 500, 60), "dispersion must be below"),
        (lambda: fit_modulation(1, 2, 3, 60, busy_share=0), "busy_share must be in (0, 1)"),
        (
            lambda: LengthFit.of({"mean": 99, "p50": 10, "p90": 20, "p99": 30, "max": 40}),
            "statistics['mean'] must be between",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_the_packaged_statistics_name_their_source():
    assert "Splitwise" in azure_statistics()["source"]
    assert "CC-BY-4.0" in azure_statistics()["source"]
