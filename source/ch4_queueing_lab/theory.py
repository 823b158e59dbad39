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
# # Chapter 4 · The queueing lab
#
# The accelerator is fast enough, the model fits, and users still wait. Nothing is broken: requests
# come when they like and take as long as they take, and whatever varies has to wait for whatever
# is busy. Serving is a queueing problem as much as a compute problem, and queueing has laws. This
# chapter derives them, tries each one on a simulated system, and says where it stops being true.
#
# **After this chapter you can**
#
# - turn users into requests in flight and into memory, for any system, without any model;
# - predict a mean wait and a P99 from utilisation and variability, for one server and for a pool;
# - say when batching lowers latency, when it raises it, and what a batching window costs;
# - tell a system that delays from one that loses, and a percentile from a deadline;
# - choose a utilisation target from a latency promise, and defend it in numbers.
#
# ## Map
#
# | sections | subject | the question behind it |
# |---|---|---|
# | 4.1–4.2 | accounting | what holds on every log, whatever the traffic? |
# | 4.3–4.5 | one server | what do variability and load do to the wait, and to its tail? |
# | 4.6 | many servers | why do large pools run hotter? |
# | 4.7–4.8 | batches | what is the batching tax, and who has to pay it? |
# | 4.9–4.10 | no room, no time | what if waiting is impossible or useless? |
# | 4.11–4.13 | decisions | how full, how many, how soon? |
#
# ## How to read
#
# Every section has one rhythm: a question, a formula with units, the argument for it, the numbers
# computed in front of you, the common mistake, and one question to check yourself. Replace
# `answer = None` by your answer and run the cell; three significant digits are enough. The code of
# the pictures is folded away, and below each picture its numbers stand in a table. Simulated
# numbers come from `servemath_helpers.sim` with a fixed seed in each cell, so that you can run
# the cells in any order; they carry noise of a percent or two, the formulas do not.
#
# ## Symbols
#
# << symbols("lam", "mu", "S", "c", "a", "rho", "W", "L", "N_t", "ca2", "SB", "erlang", "q") >>
#
# $T$ is the time in the system of one request: a random number, of which $W$ is the mean and P99
# the 99th percentile. $B$ alone is a batch size; Erlang's $B(c, a)$ always has two arguments. All
# symbols of the course stand in [one table](../../docs/symbols.md), its terms in a
# [glossary](../../docs/glossary.md).

# %%
import math

import numpy as np

from servemath_helpers import (
    batching,
    capacity,
    deadlines,
    facts,
    flow,
    latency,
    planning,
    queueing,
    reliability,
    sim,
)
from servemath_helpers.notebook import COLORS, check_yourself, plt, show
from servemath_helpers.sim import arrivals, services

LONG = 400_000  # customers in a long simulation

# %% [markdown]
# ## 4.1 Little's law as accounting
#
# **Question.** Chat users send 40 requests a second, and each is with us for two seconds. How many
# KV caches do we hold, and what happens to that number when the traffic doubles?
#
# $$L = \lambda W, \qquad \text{memory in use} = L\,m$$
#
# - $L$ mean number in the system [requests], $\lambda$ arrival rate [requests/s], $W$ mean time in
#   the system [s]; $m$ memory of a request while it is there [bytes].
#
# **Argument.** Chapter 1 counted the same ink by rows and by columns. Here is the other picture.
# Draw two staircases: $A(t)$ counts arrivals so far, $D(t)$ departures so far. Their vertical
# distance is the number in the system, $N(t) = A(t) - D(t)$. The area between them is
# $\int N(t)\,dt$. Slice it into horizontal strips of height 1, one for each request: the total is
# the sum of all stays. Two ways to measure one area over an observation window of length $H$:
#
# $$\frac{1}{H}\int_0^H N(t)\,dt = \frac{n}{H}\cdot\frac{1}{n}\sum_{k=1}^{n} (d_k - a_k)
# \qquad\Longleftrightarrow\qquad L = \lambda W$$
#
# The staircases do not say *who* left, only that somebody did. So the law does not care about the
# order of service, nor about Poisson, nor about the number of servers. It needs one thing: what
# came in also went out. It is not a model; it is bookkeeping.
#
# *Source: J. D. C. Little, A proof for the queuing formula: L = λW, Operations Research 9(3),
# 1961.*

# %%
came = [0.0, 0.4, 1.0, 1.3, 2.6, 3.0]  # s
fifo = [1.2, 2.0, 2.8, 3.4, 4.4, 5.0]  # departures, first come, first served
lifo = [1.2, 5.0, 2.8, 2.0, 4.4, 3.4]  # the same moments, other people

print(f"{'order':<24} {'lam [1/s]':>9} {'W [s]':>7} {'L':>6} {'lam W':>6}")
for name, left in [("first come first served", fifo), ("another order", lifo)]:
    row = flow.littles_from_trace(came, left)
    product = row["lam"] * row["W"]
    print(f"{name:<24} {row['lam']:>9.2f} {row['W']:>7.3f} {row['L']:>6.2f} {product:>6.2f}")

# %% jupyter={"source_hidden": true}
H = max(fifo)
moments = np.sort(np.concatenate([[0.0], came, fifo]))
arrived = np.searchsorted(came, moments, side="right")
departed = np.searchsorted(np.sort(fifo), moments, side="right")
present = arrived - departed
area = float(np.sum(np.diff(moments) * present[:-1]))
lost_track = 3  # the strip that is labelled

fig, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(10, 7.4), height_ratios=(3, 2))
upper.fill_between(moments, departed, arrived, step="post", color=COLORS["primary"], alpha=0.15)
upper.step(moments, arrived, where="post", color=COLORS["primary"], label="arrivals so far, A(t)")
upper.step(
    moments,
    departed,
    "--",
    where="post",
    color=COLORS["secondary"],
    label="departures so far, D(t)",
)
y = lost_track + 0.5
upper.annotate(
    "",
    (fifo[lost_track], y),
    (came[lost_track], y),
    arrowprops={"arrowstyle": "<->", "color": "black"},
)
upper.text(1.8, y + 0.12, "a stay", ha="center")
upper.annotate("", (2.3, 4), (2.3, 2), arrowprops={"arrowstyle": "<->", "color": "black"})
upper.text(2.36, 2.75, "N(t)", ha="left", va="center")
upper.set(ylabel="requests", ylim=(0, 6.4), yticks=range(7))
upper.set_title("The area between two staircases ...")
upper.legend(loc="upper left")
lower.fill_between(moments, present, step="post", color=COLORS["primary"], alpha=0.3)
lower.step(moments, present, where="post", color=COLORS["primary"])
lower.axhline(area / H, color="black", linestyle="--", linewidth=1.6)
lower.text(0.02, area / H + 0.12, f"mean, L = {area / H:.2f}")
lower.set(xlabel="time [s]", ylabel="in the system, N(t)", ylim=(0, 3.4), xlim=(0, H + 0.05))
lower.set_yticks(range(4))
lower.set_title(f"... is the area under N(t): {area:.1f} request-seconds in {H:.0f} s")
show(
    fig,
    f"Above, two staircases over {H:.0f} s: arrivals so far and departures so far. The vertical "
    f"distance is the number in the system, the horizontal one a stay. Below, the number in the "
    f"system. Both areas are {area:.1f} request-seconds, so the mean number is {area / H:.2f}.",
    table={"request": range(1, 7), "arrival [s]": came, "departure [s]": fifo},
)

# %% [markdown]
# Now the memory. A conversation on Llama-3-70B that has reached 1280 tokens holds this much, and
# eight GPUs leave this much for it:

# %%
model, gpu, n_gpus = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8
per_request = model.kv_bytes_per_token() * 1280
pool = n_gpus * gpu.memory_bytes - model.weight_bytes()

print(f"a request: {per_request / 1e6:.2f} MB, the pool: {pool / 1e9:.0f} GB")
print(f"{'lam [1/s]':>9} {'W [s]':>6} {'L':>5} {'memory [GB]':>12} {'of the pool':>12}")
for lam, W in [(40, 2), (80, 2), (80, 4)]:
    row = flow.littles_gauge(lam, W, per_request, pool)
    share = row["mem_bytes"] / pool
    print(f"{lam:>9} {W:>6} {row['L']:>5.0f} {row['mem_bytes'] / 1e9:>12.2f} {share:>12.1%}")
limit = flow.littles_gauge(40, 2, per_request, pool)["lam_max"]
print(f"the pool is full, on average, at {limit:.0f} requests/s of 2 s each")

# %% [markdown]
# Double $\lambda$ at the same $W$ and $L$ doubles: 12/s for 2 s are
# << num(queueing.littles_law(lam=12, W=2)) >> in flight, 24/s are
# << num(queueing.littles_law(lam=24, W=2)) >>. But $W$ does not stay the same by itself. As load
# rises $W$ rises too, and $L$ by the product: the third line. That is why a service that was
# comfortable at noon runs out of memory at ten past.
#
# **The law also checks your tools.** Simulate any queue, measure $\lambda$, $W$ and $L$ each by
# its own definition, and the gap must be rounding. If it is not, the measurement is wrong.

# %%
rng = np.random.default_rng(401)
run = sim.simulate_ggc(
    arrivals.bursty(50_000, 300, 4, rng), services.lognormal(50_000, 0.01, 2, rng), 4
)
check = run.little()
product = check.lam_rps * check.W_s
print("bursts, lognormal service, 4 servers")
print(f"lam = {check.lam_rps:.2f}/s, W = {check.W_s * 1e3:.3f} ms")
print(f"L = {check.L:.4f}, lam W = {product:.4f}, gap below 1e-9: {check.gap < 1e-9}")
print(f"most at once: {run.in_system.max()}")

# %% [markdown]
# > **Common mistake.** "L is fixed by the hardware." Hardware decides how many *fit*; users decide
# > how many *are there*. If the two disagree, requests queue, are refused, or are evicted, and then
# > $W$ changes. Also wrong: "the law needs Poisson arrivals". And $L$ is a mean, so a pool of that
# > size is too small for much of the time: in the run above the most at once is about ten times
# > $L$.
#
# **Check yourself.** A pair of smart glasses sends what its camera sees to a server, 45 frames a
# second, and each is in the system for 40 ms. How many frames are in flight on average?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.littles_law(lam=45, W=0.040),
    "frames in flight",
    "Rate times stay, in one unit of time.",
    mistakes={"milliseconds were taken for seconds": 1800.0, "that is one over the other": 1125.0},
    worked="L = lam W = 45 * 0.040 = {right}.",
)

# %% [markdown]
# ## 4.2 One server, one path
#
# **Question.** Three requests of 3 s each arrive one second apart, a fourth much later. Who waits?
#
# $$w_0 = 0, \qquad w_{k+1} = \max\left(0,\; w_k + S_k - A_k\right)$$
#
# - $w_k$ wait of request $k$ [s], $S_k$ its service time [s], $A_k$ time from arrival $k$ to
#   arrival $k+1$ [s]; first come, first served.
#
# **Argument.** Just after request $k$ arrives, the server has $w_k + S_k$ seconds of work in front
# of it, because request $k$ leaves when all that is done. Until the next arrival it works off
# $A_k$ of them. What is left is the next wait, and if nothing is left, the server idles: time that
# it does not get back. That last clause, the maximum with 0, is the whole of queueing theory.
# Without it the mean wait would depend on means only, and with it *variability* costs time that
# later calm does not refund.
#
# *Source: D. V. Lindley, The theory of queues with a single server, Mathematical Proceedings of
# the Cambridge Philosophical Society 48(2), 1952.*

