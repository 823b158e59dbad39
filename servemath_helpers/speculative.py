"""Speculative decoding: a small model drafts, the large one checks many tokens at once.

It trades arithmetic, of which a small batch has plenty, for fewer readings of the
weights. `speculative_speedup` is the textbook formula for one stream;
`batched_speculation` puts the same scheme on the roofline and shows what a large
batch makes of it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from servemath_helpers import roofline
from servemath_helpers._validate import finite_non_negative, probability, whole
from servemath_helpers.facts import Accelerator, Model

__all__ = [
    "Speculation",
    "batched_speculation",
    "best_gamma",
    "expected_tokens",
    "speculative_speedup",
]

#: Speed-ups that differ by less, relatively, are equal but for rounding.
_TIE = 1e-12


def expected_tokens(alpha: float, gamma: int) -> float:
    """Mean number of tokens that one round of drafting and checking yields.

    Parameters
    ----------
    alpha : float
        Probability that a drafted token is accepted, in [0, 1], the same for each and
        independent of the others.
    gamma : int
        Tokens drafted in a round, at least 0.

    Returns
    -------
    float
        Tokens, in [1, gamma + 1].

    Notes
    -----
    ``E = 1 + alpha + ... + alpha**gamma = (1 - alpha**(gamma + 1)) / (1 - alpha)``. Token
    i + 1 of a round appears if the first i drafted ones were all accepted; where the first
    rejection falls, or after the last acceptance, the large model's own token stands, so
    that even a useless draft yields one.

    References
    ----------
    Leviathan, Kalman and Matias (2023), "Fast Inference from Transformers via Speculative
    Decoding", arXiv:2211.17192, equation 1.

    Examples
    --------
    >>> round(expected_tokens(0.8, gamma=4), 4), round(expected_tokens(0.8, gamma=8), 4)
    (3.3616, 4.3289)
    >>> expected_tokens(0, gamma=4), expected_tokens(1, gamma=4)
    (1.0, 5.0)
    """
    alpha = probability("alpha", alpha)
    gamma = whole("gamma", gamma)
    if alpha in (0, 1) or gamma == 0:
        return 1.0 + gamma * alpha
    # expm1 keeps its digits where alpha is close to 1 and numerator and denominator vanish.
    return -math.expm1((gamma + 1) * math.log(alpha)) / (1 - alpha)


def speculative_speedup(alpha: float, gamma: int, c: float) -> tuple[float, float]:
    """Tokens per round, and how much faster than one token at a time it is.

    Parameters
    ----------
    alpha : float
        Probability that a drafted token is accepted, in [0, 1].
    gamma : int
        Tokens drafted in a round, at least 0.
    c : float
        Time of one step of the small model over one step of the large one, at least 0.

    Returns
    -------
    tokens : float
        `expected_tokens` of a round.
    speedup : float
        Tokens over the time of a round in steps of the large model; below 1 it is a loss.

    Notes
    -----
    ``speedup = E / (gamma * c + 1)``: gamma steps of the draft and one of the large model,
    which checks all gamma tokens in the time of one step. The last is true only as long as
    that step is bound by memory (`batched_speculation`).

    References
    ----------
    Leviathan, Kalman and Matias (2023), "Fast Inference from Transformers via Speculative
    Decoding", arXiv:2211.17192, theorem 3.8.

    Examples
    --------
    >>> tokens, speedup = speculative_speedup(0.8, gamma=4, c=0.05)
    >>> round(tokens, 2), round(speedup, 2)
    (3.36, 2.8)
    >>> speculative_speedup(0.8, gamma=0, c=0.05)
    (1.0, 1.0)
    """
    tokens = expected_tokens(alpha, gamma)
    return tokens, tokens / (whole("gamma", gamma) * finite_non_negative("c", c) + 1)


def best_gamma(alpha: float, c: float, gmax: int) -> int:
    """Draft length with the largest speed-up.

    Parameters
    ----------
    alpha : float
        Probability that a drafted token is accepted, in [0, 1].
    c : float
        Time of one step of the small model over one step of the large one, at least 0.
    gmax : int
        Longest draft to consider, at least 0.

    Returns
    -------
    int
        Draft length in 0..`gmax`, the smallest on a tie; 0 means: do not speculate.

    Notes
    -----
    The tokens of a round grow by ever smaller steps and its time by equal ones, so there is
    one peak. Speculation pays at all only if ``alpha > c``. Speed-ups that differ by less
    than a part in 1e12 count as a tie.

    Examples
    --------
    >>> [best_gamma(alpha, c, gmax=16) for alpha, c in ((0.8, 0.05), (0.5, 0.05), (0.3, 0.5))]
    [8, 3, 0]
    """
    best, best_speedup = 0, speculative_speedup(alpha, 0, c)[1]
    for gamma in range(1, whole("gmax", gmax) + 1):
        speedup = speculative_speedup(alpha, gamma, c)[1]
        if speedup > best_speedup * (1 + _TIE):
            best, best_speedup = gamma, speedup
    return best


@dataclass(frozen=True)
class Speculation:
    """One round of speculation for a whole batch, and the plain step it replaces.

    Attributes
    ----------
    tokens : float
        Mean tokens that a sequence gains in the round.
    draft_s, verify_s : float
        Time of all steps of the small model, and of the one check by the large model.
    plain_s : float
        Time of one plain step of the large model.
    """

    tokens: float
    draft_s: float
    verify_s: float
    plain_s: float

    @property
    def round_s(self) -> float:
        """Time of the round."""
        return self.draft_s + self.verify_s

    @property
    def speedup(self) -> float:
        """Tokens per second with speculation over tokens per second without."""
        return self.tokens * self.plain_s / self.round_s


def batched_speculation(
    batch: int,
    seq: int,
    alpha: float,
    gamma: int,
    *,
    target: Model,
    draft: Model,
    gpu: Accelerator,
    n_gpus: int,
) -> Speculation:
    """Speculation for a batch on the roofline: what checking costs when compute is scarce.

    Parameters
    ----------
    batch : int
        Sequences, at least 1.
    seq : int
        Tokens of context of each sequence, at least 0.
    alpha : float
        Probability that a drafted token is accepted, in [0, 1].
    gamma : int
        Tokens drafted in a round, at least 0.
    target, draft : Model
        The large model and the small one, both dense, weights and cache in 16 bits.
    gpu : Accelerator
        One of the equal GPUs over which both models are spread.
    n_gpus : int
        How many, at least 1.

    Returns
    -------
    Speculation
        Tokens, times and speed-up of a round.

    Notes
    -----
    The draft takes ``gamma`` plain steps (`roofline.decode_step_s`). The check reads weights
    and cache of the large model once, like a plain step, and multiplies for ``gamma + 1``
    tokens of every sequence:
    ``t = B S k / (n BW) + max(W / (n BW), 2 N B (gamma + 1) / (n F))``. Once that maximum is
    its second term the check takes gamma + 1 times the arithmetic for fewer tokens than
    that, and speculation loses. Like every roofline this is a lower bound of the times.

    Examples
    --------
    >>> from servemath_helpers.facts import get_accelerator, get_model
    >>> node = dict(target=get_model("Llama-3-70B"), draft=get_model("Llama-3-8B"),
    ...             gpu=get_accelerator("H100-SXM"), n_gpus=8)
    >>> [round(batched_speculation(B, 1024, 0.8, 4, **node).speedup, 2) for B in (1, 64, 256)]
    [2.31, 2.0, 0.85]
    """
    hardware = (n_gpus, gpu.bandwidth_Bps, gpu.bf16_dense_flops)
    batch = whole("batch", batch, 1)
    gamma = whole("gamma", gamma)

    def step_s(model: Model, tokens_each: int) -> float:
        # Several tokens of one sequence multiply like as many sequences, but they share
        # one reading of its cache.
        return roofline.decode_step_s(
            batch * tokens_each,
            seq,
            model.n_active_params,
            model.weight_bytes(),
            model.kv_bytes_per_token() / tokens_each,
            *hardware,
        )["step_s"]

    return Speculation(
        tokens=expected_tokens(alpha, gamma),
        draft_s=gamma * step_s(draft, 1),
        verify_s=step_s(target, gamma + 1),
        plain_s=step_s(target, 1),
    )
