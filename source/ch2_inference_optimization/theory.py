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
# # Chapter 2 · Model serving and inference optimisation
#
# Chapter 1 made a promise to users and gave you its arithmetic. This chapter opens the box that has
# to keep it: the endpoint, the batch, the request's two phases, the tail, the cache, the number
# format, the release. Each is an optimisation, and each is worth only what its constraint leaves.
#
# **After this chapter you can**
#
# - decide a release by an interval and two limits instead of by a mean;
# - draw the front of latency, throughput and cost, and say which batch sizes are on it;
# - write an endpoint's contract, and notice when its traffic is no longer what you tested;
# - compute a request's service time from the model's shape and the machine's data sheet;
# - tell what a tail, a fan-out, a slot that waits and a busy replica cost;
# - judge caching, quantisation, distillation, cascades and canaries by their break-even points.
#
# ## Map
#
# | sections | subject | the question behind it |
# |---|---|---|
# | 2.1–2.3 | objectives | what are we optimising, subject to what? |
# | 2.4–2.5 | contracts and budgets | what do we accept, and how much may go wrong? |
# | 2.6–2.9 | time | how long does a request take: itself, its tail, its batch, its queue? |
# | 2.10–2.13 | promises and releases | did we keep them, and how do we change anything safely? |
# | 2.14–2.18 | making it faster | which optimisation helps which phase, and from where on? |
# | 2.19–2.22 | the whole | what happens under load, in an incident, and on the bill? |
#
# Read it as you read chapter 1: a question, a formula, the argument, the numbers computed in front
# of you, the common mistake, and one question to check yourself. Replace `answer = None` by your
# answer and run the cell. Below each picture its numbers stand in a table.
#
# ## Symbols
#
# << symbols("lam", "mu", "c", "a", "rho", "W", "SB", "ca2", "seq", "n_out", "N", "layers",
# "heads", "d_attn", "b", "k", "n", "F", "BW") >>
#
# All symbols of the course stand in [one table](../../docs/symbols.md), its terms in a
# [glossary](../../docs/glossary.md).

# %%
import hashlib
import json
import math

import numpy as np

from servemath_helpers import (
    agreements,
    batching,
    caching,
    capacity,
    contracts,
    cost,
    drift,
    experiments,
    facts,
    gates,
    latency,
    memory,
    mixtures,
    parallelism,
    pareto,
    quantisation,
    quantities,
    queueing,
    reliability,
    roofline,
    scheduling,
    slots,
    traces,
)
from servemath_helpers.notebook import COLORS, check_yourself, plt, rng, show

# %% [markdown]
# One machine serves as the example all through: Llama-3-70B in 16 bit on eight H100.

# %%
model, gpu, n_gpus = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8
k = model.kv_bytes_per_token()


def decode(batch, context, bits=16):
    """One decode step of the example machine, weights stored in this many bits."""
    return roofline.decode_step_s(
        batch,
        context,
        model.n_params,
        model.weight_bytes(bits),
        k,
        n_gpus,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )


def prefill_s(tokens, mfu=0.5):
    """Time to read a prompt on the example machine; half of peak is an assumption."""
    shape = (model.n_params, tokens, model.n_layers, model.d_attn)
    return roofline.prefill_time_s(*shape, n_gpus, gpu.bf16_dense_flops, mfu)


print(f"{model.name}: {model.n_params / 1e9:.1f} billion parameters, {model.n_layers} layers")
print(f"{n_gpus} x {gpu.name}: {n_gpus * gpu.bf16_dense_flops / 1e15:.2f} PFLOP/s dense in bf16,")
print(f"{n_gpus * gpu.bandwidth_Bps / 1e12:.1f} TB/s, {n_gpus * gpu.memory_gb:.0f} GB of memory")

# %% [markdown]
# ## 2.1 Training loss against serving constraints
#
# **Question.** Three candidates stand before the release meeting. The one with the lowest loss is
# the slowest. Which one is promoted?
#
# Training minimises one number. Serving minimises cost under promises:
#
# $$\min_{\text{candidate}} \text{cost} \quad \text{subject to} \quad
# P_{99} \le \mathrm{SLO}, \quad \text{quality} \ge q, \quad \text{error rate} \le e$$
#
# and "quality $\ge q$" is itself uncertain. With paired scores, $d_i$ = candidate − baseline on
# item $i$ of $n$, the gate is the low end of an interval for the mean gain:
#
# $$\text{promote} \iff \mathrm{CI}_{low}(\bar d) > 0 \;\wedge\; P_{99} \le \mathrm{SLO}
# \;\wedge\; \text{cost} \le \text{budget}$$
#
# A candidate that is as good and cheaper never passes the first gate. For it the question is
# *non-inferiority*: $\mathrm{CI}_{low}(\bar d) > -m$, with a margin $m$ that was agreed before the
# scores were seen.
#
# **Argument.** A weighted sum, loss $+ w_1 \cdot$ latency $+ w_2 \cdot$ cost, always lets a large
# enough gain in one buy a violation of another. A promise is not for sale, so it is a constraint.
# And items differ far more than versions do: pairing removes what both versions share.
#
# *Source: B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.*

# %%
items = 400
difficulty = rng.uniform(0.2, 0.95, items)  # the baseline's score on each item
candidates = {  # assumptions: mean gain, its spread, P99 [ms], cost [USD/h]
    "A: lowest loss": (0.030, 0.10, 720, 22),
    "B: distilled": (0.018, 0.10, 430, 14),
    "C: prompt tuned": (0.006, 0.12, 450, 15),
}
slo_ms, budget_usd = 500, 24

reports = {}
for name, (gain, spread, p99_ms, usd) in candidates.items():
    scores = difficulty + rng.normal(gain, spread, items)
    reports[name] = gates.release_gate(difficulty, scores, p99_ms, slo_ms, usd, budget_usd)
    report = reports[name]
    verdict = "promote" if report["promote"] else "; ".join(report["reasons"])
    print(
        f"{name:<16} gain {report['mean_delta']:+.4f}, at least {report['ci_low']:+.4f}: {verdict}"
    )

# %%
draws = np.random.default_rng(21)
cheaper = difficulty + draws.normal(0.0, 0.10, items)  # as good, and at half the cost
for margin in (0, 0.015):
    report = gates.release_gate(difficulty, cheaper, 430, slo_ms, 11, budget_usd, margin=margin)
    verdict = "promote" if report["promote"] else "; ".join(report["reasons"])
    print(f"as good and cheaper, margin {margin}: at least {report['ci_low']:+.4f}: {verdict}")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True)
names = list(reports)
for y, name in enumerate(reversed(names)):
    report, p99_ms = reports[name], candidates[name][2]
    mean, low = report["mean_delta"], report["ci_low"]
    color = COLORS["primary"] if report["promote"] else COLORS["error"]
    marker = "o" if report["promote"] else "X"
    left.plot([low, 2 * mean - low], [y, y], color=color, linewidth=3)
    left.plot(mean, y, marker, color=color, markersize=11)
    right.plot([0, p99_ms], [y, y], color=color, linewidth=3)
    right.plot(p99_ms, y, marker, color=color, markersize=11)
    right.text(p99_ms - 14, y + 0.1, f"{p99_ms} ms", ha="right")
left.axvline(0, color="black", linewidth=1.4)
right.axvline(slo_ms, color="black", linestyle="--", linewidth=1.4)
right.text(slo_ms + 8, 2.42, f"SLO {slo_ms} ms", va="top")
left.set(yticks=range(3), yticklabels=reversed(names), ylim=(-0.5, 2.5))
left.set(xlabel="gain in quality, with 95 % interval", title="Gate of quality: above 0")
right.set(xlabel="P99 [ms]", xlim=(0, 800), title="Gate of latency: left of the line")
show(
    fig,
    "Three candidates as intervals of their gain in quality and as P99 latencies. The one with the "
    "largest gain misses the latency limit, one has an interval that reaches below 0, and one "
    "passes both gates.",
    table={
        "candidate": names,
        "gain": [reports[name]["mean_delta"] for name in names],
        "at least": [reports[name]["ci_low"] for name in names],
        "P99 [ms]": [candidates[name][2] for name in names],
    },
)

# %% [markdown]
# > **Common mistake.** "Better mean, so promote." A mean above 0 is a coin toss when nothing
# > changed. The other half of the mistake is to test two unpaired means: the items' own spread
# > then drowns a gain that is plainly there on each item.

# %%
new = difficulty + rng.normal(0.018, 0.10, items)
paired = (new - difficulty).std(ddof=1) / math.sqrt(items)
unpaired = math.sqrt((new.var(ddof=1) + difficulty.var(ddof=1)) / items)
print(f"standard error of the gain: paired {paired:.4f}, unpaired {unpaired:.4f}")

# %% [markdown]
# **Check yourself.** Five items gain 0.04 each, exactly; P99 is 510 ms at an SLO of 500 ms; cost is
# within budget. How many gates fail?

# %%
answer = None
check_yourself(
    answer,
    lambda: len(gates.release_gate([0.5] * 5, [0.54] * 5, 510, 500, 1, 2)["reasons"]),
    "gates that fail",
    "Hold each gate against its own bound: a gain in one excuses none of the others.",
    mistakes={"hold each of the three against its bound": 0, "five equal gains are a sure gain": 2},
    worked="The gain is the same for all five, so its interval is above 0; 1 is below 2; 510 ms is above 500 ms: {right} gate fails.",
)

# %% [markdown]
# ## 2.2 The triangle of latency, throughput and cost
#
# **Question.** We measured a dozen configurations. Which ones are worth a discussion at all?
#
# $$a \text{ dominates } b \iff T_a \le T_b,\; X_a \ge X_b,\; K_a \le K_b,
# \text{ and at least one of them strictly}$$
#
# - $T$ latency [ms], $X$ throughput [requests/s or tokens/s], $K$ cost [USD/h]. What nothing
#   dominates is the **Pareto front**.
#
# **Argument.** A dominated configuration can be replaced by another one without any regret,
# whatever your priorities are; of two points on the front, priorities must decide. "Pick two of
# three" is a slogan about the front, not a law: away from it all three can improve at once, and a
# better engine moves the front itself.
#
# *Source: M. Ehrgott, Multicriteria Optimization, 2nd edition, 2005, chapter 2.*

# %%
points = [  # latency [ms], throughput [requests/s], cost [USD/h]
    (20, 50, 4),
    (35, 120, 4),
    (60, 200, 4),
    (70, 180, 4),
    (30, 90, 2),
]
front = pareto.pareto_front(points)
for index, point in enumerate(points):
    beaten_by = [i for i, other in enumerate(points) if pareto.dominates(other, point)]
    print(index, point, "on the front" if index in front else f"dominated by {beaten_by}")

# %% [markdown]
# For a language model the knob that moves along the front is the batch. More sequences share each
# reading of the weights, so throughput grows; each step takes longer, so every user waits longer
# for each token. Past the ridge, where arithmetic takes longer than reading the weights, time grows
# in proportion to the batch, and nothing is gained any more.

# %% jupyter={"source_hidden": true}
context = 4096


def users_in_memory(bits):
    """Sequences whose caches fit beside the weights."""
    return memory.max_users(n_gpus, gpu.memory_bytes, model.weight_bytes(bits), k, context)


fig, ax = plt.subplots()
rows = []
for bits, style, color, name in [
    (16, "-", COLORS["primary"], "weights in 16 bit"),
    (8, "--", COLORS["secondary"], "weights in 8 bit, arithmetic in 16"),
]:
    full = users_in_memory(bits)
    ridge = round(roofline.critical_batch(gpu.bf16_dense_flops, gpu.bandwidth_Bps, bits / 8))
    tpot = [1000 * decode(B, context, bits)["step_s"] for B in range(1, full + 1)]
    tok_s = [1000 * B / step for B, step in enumerate(tpot, start=1)]
    ax.plot(tpot[:ridge], tok_s[:ridge], style, color=color, label=name)
    ax.plot(tpot[ridge - 1 :], tok_s[ridge - 1 :], style, color=COLORS["neutral"])
    side = {"ha": "left", "xytext": (9, -14)} if bits == 16 else {"ha": "right", "xytext": (-9, 5)}
    for size in (1, 16, 64, 128, ridge, full):
        at = (tpot[size - 1], tok_s[size - 1])
        rows.append((bits, size, *at))
        ax.plot(*at, "X" if size > ridge else "o", color=color, markersize=9)
        place = side
        if size >= ridge:
            place = {"ha": "center", "xytext": (0, 9 if size == ridge else -20)}
        ax.annotate(f"B = {size}", at, textcoords="offset points", **place)
ax.set(xlabel="time per output token [ms]", ylabel="throughput [tokens/s]")
ax.set(xlim=(0, 31), ylim=(0, 17_000))
ax.set_title(f"{model.name}, {context} tokens of context: past the ridge (grey) nothing is gained")
ax.legend(loc="lower right")
show(
    fig,
    "Throughput against time per output token, one point a batch size. Both curves rise steeply, "
    "flatten, and at the ridge become level: beyond it a larger batch takes longer and serves no "
    "more. With 8-bit weights the curve lies further left and reaches the same level.",
    table={
        "bits": [row[0] for row in rows],
        "B": [row[1] for row in rows],
        "TPOT [ms]": [row[2] for row in rows],
        "tokens/s": [row[3] for row in rows],
    },
)

# %% [markdown]
# Up to its ridge each curve is a front; its grey rest is dominated by the ridge itself. And the
# dashed front dominates the solid one: that is what an optimisation looks like from outside. The
# model is a lower bound on time: no launches, no communication, no scheduler.
#
# > **Common mistake.** Replacing the front by a weighted sum. Any positive weights pick a point of
# > the front, but a point that lies in a dent of it is picked by none; and a straight-line
# > extrapolation, "twice the batch, twice the tokens", leaves the front altogether.

# %%
B = 48
linear = B * 1 / decode(1, context)["step_s"]
real = B / decode(B, context)["step_s"]
print(f"B = {B}, common mistake, live: {linear:6.0f} tokens/s by proportion")
print(f"B = {B}, keys and values read: {real:6.0f} tokens/s")

# %% [markdown]
# **Check yourself.** How many of the points (10, 30, 2), (20, 60, 3), (20, 40, 3), (25, 60, 3) are
# on the front?

# %%
answer = None
check_yourself(
    answer,
    lambda: len(pareto.pareto_front([(10, 30, 2), (20, 60, 3), (20, 40, 3), (25, 60, 3)])),
    "points on the front",
    "Strike out a point if another is at least as good in all three and better in one.",
    mistakes={
        "look again: (25, 60, 3) is slower and no better": 3,
        "a cheaper and faster point stays, whatever its throughput": 1,
    },
    worked="(20, 60, 3) beats (20, 40, 3) in throughput and (25, 60, 3) in latency; it and (10, 30, 2) beat nobody of the other: {right} stay.",
)

