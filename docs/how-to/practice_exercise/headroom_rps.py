# %% [markdown] headroom_rps__statement
# *How much more traffic may this server take?* A server of $\mu$ requests/s that should be busy for
# a share of at most $\rho_{max}$ has room for
#
# $$\lambda_{more} = \max(0,\; \rho_{max}\,\mu - \lambda)$$
#
# | symbol | argument | meaning | unit |
# |:--|:--|:--|:--|
# | $\lambda$ | `lam` | what arrives now, at least 0 | requests/s |
# | $\mu$ | `mu` | what the server can do, above 0 | requests/s |
# | $\rho_{max}$ | `rho_max` | largest utilisation, above 0 and below 1 | – |
#
# Write `headroom_rps(lam, mu, rho_max)`.
#
# - A server that is too busy already has no room: 0.
# - Error: an argument out of the range that the table names.
#
# **Worked number.** A server of 40 requests/s that gets 12 and may be busy for three quarters of
# the time has room for << num(0.75 * 40 - 12) >> requests/s.


# %% headroom_rps__solution
def headroom_rps(lam, mu, rho_max):
    """Return how many requests/s may come on top of lam."""
    ### BEGIN SOLUTION
    if lam < 0 or mu <= 0 or not 0 < rho_max < 1:
        raise ValueError("lam is 0 or more, mu above 0, rho_max between 0 and 1")
    return max(0, rho_max * mu - lam)
    ### END SOLUTION


# %%
print("room for", headroom_rps(12, 40, 0.75), "requests/s")

# %% headroom_rps__visible__room_below_the_limit
"""Visible: the room that is left below the limit."""
from servemath_helpers.notebook import check_calls

check_calls(
    headroom_rps,
    ((10, 50, 0.8), 30, "The limit is 0.8 of 50 requests/s, and 10 of them come already."),
)

# %% headroom_rps__hidden__values
"""Values: the room that servers have, fast ones and slow ones."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls

check_calls(
    headroom_rps,
    ((2, 8, 0.75), 4, "A share of what the server can do, less what arrives now."),
    ((0.5, 2, 0.5), 0.5, "Room need not be a whole number of requests/s."),
)
### END HIDDEN TESTS

# %% headroom_rps__hidden__edges
"""Edges: an idle server, one at its limit, one that is too busy already."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_calls, check_first

check_first(headroom_rps, ((2, 8, 0.75), 4))
check_calls(
    headroom_rps,
    ((0, 50, 0.5), 25, "Nothing arrives now: the server has room up to its utilisation."),
    ((30, 50, 0.5), 0, "A server that is too busy already has no room: 0."),
    ((3, 4, 0.75), 0, "A server at its largest utilisation has no room."),
)
### END HIDDEN TESTS

# %% headroom_rps__hidden__refused
"""Refused input: an argument out of the range that the table names."""

pass  # the hidden tests stand here when your notebook is graded

### BEGIN HIDDEN TESTS
from servemath_helpers.notebook import check_first, check_refused

check_first(headroom_rps, ((2, 8, 0.75), 4))
check_refused(
    headroom_rps,
    {"lam": 10, "mu": 50, "rho_max": 0.5},
    {"lam": [-1], "mu": [0, -50], "rho_max": [0, 1, 1.2]},
    "Each argument lies in the range that the table names.",
)
### END HIDDEN TESTS
