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
# # Chapter 5 · Fleets and measurement
#
# One server on paper was chapters 1 to 4. Now many servers answer at once, and somebody measures
# them: with a tool whose words mean something else than yours, in a loop that hides what it should
# show, on hardware that does not reach its data sheet.
#
# **After this chapter you can**
#
# - say what a benchmark's numbers mean before you compare them, and what it did not measure;
# - predict a step of a real model in real formats, and say how far off the prediction is;
# - route requests, keep prefixes, split prefill from decode, and know what each of it sells;
# - choose a fleet for a trace by playing the trace, not by its means.
#
# ## Map
#
# | sections | subject | the question behind it |
# |---|---|---|
# | 5.1–5.4 | measure | what does the number mean, and what did the test not see? |
# | 5.5–5.8 | model | what do real engines, experts and formats make of the roofline? |
# | 5.9–5.12 | route | who gets the request, what need not be computed, which machine does what? |
# | 5.13–5.14 | plan | how late, how much energy, how many, and of which kind? |
#
# ## How to read
#
# As before: a question, a formula with units, the argument, the numbers computed in front of you,
# the common mistake, a question to check yourself. Replace `answer = None`, run the cell; three
# significant digits are enough. The code of the pictures is folded away, and below each picture its
# numbers stand in a table.
#
# Two kinds of numbers stand side by side here. *Predicted* ones are computed by the package.
# *Measured* ones were taken by others on real machines; the package keeps them with their source
# (`servemath_helpers.published`). Simulated ones have a fixed seed in their cell. Unless said
# otherwise the example is Llama-3-70B in 16 bits on eight H100 SXM.
#
# The graded exercises are in the notebook beside this one, and the last of them is the course's
# last: to plan a fleet (5.14). In the lab your own machine is the accelerator.
#
# ## Symbols
#
# << symbols("lam", "mu", "S", "SB", "rho", "q", "n_out", "seq", "B", "X", "N", "layers", "b", "k",
#     "weights", "n", "F", "BW", "alpha_gamma", "users", "think", "demand", "experts", "choices") >>
#
# Only this chapter needs $t_0$, the latency of one message between two GPUs [s]. All symbols stand
# in [one table](../../docs/symbols.md), terms in a [glossary](../../docs/glossary.md).

# %%
import math

import numpy as np

from servemath_helpers import (
    caching,
    capacity,
    closedloop,
    experts,
    facts,
    fitting,
    fleetplans,
    fleets,
    latency,
    loadtest,
    parallelism,
    published,
    quantisation,
    queueing,
    roofline,
    sim,
    speculative,
)
from servemath_helpers.deployment import Deployment
from servemath_helpers.notebook import COLORS, check_yourself, plt, show
from servemath_helpers.sim import arrivals, services

model, gpu, n = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8

# %% [markdown]
# <<% set came = [0.40, 0.45, 0.50, 0.55, 0.90] -%>>
# ## 5.1 What a token time is
#
# **Question.** Two tools measure the same answer. One says
# << num(loadtest.token_times(0, came, "vllm")["tpot"] * 1e3) >> ms per token, the other
# << num(loadtest.token_times(0, came, "guidellm")["tpot"] * 1e3) >>. Which of them is right?
#
# $$\mathrm{TTFT} = t_1 - a, \qquad \mathrm{E2E} = t_n - a$$
#
# $$\mathrm{TPOT} = \frac{\mathrm{E2E} - \mathrm{TTFT}}{n_{out} - 1} \quad\text{or}\quad
# \frac{\mathrm{E2E}}{n_{out}}$$
#
# - $n_{out}$ output tokens come at the instants $t_1, \dots, t_n$ [s]; the request was due at $a$ [s].
#
# **Argument.** Both are. The first quotient counts gaps: $n_{out}$ tokens have $n_{out} - 1$ of them,
# and the wait for the first is none. vLLM, inference-perf and MLPerf report it. GuideLLM spreads the
# whole answer over all its tokens, so queue and prompt are in it; what it calls inter-token latency
# is the others' TPOT. A mean gap says nothing about the longest one, which is what a reader notices.

# %%
tokens = [0.40, 0.45, 0.50, 0.55, 0.90]  # s after the request was due
for tool in ("vllm", "inference-perf", "mlperf", "guidellm"):
    times = loadtest.token_times(0, tokens, tool)
    print(f"{tool:<15}" + "".join(f" {name} {1e3 * t:5.0f} ms" for name, t in times.items()))
print(f"longest gap {1e3 * max(np.diff(tokens)):.0f} ms")

# %% [markdown]
# **Many answers.** Now a mean has to say over what. A mean over *requests* gives an answer of one
# token the same weight as one of a thousand; pooling all *gaps* gives weight by length. Three answers:
# the one above, one of a single token after 300 ms, and one of 100 tokens that begins after 500 ms
# and then gives a token each 30 ms.

# %%
three = [tokens, [0.30], [0.5 + 0.03 * i for i in range(100)]]
for tool in ("vllm", "guidellm"):
    each = [loadtest.token_times(0, times, tool)["tpot"] for times in three]
    known = [tpot for tpot in each if tpot is not None]
    print(f"{tool:<9} mean over {len(known)} answers: {1e3 * np.mean(known):6.1f} ms")
gaps = np.concatenate([np.diff(times) for times in three])
print(f"all gaps  mean over {gaps.size} gaps:  {1e3 * gaps.mean():6.1f} ms")

# %% [markdown]
# **Measured.** A server of vLLM was sent 300 requests, about ten a second, on one RTX 4090. The same
# run by both definitions:

# %% jupyter={"source_hidden": true}
served = published.server_run()
run = served.measurement
by_gap, by_token = 1e3 * run.tpot_s, 1e3 * run.e2e_s / run.requests.output_tokens
share = np.arange(1, by_gap.size + 1) / by_gap.size

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
left.plot(tokens, range(1, 6), "o", color=COLORS["primary"], markersize=9)
left.step(tokens, range(1, 6), where="post", color=COLORS["primary"], linewidth=1.4)
left.plot(
    [tokens[0], tokens[-1]], [1, 5], "--", color=COLORS["tertiary"], label="gaps: 4 in 0.50 s"
)
left.plot([0, tokens[-1]], [0, 5], ":", color=COLORS["error"], label="tokens: 5 in 0.90 s")
left.annotate("longest gap", (0.725, 4), xytext=(0, 6), textcoords="offset points", ha="center")
left.set(xlabel="time since the request was due [s]", ylabel="tokens so far")
left.set(xlim=(0, 1), ylim=(0, 5.6))
left.set_title("One answer, two slopes")
left.legend(loc="upper left")
right.plot(np.sort(by_gap), share, color=COLORS["tertiary"], label="vLLM: over the gaps")
right.plot(np.sort(by_token), share, "--", color=COLORS["error"], label="GuideLLM: over all tokens")
right.axhline(0.5, color=COLORS["neutral"], linewidth=1)
right.set(xlabel="time per output token [ms]", ylabel="share of the answers", ylim=(0, 1.02))
right.set(xlim=(20, 400), xscale="log")
right.set_xticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
right.minorticks_off()
right.set_title(f"{by_gap.size} answers of {served.engine}, measured")
right.legend(loc="lower right")
quantiles = ("0.1", "0.5", "0.9", "0.99")
show(
    fig,
    f"Left: tokens of one answer against time, with the slope over the gaps, "
    f"{1e3 * loadtest.token_times(0, tokens, 'vllm')['tpot']:.0f} ms a token, and the slope over all "
    f"tokens from the beginning, "
    f"{1e3 * loadtest.token_times(0, tokens, 'guidellm')['tpot']:.0f} ms. Right: shares of 300 measured answers by "
    f"time per output token; the median is {np.median(by_gap):.1f} ms by gaps and "
    f"{np.median(by_token):.1f} ms by tokens; most of the first curve lies within ten milliseconds, "
    "the second is spread over more than two hundred.",
    table={
        "share of the answers": quantiles,
        "over the gaps [ms]": [latency.percentile(by_gap, q) for q in quantiles],
        "over all tokens [ms]": [latency.percentile(by_token, q) for q in quantiles],
    },
)
print(f"means: {by_gap.mean():.1f} ms over the gaps, {by_token.mean():.1f} ms over all tokens")

# %% [markdown]
# > **Common mistake.** Comparing two tools by a name. Write down the quotient. Taking a *chunk* of a
# > stream for a token: a server that sends five tokens in a piece shows a fifth of the gaps, each
# > five times as long, and after speculation (5.12) most pieces hold several. And taking index
# > $\lfloor q n \rfloor$ from 0 for a percentile, as MLPerf's LoadGen does: of 100 samples it is
# > number << 1 + (0.99 * 100) | int >>, the maximum; nearest rank takes number
# > << latency.nearest_rank("0.99", 100) >>.
#
# *Source: vLLM, `benchmarks/serve.py`; GuideLLM, `request_stats.py`; inference-perf, `metrics.md`;
# MLPerf LoadGen, `logging.cc` and `results.cc`. Measured: casys-kaist/LLMServingSim, bench/examples.*
#
# **Check yourself.** An answer of 100 tokens begins after 0.5 s, and then a token comes every 30 ms.
# How many ms per output token does GuideLLM report?

# %%
answer = None
check_yourself(
    answer,
    lambda: loadtest.token_times(0, [0.5 + 0.03 * i for i in range(100)], "guidellm")["tpot"] * 1e3,
    "ms per output token",
    "GuideLLM takes the time from the request to the last token over all tokens, the first too.",
    mistakes={
        "that is what vLLM reports: GuideLLM spreads the first token too": 30.0,
        "that divides by the gaps, one fewer than the tokens": (500 + 99 * 30) / 99,
    },
    worked="0.5 s, then 99 gaps of 30 ms: 3470 ms over 100 tokens = {right} ms.",
)

# %% [markdown]
# ## 5.2 Open or closed
#
# **Question.** Ten testers send a question, read the answer for 4.5 s, and ask again. The server
# takes half a second. Do they measure what strangers would see who come at the same rate?
#
# $$R = \frac{U}{X} - Z, \qquad X \le \min\left(\frac{U}{D + Z},\ \frac{1}{D_{\max}}\right), \qquad
# U^* = \frac{D + Z}{D_{\max}}$$
#
# $$R_k(u) = D_k \left(1 + Q_k(u - 1)\right), \qquad X(u) = \frac{u}{Z + \sum_k R_k(u)}, \qquad
# Q_k(u) = X(u) R_k(u)$$
#
# - $U$ users in the loop, $Z$ time that each thinks [s], $D_k$ time that a request occupies station
#   $k$ [s], $D$ their sum and $D_{\max}$ the largest; $R$ mean time from request to answer [s], $X$
#   answers a second, $Q_k$ mean number at station $k$.
#
# **Argument.** Draw the box around users and server: $U$ are in it, each passes in $Z + R$, so
# Little's law says $X = U / (Z + R)$. That holds for any loop. In an *open* test requests come at a
# rate that nobody's answer changes. In a *closed* one a slow server gets fewer requests, since its
# users are still waiting: the loop protects the server that it tests. For exponential services mean
# value analysis (MVA) is exact: whoever arrives with $u$ users in the loop finds, on average, what
# $u - 1$ users leave at a station. So one starts with one user and adds the next.

# %%
think_s, demand_s = 4.5, 0.5
print(f"{'users':>5} {'X [1/s]':>8} {'R [s]':>7} {'U/X - Z':>8}  open queue at the same rate")
for users in (1, 5, 10, 20, 40):
    loop = queueing.mva(users, think_s, [demand_s])
    X, R = loop["X"], loop["R"]
    open_s = queueing.mm1(X, 1 / demand_s)["W"] if 1 / demand_s - X > 1e-3 else math.inf
    told = f"{open_s:.3f} s" if open_s < 1000 else "hopeless"
    print(f"{users:>5} {X:>8.3f} {R:>7.3f} {users / X - think_s:>8.3f}  {told}")
print(f"from U* = {(demand_s + think_s) / demand_s:.0f} users on, users wait for users")

# %% jupyter={"source_hidden": true}
crowd = np.arange(1, 41)
loops = [queueing.mva(int(u), think_s, [demand_s]) for u in crowd]
through, stay = np.array([x["X"] for x in loops]), np.array([x["R"] for x in loops])
rates = np.linspace(0.02, 1.93, 150)

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
left.plot(crowd, through, "o-", color=COLORS["primary"], markersize=4, label="exact (MVA)")
bound = np.minimum(crowd / (demand_s + think_s), 1 / demand_s)
left.plot(crowd, bound, "--", color=COLORS["neutral"], label="bounds")
knee = (demand_s + think_s) / demand_s
left.axvline(knee, color=COLORS["neutral"], linewidth=1, linestyle=":")
left.text(knee + 0.6, 0.3, f"U* = {knee:.0f}")
left.set(xlabel="users in the loop, U", ylabel="answers a second, X", ylim=(0, 2.2))
left.set_title("More users, no more answers")
left.legend(loc="lower right")
right.plot(
    rates,
    [queueing.mm1(x, 1 / demand_s)["W"] for x in rates],
    color=COLORS["error"],
    label="open: Poisson arrivals",
)
right.plot(through, stay, "o--", color=COLORS["primary"], markersize=4, label="closed, Z = 4.5 s")
at = queueing.mva(10, think_s, [demand_s])
right.annotate("U = 10", (at["X"], at["R"]), xytext=(-4, -18), textcoords="offset points")
right.set(xlabel="answers a second, X", ylabel="mean time to the answer [s]", ylim=(0, 8))
right.set(xlim=(0, 2.05))
right.set_title("At one rate, two answers")
right.legend(loc="upper left")
show(
    fig,
    f"Left: answers a second against users in the loop, below two straight bounds that meet at "
    f"{knee:.0f} users. Right: mean time to an answer against the rate; at {at['X']:.2f} a second "
    f"the closed loop of ten users sees {at['R']:.2f} s and an open queue "
    f"{queueing.mm1(at['X'], 2)['W']:.2f} s.",
    table={
        "users": [1, 5, 10, 20, 40],
        "X [1/s]": [through[u - 1] for u in (1, 5, 10, 20, 40)],
        "R closed [s]": [stay[u - 1] for u in (1, 5, 10, 20, 40)],
        "W open [s]": [
            queueing.mm1(through[u - 1], 2)["W"] if u < 20 else None for u in (1, 5, 10, 20, 40)
        ],
    },
)

