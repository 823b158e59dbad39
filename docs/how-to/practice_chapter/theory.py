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
# # Practice chapter: what a server does when it does nothing
#
# << symbols("lam", "S", "rho") >>
#
# All stand in [one table](../../docs/symbols.md), terms in a [glossary](../../docs/glossary.md).

# %%
from servemath_helpers.notebook import COLORS, check_yourself, plt, show

# %% [markdown]
# ## 9.1 Idle time
#
# **Question.** A server is paid for by the hour. For how much of it does it do nothing?
#
# $$1 - \rho = 1 - \lambda S$$
#
# - $\lambda$ requests/s of $S$ seconds each keep one server busy for a share of
#   $\rho = \lambda S$.
#
# **Argument.** In $T$ seconds $\lambda T$ requests bring $\lambda T S$ seconds of work. What is
# left of $T$ is idle, and its share does not depend on $T$.
#
# *Source: own derivation.*

# %%
loads = [5, 10, 20, 30, 40]  # requests/s
idle = [1 - lam * 0.020 for lam in loads]
print([f"{share:.0%}" for share in idle])

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(8, 4))
ax.plot(loads, idle, "o-", color=COLORS["primary"])
ax.set(xlabel="requests/s", ylabel="idle share", ylim=(0, 1))
show(
    fig,
    "Idle share of a server against requests per second of 20 ms each: a straight line that falls "
    f"from {idle[0]:.0%} at {loads[0]} requests/s to {idle[-1]:.0%} at {loads[-1]}.",
    table={"requests/s": loads, "idle share": idle},
)

# %% [markdown]
# > **Common mistake.** "Idle time is waste." It is also what keeps waits short (4.4): at
# > 30 requests/s of 20 ms << num((1 - 30 * 0.02) * 100) >> % are idle, and needed.
#
# **Check yourself.** 15 requests/s of 40 ms each: what share of the time is idle?

# %%
answer = None
check_yourself(
    answer,
    lambda: 1 - 15 * 0.040,
    "idle share",
    "Busy is 15 times 40 ms a second.",
    mistakes={"that is the share that is busy": 15 * 0.040},
    worked="Busy is 15 * 0.040 = 0.6 of each second, idle the rest: {right}.",
)
