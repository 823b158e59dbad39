# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Chapter 2 · Exercises: serving and inference optimisation
#
# << count | capitalize >> functions that stand between a trained model and its users, worth
# << num(points['total']) >> points. The rhythm is that of chapter 1: read the **statement**,
# write the **solution**, run the **try-it cell**, the **visible checks** and the **deep check**,
# which looks for an input for which the function is wrong. The **hidden tests** run after you hand
# in: more inputs, and the edges that the statement names.
#
# << overview >>
#
# In all << count >>, "error" means: raise `ValueError`. Results are compared as values, to nine digits
# unless the statement says otherwise. No function changes its arguments. The package
# `servemath_helpers` teaches the same formulas: use it as much as you like, except to return its
# own answer to the very question asked, which earns no points.
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% setup__statement
from servemath_helpers.notebook import check_close, check_equal, check_raises, check_true, header

header("Chapter 2 exercises", "Run the cells from the top; each check says what it saw.")

# %% [markdown] release_gate__statement
# *The new model scores better on the evaluation set. Do we ship it?* A mean is not a decision, and
# quality is not the only gate. Both versions were scored on the same $n$ items, so look at the
# differences $d_i$ = candidate − baseline:
#
# $$\text{promote} \iff \mathrm{CI}_{low}(\bar d) > 0 \;\wedge\; P_{99} \le \mathrm{SLO}
# \;\wedge\; \text{cost} \le \text{budget}$$
#
# | argument | meaning | unit |
# |:--|:--|:--|
# | `baseline`, `candidate` | scores of each item, in the same order; higher is better | score |
# | `p99_ms` | 99th percentile of the candidate's latency | ms |
# | `slo_ms` | largest P99 allowed | ms |
# | `cost`, `budget` | cost of the candidate, and the largest cost allowed | USD |
#
# Write `release_gate(baseline, candidate, p99_ms, slo_ms, cost, budget)`. Return a `dict` with
# exactly the keys
#
# | key | meaning |
# |:--|:--|
# | `"promote"` | `True` if all three gates hold, else `False` |
# | `"mean_delta"` | mean of the differences $\bar d$ |
# | `"ci_low"` | low end of a 95 % interval (two-sided) for the mean difference |
# | `"reasons"` | a list with one text for each gate that fails, beginning with `quality`, `latency` or `cost`; empty if none fails |
#
# For `"ci_low"` use the **paired bootstrap**: draw $n$ of the differences with replacement, take
# their mean, do this 10 000 times with a fixed generator, sort the means and take number 250.
# Another sound 95 % interval of the paired differences, such as Student's, is accepted: noisy data
# are compared with a tolerance.
#
# - A P99 equal to the SLO and a cost equal to the budget are within it. `ci_low` of exactly 0
#   fails.
# - The scores may be lists, tuples or NumPy arrays.
# - Error: fewer than two items; two sequences of different length.
#
# **Worked number.** Three items go from 0.5, 0.25, 0.75 to 0.625, 0.375, 0.875: every difference
# is the same, so `mean_delta` and `ci_low` both are
# << num(gates.release_gate([0.5, 0.25, 0.75], [0.625, 0.375, 0.875], 400, 500, 1, 2)['ci_low']) >>.

# %% release_gate__solution
import numpy as np


def release_gate(baseline, candidate, p99_ms, slo_ms, cost, budget):
    """Return whether to promote, the mean gain, its low end, and the gates that fail."""
    ### BEGIN SOLUTION
    if len(baseline) != len(candidate) or len(baseline) < 2:
        raise ValueError("baseline and candidate must hold the same two or more items")
    delta = np.subtract(candidate, baseline)
    draws = np.random.default_rng(0).choice(delta, size=(10_000, len(delta)))
    ci_low = float(np.sort(draws.mean(axis=1))[249])
    reasons = []
    if ci_low <= 0:
        reasons.append(f"quality: the gain may be as low as {ci_low:.4g}")
    if p99_ms > slo_ms:
        reasons.append(f"latency: P99 is {p99_ms} ms, allowed are {slo_ms} ms")
    if cost > budget:
        reasons.append(f"cost: {cost}, allowed is {budget}")
    return {
        "promote": not reasons,
        "mean_delta": float(delta.mean()),
        "ci_low": ci_low,
        "reasons": reasons,
    }
    ### END SOLUTION


# %%
report = release_gate(
    [0.5, 0.25, 0.75], [0.625, 0.375, 0.875], p99_ms=400, slo_ms=500, cost=1, budget=2
)
print(report)
check_close(
    [report["mean_delta"], report["ci_low"]],
    [0.125, 0.125],
    "the worked numbers: mean_delta and ci_low of three items",
)

# %% release_gate__visible__promotes_a_sure_gain
"""Visible: a gain on every item is promoted, a loss is not."""
from servemath_helpers.notebook import check_close, check_equal

baseline = [0.70, 0.72, 0.71, 0.69, 0.73]
candidate = [0.72, 0.74, 0.73, 0.71, 0.75]
got = release_gate(baseline, candidate, 480, 500, 1.8, 2.0)
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    ["ci_low", "mean_delta", "promote", "reasons"],
    "the sorted keys of release_gate(baseline, candidate, 480, 500, 1.8, 2.0)",
    "Return a dict with exactly these keys.",
)
check_close(
    got,
    {"promote": True, "mean_delta": 0.02, "ci_low": 0.02, "reasons": []},
    "release_gate(baseline, candidate, 480, 500, 1.8, 2.0)",
    "Every item gains 0.02, so the mean of any resample does.",
    abs_tol=1e-9,
)
got = release_gate(candidate, baseline, 480, 500, 1.8, 2.0)
check_equal(
    [got["promote"], [reason[:7] for reason in got["reasons"]]],
    [False, ["quality"]],
    "promote and reasons of release_gate with the worse version as candidate",
    "A loss fails the gate of quality, and only that one.",
)

# %% release_gate__hidden__values
"""Values: each gate alone and together, the interval of paired scores, a gain that is noise."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import itertools
import math
import random

from servemath_helpers.notebook import check_calls, check_close, check_equal

old, new = [0.70, 0.72], [0.73, 0.75]


def gates_of(baseline, candidate, p99_ms, slo_ms, cost, budget):
    """Return the verdict and the gates that the reasons name."""
    report = release_gate(baseline, candidate, p99_ms, slo_ms, cost, budget)
    kinds = ("cost", "latency", "quality")
    named = [next((kind for kind in kinds if r.startswith(kind)), r) for r in report["reasons"]]
    return [report["promote"], sorted(named)]


rows = [
    (
        (old, new, 500.001, 500, 2, 2),
        [False, ["latency"]],
        "latency fails where P99 is above the SLO, however little.",
    ),
    (
        (old, new, 500, 500, 2.001, 2),
        [False, ["cost"]],
        "cost fails where it is above the budget, however little.",
    ),
]
for fails in itertools.product((False, True), repeat=3):
    scores = (new, old) if fails[2] else (old, new)
    limits = (600 if fails[1] else 400, 500, 2.5 if fails[0] else 1, 2)
    named = [
        kind for kind, failing in zip(("cost", "latency", "quality"), fails, strict=True) if failing
    ]
    hint = "One reason for each gate that fails; a better mean excuses none."
    rows.append(((*scores, *limits), [not named, named], hint))
check_calls(gates_of, *rows, exact=True)

dice = random.Random(21)
hard = [dice.uniform(0.1, 0.9) for _ in range(100)]  # easy and hard items: scores differ a lot
gain = [score + dice.gauss(0.035, 0.10) for score in hard]
deltas = [b - a for a, b in zip(hard, gain, strict=True)]
mean = sum(deltas) / 100
error = math.sqrt(sum((d - mean) ** 2 for d in deltas) / 99 / 100)
got = release_gate(hard, gain, 400, 500, 1, 2)
check_close(
    got["ci_low"],
    mean - 1.96 * error,
    "ci_low of 100 paired scores",
    "ci_low is the low end of a two-sided 95 % interval of the paired differences.",
    abs_tol=0.2 * error,
)
check_close(
    got["mean_delta"],
    mean,
    "mean_delta of 100 paired scores",
    "mean_delta is the mean of the differences of each item.",
)
check_equal(
    got["promote"],
    True,
    "promote of 100 paired scores with a clear gain",
    "Scores differ between items; what counts is the difference on each.",
)

small = [dice.uniform(0.1, 0.9) for _ in range(30)]
noise = [dice.gauss(0, 0.10) for _ in range(30)]
shift = 0.015 - sum(noise) / 30  # so that the mean gain is 0.015, and its error 0.018
noisy = [s + e + shift for s, e in zip(small, noise, strict=True)]
got = release_gate(small, noisy, 400, 500, 1, 2)
check_equal(
    [got["mean_delta"] > 0, got["ci_low"] < 0, *gates_of(small, noisy, 400, 500, 1, 2)],
    [True, True, False, ["quality"]],
    "a gain of 30 noisy scores: mean above 0, ci_low below 0, promote, reasons",
    "A mean above 0 does not decide; the low end of its interval does.",
)
### END HIDDEN TESTS

# %% release_gate__hidden__edges
"""Edges: limits met exactly, no gain at all, two items, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_close, check_first, check_forms

old, new = [0.70, 0.72], [0.73, 0.75]


def gates_of(baseline, candidate, p99_ms, slo_ms, cost, budget):
    """Return the verdict and the gates that the reasons name."""
    report = release_gate(baseline, candidate, p99_ms, slo_ms, cost, budget)
    kinds = ("cost", "latency", "quality")
    named = [next((kind for kind in kinds if r.startswith(kind)), r) for r in report["reasons"]]
    return [report["promote"], sorted(named)]


rows = [
    (
        (old, new, 500, 500, 2, 2),
        [True, []],
        "A P99 equal to the SLO and a cost equal to the budget are within it.",
    ),
    (
        (old, new, 0, 0, 0, 0),
        [True, []],
        "A P99 equal to the SLO and a cost equal to the budget are within it, 0 too.",
    ),
    ((old, old, 400, 500, 1, 2), [False, ["quality"]], "Equal scores are no gain: ci_low is 0."),
]
check_first(
    release_gate,
    (([1, 3], [2, 4], 4, 5, 1, 2), {"promote": True, "mean_delta": 1, "ci_low": 1, "reasons": []}),
)
check_first(
    gates_of,
    ((new, old, 600, 500, 2.5, 2), [False, ["cost", "latency", "quality"]]),
    (([0.5] * 4, [0.4, 0.7, 0.4, 0.7], 400, 500, 1, 2), [False, ["quality"]]),
)
check_calls(gates_of, *rows, exact=True)

eighth = {"promote": True, "mean_delta": 0.125, "ci_low": 0.125, "reasons": []}
check_forms(
    release_gate,
    ([0.5, 0.25, 0.75], [0.625, 0.375, 0.875], 400, 500, 1, 2),
    eighth,
    "Lists, tuples and NumPy arrays are fine, also side by side.",
    pairs=True,
)
check_calls(
    release_gate,
    (([1, 3], [2, 4], 4, 5, 1, 2), eighth | {"mean_delta": 1, "ci_low": 1}, "Two are enough."),
)
got = release_gate(old, old, 400, 500, 1, 2)
check_close(
    [got["mean_delta"], got["ci_low"]],
    [0, 0],
    "mean_delta and ci_low of equal scores",
    "Nothing changed, and nothing is uncertain about it.",
)
### END HIDDEN TESTS

# %% release_gate__hidden__refused
"""Refused input: fewer than two items, two sequences of different length."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import numpy as np

from servemath_helpers.notebook import check_first, check_raises, check_refused

old, new = [0.70, 0.72], [0.73, 0.75]


def gates_of(baseline, candidate, p99_ms, slo_ms, cost, budget):
    """Return the verdict and the gates that the reasons name."""
    report = release_gate(baseline, candidate, p99_ms, slo_ms, cost, budget)
    kinds = ("cost", "latency", "quality")
    named = [next((kind for kind in kinds if r.startswith(kind)), r) for r in report["reasons"]]
    return [report["promote"], sorted(named)]


check_first(
    release_gate,
    (([1, 3], [2, 4], 4, 5, 1, 2), {"promote": True, "mean_delta": 1, "ci_low": 1, "reasons": []}),
)
check_first(
    gates_of,
    ((new, old, 600, 500, 2.5, 2), [False, ["cost", "latency", "quality"]]),
    (([0.5] * 4, [0.4, 0.7, 0.4, 0.7], 400, 500, 1, 2), [False, ["quality"]]),
)

for slo_ms in (500, 300):
    check_refused(
        release_gate,
        {
            "baseline": [0.5, 0.6],
            "candidate": [0.6, 0.7],
            "p99_ms": 400,
            "slo_ms": slo_ms,
            "cost": 1,
            "budget": 2,
        },
        {"baseline": ([0.5], [], [0.5] * 3), "candidate": ([0.6], [], (0.6,) * 3)},
        "Two sequences of different length are an error: each score of an item needs a partner.",
    )
for scores in ([0.5], (0.5,), np.array([0.5]), [], (), np.array([])):
    check_raises(
        lambda scores=scores: release_gate(scores, scores, 400, 500, 1, 2),
        ValueError,
        f"release_gate({scores!r}, {scores!r}, 400, 500, 1, 2)",
        "Fewer than two items are an error.",
    )
### END HIDDEN TESTS

# %% [markdown] pareto_front__statement
# *We measured a dozen configurations. Which ones are worth a discussion?* Configuration $a$
# **dominates** $b$ if it is at least as good in all three and better in at least one:
#
# $$T_a \le T_b, \qquad X_a \ge X_b, \qquad C_a \le C_b, \qquad
# (T_a, X_a, C_a) \ne (T_b, X_b, C_b)$$
#
# What nothing dominates is the **Pareto front**.
#
# | symbol | meaning | unit | wanted |
# |:--|:--|:--|:--|
# | $T$ | latency | ms | low |
# | $X$ | throughput | requests/s | high |
# | $C$ | cost | USD per hour | low |
#
# Write `pareto_front(points)`: `points` is a list of tuples (latency, throughput, cost). Return the
# indices of the points on the front, in ascending order.
#
# - Equal points do not dominate each other: they all stay, or all go.
# - One point is its own front; no points, no front: `[]`.
# - A coordinate may be infinite: it compares like any other number.
# - Error: a coordinate is NaN, because it can be compared with nothing.
#
# **Worked number.** The front of (10, 30, 2), (20, 60, 3), (20, 40, 3) is
# `<< pareto.pareto_front([(10, 30, 2), (20, 60, 3), (20, 40, 3)]) >>`.

# %% pareto_front__solution
import math


def pareto_front(points):
    """Return the indices of the points that no other point dominates."""
    ### BEGIN SOLUTION
    if any(math.isnan(value) for point in points for value in point):
        raise ValueError("a point must not hold NaN")

    def dominates(a, b):
        better_or_equal = a[0] <= b[0] and a[1] >= b[1] and a[2] <= b[2]
        return better_or_equal and tuple(a) != tuple(b)

    return [
        i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)
    ]
    ### END SOLUTION


# %%
front = pareto_front([(10, 30, 2), (20, 60, 3), (20, 40, 3)])
print(front)
check_equal(front, [0, 1], "the worked example: the front of three points")

# %% pareto_front__visible__drops_what_is_dominated
"""Visible: five configurations, of which one is dominated."""
from servemath_helpers.notebook import check_equal

points = [(20, 50, 4), (35, 120, 4), (60, 200, 4), (70, 180, 4), (30, 90, 2)]
check_equal(
    pareto_front(points),
    [0, 1, 2, 4],
    f"pareto_front({points})",
    "(70, 180, 4) is slower than (60, 200, 4), serves less and costs the same.",
)
check_equal(
    pareto_front([(20, 50, 4), (10, 60, 3)]),
    [1],
    "pareto_front([(20, 50, 4), (10, 60, 3)])",
    "Latency and cost should be low, throughput high.",
)

# %% pareto_front__hidden__values
"""Values: what dominates and what does not, points in any order, many points."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random

