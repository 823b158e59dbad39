"""Figures that others measured and published, to stand beside what is predicted.

They are kept in ``data/published.json``, each kind with its source, and read when first asked
for. What is not known is None.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servemath_helpers.sim.measurement import Measurement

__all__ = [
    "Acceptance",
    "LoopPoint",
    "LoopRun",
    "PrefixReuse",
    "ServerRun",
    "SingleBatch",
    "acceptance",
    "closed_loop_run",
    "prefix_reuse",
    "server_run",
    "single_batches",
    "source",
]


@dataclass(frozen=True)
class SingleBatch:
    """One batch alone on its GPUs.

    Attributes
    ----------
    prompt_tokens, batch, output_tokens : int
        Tokens of each prompt, sequences, tokens of each answer.
    prefill_s, step_s : float
        Time of all prompts, and mean time of a decode step.
    power_share_of_tdp : float or None
        Mean power over the run, as a share of what the data sheet allows.
    """

    prompt_tokens: int
    batch: int
    output_tokens: int
    prefill_s: float
    step_s: float
    power_share_of_tdp: float | None


@dataclass(frozen=True)
class LoopPoint:
    """Means of a closed loop with so many requests in flight."""

    concurrency: int
    ttft_s: float
    tpot_s: float


@dataclass(frozen=True)
class LoopRun:
    """Closed loops on one deployment.

    Attributes
    ----------
    model, accelerator : str
        Names for `facts.get_model` and `facts.get_accelerator`.
    n_gpus : int
        GPUs, over which each layer is cut.
    weight_format : str
        One of `quantisation.FORMATS`.
    engine : str
        Who served.
    prompt_tokens, output_tokens : int
        Tokens of every request.
    points : tuple of LoopPoint
        By requests in flight.
    """

    model: str
    accelerator: str
    n_gpus: int
    weight_format: str
    engine: str
    prompt_tokens: int
    output_tokens: int
    points: tuple[LoopPoint, ...]


@dataclass(frozen=True)
class ServerRun:
    """An open loop against one server, request by request.

    Attributes
    ----------
    model, accelerator, engine : str
        What served.
    kv_tokens : int
        Tokens that its cache held.
    measurement : sim.Measurement
        The requests and their times.
    """

    model: str
    accelerator: str
    engine: str
    kv_tokens: int
    measurement: Measurement


@dataclass(frozen=True)
class Acceptance:
    """What became of drafted tokens.

    Attributes
    ----------
    gamma : int
        Tokens drafted in a round.
    rounds, drafted, accepted : int
        Counts of the run.
    accepted_by_position : tuple of float
        Share of the rounds in which a position was accepted.
    """

    gamma: int
    rounds: int
    drafted: int
    accepted: int
    accepted_by_position: tuple[float, ...]

    @property
    def conditional(self) -> tuple[float, ...]:
        """Share of the rounds that reached a position in which it was accepted."""
        shares = (1.0, *self.accepted_by_position)
        return tuple(b / a for a, b in pairwise(shares))


@dataclass(frozen=True)
class PrefixReuse:
    """What an LRU cache of whole blocks finds in a trace.

    Attributes
    ----------
    requests, block_tokens, blocks, distinct_blocks : int
        Requests of the trace, tokens of a block, blocks of all prompts, and how many of
        them differ.
    hit_blocks : dict of int to int
        Leading blocks that were found, by the blocks that the cache holds.
    """

    requests: int
    block_tokens: int
    blocks: int
    distinct_blocks: int
    hit_blocks: dict[int, int]


@cache
def _stored() -> dict[str, Any]:
    import json
    from importlib.resources import files

    text = files("servemath_helpers").joinpath("data", "published.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    return stored


def source(kind: str) -> str:
    """Return where figures come from.

    Parameters
    ----------
    kind : {"single_batches", "closed_loops", "server_run", "acceptance", "prefix_reuse"}
        Which figures.

    Returns
    -------
    str
        Source and licence.

    Examples
    --------
    >>> source("prefix_reuse").endswith("arXiv:2407.00079")
    True
    """
    kinds = [key for key in _stored() if key != "about"]
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {kind!r}")
    return str(_stored()[kind]["source"])


def single_batches(tensor_parallel: int) -> tuple[SingleBatch, ...]:
    """Return batches of Llama-2-70B that were alone on A100s of 80 GB.

    Parameters
    ----------
    tensor_parallel : {2, 4, 8}
        GPUs, over which each layer is cut.

    Returns
    -------
    tuple of SingleBatch
        A setting each, medians of its repeats.

    Examples
    --------
    >>> batches = single_batches(2)
    >>> len(batches), [b.step_s for b in batches if (b.prompt_tokens, b.batch) == (2048, 1)]
    (19, [0.054886])
    """
    rows = _stored()["single_batches"]["rows"]
    known = sorted({row[0] for row in rows})
    if tensor_parallel not in known:
        raise ValueError(
            f"tensor_parallel must be one of {', '.join(map(str, known))}, got {tensor_parallel!r}"
        )
    return tuple(
        SingleBatch(prompt, batch, output, prefill_ms / 1e3, round(step_ms / 1e3, 9), power)
        for gpus, prompt, batch, output, prefill_ms, step_ms, power in rows
        if gpus == tensor_parallel
    )


def closed_loop_run(model: str, accelerator: str, weight_format: str) -> LoopRun:
    """Return closed loops that were measured on a deployment.

    Parameters
    ----------
    model, accelerator, weight_format : str
        Which.

    Returns
    -------
    LoopRun
        Its times by requests in flight.

    Examples
    --------
    >>> run = closed_loop_run("Llama-3.1-70B", "H200-SXM", "fp8")
    >>> run.n_gpus, run.engine, run.points[0]
    (4, 'vllm', LoopPoint(concurrency=4, ttft_s=0.090579, tpot_s=0.0098542))
    """
    runs = _stored()["closed_loops"]["runs"]
    wanted = (model, accelerator, weight_format)
    known = [(run["model"], run["accelerator"], run["weight_format"]) for run in runs]
    if wanted not in known:
        listing = "; ".join(", ".join(key) for key in known)
        raise ValueError(f"model, accelerator, weight_format must be one of {listing}")
    run = dict(runs[known.index(wanted)])
    points = tuple(
        LoopPoint(n, round(ttft_ms / 1e3, 9), round(tpot_ms / 1e3, 9))
        for n, ttft_ms, tpot_ms in run.pop("rows")
    )
    return LoopRun(**run, points=points)


def server_run() -> ServerRun:
    """Return an open loop of 300 requests against vLLM on one card.

    Returns
    -------
    ServerRun
        What served, and the times of each request.

    Examples
    --------
    >>> run = server_run()
    >>> run.engine, run.kv_tokens, len(run.measurement.requests)
    ('vLLM 0.19.0', 41408, 300)
    """
    import numpy as np

    from servemath_helpers.sim.measurement import Measurement
    from servemath_helpers.sim.requests import Requests

    stored = _stored()["server_run"]
    arrival, prompt, output, first, last = np.array(stored["rows"]).T
    measurement = Measurement(
        Requests(arrival, prompt.astype(int), output.astype(int)), first - arrival, last - arrival
    )
    what = {key: stored[key] for key in ("model", "accelerator", "engine", "kv_tokens")}
    return ServerRun(**what, measurement=measurement)


def acceptance() -> Acceptance:
    """Return what became of the tokens that an EAGLE-3 head drafted for Llama-3.1-8B.

    Returns
    -------
    Acceptance
        Counts, and shares by position.

    Examples
    --------
    >>> run = acceptance()
    >>> round(1 + run.accepted / run.rounds, 2), [round(a, 2) for a in run.conditional[:3]]
    (3.53, [0.74, 0.73, 0.76])
    """
    stored = _stored()["acceptance"]
    counts = {key: stored[key] for key in ("gamma", "rounds", "drafted", "accepted")}
    return Acceptance(**counts, accepted_by_position=tuple(stored["accepted_by_position"]))


def prefix_reuse() -> PrefixReuse:
    """Return how often prompts of the Mooncake conversation trace begin like earlier ones.

    Returns
    -------
    PrefixReuse
        Blocks, and hits by the size of the cache.

    Examples
    --------
    >>> reuse = prefix_reuse()
    >>> [round(hits / reuse.blocks, 3) for hits in reuse.hit_blocks.values()]
    [0.035, 0.035, 0.041, 0.078, 0.159, 0.161]
    """
    stored = _stored()["prefix_reuse"]
    names = ("requests", "block_tokens", "blocks", "distinct_blocks")
    return PrefixReuse(**{key: stored[key] for key in names}, hit_blocks=dict(stored["rows"]))
