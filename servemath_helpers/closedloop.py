"""What a closed loop of requests measures: time to first token and per output token.

Benchmarks keep N requests of one length in flight: whoever is done is replaced at once. A
request then waits for the prompts of others when it begins, and is delayed by the prompts of
those that begin while it decodes, one for each of the others.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from servemath_helpers import achieved
from servemath_helpers._validate import whole
from servemath_helpers.deployment import Deployment
from servemath_helpers.sim.steptime import AchievedStep

__all__ = [
    "LoopPrediction",
    "closed_loop",
]

#: Tokens of a prompt that one iteration computes: what engines set on large GPUs.
CHUNK_TOKENS = 8192


@dataclass(frozen=True)
class LoopPrediction:
    """Predicted times of a closed loop, with the band that 80 % of measurements fell into.

    Attributes
    ----------
    ttft_s, tpot_s : float
        Mean time to first token, and per output token after it.
    ttft_band_s, tpot_band_s : (float, float)
        Bands: 10 % of held-out measurements lay below, 10 % above.
    in_batch : float
        Requests that decode together, over all copies of the attention.
    fitted : bool
        Whether the model was among those measured on this accelerator with this engine.
    """

    ttft_s: float
    tpot_s: float
    ttft_band_s: tuple[float, float]
    tpot_band_s: tuple[float, float]
    in_batch: float
    fitted: bool

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second of all who decode."""
        return self.in_batch / self.tpot_s


def loop_times(
    deployment: Deployment,
    step: AchievedStep,
    reached: achieved.Coefficients,
    prompt: int,
    output: int,
    concurrency: int,
    engine: str | None = None,
) -> tuple[float, float, float]:
    """Return time to first token [s], time per output token [s] and requests in the batch.

    Parameters
    ----------
    deployment : deployment.Deployment
        Model and GPUs.
    step : sim.AchievedStep
        Its ``step(reached)``.
    reached : achieved.Coefficients
        What the engine reaches.
    prompt, output : int
        Tokens of a request.
    concurrency : int
        Requests in flight.
    engine : str, optional
        For how it hands out its cache.

    Returns
    -------
    tuple of float
        Means; no argument is checked, see `closed_loop`.

    Notes
    -----
    With D requests in the batch, ``TPOT = t(D) + (D - 1)/output * delay``: while a request
    gets its `output` tokens, each of the others begins once and delays it by what its prompt
    adds to the iterations that compute it.

    TTFT is the time of the own prompt, and what it waits for: the rest of the iteration that
    runs; others who come just then, ``P rho/(2 (1 - rho))`` with the share rho of the loop in
    which their prompts P are computed; each other request a little. A run begins with all
    prompts at once. Where everybody sends ten requests, that is a tenth of them, and each of
    those waits for half of the others and for whoever shares its iteration: a twentieth, which
    is what the fit finds for `burst`. Where the cache holds fewer than N, the wait is that of
    Little's law, ``(N/D - 1)`` times the stay, for all but the first D.
    """
    copies = deployment.attention_dp
    each = concurrency / copies  # requests of one copy of the attention
    batch = min(each, deployment.slots(prompt, output, engine))
    chunks = math.ceil(prompt / CHUNK_TOKENS)
    chunk, pairs = prompt / chunks, prompt**2 / 2 / chunks
    context = prompt + output / 2
    # Each copy computes a prompt of its own in the same iterations.
    time = step.iteration_s
    decode_s = time(batch * copies, batch * copies * context, 0, 0)  # type: ignore[arg-type]
    others = max(batch - 1.0, 0.0)
    mixed_s = time(
        others * copies,  # type: ignore[arg-type]
        others * copies * context,  # type: ignore[arg-type]
        chunk * copies,  # type: ignore[arg-type]
        pairs * copies,
    )
    alone_s = time(0, 0, chunk * copies, pairs * copies)  # type: ignore[arg-type]
    delay_s = chunks * max(mixed_s - decode_s, 0.0)
    tpot_s = decode_s + others / output * delay_s
    stay_s = output * tpot_s
    prompt_s = chunks * alone_s
    together = min(batch, max(1.0, CHUNK_TOKENS // prompt))  # prompts of one iteration
    busy = others * prompt_s / (batch * prompt_s + stay_s)
    ttft_s = (
        reached.first_s
        + chunks * mixed_s
        + reached.late_steps * decode_s
        + busy / (1.0 - busy) / 2 * prompt_s
        + reached.burst * (others + together - 1.0) * prompt_s
        + others * reached.request_s
        + reached.late_slot * stay_s / each
        + (each / batch - 1.0) * (1.0 - reached.burst * (1.0 + batch / each)) * stay_s
    )
    return ttft_s, tpot_s, batch * copies


def closed_loop(
    deployment: Deployment,
    prompt: int,
    output: int,
    concurrency: int,
    *,
    engine: str | None = None,
    release: str | None = None,
) -> LoopPrediction:
    """Predict what a closed loop measures, with its band.

    Parameters
    ----------
    deployment : deployment.Deployment
        Model, GPUs and formats.
    prompt, output : int
        Tokens of each request, at least 1.
    concurrency : int
        Requests in flight, at least 1.
    engine : {"vllm", "trtllm", "sglang"}, optional
        None for the mean of the engines.
    release : str, optional
        Version of the engine, where it was measured apart.

    Returns
    -------
    LoopPrediction
        Times from the stored coefficients (`servemath_helpers.achieved`), without a look at
        anything else.

    Examples
    --------
    >>> from servemath_helpers import facts
    >>> node = Deployment(model=facts.get_model("Llama-3.1-70B"), weight_format="fp8",
    ...                   accelerator=facts.get_accelerator("H200-SXM"), tensor_parallel=4,
    ...                   cache_format="fp8")
    >>> loop = closed_loop(node, 1024, 1024, 16, engine="vllm")  # measured: 10.9 ms
    >>> loop.tpot_band_s[0] < 0.0109 < loop.tpot_band_s[1], loop.fitted
    (True, True)
    """
    if not isinstance(deployment, Deployment):
        raise ValueError(f"deployment must be a Deployment, got {deployment!r}")
    prompt, output = whole("prompt", prompt, 1), whole("output", output, 1)
    concurrency = whole("concurrency", concurrency, 1)
    model, chip = deployment.model, deployment.accelerator.name
    reached = achieved.coefficients(chip, engine, release)
    ttft_s, tpot_s, batch = loop_times(
        deployment,
        AchievedStep.on(deployment, reached),
        reached,
        prompt,
        output,
        concurrency,
        engine,
    )
    fitted = achieved.was_fitted(model.name, chip, engine)

    def band(quantity: str, seconds: float) -> tuple[float, float]:
        low, high = achieved.bands(quantity, experts=bool(model.n_experts), fitted=fitted)
        return low * seconds, high * seconds

    return LoopPrediction(
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        ttft_band_s=band("ttft", ttft_s),
        tpot_band_s=band("tpot", tpot_s),
        in_batch=batch,
        fitted=fitted,
    )
