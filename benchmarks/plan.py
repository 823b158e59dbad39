"""Seconds from inputs to the page of a plan: drawn traffic on three GPUs, and a measured run.

Baseline: playing the plan that is told once. What a plan takes besides is its search for the
number of replicas, over the band and over what is on offer, the fit to the run, and the picture.
Both sides alternate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from servemath_helpers import published
from servemath_helpers.service import ServicePlan, plan_service
from servemath_helpers.sim import simulate_fleet, synthetic_azure

PRICES = {"H100-SXM": "2.50", "A100-80GB-SXM": "1.50", "L40S": "0.90"}


def predicted() -> ServicePlan:
    """Plan for 2000 requests on three GPUs, as the notebook does."""
    asked = synthetic_azure("conv", 2000, np.random.default_rng(7), speedup=8)
    return plan_service("Llama-3.1-8B", PRICES, asked, tpot_s=0.04, engine="vllm")


def measured() -> ServicePlan:
    """Fit a run of 300 requests, and plan for them."""
    run = published.server_run()
    return plan_service(
        run.model,
        {run.accelerator: "0.45"},
        measured=run.measurement,
        kv_tokens=run.kv_tokens,
        max_batched_tokens=2048,
        engine="vllm",
        ttft_s=2.0,
        tpot_s=0.04,
    )


CASES: dict[str, Callable[[], ServicePlan]] = {"predicted": predicted, "measured": measured}


def main() -> None:
    """Time both cases and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    found = {}
    print(f"{'case':<12}{'plan s':>8}{'page s':>8}{'played once s':>15}")
    for name, case in CASES.items():
        rows = []
        for _ in range(1 if options.quick else 5):
            start = time.perf_counter()
            plan = case()
            planned = time.perf_counter()
            plan._repr_html_()
            drawn = time.perf_counter()
            simulate_fleet(plan.traffic, plan.best.server, plan.replicas or 1)
            rows.append((planned - start, drawn - planned, time.perf_counter() - drawn))
        plan_s, page_s, once_s = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:<12}{plan_s:>8.2f}{page_s:>8.2f}{once_s:>15.3f}")
        found[f"{name}_s"] = round(plan_s + page_s, 3)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