# %% [markdown]
# ## 2.3 Batch against online
#
# **Question.** The same model serves a nightly job and a chat. Why is the best batch size not the
# same?
#
# A job of $n$ items only has a deadline: it takes $n / X(B)$, and $B$ is as large as memory allows.
# Online, arrivals set the pace, and a batch has to be served faster than the next one fills:
#
# $$\lambda S(B) < B, \quad S(B) = \alpha + \beta B \quad \Rightarrow \quad
# B_{min} = \left\lfloor \frac{\lambda \alpha}{1 - \lambda \beta} \right\rfloor + 1
# \quad \text{if } \lambda\beta < 1, \text{ else none}$$
#
# **Argument.** Solve $\lambda(\alpha + \beta B) < B$ for $B$. The inequality is strict, so at a
# whole quotient the next integer is needed. If $\lambda \beta \ge 1$, each request costs more time
# in the batch than passes between two arrivals: no batch size helps, only another replica.
#
# *Source: elementary. The latency below is formation plus Kingman's wait plus service, an
# approximation that chapter 4 tests: within 6 % of simulation at $B$ = 6 to 8, 1 % from 16 on.*

# %%
alpha, beta = 50, 0.5  # ms, ms/request
for lam in (0.1, 0.01):  # requests/ms
    low, best = (
        batching.min_stable_batch(lam, alpha, beta),
        batching.best_fixed_batch(lam, alpha, beta),
    )
    print(f"{1000 * lam:>4.0f} requests/s: stable from B = {low}, best mean latency at B = {best}")
print("at 2000 requests/s:", batching.min_stable_batch(2, alpha, beta))
job = 100_000
for B in (7, 32, 128):
    minutes = job / batching.batch_metrics(B, 0, alpha, beta)["throughput"] / 60_000
    print(f"a nightly job of {job:,} with B = {B:>3}: {minutes:5.1f} min")

# %% jupyter={"source_hidden": true}
sizes = np.arange(1, 41)
fig, ax = plt.subplots()
for lam, style, color in [
    (0.10, "-", "primary"),
    (0.05, "--", "secondary"),
    (0.01, ":", "tertiary"),
]:
    values = [batching.batch_latency(int(B), lam, alpha, beta) for B in sizes]
    best = batching.best_fixed_batch(lam, alpha, beta)
    name = f"{1000 * lam:.0f} requests/s: best {values[best - 1]:.0f} ms at B = {best}"
    ax.plot(sizes, values, style, color=COLORS[color], label=name)
    ax.plot(best, values[best - 1], "o", color=COLORS[color], markersize=9)
low = batching.min_stable_batch(0.10, alpha, beta)
ax.axvspan(0, low - 0.5, color=COLORS["primary"], alpha=0.10, linewidth=0)
ax.text(2.6, 62, "unstable\nat 100/s", color=COLORS["primary"], va="top", ha="center")
ax.set(xlabel="batch size B", ylabel="mean latency [ms]", ylim=(0, 300), xlim=(0, 40))
ax.set_title("The best batch depends on the load")
ax.legend(loc="lower right")
picks = [1, 4, 5, 6, 7, 8, 16, 32]
show(
    fig,
    "Mean latency against batch size for three arrival rates. At 100 requests/s batches below "
    f"{low} are unstable; the mean falls from {batching.batch_latency(6, 0.1, alpha, beta):.0f} ms at 6 "
    f"to {batching.batch_latency(7, 0.1, alpha, beta):.0f} ms at 7 and then rises, in the end in a "
    "straight line. At 50 requests/s the best size is 4, and at 10 requests/s every batch above 1 "
    "only adds waiting.",
    table={
        "B": picks,
        "100/s [ms]": [batching.batch_latency(B, 0.10, alpha, beta) for B in picks],
        "50/s [ms]": [batching.batch_latency(B, 0.05, alpha, beta) for B in picks],
        "10/s [ms]": [batching.batch_latency(B, 0.01, alpha, beta) for B in picks],
    },
)

# %% [markdown]
# > **Common mistake.** Asking whether batching raises latency without naming the load. At 100
# > requests/s $B$ = 5 is unstable, 7 is best, and 32 takes
# > << fixed(batching.batch_latency(32, 0.1, 50, 0.5), 0) >> ms; at 10 requests/s $B$ = 1 is best.
# > And the ceiling instead of floor plus one: at $\lambda$ = 0.2/ms, $\alpha$ = 20, $\beta$ = 1 the
# > quotient is 5 exactly, a batch of 5 runs at a load of
# > << num(batching.batch_metrics(5, 0.2, 20, 1)['rho'], 2) >>, and the answer is
# > << batching.min_stable_batch('0.2', 20, 1) >>.
#
# **Check yourself.** $\lambda$ = 0.4 requests/ms, $\alpha$ = 30 ms, $\beta$ = 1 ms. What is the
# smallest stable batch?

# %%
answer = None
check_yourself(
    answer,
    lambda: batching.min_stable_batch("0.4", 30, 1),
    "smallest stable batch",
    "B > lam alpha / (1 - lam beta), strictly.",
    mistakes={"at that size rho is exactly 1: stability is strict": 20},
    worked="lam (alpha + beta B) < B means B > 0.4 * 30 / (1 - 0.4) = 20 strictly: {right}.",
)

# %% [markdown]
# ## 2.4 Endpoints as contracts
#
# **Question.** Every field of the request is valid, and the server still runs out of context in the
# middle of an answer. What was missing?
#
# A contract is a predicate over the *whole* request, decided before a GPU sees it:
#
# $$C(x) = \text{types} \wedge \text{ranges} \wedge \text{required fields} \wedge
# \text{no unknown fields} \wedge (s + n_{max} \le \mathrm{ctx})$$
#
# - $s$ tokens of the prompt, $n_{max}$ the most tokens that may be generated, ctx the context
#   length [tokens].
#
# **Argument.** Ranges bound fields one at a time; the token budget bounds their sum, and no schema
# of single fields says that. Two more clauses stand beside the predicate. *Idempotence*: a request
# carries a key, and the same key gives the same answer without a second generation, so that a retry
# is safe. *Versions*: an answer names the artefact that produced it (2.13).

# %%
contract = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1},
        "max_new_tokens": {"type": "int", "required": True, "min": 1, "max": 4096},
        "temperature": {"type": "float", "required": False, "min": 0, "max": 2},
        "stream": {"type": "bool", "required": False},
    },
    "ctx": 8192,
}
requests = [
    {"prompt_tokens": 6144, "max_new_tokens": 2048},
    {"prompt_tokens": 6145, "max_new_tokens": 2048},
    {"prompt_tokens": True, "max_new_tokens": 100, "temperature": 1},
    {"prompt_tokens": 100, "max_token": 50},
]
for request in requests:
    print(request, "->", contracts.validate_request(request, contract) or "accepted")

# %% [markdown]
# A contract holds for single requests; the *mixture* of them drifts. Compare histograms $p$ (then)
# and $q$ (now) over the same bins, with $m = (p + q)/2$:
#
# $$\mathrm{JS}(p, q) = \tfrac12 \sum_i p_i \ln\frac{p_i}{m_i}
# + \tfrac12 \sum_i q_i \ln\frac{q_i}{m_i}
# \in [0, \ln 2], \qquad \mathrm{PSI} = \sum_i (q_i - p_i) \ln \frac{q_i}{p_i}$$
#
# JS (Jensen–Shannon) is symmetric and bounded and lets a bin be empty, because $0 \ln 0 = 0$ and
# $m_i > 0$ wherever $p_i$ or $q_i$ is. PSI (population stability index) is infinite as soon as a
# bin is empty on one side only. Chance alone makes it large in small samples: without any drift one
# comparison in twenty of 200 requests with 200, in ten bins, exceeds
# << fixed(drift.psi_threshold(10, 200, 200), 2) >>, of 20 000 with 20 000
# << fixed(drift.psi_threshold(10, 20000, 20000), 4) >> (`drift.psi_threshold`).
#
# *Source: J. Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on
# Information Theory 37(1), 1991; B. Yurdakul and J. Naranjo, Statistical properties of the
# population stability index, Journal of Risk Model Validation 14(4), 2020.*

# %%
print(f"JS  = {drift.js_divergence([0.25] * 4, [0.1, 0.2, 0.3, 0.4]):.11f} nats")
print(f"PSI = {drift.psi([0.25] * 4, [0.1, 0.2, 0.3, 0.4]):.4f}")
print(f"nothing in common: JS = {drift.js_divergence([1, 0], [0, 1]):.6f} = ln 2")

# %% jupyter={"source_hidden": true}
edges = ["<256", "256–511", "512–1k", "1k–2k", "2k–4k", "4k–8k"]
tested = [30, 28, 20, 12, 7, 3]
shifted = [8, 12, 18, 24, 24, 14]
shares = np.linspace(0, 1, 41)
mixed = [np.multiply(tested, 1 - s) + np.multiply(shifted, s) for s in shares]
js = [drift.js_divergence(tested, now) for now in mixed]
index = [drift.psi(tested, now) for now in mixed]

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8))
place = np.arange(len(edges))
left.bar(place - 0.2, tested, 0.4, color=COLORS["primary"], label="when we tested")
left.bar(
    place + 0.2, shifted, 0.4, color=COLORS["secondary"], hatch="//", label="retrieval clients"
)
left.set_xticks(place, edges, rotation=25)
left.set(xlabel="prompt length [tokens]", ylabel="share of requests [%]")
left.set_title("Two kinds of traffic")
left.legend()
right.plot(100 * shares, index, color=COLORS["error"], label="PSI")
right.plot(100 * shares, js, "--", color=COLORS["primary"], label="JS [nats]")
right.axhline(0.25, color=COLORS["neutral"], linestyle=":")
right.text(1, 0.27, "PSI 0.25: usually called a shift")
right.set(xlabel="share of the new kind [%]", ylabel="drift", xlim=(0, 100), ylim=(0, 1.35))
right.set_title("How far the mixture has moved")
right.legend(loc="upper left", bbox_to_anchor=(0, 0.9))
crossed = float(np.interp(0.25, index, shares))
show(
    fig,
    "Left: histograms of prompt lengths of two kinds of clients, the new kind much longer. Right: "
    f"drift of the mixture against the share of the new kind. PSI passes 0.25 at about "
    f"{100 * crossed:.0f} %, JS grows more slowly.",
    table={
        "new kind [%]": [0, 25, 50, 75, 100],
        "PSI": [index[i] for i in (0, 10, 20, 30, 40)],
        "JS [nats]": [js[i] for i in (0, 10, 20, 30, 40)],
    },
)

# %% [markdown]
# > **Common mistake.** Adding a small constant to every bin "to avoid log of 0". It is not needed,
# > and it moves the result: with 0.01 added to each bin the example above gives
# > << fixed(drift.js_divergence([0.26] * 4, [0.11, 0.21, 0.31, 0.41]), 4) >> instead of
# > << fixed(drift.js_divergence([0.25] * 4, [0.1, 0.2, 0.3, 0.4]), 4) >>, and two histograms
# > with nothing in common no longer reach $\ln 2$. Elsewhere: taking the schema for the contract,
# > and accepting `True` as a number of tokens because a `bool` is an `int` in Python.
#
# **Check yourself.** JS of (1, 1) and (1, 0), in nats?

# %%
answer = None
check_yourself(
    answer,
    lambda: drift.js_divergence([1, 1], [1, 0]),
    "JS in nats",
    "Divide each by its sum, and measure both against their mean m.",
    mistakes={
        "that is in bits: use the natural logarithm": lambda: (
            drift.js_divergence([1, 1], [1, 0]) / math.log(2)
        ),
        "that is the distance, the root of the divergence": lambda: (
            drift.js_divergence([1, 1], [1, 0]) ** 0.5
        ),
        "that is KL of the second from the first": math.log(2),
    },
    worked="p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4): half of KL(p, m) + KL(q, m) = {right}.",
)

# %% [markdown]
# ## 2.5 Failure budgets
#
# **Question.** A service of five parts, each at 99.9 %: what may it promise, and which error rate
# should wake somebody?
#
# $$A_{series} = \prod_i A_i, \qquad A_{parallel} = 1 - \prod_i (1 - A_i), \qquad
# \text{fire} \iff \text{burn}_{long} \ge \text{factor} \;\wedge\;
# \text{burn}_{short} \ge \text{factor}$$
#
# - burn = (errors / requests) / (1 − SLO) over a window (1.9); the factor is the rule's.
#
# **Argument.** A long window alone says that the spending *mattered*, and keeps saying it for its
# whole length after everything has recovered. A short window alone says that something is
# *happening*, and cries at every blip. Together they fire soon after the damage is real and stop
# soon after it ends.
#
# *Source: B. Beyer et al. (eds.), The Site Reliability Workbook, 2018, chapter 5.*

# %%
print(f"five parts in series     : {reliability.availability_series(['0.999'] * 5):.5f}")
print(f"two replicas in parallel : {reliability.availability_parallel(['0.999'] * 2):.6f}")
print(f"99.9 % of thirty days    : {reliability.downtime_minutes('0.999', 30):.1f} min may be down")

# %% jupyter={"source_hidden": true}
minutes = 280
totals = [1000] * minutes
errors = [0] * 64 + [120] * 4 + [0] * 72 + [45] * 60 + [0] * 80  # a blip, then an hour's outage
slo, factor, rules = "0.999", 14.4, [("page", 1, 0.1, 14.4)]


def burn_over(last, width):
    """Burn rate of the window of so many minutes that ends here."""
    window = slice(max(0, last - width), last)
    return reliability.burn_rate(sum(errors[window]), sum(totals[window]), slo)


clock = np.arange(1, minutes + 1)
long_burn, short_burn = ([burn_over(int(t), width) for t in clock] for width in (60, 6))
firing = [
    bool(reliability.burn_alert(errors[:t], totals[:t], slo, 720, rules)) for t in clock.tolist()
]
on = clock[firing]
fig, ax = plt.subplots(figsize=(10, 5.4))
ax.fill_between(clock, 0, 130, where=firing, color=COLORS["error"], alpha=0.15, linewidth=0)
ax.plot(clock, short_burn, "--", color=COLORS["secondary"], label="burn of the last 6 min")
ax.plot(clock, long_burn, color=COLORS["primary"], label="burn of the last 60 min")
ax.axhline(factor, color="black", linestyle=":", linewidth=1.6)
ax.text(1, factor + 2, f"rule: {factor}")
ax.text(on[0] + 2, 62, f"firing,\n{on[0]}–{on[-1]} min", color=COLORS["error"])
arrow = {"arrowstyle": "->", "color": "black"}
ax.annotate("a blip: no alert", (68, 80), xytext=(80, 96), arrowprops=arrow)
note = "recovered: the long\nwindow still burns,\nthe alert is over"
ax.annotate(note, (228, 24), xytext=(222, 62), arrowprops=arrow)
ax.set(xlabel="time [min]", ylabel="burn rate", ylim=(0, 125), xlim=(0, minutes))
ax.set_title("Two windows: soon after it matters, over soon after it ends")
ax.legend(loc="upper right")
show(
    fig,
    "Burn rate of a short and a long window over almost five hours. A blip of four minutes "
    "lifts the short window to 80 and the long one only to 8, so that nothing fires. An hour's "
    "outage fires once the long window "
    "reaches 14.4, and the alert ends minutes after the recovery, with the long window still high.",
    table={
        "minute": [68, 140, int(on[0]), 200, int(on[-1]), 228],
        "6 min": [short_burn[t - 1] for t in (68, 140, on[0], 200, on[-1], 228)],
        "60 min": [long_burn[t - 1] for t in (68, 140, on[0], 200, on[-1], 228)],
        "fires": [firing[t - 1] for t in (68, 140, on[0], 200, on[-1], 228)],
    },
)

