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
# # Start here
#
# This course teaches the arithmetic of serving language models: how many requests are in flight,
# what a token costs, where the memory goes, how long somebody waits, and what a fleet does about
# it. You need Python and school algebra; no GPU, no account, no network.
#
# ## The chapters
#
# Chapters 1 to 4 can be taken in any order, 1 first if queues are new to you; 5 uses all of them.
#
# | chapter | read | solve | play |
# |:--|:--|:--|:--|
# | 1 · Serving and systems tradeoffs | [theory](ch1_serving_tradeoffs/theory.ipynb) | [exercises](ch1_serving_tradeoffs/exercises.ipynb) | |
# | 2 · Model serving and inference optimisation | [theory](ch2_inference_optimization/theory.ipynb) | [exercises](ch2_inference_optimization/exercises.ipynb) | |
# | 3 · The KV-cache memory wall | [theory](ch3_kv_cache_wall/theory.ipynb) | [exercises](ch3_kv_cache_wall/exercises.ipynb) | [lab](ch3_kv_cache_wall/lab.ipynb) |
# | 4 · The queueing lab | [theory](ch4_queueing_lab/theory.ipynb) | [exercises](ch4_queueing_lab/exercises.ipynb) | [lab](ch4_queueing_lab/lab.ipynb) |
# | 5 · Fleets and measurement | [theory](ch5_fleets_and_measurement/theory.ipynb) | [exercises](ch5_fleets_and_measurement/exercises.ipynb) | [lab](ch5_fleets_and_measurement/lab.ipynb) |
#
# How long a notebook takes stands below its title. When you have a service of your own in mind,
# [bring it](your_service.ipynb).
#
# ## How it works
#
# - **Theory** runs as it stands (Run › Run All Cells). Each section ends with a question: write
#   `answer = 2.5` in the place of `answer = None`, run the cell, and it tells you. A first miss is
#   told what kind of miss it looks like, a second one gets a hint, `answer = "?"` shows how it is
#   done.
# - **Exercises** ask for functions. Below each stand a try-it cell, visible checks, and a
#   `deep_check`, which looks for an input that breaks your function and shows the smallest one.
#   If somebody grades you, hidden tests come after that; they ask for nothing that the statement
#   does not say.
# - **Labs** ask for a prediction before they show what happens. Lock it, then look; being wrong in
#   front of a picture is how most of it is learned.
# - A link to a section of theory opens that notebook. If it opens at the top, click the link once
#   more.
#
# ## Try it
#
# The first question of chapter 1: 18 requests arrive in a second, and 45 are there on average. How
# many seconds does one stay? Write the number in the place of `None`, and run the cell with
# Shift-Enter.

# %%
from servemath_helpers.notebook import check_yourself, progress

answer = None
check_yourself("1.1", answer)

# %% [markdown]
# ## Where you stand
#
# What you answer and what passes is kept in a file of your own, `~/.servemath/progress.json`, on
# this computer: nobody is sent it, and no grade looks at it. Run this cell now and then.

# %%
progress()