from servemath_helpers.notebook import check_calls

check_calls(
    pareto_front,
    *(
        ((points,), front, hint)
        for points, front, hint in (
            ([(10, 50, 3), (10, 60, 3)], [1], "Better in one and equal in the others dominates."),
            ([(10, 50, 3), (10, 50, 2)], [1], "Better in one and equal in the others dominates."),
            ([(10, 50, 3), (9, 50, 3)], [1], "Better in one and equal in the others dominates."),
            ([(10, 50, 3), (11, 49, 2)], [0, 1], "Cheaper is a reason to stay."),
            ([(10, 50, 3), (9, 49, 4)], [0, 1], "Faster is a reason to stay."),
            ([(10, 50, 3), (11, 51, 4)], [0, 1], "More throughput is a reason to stay."),
            (
                [(0, 0, 10), (6, 0, 6), (10, 0, 0)],
                [0, 1, 2],
                "The middle one is least for no weighted sum, and yet nothing dominates it.",
            ),
        )
    ),
    exact=True,
)

dice = random.Random(22)
rows = []
for _ in range(20):
    spread = dice.choice((3, 10, 1000))
    points = [tuple(dice.randint(0, spread) for _ in range(3)) for _ in range(dice.randint(1, 25))]
    best = []
    for i, (latency, throughput, cost) in enumerate(points):
        beaten = False
        for other in points:
            no_worse = other[0] <= latency and other[1] >= throughput and other[2] <= cost
            better = other[0] < latency or other[1] > throughput or other[2] < cost
            beaten = beaten or (no_worse and better)
        if not beaten:
            best.append(i)
    rows.append(((points,), best))
check_calls(
    pareto_front,
    *rows,
    what="many random sets of points",
    hint="The front is what nothing dominates; equal points do not dominate each other.",
    exact=True,
)
### END HIDDEN TESTS

# %% pareto_front__hidden__edges
"""Edges: equal points, nearly equal ones, one point and none, infinite coordinates."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math

from servemath_helpers.notebook import check_calls, check_first

inf = math.inf
check_first(
    pareto_front,
    (([(30, 60, 3), (20, 60, 3), (10, 30, 2), (25, 20, 2)],), [1, 2]),
    (([(0, 0, 10), (6, 0, 6), (10, 0, 0)],), [0, 1, 2]),
)
check_calls(
    pareto_front,
    *(
        ((points,), front, hint)
        for points, front, hint in (
            ([], [], "No points, no front."),
            ([(5, 5, 5)], [0], "One point is its own front."),
            ([(0, 0, 0)], [0], "One point is its own front."),
            ([(1, 2, 3)] * 4, [0, 1, 2, 3], "Equal points do not dominate each other."),
            (
                [(5, 10, 5), (1, 20, 1), (5, 10, 5), (1, 20, 1)],
                [1, 3],
                "Equal points stay together or go together.",
            ),
            ([(10, 50, 3), (10.0001, 50, 3)], [0], "Nearly equal is not equal."),
            ([(10, 50, 3), (10, 49.9999, 3)], [0], "Nearly equal is not equal."),
            ([(10, 50, 3), (10, 50, 3.0001)], [0], "Nearly equal is not equal."),
            ([(10, 50, 3), (10.0001, 50.0001, 3)], [0, 1], "Nearly equal is not equal."),
            ([(inf, 0, 1), (5, 10, 1)], [1], "An infinite latency is a number like others."),
            ([(inf, 0, 1), (1e300, 0, 1)], [1], "An infinite latency is a number like others."),
            ([(5, inf, 1), (5, 10, 1)], [0], "An infinite throughput is a number like others."),
            ([(5, 10, inf), (5, 10, 1)], [1], "An infinite cost is a number like others."),
            ([(inf, 5, 1), (inf, 5, 1), (inf, 6, 2)], [0, 1, 2], "Infinities are equal."),
            ([(inf, 0, inf)], [0], "One point is its own front."),
        )
    ),
    exact=True,
)
### END HIDDEN TESTS

# %% pareto_front__hidden__refused
"""Refused input: a coordinate that is NaN, in any place."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused

nan = float("nan")
check_first(
    pareto_front,
    (([(30, 60, 3), (20, 60, 3), (10, 30, 2), (25, 20, 2)],), [1, 2]),
    (([(0, 0, 10), (6, 0, 6), (10, 0, 0)],), [0, 1, 2]),
)
check_refused(
    pareto_front,
    {"points": [(1, 2, 3)]},
    {
        "points": (
            [(nan, 1, 2)],
            [(1, nan, 2)],
            [(1, 2, nan)],
            [(1, 2, 3), (0, 9, nan)],
            [(9, nan, 9), (1, 2, 3), (4, 5, 6)],
            [(1, 2, 3), (nan, nan, nan), (4, 5, 6)],
        )
    },
    "NaN can be compared with nothing.",
)
### END HIDDEN TESTS

# %% [markdown] batch_metrics__statement
# *Requests keep coming. Which batch sizes can keep up at all?* A batch of $B$ takes
#
# $$S(B) = \alpha + \beta B, \qquad X(B) = \frac{B}{S(B)}, \qquad \rho = \frac{\lambda S(B)}{B},
# \qquad T_{form} = \frac{B - 1}{2 \lambda}$$
#
# and is stable if $\rho < 1$, strictly. All times are in one unit, here ms.
#
# | symbol | name | meaning | unit |
# |:--|:--|:--|:--|
# | $B$ | `B` | requests in a batch, a whole number from 1 | requests |
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/ms |
# | $\alpha$, $\beta$ | `alpha`, `beta` | time per batch and per request in it, at least 0 | ms |
# | $S$ | `S` | time that a batch takes | ms |
# | $X$ | `throughput` | requests served at full speed | requests/ms |
# | $\rho$ | `rho` | load | – |
# | | `stable` | whether $\rho < 1$ | – |
# | $T_{form}$ | `formation` | mean wait for the batch to fill | ms |
#
# Write two functions in one cell. `batch_metrics(B, lam, alpha, beta)` takes plain numbers and
# returns a `dict` with exactly the keys `"S"`, `"throughput"`, `"rho"`, `"stable"`, `"formation"`.
# `min_stable_batch(lam, alpha, beta)` returns the smallest stable $B$ as an `int`:
#
# $$\lambda (\alpha + \beta B) < B \iff B > \frac{\lambda \alpha}{1 - \lambda \beta}
# \quad \text{if } \lambda \beta < 1,$$
#
# or `None` if no $B$ is stable ($\lambda \beta \ge 1$). Its arguments may each be an `int`, a text
# such as `"0.2"`, a `Decimal`, a `Fraction` or a `float`, and mean exactly the decimal that one
# reads: `Fraction(str(x))`.
#
# - A load of exactly 1 is not stable.
# - `lam = 0`: the load is 0; the formation wait is 0 for $B = 1$, else `math.inf`. Any batch is
#   stable.
# - Error: `B` below 1, any other argument negative; in `batch_metrics` also $\alpha = \beta = 0$.
#
# **Worked number.** With $\alpha$ = 12 ms and $\beta$ = 3 ms a batch of 6 takes
# << num(batching.batch_metrics(6, 0.1, 12, 3)['S']) >> ms; at 0.25 requests/ms the smallest stable
# batch is << batching.min_stable_batch('0.25', 12, 3) >>.

# %% batch_metrics__solution
import math
from fractions import Fraction


def batch_metrics(B, lam, alpha, beta):
    """Return S [ms], throughput [requests/ms], rho, stable and formation [ms]."""
    ### BEGIN SOLUTION
    if B < 1 or min(lam, alpha, beta) < 0 or alpha == beta == 0:
        raise ValueError("B must be at least 1, the others not negative, and S above 0")
    S = alpha + beta * B
    rho = lam * S / B
    formation = 0.0
    if B > 1:
        formation = (B - 1) / (2 * lam) if lam > 0 else math.inf
    return {
        "S": S,
        "throughput": B / S,
        "rho": rho,
        "stable": rho < 1,
        "formation": formation,
    }
    ### END SOLUTION


def min_stable_batch(lam, alpha, beta):
    """Return the smallest batch size with a load below 1, or None."""
    ### BEGIN SOLUTION
    lam, alpha, beta = (Fraction(str(value)) for value in (lam, alpha, beta))
    if min(lam, alpha, beta) < 0:
        raise ValueError("lam, alpha and beta must not be negative")
    if lam * beta >= 1:
        return None
    return math.floor(lam * alpha / (1 - lam * beta)) + 1
    ### END SOLUTION


# %%
six = batch_metrics(6, 0.1, 12, 3)
smallest = min_stable_batch("0.25", 12, 3)
print(six)
print("smallest stable batch:", smallest)
check_close([six["S"], smallest], [30, 13], "the worked numbers: S and the smallest stable batch")

# %% batch_metrics__visible__a_batch_of_32
"""Visible: the numbers of one batch size, and the smallest that keeps up."""
from servemath_helpers.notebook import check_close, check_equal

check_close(
    batch_metrics(B=32, lam=0.2, alpha=20, beta=1),
    {"S": 52, "throughput": 32 / 52, "rho": 0.325, "stable": True, "formation": 77.5},
    "batch_metrics(B=32, lam=0.2, alpha=20, beta=1)",
    "rho is lam S / B; the formation wait is that of B - 1 arrivals, halved.",
)
check_equal(
    min_stable_batch("0.1", 50, "0.5"),
    6,
    "min_stable_batch('0.1', 50, '0.5')",
    "A batch of 5 has a load of 1.05, one of 6 of 0.88: solve lam S(B) < B.",
)

# %% batch_metrics__hidden__values
"""Values: the five numbers of many batches, the smallest stable batch of many loads."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random
from decimal import Decimal
from fractions import Fraction

from servemath_helpers.notebook import check_calls

keys = ("S", "throughput", "rho", "stable", "formation")
check_calls(
    batch_metrics,
    *(
        (call, dict(zip(keys, row, strict=True)), hint)
        for call, row, hint in (
            ((2, 0.5, 3, 1), (5, 0.4, 1.25, False, 1), "A load above 1 is not stable."),
        )
    ),
)
dice = random.Random(32)
rows = []
for _ in range(20):
    B, lam, alpha, beta = dice.randint(1, 300), *(dice.uniform(0.001, top) for top in (2, 80, 3))
    S = Fraction(alpha) + Fraction(beta) * B
    rho = Fraction(lam) * S / B
    row = (S, B / S, rho, rho < 1, Fraction(B - 1) / (2 * Fraction(lam)))
    rows.append(((B, lam, alpha, beta), dict(zip(keys, row, strict=True))))
check_calls(
    batch_metrics,
    *rows,
    what="many batches",
    hint="throughput is B / S, rho is lam S / B, formation (B - 1) / (2 lam); round nothing.",
)

check_calls(
    min_stable_batch,
    (
        (Decimal("0.1"), 63, Fraction(1, 2)),
        7,
        "The smallest stable B: the next whole number above lam alpha / (1 - lam beta).",
    ),
    exact=True,
)

dice = random.Random(23)
rows = []
for _ in range(20):
    lam, alpha, beta = (Decimal(dice.randint(0, top)) / 20 for top in (30, 400, 30))
    size = 1 if lam * beta < 1 else None
    while size is not None and lam * (alpha + beta * size) >= size:
        size += 1
    rows.append(((str(lam), str(alpha), str(beta)), size))
rows.append(((1, 10**17 + 1, 0), 10**17 + 2))
hint = "The smallest stable B, as an int: the first with lam S(B) < B, or None."
check_calls(min_stable_batch, *rows, what="many loads", hint=hint, exact=True)
### END HIDDEN TESTS

# %% batch_metrics__hidden__edges
"""Edges: batches of one, no traffic, a load of exactly 1, whole quotients, every form of an argument."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math
from decimal import Decimal
from fractions import Fraction

from servemath_helpers.notebook import check_calls, check_first, check_forms

keys = ("S", "throughput", "rho", "stable", "formation")
check_first(
    batch_metrics,
    ((2, 0.5, 3, 1), {"S": 5, "throughput": 0.4, "rho": 1.25, "stable": False, "formation": 1}),
)
check_first(min_stable_batch, ((Decimal("0.1"), 63, Fraction(1, 2)), 7))
check_calls(
    batch_metrics,
    *(
        (call, dict(zip(keys, row, strict=True)), hint)
        for call, row, hint in (
            ((1, 0.25, 2, 1), (3, 1 / 3, 0.75, True, 0), "A batch of one waits for nobody."),
            ((1, 0, 2, 1), (3, 1 / 3, 0, True, 0), "A batch of one waits for nobody, ever."),
            ((4, 0, 2, 1), (6, 4 / 6, 0, True, math.inf), "Without arrivals it never fills."),
            ((5, 0.25, 15, 1), (20, 0.25, 1, False, 8), "A load of exactly 1 is not stable."),
            ((1, 0.25, 3, 1), (4, 0.25, 1, False, 0), "A load of exactly 1 is not stable."),
            (
                (5, 0.25, 14.875, 1),
                (19.875, 5 / 19.875, 0.99375, True, 8),
                "A load just below 1 is stable: round nothing.",
            ),
            ((8, 0.5, 0, 1), (8, 1, 0.5, True, 7), "alpha may be 0."),
            ((8, 0.5, 4, 0), (4, 2, 0.25, True, 7), "beta may be 0."),
        )
    ),
)

