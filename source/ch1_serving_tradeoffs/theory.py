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
# # Chapter 1 · Serving and systems tradeoffs
#
# A trained model is a file. A served model is a promise: so many users, so fast, so often right,
# at such a price. This chapter gives you the arithmetic of that promise. None of it is difficult;
# nearly all of it is done wrong somewhere today, and the errors are expensive.
#
# **After this chapter you can**
#
# - turn an arrival rate and a latency into the number of requests in flight, and back;
# - say how much latency a given utilisation costs, in the mean and at the 99th percentile;
# - split a user's wait into queue, prefill, decode and post-processing, and budget each;
# - find how many requests fit into a GPU, what a token costs, and how many replicas to run;
# - spend an error budget deliberately, and read a tail percentile with its uncertainty;
# - choose what to give up when not everything fits: which request, which feature, which version.
#
# ## Map
#
# | sections | subject | the question behind it |
# |---|---|---|
# | 1.0 | units | which number do I believe? |
# | 1.1–1.2 | queues | how many are waiting, and for how long? |
# | 1.3–1.5 | one request, one batch, one GPU | where do time and memory go? |
# | 1.6–1.8 | money and replicas | what does it cost, and how many do I need? |
# | 1.9–1.12 | promises | did we keep our word, and can we prove it? |
# | 1.13–1.15 | control | what do we do when demand, hardware or a release misbehaves? |
#
# ## How to read
#
# Every section has one rhythm: a question, a formula with units, the argument for it, the numbers
# computed in front of you, the common mistake, and one question to check yourself. Nothing here
# is graded. Replace `answer = None` by your answer, run the cell, and it tells you at once; three
# significant digits are enough. A first miss is told what kind of miss it looks like, a second one
# gets a hint, and `answer = "?"` shows the worked answer. The code of the pictures is folded away: a click on the three
# dots opens it, and below each picture its numbers stand in a table. The graded exercises are in
# the notebook beside this one.
#
# ## Symbols
#
# << symbols("lam", "mu", "S", "c", "rho", "W", "L", "SB", "n_out") >>
#
# All symbols of the course stand in [one table](../../docs/symbols.md), its terms in a
# [glossary](../../docs/glossary.md).

# %%
import math
from fractions import Fraction

import numpy as np

from servemath_helpers import (
    batching,
    caching,
    capacity,
    cost,
    experiments,
    facts,
    latency,
    memory,
    quantities,
    queueing,
    reliability,
    roofline,
    scheduling,
    traces,
)
from servemath_helpers.notebook import COLORS, check_yourself, plt, rng, show

# %% [markdown]
# ## 1.0 Numbers and units
#
# **Question.** The data sheet says 80 GB, the driver says something else, and the capacity script
# comes out one request short of the arithmetic on the whiteboard. Which number do you believe?
#
# $$1\ \mathrm{GB} = 10^9\ \mathrm{bytes}, \qquad 1\ \mathrm{GiB} = 2^{30}\ \mathrm{bytes}
# = << fixed(quantities.bytes_to_gb(quantities.GIB), 3) >>\ \mathrm{GB}$$
#
# The two differ by << fixed(100 * (quantities.bytes_to_gb(quantities.GIB) - 1), 1) >> %. That is
# more than most of the optimisations you will be asked to make, so a unit belongs in every name:
# `weights_gb`, `pool_bytes`, `ttft_s`. In this course GB is decimal and GiB is binary, always.

# %%
sold_as_gb = 80
reported_mib = 81_559  # what the driver lists for an H100 SXM

sold_bytes = quantities.gb_to_bytes(sold_as_gb)
reported_bytes = reported_mib * 2**20

print(f"{'card':<10} {'bytes':>15} {'GB':>7} {'GiB':>7}")
for name, n in [("label", sold_bytes), ("driver", reported_bytes)]:
    gb, gib = quantities.bytes_to_gb(n), quantities.bytes_to_gib(n)
    print(f"{name:<10} {n:>15,} {gb:>7.2f} {gib:>7.2f}")

# %% [markdown]
# So this label, read to the letter, is the cautious number: the card holds a little more. A label
# read in the other unit is not: a card sold as 24 GB may show 23.65 GiB to a program, more than
# 24 GB (<< fixed(23.65 * 2**30 / 1e9, 1) >>) and less than 24 GiB. We plan with the label in decimal
# GB and let the difference be a reserve that nobody has to defend.
#
# The second trap is in the computer. Most decimal fractions have no finite binary form, so the
# double nearest to 0.8 is not eight tenths. For measured quantities that does not matter. For
# counting *whole* requests it does, because a floor turns an error in the seventeenth digit into
# an error of one.

# %%
print("eight tenths, as a double :", f"{0.8:.20f}")
print("eight tenths, exactly     :", quantities.exact("0.8"))
print("requests of 0.8 GB in 32 GB, exactly:", quantities.exact_floor_div("32", "0.8"))

# %% [markdown]
# > **Common mistake.** Counting with `//` on floats. Python's `32 // 0.8` gives
# > << num(32 // 0.8) >>, not << quantities.exact_floor_div("32", "0.8") >>: the double is slightly
# > above 8/10, so the fortieth request is found not to fit, by less than a byte. The ordinary
# > quotient `32 / 0.8` happens to round to the right answer; `33 / 0.55` happens not to.

