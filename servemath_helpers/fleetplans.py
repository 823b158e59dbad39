"""A fleet for a trace: what a plan keeps and costs, the cheapest plan, what a plan scores.

A plan says which kind of replica to rent and how many of them. Traffic is a list of dicts
with ``arrival_s``, ``prompt`` and ``output`` (tokens). A kind of replica on offer is a dict of

``name``, ``usd_h``, ``max_replicas``
    what it is called, what one costs an hour (exact), and how many there are;
``max_batch``, ``kv_tokens``
    sequences that one serves at a time, and tokens that its cache holds;
``base_s``, ``per_decode_s``, ``per_prefill_token_s``, ``per_context_token_s``
    the time of its iterations, as `sim.LinearStep` has it;
``server``
    in place of these, a `sim.LLMServer` with any step time and policies.

A promise is a dict of ``ttft_s``, ``tpot_s`` and ``share`` (exact): at least that share of all
requests is answered within both bounds. An answer of one token has no TPOT and keeps any bound
on it; a request larger than the cache is rejected, and broken.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import copy
import functools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import finite_non_negative, sequence, whole
from servemath_helpers.checks import Credit
from servemath_helpers.quantities import exact_at_least, exact_probability
from servemath_helpers.sim import arrivals
from servemath_helpers.sim._arrays import FloatArray, frozen
from servemath_helpers.sim.llm import simulate_llm
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.server import LLMServer
from servemath_helpers.sim.steptime import LinearStep

__all__ = [
    "Judged",
    "Scenario",
    "check_plans",
    "example",
    "judge_plan",
    "offers",
    "plan_fleet",
    "score_plan",
    "traffic",
]

#: Below this share of the best plan's cost over its own, a plan that keeps its promise scores 0.
LEAST_SCORE = Fraction(1, 2)

Record: TypeAlias = "Mapping[str, Any]"

_COEFFICIENTS = ("base_s", "per_decode_s", "per_prefill_token_s", "per_context_token_s")


class Scenario(NamedTuple):
    """Traffic, the replicas on offer, and the promise."""

    trace: list[dict[str, Any]]
    options: list[dict[str, Any]]
    slo: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of a plan on a trace.

    Attributes
    ----------
    name, replicas
        The plan.
    usd_h : Fraction
        What all its replicas cost an hour.
    share : Fraction
        The share of the requests that was promised.
    arrival_s, ttft_s, tpot_s : numpy.ndarray
        Of each request: arrival, time to first token (NaN if it was rejected), time per token
        after it (NaN for an answer of one token too). Read-only.
    kept : numpy.ndarray
        Whether each request was answered within both bounds. Read-only.
    """

    name: str
    replicas: int
    usd_h: Fraction
    share: Fraction
    arrival_s: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    kept: npt.NDArray[np.bool_]

    @property
    def good(self) -> int:
        """Requests that were answered within both bounds."""
        return int(self.kept.sum())

    @property
    def feasible(self) -> bool:
        """Whether the plan keeps its promise."""
        return Fraction(self.good, self.kept.size) >= self.share

    def __str__(self) -> str:
        return (
            f"{self.name} x {self.replicas} keeps {self.good} of {self.kept.size} requests "
            f"({self.good / self.kept.size:.1%}, promised {float(self.share):.1%}) for "
            f"{float(self.usd_h):g} $/h"
        )


def _field(record: Any, key: str, where: str) -> Any:
    if not isinstance(record, Mapping) or key not in record:
        raise ValueError(f"{where} must be a dict with {key!r}, got {_short(record)}")
    return record[key]


