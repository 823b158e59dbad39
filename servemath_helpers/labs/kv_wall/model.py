"""The node of lab 3: what its memory holds, and how it serves what is asked of it.

Memory is exact and follows from the facts: a `MemorySetup` is what the learner sets, a
`MemoryPlan` what follows. Runs come from `servemath_helpers.sim` with a fixed seed, so the same
settings give the same numbers; they are remembered, so that of two configurations only the
changed one runs again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from servemath_helpers import facts, memory, roofline
from servemath_helpers.quantities import GB, GIB, exact
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
    from servemath_helpers.facts import Accelerator, Model
    from servemath_helpers.sim._arrays import FloatArray, IntArray

__all__ = [
    "DRAFT",
    "FEW_USERS",
    "GPU",
    "MODEL",
    "PAGES",
    "SEED",
    "Configuration",
    "FrontierPoint",
    "Goals",
    "MemoryPlan",
    "MemorySetup",
    "PageWaste",
    "Run",
    "Workload",
    "decode_step",
    "frontier",
    "goal_states",
    "gpu_of",
    "model_of",
    "page_waste",
    "plan",
    "prefill_s",
    "run",
    "users_by_context",
    "users_if",
]

#: The accelerator and the model of the lab's story.
GPU: Final = "H100-SXM"
MODEL: Final = "Llama-3-70B"
DRAFT: Final = "Llama-3-8B"
SEED: Final = 0
#: Tokens of a page that the paging picture compares.
PAGES: Final = (1, 16, 64, 256)
#: Below so many users a node is hardly worth its power.
FEW_USERS: Final = 10
#: Mean length of a sequence, as a share of the largest context, in the paging picture.
_MEAN_SHARE: Final = Fraction(1, 4)
_SAMPLE: Final = 500
#: A name with this at its end is a thought experiment.
_MHA: Final = " as MHA"
#: Share of the arrivals of the second half by which a queue may grow and still count as stable.
_PILE_UP: Final = 0.05


@cache
def model_of(name: str) -> Model:
    """Return the published model, or with " as MHA" one that caches every query head.

    >>> model_of("Llama-3-70B as MHA").kv_bytes_per_token() / 2**20
    2.5
    """
    if name.endswith(_MHA):
        return facts.get_model(name.removesuffix(_MHA)).as_mha()
    return facts.get_model(name)


@cache
def gpu_of() -> Accelerator:
    """Return the accelerator of the story."""
    return facts.get_accelerator(GPU)


# --- what memory holds -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MemorySetup:
    """What the learner sets in the first simulator.

    Attributes
    ----------
    model : str
        A name in the facts, perhaps followed by " as MHA".
    n_gpus : int
        GPUs that share weights and cache evenly.
    seq_tokens : int
        Tokens of context of each user.
    bits, kv_bits : int
        Bits of a weight and of a cached number.
    reserve : str
        Share of each GPU kept free, a decimal.
    units : {"GB", "GiB"}
        What the "80" on the card's data sheet counts, and the unit of the cards.
    page_tokens : int
        Tokens of a page of the cache.
    """

    model: str = MODEL
    n_gpus: int = 8
    seq_tokens: int = 4096
    bits: int = 16
    kv_bits: int = 16
    reserve: str = "0"
    units: str = "GB"
    page_tokens: int = 16

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> MemorySetup:
        """Return the setup of a session's settings or of a frozen scenario."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})

    @property
    def unit_bytes(self) -> int:
        """Bytes of one GB or GiB, as chosen."""
        return int(GIB if self.units == "GiB" else GB)

    @cached_property
    def gpu_bytes(self) -> int:
        """Memory of one card under the chosen convention."""
        return round(float(gpu_of().memory_gb) * self.unit_bytes)

    @cached_property
    def k(self) -> int | float:
        """KV bytes of one token."""
        return model_of(self.model).kv_bytes_per_token(Fraction(self.kv_bits, 8))

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of the weights on all GPUs together."""
        return model_of(self.model).weight_bytes(self.bits)

    @cached_property
    def pool_bytes(self) -> float:
        """Bytes that are left for the cache on all GPUs together."""
        return memory.kv_pool_bytes(self.n_gpus, self.gpu_bytes, self.weight_bytes, self.reserve)


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What follows from a setup.

    Attributes
    ----------
    setup : MemorySetup
        What was set.
    users : int
        Users of the whole context that fit.
    min_gpus : int
        Least number of cards whose memory holds the weights.
    k, user_bytes, weight_bytes, pool_bytes : float
        Cache of a token and of a user; weights; what is left for the cache. All GPUs.
    gpu_weights_bytes, gpu_kv_bytes, gpu_free_bytes, gpu_reserve_bytes : float
        Where the memory of one GPU goes; they add up to its size where the weights fit.
    page_bytes : float
        Bytes of one page.
    """

    setup: MemorySetup
    users: int
    min_gpus: int
    k: float
    user_bytes: float
    weight_bytes: int
    pool_bytes: float
    gpu_weights_bytes: float
    gpu_kv_bytes: float
    gpu_free_bytes: float
    gpu_reserve_bytes: float
    page_bytes: float

    @property
    def fits(self) -> bool:
        """Whether the weights fit beside the reserve."""
        return self.min_gpus <= self.setup.n_gpus

    @property
    def state(self) -> str:
        """``"oom"``, ``"none"`` (weights fit, no user does), ``"few"`` or ``"viable"``."""
        if not self.fits:
            return "oom"
        if self.users == 0:
            return "none"
        return "few" if self.users < FEW_USERS else "viable"

    def in_units(self, n_bytes: float) -> float:
        """Return bytes in GB or GiB, as the setup says."""
        return n_bytes / self.setup.unit_bytes


