"""The server of lab 3: a workload, a configuration, and how the run went against its goals.

Runs come from `servemath_helpers.sim` with a fixed seed, so the same settings give the same
numbers; they are remembered, so that of two configurations only the changed one runs again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from servemath_helpers import memory, roofline
from servemath_helpers.labs.kv_wall.memory import gpu_of, model_of
from servemath_helpers.sim import (
    LLMResult,
    LLMServer,
    Requests,
    RooflineStep,
    Speculation,
    arrivals,
    simulate_llm,
)

if TYPE_CHECKING:
    from servemath_helpers.sim._arrays import FloatArray, IntArray

__all__ = [
    "DRAFT",
    "MODEL",
    "MODES",
    "N_REQUESTS",
    "SEED",
    "Configuration",
    "FrontierPoint",
    "Goals",
    "Run",
    "Workload",
    "frontier",
    "goal_states",
    "prefill_s",
    "run",
]

MODEL: Final = "Llama-3-70B"
DRAFT: Final = "Llama-3-8B"
SEED: Final = 0
N_REQUESTS: Final = 1500
#: Label and name of the ways to batch.
MODES: Final[tuple[tuple[str, str], ...]] = (
    ("static", "static"),
    ("continuous", "continuous"),
    ("chunked", "chunked"),
    ("speculative", "speculative"),
)
#: Share of the arrivals of the second half by which a queue may grow and still count as stable.
_PILE_UP: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is asked: Poisson arrivals, one prompt length, geometric answer lengths.

    Attributes
    ----------
    lam_rps : float
        Requests per second.
    prompt_tokens, mean_output : int
        Tokens of a prompt, and of an answer on average.
    n_requests, seed : int
        How many, and which draw.
    """

    lam_rps: float
    prompt_tokens: int
    mean_output: int
    n_requests: int = N_REQUESTS
    seed: int = SEED

    @property
    def offered_tok_s(self) -> float:
        """Output tokens asked for per second."""
        return self.lam_rps * self.mean_output


