"""A plan for a service, on one page: what to rent for a traffic and a promise.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from servemath_helpers import achieved, facts, latency
from servemath_helpers._validate import finite_non_negative, finite_positive, whole
from servemath_helpers.cost import cost_per_million
from servemath_helpers.deployment import Deployment
from servemath_helpers.facts import Accelerator, Model
from servemath_helpers.quantities import Exact, exact_at_least, exact_probability
from servemath_helpers.service import page
from servemath_helpers.service.offers import EDGES, Offer
from servemath_helpers.sim._arrays import FloatArray
from servemath_helpers.sim.calibration import Calibration, calibrate
from servemath_helpers.sim.measurement import Measurement
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.server import LLMServer
from servemath_helpers.sim.steptime import AchievedStep

__all__ = ["ServicePlan", "plan_service"]

#: GPUs over which the layers of a replica may be cut: those of one server.
_SIZES = (1, 2, 4, 8)
#: Below this a trace hardly shows how load comes and goes.
_SHORT_S = 600
#: Percentiles that the page prints of TTFT and TPOT.
_PERCENTILES = ("0.50", "0.95", "0.99")

Prices: TypeAlias = "Mapping[str | Accelerator, Exact]"


@dataclass(frozen=True, eq=False, kw_only=True)
class ServicePlan:
    """What to rent, and how sure that is. Shown in a notebook it is a page.

    Attributes
    ----------
    model : facts.Model
        What is served.
    traffic : sim.Requests
        What is asked, as it was played.
    slo : dict
        The promise: ``ttft_s``, ``tpot_s`` and ``share``.
    offers : tuple of Offer
        The kinds of replica that were played, the best first: those that keep the promise
        over the whole band, by their cost; then those that do in the middle of it.
    calibration : sim.Calibration or None
        The fit to the measured run, if there was one.
    remarks : tuple of str
        What the plan does not know, a sentence each.
    """

    model: Model
    traffic: Requests
    slo: Mapping[str, Any]
    offers: tuple[Offer, ...]
    calibration: Calibration | None
    remarks: tuple[str, ...]

    @property
    def best(self) -> Offer:
        """The first of the offers."""
        return self.offers[0]

    @property
    def replicas(self) -> int | None:
        """Replicas of the best offer that keep the promise over the whole band.

        Those that do in the middle of it where no number does over all of it, and None where
        none does at all.
        """
        return self.best.replicas["slow"] or self.best.replicas["expected"]

    @property
    def usd_h(self) -> Fraction | None:
        """What they cost an hour."""
        return None if self.replicas is None else self.replicas * self.best.usd_h

    @property
    def headline(self) -> str:
        """The plan in a sentence."""
        best, name = self.best, self.model.name
        what = f"{best.gpu}" if best.gpus == 1 else f"{best.gpus} x {best.gpu}"
        if self.replicas is None or self.usd_h is None:
            kept = best.play("expected", best.most)
            return (
                f"{name}: no plan keeps the promise. {_replicas(best.most)} of {what} answer "
                f"{kept.good / kept.kept.size:.1%} of the requests as promised."
            )
        needed = {speed: best.replicas[speed] for speed in EDGES}
        text = (
            f"{name}: rent {_replicas(self.replicas)} of {what} for {float(self.usd_h):.2f} USD/h. "
        )
        if needed["slow"] is None:
            return f"{text}At the slow edge of the band no number keeps the promise."
        if len(set(needed.values())) == 1:
            return f"{text}The number is the same over the whole band."
        return (
            f"{text}{needed['expected']} are expected to do, {needed['fast']} at the fast edge of "
            f"the band, {needed['slow']} at the slow one."
        )

    def __repr__(self) -> str:
        return page.as_text(self.headline, self._tables(), self.remarks)

    def _repr_html_(self) -> str:
        from servemath_helpers.plotting import markup

        panels = self._panels()
        title = f"{self.model.name} on {self.best.gpu}"
        table = {panels[0].x_label: panels[0].x.tolist()} | {
            f"kept [%], {speed}": values.round(1).tolist()
            for speed, values in zip(EDGES, panels[0].values, strict=True)
        }
        figure = markup(page.draw(panels, title), self._alt(panels), table)
        return page.as_html(self.headline, self._tables(), self.remarks, figure)

    def _shown(self) -> int:
        """Return how many replicas the latencies on the page are of."""
        return self.replicas or self.best.most

    def _tables(self) -> list[page.Table]:
        asked, best = self.traffic, self.best
        span = float(asked.arrival_s[-1] - asked.arrival_s[0])
        when = f"in {span:.0f} s, {asked.rate_rps:.2f}/s" if span else "all at once"
        lengths = [
            f"{name} of {values.mean():.0f} tokens (P99 {latency.percentile(values, '0.99'):.0f})"
            for name, values in (("prompts", asked.prompt_tokens), ("answers", asked.output_tokens))
        ]
        slo, band = self.slo, best.band
        steps = (
            "fitted to the measured run; nine in ten requests held out lay"
            if best.calibrated
            else "as engines were seen to reach; four in five measurements held out lay"
        )
        given = [
            ["traffic", f"{len(asked)} requests {when}; {', '.join(lengths)}"],
            [
                "promise",
                f"{float(slo['share']):.1%} of the requests have their first token within "
                f"{slo['ttft_s']:g} s, and {1000 * slo['tpot_s']:g} ms a token after it",
            ],
            ["iteration", f"{steps} between {band[0]:.2f} and {band[1]:.2f} times it"],
        ]
        n = self._shown()
        return [
            page.Table("What was asked", given, named=False),
            page.Table("On offer: replicas that keep the promise", self._offer_rows()),
            page.Table(f"With {_replicas(n)} of {best.gpu}", self._latency_rows(n)),
        ]

    def _offer_rows(self) -> list[list[str]]:
        asked = self.traffic
        span = float(asked.arrival_s[-1] - asked.arrival_s[0])
        rows = [["GPU", "GPUs each", *EDGES, "USD/h", "USD/million output tokens"]]
        for offer in self.offers:
            cost = offer.cost_usd_h("slow") or offer.cost_usd_h("expected")
            money = ["-", "-"]
            if cost is not None:
                money[0] = f"{float(cost):.2f}"
                if span:
                    tok_s = int(asked.output_tokens.sum()) / span
                    money[1] = f"{cost_per_million(cost, tok_s):.2f}"
            needed = [
                f"over {offer.most}" if count is None else str(count)
                for count in map(offer.replicas.get, EDGES)
            ]
            rows.append([offer.gpu, str(offer.gpus), *needed, *money])
        return rows

    def _latency_rows(self, n: int) -> list[list[str]]:
        played = {speed: self.best.play(speed, n) for speed in EDGES}
        rows = [["", *EDGES]]
        rows.append(
            [
                "answered as promised",
                *(f"{one.good / one.kept.size:.1%}" for one in played.values()),
            ]
        )
        for name, title in (("ttft_s", "TTFT"), ("tpot_s", "TPOT")):
            for q in _PERCENTILES:
                cells = []
                for one in played.values():
                    values = getattr(one, name)
                    known = values[~np.isnan(values)]
                    cells.append(
                        f"{1000 * latency.percentile(known, q):,.0f}" if known.size else "-"
                    )
                rows.append([f"{title} P{q[2:]} [ms]", *cells])
        return rows

    def _panels(self) -> list[page.Curves]:
        best, n = self.best, self._shown()
        counts = np.unique(np.clip(np.arange(n - 2, n + 2), 1, best.most)).tolist()
        fast, expected, slow = (
            np.array([100 * (one := best.play(speed, m)).good / one.kept.size for m in counts])
            for speed in EDGES
        )
        panels = [
            page.Curves(
                "replicas",
                "requests answered as promised [%]",
                np.array(counts, dtype=np.float64),
                (fast, expected, slow),
                promised=100 * float(self.slo["share"]),
                log=False,
            )
        ]
        percent = np.arange(1.0, 101.0)

        def spread(speed: str, name: str) -> FloatArray:
            values = np.sort(getattr(best.play(speed, n), name))
            values = values[~np.isnan(values)]
            ranks = np.ceil(percent / 100 * values.size).astype(int) - 1
            found: FloatArray = 1000 * values[ranks] if values.size else np.full(100, np.nan)
            return found

        for name, label in (
            ("ttft_s", "first token within"),
            ("tpot_s", "time per token after it"),
        ):
            fast, expected, slow = (spread(speed, name) for speed in EDGES)
            panels.append(
                page.Curves(
                    f"percent of the requests, with {n}",
                    f"{label} [ms]",
                    percent,
                    (fast, expected, slow),
                    promised=1000 * float(self.slo[name]),
                )
            )
        return panels

    def _alt(self, panels: list[page.Curves]) -> str:
        kept = panels[0]
        said = "; ".join(
            f"{count:.0f}: {fast:.1f}, {expected:.1f}, {slow:.1f} %"
            # Rounded as in the table: 95.55 is a little less than that in binary.
            for count, fast, expected, slow in zip(
                kept.x, *(values.round(1) for values in kept.values), strict=True
            )
        )
        return (
            "Three panels, each with a band from a fast to a slow edge. Requests answered as "
            f"promised against replicas (fast edge, expected, slow edge): {said}. Then time to "
            "first token and time per token by percent of the requests, with "
            f"{_replicas(self._shown())}, beside what was promised."
        )


def _replicas(count: int) -> str:
    return f"{count} replica" if count == 1 else f"{count} replicas"


def _model(model: str | Mapping[str, Any] | Model) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, Mapping):
        return Model.from_config(model)
    if not isinstance(model, str):
        raise ValueError(
            f"model must be a name, a dict as in config.json or a facts.Model, got {model!r}"
        )
    return facts.get_model(model) if model in facts.models() else facts.hub_model(model)


def _priced(prices: Prices) -> list[tuple[Accelerator, Fraction]]:
    if not isinstance(prices, Mapping) or not prices:
        raise ValueError(
            f"usd_per_gpu_hour must be a dict with the price of each GPU, got {prices!r}"
        )
    return [
        (
            gpu if isinstance(gpu, Accelerator) else facts.get_accelerator(gpu),
            exact_at_least(price, 0, f"usd_per_gpu_hour[{gpu!r}]"),
        )
        for gpu, price in prices.items()
    ]


def _played_traffic(
    traffic: Requests | None, measured: Measurement | None, speedup: float
) -> Requests:
    for name, value, kind in (
        ("traffic", traffic, Requests),
        ("measured", measured, Measurement),
    ):
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{name} must be {kind.__name__} (see the loaders), got {value!r}")
    asked = measured.requests if traffic is None and measured is not None else traffic
    if asked is None:
        raise ValueError("traffic must be given, or measured, got neither")
    faster = finite_positive("speedup", speedup)
    return replace(asked, arrival_s=asked.arrival_s / faster)


def _band(fit: Calibration) -> tuple[float, float]:
    """Return the factors between which nine in ten held-out requests lay."""
    errors = (fit.held_out.tpot, fit.held_out.e2e, fit.held_out.ttft)
    off = next(error.p90 for error in errors if error.n)
    return 1 / (1 + off), 1 + off


def _node(
    model: Model,
    chip: Accelerator,
    gpus: int | None,
    weight_format: str | None,
    cache_format: str,
    engine: str | None,
    longest: int,
) -> Deployment | None:
    """Return the smallest deployment that holds the model and the longest request."""
    sizes = _SIZES if gpus is None else (whole("gpus", gpus, 1),)
    for size in sizes:
        node = Deployment(
            model=model,
            accelerator=chip,
            tensor_parallel=size,
            weight_format=weight_format,
            cache_format=cache_format,
        )
        if node.cache_tokens(engine) >= longest:
            return node
    return None


def _rank(offer: Offer) -> tuple[bool, bool, Fraction]:
    """Order offers: sure ones first, then possible ones, the cheapest first among equals."""
    slow, expected = offer.cost_usd_h("slow"), offer.cost_usd_h("expected")
    return slow is None, expected is None, slow or expected or offer.usd_h


def _about(given: Requests, best: Offer) -> list[str]:
    """Say what the plan does not know of the traffic."""
    said = []
    if given.block_hashes is not None:
        said.append("Prompts are computed whole: what they share with earlier ones is not saved.")
    size = given.prompt_tokens + given.output_tokens
    refused = int((size > (best.server.kv_tokens or 0)).sum())
    if refused:
        said.append(f"{refused} requests are larger than the cache, and refused.")
    if not given.rate_rps:
        said.append("All requests come at once: a burst, and no traffic to plan for.")
    elif given.arrival_s[-1] - given.arrival_s[0] < _SHORT_S:
        said.append("The traffic is shorter than ten minutes: it says nothing of a busy hour.")
    return said


def plan_service(
    model: str | Mapping[str, Any] | Model,
    usd_per_gpu_hour: Prices,
    traffic: Requests | None = None,
    *,
    measured: Measurement | None = None,
    measured_on: str | None = None,
    users: int | None = None,
    speedup: float = 1.0,
    ttft_s: float = 1.0,
    tpot_s: float = 0.05,
    share: Exact = "0.95",
    gpus: int | None = None,
    weight_format: str | None = None,
    cache_format: str = "bf16",
    engine: str | None = None,
    kv_tokens: int | None = None,
    max_batch: int = 256,
    max_batched_tokens: int = 8192,
    max_replicas: int = 64,
) -> ServicePlan:
    """Return what to rent for a service, with the band that the plan's speed may lie in.

    Parameters
    ----------
    model : str, dict or facts.Model
        A name of `facts.models` or of the hub, a parsed ``config.json``, or your own.
    usd_per_gpu_hour : dict
        Price of a GPU-hour (exact) by name of `facts.accelerators`, or by your own
        `facts.Accelerator`.
    traffic : sim.Requests, optional
        What is asked: of `sim.load_azure`, `sim.load_mooncake`, `sim.synthetic_azure` and
        so on. By default the requests of `measured`.
    measured : sim.Measurement, optional
        A benchmark of one replica, of `sim.load_vllm_bench` and so on. The step time is then
        fitted to it instead of taken from what engines were seen to reach.
    measured_on : str, optional
        The GPU that it ran on; needed if there are several on offer.
    users : int, optional
        If it was a closed loop, requests always in flight (`sim.calibrate`).
    speedup : float, optional
        How many times as fast the requests come, greater than 0.
    ttft_s, tpot_s : float, optional
        The promise: a first token within so many seconds, and so many a token after it.
    share : int, float, str, Decimal or Fraction, optional
        Share of the requests for which it is to be kept, in (0, 1].
    gpus : int, optional
        GPUs of a replica, over which each layer is cut; None for the fewest of 1, 2, 4 and 8
        that hold the weights and the longest request.
    weight_format, cache_format : str, optional
        Formats of `quantisation.FORMATS`; None for the weights as published.
    engine : {"vllm", "trtllm", "sglang"}, optional
        None for the mean of the engines.
    kv_tokens : int, optional
        Tokens that the cache of a replica holds, as the server logs it at start; None for
        what the memory leaves.
    max_batch, max_batched_tokens : int, optional
        Sequences at a time, and tokens of an iteration (vLLM: ``max_num_seqs``,
        ``max_num_batched_tokens``).
    max_replicas : int, optional
        The most that are tried, at least 1.

    Returns
    -------
    ServicePlan
        In a notebook, a page with a picture; printed, the same in text.

    Raises
    ------
    ValueError
        If a name is not known (the nearest ones are named), no GPU on offer holds the model,
        or there is neither traffic nor a measured run.

    Notes
    -----
    Each number of replicas is played with the whole traffic, dealt in turn, with chunked
    prefill and a paged cache, at both edges of the band and in its middle. Numbers are doubled
    until the promise is kept and then halved between: one fewer than the number that is told
    does not keep it. The band is about the time of an iteration, not about traffic: tomorrow's
    may differ from today's by more.

    Examples
    --------
    >>> import numpy as np
    >>> from servemath_helpers.sim import synthetic_azure
    >>> asked = synthetic_azure("conv", 300, np.random.default_rng(7), speedup=20)
    >>> plan = plan_service("Llama-3.1-8B", {"H100-SXM": "2.50", "L4": "0.80"}, asked)
    >>> plan.best.gpu, plan.replicas, float(plan.usd_h)
    ('H100-SXM', 6, 15.0)
    >>> plan_service("gpt-oss", {"H100-SXM": 2}, asked)
    Traceback (most recent call last):
        ...
    ValueError: name must be a known model, got 'gpt-oss'; near names: gpt-oss-20b, gpt-oss-120b
    """
    served, priced = _model(model), _priced(usd_per_gpu_hour)
    asked = _played_traffic(traffic, measured, speedup)
    slo = {
        "ttft_s": finite_non_negative("ttft_s", ttft_s),
        "tpot_s": finite_non_negative("tpot_s", tpot_s),
        "share": exact_probability(share, "share", zero_allowed=False),
    }
    most = whole("max_replicas", max_replicas, 1)
    if measured is not None and measured_on is None:
        if len(priced) > 1:
            raise ValueError("measured_on must name one of the GPUs on offer, got None")
        measured_on = priced[0][0].name
    if measured_on is not None and measured_on not in [chip.name for chip, _ in priced]:
        known = ", ".join(chip.name for chip, _ in priced)
        raise ValueError(f"measured_on must be one of {known}, got {measured_on!r}")

    longest = int((asked.prompt_tokens + asked.output_tokens).max())
    offers: list[Offer] = []
    remarks: list[str] = []
    fit = None
    for chip, price in priced:
        node = _node(served, chip, gpus, weight_format, cache_format, engine, longest)
        if node is None:
            remarks.append(
                f"{chip.name} is left out: the model and a request of {longest} tokens do not "
                f"fit on {gpus or f'up to {_SIZES[-1]}'}."
            )
            continue
        reached = achieved.coefficients(chip.name, engine)
        fitted = achieved.was_fitted(served.name, chip.name, engine)
        band = achieved.bands("tpot", experts=bool(served.n_experts), fitted=fitted)
        server = LLMServer(
            step_time=AchievedStep.on(node, reached, band),
            batching="chunked",
            max_batch=max_batch,
            max_batched_tokens=max_batched_tokens,
            kv_policy="paged",
            kv_tokens=kv_tokens or int(node.cache_tokens(engine)),
        )
        is_measured = measured is not None and chip.name == measured_on
        if measured is not None and is_measured:
            fit = calibrate(measured, server, users=users)
            remarks += fit.remarks
            server, band = replace(server, step_time=fit.step), _band(fit)
        elif node.n_gpus > 1 and chip.link_Bps is None:
            remarks.append(
                f"How fast the links between {chip.name} are is not known; they count as fast as "
                "its memory, which they are not."
            )
        offers.append(
            Offer(
                gpu=chip.name,
                gpus=node.n_gpus,
                usd_h=node.n_gpus * price,
                server=server,
                band=band,
                calibrated=is_measured,
                traffic=asked,
                slo=slo,
                most=most,
            )
        )
    if not offers:
        raise ValueError(f"usd_per_gpu_hour must name a GPU that holds the model: {remarks[0]}")
    offers.sort(key=_rank)
    return ServicePlan(
        model=served,
        traffic=asked,
        slo=slo,
        offers=tuple(offers),
        calibration=fit,
        remarks=(*remarks, *_about(asked, offers[0])),
    )
