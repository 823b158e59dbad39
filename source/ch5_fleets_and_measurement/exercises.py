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
# # Chapter 5 · Exercises: fleets and measurement
#
# Functions to write: << count >>, worth << num(points['total']) >> points. They read measurements,
# formats and fleets, and turn them into numbers that can be compared. For each one:
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
# Everywhere, "error" means: raise `ValueError`. Results are compared as values, to nine digits
# unless the statement says otherwise: an `int` for a `float`, a NumPy number or a tuple for a list
# are fine. No function changes its arguments. The package `servemath_helpers` teaches the same
# formulas. Use it as much as you like, except to return its own answer to the very question asked:
# that earns no points.
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% setup__statement
from servemath_helpers.notebook import check_close, check_equal

# %% [markdown] token_times__statement
# *A request was due, and its tokens came. How long did the first take, how long the whole answer,
# and what does this tool call the time per output token?*
#
# $$\mathrm{TTFT} = t_1 - a, \qquad \mathrm{E2E} = t_n - a, \qquad
# \mathrm{TPOT} = \frac{\mathrm{E2E} - \mathrm{TTFT}}{n - 1} \;\text{ or }\; \frac{\mathrm{E2E}}{n}$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $a$ | `arrival_s` | instant at which the request was due | s |
# | $t_1 \dots t_n$ | `token_s` | instants at which its tokens came, on the same clock | s |
# | – | `tool` | `"vllm"`, `"inference-perf"`, `"mlperf"` or `"guidellm"` | – |
# | $\mathrm{TTFT}$ | `"ttft"` | time to first token | s |
# | $\mathrm{TPOT}$ | `"tpot"` | time per output token, as the tool defines it | s |
# | $\mathrm{E2E}$ | `"e2e"` | time of the whole answer | s |
#
# Write `token_times(arrival_s, token_s, tool)`. Return a `dict` with exactly the keys `"ttft"`,
# `"tpot"`, `"e2e"`. `token_s` is a list, a tuple or a NumPy array.
#
# - GuideLLM divides by all tokens, $\mathrm{E2E}/n$; the three others by the gaps,
#   $(\mathrm{E2E} - \mathrm{TTFT})/(n - 1)$.
# - An answer of one token has no gap: `"tpot"` is `None` for `"vllm"` and `"inference-perf"`, an
#   error for `"mlperf"`, and $\mathrm{E2E}$ for `"guidellm"`.
# - Several tokens may come at the same instant, and the first when the request was due.
# - Error: no token; tokens not in order; a token before `arrival_s`; `arrival_s` negative; any other
#   `tool`.
#
# **Worked number.** Due at 2 s, tokens at 2.30, 2.34, 2.38 and 2.46 s: TTFT
# << num(loadtest.token_times(2, [2.30, 2.34, 2.38, 2.46], 'vllm')['ttft']) >> s, E2E
# << num(loadtest.token_times(2, [2.30, 2.34, 2.38, 2.46], 'vllm')['e2e']) >> s; TPOT
# << num(loadtest.token_times(2, [2.30, 2.34, 2.38, 2.46], 'vllm')['tpot'] * 1e3) >> ms for vLLM and
# << num(loadtest.token_times(2, [2.30, 2.34, 2.38, 2.46], 'guidellm')['tpot'] * 1e3) >> ms for
# GuideLLM.


# %% token_times__solution
def token_times(arrival_s, token_s, tool):
    """Return ttft, tpot and e2e [s] of one answer, as `tool` defines them."""
    ### BEGIN SOLUTION
    times = list(token_s)
    if not times or times != sorted(times) or not 0 <= arrival_s <= times[0]:
        raise ValueError("one token or more, in order, none before the request")
    if tool not in ("vllm", "inference-perf", "mlperf", "guidellm"):
        raise ValueError("no such tool")
    n, ttft, e2e = len(times), times[0] - arrival_s, times[-1] - arrival_s
    if tool == "guidellm":
        tpot = e2e / n
    elif n > 1:
        tpot = (e2e - ttft) / (n - 1)
    elif tool == "mlperf":
        raise ValueError("MLPerf divides by the gaps, and there is none")
    else:
        tpot = None
    return {"ttft": ttft, "tpot": tpot, "e2e": e2e}
    ### END SOLUTION


# %%
reports = [token_times(2, [2.30, 2.34, 2.38, 2.46], tool) for tool in ("vllm", "guidellm")]
print(*reports, sep="\n")
check_close(
    [reports[0]["ttft"], reports[0]["e2e"], *(report["tpot"] for report in reports)],
    [0.3, 0.46, 0.05333, 0.115],
    "the worked numbers: TTFT, E2E, and TPOT of vLLM and of GuideLLM",
    rel_tol=1e-3,
)

# %% token_times__visible__one_answer_two_tools
"""Visible: one answer with a long last gap, as two tools report it."""
from servemath_helpers.notebook import check_calls

check_calls(
    token_times,
    (
        (0, [0.40, 0.45, 0.50, 0.55, 0.90], "vllm"),
        {"ttft": 0.4, "tpot": 0.125, "e2e": 0.9},
        "Five tokens have four gaps, and vLLM takes their mean: (E2E - TTFT) / (n - 1).",
    ),
    (
        (0, [0.40, 0.45, 0.50, 0.55, 0.90], "guidellm"),
        {"ttft": 0.4, "tpot": 0.18, "e2e": 0.9},
        "GuideLLM divides the whole answer, from the request on, by all tokens: E2E / n.",
    ),
)

