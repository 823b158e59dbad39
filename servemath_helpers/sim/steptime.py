"""How long one iteration of a model server takes: roofline, fitted, or your own function.

An iteration gives every decoding sequence a token and may process prompt tokens beside
them. A model of its time is asked with four numbers:

``decode_tokens``
    tokens that decoding sequences compute (one a sequence; more when drafts are verified);
``context_tokens``
    tokens in the cache that those sequences attend to, summed;
``prefill_tokens``
    prompt tokens that are computed;
``prefill_pairs``
    pairs of tokens that the prompts' causal attention needs: a prompt that grows from p to
    q tokens adds (q**2 - p**2) / 2.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from servemath_helpers import achieved
from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    probability,
    whole,
)
from servemath_helpers.deployment import Deployment

if TYPE_CHECKING:
    from servemath_helpers.facts import Accelerator, Model
    from servemath_helpers.quantities import Exact

__all__ = ["AchievedStep", "CustomStep", "LinearStep", "RooflineStep", "StepTime"]


@runtime_checkable
class StepTime(Protocol):
    """What the simulator asks of a model of iteration time."""

    @property
    def context_s(self) -> float | None:
        """Seconds that each context token adds, or None if the time is not affine in it.

        With a number the simulator jumps over whole stretches of decoding in closed form.
        """
        ...  # pragma: no cover

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        """Return the time of one iteration in seconds."""
        ...  # pragma: no cover


@dataclass(frozen=True, kw_only=True)
class RooflineStep:
    """Iteration time from the roofline model of chapter 3.

    The class itself and `ideal` divide by what data sheets print. `of` gives what engines
    reach instead, an `AchievedStep`.

    Parameters
    ----------
    n_params : int
        Parameters that a token passes through, at least 1.
    weight_bytes : float
        Bytes of all weights, greater than 0.
    k : float
        KV bytes per token, at least 0.
    layers : int
        Layers, at least 1.
    d_attn : int
        Query heads times head dimension, at least 1.
    n_gpus : int
        GPUs that share the work evenly, at least 1.
    bw_Bps, peak_flops : float
        Memory bandwidth [B/s] and dense peak [FLOP/s] of one GPU, greater than 0.
    mfu : float, optional
        Share of the peak that prefill reaches, in (0, 1]. One half is an assumption.
    overhead_s : float, optional
        Seconds that every iteration takes besides, at least 0.

    Notes
    -----
    ``t = overhead + ctx k/(n BW) + max(W/(n BW), 2 N D/(n F) + prefill)`` with
    ``prefill = (2 N P + 4 L d pairs)/(n F mfu)``. Without prefill this is
    `roofline.decode_step_s`, and for a whole prompt alone `roofline.prefill_time_s`, except
    that no iteration is faster than reading the weights once (short prompts). For a dense
    model it is a lower bound: no launches, no communication, no scheduler. A mixture of
    experts reads fewer weights at small batches than it counts here.

    Examples
    --------
    Llama-3-70B on eight H100: 64 users of 4096 tokens, then one prompt of 512.

    >>> from servemath_helpers import facts
    >>> step = RooflineStep.ideal(facts.get_model("Llama-3-70B"),
    ...                           facts.get_accelerator("H100-SXM"), n_gpus=8)
    >>> round(step.iteration_s(64, 64 * 4096, 0, 0) * 1e3, 2)
    8.47
    >>> round(step.iteration_s(0, 0, 512, 512**2 / 2) * 1e3, 2)
    18.34
    """

    n_params: int
    weight_bytes: float
    k: float
    layers: int
    d_attn: int
    n_gpus: int
    bw_Bps: float
    peak_flops: float
    mfu: float = 0.5
    overhead_s: float = 0.0

    def __post_init__(self) -> None:
        whole("n_params", self.n_params, 1)
        finite_positive("weight_bytes", self.weight_bytes)
        finite_non_negative("k", self.k)
        whole("layers", self.layers, 1)
        whole("d_attn", self.d_attn, 1)
        whole("n_gpus", self.n_gpus, 1)
        finite_positive("bw_Bps", self.bw_Bps)
        finite_positive("peak_flops", self.peak_flops)
        probability("mfu", self.mfu, zero_allowed=False)
        finite_non_negative("overhead_s", self.overhead_s)
        # The simulator asks often: derive the coefficients once.
        peak = self.n_gpus * self.peak_flops
        derived = {
            "_read_s": self.weight_bytes / (self.n_gpus * self.bw_Bps),
            "_context_s": self.k / (self.n_gpus * self.bw_Bps),
            "_decode_s": 2 * self.n_params / peak,
            "_prefill_s": 2 * self.n_params / (peak * self.mfu),
            "_pair_s": 4 * self.layers * self.d_attn / (peak * self.mfu),
        }
        self.__dict__.update(derived)

    @classmethod
    def of(
        cls,
        model: Model,
        accelerator: Accelerator,
        n_gpus: int,
        *,
        weight_format: str | None = None,
        cache_format: str = "bf16",
        engine: str | None = None,
        release: str | None = None,
    ) -> AchievedStep:
        """Return the step time that engines were seen to reach, with the band they leave.

        Parameters
        ----------
        model : facts.Model
            Shape of the model.
        accelerator : facts.Accelerator
            Data of one GPU.
        n_gpus : int
            GPUs over which every layer is cut, at least 1.
        weight_format, cache_format : str, optional
            Formats of `quantisation.FORMATS`; None for the weights as published.
        engine : {"vllm", "trtllm", "sglang"}, optional
            None for the mean of the engines.
        release : str, optional
            Version of the engine, where it was measured apart.

        Returns
        -------
        AchievedStep
            With the coefficients of `servemath_helpers.achieved`; its ``band`` spans 80 % of
            the measurements that were held out.

        Raises
        ------
        ValueError
            If a value is out of range.

        Examples
        --------
        One user of Llama-3.1-70B in 8 bits, measured time over the roofline's: cutting layers
        over more GPUs divides the reading, not what a layer costs besides.

        >>> from servemath_helpers import facts
        >>> model, chip = facts.get_model("Llama-3.1-70B"), facts.get_accelerator("H200-SXM")
        >>> for n in (1, 8):
        ...     reached = RooflineStep.of(model, chip, n, weight_format="fp8", engine="vllm")
        ...     ideal = RooflineStep.ideal(model, chip, n, bits=8)
        ...     ratio = reached.iteration_s(1, 1024, 0, 0) / ideal.iteration_s(1, 1024, 0, 0)
        ...     print(n, "below 2" if ratio < 2 else "above 3" if ratio > 3 else "between")
        1 below 2
        8 above 3
        """
        deployment = Deployment(
            model=model,
            accelerator=accelerator,
            tensor_parallel=n_gpus,
            weight_format=weight_format,
            cache_format=cache_format,
        )
        band = achieved.bands(
            "tpot",
            experts=bool(model.n_experts),
            fitted=achieved.was_fitted(model.name, accelerator.name, engine),
        )
        reached = achieved.coefficients(accelerator.name, engine, release)
        return AchievedStep.on(deployment, reached, band)

    @classmethod
    def ideal(
        cls,
        model: Model,
        accelerator: Accelerator,
        n_gpus: int,
        *,
        bits: Exact = 16,
        kv_bytes_per_elem: Exact = 2,
        mfu: float = 0.5,
        overhead_s: float = 0.0,
    ) -> RooflineStep:
        """Return the step time of the data sheet: the roofline of chapter 3.

        Parameters
        ----------
        model : facts.Model
            Shape of the model.
        accelerator : facts.Accelerator
            Data of one GPU; its dense bf16 peak is used.
        n_gpus : int
            GPUs that share the work evenly, at least 1.
        bits : int, float, str, Decimal or Fraction, optional
            Bits of one weight.
        kv_bytes_per_elem : int, float, str, Decimal or Fraction, optional
            Bytes of one cached element.
        mfu, overhead_s : float, optional
            As for the class.

        Returns
        -------
        RooflineStep
            With all weights read in every iteration, also those of experts that are idle.
        """
        return cls(
            n_params=model.n_active_params,
            weight_bytes=model.weight_bytes(bits),
            k=model.kv_bytes_per_token(kv_bytes_per_elem),
            layers=model.n_layers,
            d_attn=model.d_attn,
            n_gpus=n_gpus,
            bw_Bps=accelerator.bandwidth_Bps,
            peak_flops=accelerator.bf16_dense_flops,
            mfu=mfu,
            overhead_s=overhead_s,
        )

    @property
    def context_s(self) -> float:
        """Seconds that reading one more context token adds."""
        seconds: float = self.__dict__["_context_s"]
        return seconds

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        """Return the time of one iteration in seconds, see the notes of the class."""
        own = self.__dict__
        compute: float = (
            own["_decode_s"] * decode_tokens
            + own["_prefill_s"] * prefill_tokens
            + own["_pair_s"] * prefill_pairs
        )
        read: float = own["_read_s"]
        cache: float = own["_context_s"] * context_tokens
        return self.overhead_s + cache + (compute if compute > read else read)

    def flops(self, tokens: float, prefill_pairs: float) -> float:
        """Return the arithmetic of so many tokens and prompt pairs in FLOP."""
        return 2.0 * self.n_params * tokens + 4.0 * self.layers * self.d_attn * prefill_pairs

    def bytes_read(
        self, iterations: float, context_tokens: float, tokens: float | None = None
    ) -> float:
        """Return the bytes that so many iterations over so much context read.

        How many tokens they compute does not matter here: all weights are read.
        """
        return self.weight_bytes * iterations + self.k * context_tokens


@dataclass(frozen=True, kw_only=True)
class AchievedStep(RooflineStep):
    """Iteration time with what an engine reaches of the data sheet.

    Made by `RooflineStep.of` or `on`; the parameters of
    `RooflineStep` keep their meaning, bytes and FLOP are those of all GPUs together.

    Parameters
    ----------
    linear_params : int
        Parameters in linear layers that every token passes: no routed experts, no embedding.
    dense_bytes : float
        Bytes of them, copies of the attention included; read in every iteration.
    weight_Bps, cache_Bps : float
        Bandwidths at which they and the cache are read [B/s].
    attention_flops : float
        FLOP/s that the attention of prompts reaches.
    attention_layers : int
        Layers that attend to all tokens.
    per_sequence_s, per_token_s : float
        Seconds of a decoding sequence, and of any token on the links between GPUs.
    window : int
        Tokens to which windowed layers attend; 0 for none.
    window_k, state_bytes : float
        Bytes per token in windowed layers, and of the states of a sequence in linear ones.
    host_s : float
        Seconds below which the host launches no iteration.
    n_experts, experts_per_token, expert_layers, expert_params : int
        Routed experts of a layer, how many a token visits, layers with them, parameters of
        one; all 0 without.
    expert_bytes, expert_Bps, expert_flops : float
        Bytes of one expert of one layer, bandwidth [B/s] and FLOP/s that they reach.
    band : (float, float), optional
        Factors on a time between which 80 % of held-out measurements lay.

    Notes
    -----
    ``t = max(host, overhead + D s + T c + ctx k/BW_c + max(W/BW_w, 2 N T/F) + pairs/F_a
    + max(L E(T) e/BW_e, 2 k L n T/F_e))`` with T = D + P tokens and E(T) distinct experts
    (`experts.experts_read`).
    """

    linear_params: int
    dense_bytes: float
    weight_Bps: float
    cache_Bps: float
    attention_flops: float
    attention_layers: int
    per_sequence_s: float
    per_token_s: float
    window: int
    window_k: float
    state_bytes: float
    host_s: float
    n_experts: int
    experts_per_token: int
    expert_layers: int
    expert_params: int
    expert_bytes: float
    expert_Bps: float
    expert_flops: float
    band: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen, experts = self.experts_per_token, self.n_experts
        token_flops = 2.0 * self.linear_params / (self.n_gpus * self.peak_flops * self.mfu)
        visited = 2.0 * chosen * self.expert_layers * self.expert_params
        pair_flops = 4.0 * self.d_attn / self.attention_flops
        derived = {
            "_read_s": self.dense_bytes / self.weight_Bps,
            "_context_s": self.k / self.cache_Bps,
            "_token_s": token_flops,
            "_pair_s": pair_flops * self.attention_layers,
            "_near_pair_s": pair_flops * (self.layers - self.attention_layers),
            "_window_s": self.window_k / self.cache_Bps,
            "_sequence_s": self.per_sequence_s + 2 * self.state_bytes / self.cache_Bps,
            "_all_experts_s": self.expert_layers * experts * self.expert_bytes / self.expert_Bps,
            "_expert_token_s": visited / self.expert_flops,
            "_left_alone": 1.0 - chosen / experts if experts else 0.0,
        }
        self.__dict__.update(derived)

    @classmethod
    def on(
        cls,
        deployment: Deployment,
        reached: achieved.Coefficients,
        band: tuple[float, float] | None = None,
    ) -> AchievedStep:
        """Return the step time of a deployment with the coefficients of an engine.

        Parameters
        ----------
        deployment : deployment.Deployment
            What each GPU holds, reads and computes.
        reached : achieved.Coefficients
            What the engine reaches.
        band : (float, float), optional
            Factors that span the band of the prediction.

        Returns
        -------
        AchievedStep
            For `sim.simulate_llm`, or to be asked directly.
        """
        return cls(**deployment.step_parameters(reached), band=band)

    @property
    def context_s(self) -> float | None:  # type: ignore[override]
        """Seconds that one more context token adds, None where that depends on how many."""
        own = self.__dict__
        if self.window_k or self.host_s > self.overhead_s + own["_read_s"]:
            return None
        seconds: float = own["_context_s"]
        return seconds

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        """Return the time of one iteration in seconds, see the notes of the class."""
        own = self.__dict__
        tokens = decode_tokens + prefill_tokens
        read, compute = own["_read_s"], own["_token_s"] * tokens
        seconds: float = (
            self.overhead_s
            + own["_sequence_s"] * decode_tokens
            + self.per_token_s * tokens
            + own["_context_s"] * context_tokens
            + (compute if compute > read else read)
        )
        if prefill_tokens:
            near = min(prefill_pairs, prefill_tokens * self.window)
            seconds += own["_pair_s"] * prefill_pairs + own["_near_pair_s"] * near
        if self.window_k:
            near = min(context_tokens, decode_tokens * self.window)
            seconds += own["_window_s"] * near
        if self.n_experts:
            read = own["_all_experts_s"] * (1.0 - own["_left_alone"] ** tokens)
            compute = own["_expert_token_s"] * tokens
            seconds += compute if compute > read else read
        return seconds if seconds > self.host_s else self.host_s

    def bytes_read(
        self, iterations: float, context_tokens: float, tokens: float | None = None
    ) -> float:
        """Return the bytes that so many iterations over so much context read.

        Parameters
        ----------
        iterations, context_tokens : float
            Iterations, and tokens of cache summed over them.
        tokens : float, optional
            Tokens computed in them, for how many experts are read; None for one each.

        Returns
        -------
        float
            Bytes, if every iteration computes the same number of tokens and windows are
            ignored.
        """
        each = 1.0 if tokens is None else tokens / iterations if iterations else 0.0
        share = 1.0 - self.__dict__["_left_alone"] ** each if self.n_experts else 0.0
        routed = share * self.expert_layers * self.n_experts * self.expert_bytes
        return (self.dense_bytes + routed) * iterations + (self.k + self.window_k) * context_tokens


@dataclass(frozen=True, kw_only=True)
class LinearStep:
    """Iteration time as a sum of four costs, as one fits it to measurements.

    Parameters
    ----------
    base_s : float
        Seconds per iteration (t0), at least 0.
    per_decode_s : float
        Seconds per decoding sequence (a), at least 0.
    per_prefill_token_s : float
        Seconds per prompt token (p), at least 0.
    per_context_token_s : float
        Seconds per token of context that is attended to (b), at least 0.

    Notes
    -----
    ``t = t0 + a D + p P + b ctx``.

    Examples
    --------
    >>> step = LinearStep(base_s=0.008, per_decode_s=2e-5, per_prefill_token_s=4e-5,
    ...                   per_context_token_s=1e-8)
    >>> round(step.iteration_s(32, 32 * 1000, 512, 0), 6)
    0.02944
    """

    base_s: float
    per_decode_s: float
    per_prefill_token_s: float
    per_context_token_s: float

    def __post_init__(self) -> None:
        for name in ("base_s", "per_decode_s", "per_prefill_token_s", "per_context_token_s"):
            finite_non_negative(name, getattr(self, name))

    @property
    def context_s(self) -> float:
        """Seconds that one more context token adds."""
        return self.per_context_token_s

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        """Return the time of one iteration in seconds; the pairs do not matter."""
        return (
            self.base_s
            + self.per_decode_s * decode_tokens
            + self.per_prefill_token_s * prefill_tokens
            + self.per_context_token_s * context_tokens
        )


@dataclass(frozen=True)
class CustomStep:
    """Iteration time from your own function.

    Parameters
    ----------
    function : callable
        Called with ``(decode_tokens, context_tokens, prefill_tokens, prefill_pairs)``,
        returns seconds. Nothing is known of its shape, so the simulator takes every
        iteration singly: slower than a model that is affine in the context.

    Raises
    ------
    ValueError
        If `function` cannot be called, or returns what is no finite positive number.

    Examples
    --------
    >>> step = CustomStep(lambda decodes, context, prompt, pairs: 0.01 + 5e-5 * prompt)
    >>> step.iteration_s(8, 4000, 100, 5000)
    0.015
    """

    function: Callable[[int, int, int, float], float]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function must be callable, got {self.function!r}")

    @property
    def context_s(self) -> None:
        """Not known."""
        return None

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        """Return what the function returns, refusing what is no time."""
        seconds = self.function(decode_tokens, context_tokens, prefill_tokens, prefill_pairs)
        return finite_positive("function(...)", seconds)