def _short(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return "of very many digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _requests(trace: Requests | Iterable[Record]) -> Requests:
    if isinstance(trace, Requests):
        return trace
    records = sequence("trace", trace)
    arrival_s, prompts, outputs = (
        [_field(record, key, f"trace[{i}]") for i, record in enumerate(records)]
        for key in ("arrival_s", "prompt", "output")
    )
    return Requests(arrival_s, prompts, outputs)


def _price(option: Record, where: str) -> Fraction:
    return exact_at_least(_field(option, "usd_h", where), 0, f"usd_h of {where}")


def _most(option: Record, where: str) -> int:
    return whole(f"max_replicas of {where}", _field(option, "max_replicas", where), 1)


def _server(option: Record, where: str) -> LLMServer:
    if "server" in option:
        if not isinstance(server := option["server"], LLMServer):
            raise ValueError(f"server of {where} must be an LLMServer, got {_short(server)}")
        return replace(server, oversize="reject")
    return LLMServer(
        step_time=LinearStep(**{key: _field(option, key, where) for key in _COEFFICIENTS}),
        max_batch=whole(f"max_batch of {where}", _field(option, "max_batch", where), 1),
        kv_tokens=whole(f"kv_tokens of {where}", _field(option, "kv_tokens", where), 1),
        oversize="reject",
    )


def _by_name(options: Iterable[Record]) -> dict[str, Record]:
    offered = sequence("options", options)
    found = {_field(option, "name", f"options[{i}]"): option for i, option in enumerate(offered)}
    if len(found) < len(offered):
        raise ValueError("options must have a name each, got one twice")
    return found


def _chosen(plan: Any, offered: Mapping[str, Record]) -> tuple[Record, str, int]:
    """Return the option of a plan, its name, and how many replicas, whatever a plan may be."""
    if not isinstance(plan, dict) or set(plan) != {"name", "replicas"}:
        raise ValueError(
            f"a plan must be a dict with exactly 'name' and 'replicas', or None, got {_short(plan)}"
        )
    name, replicas = plan["name"], plan["replicas"]
    if not isinstance(name, str) or name not in offered:
        known = ", ".join(map(repr, offered)) or "(none is on offer)"
        raise ValueError(f"name of a plan must be one of {known}, got {_short(name)}")
    most = _most(offered[name], name)
    is_whole = isinstance(replicas, numbers.Integral) and not isinstance(replicas, bool)
    if not is_whole or not 1 <= replicas <= most:
        raise ValueError(
            f"replicas of a plan must be an int from 1 to max_replicas = {most} of {name!r}, "
            f"got {type(replicas).__name__} {_short(replicas)}"
        )
    return offered[name], name, int(replicas)


def judge_plan(
    plan: Record,
    trace: Requests | Iterable[Record],
    options: Iterable[Record],
    slo: Record,
) -> Judged:
    """Return what a plan does: request i goes to replica i modulo their number.

    Parameters
    ----------
    plan : dict
        ``name`` of an option and ``replicas``, an int from 1 to its ``max_replicas``.
    trace, options, slo
        Traffic in the order of arrival (dicts, or `sim.Requests`), what is on offer, and the
        promise.

    Returns
    -------
    Judged
        Requests kept, and what it costs.

    Examples
    --------
    >>> trace, options, slo = example()
    >>> print(judge_plan({"name": "small", "replicas": 2}, trace, options, slo))
    small x 2 keeps 309 of 600 requests (51.5%, promised 95.0%) for 2.4 $/h
    """
    option, name, replicas = _chosen(plan, _by_name(options))
    requests, server = _requests(trace), _server(option, name)
    if "server" in option:  # its step time may be anybody's function
        ttft_s, tpot_s = _played(requests, server, replicas)
    else:
        columns = requests.arrival_s, requests.prompt_tokens, requests.output_tokens
        ttft_s, tpot_s = _remembered(*(one.tobytes() for one in columns), server, replicas)
    bounds = [
        finite_non_negative(f"slo[{key!r}]", _field(slo, key, "slo"))
        for key in ("ttft_s", "tpot_s")
    ]
    # What was rejected has no TTFT and keeps nothing; one token has no TPOT and breaks nothing.
    kept = (ttft_s <= bounds[0]) & ~(tpot_s > bounds[1])
    return Judged(
        name,
        replicas,
        replicas * _price(option, name),
        exact_probability(_field(slo, "share", "slo"), "slo['share']"),
        requests.arrival_s,
        ttft_s,
        tpot_s,
        frozen(kept),
    )


def _played(requests: Requests, server: LLMServer, replicas: int) -> tuple[FloatArray, FloatArray]:
    """Return TTFT and TPOT of each request."""
    ttft_s, tpot_s = np.full((2, len(requests)), np.nan)
    for first in range(min(replicas, len(requests))):
        own = slice(first, None, replicas)
        run = simulate_llm(
            Requests(
                requests.arrival_s[own], requests.prompt_tokens[own], requests.output_tokens[own]
            ),
            server,
        )
        ttft_s[own], tpot_s[own] = run.ttft_s, run.tpot_s
    return frozen(ttft_s), frozen(tpot_s)


@functools.lru_cache(maxsize=512)
def _remembered(
    arrivals: bytes, prompts: bytes, outputs: bytes, server: LLMServer, replicas: int
) -> tuple[FloatArray, FloatArray]:
    """Return the same, once for a trace: a plan is looked for, scored, and shown."""
    requests = Requests(
        np.frombuffer(arrivals), np.frombuffer(prompts, np.int64), np.frombuffer(outputs, np.int64)
    )
    return _played(requests, server, replicas)


def plan_fleet(
    trace: Iterable[Record], options: Iterable[Record], slo: Record
) -> dict[str, Any] | None:
    """Return the cheapest plan that keeps the promise.

    Parameters
    ----------
    trace, options, slo
        Traffic in the order of arrival, what is on offer, and the promise.

    Returns
    -------
    dict or None
        ``name`` and ``replicas``; of plans that cost the same, the one whose option stands
        first. None if no plan keeps the promise, as when nothing is on offer.

    Notes
    -----
    Every plan is played, from the cheapest on: one replica more can keep fewer requests,
    because each request then meets others at its replica, so no search that takes the number
    for monotone will do.

    Examples
    --------
    The mean load asks for two small replicas. One request in two would be late.

    >>> plan_fleet(*example())
    {'name': 'medium', 'replicas': 1}
    """
    offered, requests = _by_name(options), _requests(trace)  # also where nothing is on offer
    plans = [
        (replicas * _price(option, name), {"name": name, "replicas": replicas})
        for name, option in offered.items()
        for replicas in range(1, _most(option, name) + 1)
    ]
    for _, plan in sorted(plans, key=lambda priced: priced[0]):
        if judge_plan(plan, requests, offered.values(), slo).feasible:
            return plan
    return None


def _cost(plan: Record, options: Iterable[Record]) -> Fraction:
    option, name, replicas = _chosen(plan, _by_name(options))
    return replicas * _price(option, name)


def score_plan(
    plan: Record | None, trace: Sequence[Record], options: Sequence[Record], slo: Record
) -> Fraction:
    """Return what a plan is worth, from 0 to 1: promises first, then money.

    Parameters
    ----------
    plan : dict or None
        What somebody planned; None says that no plan keeps the promise.
    trace, options, slo
        Traffic in the order of arrival, what is on offer, and the promise.

    Returns
    -------
    Fraction
        The cost of the cheapest plan that keeps the promise over this plan's, if that is at
        least one half and this plan keeps it too; else 0. None is worth 1 where no plan keeps
        the promise, else 0.

    Examples
    --------
    Three small replicas keep the promise for 3.60 $/h, one medium one for 3.50.

    >>> score_plan({"name": "small", "replicas": 3}, *example())
    Fraction(35, 36)
    >>> [int(score_plan(plan, *example())) for plan in (None, {"name": "large", "replicas": 1})]
    [0, 0]
    """
    best = plan_fleet(trace, options, slo)
    if plan is None:
        return Fraction(best is None)
    judged = judge_plan(plan, trace, options, slo)
    if best is None or not judged.feasible:
        return Fraction(0)
    least = _cost(best, options)
    score = least / judged.usd_h if judged.usd_h else Fraction(1)
    return score if score >= LEAST_SCORE else Fraction(0)


def check_plans(function: Callable[..., Any], *scenarios: Scenario) -> Credit:
    """Let a function plan for each scenario, and return what its worst plan scores.

    Parameters
    ----------
    function : callable
        Called as ``function(trace, options, slo)`` with copies of its own.
    *scenarios : Scenario
        At least one.

    Returns
    -------
    Credit
        Of one point, rounded down to hundredths: the last value of a test cell.

    Raises
    ------
    AssertionError
        If a plan scores nothing, is none at all, or the function changed what it was given.

    Examples
    --------
    >>> check_plans(lambda trace, options, slo: {"name": "small", "replicas": 3}, example())
    ✓ small x 3 keeps 576 of 600 requests (96.0%, promised 95.0%) for 3.6 $/h
    0.97
    """
    worst = Fraction(1)
    for scenario in scenarios:
        given = copy.deepcopy(scenario)
        plan = function(*given)
        if given != scenario:
            raise AssertionError("plan_fleet should leave its arguments as they are.")
        try:
            score = score_plan(plan, *scenario)
        except ValueError as refused:
            raise AssertionError(f"This is no plan: {refused}") from None
        if plan is None:
            said = "None: no plan keeps the promise"
        else:
            said = str(judge_plan(plan, *scenario))
        if not score:
            raise AssertionError(f"{said}.\n{_why_nothing(plan, scenario)}")
        print(f"✓ {said}")
        worst = min(worst, score)
    return Credit(math.floor(100 * worst) / 100)


def _why_nothing(plan: Record | None, scenario: Scenario) -> str:
    if plan is None:
        return "Among the plans on offer is one that does: play them all."
    if judge_plan(plan, *scenario).feasible:
        return "The promise is kept, for more than twice what the cheapest such plan costs."
    return "Promises come first: play the plan against the trace before you return it."


def traffic(
    arrival_s: Iterable[float],
    rng: np.random.Generator,
    *,
    prompt: tuple[float, float, int] = (6.5, 0.8, 6000),
    output: tuple[float, int] = (180, 900),
) -> list[dict[str, Any]]:
    """Return a trace with these arrivals and lengths drawn at random.

    Parameters
    ----------
    arrival_s : iterable of float
        Instants of arrival [s].
    rng : numpy.random.Generator
        Source of randomness.
    prompt : (float, float, int), optional
        Mean and standard deviation of the logarithm of a prompt's tokens, and the most it has;
        the least is 16.
    output : (float, int), optional
        Mean tokens of an answer, geometric, and the most it has.

    Examples
    --------
    >>> traffic([0.0, 0.5], np.random.default_rng(1))[0]
    {'arrival_s': 0.0, 'prompt': 876, 'output': 14}
    """
    instants = [float(instant) for instant in arrival_s]
    mean, deviation, longest = prompt
    prompts = rng.lognormal(mean, deviation, len(instants)).astype(int).clip(16, longest)
    outputs = rng.geometric(1 / output[0], len(instants)).clip(1, output[1])
    columns = zip(instants, prompts.tolist(), outputs.tolist(), strict=True)
    return [dict(zip(("arrival_s", "prompt", "output"), row, strict=True)) for row in columns]


#: What each row of `offers` holds.
_OFFER = ("name", "usd_h", "max_replicas", "max_batch", "kv_tokens", *_COEFFICIENTS)


def offers(*rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return options from rows of a table.

    Parameters
    ----------
    *rows : sequence
        ``name, usd_h, max_replicas, max_batch, kv_tokens`` and the four coefficients.

    Examples
    --------
    >>> offers(("small", "1.20", 12, 16, 30_000, 0.012, 2e-4, 1.2e-4, 2e-7))[0]["usd_h"]
    '1.20'
    """
    return [dict(zip(_OFFER, row, strict=True)) for row in rows]


def example() -> Scenario:
    """Return the scenario that the exercise shows: six requests a second, three options.

    Examples
    --------
    >>> trace, options, slo = example()
    >>> len(trace), [option["name"] for option in options], slo
    (600, ['small', 'medium', 'large'], {'ttft_s': 1.0, 'tpot_s': 0.03, 'share': '0.95'})
    """
    rng = np.random.default_rng(11)
    return Scenario(
        traffic(arrivals.bursty(600, 6, 2, rng), rng),
        offers(
            ("small", "1.20", 12, 16, 30_000, 0.012, 2e-4, 1.2e-4, 2e-7),
            ("medium", "3.50", 6, 64, 150_000, 0.010, 8e-5, 4e-5, 6e-8),
            ("large", "9.00", 3, 128, 600_000, 0.006, 3e-5, 1.5e-5, 2e-8),
        ),
        {"ttft_s": 1.0, "tpot_s": 0.03, "share": "0.95"},
    )
