"""Chapter 4: queues from what one arrival meets, states counted one by one, clocks that tick."""

from __future__ import annotations

import functools
import itertools
import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

from servemath_helpers.deep.engine import Arguments, Deep, Dice, Unasked, exercise
from servemath_helpers.deep.exactly import (
    above,
    apart,
    asked,
    even,
    few_bits,
    from_,
    read,
    two_to_the,
)

__all__: list[str] = []

_NEGATIVE = (-0.125, -7)
_NOT_ABOVE_0 = (0, *_NEGATIVE)


@exercise("littles_gauge")
def _littles_gauge(deep: Deep) -> None:
    def whole(dice: Dice) -> Arguments:
        rate, stay, size = dice.whole(0, 60) / 4, dice.whole(0, 40) / 8, dice.whole(0, 30)
        held = rate * stay * size
        return {
            "lam": rate,
            "W": stay,
            "bytes_per_req": size,
            "ram_bytes": dice.choice((0, held, held / 2, held + 1, 2 * held)),
        }

    def any_size(dice: Dice) -> Arguments:
        rate, stay = dice.choice((0.0037, 0.71, 13.7)), dice.choice((0.00021, 0.3, 2.9))
        size = dice.choice((0.0003, 7e5, 3.3e8))
        room = rate * stay * size * dice.choice((0.3, 0.9, 1.7, 5))
        return {"lam": rate, "W": stay, "bytes_per_req": size, "ram_bytes": room}

    def inside(rate: Fraction, stay: Fraction) -> Fraction:
        """Let one come each 1 / rate seconds; average who is in, over the time between two."""
        if rate == 0:
            return rate
        every, present, age = 1 / rate, Fraction(0), Fraction(0)
        while age < stay:
            present += min(every, stay - age)
            age += every
        return present / every

    @asked(lam=from_(0), W=from_(0), bytes_per_req=from_(0), ram_bytes=from_(0))
    def gauge(lam: float, W: float, bytes_per_req: float, ram_bytes: float) -> Arguments:
        size, room, stay = Fraction(bytes_per_req), Fraction(ram_bytes), Fraction(W)
        held, at_one = (size * inside(Fraction(rate), stay) for rate in (lam, 1))
        apart(held, [room], few_bits(lam, W, bytes_per_req, ram_bytes))
        return {
            "L": inside(Fraction(lam), stay),
            "mem_bytes": held,
            "fits": not room < held,
            "lam_max": room / at_one if at_one else math.inf,
        }

    words = "the numbers are those of the statement, by their keys"
    parts = {
        "L": "L is the mean number inside, lam W, whatever the memory, and not rounded",
        "mem_bytes": "memory is that of all who are inside on average, in bytes",
        "fits": "it fits up to exactly full: True or False",
        "lam_max": "lam_max is the rate that fills the memory, not rounded; math.inf where a "
        "request holds nothing, and 0 without memory",
    }
    edges = [{"lam": 3, "W": 0, "bytes_per_req": 2, "ram_bytes": 0}]
    deep.agrees(whole, gauge, words, parts=parts, edges=edges)
    deep.agrees(any_size, gauge, words, parts=parts, cases=20)
    deep.refuses(
        {"lam": 2, "W": 9, "bytes_per_req": 4, "ram_bytes": 50},
        dict.fromkeys(("lam", "W", "bytes_per_req", "ram_bytes"), _NEGATIVE),
        "no argument is negative",
    )


