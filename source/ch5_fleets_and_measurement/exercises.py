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
# 3. Run the **try-it cell**: it should print the worked number of the statement.
# 4. Run the **visible checks**. A check prints ✓, or says what was called, what was expected,
#    what came back, and which mistake is likely.
# 5. **Hidden tests** run after you hand in. They try the edges that the statement names, and many
#    more inputs; they ask for nothing that the statement does not say.
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

# %% [markdown] token_times__statement
# *A request was due, and its tokens came. How long did the first take, how long the whole answer,
# and what does this tool call the time per output token?*
#
# $$TTFT = t_1 - a, \qquad E2E = t_n - a, \qquad
# TPOT = \frac{E2E - TTFT}{n - 1} \;\text{ or }\; \frac{E2E}{n}$$
#
# | symbol | argument or key | meaning | unit |
# |:--|:--|:--|:--|
# | $a$ | `arrival_s` | instant at which the request was due | s |
# | $t_1 \dots t_n$ | `token_s` | instants at which its tokens came, on the same clock | s |
# | – | `tool` | `"vllm"`, `"inference-perf"`, `"mlperf"` or `"guidellm"` | – |
# | $TTFT$ | `"ttft"` | time to first token | s |
# | $TPOT$ | `"tpot"` | time per output token, as the tool defines it | s |
# | $E2E$ | `"e2e"` | time of the whole answer | s |
#
# Write `token_times(arrival_s, token_s, tool)`. Return a `dict` with exactly the keys `"ttft"`,
# `"tpot"`, `"e2e"`. `token_s` is a list, a tuple or a NumPy array.
#
# - GuideLLM divides by all tokens, $E2E/n$; the three others by the gaps, $(E2E - TTFT)/(n - 1)$.
# - An answer of one token has no gap: `"tpot"` is `None` for `"vllm"` and `"inference-perf"`, an
#   error for `"mlperf"`, and $E2E$ for `"guidellm"`.
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
print(token_times(2, [2.30, 2.34, 2.38, 2.46], "vllm"))
print(token_times(2, [2.30, 2.34, 2.38, 2.46], "guidellm"))

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

# %% token_times__hidden__clock_single_tokens_and_errors
"""Hidden: all four tools, another zero of the clock, single tokens, ties, errors, many answers."""

pass  # the hidden tests stand here when your notebook is graded


### BEGIN HIDDEN TESTS
def hidden_tests():
    import random

    from servemath_helpers.notebook import check_calls, check_forms, check_raises, check_refused

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
    check_calls(
        token_times,
        *(
            ((3, [3.25], tool), {"ttft": 0.25, "tpot": tpot, "e2e": 0.25})
            for tool, tpot in (("vllm", None), ("inference-perf", None), ("guidellm", 0.25))
        ),
        hint="One token has no gap: what then stands in the statement, tool by tool.",
    )
    check_raises(
        lambda: token_times(3, [3.25], "mlperf"),
        ValueError,
        "token_times(3, [3.25], 'mlperf')",
        "MLPerf divides by the number of gaps; of one token that is 0.",
    )
    check_calls(
        token_times,
        ((1, [1, 1, 1], "mlperf"), {"ttft": 0, "tpot": 0, "e2e": 0}, "All at once is in order."),
        ((1, [2, 2, 5], "guidellm"), {"ttft": 1, "tpot": 4 / 3, "e2e": 4}, "Ties are in order."),
    )
    check_forms(token_times, (0, [0.5, 0.625, 1.5], "vllm"), {"ttft": 0.5, "tpot": 0.5, "e2e": 1.5})

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
    check_calls(token_times, *rows, what="many answers", hint="A mean, over gaps or over tokens.")


hidden_tests()
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Somebody sends you a slide: "our server is 30 % faster, P99 TPOT 41 ms against 58". Write down, in
# a few sentences in the next cell, what you would ask before you believe it, and which of the
# << count >> functions above would help you to check the answer. A person may read and comment on it.

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
