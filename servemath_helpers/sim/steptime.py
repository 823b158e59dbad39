"""How long one iteration of a model server takes: roofline, linear, or your own function.

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

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    probability,
    whole,
)

if TYPE_CHECKING:
    from servemath_helpers.facts import Accelerator, Model
    from servemath_helpers.quantities import Exact

__all__ = ["CustomStep", "LinearStep", "RooflineStep", "StepTime"]


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
    that no iteration is faster than reading the weights once (short prompts). It is a lower
    bound: no launches, no communication, no scheduler.

    Examples
    --------
    Llama-3-70B on eight H100: 64 users of 4096 tokens, then one prompt of 512.

    >>> from servemath_helpers import facts
    >>> step = RooflineStep.of(facts.get_model("Llama-3-70B"),
    ...                        facts.get_accelerator("H100-SXM"), n_gpus=8)
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
        bits: Exact = 16,
        kv_bytes_per_elem: Exact = 2,
        mfu: float = 0.5,
        overhead_s: float = 0.0,
    ) -> RooflineStep:
        """Return the step time of a model on accelerators from the facts.

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

    def bytes_read(self, iterations: float, context_tokens: float) -> float:
        """Return the bytes that so many iterations over so much context read."""
        return self.weight_bytes * iterations + self.k * context_tokens


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
