"""Chapter 2: machines that go step by step, and pools whose states are added up."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
)
from servemath_helpers.deep.exactly import few_bits
from servemath_helpers.quantities import Exact, exact

__all__: list[str] = []


@exercise("release_gate")
def _release_gate(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        limits = {name: dice.whole(1, 4) for name in ("slo_ms", "budget")}
        asked = {name: dice.whole(0, 5) for name in ("p99_ms", "cost")}
        scores = [dice.whole(0, 8) / 8 for _ in range(dice.whole(2, 4))]
        return {"scores": dice.sequence(scores), "gain": dice.whole(-1, 2) / 8, **limits, **asked}

    def as_sure(
        gate: Any,
        scores: Any,
        gain: float,
        slo_ms: float,
        budget: float,
        p99_ms: float,
        cost: float,
    ) -> str | bool:
        """Say what is wrong of the report of a gain that is the same on each item."""
        better = (
            type(scores)(score + gain for score in scores)
            if not hasattr(scores, "dtype")
            else scores + gain
        )
        report = gate(scores, better, p99_ms, slo_ms, cost, budget)
        failing = [("quality", gain <= 0), ("latency", p99_ms > slo_ms), ("cost", cost > budget)]
        named = [name for name, fails in failing if fails]
        if not close([report["mean_delta"], report["ci_low"]], [gain, gain]):
            return f"each item gains {gain:g}: there is no doubt, so mean_delta and ci_low are that"
        told = [str(reason) for reason in report["reasons"]]
        right = len(told) == len(named) and all(map(str.startswith, sorted(told), sorted(named)))
        if not right or len(report) != 4:
            return (
                f"the gates that fail are {', '.join(named) or 'none'}, and each has one reason "
                "that begins with its name: a limit met exactly is met, and no gain is not enough"
            )
        return close(report["promote"], not named) or "promote is whether all three gates hold"

    def noise(seed: int) -> tuple[list[float], list[float]]:
        dice = Dice(seed)
        before = [round(dice.uniform(0.2, 0.8), 3) for _ in range(40)]
        gain = 0.03 if seed % 2 else 0.01  # surely a gain, and perhaps none
        return before, [round(score + dice.gauss(gain, 0.05), 3) for score in before]

    def two_errors_below(gate: Any, seed: int) -> str | bool:
        before, after = noise(seed)
        gains = [b - a for a, b in zip(before, after, strict=True)]
        mean = math.fsum(gains) / 40
        error = math.sqrt(math.fsum((gain - mean) ** 2 for gain in gains) / 40 / 40)
        report = gate(before, after, 1, 2, 1, 2)
        below = (mean - report["ci_low"]) / error
        if not 1.8 < below < 2.15:
            return (
                f"the low end of a 95 % interval lies about two standard errors of the mean "
                f"difference below it, not {below:.3g}; here one is {error:.4f}"
            )
        wanted = [mean, report["ci_low"] > 0]
        return close([report["mean_delta"], report["promote"]], wanted) or (
            "mean_delta is the mean of the differences, and ci_low decides on quality"
        )

    def of_pairs(gate: Any, seed: int) -> bool:
        before, after = noise(seed)
        dice = Dice(seed + 1)
        easier = [dice.whole(0, 64) for _ in before]
        first = gate(before, after, 1, 2, 1, 2)["ci_low"]
        before = [score + by for score, by in zip(before, easier, strict=True)]
        after = [score + by for score, by in zip(after, easier, strict=True)]
        return close(gate(before, after, 1, 2, 1, 2)["ci_low"] - first, 0, abs_tol=0.004)

    deep.holds(
        draw,
        as_sure,
        "the report has promote, mean_delta, ci_low and reasons, as the statement says",
        where=lambda scores, **_: len(scores) > 1,
        cases=14,
    )
    deep.holds(
        lambda dice: {"seed": dice.randrange(100)},
        two_errors_below,
        "for noisy gains ci_low lies about two standard errors of the mean below it, and decides",
        edges=[{"seed": 1}, {"seed": 8}],
        cases=0,
    )
    deep.holds(
        lambda dice: {"seed": dice.randrange(100)},
        of_pairs,
        "what makes an item easier for both versions changes no difference, and so no interval",
        cases=1,
    )
    limits = {"p99_ms": 1, "slo_ms": 2, "cost": 1, "budget": 2}
    deep.refuses(
        {"baseline": [0.25, 0.5], "candidate": [0.5, 0.75], **limits},
        {"baseline": [[0.25], [], [0.25, 0.5, 0.75]], "candidate": [[0.5], [], [0.5, 0.75, 1]]},
        "each item has a score of both versions",
    )
    for one in ([0.25], []):
        good = {"baseline": one, "candidate": one, **limits}
        deep.refuses(good, {"cost": [1]}, "there are two items at least")


@exercise("pareto_front")
def _pareto_front(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        def one() -> float:
            return dice.choice([0, 1, 2, 3, 3, math.inf]) + dice.choice([0, 0, 0.25])

        return {"points": [(one(), one(), one()) for _ in range(dice.whole(0, 6))]}

    def left(points: list[tuple[float, float, float]]) -> list[int]:
        """Strike out each point that loses to another one: never better, and somewhere worse."""
        wanted = [(-late, served, -usd) for late, served, usd in points]
        struck = set()
        for place, mine in enumerate(wanted):
            for theirs in wanted:
                signs = [(x < y) - (x > y) for x, y in zip(mine, theirs, strict=True)]
                if min(signs) == 0 < max(signs) or min(signs) > 0:
                    struck.add(place)
        return [place for place in range(len(points)) if place not in struck]

    deep.agrees(
        draw,
        left,
        "a point stays unless another is at least as good in all three and better in one: low "
        "latency, high throughput, low cost",
        edges=[
            {"points": []},
            {"points": [(2, 2, 2)]},
            {"points": [(2, 2, 2), (2, 2, 2)]},
            {"points": [(0, 0, 0), (5, 4, 5), (9, 9, 9)]},
            {"points": [(3, 5, 1), (1, 5, 3)]},
        ],
        cases=150,
    )
    nan = math.nan
    bad = [[(nan, 1, 1)], [(1, nan, 1), (1, 2, 1)], [(2, 2, 2), (1, 1, nan)]]
    deep.refuses({"points": []}, {"points": bad}, "a point that holds NaN is refused")


@exercise("batch_metrics", "min_stable_batch")
def _batch_metrics(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        times = {"alpha": dice.number(0, 30), "beta": dice.number(0.1, 3)}
        return {"B": dice.whole(1, 20), "lam": dice.choice([0, dice.number(0.01, 2)]), **times}

    def filled(B: int, lam: float, alpha: float, beta: float) -> dict[str, object]:
        """Let requests come one by one until the batch is full, then serve them one by one."""
        if B < 1 or lam < 0 or alpha < 0 or beta < 0 or alpha + beta == 0:
            raise ValueError("A batch has a request, a rate or time is at least 0, S above 0.")
        time = alpha
        for _ in range(B):
            time += beta
        waits = [left and (left / lam if lam else math.inf) for left in range(B)]
        load = time * lam / B
        if 1 - 1e-9 < load < 1 + 1e-9:
            raise Unasked
        return {
            "S": time,
            "throughput": 1 / (time / B),
            "rho": load,
            "stable": load < 1,
            "formation": math.fsum(waits) / B if lam else max(waits),
        }

    def boundary(dice: Dice) -> Arguments:
        lam, beta = Decimal(dice.choice(["0.1", "0.2", "0.5", "0.25"])), Decimal(dice.decimal(0, 3))
        left = 1 - beta * lam
        alpha = left * dice.whole(0, 150) / lam + Decimal(
            dice.choice(["0", "0", "1e-12", "-1e-12"])
        )
        if dice.random() < 0.3:
            alpha = Decimal(dice.decimal(0, 90))
        given = {"lam": lam, "alpha": max(alpha, Decimal(0)), "beta": beta}
        return {name: dice.form(f"{value:f}") for name, value in given.items()}

    def first_stable(lam: Exact, alpha: Exact, beta: Exact) -> int | None:
        """Try one size after another, until fewer come than leave while a batch is served."""
        rate, fixed, each = exact(lam), exact(alpha), exact(beta)
        if rate * each >= 1:
            return None
        size, served = 1, fixed + each
        while rate * served >= size:
            size, served = size + 1, served + each
        return size

    deep.agrees(
        draw,
        filled,
        "requests come 1 / lam apart until the batch is full, and a batch takes alpha, and beta "
        "for each of them",
        parts={
            "S": "a batch takes alpha once, and beta for each request in it",
            "throughput": "at full speed B requests are served in each S",
            "rho": "the load is the rate of arrivals over the rate of service, B / S",
            "stable": "stable is whether the load is below 1, strictly: True or False",
            "formation": "the first of B requests waits for B - 1 others, the last for none, 1 / "
            "lam apart: the mean; a batch that nobody fills takes math.inf, one of 1 no time",
        },
        edges=[
            {"B": 1, "lam": 0, "alpha": 2, "beta": 1},
            {"B": 2, "lam": 0, "alpha": 2, "beta": 1},
            {"B": 1, "lam": 0.25, "alpha": 2, "beta": 0},
        ],
    )
    deep.holds(
        lambda dice: {"B": dice.whole(1, 20), "per": dice.choice([1, 2, 8])},
        lambda metrics, B, per: (
            metrics(B, B / per, per, 0)["stable"] in (False,)
            and close(metrics(B, B / per, per, 0)["rho"], 1)
        ),
        "as many come as are served: the load is 1, and that is not stable",
        where=lambda B, per: B >= 1 and per in (1, 2, 8),
        cases=5,
    )
    deep.agrees(
        boundary,
        first_stable,
        "the first size for which fewer requests come than are served while a batch takes its time",
        edges_say=[
            (
                lambda lam, beta, **_: exact(lam) * exact(beta) >= 1,
                "where lam beta is 1 or more no size is stable: None",
            ),
            (lambda lam, **_: exact(lam) == 0, "without arrivals any batch is stable: 1"),
            (
                lambda lam, alpha, beta: (
                    exact(lam) * exact(alpha) % (1 - exact(lam) * exact(beta)) == 0
                    and not few_bits(*map(exact, (lam, alpha, beta)))
                ),
                "a load of exactly 1 is not stable: where the bound is whole, the next size; and "
                "numbers are the decimals that one reads, so divide exact ones",
            ),
            (
                lambda lam, alpha, beta: (
                    exact(lam) * exact(alpha) % (1 - exact(lam) * exact(beta)) == 0
                ),
                "a load of exactly 1 is not stable: where the bound is whole, the next size",
            ),
        ],
        of="min_stable_batch",
        edges=[
            {"lam": 0, "alpha": 3, "beta": 2},
            {"lam": 0.5, "alpha": 3, "beta": 2},
            {"lam": 0.5, "alpha": 0, "beta": 2},
            {"lam": "0.1", "alpha": "3", "beta": "0"},
            {"lam": 0.7, "alpha": 10, "beta": 0},
            {"lam": 1, "alpha": 180, "beta": 0},
            {"lam": Fraction(1, 3), "alpha": 6, "beta": 1},
        ],
    )
    words = "a batch has a request at least, no rate and no time is negative, and S is above 0"
    good = {"B": 3, "lam": 0.5, "alpha": 2, "beta": 1}
    bad: dict[str, list[Any]] = {"lam": [-0.5], "alpha": [-2], "beta": [-1]}
    deep.refuses(good, bad | {"B": [0, -3]}, words)
    deep.refuses({"B": 3, "lam": 0.5, "alpha": 0, "beta": 1}, {"beta": [0]}, words)
    good = {"lam": 0.75, "alpha": 2, "beta": 1}
    deep.refuses(good, bad | {"beta": [-1, "-0.5"]}, words, of="min_stable_batch")


@exercise("validate_request", "js_divergence")
def _validate_request(deep: Deep) -> None:
    samples: dict[str, list[Any]] = {
        "int": [-1, 0, 1, 3, 7],
        "float": [0.0, 0.5, 3.5, 2],
        "str": ["", "8b"],
        "bool": [True, False],
    }

    def draw(dice: Dice) -> Arguments:
        fields = {}
        for name in dice.sample(
            ["prompt_tokens", "max_new_tokens", "top_p", "user"], dice.whole(0, 4)
        ):
            rule = {"type": dice.choice([*samples]), "required": dice.random() < 0.5}
            if rule["type"] in ("int", "float"):
                rule |= {
                    end: dice.choice([0, 1, 3]) for end in ("min", "max") if dice.random() < 0.4
                }
            fields[name] = rule
        known = ["prompt_tokens", "max_new_tokens", "top_p", "user", "seed"]
        req = {}
        for name in dice.sample(known, dice.whole(0, 4)):
            kind = fields[name]["type"] if name in fields else "int"
            kind = dice.choice([kind, kind, kind, *samples])
            req[name] = dice.choice(samples[str(kind)])
        return {"req": req, "contract": {"fields": fields, "ctx": dice.whole(0, 9)}}

    def found(req: dict[str, Any], contract: dict[str, Any]) -> list[str]:
        """Look for each kind of fault by itself, in the order of their names."""
        fields, codes = contract["fields"], []
        right = [name for name in req if name in fields and _fits(req[name], fields[name]["type"])]
        if [name for name in fields if fields[name]["required"] and name not in req]:
            codes.append("missing")
        outside = [name for name in right if not _within(req[name], fields[name])]
        if outside:
            codes.append("range")
        wanted = 0
        for tokens in (req.get("prompt_tokens"), req.get("max_new_tokens")):
            wanted += tokens if type(tokens) is int else 0
        if wanted > contract["ctx"]:
            codes.append("token_budget")
        if [name for name in req if name in fields and name not in right]:
            codes.append("type")
        if req.keys() - fields.keys():
            codes.append("unknown_field")
        return codes

    def histograms(dice: Dice) -> Arguments:
        n = dice.whole(1, 4)
        one, other = ([dice.choice([0, 1, 2, dice.number(0, 9)]) for _ in range(n)] for _ in "pq")
        one[dice.randrange(n)], other[dice.randrange(n)] = dice.whole(1, 4), dice.whole(1, 4)
        return {"p": dice.sequence(one), "q": dice.sequence(other)}

    def by_entropies(p: Any, q: Any) -> float:
        """Ask how much more mixed the mixture is than the two are."""
        if len(p) != len(q) or min(*p, *q) < 0 or not max(p) > 0 or not max(q) > 0:
            raise ValueError("Histograms have the same bins, no negative entry, and some weight.")
        mixed = [x / math.fsum(p) + y / math.fsum(q) for x, y in zip(p, q, strict=True)]
        return _entropy(mixed) - _entropy(p) / 2 - _entropy(q) / 2

    deep.agrees(
        draw,
        found,
        "each code that applies, once, in alphabetical order: bounds are inclusive, an int is fine "
        "for a float, only ints count in the budget, whether the contract knows the two fields or "
        "not",
        edges_say=[
            (
                lambda req, contract: any(type(value) is bool for value in req.values()),
                "a bool is neither an int nor a float: of the wrong type where a number is asked, "
                "and 0 in the token budget",
            )
        ],
        where=lambda req, contract: all(
            rule.get("min", 0) <= rule.get("max", math.inf) for rule in contract["fields"].values()
        ),
        edges=[
            {"req": {}, "contract": {"fields": {}, "ctx": 0}},
            {
                "req": {"prompt_tokens": 2, "max_new_tokens": 2},
                "contract": {"fields": {}, "ctx": 4},
            },
            {
                "req": {"prompt_tokens": 2, "max_new_tokens": 3},
                "contract": {"fields": {}, "ctx": 4},
            },
            {"req": {"prompt_tokens": True}, "contract": {"fields": {}, "ctx": 0}},
            *(
                {
                    "req": {"seed": value},
                    "contract": {"fields": {"seed": rule | {"required": True}}, "ctx": 4},
                }
                for value, rule in (
                    (2, {"type": "int", "max": 0}),
                    (-2, {"type": "int", "min": 0}),
                    (2, {"type": "float"}),
                )
            ),
        ],
        cases=250,
    )
    deep.agrees(
        histograms,
        by_entropies,
        "both are divided by their sums, and JS is the mean, in nats, of how far each diverges "
        "from their mixture, an empty bin adding 0",
        of="js_divergence",
        edges=[{"p": [1, 0], "q": [0, 3]}, {"p": [2, 2], "q": [1, 1]}, {"p": [5], "q": [2]}],
        rel_tol=1e-7,
    )
    deep.holds(
        histograms,
        lambda js, p, q: close(js(p, q), js(q, p)) and -1e-12 <= js(p, q) <= math.log(2) + 1e-12,
        "the divergence is the same both ways, at least 0 and at most ln 2",
        of="js_divergence",
        where=lambda p, q: len(p) == len(q) and sum(p) > 0 < sum(q) and min(*p, *q) >= 0,
        cases=20,
    )
    deep.refuses(
        {"p": [1, 2], "q": [2, 2]},
        {"p": [[1], [1, 2, 3], [-1, 2], [0, 0]], "q": [[2], [2, 2, 2], [3, -1], [0, 0]]},
        "the bins are the same, no entry is negative, and not all of one are 0",
        of="js_divergence",
    )


def _fits(value: Any, kind: str) -> bool:
    """Tell whether a value is of a type by its name; a whole number will do for any other."""
    return type(value).__name__ == kind or (kind == "float" and type(value) is int)


def _within(value: Any, rule: dict[str, Any]) -> bool:
    """Tell whether a value stays what it is between its bounds."""
    if isinstance(value, str):
        return True
    ends = [rule.get("min", value), rule.get("max", value)]
    return bool(ends[0] <= value <= ends[1])


def _entropy(weights: Any) -> float:
    whole = math.fsum(weights)
    return math.fsum(-x / whole * math.log(x / whole) for x in weights if x)


@exercise("burn_alert", "admit")
def _burn_alert(deep: Deep) -> None:
    hours = (0.05, 0.1, 0.2)

    def draw(dice: Dice) -> Arguments:
        n, calm = dice.choice([0, 2, 5, 14]), dice.random() < 0.4
        bad = [0 if calm and dice.random() < 0.7 else dice.choice([1, 2, 4, 10]) for _ in range(n)]
        totals = [dice.choice([1000, 1000, 500]) for _ in range(n)]
        for minute in range(n):
            if dice.random() < 0.1:
                bad[minute] = totals[minute] = 0
        if n and dice.random() < 0.4:
            bad, totals = [bad[0]] * n, [1000] * n
        slo = dice.choice(["0.999", "0.998", "0.99", "1", "0"])
        rules = [
            (
                name,
                *dice.sample(hours, 2)[:: dice.choice([1, -1])],
                dice.form(dice.choice(["1", "2", "0.5", "5"])),
            )
            for name in dice.sample(["page", "ticket", "mail"], dice.whole(0, 3))
        ]
        series = {"errors": dice.sequence(bad), "totals": dice.sequence(totals)}
        return {**series, "slo": dice.form(slo), "period_h": 720, "rules": rules}

    def burning(errors: Any, totals: Any, slo: Exact, period_h: float, rules: Any) -> list[str]:
        """Go back from now, minute by minute, and count what may fail and what did."""
        if len(errors) != len(totals) or any(count < 0 for count in (*errors, *totals)):
            raise ValueError("Each minute has two counts, none of them negative.")
        fire = []
        for rule, long_h, short_h, burn in rules:
            too_fast = []
            for window in (long_h, short_h):
                bad = allowed = Fraction(0)
                for minute in range(1, min(round(window * 60), len(errors)) + 1):
                    bad += int(errors[-minute])
                    allowed += int(totals[-minute]) * (1 - exact(slo))
                too_fast.append(bad > 0 and bad >= exact(burn) * allowed)
            if all(too_fast):
                fire.append(rule)
        return fire

    def windows(rules: Any, errors: Any, totals: Any, **_: object) -> bool:
        known = all(rule[1] in hours and rule[2] in hours and exact(rule[3]) > 0 for rule in rules)
        return known and all(bad <= n for bad, n in zip(errors, totals, strict=False))

    deep.agrees(
        draw,
        burning,
        "a rule fires if both of its windows, the last 60 h minutes or what exists of them, burn "
        "at its rate or faster: their errors over their totals, over the share that slo allows, in "
        "exact numbers",
        where=windows,
        edges=[
            {
                "errors": [],
                "totals": [],
                "slo": "0.9",
                "period_h": 720,
                "rules": [("a", 0.1, 0.05, 1)],
            },
            {
                "errors": [0],
                "totals": [0],
                "slo": 1,
                "period_h": 720,
                "rules": [("a", 0.1, 0.05, 1)],
            },
            {
                "errors": [1],
                "totals": [9],
                "slo": 1,
                "period_h": 720,
                "rules": [("a", 0.1, 0.05, 1)],
            },
            {
                "errors": [3] * 9,
                "totals": [1000] * 9,
                "slo": 0.999,
                "period_h": 720,
                "rules": [("a", 0.1, 0.05, 3)],
            },
            {
                "errors": [7] * 9,
                "totals": [1000] * 9,
                "slo": "0.9",
                "period_h": 1,
                "rules": [("a", 0.1, 0.05, 0.07)],
            },
        ],
        cases=120,
    )
    good = {"errors": [1, 2], "totals": [8, 8], "slo": "0.5", "period_h": 720, "rules": []}
    bad: dict[str, list[Any]] = {"slo": ["1.25", -0.25, 99], "errors": [[1], [1, -2], [1, 2, 3]]}
    bad["totals"] = [[8], [-8, 8]]
    for rules in ([], [("a", 0.1, 0.05, 1)]):
        words = "the series are as long as each other, no count is negative, slo is in [0, 1]"
        deep.refuses(good | {"rules": rules}, bad, words)
    deep.agrees(
        lambda dice: {
            "scores": [dice.whole(0, 8) / 8 for _ in range(dice.whole(0, 5))],
            "threshold": dice.whole(0, 8) / 8,
        },
        lambda scores, threshold: [max(score, threshold) == score for score in scores],
        "a score is admitted if it is at least the threshold",
        of="admit",
        edges=[{"scores": [0.5], "threshold": 0.5}],
        cases=20,
    )


@exercise("service_time_s")
def _service_time_s(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        model = {
            "n_params": dice.choice([64, 1024, 5000]),
            "layers": dice.whole(1, 3),
            "heads": dice.choice([2, 4, 8]),
            "kv_heads": dice.choice([1, 2]),
            "head_dim": dice.choice([4, 16]),
            "bytes_per_param": dice.choice([1, 2]),
            "bytes_per_kv": dice.choice([1, 2]),
        }
        batch, gpus, bandwidth = (
            dice.choice([1, 2, 8]),
            dice.choice([1, 2, 3]),
            dice.choice([64, 512]),
        )
        even = 2 * batch * bandwidth / model["bytes_per_param"]  # reads and multiplies as long
        peak = even * dice.choice([1 if gpus < 3 else 2, 0.5, 4, 0.3])
        hw = {"n_gpus": gpus, "peak_flops": peak, "bw_Bps": bandwidth}
        tokens = {"prompt": dice.whole(0, 30), "n_out": dice.choice([0, 1, 2, dice.whole(3, 20)])}
        return {
            **tokens,
            "batch": batch,
            "model": model,
            "hw": hw,
            "mfu": dice.choice([1, 0.5, 0.3]),
        }

    def walked(
        prompt: int, n_out: int, batch: int, model: Any, hw: Any, mfu: float
    ) -> dict[str, object]:
        """Add up what each token multiplies, and each step reads, layer by layer."""
        if min(prompt, n_out) < 0 or min(batch, hw["n_gpus"]) < 1 or mfu <= 0 or mfu > 1:
            raise ValueError("Tokens are at least 0, batch and n_gpus at least 1, mfu in (0, 1].")
        if min(hw["peak_flops"], hw["bw_Bps"]) <= 0:
            raise ValueError("A GPU multiplies and reads.")
        flops = 0.0
        for token in range(prompt):
            flops += model["n_params"] * 2
            for _ in range(model["layers"] * model["heads"]):
                flops += 4 * model["head_dim"] * (token + 0.5)  # half of its own pair is masked
        cached = 0
        for _ in range(batch * model["layers"] * model["kv_heads"]):
            for _ in ("key", "value"):
                cached += prompt * model["head_dim"] * model["bytes_per_kv"]
        gpus = range(hw["n_gpus"])
        read = sum(hw["bw_Bps"] for _ in gpus)
        multiplied = sum(hw["peak_flops"] for _ in gpus)
        weights_s = model["n_params"] * model["bytes_per_param"] / read
        products_s = sum(model["n_params"] * 2 for _ in range(batch)) / multiplied
        step = cached / read + sorted([weights_s, products_s])[1]
        prefill = flops / (multiplied * mfu)
        total = prefill
        for _ in range(n_out - 1):
            total += step
        bound = "compute" if products_s > weights_s else "memory"
        return {"prefill_s": prefill, "step_s": step, "total_s": total, "bound": bound}

    deep.agrees(
        draw,
        walked,
        "the numbers are those of the statement, by their keys",
        parts={
            "prefill_s": "prefill takes 2 N s for the parameters and 2 n_l d_q s^2 for attention, "
            "at the share mfu of all GPUs' peaks, and no time without a prompt",
            "step_s": "a step reads each sequence's keys and values, and besides takes the longer "
            "of reading the weights once and multiplying for all sequences; all GPUs share it",
            "total_s": "the total is prefill and a step for each token after the first: none for "
            "0 or 1 tokens",
            "bound": '"compute" if multiplying takes longer than reading weights, else "memory"',
        },
        where=lambda model, **_: min(model.values()) > 0,
        cases=60,
    )
    model = {"n_params": 100, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8}
    model |= {"bytes_per_param": 2, "bytes_per_kv": 2}
    hw = {"n_gpus": 2, "peak_flops": 1000, "bw_Bps": 500}
    good = {"prompt": 5, "n_out": 3, "batch": 2, "model": model, "hw": hw, "mfu": 0.5}
    bad: dict[str, list[Any]] = {
        "prompt": [-5],
        "n_out": [-1],
        "batch": [0, -2],
        "mfu": [0, -0.5, 1.25, 40],
    }
    broken = {"n_gpus": (0, -2), "peak_flops": (0, -1000), "bw_Bps": (0, -500)}
    bad["hw"] = [{**hw, name: value} for name, values in broken.items() for value in values]
    words = "tokens are at least 0, batch and n_gpus at least 1, mfu in (0, 1], rates above 0"
    deep.refuses(good, bad, words)


@exercise("tail_report")
def _tail_report(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        m = dice.choice([1, 2, 3, 4, 5, 10, 20])
        samples = [dice.choice([dice.whole(1, 5), dice.number(0, 50)]) for _ in range(m)]
        q = dice.choice([f"{Decimal(dice.whole(1, m)) / m:f}", dice.decimal(0.01, 1), "1"])
        barely = Fraction(q) - Fraction(1, 10**12)
        form = dice.form(q) if dice.random() < 0.8 or barely <= 0 else barely
        return {"samples": dice.sequence(samples), "fanout": dice.whole(1, 20), "q": form}

    def counted(samples: Any, fanout: int, q: Exact) -> dict[str, float]:
        """Count, for each sample, how many are at most as slow; the least that suffices is it."""
        if not len(samples) or fanout < 1 or exact(q) <= 0 or exact(q) > 1:
            raise ValueError("There is a sample, fanout is at least 1, q in (0, 1].")
        times = [float(x) for x in samples]
        within = {x: sum(1 for other in times if not other > x) for x in times}
        enough = [x for x, count in within.items() if count >= exact(q) * len(times)]
        quick = Fraction(within[min(enough)], len(times))
        all_quick = Fraction(1)
        for _ in range(fanout):
            all_quick *= quick
        return {
            "quantile": min(enough),
            "fanout_p": float(1 - all_quick),
            "hedged_extra_load": float(1 - quick),
        }

    deep.agrees(
        draw,
        counted,
        "the numbers are those of the statement, by their keys",
        parts={
            "quantile": "the quantile is element number ceil(q m) of the m sorted samples, counted "
            "from 1, with q the decimal that one reads",
            "fanout_p": "a page is quick if all of its calls are: 1 - F^n, with F the share of "
            "samples that are at most the quantile",
            "hedged_extra_load": "a hedge is sent for each call that takes longer than the "
            "quantile: 1 - F, with F the share of samples that are at most it",
        },
        edges=[
            {"samples": [4], "fanout": 2, "q": 1},
            {"samples": [4, 4, 9], "fanout": 1, "q": "0.5"},
            {"samples": [*range(20)], "fanout": 1, "q": 0.55},
            {"samples": [*range(20)], "fanout": 1, "q": "0.550000000001"},
            {"samples": [3, 1, 2], "fanout": 1, "q": Fraction(1, 3)},
        ],
        cases=60,
    )
    bad: dict[str, list[Any]] = {"samples": [[], ()], "fanout": [0, -2]}
    bad["q"] = ["0", -0.5, "1.25", 99]
    words = "there is a sample, fanout is at least 1, and q is in (0, 1]"
    deep.refuses({"samples": [3, 1], "fanout": 2, "q": "0.5"}, bad, words)


@exercise("static_steps", "continuous_steps")
def _static_steps(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        lengths = [dice.choice([0, 1, dice.whole(0, 9)]) for _ in range(dice.whole(0, 9))]
        return {"lengths": lengths, "slots": dice.whole(1, 5)}

    def machine(lengths: list[int], slots: int, refill: bool) -> int:
        """Run the machine: in each step every occupied slot makes one token."""
        if slots < 1 or min(lengths, default=0) < 0:
            raise ValueError("There is a slot, and no length is negative.")
        come, steps = [*lengths], 0
        at_work: list[int] = []
        while come or at_work:
            places = slots - len(at_work) if refill or not at_work else 0
            while come and places:
                at_work.append(come.pop(0))
                places -= at_work[-1] > 0 or not refill
            at_work = [left - 1 for left in at_work if left]
            steps += bool(at_work)
            at_work = [left for left in at_work if left]
        return steps

    shared = [
        {"lengths": [], "slots": 2},
        {"lengths": [0, 0, 3], "slots": 2},
        {"lengths": [4, 0, 3], "slots": 2},
        {"lengths": [3, 3], "slots": 5},
    ]
    deep.agrees(
        draw,
        lambda lengths, slots: machine(lengths, slots, refill=False),
        "batches are cut in order, a request of length 0 keeps its place, and a batch takes as "
        "many steps as its longest",
        edges=shared,
        cases=100,
    )
    deep.agrees(
        draw,
        lambda lengths, slots: machine(lengths, slots, refill=True),
        "the next request in order takes a slot for the step after the one that freed it, and one "
        "of length 0 gives it on at once",
        of="continuous_steps",
        edges=shared,
        cases=100,
    )
    for name in ("static_steps", "continuous_steps"):
        bad: dict[str, list[Any]] = {"slots": [0, -2], "lengths": [[-1, 2], [2, -1]]}
        words = "there is a slot at least, and no length is negative"
        deep.refuses({"lengths": [2, 1], "slots": 2}, bad, words, of=name)
        deep.refuses({"lengths": [], "slots": 2}, {"slots": [0, -2]}, words, of=name)


def _busy(c: int, load: float) -> Iterator[tuple[int, float]]:
    """Yield how often n are there, from the flows up and down between states, in the long run."""
    below, weight = [], 1.0
    for n in range(c, 0, -1):  # from all servers busy down to none: n leave, load come
        weight *= n / load
        below.append((n - 1, weight))
        if weight > 1e250:
            raise Unasked
    states = [*below, (c, 1.0)]
    while states[-1][1] > 1e-18:
        n, weight = states[-1]
        states.append((n + 1, weight * load / c))
    whole = math.fsum(weight for _, weight in states)
    yield from ((n, weight / whole) for n, weight in states)


def _pool_wait(lam: float, mu: float, c: int) -> float:
    """Return the mean wait: those who queue in the long run, by Little's law."""
    if c < 1 or lam < 0 or mu <= 0:
        raise ValueError("lam is at least 0, mu above 0, c at least 1.")
    if lam == 0:
        return 0
    if lam >= c * mu:
        return math.inf
    if lam > 0.97 * c * mu:
        raise Unasked
    return math.fsum((n - c) * share for n, share in _busy(c, lam / mu) if n > c) / lam