# %% [markdown]
# The same idea in front of a single answer is a threshold: `admit` shows it if its score is high
# enough, and the system abstains, escalates or asks otherwise.

# %%
scores = [0.91, 0.70, 0.55, 0.68]
print("shown:", gates.admit(scores, threshold=0.7))

# %% [markdown]
# > **Common mistake.** An alert on the raw error rate, such as "more than 2 %". At an SLO of 99.9 %
# > that burns at << num(reliability.burn_rate(20, 1000, "0.999"), 2) >>, at 95 % at
# > << num(reliability.burn_rate(20, 1000, "0.95"), 2) >>. Next: averaging the error rates of
# > minutes with unequal traffic, and comparing 14.4 with a burn rate computed in floats, where one
# > minus 0.999 is slightly too large.

# %%
print("common mistake, live: 0.0144 / (1 - 0.999) >= 14.4 is", 144 / 10_000 / (1 - 0.999) >= 14.4)
print("exact: the burn rate is", reliability.burn_rate(144, 10_000, "0.999"))

# %% [markdown]
# **Check yourself.** Three parts of 99.9 %, 99.5 % and 99 % in series. What is the availability?

# %%
answer = None
check_yourself(
    answer,
    lambda: reliability.availability_series(["0.999", "0.995", "0.99"]),
    "availability of the chain",
    "All three must work: multiply.",
    mistakes={"that is the worst part: three can fail": 0.99},
    worked="All three must be up: 0.999 * 0.995 * 0.99 = {right}.",
)

# %% [markdown]
# ## 2.6 Service time
#
# **Question.** How long does the machine work for one request, if nobody else were waiting?
#
# $$t_{prefill} = \frac{2 N s + 2 n_l d_q s^2}{n F \cdot \mathrm{MFU}}, \qquad
# t_{step} = \underbrace{\frac{B\, s\, k}{n\,BW}}_{\text{caches}}
# + \max\Big(\underbrace{\frac{N b}{n\,BW}}_{\text{weights}},
# \underbrace{\frac{2 N B}{n F}}_{\text{arithmetic}}\Big)$$
#
# $$t_{total} = t_{prefill} + (n_{out} - 1)\, t_{step}$$
#
# - MFU the share of peak arithmetic that is reached; MBU the
#   same for bandwidth. Prefill at an MFU of one half is an assumption, decode at full bandwidth a
#   lower bound.
#
# **Argument.** Each parameter costs a multiply-add, 2 FLOP, for each token. Prefill does this for
# $s$ tokens at once and reads the weights once, so it is bound by arithmetic. Attention adds
# pairs of tokens; causality leaves half of them. A decode step has one token of each sequence to
# work on and must read everything all the same, so it is bound by reading.
#
# *Source: J. Austin et al., How to Scale Your Model, 2025, chapter on inference.*

