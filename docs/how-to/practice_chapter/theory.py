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
# [Symbols](../../docs/symbols.md) · [glossary](../../docs/glossary.md)

# %% [markdown]
# ## 9.1 Idle time
#
# A server that is busy for $b$ of $T$ seconds idles for a share of $1 - b/T$. One that serves
# 30 requests per second of 20 ms each idles << num((1 - 30 * 0.02) * 100) >> % of the time.

# %%
print(f"idle: {1 - 30 * 0.02:.0%}")