# %%
print("waits [s]:", flow.lindley_waits([0, 1, 2, 10], [3, 3, 3, 1]))

# %% jupyter={"source_hidden": true}
at = np.array([0.0, 1.0, 1.5, 2.0, 6.5, 7.0, 11.0, 11.2, 11.4])
need = np.array([1.2, 1.0, 2.2, 0.8, 1.0, 1.6, 1.0, 0.7, 1.4])
wait = np.array(flow.lindley_waits(at, need))
start, end = at + wait, at + wait + need

fig, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(10, 7.2), height_ratios=(3, 2))
rows = np.arange(1, len(at) + 1)
upper.barh(
    rows,
    wait,
    left=at,
    height=0.55,
    color=COLORS["secondary"],
    label="waits",
    hatch="//",
    edgecolor="white",
)
upper.barh(rows, need, left=start, height=0.55, color=COLORS["primary"], label="is served")
upper.plot(at, rows, "k|", markersize=15, markeredgewidth=2, label="arrives")
upper.invert_yaxis()
upper.set(ylabel="request", yticks=rows)
upper.set_title("Waterfall: each row one request")
upper.legend(loc="lower left")
upper.grid(axis="y", visible=False)
saw_t, saw_v = [0.0], [0.0]
for t, w, s in zip(at, wait, need, strict=True):
    before = saw_t[-1] + saw_v[-1]
    if before < t:
        saw_t.append(before)
        saw_v.append(0.0)
    saw_t += [t, t]
    saw_v += [w, w + s]
saw_t.append(saw_t[-1] + saw_v[-1])
saw_v.append(0.0)
lower.fill_between(saw_t, saw_v, color=COLORS["tertiary"], alpha=0.25)
lower.plot(saw_t, saw_v, color=COLORS["tertiary"])
lower.plot(at, wait, "o", color=COLORS["secondary"], label="found by an arrival: its wait")
idle = sum(max(0.0, at[k + 1] - end[k]) for k in range(len(at) - 1))
lower.set(xlabel="time [s]", ylabel="work left [s]", xlim=(-0.3, end[-1] + 0.3), ylim=(0, 4.3))
lower.set_title("Unfinished work: jumps by a service, falls by a second a second, stops at 0")
lower.legend(loc="upper right")
show(
    fig,
    f"Waterfall of {len(at)} requests on one server over {end[-1]:.1f} s: waits and services as "
    f"bars. Below, unfinished work as a sawtooth that starts afresh after each idle time. The "
    f"server is idle for {idle:.1f} s in between, and yet the longest wait is {wait.max():.1f} s.",
    table={"request": rows, "arrival [s]": at, "service [s]": need, "wait [s]": wait},
)
print(f"busy {need.sum() / end[-1]:.0%} of the time, mean wait {wait.mean():.2f} s")

# %% [markdown]
# Read the sawtooth: the server has time to spare, and still nearly everybody waits, because the
# requests came in clumps. From here on we ask how much that is on average.
#
# > **Common mistake.** Counting the service as part of the wait; and saving up idle time as credit
# > by dropping the maximum with 0. With it dropped, the fourth of the requests in the question
# > would "wait" << num(4 + 3 - 8) >> s.
#
# **Check yourself.** Requests arrive at 0, 1 and 1 s and need 2 s each. How long does the third
# wait, in seconds?

# %%
answer = None
check_yourself(
    answer,
    lambda: flow.lindley_waits([0, 1, 1], [2, 2, 2])[-1],
    "wait of the third request",
    "Lindley: the wait and the service of the one before, less the gap between the two.",
    mistakes={
        "that is the wait of the second, whose own work is in front of the third": 1,
        "that is the time in the system": 5,
        "the first is half done when they come": 4,
    },
    worked="The second waits 1 s; behind it the third waits 1 + 2 = {right} s.",
)

# %% [markdown]
# ## 4.3 Variable service: M/M/1, M/D/1, M/G/1
#
# **Question.** Two models need 10 ms on average at the same load. In one every request is alike;
# in the other a few are huge. What is the difference worth?
#
# $$W_q = \frac{\rho}{1-\rho}\cdot\frac{1 + c_s^2}{2}\cdot S, \qquad
# c_s^2 = \frac{\mathrm{Var}(S_k)}{S^2}$$
#
# - Poisson arrivals, one server, any service time with mean $S$ [s], first come, first served.
#   $c_s^2$ is 0 if all services are alike (M/D/1), 1 if they are exponential (M/M/1), and more
#   with a heavy tail. The formula is due to Pollaczek and Khinchine.
#
# **Argument.** A Poisson arrival sees the system as it is on average. It finds $\lambda W_q$
# requests waiting (Little's law of the queue), each of which needs $S$; and with probability
# $\rho$ one in service, which still needs $R$ on average. So
#
# $$W_q = \rho R + \lambda W_q S \quad\Rightarrow\quad W_q = \frac{\rho R}{1 - \rho}.$$
#
# What is $R$? A long service covers more time than a short one, so an arrival is more likely to
# fall into a long one: it meets services in proportion to their length, and on average in their
# middle, $R = E[S_k^2] / (2S) = S (1 + c_s^2)/2$. The half in the formula is that middle, the
# $c_s^2$ is the bad luck of arriving during a long one.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 5.*

# %%
rng = np.random.default_rng(403)
S, lam = 0.010, 80  # s, requests/s: rho = 0.8
traffic = arrivals.poisson(LONG, lam, rng)
work = {
    0: services.deterministic(LONG, S),
    1: services.exponential(LONG, S, rng),
    4: services.hyperexponential(LONG, S, 4, rng),
}
print(f"{'cs2':>4} {'formula [ms]':>13} {'simulated [ms]':>15}")
for cs2, need in work.items():
    run = sim.simulate_gg1(traffic, need).without_warmup()
    print(f"{cs2:>4} {1e3 * queueing.pk_wait(lam, S, cs2):>13.1f} {1e3 * run.wait_s.mean():>15.1f}")

# %% jupyter={"source_hidden": true}
rng = np.random.default_rng(1403)
loads = np.linspace(0, 0.95, 191)
dots = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
kinds = [
    (0, "all alike (M/D/1)", ":", "tertiary", "s"),
    (1, "exponential (M/M/1)", "-", "primary", "o"),
    (4, "heavy-tailed, cs2 = 4", "--", "error", "^"),
]
simulated = {}
for cs2, *_ in kinds:
    simulated[cs2] = []
    for rho in dots:
        n = 2 * LONG
        need = (
            services.deterministic(n, 1) if cs2 == 0 else services.hyperexponential(n, 1, cs2, rng)
        )
        run = sim.simulate_gg1(arrivals.poisson(n, rho, rng), need).without_warmup()
        simulated[cs2].append(float(run.wait_s.mean()))

fig, ax = plt.subplots()
for cs2, label, style, color, marker in kinds:
    exact = [queueing.pk_wait(float(rho), 1, cs2) for rho in loads]
    ax.plot(loads, exact, style, color=COLORS[color], label=label)
    ax.plot(dots, simulated[cs2], marker, color=COLORS[color], markersize=8)
    y = queueing.pk_wait(0.8, 1, cs2)
    ax.annotate(f"{y:.0f} S", (0.8, y), xytext=(-12, 6), textcoords="offset points", ha="right")
ax.plot([], [], "o", color=COLORS["neutral"], label="simulated (dots)")
ax.set(
    xlabel="utilisation, rho", ylabel="mean wait, in service times S", ylim=(0, 25), xlim=(0, 0.97)
)
ax.set_title("Same mean service, same load: variability sets the slope")
ax.legend(loc="upper left")
show(
    fig,
    "Mean wait against utilisation for Poisson arrivals. All three curves rise hyperbolically; at "
    "utilisation 0.8 the wait is 2 service times if all services are alike, 4 if exponential, 10 "
    "if heavy-tailed. Simulated dots lie on the lines.",
    table={
        "rho": dots,
        **{
            f"cs2 = {cs2}, formula": [queueing.pk_wait(r, 1, cs2) for r in dots]
            for cs2, *_ in kinds
        },
        **{f"cs2 = {cs2}, simulated": simulated[cs2] for cs2, *_ in kinds},
    },
)

# %% [markdown]
# Two levers multiply: load through $\rho/(1-\rho)$ and variability through $(1 + c_s^2)/2$. Cutting
# the longest prompts into chunks, or giving them a server of their own, turns the second lever
# without any hardware. Making service perfectly regular halves the M/M/1 wait and no more: the
# other half is the arrivals' doing.
#
# > **Common mistake.** Putting $c_s$ where its square belongs: at $c_s^2 = 4$ that gives
# > << num(1e3 * queueing.pk_wait(80, 0.01, 2)) >> ms instead of
# > << num(1e3 * queueing.pk_wait(80, 0.01, 4)) >> ms, and no test with constant or exponential
# > service notices, since 0 and 1 are their own squares. The other one: reporting the time in the
# > system, << num(1e3 * (queueing.pk_wait(80, 0.01, 1) + 0.01)) >> ms for M/M/1, as the wait.
#
# **Check yourself.** 60 requests/s of 10 ms, $c_s^2 = 3$, Poisson arrivals. What is the mean wait
# in ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1e3 * queueing.pk_wait(60, 0.010, 3),
    "mean wait in ms",
    "rho / (1 - rho), times (1 + cs2) / 2, times the service time.",
    mistakes={
        "that is the time in the system": 40.0,
        "that is M/M/1: the variation is missing": 15.0,
        "that leaves the halving out: (1 + cs2) / 2": 60.0,
        "that takes cs2 = 3 for c_s": 15.0 * 5,
    },
    worked="rho = 0.6: 0.6 / 0.4 * (1 + 3) / 2 * 10 ms = {right} ms.",
)

# %% [markdown]
# ## 4.4 Burstiness
#
# **Question.** The load test with Poisson traffic was fine. Production has the same rate and the
# same utilisation, and waits several times as long. Why?
#
# $$W_q \approx \frac{\rho}{1-\rho}\cdot\frac{c_a^2 + c_s^2}{2}\cdot S$$
#
# - $c_a^2$ squared coefficient of variation of the times between arrivals: 0 periodic, 1 Poisson,
#   above 1 bursty. Any arrivals, any service (G/G/1). The approximation is Kingman's.
#
# **Argument.** Compare with 4.3: the 1 that stood for Poisson arrivals has become $c_a^2$. Near
# full load the recursion of 4.2 is a random walk with small downward drift, held up at 0. Such a
# walk has an exponential stationary law whose mean is half of variance over drift: the variance
# per step is $c_a^2/\lambda^2 + c_s^2 S^2$, the drift $1/\lambda - S$, and as $\rho \to 1$ the
# quotient becomes the formula. So it is exact in the limit of heavy traffic and, by 4.3, for
# Poisson arrivals at every load. Elsewhere it is an approximation, and for bursts at light load a
# poor one. Two moments do not even fix the sign of its error: below, two streams of one rate and
# one $c_a^2$ stand on both sides of it.
#
# *Source: J. F. C. Kingman, The single server queue in heavy traffic, Mathematical Proceedings of
# the Cambridge Philosophical Society 57(4), 1961.*