# %%
shape = {
    "n_params": model.n_params,
    "layers": model.n_layers,
    "heads": model.n_heads,
    "kv_heads": model.n_kv_heads,
    "head_dim": model.head_dim,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
machine = {"n_gpus": n_gpus, "peak_flops": gpu.bf16_dense_flops, "bw_Bps": gpu.bandwidth_Bps}
print(f"{'prompt':>7} {'answer':>7} {'B':>4} {'prefill':>9} {'step':>8} {'total':>8}")
for prompt, n_out, batch in [(4096, 1, 64), (4096, 256, 1), (4096, 256, 64), (512, 1000, 64)]:
    t = roofline.service_time_s(prompt, n_out, batch, shape, machine, mfu=0.5)
    times = f"{1000 * t['prefill_s']:>6.1f} ms {1000 * t['step_s']:>5.2f} ms {t['total_s']:>6.2f} s"
    print(f"{prompt:>7} {n_out:>7} {batch:>4} {times}")

# %% jupyter={"source_hidden": true}
full = users_in_memory(16)
batches = np.arange(1, full + 1)
steps = [decode(int(B), 4096) for B in batches]
fig, ax = plt.subplots(figsize=(10, 5.4))
ax.plot(batches, [100 * s["mbu"] for s in steps], color=COLORS["primary"], label="MBU, bandwidth")
ax.plot(
    batches,
    [100 * s["mfu"] for s in steps],
    "--",
    color=COLORS["secondary"],
    label="MFU, arithmetic",
)
at = steps[63]
ax.plot(64, 100 * at["mfu"], "o", color=COLORS["secondary"])
ax.annotate(
    f"B = 64: step {1000 * at['step_s']:.2f} ms,\nMFU {at['mfu']:.1%}, MBU {at['mbu']:.0%}",
    (64, 100 * at["mfu"]),
    xytext=(10, 44),
    textcoords="offset points",
)
ridge = gpu.ridge_flop_per_byte
ax.axvline(ridge, color=COLORS["neutral"], linestyle=":")
ax.text(ridge - 5, 60, f"B = {ridge:.0f}: arithmetic takes\nas long as the weights", ha="right")
ax.set(
    xlabel="sequences in the batch, B",
    ylabel="share of peak [%]",
    ylim=(0, 106),
    xlim=(0, full + 2),
)
ax.set_title("Decode: the memory is busy, the arithmetic units are not")
ax.legend(loc="center left", bbox_to_anchor=(0, 0.72))
show(
    fig,
    "Use of bandwidth and of arithmetic in a decode step against batch size at 4096 tokens of "
    f"context. Bandwidth is fully used up to a batch of {ridge:.0f}; arithmetic reaches "
    f"{100 * at['mfu']:.1f} % at 64 and at most {100 * steps[-1]['mfu']:.0f} %, because reading "
    "the caches grows with the batch.",
    table={
        "B": [1, 8, 64, 128, 256, full],
        "step [ms]": [1000 * steps[B - 1]["step_s"] for B in (1, 8, 64, 128, 256, full)],
        "MFU [%]": [100 * steps[B - 1]["mfu"] for B in (1, 8, 64, 128, 256, full)],
        "MBU [%]": [100 * steps[B - 1]["mbu"] for B in (1, 8, 64, 128, 256, full)],
    },
)

# %% [markdown]
# > **Common mistake.** One price for "a token", whatever its phase; a time per token of step / $B$
# > (each user waits for the whole step); and the headline peak of 1979 TFLOP/s, which is with 2:4
# > sparsity, where << fixed(facts.get_accelerator("H100-SXM").bf16_dense_flops / 1e12, 1) >> are
# > dense.

# %%
print(f"a prompt token among 4096      : {1e6 * prefill_s(4096) / 4096:6.0f} µs")
print(f"an output token, alone         : {1e6 * decode(1, 4096)['step_s']:6.0f} µs")
print(f"an output token in a batch of 64: {1e6 * decode(64, 4096)['step_s']:5.0f} µs for its user,")
print(f"{'':<32} {1e6 * decode(64, 4096)['step_s'] / 64:5.0f} µs of the machine")

# %% [markdown]
# **Check yourself.** A prompt of 4096 tokens, prefilled in 151.6 ms, and 101 tokens of answer at
# 8.47 ms a step. How many seconds in all?

# %%
answer = None
check_yourself(
    answer,
    lambda: 0.1516 + 100 * 0.00847,
    "service time in seconds",
    "Prefill gives the first token: only the others take a step.",
    mistakes={
        "that decodes the first token, which prefill gave": 0.1516 + 101 * 0.00847,
        "prefill is missing": 100 * 0.00847,
    },
    worked="0.1516 + (101 - 1) * 0.00847 = {right} s.",
)

# %% [markdown]
# ## 2.7 The distribution of latency
#
# **Question.** 99 % of requests take 5 ms and 1 % take 505 ms. The mean service is 10 ms and the
# server is idle 70 % of the time. What is the P99 of the response?
#
# Three shapes cover most of what one meets, with squared coefficient of variation
# $c_s^2 = \mathrm{Var}(S)/E[S]^2$:
#
# | shape | $c_s^2$ | comes from |
# |---|---|---|
# | lognormal, $\ln S \sim \mathcal N(\ln m, \sigma^2)$ | $e^{\sigma^2} - 1$ | many factors multiplied |
# | mixture, $S = s_i$ with probability $p_i$ | by sums | kinds of requests, misses, pauses |
# | power law, $P(S > t) \propto t^{-\gamma}$ | infinite for $\gamma \le 2$ | prompt and answer lengths, at times |
#
# **Argument.** Behind one server (M/G/1) the mean wait is $W_q = \lambda E[S^2] / (2(1 - \rho))$:
# the second moment decides, and a rare long request owns it. Everybody who arrives while it is
# served waits for it, so the tail of the *response* is far heavier than 1 % suggests.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 5.*

# %%
tail = mixtures.Mixture([("0.99", 5), ("0.01", 505)])  # ms
lam = 0.3 / tail.mean  # requests/ms: rho = 0.3
p99, mean = mixtures.mg1_sojourn_quantile("0.99", lam, tail)
print(
    f"service : mean {tail.mean:5.1f} ms, P99 {tail.quantile('0.99'):5.1f} ms, cs2 {tail.cs2:.2f}"
)
print(f"response: mean {mean:5.1f} ms, P99 {p99:5.1f} ms, ratio {p99 / mean:.2f}")
exponential = queueing.mm1(0.03, 0.1)
print(f"exponential service, same load: ratio {exponential['p99'] / exponential['W']:.2f} = ln 100")

# %% jupyter={"source_hidden": true}
levels = [0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.998, 0.999]
above = [100 * (1 - q) for q in levels]
mixed_ms = [mixtures.mg1_sojourn_quantile(str(q), lam, tail)[0] for q in levels]
plain_ms = [queueing.mm1_sojourn_quantile_s(str(q), 0.03, 0.1) for q in levels]
fig, ax = plt.subplots(figsize=(10, 5.6))
ax.semilogy(mixed_ms, above, color=COLORS["error"], marker="o", label="response, mixture")
ax.semilogy(
    plain_ms, above, "--", color=COLORS["primary"], marker="s", label="response, exponential"
)
ax.step(
    [0, 5, 505, 505],
    [100, 1, 1, 0.1],
    where="post",
    color=COLORS["neutral"],
    label="service alone, mixture",
)
ax.axhline(1, color="black", linestyle=":", linewidth=1.2)
ax.text(1130, 1.08, "P99", ha="right")
ax.annotate(f"{p99:.0f} ms", (p99, 1), xytext=(6, 10), textcoords="offset points")
ax.annotate(
    f"{exponential['p99']:.0f} ms",
    (exponential["p99"], 1),
    xytext=(8, 8),
    textcoords="offset points",
)
ax.set(
    xlabel="time t [ms]",
    ylabel="requests that take longer than t [%]",
    xlim=(0, 1140),
    ylim=(0.1, 110),
)
ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
ax.set_title("One request in a hundred is slow; many more wait behind it")
ax.legend(loc="upper right")
at = [levels.index(q) for q in (0.5, 0.9, 0.95, 0.99, 0.999)]
show(
    fig,
    "Share of requests that take longer than t, on a log scale, for two servers at 30 % load and "
    f"10 ms of mean service. With exponential service P99 is {exponential['p99']:.0f} ms; with "
    f"1 % of requests at 505 ms it is {p99:.0f} ms, and {above[3]:.0f} % take over "
    f"{mixed_ms[3]:.0f} ms.",
    table={
        "quantile": [levels[i] for i in at],
        "mixture [ms]": [mixed_ms[i] for i in at],
        "exponential [ms]": [plain_ms[i] for i in at],
    },
)

# %% [markdown]
# **Quantiles do not add.** Two such calls in a row, independent of each other: each has a P99 of
# << fixed(mixtures.Mixture([("0.99", 5), ("0.01", 505)]).quantile("0.99"), 0) >> ms, and the sum
# has << fixed(mixtures.Mixture([("0.99", 5), ("0.01", 505)]).sum_of_two().quantile("0.99"), 0) >>
# ms, because now 2 % of requests meet a slow call. It can also go the other way:

# %%
for slow in ("0.01", "0.02"):
    part = mixtures.Mixture([(1 - quantities.exact(slow), 5), (slow, 505)])
    one, both = part.quantile("0.99"), part.sum_of_two().quantile("0.99")
    print(f"{slow} slow: P99 + P99 = {2 * one:.0f} ms, P99 of the sum = {both:.0f} ms")

# %% [markdown]
# **Fan-out and hedging**, from samples: let $F$ be the share of calls within the quantile $t$.

# %%
calls = np.where(rng.random(20_000) < 0.005, 505.0, rng.lognormal(math.log(5), 0.3, 20_000))
print(f"{'calls a page':>12} {'t = P99 [ms]':>13} {'pages over t':>13} {'hedge costs':>12}")
for fanout in (1, 10, 100):
    row = latency.tail_report(calls, fanout, "0.99")
    print(
        f"{fanout:>12} {row['quantile']:>13.1f} {row['fanout_p']:>13.1%} "
        f"{row['hedged_extra_load']:>12.1%}"
    )

# %% [markdown]
# > **Common mistake.** "P99 is ten times the mean because of the batching window." With exponential
# > service (and any *independent* intervals, GI/M/1) the ratio is $\ln 100 =$
# > << fixed(queueing.mm1(0, 1)["p99"], 3) >> at every load; ten and more needs a heavy tail such as
# > the one above, or arrivals that come in storms (4.5). Others: adding the P99s of stages,
# > averaging the P99s of shards (add up their counts: `sketches.Sketch`), and calling a P99 rare
# > when a page makes a hundred calls.
#
# **Check yourself.** A page waits for 20 calls, each slow with probability 1 %. What share of pages
# is slow?

# %%
answer = None
check_yourself(
    answer,
    lambda: latency.fanout_tail(0.01, 20),
    "share of slow pages",
    "A page is slow unless every one of its calls is fast.",
    mistakes={
        "that adds the probabilities": 0.2,
        "that is the share of fast pages": 0.99**20,
        "that is the share of a single call": 0.01,
    },
    worked="All twenty are fast with probability 0.99**20; the others: 1 - 0.99**20 = {right}.",
)

# %% [markdown]
# ## 2.8 Throughput, and what a slot does while it waits
#
# **Question.** The engine advertises 2000 tokens a second. Why does half of the machine stand idle?
#
# Throughput has three units, and only the last pays: *tokens/s* (steps of the machine),
# *requests/s* (answers), *goodput* (answers within their promise, 2.10). Between the first and the
# second stands the schedule of decode slots:
#
# $$\text{static: } \sum_{\text{batches}} \max_i n_i \text{ steps}, \qquad
# \text{continuous: a free slot takes the next request,}$$
#
# $$\text{never fewer than } \max\Big(\max_i n_i,\ \Big\lceil \frac{1}{B}\sum_i n_i \Big\rceil\Big)
# \text{ steps}$$
#
# - $n_i$ tokens of answer $i$, $B$ slots.
#
# **Argument.** A static batch lasts as long as its longest answer; the slots of the others wait.
# The share of slot-steps in use is mean / max of the batch. With a refill every slot works until
# the queue is empty, and only the end is ragged. So the gain lies *between* batches: a single batch
# has nobody to refill from.
#
# *Source: G.-I. Yu et al., Orca, OSDI 2022, for iteration-level scheduling.*

# %%
lengths = [80, 50, 150, 175, 100, 250, 120, 300, 200, 400]  # tokens of ten answers
print(
    f"mean {np.mean(lengths)}, longest {max(lengths)}: ratio {max(lengths) / np.mean(lengths):.2f}"
)
for name, queue in [("10 requests", lengths), ("100 requests", lengths * 10)]:
    static, refilled = slots.static_steps(queue, 10), slots.continuous_steps(queue, 10)
    gain = static / refilled
    print(f"{name:>12} in 10 slots: static {static}, continuous {refilled} steps: {gain:.2f} times")

# %% jupyter={"source_hidden": true}
n_slots = 4
fig, panels = plt.subplots(2, 1, figsize=(11, 6.4), sharex=True)
for ax, name, spans in [
    (panels[0], "Static", slots.static_schedule(lengths, n_slots)),
    (panels[1], "Continuous", slots.continuous_schedule(lengths, n_slots)),
]:
    last = max(span.end for span in spans)
    ax.axvspan(0, last, color=COLORS["neutral"], alpha=0.25, linewidth=0)
    for span in spans:
        kind = "primary" if span.request % 2 else "secondary"
        ax.barh(
            span.slot,
            span.end - span.start,
            left=span.start,
            height=0.72,
            color=COLORS[kind],
            edgecolor="white",
        )
        ax.text(
            (span.start + span.end) / 2,
            span.slot,
            f"{span.request + 1}",
            ha="center",
            va="center",
            color="white" if span.request % 2 else "black",
        )
    used = sum(lengths) / (n_slots * last)
    ax.set_title(f"{name}: {last} steps, {used:.0%} of the slot-steps in use (grey: idle)")
    ax.set(yticks=range(n_slots), yticklabels=[f"slot {i + 1}" for i in range(n_slots)])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
panels[1].set_xlabel("decode step")
panels[0].set_xlim(0, slots.static_steps(lengths, n_slots) + 5)
show(
    fig,
    f"Ten requests in {n_slots} slots as bars over decode steps. Static batches leave large idle "
    f"areas behind short answers and take {slots.static_steps(lengths, n_slots)} steps; continuous "
    f"batching fills them and takes {slots.continuous_steps(lengths, n_slots)}.",
    table={
        "request": range(1, 11),
        "tokens": lengths,
        "static start": [s.start for s in slots.static_schedule(lengths, n_slots)],
        "continuous start": [s.start for s in slots.continuous_schedule(lengths, n_slots)],
    },
)

# %% [markdown]
# **How much is there to gain?** If answer lengths are exponential with mean $m$, the longest of $B$
# has mean $m H_B$ with $H_B = 1 + 1/2 + \dots + 1/B$, because the shortest of $B$ ends after $m/B$,
# the next after $m/(B-1)$ more, and so on. So static batching uses a share $1/H_B$ of its slots,
# and the larger the batch, the smaller the share.

# %% jupyter={"source_hidden": true}
widths = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
ideal = [slots.slot_efficiency(int(B)) for B in widths]
drawn = []
for B in widths:
    answers = rng.geometric(1 / 200, (max(20, 4096 // B), B))
    drawn.append(answers.mean() / answers.max(axis=1).mean())
fig, ax = plt.subplots(figsize=(10, 5.2))
ax.semilogx(widths, [100 * x for x in ideal], color=COLORS["primary"], label="1 / H_B", base=2)
ax.plot(
    widths, [100 * x for x in drawn], "D", color=COLORS["error"], label="drawn, geometric lengths"
)
for B in (8, 64, 256):
    value = slots.slot_efficiency(B)
    note = f"{value:.0%}: up to\n{1 / value:.1f} times to gain"
    place = (34, 20) if B == 8 else (0, 14)
    ax.annotate(note, (B, 100 * value), xytext=place, textcoords="offset points", ha="center")
ax.set_xlim(0.85, 420)
ax.set_xticks(widths, [str(B) for B in widths])
ax.set(xlabel="slots B", ylabel="slot-steps in use, static [%]", ylim=(0, 105))
ax.set_title("The larger a static batch, the more of it waits for the longest answer")
ax.legend(loc="upper right")
show(
    fig,
    "Share of slot-steps that static batching uses against the number of slots: one over the "
    f"harmonic number, {ideal[3]:.0%} at 8 slots, {ideal[6]:.0%} at 64. Batches drawn at random "
    "lie on the curve.",
    table={
        "B": widths,
        "1/H_B [%]": [100 * x for x in ideal],
        "drawn [%]": [100 * x for x in drawn],
    },
)

# %% [markdown]
# > **Common mistake.** "Continuous batching makes a batch faster." Ten requests in ten slots take
# > << slots.continuous_steps([80, 50, 150, 175, 100, 250, 120, 300, 200, 400], 10) >> steps either
# > way. And the ratio longest over mean as a promised speed-up: it is what an endless queue of such
# > batches would gain, and a queue that ends gains less.
#
# **Check yourself.** Lengths 6, 2, 4, 1 in two slots: how many steps does continuous batching take?

# %%
answer = None
check_yourself(
    answer,
    lambda: slots.continuous_steps([6, 2, 4, 1], 2),
    "continuous steps",
    "Draw the slots step by step: whoever is next takes the one that is free first.",
    mistakes={"that is static batching: 6 + 4": 10, "one request is still waiting then": 6},
    worked="Slot one serves 6; slot two 2 and then 4, both until step 6; the last one takes a step more: {right}.",
)

# %% [markdown]
# ## 2.9 Utilisation
#
# **Question.** Four replicas are 83 % busy. What is the chance that the next request has to wait?
#
# $$B_0 = 1, \quad B_j = \frac{a B_{j-1}}{j + a B_{j-1}}, \qquad
# C(c, a) = \frac{B_c}{1 - \frac{a}{c}(1 - B_c)}, \qquad W_q = \frac{C(c, a)}{c\mu - \lambda}$$
#
# - $a = \lambda/\mu$ offered load; $B_c$ Erlang B, the probability that all are busy if nobody may
#   wait; $C$ Erlang C, the same if everybody waits.
#
# **Argument.** Adding a $j$-th server to a system without a queue gives the recursion; every factor
# stays in the unit interval, so nothing overflows. With a queue, states beyond $c$ form a geometric
# series with ratio $\rho = a/c$, which turns B into C. While all are busy the queue shrinks at rate
# $c\mu - \lambda$.
#
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 3.*

# %%
lam, mu, c = 10, 3, 4  # requests/s
print(f"rho = {lam / (c * mu):.3f}, P(wait) = {queueing.erlang_c(c, lam / mu):.4f}")
print(f"mean wait: {queueing.mmc_wait(lam, mu, c):.4f} s, if one waits {1 / (c * mu - lam):.2f} s")
print(f"1000 servers at 90 %: P(wait) = {queueing.erlang_c(1000, 900):.3e}")

# %% jupyter={"source_hidden": true}
loads = np.linspace(0.02, 0.995, 118)
fig, ax = plt.subplots(figsize=(10, 5.4))
pools = [(1, "-", "error"), (4, "--", "secondary"), (16, "-.", "tertiary"), (64, ":", "primary")]
for servers, style, color in pools:
    chance = [100 * queueing.erlang_c(servers, float(r) * servers) for r in loads]
    ax.plot(100 * loads, chance, style, color=COLORS[color], label=f"c = {servers}")
rho = lam / (c * mu)
at = 100 * queueing.erlang_c(c, lam / mu)
ax.plot(100 * rho, at, "o", color=COLORS["secondary"], markersize=9)
note = f"c = 4 at {100 * rho:.0f} %:\n{at:.1f} % have to wait"
arrow = {"arrowstyle": "->", "color": "black"}
ax.annotate(note, (100 * rho - 0.6, at), xytext=(24, 74), arrowprops=arrow)
ax.set(
    xlabel="utilisation rho [%]", ylabel="probability of waiting [%]", xlim=(0, 100), ylim=(0, 102)
)
ax.set_title("The same utilisation, very different queues")
ax.legend(loc="upper left")
show(
    fig,
    "Probability of waiting against utilisation for pools of 1, 4, 16 and 64 servers. For one "
    "server it equals the utilisation; the larger the pool, the longer it stays near 0 and the "
    "steeper it rises at the end.",
    table={
        "rho [%]": [50, 80, 90, 95],
        **{
            f"c = {n} [%]": [100 * queueing.erlang_c(n, r * n) for r in (0.5, 0.8, 0.9, 0.95)]
            for n, _, _ in pools
        },
    },
)

# %% [markdown]
# **Three percentages that are not $\rho$.** *Busy time* of a batch server: a greedy one starts a
# batch whenever anything waits, so it hardly ever rests, and is still far from its limit, because a
# fuller batch costs little more. *MFU* and *MBU* (2.6): shares of peak. *Kernel time* on a
# dashboard: some kernel was running.

# %%
alpha, beta, lam = 20, 1, 0.2  # ms, ms/request, requests/ms
arrivals = np.cumsum(rng.exponential(1 / lam, 40_000))
now, first, busy, finished = 0.0, 0, 0.0, np.empty(40_000)
while first < len(arrivals):
    now = max(now, arrivals[first])
    last = np.searchsorted(arrivals, now, side="right")  # all who wait form the batch
    now, busy = now + alpha + beta * (last - first), busy + alpha + beta * (last - first)
    finished[first:last] = now
    first = last
print(f"busy {busy / now:.1%}, P99 {latency.percentile(finished - arrivals, '0.99'):.0f} ms")
print(f"arrivals / ceiling of throughput: {lam * beta:.0%}")

# %% [markdown]
# > **Common mistake.** Reading $\rho$ as the answer: 83 % is not the chance of waiting, which is
# > << fixed(100 * queueing.erlang_c(4, 10 / 3), 0) >> %. "100 % busy is overloaded" is wrong for
# > the batch server above; $\rho = \lambda/(c\mu) \ge 1$ is overload. And factorials in floats end
# > at 170: the recursion is not a luxury.
#
# **Check yourself.** 120 requests/s, 30 a second for each of six replicas. What is the mean wait in
# ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1000 * queueing.mmc_wait(120, 30, 6),
    "mean wait in ms",
    "Erlang B by its recursion, then C, then W_q = C / (c mu - lam).",
    mistakes={
        "that is the time in the system": lambda: 1000 * (queueing.mmc_wait(120, 30, 6) + 1 / 30),
        "that is a single fast server of 180 a second": lambda: 1000 * (120 / 180) / (180 - 120),
        "that is the wait of those who wait: it lacks C": 1000 / 60,
    },
    worked=f"a = 120 / 30 = 4; C(6, 4) = {queueing.erlang_c(6, 4):.4f}; over 6 * 30 - 120 = 60 a second: "
    "{right} ms.",
)

# %% [markdown]
# ## 2.10 SLI, SLO, SLA
#
# **Question.** Throughput is up 20 %, and customers are cancelling. Which number should have been
# on the dashboard?
#
# An **SLI** is what you measure, an **SLO** what you aim at, an **SLA** what you pay for missing.
#
# $$\text{SLO attainment} = \frac{\#\{\text{ok} \wedge \mathrm{TTFT} \le T_1 \wedge
# \mathrm{TPOT} \le T_2\}}{\#\{\text{all requests}\}}, \qquad
# \mathrm{credit}(A) = \text{that of the lowest threshold} > A$$
#
# **Goodput** is a rate: the good requests per second (chapter 1). The share above is the
# *attainment*; `traces.goodput` and exercise 10 compute this share, whatever their name says. For
# planning, goodput is the highest request rate per GPU at which attainment still meets its goal.
#
# **Argument.** Throughput counts what leaves the machine; goodput counts what arrives in time. Near
# saturation the two part: every further request makes all the others later. Failed requests stay
# in the denominator, or a service that fails fast looks good.
#
# *Source: Y. Zhong et al., DistServe, OSDI 2024, for two latency bounds and for goodput as the
# highest rate that keeps the attainment.*

# %%
rows = [
    # TTFT [s], TPOT [s], status
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
answered = sum(request["status"] == "ok" for request in requests)
print(f"answered {answered / len(requests):.3f}, attainment {traces.goodput(requests, 0.5, 0.04)}")

table = [("0.999", 10), ("0.99", 25), ("0.95", 100)]  # availability, credit in % of the bill
for availability in ("0.9995", "0.999", "0.9989", "0.985", "0.94"):
    print(
        f"availability {availability:<6}: credit {agreements.sla_credit(availability, table):.0f} %"
    )

# %% jupyter={"source_hidden": true}
c, mu, bound_s = 8, 4, 0.75  # replicas, requests/s each, promise on the response time
offered = np.linspace(0.5, 40, 159)
good = [
    lam * (1 - queueing.mmc_sojourn_tail(bound_s, lam, mu, c)) if lam < c * mu else 0.0
    for lam in offered.tolist()
]
peak = int(np.argmax(good))
shed = np.where(offered <= offered[peak], good, good[peak])
fig, ax = plt.subplots(figsize=(10, 5.4))
ax.plot(offered, np.minimum(offered, c * mu), "--", color=COLORS["neutral"], label="throughput")
ax.plot(
    offered, shed, "-.", color=COLORS["tertiary"], linewidth=3, label="goodput, the excess shed"
)
ax.plot(offered, good, color=COLORS["error"], label="goodput, everybody admitted")
ax.plot(offered[peak], good[peak], "o", color=COLORS["error"], markersize=9)
note = f"best: {good[peak]:.1f}/s good\nof {offered[peak]:.1f}/s offered"
arrow = {"arrowstyle": "->", "color": "black"}
ax.annotate(note, (offered[peak], good[peak]), xytext=(21, 9), arrowprops=arrow)
ax.axvline(c * mu, color="black", linestyle=":", linewidth=1.2)
ax.text(c * mu + 0.3, 2, "c mu")
ax.set(xlabel="requests offered [1/s]", ylabel="requests/s", xlim=(0, 40), ylim=(0, 34))
ax.set_title(f"{c} replicas of {mu}/s, promise: {bound_s} s for each answer")
ax.legend(loc="upper left")
marks = [int(np.argmin(abs(offered - x))) for x in (10, 20, 28, 30, 31.5, 36)]
show(
    fig,
    "Throughput and goodput against offered load. Throughput rises to the capacity and stays "
    "there. Goodput falls below it long before, has a peak, and drops to nothing at capacity "
    "unless the excess is refused at the door, which keeps it at the peak.",
    table={
        "offered [1/s]": [offered[i] for i in marks],
        "throughput": [min(offered[i], c * mu) for i in marks],
        "goodput": [good[i] for i in marks],
        "goodput, shedding": [shed[i] for i in marks],
    },
)

# %% [markdown]
# How many replicas does a promise on the wait need? Stability first, then the wait:

# %%
for lam, mu, bound in [(10, 3, 0.1), (120, 30, 0.005), (20, 0.5, 0.5)]:
    stable, needed = math.floor(lam / mu) + 1, capacity.replicas_for_slo(lam, mu, bound)
    print(f"{lam:>4}/s at {mu}/s each, wait <= {bound} s: {needed} (stable from {stable})")

# %% [markdown]
# > **Common mistake.** A percentile of percentiles: the P99 over a month of the P99s of its minutes
# > describes minutes, not requests, and a minute with ten requests weighs as much as one with ten
# > thousand. Also: counting answered instead of good, and adding the credits of all missed
# > thresholds where the agreement says that one level decides.

# %%
quiet, rush = rng.lognormal(4.0, 0.3, (59, 50)), rng.lognormal(6.0, 0.3, 3000)  # ms; 59 min and one
by_minute = [latency.percentile(minute, "0.99") for minute in (*quiet, rush)]
shown = latency.percentile(by_minute, "0.95")
everybody = np.concatenate([quiet.ravel(), rush])
print(f"common mistake, live: P95 over the minutes of their P99: {shown:.0f} ms")
print(f"requests that took longer than that                    : {np.mean(everybody > shown):.0%}")
print(f"P99 of all requests: {latency.percentile(everybody, '0.99'):.0f} ms")

# %% [markdown]
# **Check yourself.** An agreement pays 15 % below 99.9 %, 40 % below 99 %. Availability was exactly
# 99 %. What is the credit in percent?

# %%
answer = None
check_yourself(
    answer,
    lambda: round(agreements.sla_credit("0.99", [("0.999", 15), ("0.99", 40)])),
    "credit in percent",
    "Of the thresholds that it is strictly below, the lowest decides.",
    mistakes={
        "exactly 99 % is not below 99 %": 40,
        "credits do not add up": 55,
        "99 % is below 99.9 %": 0,
    },
    worked="99 % is below 99.9 % and not below 99 %: {right} %.",
)

# %% [markdown]
# ## 2.11 REST, gRPC and streaming
#
# **Question.** The same tokens at the same times. Why does one client feel fast and the other dead?
#
# $$\text{first sight: } \mathrm{TTFT} \text{ if streamed}, \quad \mathrm{E2E} \text{ if not};
# \qquad \text{overhead} = \frac{\text{bytes of framing}}{\text{bytes of text}}$$
#
# | protocol | a message is | streaming | good for |
# |---|---|---|---|
# | REST, JSON over HTTP | one request, one response | no | short calls, caches, browsers |
# | server-sent events (SSE) | a text event in an open response | one way | token streams to browsers |
# | gRPC over HTTP/2 | binary frames of a typed message | both ways | service to service |
#
# **Argument.** Streaming makes nothing faster. It moves the moment at which a user sees something
# from the last token to the first, and lets a client that has read enough close the stream, which
# frees a slot. Its price is framing for every event, and a connection held open for the whole
# answer: by Little's law, $\lambda \cdot \mathrm{E2E}$ of them.
#
# *Source: the HTML Living Standard, section "Server-sent events"; own arithmetic.*

# %%
timing = latency.request_latency_ms(queue=50, prefill=150, n_out=400, tpot=20, post=0)
print(f"first sight: streamed {timing['ttft']:.0f} ms, not streamed {timing['e2e']:.0f} ms")
open_streams = queueing.littles_law(lam=30, W=timing["e2e"] / 1000)
print(f"open connections at 30 requests/s: {open_streams:.0f}")
event = "data: " + json.dumps({"id": "a1b2c3", "index": 0, "delta": {"text": "word "}}) + "\n\n"
print(f"one token of 5 bytes in an event of {len(event)} bytes: {len(event) / 5:.0f} times")
print(f"64 users at 50 tokens/s: {64 * 50 * len(event) * 8 / 1e6:.1f} Mbit/s")

# %% jupyter={"source_hidden": true}
gaps = rng.gamma(8, 20 / 8, 399)  # ms: gaps of 20 ms on average
tokens_ms = timing["ttft"] + np.concatenate([[0], np.cumsum(gaps)])
buffer = 40  # tokens that an intermediary collects before it passes them on
counts = np.arange(1, 401)
fig, ax = plt.subplots(figsize=(10, 5))
ax.step(
    tokens_ms / 1000,
    counts,
    where="post",
    color=COLORS["primary"],
    label="streamed, token by token",
)
arrived = tokens_ms[buffer - 1 :: buffer] / 1000
ax.step(
    np.concatenate([[0], arrived]),
    np.concatenate([[0], counts[buffer - 1 :: buffer]]),
    "--",
    where="post",
    color=COLORS["secondary"],
    label=f"streamed, buffered {buffer} tokens",
)
end = tokens_ms[-1] / 1000
ax.step([0, end, end], [0, 0, 400], ":", where="post", color=COLORS["error"], label="not streamed")
ax.set(xlabel="time since the request [s]", ylabel="tokens that the user sees", xlim=(0, end + 0.2))
ax.set_ylim(-4, 415)
ax.set_title("Streaming moves the first sight, not the end")
ax.legend(loc="upper left")
show(
    fig,
    f"Tokens seen by the user over time. Streamed, the first appears after {tokens_ms[0]:.0f} ms "
    f"and the last after {end:.1f} s. Behind a buffer of {buffer} tokens they come in steps, "
    f"the first after {arrived[0]:.1f} s. Not streamed, all appear at the end.",
    table={
        "time [s]": [0.5, 1, 2, 4, 8],
        "streamed": [int((tokens_ms <= 1000 * t).sum()) for t in (0.5, 1, 2, 4, 8)],
        "buffered": [int((arrived <= t).sum()) * buffer for t in (0.5, 1, 2, 4, 8)],
    },
)

# %% [markdown]
# > **Common mistake.** Measuring the inter-token latency between *chunks*. A proxy, a TLS record or
# > a tokeniser that waits for a whole character merges tokens, and a gap between chunks of four
# > tokens is four gaps:

# %%
chunk_gaps = np.diff(tokens_ms[3::4])
print(f"mean gap between tokens {np.diff(tokens_ms).mean():.1f} ms")
print(f"common mistake, live: mean gap between chunks of four {chunk_gaps.mean():.1f} ms")
print(f"time per output token, from the ends: {(tokens_ms[-1] - tokens_ms[0]) / 399:.1f} ms")

# %% [markdown]
# **Check yourself.** 25 streams open per second, each for 12 s. How many are open at once?

# %%
answer = None
check_yourself(
    answer,
    lambda: round(queueing.littles_law(lam=25, W=12)),
    "open streams",
    "Little's law.",
    mistakes={"that is one over the other": 25 / 12},
    worked="L = lam W = 25 * 12 = {right} streams.",
)

# %% [markdown]
# ## 2.12 Routers and cascades
#
# **Question.** A small model is right most of the time and costs a seventh. When is it cheaper to
# ask it first?
#
# $$\text{cascade: } c_s + (1 - f)\,c_l, \qquad \text{router: } c_r + f c_s + (1 - f)\,c_l,
# \qquad f^* = \frac{c_s}{c_l}$$
#
# - $f$ share that the small model settles; $c_s, c_l, c_r$ cost of small, large and of routing. A
#   cascade asks the small model first and looks at its answer; a router decides from the question.
#
# **Argument.** The cascade beats the large model alone once $f > f^*$: everybody pays $c_s$, a
# share $f$ saves $c_l$. Who is "settled" is decided by a threshold $t$ on the small model's
# confidence. If confidence is calibrated, an answer with confidence $u$ is right with probability
# $u$; keep it while $u$ is at least the large model's accuracy $q_l$, pass it on otherwise. That is
# the best possible quality, and *better* than the large model alone, **if the large model is as good
# where the small one is unsure as anywhere else**. It seldom is: hard questions are hard for both.
#
# *Source: elementary; calibration and equal accuracy are assumptions to be checked on your data.*

# %%
small, large, large_quality = 0.10, 0.67, 0.93  # USD per 1000 answers, USD, share right
print(f"break-even share f* = {cost.cascade_break_even(small, large):.3f}")
print(f"f = 0.8: cascade {cost.cascade_cost(0.8, small, large):.3f}, large alone {large}")
t = large_quality  # keep what the small model is at least as sure of
for worst, name in [
    (large_quality, "as good everywhere"),
    (0.86, "worse where the small is unsure"),
]:
    slope = 2 * (large_quality - worst)  # accuracy worst + slope u, of the same mean
    both = (1 - t**2) / 2 + worst * t + slope * t**2 / 2
    print(f"large model {name:<31}: cascade {both:.1%} right, large alone {large_quality:.0%}")

# %% jupyter={"source_hidden": true}
# Confidence uniform on [0, 1] and calibrated: quality is the integral of u above the threshold.
thresholds = np.linspace(0, 1, 201)
quality = (1 - thresholds**2) / 2 + large_quality * thresholds
money = [cost.cascade_cost(1 - float(t), small, large) for t in thresholds]
fig, ax = plt.subplots(figsize=(10, 5.4))
ax.plot(money, 100 * quality, color=COLORS["primary"], label="cascade, by threshold")
ax.plot(
    large, 100 * large_quality, "s", color=COLORS["secondary"], markersize=11, label="large alone"
)
ax.plot(small, 50, "D", color=COLORS["tertiary"], markersize=10, label="small alone")
for t in (0.4, 0.6, 0.8, large_quality):
    i = round(200 * t)
    ax.plot(money[i], 100 * quality[i], "o", color=COLORS["primary"])
    place = {"xytext": (-10, 6), "ha": "right"} if t < 0.9 else {"xytext": (0, 12), "ha": "center"}
    ax.annotate(f"t = {t}", (money[i], 100 * quality[i]), textcoords="offset points", **place)
ax.set(xlabel="USD per 1000 answers", ylabel="answers right [%]", xlim=(0.05, 0.82), ylim=(45, 100))
ax.set_title("A threshold is a price: each step to the right buys less quality")
ax.legend(loc="lower right")
i = round(200 * large_quality)
show(
    fig,
    "Quality against cost of a cascade as its threshold rises. It starts at the small model alone, "
    f"rises ever more slowly and peaks at {100 * quality[i]:.1f} % where the threshold equals the "
    f"large model's accuracy of {100 * large_quality:.0f} %, and there costs more than it.",
    table={
        "threshold": [0, 0.4, 0.6, 0.8, large_quality],
        "cost": [money[round(200 * t)] for t in (0, 0.4, 0.6, 0.8, large_quality)],
        "right [%]": [100 * quality[round(200 * t)] for t in (0, 0.4, 0.6, 0.8, large_quality)],
    },
)

# %% [markdown]
# > **Common mistake.** Comparing the mean cost and forgetting the latency: whoever is passed on
# > waits for both models, so the tail of a cascade holds the times of both. And counting the
# > small model's share without its mistakes: a share settled wrongly comes back as a retry.
#
# **Check yourself.** Small 0.12, large 0.80. From which share of settled requests on does a cascade
# pay?

# %%
answer = None
check_yourself(
    answer,
    lambda: cost.cascade_break_even("0.12", "0.80"),
    "break-even share",
    "What everybody pays over what is saved.",
    mistakes={
        "that is the share that goes on to the large model": 1 - 0.12 / 0.8,
        "that is what a settled request saves": 0.68,
        "that divides by the difference: the small model is paid by all": 0.12 / 0.68,
    },
    worked="Everybody pays 0.12, and each settled request saves 0.80: 0.12 / 0.80 = {right}.",
)

# %% [markdown]
# ## 2.13 Shadow, canary, blue-green, versions and rollback
#
# **Question.** 1.0 % of 20 000 requests failed on the old version, 1.4 % of 2000 on the canary.
# Roll back?
#
# | way | who gets the new version | what it can show | risk |
# |---|---|---|---|
# | shadow | nobody: answers are compared and thrown away | latency, crashes, differences | cost only |
# | canary | a small share | failure rates, users' behaviour | share × rate |
# | blue-green | everybody at once, old one kept warm | that switching back is fast | all, briefly |
#
# $$z = \frac{\hat p_b - \hat p_a}{\sqrt{\hat p (1 - \hat p)(1/n_a + 1/n_b)}}, \qquad
# n = \frac{(z_{0.975} + z_{0.8})^2\,(p_a(1 - p_a) + p_b(1 - p_b))}{(p_a - p_b)^2}$$
#
# - $n$ requests in each arm to notice $p_b$ against $p_a$ in 80 % of cases, at 5 % two-sided.
#
# **Argument.** A rate from $n$ requests is off by about $\sqrt{p(1-p)/n}$, so seeing half the
# difference takes four times the traffic. A fixed-size test may be looked at once; Wald's
# sequential test adds up the evidence of each request and may stop whenever it crosses a bound.
#
# *Source: J. L. Fleiss, B. Levin and M. C. Paik, Statistical Methods for Rates and Proportions, 3rd
# edition, 2003, chapter 4; A. Wald, Sequential tests of statistical hypotheses, Annals of
# Mathematical Statistics 16, 1945.*

# %%
z = experiments.two_proportion_z(200, 20_000, 28, 2_000)
print(f"z = {z:.3f}: below 1.96, so neither worse nor as good has been shown")
for better in (0.012, 0.014, 0.020):
    need = experiments.two_proportion_sample_size(0.010, better)
    print(f"1.0 % against {better:.1%}: {need:>6,} requests in each arm")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5))
canary_sizes = [500, 1000, 2000, 5000, 10_000, 40_000]
left.axhline(0, color="black", linewidth=1.4)
left.text(5.3, -0.04, "no difference", va="top", ha="right")
ends = [
    [100 * x for x in gates.difference_interval(200, 20_000, round(0.014 * n), n)]
    for n in canary_sizes
]
for i, (n, (low, high)) in enumerate(zip(canary_sizes, ends, strict=True)):
    apart = low > 0
    color = COLORS["error"] if apart else COLORS["primary"]
    left.plot([i, i], [low, high], color=color, linewidth=3)
    mean = 100 * (round(0.014 * n) / n - 0.010)
    left.plot(i, mean, "X" if apart else "o", color=color, markersize=9)
left.set_xticks(range(len(canary_sizes)), [f"{n:,}" for n in canary_sizes], rotation=20)
left.set(xlabel="canary requests, 1.4 % of them failing", ylim=(-0.9, 2))
left.set(ylabel="failure rate, canary less old [% points]")
left.set_title("95 % intervals of the difference")

stream = np.random.default_rng(5)
for p, style, color, name in [
    (0.010, "-", "tertiary", "a version that fails 1 %"),
    (0.020, "--", "error", "a version that fails 2 %"),
]:
    verdict = gates.canary_sprt((stream.random(8000) < p).astype(int), 0.010, 0.020)
    path = np.concatenate([[0], verdict.log_ratio])
    label = f"{name}: {verdict.decision} after {verdict.requests_used}"
    right.plot(path, style, color=COLORS[color], label=label)
right.axhline(verdict.roll_back_at, color="black", linestyle=":")
right.axhline(verdict.promote_at, color="black", linestyle=":")
right.text(20, verdict.roll_back_at - 0.15, "roll back", va="top")
right.text(20, verdict.promote_at + 0.1, "promote", va="bottom")
right.set(xlabel="requests seen", ylabel="evidence for 2 % against 1 % [nats]", ylim=(-3.4, 5.6))
right.set_title("Sequential: stop when it is enough")
right.legend(loc="upper left", fontsize=11)
show(
    fig,
    "Left: intervals of the difference between a canary's failure rate and that of the old version "
    "(200 of 20 000), for growing samples with 1.4 % failing; they leave 0 from "
    f"{next(n for n, (low, _) in zip(canary_sizes, ends, strict=True) if low > 0)} requests on. "
    "Right: two paths of a "
    "sequential test, one crossing the lower bound to promote, one the upper bound to roll back.",
    table={
        "canary requests": canary_sizes,
        "low [%]": [low for low, _ in ends],
        "high [%]": [high for _, high in ends],
        "apart from 0": [low > 0 for low, _ in ends],
    },
)

# %% [markdown]
# **What is a version?** The content, not a name: the SHA-256 digest of the canonical bytes of
# weights, tokeniser, template and settings. Anything weaker collides.

# %%
one, other = [10, 12, 12, 15], [11, 12, 13, 14]
weighted = [sum((i + 1) * x for i, x in enumerate(values)) for values in (one, other)]
print("common mistake, live: weighted sums of two different artefacts:", weighted)
for settings in ({"weights": one, "top_p": 0.9}, {"top_p": 0.9, "weights": other}):
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()
    print(hashlib.sha256(canonical).hexdigest()[:16], "...")

# %% [markdown]
# **Rollback** is an availability figure: with mean time to repair (MTTR) $r$ [min] and a share $x$
# of users hit, an incident spends $x r$ of the month's bad minutes. Detection is part of $r$.

# %%
allowed = reliability.downtime_minutes("0.999", 30)
for name, share, minutes in [("canary 5 %, automatic", 0.05, 6), ("everybody, by hand", 1, 35)]:
    spent = share * minutes / allowed
    print(f"{name:<22}: {share * minutes:5.1f} of {allowed:.1f} bad minutes, {spent:.0%} of budget")

# %% [markdown]
# Two intervals that overlap do not show "no difference": at 5000 requests the canary's own interval
# still overlaps that of the old version, and $z$ is
# << fixed(experiments.two_proportion_z(200, 20_000, 70, 5_000), 2) >>. Ask for the interval of the
# *difference*, as in the figure.
#
# > **Common mistake.** Rolling forward because "no significant difference" was found: with 2000
# > requests a canary that fails << num(100 * 0.014 / 0.010 - 100, 2) >> % more often is hardly
# > visible. The opposite one: looking at $z$ after every request and stopping at the first 1.96.
# > And a rollback that was never rehearsed, whose MTTR is a hope.
#
# **Check yourself.** How many requests in each arm to notice 2 % against 1 % (5 % two-sided, 80 %)?

# %%
answer = None
check_yourself(
    answer,
    lambda: experiments.two_proportion_sample_size(0.01, 0.02),
    "requests in each arm",
    "(z + z')^2 times the sum of both variances p (1 - p), over the squared difference, rounded up.",
    mistakes={
        "that leaves the power out: only 1.96 squared": lambda: math.ceil(
            1.959964**2 * (0.0099 + 0.0196) / 0.01**2
        ),
        "that is both arms together": lambda: (
            2 * experiments.two_proportion_sample_size(0.01, 0.02)
        ),
    },
    worked="(1.95996 + 0.84162)**2 * (0.0099 + 0.0196) / 0.01**2, rounded up: {right}.",
)

# %% [markdown]
# ## 2.14 Batching prompts
#
# **Question.** A prompt of 8192 tokens arrives while sixty users are reading their streams. What do
# they see?
#
# $$\text{padding waste} = 1 - \frac{\bar n}{n_{max}}, \qquad
# \text{largest gap} = \begin{cases} t_{prefill}(s) & \text{whole prompt at once} \\
# t_{prefill}(\text{one chunk}) + t_{step} & \text{chunked} \end{cases}$$
#
# **Argument.** Sequences of different length in one rectangle are padded to the longest; the share
# that is padding follows from mean and maximum alone, and packing or sorting by length avoids it. A
# long prefill is one uninterrupted piece of work, so every decode waits for all of it. Cut into
# chunks, each of which shares *one iteration* with the running decodes, the longest gap is one such
# iteration: at most a chunk and a step, less where they share the reading of the weights. The chunks
# together cost the same arithmetic, because later ones attend to what earlier ones left in the cache.
#
# *Source: A. Agrawal et al., Sarathi-Serve, OSDI 2024, for chunked prefill.*

# %%
print(f"padding waste of the ten lengths of 2.8: {slots.padding_waste(lengths):.1%}")
prompt, chunk = 8192, 512
starts = range(0, prompt, chunk)
chunks_ms = [1000 * (prefill_s(start + chunk) - prefill_s(start)) for start in starts]
whole_ms = 1000 * prefill_s(prompt)
print(f"whole prompt: {whole_ms:.0f} ms at 50 % of peak, attention included")
print(
    f"{len(chunks_ms)} chunks: {chunks_ms[0]:.1f} to {chunks_ms[-1]:.1f} ms, "
    f"{sum(chunks_ms):.0f} in all"
)

# %% jupyter={"source_hidden": true}
step_ms = 1000 * decode(60, 2048)["step_s"]


def token_times(pieces, before=4, after=4):
    """When a running stream shows tokens if these pieces of prefill share its iterations."""
    now, shown = 0.0, []
    for piece in [*[0.0] * before, *pieces, *[0.0] * after]:
        now += piece + step_ms
        shown.append(now)
    return shown


fig, ax = plt.subplots(figsize=(11, 4.4))
for y, times in [(1, token_times([whole_ms])), (0, token_times(chunks_ms))]:
    ax.vlines(times, y - 0.28, y + 0.28, color=COLORS["primary"], linewidth=2)
    gaps = np.diff(times)
    widest = int(np.argmax(gaps))
    ax.barh(y, gaps[widest], left=times[widest], height=0.56, color=COLORS["error"], alpha=0.25)
    middle = times[widest] + gaps[widest] / 2
    place = {"ha": "center"} if y else {"ha": "right"}
    ax.text(middle, y + 0.33, f"longest gap {gaps[widest]:.0f} ms", color=COLORS["error"], **place)
ax.set(yticks=[1, 0], yticklabels=["whole prompt", f"chunks of {chunk}"], ylim=(-0.5, 1.6))
ax.set(xlabel="time [ms]", xlim=(0, max(times) + 8))
ax.grid(axis="y", visible=False)
ax.set_title("A running stream while a prompt of 8192 tokens is read (each stroke is a token)")
whole_gap, chunk_gap = (np.diff(token_times(p)).max() for p in ([whole_ms], chunks_ms))
show(
    fig,
    f"Token times of a running stream. If the long prompt is prefilled at once, there is one gap "
    f"of {whole_gap:.0f} ms without any token; with chunks tokens keep coming, at most "
    f"{chunk_gap:.0f} ms apart, and the prompt is done somewhat later.",
    table={
        "chunk": range(1, len(chunks_ms) + 1),
        "tokens before it": list(starts),
        "time [ms]": chunks_ms,
    },
)

# %% [markdown]
# The newcomer pays for the others' comfort: its own first token is later, by up to a decode step for
# each chunk. The chunk size is the knob between TTFT and the smoothness of running streams.
#
# > **Common mistake.** Judging by TPOT. A stall of
# > << fixed(1000 * roofline.prefill_time_s(70553706496, 8192, 80, 8192, 8, 989.4e12), 0) >> ms in
# > an answer of 400 tokens raises the mean time per token by less than a millisecond; users see the
# > gap, and only the largest inter-token latency shows it. The other one: "padding is cheap". It
# > takes memory and arithmetic like any token.
#
# **Check yourself.** Prompts of 100, 100, 200 and 800 tokens are padded to one rectangle. What
# share is padding?

# %%
answer = None
check_yourself(
    answer,
    lambda: slots.padding_waste([100, 100, 200, 800]),
    "share of padding",
    "Each row is padded to the longest: how much of that is used on average?",
    mistakes={
        "that is the share in use": 300 / 800,
        "that is padding over what is used": 2000 / 1200,
    },
    worked="The rectangle is 4 * 800 = 3200, used are 1200: 1 - 1200 / 3200 = {right}.",
)

# %% [markdown]
# ## 2.15 Caching
#
# **Question.** Half the questions have been asked before. Which cache, and does it pay?
#
# | cache | key | what a hit saves | what can go wrong |
# |---|---|---|---|
# | exact | digest of the whole request | everything | stale answers; sampling is frozen |
# | prefix | tokens from the start | prefill of the shared part | memory; only from the first token on |
# | semantic | nearest embedding | everything | a near question with another answer |
#
# $$h^* = \frac{t_{lookup}}{t_{miss}}, \qquad
# h_{Zipf}(m) = \frac{\sum_{i \le m} i^{-\theta}}{\sum_{i \le M} i^{-\theta}}, \qquad
# \mathrm{TTFT} \propto s - s_{cached}$$
#
# - $h^*$ hit rate from which a lookup pays; $m$ of $M$ items cached, $\theta$ exponent of
#   popularity.
#
# **Argument.** Everybody pays the lookup, hits save the miss: $h\,t_{miss} > t_{lookup}$.
# Popularity decides $h$: under Zipf's law a few items are asked for again and again. A prefix hit
# leaves only the tail of the prompt to prefill, so the first token comes earlier in proportion;
# decode gains nothing.
#
# *Source: L. Breslau et al., Web caching and Zipf-like distributions, IEEE INFOCOM 1999; L. Zheng
# et al., SGLang, arXiv:2312.07104, for prefix reuse.*

# %%
print(f"10 ms lookup, 800 ms miss: pays from {caching.cache_break_even(10, 800):.2%} of hits")
print(f"top 100 of 1000, Zipf: {caching.zipf_hit_share(1000, 100):.0%} of requests")
system, question = 3072, 1024  # tokens shared by everybody, and one's own
cold, warm = prefill_s(system + question), prefill_s(system + question) - prefill_s(system)
print(
    f"prefill of {system + question} tokens: {1000 * cold:.0f} ms, "
    f"with a cached prefix {1000 * warm:.0f} ms"
)
kept = quantities.bytes_to_gb(k * system)
print(f"and the prefix takes {kept:.2f} GB of cache once, instead of once a request")

# %% jupyter={"source_hidden": true}
cached = np.unique(np.round(np.logspace(0, 3, 60)).astype(int))
fig, ax = plt.subplots(figsize=(10, 5.2))
for s, style, color in [
    (1.4, "-.", "tertiary"),
    (1.0, "-", "primary"),
    (0.6, "--", "secondary"),
    (0.0, ":", "neutral"),
]:
    share = [100 * caching.zipf_hit_share(1000, int(m), s) for m in cached]
    name = "all equally popular" if s == 0 else f"exponent {s}"
    ax.semilogx(cached, share, style, color=COLORS[color], label=name)
at = 100 * caching.zipf_hit_share(1000, 100)
ax.plot(100, at, "o", color=COLORS["primary"], markersize=9)
ax.annotate(
    f"100 of 1000: {at:.0f} %", (100, at), xytext=(-12, 4), ha="right", textcoords="offset points"
)
ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
ax.set(
    xlabel="items in the cache, of 1000",
    ylabel="requests that hit [%]",
    ylim=(0, 103),
    xlim=(1, 1000),
)
ax.set_title("What a cache is worth is decided by popularity")
ax.legend(loc="upper left")
show(
    fig,
    f"Hit rate against number of cached items, of 1000, on a log axis. With Zipf exponent 1 the "
    f"top 100 give {at:.0f} % of requests; with a larger exponent more.",
    table={
        "cached": [10, 100, 500],
        "s = 0.6 [%]": [100 * caching.zipf_hit_share(1000, m, 0.6) for m in (10, 100, 500)],
        "s = 1 [%]": [100 * caching.zipf_hit_share(1000, m) for m in (10, 100, 500)],
        "s = 1.4 [%]": [100 * caching.zipf_hit_share(1000, m, 1.4) for m in (10, 100, 500)],
    },
)

# %% [markdown]
# > **Common mistake.** "The KV cache fixes TTFT." Keeping keys and values speeds up *decode*; what
# > helps the first token is a cached *prefix*, chunked prefill, and not queueing. And a semantic
# > cache judged by its hit rate: a hit at the wrong answer is an error that no latency chart shows.
#
# **Check yourself.** A lookup takes 24 ms, a miss 600 ms. From which hit rate on does the cache
# pay?

# %%
answer = None
check_yourself(
    answer,
    lambda: caching.cache_break_even(24, 600),
    "break-even hit rate",
    "Lookup over miss.",
    mistakes={"that is the miss rate": 1 - 24 / 600, "that divides by what a hit saves": 24 / 576},
    worked="A lookup is paid always and a hit saves a miss: 24 / 600 = {right}.",
)

# %% [markdown]
# ## 2.16 Quantisation
#
# **Question.** Weights in 8 or 4 bits: how wrong do they become, how fast does decode become, and
# why does prefill not care?
#
# $$\Delta = \frac{\max|x|}{2^{b_w - 1} - 1}, \quad
# \hat x = \Delta \cdot \mathrm{round}(x / \Delta), \quad
# |\hat x - x| \le \frac{\Delta}{2}, \qquad B_{crit} = \frac{F\, b}{2\,BW}$$
#
# - $b_w$ bits of a code, $b = b_w/8$ bytes; $\Delta$ scale of a group of weights; $B_{crit}$ batch
#   from which arithmetic takes longer than reading the weights.
#
# **Argument.** The nearest whole number is at most one half away, so the error is at most half a
# scale, and the largest weight of the group sets the scale for all: one outlier costs everybody.
# Smaller groups keep an outlier's damage local. For speed, weight-only formats cut *bytes*, not
# FLOP: a memory-bound step is faster in proportion, until arithmetic takes over, and it does so at
# a proportionally smaller batch. Prefill was bound by arithmetic all along.
#
# *Source: T. Dettmers et al., LLM.int8(), arXiv:2208.07339, section 2.*

# %%
weights = rng.normal(0, 0.02, 4096)
weights[7] = 0.6  # one outlier
for bits in (8, 4):
    scale = quantisation.symmetric_scale(weights, bits)
    back = quantisation.dequantise(quantisation.quantise(weights, scale, bits), scale)
    worst = np.abs(weights - back).max()
    bound = quantisation.rounding_bound(scale)
    print(f"{bits} bit: scale {scale:.5f}, error at most {bound:.5f}, worst {worst:.5f}")
print(f"{'bits':>5} {'tokens/s at B = 1':>18} {'B_crit':>7}")
for bits in (16, 8, 4):
    crit = roofline.critical_batch(gpu.bf16_dense_flops, gpu.bandwidth_Bps, bits / 8)
    print(f"{bits:>5} {1 / decode(1, 4096, bits)['step_s']:>18.0f} {crit:>7.0f}")


# %% jupyter={"source_hidden": true}
def rms_error(bits, group):
    """Root mean square error relative to that of the weights, with one scale a group."""
    total = 0.0
    for start in range(0, len(weights), group):
        part = weights[start : start + group]
        scale = quantisation.symmetric_scale(part, bits)
        back = quantisation.dequantise(quantisation.quantise(part, scale, bits), scale)
        total += float(np.sum((part - back) ** 2))
    return 100 * math.sqrt(total / float(np.sum(weights**2)))


widths = [3, 4, 5, 6, 8, 10]
fig, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.2))
errors_by = {}
for group, marker, style, color in [
    (4096, "o", "-", "error"),
    (128, "s", "--", "secondary"),
    (32, "D", ":", "primary"),
]:
    errors_by[group] = [rms_error(bits, group) for bits in widths]
    name = "one scale for all 4096" if group == 4096 else f"a scale for each {group}"
    left.semilogy(widths, errors_by[group], style, marker=marker, color=COLORS[color], label=name)