# %%
print("common mistake, live: 32 // 0.8              =", 32 // 0.8)
print("common mistake, live: math.floor(33 / 0.55)  =", math.floor(33 / 0.55))
print("exact:                33 / 0.55              =", quantities.exact_floor_div("33", "0.55"))

# %% [markdown]
# How often does it happen? Take sizes of 0.05 to 0.95 GB and a memory that holds exactly
# $n = 1 \dots 50$ requests of that size, and count with doubles.

# %% jupyter={"source_hidden": true}
pairs = [(Fraction(k, 20), n) for k in range(1, 20) for n in range(1, 51)]
doubles = [(float(size), float(n * size), n) for size, n in pairs]
lost = [(n, size) for size, total, n in doubles if total // size != n]
lost_too = [(n, size) for size, total, n in doubles if math.floor(total / size) != n]

fig, ax = plt.subplots(figsize=(10, 5))
ax.scatter(
    *zip(*lost, strict=True),
    s=30,
    color=COLORS["secondary"],
    label=f"total // size: {len(lost)} wrong",
)
ax.scatter(
    *zip(*lost_too, strict=True),
    s=110,
    marker="x",
    linewidths=2.5,
    color=COLORS["primary"],
    label=f"floor(total / size): {len(lost_too)} wrong",
)
ax.set_xlabel("requests that fit exactly")
ax.set_ylabel("size of a request [GB]")
ax.set_title(f"Where doubles lose a request ({len(pairs)} cases)")
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
show(
    fig,
    f"Scatter plot of {len(pairs)} cases of counting requests with doubles: the float floor "
    f"division is wrong in {len(lost)} cases, spread over nearly all sizes, and the floor of "
    f"the quotient in {len(lost_too)}.",
    table={
        "way of counting": ["total // size", "floor(total / size)", "exact fractions"],
        "cases": [len(pairs)] * 3,
        "wrong": [len(lost), len(lost_too), 0],
    },
)

# %% [markdown]
# The cure is to compute with the decimal that you mean. Functions of this course that count
# things take `"0.8"`, a `Decimal`, a `Fraction` or an int, and read a bare float through its text.
#
# *Source: IEC 80000-13 for the binary prefixes; D. Goldberg, What every computer scientist should
# know about floating-point arithmetic, ACM Computing Surveys 23(1), 1991.*
#
# **Check yourself.** How many requests of 0.7 GB fit into 16.1 GB?

# %%
answer = None
check_yourself(
    answer,
    lambda: quantities.exact_floor_div("16.1", "0.7"),
    "requests of 0.7 GB in 16.1 GB",
    "Count in tenths of a GB, in whole numbers: how often does one go into the other?",
    mistakes={"a request that fits in part does not fit": 24},
    worked="161 tenths of a GB over 7 tenths: 161 // 7 = {right}, with nothing left over.",
)

# %% [markdown]
# ## 1.1 Little's law
#
# **Question.** Requests arrive at 20 a second and each is with us for 1.5 s. How many are in the
# building at once, and so how many slots, connections and KV caches do we hold on average?
#
# $$L = \lambda W \qquad [\mathrm{requests}] = [\mathrm{requests/s}] \cdot [\mathrm{s}]$$
#
# **Argument.** Watch the system from an empty moment to an empty moment, for $T$ seconds, while
# $n$ requests pass. Draw one bar for each request, as long as its stay. The total length of the
# bars is $\sum W_i$. Now count the same ink by columns instead of rows: at time $t$ there are
# $N(t)$ bars, so the area is $\int N(t)\,dt$. Divide both by $T$:
#
# $$\frac{1}{T}\int_0^T N(t)\,dt = \frac{n}{T} \cdot \frac{1}{n}\sum_i W_i,
# \qquad\text{that is}\qquad L = \lambda W.$$
#
# Nothing was said about Poisson arrivals, service times, order of service or number of servers.
# All it needs is that in the long run what comes in goes out.
#
# *Source: J. D. C. Little, A proof for the queuing formula: L = λW, Operations Research 9(3),
# 1961.*

# %%
lam, W = 20, 1.5  # requests/s, s
print(f"in the system: L = {queueing.littles_law(lam=lam, W=W):g} requests")

# %% jupyter={"source_hidden": true}
arrivals = np.array([0.0, 0.5, 1.1, 1.5, 2.8, 3.4])
departures = np.array([1.8, 1.3, 3.1, 2.4, 4.6, 5.0])
T = departures.max()
rate, stay = len(arrivals) / T, (departures - arrivals).mean()
times = np.sort(np.concatenate([arrivals, departures]))
present = [(arrivals <= t).sum() - (departures <= t).sum() for t in times]
area = float(np.sum(np.diff(times) * present[:-1]))

fig, (rows, columns) = plt.subplots(2, 1, sharex=True, figsize=(10, 6.4))
rows.barh(range(1, 7), departures - arrivals, left=arrivals, color=COLORS["primary"], height=0.6)
rows.set_ylabel("request")
rows.set_yticks(range(1, 7))
rows.set_title(f"By rows: {len(arrivals)} stays of {stay:.2f} s on average, {area:.1f} s in all")
columns.fill_between(times, present, step="post", color=COLORS["secondary"], alpha=0.35)
columns.step(times, present, where="post", color=COLORS["secondary"])
columns.axhline(area / T, color="black", linestyle="--", linewidth=1.6)
columns.text(T, 2.15, f"mean L = {area / T:.2f} (dashed)", ha="right")
columns.set(xlabel="time [s]", ylabel="in the system, N(t)", ylim=(0, 3.4), xlim=(0, T + 0.05))
columns.set_yticks(range(4))
columns.set_title(f"By columns: the same {area:.1f} request-seconds")
show(
    fig,
    f"Two panels over {T:.0f} s. Above, {len(arrivals)} requests as horizontal bars. Below, the "
    f"number present as a step curve with mean {area / T:.2f}. Both have the same area.",
    table={"request": range(1, 7), "arrival [s]": arrivals, "departure [s]": departures},
)
print(f"lam W = {rate:.2f}/s x {stay:.2f} s = {rate * stay:.2f};  mean of N(t) = {area / T:.2f}")

# %% [markdown]
# **Where the boundary runs is your choice**, as long as $L$, $\lambda$ and $W$ are of the same box.
#
# | box | law | what it counts |
# |---|---|---|
# | queue only | $L_q = \lambda W_q$ | requests waiting |
# | servers only | $\lambda S$ | busy servers, on average |
# | whole system | $L = \lambda W$ | waiting and in service |
#
# > **Common mistake.** Two of them. $L$ is read as a peak, and the pool is sized to it; and $W$ is
# > taken from the model server's own log, which begins when service begins, so that the queue is
# > left out of "everything in flight". If the number present is Poisson with mean 30 (as it is
# > when arrivals are Poisson and nobody waits), more than 30 are present a good part of the time:

# %%
L = round(queueing.littles_law(lam=lam, W=W))
up_to_L = sum(math.exp(-L) * L**k / math.factorial(k) for k in range(L + 1))
print(f"a pool of exactly {L} is too small {100 * (1 - up_to_L):.0f} % of the time")

# %% [markdown]
# **Check yourself.** A gateway holds 45 requests on average, and 18 arrive each second. How many
# seconds does a request stay?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.littles_law(lam=18, L=45),
    "mean stay in seconds",
    "Solve L = lam W for W.",
    mistakes={"that is lam times L; solve for W": 18 * 45, "that is lam over L": 18 / 45},
    worked="L = lam W, so W = L / lam = 45 / 18 = {right} s.",
)

# %% [markdown]
# ## 1.2 Utilisation and queueing
#
# **Question.** A request takes 20 ms of service, and the server is idle two fifths of the time.
# Why does the request take << fixed(1000 * queueing.mm1(30, 50).W, 0) >> ms?
#
# With Poisson arrivals at $\lambda$, exponential service at $\mu$, one server and first come,
# first served (the M/M/1 queue):
#
# $$\rho = \frac{\lambda}{\mu}, \qquad W = \frac{1}{\mu - \lambda} = \frac{S}{1 - \rho}, \qquad
# W_q = \rho W, \qquad L = \frac{\rho}{1 - \rho}$$
#
# **Argument.** A Poisson arrival finds the system in its average state, so it finds $L$ requests
# ahead of it. Exponential service has no memory, so each of them, the one in service included,
# still needs $S$ on average; then comes its own service. Hence $W = (L + 1) S$. Put in Little's
# $L = \lambda W$ and solve: $W = S / (1 - \rho)$. At $\rho \ge 1$ there is no steady state, and
# the wait has no bound.
#
# The whole time in the system is exponential with mean $W$, so every percentile follows:
#
# $$P(T > t) = e^{-t/W} \quad\Rightarrow\quad t_q = W \ln\frac{1}{1-q}, \qquad
# \text{P99} = W \ln 100 = << fixed(queueing.mm1_sojourn_quantile_s(0.99, 0, 1), 3) >>\,W.$$
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 3.*

# %%
queue = queueing.mm1(lam=30, mu=50)  # requests/s
print(f"rho = {queue['rho']:.2f}")
for name in ("W", "Wq", "p99"):
    print(f"{name:<3} = {1000 * queue[name]:5.1f} ms")
print(f"L   = {queue['L']:.2f} requests, of which waiting Lq = {queue['Lq']:.2f}")

# %%
S = 1.0  # any unit: the columns are multiples of S
print(f"{'rho':>5} {'W/S':>6} {'P99/S':>7} {'dW/drho / S':>12}")
for rho in (0.5, 0.8, 0.9, 0.95):
    row = queueing.mm1(lam=rho / S, mu=1 / S)
    print(f"{rho:>5.2f} {row['W']:>6.1f} {row['p99']:>7.1f} {1 / (1 - rho) ** 2:>12.0f}")

# %% jupyter={"source_hidden": true}
grid = np.linspace(0, 0.96, 193)
curves = [queueing.mm1(lam=float(rho), mu=1) for rho in grid]
marks = [0.5, 0.8, 0.9, 0.95]

fig, ax = plt.subplots()
for key, label, color, style in [
    ("p99", "P99 of the time in the system", COLORS["error"], "-"),
    ("W", "mean time in the system, W", COLORS["primary"], "--"),
    ("Wq", "mean wait in the queue, Wq", COLORS["tertiary"], ":"),
]:
    ax.plot(grid, [row[key] for row in curves], style, color=color, label=label)
for rho in marks:
    y = queueing.mm1(lam=rho, mu=1)["p99"]
    ax.plot(rho, y, "o", color=COLORS["error"])
    ax.annotate(f"{y:.0f} S", (rho, y), xytext=(-10, 4), textcoords="offset points", ha="right")
ax.set(xlabel="utilisation, rho", ylabel="time, in service times S", ylim=(0, 105), xlim=(0, 1))
ax.set_title("Every percent of utilisation costs more than the last")
ax.legend(loc="upper left")
at_marks = [queueing.mm1(lam=rho, mu=1) for rho in marks]
show(
    fig,
    "Line chart of time in the system against utilisation for one M/M/1 server. Mean and P99 "
    "rise slowly to 60 % and then ever more steeply towards 100 %; P99 is 4.6 times the mean.",
    table={
        "rho": marks,
        "Wq/S": [row["Wq"] for row in at_marks],
        "W/S": [row["W"] for row in at_marks],
        "P99/S": [row["p99"] for row in at_marks],
    },
)

# %% [markdown]
# Three readings of one curve. Halving the headroom $1 - \rho$ doubles the latency. The slope is
# $dW/d\rho = S/(1-\rho)^2$: at 90 %, one more point of utilisation costs a whole service time.
# And the curve is a hyperbola, so it has no knee: a "safe" 70 % or 80 % is a decision about
# latency, not a property of queues.
#
# > **Common mistake.** Calling $S/(1-\rho)$ the queueing delay. With $S = 0.2$ s and $\rho = 0.8$
# > it is << num(queueing.mm1(4, 5).W, 2) >> s, which is the *response* time $W$; the delay is
# > $W_q = W - S =$ << num(queueing.mm1(4, 5).Wq, 2) >> s. Also wrong: "latency grows exponentially
# > with load" (it grows hyperbolically), and planning with the mean when the promise is about P99.
#
# **Check yourself.** A server manages 40 requests/s and gets 36. What is the P99 of the time in
# the system, in seconds?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.mm1(lam=36, mu=40)["p99"],
    "P99 in seconds",
    "First W = 1/(mu - lam), then times ln 100.",
    mistakes={
        "that is the mean, not the P99": lambda: queueing.mm1(lam=36, mu=40)["W"],
        "that is the P99 of a service time alone: nobody waits in it": math.log(100) / 40,
        "that takes the mean wait in queue for the time in the system": lambda: queueing.mm1(
            lam=36, mu=40
        )["Wq"],
        "that takes the wait in queue for the time in the system": lambda: (
            queueing.mm1(lam=36, mu=40)["Wq"] * math.log(100)
        ),
    },
    worked=f"W = 1 / (40 - 36) = {1 / 4} s; the time in the system is exponential, so P99 = W ln 100 = "
    "{right} s.",
)

# %% [markdown]
# ## 1.3 Latency budget
#
# **Question.** The user saw the first word after 280 ms and the last after more than two seconds.
# Which component do we speed up?
#
# $$\mathrm{TTFT} = T_q + T_p, \qquad
# \mathrm{E2E} = \mathrm{TTFT} + (n - 1)\,\mathrm{TPOT} + T_{post} \qquad [\mathrm{ms}]$$
#
# - $T_q$ queue, $T_p$ prefill (the whole prompt in one pass), $T_{post}$ post-processing [ms];
# - $n$ output tokens; TTFT time to first token; TPOT time per output token [ms]; E2E end to end.
#
# **Argument.** Prefill computes the logits after the last prompt token, and so already emits the
# first output token. For $n$ tokens, $n - 1$ decode steps remain. Read the other way round:
# $\mathrm{TPOT} = (\mathrm{E2E} - \mathrm{TTFT} - T_{post}) / (n - 1)$, for $n \ge 2$.
#
# *Source: the definitions are this course's conventions; TTFT and TPOT are also the two metrics
# that bound the language-model server scenarios of MLPerf Inference (MLCommons).*

# %%
budget = {"queue": 30, "prefill": 250, "n_out": 80, "tpot": 25, "post": 15}  # ms, tokens
total = latency.request_latency_ms(**budget)
decode = (budget["n_out"] - 1) * budget["tpot"]
parts = [("queue", budget["queue"]), ("prefill", budget["prefill"]), ("decode", decode)]
parts.append(("post", budget["post"]))

print(f"TTFT = {total['ttft']:g} ms, E2E = {total['e2e']:g} ms")
for name, ms in parts:
    print(f"{name:<8} {ms:>5} ms {100 * ms / total['e2e']:>5.1f} %")

# %% [markdown]
# Decode is most of the E2E time here, prefill most of the TTFT: which component deserves work
# depends on which of the two you promised.
#
# **TPOT is a mean; ITL is each gap.** The inter-token latency is the time from one token to the
# next. Two streams can have the same TTFT, TPOT and E2E, and one of them stutters: below, one
# long prompt was prefilled in between and stopped every running decode.

# %% jupyter={"source_hidden": true}
queue_ms, prefill_ms, gap_ms, n_out = 30, 90, 25, 16
steady = np.full(n_out - 1, gap_ms)
stalled = np.full(n_out - 1, gap_ms - 10)
stalled[6] += 10 * (n_out - 1)

fig, ax = plt.subplots(figsize=(10, 3.9))
for y, gaps in [(1, steady), (0, stalled)]:
    ttft = queue_ms + prefill_ms
    tokens = ttft + np.concatenate([[0], np.cumsum(gaps)])
    ax.barh(y, queue_ms, height=0.5, color=COLORS["neutral"], label="queue" if y else None)
    ax.barh(
        y,
        prefill_ms,
        left=queue_ms,
        height=0.5,
        color=COLORS["primary"],
        label="prefill" if y else None,
    )
    ax.barh(
        y,
        gaps.sum(),
        left=ttft,
        height=0.5,
        color=COLORS["secondary"],
        alpha=0.35,
        label="decode" if y else None,
    )
    ax.vlines(
        tokens,
        y - 0.25,
        y + 0.25,
        color="black",
        linewidth=2,
        label="a token appears" if y else None,
    )
    ax.text(
        tokens[-1] + 6, y, f"TPOT {gaps.mean():.0f} ms\nlargest ITL {gaps.max()} ms", va="center"
    )
ax.set(yticks=[1, 0], yticklabels=["steady", "stalled"], xlabel="time since arrival [ms]")
ax.set_xlim(0, 610)
ax.grid(axis="y", visible=False)
ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=4)
show(
    fig,
    f"Two request timelines with the same first-token time, {queue_ms + prefill_ms} ms, and the "
    f"same TPOT, {gap_ms} ms. In one the tokens come evenly; in the other one gap is "
    f"{stalled.max()} ms long.",
    table={"gap": range(1, n_out), "steady ITL [ms]": steady, "stalled ITL [ms]": stalled},
)