# %%
rng = np.random.default_rng(404)
print(f"{'rho':>4} {'ca2':>4} {'Kingman [ms]':>13} {'simulated [ms]':>15} {'ratio':>6}")
for rho, ca2 in [(0.8, 1), (0.8, 4), (0.5, 9), (0.9, 9)]:
    guess = queueing.kingman_wait(rho, S, ca2, 1)
    traffic = arrivals.bursty(LONG, rho / S, ca2, rng)
    run = sim.simulate_gg1(traffic, services.exponential(LONG, S, rng)).without_warmup()
    found = run.wait_s.mean()
    print(f"{rho:>4} {ca2:>4} {1e3 * guess:>13.0f} {1e3 * found:>15.0f} {guess / found:>6.2f}")

# %% [markdown]
# "Bursty" above means intervals of two kinds, short and long. The same $c_a^2 = 9$ comes from
# *clumps*: four intervals in five are 0, so that five come together on average. Whoever comes in a
# clump also waits for those of it who are ahead, and the mean wait is exactly
# $(m - 1 + \rho)/(1 - \rho)$ services, with $m$ the mean clump (M/M/1 with geometric batches).

# %%
rng = np.random.default_rng(2405)
clump = 5
print(f"{'rho':>4} {'Kingman [S]':>12} {'two kinds [S]':>14} {'clumps [S]':>11} {'exact':>6}")
for rho in (0.3, 0.5, 0.9):
    guess = queueing.kingman_wait(rho, 1, 2 * clump - 1, 1)
    gaps = rng.exponential(clump / rho, LONG) * (rng.random(LONG) < 1 / clump)
    found = [
        sim.simulate_gg1(traffic, services.exponential(LONG, 1, rng)).without_warmup().wait_s.mean()
        for traffic in (arrivals.bursty(LONG, rho, 2 * clump - 1, rng), np.cumsum(gaps))
    ]
    exact = (clump - 1 + rho) / (1 - rho)
    print(f"{rho:>4} {guess:>12.1f} {found[0]:>14.1f} {found[1]:>11.1f} {exact:>6.1f}")

# %% jupyter={"source_hidden": true}
rng = np.random.default_rng(1404)
streams = [
    ("periodic, ca2 = 0", arrivals.periodic(400, 1), "tertiary"),
    ("Poisson, ca2 = 1", arrivals.poisson(400, 1, rng), "primary"),
    ("bursty, ca2 = 9", arrivals.bursty(400, 1, 9, rng), "error"),
]
dots = [0.3, 0.5, 0.7, 0.8, 0.9]
bursts = [(1, "-", "primary", "o"), (4, "--", "secondary", "D"), (9, ":", "error", "^")]
simulated = {}
for ca2, *_ in bursts:
    simulated[ca2] = []
    for rho in dots:
        traffic = arrivals.bursty(2 * LONG, rho, ca2, rng)
        run = sim.simulate_gg1(traffic, services.exponential(2 * LONG, 1, rng)).without_warmup()
        simulated[ca2].append(float(run.wait_s.mean()))

fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), width_ratios=(2, 3))
for y, (label, instants, color) in enumerate(streams):
    inside = instants[(instants > 100) & (instants < 160)] - 100
    left.vlines(inside, -y, -y + 0.55, color=COLORS[color], linewidth=1.6)
    left.text(0, -y + 0.62, label, va="bottom")
left.set(xlabel="time, in mean intervals", ylim=(-2.15, 1.0), xlim=(-1, 61), yticks=[])
left.set_title("One rate, three streams")
left.grid(visible=False)
for ca2, style, color, marker in bursts:
    curve = [queueing.kingman_wait(float(r), 1, ca2, 1) for r in loads]
    right.plot(loads, curve, style, color=COLORS[color], label=f"Kingman, ca2 = {ca2}")
    right.plot(dots, simulated[ca2], marker, color=COLORS[color], markersize=8)
off = queueing.kingman_wait(0.5, 1, 9, 1) / simulated[9][1] - 1
right.annotate(
    f"{off:+.0%} at rho = 0.5",
    (0.5, queueing.kingman_wait(0.5, 1, 9, 1)),
    xytext=(-30, 60),
    textcoords="offset points",
    ha="center",
    arrowprops={"arrowstyle": "->", "color": COLORS["error"]},
)
right.plot([], [], "o", color=COLORS["neutral"], label="simulated (markers)")
right.set(xlabel="utilisation, rho", ylabel="mean wait, in service times S")
right.set(ylim=(0, 50), xlim=(0, 0.95))
right.set_title("Exact for Poisson, too high for these bursts")
right.legend(loc="upper left")
show(
    fig,
    f"Left: arrivals of one mean rate, periodic, Poisson and bursty. Right: mean wait against "
    f"utilisation by Kingman's formula and by simulation. For ca2 = 1 they agree; for ca2 = 9 the "
    f"formula is {off:.0%} too high at utilisation 0.5 and close at 0.9.",
    table={
        "rho": dots,
        **{
            f"ca2 = {k}, Kingman": [queueing.kingman_wait(r, 1, k, 1) for r in dots]
            for k in simulated
        },
        **{f"ca2 = {k}, simulated": values for k, values in simulated.items()},
    },
)

# %% [markdown]
# **Backwards.** The formula also reads a measurement. Glasses render at 60 Hz, 15 ms a frame, so
# $\rho = 15/16.7 = 0.9$; frames come like clockwork, $c_a^2 = 0$, and wait for 5 ms on average.
# Then the *computation* must vary with
# $c_s =$ << num(queueing.implied_cs(5, 0.9, 15, 0), 3) >>: a quarter up and down. Had the frames
# been Poisson, no $c_s$ would fit, because Poisson arrivals alone would make them wait longer.
#
# **What intervals do not show.** The index of dispersion asks about counts instead of intervals:
#
# $$I(t) = \frac{\mathrm{Var}(\text{arrivals in a window of } t)}{E[\text{arrivals in a window of }
# t]}, \qquad I = 1 \text{ for Poisson at every } t$$
#
# If intervals are independent, $I(t)$ tends to $c_a^2$. Real intervals are not: busy minutes follow
# busy minutes. Here are two services of a cloud provider, from published statistics:

# %%
print(f"{'service':<14} {'requests/s':>10} {'ca2':>7} {'I(60 s)':>8} {'peak minute / mean':>19}")
for name, key in [("conversations", "conv"), ("coding", "code")]:
    row = sim.azure_statistics()[key]
    ca2, dispersion = row["interarrival_cv"] ** 2, row["index_of_dispersion_60s"]
    peak = row["peak_over_mean_60s"]
    print(f"{name:<14} {row['mean_rate']:>10.2f} {ca2:>7.1f} {dispersion:>8.1f} {peak:>19.1f}")

# %% [markdown]
# The conversations look harmless interval by interval, and their minutes vary twenty times as much
# as Poisson minutes. A queue remembers for longer than one interval, so it feels the minutes.
# Traffic with these statistics, on one server with exponential service:

# %%
rng = np.random.default_rng(2404)
row = sim.azure_statistics()["conv"]
traffic = sim.synthetic_azure("conv", LONG, rng).arrival_s
print(f"{'rho':>4} {'Kingman with ca2 [S]':>21} {'simulated [S]':>14}")
for rho in (0.3, 0.5, 0.7, 0.8):
    mean_s = rho / row["mean_rate"]
    run = sim.simulate_gg1(traffic, services.exponential(LONG, mean_s, rng)).without_warmup()
    guess = queueing.kingman_wait(rho, 1, row["interarrival_cv"] ** 2, 1)
    print(f"{rho:>4} {guess:>21.2f} {run.wait_s.mean() / mean_s:>14.2f}")

# %% [markdown]
# *Source of the statistics: Azure LLM inference trace 2023; P. Patel et al., Splitwise, ISCA 2024.
# The traffic is a two-phase Poisson process fitted to them, not the trace itself.*
#
# > **Common mistake.** Calling Poisson traffic bursty. It is the memoryless middle, with index 1:
# > what is left when nothing is regular and nothing comes in clumps. Bursty is $c_a^2 > 1$, or an
# > index of dispersion above 1. The opposite mistake is in the last table: to measure $c_a^2$ from
# > intervals, find it near 1, and plan as if traffic were Poisson. Measure dispersion over windows
# > as long as your queue's memory, and replay real traffic before you believe a formula.
#
# **Check yourself.** $\rho = 0.75$, $S$ = 8 ms, exponential service, arrivals with $c_a^2 = 3$.
# What does Kingman's formula give for the mean wait, in ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.kingman_wait(0.75, 8, 3, 1),
    "mean wait in ms",
    "Kingman: rho / (1 - rho), times the mean of ca2 and cs2, times the service time.",
    mistakes={
        "that is the time in the system": 56.0,
        "that leaves the halving out: (ca2 + cs2) / 2": 96.0,
        "that is M/M/1: the bursts are missing": 24.0,
    },
    worked="0.75 / 0.25 = 3, (3 + 1) / 2 = 2, times 8 ms: {right} ms.",
)

# %% [markdown]
# ## 4.5 Tails
#
# **Question.** The mean is 50 ms. What is the P99: twice that, five times, ten times?
#
# $$P(T > t) = e^{-t/W} \quad\Rightarrow\quad \frac{\mathrm{P99}}{W} = \ln 100 =
# << fixed(queueing.mm1_sojourn_quantile_s("0.99", 0, 1), 3) >>
# \qquad \text{(any independent intervals, exponential service, one server)}$$
#
# **Argument.** With exponential service, the number that an arrival finds is geometric, whatever
# the distribution of the intervals (the GI/M/1 queue; `renewal.gim1_sigma` gives the ratio of the
# geometric law, which is the share of arrivals that wait). Found $n$ ahead, one stays for $n + 1$
# exponential services; and a geometric number of exponential times is again exponential. So
# bursts and load change the *mean*, and the ratio of P99 to mean stays: at every load, for every
# $c_a^2$, about four and a half.
#
# What can change it is the service, or intervals that depend on one another. If all services are
# alike there is less tail. If a few are huge, whoever is behind one of them is slow, and the P99
# loses touch with the mean.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 6 (GI/M/1).*

# %%
common, huge, share = 0.005, 0.505, 0.01  # s, s, share of huge requests
S_mix = (1 - share) * common + share * huge
second = (1 - share) * common**2 + share * huge**2
cs2_mix = second / S_mix**2 - 1
print(f"{1 - share:.0%} take {1e3 * common:g} ms, {share:.0%} take {1e3 * huge:g} ms: ", end="")
print(f"mean {1e3 * S_mix:.0f} ms, cs2 = {cs2_mix:.1f}")

# %% [markdown]
# For such a mixture the distribution of $T$ has no closed form, but an exact recipe. The wait is a
# geometric number of *residual* services (the middles of 4.3), so its transform is
# $(1-\rho)/(1-\rho \hat f)$ with $\hat f$ that of the residual. On a fine grid the transform is an
# FFT.


