"""Plans for a service: from inputs to a page, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest

from servemath_helpers import facts, published
from servemath_helpers.service import plan_service
from servemath_helpers.sim import Measurement, Requests, simulate_fleet, synthetic_azure

CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 3072,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}


def asked(n=300, speedup=20):
    return synthetic_azure("conv", n, np.random.default_rng(7), speedup=speedup)


@pytest.fixture(scope="module")
def plan():
    return plan_service("Llama-3.1-8B", {"A100-80GB-SXM": "2", "H100-SXM": "2.50"}, asked())


@pytest.fixture(scope="module")
def measured():
    """The first requests of a real run of vLLM."""
    run = published.server_run()
    whole, first = run.measurement, slice(30)
    requests = whole.requests
    return Measurement(
        Requests(
            requests.arrival_s[first], requests.prompt_tokens[first], requests.output_tokens[first]
        ),
        whole.ttft_s[first],
        whole.e2e_s[first],
    )


def test_the_cheapest_offer_that_keeps_the_promise_over_the_band_comes_first(plan):
    costs = [offer.cost_usd_h("slow") for offer in plan.offers]
    assert plan.best.gpu == "H100-SXM"
    assert costs == sorted(costs)
    assert plan.usd_h == plan.replicas * Fraction("2.5") == plan.best.cost_usd_h("slow")


@pytest.mark.parametrize("speed", ["fast", "expected", "slow"])
def test_one_replica_fewer_does_not_keep_the_promise(plan, speed):
    for offer in plan.offers:
        needed = offer.replicas[speed]
        assert offer.play(speed, needed).feasible
        assert needed == 1 or not offer.play(speed, needed - 1).feasible


def test_a_number_is_what_the_simulator_says(plan):
    best, n = plan.best, plan.replicas
    run = simulate_fleet(plan.traffic, best.server, n)
    np.testing.assert_array_equal(best.play("expected", n).ttft_s, run.ttft_s)
    slow, fast = (best.play(speed, n).tpot_s for speed in ("slow", "fast"))
    assert np.nanmedian(fast) < np.nanmedian(run.tpot_s) < np.nanmedian(slow)


def test_the_page_says_what_the_plan_holds(plan):
    text, page = repr(plan), plan._repr_html_()
    for said in (
        plan.headline,
        f"With {plan.replicas} replicas of H100-SXM",
        "300 requests in",
        "95.0% of the requests have their first token within 1 s, and 50 ms a token after it",
        "as engines were seen to reach",
        "shorter than ten minutes",
    ):
        assert said in text
        assert said in page
    for offer in plan.offers:
        (row,) = (line for line in text.splitlines() if line.split()[:1] == [offer.gpu])
        told = [offer.gpus, *(offer.replicas[speed] for speed in ("fast", "expected", "slow"))]
        assert row.split()[1:5] == [str(number) for number in told]
    assert page.startswith("<article>")
    assert '<img alt="Three panels' in page


def test_a_measured_run_is_fitted_and_its_own_traffic_is_planned_for(measured):
    plan = plan_service(
        "meta-llama/Llama-3.1-8B-Instruct",
        {"RTX-4090": "0.45"},
        measured=measured,
        kv_tokens=41408,
        max_batched_tokens=2048,
        engine="vllm",
        ttft_s=2,
        tpot_s=0.06,
    )
    assert plan.traffic.prompt_tokens.tolist() == measured.requests.prompt_tokens.tolist()
    assert plan.best.server.step_time == plan.calibration.step
    off = plan.calibration.held_out.tpot.p90
    assert plan.best.band == (1 / (1 + off), 1 + off)
    assert set(plan.calibration.remarks) <= set(plan.remarks)
    assert "fitted to the measured run" in repr(plan)


def test_of_several_gpus_the_one_that_was_measured_is_named(measured):
    prices = {"RTX-4090": "0.45", "L40S": "0.90"}
    with pytest.raises(ValueError, match="measured_on must name one of the GPUs on offer"):
        plan_service("Llama-3.1-8B", prices, measured=measured)
    with pytest.raises(ValueError, match=r"measured_on must be one of RTX-4090, L40S, got 'L4'"):
        plan_service("Llama-3.1-8B", prices, measured=measured, measured_on="L4")


def test_a_model_of_a_config_on_a_gpu_of_ones_own():
    chip = facts.Accelerator(name="Own", memory_gb=24, bandwidth_Bps=1e12, bf16_dense_flops=1e14)
    plan = plan_service(CONFIG, {chip: 1}, asked(100), speedup=0.2)
    assert plan.model.name == "qwen3"
    assert plan.best.gpu == "Own"
    assert plan.traffic.rate_rps == pytest.approx(0.2 * asked(100).rate_rps)
    assert len({*plan.best.replicas.values()}) == 1
    assert "The number is the same over the whole band." in plan.headline


def test_what_does_not_fit_is_left_out_and_what_is_not_known_of_links_is_said():
    model = facts.get_model("Llama-3.1-70B")
    plan = plan_service(model, {"L4": "0.8", "L40S": "1", "H100-SXM": 2}, asked(50), gpus=4)
    assert {offer.gpu for offer in plan.offers} == {"L40S", "H100-SXM"}
    assert all(offer.gpus == 4 for offer in plan.offers)
    remarks = " ".join(plan.remarks)
    assert "L4 is left out" in remarks
    assert "How fast the links between L40S are" in remarks
    assert "4 x H100-SXM" in plan.headline or "4 x L40S" in plan.headline


def test_no_plan_is_said_with_what_comes_nearest():
    plan = plan_service("Llama-3.1-8B", {"H100-SXM": 2}, asked(50), tpot_s=0.001, max_replicas=3)
    assert (plan.replicas, plan.usd_h) == (None, None)
    assert plan.headline.startswith("Llama-3.1-8B: no plan keeps the promise. 3 replicas of H100")
    assert "over 3" in repr(plan)
    assert "with 3 replicas" in plan._repr_html_()


def test_a_promise_that_only_the_middle_of_the_band_keeps():
    burst = Requests([0.0], 512, 200)
    node = plan_service("Llama-3.1-8B", {"H100-SXM": 2}, burst).best
    middle = float(node.play("expected", 1).tpot_s[0])
    plan = plan_service("Llama-3.1-8B", {"H100-SXM": 2}, burst, tpot_s=1.01 * middle)
    assert plan.best.replicas == {"expected": 1, "slow": None, "fast": 1}
    assert plan.replicas == 1
    assert "At the slow edge of the band no number keeps the promise." in plan.headline
    assert "rent 1 replica of" in plan.headline
    assert "All requests come at once" in repr(plan)


def test_what_is_refused_or_shared_is_said():
    hashes = Requests([0.0, 700.0], [600, 3000], [1, 1], block_hashes=[[1, 2], [1, 3]])
    plan = plan_service("Llama-3.1-8B", {"H100-SXM": 2}, hashes, kv_tokens=2000, share="0.5")
    remarks = " ".join(plan.remarks)
    assert "1 requests are larger than the cache, and refused." in remarks
    assert "Prompts are computed whole" in remarks
    assert "shorter" not in remarks
    # An answer of one token has no time per token.
    assert [line.split()[-1] for line in repr(plan).splitlines() if "TPOT" in line] == ["-"] * 3
    assert "<article>" in plan._repr_html_()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "Llama-3.1-8"}, "got 'Llama-3.1-8'; near names: Llama-3.1-8B"),
        ({"model": 8}, "model must be a name, a dict as in config.json or a facts.Model, got 8"),
        ({"usd_per_gpu_hour": {"H100": 2}}, "got 'H100'; near names: H100-SXM, H100-PCIe"),
        ({"usd_per_gpu_hour": {}}, "usd_per_gpu_hour must be a dict with the price of each GPU"),
        ({"usd_per_gpu_hour": {"L4": -1}}, r"usd_per_gpu_hour\['L4'\] must be"),
        ({"usd_per_gpu_hour": {"L4": 1}, "model": "Llama-3.1-405B"}, "L4 is left out: the model"),
        ({"traffic": None}, "traffic must be given, or measured, got neither"),
        ({"traffic": [1]}, r"traffic must be Requests \(see the loaders\), got \[1\]"),
        ({"measured": 1}, r"measured must be Measurement \(see the loaders\), got 1"),
        ({"speedup": 0}, "speedup must be"),
        ({"share": 0}, "share must be"),
        ({"max_replicas": 0}, "max_replicas must be"),
        ({"gpus": 0}, "gpus must be"),
    ],
)
def test_what_is_out_of_range_is_named(change, said):
    arguments = {"model": "Llama-3.1-8B", "usd_per_gpu_hour": {"L4": 1}, "traffic": asked(20)}
    with pytest.raises(ValueError, match=said):
        plan_service(**arguments | change)
