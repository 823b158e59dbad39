"""The engine: from event to event, not from iteration to iteration.

Between two events (somebody arrives who can be let in, somebody finishes, the cache runs
full) the same D sequences decode, and each step reads D tokens of context more than the
one before. With an iteration time affine in the context, k steps take

    k s + q k (k - 1),    s = first step,    q = slope * D / 2,

and the step at which an instant is passed is the root of a quadratic. One counter g of
decode steps serves all sequences: who joins at g and has r steps to go finishes at g + r,
and a heap of these numbers gives the next to finish. The context is one sum.

The loops below hold their state in local variables: that is where the time goes.

One server alone knows all arrivals and runs to its end. In a fleet they are not known in
advance: a `Live` server is told up to when everybody who comes has been sent to it, goes on until
a row ends later, and says before when nobody will leave. Nobody need look at it until then.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from servemath_helpers.sim._arrays import SAME_INSTANT_S, FloatArray
from servemath_helpers.sim._decoder import Decoder
from servemath_helpers.sim._memory import BlockPool, PrefixCache

if TYPE_CHECKING:
    from servemath_helpers.sim._plan import Plan
    from servemath_helpers.sim.server import LLMServer

__all__ = ["LOG_FIELDS", "Outcome", "run"]

UNLIMITED = 1 << 62

#: Rows of the log that are kept as tuples, which are quick to make, before they are packed.
MOST_ROWS = 200_000

#: Columns of the log, one row for each iteration with prompts or stretch of decoding.
LOG_FIELDS = (
    "start_s",
    "duration_s",
    "steps",
    "decodes",
    "context",
    "prefill_tokens",
    "prefill_pairs",
    "sequences",
    "held",
    "reserved",
    "given",
    "reread",
)


@dataclass
class Outcome:
    """What the engine leaves behind, in the order of the plan."""

    start: list[float]  # first admission
    admitted: list[float]  # last admission
    first_token: list[float]
    finish: list[float]
    joined_s: list[float]  # end of the last prefill
    joined_step: list[int]
    steps: list[int]  # decode steps after the last prefill
    slope_s: float = 0.0  # seconds that a token of context adds to a step
    #: latest rows of the log, and earlier ones as tables
    rows: list[tuple[float, ...]] = field(default_factory=list)
    tables: list[FloatArray] = field(default_factory=list)
    #: (request, admitted, thrown out, end of prefill or NaN, step then, steps decoded)
    interrupted: list[tuple[int, float, float, float, int, int]] = field(default_factory=list)
    #: ends of all steps, where they do not follow from the log
    step_ends: list[FloatArray] = field(default_factory=list)
    #: tokens to compute when let in: the prompt, and what was lost
    held: list[int] = field(default_factory=list)
    #: the one valid number of each request in the heap of those that finish, for paged only
    entry: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls, plan: Plan) -> Outcome:
        """Return the outcome of a plan of which nothing has been served."""
        n = len(plan.arrival)
        return cls(
            start=[-1.0] * n,
            admitted=[0.0] * n,
            first_token=[-1.0] * n,
            finish=[0.0] * n,
            joined_s=[0.0] * n,
            joined_step=[0] * n,
            steps=list(plan.steps),
            held=list(plan.prompt),
            entry=[-1] * n,
        )

    def of_one_more_server(self) -> Outcome:
        """Return an outcome that shares what belongs to requests, with a log of its own."""
        return replace(self, rows=[], tables=[], interrupted=[], step_ends=[])

    def of(self, chosen: Sequence[int], place: dict[int, int]) -> Outcome:
        """Return what became of the chosen requests, numbered by `place`."""

        def some(values: list[Any]) -> list[Any]:
            return [values[i] for i in chosen]

        return replace(
            self,
            start=some(self.start),
            admitted=some(self.admitted),
            first_token=some(self.first_token),
            finish=some(self.finish),
            joined_s=some(self.joined_s),
            joined_step=some(self.joined_step),
            steps=some(self.steps),
            interrupted=[(place[row[0]], *row[1:]) for row in self.interrupted],
        )

    def interrupt(self, i: int, t: float, g: int, *, decoded: bool) -> None:
        """Note that request i is thrown out at step g."""
        joined_s, joined_step = math.nan, g
        if decoded:
            joined_s, joined_step = self.joined_s[i], self.joined_step[i]
        self.interrupted.append((i, self.admitted[i], t, joined_s, joined_step, g - joined_step))

    def flush(self) -> None:
        """Pack the latest rows: a table takes a third of the memory of its tuples."""
        numbers = chain.from_iterable(self.rows)
        count = len(self.rows) * len(LOG_FIELDS)
        packed = np.fromiter(numbers, dtype=np.float64, count=count)
        self.tables.append(packed.reshape(-1, len(LOG_FIELDS)))
        self.rows.clear()

    def log(self) -> FloatArray:
        """Return all rows as one table."""
        self.flush()
        self.tables = [np.concatenate(self.tables)]
        return self.tables[0]

    def mixed_end(self, t: float, closed_form: bool) -> None:
        """Note the end of a step that also computed prompts."""
        if not closed_form:
            self.step_ends.append(np.array([t]))


def _no_time(seconds: float) -> ValueError:
    return ValueError(
        f"step_time must give a finite time of at least 0 for every iteration, got {seconds!r}"
    )


def _steps_until(first_s: float, q: float, until: float) -> int:
    """Return the least number of steps that take `until` seconds or more."""
    linear = first_s - q
    # The positive root, written so that it stands for q = 0 as well; rounded down, so that
    # the loop, which asks the same formula as the run, has the last word.
    steps = int(2 * until / (linear + math.sqrt(linear * linear + 4 * q * until)))
    while steps * (first_s + q * (steps - 1)) < until:
        steps += 1
    return steps


@dataclass
class Live:
    """A server whose arrivals become known as it goes."""

    ready_s: float  # when it begins to serve
    #: whether who leaves decides who comes: it then stops at the end of every row
    answers: bool
    queue: list[int] = field(default_factory=list)  # who was sent to it, in order of arrival
    finished: list[int] = field(default_factory=list)  # who left since it was last asked
    step_s: float = 0.0  # seconds that no step of decoding takes less than, if that is foreseen


def run(plan: Plan, server: LLMServer) -> Outcome:
    """Serve the plan, under any policy, from event to event."""
    outcome = Outcome.empty(plan)
    for _ in serving(plan, server, outcome):  # a server alone never asks
        raise AssertionError  # pragma: no cover
    return outcome


def serving(
    plan: Plan,
    server: LLMServer,
    outcome: Outcome,
    cache: PrefixCache | None = None,
    live: Live | None = None,
) -> Generator[tuple[float, float], float, None]:
    """Serve the plan or, if `live`, those of it who are sent.

    Yields
    ------
    quiet_s, steps : float, float
        Before when nobody leaves and no cache changes, infinite if there is nothing to do;
        and how many steps somebody who comes until then must have for this to stay true.
        Send a time [s]: all who come until a nanosecond after it have been queued.
    """
    n = len(plan.arrival)
    arrival, total, reserved = plan.arrival, plan.total, plan.reserved
    rank, by_rank = plan.rank, plan.by_rank
    start, first_token, finish = outcome.start, outcome.first_token, outcome.finish
    admitted, joined_s = outcome.admitted, outcome.joined_s
    joined_step, steps = outcome.joined_step, outcome.steps
    rows = outcome.rows
    note = rows.append
    held, entry = outcome.held, outcome.entry
    ready = plan.ready  # prompts that were computed elsewhere
    queue: Sequence[int] = range(n) if live is None else live.queue
    known, horizon = len(queue), math.inf

    iteration_s = server.step_time.iteration_s
    decoder = Decoder(server, plan.draws)
    closed_form = decoder.closed_form
    outcome.slope_s = rise = decoder.slope or 0.0
    max_batch, width = int(server.max_batch), server.tokens_per_sequence
    base = decoder.base(max_batch) if closed_form else []
    chunked, static = server.batching == "chunked", server.batching == "static"
    rereads = server.rereads_prompt
    limit = server.max_batched_tokens or UNLIMITED
    overtaking = server.order != "fcfs"
    pool = None
    if cache is None and plan.hashes is not None:
        cache = PrefixCache(plan.hashes, plan.hash_block, server.prefix_cache_tokens)
    if server.kv_policy == "paged":
        pool = BlockPool(plan.capacity, int(server.block_tokens), float(server.watermark))
    free = capacity = plan.capacity
    # While nobody leaves, who comes delays all others if no step becomes shorter by company:
    # the next to leave is known some rows ahead.
    foreseen = closed_form and not (chunked or pool or cache or rise < 0)
    foreseen &= live is not None and not live.answers
    foreseen = foreseen and all(a <= b for a, b in pairwise(base))
    if foreseen and live is not None:
        live.step_s = base[1]

    waiting: list[int] = []  # ranks, a heap
    finishing: list[int] = []  # (step at which it finishes) * n + request, a heap
    inside: set[int] = set()  # ranks of all who are let in, for paged only
    computing: list[list[int]] = []  # [request, tokens computed, tokens to compute]
    computing_held = 0  # tokens for which they have room
    t, g, coming = 0.0 if live is None else live.ready_s, 0, 0
    decoding, context, slots = 0, 0, max_batch
    short = False  # the cache has no room for the next step
    while True:
        if len(rows) > MOST_ROWS:
            outcome.flush()
        now = t + SAME_INSTANT_S
        while coming < known and arrival[queue[coming]] <= now:
            heappush(waiting, rank[queue[coming]])
            coming += 1

        thrown_out = False
        if pool and (chunked or short):
            while decoding and not pool.possible_steps(g, context, decoding, 1):
                thrown_out = True
                victim = max(inside)
                inside.remove(victim)
                heappush(waiting, victim)
                slots += 1
                i = by_rank[victim]
                if entry[i] < 0:  # still computing its prompt
                    computing = [job for job in computing if job[0] != i]
                    pool.fixed -= pool.blocks_for(held[i] + 1)
                    computing_held -= held[i] + 1
                    outcome.interrupt(i, t, g, decoded=False)
                    continue
                entry[i] = -1
                outcome.interrupt(i, t, g, decoded=True)
                held[i] += 1 + g - joined_step[i]
                steps[i] -= 1 + g - joined_step[i]
                pool.leave(held[i], g)
                context -= held[i]
                decoding -= 1
            short = False

        computed, pairs, earlier = 0, 0.0, 0
        complete: list[int] = []  # requests whose prompts this iteration completes
        budget = limit
        if chunked:
            budget -= decoding * width
            for job in computing:
                done = job[1]
                piece = min(budget, job[2] - done)
                if rereads and piece:
                    earlier += done
                job[1] = done = done + piece
                computed += piece
                budget -= piece
                pairs += piece * (done - piece / 2)
                if done == job[2]:
                    complete.append(job[0])
        if waiting and slots and not thrown_out and not (static and decoding):
            while waiting and slots and budget > 0:
                i = by_rank[waiting[0]]
                size, hit = held[i], 0
                if reserved[i] > free:
                    break
                if pool and not pool.fits(size + 1, g, context, decoding):
                    break
                if cache is not None:
                    hit = cache.hit(i, size)
                if ready is not None and ready[i]:
                    hit, ready[i] = size, False  # what is lost later is computed here
                piece = size - hit
                if piece > budget:
                    if chunked:
                        piece = budget
                    elif computed:
                        break
                heappop(waiting)
                budget -= piece
                computed += piece
                pairs += piece * (hit + piece / 2)
                if rereads and piece:
                    earlier += hit
                slots -= 1
                free -= reserved[i]
                admitted[i] = t
                if start[i] < 0:
                    start[i] = t
                if pool:
                    pool.fixed += pool.blocks_for(size + 1)
                    inside.add(rank[i])
                computing_held += size + 1
                if piece + hit == size:
                    complete.append(i)
                if chunked:
                    computing.append([i, hit + piece, size])

        if computed:
            together = given = 0
            if chunked and decoding:
                together, given = decoding, decoder.given(g, decoding)
                seconds = iteration_s(decoding * width, context + earlier, computed, pairs)
                seconds += decoder.drafting_s(decoding, context)
            else:
                seconds = iteration_s(0, earlier, computed, pairs)
            if not 0 <= seconds < math.inf:
                raise _no_time(seconds)
            note(
                (
                    t,
                    seconds,
                    1 if together else 0,
                    together,
                    context if together else 0,
                    computed,
                    pairs,
                    max_batch - slots,
                    context + computing_held,
                    capacity - free,
                    given,
                    earlier,
                )
            )
            if t + seconds > horizon:
                quiet_s, left = t + seconds, 0
                if foreseen and not waiting and coming == known:
                    left = finishing[0] // n - g if decoding else UNLIMITED
                    for i in complete:
                        if steps[i] < left:
                            left = steps[i]
                    quiet_s += left * (base[decoding + len(complete)] + rise * context)
                horizon = yield quiet_s, left
                while t + seconds > horizon:
                    horizon = yield t + seconds, 0
                known = len(queue)
            t += seconds
            if together:
                context += given
                g += 1
                outcome.mixed_end(t, closed_form)
        elif complete:
            pass  # prompts that came with their cache: they decode from now on
        elif decoding:
            if pool:
                while entry[finishing[0] % n] != finishing[0]:
                    heappop(finishing)
            count = finishing[0] // n - g
            if pool:
                count = pool.possible_steps(g, context, decoding, count)
                if not count:
                    short = True
                    continue
                if thrown_out:
                    count = 1  # what they left may suffice for whoever waits
            # The stretch ends where somebody arrives who might be let in.
            awaited = slots and not static and (overtaking or not waiting)
            most = count
            if closed_form:
                first_s = base[decoding] + rise * context
                q = rise * decoding / 2
            while True:
                until = math.inf
                if coming < known and awaited:
                    until = arrival[queue[coming]] - now
                if closed_form:
                    count = most
                    seconds = count * (first_s + q * (count - 1))
                    if seconds > until:
                        count = min(count, _steps_until(first_s, q, until))
                        seconds = count * (first_s + q * (count - 1))
                    given = count * decoding
                else:
                    ends, given = decoder.stretch(g, decoding, context, most, until)
                    count, seconds = len(ends), float(ends[-1])
                if not 0 <= seconds < math.inf:
                    raise _no_time(seconds)
                if t + seconds <= horizon:
                    break
                if foreseen and known - coming <= 1:
                    left = most
                    if coming < known and steps[queue[coming]] < most:
                        left = steps[queue[coming]]
                    quiet_s = t + left * (first_s + q * (left - 1))
                else:
                    quiet_s, left = t + seconds, UNLIMITED if awaited and until == math.inf else 0
                horizon = yield quiet_s, left
                if t + seconds <= horizon and known == len(queue):
                    break
                known = len(queue)
            if not closed_form:
                outcome.step_ends.append(t + ends)
            used = capacity - free
            note((t, seconds, count, decoding, context, 0, 0, decoding, context, used, given, 0))
            t += seconds
            g += count
            context += given
        elif coming < known:
            t = max(t, arrival[queue[coming]])
            while t > horizon:
                horizon = yield t, 0
            known = len(queue)
            continue
        elif live is not None:
            horizon = yield math.inf, math.inf
            while t > horizon:  # not up yet: whoever comes until then is let in together
                horizon = yield t, 0
            known = len(queue)
            continue
        else:
            return

        edge = (g + 1) * n
        while finishing and finishing[0] < edge:
            popped = heappop(finishing)
            i = popped % n
            if pool:
                if entry[i] != popped:
                    continue
                entry[i] = -1
                pool.leave(total[i], g)
                inside.remove(rank[i])
            finish[i] = t
            if live is not None:
                live.finished.append(i)
                if cache is not None and cache.answered is not None:
                    cache.keep(i, answered=True)
            decoding -= 1
            slots += 1
            context -= total[i]
            free += reserved[i]

        for i in complete:
            size = held[i] + 1
            computing_held -= size
            if first_token[i] < 0:
                first_token[i] = t
            if cache is not None:
                cache.keep(i)
            joined_s[i] = t
            joined_step[i] = g
            if pool:
                pool.fixed -= pool.blocks_for(size)
            left = steps[i]
            if left:
                decoding += 1
                context += size
                popped = (g + left) * n + i
                heappush(finishing, popped)
                if pool:
                    entry[i] = popped
                    pool.join(size, g)
                if not closed_form:
                    decoder.schedule(i, g, left)
            else:
                finish[i] = t
                if live is not None:
                    live.finished.append(i)
                    if cache is not None and cache.answered is not None:
                        cache.keep(i, answered=True)
                slots += 1
                free += reserved[i]
                if pool:
                    inside.remove(rank[i])
        if chunked and complete:
            computing = [job for job in computing if job[1] < job[2]]
        if live is not None and live.answers and live.finished:
            horizon = yield t, 0  # whoever comes because of them may come at once
            known = len(queue)