# %% jupyter={"source_hidden": true}
def mg1_p99_over_mean(rho, sizes, shares, horizon, cells=1 << 15):
    """P99 over mean of the time in an M/G/1 system whose services take a few values."""
    sizes, shares, h = np.asarray(sizes), np.asarray(shares), horizon / cells
    mean = float(shares @ sizes)
    edges = np.maximum((np.arange(cells + 1) - 0.5) * h, 0)
    residual = np.diff(np.minimum(edges[:, None], sizes) @ shares) / mean
    wait = np.fft.ifft((1 - rho) / (1 - rho * np.fft.fft(residual))).real
    at_most, grid = np.cumsum(wait), (np.arange(cells) + 0.5) * h
    served = sum(
        p * np.interp(grid - s, grid, at_most, left=0) for s, p in zip(sizes, shares, strict=True)
    )
    p99 = float(np.interp(0.99, served, grid))
    cs2 = float(shares @ sizes**2) / mean**2 - 1
    return p99 / (queueing.pk_wait(rho / mean, mean, cs2) + mean)


# %%
rng = np.random.default_rng(405)
rho = 0.3
exact = mg1_p99_over_mean(rho, [common, huge], [1 - share, share], horizon=10)
need = services.mixture(LONG, [1 - share, share], [common, huge], rng)
run = sim.simulate_gg1(arrivals.poisson(LONG, rho / S_mix, rng), need).without_warmup()
ratio = run.percentile("0.99") / run.sojourn_s.mean()
print(f"P99 / mean with 1 % huge requests at rho = {rho}: {exact:.2f} (simulated {ratio:.1f})")

# %% jupyter={"source_hidden": true}
rng = np.random.default_rng(1405)
dots = [0.1, 0.3, 0.5, 0.7, 0.9]
fine = np.linspace(0.02, 0.95, 63)
heavy = [mg1_p99_over_mean(float(r), [common, huge], [1 - share, share], 60, 1 << 16) for r in fine]
alike = [mg1_p99_over_mean(float(r), [1.0], [1.0], 200, 1 << 15) for r in fine]
families = [("Poisson", 1, "o", "primary"), ("bursty, ca2 = 9", 9, "^", "secondary")]
ratios = {}
for name, ca2, *_ in families:
    ratios[name] = []
    for rho in dots:
        traffic = arrivals.bursty(LONG, rho, ca2, rng)
        run = sim.simulate_gg1(traffic, services.exponential(LONG, 1, rng)).without_warmup()
        ratios[name].append(run.percentile("0.99") / float(run.sojourn_s.mean()))

fig, ax = plt.subplots(figsize=(10, 5.6))
ax.plot(fine, heavy, "-.", color=COLORS["error"], label="Poisson, 1 % huge requests (exact)")
ax.axhline(math.log(100), color="black", linewidth=1.6, label="ln 100: exponential service (exact)")
for name, _, marker, color in families:
    ax.plot(
        dots, ratios[name], marker, color=COLORS[color], markersize=9, label=f"{name} (simulated)"
    )
ax.plot(fine, alike, ":", color=COLORS["tertiary"], label="Poisson, all services alike (exact)")
at = mg1_p99_over_mean(0.3, [common, huge], [1 - share, share], 10)
ax.plot(0.3, at, "o", color=COLORS["error"])
ax.annotate(f"{at:.2f}", (0.3, at), xytext=(8, 8), textcoords="offset points")
ax.set(xlabel="utilisation, rho", ylabel="P99 / mean of the time in the system")
ax.set(xlim=(0, 1), ylim=(0, 26))
ax.set_title("Exponential service: P99 is 4.6 means, at every load, for any traffic")
ax.legend(loc="upper right")
show(
    fig,
    f"P99 over mean against utilisation. With exponential service the ratio is ln 100 = "
    f"{math.log(100):.3f} at every load, for Poisson and for bursty arrivals. With all services "
    f"alike it is below; with one per cent huge requests it is {at:.2f} at utilisation 0.3 and "
    f"approaches ln 100 near full load.",
    table={
        "rho": dots,
        **{f"{name}, simulated": values for name, values in ratios.items()},
        "all alike": [float(np.interp(r, fine, alike)) for r in dots],
        "1 % huge": [float(np.interp(r, fine, heavy)) for r in dots],
    },
)

# %% [markdown]
# Near full load all curves come together: there the wait is a sum of so many services that their
# shape is forgotten (heavy traffic, 4.4). Elsewhere, **if intervals are independent**, a ratio well
# above 5 is a fact about *what* you serve, not about how full you are. Storms break the rule: a
# stream that runs at half the service rate for long and at one and a half times for short overloads
# the server now and then, and all who come in a storm are late together.

# %%
rng = np.random.default_rng(2406)
storms = arrivals.markov_modulated(10 * LONG, [0.5, 1.5], [2000, 100], rng)
run = sim.simulate_gg1(storms, services.exponential(10 * LONG, 1, rng))
ratio = run.percentile("0.99") / float(run.sojourn_s.mean())
gaps = np.diff(storms)
print(f"exponential service, storms: P99 / mean = {ratio:.0f}", end="")
print(
    f" at rho = {run.utilisation():.2f}; ca2 of the intervals is {np.var(gaps) / gaps.mean() ** 2:.1f}"
)

# %% [markdown]
# > **Common mistake.** "P99 is ten times the mean, because of the batching window." A window adds
# > a bounded time, to everybody about the same: in 4.8 the P99 of every batching policy stays below
# > twice its mean. Ten times the mean is the signature of a heavy-tailed service time (mixed prompt
# > lengths, a cold cache, a retry, a neighbour) or of arrivals that come in storms. Look at the
# > distribution of the work and at the counts of arrivals before you touch the scheduler.
#
# **Check yourself.** An M/M/1 service has a mean time in the system of 120 ms. What is its P95 in
# ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: 120 * math.log(20),
    "P95 in ms",
    "An exponential quantile is ln(1 / (1 - q)) means.",
    mistakes={
        "that is the P99": 120 * math.log(100),
        "that is a decimal logarithm": 120 * math.log10(20),
        "that takes ln(0.95)": -120 * math.log(0.95),
    },
    worked="120 ms * ln(1 / 0.05) = 120 ln 20 = {right} ms.",
)

# %% [markdown]
# ## 4.6 Many servers
#
# **Question.** One server at 80 % has a terrible tail. Do eight servers at 80 % behind one queue
# have the same?
#
# **Picture.** Where eight tills share one queue, you wait only if all eight are busy, and then the
# next of eight to finish takes you. Two numbers follow: how probable it is that all are busy, and
# how fast the queue moves if they are. The first falls quickly as the pool grows at the same
# utilisation; the second is the spare rate of the whole pool, not of one server. The time in the
# system is the service and, with the first probability, a wait at the second rate:
#
# $$P(T > t) = e^{-t/S} + C(c, a)\,\frac{e^{-t/S} - e^{-(c - a)\,t/S}}{c - 1 - a}
# \quad (a \ne c-1), \qquad e^{-t/S}\left(1 + C(c, a)\,\frac{t}{S}\right) \quad (a = c-1)$$
#
# $$C(c, a) = \frac{c\,B(c, a)}{c - a\,(1 - B(c, a))}, \qquad B(k, a) = \frac{a\,B(k-1, a)}
# {k + a\,B(k-1, a)}, \quad B(0, a) = 1$$
#
# - Poisson arrivals, exponential service, $c$ servers, one queue (M/M/c); $a = \lambda S$ offered
#   load; $C(c, a)$ the probability that an arrival has to wait (Erlang C).
#
# **Argument.** With probability $1 - C$ one is served at once and stays for an exponential time of
# mean $S$. Otherwise all $c$ servers are busy and finish at rate $c/S$ together, while $\lambda$
# arrive: the queue behaves like an M/M/1 queue at rate $(c - a)/S$, so the wait of those who wait
# is exponential with that rate. $T$ is the sum of the two, and the formula is its tail.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, section 3.5; M. Harchol-Balter,
# Performance Modeling and Design of Computer Systems, 2013, chapter 14.*

# %%
print(f"at rho = 0.8, in service times S{'':<8} (no waiting at all: P99 = {math.log(100):.3f})")
print(f"{'c':>4} {'P(wait)':>8} {'mean wait':>10} {'P99':>7}")
for c in (1, 2, 4, 8, 16):
    a = 0.8 * c
    p99 = queueing.mmc_sojourn_quantile_s("0.99", a, 1, c)
    print(f"{c:>4} {queueing.erlang_c(c, a):>8.3f} {queueing.mmc_wait(a, 1, c):>10.3f} {p99:>7.2f}")

# %% jupyter={"source_hidden": true}
rng = np.random.default_rng(406)
loads = np.linspace(0.02, 0.97, 96)
pools = [
    (1, "-", "error", "o"),
    (2, "--", "secondary", "D"),
    (4, "-.", "primary", "s"),
    (8, ":", "tertiary", "^"),
    (16, (0, (5, 1, 1, 1)), "highlight", "v"),
]
dots = [0.5, 0.7, 0.8]
simulated = {}
for c, *_ in pools:
    simulated[c] = []
    for rho in dots:
        n = LONG // 2
        run = sim.simulate_ggc(
            arrivals.poisson(n, rho * c, rng), services.exponential(n, 1, rng), c
        )
        simulated[c].append(run.without_warmup().percentile("0.99"))

fig, ax = plt.subplots(figsize=(10, 6.2))
for c, style, color, marker in pools:
    curve = [queueing.mmc_sojourn_quantile_s("0.99", float(r) * c, 1, c) for r in loads]
    label = "1 server" if c == 1 else f"{c} servers, one queue"
    ax.plot(loads, curve, linestyle=style, color=COLORS[color], label=label)
    ax.plot(dots, simulated[c], marker, color=COLORS[color], markersize=7)
ax.axhline(math.log(100), color="black", linewidth=1)
ax.text(0.015, math.log(100) - 0.35, "ln 100: service alone", va="top")
ax.axvline(0.8, color=COLORS["neutral"], linewidth=1.2, linestyle="--")
for c in (1, 2, 4):
    y = queueing.mmc_sojourn_quantile_s("0.99", 0.8 * c, 1, c)
    ax.annotate(f"{y:.1f}", (0.8, y), xytext=(-6, 5), textcoords="offset points", ha="right")
ax.set(xlabel="utilisation, rho", ylabel="P99 of the time in the system, in S")
ax.set(ylim=(0, 32), xlim=(0, 1))
ax.set_title("The cliff moves to the right as the pool grows")
ax.legend(loc="upper left", bbox_to_anchor=(0.0, 0.98))
show(
    fig,
    "P99 of the time in the system against utilisation for pools of 1 to 16 servers, with "
    "simulated markers. One server rises early; larger pools stay near ln 100 = 4.6 service times "
    "until close to full load. At 80 per cent: 23.0, 11.9, 6.9, 5.15 and 4.7.",
    table={
        "rho": dots,
        **{
            f"c = {c}": [queueing.mmc_sojourn_quantile_s("0.99", r * c, 1, c) for r in dots]
            for c, *_ in pools
        },
        **{f"c = {c}, simulated": values for c, values in simulated.items()},
    },
)

# %% [markdown]
# A cliff, not a knee: there is no angle in the formula, but in a large pool P99 stays flat for so
# long, and then rises so steeply, that a dashboard looks healthy until shortly before it does not.
#
# **Write it so that it does not overflow.** Textbooks often factor $e^{-t/S}$ out and leave
# $1 - e^{-(c - 1 - a)\,t/S}$, whose exponent is *positive* when $a > c - 1$; and Erlang's functions
# are given as quotients of $a^c/c!$. Both leave the range of a float where real pools live.

