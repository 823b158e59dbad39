"""Several servers behind a router, users who wait for answers, prefill and decode apart.

A replica is the engine of one server. Where nobody's arrival depends on what happens (requests
known in advance, a router that looks at nothing), each replica is run by itself. Otherwise the
replicas are taken on together, and each says until when it need not be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

import numpy as np

from servemath_helpers._validate import finite_non_negative, sequence, whole
from servemath_helpers.sim._arrays import SAME_INSTANT_S, FloatArray, IntArray, frozen, generator
from servemath_helpers.sim._engine import Live, Outcome, serving
from servemath_helpers.sim._memory import PrefixCache
from servemath_helpers.sim._plan import Plan, make_plan
from servemath_helpers.sim.llm import LLMResult, result_of, simulate_llm
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.routing import (
    FewestOf,
    FleetView,
    Router,
    least_loaded,
    power_of_choices,
    random_replica,
    round_robin,
)
from servemath_helpers.sim.served import Served
from servemath_helpers.sim.server import LLMServer
from servemath_helpers.sim.workloads import ClosedLoop, Sessions

__all__ = ["DisaggregatedResult", "FleetResult", "simulate_disaggregated", "simulate_fleet"]

_ROUTERS = ("round_robin", "random", "least_loaded", "power_of_two")


@dataclass(frozen=True, eq=False, kw_only=True)
class FleetResult(Served):
    """One run of a fleet, request by request in the order of arrival.

    Attributes
    ----------
    requests : Requests
        What was asked, with the instants at which it was.
    start_s, first_token_s, finish_s : numpy.ndarray
        When each request was first let in, got its first and its last token. Read-only.
    replica : numpy.ndarray
        Who served each request.
    sent : numpy.ndarray
        Index of each request in the workload, which is sorted otherwise if arrivals depend
        on answers.
    first_counted : int
        The first request that statistics count, see `without_warmup`.
    """

    replica: IntArray
    sent: IntArray
    _runs: tuple[Callable[[], LLMResult | None], ...] = field(repr=False)

    @cached_property
    def replicas(self) -> tuple[LLMResult | None, ...]:
        """What each replica did, with its timeline; None if nobody was sent to it."""
        return tuple(run() for run in self._runs)


class _Replica:
    """A server of a fleet while it runs."""

    def __init__(
        self, plan: Plan, server: LLMServer, outcome: Outcome, cache: PrefixCache | None, live: Live
    ) -> None:
        self.live, self.outcome, self.cache = live, outcome.of_one_more_server(), cache
        self.going = serving(plan, server, self.outcome, cache, live)
        next(self.going)  # it is idle


def _route(router: Any, rng: np.random.Generator | None) -> Router:
    if router == "round_robin":
        return round_robin()
    if router == "least_loaded":
        return least_loaded()
    if router == "random":
        return random_replica(generator(rng))
    if router == "power_of_two":
        return power_of_choices(2, generator(rng))
    if not callable(router):
        raise ValueError(
            f"router must be one of {', '.join(map(repr, _ROUTERS))} or a function, got {router!r}"
        )
    route: Router = router
    return route


def _side_by_side(
    requests: Requests, servers: Sequence[LLMServer], replica: IntArray
) -> FleetResult:
    """Run each replica by itself: nobody's arrival depends on what happens."""
    results: list[LLMResult | None] = []
    columns = np.full((3, len(requests)), np.nan)
    for r, server in enumerate(servers):
        chosen = np.flatnonzero(replica == r)
        if not chosen.size:
            results.append(None)
            continue
        run = simulate_llm(_arrived(requests, chosen, requests.arrival_s), server)
        results.append(run)
        columns[:, chosen] = run.start_s, run.first_token_s, run.finish_s
    return FleetResult(
        requests=requests,
        start_s=frozen(columns[0]),
        first_token_s=frozen(columns[1]),
        finish_s=frozen(columns[2]),
        replica=frozen(replica),
        sent=frozen(np.arange(len(requests))),
        _runs=tuple(partial(_given, result) for result in results),
    )


def _given(result: LLMResult | None) -> LLMResult | None:
    return result


@dataclass
class _Workload:
    """Requests of any kind: sizes now, arrivals as far as they are known."""

    requests: Requests  # arrivals are those known at the start, 0 for others
    #: (arrival, request) known at the start; None for `Requests`, all of which are
    first: list[tuple[float, int]] | None
    next_of: Callable[[int, float], tuple[float, int] | None] | None
    answered: list[tuple[int, ...]] | None = None


