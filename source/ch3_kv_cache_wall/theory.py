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
# # Chapter 3 · The KV-cache memory wall
#
# Eight H100 hold 640 GB. Llama-3-70B takes 141 GB of it before anybody has said a word. What is
# left must hold the keys and values of every token of every conversation, and one day the next
# user does not fit. Long before that day, the bandwidth of the same memory decides how fast
# everybody gets their tokens. This chapter derives both limits from the shape of the model and two
# numbers on a data sheet, and then spends the rest of its time pushing them back.
#
# **After this chapter you can**
#
# - say how many bytes a token, a user and a batch take, for any published model;
# - find how many GPUs a model needs and how many users fit beside it, in units you can defend;
# - predict prefill time, time per token and throughput, and name what bounds each;
# - choose a batch for a latency target, and see when memory and when the clock is the limit;
# - tell what paging, continuous batching, chunked prefill and speculation buy, and when nothing;
# - split a model over GPUs, and decide whether to move a cache or to compute it again.
#
# ## Map
#
# | sections | subject | the question behind it |
# |---|---|---|
# | 3.1 | two phases | why does one GPU run at two speeds? |
# | 3.2–3.7 | memory | how many users fit, and who takes their place? |
# | 3.8–3.9 | time | how soon is the first token, how fast are the others? |
# | 3.10–3.12 | serving | what do load, batching and speculation do to both? |
# | 3.13–3.14 | machines and money | how do we split it, and what does a token cost? |
#
# ## How to read
#
# As in chapter 1: a question, a formula with units, the argument, the numbers computed in front of
# you, the common mistake, a question to check yourself. Replace `answer = None`, run the cell;
# three significant digits are enough. The code of the pictures is folded away, and below each
# picture its numbers stand in a table. Nothing here is graded.
#
# ## Symbols
#
# << symbols("N", "layers", "heads", "d_attn", "b", "k", "weights", "seq", "B", "X", "n", "memory",
#     "F", "BW", "lam", "rho", "alpha_gamma") >>
#
# Four letters stand for what only this chapter needs: $r$, the share of a GPU's memory that is kept
# free; $u$, the share of the peak that prefill reaches; $p$, the tokens of a page; and $A$, the
# arithmetic of a prefill in FLOP. In section 3.12, as in the papers on the subject, $c$ is the cost
# of a draft step. All symbols of the course stand in [one table](../../docs/symbols.md), its terms
# in a [glossary](../../docs/glossary.md).
#
# A multiply-add is 2 FLOP, peaks are dense, GB is $10^9$ and GiB $2^{30}$ bytes. Unless said
# otherwise the example is Llama-3-70B in 16 bits on eight H100 SXM. Times come from a roofline
# model: they are what the hardware *permits*, without kernel launches, scheduling and, where not
# mentioned, communication. Real servers are slower, and their curves have the same shape.

# %%
import math

import numpy as np

from servemath_helpers import (
    closedloop,
    cost,
    deployment,
    facts,
    memory,
    parallelism,
    published,
    quantities,
    queueing,
    roofline,
    sim,
    slots,
    speculative,
    transfer,
)
from servemath_helpers.notebook import COLORS, check_yourself, plt, rng, show

model = facts.get_model("Llama-3-70B")
gpu = facts.get_accelerator("H100-SXM")
n = 8  # GPUs
weights = model.weight_bytes()  # bytes, 16 bits a parameter
k = model.kv_bytes_per_token()  # bytes, 16 bits an element


def step(batch, seq, k=k):
    """One decode step on the node: time, bound, MFU and MBU."""
    speeds = (n, gpu.bandwidth_Bps, gpu.bf16_dense_flops)
    return roofline.decode_step_s(batch, seq, model.n_params, weights, k, *speeds)


def prefill_s(seq, mfu=0.5):
    """Prefill time of one prompt on the node."""
    shape = (model.n_params, seq, model.n_layers, model.d_attn)
    return roofline.prefill_time_s(*shape, n, gpu.bf16_dense_flops, mfu)


print(f"{model.name}: {model.n_params / 1e9:.1f} billion parameters, {weights / 1e9:.1f} GB")
print(f"{gpu.name}: {gpu.memory_gb} GB, {gpu.bandwidth_Bps / 1e12} TB/s,", end=" ")
print(f"{gpu.bf16_dense_flops / 1e12} TFLOP/s dense")

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set shape = (m.n_layers, m.d_attn, 8, g.bf16_dense_flops) -%>>
# <<% set node = (m.n_params, m.weight_bytes(), m.kv_bytes_per_token(), 8,
#     g.bandwidth_Bps, g.bf16_dense_flops) -%>>
# ## 3.1 Two phases
#
# **Question.** The same GPUs read four thousand tokens of a prompt in
# << fixed(1000 * roofline.prefill_time_s(m.n_params, 4096, *shape), 0) >> ms and then need
# << fixed(1000 * roofline.decode_step_s(1, 4096, *node)["step_s"], 0) >> ms for each token of the
# answer. Why is a token of the answer so much dearer than one of the prompt?
#
# $$I = \frac{\text{arithmetic}}{\text{bytes read}} \ [\mathrm{FLOP/B}], \qquad
# I_{prefill} \approx \frac{2 N s}{N b} = \frac{2 s}{b}, \qquad
# I_{decode} \approx \frac{2 N B}{N b} = \frac{2 B}{b}, \qquad
# I^* = \frac{F}{\mathrm{BW}}$$
#
# **Argument.** Every parameter that is read can be used for as many tokens as are there at that
# moment. Prefill has the whole prompt at hand, $s$ tokens; decode has the *next* token of each of
# the $B$ sequences and must finish the step before it knows the one after. A chip can multiply
# $I^*$ FLOP in the time in which it reads one byte (its *ridge*). Below the ridge the
# arithmetic waits for the memory, above it the memory for the arithmetic.

# %%
ridge = gpu.ridge_flop_per_byte
print(f"ridge of the {gpu.name}: {ridge:.0f} FLOP/B")
print(f"{'phase':<22} {'tokens at hand':>14} {'FLOP/B':>7}  bound by")
for phase, tokens in [("prefill, s = 4096", 4096), ("decode, B = 1", 1), ("decode, B = 64", 64)]:
    intensity = 2 * tokens / 2  # 2 FLOP a parameter and token, 2 bytes a parameter
    bound = "arithmetic" if intensity > ridge else "memory"
    print(f"{phase:<22} {tokens:>14} {intensity:>7.0f}  {bound}")

# %% [markdown]
# A larger batch moves decode to the right. But each sequence brings its own cache, which is read
# for it alone, so the intensity of the whole step has a ceiling:
#
# $$I_{step} = \frac{2 N B}{W_b + B s k} \;<\; \frac{2 N}{s k}$$

# %% jupyter={"source_hidden": true}
intensity_axis = np.logspace(-0.3, 4, 200)
roof = np.minimum(intensity_axis * n * gpu.bandwidth_Bps, n * gpu.bf16_dense_flops) / 1e15
contexts = [(512, "o-", "tertiary"), (4096, "s-", "primary"), (32_768, "^-", "error")]
batch_marks = [1, 4, 16, 64, 256]


def roof_point(batch, seq):
    """Intensity [FLOP/B] and arithmetic [PFLOP/s] of a decode step."""
    flop = 2 * model.n_params * batch
    return flop / (weights + batch * seq * k), flop / step(batch, seq)["step_s"] / 1e15


fig, ax = plt.subplots(figsize=(10, 6))
ax.loglog(intensity_axis, roof, color="black", linewidth=1.6)
ax.text(20, 0.36, "memory roof", rotation=40, ha="left", va="center", rotation_mode="anchor")
ax.text(420, 9, "arithmetic roof", ha="left", va="bottom")
ax.axvline(ridge, color=COLORS["neutral"], linestyle=":", linewidth=1.6)
ax.text(ridge * 0.92, 0.021, f"ridge {ridge:.0f}", rotation=90, ha="right", va="bottom")
for seq, style, color in contexts:
    fits = memory.max_users(n, gpu.memory_bytes, weights, k, seq)
    marks = sorted({min(B, fits) for B in batch_marks})
    points = [roof_point(B, seq) for B in marks]
    x, y = zip(*points, strict=True)
    ax.loglog(x, y, style, color=COLORS[color], markersize=8, label=f"decode, s = {seq}")
    if seq == 512:
        for B, at in zip(marks, points, strict=True):
            ax.annotate(f"B = {B}", at, xytext=(-8, 6), textcoords="offset points", ha="right")
    else:
        ceiling = 2 * model.n_params / (seq * k)
        note = f"s = {seq}, B = {marks[-1]}; never\nbeyond {ceiling:.0f} FLOP/B"
        lines = {"arrowstyle": "-", "color": "black", "linewidth": 1}
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        place = {"xytext": (x[-1] * 1.6, y[-1] * 0.35), "va": "top", "bbox": white, "zorder": 5}
        ax.annotate(note, points[-1], arrowprops=lines, **place)