# %% [markdown]
# > **Common mistake.** Counting $n$ decode steps instead of $n - 1$. The request above would come
# > to << latency.request_latency_ms(30, 250, 81, 25, 15).e2e | int >> ms instead of
# > << latency.request_latency_ms(30, 250, 80, 25, 15).e2e | int >> ms, and a request of one token
# > would decode once for nothing. Next in line: a TTFT measured from the start of service, which
# > leaves out the queue; and a stream's *chunks* counted as tokens when ITL is measured.
#
# **Check yourself.** Queue 10 ms, prefill 90 ms, 101 output tokens at 20 ms, no post-processing.
# How many ms end to end?

# %%
answer = None
check_yourself(
    answer,
    lambda: latency.request_latency_ms(10, 90, 101, 20, 0)["e2e"],
    "E2E in ms",
    "The prefill emits the first token: only the others take a decode step.",
    mistakes={
        "that counts a decode step for every token: prefill gives the first": 10 + 90 + 101 * 20,
        "that is the TTFT": 10 + 90,
        "queue and prefill are missing": 100 * 20,
    },
    worked="TTFT is 10 + 90 ms; then come 101 - 1 steps: 100 + 100 * 20 = {right} ms.",
)

# %% [markdown]
# ## 1.4 Batch throughput against latency
#
# **Question.** A batch of 32 serves 32 requests in far less than 32 times the time of one. Why not
# always use 32?
#
# $$S(B) = \alpha + \beta B, \qquad X(B) = \frac{B}{S(B)}, \qquad
# \rho = \frac{\lambda S(B)}{B}, \qquad \text{mean formation wait} = \frac{B - 1}{2\lambda}$$
#
# - $\alpha$ time that a step takes however full it is (reading the weights); $\beta$ time that
#   each member adds; $X$ throughput. Any one unit of time; here ms, and $\lambda$ in requests/ms.
#
# **Argument.** Write $X(B) = \frac{1}{\beta} \cdot \frac{B}{B + \alpha/\beta}$: it approaches the
# ceiling $1/\beta$ and is at half of it when $B = \alpha/\beta$. Filling the batch costs time
# too: of $B$ members, the $k$-th waits for $B - k$ further arrivals, $1/\lambda$ each; the mean of
# $0, 1, \dots, B - 1$ is $(B - 1)/2$.
#
# *Source: own derivation. The linear batch time is a first approximation to a measured one;
# chapter 3 derives $\alpha$ and $\beta$ from bandwidth and FLOP/s.*

# %%
alpha, beta, lam_ms = 20, 1, 0.2  # ms, ms/request, requests/ms

print(f"ceiling {1000 / beta:.0f}/s; half of it at B = {alpha / beta:.0f}")
print(f"{'B':>4} {'S [ms]':>7} {'X [/s]':>7} {'formation [ms]':>15} {'rho':>6}")
for B in (1, 8, 20, 32, 128):
    row = batching.batch_metrics(B, lam_ms, alpha, beta)
    rho = f"{row['rho']:.2f}" if row["stable"] else "> 1"
    line = f"{B:>4} {row['S']:>7.0f} {1000 * row['throughput']:>7.0f}"
    print(f"{line} {row['formation']:>15.1f} {rho:>6}")

# %% [markdown]
# A batch of one does not wait to be formed, but at 0.2 requests/ms it cannot keep up at all. A
# batch of 128 keeps up with ease and spends its life waiting for members. In between, the total
# latency (formation, wait for the server, service) has a minimum. The wait for the server is
# Kingman's approximation, which chapter 4 derives and tests.

# %% jupyter={"source_hidden": true}
B_min = batching.min_stable_batch(lam_ms, alpha, beta)
B_best = batching.best_fixed_batch(lam_ms, alpha, beta)
sizes = np.arange(1, 65)
stable = np.arange(B_min, 65)
total = [batching.batch_latency(int(B), lam_ms, alpha, beta) for B in stable]
rows = [batching.batch_metrics(int(B), lam_ms, alpha, beta) for B in sizes]

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
left.plot(sizes, [1000 * row["throughput"] for row in rows], color=COLORS["primary"])
left.axhline(1000 / beta, color=COLORS["neutral"], linestyle="--")
left.text(63, 1000 / beta - 15, "ceiling 1/beta", ha="right", va="top")
left.plot(alpha / beta, 500 / beta, "o", color=COLORS["primary"])
left.text(alpha / beta + 1.5, 500 / beta - 10, "half, at B = alpha/beta", va="top")
left.set(xlabel="batch size B", ylabel="throughput X [requests/s]", ylim=(0, 1080))
left.set_title("Throughput saturates")
right.plot(stable, total, color=COLORS["error"], label="total latency")
right.plot(sizes, [row["S"] for row in rows], "--", color=COLORS["primary"], label="service S(B)")
right.plot(
    sizes, [row["formation"] for row in rows], ":", color=COLORS["tertiary"], label="formation wait"
)
right.axvspan(0, B_min - 0.5, color=COLORS["neutral"], alpha=0.25, linewidth=0)
right.text((B_min - 0.5) / 2, 130, "unstable", rotation=90, ha="center", va="center")
right.plot(
    B_best,
    min(total),
    "o",
    color=COLORS["error"],
    label=f"least: {min(total):.0f} ms at B = {B_best}",
)
right.set(xlabel="batch size B", ylabel="mean time [ms]", ylim=(0, 270), xlim=(0, 65))
right.set_title(f"Latency has a least value (lam = {1000 * lam_ms:.0f}/s)")
right.legend(loc="upper left", bbox_to_anchor=(0.1, 1.0))
picks = [B_min, B_best, 16, 32, 64]
show(
    fig,
    f"Left: throughput against batch size rises and saturates at {1000 / beta:.0f} requests/s, "
    f"half of it at batch {alpha / beta:.0f}. Right: latency is unbounded below batch {B_min}, "
    f"{total[0]:.0f} ms there, least at {B_best} with {min(total):.0f} ms, and then rises in a nearly "
    f"straight line, to {total[-1]:.0f} ms at 64: {rows[-1]['formation']:.0f} ms of that is formation "
    f"wait and {rows[-1]['S']:.0f} ms service.",
    table={
        "B": picks,
        "throughput [/s]": [1000 * rows[B - 1]["throughput"] for B in picks],
        "latency [ms]": [batching.batch_latency(B, lam_ms, alpha, beta) for B in picks],
    },
)

# %% [markdown]
# > **Common mistake.** Writing the formation wait as $B/(2\lambda)$. At $\lambda = 0.25$/ms it
# > gives << num(1 / (2 * 0.25), 2) >> ms at $B = 1$, where nobody waits for anybody:
# > << num(batching.formation_wait(1, 0.25), 2) >> ms. And the question "does batching raise
# > latency?" has no answer without a load: below the best batch a larger one *lowers* it.
#
# **Check yourself.** With $\alpha = 30$ ms and $\beta = 2$ ms, which batch size reaches half of
# the throughput ceiling?

# %%
answer = None
check_yourself(
    answer,
    lambda: round(30 / 2),
    "batch size at half the ceiling",
    "Set B / (alpha + beta B) to half of the ceiling 1 / beta, and solve for B.",
    mistakes={"that is alpha times beta": 60},
    worked="Half the ceiling is 1/(2 beta): B/(alpha + beta B) = 1/(2 beta) gives B = alpha / beta = 30 / 2 = {right}.",
)

# %% [markdown]
# ## 1.5 Concurrency from KV memory
#
# **Question.** The GPU has 80 GB. How many requests can be in flight before the next one has to
# wait, whatever the compute could do?
#
# $$N = \left\lfloor \frac{M_{gpu} - M_w - M_{work}}{M_{kv}} \right\rfloor$$
#
# - $M_{gpu}$ memory, $M_w$ weights, $M_{work}$ workspace (activations, graphs, fragmentation),
#   $M_{kv}$ keys and values of one request at its full length. All in GB, all exact.
#
# **Argument.** Weights and workspace are paid once, keys and values for each request in flight.
# A request either fits or waits, so it is a floor; if the weights do not fit, $N$ is 0, not a
# negative number. With Little's law $N$ is also a bound on the arrival rate: $\lambda \le N / W$.
#
# *Source: the memory balance is elementary; chapter 3 derives $M_{kv}$ from a model's shape.*

# %%
gpu_gb, weights_gb, workspace_gb, kv_gb = "80", "28", "8", "0.55"
N = memory.max_concurrent(gpu_gb, weights_gb, workspace_gb, kv_gb)
print(f"concurrent requests: {N}")
print(f"at W = 4 s that admits at most {queueing.littles_law(L=N, W=4):g} requests/s")

small = facts.get_model("Llama-3-8B")
seq = 4096  # tokens of context, prompt and answer together
per_request = quantities.bytes_to_gb(small.kv_bytes_per_token() * seq)
print(f"for scale: {small.name} keeps {per_request:.3f} GB for {seq} tokens in 16 bit")

# %% [markdown]
# How much hangs on the unit? Read one of the inputs as GiB by accident:

# %%
gib = Fraction(quantities.GIB, quantities.GB)
cases = [
    ("all in GB, as meant", 80, Fraction("0.55")),
    ("card read as GiB", 80 * gib, Fraction("0.55")),
    ("request read as GiB", 80, Fraction("0.55") * gib),
]
print(f"{'reading':<22} {'requests':>8} {'change':>7}")
for name, card, request in cases:
    fits = memory.max_concurrent(card, 28, 8, request)
    print(f"{name:<22} {fits:>8} {100 * (fits / N - 1):>+6.1f}%")

# %% [markdown]
# > **Common mistake.** The float floor again: `44 // 0.55` is << num(44 // 0.55) >>, one short of
# > << memory.max_concurrent("80", "28", "8", "0.55") >>. The other common ones are to forget the
# > weights, and to round up because "it almost fits". It does not; it is an out-of-memory error.
#
# **Check yourself.** A 48 GB card holds 16 GB of weights and 4.4 GB of workspace. How many
# requests of 0.6 GB are in flight at most?

# %%
answer = None
check_yourself(
    answer,
    lambda: memory.max_concurrent("48", "16", "4.4", "0.6"),
    "requests in flight",
    "Subtract weights and workspace first, then count in tenths of a GB.",
    mistakes={
        "the workspace is missing": 53,
        "that is what an empty card would hold": 80,
        "that rounds up, or floats were divided": 47,
    },
    worked="48 - 16 - 4.4 = 27.6 GB; 276 tenths // 6 tenths = {right}.",
)