def users_if(setup: MemorySetup, k: float) -> int:
    """Return how many users would fit if a token took k bytes, rightly or not.

    >>> users_if(MemorySetup(), 327_680), users_if(MemorySetup(), 2 * 327_680)
    (371, 185)
    """
    return memory.max_users(
        setup.n_gpus, setup.gpu_bytes, setup.weight_bytes, k, setup.seq_tokens, setup.reserve
    )


@lru_cache(maxsize=64)
def plan(setup: MemorySetup) -> MemoryPlan:
    """Return what a setup leads to.

    Parameters
    ----------
    setup : MemorySetup
        What the learner set.

    Returns
    -------
    MemoryPlan
        Exact counts and bytes.

    Examples
    --------
    >>> plan(MemorySetup()).users
    371
    >>> plan(MemorySetup(n_gpus=1)).state
    'oom'
    """
    k, n = setup.k, setup.n_gpus
    users, user_bytes = users_if(setup, k), k * setup.seq_tokens
    each_kv = users * user_bytes / n
    n_params = model_of(setup.model).n_params
    return MemoryPlan(
        setup=setup,
        users=users,
        min_gpus=memory.min_gpus(n_params, setup.bits, setup.gpu_bytes, setup.reserve),
        k=k,
        user_bytes=user_bytes,
        weight_bytes=setup.weight_bytes,
        pool_bytes=setup.pool_bytes,
        gpu_weights_bytes=setup.weight_bytes / n,
        gpu_kv_bytes=each_kv,
        gpu_free_bytes=setup.pool_bytes / n - each_kv,
        gpu_reserve_bytes=float(setup.gpu_bytes * exact(setup.reserve)),
        page_bytes=k * setup.page_tokens,
    )


def users_by_context(setup: MemorySetup, longest: int = 131_072) -> tuple[list[int], list[float]]:
    """Return contexts from 512 on, four to an octave, and how many users of each would fit.

    Users are a fraction where less than one fits, so that the line keeps its slope, and 0.0
    where the weights do not fit.
    """
    steps = int(4 * math.log2(longest / 512))
    tokens = [round(512 * 2 ** (i / 4)) for i in range(steps + 1)]
    pool, k = setup.pool_bytes, setup.k
    return tokens, [pool / (k * t) for t in tokens]


@dataclass(frozen=True)
class PageWaste:
    """What one way of handing out cache wastes, for sequences of mixed length.

    `waste` is the share of what was handed out that holds no token, `users` how many sequences
    of this mix the pool holds.
    """

    label: str
    page_tokens: int
    waste: float
    users: int


@lru_cache(maxsize=1024)
def _waste(seq_tokens: int, block: int) -> tuple[int, float]:
    """Return tokens handed out and wasted, for quantiles of an exponential length."""
    mean = float(_MEAN_SHARE * seq_tokens)
    steps = [(i + 0.5) / _SAMPLE for i in range(_SAMPLE)]
    lengths = [min(seq_tokens, math.ceil(-mean * math.log1p(-u))) for u in steps]
    _, allocated, waste = memory.paged_blocks(lengths, block)
    return allocated, waste


