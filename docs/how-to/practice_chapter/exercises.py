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

# %% idle_share__hidden__edges_and_errors
"""Hidden: never busy, always busy, refused calls."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_refused

check_calls(
    idle_share,
    ((0, 5), 1, "Never busy is always idle."),
    ((5, 5), 0, "Always busy is never idle."),
)
check_refused(
    idle_share,
    {"busy_s": 1, "total_s": 5},
    {"busy_s": [-1, 6], "total_s": [0, -1, 0.5]},
    "Look at both ends before you divide.",
)
### END HIDDEN TESTS

# %% [markdown] reflection__statement
# ## Reflection (optional, no points)
#
# Which of your machines idles most, and is that waste or reserve?

# %% [markdown] reflection__answer
# ### BEGIN SOLUTION
# One good answer among many: the one that takes over when another fails, and so it is reserve.
# ### END SOLUTION
