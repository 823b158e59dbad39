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
# A node of eight H100 holds << num(8 * g.memory_gb) >> GB. The weights of Llama-3-70B take
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
# what makes the lab work. Each act has a mission: no setting that it opens with meets it, and changing
# one or two controls does not either. *Test this setting* puts what you have to it. Times are what a roofline model permits; real servers are slower, and
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
# `lab.adjust`, `lab.attempt`, `lab.reflect` and `lab.save`.
# `lab.predict("act1", "users", 2, confidence=4)` chooses the second option. What is asked:

# %%
lab.list_questions()

# %% [markdown]
# The functions behind the sliders need no lab at all. Once both acts are locked,
# `servemath_helpers.labs.kv_wall.model` is worth a look: `plan(MemorySetup(...))` is act I, and
# `run(Workload(...), Configuration(...))` act II.

# %% [markdown]
# ## Your ledger
#
# Each step is kept in a file of your own, and a lab that is run again takes up where you were; what
# is locked stays locked. Settings that count are those that you put to the test. A fuller run in the
# file is never replaced without asking, and other labs keep their own records beside it.
# `lab.ledger.path` says where it is, and `lab.ledger.export(lab.learner)` writes a copy of your
# records next to this notebook, to hand in.
#
# ## To think about afterwards
#
# - Which of your predictions was wrong, and which picture in your head made it so?
# - In Act I a cache of 8 bits doubled the users. What would you measure before you switch it on?
# - In Act II a larger batch shortened the wait. At what load is that no longer true?