check_calls(
    min_stable_batch,
    (
        ("0.3", 7, 1),
        4,
        "A load of exactly 1 is not stable: where the quotient is whole, the next B is.",
    ),
    ((Fraction(3, 10), 1, Fraction(10, 3)), None, "lam beta = 1: no batch is ever stable."),
    (
        ("0.3", "9.9999999999", 0),
        3,
        "The smallest stable B: add nothing to the quotient before rounding.",
    ),
    (
        ("0.3", "10.0000000001", 0),
        4,
        "The smallest stable B: take nothing off the quotient before rounding.",
    ),
    ((2, 20, 1), None, "lam beta above 1: no batch is ever stable."),
    ((2, 0, 1), None, "lam beta above 1: no batch is ever stable."),
    ((0.5, 0, 1), 1, "Nothing to share: one is stable."),
    ((0.7, 0, 0), 1, "Service that takes no time keeps up with one."),
    exact=True,
)
exactly = "Read every form with Fraction(str(x)); where the quotient is whole, the next one is it."
for call, size in (
    (("0.2", "20", "1"), 6),
    (("0.3", "10", "0"), 4),
    (("1", "3", "0.7"), 11),
    (("0.06", "298.74", "0.07"), 19),
    (("0.36", "18.97", "0.67"), 10),
    (("0.04", "161.14", "1.98"), 8),
    (("1.5", "0.59", "0.47"), 4),
    (("1", "20", "1"), None),
    (("0.8", "20", "1.25"), None),
    (("0", "20", "1"), 1),
    (("0", "0", "0"), 1),
):
    check_forms(min_stable_batch, call, size, exactly, exact=True, pairs=size in (4, 8, 11, 19))
### END HIDDEN TESTS

# %% batch_metrics__hidden__refused
"""Refused input: `B` below 1, any other argument negative, a batch that takes no time."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from decimal import Decimal
from fractions import Fraction

from servemath_helpers.notebook import check_first, check_refused

check_first(
    batch_metrics,
    ((2, 0.5, 3, 1), {"S": 5, "throughput": 0.4, "rho": 1.25, "stable": False, "formation": 1}),
)
check_first(min_stable_batch, ((Decimal("0.1"), 63, Fraction(1, 2)), 7))
for B, lam in ((2, 0.25), (2, 0), (1, 0)):
    check_refused(
        batch_metrics,
        {"B": B, "lam": lam, "alpha": 1, "beta": 9},
        {"B": (0, -3), "lam": (-0.001, -1), "alpha": (-0.001, -1), "beta": (-0.001, -9)},
        "B is at least 1, and nothing is negative.",
        pairs=lam > 0,
    )
    check_refused(
        batch_metrics,
        {"B": B, "lam": lam, "alpha": 1, "beta": 0},
        {"alpha": (0, 0.0)},
        "A batch takes some time.",
    )
for lam, negative in ((0.1, ("-0.001", "-20")), (2, (-0.001,)), (0, (-0.001,))):
    check_refused(
        min_stable_batch,
        {"lam": lam, "alpha": 20, "beta": 1},
        dict.fromkeys(("lam", "alpha", "beta"), negative),
        "No argument is negative, whether a batch is stable or not.",
        pairs=lam == 0.1,
    )
### END HIDDEN TESTS

# %% [markdown] validate_request__statement
# *What must be true of a request before a GPU sees it, and is today's traffic still the traffic
# that we tested with?* Two functions in one cell.
#
# `validate_request(req, contract)` returns the sorted list of codes that apply to the request
# `req`, a `dict` of names and values; a good request gives `[]`. The contract is a `dict`:
#
# - `contract["fields"]` maps each known name to a `dict` with `"type"` (one of `"int"`, `"float"`,
#   `"str"`, `"bool"`), `"required"` (`True` or `False`), and for numbers perhaps `"min"` and
#   `"max"`, both inclusive;
# - `contract["ctx"]` is the context length of the model, in tokens.
#
# | code | applies if |
# |:--|:--|
# | `"missing"` | a required field is absent |
# | `"type"` | a known field has a value of the wrong type |
# | `"range"` | a value of the right type is below its `"min"` or above its `"max"` |
# | `"token_budget"` | `prompt_tokens` + `max_new_tokens` is more than `ctx` |
# | `"unknown_field"` | the request has a field that the contract does not know |
#
# - Each code appears at most once. Sorted means: in alphabetical order.
# - An `int` is fine where a float is asked. A `bool` is neither an int nor a float.
# - In the token budget a field that is absent, or whose value is not an int, counts 0. Whether the
#   contract knows the two fields plays no part in it.
#
# `js_divergence(p, q)` returns the Jensen–Shannon divergence of two histograms over the same bins,
# given as counts or weights, in nats:
#
# $$\mathrm{JS}(p, q) = \tfrac12 \sum_i p_i \ln \frac{p_i}{m_i}
# + \tfrac12 \sum_i q_i \ln \frac{q_i}{m_i}, \qquad m = \tfrac12 (p + q), \qquad 0 \ln 0 = 0$$
#
# - Both are divided by their sums first. Empty bins need no small constant.
# - Error: different lengths; a negative entry; all entries of one are 0.
#
# **Worked number.** JS of (3, 1) and (1, 1) is
# << num(drift.js_divergence([3, 1], [1, 1]), 6) >> nats.

# %% validate_request__solution
import math


def validate_request(req, contract):
    """Return the sorted codes of what is wrong with a request."""
    ### BEGIN SOLUTION
    accepted = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
    codes = set()
    for name, rule in contract["fields"].items():
        if name not in req:
            if rule["required"]:
                codes.add("missing")
            continue
        value = req[name]
        is_bool = isinstance(value, bool)
        if not isinstance(value, accepted[rule["type"]]) or (is_bool and rule["type"] != "bool"):
            codes.add("type")
        elif ("min" in rule and value < rule["min"]) or ("max" in rule and value > rule["max"]):
            codes.add("range")
    if any(name not in contract["fields"] for name in req):
        codes.add("unknown_field")
    tokens = [req.get(name, 0) for name in ("prompt_tokens", "max_new_tokens")]
    if sum(n for n in tokens if isinstance(n, int) and not isinstance(n, bool)) > contract["ctx"]:
        codes.add("token_budget")
    return sorted(codes)
    ### END SOLUTION


def js_divergence(p, q):
    """Return the Jensen-Shannon divergence of two histograms in nats."""
    ### BEGIN SOLUTION
    if len(p) != len(q):
        raise ValueError("p and q must have the same length")
    if min(*p, *q, 0) < 0 or sum(p) == 0 or sum(q) == 0:
        raise ValueError("entries must not be negative, nor all 0")
    total = 0.0
    for x, y in zip(p, q, strict=True):
        x, y = x / sum(p), y / sum(q)
        middle = (x + y) / 2
        total += sum(part * math.log(part / middle) / 2 for part in (x, y) if part > 0)
    return total
    ### END SOLUTION


# %%
contract = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1},
        "max_new_tokens": {"type": "int", "required": True, "min": 1},
        "temperature": {"type": "float", "required": False, "min": 0, "max": 2},
    },
    "ctx": 4096,
}
print(validate_request({"prompt_tokens": 4000, "max_new_tokens": 96}, contract))
print(validate_request({"prompt_tokens": 4000, "max_new_tokens": 97}, contract))
drift = js_divergence([3, 1], [1, 1])
print("JS =", drift)
check_close(drift, 0.0338, "the worked number: JS of (3, 1) and (1, 1)", rel_tol=0.002)

# %% validate_request__visible__one_good_one_bad_and_a_drift
"""Visible: a good request, a bad one, and the drift of a histogram."""
from servemath_helpers.notebook import check_close, check_equal

contract = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1},
        "max_new_tokens": {"type": "int", "required": True, "min": 1, "max": 2048},
        "temperature": {"type": "float", "required": False, "min": 0, "max": 2},
        "model": {"type": "str", "required": True},
    },
    "ctx": 8192,
}
check_equal(
    validate_request({"prompt_tokens": 6144, "max_new_tokens": 2048, "model": "8b"}, contract),
    [],
    "validate_request of a request at its limits",
    "Bounds met exactly are met, also that of the context.",
)
check_equal(
    validate_request(
        {"prompt_tokens": 7000, "max_new_tokens": 4096, "temperature": "hot", "seed": 1}, contract
    ),
    ["missing", "range", "token_budget", "type", "unknown_field"],
    "validate_request of a request that breaks everything",
    "No model; 4096 is above its max; the sum does not fit; a text is no float; what is a seed?",
)
check_close(
    js_divergence([0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]),
    0.02786561346,
    "js_divergence([0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4])",
    "Natural logarithm, the mean of the two divergences from m, and no small constant.",
)

# %% validate_request__hidden__values
"""Values: requests that break one rule or several, histograms of any scale."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math
import random

from servemath_helpers.notebook import check_calls

rules = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1},
        "max_new_tokens": {"type": "int", "required": False, "min": 0},
        "top_p": {"type": "float", "required": False, "min": 0, "max": 1},
        "priority": {"type": "int", "required": False, "min": -2, "max": 2},
        "bias": {"type": "float", "required": False, "max": 0},
        "seed": {"type": "int", "required": False},
        "stream": {"type": "bool", "required": False},
        "user": {"type": "str", "required": False},
    },
    "ctx": 1000,
}
base = {"prompt_tokens": 500, "max_new_tokens": 500}
changes = [
    ({"max_new_tokens": 501}, ["token_budget"], "One token too many."),
    ({"top_p": 1.0001}, ["range"], "A number above max is out of range."),
    ({"top_p": 2}, ["range"], "An int above the max of a float."),
    ({"top_p": -0.1}, ["range"], "A number below min is out of range."),
    ({"priority": 3}, ["range"], "A number above max is out of range."),
    ({"priority": -3}, ["range"], "A number below min is out of range."),
    *(
        (
            {"top_p": value},
            ["type"],
            "A field of type float takes an int too, but a bool is neither.",
        )
        for value in (True, False, "0.5", None)
    ),
    *(
        (
            {"priority": value},
            ["type"],
            "A field of type int takes an int alone; a bool is neither an int nor a float.",
        )
        for value in (True, False, 1.0, "1", None)
    ),
    *(
        (
            {"seed": value},
            ["type"],
            "A field of type int takes an int alone; a bool is neither an int nor a float.",
        )
        for value in (True, 0.5, "7", [7])
    ),
    *(
        ({"stream": value}, ["type"], "A field of type bool takes True and False alone.")
        for value in (1, 0, 1.0, "true", None)
    ),
    *(
        ({"user": value}, ["type"], "A field of type str takes a text alone.")
        for value in (5, 0.5, True, None, ["a"])
    ),
    ({"Stream": True}, ["unknown_field"], "Names are compared exactly."),
    ({"a": None}, ["unknown_field"], "The name counts, not the value."),
    (
        {"prompt_tokens": -5, "top_p": 3, "stream": 1, "x": 1},
        ["range", "type", "unknown_field"],
        "Sorted, each at most once.",
    ),
    ({"prompt_tokens": 1200, "max_new_tokens": -5}, ["range", "token_budget"], "Both apply."),
    ({"prompt_tokens": 1005, "max_new_tokens": -5}, ["range"], "The sum decides: it fits."),
]
requests = [
    ({}, ["missing"], "Only required fields may be missed."),
    ({"prompt_tokens": 1001}, ["token_budget"], "The prompt alone does not fit."),
    ({"max_new_tokens": 1001}, ["missing", "token_budget"], "Two codes, in alphabetical order."),
    ({"x": 1, "max_new_tokens": -1}, ["missing", "range", "unknown_field"], "Three codes."),
]
free = {"fields": {}, "ctx": 10}
check_calls(
    validate_request,
    *((({**base, **change}, rules), codes, hint) for change, codes, hint in changes),
    *(((request, rules), codes, hint) for request, codes, hint in requests),
    (({"x": 1}, free), ["unknown_field"], "Take names, types and bounds from the contract."),
    (({"prompt_tokens": 11}, free), ["token_budget", "unknown_field"], "Two codes apply."),
    (({"prompt_tokens": 5, "max_new_tokens": 5}, free), ["unknown_field"], "The sum fits."),
    exact=True,
)

check_calls(
    js_divergence,
    (
        ([0.001, 0.001], [0.5, 0]),
        0.75 * math.log(4 / 3),
        "Both are divided by their sums first, weights of any size.",
    ),
)
dice = random.Random(24)
rows = []
for _ in range(15):
    n = dice.randint(2, 9)
    p, q = ([dice.choice((0, 1, 2, 5, 30)) for _ in range(n)] for _ in range(2))
    p[0] += 1
    q[1] += 1
    one, two = [x / sum(p) for x in p], [y / sum(q) for y in q]
    terms = [x * math.log(2 * x / (x + y)) for x, y in zip(one, two, strict=True) if x]
    terms += [y * math.log(2 * y / (x + y)) for x, y in zip(one, two, strict=True) if y]
    value = math.fsum(terms) / 2
    in_thousands, shares = [1000 * x for x in p], [y / 8 for y in q]
    rows += [(pair, value) for pair in ((p, q), (q, p), (in_thousands, q), (p, shares))]
check_calls(
    js_divergence,
    *rows,
    what="many histograms: symmetric, and the same for any scale",
    hint="Both are divided by their sums first; the mean of two divergences from m, with natural logarithms.",
)
### END HIDDEN TESTS

