"""How fast the simulator is, beside Ciw and SimPy, the reference loop, and the floor.

Baselines: Ciw and SimPy on the same M/M/c queue (both are dev dependencies; without them
their columns are empty), the reference loop of the tests on the same requests, and as a
floor one cumulative sum over the customers and two heap operations a request. Sides
alternate in one run; each figure is a median. A slider move is requests in, latencies out:
the server and 10 000 requests are built, run, and asked for six percentiles, throughput,
goodput, MFU, MBU, slot efficiency and the peak of the cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from servemath_helpers import facts
from servemath_helpers.sim import (
    ClosedLoop,
    LLMServer,
    Requests,
    RooflineStep,
    arrivals,
    services,
    simulate_fleet,
    simulate_gg1,
    simulate_ggc,
    simulate_llm,
)
from tests.helpers.sim.reference import Reference
from tests.helpers.sim.test_external import ciw_queue, simpy_queue

SERVERS, RHO = 4, 0.8


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = perf_counter()
    call()
    return perf_counter() - start


def medians(sides: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Alternate the sides and return the median seconds of each."""
    for call in sides.values():
        call()  # warm caches
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, call in sides.items():
            taken[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in taken.items()}


def heap_floor(n: int) -> Callable[[], None]:
    """Return a loop of two heap operations for each of n requests, at most 64 in the heap."""
    keys = np.random.default_rng(5).integers(0, 1 << 40, n).tolist()

    def run() -> None:
        heap: list[int] = []
        for key in keys:
            heappush(heap, key)
            if len(heap) > 64:
                heappop(heap)
        while heap:
            heappop(heap)

    return run


def optional(name: str) -> Any:
    """Return a module, or None if it is not installed."""
    try:
        return __import__(name)
    except ImportError:
        return None


def queues(quick: bool) -> tuple[list[tuple[str, float]], dict[str, float | None]]:
    """Return the rates of queues in customers per second, and the keys of the JSON."""
    rng = np.random.default_rng(1)
    n1, nc, n_theirs = 2_000_000, 200_000, 4_000 if quick else 20_000
    repetitions = 5 if quick else 11
    arrivals_1, services_1 = arrivals.poisson(n1, RHO, rng), services.exponential(n1, 1.0, rng)
    lam = RHO * SERVERS
    arrivals_c, services_c = arrivals.poisson(nc, lam, rng), services.exponential(nc, 1.0, rng)
    ciw, simpy = optional("ciw"), optional("simpy")
    short = (arrivals_c[:n_theirs].tolist(), services_c[:n_theirs].tolist())

    def all_of_gg1() -> None:
        run = simulate_gg1(arrivals_1, services_1)
        _ = run.sojourn_s, run.departure_s

    sides: dict[str, tuple[int, Callable[[], object]]] = {
        "G/G/1, waits": (n1, lambda: simulate_gg1(arrivals_1, services_1)),
        "G/G/1, waits, sojourns, departures": (n1, all_of_gg1),
        "floor: one cumsum": (n1, lambda: np.cumsum(services_1)),
        f"G/G/{SERVERS}": (nc, lambda: simulate_ggc(arrivals_c, services_c, SERVERS)),
        "floor: two heap operations": (nc, heap_floor(nc)),
    }
    if simpy is not None:
        sides[f"SimPy, M/M/{SERVERS}"] = (n_theirs, lambda: simpy_queue(simpy, *short, SERVERS))
    if ciw is not None:
        sides[f"Ciw, M/M/{SERVERS}"] = (
            n_theirs,
            lambda: ciw_queue(
                ciw, ciw.dists.Exponential(lam), ciw.dists.Exponential(1.0), SERVERS, n_theirs
            ),
        )
    taken = medians({name: call for name, (_, call) in sides.items()}, repetitions)
    rates = {name: n / taken[name] for name, (n, _) in sides.items()}
    ours = rates[f"G/G/{SERVERS}"]
    theirs = {name: rates.get(f"{name}, M/M/{SERVERS}") for name in ("Ciw", "SimPy")}
    keys: dict[str, float | None] = {
        "gg1_customers_per_s": round(rates["G/G/1, waits"]),
        "ggc_customers_per_s": round(ours),
        "ggc_vs_ciw": round(ours / theirs["Ciw"], 1) if theirs["Ciw"] else None,
        "ggc_vs_simpy": round(ours / theirs["SimPy"], 1) if theirs["SimPy"] else None,
    }
    return list(rates.items()), keys


