"""Chapter 1: requests that come and go one by one, and counts instead of formulas."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from servemath_helpers.deep.engine import (
    Arguments,
    Deep,
    Dice,
    Unasked,
    close,
    exercise,
    root,
)
from servemath_helpers.deep.exactly import above, asked, even, few_bits, from_
from servemath_helpers.quantities import Exact, exact

__all__: list[str] = []


@exercise("littles_law")
def _littles_law(deep: Deep) -> None:
    def both(dice: Dice) -> Arguments:
        return {"lam": dice.number(0, 40), "W": dice.number(0, 40)}

    def present(lam: float, W: float) -> float:
        """Let one request come every 1 / lam seconds, and add up who is there meanwhile."""
        if lam == 0 or W == 0:
            return 0
        gap, there = 1 / lam, 0.0
        for came_before in range(math.ceil(W / gap) + 1):
            left = W - came_before * gap
            there += min(max(left, 0), gap)
        return there / gap

    deep.agrees(
        both,
        present,
        "L is the mean number there when lam requests come each second and stay for W seconds",
        edges=[{"lam": 0, "W": 3}, {"lam": 2, "W": 0}, {"lam": 0, "W": 0}],
        edges_say=[
            (
                lambda lam, W: lam == 0 or W == 0,
                "0 is a value, not a missing one: where nobody comes, or nobody stays, L is 0",
            )
        ],
    )
    for name, missing in (("lam", "W"), ("W", "lam")):

        def draw(dice: Dice, name: str = name) -> Arguments:
            return {name: dice.number(0.1, 40), "L": dice.number(0, 40)}

        def even_out(**given: float) -> Fraction:
            """Find what makes L as large as it is, from a balance."""
            one, there = (Fraction(value) for value in given.values())
            return even(lambda other: one * other - there)

        deep.agrees(
            draw,
            asked(**{name: above(0), "L": from_(0)})(even_out),
            f"{missing} is the one that is missing: with it, L is the product of lam and W",
            edges=[{name: 4, "L": 0}],
            edges_say=[
                (
                    lambda L, **_: L == 0,
                    f"L = 0 is a value, not a missing one: nobody is there, so {missing} is 0",
                )
            ],
            cases=20,
        )
    words = "exactly one is missing, none is negative, and nothing is divided by 0"
    deep.refuses({"lam": 7, "W": 4}, {"lam": [None, -7], "W": [None, -0.5], "L": [28, 0]}, words)
    deep.refuses({"lam": 7, "L": 4}, {"lam": [0, -7], "L": [None, -4], "W": [0]}, words)
    deep.refuses({"W": 7, "L": 4}, {"W": [0, -7], "L": [None, -4], "lam": [0]}, words)
    deep.refuses({"W": 7, "L": 0}, {"W": [0]}, words)
    deep.refuses({"lam": 0, "W": 7}, {"W": [-7, None]}, words)


@exercise("mm1")
def _mm1(deep: Deep) -> None:
    names = ("rho", "W", "Wq", "L", "Lq", "p99")

    def stable(dice: Dice) -> Arguments:
        mu = dice.number(0.5, 200)
        return {"lam": dice.number(0, 0.8) * mu, "mu": mu}

    def loads(dice: Dice) -> Arguments:
        mu = dice.number(0.5, 200)
        return {"lam": dice.number(0.001, 0.999) * mu, "mu": mu}

    def balanced(lam: float, mu: float) -> dict[str, float]:
        """Find how often n are there, from the balance of flows up and down, and add up."""
        if mu <= 0 or lam < 0:
            raise ValueError("A rate of arrivals is at least 0, one of service above 0.")
        if lam > 0.85 * mu:
            raise Unasked
        often = [1.0]
        while often[-1] > 1e-17:
            often.append(often[-1] * lam / mu)  # up from n as often as down from n + 1
        often = [weight / sum(often) for weight in often]

        def longer(time_s: float) -> float:
            """Return how many are not gone by then: of n + 1 to be served, n at most are."""
            done, share, below = math.exp(-mu * time_s), 0.0, 0.0
            for n, weight in enumerate(often):
                below += done
                share += weight * below
                done *= mu * time_s / (n + 1)
            return share

        there = [*enumerate(often)]
        return {
            "rho": 1 - often[0],
            "W": sum((n + 1) / mu * weight for n, weight in there),
            "Wq": sum(n / mu * weight for n, weight in there),
            "L": sum(n * weight for n, weight in there),
            "Lq": sum((n - 1) * weight for n, weight in there if n),
            "p99": root(lambda time_s: longer(time_s) - 0.01, 0, 60 / (mu - lam)),
        }

    deep.agrees(
        stable,
        balanced,
        "the six numbers are those of the statement, by their keys",
        edges=[{"lam": 0, "mu": 4}, {"lam": 1, "mu": 2}],
        parts={
            "rho": "rho is the utilisation, the share of time in which the server is busy",
            "W": "W is the mean response time: waiting and service, 1 / mu if nobody waits",
            "Wq": "Wq is the mean wait in the queue alone: W without the service of 1 / mu",
            "L": "L is the mean number in the system, lam W by Little's law, the one served too",
            "Lq": "Lq is the mean number in the queue alone: lam Wq, and so L - rho",
            "p99": "p99 is the response time that one request in a hundred exceeds, W ln 100",
        },
        cases=20,
        rel_tol=1e-8,
    )
    deep.holds(
        loads,
        lambda mm1, lam, mu: close(
            [(got := mm1(lam, mu))[key] for key in ("L", "Lq", "W", "rho")],
            [lam * got["W"], lam * got["Wq"], got["Wq"] + 1 / mu, got["L"] - got["Lq"]],
        ),
        "Little's law holds for those in the system and for those in the queue, a stay is a wait "
        "and a service, and the one served is there a share rho of the time",
        where=lambda lam, mu: 0 <= lam < mu,
    )
    deep.holds(
        loads,
        lambda mm1, lam, mu: close(mm1(60 * lam, 60 * mu)["p99"] * 60, mm1(lam, mu)["p99"], 1e-8),
        "rates a minute instead of a second are 60 times as large, and times in minutes a 60th",
        where=lambda lam, mu: 0 <= lam < mu,
        cases=20,
    )
    deep.agrees(
        lambda dice: {"lam": dice.number(5, 30), "mu": 5},
        lambda lam, mu: {name: lam / mu if name == "rho" else math.inf for name in names},
        "from a load of 1 on the queue grows without end, exactly 1 included",
        where=lambda lam, mu: lam >= mu > 0,
        edges=[{"lam": 5, "mu": 5}, {"lam": 0.5, "mu": 0.25}],
        cases=10,
    )
    words = "lam is not negative and mu is above 0, whatever the other one is"
    deep.refuses({"lam": 2, "mu": 3}, {"lam": [-2, -0.25], "mu": [0, -3]}, words)
    deep.refuses({"lam": 0, "mu": 3}, {"mu": [0, -3]}, words)


@exercise("request_latency_ms")
def _request_latency_ms(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        queue, prefill, tpot, post = (dice.number(0, 200) for _ in range(4))
        n_out = dice.choice([0, 1, 2, dice.whole(3, 60)])
        return {"queue": queue, "prefill": prefill, "n_out": n_out, "tpot": tpot, "post": post}

    def clock(
        queue: float, prefill: float, n_out: int, tpot: float, post: float
    ) -> dict[str, float | None]:
        """Let the clock run from one event to the next, and note when tokens come."""
        now, tokens = queue, []
        now += prefill
        for number in range(n_out):
            if number:
                now += tpot
            tokens.append(now)
        return {"ttft": tokens[0] if tokens else None, "e2e": now + post}

    deep.agrees(
        draw,
        clock,
        "prefill emits the first token, each other token takes one decode step more",
        parts={
            "ttft": "ttft is the wait and the prefill, which emits the first token",
            "e2e": "e2e is ttft, a decode step for each token after the first, and the post work",
        },
        edges_say=[
            (
                lambda n_out, **_: n_out == 0,
                "without a token there is no first one, so ttft is None, and e2e is queue, prefill "
                "and post work",
            ),
            (
                lambda n_out, **_: n_out == 1,
                "prefill emits the only token: ttft is queue and prefill, no decode step follows, "
                "and e2e has the post work besides",
            ),
        ],
        edges=[
            {"queue": time, "prefill": time, "n_out": n_out, "tpot": 4, "post": 2}
            for n_out in range(4)
            for time in (5, 0)
        ],
    )
    for n_out in (0, 3):
        good = {"queue": 5, "prefill": 9, "n_out": n_out, "tpot": 4, "post": 2}
        bad = {name: [-1, -0.5] for name in good} | {"n_out": [-1, -2]}
        deep.refuses(good, bad, "no argument is negative, whether it plays a part or not")


@exercise("max_concurrent")
def _max_concurrent(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        kv = Decimal(dice.decimal(0.01, 4))
        taken = Decimal(dice.decimal(0, 60, 1)), Decimal(dice.whole(0, 9))
        beside = dice.choice(["0", "0", "1e-11", "-1e-11", "1e-21", "-1e-21", dice.decimal(-9, 9)])
        whole = kv * dice.whole(0, 60) + sum(taken) + Decimal(beside)
        parts = {"gpu_gb": max(whole, Decimal(0)), "weights_gb": taken[0]}
        parts |= {"workspace_gb": taken[1], "kv_gb": kv}
        return {name: dice.form(f"{part:f}") for name, part in parts.items()}

    def admitted(gpu_gb: Exact, weights_gb: Exact, workspace_gb: Exact, kv_gb: Exact) -> int:
        """Let one request in after another, until the next would not fit."""
        cache, used = exact(kv_gb), exact(weights_gb) + exact(workspace_gb)
        if cache <= 0 or min(map(exact, (gpu_gb, weights_gb, workspace_gb))) < 0:
            raise ValueError("Memory is not negative, and a cache is larger than 0.")
        count = 0
        while used + cache <= exact(gpu_gb):
            used, count = used + cache, count + 1
        return count

    deep.agrees(
        draw,
        admitted,
        "one more request is let in as long as its whole cache fits into what weights and "
        "workspace leave",
        edges_say=[
            (lambda **sizes: _room(**sizes) == 0, "no room is left: 0"),
            (
                lambda **sizes: _room(**sizes) < 0,
                "weights and workspace that do not fit leave no room: 0, never less",
            ),
            (
                lambda kv_gb, **sizes: (
                    _room(**sizes) % exact(kv_gb) == 0 and not _in_floats(kv_gb, *sizes.values())
                ),
                "a quotient that is exactly whole counts in full; each number is the decimal that "
                "one reads, and a float of it a little more or less, so divide exact numbers",
            ),
            (
                lambda kv_gb, **sizes: (
                    _room(**sizes) % exact(kv_gb) > Fraction(9, 10) * exact(kv_gb)
                ),
                "a cache that nearly fits does not fit: round down, and add nothing before",
            ),
        ],
        edges=[
            {"gpu_gb": "1.2", "weights_gb": 0, "workspace_gb": 0, "kv_gb": "0.4"},
            {"gpu_gb": 2.1, "weights_gb": 0, "workspace_gb": 0, "kv_gb": 0.7},
            {"gpu_gb": 1, "weights_gb": 2, "workspace_gb": 0, "kv_gb": 3},
            {"gpu_gb": 3, "weights_gb": 2, "workspace_gb": 1, "kv_gb": 3},
            {"gpu_gb": "2.1", "weights_gb": "0.3", "workspace_gb": "0.3", "kv_gb": Fraction(1, 2)},
        ],
        cases=80,
    )
    words = "no memory is negative, and kv_gb is above 0, even where nothing would fit"
    for gpu in (40, 1):
        good = {"gpu_gb": gpu, "weights_gb": 6, "workspace_gb": 2, "kv_gb": 3}
        bad: dict[str, list[Any]] = {
            "gpu_gb": [-40],
            "weights_gb": [-6, "-0.5"],
            "workspace_gb": [-2, "-0.5"],
        }
        deep.refuses(good, bad | {"kv_gb": ["0", 0.0, -3, "-0.5"]}, words)


def _in_floats(*numbers: Exact) -> bool:
    return few_bits(*map(exact, numbers))


def _room(gpu_gb: Exact, weights_gb: Exact, workspace_gb: Exact, **_: Exact) -> Fraction:
    return exact(gpu_gb) - exact(weights_gb) - exact(workspace_gb)


@exercise("cost_per_million")
def _cost_per_million(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        some = {"hour_usd": dice.number(0, 20), "tok_s": dice.number(1, 9000)}
        if dice.random() < 0.7:
            some["n_gpus"] = dice.whole(1, 16)
        if dice.random() < 0.7:
            some["util"] = dice.choice([1, 0.5, 0.25, dice.uniform(0.01, 1)])
        return some

    def metered(hour_usd: float, tok_s: float, n_gpus: int = 1, util: float = 1) -> float:
        """Read the meters after an hour: tokens second by second, money GPU by GPU."""
        if hour_usd < 0 or n_gpus < 0 or tok_s <= 0 or util <= 0 or util > 1:
            raise ValueError("The price is at least 0, the rate above 0, util a share in (0, 1].")
        tokens = usd = 0.0
        for _ in range(60 * 60):
            tokens += tok_s * util
        for _ in range(n_gpus):
            usd += hour_usd
        return usd / tokens * 1_000_000

    deep.agrees(
        draw,
        metered,
        "an hour's bill for all GPUs, busy or not, over the tokens that they serve in it",
        edges=[{"hour_usd": 4, "tok_s": 2}, {"hour_usd": 4, "tok_s": 2, "n_gpus": 2, "util": 0.5}],
        cases=25,
    )
    bad: dict[str, list[Any]] = {
        "hour_usd": [-4],
        "tok_s": [0, -2],
        "n_gpus": [-2],
        "util": [0, -0.5, 1.25, 1.002],
    }
    good = {"hour_usd": 4, "tok_s": 2, "n_gpus": 2, "util": 0.5}
    deep.refuses(good, bad, "prices are not negative, tok_s is above 0, util is in (0, 1]")


@exercise("choose_batch")
def _choose_batch(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        n = dice.whole(0, 5)
        fast = [dice.whole(0, 4) * 10 + dice.choice([0, 0, 0.001]) for _ in range(n)]
        late = [dice.whole(0, 4) * 5 + dice.choice([0, 0, 0.001]) for _ in range(n)]
        sequences = {"throughput": dice.sequence(fast), "latency_ms": dice.sequence(late)}
        return {**sequences, "limit_ms": dice.whole(0, 5) * 5}

    def unbeaten(throughput: Any, latency_ms: Any, limit_ms: float) -> int | None:
        """Compare each option with each other one: one is never passed over for another."""
        rows = [*zip(throughput, latency_ms, range(len(throughput)), strict=True)]
        within = [row for row in rows if not row[1] > limit_ms]
        for one in within:
            if not any(_passed_over(one, other) for other in within):
                return one[2]
        return None

    deep.agrees(
        draw,
        unbeaten,
        "of the options within the limit, the one of most throughput, wherever it stands",
        edges_say=[
            (lambda throughput, **_: len(throughput) == 0, "without options the answer is None"),
            (
                lambda latency_ms, limit_ms, **_: min(latency_ms) > limit_ms,
                "no option is within the limit, so the answer is None",
            ),
            (
                lambda throughput, latency_ms, limit_ms: (
                    len(throughput) == 1 and latency_ms[0] == limit_ms
                ),
                "the only option is within the limit, as a latency equal to it is, whatever its "
                "throughput: its index",
            ),
            (
                lambda throughput, latency_ms, limit_ms: (
                    len({*throughput}) < len(throughput) and len({*latency_ms}) < len(latency_ms)
                ),
                "of equal throughput and equal latency within the limit, the lower index",
            ),
            (
                lambda throughput, **_: len({*throughput}) < len(throughput),
                "of equal throughput within the limit, the one with lower latency",
            ),
            (
                lambda latency_ms, limit_ms, **_: limit_ms in [*latency_ms],
                "a latency equal to the limit is within it; of those within, the most throughput",
            ),
        ],
        edges=[
            {"throughput": [], "latency_ms": [], "limit_ms": 5},
            {"throughput": [3], "latency_ms": [6], "limit_ms": 5},
            {"throughput": [3], "latency_ms": [5], "limit_ms": 5},
            {"throughput": [0], "latency_ms": [0], "limit_ms": 0},
        ],
        cases=150,
    )
    words = "there is a latency for each throughput, and no number is negative, within or not"
    for limit in (8, 1):
        good = {"throughput": [5, 6], "latency_ms": [7, 8], "limit_ms": limit}
        bad: dict[str, list[Any]] = {
            "throughput": [[5], [5, 6, 7], [5, -6], [-5, 6]],
            "limit_ms": [-8],
        }
        deep.refuses(good, bad | {"latency_ms": [[7], [7, 8, 9], [7, -8], [-7, 8]]}, words)
    empty: Arguments = {"throughput": [], "latency_ms": [], "limit_ms": 8}
    deep.refuses(empty, {"latency_ms": [[7]], "throughput": [[5]], "limit_ms": [-8]}, words)


def _passed_over(one: tuple[float, float, int], other: tuple[float, float, int]) -> bool:
    """Tell whether the other option is taken rather than the one."""
    if one[0] != other[0]:
        return one[0] < other[0]
    if one[1] != other[1]:
        return one[1] > other[1]
    return one[2] > other[2]


@exercise("replicas_needed")
def _replicas_needed(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        mu, target = Decimal(dice.decimal(0.1, 30, 1)), Decimal(dice.decimal(0.01, 1))
        beside = dice.choice(["0", "0", "1e-11", "-1e-11", "1e-21", "-1e-21", dice.decimal(-2, 2)])
        lam = max(mu * target * dice.whole(0, 40) + Decimal(beside), Decimal(0))
        given = {"lam": f"{lam:f}", "mu": f"{mu:f}", "target": f"{target:f}"}
        found: dict[str, Any] = {name: dice.form(text) for name, text in given.items()}
        return found | ({"spare": dice.whole(0, 3)} if dice.random() < 0.5 else {})

    def started(lam: Exact, mu: Exact, target: Exact, spare: int = 0) -> int:
        """Start one replica after another until they carry the traffic as planned."""
        rate, share = exact(lam), exact(target)
        if rate < 0 or exact(mu) <= 0 or share <= 0 or share > 1 or spare < 0:
            raise ValueError("lam and spare are at least 0, mu is above 0, target in (0, 1].")
        running = 1
        while rate > running * share * exact(mu):
            running += 1
            if running > 500:
                raise Unasked
        for _ in range(spare):
            running += 1
        return running

    deep.agrees(
        draw,
        started,
        "replicas are started until none is busy for more than the target share of the time, and "
        "the spare ones come on top",
        edges_say=[
            (
                lambda lam, **_: exact(lam) == 0,
                "without traffic one replica stays up, and the spare ones come on top",
            ),
            (
                lambda lam, mu, target, **_: (
                    exact(lam) % (exact(mu) * exact(target)) == 0
                    and not _in_floats(lam, mu, target)
                ),
                "where the quotient is exactly whole, no replica is added; each number is the "
                "decimal that one reads, and a float of it a little more or less, so divide exact "
                "numbers",
            ),
        ],
        edges=[
            {"lam": 0, "mu": 2, "target": 1},
            {"lam": 0, "mu": 2, "target": 1, "spare": 1},
            {"lam": "0.9", "mu": "0.3", "target": "1"},
            {"lam": 2.1, "mu": 3, "target": 0.7},
            {"lam": 4, "mu": 2, "target": Fraction(2, 3), "spare": 1},
        ],
        cases=80,
    )
    words = "lam and spare are not negative, mu is above 0, target is in (0, 1]"
    for lam in (24, 0):
        good = {"lam": lam, "mu": 4, "target": "0.5", "spare": 2}
        bad: dict[str, list[Any]] = {
            "mu": [0, -4],
            "target": ["0", -0.5, "1.25", 50],
            "spare": [-2, -1],
        }
        deep.refuses(good, bad | {"lam": [-24, "-0.5"]}, words)


@exercise("error_budget", "burn_rate")
def _error_budget(deep: Deep) -> None:
    def draw(dice: Dice) -> dict[str, Any]:
        if dice.random() < 0.3:
            return {"n": dice.form(str(dice.whole(0, 40))), "slo": dice.form(dice.decimal(0, 1, 1))}
        allowed = dice.choice(["0.001", "0.0005", "0.002", "0.01", dice.decimal(0.001, 0.02, 4)])
        slo = 1 - Decimal(allowed) + Decimal(dice.choice(["0", "0", "1e-11", "1e-22"]))
        n = dice.choice([dice.whole(1, 20) * 1000, dice.whole(0, 3000)])
        return {"n": dice.form(str(n)), "slo": dice.form(f"{slo:f}")}

    def with_bad(dice: Dice) -> Arguments:
        some = draw(dice)
        return {"bad": dice.form(str(dice.whole(0, int(some["n"])))), **some}

    def spent(n: Exact, slo: Exact) -> int:
        """Let one more be bad, as long as the share of good ones is what was promised."""
        total, promised = exact(n), exact(slo)
        bad = 0
        while bad < total and total - (bad + 1) >= promised * total:
            bad += 1
        return bad

    def speed(bad: Exact, n: Exact, slo: Exact) -> float:
        """Find how many times the promised failures would make as many as there were."""
        allowed, total = 1 - exact(slo), exact(n)
        if exact(bad) > total:
            raise Unasked
        if exact(bad) == 0:
            return 0
        most = float(allowed * total)
        return root(lambda times: times * most - float(exact(bad)), 0, 1e30) if most else math.inf

    deep.agrees(
        draw,
        spent,
        "as many requests may be bad as leave the promised share of good ones: rounded down",
        edges_say=[
            (lambda n, **_: exact(n) == 0, "without requests the budget is 0"),
            (lambda slo, **_: exact(slo) == 1, "an SLO of 1 allows no bad request: 0"),
            (
                lambda n, slo: exact(n) * (1 - exact(slo)) % 1 == 0 and not _in_floats(slo),
                "a budget that is exactly whole counts in full; slo is the decimal that one reads, "
                "and in floats 1 - slo is a little more or less, so subtract exact numbers",
            ),
        ],
        edges=[
            {"n": 0, "slo": "0.9"},
            {"n": 4, "slo": 1},
            {"n": 4, "slo": 0},
            {"n": 1000, "slo": 0.999},
            {"n": 1000, "slo": "0.9985"},
            {"n": 6, "slo": Fraction(1, 3)},
        ],
        cases=60,
    )
    deep.agrees(
        with_bad,
        speed,
        "the burn rate is the share of bad requests over the share that slo allows",
        edges_say=[
            (
                lambda bad, slo, **_: exact(slo) == 1,
                "with an SLO of 1 anything bad burns infinitely fast, math.inf, and nothing bad 0",
            ),
            (
                lambda bad, n, **_: exact(bad) == 0,
                "nothing bad burns nothing: 0, without requests too",
            ),
        ],
        of="burn_rate",
        edges=[
            {"bad": 0, "n": 0, "slo": 1},
            {"bad": 0, "n": 0, "slo": "0.9"},
            {"bad": 0, "n": 4, "slo": 1},
            {"bad": 2, "n": 4, "slo": 1},
            {"bad": 3, "n": 4, "slo": 0},
            {"bad": 1, "n": 3000, "slo": "0.999999999"},
        ],
    )
    words = "counts are not negative, and slo is a share from 0 to 1, whatever the traffic"
    shares = ["1.25", 99.5, -0.25, "-1"]
    for n in (40, 0):
        deep.refuses({"n": n, "slo": "0.75"}, {"n": [-40], "slo": shares}, words)
        good = {"bad": 0, "n": n, "slo": "0.75"}
        deep.refuses(good, {"bad": [-3], "n": [-40], "slo": shares}, words, of="burn_rate")
    good = {"bad": 1, "n": 40, "slo": 1}
    deep.refuses(good, {"bad": [-3], "n": [-40]}, words, of="burn_rate")


@exercise("choose_action")
def _choose_action(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        names = dice.sample(
            ["apricot", "basil", "cherry", "dill", "elder", "fig"], dice.whole(0, 4)
        )
        actions = [
            {
                "name": name,
                "p99_ms": dice.whole(0, 4) * 50 + dice.choice([0, 0, 1]),
                "quality": dice.choice([0, 0.5, 0.75, 0.7501]),
                "cost": dice.choice([0, 0.25, 0.5, 0.5001]),
            }
            | ({"mean_ms": dice.whole(0, 250)} if dice.random() < 0.5 else {})
            for name in names
        ]
        return {"actions": actions, "slo_ms": dice.whole(0, 5) * 50}

    def left_over(actions: list[dict[str, Any]], slo_ms: float) -> str:
        """Strike out, in turn, what is too slow, not the best, not the cheapest of these."""
        left = [action for action in actions if not action["p99_ms"] > slo_ms]
        for key, best in (("quality", max), ("cost", min), ("p99_ms", min)):
            wanted = best((action[key] for action in left), default=None)
            left = [action for action in left if action[key] == wanted]
        if len(left) > 1 or any(not 0 <= action["quality"] <= 1 for action in actions):
            raise Unasked
        return str(left[0]["name"]) if left else "shed"

    deep.agrees(
        draw,
        left_over,
        "of the actions whose p99_ms is within the SLO, the name of the one with the best quality",
        edges_say=[
            (
                lambda actions, slo_ms: all(action["p99_ms"] > slo_ms for action in actions),
                'nothing is within the SLO, so the answer is "shed"',
            ),
            (
                lambda actions, slo_ms: len(actions) == 1 and actions[0]["p99_ms"] == slo_ms,
                "the only action is within the SLO, as a P99 equal to it is, whatever its quality: "
                "its name",
            ),
            (
                lambda actions, slo_ms: _equal(actions, "quality") and _equal(actions, "cost"),
                "of equal quality and equal cost within the SLO, the one with lower p99_ms",
            ),
            (
                lambda actions, slo_ms: _equal(actions, "quality"),
                "of equal quality within the SLO, the cheaper one",
            ),
        ],
        edges=[{"actions": [], "slo_ms": 100}],
        cases=150,
    )
    one = {"name": "fig", "p99_ms": 100, "quality": 0.5, "cost": 0.25}
    for actions in ([one], []):
        good = {"actions": actions, "slo_ms": 100}
        deep.refuses(good, {"slo_ms": [-100, -0.5]}, "slo_ms is not negative")


def _equal(actions: list[dict[str, Any]], key: str) -> bool:
    return len({action[key] for action in actions}) < len(actions)


@exercise("summarize_traces")
def _summarize_traces(deep: Deep) -> None:
    required = ["arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status"]

    def a_record(dice: Dice) -> dict[str, Any]:
        waits = [dice.whole(0, 4) / 4 for _ in range(3)]
        n_out = dice.choice([0, 1, 2, 3, 5])
        times = itertools.accumulate([dice.whole(0, 5), *waits])
        status = dice.choice(["ok", "ok", "ok", "ok", "error", "OK", ""])
        record = dict(zip(required, [*times, n_out, status], strict=True))
        for name in required:
            if dice.random() < 0.04:
                del record[name]
        return record | ({"model": "8b"} if dice.random() < 0.2 else {})

    def draw(dice: Dice) -> Arguments:
        n = dice.choice([0, 1, 2, 3, 4, 5, 20, 21])
        slo = {"ttft_s": dice.choice([0.5, 1]), "tpot_s": dice.choice([0.25, 0.5])}
        return {"records": [a_record(dice) for _ in range(n)], "slo": slo}

    def reached(values: list[float], percent: int) -> float | None:
        """Return the least of the values that so many percent of them do not exceed."""
        for value in values:
            below = sum(other <= value for other in values)
            least = not any(
                other < value and 100 * sum(o <= other for o in values) >= percent * len(values)
                for other in values
            )
            if least and 100 * below >= percent * len(values):
                return value
        return None

    def counted(records: list[dict[str, Any]], slo: dict[str, float]) -> dict[str, Any]:
        """Go through the records once for each number asked for."""
        whole = [record for record in records if {*required} <= record.keys()]
        for record in whole:
            times = [record[name] for name in required[:4]]
            if times != sorted(times) or record["n_out"] < 0:
                raise Unasked
        served = [record for record in whole if record["status"] == "ok"]
        values: dict[str, list[float]] = {"ttft": [], "tpot": [], "e2e": []}
        good = 0
        for record in served:
            wait = record["first_token_s"] - record["arrival_s"]
            gaps = range(record["n_out"] - 1)
            writing = record["end_s"] - record["first_token_s"]
            steps = [writing / len(gaps) for _ in gaps][:1]
            values["ttft"].append(wait)
            values["tpot"].extend(steps)
            values["e2e"].append(wait + writing)
            good += not (wait > slo["ttft_s"] or any(step > slo["tpot_s"] for step in steps))
        ends = [record["end_s"] - other["arrival_s"] for record in whole for other in whole]
        longest = max(ends, default=0)
        found: dict[str, Any] = {
            f"{name}_p{percent}_s": reached(times, percent)
            for name, times in values.items()
            for percent in (50, 95, 99)
        }
        found["goodput_rps"] = good / longest if longest else 0
        bad = [record for record in records if record.get("status") != "ok"]
        found["error_rate"] = len(bad) / max(1, len(records))
        found["missing_fields"] = sorted(
            name for name in required if len([r for r in records if name in r]) < len(records)
        )
        return found

    deep.agrees(
        draw,
        counted,
        "each number is of the records that the table names for it: any field may be absent, and "
        "there may be no record, or one token",
        parts={
            **{
                f"{name}_p{percent}_s": f"a percentile is element number ceil(q n) of the sorted "
                f"values, without interpolation, of {whom}; None without a value"
                for percent in (50, 95, 99)
                for name, whom in (
                    ("ttft", 'complete records with status "ok": all six fields are there'),
                    ("tpot", 'complete records with status "ok" and two tokens or more'),
                    ("e2e", 'complete records with status "ok", from arrival to end'),
                )
            },
            "goodput_rps": "good requests are complete, ok, and within both bounds, equal "
            "included, TTFT alone with no second token; the time is from the first arrival to the "
            "last end of all complete records, and if it is 0, so is the goodput",
            "error_rate": 'records whose status is not "ok", or absent, over all records, complete '
            "or not; 0 without records",
            "missing_fields": "the required fields that at least one record lacks, sorted",
        },
        edges=[
            {"records": [], "slo": {"ttft_s": 1, "tpot_s": 1}},
            {"records": [{}], "slo": {"ttft_s": 1, "tpot_s": 1}},
        ],
        cases=120,
    )
    deep.holds(
        lambda dice: {"records": (some := draw(dice))["records"], "slo": some["slo"]},
        lambda summarize, records, slo: close(
            summarize(records, slo), summarize(records[::-1], slo)
        ),
        "the order of the records does not matter",
        cases=30,
    )