def _workload(work: Requests | ClosedLoop | Sessions, servers: Sequence[LLMServer]) -> _Workload:
    if isinstance(work, Requests):
        return _Workload(work, None, None)
    n, think = len(work), work.think_s.tolist()
    sizes = Requests(np.zeros(n), work.prompt_tokens, work.output_tokens)
    if isinstance(work, ClosedLoop):
        taken = min(work.users, n)

        def take_next(request: int, now_s: float) -> tuple[float, int] | None:
            nonlocal taken
            if taken == n:
                return None
            taken += 1
            return now_s + think[taken - 1], taken - 1

        return _Workload(sizes, [(think[i], i) for i in range(taken)], take_next)
    session = [*work.session.tolist(), -1]

    def next_turn(request: int, now_s: float) -> tuple[float, int] | None:
        if session[request + 1] != session[request]:
            return None
        return now_s + think[request + 1], request + 1

    firsts = list(zip(work.start_s.tolist(), work.first.tolist(), strict=True))
    if all(server.prefix_cache_tokens == 0 for server in servers):
        return _Workload(sizes, firsts, next_turn)
    prompts, answers = work.prompt_tokens.tolist(), work.output_tokens.tolist()
    hashed = Requests(
        sizes.arrival_s,
        sizes.prompt_tokens,
        sizes.output_tokens,
        None,
        [work.blocks(i, prompts[i]) for i in range(n)],
        work.block_tokens,
    )
    whole_turns = [work.blocks(i, prompts[i] + answers[i]) for i in range(n)]
    return _Workload(hashed, firsts, next_turn, whole_turns)


def _servers(server: Any, replicas: Any) -> list[LLMServer]:
    if isinstance(server, LLMServer):
        servers = [server] * whole("replicas", replicas, 1)
    else:
        servers = sequence("server", server, "an LLMServer or a sequence of them")
        if not servers or replicas not in (1, len(servers)):
            raise ValueError(
                f"replicas must be the number of servers = {len(servers)}, at least 1, "
                f"got {replicas!r}"
            )
    for i, one in enumerate(servers):
        if not isinstance(one, LLMServer):
            raise ValueError(f"server[{i}] must be an LLMServer, got {one!r}")
        if one.speculation is not None:
            raise ValueError("server must not decode speculatively in a fleet, got a speculation")
    return servers


def simulate_fleet(
    work: Requests | ClosedLoop | Sessions,
    server: LLMServer | Sequence[LLMServer],
    replicas: int = 1,
    *,
    router: str | Router = "round_robin",
    ready_s: float | Sequence[float] = 0.0,
    rng: np.random.Generator | None = None,
) -> FleetResult:
    """Serve requests with several replicas behind a router.

    Parameters
    ----------
    work : Requests, ClosedLoop or Sessions
        Who sends what when.
    server : LLMServer or sequence of LLMServer
        The policies of all replicas, or of each. All need the same `kv_tokens`, policies of
        admission and prefix cache if they are to differ in speed only; nothing is assumed.
    replicas : int, optional
        How many, at least 1.
    router : str or callable, optional
        ``"round_robin"``, ``"random"``, ``"least_loaded"`` (join the shortest queue),
        ``"power_of_two"``, or a function such as `routing.prefix_affinity` returns: it is
        called with a `routing.FleetView` and the index of a request, and returns the index
        of a replica.
    ready_s : float or sequence of float, optional
        When each replica is up (a cold start), at least 0. Until one is, requests wait at
        the replica they are sent to.
    rng : numpy.random.Generator, optional
        Source of randomness, for ``"random"`` and ``"power_of_two"``.

    Returns
    -------
    FleetResult
        Latencies of every request in the order of arrival, and what each replica did.

    Raises
    ------
    ValueError
        If a value is out of range, a request is larger than the KV cache, a server decodes
        speculatively, or the router names no replica.

    Notes
    -----
    The router decides when a request comes and knows the counts of that instant. One replica
    gives what `simulate_llm` gives, bit for bit. Of `Sessions`, a server with a prefix cache
    keeps the blocks of prompt and answer when an answer is complete.

    Examples
    --------
    Three users without think time keep one server of 100 ms a request busy, so that each
    waits for the two others:

    >>> from servemath_helpers.sim import ClosedLoop, LinearStep, LLMServer, simulate_fleet
    >>> step = LinearStep(base_s=0.1, per_decode_s=0, per_prefill_token_s=0,
    ...                   per_context_token_s=0)
    >>> loop = ClosedLoop(3, prompt_tokens=[1] * 9, output_tokens=1)
    >>> run = simulate_fleet(loop, LLMServer(step_time=step, max_batch=1))
    >>> [round(t, 3) for t in run.e2e_s.tolist()]
    [0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    """
    if not isinstance(work, (Requests, ClosedLoop, Sessions)):
        raise ValueError(f"work must be Requests, a ClosedLoop or Sessions, got {work!r}")
    servers = _servers(server, replicas)
    up = sequence("ready_s", [ready_s] * len(servers) if np.ndim(ready_s) == 0 else ready_s)
    if len(up) != len(servers):
        raise ValueError(f"ready_s must have one entry for each of {len(servers)} replicas")
    ready = [finite_non_negative(f"ready_s[{r}]", value) for r, value in enumerate(up)]
    route = _route(router, rng)
    if isinstance(work, Requests) and not any(ready):
        # Routers that look at nothing: the same choices, all at once.
        if router == "round_robin":
            return _side_by_side(work, servers, np.arange(len(work)) % len(servers))
        if router == "random":
            drawn = generator(rng).random(len(work)) * len(servers)
            return _side_by_side(work, servers, drawn.astype(np.int64))
    return _together(_workload(work, servers), servers, route, ready)