# %% validate_request__hidden__edges
"""Edges: bounds met exactly, what counts 0 in the budget, each code once, empty bins."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math

from servemath_helpers.notebook import check_calls, check_first

rules = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1},
        "max_new_tokens": {"type": "int", "required": False, "min": 0},
        "top_p": {"type": "float", "required": False, "min": 0, "max": 1},
        "priority": {"type": "int", "required": False, "min": -2, "max": 2},
        "bias": {"type": "float", "required": False, "max": 0},
        "seed": {"type": "int", "required": False},
        "stream": {"type": "bool", "required": False},
        "user": {"type": "str", "required": False},
    },
    "ctx": 1000,
}
base = {"prompt_tokens": 500, "max_new_tokens": 500}
no_int = "What is not an int counts 0 in the budget, and a bool is none."
changes = [
    ({}, [], "A sum equal to the context fits."),
    ({"top_p": 1, "stream": False, "user": ""}, [], "An int is fine where a float is asked."),
    ({"top_p": 0.0, "priority": -2, "bias": 0}, [], "Bounds are inclusive."),
    ({"top_p": 1.0, "priority": 2, "bias": -9}, [], "Bounds are inclusive."),
    ({"seed": -(10**20), "stream": True}, [], "Without bounds any int is within them."),
    ({"bias": 0.5}, ["range"], "A number above max is out of range: a max of 0 is a bound, too."),
    (
        {"prompt_tokens": 0},
        ["range"],
        "A number below min is out of range: a min of 0 is a bound, too.",
    ),
    (
        {"max_new_tokens": -1},
        ["range"],
        "A number below min is out of range: a min of 0 is a bound, too.",
    ),
    ({"prompt_tokens": True, "max_new_tokens": 1000}, ["type"], no_int),
    ({"prompt_tokens": 1000, "max_new_tokens": True}, ["type"], no_int),
    ({"prompt_tokens": 1000, "max_new_tokens": 20.0}, ["type"], no_int),
    ({"max_new_tokens": "9999"}, ["type"], no_int),
    ({"prompt_tokens": "9999", "max_new_tokens": 1001}, ["token_budget", "type"], no_int),
    ({"max_new_tokens": None}, ["type"], no_int),
    ({"a": None, "b": 2, "c": 3}, ["unknown_field"], "Each code appears at most once."),
    ({"top_p": 3, "priority": 9, "bias": 1}, ["range"], "Each code appears at most once."),
    ({"stream": 1, "user": 1, "seed": "1"}, ["type"], "Each code appears at most once."),
]
requests = [
    ({"prompt_tokens": 1000}, [], "An optional field may be absent, and then counts 0."),
    ({"max_new_tokens": 1000}, ["missing"], "A field that is absent counts 0."),
]
free = {"fields": {}, "ctx": 10}
both = {"a": {"type": "int", "required": True}, "b": {"type": "str", "required": True}}
check_first(
    validate_request,
    (({"x": 1}, free), ["unknown_field"]),
    (({"prompt_tokens": 11}, free), ["token_budget", "unknown_field"]),
)
check_first(js_divergence, (([0.001, 0.001], [0.5, 0]), 0.75 * math.log(4 / 3)))
check_calls(
    validate_request,
    *((({**base, **change}, rules), codes, hint) for change, codes, hint in changes),
    *(((request, rules), codes, hint) for request, codes, hint in requests),
    (({}, free), [], "Nothing is required, nothing is there."),
    (
        ({"prompt_tokens": 5, "max_new_tokens": 6}, free),
        ["token_budget", "unknown_field"],
        "The budget looks at the request, not at the contract's fields.",
    ),
    (({}, {"fields": both, "ctx": 0}), ["missing"], "Each code appears at most once."),
    (({"a": 1}, {"fields": both, "ctx": 0}), ["missing"], "One is there, the other is not."),
    (({"a": "1", "b": 1}, {"fields": both, "ctx": 0}), ["type"], "Each code at most once."),
    exact=True,
)

check_calls(
    js_divergence,
    (
        ([1, 0], [0, 1]),
        math.log(2),
        "Empty bins need no small constant: nothing in common is ln 2.",
    ),
    (
        ([1, 0, 3], [0, 5, 0]),
        math.log(2),
        "Both are divided by their sums first: nothing in common is ln 2 for any number of entries.",
    ),
    (([5, 0, 5], [1, 0, 1]), 0, "The same shares do not diverge; an empty bin adds nothing."),
    (([4], [9]), 0, "A single bin holds everything."),
    (
        ([1, 1], [1, 0]),
        0.75 * math.log(4 / 3),
        "Empty bins need no small constant: 0 ln 0 counts 0.",
    ),
)
### END HIDDEN TESTS

# %% validate_request__hidden__refused
"""Refused input: histograms of different length, a negative entry, entries that are all 0."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math

from servemath_helpers.notebook import check_first, check_refused

free = {"fields": {}, "ctx": 10}
fields = {
    "prompt_tokens": {"type": "int", "required": True},
    "max_new_tokens": {"type": "int", "required": True},
    "top_p": {"type": "float", "required": False},
}
check_first(
    validate_request,
    (({"prompt_tokens": 6, "max_new_tokens": 4}, {"fields": fields, "ctx": 10}), []),
    (({"x": 1}, free), ["unknown_field"]),
    (({"prompt_tokens": 11}, free), ["token_budget", "unknown_field"]),
)
check_first(js_divergence, (([0.001, 0.001], [0.5, 0]), 0.75 * math.log(4 / 3)))

for p, q in (([1, 2], [2, 1]), ([1, 1], [1, 0]), ([0, 3], [3, 0])):
    broken = ([1], [1, 2, 3], [1, -1], [-0.001, 3], [3, -0.001], [0, 0], [0.0, 0.0])
    hint = "One length, no negative entries, and not all 0."
    check_refused(js_divergence, {"p": p, "q": q}, {"p": broken, "q": broken}, hint)
### END HIDDEN TESTS

# %% [markdown] burn_alert__statement
# *When does an error rate wake somebody?* When it is large enough to matter and still going on: a
# long window and a short one must both burn the error budget too fast. Over a window,
#
# $$\mathrm{burn} = \frac{\sum \text{errors} \,/ \sum \text{totals}}{1 - \mathrm{SLO}}$$
#
# | argument | meaning | unit |
# |:--|:--|:--|
# | `errors`, `totals` | bad requests and all requests of each minute, newest last | requests |
# | `slo` | promised share of good requests, in [0, 1] | – |
# | `period_h` | period of the SLO, 720 for thirty days; it says what an alert costs, and does not change which rules fire | h |
# | `rules` | list of `(name, long_h, short_h, burn)` | –, h, h, – |
#
# Write two functions in one cell. `burn_alert(errors, totals, slo, period_h, rules)` returns the
# names of the rules that fire now, in the order of `rules`. A rule fires if and only if its long
# **and** its short window both have a burn rate of at least its `burn`. The window of $h$ hours is
# the last $60 h$ minutes (always a whole number); if the series is shorter, it is what exists.
#
# `slo` and `burn` may be an `int`, a text, a `Decimal`, a `Fraction` or a `float`, and mean exactly
# the decimal that one reads: `Fraction(str(x))`.
#
# - A window without traffic burns 0. With `slo = 1`, a window with an error burns `math.inf`, one
#   without burns 0.
# - Error: `errors` and `totals` differ in length; a negative count; `slo` outside [0, 1].
#
# `admit(scores, threshold)` returns a list of `bool`: for each score, whether it is at least the
# threshold.
#
# **Worked number.** 30 bad of 1000 requests in every minute of an hour, with an SLO of 0.995, burn
# at << num(reliability.burn_rate(30, 1000, '0.995')) >>, so a rule with `burn` 6 fires, and one
# with 10 does not.

# %% burn_alert__solution
import math
from fractions import Fraction


def burn_alert(errors, totals, slo, period_h, rules):
    """Return the names of the rules whose long and short windows both burn too fast."""
    ### BEGIN SOLUTION
    allowed = 1 - Fraction(str(slo))
    if not 0 <= allowed <= 1:
        raise ValueError("slo must be in [0, 1]")
    if len(errors) != len(totals):
        raise ValueError("errors and totals must have the same length")
    if any(count < 0 for count in (*errors, *totals)):
        raise ValueError("counts must not be negative")

    def burn_of(hours):
        minutes = round(60 * hours)
        bad, n = sum(errors[-minutes:]), sum(totals[-minutes:])
        if n == 0 or bad == 0:
            return 0
        return math.inf if allowed == 0 else Fraction(int(bad), int(n)) / allowed

    return [
        name
        for name, long_h, short_h, burn in rules
        if min(burn_of(long_h), burn_of(short_h)) >= Fraction(str(burn))
    ]
    ### END SOLUTION


def admit(scores, threshold):
    """Return for each score whether it is at least the threshold."""
    ### BEGIN SOLUTION
    return [bool(score >= threshold) for score in scores]
    ### END SOLUTION


# %%
rules = [("page", 1, 0.1, 10), ("ticket", 6, 0.5, 6)]
fired = burn_alert([30] * 60, [1000] * 60, "0.995", 720, rules)
print(fired)
print(admit([0.9, 0.4], 0.5))
check_equal(fired, ["ticket"], "the worked number: a burn rate of 6")

# %% burn_alert__visible__an_hour_at_fourteen_point_four
"""Visible: a rule met exactly, a quiet hour, and an admission threshold."""
from servemath_helpers.notebook import check_equal

rules = [("page", 1, 0.1, 14.4), ("ticket", 6, 0.5, 6)]
check_equal(
    burn_alert([144] * 360, [10_000] * 360, "0.999", 720, rules),
    ["page", "ticket"],
    "burn_alert([144] * 360, [10_000] * 360, '0.999', 720, rules)",
    "1.44 % is exactly 14.4 times 0.1 %, and at least means >=: compute 1 - slo exactly.",
)
check_equal(
    burn_alert([1] * 360, [10_000] * 360, "0.999", 720, rules),
    [],
    "burn_alert([1] * 360, [10_000] * 360, '0.999', 720, rules)",
    "0.01 % is a tenth of what the SLO allows.",
)
check_equal(
    admit([0.62, 0.81, 0.7], 0.7), [False, True, True], "admit([0.62, 0.81, 0.7], 0.7)", "At least."
)

# %% burn_alert__hidden__values
"""Values: recoveries, spikes and uneven traffic, scores in their order."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls

page, ticket = ("page", 1, 0.1, 14.4), ("ticket", 6, 0.5, "6")
even = [1000] * 360
recovered = "Recovered: the long window still burns, the short one no longer does."
spike = "A spike of six minutes fills the short window, not yet the long one."
summed = "Sum both over the window, do not average the minutes' rates."
check_calls(
    burn_alert,
    *(
        ((errors, totals, slo, 720, alerts), fired, hint)
        for errors, totals, slo, alerts, fired, hint in (
            ([0] * 300 + [40] * 54 + [0] * 6, even, "0.999", [page], [], recovered),
            ([0] * 354 + [40] * 6, even, "0.999", [page], [], spike),
            (
                [0] * 359 + [1000],
                even,
                "0.999",
                [page],
                ["page"],
                "A rule fires if both windows burn at least as fast: sum the counts of a window.",
            ),
            ([20] * 360, even, "0.95", [page, ticket], [], "Little, if 5 % are allowed."),
            (
                [2] * 360,
                even,
                "0.9999",
                [page, ticket],
                ["page", "ticket"],
                "The burn is the share of errors over 1 - slo: both rules fire.",
            ),
            ([20] * 360, even, "0.999", [ticket, page], ["ticket", "page"], "In order of rules."),
            ([6] * 329 + [5] + [7] * 30, even, "0.999", [ticket], ["ticket"], "Above and above."),
            ([6] * 330 + [9] * 29 + [0], even, "0.999", [ticket], ["ticket"], "Sum the window."),
            ([6] * 329 + [5] + [6] * 30, even, "0.999", [ticket], [], "The long one misses it."),
            ([6] * 329 + [9] + [6] * 29 + [5], even, "0.999", [ticket], [], "The short one does."),
            (
                [100] * 6 + [0] * 54,
                [100] * 6 + [100_000] * 54,
                "0.999",
                [("slow", 1, 1, 2)],
                [],
                summed,
            ),
            ([0] * 54 + [20] * 6, [1] * 54 + [1000] * 6, "0.999", [page], ["page"], summed),
        )
    ),
    exact=True,
)

# rules that a minute more or less, or totals from the other end, would tell otherwise
dice = random.Random(25)
for _ in range(40):
    totals = [dice.choice((5, 40, 300)) for _ in range(dice.randint(90, 150))]
    errors = [dice.randint(0, n // 5) for n in totals]
    burns = {
        k: Fraction(sum(errors[len(errors) - k :]), sum(totals[len(totals) - k :])) * 100
        for k in (6, 30, 60, 90)
    }
    alerts, fired = [], []
    for long, short in ((60, 6), (90, 30), (60, 30)):
        limit = min(burns[long], burns[short])
        met, above = f"met {long} {short}", f"above {long} {short}"
        alerts += [
            (met, long / 60, short / 60, limit),
            (above, long / 60, short / 60, limit * 1001 / 1000),
        ]
        fired += [met, above] if limit == 0 else [met]
    check_calls(
        burn_alert,
        ((errors, totals, "0.99", 720, alerts), fired),
        hint="A window is the last 60 h minutes of errors and of totals, no minute more or less.",
        exact=True,
    )
check_calls(
    burn_alert,
    *(
        ((errors, even, "0.999", hours, [page, ticket]), fired)
        for hours in (1, 168, 2160, 20_000)
        for errors, fired in (
            ([0] * 300 + [40] * 54 + [0] * 6, ["ticket"]),
            ([0] * 354 + [40] * 6, []),
            ([0] * 300 + [15] * 60, ["page"]),
            ([6] * 360, ["ticket"]),
        )
    ),
    hint="The period does not change which rules fire.",
    exact=True,
)

check_calls(
    admit,
    (([0.2, 0.9, 0.7], 0.7), [False, True, True], "In the order of the scores."),
    (([1.5, 2.5], 2), [False, True], "A score is any number."),
    exact=True,
)
### END HIDDEN TESTS

# %% burn_alert__hidden__edges
"""Edges: a burn of exactly the rule's, silence, short series, an SLO of 1, every form of a number."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_first, check_forms

page, ticket = ("page", 1, 0.1, 14.4), ("ticket", 6, 0.5, "6")
even = [1000] * 360
forever = "With an SLO of 1 any error burns without end, and without one nothing burns."
check_first(
    burn_alert,
    (([20] * 360, even, "0.999", 720, [ticket, page]), ["ticket", "page"]),
    (([0] * 354 + [40] * 6, even, "0.999", 720, [page]), []),
    (([144] * 360, [10_000] * 360, "0.999", 720, [page]), ["page"]),
)
check_first(admit, (([0.2, 0.9, 0.7], 0.7), [False, True, True]))
check_calls(
    burn_alert,
    *(
        ((errors, totals, slo, 720, alerts), fired, hint)
        for errors, totals, slo, alerts, fired, hint in (
            ([6] * 360, even, "0.999", [page, ticket], ["ticket"], "A burn of exactly 6 fires."),
            ([0] * 60, [0] * 60, "0.999", [page], [], "No traffic burns nothing."),
            ([0] * 60, [0] * 60, 1, [page], [], "No traffic burns nothing."),
            (
                [20] * 54 + [0] * 6,
                [1000] * 54 + [0] * 6,
                "0.999",
                [page],
                [],
                "A window without traffic burns 0.",
            ),
            ([], [], "0.999", [page], [], "No minutes, no traffic."),
            ([20] * 10, [1000] * 10, "0.999", [page], ["page"], "What exists counts."),
            ([20], [1000], "0.999", [page, ticket], ["page", "ticket"], "What exists counts."),
            ([20] * 60, [1000] * 60, "0.999", [], [], "No rules, no alerts."),
            (
                [0] * 60,
                [0] * 54 + [10] * 6,
                "0.999",
                [("always", 1, 0.1, 0)],
                ["always"],
                "A burn of 0 is at least 0.",
            ),
        )
    ),
    exact=True,
)


def alerts_at(slo, rules):
    """Ask for an hour in which 1.44 % of requests fail."""
    return burn_alert([144] * 60, [10_000] * 60, slo, 720, rules)