# %%
c, a = 1000, 900.0  # a large pool at 90 %
nearly_full, t = 7.99, 1000  # offered load of 8 servers, time in units of S
for name, attempt in [
    ("a**c / c!", lambda: a**c / math.factorial(c)),
    ("1 - exp(-(c - 1 - a) t / S)", lambda: 1 - math.exp(-(8 - 1 - nearly_full) * t)),
]:
    try:
        print(f"textbook form {name:<28}: {attempt():.3g}")
    except OverflowError:
        print(f"textbook form {name:<28}: OverflowError")
print(f"by recursion: C({c}, {a:.0f}) = {queueing.erlang_c(c, a):.3e}")
tail = queueing.mmc_sojourn_tail(t, nearly_full, 1, 8)
print(
    f"decaying exponentials only: P(T > {t} S) = {tail:.3e} on 8 servers at {nearly_full / 8:.1%}"
)

# %% [markdown]
# > **Common mistake.** Treating $c$ servers as one that is $c$ times as fast. The fast server would
# > also *serve* each request $c$ times as fast; a pool does not. It removes the wait and leaves the
# > service, so its P99 never falls below $S \ln 100$. With $\mu = 3$/s and $\lambda = 10$/s four
# > servers let wait for << fixed(queueing.mmc_wait(10, 3, 4), 3) >> s and serve for
# > << fixed(1 / 3, 3) >> s on average; one of 12/s would do
# > << fixed(queueing.mm1(10, 12).Wq, 3) >> s and << fixed(1 / 12, 3) >> s.
#
# **Check yourself.** Two pooled servers with an offered load of $a = 1.2$: which share of the
# arrivals has to wait?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.erlang_c(2, 1.2),
    "probability of waiting",
    "Erlang B by its recursion from B(0) = 1, then C from B.",
    mistakes={
        "that is Erlang B: those who are lost if nobody may wait": lambda: queueing.erlang_b(
            2, 1.2
        ),
        "that is the utilisation": 0.6,
    },
    worked="B(1) = 1.2/2.2 and B(2) = 0.2466; C = B / (1 - rho (1 - B)) with rho = 0.6: {right}.",
)

# %% [markdown]
# ## 4.7 The batching tax
#
# **Question.** The server waits until $B$ requests are there and serves them in one go. At which
# $B$ are users happiest?
#
# $$W(B) = \underbrace{\frac{B - 1}{2\lambda}}_{\text{formation}}
# + \underbrace{\frac{\rho}{1-\rho}\cdot\frac{1}{2B}\cdot S(B)}_{\text{wait for the server}}
# + \underbrace{S(B)}_{\text{service}}, \qquad S(B) = \alpha + \beta B, \qquad
# \rho = \frac{\lambda\,S(B)}{B}$$
#
# - $\alpha$ fixed time of a batch, $\beta$ time of each member [ms]; $\lambda$ in requests/ms.
#
# **Argument.** Formation was derived in 1.4. A batch closes with every $B$-th arrival, so the
# intervals between batches are sums of $B$ exponential intervals: their squared coefficient of
# variation is $1/B$. Every full batch takes the same time, $c_s^2 = 0$. Put both into Kingman's
# formula. The first term grows with $B$, the second falls steeply, since a small batch wastes
# $\alpha$ on few requests and is nearly overloaded: hence a U.
#
# *Source: own derivation from Kingman's formula; an approximation, tested below.*

# %%
alpha, beta, lam_ms = 50, 0.5, 0.1  # ms, ms/request, requests/ms (100/s)
rng = np.random.default_rng(407)
traffic = arrivals.poisson(LONG, 1e3 * lam_ms, rng)
fixed_runs = {}
print(f"{'B':>3} {'rho':>6} {'formation':>10} {'wait':>7} {'service':>8}", end="")
print(f" {'sum [ms]':>9} {'simulated':>10}")
for B in (5, 6, 7, 8, 16, 32):
    row = batching.batch_metrics(B, lam_ms, alpha, beta)
    total = batching.batch_latency(B, lam_ms, alpha, beta)
    if not row["stable"]:
        print(f"{B:>3} {row['rho']:>6.3f} {'never catches up':>38}")
        continue
    fixed_runs[B] = sim.simulate_batch(traffic, B, alpha / 1e3, beta / 1e3).without_warmup()
    found = 1e3 * fixed_runs[B].sojourn_s.mean()
    wait = total - row["formation"] - row["S"]
    print(
        f"{B:>3} {row['rho']:>6.3f} {row['formation']:>10.1f} {wait:>7.1f} {row['S']:>8.1f}", end=""
    )
    print(f" {total:>9.1f} {found:>10.1f}")

# %% jupyter={"source_hidden": true}
B_min = batching.min_stable_batch("0.1", 50, "0.5")
B_best = batching.best_fixed_batch(lam_ms, alpha, beta)
sizes = np.arange(B_min, 41)
rows = [batching.batch_metrics(int(B), lam_ms, alpha, beta) for B in sizes]
total = np.array([batching.batch_latency(int(B), lam_ms, alpha, beta) for B in sizes])
service = np.array([row["S"] for row in rows])
forming = np.array([row["formation"] for row in rows])
queued = total - service - forming

fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), width_ratios=(3, 2))
left.stackplot(
    sizes,
    service,
    queued,
    forming,
    colors=[COLORS["primary"], COLORS["error"], COLORS["secondary"]],
    alpha=0.55,
    labels=["service S(B)", "wait for the server", "formation"],
)
left.plot(sizes, total, color="black", linewidth=1.8, label="formula, W(B)")
left.plot(
    list(fixed_runs),
    [1e3 * run.sojourn_s.mean() for run in fixed_runs.values()],
    "o",
    color="white",
    markeredgecolor="black",
    markersize=8,
    label="simulated",
)
left.axvspan(0, B_min - 0.5, color=COLORS["neutral"], alpha=0.25, linewidth=0)
left.text((B_min - 0.5) / 2, 130, "never catches up", rotation=90, ha="center", va="center")
left.annotate(
    f"least: {total.min():.0f} ms at B = {B_best}",
    (B_best, total.min()),
    xytext=(13, 74),
    arrowprops={"arrowstyle": "->", "color": "black"},
)
left.set(xlabel="batch size B", ylabel="mean time in the system [ms]", xlim=(0, 40), ylim=(0, 285))
left.set_title("Fixed batches, at 100 requests/s")
left.legend(loc="upper center", ncols=2)
all_sizes = range(1, 41)
for rate, style, color in [(10, ":", "tertiary"), (40, "--", "primary"), (100, "-", "error")]:
    curve = [batching.batch_latency(B, rate / 1e3, alpha, beta) for B in all_sizes]
    right.semilogy(all_sizes, curve, style, color=COLORS[color], label=f"{rate}/s")
    best = batching.best_fixed_batch(rate / 1e3, alpha, beta)
    right.plot(
        best, batching.batch_latency(best, rate / 1e3, alpha, beta), "o", color=COLORS[color]
    )
right.set(xlabel="batch size B", ylabel="mean time in the system [ms]", xlim=(0, 40))
right.set_ylim(40, 3000)
right.set_yticks([50, 100, 200, 500, 1000, 2000], ["50", "100", "200", "500", "1000", "2000"])
right.minorticks_off()
right.set_title("Best size (dot) by load")
right.legend(loc="lower right")
bests = {rate: batching.best_fixed_batch(rate / 1e3, alpha, beta) for rate in (10, 40, 100)}
show(
    fig,
    f"Left: mean time in the system against batch size at 100 requests/s, stacked from service, "
    f"wait and formation; unstable below {B_min}, least {total.min():.0f} ms at {B_best}, then "
    f"rising, mostly with formation; simulated dots lie close. Right: the same for three loads; the best "
    f"size is {bests[10]} at 10/s, {bests[40]} at 40/s and {bests[100]} at 100/s.",
    table={
        "B": list(fixed_runs),
        "formula [ms]": [batching.batch_latency(B, lam_ms, alpha, beta) for B in fixed_runs],
        "simulated [ms]": [1e3 * run.sojourn_s.mean() for run in fixed_runs.values()],
    },
)

# %% [markdown]
# The formula is a few per cent high where the server is nearly full, within 1 % beyond. So "does
# batching raise latency?" has no answer without a load. At 100/s it first *lowers* it, from
# infinity; at 10/s the best batch is << batching.best_fixed_batch(0.01, 50, 0.5) >>, and every
# larger one is a tax. If $\lambda\beta \ge 1$, not even an endless batch keeps up.
#
# > **Common mistake.** Leaving out the formation wait, because no server is busy meanwhile: it is
# > most of the latency at $B = 32$. The opposite one is to conclude that batching hurts latency,
# > and to run at $B = 1$ into an overload that a batch of seven would have absorbed.
#
# **Check yourself.** $\alpha$ = 40 ms, $\beta$ = 1 ms, 100 requests/s. What is the smallest batch
# size that keeps up?

# %%
answer = None
check_yourself(
    answer,
    lambda: batching.min_stable_batch("0.1", 40, 1),
    "smallest stable batch size",
    "lam (alpha + beta B) < B, strictly.",
    mistakes={
        "a smaller batch keeps up already": 6,
        "such a batch takes longer than its requests take to arrive": 4,
    },
    worked="B > 0.1 * 40 / (1 - 0.1 * 1) = 4.44: {right}.",
)

# %% [markdown]
# ## 4.8 Greedy batching and the window tax
#
# **Question.** Must anybody wait for a batch to fill?
#
# Three policies for a server that can take up to $B_{max}$ at once:
#
# | policy | starts | idle while somebody waits? |
# |---|---|---|
# | fixed | when exactly $B$ are there | yes |
# | window | when $B_{max}$ are there, or the oldest has waited for $w$ ms | yes, up to $w$ |
# | greedy | whenever it is free and somebody is there, with all who are there | never |
#
# **Argument.** Greedy is *work-conserving*. Batches form by themselves: while one is served, the
# next gathers, about $\lambda S(B)$ of them. When load is light batches are small and quick; when
# it is heavy they grow, and with them the throughput, up to $1/\beta$. Its typical batch solves
# $B = \lambda(\alpha + \beta B)$, that is $B = \lambda\alpha/(1 - \lambda\beta)$: the very edge of
# stability for *fixed* batches, where a greedy server is at home. A window can only add idleness.
#
# *Source: own simulation. Continuous batching of language models is greedy at every token step:
# G.-I. Yu et al., Orca, OSDI 2022.*

# %%
rng = np.random.default_rng(408)
traffic = arrivals.poisson(LONG, 1e3 * lam_ms, rng)
policies = {f"fixed, B = {B_best}": {"B": B_best}, "greedy": {"B": 128, "policy": "greedy"}}
for w in (50, 100, 200):
    policies[f"window {w} ms"] = {"B": 128, "policy": "window", "window_s": w / 1e3}
outcomes = {
    name: sim.simulate_batch(
        traffic, alpha_s=alpha / 1e3, beta_s=beta / 1e3, **how
    ).without_warmup()
    for name, how in policies.items()
}
print(f"{'policy':<14} {'mean [ms]':>10} {'P99 [ms]':>9} {'mean batch':>11} {'busy':>7}")
for name, run in outcomes.items():
    mean, p99 = 1e3 * run.sojourn_s.mean(), 1e3 * run.percentile("0.99")
    size, busy = run.mean_batch(), run.busy_fraction()
    print(f"{name:<14} {mean:>10.1f} {p99:>9.0f} {size:>11.2f} {busy:>7.1%}")
