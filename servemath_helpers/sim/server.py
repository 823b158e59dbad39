"""A model server: how fast its iterations are, how it batches, what its cache holds.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from servemath_helpers._validate import finite_non_negative, probability, whole
from servemath_helpers.sim.steptime import StepTime

__all__ = ["LLMServer", "Speculation"]


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """Speculative decoding: a draft model proposes, the model verifies in one iteration.

    Parameters
    ----------
    alpha : float
        Probability that a drafted token is accepted, in [0, 1], independently.
    gamma : int
        Tokens drafted per iteration, at least 0.
    cost_ratio : float, optional
        Time of one draft step as a share of one plain decode step of the model, at least
        0; give this or `draft`.
    draft : StepTime, optional
        Iteration time of the draft model instead.

    Raises
    ------
    ValueError
        If both or neither of `cost_ratio` and `draft` is given.

    Notes
    -----
    A sequence gets 1 to gamma + 1 tokens in an iteration, on average
    ``(1 - alpha**(gamma + 1)) / (1 - alpha)``. The iteration takes gamma draft steps and
    the verification of gamma + 1 tokens a sequence, which costs little while decoding is
    bound by memory and much when it is bound by arithmetic. The draft model's prefill and
    memory are not counted.

    References
    ----------
    Leviathan, Kalman and Matias (2023), "Fast Inference from Transformers via Speculative
    Decoding", ICML 2023, arXiv:2211.17192, section 3.

    Examples
    --------
    >>> Speculation(alpha=0.8, gamma=4, cost_ratio=0.1).gamma
    4
    """

    alpha: float
    gamma: int
    cost_ratio: float | None = None
    draft: StepTime | None = None

    def __post_init__(self) -> None:
        probability("alpha", self.alpha)
        whole("gamma", self.gamma)
        if (self.cost_ratio is None) == (self.draft is None):
            raise ValueError(
                "cost_ratio must be given, or draft instead, got "
                f"cost_ratio = {self.cost_ratio!r} and draft = {self.draft!r}"
            )
        if self.cost_ratio is not None:
            finite_non_negative("cost_ratio", self.cost_ratio)
        elif not isinstance(self.draft, StepTime):
            raise ValueError(f"draft must be a StepTime, got {self.draft!r}")


@dataclass(frozen=True, kw_only=True)
class LLMServer:
    """A server of a language model and its policies.

    Parameters
    ----------
    step_time : StepTime
        Time of an iteration: `RooflineStep`, `LinearStep`, `CustomStep` or your own.
    batching : {"continuous", "chunked", "static"}, optional
        ``"continuous"``: between any two iterations waiting requests are let in, and their
        prompts are computed at once while the others pause. ``"chunked"``: an iteration
        gives every decoding sequence its token and fills up `max_batched_tokens` with
        pieces of prompts. ``"static"``: a new batch starts when the last request of the old
        one is done.
    max_batch : int, optional
        Sequences at a time, at least 1.
    max_batched_tokens : int, optional
        Tokens that one iteration computes at most; needed for ``"chunked"``, where it
        counts decoding and prompts. For ``"continuous"`` it limits the prompts computed
        together, and a longer prompt is computed alone. None for no limit.
    kv_tokens : int, optional
        Tokens that the KV cache holds, at least 1. None for no limit.
    kv_policy : {"reserve", "paged"}, optional
        ``"reserve"`` sets aside room for prompt and answer when a request is let in.
        ``"paged"`` hands out blocks as the sequence grows; when they run out, the sequence
        last in the order is thrown out and later recomputed from its tokens.
    block_tokens : int, optional
        Tokens of a block of ``"paged"``, at least 1.
    watermark : float, optional
        Share of the blocks of ``"paged"`` that stay free when a request is let in beside
        others, so that they can grow; in [0, 1). vLLM's block manager kept 0.01.
    rereads_prompt : bool, optional
        Whether an iteration that goes on with a prompt also reads the cache of the prompt's
        earlier tokens, as attention does; False counts their arithmetic only.
    reserve_tokens : int, optional
        Room that ``"reserve"`` sets aside for every request, such as the largest context;
        None for exactly its prompt and answer.
    order : {"fcfs", "shortest", "priority"}, optional
        Who is let in first: by arrival, by prompt plus answer, or by
        ``Requests.priority``; then by arrival. Nobody overtakes a head of the queue that
        does not fit.
    prefix_cache_tokens : int, optional
        Tokens of finished prompts that are kept for prompts with the same beginning, in
        memory of their own; 0 for no such cache, None for no limit.
    speculation : Speculation, optional
        Speculative decoding; not together with ``"paged"``.
    oversize : {"error", "reject"}, optional
        Whether a request larger than the KV cache is a mistake or gets the status
        ``"rejected"``.

    Raises
    ------
    ValueError
        If policies do not go together.

    Examples
    --------
    >>> from servemath_helpers.sim import LinearStep
    >>> step = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-5,
    ...                   per_context_token_s=0)
    >>> LLMServer(step_time=step, max_batch=32).batching
    'continuous'
    """

    step_time: StepTime
    batching: Literal["continuous", "chunked", "static"] = "continuous"
    max_batch: int = 256
    max_batched_tokens: int | None = None
    kv_tokens: int | None = None
    kv_policy: Literal["reserve", "paged"] = "reserve"
    block_tokens: int = 16
    watermark: float = 0.0
    rereads_prompt: bool = False
    reserve_tokens: int | None = None
    order: Literal["fcfs", "shortest", "priority"] = "fcfs"
    prefix_cache_tokens: int | None = 0
    speculation: Speculation | None = None
    oversize: Literal["error", "reject"] = "error"

    def __post_init__(self) -> None:
        if not isinstance(self.step_time, StepTime):
            raise ValueError(f"step_time must be a StepTime, got {self.step_time!r}")
        for name, allowed in (
            ("batching", ("continuous", "chunked", "static")),
            ("kv_policy", ("reserve", "paged")),
            ("order", ("fcfs", "shortest", "priority")),
            ("oversize", ("error", "reject")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        whole("max_batch", self.max_batch, 1)
        whole("block_tokens", self.block_tokens, 1)
        if probability("watermark", self.watermark) == 1:
            raise ValueError("watermark must be below 1, got 1")
        if not isinstance(self.rereads_prompt, bool):
            raise ValueError(f"rereads_prompt must be True or False, got {self.rereads_prompt!r}")
        for name, minimum in (
            ("max_batched_tokens", 1),
            ("kv_tokens", 1),
            ("reserve_tokens", 1),
            ("prefix_cache_tokens", 0),
        ):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), minimum)
        if self.speculation is not None and not isinstance(self.speculation, Speculation):
            raise ValueError(f"speculation must be a Speculation, got {self.speculation!r}")
        self._check_together()

    def _check_together(self) -> None:
        if self.batching == "chunked" and (self.max_batched_tokens or 0) < self.decode_tokens:
            raise ValueError(
                "max_batched_tokens must be at least the tokens of max_batch decoding "
                f"sequences = {self.decode_tokens} for chunked batching, "
                f"got {self.max_batched_tokens!r}"
            )
        if self.batching == "static" and self.max_batched_tokens is not None:
            raise ValueError(
                "max_batched_tokens must be None for static batching, "
                f"got {self.max_batched_tokens!r}"
            )
        if self.kv_policy == "paged":
            if self.kv_tokens is None:
                raise ValueError("kv_tokens must be given for paged, got None")
            if self.kv_tokens < self.block_tokens:
                raise ValueError(
                    f"kv_tokens must be at least block_tokens = {self.block_tokens}, "
                    f"got {self.kv_tokens!r}"
                )
            for name in ("reserve_tokens", "speculation"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} must be None for paged, got {getattr(self, name)!r}")
            if self.batching == "static":
                raise ValueError("kv_policy must be 'reserve' for static batching, got 'paged'")
        elif self.reserve_tokens is not None and self.reserve_tokens > (
            self.kv_tokens if self.kv_tokens is not None else 0
        ):
            raise ValueError(
                f"reserve_tokens must be at most kv_tokens = {self.kv_tokens!r}, "
                f"got {self.reserve_tokens!r}"
            )

    @property
    def tokens_per_sequence(self) -> int:
        """Tokens that a decoding sequence computes in an iteration."""
        return 1 if self.speculation is None else int(self.speculation.gamma) + 1

    @property
    def decode_tokens(self) -> int:
        """Tokens that a full batch of decoding sequences computes in an iteration."""
        return int(self.max_batch) * self.tokens_per_sequence
