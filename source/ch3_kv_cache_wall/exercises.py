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
# # Chapter 3 · Exercises: the KV-cache memory wall
#
# << count | capitalize >> functions that tell you, before you rent anything, how many users a node holds and how fast
# it serves them, worth << num(points['total']) >> points. For each one:
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
# In all << count >>, "error" means: raise `ValueError`. Results are compared as values, to nine digits: an
# `int` for a `float`, a NumPy number or a list for a tuple are fine. No function changes its
# arguments. GB are $10^9$ bytes and GiB are $2^{30}$ bytes, a multiply-add is 2 FLOP, and peaks are
# dense. The package `servemath_helpers` teaches the same formulas. Use it as much as you like,
# except to return its own answer to the very question asked: that earns no points.
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% setup__statement
from servemath_helpers.notebook import check_close, check_equal

GB, GIB = 10**9, 2**30  # bytes

# %% [markdown] kv_bytes_per_token__statement
# *Every token of every conversation leaves something behind in GPU memory. How many bytes?* In
# each layer, each key/value head keeps a key and a value of $d_h$ elements:
#
# $$k = 2 \, n_l \, n_{kv} \, d_h \, b$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $n_l$ | `n_layers` | layers, at least 1 | – |
# | $n_{kv}$ | `n_kv_heads` | key/value heads of a layer, at least 1 | – |
# | $d_h$ | `head_dim` | elements of one head, at least 1 | elements |
# | $b$ | `bytes_per_elem` | bytes of one element, above 0; 2 unless given | bytes |
# | $k$ | (result) | cache of one token | bytes per token |
#
# Write `kv_bytes_per_token(n_layers, n_kv_heads, head_dim, bytes_per_elem=2)`.
#
# - `bytes_per_elem` may be an `int`, a `float` such as 0.5 (4-bit cache), a text such as `"0.5"`,
#   a `Decimal` or a `Fraction`, and means exactly the number that one reads:
#   `Fraction(str(x))` reads all five.
# - Error: a count below 1; `bytes_per_elem` zero or negative.
#
# **Worked number.** Llama-2-13B has 40 layers with 40 key/value heads of 128 elements. In 16 bits
# a token takes << num(memory.kv_bytes_per_token(40, 40, 128), 7) >> bytes.

# %% kv_bytes_per_token__solution
from fractions import Fraction


def kv_bytes_per_token(n_layers, n_kv_heads, head_dim, bytes_per_elem=2):
    """Return the bytes that one token takes in the KV cache, over all layers."""
    ### BEGIN SOLUTION
    size = Fraction(str(bytes_per_elem))
    if min(n_layers, n_kv_heads, head_dim) < 1 or size <= 0:
        raise ValueError("counts must be at least 1, and bytes_per_elem above 0")
    keys_and_values = 2
    return keys_and_values * n_layers * n_kv_heads * head_dim * size
    ### END SOLUTION


# %%
k = kv_bytes_per_token(n_layers=40, n_kv_heads=40, head_dim=128)
print(k, "bytes per token")
check_close(k, 819_200, "the worked number: Llama-2-13B")

# %% kv_bytes_per_token__visible__keys_and_values_of_all_layers
"""Visible: a token of Llama-3-8B, in 16 bits and in 8."""
from servemath_helpers.notebook import check_close

check_close(
    kv_bytes_per_token(n_layers=32, n_kv_heads=8, head_dim=128),
    131_072,
    "kv_bytes_per_token(n_layers=32, n_kv_heads=8, head_dim=128)",
    "Count a key and a value, in every layer, 2 bytes an element.",
)
check_close(
    kv_bytes_per_token(32, 8, 128, bytes_per_elem=1),
    65_536,
    "kv_bytes_per_token(32, 8, 128, bytes_per_elem=1)",
    "The factor 2 for key and value stays when an element takes 1 byte.",
)