@lru_cache(maxsize=64)
def page_waste(setup: MemorySetup) -> tuple[PageWaste, ...]:
    """Return the waste of each of `PAGES`, and last of reserving the whole context.

    Lengths are exponential with a quarter of the context as their mean, cut off at the context.

    >>> [f"{row.label}: {row.waste:.1%}" for row in page_waste(MemorySetup())][1]
    '16 tokens: 0.7%'
    """
    pool, k = Fraction(setup.pool_bytes), Fraction(setup.k)
    labels = [f"{block} token{'s' if block > 1 else ''}" for block in PAGES] + ["the whole context"]
    rows = []
    for label, block in zip(labels, (*PAGES, setup.seq_tokens), strict=True):
        allocated, waste = _waste(setup.seq_tokens, block)
        rows.append(
            PageWaste(label, block, waste, math.floor(pool / (Fraction(allocated, _SAMPLE) * k)))
        )
    return tuple(rows)


# --- how it serves -----------------------------------------------------------------------------


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
    n_requests: int = 1500
    seed: int = SEED

    @property
    def offered_tok_s(self) -> float:
        """Output tokens asked for per second."""
        return self.lam_rps * self.mean_output

    @property
    def context_tokens(self) -> int:
        """Tokens of a sequence halfway through its answer."""
        return self.prompt_tokens + self.mean_output // 2


@cache
def _kv_tokens(n_gpus: int, reserve: str) -> int:
    setup = MemorySetup(n_gpus=n_gpus, reserve=reserve)
    return math.floor(setup.pool_bytes / setup.k)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the node is set up.

    Attributes
    ----------
    mode : {"static", "continuous", "chunked", "speculative"}
        How it batches.
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
    def kv_tokens(self) -> int:
        """Tokens of cache that fit beside the weights, 0 if these do not fit."""
        return _kv_tokens(self.n_gpus, self.reserve)

    def server(self) -> LLMServer:
        """Return the simulator's server; the weights must fit."""
        gpu = gpu_of()
        speculation = None
        if self.mode == "speculative":
            draft = RooflineStep.ideal(model_of(DRAFT), gpu, self.n_gpus)
            speculation = Speculation(alpha=self.alpha, gamma=self.gamma, draft=draft)
        return LLMServer(
            step_time=RooflineStep.ideal(model_of(MODEL), gpu, self.n_gpus),
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
    if configuration.kv_tokens:
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


@lru_cache(maxsize=128)
def goal_states(outcome: Run, goals: Goals) -> tuple[str, ...]:
    """Return what went wrong in a run, nothing if all goals were met.

    ``"oom"`` (the weights do not fit), ``"kv_full"`` (requests wait for cache), ``"unstable"``
    (the queue grows; a failure only where somebody waits, that is under a bound on time),
    ``"ttft"``, ``"tpot"`` (a bound is missed) and ``"throughput"``.

    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> goal_states(run(peak, Configuration(max_batch=8)), Goals(ttft_slo_s=0.2))
    ('unstable', 'ttft', 'throughput')
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

    >>> round(prefill_s(4096, 8), 3)
    0.152
    """
    model, peak = model_of(MODEL), gpu_of().bf16_dense_flops
    return roofline.prefill_time_s(
        model.n_params, prompt_tokens, model.n_layers, model.d_attn, n_gpus, peak
    )


def decode_step(batch: int, context_tokens: int, n_gpus: int) -> roofline.DecodeStep:
    """Return how long one step of a full batch takes, and what bounds it."""
    model, gpu = model_of(MODEL), gpu_of()
    return roofline.decode_step_s(
        batch,
        context_tokens,
        model.n_params,
        model.weight_bytes(),
        model.kv_bytes_per_token(),
        n_gpus,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )


@dataclass(frozen=True)
class FrontierPoint:
    """What decoding alone permits with one batch: time per token and tokens per second."""

    batch: int
    tpot_s: float
    tok_s: float


def frontier(workload: Workload, configuration: Configuration) -> tuple[FrontierPoint, ...]:
    """Return the trade of time per token for volume that decoding alone permits.

    Always full batches without prefill, over the powers of two that the cache holds, so that no
    run lies above; nothing if the weights do not fit.

    >>> chat = Workload(lam_rps=8, prompt_tokens=512, mean_output=256)
    >>> ends = frontier(chat, Configuration())
    >>> [(point.batch, round(point.tok_s)) for point in (ends[0], ends[-1])]
    [(1, 190), (128, 20425)]
    """
    return _frontier(workload.context_tokens, configuration.n_gpus, configuration.kv_tokens)


@lru_cache(maxsize=64)
def _frontier(context: int, n_gpus: int, kv_tokens: int) -> tuple[FrontierPoint, ...]:
    points = []
    for batch in (2**i for i in range(8)):
        if batch * context > kv_tokens:
            break
        step_s = decode_step(batch, context, n_gpus)["step_s"]
        points.append(FrontierPoint(batch, step_s, batch / step_s))
    return tuple(points)
