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
# # Chapter 4 · Exercises: queues, batches, deadlines
#
# << count | capitalize >> functions that turn a load into a latency, a memory and a bill, worth
# << num(points['total']) >> points. For each one:
#
# 1. Read the **statement**: the question, the formula with its units, and what to do at the edges.
# 2. Write the function in the **solution cell**, in place of `raise NotImplementedError()`.
# 3. Run the **try-it cell**: it compares what you return with the worked number of the statement.
# 4. Run the **visible checks**. A check prints ✓, or says what was called, what was expected,
#    what came back, and which mistake is likely.
# 5. Run the **deep check**: it looks for an input for which the function is wrong, among many random
#    ones and at the edges that the statement names. It is not graded, and you need nobody for it.
# 6. **Hidden tests** run after you hand in. They try those edges, and many more inputs; they ask
#    for nothing that the statement does not say.
#
# << overview >>
#
# In all << count >>, "error" means: raise `ValueError`. Results are compared as values, to nine digits
# unless the statement says otherwise: an `int` for a `float`, a NumPy number or a tuple for a list
# are fine. No function changes its arguments. The package `servemath_helpers` teaches the same
# formulas. Use it as much as you like, except to return its own answer to the very question asked:
# that earns no points.
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% setup__statement
from servemath_helpers.notebook import check_close, check_equal

# %% [markdown] littles_gauge__statement
# *Users send so many requests a second, and each stays so long. How many are inside at once, does
# their memory fit, and how fast may they come before it does not?*
#
# $$L = \lambda W, \qquad L\,m \le M_{ram}\ ?, \qquad \lambda_{max} = \frac{M_{ram}}{m\,W}$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate | requests/s |
# | $W$ | `W` | mean time in the system | s |
# | $m$ | `bytes_per_req` | memory held by a request while it is in the system | bytes |
# | $M_{ram}$ | `ram_bytes` | memory for requests | bytes |
# | $L$ | `"L"` | mean number in the system | requests |
# | $L\,m$ | `"mem_bytes"` | memory they hold on average | bytes |
# | – | `"fits"` | `True` if $L\,m \le M_{ram}$, else `False` | – |
# | $\lambda_{max}$ | `"lam_max"` | arrival rate at which $L\,m = M_{ram}$ | requests/s |
#
# Write `littles_gauge(lam, W, bytes_per_req, ram_bytes)`. Return a `dict` with exactly the keys
# `"L"`, `"mem_bytes"`, `"fits"`, `"lam_max"`.
#
# - Nothing is rounded: $L$ and $\lambda_{max}$ need not be whole. Memory exactly full still fits.
# - Where a request holds nothing (`W` or `bytes_per_req` is 0), `lam_max` is `math.inf`, whatever
#   the memory. No memory at all is a case like any other.
# - Error: any argument negative.
#
# **Worked number.** 25 requests/s that stay 0.8 s and hold 300 MB each, with 8 GB for them:
# $L$ = << num(flow.littles_gauge(25, 0.8, 3e8, 8e9)['L']) >>,
# << num(flow.littles_gauge(25, 0.8, 3e8, 8e9)['mem_bytes'] / 1e9) >> GB in use, and room for
# << num(flow.littles_gauge(25, 0.8, 3e8, 8e9)['lam_max']) >> requests/s.


# %% littles_gauge__solution
def littles_gauge(lam, W, bytes_per_req, ram_bytes):
    """Return L, mem_bytes, fits and lam_max [requests/s]."""
    ### BEGIN SOLUTION
    if min(lam, W, bytes_per_req, ram_bytes) < 0:
        raise ValueError("rates, times and sizes must not be negative")
    L = lam * W
    mem_bytes = L * bytes_per_req
    per_rate = bytes_per_req * W  # bytes in use for each request/s
    return {
        "L": L,
        "mem_bytes": mem_bytes,
        "fits": mem_bytes <= ram_bytes,
        "lam_max": ram_bytes / per_rate if per_rate > 0 else float("inf"),
    }
    ### END SOLUTION


# %%
gauge = littles_gauge(lam=25, W=0.8, bytes_per_req=300e6, ram_bytes=8e9)
print(gauge)
check_close(
    [gauge["L"], gauge["mem_bytes"], gauge["lam_max"]],
    [20, 6e9, 33.33],
    "the worked numbers: L, bytes in use, and the rate that there is room for",
    rel_tol=1e-3,
)

# %% littles_gauge__visible__forty_requests_a_second
"""Visible: number in flight, memory, and the rate that fills it."""
from servemath_helpers.notebook import check_close

check_close(
    littles_gauge(lam=40, W=2, bytes_per_req=5e8, ram_bytes=50e9),
    {"L": 80, "mem_bytes": 40e9, "fits": True, "lam_max": 50},
    "littles_gauge(lam=40, W=2, bytes_per_req=5e8, ram_bytes=50e9)",
    "L is arrival rate times stay; lam_max is the rate at which L requests fill the memory.",
)