left.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
left.set(xlabel="bits of a code", ylabel="error, % of the weights' size (RMS)", ylim=(0.05, 150))
left.set_title("Error: one outlier among 4096 weights")
left.legend(loc="lower left", fontsize=11)
for bits, style, color in [(16, "-", "primary"), (8, "--", "secondary"), (4, ":", "tertiary")]:
    batch = np.unique(np.round(np.logspace(0, math.log10(users_in_memory(bits)), 80)).astype(int))
    speed = [B / decode(int(B), 4096, bits)["step_s"] for B in batch]
    right.loglog(batch, speed, style, color=COLORS[color], label=f"{bits} bit")
    crit = round(roofline.critical_batch(gpu.bf16_dense_flops, gpu.bandwidth_Bps, bits / 8))
    right.plot(
        crit, crit / decode(crit, 4096, bits)["step_s"], "o", color=COLORS[color], markersize=9
    )
    first = 1 / decode(1, 4096, bits)["step_s"]
    right.annotate(f"{first:.0f}", (1, first), xytext=(-34, -4), textcoords="offset points")
right.set_xlim(0.55, 600)
right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
right.set_yticks([200, 500, 1000, 2000, 5000, 10_000], ["200", "500", "1k", "2k", "5k", "10k"])
right.minorticks_off()
right.set(xlabel="sequences in the batch, B", ylabel="tokens/s")
right.set_title("Speed: fewer bytes, until arithmetic (dots)")
right.legend(loc="lower right")
show(
    fig,
    "Left: relative error against bits for one scale over all weights and for small groups; a bit "
    "more about halves it, except with one scale below five bits, and groups of 32 keep an outlier's "
    "damage local. Right: tokens per second "
    "against batch size for 16, 8 and 4 bits: far apart at batch 1, equal once arithmetic binds.",
    table={
        "bits": widths,
        "one scale [%]": errors_by[4096],
        "groups of 128 [%]": errors_by[128],
        "groups of 32 [%]": errors_by[32],
    },
)

