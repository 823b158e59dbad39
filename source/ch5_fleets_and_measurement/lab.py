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
# # Lab 5 · Your machine is the accelerator
#
# Forty-five minutes, three parts. A language model of 94 million random weights, written in NumPy, is
# served behind the same address that vLLM and SGLang have, and measured by the same client. Which
# machine, you choose:
#
# | machine | what it is |
# |---|---|
# | Recorded run | a small cloud machine, measured once: for those who cannot measure, or have no time |
# | Reference machine | its own roofline on a virtual clock: exact, and nobody has one |
# | My machine | yours, after *Measure my machine*: two minutes, best with nothing else running |
#
# **Read first** (in [theory](theory.ipynb)): 5.5 for part 1; 5.1, 5.2, 5.3 and 5.4 for part 2; 5.5, 5.9
# and 5.14 for part 3. Symbols stand in [one table](../../docs/symbols.md), terms in a
# [glossary](../../docs/glossary.md).
#
# **How it works.** Everything is measured before anything is asked, and only bandwidth and FLOP/s are
# shown. In each part you first predict; locking freezes your answer and the record it is about. Then
# you see what came of it, a simulator of that machine opens, and so does the next part: what a part
# shows tells of the one before. Moving controls is free; *Test this setting* puts what you have to
# the mission, which no change of one or two controls meets. How fast a machine is is never graded.
# All charts have alt text, and *Show numbers as tables* writes their numbers below them.

# %%
from servemath_helpers.labs.accelerator.view import AcceleratorLab

lab = AcceleratorLab()  # your login name decides the order of the options; or learner="your name"
lab.show()

# %% [markdown]
# ## Without the widgets
#
# Everything you can click is a method, so the lab also works from code and with a screen reader:
# `lab.measure()`, `lab.predict(...)`, `lab.lock(...)`, `lab.adjust(...)`, `lab.attempt(...)`,
# `lab.reflect(...)`, `lab.save()`. `lab.predict("part1", "step", 2, confidence=4)` chooses the second
# option. What is asked of the recorded run:

# %%
lab.list_questions("recorded")

# %% [markdown]
# ## The engine, the server and the client
#
# They are a few hundred lines that are meant to be read: `servemath_helpers/tinyllm/transformer.py`
# computes tokens, `engine.py` beside it decides who is computed when, `http.py` answers. Four tokens
# of a model that takes no time, and the log of the engine:

# %%
from servemath_helpers.tinyllm.engine import Engine
from servemath_helpers.tinyllm.transformer import TINY, Transformer, tokens_of, word_of

engine = Engine(Transformer(TINY))
job = engine.submit(tokens_of("who is computed when", TINY.vocabulary), max_tokens=4)
while engine.busy:
    engine.step()
print("".join(map(word_of, job.tokens)))
print([(line.decode, line.prefill) for line in engine.log])

# %% [markdown]
# To drive the server yourself, open two terminals: `python -m servemath_helpers.tinyllm --port 8000`
# in one, and in the other
# `python -m servemath_helpers.measure --url http://127.0.0.1:8000 --model tinyllm --rate 0.5 --requests 20`.
# The second takes about a minute, and works with any server that speaks as OpenAI does;
# [Measure a server](../../docs/how-to/measure.md) says more.
#
# ## Your ledger
#
# Each step is kept in a file of your own, and a lab that is run again takes up where you were; what
# is locked stays locked. Settings that count are those that you put to the test. A fuller run in the
# file is never replaced without asking, and other labs keep their own records beside it.
# `lab.ledger.path` says where it is; `lab.ledger.export(lab.learner)`
# writes a copy of your records next to this notebook, to hand in. What was measured of your machine
# lies beside it and holds no name of yours or of the machine.

# %% [markdown]
# ## Your defence (not graded by machine)
#
# In a paragraph: where did your machine leave its roofline, what would you look at to find out why,
# and how many of it would you have bought before measuring? What you write in the lab's own field
# *Your defence* is saved with the run and comes with the export; this cell is for those who want more
# room, and for teachers who read notebooks.
#
# *Write here.*

# %% [markdown]
# ## Your journey
#
# What you predicted in all labs that you have saved, and how sure you were.

# %%
from servemath_helpers.labs.frame import journey

journey.show(lab.ledger, lab.learner)