exactly = "Read every form of number with Fraction(str(x))."
for slo, fires, not_quite in (
    ("0.999", "14.4", "14.4000000001"),
    ("0.9", "0.144", "0.1440000001"),
    ("0.99", "1.44", "1.4400000001"),
    ("0", "0.0144", "0.0144000001"),
):
    check_forms(
        alerts_at,
        (slo, [("a", 1, 0.1, fires), ("b", 1, 0.1, not_quite), ("c", 1, 0.1, fires)]),
        ["a", "c"],
        exactly,
        exact=True,
        pairs=slo == "0.999",
    )
for errors, fired in (([1] + [0] * 5, ["a", "b"]), ([0] * 6, [])):
    check_forms(
        lambda slo, rules, errors=errors: burn_alert(errors, [100] * 6, slo, 720, rules),
        ("1", [("a", 1, 0.1, "14.4"), ("b", 6, 1, "1000000")]),
        fired,
        forever,
        exact=True,
    )

check_calls(
    admit,
    (([0.91, 0.7, 0.69, 0.2, 0.699999], 0.7), [True, True, False, False, False], "At least: >=."),
    (([], 0.7), [], "No scores, no verdicts."),
    (([0, 0.0, -1], 0), [True, True, False], "A threshold of 0 is one."),
    (([0.5, -0.5], -0.5), [True, True], "A threshold may be negative."),
    exact=True,
)
### END HIDDEN TESTS

# %% burn_alert__hidden__refused
"""Refused input: counts that differ in length, a negative count, `slo` outside [0, 1]."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused

page, ticket = ("page", 1, 0.1, 14.4), ("ticket", 6, 0.5, "6")
even = [1000] * 360
check_first(
    burn_alert,
    (([20] * 360, even, "0.999", 720, [ticket, page]), ["ticket", "page"]),
    (([0] * 354 + [40] * 6, even, "0.999", 720, [page]), []),
    (([144] * 360, [10_000] * 360, "0.999", 720, [page]), ["page"]),
)
check_first(admit, (([0.2, 0.9, 0.7], 0.7), [False, True, True]))

for rules in ([page], []):
    check_refused(
        burn_alert,
        {
            "errors": [1] * 90,
            "totals": [10] * 90,
            "slo": "0.9",
            "period_h": 720,
            "rules": rules,
        },
        {
            "errors": ([1] * 89, [1] * 91, [], [-1] + [1] * 89, [1] * 89 + [-1]),
            "totals": ([10] * 89, [10] * 91, [], [-10] + [10] * 89, [10] * 89 + [-10]),
            "slo": ("1.0001", "99.9", "-0.0001", "-1"),
        },
        "One count of each kind a minute, none negative, and an SLO in [0, 1].",
    )
check_refused(
    burn_alert,
    {"errors": [], "totals": [], "slo": "0.9", "period_h": 720, "rules": [page]},
    {"errors": ([1],), "totals": ([1],), "slo": ("1.0001", "-0.0001")},
    "One count of each kind a minute, and an SLO in [0, 1].",
)
### END HIDDEN TESTS

# %% [markdown] service_time_s__statement
# *How long does the machine work for one request?* The prompt is read in one pass (prefill, bound
# by arithmetic); each token after the first takes a decode step, which reads the weights once for
# the whole batch and every sequence's own keys and values:
#
# $$t_{prefill} = \frac{2 N s + 2 n_l\, d_q\, s^2}{n F\,\mathrm{mfu}}, \qquad
# t_{step} = \frac{B\, s\, k}{n\,BW}
# + \max\left(\frac{N b}{n\,BW}, \frac{2 N B}{n F}\right)$$
#
# $$d_q = h\, d_h, \qquad k = 2\, n_l\, n_{kv}\, d_h\, b_{kv}, \qquad
# t_{total} = t_{prefill} + \max(n_{out} - 1, 0)\, t_{step}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $s$ | `prompt` | tokens of the prompt, from 0; also the context of every step | tokens |
# | $n_{out}$ | `n_out` | tokens of the answer, from 0 | tokens |
# | $B$ | `batch` | sequences that decode together, from 1 | – |
# | $N$, $n_l$ | `model["n_params"]`, `model["layers"]` | parameters, layers | – |
# | $h$, $n_{kv}$, $d_h$ | `model["heads"]`, `model["kv_heads"]`, `model["head_dim"]` | query heads, key/value heads, head dimension | – |
# | $b$, $b_{kv}$ | `model["bytes_per_param"]`, `model["bytes_per_kv"]` | bytes of a parameter, of a cached element | bytes |
# | $n$ | `hw["n_gpus"]` | GPUs, from 1 | – |
# | $F$, $BW$ | `hw["peak_flops"]`, `hw["bw_Bps"]` | dense peak and memory bandwidth of one GPU, above 0 | FLOP/s, B/s |
# | $\mathrm{mfu}$ | `mfu` | share of the peak that prefill reaches, in (0, 1] | – |
#
# Write `service_time_s(prompt, n_out, batch, model, hw, mfu)`. Return a `dict` with exactly the
# keys `"prefill_s"`, `"step_s"`, `"total_s"`, all in s, and `"bound"`: `"compute"` if the second
# term of the maximum is the larger, else `"memory"`.
#
# - `n_out` of 0 or 1: no decode step, but `"step_s"` is reported all the same.
# - `prompt = 0`: prefill takes 0 s.
# - Error: `prompt` or `n_out` negative; `batch` or `n_gpus` below 1; `mfu` outside (0, 1];
#   `peak_flops` or `bw_Bps` zero or negative.
#
# **Worked number.** For a model of 10⁹ parameters, 16 layers, 16 query and 4 key/value heads of
# dimension 128, two bytes for everything, on one GPU of 10¹⁴ FLOP/s and 10¹² B/s, a prompt of 1000
# tokens at an MFU of 0.5 and 11 tokens in a batch of 8 take
# << num(1000 * roofline.service_time_s(1000, 11, 8, {'n_params': 10**9, 'layers': 16, 'heads': 16,
# 'kv_heads': 4, 'head_dim': 128, 'bytes_per_param': 2, 'bytes_per_kv': 2},
# {'n_gpus': 1, 'peak_flops': 1e14, 'bw_Bps': 1e12}, 0.5)['total_s']) >> ms.


# %% service_time_s__solution
def service_time_s(prompt, n_out, batch, model, hw, mfu):
    """Return prefill_s, step_s, total_s [s] and what bounds a decode step."""
    ### BEGIN SOLUTION
    if prompt < 0 or n_out < 0 or batch < 1 or hw["n_gpus"] < 1:
        raise ValueError("tokens must not be negative; batch and n_gpus must be at least 1")
    if not 0 < mfu <= 1 or hw["peak_flops"] <= 0 or hw["bw_Bps"] <= 0:
        raise ValueError("mfu must be in (0, 1], peak_flops and bw_Bps above 0")
    flops_per_s = hw["n_gpus"] * hw["peak_flops"]
    bytes_per_s = hw["n_gpus"] * hw["bw_Bps"]
    n_params, layers, head_dim = model["n_params"], model["layers"], model["head_dim"]

    attention = 2 * layers * model["heads"] * head_dim * prompt**2
    prefill_s = (2 * n_params * prompt + attention) / (flops_per_s * mfu)
    kv_per_token = 2 * layers * model["kv_heads"] * head_dim * model["bytes_per_kv"]
    read_s = n_params * model["bytes_per_param"] / bytes_per_s
    compute_s = 2 * n_params * batch / flops_per_s
    step_s = batch * prompt * kv_per_token / bytes_per_s + max(read_s, compute_s)
    return {
        "prefill_s": prefill_s,
        "step_s": step_s,
        "total_s": prefill_s + max(n_out - 1, 0) * step_s,
        "bound": "compute" if compute_s > read_s else "memory",
    }
    ### END SOLUTION


# %%
small = {
    "n_params": 10**9,
    "layers": 16,
    "heads": 16,
    "kv_heads": 4,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
one_gpu = {"n_gpus": 1, "peak_flops": 1e14, "bw_Bps": 1e12}
times = service_time_s(1000, 11, 8, small, one_gpu, 0.5)
print(times)
check_close(times["total_s"], 0.06393, "the worked number: total_s", rel_tol=0.001)

# %% service_time_s__visible__prefill_and_a_few_steps
"""Visible: a 70B model on eight H100: the prompt alone, then with an answer."""
from servemath_helpers.notebook import check_close, check_equal

llama = {
    "n_params": 70_553_706_496,
    "layers": 80,
    "heads": 64,
    "kv_heads": 8,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
h100s = {"n_gpus": 8, "peak_flops": 989.4e12, "bw_Bps": 3.35e12}
got = service_time_s(prompt=4096, n_out=1, batch=64, model=llama, hw=h100s, mfu=0.5)
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    ["bound", "prefill_s", "step_s", "total_s"],
    "the sorted keys of service_time_s(4096, 1, 64, llama, h100s, 0.5)",
    "Return a dict with exactly these keys.",
)
check_close(
    got["prefill_s"],
    0.15159849,
    "prefill_s of service_time_s(4096, 1, 64, llama, h100s, 0.5)",
    "2 N s and causal attention 2 n_l d_q s^2, over half the peak of eight GPUs.",
    rel_tol=1e-6,
)
check_close(
    [got["step_s"], got["total_s"]],
    [0.0084704015, got["prefill_s"]],
    "step_s and total_s of service_time_s(4096, 1, 64, llama, h100s, 0.5)",
    "A step reads the weights once and 64 caches; one token needs prefill only.",
    rel_tol=1e-6,
)

# %% service_time_s__hidden__values
"""Values: prefill, steps and what bounds them, of many models and machines."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls, check_close