# %% [markdown]
# > **Common mistake.** "Four bits, four times as fast." True of a lone sequence; at a batch of 256
# > the three formats are nearly equal, and what the smaller weights then buy is room for more
# > caches. And the bound $\Delta/2$ is on each *weight*; what it does to answers has to be measured
# > (2.1).

# %%
for B in (1, 64, 256):
    ratio = decode(B, 4096, 16)["step_s"] / decode(B, 4096, 4)["step_s"]
    print(f"B = {B:>3}: 4 bits are {ratio:.2f} times as fast as 16")
print("users of 4096 tokens in memory:", {bits: users_in_memory(bits) for bits in (16, 8, 4)})

# %% [markdown]
# **Check yourself.** The largest magnitude in a group is 0.254, codes have 8 bits. How large can a
# rounding error be?

# %%
answer = None
check_yourself(
    answer,
    lambda: quantisation.rounding_bound(quantisation.symmetric_scale([0.254, -0.1])),
    "largest rounding error",
    "Rounding errs by half a step, and a step is the largest value over the largest code.",
    mistakes={
        "that is the scale: rounding errs by half of it": 0.254 / 127,
        "that is a scale for 256 codes": 0.254 / 256,
    },
    worked="The scale is 0.254 / 127 = 0.002, and rounding errs by half of it: {right}.",
)