# %% littles_gauge__hidden__values
"""Values: requests and bytes in the system, whether they fit, the highest rate, of many loads."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        littles_gauge,
        (
            (80, 2, 5e8, 50e9),
            {"L": 160, "mem_bytes": 80e9, "fits": False, "lam_max": 50},
            "Twice the arrivals with the same stay: twice as many inside, whatever the memory.",
        ),
        (
            (40, 2, 419_430_400, 499e9),
            {
                "L": 80,
                "mem_bytes": 33_554_432_000,
                "fits": True,
                "lam_max": Fraction(499_000_000_000, 838_860_800),
            },
            "lam_max is a rate, and a rate need not be whole.",
        ),
        (
            (0.5, 0.25, 100, 1000),
            {"L": 0.125, "mem_bytes": 12.5, "fits": True, "lam_max": 40},
            "A mean number in the system need not be whole.",
        ),
        ((1, 1, 1, 1), {"L": 1, "mem_bytes": 1, "fits": True, "lam_max": 1}, "Ones are fine."),
    )

    dice = random.Random(41)
    rows = []
    for _ in range(15):
        lam, W, each, ram = (dice.randint(1, 500) for _ in range(4))
        answer = {
            "L": lam * W,
            "mem_bytes": lam * W * each,
            "fits": lam * W * each <= 1000 * ram,
            "lam_max": Fraction(1000 * ram, each * W),
        }
        rows.append(((lam, W, each, 1000 * ram), answer))
    check_calls(
        littles_gauge,
        *rows,
        what="many loads",
        hint="L = lam W, and each holds bytes_per_req; lam_max is the rate that fills the memory exactly.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_gauge__hidden__edges
"""Edges: memory exactly full, no memory at all, stays and requests that hold nothing."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        littles_gauge,
        ((80, 2, 5e8, 50e9), {"L": 160, "mem_bytes": 80e9, "fits": False, "lam_max": 50}),
        (
            (40, 2, 419_430_400, 499e9),
            {
                "L": 80,
                "mem_bytes": 33_554_432_000,
                "fits": True,
                "lam_max": Fraction(499_000_000_000, 838_860_800),
            },
        ),
    )

    check_calls(
        littles_gauge,
        (
            (50, 2, 5e8, 50e9),
            {"L": 100, "mem_bytes": 50e9, "fits": True, "lam_max": 50},
            "A memory that is exactly full still fits.",
        ),
        (
            (0.00012345678, 0.00024691356, 0.37037037, 1e-7),
            {
                "L": 0.00012345678 * 0.00024691356,
                "mem_bytes": 0.00012345678 * 0.00024691356 * 0.37037037,
                "fits": True,
                "lam_max": 1e-7 / (0.37037037 * 0.00024691356),
            },
            "Nothing is rounded, however small.",
        ),
    )
    check_calls(
        littles_gauge,
        *(
            (case, {"L": case[0] * case[1], "mem_bytes": 0, "fits": True, "lam_max": math.inf})
            for case in ((3, 0, 5, 7), (3, 2, 0, 7), (3, 0, 5, 0), (0, 0, 0, 0))
        ),
        hint="Where nothing is held, every arrival rate fits.",
    )

    check_calls(
        littles_gauge,
        (
            (3, 2, 5, 0),
            {"L": 6, "mem_bytes": 30, "fits": False, "lam_max": 0},
            "Without memory nothing fits, and lam_max is 0.",
        ),
        (
            (0, 2, 5, 0),
            {"L": 0, "mem_bytes": 0, "fits": True, "lam_max": 0},
            "No requests fit into no memory.",
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_gauge__hidden__refused
"""Refused input: any argument negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        littles_gauge,
        ((80, 2, 5e8, 50e9), {"L": 160, "mem_bytes": 80e9, "fits": False, "lam_max": 50}),
        (
            (40, 2, 419_430_400, 499e9),
            {
                "L": 80,
                "mem_bytes": 33_554_432_000,
                "fits": True,
                "lam_max": Fraction(499_000_000_000, 838_860_800),
            },
        ),
    )

    check_refused(
        littles_gauge,
        {"lam": 3, "W": 2, "bytes_per_req": 5, "ram_bytes": 7},
        dict.fromkeys(("lam", "W", "bytes_per_req", "ram_bytes"), (-0.001, -30)),
        "No rate, time or size is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] lindley_waits__statement
# *The log says when each request came and how long it was served. How long did each one wait?*
# One server, first come, first served. With $A_k$ the time from arrival $k$ to arrival $k+1$:
#
# $$w_0 = 0, \qquad w_{k+1} = \max\left(0,\; w_k + S_k - A_k\right)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | – | `arrivals` | arrival times, in order; several may be equal | s |
# | $S_k$ | `services` | service time of each request, in the same order | s |
# | $w_k$ | (result) | wait of request $k$, from its arrival to the start of its service | s |
#
# Write `lindley_waits(arrivals, services)`. Both are lists, tuples or NumPy arrays; return a list
# with one wait for each request.
#
# - Requests that arrive at the same instant are served in the order given.
# - An empty trace gives `[]`.
# - Error: the arrivals are not in order; the lengths differ; any time is negative.
#
# **Worked number.** Arrivals at 0, 2, 3, 9 s with services of 4, 1, 2, 1 s wait
# << flow.lindley_waits([0, 2, 3, 9], [4, 1, 2, 1]) >> s.


# %% lindley_waits__solution
def lindley_waits(arrivals, services):
    """Return the wait of each request [s], service not included."""
    ### BEGIN SOLUTION
    if len(arrivals) != len(services):
        raise ValueError("arrivals and services must have the same length")
    if any(t < 0 for t in arrivals) or any(t < 0 for t in services):
        raise ValueError("times must not be negative")
    waits = []
    for k in range(len(arrivals)):
        if k == 0:
            waits.append(0.0)
            continue
        gap = arrivals[k] - arrivals[k - 1]
        if gap < 0:
            raise ValueError("arrivals must be in order")
        waits.append(max(0.0, waits[-1] + services[k - 1] - gap))
    return waits
    ### END SOLUTION


# %%
waits = lindley_waits([0, 2, 3, 9], [4, 1, 2, 1])
print(waits, "s")
check_close(waits, [0, 2, 2, 0], "the worked numbers of four requests")

# %% lindley_waits__visible__a_burst_and_a_late_request
"""Visible: a queue builds up, and is gone when the last request comes."""
from servemath_helpers.notebook import check_close

check_close(
    lindley_waits([0, 1, 2, 10], [3, 3, 3, 1]),
    [0, 2, 4, 0],
    "lindley_waits([0, 1, 2, 10], [3, 3, 3, 1])",
    "A wait ends when service starts, and is never negative.",
)

# %% lindley_waits__hidden__values
"""Values: the waits of many random paths, nothing rounded."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    check_calls(
        lindley_waits,
        (
            ([0, 0.123456789], [1.11111111, 0]),
            [0, 0.987654321],
            "The wait before service, with nothing rounded: the next one starts when service ends.",
        ),
        (
            ([0, 1, 2, 3], [5, 0, 0, 1]),
            [0, 4, 3, 2],
            "The wait depends on arrivals and services of those before, not on one's own service.",
        ),
    )

    dice = random.Random(42)
    rows = []
    for _ in range(25):
        n = dice.randint(1, 25)
        arrivals = sorted(dice.randint(0, 60) for _ in range(n))
        services = [dice.randint(0, 6) for _ in range(n)]
        free, waits = 0, []
        for arrival, service in zip(arrivals, services, strict=True):
            start = max(arrival, free)
            waits.append(start - arrival)
            free = start + service
        # eighths of a second, so that all sums are exact
        path = [time / 8 for time in arrivals], [time / 8 for time in services]
        rows.append((path, [wait / 8 for wait in waits]))
    hint = "Service starts when the one before ends, in order of arrivals, and no wait is negative."
    check_calls(lindley_waits, *rows, what="many random paths", hint=hint)


hidden_tests()
### END HIDDEN TESTS

# %% lindley_waits__hidden__edges
"""Edges: equal arrival times, a departure at an arrival, one request and none, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(
        lindley_waits,
        (([0, 1, 2, 3], [5, 0, 0, 1]), [0, 4, 3, 2]),
        (([0, 10, 11, 12], [1, 3, 3, 1]), [0, 0, 2, 4]),
    )

    check_calls(
        lindley_waits,
        (([5], [2]), [0], "The first never waits."),
        (
            ([5, 5, 5], [1, 2, 4]),
            [0, 1, 3],
            "Equal arrival times are allowed: they are served in the order given.",
        ),
        (
            ([3, 4, 6], [1, 2, 5]),
            [0, 0, 0],
            "Who arrives at the moment of a departure does not wait.",
        ),
    )

    forms = "Lists, tuples and NumPy arrays are fine, also side by side."
    check_forms(lindley_waits, ([], []), [], "No requests, no waits.", pairs=True)
    burst = ([0, 1, 2, 10], [3.5, 3, 3, 1])
    check_forms(lindley_waits, burst, [0, 2.5, 4.5, 0], forms, pairs=True)


hidden_tests()
### END HIDDEN TESTS

# %% lindley_waits__hidden__refused
"""Refused input: arrivals out of order, lengths that differ, a negative time."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        lindley_waits,
        (([0, 1, 2, 3], [5, 0, 0, 1]), [0, 4, 3, 2]),
        (([0, 10, 11, 12], [1, 3, 3, 1]), [0, 0, 2, 4]),
    )

    check_refused(
        lindley_waits,
        {"arrivals": [0, 1, 2, 3], "services": [1, 1, 1, 1]},
        {
            "arrivals": (
                [2, 1, 3, 4],
                [0, 1, 3, 2.999],
                [0, 1, 2],
                [0, 1, 2, 3, 4],
                [],
                [-0.001, 1, 2, 3],
                [-4, -3, -2, -1],
            ),
            "services": ([1], [1, 1, 1, 1, 1], [1, -0.001, 1, 1], [1, 1, 1, -3]),
        },
        "Arrivals out of order are an error, not something to sort; one service for each.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] littles_from_trace__statement
# *The log holds an arrival and a departure for each request. Measure $\lambda$, $W$ and $L$, each
# by its own definition.* The window runs from time 0 to the last departure, at $H$; $n$ requests
# pass; $N(t)$ of them are in the system at time $t$:
#
# $$\lambda = \frac{n}{H}, \qquad W = \frac{1}{n}\sum_{k} (d_k - a_k), \qquad
# L = \frac{1}{H}\int_0^H N(t)\,dt$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $a_k$ | `arrivals` | arrival time of request $k$ | s |
# | $d_k$ | `departures` | departure time of the **same** request | s |
# | $\lambda$ | `"lam"` | arrivals per second in the window | requests/s |
# | $W$ | `"W"` | mean time in the system | s |
# | $L$ | `"L"` | time average of the number in the system, $N(t)$ | requests |
#
# Write `littles_from_trace(arrivals, departures)`. Return a `dict` with exactly the keys `"lam"`,
# `"W"`, `"L"`.
#
# - Requests may overlap, leave in any order, and stand in the log in any order. Nothing is Poisson.
# - Before the first arrival the system is empty, and that time counts.
# - Error: no requests; the lengths differ; a departure before its arrival; a negative time; a
#   window of length 0.
#
# **Worked number.** Arrivals at 1 and 2 s, departures at 5 and 4 s: $\lambda$ =
# << num(flow.littles_from_trace([1, 2], [5, 4])['lam']) >>/s, $W$ =
# << num(flow.littles_from_trace([1, 2], [5, 4])['W']) >> s, $L$ =
# << num(flow.littles_from_trace([1, 2], [5, 4])['L']) >>.


# %% littles_from_trace__solution
def littles_from_trace(arrivals, departures):
    """Return lam [requests/s], W [s] and L over the window from 0 to the last departure."""
    ### BEGIN SOLUTION
    if len(arrivals) == 0 or len(arrivals) != len(departures):
        raise ValueError("one departure for each arrival, and at least one")
    stays = [end - start for start, end in zip(arrivals, departures, strict=True)]
    if min(stays) < 0 or min(arrivals) < 0:
        raise ValueError("times must not be negative, and nobody leaves before arriving")
    window = max(departures)
    if window == 0:
        raise ValueError("the window must have a length")

    # Walk through the moments at which N(t) changes; sum up rectangles.
    changes = sorted([(t, 1) for t in arrivals] + [(t, -1) for t in departures])
    area, present, since = 0.0, 0, 0.0
    for time, change in changes:
        area += present * (time - since)
        present, since = present + change, time
    n = len(stays)
    return {"lam": n / window, "W": sum(stays) / n, "L": area / window}
    ### END SOLUTION


# %%
measured = littles_from_trace([1, 2], [5, 4])
print(measured)
check_close(measured, {"lam": 0.4, "W": 3, "L": 1.2}, "the worked numbers of two requests")

# %% littles_from_trace__visible__three_overlapping_requests
"""Visible: three requests that overlap; the second leaves first."""
from servemath_helpers.notebook import check_close

check_close(
    littles_from_trace([0, 1, 2], [4, 3, 8]),
    {"lam": 0.375, "W": 4, "L": 1.5},
    "littles_from_trace([0, 1, 2], [4, 3, 8])",
    "Three requests in 8 s; stays of 4, 2 and 6 s; 12 request-seconds under N(t).",
)

# %% littles_from_trace__hidden__values
"""Values: rate, stay and number of many logs, with idle time, in other orders of service."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        littles_from_trace,
        (
            ([0, 10], [1, 11]),
            {"lam": Fraction(2, 11), "W": 1, "L": Fraction(2, 11)},
            "A time average: idle seconds count as much as busy ones.",
        ),
        (
            ([0.125, 0.25], [0.1875, 0.75]),
            {"lam": 8 / 3, "W": 0.28125, "L": 0.75},
            "Times need not be whole: measure the area under N(t), do not sample it.",
        ),
    )
    first_come, last_come = [3, 5, 7, 9], [9, 7, 5, 3]
    check_calls(
        littles_from_trace,
        *(
            (
                ([0, 1, 2, 3], departures),
                {"lam": Fraction(4, 9), "W": 4.5, "L": 2},
                "Requests may overlap and leave in any order: the law does not ask who is served first.",
            )
            for name, departures in (("first", first_come), ("last", last_come))
        ),
    )

    dice = random.Random(43)
    rows = []
    for _ in range(20):
        n = dice.randint(1, 20)
        arrivals = [dice.randint(0, 40) for _ in range(n)]
        departures = [t + dice.randint(0, 9) + (t == 0) for t in arrivals]
        T = max(departures)
        per_tick = [
            sum(a <= t < d for a, d in zip(arrivals, departures, strict=True)) for t in range(T)
        ]
        tick = dice.choice((1, 0.3, 0.0071))  # seconds
        answer = {
            "lam": n / (T * tick),
            "W": (sum(departures) - sum(arrivals)) / n * tick,
            "L": Fraction(sum(per_tick), T),
        }
        rows.append((([t * tick for t in arrivals], [t * tick for t in departures]), answer))
    check_calls(
        littles_from_trace,
        *rows,
        what="many traces",
        hint="Requests may overlap and leave in any order; the window is from 0 to the last departure.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_from_trace__hidden__edges
"""Edges: an empty system before the first arrival, a log in any order, a stay of 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        littles_from_trace,
        (([0, 10], [1, 11]), {"lam": Fraction(2, 11), "W": 1, "L": Fraction(2, 11)}),
        (([0.125, 0.25], [0.1875, 0.75]), {"lam": 8 / 3, "W": 0.28125, "L": 0.75}),
    )

    check_calls(
        littles_from_trace,
        (
            ([6], [8]),
            {"lam": 0.125, "W": 2, "L": 0.25},
            "The window begins at time 0, whenever the first request comes.",
        ),
        (
            ([3, 0, 1], [5, 10, 1]),
            {"lam": 0.3, "W": 4, "L": 1.2},
            "The last departure is the latest one, not the one at the end of the list; a stay of 0 is "
            "allowed.",
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% littles_from_trace__hidden__refused
"""Refused input: no requests, lengths that differ, a departure before its arrival, a window of length 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        littles_from_trace,
        (([0, 10], [1, 11]), {"lam": Fraction(2, 11), "W": 1, "L": Fraction(2, 11)}),
        (([0.125, 0.25], [0.1875, 0.75]), {"lam": 8 / 3, "W": 0.28125, "L": 0.75}),
    )

    check_refused(
        littles_from_trace,
        {"arrivals": [0, 5], "departures": [6, 7]},
        {
            "arrivals": ([], [0], [-0.001, 5], [0, -3], [0, 7.001]),
            "departures": ([], [6], [6, 7, 8], [6, 4.999], [-3, 7]),
        },
        "One departure for each arrival, and not before it; no time is negative.",
    )
    check_refused(
        littles_from_trace,
        {"arrivals": [0, 0], "departures": [0, 1]},
        {"departures": ([0, 0],)},
        "A window of length 0 has no averages.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] pk_wait__statement
# *Two services have the same mean service time and the same load. In one all requests are alike,
# in the other a few are huge. How long does one wait?* Poisson arrivals, one server, any
# distribution of the service time (M/G/1), first come, first served:
#
# $$\rho = \lambda\,E[S], \qquad
# W_q = \frac{\rho}{1 - \rho} \cdot \frac{1 + c_s^2}{2} \cdot E[S], \qquad
# c_s^2 = \frac{\mathrm{Var}(S)}{E[S]^2}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/s |
# | $E[S]$ | `ES` | mean service time, at least 0 | s |
# | $c_s^2$ | `cs2` | squared coefficient of variation of the service time, at least 0 | – |
# | $W_q$ | (result) | mean wait in the queue, service **not** included | s |
#
# Write `pk_wait(lam, ES, cs2)`.
#
# - `cs2` is already the square: 0 for constant service, 1 for exponential service.
# - $\rho \ge 1$: `math.inf`. `lam = 0` or `ES = 0`: nobody waits.
# - Error: any argument negative.
#
# **Worked number.** 30 requests/s of 20 ms with $c_s^2 = 2$ wait
# << num(1000 * queueing.pk_wait(30, 0.02, 2)) >> ms.

# %% pk_wait__solution
import math


def pk_wait(lam, ES, cs2):
    """Return the mean wait in the queue of an M/G/1 system [s]."""
    ### BEGIN SOLUTION
    if min(lam, ES, cs2) < 0:
        raise ValueError("lam, ES and cs2 must not be negative")
    rho = lam * ES
    if rho >= 1:
        return math.inf
    return rho / (1 - rho) * (1 + cs2) / 2 * ES
    ### END SOLUTION


# %%
wait_ms = 1000 * pk_wait(lam=30, ES=0.02, cs2=2)
print(wait_ms, "ms")
check_close(wait_ms, 45, "the worked number: ms of 30 requests/s")

# %% pk_wait__visible__exponential_service
"""Visible: exponential service, where the formula gives the M/M/1 wait."""
from servemath_helpers.notebook import check_close

check_close(
    pk_wait(lam=80, ES=0.01, cs2=1),
    0.04,
    "pk_wait(lam=80, ES=0.01, cs2=1)",
    "The wait in the queue only, in seconds: S rho / (1 - rho) where cs2 is 1.",
)
check_close(
    pk_wait(lam=50, ES=0.01, cs2=1),
    0.01,
    "pk_wait(lam=50, ES=0.01, cs2=1)",
    "At half load and exponential service, one waits one service time.",
)

# %% pk_wait__hidden__values
"""Values: constant, exponential and heavy-tailed service, two kinds of requests."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        pk_wait,
        (
            (80, 0.01, 0),
            0.02,
            "Constant service halves the wait of exponential service; it does not abolish it.",
        ),
        ((80, 0.01, 4), 0.1, "cs2 is the square already; the wait is linear in 1 + cs2."),
        ((1, 0.5, 1), 0.5, "Half load and exponential service: one service time."),
        ((0.5, 1, 1), 1, "Half load and exponential service: one service time."),
        ((0.25, 2, 1), 2, "Half load and exponential service: one service time."),
    )

    # A share p of requests takes `long` s, the others `short` s: mean and variance by hand.
    dice = random.Random(44)
    rows = []
    for _ in range(20):
        p = Fraction(dice.randint(0, 10), 10)
        short, long = Fraction(dice.randint(1, 20), 100), Fraction(dice.randint(1, 90), 100)
        mean = p * long + (1 - p) * short
        second = p * long**2 + (1 - p) * short**2
        cs2 = second / mean**2 - 1
        lam = Fraction(dice.randint(1, 95), 100) / mean
        call = (float(lam), float(mean), float(cs2))
        rows.append((call, lam * second / (2 * (1 - lam * mean))))
    check_calls(
        pk_wait,
        *rows,
        what="many mixtures of short and long requests",
        hint="The wait grows with 1 + cs2 and with rho / (1 - rho); cs2 is already the square.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% pk_wait__hidden__edges
"""Edges: a load of 1 and above, a load close to 1, no load, service that takes no time."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_calls, check_first

    check_first(pk_wait, ((80, 0.01, 0), 0.02), ((80, 0.01, 4), 0.1))

    check_calls(
        pk_wait,
        ((4096, 2**-13, 1), 2**-13, "However short a time is: round nothing."),
        ((0.9998, 1, 0), 2499.5, "Almost full is not full: the wait is long, not infinite."),
    )
    check_calls(
        pk_wait,
        *(((lam, 0.01, cs2), math.inf) for lam in (100, 120) for cs2 in (0, 9)),
        hint="From rho = 1 on the queue grows without end, even with constant service.",
    )

    check_calls(
        pk_wait,
        *((case, 0) for case in ((0, 0.01, 4), (5, 0, 4), (0, 0, 0))),
        hint="No load, no wait.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% pk_wait__hidden__refused
"""Refused input: any argument negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(pk_wait, ((80, 0.01, 0), 0.02), ((80, 0.01, 4), 0.1))
    check_refused(
        pk_wait,
        {"lam": 80, "ES": 0.01, "cs2": 1},
        {"lam": (-0.001, -80), "ES": (-3, -0.001), "cs2": (-0.001, -1, -9)},
        "A negative argument is an error, any of them: rates, times and coefficients.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] kingman_wait__statement
# *Arrivals come in bursts. How long does one wait? And the other way round: we measured a wait;
# how variable must the service be?* Kingman's approximation for any arrivals and any service
# (G/G/1):
#
# $$W_q \approx \frac{\rho}{1 - \rho} \cdot \frac{c_a^2 + c_s^2}{2} \cdot E[S]$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\rho$ | `rho` | utilisation | – |
# | $E[S]$ | `ES` | mean service time | any |
# | $c_a^2$ | `ca2` | squared coefficient of variation of intervals; 1 is Poisson | – |
# | $c_s^2$ | `cs2` | squared coefficient of variation of the service time | – |
# | $W_q$ | `wait`, or the result | mean wait in the queue | that of `ES` |
#
# Write two functions:
#
# - `kingman_wait(rho, ES, ca2, cs2)` returns $W_q$; `math.inf` for $\rho \ge 1$.
# - `implied_cs(wait, rho, ES, ca2)` solves the formula for the coefficient of variation $c_s$,
#   **not** its square. Where the square would be negative, the arrivals alone already explain more
#   than the wait, and no $c_s$ fits: return `None`. A $c_s$ of 0 is an answer.
# - Error, in both: any argument negative. In `implied_cs` also `rho = 0`, $\rho \ge 1$ or `ES = 0`.
#
# **Worked number.** $\rho$ = 0.75, $E[S]$ = 20 ms, $c_a^2$ = 3, $c_s^2$ = 1:
# $W_q$ = << num(queueing.kingman_wait(0.75, 20, 3, 1)) >> ms. The same load with $c_a^2$ = 1 and a
# measured wait of 75 ms: $c_s$ = << num(queueing.implied_cs(75, 0.75, 20, 1)) >>.

# %% kingman_wait__solution
import math


def kingman_wait(rho, ES, ca2, cs2):
    """Return Kingman's mean wait in the queue, in the unit of ES."""
    ### BEGIN SOLUTION
    if min(rho, ES, ca2, cs2) < 0:
        raise ValueError("rho, ES, ca2 and cs2 must not be negative")
    if rho >= 1:
        return math.inf
    return rho / (1 - rho) * (ca2 + cs2) / 2 * ES
    ### END SOLUTION


def implied_cs(wait, rho, ES, ca2):
    """Return the coefficient of variation of service that explains the wait, or None."""
    ### BEGIN SOLUTION
    if wait < 0 or ca2 < 0 or not 0 < rho < 1 or ES <= 0:
        raise ValueError("wait and ca2 must not be negative, rho in (0, 1), ES above 0")
    square = 2 * wait * (1 - rho) / (rho * ES) - ca2
    return math.sqrt(square) if square >= 0 else None
    ### END SOLUTION


# %%
wait_ms, cs = kingman_wait(rho=0.75, ES=20, ca2=3, cs2=1), implied_cs(75, 0.75, 20, 1)
print(wait_ms, "ms, c_s =", cs)
check_close([wait_ms, cs], [120, 1.225], "the worked numbers: wait and c_s", rel_tol=1e-3)

# %% kingman_wait__visible__poisson_and_exponential
"""Visible: Poisson arrivals and exponential service, there and back."""
from servemath_helpers.notebook import check_close

check_close(
    kingman_wait(rho=0.8, ES=0.01, ca2=1, cs2=1),
    0.04,
    "kingman_wait(rho=0.8, ES=0.01, ca2=1, cs2=1)",
    "With both squares 1 this is the M/M/1 wait, rho / (1 - rho) times ES.",
)
check_close(
    implied_cs(wait=0.04, rho=0.8, ES=0.01, ca2=1),
    1,
    "implied_cs(wait=0.04, rho=0.8, ES=0.01, ca2=1)",
    "Solve the formula for cs2, then take the root.",
)

# %% kingman_wait__hidden__values
"""Values: waits of bursts and of steady arrivals, and the variation that explains a wait."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        kingman_wait,
        ((0.8, 0.01, 4, 1), 0.1, "ca2 and cs2 add up; Poisson is ca2 = 1, not 0."),
        ((0.8, 0.01, 0, 1), 0.02, "Periodic arrivals, ca2 = 0, still meet variable service."),
        ((0.5, 2, 9, 1), 10, "The sum of the squares, over 2."),
        (
            (0.5, 2**-14, 0.00012345678, 0),
            2**-15 * 0.00012345678,
            "Round nothing, however small a coefficient or a wait is.",
        ),
        (
            (0.5, 2**-14, 0, 0.00012345678),
            2**-15 * 0.00012345678,
            "Round nothing, however small a coefficient or a wait is.",
        ),
        (
            (0.00012345678, 1, 1, 1),
            0.00012345678 / 0.99987654322,
            "Round nothing, however small a coefficient or a wait is.",
        ),
    )

    check_calls(
        implied_cs,
        ((5, 0.9, 15, 0), math.sqrt(2) / math.sqrt(27), "c_s, not its square: take the root."),
        (
            (0.00012345678, 2**-13, 1, 0),
            math.sqrt(0.00024691356 * 8191),
            "Round nothing, however small a coefficient or a wait is.",
        ),
        (
            (0.00024691356, 0.9, 0.00012345678, 0.12345678),
            math.sqrt(4 / 9 - 0.12345678),
            "Round nothing, however small a coefficient or a wait is.",
        ),
        (
            (3, 0.9998, 0.001, 0.5),
            math.sqrt(1.2 / 0.9998 - 0.5),
            "Any rho below 1, any ES above 0.",
        ),
    )

    dice = random.Random(45)
    waits, back = [], []
    for _ in range(20):
        percent, ES = dice.randint(1, 99), dice.randint(1, 50)
        ca2, cs = dice.randint(0, 8), dice.randint(1, 5)
        wait = Fraction(percent, 100 - percent) * (ca2 + cs**2) * ES / 2
        waits.append(((percent / 100, ES, ca2, cs**2), wait))
        back.append(((float(wait), percent / 100, ES, ca2), cs))
    check_calls(
        kingman_wait,
        *waits,
        what="many queues",
        hint="ca2 and cs2 add up, over 2, times rho / (1 - rho) and ES; round nothing.",
    )
    check_calls(
        implied_cs,
        *back,
        what="waits with a known c_s",
        hint="Solve the formula for the coefficient c_s, not its square.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% kingman_wait__hidden__edges
"""Edges: a load of 1 and above, no load, nothing that varies, a wait that nothing explains."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_calls, check_first

    check_first(kingman_wait, ((0.8, 0.01, 4, 1), 0.1), ((0.8, 0.01, 0, 1), 0.02))
    check_first(
        implied_cs,
        ((5, 0.9, 15, 0), math.sqrt(2) / math.sqrt(27)),
        ((0.00012345678, 2**-13, 1, 0), math.sqrt(0.00024691356 * 8191)),
    )

    check_calls(
        kingman_wait,
        ((0.5, 3, 0, 0), 0, "Nothing varies, nobody waits."),
        ((0, 3, 4, 1), 0, "No load, no wait."),
        ((0.9, 0, 4, 1), 0, "Service that takes no time makes nobody wait."),
        ((0.9998, 2, 0.25, 0.25), 2499.5, "Almost full: the wait is long, not infinite."),
        ((1, 2, 0, 0), math.inf, "rho = 1 is not stable in any case."),
        ((1.5, 2, 1, 1), math.inf, "Overload: the wait has no bound."),
    )

    check_calls(
        implied_cs,
        (
            (5, 0.9, 15, 1),
            None,
            "The square would be negative: Poisson alone makes them wait more.",
        ),
        ((0, 0.5, 2, 3), None, "Bursts without any wait: None."),
        ((1, 0.5, 2, 1), 0, "Constant service, c_s = 0, is an answer; None is not."),
        ((0, 0.5, 2, 0), 0, "0 is an answer."),
        ((0.875, 0.5, 2, 1), None, "The square would be a little below 0."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% kingman_wait__hidden__refused
"""Refused input: any argument negative; in `implied_cs` also `rho` of 0 or from 1 on, `ES` of 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_first, check_refused

    check_first(kingman_wait, ((0.8, 0.01, 4, 1), 0.1), ((0.8, 0.01, 0, 1), 0.02))
    check_first(
        implied_cs,
        ((5, 0.9, 15, 0), math.sqrt(2) / math.sqrt(27)),
        ((0.00012345678, 2**-13, 1, 0), math.sqrt(0.00024691356 * 8191)),
    )

    check_refused(
        kingman_wait,
        {"rho": 0.5, "ES": 1, "ca2": 1, "cs2": 1},
        dict.fromkeys(("rho", "ES", "ca2", "cs2"), (-0.001, -3)),
        "A negative argument is an error, any of them: rates, times and coefficients.",
    )
    check_refused(
        implied_cs,
        {"wait": 1, "rho": 0.5, "ES": 1, "ca2": 0},
        {
            "wait": (-0.001, -3),
            "rho": (0, 1, 1.2, -3, -0.5),
            "ES": (0, -0.001, -3),
            "ca2": (-0.001, -3),
        },
        "Nothing is negative; rho = 0 and ES = 0 would divide by 0, and rho is below 1.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] batch_latency__statement
# *The server waits until exactly $B$ requests are there and serves them together. What is the mean
# time from arrival to answer, and which $B$ is best?* A request waits for its batch to fill, the
# full batch waits for the server, and the batch is served:
#
# $$W(B) = \frac{B - 1}{2\lambda}
# + \frac{\rho}{1 - \rho} \cdot \frac{c_a^2 + c_s^2}{2} \cdot S(B) + S(B)$$
#
# $$S(B) = \alpha + \beta B, \qquad \rho = \frac{\lambda\,S(B)}{B}, \qquad c_a^2 = \frac{1}{B},
# \qquad c_s^2 = 0$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $B$ | `B` | batch size, at least 1 | requests |
# | $\lambda$ | `lam` | arrival rate, above 0 | requests per time unit |
# | $\alpha$ | `alpha` | time per batch, at least 0 | time unit |
# | $\beta$ | `beta` | time per request in the batch, at least 0 | time unit |
# | – | `b_max` | largest size considered, at least 1 | requests |
#
# Any unit of time serves, as long as all arguments share it. Write two functions:
#
# - `batch_latency(B, lam, alpha, beta)` returns $W(B)$; `math.inf` for $\rho \ge 1$.
# - `best_batch(lam, alpha, beta, b_max=128)` returns the $B$ from 1 to `b_max` (included) with the
#   least $W(B)$, the smallest on a tie; `None` if no size up to `b_max` is stable.
# - Error, in both: `lam` zero or negative; `alpha` or `beta` negative; `B` or `b_max` below 1.
#
# **Worked number.** With $\alpha$ = 30 ms, $\beta$ = 2 ms and 0.05 requests/ms, $W(4)$ is
# << num(batching.batch_latency(4, 0.05, 30, 2)) >> ms, and the best batch size is
# << batching.best_fixed_batch(0.05, 30, 2) >>.

# %% batch_latency__solution
import math


def batch_latency(B, lam, alpha, beta):
    """Return the mean time in the system with batches of exactly B, in the unit of alpha."""
    ### BEGIN SOLUTION
    if B < 1 or lam <= 0 or alpha < 0 or beta < 0:
        raise ValueError("B must be at least 1, lam above 0, alpha and beta not negative")
    S = alpha + beta * B
    rho = lam * S / B
    if rho >= 1:
        return math.inf
    formation = (B - 1) / (2 * lam)
    queue = rho / (1 - rho) / (2 * B) * S
    return formation + queue + S
    ### END SOLUTION


def best_batch(lam, alpha, beta, b_max=128):
    """Return the batch size from 1 to b_max of least latency, or None if none is stable."""
    ### BEGIN SOLUTION
    if b_max < 1:
        raise ValueError("b_max must be at least 1")
    latency, size = min((batch_latency(B, lam, alpha, beta), B) for B in range(1, b_max + 1))
    return size if math.isfinite(latency) else None
    ### END SOLUTION


# %%
latency_ms, best = batch_latency(4, lam=0.05, alpha=30, beta=2), best_batch(0.05, 30, 2)
print("W(4) =", latency_ms, "ms, best:", best)
check_close(latency_ms, 72.3, "the worked number: W(4)", rel_tol=1e-3)
check_equal(best, 3, "the worked number: the best batch size")

# %% batch_latency__visible__a_busy_server
"""Visible: 100 requests/s, S(B) = 50 + 0.5 B ms; times in ms."""
from servemath_helpers.notebook import check_close, check_equal

check_close(
    batch_latency(7, lam=0.1, alpha=50, beta=0.5),
    95.89069264069265,
    "batch_latency(7, lam=0.1, alpha=50, beta=0.5)",
    "Formation (B - 1) / (2 lam), Kingman's wait with ca2 = 1 / B and cs2 = 0, and service.",
)
check_equal(
    best_batch(lam=0.1, alpha=50, beta=0.5),
    7,
    "best_batch(lam=0.1, alpha=50, beta=0.5)",
    "The size of least latency, not of most throughput.",
)

# %% batch_latency__hidden__values
"""Values: the latency of many batches, and the best size, in ms and in s."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    def by_parts(B, lam, alpha, beta):
        """W(B) in exact numbers."""
        S = alpha + beta * B
        if lam * S >= B:
            return math.inf
        waiting_batches = (lam * S / B) ** 2 / (2 * B * (1 - lam * S / B))  # Little's law
        return (B - 1) / (2 * lam) + waiting_batches * B / lam + S

    check_calls(
        batch_latency,
        (
            (32, 0.1, 50, 0.5),
            by_parts(32, Fraction(1, 10), 50, Fraction(1, 2)),
            "A large batch spends its time on filling: (B - 1) / (2 lam).",
        ),
        (
            (1, 0.01, 50, 0.5),
            by_parts(1, Fraction(1, 100), 50, Fraction(1, 2)),
            "A batch of one does not wait to fill, but it waits for the server.",
        ),
    )

    check_calls(
        best_batch,
        ((0.01, 50, 0.5), 1, "At light load every batch makes people wait: one is best."),
        ((0.2, 20, 1), 7, "The B with the least W(B), not the smallest stable one."),
        exact=True,
    )

    dice = random.Random(46)
    times, best = [], []
    for _ in range(15):
        alpha, beta = dice.randint(1, 60), Fraction(dice.randint(1, 8), 4)
        lam = Fraction(dice.randint(1, 90), 100) / beta
        B = dice.randint(1, 64)
        call = (float(lam), alpha, float(beta))
        seconds = (call[0] * 1000, alpha / 1000, call[2] / 1000)
        times.append(((B, *call), by_parts(B, lam, alpha, beta)))
        times.append(((B, *seconds), by_parts(B, lam, alpha, beta) / 1000))
        of_size = {size: by_parts(size, lam, alpha, beta) for size in range(1, 129)}
        size = min(of_size, key=of_size.get)
        best.append((call, size if math.isfinite(of_size[size]) else None))
    check_calls(
        batch_latency,
        *times,
        what="many servers, in ms and in s",
        hint="W(B) is formation, wait and service of a batch; math.inf from rho = 1 on.",
    )
    check_calls(
        best_batch,
        *best,
        what="many servers",
        hint="The B from 1 to b_max (included) with the least W(B), the smallest on a tie; None if none is stable.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% batch_latency__hidden__edges
"""Edges: sizes too small to be stable, hopeless loads, `b_max` itself, service that takes no time."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_equal, check_first

    def by_parts(B, lam, alpha, beta):
        """W(B) in exact numbers."""
        S = alpha + beta * B
        if lam * S >= B:
            return math.inf
        waiting_batches = (lam * S / B) ** 2 / (2 * B * (1 - lam * S / B))  # Little's law
        return (B - 1) / (2 * lam) + waiting_batches * B / lam + S

    check_first(
        batch_latency,
        ((32, 0.1, 50, 0.5), by_parts(32, Fraction(1, 10), 50, Fraction(1, 2))),
        ((1, 0.01, 50, 0.5), by_parts(1, Fraction(1, 100), 50, Fraction(1, 2))),
    )
    check_first(best_batch, ((0.01, 50, 0.5), 1), ((0.2, 20, 1), 7))

    check_calls(
        batch_latency,
        *(((B, 0.1, 50, 0.5), math.inf) for B in (1, 5)),
        hint="A batch this small cannot keep up: rho is above 1.",
    )
    check_calls(
        batch_latency,
        ((1, 0.25, 3, 1), math.inf, "rho is exactly 1: not stable."),
        ((3, 0.5, 0, 0), 2, "Service that takes no time leaves the formation wait."),
        *(
            ((B, lam, alpha, beta), by_parts(B, lam, Fraction(alpha), Fraction(beta)), hint)
            for B, lam, alpha, beta, hint in (
                (1, 1, 0, 1 - 2**-12, "Almost full is not full: long, not infinite."),
                (2, 2048, 0, 2**-13, "However short a time is: round nothing."),
                (2, 2048, 2**-12, 0, "However short a time is: round nothing."),
            )
        ),
    )

    check_calls(
        best_batch,
        ((0.1, 50, 0.5, 5), None, "No size up to b_max is stable."),
        ((0.1, 50, 0.5, 6), 6, "The sizes from 1 to b_max are tried, b_max included."),
        ((0.1, 50, 0.5, 7), 7, "The sizes from 1 to b_max are tried, b_max included."),
        ((2, 50, 0.5), None, "lam beta = 1: no batch ever keeps up."),
        ((3, 50, 0.5), None, "lam beta above 1: no batch ever keeps up."),
        ((1.9, 10, 0.5), None, "Unless given, b_max is 128: no size up to 128 keeps up."),
        ((0.001, 0, 0.5, 1), 1, "One size to choose from."),
        ((1, 1, 0), 2, "Inputs that cost nothing extra: two fill the server by half."),
        ((1.25, 0, 0.75), 1, "A batch that costs nothing extra: one is best."),
        exact=True,
    )
    exact = (Fraction(19, 10), 10, Fraction(1, 2))
    check_equal(
        best_batch(1.9, 10, 0.5, 1000),
        min(range(1, 1001), key=lambda B: by_parts(B, *exact)),
        "best_batch(1.9, 10, 0.5, 1000)",
        "The best size may be far above 128.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% batch_latency__hidden__refused
"""Refused input: `lam` zero or negative, a negative time, `B` or `b_max` below 1."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    def by_parts(B, lam, alpha, beta):
        """W(B) in exact numbers."""
        S = alpha + beta * B
        if lam * S >= B:
            return math.inf
        waiting_batches = (lam * S / B) ** 2 / (2 * B * (1 - lam * S / B))  # Little's law
        return (B - 1) / (2 * lam) + waiting_batches * B / lam + S

    check_first(
        batch_latency,
        ((32, 0.1, 50, 0.5), by_parts(32, Fraction(1, 10), 50, Fraction(1, 2))),
        ((1, 0.01, 50, 0.5), by_parts(1, Fraction(1, 100), 50, Fraction(1, 2))),
    )
    check_first(best_batch, ((0.01, 50, 0.5), 1), ((0.2, 20, 1), 7))
    check_refused(
        batch_latency,
        {"B": 8, "lam": 0.1, "alpha": 50, "beta": 0.5},
        {"B": (0, -8), "lam": (0, -3, -0.001), "alpha": (-0.001, -3), "beta": (-3, -0.001)},
        "A batch holds at least one request, lam is above 0, no time is negative.",
    )
    check_refused(
        best_batch,
        {"lam": 0.1, "alpha": 50, "beta": 0.5},
        {"lam": (0, -3, -0.001), "alpha": (-0.001, -3), "beta": (-3, -0.001), "b_max": (0, -1)},
        "lam is above 0, b_max at least 1, no time is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] erlang_b__statement
# *There is no buffer: who finds all servers busy is lost. Which share is that?* Poisson arrivals,
# any distribution of the service time, $c$ servers (or slots, or lines), no queue (M/G/c/c):
#
# $$B(0, a) = 1, \qquad B(k, a) = \frac{a\,B(k-1, a)}{k + a\,B(k-1, a)},
# \qquad \text{which equals} \qquad \frac{a^c/c!}{\sum_{n=0}^{c} a^n/n!} \text{ at } k = c$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $c$ | `c` | number of servers, a whole number from 0 | – |
# | $a$ | `a` | offered load, arrival rate times mean service time, at least 0 | servers |
# | $B(c, a)$ | (result) | share of arrivals that are lost | – |
#
# Write `erlang_b(c, a)`.
#
# - The load may exceed the servers: a loss system is never unstable, it loses more.
# - `c = 0`: everybody is lost, 1.0, whatever the load. `a = 0` with at least one server: 0.
# - `c` may be in the thousands. The quotient on the right is correct on paper, but its powers and
#   factorials leave the range of a float at a few hundred servers; and Python's call stack is not
#   made for thousands of calls inside each other.
# - Error: `c` or `a` negative.
#
# **Worked number.** Three slots for an offered load of 2 lose
# << num(100 * queueing.erlang_b(3, 2)) >> % of the requests.


# %% erlang_b__solution
def erlang_b(c, a):
    """Return the share of arrivals lost by c servers without a queue."""
    ### BEGIN SOLUTION
    if c < 0 or a < 0:
        raise ValueError("c and a must not be negative")
    lost = 1.0
    for k in range(1, c + 1):
        lost = a * lost / (k + a * lost)
    return lost
    ### END SOLUTION


# %%
lost = 100 * erlang_b(c=3, a=2)
print(lost, "%")
check_close(lost, 21.05, "the worked number: % lost by three slots", rel_tol=1e-3)

# %% erlang_b__visible__one_and_two_slots
"""Visible: one slot, and two."""
from servemath_helpers.notebook import check_close

check_close(
    erlang_b(c=1, a=0.8),
    4 / 9,
    "erlang_b(c=1, a=0.8)",
    "One slot: 0.8 / (1 + 0.8). Even below full load nearly half is lost.",
)
check_close(
    erlang_b(c=2, a=1),
    0.2,
    "erlang_b(c=2, a=1)",
    "One step of the recursion for each server; who is refused does not wait and try again.",
)

# %% erlang_b__hidden__values
"""Values: the share that is lost of many systems, below and above their capacity."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    def exactly(c, a):
        """The quotient of powers and factorials, in exact numbers."""
        term = total = Fraction(1)
        for n in range(1, c + 1):
            term = term * a / n
            total += term
        return term / total

    check_calls(
        erlang_b,
        ((2, 0.8), exactly(2, Fraction(4, 5)), "B(2, a) follows from B(1, a)."),
    )
    check_calls(
        erlang_b,
        (
            (4, 40),
            exactly(4, 40),
            "Ten times the load that four servers carry: a little more than nine in ten are lost.",
        ),
        ((3, 1000), exactly(3, 1000), "A loss system is stable at any load."),
        (
            (1, 0.00012345678),
            0.00012345678 / 1.00012345678,
            "Round nothing, however small a coefficient or a wait is.",
        ),
    )

    dice = random.Random(47)
    loads = [(dice.randint(1, 40), dice.randint(1, 200) / 4) for _ in range(20)]
    check_calls(
        erlang_b,
        *(((c, a), exactly(c, Fraction(a))) for c, a in loads),
        what="many systems",
        hint="The share of requests that is lost, from the recursion over servers.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% erlang_b__hidden__edges
"""Edges: hundreds and thousands of servers, no servers, no load."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first

    def exactly(c, a):
        """The quotient of powers and factorials, in exact numbers."""
        term = total = Fraction(1)
        for n in range(1, c + 1):
            term = term * a / n
            total += term
        return term / total

    check_first(erlang_b, ((2, 0.8), exactly(2, Fraction(4, 5))), ((4, 40), exactly(4, 40)))

    check_calls(
        erlang_b,
        (
            (200, 180),
            exactly(200, 180),
            "c may be in the hundreds: powers and factorials leave the range of a float, the recursion does not.",
        ),
    )
    for c, a in ((1000, 900), (5000, 5000)):
        # Each sum of terms relative to the last one: 1 + c/a + c(c-1)/a**2 + ...
        term = total = 1.0
        for n in range(c, 0, -1):
            term *= n / a
            total += term
        check_calls(
            erlang_b,
            (
                (c, a),
                1 / total,
                "c may be in the thousands: a loop, not thousands of calls inside each other.",
            ),
        )

    check_calls(
        erlang_b, *(((0, a), 1) for a in (0, 0.5, 30)), hint="Without servers everybody is lost."
    )
    check_calls(erlang_b, *(((c, 0), 0) for c in (1, 300)), hint="Without load nobody is lost.")


hidden_tests()
### END HIDDEN TESTS

# %% erlang_b__hidden__refused
"""Refused input: `c` or `a` negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    def exactly(c, a):
        """The quotient of powers and factorials, in exact numbers."""
        term = total = Fraction(1)
        for n in range(1, c + 1):
            term = term * a / n
            total += term
        return term / total

    check_first(erlang_b, ((2, 0.8), exactly(2, Fraction(4, 5))), ((4, 40), exactly(4, 40)))
    check_refused(
        erlang_b,
        {"c": 2, "a": 1},
        {"c": (-1, -8), "a": (-0.001, -3)},
        "A negative c or a is an error: no number of servers and no load is below 0.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] max_utilization__statement
# *We promised that 99 % of the requests are answered within a budget. How far may we fill the
# servers?* Poisson arrivals, exponential service of mean $S$, $c$ pooled servers (M/M/c), first
# come, first served. One server has a closed form; for more, the tail of the time in the system is
#
# $$P(T > t) = e^{-t/S} + C\,\frac{e^{-t/S} - e^{-(c - a)\,t/S}}{c - 1 - a} \quad (a \ne c - 1),
# \qquad P(T > t) = e^{-t/S}\left(1 + C\,\frac{t}{S}\right) \quad (a = c - 1)$$
#
# $$a = \rho\,c, \qquad C = C(c, a) \text{ (Erlang C)}, \qquad
# \rho_{max} = 1 - \frac{S}{T_{max}}\,\ln\frac{1}{1 - q} \quad (c = 1)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $S$ | `S` | mean service time, above 0 | any |
# | $T_{max}$ | `budget` | bound on the time in the system, at least 0 | that of `S` |
# | $q$ | `q` | share of requests that must be within it, in (0, 1): number or text | – |
# | $c$ | `c` | number of pooled servers, at least 1 | – |
# | $\rho$ | (result) | utilisation $\lambda S / c$ | – |
#
# Write `max_utilization(S, budget, q='0.99', c=1)`. Return the largest $\rho$ at which
# $P(T > T_{max}) \le 1 - q$.
#
# - The tail rises with $\rho$, so bisection between 0 and 1 finds it. Results for $c > 1$ are
#   compared to within 0.000001, for $c = 1$ to nine digits.
# - If even an idle system misses the budget, the answer is 0.0. It is never negative.
# - `servemath_helpers.queueing` has `erlang_c(c, a)`, or write it from `erlang_b`:
#   $C = c B / (c - a (1 - B))$.
# - Error: `S` zero or negative, `budget` negative, `q` not in (0, 1), `c` below 1.
#
# **Worked number.** $S$ = 20 ms, a budget of 250 ms at $q$ = 0.99: one server may be busy
# << num(100 * queueing.max_utilization(20, 250)) >> % of the time, three pooled ones
# << num(100 * queueing.max_utilization(20, 250, c=3)) >> %.

# %% max_utilization__solution
import math

from servemath_helpers import queueing


def max_utilization(S, budget, q="0.99", c=1):
    """Return the largest utilisation whose sojourn quantile q is within the budget."""
    ### BEGIN SOLUTION
    q = float(q)
    if S <= 0 or budget < 0 or not 0 < q < 1 or c < 1:
        raise ValueError("S above 0, budget not negative, q in (0, 1), c at least 1")
    allowed = 1 - q
    x = budget / S  # the budget in service times
    if c == 1:
        return max(0.0, 1 - math.log(1 / allowed) / x) if x > 0 else 0.0
    if math.exp(-x) >= allowed:
        return 0.0

    def too_slow(rho):
        a = rho * c
        waiting, gap = queueing.erlang_c(c, a), c - 1 - a
        late = x * math.exp(-x) if gap == 0 else (math.exp(-x) - math.exp(-(c - a) * x)) / gap
        return math.exp(-x) + waiting * late > allowed

    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if too_slow(middle):
            high = middle
        else:
            low = middle
    return low
    ### END SOLUTION


# %%
busy = [100 * max_utilization(20, 250), 100 * max_utilization(20, 250, c=3)]
print(f"{busy[0]:.2f} %, {busy[1]:.2f} %")
check_close(busy, [63.16, 87.13], "the worked numbers: % of one and of three", rel_tol=1e-3)

# %% max_utilization__visible__one_server_and_two
"""Visible: one server, and a pool of three."""
from servemath_helpers.notebook import check_close

check_close(
    max_utilization(10, 200),
    0.7697414907005954,
    "max_utilization(10, 200)",
    "1 - S / budget times the natural log of 100.",
)
check_close(
    max_utilization(1, 10, c=3),
    0.8354884,
    "max_utilization(1, 10, c=3)",
    "Bisect on P(T > budget) = 1 - q with the tail of the pool; rho is the load of each server.",
    abs_tol=1e-6,
)

# %% max_utilization__hidden__values
"""Values: other quantiles, pools, budgets that only a ratio matters of."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random

    from servemath_helpers.notebook import check_calls, check_close, check_true

    def exact_tail(x, a, c):
        """P(T > x service times), by summing the states that an arrival can meet."""
        weight, weights = 1.0, [1.0]
        for n in range(1, c + 1):
            weight *= a / n
            weights.append(weight)
        queueing_share = weight * c / (c - a)
        waiting = queueing_share / (sum(weights[:-1]) + queueing_share)
        # The excess of the wait over x, and service after a shorter wait, by midpoints.
        steps = 4000
        dx = x / steps
        rate = c - a
        mixed = sum(math.exp(-rate * (k + 0.5) * dx - (x - (k + 0.5) * dx)) for k in range(steps))
        return (1 - waiting) * math.exp(-x) + waiting * (math.exp(-rate * x) + rate * mixed * dx)

    check_calls(
        max_utilization,
        (
            (10, 200, "0.95"),
            1 - math.log(20) / 20,
            "q is the share of the answers within the budget: the quantile is not built in.",
        ),
        (
            (10, 200, 0.5),
            1 - math.log(2) / 20,
            "q may be a text or a number, and is read as a share.",
        ),
        (
            (0.25, 4, "0.999"),
            1 - math.log(1000) / 16,
            "q is the share of the answers within the budget: the quantile is not built in.",
        ),
        (
            (0.25, 4, "0.99995"),
            1 - math.log(20_000) / 16,
            "q is the share of the answers within the budget, also close to 1.",
        ),
        (
            (0.00012345678, 0.0024691356),
            1 - math.log(100) / 20,
            "However short: only the ratio matters.",
        ),
    )

    # with two servers bisection begins at rho = 0.5, where a = c - 1
    check_calls(
        max_utilization,
        *(
            ((1, x, "0.99", c), rho)
            for x, c, rho in (
                (5, 2, 0.3533941),
                (6, 2, 0.5441538),
                (10, 2, 0.7579761),
                (10, 4, 0.8752259),
                (10, 8, 0.9362949),
            )
        ),
        ({"S": 30, "budget": 300, "c": 4}, 0.8752259),
        hint="The tail of the pool at its budget; where a = c - 1 it has its own formula.",
        abs_tol=1e-6,
    )

    dice = random.Random(48)
    for _ in range(6):
        c, x = dice.randint(2, 30), dice.uniform(5, 25)
        q = dice.choice(("0.9", "0.95", "0.99"))
        rho = max_utilization(2, 2 * x, q, c)
        what = f"max_utilization(2, {2 * x}, {q!r}, {c})"
        check_true(0 < rho < 1, f"{what} is a share between 0 and 1")
        check_close(
            exact_tail(x, rho * c, c),
            1 - float(q),
            f"P(T > budget) at {what}",
            "At the largest load the promise is met exactly.",
            rel_tol=1e-3,
        )


hidden_tests()
### END HIDDEN TESTS

# %% max_utilization__hidden__edges
"""Edges: budgets that no load meets, a budget of 0, quantiles close to 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_calls, check_first

    check_first(max_utilization, ((10, 200, "0.95"), 1 - math.log(20) / 20))
    check_first(max_utilization, ((1, 10, "0.99", 4), 0.8752259), abs_tol=1e-6)

    check_calls(
        max_utilization,
        ((50, 200), 0, "ln 100 service times already exceed the budget: 0, not a negative load."),
        ((1, 4), 0, "ln 100 service times already exceed the budget."),
        ((10, 0), 0, "If even an idle system misses the budget, the answer is 0.0."),
        ((1, 1, "0.0005"), 1 + math.log(0.9995), "q may be any share above 0 and below 1."),
    )
    check_calls(
        max_utilization,
        *(({"S": 50, "budget": 200, "c": c}, 0) for c in (2, 5, 40)),
        hint="If even an idle system misses the budget, the answer is 0.0, whatever c.",
        abs_tol=1e-6,
    )


hidden_tests()
### END HIDDEN TESTS

# %% max_utilization__hidden__refused
"""Refused input: `S` zero or negative, `budget` negative, `q` not in (0, 1), `c` below 1."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_first, check_raises, check_refused

    check_first(max_utilization, ((10, 200, "0.95"), 1 - math.log(20) / 20))
    check_first(max_utilization, ((1, 10, "0.99", 4), 0.8752259), abs_tol=1e-6)

    check_refused(
        max_utilization,
        {"S": 10, "budget": 200, "q": "0.99", "c": 1},
        {
            "S": (0, -0.001, -10),
            "budget": (-0.001, -200),
            "q": (1, 0, 1.001, 99, -0.001, -3),
            "c": (0, -3),
        },
        "S is above 0, the budget not negative, q a share in (0, 1), c at least 1.",
    )
    for q in ("1", "0"):
        check_raises(
            lambda q=q: max_utilization(10, 200, q),
            ValueError,
            f"max_utilization(10, 200, {q!r})",
            "q is a share in (0, 1).",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] achieved_fps__statement
# *A display shows a frame only at its next refresh, and a control loop has no use for an answer
# that comes after its period. What is left of the speed that we measured?*
#
# $$\mathrm{FPS} = \frac{f}{\max\left(1, \left\lceil t f / 1000 \right\rceil\right)}, \qquad
# t = \begin{cases} t_c & \text{pipelined} \\ t_c + t_w & \text{otherwise} \end{cases}
# \qquad\qquad \alpha + \beta n \le D$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $f$ | `refresh_hz` | refresh rate of the display, above 0; its period is $1000/f$ ms | Hz |
# | $t_c$, $t_w$ | `compute_ms`, `wait_ms` | time a frame is computed, and waits before | ms |
# | – | `pipelined` | `True`: a frame waits while the one before is computed | – |
# | $n$ | `n` | inputs that arrive together and form one batch, at least 1 | – |
# | $\alpha$, $\beta$ | `alpha`, `beta` | time per batch, and per input in it | any |
# | $D$ | `deadline` | time allowed | that of `alpha` |
#
# Write two functions:
#
# - `achieved_fps(refresh_hz, compute_ms, wait_ms, pipelined)` returns frames per second. A frame
#   takes at least one period, and `wait_ms` plays no part if pipelined. Work that exceeds a whole
#   number of periods by less than a billionth of a period ($10^{-9}$) counts as that number:
#   1000/60 ms is one period at 60 Hz, whatever the last digit of the float says.
# - `edge_batch_ok(n, alpha, beta, deadline)` returns `True` if the batch meets the deadline, else
#   `False`. A deadline met exactly is met.
# - Error: `refresh_hz` zero or negative; `n` below 1; any time negative.
#
# **Worked number.** At 90 Hz, 8 ms of work that wait 4 ms give
# << num(deadlines.achieved_fps(90, 8, 4, False)) >> frames/s, and pipelined
# << num(deadlines.achieved_fps(90, 8, 4, True)) >>.

# %% achieved_fps__solution
import math


def achieved_fps(refresh_hz, compute_ms, wait_ms, pipelined):
    """Return the frames per second that a display with fixed refresh shows."""
    ### BEGIN SOLUTION
    if refresh_hz <= 0 or compute_ms < 0 or wait_ms < 0:
        raise ValueError("refresh_hz must be above 0, times not negative")
    busy_ms = compute_ms if pipelined else compute_ms + wait_ms
    periods = math.ceil(busy_ms * refresh_hz / 1000 - 1e-9)
    return refresh_hz / max(1, periods)
    ### END SOLUTION


def edge_batch_ok(n, alpha, beta, deadline):
    """Tell whether n inputs in one batch meet the deadline."""
    ### BEGIN SOLUTION
    if n < 1 or alpha < 0 or beta < 0 or deadline < 0:
        raise ValueError("n must be at least 1, times not negative")
    return alpha + beta * n <= deadline
    ### END SOLUTION


# %%
frames = [achieved_fps(90, 8, 4, pipelined=False), achieved_fps(90, 8, 4, pipelined=True)]
print(frames, edge_batch_ok(n=3, alpha=2, beta=1, deadline=6))
check_close(frames, [45, 90], "the worked numbers: frames/s at 90 Hz")

# %% achieved_fps__visible__a_missed_frame_and_six_cameras
"""Visible: a frame that misses its refresh, and six cameras against 10 ms."""
from servemath_helpers.notebook import check_close, check_equal

check_close(
    achieved_fps(60, 15, 5, False),
    30,
    "achieved_fps(60, 15, 5, False)",
    "20 ms miss the refresh at 16.7 ms, so the frame waits for the one at 33.3 ms.",
)
check_equal(
    [edge_batch_ok(n, alpha=2, beta=1.5, deadline=10) for n in (5, 6)],
    [True, False],
    "edge_batch_ok of 5 and of 6 inputs with alpha=2, beta=1.5, deadline=10",
    "One batch: alpha once, beta for each input.",
)

# %% achieved_fps__hidden__values
"""Values: frame rates of many displays, pipelined or not, and batches before their deadline."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        achieved_fps,
        ((60, 15, 5, True), 60, "Pipelined, only the compute time limits the rate."),
        (
            (60, 11, 5, False),
            60,
            "A frame takes at least one period: work and wait that fit into it take one.",
        ),
        ((60, 20, 0, True), 30, "Pipelining does not help if the work itself misses the refresh."),
        ((60, 20, 5, True), 30, "Pipelining does not help if the work itself misses the refresh."),
        ((60, 5, 40, True), 60, "Pipelined, a frame may wait longer than it is computed."),
        (
            (60, 5, 40, False),
            20,
            "A frame takes whole periods, of computing and waiting if it is not pipelined.",
        ),
        ((60, 0, 16.2, False), 60, "All of it is wait, and fits into a period."),
    )

    check_calls(
        edge_batch_ok,
        ((1, 2, 1.5, 3.5), True, "One input needs alpha and one beta."),
        ((100, 5, 0, 5), True, "Inputs that cost nothing extra."),
        ((3, 0.0000123, 0.0000123, 0.0000493), True, "However short a time is: round nothing."),
        ((3, 0.0000123, 0.0000123, 0.0000491), False, "However short a time is: round nothing."),
        exact=True,
    )

    dice = random.Random(49)
    rates, meets = [], []
    for _ in range(30):
        hz = dice.choice((24, 30, 48, 60, 72, 90, 120, 144))
        compute, wait = dice.randint(0, 400), dice.randint(0, 400)  # tenths of a ms
        pipelined = dice.random() < 0.5
        tenths = compute if pipelined else compute + wait
        periods = max(1, -(-Fraction(tenths * hz, 10_000) // 1))
        rates.append(((hz, compute / 10, wait / 10, pipelined), Fraction(hz) / periods))
        n, alpha, quarters, D = (dice.randint(1, 12) for _ in range(4))
        meets.append(((n, alpha, quarters / 4, 2 * D), 4 * alpha + quarters * n <= 8 * D))
    check_calls(
        achieved_fps,
        *rates,
        what="many displays",
        hint="A frame takes whole periods; wait_ms plays no part if pipelined.",
    )
    check_calls(
        edge_batch_ok,
        *meets,
        what="many batches",
        hint="The batch meets the deadline if alpha and n times beta are at most that.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% achieved_fps__hidden__edges
"""Edges: whole periods and a little more, no work at all, deadlines met exactly."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        achieved_fps,
        ((60, 20, 5, True), 30),
        ((60, 5, 40, False), 20),
        ((60, 5, 40, True), 60),
        ((60, 11, 15, False), 30),
    )
    check_first(edge_batch_ok, ((3, 2, 1.5, 10), True), ((6, 2, 1.5, 10), False))

    check_calls(
        achieved_fps,
        ((60, 0, 0, False), 60, "No display shows more frames than it has refreshes."),
        ((60, 1, 1, False), 60, "No display shows more frames than it has refreshes."),
        ((60, 50, 0, False), 20, "Work of a whole number of periods counts as that number."),
        ((60, 50.001, 0, False), 15, "A little more than three periods take four."),
        ((60, 1000 / 60, 0, False), 60, "Exactly one period is one, rounding forgiven."),
        ((72, 125 / 3, 0, True), 24, "Exactly three periods are three, rounding forgiven."),
        ((24, 625 / 3, 0, False), 4.8, "Exactly five periods are five, rounding forgiven."),
        ((30, 50 / 3, 50 / 3, False), 30, "Exactly one period is one, rounding forgiven."),
        ((144, 125 / 3, 0, True), 24, "Exactly six periods are six, rounding forgiven."),
        ((60, 16.6667, 0, True), 30, "A microsecond late is late: forgive a billionth only."),
        ((60, 16.66666675, 0, True), 30, "Five billionths of a period late is late."),
        ((60, 16.666666675, 0, True), 60, "Half a billionth of a period is forgiven."),
        ((0.5, 0, 0, True), 0.5, "Any refresh rate above 0 is one."),
    )

    check_calls(
        edge_batch_ok,
        ((6, 2, 1.5, 11), True, "A deadline met exactly is met."),
        ((6, 2, 1.5, 10.9999999), False, "A deadline missed by a little is missed."),
        ((1, 0, 0, 0), True, "No work, no time."),
        ((1, 1, 0, 0), False, "Work that takes time misses a deadline of 0."),
        ((1, 0.5, 0.5, 1), True, "A deadline met exactly is met."),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% achieved_fps__hidden__refused
"""Refused input: `refresh_hz` zero or negative, `n` below 1, any time negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        achieved_fps,
        ((60, 20, 5, True), 30),
        ((60, 5, 40, False), 20),
        ((60, 5, 40, True), 60),
        ((60, 11, 15, False), 30),
    )
    check_first(edge_batch_ok, ((3, 2, 1.5, 10), True), ((6, 2, 1.5, 10), False))

    for pipelined in (False, True):
        check_refused(
            achieved_fps,
            {"refresh_hz": 60, "compute_ms": 15, "wait_ms": 5, "pipelined": pipelined},
            {"refresh_hz": (0, -0.5, -60), "compute_ms": (-0.001, -15), "wait_ms": (-0.001, -5)},
            "refresh_hz is above 0; no time is negative, even one that plays no part.",
        )
    check_refused(
        edge_batch_ok,
        {"n": 5, "alpha": 2, "beta": 1.5, "deadline": 10},
        {"n": (0, -5), "alpha": (-0.001, -2), "beta": (-0.001, -1.5), "deadline": (-0.001, -10)},
        "n is at least 1, and no time is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] capacity_plan__statement
# *So many requests a second, so long each, and 99 % of them within a budget. How many servers,
# does the memory suffice, and what does it cost?* Poisson arrivals, exponential service, $c$
# pooled servers (M/M/c). First latency decides $c$, then Little's law gives the memory:
#
# $$c = \min\{k : \mathrm{P99}(k) \le T_{max}\}, \qquad \rho = \frac{\lambda S}{c}, \qquad
# L = \lambda\,(W_q + S), \qquad L\,m \le M_{ram}, \qquad \mathrm{cost} = c\,p$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate, at least 0 | requests/s |
# | $S$ | `S` | mean service time, above 0 | s |
# | $T_{max}$ | `p99_budget` | bound on the 99th percentile of the time in the system | s |
# | $m$ | `bytes_per_req` | memory of a request while it is in the system | bytes |
# | $M_{ram}$ | `ram_bytes` | memory for requests, of the whole pool together | bytes |
# | $p$ | `usd_h` | price of one server: number or text such as `"2.50"` | USD/h |
# | $c$ | `"c"` | number of servers, at least 1 | – |
# | $\rho$ | `"rho"` | utilisation | – |
# | P99 | `"p99"` | 99th percentile of the time in the system with $c$ servers | s |
# | $L$ | `"L"` | mean number in the system, waiting and in service | requests |
# | – | `"mem_ok"` | `True` if the mean memory $L m$ is at most `ram_bytes` | – |
# | cost | `"cost"` | price of all servers | USD/h |
#
# Write `capacity_plan(lam, S, p99_budget, bytes_per_req, ram_bytes, usd_h)`. Return a `dict` with
# exactly these six keys, or `None` if no number of servers keeps the promise.
#
# - Even a request that never waits has a P99 of $S \ln 100$. A budget of that or less cannot be
#   met: `None`, also where `lam = 0`. No budget is asked that equals it but for rounding.
# - Memory is reported and never changes `c`.
# - `lam = 0`: one idle server, `"rho"` and `"L"` are 0, `"p99"` is $S \ln 100$.
# - `servemath_helpers.queueing` has `mmc_sojourn_tail`, `mmc_sojourn_quantile_s` and `mmc_wait`.
# - Error: `S` zero or negative; any other argument negative.
#
# **Worked number.** 100 requests/s of 50 ms each, P99 within 300 ms, 400 MB a request, 5 GB, 2.50
# USD/h: $c$ = << planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, '2.50').c >> servers,
# $\rho$ = << num(planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, '2.50').rho) >>,
# P99 << num(1000 * planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, '2.50').p99) >> ms,
# $L$ = << num(planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, '2.50').L) >>, and
# << num(planning.capacity_plan(100, 0.05, 0.3, 4e8, 5e9, '2.50').cost) >> USD/h.

# %% capacity_plan__solution
import math
from fractions import Fraction

from servemath_helpers import queueing


def capacity_plan(lam, S, p99_budget, bytes_per_req, ram_bytes, usd_h):
    """Return c, rho, p99 [s], L, mem_ok and cost [USD/h], or None if infeasible."""
    ### BEGIN SOLUTION
    price = Fraction(str(usd_h))
    if S <= 0 or min(lam, p99_budget, bytes_per_req, ram_bytes, price) < 0:
        raise ValueError("S must be above 0, the others not negative")
    if p99_budget <= S * math.log(100):
        return None
    c = math.floor(lam * S) + 1  # the least stable pool
    while (p99 := queueing.mmc_sojourn_quantile_s("0.99", lam, 1 / S, c)) > p99_budget:
        c += 1
    L = lam * (queueing.mmc_wait(lam, 1 / S, c) + S)
    return {
        "c": c,
        "rho": lam * S / c,
        "p99": p99,
        "L": L,
        "mem_ok": L * bytes_per_req <= ram_bytes,
        "cost": float(c * price),
    }
    ### END SOLUTION


# %%
plan = capacity_plan(100, 0.05, 0.3, 4e8, 5e9, "2.50")
print(plan)
check_close(
    [plan[key] for key in ("c", "rho", "p99", "L", "cost")],
    [7, 0.7143, 0.2442, 5.81, 17.5],
    "the worked numbers: c, rho, p99, L and cost of 100 requests/s",
    rel_tol=1e-3,
)

# %% capacity_plan__visible__one_pool
"""Visible: 12 requests/s of a quarter of a second each, P99 within 2 s."""
from servemath_helpers.notebook import check_close, check_equal

got = capacity_plan(lam=12, S=0.25, p99_budget=2, bytes_per_req=3e8, ram_bytes=2e9, usd_h=2)
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    ["L", "c", "cost", "mem_ok", "p99", "rho"],
    "the sorted keys of capacity_plan(12, 0.25, 2, 3e8, 2e9, 2)",
    "Return a dict with exactly these keys.",
)
check_close(
    got,
    {
        "c": 4,
        "rho": 0.75,
        "p99": 1.5015770441404488,
        "L": 240 / 53,
        "mem_ok": True,
        "cost": 8,
    },
    "capacity_plan(lam=12, S=0.25, p99_budget=2, bytes_per_req=3e8, ram_bytes=2e9, usd_h=2)",
    "Three servers would be busy all the time; four keep the P99 of the time in the system.",
)

# %% capacity_plan__hidden__values
"""Values: the least pool that keeps the budget, its load, P99, memory and cost."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random

    from servemath_helpers.notebook import check_close, check_equal, check_true

    def erlang(c, a):
        """The probability of waiting, from Erlang's loss recursion."""
        lost = 1.0
        for k in range(1, c + 1):
            lost = a * lost / (k + a * lost)
        return c * lost / (c - a * (1 - lost))

    def tail(x, a, c):
        """P(T > x service times); the loads below keep a away from c - 1."""
        fast, slow = math.exp(-x), math.exp(-(c - a) * x)
        return fast + erlang(c, a) * (fast - slow) / (c - 1 - a)

    got = capacity_plan(3.2, 1, 10, 1e9, 3e9, "1.25")
    a, c = 3.2, 4
    L = a + erlang(c, a) * a / (c - a)
    check_close(
        {key: got[key] for key in ("c", "rho", "L", "mem_ok", "cost")},
        {"c": 4, "rho": 0.8, "L": L, "mem_ok": False, "cost": 5},
        "capacity_plan(3.2, 1, 10, 1e9, 3e9, '1.25')",
        "The least c within the budget; L counts who waits too; memory is reported and never "
        "changes c.",
    )
    check_close(
        tail(got["p99"], a, c),
        0.01,
        "P(T > p99) at capacity_plan(3.2, 1, 10, 1e9, 3e9, '1.25')",
        "p99 is the time that one request in a hundred exceeds.",
        rel_tol=1e-7,
    )
    check_close(
        [capacity_plan(0.8, 1, budget, 1, 1, 1)["c"] for budget in (23.0259, 23.0258, 5)],
        [1, 2, 3],
        "c of capacity_plan(0.8, 1, budget, 1, 1, 1) for budgets 23.0259, 23.0258, 5",
        "The least c that keeps the P99 of the time in the system within the budget.",
    )
    check_close(
        [capacity_plan(1, 1, budget, 1, 1, 1)["c"] for budget in (4.606, 4.61, 4.7)],
        [6, 5, 3],
        "c of capacity_plan(1, 1, budget, 1, 1, 1) for budgets 4.606, 4.61, 4.7",
        "A budget a little above S ln 100 can be met, by a pool in which hardly a request waits.",
    )
    check_equal(
        [capacity_plan(0.5, 1, 10, m, 3, 1)["mem_ok"] for m in (0, 2.5, 3.5, 6)],
        [True, True, False, False],
        "mem_ok of capacity_plan(0.5, 1, 10, m, 3, 1) for m = 0, 2.5, 3.5, 6",
        "One request is in the system on average: waiting counts as well as service.",
    )
    for usd_h, cost in (("2.50", 10), (2.5, 10), (0, 0)):
        check_close(
            capacity_plan(3.2, 1, 10, 1, 10, usd_h)["cost"],
            cost,
            f"cost of capacity_plan(3.2, 1, 10, 1, 10, {usd_h!r})",
            "All servers are paid; the price may be text.",
        )

    dice = random.Random(50)
    for _ in range(12):
        S = dice.choice((0.05, 0.5, 2))
        a, x = dice.uniform(0.3, 60), dice.uniform(4.7, 20)
        call = f"capacity_plan({a / S}, {S}, {x * S}, 1, 50, 3)"
        plan = capacity_plan(a / S, S, x * S, 1, 50, 3)
        c = plan["c"]
        check_true(
            a < c and tail(x, a, c) <= 0.01,
            f"{call}: c = {c} keeps the promise",
            "The least c that keeps the P99 of the time in the system within the budget.",
        )
        check_true(
            c - 1 <= a or tail(x, a, c - 1) > 0.01,
            f"{call}: one server fewer would break it",
            "The least c that keeps the P99 of the time in the system within the budget.",
        )
        L = a + erlang(c, a) * a / (c - a)
        check_close(
            {key: plan[key] for key in ("rho", "L", "mem_ok", "cost")},
            {"rho": a / c, "L": L, "mem_ok": L <= 50, "cost": 3 * c},
            call,
            "rho, L, memory and cost are of all servers and of all requests in the system.",
        )
        check_close(
            tail(plan["p99"] / S, a, c),
            0.01,
            f"P(T > p99) at {call}",
            "p99 is the P99 of the time in the system, in s.",
            rel_tol=1e-7,
        )


hidden_tests()
### END HIDDEN TESTS

# %% capacity_plan__hidden__edges
"""Edges: a budget that cannot be met, no load, memory that is not enough, small numbers."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math

    from servemath_helpers.notebook import check_calls, check_close, check_first, check_true

    check_first(
        lambda budget: capacity_plan(0.8, 1, budget, 1, 1, 1)["c"], ((23.0259,), 1), ((5,), 3)
    )
    check_first(
        lambda each: capacity_plan(0.5, 1, 10, each, 3, 1)["mem_ok"],
        ((2.5,), True),
        ((3.5,), False),
    )
    check_first(
        lambda *call: [capacity_plan(*call)[key] for key in ("c", "rho", "p99", "L", "cost")],
        ((12, 0.25, 2, 3e8, 2e9, 2), [4, 0.75, 1.5015770441404488, 240 / 53, 8]),
    )
    check_close(
        capacity_plan(4096, 2**-13, 0.00112431, 0.00012345678, 0.00012345677, "0.0001"),
        {
            "c": 1,
            "rho": 0.5,
            "p99": 2**-12 * math.log(100),
            "L": 1,
            "mem_ok": False,
            "cost": 0.0001,
        },
        "capacity_plan(4096, 2**-13, 0.00112431, 0.00012345678, 0.00012345677, '0.0001')",
        "P99, memory and cost of any size: round nothing.",
    )
    check_true(
        capacity_plan(0.5, 1, 10, 1e300, 1e300, 1)["c"] == 1
        and capacity_plan(0.5, 1, 10, 5, 0, 1)["c"] == 1,
        "memory does not change c",
        "ram_bytes is of the whole pool: it is checked, it does not buy servers.",
    )

    check_calls(
        capacity_plan,
        *(
            (case, None)
            for case in (
                (10, 0.5, 2, 1, 1, 1),
                (10, 0.5, 0, 1, 1, 1),
                (10, 0.5, 2.30258, 1, 1, 1),
                (0, 0.5, 1, 1, 1, 1),
            )
        ),
        hint="Even a request that never waits has a P99 of S ln 100: a budget of that or less gives None.",
        exact=True,
    )
    check_close(
        capacity_plan(0, 0.5, 3, 1, 0, "0.75"),
        {"c": 1, "rho": 0, "p99": 0.5 * math.log(100), "L": 0, "mem_ok": True, "cost": 0.75},
        "capacity_plan(0, 0.5, 3, 1, 0, '0.75')",
        "Without requests one idle server remains.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% capacity_plan__hidden__refused
"""Refused input: `S` zero or negative, any other argument negative, also where no plan is possible."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    good = {"lam": 12, "S": 0.25, "p99_budget": 2, "bytes_per_req": 1, "ram_bytes": 2, "usd_h": 2}
    hint = "S is above 0, and nothing else is negative."
    broken = dict.fromkeys(good, (-0.001, -3)) | {"S": (0, -0.001, -3)}
    check_first(
        lambda budget: capacity_plan(0.8, 1, budget, 1, 1, 1)["c"], ((23.0259,), 1), ((5,), 3)
    )
    check_first(
        lambda each: capacity_plan(0.5, 1, 10, each, 3, 1)["mem_ok"],
        ((2.5,), True),
        ((3.5,), False),
    )
    check_first(
        lambda *call: [capacity_plan(*call)[key] for key in ("c", "rho", "p99", "L", "cost")],
        ((12, 0.25, 2, 3e8, 2e9, 2), [4, 0.75, 1.5015770441404488, 240 / 53, 8]),
    )
    check_refused(capacity_plan, good, broken, hint)
    hopeless = good | {"p99_budget": 1}
    check_refused(capacity_plan, hopeless, dict.fromkeys(good, (-3,)), hint, pairs=False)
    check_raises(
        lambda: capacity_plan(12, 0.25, 2, 3e8, 2e9, "-0.5"),
        ValueError,
        "capacity_plan(12, 0.25, 2, 3e8, 2e9, '-0.5')",
        "A price is not negative, as text neither.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Somebody who pays the bill asks you to run the servers at 95 %; somebody who answers to the users
# asks for no waiting at all. Choose a service that you know, say which of the two you would give
# more weight, which of the << count >> numbers above you would show to each of them, and what you would
# measure afterwards to see whether you were right. Write a few sentences in the next cell; a person
# may read and comment on them.
#
# **What a reader looks for**
#
# - a choice between the two sides, for a service that is named, with its reason
# - numbers from this chapter that speak to each side in its own terms
# - what would be measured afterwards, and which result would change the choice

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: for an interactive assistant I would favour responsiveness, because a
# late first word loses the user, while an idle server only costs money. To the one who pays I would
# show the largest utilisation at the promised P99, for one server and for a pool: pooling is what
# buys utilisation, not courage. To the other I would show that waiting never becomes zero at any
# price, and what the last few milliseconds cost in servers. Afterwards I would watch the P99 of the
# time in the system, the number in flight against memory, and the burstiness of the arrivals,
# because the plan assumed Poisson.
# ### END SOLUTION

# %% [markdown]
# ## What to keep
#
# What comes in must go out, and while it is inside it needs room: that is Little's law, and it asks
# for no model. Everything else in this chapter is about variability. Waiting is what variability
# and utilisation make together; batches trade waiting for throughput; buffers turn loss into delay,
# and deadlines turn delay into loss. So before you buy a faster machine, ask what varies, and
# whether it has to.