# %% [markdown]
# **Measured.** Benchmarks of language models are mostly closed loops without thinking: $U$ requests
# are always in flight. A batching server is not a station of fixed demand; a step for sixteen costs
# little more than one for four, so it gains from every user. What holds all the same is $R = U/X$.
# Predictions come from the coefficients of section 5.5. These loops are among those that they were
# fitted to, so look at the band: four in five of the loops that were *held out* fell into it.

# %%
node = Deployment(
    model=facts.get_model("Llama-3.1-70B"),
    accelerator=facts.get_accelerator("H200-SXM"),
    tensor_parallel=4,
    weight_format="fp8",
    cache_format="fp8",
)
print("Llama-3.1-70B, 8 bits, 4 H200, vLLM, 1024 tokens in and out, no thinking")
print(f"{'U':>3} {'TTFT [ms]':>15} {'TPOT [ms]':>15} {'tokens/s':>9}  inside the band of TPOT")
print(f"{'':>3} {'predicted':>9} {'meas.':>5} {'predicted':>9} {'meas.':>5} {'U n/R':>9}")
for point in published.closed_loop_run("Llama-3.1-70B", "H200-SXM", "fp8").points:
    told = closedloop.closed_loop(node, 1024, 1024, point.concurrency, engine="vllm")
    low, high = told.tpot_band_s
    whole_s = point.ttft_s + 1023 * point.tpot_s
    ttft = f"{1e3 * told.ttft_s:>9.0f} {1e3 * point.ttft_s:>5.0f}"
    tpot = f"{1e3 * told.tpot_s:>9.1f} {1e3 * point.tpot_s:>5.1f}"
    print(
        f"{point.concurrency:>3} {ttft} {tpot} {point.concurrency * 1024 / whole_s:>9.0f}", end=""
    )
    print(
        f"  {'yes' if low <= point.tpot_s <= high else 'no'}: {1e3 * low:.1f} to {1e3 * high:.1f}"
    )

# %% [markdown]
# <<% set loop = queueing.mva(10, 4.5, [0.5]) -%>>
# > **Common mistake.** "With $U$ workers I overload the server." A closed loop cannot: it slows
# > down with what it tests. Ten users see << fixed(loop["R"], 2) >> s at
# > << fixed(loop["X"], 2) >> answers a second; strangers who come at that rate see
# > << fixed(queueing.mm1(loop["X"], 2)["W"], 2) >> s. To learn what a public service will see, send
# > on a schedule.
#
# *Source: M. Reiser and S. S. Lavenberg, Mean-Value Analysis of Closed Multichain Queuing Networks,
# Journal of the ACM 27(2), 1980. Measured: ai-dynamo/aiconfigurator, silicon_sample.csv.*
#
# **Check yourself.** Fifty users think for 10 s each, and the server gives 4 answers a second. How
# many seconds does an answer take?

# %%
answer = None
check_yourself(
    answer,
    lambda: 50 / 4 - 10,
    "seconds to the answer",
    "Little's law for the loop: users over throughput is a whole round, thinking included.",
    mistakes={
        "that is the answer with its thinking: U / X": 12.5,
        "that is what one user alone would see": 0.25,
        "that adds the thinking": 22.5,
    },
    worked="R = U / X - Z = 50 / 4 - 10 = {right} s.",
)

# %% [markdown]
# ## 5.3 Who was not asked
#
# **Question.** A client sends a request each 0.1 s, but never before it has the last answer. A
# thousand answers take 20 ms each, then one takes 100 s. The report says: P99 20 ms. What did it
# leave out?
#
# $$\text{for each latency } \ell:\quad \text{add } \ell - I,\ \ell - 2I,\ \ell - 3I,\ \dots
# \quad\text{while the value is at least } I$$
#
# - $\ell$ a measured latency [s], $I$ the interval at which requests were due [s].
#
# **Argument.** During the stall a thousand requests were due and one was sent. The one that was due
# $I$ after the stall began would have waited $\ell - I$, the next one $\ell - 2I$, and so on. The
# client left out exactly the requests that would have been slow, so what is missing is not a random
# sample. The name for it is *coordinated omission*: client and server agree not to look. Whoever
# sends on schedule has these requests in the log already.

# %%
measured = ["0.02"] * 1000 + [100]  # s
interval = "0.1"  # s
print(f"{'quantile':>8} {'reported':>9} {'corrected':>10}")
for q in ("0.5", "0.75", "0.99"):
    tail = loadtest.correct_omission(measured, interval, q)
    print(f"{q:>8} {tail['raw']:>7.2f} s {tail['corrected']:>8.2f} s")
# The same stall, requests sent on schedule: who is due during it is answered at its end.
due = 0.1 * np.arange(2000)
begins, ends = due[1000], due[1000] + 100
stays = np.where((due >= begins) & (due < ends), ends - due, 0.02)
print(f"{tail['n']} samples after correction; sent on schedule: {stays.size},", end=" ")
print(f"P99 {latency.percentile(stays, '0.99'):.2f} s, mean {stays.mean():.1f} s")
print(f"mean as reported: {(1000 * 0.02 + 100) / 1001:.2f} s")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
left.plot(due, stays, color=COLORS["error"], linewidth=1.6, label="sent on schedule")
sent = np.concatenate([due[:1000], [due[1000]]])
left.plot(
    sent[::50],
    [0.02] * 20 + [100],
    "o",
    color=COLORS["primary"],
    label="sent when idle (each 50th)",
)
left.set(xlabel="time at which a request was due [s]", ylabel="time to the answer [s]")
left.set_ylim(-4, 135)
left.set_title("One dot stands for a thousand requests")
left.legend(loc="upper left")
raw = np.sort([0.02] * 1000 + [100])
right.plot(np.arange(1, 1002) / 1001, raw, color=COLORS["primary"], label="as reported")
right.plot(
    np.arange(1, 2001) / 2000, np.sort(stays), "--", color=COLORS["error"], label="on schedule"
)
right.axvline(0.99, color=COLORS["neutral"], linewidth=1, linestyle=":")
right.text(0.985, 60, "P99", ha="right")
right.set_yscale("log")
right.set(xlabel="share of the samples", ylabel="at most this time [s]", xlim=(0.4, 1.01))
right.set_title("The same server")
right.legend(loc="upper left")
quantiles = ("0.5", "0.75", "0.9", "0.99")
show(
    fig,
    "Left: time to the answer against the time a request was due; those sent on schedule during the "
    "stall form a slope from 100 s down to nothing, the waiting client has a single dot there. Right: "
    "quantiles; as reported they are 20 ms up to the 99.9th percentile, on schedule half of the "
    f"requests are slow and P99 is {latency.percentile(stays, '0.99'):.0f} s.",
    table={
        "quantile": quantiles,
        "reported [s]": [latency.percentile(raw, q) for q in quantiles],
        "on schedule [s]": [latency.percentile(stays, q) for q in quantiles],
    },
)

# %% [markdown]
# > **Common mistake.** Correcting a test that was sent on schedule: its stall is in the log already,
# > and is then counted twice. And timing from the moment of *sending* when the client itself was
# > late. MLPerf times from the schedule; vLLM's benchmark starts the clock when its own queue lets
# > the request go, and shows that wait apart. Read which it was before you compare.
#
# *Source: G. Tene, HdrHistogram, `recordValueWithExpectedInterval`; MLPerf LoadGen; vLLM,
# `benchmarks/serve.py`.*
#
# **Check yourself.** Latencies of 1, 1, 1, 1, 1.05 and 3.5 s, a request due each second. What is
# P75 after correction, in seconds?

# %%
answer = None
check_yourself(
    answer,
    lambda: loadtest.correct_omission([1, 1, 1, 1, "1.05", "3.5"], 1, "0.75")["corrected"],
    "P75 in seconds",
    "A long time stands for those that were due meanwhile too: l - I, l - 2 I, ... down to I.",
    mistakes={
        "that is before correction, or counts one value for the stall": 1.05,
        "that is the largest value": 3.5,
        "the two that were not asked come on top: 2.5 and 1.5 s": 2.5,
    },
    worked="3.5 s stand for 2.5 and 1.5 s too: 1, 1, 1, 1, 1.05, 1.5, 2.5, 3.5; number 6 of 8 is {right} s.",
)

# %% [markdown]
# ## 5.4 Was it ever stable
#
# **Question.** A test of one minute reports a mean latency of
# << num((12 / 10 - 1) * 60 / 2, 2) >> seconds. The same test run for four minutes reports
# << num((12 / 10 - 1) * 240 / 2, 2) >>. Nobody has touched the server. Which number is its latency?
#
# $$\text{mean latency of a test} \approx S + (\rho - 1)\,\frac{T}{2} \qquad (\rho > 1)$$
#
# $$\text{rise} = \text{slope of ten block means} \cdot 10 \pm 2.31\,s$$
#
# - $T$ length of the test [s], $\rho$ offered load over capacity; $s$ the standard error of the rise
#   in that regression, 2.31 Student's quantile of 8 degrees of freedom.
#
# **Argument.** Work comes faster than it leaves. After $t$ seconds $(\lambda - \mu) t$ requests are
# left over, and whoever comes then waits until they are served: $(\lambda - \mu) t / \mu =
# (\rho - 1) t$. The average over the test is that at its middle. The number measures the *length of
# the test*. To tell growth from luck, cut the run into ten blocks, put a line through their means,
# and ask whether the 95 % interval of its rise lies above 0. Blocks, because neighbours resemble one
# another: through single requests the same line looks far surer than it is.

# %%
lam, mu = 12, 10
rng = np.random.default_rng(504)
print(f"{lam}/s into a server of {mu}/s")
for T in (60, 120, 240):
    means = []
    for _ in range(50):
        came = arrivals.poisson(lam * T, lam, rng)
        grown = sim.simulate_gg1(came, services.exponential(lam * T, 1 / mu, rng))
        means.append(grown.sojourn_s.mean())
    low, high = sim.trend_interval(grown.sojourn_s)
    fluid = 1 / mu + (lam / mu - 1) * T / 2
    print(f"{T:>4} s: predicted {fluid:5.1f} s, mean of 50 runs {np.mean(means):5.1f} s,", end=" ")
    print(f"last run: rise {low:.1f} to {high:.1f} s")

# %% [markdown]
# How often does the test cry wolf, and how often does it sleep? Four hundred runs of 3000 requests
# at each load (their shares carry about two percent of noise):

# %%
rng, flagged, naive = np.random.default_rng(514), {}, {}
for rho in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.02, 1.05, 1.1):
    rises = []
    for _ in range(400):
        need = services.exponential(3000, 1, rng)
        stays = sim.simulate_gg1(arrivals.poisson(3000, rho, rng), need).sojourn_s
        rises.append([sim.trend_interval(stays, blocks)[0] > 0 for blocks in (10, 3000)])
    flagged[rho], naive[rho] = (float(share) for share in np.mean(rises, axis=0))
print(f"{'rho':>5} {'ten blocks':>11} {'single requests':>16}")
for rho in (0.7, 0.9, 1.0, 1.1):
    print(f"{rho:>5} {flagged[rho]:>11.1%} {naive[rho]:>16.0%}")

# %% jupyter={"source_hidden": true}
start_s, ttft_s = run.requests.arrival_s, run.ttft_s
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
at = grown.arrival_s
left.plot(at, grown.sojourn_s, color=COLORS["primary"], linewidth=1, label="simulated, ρ = 1.2")
left.plot(at, (lam / mu - 1) * at, "--", color="black", label="fluid: (ρ - 1) t")
left.plot(start_s, ttft_s, "o", color=COLORS["error"], markersize=3.5, label="vLLM, measured TTFT")
left.set(xlabel="time of arrival [s]", ylabel="latency [s]", xlim=(0, 245), ylim=(0, 170))
left.set_title("A latency that is a clock")
left.legend(loc="upper right")
loads = list(flagged)
right.plot(loads, [100 * x for x in flagged.values()], "o-", color=COLORS["primary"])
right.plot(loads, [100 * x for x in naive.values()], "s--", color=COLORS["secondary"])
right.text(0.62, 9, "ten block means", color=COLORS["primary"])
right.text(0.55, 45, "single requests", color="#8a5a00")
right.axvline(1, color=COLORS["neutral"], linewidth=1, linestyle=":")
right.set(xlabel="offered load, ρ", ylabel="runs called unstable [%]", ylim=(0, 103))
right.set_title("3000 requests")
low, high = sim.trend_interval(ttft_s)
show(
    fig,
    f"Left: latency against arrival at load 1.2 climbs along the line (rho - 1) t to "
    f"{grown.sojourn_s[-300:].mean():.0f} s after 240 s; measured first tokens of a vLLM server climb "
    f"too, to {ttft_s.max():.0f} s in the {start_s[-1]:.0f} s of the run. Right: share of runs "
    f"called unstable against load; with ten block means {flagged[0.7]:.0%} at 0.7 and "
    f"{flagged[1.1]:.0%} at 1.1, with single requests {naive[0.7]:.0%} already at 0.7.",
    table={
        "load": loads,
        "ten blocks [%]": [100 * x for x in flagged.values()],
        "single requests [%]": [100 * x for x in naive.values()],
    },
)
told = 1 + (low + high) / 2 / start_s[-1]
print(f"measured: TTFT rises by {low:.0f} to {high:.0f} s over {start_s[-1]:.0f} s of arrivals")
print(f"by the fluid formula the load was about {told:.0f} times the capacity")

