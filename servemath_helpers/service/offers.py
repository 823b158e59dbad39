"""One kind of replica on offer: how many of them keep a promise, over the band of their speed.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from servemath_helpers.fleetplans import Judged, judge_plan
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.server import LLMServer
from servemath_helpers.sim.steptime import StepTime

__all__ = ["EDGES", "Offer"]

#: The speeds at which an offer is played: both edges of the band, and its middle.
EDGES = ("fast", "expected", "slow")


@dataclass(frozen=True)
class _Scaled:
    """A step time, longer or shorter by a factor."""

    step: StepTime
    factor: float

    @property
    def context_s(self) -> float | None:
        own = self.step.context_s
        return None if own is None else self.factor * own

    def iteration_s(
        self,
        decode_tokens: int,
        context_tokens: int,
        prefill_tokens: int,
        prefill_pairs: float,
    ) -> float:
        return self.factor * self.step.iteration_s(
            decode_tokens, context_tokens, prefill_tokens, prefill_pairs
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Offer:
    """A kind of replica, and how many of them keep the promise.

    Attributes
    ----------
    gpu : str
        Name of its GPU.
    gpus : int
        GPUs of a replica.
    usd_h : Fraction
        What a replica costs an hour.
    server : sim.LLMServer
        Its step time and policies.
    band : (float, float)
        Factors on the step time between which it is likely to lie.
    calibrated : bool
        Whether the step time was fitted to a measured run of the service itself.
    replicas : dict
        By speed (``"fast"``, ``"expected"``, ``"slow"``: the edges of the band and its
        middle), the number of replicas that keep the promise where one fewer does not; None
        if the most that were tried do not.
    most : int
        The most that were tried.
    """

    gpu: str
    gpus: int
    usd_h: Fraction
    server: LLMServer
    band: tuple[float, float]
    calibrated: bool
    traffic: Requests = field(repr=False)
    slo: Mapping[str, Any] = field(repr=False)
    most: int
    replicas: dict[str, int | None] = field(default_factory=dict, init=False)
    _played: dict[tuple[str, int], Judged] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        expected = self.replicas["expected"] = self._least("expected", 0, 1)
        # Where all are too few at the middle of the band, the slow edge needs no trial.
        self.replicas["slow"] = expected and self._least("slow", expected - 1, expected)
        self.replicas["fast"] = self._least("fast", 0, expected or self.most)

    def play(self, speed: str, replicas: int) -> Judged:
        """Return what so many replicas do with the traffic, request by request.

        Parameters
        ----------
        speed : {"fast", "expected", "slow"}
            At which end of the band.
        replicas : int
            How many, at least 1.

        Returns
        -------
        fleetplans.Judged
            Latencies, and which requests were answered as promised.
        """
        key = speed, replicas
        if key not in self._played:
            factor = dict(zip(EDGES, (self.band[0], 1.0, self.band[1]), strict=True))[speed]
            option = {
                "name": self.gpu,
                "usd_h": self.usd_h,
                "max_replicas": replicas,
                "server": replace(self.server, step_time=_Scaled(self.server.step_time, factor)),
            }
            plan = {"name": self.gpu, "replicas": replicas}
            self._played[key] = judge_plan(plan, self.traffic, [option], self.slo)
        return self._played[key]

    def _least(self, speed: str, low: int, high: int) -> int | None:
        """Return a number above `low` that keeps the promise, while one fewer does not."""
        while not self.play(speed, high).feasible:
            if high >= self.most:
                return None
            low, high = high, min(2 * high, self.most)
        while high - low > 1:
            middle = (low + high) // 2
            if self.play(speed, middle).feasible:
                high = middle
            else:
                low = middle
        return high

    def cost_usd_h(self, speed: str) -> Fraction | None:
        """Return what the replicas that are needed cost an hour; None if none are enough.

        Parameters
        ----------
        speed : {"fast", "expected", "slow"}
            At which end of the band.
        """
        needed = self.replicas[speed]
        return None if needed is None else needed * self.usd_h