def _up(ready: list[float], now_s: float) -> Sequence[int]:
    """Return the replicas that are up, or all if none is."""
    return [r for r, ready_s in enumerate(ready) if ready_s <= now_s] or range(len(ready))


def _together(
    work: _Workload,
    servers: list[LLMServer],
    route: Router,
    ready: list[float],
    *,
    computed: bool = False,
) -> FleetResult:
    """Take all replicas from event to event.

    If `computed`, prompts come with their cache and only decode.
    """
    asked, next_of = work.requests, work.next_of
    n, size = len(asked), len(servers)
    planned: dict[int, Plan] = {}  # of each server that is another
    for server in servers:
        if id(server) not in planned:
            planned[id(server)] = make_plan(asked, replace(server, oversize="error"), None)
    plans = [planned[id(server)] for server in servers]
    shared = Outcome.empty(plans[0])
    # Who is first is known when they come: arrivals and the order of arrival are filled in.
    # Of `Requests` they are known from the start.
    arrival, in_turn, by_turn = asked.arrival_s.tolist(), list(range(n)), list(range(n))
    sent: list[int] = []
    group: list[_Replica] = []
    for plan, server, ready_s in zip(plans, servers, ready, strict=True):
        ranks = (in_turn, by_turn) if server.order == "fcfs" else (plan.rank, plan.by_rank)
        own = replace(plan, arrival=arrival, rank=ranks[0], by_rank=ranks[1])
        own = replace(own, ready=[True] * n if computed else None)
        cache = None
        if plan.hashes is not None:
            limit = server.prefix_cache_tokens
            cache = PrefixCache(plan.hashes, plan.hash_block, limit, work.answered)
        live = Live(ready_s=ready_s, answers=next_of is not None)
        group.append(_Replica(own, server, shared, cache, live))

    everybody = range(size)
    view = FleetView(
        everybody, [0] * size, [0] * size, plans[0].prompt, _caches=[r.cache for r in group]
    )
    load, tokens, total = view.in_system, view.tokens, plans[0].total
    last_ready = max(ready)
    warming = last_ready > 0
    replica = [0] * n
    # These loops, like the engine's, are where the time goes.
    # Until when a replica need not be looked at: for ever if it is idle.
    quiet, least = [math.inf] * size, [math.inf] * size
    send = [one.going.send for one in group]
    lives = [one.live for one in group]
    queues = [live.queue for live in lives]
    all_finished = [live.finished for live in lives]
    steps, finish = shared.steps, shared.finish
    if next_of is None:  # who comes is known from the start
        fewest = isinstance(route, FewestOf)
        draw = route.draw if isinstance(route, FewestOf) else None
        shortest = fewest and not last_ready
        seen: Sequence[int] = everybody
        ahead_s = 2 * SAME_INSTANT_S
        for i, now_s in enumerate(arrival):
            if warming:
                view.candidates = _up(ready, now_s)
                warming = now_s < last_ready
            if draw is not None:
                seen = draw(view.candidates)
            for r in seen:
                if quiet[r] < now_s:
                    quiet_s, least[r] = send[r](now_s - ahead_s)
                    quiet[r] = quiet_s if quiet_s > now_s else now_s
                    if finished := all_finished[r]:
                        load[r] -= len(finished)
                        if not fewest:
                            for j in finished:
                                tokens[r] -= total[j]
                        finished.clear()
            if draw is not None:
                r = seen[0]
                for other in seen:
                    if load[other] < load[r]:
                        r = other
            elif shortest:
                r = load.index(min(load))
            else:
                view.now_s = now_s
                r = route(view, i)
                if not 0 <= r < size:
                    raise ValueError(
                        f"router must return a replica from 0 to {size - 1}, got {r!r}"
                    )
                tokens[r] += total[i]
            replica[i] = r
            queues[r].append(i)
            load[r] += 1
            left = steps[i]
            if left < least[r]:
                # Whoever comes later and is as long leaves later still.
                leaves_s = now_s + left * lives[r].step_s - ahead_s
                if leaves_s < quiet[r]:
                    least[r] = left
                    if leaves_s <= now_s:
                        leaves_s, least[r] = now_s, 0
                    quiet[r] = leaves_s
        for going in send:
            going(math.inf)
    # Otherwise answers bring who comes: `later`, a heap. An entry in the heap of replicas is
    # stale if that one is quiet until another instant.
    events = [(math.inf, r) for r in everybody]
    later = work.first or []
    heapify(later)
    while next_of is not None:
        quiet_s, r = events[0]
        if quiet[r] != quiet_s:
            heappop(events)
        elif later and later[0][0] <= quiet_s + SAME_INSTANT_S:
            now_s, i = heappop(later)
            view.now_s = now_s
            if warming:
                view.candidates = _up(ready, now_s)
                warming = now_s < last_ready
            r = route(view, i)
            if not 0 <= r < size:
                raise ValueError(f"router must return a replica from 0 to {size - 1}, got {r!r}")
            replica[i] = r
            queues[r].append(i)
            load[r] += 1
            tokens[r] += total[i]
            arrival[i] = now_s
            in_turn[i], by_turn[len(sent)] = len(sent), i
            sent.append(i)
            if steps[i] < least[r]:
                quiet[r], least[r] = now_s, 0
                heappush(events, (now_s, r))
        elif quiet_s == math.inf:
            break
        else:
            quiet[r], least[r] = send[r](quiet_s)
            heapreplace(events, (quiet[r], r))
            for i in all_finished[r]:
                load[r] -= 1
                tokens[r] -= total[i]
                if (follower := next_of(i, finish[i])) is not None:
                    heappush(later, follower)
            all_finished[r].clear()

    order: IntArray | slice = slice(None)
    requests, arrival_s = asked, asked.arrival_s
    if next_of is not None:
        order, arrival_s = np.array(sent), np.array(arrival)
        requests = _arrived(asked, order, arrival_s)
    return FleetResult(
        requests=requests,
        start_s=frozen(np.array(shared.start)[order]),
        first_token_s=frozen(np.array(shared.first_token)[order]),
        finish_s=frozen(np.array(shared.finish)[order]),
        replica=frozen(np.array(replica)[order]),
        sent=frozen(np.arange(n)[order]),
        _runs=tuple(
            partial(_alone, asked, arrival_s, server, one)
            for server, one in zip(servers, group, strict=True)
        ),
    )