# %% [markdown]
# ## 1.6 Cost per million tokens
#
# **Question.** We rent GPUs by the hour and sell tokens by the million. What does a token cost us?
#
# $$\mathrm{CPM} = \frac{10^6 \cdot C \cdot n}{3600 \cdot X \cdot u} \qquad
# [\mathrm{USD\ per\ million\ tokens}]$$
#
# - $C$ price of one GPU [USD/h], $n$ number of GPUs, $X$ throughput of all of them together
#   [tokens/s], $u$ share of that throughput that is really served, $0 < u \le 1$.
#
# **Argument.** Money flows at $C n / 3600$ USD/s whether or not anybody asks for anything; tokens
# flow at $X u$ per second. Divide, and scale to a million.
#
# *Source: elementary. The decode and prefill times below are the lower bounds that chapter 3
# derives; the price of an hour is an assumption, stated in the cell.*

# %%
print(f"1 GPU at $3/h, 1000 tok/s          : ${cost.cost_per_million(3, 1000):.4f}")
print(f"1 GPU at $2/h,  600 tok/s          : ${cost.cost_per_million(2, 600):.4f}")
print(f"the same, served 30 % of the time  : ${cost.cost_per_million(2, 600, util=0.3):.4f}")

# %% [markdown]
# Now a real machine: Llama-3-70B in 16 bit on eight H100, 4096 tokens of context for each
# sequence. One decode step reads the weights once, however many sequences share it, so the price
# of a token depends on the company that it keeps more than on the rent.

# %%
model, gpu, n_gpus = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8
hour_usd, context, mfu = 3.0, 4096, 0.5  # assumptions: rent, tokens, share of peak in prefill


def decode_cost(batch):
    """USD per million output tokens at this batch size."""
    step = roofline.decode_step_s(
        batch,
        context,
        model.n_params,
        model.weight_bytes(),
        model.kv_bytes_per_token(),
        n_gpus,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )
    return cost.cost_per_million(hour_usd, batch / step["step_s"], n_gpus)


prefill_s = roofline.prefill_time_s(
    model.n_params,
    context,
    model.n_layers,
    model.n_heads * model.head_dim,
    n_gpus,
    gpu.bf16_dense_flops,
    mfu,
)
prefill_cost = cost.cost_per_million(hour_usd, context / prefill_s, n_gpus)
print(f"prefill            ${prefill_cost:7.3f} per million prompt tokens")
for batch in (1, 8, 64, 256):
    print(f"decode, B = {batch:<4}   ${decode_cost(batch):7.3f} per million output tokens")

# %% jupyter={"source_hidden": true}
room = memory.max_users(
    n_gpus, gpu.memory_bytes, model.weight_bytes(), model.kv_bytes_per_token(), context
)
batches = range(1, room + 1)

fig, ax = plt.subplots()
ax.loglog(
    batches,
    [decode_cost(B) for B in batches],
    color=COLORS["primary"],
    label="decode, per million output tokens",
)
ax.axhline(
    prefill_cost,
    color=COLORS["secondary"],
    linestyle="--",
    label=f"prefill at {mfu:.0%} of peak, per million prompt tokens",
)
for B in (1, 64, room):
    ax.plot(B, decode_cost(B), "o", color=COLORS["primary"])
    note = f"B = {B}: ${decode_cost(B):.2f}"
    side = {"ha": "left", "xytext": (10, 6)} if room > B else {"ha": "center", "xytext": (-34, -24)}
    ax.annotate(note, (B, decode_cost(B)), textcoords="offset points", **side)
ax.set(xlabel="sequences in the batch, B", ylabel="USD per million tokens", ylim=(0.15, 60))
ax.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
ax.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.2", "0.5", "1", "2", "5", "10", "20", "50"])
ax.minorticks_off()
ax.set_title(f"{model.name}, {n_gpus} x {gpu.name}, {context} tokens of context")
ax.legend(loc="upper right")
show(
    fig,
    f"Log-log chart of cost per million output tokens against batch size: "
    f"${decode_cost(1):.1f} at batch 1, ${decode_cost(64):.2f} at 64, ${decode_cost(room):.2f} "
    f"at {room}, where memory is full. Prefill costs ${prefill_cost:.3f}, below the whole curve.",
    table={
        "batch": [1, 8, 64, 256, room],
        "USD per million": [decode_cost(B) for B in (1, 8, 64, 256, room)],
    },
)

# %% [markdown]
# The curve falls as $1/B$ while the weights dominate a step, and flattens when reading keys and
# values does: they are read for each sequence and are not shared. The bend at $B \approx$
# << fixed(facts.get_accelerator("H100-SXM").ridge_flop_per_byte, 0) >> is where arithmetic
# begins to take longer than reading the weights. The curve ends where memory ends.
#
# > **Common mistake.** Leaving out $n$, so that eight GPUs cost as much as one; and multiplying by
# > $u$ instead of dividing, so that an idle cluster becomes cheap. At 30 % use the second mistake
# > turns << fixed(cost.cost_per_million(2, 600, 1, 0.3), 2) >> USD into
# > << fixed(cost.cost_per_million(2, 600) * 0.3, 2) >> USD.
#
# **Check yourself.** Two GPUs at 3.60 USD/h each produce 1000 tokens/s together, and half of that
# is served. USD per million tokens?

# %%
answer = None
check_yourself(
    answer,
    lambda: cost.cost_per_million(3.6, 1000, n_gpus=2, util=0.5),
    "USD per million tokens",
    "Dollars per second over tokens served per second.",
    mistakes={
        "both GPUs are paid, and only what is served is sold": 7.2 / 3600 / 1000 * 1e6,
        "that pays one GPU and prices all tokens": 3.6 / 3600 / 1000 * 1e6,
    },
    worked="2 * 3.60 USD an hour are 0.002 USD a second, for 1000 * 0.5 tokens: 0.002 / 500 a token, {right} USD a million.",
)

# %% [markdown]
# ## 1.7 Utilisation-adjusted and quality-adjusted cost
#
# **Question.** The small model is much cheaper per token. Is it cheaper per *answer*?
#
# $$u = \frac{\text{tokens served}}{\text{tokens of capacity}}, \qquad
# C_q = \frac{\mathrm{CPM}}{P(\text{success})}, \qquad
# C_{casc} = f c_s + (1 - f)(c_s + c_l) = c_s + (1 - f)\,c_l$$
#
# - $f$ share of requests that the small model settles; $c_s, c_l$ cost of the small and the large
#   model for the same work.
#
# **Argument.** If every failed answer is asked for again until one succeeds, independently, the
# number of attempts is geometric with mean $1/P$. In a cascade *everybody* pays for the small
# model, and the rest pay for both; so it beats the large model alone only if
# $c_s + (1 - f) c_l < c_l$, that is $f > f^* = c_s / c_l$.
#
# *Source: elementary expectations. Success must be measured on your own task.*

# %%
served, possible = 1_296_000, 4_320_000  # tokens in two hours, at 600 tok/s of capacity
u = cost.utilisation(served, possible)
print(f"u = {u:.2f}: ${cost.cost_per_million(2, 600, util=u):.3f} per million served tokens")

print(f"\n{'model':<7} {'USD/Mtok':>8} {'success':>8} {'USD per successful Mtok':>24}")
for name, usd, success in [("small", 0.60, 0.55), ("large", 0.90, 0.95)]:
    print(
        f"{name:<7} {usd:>8.2f} {success:>8.0%} {cost.quality_adjusted_cost(usd, success):>24.3f}"
    )

# %% jupyter={"source_hidden": true}
cheap, dear, easy = 0.10, 0.67, 0.8  # USD per million tokens; share settled by the small model
shares = np.linspace(0, 1, 101)
break_even = cost.cascade_break_even(cheap, dear)
at_easy = cost.cascade_cost(easy, cheap, dear)

fig, ax = plt.subplots(figsize=(10, 5.2))
ax.plot(
    shares,
    [cost.cascade_cost(float(f), cheap, dear) for f in shares],
    color=COLORS["primary"],
    label="cascade",
)
ax.axhline(dear, color=COLORS["secondary"], linestyle="--", label="large model alone")
ax.axhline(cheap, color=COLORS["neutral"], linestyle=":", label="small model alone")
ax.axvspan(0, break_even, color=COLORS["error"], alpha=0.12, linewidth=0)
ax.plot([break_even, easy], [dear, at_easy], "o", color=COLORS["primary"])
ax.annotate(
    f"break-even, f* = {break_even:.3f}",
    (break_even, dear),
    xytext=(12, 10),
    textcoords="offset points",
)
ax.annotate(
    f"f = {easy}: ${at_easy:.3f}", (easy, at_easy), xytext=(10, 8), textcoords="offset points"
)
ax.set(
    xlabel="share settled by the small model, f",
    ylabel="USD per million tokens",
    xlim=(0, 1),
    ylim=(0, 0.85),
)
ax.set_title("A cascade pays for the small model every time")
ax.legend(loc="lower left")
show(
    fig,
    f"Cost of a cascade falls in a straight line from ${cheap + dear:.2f} to ${cheap:.2f} as the "
    f"share of easy requests grows. Below a share of {break_even:.3f} it costs more than the "
    f"large model alone.",
    table={
        "f": [0, break_even, 0.5, easy, 1],
        "USD": [cost.cascade_cost(f, cheap, dear) for f in (0, break_even, 0.5, easy, 1)],
    },
)

# %% [markdown]
# > **Common mistake.** Comparing prices per token. With the success rates above the model with the
# > lower price has the dearer answers. And $u$ is served over possible *tokens*: the utilisation
# > that a monitoring tool shows for a GPU only says that some kernel was running.
#
# **Check yourself.** Small model 0.20, large model 1.00 USD per million tokens, 55 % easy. What
# does the cascade cost?

# %%
answer = None
check_yourself(
    answer,
    lambda: cost.cascade_cost(0.55, 0.20, 1.00),
    "USD per million tokens",
    "Everybody pays the small model; those who are not easy pay the large one on top.",
    mistakes={
        "that sends each request to one model only: everybody pays the small one": 0.55 * 0.2
        + 0.45 * 1.0,
        "the shares are swapped": 0.2 + 0.55 * 1.0,
    },
    worked="Everybody pays 0.20, and 45 % pay 1.00 on top: 0.20 + 0.45 * 1.00 = {right}.",
)

# %% [markdown]
# ## 1.8 Replicas and autoscaling
#
# **Question.** 180 requests/s, 40 a second for each replica, and we do not want to run hotter than
# 70 %. How many replicas, and does it matter how the load is spread over them?
#
# $$c = \left\lceil \frac{\lambda}{\tau \mu} \right\rceil + k$$
#
# - $\tau$ target utilisation in $(0, 1]$; $k$ spares, so that losing $k$ replicas still meets the
#   target ("N + k"). The division is exact.
#
# **Argument.** $c$ replicas serve at most $c\mu$; we ask for $\lambda \le \tau c \mu$ and solve.
# The target leaves room for queueing: stability alone needs $c > \lambda/\mu$, strictly.
#
# How long one waits then depends on *pooling*. If any free replica takes the next request
# (M/M/c), an arrival waits only when all are busy, which has the Erlang C probability $C(c, a)$
# with $a = \lambda/\mu$; if each replica has its own queue and requests are sent to one at
# random, one can wait behind a busy replica while another is idle (a router that looks before it
# sends does better, between the two):
#
# $$W_q^{pooled} = \frac{C(c, a)}{c\mu - \lambda}, \qquad
# W_q^{split} = \frac{\rho}{\mu - \lambda / c}$$
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 3; S. Halfin and
# W. Whitt, Heavy-traffic limits for queues with many exponential servers, Operations Research
# 29(3), 1981.*