# %% token_times__hidden__values
"""Values: the times of many answers as each of the four tools counts them."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    gaps = ("vllm", "inference-perf", "mlperf")
    check_calls(
        token_times,
        *(
            (
                (10, [10.5, 10.75, 11], tool),
                {"ttft": 0.5, "tpot": 1 / 3 if tool == "guidellm" else 0.25, "e2e": 1},
            )
            for tool in (*gaps, "guidellm")
        ),
        hint="Every time but a gap runs from the arrival, not from 0 on the clock.",
    )

    dice = random.Random(51)
    rows = []
    for case in range(40):
        n = dice.randint(2, 30)
        arrival = dice.randint(0, 50) / 8
        times = sorted(arrival + dice.randint(0, 400) / 16 for _ in range(n))
        tool = (*gaps, "guidellm")[case % 4]
        mean = (times[-1] - times[0]) / (n - 1)
        rows.append(
            (
                (arrival, times, tool),
                {
                    "ttft": times[0] - arrival,
                    "tpot": (times[-1] - arrival) / n if tool == "guidellm" else mean,
                    "e2e": times[-1] - arrival,
                },
            )
        )
    check_calls(
        token_times,
        *rows,
        what="many answers",
        hint="guidellm divides by all tokens, the three others by the gaps.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% token_times__hidden__edges
"""Edges: answers of one token, tokens of the same instant, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(
        token_times,
        ((10, [10.5, 10.625, 11.25], "vllm"), {"ttft": 0.5, "tpot": 0.375, "e2e": 1.25}),
        ((10, [10.5, 10.625, 10.75, 11.5], "mlperf"), {"ttft": 0.5, "tpot": 1 / 3, "e2e": 1.5}),
        ((10, [10.5, 10.75, 11], "guidellm"), {"ttft": 0.5, "tpot": 1 / 3, "e2e": 1}),
    )
    check_calls(
        token_times,
        *(
            ((3, [3.25], tool), {"ttft": 0.25, "tpot": tpot, "e2e": 0.25})
            for tool, tpot in (("vllm", None), ("inference-perf", None), ("guidellm", 0.25))
        ),
        hint="One token has no gap: what then stands in the statement, tool by tool.",
    )
    check_calls(
        token_times,
        ((1, [1, 1, 1], "mlperf"), {"ttft": 0, "tpot": 0, "e2e": 0}, "All at once is in order."),
        ((1, [2, 2, 5], "guidellm"), {"ttft": 1, "tpot": 4 / 3, "e2e": 4}, "Ties are in order."),
    )
    check_forms(
        token_times,
        (0, [0.5, 0.625, 1.5], "vllm"),
        {"ttft": 0.5, "tpot": 0.5, "e2e": 1.5},
        "The mean over the gaps, tokens in a list, a tuple or an array.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% token_times__hidden__refused
"""Refused input: no token, tokens out of order or before the arrival, a negative time, another tool."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    check_first(
        token_times,
        ((10, [10.5, 10.625, 11.25], "vllm"), {"ttft": 0.5, "tpot": 0.375, "e2e": 1.25}),
        ((10, [10.5, 10.625, 10.75, 11.5], "mlperf"), {"ttft": 0.5, "tpot": 1 / 3, "e2e": 1.5}),
        ((10, [10.5, 10.75, 11], "guidellm"), {"ttft": 0.5, "tpot": 1 / 3, "e2e": 1}),
    )
    check_raises(
        lambda: token_times(3, [3.25], "mlperf"),
        ValueError,
        "token_times(3, [3.25], 'mlperf')",
        "MLPerf divides by the number of gaps; of one token that is 0.",
    )

    check_refused(
        token_times,
        {"arrival_s": 1, "token_s": [2, 3, 5], "tool": "vllm"},
        {
            "token_s": ([], [2, 5, 3], [3, 2], [0.5, 2, 3]),
            "arrival_s": (2.5, 9),
            "tool": ("tgi", "VLLM", ""),
        },
        "Tokens come in order and none before its request; there are four tools.",
    )
    check_raises(
        lambda: token_times(-1, [2, 3], "vllm"),
        ValueError,
        "token_times(-1, [2, 3], 'vllm')",
        "No instant is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] mva__statement
# *So many users send a request, wait for its answer, think, and send the next. How many requests a
# second is that, and how long does each take?* Nobody sets the rate: a slow server is asked less.
# For $u = 1, 2, \dots, U$ users, beginning with $Q_k(0) = 0$ at each station $k$:
#
# $$R_k(u) = D_k \left(1 + Q_k(u-1)\right), \qquad X(u) = \frac{u}{Z + \sum_k R_k(u)}, \qquad
# Q_k(u) = X(u)\,R_k(u)$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $U$ | `N` | users, a whole number | – |
# | $Z$ | `think_s` | mean time that a user thinks | s |
# | $D_k$ | `demands` | time that a request occupies each station, one number a station | s |
# | $X$ | `"X"` | throughput | requests/s |
# | $R$ | `"R"` | mean time from request to answer, $\sum_k R_k(U)$ | s |
# | $Q_k$ | `"queue"` | mean number at each station, waiting or served, a list | requests |
#
# Write `mva(N, think_s, demands)`. Return a `dict` with exactly the keys `"X"`, `"R"`, `"queue"`.
# `demands` is a list, a tuple or a NumPy array.
#
# - A request finds at a station what the **other** users leave there: $u - 1$ of them, on average.
# - $R$ is the time that a user waits for an answer; thinking is none of it. A station with a demand
#   of 0, and users who do not think, are cases like any other.
# - Error: `N` below 1; `think_s` or a demand negative; no station, or all demands 0.
#
# **Worked number.** Two users who think 3 s, one server that takes 1 s:
# $X$ = << num(queueing.mva(2, 3, [1])['X']) >>/s, $R$ = << num(queueing.mva(2, 3, [1])['R']) >> s,
# << num(queueing.mva(2, 3, [1])['queue'][0]) >> requests at the server.


# %% mva__solution
def mva(N, think_s, demands):
    """Return throughput X [1/s], response time R [s] and the number at each station."""
    ### BEGIN SOLUTION
    demands = list(demands)
    if N < 1 or think_s < 0 or not demands or min(demands) < 0 or max(demands) == 0:
        raise ValueError("one user and one station at least, and no negative time")
    queue = [0.0] * len(demands)
    for n in range(1, N + 1):
        stays = [demand * (1 + found) for demand, found in zip(demands, queue, strict=True)]
        X = n / (think_s + sum(stays))
        queue = [X * stay for stay in stays]
    return {"X": X, "R": sum(stays), "queue": queue}
    ### END SOLUTION


# %%
loop = mva(N=2, think_s=3, demands=[1])
print(loop)
check_close(
    loop,
    {"X": 0.4706, "R": 1.25, "queue": [0.5882]},
    "the worked numbers of two users",
    rel_tol=1e-3,
)

# %% mva__visible__one_user_and_ten
"""Visible: one user, who never waits, and ten who share a server."""
from servemath_helpers.notebook import check_close

check_close(
    mva(1, 4.5, [0.5]),
    {"X": 0.2, "R": 0.5, "queue": [0.1]},
    "mva(1, 4.5, [0.5])",
    "Alone, a user finds an empty server: R is D, and the next request comes Z later.",
)
check_close(
    mva(10, 4.5, [0.5]),
    {"X": 1.6641, "R": 1.5092, "queue": [2.5115]},
    "mva(10, 4.5, [0.5])",
    "The tenth user finds what nine leave behind: build the numbers up from n = 1.",
    rel_tol=1e-3,
)

# %% mva__hidden__values
"""Values: throughput, response and queues of many loops, of one station and of several."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_close

    def loop(N, Z, demands):
        """Count states: the constant of the product form, by convolution in exact numbers."""
        G = [Fraction(Z) ** n / math.factorial(n) for n in range(N + 1)]
        for demand in demands:
            for n in range(1, N + 1):
                G[n] += Fraction(demand) * G[n - 1]
        X = G[N - 1] / G[N]
        queue = [sum(Fraction(d) ** n * G[N - n] for n in range(1, N + 1)) / G[N] for d in demands]
        return {"X": float(X), "R": float(N / X - Fraction(Z)), "queue": [float(q) for q in queue]}

    check_close(
        mva(20, 4.5, [0.3, 0.2]),
        {"X": 3.0680, "R": 2.0189, "queue": [4.7480, 1.4460]},
        "mva(20, 4.5, [0.3, 0.2])",
        "Each station has a queue of its own; R is the sum over stations, thinking is none of it.",
        rel_tol=1e-4,
    )
    check_calls(
        mva,
        (
            (200, 0, [0.25]),
            {"X": 4, "R": 50, "queue": [200]},
            "Users who do not think are all at the one station: R is what its queue takes.",
        ),
    )

    dice = random.Random(52)
    rows = []
    for _ in range(25):
        demands = [dice.randint(0, 8) / 8 for _ in range(dice.randint(1, 4))] + [0.5]
        case = dice.randint(1, 25), dice.randint(0, 20) / 4, demands
        rows.append((case, loop(*case)))
    check_calls(
        mva,
        *rows,
        what="many loops",
        hint="A request finds at a station what the other users leave there; users from 1 to N, one by one.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% mva__hidden__edges
"""Edges: users who do not think, a station with a demand of 0, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_first, check_forms

    def loop(N, Z, demands):
        """Count states: the constant of the product form, by convolution in exact numbers."""
        G = [Fraction(Z) ** n / math.factorial(n) for n in range(N + 1)]
        for demand in demands:
            for n in range(1, N + 1):
                G[n] += Fraction(demand) * G[n - 1]
        X = G[N - 1] / G[N]
        queue = [sum(Fraction(d) ** n * G[N - n] for n in range(1, N + 1)) / G[N] for d in demands]
        return {"X": float(X), "R": float(N / X - Fraction(Z)), "queue": [float(q) for q in queue]}

    check_first(mva, ((4, 2, [0.5, 0.25]), loop(4, 2, [0.5, 0.25])))

    check_calls(
        mva,
        (
            (3, 0, [1, 1]),
            {"X": 0.75, "R": 4, "queue": [1.5, 1.5]},
            "Users who never think are always at a station, and there are three of them.",
        ),
        (
            (3, 2, [1, 0]),
            loop(3, 2, [1, 0]),
            "A station that takes no time holds nobody; it is no error.",
        ),
    )
    two = loop(4, 2, [0.5, 0.25])
    check_forms(mva, (4, 2, [0.5, 0.25]), two, "A list, a tuple and an array are the same.")


hidden_tests()
### END HIDDEN TESTS

# %% mva__hidden__refused
"""Refused input: `N` below 1, a negative time, no station, demands that are all 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    def loop(N, Z, demands):
        """Count states: the constant of the product form, by convolution in exact numbers."""
        G = [Fraction(Z) ** n / math.factorial(n) for n in range(N + 1)]
        for demand in demands:
            for n in range(1, N + 1):
                G[n] += Fraction(demand) * G[n - 1]
        X = G[N - 1] / G[N]
        queue = [sum(Fraction(d) ** n * G[N - n] for n in range(1, N + 1)) / G[N] for d in demands]
        return {"X": float(X), "R": float(N / X - Fraction(Z)), "queue": [float(q) for q in queue]}

    check_first(mva, ((4, 2, [0.5, 0.25]), loop(4, 2, [0.5, 0.25])))

    check_refused(
        mva,
        {"N": 3, "think_s": 1, "demands": [0.5, 0.25]},
        {"N": (0, -1), "think_s": (-1, -0.5), "demands": ([], [0], [0, 0], [1, -0.5])},
        "Somebody must be there, and something to do for them; no time is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] correct_omission__statement
# *One request was due every $I$ seconds, but the client waited for each answer before it sent the
# next. What would those have measured that were never sent?* For each measured time $\ell$ add
#
# $$\ell - I, \quad \ell - 2I, \quad \ell - 3I, \;\dots \quad\text{as long as the value is at least } I$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $\ell$ | `latencies` | measured times, one for each request that was sent | s |
# | $I$ | `interval` | how often a request was due | s |
# | $q$ | `q` | quantile, such as 0.99, the default | – |
# | – | `"n"` | samples after the correction | – |
# | – | `"raw"` | quantile $q$ of the measured times | s |
# | – | `"corrected"` | quantile $q$ of measured and added times together | s |
#
# Write `correct_omission(latencies, interval, q="0.99")`. Return a `dict` with exactly the keys
# `"n"`, `"raw"`, `"corrected"`.
#
# - The quantile is by nearest rank: the element number $\lceil q\,n \rceil$ of the sorted sample of
#   $n$, counted from 1.
# - Times, `interval` and `q` are exact: `int`, text, `Decimal`, `Fraction`, or a `float` that is read
#   as it prints. 0.3 s is three intervals of 0.1 s, and adds two samples.
# - A time below $2I$ adds nothing; the times that were measured stay as they are.
# - Error: no time; a negative time; `interval` not above 0; `q` not in (0, 1].
#
# **Worked number.** 0.5, 0.5 and 2 s with a request due every 0.5 s: 1.5, 1 and 0.5 s are added,
# << loadtest.correct_omission(["0.5", "0.5", 2], "0.5", "0.8")['n'] >> samples. The 80th percentile is
# << num(loadtest.correct_omission(["0.5", "0.5", 2], "0.5", "0.8")['raw']) >> s before and
# << num(loadtest.correct_omission(["0.5", "0.5", 2], "0.5", "0.8")['corrected']) >> s after.


# %% correct_omission__solution
def correct_omission(latencies, interval, q="0.99"):
    """Return n after correction, and quantile q before (raw) and after (corrected) [s]."""
    ### BEGIN SOLUTION
    from servemath_helpers.quantities import exact

    measured = [exact(value) for value in latencies]
    due, q = exact(interval), exact(q)
    if not measured or min(measured) < 0 or due <= 0 or not 0 < q <= 1:
        raise ValueError("times of at least 0, an interval above 0, q in (0, 1]")
    added = [value - j * due for value in measured for j in range(1, value // due)]

    def quantile(sample):
        rank = -(-q * len(sample) // 1)  # rounded up
        return float(sorted(sample)[rank - 1])

    return {
        "n": len(measured) + len(added),
        "raw": quantile(measured),
        "corrected": quantile(measured + added),
    }
    ### END SOLUTION


# %%
corrected = correct_omission(["0.5", "0.5", 2], "0.5", q="0.8")
print(corrected)
check_close(corrected, {"n": 6, "raw": 2, "corrected": 1.5}, "the worked numbers of three times")

# %% correct_omission__visible__one_long_answer
"""Visible: one answer that took three and a half intervals."""
from servemath_helpers.notebook import check_calls

check_calls(
    correct_omission,
    (
        ([1, 1, 1, 1, 1.05, 3.5], 1, "0.75"),
        {"n": 8, "raw": 1.05, "corrected": 1.5},
        "3.5 s adds 2.5 and 1.5 s, and 0.5 s is below the interval; 1.05 s adds nothing.",
    ),
)

# %% correct_omission__hidden__values
"""Values: the corrected sample and its quantile, of a long stall and of many logs."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        correct_omission,
        (
            ([2, 3], 1, 1),
            {"n": 5, "raw": 3, "corrected": 3},
            "2 s adds 1 s, which is at least the interval, and 3 s adds 2 and 1 s.",
        ),
        (
            ([4, 1, 3, 2], 9, "0.5"),
            {"n": 4, "raw": 2, "corrected": 2},
            "Nearest rank: an element of the sample, the second of four.",
        ),
        (
            ([10 * t for t in range(1, 101)], 5000),
            {"n": 100, "raw": 990, "corrected": 990},
            "The quantile is by nearest rank of the sorted sample, not the largest.",
        ),
    )
    check_calls(
        correct_omission,
        *(
            (
                (["0.02"] * 1000 + ["100"], "0.1", q),
                {"n": 2000, "raw": 0.02, "corrected": corrected},
            )
            for q, corrected in (("0.99", 98), ("0.75", 50), ("0.5", 0.02), ("0.5005", 0.1))
        ),
        hint="While a request stalls, one was due each interval that nobody sent: each adds a sample.",
        what="a stall of 100 s",
    )

    dice = random.Random(53)
    rows = []
    for _ in range(40):
        steps = [dice.randint(0, 80) for _ in range(dice.randint(1, 30))]
        each, per_cent = dice.randint(1, 25), dice.randint(1, 100)
        full = sorted(
            [*steps, *(s - j * each for s in steps for j in range(1, 99) if s - j * each >= each)]
        )
        expected = {
            "n": len(full),
            "raw": sorted(steps)[-(-per_cent * len(steps) // 100) - 1] / 20,
            "corrected": full[-(-per_cent * len(full) // 100) - 1] / 20,
        }
        texts = [str(s / 20) for s in steps]
        rows.append(((texts, str(each / 20), Fraction(per_cent, 100)), expected))
    check_calls(
        correct_omission,
        *rows,
        what="many logs",
        hint="Each time adds samples down by the interval while they are at least that; nearest rank.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% correct_omission__hidden__edges
"""Edges: times below two intervals, steps that floats get wrong, times of 0, every form of a number."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(
        correct_omission,
        (([10, 1, 2], 2, "0.5"), {"n": 7, "raw": 2, "corrected": 4}),
        (([4, 1, 3, 2], 9, "0.5"), {"n": 4, "raw": 2, "corrected": 2}),
        (([7, 1], 3, "0.75"), {"n": 3, "raw": 7, "corrected": 7}),
    )

    check_calls(
        correct_omission,
        (
            ([5, 1.9], 5, "0.5"),
            {"n": 2, "raw": 1.9, "corrected": 1.9},
            "Below two intervals nothing is added.",
        ),
        (
            (["0.3"], "0.1", "0.34"),
            {"n": 3, "raw": 0.3, "corrected": 0.2},
            "0.3 s is exactly three intervals of 0.1 s: compute with exact numbers.",
        ),
        (([0, 0, 0], 7), {"n": 3, "raw": 0, "corrected": 0}, "No time is a time."),
    )
    check_forms(
        correct_omission,
        (["0.3", "0.7", "2"], "0.1", "0.55"),
        {"n": 30, "raw": 0.7, "corrected": 0.7},
        "Read every number as it prints, and stay with exact ones.",
        pairs=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% correct_omission__hidden__refused
"""Refused input: no time, a negative time, `interval` not above 0, `q` not in (0, 1]."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        correct_omission,
        (([10, 1, 2], 2, "0.5"), {"n": 7, "raw": 2, "corrected": 4}),
        (([4, 1, 3, 2], 9, "0.5"), {"n": 4, "raw": 2, "corrected": 2}),
        (([7, 1], 3, "0.75"), {"n": 3, "raw": 7, "corrected": 7}),
    )

    check_refused(
        correct_omission,
        {"latencies": [1, 2], "interval": 1, "q": "0.5"},
        {
            "latencies": ([], [1, -1], ["-0.5"]),
            "q": ("0", "-0.5", "1.01", "99"),
            "interval": ("0", "-1"),
        },
        "Times are not negative, the interval is above 0, and q lies in (0, 1].",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] experts_read__statement
# *Each token of a batch goes to a few of many experts. How many of them does a step read, and how
# long does it take?* A router that chooses $e$ of $E$ experts uniformly leaves an expert alone with
# probability $1 - e/E$, and all $B$ tokens do with the $B$-th power of it:
#
# $$\bar{E}(B) = E\left(1 - \left(1 - \tfrac{e}{E}\right)^B\right), \qquad
# W_b = W_d + n_{moe}\,W_e\,\bar{E}(B), \qquad
# t = \frac{K}{n\,BW} + \max\left(\frac{W_b}{n\,BW}, \; \frac{2\,N_a B}{n F}\right)$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $E$, $e$ | `E`, `k` | experts of a layer; how many each token visits | – |
# | $B$ | `B` | sequences, one token each | – |
# | $n_{moe}$, $W_e$ | `layers`, `expert_bytes` | layers with experts; bytes of one expert of one layer | –, bytes |
# | $W_d$ | `dense_bytes` | bytes that every step reads: attention, shared experts, ... | bytes |
# | $N_a$ | `active_params` | parameters that a token passes through | – |
# | $K$ | `kv_bytes` | KV-cache bytes that the batch reads | bytes |
# | $n$ | `n_gpus` | GPUs that share all of it evenly | – |
# | $BW$, $F$ | `bw_Bps`, `peak_flops` | bandwidth and peak of one GPU | bytes/s, FLOP/s |
# | $W_b$ | `"bytes"` | weights that the step reads | bytes |
# | $t$ | `"step_s"` | time of the step | s |
# | – | `"bound"` | `"compute"` where the second term of the maximum is larger, else `"memory"` | – |
#
# Write `experts_read(E, k, B)`, and `moe_step_s(B, E, k, layers, expert_bytes, dense_bytes,
# active_params, kv_bytes, n_gpus, bw_Bps, peak_flops)`, which returns a `dict` with exactly the keys
# `"step_s"`, `"bytes"`, `"bound"`.
#
# - No token reads no expert: `experts_read` of `B` 0 is 0. Where `k` is `E`, every token reads all.
# - The cache is read besides the weights, whatever bounds the step; it is no part of `"bytes"`.
# - Error: `k` below 1 or above `E`; `B` negative, and in the step `B` 0; `layers`, `active_params` or
#   `n_gpus` below 1; a negative number of bytes; `bw_Bps` or `peak_flops` not above 0.
#
# **Worked number.** Of 64 experts a token visits 4: 16 tokens read
# << num(experts.experts_read(64, 4, 16)) >>. In 10 layers of experts of 2 MB, with 100 MB dense and
# 50 MB of cache on one GPU of 1 TB/s (100 TFLOP/s, 200e6 active parameters), that is a step of
# << num(experts.moe_step_s(16, 64, 4, 10, 2e6, 100e6, 200_000_000, 50e6, 1, 1e12, 100e12)['step_s'] * 1e3) >>
# ms.


# %% experts_read__solution
def experts_read(E, k, B):
    """Return the expected number of distinct experts of a layer that B tokens visit."""
    ### BEGIN SOLUTION
    if not 1 <= k <= E or B < 0:
        raise ValueError("k must lie between 1 and E, and B must not be negative")
    return E * (1 - (1 - k / E) ** B)
    ### END SOLUTION


def moe_step_s(
    B,
    E,
    k,
    layers,
    expert_bytes,
    dense_bytes,
    active_params,
    kv_bytes,
    n_gpus,
    bw_Bps,
    peak_flops,
):
    """Return step_s [s], bytes of weights that are read, and what bounds the step."""
    ### BEGIN SOLUTION
    if min(B, layers, active_params, n_gpus) < 1:
        raise ValueError("a sequence, a layer, a parameter and a GPU at least")
    if min(expert_bytes, dense_bytes, kv_bytes) < 0 or min(bw_Bps, peak_flops) <= 0:
        raise ValueError("bytes must not be negative, bandwidth and peak be above 0")
    weights = dense_bytes + layers * expert_bytes * experts_read(E, k, B)
    read_s = weights / (n_gpus * bw_Bps)
    compute_s = 2 * active_params * B / (n_gpus * peak_flops)
    return {
        "step_s": kv_bytes / (n_gpus * bw_Bps) + max(read_s, compute_s),
        "bytes": weights,
        "bound": "compute" if compute_s > read_s else "memory",
    }
    ### END SOLUTION


# %%
read = experts_read(E=64, k=4, B=16)
step = moe_step_s(16, 64, 4, 10, 2e6, 100e6, 200_000_000, 50e6, 1, 1e12, 100e12)
print("experts read =", read)
print(step)
check_close(
    [read, 1000 * step["step_s"]],
    [41.21, 0.9742],
    "the worked numbers: experts read, and ms of the step",
    rel_tol=1e-3,
)

# %% experts_read__visible__four_tokens
"""Visible: four tokens of a model with 8 experts, and a step of them on two GPUs."""
from servemath_helpers.notebook import check_calls

check_calls(
    experts_read,
    ((8, 2, 4), 5.46875, "Each token leaves 3/4 of the experts alone; four leave (3/4)^4 of them."),
)
check_calls(
    moe_step_s,
    (
        (4, 8, 2, 16, 1e6, 12.5e6, 1_000_000, 20e6, 2, 1e9, 1e9),
        {"step_s": 0.06, "bytes": 100e6, "bound": "memory"},
        "12.5 MB and 16 layers of 5.47 experts are 100 MB, 50 ms for two GPUs; 10 ms for the cache.",
    ),
)

# %% experts_read__hidden__values
"""Values: experts that many batches read, and what steps read and take."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_close

    check_calls(
        experts_read,
        ((256, 8, 1), 8, "One token reads its own experts."),
        ((4, 2, 3), 3.5, "E (1 - (1 - k/E)^B) for small numbers."),
    )
    check_close(
        experts_read(256, 8, 32),
        163.3,
        "experts_read(256, 8, 32)",
        "The mean number of experts that B tokens read: they meet at many of them.",
        rel_tol=1e-3,
    )

    check_calls(
        moe_step_s,
        (
            # Two products take 4 s, reading 2 s, the cache 1 s: it is never hidden.
            (8, 2, 2, 1, 8, 16, 4, 16, 2, 8, 8),
            {"step_s": 5, "bytes": 32, "bound": "compute"},
            "The cache is read besides, also where computing takes longer than reading weights.",
        ),
    )
    v3 = {
        "E": 256,
        "k": 8,
        "layers": 58,
        "expert_bytes": 44_040_192,
        "dense_bytes": 17_117_648_384,
        "active_params": 37_552_297_472,
        "n_gpus": 8,
        "bw_Bps": 4.8e12,
        "peak_flops": 1978.9e12,
    }
    check_close(
        moe_step_s(B=32, kv_bytes=32 * 4096 * 35_136, **v3),
        {"step_s": 0.011429, "bytes": 434.3e9, "bound": "memory"},
        "a step of DeepSeek-V3, 32 sequences of 4096 tokens, 8 bits, 8 GPUs",
        "All numbers of the statement together; bytes and FLOP are shared by the GPUs.",
        rel_tol=1e-4,
    )

    dice = random.Random(54)
    reads, steps = [], []
    for _ in range(25):
        E = dice.randint(1, 64)
        k, B = dice.randint(1, E), dice.randint(1, 40)
        read = E * (1 - (1 - Fraction(k, E)) ** B)
        reads.append(((E, k, B), float(read)))
        layers, expert, dense, active, kv, n = (dice.randint(1, 50) for _ in range(6))
        weights = dense + layers * expert * read
        slow = Fraction(2 * active * B, n * 7)
        steps.append(
            (
                (B, E, k, layers, expert, dense, active, kv, n, 20, 7),
                {
                    "step_s": float(Fraction(kv, n * 20) + max(weights / (n * 20), slow)),
                    "bytes": float(weights),
                    "bound": "compute" if slow > weights / (n * 20) else "memory",
                },
            )
        )
    check_calls(
        experts_read,
        *reads,
        what="many batches",
        hint="E (1 - (1 - k/E)^B) experts are read by B tokens.",
    )
    check_calls(
        moe_step_s,
        *steps,
        what="many steps",
        hint="Bytes are of the dense part and of the experts read in all layers; the cache is read besides the weights.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% experts_read__hidden__edges
"""Edges: no token, all experts, one expert, a tie, where the bound changes."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_close, check_first

    check_first(experts_read, ((256, 8, 1), 8), ((4, 2, 3), 3.5))
    check_first(
        moe_step_s,
        ((8, 2, 2, 1, 8, 16, 4, 16, 2, 8, 8), {"step_s": 5, "bytes": 32, "bound": "compute"}),
        (
            (4, 8, 2, 16, 1e6, 12.5e6, 1_000_000, 20e6, 2, 1e9, 1e9),
            {"step_s": 0.06, "bytes": 100e6, "bound": "memory"},
        ),
    )

    check_calls(
        experts_read,
        ((4, 1, 0), 0, "No token, no expert."),
        ((5, 5, 0), 0, "No token, no expert, however many each would visit."),
        ((5, 5, 3), 5, "Where every token visits all experts, all are read."),
        ((1, 1, 9), 1, "One expert is read once."),
    )

    check_calls(
        moe_step_s,
        (
            (4, 2, 2, 1, 8, 16, 4, 0, 2, 8, 8),
            {"step_s": 2, "bytes": 32, "bound": "memory"},
            "On a tie the step is bound by memory.",
        ),
        (
            (4, 2, 2, 1, 0, 16, 4, 16, 2, 8, 8),
            {"step_s": 3, "bytes": 16, "bound": "compute"},
            "Nothing forbids experts of no bytes.",
        ),
    )
    v3 = {
        "E": 256,
        "k": 8,
        "layers": 58,
        "expert_bytes": 44_040_192,
        "dense_bytes": 17_117_648_384,
        "active_params": 37_552_297_472,
        "n_gpus": 8,
        "bw_Bps": 4.8e12,
        "peak_flops": 1978.9e12,
    }
    for B, bound in ((3683, "memory"), (3684, "compute")):
        check_close(
            moe_step_s(B=B, kv_bytes=0, **v3)["bound"],
            bound,
            f"what bounds a step of {B} sequences of DeepSeek-V3 without context",
            "A token computes with its active parameters alone, and a large batch reads all.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% experts_read__hidden__refused
"""Refused input: `k` below 1 or above `E`, an empty step, a negative number of bytes, no speed."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    v3 = {
        "E": 256,
        "k": 8,
        "layers": 58,
        "expert_bytes": 44_040_192,
        "dense_bytes": 17_117_648_384,
        "active_params": 37_552_297_472,
        "n_gpus": 8,
        "bw_Bps": 4.8e12,
        "peak_flops": 1978.9e12,
    }
    check_first(experts_read, ((256, 8, 1), 8), ((4, 2, 3), 3.5))
    check_first(
        moe_step_s,
        ((8, 2, 2, 1, 8, 16, 4, 16, 2, 8, 8), {"step_s": 5, "bytes": 32, "bound": "compute"}),
        (
            (4, 8, 2, 16, 1e6, 12.5e6, 1_000_000, 20e6, 2, 1e9, 1e9),
            {"step_s": 0.06, "bytes": 100e6, "bound": "memory"},
        ),
    )

    check_refused(
        experts_read,
        {"E": 8, "k": 2, "B": 4},
        {"k": (0, 9, -1), "B": (-1,), "E": (1, 0)},
        "k lies between 1 and E; a batch is not negative.",
    )
    step = {**v3, "B": 4, "kv_bytes": 1000}
    check_refused(
        moe_step_s,
        step,
        {
            "B": (0,),
            "k": (0, 257),
            "layers": (0,),
            "active_params": (0,),
            "n_gpus": (0,),
            "bw_Bps": (0, -1.0),
            "peak_flops": (0, -1.0),
        },
        "A step has a sequence; what is divided by is above 0.",
    )
    for name in ("expert_bytes", "dense_bytes", "kv_bytes"):
        check_raises(
            lambda name=name: moe_step_s(**{**step, name: -1}),
            ValueError,
            f"moe_step_s(..., {name}=-1)",
            "A negative number of bytes is an error, any of them.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] stored_bytes__statement
# *A checkpoint says "4 bit". How many bytes do its weights take?* Formats of few bits store a scale
# for each block of weights beside them, and some one for the whole tensor:
#
# $$\text{bytes} = \left\lceil \frac{n}{\text{block}} \right\rceil
# \left(\text{block}\cdot\frac{\text{bits}}{8} + \text{scale}\right) + \text{tensor}$$
#
# | `fmt` | bits | block | scale [bytes] | tensor [bytes] | bytes of $n$ weights |
# |:--|--:|--:|--:|--:|:--|
# | `"fp32"` | 32 | – | – | – | $4n$ |
# | `"bf16"`, `"fp16"` | 16 | – | – | – | $2n$ |
# | `"fp8"`, `"int8"` | 8 | – | – | 4 | $n + 4$ |
# | `"mxfp8"` | 8 | 32 | 1 | – | $33\lceil n/32 \rceil$ |
# | `"mxfp4"` | 4 | 32 | 1 | – | $17\lceil n/32 \rceil$ |
# | `"nvfp4"` | 4 | 16 | 1 | 4 | $9\lceil n/16 \rceil + 4$ |
# | `"int4_g128"` | 4 | 128 | 2 | – | $66\lceil n/128 \rceil$ |
#
# Write `stored_bytes(n_weights, fmt)`: the bytes that $n$ = `n_weights` weights of one tensor take, an
# exact whole number.
#
# - A block that is not full takes the room of a full one.
# - No weights take no bytes, in any format.
# - Error: `n_weights` negative or not whole; any other `fmt`.
#
# **Worked number.** 1024 weights in INT4 with groups of 128 take
# << quantisation.stored_bytes(1024, "int4_g128") >> bytes, not 512; in NVFP4
# << quantisation.stored_bytes(1024, "nvfp4") >>.


# %% stored_bytes__solution
def stored_bytes(n_weights, fmt):
    """Return the bytes that the weights of one tensor take, scales included."""
    ### BEGIN SOLUTION
    formats = {  # weights of a block, its bytes, bytes of the tensor besides
        "fp32": (1, 4, 0),
        "bf16": (1, 2, 0),
        "fp16": (1, 2, 0),
        "fp8": (1, 1, 4),
        "int8": (1, 1, 4),
        "mxfp8": (32, 33, 0),
        "mxfp4": (32, 17, 0),
        "nvfp4": (16, 9, 4),
        "int4_g128": (128, 66, 0),
    }
    if fmt not in formats or n_weights < 0 or n_weights != int(n_weights):
        raise ValueError("a known format, and a whole number of weights")
    n, (block, each, besides) = int(n_weights), formats[fmt]
    return -(-n // block) * each + besides if n else 0
    ### END SOLUTION


# %%
stored = [stored_bytes(1024, "int4_g128"), stored_bytes(1024, "nvfp4")]
print(stored)
check_equal(stored, [528, 580], "the worked numbers: 1024 weights in INT4 and in NVFP4")

# %% stored_bytes__visible__one_weight_too_many
"""Visible: two bytes a weight, and a block that is hardly begun."""
from servemath_helpers.notebook import check_calls

check_calls(
    stored_bytes,
    ((100, "bf16"), 200, "A format without scales takes its bits for each of the weights."),
    ((33, "mxfp4"), 34, "33 weights begin a second block of 32, and a block takes 16 + 1 bytes."),
    exact=True,
)

# %% stored_bytes__hidden__values
"""Values: every format, of many tensors."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls

    check_calls(
        stored_bytes,
        (
            (1000, "nvfp4"),
            571,
            "nvfp4: a scale for each block of 16 weights, and one for the tensor.",
        ),
        ((7, "fp8"), 11, "One scale for the whole tensor besides the weights."),
        ((7, "int8"), 11, "One scale for the whole tensor besides the weights."),
        ((7, "fp32"), 28, "A format without scales takes its bits for each of the weights."),
        ((7, "fp16"), 14, "A format without scales takes its bits for each of the weights."),
        (
            (65, "mxfp8"),
            99,
            "Each block of weights has a scale, and one that is not full takes the room of a full one.",
        ),
        exact=True,
    )

    blocks = {"mxfp8": (32, 33, 0), "mxfp4": (32, 17, 0), "nvfp4": (16, 9, 4)}
    blocks["int4_g128"] = (128, 66, 0)
    rows = []
    for n in (1, 15, 16, 17, 31, 32, 127, 128, 255, 257, 4095, 5001):
        for name, (block, each, besides) in blocks.items():
            full, rest = divmod(n, block)
            rows.append(((n, name), each * (full + (rest > 0)) + besides))
    check_calls(
        stored_bytes,
        *rows,
        what="many tensors",
        hint="Weights take whole blocks: one that is not full takes the room of a full one.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% stored_bytes__hidden__edges
"""Edges: blocks that are full and that are not, no weights, very many weights."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    names = ("fp32", "bf16", "fp16", "fp8", "int8", "mxfp8", "mxfp4", "nvfp4", "int4_g128")
    check_first(stored_bytes, ((1000, "nvfp4"), 571), ((7, "fp8"), 11))
    check_calls(
        stored_bytes,
        ((129, "int4_g128"), 132, "A group that is not full takes the room of a full one."),
        ((128, "int4_g128"), 66, "A group that is full begins no other."),
        ((64, "mxfp4"), 34, "A block that is full begins no other."),
        (
            (1, "nvfp4"),
            13,
            "A block that is not full takes the room of a full one, for one weight too.",
        ),
        exact=True,
    )
    check_calls(
        stored_bytes,
        *(((0, name), 0) for name in names),
        what="no weights in every format",
        hint="No weights take no bytes: no scale is stored for nothing.",
        exact=True,
    )
    check_calls(
        stored_bytes,
        ((10**17 + 1, "mxfp4"), 53_125_000_000_000_017),
        ((10**17 + 1, "nvfp4"), 56_250_000_000_000_013),
        ((10**17 + 1, "int4_g128"), 51_562_500_000_000_066),
        ((10**17 + 1, "fp8"), 100_000_000_000_000_005),
        hint="Very many weights: count blocks in whole numbers, a float loses digits.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% stored_bytes__hidden__refused
"""Refused input: `n_weights` negative or not whole, any other `fmt`."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(stored_bytes, ((1000, "nvfp4"), 571), ((7, "fp8"), 11))
    check_refused(
        stored_bytes,
        {"n_weights": 64, "fmt": "mxfp4"},
        {"n_weights": (-1, 3.5), "fmt": ("fp4", "int4", "MXFP4", "")},
        "Weights are counted in whole numbers, and there are nine formats.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] kv_bytes__statement
# *A model's `config.json` lies before you. How many bytes of KV cache does a sequence take?* A layer
# keeps $m$ numbers of $b$ bytes for each token that it remembers:
#
# $$\text{bytes} = b\,m \left( n_{full}\,s + n_{near}\min(s, w) \right), \qquad
# m = 2\,n_{kv}\,d_h \;\text{ or }\; r + d_R$$
#
# | symbol | field, argument | meaning | unit |
# |:--|:--|:--|:--|
# | $s$ | `tokens` | tokens of the sequence | tokens |
# | $b$ | `bytes_per_elem` | bytes of a cached number, exact (2, `"0.5"`, ...) | bytes |
# | $n_{kv}$ | `num_key_value_heads` | KV heads; without it `num_attention_heads` | – |
# | $d_h$ | `head_dim` | numbers of a head; without it `hidden_size // num_attention_heads` | – |
# | $r$, $d_R$ | `kv_lora_rank`, `qk_rope_head_dim` | latent attention: its latent is cached, and no heads | – |
# | $w$ | `sliding_window` | tokens that a sliding layer remembers | tokens |
# | $n_{full}$, $n_{near}$ | see below | layers that remember all, or a window | – |
#
# Write `kv_bytes(config, tokens, bytes_per_elem=2)`: bytes, rounded up to a whole number. `config` is
# the parsed file, a `dict`. If it has a `text_config` that is a `dict`, that one counts in its place.
# A field that is `None` is absent. Which layers do what, the first rule that applies:
#
# 1. `layer_types`: a list with `"full_attention"`, `"sliding_attention"` or `"linear_attention"` for
#    each layer. A linear layer caches nothing.
# 2. `full_attention_interval` $P$: of `num_hidden_layers` layers each $P$-th, counted from 1, is full;
#    the others are linear.
# 3. `sliding_window`, unless `use_sliding_window` is `False`: with a `sliding_window_pattern` $P$ each
#    $P$-th layer, counted from 1, is full and the others slide; without one all slide.
# 4. All layers are full.
#
# - Fields that no rule above names do not matter. No token takes no byte.
# - Error: a field that is needed is absent; another type of layer; a layer that slides without
#   `sliding_window`; `tokens` negative; `bytes_per_elem` not above 0.
#
# **Worked number.** 32 layers, 32 query heads, `hidden_size` 4096, 8 KV heads, and nothing else: 4096
# tokens take
# << num(configs.kv_bytes({"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096, "num_key_value_heads": 8}, 4096) / 2**20) >>
# MiB. With a `sliding_window` of 1000 and a `sliding_window_pattern` of 4 they take
# << num(configs.kv_bytes({"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096, "num_key_value_heads": 8, "sliding_window": 1000, "sliding_window_pattern": 4}, 4096) / 2**20) >>
# MiB.


# %% kv_bytes__solution
def kv_bytes(config, tokens, bytes_per_elem=2):
    """Return the bytes of KV cache that a sequence of `tokens` takes."""
    ### BEGIN SOLUTION
    from servemath_helpers.quantities import exact

    if isinstance(config.get("text_config"), dict):
        config = config["text_config"]

    def need(*names):
        """Return the first of the fields that is there."""
        for name in names:
            if config.get(name) is not None:
                return config[name]
        raise ValueError(f"config has no {' or '.join(names)}")

    size = exact(bytes_per_elem)
    if tokens < 0 or size <= 0:
        raise ValueError("tokens must not be negative, bytes be above 0")
    if config.get("kv_lora_rank") is not None:
        numbers = config["kv_lora_rank"] + need("qk_rope_head_dim")
    else:
        head_dim = config.get("head_dim")
        if head_dim is None:
            head_dim = need("hidden_size") // need("num_attention_heads")
        numbers = 2 * need("num_key_value_heads", "num_attention_heads") * head_dim

    kinds = config.get("layer_types")
    if kinds is not None:
        full, near = kinds.count("full_attention"), kinds.count("sliding_attention")
        if full + near + kinds.count("linear_attention") < len(kinds):
            raise ValueError("another type of layer")
    elif config.get("full_attention_interval") is not None:
        full, near = need("num_hidden_layers") // config["full_attention_interval"], 0
    elif config.get("sliding_window") is None or config.get("use_sliding_window") is False:
        full, near = need("num_hidden_layers"), 0
    else:
        layers, pattern = need("num_hidden_layers"), config.get("sliding_window_pattern")
        full = 0 if pattern is None else layers // pattern
        near = layers - full

    kept = full * tokens
    if near:
        kept += near * min(tokens, need("sliding_window"))
    return -(-size * numbers * kept // 1)
    ### END SOLUTION


# %%
shape = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_size": 4096,
    "num_key_value_heads": 8,
}
sliding = {**shape, "sliding_window": 1000, "sliding_window_pattern": 4}
mib = [kv_bytes(shape, 4096) / 2**20, kv_bytes(sliding, 4096) / 2**20]
print(mib, "MiB")
check_close(mib, [512, 221.8], "the worked numbers: MiB without and with windows", rel_tol=1e-3)

# %% kv_bytes__visible__two_published_models
"""Visible: 1000 tokens of Llama-3-70B and of DeepSeek-V3."""
from servemath_helpers.notebook import check_calls

check_calls(
    kv_bytes,
    (
        (
            {
                "num_hidden_layers": 80,
                "num_attention_heads": 64,
                "hidden_size": 8192,
                "num_key_value_heads": 8,
            },
            1000,
        ),
        327_680_000,
        "Keys and values of 8 KV heads of 8192 / 64 numbers, in 80 layers, 2 bytes each.",
    ),
    (
        (
            {
                "num_hidden_layers": 61,
                "num_attention_heads": 128,
                "hidden_size": 7168,
                "num_key_value_heads": 128,
                "kv_lora_rank": 512,
                "qk_rope_head_dim": 64,
            },
            1000,
        ),
        70_272_000,
        "Latent attention caches one latent of 512 numbers and 64 of the position, and no heads.",
    ),
    exact=True,
)

# %% kv_bytes__hidden__values
"""Values: published models and many configurations, with windows and linear layers."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    gpt_oss = {
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "hidden_size": 2880,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    }
    gemma = {
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "hidden_size": 2560,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
    }
    qwen_next = {
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "hidden_size": 2048,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "full_attention_interval": 4,
        "sliding_window": None,
    }
    mistral = {
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_size": 4096,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    }
    check_calls(
        kv_bytes,
        ((gpt_oss, 4096), 155_713_536, "head_dim is given; half of the layers keep 128 tokens."),
        (
            ({"model_type": "gemma3", "text_config": gemma}, 4096),
            205_520_896,
            "The config of the text model is nested; every so many layers one is full, the others slide.",
        ),
        ((qwen_next, 4096), 100_663_296, "Each fourth layer is full, the others cache nothing."),
        ((mistral, 8192), 536_870_912, "All layers slide, and none keeps more than its window."),
        (
            (
                {
                    "layer_types": ["linear_attention", "sliding_attention", "full_attention"],
                    "full_attention_interval": 3,
                    "sliding_window": 10,
                    "num_key_value_heads": 1,
                    "head_dim": 8,
                },
                25,
            ),
            2 * 2 * 8 * (10 + 25),
            "layer_types comes first, and needs no other field to count layers.",
        ),
        exact=True,
    )

    dice = random.Random(56)
    rows = []
    for _ in range(40):
        layers, heads, kv, d = (dice.randint(2, 40) for _ in range(4))
        w, S, P = dice.randint(1, 60), dice.randint(1, 99), dice.randint(2, 7)
        config = {"num_hidden_layers": layers, "num_attention_heads": heads}
        config |= {"hidden_size": heads * 16, "num_key_value_heads": kv}
        d = d if dice.random() < 0.5 else None
        config["head_dim"] = d
        kind = dice.choice(("full", "interval", "window", "pattern", "list"))
        full = [True] * layers
        if kind == "interval":
            config |= {"full_attention_interval": P, "sliding_window": w}
            kept = sum(S for i in range(1, layers + 1) if i % P == 0)
        elif kind == "list":
            names = [dice.choice(("full", "sliding", "linear")) for _ in range(layers)]
            config |= {"layer_types": [f"{n}_attention" for n in names], "sliding_window": w}
            kept = sum({"full": S, "sliding": min(S, w), "linear": 0}[n] for n in names)
        else:
            if kind != "full":
                config["sliding_window"] = w
                full = [kind == "pattern" and i % P == 0 for i in range(1, layers + 1)]
            if kind == "pattern":
                config["sliding_window_pattern"] = P
            kept = sum(S if whole else min(S, w) for whole in full)
        rows.append(((config, S), 2 * 2 * kv * (d or 16) * kept))
    check_calls(
        kv_bytes,
        *rows,
        what="many configs",
        hint="The rules for layers, window and heads in the order of the statement.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_bytes__hidden__edges
"""Edges: fields that are absent or `None`, a window that is not reached, no token, small numbers."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    gpt_oss = {
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "hidden_size": 2880,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    }
    gemma = {
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "hidden_size": 2560,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
    }
    mistral = {
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_size": 4096,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    }
    small = {"num_hidden_layers": 4, "num_attention_heads": 6, "hidden_size": 48}
    latent = {
        "num_hidden_layers": 3,
        "kv_lora_rank": 20,
        "qk_rope_head_dim": 4,
        "num_attention_heads": 8,
        "hidden_size": 64,
    }
    check_first(
        kv_bytes,
        (({**small, "num_key_value_heads": 2}, 5), 2 * 4 * 2 * 2 * 8 * 5),
        ((latent, 10), 2 * 3 * 24 * 10),
        ((gpt_oss, 4096), 155_713_536),
    )
    check_calls(
        kv_bytes,
        ((mistral, 4000), 524_288_000, "A sequence below the window is kept whole."),
        (
            ({**mistral, "use_sliding_window": False}, 8192),
            1_073_741_824,
            "A window that is switched off counts for nothing.",
        ),
        ((small, 5), 2 * 4 * 2 * 6 * 8 * 5, "Without KV heads every query head has its own."),
        (
            ({**small, "num_key_value_heads": None, "head_dim": None, "sliding_window": None}, 5),
            2 * 4 * 2 * 6 * 8 * 5,
            "A field that is None is absent.",
        ),
        (
            ({**small, "text_config": None, "kv_lora_rank": None, "layer_types": None}, 5),
            2 * 4 * 2 * 6 * 8 * 5,
            "A field that is None is absent.",
        ),
        (
            ({**small, "use_sliding_window": None, "sliding_window": 3}, 5),
            2 * 4 * 2 * 6 * 8 * 3,
            "Only False switches a window off.",
        ),
        (({**gemma, "kv_lora_rank": 20, "qk_rope_head_dim": 4}, 0), 0, "No token, no byte."),
        (
            (
                {
                    "num_hidden_layers": 6,
                    "kv_lora_rank": 20,
                    "qk_rope_head_dim": 4,
                    "sliding_window": 10,
                    "sliding_window_pattern": 2,
                },
                30,
            ),
            2 * 24 * (3 * 30 + 3 * 10),
            "A latent needs no heads, and a window holds for it too.",
        ),
        exact=True,
    )
    check_forms(
        kv_bytes,
        (small, 5, "0.5"),
        4 * 2 * 6 * 8 * 5 // 2,
        "bytes_per_elem is what a number of the cache takes, half a byte too: the bytes are rounded up.",
        exact=True,
    )
    check_calls(
        kv_bytes,
        (
            ({"num_hidden_layers": 3, "kv_lora_rank": 2, "qk_rope_head_dim": 1}, 1, "0.5"),
            5,
            "A part of a byte takes a whole byte: the bytes are rounded up.",
        ),
        (
            ({"num_hidden_layers": 3, "kv_lora_rank": 2, "qk_rope_head_dim": 1}, 1000, 0.1),
            900,
            "bytes_per_elem means exactly what one reads, and the result is rounded up.",
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_bytes__hidden__refused
"""Refused input: a field that is needed is absent, another type of layer, a size not above 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    gpt_oss = {
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "hidden_size": 2880,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    }
    small = {"num_hidden_layers": 4, "num_attention_heads": 6, "hidden_size": 48}
    latent = {
        "num_hidden_layers": 3,
        "kv_lora_rank": 20,
        "qk_rope_head_dim": 4,
        "num_attention_heads": 8,
        "hidden_size": 64,
    }
    check_first(
        kv_bytes,
        (({**small, "num_key_value_heads": 2}, 5), 2 * 4 * 2 * 2 * 8 * 5),
        ((latent, 10), 2 * 3 * 24 * 10),
        ((gpt_oss, 4096), 155_713_536),
    )

    check_refused(
        kv_bytes,
        {"config": gpt_oss, "tokens": 10, "bytes_per_elem": 2},
        {
            "config": (
                {**small, "num_hidden_layers": None},
                {**small, "hidden_size": None},
                {"num_hidden_layers": 4, "hidden_size": 48, "num_key_value_heads": 2},
                {"num_hidden_layers": 4, "head_dim": 48},
                {**small, "kv_lora_rank": 20},
                {**gpt_oss, "layer_types": ["full_attention", "chunked_attention"]},
                {**gpt_oss, "sliding_window": None},
            ),
            "tokens": (-1,),
        },
        "A field that is needed and is absent is an error, not a guess; so is another type of layer.",
    )
    for size in ("0", "-2"):
        check_raises(
            lambda size=size: kv_bytes(small, 5, size),
            ValueError,
            f"kv_bytes(..., bytes_per_elem={size!r})",
            "A number takes more than no bytes.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] two_choices_tail__statement
# *A request may go to any of many replicas. What does it gain by asking two of them how busy they
# are, and when should it go where its prefix is cached?* With $d$ queues looked at, drawn at random,
# the share of replicas with at least $i$ requests tends, for many replicas at load $\rho$, to
#
# $$P(\ge i) = \rho^{\,1 + d + d^2 + \dots + d^{i-1}} = \rho^{\,(d^i - 1)/(d - 1)},
# \qquad d = 1: \;\rho^i$$
#
# A router that knows the caches takes the replica $j$ with the largest
#
# $$s_j = h_j - w\,\frac{l_j - \bar l}{\max(1, \bar l)}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\rho$ | `rho` | load of a replica | – |
# | $d$ | `d` | queues looked at | – |
# | $i$ | `k` | requests at a replica, waiting or served | – |
# | $l_j$, $\bar l$ | `loads` | load of each replica; their mean | requests |
# | $h_j$ | `hits` | share of the prompt that each replica has cached | – |
# | $w$ | `weight` | what a load of twice the mean costs, in shares of the prompt | – |
#
# Write `two_choices_tail(rho, d, k)`, a probability, and `route(loads, hits, weight)`, the index of a
# replica. `loads` and `hits` are lists, tuples or NumPy arrays.
#
# - Every replica has at least no request: 1 for `k` = 0. The exponent may have hundreds of digits;
#   what is left is then 0.
# - Of replicas with equal scores the one with the lower load is taken, then the lower index.
# - Error: `rho` negative or not below 1; `d` below 1; `k` negative; no replica; lengths that differ; a
#   negative load or weight; a hit outside [0, 1].
#
# **Worked number.** At load 0.8 a share << num(fleets.two_choices_tail(0.8, 1, 3)) >> of replicas holds
# three requests or more if nobody looks, and << num(fleets.two_choices_tail(0.8, 2, 3)) >> if each
# looks at two. Loads of 6 and 2, and half of the prompt cached by the first: it goes to replica
# << fleets.route([6, 2], [0.5, 0], 0.25) >> at a weight of 0.25, to
# << fleets.route([6, 2], [0.5, 0], 0.75) >> at 0.75.


# %% two_choices_tail__solution
def two_choices_tail(rho, d, k):
    """Return the share of replicas with at least k requests, each joining the shortest of d."""
    ### BEGIN SOLUTION
    if not 0 <= rho < 1 or d < 1 or k < 0:
        raise ValueError("a load below 1, a choice at least, and no negative count")
    share = 1.0
    for _ in range(k):  # who has k + 1: a load rho of those whose d choices all had k
        share = rho * share**d
    return share
    ### END SOLUTION


def route(loads, hits, weight):
    """Return the index of the replica with the best balance of cached prefix and load."""
    ### BEGIN SOLUTION
    if len(loads) == 0 or len(loads) != len(hits):
        raise ValueError("a load and a hit for each replica, and one replica at least")
    if min(loads) < 0 or weight < 0 or min(hits) < 0 or max(hits) > 1:
        raise ValueError("loads and weight of at least 0, hits in [0, 1]")
    mean = sum(loads) / len(loads)

    def rank(i):
        return -(hits[i] - weight * (loads[i] - mean) / max(1, mean)), loads[i], i

    return min(range(len(loads)), key=rank)
    ### END SOLUTION


# %%
tails = [two_choices_tail(0.8, 1, 3), two_choices_tail(0.8, 2, 3)]
routes = [route([6, 2], [0.5, 0], 0.25), route([6, 2], [0.5, 0], 0.75)]
print(tails, routes)
check_close(tails, [0.512, 0.2097], "the worked numbers: one choice and two", rel_tol=1e-3)
check_equal(routes, [0, 1], "the worked numbers: replicas at two weights")

# %% two_choices_tail__visible__two_queues_and_two_replicas
"""Visible: four requests or more at load 0.9, and two replicas at two weights."""
from servemath_helpers.notebook import check_calls

check_calls(
    two_choices_tail,
    ((0.9, 2, 4), 0.9**15, "The exponent is 1 + 2 + 4 + 8: it doubles with every request."),
)
check_calls(
    route,
    (([3, 1], [0, 0], 1), 1, "Where nothing is cached the lower load is taken."),
    (([3, 1], [0.5, 0], 0.2), 0, "0.5 - 0.2 * 1/2 is more than 0 + 0.2 * 1/2."),
    (([3, 1], [0.5, 0], 0.6), 1, "0.5 - 0.6 * 1/2 is less than 0 + 0.6 * 1/2."),
    exact=True,
)

# %% two_choices_tail__hidden__values
"""Values: shares of loaded replicas for many loads and choices, and many routes."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        two_choices_tail,
        ((0.5, 1, 3), 0.125, "With one choice it is a queue of its own: rho^k."),
        ((0.7, 2, 1), 0.7, "A replica is busy for a share rho of the time, however one chooses."),
        ((0.7, 2, 2), 0.343, "The exponent is a sum of powers of d, one for each request up to k."),
        (
            (0.9, 3, 3),
            0.9**13,
            "The exponent is a sum of powers of d, one for each request up to k.",
        ),
    )
    check_calls(
        two_choices_tail,
        *(
            ((rho, d, k), rho ** sum(d**j for j in range(k)))
            for rho in (0.3, 0.85, 0.99)
            for d in (1, 2, 3, 5)
            for k in range(5)
        ),
        what="many loads and choices",
        hint="The exponent is a sum of powers of d, one for each request up to k.",
    )

    check_calls(
        route,
        (
            ([20, 4, 6, 2], [0.9, 0, 0, 0], 0.39),
            0,
            "A load counts by its ratio to the mean load; the hit may still be worth it.",
        ),
        (
            ([20, 4, 6, 2], [0.9, 0, 0, 0], 0.41),
            3,
            "A load counts by its ratio to the mean load, times weight.",
        ),
        exact=True,
    )

    dice = random.Random(57)
    rows = []
    while len(rows) < 60:
        n = dice.randint(1, 8)
        loads, hits = (
            [dice.randint(0, 9) for _ in range(n)],
            [dice.randint(0, 8) / 8 for _ in range(n)],
        )
        weight = dice.randint(0, 20) / 16
        mean = Fraction(sum(loads), n)
        score = [
            Fraction(hit) - Fraction(weight) * (load - mean) / max(1, mean)
            for load, hit in zip(loads, hits, strict=True)
        ]
        best = min(range(n), key=lambda i: (-score[i], loads[i], i))
        near = [i for i in range(n) if score[best] - score[i] < Fraction(1, 10**6)]
        # What is equal in exact numbers alone need not be so in floats.
        if all((loads[i], hits[i]) == (loads[best], hits[best]) for i in near):
            rows.append(((loads, hits, weight), best))
    check_calls(
        route,
        *rows,
        what="many routes",
        hint="The largest score: hit less weight times the load over the mean; equal scores: the lower load.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% two_choices_tail__hidden__edges
"""Edges: `k` of 0, no load, huge exponents, idle replicas, equal scores, one replica."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(
        two_choices_tail, ((0.5, 1, 3), 0.125), ((0.9, 3, 3), 0.9**13), ((0.9, 2, 4), 0.9**15)
    )
    check_first(
        route,
        (([20, 4, 6, 2], [0.9, 0, 0, 0], 0.39), 0),
        (([20, 4, 6, 2], [0.9, 0, 0, 0], 0.41), 3),
        (([3, 1], [0.5, 0], 0.2), 0),
        (([3, 1], [0.5, 0], 0.6), 1),
    )

    check_calls(
        two_choices_tail,
        ((0.5, 2, 0), 1, "Every replica has at least no request."),
        ((0.5, 1, 0), 1, "Every replica has at least no request."),
        ((0, 2, 0), 1, "Without load all are empty."),
        ((0, 2, 3), 0, "Without load nobody holds three."),
        (
            (0.9, 3, 700),
            0,
            "The exponent may have hundreds of digits: what is left is 0, without an error.",
        ),
    )

    check_calls(
        route,
        (([0, 0, 0], [0, 0.5, 0.25], 1), 1, "All idle: the cache decides, and no mean divides."),
        (([0.5, 0.25], [0.25, 0], 1.5), 1, "max(1, mean) keeps small loads from being blown up."),
        (([0.5, 0.25], [0.5, 0], 1.5), 0, "max(1, mean) keeps small loads from being blown up."),
        (([4, 0], [1, 0], 0.5), 1, "Equal scores: the lower load."),
        (([5, 3, 3], [0.25, 0.25, 0.25], 0), 1, "Equal scores, equal loads: the lower index."),
        (([2, 2, 2], [0, 0, 0], 1), 0, "Equal in everything: the lowest index."),
        (([7], [0], 2), 0, "One replica takes all."),
        exact=True,
    )
    check_forms(route, ([3.0, 1.0], [0.5, 0.0], 0.6), 1, "Lists, tuples and arrays.", exact=True)


hidden_tests()
### END HIDDEN TESTS

# %% two_choices_tail__hidden__refused
"""Refused input: `rho` outside [0, 1), `d` below 1, no replica, lengths that differ, a negative number."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        two_choices_tail, ((0.5, 1, 3), 0.125), ((0.9, 3, 3), 0.9**13), ((0.9, 2, 4), 0.9**15)
    )
    check_first(
        route,
        (([20, 4, 6, 2], [0.9, 0, 0, 0], 0.39), 0),
        (([20, 4, 6, 2], [0.9, 0, 0, 0], 0.41), 3),
        (([3, 1], [0.5, 0], 0.2), 0),
        (([3, 1], [0.5, 0], 0.6), 1),
    )

    check_refused(
        two_choices_tail,
        {"rho": 0.5, "d": 2, "k": 3},
        {"rho": (1, 1.5, -0.1), "d": (0, -1), "k": (-1,)},
        "A load below 1, a choice at least, and no negative count.",
    )
    check_refused(
        route,
        {"loads": [1, 2], "hits": [0, 0.5], "weight": 1},
        {
            "loads": ([], [1], [1, 2, 3], [1, -2], [-0.01, 2]),
            "hits": ([], [0, 1.5], [-0.5, 0], [0, 1.0001], [-0.0001, 0]),
            "weight": (-1,),
        },
        "A load and a hit for each replica, hits in [0, 1], nothing negative.",
    )
    check_refused(route, {"loads": [1], "hits": [0], "weight": 1}, {"weight": (-0.5,)})


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] prefix_hits__statement
# *Prompts come as blocks of tokens, and a replica keeps the KV cache of some blocks. How many blocks
# of each prompt need not be computed?* Keys and values of a block depend on all tokens before it, so
# only **leading** blocks count: those up to the first that is not there.
#
# For each prompt in turn:
#
# 1. Count how many leading blocks of it are in the cache.
# 2. All of its blocks become the newest, its **first block the newest of all**, its last the oldest
#    of them; blocks that are not there yet come in.
# 3. While the cache holds more than its capacity, the oldest block is evicted.
#
# | argument | meaning | unit |
# |:--|:--|:--|
# | `requests` | the blocks of each prompt, from its beginning; a list of lists | blocks |
# | `capacity` | blocks that the cache holds | blocks |
# | (result) | leading blocks that were there when each prompt came, a list | blocks |
#
# Write `prefix_hits(requests, capacity)`. A block has a name, an `int` or a text; equal names are
# equal beginnings up to and including that block.
#
# - The cache is empty at first. One of capacity 0 never has anything; no prompt gives `[]`, and a
#   prompt of no blocks finds 0.
# - A prompt longer than the cache leaves its beginning there: that follows from 2 and 3.
# - Error: `capacity` negative; a block twice in one prompt.
#
# **Worked number.** `[[7, 8], [7, 8, 9], [5], [7, 8, 9]]` find
# << caching.prefix_hits([[7, 8], [7, 8, 9], [5], [7, 8, 9]], 9) >> in a cache of 9 blocks and
# << caching.prefix_hits([[7, 8], [7, 8, 9], [5], [7, 8, 9]], 2) >> in one of 2.


# %% prefix_hits__solution
def prefix_hits(requests, capacity):
    """Return for each prompt how many of its leading blocks the cache had."""
    ### BEGIN SOLUTION
    if capacity < 0 or any(len(set(blocks)) < len(blocks) for blocks in requests):
        raise ValueError("capacity of at least 0, and no block twice in a prompt")
    cache = {}  # from the oldest to the newest
    found = []
    for blocks in requests:
        hits = 0
        while hits < len(blocks) and blocks[hits] in cache:
            hits += 1
        found.append(hits)
        for block in reversed(blocks):
            cache.pop(block, None)
            cache[block] = True
        while len(cache) > capacity:
            del cache[next(iter(cache))]
    return found
    ### END SOLUTION


# %%
prompts = [[7, 8], [7, 8, 9], [5], [7, 8, 9]]
hits = [prefix_hits(prompts, 9), prefix_hits(prompts, 2)]
print(*hits, sep="\n")
check_equal(hits, [[0, 2, 0, 3], [0, 2, 0, 1]], "the worked numbers: caches of 9 blocks and of 2")

# %% prefix_hits__visible__room_for_all
"""Visible: a cache with room for everything."""
from servemath_helpers.notebook import check_calls

check_calls(
    prefix_hits,
    (
        ([[1, 2, 3], [1, 2, 4], [9, 2, 3], [1, 2, 3]], 100),
        [0, 2, 0, 3],
        "Block 2 behind block 9 is another prompt's: only leading blocks count.",
    ),
    exact=True,
)

# %% prefix_hits__hidden__values
"""Values: blocks that prompts find in many traces, and which are evicted."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    check_calls(
        prefix_hits,
        (
            ([[1, 2, 3], [1, 2, 4], [5, 6], [1, 2, 3]], 4),
            [0, 2, 0, 2],
            "Blocks that are used again become the newest; 3 and 4, the ends, go first.",
        ),
        (
            ([[1], [2], [1], [3], [1], [2]], 2),
            [0, 0, 1, 0, 1, 0],
            "A block that is used again is the newest, also where no other came in.",
        ),
        (
            ([[1, 2, 3], [1, 4, 3], [5, 6], [1, 4, 3]], 5),
            [0, 1, 0, 3],
            "All blocks of a prompt become new, also those behind the first that is missing.",
        ),
        (
            ([["a", "b"], ["c", "a"], ["a", "b"]], 3),
            [0, 0, 2],
            "Names may be texts, and a block may begin one prompt and end another.",
        ),
        (
            ([[1, 2], [3, 4], [1, 2, 5], [3, 4]], 4),
            [0, 0, 2, 1],
            "Blocks that a prompt finds need no room a second time.",
        ),
        exact=True,
    )

    dice = random.Random(58)
    rows = []
    for _ in range(40):
        capacity = dice.randint(0, 9)
        trace, used, expected = [], [], []  # used: every use of a block, the latest last
        for _ in range(dice.randint(1, 14)):
            blocks = dice.sample(range(8), dice.randint(0, 5))
            if trace and dice.random() < 0.5:  # an earlier prompt, further
                known = dice.choice(trace)
                blocks = known[: dice.randint(0, 3)] + [b for b in blocks if b not in known]
            latest = list(dict.fromkeys(reversed(used)))[:capacity]
            there = [block in latest for block in blocks]
            expected.append(there.index(False) if False in there else len(blocks))
            trace.append(blocks)
            used += reversed(blocks)
        rows.append(((trace, capacity), expected))
    check_calls(
        prefix_hits,
        *rows,
        what="many traces",
        hint="The blocks of a prompt become the newest, its first one last of all; the oldest go.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% prefix_hits__hidden__edges
"""Edges: no prompt, prompts of no blocks, no room, prompts longer than the cache."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        prefix_hits,
        (([[1, 2, 3], [1, 2, 4], [5, 6], [1, 2, 3]], 4), [0, 2, 0, 2]),
        (([["a", "b"], ["c", "a"], ["a", "b"]], 3), [0, 0, 2]),
        (([[1, 2], [3, 2], [1, 2]], 9), [0, 0, 2]),
    )

    check_calls(
        prefix_hits,
        (([], 5), [], "No prompt, no count."),
        (([[1, 2], [1, 2]], 0), [0, 0], "A cache without room never has anything."),
        (([[1], [], [1]], 5), [0, 0, 1], "A prompt of no blocks finds none and changes nothing."),
        (
            ([[1, 2, 3], [1, 2, 3]], 2),
            [0, 2],
            "Of a prompt that is too long the beginning stays: its first block is the newest.",
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% prefix_hits__hidden__refused
"""Refused input: `capacity` negative, a block twice in one prompt."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        prefix_hits,
        (([[1, 2, 3], [1, 2, 4], [5, 6], [1, 2, 3]], 4), [0, 2, 0, 2]),
        (([["a", "b"], ["c", "a"], ["a", "b"]], 3), [0, 0, 2]),
        (([[1, 2], [3, 2], [1, 2]], 9), [0, 0, 2]),
    )
    check_refused(
        prefix_hits,
        {"requests": [[1, 2], [1, 3]], "capacity": 4},
        {"capacity": (-1,), "requests": ([[1, 2], [3, 1, 3]], [["a", "a"]])},
        "A beginning holds each of its blocks once; no room is the least room.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] pd_split__statement
# *Prompts are computed on some nodes and answers written on others. How many of each keep both
# promises?* A prefill node takes $P$ seconds for a prompt; with $n_p$ of them, each an M/D/1 queue,
#
# $$\rho = \frac{\lambda P}{n_p} < 1, \qquad \mathrm{TTFT} = P + \frac{\rho\,P}{2(1 - \rho)}$$
#
# A decode node gives each of $B$ sequences a token in $\alpha + \beta B$ seconds. One of $n_d$ nodes has to write
# $x$ tokens/s, and so holds as many sequences as that takes:
#
# $$x = \frac{\lambda (n_{out} - 1)}{n_d}, \qquad x\,\beta < 1, \qquad B = \frac{x\,\alpha}{1 - x\,\beta}, \qquad
# \mathrm{TPOT} = \alpha + \beta\max(B, 1) + \frac{t_{move}}{n_{out} - 1}$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | arrival rate | requests/s |
# | $P$ | `prefill_s` | time of one prefill | s |
# | $n_{out}$ | `n_out` | tokens of each answer; prefill gives the first | tokens |
# | $\alpha$, $\beta$ | `base_s`, `per_seq_s` | a decode step: fixed part, part per sequence | s |
# | – | `ttft_s`, `tpot_s` | what is promised: bounds on TTFT and TPOT | s |
# | $t_{move}$ | `transfer_s` | time in which a cache moves to its decode node | s |
# | – | `b_max` | sequences that a decode node holds at most | – |
# | $n_p$, $n_d$ | `"prefill"`, `"decode"` | nodes | – |
# | – | `"ttft"`, `"tpot"`, `"batch"` | TTFT, TPOT and $B$ with these nodes | s, s, – |
#
# Write `pd_split(lam, prefill_s, n_out, base_s, per_seq_s, ttft_s, tpot_s, transfer_s=0.0,
# b_max=256)`: the **least** $n_p$ whose TTFT is within `ttft_s`, and the least $n_d$ with $B$ within `b_max`
# and TPOT within `tpot_s`. Return a `dict` with exactly the five keys, or `None` if no number of nodes
# is enough.
#
# - A bound that is met exactly is met. A load of exactly 1, and $x\,\beta$ of exactly 1, is too much.
# - The transfer delays the second token, and so counts for TPOT, spread over the $n_{out} - 1$ gaps, and
#   never for TTFT.
# - With `n_out` 1 there is nothing to decode: `"decode"` 0, `"tpot"` `None`, `"batch"` 0.
# - Without requests one node of each kind is kept (of decode if there is anything to decode).
# - While requests come, TTFT stays above $P$ however many nodes there are: a bound of exactly $P$ is
#   then kept by none (where $P$ is 0 nobody waits, and it is kept).
# - Error: any argument negative; `n_out` or `b_max` below 1.
#
# **Worked number.** 5 prompts/s of 0.1 s and answers of 101 tokens, steps of 8 ms and 0.1 ms a
# sequence; promised are 0.2 s and 10 ms:
# << fleets.pd_split(5, 0.1, 101, 0.008, 0.0001, 0.2, 0.010)['prefill'] >> node for prefill and
# << fleets.pd_split(5, 0.1, 101, 0.008, 0.0001, 0.2, 0.010)['decode'] >> for decode, TTFT
# << num(fleets.pd_split(5, 0.1, 101, 0.008, 0.0001, 0.2, 0.010)['ttft']) >> s, TPOT
# << num(fleets.pd_split(5, 0.1, 101, 0.008, 0.0001, 0.2, 0.010)['tpot'] * 1e3) >> ms.


# %% pd_split__solution
def pd_split(
    lam,
    prefill_s,
    n_out,
    base_s,
    per_seq_s,
    ttft_s,
    tpot_s,
    transfer_s=0.0,
    b_max=256,
):
    """Return the fewest nodes that keep both bounds, and what they give; None if none do."""
    ### BEGIN SOLUTION
    if min(lam, prefill_s, base_s, per_seq_s, ttft_s, tpot_s, transfer_s) < 0:
        raise ValueError("no argument is negative")
    if min(n_out, b_max) < 1:
        raise ValueError("a token and a sequence at least")

    # More nodes never lower TTFT to P while anybody comes.
    if prefill_s > ttft_s or (prefill_s == ttft_s and lam * prefill_s > 0):
        return None
    p = 0
    ttft = float("inf")
    while ttft > ttft_s:
        p += 1
        rho = lam * prefill_s / p
        if rho < 1:
            ttft = prefill_s + rho * prefill_s / (2 * (1 - rho))
    if n_out == 1:
        return {"prefill": p, "decode": 0, "ttft": ttft, "tpot": None, "batch": 0.0}

    gaps = n_out - 1
    delay = transfer_s / gaps
    if base_s + per_seq_s + delay > tpot_s:
        return None
    d = 0
    while True:
        d += 1
        x = lam * gaps / d
        if x * per_seq_s >= 1:
            continue
        batch = x * base_s / (1 - x * per_seq_s)
        tpot = base_s + per_seq_s * max(batch, 1) + delay
        if batch <= b_max and tpot <= tpot_s:
            return {"prefill": p, "decode": d, "ttft": ttft, "tpot": tpot, "batch": batch}
    ### END SOLUTION


# %%
split = pd_split(5, 0.1, 101, 0.008, 0.0001, ttft_s=0.2, tpot_s=0.010)
print(split)
check_close(
    [split[key] for key in ("prefill", "decode", "ttft", "tpot")],
    [1, 1, 0.15, 0.008421],
    "the worked numbers: nodes, TTFT and TPOT of 5 prompts/s",
    rel_tol=1e-3,
)

# %% pd_split__visible__ten_prompts_a_second
"""Visible: Llama-3-70B on nodes of eight H100, 10 prompts of 4096 tokens a second."""
from servemath_helpers.notebook import check_close

found = pd_split(
    10, 0.151598, 256, 5.2652e-3, 51.646e-6, ttft_s=0.5, tpot_s=0.01, transfer_s=0.0268
)
check_close(
    {key: found[key] for key in ("prefill", "decode")},
    {"prefill": 2, "decode": 1},
    "nodes of pd_split(10, 0.151598, 256, ...)",
    "Two prefill nodes run at a load of 0.76; one decode node has room for what 2550 tokens/s take.",
)
check_close(
    {key: found[key] for key in ("ttft", "tpot", "batch")},
    {"ttft": 0.3889, "tpot": 0.006169, "batch": 15.46},
    "what they give",
    "M/D/1 waits rho P / (2 (1 - rho)); the transfer is spread over the 255 gaps.",
    rel_tol=1e-3,
)

# %% pd_split__hidden__values
"""Values: the least nodes of both kinds that keep the promises, of many services."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    names = ("lam", "prefill_s", "n_out", "base_s", "per_seq_s", "ttft_s", "tpot_s")
    llama = dict(zip(names, (10, 0.151598, 256, 5.2652e-3, 51.646e-6, 0.5, 0.01), strict=True))

    def nodes(**change):
        found = pd_split(**{**llama, **change})
        return found and [found["prefill"], found["decode"]]

    for change, expected, hint in (
        (
            {"lam": 20},
            [4, 1],
            "The load of the prefill nodes must be below 1, and TTFT within its bound.",
        ),
        (
            {"lam": 40},
            [8, 2],
            "Seven prefill nodes wait too long, and one decode node is too slow.",
        ),
        ({"ttft_s": 0.3}, [3, 1], "A tighter promise takes a node more."),
    ):
        check_calls(nodes, (change, expected, hint))

    # Small numbers that floats hold exactly: every bound is met to the last digit.
    check_calls(
        pd_split,
        (
            (300, 0, 2, 1, 0, 0, 9),
            {"prefill": 1, "decode": 2, "ttft": 0, "tpot": 1, "batch": 150},
            "b_max is 256 unless it is given.",
        ),
        (
            (2, 0.25, 5, 0.25, 0.0625, 0.5, 0.75, 1),
            {"prefill": 1, "decode": 1, "ttft": 0.375, "tpot": 0.75, "batch": 4},
            "The transfer delays token 2: 1 s over four gaps, and nothing of TTFT.",
        ),
    )

    dice = random.Random(59)
    rows = []
    while len(rows) < 40:
        lam, n = dice.randint(1, 40), dice.randint(2, 300)
        P, a, b = dice.uniform(0.01, 0.4), dice.uniform(1e-3, 2e-2), dice.uniform(1e-5, 5e-4)
        ttft_s, T, b_max = P * dice.uniform(1.05, 3), dice.uniform(0, 0.2), dice.randint(2, 64)
        tpot_s = (a + b + T / (n - 1)) * dice.uniform(1.02, 2)

        def ttft(p, lam=lam, P=P):
            rho = Fraction(lam) * Fraction(P) / p
            return Fraction(P) * (1 + rho / (2 * (1 - rho))) if rho < 1 else Fraction(10**9)

        def batch(d, lam=lam, n=n, a=a, b=b):
            x = Fraction(lam * (n - 1), d)
            left = 1 - x * Fraction(b)
            return x * Fraction(a) / left if left > 0 else Fraction(10**9)

        def tpot(d, batch=batch, n=n, a=a, b=b, T=T):
            return Fraction(a) + Fraction(b) * max(batch(d), 1) + Fraction(T) / (n - 1)

        p = next(p for p in range(1, 10**4) if ttft(p) <= ttft_s)
        d = next(d for d in range(1, 10**5) if batch(d) <= b_max and tpot(d) <= tpot_s)
        exact = {"ttft": ttft(p), "tpot": tpot(d), "batch": batch(d)}
        found = {"prefill": p, "decode": d} | {key: float(value) for key, value in exact.items()}
        rows.append(((lam, P, n, a, b, ttft_s, tpot_s, T, b_max), found))
    check_calls(
        pd_split,
        *rows,
        what="many services",
        hint="The least number of nodes of each kind that keeps its bound.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% pd_split__hidden__edges
"""Edges: bounds met exactly, promises that nobody keeps, one token, no requests, `b_max`."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    names = ("lam", "prefill_s", "n_out", "base_s", "per_seq_s", "ttft_s", "tpot_s")
    llama = dict(zip(names, (10, 0.151598, 256, 5.2652e-3, 51.646e-6, 0.5, 0.01), strict=True))

    def nodes(**change):
        found = pd_split(**{**llama, **change})
        return found and [found["prefill"], found["decode"]]

    check_first(nodes, ({"lam": 20}, [4, 1]), ({"lam": 40}, [8, 2]), ({"ttft_s": 0.3}, [3, 1]))
    check_first(
        pd_split,
        (
            (2, 0.25, 5, 0.25, 0.0625, 0.5, 0.75, 1),
            {"prefill": 1, "decode": 1, "ttft": 0.375, "tpot": 0.75, "batch": 4},
        ),
    )

    for change, expected, hint in (
        ({"ttft_s": 0.15}, None, "No number of nodes computes a prompt faster than one does."),
        ({"ttft_s": 0.151598}, None, "Who shares a node waits now and then: TTFT is above P."),
        (
            {"transfer_s": 1.342},
            None,
            "The transfer counts for TPOT, spread over the gaps, beside a step.",
        ),
        ({"tpot_s": 0.0053}, None, "A step of a single sequence takes a + b."),
    ):
        check_calls(nodes, (change, expected, hint))

    # Small numbers that floats hold exactly: every bound is met to the last digit.
    check_calls(
        pd_split,
        (
            (8, 0.25, 1, 0.5, 0.25, 0.375, 0),
            {"prefill": 4, "decode": 0, "ttft": 0.375, "tpot": None, "batch": 0},
            "A bound that is met exactly is met; with n_out 1 there is nothing to decode.",
        ),
        (
            (8, 0.125, 1, 0.5, 0.25, 100, 0),
            {"prefill": 2, "decode": 0, "ttft": 0.1875, "tpot": None, "batch": 0},
            "One node would be busy all the time: its queue grows without end.",
        ),
        (
            (1, 0.5, 2, 0.25, 0.5, 1, 1.25),
            {"prefill": 1, "decode": 1, "ttft": 0.75, "tpot": 0.75, "batch": 0.5},
            "A step has at least one sequence, though half of one is there on average.",
        ),
        (
            (2, 0, 2, 0.5, 0.25, 0, 1),
            {"prefill": 1, "decode": 1, "ttft": 0, "tpot": 1, "batch": 2},
            "A bound of TPOT that is met exactly is met.",
        ),
        (
            (4, 0, 2, 0.5, 0.25, 0, 9),
            {"prefill": 1, "decode": 2, "ttft": 0, "tpot": 1, "batch": 2},
            "x b of exactly 1 leaves no time for the fixed part.",
        ),
        (
            (4, 0, 3, 0.5, 0, 0, 9, 0, 2),
            {"prefill": 1, "decode": 2, "ttft": 0, "tpot": 0.5, "batch": 2},
            "A node holds b_max sequences at most, however fast it is.",
        ),
        (
            (4, 0, 3, 0.5, 0, 0, 9, 0, 1),
            {"prefill": 1, "decode": 4, "ttft": 0, "tpot": 0.5, "batch": 1},
            "A node may hold a single sequence.",
        ),
        (
            (512, 0, 3, 0.25, 0, 0, 9),
            {"prefill": 1, "decode": 1, "ttft": 0, "tpot": 0.25, "batch": 256},
            "A node holds 256 sequences unless it is told otherwise.",
        ),
        (
            (514, 0, 3, 0.25, 0, 0, 9),
            {"prefill": 1, "decode": 2, "ttft": 0, "tpot": 0.25, "batch": 128.5},
            "A node holds 256 sequences unless it is told otherwise.",
        ),
        (
            (0, 0.5, 3, 0.25, 0.125, 0.5, 0.5),
            {"prefill": 1, "decode": 1, "ttft": 0.5, "tpot": 0.375, "batch": 0},
            "Without requests one of each is kept, and the first one would not wait.",
        ),
        (
            (0, 0.5, 1, 0.25, 0.125, 0.5, 0.5),
            {"prefill": 1, "decode": 0, "ttft": 0.5, "tpot": None, "batch": 0},
            "Nothing to decode, no node for it.",
        ),
        ((0, 0.5, 3, 0.25, 0.125, 0.25, 9), None, "A prompt alone takes longer than promised."),
        ((0, 0.5, 3, 0.25, 0.125, 1, 0.25), None, "A token alone takes longer than promised."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% pd_split__hidden__refused
"""Refused input: any argument negative, `n_out` or `b_max` below 1."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_raises, check_refused

    names = ("lam", "prefill_s", "n_out", "base_s", "per_seq_s", "ttft_s", "tpot_s")
    llama = dict(zip(names, (10, 0.151598, 256, 5.2652e-3, 51.646e-6, 0.5, 0.01), strict=True))

    def nodes(**change):
        found = pd_split(**{**llama, **change})
        return found and [found["prefill"], found["decode"]]

    check_first(nodes, ({"lam": 20}, [4, 1]), ({"lam": 40}, [8, 2]), ({"ttft_s": 0.3}, [3, 1]))
    check_first(
        pd_split,
        (
            (2, 0.25, 5, 0.25, 0.0625, 0.5, 0.75, 1),
            {"prefill": 1, "decode": 1, "ttft": 0.375, "tpot": 0.75, "batch": 4},
        ),
    )

    check_refused(
        pd_split,
        llama,
        {name: (-0.5,) for name in names if name != "n_out"} | {"n_out": (0, -1)},
        "Nothing is negative, and an answer has a token.",
    )
    for change in ({"transfer_s": -1}, {"b_max": 0}):
        check_raises(
            lambda change=change: pd_split(**{**llama, **change}),
            ValueError,
            f"pd_split(..., {change})",
            "A transfer takes no less than no time, and a node holds a sequence.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] fit_step__statement
# *A log says what each step of a server computed and how long it took. What does a step cost, and how
# far off is that on steps that it was not fitted to?* The model of a step is
#
# $$\hat t = \beta_0 + \beta_1 B + \beta_2 P + \beta_3\,\text{ctx}$$
#
# | symbol | field or key | meaning | unit |
# |:--|:--|:--|:--|
# | $B$ | `"decode"` | sequences that decode in the step | – |
# | $P$ | `"prefill"` | tokens of prompts in it | tokens |
# | ctx | `"context"` | tokens of context that it reads | tokens |
# | $t$ | `"step_s"` | how long the step took | s |
# | $\beta_0 \dots \beta_3$ | `"base_s"`, `"per_decode_s"`, `"per_prefill_s"`, `"per_context_s"` | coefficients | s |
# | – | `"train_error"`, `"held_out_error"` | medians of $\lvert \hat t / t - 1 \rvert$, see below | – |
#
# Write `fit_step(rows)`. `rows` is a list of dicts with the four fields; return a `dict` with exactly
# the six keys.
#
# - Rows 0, 2, 4, ... are fitted, rows 1, 3, 5, ... are held out.
# - Of all coefficients of **at least 0** take those with the least $\sum (\hat t / t - 1)^2$ over the
#   fitted rows: relative errors, so that short steps count as much as long ones.
# - The plain least-squares answer may have a negative coefficient. Setting that to 0 afterwards does
#   not give the best: the others change when it goes. With four coefficients there are only 15 ways
#   to say which of them are not 0.
# - `"train_error"` is the median over the fitted rows, `"held_out_error"` over the held-out ones; of an
#   even number of rows it is the mean of the two in the middle.
# - The coefficient of a field that is 0 in all fitted rows is 0.0. Coefficients count to six digits.
# - Error: fewer than 8 rows; a `step_s` not above 0; another field negative.
#
# **Worked number.** The cell below makes ten steps of 6 ms, 0.1 ms a sequence, 20 us a prompt token
# and 50 ns a token of context. The fit gives back these four, and both errors are 0 but for rounding.


# %% fit_step__solution
def fit_step(rows):
    """Return coefficients of at least 0, fitted to rows 0, 2, ..., and two median errors."""
    ### BEGIN SOLUTION
    from itertools import combinations

    import numpy as np

    if len(rows) < 8:
        raise ValueError("8 rows at least")
    for row in rows:
        if row["step_s"] <= 0 or min(row["decode"], row["prefill"], row["context"]) < 0:
            raise ValueError("times must be above 0, counts not negative")
    # Divided by the time that was measured: what is to be 1 for each row.
    shares = np.array(
        [
            [1 / r["step_s"], *(r[f] / r["step_s"] for f in ("decode", "prefill", "context"))]
            for r in rows
        ]
    )
    train = shares[::2]
    scale = np.abs(train).max(axis=0)
    scale[scale == 0] = 1
    best, least = np.zeros(4), float(len(train))
    for count in range(1, 5):
        for chosen in map(list, combinations(range(4), count)):
            found = np.zeros(4)
            part = (train / scale)[:, chosen]
            found[chosen] = np.linalg.lstsq(part, np.ones(len(train)), rcond=None)[0]
            loss = np.sum((train @ (found / scale) - 1) ** 2)
            if found.min() >= 0 and loss < least:
                best, least = found / scale, loss
    off = np.abs(shares @ best - 1)
    names = ("base_s", "per_decode_s", "per_prefill_s", "per_context_s")
    return {
        **dict(zip(names, best.tolist(), strict=True)),
        "train_error": float(np.median(off[::2])),
        "held_out_error": float(np.median(off[1::2])),
    }
    ### END SOLUTION


# %%
log = [
    {
        "decode": n,
        "prefill": 256 * (n % 3 == 0),
        "context": 100 * n * n,
        "step_s": 6e-3 + 1e-4 * n + 2e-5 * 256 * (n % 3 == 0) + 5e-8 * 100 * n * n,
    }
    for n in range(1, 11)
]
fit = fit_step(log)
print(fit)
check_close(
    [fit[f"{name}_s"] for name in ("base", "per_decode", "per_prefill", "per_context")],
    [6e-3, 1e-4, 2e-5, 5e-8],
    "the worked numbers: what made the ten steps",
    rel_tol=1e-6,
    abs_tol=0,
)

# %% fit_step__visible__steps_without_noise
"""Visible: fourteen steps that the model itself made."""
from servemath_helpers.notebook import check_close

made = [
    {"decode": 2 * i, "prefill": 512 * (i % 4 == 1), "context": 300 * i * i}
    for i in (3, 1, 4, 5, 9, 2, 6, 7, 8, 10, 12, 11, 13, 17)
]
for row in made:
    row["step_s"] = 0.01 + 2e-4 * row["decode"] + 3e-5 * row["prefill"] + 1e-7 * row["context"]
fitted = fit_step(made)
check_close(
    [fitted[f"{name}_s"] for name in ("base", "per_decode", "per_prefill", "per_context")],
    [0.01, 2e-4, 3e-5, 1e-7],
    "coefficients of fit_step(rows)",
    "Without noise the fit gives back what made the steps: is there a constant in it?",
    rel_tol=1e-6,
    abs_tol=0,
)
check_close(
    [fitted["train_error"], fitted["held_out_error"]],
    [0, 0],
    "errors of fit_step(rows)",
    "Every step is what the model says, and an error is relative: abs(fitted / measured - 1).",
    abs_tol=1e-8,
)

# %% fit_step__hidden__values
"""Values: coefficients and errors of noisy steps, few rows and many."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import copy
    import random
    import statistics
    from itertools import combinations

    import numpy as np

    from servemath_helpers.notebook import check_close, check_true

    fields = ("decode", "prefill", "context")
    names = ("base_s", "per_decode_s", "per_prefill_s", "per_context_s")

    def made(n, truth, noise, seed, zero=()):
        dice = random.Random(seed)
        rows = []
        for _ in range(n):
            row = {"decode": dice.randint(1, 64), "prefill": 128 * dice.choice((0, 0, 1, 2, 4))}
            row["context"] = row["decode"] * dice.randint(50, 2500)
            row |= dict.fromkeys(zero, 0)
            step = truth[0] + sum(c * row[f] for c, f in zip(truth[1:], fields, strict=True))
            rows.append({**row, "step_s": step * dice.lognormvariate(0, noise)})
        return rows

    def answer(rows):
        """Try all 15 subsets by their normal equations."""
        shares = np.array([[1.0, *(r[f] for f in fields)] for r in rows])
        shares /= np.array([[r["step_s"]] for r in rows])
        train = shares[::2]
        size = np.linalg.norm(train, axis=0)
        used = [i for i in range(4) if size[i] > 0]
        best, least = np.zeros(4), float(len(train))
        for count in range(1, len(used) + 1):
            for chosen in map(list, combinations(used, count)):
                part = train[:, chosen] / size[chosen]
                found = np.linalg.solve(part.T @ part, part.sum(axis=0))
                loss = float(np.sum((part @ found - 1) ** 2))
                if found.min() >= 0 and loss < least:
                    best, least = np.zeros(4), loss
                    best[chosen] = found / size[chosen]
        off = np.abs(shares @ best - 1).tolist()
        errors = statistics.median(off[::2]), statistics.median(off[1::2])
        return best.tolist(), list(errors)

    plain = (8e-3, 1e-4, 4e-5, 2e-7)
    cases = [
        ("noise of 10 %", made(38, plain, 0.1, 1)),
        ("noise of 30 %", made(62, plain, 0.3, 2)),
        ("ten rows", made(10, plain, 0.05, 3)),
    ]
    for what, rows in cases:
        before = copy.deepcopy(rows)
        coefficients, errors = answer(rows)
        fitted = fit_step(rows)
        check_true(rows == before, f"fit_step leaves its rows as they are: {what}")
        check_true(
            isinstance(fitted, dict)
            and sorted(fitted) == sorted((*names, "train_error", "held_out_error")),
            f"fit_step returns the six keys: {what}",
        )
        check_close(
            [fitted[name] for name in names],
            coefficients,
            f"coefficients of fit_step: {what}",
            "Even rows, relative errors, and of all coefficients of at least 0 the best.",
            rel_tol=1e-6,
            abs_tol=1e-13,
        )
        check_close(
            [fitted["train_error"], fitted["held_out_error"]],
            errors,
            f"errors of fit_step: {what}",
            "Medians of abs(fitted / measured - 1), over fitted rows and over held-out ones.",
            rel_tol=1e-6,
            abs_tol=1e-9,
        )


hidden_tests()
### END HIDDEN TESTS

# %% fit_step__hidden__edges
"""Edges: fits that would go negative, fields that are 0 in all rows."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import copy
    import random
    import statistics
    from itertools import combinations

    import numpy as np

    from servemath_helpers.notebook import check_close, check_first, check_true

    fields = ("decode", "prefill", "context")
    names = ("base_s", "per_decode_s", "per_prefill_s", "per_context_s")

    def made(n, truth, noise, seed, zero=()):
        dice = random.Random(seed)
        rows = []
        for _ in range(n):
            row = {"decode": dice.randint(1, 64), "prefill": 128 * dice.choice((0, 0, 1, 2, 4))}
            row["context"] = row["decode"] * dice.randint(50, 2500)
            row |= dict.fromkeys(zero, 0)
            step = truth[0] + sum(c * row[f] for c, f in zip(truth[1:], fields, strict=True))
            rows.append({**row, "step_s": step * dice.lognormvariate(0, noise)})
        return rows

    def answer(rows):
        """Try all 15 subsets by their normal equations."""
        shares = np.array([[1.0, *(r[f] for f in fields)] for r in rows])
        shares /= np.array([[r["step_s"]] for r in rows])
        train = shares[::2]
        size = np.linalg.norm(train, axis=0)
        used = [i for i in range(4) if size[i] > 0]
        best, least = np.zeros(4), float(len(train))
        for count in range(1, len(used) + 1):
            for chosen in map(list, combinations(used, count)):
                part = train[:, chosen] / size[chosen]
                found = np.linalg.solve(part.T @ part, part.sum(axis=0))
                loss = float(np.sum((part @ found - 1) ** 2))
                if found.min() >= 0 and loss < least:
                    best, least = np.zeros(4), loss
                    best[chosen] = found / size[chosen]
        off = np.abs(shares @ best - 1).tolist()
        errors = statistics.median(off[::2]), statistics.median(off[1::2])
        return best.tolist(), list(errors)

    plain = (8e-3, 1e-4, 4e-5, 2e-7)
    cases = [
        ("steps that get shorter with each sequence", made(30, (0.03, -2e-4, 4e-5, 1e-7), 0.05, 4)),
        ("steps without a constant", made(30, (-4e-4, 1e-3, 4e-5, 1e-7), 0.05, 8)),
        ("noise and no prompt", made(26, plain, 0.1, 6, zero=("prefill",))),
        ("nothing but the constant", made(10, (0.02, 0, 0, 0), 0.1, 7, zero=fields)),
        ("eight rows, which are enough", made(8, plain, 0.1, 5, zero=("prefill",))),
    ]
    check_first(
        lambda rows: [fit_step(rows)[name] for name in names],
        ((made(10, (1.0, 0.5, 0.25, 0.125), 0, 3),), [1.0, 0.5, 0.25, 0.125]),
        abs_tol=1e-4,
    )
    for what, rows in cases:
        before = copy.deepcopy(rows)
        coefficients, errors = answer(rows)
        fitted = fit_step(rows)
        check_true(rows == before, f"fit_step leaves its rows as they are: {what}")
        check_true(
            isinstance(fitted, dict)
            and sorted(fitted) == sorted((*names, "train_error", "held_out_error")),
            f"fit_step returns the six keys: {what}",
        )
        check_close(
            [fitted[name] for name in names],
            coefficients,
            f"coefficients of fit_step: {what}",
            "Even rows, relative errors, and of all coefficients of at least 0 the best.",
            rel_tol=1e-6,
            abs_tol=1e-13,
        )
        check_close(
            [fitted["train_error"], fitted["held_out_error"]],
            errors,
            f"errors of fit_step: {what}",
            "Medians of abs(fitted / measured - 1), over fitted rows and over held-out ones.",
            rel_tol=1e-6,
            abs_tol=1e-9,
        )


hidden_tests()
### END HIDDEN TESTS

# %% fit_step__hidden__refused
"""Refused input: fewer than 8 rows, a `step_s` not above 0, another field negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_first, check_refused

    fields = ("decode", "prefill", "context")
    names = ("base_s", "per_decode_s", "per_prefill_s", "per_context_s")

    def made(n, truth, noise, seed, zero=()):
        dice = random.Random(seed)
        rows = []
        for _ in range(n):
            row = {"decode": dice.randint(1, 64), "prefill": 128 * dice.choice((0, 0, 1, 2, 4))}
            row["context"] = row["decode"] * dice.randint(50, 2500)
            row |= dict.fromkeys(zero, 0)
            step = truth[0] + sum(c * row[f] for c, f in zip(truth[1:], fields, strict=True))
            rows.append({**row, "step_s": step * dice.lognormvariate(0, noise)})
        return rows

    plain = (8e-3, 1e-4, 4e-5, 2e-7)

    good = made(9, plain, 0.1, 9)
    check_first(
        lambda rows: [fit_step(rows)[name] for name in names],
        ((made(10, (1.0, 0.5, 0.25, 0.125), 0, 3),), [1.0, 0.5, 0.25, 0.125]),
        abs_tol=1e-4,
    )
    check_refused(
        fit_step,
        {"rows": good},
        {
            "rows": (
                good[:7],
                [],
                [*good[:8], {**good[8], "step_s": 0}],
                [*good[:8], {**good[8], "step_s": -0.01}],
                *([*good[:8], {**good[8], field: -1}] for field in fields),
            )
        },
        "Eight rows at least; a step takes time; nothing is counted below 0.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] plan_fleet__statement
# *Here are a trace, the replicas on offer and a promise. Which kind do you rent, and how many, so
# that the promise is kept and the bill is small?*
#
# This is the course's last exercise, and no table of answers stands behind it. Your function returns
# a **plan**; the tests play it in the simulator, and its points follow from what it does there. Two
# questions are asked, in this order:
#
# $$\frac{\text{requests kept}}{\text{all requests}} \ge \text{share}, \qquad
# \text{points} = \frac{c^*}{c} \;\text{ with }\; c = r \cdot usd\_h$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | – | `trace` | a list of dicts in the order of arrival: `arrival_s`, `prompt`, `output` | s, tokens, tokens |
# | – | `options` | a list of dicts, one for each kind of replica | – |
# | – | `name`, `max_replicas` | of an option: what it is called, how many there are | – |
# | – | `usd_h` | of an option: what one replica costs, exact, such as `"1.20"` | $/h |
# | – | `max_batch`, `kv_tokens` | of an option: sequences at a time, tokens that the cache holds | – |
# | – | `base_s`, `per_decode_s`, `per_prefill_token_s`, `per_context_token_s` | of an option: the parameters of `LinearStep` | s |
# | – | `slo` | a dict: `ttft_s`, `tpot_s`, and `share`, exact, such as `"0.95"` | s, s, – |
# | $r$ | `"replicas"` | replicas of the plan, an `int` from 1 to `max_replicas` | – |
# | – | `"name"` | the `name` of the option that it takes | – |
# | $c$ | – | cost of the plan; $c^*$ is the least cost of all plans that keep the promise | $/h |
#
# Write `plan_fleet(trace, options, slo)`. Return a `dict` with exactly the keys `"name"` and
# `"replicas"`, or `None` if no plan keeps the promise.
#
# - **How a plan is played.** Request $i$, counted from 0, goes to replica $i \bmod r$. Each replica
#   is `simulate_llm` with
#   `LLMServer(step_time=LinearStep(...), max_batch=..., kv_tokens=..., oversize="reject")`.
# - **A request is kept** if its status is `"ok"`, its TTFT is at most `ttft_s`, and its TPOT at most
#   `tpot_s`. An answer of one token has no TPOT: its TTFT decides.
# - **Points.** A plan that breaks the promise earns nothing, however cheap. One that keeps it earns
#   $c^*/c$ of the points, and nothing below one half. `None` earns all if it is right, else nothing.
#   Plans of equal cost are equally good. Points are rounded down to hundredths.
# - More replicas do not always keep more requests: the requests that meet at a replica are others.
# - The visible test plays one trace. Each of the << exercises['plan_fleet'].scenarios >> hidden ones plays a
#   few traces of one kind, with options and promises of their own, and its worst plan counts: long
#   prompts, long answers, bursts, and promises that may be too much for anybody.
# - A trace has 600 requests at most, and `options` allow 25 plans at most. All tests together give
#   your function << exercises['plan_fleet'].seconds >> s.
# - No option: `None`. Error: no request.
#
# Use the simulator (`simulate_llm`, `simulate_fleet`) as you like; that is what it is for.
# `fleetplans.judge_plan` and `fleetplans.plan_fleet` of the package are the tests' own: play with
# them, but a solution that calls them earns nothing.
#
# **Worked number.** Of the first 100 requests of the trace below, one small replica keeps
# << fleetplans.judge_plan({'name': 'small', 'replicas': 1}, fleetplans.example().trace[:100], *fleetplans.example()[1:]).good >>,
# two keep
# << fleetplans.judge_plan({'name': 'small', 'replicas': 2}, fleetplans.example().trace[:100], *fleetplans.example()[1:]).good >>,
# one medium keeps
# << fleetplans.judge_plan({'name': 'medium', 'replicas': 1}, fleetplans.example().trace[:100], *fleetplans.example()[1:]).good >>:
# the plan is << fleetplans.plan_fleet(fleetplans.example().trace[:100], *fleetplans.example()[1:])['replicas'] >> ×
# << fleetplans.plan_fleet(fleetplans.example().trace[:100], *fleetplans.example()[1:])['name'] >>.


# %% plan_fleet__solution
def plan_fleet(trace, options, slo):
    """Return the cheapest plan, name and replicas, that keeps the promise; None if none does."""
    ### BEGIN SOLUTION
    from fractions import Fraction

    from servemath_helpers.sim import LinearStep, LLMServer, Requests, simulate_llm

    if not trace:
        raise ValueError("a plan needs requests")

    def kept(part, option):
        step = LinearStep(**{key: option[key] for key in option if key.endswith("_s")})
        limits = {key: option[key] for key in ("max_batch", "kv_tokens")}
        server = LLMServer(step_time=step, oversize="reject", **limits)
        columns = ([one[key] for one in part] for key in ("arrival_s", "prompt", "output"))
        run = simulate_llm(Requests(*columns), server)
        # No number is above a bound if there is none: one token has no TPOT.
        broken = (run.ttft_s > slo["ttft_s"]) | (run.tpot_s > slo["tpot_s"])
        return int(((run.status == "ok") & ~broken).sum())

    plans = [
        (r * Fraction(option["usd_h"]), r, place)
        for place, option in enumerate(options)
        for r in range(1, option["max_replicas"] + 1)
    ]
    for _, r, place in sorted(plans):
        parts = (trace[first::r] for first in range(min(r, len(trace))))
        good = sum(kept(part, options[place]) for part in parts)
        if good >= Fraction(slo["share"]) * len(trace):
            return {"name": options[place]["name"], "replicas": r}
    return None
    ### END SOLUTION


# %%
from servemath_helpers import fleetplans

trace, options, slo = fleetplans.example()
print(trace[0], options[0], slo, sep="\n")
plan = plan_fleet(trace[:100], options, slo)
print(plan)
check_equal(plan, {"name": "medium", "replicas": 1}, "the worked plan: the first 100 requests")

# %% plan_fleet__visible__the_example_trace
"""Visible: the plan for one trace of mixed traffic, six requests a second."""
from servemath_helpers import fleetplans

fleetplans.check_plans(plan_fleet, fleetplans.example())

# %% plan_fleet__hidden__long_prompts
"""Hidden: long prompts, answers of a few tokens or one, some too large for a small cache."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import numpy as np

    from servemath_helpers import fleetplans
    from servemath_helpers.sim import arrivals

    def scenario(seed, rate_rps, ca2, median, kv_tokens):
        rng = np.random.default_rng(seed)
        return fleetplans.Scenario(
            fleetplans.traffic(
                arrivals.bursty(400, rate_rps, ca2, rng),
                rng,
                prompt=(median, 0.7, 16_000),
                output=(4, 60),
            ),
            fleetplans.offers(
                ("lean", "0.90", 12, 8, kv_tokens, 0.012, 2e-4, 6e-5, 2e-7),
                ("broad", "2.45", 5, 32, 20_000, 0.010, 1e-4, 2.2e-5, 8e-8),
                ("swift", "4.10", 4, 64, 120_000, 0.007, 6e-5, 1.1e-5, 3e-8),
            ),
            {"ttft_s": 1.5, "tpot_s": 0.12, "share": "0.96"},
        )

    return fleetplans.check_plans(
        plan_fleet,
        scenario(2, 9, 3, 7.6, 12_000),
        scenario(7, 9, 3, 7.6, 12_000),
        scenario(2, 8, 2, 7.7, 7_500),
    )


hidden_tests()
### END HIDDEN TESTS

# %% plan_fleet__hidden__long_answers
"""Hidden: short prompts, answers of hundreds of tokens, a promise on the time between tokens."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import numpy as np

    from servemath_helpers import fleetplans
    from servemath_helpers.sim import arrivals

    def scenario(seed):
        rng = np.random.default_rng(seed)
        return fleetplans.Scenario(
            fleetplans.traffic(
                arrivals.bursty(400, 3, 1.5, rng), rng, prompt=(5.2, 0.9, 3000), output=(420, 2000)
            ),
            fleetplans.offers(
                ("drum", "1.35", 9, 24, 40_000, 0.013, 3.5e-4, 9e-5, 2.5e-7),
                ("horn", "2.95", 6, 48, 110_000, 0.011, 2e-4, 5e-5, 1e-7),
                ("harp", "4.60", 5, 96, 400_000, 0.009, 9e-5, 3e-5, 4e-8),
            ),
            {"ttft_s": 2.0, "tpot_s": 0.021, "share": "0.93"},
        )

    return fleetplans.check_plans(plan_fleet, scenario(2), scenario(3))


hidden_tests()
### END HIDDEN TESTS

# %% plan_fleet__hidden__bursts
"""Hidden: quiet and busy spells, and a trace in which large requests come at a beat."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import numpy as np

    from servemath_helpers import fleetplans
    from servemath_helpers.sim import arrivals

    rng = np.random.default_rng(8)
    spells = fleetplans.Scenario(
        fleetplans.traffic(
            arrivals.markov_modulated(450, [2, 22], [20, 6], rng),
            rng,
            prompt=(6.3, 0.9, 6000),
            output=(150, 800),
        ),
        fleetplans.offers(
            ("amber", "0.75", 14, 10, 16_000, 0.012, 2e-4, 9e-5, 2e-7),
            ("cobalt", "2.20", 6, 40, 90_000, 0.010, 9e-5, 4e-5, 7e-8),
            ("violet", "5.80", 4, 120, 500_000, 0.007, 4e-5, 1.6e-5, 2e-8),
        ),
        {"ttft_s": 1.2, "tpot_s": 0.035, "share": "0.90"},
    )
    rng = np.random.default_rng(1)
    beat = fleetplans.traffic(
        arrivals.markov_modulated(420, [4, 16], [20, 6], rng),
        rng,
        prompt=(5.6, 0.6, 3000),
        output=(110, 600),
    )
    for one in beat[::6]:  # of six replicas one gets them all: five are better
        one["prompt"] += 4500
    return fleetplans.check_plans(
        plan_fleet,
        spells,
        fleetplans.Scenario(
            beat,
            fleetplans.offers(
                ("topaz", "0.80", 12, 10, 24_000, 0.012, 2e-4, 1.0e-4, 2e-7),
                ("quartz", "5.10", 4, 40, 90_000, 0.010, 9e-5, 4e-5, 7e-8),
            ),
            {"ttft_s": 0.9, "tpot_s": 0.05, "share": "0.90"},
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% plan_fleet__hidden__too_much_for_anybody
"""Hidden: promises that no plan keeps, one that a plan does, nothing on offer, no requests."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import numpy as np

    from servemath_helpers import fleetplans
    from servemath_helpers.notebook import check_equal, check_raises
    from servemath_helpers.sim import arrivals

    def scenario(tpot_s, prompt, ttft_s, small, *others):
        rng = np.random.default_rng(2)
        return fleetplans.Scenario(
            fleetplans.traffic(
                arrivals.bursty(300, 5, 2.5, rng), rng, prompt=prompt, output=(160, 800)
            ),
            fleetplans.offers(("oak", "1.10", 8, 16, small, 0.012, 2e-4, 1.1e-4, 2e-7), *others),
            {"ttft_s": ttft_s, "tpot_s": tpot_s, "share": "0.95"},
        )

    elm = ("elm", "3.20", 5, 64, 150_000, 0.010, 8e-5, 4e-5, 6e-8)
    ash = ("ash", "7.70", 3, 128, 600_000, 0.008, 3e-5, 1.5e-5, 2e-8)
    usual = scenario(0.0125, (6.8, 0.8, 9000), 1.0, 30_000, elm, ash)
    check_equal(
        plan_fleet(usual.trace[:30], [], usual.slo),
        None,
        "plan_fleet(trace, [], slo)",
        "Where nothing is on offer, nothing keeps a promise.",
    )
    check_raises(
        lambda: plan_fleet([], usual.options, usual.slo),
        ValueError,
        "plan_fleet([], options, slo)",
        "Without requests there is nothing to plan for.",
    )
    return fleetplans.check_plans(
        plan_fleet,
        scenario(0.0088, (6.8, 0.8, 9000), 1.0, 30_000, elm, ash),
        usual,
        scenario(0.05, (7.4, 1.1, 60_000), 4.0, 6_000, (*elm[:4], 9_000, *elm[5:])),
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Somebody sends you a slide: "our server is 30 % faster, P99 TPOT 41 ms against 58". Write down, in
# a few sentences in the next cell, what you would ask before you believe it, and which of the
# << count >> functions above would help you to check the answer. A person may read and comment on it.
#
# **What a reader looks for**
#
# - questions about how it was measured, not only about what
# - for at least one question, which answer would make the claim worthless
# - functions from this chapter that check an answer, and on which data

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: I would ask which tool measured, since the time per output token of one
# answer has two values; whether clients waited for answers, since a closed loop slows its own
# traffic and leaves out the requests that a stall would have met; and how long the test was, since a
# queue that grows has any P99 one waits for. Then I would ask for the log, compute both tools'
# numbers from it, correct the omission, and fit a step time to it with rows held out.
# ### END SOLUTION

# %% [markdown]
# ## What to keep
#
# A number without its definition is a word. Before you compare two measurements, make them measure
# the same thing; before you trust a model, let it predict what it has not seen; and before you buy
# a fleet, play the trace.
