"""Driving a server: open loop or closed loop, on the wall clock or on a virtual one.

`sim.Requests` are sent on schedule whatever becomes of them; the users of a `sim.ClosedLoop`
wait for their answers. `drive` asks a real server, `play` an engine on its virtual clock.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from servemath_helpers.measure.answers import Answer
from servemath_helpers.measure.endpoint import Endpoint, MeasureError
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.workloads import ClosedLoop
from servemath_helpers.tinyllm.transformer import tokens_of

if TYPE_CHECKING:
    from servemath_helpers.tinyllm.engine import Engine, Job

__all__ = ["drive", "play", "prompt_of"]

Work = Requests | ClosedLoop

#: Words that most tokenizers know as one token each.
_WORDS = (
    *("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world"),
    *("school", "state", "family", "student", "group", "country", "problem", "hand", "part"),
    *("place", "case", "week", "company", "system", "program", "question", "work", "number"),
    *("night", "point", "home"),
)


def prompt_of(request: int, tokens: int, seed: int = 0) -> str:
    """Return a prompt of so many words, another for each request: no prefix cache helps.

    Parameters
    ----------
    request, tokens : int
        Its number, from 0, and how many words.
    seed : int, optional
        Of the words.

    Returns
    -------
    str
        Words without sense.

    Examples
    --------
    >>> prompt_of(0, 3), prompt_of(1, 3)
    ('work place country', 'country number home')
    """
    drawn = np.random.default_rng([seed, request]).integers(0, len(_WORDS), tokens)
    return " ".join([_WORDS[i] for i in drawn])


async def drive(
    work: Work,
    endpoint: Endpoint,
    *,
    answers: list[Answer] | None = None,
    seed: int = 0,
    progress: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """Ask a server for all of a workload, and return the answers in the order they came.

    Parameters
    ----------
    work : sim.Requests or sim.ClosedLoop
        What to ask when.
    endpoint : Endpoint
        Whom.
    answers : list, optional
        Where they are put as they come, so that those of a run that is cut short are kept.
    seed : int, optional
        Of the prompts.
    progress : callable, optional
        Told of each answer.

    Returns
    -------
    list of Answer
        `answers`. What goes wrong with a request stands in its `error`.

    Examples
    --------
    >>> import asyncio
    >>> from servemath_helpers.tinyllm.engine import Engine
    >>> from servemath_helpers.tinyllm.http import Server
    >>> from servemath_helpers.tinyllm.transformer import TINY, Transformer
    >>> with Server(Engine(Transformer(TINY))) as server:
    ...     endpoint = Endpoint(url=server.url, model="tinyllm")
    ...     loop = ClosedLoop(2, prompt_tokens=[5, 6, 7], output_tokens=4)
    ...     came = asyncio.run(drive(loop, endpoint))
    >>> sorted([(one.request, one.prompt_tokens, one.output_tokens) for one in came])
    [(0, 5, 4), (1, 6, 4), (2, 7, 4)]
    """
    came: list[Answer] = [] if answers is None else answers
    origin = time.perf_counter()

    def now() -> float:
        return time.perf_counter() - origin

    prompts = [prompt_of(i, int(n), seed) for i, n in enumerate(work.prompt_tokens)]
    async with endpoint.client() as client:

        async def one(request: int, scheduled_s: float) -> None:
            await asyncio.sleep(scheduled_s - now())
            answer = Answer(
                request=request,
                scheduled_s=scheduled_s,
                sent_s=now(),
                prompt_tokens=int(work.prompt_tokens[request]),
                output_tokens=0,
                token_s=(),
            )
            try:
                got = await endpoint.ask(
                    client, prompts[request], int(work.output_tokens[request]), now
                )
                answer = replace(
                    answer,
                    token_s=got.token_s,
                    prompt_tokens=got.prompt_tokens or answer.prompt_tokens,
                    output_tokens=got.output_tokens or len(got.token_s),
                )
            except MeasureError as error:
                answer = replace(answer, error=f"{error.kind}: {error}")
            came.append(answer)
            progress(answer)

        async def user(untaken: list[int]) -> None:
            while untaken:
                request = untaken.pop()
                await one(request, now() + float(think_s[request]))

        if isinstance(work, Requests):
            arrivals = enumerate(work.arrival_s.tolist())
            await asyncio.gather(*[one(request, arrival_s) for request, arrival_s in arrivals])
        else:
            think_s, untaken = work.think_s, list(range(len(work)))[::-1]
            await asyncio.gather(*[user(untaken) for _ in range(work.users)])
    return came


def play(work: Work, engine: Engine, *, seed: int = 0) -> list[Answer]:
    """Let an engine on its virtual clock serve a workload: no socket, no thread, no waiting.

    Parameters
    ----------
    work : sim.Requests or sim.ClosedLoop
        What is asked when.
    engine : Engine
        With a `step_time`.
    seed : int, optional
        Of the prompts.

    Returns
    -------
    list of Answer
        In the order in which they were complete.

    Examples
    --------
    >>> from servemath_helpers.sim import LinearStep
    >>> from servemath_helpers.tinyllm.engine import Engine
    >>> from servemath_helpers.tinyllm.transformer import TINY, Transformer
    >>> step = LinearStep(base_s=0.1, per_decode_s=0, per_prefill_token_s=0,
    ...                   per_context_token_s=0)
    >>> came = play(Requests([0, 5], 3, 4), Engine(Transformer(TINY), step_time=step))
    >>> [round(one.sent_s + one.e2e_s, 1) for one in came]
    [0.4, 5.4]
    """
    if engine.step_time is None:
        raise ValueError("engine must have a step_time, got one on the wall clock")
    n, vocabulary = len(work), engine.model.shape.vocabulary
    if isinstance(work, Requests):
        due = list(zip(work.arrival_s.tolist(), range(n), strict=True))
    else:
        due = [(float(work.think_s[i]), i) for i in range(min(work.users, n))]
    taken = len(due)
    heapify(due)
    inside: dict[Job, tuple[int, float]] = {}
    came: list[Answer] = []
    while due or inside:
        now = engine.clock.now()
        if not inside and due[0][0] > now:
            engine.virtual.advance(due[0][0] - now)
            now = due[0][0]
        while due and due[0][0] <= now:
            scheduled_s, request = heappop(due)
            prompt = prompt_of(request, int(work.prompt_tokens[request]), seed)
            ids = tokens_of(prompt, vocabulary)
            job = engine.submit(ids, int(work.output_tokens[request]))
            inside[job] = request, scheduled_s
        for job in engine.step():
            if not job.done:
                continue
            request, scheduled_s = inside.pop(job)
            came.append(
                Answer(
                    request=request,
                    scheduled_s=scheduled_s,
                    sent_s=scheduled_s,
                    prompt_tokens=len(job.prompt),
                    output_tokens=len(job.tokens),
                    token_s=tuple(job.token_s),
                )
            )
            if not isinstance(work, Requests) and taken < n:
                heappush(due, (engine.clock.now() + float(work.think_s[taken]), taken))
                taken += 1
    return came
