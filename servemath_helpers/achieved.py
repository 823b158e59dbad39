"""What engines reach of a data sheet, fitted to measurements and stored with its spread.

A roofline divides bytes by the bandwidth and FLOP by the peak that a data sheet prints. The
coefficients here say which share of either an engine was seen to reach, and what an iteration
costs besides: `benchmarks/fit_roofline.py` fits them and writes ``data/achieved.json``. They
are means over engines, accelerators and models as far as those were measured; where one was
not, the mean of the others stands in, and the band is wider. A quantity that is not known
raises `KeyError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

__all__ = [
    "Coefficients",
    "Spread",
    "bands",
    "coefficients",
    "spreads",
]


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Shares of a data sheet and times that an engine was seen to reach.

    Attributes
    ----------
    weight_bandwidth, cache_bandwidth : float
        Shares of the memory bandwidth at which weights and cache are read.
    expert_bandwidth : float
        Bandwidth at which routed experts are read, as a share of that for weights.
    mfu_bf16, mfu_fp8, mfu_fp4 : float
        Shares of the dense peak of the format that linear layers reach.
    mfu_attention : float
        Share of the dense bf16 peak that the attention of prompts reaches.
    mfu_experts : float
        Share of the peak that routed experts reach.
    link_bandwidth : float
        Share of the links' bandwidth, for all-reduces and all-to-alls.
    all_reduce_s, all_to_all_s : float
        Seconds that one of them takes besides its bytes, whatever the number of GPUs.
    step_s, layer_s, expert_layer_s, sequence_s : float
        Seconds that an iteration takes besides: at all, a layer, a layer with experts (on
        top), a decoding sequence.
    host_layer_s : float
        Seconds that the host needs to launch a layer: no iteration is shorter.
    first_s, request_s : float
        Seconds until a first token is out besides its computation: at all, and for each
        other request in the loop.
    late_steps : float
        Decode steps that a first token waits besides: for the iteration that runs when its
        request comes, and the one that brings it out.
    burst : float
        Other prompts that a prompt waits for, as a share of those in the loop, since runs
        begin with all of them at once: 1/20 with ten requests of each user.
    late_slot : float
        Share of requests that wait for the end of another one, times those in the loop.
    """

    weight_bandwidth: float
    cache_bandwidth: float
    expert_bandwidth: float
    mfu_bf16: float
    mfu_fp8: float
    mfu_fp4: float
    mfu_attention: float
    mfu_experts: float
    link_bandwidth: float
    all_reduce_s: float
    all_to_all_s: float
    step_s: float
    layer_s: float
    expert_layer_s: float
    sequence_s: float
    host_layer_s: float
    first_s: float
    request_s: float
    late_steps: float
    burst: float
    late_slot: float

    @classmethod
    def resolve(
        cls, table: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]
    ) -> Coefficients:
        """Return the coefficients of a table for an accelerator, engine and so on.

        Parameters
        ----------
        table : mapping
            For every coefficient its ``value``, and ``by``: factors on it by kind of key
            (accelerator, architecture, engine, release) and key.
        keys : mapping
            The key of each kind; one that the table does not know changes nothing.

        Returns
        -------
        Coefficients
            The products.
        """
        found = {}
        for field in fields(cls):
            entry = table[field.name]
            value = entry["value"]
            for kind, factors in entry.get("by", {}).items():
                value *= factors.get(keys.get(kind), 1.0)
            found[field.name] = value
        return cls(**found)


@dataclass(frozen=True)
class Spread:
    """A coefficient with what happens to it when a group of measurements is left out.

    Attributes
    ----------
    value : float
        As fitted to all of them, pooled over engines and accelerators.
    low, high : float
        Least and largest value when each model, accelerator and engine is left out in turn.
    unit, meaning : str
        What it is.
    """

    value: float
    low: float
    high: float
    unit: str
    meaning: str


@cache
def _stored() -> dict[str, Any]:
    import json
    from importlib.resources import files

    text = files("servemath_helpers").joinpath("data", "achieved.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    return stored


@cache
def coefficients(
    accelerator: str | None = None, engine: str | None = None, release: str | None = None
) -> Coefficients:
    """Return the fitted coefficients of an accelerator and an engine.

    Parameters
    ----------
    accelerator : str, optional
        A name of `facts.accelerators`; None, or one that was not measured, gets the mean of
        its architecture, or of all.
    engine : str, optional
        ``"vllm"``, ``"trtllm"`` or ``"sglang"``; None for the mean of the engines.
    release : str, optional
        Version of the engine; one that was not measured changes nothing.

    Returns
    -------
    Coefficients
        Shares and times.

    Raises
    ------
    ValueError
        If there is no such engine.

    Examples
    --------
    >>> reached = coefficients("H200-SXM", "vllm")
    >>> 0.7 < reached.weight_bandwidth < 1, 0.3 < reached.mfu_fp8 < 0.9
    (True, True)
    """
    stored = _stored()
    if engine is not None and engine not in stored["engines"]:
        raise ValueError(f"engine must be one of {', '.join(stored['engines'])}, got {engine!r}")
    keys = {
        "accelerator": accelerator,
        "architecture": stored["architectures"].get(accelerator),
        "engine": engine,
        "release": f"{engine} {release}",
    }
    return Coefficients.resolve(
        stored["coefficients"], {kind: key for kind, key in keys.items() if key is not None}
    )


def spreads() -> dict[str, Spread]:
    """Return every coefficient, pooled, with its spread.

    Returns
    -------
    dict
        `Spread` by the name of the coefficient.

    Examples
    --------
    >>> link = spreads()["link_bandwidth"]
    >>> link.low <= link.value <= link.high, link.unit
    (True, 'share')
    """
    return {
        name: Spread(
            value=entry["value"],
            low=entry["spread"][0],
            high=entry["spread"][1],
            unit=entry["unit"],
            meaning=entry["meaning"],
        )
        for name, entry in _stored()["coefficients"].items()
    }


def was_fitted(model: str, accelerator: str, engine: str | None) -> bool:
    """Return whether a model was measured on an accelerator with an engine."""
    return [model, accelerator, engine] in _stored()["fitted"]


def bands(quantity: str, *, experts: bool, fitted: bool) -> tuple[float, float]:
    """Return the band that 80 % of measurements fell into, as factors on a prediction.

    Parameters
    ----------
    quantity : {"tpot", "ttft"}
        Time per output token or time to first token.
    experts : bool
        Whether the model is a mixture of experts.
    fitted : bool
        Whether it was measured on that accelerator with that engine (`was_fitted`).

    Returns
    -------
    low, high : float
        10 % of the measurements that were held out lay below ``low`` times the prediction,
        10 % above ``high`` times it.

    Examples
    --------
    >>> low, high = bands("tpot", experts=False, fitted=True)
    >>> low < 1 < high
    True
    """
    kind = "experts" if experts else "dense"
    low, high = _stored()["bands"][quantity][kind]["fitted" if fitted else "not fitted"]
    return low, high