llama = {
    "n_params": 70_553_706_496,
    "layers": 80,
    "heads": 64,
    "kv_heads": 8,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
h100s = {"n_gpus": 8, "peak_flops": 989.4e12, "bw_Bps": 3.35e12}


def by_hand(prompt, n_out, batch, model, hw, mfu):
    """Compute the same with exact fractions, term by term."""
    m, g = ({k: Fraction(v) for k, v in values.items()} for values in (model, hw))
    width = 2 * m["layers"] * m["head_dim"]
    work = 2 * m["n_params"] * prompt + width * m["heads"] * prompt * prompt
    prefill = work / (g["n_gpus"] * g["peak_flops"]) / Fraction(mfu)
    cache = width * m["kv_heads"] * m["bytes_per_kv"] * prompt * batch / g["bw_Bps"]
    read = m["n_params"] * m["bytes_per_param"] / g["bw_Bps"]
    multiply = 2 * m["n_params"] * batch / g["peak_flops"]
    step = (cache + max(read, multiply)) / g["n_gpus"]
    return {
        "prefill_s": float(prefill),
        "step_s": float(step),
        "total_s": float(prefill + step * (n_out - 1 if n_out > 0 else 0)),
        "bound": "compute" if multiply > read else "memory",
    }


check_calls(
    service_time_s,
    *(
        ((*sizes, llama, h100s, mfu), by_hand(*sizes, llama, h100s, mfu), hint)
        for sizes, mfu, hint in (
            ((4096, 2, 64), 0.5, "Two tokens: prefill and one step."),
            (
                (0, 5, 295),
                0.5,
                "While reading the weights takes longer than multiplying, a step is bound by memory.",
            ),
            (
                (0, 5, 296),
                0.5,
                "Once multiplying takes longer than reading the weights, a step is bound by compute.",
            ),
            ((512, 200, 512), 0.5, "A large batch is bound by arithmetic, its cache on top."),
            ((32_768, 9, 8), 0.5, "Attention grows with the square of the prompt."),
            ((4096, 20, 64), 0.03, "The MFU slows prefill down, not the decode steps."),
        )
    ),
)
fast = {**h100s, "bw_Bps": 2 * 3.35e12}
check_close(
    service_time_s(4096, 2, 64, llama, fast, 0.5)["step_s"],
    service_time_s(4096, 2, 64, llama, h100s, 0.5)["step_s"] / 2,
    "step_s with twice the bandwidth",
    "A memory-bound step is all reading: twice the bandwidth, half the time.",
)

dice = random.Random(26)
calls = []
for _ in range(20):
    kv_heads = dice.choice((1, 2, 4, 8))
    model = {
        "n_params": dice.randint(10**8, 10**11),
        "layers": dice.randint(8, 100),
        "heads": kv_heads * dice.choice((1, 2, 4, 8)),
        "kv_heads": kv_heads,
        "head_dim": dice.choice((64, 128)),
        "bytes_per_param": dice.choice((0.5, 1, 2)),
        "bytes_per_kv": dice.choice((0.5, 1, 2)),
    }
    hw = {"n_gpus": dice.choice((1, 2, 8)), "peak_flops": dice.choice((3e14, 1e15))}
    hw["bw_Bps"] = dice.choice((1e12, 3e12))
    sizes = (dice.randint(0, 9000), dice.randint(0, 500), dice.randint(1, 400))
    calls.append((*sizes, model, hw, dice.randint(1, 100) / 100))
check_calls(
    service_time_s,
    *((call, by_hand(*call)) for call in calls),
    what="many models and machines",
    hint="prefill_s, step_s, total_s and what bounds a step, as the formulas of the statement give them.",
)
### END HIDDEN TESTS

# %% service_time_s__hidden__edges
"""Edges: answers of one token and of none, an empty prompt, an MFU of 1, a tie of the two terms."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from fractions import Fraction

from servemath_helpers.notebook import check_calls, check_first

llama = {
    "n_params": 70_553_706_496,
    "layers": 80,
    "heads": 64,
    "kv_heads": 8,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
h100s = {"n_gpus": 8, "peak_flops": 989.4e12, "bw_Bps": 3.35e12}


def by_hand(prompt, n_out, batch, model, hw, mfu):
    """Compute the same with exact fractions, term by term."""
    m, g = ({k: Fraction(v) for k, v in values.items()} for values in (model, hw))
    width = 2 * m["layers"] * m["head_dim"]
    work = 2 * m["n_params"] * prompt + width * m["heads"] * prompt * prompt
    prefill = work / (g["n_gpus"] * g["peak_flops"]) / Fraction(mfu)
    cache = width * m["kv_heads"] * m["bytes_per_kv"] * prompt * batch / g["bw_Bps"]
    read = m["n_params"] * m["bytes_per_param"] / g["bw_Bps"]
    multiply = 2 * m["n_params"] * batch / g["peak_flops"]
    step = (cache + max(read, multiply)) / g["n_gpus"]
    return {
        "prefill_s": float(prefill),
        "step_s": float(step),
        "total_s": float(prefill + step * (n_out - 1 if n_out > 0 else 0)),
        "bound": "compute" if multiply > read else "memory",
    }


check_first(
    service_time_s, ((4096, 2, 64, llama, h100s, 0.5), by_hand(4096, 2, 64, llama, h100s, 0.5))
)

check_calls(
    service_time_s,
    *(
        ((*sizes, llama, h100s, mfu), by_hand(*sizes, llama, h100s, mfu), hint)
        for sizes, mfu, hint in (
            ((4096, 1, 64), 0.5, "One token: no decode step, but step_s is reported."),
            ((4096, 0, 64), 0.5, "No token: no decode step, and none is taken back."),
            ((0, 5, 1), 0.5, "An empty prompt takes no prefill, and no cache is read."),
            ((0, 0, 1), 0.5, "Nothing to do takes no time."),
            ((4096, 20, 64), 1, "An MFU of 1 is in (0, 1]."),
        )
    ),
)
tie = {"n_params": 1000, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 1}
tie |= {"bytes_per_param": 2, "bytes_per_kv": 2}
equal = {"n_gpus": 1, "peak_flops": 64, "bw_Bps": 16}
check_calls(
    service_time_s,
    *(
        ((0, 2, batch, tie, machine, 1), by_hand(0, 2, batch, tie, machine, 1))
        for machine in (equal, equal | {"peak_flops": 72})  # the ridge at 4, and at 4.5
        for batch in (3, 4, 5)
    ),
    hint="Just below, at and above the ridge: compute only if its term is the larger.",
)
### END HIDDEN TESTS

# %% service_time_s__hidden__refused
"""Refused input: a negative length, `batch` or `n_gpus` below 1, `mfu` outside (0, 1], no speed."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from fractions import Fraction

from servemath_helpers.notebook import check_first, check_refused

llama = {
    "n_params": 70_553_706_496,
    "layers": 80,
    "heads": 64,
    "kv_heads": 8,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
h100s = {"n_gpus": 8, "peak_flops": 989.4e12, "bw_Bps": 3.35e12}


def by_hand(prompt, n_out, batch, model, hw, mfu):
    """Compute the same with exact fractions, term by term."""
    m, g = ({k: Fraction(v) for k, v in values.items()} for values in (model, hw))
    width = 2 * m["layers"] * m["head_dim"]
    work = 2 * m["n_params"] * prompt + width * m["heads"] * prompt * prompt
    prefill = work / (g["n_gpus"] * g["peak_flops"]) / Fraction(mfu)
    cache = width * m["kv_heads"] * m["bytes_per_kv"] * prompt * batch / g["bw_Bps"]
    read = m["n_params"] * m["bytes_per_param"] / g["bw_Bps"]
    multiply = 2 * m["n_params"] * batch / g["peak_flops"]
    step = (cache + max(read, multiply)) / g["n_gpus"]
    return {
        "prefill_s": float(prefill),
        "step_s": float(step),
        "total_s": float(prefill + step * (n_out - 1 if n_out > 0 else 0)),
        "bound": "compute" if multiply > read else "memory",
    }


good = {"prompt": 100, "n_out": 10, "batch": 4, "model": llama, "hw": h100s, "mfu": 0.5}
check_first(
    service_time_s, ((4096, 2, 64, llama, h100s, 0.5), by_hand(4096, 2, 64, llama, h100s, 0.5))
)
for change in ({}, {"n_out": 0}, {"prompt": 0}):
    check_refused(
        service_time_s,
        good | change,
        {
            "prompt": (-1, -100),
            "n_out": (-1, -10),
            "batch": (0, -4),
            "mfu": (0, -0.001, -0.5, 1.0001, 1.5, 50),
            "hw": [
                {**h100s, name: bad}
                for name, bad in (
                    ("n_gpus", 0),
                    ("n_gpus", -8),
                    ("peak_flops", 0),
                    ("peak_flops", -1e12),
                    ("bw_Bps", 0),
                    ("bw_Bps", -1e12),
                )
            ]
            + [{"n_gpus": -8, "peak_flops": -1e12, "bw_Bps": -1e12}],
        },
        "Tokens are not negative, batch and n_gpus are at least 1, mfu is in (0, 1].",
    )
### END HIDDEN TESTS

# %% [markdown] tail_report__statement
# *One call in a hundred is slow. How many users notice, and what would it cost to ask twice?* Take
# the $q$-quantile $t$ of the latencies of single calls as "slow", and let $F$ be the share of calls
# that take **at most** $t$. If a page waits for $n$ independent calls,
#
# $$P(\text{page takes more than } t) = 1 - F^{\,n}, \qquad
# \text{extra load of a hedge sent at } t = 1 - F$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | | `samples` | latencies of single calls in any order, at least one | ms |
# | $n$ | `fanout` | calls that a page waits for, a whole number from 1 | calls |
# | $q$ | `q` | quantile, in (0, 1] | – |
#
# Write `tail_report(samples, fanout, q)`. Return a `dict` with exactly the keys `"quantile"` ($t$,
# in ms), `"fanout_p"` and `"hedged_extra_load"`.
#
# The quantile is the **nearest rank**: element number $\lceil q m \rceil$ of the $m$ sorted
# samples, counted from 1, no interpolation. `q` may be an `int`, a text such as `"0.99"`, a
# `Decimal`, a `Fraction` or a `float`, and means exactly the decimal that one reads:
# `Fraction(str(q))`. In floats, 0.07 times 100 is << 0.07 * 100 >>, and its ceiling is one rank too
# high.
#
# - Several samples may equal $t$: all of them count in $F$.
# - Samples may be a list, a tuple or a NumPy array.
# - Error: no samples; `fanout` below 1; `q` outside (0, 1].
#
# **Worked number.** Of the latencies 30, 10, 20, 50, 40 ms, the quantile 0.8 is
# << num(latency.tail_report([30, 10, 20, 50, 40], 3, '0.8')['quantile']) >> ms, and a page of three
# calls exceeds it with probability
# << num(latency.tail_report([30, 10, 20, 50, 40], 3, '0.8')['fanout_p']) >>.

# %% tail_report__solution
import math
from fractions import Fraction


def tail_report(samples, fanout, q):
    """Return the quantile [ms], the fan-out probability, and the load of hedging at it."""
    ### BEGIN SOLUTION
    q, m = Fraction(str(q)), len(samples)
    if m == 0 or fanout < 1 or not 0 < q <= 1:
        raise ValueError("samples must not be empty, fanout at least 1, q in (0, 1]")
    t = sorted(samples)[math.ceil(q * m) - 1]
    within = sum(x <= t for x in samples) / m
    return {"quantile": t, "fanout_p": 1 - within**fanout, "hedged_extra_load": 1 - within}
    ### END SOLUTION


# %%
tail = tail_report([30, 10, 20, 50, 40], fanout=3, q="0.8")
print(tail)
check_close(
    [tail["quantile"], tail["fanout_p"]],
    [40, 0.488],
    "the worked numbers: quantile and fanout_p of five samples",
)

# %% tail_report__visible__a_hundred_samples
"""Visible: the P99 of a hundred calls, seen by pages of one call and of a hundred."""
from servemath_helpers.notebook import check_close

check_close(
    tail_report(list(range(1, 101)), 1, "0.99"),
    {"quantile": 99, "fanout_p": 0.01, "hedged_extra_load": 0.01},
    "tail_report(list(range(1, 101)), 1, '0.99')",
    "Element number 99 of 100, counted from 1; one call in a hundred is slower.",
)
check_close(
    tail_report(list(range(100, 0, -1)), 100, "0.99"),
    {"quantile": 99, "fanout_p": 1 - 0.99**100, "hedged_extra_load": 0.01},
    "tail_report(list(range(100, 0, -1)), 100, '0.99')",
    "Sort first. The page is fast only if all hundred calls are: 1 - 0.99**100.",
)

# %% tail_report__hidden__values
"""Values: quantiles by nearest rank, pages of many calls, merged shards."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls


def report(quantile, fanout_p, extra):
    """Return the three keys."""
    return {"quantile": quantile, "fanout_p": fanout_p, "hedged_extra_load": extra}


check_calls(
    tail_report,
    (
        ([0, 10, 20, 30], 1, "0.6"),
        report(20, 1 / 4, 1 / 4),
        "The nearest rank of the samples, without interpolation.",
    ),
    (
        ([5, 9, 5, 5], 1, "0.25"),
        report(5, 1 / 4, 1 / 4),
        "F is counted from the samples that are at most t, it is not q.",
    ),
    (
        ([2, 1, 4, 3, 5], 2, "0.5"),
        report(3, 16 / 25, 2 / 5),
        "F is counted from the samples that are at most t, it is not q.",
    ),
)
fast, slow = [10] * 990 + [20] * 10, [30] * 90 + [400] * 10
check_calls(
    tail_report,
    (
        (fast + slow, 100, "0.99"),
        report(30, 1 - (1090 / 1100) ** 100, 10 / 1100),
        "The P99 of all calls is that of the merged samples, not a mean of the shards' P99s.",
    ),
    what="two shards merged",
)

dice = random.Random(28)
rows = []
for _ in range(20):
    m, fanout = dice.randint(1, 60), dice.randint(1, 40)
    samples = [dice.choice((dice.randint(1, 30) / 4, dice.uniform(0, 8))) for _ in range(m)]
    hundredths = dice.randint(1, 100)
    rank = -(-hundredths * m // 100)
    t = sorted(samples)[rank - 1]
    above = sum(x > t for x in samples)
    want = report(t, 1 - Fraction(m - above, m) ** fanout, Fraction(above, m))
    rows.append(((samples, fanout, f"{hundredths / 100}"), want))
check_calls(
    tail_report,
    *rows,
    what="many samples",
    hint="fanout_p is 1 - F to the power of fanout, hedged_extra_load 1 - F; F counts samples up to t.",
)
### END HIDDEN TESTS

# %% tail_report__hidden__edges
"""Edges: whole ranks, ties, one sample, `q` of 1, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls, check_first, check_forms


def report(quantile, fanout_p, extra):
    """Return the three keys."""
    return {"quantile": quantile, "fanout_p": fanout_p, "hedged_extra_load": extra}


hundred = list(range(1, 101))
random.Random(27).shuffle(hundred)
ranks = "q times the number of samples is a whole number, so the rank is that number: be exact."
check_first(
    tail_report,
    (([0, 30, 20, 10], 1, "0.6"), report(20, 1 / 4, 1 / 4)),
    ((list(range(100, 0, -1)), 100, "0.99"), report(99, 1 - 0.99**100, 0.01)),
)
for percent in (1, 7, 14, 28, 29, 55, 56, 57, 58, 95, 100):
    above = Fraction(100 - percent, 100)
    want = report(percent, above, above)
    check_forms(tail_report, (tuple(hundred), 1, f"{percent / 100}"), want, ranks)
check_calls(
    tail_report,
    ((hundred, 1, "0.9900000001"), report(100, 0, 0), "A little more than 99 ranks are 100."),
    ((hundred, 1, "0.99000000000000000001"), report(100, 0, 0), "Subtract nothing first."),
    ((hundred, 1, "0.0001"), report(1, 0.99, 0.99), "The smallest rank is 1."),
    (([1, 2, 3], 1, Fraction(1, 3)), report(1, 2 / 3, 2 / 3), "A third of three samples is one."),
    (([7], 5, "0.5"), report(7, 0, 0), "The only sample is every quantile."),
    (([3, 1, 2], 9, 1), report(3, 0, 0), "q = 1 is the largest: nothing is above it."),
    (
        ([5, 5, 5, 9], 2, "0.5"),
        report(5, 7 / 16, 1 / 4),
        "Several samples may equal t: all of them count in F.",
    ),
    (([4, 4, 4], 7, "0.99"), report(4, 0, 0), "Nothing is above t."),
    (([5, 5.0001], 1, "0.5"), report(5, 1 / 2, 1 / 2), "Nearly equal is above."),
    (([0, 0, 1], 3, "0.5"), report(0, 19 / 27, 1 / 3), "0 ms is a latency."),
)
for samples in ([0.5, 0.25], [3, 1]):
    check_forms(
        tail_report,
        (samples, 3, "0.5"),
        report(min(samples), 7 / 8, 1 / 2),
        "Lists, tuples and NumPy arrays are fine.",
    )
### END HIDDEN TESTS

# %% tail_report__hidden__refused
"""Refused input: no samples, `fanout` below 1, `q` outside (0, 1]."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import numpy as np

from servemath_helpers.notebook import check_first, check_refused


def report(quantile, fanout_p, extra):
    """Return the three keys."""
    return {"quantile": quantile, "fanout_p": fanout_p, "hedged_extra_load": extra}


check_first(
    tail_report,
    (([0, 30, 20, 10], 1, "0.6"), report(20, 1 / 4, 1 / 4)),
    ((list(range(100, 0, -1)), 100, "0.99"), report(99, 1 - 0.99**100, 0.01)),
)

check_refused(
    tail_report,
    {"samples": [1, 2], "fanout": 1, "q": "0.5"},
    {
        "samples": ([], (), np.array([])),
        "fanout": (0, -1, -7),
        "q": ("0", "-0.001", "-0.5", "1.0001", "99"),
    },
    "At least one sample, at least one call, q in (0, 1].",
)
### END HIDDEN TESTS

# %% [markdown] static_steps__statement
# *A machine decodes `slots` sequences at once, one token each in a step. How many steps until all
# are done?* All requests wait from the start, in order of arrival; request $i$ needs `lengths[i]`
# tokens.
#
# - **Static batching** cuts the requests, in order, into batches of `slots` (the last may be
#   smaller). A batch occupies the machine until its longest member is done; then the next begins.
# - **Continuous batching** starts with the first `slots` requests. Whenever a slot becomes free,
#   the next request in order takes it for the following step.
#
# | argument | meaning | unit |
# |:--|:--|:--|
# | `lengths` | tokens of each request in order of arrival, whole numbers from 0 | tokens |
# | `slots` | sequences that decode together, a whole number from 1 | – |
#
# Write two functions in one cell: `static_steps(lengths, slots)` and
# `continuous_steps(lengths, slots)` each return the number of steps until the last request is done.
#
# - A request of length 0 takes no step. In a static batch it has its place all the same; under
#   continuous batching the next request takes its slot at once.
# - More slots than requests: the rest stand empty. No requests: 0 steps.
# - Error: `slots` below 1; a negative length.
#
# **Worked number.** Lengths 1, 5, 1, 4 in two slots:
# << slots.static_steps([1, 5, 1, 4], 2) >> static and
# << slots.continuous_steps([1, 5, 1, 4], 2) >> continuous steps.

# %% static_steps__solution
import heapq


def static_steps(lengths, slots):
    """Return the steps that batches take which wait for their longest member."""
    ### BEGIN SOLUTION
    if slots < 1 or any(length < 0 for length in lengths):
        raise ValueError("slots must be at least 1 and lengths at least 0")
    return sum(max(lengths[i : i + slots]) for i in range(0, len(lengths), slots))
    ### END SOLUTION


def continuous_steps(lengths, slots):
    """Return the steps taken if the next request takes a slot as soon as it is free."""
    ### BEGIN SOLUTION
    if slots < 1 or any(length < 0 for length in lengths):
        raise ValueError("slots must be at least 1 and lengths at least 0")
    free_at = [0] * min(slots, max(1, len(lengths)))
    for length in lengths:
        # The slot that is free first takes the next request.
        heapq.heapreplace(free_at, free_at[0] + length)
    return max(free_at)
    ### END SOLUTION


# %%
steps = [static_steps([1, 5, 1, 4], 2), continuous_steps([1, 5, 1, 4], 2)]
print(steps[0], "static,", steps[1], "continuous")
check_equal(steps, [9, 6], "the worked numbers: static and continuous steps")

# %% static_steps__visible__one_batch_and_two
"""Visible: a single batch, where both are equal, and two batches, where they are not."""
from servemath_helpers.notebook import check_equal

lengths = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]
check_equal(
    [static_steps(lengths, 10), continuous_steps(lengths, 10)],
    [400, 400],
    f"[static_steps(lengths, 10), continuous_steps(lengths, 10)] of {lengths}",
    "All ten start at once, and the longest decides: no request waits for a slot.",
)
check_equal(
    [static_steps([6, 2, 4, 1], 2), continuous_steps([6, 2, 4, 1], 2)],
    [10, 7],
    "[static_steps([6, 2, 4, 1], 2), continuous_steps([6, 2, 4, 1], 2)]",
    "Static: 6, then 4. Continuous: the second slot serves 2, then 4; at step 6 one is free for 1.",
)

# %% static_steps__hidden__values
"""Values: steps of both ways of batching, many queues, in order of arrival."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import random

from servemath_helpers.notebook import check_calls

ten = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]
rows = [
    (ten * 10, 10, 4000, 2075, "Ten batches of 400 steps, against slots that are refilled."),
    (sorted(ten * 10), 10, 1825, 1825, "Batches of equal lengths waste nothing."),
    ([5, 1, 1, 1, 1, 1], 2, 7, 5, "While the long one runs, the other slot serves all the others."),
    ([1, 1, 1, 1, 1, 5], 2, 7, 7, "In order of arrival: the long one starts last."),
    ([100] + [1] * 50, 4, 112, 100, "One long request bounds both."),
]
check_calls(static_steps, *(((a, b), static, hint) for a, b, static, _, hint in rows), exact=True)
check_calls(continuous_steps, *(((a, b), cont, hint) for a, b, _, cont, hint in rows), exact=True)


def count_steps(lengths, slots, refill):
    """Decode token by token."""
    waiting, running, steps = list(lengths), [], 0
    while waiting or running:
        if refill or not running:
            while waiting and len(running) < slots:
                running.append(waiting.pop(0))
                if refill and running[-1] == 0:
                    running.pop()
        steps += any(running)
        running = [left - 1 for left in running if left > 1]
    return steps


dice = random.Random(29)
queues = [
    ([dice.choice((0, 1, 2, 5, 9, 30)) for _ in range(dice.randint(0, 40))], dice.randint(1, 9))
    for _ in range(25)
]
for steps, refill in (
    (static_steps, False),
    (continuous_steps, True),
):
    rows = [(queue, count_steps(*queue, refill)) for queue in queues]
    check_calls(steps, *rows, what="many queues", hint="Decode step by step.", exact=True)
### END HIDDEN TESTS

# %% static_steps__hidden__edges
"""Edges: no requests, requests of length 0, more slots than requests, one slot."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_first

ten = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]
rows = [
    ([], 4, 0, 0, "No requests, no steps."),
    ([0, 0, 0], 2, 0, 0, "Nothing to decode, no steps."),
    ([7], 3, 7, 7, "The other slots stand empty."),
    ([3, 9, 4], 8, 9, 9, "More slots than requests: the longest decides."),
    ([4, 3, 2, 1], 1, 10, 10, "One slot: one after the other."),
    ([2, 0, 3, 3], 2, 5, 5, "A zero takes its place in the static batch, and no step."),
    ([0, 0, 5, 5], 2, 5, 5, "A batch of zeros takes no step."),
    ([0, 4, 4], 2, 8, 4, "Under continuous batching the next one takes the zero's slot at once."),
]
check_first(static_steps, ((ten * 10, 10), 4000))
check_first(continuous_steps, ((ten * 10, 10), 2075))
check_calls(static_steps, *(((a, b), static, hint) for a, b, static, _, hint in rows), exact=True)
check_calls(continuous_steps, *(((a, b), cont, hint) for a, b, _, cont, hint in rows), exact=True)
### END HIDDEN TESTS

# %% static_steps__hidden__refused
"""Refused input: `slots` below 1, a negative length."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused

ten = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]
check_first(static_steps, ((ten * 10, 10), 4000))
check_first(continuous_steps, ((ten * 10, 10), 2075))
for steps in (static_steps, continuous_steps):
    for lengths, slots in (([1, 2], 1), ([], 2)):
        check_refused(
            steps,
            {"lengths": lengths, "slots": slots},
            {"lengths": ([1, -2], [-1], [-3, 5, 5]), "slots": (0, -1, -3)},
            "At least one slot, and no negative length.",
        )