# %% [markdown]
# > **Common mistake.** Reporting P99 of a queue that grew. It says how long the test was, nothing
# > else; run it twice as long and it doubles. Close to $\rho = 1$ no test of this length can tell:
# > a queue at full load drifts about without a trend, and half of such runs are called stable.
# > Then lengthen the test, or lower the load.
#
# *Source: own derivation (fluid limit, regression on block means); the same question, with other
# rules: GuideLLM, `over_saturation_stopping.md`. Measured: casys-kaist/LLMServingSim,
# bench/examples.*
#
# **Check yourself.** 12 requests a second into a server of 10 a second, for 300 s. What mean wait
# does the fluid formula give, in seconds (without the service)?

# %%
answer = None
check_yourself(
    answer,
    lambda: (12 / 10 - 1) * 300 / 2,
    "seconds of mean wait",
    "The queue grows evenly: on average a request meets what has piled up at half time.",
    mistakes={
        "that is the wait at the end of the test": (12 / 10 - 1) * 300,
        "that is what has piled up in requests, halved or not": (12 - 10) * 300 / 2,
    },
    worked="(rho - 1) T / 2 = (1.2 - 1) * 300 / 2 = {right} s.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-2-70B") -%>>
# <<% set ideal = 1e3 * (m.weight_bytes() + 2048 * m.kv_bytes_per_token())
#     / (2 * facts.get_accelerator("A100-80GB-SXM").bandwidth_Bps) -%>>
# <<% set two = 1e3 * (published.single_batches(2) | selectattr("prompt_tokens", "equalto", 2048)
#     | first).step_s -%>>
# ## 5.5 How far from the roofline
#
# **Question.** The roofline says that a step takes << fixed(ideal, 0) >> ms on two cards. The server
# needs << fixed(two, 0) >>. Where are the other << fixed(two - ideal, 0) >>, and can one predict the
# next setting all the same?
#
# $$\mathrm{MBU} = \frac{\text{bytes read}}{n\,\mathrm{BW}\,t}, \qquad
# t_{ar} = 2 (n - 1)\left(t_0 + \frac{m}{n\,\mathrm{BW}_{link}}\right)$$
#
# $$t = \beta_0 + \beta_1 B + \beta_2 P + \beta_3\,\text{ctx} \quad (\beta_i \ge 0)$$
#
# - $t$ a measured step [s]; $m$ bytes that are summed in an all-reduce, two a layer, $t_0$ latency of
#   one of its $2(n-1)$ rounds [s], $\mathrm{BW}_{link}$ bandwidth to the others in one direction
#   [B/s]; $P$ prompt tokens in the step, ctx tokens of context that it reads.
#
# **Argument.** Bytes over bandwidth is the least time. What is on top has two parts. The *share* of
# the bandwidth that real kernels reach is below one, and there are *fixed costs* that do not shrink
# with more cards: launching kernels, scheduling, and the rounds of the all-reduces. Split over more
# cards the first part shrinks and the second stays, so MBU falls.
#
# **Measured.** Llama-2-70B on A100 of 80 GB, one user with a prompt of 2048 tokens:

# %%
old, a100 = facts.get_model("Llama-2-70B"), facts.get_accelerator("A100-80GB-SXM")
print(f"{'GPUs':>4} {'roofline':>9} {'measured':>9} {'MBU':>5} {'MFU of the prefill':>19}")
for cards in (2, 4, 8):
    batch = next(
        b for b in published.single_batches(cards) if (b.prompt_tokens, b.batch) == (2048, 1)
    )
    read = old.weight_bytes() + 2048 * old.kv_bytes_per_token()
    ideal_s = read / (cards * a100.bandwidth_Bps)
    shape = (old.n_params, 2048, old.n_layers, old.d_attn, cards, a100.bf16_dense_flops)
    mfu = roofline.prefill_time_s(*shape, mfu=1) / batch.prefill_s
    print(f"{cards:>4} {1e3 * ideal_s:>6.1f} ms {1e3 * batch.step_s:>6.1f} ms", end="")
    print(f" {ideal_s / batch.step_s:>5.2f} {mfu:>19.2f}")

# %% [markdown]
# <<% set eight = 1e3 * (published.single_batches(8) | selectattr("prompt_tokens", "equalto", 2048)
#     | first).step_s -%>>
# Four cards gain little over two and eight nothing over four: this engine of 2023 launched its
# kernels one by one, and 80 layers took it some << num(eight, 2) >> ms whatever the cards did.
# Engines of today record a step once and replay it. What remains for them are the rounds of the
# all-reduces. For small messages in a ring over NVLink, NVIDIA's own library reckons with 6.6 µs a
# call and 0.6 µs a round; spread over the rounds that is $t_0$, for eight GPUs
# << num(1e6 * parallelism.ring_step_s(8), 3) >> µs:


# %%
def comm_s(batch, cards, latency=True):
    """Time of the all-reduces of a step, with or without their latency."""
    hop_s = parallelism.ring_step_s(cards) if cards > 1 and latency else 0
    shape = (batch, model.hidden, model.n_layers, cards)
    return parallelism.tensor_parallel_comm_s(*shape, gpu.link_Bps, hop_s)


print(f"{'GPUs':>4} {'weights':>9} {'B':>4} {'all-reduces':>12} {'of it t0':>9} {'together':>9}")
alone_s = model.weight_bytes() / gpu.bandwidth_Bps
for cards, batch in [(1, 1), (2, 1), (4, 1), (8, 1), (8, 256)]:
    talk_s, bytes_s = comm_s(batch, cards), comm_s(batch, cards, latency=False)
    share = f"{1 - bytes_s / talk_s:>9.1%}" if talk_s else f"{'–':>9}"
    print(f"{cards:>4} {1e3 * alone_s / cards:>6.2f} ms {batch:>4} {1e3 * talk_s:>9.2f} ms", end="")
    print(f" {share} {1e3 * (alone_s / cards + talk_s):>6.2f} ms")
eight_s = alone_s / 8 + comm_s(1, 8)
print(f"eight cards are {alone_s / eight_s:.1f} times as fast as one, not 8")

# %% [markdown]
# **Fit what you cannot derive.** Where fixed costs and shares are unknown, measure some settings and
# fit the four coefficients, none below 0, with *relative* errors so that short steps count too. Every
# second setting stays out of the fit; only those tell how good it is. A negative coefficient would
# say that more work takes less time; it fits the noise and fails at the next setting.

# %%
print(
    f"{'GPUs':>4} {'base':>9} {'a sequence':>12} {'1000 tokens':>13} {'error fitted':>13} {'held out':>9}"
)
fits = {}
for cards in (2, 4, 8):
    log = [
        {
            "decode": b.batch,
            "prefill": 0,
            "context": b.batch * (b.prompt_tokens + b.output_tokens / 2),
            "step_s": b.step_s,
        }
        for b in published.single_batches(cards)
    ]
    fit = fits[cards] = log, fitting.fit_step(log)
    c = fit[1]
    print(f"{cards:>4} {1e3 * c['base_s']:>6.1f} ms {1e3 * c['per_decode_s']:>9.3f} ms", end="")
    print(f" {1e6 * c['per_context_s']:>10.3f} ms {c['train_error']:>13.1%}", end="")
    print(f" {c['held_out_error']:>9.1%}")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2))
cards_axis = np.array([1, 2, 4, 8])
comm = np.array([comm_s(1, int(c)) for c in cards_axis])
place = np.arange(4)
left.bar(place, 1e3 * alone_s / cards_axis, 0.6, color=COLORS["primary"], label="reading weights")
left.bar(
    place,
    1e3 * comm,
    0.6,
    bottom=1e3 * alone_s / cards_axis,
    color=COLORS["secondary"],
    hatch="//",
    edgecolor="white",
    label="all-reduces",
)
for x, y in zip(place, 1e3 * (alone_s / cards_axis + comm), strict=True):
    left.text(x, y + 0.6, f"{y:.1f} ms", ha="center")
left.set_xticks(place, [str(c) for c in cards_axis])
left.set(xlabel="H100, tensor parallel", ylabel="step for one user [ms]", ylim=(0, 48))
left.set_title("Predicted: the messages do not shrink")
left.legend(loc="upper right")
styles = {2: ("o", "primary"), 4: ("s", "tertiary"), 8: ("^", "error")}
for cards, (log, c) in fits.items():
    told = [
        c["base_s"] + c["per_decode_s"] * row["decode"] + c["per_context_s"] * row["context"]
        for row in log
    ]
    real = [row["step_s"] for row in log]
    marker, color = styles[cards]
    right.plot(
        1e3 * np.array(real[1::2]),
        1e3 * np.array(told[1::2]),
        marker,
        color=COLORS[color],
        markersize=8,
        label=f"{cards} A100, held out",
    )
right.plot([40, 80], [40, 80], color=COLORS["neutral"], linewidth=1.4)
right.fill_between([40, 80], [36, 72], [44, 88], color=COLORS["neutral"], alpha=0.2, linewidth=0)
right.text(76, 69.5, "within 10 %", ha="right", va="top")
right.set(xlabel="measured step [ms]", ylabel="fitted step [ms]", xlim=(40, 80), ylim=(40, 80))
right.set_title("Fitted to the other half of the settings")
right.legend(loc="upper left")
errors = [fits[c][1]["held_out_error"] for c in (2, 4, 8)]
show(
    fig,
    f"Left: step time of one user on 1, 2, 4 and 8 H100 in two parts; reading the weights halves "
    f"each time, the all-reduces grow, so that eight cards take {1e3 * eight_s:.1f} ms. Right: "
    f"fitted against measured steps of settings that were held out, on 2, 4 and 8 A100; nearly all "
    f"lie within 10 per cent.",
    table={
        "GPUs": [1, 2, 4, 8],
        "H100, weights [ms]": 1e3 * alone_s / cards_axis,
        "H100, all-reduces [ms]": 1e3 * comm,
        "A100, median error held out [%]": [None, *(100 * e for e in errors)],
    },
)

# %% [markdown]
# The course's own predictions (`closedloop`) go one step further: one set of coefficients for all
# models, fitted to measured loops and batches, with the band that 80 % of what was held out fell into. The coefficient of an all-reduce besides its bytes is
# << num(achieved.spreads()["all_reduce_s"].value * 1e6, 2) >> µs there: engines let every GPU read all
# parts at once instead of passing them round, and the rest hides in
# << fixed(achieved.spreads()["layer_s"].value * 1e6, 0) >> µs that each layer takes besides.
#
# <<% set t = [(published.single_batches(2) | selectattr("prompt_tokens", "equalto", 2048) | first),
#     (published.single_batches(8) | selectattr("prompt_tokens", "equalto", 2048) | first)] -%>>
# > **Common mistake.** One efficiency for everything: the MBU above is
# > << fixed(t[1].step_s * 8 / (t[0].step_s * 2), 1) >> times as high on two cards as on eight, and
# > prefill has another one. And quoting the error on the rows that were fitted: with as many coefficients as
# > rows it would be nothing at all.
#
# *Source: Patel et al., Splitwise, ISCA 2024, arXiv:2311.18677, and its published measurements;
# R. Thakur, R. Rabenseifner and W. Gropp, Optimization of Collective Communication Operations in
# MPICH, 2005; latencies: NCCL, `src/graph/tuning.cc`.*
#
# **Check yourself.** Eighty layers on eight GPUs, 1 µs a round. How many ms of a step are latency of
# all-reduces?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1e3 * 2 * 80 * parallelism.all_reduce_s(0, 8, 450e9, 1e-6),
    "ms of latency",
    "Two all-reduces a layer, each of 2 (n - 1) rounds of the latency.",
    mistakes={
        "a layer has two all-reduces": 1e3 * 80 * 14e-6,
        "a ring takes 2 (n - 1) rounds, not n": 1e3 * 160 * 8e-6,
    },
    worked="2 * 80 all-reduces of 2 * (8 - 1) = 14 rounds of 1 µs: {right} ms.",
)

# %% [markdown]
# <<% set v3 = facts.get_model("DeepSeek-V3") -%>>
# ## 5.6 What a mixture of experts reads
#
# **Question.** DeepSeek-V3 has << fixed(v3.n_params / 1e9, 0) >> billion weights, of which a token
# passes through << fixed(v3.n_active_params / 1e9, 1) >>. Does a step read the small number or the
# large one?
#
# $$\bar{E}(B) = E\left(1 - \left(1 - \tfrac{e}{E}\right)^B\right), \qquad
# \text{bytes} = \text{dense} + n_{moe}\,\bar{E}(B)\,\text{bytes of an expert}$$
#
# - $E$ experts of a layer, $e$ of them for each token, $n_{moe}$ layers with experts, $\bar{E}(B)$
#   distinct experts that a batch of $B$ visits in a layer on average, if the router chooses evenly.
#
# **Argument.** An expert stays unread if none of the $B$ tokens wants it: one token leaves it alone
# with probability $1 - e/E$, all of them with the $B$-th power of that. The weights of an expert are
# read once however many tokens of the step use it. So the bytes grow quickly with the batch and then
# hardly at all, and up to there a larger batch brings little.

