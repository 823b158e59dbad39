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
# # Chapter 1 · Exercises: serving and systems tradeoffs
#
# << count | capitalize >> functions that a serving engineer writes sooner or later, worth
# << num(points['total']) >> points. For each one:
#
# 1. Read the **statement**: the question, the formula with its units, and what to do at the edges.
# 2. Write the function in the **solution cell**, in place of `raise NotImplementedError()`.
# 3. Run the **try-it cell**: it compares what you return with the worked number of the statement.
# 4. Run the **visible checks**. A check prints ✓, or says what was called, what was expected,
#    what came back, and which mistake is likely.
# 5. Run the **deep check**: it looks for an input for which the function is wrong, among many
#    random ones and at the edges that the statement names. It is not graded.
# 6. **Hidden tests** run after you hand in. They try those edges, and many more inputs; they ask
#    for nothing that the statement does not say.
#
# << overview >>
#
# In all << count >>, "error" means: raise `ValueError`. Results are compared as values, to nine
# digits: an `int` for a `float`, a NumPy number or a tuple for a list are fine. No function changes
# its arguments. The package `servemath_helpers` teaches the same formulas. Use it as much as you
# like, except to return its own answer to the very question asked: that earns no points.
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% setup__statement
from servemath_helpers.notebook import check_close, check_equal

# %% [markdown] littles_law__statement
# *Your dashboard shows two of three numbers: how fast requests arrive, how long they stay, how many
# are there. What is the third?* In any stable system, long-run averages obey
#
# $$L = \lambda W$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | mean arrival rate | requests/s |
# | $W$ | `W` | mean time a request spends in the system, waiting and being served | s |
# | $L$ | `L` | mean number of requests in the system | requests |
#
# Write `littles_law(lam=None, W=None, L=None)`. Exactly one argument is `None`, the missing one:
# return it. The result need not be a whole number.
#
# - 0 is a value, not a missing one.
# - Error: none, two or three arguments are `None`; one is negative; the answer would need a
#   division by 0.
#
# **Worked number.** $\lambda$ = 8 requests/s and $L$ = 20 requests give
# $W$ = << num(queueing.littles_law(lam=8, L=20)) >> s.


# %% littles_law__solution
def littles_law(lam=None, W=None, L=None):
    """Return the one of lam [requests/s], W [s] and L [requests] that is None."""
    ### BEGIN SOLUTION
    given = [value for value in (lam, W, L) if value is not None]
    if len(given) != 2:
        raise ValueError("exactly one of lam, W and L must be None")
    if min(given) < 0:
        raise ValueError("lam, W and L must not be negative")
    if L is None:
        return lam * W
    if given[0] == 0:
        raise ValueError("lam or W is 0, so the answer is not determined")
    return L / given[0]
    ### END SOLUTION


# %%
W = littles_law(lam=8, L=20)
print("W =", W, "s")
check_close(W, 2.5, "the worked number: littles_law(lam=8, L=20)")

# %% littles_law__visible__finds_the_missing_quantity
"""Visible: two quantities give the third."""
from servemath_helpers.notebook import check_close

check_close(
    littles_law(lam=12, W=2),
    24,
    "littles_law(lam=12, W=2)",
    "L is the product of lam and W: a mean number, with nothing added for peaks.",
)
check_close(
    littles_law(W=1.5, L=30),
    20,
    "littles_law(W=1.5, L=30)",
    "Solve L = lam W for lam: divide L by W.",
)