# %%
lam, mu, target = 180, 40, "0.70"  # requests/s, requests/s, share
c = capacity.replicas_needed(lam, mu, target)
pooled = queueing.mmc_wait(lam, mu, c)
split = queueing.mm1(lam / c, mu)["Wq"]

print(f"replicas: {c}, with one spare: {capacity.replicas_needed(lam, mu, target, spare=1)}")
print(f"rho = {lam / (c * mu):.3f}")
print(f"mean wait, one shared queue    : {1000 * pooled:6.2f} ms")
print(
    f"mean wait, a queue per replica : {1000 * split:6.2f} ms, {split / pooled:.0f} times as long"
)

# %% jupyter={"source_hidden": true}
loads = np.linspace(0.3, 0.98, 120)
shared_ms = [1000 * queueing.mmc_wait(float(r) * c * mu, mu, c) for r in loads]
own_ms = [1000 * queueing.mm1(float(r) * mu, mu)["Wq"] for r in loads]
rho = lam / (c * mu)

fig, ax = plt.subplots(figsize=(10, 5.4))
ax.semilogy(loads, own_ms, "--", color=COLORS["error"], label="a queue per replica")
ax.semilogy(loads, shared_ms, color=COLORS["primary"], label="one shared queue")
ax.vlines(rho, 1000 * pooled, 1000 * split, color="black", linewidth=1.2, linestyle=":")
for value, color in [(split, COLORS["error"]), (pooled, COLORS["primary"])]:
    ax.plot(rho, 1000 * value, "o", color=color)
ax.annotate(
    f"{1000 * split:.0f} ms",
    (rho, 1000 * split),
    xytext=(-8, 8),
    ha="right",
    textcoords="offset points",
)
ax.annotate(
    f"{1000 * pooled:.2f} ms", (rho, 1000 * pooled), xytext=(10, -14), textcoords="offset points"
)
ax.set(xlabel="utilisation, rho", ylabel="mean wait in the queue [ms]", ylim=(0.02, 2000))
ax.set_yticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
ax.set_title(f"{c} replicas, the same load, two ways to queue")
ax.legend(loc="upper left")
show(
    fig,
    f"Mean wait against utilisation for {c} replicas on a log scale. The shared queue lies far "
    f"below a queue per replica: at rho {rho:.3f} it is {1000 * pooled:.2f} against "
    f"{1000 * split:.0f} ms. Near rho = 1 the ratio falls towards {c}.",
    table={
        "rho": [0.5, rho, 0.8, 0.95],
        "shared [ms]": [1000 * queueing.mmc_wait(r * c * mu, mu, c) for r in (0.5, rho, 0.8, 0.95)],
        "split [ms]": [1000 * queueing.mm1(r * mu, mu)["Wq"] for r in (0.5, rho, 0.8, 0.95)],
    },
)

# %% [markdown]
# The ratio of the two waits is $c\rho / C(c, a)$. It is huge at light load, where a shared queue
# hardly ever forms, and falls towards $c$ as $\rho \to 1$: pooling never stops paying.
#
# **Large pools need relatively less headroom.** Fluctuations grow as the square root of the load,
# so spare capacity may too: with $c = a + \beta\sqrt{a}$ servers (here $\beta$ is a quality
# of service, not the batch slope) the probability of waiting stays about the same at every scale.

# %%
print(f"{'a':>6} {'c':>6} {'spare':>7} {'rho':>6} {'P(wait)':>8}")
for a in (10, 100, 1000):
    servers = capacity.square_root_staffing(a, 1)
    p_wait = queueing.erlang_c(servers, a)
    print(f"{a:>6} {servers:>6} {servers / a - 1:>7.1%} {a / servers:>6.3f} {p_wait:>8.3f}")

# %% [markdown]
# **An autoscaler reacts late.** The new replica must be asked for, found, and filled with weights;
# until then the queue grows at the rate by which demand exceeds capacity.

# %%
load_Bps, detect_s, provision_s = 7e9, 30, 60  # assumptions: NVMe read, alarm, new node
weights = model.weight_bytes()
load_s = capacity.cold_start_s(weights, load_Bps)
reaction_s = capacity.cold_start_s(weights, load_Bps, detect_s, provision_s)
excess = 25  # requests/s beyond what the running replicas can serve
print(f"loading {quantities.bytes_to_gb(weights):.0f} GB of weights: {load_s:.0f} s")
print(f"whole reaction: {reaction_s:.0f} s, backlog by then: {excess * reaction_s:.0f} requests")

# %% [markdown]
# > **Common mistake.** Dividing in floats: `36 / (0.6 * 12)` is slightly more than 5, so that
# > `math.ceil` asks for << (36 / (0.6 * 12)) | round(0, "ceil") | int >> replicas where
# > << capacity.replicas_needed(36, 12, "0.6") >> meet the target exactly. The opposite error is to
# > call $c = \lceil \lambda/\mu \rceil$ stable: at $\lambda = 120$, $\mu = 40$ it
# > gives $\rho =$ << num(120 / (3 * 40), 2) >>, and a queue that grows for ever.

# %%
print("common mistake, live: 36 / (0.6 * 12) =", 36 / (0.6 * 12))
print("exact: replicas =", capacity.replicas_needed(36, 12, "0.6"))

# %% [markdown]
# **Check yourself.** 180 requests/s, 25 a second for each replica, target 60 %, one spare. How many
# replicas?

# %%
answer = None
check_yourself(
    answer,
    lambda: capacity.replicas_needed(180, 25, "0.6", spare=1),
    "replicas",
    "Traffic over what a replica carries at its target, rounded up if need be; then the spare.",
    mistakes={
        "the spare is missing": 12,
        "the target is missing": 8,
        "the target is missing: the spare is there": 9,
        "the quotient is a whole number: nothing to round up": 14,
    },
    worked="25 * 0.6 = 15 a second for each, 180 / 15 = 12 exactly, and one spare: {right}.",
)

# %% [markdown]
# ## 1.9 Error budgets and burn rate
#
# **Question.** Last hour 1.4 % of the requests failed. Do we wake somebody?
#
# $$\text{bad}_{max} = \lfloor (1 - \mathrm{SLO})\,N \rfloor, \qquad
# \text{burn} = \frac{\text{error rate}}{1 - \mathrm{SLO}}, \qquad
# \text{spent} = \text{burn} \cdot \frac{w}{P}$$
#
# - $N$ requests in the period; SLO the promised share of good ones, exact; $w$ length of the
#   window, $P$ length of the period, same unit; "spent" is a share of the whole budget.
#
# **Argument.** An SLO of 99.9 % is permission to fail one request in a thousand. A burn rate of 1
# uses that permission up exactly at the end of the period, a burn rate of $b$ in $P/b$. If
# traffic is even, a window of length $w$ at burn $b$ uses the share $b w / P$.
#
# *Source: B. Beyer et al. (eds.), The Site Reliability Workbook, 2018, chapter 5.*

# %%
for n, slo in [(10_000_000, "0.999"), (1_000_000, "0.9999")]:
    print(f"SLO {slo:<6} on {n:>10,} requests: {reliability.error_budget(n, slo):>6,} may fail")
print(f"SLO 0.999 is {reliability.downtime_minutes('0.999', 30):.1f} minutes in 30 days")

period_h = 30 * 24
print(f"\n{'burn':>5} {'window':>7} {'budget spent':>13} {'gone after':>11}")
for burn, window_h in [(14.4, 1), (6, 6), (1, 72)]:
    spent = reliability.budget_spent(burn, window_h, period_h)
    print(f"{burn:>5} {window_h:>5} h {spent:>13.0%} {period_h / burn:>9.0f} h")

# %% jupyter={"source_hidden": true}
rates = [1, 2, 6, 14.4]
styles = [("-", "tertiary"), ("-.", "primary"), ("--", "secondary"), (":", "error")]
fig, ax = plt.subplots(figsize=(10, 5.2))
for burn, (style, color) in zip(rates, styles, strict=True):
    gone = period_h / burn / 24
    ax.plot(
        [0, gone],
        [100, 0],
        style,
        color=COLORS[color],
        label=f"burn {burn:g}: gone in {gone:.1f} d",
    )
ax.set(
    xlabel="days since the period began",
    ylabel="error budget left [%]",
    xlim=(0, 30.3),
    ylim=(0, 102),
)
ax.set_title("A burn rate is a speed")
ax.legend(loc="upper right")
show(
    fig,
    "Error budget left against time. At burn rate 1 it lasts the 30 days, at 2 half of them, "
    "at 6 five days, at 14.4 about two days.",
    table={
        "burn": rates,
        "days to empty": [period_h / b / 24 for b in rates],
        "spent in 1 h [%]": [100 * reliability.budget_spent(b, 1, period_h) for b in rates],
    },
)

# %% [markdown]
# So the answer depends on the promise. At an SLO of 99.9 % an error rate of 1.4 % burns at
# << num(reliability.burn_rate(14, 1000, "0.999"), 3) >>, and an hour of it costs
# << fixed(100 * reliability.budget_spent(reliability.burn_rate(14, 1000, "0.999"), 1, 720), 1) >> %
# of the month: close to the usual paging threshold of 2 % in an hour, which is burn 14.4. At an
# SLO of 95 % the same hour burns at << num(reliability.burn_rate(14, 1000, "0.95"), 2) >>, and
# everybody may sleep.
#
# > **Common mistake.** `int((1 - slo) * n)`. In doubles, one minus 0.9999 is a little too small,
# > and truncation makes << ((1 - 0.9999) * 1000000) | int >> of
# > << reliability.error_budget(1000000, "0.9999") >>. The larger mistake is to alert on the raw
# > error rate: it has no meaning before it is divided by what you promised.

# %%
print("common mistake, live: (1 - 0.9999) * 1_000_000 =", (1 - 0.9999) * 1_000_000)
print("exact: budget =", reliability.error_budget(1_000_000, "0.9999"))

# %% [markdown]
# **Check yourself.** 20 of 1000 requests failed, and the SLO is 99.5 %. What is the burn rate?

# %%
answer = None
check_yourself(
    answer,
    lambda: reliability.burn_rate(20, 1000, "0.995"),
    "burn rate",
    "Error rate over the permitted error rate.",
    mistakes={
        "that is the error rate": 0.02,
        "that divides by the objective, not by what it permits": 0.02 / 0.995,
    },
    worked="The error rate is 20 / 1000 = 2 %, permitted is 0.5 %: {right} times too fast.",
)

