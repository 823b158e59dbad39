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
# # Practice chapter · Exercises
#
# Functions to write: << count >>, worth << num(points.total) >> points.
#
# << overview >>
#
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% [markdown] idle_share__statement
# *How much of what you pay for does nothing?* Write `idle_share(busy_s, total_s)`: the share of
# `total_s` seconds in which a server that was busy for `busy_s` seconds idled.
#
# - Error: `total_s` is not above 0; `busy_s` is negative or above `total_s`.
#
# **Worked number.** 45 of 60 s busy give << num(1 - 45 / 60) >>.


# %% idle_share__solution
def idle_share(busy_s, total_s):
    """Return the share of total_s [s] in which a server busy for busy_s [s] idles."""
    ### BEGIN SOLUTION
    if not 0 <= busy_s <= total_s or total_s == 0:
        raise ValueError("busy_s must lie between 0 and total_s, and total_s above 0")
    return 1 - busy_s / total_s
    ### END SOLUTION


# %%
print("idle share =", idle_share(45, 60))

# %% idle_share__visible__share_of_a_minute
"""Visible: the share of a minute."""
from servemath_helpers.notebook import check_calls

check_calls(idle_share, ((45, 60), 0.25, "Idle is what busy leaves over."))

# %% idle_share__hidden__values
"""Values: the share of an hour and of a second."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls

check_calls(
    idle_share,
    ((900, 3600), 0.75, "The share in which the server idled is what busy leaves over."),
    ((0.2, 1), 0.8, "The share of the seconds in which the server idled."),
)
### END HIDDEN TESTS

# %% idle_share__hidden__edges
"""Edges: never busy, always busy."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_first

check_first(idle_share, ((900, 3600), 0.75))
check_calls(
    idle_share,
    ((0, 5), 1, "A server that was never busy idled for all the seconds."),
    ((5, 5), 0, "A server that was busy for all the seconds never idled."),
)
### END HIDDEN TESTS

# %% idle_share__hidden__refused
"""Refused input: `total_s` not above 0, `busy_s` negative or above `total_s`."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused

check_first(idle_share, ((900, 3600), 0.75))
check_refused(
    idle_share,
    {"busy_s": 1, "total_s": 5},
    {"busy_s": [-1, 6], "total_s": [0, -1, 0.5]},
    "busy_s is neither negative nor above total_s, and total_s is above 0.",
)
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Which of your machines idles most, and is that waste or reserve?
#
# **What a reader looks for**
#
# - a machine that is named, with its idle share
# - a reason for waste or for reserve that could be wrong

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: the one that takes over when another fails, and so it is reserve.
# ### END SOLUTION