def _arrived(asked: Requests, chosen: IntArray, arrival_s: FloatArray) -> Requests:
    """Return the chosen requests with the instants at which they came."""
    hashes = asked.block_hashes
    return Requests(
        arrival_s[chosen],
        asked.prompt_tokens[chosen],
        asked.output_tokens[chosen],
        None if asked.priority is None else asked.priority[chosen],
        None if hashes is None else [hashes[i] for i in chosen.tolist()],
        asked.hash_block_tokens,
    )


def _alone(
    asked: Requests, arrival_s: FloatArray, server: LLMServer, one: _Replica
) -> LLMResult | None:
    """Return what one replica did as the run of a server of its own."""
    chosen = one.live.queue
    if not chosen:
        return None
    requests = _arrived(asked, np.array(chosen), arrival_s)
    place = {i: k for k, i in enumerate(chosen)}
    plan = make_plan(requests, server, None)
    return result_of(requests, server, plan, one.outcome.of(chosen, place))


@dataclass(frozen=True, eq=False, kw_only=True)
class DisaggregatedResult(Served):
    """One run of prefill and decode on instances of their own.

    Attributes
    ----------
    requests : Requests
        What was asked.
    start_s, first_token_s, finish_s : numpy.ndarray
        When each request's prefill began, when it had its first token, and its last.
        Read-only.
    prefill, decode : FleetResult or None
        What the two kinds of instances did, each as a fleet of its own; None if no answer
        has a second token. A request "comes" to the second when its cache has arrived.
    first_counted : int
        The first request that statistics count, see `without_warmup`.
    """

    prefill: FleetResult
    decode: FleetResult | None