# %%
v3, h200 = facts.get_model("DeepSeek-V3"), facts.get_accelerator("H200-SXM")
expert_bytes = v3.n_expert_params // (v3.moe_layers * v3.n_experts)  # 8 bits a weight
dense_bytes = v3.n_params - v3.n_expert_params
per_token = v3.kv_bytes_per_token(1)  # the latent in 8 bits
speeds = (8, h200.bandwidth_Bps, h200.fp8_dense_flops)


def moe_step(batch, seq):
    """One decode step of DeepSeek-V3 in 8 bits on eight H200."""
    layer = (v3.n_experts, v3.experts_per_token, v3.moe_layers)
    weights = (expert_bytes, dense_bytes, v3.n_active_params)
    return experts.moe_step_s(batch, *layer, *weights, batch * seq * per_token, *speeds)


print(f"an expert: {expert_bytes:,} weights; all but the experts: {dense_bytes / 1e9:.2f}e9")
print(
    f"{'B':>4} {'experts a layer':>15} {'bytes':>9} {'over the active':>16} {'step, s = 4096':>15}"
)
for B in (1, 8, 32, 128):
    step = moe_step(B, 4096)
    seen = experts.experts_read(v3.n_experts, v3.experts_per_token, B)
    print(f"{B:>4} {seen:>15.1f} {step['bytes'] / 1e9:>6.1f} GB", end="")
    print(f" {step['bytes'] / v3.n_active_params:>15.1f}x {1e3 * step['step_s']:>12.2f} ms")
flip = next(B for B in range(1, 10_000) if moe_step(B, 0)["bound"] == "compute")
like_dense = roofline.critical_batch(h200.fp8_dense_flops, h200.bandwidth_Bps, 1)
print(
    f"arithmetic takes over at B = {flip}; of a dense model in 8 bits at {math.floor(like_dense) + 1}"
)

# %% [markdown]
# **Measured.** DeepSeek-R1 has the same shape. SGLang served it in 8 bits on eight H200, 1024 tokens
# in and out, no thinking. Beside it stand three ideas of the bytes on the roofline, and the prediction
# with fitted coefficients and its band (5.5):

# %% jupyter={"source_hidden": true}
r1 = published.closed_loop_run("DeepSeek-R1", "H200-SXM", "fp8")
r1_node = Deployment(
    model=facts.get_model("DeepSeek-R1"),
    accelerator=h200,
    tensor_parallel=8,
    weight_format="fp8",
    expert_format="fp8_block",
    cache_format="fp8",
)
axis = np.unique(np.round(np.geomspace(1, 256, 60)).astype(int))
bandwidth = 8 * h200.bandwidth_Bps
cache_ms = 1e3 * axis * 1536 * per_token / bandwidth
models = {
    "all weights": (1e3 * v3.n_params / bandwidth + cache_ms, ":", "neutral"),
    "experts that are read": (
        np.array([1e3 * moe_step(int(B), 1536)["step_s"] for B in axis]),
        "-",
        "primary",
    ),
    "active weights": (1e3 * v3.n_active_params / bandwidth + cache_ms, "--", "error"),
}
users = [p.concurrency for p in r1.points]
loops = [closedloop.closed_loop(r1_node, 1024, 1024, u, engine="sglang") for u in users]

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2))
for name, E, e, style, color in [
    ("DeepSeek-V3: 8 of 256", 256, 8, "-", "primary"),
    ("Qwen3-Next: 10 of 512", 512, 10, "--", "tertiary"),
    ("Mixtral: 2 of 8", 8, 2, "-.", "secondary"),
]:
    shares = [100 * experts.experts_read(E, e, int(B)) / E for B in axis]
    left.semilogx(axis, shares, style, color=COLORS[color], label=name)
left.set(xlabel="batch, B", ylabel="experts of a layer that are read [%]", ylim=(0, 102))
left.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
left.minorticks_off()
left.set_title("A large batch reads nearly all")
left.legend(loc="lower right")
for name, (ms, style, color) in models.items():
    right.loglog(axis, ms, style, color=COLORS[color], label=f"roofline, {name}")
right.plot(
    users, [1e3 * x.tpot_s for x in loops], "-.", color=COLORS["tertiary"], label="fitted (5.5)"
)
band = np.array([x.tpot_band_s for x in loops]).T * 1e3
right.fill_between(users, *band, color=COLORS["tertiary"], alpha=0.2, linewidth=0)
right.plot(
    users,
    [1e3 * p.tpot_s for p in r1.points],
    "o",
    color="black",
    markersize=8,
    label="measured TPOT",
)
right.set(xlabel="batch, B", ylabel="ms", xlim=(1, 256), ylim=(0.8, 90))
right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
right.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
right.minorticks_off()
right.set_title("DeepSeek-R1, eight H200")
right.legend(loc="upper left", fontsize=10.5)
show(
    fig,
    "Left: share of a layer's experts that are read against the batch, rising to nearly all at 16 for "
    "Mixtral, at 128 for DeepSeek-V3 and beyond 200 for Qwen3-Next. Right: predicted steps of DeepSeek-R1 against "
    "the batch; with active weights only the line is flat near 1 ms, with all weights flat near 18 "
    "ms, with the experts that are read it climbs from one to the other. Measured times climb with "
    f"the same shape, from {1e3 * r1.points[0].tpot_s:.0f} ms at 4 users to "
    f"{1e3 * r1.points[-1].tpot_s:.0f} at 64, inside the band of the fitted prediction or near it.",
    table={
        "users": users,
        "active weights [ms]": [
            1e3 * (v3.n_active_params + u * 1536 * per_token) / bandwidth for u in users
        ],
        "experts read [ms]": [1e3 * moe_step(u, 1536)["step_s"] for u in users],
        "fitted [ms]": [1e3 * x.tpot_s for x in loops],
        "measured [ms]": [1e3 * p.tpot_s for p in r1.points],
    },
)
first, last = r1.points[0], r1.points[-1]
print(f"from {first.concurrency} to {last.concurrency} users: measured", end=" ")
print(f"x{last.tpot_s / first.tpot_s:.1f},", end=" ")
print(f"experts read x{moe_step(64, 1536)['step_s'] / moe_step(4, 1536)['step_s']:.1f}")

# %% [markdown]
# Active weights alone would give a line that hardly rises, and all weights one that does not rise at
# all. What was measured does rise, more gently than the bytes, because each layer costs something
# besides them.
#
# **Experts on several GPUs.** With expert parallelism each GPU holds some of the experts, and a token
# travels to those it was sent to. All wait for the busiest GPU:

# %%
reached = experts.other_gpus_reached(256, 8, n_gpus=8)
travels = experts.all_to_all_bytes(v3.hidden, 256, 8, n_gpus=8)
print(f"eight GPUs: a token visits {reached:.2f} of the 7 others,", end=" ")
print(f"{travels / 1e3:.1f} kB a layer (8 bits out, 16 back)")
print(f"{'B':>5} {'busiest expert over mean':>25} {'busiest GPU over mean':>22}")
for B in (64, 256, 1024):
    single, card = (experts.expert_imbalance(256, 8, B, g, draws=60) for g in (None, 8))
    print(f"{B:>5} {single:>25.1f} {card:>22.2f}")

# %% [markdown]
# <<% set v3 = facts.get_model("DeepSeek-V3") -%>>
# <<% set per = v3.n_expert_params / (v3.moe_layers * v3.n_experts) -%>>
# <<% set read = v3.n_params - v3.n_expert_params
#     + v3.moe_layers * per * experts.experts_read(256, 8, 32) -%>>
# > **Common mistake.** "A step reads the active parameters." For one user it does. For 32 it reads
# > << fixed(read / 1e9, 1) >> GB, << num(read / v3.n_active_params, 3) >> times as much. What stays
# > small is the *arithmetic*; that is why the batch at which it takes over is so large. The formula
# > assumes an even router. A real one has favourites: fewer experts are read, and the busiest is
# > busier.
#
# *Source: DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437; shapes: published
# configurations; formats on the way: DeepEP, README. Measured: ai-dynamo/aiconfigurator,
# silicon_sample.csv.*
#
# **Check yourself.** Mixtral has 8 experts and sends each token to 2. How many of a layer's experts
# does a batch of 4 read on average?

# %%
answer = None
check_yourself(
    answer,
    lambda: experts.experts_read(8, 2, 4),
    "experts of a layer",
    "(1 - e/E)^B of the experts are left alone by all B tokens.",
    mistakes={
        "that is e B: tokens share experts": 8.0,
        "that is one token": 2.0,
        "that takes one expert a token": 8 * (1 - (1 - 1 / 8) ** 4),
    },
    worked="8 (1 - (1 - 2/8)**4) = {right}.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# ## 5.7 What a 4-bit weight takes
#
# **Question.** << num(m.n_params / 1e9, 3) >> billion weights of four bits are
# << fixed(m.n_params / 2e9, 1) >> GB. Why is every 4-bit file of this model larger?
#
# $$\text{bits a weight} = \text{bits of the value} + \frac{\text{bits of the scale}}
# {\text{values that share it}}$$
#
# **Argument.** Four bits tell sixteen values apart. To cover weights of any size, a small block of
# them shares a scale, which is stored too. A small block follows the weights closely and pays for
# more scales. A block that is not full takes the room of a full one. And not everything is
# quantised: the table of embeddings, the head and the norms mostly stay in 16 bits, because little is
# saved there and much is lost.

# %%
print(f"{model.n_dense_params / 1e9:.2f}e9 weights in linear layers, the rest in 16 bits")
print(f"{'format':<15} {'bits':>8} {'GB':>7} {'over bits/8 of all':>19}")
formats = ("bf16", "fp8", "mxfp8", "int4_g128_zero", "nvfp4", "mxfp4", "int4_g128")
for name in formats:
    entry = quantisation.number_format(name)
    size = model.stored_bytes(name)
    print(f"{name:<15} {entry.bits_per_weight:>8.6g} {size / 1e9:>7.1f}", end="")
    print(f" {size / (model.n_params * entry.bits / 8) - 1:>19.1%}")
oss = facts.get_model("gpt-oss-120b")
few = quantisation.stored_bytes(oss.n_expert_params, "mxfp4")
print(
    f"gpt-oss-120b: {oss.n_expert_params / 1e9:.2f} of {oss.n_params / 1e9:.2f} billion in MXFP4:",
    end=" ",
)
print(
    f"{few / 1e9:.1f} + {(oss.stored_bytes() - few) / 1e9:.1f} GB = {oss.stored_bytes() / 2**30:.1f} GiB"
)

# %% [markdown]
# **Measured.** Fewer bytes do not shorten a step by their share. vLLM served Llama-3.1-70B on one
# B200 in both formats, 1024 tokens in and out. Cache and fixed costs are the same in both, so the
# gain is smaller than the ratio of the bytes:

# %% jupyter={"source_hidden": true}
eight, four = (published.closed_loop_run("Llama-3.1-70B", "B200-SXM", f) for f in ("fp8", "nvfp4"))
bytes_ratio = model.stored_bytes("fp8") / model.stored_bytes("nvfp4")
users = [p.concurrency for p in four.points]
gain = [a.tpot_s / b.tpot_s for a, b in zip(eight.points, four.points, strict=True)]
b200 = facts.get_accelerator("B200-SXM")
predicted = []
for u in users:
    both = [
        closedloop.closed_loop(
            Deployment(
                model=facts.get_model("Llama-3.1-70B"),
                accelerator=b200,
                weight_format=f,
                cache_format="fp8",
            ),
            1024,
            1024,
            u,
            engine="vllm",
        ).tpot_s
        for f in ("fp8", "nvfp4")
    ]
    predicted.append(both[0] / both[1])

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2))
shown = ("fp8", "nvfp4", "mxfp4", "int4_g128")
place = np.arange(len(shown))
values = np.array([model.n_dense_params * quantisation.number_format(f).bits / 8e9 for f in shown])
total = np.array([model.stored_bytes(f) / 1e9 for f in shown])
rest = np.full(len(shown), 2 * model.n_embedding_params / 1e9)
parts = [
    ("values", values, "primary", ""),
    ("scales", total - values - rest, "secondary", "//"),
    ("embeddings, head, norms", rest, "tertiary", ".."),
]
base = np.zeros(len(shown))
for name, size, color, hatch in parts:
    left.bar(
        place,
        size,
        0.6,
        bottom=base,
        color=COLORS[color],
        hatch=hatch,
        edgecolor="white",
        label=name,
    )
    base = base + size
for x, y in zip(place, total, strict=True):
    left.text(x, y + 0.8, f"{y:.1f}", ha="center")
