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
# <<% set m = facts.get_model("Llama-3-70B") -%>>
# <<% set g = facts.get_accelerator("H100-SXM") -%>>
# # Lab 3 · The KV-cache memory wall
#
# Eight H100 hold << num(8 * g.memory_gb) >> GB. The weights of Llama-3-70B take
# << num(m.weight_bytes() / 10**9, 3) >> GB of it in 16 bits. What is left must hold the keys and
# values of every token of every user who is there at the same time.
#
# - **Act I** (12–15 minutes): how many users fit? Say a number, lock it, and only then get the
#   sliders.
# - **Act II** (20–25 minutes): the users arrive, wait and leave. Three predictions about batching,
#   then two configurations side by side on a simulated node.
#
# Choose one of two contexts: an assistant whose users wait for the first word, or a pipeline for
# which only tokens per second count. Some answers differ between them, so come back for the other.
#
# **Read first:** << theory("3.1") >> and << theory("3.8") >> (prefill and decode),
# << theory("3.5") >> (the wall), << theory("3.10") >> (the first token under load),
# << theory("3.11") >> (continuous batching). [Symbols](../../docs/symbols.md) ·
# [glossary](../../docs/glossary.md)
#
# Nothing here is graded. A locked prediction cannot be changed: being wrong *before* you look is
# what makes the lab work. Times are what a roofline model permits; real servers are slower, and
# their curves have the same shape.

# %%
from servemath_helpers.labs.kv_wall.view import KVWallLab

learner = ""  # your name as on your course; empty takes the name you are logged in with
lab = KVWallLab(learner)
lab.show()

# %% [markdown]
# ## Without widgets
#
# Everything above can be done from code: for a screen reader, or to try a hundred settings in a
# loop. `lab.session` is what you have done so far; the steps are `lab.predict`, `lab.lock`,
# `lab.adjust`, `lab.attempt`, `lab.reflect`, `lab.save` and `lab.resume`. The functions behind the
# sliders need no lab at all:

# %%
from servemath_helpers.labs.kv_wall.model import Configuration, MemorySetup, Workload, plan, run

for cards in (2, 4, 8):
    print(f"{cards} cards hold {plan(MemorySetup(n_gpus=cards, seq_tokens=32_768)).users} users")

gentle = Workload(lam_rps=4, prompt_tokens=512, mean_output=256)
for mode in ("static", "continuous"):
    print(f"{mode}: P99 TTFT {run(gentle, Configuration(mode=mode)).ttft_p99_s:.3f} s")

# %% [markdown]
# ## Your ledger
#
# *Save to ledger* keeps your run in a file of your own; saving again replaces it, and other labs
# keep their own records beside it. `lab.ledger.path` says where it is, *Take up my saved run* brings
# it back after a restart, and `lab.ledger.export(lab.learner)` writes a copy of your records next to
# this notebook, to hand in.
#
# ## To think about afterwards
#
# - Which of your predictions was wrong, and which picture in your head made it so?
# - In Act I a cache of 8 bits doubled the users. What would you measure before you switch it on?
# - In Act II a larger batch shortened the wait. At what load is that no longer true?