def simulate_disaggregated(
    requests: Requests,
    prefill: LLMServer,
    decode: LLMServer,
    prefill_replicas: int = 1,
    decode_replicas: int = 1,
    *,
    transfer_s: float = 0.0,
    transfer_per_token_s: float = 0.0,
    prefill_router: str | Router = "round_robin",
    decode_router: str | Router = "least_loaded",
    rng: np.random.Generator | None = None,
) -> DisaggregatedResult:
    """Serve requests with prefill and decode on separate instances.

    Parameters
    ----------
    requests : Requests
        What comes when.
    prefill, decode : LLMServer
        The policies of the two kinds of instances.
    prefill_replicas, decode_replicas : int, optional
        How many of each, at least 1.
    transfer_s, transfer_per_token_s : float, optional
        Time to move a prompt's cache: a constant, and per token of the prompt, at least 0.
    prefill_router, decode_router : str or callable, optional
        As for `simulate_fleet`.
    rng : numpy.random.Generator, optional
        Source of randomness of the routers.

    Returns
    -------
    DisaggregatedResult
        Latencies of every request, and each kind's own run.

    Raises
    ------
    ValueError
        If a value is out of range or a request is larger than a KV cache.

    Notes
    -----
    The prefill gives the first token; the second comes from the decode instance, after the
    transfer and whatever wait there is. Transfers do not wait for one another. A request that
    is thrown out of a full cache is recomputed where it decodes.

    References
    ----------
    Zhong et al. (2024), "DistServe: Disaggregating Prefill and Decoding for
    Goodput-optimized Large Language Model Serving", OSDI 2024, arXiv:2401.09670. Patel et al.
    (2024), "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024,
    arXiv:2311.18677.

    Examples
    --------
    A prefill of 50 ms, a transfer of 5 ms, then steps of 10 ms:

    >>> from servemath_helpers.sim import LinearStep, LLMServer, Requests
    >>> step = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-4,
    ...                   per_context_token_s=0)
    >>> server = LLMServer(step_time=step)
    >>> run = simulate_disaggregated(Requests([0.0], 400, 3), server, server, transfer_s=0.005)
    >>> round(float(run.ttft_s[0]), 3), round(float(run.e2e_s[0]), 3)
    (0.05, 0.075)
    """
    if not isinstance(requests, Requests):
        raise ValueError(f"requests must be Requests, got {requests!r}")
    constant = finite_non_negative("transfer_s", transfer_s)
    each = finite_non_negative("transfer_per_token_s", transfer_per_token_s)
    prompts_only = Requests(
        requests.arrival_s,
        requests.prompt_tokens,
        1,
        requests.priority,
        requests.block_hashes,
        requests.hash_block_tokens,
    )
    first = simulate_fleet(prompts_only, prefill, prefill_replicas, router=prefill_router, rng=rng)
    finish = first.finish_s.copy()
    more = np.flatnonzero(requests.output_tokens > 1)
    second = None
    if more.size:
        come = finish[more] + constant + each * requests.prompt_tokens[more]
        order = np.argsort(come, kind="stable")
        more, come = more[order], come[order]
        rest = Requests(
            come,
            requests.prompt_tokens[more],
            requests.output_tokens[more],
            None if requests.priority is None else requests.priority[more],
        )
        plain = replace(decode, prefix_cache_tokens=0)
        servers = _servers(plain, decode_replicas)
        second = _together(
            _workload(rest, servers),
            servers,
            _route(decode_router, rng),
            [0.0] * len(servers),
            computed=True,
        )
        finish[more] = second.finish_s
    return DisaggregatedResult(
        requests=requests,
        start_s=first.start_s,
        first_token_s=first.first_token_s,
        finish_s=frozen(finish),
        prefill=first,
        decode=second,
    )