left.axhline(model.n_params / 2e9, color="black", linestyle=":", linewidth=1.6)
left.set_xlim(-0.5, 4.2)
left.text(4.15, model.n_params / 2e9 + 0.8, "N / 2", ha="right")
left.set_xticks(place, ["FP8", "NVFP4", "MXFP4", "INT4, 128"])
left.set(ylabel="Llama-3-70B [GB]", ylim=(0, 84))
left.set_title("Where the bytes are")
left.legend(loc="upper right")
right.axhline(bytes_ratio, color=COLORS["neutral"], linestyle=":", linewidth=1.8)
right.text(4, bytes_ratio + 0.015, f"bytes of the weights: {bytes_ratio:.2f}")
right.plot(users, predicted, "--", color=COLORS["tertiary"], label="predicted (5.5)")
right.plot(users, gain, "o", color="black", markersize=8, label="measured")
right.axhline(1, color=COLORS["neutral"], linewidth=1)
right.set_xscale("log", base=2)
right.set_xticks(users, [str(u) for u in users])
right.set(xlabel="requests in flight", ylabel="TPOT in FP8 over NVFP4", ylim=(0.95, 1.85))
right.set_title("How much sooner a token comes")
right.legend(loc="lower left", bbox_to_anchor=(0, 0.06))
show(
    fig,
    "Left: stored bytes of Llama-3-70B in four formats as stacked bars of values, scales and what "
    f"stays in 16 bits; the 4-bit formats take {total[1]:.1f}, {total[2]:.1f} and {total[3]:.1f} GB, "
    f"all above N/2 = {model.n_params / 2e9:.1f} GB. Right: TPOT in FP8 over TPOT in NVFP4 on one "
    f"B200; measured {min(gain):.2f} to {max(gain):.2f}, where the bytes of the weights would say "
    f"{bytes_ratio:.2f}.",
    table={
        "requests in flight": users,
        "FP8, measured [ms]": [1e3 * p.tpot_s for p in eight.points],
        "NVFP4, measured [ms]": [1e3 * p.tpot_s for p in four.points],
        "ratio, measured": gain,
        "ratio, predicted": predicted,
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# > **Common mistake.** "Four bits: $N/2$ bytes." The scales and what stays in 16 bits make
# > << fixed(m.stored_bytes("nvfp4") / 1e9, 1) >> GB of << fixed(m.n_params / 2e9, 1) >>. And "the
# > cache shrinks too": the format of the weights says nothing about the cache, which has one of its
# > own. Users who fit in the room that was won still bring 16-bit caches unless you change those.
#
# *Source: Open Compute Project, OCP Microscaling Formats (MX) Specification 1.0, 2023; NVFP4: Intel
# Neural Compressor's documentation; gpt-oss: its published configuration. Measured:
# ai-dynamo/aiconfigurator, silicon_sample.csv.*
#
# **Check yourself.** A format keeps 20 values of 5 bits under one scale of 16 bits. How many bits
# does a weight take?

# %%
answer = None
check_yourself(
    answer,
    lambda: 5 + 16 / 20,
    "bits a weight",
    "The bits of a value, and its share of the scale.",
    mistakes={
        "that leaves the scale out": 5.0,
        "that takes the scale of 16 bits for one of 16 values": 6.25,
        "that gives each value a scale": 21.0,
    },
    worked="5 + 16/20 = {right} bits.",
)

# %% [markdown]
# ## 5.8 A cache of 131 072 tokens
#
# **Question.** Five models read a book of 131 072 tokens. One keeps
# << num(facts.get_model("Llama-3-70B").resident_kv_bytes(131072) / 2**30, 2) >> GiB of it, another
# << num(facts.get_model("Qwen3-Next-80B-A3B").resident_kv_bytes(131072) / 2**30, 2) >>. What does
# that one leave out?
#
# $$\text{bytes} = b \sum_{\text{layers}} \begin{cases}
# 2\, n_{kv}\, d_h\, s & \text{full attention} \\
# 2\, n_{kv}\, d_h \min(s, w) & \text{window of } w \text{ tokens} \\
# (r + d_R)\, s & \text{latent (MLA)} \\
# \text{a constant} & \text{linear attention}
# \end{cases}$$
#
# - $r$ elements of the latent, $d_R$ of the position key beside it; the other symbols as in 3.2.
#
# **Argument.** A layer has to keep what a later token may ask it for. Full attention may ask for
# anything. A window never looks further back than $w$. A latent is a compressed key and value for all
# heads at once. A linear layer folds the past into a matrix of fixed size. Most models mix: a few
# full layers for what is far away, cheap ones for the rest. So count layers by kind; the dearest kind
# decides.

# %%
names = ("Llama-3-70B", "DeepSeek-V3", "gpt-oss-120b", "Qwen3-Next-80B-A3B", "Gemma-3-4B")
long = 131_072
print(f"{'model':<19} {'kinds of layers':<31} {'GiB':>6} {'if all were full':>17}")
for name in names:
    m = facts.get_model(name)
    wide = m.windowed_layers or 0
    kinds = [
        f"{m.cache_layers - wide} {'latent' if m.attention == 'MLA' else 'full'}",
        *([f"{wide} window {m.sliding_window}"] if wide else []),
        *([f"{m.linear_layers} linear"] if m.linear_layers else []),
    ]
    full = m.kv_bytes_per_token() * long * m.n_layers / m.cache_layers
    print(f"{name:<19} {', '.join(kinds):<31} {m.resident_kv_bytes(long) / 2**30:>6.2f}", end="")
    print(f" {full / 2**30:>17.2f}")
mixed = facts.get_model("Qwen3-Next-80B-A3B")
state = mixed.state_bytes()
print(
    f"the linear layers of {mixed.name} keep {state / 2**20:.0f} MiB for every sequence,", end=" "
)
print(f"as much as {state / mixed.kv_bytes_per_token():.0f} tokens of its cache")

# %% jupyter={"source_hidden": true}
lengths = np.unique(np.round(np.geomspace(32, 131_072, 80)).astype(int))
looks = [
    ("-", "primary"),
    ("--", "error"),
    ("-.", "tertiary"),
    (":", "secondary"),
    ("-", "highlight"),
]
fig, ax = plt.subplots(figsize=(10, 6))
for name, (style, color), up in zip(names, looks, (0, 0, 9, 0, -9), strict=True):
    m = facts.get_model(name)
    mib = [(m.resident_kv_bytes(int(s)) + m.state_bytes()) / 2**20 for s in lengths]
    ax.loglog(lengths, mib, style, color=COLORS[color])
    ax.annotate(
        name, (lengths[-1], mib[-1]), xytext=(6, up), textcoords="offset points", va="center"
    )
for w, label in [(128, "window of gpt-oss"), (1024, "window of Gemma")]:
    ax.axvline(w, color=COLORS["neutral"], linestyle=":", linewidth=1.2)
    ax.text(w * 1.04, 60_000, label, rotation=90, va="top")
ax.set_xticks([32, 256, 2048, 16_384, 131_072], ["32", "256", "2048", "16 384", "131 072"])
ax.set_yticks([1, 10, 100, 1024, 10_240], ["1 MiB", "10 MiB", "100 MiB", "1 GiB", "10 GiB"])
ax.minorticks_off()
ax.set(xlabel="tokens of the sequence", ylabel="cache and states of one sequence")
ax.set(xlim=(30, 900_000), ylim=(0.4, 70_000))
ax.set_title("After its window a layer costs nothing more")
show(
    fig,
    "Log-log chart of the bytes that one sequence keeps against its tokens, for five models. "
    "Llama-3-70B is a straight line to 40 GiB. DeepSeek-V3 is a lower straight line. gpt-oss bends at "
    "128 tokens and Gemma-3-4B at 1024, where their windows are full. Qwen3-Next begins with 36 MiB of "
    "states and grows only after some thousand tokens.",
    table={
        "tokens": [128, 1024, 16_384, 131_072],
        **{
            f"{name} [MiB]": [
                (facts.get_model(name).resident_kv_bytes(s) + facts.get_model(name).state_bytes())
                / 2**20
                for s in (128, 1024, 16_384, 131_072)
            ]
            for name in names
        },
    },
)

# %% [markdown]
# **Measured.** How many tokens fit is what an engine prints when it starts. The server of 5.1, with
# its default of nine tenths of the card:

# %%
small = Deployment(
    model=facts.get_model(served.model), accelerator=facts.get_accelerator(served.accelerator)
)
told = small.cache_tokens("vllm")
print(f"{served.model} on one {served.accelerator}: predicted {told:,.0f} tokens,", end=" ")
print(f"{served.engine} reports {served.kv_tokens:,} ({told / served.kv_tokens - 1:+.0%})")

# %% [markdown]
# The prediction takes the card at its label and leaves out activations and recorded steps: errors of
# opposite signs (3.3), of which the engine's own trial step knows both.
#
# <<% set oss = facts.get_model("gpt-oss-120b") -%>>
# <<% set gemma = facts.get_model("Gemma-3-4B") -%>>
# > **Common mistake.** $d_h$ = width over heads. For gpt-oss that is
# > << fixed(oss.hidden // oss.n_heads, 0) >> and the config says << oss.head_dim >>; for Gemma-3-4B
# > << fixed(gemma.hidden // gemma.n_heads, 0) >> and << gemma.head_dim >>. Read `head_dim`. Also
# > wrong: counting the << facts.get_model("DeepSeek-V3").n_kv_heads >> "key/value heads" of
# > DeepSeek-V3; they are made from the latent and never stored.
#
# *Source: transformers, `configuration_*.py` of the models; published configurations. Measured:
# casys-kaist/LLMServingSim, bench/examples.*
#
# **Check yourself.** gpt-oss-120b has 18 full layers and 18 with a window of 128, 8 key/value heads
# of 64 elements, 16 bits. By how many bytes does token number 100 000 enlarge the cache?

# %%
answer = None
check_yourself(
    answer,
    lambda: (
        facts.get_model("gpt-oss-120b").resident_kv_bytes(100_000)
        - facts.get_model("gpt-oss-120b").resident_kv_bytes(99_999)
    ),
    "bytes",
    "In layers with a full window a new token takes the place of an old one.",
    mistakes={
        "layers with a window do not grow at token 100 000": 36 * 2 * 8 * 64 * 2,
        "K and V are two": 18 * 8 * 64 * 2,
        "that is one layer": 2 * 8 * 64 * 2,
    },
    worked="18 full layers * 2 (K and V) * 8 heads * 64 elements * 2 bytes = {right} bytes.",
)

# %% [markdown]
# ## 5.9 Which replica
#
# **Question.** Sixteen replicas, each nine tenths busy. A router that draws one at random makes a
# request stay << num(queueing.mm1(0.9, 1)["W"], 3) >> service times. How much does it help to look at
# two?
#
# $$P(\text{at least } i) = \rho^{(d^i - 1)/(d - 1)} \quad (d \ge 2), \qquad \rho^i \quad (d = 1)$$
#
# $$\text{score} = \text{hit} - w\,\frac{\text{load} - \overline{\text{load}}}
# {\max(1, \overline{\text{load}})}$$
#
# - share of the replicas that hold at least $i$ requests, if each request draws $d$ replicas and joins
#   the least loaded of them; many replicas, Poisson arrivals, exponential service. The second formula
#   gives the replica that a router prefers which also sees prefix caches: hit is the share of the
#   prompt that it has cached, $w$ the weight of the load.
#
# **Argument.** A replica with $i$ requests arises when an arrival finds *all* its $d$ draws with at
# least $i - 1$: a share $x$ becomes about $x^d$. Squaring again and again goes to 0 doubly
# exponentially, so long queues all but vanish. One look at random costs next to nothing and needs no
# state; most of what knowing everything would bring comes from the second look.

# %%
rho = 0.9


def mean_stay(d):
    """Mean stay in service times: Little's law on the shares of replicas with i or more."""
    return sum(fleets.two_choices_tail(rho, d, i) for i in range(1, 400)) / rho


print(f"{'d':>2} {'mean stay [S]':>14} {'4 or more':>10} {'8 or more':>10}")
for d in (1, 2, 3):
    tails = [fleets.two_choices_tail(rho, d, i) for i in (4, 8)]
    print(f"{d:>2} {mean_stay(d):>14.3f} {tails[0]:>10.4f} {tails[1]:>10.2g}")

# %% [markdown]
# Sixteen are not many, and routers differ. A request of exponential size (one second on average)
# on replicas that serve one at a time, 60 000 requests each; means carry about five percent of noise:

# %%
seconds = sim.LinearStep(base_s=0, per_decode_s=0, per_prefill_token_s=1e-3, per_context_token_s=0)
one_by_one = sim.LLMServer(step_time=seconds, max_batch=1)
plays = {}
for router in ("random", "round_robin", "power_of_two", "least_loaded"):
    rng = np.random.default_rng(509)
    came = arrivals.poisson(60_000, 16 * rho, rng)
    sizes = rng.geometric(1e-3, 60_000)  # milliseconds of work, as tokens
    crowd = sim.Requests(came, sizes, 1)
    plays[router] = sim.simulate_fleet(crowd, one_by_one, 16, router=router, rng=rng)
    counted = plays[router].without_warmup()
    p99 = counted.percentile("e2e", "0.99")
    print(
        f"{router:<13} mean stay {counted.e2e_s[counted.first_counted :].mean():5.2f} s,", end=" "
    )
    print(f"P99 {p99:5.1f} s")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2))
lengths_axis = np.arange(0, 13)
for d, (style, color) in zip(
    (1, 2, 3), [("o-", "error"), ("s--", "primary"), ("^-.", "tertiary")], strict=True
):
    shares = np.array([fleets.two_choices_tail(rho, d, int(i)) for i in lengths_axis])
    shown = shares > 1e-7
    label = "one at random" if d == 1 else f"least loaded of {d}"
    left.semilogy(lengths_axis[shown], shares[shown], style, color=COLORS[color], label=label)