flop = roofline.prefill_flops(model.n_params, 4096, model.n_layers, model.d_attn)
at = (flop / (weights + 4096 * k), flop / prefill_s(4096) / 1e15)
ax.plot(*at, "D", color=COLORS["secondary"], markersize=11, label="prefill, s = 4096, MFU 0.5")
ax.set(xlabel="arithmetic intensity [FLOP per byte read]", ylabel="arithmetic done [PFLOP/s]")
ax.set(xlim=(0.5, 10_000), ylim=(0.018, 13))
ax.set_title(f"{model.name} on {n} x {gpu.name}: one model, two machines")
ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.03))
ceiling = 2 * model.n_params / (4096 * k)
show(
    fig,
    f"Roofline chart. Prefill lies far right of the ridge at {ridge:.0f} FLOP/B, decode left of it; "
    f"larger batches move decode up and to the right along the memory roof, until the cache stops "
    f"it: at 4096 tokens of context it can never pass {ceiling:.0f} FLOP/B.",
    table={
        "batch": batch_marks,
        **{
            f"FLOP/B at s = {seq}": [
                roof_point(B, seq)[0]
                if memory.max_users(n, gpu.memory_bytes, weights, k, seq) >= B
                else "does not fit"
                for B in batch_marks
            ]
            for seq, *_ in contexts
        },
        "PFLOP/s at s = 4096": [roof_point(B, 4096)[1] for B in batch_marks],
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# <<% set node = (m.n_params, m.weight_bytes(), m.kv_bytes_per_token(), 8,
#     g.bandwidth_Bps, g.bf16_dense_flops) -%>>
# At 4096 tokens of context the ceiling is << fixed(2 * m.n_params / (4096 * k), 0) >> FLOP/B, far
# below the ridge: no batch makes this decode use the arithmetic it was sold with. Long contexts
# stop even earlier. The two phases want different machines, and section 3.13 will give them some.
#
# > **Common mistake.** Reading "GPU utilisation 100 %" as "compute-bound". The monitor says that
# > some kernel was running. With one user the node above uses
# > << num(100 * roofline.decode_step_s(1, 4096, *node)["mfu"], 2) >> % of its arithmetic (MFU) and
# > all of its bandwidth (MBU): it is busy *reading*.
#
# *Source: S. Williams, A. Waterman and D. Patterson, Roofline: an insightful visual performance
# model for multicore architectures, Communications of the ACM 52(4), 2009; R. Pope et al.,
# Efficiently Scaling Transformer Inference, 2023, arXiv:2211.05102.*
#
# **Check yourself.** Weights of 8 bits, arithmetic in 16, short contexts: how many FLOP per byte
# does decode do at a batch of 16?

# %%
answer = None
check_yourself(
    answer,
    lambda: 2 * 16 / 1,
    "FLOP per byte",
    "2 B / b: two operations for each sequence, over the bytes of a parameter.",
    mistakes={"a parameter is one byte here, and a multiply-add two operations": 16.0},
    worked="2 B FLOP for each parameter of one byte: 2 * 16 / 1 = {right}.",
)

# %% [markdown]
# ## 3.2 KV bytes
#
# **Question.** What does one more token cost us in memory?
#
# $$k = 2 \, n_l \, n_{kv} \, d_h \, b \qquad [\mathrm{bytes/token}], \qquad
# \text{a sequence takes } k s$$
#
# **Argument.** To compute the next token, attention compares its query with the *keys* of all
# earlier tokens and averages their *values*. In a causal model a token's key and value depend on
# what stands before it and never change again. So one stores them, instead of putting the whole
# text through the model for every new token: two vectors of $d_h$ elements for each of $n_{kv}$
# heads, in each of $n_l$ layers. The query is used once and forgotten.
#
# With *grouped-query attention* several query heads share one key/value head, so $n_{kv}$ is a
# fraction of the number of heads that one reads first in a model card.

# %%
shape_names = f"{'n_l':>4} {'heads':>6} {'KV heads':>9} {'d_h':>4}"
print(f"{'model':<16} {shape_names} {'k [B]':>10} {'4096 tokens':>12}")
for name in ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B", "Llama-2-13B", "GPT-3-175B"):
    m = facts.get_model(name)
    per_token = memory.kv_bytes_per_token(m.n_layers, m.n_kv_heads, m.head_dim)
    size = memory.kv_cache_size(4096, 1, per_token)
    shape = f"{m.n_layers:>4} {m.n_heads:>6} {m.n_kv_heads:>9} {m.head_dim:>4}"
    print(f"{name:<16} {shape} {per_token:>10,} {size['gib']:>8.3f} GiB")

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set q = facts.get_model("Llama-3.1-405B") -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# <<% set K = m.as_mha().kv_bytes_per_token() -%>>
# Old models had fewer parameters and larger caches: GPT-3 keeps
# << num(facts.get_model("GPT-3-175B").kv_bytes_per_token() / q.kv_bytes_per_token(), 3) >>
# times as much for a token as the 405B.
#
# > **Common mistake.** Counting query heads. With all 64 heads of the 70B a user of 4096 tokens
# > would take << num(memory.kv_cache_size(4096, 1, K)["gib"], 3) >> GiB instead of
# > << num(memory.kv_cache_size(4096, 1, k)["gib"], 3) >> GiB. One factor 2 dropped, of
# > keys *and* values, and GiB called GB make << fixed(memory.kv_cache_size(4096, 1, K)["gib"] / 2, 1) >>
# > GB of it; one factor 2 too many << fixed(2 * memory.kv_cache_size(4096, 1, K)["gb"], 0) >>. Write the product down, one factor a line.
#
# *Source: J. Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models from
# Multi-Head Checkpoints, 2023, arXiv:2305.13245. Shapes: the models' published configurations.*
#
# **Check yourself.** 28 layers, 4 key/value heads of 128 elements, 16 bits. How many bytes does a
# token take?

# %%
answer = None
check_yourself(
    answer,
    lambda: memory.kv_bytes_per_token(28, 4, 128),
    "bytes per token",
    "A key and a value, in each layer, for each key/value head, and count in bytes.",
    mistakes={
        "that is K or V alone, or one byte an element": 28 * 4 * 128 * 2,
        "that is for one layer": 2 * 4 * 128 * 2,
    },
    worked="2 (K and V) * 28 layers * 4 heads * 128 * 2 bytes = {right}.",
)

# %% [markdown]
# ## 3.3 GB or GiB
#
# **Question.** Three engineers compute how many users fit, with the same formula, and come back
# with three numbers. Who is wrong?
#
# $$1\ \mathrm{GiB} = 2^{30}\ \mathrm{B}
# = << fixed(quantities.bytes_to_gb(quantities.GIB), 4) >>\ \mathrm{GB}$$
#
# **Argument.** Nobody needs to be. "80 GB" on a card can be read as $80 \cdot 10^9$ bytes (the
# label, to the letter), as 80 GiB (what engineers of memory chips mean), or as what a program may
# use after a reserve. Each is a convention; the error is to use one for the card and another for
# the cache. Bytes have no such problem: convert once, on the way in, and once, on the way out.

# %%
mha = model.as_mha().kv_bytes_per_token()
one_gib = quantities.GIB
conventions = [
    ("label, 80e9 bytes", gpu.memory_bytes, "0"),
    ("80 GiB", 80 * one_gib, "0"),
    ("what the driver reports", gpu.reported_memory_bytes, "0"),
    ("label, 10 % kept free", gpu.memory_bytes, "0.1"),
]
print(f"{'convention for one card':<26} {'GB':>6} {'GiB':>6} {'users':>6} {'if it were MHA':>15}")
for name, card, reserve in conventions:
    users = [memory.max_users(n, card, weights, each, 4096, reserve) for each in (k, mha)]
    print(f"{name:<26} {card / 1e9:>6.2f} {card / one_gib:>6.2f} {users[0]:>6} {users[1]:>15}")

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# <<% set K = m.as_mha().kv_bytes_per_token() -%>>
# <<% set most = memory.max_users(8, 80 * quantities.GIB, W, k, 4096) -%>>
# <<% set least = memory.max_users(8, g.memory_bytes, W, k, 4096, "0.1") -%>>
# The largest count is << num(100 * (most / least - 1), 2) >> % above the smallest, with nothing
# changed but the reading of one number. In this course a card of 80 GB has
# $80 \cdot 10^9$ bytes, and a reserve is named as such.
#
# > **Common mistake.** Mixing: cache in GiB, card in GB. As multi-head attention a user would take
# > exactly << num(memory.kv_cache_size(4096, 1, K)["gib"], 4) >> GiB, and dividing
# > << fixed(memory.kv_pool_bytes(8, g.memory_bytes, W) / 10**9, 0) >> GB by that "10" gives
# > << (memory.kv_pool_bytes(8, g.memory_bytes, W) / 10**9 / 10) | int >> users instead of
# > << memory.max_users(8, g.memory_bytes, W, K, 4096) >>. With the weights forgotten as well it
# > becomes << (640 / 10) | int >>.
#
# *Source: IEC 80000-13 for the binary prefixes; the driver's figure is the total that the vendor's
# monitoring tool prints for the card.*
#
# **Check yourself.** How many GB is a cache of 2.5 GiB?

# %%
answer = None
check_yourself(
    answer,
    lambda: quantities.bytes_to_gb(quantities.gib_to_bytes("2.5")),
    "GB",
    "Go from GiB to bytes, then from bytes to GB.",
    mistakes={
        "that divides where it should multiply": 2.5 / 1.073741824,
        "that is GiB called GB": 2.5,
    },
    worked="2.5 * 2**30 / 10**9 = {right} GB.",
)

# %% [markdown]
# ## 3.4 Weights and minimum GPUs
#
# **Question.** Before the first user: how many cards does the model itself need?
#
# $$W_b = \left\lceil \frac{N \cdot \text{bits}}{8} \right\rceil \ [\mathrm{bytes}], \qquad
# n_{min} = \left\lceil \frac{W_b}{M (1 - r)} \right\rceil$$
#
# **Argument.** Weights are stored once and cut over the cards. Fewer bits a parameter shrink them
# in proportion. They do not shrink the cache, which has bits of its own, nor the arithmetic if the
# numbers are expanded before they are multiplied. The ceiling is exact; what holds the weights
# to the last byte has no room for a user.

# %%
card = gpu.memory_bytes
print(f"{'model':<16} {'bits':>4} {'weights [GB]':>13} {'cards':>6} {'users of 4096 on those':>23}")
for name, widths in [
    ("Llama-3-8B", (16,)),
    ("Llama-3-70B", (16, 8, 4)),
    ("Llama-3.1-405B", (16, 8)),
]:
    m = facts.get_model(name)
    for bits in widths:
        cards = memory.min_gpus(m.n_params, bits, card)
        fits = memory.max_users(cards, card, m.weight_bytes(bits), m.kv_bytes_per_token(), 4096)
        gigabytes = m.weight_bytes(bits) / 1e9
        print(f"{name:<16} {bits:>4} {gigabytes:>13.1f} {cards:>6} {fits:>23}")

# %% [markdown]
# The last column is the point. The minimum is where the model *loads*; whether it is worth serving
# from there is another question.

# %% jupyter={"source_hidden": true}
counts, usable = [1, 2, 4, 8], card / 1e9
share = [weights / cards / 1e9 for cards in counts]
left = [max(0.0, usable - s) for s in share]
over = [max(0.0, s - usable) for s in share]
users_on = [memory.max_users(cards, card, weights, k, 4096) for cards in counts]

fig, ax = plt.subplots(figsize=(10, 5.4))
places = np.arange(len(counts))
inside = [min(s, usable) for s in share]
ax.bar(places, inside, 0.6, color=COLORS["primary"], label="weights")
ax.bar(
    places, left, 0.6, bottom=inside, color=COLORS["secondary"], hatch="//", label="room for caches"
)
ax.bar(places, over, 0.6, bottom=usable, color=COLORS["error"], hatch="xx", label="does not fit")
ax.axhline(usable, color="black", linewidth=1.6, linestyle="--")
ax.text(0.5, usable + 2, f"{gpu.memory_gb} GB", ha="center")
for x, s, room, users in zip(places, share, left, users_on, strict=True):
    ax.text(x, min(s, usable) / 2, f"{s:.1f} GB", ha="center", va="center", color="white")
    if room > 12:
        label = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
        ax.text(x, s + room / 2, f"{room:.1f} GB", ha="center", va="center", bbox=label)
    top = max(s, usable) + 8
    ax.text(x, top, f"{users} users in all", ha="center", va="bottom", weight="bold")
ax.set(xticks=places, xticklabels=[f"{cards} GPU{'s' * (cards > 1)}" for cards in counts])
ax.set(ylabel="memory of one GPU [GB]", ylim=(0, 172), xlim=(-0.5, 3.5))
ax.grid(axis="x", visible=False)
ax.set_title(f"{model.name} in 16 bits: what one card holds, and users of 4096 tokens")
ax.legend(loc="upper right")
show(
    fig,
    "Stacked bars of the memory of one GPU for 1, 2, 4 and 8 GPUs. On one the weights do not fit; "
    f"on two they leave {left[1]:.1f} GB, on eight {left[3]:.1f} GB of each card. Users in all: "
    f"{', '.join(map(str, users_on))}.",
    table={
        "GPUs": counts,
        "weights a GPU [GB]": share,
        "room a GPU [GB]": left,
        "users of 4096 tokens": users_on,
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set q = facts.get_model("Llama-3.1-405B") -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# > **Common mistake.** "The 405B fits on a node of eight." In 16 bits it takes
# > << fixed(q.weight_bytes() / 10**9, 1) >> GB, more than the 640 GB of the node:
# > << memory.min_gpus(q.n_params, 16, g.memory_bytes) >> cards, in practice two nodes. In 8 bits
# > << memory.min_gpus(q.n_params, 8, g.memory_bytes) >> would hold it. And "the 70B fits on one
# > card in 8 bits" is true for the weights; beside them is room for
# > << memory.max_users(1, g.memory_bytes, m.n_params, k, 4096) >> users of 4096 tokens.
#
# *Source: elementary; parameter counts are computed from the published shapes.*
#
# **Check yourself.** How many cards of 48 GB hold the weights of a model of 123 billion parameters
# in 8 bits, if a tenth of each card is kept free?

# %%
answer = None
check_yourself(
    answer,
    lambda: memory.min_gpus(123 * 10**9, 8, 48 * 10**9, "0.1"),
    "cards",
    "The weights over what may be used of one card, rounded up.",
    mistakes={"a part of a card is a card": 2},
    worked="48 * 0.9 = 43.2 GB a card; 123 / 43.2, rounded up: {right}.",
)

# %% [markdown]
# ## 3.5 The wall
#
# **Question.** "How many concurrent users? Give me a number."
#
# $$U = \left\lfloor \frac{n M (1 - r) - W_b}{k s} \right\rfloor, \text{ and never below } 0$$
#
# **Argument.** The memories of the cards add up, because cache and weights are cut over all of
# them (section 3.13 has the fine print). Weights and reserve are paid once. What is left is
# divided by what one user takes at full length. The answer is a hyperbola in $s$: on double
# logarithmic paper a straight line that falls by half when the context doubles.

# %%
print("users of 4096 tokens:", end=" ")
print(", ".join(f"{c} GPUs {memory.max_users(c, card, weights, k, 4096)}" for c in (1, 2, 4, 8)))
print("users on eight GPUs :", end=" ")
spans = (4096, 8192, 32_768, 131_072)
print(", ".join(f"{seq} tokens {memory.max_users(n, card, weights, k, seq)}" for seq in spans))

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# <<% set eight = memory.max_users(8, g.memory_bytes, W, k, 4096) -%>>
# <<% set four = memory.max_users(4, g.memory_bytes, W, k, 4096) -%>>
# Two readings. Twice the cards hold far more than twice the users, since the weights are paid
# already: from four to eight it is a factor of
# << num(eight / four, 2) >>.
# And the context counts as much as the number of users: tokens in flight, $B \cdot s$, are what
# fills the memory, and the only factor that changes from one request to the next. (The first Llama 3
# was trained for 8192 tokens; Llama 3.1 has the same shape, hence the same bytes, and goes on to
# 131 072.)

# %% jupyter={"source_hidden": true}
context_axis = np.unique(np.round(np.logspace(9, 17, 161, base=2)).astype(int))
walls = [
    ("Llama-3-8B", "tertiary", "-"),
    ("Llama-2-13B", "highlight", "-."),
    ("Llama-3-70B", "primary", "-"),
    ("GPT-3-175B", "error", ":"),
]


def users_of(m, seq):
    """Users of a model on the node."""
    return memory.max_users(n, card, m.weight_bytes(), m.kv_bytes_per_token(), int(seq))


fig, ax = plt.subplots(figsize=(10, 6.4))
for name, color, style in walls:
    m = facts.get_model(name)
    curve = np.array([users_of(m, seq) for seq in context_axis], dtype=float)
    curve[curve < 1] = np.nan
    ax.loglog(context_axis, curve, style, color=COLORS[color], label=name)
as_if = model.as_mha()
curve = np.array([users_of(as_if, seq) for seq in context_axis], dtype=float)
curve[curve < 1] = np.nan
ax.loglog(context_axis, curve, "--", color=COLORS["neutral"], label="Llama-3-70B if it were MHA")
for seq in (4096, 32_768):
    users = users_of(model, seq)
    ax.plot(seq, users, "o", color=COLORS["primary"], markersize=9)
    ax.annotate(f"{users} users", (seq, users), xytext=(8, 7), textcoords="offset points")
ax.fill_between(context_axis, 0.8, 10, color=COLORS["error"], alpha=0.08, linewidth=0)
ax.text(560, 1.1, "fewer than ten users", va="bottom")
ax.set_xticks([512, 2048, 8192, 32_768, 131_072], ["512", "2048", "8192", "32 768", "131 072"])
ax.set_yticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1000", "10 000"])
ax.minorticks_off()
ax.set(xlabel="context of each user [tokens]", ylabel="users that fit", ylim=(0.8, 20_000))
ax.set_title(f"The wall: {n} x {gpu.name}, weights and caches in 16 bits")
ax.legend(loc="upper right")
show(
    fig,
    "Log-log chart of users against context. Each model is a straight line of slope -1, "
    "until few users are left and it turns into steps. "
    f"Llama-3-70B holds {users_of(model, 4096)} users of 4096 tokens and "
    f"{users_of(model, 32_768)} of 32,768; as multi-head attention it would hold an eighth.",
    table={
        "context": spans,
        **{name: [users_of(facts.get_model(name), seq) for seq in spans] for name, *_ in walls},
        "70B if MHA": [users_of(as_if, seq) for seq in spans],
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# <<% set K = m.as_mha().kv_bytes_per_token() -%>>
# $U$ is a stock; Little's law makes a flow of it. If an answer keeps its cache for 20 s, at most
# $U / 20$ requests a second can be admitted:
# << num(queueing.littles_law(L=memory.max_users(8, g.memory_bytes, W, k, 4096), W=20), 3) >>.
#
# > **Common mistake.** Dividing the whole memory, with the weights still in it; taking the weights
# > off each card instead of once; or mixing units (section 3.3). For this node 500 GB over
# > "10 GB" a user (the wrong heads, mixed units) make << fixed((640 - 141) / 10, 0) >>, and the wrong
# > heads with 8192 tokens << memory.max_users(8, g.memory_bytes, W, K, 8192) >>. With all inputs named there is one for 4096 tokens:
# > << memory.max_users(8, g.memory_bytes, W, k, 4096) >>.
#
# *Source: elementary. The interactive lab of this chapter lets you move every factor.*
#
# **Check yourself.** How many users of 8192 tokens does the 70B hold on four of these cards?

# %%
answer = None
check_yourself(
    answer,
    lambda: memory.max_users(4, gpu.memory_bytes, weights, k, 8192),
    "users",
    "What the weights leave of all cards, over the cache of one user, rounded down.",
    mistakes={"the weights are missing": lambda: int(4 * gpu.memory_bytes // (k * 8192))},
    worked="(4 * 80e9 - W_b) / (k * 8192), rounded down: {right}.",
)

# %% [markdown]
# ## 3.6 Reducing k
#
# **Question.** No budget for more cards. Which factor of $k = 2 n_l n_{kv} d_h b$ can still be
# attacked, and what does it cost us?
#
# | technique | what changes | cache of a token | price |
# |---|---|---|---|
# | grouped queries (GQA) | $G$ query heads share a key/value head | $\div\, G$ | trained in |
# | one head (MQA) | $n_{kv} = 1$ | $\div$ heads | quality; copies under TP (3.13) |
# | latent attention (MLA) | one latent of $r_c$ and a rotary key of $d_R$ elements a layer | $n_l (r_c + d_R) b$ | trained in; arithmetic to expand it |
# | 8-bit or 4-bit cache | $b = 1$ or $\tfrac12$ | $\div\, 2$ or $4$ | error on long contexts: measure |
# | local layers | $f$ of $n_l$ layers keep only a window of $w$ tokens | below | long memory in few layers |
#
# **Argument.** All of these divide $k$, and users are inversely proportional to $k$. The windowed
# layers are different: they do not make a token smaller, they *forget* it. A sequence then holds
#
# $$\frac{k}{n_l} \bigl( (n_l - f)\, s + f \min(s, w) \bigr) \quad [\mathrm{bytes}].$$

# %%
v3, gemma = facts.get_model("DeepSeek-V3"), facts.get_model("Gemma-2-2B")
latent = memory.mla_kv_bytes_per_token(v3.n_layers, v3.kv_lora_rank, v3.rope_head_dim)
print(f"{v3.name}: {v3.n_layers} layers x ({v3.kv_lora_rank} + {v3.rope_head_dim}) x 2 B", end=" ")
print(f"= {latent:,} B a token, for {v3.n_params / 1e9:.0f} billion parameters")
full = gemma.kv_bytes_per_token() * 32_768
kept = gemma.resident_kv_bytes(32_768)
print(f"{gemma.name}: {gemma.windowed_layers} of {gemma.n_layers} layers keep", end=" ")
print(f"{gemma.sliding_window} tokens: {kept / full:.0%} of the full cache at 32 768 tokens")

# %% jupyter={"source_hidden": true}
as_latent = memory.mla_kv_bytes_per_token(model.n_layers, v3.kv_lora_rank, v3.rope_head_dim)
one_head = memory.kv_bytes_per_token(model.n_layers, 1, model.head_dim)
variants = [
    ("multi-head (64 KV heads)", as_if.kv_bytes_per_token()),
    ("as it is: GQA, 8 KV heads", k),
    ("GQA, 8-bit cache", model.kv_bytes_per_token(1)),
    (f"latent ({v3.kv_lora_rank} + {v3.rope_head_dim}), 16 bits", as_latent),
    ("GQA, 4-bit cache", model.kv_bytes_per_token("0.5")),
    ("one KV head (MQA), 16 bits", one_head),
]
held = [memory.max_users(n, card, weights, each, 4096) for _, each in variants]

fig, ax = plt.subplots(figsize=(10, 4.8))
places = np.arange(len(variants))[::-1]
shades = [
    COLORS["primary"] if name.startswith("as it is") else COLORS["neutral"] for name, _ in variants
]
ax.barh(places, held, 0.62, color=shades)
for y, users, (_, each) in zip(places, held, variants, strict=True):
    ax.text(users * 1.08, y, f"{users} users, {each / 1024:.0f} KiB a token", va="center")
ax.set_xscale("log")
ax.set(yticks=places, yticklabels=[name for name, _ in variants], xlim=(20, 70_000))
ax.set_xticks([30, 100, 300, 1000, 3000], ["30", "100", "300", "1000", "3000"])
ax.minorticks_off()
ax.set_xlabel("users of 4096 tokens that fit")
ax.grid(axis="y", visible=False)
ax.set_title(f"{model.name} on {n} x {gpu.name}, with other caches")
show(
    fig,
    f"Bars of users of 4096 tokens for six kinds of cache, from {held[0]} with multi-head "
    f"attention over {held[1]} as it is to {held[-1]} with a single key/value head.",
    table={
        "cache": [name for name, _ in variants],
        "bytes a token": [each for _, each in variants],
        "users": held,
    },
)

# %% [markdown]
# The single heads and the latent of the figure are cut over the GPUs as if they could be. They
# cannot: under tensor parallelism a key/value head is the smallest piece, and what has fewer pieces
# than there are GPUs is *copied* (section 3.13). Only if attention is data-parallel, each GPU with
# the whole cache of its own users, does the figure hold:

# %%
print(f"{'users of 4096 tokens':<26} {'tensor parallel':>16} {'data-parallel attention':>24}")
for name, each, heads in [
    ("as it is: GQA, 8 KV heads", k, model.n_kv_heads),
    ("one KV head (MQA)", one_head, 1),
    (f"latent ({v3.kv_lora_rank} + {v3.rope_head_dim})", as_latent, 1),
]:
    copies = parallelism.tensor_parallel_shard(
        n, weights, model.n_layers, heads, model.head_dim
    ).kv_copies
    users = [memory.max_users(n, card, weights, each * c, 4096) for c in (copies, 1)]
    print(f"{name:<26} {users[0]:>16} {users[1]:>24}")

# %% [markdown]
# Only two of these rows are open to an operator: the bits of the cache. The others were decided
# when the model was trained, which makes "how large is its $k$?" a question to ask before you
# choose a model. The 8-bit cache also halves what a step reads (section 3.9), so it pays twice.
#
# > **Common mistake.** Expecting quantised *weights* to shrink the cache: they free room once, and
# > $k$ stays. Or reading head counts under latent attention: DeepSeek-V3 lists
# > << facts.get_model("DeepSeek-V3").n_kv_heads >> key/value heads, and the grouped-query formula
# > makes << num(61 * 128 * (192 + 128) * 2 / 1024, 4) >> KiB a token of them, where
# > << num(facts.get_model("DeepSeek-V3").kv_bytes_per_token() / 1024, 3) >> KiB are kept.
#
# *Source: N. Shazeer, Fast Transformer Decoding: One Write-Head is All You Need, 2019,
# arXiv:1911.02150; J. Ainslie et al., 2023, arXiv:2305.13245; DeepSeek-AI, DeepSeek-V2, 2024,
# arXiv:2405.04434, section 2.1.*
#
# **Check yourself.** By what factor do users grow if the 70B keeps its cache in 4 bits instead of
# 16? (The ratio, before rounding down.)

# %%
answer = None
check_yourself(
    answer,
    lambda: model.kv_bytes_per_token() / model.kv_bytes_per_token("0.5"),
    "factor",
    "Users are inversely proportional to k.",
    mistakes={
        "that is the ratio of the caches the other way round": 0.25,
        "weights do not shrink, but the question is of the cache alone": 2.0,
    },
    worked="k falls from 16 bits to 4, so users grow by 16 / 4 = {right}.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# ## 3.7 Fragmentation and paging
#
# **Question.** The arithmetic says << memory.max_users(8, g.memory_bytes, W, k, 4096) >> users of
# 4096 tokens. Our users write about a thousand tokens, and yet the memory is full at the same
# number. Where does it go?
#
# $$\text{blocks} = \sum_i \left\lceil \frac{s_i}{p} \right\rceil, \qquad
# \text{waste} = 1 - \frac{\sum_i s_i}{p \cdot \text{blocks}}, \qquad
# \text{expected loss} = \frac{p - 1}{2} \ \text{tokens a sequence}$$
#
# **Argument.** Nobody knows at the start how long an answer will be. A server that needs one
# contiguous piece must reserve the *longest*; what the user does not write stays empty (internal
# fragmentation), and pieces of different size leave holes that fit nobody (external). Pages cure
# the second completely, because any free page fits any sequence, and bound the first: only the
# last page of a sequence can be partly empty, with 0 to $p - 1$ places, half of it on average.

# %%
longest, mean_length = 4096, 1000  # tokens; assumption: exponential lengths, cut at the longest
lengths = np.minimum(longest, np.ceil(rng.exponential(mean_length, 20_000))).astype(int)
print(f"mean length {lengths.mean():.0f} tokens")
print(f"reserve the longest : waste {1 - lengths.mean() / longest:.0%}")
for block in (1, 16, 64, 256):
    blocks, allocated, waste = memory.paged_blocks(lengths, block)
    expected = memory.expected_paging_waste_tokens(block)
    print(f"pages of {block:>3} tokens : waste {waste:6.2%},", end=" ")
    print(f"{(allocated - lengths.sum()) / lengths.size:6.2f} tokens each, expected {expected}")

# %% jupyter={"source_hidden": true}
page_axis = [2**i for i in range(13)]
measured = [100 * memory.paged_blocks(lengths, page)[2] for page in page_axis]
mean = lengths.mean()
predicted = [
    100
    * memory.expected_paging_waste_tokens(page)
    / (mean + memory.expected_paging_waste_tokens(page))
    for page in page_axis
]
reserved = 100 * (1 - mean / longest)

fig, ax = plt.subplots(figsize=(10, 5.4))
ax.axhline(reserved, color=COLORS["error"], linestyle="--", linewidth=1.8)
ax.text(1.05, reserved + 2, f"reserving {longest} tokens for everybody: {reserved:.0f} %")
ax.plot(page_axis, measured, "o-", color=COLORS["primary"], label="counted, 20 000 sequences")
ax.plot(
    page_axis,
    predicted,
    ":",
    color=COLORS["secondary"],
    linewidth=3,
    label="(p - 1) / 2 tokens each",
)
for page in (16, 256):
    y = measured[page_axis.index(page)]
    size = page * k / 2**20
    note = f"p = {page}: {y:.2g} %\n(page of {size:.0f} MiB)"
    ax.annotate(note, (page, y), xytext=(-4, 12), textcoords="offset points", ha="right")
ax.set_xscale("log", base=2)
ax.set_xticks(page_axis, [str(page) for page in page_axis])
ax.set(xlabel="tokens in a page, p", ylabel="memory that stays empty [%]", ylim=(0, 88))
ax.set_title(f"Paging waste, sequences of {mean:.0f} tokens on average")
ax.legend(loc="upper left", bbox_to_anchor=(0.0, 0.84))
show(
    fig,
    f"Share of empty memory against page size. Small pages waste next to nothing: "
    f"{measured[4]:.2f} % at 16 tokens, {measured[8]:.1f} % at 256; a page of {longest} tokens is "
    f"the old way of reserving the longest, {reserved:.0f} %.",
    table={"page [tokens]": page_axis, "counted [%]": measured, "expected [%]": predicted},
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# Why not pages of one token? Each page is an address to keep and a jump to make; large reads are
# what memory is good at. A page of 16 tokens of the 70B takes 16 k =
# << num(quantities.bytes_to_gib(16 * k) * 1024, 3) >> MiB over all layers, which is
# << num(16 * k / 80 / 1024, 3) >> KiB in each.
#
# > **Common mistake.** "A page takes << num(16 * 2 * 64 * 128 * 2 / 1024, 3) >> KB": that is one
# > layer, with query heads. And "paging removes internal fragmentation": it removes the
# > *external* kind, and bounds the internal one to less than a page a sequence. What it gives is
# > room for the users whom reserved but empty places kept out.
#
# *Source: W. Kwon et al., Efficient Memory Management for Large Language Model Serving with
# PagedAttention, SOSP 2023, arXiv:2309.06180.*
#
# **Check yourself.** Sequences of 100, 33 and 16 tokens in pages of 32: how many tokens are
# allocated?

# %%
answer = None
check_yourself(
    answer,
    lambda: memory.paged_blocks([100, 33, 16], 32)[1],
    "tokens allocated",
    "Round up each by itself, and count what is shared once.",
    mistakes={
        "that is what is used: pages are allocated whole": 149,
        "that is one page less: 100 tokens do not fit into three pages": 192,
        "that is in pages": 7,
        "pages belong to one sequence each": 160,
    },
    worked="4 + 2 + 1 pages of 32: {right} tokens.",
)

# %% [markdown]
# ## 3.8 Prefill time
#
# **Question.** A prompt of 4096 tokens arrives at an idle node. When can its first token appear?
#
# $$A = 2 N s + 2 n_l \, d_q \, s^2 \ [\mathrm{FLOP}], \qquad
# t = \frac{A}{n \, F \, u} \ [\mathrm{s}]$$
#
# **Argument.** Every token goes through every parameter: one multiply-add, 2 FLOP. On top of that
# each token looks at all tokens before it: a score and a weighted value cost $2 d_q$ FLOP each for
# every pair and layer, $4 d_q$ together. A causal model has half of the $s^2$ pairs. Prefill is
# far right of the ridge, so arithmetic sets the time; the share $u$ of the peak that is
# reached is an assumption, one half here, and belongs beside every number that uses it. Only for a
# handful of tokens is the time to read all weights longer (<< fixed(1000 * facts.get_model(
# "Llama-3-70B").weight_bytes() / (8 * facts.get_accelerator("H100-SXM").bandwidth_Bps), 2) >> ms on
# this node): the formula has no such floor.

# %%
print(f"{'s':>7} {'PFLOP':>7} {'attention':>10} {'at the peak':>12} {'at half':>10}")
for seq in (512, 4096, 8192, 32_768, 131_072):
    flop = roofline.prefill_flops(model.n_params, seq, model.n_layers, model.d_attn)
    quadratic = 1 - 2 * model.n_params * seq / flop
    times = f"{1000 * prefill_s(seq, 1):>9.1f} ms {1000 * prefill_s(seq):>7.1f} ms"
    print(f"{seq:>7} {flop / 1e15:>7.3f} {quadratic:>10.1%} {times}")
equal = model.n_params / (model.n_layers * model.d_attn)
print(f"both terms are equal at s = N / (n_l d_q) = {equal:,.0f}")

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set shape = (m.n_layers, m.d_attn, 8, g.bf16_dense_flops) -%>>
# The parameters are nearly all of it until the prompt has tens of thousands of tokens. Clever
# attention kernels do not change $A$: they avoid writing the $s \times s$ scores to memory and so
# keep $u$ up; what they save is traffic, not arithmetic. And $2N$ counts the table of embeddings,
# which is looked up and not multiplied: it overstates the time by
# << fixed(100 * 128256 * m.hidden / m.n_params, 1) >> % here, and by more for small models.
#
# > **Common mistake.** Guessing the parameters from the width: $2 n_l \cdot 4 d^2$ FLOP a token is
# > << fixed(2 * 80 * 4 * 8192**2 / 10**9, 0) >> GFLOP, where $2N$ is
# > << fixed(2 * m.n_params / 10**9, 0) >>: the feed-forward layers are missing, and grouped queries
# > are not seen. With the sparse peak of the data sheet, twice the dense one, on top, the prompt
# > would take << fixed(1000 * 2 * 80 * 4 * 8192**2 * 4096 / (8 * 2 * g.bf16_dense_flops), 0) >> ms;
# > it takes << fixed(1000 * roofline.prefill_time_s(m.n_params, 4096, *shape, mfu=1), 1) >> at the
# > very best. Also common: $4 n_l d_q s^2$, which lets every token look ahead.
#
# *Source: J. Kaplan et al., Scaling Laws for Neural Language Models, 2020, arXiv:2001.08361,
# section 2.1; T. Dao et al., FlashAttention, 2022, arXiv:2205.14135.*
#
# **Check yourself.** A model of 8 billion parameters on one card that reaches $4 \cdot 10^{14}$
# FLOP/s: how many milliseconds for 1000 tokens, attention left out?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1000 * 2 * 8e9 * 1000 / 4e14,
    "prefill in ms",
    "2 N S over the speed reached.",
    mistakes={
        "that counts one operation a parameter: a multiply-add is two": 20.0,
        "that is for one token": 0.04,
    },
    worked="2 * 8e9 * 1000 / 4e14 s = {right} ms.",
)

# %% [markdown]
# ## 3.9 Decode time
#
# **Question.** How long is a step, what does each user see, and how many tokens per second leave
# the node?
#
# $$t = \frac{B s k}{n\,\mathrm{BW}}
# + \max\left( \frac{W_b}{n\,\mathrm{BW}},\ \frac{2 N B}{n F} \right),
# \qquad \mathrm{TPOT} = t, \qquad X = \frac{B}{t} \ [\mathrm{tokens/s}]$$
#
# **Argument.** A step reads all weights once and each sequence's cache once, and multiplies $2N$
# FLOP for each sequence. Reading and using the weights overlap, so the longer of the two counts.
# Attention over the cache does one FLOP for each byte and query head that shares it, eight here,
# far below the ridge at every batch: its reading is never hidden, and comes on top. Every sequence
# gets one token a step: the time per output token of a user is the *whole* step.
#
# Two batches and a limit to know:
#
# $$B_{ridge} = \frac{F\,b}{2\,\mathrm{BW}}, \qquad B_{kv} = \frac{W_b}{s k}, \qquad
# X_{\max} \to \frac{n\,\mathrm{BW}}{s k}$$
#
# where multiplying overtakes reading the weights; where caches are as large as the weights; and
# what the throughput approaches while the cache alone is counted.

# %%
room = memory.max_users(n, card, weights, k, 4096)
print(
    f"{'B':>4} {'step':>9} {'each user':>11} {'all users':>13} {'bound':>8} {'MFU':>6} {'MBU':>6}"
)
for B in (1, 8, 64, 128, 256, room):
    s = step(B, 4096)
    speeds = f"{1 / s['step_s']:>5.0f} tok/s {B / s['step_s']:>7.0f} tok/s"
    used = f"{s['mfu']:>6.1%} {s['mbu']:>6.1%}"
    print(f"{B:>4} {1000 * s['step_s']:>6.2f} ms {speeds} {s['bound']:>8} {used}")
b_ridge = roofline.critical_batch(gpu.bf16_dense_flops, gpu.bandwidth_Bps, 2)
print(
    f"B_ridge = {b_ridge:.0f}, cache as large as weights at B = {weights / (4096 * k):.0f},",
    end=" ",
)
print(f"limit {n * gpu.bandwidth_Bps / (4096 * k):.0f} tok/s")

# %% jupyter={"source_hidden": true}
batches = np.arange(1, room + 1)
bandwidth, peak = n * gpu.bandwidth_Bps, n * gpu.bf16_dense_flops
read_ms = np.full(room, 1000 * weights / bandwidth)
extra_ms = np.maximum(0, 1000 * 2 * model.n_params * batches / peak - read_ms)
cache_ms = 1000 * batches * 4096 * k / bandwidth

fig, ax = plt.subplots(figsize=(10, 5.8))
areas = ax.stackplot(
    batches,
    read_ms,
    extra_ms,
    cache_ms,
    colors=[COLORS["primary"], COLORS["error"], COLORS["secondary"]],
    alpha=0.8,
)
for area, hatch in zip(areas, ("", "xx", "//"), strict=True):
    area.set(hatch=hatch, edgecolor="white", linewidth=0)
ax.text(250, 2.5, "reading the weights, once for all", ha="center", va="center", color="white")
box = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
ax.text(200, 11.2, "reading the caches, one for each", ha="center", va="center", bbox=box)
ax.annotate(
    "multiplying, as far as\nit outlasts the reading",
    (352, 5.9),
    xytext=(334, 9.6),
    ha="center",
    va="center",
    bbox=box,
    arrowprops={"arrowstyle": "->", "color": "black"},
)
for B, label in ((weights / (4096 * k), "caches = weights"), (b_ridge, "ridge")):
    ax.axvline(B, color="black", linestyle=":", linewidth=1.6)
    ax.text(B - 4, 27.6, f"{label}, B = {B:.0f}", rotation=90, ha="right", va="top")
ax.set(
    xlabel="sequences in the batch, B", ylabel="time of a step [ms]", xlim=(1, room), ylim=(0, 28)
)
ax.set_title(f"What a decode step is made of, s = 4096, up to the wall at B = {room}")
shown = [1, 64, 105, 256, room]
show(
    fig,
    "Stacked areas of the time of a decode step against batch. Reading the weights takes "
    f"{read_ms[0]:.2f} ms at every batch; reading caches grows in proportion and passes it near "
    f"batch 105; multiplying adds a thin wedge beyond batch {b_ridge:.0f}.",
    table={
        "batch": shown,
        "weights [ms]": [read_ms[B - 1] for B in shown],
        "more arithmetic [ms]": [extra_ms[B - 1] for B in shown],
        "caches [ms]": [cache_ms[B - 1] for B in shown],
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set k = m.kv_bytes_per_token() -%>>
# Sharing the weights is what makes a batch cheap, and caches are not shared. So the gain of a
# larger batch fades long before the arithmetic is used up: at $B =$ << fixed(W / (4096 * k), 0) >>
# half of every step is caches already. Latency and throughput are two ends of one curve:

# %% jupyter={"source_hidden": true}
cases = [
    ("s = 512", 512, k, "tertiary", "-"),
    ("s = 4096, 8-bit cache", 4096, model.kv_bytes_per_token(1), "secondary", "--"),
    ("s = 4096", 4096, k, "primary", "-"),
    ("s = 32 768", 32_768, k, "error", ":"),
]
slo_ms = 10

fig, ax = plt.subplots(figsize=(10, 6.2))
pareto = {}
for label, seq, each, color, style in cases:
    cap = memory.max_users(n, card, weights, each, seq)
    sizes = np.unique(np.round(np.geomspace(1, cap, 120)).astype(int))
    ms = np.array([1000 * step(int(B), seq, each)["step_s"] for B in sizes])
    ax.plot(ms, 1000 * sizes / ms, style, color=COLORS[color], label=f"{label}, wall at B = {cap}")
    marks = [B for B in (1, 16, 64, 128, 256, cap) if cap >= B and (cap == B or 0.8 * cap > B)]
    for B in marks:
        t = 1000 * step(B, seq, each)["step_s"]
        ax.plot(t, 1000 * B / t, "o", color=COLORS[color], markersize=6)
        if label in ("s = 4096", "s = 32 768") and B > 1:
            right = {"xytext": (7, -15), "ha": "left"}
            ax.annotate(str(B), (t, 1000 * B / t), textcoords="offset points", **right)
    pareto[label] = (cap, 1000 * step(cap, seq, each)["step_s"])
ax.axvline(slo_ms, color="black", linestyle=":", linewidth=1.6)
ax.text(slo_ms * 1.01, 52_000, f" TPOT of {slo_ms} ms", ha="left", va="top")
ax.set_yscale("log")
ax.set_yticks([200, 1000, 5000, 20_000, 50_000], ["200", "1000", "5000", "20 000", "50 000"])
ax.minorticks_off()
ax.set(xlabel="time per output token of each user [ms]", ylabel="tokens/s of all users")
ax.set(xlim=(4.5, 31), ylim=(150, 60_000))
ax.set_title("Throughput against latency; dots are batch sizes")
ax.legend(loc="lower right")
best_at_slo = [
    roofline.best_decode_batch(
        slo_ms / 1000,
        seq,
        pareto[label][0],
        model.n_params,
        weights,
        each,
        n,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )
    for label, seq, each, *_ in cases
]
show(
    fig,
    f"Throughput on a log scale against time per token, one curve for each context length and one "
    f"for an 8-bit cache, with batch sizes marked. Short contexts reach far higher throughput at the same latency. At "
    f"{slo_ms} ms and 4096 tokens the batch is {best_at_slo[2]}.",
    table={
        "case": [label for label, *_ in cases],
        "largest batch in memory": [pareto[label][0] for label, *_ in cases],
        "TPOT there [ms]": [pareto[label][1] for label, *_ in cases],
        f"batch at {slo_ms} ms": best_at_slo,
    },
)

# %% [markdown]
# **How far may the batch grow?** The largest $B$ whose step keeps the SLO, or what memory holds,
# whichever is smaller:

# %%
print(f"{'TPOT SLO':>9} {'batch':>6} {'limited by':>14} {'tok/s':>7}")
shape = (model.n_params, weights, k, n, gpu.bandwidth_Bps, gpu.bf16_dense_flops)
for slo in (0.005, 0.006, 0.008, 0.010, 0.020, 0.050):
    B = roofline.best_decode_batch(slo, 4096, room, *shape)
    limit = "memory" if room == B else "the SLO" if B else "not feasible"
    tok_s = B / step(B, 4096)["step_s"] if B else 0
    print(f"{1000 * slo:>6.0f} ms {B:>6} {limit:>14} {tok_s:>7.0f}")

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set W = m.weight_bytes() -%>>
# <<% set node = (m.n_params, m.weight_bytes(), m.kv_bytes_per_token(), 8,
#     g.bandwidth_Bps, g.bf16_dense_flops) -%>>
# > **Common mistake.** Four short cuts, each of which leaves out one thing that the formula has:
# >
# > | short cut | leaves out | instead |
# > |---|---|---|
# > | a card reads one byte a parameter: 47 tok/s | 16 bits are two bytes | << num(g.bandwidth_Bps / W, 3) >> tok/s, on eight cards << num(8 * g.bandwidth_Bps / W, 4) >> |
# > | $B = 48$ users get 48 times that: << fixed(48 / roofline.decode_step_s(1, 0, *node).step_s, 0) >> tok/s | each has a cache to read | << fixed(48 / roofline.decode_step_s(48, 4096, *node).step_s, 0) >> tok/s |
# > | arithmetic is full at $B = 32$ to 48 | reading is the longer part up to the ridge | $B_{ridge} =$ << fixed(roofline.critical_batch(g.bf16_dense_flops, g.bandwidth_Bps, 2), 0) >> |
# > | each user sees the step over $B$ | the step gives everybody one token | the whole step |
#
# **Measured.** Llama-3.1-70B in 8 bits, cache too, on four H200 under vLLM, with $B$ requests of
# 1024 tokens in and out always in flight. Beside it the formula, the same with what engines reach
# of a data sheet, and the band that four in five measurements fell into:

# %%
loops = published.closed_loop_run("Llama-3.1-70B", "H200-SXM", "fp8")
served, h200 = facts.get_model(loops.model), facts.get_accelerator(loops.accelerator)
four = deployment.Deployment(
    model=served,
    accelerator=h200,
    tensor_parallel=loops.n_gpus,
    weight_format="fp8",
    cache_format="fp8",
)
speeds = (loops.n_gpus, h200.bandwidth_Bps, h200.fp8_dense_flops)
reached = {
    point.concurrency: closedloop.closed_loop(four, 1024, 1024, point.concurrency, engine="vllm")
    for point in loops.points
}
print(f"{'B':>3} {'measured':>9} {'formula':>9} {'as reached':>11} {'band':>17}")
for point in loops.points:
    size = (served.n_params, four.weight_bytes, served.kv_bytes_per_token(1))
    ideal_s = roofline.decode_step_s(point.concurrency, 1536, *size, *speeds)["step_s"]
    told = reached[point.concurrency]
    low, high = (1000 * edge for edge in told.tpot_band_s)
    print(
        f"{point.concurrency:>3} {1000 * point.tpot_s:>6.1f} ms {1000 * ideal_s:>6.1f} ms", end=""
    )
    print(f" {1000 * told.tpot_s:>8.1f} ms {low:>7.1f}-{high:.1f} ms")

# %% [markdown]
# The formula is a lower bound, and rises too little with $B$: launching kernels, the all-reduces of
# section 3.13 and the prompts of those who join take their time in every step, and no bandwidth
# shortens it. The course's documentation compares more than a thousand measurements, under *How far
# off*.
#
# *Source: J. Austin et al., How to Scale Your Model, 2025, chapter on inference; R. Pope et al.,
# Efficiently Scaling Transformer Inference, 2023, arXiv:2211.05102. Measured:
# ai-dynamo/aiconfigurator, silicon_sample.csv.*
#
# **Check yourself.** Weights of 140 GB, 28 TB/s of bandwidth in all, 100 sequences with a cache
# of 0.7 GB each, arithmetic negligible. How many milliseconds is a step?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1000 * (140e9 + 100 * 0.7e9) / 28e12,
    "step in ms",
    "All bytes that are read, over the bandwidth.",
    mistakes={
        "the caches are missing": 5.0,
        "the weights are missing": 2.5,
        "that reads the weights once for each sequence": 1000 * 100 * (140e9 + 0.7e9) / 28e12,
        "that reads one cache only": 1000 * 140.7e9 / 28e12,
    },
    worked="(140 + 100 * 0.7) GB over 28 000 GB/s = {right} ms.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set shape = (m.n_layers, m.d_attn, 8, g.bf16_dense_flops) -%>>
# ## 3.10 TTFT under load
#
# **Question.** Prefill of 512 tokens takes
# << fixed(1000 * roofline.prefill_time_s(m.n_params, 512, *shape), 1) >> ms. The SLO says 200 ms at
# the 99th percentile. How many requests a second may come?
#
# $$\mathrm{TTFT} = T_q + T_p, \qquad \rho = \lambda T_p, \qquad
# E[T_q] = \frac{\lambda\,E[T_p^2]}{2 (1 - \rho)}$$
#
# **Argument.** One prompt is prefilled at a time: a queue with one server. Arrivals are taken as
# Poisson, the service is the prefill, the same for prompts of one length (M/D/1) and random for a
# mixture (M/G/1). The mean wait is Pollaczek and Khinchine's of section 1.13. The percentile has no
# such short formula, so we replay: draw arrivals, run the queue, read the percentile. Waits of
# neighbours resemble one another, so an interval from the sorted sample would be too narrow; ten
# independent runs of 200 000 arrivals and Student's t give an honest one.


# %%
def ttft_p99(seq, lam, arrivals=200_000, runs=10):
    """P99 of TTFT by replay [s], and half the width of its 95 % interval."""
    services, p99 = sim.services.deterministic(arrivals, prefill_s(seq)), []
    for _ in range(runs):
        run = sim.simulate_gg1(sim.arrivals.poisson(arrivals, lam, rng), services)
        p99.append(run.without_warmup().percentile("0.99"))
    return float(np.mean(p99)), 2.262 * float(np.std(p99, ddof=1)) / math.sqrt(runs)


# %%
print(f"{'s':>5} {'lam [/s]':>8} {'rho':>6} {'mean TTFT':>10} {'P99 TTFT':>10}   95 % interval")
for seq, lam in [(512, 8), (512, 32), (512, 48), (4096, 0.2), (4096, 0.5), (4096, 2)]:
    T_p = prefill_s(seq)
    p99, half = ttft_p99(seq, lam)
    mean_ms = 1000 * (T_p + queueing.pk_wait(lam, T_p, 0))
    interval = f"{1000 * (p99 - half):.0f} to {1000 * (p99 + half):.0f} ms"
    print(
        f"{seq:>5} {lam:>8} {lam * T_p:>6.1%} {mean_ms:>7.0f} ms {1000 * p99:>7.0f} ms   {interval}"
    )

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set shape = (m.n_layers, m.d_attn, 8, g.bf16_dense_flops) -%>>
# Look at the fourth line. At one long prompt every five seconds the node is idle
# << fixed(100 - 20 * roofline.prefill_time_s(m.n_params, 4096, *shape), 0) >> % of the time, and
# the P99 is far above the prefill time already. An arrival finds the server busy with probability
# $\rho$; once $\rho$ exceeds 1 %, the P99 contains a wait. A percentile does not ask how rarely you
# are unlucky on average.

# %% jupyter={"source_hidden": true}
curves = [(512, "primary", "o-"), (1024, "tertiary", "s-"), (4096, "error", "^-")]
loads = [0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.88]
slo = 200
tried = [(lam, 1000 * ttft_p99(512, lam, 100_000, 2)[0]) for lam in range(34, 50, 2)]
kept = max(lam for lam, p99_ms in tried if p99_ms <= slo)

fig, ax = plt.subplots(figsize=(10, 5.8))
table = {"rho": loads}
for seq, color, style in curves:
    p99 = [1000 * ttft_p99(seq, rho / prefill_s(seq), 100_000, 2)[0] for rho in loads]
    name = f"{seq} tokens, prefill {1000 * prefill_s(seq):.0f} ms"
    ax.plot([rho / prefill_s(seq) for rho in loads], p99, style, color=COLORS[color], label=name)
    table[f"{seq} tokens: requests/s"] = [rho / prefill_s(seq) for rho in loads]
    table[f"{seq} tokens: P99 [ms]"] = p99
ax.axhline(slo, color="black", linestyle="--", linewidth=1.6)
ax.text(1.0, slo * 1.04, f"SLO {slo} ms", ha="center", va="bottom")
ax.set(xscale="log", yscale="log", xlabel="requests per second", ylabel="P99 of TTFT [ms]")
ax.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.2", "0.5", "1", "2", "5", "10", "20", "50"])
ax.set_yticks(
    [20, 50, 100, 200, 500, 1000, 2000], ["20", "50", "100", "200", "500", "1000", "2000"]
)
ax.minorticks_off()
ax.set(xlim=(0.12, 62), ylim=(15, 4000))
ax.set_title("First tokens queue for the prefill: loads of 2 to 88 %")
ax.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0))
show(
    fig,
    f"P99 of time to first token against arrival rate, for three prompt lengths. Prompts of "
    f"512 tokens keep {slo} ms up to about {kept} requests/s; prompts of 4096 tokens begin at "
    f"{table['4096 tokens: P99 [ms]'][0]:.0f} ms, at a load of 2 %.",
    table=table,
)
print(f"512 tokens: P99 within {slo} ms up to about {kept} requests/s, rho", end=" ")
print(
    f"{kept * prefill_s(512):.0%}; 4096 tokens: {table['4096 tokens: P99 [ms]'][0]:.0f} ms at 2 %"
)

# %% [markdown]
# This is a queue of *prefills alone*, as if answers cost nothing. On one node the same iterations
# also give every running answer its tokens. With answers of 256 tokens, continuous batching and the
# step times of this chapter:

# %%
node = sim.LLMServer(step_time=sim.RooflineStep.of(model, gpu, n))
print(f"{'lam [/s]':>8} {'prefills alone':>15} {'with answers of 256 tokens':>27}")
for lam in (20, 35, 42):
    alone = 1000 * ttft_p99(512, lam, 100_000, 2)[0]
    asked = sim.Requests(sim.arrivals.poisson(10_000, lam, rng), 512, 256)
    both = 1000 * sim.simulate_llm(asked, node).without_warmup().percentile("ttft", "0.99")
    print(f"{lam:>8} {alone:>12.0f} ms {both:>24.0f} ms")

# %% [markdown]
# In the last line the node is past its limit: the longer the run, the longer the wait. The queue of
# prefills says when an SLO is *hopeless*, not when it is kept.
#
# For prompts of 4096 tokens an SLO of 200 ms is out of reach at nearly any load: not a question
# of tuning but of the node. What helps is less work for the prompt. If the first $h$ tokens are
# known from an earlier request (a system prompt, the conversation so far) and their cache is still
# there, only the rest has to be computed:

# %%
print(f"{'cached prefix':>13} {'prefill':>9} {'of the full one':>16}")
for h in (0, 1024, 2048, 3584):
    rest = prefill_s(4096) - prefill_s(h)  # the pairs among the first h tokens are known too
    print(f"{h:>13} {1000 * rest:>6.1f} ms {rest / prefill_s(4096):>16.0%}")

# %% [markdown]
# > **Common mistake.** "KV caching fixes TTFT." Keeping keys and values during an answer makes
# > *decode* possible at this speed, and leaves the first token where it was. What moves the first
# > token: prefix caching (the cache of an *earlier* request), admission control, shorter prompts,
# > more arithmetic. Chunking (next section) mends what long prefills do to other users.
#
# **Measured.** The first token in the loops of section 3.9. The prompt alone, at half of the peak,
# is far from it: others stand in front, and those who decode share every iteration.

# %%
alone_s = roofline.prefill_time_s(
    served.n_params, 1024, served.n_layers, served.d_attn, loops.n_gpus, h200.fp8_dense_flops
)
print(f"a prompt of 1024 tokens alone: {1000 * alone_s:.0f} ms")
for point in loops.points:
    told = reached[point.concurrency]
    low, high = (1000 * edge for edge in told.ttft_band_s)
    print(f"{point.concurrency:>3} in flight: measured {1000 * point.ttft_s:>4.0f} ms,", end=" ")
    print(f"predicted {1000 * told.ttft_s:>4.0f} ms ({low:.0f}-{high:.0f} ms)")

# %% [markdown]
# *Source: L. Kleinrock, Queueing Systems, Volume 1: Theory, 1975, chapter 5; L. Zheng et al.,
# SGLang: Efficient Execution of Structured Language Model Programs, 2023, arXiv:2312.07104 (prefix
# caching).*
#
# **Check yourself.** Prefill takes 40 ms, always, and 20 requests/s arrive at random. What is the
# mean TTFT in ms?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1000 * (0.040 + queueing.pk_wait(20, 0.040, 0)),
    "mean TTFT in ms",
    "Prefill, and the mean wait of M/D/1: rho / (2 (1 - rho)) services.",
    mistakes={
        "that is the wait: prefill comes on top": 80.0,
        "that is exponential service: M/M/1": 200.0,
        "that is the wait of M/M/1": 160.0,
        "nobody waits in that": 40.0,
    },
    worked="rho = 0.8, so the mean wait is 0.8 / (2 * 0.2) = 2 services of 40 ms; and prefill itself: {right} ms.",
)

# %% [markdown]
# ## 3.11 Static, continuous, chunked
#
# **Question.** The batch is full, and yet half of the slots do nothing. Why?
#
# $$\text{slot efficiency of a static batch} = \frac{E[n_{out}]}{E[\max(n_1, \dots, n_B)]}
# \approx \frac{1}{H_B}, \qquad H_B = 1 + \tfrac12 + \dots + \tfrac1B$$
#
# **Argument.** A static batch ends with its longest answer; whoever is done earlier keeps an empty
# slot. For exponential lengths the maximum of $B$ is $H_B$ times the mean: the shortest of $B$ ends
# after $1/B$ of the mean, the next after $1/(B-1)$ more, and so on. Continuous batching decides
# *between any two steps*: a slot that is free is given away at once.

# %% jupyter={"source_hidden": true}
answers = [9, 2, 4, 3, 5, 8, 2, 3, 4, 6]
places = 4
plans = [
    ("static", slots.static_schedule(answers, places)),
    ("continuous", slots.continuous_schedule(answers, places)),
]
used = sum(answers)
ends = [max(span.end for span in spans) for _, spans in plans]
palette = [COLORS[c] for c in ("primary", "secondary", "tertiary", "highlight")]

fig, (gantt, curve) = plt.subplots(1, 2, figsize=(13, 5), width_ratios=(1.55, 1))
for row, (name, spans) in enumerate(plans):
    base = (1 - row) * (places + 1.2)
    gantt.barh(
        [base + places - 1 - s for s in range(places)],
        ends[row],
        0.84,
        color="white",
        edgecolor=COLORS["neutral"],
        hatch="///",
        linewidth=0.8,
    )
    for span in spans:
        y = base + places - 1 - span.slot
        shade = palette[span.request % 4]
        gantt.barh(y, span.end - span.start, 0.84, left=span.start, color=shade, edgecolor="white")
        gantt.text((span.start + span.end) / 2, y, span.request + 1, ha="center", va="center")
    share = used / (places * ends[row])
    gantt.text(0, base + places - 0.35, f"{name}: {ends[row]} steps, {share:.0%} of the slots used")
gantt.set(xlabel="decode step", xlim=(0, max(ends) + 0.3), yticks=[], ylim=(-0.7, 2 * places + 1.7))
gantt.grid(axis="y", visible=False)
gantt.set_title("Ten answers in four slots (hatched: empty)")

sizes = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
drawn = rng.geometric(1 / 256, 16_384)
counted = [drawn.sum() / (B * slots.static_steps(drawn, int(B))) for B in sizes]
curve.semilogx(
    sizes,
    [slots.slot_efficiency(int(B)) for B in sizes],
    base=2,
    color=COLORS["primary"],
    label="1 / H_B",
)
curve.plot(
    sizes, counted, "o", color=COLORS["error"], markersize=8, label="static, geometric lengths"
)
curve.annotate(
    f"B = 64: {counted[6]:.2f}", (64, counted[6]), xytext=(0, 14), textcoords="offset points"
)
curve.set_xticks(sizes, [str(B) for B in sizes])
curve.set(xlabel="slots, B", ylabel="share of slot-steps in use", ylim=(0, 1.05))
curve.set_title("Static efficiency falls with B")
curve.legend(loc="upper right")
show(
    fig,
    f"Left: time tables of ten answers in four slots; static batches need {ends[0]} steps, "
    f"continuous batching {ends[1]}. Right: the share of slots in use under static batching falls "
    f"as 1 / H_B, to {counted[6]:.2f} at 64 slots.",
    table={
        "slots": sizes,
        "1 / H_B": [slots.slot_efficiency(int(B)) for B in sizes],
        "counted": counted,
    },
)

# %% [markdown]
# Steps are not seconds: fuller steps read more cache and prefill still takes its time. So here are
# both policies as a server runs them, saturated: 1500 requests at 50 a second, 512 tokens in,
# 256 out on average, 64 slots.

# %%
node = sim.RooflineStep.ideal(model, gpu, n)
asked = sim.Requests(sim.arrivals.poisson(1500, 50, rng), 512, rng.geometric(1 / 256, 1500))
runs = {
    mode: sim.simulate_llm(asked, sim.LLMServer(step_time=node, batching=mode, max_batch=64))
    for mode in ("static", "continuous")
}
for mode, run in runs.items():
    used = f"slots in use {run.slot_efficiency():.0%}"
    print(f"{mode:<11} {run.throughput_tok_s():>6.0f} tok/s, {used}")
ratio = runs["continuous"].throughput_tok_s() / runs["static"].throughput_tok_s()
print(f"ratio {ratio:.1f}; were it steps alone, at most H_64 = {slots.harmonic(64):.2f}")

# %% [markdown]
# **Chunked prefill.** Letting a newcomer in between two steps means prefilling its prompt there,
# and everybody else waits meanwhile. Cut the prompt into chunks and let each ride with a decode
# step: the longest gap between two tokens shrinks to one chunk and one step.

# %%
B, context = 64, 4096


def iteration_s(start, end, decoding):
    """One iteration: prompt tokens start to end, and a token for each decoding sequence."""
    pairs = (end**2 - start**2) / 2  # each token with all before it
    return node.iteration_s(decoding, decoding * context, end - start, pairs)


for prompt in (4096, 8192):
    whole_s = iteration_s(0, prompt, 0)
    print(f"prompt {prompt}, whole         : longest gap", end=" ")
    print(f"{1000 * (whole_s + step(B, context)['step_s']):5.1f} ms, TTFT {1000 * whole_s:5.1f} ms")
    for chunk in (2048, 512):
        pieces = [iteration_s(at, at + chunk, B) for at in range(0, prompt, chunk)]
        print(f"prompt {prompt}, chunks of {chunk:>4}: longest gap", end=" ")
        print(f"{1000 * max(pieces):5.1f} ms, TTFT {1000 * sum(pieces):5.1f} ms")

# %% [markdown]
# The stall of the others is cut to a fraction. The newcomer pays with a later first token, because
# every chunk shares its iteration with the caches and the arithmetic of those who decode. The
# weights are read once for both, which is why it does not pay more.
#
# > **Common mistake.** "Static and continuous batching give the same throughput; only latency
# > differs." They would, if all answers had one length. And the reverse: "continuous batching keeps
# > TPOT constant". It keeps slots full; who joins makes every step longer, and an unchunked prompt
# > stops all of them.
#
# **Measured.** Continuous batching in the loops of section 3.9, from the fewest requests in flight
# to the most: more tokens per second for all, longer steps for each.

# %%
few, many = loops.points[0], loops.points[-1]
fewer, more = reached[few.concurrency], reached[many.concurrency]
times = many.concurrency / few.concurrency
for name, slower in (
    ("measured", many.tpot_s / few.tpot_s),
    ("predicted", more.tpot_s / fewer.tpot_s),
):
    print(f"{few.concurrency} to {many.concurrency} in flight, {name:<9}: a step takes", end=" ")
    print(f"{slower:.2f} times as long, all users together get {times / slower:.1f} times as much")

# %% [markdown]
# *Source: G.-I. Yu et al., Orca: A Distributed Serving System for Transformer-Based Generative
# Models, OSDI 2022; A. Agrawal et al., Taming Throughput-Latency Tradeoff in LLM Inference with
# Sarathi-Serve, OSDI 2024, arXiv:2403.02310.*
#
# **Check yourself.** Exponential answer lengths, static batches of 3. What share of the slot-steps
# is in use?

# %%
answer = None
check_yourself(
    answer,
    lambda: slots.slot_efficiency(3),
    "share in use",
    "Mean over maximum; the longest of n is 1 + 1/2 + ... + 1/n means.",
    mistakes={
        "that is the share that idles": lambda: 1 - slots.slot_efficiency(3),
        "that is 1/3: the mean over the sum": 1 / 3,
        "that is the mean of the maximum in units of the mean": 11 / 6,
    },
    worked="The longest of 3 is 1 + 1/2 + 1/3 = 11/6 means: 6/11 = {right}.",
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set W = m.weight_bytes() -%>>
# ## 3.12 Speculative decoding
#
# **Question.** A step of one user reads << fixed(W / 10**9, 0) >> GB to make a single token, and
# the arithmetic stands idle. Can the idle arithmetic buy more tokens a step?
#
# $$E = \sum_{i=0}^{\gamma} \alpha^i = \frac{1 - \alpha^{\gamma+1}}{1 - \alpha}, \qquad
# \mathrm{speedup} = \frac{E}{\gamma c + 1}$$
#
# **Argument.** A small model drafts $\gamma$ tokens, one after another; each takes the share $c$ of
# a step of the large one. The large model then puts all of them through *one* step, as if they were
# a short prompt, and keeps them up to the first that it would not have accepted, plus one token of
# its own. Token $i + 1$ appears if $i$ drafted ones in a row were accepted, with probability
# $\alpha^i$; add up. The accept-or-redraw rule keeps the distribution of the large model exactly.

# %%
print(f"{'alpha':>6} {'gamma':>6} {'c':>5} {'tokens':>7} {'speed-up':>9} {'best gamma':>11}")
for alpha, gamma, c in [(0.8, 4, 0.05), (0.8, 8, 0.05), (0.5, 4, 0.05), (0.3, 4, 0.5)]:
    tokens, speedup = speculative.speculative_speedup(alpha, gamma, c)
    best = speculative.best_gamma(alpha, c, 32)
    print(f"{alpha:>6} {gamma:>6} {c:>5} {tokens:>7.2f} {speedup:>9.2f} {best:>11}")

# %% [markdown]
# The formula has a condition in small print: the check must take no longer than a plain step. That
# holds while the step is bound by reading weights. In a batch, $B$ sequences bring $\gamma + 1$
# tokens each; once $2 N B (\gamma + 1) / (n F)$ passes $W_b / (n\,\mathrm{BW})$, at
# $B = B_{ridge} / (\gamma + 1)$, the idle arithmetic is gone and every rejected token is work done
# for nothing.

# %%
pair = {"target": model, "draft": facts.get_model("Llama-3-8B"), "gpu": gpu, "n_gpus": n}
alone = speculative.batched_speculation(1, 1024, 0.8, 4, **pair)
print(f"one draft step takes c = {alone.draft_s / 4 / alone.plain_s:.3f} of a plain one at B = 1")
print(f"{'B':>4} {'draft':>9} {'check':>9} {'plain':>9} {'speed-up':>9}")
for B in (1, 64, 128, 256):
    s = speculative.batched_speculation(B, 1024, 0.8, 4, **pair)
    times = [f"{1000 * t:>6.2f} ms" for t in (s.draft_s, s.verify_s, s.plain_s)]
    print(f"{B:>4} {' '.join(times)} {s.speedup:>9.2f}")

# %% jupyter={"source_hidden": true}
axis_B = np.unique(np.round(np.geomspace(1, 512, 80)).astype(int))
lines = [(2, "tertiary", "--"), (4, "primary", "-"), (8, "secondary", "-.")]
knee = b_ridge / 5

fig, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2))
gammas = np.arange(0, 21)
for alpha, color, style in [(0.9, "tertiary", "--"), (0.8, "primary", "-"), (0.5, "error", ":")]:
    ups = [speculative.speculative_speedup(alpha, int(g), 0.05)[1] for g in gammas]
    best = speculative.best_gamma(alpha, 0.05, 20)
    left.plot(gammas, ups, style, color=COLORS[color], label=f"alpha = {alpha}")
    left.plot(best, ups[best], "o", color=COLORS[color], markersize=9)
    left.annotate(
        str(best), (best, ups[best]), xytext=(0, 8), textcoords="offset points", ha="center"
    )
left.axhline(1, color="black", linewidth=1.2)
left.set(
    xlabel="tokens drafted, gamma", ylabel="speed-up", ylim=(0, 5.2), xticks=[0, 4, 8, 12, 16, 20]
)
left.set_title("One user, c = 0.05 (dots: best draft)")
left.legend(loc="upper left")
for gamma, color, style in lines:
    ups = [
        speculative.batched_speculation(int(B), 1024, 0.8, gamma, **pair).speedup for B in axis_B
    ]
    right.semilogx(axis_B, ups, style, base=2, color=COLORS[color], label=f"gamma = {gamma}")
right.axhline(1, color="black", linewidth=1.2)
right.fill_between([1, 512], 0, 1, color=COLORS["error"], alpha=0.1, linewidth=0)
right.text(1.15, 0.08, "slower than without", va="bottom")
for B in (1, 64, 128, 256):
    up = speculative.batched_speculation(B, 1024, 0.8, 4, **pair).speedup
    right.plot(B, up, "o", color=COLORS["primary"], markersize=8)
    side = {"xytext": (6, 4)} if B == 64 else {"xytext": (-6, -17), "ha": "right"}
    side = {"xytext": (4, -19)} if B == 1 else side
    right.annotate(f"{up:.2f}", (B, up), textcoords="offset points", **side)
right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
right.set(xlabel="sequences in the batch, B", ylabel="speed-up", ylim=(0, 3.1), xlim=(1, 512))
right.set_title("A batch, alpha = 0.8, s = 1024, 8B drafts for 70B")
right.legend(loc="upper right")
loss_from = min(
    B for B in range(1, 513) if speculative.batched_speculation(B, 1024, 0.8, 4, **pair).speedup < 1
)
show(
    fig,
    "Left: speed-up against draft length for one user; each curve has one peak. Right: speed-up "
    "against batch size on the roofline; the gain at batch 1 erodes and turns into a loss, with "
    f"four drafted tokens from a batch of {loss_from} on.",
    table={
        "batch": [1, 16, 64, 128, 256, 512],
        **{
            f"gamma = {g}": [
                speculative.batched_speculation(B, 1024, 0.8, g, **pair).speedup
                for B in (1, 16, 64, 128, 256, 512)
            ]
            for g, *_ in lines
        },
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set pair = dict(target=m, draft=facts.get_model("Llama-3-8B"), gpu=g, n_gpus=8) -%>>
# Speculation is a tool for small batches: an interactive service at night, one demanding user, a
# node with short queues. A loaded server has better use for its arithmetic. Longer contexts flatten
# the picture: reading the cache once for all drafted tokens is a saving of its own, and the draft
# has a cache to read, too. At 4096 tokens the speed-up is
# << num(speculative.batched_speculation(64, 4096, 0.8, 4, **pair).speedup, 3) >> at a batch of 64
# and << num(speculative.batched_speculation(256, 4096, 0.8, 4, **pair).speedup, 3) >> at 256.
#
# > **Common mistake.** $\alpha (1 + \alpha\gamma)$ for the tokens of a round: it gives
# > << num(0 * (1 + 0 * 4), 1) >> at $\alpha = 0$, where the large model still adds its own, and
# > << num(0.8 * (1 + 0.8 * 8), 3) >> at (0.8, 8), where there are
# > << num(speculative.expected_tokens(0.8, 8), 3) >>. At (0.8, 4) it is
# > << num(0.8 * (1 + 0.8 * 4), 4) >> against << num(speculative.expected_tokens(0.8, 4), 5) >>, so
# > a single test there proves nothing. And "speculation gives 2.5 times": at what batch?
#
# **Measured.** Seven tokens drafted a round, Llama-3.1-8B with EAGLE-3 under vLLM. The formula
# takes every position for as likely as the first; later ones are less so when they are reached, and
# here the two errors nearly cancel:

# %%
drafts = published.acceptance()
first = drafts.accepted_by_position[0]
told = speculative.expected_tokens(first, drafts.gamma)
print(f"first position accepted: {first:.0%}, formula {told:.2f} tokens a round,", end=" ")
print(f"measured {1 + drafts.accepted / drafts.rounds:.2f}")

# %% [markdown]
# *Source: Y. Leviathan, M. Kalman and Y. Matias, Fast Inference from Transformers via Speculative
# Decoding, 2023, arXiv:2211.17192; C. Chen et al., Accelerating Large Language Model Decoding with
# Speculative Sampling, 2023, arXiv:2302.01318. Measured: vllm-project/vllm, issue 26191.*
#
# **Check yourself.** Half of the drafted tokens are accepted, three are drafted, and a draft step
# takes a tenth of a large one. What is the speed-up for one user?

# %%
answer = None
check_yourself(
    answer,
    lambda: speculative.speculative_speedup(0.5, 3, 0.1)[1],
    "speed-up",
    "Tokens of a round, 1 + alpha + ... + alpha^gamma, over its time, 1 + gamma c.",
    mistakes={
        "that is tokens a step: drafts cost something": 1.875,
        "that counts accepted drafts only: the large model adds one": 0.875 / 1.3,
        "that is 1 + gamma alpha tokens": 2.5 / 1.3,
    },
    worked="1 + 1/2 + 1/4 + 1/8 = 1.875 tokens in 1 + 3 * 0.1 = 1.3 steps: {right}.",
)

# %% [markdown]
# ## 3.13 Distribution
#
# **Question.** Model and cache are spread over many GPUs, and the phases perhaps over many
# machines. What does each way of cutting cost, and when is it cheaper to compute than to move?
#
# ### Tensor parallelism: cut every layer
#
# Each GPU holds $1/n$ of every matrix and some of the heads. A key/value head is the smallest piece
# of the cache, so the memory of section 3.5 adds up only to $n = n_{kv}$; beyond, heads are copied:

# %%
columns = f"{'weights a GPU':>14} {'KV heads':>9} {'cache a GPU':>12} {'copies':>7}"
print(f"{'GPUs':>4} {columns} {'users':>6}")
for cards in (1, 2, 4, 8, 16, 32):
    shard = parallelism.tensor_parallel_shard(
        cards, weights, model.n_layers, model.n_kv_heads, model.head_dim
    )
    fits = memory.max_users(cards, card, weights, shard.total_kv_bytes_per_token, 4096)
    sizes = f"{shard.weight_bytes / 1e9:>11.1f} GB {shard.kv_heads:>9}"
    per_token = f"{shard.kv_bytes_per_token / 1024:>5.0f} KiB/tok"
    print(f"{cards:>4} {sizes} {per_token:>12} {shard.kv_copies:>7} {fits:>6}")

# %% [markdown]
# After attention and again after the feed-forward part the partial sums of all GPUs are added: two
# *all-reduces* a layer. In a ring each takes $2(n-1)$ steps, with a latency $t_0$ and a part of the
# bytes in each. NVIDIA's own library reckons with 6.6 µs a call and 0.6 µs a step over NVLink, which
# spread over the steps is $t_0$:
#
# $$t_{ar} = 2 (n - 1) \left( t_0 + \frac{\text{bytes}}{n \cdot \mathrm{BW}_{link}} \right)$$

# %%
link_Bps = gpu.link_Bps  # NVLink 4, in one direction
hop_s = parallelism.ring_step_s(n)
print(f"t0 = {1e6 * hop_s:.2f} us")
for name, tokens, compute_s in [
    ("decode, B = 1", 1, step(1, 4096)["step_s"]),
    ("decode, B = 64", 64, step(64, 4096)["step_s"]),
    ("prefill, s = 4096", 4096, prefill_s(4096)),
]:
    talk = parallelism.tensor_parallel_comm_s(
        tokens, model.hidden, model.n_layers, n, link_Bps, hop_s
    )
    wait = 2 * model.n_layers * parallelism.all_reduce_s(0, n, link_Bps, hop_s)
    print(f"{name:<18} {1000 * talk:6.2f} ms, of which latency {wait / talk:>4.0%};", end=" ")
    print(f"{talk / compute_s:.0%} of the {1000 * compute_s:.1f} ms without it")

# %% [markdown]
# In decode the messages are tiny and it is latency that counts, which no faster link cures; the
# roofline step of section 3.9 is that much too optimistic for one user. In prefill it is bytes;
# part of them can hide behind arithmetic, and the rest is one reason why $u$ is a half and not one.
#
# **Measured.** Llama-2-70B on A100 of 80 GB, one user with a prompt of 2048 tokens. From four GPUs
# on the step hardly shrinks: what is left is launching kernels and waiting for each other.

# %%
old, a100 = facts.get_model("Llama-2-70B"), facts.get_accelerator("A100-80GB-SXM")
for cards in (2, 4, 8):
    batch = next(
        b for b in published.single_batches(cards) if (b.prompt_tokens, b.batch) == (2048, 1)
    )
    read = old.weight_bytes() + 2048 * old.kv_bytes_per_token()
    hop = parallelism.ring_step_s(cards)
    talk = parallelism.tensor_parallel_comm_s(
        1, old.hidden, old.n_layers, cards, a100.link_Bps, hop
    )
    print(f"{cards} GPUs: reading {1000 * read / cards / a100.bandwidth_Bps:>5.1f} ms,", end=" ")
    print(f"all-reduces {1000 * talk:.1f} ms, measured {1000 * batch.step_s:.1f} ms")

# %% [markdown]
# <<% set ring = parallelism.ring_attention_s(131072, 8, 80, 8192, 327680, 989.4e12, 450e9) -%>>
# Long prompts are also cut along the *tokens* (context parallelism): each GPU keeps a part of them,
# and keys and values go round in a ring behind the arithmetic. For 131 072 tokens on the node that
# is << fixed(1000 * ring["comm_s"], 0) >> ms of traffic behind << fixed(ring["compute_s"], 1) >> s
# of attention.
#
# ### Pipelines: cut the stack of layers
#
# A stage passes activations on once and needs no all-reduce, so pipelines go well between machines.
# But a single request is in one stage at a time: latency does not fall, and the stages need many
# pieces of work to keep busy. The idle share, the *bubble*, is
#
# $$\frac{\text{stages} - 1}{\text{pieces} + \text{stages} - 1}:$$
#
# << fixed(100 * parallelism.pipeline_bubble(4, 1), 0) >> % of four stages
# with one piece, << fixed(100 * parallelism.pipeline_bubble(4, 12), 0) >> % with twelve.
#
# ### Prefill and decode on different machines
#
# Prefill wants arithmetic, decode bandwidth, and each disturbs the other (section 3.11). Apart,
# their numbers can be chosen. If a request takes $T_p$ of a prefill machine and its share $T_d$ of
# a decode machine, $n_p$ and $n_d$ machines carry $\min(n_p / T_p,\ n_d / T_d)$ requests a second:

# %%
prefill_each = prefill_s(4096)
print("eight nodes, prompts of 4096 tokens, batches of 64:")
for n_out in (64, 256, 1024):
    decode_each = (n_out - 1) * step(64, 4096)["step_s"] / 64
    split = parallelism.phase_split(8, prefill_each, decode_each)
    bound = 8 / (prefill_each + decode_each)
    print(f"{n_out:>5} out: {split.prefill} prefill + {split.decode} decode carry", end=" ")
    print(f"{split.max_rps:5.1f} requests/s (nodes that do both: at most {bound:.1f})")

# %% [markdown]
# Whole machines rarely split exactly, so the bound of the undivided fleet is a little higher. What
# is bought is not throughput but independence: no decode step waits for a stranger's prompt. The
# price is that every cache must travel.
#
# ### Move the cache, or compute it again?
#
# $$t_{move} = t_0 + \frac{s k}{\mathrm{BW}_{link}}, \qquad t_{again} = T_p(s), \qquad
# \mathrm{BW}^* = \frac{s k}{T_p(s) - t_0}$$
#
# with $t_0$ the latency before the first byte and $T_p(s)$ the prefill time of section 3.8.

# %%
paths = [
    ("GPU to GPU in the node", 450e9),
    ("host memory, PCIe 5 x16", 64e9),
    ("network, 400 Gbit/s", 50e9),
    ("network, 100 Gbit/s", 12.5e9),
    ("one NVMe drive", 7e9),
]
again = prefill_s(4096)
print(f"compute 4096 tokens again: {1000 * again:.1f} ms on the whole node at half of its peak")
for name, path_Bps in paths:
    seconds = transfer.kv_transfer_s(4096, k, path_Bps)
    verdict = "move" if seconds <= again else "compute again"
    print(f"{name:<24} {path_Bps / 1e9:>6.1f} GB/s {1000 * seconds:>7.1f} ms  {verdict}")
even = transfer.break_even_link_Bps(4096, k, again)
print(f"break-even: {even / 1e9:.2f} GB/s")

# %% jupyter={"source_hidden": true}
token_axis = np.unique(np.round(np.geomspace(32, 131_072, 160)).astype(int))
setup_s = 0.005  # assumption: finding the cache and starting the transfer
links = [
    (50e9, "primary", "-"),
    (12.5e9, "tertiary", "--"),
    (8e9, "secondary", "-."),
    (1e9, "neutral", ":"),
]

fig, ax = plt.subplots(figsize=(10, 6.2))
ax.loglog(
    token_axis,
    [1000 * prefill_s(int(t)) for t in token_axis],
    color=COLORS["error"],
    linewidth=3.2,
    label="compute again",
)
crossings = []
for path_Bps, color, style in links:
    moved = [1000 * transfer.kv_transfer_s(int(t), k, path_Bps, setup_s) for t in token_axis]
    ax.loglog(
        token_axis, moved, style, color=COLORS[color], label=f"move at {path_Bps / 1e9:g} GB/s"
    )
    cross = transfer.crossover_tokens(prefill_s, k, path_Bps, setup_s, 131_072)
    crossings.append(cross)
    if cross:
        at = 1000 * prefill_s(cross)
        ax.plot(cross, at, "o", color=COLORS[color], markersize=10, markeredgecolor="black")
        # Down to where no curve passes.
        ax.vlines(cross, 1.1, at, color=COLORS[color], linewidth=1)
        ax.annotate(f"{cross} tokens", (cross, 1.3), (5, 0), textcoords="offset points")
ax.axhline(1000 * setup_s, color="black", linewidth=1, linestyle=":")
ax.text(1600, 1000 * setup_s * 0.93, f"latency of {1000 * setup_s:g} ms", va="top")
ax.set_xticks(
    [32, 128, 512, 2048, 8192, 32_768, 131_072],
    ["32", "128", "512", "2048", "8192", "32 768", "131 072"],
)
ax.set_yticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1000", "10 000"])
ax.minorticks_off()
ax.set(xlabel="tokens of the conversation", ylabel="time until decode can go on [ms]")
ax.set(xlim=(30, 140_000), ylim=(0.8, 40_000))
ax.set_title("Resume a conversation: from the dot on, moving is sooner")
ax.legend(loc="upper left")
show(
    fig,
    "Log-log chart of the time to resume a conversation. Computing again wins for short ones, "
    "because of the latency of a transfer; moving wins beyond "
    f"{crossings[0]} tokens at 50 GB/s, {crossings[1]} at 12.5 GB/s, {crossings[2]} at 8 GB/s, "
    "and never at 1 GB/s.",
    table={
        "link [GB/s]": [path / 1e9 for path, *_ in links],
        "moving is sooner from [tokens]": ["never" if c is None else c for c in crossings],
        "4096 tokens [ms]": [
            1000 * transfer.kv_transfer_s(4096, k, path, setup_s) for path, *_ in links
        ],
    },
)

# %% [markdown]
# Bytes grow in proportion to the tokens, prefill a little faster. So latency decides for short
# conversations, bandwidth for medium ones, and a link just below the break-even still wins for very
# long ones. Models with smaller $k$ tilt it further towards moving.
#
# > **Common mistake.** "Moving bytes is always cheaper than computing": from one NVMe drive it is
# > not. "NVLink gives 900 GB/s between two GPUs": it is per GPU and both directions summed, so
# > count on half of it one way. And "sixteen GPUs hold twice the users of eight": with tensor
# > parallelism over eight key/value heads the caches are copied, and only the weights get thinner.
#
# *Source: M. Shoeybi et al., Megatron-LM, 2019, arXiv:1909.08053; Y. Huang et al., GPipe, 2019,
# arXiv:1811.06965; Y. Zhong et al., DistServe, OSDI 2024; P. Patel et al., Splitwise, ISCA 2024;
# R. Qin et al., Mooncake, FAST 2025; H. Liu et al., Ring Attention with Blockwise Transformers,
# 2023, arXiv:2310.01889; latencies: NCCL, `src/graph/tuning.cc`. Measured: P. Patel et al.,
# Splitwise (Mutinifni/splitwise-sim, perf_model.csv).*
#
# **Check yourself.** A cache of 2 GB, prefill 120 ms, latency 40 ms. Above which bandwidth in GB/s
# is moving sooner?

# %%
answer = None
check_yourself(
    answer,
    lambda: transfer.break_even_link_Bps(1, 2e9, 0.120, 0.040) / 1e9,
    "GB/s",
    "The latency comes first: the bytes have to move in what it leaves of prefill's time.",
    mistakes={
        "the latency is missing": 2 / 0.12,
        "the latency was added: it leaves less time": 2 / 0.16,
        "that is in Gbit/s": 200.0,
    },
    worked="120 - 40 = 80 ms are left for 2 GB: {right} GB/s.",
)

# %% [markdown]
# ## 3.14 Cost
#
# **Question.** What does a million tokens cost on this node, and how much of that is decided by the
# cache?
#
# $$\mathrm{CPM} = \frac{10^6 \, C \, n}{3600 \, X}, \qquad X = \frac{B}{t(B, s)}$$
#
# **Argument.** Section 1.6 with the throughput of section 3.9. The node costs the same at every
# batch, so the price falls as throughput grows; it stops falling where caches dominate the
# step, and the curve ends where memory ends. $C$ is the rent of a GPU, 3 USD an hour here, an
# assumption.

# %%
hour_usd = 3.0


def decode_usd(batch, seq, k=k):
    """USD per million output tokens of a full node."""
    return cost.cost_per_million(hour_usd, batch / step(batch, seq, k)["step_s"], n)


prompt_usd = cost.cost_per_million(hour_usd, 4096 / prefill_s(4096), n)
for B in (1, 64, room):
    print(f"B = {B:>3}: ${decode_usd(B, 4096):6.2f} per million output tokens")
print(f"prefill: ${prompt_usd:.2f} per million prompt tokens")
split_usd = 4096 * prompt_usd / 1e6, 256 * decode_usd(64, 4096) / 1e6
print(f"4096 tokens in, 256 out at B = 64: ${sum(split_usd):.5f},", end=" ")
print(f"of which the prompt {split_usd[0] / sum(split_usd):.0%}")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(10, 6.2))
ends_at = {}
for seq, color, style in [(512, "tertiary", "-"), (4096, "primary", "-"), (32_768, "error", "-")]:
    for each, shape_style, note in [
        (k, style, ""),
        (model.kv_bytes_per_token(1), "--", ", 8-bit cache"),
    ]:
        if note and seq != 4096:
            continue
        cap = memory.max_users(n, card, weights, each, seq)
        sizes = np.unique(np.round(np.geomspace(1, cap, 100)).astype(int))
        usd = [decode_usd(int(B), seq, each) for B in sizes]
        shade = COLORS["secondary" if note else color]
        ax.loglog(sizes, usd, shape_style, color=shade, label=f"s = {seq}{note}")
        ax.plot(cap, usd[-1], "X", color=shade, markersize=12, markeredgecolor="black")
        ends_at[f"s = {seq}{note}"] = (cap, usd[-1])
        place = {"xytext": (0, -24), "ha": "center"} if note else {"xytext": (9, 7), "ha": "left"}
        label = f"{cap}: ${usd[-1]:.2f}"
        ax.annotate(label, (cap, usd[-1]), textcoords="offset points", **place)
ax.axhline(prompt_usd, color=COLORS["neutral"], linestyle=":", linewidth=2)
ax.text(1.05, prompt_usd * 0.93, f"prompt tokens, s = 4096: ${prompt_usd:.2f}", va="top")
ax.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
ax.set_yticks(
    [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"]
)
ax.minorticks_off()
ax.set(xlabel="sequences in the batch, B", ylabel="USD per million output tokens")
ax.set(xlim=(0.95, 16_000), ylim=(0.08, 60))
ax.set_title(f"The price of a token, and the wall (crosses); {hour_usd:g} USD a GPU-hour")
ax.legend(loc="upper right")
show(
    fig,
    "Log-log chart of cost per million output tokens against batch, for three context lengths. "
    "Every curve falls, flattens and ends at a cross where memory is full: "
    + "; ".join(f"{name}: ${usd:.2f} at batch {cap}" for name, (cap, usd) in ends_at.items())
    + ".",
    table={
        "case": list(ends_at),
        "batch at the wall": [cap for cap, _ in ends_at.values()],
        "USD per million there": [usd for _, usd in ends_at.values()],
    },
)

# %% [markdown]
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# <<% set node = (m.n_params, m.weight_bytes(), m.kv_bytes_per_token(), 8,
#     g.bandwidth_Bps, g.bf16_dense_flops) -%>>
# Context is the hidden factor in a price list: at the wall a token with 32 768 tokens of context
# behind it costs many times what one with 512 costs, on the same node and with the same model,
# because fewer users share the weights and each reads more cache.
#
# > **Common mistake.** Quoting the price at the largest batch. That batch has the longest time per
# > token, << fixed(1000 * roofline.decode_step_s(371, 4096, *node).step_s, 0) >> ms here; at an SLO
# > of 10 ms the batch is << roofline.best_decode_batch(0.010, 4096, 371, *node) >>, and the price
# > is that of *this* batch. And forgetting the prompt: of a request with a long question and a
# > short answer, most of the bill is prefill.
#
# **Measured.** The loops of section 3.9 at the same rent, with what was predicted of them. A card
# of a later year and weights of 8 bits move the price more than any tuning:

# %%
for point in loops.points:
    told = reached[point.concurrency]
    usd = [
        cost.cost_per_million(hour_usd, point.concurrency * 1024 / whole_s, loops.n_gpus)
        for whole_s in (
            point.ttft_s + 1023 * point.tpot_s,
            told.ttft_s + 1023 * told.tpot_s,
        )
    ]
    print(
        f"{point.concurrency:>3} in flight: measured ${usd[0]:.2f}, predicted ${usd[1]:.2f}", end=""
    )
    print(" per million output tokens, prompts included")

# %% [markdown]
# *Source: elementary; the price of an hour is an assumption, stated in the cell.*
#
# **Check yourself.** Eight GPUs at 3 USD an hour make 10 000 tokens/s. USD per million tokens?

# %%
answer = None
check_yourself(
    answer,
    lambda: cost.cost_per_million(3, 10_000, n_gpus=8),
    "USD per million tokens",
    "What all GPUs cost in an hour, over the million tokens that they make in it.",
    mistakes={
        "all eight GPUs are paid, and they make the tokens together": lambda: cost.cost_per_million(
            3, 10_000
        )
    },
    worked="8 * 3 = 24 USD an hour over 36 million tokens an hour: {right} USD.",
)

# %% [markdown]
# ## Looking back
#
# Three resources, three clocks. *Arithmetic* sets how soon a prompt is read. *Bandwidth* sets how
# fast answers flow, because every step reads all weights once and every cache once. *Capacity* sets
# how many can be there at all. One number connects them: $k$, the bytes of a token. It is in the
# wall, in the step, in the transfer and in the price, and most of what this chapter called a
# technique divides it, shares it, pages it or moves it.
#
# Two habits. *Write every factor with its unit*: nearly all the wrong numbers above are one dropped
# or doubled factor. And *ask which of the three is the limit before you tune*: paging does not help
# a step that is slow, speculation does not help a batch that is large, and no kernel helps a prompt
# that should not have been computed twice.
#
# In the lab you will meet the wall with sliders: predict first, then move them. In the exercises
# you will write the functions behind this page.