edge = lam_ms * alpha / (1 - lam_ms * beta)
print(f"lam alpha / (1 - lam beta) = {edge:.2f}")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), width_ratios=(3, 2))
left.plot(sizes, total, color=COLORS["primary"], label="fixed B")
left.plot(B_best, total.min(), "o", color=COLORS["primary"], markersize=9)
shown = [("greedy", "-", "tertiary"), ("window 50 ms", "--", "secondary")]
shown += [("window 100 ms", "-.", "highlight"), ("window 200 ms", ":", "error")]
for name, style, color in shown:
    mean = 1e3 * float(outcomes[name].sojourn_s.mean())
    left.axhline(mean, linestyle=style, color=COLORS[color], label=f"{name}: {mean:.1f}")
left.set(xlabel="batch size B of the fixed policy", ylabel="mean time in the system [ms]")
left.set(xlim=(5, 32), ylim=(60, 240))
left.set_title("No fixed size is as good as greedy")
left.legend(loc="upper left")
names = list(outcomes)
means = [1e3 * float(run.sojourn_s.mean()) for run in outcomes.values()]
tails = [1e3 * run.percentile("0.99") for run in outcomes.values()]
rows = np.arange(len(names))
right.barh(rows - 0.2, means, height=0.38, color=COLORS["primary"], label="mean")
right.barh(
    rows + 0.2,
    tails,
    height=0.38,
    color=COLORS["secondary"],
    hatch="//",
    edgecolor="white",
    label="P99",
)
for y, (mean, tail) in enumerate(zip(means, tails, strict=True)):
    right.text(mean + 4, y - 0.2, f"{mean:.0f}", va="center", fontsize=11)
    right.text(tail + 4, y + 0.2, f"{tail:.0f}", va="center", fontsize=11)
right.set_yticks(rows, names)
right.invert_yaxis()
right.set(xlabel="time in the system [ms]", xlim=(0, 305))
right.grid(axis="y", visible=False)
right.set_title("Mean and P99")
fig.get_layout_engine().set(wspace=0.05)
right.legend(loc="upper right")
show(
    fig,
    f"Left: mean time of fixed batches, at its least {total.min():.0f} ms and so above the line "
    f"of the greedy policy at {means[1]:.1f} ms; windows of 50, 100 and 200 ms give "
    f"{means[2]:.1f}, {means[3]:.1f} and {means[4]:.1f} ms. Right: mean and P99 of the policies; "
    f"greedy has both the least mean and the least P99.",
    table={"policy": names, "mean [ms]": means, "P99 [ms]": tails},
)

# %% [markdown]
# A window of 50 ms costs little here: a batch takes longer than that, so the window has mostly run
# out by the time the server is free. A window of 200 ms doubles the latency and gains nothing, for
# the throughput is the load in every case. Windows are for saving *energy or money* at light load,
# where fewer, fuller batches cost less; they are not for latency.
#
# **Busy is not utilisation.** With $\alpha$ = 20 ms, $\beta$ = 1 ms and 200 requests/s, a greedy
# server that could take 128 at once:

# %%
rng = np.random.default_rng(1408)
traffic = arrivals.poisson(LONG, 200, rng)
run = sim.simulate_batch(traffic, 128, 0.020, 0.001, policy="greedy").without_warmup()
print(f"busy {run.busy_fraction():.1%} of the time, but {run.utilisation():.0%} of its capacity")
print(f"mean {1e3 * run.sojourn_s.mean():.1f} ms, P99 {1e3 * run.percentile('0.99'):.1f} ms")

# %% [markdown]
# > **Common mistake.** "A GPU that is 100 % busy is overloaded." True of $\rho = \lambda/(c\mu)$;
# > not of a batch server, which is nearly always busy and merely serves small batches while it has
# > capacity to spare. The load of a batch server is $\lambda S(B_{max})/B_{max}$, and what to watch
# > is the batch size against its maximum. The other mistake is to add a window "for efficiency" at
# > a load where batches form anyway.
#
# **Check yourself.** A greedy server has $\alpha$ = 20 ms, $\beta$ = 1 ms, and requests come at
# 0.6/ms. About how many are in a batch, by the balance above?

# %%
answer = None
check_yourself(
    answer,
    lambda: 0.6 * 20 / (1 - 0.6 * 1),
    "typical batch",
    "In balance as many come as leave while a batch is served: B = lam (alpha + beta B).",
    mistakes={
        "that leaves out that the batch itself takes time: the work of beta": 12.0,
        "that is the service time of such a batch": 50.0,
    },
    worked="B = lam (alpha + beta B), so B = 0.6 * 20 / (1 - 0.6 * 1) = {right}.",
)

# %% [markdown]
# ## 4.9 Loss systems
#
# **Question.** A hearing aid has memory for one audio frame and none for a second. What happens to
# a frame that comes while one is processed? It is not late. It is gone.
#
# $$B(k, a) = \frac{a\,B(k-1, a)}{k + a\,B(k-1, a)}, \qquad B(0, a) = 1$$
#
# - $B(c, a)$ share of Poisson arrivals that find all $c$ places taken and are lost (Erlang B);
#   $a$ arrival rate times mean service time. It holds for *every* service distribution.
#
# **Argument.** With $k$ in service, arrivals lead up at rate $\lambda$ and completions down at rate
# $k/S$. In balance, what goes up between two neighbouring states comes down: $p_k = p_{k-1}\,a/k$.
# So $p_k$ is proportional to $a^k/k!$, an arrival is lost if it finds state $c$, and dividing
# numerator and denominator by those of $c - 1$ gives the recursion. Every step adds and divides
# positive numbers, so nothing overflows, however large the system.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, section 3.6.*

# %%
rng = np.random.default_rng(409)
frame_s, frames = 0.008, 200_000  # 8 ms of work, 100 frames/s: a = 0.8
constant = services.deterministic(frames, frame_s)
poisson = arrivals.poisson(frames, 100, rng)
clock = arrivals.periodic(frames, 0.010)
print(f"{'arrivals':<10} {'service':<12} {'places':>6} {'buffer':>6} {'lost':>7} {'Erlang B':>9}")
for name, traffic, need, c, buffer in [
    ("periodic", clock, constant, 1, 0),
    ("Poisson", poisson, constant, 1, 0),
    ("Poisson", poisson, services.exponential(frames, frame_s, rng), 1, 0),
    ("Poisson", poisson, constant, 2, 0),
    ("Poisson", poisson, constant, 1, 1),
    ("Poisson", poisson, constant, 1, 2),
]:
    lost = sim.simulate_loss(traffic, need, c, buffer=buffer).loss_fraction()
    kind = "constant" if need is constant else "exponential"
    theory = (
        f"{queueing.erlang_b(c, 0.8):>9.1%}" if name == "Poisson" and not buffer else f"{'–':>9}"
    )
    print(f"{name:<10} {kind:<12} {c:>6} {buffer:>6} {lost:>7.1%} {theory}")

# %% [markdown]
# The same 80 % load: nothing is lost if frames come like clockwork, and nearly half if they come at
# random. A second place, or a little buffer, is worth far more than a faster processor.

# %% jupyter={"source_hidden": true}
ratio = np.linspace(0.05, 2.0, 118)
fig, ax = plt.subplots(figsize=(10, 5.8))
for c, style, color in [
    (1, "-", "error"),
    (2, "--", "secondary"),
    (8, "-.", "primary"),
    (200, ":", "tertiary"),
]:
    lost = [100 * queueing.erlang_b(c, float(r) * c) for r in ratio]
    ax.plot(ratio, lost, linestyle=style, color=COLORS[color], label=f"c = {c}")
ax.plot(
    ratio, [100 * max(0, 1 - 1 / r) for r in ratio], color="black", linewidth=1.2, label="c endless"
)
for c, r, place in [(1, 0.8, (0.44, 50.5)), (200, 0.9, (1.17, 2.5))]:
    y = 100 * queueing.erlang_b(c, r * c)
    ax.plot(r, y, "o", color="black")
    note = f"c = {c}, a = {r * c:g}: {y:.1f} %"
    arrow = {"arrowstyle": "-", "color": "black", "linewidth": 0.8}
    ax.annotate(note, (r, y), xytext=place, va="center", arrowprops=arrow)
ax.set(xlabel="offered load per place, a / c", ylabel="lost [%]", xlim=(0, 2), ylim=(-2, 68))
ax.set_title("A loss system bends, it does not break")
ax.legend(loc="upper left", ncols=2)
show(
    fig,
    f"Share lost against offered load per place for 1, 2, 8, 200 and endlessly many places. One "
    f"place loses {100 * queueing.erlang_b(1, 0.8):.1f} per cent at load 0.8; 200 places lose "
    f"{100 * queueing.erlang_b(200, 180):.1f} per cent at 0.9. Beyond load 1 all lose at least the "
    f"excess, and none breaks down.",
    table={
        "a / c": [0.5, 0.8, 0.9, 1, 2],
        **{
            f"c = {c} [%]": [100 * queueing.erlang_b(c, r * c) for r in (0.5, 0.8, 0.9, 1, 2)]
            for c in (1, 2, 8, 200)
        },
    },
)

# %% [markdown]
# Admission control makes a loss system on purpose: a KV pool with $c$ slots and no queue refuses a
# share $B(c, a)$ at once instead of letting everybody time out. With
# 200 slots for a load of 180 it refuses << fixed(100 * queueing.erlang_b(200, 180), 2) >> %. Room for
# twenty more to wait (M/M/c/K, `queueing.mmck`) brings that down to
# << fixed(100 * queueing.mmck(180, 1, 200, 220)["loss"], 2) >> %: a buffer turns loss into delay.
#
# > **Common mistake.** "Without a buffer the second frame crashes the device." It is lost, which is
# > a rate, and the rate depends on the *arrivals*:
# > << fixed(100 * queueing.erlang_b(1, 0.8), 1) >> % for Poisson, none for a clock without jitter.
# > Also wrong: Erlang C for a system without a queue, and $a^c/c!$ in floats, which ends in an
# > overflow at a few hundred places.
#
# **Check yourself.** Two places, an offered load of 2. Which share of the arrivals is lost?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.erlang_b(2, 2),
    "share lost",
    "Nobody can wait: Erlang B, by its recursion from B(0) = 1.",
    mistakes={
        "that is the share lost with one place": 2 / 3,
        "that is Erlang C, where they wait": 1.0,
        "that is the share served": 0.6,
    },
    worked="B(1, 2) = 2/3, B(2, 2) = 2 * (2/3) / (2 + 2 * (2/3)) = {right}.",
)