@exercise("erlang_c", "mmc_wait")
def _erlang_c(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        c = dice.whole(1, 12)
        return {"c": c, "a": dice.choice([0, c, c + 1, dice.number(0.05, 0.9) * c])}

    def pool(dice: Dice) -> Arguments:
        c, mu = dice.whole(1, 8), dice.number(0.5, 20)
        return {"lam": dice.choice([0, c * mu, dice.number(0.05, 0.9) * c * mu]), "mu": mu, "c": c}

    def finds_all_busy(c: int, a: float) -> float:
        """Add up how often an arrival finds as many there as there are servers, or more."""
        if c < 1 or 0.97 * c < a < c:
            raise Unasked
        if a >= c:
            return 1
        return math.fsum(share for n, share in _busy(c, a) if n >= c) if a else 0

    deep.agrees(
        draw,
        finds_all_busy,
        "the probability that an arrival finds all servers busy and has to wait",
        edges_say=[
            (lambda c, a: a >= c, "from a load of c on there is no steady state: 1"),
            (lambda c, a: a == 0, "without a load nobody waits: 0"),
            (lambda c, a: c > 150, "it must work for many servers too: use the recursion"),
        ],
        edges=[{"c": 1, "a": 0}, {"c": 2, "a": 2}, {"c": 1000, "a": 950}, {"c": 300, "a": 270.5}],
        cases=30,
        rel_tol=1e-8,
    )
    deep.agrees(
        pool,
        _pool_wait,
        "the mean time in the queue of all requests, those who do not wait included, and without "
        "service",
        edges_say=[
            (lambda lam, mu, c: lam >= c * mu, "from a load of c on the wait has no end: math.inf"),
            (lambda lam, mu, c: lam == 0, "without arrivals nobody waits: 0"),
        ],
        of="mmc_wait",
        edges=[
            {"lam": 0, "mu": 2, "c": 1},
            {"lam": 4, "mu": 2, "c": 2},
            {"lam": 9, "mu": 2, "c": 2},
        ],
        cases=30,
        rel_tol=1e-8,
    )
    deep.holds(
        lambda dice: {"c": dice.whole(2, 9), "a": dice.number(0.5, 0.9)},
        lambda wait, c, a: wait(c + 1, a * c) < wait(c, a * c) < a < wait(c, c + 0.5) == 1,
        "one server more makes waiting rarer, a pool waits more rarely than its servers are busy, "
        "and from a load of c on everybody waits",
        where=lambda c, a: c >= 2 and 0 < a < 1,
        cases=10,
    )
    words = "c, a and lam are not negative, and mu is above 0"
    deep.refuses({"c": 3, "a": 2}, {"c": [-3], "a": [-2, -0.5]}, words)
    bad: dict[str, list[Any]] = {"lam": [-4, -0.5], "mu": [0, -2], "c": [-3]}
    deep.refuses({"lam": 4, "mu": 2, "c": 3}, bad, words, of="mmc_wait")
    deep.refuses({"lam": 0, "mu": 2, "c": 3}, {"mu": [0, -2]}, words, of="mmc_wait")


@exercise("goodput", "replicas_for_slo", "sla_credit")
def _goodput(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        requests = []
        for _ in range(dice.whole(0, 5)):
            status = dice.choice(["ok", "ok", "ok", "error", "OK"])
            lost = status != "ok" and dice.random() < 0.5
            ttft, tpot = dice.whole(0, 4) / 4, dice.choice([None, dice.whole(0, 4) / 8])
            times = {"ttft": None, "tpot": None} if lost else {"ttft": ttft, "tpot": tpot}
            requests.append({**times, "status": status})
        return {
            "requests": requests,
            "ttft_slo": dice.whole(0, 4) / 4,
            "tpot_slo": dice.whole(0, 4) / 8,
        }

    def kept(requests: list[dict[str, Any]], ttft_slo: float, tpot_slo: float) -> float:
        """Take out whoever was let down, for one reason after another."""
        served = [request for request in requests if request["status"] == "ok"]
        early = [request for request in served if not request["ttft"] > ttft_slo]
        slow = [r for r in early if r["tpot"] is not None and r["tpot"] > tpot_slo]
        return (len(early) - len(slow)) / max(len(requests), 1)

    def traffic(dice: Dice) -> Arguments:
        mu, bound = dice.number(0.5, 8), dice.choice([0.001, 0.1, 2, dice.number(0.01, 1)])
        lam = dice.choice(
            [0, mu * dice.whole(1, 6), dice.number(0.05, 0.95) * mu * dice.whole(1, 9)]
        )
        return {"lam": lam, "mu": mu, "wq_max": bound}

    def grown(lam: float, mu: float, wq_max: float) -> int:
        """Add replicas until those who queue in the long run wait no longer than allowed."""
        if wq_max <= 0:
            raise ValueError("The bound is above 0.")
        c = 1
        while not _pool_wait(lam, mu, c) <= wq_max * (1 + 1e-12):
            c += 1
        return c

    def agreement(dice: Dice) -> Arguments:
        steps = dice.sample([0.5, 0.9, 0.95, 0.99, 0.999], dice.whole(0, 4))
        table = [(threshold, dice.choice([5, 10, 25, 50])) for threshold in steps]
        return {"availability": dice.choice([*steps, 0.4, 0.92, 0.9995, 1]), "table": table}

    def owed(availability: float, table: list[tuple[float, float]]) -> float:
        """Go up the thresholds from the lowest, to the first that was not reached."""
        if len({threshold for threshold, _ in table}) < len(table):
            raise Unasked
        for threshold in sorted(threshold for threshold, _ in table):
            if threshold > availability:
                return dict(table)[threshold]
        return 0

    deep.agrees(
        draw,
        kept,
        "of all requests, failed ones included, the share of those with status ok, TTFT within its "
        "bound, and TPOT within its own if there is one; equal is within, and 0 without requests",
        edges=[{"requests": [], "ttft_slo": 1, "tpot_slo": 1}],
        cases=100,
    )
    deep.agrees(
        traffic,
        grown,
        "the least number of replicas for which lam < c mu and the mean wait, in the queue alone, "
        "is at most the bound",
        of="replicas_for_slo",
        where=lambda lam, mu, wq_max: lam <= 12 * mu if mu > 0 else True,
        edges=[
            {"lam": 0, "mu": 2, "wq_max": 1},
            {"lam": 2, "mu": 4, "wq_max": 0.25},
            {"lam": 4, "mu": 2, "wq_max": 100},
        ],
        cases=40,
    )
    words = "lam is not negative, mu and wq_max are above 0"
    good = {"lam": 3, "mu": 2, "wq_max": 0.5}
    bad: dict[str, list[Any]] = {"lam": [-3, -0.5], "mu": [0, -2], "wq_max": [0, -0.5]}
    deep.refuses(good, bad, words, of="replicas_for_slo")
    good = {"lam": 0, "mu": 2, "wq_max": 0.5}
    deep.refuses(good, {"mu": [0, -2], "wq_max": [-0.5]}, words, of="replicas_for_slo")
    deep.agrees(
        agreement,
        owed,
        "of the thresholds that availability is strictly below, the lowest decides, whatever their "
        "order; below none, nothing is owed",
        of="sla_credit",
        edges=[{"availability": 0.5, "table": []}, {"availability": 0.9, "table": [(0.9, 5)]}],
        cases=80,
    )