# %% [markdown]
# ## 1.10 Tail latency from samples
#
# **Question.** The dashboard says P99 = 2.3 s. How sure is it, and whom does it describe?
#
# **Nearest rank.** Sort the $n$ samples, $x_{(1)} \le \dots \le x_{(n)}$. The $q$-quantile is
#
# $$x_{(\lceil q n \rceil)}, \qquad q n \text{ computed exactly.}$$
#
# It is a latency that somebody had, and at least a share $q$ of the sample is within it. Plotting
# libraries often interpolate between two samples instead; in the tail that is another number.
#
# **Interval.** How many of $n$ samples fall below the true quantile is binomial, $(n, q)$,
# whatever the continuous distribution. So the true quantile lies between two *order statistics* $x_{(i)}$ and
# $x_{(j)}$ with a probability that only the binomial decides. If no sample is high enough to
# serve as the upper end, there is none.
#
# *Source: H. A. David and H. N. Nagaraja, Order Statistics, 3rd edition, 2003, chapter 7.*

# %%
median_ms, sigma, q = 800, 0.45, "0.99"  # assumption: lognormal latencies
true_p99 = latency.lognormal_quantile(float(q), median_ms, sigma)
sample = rng.lognormal(math.log(median_ms), sigma, 60)  # a quiet minute

rank = latency.nearest_rank(q, len(sample))
print(f"true P99 of the distribution : {true_p99:8.1f} ms")
print(f"nearest rank, x({rank} of {len(sample)}) : {latency.percentile(sample, q):8.1f} ms")
print(f"linear interpolation         : {np.quantile(sample, float(q)):8.1f} ms")

# %%
print(f"{'n':>7} {'P99 [ms]':>9} {'95 % interval [ms]':>20}")
estimates = []
for n in (100, 500, 2000, 10_000, 100_000):
    draws = rng.lognormal(math.log(median_ms), sigma, n)
    p99 = latency.percentile(draws, q)
    low, high = latency.percentile_interval(draws, q)
    estimates.append((n, p99, low, high))
    print(f"{n:>7,} {p99:>9.0f} {low:>9.0f} to {high:>7.0f}")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(10, 5.2))
for position, (_, p99, low, high) in enumerate(estimates):
    bounded = math.isfinite(high)
    top = high if bounded else 3200
    ax.plot([position, position], [low, top], color=COLORS["primary"], linewidth=3)
    ax.plot(position, p99, "o", color=COLORS["primary"], markersize=9)
    ax.text(
        position,
        top + 50,
        f"{low:.0f} to {high:.0f}" if bounded else f"{low:.0f} to ?",
        ha="center",
    )
ax.plot(0, 3200, "^", color=COLORS["primary"], markersize=12)
ax.axhline(true_p99, color=COLORS["error"], linestyle="--", linewidth=1.6)
ax.text(4.4, true_p99 - 95, f"true P99 {true_p99:.1f} ms", color=COLORS["error"], ha="right")
ax.set_xticks(range(len(estimates)), [f"{n:,}" for n, *_ in estimates])
ax.set(
    xlabel="requests in the sample",
    ylabel="P99 and its 95 % interval [ms]",
    xlim=(-0.45, 4.4),
    ylim=(1500, 3400),
)
ax.set_title("A P99 from few requests is a rumour")
show(
    fig,
    "P99 estimates with 95 % intervals for growing samples from one distribution. With 100 "
    "requests the interval has no upper end; at 100,000 it is a few tens of milliseconds wide, and "
    f"its lower end, {estimates[-1][2]:.0f} ms, is just above the true value of {true_p99:.0f} ms.",
    table={
        "n": [row[0] for row in estimates],
        "P99 [ms]": [row[1] for row in estimates],
        "low [ms]": [row[2] for row in estimates],
        "high [ms]": [row[3] for row in estimates],
    },
)

# %% [markdown]
# With 100 requests the upper end does not exist: all hundred lie below the true P99 with
# probability $0.99^{100} =$ << fixed(0.99 ** 100, 3) >>, so even the largest of them is no safe
# bound. A P99 per minute on a quiet endpoint is mostly weather.
#
# **Fan-out turns the tail into the middle.** If a request needs $n$ parallel parts and each is
# slow with probability $p$, independently, then
#
# $$P(\text{some part is slow}) = 1 - (1 - p)^n.$$
#
# *Source: J. Dean and L. A. Barroso, The Tail at Scale, Communications of the ACM 56(2), 2013.*

# %% jupyter={"source_hidden": true}
parts = np.arange(1, 201)
fig, ax = plt.subplots(figsize=(10, 5.2))
for p, style, color in [
    (0.05, ":", COLORS["error"]),
    (0.01, "-", COLORS["primary"]),
    (0.001, "--", COLORS["tertiary"]),
]:
    tail = [100 * latency.fanout_tail(p, int(n)) for n in parts]
    ax.plot(parts, tail, style, color=color, label=f"each part slow in {100 * p:g} %")
at_100 = 100 * latency.fanout_tail(0.01, 100)
ax.plot(100, at_100, "o", color=COLORS["primary"])
ax.annotate(
    f"100 parts: {at_100:.1f} %", (100, at_100), xytext=(12, -18), textcoords="offset points"
)
ax.set(
    xlabel="parallel parts of a request",
    ylabel="requests with a slow part [%]",
    xlim=(0, 200),
    ylim=(0, 103),
)
ax.set_title("What is rare for a part is normal for the whole")
ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.42))
show(
    fig,
    f"Share of requests with at least one slow part against the number of parallel parts. With "
    f"parts slow in 1 % of cases, {at_100:.1f} % of requests with 100 parts are slow.",
    table={
        "parts": [1, 10, 100],
        "p = 0.1 % [%]": [100 * latency.fanout_tail(0.001, n) for n in (1, 10, 100)],
        "p = 1 % [%]": [100 * latency.fanout_tail(0.01, n) for n in (1, 10, 100)],
        "p = 5 % [%]": [100 * latency.fanout_tail(0.05, n) for n in (1, 10, 100)],
    },
)

# %% [markdown]
# **Hedging** fights back: if a part has not answered by its P95, send it again elsewhere and take
# the first answer. The extra load is the share of requests still open at that moment. It helps
# when slowness belongs to the *place* (a stalled replica) and not to the request: a prompt that
# is long here is long everywhere.

# %%
stalled, stall_ms = 0.02, 5000  # assumptions: share of calls that meet a stall, its length


def call(n):
    """Latencies of n calls, a few of which meet a stalled replica [ms]."""
    return rng.lognormal(math.log(median_ms), sigma, n) + stall_ms * (rng.random(n) < stalled)


alone = call(20_000)
hedge_at = latency.percentile(alone, "0.95")
hedged = np.minimum(alone, hedge_at + call(20_000))
print(
    f"hedge at P95 = {hedge_at:.0f} ms: extra load {latency.hedged_extra_load(alone, '0.95'):.1%}"
)
for name, values in [("alone", alone), ("hedged", hedged)]:
    print(f"{name:<7} P99 = {latency.percentile(values, '0.99'):5.0f} ms")

# %% [markdown]
# > **Common mistake.** Averaging percentiles. The mean of two shards' P99 is not the P99 of their
# > traffic, and no weighting repairs it: keep the samples, or histograms with fixed buckets, and
# > merge those.

# %%
quick = rng.lognormal(math.log(300), sigma, 9800)
slow = rng.lognormal(math.log(1600), sigma, 200)
apart = [latency.percentile(values, "0.99") for values in (quick, slow)]
merged = latency.percentile(np.concatenate([quick, slow]), "0.99")
weighted = 0.98 * apart[0] + 0.02 * apart[1]
print(f"P99 of each shard                     : {apart[0]:5.0f} and {apart[1]:.0f} ms")
print(f"P99 of all requests                   : {merged:5.0f} ms")
print(f"common mistake, live: mean of the P99s: {sum(apart) / 2:5.0f} ms")
print(f"common mistake, live: weighted mean   : {weighted:5.0f} ms")

# %% [markdown]
# **Check yourself.** Of 250 sorted samples, which one (counting from 1) is the nearest-rank P95?

# %%
answer = None
check_yourself(
    answer,
    lambda: latency.nearest_rank("0.95", 250),
    "rank of the P95",
    "Nearest rank: q times the number of samples, rounded up, counted from 1.",
    mistakes={"that rounds down, or counts from 0": 237, "that interpolates": 0.95 * 249 + 1},
    worked="0.95 * 250 = 237.5, rounded up: number {right}.",
)

# %% [markdown]
# ## 1.11 Graceful degradation
#
# **Question.** Traffic doubled, and the full pipeline no longer meets its latency promise. What
# do we serve in the meantime?
#
# $$a^* = \arg\max_{a:\ \mathrm{P99}(a) \le \mathrm{SLO}} \mathrm{quality}(a),
# \qquad \text{and if no } a \text{ qualifies: shed.}$$
#
# **Argument.** A latency promise is a constraint, not a preference, so it is not traded against
# quality: first keep what is allowed, then take the best of it. A tie goes to the cheaper action,
# then to the faster one. "Shed", an early and honest refusal, is part of the answer: serving late
# costs the same GPU time, and the user has gone.
#
# *Source: B. Beyer et al. (eds.), Site Reliability Engineering, 2016, chapters 21 and 22.*

# %%
actions = [  # assumptions: measured under the present load; cost in USD per 1000 answers
    {"name": "full pipeline", "p99_ms": 2600, "quality": 0.99, "cost": 4.0},
    {"name": "lower retrieval k", "p99_ms": 1500, "quality": 0.97, "cost": 3.1},
    {"name": "no reranker", "p99_ms": 1700, "quality": 0.93, "cost": 3.3},
    {"name": "small model", "p99_ms": 900, "quality": 0.90, "cost": 0.9},
    {"name": "cached answer", "p99_ms": 150, "quality": 0.70, "cost": 0.1},
]
print(f"{'SLO [ms]':>8}  action")
for slo_ms in (3000, 2000, 1500, 1000, 200, 100):
    print(f"{slo_ms:>8}  {reliability.choose_action(actions, slo_ms)}")

# %% jupyter={"source_hidden": true}
slo_ms = 2000
chosen = reliability.choose_action(actions, slo_ms)
limits = np.arange(100, 3001, 10)
quality = {action["name"]: action["quality"] for action in actions} | {"shed": np.nan}
reachable = [quality[reliability.choose_action(actions, int(limit))] for limit in limits]

fig, ax = plt.subplots(figsize=(10, 5.4))
ax.step(limits, reachable, where="post", color=COLORS["primary"], label="best within the limit")
ax.axvline(slo_ms, color=COLORS["error"], linestyle="--", label=f"SLO {slo_ms} ms")
for action in actions:
    name, x, y = action["name"], action["p99_ms"], action["quality"]
    dominated = quality[reliability.choose_action(actions, x)] > y
    color = COLORS["neutral"] if dominated else COLORS["primary"]
    ax.plot(x, y, "X" if dominated else "o", color=color, markersize=10)
    weight = "bold" if name == chosen else "normal"
    note = f"{name}\n(never best)" if dominated else name
    place = {"xytext": (-8, 7), "ha": "right"}
    if dominated:
        place = {"xytext": (0, -44), "ha": "center"}
    elif x < 500:
        place = {"xytext": (0, 10), "ha": "left"}
    ax.annotate(note, (x, y), textcoords="offset points", weight=weight, **place)