# %% [markdown]
# ## 4.10 Real time
#
# **Question.** A frame takes 15 ms to compute and waits 5 ms. The display runs at 60 Hz. Do users
# see 50 frames a second?
#
# $$\mathrm{FPS} = \frac{f}{\max(1, \lceil t f/1000 \rceil)}, \qquad
# t = \begin{cases} t_c & \text{pipelined}\\ t_c + t_w & \text{otherwise}\end{cases}
# \qquad\qquad \alpha + \beta n \le D$$
#
# - $f$ refresh rate [Hz], $t_c$ computation and $t_w$ wait of a frame [ms]; $n$ inputs that arrive
#   together and form one batch, $D$ deadline [ms].
#
# **Argument.** A display shows a frame at a refresh or not at all, so a frame that misses one is
# shown at the next: its time is rounded *up* to whole periods. Where an answer is useless after its
# deadline, percentiles of a mean-and-variance model do not help; one adds up *worst* cases. And if
# inputs come together, as from synchronised cameras, the last of them waits for all the others:
# $n S$ one by one, or $\alpha + \beta n$ in one batch.
#
# *Source: elementary; worst-case reasoning as in J. W. S. Liu, Real-Time Systems, 2000.*

# %%
print(f"{'compute':>7} {'wait':>5} {'pipelined':>10} {'frames/s':>9} {'age when shown':>15}")
period = 1000 / 60
for compute, wait, pipelined in [(15, 5, False), (15, 5, True), (11, 5, False), (20, 0, True)]:
    fps = deadlines.achieved_fps(60, compute, wait, pipelined)
    age = math.ceil((compute + wait) / period) * period
    print(f"{compute:>4} ms {wait:>2} ms {pipelined!s:>10} {fps:>9.0f} {age:>12.1f} ms")

alpha_ms, beta_ms, D = 2, 1.5, 10  # a vision model on the vehicle
within = f"within {D} ms"
print(f"\n{'cameras':>7} {'one by one [ms]':>16} {'one batch [ms]':>15} {within:>13}")
for n in (1, 3, 5, 6):
    ok = "yes" if deadlines.edge_batch_ok(n, alpha_ms, beta_ms, D) else "no"
    print(f"{n:>7} {n * (alpha_ms + beta_ms):>16.1f} {alpha_ms + beta_ms * n:>15.1f} {ok:>13}")

# %% jupyter={"source_hidden": true}
busy = np.linspace(1, 70, 1381)
stairs = [deadlines.achieved_fps(60, float(t), 0, True) for t in busy]
cameras = np.arange(1, 9)

fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), width_ratios=(3, 2))
left.plot(
    busy, np.minimum(60, 1000 / busy), "--", color=COLORS["neutral"], label="1000 / t: no display"
)
left.plot(busy, stairs, color=COLORS["primary"], label="shown on a 60 Hz display")
for t, label, place in [(16, "11 + 5", (-8, -26)), (20, "15 + 5", (8, -22))]:
    fps = deadlines.achieved_fps(60, t, 0, True)
    left.plot(t, fps, "o", color=COLORS["error"], markersize=9)
    align = "right" if place[0] < 0 else "left"
    left.annotate(
        f"{label}: {fps:.0f}", (t, fps), xytext=place, textcoords="offset points", ha=align
    )
left.set(xlabel="time of a frame, t [ms]", ylabel="frames per second", xlim=(0, 70), ylim=(0, 66))
left.set_yticks([0, 12, 15, 20, 30, 60])
left.set_xticks([k * period for k in range(5)], ["0", "16.7", "33.3", "50", "66.7"])
left.set_title("The deadline staircase")
left.legend(loc="upper right")
right.plot(
    cameras, cameras * (alpha_ms + beta_ms), "s--", color=COLORS["secondary"], label="one by one"
)
right.plot(cameras, alpha_ms + beta_ms * cameras, "o-", color=COLORS["primary"], label="one batch")
right.axhline(D, color=COLORS["error"], linewidth=1.8)
right.text(8.4, D - 0.4, f"deadline {D} ms", color=COLORS["error"], ha="right", va="top")
right.annotate(
    f"{alpha_ms + beta_ms * 5:g} ms",
    (5, alpha_ms + beta_ms * 5),
    xytext=(-2, -20),
    textcoords="offset points",
)
right.annotate(
    f"{alpha_ms + beta_ms * 6:g} ms: missed",
    (6, alpha_ms + beta_ms * 6),
    xytext=(-2, 7),
    textcoords="offset points",
    ha="right",
)
right.set(
    xlabel="cameras that fire together",
    ylabel="last answer after [ms]",
    ylim=(0, 30),
    xlim=(0.6, 8.5),
)
right.set_xticks(cameras)
right.set_title("Worst case of a burst")
right.legend(loc="upper left")
show(
    fig,
    f"Left: frames per second on a 60 Hz display against frame time, a staircase at 60, 30, 20 "
    f"and 15 below the smooth curve 1000 / t; 16 ms give 60, 20 ms give 30. Right: time of the "
    f"last answer against the number of cameras; a batch of five takes "
    f"{alpha_ms + beta_ms * 5:g} ms and of six {alpha_ms + beta_ms * 6:g} ms, over the deadline of "
    f"{D} ms; one by one, three cameras already miss it.",
    table={
        "cameras": cameras,
        "one by one [ms]": cameras * (alpha_ms + beta_ms),
        "one batch [ms]": alpha_ms + beta_ms * cameras,
    },
)

# %% [markdown]
# A batch over *sensors* that fire together forms at once. In a batch over *time* the first frame of
# a periodic source waits for the last, and formation counts against its deadline like any wait.
#
# **Jitter** is the spread of arrival times around the clock. Without jitter a periodic source with
# less than a period of work waits for nothing. With jitter $J$ a punctual frame behind a late one
# waits, in the worst case for $J$ less the slack of a period:
#
# $$w_{max} = \max\left(0,\; J - \left(1000/f - t_c\right)\right)$$