def batching(quick: bool) -> tuple[list[tuple[str, float]], dict[str, float | None]]:
    """Return the rates of continuous batching in requests per second, and the keys."""
    # Chapter 3: Llama-3-70B on eight H100, prompts of 512, answers of 256 on average.
    step = RooflineStep.ideal(facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8)
    rng = np.random.default_rng(2)
    n, n_reference = 10_000, 300 if quick else 1_000
    repetitions = 5 if quick else 15
    arrival, output = arrivals.poisson(n, 16, rng), rng.geometric(1 / 256, n)

    def requests(count: int) -> Requests:
        return Requests(arrival[:count], 512, output[:count])

    def server(**policy: Any) -> LLMServer:
        return LLMServer(step_time=step, max_batch=64, **policy)

    def slider_move() -> None:
        run = simulate_llm(requests(n), server())
        for metric in ("ttft", "tpot", "e2e"):
            for q in ("0.5", "0.99"):
                run.percentile(metric, q)
        run.throughput_tok_s()
        run.goodput_rps(0.2, 0.02)
        _ = run.mfu(), run.mbu(), run.slot_efficiency(), run.timeline.kv_peak_tokens()

    ready, few = requests(n), requests(n_reference)
    many = Requests(arrivals.poisson(20 * n, 16, rng), 512, rng.geometric(1 / 256, 20 * n))
    paged = {"kv_policy": "paged", "kv_tokens": 1_520_000}
    sides: dict[str, tuple[int, Callable[[], object]]] = {
        "continuous batching": (n, lambda: simulate_llm(ready, server())),
        "  200 000 requests": (20 * n, lambda: simulate_llm(many, server())),
        "  with paged cache": (n, lambda: simulate_llm(ready, server(**paged))),
        "  in chunks of 512": (
            n,
            lambda: simulate_llm(ready, server(batching="chunked", max_batched_tokens=512)),
        ),
        "  static": (n, lambda: simulate_llm(ready, server(batching="static"))),
        "slider move": (n, slider_move),
        "same requests as the reference": (n_reference, lambda: simulate_llm(few, server())),
        "reference loop": (n_reference, lambda: Reference(few, server()).run()),
        "floor: two heap operations": (n, heap_floor(n)),
    }
    taken = medians({name: call for name, (_, call) in sides.items()}, repetitions)
    rates = {name: count / taken[name] for name, (count, _) in sides.items()}
    keys: dict[str, float | None] = {
        "cb_requests_per_s": round(rates["continuous batching"]),
        "cb_vs_reference": round(
            rates["same requests as the reference"] / rates["reference loop"], 1
        ),
        "resim_10k_ms": round(taken["slider move"] * 1e3, 1),
    }
    return list(rates.items()), keys


def fleets(quick: bool) -> tuple[list[tuple[str, float]], dict[str, float | None]]:
    """Return the rates of eight replicas, and the keys; the baseline is each one alone."""
    step = RooflineStep.ideal(facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8)
    server, size, rng = LLMServer(step_time=step, max_batch=64), 8, np.random.default_rng(3)
    n = 2_000 if quick else 10_000
    total = size * n
    everybody = Requests(
        arrivals.poisson(total, 16 * size, rng), 512, rng.geometric(1 / 256, total)
    )
    alone = Requests(arrivals.poisson(n, 16, rng), 512, rng.geometric(1 / 256, n))
    loop = ClosedLoop(32, alone.prompt_tokens, alone.output_tokens)

    def fleet(router: str) -> Callable[[], object]:
        return lambda: simulate_fleet(
            everybody, server, size, router=router, rng=np.random.default_rng(1)
        )

    routers = ("round_robin", "random", "least_loaded", "power_of_two")
    sides: dict[str, tuple[int, Callable[[], object]]] = {
        "one server": (n, lambda: simulate_llm(alone, server)),
        "  as a closed loop of 32 users": (n, lambda: simulate_fleet(loop, server)),
        **{f"{size} replicas, {name}": (total, fleet(name)) for name in routers},
    }
    taken = medians({name: call for name, (_, call) in sides.items()}, 3 if quick else 7)
    single = size * taken["one server"]
    keys: dict[str, float | None] = {
        f"fleet_{name}_vs_single": round(taken[f"{size} replicas, {name}"] / single, 2)
        for name in routers
    }
    return [(name, count / taken[name]) for name, (count, _) in sides.items()], keys


def main() -> None:
    """Print both tables and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    keys: dict[str, float | None] = {}
    for title, measure in (
        ("customers/s", queues),
        ("requests/s", batching),
        ("requests/s, fleets", fleets),
    ):
        rows, found = measure(options.quick)
        keys.update(found)
        print(f"{title:<40}{'median rate':>14}")
        for name, rate in rows:
            print(f"{name:<40}{rate:>14,.0f}")
        print()
    for name, value in keys.items():
        print(f"{name:<40}{'not installed' if value is None else f'{value:,}':>14}")
    if options.json:
        print(json.dumps(keys))


if __name__ == "__main__":
    main()
