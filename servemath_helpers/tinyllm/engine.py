"""Continuous batching: who is computed when, on a wall clock or on a virtual one.

An iteration computes either the prompts of those who were just let in, or one token for
everybody who decodes, as `sim.simulate_llm` does with its defaults. On a `VirtualClock` an
iteration takes what a model of its time says, so that a run on a machine that nobody has can be
had exactly, without waiting for it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from servemath_helpers._validate import finite_non_negative, sequence, whole
from servemath_helpers.sim.steptime import StepTime
from servemath_helpers.tinyllm.transformer import Cache, Transformer

__all__ = ["Clock", "Engine", "Iteration", "Job", "VirtualClock", "WallClock"]


class Clock(Protocol):
    """What an engine asks for the time."""

    def now(self) -> float:
        """Return the time [s]."""
        ...  # pragma: no cover


class WallClock:
    """Seconds that have really passed since it was made."""

    def __init__(self) -> None:
        self._origin = time.perf_counter()

    def now(self) -> float:
        """Return the time [s]."""
        return time.perf_counter() - self._origin


class VirtualClock:
    """Seconds that pass when somebody says so.

    Examples
    --------
    >>> clock = VirtualClock()
    >>> clock.advance(1.5)
    >>> clock.now()
    1.5
    """

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Return the time [s]."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass, at least 0 s."""
        self._now += finite_non_negative("seconds", seconds)


class Iteration(NamedTuple):
    """One line of an engine's log: what was computed, and how long that took."""

    start_s: float
    step_s: float
    decode: int  # sequences that got a token
    context: int  # tokens in the cache that they looked at
    prefill: int  # prompt tokens


@dataclass(eq=False)
class Job:
    """A request in the engine, and the answer as far as it is.

    Attributes
    ----------
    prompt, max_tokens
        What was asked.
    arrival_s, start_s
        When it came and when it was let in, None while it waits.
    tokens, token_s
        The answer, and when each of its tokens was there.
    """

    prompt: list[int]
    max_tokens: int
    arrival_s: float
    start_s: float | None = None
    tokens: list[int] = field(default_factory=list)
    token_s: list[float] = field(default_factory=list)
    cancelled: bool = False

    @property
    def room(self) -> int:
        """Tokens of the KV cache that it holds from beginning to end."""
        return len(self.prompt) + self.max_tokens

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.cancelled or len(self.tokens) == self.max_tokens


class Engine:
    """A model, a KV cache, and a queue.

    Parameters
    ----------
    model : Transformer
        What computes tokens.
    max_batch : int, optional
        Sequences that decode together, at least 1.
    kv_tokens : int, optional
        Tokens that the KV cache holds; a request is let in when there is room for its prompt
        and its whole answer. None for no limit.
    step_time : StepTime, optional
        How long an iteration takes on a machine that need not exist; time is then virtual.
        Without it, iterations take as long as they take here.

    Examples
    --------
    Two prompts in one iteration, then two decode steps for both, on a machine that takes 0.1 s
    for each:

    >>> from servemath_helpers.sim import LinearStep
    >>> from servemath_helpers.tinyllm.transformer import TINY
    >>> step = LinearStep(base_s=0.1, per_decode_s=0, per_prefill_token_s=0,
    ...                   per_context_token_s=0)
    >>> engine = Engine(Transformer(TINY), step_time=step)
    >>> jobs = [engine.submit([1, 2, 3], 3), engine.submit([4, 5], 3)]
    >>> while engine.busy:
    ...     _ = engine.step()
    >>> [round(t, 1) for t in jobs[0].token_s], [line.decode for line in engine.log]
    ([0.1, 0.2, 0.3], [0, 2, 2])
    """

    def __init__(
        self,
        model: Transformer,
        *,
        max_batch: int = 8,
        kv_tokens: int | None = None,
        step_time: StepTime | None = None,
    ) -> None:
        self.model = model
        self.max_batch = whole("max_batch", max_batch, 1)
        self.kv_tokens = None if kv_tokens is None else whole("kv_tokens", kv_tokens, 1)
        self.step_time = step_time
        self.virtual = VirtualClock()
        self.clock: Clock = WallClock() if step_time is None else self.virtual
        self.waiting: deque[Job] = deque()
        self.decoding: list[Job] = []
        self.log: list[Iteration] = []
        self._caches: dict[Job, Cache] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.waiting or self.decoding)

    def submit(self, prompt: Sequence[int], max_tokens: int) -> Job:
        """Put a request into the queue.

        ValueError if it is empty, holds what is no token, or would never fit into the cache.
        """
        ids = [whole(f"prompt[{i}]", token) for i, token in enumerate(sequence("prompt", prompt))]
        if not ids:
            raise ValueError("prompt must hold at least one token, got none")
        if max(ids) >= self.model.shape.vocabulary:
            raise ValueError(
                f"prompt must hold tokens below {self.model.shape.vocabulary}, got {max(ids)}"
            )
        job = Job(ids, whole("max_tokens", max_tokens, 1), self.clock.now())
        if self.kv_tokens is not None and job.room > self.kv_tokens:
            raise ValueError(
                f"prompt and max_tokens must be at most {self.kv_tokens} tokens together, the "
                f"size of the KV cache, got {job.room}"
            )
        self.waiting.append(job)
        return job

    def cancel(self, job: Job) -> None:
        """Give a request up; its room is free from the next iteration on."""
        job.cancelled = True

    def step(self) -> list[Job]:
        """Run one iteration; return those who got a token, none if nobody was there."""
        self._sweep()
        joining = self._let_in()
        group = joining or list(self.decoding)
        if not group:
            return []
        start_s = self.clock.now()
        for job in joining:
            job.start_s = start_s
            self._caches[job] = self.model.cache(job.room)
        tokens = self.model.forward(
            [(self._caches[job], job.tokens[-1:] or job.prompt) for job in group]
        )
        prompts = [len(job.prompt) for job in joining]
        decode = 0 if joining else len(group)
        # A token that decodes is stored before it looks back, so that it sees itself too.
        context = 0 if joining else sum(len(job.prompt) + len(job.tokens) for job in group)
        if self.step_time is not None:
            pairs = sum(size * size / 2 for size in prompts)
            seconds = self.step_time.iteration_s(decode, context, sum(prompts), pairs)
            self.virtual.advance(seconds)
        end_s = self.clock.now()
        for job, token in zip(group, tokens, strict=True):
            job.tokens.append(token)
            job.token_s.append(end_s)
        self.decoding += joining
        self.log.append(Iteration(start_s, end_s - start_s, decode, context, sum(prompts)))
        self._sweep()
        return group

    def _sweep(self) -> None:
        """Forget who is done, and give back their room."""
        self.decoding = [job for job in self.decoding if not job.done]
        self._caches = {job: self._caches[job] for job in self.decoding}

    def _let_in(self) -> list[Job]:
        """Take from the queue whoever finds a slot and room; nobody overtakes."""
        joining: list[Job] = []
        held = sum(job.room for job in self.decoding)
        while self.waiting and len(self.decoding) + len(joining) < self.max_batch:
            job = self.waiting[0]
            room = 0 if job.cancelled else job.room
            if self.kv_tokens is not None and held + room > self.kv_tokens:
                break
            self.waiting.popleft()
            if not job.cancelled:
                joining.append(job)
                held += room
        return joining
