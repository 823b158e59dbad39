"""The two stories of lab 3, and how it writes numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.kv_wall.serving import Goals, Workload

__all__ = ["CONTEXTS", "Context", "context_of", "duration", "rate", "share", "times"]

_DOCUMENTS: Final = 10_000
_MINUTES: Final = 36

# --- texts ------------------------------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """Return a time as short text.

    Parameters
    ----------
    seconds : float or None
        At least 0; None is written as a dash.

    Returns
    -------
    str
        In milliseconds below one second, in minutes from two minutes on.

    Examples
    --------
    >>> [duration(x) for x in (0.0678, 3.31, 186.4, None)]
    ['67.8 ms', '3.31 s', '3.11 min', '–']
    """
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{number_text(1000 * seconds)} ms"
    if seconds < 120:
        return f"{number_text(seconds)} s"
    return f"{number_text(seconds / 60)} min"


def share(value: float | None) -> str:
    """Return a share as percent, a dash for None.

    Parameters
    ----------
    value : float or None
        1 is all of it.

    Returns
    -------
    str
        Two significant digits below 10 %, whole percents above.

    Examples
    --------
    >>> [share(x) for x in (0.0312, 0.756, None)]
    ['3.1 %', '76 %', '–']
    """
    if value is None:
        return "–"
    return f"{number_text(100 * value, 2 if abs(value) < 0.995 else 3)} %"


def rate(tok_s: float) -> str:
    """Return tokens per second as short text.

    Parameters
    ----------
    tok_s : float
        At least 0.

    Returns
    -------
    str
        Four significant digits.

    Examples
    --------
    >>> rate(946.8)
    '946.8'
    """
    return number_text(tok_s, 4)


def times(value: float) -> str:
    """Return a factor as short text, such as 2.9×.

    Parameters
    ----------
    value : float
        The factor.

    Returns
    -------
    str
        Two digits and a sign.

    Examples
    --------
    >>> times(2.917)
    '2.9×'
    """
    return f"{number_text(value, 2)}×"


# --- contexts ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Context:
    """One of the two stories.

    Attributes
    ----------
    key, label, role : str
        Name in code, on the button, and who asks.
    act1_message, act2_message : str
        What that role says.
    users_word : str
        What "users" are called here.
    seq_tokens : int
        Context of each user in act I.
    workload : Workload
        Act II as asked; the sliders begin with it, except for `start_rps`.
    start_rps : float
        Where the arrival slider begins.
    goals : Goals
        Act II's goals.
    modes, batches : tuple
        With which configurations A and B begin.
    """

    key: str
    label: str
    role: str
    act1_message: str
    act2_message: str
    users_word: str
    seq_tokens: int
    workload: Workload
    start_rps: float
    goals: Goals
    modes: tuple[str, str]
    batches: tuple[int, int]


def _contexts() -> Mapping[str, Context]:
    mean = 256
    chat = Workload(lam_rps=16.0, prompt_tokens=512, mean_output=mean)
    batch = Workload(lam_rps=20.0, prompt_tokens=4096, mean_output=mean)
    slo = Goals(ttft_slo_s=0.2, tpot_slo_s=0.05)
    volume = Goals(target_tok_s=_DOCUMENTS * mean / (60 * _MINUTES))
    chat_tokens, document_tokens = 4096, 8192
    both = (
        Context(
            key="latency",
            label="Latency (assistant)",
            role="Serving team lead, real-time assistant",
            act1_message="Eight H100 stand in the rack, and every conversation may grow to "
            f"{chat_tokens} tokens. How many concurrent users do we sell? Give me a number.",
            act2_message="The enterprise contract is signed: time to first token under "
            f"{duration(slo.ttft_slo_s)} at the 99th percentile, at peak. Which configuration "
            "do we run?",
            users_word="users",
            seq_tokens=chat_tokens,
            workload=chat,
            start_rps=8.0,
            goals=slo,
            modes=("continuous", "chunked"),
            batches=(32, 64),
        ),
        Context(
            key="throughput",
            label="Throughput (documents)",
            role="Platform lead, document pipeline",
            act1_message=f"Every document is {document_tokens} tokens. How many can be in flight "
            "before the wall, so that we can size the job queue?",
            act2_message=f"{number_text(_DOCUMENTS, 5)} documents of {batch.prompt_tokens} "
            f"tokens are to be summarised by morning, and {_MINUTES} minutes of this node are left "
            "to us. Nobody watches: only tokens per second count.",
            users_word="documents in flight",
            seq_tokens=document_tokens,
            workload=batch,
            start_rps=batch.lam_rps,
            goals=volume,
            modes=("continuous", "continuous"),
            batches=(64, 32),
        ),
    )
    return MappingProxyType({context.key: context for context in both})


#: The two stories by key.
CONTEXTS: Final[Mapping[str, Context]] = _contexts()


def context_of(key: str) -> Context:
    """Return the story of a key; ValueError if there is none.

    Parameters
    ----------
    key : {"latency", "throughput"}
        Which story.

    Returns
    -------
    Context
        Who asks, and for what.

    Raises
    ------
    ValueError
        If there is none of that key.

    Examples
    --------
    >>> context_of("throughput").seq_tokens
    8192
    """
    if key not in CONTEXTS:
        raise ValueError(f"context must be one of {sorted(CONTEXTS)}, got {key!r}")
    return CONTEXTS[key]