# %% kv_bytes_per_token__hidden__values
"""Values: published shapes and many others, whole bytes an element."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        kv_bytes_per_token,
        ((80, 8, 128), 327_680, "Only the key/value heads are cached, 8 of them."),
        ((126, 8, 128), 516_096, "Each layer keeps a key and a value for every key/value head."),
        ((96, 96, 128), 4_718_592, "Multi-head attention: every head keeps its own."),
        ((26, 4, 256), 106_496, "Heads need not have 128 elements."),
        ((1, 1, 1), 4, "One key and one value of 2 bytes each."),
    )
    check_calls(
        kv_bytes_per_token,
        ((80, 8, 128, 4), 655_360),
    )

    dice = random.Random(31)
    shapes = [
        (*(dice.randint(1, top) for top in (130, 128, 192)), dice.randint(1, 32) / 8)
        for _ in range(20)
    ]
    check_calls(
        kv_bytes_per_token,
        *((shape, 2 * math.prod(map(Fraction, shape))) for shape in shapes),
        what="many shapes",
        hint="A key and a value for each layer, key/value head and element, of so many bytes.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_bytes_per_token__hidden__edges
"""Edges: elements below a byte, in every form that `bytes_per_elem` may have."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(kv_bytes_per_token, ((80, 8, 128), 327_680), ((80, 8, 128, 4), 655_360))

    check_forms(
        kv_bytes_per_token,
        (80, 8, 128, "0.5"),
        81_920,
        "Half a byte an element: read every form of input with Fraction(str(x)).",
    )
    check_calls(
        kv_bytes_per_token,
        (
            (3, 1, 1, "0.5625"),
            3.375,
            "An elem of less than a byte may give bytes that are not whole: round nothing.",
        ),
        ((1, 1, 1, "0.000123456789"), 0.000246913578, "Any size above 0 is one: round nothing."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_bytes_per_token__hidden__refused
"""Refused input: a count below 1, `bytes_per_elem` zero or negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(kv_bytes_per_token, ((80, 8, 128), 327_680), ((80, 8, 128, 4), 655_360))

    check_refused(
        kv_bytes_per_token,
        {"n_layers": 80, "n_kv_heads": 8, "head_dim": 128, "bytes_per_elem": 2},
        {
            "n_layers": (0, -80),
            "n_kv_heads": (0, -8),
            "head_dim": (0, -128),
            "bytes_per_elem": (0, -2, "-0.5"),
        },
        "Counts are at least 1, and an element takes more than 0 bytes.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] kv_cache_size__statement
# *The batch runs. How much memory does its cache hold, in the units that the data sheet uses and
# in those that the driver prints?*
#
# $$M_{kv} = B \, s \, k, \qquad 1\ \mathrm{GB} = 10^9\ \mathrm{bytes}, \qquad
# 1\ \mathrm{GiB} = 2^{30}\ \mathrm{bytes}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $s$ | `seq` | tokens of each sequence, a whole number from 0 | tokens |
# | $B$ | `batch` | sequences, a whole number from 0 | sequences |
# | $k$ | `k` | cache of one token, all layers, keys and values, above 0 | bytes per token |
#
# Write `kv_cache_size(seq, batch, k)`. Return a `dict` with exactly the keys `"bytes"`, `"gb"` and
# `"gib"`, all three for the **whole batch**.
#
# - No tokens, or no sequences: all three are 0.
# - Do not round. A cache below a byte an element may give `k` a fraction.
# - Error: `seq` or `batch` negative, `k` negative. `k` = 0 is not asked.
#
# **Worked number.** 12 sequences of 3000 tokens at 131 072 bytes per token take
# << num(memory.kv_cache_size(3000, 12, 131072)['gb'], 5) >> GB, which is
# << num(memory.kv_cache_size(3000, 12, 131072)['gib'], 5) >> GiB.


# %% kv_cache_size__solution
def kv_cache_size(seq, batch, k):
    """Return the size of the batch's KV cache in bytes, GB and GiB."""
    ### BEGIN SOLUTION
    if seq < 0 or batch < 0 or k < 0:
        raise ValueError("seq, batch and k must not be negative")
    total = batch * seq * k
    return {"bytes": total, "gb": total / 10**9, "gib": total / 2**30}
    ### END SOLUTION


# %%
cache = kv_cache_size(seq=3000, batch=12, k=131_072)
print(cache)
check_close(
    [cache["gb"], cache["gib"]],
    [4.7186, 4.3945],
    "the worked numbers: GB and GiB of 12 sequences",
    rel_tol=1e-4,
)

# %% kv_cache_size__visible__one_sequence_in_three_units
"""Visible: one sequence of 4096 tokens, in bytes, GB and GiB."""
from servemath_helpers.notebook import check_close, check_equal

got = kv_cache_size(seq=4096, batch=1, k=2_621_440)
check_equal(
    sorted(got) if isinstance(got, dict) else got,
    ["bytes", "gb", "gib"],
    "the sorted keys of kv_cache_size(seq=4096, batch=1, k=2_621_440)",
    "Return a dict with exactly these keys.",
)
check_close(
    got,
    {"bytes": 10_737_418_240, "gb": 10.73741824, "gib": 10},
    "kv_cache_size(seq=4096, batch=1, k=2_621_440)",
    "A GiB is larger than a GB, so there are fewer of them.",
)

# %% kv_cache_size__hidden__values
"""Values: bytes, GB and GiB of whole batches."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import math
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    check_calls(
        kv_cache_size,
        (
            (4096, 1, 327_680),
            {"bytes": 1_342_177_280, "gb": 1.34217728, "gib": 1.25},
            "GB with 10**9, GiB with 2**30.",
        ),
        (
            (4096, 64, 327_680),
            {"bytes": 64 * 1_342_177_280, "gb": 85.89934592, "gib": 80},
            "All three are for the whole batch.",
        ),
    )

    dice = random.Random(32)
    batches = [[dice.randint(1, top) for top in (131_072, 500, 5_000_000)] for _ in range(15)]
    check_calls(
        kv_cache_size,
        *(
            (batch, {"bytes": total, "gb": Fraction(total, 10**9), "gib": Fraction(total, 2**30)})
            for batch, total in ((batch, math.prod(batch)) for batch in batches)
        ),
        what="many batches",
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_cache_size__hidden__edges
"""Edges: no tokens, no sequences, a cache below a byte an element."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        kv_cache_size,
        ((4096, 1, 327_680), {"bytes": 1_342_177_280, "gb": 1.34217728, "gib": 1.25}),
        ((4096, 64, 327_680), {"bytes": 64 * 1_342_177_280, "gb": 85.89934592, "gib": 80}),
    )

    check_calls(
        kv_cache_size,
        (
            (1, 1, 0.5),
            {"bytes": 0.5, "gb": 5e-10, "gib": 2**-31},
            "Round nothing: half a byte is a little of a GB.",
        ),
        (
            (10, 3, 81_920.5),
            {"bytes": 2_457_615, "gb": 0.002457615, "gib": 2_457_615 / 2**30},
            "A cache below a byte an element may give k a fraction.",
        ),
    )
    check_calls(
        kv_cache_size,
        *(
            (call, {"bytes": 0, "gb": 0, "gib": 0})
            for call in ((0, 8, 327_680), (4096, 0, 327_680), (0, 0, 327_680))
        ),
        hint="Nothing stored takes 0 bytes; it is no error.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% kv_cache_size__hidden__refused
"""Refused input: `seq`, `batch` or `k` negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(
        kv_cache_size,
        ((4096, 1, 327_680), {"bytes": 1_342_177_280, "gb": 1.34217728, "gib": 1.25}),
        ((4096, 64, 327_680), {"bytes": 64 * 1_342_177_280, "gb": 85.89934592, "gib": 80}),
    )
    check_refused(
        kv_cache_size,
        {"seq": 4096, "batch": 8, "k": 327_680},
        {"seq": (-1, -4096), "batch": (-1, -8), "k": (-0.5, -327_680)},
        "seq, batch and k are never negative.",
    )
    check_refused(kv_cache_size, {"seq": 0, "batch": 8, "k": 1}, {"k": (-1,)}, "Even for nothing.")


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] min_gpus__statement
# *Before the first user comes, the weights must be in memory. How many GPUs does that take?*
#
# $$W_b = \left\lceil \frac{N \cdot \mathrm{bits}}{8} \right\rceil, \qquad
# n = \left\lceil \frac{W_b}{M (1 - r)} \right\rceil$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $N$ | `n_params` | parameters, at least 1 | – |
# | bits | `bits` | bits of one parameter, above 0: 16, 8, 4, also 3 or 5 | bits |
# | $M$ | `gpu_bytes` | memory of one GPU, above 0 | bytes |
# | $r$ | `reserve` | share of each GPU's memory that is kept free, in [0, 1); `'0'` unless given | – |
# | $W_b$ | | weights, rounded up to a whole byte | bytes |
#
# Write `min_gpus(n_params, bits, gpu_bytes, reserve='0')` and return an `int`. Any number of GPUs
# is allowed, not only powers of two.
#
# - `reserve` may be an `int`, a text such as `"0.1"`, a `Decimal`, a `Fraction` or a `float`, and
#   means exactly the decimal that one reads: `Fraction(str(x))`.
# - Weights that fill the usable memory exactly fit: no GPU is added.
# - Error: `n_params` below 1; `bits` or `gpu_bytes` zero or negative; `reserve` outside [0, 1).
#
# **Worked number.** GPT-3 has 174 604 259 328 parameters. In 16 bits it needs
# << memory.min_gpus(174604259328, 16, 80 * 10**9) >> cards of 80 GB, and
# << memory.min_gpus(174604259328, 16, 80 * 10**9, '0.2') >> if a fifth of each is kept free.

# %% min_gpus__solution
import math
from fractions import Fraction


def min_gpus(n_params, bits, gpu_bytes, reserve="0"):
    """Return the least number of GPUs whose usable memory holds the weights."""
    ### BEGIN SOLUTION
    reserve = Fraction(str(reserve))
    if n_params < 1 or bits <= 0 or gpu_bytes <= 0:
        raise ValueError("n_params must be at least 1, bits and gpu_bytes above 0")
    if not 0 <= reserve < 1:
        raise ValueError("reserve must be in [0, 1)")
    weights = math.ceil(Fraction(n_params) * Fraction(str(bits)) / 8)
    return math.ceil(weights / (Fraction(gpu_bytes) * (1 - reserve)))
    ### END SOLUTION


# %%
gpt3 = 174_604_259_328
cards = [min_gpus(gpt3, 16, 80 * 10**9), min_gpus(gpt3, 16, 80 * 10**9, "0.2")]
print(cards[0], "or, with a reserve,", cards[1])
check_equal(cards, [5, 6], "the worked numbers: without and with a reserve")

# %% min_gpus__visible__weights_of_the_70b
"""Visible: the weights of Llama-3-70B in 16 and in 8 bits."""
from servemath_helpers.notebook import check_equal

check_equal(
    min_gpus(70_553_706_496, bits=16, gpu_bytes=80 * 10**9),
    2,
    "min_gpus(70_553_706_496, bits=16, gpu_bytes=80 * 10**9)",
    "141.1 GB do not fit on one card of 80 GB: 16 bits are 2 bytes.",
)
check_equal(
    min_gpus(70_553_706_496, bits=8, gpu_bytes=80 * 10**9),
    1,
    "min_gpus(70_553_706_496, bits=8, gpu_bytes=80 * 10**9)",
    "8 bits are one byte: 70.6 GB fit on one card.",
)

# %% min_gpus__hidden__values
"""Values: large models and small ones, many of them with a reserve."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    card = 80 * 10**9
    check_calls(
        min_gpus,
        (
            (405_853_388_800, 16, card),
            11,
            "The smallest number of GPUs whose usable memory holds the weights, not a power of two.",
        ),
        (
            (405_853_388_800, 8, card),
            6,
            "The smallest number of GPUs whose usable memory holds the weights: round up.",
        ),
        (
            (70_553_706_496, 4, card),
            1,
            "The weights take n_params times bits: less than 8 bits are a part of a byte, not none.",
        ),
        (
            (405_853_388_800, 4, card),
            3,
            "The weights take n_params times bits, over 8 bits a byte.",
        ),
        ((671_026_419_200, 8, card), 9, "Weights that do not fit need one more GPU: round up."),
        exact=True,
    )
    check_calls(
        min_gpus,
        (
            (108 * 10**9 + 1, 16, card, "0.1"),
            4,
            "reserve is the share of each GPU that stays free: a byte more than the rest needs another.",
        ),
        exact=True,
    )

    dice = random.Random(33)
    rows = []
    for _ in range(20):
        gpus, percent, unit = dice.randint(1, 64), dice.randint(0, 99), dice.randint(1, 10**9)
        # usable memory is unit * (100 - percent) bytes a card, filled to the last byte
        weights = gpus * unit * (100 - percent)
        reserve = f"{percent / 100:.2f}"
        rows.append(((weights, 8, 100 * unit, reserve), gpus))
        rows.append(((weights + 1, 8, 100 * unit, reserve), gpus + 1))
    check_calls(
        min_gpus,
        *rows,
        what="many exact fits, and one byte more",
        hint="Weights that fill the usable memory exactly fit; a byte more needs one more GPU.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% min_gpus__hidden__edges
"""Edges: weights that fit exactly, a byte too many, odd bits, every digit and form of `reserve`."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    card = 80 * 10**9
    check_first(min_gpus, ((405_853_388_800, 16, card), 11), ((405_853_388_800, 8, card), 6))
    check_calls(
        min_gpus,
        ((40 * 10**9, 16, card), 1, "An exact fit fits: no GPU is added."),
        ((120 * 10**9, 16, card), 3, "An exact fit fits: no GPU is added."),
        ((120 * 10**9 + 1, 16, card), 4, "Two bytes too many need another GPU."),
        ((1, 16, card), 1, "Even a small model needs a GPU."),
        ((3, 3, 1), 2, "The weights take n_params times bits, in whole bytes rounded up."),
        (
            (17, 1, 1, 0),
            3,
            "bits may be as few as one: the weights take n_params times bits, over 8 bits a byte.",
        ),
        (
            (8, 5, 5),
            1,
            "Weights that fill the usable memory exactly fit: bits are eighths of a byte.",
        ),
        ((3, 4, 3, "0.5"), 2, "Weights that do not fit the usable memory need one more GPU."),
        exact=True,
    )

    check_forms(
        min_gpus,
        (108 * 10**9, 16, card, "0.1"),
        3,
        "reserve is the share of each GPU that stays free; weights that fill the rest exactly fit.",
        exact=True,
    )
    check_calls(
        min_gpus,
        (
            (12 * 10**9, 16, card, "0.9"),
            3,
            "reserve means exactly the decimal that one reads: 1 - reserve as a double is too small.",
        ),
        (
            (9 * 10**19, 8, 10**20, "0.10000000000000000001"),
            2,
            "reserve means exactly the decimal that one reads: every digit counts.",
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% min_gpus__hidden__refused
"""Refused input: `n_params` below 1, `bits` or `gpu_bytes` zero or negative, `reserve` outside [0, 1)."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    card = 80 * 10**9
    check_first(min_gpus, ((405_853_388_800, 16, card), 11), ((405_853_388_800, 8, card), 6))

    check_refused(
        min_gpus,
        {"n_params": 10, "bits": 16, "gpu_bytes": card},
        {
            "n_params": (0, -5),
            "bits": (0, -16),
            "gpu_bytes": (0, -card),
            "reserve": (1, "1.2", 10, -2, "-0.1"),
        },
        "n_params is at least 1, bits and gpu_bytes are above 0, reserve is in [0, 1).",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] max_users__statement
# *The weights are loaded. How many users can have a conversation of $s$ tokens at the same time?*
# GPUs share weights and cache evenly, so that their memories add up:
#
# $$U = \max\left(0, \left\lfloor \frac{n M (1 - r) - W_b}{k s} \right\rfloor\right)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $n$ | `n_gpus` | GPUs, at least 1 | – |
# | $M$ | `gpu_bytes` | memory of one GPU, above 0 | bytes |
# | $W_b$ | `weight_bytes` | weights on all GPUs together, at least 0 | bytes |
# | $k$ | `k` | cache of one token, above 0 | bytes per token |
# | $s$ | `seq` | tokens of each user, at least 1 | tokens |
# | $r$ | `reserve` | share of the **memory** that is kept free, in [0, 1); `'0'` unless given | – |
#
# Write `max_users(n_gpus, gpu_bytes, weight_bytes, k, seq, reserve='0')` and return an `int`.
#
# - `reserve` may be an `int`, a text such as `"0.1"`, a `Decimal`, a `Fraction` or a `float`, and
#   means exactly the decimal that one reads. Round down once, at the end, and exactly: users who
#   fill the memory to the last byte fit.
# - Weights that do not fit leave room for nobody: 0, never less.
# - Error: `n_gpus` or `seq` below 1; `k` zero or negative; `gpu_bytes` or `weight_bytes` negative;
#   `reserve` outside [0, 1). `gpu_bytes` = 0 is not asked.
#
# **Worked number.** Two cards of 24 GB with 16 060 522 496 bytes of weights hold
# << memory.max_users(2, 24 * 10**9, 16060522496, 131072, 2000) >> users of 2000 tokens at
# 131 072 bytes each, and << memory.max_users(2, 24 * 10**9, 16060522496, 131072, 2000, '0.25') >>
# if a quarter of the memory is kept free.

# %% max_users__solution
from fractions import Fraction


def max_users(n_gpus, gpu_bytes, weight_bytes, k, seq, reserve="0"):
    """Return how many users of seq tokens fit beside the weights."""
    ### BEGIN SOLUTION
    reserve = Fraction(str(reserve))
    if n_gpus < 1 or seq < 1 or k <= 0:
        raise ValueError("n_gpus and seq must be at least 1, and k above 0")
    if gpu_bytes < 0 or weight_bytes < 0 or not 0 <= reserve < 1:
        raise ValueError("sizes must not be negative, and reserve must be in [0, 1)")
    memory_bytes = n_gpus * Fraction(gpu_bytes) * (1 - reserve)
    room = memory_bytes - Fraction(weight_bytes)
    return max(0, room // (Fraction(k) * seq))
    ### END SOLUTION


# %%
small_cards = (2, 24 * 10**9, 16_060_522_496, 131_072, 2000)
users = [max_users(*small_cards), max_users(*small_cards, reserve="0.25")]
print(users[0], "users, or", users[1])
check_equal(users, [121, 76], "the worked numbers: without and with a reserve")

# %% max_users__visible__eight_cards_and_four
"""Visible: Llama-3-70B on eight cards and on four, 4096 tokens each."""
from servemath_helpers.notebook import check_equal

check_equal(
    max_users(8, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096),
    371,
    "max_users(8, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096)",
    "The weights are there once, on all GPUs together; take them off, then divide by k seq.",
)
check_equal(
    max_users(4, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096),
    133,
    "max_users(4, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096)",
    "Half of the cards hold far fewer than half of the users: the weights stay as large.",
)

# %% max_users__hidden__values
"""Values: contexts, caches and cards of many sizes, rounded down once."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    card, weights, k = 80 * 10**9, 141_107_412_992, 327_680
    check_calls(
        max_users,
        (
            (2, card, weights, k, 4096),
            14,
            "Users fill what the weights leave of the usable memory, k bytes a token.",
        ),
        ((8, card, weights, k, 8192), 185, "Twice the tokens, half the users, rounded down."),
        ((8, card, weights, k, 32_768), 46, "Users fall as one over seq, the tokens of a user."),
        ((8, card, weights, k, 131_072), 11, "Users fall as one over seq, the tokens of a user."),
        ((8, card, weights, 8 * k, 8192), 23, "Users fall as one over k, the cache of a token."),
        ((8, card, weights, k // 2, 4096), 743, "Round down once, at the end."),
        (
            (8, 80 * 2**30, weights, k, 4096),
            406,
            "gpu_bytes are bytes: stay with the memory as it is given.",
        ),
        (
            (8, 80 * 2**30, weights, 8 * k, 4096),
            50,
            "gpu_bytes are bytes: stay with the memory as it is given.",
        ),
        ((2, 15, 0, 10, 1), 3, "The memories of all GPUs add up before you round."),
        exact=True,
    )

    dice = random.Random(34)
    rows = []
    for _ in range(20):
        users, seq, k = dice.randint(1, 900), dice.randint(1, 9000), dice.randint(1, 500_000)
        n_gpus, percent = dice.randint(1, 16), dice.randint(0, 99)
        # a card whose usable part is a whole number of bytes, and weights that leave exact room
        unit = -(-users * seq * k // (n_gpus * (100 - percent))) + dice.randint(0, 10**6)
        weights = n_gpus * unit * (100 - percent) - users * seq * k
        for excess, fits in ((0, users), (1, users - 1)):
            case = (n_gpus, 100 * unit, weights + excess, k, seq, f"{percent / 100:.2f}")
            rows.append((case, fits))
    check_calls(
        max_users,
        *rows,
        what="many exact fits, and one byte less of room",
        hint="Round down once, at the end, and exactly: users who fill the memory to the last byte fit.",
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% max_users__hidden__edges
"""Edges: weights that do not fit, the last byte, every digit and form of `reserve`."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    card, weights, k = 80 * 10**9, 141_107_412_992, 327_680
    check_first(max_users, ((2, card, weights, k, 4096), 14), ((8, card, weights, k, 8192), 185))
    check_calls(
        max_users,
        ((1, card, weights, k, 4096), 0, "The weights do not fit: nobody, not less than nobody."),
        ((8, card, weights, k, 2_000_000), 0, "One user too long for the memory: 0."),
        ((1, 100, 100, 1, 1), 0, "No byte left, no user."),
        ((1, 101, 100, 1, 1), 1, "The last byte counts."),
        ((1, 100, 0, 10, 1, 0), 10, "Without weights, all memory is cache."),
        exact=True,
    )

    check_forms(
        max_users,
        (8, card, weights, k, 4096, "0.1"),
        324,
        "The reserve is a share of the memory, not of what the weights leave.",
        exact=True,
    )
    for reserve, free in (("0.1", 90), ("0.7", 30), ("0.9", 10)):
        check_forms(
            max_users,
            (1, 1000, 0, free, 1, reserve),
            10,
            "Ten users fill the memory exactly: compute with exact numbers.",
            exact=True,
        )
    check_calls(
        max_users,
        ((1, 100, 99, 1, 1, "0.5"), 0, "The reserve can push the weights out."),
        (
            (1, 10**20, 0, 9 * 10**19, 1, "0.10000000000000000001"),
            0,
            "reserve means exactly the decimal that one reads: every digit counts.",
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% max_users__hidden__refused
"""Refused input: a count below 1, `k` zero or negative, a negative size, `reserve` outside [0, 1)."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    card, weights, k = 80 * 10**9, 141_107_412_992, 327_680

    fine = {"n_gpus": 8, "gpu_bytes": card, "weight_bytes": weights, "k": k, "seq": 4096}
    hint = "Counts are at least 1, k is above 0, no size is negative, reserve is in [0, 1)."
    broken = {
        "n_gpus": (0, -8),
        "gpu_bytes": (-1, -card),
        "weight_bytes": (-1, -weights),
        "k": (0, -k),
        "seq": (0, -4096),
        "reserve": (1, "1.5", 10, -2, "-0.1"),
    }
    check_first(max_users, ((2, card, weights, k, 4096), 14), ((8, card, weights, k, 8192), 185))
    check_refused(max_users, fine, broken, hint)
    no_room = {name: values[:1] for name, values in broken.items()}
    check_refused(max_users, fine | {"n_gpus": 1, "gpu_bytes": 10}, no_room, hint, pairs=False)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] paged_blocks__statement
# *The cache is handed out in blocks of a few tokens, as memory is in pages. How many blocks are in
# use, and how much of them is empty?* No block is shared between sequences:
#
# $$\text{blocks} = \sum_i \left\lceil \frac{s_i}{p} \right\rceil, \qquad
# \text{allocated} = p \cdot \text{blocks}, \qquad
# \text{waste} = 1 - \frac{\sum_i s_i}{\text{allocated}}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $s_i$ | `lengths` | tokens of each sequence, whole numbers from 0: list, tuple or NumPy array | tokens |
# | $p$ | `block` | tokens that one block holds, at least 1 | tokens |
#
# Write `paged_blocks(lengths, block)`. Return a tuple `(blocks, allocated_tokens, waste)`, totals
# over all sequences: allocated tokens are those for which memory is held, and `waste` is a share
# between 0 and 1.
#
# - A sequence whose length is a multiple of `block` gets no further block, and one of length 0
#   gets none.
# - Nothing to store: `(0, 0, 0.0)`.
# - Error: `block` below 1; a negative length.
#
# **Worked number.** Sequences of 100, 7 and 64 tokens in blocks of 32 take
# << memory.paged_blocks([100, 7, 64], 32)[0] >> blocks for
# << memory.paged_blocks([100, 7, 64], 32)[1] >> tokens, of which
# << num(100 * memory.paged_blocks([100, 7, 64], 32)[2], 4) >> % are empty.


# %% paged_blocks__solution
def paged_blocks(lengths, block):
    """Return blocks in use, tokens allocated, and the share of them that is empty."""
    ### BEGIN SOLUTION
    if block < 1:
        raise ValueError("block must be at least 1")
    if any(length < 0 for length in lengths):
        raise ValueError("no length may be negative")
    blocks = sum(-(-length // block) for length in lengths)  # ceil, in whole numbers
    allocated = blocks * block
    if allocated == 0:
        return 0, 0, 0.0
    return blocks, allocated, 1 - sum(lengths) / allocated
    ### END SOLUTION


# %%
paged = paged_blocks([100, 7, 64], block=32)
print(paged)
check_close(paged, (7, 224, 0.2366), "the worked numbers of three sequences", rel_tol=1e-3)

# %% paged_blocks__visible__two_sequences
"""Visible: two sequences that both leave room in their last block."""
from servemath_helpers.notebook import check_close

check_close(
    paged_blocks([35, 18], 16),
    (5, 80, 0.3375),
    "paged_blocks([35, 18], 16)",
    "Round up for each sequence; waste is a share of the tokens allocated.",
)
check_close(
    paged_blocks([5], 8),
    (1, 8, 0.375),
    "paged_blocks([5], 8)",
    "Three of eight token slots are empty.",
)

# %% paged_blocks__hidden__values
"""Values: blocks, tokens and the wasted share of many batches."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls

    check_calls(
        paged_blocks,
        (([1, 1, 1, 1], 16), (4, 64, 60 / 64), "No block is shared between sequences."),
        (([3, 5], 4096), (2, 8192, 1 - 8 / 8192), "A block may be longer than any sequence."),
    )

    dice = random.Random(35)
    rows = []
    for _ in range(20):
        lengths = [dice.randint(0, 5000) for _ in range(dice.randint(1, 30))]
        block = dice.choice((1, 7, 8, 16, 64, 256, 1000))
        blocks = 0
        for length in lengths:
            full, rest = divmod(length, block)
            blocks += full + (rest > 0)
        allocated = blocks * block
        waste = (allocated - sum(lengths)) / allocated if allocated else 0
        rows.append(((lengths, block), (blocks, allocated, waste)))
    check_calls(
        paged_blocks,
        *rows,
        what="many batches",
        hint="Each sequence takes whole blocks of its own, rounded up; wasted is the share of tokens without use.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% paged_blocks__hidden__edges
"""Edges: full blocks, nothing to store, blocks of one token, tuples and arrays."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first, check_forms

    check_first(paged_blocks, (([35, 18], 16), (5, 80, 27 / 80)))

    check_calls(
        paged_blocks,
        (([4096], 16), (256, 4096, 0), "A multiple of the block gets no further block."),
        (([16, 32, 48], 16), (6, 96, 0), "A multiple of the block gets no further block."),
        (([17], 16), (2, 32, 15 / 32), "One token more opens a new block."),
        (([5, 9], 1), (14, 14, 0), "Blocks of one token waste nothing."),
        (([0, 20], 16), (2, 32, 12 / 32), "A sequence of length 0 takes no block."),
    )
    check_forms(
        paged_blocks,
        ([35, 18], 16),
        (5, 80, 27 / 80),
        "lengths may be a list, a tuple or an array.",
    )
    for lengths in ([], [0], [0, 0, 0]):
        check_forms(
            paged_blocks,
            (lengths, 16),
            (0, 0, 0.0),
            "Nothing to store: nothing is wasted, and nothing is divided by 0.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% paged_blocks__hidden__refused
"""Refused input: `block` below 1, a negative length."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    check_first(paged_blocks, (([35, 18], 16), (5, 80, 27 / 80)))
    for good in ([5, 40], [], [0, 0]):
        check_refused(
            paged_blocks,
            {"lengths": good, "block": 16},
            {"block": (0, -16), "lengths": ([-5], [40, -1], [0, -16])},
            "block is at least 1, and no length is negative.",
        )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] prefill_time_s__statement
# *A prompt arrives. How long until the machine has read it?* Prefill multiplies every token with
# every parameter, and looks from every token back at all earlier ones. It is bound by arithmetic:
#
# $$A = 2 N s + 2 n_l \, d_q \, s^2, \qquad t = \frac{A}{n \, F \, u}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $N$ | `n_params` | parameters that a token passes through, at least 1 | – |
# | $s$ | `seq` | tokens of the prompt, from 0 | tokens |
# | $n_l$ | `layers` | layers, at least 1 | – |
# | $d_q$ | `d_attn` | **query** heads times elements of a head, at least 1 | elements |
# | $n$ | `n_gpus` | GPUs that share the work evenly, at least 1 | – |
# | $F$ | `peak_flops` | dense peak of one GPU, above 0 | FLOP/s |
# | $u$ | `mfu` | share of that peak that is reached, in (0, 1]; 0.5 unless given | – |
#
# A multiply-add is 2 FLOP. Scores and weighted values take $4 d_q$ FLOP for each pair of tokens
# and layer, and a causal model looks at half of the $s^2$ pairs: hence $2 n_l d_q s^2$.
#
# Write `prefill_time_s(n_params, seq, layers, d_attn, n_gpus, peak_flops, mfu=0.5)` and return
# seconds.
#
# - `seq = 0`: 0.0.
# - Error: `n_params`, `layers`, `d_attn` or `n_gpus` below 1; `seq` negative; `peak_flops` zero or
#   negative; `mfu` outside (0, 1].
#
# **Worked number.** 1000 tokens of a model of 8 billion parameters, 32 layers and a $d_q$ of 4096
# take << num(1000 * roofline.prefill_time_s(8 * 10**9, 1000, 32, 4096, 2, 4e14), 5) >> ms on two
# GPUs of 400 TFLOP/s at half of their peak.


# %% prefill_time_s__solution
def prefill_time_s(n_params, seq, layers, d_attn, n_gpus, peak_flops, mfu=0.5):
    """Return the time of the prefill of one prompt in seconds."""
    ### BEGIN SOLUTION
    if min(n_params, layers, d_attn, n_gpus) < 1 or seq < 0:
        raise ValueError("counts must be at least 1, and seq at least 0")
    if peak_flops <= 0 or not 0 < mfu <= 1:
        raise ValueError("peak_flops must be above 0, and mfu in (0, 1]")
    matrix_flop = 2 * n_params * seq
    attention_flop = 2 * layers * d_attn * seq**2
    return (matrix_flop + attention_flop) / (n_gpus * peak_flops * mfu)
    ### END SOLUTION


# %%
prefill_ms = 1000 * prefill_time_s(8 * 10**9, 1000, 32, 4096, n_gpus=2, peak_flops=4e14)
print(prefill_ms, "ms")
check_close(prefill_ms, 40.655, "the worked number: ms of 1000 tokens", rel_tol=1e-4)

# %% prefill_time_s__visible__a_long_prompt_of_the_70b
"""Visible: 4096 tokens of Llama-3-70B on eight GPUs, at half of the peak and at all of it."""
from servemath_helpers.notebook import check_close

llama = {"n_params": 70_553_706_496, "layers": 80, "d_attn": 8192}
check_close(
    prefill_time_s(seq=4096, n_gpus=8, peak_flops=989.4e12, **llama),
    0.15159849306922174,
    "prefill_time_s(seq=4096, n_gpus=8, peak_flops=989.4e12, **llama)",
    "2 N FLOP a token, and 2 n_l d_q for each of s * s pairs (half of 4: causal); mfu is 0.5.",
)
check_close(
    prefill_time_s(seq=4096, n_gpus=8, peak_flops=989.4e12, mfu=1, **llama),
    0.07579924653461087,
    "prefill_time_s(seq=4096, n_gpus=8, peak_flops=989.4e12, mfu=1, **llama)",
    "At the full peak it takes half as long as at half of it.",
)

# %% prefill_time_s__hidden__values
"""Values: both terms, together and by themselves, of many machines."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_close

    check_calls(
        prefill_time_s,
        (
            (70_553_706_496, 512, 80, 8192, 8, 989.4e12),
            0.01834207419536689,
            "A short prompt: nearly all of it is 2 N s.",
        ),
        (
            (1, 1000, 10, 64, 1, 1e9, 1),
            1.280002,
            "With one parameter, attention is all: 2 n_l d_q s**2 FLOP.",
        ),
    )
    twice, once = (prefill_time_s(1, seq, 4, 128, 2, 1e12, 0.25) for seq in (20_000, 10_000))
    check_close(
        twice - 2 * once,
        2 * 4 * 128 * 2 * 10_000**2 / 0.5e12,
        "t(2 s) - 2 t(s), which leaves the quadratic part",
        "Twice the prompt, four times the attention.",
    )

    dice = random.Random(36)
    rows = []
    for _ in range(20):
        params, seq = dice.randint(1, 10**12), dice.randint(1, 131_072)
        layers, width, gpus = dice.randint(1, 130), dice.randint(64, 16_384), dice.randint(1, 16)
        tera, percent = dice.randint(1, 2000), dice.randint(1, 100)
        flop = 2 * seq * (params + layers * width * seq)
        seconds = Fraction(100 * flop, gpus * tera * 10**12 * percent)
        rows.append(((params, seq, layers, width, gpus, tera * 1e12, percent / 100), seconds))
    check_calls(
        prefill_time_s,
        *rows,
        what="many machines",
        hint="FLOP of parameters and of attention, over the share mfu of the peak of all GPUs.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% prefill_time_s__hidden__edges
"""Edges: an empty prompt, one token, any peak and any share above 0."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        prefill_time_s,
        ((70_553_706_496, 512, 80, 8192, 8, 989.4e12), 0.01834207419536689),
        ((1, 1000, 10, 64, 1, 1e9, 1), 1.280002),
    )

    check_calls(
        prefill_time_s,
        (
            (10**9, 1, 1, 1, 1, 1e9, 1),
            2 + 2e-9,
            "One token passes every parameter with one multiply-add: 2 FLOP.",
        ),
        ((1, 1, 1, 1, 1, 0.2, 0.001234), 4 / 0.0002468, "Any peak and any share above 0 will do."),
    )
    check_calls(
        prefill_time_s,
        *(
            (call, 0)
            for call in (
                (70_553_706_496, 0, 80, 8192, 8, 989.4e12),
                (1, 0, 1, 1, 1, 1.0, 1),
            )
        ),
        hint="No prompt, no time.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% prefill_time_s__hidden__refused
"""Refused input: a count below 1, `seq` negative, no peak, `mfu` outside (0, 1]."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    fine = {"n_params": 10**9, "seq": 100, "layers": 10, "d_attn": 64, "n_gpus": 2}
    fine |= {"peak_flops": 1e12, "mfu": 0.5}
    hint = "Counts are at least 1, seq at least 0, peak_flops above 0, mfu a share in (0, 1]."
    broken = {
        "n_params": (0, -(10**9)),
        "seq": (-1, -100),
        "layers": (0, -10),
        "d_attn": (0, -64),
        "n_gpus": (0, -2),
        "peak_flops": (0, -1e12),
        "mfu": (0, -3, -0.5, 1.0001, 50),
    }
    check_first(
        prefill_time_s,
        ((70_553_706_496, 512, 80, 8192, 8, 989.4e12), 0.01834207419536689),
        ((1, 1000, 10, 64, 1, 1e9, 1), 1.280002),
    )
    check_refused(prefill_time_s, fine, broken, hint)
    no_prompt = {name: values[:1] for name, values in broken.items() if name != "seq"}
    check_refused(prefill_time_s, fine | {"seq": 0}, no_prompt, hint, pairs=False)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] decode_step_s__statement
# <<% set one = (8030261248, 16060522496, 131072, 1, 3.35e12, 989.4e12) -%>>
# *One step of decoding gives every sequence of the batch its next token. How long does it take,
# and what holds it up?* The cache of every sequence is read, the weights are read once, and each
# sequence is multiplied with all parameters; weights are read and used at the same time:
#
# $$t = \frac{B s k}{n \, \mathrm{BW}} + \max(t_w, t_c), \qquad
# t_w = \frac{W_b}{n \, \mathrm{BW}}, \qquad t_c = \frac{2 N B}{n F}$$
#
# $$\mathrm{MFU} = \frac{2 N B}{n F \, t}, \qquad
# \mathrm{MBU} = \frac{W_b + B s k}{n \, \mathrm{BW} \, t}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $B$ | `batch` | sequences, at least 1 | sequences |
# | $s$ | `seq` | tokens of context of each sequence, from 0 | tokens |
# | $N$ | `n_params` | parameters that a token passes through, at least 1 | – |
# | $W_b$ | `weight_bytes` | weights on all GPUs together, above 0 | bytes |
# | $k$ | `k` | cache of one token, at least 0 | bytes per token |
# | $n$ | `n_gpus` | GPUs that share everything evenly, at least 1 | – |
# | BW | `bw_Bps` | memory bandwidth of one GPU, above 0 | bytes/s |
# | $F$ | `peak_flops` | dense peak of one GPU, above 0 | FLOP/s |
#
# Write `decode_step_s(batch, seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops)`. Return
# a `dict` with exactly the keys `"step_s"` ($t$, in s), `"bound"`, `"mfu"` and `"mbu"`. `"bound"`
# is `"compute"` if $t_c > t_w$, else `"memory"`.
#
# - Every sequence gets one token a step, so the time per output token of a user is the step
#   itself, whatever the batch.
# - Error: `batch`, `n_params` or `n_gpus` below 1; `bw_Bps` or `peak_flops` zero or negative;
#   `seq`, `weight_bytes` or `k` negative. `weight_bytes` = 0 is not asked.
#
# **Worked number.** Llama-3-8B in 16 bits on one H100, 16 users of 2000 tokens: a step takes
# << num(1000 * roofline.decode_step_s(16, 2000, *one)['step_s'], 4) >> ms,
# bound by
# << roofline.decode_step_s(16, 2000, *one)['bound'] >>.


# %% decode_step_s__solution
def decode_step_s(batch, seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops):
    """Return step time [s], what bounds it, and the shares of peak and bandwidth used."""
    ### BEGIN SOLUTION
    if min(batch, n_params, n_gpus) < 1 or min(seq, weight_bytes, k) < 0:
        raise ValueError("counts must be at least 1; seq, weight_bytes and k at least 0")
    if bw_Bps <= 0 or peak_flops <= 0:
        raise ValueError("bw_Bps and peak_flops must be above 0")
    bandwidth = n_gpus * bw_Bps
    cache_bytes = batch * seq * k
    read_s = weight_bytes / bandwidth
    compute_s = 2 * n_params * batch / (n_gpus * peak_flops)
    step_s = cache_bytes / bandwidth + max(read_s, compute_s)
    return {
        "step_s": step_s,
        "bound": "compute" if compute_s > read_s else "memory",
        "mfu": compute_s / step_s,
        "mbu": (weight_bytes + cache_bytes) / (bandwidth * step_s),
    }
    ### END SOLUTION


# %%
llama_8b = {"n_params": 8_030_261_248, "weight_bytes": 16_060_522_496, "k": 131_072}
one_gpu = {"n_gpus": 1, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
step = decode_step_s(batch=16, seq=2000, **llama_8b, **one_gpu)
print(step)
check_close(
    [1000 * step["step_s"], step["bound"]],
    [6.046, "memory"],
    "the worked numbers: ms of the step, and its bound",
    rel_tol=1e-3,
)

# %% decode_step_s__visible__one_user_and_sixty_four
"""Visible: Llama-3-70B on eight GPUs, one user and 64, of 4096 tokens each."""
from servemath_helpers.notebook import check_close

llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
check_close(
    decode_step_s(batch=1, seq=4096, **llama, **node),
    {
        "step_s": 0.005315283219104478,
        "bound": "memory",
        "mfu": 0.00335398816914756,
        "mbu": 1,
    },
    "decode_step_s(batch=1, seq=4096, **llama, **node)",
    "Eight GPUs read weights and cache together; multiplying takes far less and is hidden.",
)
check_close(
    decode_step_s(batch=64, seq=4096, **llama, **node),
    {
        "step_s": 0.008470401451940298,
        "bound": "memory",
        "mfu": 0.13469885890963557,
        "mbu": 1,
    },
    "decode_step_s(batch=64, seq=4096, **llama, **node)",
    "The weights are read once for all, the cache once for each sequence.",
)

# %% decode_step_s__hidden__values
"""Values: steps, what bounds them, and the two shares, of many nodes."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}

    def by_hand(batch, seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops):
        """Return the answer in exact fractions."""
        bandwidth, peak = n_gpus * Fraction(bw_Bps), n_gpus * Fraction(peak_flops)
        cache, flop = batch * seq * Fraction(k), 2 * Fraction(n_params) * batch
        weights = Fraction(weight_bytes)
        if flop / peak > weights / bandwidth:
            bound, matrix_s = "compute", flop / peak
        else:
            bound, matrix_s = "memory", weights / bandwidth
        step_s = cache / bandwidth + matrix_s
        mbu = (weights + cache) / bandwidth / step_s
        return {"step_s": step_s, "bound": bound, "mfu": flop / peak / step_s, "mbu": mbu}

    check_calls(
        decode_step_s,
        *(
            (
                {"batch": batch, "seq": seq, **llama, **node},
                by_hand(batch, seq, **llama, **node),
                hint,
            )
            for batch, seq, hint in (
                (512, 128, "Short contexts, many users: multiplying outlasts reading the weights."),
                (371, 4096, "The larger of the two matrix terms counts, and the cache on top."),
                (371, 32_768, "What bounds the matrices does not depend on the cache."),
            )
        ),
    )

    dice = random.Random(37)
    nodes = []
    for _ in range(20):
        params = dice.randint(10**8, 10**12)
        nodes.append(
            {
                "batch": dice.randint(1, 1000),
                "seq": dice.randint(0, 32_768),
                "n_params": params,
                "weight_bytes": params * dice.choice((1, 2)),
                "k": dice.randint(1, 10**6),
                "n_gpus": dice.randint(1, 16),
                "bw_Bps": dice.randint(1, 80) * 10**11,
                "peak_flops": dice.randint(1, 200) * 10**13,
            }
        )
    check_calls(
        decode_step_s,
        *((case, by_hand(**case)) for case in nodes),
        what="many nodes",
        hint="The larger of reading the weights and multiplying, and reading the cache on top, on all GPUs.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% decode_step_s__hidden__edges
"""Edges: where the bound changes, a tie, no context, no cache."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls, check_equal, check_first

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}

    def by_hand(batch, seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops):
        """Return the answer in exact fractions."""
        bandwidth, peak = n_gpus * Fraction(bw_Bps), n_gpus * Fraction(peak_flops)
        cache, flop = batch * seq * Fraction(k), 2 * Fraction(n_params) * batch
        weights = Fraction(weight_bytes)
        if flop / peak > weights / bandwidth:
            bound, matrix_s = "compute", flop / peak
        else:
            bound, matrix_s = "memory", weights / bandwidth
        step_s = cache / bandwidth + matrix_s
        mbu = (weights + cache) / bandwidth / step_s
        return {"step_s": step_s, "bound": bound, "mfu": flop / peak / step_s, "mbu": mbu}

    check_first(
        decode_step_s,
        ({"batch": 512, "seq": 128, **llama, **node}, by_hand(512, 128, **llama, **node)),
        ({"batch": 64, "seq": 4096, **llama, **node}, by_hand(64, 4096, **llama, **node)),
    )

    check_calls(
        decode_step_s,
        *(
            (
                {"batch": batch, "seq": seq, **llama, **node},
                by_hand(batch, seq, **llama, **node),
                hint,
            )
            for batch, seq, hint in ((8, 0, "Without context there is no cache to read."),)
        ),
    )

    for batch, bound in ((295, "memory"), (296, "compute")):
        for seq in (0, 8192):
            check_equal(
                decode_step_s(batch, seq, **llama, **node)["bound"],
                bound,
                f"decode_step_s({batch}, {seq}, **llama, **node)['bound']",
                "Compare t_c with t_w alone; the batch decides, not the context.",
            )
    check_calls(
        decode_step_s,
        (
            (4, 8, 1024, 2**20, 2**10, 2, 2**19, 2**12),
            {"step_s": 1 + 2**-5, "bound": "memory", "mfu": 1 / (1 + 2**-5), "mbu": 1},
            "t_c equals t_w here: on a tie the bound is memory.",
        ),
        (
            (2, 100, 1000, 4000, 0, 1, 1e6, 1e9),
            by_hand(2, 100, 1000, 4000, 0, 1, 1e6, 1e9),
            "k = 0 is a model without a cache.",
        ),
        (
            (1, 1, 1, 0.5, 0.125, 1, 0.125, 0.5),
            {"step_s": 5, "bound": "memory", "mfu": 0.8, "mbu": 1},
            "One parameter in a fraction of a byte is a model too.",
        ),
    )


hidden_tests()
### END HIDDEN TESTS

# %% decode_step_s__hidden__refused
"""Refused input: a count below 1, no bandwidth or peak, a negative size."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from fractions import Fraction

    from servemath_helpers.notebook import check_first, check_refused

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}

    def by_hand(batch, seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops):
        """Return the answer in exact fractions."""
        bandwidth, peak = n_gpus * Fraction(bw_Bps), n_gpus * Fraction(peak_flops)
        cache, flop = batch * seq * Fraction(k), 2 * Fraction(n_params) * batch
        weights = Fraction(weight_bytes)
        if flop / peak > weights / bandwidth:
            bound, matrix_s = "compute", flop / peak
        else:
            bound, matrix_s = "memory", weights / bandwidth
        step_s = cache / bandwidth + matrix_s
        mbu = (weights + cache) / bandwidth / step_s
        return {"step_s": step_s, "bound": bound, "mfu": flop / peak / step_s, "mbu": mbu}

    fine = {"batch": 4, "seq": 10, "n_params": 100, "weight_bytes": 200, "k": 8, "n_gpus": 2}
    fine |= {"bw_Bps": 1e6, "peak_flops": 1e9}
    check_first(
        decode_step_s,
        ({"batch": 512, "seq": 128, **llama, **node}, by_hand(512, 128, **llama, **node)),
        ({"batch": 64, "seq": 4096, **llama, **node}, by_hand(64, 4096, **llama, **node)),
    )
    check_refused(
        decode_step_s,
        fine,
        {
            "batch": (0, -4),
            "seq": (-1, -10),
            "n_params": (0, -100),
            "weight_bytes": (-0.5, -200),
            "k": (-0.5, -8),
            "n_gpus": (0, -2),
            "bw_Bps": (0, -1e6),
            "peak_flops": (0, -1e9),
        },
        "Counts are at least 1, bandwidth and peak above 0, nothing is negative.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] best_batch__statement
# <<% set one = (8030261248, 16060522496, 131072, 1, 3.35e12, 989.4e12) -%>>
# *A larger batch serves more tokens per second, and every user waits longer for each of theirs.
# How far may we go?* With the step time of exercise << exercises.decode_step_s.number >>, find the largest batch that keeps the
# bound on the time per output token and fits into memory:
#
# $$B^* = \max \{ B : t(B) \le t_{max},\ 1 \le B \le B_{mem} \}, \qquad
# t(B) = \frac{B s k}{n \, \mathrm{BW}} + \max\left(\frac{W_b}{n \, \mathrm{BW}},
# \frac{2 N B}{n F}\right)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $t_{max}$ | `tpot_slo_s` | largest time per output token allowed, from 0 | s |
# | $s$ | `seq` | tokens of context of each sequence, from 0 | tokens |
# | $B_{mem}$ | `mem_cap` | sequences that fit into memory, a whole number from 0 | sequences |
# | $N$, $W_b$, $k$ | `n_params`, `weight_bytes`, `k` | as in exercise << exercises.decode_step_s.number >> | –, bytes, bytes per token |
# | $n$, BW, $F$ | `n_gpus`, `bw_Bps`, `peak_flops` | as in exercise << exercises.decode_step_s.number >>, each of one GPU | –, bytes/s, FLOP/s |
#
# Write `best_batch(tpot_slo_s, seq, mem_cap, n_params, weight_bytes, k, n_gpus, bw_Bps,
# peak_flops)` and return an `int`. You may call your `decode_step_s`.
#
# - A bound that is met exactly is met.
# - If even one sequence is too slow, or none fits: 0.
# - Error: `tpot_slo_s` or `mem_cap` negative, and whatever is one in exercise << exercises.decode_step_s.number >>, also where
#   `mem_cap` is 0.
#
# **Worked number.** Llama-3-8B on one H100 at 2000 tokens of context, memory for 240 sequences:
# 10 ms per token allow
# << roofline.best_decode_batch(0.01, 2000, 240, *one) >>
# sequences.


# %% best_batch__solution
def best_batch(tpot_slo_s, seq, mem_cap, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops):
    """Return the largest batch within the bound on time per output token and within memory."""
    ### BEGIN SOLUTION
    if min(tpot_slo_s, mem_cap, seq, weight_bytes, k) < 0:
        raise ValueError("tpot_slo_s, mem_cap, seq, weight_bytes and k must not be negative")
    if min(n_params, n_gpus) < 1 or min(bw_Bps, peak_flops) <= 0:
        raise ValueError("n_params and n_gpus must be at least 1, bandwidth and peak above 0")

    def step_s(batch):
        matrix_s = max(weight_bytes / bw_Bps, 2 * n_params * batch / peak_flops)
        return (batch * seq * k / bw_Bps + matrix_s) / n_gpus

    # The step never gets shorter when the batch grows: bisect between 0 and the cap.
    low, high = 0, mem_cap
    while low < high:
        middle = (low + high + 1) // 2
        if step_s(middle) <= tpot_slo_s:
            low = middle
        else:
            high = middle - 1
    return low
    ### END SOLUTION


# %%
llama_8b = {"n_params": 8_030_261_248, "weight_bytes": 16_060_522_496, "k": 131_072}
one_gpu = {"n_gpus": 1, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
sequences = best_batch(0.010, 2000, 240, **llama_8b, **one_gpu)
print(sequences, "sequences")
check_equal(sequences, 66, "the worked number: 10 ms per token")

# %% best_batch__visible__the_slo_comes_before_the_memory
"""Visible: Llama-3-70B on eight GPUs under an SLO of 10 ms, at two lengths of context."""
from servemath_helpers.notebook import check_equal

llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
check_equal(
    best_batch(0.010, 4096, 371, **llama, **node),
    94,
    "best_batch(0.010, 4096, 371, **llama, **node)",
    "371 fit into memory, but a step of 95 takes longer than 10 ms.",
)
check_equal(
    best_batch(0.010, 2048, 743, **llama, **node),
    189,
    "best_batch(0.010, 2048, 743, **llama, **node)",
    "Half the context, so half the cache to read for each sequence.",
)

# %% best_batch__hidden__values
"""Values: the largest batch within the bound and the memory, of many nodes."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
    check_calls(
        best_batch,
        *(
            ({"tpot_slo_s": slo_s, "seq": seq, "mem_cap": cap, **llama, **node}, batch, hint)
            for slo_s, seq, cap, batch, hint in (
                (
                    0.006,
                    4096,
                    371,
                    14,
                    "The largest batch whose step is within the bound, not a power of two.",
                ),
                (0.008, 4096, 371, 54, "The largest batch whose step is within the bound."),
                (0.020, 4096, 371, 294, "The largest batch whose step is within the bound."),
                (0.050, 4096, 371, 371, "The bound leaves room for more than memory has."),
                (
                    0.030,
                    1024,
                    1486,
                    988,
                    "The largest batch within the bound, also where arithmetic outlasts reading the weights.",
                ),
                (
                    1000.0,
                    4096,
                    371,
                    371,
                    "The largest batch is at most mem_cap, which memory has room for.",
                ),
            )
        ),
        exact=True,
    )

    dice = random.Random(38)
    rows = []
    for _ in range(25):
        seq, cap, percent = dice.randint(0, 5000), dice.randint(0, 300), dice.randint(50, 500)
        params, k = dice.randint(10**9, 10**11), dice.randint(10**3, 10**6)
        gpus, band, peak = dice.randint(1, 8), dice.randint(5, 50), dice.randint(1, 100)
        slo_s = 2 * params / (gpus * band * 1e11) * percent / 100 + 1e-9
        case = (slo_s, seq, cap, params, 2 * params, k, gpus, band * 1e11, peak * 1e13)
        fits = 0
        for batch in range(1, cap + 1):
            read, multiply = Fraction(params, band * 10**11), Fraction(params, peak * 10**13)
            cache = Fraction(batch * seq * k, band * 10**11)
            if cache + 2 * max(read, multiply * batch) > gpus * Fraction(slo_s):
                break
            fits = batch
        rows.append((case, fits))
    hint = "The largest batch from 0 to mem_cap whose step is within the SLO."
    check_calls(best_batch, *rows, what="many nodes", hint=hint, exact=True)


hidden_tests()
### END HIDDEN TESTS

# %% best_batch__hidden__edges
"""Edges: a bound met exactly, too slow for one, room for one and for none, no cache."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}
    check_first(
        best_batch,
        ({"tpot_slo_s": 0.006, "seq": 4096, "mem_cap": 371, **llama, **node}, 14),
        ({"tpot_slo_s": 0.05, "seq": 4096, "mem_cap": 20, **llama, **node}, 20),
        ({"tpot_slo_s": 0.02, "seq": 4096, "mem_cap": 371, **llama, **node}, 294),
    )
    check_calls(
        best_batch,
        *(
            ({"tpot_slo_s": slo_s, "seq": seq, "mem_cap": cap, **llama, **node}, batch, hint)
            for slo_s, seq, cap, batch, hint in (
                (0.005, 4096, 371, 0, "If even one sequence is too slow: 0, not 1."),
                (0, 4096, 371, 0, "If even one sequence is too slow: 0. No step takes no time."),
                (0.050, 4096, 1, 1, "Memory has room for one."),
                (0.050, 4096, 0, 0, "Memory has room for nobody."),
                (0.010, 0, 2000, 560, "Without a cache to read, arithmetic sets the limit."),
            )
        ),
        exact=True,
    )

    # one second for the weights, a quarter more for each sequence: exact in doubles
    exact = {"n_params": 2**10, "weight_bytes": 2**20, "k": 2**10, "n_gpus": 1}
    exact |= {"bw_Bps": 2**20, "peak_flops": 2**40}
    check_calls(
        best_batch,
        *(
            ({"tpot_slo_s": slo_s, "seq": 256, "mem_cap": 8, **exact}, batch)
            for slo_s, batch in ((1, 0), (1.2499999, 0), (1.25, 1), (1.625, 2), (3, 8), (3.25, 8))
        ),
        hint="A bound that is met exactly is met by the step; if even one sequence is too slow: 0.",
        exact=True,
    )
    tiny = {"n_params": 1, "weight_bytes": 0.5, "n_gpus": 1, "bw_Bps": 0.5, "peak_flops": 0.5}
    check_calls(
        best_batch,
        (
            {"tpot_slo_s": 15, "seq": 1, "mem_cap": 8, "k": 0.5, **tiny},
            3,
            "A bound that is met exactly is met, also where a step is bound by arithmetic.",
        ),
        (
            {"tpot_slo_s": 15, "seq": 1, "mem_cap": 8, "k": 0, **tiny},
            3,
            "Without a cache a step is the larger of reading the weights and multiplying.",
        ),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% best_batch__hidden__refused
"""Refused input: `tpot_slo_s` or `mem_cap` negative, whatever a decode step refuses, also for no room."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    llama = {"n_params": 70_553_706_496, "weight_bytes": 141_107_412_992, "k": 327_680}
    node = {"n_gpus": 8, "bw_Bps": 3.35e12, "peak_flops": 989.4e12}

    fine = {"tpot_slo_s": 0.01, "seq": 10, "mem_cap": 5, "n_params": 100, "weight_bytes": 200}
    fine |= {"k": 8, "n_gpus": 2, "bw_Bps": 1e6, "peak_flops": 1e9}
    hint = "Refuse bad arguments before the search, even if there is nothing to search."
    broken = {
        "tpot_slo_s": (-0.01, -3),
        "seq": (-1, -10),
        "mem_cap": (-1, -5),
        "n_params": (0, -100),
        "weight_bytes": (-0.5, -200),
        "k": (-0.5, -8),
        "n_gpus": (0, -2),
        "bw_Bps": (0, -1e6),
        "peak_flops": (0, -1e9),
    }
    check_first(
        best_batch,
        ({"tpot_slo_s": 0.006, "seq": 4096, "mem_cap": 371, **llama, **node}, 14),
        ({"tpot_slo_s": 0.05, "seq": 4096, "mem_cap": 20, **llama, **node}, 20),
        ({"tpot_slo_s": 0.02, "seq": 4096, "mem_cap": 371, **llama, **node}, 294),
    )
    check_refused(best_batch, fine, broken, hint)
    check_refused(best_batch, fine | {"mem_cap": 0}, broken, hint, pairs=False)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] speculative_speedup__statement
# *A small model drafts $\gamma$ tokens, the large one checks all of them in a single step. How much
# faster is that, and how long should a draft be?* Each drafted token is accepted with probability
# $\alpha$, independently, until the first rejection; then the large model's own token stands, also
# after $\gamma$ acceptances. So a round yields on average
#
# $$E = 1 + \alpha + \alpha^2 + \dots + \alpha^\gamma
# = \frac{1 - \alpha^{\gamma + 1}}{1 - \alpha}, \qquad
# \mathrm{speedup} = \frac{E}{\gamma c + 1}$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\alpha$ | `alpha` | probability that a drafted token is accepted, in [0, 1] | – |
# | $\gamma$ | `gamma` | tokens drafted in a round, a whole number from 0 | tokens |
# | $c$ | `c` | time of a step of the small model over one of the large, at least 0 | – |
# | | `gmax` | longest draft to consider, a whole number from 0 | tokens |
#
# Write two functions in one cell: `speculative_speedup(alpha, gamma, c)` returns the tuple
# `(expected_tokens, speedup)`; `best_gamma(alpha, c, gmax)` returns the $\gamma$ in
# 0, 1, ..., `gmax` with the largest speed-up.
#
# - $\alpha = 1$: every draft is accepted, so $E = \gamma + 1$. $\gamma = 0$: no draft, speed-up 1.
# - Equal speed-ups: the smallest $\gamma$. 0 is an answer: do not speculate.
# - Error: `alpha` outside [0, 1]; `gamma`, `c` or `gmax` negative.
#
# **Worked number.** With $\alpha$ = 0.7, $\gamma$ = 3 and $c$ = 0.2 a round yields
# << num(speculative.speculative_speedup(0.7, 3, 0.2)[0], 5) >> tokens, a speed-up of
# << num(speculative.speculative_speedup(0.7, 3, 0.2)[1], 4) >>. The best draft of up to 16 tokens
# has << speculative.best_gamma(0.7, 0.2, 16) >>.


# %% speculative_speedup__solution
def speculative_speedup(alpha, gamma, c):
    """Return the tokens of a round, and its speed-up over plain decoding."""
    ### BEGIN SOLUTION
    if not 0 <= alpha <= 1 or gamma < 0 or c < 0:
        raise ValueError("alpha must be in [0, 1], gamma and c must not be negative")
    expected_tokens = sum(alpha**i for i in range(gamma + 1))
    return expected_tokens, expected_tokens / (gamma * c + 1)
    ### END SOLUTION


def best_gamma(alpha, c, gmax):
    """Return the draft length in 0..gmax with the largest speed-up."""
    ### BEGIN SOLUTION
    if gmax < 0:
        raise ValueError("gmax must not be negative")
    # max keeps the first of equals, which is the shortest draft.
    return max(range(gmax + 1), key=lambda gamma: speculative_speedup(alpha, gamma, c)[1])
    ### END SOLUTION


# %%
drafted, longest = speculative_speedup(0.7, 3, 0.2), best_gamma(0.7, 0.2, 16)
print(drafted, "best draft:", longest)
check_close(drafted, (2.533, 1.583), "the worked numbers: tokens and speed-up", rel_tol=1e-3)
check_equal(longest, 3, "the worked number: the best draft")

# %% speculative_speedup__visible__one_round_and_one_best_draft
"""Visible: tokens and speed-up of a round, and the best draft of one pair of models."""
from servemath_helpers.notebook import check_close, check_equal

check_close(
    speculative_speedup(0.6, 4, 0.1),
    (2.3056, 2.3056 / 1.4),
    "speculative_speedup(0.6, 4, 0.1)",
    "The round takes four steps of the small model and one of the large.",
)
check_equal(
    best_gamma(0.7, 0.1, 16),
    4,
    "best_gamma(0.7, 0.1, 16)",
    "Each further token is less likely to be reached, and costs as much as the first.",
)

# %% speculative_speedup__hidden__values
"""Values: tokens and speed-ups of many drafts, the best length of a draft."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    import numpy as np

    from servemath_helpers.notebook import check_calls, check_close

    check_calls(
        speculative_speedup,
        ((0.8, 8, 0.05), (4.32891136, 4.32891136 / 1.4), "A geometric sum, not alpha * gamma."),
        (
            (0.8, 4, 0.05),
            (3.3616, 3.3616 / 1.2),
            "The speed-up counts the time of the draft too, c for each of its tokens.",
        ),
        (
            (0.5, 3, 2),
            (1.875, 1.875 / 7),
            "The speed-up counts the time of the draft: a slow one makes everything slower.",
        ),
    )

    check_calls(
        best_gamma,
        ((0.8, 0.05, 32), 8, "The largest speed-up decides: a longer draft is not always better."),
        ((0.5, 0.05, 32), 3, "The largest speed-up decides: a longer draft is not always better."),
        ((0.3, 0.5, 32), 0, "Here the best is not to speculate."),
        ((0.9, 0.02, 32), 19, "The largest speed-up decides: good and cheap drafts may be long."),
        ((0.8, 0.05, 8), 8, "gmax itself may be chosen."),
        ((0.8, 0.05, 5), 5, "gmax limits the draft."),
        ((0.9, 2, 10), 0, "A draft that is slower than the large model only costs."),
        exact=True,
    )

    rng = np.random.default_rng(39)
    for alpha, gamma in ((0.7, 5), (0.35, 3)):
        accepted = rng.random((200_000, gamma)) < alpha
        mean_tokens = 1 + np.cumprod(accepted, axis=1).sum(axis=1).mean()
        check_close(
            speculative_speedup(alpha, gamma, 0.1)[0],
            mean_tokens,
            f"the tokens of speculative_speedup({alpha}, {gamma}, 0.1), against 200 000 rounds of "
            "thrown dice",
            "Accepted tokens up to the first rejection, and one more.",
            rel_tol=0.01,
        )

    dice = random.Random(39)
    rows = []
    for _ in range(20):
        percent, gamma, cost = dice.randint(0, 99), dice.randint(0, 20), dice.randint(0, 100)
        tokens = Fraction(0)
        for _ in range(gamma + 1):
            tokens = 1 + Fraction(percent, 100) * tokens
        speedup = tokens / (1 + gamma * Fraction(cost, 100))
        rows.append(((percent / 100, gamma, cost / 100), (tokens, speedup)))
    check_calls(
        speculative_speedup,
        *rows,
        what="many drafts",
        hint="E is a geometric sum in alpha; the speed-up divides it by the time of draft and large model.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% speculative_speedup__hidden__edges
"""Edges: drafts that are all accepted, useless ones, none; equal speed-ups."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    check_first(
        speculative_speedup,
        ((0.8, 8, 0.05), (4.32891136, 4.32891136 / 1.4)),
        ((0.8, 4, 0.05), (3.3616, 3.3616 / 1.2)),
    )
    check_first(best_gamma, ((0.8, 0.05, 32), 8), ((0.5, 0.05, 32), 3))

    check_calls(
        speculative_speedup,
        ((0, 4, 0.1), (1, 1 / 1.4), "A useless draft still yields the large model's own token."),
        ((0.0, 0, 0.1), (1, 1), "No draft: as before."),
        ((1, 4, 0.1), (5, 5 / 1.4), "All accepted, and one token on top: gamma + 1."),
        ((1.0, 0, 0.1), (1, 1), "No draft: as before."),
        ((0.5, 1, 0), (1.5, 1.5), "A draft that costs nothing."),
        (
            (0.1234567, 1, 0.7654321),
            (1.1234567, 1.1234567 / 1.7654321),
            "Round nothing.",
        ),
    )

    check_calls(
        best_gamma,
        ((0.8, 0.05, 0), 0, "Only 0 is left."),
        ((1, 0.5, 10), 10, "If all is accepted, the longest draft is best."),
        ((0, 0.1, 10), 0, "A useless draft only costs."),
        ((0.5, 0.5, 10), 0, "A tie of 0 and 1: take the smallest."),
        ((0, 0, 10), 0, "All are equal: take the smallest."),
        ((1, 1, 10), 0, "All are equal: take the smallest."),
        ((1, 0.5, 1), 1, "gmax itself may be chosen, 1 too."),
        ((0.5, 0, 10), 10, "A draft that costs nothing may be as long as allowed."),
        exact=True,
    )


hidden_tests()
### END HIDDEN TESTS

# %% speculative_speedup__hidden__refused
"""Refused input: `alpha` outside [0, 1], `gamma`, `c` or `gmax` negative."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    hint = "alpha is a probability, and nothing else is negative."
    check_first(
        speculative_speedup,
        ((0.8, 8, 0.05), (4.32891136, 4.32891136 / 1.4)),
        ((0.8, 4, 0.05), (3.3616, 3.3616 / 1.2)),
    )
    check_first(best_gamma, ((0.8, 0.05, 32), 8), ((0.5, 0.05, 32), 3))
    check_refused(
        speculative_speedup,
        {"alpha": 0.8, "gamma": 4, "c": 0.1},
        {"alpha": (-2, -0.1, 1.0001, 80), "gamma": (-4, -1), "c": (-3, -0.1)},
        hint,
    )
    broken = {"alpha": (-2, -0.1, 1.0001, 80), "c": (-3, -0.1), "gmax": (-4, -1)}
    check_refused(best_gamma, {"alpha": 0.8, "c": 0.1, "gmax": 4}, broken, hint)
    check_refused(best_gamma, {"alpha": 0.8, "c": 0.1, "gmax": 0}, broken, hint, pairs=False)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] resume_plan__statement
# *A user comes back to a long conversation, and the cache is not on this GPU any more. Fetch it
# from another machine, from the memory of this host, or compute it again from the text?*
#
# $$t_{transfer} = t_0 + \frac{s k}{\mathrm{BW}_{link}}, \qquad
# t_{host} = t_0 + \frac{s k}{\mathrm{BW}_{host}}, \qquad
# t_{recompute} = T_p$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $s$ | `tokens` | tokens of the conversation, a whole number from 0 | tokens |
# | $k$ | `k` | cache of one token, at least 0 | bytes per token |
# | BW$_{link}$ | `link_Bps` | bandwidth to the other machine, above 0; `None`: no machine has it | bytes/s |
# | BW$_{host}$ | `host_Bps` | bandwidth from the host's memory, above 0; `None`: it is not there | bytes/s |
# | $T_p$ | `prefill_s` | time to compute the cache again, at least 0 | s |
# | $t_0$ | `latency_s` | time before the first byte moves, on **both** paths, at least 0 | s |
#
# Write `resume_plan(tokens, k, link_Bps, host_Bps, prefill_s, latency_s)`. Return the tuple
# `(choice, seconds)`: the soonest of `"transfer"`, `"host"` and `"recompute"`, and its time.
#
# - A path whose bandwidth is `None` does not exist. `"recompute"` always does.
# - Equal times: the first in the order `"transfer"`, `"host"`, `"recompute"`.
# - 0 tokens take no time to move, but the latency remains; `prefill_s` counts as given.
# - Error: `tokens`, `k`, `prefill_s` or `latency_s` negative; a bandwidth zero or negative. All of
#   them also where the plan would not need the argument.
#
# **Worked number.** 2000 tokens of 131 072 bytes, no other machine, 12 GB/s from the host, 30 ms of
# prefill, 1 ms of latency: `<< transfer.resume_plan(2000, 131072, none, 12e9, 0.030, 0.001)[0] >>`,
# << num(1000 * transfer.resume_plan(2000, 131072, none, 12e9, 0.030, 0.001)[1], 4) >> ms.


# %% resume_plan__solution
def resume_plan(tokens, k, link_Bps, host_Bps, prefill_s, latency_s):
    """Return the soonest way to resume a conversation, and its time in seconds."""
    ### BEGIN SOLUTION
    if min(tokens, k, prefill_s, latency_s) < 0:
        raise ValueError("tokens, k, prefill_s and latency_s must not be negative")
    plans = []
    for choice, bandwidth in (("transfer", link_Bps), ("host", host_Bps)):
        if bandwidth is None:
            continue
        if bandwidth <= 0:
            raise ValueError("a bandwidth must be above 0, or None")
        plans.append((choice, latency_s + tokens * k / bandwidth))
    plans.append(("recompute", prefill_s))
    return min(plans, key=lambda plan: plan[1])  # min keeps the first of equals
    ### END SOLUTION


# %%
resumed = resume_plan(2000, 131_072, None, 12e9, prefill_s=0.030, latency_s=0.001)
print(resumed)
check_close(resumed, ("host", 0.02285), "the worked number: 2000 tokens", rel_tol=1e-3)

# %% resume_plan__visible__a_fast_link_and_a_slow_one
"""Visible: 4096 tokens of Llama-3-70B over a fast link, and over a slow one."""
from servemath_helpers.notebook import check_close

check_close(
    resume_plan(4096, 327_680, 50e9, 25e9, prefill_s=0.1516, latency_s=0),
    ("transfer", 0.0268435456),
    "resume_plan(4096, 327_680, 50e9, 25e9, prefill_s=0.1516, latency_s=0)",
    "tokens * k bytes at 50 GB/s; the other two ways take longer.",
)
check_close(
    resume_plan(4096, 327_680, 1e9, None, prefill_s=0.1516, latency_s=0),
    ("recompute", 0.1516),
    "resume_plan(4096, 327_680, 1e9, None, prefill_s=0.1516, latency_s=0)",
    "A slow link takes more than a second: computing again is sooner.",
)

# %% resume_plan__hidden__values
"""Values: the soonest of the three, with latency on both paths, of many conversations."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random
    from fractions import Fraction

    from servemath_helpers.notebook import check_calls

    k, prefill_s = 327_680, 0.15159849306922174
    check_calls(
        resume_plan,
        (
            (4096, k, 12.5e9, None, prefill_s, 0),
            ("transfer", 0.1073741824),
            "The time to transfer is the bytes of all tokens over the bandwidth, in bytes/s.",
        ),
        (
            (4096, k, 12.5e9, 64e9, prefill_s, 0),
            ("host", 0.02097152),
            "The sooner of both paths: here the host is faster.",
        ),
        (
            (4096, k, 50e9, 64e9, prefill_s, 0.2),
            ("recompute", prefill_s),
            "latency_s is added to the time of transfer and of host.",
        ),
        (
            (4096, k, 50e9, None, prefill_s, 0.01),
            ("transfer", 0.0368435456),
            "latency_s is added to the time of transfer and of host.",
        ),
        (
            (4096, k, None, 64e9, prefill_s, 0.01),
            ("host", 0.03097152),
            "latency_s is added to the time of transfer and of host.",
        ),
        (
            (64, k, 50e9, 64e9, 0.0023, 0.005),
            ("recompute", 0.0023),
            "A short conversation: latency decides, and recompute is sooner.",
        ),
        (
            (2, 4, 8, 8, 0.5, 0),
            ("recompute", 0.5),
            "recompute is an answer where it is sooner than both paths.",
        ),
    )

    dice = random.Random(40)
    rows = []
    for _ in range(30):
        tokens, k = dice.randint(0, 50_000), dice.randint(1, 500_000)
        link, host = (dice.choice((None, dice.randint(1, 900) * 10**8)) for _ in range(2))
        prefill_ms, latency_ms = dice.randint(0, 2000), dice.randint(0, 50)
        case = (tokens, k, link, host, prefill_ms / 1000, latency_ms / 1000)
        best, soonest = "recompute", Fraction(prefill_ms, 1000)
        for name, path in (("host", host), ("transfer", link)):
            if path is not None:
                seconds = Fraction(latency_ms, 1000) + Fraction(tokens * k, path)
                if seconds <= soonest:
                    best, soonest = name, seconds
        rows.append((case, (best, soonest)))
    check_calls(
        resume_plan,
        *rows,
        what="many conversations",
        hint="The soonest of transfer, host and recompute; equal times: in this order.",
    )


hidden_tests()
### END HIDDEN TESTS

# %% resume_plan__hidden__edges
"""Edges: a path that does not exist, ties, no tokens, a link at the break-even."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_calls, check_first

    k, prefill_s = 327_680, 0.15159849306922174
    check_first(
        resume_plan,
        ((4096, k, 12.5e9, 64e9, prefill_s, 0), ("host", 0.02097152)),
        ((4096, k, 50e9, None, prefill_s, 0.01), ("transfer", 0.0368435456)),
        ((2, 4, 8, 8, 0.5, 0), ("recompute", 0.5)),
    )
    check_calls(
        resume_plan,
        (
            (4096, k, 8.8e9, None, prefill_s, 0),
            ("recompute", prefill_s),
            "Whichever is sooner: recompute where the link is just too slow.",
        ),
        (
            (4096, k, 8.9e9, None, prefill_s, 0),
            ("transfer", 4096 * k / 8.9e9),
            "Whichever is sooner: transfer where the link is just fast enough.",
        ),
        (
            (4096, k, None, 64e9, prefill_s, 0),
            ("host", 0.02097152),
            "A path whose bandwidth is None does not exist.",
        ),
        (
            (4096, k, None, None, prefill_s, 0),
            ("recompute", prefill_s),
            "A path whose bandwidth is None does not exist; recompute always does.",
        ),
        ((0, k, 50e9, 64e9, 0.0, 0.001), ("recompute", 0), "The latency remains for 0 tokens."),
        ((0, k, 50e9, 64e9, 0.1, 0.001), ("transfer", 0.001), "prefill_s counts as given."),
        ((4096, 0, 50e9, 64e9, 0.1, 0), ("transfer", 0), "0 tokens or bytes take no time to move."),
        ((2, 4, 8, 8, 1, 0), ("transfer", 1), "A tie of all three: transfer."),
        ((2, 4, 8, None, 1, 0), ("transfer", 1), "A tie with recompute: transfer."),
        ((2, 4, 4, 8, 1, 0), ("host", 1), "A tie of host and recompute: host."),
        ((2, 4, 8, 8, 5, 0.5), ("transfer", 1.5), "A tie of both paths: transfer."),
        ((2, 4, None, 8, 1, 0), ("host", 1), "A tie of host and recompute: host."),
        (
            (1, 1, 0.5, None, 9, 2),
            ("transfer", 4),
            "Any bandwidth above 0 is one, also below one byte/s.",
        ),
        (
            (1, 1, None, 0.5, 9, 2),
            ("host", 4),
            "Any bandwidth above 0 is one, also below one byte/s.",
        ),
        ((1000, 1234, 1e9, None, 1, 1.23456e-5), ("transfer", 0.0012463456), "Round nothing."),
    )


hidden_tests()
### END HIDDEN TESTS

# %% resume_plan__hidden__refused
"""Refused input: a negative argument, a bandwidth zero or negative, also where it plays no part."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    from servemath_helpers.notebook import check_first, check_refused

    k, prefill_s = 327_680, 0.15159849306922174

    fine = {"tokens": 4096, "k": k, "prefill_s": 0.1, "latency_s": 0}
    hint = "Nothing is negative, a bandwidth is above 0 or None. Check before you choose."
    broken = {
        "tokens": (-4096, -1),
        "k": (-0.5, -k),
        "link_Bps": (0, -0.5, -50e9),
        "host_Bps": (0, -0.5, -25e9),
        "prefill_s": (-3, -0.1),
        "latency_s": (-0.001, -3),
    }
    check_first(
        resume_plan,
        ((4096, k, 12.5e9, 64e9, prefill_s, 0), ("host", 0.02097152)),
        ((4096, k, 50e9, None, prefill_s, 0.01), ("transfer", 0.0368435456)),
        ((2, 4, 8, 8, 0.5, 0), ("recompute", 0.5)),
    )
    check_refused(resume_plan, fine | {"link_Bps": 50e9, "host_Bps": 25e9}, broken, hint)
    last = {name: values[-1:] for name, values in broken.items()}
    for tokens, link, host in ((0, 50e9, 25e9), (4096, 50e9, None), (0, None, 25e9)):
        good = fine | {"tokens": tokens, "link_Bps": link, "host_Bps": host}
        check_refused(resume_plan, good, last, hint, pairs=False)
    # without any path tokens and k play no part, and two wrong signs of theirs cancel
    check_refused(resume_plan, fine | {"link_Bps": None, "host_Bps": None}, last, hint)


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Your service runs Llama-3-70B on eight H100 and is full: users are turned away because the cache
# has no room. You may change one thing this week and one this quarter. What would you choose, what
# do your functions say that it buys, and what would it make worse? Write a few sentences in the
# next cell; a person may read and comment on them.
#
# **What a reader looks for**
#
# - one change for this week and one for this quarter, each possible in that time
# - a number from a function of this chapter for what each of them buys
# - what each makes worse, and how that would be noticed

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: this week an 8-bit cache. It halves k, so `max_users` doubles, and the
# step reads half as many cache bytes, so `best_batch` grows too; quality on long contexts has to be
# measured before it goes to everybody. This quarter, prefix caching and a limit on context per
# plan, because tokens in flight are the one factor that differs from request to request; more
# cards come last, because memory grows in proportion but the bill does too.
# ### END SOLUTION

# %% [markdown]
# ## What to keep
#
# The weights are a fixed cost; the cache is the price of every token of every user. Memory sets
# how many fit, bandwidth how fast they are served, arithmetic how soon they start, and which of the
# three is the wall depends on the numbers, never on the name of the GPU. So compute all three
# before you tune one.