left.set(xlabel="requests at a replica, i", ylabel="share with at least i", ylim=(1e-6, 1.5))
left.set_title("Many replicas, ρ = 0.9")
left.legend(loc="lower left")
names = {
    "random": ("random", "error", "-"),
    "round_robin": ("round robin", "secondary", ":"),
    "power_of_two": ("least loaded of two", "primary", "--"),
    "least_loaded": ("least loaded of all", "tertiary", "-."),
}
stays = {}
for router, (label, color, style) in names.items():
    counted = plays[router].without_warmup()
    stays[router] = np.sort(counted.e2e_s[counted.first_counted :])
    above = 1 - np.arange(stays[router].size) / stays[router].size
    right.semilogy(stays[router][::50], above[::50], style, color=COLORS[color], label=label)
right.axhline(0.01, color=COLORS["neutral"], linewidth=1)
right.text(49, 0.0108, "P99", ha="right", va="bottom")
right.set(xlabel="stay [s]", ylabel="share that stays longer", xlim=(0, 50), ylim=(1e-3, 1))
right.set_title("Sixteen replicas, simulated")
right.legend(loc="upper right")
means = {router: float(values.mean()) for router, values in stays.items()}
show(
    fig,
    "Left: share of replicas with at least i requests on a logarithmic axis; a straight line for a "
    "random choice, curves that plunge for the least loaded of two or three. Right: share of requests "
    "that stay longer than a time for four routers, simulated; mean stays are "
    + ", ".join(f"{means[r]:.1f} s ({names[r][0]})" for r in names)
    + ".",
    table={
        "router": [names[r][0] for r in names],
        "mean stay [s]": [means[r] for r in names],
        "P99 [s]": [latency.percentile(stays[r], "0.99") for r in names],
    },
)

# %% [markdown]
# **Caches pull the other way.** A replica that has the beginning of the prompt cached saves work
# (5.10). Whether to send a request there although it is busy is what $w$ decides. Four replicas with
# loads of 20, 4, 6 and 2, of which the first has 90 % of the prompt:

# %%
loads, hits = [20, 4, 6, 2], [0.9, 0, 0, 0]
even = sum(loads) / len(loads)
for weight in (0.1, 0.3, 0.39, 0.41, 1):
    scores = [h - weight * (x - even) / max(1, even) for x, h in zip(loads, hits, strict=True)]
    chosen = fleets.route(loads, hits, weight)
    print(f"w = {weight:<4} scores" + "".join(f" {s:6.2f}" for s in scores), end="")
    print(f"  -> replica {chosen}, load {loads[chosen]}")

# %% [markdown]
# > **Common mistake.** "Round robin spreads the load evenly." It spreads the *number* of requests,
# > not the work, and does not see who is still busy: in the run above it halves the stay of a random
# > choice, and looking at two halves it again. And "always where the cache is": affinity without a
# > weight for load sends everybody who shares a system prompt to one replica.
#
# *Source: M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE Transactions
# on Parallel and Distributed Systems 12(10), 2001; vLLM production stack, routing by load and prefix.*
#
# **Check yourself.** Load 0.7, the least loaded of two. What share of many replicas holds at least
# two requests?

# %%
answer = None
check_yourself(
    answer,
    lambda: fleets.two_choices_tail(0.7, 2, 2),
    "share with two or more",
    "The exponent is (d^k - 1) / (d - 1).",
    mistakes={
        "that is one queue: 0.7 squared": 0.49,
        "that is 0.7 to the power of d k": 0.7**4,
        "that is at least one": 0.7,
    },
    worked="rho to the power of (2**2 - 1)/(2 - 1) = 3: 0.7**3 = {right}.",
)

# %% [markdown]
# ## 5.10 What a cache of prefixes hits
#
# **Question.** A hundred of a thousand prompts draw most of the traffic, and the cache has room for a
# hundred. Is "most of the traffic" what it will hit?
#
# $$\sum_i \left(1 - e^{-p_i T}\right) = C, \qquad
# \text{hit share} = \sum_i p_i \left(1 - e^{-p_i T}\right)$$
#
# - $p_i$ share of the requests that ask for item $i$, $C$ items that fit, $T$ the time after which an
#   item that nobody asks for is thrown out, counted in requests. Least recently used (LRU) goes first.
#
# **Argument.** LRU does not know what is popular; it knows what was asked for lately. An item is
# there if it was asked for within the last $T$ requests, which has probability $1 - e^{-p_i T}$. $T$
# is whatever makes that come to $C$ items on average. So part of the room always holds items that
# were asked for once and will not be again soon.

# %%
popularity = 1 / np.arange(1, 1001)  # Zipf's law with exponent 1
rng = np.random.default_rng(510)
asked = rng.choice(1000, size=60_000, p=popularity / popularity.sum())
print(f"{'C':>4} {'Che':>6} {'LRU simulated':>14} {'the C most popular':>19}")
for size in (10, 100, 300):
    found = caching.prefix_hits([[int(item)] for item in asked], size)
    che, static = caching.lru_hit_share(popularity, size), caching.zipf_hit_share(1000, size)
    print(f"{size:>4} {che:>6.3f} {np.mean(found[10_000:]):>14.3f} {static:>19.3f}")

# %% [markdown]
# **Conversations.** Every turn sends the whole past again, so its beginning is what the last turn
# ended with. A block of tokens can be reused only if *everything before it* is equal too, because keys
# and values depend on it. Ten turns with a system prompt of 1000 tokens, 200 from the user and 300 in
# each answer:

# %%
chat = sim.Sessions([0.0], [[200] * 10], [[300] * 10], system_tokens=1000)
prompts = chat.prompt_tokens
past = np.concatenate([[0], prompts[:-1]])  # computed with the last prompt
print(f"tokens of prefill in ten turns without a cache: {prompts.sum():,}")
print(f"prompts are kept:                               {(prompts - past).sum():,}")
print(f"answers too:                                    {(prompts - past).sum() - 9 * 300:,}")

# %% [markdown]
# **Measured.** The first 500 requests of a public trace of conversations (Mooncake) come with the
# identities of their blocks. A replay through LRU says how much of the prefill a cache of each size
# would have saved:

# %% jupyter={"source_hidden": true}
reuse = published.prefix_reuse()
held = list(reuse.hit_blocks)
trace_share = [100 * hits / reuse.blocks for hits in reuse.hit_blocks.values()]
sizes_axis = np.unique(np.round(np.geomspace(1, 1000, 60)).astype(int))
simulated_at = [3, 10, 30, 100, 300]
simulated = [
    100 * np.mean(caching.prefix_hits([[int(item)] for item in asked], c)[10_000:])
    for c in simulated_at
]

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2))
left.semilogx(
    sizes_axis,
    [100 * caching.zipf_hit_share(1000, int(c)) for c in sizes_axis],
    ":",
    color=COLORS["neutral"],
    label="always the C most popular",
)
left.semilogx(
    sizes_axis,
    [100 * caching.lru_hit_share(popularity, int(c)) for c in sizes_axis],
    color=COLORS["primary"],
    label="LRU, Che's approximation",
)
left.plot(simulated_at, simulated, "o", color=COLORS["error"], markersize=8, label="LRU, simulated")
left.set(xlabel="items that the cache holds, C", ylabel="requests that hit [%]", ylim=(0, 102))
left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
left.set_title("A thousand items, Zipf's law")
left.legend(loc="upper left")
right.semilogx(held, trace_share, "o-", color=COLORS["tertiary"])
limit = 100 * (1 - reuse.distinct_blocks / reuse.blocks)
right.axhline(limit, color=COLORS["neutral"], linestyle="--", linewidth=1.4)
right.text(500, limit + 0.3, f"all that was there before: {limit:.1f} %")
right.set_xticks(held, [f"{c:,}".replace(",", " ") for c in held])
right.minorticks_off()
right.set(
    xlabel=f"blocks of {reuse.block_tokens} tokens that the cache holds",
    ylabel="blocks that hit [%]",
)
right.set(ylim=(0, 20))
right.set_title(f"Mooncake: {reuse.requests} requests, {reuse.blocks} blocks")
show(
    fig,
    "Left: share of hits against the size of the cache under Zipf's law; LRU lies below a cache that "
    "always holds the most popular items, and simulated points lie on Che's curve. Right: share of the "
    f"blocks of a real trace that hit, {trace_share[1]:.1f} per cent with 1000 blocks, "
    f"{trace_share[3]:.1f} with 5000 and {limit:.1f} with room for all.",
    table={"blocks held": held, "hits in the trace [%]": trace_share},
)

# %% [markdown]
# <<% set reuse = published.prefix_reuse() -%>>
# A cache of 1000 blocks finds << reuse.hit_blocks[1000] >>, one for each request but the first: the
# block with which all these prompts begin. The rest of the reuse is a conversation's own past, and
# meanwhile thousands of other blocks have come. How many fit is the question of 5.8; for how long
# somebody pauses nobody can choose.
#
# > **Common mistake.** "The hit share is the share of the $C$ most popular." That is
# > << fixed(caching.zipf_hit_share(1000, 100), 3) >> for a hundred of a thousand; LRU stays well
# > below, as the table says. And "an
# > equal block is a hit": the same paragraph behind another beginning has other keys and values.
#
# *Source: C. Fricker, P. Robert and J. Roberts, A Versatile and Accurate Approximation for LRU Cache
# Performance, 2012, arXiv:1202.3974; vLLM, design document on prefix caching. Measured: Qin et al.,
# Mooncake, FAST 2025, arXiv:2407.00079, conversation trace.*
#
# **Check yourself.** The conversation above, without a cache. How many tokens does the prompt of the
# third turn have?