# %% littles_law__hidden__values
"""Values: any of the three from the other two, also in other units of time."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    check_calls(
        littles_law,
        ({"lam": 20, "L": 30}, 1.5, "Return the missing one: L = lam W."),
        ((0.5, 0.3), 0.15, "A mean number need not be whole."),
        ((4, None, 10), 2.5, "The arguments come in the order lam, W, L."),
        ((None, 4, 10), 2.5, "The arguments come in the order lam, W, L."),
    )

    dice = random.Random(11)
    rows = []
    for _ in range(10):
        rate, stay = dice.uniform(0.01, 50), dice.uniform(0.01, 50)
        rows.append(((rate, stay), rate * stay))
        rows.append(((rate * 1000, stay / 1000), rate * stay))
        rows.append(({"lam": rate, "L": rate * stay}, stay))
        rows.append(({"W": stay, "L": rate * stay}, rate))
    check_calls(
        littles_law,
        *rows,
        what="many rates and times, also in other units of time",
        hint="Return the missing one: L = lam W, in any unit of time.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_law__hidden__edges
"""Edges: a rate, a time or a number of 0 is a value, not a missing one."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(littles_law, ({"lam": 20, "L": 30}, 1.5), ((0.5, 0.3), 0.15))

    check_calls(
        littles_law,
        *(
            (given, 0, "0 is a value: compare with None.")
            for given in (
                {"lam": 0, "W": 2},
                {"lam": 3, "W": 0},
                {"lam": 0, "W": 0},
                {"lam": 4, "L": 0},
                {"W": 4, "L": 0},
            )
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_law__hidden__refused
"""Refused input: none, two or three arguments `None`, negative ones, a division by 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    check_first(littles_law, ({"lam": 20, "L": 30}, 1.5), ((0.5, 0.3), 0.15))

    check_raises(lambda: littles_law(), ValueError, "littles_law()", "Two must be given.")
    for good, broken in (
        ({"lam": 2, "W": 3}, {"lam": (None, -0.001, -2), "W": (None, -3), "L": (6, 0, -6)}),
        (
            {"lam": 5, "L": 1},
            {"lam": (None, 0, -0.001, -2), "L": (None, -0.001, -1), "W": (0.2, 0)},
        ),
        ({"W": 5, "L": 1}, {"W": (None, 0, -0.001, -2), "L": (None, -0.001, -1), "lam": (0.2, 0)}),
        ({"lam": 3, "L": 0}, {"lam": (0, -3), "W": (0,)}),
        ({"W": 3, "L": 0}, {"W": (0, -3), "lam": (0,)}),
        ({"lam": 0, "W": 0}, {"lam": (-1,), "W": (-1,), "L": (0,)}),
    ):
        hint = "Exactly one is None, none is negative, and nothing is divided by 0."
        check_refused(littles_law, good, broken, hint)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] mm1__statement
# *Requests reach one server at random. How busy is it, how long do they wait, and what does the
# slowest one in a hundred see?* With Poisson arrivals and exponential service times (M/M/1),
#
# $$\rho = \frac{\lambda}{\mu}, \qquad W = \frac{1}{\mu - \lambda}, \qquad W_q = \rho W, \qquad
# L = \lambda W, \qquad L_q = \lambda W_q, \qquad P_{99} = W \ln 100$$
#
# | symbol | name | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/s |
# | $\mu$ | `mu` | service rate of the server, above 0 | requests/s |
# | $\rho$ | `rho` | utilisation | – |
# | $W$ | `W` | mean response time: waiting and service | s |
# | $W_q$ | `Wq` | mean wait in the queue alone | s |
# | $L$, $L_q$ | `L`, `Lq` | mean number in the system, and in the queue alone | requests |
# | $P_{99}$ | `p99` | 99th percentile of the response time | s |
#
# Write `mm1(lam, mu)`. Return a `dict` with exactly the keys
# `"rho"`, `"W"`, `"Wq"`, `"L"`, `"Lq"`, `"p99"`.
#
# - `lam = 0`: the rare request that comes meets an idle server. `W` is $1/\mu$, `p99` follows from
#   it, and `rho`, `Wq`, `L`, `Lq` are 0.
# - $\rho \ge 1$: the queue grows without end. `rho` is as computed, the other five are `math.inf`.
# - Error: `lam` negative, `mu` zero or negative.
#
# **Worked number.** At 9 requests/s on a server of 12 requests/s, $W$ is
# << num(queueing.mm1(9, 12)['W']) >> s and $P_{99}$ is << num(queueing.mm1(9, 12)['p99']) >> s.

# %% mm1__solution
import math


def mm1(lam, mu):
    """Return rho, W [s], Wq [s], L, Lq and p99 [s] of an M/M/1 queue."""
    ### BEGIN SOLUTION
    if lam < 0 or mu <= 0:
        raise ValueError("lam must be at least 0 and mu above 0, both in requests/s")
    rho = lam / mu
    if rho >= 1:
        return {"rho": rho} | dict.fromkeys(("W", "Wq", "L", "Lq", "p99"), math.inf)
    W = 1 / (mu - lam)
    Wq = rho * W
    return {
        "rho": rho,
        "W": W,
        "Wq": Wq,
        "L": lam * W,
        "Lq": lam * Wq,
        "p99": W * math.log(100),
    }
    ### END SOLUTION


# %%
nine_of_twelve = mm1(lam=9, mu=12)
print(nine_of_twelve)
check_close(
    [nine_of_twelve["W"], nine_of_twelve["p99"]],
    [0.333, 1.54],
    "the worked numbers: W and p99 of mm1(lam=9, mu=12)",
    rel_tol=0.01,
)

# %% mm1__visible__utilisation_response_and_wait
"""Visible: the keys, the utilisation, the response time and the wait."""
from servemath_helpers.notebook import check_close, check_equal

got = mm1(lam=30, mu=50)
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    ["L", "Lq", "W", "Wq", "p99", "rho"],
    "the sorted keys of mm1(lam=30, mu=50)",
    "Return a dict with exactly these keys.",
)
check_close(
    {key: got[key] for key in ("rho", "W", "Wq")},
    {"rho": 0.6, "W": 0.05, "Wq": 0.03},
    "mm1(lam=30, mu=50)",
    "W is the response time, service included; Wq is the part of it spent waiting.",
)

# %% mm1__hidden__values
"""Values: the six numbers of stable servers, which agree with each other for any load."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    def by_hand(lam, mu):
        """Return the six numbers of a stable server in exact fractions, p99 aside."""
        lam, mu = Fraction(lam), Fraction(mu)
        W, rho = 1 / (mu - lam), lam / mu
        row = {"rho": rho, "W": W, "Wq": W - 1 / mu, "L": lam * W, "Lq": lam * W - rho}
        return row | {"p99": math.log(100) / float(mu - lam)}

    check_calls(
        mm1,
        (
            (8, 10),
            {"rho": 0.8, "W": 0.5, "Wq": 0.4, "L": 4, "Lq": 3.2, "p99": 0.5 * math.log(100)},
            "L counts the request in service, Lq does not; p99 is W times the natural log of 100.",
        ),
    )

    dice = random.Random(12)
    servers = [(dice.uniform(0.01, 0.999) * mu, mu) for mu in [dice.uniform(0.1, 900)] * 30]
    check_calls(
        mm1,
        *((server, by_hand(*server)) for server in servers),
        what="many loads",
        hint="L = lam W, Lq = lam Wq, W = Wq + 1 / mu, p99 = W ln 100.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% mm1__hidden__edges
"""Edges: an idle server, a load close to 1, a load of 1 and above."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first

    def by_hand(lam, mu):
        """Return the six numbers of a stable server in exact fractions, p99 aside."""
        lam, mu = Fraction(lam), Fraction(mu)
        W, rho = 1 / (mu - lam), lam / mu
        row = {"rho": rho, "W": W, "Wq": W - 1 / mu, "L": lam * W, "Lq": lam * W - rho}
        return row | {"p99": math.log(100) / float(mu - lam)}

    check_first(
        mm1,
        ((8, 10), {"rho": 0.8, "W": 0.5, "Wq": 0.4, "L": 4, "Lq": 3.2, "p99": 0.5 * math.log(100)}),
    )

    check_calls(
        mm1,
        *(
            (
                (0, mu),
                by_hand(0, mu),
                "Nobody waits, but a request that comes is served: W = 1 / mu.",
            )
            for mu in (
                10,
                0.25,
            )
        ),
        *(
            ((lam, mu), by_hand(lam, mu), "Below rho = 1 the server is stable, however close.")
            for lam, mu in (
                (999, 1000),
                (9999.5, 10_000),
                (0.001, 1000),
            )
        ),
        *(
            (
                (lam, mu),
                {"rho": rho} | dict.fromkeys(("W", "Wq", "L", "Lq", "p99"), math.inf),
                "From rho = 1 on there is no steady state: everything but rho is math.inf.",
            )
            for lam, mu, rho in (
                (50, 50, 1),
                (60, 50, 1.2),
                (0.5, 0.125, 4),
                (50.0001, 50, 1.000002),
            )
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% mm1__hidden__refused
"""Refused input: `lam` negative, `mu` zero or negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        mm1,
        ((8, 10), {"rho": 0.8, "W": 0.5, "Wq": 0.4, "L": 4, "Lq": 3.2, "p99": 0.5 * math.log(100)}),
    )
    for lam in (1, 0, 9):
        check_refused(
            mm1,
            {"lam": lam, "mu": 5},
            {"lam": (-0.001, -6), "mu": (0, -0.001, -5)},
            "lam is at least 0, mu is above 0.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] request_latency_ms__statement
# *A user asks a question. When does the first token appear, and when is the answer complete?*
# Prefill reads the prompt and already emits token 1; each further token takes one decode step.
#
# $$\mathrm{TTFT} = T_{queue} + T_{prefill}, \qquad
# \mathrm{E2E} = \mathrm{TTFT} + (n_{out} - 1)\,\mathrm{TPOT} + T_{post}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $T_{queue}$ | `queue` | wait before prefill starts | ms |
# | $T_{prefill}$ | `prefill` | time of prefill | ms |
# | $n_{out}$ | `n_out` | tokens of the answer, a whole number from 0 | tokens |
# | $\mathrm{TPOT}$ | `tpot` | time of each output token after the first | ms |
# | $T_{post}$ | `post` | work after the last token, such as a safety filter | ms |
#
# Write `request_latency_ms(queue, prefill, n_out, tpot, post)`. Return a `dict` with exactly the
# keys `"ttft"` and `"e2e"`, both in ms.
#
# - `n_out = 1`: no decode step.
# - `n_out = 0`: there is no first token, so `"ttft"` is `None`, and `"e2e"` is
#   queue + prefill + post.
# - Error: any argument negative.
#
# **Worked number.** With a queue of 10 ms, prefill 60 ms, 21 tokens, TPOT 20 ms and 8 ms of post
# work, TTFT is << num(latency.request_latency_ms(10, 60, 21, 20, 8)['ttft']) >> ms and E2E
# << num(latency.request_latency_ms(10, 60, 21, 20, 8)['e2e']) >> ms.


# %% request_latency_ms__solution
def request_latency_ms(queue, prefill, n_out, tpot, post):
    """Return time to first token and end-to-end time of a request, in ms."""
    ### BEGIN SOLUTION
    if min(queue, prefill, n_out, tpot, post) < 0:
        raise ValueError("times and n_out must not be negative")
    first = queue + prefill
    decode_steps = max(n_out - 1, 0)
    return {"ttft": first if n_out > 0 else None, "e2e": first + decode_steps * tpot + post}
    ### END SOLUTION


# %%
latencies = request_latency_ms(queue=10, prefill=60, n_out=21, tpot=20, post=8)
print(latencies)
check_close(latencies, {"ttft": 70, "e2e": 478}, "the worked numbers of 21 tokens")

# %% request_latency_ms__visible__first_and_last_token
"""Visible: time to first token and end-to-end time."""
from servemath_helpers.notebook import check_close

check_close(
    request_latency_ms(queue=20, prefill=100, n_out=40, tpot=15, post=5),
    {"ttft": 120, "e2e": 710},
    "request_latency_ms(queue=20, prefill=100, n_out=40, tpot=15, post=5)",
    "TTFT includes the queue; prefill emits token 1, so 39 decode steps remain.",
)
check_close(
    request_latency_ms(queue=0, prefill=100, n_out=2, tpot=15, post=0),
    {"ttft": 100, "e2e": 115},
    "request_latency_ms(queue=0, prefill=100, n_out=2, tpot=15, post=0)",
    "Two tokens: one from prefill, one from a decode step.",
)

# %% request_latency_ms__hidden__values
"""Values: time to first token and end-to-end time of many requests."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        request_latency_ms,
        (
            (30, 250, 80, 25, 15),
            {"ttft": 280, "e2e": 2270},
            "Prefill emits token 1: one decode step fewer than tokens follows.",
        ),
    )

    dice = random.Random(13)
    rows = []
    for longest in (500, 0.5) * 20:
        queue, prefill, tpot, post = (dice.uniform(0, longest) for _ in range(4))
        n_out = dice.randint(1, 300)
        e2e = Fraction(queue) + Fraction(prefill) + Fraction(tpot) * (n_out - 1) + Fraction(post)
        rows.append(((queue, prefill, n_out, tpot, post), {"ttft": queue + prefill, "e2e": e2e}))
    check_calls(
        request_latency_ms,
        *rows,
        what="many budgets",
        hint="TTFT is queue and prefill, each further token takes TPOT; round nothing.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% request_latency_ms__hidden__edges
"""Edges: answers of one token and of none, times of 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    no_decode = "Without a first token there is no TTFT; E2E is not shortened by a decode step."
    check_first(request_latency_ms, ((30, 250, 80, 25, 15), {"ttft": 280, "e2e": 2270}))
    check_calls(
        request_latency_ms,
        ((30, 250, 1, 25, 15), {"ttft": 280, "e2e": 295}, "One token needs no decode step."),
        ((30, 250, 0, 25, 15), {"ttft": None, "e2e": 295}, no_decode),
        ((0.25, 0.5, 0, 7, 1.125), {"ttft": None, "e2e": 1.875}, no_decode),
        ((0, 0, 0, 0, 0), {"ttft": None, "e2e": 0}, no_decode),
        ((0, 0, 1, 25, 0), {"ttft": 0, "e2e": 0}, "A TTFT of 0 ms is a number, not None."),
        ((0, 0, 3, 0, 0), {"ttft": 0, "e2e": 0}, "Times may be 0."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% request_latency_ms__hidden__refused
"""Refused input: any argument negative, also one that plays no part."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(request_latency_ms, ((30, 250, 80, 25, 15), {"ttft": 280, "e2e": 2270}))
    for n_out, little in ((80, -0.001), (1, -0.001), (0, -1)):
        check_refused(
            request_latency_ms,
            {"queue": 30, "prefill": 250, "n_out": n_out, "tpot": 25, "post": 15},
            {"queue": (little,), "prefill": (little,), "n_out": (-9, -1), "tpot": (little,)}
            | {"post": (little,)},
            "No time and no number of tokens is negative, even one that plays no part.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] max_concurrent__statement
# *How many requests fit on the GPU at once?* Weights and workspace take their share; every running
# request keeps a KV cache in what is left:
#
# $$N = \max\left(0, \left\lfloor \frac{M_{gpu} - M_{weights} - M_{workspace}}{M_{kv}}
# \right\rfloor\right)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $M_{gpu}$ | `gpu_gb` | memory of the GPU | GB |
# | $M_{weights}$ | `weights_gb` | weights of the model | GB |
# | $M_{workspace}$ | `workspace_gb` | activations, buffers, runtime | GB |
# | $M_{kv}$ | `kv_gb` | KV cache of one request, above 0 | GB per request |
#
# Write `max_concurrent(gpu_gb, weights_gb, workspace_gb, kv_gb)` and return an `int`.
#
# Each argument may be an `int`, a text such as `"0.55"`, a `Decimal`, a `Fraction`, or a `float`,
# and means exactly the decimal that one reads: `0.8` is eight tenths. The double 0.8 is a little
# more than that, which is why `32 // 0.8` is << num(32 // 0.8) >> in Python. `Fraction(str(x))`
# reads all five forms exactly.
#
# - A quotient that is exactly whole counts in full.
# - No room left, or less than none: 0.
# - Error: `kv_gb` zero or negative; any other argument negative.
#
# **Worked number.** 48 GB, of which 16 GB are weights and 2 GB workspace, hold
# << memory.max_concurrent(48, 16, 2, '1.2') >> requests of 1.2 GB each.

# %% max_concurrent__solution
from fractions import Fraction


def max_concurrent(gpu_gb, weights_gb, workspace_gb, kv_gb):
    """Return how many requests' KV caches fit beside weights and workspace."""
    ### BEGIN SOLUTION
    gpu, weights, workspace, kv = (
        Fraction(str(value)) for value in (gpu_gb, weights_gb, workspace_gb, kv_gb)
    )
    if min(gpu, weights, workspace) < 0 or kv <= 0:
        raise ValueError("sizes must not be negative, and kv_gb must be above 0")
    return max(0, (gpu - weights - workspace) // kv)
    ### END SOLUTION


# %%
print(max_concurrent(48, 16, 2, "1.2"), "requests")
check_equal(max_concurrent(48, 16, 2, "1.2"), 25, "the worked number: in 48 GB")

# %% max_concurrent__visible__room_left_for_requests
"""Visible: requests in an empty GPU, and beside weights and workspace."""
from servemath_helpers.notebook import check_equal

check_equal(
    max_concurrent(32, 0, 0, "0.8"),
    40,
    "max_concurrent(32, 0, 0, '0.8')",
    "0.8 as a double is a little too large, so // loses one: compute with Fraction(str(x)).",
)
check_equal(
    max_concurrent(80, 40, 9, 3),
    10,
    "max_concurrent(80, 40, 9, 3)",
    "Take weights and workspace off first; a third of a request is none, so round down.",
)

# %% max_concurrent__hidden__values
"""Values: how many requests fit, many exact multiples among them."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from decimal import Decimal
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        max_concurrent,
        (
            (80, 28, 8, "0.55"),
            80,
            "A quotient that is exactly whole counts in full: compute exactly.",
        ),
        ((80, 41, 9, 4), 7, "Round down: a part of a request is none."),
        (
            ("33", 0, 0, "0.55"),
            60,
            "A quotient that is exactly whole counts in full: a float loses one.",
        ),
        ((Fraction(4, 3), Fraction(1, 3), 0, Fraction(1, 3)), 3, "Three thirds fit."),
        ((80, 70, "9.5", "0.5"), 1, "One fits."),
        exact=True,
    )

    dice = random.Random(14)
    rows = []
    for _ in range(20):
        fits, kv_hundredths = dice.randint(1, 400), dice.randint(1, 300)
        free, kv = Decimal(fits * kv_hundredths) / 100, Decimal(kv_hundredths) / 100
        rows.append(((str(free + 21), 19, 2, str(kv)), fits))
    check_calls(
        max_concurrent,
        *rows,
        what="many exact multiples",
        hint="A quotient that is exactly whole counts in full.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% max_concurrent__hidden__edges
"""Edges: nearly whole quotients, every form of an argument, no room left."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(max_concurrent, ((80, 28, 8, "0.55"), 80), ((80, 41, 9, 4), 7))

    check_calls(
        max_concurrent,
        (
            ("31.99999999999", 0, 0, "0.8"),
            39,
            "Only a quotient that is exactly whole counts in full: add nothing.",
        ),
        (
            ("31.99999999999999999999", 0, 0, "0.8"),
            39,
            "Only a quotient that is exactly whole counts in full.",
        ),
        (
            (32, "0.00000000001", 0, "0.8"),
            39,
            "Only a quotient that is exactly whole counts in full: add nothing.",
        ),
        (
            (32, 0, "0.00000000001", "0.8"),
            39,
            "Only a quotient that is exactly whole counts in full: add nothing.",
        ),
        (
            (32, 0, 0, "0.80000000001"),
            39,
            "Only a quotient that is exactly whole counts in full: add nothing.",
        ),
        *(
            (sizes, 0, "No room: 0, never less.")
            for sizes in (
                (80, 70, 12, 1),
                (80, 70, 10, 1),
                (80, 0, 0, 81),
                (0, 0, 0, 1),
                (0, 9, 0, 1),
            )
        ),
        exact=True,
    )
    for sizes, fits in (
        (("32", "0", "0", "0.8"), 40),
        (("111.55", "10.8", "1.3", "1.95"), 51),
        (("23.04", "15.2", "1.6", "0.52"), 12),
        (("154.1", "9.8", "3.9", "2.6"), 54),
        (("300000000000000005", "1", "1", "100000000000000001"), 3),
    ):
        hint = "Read every form of every argument with Fraction(str(x))."
        check_forms(max_concurrent, sizes, fits, hint, exact=True, pairs=fits in (12, 54))


hidden_tests()
### END HIDDEN TESTS

# %% max_concurrent__hidden__refused
"""Refused input: `kv_gb` zero or negative, any other argument negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    negative = ("-0.001", "-9")
    sizes = dict(zip(("gpu_gb", "weights_gb", "workspace_gb"), [negative] * 3, strict=True))
    hint = "No size is negative, and a KV cache is larger than 0, whether there is room or not."
    good = {"gpu_gb": 80, "weights_gb": 28, "workspace_gb": "8", "kv_gb": 1}
    check_first(max_concurrent, ((80, 28, 8, "0.55"), 80), ((80, 41, 9, 4), 7))
    check_refused(max_concurrent, good, sizes | {"kv_gb": ("0", *negative)}, hint)
    check_refused(max_concurrent, good | {"gpu_gb": 10}, {"gpu_gb": (-1,), "kv_gb": (0, -1)}, hint)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] cost_per_million__statement
# *What does a million tokens cost us?* GPUs are paid by the hour, busy or not:
#
# $$\mathrm{CPM} = \frac{10^6 \, C \, n}{3600 \, X \, u}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $C$ | `hour_usd` | price of one GPU, at least 0 | USD per hour |
# | $X$ | `tok_s` | throughput of **all** GPUs together at full load, above 0 | tokens/s |
# | $n$ | `n_gpus` | number of GPUs, 1 unless given | – |
# | $u$ | `util` | share of that throughput that is really served, in (0, 1] | – |
#
# Write `cost_per_million(hour_usd, tok_s, n_gpus=1, util=1.0)` and return USD per million tokens.
#
# - Error: `tok_s` zero or negative; `util` outside (0, 1], so 30 for 30 % is an error; `hour_usd`
#   or `n_gpus` negative.
#
# **Worked number.** Four GPUs at 2.5 USD per hour each, which together make 5000 tokens/s and are
# 60 % utilised, cost
# << num(cost.cost_per_million(2.5, 5000, n_gpus=4, util=0.6)) >> USD per million tokens.


# %% cost_per_million__solution
def cost_per_million(hour_usd, tok_s, n_gpus=1, util=1.0):
    """Return the cost of a million tokens in USD."""
    ### BEGIN SOLUTION
    if hour_usd < 0 or n_gpus < 0:
        raise ValueError("hour_usd and n_gpus must not be negative")
    if tok_s <= 0:
        raise ValueError("tok_s must be above 0")
    if not 0 < util <= 1:
        raise ValueError("util must be in (0, 1]")
    served_per_hour = 3600 * tok_s * util
    return 1e6 * hour_usd * n_gpus / served_per_hour
    ### END SOLUTION


# %%
usd = cost_per_million(2.5, 5000, n_gpus=4, util=0.6)
print(usd, "USD per million tokens")
check_close(usd, 0.926, "the worked number of four GPUs", rel_tol=0.001)

# %% cost_per_million__visible__one_busy_gpu
"""Visible: one GPU, fully used."""
from servemath_helpers.notebook import check_close

check_close(
    cost_per_million(3, 1000),
    5 / 6,
    "cost_per_million(3, 1000)",
    "The price is for an hour of 3600 s, and the answer for a million tokens.",
)
check_close(
    cost_per_million(hour_usd=7.2, tok_s=2000),
    1,
    "cost_per_million(hour_usd=7.2, tok_s=2000)",
    "2000 tokens/s are 7.2 million tokens an hour.",
)

# %% cost_per_million__hidden__values
"""Values: one GPU and many, fully used and in part."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        cost_per_million,
        (
            (2, 600),
            Fraction(25, 27),
            "The price of an hour over the tokens of an hour, for a million.",
        ),
        (
            {"hour_usd": 2, "tok_s": 600, "util": 0.3},
            Fraction(250, 81),
            "Idle time is paid too: fewer tokens share the same bill, so divide by util.",
        ),
        (
            {"hour_usd": 1.2, "tok_s": 1000, "n_gpus": 2},
            Fraction(2, 3),
            "Every GPU is paid for, while tok_s is already the throughput of all of them.",
        ),
        ((1.2, 1000, 2, 0.5), Fraction(4, 3), "Half the tokens for the same bill."),
    )

    dice = random.Random(15)
    rows = []
    for _ in range(40):
        cents, tok_s = dice.randint(1, 1000), dice.uniform(10, 100_000)
        n_gpus, percent = dice.randint(1, 64), dice.randint(1, 100)
        cost = Fraction(10**6 * cents * n_gpus) / (3600 * Fraction(tok_s) * percent)
        rows.append(((cents / 100, tok_s, n_gpus, percent / 100), cost))
    check_calls(
        cost_per_million,
        *rows,
        what="many clusters",
        hint="All GPUs are paid by the hour, for the tokens really served in it; round nothing.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% cost_per_million__hidden__edges
"""Edges: `util` of exactly 1, throughput next to nothing, a price of 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        cost_per_million, ((1.2, 1000, 2, 0.5), Fraction(4, 3)), ((2, 600), Fraction(25, 27))
    )

    check_calls(
        cost_per_million,
        ((1.2, 1000, 1, 1), Fraction(1, 3), "All of the throughput is a share in (0, 1]."),
        ((3.6, 0.5, 1, 0.001), 2_000_000, "However slow, and however idle."),
        ((0, 1000), 0, "Free GPUs, free tokens."),
        ((2, 1000, 0), 0, "No GPUs are paid for: only a negative number is refused."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% cost_per_million__hidden__refused
"""Refused input: `tok_s` zero or negative, `util` outside (0, 1], a negative price or number of GPUs."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        cost_per_million, ((1.2, 1000, 2, 0.5), Fraction(4, 3)), ((2, 600), Fraction(25, 27))
    )
    check_refused(
        cost_per_million,
        {"hour_usd": 3, "tok_s": 1000, "n_gpus": 2, "util": 0.5},
        {
            "hour_usd": (-0.001, -3),
            "tok_s": (0, -0.001, -5),
            "n_gpus": (-1, -8),
            "util": (0, -0.001, -0.5, 1.0001, 1.5, 30),
        },
        "A price is not negative, tok_s is above 0, and util a share, not a percentage.",
    )
    check_refused(
        cost_per_million,
        {"hour_usd": 0, "tok_s": 1},
        {"tok_s": (0, -1), "util": (0, 2)},
        "Free too.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] choose_batch__statement
# *A load test measured several batch sizes. Which one serves most within the latency limit?*
#
# $$i^* = \arg\max_i \; X_i \quad \text{among the } i \text{ with } \quad T_i \le T_{max}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $X_i$ | `throughput` | throughput of each option: list, tuple or NumPy array | requests/s |
# | $T_i$ | `latency_ms` | latency of each option, in the same order | ms |
# | $T_{max}$ | `limit_ms` | largest latency allowed | ms |
#
# Write `choose_batch(throughput, latency_ms, limit_ms)` and return the index $i^*$ into the
# sequences as given, counted from 0.
#
# - The options come in no particular order. A latency equal to the limit is within it.
# - Equal throughput: the one with lower latency; if that is equal too, the lower index.
# - No option within the limit, or no options at all: `None`.
# - Error: the two sequences differ in length; any number is negative.
#
# **Worked number.** Throughputs 210, 140, 260 and latencies 40, 25, 70 ms under a limit of 50 ms:
# option << batching.choose_batch([210, 140, 260], [40, 25, 70], 50) >>.


# %% choose_batch__solution
def choose_batch(throughput, latency_ms, limit_ms):
    """Return the index of the highest throughput within the latency limit, or None."""
    ### BEGIN SOLUTION
    if len(throughput) != len(latency_ms):
        raise ValueError("throughput and latency_ms must have the same length")
    if limit_ms < 0 or any(x < 0 for x in throughput) or any(t < 0 for t in latency_ms):
        raise ValueError("throughput, latency_ms and limit_ms must not be negative")
    eligible = [i for i, latency in enumerate(latency_ms) if latency <= limit_ms]
    # The smallest of these triples is the highest throughput, ties as agreed.
    return min(eligible, key=lambda i: (-throughput[i], latency_ms[i], i), default=None)
    ### END SOLUTION


# %%
option = choose_batch([210, 140, 260], [40, 25, 70], 50)
print("option", option)
check_equal(option, 0, "the worked number: choose_batch([210, 140, 260], [40, 25, 70], 50)")

# %% choose_batch__visible__most_throughput_within_the_limit
"""Visible: the best option within the limit."""
from servemath_helpers.notebook import check_equal

check_equal(
    choose_batch([100, 180, 260], [20, 45, 90], 60),
    1,
    "choose_batch([100, 180, 260], [20, 45, 90], 60)",
    "Option 2 has more throughput but misses the limit; return an index, not a throughput.",
)
check_equal(
    choose_batch([90, 150, 160, 140], [15, 30, 35, 40], 100),
    2,
    "choose_batch([90, 150, 160, 140], [15, 30, 35, 40], 100)",
    "All options are within the limit: the highest throughput wins, not the last or the fastest.",
)

# %% choose_batch__hidden__values
"""Values: the best option of many load tests, options in any order."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    check_calls(
        choose_batch,
        (([500, 100, 200], [90, 20, 30], 60), 2, "The index is that of the sequences as given."),
        (([100, 300, 200], [20, 90, 30], 60), 2, "The options are not sorted by latency."),
        exact=True,
    )

    dice = random.Random(16)
    rows = []
    for _ in range(25):
        n = dice.randint(1, 8)
        throughput = [dice.randint(1, 5) * 50 for _ in range(n)]
        latency_ms = [dice.randint(1, 5) * 10 for _ in range(n)]
        limit_ms = dice.randint(1, 6) * 10
        best = None
        for i in range(n):
            if latency_ms[i] > limit_ms:
                continue
            if best is None or (throughput[i], -latency_ms[i]) > (
                throughput[best],
                -latency_ms[best],
            ):
                best = i
        rows.append(((throughput, latency_ms, limit_ms), best))
    check_calls(
        choose_batch,
        *rows,
        what="many load tests",
        hint="Highest throughput within the limit; if equal, lower latency; then the lower index.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% choose_batch__hidden__edges
"""Edges: nothing within the limit, a limit met exactly, ties, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(
        choose_batch,
        (([500, 100, 200], [90, 20, 30], 60), 2),
        (([100, 300, 200], [20, 90, 30], 60), 2),
    )

    check_calls(
        choose_batch,
        (([100, 200], [50, 60], 40), None, "No option within the limit: None."),
        (([], [], 40), None, "No options at all: None."),
        (([100, 200], [50, 60], 60), 1, "A latency equal to the limit is within it."),
        (([100, 200], [50, 60.001], 60), 0, "A latency above the limit is not within it."),
        (([7], [0], 0), 0, "A limit of 0 is met by a latency of 0."),
        (([300, 400], [10, 99], 60), 0, "Index 0 is an answer like any other."),
        (([0], [5], 60), 0, "An eligible option counts even if its throughput is 0."),
        (([200, 200, 100], [50, 40, 10], 60), 1, "Equal throughput: lower latency wins."),
        (([5, 200, 200], [10, 40, 40], 60), 1, "Equal in both: the lower index."),
        (([200.0001, 200], [50, 40], 60), 0, "Nearly equal is not equal: more throughput wins."),
        (([200, 200], [40.0001, 40], 60), 1, "Nearly equal is not equal: lower latency wins."),
        exact=True,
    )
    for throughput, latency_ms, limit_ms, index in (
        ([200, 150, 250], [50, 40, 80], 60, 0),
        ([120.5, 120.25, 120.5], [8, 7, 7.5], 9.5, 2),
        ([100, 200], [50, 60], 40, None),
        ([], [], 40, None),
    ):
        hint = "Lists, tuples and NumPy arrays are fine, also side by side."
        call = (throughput, latency_ms, limit_ms)
        check_forms(choose_batch, call, index, hint, exact=True, pairs=index == 0)


hidden_tests()
### END HIDDEN TESTS

# %% choose_batch__hidden__refused
"""Refused input: sequences that differ in length, negative numbers."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        choose_batch,
        (([500, 100, 200], [90, 20, 30], 60), 2),
        (([100, 300, 200], [20, 90, 30], 60), 2),
    )

    for limit_ms in (60, 10):
        check_refused(
            choose_batch,
            {"throughput": [100, 200], "latency_ms": [50, 60], "limit_ms": limit_ms},
            {
                "throughput": ([100], [1, 2, 3], [], [100, -200], [-0.001, 200]),
                "latency_ms": ([50], [1, 2, 3], [50, -60], [-0.001, 60]),
                "limit_ms": (-1, -0.001),
            },
            "Sequences of one length, and no negative numbers, within the limit or not.",
        )
    check_refused(
        choose_batch,
        {"throughput": [], "latency_ms": [], "limit_ms": 60},
        {"throughput": ([1],), "latency_ms": ([1],), "limit_ms": (-1,)},
        "Sequences of one length, and no negative numbers.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] replicas_needed__statement
# *How many replicas carry this traffic without running hotter than we planned?* Each should be busy
# at most a share $\tau$ of the time, and a few more stand by for failures:
#
# $$c = \max\left(1, \left\lceil \frac{\lambda}{\tau \mu} \right\rceil\right) + k$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/s |
# | $\mu$ | `mu` | service rate of one replica, above 0 | requests/s |
# | $\tau$ | `target` | target utilisation, in (0, 1] | – |
# | $k$ | `spare` | spare replicas, a whole number from 0, 0 unless given | replicas |
#
# Write `replicas_needed(lam, mu, target, spare=0)` and return an `int`.
#
# `lam`, `mu` and `target` may each be an `int`, a text such as `"0.75"`, a `Decimal`, a `Fraction`
# or a `float`, and mean exactly the decimal that one reads: `Fraction(str(x))`. Where the quotient
# is whole, no replica is added.
#
# - `lam = 0`: one replica stays up, and the spare ones come on top.
# - Error: `lam` or `spare` negative; `mu` zero or negative; `target` outside (0, 1].
#
# **Worked number.** 90 requests/s at 8 requests/s per replica and a target of 0.65 need
# << capacity.replicas_needed(90, 8, '0.65') >> replicas, and
# << capacity.replicas_needed(90, 8, '0.65', spare=2) >> with two spare ones.

# %% replicas_needed__solution
import math
from fractions import Fraction


def replicas_needed(lam, mu, target, spare=0):
    """Return the number of replicas that keeps each at or below the target utilisation."""
    ### BEGIN SOLUTION
    lam, mu, target = (Fraction(str(value)) for value in (lam, mu, target))
    if lam < 0 or mu <= 0 or spare < 0:
        raise ValueError("lam and spare must be at least 0, and mu above 0")
    if not 0 < target <= 1:
        raise ValueError("target must be in (0, 1]")
    return max(1, math.ceil(lam / (target * mu))) + spare
    ### END SOLUTION


# %%
replicas = [replicas_needed(90, 8, "0.65"), replicas_needed(90, 8, "0.65", spare=2)]
print(replicas[0], "replicas, or", replicas[1])
check_equal(replicas, [18, 20], "the worked numbers: without and with two spare replicas")

# %% replicas_needed__visible__room_for_the_target
"""Visible: enough replicas for the target utilisation."""
from servemath_helpers.notebook import check_equal

check_equal(
    replicas_needed(120, 30, "0.75"),
    6,
    "replicas_needed(120, 30, '0.75')",
    "Four replicas would be busy all the time: divide by target times mu, then round up.",
)
check_equal(
    replicas_needed(180, 40, "0.70"),
    7,
    "replicas_needed(180, 40, '0.70')",
    "Round up once, at the end.",
)

# %% replicas_needed__hidden__values
"""Values: enough replicas for the target, spare ones on top, whole quotients."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from decimal import Decimal
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    whole = "The quotient is a whole number: compute it exactly, and add nothing."
    check_calls(
        replicas_needed,
        ((36, 12, "0.6"), 5, whole),
        ((42, 12, "0.7"), 5, whole),
        ((147, 7, "0.7"), 30, whole),
        ((10, 5, Fraction(2, 3)), 3, whole),
        ((90, 40, "0.7", 2), 6, "Round up, and add the spare replicas."),
        ((120, 30, "0.75", 2), 8, "Spares are added after rounding up."),
        exact=True,
    )

    dice = random.Random(17)
    rows = []
    for _ in range(20):
        replicas, tenths, percent = dice.randint(1, 90), dice.randint(1, 300), dice.randint(1, 100)
        lam = Decimal(replicas * tenths * percent) / 1000
        mu, target, spare = Decimal(tenths) / 10, Decimal(percent) / 100, dice.randint(0, 9)
        rows.append(((str(lam), str(mu), str(target), spare), replicas + spare))
    rows.append(((10**17 + 1, 1, 1), 10**17 + 1))
    check_calls(replicas_needed, *rows, what="many whole quotients", hint=whole, exact=True)


hidden_tests()
### END HIDDEN TESTS

# %% replicas_needed__hidden__edges
"""Edges: a quotient next to a whole number, every form of an argument, hardly any traffic."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    whole = "The quotient is a whole number: compute it exactly, and add nothing."
    more = "A little more than five replicas can carry needs a sixth: do not round first."
    check_first(replicas_needed, ((42, 12, "0.7"), 5), ((90, 40, "0.7", 2), 6))
    check_calls(
        replicas_needed,
        (("36.0000000001", 12, "0.6"), 6, more),
        (("36.00000000000000000001", 12, "0.6"), 6, more),
        ((36, "11.9999999999", "0.6"), 6, more),
        ((36, 12, "0.5999999999"), 6, more),
        (("35.9999999999", 12, "0.6"), 5, "A little less than five replicas can carry."),
        ((0, 12, "0.6"), 1, "Without traffic one replica stays up."),
        (("0.1", 12, "0.6"), 1, "With hardly any traffic one replica carries it."),
        ({"lam": 0, "mu": 12, "target": "0.6", "spare": 2}, 3, "Spares come on top of that one."),
        (("0.1", 12, "0.6", 5), 6, "Spares come on top of that one."),
        exact=True,
    )
    for call, replicas in (
        (("36", "12", "0.6"), 5),
        (("3", "0.3", "1"), 10),
        (("3.6", "1.2", "0.6"), 5),
        (("7.2", "2.4", "0.3"), 10),
        (("0.1", "0.1", "1"), 1),
        (("6.67", "2.3", "0.58"), 5),
        (("0", "0.1", "0.7"), 1),
        (("300000000000000003", "100000000000000001", "1"), 3),
    ):
        check_forms(replicas_needed, call, replicas, whole, exact=True, pairs=replicas in (1, 10))


hidden_tests()
### END HIDDEN TESTS

# %% replicas_needed__hidden__refused
"""Refused input: `lam` or `spare` negative, `mu` zero or negative, `target` outside (0, 1]."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    hint = "lam and spare are at least 0, mu is above 0, target is in (0, 1]."
    good = {"lam": 36, "mu": 12, "target": "0.6", "spare": 1}
    check_first(replicas_needed, ((42, 12, "0.7"), 5), ((90, 40, "0.7", 2), 6))
    for lam, bounds in (
        (36, (("-0.001", "-36"), ("0", "-0.001", "-12"), ("0", "-0.001", "-0.6", "1.0001", "60"))),
        (0, ((-0.001,), (0, -12), (0, -0.6, 1.01))),
    ):
        broken = dict(zip(("lam", "mu", "target"), bounds, strict=True))
        check_refused(replicas_needed, good | {"lam": lam}, broken | {"spare": (-5, -1)}, hint)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] error_budget__statement
# *How many requests may still fail this month, and how fast are we using that up?* An objective
# (SLO) of 0.999 promises that 99.9 % of requests are good; the rest is the budget:
#
# $$\mathrm{budget} = \lfloor (1 - \mathrm{SLO}) \, n \rfloor, \qquad
# \mathrm{burn} = \frac{b / n}{1 - \mathrm{SLO}}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $n$ | `n` | number of requests, a whole number from 0 | requests |
# | $\mathrm{SLO}$ | `slo` | promised share of good requests, in [0, 1] | – |
# | $b$ | `bad` | number of bad requests among them, from 0 to `n` | requests |
#
# Write two functions in one cell: `error_budget(n, slo)` returns an `int`, the number of requests
# that may be bad; `burn_rate(bad, n, slo)` returns a number: 1 spends the budget exactly over the
# SLO's own period, 2 in half of it.
#
# Each argument may be an `int`, a text such as `"0.999"`, a `Decimal`, a `Fraction` or a `float`,
# and means exactly the decimal that one reads: `Fraction(str(x))`.
#
# - `n = 0`: the budget is 0 and the burn rate 0.0.
# - `slo = 1`: the budget is 0; the burn rate is `math.inf` if anything was bad, else 0.0.
# - Error: `n` or `bad` negative; `slo` outside [0, 1].
#
# **Worked number.** 20 000 requests under an SLO of 0.995 may include
# << num(reliability.error_budget(20000, '0.995')) >> bad ones; with 250 bad ones the burn rate is
# << num(reliability.burn_rate(250, 20000, '0.995')) >>.

# %% error_budget__solution
import math
from fractions import Fraction


def error_budget(n, slo):
    """Return how many of n requests may be bad."""
    ### BEGIN SOLUTION
    n, slo = Fraction(str(n)), Fraction(str(slo))
    if n < 0 or not 0 <= slo <= 1:
        raise ValueError("n must not be negative, and slo must be in [0, 1]")
    return math.floor((1 - slo) * n)
    ### END SOLUTION


def burn_rate(bad, n, slo):
    """Return the observed share of bad requests over the share that the SLO allows."""
    ### BEGIN SOLUTION
    bad, n, slo = (Fraction(str(value)) for value in (bad, n, slo))
    if bad < 0 or n < 0 or not 0 <= slo <= 1:
        raise ValueError("bad and n must not be negative, and slo must be in [0, 1]")
    if n == 0:
        return 0.0
    if slo == 1:
        return math.inf if bad > 0 else 0.0
    return float(bad / n / (1 - slo))
    ### END SOLUTION


# %%
budget, burn = error_budget(20_000, "0.995"), burn_rate(250, 20_000, "0.995")
print("budget", budget, "burn rate", burn)
check_close([budget, burn], [100, 2.5], "the worked numbers: budget and burn rate")

# %% error_budget__visible__budget_and_burn_rate
"""Visible: the budget of a million requests, and how fast it burns."""
from servemath_helpers.notebook import check_close, check_equal

check_equal(
    error_budget(1_000_000, "0.999"),
    1000,
    "error_budget(1_000_000, '0.999')",
    "The budget is the share of bad requests, 1 - slo, of all n requests.",
)
check_equal(
    error_budget(1_000_000, "0.99"),
    10_000,
    "error_budget(1_000_000, '0.99')",
    "The budget counts requests; it is not a time.",
)
check_close(
    burn_rate(30, 10_000, "0.999"),
    3,
    "burn_rate(30, 10_000, '0.999')",
    "Divide the share of bad requests by the share that the SLO allows.",
)

# %% error_budget__hidden__values
"""Values: budgets rounded down, and burn rates, of many objectives."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from decimal import Decimal
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        error_budget,
        ((1500, "0.999"), 1, "Half a request more is not allowed: round down."),
        ((1999, "0.999"), 1, "Round down."),
        exact=True,
    )

    check_calls(
        burn_rate,
        ((144, 10_000, "0.999"), 14.4, "Divide the two shares."),
        ((1, 1500, "0.999"), Fraction(2, 3), "The burn rate uses 1 - slo, not the rounded budget."),
        ((1, 100, "0.999"), 10, "The burn rate uses 1 - slo, not the rounded budget."),
    )

    dice = random.Random(18)
    budgets, burns = [], []
    for _ in range(20):
        allowed, lots, left_over = dice.randint(1, 99), dice.randint(1, 500), dice.randint(0, 50)
        slo = str(1 - Decimal(allowed) / 10_000)
        n = lots * 10_000 + left_over
        bad = dice.randint(0, n)
        budgets.append(((n, slo), lots * allowed + allowed * left_over // 10_000))
        burns.append(((bad, n, slo), Fraction(bad * 10_000, n * allowed)))
    check_calls(
        error_budget,
        *budgets,
        what="many objectives",
        hint="Round down the share 1 - slo of all requests.",
        exact=True,
    )
    check_calls(
        burn_rate,
        *burns,
        what="many objectives",
        hint="Divide the share of bad requests by the share that the SLO allows.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% error_budget__hidden__edges
"""Edges: exact budgets, no traffic, an SLO of 0 and of 1, every form of an argument."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first, check_forms

    forms = "Read every form of every argument with Fraction(str(x))."
    check_first(error_budget, ((1500, "0.999"), 1), ((1999, "0.999"), 1))
    check_first(burn_rate, ((144, 10_000, "0.999"), 14.4), ((1, 1500, "0.999"), Fraction(2, 3)))
    check_calls(
        error_budget,
        (
            (1_000_000, "0.9999"),
            100,
            "slo means exactly the decimal that one reads: 1 - slo as a float is too small.",
        ),
        (
            (1_000_000, "0.9995"),
            500,
            "slo means exactly the decimal that one reads: 1 - slo as a float is too small.",
        ),
        ((999, "0.999"), 0, "Less than one whole request is none."),
        ((10_000, "0.99990000001"), 0, "Almost one request is none: add nothing before the floor."),
        ((10_000, "0.99990000000000000000001"), 0, "Almost one request is none."),
        ((0, "0.999"), 0, "No requests, no budget."),
        ((500, 1), 0, "An SLO of 1 allows nothing."),
        ((500, 0), 500, "An SLO of 0 allows everything."),
        ((9, Fraction(2, 3)), 3, forms),
        exact=True,
    )
    for call, budget in (
        (("1000000", "0.9999"), 100),
        (("4580000", "0.937"), 288_540),
        (("1500", "0.998"), 3),
        (("500", "1"), 0),
        (("500", "0"), 500),
        (("0", "0.5"), 0),
        (("123456789012345678", "0.9"), 12_345_678_901_234_567),
    ):
        check_forms(error_budget, call, budget, forms, exact=True, pairs=budget == 100)

    check_calls(
        burn_rate,
        ((100, 100, 0), 1, "All bad, all allowed: a burn rate of 1."),
        ((1, 7, Fraction(2, 3)), Fraction(3, 7), forms),
    )
    for call, burn, hint in (
        (("3", "1000", "0.99"), 0.3, forms),
        (("1", "1000000", "0.99999999"), 100, "1 - slo as a float has too few digits left."),
        (("0", "100", "0.999"), 0, "Nothing bad burns nothing."),
        (("0", "0", "0.999"), 0, "No traffic burns nothing."),
        (("0", "0", "1"), 0, "No traffic burns nothing."),
        (("0", "0", "0"), 0, "No traffic burns nothing."),
        (("0", "100", "1"), 0, "An SLO of 1 that is kept burns nothing."),
        (("1", "100", "1"), math.inf, "One bad request under an SLO of 1: math.inf."),
        (("5", "20", "0"), 0.25, "An SLO of 0 allows everything."),
    ):
        check_forms(burn_rate, call, burn, hint, pairs=burn == 100)


hidden_tests()
### END HIDDEN TESTS

# %% error_budget__hidden__refused
"""Refused input: `n` or `bad` negative, `slo` outside [0, 1]."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    hint = "Counts are at least 0, slo is a share in [0, 1], whatever the traffic."
    check_first(error_budget, ((1500, "0.999"), 1), ((1999, "0.999"), 1))
    check_first(burn_rate, ((144, 10_000, "0.999"), 14.4), ((1, 1500, "0.999"), Fraction(2, 3)))
    for n, counts, shares in (
        (100, ("-100", "-1"), ("1.0001", "99.9", "-0.0001", "-1")),
        (0, (-1,), (1.01, -0.0001)),
    ):
        good, broken = {"n": n, "slo": "0.999"}, {"n": counts, "slo": shares}
        check_refused(error_budget, good, broken, hint)
        check_refused(burn_rate, {"bad": 0} | good, {"bad": counts} | broken, hint)
    check_refused(burn_rate, {"bad": 1, "n": 9, "slo": 1}, {"bad": (-1,), "n": (-9,)}, hint)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] choose_action__statement
# *Traffic surges and the full pipeline would miss its limit. What is the best we can still serve?*
#
# $$a^* = \arg\max_a \; \mathrm{quality}(a) \quad \text{among the } a \text{ with } \quad
# P_{99}(a) \le \mathrm{SLO}$$
#
# Write `choose_action(actions, slo_ms)`: `actions` is a list of dicts, one for each thing we could
# do, and `slo_ms` is the largest P99 allowed, in ms. Return the **name** of the best action.
#
# | key | meaning | unit |
# |:--|:--|:--|
# | `"name"` | a text | – |
# | `"p99_ms"` | 99th percentile of its response time | ms |
# | `"quality"` | share of answers that are good, from 0 to 1 | – |
# | `"cost"` | cost of a request | USD |
#
# An action may carry other keys, such as `"mean_ms"`; they play no part.
#
# - A P99 equal to the SLO is within it.
# - Equal quality: the cheaper one; if that is equal too, the one with lower `p99_ms`. Of actions
#   that are equal in all three, any one will do.
# - Nothing within the SLO, or no actions at all: `"shed"`, that is, refuse the request at once.
# - Error: `slo_ms` negative.
#
# **Worked number.** Actions `"large"` (P99 900 ms, quality 0.97), `"medium"` (400 ms, 0.92) and
# `"small"` (150 ms, 0.85) under an SLO of 500 ms:
# `"<< reliability.choose_action([
# {'name': 'large', 'p99_ms': 900, 'quality': 0.97, 'cost': 0.006},
# {'name': 'medium', 'p99_ms': 400, 'quality': 0.92, 'cost': 0.003},
# {'name': 'small', 'p99_ms': 150, 'quality': 0.85, 'cost': 0.001}], 500) >>"`.


# %% choose_action__solution
def choose_action(actions, slo_ms):
    """Return the name of the action of best quality within the SLO, or "shed"."""
    ### BEGIN SOLUTION
    if slo_ms < 0:
        raise ValueError("slo_ms must not be negative")
    eligible = [action for action in actions if action["p99_ms"] <= slo_ms]
    if not eligible:
        return "shed"
    best = min(eligible, key=lambda a: (-a["quality"], a["cost"], a["p99_ms"]))
    return best["name"]
    ### END SOLUTION


# %%
action = choose_action(
    [
        {"name": "large", "p99_ms": 900, "quality": 0.97, "cost": 0.006},
        {"name": "medium", "p99_ms": 400, "quality": 0.92, "cost": 0.003},
        {"name": "small", "p99_ms": 150, "quality": 0.85, "cost": 0.001},
    ],
    slo_ms=500,
)
print(action)
check_equal(action, "medium", "the worked example: an SLO of 500 ms")

# %% choose_action__visible__best_quality_within_the_slo
"""Visible: the best quality that the SLO leaves."""
from servemath_helpers.notebook import check_equal

models = [
    {"name": "large model", "p99_ms": 2200, "quality": 0.98, "cost": 0.008},
    {"name": "medium model", "p99_ms": 1200, "quality": 0.95, "cost": 0.004},
    {"name": "small model", "p99_ms": 700, "quality": 0.90, "cost": 0.001},
]
check_equal(
    choose_action(models, 1500),
    "medium model",
    "choose_action(models, 1500)",
    "Of the models within 1500 ms, quality decides: neither speed nor price.",
)
pipelines = [
    {"name": "full pipeline", "p99_ms": 2600, "mean_ms": 2100, "quality": 0.99, "cost": 0.009},
    {"name": "lower retrieval k", "p99_ms": 1500, "mean_ms": 700, "quality": 0.97, "cost": 0.007},
    {"name": "no reranker", "p99_ms": 1100, "mean_ms": 600, "quality": 0.93, "cost": 0.005},
    {"name": "cached answer", "p99_ms": 120, "mean_ms": 40, "quality": 0.70, "cost": 0.001},
]
check_equal(
    choose_action(pipelines, 1800),
    "lower retrieval k",
    "choose_action(pipelines, 1800)",
    "Return the name of the best action that keeps its P99 within 1800 ms.",
)

# %% choose_action__hidden__values
"""Values: the best action of many surges, in any order, by its P99."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    slow = {"name": "slow", "p99_ms": 900, "mean_ms": 200, "quality": 0.99, "cost": 0.010}
    quick = {"name": "quick", "p99_ms": 300, "mean_ms": 250, "quality": 0.90, "cost": 0.002}
    basic = {"name": "basic", "p99_ms": 50, "mean_ms": 40, "quality": 0.60, "cost": 0.001}
    bare = [{k: v for k, v in action.items() if k != "mean_ms"} for action in (slow, basic)]

    rows = [
        ([slow, basic], 400, "basic", "The P99 decides, not the mean: one in a hundred is slow."),
        ([basic, quick, slow], 5000, "slow", "A generous SLO leaves the best quality."),
        (bare, 1000, "slow", "Rely on name, p99_ms, quality and cost alone."),
    ]
    check_calls(
        choose_action,
        *(
            ((order, slo_ms), name, hint)
            for a, slo_ms, name, hint in rows
            for order in (a, a[::-1])
        ),
        exact=True,
    )

    dice = random.Random(19)
    surges = []
    for _ in range(25):
        actions = [
            {
                "name": f"option {i}",
                "p99_ms": dice.randint(1, 4) * 100 + i,
                "quality": dice.randint(0, 3) / 4,
                "cost": dice.randint(1, 3) / 128,
            }
            for i in range(dice.randint(1, 8))
        ]
        slo_ms = dice.randint(0, 5) * 100 + 50
        ranked = sorted(actions, key=lambda a: a["p99_ms"])
        ranked = sorted(ranked, key=lambda a: a["cost"])
        ranked = sorted(ranked, key=lambda a: a["quality"], reverse=True)
        kept = [action["name"] for action in ranked if action["p99_ms"] <= slo_ms]
        dice.shuffle(actions)
        surges.append(((actions, slo_ms), kept[0] if kept else "shed"))
    check_calls(
        choose_action,
        *surges,
        what="many surges",
        hint="Best quality within the SLO; if equal, the cheaper one; then the lower `p99_ms`; else shed.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% choose_action__hidden__edges
"""Edges: nothing within the SLO, limits met exactly, ties, a quality of 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    slow = {"name": "slow", "p99_ms": 900, "mean_ms": 200, "quality": 0.99, "cost": 0.010}
    plain = {"name": "plain", "p99_ms": 500, "mean_ms": 300, "quality": 0.90, "cost": 0.004}
    cheap = {"name": "cheap", "p99_ms": 450, "mean_ms": 400, "quality": 0.90, "cost": 0.002}
    quick = {"name": "quick", "p99_ms": 300, "mean_ms": 250, "quality": 0.90, "cost": 0.002}
    basic = {"name": "basic", "p99_ms": 50, "mean_ms": 40, "quality": 0.60, "cost": 0.001}
    empty = {"name": "apology", "p99_ms": 5, "mean_ms": 5, "quality": 0, "cost": 0}

    rows = [
        ([slow, plain], 400, "shed", "Nothing keeps the SLO: shed."),
        ([], 400, "shed", "No actions at all: shed."),
        ([slow], 0, "shed", "An SLO of 0 is a limit, too."),
        ([{**basic, "p99_ms": 0}], 0, "basic", "An SLO of 0 is kept by a P99 of 0."),
        ([basic, plain], 500, "plain", "A P99 equal to the SLO is within it."),
        ([basic, plain], 499.999, "basic", "A P99 above the SLO is not within it."),
        ([plain, cheap], 600, "cheap", "Equal quality: the cheaper one."),
        ([cheap, quick], 600, "quick", "Equal quality and cost: the faster one."),
        (
            [{**plain, "p99_ms": 60}, {**cheap, "p99_ms": 70}],
            600,
            "cheap",
            "Equal quality: the cheaper one, before `p99_ms` is looked at.",
        ),
        ([{**plain, "quality": 0.9001}, cheap], 600, "plain", "Nearly equal is not equal."),
        (
            [{**plain, "cost": 0.00201, "p99_ms": 60}, cheap],
            600,
            "cheap",
            "Nearly equal is not equal.",
        ),
        ([{**cheap, "p99_ms": 300.1}, quick], 600, "quick", "Nearly equal is not equal."),
        ([slow, empty], 400, "apology", "An eligible action counts even if its quality is 0."),
    ]
    check_first(
        choose_action, (([slow, basic], 400), "basic"), (([basic, quick, slow], 5000), "slow")
    )
    check_calls(
        choose_action,
        *(
            ((order, slo_ms), name, hint)
            for a, slo_ms, name, hint in rows
            for order in (a, a[::-1])
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% choose_action__hidden__refused
"""Refused input: `slo_ms` negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    slow = {"name": "slow", "p99_ms": 900, "mean_ms": 200, "quality": 0.99, "cost": 0.010}
    plain = {"name": "plain", "p99_ms": 500, "mean_ms": 300, "quality": 0.90, "cost": 0.004}
    quick = {"name": "quick", "p99_ms": 300, "mean_ms": 250, "quality": 0.90, "cost": 0.002}
    basic = {"name": "basic", "p99_ms": 50, "mean_ms": 40, "quality": 0.60, "cost": 0.001}
    check_first(
        choose_action, (([slow, basic], 400), "basic"), (([basic, quick, slow], 5000), "slow")
    )
    for actions in ([plain], []):
        check_refused(
            choose_action,
            {"actions": actions, "slo_ms": 5},
            {"slo_ms": (-1, -0.001)},
            "A limit is not negative.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] summarize_traces__statement
# *The service logged one record a request. What did its users get?* Write
# `summarize_traces(records, slo)`. `records` is a list of dicts in any order; these fields are
# required (a record may carry others, which play no part):
#
# | field | meaning | unit |
# |:--|:--|:--|
# | `"arrival_s"` | the request arrived | s |
# | `"start_s"` | prefill started | s |
# | `"first_token_s"` | the first token left | s |
# | `"end_s"` | the last token left | s |
# | `"n_out"` | tokens of the answer | tokens |
# | `"status"` | `"ok"`, or what went wrong | – |
#
# `slo` is `{"ttft_s": ..., "tpot_s": ...}`: the largest TTFT and TPOT of a good request, in s.
#
# $$\mathrm{TTFT} = t_{first} - t_{arrival}, \qquad
# \mathrm{TPOT} = \frac{t_{end} - t_{first}}{n_{out} - 1}, \qquad
# \mathrm{E2E} = t_{end} - t_{arrival}$$
#
# A record is **complete** if it has all six fields; a field that it has is never `None`. Return a
# `dict` with exactly these keys:
#
# | key | meaning |
# |:--|:--|
# | `"ttft_p50_s"`, `"ttft_p95_s"`, `"ttft_p99_s"` | of complete records with status `"ok"` |
# | `"tpot_p50_s"`, `"tpot_p95_s"`, `"tpot_p99_s"` | of those among them with `n_out` of 2 or more |
# | `"e2e_p50_s"`, `"e2e_p95_s"`, `"e2e_p99_s"` | of complete records with status `"ok"` |
# | `"goodput_rps"` | good requests, over the time from the first arrival to the last end |
# | `"error_rate"` | records whose status is not `"ok"`, or is absent, over **all** records |
# | `"missing_fields"` | sorted list of required fields that at least one record lacks |
#
# - A percentile is the nearest rank: element number $\lceil q\,n \rceil$ of the $n$ sorted values,
#   counted from 1. No interpolation. Where there are no values it is `None`.
# - A request is **good** if its record is complete, its status is `"ok"`, and TTFT and TPOT are at
#   most their bounds; with `n_out` of 0 or 1 it has no TPOT, so its TTFT alone decides.
# - The time of `"goodput_rps"` is taken over all complete records, whatever their status. If it
#   is 0, or there are none, the goodput is 0.0.
# - No records: every percentile is `None`, both rates are 0.0, and no field is missing.
#
# **Worked number.** Three complete records with TTFT 0.375, 0.875 and 0.25 s have a P50 of
# << num(latency.percentile([0.375, 0.875, 0.25], '0.5')) >> s and a P95 of
# << num(latency.percentile([0.375, 0.875, 0.25], '0.95')) >> s.


# %% summarize_traces__solution
def summarize_traces(records, slo):
    """Return latency percentiles [s], goodput [requests/s], error rate and missing fields."""
    ### BEGIN SOLUTION
    fields = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")
    complete = [record for record in records if all(field in record for field in fields)]

    ttft, tpot, e2e, good = [], [], [], 0
    for record in complete:
        if record["status"] != "ok":
            continue
        first = record["first_token_s"] - record["arrival_s"]
        ttft.append(first)
        e2e.append(record["end_s"] - record["arrival_s"])
        within = first <= slo["ttft_s"]
        if record["n_out"] >= 2:
            each = (record["end_s"] - record["first_token_s"]) / (record["n_out"] - 1)
            tpot.append(each)
            within = within and each <= slo["tpot_s"]
        good += within

    summary = {}
    for name, values in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e)):
        values.sort()
        for percent in (50, 95, 99):
            rank = -(-percent * len(values) // 100)  # ceil, in whole numbers
            summary[f"{name}_p{percent}_s"] = values[rank - 1] if values else None

    span = 0.0
    if complete:
        span = max(r["end_s"] for r in complete) - min(r["arrival_s"] for r in complete)
    failed = sum(record.get("status") != "ok" for record in records)
    summary["goodput_rps"] = good / span if span > 0 else 0.0
    summary["error_rate"] = failed / len(records) if records else 0.0
    summary["missing_fields"] = sorted(
        field for field in fields if any(field not in record for record in records)
    )
    return summary
    ### END SOLUTION


# %%
trace_fields = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")
records = [
    dict(zip(trace_fields, (0, 0, 0.375, 2, 9, "ok"), strict=True)),
    dict(zip(trace_fields, (1, 1.5, 1.875, 3, 1, "ok"), strict=True)),
    dict(zip(trace_fields, (2, 2, 2.25, 5, 15, "ok"), strict=True)),
]
summary = summarize_traces(records, {"ttft_s": 0.5, "tpot_s": 0.25})
print(summary)
check_close(
    [summary["ttft_p50_s"], summary["ttft_p95_s"]],
    [0.375, 0.875],
    "the worked numbers: P50 and P95 of three TTFTs",
)

# %% summarize_traces__visible__four_requests_by_hand
"""Visible: four requests worked by hand; the last one failed."""
from servemath_helpers.notebook import check_close, check_equal

trace_fields = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")
records = [
    dict(zip(trace_fields, (0, 0.25, 0.5, 2.5, 9, "ok"), strict=True)),
    dict(zip(trace_fields, (1, 1.5, 2, 4, 5, "ok"), strict=True)),
    dict(zip(trace_fields, (2, 3, 4, 10, 7, "ok"), strict=True)),
    dict(zip(trace_fields, (4, 4, 4.25, 5, 3, "error"), strict=True)),
]
got = summarize_traces(records, {"ttft_s": 1.5, "tpot_s": 0.75})
percentile_keys = [
    f"{name}_p{percent}_s" for name in ("ttft", "tpot", "e2e") for percent in (50, 95, 99)
]
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    sorted([*percentile_keys, "goodput_rps", "error_rate", "missing_fields"]),
    "the sorted keys of summarize_traces(records, slo)",
    "Return a dict with exactly these keys.",
)
check_close(
    {key: got[key] for key in percentile_keys},
    dict(zip(percentile_keys, (1, 2, 2, 0.5, 1, 1, 3, 8, 8), strict=True)),
    "summarize_traces(records, slo)",
    "Nearest rank of the requests that are ok; TTFT counts from arrival, TPOT over n_out - 1.",
)
check_close(
    {key: got[key] for key in ("goodput_rps", "error_rate", "missing_fields")},
    {"goodput_rps": 0.2, "error_rate": 0.25, "missing_fields": []},
    "summarize_traces(records, slo)",
    "Two requests are good in the ten seconds; one of all four failed.",
)

# %% summarize_traces__hidden__values
"""Values: nearest ranks of a hundred records and of fewer, in any order, failures among them."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    fields = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")

    def a_trace(*values):
        """Return a complete record."""
        return dict(zip(fields, values, strict=True))

    def report(ttft, tpot, e2e, goodput, errors=0, missing=()):
        """Return a summary; percentiles are three numbers, or None for none at all."""
        row = {
            f"{name}_p{percent}_s": value
            for name, values in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e))
            for percent, value in zip((50, 95, 99), values or (None,) * 3, strict=True)
        }
        return row | {
            "goodput_rps": goodput,
            "error_rate": errors,
            "missing_fields": sorted(missing),
        }

    dice = random.Random(20)
    hundred = [a_trace(0, 0, k, 3 * k, 3, "ok") for k in range(1, 101)]
    dice.shuffle(hundred)
    of_hundred = {"ttft_s": 50, "tpot_s": 40}
    hint = "Sort first; P99 of a hundred is number 99. A good request keeps both bounds."
    rows = [
        (
            (hundred, of_hundred),
            report((50, 95, 99), (50, 95, 99), (150, 285, 297), 40 / 300),
            hint,
        )
    ]
    for n in (1, 20, 21, 31, 99):
        ranks = tuple((percent * n + 99) // 100 for percent in (50, 95, 99))
        some = [record for record in hundred if record["first_token_s"] <= n]
        want = report(ranks, ranks, tuple(3 * rank for rank in ranks), min(n, 40) / (3 * n))
        rows.append(((some, of_hundred), want, "Element number ceil(q n), counted from 1."))

    bounds = {"ttft_s": 1, "tpot_s": 0.5}

    mixed = [
        a_trace(8, 8, 9, 10, 3, "ok") | {"model": "8b"},
        a_trace(4, 4, 4.25, 5, 5, "ok"),
        a_trace(6, 7, 9, 9.5, 3, "ok"),
        a_trace(2, 2, 2.25, 2.5, 9, "timeout"),
        a_trace(9, 9, 9.25, 18, 9, "rejected"),
    ]
    latencies = ((1, 3, 3), (0.25, 0.5, 0.5), (2, 3.5, 3.5))
    hint = "Failures count in the error rate and in the time span, never in latencies or goodput."
    rows.append(((mixed, bounds), report(*latencies, 2 / 16, 2 / 5), hint))

    # any times: nothing is rounded, and first_token_s, not start_s, begins the decode phase
    records, ttft, tpot, e2e = [], [], [], []
    for _ in range(40):
        arrival, n_out = dice.uniform(0, 100), dice.randint(2, 50)
        start = arrival + dice.uniform(0, 1)
        first = start + dice.uniform(0, 1)
        end = first + dice.uniform(0, 20)
        records.append(a_trace(arrival, start, first, end, n_out, "ok"))
        ttft.append(first - arrival)
        tpot.append((end - first) / (n_out - 1))
        e2e.append(end - arrival)
    good = sum(t <= 1 and each <= 0.5 for t, each in zip(ttft, tpot, strict=True))
    ends, starts = ([record[key] for record in records] for key in ("end_s", "arrival_s"))
    rank = {
        name: [sorted(times)[n] for n in (19, 37, 39)]
        for name, times in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e))
    }
    rate = Fraction(good) / (Fraction(max(ends)) - Fraction(min(starts)))
    rows.append(
        (
            (records, bounds),
            report(*rank.values(), rate),
            "The nearest rank of the sorted values; TTFT counts from arrival; round nothing.",
        )
    )
    check_calls(summarize_traces, *rows)


hidden_tests()
### END HIDDEN TESTS

# %% summarize_traces__hidden__edges
"""Edges: bounds met exactly, short answers, gaps, failures alone, no records."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls, check_first

    fields = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")

    def a_trace(*values):
        """Return a complete record."""
        return dict(zip(fields, values, strict=True))

    def report(ttft, tpot, e2e, goodput, errors=0, missing=()):
        """Return a summary; percentiles are three numbers, or None for none at all."""
        row = {
            f"{name}_p{percent}_s": value
            for name, values in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e))
            for percent, value in zip((50, 95, 99), values or (None,) * 3, strict=True)
        }
        return row | {
            "goodput_rps": goodput,
            "error_rate": errors,
            "missing_fields": sorted(missing),
        }

    dice = random.Random(20)
    hundred = [a_trace(0, 0, k, 3 * k, 3, "ok") for k in range(1, 101)]
    dice.shuffle(hundred)
    of_hundred = {"ttft_s": 50, "tpot_s": 40}
    rows = []

    bounds = {"ttft_s": 1, "tpot_s": 0.5}
    short = "Fewer than two tokens have no TPOT: left out there, and good if the TTFT is."
    for n_out in (1, 0):
        ends = [a_trace(10, 10, 11, 11, n_out, "ok"), a_trace(12, 12, 12.5, 14, n_out, "ok")]
        rows.append(((ends, bounds), report((0.5, 1, 1), None, (1, 2, 2), 0.5), short))
        late = [a_trace(10, 10, 11.5, 12, n_out, "ok")]
        rows.append(((late, bounds), report((1.5,) * 3, None, (2,) * 3, 0), short))
    two = [a_trace(0, 0, 1, 1.5, 2, "ok"), a_trace(0, 0, 1, 2, 2, "ok")]
    want = report((1, 1, 1), (0.5, 1, 1), (1.5, 2, 2), 0.5)
    rows.append(((two, bounds), want, "Two tokens have a TPOT; bounds met exactly are met."))
    at_once = [a_trace(5, 5, 5, 5, 1, "ok")]
    rows.append(
        (
            (at_once, bounds),
            report((0,) * 3, None, (0,) * 3, 0),
            "If the time is 0, the goodput is 0.0.",
        )
    )
    rows.append((([], bounds), report(None, None, None, 0), "No records, no errors."))
    alone = [a_trace(0, 0, 1, 2, 3, "error")]
    rows.append(((alone, bounds), report(None, None, None, 0, 1), "All of one record failed."))

    mixed = [
        a_trace(8, 8, 9, 10, 3, "ok") | {"model": "8b"},
        a_trace(4, 4, 4.25, 5, 5, "ok"),
        a_trace(6, 7, 9, 9.5, 3, "ok"),
        a_trace(2, 2, 2.25, 2.5, 9, "timeout"),
        a_trace(9, 9, 9.25, 18, 9, "rejected"),
    ]
    latencies = ((1, 3, 3), (0.25, 0.5, 0.5), (2, 3.5, 3.5))
    failed = [{**record, "status": "error"} for record in mixed]
    rows.append(
        (
            (failed, bounds),
            report(None, None, None, 0, 1),
            "Where no status is ok, there are no latencies and no goodput.",
        )
    )
    for status in ("OK", "ok ", "okay", "not ok", "", "200"):
        other = [*mixed[:3], {**mixed[3], "status": status}, mixed[4]]
        rows.append(
            (
                (other, bounds),
                report(*latencies, 2 / 16, 2 / 5),
                "Only the status 'ok' is ok: a record of any other one failed.",
            )
        )

    # a record with a gap would change everything, were it not left out
    hint = "A record with a gap counts in the error rate alone; without a status it failed."
    for field in fields:
        gap = a_trace(0, 0, 950, 1950, 2, "ok")
        del gap[field]
        want = report(*latencies, 2 / 16, (3 if field == "status" else 2) / 6, {field})
        rows.append((([gap, *mixed], bounds), want, hint))
    gaps = [
        *mixed,
        {"arrival_s": 0, "start_s": 0, "first_token_s": 0.5, "n_out": 3, "status": "ok"},
        {"arrival_s": 1, "first_token_s": 1.25, "end_s": 99, "n_out": 3},
        {"arrival_s": 3, "start_s": 3, "status": "error"},
    ]
    lacking = {"end_s", "first_token_s", "n_out", "start_s", "status"}
    rows.append(((gaps, bounds), report(*latencies, 2 / 16, 4 / 8, lacking), hint))
    rows.append((([{}, {}], bounds), report(None, None, None, 0, 1, fields), hint))
    check_first(
        summarize_traces,
        ((hundred, of_hundred), report((50, 95, 99), (50, 95, 99), (150, 285, 297), 40 / 300)),
    )
    check_calls(summarize_traces, *rows)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Think of a service that you run or use. Which of the << count >> numbers above would you look at first
# when its users complain that it is slow, which second, and what would each of them tell you to do?
# Write a few sentences in the next cell; a person may read and comment on them.
#
# **What a reader looks for**
#
# - two numbers from this chapter, in an order, for a service that is named
# - for each, a reading that would point to a different cause than the other does
# - a next step that follows from what was read, and costs less than the harm

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: first the P99 of TTFT and of TPOT from the traces, because they say
# whether users wait for the first word or for the rest. A long TTFT with a short prefill is
# queueing, so utilisation comes next: add replicas or shed load. A long TPOT points to batches that
# are too large or too little memory bandwidth. Only then the cost per million tokens, to choose the
# cheapest change that brings the tail back within the SLO.
# ### END SOLUTION

# %% [markdown]
# ## What to keep
#
# Serving is the contract between what a model can do and what its user experiences. Little's law
# ties load to latency, memory bounds how many can be served at once, batching trades waiting for
# throughput, money and error budgets say when it is enough. So measure the whole request path
# first, then optimise the bottleneck that matters.