@exercise("lindley_waits")
def _lindley_waits(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        n, tick = dice.whole(1, 7), dice.choice((1, 0.25, 0.000001, 0.1))
        part = 1 if tick == 1 else 8
        arrivals = sorted(dice.whole(0, 14 * part) for _ in range(n))
        services = [dice.whole(0, 5 * part) for _ in range(n)]
        return {
            "arrivals": dice.sequence([round(time * tick / part, 9) for time in arrivals]),
            "services": dice.sequence([round(time * tick / part, 9) for time in services]),
        }

    def busy_periods(arrivals: Any, services: Any) -> list[Fraction]:
        came = [Fraction(float(time)) for time in arrivals]
        took = [Fraction(float(time)) for time in services]
        if len(came) != len(took) or min(came + took, default=0) < 0 or came != sorted(came):
            raise ValueError("arrivals in order, a service for each, and no negative time")
        # Since some arrival the server has had no pause: the wait is what is left of that work.
        return [
            max(
                came[first] + sum(took[first:own], start=Fraction(0)) - came[own]
                for first in range(own + 1)
            )
            for own in range(len(came))
        ]

    deep.agrees(
        draw,
        busy_periods,
        "service starts when all who came before are done, or at once, in the order given",
        edges_say=[
            (lambda arrivals, services: len(arrivals) == 0, "without requests there is no wait: []")
        ],
        edges=[
            {"arrivals": [], "services": []},
            {"arrivals": [2, 2, 2], "services": [3, 0, 1]},
            {"arrivals": [5, 4, 6], "services": [1, 1, 1]},
            {"arrivals": [1, 3, 2], "services": [1, 1, 1]},
            {"arrivals": [3, 3], "services": [2]},
            {"arrivals": [3], "services": [2, 2]},
        ],
        cases=80,
    )
    deep.refuses(
        {"arrivals": [1, 2, 4], "services": [2, 5, 3]},
        {
            "arrivals": ([-1, 2, 4], [1, 2], [1, 2, 4, 5], [2, 1, 4], [1, 4, 2], []),
            "services": ([2, 5], [2, 5, 3, 1], [2, -5, 3], [2, 5, -0.5], []),
        },
        "arrivals are in order, each has a service, and no time is negative",
    )


@exercise("littles_from_trace")
def _littles_from_trace(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        unit, begins = dice.choice((1, 0.125, 0.37)), [dice.whole(0, 30) for _ in range(5)]
        begins = begins[: dice.whole(1, 5)]
        ends = [begin + dice.choice((0, 1, 1)) * dice.whole(1, 25) for begin in begins]
        return {
            "arrivals": [unit * begin for begin in begins],
            "departures": [unit * end for end in ends],
        }

    def count(arrivals: list[float], departures: list[float]) -> Arguments:
        if len(arrivals) != len(departures):
            raise ValueError("a departure for each")
        rows = [(Fraction(a), Fraction(d)) for a, d in zip(arrivals, departures, strict=True)]
        ends = [end for _, end in rows]
        if any(not 0 <= a <= d for a, d in rows) or not any(ends):
            raise ValueError("nobody leaves before coming, and the window has a length")
        moments = sorted({Fraction(0), *(time for row in rows for time in row)})
        there = Fraction(0)
        for start, stop in itertools.pairwise(moments):
            present = [row for row in rows if row[0] <= start and stop <= row[1]]
            there += len(present) * (stop - start)
        spent = sum((d - a for a, d in rows), start=Fraction(0))
        return {
            "lam": len(rows) / moments[-1],
            "W": spent / len(rows),
            "L": there / moments[-1],
        }

    deep.agrees(
        draw,
        count,
        "the window is from time 0 to the last departure, in whatever order requests leave",
        parts={
            "lam": "lam is the requests over the window, which is from 0 to the last departure",
            "W": "W is the mean of all stays, each from arrival to departure",
            "L": "L is the number present, averaged over the time of the window: from 0 to the "
            "last departure",
        },
    )
    deep.refuses(
        {"arrivals": [1, 2, 4], "departures": [2, 9, 5]},
        {
            "arrivals": ([], [1, 2], [1, 2, 4, 4], [3, 2, 4], [-1, 2, 4]),
            "departures": ([], [2, 9], [2, 9, 5, 5], [2, 9, 3]),
        },
        "there is a request, none leaves before it comes, and no time is negative",
    )
    deep.refuses(
        {"arrivals": [0, 0], "departures": [0, 3]},
        {"departures": ([0, 0], [-1, 3])},
        "the window has a length",
    )


@exercise("pk_wait")
def _pk_wait(deep: Deep) -> None:
    def quarters(dice: Dice) -> Arguments:
        return {
            "lam": dice.choice((0, 0.25, 1, 2, 4)),
            "ES": dice.choice((0, 0.25, 0.5, 1, 2)),
            "cs2": dice.choice((0, 0.5, 1, 4)),
        }

    def draw(dice: Dice) -> Arguments:
        mean = dice.choice((0.0004, 0.03, 1.7, 12))
        load = dice.choice((dice.random(), dice.random(), 0.9997, 1.4))
        return {
            "lam": load / mean,
            "ES": mean,
            "cs2": dice.choice((0, 0.16, 0.5, 2.25, 7, 30)),
        }

    @asked(lam=from_(0), ES=from_(0), cs2=from_(0))
    def met(lam: float, ES: float, cs2: float) -> Any:
        """Let service be nothing or long, with this mean and variability, and ask who arrives."""
        rate, mean = Fraction(lam), Fraction(ES)
        apart(rate * mean, [Fraction(1)], few_bits(lam, ES))
        if not rate * mean < 1:
            return math.inf
        long = mean + mean * Fraction(cs2)
        if long == 0:
            return 0
        in_a_long_one = rate * (mean / long) * long
        # a tenth, three tenths, ... of it are left, one as likely as the other
        left = sum((part * long / 10 for part in (1, 3, 5, 7, 9)), start=Fraction(0)) / 5
        return even(lambda wait: in_a_long_one * left + rate * wait * mean - wait)

    words = (
        "an arrival waits for what is left of the service in progress and for all who queue, lam "
        "times the wait of them; its own service is not counted, and cs2 is squared already"
    )
    edges_say = [
        (lambda lam, ES, cs2: lam * ES >= 1, "from full load on waits have no end: math.inf")
    ]
    deep.agrees(quarters, met, words, edges_say=edges_say)
    deep.agrees(draw, met, words, edges_say=edges_say)
    deep.refuses(
        {"lam": 0.5, "ES": 1.25, "cs2": 2},
        dict.fromkeys(("lam", "ES", "cs2"), _NEGATIVE),
        "no argument is negative",
    )
    deep.refuses(
        {"lam": 3, "ES": 1.25, "cs2": 2},
        {"cs2": _NEGATIVE, "lam": (-3,)},
        "no argument is negative, also above full load",
    )


def _uneven_wait(rho: Any, ES: Any, ca2: Any, cs2: Any) -> Fraction:
    """Return the wait that keeps itself up: the busy share meets it, and a part of a service."""
    busy, variability = Fraction(rho), (Fraction(ca2) + Fraction(cs2)) / 2
    return even(lambda wait: busy * (variability * Fraction(ES) + wait) - wait)


@exercise("kingman_wait", "implied_cs")
def _kingman_wait(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        load = round(dice.random(), 3)
        return {
            "rho": dice.choice((0, load, load, load, 0.9996, 1, 1.3)),
            "ES": dice.choice((0, 0.00017, 0.4, 25)),
            "ca2": dice.choice((0, 0.00123, 0.7, 1, 3, 16)),
            "cs2": dice.choice((0, 0.00321, 0.25, 1, 2, 9)),
        }

    @asked(rho=from_(0), ES=from_(0), ca2=from_(0), cs2=from_(0))
    def balance(rho: float, ES: float, ca2: float, cs2: float) -> Any:
        apart(Fraction(rho), [Fraction(1)], exact=True)
        return _uneven_wait(rho, ES, ca2, cs2) if rho < 1 else math.inf

    deep.agrees(
        draw,
        balance,
        "the wait is the product of rho / (1 - rho), the mean of ca2 and cs2, and ES",
        edges_say=[(lambda rho, **_: rho >= 1, "from full load on waits have no end: math.inf")],
    )

    def measured(dice: Dice) -> Arguments:
        load, mean = dice.choice((0.5, 0.5, 0.13, 0.87, 0.9996)), dice.choice((0.25, 1, 4, 0.0003))
        ca2 = dice.choice((0, 0.25, 1, 3))
        arrivals_alone = float(_uneven_wait(load, mean, ca2, 0))
        wait = arrivals_alone * dice.choice((0.5, 0.999, 1, 1, 1.5, 4))
        if ca2 == 0:
            wait = mean * dice.choice((0, 0.5, 3))
        return {"wait": wait, "rho": load, "ES": mean, "ca2": ca2}

    @asked(wait=from_(0), rho=lambda load: 0 < load < 1, ES=above(0), ca2=from_(0))
    def solved(wait: float, rho: float, ES: float, ca2: float) -> float | None:
        square = even(lambda cs2: _uneven_wait(rho, ES, ca2, cs2) - Fraction(wait))
        exact = few_bits(wait, ca2) and two_to_the(rho, ES) and rho == 0.5
        apart(square + Fraction(ca2), [Fraction(ca2)], exact)
        return None if square < 0 else math.sqrt(square)

    deep.agrees(
        measured,
        solved,
        "with the c_s that it returns, squared, the other function gives the wait again; None "
        "where no variability of service gives so short a wait, 0 where none is needed",
        of="implied_cs",
    )
    deep.refuses(
        {"rho": 0.25, "ES": 3, "ca2": 2, "cs2": 0.5},
        dict.fromkeys(("rho", "ES", "ca2", "cs2"), _NEGATIVE),
        "no argument is negative",
    )
    deep.refuses(
        {"wait": 6, "rho": 0.25, "ES": 3, "ca2": 2},
        {
            "wait": _NEGATIVE,
            "rho": (0, 1, 1.0, 1.125, 7, -0.125),
            "ES": _NOT_ABOVE_0,
            "ca2": _NEGATIVE,
        },
        "nothing is negative, rho lies between 0 and 1, and ES is above 0",
        of="implied_cs",
    )


@exercise("batch_latency", "best_batch")
def _batch_latency(deep: Deep) -> None:
    def full(dice: Dice) -> Arguments:
        size, rate = dice.choice((1, 2, 4, 8)), dice.choice((0.25, 0.5, 1, 2))
        each = dice.choice((0, 0.25, 0.5))
        spare = size / rate - size * each - dice.choice((0, 0, 0.5, 1, -1))
        return {"B": size, "lam": rate, "alpha": max(0, spare), "beta": each}

    def draw(dice: Dice) -> Arguments:
        size, each = dice.whole(1, 30), dice.choice((0, 0.3, 2.1))
        start = dice.choice((0, 0.7, 12, 55))
        served = start + size * each
        load = dice.choice((dice.random(), dice.random(), 0.9997, 1.2))
        rate = load * size / served if served else 0.3
        return {"B": size, "lam": rate, "alpha": start, "beta": each}

    @asked(B=from_(1), lam=above(0), alpha=from_(0), beta=from_(0))
    def members(B: int, lam: float, alpha: float, beta: float) -> Any:
        gap, served = 1 / Fraction(lam), Fraction(alpha) + B * Fraction(beta)
        load = served / (gap * B)
        apart(load, [Fraction(1)], few_bits(lam, alpha, beta) and two_to_the(B))
        if not load < 1:
            return math.inf
        until_full = gap * sum(range(B)) / B  # of each member: how many are still to come
        return until_full + _uneven_wait(load, served, Fraction(1, B), 0) + served

    words = (
        "a member waits, on average, until those who come after it are there, then as Kingman "
        "has it with the batch as customer, then for the service of the whole batch"
    )
    deep.agrees(full, members, words)
    deep.agrees(draw, members, words)

    def service(dice: Dice) -> Arguments:
        call = {
            "lam": dice.choice((0.02, 0.3, 1.9, 4)),
            "alpha": dice.choice((0, 3, 20, 47)),
            "beta": dice.choice((0, 0.1, 0.4, 0.6)),
        }
        if dice.random() < 0.1:
            return call
        return {**call, "b_max": dice.choice((1, 2, dice.whole(3, 20), dice.whole(3, 20)))}

    @asked(lam=above(0), alpha=from_(0), beta=from_(0), b_max=from_(1))
    def least(lam: float, alpha: float, beta: float, b_max: int = 128) -> int | None:
        best, shortest = None, Fraction(10**30)
        for size in range(b_max, 0, -1):
            latency = members(B=size, lam=lam, alpha=alpha, beta=beta)
            if latency == math.inf:
                continue
            apart(latency, [shortest])
            if latency < shortest:
                best, shortest = size, latency
        return best

    deep.agrees(
        service,
        least,
        "of the sizes from 1 to b_max, that one included, it is the one of least latency, None "
        "if each is at full load or above",
        of="best_batch",
        edges=[{"lam": 4, "alpha": 47, "beta": 0.15, "b_max": 260}],
        cases=40,
    )
    bad = {"lam": _NOT_ABOVE_0, "alpha": _NEGATIVE, "beta": _NEGATIVE}
    words = "lam is above 0, times are not negative, a size is at least 1"
    rates = {"lam": 0.5, "alpha": 1, "beta": 0.25}
    deep.refuses({"B": 3, **rates}, {"B": (0, -3), **bad}, words)
    deep.refuses({**rates, "b_max": 3}, {**bad, "b_max": (0, -3)}, words, of="best_batch")


@exercise("erlang_b")
def _erlang_b(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        load = dice.choice((0, 0.0007, round(20 * dice.random(), 2), dice.whole(1, 60)))
        return {"c": dice.whole(0, 30), "a": load}

    @asked(c=from_(0), a=from_(0))
    def full_house(c: int, a: float) -> float:
        """Weigh every number of busy servers: as many move up from it as move down to it."""
        with localcontext(Context(prec=30)):
            weight = together = Decimal(1)
            for busy in range(c):
                weight = weight * Decimal(a) / Decimal(busy + 1)
                together += weight
            return float(weight / together)

    deep.agrees(
        draw,
        full_house,
        "the share of arrivals that are lost is the share of time in which all servers are busy, "
        "for any number of servers and any load",
        edges=[{"c": 0, "a": 0}, {"c": 700, "a": 650}, {"c": 3500, "a": 3600.5}],
    )
    deep.refuses(
        {"c": 4, "a": 2.5},
        {"c": (-1, -4), "a": (-0.5, -2.5)},
        "neither servers nor load are negative",
    )


@functools.lru_cache(maxsize=2**14)
def _found(a: float, c: int) -> tuple[float, float]:
    """Return the share of arrivals that have to wait, and the mean number there, state by state."""
    weight, total, waiting, number = 1.0, 0.0, 0.0, 0.0
    n = 0
    while n < c or weight * (n + 1) > 1e-18 * total:
        total += weight
        number += weight * n
        if n >= c:
            waiting += weight
        n += 1
        weight *= a / min(n, c)
    return waiting / total, number / total


@functools.lru_cache(maxsize=2**14)
def _late(x: float, a: float, c: int) -> float:
    """Return the share of requests above x service times, by a clock that ticks at random.

    At each tick of a fast Poisson clock who waits may go into service, and who is served leaves.
    """
    ends = c - a
    fast = max(1.0, ends)
    mean = fast * x  # ticks in that time
    waits = _found(a, c)[0]
    served, chance, late = 1 - waits, math.exp(-mean), 0.0
    for ticks in range(1, int(mean + 12 * math.sqrt(mean)) + 40):
        late += chance * (waits + served)
        begin = waits * ends / fast
        waits, served = waits - begin, served - served / fast + begin
        chance *= mean / ticks
    return late


@exercise("max_utilization")
def _max_utilization(deep: Deep) -> None:
    promises = ("0.9", "0.95", "0.99", "0.5", "0.9996")

    def call_of(dice: Dice, least: float, c: int) -> dict[str, Any]:
        q, S = dice.choice(promises), dice.choice((0.0003, 1, 20, 2.5))
        means = -math.log1p(-float(q))
        call: dict[str, Any] = {"S": S, "budget": S * means * dice.choice((least, 1.1, 1.3, 2, 3))}
        if q != "0.99" or dice.random() < 0.3:
            call["q"] = dice.choice((q, float(q)))
        if c != 1 or dice.random() < 0.3:
            call["c"] = c
        return call

    def one(dice: Dice) -> Arguments:
        return call_of(dice, dice.choice((0, 0.7)), 1)

    def pool(dice: Dice) -> Arguments:
        return call_of(dice, 0.8, dice.choice((2, 2, 3, 4, 6)))

    @asked(S=above(0), budget=from_(0), q=above(0), c=from_(1))
    def hottest(S: float, budget: float, q: Any = "0.99", c: int = 1) -> float:
        x, allowed = budget / S, float(1 - read(q))
        if allowed <= 0 or c > 12 or x > 40 or abs(math.exp(-x) / allowed - 1) < 1e-3:
            raise Unasked
        if math.exp(-x) > allowed:
            return 0.0
        cool, hot = 0.0, 1.0
        while hot - cool > (1e-15 if c == 1 else 1e-8):
            rho = (cool + hot) / 2
            # alone, a server lets the time in the system end at a constant rate
            late = math.exp((rho - 1) * x) if c == 1 else _late(x, rho * c, c)
            if late > allowed:
                hot = rho
            else:
                cool = rho
        return cool

    words = (
        "it is the largest load of each server at which no more than 1 - q of the requests take "
        "longer than the budget, waiting and service, and 0 where service alone takes longer"
    )
    deep.agrees(one, hottest, words)
    deep.agrees(
        pool,
        hottest,
        words,
        edges=[{"S": 1, "budget": 4.75, "c": 2}, {"S": 1, "budget": 4.9, "c": 3}],
        cases=14,
        rel_tol=0,
        abs_tol=1e-6,
    )
    bad = {
        "S": _NOT_ABOVE_0,
        "budget": _NEGATIVE,
        "q": (0, 1, "0", "1", 1.125, "90", -0.5, "-2"),
        "c": (0, -2),
    }
    words = "S is above 0, the budget not negative, q between 0 and 1, c at least 1"
    deep.refuses({"S": 3, "budget": 30, "q": "0.9", "c": 1}, bad, words)
    deep.refuses({"S": 3, "budget": 1, "q": "0.9", "c": 2}, bad, words)


@exercise("achieved_fps", "edge_batch_ok")
def _achieved_fps(deep: Deep) -> None:
    rates = (24, 30, 48, 60, 72, 90, 120, 144)
    late = (0, 0, 0.3, -0.2, 3e-5, 4e-8, 4e-9, -1e-9)

    def draw(dice: Dice) -> Arguments:
        hz = dice.choice((*rates, 0.5, 59.94))
        work = dice.whole(0, 5) + dice.choice(late)
        waiting = dice.choice((0, 0.25, 0.5, 1, 2.2)) * (1000 / hz)
        pipelined = dice.random() < 0.6
        busy = work * 1000 / hz - (0 if pipelined else waiting)
        return {
            "refresh_hz": hz,
            "compute_ms": max(0, busy),
            "wait_ms": waiting,
            "pipelined": pipelined,
        }

    @asked(refresh_hz=above(0), compute_ms=from_(0), wait_ms=from_(0))
    def refreshes(refresh_hz: float, compute_ms: float, wait_ms: float, pipelined: bool) -> Any:
        period, left = 1000 / Fraction(refresh_hz), Fraction(compute_ms)
        if not pipelined:
            left += Fraction(wait_ms)
        shown_at = 1
        while left > period:
            if left - period < period / 10**9:
                break
            left -= period
            shown_at += 1
        return refresh_hz / Fraction(shown_at)

    deep.agrees(
        draw,
        refreshes,
        "a frame is shown at the first refresh after its work, at the earliest one period on; "
        "what exceeds a whole number of periods by less than a billionth of one does not count",
        cases=90,
    )

    def batch(dice: Dice) -> Arguments:
        n, scale = dice.whole(1, 12), dice.choice((1, 1, 0.0000001))
        alpha, beta = dice.whole(0, 40) / 4 * scale, dice.whole(0, 8) / 4 * scale
        needs = alpha + n * beta
        return {
            "n": n,
            "alpha": alpha,
            "beta": beta,
            "deadline": needs * dice.choice((1, 1, 1 + 1e-6, 1 - 1e-6, 0.7, 1.5)),
        }

    @asked(n=from_(1), alpha=from_(0), beta=from_(0), deadline=from_(0))
    def in_time(n: int, alpha: float, beta: float, deadline: float) -> bool:
        clock = Fraction(alpha)
        for _input in range(n):
            clock += Fraction(beta)
        apart(clock, [Fraction(deadline)], few_bits(alpha, beta, deadline))
        return not clock > deadline

    deep.agrees(
        batch,
        in_time,
        "the batch takes alpha once and beta for each input, and may be done exactly at the "
        "deadline; the answer is True or False",
        of="edge_batch_ok",
        edges=[{"n": 2, "alpha": 0, "beta": 0, "deadline": 0}],
    )
    for pipelined in (True, False):
        deep.refuses(
            {"refresh_hz": 50, "compute_ms": 30, "wait_ms": 45, "pipelined": pipelined},
            {"refresh_hz": _NOT_ABOVE_0, "compute_ms": _NEGATIVE, "wait_ms": _NEGATIVE},
            "refresh_hz is above 0 and no time is negative, one that plays no part neither",
        )
    deep.refuses(
        {"n": 4, "alpha": 3, "beta": 2, "deadline": 20},
        {"n": (0, -4), **dict.fromkeys(("alpha", "beta", "deadline"), _NEGATIVE)},
        "n is at least 1 and no time is negative",
        of="edge_batch_ok",
    )


@exercise("capacity_plan")
def _capacity_plan(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        S = dice.choice((0.0004, 0.25, 1, 3))
        load = dice.choice((0, 0.4, 1, 2, 5, 8 * dice.random(), 8 * dice.random()))
        size = dice.choice((0, 0.0003, 1, 5e8))
        budget = dice.choice((1, 3, 4.2, 4.607, 4.62, 4.7, 5, 6, 8, 13, 30)) * S
        return {
            "lam": load / S,
            "S": S,
            "p99_budget": budget,
            "bytes_per_req": size,
            "ram_bytes": load * size * dice.choice((0.4, 0.95, 1.1, 1.6, 9)),
            "usd_h": dice.choice((0, 2, 1.25, "3.40", "0.0125")),
        }

    @asked(
        lam=from_(0),
        S=above(0),
        p99_budget=from_(0),
        bytes_per_req=from_(0),
        ram_bytes=from_(0),
        usd_h=from_(0),
    )
    def smallest(
        lam: float, S: float, p99_budget: float, bytes_per_req: float, ram_bytes: float, usd_h: Any
    ) -> Arguments | None:
        load, x = lam * S, p99_budget / S
        floor_x = -math.log(0.01)
        if load > 12 or 0 < load < 1e-6 or abs(x / floor_x - 1) < 1e-4:
            raise Unasked
        if x < floor_x:
            return None
        pool = 1
        while load >= pool or _late(min(x, 60), load, pool) > 0.01:
            pool += 1
        apart(load, [pool, pool - 1], exact=few_bits(lam, S))
        for servers in (pool - 1, pool):
            if servers > load:
                apart(_late(min(x, 60), load, servers), [0.01])
        low, high = 0.0, min(x, 60)
        while high - low > 1e-10 * high:
            halfway = (low + high) / 2
            if _late(halfway, load, pool) > 0.01:
                low = halfway
            else:
                high = halfway
        number = _found(load, pool)[1]
        apart(number * bytes_per_req, [ram_bytes], exact=load == 0)
        return {
            "c": pool,
            "rho": load / pool,
            "p99": high * S,
            "L": number,
            "mem_ok": not number * bytes_per_req > ram_bytes,
            "cost": sum(read(usd_h) for _server in range(pool)),
        }

    deep.agrees(
        draw,
        smallest,
        "None if service alone breaks the budget, else the plan of the least pool that keeps it",
        parts={
            "c": "c is the least number of servers with which no more than a hundredth of the "
            "requests take longer than the budget, waiting and service",
            "rho": "rho is the load of each server: lam S over c",
            "p99": "p99 is the time, waiting and service, that a hundredth of the requests exceed",
            "L": "L is the mean number inside, waiting or served",
            "mem_ok": "memory has to hold all who are inside on average, exactly full included",
            "cost": "every server is paid",
        },
        cases=40,
        rel_tol=1e-7,
    )
    good = {"lam": 2, "S": 0.5, "bytes_per_req": 3, "ram_bytes": 9, "usd_h": 1}
    bad = {
        **dict.fromkeys(("lam", "p99_budget", "bytes_per_req", "ram_bytes"), _NEGATIVE),
        "S": _NOT_ABOVE_0,
        "usd_h": (-0.125, "-0.125", -7),
    }
    for budget in (5, 1):
        deep.refuses(
            {**good, "p99_budget": budget},
            bad,
            "S is above 0 and nothing else is negative, also where no pool keeps the promise",
        )
