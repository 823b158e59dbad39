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
# ## Symbols
#
# << symbols("lam", "rho", "n_out", "q") >>
#
# All stand in [one table](../../docs/symbols.md), terms in a [glossary](../../docs/glossary.md).

# %%
from itertools import pairwise

from servemath_helpers import loadtest
from servemath_helpers.notebook import COLORS, check_yourself, plt, show

# %% [markdown]
# ## 5.1 What a token time is
#
# **Question.** Two tools measure the same answer, and one says 125 ms per token where the other
# says 180. Which of them is right?
#
# $$\text{TPOT} = \frac{E2E - TTFT}{n - 1} \qquad\text{or}\qquad \frac{E2E}{n}$$
#
# - $n$ output tokens, at the instants $t_1, \dots, t_n$ [s]; a request that is due at $a$ [s] has
#   $TTFT = t_1 - a$ and $E2E = t_n - a$.
#
# **Argument.** The first quotient counts gaps: $n$ tokens have $n - 1$ of them, and the wait for the
# first is none. vLLM, inference-perf and MLPerf take it. GuideLLM spreads the whole answer over all
# its tokens and so counts the queue and the prompt too; what it calls inter-token latency is the
# others' TPOT.
#
# *Source: vLLM, `benchmarks/serve.py`; GuideLLM, `request_stats.py`; inference-perf, `metrics.md`;
# MLPerf LoadGen, `logging.cc` and `results.cc`.*

# %%
tokens = [0.40, 0.45, 0.50, 0.55, 0.90]  # s after the request
for tool in ("vllm", "inference-perf", "mlperf", "guidellm"):
    print(f"{tool:<15}", {k: round(v, 3) for k, v in loadtest.token_times(0, tokens, tool).items()})

# %% jupyter={"source_hidden": true}
gaps = [after - before for before, after in pairwise(tokens)]
fig, ax = plt.subplots(figsize=(8, 2.8))
ax.plot(tokens, range(1, 6), "o-", color=COLORS["primary"])
ax.set(xlabel="time since the request [s]", ylabel="tokens", xlim=(0, 1))
show(
    fig,
    f"Tokens of one answer against time: the first after {tokens[0]:.2f} s, three more 0.05 s apart, "
    f"the last after a gap of {max(gaps):.2f} s.",
    table={"token": range(1, 6), "time [s]": tokens},
)

# %% [markdown]
# > **Common mistake.** "TPOT is TPOT." One name stands for two numbers: of this answer
# > << num(loadtest.token_times(0, [0.4, 0.45, 0.5, 0.55, 0.9], "vllm")["tpot"] * 1e3) >> ms or
# > << num(loadtest.token_times(0, [0.4, 0.45, 0.5, 0.55, 0.9], "guidellm")["tpot"] * 1e3) >> ms.
#
# **Check yourself.** An answer of 100 tokens begins after 0.5 s, and then a token comes every 30 ms.
# How many ms per output token does GuideLLM report?

# %%
answer = None
check_yourself(
    answer,
    lambda: loadtest.token_times(0, [0.5 + 0.03 * i for i in range(100)], "guidellm")["tpot"] * 1e3,
    "ms per output token",
    "The last token comes 99 gaps after the first, and all of it is divided by 100.",
)
