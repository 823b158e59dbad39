"""A language model server under a sequence of requests: run it, and ask how it went.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import whole
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen
from servemath_helpers.sim._engine import LOG_FIELDS, Outcome, run
from servemath_helpers.sim._plan import Plan, make_plan
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.served import Served
from servemath_helpers.sim.server import LLMServer
from servemath_helpers.sim.steptime import RooflineStep
from servemath_helpers.sim.timeline import Stays, Timeline

__all__ = ["LLMResult", "simulate_llm"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LLMResult(Served):
    """One run of a model server, request by request in the order of arrival.

    Attributes
    ----------
    requests : Requests
        What was asked.
    server : LLMServer
        What answered.
    start_s, first_token_s, finish_s : numpy.ndarray
        When each request was first let in, got its first and its last token; NaN if it was
        rejected. Read-only.
    preemptions : numpy.ndarray
        How often each was thrown out and recomputed.
    first_counted : int
        The first request that statistics count, see `without_warmup`.
    """

    server: LLMServer
    preemptions: IntArray
    _plan: Plan = field(repr=False)
    _outcome: Outcome = field(repr=False)

    _metrics = (*Served._metrics, "longest_gap")

    def _rows(self) -> npt.NDArray[np.bool_]:
        return self.timeline.start_s >= self.window_start_s

    def busy_fraction(self) -> float:
        """Return the share of the window in which an iteration was running.

        Returns
        -------
        float
            Between 0 and 1.
        """
        return self._over_span(float(self.timeline.duration_s[self._rows()].sum()))

    def slot_efficiency(self) -> float:
        """Return the share of the decode slots that decoded.

        Returns
        -------
        float
            Sequences that decode, averaged over decode steps, divided by `max_batch`; 0.0
            without decode steps.

        Notes
        -----
        Static batching holds the slot of a finished sequence until the longest of the batch
        is done; with geometric lengths about 1 / H_B of the slots do work, H_B being the
        harmonic number.
        """
        rows, line = self._rows(), self.timeline
        offered = int(line.steps[rows].sum()) * line.max_batch
        used = int((line.steps * line.decodes)[rows].sum())
        return used / offered if offered else 0.0

    def _contexts(self) -> FloatArray:
        """Context read in each row, summed over its steps."""
        line = self.timeline
        # Drafts make the growth uneven within a row; it is then taken as even.
        growth = line.given_tokens * np.maximum(line.steps - 1, 0) / 2
        return line.steps * line.context_tokens + growth + self._log["reread"]

    def _computed_tokens(self) -> int:
        """Tokens that the iterations computed, rejected drafts included."""
        rows, line = self._rows(), self.timeline
        decoded = line.steps * line.decodes * self.server.tokens_per_sequence
        return int((decoded + line.prefill_tokens)[rows].sum())

    def mfu(self) -> float | None:
        """Return the share of the GPUs' peak arithmetic that the run used.

        Returns
        -------
        float or None
            Over the whole window, idle time included; None unless the step time is a
            `RooflineStep`. Arithmetic on rejected drafts counts as used.
        """
        step = self.server.step_time
        if not isinstance(step, RooflineStep):
            return None
        rows, line = self._rows(), self.timeline
        flops = step.flops(self._computed_tokens(), float(line.prefill_pairs[rows].sum()))
        return self._over_span(flops) / (step.n_gpus * step.peak_flops)

    def mbu(self) -> float | None:
        """Return the share of the GPUs' memory bandwidth that the run used.

        Returns
        -------
        float or None
            Over the whole window, idle time included; None unless the step time is a
            `RooflineStep`. Every iteration reads all weights once (an `AchievedStep`: no
            more experts than its tokens visit) and the context of those that decode, and with
            `rereads_prompt` the earlier tokens of prompts that it goes on with.
        """
        step = self.server.step_time
        if not isinstance(step, RooflineStep):
            return None
        rows, line = self._rows(), self.timeline
        iterations = int(np.maximum(line.steps, 1)[rows].sum())
        context = float(self._contexts()[rows].sum())
        moved = step.bytes_read(iterations, context, self._computed_tokens())
        return self._over_span(moved) / (step.n_gpus * step.bw_Bps)

    # the run in detail --------------------------------------------------------------

    @cached_property
    def _log(self) -> dict[str, FloatArray]:
        return dict(zip(LOG_FIELDS, self._outcome.log().T, strict=True))

    @cached_property
    def timeline(self) -> Timeline:
        """The run against time."""
        log = self._log
        count = {
            name: log[name].astype(np.int64)
            for name in LOG_FIELDS
            if name not in ("start_s", "duration_s", "prefill_pairs")
        }
        reserving = self.server.kv_tokens is not None and self.server.kv_policy == "reserve"
        kv = count["reserved"] if reserving else count["held"]
        # The tokens of the last step of a row are stored in the row after it.
        grown = np.where(
            count["steps"] > 1,
            count["given"] * (count["steps"] - 1) // np.maximum(count["steps"], 1),
            0,
        )
        outcome, index = self._outcome, self._plan.index
        past = outcome.interrupted
        n = len(outcome.finish)
        stays = Stays(
            request=np.concatenate((index[[row[0] for row in past]].astype(np.int64), index)),
            admitted_s=np.array([row[1] for row in past] + outcome.admitted),
            decoding_s=np.array([row[3] for row in past] + outcome.joined_s),
            left_s=np.array([row[2] for row in past] + outcome.finish),
            finished=np.repeat([False, True], [len(past), n]),
        )
        return Timeline(
            start_s=log["start_s"],
            duration_s=log["duration_s"],
            steps=count["steps"],
            decodes=count["decodes"],
            context_tokens=count["context"],
            prefill_tokens=count["prefill_tokens"],
            prefill_pairs=log["prefill_pairs"],
            sequences=count["sequences"],
            kv_start_tokens=kv,
            kv_end_tokens=kv if reserving else kv + grown,
            given_tokens=count["given"],
            kv_capacity_tokens=self.server.kv_tokens,
            max_batch=int(self.server.max_batch),
            stays=stays,
        )

    @cached_property
    def _step_ends_s(self) -> FloatArray:
        """When each decode step of the run ended."""
        if self._outcome.step_ends:
            return np.concatenate(self._outcome.step_ends)
        log = self._log
        rows = log["steps"] > 0
        steps = log["steps"][rows].astype(np.int64)
        start, duration = log["start_s"][rows], log["duration_s"][rows]
        q = self._outcome.slope_s * log["decodes"][rows] / 2
        first = duration / steps - q * (steps - 1)
        offset = np.repeat(np.cumsum(steps) - steps, steps)
        j = np.arange(1, int(steps.sum()) + 1) - offset
        q = np.repeat(q, steps)
        return np.repeat(start, steps) + j * (np.repeat(first, steps) + q * (j - 1))

    @cached_property
    def _position(self) -> dict[int, int]:
        return {int(request): i for i, request in enumerate(self._plan.index)}

    @cached_property
    def _past(self) -> dict[int, list[tuple[float, int, int]]]:
        """Earlier stays of those who were thrown out after their prompt was computed."""
        past: dict[int, list[tuple[float, int, int]]] = {}
        for i, _, _, joined_s, joined_step, done in self._outcome.interrupted:
            if not np.isnan(joined_s):
                past.setdefault(i, []).append((joined_s, joined_step, done))
        return past

    def token_times_s(self, request: int) -> FloatArray:
        """Return when a request got each of its tokens.

        Parameters
        ----------
        request : int
            Its index.

        Returns
        -------
        numpy.ndarray
            Instants [s], as many as output tokens; none if it was rejected.

        Raises
        ------
        ValueError
            If there is no such request.
        """
        request = whole("request", request)
        if request >= len(self.requests):
            raise ValueError(f"request must be below {len(self.requests)}, got {request!r}")
        i = self._position.get(request)
        if i is None:
            return np.empty(0)
        outcome, ends = self._outcome, self._step_ends_s
        stays = [*self._past.get(i, ())]
        stays.append((outcome.joined_s[i], outcome.joined_step[i], outcome.steps[i]))
        pieces: list[npt.ArrayLike] = []
        for joined_s, step, done in stays:
            pieces += [[joined_s], ends[step : step + done]]
        if self._plan.draws is not None:
            first = int(self._plan.draws.first[i])
            given = self._plan.draws.tokens[first : first + outcome.steps[i]]
            pieces[1] = np.repeat(pieces[1], given)
        return np.concatenate(pieces)

    def inter_token_gaps_s(self) -> FloatArray:
        """Return the gaps between neighbouring tokens of all requests that are counted.

        Returns
        -------
        numpy.ndarray
            Seconds, request after request. Tokens of one verification have gaps of 0.
        """
        every = range(self.first_counted, len(self.requests))
        return np.concatenate([np.diff(self.token_times_s(i)) for i in every])

    @cached_property
    def longest_gap_s(self) -> FloatArray:
        """Longest time that each request waited for a next token; NaN for a single token."""
        outcome, index = self._outcome, self._plan.index
        longest = np.full(len(self.requests), np.nan)
        if not index.size:
            return frozen(longest)
        steps = np.array(outcome.steps)
        joined = np.array(outcome.joined_step)
        some = steps > 0
        ends = self._step_ends_s
        if some.any():
            first = ends[joined[some]] - np.array(outcome.joined_s)[some]
            # between steps: the largest of a slice of gaps, for all requests in one pass
            gaps = np.append(np.diff(ends, prepend=ends[0]), 0.0)
            slices = np.column_stack((joined[some] + 1, joined[some] + steps[some])).ravel()
            inner = np.maximum.reduceat(gaps, slices)[::2]
            inner[steps[some] == 1] = 0.0
            longest[index[some]] = np.maximum(first, inner)
        for i in self._past:
            # Thrown out and recomputed: few, and their gaps span several stays.
            request = int(index[i])
            longest[request] = np.diff(self.token_times_s(request)).max()
        return frozen(longest)

    def records(self) -> list[dict[str, float | int | str | None]]:
        """Return the run as a trace, for `servemath_helpers.traces.summarize_traces`.

        Returns
        -------
        list of dict
            One a request, with ``arrival_s, start_s, first_token_s, end_s, n_out, status``;
            the times of a rejected one are None.
        """
        table = zip(
            self.arrival_s.tolist(),
            self.start_s.tolist(),
            self.first_token_s.tolist(),
            self.finish_s.tolist(),
            self.requests.output_tokens.tolist(),
            self.status.tolist(),
            strict=True,
        )
        return [
            {
                "arrival_s": arrival,
                "start_s": start if status == "ok" else None,
                "first_token_s": first if status == "ok" else None,
                "end_s": finish if status == "ok" else None,
                "n_out": n_out if status == "ok" else 0,
                "status": status,
            }
            for arrival, start, first, finish, n_out, status in table
        ]


def simulate_llm(
    requests: Requests, server: LLMServer, rng: np.random.Generator | None = None
) -> LLMResult:
    """Serve requests with a language model, iteration by iteration.

    Parameters
    ----------
    requests : Requests
        What comes when.
    server : LLMServer
        Iteration time and policies.
    rng : numpy.random.Generator, optional
        Source of randomness; needed for speculative decoding, which alone is random.

    Returns
    -------
    LLMResult
        Latencies of every request, statistics, and a timeline.

    Raises
    ------
    ValueError
        If a request is larger than the KV cache (unless the server rejects such),
        something that the policies need is missing, or the step time gives what is no time.

    Notes
    -----
    The prefill of a prompt gives the first token; each decode step of a sequence reads its
    prompt and all tokens given so far. Who comes during an iteration waits for its end, and
    instants closer than a nanosecond count as the same instant.

    The result is that of a loop over iterations; the time is not. Between two events the
    same sequences decode and the time of many steps is a quadratic in their number, so the
    cost is a few operations a request, whatever the length of its answer.

    References
    ----------
    Yu et al. (2022), "Orca: A Distributed Serving System for Transformer-Based Generative
    Models", OSDI 2022. Kwon et al. (2023), "Efficient Memory Management for Large Language
    Model Serving with PagedAttention", SOSP 2023, arXiv:2309.06180. Agrawal et al. (2024),
    "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024,
    arXiv:2403.02310.

    Examples
    --------
    Two requests: prompts take 0.1 ms a token, a decode step 10 ms.

    >>> from servemath_helpers.sim import LinearStep, LLMServer, Requests, simulate_llm
    >>> step = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-4,
    ...                   per_context_token_s=0)
    >>> run = simulate_llm(Requests([0, 0.035], [100, 200], [5, 2]), LLMServer(step_time=step))
    >>> [round(t, 3) for t in run.ttft_s.tolist()]
    [0.02, 0.035]
    >>> [round(t, 3) for t in run.token_times_s(0).tolist()]
    [0.02, 0.03, 0.04, 0.08, 0.09]
    """
    for name, value, kind in (("requests", requests, Requests), ("server", server, LLMServer)):
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be {kind.__name__}, got {value!r}")
    plan = make_plan(requests, server, rng)
    return result_of(requests, server, plan, run(plan, server))


def result_of(requests: Requests, server: LLMServer, plan: Plan, outcome: Outcome) -> LLMResult:
    """Return what the engine left behind as a result."""
    n = len(requests)

    def over_all(values: list[float]) -> FloatArray:
        array = np.full(n, np.nan)
        array[plan.index] = values
        return frozen(array)

    thrown_out = plan.index[[row[0] for row in outcome.interrupted]]
    return LLMResult(
        requests=requests,
        server=server,
        start_s=over_all(outcome.start),
        first_token_s=over_all(outcome.first_token),
        finish_s=over_all(outcome.finish),
        preemptions=frozen(np.bincount(thrown_out.astype(np.int64), minlength=n)),
        _plan=plan,
        _outcome=outcome,
    )