# %%
answer = None
check_yourself(
    answer,
    lambda: int(chat.prompt_tokens[2]),
    "tokens of the third prompt",
    "A prompt holds all that was said before it, and the new turn.",
    mistakes={
        "that leaves out what the model answered": 1600,
        "that counts the third answer too": 2500,
        "that is what is new in the third turn": 200,
    },
    worked="1000 + 3 * 200 + 2 * 300 = {right} tokens.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set wait = roofline.prefill_time_s(m.n_params, 4096, m.n_layers, m.d_attn, 8,
#     facts.get_accelerator("H100-SXM").bf16_dense_flops) -%>>
# ## 5.11 Prefill and decode apart
#
# **Question.** A prompt of 4096 tokens occupies a node for << fixed(1e3 * wait, 0) >> ms at half of its
# peak, and for that long nobody's answer moves. Let some nodes only read and others only write: what does that buy, and who pays?
#
# $$\mathrm{TTFT} = P + \frac{\rho P}{2(1-\rho)}, \quad \rho = \frac{\lambda P}{n_p}$$
#
# $$\mathrm{TPOT} = \alpha + \beta B + \frac{t_{move}}{n_{out} - 1}, \quad
# B = \frac{x \alpha}{1 - x \beta}, \quad x = \frac{\lambda (n_{out} - 1)}{n_d}$$
#
# - $P$ time of a prefill [s], $n_p$ and $n_d$ nodes for prefill and decode, $x$ tokens per second that
#   a decode node must give; a step of $B$ sequences takes $\alpha + \beta B$ [s]; $t_{move}$ time to
#   move the cache [s].
#
# **Argument.** Prompts of one length on a node of their own are an M/D/1 queue (4.3): a fixed service,
# half the wait of M/M/1. On the decode side, $B$ sequences get $B$ tokens in $\alpha + \beta B$; that
# must be $x$, which gives $B$. The first token comes from the prefill node, so moving the cache delays
# the *second* one, and is shared by all gaps in a mean.

# %%
lam, n_out, s_in = 10, 256, 4096
shape = (model.n_params, s_in, model.n_layers, model.d_attn, n, gpu.bf16_dense_flops)
P = roofline.prefill_time_s(*shape)
bandwidth = n * gpu.bandwidth_Bps
alpha = model.weight_bytes() / bandwidth
beta = (s_in + n_out / 2) * model.kv_bytes_per_token() / bandwidth
move_s = s_in * model.kv_bytes_per_token() / 50e9  # a network of 400 Gbit/s
print(f"prefill {1e3 * P:.1f} ms, step {1e3 * alpha:.3f} ms + B x {1e6 * beta:.1f} us,", end=" ")
print(f"move {1e3 * move_s:.1f} ms")
plan = fleets.pd_split(lam, P, n_out, alpha, beta, 0.5, 0.010, move_s)
print(
    f"{lam}/s within 500 ms and 10 ms: {plan['prefill']} prefill + {plan['decode']} decode,",
    end=" ",
)
print(f"mean TTFT {1e3 * plan['ttft']:.0f} ms, B = {plan['batch']:.1f},", end=" ")
print(f"TPOT {1e3 * plan['tpot']:.2f} ms")

# %% [markdown]
# The formula splits arrivals at random; a router that takes turns does better. So play it, 24 000
# requests, the same ones for all (P99s carry five to ten percent of noise):

# %%
rng = np.random.default_rng(511)
crowd = sim.Requests(arrivals.poisson(24_000, lam, rng), s_in, n_out)
both = sim.LLMServer(step_time=sim.RooflineStep.ideal(model, gpu, n_gpus=n))
deployments = {f"{r} together": sim.simulate_fleet(crowd, both, r) for r in (3, 4)} | {
    f"{p} + {d}": sim.simulate_disaggregated(crowd, both, both, p, d, transfer_s=move_s)
    for p, d in ((2, 1), (3, 1))
}
rows = {}
print(f"{'nodes':<11} {'TTFT mean':>10} {'P99':>8} {'TPOT mean':>11} {'P99':>8}")
for name, played in deployments.items():
    counted = played.without_warmup()
    ttft, tpot = (
        np.array(
            [
                getattr(counted, f"{m}_s")[counted.first_counted :].mean(),
                counted.percentile(m, "0.99"),
            ]
        )
        for m in ("ttft", "tpot")
    )
    rows[name] = 1e3 * ttft, 1e3 * tpot
    print(f"{name:<11} {1e3 * ttft[0]:>7.0f} ms {1e3 * ttft[1]:>5.0f} ms", end="")
    print(f" {1e3 * tpot[0]:>8.1f} ms {1e3 * tpot[1]:>5.1f} ms")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
looks = {
    "3 together": ("o", "error"),
    "4 together": ("s", "secondary"),
    "2 + 1": ("^", "primary"),
    "3 + 1": ("D", "tertiary"),
}
for name, (marker, color) in looks.items():
    ttft, tpot = rows[name]
    left.plot(tpot[1], ttft[1], marker, color=COLORS[color], markersize=13)
    side = -1 if tpot[1] > 15 else 1
    left.annotate(
        name,
        (tpot[1], ttft[1]),
        xytext=(13 * side, 0),
        textcoords="offset points",
        va="center",
        ha="left" if side > 0 else "right",
    )
left.set(xlabel="P99 of TPOT [ms]", ylabel="P99 of TTFT [ms]", xlim=(0, 24), ylim=(0, 1400))
left.set_title("Apart sells TTFT for TPOT")
rates = np.arange(1, 41)
for bound, style, color in [(0.5, "-", "primary"), (0.3, "--", "secondary"), (0.2, "-.", "error")]:
    counts = [fleets.pd_split(int(r), P, n_out, alpha, beta, bound, 0.010, move_s) for r in rates]
    right.step(
        rates,
        [c["prefill"] for c in counts],
        style,
        where="mid",
        color=COLORS[color],
        label=f"prefill, TTFT within {1e3 * bound:.0f} ms",
    )
right.step(rates, [c["decode"] for c in counts], ":", where="mid", color="black", label="decode")
right.set(xlabel="requests a second", ylabel="nodes", ylim=(0, 17))
right.set_title("How many of each")
right.legend(loc="upper left")
show(
    fig,
    "Left: P99 of time to first token against P99 of time per token for four deployments, simulated. "
    + " ".join(
        f"{name}: {rows[name][0][1]:.0f} ms and {rows[name][1][1]:.1f} ms." for name in looks
    )
    + " Right: least nodes for prefill under three bounds, and for decode, against the rate.",
    table={
        "nodes": list(looks),
        "TTFT mean [ms]": [rows[name][0][0] for name in looks],
        "TTFT P99 [ms]": [rows[name][0][1] for name in looks],
        "TPOT mean [ms]": [rows[name][1][0] for name in looks],
        "TPOT P99 [ms]": [rows[name][1][1] for name in looks],
    },
)

# %% [markdown]
# > **Common mistake.** "Prefill and decode apart lower TTFT." With the same three nodes only two are
# > left for prompts, and their queue grows: TTFT gets *worse*, and TPOT gets steady. It is a trade, and
# > it pays where gaps matter more than the start. Also wrong: adding the move to TTFT, and dividing
# > tokens by $n_{out}$ where the decode nodes give only $n_{out} - 1$.
#
# *Source: Y. Zhong et al., DistServe, OSDI 2024, arXiv:2401.09670; Patel et al., Splitwise, ISCA 2024,
# arXiv:2311.18677.*
#
# **Check yourself.** The same prompts and bounds at 20 requests a second: how many prefill nodes at
# least?

# %%
answer = None
check_yourself(
    answer,
    lambda: fleets.pd_split(20, P, n_out, alpha, beta, 0.5, 0.010, move_s)["prefill"],
    "prefill nodes",
    "How many nodes are busy, and how long is the queue of the smallest number that is stable?",
    mistakes={
        "three nodes are not stable: 3.03 of them are busy": 3,
        "a smaller number keeps the bound: put rho into the queue of M/D/1": 5,
    },
    worked="rho = 20 P / p must be below 1, so p > 3.03; with {right} the mean of P + rho P / (2 (1 - rho)) is within 0.5 s.",
)

# %% [markdown]
# <<% set d = published.acceptance() -%>>
# <<% set part = d.accepted / d.drafted -%>>
# ## 5.12 What a measured acceptance is worth
#
# **Question.** An engine reports that << fixed(100 * part, 0) >> % of the drafted tokens were accepted,
# and that a round gives << fixed(1 + d.accepted / d.rounds, 1) >> tokens. The formula of 3.12 makes
# << fixed(speculative.expected_tokens(part, d.gamma), 1) >> of << fixed(100 * part, 0) >> %. Who is
# wrong?
#
# $$\bar{E} = 1 + \sum_{j=1}^{\gamma} \alpha_1 \alpha_2 \cdots \alpha_j
# = 1 + \sum_{j=1}^{\gamma} A_j$$
#
# - $\gamma$ tokens drafted in a round, $\alpha_j$ probability that position $j$ is accepted *if all
#   before it were*, $A_j$ share of the rounds in which position $j$ is accepted; $\bar{E}$ tokens that
#   a round gives on average.
#
# **Argument.** A drafted token counts only if all before it were accepted, so position $j$ survives
# with the product $A_j$. A round gives those plus one token of the large model itself. The formula of
# 3.12 is the case that all $\alpha_j$ are one $\alpha$. Accepted over drafted is neither $\alpha$ nor
# any of the $\alpha_j$: most drafted tokens at the end were thrown away unseen.
#
# **Measured.** EAGLE-3 with Llama-3.1-8B in vLLM, seven tokens a round:

# %%
drafts = published.acceptance()
reported = 1 + drafts.accepted / drafts.rounds
by_position = 1 + sum(drafts.accepted_by_position)
print("position       " + "".join(f"{j:>6}" for j in range(1, drafts.gamma + 1)))
print("accepted, A    " + "".join(f"{a:>6.2f}" for a in drafts.accepted_by_position))
print("if reached     " + "".join(f"{a:>6.2f}" for a in drafts.conditional))
print(f"tokens a round, counted:     {reported:.2f}")
print(f"from the shares by position: {by_position:.2f}")
for what, alpha_one in [
    ("accepted over drafted", drafts.accepted / drafts.drafted),
    ("first position", drafts.conditional[0]),
    ("mean of the conditional", float(np.mean(drafts.conditional))),
]:
    told = speculative.expected_tokens(alpha_one, drafts.gamma)
    print(f"formula with the {what:<24} {alpha_one:.2f}: {told:.2f}")

# %% [markdown]
# Here the conditional acceptances are nearly equal, so one $\alpha$ is a fair summary, if it is the
# right one. That need not be. A draft that tires, with conditional acceptances of .75, .6, .5 and .4:

# %%
tiring = [0.75, 0.6, 0.5, 0.4]
survive = np.cumprod(tiring)
print(f"right: 1 + {' + '.join(f'{a:.3g}' for a in survive)} = {1 + survive.sum():.3f}")
for what, alpha_one in [("mean", float(np.mean(tiring))), ("first", tiring[0])]:
    told = speculative.expected_tokens(alpha_one, 4)
    print(f"formula with the {what:<5} {alpha_one:.4f}: {told:.3f}")

# %% [markdown]
# **And at which batch was it measured?** Drafts and checks use arithmetic that a small batch leaves
# idle (3.12). With an 8B model that drafts four tokens at 1024 tokens of context:

# %% jupyter={"source_hidden": true}
small_model = facts.get_model("Llama-3-8B")
pair = {"target": model, "draft": small_model, "gpu": gpu, "n_gpus": n}
batch_axis = np.arange(1, 301)
curves = {
    a: np.array(
        [speculative.batched_speculation(int(B), 1024, a, 4, **pair).speedup for B in batch_axis]
    )
    for a in (0.8, 0.6)
}
loses = {a: int(batch_axis[np.argmax(curve < 1)]) for a, curve in curves.items()}

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
j = np.arange(1, drafts.gamma + 1)
left.bar(j, drafts.accepted_by_position, 0.6, color=COLORS["primary"], label="measured")
fitted = float(np.mean(drafts.conditional))
left.plot(j, fitted**j, "o--", color=COLORS["tertiary"], label=f"{fitted:.2f} at each position")
flat = drafts.accepted / drafts.drafted
left.plot(j, flat**j, "s:", color=COLORS["error"], label=f"{flat:.2f}, accepted over drafted")
left.set(xlabel="position of the draft", ylabel="share of rounds that accept it", ylim=(0, 0.9))
left.set_title("EAGLE-3 in vLLM")
left.legend(loc="upper right")
for a, style, color in [(0.8, "-", "primary"), (0.6, "--", "secondary")]:
    right.plot(batch_axis, curves[a], style, color=COLORS[color], label=f"acceptance {a}")
    right.plot(loses[a], curves[a][loses[a] - 1], "o", color=COLORS["error"], markersize=8)
    right.annotate(
        f"loses from {loses[a]}",
        (loses[a], 1),
        xytext=(8, 6) if a == 0.8 else (-4, -22),
        textcoords="offset points",
        ha="left" if a == 0.8 else "right",
    )
right.axhline(1, color=COLORS["neutral"], linewidth=1.4)
right.set(xlabel="batch, B", ylabel="speed-up", xlim=(0, 300), ylim=(0, 2.5))
right.set_title("Predicted, 70B with an 8B draft")
right.legend(loc="upper right")
show(
    fig,
    "Left: share of rounds that accept a position, falling from "
    f"{drafts.accepted_by_position[0]} to {drafts.accepted_by_position[-1]}; powers of the mean "
    "conditional acceptance follow the bars, powers of accepted over drafted fall far below. Right: "
    f"speed-up against the batch; with acceptance 0.8 it starts at {curves[0.8][0]:.2f} and falls "
    f"below 1 at {loses[0.8]}, with 0.6 at {loses[0.6]}.",
    table={
        "batch": [1, 64, 128, 256],
        **{f"speed-up at {a}": [curves[a][B - 1] for B in (1, 64, 128, 256)] for a in curves},
    },
)

# %% [markdown]
# <<% set d = published.acceptance() -%>>
# > **Common mistake.** Putting a reported "acceptance rate" into the formula. Accepted over drafted
# > gives << fixed(speculative.expected_tokens(d.accepted / d.drafted, d.gamma), 2) >> tokens a round
# > instead of << fixed(1 + d.accepted / d.rounds, 2) >>; a mean of unequal conditional acceptances is
# > wrong too, since products are not linear. And a speed-up measured with one request does not hold
# > for a full server.
#
# *Source: Y. Leviathan, M. Kalman and Y. Matias, Fast Inference from Transformers via Speculative
# Decoding, 2023, arXiv:2211.17192. Measured: vLLM issue 26191.*
#
# **Check yourself.** Positions are accepted in .8, .56, .28 and .07 of the rounds. How many tokens
# does a round give?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1 + 0.8 + 0.56 + 0.28 + 0.07,
    "tokens a round",
    "The shares are products already: of a position and of all before it.",
    mistakes={
        "these are products already: they were multiplied once more": 1
        + 0.8
        + 0.8 * 0.56
        + 0.8 * 0.56 * 0.28
        + 0.8 * 0.56 * 0.28 * 0.07,
        "the large model adds a token of its own to what is accepted": 0.8 + 0.56 + 0.28 + 0.07,
        "that puts their mean into the formula": (1 - 0.4275**5) / (1 - 0.4275),
    },
    worked="1 + .8 + .56 + .28 + .07 = {right} tokens.",
)

# %% [markdown]
# ## 5.13 Waking up, and watts
#
# **Question.** A service scales to nothing at night. What do the first users in the morning wait, and
# what was saved?
#
# $$t_{cold} = t_{detect} + \frac{W_b}{\text{rate}}, \qquad \text{backlog} = \lambda\,t_{cold}, \qquad
# t_{drain} = \frac{\text{backlog}}{\mu - \lambda}$$
#
# $$J = \frac{\text{power} \cdot t_{step}}{B}\ \left[\frac{\mathrm{J}}{\text{token}}\right]$$
#
# - $W_b$ bytes of weights, rate at which they are loaded [B/s]; $\mu$ requests a second that the
#   replica serves once it is up; power of all GPUs [W], $t_{step}$ a decode step of $B$ sequences [s].
#
# **Argument.** Until the weights are there nobody is served, and everybody who came waits. Then the
# replica works off the backlog with what the traffic leaves it, so the drain lasts long if it is busy
# anyway. Energy is power times time. The power of a busy card hardly depends on the batch, and the
# step grows far more slowly than $B$; so a token is cheap in company and dear alone. What a data sheet
# prints (TDP) is a bound on the mean power.

# %%
# Given: an alarm after 10 s, and a drive that reads 7 GB/s (four lanes of PCIe 4.0 end at 7.9).
lam, mu, detect_s, rate_Bps = 2, 5, 10, 7e9
load_s = capacity.cold_start_s(model.weight_bytes(), rate_Bps)
cold_s = capacity.cold_start_s(model.weight_bytes(), rate_Bps, detect_s)
waiting = lam * cold_s
print(f"loading {model.weight_bytes() / 1e9:.0f} GB: {load_s:.1f} s, with the alarm {cold_s:.1f} s")
print(f"{waiting:.1f} requests wait by then and are gone {waiting / (mu - lam):.1f} s later")