# %%
rng = np.random.default_rng(410)
need = services.deterministic(LONG // 4, 0.015)
print("15 ms of work every 16.7 ms, waits in ms")
print(f"{'jitter':>6} {'mean':>6} {'P99':>6} {'worst':>6} {'bound':>6}")
for jitter_ms in (0, 2, 5, 10):
    frames_s = arrivals.periodic(LONG // 4, 1 / 60, jitter_ms / 1e3, rng)
    run = sim.simulate_gg1(frames_s, need)
    mean, p99, worst = run.wait_s.mean(), run.percentile("0.99", "wait"), run.wait_s.max()
    bound = max(0, jitter_ms - (period - 15))
    print(f"{jitter_ms:>6}" + "".join(f" {1e3 * w:>6.2f}" for w in (mean, p99, worst)), end="")
    print(f" {bound:>6.2f}")

# %% [markdown]
# > **Common mistake.** Dividing 1000 by the frame time: 20 ms look like
# > << num(1000 / 20) >> frames/s, and the display shows
# > << num(deadlines.achieved_fps(60, 15, 5, False)) >>. And taking throughput for latency:
# > pipelining brings << num(deadlines.achieved_fps(60, 15, 5, True)) >> frames/s back, but each
# > frame is still two periods old when it is shown, which in a headset is what makes people ill.
#
# **Check yourself.** A 90 Hz headset computes a frame in 8 ms after a wait of 4 ms, not pipelined.
# How many frames a second does it show?

# %%
answer = None
check_yourself(
    answer,
    lambda: deadlines.achieved_fps(90, 8, 4, False),
    "frames per second",
    "A frame is shown at the first refresh after all of its work: how many periods is that?",
    mistakes={
        "that forgets the wait: 8 ms alone would fit": 90.0,
        "a frame is shown with a refresh, not between two": 1000 / 12,
    },
    worked="12 ms are more than one period of 11.1 ms and less than two: 90 / 2 = {right}.",
)

# %% [markdown]
# ## 4.11 How busy is too busy
#
# **Question.** "We run at 80 %, that is best practice." Is it?
#
# $$\rho_{max} = 1 - \frac{S}{T_{max}}\,\ln\frac{1}{1-q} \quad (c = 1), \qquad
# \rho_{max} = \max\{\rho : P(T > T_{max}) \le 1 - q\} \quad (c > 1)$$
#
# - $T_{max}$ promised bound on the time in the system [s], $q$ share of requests that must keep it.
#
# **Argument.** For one server the quantile is $S \ln(1/(1-q))/(1-\rho)$ (4.5 and 1.2); set it equal
# to the promise and solve. For a pool the tail of 4.6 rises with $\rho$, so bisection finds the
# place where it crosses $1 - q$. If the promise is below $S \ln(1/(1-q))$, an *idle* system breaks
# it: then no number of servers helps, only a faster one.
#
# *Source: own derivation from the M/M/1 and M/M/c sojourn distributions.*

# %%
print(f"{'budget':>7}" + "".join(f"{f'c = {c}':>8}" for c in (1, 2, 4, 8, 16)))
for k in (4, 5, 6, 10, 20, 50):
    limits = [queueing.max_utilization(1, k, "0.99", c) for c in (1, 2, 4, 8, 16)]
    print(f"{k:>5} S" + "".join(f"{rho:>8.3f}" for rho in limits))

# %% jupyter={"source_hidden": true}
budgets = np.geomspace(4.4, 100, 160)
fig, ax = plt.subplots(figsize=(10, 6))
for c, style, color, _ in pools:
    limit = [queueing.max_utilization(1, float(k), "0.99", c) for k in budgets]
    label = "1 server" if c == 1 else f"{c} servers, one queue"
    ax.semilogx(budgets, limit, linestyle=style, color=COLORS[color], label=label)
for c in (1, 2, 4, 8):
    y = queueing.max_utilization(1, 10, "0.99", c)
    ax.plot(10, y, "o", color="black", markersize=6)
    ax.annotate(f"{y:.2f}", (10, y), xytext=(7, -15), textcoords="offset points")
ax.axhline(0.8, color=COLORS["neutral"], linewidth=1.2, linestyle="--")
ax.text(98, 0.788, "the 80 % rule", ha="right", va="top", color="#666666")
ax.axvspan(4.2, math.log(100), color=COLORS["neutral"], alpha=0.25, linewidth=0)
ax.text(4.4, 0.06, "impossible", rotation=90, ha="center", va="bottom")
ax.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.set(xlabel="P99 budget, in service times S", ylabel="largest utilisation")
ax.set(xlim=(4.2, 100), ylim=(0, 1.02))
ax.set_title("80 % is right on one point of each curve")
ax.legend(loc="lower right")
show(
    fig,
    "Largest utilisation that keeps a P99 budget, against the budget in service times, for pools "
    "of 1 to 16 servers. At a budget of 10 service times one server may be 54 per cent busy, two "
    "76, four 88, eight 94. Below ln 100 = 4.6 service times no utilisation keeps it.",
    table={
        "budget [S]": [5, 10, 20, 50, 100],
        **{
            f"c = {c}": [queueing.max_utilization(1, k, "0.99", c) for k in (5, 10, 20, 50, 100)]
            for c, *_ in pools
        },
    },
)

# %% [markdown]
# **From promise to plan.** Latency decides the number of servers, Little's law the memory, the
# servers the bill. At 40 requests/s of 0.5 s each and 420 MB a request:

# %%
print(f"{'P99 within':>10} {'c':>4} {'rho':>6} {'P99 [s]':>8} {'L':>6} {'memory':>8} {'USD/h':>6}")
for budget in (2.0, 2.35, 2.5, 3.0, 5.0):
    plan = planning.capacity_plan(40, 0.5, budget, 420e6, 10e9, "3.50")
    if plan is None:
        print(f"{budget:>8} s    no number of servers: S ln 100 = {0.5 * math.log(100):.2f} s")
        continue
    fits = "fits" if plan["mem_ok"] else "too little"
    print(
        f"{budget:>8} s {plan['c']:>4} {plan['rho']:>6.1%} {plan['p99']:>8.3f} {plan['L']:>6.2f}",
        end="",
    )
    print(f" {fits:>8} {plan['cost']:>6.1f}")

# %% [markdown]
# Between the loosest and the tightest promise that can be kept there are only three servers: in a
# large pool the last bit of responsiveness is cheap, until it is impossible. And look at the
# memory: the fullest pool needs the most, because those who wait hold their caches too. Running hot
# saves servers and costs memory.
#
# > **Common mistake.** One utilisation target for everything. At a budget of 10 service times 80 %
# > is hopeless for one server (P99 << fixed(queueing.mm1(0.8, 1).p99, 0) >> $S$) and wasteful for a
# > pool of eight. Also wrong: setting the target from the *mean*, which is met by
# > << fixed(100 * (1 - 1 / 10), 0) >> % on one server, where more than a third of the requests is
# > late.
#
# **Check yourself.** One server, $S$ = 20 ms, P99 within 400 ms. How far may it be utilised?

# %%
answer = None
check_yourself(
    answer,
    lambda: queueing.max_utilization(20, 400),
    "largest utilisation",
    "P99 = S ln 100 / (1 - rho): solve for rho.",
    mistakes={
        "that is for the mean, not the P99": 0.95,
        "that is what must stay free": math.log(100) / 20,
    },
    worked="S / (1 - rho) * ln 100 <= 400 ms: rho <= 1 - ln 100 / 20 = {right}.",
)

# %% [markdown]
# ## 4.12 Scaling, and replicas that come late
#
# **Question.** If one replica is too slow we add more, and they come late. What do we gain, and what
# piles up in the meantime?
#
# **Scaling out is not free.** With $n$ workers that share something (a lock, a link, a scheduler),
# the universal scalability law gives the throughput relative to one:
#
# $$X(n) = \frac{n}{1 + \sigma (n - 1) + \kappa\,n (n - 1)}, \qquad
# n^* = \sqrt{\frac{1 - \sigma}{\kappa}}$$
#
# - $\sigma$ share of work that has to be done one after another, $\kappa$ cost of each *pair* of
#   workers that must agree.
#
# **Argument.** The denominator is the time of one unit of work: itself, plus waiting for the $n-1$
# others in the shared part, plus talking to them, which all do to all. With $\kappa = 0$ it is
# Amdahl's law and saturates at $1/\sigma$. With $\kappa > 0$ the pairs win in the end; setting the
# derivative of $1/X$ over $n$ to zero gives the peak, beyond which *more workers serve less*.
#
# *Source: N. J. Gunther, Guerrilla Capacity Planning, 2007.*

# %% jupyter={"source_hidden": true}
sigma, kappa = 0.03, 0.0005  # assumptions: contention and coherence of a serving fleet
workers = np.arange(1, 121)
peak = capacity.usl_peak(sigma, kappa)
best = max(range(1, 121), key=lambda n: capacity.usl_speedup(n, sigma, kappa))
fig, ax = plt.subplots(figsize=(10, 5.6))
ax.plot(workers, workers, ":", color=COLORS["neutral"], label="linear")
amdahl = [capacity.usl_speedup(int(n), sigma, 0) for n in workers]
usl = [capacity.usl_speedup(int(n), sigma, kappa) for n in workers]
ax.plot(workers, amdahl, "--", color=COLORS["secondary"], label=f"contention {sigma} (Amdahl)")
ax.plot(workers, usl, color=COLORS["primary"], label=f"and coherence {kappa} (USL)")
top = capacity.usl_speedup(best, sigma, kappa)
ax.plot(best, top, "o", color=COLORS["error"], markersize=9)
ax.annotate(
    f"peak: {best} workers do the work of {top:.1f}",
    (best, top),
    xytext=(0, -34),
    textcoords="offset points",
    ha="center",
)
ax.set(xlabel="workers, n", ylabel="throughput relative to one worker", xlim=(0, 120), ylim=(0, 30))
ax.set_title("Past the peak, more workers serve less")
ax.legend(loc="lower right")
show(
    fig,
    f"Relative throughput against workers. Linear scaling is a straight line; with contention "
    f"{sigma} it saturates; with coherence {kappa} it peaks at {best} workers, {top:.1f} times "
    f"one, and falls to {usl[-1]:.1f} at 120.",
    table={
        "workers": [1, 10, best, 80, 120],
        "Amdahl": [capacity.usl_speedup(n, sigma, 0) for n in (1, 10, best, 80, 120)],
        "USL": [capacity.usl_speedup(n, sigma, kappa) for n in (1, 10, best, 80, 120)],
    },
)
print(f"n* = {peak:.2f}: {best} workers")

# %% [markdown]
# **Replicas come late.** Until a new replica has been noticed to be missing, provided and filled
# with weights, the excess piles up; afterwards the backlog must still be worked off, on top of the
# traffic.
#
# $$\text{backlog} = (\lambda' - c\mu)\,t_{react}, \qquad
# t_{drain} = \frac{\text{backlog}}{c'\mu - \lambda'}$$
#
# - $\lambda'$ the new arrival rate, $c$ and $c'$ replicas before and after, $t_{react}$ time to
#   react [s].

# %%
load_Bps, detect_s, provision_s = 7e9, 30, 60  # assumptions: NVMe read, alarm, new node
load_s = capacity.cold_start_s(model.weight_bytes(), load_Bps)
react_s = capacity.cold_start_s(model.weight_bytes(), load_Bps, detect_s, provision_s)
mu, c, surge = 30, 4, 150  # requests/s of a replica, replicas, requests/s
backlog = (surge - c * mu) * react_s
print(f"loading {model.weight_bytes() / 1e9:.0f} GB of weights takes {load_s:.0f} s, ", end="")
print(f"the whole reaction {react_s:.0f} s: {backlog:.0f} requests wait by then")
print(f"{'replicas after':>14} {'rho':>6} {'backlog gone after':>19}")
for after in (6, 7, 8, 10):
    drain = backlog / (after * mu - surge)
    print(f"{after:>14} {surge / (after * mu):>6.0%} {drain:>16.0f} s")

# %% [markdown]
# Scaling to the steady state is too little: with just enough replicas the backlog outlives the
# surge. Keep headroom for the growth that happens within one reaction time, and shed or degrade in
# the meantime (1.11).
#
# > **Common mistake.** Answering every latency alarm with more workers. Past $n^*$ they lower
# > throughput; before they arrive the backlog is there; and if the tail comes from the service time
# > itself (4.5), they do not touch it.
#
# **Check yourself.** A fleet has $\sigma = 0.1$ and $\kappa = 0.001$. At how many workers does its
# throughput peak?

# %%
answer = None
check_yourself(
    answer,
    lambda: round(capacity.usl_peak(0.1, 0.001)),
    "workers at the peak",
    "The peak lies at the root of (1 - sigma) / kappa.",
    mistakes={"that is the square of it": 900, "that leaves sigma out: (1 - sigma) / kappa": 32},
    worked="The root of (1 - 0.1) / 0.001 = 900: {right}.",
)

# %% [markdown]
# ## 4.13 Hedges and alarms
#
# **Question.** If one call straggles we make a second, and if all fails we are called. What does
# either cost?
#
# $$\rho_{hedged} = \rho\,(1 + (1 - q)), \qquad
# \text{budget spent} = \text{burn rate}\cdot\frac{\text{window}}{\text{period}}$$
#
# - $q$ quantile of the latency after which a second copy is sent [–]; burn rate: error rate over
#   the permitted one; window until the alarm fires and period of the objective, in one unit.
#
# **Hedging feeds the queue.** A second copy of every call that is still open at its P95 adds about
# 5 % load (1.10). On a lightly loaded service that is nothing; near the cliff it is not:

# %%
extra = latency.hedged_extra_load(np.arange(1, 1001), "0.95")
print(f"extra load of a hedge at P95: {extra:.1%}")
print(
    f"{'rho':>5} {'hedged rho':>11} {'P99 [S], c = 1':>15} {'hedged':>7} {'c = 8':>7} {'hedged':>7}"
)
for rho in (0.3, 0.6, 0.8, 0.9):
    hedged = rho * (1 + extra)
    print(f"{rho:>5} {hedged:>11.3f}", end="")
    for c, form in [(1, "{:>16.1f} {:>7.1f}"), (8, "{:>8.2f} {:>7.2f}")]:
        p99 = [queueing.mmc_sojourn_quantile_s("0.99", load * c, 1, c) for load in (rho, hedged)]
        print(form.format(*p99), end="\n" if c == 8 else "")

# %% [markdown]
# That is the price; the gain is the minimum of two draws, and it exists only if the copies are slow
# *independently*. Behind one saturated queue they are not. With a fan-out of 100 and 1 % slow
# parts, << fixed(100 * latency.fanout_tail(0.01, 100), 1) >> % of the requests meet one: that is
# where hedging belongs, on calls whose slowness is bad luck.
#
# **Alarms are a queue of their own.** What matters is not the error rate but how fast it eats the
# budget of the month (1.9): burn rate times window over period. The usual rules spend a known share
# before they wake anybody:

# %%
print(f"{'burn rate':>9} {'window':>7} {'budget spent when it fires':>27}")
for burn, window_h in [(14.4, 1), (6, 6), (1, 72)]:
    spent = reliability.budget_spent(burn, window_h, 720)
    print(f"{burn:>9} {window_h:>5} h {spent:>27.0%}")

# %% [markdown]
# *Source: J. Dean and L. A. Barroso, The Tail at Scale, Communications of the ACM 56(2), 2013;
# B. Beyer et al. (eds.), The Site Reliability Workbook, 2018, chapter 5.*
#
# > **Common mistake.** Retries and hedges without a budget. They are load, and at 90 % utilisation
# > 5 % more load costs one server
# > << fixed(100 * (queueing.mm1(0.945, 1).p99 / queueing.mm1(0.9, 1).p99 - 1), 0) >> % of P99.
# > Next in line: an alarm on the error rate, which wakes somebody for a minute that costs nothing
# > and lets a slow leak empty the month.
#
# **Check yourself.** An alarm fires after two hours at a burn rate of 12. What share of the budget of
# thirty days is gone by then?

# %%
answer = None
check_yourself(
    answer,
    lambda: reliability.budget_spent(12, 2, 720),
    "share of the budget",
    "The burn rate, times the share of the period for which it lasts.",
    mistakes={
        "that is the share of the time": 2 / 720,
        "that takes the budget of a day": 1.0,
        "that is one hour at this rate": 12 / 720,
    },
    worked="12 * 2 / 720 = {right}.",
)

# %% [markdown]
# ## Looking back
#
# Three sentences carry this chapter. *What is inside is what comes in times how long it stays*:
# that holds always, and it sizes memory. *Waiting is utilisation times variability*: that is nearly
# true always, and it says that there are two levers, of which the second is cheaper. *What may not
# wait is lost or late*: without a buffer delay turns into loss, with a deadline it turns into
# nothing.
#
# And one question carries it into practice: throughput or responsiveness? You have seen that it is
# often the wrong question. Pooling, greedy batching and less variable work buy both. What remains
# after that is a real choice, and then it is a number: how many service times the promise allows,
# and what utilisation that leaves. Whoever asks for more of both at once is asking for a faster
# server, and you can now say so politely, with the curve.