### END HIDDEN TESTS

# %% [markdown] erlang_c__statement
# *Requests of one queue go to whichever of $c$ replicas is free. How often does one have to wait,
# and for how long?* With Poisson arrivals and exponential service (M/M/c), an arrival waits with
# the **Erlang C** probability:
#
# $$C(c, a) = \frac{\dfrac{a^c}{c!} \dfrac{c}{c - a}}
# {\displaystyle\sum_{k=0}^{c-1} \frac{a^k}{k!} + \frac{a^c}{c!} \frac{c}{c - a}}, \qquad
# a = \frac{\lambda}{\mu}, \qquad W_q = \frac{C(c, a)}{c \mu - \lambda}$$
#
# Written like this it overflows for many servers. Erlang B has a recursion that never does, and
# gives C:
#
# $$B_0 = 1, \qquad B_k = \frac{a B_{k-1}}{k + a B_{k-1}}, \qquad
# C(c, a) = \frac{B_c}{1 - \frac{a}{c} (1 - B_c)}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $c$ | `c` | servers, a whole number from 1 | – |
# | $a$ | `a` | offered load, at least 0 | – |
# | $\lambda$, $\mu$ | `lam`, `mu` | arrival rate, at least 0; service rate of one server, above 0 | requests/s |
#
# Write two functions in one cell: `erlang_c(c, a)` returns the probability of waiting;
# `mmc_wait(lam, mu, c)` returns $W_q$, the mean time in the queue (of all requests, service not
# included), in s.
#
# - $a \ge c$: the queue has no steady state; `erlang_c` returns 1.0 and `mmc_wait` returns
#   `math.inf`.
# - `a = 0`: nobody waits, 0.0. One server: $C(1, a) = a$.
# - It must work for `c = 1000`.
# - Error: `c`, `a` or `lam` negative; `mu` zero or negative. (`c = 0` is not asked.)
#
# **Worked number.** Two servers with an offered load of 1 make a request wait with probability
# << num(queueing.erlang_c(2, 1)) >>.

# %% erlang_c__solution
import math


def erlang_c(c, a):
    """Return the probability that an arrival has to wait."""
    ### BEGIN SOLUTION
    if c < 1 or a < 0:
        raise ValueError("c must be at least 1 and a at least 0")
    if a >= c:
        return 1.0
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked / (1 - a / c * (1 - blocked))
    ### END SOLUTION


def mmc_wait(lam, mu, c):
    """Return the mean wait in the queue [s]."""
    ### BEGIN SOLUTION
    if lam < 0 or mu <= 0 or c < 1:
        raise ValueError("lam must be at least 0, mu above 0, c at least 1")
    if lam >= c * mu:
        return math.inf
    return erlang_c(c, lam / mu) / (c * mu - lam)
    ### END SOLUTION


# %%
waits = erlang_c(2, 1)
print("P(wait) =", waits, " Wq =", mmc_wait(10, 10, 2), "s")
check_close(waits, 0.333, "the worked number: erlang_c(2, 1)", rel_tol=0.002)

# %% erlang_c__visible__one_server_and_four
"""Visible: one server, four servers, and a wait."""
from servemath_helpers.notebook import check_close

check_close(
    erlang_c(1, 0.6), 0.6, "erlang_c(1, 0.6)", "With one server one waits when it is busy: a."
)
check_close(
    erlang_c(4, 10 / 3),
    0.65772165,
    "erlang_c(4, 10 / 3)",
    "Not the utilisation 0.83, and not Erlang B (blocking): C = B / (1 - a/c (1 - B)).",
    rel_tol=1e-6,
)
check_close(
    mmc_wait(2, 4, 1),
    0.25,
    "mmc_wait(2, 4, 1)",
    "M/M/1 with rho = 1/2: the wait in the queue is rho / (mu - lam), service not included.",
)

# %% erlang_c__hidden__values
"""Values: the probability of waiting and the mean wait of many pools."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import itertools
import math
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls, check_true


def by_definition(c, a):
    """Return C(c, a) from the sum, each term divided by the last one, so nothing overflows."""
    term, terms = 1.0, []
    for k in range(c, 0, -1):
        term *= k / a
        terms.append(term)
    last = c / (c - a)
    return last / (math.fsum(terms) + last)


check_calls(
    erlang_c,
    *(
        ((c, a), by_definition(c, a), hint)
        for c, a, hint in (
            (4, 10 / 3, "The probability of waiting, from the recursion."),
            (2, 1.5, "The probability of waiting, from the recursion."),
            (20, 18.0, "The probability of waiting, from the recursion."),
        )
    ),
    ((2, 1), 1 / 3, "The worked number."),
)
check_calls(
    mmc_wait,
    (
        (10, 3, 4),
        by_definition(4, 10 / 3) / 2,
        "The mean time in the queue of all requests is C / (c mu - lam).",
    ),
    (
        (120, 30, 6),
        by_definition(6, 4) / 60,
        "The mean time in the queue of all requests is C / (c mu - lam).",
    ),
    ((30, 50, 1), 0.03, "The mean time in the queue: service is not included."),
    ((0.5, 0.25, 3), by_definition(3, 2) * 4, "Rates need not be whole."),
)

dice = random.Random(30)
chances, waits = [], []
for _ in range(20):
    c, mu = dice.randint(1, 60), dice.randint(1, 50)
    lam = dice.randint(1, c * mu)
    a = Fraction(lam, mu)
    chance, wait = 1, math.inf
    if a < c:
        top = a**c / math.factorial(c) * c / (c - a)
        chance = top / (sum(a**k / math.factorial(k) for k in range(c)) + top)
        wait = chance / (c * mu - lam)
    chances.append(((c, lam / mu), chance))
    waits.append(((lam, mu, c), wait))
check_calls(
    erlang_c,
    *chances,
    what="many pools",
    hint="The probability of waiting, from the recursion of Erlang B; 1.0 from a = c on.",
)
check_calls(
    mmc_wait,
    *waits,
    what="many pools",
    hint="The mean time in the queue of all requests is C / (c mu - lam).",
)
falling = [erlang_c(c, 3.5) for c in range(4, 30)]
check_true(
    all(first > second for first, second in itertools.pairwise(falling)),
    "erlang_c(c, 3.5) falls with every server",
)
### END HIDDEN TESTS

# %% erlang_c__hidden__edges
"""Edges: no load, a load of `c` and above, one server, a thousand servers."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math

from servemath_helpers.notebook import check_calls, check_close, check_first


def by_definition(c, a):
    """Return C(c, a) from the sum, each term divided by the last one, so nothing overflows."""
    term, terms = 1.0, []
    for k in range(c, 0, -1):
        term *= k / a
        terms.append(term)
    last = c / (c - a)
    return last / (math.fsum(terms) + last)


check_first(erlang_c, ((2, 1), 1 / 3))
check_first(
    mmc_wait, ((10, 3, 4), by_definition(4, 10 / 3) / 2), ((120, 30, 6), by_definition(6, 4) / 60)
)

check_calls(
    erlang_c,
    *(
        ((c, a), by_definition(c, a), hint)
        for c, a, hint in (
            (4, 3.999, "Nearly full is not full."),
            (
                200,
                180,
                "Written as a sum it overflows for many servers: use the recursion of Erlang B.",
            ),
            (
                1000,
                900,
                "Written as a sum it overflows for many servers: use the recursion of Erlang B.",
            ),
            (2000, 1990, "Nearly full and large."),
        )
    ),
    ((1, 0), 0, "Without load nobody waits."),
    ((8, 0), 0, "Without load nobody waits."),
    ((1000, 0), 0, "Without load nobody waits."),
    ((1, 1), 1, "From a = c on everybody waits."),
    ((4, 4), 1, "From a = c on everybody waits."),
    ((4, 9.5), 1, "A probability is at most 1."),
    ((1000, 1001), 1, "A probability is at most 1."),
    ((1, 0.25), 0.25, "C(1, a) = a."),
)
check_close(
    erlang_c(1000, 900),
    5.927e-4,
    "erlang_c(1000, 900)",
    "It must work for c = 1000 servers: a large pool hardly ever makes anybody wait.",
    rel_tol=1e-3,
)
check_calls(
    mmc_wait,
    ((0, 5, 3), 0, "Without arrivals nobody waits."),
    ((12, 3, 4), math.inf, "lam = c mu: there is no steady state."),
    ((13, 3, 4), math.inf, "lam > c mu: the wait is not negative, it has no bound."),
    ((2700, 3, 1000), by_definition(1000, 900) / 300, "It must work for c = 1000 servers."),
    ((3001, 3, 1000), math.inf, "a >= c: the queue has no steady state, the wait is math.inf."),
)
### END HIDDEN TESTS

