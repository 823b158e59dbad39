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
# # Lab 4 · The queueing lab
#
# Forty-five minutes, three parts of fifteen. Choose a track: each is another system, with another
# promise to keep.
#
# | track | you are | the promise |
# |---|---|---|
# | Cloud Titan | the LLM architect | P99 of the wait and the batch, at high utilisation |
# | Edge Guardian | the autonomous-vehicle systems lead | every camera answered within the window |
# | Mobile Nomad | the AR-glasses developer | every frame on time, and young |
# | Tiny Pioneer | the hearables lead | hardly a frame lost, on a milliwatt |
#
# **Read first** (in [theory](theory.ipynb)): 4.1 for part 1, 4.7 and 4.8 for part 2 (4.9 and 4.10 on
# the smaller tracks), 4.6 and 4.11 for part 3. Symbols stand in
# [one table](../../docs/symbols.md), terms in a [glossary](../../docs/glossary.md).
#
# **How it works.** In each part you first predict; locking freezes your answer and the scenario it is
# about, and opens the simulator and the next part. Moving controls is free; *Test this setting* puts
# what you have to the mission and counts as an iteration. No mission is met by changing one or two
# controls. Ten iterations are enough for the badge, more cost nothing else. At the end of each part
# you reflect.
# All charts have alt text, and *Show numbers as tables* writes their numbers below them.

# %%
from servemath_helpers.labs.queueing_lab.view import QueueingLab

lab = QueueingLab()  # your login name decides the order of the options; or learner="your name"
lab.show()

# %% [markdown]
# ## Without the widgets
#
# Everything you can click is a method, so the lab also works from code and with a screen reader:
# `lab.predict(...)`, `lab.lock(...)`, `lab.adjust(...)`, `lab.attempt(...)`, `lab.reflect(...)`,
# `lab.save()`. `lab.predict("part1", "double", 2, confidence=4)` chooses the second option. What is
# asked, in a track of your choice:

# %%
lab.list_questions("cloud")

# %% [markdown]
# ## Your ledger
#
# Each step is kept in a file of your own, and a lab that is run again takes up where you were; what
# is locked stays locked. Settings that count are those that you put to the test. A fuller run in the
# file is never replaced without asking, and other labs keep their own records beside it.
# `lab.ledger.path` says where it is; `lab.ledger.export(lab.learner)`
# writes a copy of your records next to this notebook, to hand in.

# %% [markdown]
# ## Your defence (not graded by machine)
#
# In a paragraph: throughput or responsiveness first, and how did Little's law shape the plan? What
# you write in the lab's own field *Your defence* is saved with the run and comes with the export;
# this cell is for those who want more room, and for teachers who read notebooks.
#
# *Write here.*

# %% [markdown]
# ## Your journey
#
# What you predicted in all labs that you have saved, and how sure you were.

# %%
from servemath_helpers.labs.frame import journey

journey.show(lab.ledger, lab.learner)