@lru_cache(maxsize=64)
def _kv_tokens(n_gpus: int, reserve: str) -> int:
    model = model_of(MODEL)
    pool = memory.kv_pool_bytes(n_gpus, gpu_of().memory_bytes, model.weight_bytes(), reserve)
    return math.floor(pool / model.kv_bytes_per_token())


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the node is set up.

    Attributes
    ----------
    mode : str
        A name of `MODES`.
    max_batch : int
        Sequences at a time.
    chunk_tokens : int
        Tokens of an iteration; only ``"chunked"`` looks at it.
    alpha : float
        Chance that a drafted token is accepted; only ``"speculative"`` looks at it.
    gamma : int
        Tokens drafted; only ``"speculative"`` looks at it.
    reserve : str
        Share of each GPU kept free, a decimal.
    n_gpus : int
        GPUs of the node.
    """

    mode: str = "continuous"
    max_batch: int = 64
    chunk_tokens: int = 512
    alpha: float = 0.8
    gamma: int = 4
    reserve: str = "0"
    n_gpus: int = 8

    def canonical(self) -> Configuration:
        """Return it with what its mode ignores put back to the defaults."""
        ignored: dict[str, float | int] = {}
        if self.mode != "chunked":
            ignored["chunk_tokens"] = 512
        if self.mode != "speculative":
            ignored.update(alpha=0.8, gamma=4)
        return replace(self, **ignored)  # type: ignore[arg-type]

    @property
    def k(self) -> float:
        """KV bytes of one token."""
        return model_of(MODEL).kv_bytes_per_token()

    @property
    def weights_fit(self) -> bool:
        """Whether the weights leave any room at all."""
        return self.kv_tokens > 0

    @property
    def kv_tokens(self) -> int:
        """Tokens of cache that fit beside the weights."""
        return _kv_tokens(self.n_gpus, self.reserve)

    def server(self) -> LLMServer:
        """Return the simulator's server; the weights must fit."""
        gpu = gpu_of()
        speculation = None
        if self.mode == "speculative":
            draft = RooflineStep.of(model_of(DRAFT), gpu, self.n_gpus)
            speculation = Speculation(alpha=self.alpha, gamma=self.gamma, draft=draft)
        return LLMServer(
            step_time=RooflineStep.of(model_of(MODEL), gpu, self.n_gpus),
            batching="continuous" if self.mode == "speculative" else self.mode,  # type: ignore[arg-type]
            max_batch=self.max_batch,
            max_batched_tokens=self.chunk_tokens if self.mode == "chunked" else None,
            kv_tokens=self.kv_tokens,
            speculation=speculation,
            oversize="reject",
        )


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What a run is held against.

    Attributes
    ----------
    ttft_slo_s, tpot_slo_s : float or None
        Bounds on the 99th percentiles; None is no bound.
    target_tok_s : float or None
        Least output tokens per second; None asks only that the server keeps up.
    """

    ttft_slo_s: float | None = None
    tpot_slo_s: float | None = None
    target_tok_s: float | None = None

    #: What "keeps up" means: this share of the tokens that are asked for.
    KEEPS_UP = 0.9

    def least_tok_s(self, workload: Workload) -> float:
        """Return the output tokens per second that are wanted of this workload."""
        if self.target_tok_s is not None:
            return self.target_tok_s
        return self.KEEPS_UP * workload.offered_tok_s


@dataclass(frozen=True, eq=False)
class Run:
    """How one configuration did. Numbers are None where nothing could be served.

    Attributes
    ----------
    workload, configuration
        What was run.
    result : LLMResult or None
        The simulator's result; None if the weights do not fit.
    """

    workload: Workload
    configuration: Configuration
    result: LLMResult | None

    @property
    def served(self) -> bool:
        """Whether any request was answered."""
        return self.result is not None and bool((self.result.status == "ok").any())

    def _percentile(self, metric: str, q: str) -> float | None:
        if self.result is None or not self.served:
            return None
        return self.result.percentile(metric, q)  # type: ignore[arg-type]

    @cached_property
    def ttft_p50_s(self) -> float | None:
        """Median time to the first token."""
        return self._percentile("ttft", "0.5")

    @cached_property
    def ttft_p99_s(self) -> float | None:
        """99th percentile of the time to the first token."""
        return self._percentile("ttft", "0.99")

    @cached_property
    def tpot_p99_s(self) -> float | None:
        """99th percentile of the time per output token."""
        return self._percentile("tpot", "0.99")

    @cached_property
    def queue_p99_s(self) -> float | None:
        """99th percentile of the wait before a request is let in."""
        return self._percentile("queue", "0.99")

    @cached_property
    def tok_s(self) -> float:
        """Output tokens per second."""
        return self.result.throughput_tok_s() if self.result is not None else 0.0

    def goodput_rps(self, goals: Goals) -> float:
        """Return the requests per second that were answered within the bounds."""
        if self.result is None:
            return 0.0
        return self.result.goodput_rps(goals.ttft_slo_s, goals.tpot_slo_s)

    @cached_property
    def slot_efficiency(self) -> float | None:
        """Share of the decode slots that decoded."""
        return self.result.slot_efficiency() if self.result is not None else None

    @cached_property
    def mfu(self) -> float | None:
        """Share of the peak arithmetic that was used."""
        return self.result.mfu() if self.result is not None else None

    @cached_property
    def mbu(self) -> float | None:
        """Share of the bandwidth that was used."""
        return self.result.mbu() if self.result is not None else None

    @cached_property
    def kv_peak_tokens(self) -> int:
        """Most tokens of cache that were set aside at once."""
        return self.result.timeline.kv_peak_tokens() if self.result is not None else 0

    @cached_property
    def rejected(self) -> int:
        """Requests that are larger than the whole cache."""
        return int((self.result.status == "rejected").sum()) if self.result is not None else 0

    def _waiting(self, instants_s: FloatArray) -> IntArray:
        """How many served requests have come and are not yet let in, at each instant."""
        assert self.result is not None
        ok = self.result.status == "ok"
        arrived, admitted = self.result.arrival_s[ok], np.sort(self.result.start_s[ok])
        came = np.searchsorted(arrived, instants_s, "right")
        waiting: IntArray = came - np.searchsorted(admitted, instants_s, "right")
        return waiting

    @cached_property
    def pile_up(self) -> float:
        """Share of the later arrivals by which the queue grew while they came."""
        if self.result is None or not self.served:
            return 1.0
        arrived = self.result.arrival_s
        half, end = self._waiting(np.array([arrived[-1] / 2, arrived[-1]])).tolist()
        return float((end - half) / (arrived > arrived[-1] / 2).sum())

    @property
    def unstable(self) -> bool:
        """Whether the queue kept growing while requests came."""
        return self.pile_up > _PILE_UP

    @cached_property
    def kv_full(self) -> bool:
        """Whether the cache, not the batch limit, kept somebody waiting or out."""
        if self.result is None:
            return False
        if self.rejected:
            return True
        line = self.result.timeline
        asked = self.result.requests
        typical = int(np.median(asked.prompt_tokens + asked.output_tokens))
        crowded = line.kv_start_tokens + typical > self.configuration.kv_tokens
        open_slots = line.sequences < self.configuration.max_batch
        return bool((crowded & open_slots & (self._waiting(line.start_s) > 0)).any())


@lru_cache(maxsize=32)
def _requests(workload: Workload) -> Requests:
    rng = np.random.default_rng(workload.seed)
    arrival_s = arrivals.poisson(workload.n_requests, workload.lam_rps, rng)
    output = rng.geometric(1 / workload.mean_output, workload.n_requests)
    return Requests(arrival_s, workload.prompt_tokens, output)


@lru_cache(maxsize=128)
def _run(workload: Workload, configuration: Configuration) -> Run:
    result = None
    if configuration.weights_fit:
        rng = np.random.default_rng(workload.seed + 1)
        result = simulate_llm(_requests(workload), configuration.server(), rng)
    return Run(workload, configuration, result)


def run(workload: Workload, configuration: Configuration) -> Run:
    """Serve a workload with a configuration.

    Parameters
    ----------
    workload : Workload
        What is asked.
    configuration : Configuration
        How the node is set up.

    Returns
    -------
    Run
        The same for the same arguments.

    Examples
    --------
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> [run(peak, Configuration(max_batch=b)).unstable for b in (8, 64)]
    [True, False]
    """
    return _run(workload, configuration.canonical())


def goal_states(outcome: Run, goals: Goals) -> tuple[str, ...]:
    """Return what went wrong in a run, nothing if all goals were met.

    Parameters
    ----------
    outcome : Run
        What happened.
    goals : Goals
        What was wanted.

    Returns
    -------
    tuple of str
        Of ``"oom"`` (the weights do not fit), ``"kv_full"`` (requests wait for cache),
        ``"unstable"`` (the queue grows; a failure only where somebody waits, that is under
        a bound on time), ``"ttft"``, ``"tpot"`` (a bound is missed) and ``"throughput"``.

    Examples
    --------
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> goal_states(run(peak, Configuration(max_batch=8)), Goals(ttft_slo_s=0.2))
    ('unstable', 'ttft', 'throughput')
    >>> goal_states(run(peak, Configuration()), Goals(ttft_slo_s=0.2))
    ()
    """
    if outcome.result is None:
        return ("oom",)
    interactive = goals.ttft_slo_s is not None or goals.tpot_slo_s is not None
    found = []
    if outcome.kv_full:
        found.append("kv_full")
    if interactive and outcome.unstable:
        found.append("unstable")
    for name, bound, reached in (
        ("ttft", goals.ttft_slo_s, outcome.ttft_p99_s),
        ("tpot", goals.tpot_slo_s, outcome.tpot_p99_s),
    ):
        if bound is not None and (reached is None or reached > bound):
            found.append(name)
    if outcome.tok_s < goals.least_tok_s(outcome.workload):
        found.append("throughput")
    return tuple(found)


def prefill_s(prompt_tokens: int, n_gpus: int) -> float:
    """Return how long one prompt takes alone.

    Parameters
    ----------
    prompt_tokens, n_gpus : int
        Tokens of the prompt, GPUs of the node.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> round(prefill_s(4096, 8), 3)
    0.152
    """
    model, peak = model_of(MODEL), gpu_of().bf16_dense_flops
    return roofline.prefill_time_s(
        model.n_params, prompt_tokens, model.n_layers, model.d_attn, n_gpus, peak
    )


@dataclass(frozen=True)
class FrontierPoint:
    """What decoding alone permits with one batch: time per token and tokens per second."""

    batch: int
    tpot_s: float
    tok_s: float


def frontier(workload: Workload, configuration: Configuration) -> tuple[FrontierPoint, ...]:
    """Return the trade of time per token for volume that decoding alone permits.

    Parameters
    ----------
    workload : Workload
        Its prompt and half its mean answer are the context of each sequence.
    configuration : Configuration
        Its GPUs and reserve; the batch runs over the powers of two that the cache holds.

    Returns
    -------
    tuple of FrontierPoint
        Always full batches without prefill, so that no run lies above; empty if the
        weights do not fit.

    Examples
    --------
    >>> chat = Workload(lam_rps=8, prompt_tokens=512, mean_output=256)
    >>> ends = frontier(chat, Configuration())
    >>> [(point.batch, round(point.tok_s)) for point in (ends[0], ends[-1])]
    [(1, 190), (128, 20425)]
    """
    context = workload.prompt_tokens + workload.mean_output // 2
    return _frontier(context, configuration.n_gpus, configuration.kv_tokens)


@lru_cache(maxsize=64)
def _frontier(context: int, n_gpus: int, kv_tokens: int) -> tuple[FrontierPoint, ...]:
    model, gpu = model_of(MODEL), gpu_of()
    points = []
    for batch in (2**i for i in range(8)):
        if batch * context > kv_tokens:
            break
        step_s = roofline.decode_step_s(
            batch,
            context,
            model.n_params,
            model.weight_bytes(),
            model.kv_bytes_per_token(),
            n_gpus,
            gpu.bandwidth_Bps,
            gpu.bf16_dense_flops,
        )["step_s"]
        points.append(FrontierPoint(batch, step_s, batch / step_s))
    return tuple(points)