ax.set(xlabel="P99 allowed [ms]", ylabel="quality", ylim=(0.65, 1.02), xlim=(0, 3050))
ax.set_title("The degradation frontier")
ax.legend(loc="lower right")
show(
    fig,
    f"Quality against P99 for {len(actions)} actions. The best reachable quality is a staircase; "
    f"at an SLO of {slo_ms} ms the choice is {chosen}. One action is dominated and never best.",
    table={key: [action[key] for action in actions] for key in ("name", "p99_ms", "quality")},
)

# %% [markdown]
# > **Common mistake.** Taking the fastest action as soon as the SLO is in danger: it gives away
# > quality that was still affordable. Or filtering by the *mean* latency, which nearly always
# > passes. Or indexing into the filtered list and using the index in the full one. Or letting an
# > empty list raise an exception at the very moment when the system is overloaded.
#
# **Check yourself.** A sixth action is measured, `"quantised"`: P99 1200 ms, quality 0.95, 2.2 USD.
# Which of the six is right for an SLO of 1400 ms? Write its name in quotes, as a text.

# %%
answer = None
check_yourself(
    answer,
    lambda: reliability.choose_action(
        [*actions, {"name": "quantised", "p99_ms": 1200, "quality": 0.95, "cost": 2.2}], 1400
    ),
    "the action for 1400 ms, a text in quotes",
    "Cross out what is slower than the SLO allows, then take the best of what is left.",
    mistakes={
        "it is slower than 1400 ms": "lower retrieval k",
        "the fastest, or the cheapest, is not the best that is allowed": "cached answer",
        "it was the best of five: the sixth is allowed too": "small model",
    },
    worked="Of the actions that are within 1400 ms, the best quality has {right}.",
)

# %% [markdown]
# ## 1.12 Traces and the checklist
#
# **Question.** Somebody says "we are at 40 tokens per second and 99.9 %". What would you have to
# see to believe it?
#
# A trace: one record for each request, failed ones included. This is the checklist; a record
# without one of its six lines cannot be argued with, only believed.

# %%
for line in traces.checklist():
    print(line)

# %% [markdown]
# Everything else is derived, for each record that is complete and "ok":
#
# $$\mathrm{TTFT} = t_{first} - t_{arrival}, \qquad \mathrm{E2E} = t_{end} - t_{arrival}, \qquad
# \mathrm{TPOT} = \frac{t_{end} - t_{first}}{n - 1} \quad (n \ge 2)$$
#
# $$\mathrm{goodput} = \frac{\#\{\text{ok and within the TTFT and the TPOT bound}\}}
# {\text{last end} - \text{first arrival}} \quad [\mathrm{requests/s}]$$
#
# **Argument.** Goodput counts *promises kept per second*. Throughput can rise while goodput falls:
# a longer queue keeps every batch full and every user late. A failed request stays in the
# denominator of the error rate; one that is dropped from the log has not become a success.
#
# *Source: goodput in this sense as in Y. Zhong et al., DistServe, OSDI 2024.*

# %%
rows = [
    # arrival, start, first token, end [s], tokens, status
    (0.0, 0.0, 0.20, 1.20, 41, "ok"),
    (0.5, 0.6, 0.85, 2.85, 81, "ok"),
    (1.0, 1.8, 2.00, 2.00, 1, "ok"),
    (1.5, 1.6, 1.90, 9.90, 101, "ok"),
    (2.0, 2.0, 2.00, 2.00, 0, "error"),
]
names = ("arrival_s", "start_s", "first_token_s", "end_s", "n_out", "status")
records = [dict(zip(names, row, strict=True)) for row in rows]
slo = {"ttft_s": 0.5, "tpot_s": 0.05}
summary = traces.summarize_traces(records, slo)

print(f"{'[s]':<5} {'P50':>7} {'P95':>7} {'P99':>7}")
for metric in ("ttft", "tpot", "e2e"):
    print(f"{metric:<5}", *(f"{summary[f'{metric}_{p}_s']:>7.3f}" for p in ("p50", "p95", "p99")))
print(f"goodput {summary['goodput_rps']:.3f} requests/s, error rate {summary['error_rate']:.0%}")

# %% [markdown]
# One of the five answered late, one crawled, one failed. Now the same trace as a slide would show
# it, and as a log would that forgets a field:

# %%
answered = [record for record in records if record["status"] == "ok"]
ttft = [record["first_token_s"] - record["arrival_s"] for record in answered]
tpot = [
    (record["end_s"] - record["first_token_s"]) / (record["n_out"] - 1)
    for record in answered
    if record["n_out"] >= 2
]
for name, values, bound in [("TTFT", ttft, slo["ttft_s"]), ("TPOT", tpot, slo["tpot_s"])]:
    mean = sum(values) / len(values)
    print(f"mean {name} {mean:.3f} s, bound {bound} s: {'fine' if mean <= bound else 'broken'}")

forgetful = [{key: record[key] for key in names if key != "start_s"} for record in records]
print("a forgetful log lacks:", traces.summarize_traces(forgetful, slo)["missing_fields"])

# %% [markdown]
# > **Common mistake.** Reporting the mean, which hides the tail; computing percentiles over
# > unsorted samples; dropping failures and timeouts from the log, so that the service looks best
# > on its worst day; and measuring with a client that waits for one answer before it sends the
# > next, and so never meets the queue that it should measure.
#
# **Check yourself.** The log goes on: a sixth request has the status "timeout", and a seventh, "ok",
# lacks its `start_s`. What is the error rate of all seven, as a share?

# %%
answer = None
check_yourself(
    answer,
    lambda: traces.summarize_traces([*records, {"status": "timeout"}, {"status": "ok"}], slo)[
        "error_rate"
    ],
    "error rate",
    "Late is not failed, and a record that lacks a field still counts: look at the status alone.",
    mistakes={
        "a record that lacks a field is no failed request": 3 / 7,
        "all seven are counted, complete or not": 2 / 6,
        "the timeout is a failure too": 1 / 7,
        "that is over those that did not fail": 2 / 5,
        "late and slow ones did not fail": 4 / 7,
    },
    worked='Two of seven have another status than "ok": 2 / 7 = {right}.',
)

# %% [markdown]
# ## 1.13 Scheduling, admission and overload
#
# **Question.** The same work, the same GPU: can the order of service alone make users happier?
# And what happens when there is simply too much of it?
#
# **Order.** Two jobs are present, one of length 10 and one of length 1. First come, first served
# with the long one in front makes both wait for it; shortest remaining processing time (SRPT)
# lets the short one go first.

# %% jupyter={"source_hidden": true}
jobs = [10, 1]  # service times [s], in order of arrival, both present at time 0
fcfs = scheduling.fcfs_mean_sojourn(jobs)
srpt = scheduling.srpt_mean_sojourn(jobs)

fig, ax = plt.subplots(figsize=(10, 3.6))
for y, order in [(1, jobs), (0, sorted(jobs))]:
    ends = np.cumsum(order)
    for size, end in zip(order, ends, strict=True):
        long = size == max(jobs)
        color = COLORS["primary"] if long else COLORS["secondary"]
        ax.barh(y, size, left=end - size, height=0.5, color=color, edgecolor="white")
        ax.text(
            end - size / 2,
            y,
            f"job of {size} s" if long else f"{size} s",
            ha="center",
            va="center",
            color="white" if long else "black",
        )
        ax.text(end, y + 0.27, f"done at {end}", ha="right" if long else "left", va="bottom")
ax.text(12.2, 1, f"mean {fcfs:g} s", va="center", weight="bold")
ax.text(12.2, 0, f"mean {srpt:g} s", va="center", weight="bold")
ax.set(yticks=[1, 0], yticklabels=["FCFS", "SRPT"], xlabel="time [s]", xlim=(0, 14.5))
ax.set_ylim(-0.45, 1.6)
ax.grid(axis="y", visible=False)
show(
    fig,
    f"Two schedules of a 10 s job and a 1 s job. First come, first served with the long one first "
    f"has a mean time of {fcfs:g} s; shortest first has {srpt:g} s. The last job ends at the same "
    f"time in both.",
    table={"order": ["FCFS", "SRPT"], "mean time in system [s]": [fcfs, srpt]},
)

# %% [markdown]
# **Argument.** Swap two neighbours in the schedule: the short one gains the length of the long
# one, the long one loses the length of the short one. So putting the shorter first always lowers
# the mean, and SRPT is optimal for the mean. The catch is in the word *mean*: under load the
# longest jobs wait longest, and a language model's output length is not known in advance.
#
# **Variability.** For Poisson arrivals and any service time with squared coefficient of variation
# $c_s^2 = \mathrm{Var}(S)/E[S]^2$, first come, first served waits (Pollaczek–Khinchine)
#
# $$W_q = \frac{\lambda E[S^2]}{2 (1 - \rho)}
#       = \frac{\rho}{1 - \rho} \cdot \frac{1 + c_s^2}{2} \cdot E[S].$$
#
# An arrival finds the server in a long job more often than in a short one, because long jobs
# cover more time: that is where $E[S^2]$ comes from.
#
# **Priority.** If class 1 may go first (but does not interrupt), its wait falls and the others'
# rises. Cobham's formula gives each class its wait; weighted by work, the mean stays.
#
# *Source: L. E. Schrage, A proof of the optimality of the shortest remaining processing time
# discipline, Operations Research 16(3), 1968; A. Cobham, Priority assignment in waiting line
# problems, Operations Research 2(1), 1954.*

# %%
lam, ES = 16, 0.05  # requests/s, s: rho = 0.8
print(f"{'service time':<24} {'cs2':>4} {'Wq [ms]':>8}")
for name, cs2 in [("all equal", 0), ("exponential", 1), ("heavy-tailed", 9)]:
    print(f"{name:<24} {cs2:>4} {1000 * queueing.pk_wait(lam, ES, cs2):>8.0f}")

# exponential service: E[S^2] = 2 E[S]^2; a quarter of the requests is interactive
interactive, bulk = scheduling.priority_waits([4, 12], [ES, ES], [2 * ES**2, 2 * ES**2])
overall = (4 * interactive + 12 * bulk) / 16
print(f"\nwith priority: interactive {1000 * interactive:.0f} ms, bulk {1000 * bulk:.0f} ms")
print(f"mean over all requests: {1000 * overall:.0f} ms, as without priority")

# %% [markdown]
# **Overload.** No order of service helps when $\rho \ge 1$: something must be refused, and the
# sooner the cheaper. Worse, refused and timed-out users come back. If each attempt fails with
# probability $r$ and every failure is retried, the servers see
#
# $$\lambda' = \frac{\lambda}{1 - r},$$
#
# the sum of the geometric series $\lambda (1 + r + r^2 + \dots)$.

# %%
rho = 0.6
print(f"{'failing':>8} {'load x':>7} {'rho':>6}")
for r in (0, 0.1, 0.3, 0.5):
    factor = scheduling.retry_amplification(r)
    print(
        f"{r:>8.0%} {factor:>7.2f} {rho * factor:>6.2f}",
        "overloaded" if rho * factor >= 1 else "",
    )