# %% erlang_c__hidden__refused
"""Refused input: `c`, `a` or `lam` negative, `mu` zero or negative."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math

from servemath_helpers.notebook import check_first, check_refused


def by_definition(c, a):
    """Return C(c, a) from the sum, each term divided by the last one, so nothing overflows."""
    term, terms = 1.0, []
    for k in range(c, 0, -1):
        term *= k / a
        terms.append(term)
    last = c / (c - a)
    return last / (math.fsum(terms) + last)


check_first(erlang_c, ((2, 1), 1 / 3))
check_first(
    mmc_wait, ((10, 3, 4), by_definition(4, 10 / 3) / 2), ((120, 30, 6), by_definition(6, 4) / 60)
)

for a in (0.5, 9, 0):
    check_refused(
        erlang_c,
        {"c": 4, "a": a},
        {"c": (-1, -4), "a": (-0.1, -4)},
        "c and a are never negative, also where a is above c.",
    )
for lam in (10, 50, 0):
    check_refused(
        mmc_wait,
        {"lam": lam, "mu": 3, "c": 4},
        {"lam": (-0.001, -10), "mu": (0, -0.001, -3), "c": (-1, -4)},
        "lam is at least 0, mu above 0, c not negative.",
    )
### END HIDDEN TESTS

# %% [markdown] goodput__statement
# *What share of users got what we promised, how many replicas keep the promise, and what do we owe
# if we broke it?* Three functions in one cell.
#
# `goodput(requests, ttft_slo, tpot_slo)` returns the share of **all** requests that are good.
# `requests` is a list of dicts with `"ttft"` (s), `"tpot"` (s, or `None` for an answer of one
# token) and `"status"`. A request is good if its status is `"ok"`, its TTFT is at most `ttft_slo`
# and its TPOT, if it has one, at most `tpot_slo`. A request that failed stays in the denominator,
# whatever its times, which may then be `None`. No requests: 0.0.
#
# `replicas_for_slo(lam, mu, wq_max)` returns the least number $c$ of replicas, as an `int`, for
# which the queue is stable, $\lambda < c \mu$ strictly, and the mean wait of M/M/c is within the
# bound:
#
# $$W_q(\lambda, \mu, c) = \frac{C(c, \lambda / \mu)}{c \mu - \lambda} \le W_{max}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/s |
# | $\mu$ | `mu` | service rate of one replica, above 0 | requests/s |
# | $W_{max}$ | `wq_max` | largest mean wait in the queue, above 0 | s |
#
# `servemath_helpers.queueing.mmc_wait(lam, mu, c)` computes $W_q$; you are welcome to use it here.
#
# - A wait equal to the bound is within it. `lam = 0`: one replica.
# - Error: `lam` negative; `mu` or `wq_max` zero or negative.
#
# `sla_credit(availability, table)` returns what an agreement owes. `table` is a list of
# `(threshold, credit)` in any order: of the thresholds that `availability` is **strictly** below,
# the lowest decides. Below none: 0. Thresholds and availability are shares in [0, 1], credits
# percent of the bill.
#
# **Worked number.** 5 requests/s on replicas of 2 a second with a mean wait of at most 0.1 s need
# << capacity.replicas_for_slo(5, 2, 0.1) >>; with the table (0.999, 10), (0.99, 25) an availability
# of 0.995 costs << num(agreements.sla_credit('0.995', [('0.999', 10), ('0.99', 25)])) >> %.

# %% goodput__solution
from servemath_helpers import queueing


def goodput(requests, ttft_slo, tpot_slo):
    """Return the share of all requests that were answered within both bounds."""
    ### BEGIN SOLUTION
    good = 0
    for request in requests:
        if request["status"] == "ok" and request["ttft"] <= ttft_slo:
            good += request["tpot"] is None or request["tpot"] <= tpot_slo
    return good / len(requests) if requests else 0.0
    ### END SOLUTION


def replicas_for_slo(lam, mu, wq_max):
    """Return the least number of replicas that is stable and keeps the mean wait."""
    ### BEGIN SOLUTION
    if lam < 0 or mu <= 0 or wq_max <= 0:
        raise ValueError("lam must be at least 0, mu and wq_max above 0")
    c = int(lam // mu) + 1
    while queueing.mmc_wait(lam, mu, c) > wq_max:
        c += 1
    return c
    ### END SOLUTION


def sla_credit(availability, table):
    """Return the credit of the lowest threshold that availability is strictly below."""
    ### BEGIN SOLUTION
    broken = [(threshold, credit) for threshold, credit in table if availability < threshold]
    return min(broken)[1] if broken else 0
    ### END SOLUTION


# %%
print(goodput([{"ttft": 0.3, "tpot": 0.02, "status": "ok"}], ttft_slo=0.5, tpot_slo=0.05))
pool, credit = replicas_for_slo(5, 2, 0.1), sla_credit(0.995, [(0.999, 10), (0.99, 25)])
print(pool, "replicas,", credit, "%")
check_close([pool, credit], [5, 10], "the worked numbers: replicas and credit")

# %% goodput__visible__eight_requests_four_promises
"""Visible: eight requests of which four are good, a pool, and a broken promise."""
from servemath_helpers.notebook import check_close, check_equal

rows = [
    (0.20, 0.030, "ok"),
    (0.45, 0.020, "ok"),
    (0.50, 0.040, "ok"),
    (0.30, None, "ok"),
    (0.70, 0.020, "ok"),
    (0.25, 0.060, "ok"),
    (0.10, 0.010, "error"),
    (None, None, "timeout"),
]
requests = [dict(zip(("ttft", "tpot", "status"), row, strict=True)) for row in rows]
check_close(
    goodput(requests, 0.5, 0.04),
    0.5,
    "goodput(requests, 0.5, 0.04) of eight requests",
    "Four are good: one is late, one is slow, two failed; divide by all eight.",
)
check_equal(
    replicas_for_slo(10, 3, 0.4),
    4,
    "replicas_for_slo(10, 3, 0.4)",
    "Four replicas wait 0.3289 s on average; three are not stable.",
)
check_close(
    [sla_credit(a, [(0.999, 10), (0.99, 25)]) for a in (0.9995, 0.995, 0.98)],
    [0, 10, 25],
    "sla_credit for availabilities of 0.9995, 0.995 and 0.98",
    "0.98 is below both thresholds: the lower one decides.",
)

# %% goodput__hidden__values
"""Values: the share of good requests, the least replicas, what an agreement owes."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
import math
import random
from fractions import Fraction

from servemath_helpers.notebook import check_calls


def a_request(ttft, tpot, status="ok"):
    """Return one request."""
    return {"ttft": ttft, "tpot": tpot, "status": status}


check_calls(
    goodput,
    *(
        ((requests, 1, 0.25), share, hint)
        for requests, share, hint in (
            ([a_request(1.0001, 0.25)], 0, "TTFT is too long."),
            ([a_request(1, 0.2501)], 0, "TPOT is too long: both bounds count."),
            ([a_request(1.5, 0.5)], 0, "Both are too long."),
            ([a_request(0.5, 0.125, "error")], 0, "What failed is not good, however fast it was."),
            (
                [
                    a_request(0.5, 0.125),
                    a_request(9, 0.125),
                    a_request(0.5, 9),
                    a_request(0, 0, "shed"),
                ],
                0.25,
                "Divide by all requests.",
            ),
        )
    ),
)
dice = random.Random(31)
rows = []
for _ in range(20):
    n = dice.randint(1, 40)
    requests, good = [], 0
    for _ in range(n):
        late, slow, failed = (dice.random() < 0.3 for _ in range(3))
        one_token = dice.random() < 0.3
        tpot = None if one_token else (0.5 if slow else 0.125)
        requests.append(a_request(3 if late else 1, tpot, "error" if failed else "ok"))
        good += not (late or failed or (slow and not one_token))
    rows.append(((requests, 2, 0.25), Fraction(good, n)))
check_calls(
    goodput,
    *rows,
    what="many traces",
    hint="Good are requests of status ok whose TTFT and TPOT are at most their bounds, of all requests.",
)

check_calls(
    replicas_for_slo,
    ((10, 3, 0.1), 5, "The least number of replicas whose mean wait is within the bound."),
    ((120, 30, 0.005), 6, "The least number of replicas whose mean wait is within the bound."),
    ((20, 0.5, 0.5), 43, "Large pools need few spare ones."),
    ((1, 4, 10), 1, "The least number of replicas: one may be enough."),
    (
        (899, 1, 0.01),
        927,
        "The mean wait decides about the number of replicas, not a fixed reserve.",
    ),
    exact=True,
)


def wait_of(lam, mu, c):
    """Return the mean wait from the definition, in exact fractions."""
    a = Fraction(lam) / Fraction(mu)
    top = a**c / math.factorial(c) * c / (c - a)
    return top / (sum(a**k / math.factorial(k) for k in range(c)) + top) / (c * mu - lam)


rows = []
for _ in range(20):
    lam, mu = dice.randint(1, 60), dice.randint(1, 12)
    bound = dice.choice((0.003, 0.03, 0.3, 3))
    c = lam // mu + 1
    while wait_of(lam, mu, c) > bound:
        c += 1
    rows.append(((lam, mu, bound), c))
hint = "The least number of replicas that is stable and whose wait is within the bound."
check_calls(replicas_for_slo, *rows, what="many services", hint=hint, exact=True)

table = [(0.99, 25), (0.999, 10), (0.95, 100)]
check_calls(
    sla_credit,
    *(
        ((availability, order), credit, hint)
        for availability, credit, hint in (
            (0.9989, 10, "Below 0.999 only."),
            (0.9899, 25, "Below two: the lower threshold decides, credits are not added."),
            (
                0.9499999,
                100,
                "Of the thresholds that availability is strictly below, however little, the lowest decides.",
            ),
            (0.5, 100, "Below all: the lowest threshold decides."),
        )
        for order in (table, sorted(table), sorted(table, reverse=True))
    ),
    ((0.2, [(0.9, 40), (0.5, 30)]), 30, "The lowest decides, even if a higher one costs more."),
)
### END HIDDEN TESTS

# %% goodput__hidden__edges
"""Edges: bounds met exactly, short answers, failures, no traffic, thresholds, tables of one row."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_first


def a_request(ttft, tpot, status="ok"):
    """Return one request."""
    return {"ttft": ttft, "tpot": tpot, "status": status}


short = "One token has no TPOT: its TTFT alone decides."
check_first(
    goodput,
    (
        (
            [a_request(1, 0.25), a_request(1, None), a_request(0.5, 9), a_request(0, 0, "shed")],
            1,
            0.25,
        ),
        0.5,
    ),
)
check_first(replicas_for_slo, ((10, 3, 0.4), 4), ((120, 30, 0.005), 6))
agreed = [(0.99, 25), (0.999, 10), (0.95, 100)]
check_first(sla_credit, ((0.9899, agreed), 25), ((0.5, agreed), 100))
check_calls(
    goodput,
    *(
        ((requests, 1, 0.25), share, hint)
        for requests, share, hint in (
            ([], 0, "No requests: 0.0."),
            (
                [a_request(1, 0.25)],
                1,
                "A request is good if TTFT and TPOT are at most their bounds: met exactly is met.",
            ),
            ([a_request(1, None)], 1, short),
            ([a_request(2, None)], 0, short),
            ([a_request(0, 0)], 1, "0 s is a time like others, not None."),
            *(
                ([a_request(0, 0, said)], 0, "A request is good only if its status is 'ok'.")
                for said in ("OK", "okay", "", "200")
            ),
            (
                [a_request(None, None, "timeout"), a_request(1, None)],
                0.5,
                "Failures stay in the count, and their times may be None.",
            ),
            ([a_request(None, 0.1, "error"), a_request(0.1, None, "error")], 0, "Failures alone."),
        )
    ),
    (([a_request(0, 0), a_request(0, 0.1), a_request(0.1, 0)], 0, 0), 1 / 3, "Bounds of 0."),
)

check_calls(
    replicas_for_slo,
    ((0, 3, 0.1), 1, "Without traffic one replica stays."),
    ((0, 3, 1e-9), 1, "Without traffic one replica stays, and nobody waits."),
    ((12, 3, 1e9), 5, "The queue must be stable, lam < c mu strictly, whatever wait is allowed."),
    (
        (90, 30, 1e9),
        4,
        "The queue must be stable, lam < c mu strictly: a load of c replicas needs one more.",
    ),
    (
        (1.5, 0.25, 1e9),
        7,
        "The queue must be stable, lam < c mu strictly: a load of c replicas needs one more.",
    ),
    ((0.5, 1, 1), 1, "M/M/1 at half load waits exactly 1 s: a bound met exactly is met."),
    ((0.5, 1, 0.9999), 2, "M/M/1 at half load waits exactly 1 s: that is too long."),
    exact=True,
)
hint = "The least number of replicas that is stable and whose wait is within the bound."

table = [(0.99, 25), (0.999, 10), (0.95, 100)]
check_calls(
    sla_credit,
    *(
        ((availability, order), credit, hint)
        for availability, credit, hint in (
            (1, 0, "A promise kept costs nothing."),
            (0.999, 0, "At the threshold the promise is kept: strictly below."),
            (0.99, 10, "availability at a threshold is not strictly below it."),
            (0.95, 25, "availability at a threshold is not strictly below it."),
            (0, 100, "0 is an availability."),
        )
        for order in (table, sorted(table), sorted(table, reverse=True))
    ),
    ((0.5, []), 0, "No table, no credit."),
    ((0.5, [(1, 7.5)]), 7.5, "A single threshold."),
    ((1, [(1, 7.5)]), 0, "A single threshold, kept."),
    ((0.2, [(0.9, 40), (0.5, 0)]), 0, "The lowest decides, even if its credit is 0."),
)
### END HIDDEN TESTS

# %% goodput__hidden__refused
"""Refused input: `lam` negative, `mu` or `wq_max` zero or negative."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused


def a_request(ttft, tpot, status="ok"):
    """Return one request."""
    return {"ttft": ttft, "tpot": tpot, "status": status}


check_first(
    goodput,
    (
        (
            [a_request(1, 0.25), a_request(1, None), a_request(0.5, 9), a_request(0, 0, "shed")],
            1,
            0.25,
        ),
        0.5,
    ),
)
check_first(replicas_for_slo, ((10, 3, 0.4), 4), ((120, 30, 0.005), 6))
agreed = [(0.99, 25), (0.999, 10), (0.95, 100)]
check_first(sla_credit, ((0.9899, agreed), 25), ((0.5, agreed), 100))
for lam in (10, 0):
    check_refused(
        replicas_for_slo,
        {"lam": lam, "mu": 3, "wq_max": 0.1},
        {"lam": (-0.001, -10), "mu": (0, -0.001, -3), "wq_max": (0, -0.001, -1)},
        "lam is at least 0, mu and wq_max are above 0.",
    )
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Each exercise defined something that runs in production, computed a small check of it, and left
# the last step to you: what should the **system** do when the check fails? Choose three of the << count >>
# and write, for each, which action you would automate, which you would leave to a person, and what
# would make you undo it. Write a few sentences in the next cell; a person may read and comment on
# them.
#
# **What a reader looks for**
#
# - three checks from this chapter, each with what the system does when it fails
# - a line between what is automated and what a person decides, and why it runs there
# - for each action, what would show that it was wrong and how it is taken back

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many. Contracts: reject a request that breaks its contract at the gateway,
# at once and with the code; leave to a person the decision to widen the contract; undo a new rule
# if it rejects traffic that used to be served. Burn alerts: the fast rule rolls back a release that
# is younger than the window, because the release is the likeliest cause, and pages a person
# otherwise; the slow rule opens a ticket. Replicas: scale up automatically as soon as the computed
# number exceeds the running one, scale down only after a quiet hour; a person decides when the
# budget is exceeded.
# ### END SOLUTION

# %% [markdown]
# ## What to keep
#
# An optimisation is worth what its constraint leaves of it. A better mean has to clear a gate, a
# larger batch has to stay stable, a faster step has to be the bottleneck, a mean has to say what
# its tail does, and a throughput only counts as far as it keeps a promise. Compute the constraint
# first.