# %% [markdown]
# ## 2.17 Distillation
#
# **Question.** A student with a ninth of the parameters is nearly as good. How much cheaper is it,
# and after how many tokens has its training paid?
#
# $$\frac{\text{prefill of student}}{\text{prefill of teacher}} \approx \frac{N_S}{N_T}, \qquad
# \frac{\text{decode of student}}{\text{decode of teacher}} \approx
# \frac{N_S b + B\,s\,k_S}{N_T b + B\,s\,k_T}, \qquad
# \text{break-even} = \frac{\text{training cost}}{c_T - c_S}\ \text{tokens}$$
#
# - subscripts $S$ student, $T$ teacher; $s$ tokens of context; $c$ cost per token.
#
# **Argument.** Arithmetic scales with parameters. Decode reads weights *and* caches, and caches do
# not shrink like parameters: the ratio moves from $N_S/N_T$ at batch 1 towards $k_S/k_T$ at large
# ones. Training is paid once, savings come with each token. A quality floor stands before all of
# it: below it, the student is not cheap but useless, and 2.1 decides.
#
# *Source: G. Hinton, O. Vinyals and J. Dean, Distilling the knowledge in a neural network,
# arXiv:1503.02531; own arithmetic.*

# %%
student = facts.get_model("Llama-3-8B")
ratio_n = student.n_params / model.n_params
ratio_k = student.kv_bytes_per_token() / k
print(f"{student.name} against {model.name}: N {ratio_n:.3f}, k {ratio_k:.3f}")


def decode_usd(m, batch, gpus, hour_usd=3.0, tokens=4096):
    """USD per million output tokens of a model on so many GPUs; the rent is an assumption."""
    step = roofline.decode_step_s(
        batch,
        tokens,
        m.n_params,
        m.weight_bytes(),
        m.kv_bytes_per_token(),
        gpus,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )
    return cost.cost_per_million(hour_usd, batch / step["step_s"], gpus)


print(f"{'B':>4} {'teacher':>9} {'student':>9} {'ratio':>6}")
for batch in (1, 16, 64, 256):
    teacher_usd, student_usd = decode_usd(model, batch, n_gpus), decode_usd(student, batch, n_gpus)
    ratio = student_usd / teacher_usd
    print(f"{batch:>4} {teacher_usd:>7.3f} $ {student_usd:>7.3f} $ {ratio:>6.3f}")
training_usd = 40_000  # assumption
saved = decode_usd(model, 64, n_gpus) - decode_usd(student, 64, n_gpus)
print(
    f"at B = 64, {training_usd:,} USD of training pay after "
    f"{training_usd / saved / 1e3:.0f} billion tokens"
)

# %% [markdown]
# > **Common mistake.** Taking the ratio of parameters for the ratio of bills. It holds for prefill
# > and for a lone sequence. In a large batch with a long context the student still reads
# > everybody's keys and values, and the ratio drifts towards that of the caches.
#
# **Check yourself.** Training costs 12 000 USD, and each million tokens becomes 0.60 USD cheaper.
# After how many million tokens is it paid?

# %%
answer = None
check_yourself(
    answer,
    lambda: 12_000 / 0.60,
    "million tokens to break even",
    "Once-paid cost over what a million tokens saves.",
    mistakes={"that is what a million tokens would have to save to pay it at once": 12_000.0},
    worked="12 000 / 0.60 = {right} million tokens.",
)

# %% [markdown]
# ## 2.18 Hardware-aware scheduling
#
# **Question.** Prefill and decode, on the same chip: why does one want FLOP/s, the other bandwidth,
# and where should each of them run?
#
# $$\text{attainable FLOP/s} = \min(F,\ I \cdot BW), \qquad I_{ridge} = \frac{F}{BW},
# \qquad t_{reduce} = 2(n - 1)\,\tau + \frac{2(n-1)}{n} \frac{m}{BW_{link}}$$
#
# - $I$ arithmetic intensity [FLOP/byte]; $t_{reduce}$ a ring all-reduce of $m$ bytes over $n$ GPUs
#   with $\tau$ seconds a hop and $BW_{link}$ bytes/s (the $\alpha$–$\beta$ model).
#
# **Argument.** Work of intensity $I$ needs $1/I$ bytes for each FLOP; below the ridge bytes arrive
# too slowly. A decode step of $B$ sequences does $2NB$ FLOP on $Nb$ bytes of weights: intensity
# about $B$ in 16 bit, less what the caches add in bytes. Prefill of $s$ tokens has intensity about
# $s$. Tensor parallelism divides reading and arithmetic by $n$ and pays two all-reduces a layer; in
# decode the messages are small, so the hops decide, not the bandwidth.
#
# *Source: S. Williams, A. Waterman and D. Patterson, Roofline, Communications of the ACM 52(4),
# 2009; M. Shoeybi et al., Megatron-LM, arXiv:1909.08053, for two all-reduces a layer; NCCL,
# `src/graph/tuning.cc`, for the time of a hop.*


# %% jupyter={"source_hidden": true}
def intensity(batch, tokens):
    """FLOP per byte of a decode step, weights and caches read."""
    moved = model.weight_bytes() + batch * tokens * k
    return 2 * model.n_params * batch / moved


ridge = gpu.ridge_flop_per_byte
grid = np.logspace(-0.3, 4, 200)
peak = gpu.bf16_dense_flops / 1e12
fig, ax = plt.subplots()
roof = np.minimum(peak, grid * gpu.bandwidth_Bps / 1e12)
ax.loglog(grid, roof, color="black", linewidth=2.6)
ax.axvline(ridge, color=COLORS["neutral"], linestyle=":")
ax.text(ridge * 1.08, 2.2, f"ridge: {ridge:.0f} FLOP/byte")
work = [
    ("decode, B = 1", intensity(1, 4096), "o", "primary"),
    ("decode, B = 64, 4096 tokens", intensity(64, 4096), "o", "primary"),
    ("decode, B = 64, 512 tokens", intensity(64, 512), "D", "tertiary"),
    ("decode, B = 256, 512 tokens", intensity(256, 512), "D", "tertiary"),
    ("prefill, 512 tokens", 512, "s", "error"),
    ("prefill, 4096 tokens", 4096, "s", "error"),
]
for name, x, marker, color in work:
    y = min(peak, x * gpu.bandwidth_Bps / 1e12)
    ax.plot(x, y, marker, color=COLORS[color], markersize=10)
    place = {"xytext": (12, -10)}
    if x > ridge:
        place = {"xytext": (0, 14), "ha": "center"}
    elif x > 100:
        place = {"xytext": (-12, 2), "ha": "right"}
    ax.annotate(name, (x, y), textcoords="offset points", **place)
ax.text(0.7, 40, "bandwidth:\n3.35 TB/s", rotation=0)
ax.set_xticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1000", "10 000"])
ax.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
ax.set(
    xlabel="arithmetic intensity [FLOP/byte]",
    ylabel="attainable TFLOP/s",
    ylim=(1.5, 2500),
    xlim=(0.6, 20_000),
)
ax.set_title(f"Roofline of one {gpu.name}, 16-bit weights, {model.name}")
show(
    fig,
    f"Roofline on log axes: attainable arithmetic rises with intensity up to the ridge at "
    f"{ridge:.0f} FLOP per byte and is level beyond. Decode lies left of it, at "
    f"{work[0][1]:.0f} for one request and at {work[3][1]:.0f} for a batch of 256 with short contexts; "
    "prefill lies on the level part.",
    table={
        "work": [row[0] for row in work],
        "FLOP/byte": [row[1] for row in work],
        "attainable TFLOP/s": [min(peak, row[1] * gpu.bandwidth_Bps / 1e12) for row in work],
    },
)

# %%
hop_s = parallelism.ring_step_s(n_gpus)  # as NVIDIA's library reckons, see the source
link_Bps = gpu.link_Bps  # bytes/s one way of a GPU's links
print(f"tau = {1e6 * hop_s:.2f} us")


def all_reduce_s(message_bytes, gpus):
    """Ring all-reduce: a reduce-scatter and an all-gather of gpus - 1 hops each."""
    return 2 * (gpus - 1) * (hop_s + message_bytes / gpus / link_Bps)


print(f"{'B':>4} {'step, no communication':>23} {'all-reduces':>12} {'of it hops':>11}")
for batch in (1, 64, 256):
    message = batch * model.hidden * 2  # one 16-bit activation a sequence
    talk = 2 * model.n_layers * all_reduce_s(message, n_gpus)
    hops = 2 * model.n_layers * 2 * (n_gpus - 1) * hop_s
    step = decode(batch, 4096)["step_s"]
    print(f"{batch:>4} {1000 * step:>20.2f} ms {1000 * talk:>9.2f} ms {hops / talk:>11.0%}")

# %% [markdown]
# So the lower bound on a step of 2.6 leaves out a sizeable part, and it is *latency* of the links.
# Three placements follow. Keep tensor parallelism inside the node with the fast links. Where
# prefill and decode disturb each other, give them machines of their own (and move the cache,
# chapter 3). Where a model fits on fewer GPUs, more copies beat more splitting for throughput;
# splitting is for latency and for memory.
#
# > **Common mistake.** A roofline drawn with the sparse peak: with 1979 TFLOP/s the ridge moves to
# > twice its place. And buying FLOP/s for a decode-bound service: below the ridge they wait.
#
# **Check yourself.** A chip has 312 TFLOP/s and 2.039 TB/s. Where is its ridge, in FLOP/byte?

# %%
answer = None
check_yourself(
    answer,
    lambda: roofline.ridge_flop_per_byte(312e12, 2.039e12),
    "ridge in FLOP/byte",
    "Peak over bandwidth.",
    worked="312e12 / 2.039e12 = {right} FLOP a byte.",
)

# %% [markdown]
# ## 2.19 Arrivals, overload and retries
#
# **Question.** Two services have the same mean load and the same machine. One waits more than twice
# as long. What is different, and what happens when there is simply too much?
#
# $$\mathrm{IDC}(w) = \frac{\mathrm{Var}(\text{arrivals in } w)}
# {\mathrm{Mean}(\text{arrivals in } w)},
# \qquad W_q \approx \frac{\rho}{1 - \rho} \cdot \frac{c_a^2 + c_s^2}{2} \cdot E[S],
# \qquad \lambda' = \frac{\lambda}{1 - r}$$
#
# - IDC index of dispersion for counts over windows of $w$ seconds; $c_a^2$ squared coefficient of
#   variation of the gaps between arrivals; $r$ share of attempts that fail and are repeated.
#
# **Argument.** Poisson arrivals have index 1 at every window: that is the memoryless baseline, and
# what many independent users add up to. Batches of requests, timers and retries make it larger. For
# independent gaps the index tends to $c_a^2$ over long windows, which is what Kingman's formula
# takes.
#
# *Source: J. F. C. Kingman, The single server queue in heavy traffic, Mathematical Proceedings of
# the Cambridge Philosophical Society 57, 1961.*

# %%
rate, ca2, n = 50, 4, 200_000  # requests/s, bursty gaps, arrivals
p = (1 + math.sqrt((ca2 - 1) / (ca2 + 1))) / 2  # two kinds of gaps, each with half of the time
fast = rng.random(n) < p
gaps = {
    "Poisson": rng.exponential(1 / rate, n),
    "bursty": rng.exponential(1 / np.where(fast, 2 * p * rate, 2 * (1 - p) * rate)),
}
counts = {}
for name, gap in gaps.items():
    at = np.cumsum(gap)
    counts[name] = np.bincount(at.astype(int))[:-1]
    print(
        f"{name:<8} cs of gaps^2 {gap.var() / gap.mean() ** 2:.2f}, IDC(1 s) "
        f"{counts[name].var() / counts[name].mean():.2f}"
    )
for variability in (1, 4):
    wait = queueing.kingman_wait(0.8, 0.016, variability, 1)
    print(f"ca2 = {variability}, rho = 0.8: mean wait {1000 * wait:.0f} ms")