# %% [markdown]
# **Rate limits.** A token bucket admits `rate` requests a second in the long run and `burst` at
# once: it fills steadily, each request takes one token, and an empty bucket refuses. So in any
# window of $t$ seconds it admits at most $\mathrm{burst} + \mathrm{rate} \cdot t$.

# %%
rate, burst = 5, 10  # requests/s, requests
bucket = scheduling.TokenBucket(rate, burst)
admitted = [bucket.allow(k / 20) for k in range(60)]  # 20 requests/s for 3 s
print(f"{'second':>6} {'offered':>8} {'admitted':>9}")
for second in range(3):
    window = admitted[20 * second : 20 * (second + 1)]
    print(f"{second + 1:>6} {len(window):>8} {sum(window):>9}")

# %% [markdown]
# > **Common mistake.** Retrying at once and without limit. At $\rho = 0.6$ a failure rate of one
# > half doubles the load to << num(0.6 * scheduling.retry_amplification(0.5), 2) >>: the retries
# > keep the system down after the cause is gone. Retry budgets, backoff with jitter, and refusing
# > early are part of capacity, not of politeness. And a longer queue is no remedy: it turns
# > refusals into timeouts, which cost a GPU and please nobody.
#
# **Check yourself.** Jobs of 4, 1 and 1 s are present together. What is the mean time in the
# system under SRPT, in seconds?

# %%
answer = None
check_yourself(
    answer,
    lambda: scheduling.srpt_mean_sojourn([4, 1, 1]),
    "mean time in the system",
    "Shortest first: a stay lasts from arrival until the job and all before it are done.",
    mistakes={
        "that is FCFS with the long job first: 4, 5 and 6 s": (4 + 5 + 6) / 3,
        "that is the mean of the jobs, without anybody waiting": (4 + 1 + 1) / 3,
        "that is the mean wait, without the service": (0 + 1 + 2) / 3,
        "that is the sum, not the mean": 9.0,
    },
    worked="The short ones go first: they finish at 1, 2 and 6 s, on average (1 + 2 + 6) / 3 = {right} s.",
)

# %% [markdown]
# ## 1.14 Parallelism, fallback, caching
#
# **Question.** The model does not fit, the region may fail, and half the questions repeat. Which of
# these is arithmetic? All of them.
#
# **Parallelism** is a choice of what to split.
#
# | name | splits | good for | price |
# |---|---|---|---|
# | tensor (TP) | every layer over $n$ GPUs | latency; models too big for one | talk every layer |
# | pipeline (PP) | layers into stages | models too large for a node | bubbles; latency stays |
# | data (DP) | requests over whole copies | throughput | the weights once per copy |
# | phase | prefill and decode apart | TTFT and TPOT tuned apart | KV moves between them |
#
# **Fallback.** In a chain every part must work, so availabilities multiply; with alternatives all
# must fail, so unavailabilities do. Both assume independence, which one region and one release
# process take away.
#
# $$A_{series} = \prod_i A_i, \qquad A_{parallel} = 1 - \prod_i (1 - A_i)$$

# %%
chain = reliability.availability_series(["0.999"] * 5)
pair = reliability.availability_parallel(["0.99", "0.99"])
print(f"five parts of 0.999 in a chain : {chain:.5f}")
print(f"two alternatives of 0.99       : {pair:.4f}")

# %% [markdown]
# **Caching.** With hit rate $h$, hit time $t_h$ and miss time $t_m$, the mean is
#
# $$\bar t = h\,t_h + (1 - h)\,t_m,$$
#
# and a lookup of $t_l$ that everybody pays, whoever hits as part of $t_h$, is worth it once
# $h > t_l / t_m$.

# %%
hit_ms, miss_ms, lookup_ms = 5, 800, 2
print(f"h = 0.4: mean {caching.hit_rate_latency(0.4, hit_ms, miss_ms):.0f} ms")
print(f"a {lookup_ms} ms lookup pays from h = {caching.cache_break_even(lookup_ms, miss_ms):.2%}")
share = caching.zipf_hit_share(1000, 100)
print(f"caching the top 100 of 1000 Zipf-distributed questions: h = {share:.0%}")

# %% jupyter={"source_hidden": true}
rates = np.linspace(0, 1, 201)
mean_ms = [caching.hit_rate_latency(float(h), hit_ms, miss_ms) for h in rates]

fig, ax = plt.subplots(figsize=(10, 5))
ax.plot(rates, mean_ms, color=COLORS["primary"], label="mean")
for q, style, color in [(0.5, "--", COLORS["secondary"]), (0.99, ":", COLORS["error"])]:
    ax.step(
        [0, q, 1],
        [miss_ms, hit_ms, hit_ms],
        style,
        where="post",
        color=color,
        label=f"P{100 * q:.0f}",
    )
at = caching.hit_rate_latency(0.4, hit_ms, miss_ms)
ax.plot(0.4, at, "o", color=COLORS["primary"])
ax.annotate(
    f"h = 0.4: mean {at:.0f} ms,\nP50 and P99 still {miss_ms} ms",
    (0.4, at),
    xytext=(-14, -14),
    textcoords="offset points",
    ha="right",
    va="top",
)
ax.set(xlabel="hit rate, h", ylabel="latency [ms]", xlim=(0, 1.005), ylim=(0, 860))
ax.set_title("A cache lowers the mean long before it lowers a percentile")
ax.legend(loc="lower left")
show(
    fig,
    f"Latency against hit rate. The mean falls in a straight line from {miss_ms} to {hit_ms} ms; "
    f"the median stays at {miss_ms} ms until half the requests hit, the P99 until 99 % do.",
    table={
        "h": [0, 0.4, 0.8, 1],
        "mean [ms]": [mean_ms[round(200 * h)] for h in (0, 0.4, 0.8, 1)],
        "P99 [ms]": [miss_ms, miss_ms, miss_ms, hit_ms],
    },
)

# %% [markdown]
# *Source: M. Shoeybi et al., Megatron-LM: Training Multi-Billion Parameter Language Models Using
# Model Parallelism, 2019, arXiv:1909.08053; R. E. Barlow and F. Proschan, Statistical Theory of
# Reliability and Life Testing, 1975, for chains and alternatives.*
#
# > **Common mistake.** Announcing a cache by its mean. At a hit rate of 40 % the mean falls by
# > nearly 40 %, and the P99 by nothing. Next in line: multiplying the unavailabilities of two
# > things that one release takes down together.
#
# **Check yourself.** Three requests in four hit a cache in 10 ms; a miss takes 810 ms. What is the
# mean latency in ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: caching.hit_rate_latency(0.75, 10, 810),
    "mean latency in ms",
    "Weigh both times by their shares.",
    mistakes={
        "the shares are swapped": 0.25 * 10 + 0.75 * 810,
        "that is the plain mean of both times": 410.0,
    },
    worked="0.75 * 10 + 0.25 * 810 = {right} ms.",
)

# %% [markdown]
# ## 1.15 Canary and rollback
#
# **Question.** A new version is to be released, and it may be bad. How many users find out first,
# and when do we know enough to go on?
#
# **Canary.** The new version gets a small share of the traffic, and we compare failure rates. With
# $x_a$ failures of $n_a$ and $x_b$ of $n_b$, pooled $\hat p = (x_a + x_b)/(n_a + n_b)$:
#
# $$z = \frac{\hat p_b - \hat p_a}{\sqrt{\hat p (1 - \hat p)(1/n_a + 1/n_b)}}$$
#
# If both versions are equally good, $z$ is about standard normal; $|z| > 1.96$ happens in 5 % of
# such comparisons.
#
# **Rollback.** What a bad release costs is its share of traffic times its error rate times the
# time until it is gone. That product is spent from the error budget of section 1.9.
#
# *Source: J. L. Fleiss, B. Levin and M. C. Paik, Statistical Methods for Rates and Proportions,
# 3rd edition, 2003.*

# %%
old_bad, old_n, new_bad, new_n = 200, 20_000, 28, 2_000
z = experiments.two_proportion_z(old_bad, old_n, new_bad, new_n)
need = experiments.two_proportion_sample_size(0.010, 0.012)
print(f"old {old_bad / old_n:.1%}, canary {new_bad / new_n:.1%}: z = {z:.3f}")
print(f"to see 1.0 % against 1.2 % (5 % two-sided, 80 % power): {need:,} requests in each arm")

slo, bad_rate, minutes = 0.999, 0.20, 10  # assumptions: promise, failing release, time to undo
print(f"\nmonth's budget spent by a release that fails {bad_rate:.0%} for {minutes} minutes:")
for name, share in [("canary, 5 %", 0.05), ("everybody", 1.0)]:
    burn = share * bad_rate / (1 - slo)
    print(f"{name:<12} {reliability.budget_spent(burn, minutes / 60, 720):>6.1%}")

# %% [markdown]
# The canary looks << num(100 * (28 / 2000) / (200 / 20000) - 100, 2) >> % worse, and yet $|z|$ is
# below 1.96: neither "it is worse" nor "it is as good" has been shown. The action is to wait, and
# the small share is what makes waiting affordable.
#
# > **Common mistake.** Promoting on a point estimate, in either direction; and stopping the test at
# > the first moment when $z$ looks good: whoever looks often enough sees 1.96 by chance.
#
# **Check yourself.** The old version failed 100 of 10 000 requests, the canary 15 of 1000. What
# is $z$?

# %%
answer = None
check_yourself(
    answer,
    lambda: experiments.two_proportion_z(100, 10_000, 15, 1000),
    "z of the canary",
    "The standard error is that of one pooled rate: all failures over all requests.",
    mistakes={
        "that leaves the two rates unpooled under the root": lambda: (
            0.005 / math.sqrt(0.01 * 0.99 / 10_000 + 0.015 * 0.985 / 1000)
        ),
        "that is the difference of the rates: how many standard errors is it?": 0.005,
        "one arm is ten times as long: both numbers of requests stand under the root": lambda: (
            0.005 / math.sqrt(115 / 11_000 * (1 - 115 / 11_000) * 2 / 11_000)
        ),
    },
    worked=lambda: (
        f"p = 115 / 11 000; the root of p (1 - p) (1/10 000 + 1/1000) is "
        f"{math.sqrt(115 / 11_000 * (1 - 115 / 11_000) * 0.0011):.5f}; 0.005 over it: "
        "{right}."
    ),
)

# %% [markdown]
# ## Looking back
#
# A model can do something; a user experiences something else. Serving is the contract between the
# two, and every section of this chapter was one clause of it: how many, how fast, how sure, at
# what price, and what happens when it cannot be kept.
#
# Two habits carry over to every system that you will meet. *Measure the whole path of a request*,
# from the user's click to the last token, queue and failures included, because what is left out
# of the trace will be where the time goes. *Then work on the bottleneck that the promise depends
# on*, and on no other: a faster decode does not help a late first token, a cache that hits half
# the time does not help a P99, and a cheaper token does not help an answer that is wrong.
#
# Before you go on to the exercises, choose a service that you use or run. Which clause of its
# contract could you not put a number to today, and which measurement would give you the number?