tdp_W = n * gpu.tdp_w
print(f"{n} x {gpu.tdp_w:.0f} W at most, 4096 tokens of context")
per_token_J = {}
for B in (1, 64, 371):
    args = (model.n_params, model.weight_bytes(), model.kv_bytes_per_token(), n)
    step_s = roofline.decode_step_s(B, 4096, *args, gpu.bandwidth_Bps, gpu.bf16_dense_flops)[
        "step_s"
    ]
    per_token_J[B] = tdp_W * step_s / B
    print(f"B = {B:>3}: step {1e3 * step_s:5.2f} ms, {per_token_J[B]:6.3f} J a token,", end=" ")
    print(f"{per_token_J[B] * 1e6 / 3.6e6:.3f} kWh a million")

# %% [markdown]
# **Measured.** Two A100 with Llama-2-70B and prompts of 512 tokens; power is the mean over prefill and
# decode, as a share of TDP. Beside it, what the roofline step at full TDP would give:

# %% jupyter={"source_hidden": true}
watched = [
    b
    for b in published.single_batches(2)
    if (b.prompt_tokens, b.output_tokens) == (512, 128) and b.power_share_of_tdp
]
watched = {b.batch: b for b in watched}
cards_W = 2 * a100.tdp_w
joule = {B: cards_W * b.power_share_of_tdp * b.step_s / B for B, b in watched.items()}


def ideal_J(batch, share=1.0):
    """Joules a token of the same cards if a step took what the roofline says."""
    args = (old.n_params, old.weight_bytes(), old.kv_bytes_per_token(), 2)
    speeds = (a100.bandwidth_Bps, a100.bf16_dense_flops)
    return cards_W * share * roofline.decode_step_s(batch, 576, *args, *speeds)["step_s"] / batch


print(f"{'B':>3} {'power / TDP':>12} {'step':>9} {'measured':>9} {'roofline at TDP':>16}")
for B, b in watched.items():
    print(f"{B:>3} {b.power_share_of_tdp:>12.0%} {1e3 * b.step_s:>6.1f} ms", end="")
    print(f" {joule[B]:>7.1f} J {ideal_J(B):>14.1f} J")

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
t = np.linspace(0, 70, 300)
queue = np.where(t < cold_s, lam * t, np.maximum(0, waiting - (mu - lam) * (t - cold_s)))
left.fill_between(t, queue, color=COLORS["primary"], alpha=0.25)
left.plot(t, queue, color=COLORS["primary"])
left.axvline(detect_s, color=COLORS["neutral"], linestyle=":", linewidth=1.4)
left.text(detect_s + 0.5, 63, "noticed")
left.axvline(cold_s, color=COLORS["neutral"], linestyle=":", linewidth=1.4)
left.text(cold_s + 0.5, 63, "weights loaded")
left.text(cold_s + waiting / (mu - lam) + 1, 4, "caught up")
left.set(
    xlabel="time since the first request [s]", ylabel="requests waiting", xlim=(0, 70), ylim=(0, 70)
)
left.set_title(f"{lam} a second come, {mu} a second leave")
batch_axis = np.unique(np.round(np.geomspace(1, 256, 50)).astype(int))
bound_J = []
for B in batch_axis:
    args = (model.n_params, model.weight_bytes(), model.kv_bytes_per_token(), n)
    step = roofline.decode_step_s(int(B), 576, *args, gpu.bandwidth_Bps, gpu.bf16_dense_flops)
    bound_J.append(tdp_W * step["step_s"] / B)
right.loglog(batch_axis, bound_J, color=COLORS["primary"], label="8 H100, roofline at TDP")
right.loglog(
    batch_axis,
    [ideal_J(int(B)) for B in batch_axis],
    "--",
    color=COLORS["secondary"],
    label="2 A100, roofline at TDP",
)
right.plot(
    list(joule), list(joule.values()), "o", color="black", markersize=8, label="2 A100, measured"
)
right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
right.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
right.minorticks_off()
right.set(xlabel="batch, B", ylabel="joules a token")
right.set_title("A token in company is cheap")
right.legend(loc="upper right")
show(
    fig,
    f"Left: requests waiting during a cold start, rising to {waiting:.0f} after {cold_s:.0f} s and "
    f"gone {waiting / (mu - lam):.0f} s later. Right: joules a token against the batch on logarithmic "
    "axes; twice the batch takes nearly half of them, until on two A100 the arithmetic binds and the "
    "curve is level. Measured there: "
    + ", ".join(f"{joule[B]:.1f} at {B}" for B in (1, 4, 16))
    + ".",
    table={
        "batch": list(joule),
        "measured [J]": list(joule.values()),
        "roofline at TDP [J]": [ideal_J(B) for B in joule],
        "measured power over TDP": [b.power_share_of_tdp for b in watched.values()],
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-2-70B") -%>>
# <<% set b = published.single_batches(2) | selectattr("power_share_of_tdp")
#     | selectattr("prompt_tokens", "equalto", 512) | first -%>>
# <<% set ideal = roofline.decode_step_s(1, 576, m.n_params, m.weight_bytes(), m.kv_bytes_per_token(), 2,
#     facts.get_accelerator("A100-80GB-SXM").bandwidth_Bps,
#     facts.get_accelerator("A100-80GB-SXM").bf16_dense_flops)["step_s"] -%>>
# TDP bounds the power from above, the roofline the time from below. Their product bounds nothing: for
# one user the cards drew << fixed(100 * b.power_share_of_tdp, 0) >> % of TDP for
# << fixed(b.step_s / ideal, 1) >> times as long as the roofline says.
#
# > **Common mistake.** "A token costs so many joules." It costs what the batch makes of it, more than
# > tenfold between one user and sixteen. And "idle is free": loaded weights are kept alive by power, and
# > a replica that is not there costs its cold start, paid by users. What decides is how long the pause
# > lasts.
#
# *Source: NVIDIA's data sheets (`hardware.json`); Patel et al., Splitwise, ISCA 2024,
# arXiv:2311.18677, and its published measurements.*
#
# **Check yourself.** A token takes 0.54 J. How many kWh are a million tokens?

# %%
answer = None
check_yourself(
    answer,
    lambda: 0.54 * 1e6 / 3.6e6,
    "kWh a million tokens",
    "A joule is a watt-second: how many are a kilowatt-hour?",
    mistakes={
        "that is kilojoules, or a thousand seconds to the hour": 0.54,
        "that is watt-hours": 150.0,
    },
    worked="0.54 J * 1e6 / 3.6e6 J = {right} kWh.",
)

# %% [markdown]
# <<% set lot = fleetplans.example() -%>>
# ## 5.14 Which fleet for this trace
#
# **Question.** << lot.trace | length >> requests in bursts, three kinds of replica on offer, and a
# promise: << num(100 * (lot.slo.share | float), 3) >> % of the requests with their first token within
# << lot.slo.ttft_s >> s and << num(1000 * lot.slo.tpot_s, 3) >> ms a token. What is the cheapest fleet
# that keeps it?
#
# $$\min_{i,\,r}\ r\,c_i \qquad\text{such that}\qquad
# \frac{\text{requests answered within both bounds}}{\text{all requests}} \ \ge\ \text{share}$$
#
# - $i$ a kind of replica with price $c_i$ [USD/h], $r$ how many of it; requests go to the replicas in
#   turn.
#
# **Argument.** All that came before has a say in it: bursts (4.4), the iteration that prompts and
# answers share (3.11), caches that run full (3.5), tails (1.10). No formula of this course has them all
# at once, and each that leaves one out errs to the cheap side. So plan by *playing the trace*: for
# every fleet that might be cheapest, simulate, count what is kept, and take the cheapest that keeps
# enough. The means are where one starts, not where one ends.

# %%
trace, options, slo = fleetplans.example()
span_s = trace[-1]["arrival_s"]
print(f"{len(trace)} requests in {span_s:.0f} s; mean prompt", end=" ")
print(
    f"{np.mean([x['prompt'] for x in trace]):.0f}, answer {np.mean([x['output'] for x in trace]):.0f}"
)
print(
    f"{'kind':<7} {'USD/h':>5} {'replicas by means':>18}  kept of {len(trace)} with 1, 2, 3 ... replicas"
)
played, by_means = {}, []
for option in options:
    # By means: the work of a request in a full batch, over the time of the trace.
    B = option["max_batch"]
    context = np.mean([x["prompt"] + x["output"] / 2 for x in trace])
    step_s = option["base_s"] + B * (
        option["per_decode_s"] + context * option["per_context_token_s"]
    )
    busy_s = sum(
        x["prompt"] * option["per_prefill_token_s"] + x["output"] * step_s / B for x in trace
    )
    r_mean = math.floor(busy_s / span_s) + 1
    by_means.append((r_mean * option["usd_h"], option["name"], r_mean))
    kept = []
    for r in range(1, option["max_replicas"] + 1):
        plan = {"name": option["name"], "replicas": r}
        played[option["name"], r] = fleetplans.judge_plan(plan, trace, options, slo)
        kept.append(played[option["name"], r].good)
    print(f"{option['name']:<7} {float(option['usd_h']):>5.1f} {r_mean:>18}  {kept}")
by_means = played[min(by_means)[1:]]
print(f"cheapest by means:      {by_means}")
best = fleetplans.plan_fleet(trace, options, slo)
print(f"cheapest that keeps it: {played[best['name'], best['replicas']]}")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(10, 5.8))
looks = {"small": ("o-", "primary"), "medium": ("s--", "secondary"), "large": ("^-.", "tertiary")}
for name, (style, color) in looks.items():
    mine = [judged for (kind, _), judged in played.items() if kind == name]
    ax.plot(
        [float(x.usd_h) for x in mine],
        [100 * x.good / len(trace) for x in mine],
        style,
        color=COLORS[color],
        markersize=8,
        label=name,
    )
goal = 100 * float(slo["share"])
ax.axhline(goal, color=COLORS["error"], linewidth=1.8)
ax.text(27, goal - 1.5, f"promised {goal:.0f} %", ha="right", va="top", color=COLORS["error"])
chosen = played[best["name"], best["replicas"]]
ax.annotate(
    f"{chosen.name} x {chosen.replicas}: {float(chosen.usd_h):g} USD/h",
    (float(chosen.usd_h), 100 * chosen.good / len(trace)),
    xytext=(30, -60),
    textcoords="offset points",
    arrowprops={"arrowstyle": "->", "color": "black"},
)
ax.annotate(
    f"by means: {by_means.name} x {by_means.replicas} keeps {by_means.good / len(trace):.0%}",
    (float(by_means.usd_h), 100 * by_means.good / len(trace)),
    xytext=(14, -4),
    textcoords="offset points",
)
ax.set(xlabel="price of the fleet [USD/h]", ylabel="requests kept [%]", ylim=(0, 104), xlim=(0, 28))
ax.set_title("Every fleet on offer, played")
ax.legend(loc="lower right")
cheap = sorted(played.values(), key=lambda x: x.usd_h)[:8]
show(
    fig,
    f"Share of requests kept against the price of the fleet for three kinds of replica; the promise "
    f"is {goal:.0f} per cent. The cheapest by means, {by_means.name} x {by_means.replicas}, keeps "
    f"{by_means.good / len(trace):.0%}; {chosen.name} x {chosen.replicas} for {float(chosen.usd_h):g} USD/h "
    f"is the cheapest above the line.",
    table={
        "fleet": [f"{x.name} x {x.replicas}" for x in cheap],
        "USD/h": [float(x.usd_h) for x in cheap],
        f"kept, of {len(trace)}": [x.good for x in cheap],
        "keeps the promise": ["yes" if x.feasible else "no" for x in cheap],
    },
)

# %% [markdown]
# <<% set lot = fleetplans.example() -%>>
# The exercise at the end of the course is this section: write the planner, and it will be played
# against traffic that you have not seen.
#
# > **Common mistake.** "One more replica never hurts, so search by halving." Requests that went in
# > turn meet *other* requests when the number changes: here six small replicas keep
# > << fleetplans.judge_plan({"name": "small", "replicas": 6}, *lot).good >> requests and seven keep
# > << fleetplans.judge_plan({"name": "small", "replicas": 7}, *lot).good >>. Try all numbers. And
# > fewest replicas, or the cheapest kind, are not the cheapest fleet.
#
# *Source: simulation (`servemath_helpers.fleetplans`, `servemath_helpers.sim`).*
#
# **Check yourself.** Three small replicas keep the promise too. How many USD an hour does the cheapest
# fleet save against them?

# %%
answer = None
check_yourself(
    answer,
    lambda: float(played["small", 3].usd_h - chosen.usd_h),
    "USD an hour",
    "Compare the least cost of each kind that keeps the promise.",
    mistakes={
        "that is the price of the three": 3.6,
        "that compares with two small ones, which do not keep the promise": 1.1,
    },
    worked=f"3 * 1.20 - {float(chosen.usd_h):.2f} = {{right}} USD an hour.",
)

# %% [markdown]
# ## Looking back
#
# Three habits carry this chapter. *Ask what a number divides by, and who was not asked*: then two
# tools, two loops and two tests can be compared. *Put the measured number beside the predicted one*:
# where they part there is something to learn, a launch, a router, a scale. *Play the trace*: means
# find the region, the simulator finds the fleet.
#
# In lab 5 your own machine is the accelerator, and in the exercises you write the functions behind
# this page. What the course leaves you with is not a table of results, which will be out of date. It is a way to
# get from a data sheet, a model card and a log to a number that you can defend, together with how far
# off it may be.