# %% jupyter={"source_hidden": true}
fig, panels = plt.subplots(2, 1, figsize=(10.5, 5.8), sharex=True, sharey=True)
for ax, (name, values), color in zip(panels, counts.items(), ("primary", "error"), strict=True):
    window = values[:180]
    ax.bar(np.arange(len(window)), window, width=1.0, color=COLORS[color])
    ax.axhline(rate / 0.8, color="black", linestyle="--", linewidth=1.4)
    over = 100 * float(np.mean(values > rate / 0.8))
    index = values.var() / values.mean()
    ax.set_title(
        f"{name}: index of dispersion {index:.1f}, over capacity in {over:.0f} % of seconds"
    )
    ax.set_ylabel("arrivals in 1 s")
panels[1].set(xlabel="time [s]", xlim=(-0.5, 179.5))
panels[0].text(179, rate / 0.8 + 10, "capacity at rho = 0.8", ha="right")
shares_over = {name: 100 * float(np.mean(values > rate / 0.8)) for name, values in counts.items()}
show(
    fig,
    "Arrivals in each of 180 seconds for a Poisson and a bursty stream of the same mean rate. The "
    f"Poisson one is above capacity in {shares_over['Poisson']:.0f} % of seconds, the bursty one "
    f"in {shares_over['bursty']:.0f} %.",
    table={
        "stream": list(counts),
        "mean [1/s]": [values.mean() for values in counts.values()],
        "IDC(1 s)": [values.var() / values.mean() for values in counts.values()],
        "over capacity [%]": [shares_over[name] for name in counts],
    },
)

# %% [markdown]
# **Too much.** While demand exceeds capacity the backlog grows at the difference; new replicas come
# late (1.8) and then have to serve the backlog on top. Shedding keeps the excess out. Retries do
# the opposite: they add to the load exactly when it is too high.

# %%
lam, mu, running, coming, reaction_s = 260, 40, 6, 9, 110  # requests/s, replicas, s: assumptions
backlog = (lam - running * mu) * reaction_s
drain_s = backlog / (coming * mu - lam)
print(f"backlog when the new replicas serve: {backlog:.0f} requests, gone {drain_s:.0f} s later")
print(f"or shed {1 - 0.9 * running * mu / lam:.0%} at the door and run at 90 % meanwhile")
for r in (0, 0.1, 0.2, 0.3):
    load = 0.75 * scheduling.retry_amplification(r)
    print(f"{r:.0%} fail and are retried: rho = {load:.2f}{'  overload' if load >= 1 else ''}")

# %% [markdown]
# > **Common mistake.** "Poisson traffic is bursty": its index is 1, and an index above 1 is what
# > deserves the word. "Latency grows exponentially with load": it grows like $1/(1-\rho)$, a
# > hyperbola. And retries at once and without a budget: a failure rate of 30 % turns a comfortable
# > 75 % into << fixed(100 * 0.75 * scheduling.retry_amplification(0.3), 0) >> %.
#
# **Check yourself.** At $\rho$ = 0.5 and $E[S]$ = 20 ms, with $c_a^2$ = 3 and $c_s^2$ = 1, what is
# Kingman's mean wait in ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1000 * queueing.kingman_wait(0.5, 0.020, 3, 1),
    "mean wait in ms",
    "Kingman: rho / (1 - rho), times the mean of ca2 and cs2, times the service time.",
    mistakes={
        "that is the time in the system": 60.0,
        "that leaves the halving out: (ca2 + cs2) / 2": 80.0,
        "that is M/M/1: the bursts are missing": 20.0,
    },
    worked="rho / (1 - rho) = 1, (3 + 1) / 2 = 2, times 20 ms: {right} ms.",
)

# %% [markdown]
# ## 2.20 An incident as a decision table
#
# **Question.** It is three in the morning and P99 has doubled. What do you do first?
#
# Detect, decide, roll back, learn: four times that add up to the time to repair,
#
# $$\mathrm{MTTR} = t_{detect} + t_{decide} + t_{act} + t_{verify}, \qquad
# \text{budget spent} = \frac{\text{share hit} \times \mathrm{MTTR}}{(1 - \mathrm{SLO}) \times
# \text{period}}$$
#
# | you see | look at | if so | do | undo when |
# |---|---|---|---|---|
# | errors up, a release in the last hour | error rate by version | new version higher | roll back | the interval of the difference holds 0 |
# | TTFT up, TPOT unchanged | queue length, $\rho$ | $\rho$ above plan | shed, add replicas | queue empty for 10 min |
# | TPOT up, TTFT unchanged | batch size, context length | batches or contexts longer | cap batch or context | mixture is back |
# | largest gap up, means unchanged | prompt lengths | long prompts | smaller chunks | – |
# | cost up, traffic unchanged | tokens per answer, cache hits | hits down | restore the prefix order | hits back |
# | quality down, all else well | drift (2.4), version digest | inputs moved | older version, larger model | evaluation passes |
#
# **Argument.** The table is written on a quiet afternoon because deciding is the longest of the
# four times. The order of its columns is the method: one observation, one discriminating
# measurement, one reversible action, and the condition under which it is undone.
#
# *Source: B. Beyer et al. (eds.), Site Reliability Engineering, 2016, chapter 14.*

# %%
runs = {  # assumptions: minutes to detect, decide, act, verify; share of users hit
    "no table, everybody hit": (12, 25, 8, 5, 1.0),
    "table, everybody hit": (12, 4, 8, 5, 1.0),
    "burn alert and table": (5, 4, 8, 5, 1.0),
    "canary with automatic rollback": (5, 0, 1, 5, 0.05),
}
allowed = reliability.downtime_minutes("0.999", 30)
print(f"{'way':<31} {'MTTR [min]':>10} {'of the budget':>14}")
for name, (*times, share) in runs.items():
    print(f"{name:<31} {sum(times):>10} {share * sum(times) / allowed:>14.0%}")

# %% [markdown]
# > **Common mistake.** Adding replicas first, whatever the symptom. They help a queue; against a
# > slow step, a bad release or a drift they only cost money. The other one is an action without a
# > condition for undoing it: the cap on context length that somebody finds a year later.
#
# **Check yourself.** An incident hits 10 % of users for 54 minutes. What share of the month's
# budget is spent at an SLO of 99.9 % over thirty days?

# %%
answer = None
check_yourself(
    answer,
    lambda: 0.10 * 54 / reliability.downtime_minutes("0.999", 30),
    "share of the budget",
    "Weigh the minutes by the share of users that was hit, then divide by the budget.",
    mistakes={
        "that counts all users as hit": lambda: 54 / reliability.downtime_minutes("0.999", 30),
        "that is in minutes": 5.4,
    },
    worked="10 % of 54 minutes are 5.4; the budget is 0.1 % of 43 200 minutes, 43.2: {right}.",
)

# %% [markdown]
# ## 2.21 What an answer costs
#
# **Question.** 1024 tokens in, 256 tokens out. What does this one answer cost, and which lever
# moves it?
#
# $$\text{cost per answer} = \frac{(s - s_{cached})\,c_{in} + n_{out}\,c_{out}}{10^6\,(1 - r)}$$
#
# - $c_{in}, c_{out}$ USD per million tokens of prefill and decode; $r$ share of answers that must
#   be repeated.
#
# **Argument.** Prefill and decode are bound by different things and have different prices. A retry
# repeats both. A prefix in the cache removes prompt tokens, but only on the replica that holds it:
# with $c$ replicas and random routing a returning user finds it with probability $1/c$. Routing by
# a hash of the prefix makes it 1, at the price of uneven load.
#
# *Source: own arithmetic on the lower bounds of 2.6; the rent of an hour is an assumption.*

# %%
hour_usd, batch, n_in, n_out = 3.0, 64, 1024, 256  # USD per GPU and hour: assumption
in_usd = cost.cost_per_million(hour_usd, 4096 / prefill_s(4096), n_gpus)
out_usd = cost.cost_per_million(hour_usd, batch / decode(batch, 4096)["step_s"], n_gpus)
answer_usd = cost.request_cost_usd(n_in, n_out, in_usd, out_usd)
print(f"prefill {in_usd:.3f}, decode {out_usd:.3f} USD per million tokens")
print(
    f"one answer: {1e6 * answer_usd:.0f} millionths of a USD, {1000 * answer_usd:.2f} USD per 1000"
)

# %% jupyter={"source_hidden": true}
cases = {
    "as it is": (n_in, n_out, batch, 0.0),
    "half the prompt cached": (n_in // 2, n_out, batch, 0.0),
    "answers half as long": (n_in, n_out // 2, batch, 0.0),
    "batch of 256": (n_in, n_out, 256, 0.0),
    "batch of 8": (n_in, n_out, 8, 0.0),
    "one answer in ten repeated": (n_in, n_out, batch, 0.1),
}
bars = []
for tokens_in, tokens_out, B, r in cases.values():
    each = cost.cost_per_million(hour_usd, B / decode(B, 4096)["step_s"], n_gpus)
    part_in = 1000 * cost.request_cost_usd(tokens_in, 0, in_usd, each) / (1 - r)
    part_out = 1000 * cost.request_cost_usd(0, tokens_out, in_usd, each) / (1 - r)
    bars.append((part_in, part_out))
fig, ax = plt.subplots(figsize=(10.5, 4.8))
for y, (part_in, part_out) in enumerate(reversed(bars)):
    ax.barh(y, part_in, color=COLORS["primary"], label=None if y else "prefill")
    ax.barh(
        y,
        part_out,
        left=part_in,
        color=COLORS["secondary"],
        hatch="//",
        label=None if y else "decode",
    )
    ax.text(part_in + part_out + 0.02, y, f"{part_in + part_out:.2f}", va="center")
ax.set_yticks(range(len(bars)), list(cases)[::-1])
ax.set(xlabel="USD per 1000 answers", xlim=(0, 1.9))
ax.grid(axis="y", visible=False)
ax.set_title("1024 tokens in, 256 out: what moves the bill")
ax.legend(loc="lower right")
show(
    fig,
    "Cost of 1000 answers, split into prefill and decode, for six cases. The size of the batch "
    "moves it most; caching half of the prompt and halving the answer each save about a quarter.",
    table={
        "case": list(cases),
        "prefill [USD]": [bar[0] for bar in bars],
        "decode [USD]": [bar[1] for bar in bars],
    },
)

# %% [markdown]
# > **Common mistake.** One price per token for both directions, or the price of a full batch on a
# > service that runs at a tenth of it. The batch that counts is the one that your traffic fills, at
# > three in the morning too.
#
# **Check yourself.** 2000 tokens in at 0.25, 500 out at 0.90 USD per million, every fifth answer is
# repeated ($r$ = 0.2). Cost of an answer in USD?

# %%
answer = None
check_yourself(
    answer,
    lambda: cost.request_cost_usd(2000, 500, "0.25", "0.90") / (1 - 0.2),
    "USD per answer",
    "Price it once, then divide by 1 - r.",
    mistakes={
        "that is an answer nobody repeats": lambda: cost.request_cost_usd(
            2000, 500, "0.25", "0.90"
        ),
        "that repeats each answer once: repeats are repeated too, 1/(1 - r)": lambda: (
            1.2 * cost.request_cost_usd(2000, 500, "0.25", "0.90")
        ),
    },
    worked="2000 * 0.25 / 1e6 + 500 * 0.90 / 1e6 = 0.00095 USD, over 1 - 0.2: {right} USD.",
)

# %% [markdown]
# ## 2.22 Ten common mistakes
#
# Each of these was seen in public notes, labs and dashboards; each has a number.
#
# > **Common mistake 1.** *"Better mean, so promote."* If nothing changed, the mean is better in
# > half of all trials: the gate is the low end of an interval, and two limits (2.1).
# >
# > **Common mistake 2.** *"Larger batches are always slower", or "always faster".* At 100
# > requests/s << fixed(batching.batch_latency(7, 0.1, 50, 0.5), 0) >> ms at $B$ = 7 against
# > << fixed(batching.batch_latency(32, 0.1, 50, 0.5), 0) >> ms at 32; below
# > << batching.min_stable_batch('0.1', 50, '0.5') >> nothing is stable (2.3).
# >
# > **Common mistake 3.** *"The schema is the contract."* 6144 tokens of prompt and 2049 of answer
# > are each within bounds and together << 6144 + 2049 - 8192 >> too many for a context of 8192
# > (2.4).
# >
# > **Common mistake 4.** *"2 % errors: wake somebody."* Burn
# > << num(reliability.burn_rate(2, 100, "0.999"), 2) >> at 99.9 %,
# > << num(reliability.burn_rate(2, 100, "0.95"), 2) >> at 95 % (2.5).
# >
# > **Common mistake 5.** *"P99 is rare."* For a page of 100 calls
# > << fixed(100 * latency.fanout_tail(0.01, 100), 1) >> % meet it (2.7).
# >
# > **Common mistake 6.** *"Continuous batching doubles speed."* Not of a single batch; static slots
# > are in use to << fixed(100 * slots.slot_efficiency(8), 0) >> % at 8 slots and
# > << fixed(100 * slots.slot_efficiency(64), 0) >> % at 64 (2.8).
# >
# > **Common mistake 7.** *"Utilisation is the chance of waiting."* At 83 % on four replicas it is
# > << fixed(100 * queueing.erlang_c(4, 10 / 3), 0) >> % (2.9).
# >
# > **Common mistake 8.** *"No significant difference, so it is safe."* To see 1.2 % against 1.0 %
# > takes << num(experiments.two_proportion_sample_size(0.010, 0.012), 6) >> requests in each arm
# > (2.13).
# >
# > **Common mistake 9.** *"Four bits, four times as fast."* Only while reading weights binds: the
# > ridge moves from << fixed(roofline.critical_batch(989.4e12, 3.35e12, 2), 0) >> to
# > << fixed(roofline.critical_batch(989.4e12, 3.35e12, "0.5" | float), 0) >> sequences (2.16).
# >
# > **Common mistake 10.** *"Retry until it works."* A failure rate of 30 % raises the load by
# > << fixed(100 * scheduling.retry_amplification(0.3) - 100, 0) >> % (2.19).
#
# *Source: the sections named.*
#
# **Check yourself.** With $\rho$ = 0.8 and no retry budget, at which failure rate $r$ does the
# service tip over?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1 - 0.8,
    "failure rate that tips it over",
    "Repeats make the load 1 / (1 - r) times as large: when is the server full?",
    mistakes={
        "that is the utilisation": 0.8,
        "that is 1/0.8 - 1, as if each failure were tried once more": 0.25,
    },
    worked="Each request is tried 1/(1 - r) times: 0.8 / (1 - r) = 1 at r = {right}.",
)

# %% [markdown]
# ## Looking back
#
# Every section of this chapter had the same skeleton. There was an objective that is easy to
# optimise (a mean, a throughput, a price per token) and a constraint that decides what the gain is
# worth (a tail, a ridge, a budget, a share of slots in use). And each ended in an action that a
# system can take by itself, because its condition is a number: promote or not, admit or refuse,
# roll back, refill, scale, shed.
#
# Chapter 3 takes the one resource that bounds all of it on a language model, the memory for keys
# and values, and chapter 4 the queue in front of it.
